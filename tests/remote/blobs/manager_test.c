/* What the manager does with pads when a network is not kind: recycled, settled, fenced, deleted, forgotten,
 * confirmed later, repaired; and the limits that a caller sets. */
#include <stdio.h>
#include <string.h>

#include "tests/remote/blobs/blobs_fixture.h"

enum { PAD = 128 << 10 };

static const char *scheme = "mem";
static uint64_t wall_ns = 1000 * PS_SECOND_NS;

static uint64_t wall(void *arg)
{
	(void)arg;
	return wall_ns;
}

static struct blobs *new_blobs(void)
{
	struct ps_remote_seams seams = {.wall_ns = wall, .backoff_ms = 1};
	return blobs_new_with(scheme, &seams);
}

static unsigned add_rule(struct blobs *b, const struct ps_mem_rule *rule)
{
	unsigned number;
	assert_ok(ps_mem_rule_add(blobs_world(b), rule, &number));
	return number;
}

static void clear_rules(struct blobs *b)
{
	ps_mem_rule_remove(blobs_world(b), 0);
}

static int put(struct blobs *b, const char *key, size_t len, uint64_t seed, const struct ps_remote_put *o)
{
	uint8_t *bytes = blobs_bytes(len, seed);
	int err = ps_remote_put(b->r, key, bytes, len, o);
	test_free(bytes);
	return err;
}

/* ---- writes that fail ---- */

static void a_pad_that_cannot_be_written_is_replaced_by_another(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_stats stats;
	(void)state;
	/* Told as a conflict although nothing is there: looked at, sent again, and again a conflict. */
	const struct ps_mem_rule lie = {.fault = PS_MEM_LIE_DONE, .first = 2, .count = 1};
	add_rule(b, &lie);
	blobs_put(b, "key", 4 * PAD, 1);
	clear_rules(b);
	blobs_expect(b, "key", 4 * PAD, 1);
	blobs_check(b);
	/* A free pad that was taken away behind our back: lost, and another takes its place. */
	assert_ok(ps_remote_remove(b->r, "key"));
	struct ps_pad_name names[16];
	assert_int_equal(blobs_names(b, names, 16), 4);
	assert_ok(ps_mem_set(blobs_world(b), 0, &names[2], NULL, NULL, 0));
	blobs_put(b, "other", 4 * PAD, 2);
	blobs_expect(b, "other", 4 * PAD, 2);
	blobs_stats(b, &stats);
	assert_int_equal(stats.invalid, 1);
	assert_int_equal(stats.confirmed, 4);
	blobs_check(b);
	blobs_free(b);
}

static void recycling_ends(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_stats stats;
	(void)state;
	/* Whatever is written, something newer seems to be there. */
	const struct ps_mem_rule claim = {
	    .fault = PS_MEM_CLAIM, .ops = 1 << PS_NET_HEAD, .identity = {.counter = 9, .hash = {1}}};
	add_rule(b, &claim);
	assert_error(put(b, "key", PAD, 2, NULL), PS_EBUSY);
	clear_rules(b);
	blobs_stats(b, &stats);
	assert_int_equal(stats.invalid, 1 + b->r->options.max_recycles);
	blobs_check(b);
	/* The next call goes on with another pad. */
	assert_ok(put(b, "key", PAD, 2, NULL));
	blobs_expect(b, "key", PAD, 2);
	blobs_check(b);
	blobs_free(b);
}

static void all_free_pads_may_be_lost(void **state)
{
	struct blobs *b = new_blobs();
	(void)state;
	blobs_put(b, "free", 8 * PAD, 1);
	assert_ok(ps_remote_remove(b->r, "free"));
	struct ps_pad_name names[16];
	size_t count = blobs_names(b, names, 16);
	for (size_t i = 0; i < count; i++)
		blobs_lose(b, &names[i]);
	blobs_put(b, "key", 3 * PAD, 2);
	blobs_expect(b, "key", 3 * PAD, 2);
	blobs_check(b);
	blobs_free(b);
}

static void a_full_network_is_told_and_the_rest_sent_later(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_stats before, after;
	(void)state;
	const struct ps_mem_rule full = {.fault = PS_MEM_FULL, .first = 4};
	add_rule(b, &full);
	assert_error(put(b, "key", 6 * PAD, 1, NULL), PS_ENOSPC);
	clear_rules(b);
	blobs_check(b);
	blobs_stats(b, &before);
	assert_ok(put(b, "key", 6 * PAD, 1, NULL));
	blobs_stats(b, &after);
	assert_true(after.sent_bytes - before.sent_bytes < 6 * PAD);
	blobs_expect(b, "key", 6 * PAD, 1);
	blobs_free(b);
}

