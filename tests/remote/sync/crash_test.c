/* A crash at every write of the local index and at every request of a sync: afterwards the index agrees with
 * itself, the next sync completes, both machines have the same, nothing that either had changed is lost, no
 * pad stands in two places and none is forgotten. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/anchor.h"
#include "store/base_internal.h"
#include "tests/remote/sync/values.h"
#include "tests/support/disk_store.h"

static bool all; /* the long way */

/* A machine whose index lies on a simulated disk, and what it was like in the base state. */
struct machine {
	struct blobs *b;
	struct sim_disk *disk;
	uint8_t *image;
	uint64_t image_size;
	struct ps_anchor anchor;
	char folder[256];
};

/* What is cut. SYNC_JOINED: of the machine that has joined, and leaves pads to the other. */
enum call { SYNC, SYNC_JOINED, SYNC_OF_MANY, TIDY, PURGE };

struct world {
	struct machine a, b;
	struct blobs *first; /* of the two: it made the store, and believes itself alone */
	enum call call;
	ps_mem_snapshot *snapshot;
};

static int open_store(void *arg, bool make, ps_storer **store)
{
	struct machine *m = arg;
	return disk_store_open_durable(m->disk, make, store);
}

static void machine_keep(struct machine *m)
{
	snprintf(m->folder, sizeof(m->folder), "%s", m->b->r->folder);
	assert_ok(ps_anchor_read(m->folder, "main", &m->anchor));
	blobs_close(m->b);
	m->image_size = sim_disk_size(m->disk);
	m->image = malloc(m->image_size);
	assert_non_null(m->image);
	sim_disk_image(m->disk, m->image);
}

static void machine_restore(struct machine *m)
{
	sim_disk_reset(m->disk, m->image, m->image_size);
	assert_ok(ps_anchor_forget(m->folder));
	assert_ok(ps_anchor_write(m->folder, &m->anchor));
}

static void new_disk(struct machine *m)
{
	m->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(m->disk, false);
}

/* A large base, and as many deltas as the next sync merges into one, or only one that nobody waits for. */
static void make_runs(struct blobs *a, bool due)
{
	unsigned syncs = due ? 45 : 7;
	struct ps_remote_head head;
	char key[16];
	for (unsigned i = 0; i < 150; i++) {
		snprintf(key, sizeof(key), "many %u", i);
		blobs_put(a, key, 10, i);
	}
	(void)sync_machine(a);
	for (unsigned i = 0; i < syncs; i++) {
		snprintf(key, sizeof(key), "many %u", due ? i : 7);
		blobs_update(a, key, 20 + i, i);
		struct ps_remote_sync_result result = sync_machine(a);
		assert_true(i + 1 < syncs || due == (result.merge_due > 0));
	}
	assert_ok(ps_remote_head(a->r, &head));
	assert_in_range(head.runs, 3, 20);
}

static const struct value common = {3, {701, 702, 703}}, common_of_a = {3, {701, 702, 733}},
                          common_of_b = {3, {721, 722, 723}};

/* Both machines have changed what they had in common; b has synced, a has not. Where a was the first, it
 * keeps pads that b's head does not name any more; where it has joined, its head leaves pads to b. */
static void change_all(struct world *w)
{
	struct blobs *a = w->a.b, *b = w->b.b, *first = w->first;
	char key[16];
	if (w->call > SYNC_JOINED)
		make_runs(a, w->call != SYNC_OF_MANY);
	for (unsigned i = 0; i < 6; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		blobs_put(first, key, 100 + i, i);
	}
	blobs_put(first, "two pads", 200000, 6);
	put_value(first, "common", &common);
	(void)sync_machine(first);
	(void)sync_machine(first == a ? b : a);
	if (w->call == PURGE) /* it merges only where a has written since it heard of b */
		for (unsigned i = 0; i < 3; i++) {
			blobs_update(i == 1 ? a : b, "key 5", 105, 5);
			(void)sync_machine(i == 1 ? a : b);
			(void)sync_machine(i == 1 ? b : a);
		}
	blobs_update(b, "key 0", 50, 10);
	assert_ok(ps_remote_remove(b->r, "key 1"));
	blobs_update(b, "key 2", 60, 12);
	blobs_put(b, "of b", 70, 13);
	put_value(b, "common", &common_of_b);
	(void)sync_machine(b);
	blobs_update(a, "key 2", 80, 22); /* both */
	assert_ok(ps_remote_remove(a->r, "key 3"));
	assert_ok(ps_remote_rename(a->r, "key 4", "moved"));
	blobs_update(a, "two pads", 250000, 26);
	blobs_put(a, "of a", 90, 27);
	put_value(a, "common", &common_of_a);
}

