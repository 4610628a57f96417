/* What a network can do to readers of public values: what they read is right, or an error that says what is
 * wrong. */
#include <stdio.h>
#include <string.h>

#include "remote/public_anchor.h"
#include "tests/remote/public/public_fixture.h"

enum { VALUE = 3 * PAD - 100 };

struct scene {
	struct blobs *b;
	struct reader *reader;
	char address[PS_PUBLIC_ADDRESS];
	struct ps_pad_name index;
	struct ps_record record;
};

/* Three versions were seen; the network keeps them all. */
static void set_up(struct scene *s)
{
	struct ps_remote_seams seams = {.backoff_ms = 1};
	*s = (struct scene){.b = blobs_new_with("mem", &seams)};
	ps_mem_keep_past(blobs_world(s->b), 8);
	s->reader = reader_new(s->b);
	put_public(s->b, "key", VALUE, 1, s->address);
	for (uint64_t seed = 2; seed <= 3; seed++) {
		uint8_t *bytes = blobs_bytes(VALUE, seed);
		assert_ok(ps_remote_update(s->b->r, "key", bytes, VALUE, NULL));
		test_free(bytes);
	}
	s->index = name_of_address(s->address);
	get_record(s->b, "key", &s->record);
	reader_expect(s->reader, s->address, VALUE, 3);
}

static void tear_down(struct scene *s)
{
	ps_record_done(&s->record);
	reader_free(s->reader);
	blobs_free(s->b);
}

static void clear_rules(struct scene *s)
{
	ps_mem_rule_remove(blobs_world(s->b), 0);
}

static void expect_under(struct scene *s, struct ps_mem_rule rule, int error)
{
	unsigned number;
	assert_ok(ps_mem_rule_add(blobs_world(s->b), &rule, &number));
	int err = reader_get(s->reader, s->address, VALUE, 3);
	if (err != error)
		fail_msg("fault %d: %s instead of %s (%s)", (int)rule.fault, ps_error_name(err),
		         ps_error_name(error), ps_last_error_message());
	clear_rules(s);
}

static void every_lie_about_an_index_pad_is_found(void **state)
{
	struct scene s;
	ps_mem_snapshot *before;
	(void)state;
	set_up(&s);
	assert_ok(ps_mem_snapshot_take(blobs_world(s.b), 0, &before));
	blobs_update(s.b, "key", VALUE, 4);
	assert_int_equal(reader_get(s.reader, s.address, VALUE, 4), PS_OK);
	blobs_update(s.b, "key", VALUE, 3);
	assert_int_equal(reader_get(s.reader, s.address, VALUE, 3), PS_OK);
	const struct ps_pad_slot *slot = &s.record.sets[PS_SET_CURRENT].slots[0];
	const struct {
		struct ps_mem_rule rule;
		int error;
	} lies[] = {
	    {{.fault = PS_MEM_ABSENT}, PS_ELOST},
	    {{.fault = PS_MEM_OLD, .amount = 1}, PS_EROLLBACK},
	    {{.fault = PS_MEM_OLD, .amount = 4}, PS_EROLLBACK},
	    {{.fault = PS_MEM_FROZEN, .snapshot = before}, PS_EROLLBACK},
	    {{.fault = PS_MEM_FLIP, .amount = 777}, PS_EAUTH},
	    {{.fault = PS_MEM_FLIP, .amount = 9001}, PS_EAUTH},
	    {{.fault = PS_MEM_TRUNCATE, .amount = 100}, PS_EAUTH},
	    {{.fault = PS_MEM_TRUNCATE, .amount = 0}, PS_EAUTH},
	    {{.fault = PS_MEM_EXTEND, .amount = 5}, PS_EAUTH},
	    {{.fault = PS_MEM_EXTEND, .amount = 500000}, PS_EAUTH},
	    {{.fault = PS_MEM_OTHER, .other = slot->name}, PS_EAUTH},
	    {{.fault = PS_MEM_DENIED}, PS_EACCES},
	    {{.fault = PS_MEM_VANISH}, PS_EUNAVAILABLE},
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct ps_mem_rule rule = lies[i].rule;
		rule.named = true;
		rule.name = s.index;
		expect_under(&s, rule, lies[i].error);
	}
	reader_expect(s.reader, s.address, VALUE, 3);
	ps_mem_snapshot_free(before);
	tear_down(&s);
}

