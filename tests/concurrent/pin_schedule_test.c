/* Pins in slots in every order of their steps: threads that view, one that wants the frame, one that opens
 * the slots again. A name that a thread has stored may stay with it until it is interrupted, or has let go:
 * as on a processor. usage: pin_schedule_test PREEMPTIONS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "store/pin_slots.h"
#include "tests/concurrent/scheduled_mutexes.h"
#include "tests/concurrent/scheduler.h"
#include "tests/support/disk_store.h"

enum { SMALL = 2 * PAGE, LARGE = 3 * CHUNK };

static struct sim_disk *disk;
static ps_storer *s;
static ps_id small, large;
static uint8_t bytes[LARGE];
static bool late; /* names stay with their threads for as long as they may */

static struct pool *pool(void)
{
	return &((struct store *)(void *)s)->pool;
}

/* ---- what a thread has stored and others do not see ---- */

static struct {
	_Atomic(uint64_t) *slot;
	uint64_t name;
} stored[SCHEDULE_THREADS];

static void come_out(unsigned thread)
{
	if (stored[thread].slot)
		atomic_store(stored[thread].slot, stored[thread].name);
	stored[thread].slot = NULL;
}

static void all_come_out(void)
{
	for (unsigned i = 0; i < SCHEDULE_THREADS; i++)
		come_out(i);
}

void pin_slot_publish(_Atomic(uint64_t) *slot, uint64_t name)
{
	stored[schedule_thread()].slot = slot;
	stored[schedule_thread()].name = name;
	if (!late || !schedule_is_exploring())
		come_out(schedule_thread());
}

void pin_slot_clear(_Atomic(uint64_t) *slot)
{
	come_out(schedule_thread());
	atomic_store(slot, 0);
}

/* ---- the scenarios ---- */

static void must(int err)
{
	if (err)
		abort();
}

static void view(ps_id id)
{
	struct ps_view v;
	must(ps_view(s, id, &v));
	must(ps_view_release(&v));
}

/* As if the thread had viewed much. */
static void open_again(void)
{
	struct pin_slots *own = &ps_pin_slots[schedule_thread()];
	own->seen_pool = pool()->slots_number;
	own->seen = atomic_load(&pool()->pinning) / PINNING_CHANGE;
	own->counted = UINT32_MAX;
	pin_slots_consider(pool());
}

/* Both objects are in memory and clean, and slots are open; all else is as it was for the order before. */
static void begin(void)
{
	struct ps_base_options options = disk_store_options();
	options.memory_budget = 32 << 20;
	scheduled_mutexes_reset();
	schedule_on_interrupt(all_come_out);
	memset(ps_pin_slots, 0, sizeof(ps_pin_slots));
	sim_disk_reset(disk, NULL, 0);
	sim_disk_set_tracing(disk, false);
	must(ps_base_open_io(sim_disk_io(disk), true, &options, &s));
	must(ps_put(s, bytes, SMALL, &small));
	must(ps_put(s, bytes, LARGE, &large));
	must(ps_sync(s));
	must(checkpoint_run((struct store *)(void *)s));
	view(small);
	view(large);
	open_again();
	if (!pins_by_slots(pool()) || pool_pinned_bytes(pool()))
		abort();
}

static void begin_late(void)
{
	late = true;
	begin();
}

static void begin_at_once(void)
{
	late = false;
	begin();
}

/* All that is pinned is there at each step until it is released. */
static void check_view(ps_id id, size_t size)
{
	struct ps_view v;
	if (ps_view(s, id, &v)) {
		schedule_fail("a view failed");
		return;
	}
	for (unsigned looks = 0; looks < 2; looks++) {
		sync_step();
		if (v.len != size || memcmp(v.data, bytes, size) != 0)
			schedule_fail("a view's bytes went");
	}
	(void)ps_view_release(&v);
}

static void view_small(void)
{
	check_view(small, SMALL);
}

static void view_large(void)
{
	check_view(large, LARGE);
}

/* As if nobody had used anything for long. */
static void evict(void)
{
	for (unsigned i = 0; i < 2; i++)
		(void)pool_evict_one(pool());
}

static void evict_most(void)
{
	evict();
	evict();
	evict();
}

static bool end(void)
{
	struct ps_stats stats;
	all_come_out();
	must(ps_stats(s, &stats));
	return stats.pinned_bytes == 0 && ps_close(s) == PS_OK;
}

static const struct scenario scenarios[] = {
    {"a view, an eviction", begin_late, {view_small, evict, NULL}, end, false},
    {"a view, two evictions", begin_late, {view_small, evict, evict}, end, false},
    {"a view, an eviction, slots opened", begin_late, {view_small, evict, open_again}, end, false},
    {"a large view, an eviction, slots opened", begin_late, {view_large, evict_most, open_again}, end, false},
    {"two views, an eviction", begin_at_once, {view_small, view_large, evict}, end, false},
};

int main(int argc, char **argv)
{
	disk = sim_disk_new(NULL, 0);
	memset(bytes, 7, sizeof(bytes));
	bool good = schedule_explore_all(scenarios, sizeof(scenarios) / sizeof(scenarios[0]), argc, argv);
	sim_disk_free(disk);
	return good ? 0 : 1;
}