static void a_hundred_pads_cut_off_after_fifty(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_mem_figures figures;
	struct ps_remote_info info;
	(void)state;
	const struct ps_mem_rule gone = {.fault = PS_MEM_VANISH, .ops = 1 << PS_NET_CREATE, .first = 51};
	add_rule(b, &gone);
	assert_error(put(b, "key", 100 * PAD, 1, NULL), PS_EUNAVAILABLE);
	clear_rules(b);
	blobs_reopen(b);
	assert_ok(ps_remote_stat(b->r, "key", &info));
	assert_int_equal(info.exists, 0);
	assert_int_equal(info.next_pads, 100);
	assert_true(info.next_confirmed <= 50 && info.next_confirmed >= 50 - 8);
	ps_mem_figures(blobs_world(b), &figures, true);
	assert_ok(put(b, "key", 100 * PAD, 1, NULL));
	ps_mem_figures(blobs_world(b), &figures, false);
	/* Exactly those that the network does not have. */
	assert_int_equal(figures.requests[PS_NET_CREATE], 50);
	blobs_expect(b, "key", 100 * PAD, 1);
	assert_int_equal(blobs_listed(b), 100);
	blobs_check(b);
	blobs_free(b);
}

static void an_interrupted_put_with_other_contents_starts_anew(void **state)
{
	struct blobs *b = new_blobs();
	(void)state;
	const struct ps_mem_rule gone = {.fault = PS_MEM_VANISH, .first = 9};
	add_rule(b, &gone);
	assert_error(put(b, "key", 10 * PAD, 1, NULL), PS_EUNAVAILABLE);
	clear_rules(b);
	assert_ok(put(b, "key", 7 * PAD + 1, 2, NULL));
	blobs_expect(b, "key", 7 * PAD + 1, 2);
	blobs_check(b);
	assert_error(ps_remote_release(b->r, "key"), PS_ENOTFOUND);
	blobs_free(b);
}

static void what_is_unfinished_can_be_given_up(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_info info;
	(void)state;
	blobs_put(b, "old", 100, 1);
	const struct ps_mem_rule gone = {.fault = PS_MEM_VANISH, .first = 5};
	add_rule(b, &gone);
	assert_error(put(b, "key", 10 * PAD, 1, NULL), PS_EUNAVAILABLE);
	clear_rules(b);
	assert_ok(ps_remote_stat(b->r, "key", &info));
	assert_int_equal(info.updating, 1);
	assert_ok(ps_remote_release(b->r, "key"));
	assert_error(ps_remote_stat(b->r, "key", &info), PS_ENOTFOUND);
	blobs_check(b);
	blobs_free(b);
}

/* ---- pads whose outcome is open ---- */

static void purge(struct blobs *b, struct ps_remote_purge_result *result)
{
	assert_ok(ps_remote_purge(b->r, NULL, NULL, result));
}

static void late_writes_meet_a_fence(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_purge_result result;
	struct ps_remote_stats stats;
	(void)state;
	b->r->options.free_keep = UINT64_MAX;
	blobs_put(b, "key", 3 * PAD, 1);
	assert_ok(ps_remote_remove(b->r, "key"));
	/* The free pads are taken again; what is sent comes much later. */
	const struct ps_mem_rule late = {
	    .fault = PS_MEM_LATE, .ops = 1 << PS_NET_REPLACE, .count = 3, .amount = 100000};
	const struct ps_mem_rule gone = {.fault = PS_MEM_VANISH, .ops = 1 << PS_NET_HEAD};
	add_rule(b, &late);
	add_rule(b, &gone);
	/* One by one: together the first could fail before the last is sent. */
	static const char *const others[] = {"other", "another", "yet another"};
	for (unsigned i = 0; i < 3; i++)
		assert_error(put(b, others[i], PAD, 2 + i, NULL), PS_EUNAVAILABLE);
	clear_rules(b);
	for (unsigned i = 0; i < 3; i++)
		assert_ok(ps_remote_release(b->r, others[i]));
	blobs_stats(b, &stats);
	assert_int_equal(stats.pending, 3);
	assert_int_equal(stats.free_pads, 0);
	/* Never handed out while open: these are new ones. */
	blobs_put(b, "third", 2 * PAD, 3);
	purge(b, &result);
	blobs_stats(b, &stats);
	assert_int_equal(stats.pending, 0);
	assert_int_equal(stats.free_pads, 3);
	assert_int_equal(ps_mem_deliver(blobs_world(b)), 0); /* the guard refuses what comes now */
	blobs_put(b, "fourth", 3 * PAD, 4);
	blobs_stats(b, &stats);
	assert_int_equal(stats.free_pads, 0);
	blobs_expect(b, "third", 2 * PAD, 3);
	blobs_expect(b, "fourth", 3 * PAD, 4);
	blobs_check(b);
	blobs_free(b);
}

