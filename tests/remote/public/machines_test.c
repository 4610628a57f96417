/* Public values of a store that two machines share: one address, one winner, nothing silently lost. */
#include <stdio.h>
#include <string.h>

#include "tests/remote/public/public_fixture.h"

struct scene {
	struct blobs *a, *b;
	struct reader *reader;
	char address[PS_PUBLIC_ADDRESS];
};

static void set_up(struct scene *s)
{
	struct ps_remote_seams seams = {.backoff_ms = 1};
	s->a = blobs_new_with("mem", &seams);
	s->b = machine_open(s->a);
	s->reader = reader_new(s->a);
	put_public(s->a, "key", 2 * PAD, 1, s->address);
	(void)sync_machine(s->a);
	(void)sync_machine(s->b);
}

static void tear_down(struct scene *s)
{
	struct blobs *machines[] = {s->a, s->b};
	sync_all_machines(machines, 2);
	expect_same(s->a, s->b);
	check_machines(machines, 2);
	reader_free(s->reader);
	machine_free(s->b);
	blobs_free(s->a);
}

static int update(struct blobs *b, size_t len, uint64_t seed)
{
	uint8_t *bytes = blobs_bytes(len, seed);
	int err = ps_remote_update(b->r, "key", bytes, len, NULL);
	test_free(bytes);
	return err;
}

static void either_machine_changes_what_an_address_shows(void **state)
{
	struct scene s;
	char address[PS_PUBLIC_ADDRESS];
	(void)state;
	set_up(&s);
	assert_ok(ps_remote_address(s.b->r, "key", address));
	assert_string_equal(address, s.address);
	for (uint64_t seed = 2; seed < 8; seed++) {
		struct blobs *one = seed % 2 ? s.a : s.b, *other = seed % 2 ? s.b : s.a;
		assert_ok(update(one, seed * 30000, seed));
		reader_expect(s.reader, s.address, seed * 30000, seed);
		(void)sync_machine(one);
		(void)sync_machine(other);
		blobs_expect(other, "key", seed * 30000, seed);
	}
	tear_down(&s);
}

/* The other has not heard of the change: it is told before anything is sent, and nothing of it is lost. */
static void a_machine_that_is_behind_is_told_so(void **state)
{
	struct scene s;
	struct ps_mem_figures figures;
	struct ps_remote_info info;
	(void)state;
	set_up(&s);
	assert_ok(update(s.a, PAD, 2));
	ps_mem_figures(blobs_world(s.a), &figures, true);
	assert_error(update(s.b, PAD, 3), PS_ESUPERSEDED);
	assert_error(ps_remote_unpublish(s.b->r, "key", NULL), PS_ESUPERSEDED);
	assert_error(ps_remote_remove(s.b->r, "key"), PS_ESUPERSEDED);
	ps_mem_figures(blobs_world(s.a), &figures, true);
	assert_int_equal(figures.requests[PS_NET_REPLACE] + figures.requests[PS_NET_REMOVE], 0);
	reader_expect(s.reader, s.address, PAD, 2);
	(void)sync_machine(s.a);
	(void)sync_machine(s.b);
	assert_ok(ps_remote_stat(s.b->r, "key", &info));
	assert_int_equal(info.size, PAD);
	assert_ok(update(s.b, PAD, 3));
	reader_expect(s.reader, s.address, PAD, 3);
	tear_down(&s);
}

/* The other's update comes between our look and our write. */
struct source {
	struct scene *s;
	uint8_t *bytes;
	size_t at, len;
};

static int read_and_meddle(void *arg, void *buf, size_t len, size_t *got)
{
	struct source *source = arg;
	if (source->at == 0)
		assert_ok(update(source->s->a, PAD + 7, 50));
	*got = source->len - source->at < len ? source->len - source->at : len;
	memcpy(buf, source->bytes + source->at, *got);
	source->at += *got;
	return PS_OK;
}

static int find_copy(void *arg, const struct ps_remote_info *info)
{
	snprintf(arg, PS_RECORD_NAME_MAX + 1, "%s", info->key);
	return 0;
}

