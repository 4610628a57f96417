/* A network that lies about the log: a clone gets a shorter prefix, or an error of its own, and never what
 * was not; the writer makes it good. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "multistore/log.h"
#include "tests/multistore/push_fixture.h"

enum { GROUPS = 6, ROOM = 4 << 20 };

struct logged {
	struct world w;
	struct ps_log *log;
	struct picture seen[GROUPS + 1]; /* the state, and behind each group */
	struct ps_pad_name name[GROUPS + 2];
};

static void take_name(struct logged *l, unsigned n)
{
	const struct ps_remote_slot_at at = {1, n};
	assert_ok(ps_remote_slot_name(l->w.b->r, &at, &l->name[n]));
}

static void logged_new(struct logged *l, uint64_t seed)
{
	memset(l, 0, sizeof(*l));
	world_new(&l->w, "mem", seed);
	l->log = log_begin(&l->w);
	change_some(&l->w, 20);
	(void)push_now(&l->w);
	picture_take(&l->seen[0], l->w.s);
	for (unsigned i = 1; i <= GROUPS; i++) {
		change_some(&l->w, 8);
		assert_ok(ps_log_ship(l->log, NULL, NULL));
		picture_take(&l->seen[i], l->w.s);
		take_name(l, i);
	}
	take_name(l, GROUPS + 1);
}

static void logged_free(struct logged *l)
{
	ps_log_free(l->log);
	for (unsigned i = 0; i <= GROUPS; i++)
		picture_free(&l->seen[i]);
	world_free(&l->w);
}

static int try_clone(struct logged *l, bool without_log)
{
	const struct ps_clone_options options = {.size = sizeof(options), .without_log = without_log};
	char path[300];
	snprintf(path, sizeof(path), "%s.clone", l->w.path);
	int err = ps_clone(l->w.b->r, path, &options, NULL);
	if (err == PS_OK)
		assert_int_equal(unlink(path), 0);
	else
		assert_int_equal(access(path, F_OK), -1);
	return err;
}

static void copy_record(struct logged *l, const struct ps_pad_name *to, const struct ps_pad_name *from)
{
	struct ps_pad_identity identity;
	uint8_t *bytes = test_malloc(ROOM);
	size_t len;
	ps_mem_world *world = blobs_world(l->w.b);
	assert_ok(ps_mem_look(world, 0, from, &identity, bytes, ROOM, &len));
	assert_ok(ps_mem_set(world, 0, to, &identity, bytes, len));
	test_free(bytes);
}

static void lose(struct logged *l, unsigned n)
{
	assert_ok(ps_mem_set(blobs_world(l->w.b), 0, &l->name[n], NULL, NULL, 0));
}

static void a_lost_pad_ends_the_prefix(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= GROUPS; n++) {
		struct logged l;
		logged_new(&l, 2);
		lose(&l, n);
		expect_clone(&l.w, l.w.b->r, 0, &l.seen[n - 1]);
		logged_free(&l);
	}
}

/* Whoever writes next meets it, and ends up with all of it there. */
static void a_writer_makes_a_lost_pad_good(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= GROUPS; n++)
		for (unsigned again = 0; again < 2; again++) {
			struct logged l;
			struct picture p;
			logged_new(&l, 2);
			lose(&l, n);
			if (again) {
				ps_log_free(l.log);
				world_reopen(&l.w);
				l.log = log_begin(&l.w);
			}
			change_some(&l.w, 3);
			for (unsigned i = 0; i < 2; i++)
				if (ps_log_ship(l.log, NULL, NULL) != PS_OK)
					(void)push_now(&l.w);
			change_some(&l.w, 3);
			/* One that did not look has told that all is there, and cannot know better. */
			if (again || n == GROUPS) {
				int err = ps_log_ship(l.log, NULL, NULL);
				if (err == PS_EBUSY || err == PS_EFORK)
					(void)push_now(&l.w);
				else if (again)
					assert_ok(err);
			}
			(void)push_now(&l.w);
			picture_take(&p, l.w.s);
			expect_clone(&l.w, l.w.b->r, 0, &p);
			change_some(&l.w, 3);
			assert_ok(ps_log_ship(l.log, NULL, NULL));
			picture_free(&p);
			picture_take(&p, l.w.s);
			expect_clone(&l.w, l.w.b->r, 0, &p);
			picture_free(&p);
			logged_free(&l);
		}
}

static void pads_in_the_wrong_place_are_refused(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= GROUPS; n++)
		for (unsigned other = 1; other <= GROUPS + 1; other++) {
			struct logged l;
			if (other == n)
				continue;
			logged_new(&l, 2);
			copy_record(&l, &l.name[other], &l.name[n]);
			assert_error(try_clone(&l, false), PS_EAUTH);
			assert_ok(try_clone(&l, true));
			logged_free(&l);
		}
}

static void turned_bits_are_refused(void **state)
{
	struct logged l;
	(void)state;
	logged_new(&l, 2);
	for (uint64_t bit = 5; bit < 4464 * 8; bit += 1999) {
		struct ps_mem_rule rule = {
		    .fault = PS_MEM_FLIP, .named = true, .name = l.name[3], .amount = bit};
		unsigned number;
		assert_ok(ps_mem_rule_add(blobs_world(l.w.b), &rule, &number));
		assert_error(try_clone(&l, false), PS_EAUTH);
		assert_ok(try_clone(&l, true));
		ps_mem_rule_remove(blobs_world(l.w.b), number);
	}
	expect_clone(&l.w, l.w.b->r, 0, &l.seen[GROUPS]);
	logged_free(&l);
}