/* Of the index itself: the sync that made it failed, and none follows. */
static void pads_of_a_failed_sync_are_settled_by_a_purge(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_LOSE_REPLY, PS_MEM_LATE};
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct blobs *b = new_blobs();
		struct ps_remote_purge_result result;
		struct ps_remote_stats stats;
		blobs_put(b, "key", PAD, 1);
		const struct ps_mem_rule fault = {
		    .fault = faults[i], .ops = 1 << PS_NET_CREATE, .amount = 100000};
		/* The first look is for the head of the store. */
		const struct ps_mem_rule blind = {
		    .fault = PS_MEM_VANISH, .ops = 1 << PS_NET_HEAD, .first = 2};
		add_rule(b, &fault);
		add_rule(b, &blind);
		assert_error(ps_remote_sync(b->r, NULL, NULL, NULL), PS_EUNAVAILABLE);
		clear_rules(b);
		blobs_reopen(b);
		blobs_stats(b, &stats);
		assert_true(stats.generated + stats.pending > 0);
		b->r->options.free_keep = UINT64_MAX;
		purge(b, &result);
		assert_int_equal(result.forgotten, 0); /* one answer is none */
		blobs_check(b);
		(void)ps_mem_deliver(blobs_world(b));
		for (unsigned times = 0; times < 4; times++) {
			wall_ns += 3601 * PS_SECOND_NS;
			purge(b, &result);
		}
		blobs_stats(b, &stats);
		assert_int_equal(stats.generated + stats.pending + stats.invalid, 0);
		assert_int_equal(stats.unsynced, 1);
		blobs_check_exactly(b);
		assert_ok(ps_remote_sync(b->r, NULL, NULL, NULL));
		blobs_expect(b, "key", PAD, 1);
		blobs_check_exactly(b);
		blobs_free(b);
	}
}

static void a_pad_is_forgotten_after_spaced_answers_only(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_purge_result result;
	struct ps_remote_stats stats;
	(void)state;
	b->r->options.free_keep = 1;
	blobs_put(b, "key", 4 * PAD, 1);
	assert_ok(ps_remote_remove(b->r, "key"));
	purge(b, &result);
	assert_int_equal(result.deleted, 3);
	assert_int_equal(blobs_listed(b), 1);
	assert_int_equal(result.forgotten, 0);
	blobs_check(b);
	for (unsigned i = 0; i < 10; i++) { /* too close together: one answer, however often */
		purge(b, &result);
		assert_int_equal(result.forgotten, 0);
	}
	for (unsigned times = 2; times <= 3; times++) {
		wall_ns += 3601 * PS_SECOND_NS;
		blobs_reopen(b); /* what was counted is kept */
		b->r->options.free_keep = 1;
		blobs_stats(b, &stats);
		assert_int_equal(stats.invalid, 3);
		purge(b, &result);
	}
	assert_int_equal(result.forgotten, 3);
	blobs_stats(b, &stats);
	assert_int_equal(stats.invalid, 0);
	assert_int_equal(stats.free_pads, 1);
	blobs_check(b);
	blobs_free(b);
}