static void who_loses_the_race_keeps_its_contents(void **state)
{
	struct scene s;
	char copy[PS_RECORD_NAME_MAX + 1] = "";
	struct ps_remote_info info;
	(void)state;
	set_up(&s);
	struct source source = {.s = &s, .bytes = blobs_bytes(3 * PAD + 9, 60), .len = 3 * PAD + 9};
	assert_error(ps_remote_update_stream(s.b->r, "key", source.len, read_and_meddle, &source, NULL),
	             PS_ESUPERSEDED);
	assert_non_null(strstr(ps_last_error_message(), "kept as \"key (conflict "));
	test_free(source.bytes);
	reader_expect(s.reader, s.address, PAD + 7, 50);
	blobs_expect(s.b, "key", 2 * PAD, 1);
	assert_ok(ps_remote_list(s.b->r, "key (conflict ", find_copy, copy));
	assert_true(copy[0] != '\0');
	blobs_expect(s.b, copy, 3 * PAD + 9, 60);
	assert_ok(ps_remote_stat(s.b->r, copy, &info));
	assert_int_equal(info.is_public, 0);
	assert_ok(ps_remote_stat(s.b->r, "key", &info));
	assert_int_equal(info.updating, 0);
	(void)sync_machine(s.a);
	(void)sync_machine(s.b);
	blobs_expect(s.b, "key", PAD + 7, 50);
	(void)sync_machine(s.a);
	blobs_expect(s.a, copy, 3 * PAD + 9, 60);
	assert_ok(update(s.b, 100, 70));
	reader_expect(s.reader, s.address, 100, 70);
	tear_down(&s);
}

/* The machine that changed it last is gone for good: another takes over. */
static void an_address_outlives_the_machine_that_changed_it(void **state)
{
	struct scene s;
	char address[PS_PUBLIC_ADDRESS];
	struct ps_remote_publish over = {.size = sizeof(over), .take_over = 1};
	(void)state;
	set_up(&s);
	assert_ok(update(s.a, PAD, 2));
	reader_expect(s.reader, s.address, PAD, 2);
	assert_error(update(s.b, PAD, 3), PS_ESUPERSEDED);
	assert_ok(ps_remote_publish(s.b->r, "key", &over, address));
	assert_string_equal(address, s.address);
	reader_expect(s.reader, s.address, 2 * PAD, 1);
	assert_ok(update(s.b, PAD, 3));
	reader_expect(s.reader, s.address, PAD, 3);
	(void)sync_machine(s.b);
	/* It was not: it is told, and both contents are there. */
	(void)sync_machine(s.a);
	assert_int_equal(count_keys(s.a, "key"), 2);
	tear_down(&s);
}

static void an_end_travels(void **state)
{
	struct scene s;
	char address[PS_PUBLIC_ADDRESS];
	struct ps_remote_info info;
	(void)state;
	set_up(&s);
	assert_ok(ps_remote_unpublish(s.b->r, "key", NULL));
	(void)sync_machine(s.b);
	(void)sync_machine(s.a);
	assert_ok(ps_remote_stat(s.a->r, "key", &info));
	assert_int_equal(info.is_public, 0);
	assert_error(ps_remote_address(s.a->r, "key", address), PS_ENOTFOUND);
	blobs_expect(s.a, "key", 2 * PAD, 1);
	assert_error(reader_get(s.reader, s.address, 2 * PAD, 1), PS_ENOTFOUND);
	/* And a new beginning. */
	assert_ok(ps_remote_publish(s.a->r, "key", NULL, address));
	assert_string_not_equal(address, s.address);
	(void)sync_machine(s.a);
	(void)sync_machine(s.b);
	assert_ok(ps_remote_remove(s.b->r, "key"));
	(void)sync_machine(s.b);
	(void)sync_machine(s.a);
	expect_none(s.a, "key");
	assert_error(reader_get(s.reader, address, 2 * PAD, 1), PS_ENOTFOUND);
	tear_down(&s);
}

