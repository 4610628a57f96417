/* Networks that lie, once or always: what is read is right, or an error that says what is wrong, in bounded
 * time; and once the lies end, all can be done again.
 * usage: lies_test [SEEDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/blobs/blobs_fixture.h"

enum { PAD = 128 << 10, VALUE = 3 * PAD - 100, FOR_EVER_MS = 3600 * 1000 };

static uint64_t seeds = 40;

static struct blobs *new_blobs(void)
{
	struct ps_remote_seams seams = {.backoff_ms = 1};
	return blobs_new_with("mem", &seams);
}

static void add_rule(struct blobs *b, const struct ps_mem_rule *rule)
{
	unsigned number;
	assert_ok(ps_mem_rule_add(blobs_world(b), rule, &number));
}

static void clear_rules(struct blobs *b)
{
	ps_mem_rule_remove(blobs_world(b), 0);
	(void)ps_mem_deliver(blobs_world(b));
}

static uint8_t value[VALUE], other[VALUE];

/* PS_OK only with the right bytes. */
static int get(struct blobs *b, const char *key, const uint8_t *should)
{
	static uint8_t is[VALUE];
	size_t len = 0;
	memset(is, 0, sizeof(is));
	int err = ps_remote_get(b->r, key, is, sizeof(is), &len, NULL);
	if (err == PS_OK) {
		assert_int_equal(len, VALUE);
		assert_memory_equal(is, should, VALUE);
	}
	return err;
}

static int get_part(struct blobs *b, const char *key, const uint8_t *should)
{
	static uint8_t is[100];
	size_t len = 0, at = PAD + 70000;
	int err = ps_remote_read_at(b->r, key, at, is, sizeof(is), &len, NULL);
	if (err == PS_OK) {
		assert_int_equal(len, sizeof(is));
		assert_memory_equal(is, should + at, sizeof(is));
	}
	return err;
}

static int put(struct blobs *b, const char *key, const uint8_t *bytes)
{
	struct ps_remote_put o = {.size = sizeof(o), .replace = 1};
	return ps_remote_put(b->r, key, bytes, VALUE, &o);
}

/* ---- reading ---- */

struct lie {
	struct ps_mem_rule rule;
	int error, part_error; /* of a get of all, and of a range */
};

/* The same lie for ever is an error of its own; told once, it is asked again and passes. */
static void each_lie_about_what_is_there_has_its_error(void **state)
{
	struct blobs *b = new_blobs();
	ps_mem_snapshot *before;
	struct ps_pad_name names[8];
	(void)state;
	assert_ok(ps_mem_snapshot_take(blobs_world(b), 0, &before));
	ps_mem_keep_past(blobs_world(b), 4);
	assert_ok(put(b, "one", other));
	assert_ok(ps_remote_remove(b->r, "one"));
	assert_ok(put(b, "key", value)); /* in the pads that "one" had */
	assert_int_equal(blobs_names(b, names, 8), 3);
	const struct lie lies[] = {
	    {{.fault = PS_MEM_ABSENT}, PS_ELOST, PS_ELOST},
	    {{.fault = PS_MEM_FROZEN, .snapshot = before}, PS_ELOST, PS_ELOST},
	    {{.fault = PS_MEM_OLD, .amount = 1}, PS_EROLLBACK, PS_EROLLBACK},
	    {{.fault = PS_MEM_FLIP, .amount = 777}, PS_EAUTH, PS_EAUTH},
	    {{.fault = PS_MEM_TRUNCATE, .amount = 100}, PS_EAUTH, PS_EAUTH},
	    {{.fault = PS_MEM_TRUNCATE, .amount = 0}, PS_EAUTH, PS_EAUTH},
	    {{.fault = PS_MEM_OTHER, .other = names[0], .named = true, .name = names[1]}, PS_EAUTH, PS_OK},
	    {{.fault = PS_MEM_DENIED}, PS_EACCES, PS_EACCES},
	    {{.fault = PS_MEM_LOSE_REQUEST}, PS_EUNAVAILABLE, PS_EUNAVAILABLE},
	    {{.fault = PS_MEM_VANISH}, PS_EUNAVAILABLE, PS_EUNAVAILABLE},
	    {{.fault = PS_MEM_THROTTLED}, PS_EUNAVAILABLE, PS_EUNAVAILABLE},
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct ps_mem_rule rule = lies[i].rule;
		add_rule(b, &rule);
		assert_error(get(b, "key", value), lies[i].error);
		int err = get_part(b, "key", value);
		assert_true(err == lies[i].part_error || (rule.named && err == PS_EAUTH));
		clear_rules(b);
		if (rule.fault != PS_MEM_DENIED) {
			rule.first = 2;
			rule.count = 1;
			add_rule(b, &rule);
			assert_ok(get(b, "key", value));
			clear_rules(b);
		}
	}
	assert_ok(get(b, "key", value));
	ps_mem_snapshot_free(before);
	blobs_free(b);
}

