/* Pushed states that are opened to be read, beside whole clones of them: every object, byte by byte, by every
 * call that reads; and nothing of it has a name. usage: state_open_test [SEEDS] */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"

enum { STATES = 4, CHANGES = 15, MANY = 8, HUNDRED = 100, SIZE = 3000, LARGE = 5 * 65536 };

static unsigned seeds = 1;
static bool without_nameless; /* as a file system that makes none */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (without_nameless && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return __real_open(path, flags, mode);
}

struct reading {
	struct world w;
	struct picture past[STATES];
	struct ps_multi_options options;
	char folder[256]; /* of what is fetched */
};

static void reading_new(struct reading *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	world_new(&r->w, "mem", seed);
	r->w.options.history = STATES - 1;
	r->w.options.pack_bytes = 300000;
	r->options = (struct ps_multi_options){
	    .size = sizeof(r->options), .remote = r->w.b->r, .cache_bytes = 1 << 20};
	snprintf(r->folder, sizeof(r->folder), "%s/fetched", r->w.b->folder);
	assert_int_equal(mkdir(r->folder, 0700), 0);
}

static void push_states(struct reading *r)
{
	for (unsigned i = 0; i < STATES; i++) {
		change_some(&r->w, CHANGES);
		picture_take(&r->past[i], r->w.s);
		r->past[i].push = push_now(&r->w);
	}
}

static void reading_free(struct reading *r)
{
	assert_int_equal(rmdir(r->folder), 0); /* nothing is left in it */
	for (unsigned i = 0; i < STATES; i++)
		picture_free(&r->past[i]);
	world_free(&r->w);
}

static ps_storer *open_state(struct reading *r, uint64_t state)
{
	const struct ps_base_options base = stack_base();
	ps_storer *s;
	assert_ok(ps_multi_open_state(r->folder, &base, &r->options, state, &s));
	return s;
}

/* ---- comparing ---- */

static void compare_range(ps_storer *whole, ps_storer *s, ps_id id, uint64_t off, size_t len)
{
	uint8_t *bytes = test_malloc(2 * len + 1);
	struct ps_view view;
	ps_reader *reader;
	size_t there, got;
	assert_ok(ps_read_at(whole, id, off, bytes, len, &there));
	assert_ok(ps_read_at(s, id, off, bytes + len, len, &got));
	assert_int_equal(got, there);
	assert_memory_equal(bytes, bytes + len, got);
	assert_ok(ps_view_at(s, id, off, there, &view));
	assert_int_equal(view.len, there);
	assert_memory_equal(bytes, view.data, there);
	assert_ok(ps_view_release(&view));
	assert_ok(ps_open_reader(s, id, &reader));
	assert_ok(ps_reader_seek(reader, off));
	memset(bytes + len, 0xee, len);
	for (size_t at = 0; at < there; at += got) {
		assert_ok(ps_reader_read(reader, bytes + len + at, there - at, &got));
		assert_true(got > 0);
	}
	assert_memory_equal(bytes, bytes + len, there);
	assert_ok(ps_reader_finish(reader));
	test_free(bytes);
}

struct comparing {
	struct dice *dice;
	ps_storer *whole, *s;
	struct ps_get_many many[MANY];
	size_t count;
};

static void compare_many(struct comparing *c)
{
	uint8_t *bytes = test_malloc(SIZE + 1);
	size_t len;
	assert_ok(ps_get_many(c->s, c->count, c->many));
	for (size_t i = 0; i < c->count; i++) {
		assert_ok(c->many[i].status);
		assert_ok(ps_get(c->whole, c->many[i].id, bytes, SIZE, &len));
		assert_int_equal(c->many[i].len, len);
		assert_memory_equal(c->many[i].buf, bytes, len);
		test_free(c->many[i].buf);
	}
	c->count = 0;
	test_free(bytes);
}

static int compare_object(void *arg, ps_id id)
{
	struct comparing *c = arg;
	struct ps_info there, got;
	assert_ok(ps_info(c->whole, id, &there));
	if (there.size <= SIZE)
		c->many[c->count++] = (struct ps_get_many){.id = id, .buf = test_malloc(SIZE), .cap = SIZE};
	if (c->count == MANY)
		compare_many(c);
	assert_ok(ps_info(c->s, id, &got));
	assert_int_equal(got.size, there.size);
	compare_range(c->whole, c->s, id, roll_below(c->dice, there.size + 1),
	              (size_t)roll_below(c->dice, there.size + 1));
	return 0;
}

