/* The log of a store on a network: whatever happens to the machine, a clone has what was shipped, and nothing
 * that came later. Shipments are made by the test, one at a time. usage: log_test [SEEDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multistore/log.h"
#include "multistore/push_internal.h"
#include "tests/multistore/push_fixture.h"

static uint64_t seeds = 3;

/* A world with a log, and what the network has of it. */
struct logged {
	struct world w;
	struct ps_log *log;
	struct ps_log_setup setup;
	struct picture there;
};

static void logged_begin(struct logged *l)
{
	l->setup.s = l->w.s;
	l->setup.r = l->w.b->r;
	l->setup.clock = &ps_system_clock;
	assert_ok(ps_log_new(&l->setup, &l->log));
	ps_log_enter(l->log);
}

static void logged_new(struct logged *l, uint64_t seed)
{
	memset(l, 0, sizeof(*l));
	world_new(&l->w, "mem", seed);
	l->w.options.compression = -1;
	l->setup = (struct ps_log_setup){.group_bytes = 64 << 20, .total_bytes = 512 << 20};
	logged_begin(l);
}

static void logged_free(struct logged *l)
{
	ps_log_free(l->log);
	picture_free(&l->there);
	world_free(&l->w);
}

static void logged_reopen(struct logged *l)
{
	ps_log_free(l->log);
	world_reopen(&l->w);
	logged_begin(l);
}

static void is_there(struct logged *l)
{
	picture_free(&l->there);
	picture_take(&l->there, l->w.s);
}

static void push(struct logged *l)
{
	(void)push_now(&l->w);
	is_there(l);
}

static void ship(struct logged *l)
{
	assert_ok(ps_log_ship(l->log, NULL, NULL));
	is_there(l);
}

static void expect_there(struct logged *l)
{
	expect_clone(&l->w, l->w.b->r, 0, &l->there);
}

static uint64_t groups(struct logged *l)
{
	struct ps_log_figures figures;
	ps_log_figures(l->log, &figures);
	return figures.groups;
}

static size_t slots_listed(struct logged *l)
{
	struct ps_remote_audit_result audit;
	assert_ok(ps_remote_audit(l->w.b->r, NULL, &audit));
	assert_int_equal(audit.unnamed, 0);
	return (size_t)audit.roles[PS_ROLE_LOG];
}

/* ---- what it is for ---- */

static void a_clone_has_what_was_shipped_and_nothing_later(void **state)
{
	struct logged l;
	(void)state;
	logged_new(&l, 1);
	change_some(&l.w, 40);
	assert_error(ps_log_ship(l.log, NULL, NULL), PS_EBUSY); /* nothing was pushed yet */
	push(&l);
	for (unsigned i = 0; i < 5; i++) {
		change_some(&l.w, 20);
		ship(&l);
		change_some(&l.w, 5);
		expect_there(&l);
	}
	assert_int_equal(groups(&l), 5);
	push(&l);
	expect_there(&l);
	assert_int_equal(slots_listed(&l), 0);
	change_some(&l.w, 20);
	ship(&l);
	expect_there(&l);
	logged_free(&l);
}

/* The clone of a clone's push, too: ids that the first store gave out are not given out again. */
static void histories_of_all_kinds_end_in_what_was_shipped(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct logged l;
		logged_new(&l, seed);
		change_some(&l.w, 30);
		push(&l);
		for (unsigned step = 0; step < 40; step++) {
			switch (roll_below(&l.w.dice, 8)) {
			case 0:
				push(&l);
				break;
			case 1:
				logged_reopen(&l);
				break;
			case 2:
				expect_there(&l);
				break;
			case 3:
				assert_ok(ps_compact(l.w.s, 0, NULL, NULL));
				break;
			case 4:
				ship(&l);
				break;
			default:
				change_some(&l.w, (unsigned)roll_below(&l.w.dice, 12));
				break;
			}
		}
		ship(&l);
		expect_there(&l);
		logged_free(&l);
	}
}

static void groups_of_many_pads_are_one(void **state)
{
	struct logged l;
	ps_id id;
	(void)state;
	logged_new(&l, 2);
	change_some(&l.w, 10);
	push(&l);
	size_t len = 3 * ps_remote_slot_most(l.w.b->r) + 1000;
	uint8_t *bytes = blobs_bytes(len, 5);
	assert_ok(ps_put(l.w.s, bytes, len, &id));
	ship(&l);
	assert_int_equal(slots_listed(&l), 4);
	expect_there(&l);
	test_free(bytes);
	push(&l);
	assert_int_equal(slots_listed(&l), 0);
	logged_free(&l);
}

