/* Impossible sizes, wrong ids and ended sessions are refused with their own error, and nothing is changed. */
#include "tests/badinput/bad.h"

static ps_storer *s;
static ps_id ids[BAD_OBJECTS];
static const uint64_t huge[] = {(uint64_t)1 << 63, UINT64_MAX - 1, (uint64_t)1 << 48, PS_SIZE_MAX + 1};
enum { HUGE_SIZES = sizeof(huge) / sizeof(huge[0]) };

static int setup(void **state)
{
	if (bad_setup(state))
		return -1;
	s = bad_open(bad_path, PS_OPEN_CREATE_NEW);
	bad_fill(s, ids);
	return 0;
}

static int teardown(void **state)
{
	bad_verify(s, ids);
	assert_int_equal(bad_count(s), BAD_OBJECTS);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
	return bad_teardown(state);
}

static void sizes_out_of_range_are_refused(void **state)
{
	(void)state;
	ps_id id, run[2];
	ps_writer *w;
	size_t got = 7;
	char byte;
	struct ps_view view;
	for (int i = 0; i < HUGE_SIZES; i++) {
		FAILS(PS_ERANGE, ps_put(s, "x", huge[i], &id));
		FAILS(PS_ERANGE, ps_replace(s, ids[1], "x", huge[i]));
		FAILS(PS_ERANGE, ps_write_at(s, ids[1], huge[i], "x", 1));
		FAILS(PS_ERANGE, ps_write_at(s, ids[1], 0, "x", huge[i]));
		FAILS(PS_ERANGE, ps_resize(s, ids[1], huge[i]));
		FAILS(PS_ERANGE, ps_alloc(s, huge[i], &id));
		FAILS(PS_ERANGE, ps_prime(s, huge[i], &id));
		FAILS(PS_ERANGE, ps_alloc_run(s, huge[i], 2, run));
		FAILS(PS_ERANGE, ps_open_writer(s, PS_ID_NONE, huge[i], &w));
		FAILS(PS_ERANGE, ps_view_at(s, ids[1], huge[i], 1, &view));
		FAILS(PS_ERANGE, ps_view_at(s, ids[1], 0, huge[i], &view));
		FAILS(PS_ERANGE, ps_write_batched(s, 1, &ids[1], "x", &huge[i]));
		FAILS(PS_ERANGE, ps_read_at(s, ids[1], huge[i], &byte, 1, &got));
		assert_int_equal(got, 7);
	}
	FAILS(PS_ERANGE, ps_write_at(s, ids[1], PS_SIZE_MAX, "xy", 2));
	FAILS(PS_ERANGE, ps_write_at(s, ids[1], UINT64_MAX, "xy", 2));
}

static void batches_refuse_them_too(void **state)
{
	(void)state;
	ps_batch *b;
	ps_id id;
	for (int i = 0; i < HUGE_SIZES; i++) {
		OK(ps_batch_begin(s, &b));
		FAILS(PS_ERANGE, ps_batch_put(b, "x", huge[i], &id));
		FAILS(PS_ERANGE, ps_batch_replace(b, ids[1], "x", huge[i]));
		FAILS(PS_ERANGE, ps_batch_write_at(b, ids[1], huge[i], "x", 1));
		FAILS(PS_ERANGE, ps_batch_alloc(b, huge[i], &id));
		OK(ps_batch_abort(b));
	}
}

/* The sum of the sizes, too, must be one that there can be: it is refused before any byte is read. */
static void sums_do_not_wrap_round(void **state)
{
	(void)state;
	const size_t sizes[2] = {(size_t)1 << 63, (size_t)1 << 63};
	ps_id no_ids[1] = {0};
	FAILS(PS_ERANGE, ps_write_batched(s, 2, &ids[1], "x", sizes));
	for (unsigned bit = 48; bit < 64; bit++) {
		/* A product of count and the size of whatever is kept per object is small again for some. */
		FAILS(PS_ERANGE, ps_alloc_run(s, 4096, (size_t)1 << bit, no_ids));
		FAILS(PS_ERANGE, ps_alloc_run(s, 1, ((size_t)1 << bit) + 1, no_ids));
	}
	FAILS(PS_ERANGE, ps_alloc_run(s, 1, SIZE_MAX, no_ids));
}

