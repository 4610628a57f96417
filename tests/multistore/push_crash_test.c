/* A crash at every local write (the store's, and the remote index's) and at every request of a push: the
 * state before is whole, or the new one is; the next push finishes; packs that were there are not sent again;
 * none is left over. usage: push_crash_test [STRIDE [crashes|networks|PATTERN]]: only every so-manieth place;
 * a part of the tests, or those whose names are like the pattern */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "multistore/push_internal.h"
#include "remote/anchor.h"
#include "store/base_internal.h"
#include "tests/multistore/push_fixture.h"
#include "tests/support/disk_store.h"

static uint64_t stride = 1;

enum { HANG_MS = 25 }; /* a request that hangs is given up after that */

/* A disk, what it was like in the base state, and since the last crash. */
struct image {
	struct sim_disk *disk;
	uint8_t *base, *crashed;
	uint64_t size;
};

struct machine {
	struct world w;
	struct image store, index;
	struct ps_anchor anchor;
	char folder[256];
	ps_mem_snapshot *snapshot;
	struct picture before, after; /* of the state that is there, and of the one that is pushed */
};

/* ---- disks ---- */

static void image_new(struct image *i)
{
	i->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(i->disk, false);
}

static void image_keep(struct image *i)
{
	i->size = sim_disk_size(i->disk);
	i->base = malloc(i->size);
	assert_non_null(i->base);
	sim_disk_image(i->disk, i->base);
}

static void image_restore(struct image *i)
{
	sim_disk_reset(i->disk, i->base, i->size);
}

/* As it was at that moment, without its faults. */
static void image_crash(struct image *i)
{
	uint64_t size = sim_disk_size(i->disk);
	uint8_t *now = malloc(size + 1);
	assert_non_null(now);
	sim_disk_image(i->disk, now);
	sim_disk_reset(i->disk, now, size);
	free(i->crashed);
	i->crashed = now;
}

static void image_free(struct image *i)
{
	sim_disk_free(i->disk);
	free(i->base);
	free(i->crashed);
}

static int open_index(void *arg, bool make, ps_storer **s)
{
	struct machine *m = arg;
	return disk_store_open_durable(m->index.disk, make, s);
}

static void open_store(struct machine *m, bool make)
{
	ps_storer *base;
	assert_ok(disk_store_open_durable(m->store.disk, make, &base));
	assert_ok(ps_multi_open(base, NULL, &m->w.s));
}

/* ---- the base state: pushed twice, and changed since ---- */

static void machine_keep(struct machine *m)
{
	snprintf(m->folder, sizeof(m->folder), "%s", m->w.b->r->folder);
	assert_ok(ps_close(m->w.s));
	blobs_close(m->w.b);
	assert_ok(ps_anchor_read(m->folder, "main", &m->anchor));
	image_keep(&m->store);
	image_keep(&m->index);
	assert_ok(ps_mem_snapshot_take(blobs_world(m->w.b), 0, &m->snapshot));
}

enum { LARGE_PIECES = 24 };

static ps_id put_large(struct machine *m)
{
	uint8_t *bytes = test_malloc(LARGE_PIECES * PS_CUT_PIECE);
	ps_id id;
	blobs_fill(bytes, LARGE_PIECES * PS_CUT_PIECE, 5);
	assert_ok(ps_put(m->w.s, bytes, LARGE_PIECES * PS_CUT_PIECE, &id));
	test_free(bytes);
	return id;
}