static void nothing_to_ship_is_no_request(void **state)
{
	struct logged l;
	struct ps_remote_stats before, after;
	(void)state;
	logged_new(&l, 2);
	change_some(&l.w, 10);
	push(&l);
	ship(&l);
	change_some(&l.w, 10);
	ship(&l);
	blobs_stats(l.w.b, &before);
	ship(&l);
	blobs_stats(l.w.b, &after);
	assert_int_equal(after.requests, before.requests);
	logged_free(&l);
}

static void a_thousand_scattered_replaces_are_small(void **state)
{
	enum { OBJECTS = 20000, CHANGED = 1000, BYTES = 100 };
	struct logged l;
	struct ps_remote_stats before, after;
	uint8_t bytes[BYTES];
	ps_id *ids = test_malloc(OBJECTS * sizeof(*ids));
	(void)state;
	logged_new(&l, 2);
	for (unsigned i = 0; i < OBJECTS; i++) {
		blobs_fill(bytes, BYTES, i);
		assert_ok(ps_put(l.w.s, bytes, BYTES, &ids[i]));
	}
	push(&l);
	blobs_stats(l.w.b, &before);
	for (unsigned i = 0; i < CHANGED; i++) {
		blobs_fill(bytes, BYTES, OBJECTS + i);
		assert_ok(ps_replace(l.w.s, ids[i * 7919 % OBJECTS], bytes, BYTES));
	}
	ship(&l);
	blobs_stats(l.w.b, &after);
	print_message("%llu bytes in %llu requests\n",
	              (unsigned long long)(after.sent_bytes - before.sent_bytes),
	              (unsigned long long)(after.requests - before.requests));
	assert_in_range(after.sent_bytes - before.sent_bytes, CHANGED * BYTES, 512 << 10);
	assert_int_equal(after.requests - before.requests, 1);
	expect_there(&l);
	test_free(ids);
	logged_free(&l);
}

/* One write, and what it brings along. */
static void write_and_ship(struct logged *l, ps_id id, uint64_t offset, uint64_t most)
{
	struct ps_remote_stats before, after;
	uint64_t mark = roll(&l->w.dice);
	assert_ok(ps_write_at(l->w.s, id, offset, &mark, sizeof(mark)));
	blobs_stats(l->w.b, &before);
	ship(l);
	blobs_stats(l->w.b, &after);
	assert_in_range(after.sent_bytes - before.sent_bytes, 1, most);
}

/* Over the state, over a group that has it whole, and over each other. */
static void of_a_large_object_what_was_written_is_shipped(void **state)
{
	enum { PIECE = 65536, PIECES = 60 };
	struct logged l;
	uint8_t *bytes = test_malloc(PIECES * PIECE);
	ps_id id[2];
	(void)state;
	logged_new(&l, 4);
	blobs_fill(bytes, PIECES * PIECE, 1);
	assert_ok(ps_put(l.w.s, bytes, PIECES * PIECE, &id[0]));
	push(&l);
	assert_ok(ps_put(l.w.s, bytes, PIECES * PIECE, &id[1]));
	ship(&l);
	for (unsigned i = 0; i < 10; i++) {
		write_and_ship(&l, id[i % 2], (i * 13 % PIECES) * PIECE + 5, 3 * PIECE);
		write_and_ship(&l, id[i % 2], (i * 13 % PIECES) * PIECE + 50, 3 * PIECE);
		if (i % 3 != 0)
			continue;
		/* Zeros in the middle, a piece that goes on with zeros, and an end that is cut. */
		assert_ok(ps_resize(l.w.s, id[i / 3 % 2], (40 - i) * PIECE + 100 * (i % 2)));
		if (i % 2)
			ship(&l);
		assert_ok(ps_resize(l.w.s, id[i / 3 % 2], (PIECES - i) * PIECE - 77));
		ship(&l);
		expect_there(&l);
	}
	logged_free(&l);
	test_free(bytes);
}

/* ---- bounds ---- */