/* Another pad of this very place, which this key has written: a process that began before, on another view.
 */
static void a_pad_of_another_history_does_not_fit(void **state)
{
	(void)state;
	for (unsigned n = 1; n < GROUPS; n++) {
		struct logged l;
		struct picture p;
		struct ps_remote_slot slot;
		uint8_t *bytes = test_malloc(ROOM);
		logged_new(&l, 2);
		const struct ps_remote_slot_at at = {1, n};
		assert_ok(ps_remote_slot_read(l.w.b->r, &at, NULL, bytes, ROOM, NULL, NULL, &slot));
		lose(&l, n);
		assert_ok(
		    ps_remote_slot_create(l.w.b->r, &at, PS_SLOT_LOG, bytes, slot.len, NULL, NULL, &slot));
		assert_error(try_clone(&l, false), PS_EFORK);
		assert_ok(try_clone(&l, true));
		/* The next push makes it good. */
		ps_log_free(l.log);
		world_reopen(&l.w);
		l.log = log_begin(&l.w);
		change_some(&l.w, 3);
		assert_error(ps_log_ship(l.log, NULL, NULL), PS_EFORK);
		assert_error(ps_log_ship(l.log, NULL, NULL), PS_EBUSY);
		(void)push_now(&l.w);
		change_some(&l.w, 3);
		assert_ok(ps_log_ship(l.log, NULL, NULL));
		picture_take(&p, l.w.s);
		expect_clone(&l.w, l.w.b->r, 0, &p);
		picture_free(&p);
		test_free(bytes);
		logged_free(&l);
	}
}

static void a_fence_ends_a_log_and_its_writer_is_told(void **state)
{
	struct logged l;
	struct ps_remote_slot slot;
	const struct ps_remote_slot_at at = {1, GROUPS + 1};
	(void)state;
	logged_new(&l, 2);
	assert_ok(ps_remote_slot_create(l.w.b->r, &at, PS_SLOT_FENCE, "f", 1, NULL, NULL, &slot));
	change_some(&l.w, 3);
	for (unsigned i = 0; i < 2; i++)
		assert_error(ps_log_ship(l.log, NULL, NULL), PS_EFENCED);
	assert_error(ps_push(l.w.s, l.w.b->r, &l.w.options, NULL), PS_EFENCED);
	expect_clone(&l.w, l.w.b->r, 0, &l.seen[GROUPS]);
	logged_free(&l);
}

/* Two processes with copies of one file: the second one meets the first one's pad. */
static void another_process_is_met(void **state)
{
	struct logged l;
	struct ps_log *first;
	(void)state;
	logged_new(&l, 2);
	first = l.log;
	l.log = log_begin(&l.w);
	change_some(&l.w, 3);
	assert_ok(ps_log_ship(l.log, NULL, NULL)); /* took over what is there */
	change_some(&l.w, 3);
	assert_error(ps_log_ship(first, NULL, NULL), PS_EFORK);
	assert_error(ps_log_ship(first, NULL, NULL), PS_EFORK);
	assert_ok(ps_log_ship(l.log, NULL, NULL));
	ps_log_free(first);
	logged_free(&l);
}

/* The head is gone, and the log is not: it is found by its place, behind the state that is rebuilt. */
static void a_log_counts_behind_a_head_that_was_rebuilt(void **state)
{
	struct logged l;
	struct ps_remote_rebuild_result result;
	(void)state;
	logged_new(&l, 2);
	struct ps_pad_name head = head_name_of(l.w.b);
	struct blobs *other = machine_new(l.w.b);
	struct ps_remote_setup setup = {
	    .url = other->url, .options = &other->options, .seams = &other->seams, .rebuild = &result};
	assert_ok(ps_mem_set(blobs_world(l.w.b), 0, &head, NULL, NULL, 0));
	assert_error(try_clone(&l, false), PS_ELOST);
	assert_error(blobs_start(other, false), PS_ENOTFOUND);
	assert_ok(ps_keys_new(other->key, NULL, &setup.keys));
	assert_ok(ps_remote_start(&setup, &other->r));
	expect_clone(&l.w, other->r, 0, &l.seen[GROUPS]);
	machine_free(other);
	logged_free(&l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_lost_pad_ends_the_prefix),
	    cmocka_unit_test(a_writer_makes_a_lost_pad_good),
	    cmocka_unit_test(pads_in_the_wrong_place_are_refused),
	    cmocka_unit_test(turned_bits_are_refused),
	    cmocka_unit_test(a_pad_of_another_history_does_not_fit),
	    cmocka_unit_test(a_fence_ends_a_log_and_its_writer_is_told),
	    cmocka_unit_test(another_process_is_met),
	    cmocka_unit_test(a_log_counts_behind_a_head_that_was_rebuilt),
	};
	return cmocka_run_group_tests_name("lies about a log", tests, NULL, NULL);
}