/* One makes public what the other changes: both contents, and one address, are there. */
static void publishing_what_another_changes_is_a_conflict(void **state)
{
	struct scene s;
	char address[PS_PUBLIC_ADDRESS];
	(void)state;
	set_up(&s);
	blobs_put(s.a, "other", 1000, 1);
	(void)sync_machine(s.a);
	(void)sync_machine(s.b);
	assert_ok(ps_remote_publish(s.a->r, "other", NULL, address));
	blobs_update(s.b, "other", 2000, 2);
	(void)sync_machine(s.b);
	(void)sync_machine(s.a);
	(void)sync_machine(s.b);
	assert_int_equal(count_keys(s.a, "other"), 2);
	reader_expect(s.reader, address, 1000, 1);
	tear_down(&s);
}

/* Renamed by who did not know of the other; ended by the other, who did not know of that. */
static void an_address_that_another_has_ended_can_be_left(void **state)
{
	struct scene s;
	char address[PS_PUBLIC_ADDRESS];
	struct ps_remote_publish over = {.size = sizeof(over), .take_over = 1};
	uint8_t byte = 0;
	(void)state;
	for (unsigned removes = 0; removes < 2; removes++) {
		set_up(&s);
		assert_ok(ps_remote_rename(s.a->r, "key", "moved"));
		assert_ok(ps_remote_unpublish(s.b->r, "key", NULL));
		assert_error(reader_get(s.reader, s.address, 2 * PAD, 1), PS_ENOTFOUND);
		assert_error(ps_remote_update(s.a->r, "moved", &byte, 1, NULL), PS_ESUPERSEDED);
		assert_error(ps_remote_publish(s.a->r, "moved", &over, address), PS_ENOTFOUND);
		if (removes) {
			assert_ok(ps_remote_remove(s.a->r, "moved"));
		} else {
			assert_ok(ps_remote_unpublish(s.a->r, "moved", NULL));
			blobs_expect(s.a, "moved", 2 * PAD, 1);
			assert_ok(ps_remote_publish(s.a->r, "moved", NULL, address));
			reader_expect(s.reader, address, 2 * PAD, 1);
		}
		assert_error(reader_get(s.reader, s.address, 2 * PAD, 1), PS_ENOTFOUND);
		reader_free(s.reader);
		machine_free(s.b);
		blobs_free(s.a);
	}
}

/* So that each has written a head, and knows of the other. */
static void meet(struct scene *s)
{
	blobs_put(s->a, "of a", 1, 1);
	blobs_put(s->b, "of b", 1, 1);
	(void)sync_machine(s->b);
	(void)sync_machine(s->a);
	(void)sync_machine(s->b);
}

static void expect_address(struct scene *s, struct blobs *b, const char *key)
{
	char address[PS_PUBLIC_ADDRESS];
	assert_ok(ps_remote_address(b->r, key, address));
	assert_string_equal(address, s->address);
}

static uint64_t requests_of(struct blobs *b)
{
	struct ps_remote_stats stats;
	blobs_stats(b, &stats);
	return stats.requests;
}

static void a_shared_public_value_takes_its_address_along(void **state)
{
	(void)state;
	for (unsigned renamer = 0; renamer < 2; renamer++) {
		struct scene s;
		set_up(&s);
		meet(&s);
		struct blobs *one = renamer ? s.b : s.a, *other = renamer ? s.a : s.b;
		assert_error(ps_remote_rename(one->r, "key", "of a"), PS_EEXIST);
		assert_ok(ps_remote_rename(one->r, "key", "moved"));
		expect_none(one, "key");
		blobs_expect(one, "moved", 2 * PAD, 1);
		expect_address(&s, one, "moved");
		reader_expect(s.reader, s.address, 2 * PAD, 1);
		/* Who has not heard of it changes nothing of it. */
		assert_error(update(other, PAD, 3), PS_ESUPERSEDED);
		assert_error(ps_remote_remove(other->r, "key"), PS_ESUPERSEDED);
		assert_error(ps_remote_rename(other->r, "key", "elsewhere"), PS_ESUPERSEDED);
		blobs_put(other, "takes what is free", 6 * PAD, 4);
		(void)sync_machine(one);
		(void)sync_machine(other);
		expect_none(other, "key");
		expect_address(&s, other, "moved");
		blobs_expect(other, "moved", 2 * PAD, 1);
		blobs_update(other, "moved", 3 * PAD, 5);
		reader_expect(s.reader, s.address, 3 * PAD, 5);
		(void)sync_machine(other);
		(void)sync_machine(one);
		/* And back, more than once before anybody hears of it: only the first writes it anew. */
		assert_ok(ps_remote_rename(one->r, "moved", "again"));
		uint64_t before = requests_of(one);
		assert_ok(ps_remote_rename(one->r, "again", "key"));
		assert_int_equal(requests_of(one), before);
		reader_expect(s.reader, s.address, 3 * PAD, 5);
		tear_down(&s);
	}
}