static void more_bytes_than_there_are_are_refused(void **state)
{
	struct blobs *b = new_blobs();
	(void)state;
	assert_ok(put(b, "key", value));
	const struct ps_mem_rule rule = {.fault = PS_MEM_EXTEND, .amount = 5000};
	add_rule(b, &rule);
	assert_error(get(b, "key", value), PS_EAUTH);
	clear_rules(b);
	blobs_free(b);
}

/* Records that are signed and sealed by the right key, and still are not those that were written. */
static void forged(struct blobs *b, uint64_t counter_more, uint32_t generation_more, int expected)
{
	struct ps_pad_slot slot;
	struct ps_net_buffer *buffer;
	uint8_t description[PS_CHUNK_DESCRIPTION];
	uint32_t got;
	assert_ok(ps_index_slots(b->r->index, PS_RECORD_BLOB, "key", 3, PS_SET_CURRENT, 1, 1, &slot, &got));
	slot.counter += counter_more;
	slot.generation += generation_more;
	memset(slot.nonce, 0, sizeof(slot.nonce));
	memset(slot.hash, 0, sizeof(slot.hash));
	ps_chunk_description(1, description);
	assert_ok(ps_manager_seal(b->r, &slot, PS_ROLE_DATA, description, sizeof(description), other, PAD,
	                          &buffer));
	struct ps_pad_identity identity = ps_slot_identity(&slot);
	assert_ok(ps_mem_set(blobs_world(b), 0, &slot.name, &identity, buffer->bytes, buffer->len));
	ps_net_buffer_release(buffer);
	assert_error(get(b, "key", value), expected);
	assert_error(get_part(b, "key", value), expected);
}

static void another_record_of_the_same_number_is_a_fork(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_health_result result;
	(void)state;
	assert_ok(put(b, "key", value));
	forged(b, 0, 0, PS_EFORK);
	forged(b, 1, 0, PS_ESUPERSEDED);
	forged(b, 1, 1, PS_ESUPERSEDED);
	assert_ok(ps_remote_health_check(b->r, NULL, &result));
	assert_int_equal(result.wrong, 1);
	assert_ok(put(b, "key", other));
	assert_ok(get(b, "key", other));
	blobs_check(b);
	blobs_free(b);
}

/* The same key and names on another network: its records are refused here. */
static void what_another_network_has_is_refused(void **state)
{
	struct blobs *b = new_blobs(), *foreign = new_blobs();
	struct ps_pad_slot slot;
	struct ps_net_buffer *buffer;
	uint8_t description[PS_CHUNK_DESCRIPTION];
	uint32_t got;
	(void)state;
	assert_ok(put(b, "key", value));
	assert_ok(ps_index_slots(b->r->index, PS_RECORD_BLOB, "key", 3, PS_SET_CURRENT, 0, 1, &slot, &got));
	ps_chunk_description(0, description);
	memset(slot.nonce, 0, sizeof(slot.nonce));
	memset(slot.hash, 0, sizeof(slot.hash));
	assert_ok(ps_manager_seal(foreign->r, &slot, PS_ROLE_DATA, description, sizeof(description), value,
	                          PAD, &buffer));
	struct ps_pad_identity identity = ps_slot_identity(&slot);
	assert_ok(ps_mem_set(blobs_world(b), 0, &slot.name, &identity, buffer->bytes, buffer->len));
	ps_net_buffer_release(buffer);
	assert_error(get(b, "key", value), PS_EAUTH);
	blobs_free(b);
	blobs_free(foreign);
}

