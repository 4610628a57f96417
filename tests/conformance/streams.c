/* Readers and writers. */
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"

enum { MIB = 1 << 20 };

static void write_in_pieces(ps_writer *w, const unsigned char *bytes, size_t len, size_t piece)
{
	for (size_t at = 0; at < len; at += piece)
		OK(ps_writer_write(w, bytes + at, len - at < piece ? len - at : piece));
}

static void stream_new(ps_storer *s, size_t size, bool known, size_t piece)
{
	unsigned char *bytes = pattern_new(size, size);
	ps_writer *w = NULL;
	OK(ps_open_writer(s, PS_ID_NONE, known ? size : PS_SIZE_UNKNOWN, &w));
	ps_id id = ps_writer_id(w);
	assert_true(id != PS_ID_NONE);
	write_in_pieces(w, bytes, size, piece);
	expect_missing(s, id);
	OK(ps_writer_finish(w));
	assert_true(ps_writer_id(w) == PS_ID_NONE);
	expect_bytes(s, id, bytes, size);
	OK(ps_delete(s, id));
	free(bytes);
}

static void writers_make_objects_of_every_size(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 0; i < conformance_size_count; i++) {
		for (int known = 0; known < 2; known++) {
			stream_new(s, conformance_sizes[i], known, 7777);
			stream_new(s, conformance_sizes[i], known, 65536);
		}
	}
	stream_new(s, 5 * MIB + 3, false, 100000);
	stream_new(s, 5 * MIB + 3, true, 2 * MIB);
}

static void a_writer_replaces_an_object_only_at_finish(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 0; i < conformance_size_count; i++) {
		size_t size = conformance_sizes[i];
		unsigned char *bytes = pattern_new(size, i);
		ps_id id = put_pattern(s, 1000, 500);
		ps_writer *w = NULL;
		OK(ps_open_writer(s, id, i % 2 ? size : PS_SIZE_UNKNOWN, &w));
		assert_true(ps_writer_id(w) == id);
		write_in_pieces(w, bytes, size, 30000);
		expect_pattern(s, id, 1000, 500);
		OK(ps_writer_finish(w));
		expect_bytes(s, id, bytes, size);
		free(bytes);
	}
}

static void an_aborted_writer_leaves_nothing(void **state)
{
	ps_storer *s = store_of(state);
	ps_id old = put_pattern(s, 1000, 1);
	ps_writer *over = NULL, *fresh = NULL;
	unsigned char *bytes = pattern_new(2 * MIB, 2);
	OK(ps_open_writer(s, old, PS_SIZE_UNKNOWN, &over));
	OK(ps_open_writer(s, PS_ID_NONE, 2 * MIB, &fresh));
	ps_id id = ps_writer_id(fresh);
	OK(ps_writer_write(over, bytes, 2 * MIB));
	OK(ps_writer_write(fresh, bytes, MIB));
	OK(ps_writer_abort(over));
	OK(ps_writer_abort(fresh));
	expect_pattern(s, old, 1000, 1);
	expect_missing(s, id);
	assert_int_equal(count_objects(s), 1);
	free(bytes);
}

static void a_declared_size_is_kept_to(void **state)
{
	ps_storer *s = store_of(state);
	static const size_t sizes[] = {1, 100, 5000, 200000, 2 * MIB};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i];
		unsigned char *bytes = pattern_new(size + 1, i);
		ps_writer *w = NULL;
		OK(ps_open_writer(s, PS_ID_NONE, size, &w));
		ps_id id = ps_writer_id(w);
		FAILS(PS_ERANGE, ps_writer_write(w, bytes, size + 1));
		FAILS(PS_ERANGE, ps_writer_finish(w));
		OK(ps_writer_write(w, bytes, size - 1));
		FAILS(PS_ERANGE, ps_writer_write(w, bytes + size - 1, 2));
		FAILS(PS_ERANGE, ps_writer_finish(w));
		assert_true(ps_writer_id(w) == id);
		OK(ps_writer_write(w, bytes + size - 1, 1));
		FAILS(PS_ERANGE, ps_writer_write(w, bytes, 1));
		OK(ps_writer_write(w, NULL, 0));
		OK(ps_writer_finish(w));
		expect_bytes(s, id, bytes, size);
		free(bytes);
	}
}

