/* Reads that the first network fails are answered by a copy: with the right bytes or not at all; and a health
 * check makes the first network whole again from it. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/remote/copy/copy_fixture.h"

enum { PAD = 128 << 10, VALUE = 3 * PAD - 100 };

static struct ps_pad_name pad_of(struct blobs *b, const char *key, uint32_t chunk)
{
	struct ps_record record;
	assert_ok(ps_index_get(b->r->index, PS_RECORD_BLOB, key, strlen(key), &record));
	assert_true(chunk < record.sets[PS_SET_CURRENT].count);
	struct ps_pad_name name = record.sets[PS_SET_CURRENT].slots[chunk].name;
	ps_record_done(&record);
	return name;
}

static void add_rule(ps_mem_world *world, const struct ps_mem_rule *rule)
{
	unsigned number;
	assert_ok(ps_mem_rule_add(world, rule, &number));
}

/* A value on both networks, and the store open with the copy as its fallback. */
static void new_with_fallback(struct pair_of *p)
{
	pair_new(p);
	blobs_put(p->a, "key", VALUE, 1);
	(void)sync_machine(p->a);
	(void)copy_now(p);
	p->a->options.fallback = p->url;
	blobs_reopen(p->a);
}

static void lose(struct pair_of *p, const char *key, uint32_t chunk)
{
	struct ps_pad_name name = pad_of(p->a, key, chunk);
	assert_ok(ps_mem_set(blobs_world(p->a), 0, &name, NULL, NULL, 0));
}

static void damage(ps_mem_world *world, const struct ps_pad_name *name)
{
	static uint8_t bytes[1 << 20];
	struct ps_pad_identity identity;
	size_t len;
	assert_ok(ps_mem_look(world, 0, name, &identity, bytes, sizeof(bytes), &len));
	bytes[len / 2] ^= 1;
	assert_ok(ps_mem_set(world, 0, name, &identity, bytes, len));
}

static int take(void *arg, const void *data, size_t len)
{
	uint8_t **at = arg;
	memcpy(*at, data, len);
	*at += len;
	return PS_OK;
}

static int count_fallback(void *arg, const struct ps_remote_progress *progress)
{
	*(uint64_t *)arg = progress->fallback;
	return 0;
}

static void expect_all_ways(struct pair_of *p)
{
	uint8_t *should = blobs_bytes(VALUE, 1), *is = test_calloc(1, VALUE), *at = is;
	size_t got;
	blobs_expect(p->a, "key", VALUE, 1);
	assert_ok(ps_remote_read_at(p->a->r, "key", PAD + 70000, is, 100, &got, NULL));
	assert_memory_equal(is, should + PAD + 70000, 100);
	memset(is, 0, VALUE);
	assert_ok(ps_remote_get_stream(p->a->r, "key", 0, VALUE, take, &at, NULL));
	assert_memory_equal(is, should, VALUE);
	test_free(should);
	test_free(is);
}

static void whatever_the_first_network_does_the_bytes_are_right(void **state)
{
	struct pair_of p;
	struct ps_mem_snapshot *empty;
	(void)state;
	pair_new(&p);
	assert_ok(ps_mem_snapshot_take(blobs_world(p.a), 0, &empty));
	ps_mem_keep_past(blobs_world(p.a), 4);
	blobs_put(p.a, "before", VALUE, 2);
	assert_ok(ps_remote_remove(p.a->r, "before"));
	blobs_put(p.a, "key", VALUE, 1); /* in its pads */
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	p.a->options.fallback = p.url;
	blobs_reopen(p.a);
	const struct ps_mem_rule lies[] = {
	    {.fault = PS_MEM_ABSENT},
	    {.fault = PS_MEM_FROZEN, .snapshot = empty},
	    {.fault = PS_MEM_OLD, .amount = 1},
	    {.fault = PS_MEM_FLIP, .amount = 777},
	    {.fault = PS_MEM_FLIP, .amount = 600000},
	    {.fault = PS_MEM_TRUNCATE, .amount = 100},
	    {.fault = PS_MEM_EXTEND, .amount = 100},
	    {.fault = PS_MEM_OTHER,
	     .other = pad_of(p.a, "key", 1),
	     .named = true,
	     .name = pad_of(p.a, "key", 0)},
	    {.fault = PS_MEM_DENIED},
	    {.fault = PS_MEM_LOSE_REQUEST},
	    {.fault = PS_MEM_LATENCY, .amount = 1U << 30}, /* out of time */
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct ps_remote_stats before, after;
		blobs_stats(p.a, &before);
		add_rule(blobs_world(p.a), &lies[i]);
		expect_all_ways(&p);
		ps_mem_rule_remove(blobs_world(p.a), 0);
		blobs_stats(p.a, &after);
		assert_true(after.fallback_pads > before.fallback_pads);
	}
	ps_mem_snapshot_free(empty);
	pair_free(&p);
}

