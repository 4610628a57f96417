/* The source of a log is gone at any moment: at every request (not carried out, or its answer lost, or
 * carried out later), at every write of the store's file. From the network and the key comes a prefix of the
 * commits that has all that was confirmed; and what is left of the source goes on. usage: log_crash_test
 * [STRIDE]: only every so-manieth place */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "multistore/log.h"
#include "store/base_internal.h"
#include "tests/multistore/push_fixture.h"
#include "tests/support/disk_store.h"

static uint64_t stride = 1;

enum { STEPS = 7 };

struct source {
	struct world w;
	struct sim_disk *disk;
	uint8_t *image; /* since the last crash */
	struct ps_log *log;
	struct picture seen[2 * STEPS + 4]; /* after each change */
	unsigned count, confirmed;          /* pictures; the last one of which it is known that it is there */
};

static void open_source(struct source *s)
{
	ps_storer *base;
	assert_ok(disk_store_open_durable(s->disk, true, &base));
	assert_ok(ps_multi_open(base, NULL, &s->w.s));
	s->log = log_begin(&s->w);
}

static void change(struct source *s)
{
	change_some(&s->w, 6);
	picture_take(&s->seen[s->count++], s->w.s);
}

static void source_new(struct source *s, uint64_t seed)
{
	const struct ps_remote_seams seams = {.backoff_ms = 1};
	memset(s, 0, sizeof(*s));
	s->w.b = blobs_new_with("mem", &seams);
	s->w.dice.state = seed;
	s->w.options = (struct ps_push_options){.size = sizeof(s->w.options), .compression = -1};
	s->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(s->disk, false);
	open_source(s);
	change(s);
	(void)push_now(&s->w);
}

static void source_free(struct source *s)
{
	ps_log_free(s->log);
	(void)!ps_close(s->w.s);
	sim_disk_free(s->disk);
	free(s->image);
	for (unsigned i = 0; i < s->count; i++)
		picture_free(&s->seen[i]);
	blobs_free(s->w.b);
	free(s->w.ids);
}

/* One step: changes, and they are shipped or pushed; PS_OK: all of it is there. */
static int step(struct source *s, unsigned i)
{
	change(s);
	int err =
	    i % 3 == 2 ? ps_push(s->w.s, s->w.b->r, &s->w.options, NULL) : ps_log_ship(s->log, NULL, NULL);
	if (err == PS_OK)
		s->confirmed = s->count - 1;
	return err;
}

/* Without a crash of the store itself: the process is gone, the file is as it was. */
static void crash(struct source *s)
{
	ps_log_free(s->log);
	(void)!ps_close(s->w.s);
	ps_mem_rule_remove(blobs_world(s->w.b), 0);
	uint64_t size = sim_disk_size(s->disk);
	uint8_t *now = malloc(size + 1);
	assert_non_null(now);
	sim_disk_image(s->disk, now);
	sim_disk_reset(s->disk, now, size);
	free(s->image);
	s->image = now;
	blobs_reopen(s->w.b);
	open_source(s);
}

static bool is_seen(const struct picture *now, const struct picture *p)
{
	return now->count == p->count && memcmp(now->all, p->all, p->count * sizeof(*p->all)) == 0;
}

/* By a machine that knows nothing. */
static unsigned expect_prefix(struct source *s)
{
	struct blobs *other = machine_new(s->w.b);
	struct picture now;
	char path[256];
	other->seams = (struct ps_remote_seams){.backoff_ms = 1};
	assert_ok(blobs_start(other, false));
	ps_storer *clone = clone_open(&s->w, other->r, 0, path);
	picture_take(&now, clone);
	assert_ok(ps_check(clone, PS_CHECK_FULL, NULL, NULL));
	assert_ok(ps_close(clone));
	assert_int_equal(unlink(path), 0);
	unsigned at = s->count;
	while (at > s->confirmed && !is_seen(&now, &s->seen[at - 1]))
		at--;
	if (at == s->confirmed && !is_seen(&now, &s->seen[s->confirmed]))
		fail_msg("a clone of %zu objects that is no prefix, or misses what was confirmed (%u of %u)",
		         now.count, s->confirmed, s->count);
	picture_free(&now);
	machine_free(other);
	return at;
}

/* The process is gone, and another one begins with its file. */
static void see_after(struct source *s)
{
	struct picture has;
	crash(s);
	(void)expect_prefix(s);
	(void)ps_mem_deliver(blobs_world(s->w.b));
	(void)expect_prefix(s);
	picture_take(&has, s->w.s);
	assert_true(is_seen(&has, &s->seen[s->count - 1])); /* all commits were durable */
	picture_free(&has);
	for (unsigned i = 0; i < 2; i++) {
		int err = ps_log_ship(s->log, NULL, NULL);
		if (err == PS_EBUSY)
			err = ps_push(s->w.s, s->w.b->r, &s->w.options, NULL);
		assert_ok(err);
		s->confirmed = s->count - 1;
		(void)expect_prefix(s);
		change(s);
	}
	(void)push_now(&s->w);
	s->confirmed = s->count - 1;
	(void)expect_prefix(s);
	(void)expect_packs(s->w.b);
	struct ps_remote_audit_result audit;
	assert_ok(ps_remote_audit(s->w.b->r, NULL, &audit));
	assert_int_equal(audit.roles[PS_ROLE_LOG], 0); /* none is left over */
}

