/* Deleting what was found. A pad leaves only as the version that both listings showed.
 *
 * Where a removal can be guarded, the guard is that version. Where it cannot, somebody could write to the pad
 * between our look and the removal: another machine, to which it is a free one. So it is fenced first: a
 * record without contents replaces that version by a compare-and-swap, which every network has. Who comes
 * after that finds his expected version gone and takes another pad; nobody expects the fence's. Its number is
 * drawn far above any that may be on its way, so that nobody signs another record under the same one. */
#include <sodium.h>
#include <stdlib.h>

#include "base/fail.h"
#include "remote/gc_internal.h"

enum { BATCH = 64 };
static const uint64_t fence_step = (uint64_t)1 << 32;

/* ---- what is named by now ---- */

static int compare_name(const void *name, const void *found)
{
	return memcmp(name, &((const struct gc_found *)found)->name, PS_PAD_NAME);
}

static int spare(void *arg, const struct ps_pad_name *name)
{
	struct gc *gc = arg;
	struct gc_found *found =
	    gc->count > 0 ? bsearch(name, gc->found, gc->count, sizeof(*gc->found), compare_name) : NULL;
	if (found)
		found->spared = true;
	return PS_OK;
}

int gc_spare_named(struct gc *gc)
{
	return gc->count > 0 ? ps_scan_named(&gc->scan, spare, gc) : PS_OK;
}

/* Another machine's head came meanwhile, and may name some. */
static int follow_head(struct gc *gc)
{
	bool moved;
	int err = ps_scan_look(&gc->scan, &moved);
	if (err != PS_OK || !moved)
		return err;
	err = ps_scan_take_head(&gc->scan);
	return err == PS_OK ? gc_spare_named(gc) : err;
}

/* ---- a batch ---- */

struct batch {
	struct gc *gc;
	bool slots; /* all of them are; else none */
	struct gc_found *found[BATCH];
	size_t count;
	struct ps_pad_send sends[BATCH];
};

/* What became of each. One that was found changed, or gone, is let be; one of which nothing is known ends the
 * call. */
static int take_fates(struct batch *b)
{
	struct gc *gc = b->gc;
	int err = PS_OK;
	for (size_t i = 0; i < b->count; i++) {
		const struct ps_settle *settle = &b->sends[i].settle;
		switch (settle->settled) {
		case PS_SETTLED_CONFIRMED:
			break;
		case PS_SETTLED_CONFLICT:
		case PS_SETTLED_OLDER:
		case PS_SETTLED_GONE:
			b->found[i]->spared = true;
			gc->result.changed++;
			break;
		default:
			b->found[i]->spared = true;
			if (err == PS_OK)
				err = ps_fail(ps_task_error(&settle->task), "%s", settle->task.sentence);
		}
	}
	return err;
}

static void drop_spared(struct batch *b)
{
	size_t kept = 0;
	for (size_t i = 0; i < b->count; i++)
		if (!b->found[i]->spared)
			b->found[kept++] = b->found[i];
	b->count = kept;
}

static int send(struct batch *b)
{
	int err = b->count > 0 ? ps_pads_send(&b->gc->s.op, b->sends, b->count, PS_VERIFY_HEAD) : PS_OK;
	int first = take_fates(b);
	drop_spared(b);
	return err != PS_OK ? err : first;
}

/* ---- fencing ---- */

static int plan_fence(struct gc *gc, const struct gc_found *found, struct ps_pad_send *send)
{
	struct ps_pad_slot slot;
	struct ps_net_buffer *sealed;
	uint64_t step = fence_step + randombytes_random();
	if (found->generation >= UINT32_MAX - 1 || found->identity.counter >= UINT64_MAX - 4 * fence_step)
		return ps_fail(PS_ERANGE, "a pad's generation or counter is used up");
	ps_slot_new(&slot, &found->serial, &found->name, found->class, PS_PAD_SMALL);
	slot.generation = found->generation + 1;
	slot.counter = found->identity.counter + step;
	int err = ps_manager_seal(gc->s.r, &slot, PS_ROLE_FENCE, NULL, 0, "", 0, &sealed);
	if (err == PS_OK)
		*send = (struct ps_pad_send){.slot = slot,
		                             .expected = found->identity,
		                             .role = PS_ROLE_FENCE,
		                             .payload = "",
		                             .sealed = sealed};
	return err;
}

/* What is confirmed as fenced has the fence's identity from then on. */
static int fence(struct batch *b)
{
	struct gc *gc = b->gc;
	int err = PS_OK;
	for (size_t i = 0; i < b->count && err == PS_OK; i++) {
		b->sends[i] = (struct ps_pad_send){0};
		err = plan_fence(gc, b->found[i], &b->sends[i]);
	}
	if (err != PS_OK) {
		for (size_t i = 0; i < b->count; i++)
			ps_net_buffer_release(b->sends[i].sealed);
		return err;
	}
	for (size_t i = 0; i < b->count; i++)
		b->found[i]->identity = ps_slot_identity(&b->sends[i].slot);
	return send(b);
}

/* ---- all ---- */

static int remove_batch(struct batch *b)
{
	struct gc *gc = b->gc;
	int err = PS_OK;
	/* Nobody writes to a slot that was written once. */
	if (!b->slots && !(ps_network_caps(gc->s.r->network) & PS_NET_CAP_GUARDED_REMOVE))
		err = fence(b);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < b->count; i++) {
		b->sends[i] = (struct ps_pad_send){.expected = b->found[i]->identity, .removes = true};
		b->sends[i].slot.name = b->found[i]->name;
	}
	err = send(b);
	for (size_t i = 0; i < b->count; i++)
		gc->result.deleted_bytes += b->found[i]->size;
	gc->result.deleted += b->count;
	return err;
}

static size_t fill_batch(struct gc *gc, size_t at, struct batch *b)
{
	b->count = 0;
	for (; at < gc->count && b->count < BATCH; at++)
		if (gc->found[at].ripe && !gc->found[at].spared && gc->found[at].slot == b->slots)
			b->found[b->count++] = &gc->found[at];
	return at;
}

static int delete_some(struct gc *gc, struct batch *b)
{
	int err = PS_OK;
	for (size_t at = 0; at < gc->count && err == PS_OK;) {
		err = follow_head(gc);
		if (err != PS_OK)
			break;
		at = fill_batch(gc, at, b);
		err = b->count > 0 ? remove_batch(b) : PS_OK;
	}
	return err;
}

static int delete_all(struct gc *gc, struct batch *b)
{
	gc->s.op.shown.pads_done = 0;
	gc->s.op.shown.pads_total = gc->result.ripe;
	int err = delete_some(gc, b);
	b->slots = true;
	return err == PS_OK ? delete_some(gc, b) : err;
}

int gc_delete(struct gc *gc)
{
	struct batch *b = ps_memory_zalloc(&gc->s.r->memory, sizeof(*b));
	if (!b)
		return ps_fail(PS_ENOMEM, "no memory for %d pads", BATCH);
	b->gc = gc;
	int err = delete_all(gc, b);
	ps_memory_free(&gc->s.r->memory, b, sizeof(*b));
	return err;
}
