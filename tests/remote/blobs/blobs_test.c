/* Values on networks that do what they should: mem: and dir:. */
#include <stdio.h>
#include <string.h>

#include "tests/remote/blobs/blobs_fixture.h"

enum { PAD = 128 << 10 };

static const char *scheme = "mem";

static void values_of_every_size_come_back(void **state)
{
	static const size_t sizes[] = {0,       1,       4096,        4097,    PAD - 1,    PAD,
	                               PAD + 1, 2 * PAD, 3 * PAD - 5, 3 * PAD, 3 * PAD + 1};
	struct blobs *b = blobs_new(scheme);
	char key[32];
	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		snprintf(key, sizeof(key), "value %u", i);
		blobs_put(b, key, sizes[i], i);
		blobs_expect(b, key, sizes[i], i);
	}
	blobs_check(b);
	blobs_reopen(b);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		snprintf(key, sizeof(key), "value %u", i);
		blobs_expect(b, key, sizes[i], i);
	}
	blobs_check(b);
	blobs_free(b);
}

static void a_complete_value_is_not_overwritten(void **state)
{
	struct blobs *b = blobs_new(scheme);
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	(void)state;
	blobs_put(b, "key", 1000, 1);
	assert_error(ps_remote_put(b->r, "key", "other", 5, NULL), PS_EEXIST);
	blobs_expect(b, "key", 1000, 1);
	assert_ok(ps_remote_put(b->r, "key", "other", 5, &replace));
	char buf[8];
	size_t len = 0;
	assert_ok(ps_remote_get(b->r, "key", buf, sizeof(buf), &len, NULL));
	assert_int_equal(len, 5);
	assert_memory_equal(buf, "other", 5);
	assert_error(ps_remote_update(b->r, "absent", "x", 1, NULL), PS_ENOTFOUND);
	assert_error(ps_remote_get(b->r, "absent", buf, sizeof(buf), &len, NULL), PS_ENOTFOUND);
	blobs_check(b);
	blobs_free(b);
}

static void updates_grow_shrink_and_stay(void **state)
{
	static const size_t sizes[] = {3 * PAD, 5 * PAD + 7, PAD / 2, 0, 2 * PAD, 2 * PAD, 1};
	struct blobs *b = blobs_new(scheme);
	struct ps_remote_stats stats;
	(void)state;
	blobs_put(b, "key", PAD, 99);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		blobs_update(b, "key", sizes[i], i);
		blobs_expect(b, "key", sizes[i], i);
		blobs_check(b);
	}
	blobs_stats(b, &stats);
	assert_int_equal(stats.values, 1);
	assert_int_equal(stats.bytes, 1);
	/* The largest update needed six beside the three that were read until then. */
	assert_true(stats.pads <= 9);
	assert_int_equal(blobs_listed(b), stats.pads);
	blobs_free(b);
}

static void unchanged_chunks_are_not_sent_again(void **state)
{
	struct blobs *b = blobs_new(scheme);
	struct ps_remote_stats before, after;
	uint8_t *bytes = blobs_bytes(8 * PAD, 5);
	(void)state;
	assert_ok(ps_remote_put(b->r, "key", bytes, 8 * PAD, NULL));
	bytes[3 * PAD + 17] ^= 1;
	blobs_stats(b, &before);
	assert_ok(ps_remote_update(b->r, "key", bytes, 8 * PAD, NULL));
	blobs_stats(b, &after);
	assert_true(after.sent_bytes - before.sent_bytes < 2 * PAD);
	uint8_t *is = test_malloc(8 * PAD);
	size_t len;
	assert_ok(ps_remote_get(b->r, "key", is, 8 * PAD, &len, NULL));
	assert_memory_equal(is, bytes, 8 * PAD);
	blobs_reopen(b);
	/* Growing by a part keeps all that was whole. */
	uint8_t *more = blobs_bytes(9 * PAD, 6);
	memcpy(more, bytes, 8 * PAD);
	blobs_stats(b, &before);
	assert_ok(ps_remote_update(b->r, "key", more, 9 * PAD, NULL));
	blobs_stats(b, &after);
	assert_true(after.sent_bytes - before.sent_bytes < 2 * PAD);
	blobs_check(b);
	test_free(bytes);
	test_free(more);
	test_free(is);
	blobs_free(b);
}