static void a_late_create_is_found_and_deleted(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_purge_result result;
	(void)state;
	const struct ps_mem_rule late = {
	    .fault = PS_MEM_LATE, .ops = 1 << PS_NET_CREATE, .count = 1, .amount = 100000};
	const struct ps_mem_rule gone = {.fault = PS_MEM_VANISH, .ops = 1 << PS_NET_HEAD};
	add_rule(b, &late);
	add_rule(b, &gone);
	assert_error(put(b, "key", PAD, 2, NULL), PS_EUNAVAILABLE);
	clear_rules(b);
	assert_ok(ps_remote_release(b->r, "key"));
	purge(b, &result); /* not there: not forgotten either */
	blobs_check(b);
	assert_int_equal(ps_mem_deliver(blobs_world(b)), 1);
	blobs_check(b);
	assert_int_equal(blobs_listed(b), 1);
	purge(b, &result);
	assert_int_equal(result.deleted, 1);
	assert_int_equal(blobs_listed(b), 0);
	blobs_free(b);
}

static void pads_are_made_ahead(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_stats stats;
	struct ps_remote_plan plan;
	(void)state;
	assert_ok(ps_remote_reserve(b->r, 5, 0));
	blobs_stats(b, &stats);
	assert_int_equal(stats.free_pads, 5);
	assert_int_equal(blobs_listed(b), 5);
	blobs_check(b);
	assert_ok(ps_remote_estimate(b->r, 6 * PAD, 0, &plan));
	assert_int_equal(plan.new_pads, 1);
	assert_int_equal(plan.reused_pads, 5);
	assert_int_equal(plan.requests, 12);
	assert_ok(ps_remote_reserve(b->r, 5, 0)); /* they are there */
	blobs_put(b, "key", 5 * PAD, 1);
	blobs_stats(b, &stats);
	assert_int_equal(stats.free_pads, 0);
	assert_int_equal(blobs_listed(b), 5);
	blobs_expect(b, "key", 5 * PAD, 1);
	blobs_check(b);
	blobs_free(b);
}

/* ---- confirmed later, lost, repaired ---- */

static void an_unverified_value_is_read_with_the_flag_only(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_put quick = {.size = sizeof(quick), .verify = PS_REMOTE_VERIFY_NONE};
	struct ps_remote_get anyway = {.size = sizeof(anyway), .unverified = 1};
	struct ps_remote_health_result result;
	uint8_t *is = test_malloc(3 * PAD);
	size_t len;
	(void)state;
	assert_ok(put(b, "key", 3 * PAD, 1, &quick));
	assert_error(ps_remote_get(b->r, "key", is, 3 * PAD, &len, NULL), PS_EUNAVAILABLE);
	assert_ok(ps_remote_get(b->r, "key", is, 3 * PAD, &len, &anyway));
	assert_int_equal(len, 3 * PAD);
	assert_ok(ps_remote_health_check(b->r, NULL, &result));
	assert_int_equal(result.confirmed, 3);
	blobs_expect(b, "key", 3 * PAD, 1);
	blobs_check(b);
	test_free(is);
	blobs_free(b);
}

struct copy {
	uint8_t *bytes;
	size_t len;
	unsigned findings;
};

static int contents(void *arg, const char *key, uint64_t offset, void *buf, size_t len)
{
	const struct copy *copy = arg;
	(void)key;
	if (offset + len > copy->len)
		return PS_ENOTFOUND;
	memcpy(buf, copy->bytes + offset, len);
	return PS_OK;
}

static void finding(void *arg, const char *key, uint64_t pad, int error, const char *sentence)
{
	struct copy *copy = arg;
	(void)pad;
	assert_string_equal(key, "key");
	assert_int_equal(error, PS_ELOST);
	assert_non_null(strstr(sentence, "chunk"));
	copy->findings++;
}

static void a_lost_pad_is_told_marked_and_repaired(void **state)
{
	struct blobs *b = new_blobs();
	struct copy copy = {.bytes = blobs_bytes(4 * PAD, 1), .len = 4 * PAD};
	struct ps_remote_health o = {.size = sizeof(o), .finding = finding, .finding_arg = &copy};
	struct ps_remote_health_result result;
	struct ps_pad_name names[8];
	uint8_t *is = test_malloc(4 * PAD);
	size_t len;
	(void)state;
	blobs_put(b, "key", 4 * PAD, 1);
	assert_int_equal(blobs_names(b, names, 8), 4);
	blobs_lose(b, &names[1]);
	assert_error(ps_remote_get(b->r, "key", is, 4 * PAD, &len, NULL), PS_ELOST);
	assert_non_null(strstr(ps_last_error_message(), "\"key\": chunk"));
	assert_non_null(strstr(ps_last_error_message(), "pad "));
	assert_ok(ps_remote_health_check(b->r, &o, &result));
	assert_int_equal(result.looked, 4);
	assert_int_equal(result.lost, 1);
	assert_int_equal(copy.findings, 1);
	o.contents = contents;
	o.contents_arg = &copy;
	copy.bytes[5 * 1000] ^= 1; /* not what was there: perhaps not that chunk's, else it is refused */
	assert_ok(ps_remote_health_check(b->r, &o, &result));
	copy.bytes[5 * 1000] ^= 1;
	assert_ok(ps_remote_health_check(b->r, &o, &result));
	blobs_expect(b, "key", 4 * PAD, 1);
	assert_ok(ps_remote_health_check(b->r, NULL, &result));
	assert_int_equal(result.sound, 4);
	blobs_check(b);
	test_free(copy.bytes);
	test_free(is);
	blobs_free(b);
}