static void every_lie_about_a_pad_of_the_value_is_found(void **state)
{
	struct scene s;
	(void)state;
	set_up(&s);
	const struct ps_slots *current = &s.record.sets[PS_SET_CURRENT];
	const struct {
		struct ps_mem_rule rule;
		int error;
	} lies[] = {
	    {{.fault = PS_MEM_ABSENT}, PS_ELOST},
	    {{.fault = PS_MEM_FLIP, .amount = 777}, PS_EAUTH},
	    {{.fault = PS_MEM_FLIP, .amount = 90001}, PS_EAUTH},
	    {{.fault = PS_MEM_TRUNCATE, .amount = 70000}, PS_EAUTH},
	    {{.fault = PS_MEM_EXTEND, .amount = 5000}, PS_EAUTH},
	    {{.fault = PS_MEM_OTHER, .other = current->slots[1].name}, PS_EAUTH},
	    {{.fault = PS_MEM_OTHER, .other = s.index}, PS_EAUTH},
	    {{.fault = PS_MEM_VANISH}, PS_EUNAVAILABLE},
	};
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct ps_mem_rule rule = lies[i].rule;
		rule.named = true;
		rule.name = current->slots[0].name;
		expect_under(&s, rule, lies[i].error);
	}
	/* One that was written anew, and shows its old version. */
	struct ps_mem_rule old = {.fault = PS_MEM_OLD, .amount = 1, .named = true};
	unsigned number;
	bool rolled = false;
	for (uint32_t i = 0; i < current->count; i++) {
		if (current->slots[i].counter == 1)
			continue;
		old.name = current->slots[i].name;
		assert_ok(ps_mem_rule_add(blobs_world(s.b), &old, &number));
		assert_error(reader_get(s.reader, s.address, VALUE, 3), PS_EROLLBACK);
		clear_rules(&s);
		rolled = true;
	}
	assert_true(rolled);
	reader_expect(s.reader, s.address, VALUE, 3);
	tear_down(&s);
}

/* Signed and sealed by the right key: still not what was seen under this number. */
static void another_manifest_of_one_number_is_a_fork(void **state)
{
	struct scene s;
	struct ps_net_buffer *buffer;
	uint8_t payload[PS_MANIFEST_HEAD];
	struct ps_manifest empty = {.level = 0};
	struct ps_pad_identity identity;
	(void)state;
	set_up(&s);
	struct ps_pad_slot slot = s.record.index_pad;
	memset(slot.nonce, 0, sizeof(slot.nonce));
	memset(slot.hash, 0, sizeof(slot.hash));
	ps_manifest_encode(&empty, payload);
	assert_ok(ps_manager_seal(s.b->r, &slot, PS_ROLE_DATA, public_description, PUBLIC_DESCRIPTION,
	                          payload, sizeof(payload), &buffer));
	identity = ps_slot_identity(&slot);
	assert_ok(ps_mem_set(blobs_world(s.b), 0, &slot.name, &identity, buffer->bytes, buffer->len));
	ps_net_buffer_release(buffer);
	assert_error(reader_get(s.reader, s.address, VALUE, 3), PS_EFORK);
	/* Its writer finds it, too, before anything is sent. */
	uint8_t byte = 0;
	assert_error(ps_remote_update(s.b->r, "key", &byte, 1, NULL), PS_EFORK);
	/* And writes it anew. */
	struct ps_remote_publish over = {.size = sizeof(over), .take_over = 1};
	char again[PS_PUBLIC_ADDRESS];
	assert_ok(ps_remote_publish(s.b->r, "key", &over, again));
	assert_string_equal(again, s.address);
	reader_expect(s.reader, s.address, VALUE, 3);
	tear_down(&s);
}

/* A whole network put back: the index pad, and all that it lists. A reader that never saw the address takes
 * it. */
static void a_network_put_back_is_found_by_who_saw_it(void **state)
{
	struct scene s;
	ps_mem_snapshot *before;
	struct ps_public_info info;
	(void)state;
	set_up(&s);
	assert_ok(ps_mem_snapshot_take(blobs_world(s.b), 0, &before));
	blobs_update(s.b, "key", VALUE, 4);
	assert_int_equal(reader_get(s.reader, s.address, VALUE, 4), PS_OK);
	reader_reopen(s.reader);
	assert_ok(ps_mem_restore(blobs_world(s.b), 0, before));
	assert_error(reader_get(s.reader, s.address, VALUE, 3), PS_EROLLBACK);
	struct reader *fresh = reader_new(s.b);
	assert_ok(ps_public_stat(&fresh->p, s.address, &info));
	assert_int_equal(info.first, 1);
	reader_expect(fresh, s.address, VALUE, 3);
	reader_free(fresh);
	uint8_t byte = 0;
	assert_error(ps_remote_update(s.b->r, "key", &byte, 1, NULL), PS_EROLLBACK);
	ps_mem_snapshot_free(before);
	tear_down(&s);
}