/* ---- writing ---- */

static void each_lie_about_a_write_is_found(void **state)
{
	static const struct {
		enum ps_mem_fault fault;
		int put, get;
	} lies[] = {
	    {PS_MEM_LIE_DONE, PS_ELOST, PS_ENOTFOUND},
	    {PS_MEM_CONFLICT, PS_EUNAVAILABLE, PS_ENOTFOUND},
	    {PS_MEM_FULL, PS_ENOSPC, PS_ENOTFOUND},
	    {PS_MEM_DENIED, PS_EACCES, PS_ENOTFOUND},
	    {PS_MEM_TWICE, PS_OK, PS_OK},
	    {PS_MEM_LOSE_REPLY, PS_OK, PS_OK},
	    {PS_MEM_VANISH, PS_EUNAVAILABLE, PS_ENOTFOUND},
	};
	struct blobs *b = new_blobs();
	char key[16];
	(void)state;
	for (unsigned i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		const struct ps_mem_rule rule = {.fault = lies[i].fault,
		                                 .ops = 1 << PS_NET_CREATE | 1 << PS_NET_REPLACE};
		snprintf(key, sizeof(key), "key %u", i);
		add_rule(b, &rule);
		assert_error(put(b, key, value), lies[i].put);
		clear_rules(b);
		assert_error(get(b, key, value), lies[i].get);
		blobs_check(b);
		assert_ok(put(b, key, value));
		assert_ok(get(b, key, value));
		blobs_check(b);
	}
	blobs_free(b);
}

static void what_is_lost_or_replayed_later_is_found(void **state)
{
	struct blobs *b = new_blobs();
	(void)state;
	const struct ps_mem_rule later = {
	    .fault = PS_MEM_LOSE_LATER, .ops = 1 << PS_NET_CREATE, .count = 1, .amount = 1000};
	add_rule(b, &later);
	assert_ok(put(b, "key", value));
	assert_ok(get(b, "key", value));
	clear_rules(b);
	assert_error(get(b, "key", value), PS_ELOST);
	assert_ok(put(b, "key", other));
	assert_ok(ps_remote_remove(b->r, "key"));
	const struct ps_mem_rule replay = {
	    .fault = PS_MEM_REPLAY, .ops = 1 << PS_NET_REPLACE, .count = 1, .amount = 1000};
	add_rule(b, &replay);
	assert_ok(put(b, "key", value));
	assert_ok(ps_remote_remove(b->r, "key"));
	assert_ok(put(b, "key", other));
	assert_ok(get(b, "key", other));
	clear_rules(b);
	int err = get(b, "key", other);
	assert_true(err == PS_EROLLBACK || err == PS_OK);
	blobs_check(b);
	blobs_free(b);
}

static void a_value_that_only_the_writers_view_has_is_lost_for_others(void **state)
{
	struct blobs *b = new_blobs();
	(void)state;
	assert_ok(ps_mem_fork(blobs_world(b), 0, 1));
	const struct ps_mem_rule rule = {.fault = PS_MEM_ONE_VIEW, .count = 1};
	add_rule(b, &rule);
	assert_ok(put(b, "key", value));
	assert_ok(get(b, "key", value));
	ps_mem_set_view(b->r->network, 1);
	assert_error(get(b, "key", value), PS_ELOST);
	ps_mem_set_view(b->r->network, 0);
	clear_rules(b);
	blobs_free(b);
}

/* ---- all of it, by the dice ---- */