static void world_new(struct world *w, enum call call)
{
	memset(w, 0, sizeof(*w));
	w->call = call;
	struct machine *first = call == SYNC_JOINED ? &w->b : &w->a, *second = first == &w->a ? &w->b : &w->a;
	new_disk(first);
	new_disk(second);
	struct ps_remote_seams seams = {.open_store = open_store, .store_arg = first, .backoff_ms = 1};
	w->first = first->b = blobs_new_with("mem", &seams);
	second->b = machine_new(first->b);
	second->b->seams.store_arg = second;
	assert_ok(blobs_start(second->b, false));
	change_all(w);
	machine_keep(&w->a);
	machine_keep(&w->b);
	assert_ok(ps_mem_snapshot_take(blobs_world(w->first), 0, &w->snapshot));
}

/* For a tidy pads hold so little that the run it writes has many parts, in flight together. */
static int start_a(struct world *w)
{
	int err = blobs_start(w->a.b, false);
	if (err == PS_OK && w->call == TIDY)
		w->a.b->r->payloads[PS_PAD_SMALL] = w->a.b->r->payloads[PS_PAD_MEDIUM] = 4096;
	return err;
}

static void world_restore(struct world *w)
{
	ps_mem_rule_remove(blobs_world(w->first), 0);
	(void)ps_mem_deliver(blobs_world(w->first));
	assert_ok(ps_mem_restore(blobs_world(w->first), 0, w->snapshot));
	machine_restore(&w->a);
	machine_restore(&w->b);
	assert_ok(start_a(w));
}

static void world_free(struct world *w)
{
	world_restore(w);
	ps_mem_snapshot_free(w->snapshot);
	if (w->first == w->b.b)
		assert_ok(blobs_start(w->b.b, false));
	machine_free(w->first == w->a.b ? w->b.b : w->a.b);
	blobs_free(w->first);
	sim_disk_free(w->a.disk);
	sim_disk_free(w->b.disk);
	free(w->a.image);
	free(w->b.image);
}

/* The process is gone, the disk as it was at that moment; and a new process. */
static void crash_and_reopen(struct world *w)
{
	static uint8_t *image; /* outlives the disk over it */
	struct machine *m = &w->a;
	(void)ps_remote_close(m->b->r);
	ps_mem_rule_remove(blobs_world(w->first), 0);
	uint64_t size = sim_disk_size(m->disk);
	uint8_t *now = malloc(size);
	assert_non_null(now);
	sim_disk_image(m->disk, now);
	sim_disk_reset(m->disk, now, size); /* without its faults */
	free(image);
	image = now;
	int err = start_a(w);
	if (err != PS_OK)
		fail_msg("does not open after a crash: %s (%s)", ps_error_name(err), ps_last_error_message());
	assert_ok(ps_remote_verify(m->b->r, NULL, NULL));
	blobs_expect(m->b, "of a", 90, 27);
	blobs_expect(m->b, "two pads", 250000, 26);
}

static void expect_all(struct blobs *b, size_t others)
{
	blobs_expect(b, "key 0", 50, 10);
	expect_none(b, "key 1");
	expect_none(b, "key 3");
	expect_none(b, "key 4");
	blobs_expect(b, "moved", 104, 4);
	blobs_expect(b, "key 5", 105, 5);
	blobs_expect(b, "of a", 90, 27);
	blobs_expect(b, "of b", 70, 13);
	blobs_expect(b, "two pads", 250000, 26);
	/* Both contents of what both have changed, one of them in a conflict copy. */
	assert_int_equal(count_keys(b, "key 2"), 2);
	value_expect_somewhere(b, "common", &common_of_a);
	value_expect_somewhere(b, "common", &common_of_b);
	assert_int_equal(count_keys(b, NULL), 10 + others);
}

static void see_after(struct world *w)
{
	struct blobs *machines[] = {w->a.b, w->b.b};
	assert_ok(blobs_start(w->b.b, false));
	sync_all_machines(machines, 2);
	expect_all(w->a.b, w->call > SYNC_JOINED ? 150 : 0);
	expect_same(w->a.b, w->b.b);
	check_machines(machines, 2);
	blobs_close(w->a.b);
	blobs_close(w->b.b);
}

/* ---- the loops ---- */

static void call_cut(const struct world *w)
{
	ps_remote *r = w->a.b->r;
	if (w->call == PURGE)
		(void)!ps_remote_purge(r, NULL, NULL, NULL);
	else if (w->call == TIDY)
		(void)!ps_remote_tidy(r, NULL, NULL, NULL);
	else
		(void)!ps_remote_sync(r, NULL, NULL, NULL);
}

