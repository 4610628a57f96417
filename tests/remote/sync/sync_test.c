/* Machines that share a store: what one has changed, the others have after a sync. */
#include "tests/remote/sync/sync_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *scheme = "mem";

static void a_store_has_a_head_from_its_beginning(void **state)
{
	(void)state;
	struct ps_remote_head head;
	struct blobs *a = blobs_new(scheme);
	assert_ok(ps_remote_head(a->r, &head));
	assert_int_equal(head.counter, 1);
	assert_int_equal(head.unanchored, 0);
	struct blobs *b = machine_new(a);
	assert_error(blobs_start(b, true), PS_EEXIST);
	machine_free(b);
	blobs_free(a);
}

static void opening_where_no_store_is_finds_none(void **state)
{
	(void)state;
	struct blobs *a = blobs_new(scheme);
	struct blobs *b = machine_new(a);
	b->key[0] ^= 1;
	assert_error(blobs_start(b, false), PS_ENOTFOUND);
	machine_free(b);
	blobs_free(a);
}

static void what_one_machine_puts_another_reads(void **state)
{
	(void)state;
	struct blobs *a = blobs_new(scheme);
	blobs_put(a, "empty", 0, 1);
	blobs_put(a, "small", 10, 2);
	blobs_put(a, "large", 300000, 3);
	struct ps_remote_sync_result result = sync_machine(a);
	assert_int_equal(result.sent, 3);
	assert_int_equal(result.head, 2);
	blobs_check(a);
	/* Only the key, and a state folder with nothing in it. */
	struct blobs *b = machine_open(a);
	struct ps_remote_head head;
	assert_ok(ps_remote_head(b->r, &head));
	assert_int_equal(head.counter, 2);
	assert_int_equal(head.unanchored, 1);
	blobs_expect(b, "empty", 0, 1);
	blobs_expect(b, "small", 10, 2);
	blobs_expect(b, "large", 300000, 3);
	assert_int_equal(sync_machine(b).sent, 0);
	blobs_update(b, "large", 200000, 4);
	assert_int_equal(sync_machine(b).sent, 1);
	assert_int_equal(sync_machine(a).received, 1);
	blobs_expect(a, "large", 200000, 4);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

/* Where its pad has something else by now that is newer, and longer: that is no lie of the network's. */
static void a_value_that_grew_elsewhere_is_told_as_superseded(void **state)
{
	static const size_t lens[] = {3000, 70000};
	uint8_t *bytes = malloc(100000);
	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		struct blobs *a = blobs_new(scheme);
		unsigned superseded = 0;
		blobs_put(a, "key", lens[i], 1);
		(void)sync_machine(a);
		struct blobs *b = machine_open(a);
		for (unsigned n = 2; n < 6; n++) {
			size_t got, from = lens[i] - 10;
			blobs_update(a, "key", lens[i] * n, n);
			(void)sync_machine(a);
			int err = ps_remote_get(b->r, "key", bytes, lens[i], &got, NULL);
			superseded += err == PS_ESUPERSEDED;
			assert_true(err == PS_OK || err == PS_ESUPERSEDED);
			err = ps_remote_read_at(b->r, "key", from, bytes, 10, &got, NULL);
			assert_true(err == PS_OK || err == PS_ESUPERSEDED);
		}
		assert_true(superseded > 0);
		(void)sync_machine(b);
		expect_same(a, b);
		machine_free(b);
		blobs_free(a);
	}
	free(bytes);
}

static void a_sync_without_changes_writes_nothing(void **state)
{
	(void)state;
	struct ps_mem_figures figures;
	struct blobs *a = blobs_new(scheme);
	blobs_put(a, "key", 10, 1);
	(void)sync_machine(a);
	ps_mem_figures(blobs_world(a), &figures, true);
	struct ps_remote_sync_result result = sync_machine(a);
	assert_int_equal(result.head, 2);
	ps_mem_figures(blobs_world(a), &figures, true);
	assert_int_equal(figures.requests[PS_NET_HEAD], 1);
	assert_int_equal(figures.requests[PS_NET_CREATE] + figures.requests[PS_NET_REPLACE] +
	                     figures.requests[PS_NET_GET] + figures.requests[PS_NET_GET_RANGE],
	                 0);
	blobs_free(a);
}