static uint64_t dice(uint64_t *state, uint64_t sides)
{
	*state = *state * 6364136223846793005U + 1442695040888963407U;
	return (*state >> 33) % sides;
}

/* All but throttled: what is slowed down on purpose takes its time. */
static void random_rule(uint64_t *seed, struct ps_mem_rule *rule)
{
	static const enum ps_mem_fault faults[] = {
	    PS_MEM_LATENCY,    PS_MEM_JITTER, PS_MEM_LOSE_REQUEST, PS_MEM_VANISH,
	    PS_MEM_LOSE_REPLY, PS_MEM_LATE,   PS_MEM_TWICE,        PS_MEM_CONFLICT,
	    PS_MEM_LIE_DONE,   PS_MEM_ABSENT, PS_MEM_OLD,          PS_MEM_FLIP,
	    PS_MEM_TRUNCATE,   PS_MEM_EXTEND, PS_MEM_REPLAY,       PS_MEM_LOSE_LATER};
	*rule = (struct ps_mem_rule){.fault = faults[dice(seed, sizeof(faults) / sizeof(*faults))],
	                             .one_in = 1 + dice(seed, 4),
	                             .amount = 1 + dice(seed, 50)};
	if (dice(seed, 2) == 0)
		rule->count = 1 + dice(seed, 10);
}

static void any_mixture_of_lies_gives_right_bytes_or_an_error(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= seeds; n++) {
		struct blobs *b = new_blobs();
		uint64_t seed = n;
		ps_mem_set_seed(blobs_world(b), n);
		ps_mem_keep_past(blobs_world(b), 3);
		assert_ok(put(b, "a", value));
		assert_ok(put(b, "gone", other));
		assert_ok(ps_remote_remove(b->r, "gone"));
		for (unsigned round = 0; round < 3; round++) {
			struct ps_mem_rule rule;
			random_rule(&seed, &rule);
			add_rule(b, &rule);
			random_rule(&seed, &rule);
			add_rule(b, &rule);
			bool done = put(b, "b", round % 2 ? value : other) == PS_OK;
			(void)get(b, "a", value);
			if (done)
				(void)get(b, "b", round % 2 ? value : other);
			if (round == 1)
				(void)!ps_remote_purge(b->r, NULL, NULL, NULL);
			clear_rules(b);
			blobs_check(b);
			if (round == 1)
				blobs_reopen(b);
		}
		if (put(b, "b", value) != PS_OK || get(b, "b", value) != PS_OK) {
			/* A pad was put back or taken away after it was confirmed: it is found, and written
			 * anew. */
			assert_ok(ps_remote_health_check(b->r, NULL, NULL));
			assert_ok(put(b, "b", value));
			if (get(b, "b", value) != PS_OK)
				fail_msg("seed %llu: %s", (unsigned long long)n, ps_last_error_message());
		}
		blobs_check(b);
		blobs_free(b);
	}
}

static int cancel_later(void *arg, const struct ps_remote_progress *progress)
{
	bool *canceled = arg;
	*canceled |= progress->phase == PS_REMOTE_RUNNING;
	return *canceled;
}

/* A network that answers nothing does not hold a caller who has had enough: the request's own time would be
 * longer than this test may take. (That it is within a second workers_test has, by a clock of its own.) */
static void a_call_that_hangs_can_be_ended(void **state)
{
	struct blobs *b = new_blobs();
	bool canceled = false;
	struct ps_remote_put o = {
	    .size = sizeof(o), .replace = 1, .progress = cancel_later, .progress_arg = &canceled};
	struct ps_remote_get g = {.size = sizeof(g), .progress = cancel_later, .progress_arg = &canceled};
	uint8_t *is = test_malloc(VALUE);
	size_t len;
	(void)state;
	b->options.timeout_ms = FOR_EVER_MS;
	blobs_reopen(b);
	assert_ok(put(b, "key", value));
	const struct ps_mem_rule hang = {.fault = PS_MEM_HANG};
	add_rule(b, &hang);
	assert_error(ps_remote_put(b->r, "key", other, VALUE, &o), PS_ECANCELED);
	assert_true(canceled);
	canceled = false;
	assert_error(ps_remote_get(b->r, "key", is, VALUE, &len, &g), PS_ECANCELED);
	assert_true(canceled);
	clear_rules(b);
	assert_ok(get(b, "key", value));
	blobs_check(b);
	assert_ok(put(b, "key", other));
	assert_ok(get(b, "key", other));
	blobs_check(b);
	test_free(is);
	blobs_free(b);
}