static void what_was_taken_back_does_not_come_back(void **state)
{
	struct scene s;
	ps_mem_snapshot *before;
	(void)state;
	set_up(&s);
	assert_ok(ps_mem_snapshot_take(blobs_world(s.b), 0, &before));
	assert_ok(ps_remote_unpublish(s.b->r, "key", NULL));
	assert_error(reader_get(s.reader, s.address, VALUE, 3), PS_ENOTFOUND);
	assert_ok(ps_mem_restore(blobs_world(s.b), 0, before));
	assert_error(reader_get(s.reader, s.address, VALUE, 3), PS_EROLLBACK);
	ps_mem_snapshot_free(before);
	tear_down(&s);
}

/* The same store on another network: its records are another network's. */
static void another_network_is_told_apart(void **state)
{
	struct scene s;
	struct ps_net_buffer *buffer;
	struct ps_pad_identity identity;
	uint8_t payload[PS_MANIFEST_HEAD];
	struct ps_manifest empty = {.level = 0};
	(void)state;
	set_up(&s);
	struct ps_remote_seams seams = {.backoff_ms = 1};
	struct blobs *foreign = blobs_new_with("mem", &seams); /* the same key */
	struct ps_pad_slot slot = s.record.index_pad;
	memset(slot.nonce, 0, sizeof(slot.nonce));
	memset(slot.hash, 0, sizeof(slot.hash));
	slot.counter += 5;
	ps_manifest_encode(&empty, payload);
	assert_ok(ps_manager_seal(foreign->r, &slot, PS_ROLE_DATA, public_description, PUBLIC_DESCRIPTION,
	                          payload, sizeof(payload), &buffer));
	identity = ps_slot_identity(&slot);
	assert_ok(ps_mem_set(blobs_world(s.b), 0, &slot.name, &identity, buffer->bytes, buffer->len));
	ps_net_buffer_release(buffer);
	assert_error(reader_get(s.reader, s.address, VALUE, 3), PS_EAUTH);
	uint8_t byte = 0;
	assert_error(ps_remote_update(s.b->r, "key", &byte, 1, NULL), PS_EAUTH);
	blobs_free(foreign);
	tear_down(&s);
}

/* Authentic manifests that no writer writes. */
static void an_impossible_manifest_is_refused(void **state)
{
	struct scene s;
	(void)state;
	set_up(&s);
	for (unsigned kind = 0; kind < 4; kind++) {
		struct ps_net_buffer *buffer;
		uint8_t payload[PS_MANIFEST_HEAD] = {0};
		struct ps_manifest m = {.size = kind == 1 ? 1 : 0, .chunk = kind == 2 ? 4096 : 0};
		struct ps_pad_slot slot = s.record.index_pad;
		memset(slot.nonce, 0, sizeof(slot.nonce));
		memset(slot.hash, 0, sizeof(slot.hash));
		slot.counter += kind + 1;
		ps_manifest_encode(&m, payload);
		if (kind == 3)
			payload[8] = 99;
		assert_ok(ps_manager_seal(s.b->r, &slot, PS_ROLE_DATA, public_description, PUBLIC_DESCRIPTION,
		                          payload, kind == 0 ? 10 : sizeof(payload), &buffer));
		struct ps_pad_identity identity = ps_slot_identity(&slot);
		assert_ok(ps_mem_set(blobs_world(s.b), 0, &slot.name, &identity, buffer->bytes, buffer->len));
		ps_net_buffer_release(buffer);
		assert_error(reader_get(s.reader, s.address, VALUE, 3),
		             kind == 3 ? PS_EVERSION : PS_ECORRUPT);
	}
	tear_down(&s);
}

/* ---- what writers are told ---- */

static void a_lost_index_pad_is_told_and_written_anew(void **state)
{
	struct scene s;
	uint8_t byte = 0;
	char again[PS_PUBLIC_ADDRESS];
	struct ps_remote_publish over = {.size = sizeof(over), .take_over = 1};
	struct ps_pad_identity none = {0};
	(void)state;
	set_up(&s);
	assert_ok(ps_mem_set(blobs_world(s.b), 0, &s.index, &none, NULL, 0));
	assert_error(reader_get(s.reader, s.address, VALUE, 3), PS_ELOST);
	assert_error(ps_remote_update(s.b->r, "key", &byte, 1, NULL), PS_ELOST);
	assert_ok(ps_remote_publish(s.b->r, "key", &over, again));
	assert_string_equal(again, s.address);
	reader_expect(s.reader, s.address, VALUE, 3);
	blobs_update(s.b, "key", VALUE, 4);
	reader_expect(s.reader, s.address, VALUE, 4);
	blobs_check(s.b);
	tear_down(&s);
}

static int no_contents(void *arg, const char *key, uint64_t offset, void *buf, size_t len)
{
	(void)arg, (void)key, (void)offset, (void)buf, (void)len;
	return PS_ENOTFOUND;
}

static void find(void *arg, const char *key, uint64_t pad, int error, const char *sentence)
{
	(void)pad, (void)sentence;
	assert_string_equal(key, "key");
	*(int *)arg = error;
}

