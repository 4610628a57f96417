/* What a cut reads ahead (cut_internal.h): the small objects that come next in the leaf. */
#include <stdlib.h>
#include <sys/param.h>

#include "store/cut_internal.h"

enum { AHEAD_BYTES = 1 << 20, AHEAD_SHARE = 16 /* of the budget */ };

static bool have_buffer(struct ps_cut *cut)
{
	struct store *s = cut->s;
	struct cut_ahead *a = &cut->ahead;
	size_t size = MIN((size_t)AHEAD_BYTES, s->budget / AHEAD_SHARE & ~(size_t)(PAGE - 1));
	void *buffer;
	if (a->buffer)
		return true;
	if (size == 0 || budget_take(s, size) != PS_OK)
		return false;
	if (posix_memalign(&buffer, PAGE, size)) {
		budget_give(s, size);
		return false;
	}
	a->buffer = buffer;
	a->size = size;
	return true;
}

void cut_ahead_done(struct ps_cut *cut)
{
	struct cut_ahead *a = &cut->ahead;
	if (a->buffer)
		budget_give(cut->s, a->size);
	free(a->buffer);
	a->buffer = NULL;
}

static int begin_slot(struct ps_cut *cut, uint64_t slot)
{
	const struct entry *e = &cut->entries[slot % FANOUT];
	ps_id id = id_make(slot, entry_generation(e));
	struct blob b = entry_blob(id, e);
	return entry_kind(e) == ENTRY_DATA ? prefetch_aside(&cut->ahead.loads, &b, id) : PREFETCH_NONE;
}

/* Up to `end`, or as far as there is room. Under holds, as the object itself: a place that was given up
 * meanwhile is another's. */
static void read_slots(struct ps_cut *cut, uint64_t end)
{
	struct store *s = cut->s;
	struct cut_ahead *a = &cut->ahead;
	for (uint64_t slot = a->from; slot < end; slot++)
		space_hold(&s->space, slot);
	bool stands = cut_still_stands(cut) == PS_OK;
	for (; stands && a->end < end; a->end++) {
		int load = begin_slot(cut, a->end);
		if (load == PREFETCH_FULL)
			break;
		a->load[a->end % FANOUT] = load;
	}
	prefetch_wait(&a->loads);
	for (uint64_t slot = a->from; slot < end; slot++)
		space_unhold(&s->space, slot);
}

static void read_ahead(struct ps_cut *cut, uint64_t slot)
{
	struct cut_ahead *a = &cut->ahead;
	if (cut->leaf != (int64_t)(slot / FANOUT) || !have_buffer(cut))
		return;
	prefetch_begin_into(&a->loads, cut->s, a->buffer, a->size);
	a->from = a->end = slot;
	read_slots(cut, (slot / FANOUT + 1) * FANOUT);
}

static const uint8_t *find(const struct cut_ahead *a, uint64_t slot, const struct blob *b)
{
	int number = slot >= a->from && slot < a->end ? a->load[slot % FANOUT] : PREFETCH_NONE;
	const struct prefetch_load *load = number >= 0 ? &a->loads.load[number] : NULL;
	return load && load->bytes ? load->bytes + (b->place - load->frame.offset) : NULL;
}

const uint8_t *cut_ahead_bytes(struct ps_cut *cut, const struct blob *b)
{
	uint64_t slot = id_slot(cut->id);
	if (slot < cut->ahead.from || slot >= cut->ahead.end)
		read_ahead(cut, slot);
	const uint8_t *bytes = find(&cut->ahead, slot, b);
	return bytes && blob_checksum(b->seed, bytes, (size_t)b->len) == b->checksum ? bytes : NULL;
}