/* Pieces with bytes, and one with zeros, so that its patch is in several packs. */
static void write_parts(struct machine *m, ps_id id)
{
	static const unsigned pieces[] = {2, 3, 9, 17};
	for (unsigned i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
		assert_ok(ps_write_at(m->w.s, id, pieces[i] * PS_CUT_PIECE + 10, "patched", 7));
	assert_ok(ps_resize(m->w.s, id, (LARGE_PIECES - 3) * PS_CUT_PIECE));
	assert_ok(ps_resize(m->w.s, id, LARGE_PIECES * PS_CUT_PIECE - 5));
}

static void crashing_new(struct machine *m, uint64_t seed, bool first)
{
	memset(m, 0, sizeof(*m));
	image_new(&m->store);
	image_new(&m->index);
	struct ps_remote_seams seams = {.open_store = open_index, .store_arg = m, .backoff_ms = 1};
	m->w.b = blobs_new_with("mem", &seams);
	m->w.dice.state = seed;
	m->w.options =
	    (struct ps_push_options){.size = sizeof(m->w.options), .pack_bytes = 20000, .compression = -1};
	open_store(m, true);
	change_some(&m->w, 25);
	if (!first) {
		ps_id large = put_large(m);
		(void)push_now(&m->w);
		change_some(&m->w, 6);
		(void)push_now(&m->w);
		picture_take(&m->before, m->w.s);
		change_some(&m->w, 12);
		write_parts(m, large);
	}
	picture_take(&m->after, m->w.s);
	machine_keep(m);
}

static void crashing_restore(struct machine *m)
{
	ps_mem_world *world = blobs_world(m->w.b);
	ps_mem_rule_remove(world, 0);
	(void)ps_mem_deliver(world);
	assert_ok(ps_mem_restore(world, 0, m->snapshot));
	image_restore(&m->store);
	image_restore(&m->index);
	assert_ok(ps_anchor_forget(m->folder));
	assert_ok(ps_anchor_write(m->folder, &m->anchor));
	assert_ok(blobs_start(m->w.b, false));
	open_store(m, false);
}

static void crashing_free(struct machine *m)
{
	crashing_restore(m);
	assert_ok(ps_close(m->w.s));
	ps_mem_snapshot_free(m->snapshot);
	blobs_free(m->w.b);
	image_free(&m->store);
	image_free(&m->index);
	picture_free(&m->before);
	picture_free(&m->after);
	free(m->w.ids);
}

/* The process is gone, and another one begins. */
static void crash_and_reopen(struct machine *m)
{
	(void)!ps_close(m->w.s);
	(void)ps_remote_close(m->w.b->r);
	ps_mem_rule_remove(blobs_world(m->w.b), 0);
	image_crash(&m->store);
	image_crash(&m->index);
	int err = blobs_start(m->w.b, false);
	if (err != PS_OK)
		fail_msg("the remote does not open after a crash: %s (%s)", ps_error_name(err),
		         ps_last_error_message());
	open_store(m, false);
}

/* ---- what is there ---- */

static bool is_state(struct machine *m, ps_remote *r, const struct picture *p, char path[256])
{
	struct picture now;
	ps_storer *s = clone_open(&m->w, r, 0, path);
	picture_take(&now, s);
	bool same = now.count == p->count &&
	            (p->count == 0 || memcmp(now.all, p->all, p->count * sizeof(*p->all)) == 0);
	picture_free(&now);
	assert_ok(ps_close(s));
	assert_int_equal(unlink(path), 0);
	return same;
}

/* What a machine that knows nothing sees on the network. */
static void expect_old_or_new(struct machine *m, bool done)
{
	struct blobs *other = machine_new(m->w.b);
	char path[256];
	other->seams = (struct ps_remote_seams){.backoff_ms = 1};
	assert_ok(blobs_start(other, false));
	if (count_keys(other, "store") == 0) {
		assert_true(!done && m->before.count == 0);
	} else if (!is_state(m, other->r, &m->after, path)) {
		assert_false(done);
		assert_true(is_state(m, other->r, &m->before, path));
	}
	machine_free(other);
}

struct marks {
	const struct ps_push_manifest *m;
	uint64_t whole; /* packs that no manifest names, and that are whole */
};

static int see_pack(void *arg, const struct ps_remote_info *info)
{
	struct marks *c = arg;
	char name[PS_PACK_NAME];
	bool named = false;
	for (uint32_t i = 0; i < c->m->pack_count; i++) {
		ps_pack_name(&c->m->packs[i].about, name);
		named |= strcmp(name, info->key) == 0;
	}
	c->whole += !named && info->exists && info->complete;
	return 0;
}

static uint64_t whole_packs_left(struct machine *m)
{
	struct ps_memory memory;
	struct ps_push_manifest manifest;
	struct marks c = {&manifest, 0};
	ps_memory_init(&memory, NULL);
	ps_push_manifest_init(&manifest, &memory);
	int err = push_read_manifest(m->w.b->r, PS_PUSH_MANIFEST_KEY, &manifest);
	assert_true(err == PS_OK || err == PS_ENOTFOUND);
	assert_ok(ps_remote_list(m->w.b->r, "pack/", see_pack, &c));
	ps_push_manifest_done(&manifest);
	ps_memory_done(&memory);
	return c.whole;
}

static void see_after(struct machine *m, int err, uint64_t all_packs)
{
	crash_and_reopen(m);
	expect_old_or_new(m, err == PS_OK);
	struct ps_push_result r = {0};
	uint64_t left = whole_packs_left(m);
	err = ps_push(m->w.s, m->w.b->r, &m->w.options, &r);
	if (err != PS_OK)
		fail_msg("the push after a crash: %s (%s)", ps_error_name(err), ps_last_error_message());
	if (r.packs + r.kept_packs > 0) {
		assert_int_equal(r.packs + r.kept_packs, all_packs);
		/* What was there was not sent again: but for one that was through before the one that begins
		 * its first object. */
		assert_in_range(r.kept_packs, left - (left > 0), left);
	}
	expect_old_or_new(m, true);
	(void)expect_packs(m->w.b);
	blobs_check(m->w.b);
	r = push_now(&m->w);
	assert_int_equal(r.packs + r.kept_packs, 0);
	assert_ok(ps_close(m->w.s));
	blobs_close(m->w.b);
}

/* ---- the loops ---- */

static uint64_t packs_of_a_push(struct machine *m)
{
	crashing_restore(m);
	uint64_t packs = push_now(&m->w).packs;
	assert_true(packs >= 3);
	assert_ok(ps_close(m->w.s));
	blobs_close(m->w.b);
	return packs;
}

static void crash_at_local_writes(bool first, bool of_the_index)
{
	struct machine m;
	unsigned states = 0;
	bool hit = true;
	crashing_new(&m, 3, first);
	uint64_t packs = packs_of_a_push(&m);
	for (uint64_t k = 1; hit; k += stride, states++) {
		crashing_restore(&m);
		struct sim_disk *disk = of_the_index ? m.index.disk : m.store.disk;
		sim_disk_fail(disk, k, EIO, true);
		int err = ps_push(m.w.s, m.w.b->r, &m.w.options, NULL);
		hit = sim_disk_faults(disk) > 0;
		assert_true(err == PS_OK || hit);
		see_after(&m, err, packs);
	}
	print_message("%u crashes at local writes\n", states);
	assert_true(states > 2 || stride > 4);
	crashing_free(&m);
}

static void a_crash_at_every_write_of_the_store(void **state)
{
	(void)state;
	crash_at_local_writes(false, false);
	crash_at_local_writes(true, false);
}

static void a_crash_at_every_write_of_the_index(void **state)
{
	(void)state;
	crash_at_local_writes(false, true);
}

/* The request is the last one that anybody hears of; `fault` says whether it is carried out. */
static unsigned crash_at_requests(struct machine *m, enum ps_mem_fault fault, uint64_t packs)
{
	ps_mem_world *world = blobs_world(m->w.b);
	bool hit = true;
	unsigned states = 0;
	for (uint64_t k = 1; hit; k += stride, states++) {
		struct ps_mem_rule at = {.fault = fault, .first = k, .count = 1, .amount = 3};
		struct ps_mem_rule then = {.fault = PS_MEM_VANISH, .first = k};
		unsigned first = 0, second;
		crashing_restore(m);
		if (fault != PS_MEM_VANISH)
			assert_ok(ps_mem_rule_add(world, &at, &first));
		assert_ok(ps_mem_rule_add(world, &then, &second));
		int err = ps_push(m->w.s, m->w.b->r, &m->w.options, NULL);
		hit =
		    ps_mem_rule_hits(world, second) > 0 || (first > 0 && ps_mem_rule_hits(world, first) > 0);
		if (k % 2 == 0)
			(void)ps_mem_deliver(world); /* while nobody is there; else later */
		see_after(m, err, packs);
	}
	assert_true(states > 5 / stride);
	return states;
}

static void a_crash_at_every_request(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_VANISH, PS_MEM_LOSE_REPLY, PS_MEM_LATE};
	struct machine m;
	unsigned states = 0;
	(void)state;
	crashing_new(&m, 3, false);
	uint64_t packs = packs_of_a_push(&m);
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++)
		states += crash_at_requests(&m, faults[f], packs);
	print_message("%u crashes at requests\n", states);
	crashing_free(&m);
}