static void only_what_is_lost_is_asked_of_the_fallback(void **state)
{
	struct pair_of p;
	struct ps_remote_stats stats;
	uint8_t *is = test_malloc(VALUE);
	uint64_t told = 0;
	size_t len;
	struct ps_remote_get options = {
	    .size = sizeof(options), .progress = count_fallback, .progress_arg = &told};
	(void)state;
	new_with_fallback(&p);
	(void)requests_of(&p, PS_NET_GET);
	expect_all_ways(&p);
	assert_int_equal(requests_of(&p, PS_NET_GET), 0);
	lose(&p, "key", 1);
	assert_ok(ps_remote_get(p.a->r, "key", is, VALUE, &len, &options));
	assert_int_equal(told, 1);
	assert_int_equal(requests_of(&p, PS_NET_GET), 1);
	blobs_stats(p.a, &stats);
	assert_int_equal(stats.fallback_pads, 1);
	test_free(is);
	pair_free(&p);
}

/* The copy has what the value was before: that is not what is looked for. */
static void an_older_version_on_the_fallback_is_never_used(void **state)
{
	struct pair_of p;
	uint8_t *is = test_malloc(VALUE);
	size_t len;
	(void)state;
	new_with_fallback(&p);
	/* The pads of the value before are taken for the one after. */
	blobs_update(p.a, "key", VALUE, 2);
	(void)sync_machine(p.a);
	blobs_update(p.a, "key", VALUE, 3);
	(void)sync_machine(p.a);
	struct ps_pad_identity identity;
	struct ps_pad_name name = pad_of(p.a, "key", 0);
	assert_ok(ps_mem_look(p.world, 0, &name, &identity, NULL, 0, &len)); /* it is there, and older */
	assert_int_equal(identity.counter, 1);
	lose(&p, "key", 0);
	assert_error(ps_remote_get(p.a->r, "key", is, VALUE, &len, NULL), PS_ELOST);
	assert_non_null(strstr(ps_last_error_message(), "the fallback: "));
	struct ps_remote_health options = {.size = sizeof(options)};
	struct ps_remote_health_result result;
	assert_ok(ps_remote_health_check(p.a->r, &options, &result));
	assert_int_equal(result.repaired, 0);
	assert_int_equal(result.lost, 1);
	test_free(is);
	pair_free(&p);
}

static void a_fallback_that_lies_is_not_believed(void **state)
{
	struct pair_of p;
	struct ps_pad_name name;
	uint8_t *is = test_malloc(VALUE);
	size_t len;
	(void)state;
	new_with_fallback(&p);
	name = pad_of(p.a, "key", 2);
	damage(p.world, &name);
	blobs_expect(p.a, "key", VALUE, 1);
	lose(&p, "key", 2);
	assert_error(ps_remote_get(p.a->r, "key", is, VALUE, &len, NULL), PS_ELOST);
	test_free(is);
	pair_free(&p);
}

static void health_makes_the_first_network_whole_again(void **state)
{
	struct pair_of p;
	struct ps_pad_name name;
	struct ps_remote_health options = {.size = sizeof(options), .read = 1};
	struct ps_remote_health_result result;
	(void)state;
	new_with_fallback(&p);
	lose(&p, "key", 0);
	name = pad_of(p.a, "key", 1);
	damage(blobs_world(p.a), &name);
	assert_ok(ps_remote_health_check(p.a->r, &options, &result));
	assert_int_equal(result.lost, 1);
	assert_int_equal(result.wrong, 1);
	assert_int_equal(result.repaired, 2);
	assert_ok(ps_remote_health_check(p.a->r, &options, &result));
	assert_int_equal(result.sound, result.looked);
	blobs_close(p.a);
	p.a->options.fallback = NULL;
	assert_ok(blobs_start(p.a, false));
	blobs_expect(p.a, "key", VALUE, 1);
	blobs_check(p.a);
	pair_free(&p);
}

/* What another machine wrote cannot be sealed again here: the copy has its bytes. */
static void health_repairs_what_another_machine_wrote(void **state)
{
	struct pair_of p;
	struct ps_remote_health options = {.size = sizeof(options)};
	struct ps_remote_health_result result;
	(void)state;
	new_with_fallback(&p);
	struct blobs *b = machine_open(p.a);
	lose(&p, "key", 1);
	assert_ok(ps_remote_health_check(b->r, &options, &result));
	assert_int_equal(result.repaired, 1);
	blobs_expect(b, "key", VALUE, 1);
	machine_free(b);
	pair_free(&p);
}