/* ---- limits and plans ---- */

struct seen {
	struct ps_remote_plan plan;
	unsigned plans, ends, calls, cancel_at;
	struct blobs *b;
	uint64_t requests; /* at the plan */
};

/* As a mem: network counts them; elsewhere as they are counted here. */
static uint64_t requests_of(struct blobs *b)
{
	struct ps_mem_figures figures;
	struct ps_remote_stats stats;
	uint64_t sum = 0;
	if (!b->watch) {
		blobs_stats(b, &stats);
		return stats.requests;
	}
	ps_mem_figures(blobs_world(b), &figures, false);
	for (unsigned i = 0; i < PS_MEM_OPS; i++)
		sum += figures.requests[i];
	return sum;
}

static int watch(void *arg, const struct ps_remote_progress *progress)
{
	struct seen *seen = arg;
	seen->calls++;
	if (progress->phase == PS_REMOTE_PLAN) {
		seen->plan = progress->plan;
		seen->plans++;
		seen->requests = requests_of(seen->b);
	}
	seen->ends += progress->phase == PS_REMOTE_END;
	return seen->cancel_at > 0 && seen->calls >= seen->cancel_at;
}

static void a_plan_comes_first_and_may_be_refused(void **state)
{
	struct blobs *b = new_blobs();
	struct seen seen = {.b = b};
	struct ps_remote_put o = {.size = sizeof(o), .progress = watch, .progress_arg = &seen};
	(void)state;
	b->r->options.rates = (struct ps_remote_rates){.per_new_pad = 2, .per_request = 0.5};
	uint64_t before = requests_of(b);
	assert_ok(put(b, "key", 3 * PAD + 1, 1, &o));
	assert_int_equal(seen.plans, 1);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.requests, before);
	assert_int_equal(seen.plan.new_pads, 4);
	assert_int_equal(seen.plan.requests, 8);
	assert_true(seen.plan.price == 4 * 2 + 8 * 0.5);
	assert_int_equal(requests_of(b) - before, 8);
	seen = (struct seen){.b = b, .cancel_at = 1};
	before = requests_of(b);
	assert_error(put(b, "other", PAD, 1, &o), PS_ECANCELED);
	assert_int_equal(requests_of(b), before);
	seen.cancel_at = 0;
	o.max_pads = 3;
	assert_error(put(b, "other", 3 * PAD + 1, 1, &o), PS_EQUOTA);
	o.max_pads = 4;
	o.max_cost = 11.9;
	assert_error(put(b, "other", 3 * PAD + 1, 1, &o), PS_EQUOTA);
	o.max_cost = 12;
	assert_ok(put(b, "other", 3 * PAD + 1, 1, &o));
	blobs_check(b);
	blobs_free(b);
}