/* Renamed by who does not know of the other, and changed under the old key by the other: the address stays
 * with what it shows. */
static void an_address_that_another_has_written_stays_with_the_old_key(void **state)
{
	struct scene s;
	struct ps_remote_info info;
	(void)state;
	set_up(&s);
	assert_ok(ps_remote_rename(s.a->r, "key", "moved"));
	assert_ok(update(s.b, PAD + 1, 2));
	(void)sync_machine(s.b);
	(void)sync_machine(s.a);
	assert_ok(ps_remote_stat(s.a->r, "moved", &info));
	assert_int_equal(info.is_public, 0);
	blobs_expect(s.a, "moved", 2 * PAD, 1);
	expect_address(&s, s.a, "key");
	blobs_expect(s.a, "key", PAD + 1, 2);
	(void)sync_machine(s.a);
	(void)sync_machine(s.b);
	blobs_expect(s.b, "moved", 2 * PAD, 1);
	blobs_update(s.b, "moved", 10, 3);
	assert_ok(update(s.b, PAD + 1, 4));
	reader_expect(s.reader, s.address, PAD + 1, 4);
	tear_down(&s);
}

/* Renamed, and taken over under the old key by who has not heard of it. */
static void an_address_that_another_takes_over_stays_with_the_old_key(void **state)
{
	struct scene s;
	struct ps_remote_info info;
	struct ps_remote_publish over = {.size = sizeof(over), .take_over = 1};
	(void)state;
	for (unsigned first = 0; first < 2; first++) {
		set_up(&s);
		meet(&s);
		assert_ok(ps_remote_rename(s.a->r, "key", "moved"));
		assert_ok(ps_remote_publish(s.b->r, "key", &over, NULL));
		(void)sync_machine(first ? s.b : s.a);
		(void)sync_machine(first ? s.a : s.b);
		(void)sync_machine(first ? s.b : s.a);
		expect_address(&s, s.a, "key");
		expect_address(&s, s.b, "key");
		assert_ok(ps_remote_stat(s.a->r, "moved", &info));
		assert_int_equal(info.is_public, 0);
		assert_ok(update(s.b, PAD, 4));
		reader_expect(s.reader, s.address, PAD, 4);
		tear_down(&s);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(either_machine_changes_what_an_address_shows),
	    cmocka_unit_test(a_machine_that_is_behind_is_told_so),
	    cmocka_unit_test(who_loses_the_race_keeps_its_contents),
	    cmocka_unit_test(an_address_outlives_the_machine_that_changed_it),
	    cmocka_unit_test(an_end_travels),
	    cmocka_unit_test(publishing_what_another_changes_is_a_conflict),
	    cmocka_unit_test(an_address_that_another_has_ended_can_be_left),
	    cmocka_unit_test(a_shared_public_value_takes_its_address_along),
	    cmocka_unit_test(an_address_that_another_has_written_stays_with_the_old_key),
	    cmocka_unit_test(an_address_that_another_takes_over_stays_with_the_old_key),
	};
	return cmocka_run_group_tests_name("public values, machines", tests, NULL, NULL);
}