static void free_pads_are_taken_before_new_ones_are_made(void **state)
{
	struct blobs *b = blobs_new(scheme);
	struct ps_remote_stats stats;
	(void)state;
	blobs_put(b, "a", 4 * PAD, 1);
	assert_ok(ps_remote_remove(b->r, "a"));
	blobs_stats(b, &stats);
	assert_int_equal(stats.free_pads, 4);
	blobs_reopen(b);
	blobs_put(b, "b", 4 * PAD, 2);
	blobs_stats(b, &stats);
	assert_int_equal(stats.free_pads, 0);
	assert_int_equal(blobs_listed(b), 4);
	blobs_expect(b, "b", 4 * PAD, 2);
	assert_error(ps_remote_remove(b->r, "a"), PS_ENOTFOUND);
	blobs_check(b);
	blobs_free(b);
}

static void ranges_fetch_what_they_need(void **state)
{
	struct blobs *b = blobs_new(scheme);
	size_t len = 3 * PAD + 999, got;
	uint8_t *should = blobs_bytes(len, 8), *is = test_malloc(len);
	(void)state;
	blobs_put(b, "key", len, 8);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t from = (i * 7919u * 131u) % (len + 10), n = (i * 104729u) % (i % 3 ? 5000 : len);
		assert_ok(ps_remote_read_at(b->r, "key", from, is, n, &got, NULL));
		size_t want = from >= len ? 0 : len - from < n ? len - from : n;
		assert_int_equal(got, want);
		assert_memory_equal(is, should + (from < len ? from : 0), got);
	}
	test_free(should);
	test_free(is);
	blobs_free(b);
}

struct stream {
	uint8_t *bytes;
	size_t len, at, step;
	int fail_at;
};

static int read_some(void *arg, void *buf, size_t len, size_t *got)
{
	struct stream *s = arg;
	size_t n = s->len - s->at < len ? s->len - s->at : len;
	n = n < s->step ? n : s->step;
	memcpy(buf, s->bytes + s->at, n);
	s->at += n;
	*got = n;
	return PS_OK;
}

static int write_some(void *arg, const void *data, size_t len)
{
	struct stream *s = arg;
	assert_true(s->at + len <= s->len);
	assert_memory_equal(s->bytes + s->at, data, len);
	s->at += len;
	return PS_OK;
}

static void streams_of_known_and_unknown_length(void **state)
{
	static const size_t sizes[] = {0, 1, PAD, 5 * PAD, 40 * PAD + 3};
	struct blobs *b = blobs_new(scheme);
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct stream s = {.bytes = blobs_bytes(sizes[i], i), .len = sizes[i], .step = 30011};
		assert_ok(ps_remote_put_stream(b->r, "key", UINT64_MAX, read_some, &s, &replace));
		blobs_expect(b, "key", sizes[i], i);
		s.at = 0;
		assert_ok(ps_remote_put_stream(b->r, "key", sizes[i], read_some, &s, &replace));
		s.at = 0;
		assert_ok(ps_remote_get_stream(b->r, "key", 0, UINT64_MAX, write_some, &s, NULL));
		assert_int_equal(s.at, sizes[i]);
		s.at = 0;
		assert_error(ps_remote_put_stream(b->r, "key", sizes[i] + 1, read_some, &s, &replace),
		             PS_ERANGE);
		blobs_expect(b, "key", sizes[i], i);
		blobs_check(b);
		test_free(s.bytes);
	}
	blobs_free(b);
}

static int count_keys(void *arg, const struct ps_remote_info *info)
{
	unsigned *count = arg;
	assert_int_equal(info->complete, 1);
	(*count)++;
	return 0;
}

