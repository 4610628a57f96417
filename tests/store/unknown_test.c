/* A store of which nothing is here: what its slots have is asked when they are touched, and no call tells the
 * difference. */
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "tests/store/backing_world.h"

enum { MANY = 3000 };

static size_t size_of(unsigned i)
{
	return i % 7 == 0 ? 0 : 1 + i * 37 % 900;
}

/* The store is lost; a new one stands for what was pushed last. */
static void lose(struct fixture *f)
{
	OK(ps_close(f->s));
	sim_disk_free(f->disk);
	f->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(f->disk, false);
	const struct ps_base_options options = {.size = sizeof(options), .pin_limit = 1 << 30};
	OK(disk_store_open(f->disk, &options, &f->s));
	OK(copies_restore_rest(f->copies, f->s));
	OK(copies_attach(f->copies, f->s));
}

static void push_and_lose(struct fixture *f)
{
	OK(copies_push(f->copies, f->s));
	lose(f);
}

static void one_of_each(struct fixture *f)
{
	for (unsigned i = 0; i < SIZES; i++)
		f->ids[i] = put(f->s, i, sizes[i]);
	push_and_lose(f);
}

static ps_id *many(struct fixture *f)
{
	ps_id *ids = malloc(MANY * sizeof(*ids));
	assert_non_null(ids);
	for (unsigned i = 0; i < MANY; i++)
		ids[i] = put(f->s, i, size_of(i));
	return ids;
}

static void expect_many(struct fixture *f, const ps_id *ids)
{
	for (unsigned i = 0; i < MANY; i++)
		expect(f->s, ids[i], i, size_of(i));
}

static struct ps_stats stats_of(struct fixture *f)
{
	struct ps_stats stats;
	OK(ps_stats(f->s, &stats));
	return stats;
}

static void what_is_unknown_is_read(void **state)
{
	struct fixture *f = *state;
	one_of_each(f);
	assert_int_equal(copies_counts(f->copies).asked, 0);
	assert_int_equal(figures(f->s).unknown_objects, SIZES);
	all_are_there(f);
	assert_int_equal(figures(f->s).unknown_objects, 0);
	assert_int_equal(figures(f->s).away_bytes, 0);
	struct copies_counts before = copies_counts(f->copies);
	reopen(f);
	all_are_there(f);
	assert_int_equal(copies_counts(f->copies).fetches, before.fetches);
	assert_int_equal(copies_counts(f->copies).asked, before.asked);
}

static void one_object_costs_one_question(void **state)
{
	struct fixture *f = *state;
	ps_id *ids = many(f);
	push_and_lose(f);
	expect(f->s, ids[1717], 1717, size_of(1717));
	assert_int_equal(copies_counts(f->copies).asked, 1);
	assert_int_equal(copies_counts(f->copies).told, 12);
	assert_int_equal(copies_counts(f->copies).fetches, 1);
	free(ids);
}

static void sums_are_those_of_the_whole(void **state)
{
	struct fixture *f = *state;
	ps_id *ids = many(f);
	OK(copies_push(f->copies, f->s));
	struct ps_stats whole = stats_of(f);
	lose(f);
	assert_int_equal(stats_of(f).objects, whole.objects);
	assert_int_equal(stats_of(f).live_bytes, whole.live_bytes);
	for (unsigned i = 0; i < MANY; i += 61)
		expect(f->s, ids[i], i, size_of(i));
	OK(ps_sync(f->s));
	crash(f);
	assert_int_equal(stats_of(f).objects, whole.objects);
	ps_id more = put(f->s, 5, 100);
	for (unsigned i = 0; i < MANY; i += 17)
		expect(f->s, ids[i], i, size_of(i));
	assert_int_equal(stats_of(f).objects, whole.objects + 1);
	assert_int_equal(stats_of(f).live_bytes, whole.live_bytes + 100);
	crash(f);
	OK(ps_delete(f->s, more));
	reopen(f);
	expect_many(f, ids);
	assert_int_equal(stats_of(f).objects, whole.objects);
	assert_int_equal(stats_of(f).live_bytes, whole.live_bytes);
	assert_int_equal(figures(f->s).unknown_objects, 0);
	assert_int_equal(figures(f->s).unknown_bytes, 0);
	free(ids);
}

static int count_id(void *arg, ps_id id)
{
	ps_id **next = arg;
	assert_int_equal(id, *(*next)++);
	return 0;
}

static void a_walk_gives_every_object(void **state)
{
	struct fixture *f = *state;
	ps_id *ids = many(f), *next = ids;
	push_and_lose(f);
	OK(ps_each(f->s, 0, count_id, &next));
	assert_int_equal(next - ids, MANY);
	free(ids);
}