/* Without a crash: from the k-th request on the network does this; then it is well again, and the next push
 * of the same process goes on. True: it was done to a request. */
static bool push_on_a_bad_network(struct machine *m, enum ps_mem_fault fault, uint64_t k, unsigned *failed)
{
	struct ps_mem_rule rule = {.fault = fault, .first = k, .amount = 7};
	unsigned number;
	uint32_t timeout_ms = m->w.b->options.timeout_ms;
	if (fault == PS_MEM_HANG)
		m->w.b->options.timeout_ms = HANG_MS;
	crashing_restore(m);
	ps_mem_world *world = blobs_world(m->w.b);
	assert_ok(ps_mem_rule_add(world, &rule, &number));
	int err = ps_push(m->w.s, m->w.b->r, &m->w.options, NULL);
	bool hit = ps_mem_rule_hits(world, number) > 0;
	assert_true(hit || err == PS_OK || fault == PS_MEM_HANG); /* or the machine was late by so much */
	*failed += err != PS_OK;
	ps_mem_rule_remove(world, 0);
	if (fault == PS_MEM_HANG) {
		m->w.b->options.timeout_ms = timeout_ms;
		blobs_reopen(m->w.b);
	}
	expect_old_or_new(m, err == PS_OK);
	(void)push_now(&m->w);
	expect_old_or_new(m, true);
	(void)expect_packs(m->w.b);
	blobs_check(m->w.b);
	assert_ok(ps_close(m->w.s));
	blobs_close(m->w.b);
	return hit;
}