static void crash_at_local_writes(enum call call)
{
	struct world w;
	bool hit = true;
	unsigned states = 0;
	world_new(&w, call);
	for (uint64_t k = 1; hit; k++, states++) {
		world_restore(&w);
		sim_disk_fail(w.a.disk, k, EIO, true);
		call_cut(&w);
		hit = sim_disk_faults(w.a.disk) > 0;
		crash_and_reopen(&w);
		see_after(&w);
	}
	print_message("%u crashes at local writes\n", states);
	assert_true(states > 10);
	world_free(&w);
}

static void a_crash_at_every_local_write(void **state)
{
	(void)state;
	for (enum call call = SYNC; call <= (all ? PURGE : SYNC_JOINED); call++)
		crash_at_local_writes(call);
}

/* The request is the last one that anybody hears of; `fault` says whether it is carried out. */
static unsigned crash_at_requests(struct world *w, enum ps_mem_fault fault)
{
	bool hit = true;
	unsigned states = 0;
	for (uint64_t k = 1; hit; k++, states++) {
		struct ps_mem_rule at = {.fault = fault, .first = k, .count = 1, .amount = 3};
		struct ps_mem_rule then = {.fault = PS_MEM_VANISH, .first = k};
		unsigned first = 0, second;
		world_restore(w);
		if (fault != PS_MEM_VANISH)
			assert_ok(ps_mem_rule_add(blobs_world(w->first), &at, &first));
		assert_ok(ps_mem_rule_add(blobs_world(w->first), &then, &second));
		call_cut(w);
		hit = ps_mem_rule_hits(blobs_world(w->first), second) > 0 ||
		      (first > 0 && ps_mem_rule_hits(blobs_world(w->first), first) > 0);
		if (k % 2 == 0)
			(void)ps_mem_deliver(blobs_world(w->first)); /* while nobody is there; else later */
		crash_and_reopen(w);
		see_after(w);
	}
	assert_true(states > 5);
	return states;
}

static void a_crash_at_every_request(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_VANISH, PS_MEM_LOSE_REPLY, PS_MEM_LATE};
	(void)state;
	for (enum call call = SYNC; call <= (all ? PURGE : SYNC_JOINED); call++) {
		struct world w;
		unsigned states = 0;
		world_new(&w, call);
		for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++)
			states += crash_at_requests(&w, faults[f]);
		print_message("%u crashes at requests\n", states);
		world_free(&w);
	}
}

/* Without memory at one moment or another a sync fails or does its work, and the next one goes on. */
static unsigned call_without_memory(struct world *w, uint64_t last, uint64_t step)
{
	unsigned done = 0;
	for (uint64_t n = 1; n < last; n += step) {
		struct ps_remote_sync_result result = {.head = UINT64_MAX};
		world_restore(w);
		(void)ps_memory_fail_nth(n, false);
		int err = w->call == TIDY ? ps_remote_tidy(w->a.b->r, NULL, NULL, &result)
		                          : ps_remote_sync(w->a.b->r, NULL, NULL, &result);
		(void)ps_memory_fail_nth(0, false);
		assert_true((err == PS_OK) == (result.head != UINT64_MAX));
		done += err == PS_OK;
		crash_and_reopen(w);
		see_after(w);
	}
	return done;
}

static void no_memory_at_any_moment(void **state)
{
	(void)state;
	for (enum call call = SYNC; call <= (all ? TIDY : SYNC); call++) {
		struct world w;
		world_new(&w, call);
		uint64_t last = all && call == TIDY ? 1500 : 400, step = !all ? 29 : call == TIDY ? 13 : 5;
		unsigned done = call_without_memory(&w, last, step),
		         calls = (unsigned)((last + step - 2) / step);
		print_message("%u of %u calls without memory at one moment failed\n", calls - done, calls);
		assert_true(calls - done > 2);
		world_free(&w);
	}
}

/* The first crash at a request, the second at a local write of the sync that goes on. */
static void a_second_crash_while_it_goes_on(void **state)
{
	struct world w;
	unsigned states = 0;
	(void)state;
	world_new(&w, SYNC);
	for (uint64_t k = 1; k <= 12; k++) {
		bool hit = true;
		for (uint64_t n = 1; hit; n++, states++) {
			struct ps_mem_rule rule = {.fault = PS_MEM_LOSE_REPLY, .first = k};
			unsigned number;
			world_restore(&w);
			assert_ok(ps_mem_rule_add(blobs_world(w.first), &rule, &number));
			(void)!ps_remote_sync(w.a.b->r, NULL, NULL, NULL);
			crash_and_reopen(&w);
			sim_disk_fail(w.a.disk, n, EIO, true);
			(void)!ps_remote_sync(w.a.b->r, NULL, NULL, NULL);
			hit = sim_disk_faults(w.a.disk) > 0;
			crash_and_reopen(&w);
			see_after(&w);
		}
	}
	print_message("%u second crashes\n", states);
	world_free(&w);
}