/* In ranges first, then all of it; a backup of it, too. */
static void compare_state(struct reading *r, ps_storer *s, const struct picture *p)
{
	char path[256], copy[300];
	struct comparing c = {.dice = &r->w.dice, .s = s};
	c.whole = clone_open(&r->w, r->w.b->r, p->push.state, path);
	assert_ok(ps_each(c.whole, PS_ID_NONE, compare_object, &c));
	compare_many(&c);
	expect_picture(p, s, "a kept state");
	assert_ok(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	snprintf(copy, sizeof(copy), "%s.copy", path);
	assert_ok(ps_backup(s, copy, NULL, NULL));
	assert_ok(ps_close(c.whole));
	c.whole = open_stack(&r->w, copy, PS_OPEN_EXISTING);
	expect_picture(p, c.whole, "a backup of a kept state");
	assert_ok(ps_close(c.whole));
	assert_int_equal(unlink(copy), 0);
	assert_int_equal(unlink(path), 0);
}

/* ---- tests ---- */

static void each_kept_state_is_as_it_was(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= seeds; seed++) {
		struct reading r;
		reading_new(&r, seed);
		push_states(&r);
		for (unsigned i = 0; i < STATES; i++) {
			struct ps_stats stats;
			r.options.local_bytes = i % 2 ? 200000 : 0;
			ps_storer *s = open_state(&r, r.past[i].push.state);
			assert_ok(ps_stats(s, &stats));
			assert_int_equal(stats.objects, r.past[i].count);
			compare_state(&r, s, &r.past[i]);
			assert_ok(ps_close(s));
		}
		ps_storer *s = open_state(&r, 0);
		expect_picture(&r.past[STATES - 1], s, "the newest state");
		assert_ok(ps_close(s));
		reading_free(&r);
	}
}

/* What was fetched leaves again, as far as is wanted, and all of it comes back; also while others push. */
static void what_was_fetched_leaves_and_comes_back(void **state)
{
	struct reading r;
	struct ps_local_figures f;
	uint64_t freed;
	(void)state;
	reading_new(&r, 21);
	push_states(&r);
	ps_storer *s = open_state(&r, r.past[STATES - 2].push.state);
	for (unsigned round = 0; round < 2; round++) {
		expect_picture(&r.past[STATES - 2], s, "a kept state");
		assert_ok(ps_local_figures(s, &f));
		assert_true(f.local_bytes > 0);
		assert_int_equal(f.dirty_bytes, 0);
		assert_ok(ps_evict(s, 0, NULL, NULL, &freed));
		assert_true(freed > 0);
		assert_ok(ps_local_figures(s, &f));
		assert_int_equal(f.local_bytes, 0);
		change_some(&r.w, CHANGES);
		(void)push_now(&r.w); /* the state is the oldest that is kept by then */
	}
	expect_picture(&r.past[STATES - 2], s, "a kept state that left");
	assert_ok(ps_close(s));
	reading_free(&r);
}

static void nothing_changes_it(void **state)
{
	struct reading r;
	struct ps_stats stats;
	ps_writer *writer;
	ps_batch *batch;
	ps_id id;
	(void)state;
	reading_new(&r, 31);
	push_states(&r);
	ps_storer *s = open_state(&r, r.past[2].push.state);
	id = r.past[2].all[0].id;
	assert_true(ps_caps(s) & PS_CAP_READONLY);
	assert_ok(ps_stats(s, &stats));
	assert_int_equal(stats.readonly, 1);
	ps_id ids[2];
	const size_t size = 1;
	assert_error(ps_put(s, "x", 1, ids), PS_EREADONLY);
	assert_error(ps_replace(s, id, "x", 1), PS_EREADONLY);
	assert_error(ps_write_at(s, id, 0, "x", 1), PS_EREADONLY);
	assert_error(ps_resize(s, id, 1), PS_EREADONLY);
	assert_error(ps_delete(s, id), PS_EREADONLY);
	assert_error(ps_alloc(s, 1, ids), PS_EREADONLY);
	assert_error(ps_prime(s, 1, ids), PS_EREADONLY);
	assert_error(ps_alloc_run(s, 1, 2, ids), PS_EREADONLY);
	assert_error(ps_open_writer(s, id, 1, &writer), PS_EREADONLY);
	assert_error(ps_batch_begin(s, &batch), PS_EREADONLY);
	assert_error(ps_write_batched(s, 1, &id, "x", &size), PS_EREADONLY);
	assert_error(ps_compact(s, 0, NULL, NULL), PS_EREADONLY);
	assert_error(ps_push(s, NULL, NULL, NULL), PS_EREADONLY);
	assert_error(ps_push(s, r.w.b->r, NULL, NULL), PS_EREADONLY);
	assert_error(ps_take_over(s, NULL, NULL, NULL), PS_EREADONLY);
	assert_ok(ps_sync(s));
	expect_picture(&r.past[2], s, "a state that nothing changes");
	assert_ok(ps_close(s));
	/* The holder goes on as if it had not been. */
	change_some(&r.w, CHANGES);
	(void)push_now(&r.w);
	assert_error(ps_multi_open_state(r.folder, NULL, &r.options, 4711, &s), PS_ENOTFOUND);
	assert_error(ps_multi_open_state(r.w.path, NULL, &r.options, 0, &s), PS_ENOENT);
	assert_error(ps_multi_open_state(r.folder, NULL, NULL, 0, &s), PS_EINVAL);
	reading_free(&r);
}