/* ---- ended at any request ---- */

struct hanging {
	ps_mem_world *world;
	unsigned rule;
};

static int end_when_one_hangs(void *arg, const struct ps_remote_progress *progress)
{
	const struct hanging *h = arg;
	(void)progress;
	return ps_mem_rule_hits(h->world, h->rule) > 0;
}

static int put_other(struct blobs *b)
{
	return put(b, "key", other);
}

static int get_other(struct blobs *b)
{
	return get(b, "key", other);
}

static int sync_all(struct blobs *b)
{
	return ps_remote_sync(b->r, NULL, NULL, NULL);
}

static int check_all(struct blobs *b)
{
	return ps_remote_health_check(b->r, NULL, NULL);
}

static int purge_all(struct blobs *b)
{
	return ps_remote_purge(b->r, NULL, NULL, NULL);
}

/* The k-th request of a call hangs, and the call is ended; what it left, the same call goes on with. */
static void end_at_each_request(struct blobs *b, int (*call)(struct blobs *b))
{
	struct hanging h = {.world = blobs_world(b)};
	bool hit = true;
	b->r->options.progress = end_when_one_hangs;
	b->r->options.progress_arg = &h;
	for (uint64_t k = 1; hit; k++) {
		const struct ps_mem_rule hang = {.fault = PS_MEM_HANG, .first = k, .count = 1};
		assert_ok(ps_mem_rule_add(h.world, &hang, &h.rule));
		int err = call(b);
		hit = ps_mem_rule_hits(h.world, h.rule) > 0;
		clear_rules(b);
		assert_error(err, hit ? PS_ECANCELED : PS_OK);
		blobs_check(b);
	}
	b->r->options.progress = NULL;
}

static void any_call_can_be_ended_at_any_request(void **state)
{
	struct blobs *b = new_blobs();
	(void)state;
	b->options.timeout_ms = FOR_EVER_MS;
	blobs_reopen(b);
	assert_ok(put(b, "key", value));
	assert_ok(put(b, "gone", other));
	end_at_each_request(b, put_other);
	assert_ok(get(b, "key", other));
	end_at_each_request(b, get_other);
	end_at_each_request(b, sync_all);
	assert_ok(ps_remote_remove(b->r, "gone"));
	end_at_each_request(b, sync_all);
	end_at_each_request(b, check_all);
	b->r->options.free_keep = 1;
	end_at_each_request(b, purge_all);
	assert_ok(get(b, "key", other));
	blobs_free(b);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_lie_about_what_is_there_has_its_error),
	    cmocka_unit_test(more_bytes_than_there_are_are_refused),
	    cmocka_unit_test(another_record_of_the_same_number_is_a_fork),
	    cmocka_unit_test(what_another_network_has_is_refused),
	    cmocka_unit_test(each_lie_about_a_write_is_found),
	    cmocka_unit_test(what_is_lost_or_replayed_later_is_found),
	    cmocka_unit_test(a_value_that_only_the_writers_view_has_is_lost_for_others),
	    cmocka_unit_test(any_mixture_of_lies_gives_right_bytes_or_an_error),
	    cmocka_unit_test(a_call_that_hangs_can_be_ended),
	    cmocka_unit_test(any_call_can_be_ended_at_any_request),
	};
	if (argc > 1)
		seeds = strtoull(argv[1], NULL, 10);
	blobs_fill(value, sizeof(value), 1);
	blobs_fill(other, sizeof(other), 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