/* Ended at every callback, the last one included: what is there is the old or the new, and it goes on. */
static void calls_can_be_ended_in_every_phase(void **state)
{
	struct blobs *b = new_blobs();
	struct seen seen = {.b = b};
	struct ps_remote_put o = {.size = sizeof(o), .replace = 1, .progress = watch, .progress_arg = &seen};
	struct ps_remote_get g = {.size = sizeof(g), .progress = watch, .progress_arg = &seen};
	uint8_t *is = test_malloc(6 * PAD);
	size_t len;
	int err = PS_ECANCELED;
	(void)state;
	blobs_put(b, "key", 6 * PAD, 1);
	for (unsigned at = 1; err == PS_ECANCELED; at++) {
		seen = (struct seen){.b = b, .cancel_at = at};
		err = put(b, "key", 6 * PAD, 2, &o);
		assert_true(err == PS_OK || err == PS_ECANCELED);
		blobs_check(b);
		if (err == PS_ECANCELED)
			blobs_expect(b, "key", 6 * PAD, 1);
	}
	blobs_expect(b, "key", 6 * PAD, 2);
	err = PS_ECANCELED;
	for (unsigned at = 1; err == PS_ECANCELED; at++) {
		seen = (struct seen){.b = b, .cancel_at = at};
		err = ps_remote_get(b->r, "key", is, 6 * PAD, &len, &g);
		assert_true(err == PS_OK || err == PS_ECANCELED);
	}
	b->r->options.free_keep = 1;
	err = PS_ECANCELED;
	for (unsigned at = 1; err == PS_ECANCELED; at++) {
		seen = (struct seen){.b = b, .cancel_at = at};
		err = ps_remote_purge(b->r, watch, &seen, NULL);
		assert_true(err == PS_OK || err == PS_ECANCELED);
		blobs_check(b);
	}
	blobs_expect(b, "key", 6 * PAD, 2);
	test_free(is);
	blobs_free(b);
}

/* What a put reads back is what it looks at; damage on the way there is found before the value is switched.
 */
static void a_put_can_read_back_what_it_sent(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_put all = {.size = sizeof(all), .verify = PS_REMOTE_VERIFY_READ};
	struct ps_remote_put some = {.size = sizeof(some), .verify = PS_REMOTE_VERIFY_SAMPLE};
	struct ps_mem_figures figures;
	(void)state;
	ps_mem_figures(blobs_world(b), &figures, true);
	assert_ok(put(b, "key", 5 * PAD, 1, &all));
	ps_mem_figures(blobs_world(b), &figures, true);
	assert_int_equal(figures.requests[PS_NET_GET], 5);
	/* A sixteenth, by hashes that are others each time: of a hundred it may be none, of ten times as many hardly. */
	uint64_t sampled = 0;
	unsigned values = 0;
	for (char key[16]; values < 10 && sampled == 0; values++) {
		snprintf(key, sizeof(key), "some %u", values);
		assert_ok(put(b, key, 100 * PAD, 1, &some));
		ps_mem_figures(blobs_world(b), &figures, true);
		sampled += figures.requests[PS_NET_GET];
	}
	assert_in_range(sampled, 1, 25 * values);
	const struct ps_mem_rule flip = {.fault = PS_MEM_FLIP, .ops = 1 << PS_NET_GET, .amount = 5000};
	add_rule(b, &flip);
	assert_error(put(b, "bad", PAD, 1, &all), PS_EAUTH);
	clear_rules(b);
	blobs_check(b);
	assert_ok(put(b, "bad", PAD, 1, &all));
	blobs_expect(b, "bad", PAD, 1);
	blobs_expect(b, "key", 5 * PAD, 1);
	blobs_free(b);
}

/* Some chunks differ, and agree in CRC-32: no checksum decides what is sent. */
static uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
	}
	return ~crc;
}

/* Four bytes at the end that give `bytes` this CRC-32: by trying each bit's effect, which is linear. */
static void force_crc32(uint8_t *bytes, size_t len, uint32_t wanted)
{
	uint32_t rows[32], picks[32], base;
	memset(bytes + len - 4, 0, 4);
	base = crc32_of(bytes, len) ^ wanted;
	for (unsigned i = 0; i < 32; i++) {
		bytes[len - 4 + i / 8] = (uint8_t)(1U << i % 8);
		rows[i] = crc32_of(bytes, len) ^ base ^ wanted;
		picks[i] = 1U << i;
		bytes[len - 4 + i / 8] = 0;
	}
	uint32_t pick = 0;
	for (unsigned bit = 0; bit < 32; bit++) {
		unsigned pivot = bit;
		while (pivot < 32 && !(rows[pivot] >> bit & 1))
			pivot++;
		assert_true(pivot < 32);
		uint32_t row = rows[pivot], of = picks[pivot];
		rows[pivot] = rows[bit], picks[pivot] = picks[bit];
		rows[bit] = row, picks[bit] = of;
		for (unsigned i = 0; i < 32; i++)
			if (i != bit && (rows[i] >> bit & 1))
				rows[i] ^= row, picks[i] ^= of;
	}
	for (unsigned bit = 0; bit < 32; bit++)
		if (base >> bit & 1)
			pick ^= picks[bit];
	for (unsigned i = 0; i < 4; i++)
		bytes[len - 4 + i] = (uint8_t)(pick >> 8 * i);
	assert_int_equal(crc32_of(bytes, len), wanted);
}

