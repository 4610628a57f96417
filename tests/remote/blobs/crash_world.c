#include "tests/remote/blobs/crash_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "tests/support/disk_store.h"

static int open_store(void *arg, bool make, ps_storer **store)
{
	struct world *w = arg;
	return disk_store_open_durable(w->disk, make, store);
}

static void keep_image(struct world *w)
{
	free(w->image);
	w->image_size = sim_disk_size(w->disk);
	w->image = malloc(w->image_size);
	assert_non_null(w->image);
	sim_disk_image(w->disk, w->image);
}

void world_new(struct world *w, void (*make_base)(struct world *w))
{
	memset(w, 0, sizeof(*w));
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	struct ps_remote_seams seams = {.open_store = open_store, .store_arg = w, .backoff_ms = 1};
	w->b = blobs_new_with("mem", &seams);
	make_base(w);
	blobs_close(w->b);
	keep_image(w);
	assert_ok(ps_mem_snapshot_take(blobs_world(w->b), 0, &w->snapshot));
}

void world_free(struct world *w)
{
	sim_disk_reset(w->disk, w->image, w->image_size);
	assert_ok(blobs_start(w->b, false));
	ps_mem_snapshot_free(w->snapshot);
	blobs_free(w->b);
	sim_disk_free(w->disk);
	free(w->image);
	free(w->crashed);
}

void world_restore(struct world *w)
{
	ps_mem_rule_remove(blobs_world(w->b), 0);
	assert_ok(ps_mem_restore(blobs_world(w->b), 0, w->snapshot));
	sim_disk_reset(w->disk, w->image, w->image_size);
	assert_ok(blobs_start(w->b, false));
	if (w->begun)
		w->begun(w);
}

void world_crash(struct world *w)
{
	(void)ps_remote_close(w->b->r);
	ps_mem_rule_remove(blobs_world(w->b), 0);
	uint64_t size = sim_disk_size(w->disk);
	uint8_t *image = malloc(size), *before = w->crashed;
	assert_non_null(image);
	sim_disk_image(w->disk, image);
	struct sim_disk *fresh = sim_disk_new(image, size);
	sim_disk_set_tracing(fresh, false);
	sim_disk_free(w->disk); /* it may have begun with the image from before */
	free(before);
	w->disk = fresh;
	w->crashed = image;
	int err = blobs_start(w->b, false);
	if (err != PS_OK)
		fail_msg("does not open after a crash: %s (%s)", ps_error_name(err), ps_last_error_message());
}

/* ---- what was sent had been written down ---- */

/* What the network has under a pad's number is what the index says of it: two contents never had one number.
 */
static void check_written_down(struct world *w, const struct ps_pad_slot *slot)
{
	struct ps_pad_identity there;
	uint8_t byte;
	size_t len;
	if (slot->status == PS_SLOT_INVALID ||
	    ps_mem_look(blobs_world(w->b), 0, &slot->name, &there, &byte, 1, &len) != PS_OK)
		return;
	if (there.counter > slot->counter)
		fail_msg("the network has version %llu of a pad, the index knows of %llu",
		         (unsigned long long)there.counter, (unsigned long long)slot->counter);
	if (there.counter == slot->counter && memcmp(there.hash, slot->hash, sizeof(there.hash)) != 0)
		fail_msg("the network has a record that was sent before it was written down");
}

static int check_record(void *arg, const struct ps_record *record)
{
	if ((record->flags & PS_RECORD_PUBLIC))
		check_written_down(arg, &record->index_pad);
	for (unsigned set = 0; set < PS_SETS; set++)
		for (uint32_t i = 0; i < record->sets[set].count; i++)
			check_written_down(arg, &record->sets[set].slots[i]);
	return PS_OK;
}

static int check_spare(void *arg, const struct ps_spare *spare)
{
	check_written_down(arg, &spare->slot);
	return PS_OK;
}