static void a_removed_key_stays_removed(void **state)
{
	(void)state;
	struct blobs *a = blobs_new(scheme);
	blobs_put(a, "key", 1000, 1);
	blobs_put(a, "other", 1000, 2);
	(void)sync_machine(a);
	struct blobs *b = machine_open(a);
	assert_ok(ps_remote_remove(a->r, "key"));
	assert_int_equal(sync_machine(a).sent, 1);
	assert_int_equal(sync_machine(b).removed, 1);
	expect_none(b, "key");
	blobs_update(b, "other", 500, 3);
	(void)sync_machine(b);
	(void)sync_machine(a);
	expect_none(a, "key");
	expect_same(a, b);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

/* Who changes the old key frees its pads and writes them anew: the renamed value must not be in them. */
static void a_renamed_value_outlives_a_change_of_its_old_key(void **state)
{
	(void)state;
	struct blobs *a = blobs_new(scheme);
	blobs_put(a, "old", 300000, 1);
	(void)sync_machine(a);
	struct blobs *b = machine_open(a);
	blobs_put(b, "of b", 10, 2);
	(void)sync_machine(b);
	(void)sync_machine(a);
	assert_ok(ps_remote_rename(a->r, "old", "new"));
	blobs_expect(a, "new", 300000, 1);
	expect_none(a, "old");
	blobs_update(b, "old", 300000, 3);
	(void)sync_machine(b);
	for (unsigned i = 0; i < 4; i++) {
		char key[16];
		snprintf(key, sizeof(key), "reuse %u", i);
		blobs_put(b, key, 300000, 4 + i);
	}
	(void)sync_machine(b);
	sync_all_machines((struct blobs *[]){a, b}, 2);
	blobs_expect(a, "new", 300000, 1);
	blobs_expect(b, "new", 300000, 1);
	blobs_expect(a, "old", 300000, 3);
	expect_same(a, b);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

static void both_changes_of_one_key_are_kept(void **state)
{
	(void)state;
	struct blobs *a = blobs_new(scheme);
	blobs_put(a, "key", 1000, 1);
	(void)sync_machine(a);
	struct blobs *b = machine_open(a);
	blobs_update(a, "key", 2000, 2);
	blobs_update(b, "key", 3000, 3);
	(void)sync_machine(a);
	struct ps_remote_sync_result result = sync_machine(b);
	assert_int_equal(result.conflicts, 1);
	(void)sync_machine(a);
	assert_int_equal(count_keys(a, "key"), 2);
	assert_int_equal(count_keys(a, "key (conflict "), 1);
	expect_same(a, b);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

/* Deltas are merged into each other and into the base, and the pads of those that are replaced are used
 * again: the network does not grow with the number of syncs. */
static void many_syncs_leave_few_runs(void **state)
{
	(void)state;
	struct ps_remote_head head;
	struct blobs *a = blobs_new(scheme);
	struct blobs *b = machine_open(a);
	for (unsigned i = 0; i < 60; i++) {
		char key[16];
		snprintf(key, sizeof(key), "key %u", i % 20);
		struct blobs *who = i % 3 == 0 ? b : a;
		if (i >= 20 && i % 5 == 0) {
			if (ps_remote_remove(who->r, key) != PS_OK)
				blobs_put(who, key, 100, i);
		} else {
			uint8_t *bytes = blobs_bytes(100 + i, i);
			struct ps_remote_put options = {.size = sizeof(options), .replace = 1};
			assert_ok(ps_remote_put(who->r, key, bytes, 100 + i, &options));
			test_free(bytes);
		}
		(void)sync_machine(who);
		(void)sync_machine(who == a ? b : a);
	}
	assert_ok(ps_remote_head(a->r, &head));
	assert_in_range(head.runs, 1, 10);
	expect_same(a, b);
	struct blobs *fresh = machine_open(a);
	expect_same(a, fresh);
	check_machines((struct blobs *[]){a, b}, 2);
	assert_in_range(blobs_listed(a), 20, 100);
	machine_free(fresh);
	machine_free(b);
	blobs_free(a);
}

/* ---- merging when nobody waits ---- */

static uint32_t runs_of(struct blobs *b)
{
	struct ps_remote_head head;
	assert_ok(ps_remote_head(b->r, &head));
	return head.runs;
}

/* A base that is too large to be merged while somebody waits, and deltas of more than a quarter of it. */
static void make_due(struct blobs *a)
{
	char key[300];
	for (unsigned i = 0; i < 220; i++) {
		snprintf(key, sizeof(key), "%0250u", i);
		blobs_put(a, key, 10, i);
	}
	(void)sync_machine(a);
	for (unsigned i = 0; i < 70; i++) {
		snprintf(key, sizeof(key), "%0250u", i);
		blobs_update(a, key, 20, i);
		struct ps_remote_sync_result result = sync_machine(a);
		assert_int_equal(result.sent, 1);
		assert_int_equal(result.merge_forced, 0);
		assert_in_range(result.run_bytes, 1, 64 << 10);
	}
	assert_true(runs_of(a) > 1);
}

static void a_sync_with_nothing_to_send_merges_what_was_left(void **state)
{
	struct blobs *a = blobs_new("mem");
	(void)state;
	make_due(a);
	struct blobs *b = machine_open(a);
	blobs_put(a, "last", 10, 1);
	uint64_t due = sync_machine(a).merge_due;
	assert_in_range(due, 64 << 10, 1 << 20);
	/* Who only looks writes nothing. */
	struct ps_remote_sync_result result = sync_machine(b);
	assert_int_equal(result.run_bytes + result.head_bytes, 0);
	assert_int_equal(result.merge_due, due);
	result = sync_machine(a);
	assert_int_equal(result.sent, 0);
	assert_int_equal(result.merged_bytes, due);
	assert_int_equal(result.merge_due, 0);
	assert_int_equal(runs_of(a), 1);
	result = sync_machine(a);
	assert_int_equal(result.run_bytes + result.head_bytes, 0);
	assert_int_equal(sync_machine(b).received, 0);
	expect_same(a, b);
	struct blobs *fresh = machine_open(a);
	expect_same(a, fresh);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(fresh);
	machine_free(b);
	blobs_free(a);
}

static void tidying_also_sends_what_was_changed(void **state)
{
	struct ps_remote_sync_result result;
	struct blobs *a = blobs_new("mem");
	struct blobs *b = machine_open(a);
	(void)state;
	make_due(a);
	(void)sync_machine(b);
	blobs_put(b, "of b", 10, 1);
	assert_ok(ps_remote_tidy(b->r, NULL, NULL, &result));
	assert_int_equal(result.sent, 1);
	assert_true(result.merged_bytes > 0);
	assert_int_equal(result.merge_due, 0);
	assert_int_equal(runs_of(b), 1);
	(void)sync_machine(a);
	expect_same(a, b);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

/* What was changed and not synced stays so: its pads, too. */
static void a_purge_merges_and_sends_no_change(void **state)
{
	struct ps_remote_info info;
	struct blobs *a = blobs_new("mem");
	struct blobs *b = machine_open(a);
	(void)state;
	make_due(a);
	blobs_put(a, "not synced", 10, 1);
	blobs_update(a, "not synced", 300, 2);
	assert_ok(ps_remote_purge(a->r, NULL, NULL, NULL));
	assert_int_equal(runs_of(a), 1);
	assert_ok(ps_remote_stat(a->r, "not synced", &info));
	assert_int_equal(info.synced, 0);
	blobs_expect(a, "not synced", 300, 2);
	(void)sync_machine(b);
	expect_none(b, "not synced");
	assert_int_equal(sync_machine(a).sent, 1);
	(void)sync_machine(b);
	expect_same(a, b);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

/* ---- syncs beside other calls ---- */

struct writer {
	struct blobs *b;
	uint64_t seed;
	unsigned changes;
};

static void *write_all_the_time(void *arg)
{
	struct writer *w = arg;
	struct dice dice = {w->seed};
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	for (unsigned i = 0; i < w->changes; i++) {
		char key[24], other[24];
		size_t len = roll_below(&dice, 2000);
		snprintf(key, sizeof(key), "%u key %u", (unsigned)w->seed, (unsigned)roll_below(&dice, 8));
		snprintf(other, sizeof(other), "%u moved %u", (unsigned)w->seed,
		         (unsigned)roll_below(&dice, 8));
		uint8_t bytes[2000];
		blobs_fill(bytes, len, i);
		int err = PS_OK;
		switch (roll_below(&dice, 6)) {
		case 0:
			err = ps_remote_remove(w->b->r, key);
			break;
		case 1:
			err = ps_remote_rename(w->b->r, key, other);
			break;
		default:
			err = ps_remote_put(w->b->r, key, bytes, len, &replace);
			break;
		}
		/* A sync has a key for a moment, and a put waits for it: never PS_EBUSY. */
		if (err != PS_OK && err != PS_ENOTFOUND && err != PS_EEXIST)
			return (void *)ps_error_name(err);
	}
	return NULL;
}

static void changes_go_on_while_a_sync_is_under_way(void **state)
{
	struct writer writers[2];
	pthread_t threads[2];
	struct blobs *a = blobs_new(scheme);
	struct blobs *b = machine_open(a);
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		writers[i] = (struct writer){a, i + 1, 60};
		assert_int_equal(pthread_create(&threads[i], NULL, write_all_the_time, &writers[i]), 0);
	}
	for (unsigned i = 0; i < 10; i++) {
		(void)sync_machine(a);
		(void)sync_machine(b);
	}
	for (unsigned i = 0; i < 2; i++) {
		void *failed;
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		if (failed)
			fail_msg("a change beside a sync: %s", (const char *)failed);
	}
	sync_all_machines((struct blobs *[]){a, b}, 2);
	expect_same(a, b);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

/* A put that begins when its key was sent, and that goes on when the head is there. */
struct meeting {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	struct blobs *b;
	unsigned calls;
	bool armed, reading, may_end, ended;
	int err;
};

static int read_slowly(void *arg, void *buf, size_t len, size_t *got)
{
	struct meeting *m = arg;
	pthread_mutex_lock(&m->lock);
	m->reading = true;
	pthread_cond_broadcast(&m->changed);
	while (!m->may_end)
		pthread_cond_wait(&m->changed, &m->lock);
	pthread_mutex_unlock(&m->lock);
	*got = m->ended ? 0 : len; /* the whole of it at once */
	m->ended = true;
	blobs_fill(buf, *got, 5);
	return PS_OK;
}

static void *put_slowly(void *arg)
{
	struct meeting *m = arg;
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	m->err = ps_remote_put_stream(m->b->r, "key", 500, read_slowly, m, &replace);
	return NULL;
}

/* Asked for the head's time, and then for the run's, when all is marked. */
static uint64_t tell_time(void *arg)
{
	struct meeting *m = arg;
	pthread_mutex_lock(&m->lock);
	if (m->armed && ++m->calls == 2) {
		m->armed = false;
		assert_int_equal(pthread_create(&m->thread, NULL, put_slowly, m), 0);
		while (!m->reading)
			pthread_cond_wait(&m->changed, &m->lock);
	}
	pthread_mutex_unlock(&m->lock);
	return 1;
}

static void what_a_call_has_is_settled_when_it_gives_it_back(void **state)
{
	struct meeting m = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	struct ps_remote_seams seams = {.wall_ns = tell_time, .wall_arg = &m};
	struct ps_remote_info info;
	struct blobs *a = blobs_new_with(scheme, &seams);
	(void)state;
	blobs_put(a, "key", 100, 1);
	blobs_put(a, "other", 100, 2);
	m.b = a;
	m.armed = true;
	assert_int_equal(sync_machine(a).sent, 2);
	assert_true(m.reading);
	assert_ok(ps_remote_stat(a->r, "other", &info));
	assert_int_equal(info.synced, 1);
	/* Another sync neither takes the key from the put nor sends it twice. */
	assert_int_equal(sync_machine(a).sent, 0);
	assert_error(ps_remote_close(a->r), PS_EBUSY);
	pthread_mutex_lock(&m.lock);
	m.may_end = true;
	pthread_cond_broadcast(&m.changed);
	pthread_mutex_unlock(&m.lock);
	assert_int_equal(pthread_join(m.thread, NULL), 0);
	assert_ok(m.err);
	assert_int_equal(sync_machine(a).sent, 1);
	blobs_expect(a, "key", 500, 5);
	assert_ok(ps_remote_stat(a->r, "key", &info));
	assert_int_equal(info.synced, 1);
	struct blobs *b = machine_new(a);
	b->seams = (struct ps_remote_seams){0};
	assert_ok(blobs_start_again(b, false));
	expect_same(a, b);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

/* ---- keys that only read ---- */

static void start_reader(struct blobs *reader, struct blobs *first)
{
	struct ps_pad_name name = head_name_of(first);
	struct ps_remote_setup setup = {.url = reader->url,
	                                .options = &reader->options,
	                                .seams = &reader->seams,
	                                .head_name = name.bytes};
	uint8_t root[PS_KEY];
	ps_keys_read_root(first->r->keys, root);
	assert_ok(ps_keys_new_read_only(root, NULL, &setup.keys));
	assert_ok(ps_remote_start(&setup, &reader->r));
}

static void a_key_that_only_reads_takes_and_never_writes(void **state)
{
	struct ps_mem_figures figures;
	struct blobs *a = blobs_new(scheme);
	struct blobs *b = machine_new(a);
	(void)state;
	blobs_put(a, "key", 300000, 1);
	(void)sync_machine(a);
	ps_mem_figures(blobs_world(a), &figures, true);
	start_reader(b, a);
	blobs_expect(b, "key", 300000, 1);
	assert_error(ps_remote_put(b->r, "other", "", 0, NULL), PS_EREADONLY);
	assert_error(ps_remote_remove(b->r, "key"), PS_EREADONLY);
	ps_mem_figures(blobs_world(a), &figures, true);
	assert_int_equal(figures.requests[PS_NET_CREATE] + figures.requests[PS_NET_REPLACE] +
	                     figures.requests[PS_NET_REMOVE],
	                 0);
	blobs_update(a, "key", 100, 2);
	(void)sync_machine(a);
	ps_mem_figures(blobs_world(a), &figures, true);
	assert_int_equal(sync_machine(b).received, 1);
	blobs_expect(b, "key", 100, 2);
	blobs_close(b);
	start_reader(b, a);
	blobs_expect(b, "key", 100, 2);
	ps_mem_figures(blobs_world(a), &figures, true);
	assert_int_equal(figures.requests[PS_NET_CREATE] + figures.requests[PS_NET_REPLACE] +
	                     figures.requests[PS_NET_REMOVE],
	                 0);
	machine_free(b);
	blobs_free(a);
}

/* ---- who was away ---- */

/* All that could be forgotten of a removal is forgotten, and one who knew the key comes back. */
static void a_removed_key_stays_removed_for_one_who_was_away(void **state)
{
	struct ps_remote_stats stats;
	char key[16];
	struct blobs *a = blobs_new(scheme);
	struct blobs *reader = machine_new(a);
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		blobs_put(a, key, 100, i);
	}
	(void)sync_machine(a);
	/* A reader is not listed: nobody waits for it. */
	start_reader(reader, a);
	assert_ok(ps_remote_remove(a->r, "key 3"));
	(void)sync_machine(a);
	for (unsigned i = 4; i < 20; i++) { /* the base is merged, again and again */
		snprintf(key, sizeof(key), "key %u", i);
		blobs_update(a, key, 200, i);
		(void)sync_machine(a);
	}
	blobs_stats(a, &stats);
	assert_int_equal(stats.tombstones, 0);
	assert_int_equal(count_keys(reader, "key 3"), 1);
	(void)sync_machine(reader);
	expect_none(reader, "key 3");
	expect_same(a, reader);
	machine_free(reader);
	/* One that writes, too: what it has changed of what was removed comes back. */
	struct blobs *b = machine_open(a);
	assert_ok(ps_remote_remove(a->r, "key 4"));
	assert_ok(ps_remote_remove(a->r, "key 5"));
	(void)sync_machine(a);
	blobs_update(b, "key 5", 300, 55);
	(void)sync_machine(b);
	(void)sync_machine(a);
	expect_none(b, "key 4");
	blobs_expect(a, "key 5", 300, 55);
	expect_same(a, b);
	machine_free(b);
	blobs_free(a);
}

/* One that is too far behind for the head to tell where it comes from takes a head code. */
static void a_machine_far_behind_takes_a_head_code(void **state)
{
	struct ps_remote_head head;
	struct blobs *a = blobs_new(scheme);
	struct blobs *b = machine_open(a);
	(void)state;
	for (unsigned i = 0; i < 258; i++) {
		assert_ok(ps_remote_put(
		    a->r, "key", &i, sizeof(i),
		    &(struct ps_remote_put){.size = sizeof(struct ps_remote_put), .replace = 1}));
		(void)sync_machine(a);
	}
	blobs_put(b, "of b", 10, 1);
	sync_fails(b, PS_EFORK);
	blobs_close(b);
	assert_ok(ps_remote_head(a->r, &head));
	b->options.head_code = head.code;
	assert_ok(blobs_start_again(b, false));
	assert_int_equal(sync_machine(b).received, 1);
	(void)sync_machine(a);
	expect_same(a, b);
	machine_free(b);
	blobs_free(a);
}

static int refuse(void *arg, const struct ps_remote_progress *progress)
{
	unsigned *calls = arg;
	return progress->phase == PS_REMOTE_RUNNING && ++*calls > 1;
}

static int sync_within(void *arg, const struct ps_remote_progress *progress)
{
	struct blobs *b = arg;
	if (progress->phase == PS_REMOTE_RUNNING)
		assert_error(ps_remote_sync(b->r, NULL, NULL, NULL), PS_EBUSY);
	return 0;
}

static void a_second_sync_is_refused_and_a_cancelled_one_goes_on_later(void **state)
{
	unsigned calls = 0;
	struct blobs *a = blobs_new(scheme);
	(void)state;
	blobs_put(a, "key", 1000, 1);
	int err = ps_remote_sync(a->r, refuse, &calls, NULL);
	assert_true(err == PS_ECANCELED || (err == PS_OK && calls <= 1));
	assert_ok(ps_remote_sync(a->r, sync_within, a, NULL));
	struct blobs *b = machine_open(a);
	blobs_expect(b, "key", 1000, 1);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

static const struct CMUnitTest anywhere[] = {
    cmocka_unit_test(a_store_has_a_head_from_its_beginning),
    cmocka_unit_test(opening_where_no_store_is_finds_none),
    cmocka_unit_test(what_one_machine_puts_another_reads),
    cmocka_unit_test(a_removed_key_stays_removed),
    cmocka_unit_test(a_renamed_value_outlives_a_change_of_its_old_key),
    cmocka_unit_test(both_changes_of_one_key_are_kept),
    cmocka_unit_test(a_value_that_grew_elsewhere_is_told_as_superseded),
    cmocka_unit_test(many_syncs_leave_few_runs),
    cmocka_unit_test(changes_go_on_while_a_sync_is_under_way),
    cmocka_unit_test(what_a_call_has_is_settled_when_it_gives_it_back),
    cmocka_unit_test(a_removed_key_stays_removed_for_one_who_was_away),
    cmocka_unit_test(a_second_sync_is_refused_and_a_cancelled_one_goes_on_later),
};

/* Those that look at what the network was asked, or need more syncs than an engine makes in a second. */
static const struct CMUnitTest on_mem[] = {
    cmocka_unit_test(a_sync_without_changes_writes_nothing),
    cmocka_unit_test(a_sync_with_nothing_to_send_merges_what_was_left),
    cmocka_unit_test(tidying_also_sends_what_was_changed),
    cmocka_unit_test(a_purge_merges_and_sends_no_change),
    cmocka_unit_test(a_key_that_only_reads_takes_and_never_writes),
    cmocka_unit_test(a_machine_far_behind_takes_a_head_code),
};

/* sync_test [SCHEME] */
int main(int argc, char **argv)
{
	if (argc > 1)
		scheme = argv[1];
	int failed = cmocka_run_group_tests_name("sync", anywhere, NULL, NULL);
	if (strcmp(scheme, "mem") == 0)
		failed += cmocka_run_group_tests_name("sync, mem", on_mem, NULL, NULL);
	return failed;
}