static void a_health_check_looks_at_what_an_address_shows(void **state)
{
	struct scene s;
	struct ps_remote_health_result result;
	struct ps_pad_identity none = {0};
	int found = PS_OK;
	struct ps_remote_health options = {.size = sizeof(options), .finding = find, .finding_arg = &found};
	(void)state;
	set_up(&s);
	assert_ok(ps_remote_health_check(s.b->r, &options, &result));
	assert_int_equal(result.sound, 4);
	assert_ok(ps_mem_set(blobs_world(s.b), 0, &s.index, &none, NULL, 0));
	assert_ok(ps_remote_health_check(s.b->r, &options, &result));
	assert_int_equal(found, PS_ELOST);
	assert_int_equal(result.lost, 1);
	assert_int_equal(result.repaired, 0);
	options.contents = no_contents;
	assert_ok(ps_remote_health_check(s.b->r, &options, &result));
	assert_int_equal(result.repaired, 1);
	reader_expect(s.reader, s.address, VALUE, 3);
	assert_ok(ps_remote_health_check(s.b->r, &options, &result));
	assert_int_equal(result.sound, 4);
	blobs_check(s.b);
	tear_down(&s);
}

/* The guard is what keeps two writers apart: a write that the network says it did, and did not, is found. */
static void each_lie_about_a_write_of_an_index_pad_is_found(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_LIE_DONE, PS_MEM_LOSE_REPLY,   PS_MEM_LATE,
	                                           PS_MEM_TWICE,    PS_MEM_LOSE_REQUEST, PS_MEM_FULL};
	(void)state;
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++) {
		struct scene s;
		unsigned number;
		set_up(&s);
		struct ps_mem_rule rule = {.fault = faults[f],
		                           .ops = 1U << PS_NET_REPLACE,
		                           .named = true,
		                           .name = s.index,
		                           .amount = 2,
		                           .count = 1};
		assert_ok(ps_mem_rule_add(blobs_world(s.b), &rule, &number));
		uint8_t *bytes = blobs_bytes(VALUE, 4);
		int err = ps_remote_update(s.b->r, "key", bytes, VALUE, NULL);
		assert_true(ps_mem_rule_hits(blobs_world(s.b), number) > 0);
		assert_int_equal(err, faults[f] == PS_MEM_FULL ? PS_ENOSPC : PS_OK);
		clear_rules(&s);
		(void)ps_mem_deliver(blobs_world(s.b));
		if (err != PS_OK)
			assert_ok(ps_remote_update(s.b->r, "key", bytes, VALUE, NULL));
		test_free(bytes);
		reader_expect(s.reader, s.address, VALUE, 4);
		blobs_expect(s.b, "key", VALUE, 4);
		blobs_check(s.b);
		tear_down(&s);
	}
}

/* ---- the anchor's file ---- */

static void every_byte_of_an_anchor_counts(void **state)
{
	struct public_anchor anchor, read;
	struct public_anchor_bytes bytes;
	uint8_t *at = (uint8_t *)&bytes;
	(void)state;
	blobs_fill(&anchor, sizeof(anchor), 7);
	public_anchor_encode(&anchor, &bytes);
	assert_ok(public_anchor_decode("anchor", &bytes, sizeof(bytes), &read));
	assert_memory_equal(&anchor.identity.hash, &read.identity.hash, 32);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		at[i] ^= 0x10;
		assert_error(public_anchor_decode("anchor", &bytes, sizeof(bytes), &read),
		             i < 8 ? PS_EFORMAT : PS_ECORRUPT);
		at[i] ^= 0x10;
	}
	for (size_t len = 0; len < sizeof(bytes); len++)
		assert_error(public_anchor_decode("anchor", &bytes, len, &read),
		             len < 8 ? PS_EFORMAT : PS_ECORRUPT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_lie_about_an_index_pad_is_found),
	    cmocka_unit_test(every_lie_about_a_pad_of_the_value_is_found),
	    cmocka_unit_test(another_manifest_of_one_number_is_a_fork),
	    cmocka_unit_test(a_network_put_back_is_found_by_who_saw_it),
	    cmocka_unit_test(what_was_taken_back_does_not_come_back),
	    cmocka_unit_test(another_network_is_told_apart),
	    cmocka_unit_test(an_impossible_manifest_is_refused),
	    cmocka_unit_test(a_lost_index_pad_is_told_and_written_anew),
	    cmocka_unit_test(a_health_check_looks_at_what_an_address_shows),
	    cmocka_unit_test(each_lie_about_a_write_of_an_index_pad_is_found),
	    cmocka_unit_test(every_byte_of_an_anchor_counts),
	};
	return cmocka_run_group_tests_name("public values, attacks", tests, NULL, NULL);
}