static void ids_that_are_gone_stay_so(void **state)
{
	struct fixture *f = *state;
	ps_id *ids = many(f);
	for (unsigned i = 0; i < MANY; i += 2)
		OK(ps_delete(f->s, ids[i]));
	push_and_lose(f);
	for (unsigned i = 0; i < MANY; i += 2)
		assert_int_equal(ps_delete(f->s, ids[i]), PS_ENOTFOUND);
	for (unsigned i = 1; i < MANY; i += 2)
		expect(f->s, ids[i], i, size_of(i));
	/* Their slots are used anew, and no id comes again. */
	for (unsigned i = 0; i < MANY; i++) {
		ps_id id = put(f->s, i, 20);
		for (unsigned j = i % 64; j < MANY; j += 64)
			assert_int_not_equal(id, ids[j]);
		if (i < MANY / 2)
			assert_true(id >> 24 < ((ids[MANY - 1] >> 24) / FANOUT + 1) * FANOUT);
	}
	free(ids);
}

static void what_is_unknown_is_changed(void **state)
{
	struct fixture *f = *state;
	one_of_each(f);
	uint8_t patch[300];
	edit(patch, 0, 99, sizeof(patch));
	for (unsigned i = 0; i < SIZES; i++) {
		size_t off = sizes[i] / 2, end = MAX(off + sizeof(patch), sizes[i]);
		uint8_t *want = calloc(1, end);
		assert_non_null(want);
		edit(want, 0, i, sizes[i]);
		edit(want, off, 99, sizeof(patch));
		OK(ps_write_at(f->s, f->ids[i], off, patch, sizeof(patch)));
		expect_bytes(f->s, f->ids[i], want, end);
		OK(copies_push_and_evict(f->copies, f->s));
		expect_bytes(f->s, f->ids[i], want, end);
		free(want);
	}
}

static void what_is_unknown_is_replaced_deleted_and_resized(void **state)
{
	struct fixture *f = *state;
	one_of_each(f);
	OK(ps_replace(f->s, f->ids[7], "new", 3));
	OK(ps_delete(f->s, f->ids[6]));
	OK(ps_resize(f->s, f->ids[5], 70000));
	uint8_t *want = calloc(1, 70000);
	assert_non_null(want);
	edit(want, 0, 5, sizes[5]);
	crash(f);
	expect_bytes(f->s, f->ids[7], (const uint8_t *)"new", 3);
	expect_bytes(f->s, f->ids[5], want, 70000);
	assert_int_equal(ps_delete(f->s, f->ids[6]), PS_ENOTFOUND);
	for (unsigned i = 0; i < 5; i++)
		expect(f->s, f->ids[i], i, sizes[i]);
	free(want);
}

static void many_are_read_together(void **state)
{
	struct fixture *f = *state;
	enum { TOGETHER = 50 };
	struct ps_get_many reqs[TOGETHER];
	static uint8_t bufs[TOGETHER][1000];
	ps_id *ids = many(f);
	push_and_lose(f);
	for (unsigned i = 0; i < TOGETHER; i++)
		reqs[i] = (struct ps_get_many){.id = ids[i * 53], .buf = bufs[i], .cap = sizeof(bufs[i])};
	copies_fail(f->copies, PS_EUNAVAILABLE);
	OK(ps_get_many(f->s, TOGETHER, reqs));
	for (unsigned i = 0; i < TOGETHER; i++)
		assert_int_equal(reqs[i].status, PS_EUNAVAILABLE);
	copies_fail(f->copies, PS_OK);
	OK(ps_get_many(f->s, TOGETHER, reqs));
	for (unsigned i = 0; i < TOGETHER; i++) {
		OK(reqs[i].status);
		assert_int_equal(reqs[i].len, size_of(i * 53));
		for (size_t j = 0; j < reqs[i].len; j++)
			assert_int_equal(bufs[i][j], byte_at(i * 53, j));
	}
	free(ids);
}

static void without_a_backing_the_rest_goes_on(void **state)
{
	struct fixture *f = *state;
	ps_id *ids = many(f);
	uint8_t buf[1000];
	size_t len;
	push_and_lose(f);
	expect(f->s, ids[1], 1, size_of(1));
	OK(copies_detach(f->s));
	expect(f->s, ids[1], 1, size_of(1));
	assert_int_equal(ps_get(f->s, ids[2000], buf, sizeof(buf), &len), PS_EUNAVAILABLE);
	assert_int_equal(ps_delete(f->s, ids[2000]), PS_EUNAVAILABLE);
	assert_int_equal(ps_each(f->s, 0, count_id, &(ps_id *){ids}), PS_EUNAVAILABLE);
	ps_id more = put(f->s, 3, 300);
	expect(f->s, more, 3, 300);
	OK(copies_attach(f->copies, f->s));
	expect_many(f, ids);
	free(ids);
}

