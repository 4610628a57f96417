/* A power cut at every point of a restore, in every state that the disk may then be in: either the store is
 * not whole, and says so to whoever wants to change it, or it is all that was given, and goes on as the
 * source would. Once ps_restore_finish has returned it is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include <padstone/multi_store.h>

#include "base/memory.h"
#include "store/base_internal.h"
#include "tests/support/crash_states.h"
#include "tests/support/disk_store.h"

#define OK(call) assert_int_equal((call), PS_OK)
#define ID(slot, generation) ((ps_id)(slot) << 24 | (generation))

enum { LARGE = 3 * PS_CUT_PIECE - 100, CRASHES = 7, INTERVAL = 40, SLOTS = 400 };

static uint8_t bytes[LARGE];

static bool classes; /* small contents in slots of classes */

/* With so little memory that entries are set, and contents written, all the way. */
static ps_storer *open_disk(struct sim_disk *disk)
{
	struct ps_base_options options = disk_store_options();
	bool made = sim_disk_size(disk) == 0;
	ps_storer *s = NULL;
	options.log_bytes = 32 << 10;
	options.memory_budget = 1 << 20;
	OK(ps_base_open_io(sim_disk_io(disk), made, &options, &s));
	if (classes)
		OK(ps_multi_open(s, NULL, &s));
	return s;
}

static void fill(void)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(1 + i * 7 + i / 251);
}

/* Small ones in several commits, a large one, ids that are gone, and none at all where a slot was never used.
 */
static struct ps_cut_object object_of(uint64_t slot)
{
	struct ps_cut_object o = {.id = ID(slot, 1 + slot % 3), .interval = 1 + slot % INTERVAL};
	if (slot == 200) {
		o.kind = PS_CUT_CHUNKS;
		o.size = LARGE;
	} else if (slot % 7 == 3) {
		o.kind = PS_CUT_GONE;
		o.crashes = slot % (CRASHES + 1);
	} else {
		o.kind = slot % 5 ? PS_CUT_BYTES : PS_CUT_ZERO;
		o.size = 1 + slot % 40 * 5;
	}
	return o;
}

static bool is_used(uint64_t slot)
{
	return slot && slot % 31 != 1;
}

static int restore_one(struct ps_restore *r, uint64_t slot)
{
	struct ps_cut_object o = object_of(slot);
	int err = ps_restore_object(r, &o, o.kind == PS_CUT_BYTES ? bytes + slot : NULL);
	for (uint64_t at = 0; !err && o.kind == PS_CUT_CHUNKS && at < LARGE; at += PS_CUT_PIECE)
		err = ps_restore_piece(r, at, bytes + at, MIN((uint64_t)LARGE - at, (uint64_t)PS_CUT_PIECE));
	return err;
}

static struct store *base_of(ps_storer *s)
{
	struct store *base = NULL;
	OK(store_below(s, &base));
	return base;
}

static int restore(ps_storer *s)
{
	struct ps_restore *r;
	const struct ps_cut_info info = {.here = {INTERVAL, 20}, .slots = SLOTS + 50, .crashes = CRASHES};
	int err = ps_restore_begin(s, &r);
	if (err)
		return err;
	for (uint64_t slot = 0; slot < SLOTS && !err; slot++) {
		err = is_used(slot) ? restore_one(r, slot) : PS_OK;
		/* As a large table does. */
		if (!err && slot == 3 * SLOTS / 4)
			err = checkpoint_run(base_of(s));
	}
	if (!err)
		return ps_restore_finish(r, &info);
	ps_restore_abort(r);
	return err;
}

struct explored {
	struct sim_disk *disk;
	size_t finished; /* so many events until finish had returned */
	uint64_t whole, cut_off;
};

/* What is there is as it was given. */
static uint64_t count_objects(ps_storer *s)
{
	static uint8_t back[LARGE], zeros[LARGE];
	uint64_t there = 0;
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		struct ps_cut_object o = object_of(slot);
		size_t len;
		int err = ps_get(s, o.id, back, sizeof(back), &len);
		if (err == PS_ENOTFOUND)
			continue;
		OK(err);
		assert_true(is_used(slot) && o.kind != PS_CUT_GONE);
		assert_int_equal(len, o.size);
		assert_memory_equal(back,
		                    o.kind == PS_CUT_ZERO    ? zeros
		                    : o.kind == PS_CUT_BYTES ? bytes + slot
		                                             : bytes,
		                    len);
		there++;
	}
	return there;
}

static uint64_t all_objects(void)
{
	uint64_t all = 0;
	for (uint64_t slot = 0; slot < SLOTS; slot++)
		all += is_used(slot) && object_of(slot).kind != PS_CUT_GONE;
	return all;
}