/* ---- making a store, and taking one ---- */

/* Starts with the k-th request, or the k-th local write, as the last one, then again. False: k was beyond the
 * end. */
static bool start_twice(struct blobs *b, struct machine *m, ps_mem_world *world, bool init, bool local,
                        uint64_t k)
{
	struct ps_mem_rule rule = {.fault = k % 2 ? PS_MEM_LOSE_REPLY : PS_MEM_VANISH, .first = k};
	unsigned number = 0;
	new_disk(m);
	b->seams.open_store = open_store;
	b->seams.store_arg = m;
	if (local)
		sim_disk_fail(m->disk, k, EIO, true);
	else
		assert_ok(ps_mem_rule_add(world, &rule, &number));
	int err = blobs_start(b, init);
	bool hit = local ? sim_disk_faults(m->disk) > 0 : ps_mem_rule_hits(world, number) > 0;
	assert_true(hit || err == PS_OK);
	ps_mem_rule_remove(world, 0);
	if (err == PS_OK) {
		(void)ps_remote_close(b->r); /* which may be where it was cut */
		b->r = NULL;
	}
	uint64_t size = sim_disk_size(m->disk);
	m->image = malloc(size + 1);
	assert_non_null(m->image);
	sim_disk_image(m->disk, m->image);
	sim_disk_reset(m->disk, m->image, size);
	/* In a file a store is whole or not there (ps_index_make); here it can be half made. */
	ps_storer *store;
	if (open_store(m, false, &store) == PS_OK)
		assert_ok(ps_close(store));
	else
		sim_disk_reset(m->disk, NULL, 0);
	assert_ok(blobs_start(b, init && err != PS_OK));
	return hit;
}

static void start_done(struct blobs *b, struct machine *m)
{
	machine_free(b);
	sim_disk_free(m->disk);
	free(m->image);
}

static void a_crash_while_a_store_is_made(void **state)
{
	struct blobs *first = blobs_new_with("mem", &(struct ps_remote_seams){.backoff_ms = 1});
	(void)state;
	for (unsigned local = 0; local < 2; local++) {
		bool hit = true;
		unsigned states = 0;
		for (uint64_t k = 1; hit; k++, states++) {
			struct machine m = {0};
			struct blobs *b = machine_new(first);
			b->key[0] = (uint8_t)k;
			b->key[1] = (uint8_t)local;
			hit = start_twice(b, &m, blobs_world(first), true, local, k);
			blobs_put(b, "key", 10, 1);
			(void)sync_machine(b);
			blobs_expect(b, "key", 10, 1);
			start_done(b, &m);
		}
		assert_true(states > 3);
		print_message("%u crashes of an init\n", states);
	}
	blobs_free(first);
}

static void a_crash_while_a_store_is_taken(void **state)
{
	struct blobs *first = blobs_new_with("mem", &(struct ps_remote_seams){.backoff_ms = 1});
	(void)state;
	blobs_put(first, "key", 10, 1);
	(void)sync_machine(first);
	blobs_put(first, "two pads", 200000, 2);
	(void)sync_machine(first);
	for (unsigned local = 0; local < 2; local++) {
		bool hit = true;
		unsigned states = 0;
		for (uint64_t k = 1; hit; k++, states++) {
			struct machine m = {0};
			struct blobs *b = machine_new(first);
			hit = start_twice(b, &m, blobs_world(first), false, local, k);
			expect_same(first, b);
			check_machines((struct blobs *[]){first, b}, 2);
			start_done(b, &m);
		}
		assert_true(states > 2);
		print_message("%u crashes of taking a store\n", states);
	}
	blobs_free(first);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_crash_at_every_local_write),   cmocka_unit_test(a_crash_at_every_request),
	    cmocka_unit_test(no_memory_at_any_moment),        cmocka_unit_test(a_crash_while_a_store_is_made),
	    cmocka_unit_test(a_crash_while_a_store_is_taken),
	};
	static const struct CMUnitTest more[] = {
	    cmocka_unit_test(a_second_crash_while_it_goes_on),
	};
	all = argc > 1 && strcmp(argv[1], "all") == 0;
	if (argc > 1 && strcmp(argv[1], "twice") == 0)
		return cmocka_run_group_tests_name("sync, second crashes", more, NULL, NULL);
	return cmocka_run_group_tests_name("sync, crashes", tests, NULL, NULL);
}