static void a_writer_over_an_object_deleted_meanwhile_is_refused(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 10, 1);
	ps_writer *w = NULL;
	OK(ps_open_writer(s, id, PS_SIZE_UNKNOWN, &w));
	OK(ps_writer_write(w, "new", 3));
	UNDER_SESSION(s, ps_delete(s, id));
	if (sessions_lock(s)) {
		OK(ps_writer_finish(w));
		expect_bytes(s, id, "new", 3);
		return;
	}
	FAILS(PS_ENOTFOUND, ps_writer_finish(w));
	FAILS(PS_ECLOSED, ps_writer_abort(w));
	expect_missing(s, id);
}

static void expect_stream(ps_reader *r, size_t size, uint64_t seed, size_t piece)
{
	unsigned char *buf = malloc(piece);
	assert_non_null(buf);
	for (size_t at = 0;;) {
		size_t got = SIZE_MAX;
		OK(ps_reader_read(r, buf, piece, &got));
		assert_int_equal(got, size - at < piece ? size - at : piece);
		assert_int_equal(pattern_mismatch(buf, got, seed, at), got);
		at += got;
		if (got < piece)
			break;
	}
	free(buf);
}

static void readers_read_every_size(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 0; i < conformance_size_count; i++) {
		ps_id id = put_pattern(s, conformance_sizes[i], i);
		ps_reader *r = NULL;
		OK(ps_open_reader(s, id, &r));
		expect_stream(r, conformance_sizes[i], i, 50000);
		OK(ps_reader_seek(r, 0));
		expect_stream(r, conformance_sizes[i], i, 4099);
		OK(ps_reader_finish(r));
	}
}

static void seek_moves_and_past_the_end_nothing_is_read(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 100000, 1);
	ps_reader *r = NULL;
	unsigned char buf[1000];
	size_t got;
	OK(ps_open_reader(s, id, &r));
	const uint64_t offs[] = {50, 99000, 65530, 0, 4096};
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
		OK(ps_reader_seek(r, offs[i]));
		for (unsigned j = 0; j < 2 && offs[i] < 99000; j++) {
			OK(ps_reader_read(r, buf, sizeof(buf), &got));
			assert_int_equal(got, sizeof(buf));
			assert_int_equal(pattern_mismatch(buf, got, 1, offs[i] + j * sizeof(buf)), got);
		}
	}
	const uint64_t past[] = {100000, 100001, PS_SIZE_MAX};
	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		OK(ps_reader_seek(r, past[i]));
		got = 1;
		OK(ps_reader_read(r, buf, sizeof(buf), &got));
		assert_int_equal(got, 0);
	}
	OK(ps_reader_seek(r, 99999));
	OK(ps_reader_read(r, buf, sizeof(buf), &got));
	assert_int_equal(got, 1);
	FAILS(PS_ERANGE, ps_reader_seek(r, PS_SIZE_MAX + 1));
	OK(ps_reader_finish(r));
}

static void a_reader_keeps_its_version(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 0; i < conformance_size_count; i++) {
		size_t size = conformance_sizes[i];
		ps_id id = put_pattern(s, size, i);
		ps_reader *first = NULL, *second = NULL;
		OK(ps_open_reader(s, id, &first));
		UNDER_SESSION(s, ps_write_at(s, id, size / 3, "changed", 7));
		UNDER_SESSION(s, ps_replace(s, id, "replaced", 8));
		if (sessions_lock(s)) {
			expect_stream(first, size, i, 65536);
			OK(ps_reader_finish(first));
			continue;
		}
		OK(ps_open_reader(s, id, &second));
		OK(ps_delete(s, id));
		/* Space that the delete gave back must not be the readers'. */
		ps_id other = put_pattern(s, size, i + 70);
		OK(ps_sync(s));
		ps_id third = put_pattern(s, size, i + 80);
		expect_stream(first, size, i, 65536);
		char buf[20];
		size_t got;
		OK(ps_reader_read(second, buf, sizeof(buf), &got));
		assert_int_equal(got, 8);
		assert_memory_equal(buf, "replaced", 8);
		OK(ps_reader_finish(first));
		OK(ps_reader_finish(second));
		OK(ps_delete(s, other));
		OK(ps_delete(s, third));
	}
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(writers_make_objects_of_every_size),
    cmocka_unit_test(a_writer_replaces_an_object_only_at_finish),
    cmocka_unit_test(an_aborted_writer_leaves_nothing),
    cmocka_unit_test(a_declared_size_is_kept_to),
    cmocka_unit_test(a_writer_over_an_object_deleted_meanwhile_is_refused),
    cmocka_unit_test(readers_read_every_size),
    cmocka_unit_test(seek_moves_and_past_the_end_nothing_is_read),
    cmocka_unit_test(a_reader_keeps_its_version),
};
CONFORMANCE_PART(streams, tests);