/* Small ones, and a large one at the end. */
static void put_hundred(struct reading *r, ps_id *ids, unsigned seed)
{
	uint8_t *bytes = test_malloc(LARGE);
	for (unsigned i = 0; i < HUNDRED; i++) {
		size_t len = i == HUNDRED - 1 ? LARGE : SIZE;
		blobs_fill(bytes, len, seed + i);
		if (seed == 0)
			assert_ok(ps_put(r->w.s, bytes, len, &ids[i]));
		else if (i % 2)
			assert_ok(ps_replace(r->w.s, ids[i], bytes, len));
	}
	test_free(bytes);
}

/* As it was, or refused: how many were. */
static unsigned read_or_be_refused(ps_storer *s, const ps_id *ids)
{
	uint8_t *bytes = test_malloc(LARGE), *was = test_malloc(LARGE);
	unsigned refused = 0;
	for (unsigned i = 0; i < HUNDRED; i++) {
		size_t len, should = i == HUNDRED - 1 ? LARGE : SIZE;
		int err = ps_get(s, ids[i], bytes, LARGE, &len);
		blobs_fill(was, should, i);
		if (!err) {
			assert_int_equal(len, should);
			assert_memory_equal(bytes, was, len);
			continue;
		}
		assert_int_equal(err, PS_ESUPERSEDED);
		assert_non_null(strstr(ps_last_error_message(), "is not kept any more"));
		refused++;
	}
	test_free(was);
	test_free(bytes);
	return refused;
}

/* Of two readers of a state that is dropped one knows nothing yet; the other had all, and it has left again.
 */
static void a_state_that_is_dropped_is_refused_and_never_mixed(void **state)
{
	struct reading r;
	ps_id ids[HUNDRED];
	(void)state;
	reading_new(&r, 41);
	r.w.options.history = 0;
	r.options.cache_bytes = 1;
	put_hundred(&r, ids, 0);
	uint64_t first = push_now(&r.w).state;
	ps_storer *knowing = open_state(&r, first), *unknowing = open_state(&r, first);
	assert_int_equal(read_or_be_refused(knowing, ids), 0);
	assert_ok(ps_evict(knowing, 0, NULL, NULL, NULL));
	for (unsigned push = 1; push <= 3; push++) { /* what the first one dropped goes with the next */
		put_hundred(&r, ids, 1000 * push);
		(void)push_now(&r.w);
	}
	assert_int_equal(read_or_be_refused(unknowing, ids), HUNDRED / 2);
	assert_int_equal(read_or_be_refused(knowing, ids), HUNDRED / 2);
	ps_storer *s;
	assert_error(ps_multi_open_state(r.folder, NULL, &r.options, first, &s), PS_ENOTFOUND);
	assert_ok(ps_close(knowing));
	assert_ok(ps_close(unknowing));
	reading_free(&r);
}

static size_t names_in(const char *folder)
{
	DIR *dir = opendir(folder);
	size_t count = 0;
	assert_non_null(dir);
	while (readdir(dir))
		count++;
	assert_int_equal(closedir(dir), 0);
	return count - 2; /* itself, and the one above */
}

/* So whatever ends the process leaves nothing: there is nothing at any moment between two calls. */
static void nothing_of_it_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct reading r;
		reading_new(&r, 51);
		push_states(&r);
		without_nameless = i == 1;
		ps_storer *s = open_state(&r, r.past[0].push.state);
		without_nameless = false;
		assert_int_equal(names_in(r.folder), 0);
		expect_picture(&r.past[0], s, "a state in a file without a name");
		assert_int_equal(names_in(r.folder), 0);
		assert_ok(ps_close(s));
		reading_free(&r);
	}
}

static void no_lie_makes_another_state(void **state)
{
	(void)state;
	struct reading r;
	reading_new(&r, 61);
	push_states(&r);
	r.options.cache_bytes = 1;
	r.options.local_bytes = 1;
	unsigned refused = 0;
	static const enum ps_mem_fault faults[] = {PS_MEM_ABSENT, PS_MEM_FLIP, PS_MEM_TRUNCATE};
	for (unsigned i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		ps_storer *s = open_state(&r, r.past[0].push.state);
		const struct ps_mem_rule rule = {.fault = faults[i],
		                                 .ops = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE,
		                                 .one_in = i ? 2 : 0,
		                                 .amount = 7};
		refused += read_under_rule(&r.w, s, &r.past[0], 1, &rule);
		assert_ok(ps_close(s));
	}
	print_message("%u reads were refused\n", refused);
	assert_true(refused > 0);
	reading_free(&r);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_kept_state_is_as_it_was),
	    cmocka_unit_test(what_was_fetched_leaves_and_comes_back),
	    cmocka_unit_test(nothing_changes_it),
	    cmocka_unit_test(a_state_that_is_dropped_is_refused_and_never_mixed),
	    cmocka_unit_test(nothing_of_it_has_a_name),
	    cmocka_unit_test(no_lie_makes_another_state),
	};
	if (argc > 1)
		seeds = (unsigned)strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
