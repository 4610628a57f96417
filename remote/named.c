#include "remote/named.h"

#include "base/fail.h"

enum { MOST_TRIES = 8 };

struct naming {
	struct ps_sync *s;
	ps_named_fn fn;
	void *arg;
};

static int tell_slots(const struct naming *n, const struct ps_slots *slots)
{
	int err = PS_OK;
	for (uint32_t i = 0; i < slots->count && err == PS_OK; i++)
		err = n->fn(n->arg, &slots->slots[i].name);
	return err;
}

static int tell_slot(void *arg, const struct ps_pad_slot *slot)
{
	const struct naming *n = arg;
	return n->fn(n->arg, &slot->name);
}

/* ---- heads and what they list ---- */

static int tell_runs(const struct naming *n, const struct ps_head *head)
{
	int err = PS_OK;
	for (uint32_t i = 0; i < head->runs_count && err == PS_OK; i++)
		err = tell_slots(n, &head->runs[i].pads);
	return err;
}

static int tell_head_pad(const struct naming *n)
{
	struct ps_pad_slot slot;
	int err = ps_head_slot(n->s->r, 1, &slot);
	return err == PS_OK ? n->fn(n->arg, &slot.name) : err;
}

static int tell_intent(const struct naming *n)
{
	struct sync_intent intent;
	int err = sync_load_intent(n->s, &intent);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err;
	err = tell_runs(n, &intent.next.head);
	sync_intent_done(&intent);
	return err;
}

static int tell_source(struct naming *n, struct sync_source *source)
{
	for (;;) {
		struct ps_record record;
		bool found;
		int err = sync_source_next(source, &record, &found);
		if (err != PS_OK || !found)
			return err;
		err = ps_record_each_slot(&record, tell_slot, n);
		ps_record_done(&record);
		if (err != PS_OK)
			return err;
	}
}

/* As the network has them, not as they were merged here: what this machine's index may have lost is named all
 * the same. Of two versions of a key the newer one counts; what only the older one has was replaced, and is
 * nobody's who reads by this head. */
static int tell_listed(struct naming *n, const struct ps_head *head)
{
	struct sync_source *source;
	bool *use = ps_memory_alloc(&n->s->r->memory, head->runs_count + 1);
	if (!use)
		return ps_fail(PS_ENOMEM, "no memory for %u runs", head->runs_count);
	memset(use, true, head->runs_count + 1);
	int err = sync_source_new(n->s, head, use, 0, &source);
	ps_memory_free(&n->s->r->memory, use, head->runs_count + 1);
	if (err != PS_OK)
		return err;
	err = tell_source(n, source);
	sync_source_free(source);
	return err;
}

/* ---- this machine's index ---- */

static int tell_index(struct naming *n)
{
	return ps_index_each_pad(n->s->r->index, tell_slot, n);
}

/* A pad that goes from one place to another while both are read could be told of in neither. */
static int tell_still_index(struct naming *n)
{
	for (unsigned tries = 0; tries < MOST_TRIES; tries++) {
		uint64_t before, after;
		if (!ps_index_is_still(n->s->r->index, &before))
			continue;
		int err = tell_index(n);
		if (err != PS_OK)
			return err;
		if (ps_index_is_still(n->s->r->index, &after) && after == before)
			return PS_OK;
	}
	return ps_fail(PS_EBUSY, "the local index was changed again and again while its pads were looked up");
}

/* ---- all ---- */

int ps_named_each(struct ps_sync *s, const struct sync_head *head, bool still, ps_named_fn fn, void *arg)
{
	struct naming n = {s, fn, arg};
	int err = tell_head_pad(&n);
	if (err == PS_OK)
		err = tell_runs(&n, &head->head);
	if (err == PS_OK && s->base.there)
		err = tell_runs(&n, &s->base.head);
	if (err == PS_OK)
		err = tell_intent(&n);
	if (err == PS_OK)
		err = tell_listed(&n, &head->head);
	if (err == PS_OK)
		err = still ? tell_still_index(&n) : tell_index(&n);
	return err;
}

uint64_t ps_named_most(struct ps_sync *s, const struct sync_head *head)
{
	struct ps_index_figures figures;
	uint64_t most = 1;
	ps_index_figures(s->r->index, &figures);
	for (unsigned status = 0; status < PS_SLOT_STATUSES; status++)
		most += figures.pads[status];
	for (uint32_t i = 0; i < head->head.runs_count; i++)
		most += head->head.runs[i].bytes / PS_SLOT_WIRE_BYTES + head->head.runs[i].pads.count;
	return most;
}