static void keys_are_listed_renamed_and_removed(void **state)
{
	struct blobs *b = blobs_new(scheme);
	struct ps_remote_info info;
	unsigned count = 0;
	(void)state;
	blobs_put(b, "a/1", 10, 1);
	blobs_put(b, "a/2", 20, 2);
	blobs_put(b, "b/1", 30, 3);
	assert_ok(ps_remote_list(b->r, "a/", count_keys, &count));
	assert_int_equal(count, 2);
	assert_error(ps_remote_rename(b->r, "a/1", "b/1"), PS_EEXIST);
	assert_error(ps_remote_rename(b->r, "none", "c"), PS_ENOTFOUND);
	assert_ok(ps_remote_rename(b->r, "a/1", "c"));
	blobs_expect(b, "c", 10, 1);
	assert_error(ps_remote_stat(b->r, "a/1", &info), PS_ENOTFOUND);
	assert_ok(ps_remote_stat(b->r, "c", &info));
	assert_int_equal(info.size, 10);
	assert_ok(ps_remote_remove(b->r, "c"));
	assert_error(ps_remote_remove(b->r, "c"), PS_ENOTFOUND);
	blobs_put(b, "c", 40, 4);
	blobs_expect(b, "c", 40, 4);
	blobs_check(b);
	blobs_free(b);
}

static void a_store_is_made_once_and_never_by_opening(void **state)
{
	struct blobs *b = blobs_new(scheme);
	ps_remote *r = b->r;
	(void)state;
	assert_error(blobs_start(b, true), PS_EEXIST);
	assert_error(blobs_start(b, false), PS_EBUSY);
	b->r = r;
	blobs_close(b);
	b->key[0] ^= 1;
	assert_error(blobs_start(b, false), PS_ENOTFOUND);
	b->key[0] ^= 1;
	assert_ok(blobs_start(b, false));
	blobs_free(b);
}

/* A put of one small value: what is sent, and the look that confirms it. */
static void a_small_put_takes_two_requests(void **state)
{
	struct blobs *b = blobs_new(scheme);
	struct ps_remote_stats before, after;
	(void)state;
	blobs_stats(b, &before);
	blobs_put(b, "key", 1024, 1);
	blobs_stats(b, &after);
	assert_int_equal(after.requests - before.requests, 2);
	blobs_free(b);
}

static bool told_apart(void)
{
	return strstr(ps_last_error_message(), "these contents already");
}

struct source {
	uint8_t *bytes;
	size_t len, at;
};

/* In pieces. */
static int read_source(void *arg, void *buf, size_t len, size_t *got)
{
	struct source *source = arg;
	size_t left = source->len - source->at, piece = len < 70001 ? len : 70001;
	*got = left < piece ? left : piece;
	memcpy(buf, source->bytes + source->at, *got);
	source->at += *got;
	return PS_OK;
}

/* As after a call that was interrupted, and that had completed by then. */
static void a_repeated_put_is_told_from_another_value(void **state)
{
	static const size_t sizes[] = {0, 1, 128 << 10, 300000};
	struct blobs *b = blobs_new(scheme);
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		char key[16];
		uint8_t *same = blobs_bytes(sizes[i], 5), *other = blobs_bytes(sizes[i] + 1, 5);
		struct source source = {same, sizes[i], 0};
		snprintf(key, sizeof(key), "key %u", i);
		blobs_put(b, key, sizes[i], 5);
		assert_error(ps_remote_put(b->r, key, same, sizes[i], NULL), PS_EEXIST);
		assert_true(told_apart());
		assert_error(ps_remote_put_stream(b->r, key, sizes[i], read_source, &source, NULL),
		             PS_EEXIST);
		assert_true(told_apart());
		assert_error(ps_remote_put(b->r, key, other, sizes[i] + 1, NULL), PS_EEXIST);
		assert_false(told_apart());
		if (sizes[i] > 0) {
			same[sizes[i] - 1] ^= 1;
			assert_error(ps_remote_put(b->r, key, same, sizes[i], NULL), PS_EEXIST);
			assert_false(told_apart());
			source = (struct source){same, sizes[i] - 1, 0}; /* ends early */
			assert_error(ps_remote_put_stream(b->r, key, sizes[i], read_source, &source, NULL),
			             PS_EEXIST);
			assert_false(told_apart());
		}
		blobs_expect(b, key, sizes[i], 5);
		test_free(same);
		test_free(other);
	}
	blobs_free(b);
}