static void what_no_store_has_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[1000];
	size_t len;
	ps_id *ids = many(f);
	push_and_lose(f);
	copies_lie(f->copies, true);
	assert_int_equal(ps_get(f->s, ids[5], buf, sizeof(buf), &len), PS_ECORRUPT);
	copies_lie(f->copies, false);
	expect(f->s, ids[5], 5, size_of(5));
	free(ids);
}

static void a_cut_gives_what_was_changed_since(void **state)
{
	struct fixture *f = *state;
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct ps_cut_object o;
	ps_id *ids = many(f);
	push_and_lose(f);
	OK(ps_replace(f->s, ids[70], "x", 1));
	unsigned asked = copies_counts(f->copies).asked;
	OK(ps_cut_begin(f->s, &(struct ps_cut_from){copies_pushed(f->copies), 0}, &cut, &info));
	/* Learned in a leaf that the cut has not come to: no change. */
	expect(f->s, ids[100], 100, size_of(100));
	OK(ps_replace(f->s, ids[101], "later", 5));
	OK(ps_cut_next(cut, &o));
	assert_int_equal(o.id, ids[70]);
	assert_int_equal(ps_cut_next(cut, &o), PS_ENOTFOUND);
	ps_cut_end(cut);
	assert_int_equal(copies_counts(f->copies).asked, asked + 1);
	assert_int_equal(info.objects, MANY);
	free(ids);
}

static void a_cut_from_before_gives_all(void **state)
{
	struct fixture *f = *state;
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct ps_cut_object o;
	unsigned given = 0;
	ps_id *ids = many(f);
	push_and_lose(f);
	OK(ps_replace(f->s, ids[0], "x", 1));
	OK(ps_cut_begin(f->s, &(struct ps_cut_from){0}, &cut, &info));
	while (ps_cut_next(cut, &o) == PS_OK)
		assert_int_equal(o.id, ids[given++]);
	assert_int_equal(given, MANY);
	ps_cut_end(cut);
	assert_int_equal(figures(f->s).unknown_objects, 0);
	/* From here on it is a store as any other. */
	crash(f);
	OK(copies_detach(f->s));
	struct ps_stats stats = stats_of(f);
	assert_int_equal(stats.objects, MANY);
	OK(ps_each(f->s, 0, count_id, &(ps_id *){ids}));
	free(ids);
}

static void compaction_keeps_what_is_unknown(void **state)
{
	struct fixture *f = *state;
	ps_id *ids = many(f);
	for (unsigned i = 0; i < 400; i++)
		OK(ps_delete(f->s, ids[i]));
	push_and_lose(f);
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(ps_delete(f->s, ids[i]), PS_ENOTFOUND);
	OK(ps_compact(f->s, 0, NULL, NULL));
	OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
	unsigned asked = copies_counts(f->copies).asked;
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(ps_delete(f->s, ids[i]), PS_ENOTFOUND);
	assert_int_equal(copies_counts(f->copies).asked, asked);
	for (unsigned i = 400; i < MANY; i++)
		expect(f->s, ids[i], i, size_of(i));
	free(ids);
}

/* Between two writes of a learning, of a change behind it, and of a checkpoint. */
static void a_crash_anywhere_loses_nothing(void **state)
{
	struct fixture *f = *state;
	ps_id *ids = many(f);
	push_and_lose(f);
	for (unsigned i = 0; i < 40; i++) {
		unsigned at = i * 71 % MANY, next = (at + 3) % MANY;
		expect(f->s, ids[at], at, size_of(at));
		OK(ps_replace(f->s, ids[next], "replaced", 8));
		if (i % 3 == 0)
			OK(ps_sync(f->s));
		crash(f);
		assert_int_equal(stats_of(f).objects, MANY);
		expect_bytes(f->s, ids[next], (const uint8_t *)"replaced", 8);
		expect(f->s, ids[at], at, size_of(at));
		uint8_t *want = bytes_of(next, size_of(next));
		OK(ps_replace(f->s, ids[next], want, size_of(next)));
		free(want);
	}
	expect_many(f, ids);
	free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_unknown_is_read),
	    TEST(one_object_costs_one_question),
	    TEST(sums_are_those_of_the_whole),
	    TEST(a_walk_gives_every_object),
	    TEST(ids_that_are_gone_stay_so),
	    TEST(what_is_unknown_is_changed),
	    TEST(what_is_unknown_is_replaced_deleted_and_resized),
	    TEST(many_are_read_together),
	    TEST(without_a_backing_the_rest_goes_on),
	    TEST(what_no_store_has_is_refused),
	    TEST(a_cut_gives_what_was_changed_since),
	    TEST(a_cut_from_before_gives_all),
	    TEST(compaction_keeps_what_is_unknown),
	    TEST(a_crash_anywhere_loses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