static void push_on_bad_networks(const enum ps_mem_fault *faults, size_t count)
{
	struct machine m;
	unsigned failed = 0;
	crashing_new(&m, 3, false);
	for (size_t f = 0; f < count; f++) {
		for (uint64_t k = 1; push_on_a_bad_network(&m, faults[f], k, &failed);)
			k += stride;
	}
	print_message("%u pushes failed\n", failed);
	assert_true(failed > 10 / stride);
	crashing_free(&m);
}

static void a_request_that_fails_or_hangs_ends_the_push_and_the_next_goes_on(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_DENIED, PS_MEM_FULL, PS_MEM_LOSE_REQUEST,
	                                           PS_MEM_HANG};
	(void)state;
	push_on_bad_networks(faults, sizeof(faults) / sizeof(*faults));
}

/* What is told to be done and was not, what is not there, and bytes that are others: for as long as the push
 * goes on. It fails, or its state is there. */
static void a_network_that_goes_on_lying_ends_the_push_and_the_next_goes_on(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_LIE_DONE, PS_MEM_ONE_VIEW, PS_MEM_ABSENT,
	                                           PS_MEM_FLIP, PS_MEM_TRUNCATE};
	(void)state;
	push_on_bad_networks(faults, sizeof(faults) / sizeof(*faults));
}