/* What one call has shown of itself. */
struct shown {
	struct blobs *b;
	const char *operation;
	unsigned plans, ends, late; /* late: plans after the call's first request */
	uint64_t before;            /* requests */
	uint64_t moved;             /* pads done, and bytes of records, at the end */
};

static int take_shown(void *arg, const struct ps_remote_progress *progress)
{
	struct shown *shown = arg;
	struct ps_remote_stats stats;
	if (strcmp(progress->operation, shown->operation) != 0)
		return 0;
	blobs_stats(shown->b, &stats);
	shown->plans += progress->phase == PS_REMOTE_PLAN;
	shown->late += progress->phase == PS_REMOTE_PLAN && stats.requests > shown->before;
	shown->ends += progress->phase == PS_REMOTE_END;
	if (progress->phase == PS_REMOTE_END)
		shown->moved = progress->pads_done + progress->sent_bytes + progress->received_bytes;
	return 0;
}

static int do_operation(struct blobs *b, const char *name)
{
	uint8_t bytes[100];
	size_t len;
	blobs_fill(bytes, sizeof(bytes), 1);
	if (strcmp(name, "put") == 0)
		return ps_remote_put(b->r, "key", bytes, sizeof(bytes), NULL);
	if (strcmp(name, "get") == 0)
		return ps_remote_get(b->r, "key", bytes, sizeof(bytes), &len, NULL);
	if (strcmp(name, "update") == 0)
		return ps_remote_update(b->r, "key", bytes, sizeof(bytes) - 1, NULL);
	if (strcmp(name, "reserve") == 0)
		return ps_remote_reserve(b->r, 2, PS_REMOTE_SMALL);
	if (strcmp(name, "sync") == 0)
		return ps_remote_sync(b->r, NULL, NULL, NULL);
	if (strcmp(name, "health") == 0)
		return ps_remote_health_check(b->r, NULL, &(struct ps_remote_health_result){0});
	if (strcmp(name, "gc") == 0)
		return ps_remote_gc(b->r, NULL, NULL);
	return ps_remote_purge(b->r, NULL, NULL, &(struct ps_remote_purge_result){0});
}

static void every_operation_shows_itself(void **state)
{
	static const struct {
		const char *name;
		bool plans; /* before its first request */
	} operations[] = {{"put", true},   {"get", true},    {"update", true}, {"reserve", true},
	                  {"sync", false}, {"health", true}, {"gc", false},    {"purge", true}};
	struct blobs *b = blobs_new(scheme);
	(void)state;
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		struct shown shown = {.b = b, .operation = operations[i].name};
		struct ps_remote_stats stats;
		blobs_stats(b, &stats);
		shown.before = stats.requests;
		b->r->options.progress = take_shown;
		b->r->options.progress_arg = &shown;
		assert_ok(do_operation(b, operations[i].name));
		b->r->options.progress = NULL;
		assert_int_equal(shown.ends, 1);
		assert_true(!operations[i].plans || (shown.plans == 1 && shown.late == 0));
		assert_true(shown.moved > 0 || strcmp(shown.operation, "purge") == 0);
	}
	blobs_free(b);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_of_every_size_come_back),
	    cmocka_unit_test(a_complete_value_is_not_overwritten),
	    cmocka_unit_test(updates_grow_shrink_and_stay),
	    cmocka_unit_test(unchanged_chunks_are_not_sent_again),
	    cmocka_unit_test(free_pads_are_taken_before_new_ones_are_made),
	    cmocka_unit_test(ranges_fetch_what_they_need),
	    cmocka_unit_test(streams_of_known_and_unknown_length),
	    cmocka_unit_test(keys_are_listed_renamed_and_removed),
	    cmocka_unit_test(a_store_is_made_once_and_never_by_opening),
	    cmocka_unit_test(a_small_put_takes_two_requests),
	    cmocka_unit_test(a_repeated_put_is_told_from_another_value),
	    cmocka_unit_test(every_operation_shows_itself),
	};
	if (argc > 1)
		scheme = argv[1];
	return cmocka_run_group_tests_name(scheme, tests, NULL, NULL);
}
