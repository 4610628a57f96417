/* The life of sessions: use after their end, and closing a store that has some. */
#include <string.h>

#include "tests/conformance/suite.h"

static void expect_writer_closed(ps_writer *w)
{
	FAILS(PS_ECLOSED, ps_writer_write(w, "x", 1));
	FAILS(PS_ECLOSED, ps_writer_finish(w));
	FAILS(PS_ECLOSED, ps_writer_abort(w));
	assert_true(ps_writer_id(w) == PS_ID_NONE);
}

static void expect_reader_closed(ps_reader *r)
{
	char byte;
	size_t got = 77;
	FAILS(PS_ECLOSED, ps_reader_read(r, &byte, 1, &got));
	FAILS(PS_ECLOSED, ps_reader_seek(r, 0));
	FAILS(PS_ECLOSED, ps_reader_finish(r));
	assert_int_equal(got, 77);
}

static void expect_batch_closed(ps_batch *b, ps_id id)
{
	ps_id other = PS_ID_NONE;
	FAILS(PS_ECLOSED, ps_batch_put(b, "x", 1, &other));
	FAILS(PS_ECLOSED, ps_batch_replace(b, id, "x", 1));
	FAILS(PS_ECLOSED, ps_batch_delete(b, id));
	FAILS(PS_ECLOSED, ps_batch_write_at(b, id, 0, "x", 1));
	FAILS(PS_ECLOSED, ps_batch_alloc(b, 1, &other));
	FAILS(PS_ECLOSED, ps_batch_commit(b, PS_DURABLE));
	FAILS(PS_ECLOSED, ps_batch_abort(b));
	assert_true(other == PS_ID_NONE);
}

static void an_ended_session_is_closed_for_every_call(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 10, 1);
	ps_writer *finished, *aborted;
	ps_reader *r;
	ps_batch *committed, *dropped;
	OK(ps_open_writer(s, PS_ID_NONE, 0, &finished));
	OK(ps_open_writer(s, PS_ID_NONE, 0, &aborted));
	OK(ps_open_reader(s, id, &r));
	OK(ps_batch_begin(s, &committed));
	OK(ps_batch_begin(s, &dropped));
	OK(ps_writer_finish(finished));
	OK(ps_writer_abort(aborted));
	OK(ps_reader_finish(r));
	OK(ps_batch_commit(committed, PS_DURABLE));
	OK(ps_batch_abort(dropped));
	expect_writer_closed(finished);
	expect_writer_closed(aborted);
	expect_reader_closed(r);
	expect_batch_closed(committed, id);
	expect_batch_closed(dropped, id);
	expect_pattern(s, id, 10, 1);
}

/* Also while other sessions come and go: the place of an ended one is not used again at once. */
static void an_ended_session_stays_closed_for_256_others(void **state)
{
	ps_storer *s = store_of(state);
	enum { OTHERS = 256 };
	ps_id id = put_pattern(s, 10, 1);
	ps_reader *ended, *other;
	OK(ps_open_reader(s, id, &ended));
	OK(ps_reader_finish(ended));
	for (unsigned i = 0; i < OTHERS; i++) {
		OK(ps_open_reader(s, id, &other));
		assert_ptr_not_equal(other, ended);
		OK(ps_reader_finish(other));
	}
	expect_reader_closed(ended);
}

static void no_session_is_an_invalid_argument(void **state)
{
	(void)state;
	char byte;
	size_t got;
	ps_id id;
	FAILS(PS_EINVAL, ps_writer_write(NULL, "x", 1));
	FAILS(PS_EINVAL, ps_writer_finish(NULL));
	FAILS(PS_EINVAL, ps_writer_abort(NULL));
	assert_true(ps_writer_id(NULL) == PS_ID_NONE);
	FAILS(PS_EINVAL, ps_reader_read(NULL, &byte, 1, &got));
	FAILS(PS_EINVAL, ps_reader_seek(NULL, 0));
	FAILS(PS_EINVAL, ps_reader_finish(NULL));
	FAILS(PS_EINVAL, ps_batch_put(NULL, "x", 1, &id));
	FAILS(PS_EINVAL, ps_batch_replace(NULL, 5, "x", 1));
	FAILS(PS_EINVAL, ps_batch_delete(NULL, 5));
	FAILS(PS_EINVAL, ps_batch_write_at(NULL, 5, 0, "x", 1));
	FAILS(PS_EINVAL, ps_batch_alloc(NULL, 1, &id));
	FAILS(PS_EINVAL, ps_batch_commit(NULL, PS_DURABLE));
	FAILS(PS_EINVAL, ps_batch_abort(NULL));
}