static void chunks_that_agree_in_crc32_are_sent(void **state)
{
	struct blobs *b = new_blobs();
	uint8_t *bytes = blobs_bytes(PAD, 1), *other = blobs_bytes(PAD, 2), *is = test_malloc(PAD);
	size_t len;
	(void)state;
	force_crc32(other, PAD, crc32_of(bytes, PAD));
	assert_ok(ps_remote_put(b->r, "key", bytes, PAD, NULL));
	assert_ok(ps_remote_update(b->r, "key", other, PAD, NULL));
	assert_ok(ps_remote_get(b->r, "key", is, PAD, &len, NULL));
	assert_memory_equal(is, other, PAD);
	test_free(bytes);
	test_free(other);
	test_free(is);
	blobs_free(b);
}

static int endless(void *arg, void *buf, size_t len, size_t *got)
{
	(void)arg;
	memset(buf, 'x', len);
	*got = len;
	return PS_OK;
}

static void a_stream_stops_at_the_quota(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_put o = {.size = sizeof(o), .max_pads = 20};
	(void)state;
	assert_error(ps_remote_put_stream(b->r, "key", UINT64_MAX, endless, NULL, &o), PS_EQUOTA);
	assert_true(blobs_listed(b) <= 20);
	blobs_check(b);
	assert_ok(ps_remote_release(b->r, "key"));
	blobs_check(b);
	blobs_free(b);
}

static void nothing_is_asked_while_idle(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_workers_figures before, after;
	(void)state;
	blobs_put(b, "key", PAD, 1);
	do /* until the workers have nothing left to do */
		ps_workers_figures(b->r->workers, &before);
	while (before.asleep < b->r->options.workers);
	uint64_t requests = requests_of(b);
	assert_int_equal(before.in_flight, 0);
	ps_workers_figures(b->r->workers, &after);
	assert_int_equal(after.sleeps, before.sleeps);
	assert_int_equal(requests_of(b), requests);
	blobs_free(b);
}

/* Those that need no network which misbehaves on command. */
static const struct CMUnitTest anywhere[] = {
    cmocka_unit_test(all_free_pads_may_be_lost),
    cmocka_unit_test(a_pad_is_forgotten_after_spaced_answers_only),
    cmocka_unit_test(pads_are_made_ahead),
    cmocka_unit_test(an_unverified_value_is_read_with_the_flag_only),
    cmocka_unit_test(a_lost_pad_is_told_marked_and_repaired),
    cmocka_unit_test(a_plan_comes_first_and_may_be_refused),
    cmocka_unit_test(calls_can_be_ended_in_every_phase),
    cmocka_unit_test(chunks_that_agree_in_crc32_are_sent),
    cmocka_unit_test(a_stream_stops_at_the_quota),
    cmocka_unit_test(nothing_is_asked_while_idle),
};

static const struct CMUnitTest on_mem[] = {
    cmocka_unit_test(a_pad_that_cannot_be_written_is_replaced_by_another),
    cmocka_unit_test(recycling_ends),
    cmocka_unit_test(a_full_network_is_told_and_the_rest_sent_later),
    cmocka_unit_test(a_hundred_pads_cut_off_after_fifty),
    cmocka_unit_test(an_interrupted_put_with_other_contents_starts_anew),
    cmocka_unit_test(what_is_unfinished_can_be_given_up),
    cmocka_unit_test(late_writes_meet_a_fence),
    cmocka_unit_test(pads_of_a_failed_sync_are_settled_by_a_purge),
    cmocka_unit_test(a_late_create_is_found_and_deleted),
    cmocka_unit_test(a_put_can_read_back_what_it_sent),
};

/* manager_test [SCHEME] */
int main(int argc, char **argv)
{
	if (argc > 1)
		scheme = argv[1];
	int failed = cmocka_run_group_tests_name(scheme, anywhere, NULL, NULL);
	if (strcmp(scheme, "mem") == 0)
		failed += cmocka_run_group_tests_name("mem, with faults", on_mem, NULL, NULL);
	return failed;
}