/* What was changed between the crash and the next push is in the next one; packs that it touches are sent
 * again. */
static void changes_behind_a_crash_are_pushed(void **state)
{
	struct machine m;
	unsigned kept = 0;
	(void)state;
	crashing_new(&m, 3, false);
	(void)packs_of_a_push(&m);
	ps_mem_world *world = blobs_world(m.w.b);
	for (uint64_t k = 2; k <= 30; k += stride) {
		struct ps_mem_rule rule = {.fault = PS_MEM_LOSE_REPLY, .first = k};
		struct picture p;
		unsigned number;
		crashing_restore(&m);
		assert_ok(ps_mem_rule_add(world, &rule, &number));
		(void)!ps_push(m.w.s, m.w.b->r, &m.w.options, NULL);
		crash_and_reopen(&m);
		m.w.dice.state = k;
		change_some(&m.w, 1 + (unsigned)k % 16);
		kept += push_now(&m.w).kept_packs > 0;
		picture_take(&p, m.w.s);
		expect_clone(&m.w, m.w.b->r, 0, &p);
		(void)expect_packs(m.w.b);
		picture_free(&p);
		assert_ok(ps_close(m.w.s));
		blobs_close(m.w.b);
	}
	assert_true(kept > 0 || stride > 10);
	crashing_free(&m);
}

/* A second crash at a write of the store while the first one's push is finished. */
static void a_second_crash_while_it_goes_on(void **state)
{
	struct machine m;
	unsigned states = 0;
	(void)state;
	crashing_new(&m, 3, false);
	ps_mem_world *world = blobs_world(m.w.b);
	for (uint64_t k = 4; k <= 24; k += 4 * stride) {
		bool hit = true;
		for (uint64_t n = 1; hit; n += stride, states++) {
			struct ps_mem_rule rule = {.fault = PS_MEM_LOSE_REPLY, .first = k},
			                   next = {.fault = PS_MEM_VANISH, .first = n};
			unsigned number;
			crashing_restore(&m);
			assert_ok(ps_mem_rule_add(world, &rule, &number));
			(void)!ps_push(m.w.s, m.w.b->r, &m.w.options, NULL);
			crash_and_reopen(&m);
			assert_ok(ps_mem_rule_add(world, &next, &number));
			(void)!ps_push(m.w.s, m.w.b->r, &m.w.options, NULL);
			hit = ps_mem_rule_hits(world, number) > 0;
			crash_and_reopen(&m);
			expect_old_or_new(&m, false);
			(void)push_now(&m.w);
			expect_old_or_new(&m, true);
			(void)expect_packs(m.w.b);
			blobs_check(m.w.b);
			assert_ok(ps_close(m.w.s));
			blobs_close(m.w.b);
		}
	}
	print_message("%u second crashes\n", states);
	crashing_free(&m);
}

static const char *filter_of(const char *part)
{
	if (strcmp(part, "crashes") == 0)
		return "*_crash_*";
	return strcmp(part, "networks") == 0 ? "*_next_goes_on" : part;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_crash_at_every_write_of_the_store),
	    cmocka_unit_test(a_crash_at_every_write_of_the_index),
	    cmocka_unit_test(a_crash_at_every_request),
	    cmocka_unit_test(a_request_that_fails_or_hangs_ends_the_push_and_the_next_goes_on),
	    cmocka_unit_test(a_network_that_goes_on_lying_ends_the_push_and_the_next_goes_on),
	    cmocka_unit_test(changes_behind_a_crash_are_pushed),
	    cmocka_unit_test(a_second_crash_while_it_goes_on),
	};
	if (argc > 1)
		stride = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		cmocka_set_test_filter(filter_of(argv[2]));
	return cmocka_run_group_tests_name("crashes of pushes", tests, NULL, NULL);
}