void world_check_written_down(struct world *w)
{
	assert_ok(ps_index_list(w->b->r->index, PS_RECORD_BLOB, NULL, PS_LIST_SLOTS, check_record, w));
	for (unsigned status = PS_SLOT_GENERATED; status < PS_SLOT_STATUSES; status++)
		assert_ok(ps_index_each_spare(w->b->r->index, status, check_spare, w));
}

/* ---- the loops ---- */

static void check_all(struct world *w, const struct step *step, bool done)
{
	step->check(w, done);
	if (!w->leftovers)
		blobs_check(w->b);
}

void world_see_after(struct world *w, const struct step *step, int err)
{
	world_crash(w);
	world_check_written_down(w);
	check_all(w, step, err == PS_OK);
	err = step->act(w);
	if (err != PS_OK)
		fail_msg("%s, repeated: %s (%s)", step->name, ps_error_name(err), ps_last_error_message());
	check_all(w, step, true);
	(void)ps_remote_close(w->b->r);
	if (w->ended)
		w->ended(w);
}

unsigned world_crash_at_local_writes(struct world *w, const struct step *step, uint64_t stride)
{
	bool hit = true;
	unsigned states = 0;
	for (uint64_t k = 1; hit; k += stride, states++) {
		world_restore(w);
		sim_disk_fail(w->disk, k, EIO, true);
		int err = step->act(w);
		hit = sim_disk_faults(w->disk) > 0;
		world_see_after(w, step, err);
	}
	return states;
}

unsigned world_crash_at_requests(struct world *w, const struct step *step, enum ps_mem_fault fault,
                                 uint64_t stride)
{
	bool hit = true;
	unsigned states = 0;
	for (uint64_t k = 1; hit; k += stride, states++) {
		struct ps_mem_rule at = {.fault = fault, .first = k, .count = 1, .amount = 3};
		struct ps_mem_rule then = {.fault = PS_MEM_VANISH, .first = k};
		unsigned first = 0, second;
		world_restore(w);
		if (fault != PS_MEM_VANISH)
			assert_ok(ps_mem_rule_add(blobs_world(w->b), &at, &first));
		assert_ok(ps_mem_rule_add(blobs_world(w->b), &then, &second));
		int err = step->act(w);
		hit = ps_mem_rule_hits(blobs_world(w->b), second) > 0 ||
		      (first > 0 && ps_mem_rule_hits(blobs_world(w->b), first) > 0);
		(void)ps_mem_deliver(blobs_world(w->b)); /* what was late arrives while nobody is there */
		world_see_after(w, step, err);
	}
	return states;
}

unsigned world_without_memory(struct world *w, const struct step *step, uint64_t stride)
{
	bool hit = true;
	unsigned states = 0;
	for (uint64_t k = 1; hit; k += stride + k / 8, states++) {
		world_restore(w);
		(void)ps_memory_fail_nth(k, 0);
		int err = step->act(w);
		hit = ps_memory_fail_nth(0, 0) >= k;
		world_see_after(w, step, err);
	}
	return states;
}

/* ---- several steps ---- */

void world_walk_local_writes(struct world *w, const struct step *steps, size_t count, uint64_t stride)
{
	unsigned states = 0;
	for (size_t i = 0; i < count; i++)
		states += world_crash_at_local_writes(w, &steps[i], stride);
	print_message("%u crashes at local writes\n", states);
}

void world_walk_requests(struct world *w, const struct step *steps, size_t count, uint64_t stride)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_VANISH, PS_MEM_LOSE_REPLY, PS_MEM_LATE};
	unsigned states = 0;
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++)
		for (size_t i = 0; i < count; i++)
			states += world_crash_at_requests(w, &steps[i], faults[f], stride);
	print_message("%u crashes at requests\n", states);
}

void world_walk_memory(struct world *w, const struct step *steps, size_t count, uint64_t stride)
{
	unsigned states = 0;
	for (size_t i = 0; i < count; i++)
		states += world_without_memory(w, &steps[i], stride);
	print_message("%u times without memory\n", states);
}