static void must_go_on(ps_storer *s)
{
	const struct ps_cut_from from = {INTERVAL, 20};
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct ps_cut_object o;
	ps_id id;
	OK(ps_put(s, "new", 3, &id));
	for (uint64_t slot = 0; slot < SLOTS; slot++)
		assert_true(!is_used(slot) || id != object_of(slot).id);
	OK(ps_cut_begin(s, &from, &cut, &info));
	assert_true(info.crashes >= CRASHES && info.here.interval == INTERVAL + 1);
	OK(ps_cut_next(cut, &o));
	assert_int_equal(o.id, id);
	assert_int_equal(ps_cut_next(cut, &o), PS_ENOTFOUND);
	ps_cut_end(cut);
}

/* True if it is whole; false if it says that it is not. */
static bool must_be_whole_or_not(struct sim_disk *disk)
{
	ps_id id;
	ps_storer *s = open_disk(disk);
	uint64_t there = count_objects(s);
	uint32_t interval = atomic_load(&base_of(s)->interval);
	bool whole = interval == INTERVAL + 1;
	assert_true(interval == 0 || interval == INTERVAL_OPEN || whole);
	if (whole) {
		assert_int_equal(there, all_objects());
		must_go_on(s);
	} else if (interval == INTERVAL_OPEN) {
		assert_int_equal(ps_put(s, "x", 1, &id), PS_EREADONLY);
	} else {
		assert_int_equal(there, 0);
	}
	OK(ps_check(s, PS_CHECK_QUICK, NULL, NULL));
	OK(ps_close(s));
	return whole;
}

static int look(void *arg, const struct crash_state *state)
{
	struct explored *e = arg;
	sim_disk_reset(e->disk, state->image, state->size);
	bool whole = must_be_whole_or_not(e->disk);
	assert_true(whole || state->point < e->finished);
	e->whole += whole;
	e->cut_off += !whole;
	return 0;
}

static void a_restore_is_whole_or_says_that_it_is_not(void **state)
{
	const struct crash_options options = {.seed = 1, .exhaustive = 64, .samples = 8, .singles = 8};
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	struct explored e = {.disk = sim_disk_new(NULL, 0)};
	fill();
	classes = *state != NULL;
	sim_disk_set_tracing(e.disk, false);
	ps_storer *s = open_disk(disk);
	OK(ps_close(s));
	uint64_t size = sim_disk_size(disk);
	uint8_t *image = disk_store_crash(disk, NULL);
	s = open_disk(disk);
	OK(restore(s));
	e.finished = sim_disk_trace(disk)->count;
	OK(ps_close(s));
	uint64_t states = crash_explore(image, size, sim_disk_trace(disk), &options, look, &e, NULL);
	print_message("%llu states: %llu whole, %llu not\n", (unsigned long long)states,
	              (unsigned long long)e.whole, (unsigned long long)e.cut_off);
	assert_true(e.whole && e.cut_off);
	sim_disk_free(disk);
	sim_disk_free(e.disk);
	free(image);
}

/* ---- faults ---- */

struct fault {
	int errnum; /* of the disk; 0: memory */
	bool forever;
};

static void arm(struct sim_disk *disk, const struct fault *f, uint64_t kth)
{
	if (f->errnum)
		sim_disk_fail(disk, kth, f->errnum, f->forever);
	else
		(void)ps_memory_fail_nth(kth, f->forever);
}

static bool disarm(struct sim_disk *disk, const struct fault *f, uint64_t kth)
{
	if (!f->errnum)
		return ps_memory_fail_nth(0, 0) >= kth;
	sim_disk_fail(disk, 0, 0, false);
	return sim_disk_faults(disk) > 0;
}

/* False when the restore ends before the kth. */
static bool fault_once(struct sim_disk *disk, const struct fault *f, uint64_t kth)
{
	sim_disk_reset(disk, NULL, 0);
	ps_storer *s = open_disk(disk);
	arm(disk, f, kth);
	int err = restore(s);
	int closed = ps_close(s);
	bool fired = disarm(disk, f, kth);
	if (err && err != PS_EIO && err != PS_ENOSPC && err != PS_ENOMEM && err != PS_EREADONLY)
		fail_msg("fault %llu: %s", (unsigned long long)kth, ps_error_name(err));
	assert_true(fired || (!err && !closed));
	bool whole = must_be_whole_or_not(disk);
	assert_true(whole || err);
	return fired;
}

static void a_restore_that_fails_is_not_whole(void **state)
{
	const struct fault faults[] = {{EIO, false},   {EIO, true}, {ENOSPC, false},
	                               {ENOSPC, true}, {0, false},  {0, true}};
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	fill();
	classes = *state != NULL;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		uint64_t kth = 1;
		while (fault_once(disk, &faults[i], kth))
			kth++;
		print_message("%llu faults\n", (unsigned long long)kth - 1);
		assert_true(kth > 10);
	}
	sim_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_restore_is_whole_or_says_that_it_is_not),
	    cmocka_unit_test(a_restore_that_fails_is_not_whole),
	    cmocka_unit_test_prestate(a_restore_is_whole_or_says_that_it_is_not, &classes),
	    cmocka_unit_test_prestate(a_restore_that_fails_is_not_whole, &classes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