static void null_buffers_leave_a_session_usable(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 10, 1);
	char byte;
	size_t got;
	ps_reader *r;
	ps_writer *w;
	OK(ps_open_reader(s, id, &r));
	FAILS(PS_EINVAL, ps_reader_read(r, NULL, 1, &got));
	FAILS(PS_EINVAL, ps_reader_read(r, &byte, 1, NULL));
	OK(ps_reader_read(r, NULL, 0, &got));
	assert_int_equal(got, 0);
	OK(ps_reader_read(r, &byte, 1, &got));
	assert_int_equal(got, 1);
	OK(ps_reader_finish(r));
	OK(ps_open_writer(s, id, 1, &w));
	FAILS(PS_EINVAL, ps_writer_write(w, NULL, 1));
	FAILS(PS_ERANGE, ps_writer_write(w, &byte, SIZE_MAX));
	OK(ps_writer_write(w, "w", 1));
	OK(ps_writer_finish(w));
	expect_bytes(s, id, "w", 1);
}

/* Closing with a session open changes nothing: the store works, and so does the session. */
static void a_store_with_sessions_is_busy_and_unchanged(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 1000, 1), made;
	ps_batch *b;
	ps_reader *r;
	ps_writer *w;
	char buf[1000];
	size_t got;

	OK(ps_batch_begin(s, &b));
	OK(ps_batch_put(b, "batch", 5, &made));
	FAILS(PS_EBUSY, ps_close(s));
	OK(ps_batch_commit(b, PS_DURABLE));
	expect_bytes(s, made, "batch", 5);

	OK(ps_open_reader(s, id, &r));
	FAILS(PS_EBUSY, ps_close(s));
	OK(ps_reader_read(r, buf, sizeof(buf), &got));
	assert_int_equal(pattern_mismatch(buf, got, 1, 0), 1000);
	OK(ps_reader_finish(r));

	OK(ps_open_writer(s, id, 3, &w));
	OK(ps_writer_write(w, "wri", 3));
	FAILS(PS_EBUSY, ps_close(s));
	OK(ps_writer_finish(w));
	expect_bytes(s, id, "wri", 3);
}

static void many_sessions_are_open_at_once(void **state)
{
	ps_storer *s = store_of(state);
	enum { COUNT = 100 };
	ps_reader *readers[COUNT];
	ps_batch *batches[COUNT];
	ps_id made[COUNT], id = put_pattern(s, 100, 1);
	for (size_t i = 0; i < COUNT; i++) {
		OK(ps_open_reader(s, id, &readers[i]));
		OK(ps_batch_begin(s, &batches[i]));
		OK(ps_batch_put(batches[i], &i, sizeof(i), &made[i]));
	}
	for (size_t i = 0; i < COUNT; i++) {
		char buf[100];
		size_t got, place = i * 37 % COUNT;
		OK(ps_reader_read(readers[place], buf, sizeof(buf), &got));
		assert_int_equal(pattern_mismatch(buf, got, 1, 0), 100);
		OK(ps_reader_finish(readers[place]));
		OK(ps_batch_commit(batches[place], PS_RELAXED));
		expect_bytes(s, made[place], &place, sizeof(place));
	}
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_ended_session_is_closed_for_every_call),
    cmocka_unit_test(an_ended_session_stays_closed_for_256_others),
    cmocka_unit_test(no_session_is_an_invalid_argument),
    cmocka_unit_test(null_buffers_leave_a_session_usable),
    cmocka_unit_test(a_store_with_sessions_is_busy_and_unchanged),
    cmocka_unit_test(many_sessions_are_open_at_once),
};
CONFORMANCE_PART(sessions, tests);