static int run(struct source *s, unsigned steps)
{
	int err = PS_OK;
	for (unsigned i = 0; i < steps && err == PS_OK; i++)
		err = step(s, i);
	return err;
}

static unsigned crashes_at_requests(enum ps_mem_fault fault)
{
	unsigned states = 0;
	bool hit = true;
	for (uint64_t k = 1; hit; k += stride, states++) {
		struct source s;
		struct ps_mem_rule at = {.fault = fault, .first = k, .count = 1, .amount = 3},
		                   then = {.fault = PS_MEM_VANISH, .first = k};
		unsigned first, second;
		source_new(&s, 3);
		ps_mem_world *world = blobs_world(s.w.b);
		assert_ok(ps_mem_rule_add(world, &at, &first));
		assert_ok(ps_mem_rule_add(world, &then, &second));
		int err = run(&s, STEPS);
		hit = ps_mem_rule_hits(world, first) + ps_mem_rule_hits(world, second) > 0;
		assert_true(hit || err == PS_OK);
		if (k % 2 == 0)
			(void)ps_mem_deliver(world); /* while nobody is there; else later */
		see_after(&s);
		source_free(&s);
	}
	return states;
}

static void the_source_is_gone_at_any_request(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_VANISH, PS_MEM_LOSE_REPLY, PS_MEM_LATE};
	unsigned states = 0;
	(void)state;
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++)
		states += crashes_at_requests(faults[f]);
	print_message("%u crashes at requests\n", states);
	assert_true(states > 30 / stride);
}

/* In the last of so many steps. */
static unsigned crashes_at_writes(unsigned steps)
{
	unsigned states = 0;
	bool hit = true;
	for (uint64_t k = 1; hit; k += stride, states++) {
		struct source s;
		source_new(&s, 5);
		assert_ok(run(&s, steps - 1));
		change(&s);
		sim_disk_fail(s.disk, k, EIO, true);
		int err = (steps - 1) % 3 == 2 ? ps_push(s.w.s, s.w.b->r, &s.w.options, NULL)
		                               : ps_log_ship(s.log, NULL, NULL);
		if (err == PS_OK)
			s.confirmed = s.count - 1;
		hit = sim_disk_faults(s.disk) > 0;
		assert_true(hit || err == PS_OK);
		see_after(&s);
		source_free(&s);
	}
	return states;
}

static void the_source_is_gone_at_any_write_of_its_file(void **state)
{
	unsigned states = 0;
	(void)state;
	for (unsigned steps = 1; steps <= 4; steps++)
		states += crashes_at_writes(steps);
	print_message("%u crashes at writes\n", states);
	assert_true(states > 10 / stride);
}

/* The network comes back while the process lives: what was not known is settled, and nothing is shipped
 * twice. */
static void requests_that_fail_cost_time_and_nothing_else(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_LOSE_REQUEST, PS_MEM_VANISH,   PS_MEM_LOSE_REPLY,
	                                           PS_MEM_LATE,         PS_MEM_CONFLICT, PS_MEM_DENIED,
	                                           PS_MEM_FULL};
	unsigned failed = 0;
	(void)state;
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++) {
		bool hit = true;
		for (uint64_t k = 1; hit; k += stride) {
			struct source s;
			unsigned number;
			source_new(&s, 7);
			ps_mem_world *world = blobs_world(s.w.b);
			struct ps_mem_rule rule = {.fault = faults[f], .first = k, .count = 40, .amount = 2};
			assert_ok(ps_mem_rule_add(world, &rule, &number));
			int err = run(&s, 4);
			hit = ps_mem_rule_hits(world, number) > 0;
			assert_true(hit || err == PS_OK);
			failed += err != PS_OK;
			ps_mem_rule_remove(world, 0);
			for (unsigned i = 0; i < 3; i++) {
				assert_ok(step(&s, i));
				(void)ps_mem_deliver(world);
				(void)expect_prefix(&s);
			}
			source_free(&s);
		}
	}
	print_message("%u steps failed\n", failed);
	assert_true(failed > 10 / stride);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_source_is_gone_at_any_request),
	    cmocka_unit_test(the_source_is_gone_at_any_write_of_its_file),
	    cmocka_unit_test(requests_that_fail_cost_time_and_nothing_else),
	};
	if (argc > 1)
		stride = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("crashes of a log", tests, NULL, NULL);
}