static void more_than_it_takes_stops_it_until_a_push(void **state)
{
	struct logged l;
	ps_id id;
	(void)state;
	logged_new(&l, 2);
	ps_log_free(l.log);
	l.setup.group_bytes = 100000;
	l.setup.total_bytes = 150000;
	logged_begin(&l);
	change_some(&l.w, 10);
	push(&l);
	uint8_t *bytes = blobs_bytes(100001, 5);
	assert_ok(ps_put(l.w.s, bytes, 100001, &id));
	assert_error(ps_log_ship(l.log, NULL, NULL), PS_EFULL);
	assert_error(ps_log_ship(l.log, NULL, NULL), PS_EBUSY);
	expect_there(&l);
	push(&l);
	for (unsigned i = 0; i < 2; i++) {
		assert_ok(ps_replace(l.w.s, id, bytes, 90000));
		if (i == 0)
			ship(&l);
		else
			assert_error(ps_log_ship(l.log, NULL, NULL), PS_EFULL);
	}
	expect_there(&l);
	assert_true(ps_log_wants_push(l.log));
	push(&l);
	change_some(&l.w, 3);
	ship(&l);
	expect_there(&l);
	test_free(bytes);
	logged_free(&l);
}

/* ---- whose it is ---- */

/* The file as it was before the last shipments, put in the place of the one that made them. */
static void a_file_older_than_its_log_neither_ships_nor_pushes(void **state)
{
	struct logged l;
	char copy[300], command[700];
	(void)state;
	logged_new(&l, 2);
	change_some(&l.w, 20);
	push(&l);
	logged_reopen(&l);
	ps_log_free(l.log);
	assert_ok(ps_close(l.w.s));
	snprintf(copy, sizeof(copy), "%s.old", l.w.path);
	snprintf(command, sizeof(command), "cp %s %s", l.w.path, copy);
	assert_int_equal(system(command), 0);
	l.w.s = open_stack(&l.w, l.w.path, PS_OPEN_EXISTING);
	logged_begin(&l);
	change_some(&l.w, 20);
	ship(&l);
	ps_log_free(l.log);
	assert_ok(ps_close(l.w.s));
	snprintf(command, sizeof(command), "mv %s %s", copy, l.w.path);
	assert_int_equal(system(command), 0);
	l.w.s = open_stack(&l.w, l.w.path, PS_OPEN_EXISTING);
	logged_begin(&l);
	change_some(&l.w, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_error(ps_log_ship(l.log, NULL, NULL), PS_EFORK);
		assert_error(ps_push(l.w.s, l.w.b->r, &l.w.options, NULL), PS_EFORK);
	}
	ps_log_free(l.log);
	for (unsigned i = 0; i < 3; i++) /* also where no log is shipped any more */
		assert_error(ps_push(l.w.s, l.w.b->r, &l.w.options, NULL), PS_EFORK);
	logged_begin(&l);
	expect_there(&l);
	logged_free(&l);
}

static void a_log_that_is_switched_off_goes_on_later(void **state)
{
	struct logged l;
	(void)state;
	logged_new(&l, 2);
	change_some(&l.w, 20);
	push(&l);
	change_some(&l.w, 20);
	ship(&l);
	ps_log_free(l.log);
	change_some(&l.w, 20);
	push(&l);
	expect_there(&l);
	change_some(&l.w, 20);
	expect_there(&l);
	logged_begin(&l);
	assert_error(ps_log_ship(l.log, NULL, NULL), PS_EBUSY);
	push(&l);
	change_some(&l.w, 20);
	ship(&l);
	expect_there(&l);
	logged_free(&l);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_clone_has_what_was_shipped_and_nothing_later),
	    cmocka_unit_test(histories_of_all_kinds_end_in_what_was_shipped),
	    cmocka_unit_test(groups_of_many_pads_are_one),
	    cmocka_unit_test(nothing_to_ship_is_no_request),
	    cmocka_unit_test(a_thousand_scattered_replaces_are_small),
	    cmocka_unit_test(of_a_large_object_what_was_written_is_shipped),
	    cmocka_unit_test(more_than_it_takes_stops_it_until_a_push),
	    cmocka_unit_test(a_file_older_than_its_log_neither_ships_nor_pushes),
	    cmocka_unit_test(a_log_that_is_switched_off_goes_on_later),
	};
	if (argc > 1)
		seeds = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("the log of a store on a network", tests, NULL, NULL);
}