static void expect_unknown(ps_id id)
{
	char name[40];
	char byte;
	size_t n;
	struct ps_view view;
	struct ps_info info;
	ps_writer *w;
	ps_reader *r;
	ps_batch *b;
	struct ps_get_many req = {.id = id, .buf = &byte, .cap = 1};
	snprintf(name, sizeof(name), "0x%llx", (unsigned long long)id);
	SAYS(PS_ENOTFOUND, name, ps_get(s, id, &byte, 1, &n));
	SAYS(PS_ENOTFOUND, name, ps_read_at(s, id, 0, &byte, 1, &n));
	SAYS(PS_ENOTFOUND, name, ps_view(s, id, &view));
	SAYS(PS_ENOTFOUND, name, ps_view_at(s, id, 0, 1, &view));
	SAYS(PS_ENOTFOUND, name, ps_replace(s, id, "x", 1));
	SAYS(PS_ENOTFOUND, name, ps_write_at(s, id, 0, "x", 1));
	SAYS(PS_ENOTFOUND, name, ps_resize(s, id, 1));
	SAYS(PS_ENOTFOUND, name, ps_info(s, id, &info));
	SAYS(PS_ENOTFOUND, name, ps_open_reader(s, id, &r));
	SAYS(PS_ENOTFOUND, name, ps_open_writer(s, id, 1, &w));
	SAYS(PS_ENOTFOUND, name, ps_write_batched(s, 1, &id, "x", &(size_t){1}));
	if (id != PS_ID_PRIME)
		SAYS(PS_ENOTFOUND, name, ps_delete(s, id));
	OK(ps_get_many(s, 1, &req));
	assert_int_equal(req.status, PS_ENOTFOUND);
	OK(ps_batch_begin(s, &b));
	int err = ps_batch_replace(b, id, "x", 1);
	assert_true(err == PS_OK || err == PS_ENOTFOUND);
	if (err == PS_OK)
		SAYS(PS_ENOTFOUND, name, ps_batch_commit(b, PS_DURABLE));
	else
		OK(ps_batch_abort(b));
}

static void wrong_ids_name_no_object(void **state)
{
	(void)state;
	ps_id gone;
	OK(ps_put(s, "gone", 4, &gone));
	OK(ps_delete(s, gone));
	expect_unknown(gone);
	expect_unknown(PS_ID_PRIME);           /* not made yet */
	expect_unknown(ids[1] + 1);            /* the next generation of a live slot */
	expect_unknown(ids[1] & ~0xffffffULL); /* generation 0 */
	expect_unknown((ps_id)5000 << 24 | 1); /* a slot never used */
	expect_unknown(UINT64_MAX);
	expect_unknown((ps_id)1 << 63 | 1);
	FAILS(PS_EINVAL, ps_delete(s, PS_ID_NONE));
}

static void ended_sessions_are_refused(void **state)
{
	(void)state;
	ps_writer *w;
	ps_reader *r;
	ps_batch *b;
	ps_id id;
	size_t got;
	char byte;
	struct ps_view view;
	OK(ps_open_writer(s, PS_ID_NONE, 4, &w));
	OK(ps_writer_abort(w));
	FAILS(PS_ECLOSED, ps_writer_write(w, "x", 1));
	FAILS(PS_ECLOSED, ps_writer_finish(w));
	FAILS(PS_ECLOSED, ps_writer_abort(w));
	assert_true(ps_writer_id(w) == PS_ID_NONE);
	OK(ps_open_reader(s, ids[1], &r));
	OK(ps_reader_finish(r));
	FAILS(PS_ECLOSED, ps_reader_read(r, &byte, 1, &got));
	FAILS(PS_ECLOSED, ps_reader_seek(r, 0));
	FAILS(PS_ECLOSED, ps_reader_finish(r));
	OK(ps_batch_begin(s, &b));
	OK(ps_batch_commit(b, PS_DURABLE));
	FAILS(PS_ECLOSED, ps_batch_put(b, "x", 1, &id));
	FAILS(PS_ECLOSED, ps_batch_delete(b, ids[1]));
	FAILS(PS_ECLOSED, ps_batch_commit(b, PS_DURABLE));
	FAILS(PS_ECLOSED, ps_batch_abort(b));
	OK(ps_view(s, ids[2], &view));
	FAILS(PS_EBUSY, ps_close(s));
	OK(ps_view_release(&view));
	FAILS(PS_ECLOSED, ps_view_release(&view));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(sizes_out_of_range_are_refused), TEST(batches_refuse_them_too),
	    TEST(sums_do_not_wrap_round),         TEST(wrong_ids_name_no_object),
	    TEST(ended_sessions_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