static void health_can_be_repeated_after_any_request_of_a_repair(void **state)
{
	struct ps_remote_health options = {.size = sizeof(options), .read = 1};
	struct ps_remote_health_result result;
	bool hit = true;
	(void)state;
	for (uint64_t k = 1; hit; k++) {
		struct pair_of p;
		unsigned number;
		new_with_fallback(&p);
		lose(&p, "key", 0);
		struct ps_pad_name name = pad_of(p.a, "key", 1);
		damage(blobs_world(p.a), &name);
		struct ps_mem_rule vanish = {.fault = k % 2 ? PS_MEM_VANISH : PS_MEM_LOSE_REPLY, .first = k};
		assert_ok(ps_mem_rule_add(blobs_world(p.a), &vanish, &number));
		(void)!ps_remote_health_check(p.a->r, &options, &result);
		hit = ps_mem_rule_hits(blobs_world(p.a), number) > 0;
		ps_mem_rule_remove(blobs_world(p.a), 0);
		blobs_reopen(p.a);
		assert_ok(ps_remote_health_check(p.a->r, &options, &result));
		assert_ok(ps_remote_purge(p.a->r, NULL, NULL, NULL));
		assert_ok(ps_remote_health_check(p.a->r, &options, &result));
		assert_int_equal(result.sound, 3);
		blobs_expect(p.a, "key", VALUE, 1);
		blobs_check(p.a);
		pair_free(&p);
	}
}

/* Parts of the index are pads as well. */
static void an_index_whose_pads_are_lost_is_read_from_the_fallback(void **state)
{
	struct pair_of p;
	struct ps_pad_name names[64], head;
	(void)state;
	new_with_fallback(&p);
	size_t count = ps_mem_names(blobs_world(p.a), 0, names, 64);
	head = head_name_of(p.a);
	for (size_t i = 0; i < count; i++)
		if (memcmp(&names[i], &head, sizeof(head)) != 0)
			assert_ok(ps_mem_set(blobs_world(p.a), 0, &names[i], NULL, NULL, 0));
	struct blobs *b = machine_open(p.a);
	blobs_expect(b, "key", VALUE, 1);
	blobs_close(b);
	b->options.fallback = NULL;
	b->options.witness = p.url; /* which is a fallback as well */
	assert_ok(blobs_start(b, false));
	blobs_expect(b, "key", VALUE, 1);
	machine_free(b);
	pair_free(&p);
}

static void a_fallback_that_cannot_be_opened_is_told_at_once(void **state)
{
	struct pair_of p;
	(void)state;
	pair_new(&p);
	blobs_close(p.a);
	p.a->options.fallback = "dir:/nowhere/at/all";
	assert_true(blobs_start(p.a, false) != PS_OK);
	assert_non_null(strstr(ps_last_error_message(), "/nowhere"));
	p.a->options.fallback = NULL;
	assert_ok(blobs_start(p.a, false));
	pair_free(&p);
}

static int refuse(void *arg, const struct ps_remote_progress *progress)
{
	unsigned *calls = arg;
	return progress->phase == PS_REMOTE_RUNNING && ++*calls > 1;
}

static void a_get_that_waits_for_the_fallback_can_be_ended(void **state)
{
	struct pair_of p;
	unsigned calls = 0;
	uint8_t *is = test_malloc(VALUE);
	size_t len;
	struct ps_remote_get options = {.size = sizeof(options), .progress = refuse, .progress_arg = &calls};
	const struct ps_mem_rule hang = {.fault = PS_MEM_HANG};
	(void)state;
	new_with_fallback(&p);
	for (uint32_t chunk = 0; chunk < 3; chunk++)
		lose(&p, "key", chunk);
	add_rule(p.world, &hang);
	assert_error(ps_remote_get(p.a->r, "key", is, VALUE, &len, &options), PS_ECANCELED);
	struct ps_remote_health check = {.size = sizeof(check), .progress = refuse, .progress_arg = &calls};
	assert_error(ps_remote_health_check(p.a->r, &check, NULL), PS_ECANCELED);
	ps_mem_rule_remove(p.world, 0);
	blobs_expect(p.a, "key", VALUE, 1);
	test_free(is);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whatever_the_first_network_does_the_bytes_are_right),
	    cmocka_unit_test(only_what_is_lost_is_asked_of_the_fallback),
	    cmocka_unit_test(an_older_version_on_the_fallback_is_never_used),
	    cmocka_unit_test(a_fallback_that_lies_is_not_believed),
	    cmocka_unit_test(health_makes_the_first_network_whole_again),
	    cmocka_unit_test(health_repairs_what_another_machine_wrote),
	    cmocka_unit_test(health_can_be_repeated_after_any_request_of_a_repair),
	    cmocka_unit_test(an_index_whose_pads_are_lost_is_read_from_the_fallback),
	    cmocka_unit_test(a_fallback_that_cannot_be_opened_is_told_at_once),
	    cmocka_unit_test(a_get_that_waits_for_the_fallback_can_be_ended),
	};
	return cmocka_run_group_tests_name("fallback", tests, NULL, NULL);
}
