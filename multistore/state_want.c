/* Rounds: in each, every object that was not found goes on to the next older run that may have it. So of a
 * hundred objects in a state of three runs no more than three times two requests follow one another. */
#include "multistore/state_want.h"

#include <stdlib.h>

/* Blocks of one pack. */
struct range {
	const struct ps_pack_index *index;
	uint32_t first, last;
};

/* False: no run has it any more. */
static bool to_next_run(const struct ps_push_manifest *m, struct ps_state_want *w)
{
	w->pack = NULL;
	while (!w->pack && w->runs > 0) {
		const struct ps_push_manifest_run *run = &m->runs[w->state->run[--w->runs]];
		const struct ps_push_manifest_pack *packs = ps_push_manifest_packs(m, run);
		uint32_t pack = ps_push_manifest_find_pack(run, packs, w->want->id);
		if (run->since < w->want->interval && pack < run->packs)
			w->pack = &packs[pack];
	}
	return w->pack;
}

static bool is_last_run(const struct ps_push_manifest *m, const struct ps_state_want *w)
{
	struct ps_state_want older = *w;
	return !to_next_run(m, &older);
}

static bool begin_indexes(struct ps_pack_loader *l, const struct ps_push_manifest *m,
                          struct ps_state_want *wants, size_t count)
{
	bool any = false;
	for (size_t i = 0; i < count; i++) {
		struct ps_state_want *w = &wants[i];
		w->done = w->done || !to_next_run(m, w);
		if (!w->done)
			ps_pack_begin_index(l, w->pack);
		any = any || !w->done;
	}
	return any;
}

static void find_blocks(struct ps_pack_loader *l, struct ps_state_want *w)
{
	const struct ps_backing_want *want = w->want;
	w->done = ps_pack_load_index(l, w->pack, &w->index) != PS_OK;
	if (w->done)
		return;
	const struct ps_pack_index *index = &w->index->index;
	if (!ps_pack_index_find(index, want->id, 0, &w->head)) {
		ps_pack_cache_release(l->cache, w->index);
		w->index = NULL;
		return;
	}
	w->first = w->last = w->head;
	if (want->len == 0)
		return;
	uint64_t end = want->offset + want->len - 1;
	(void)ps_pack_index_find(index, want->id, want->offset / PS_CUT_PIECE + 1, &w->first);
	(void)ps_pack_index_find(index, want->id, end / PS_CUT_PIECE + 1, &w->last);
}

static int compare_ranges(const void *left, const void *right)
{
	const struct range *a = left, *b = right;
	if (a->index != b->index)
		return (uintptr_t)a->index < (uintptr_t)b->index ? -1 : 1;
	return (a->first > b->first) - (a->first < b->first);
}

static void begin_ranges(struct ps_pack_loader *l, struct range *ranges, size_t count)
{
	qsort(ranges, count, sizeof(*ranges), compare_ranges);
	for (size_t i = 0, next; i < count; i = next) {
		struct range r = ranges[i];
		for (next = i + 1;
		     next < count && ranges[next].index == r.index && ranges[next].first <= r.last + 1;
		     next++)
			r.last = r.last > ranges[next].last ? r.last : ranges[next].last;
		ps_pack_begin_blocks(l, r.index, r.first, r.last);
	}
}

static void begin_blocks(struct ps_pack_loader *l, struct ps_state_want *wants, size_t count)
{
	struct range ranges[2 * PS_STATE_WANTS];
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		struct ps_state_want *w = &wants[i];
		if (!w->done)
			find_blocks(l, w);
		if (!w->index)
			continue;
		ranges[n++] = (struct range){&w->index->index, w->head, w->head};
		if (w->last != w->head)
			ranges[n++] = (struct range){&w->index->index, w->first, w->last};
	}
	begin_ranges(l, ranges, n);
}

/* Only where there is an older run, the block has to say whether that is to be looked into. */
static void resolve(struct ps_pack_loader *l, const struct ps_push_manifest *m, struct ps_state_want *w)
{
	struct ps_cached *block;
	if (!w->index)
		return;
	const struct ps_pack_index *index = &w->index->index;
	w->done = is_last_run(m, w);
	if (!w->done) {
		w->done = ps_pack_load_block(l, index, w->head, w->head, &block) != PS_OK;
		if (!w->done) {
			w->done = ps_pack_block_find(&block->block, w->want->id, 0);
			ps_pack_cache_release(l->cache, block);
		}
	}
	ps_pack_cache_release(l->cache, w->index);
	w->index = NULL;
}

void ps_state_want(struct ps_pack_loader *l, const struct ps_push_manifest *m, struct ps_state_want *wants,
                   size_t count)
{
	for (size_t i = 0; i < count; i++) {
		wants[i].done = !wants[i].state;
		wants[i].runs = wants[i].state ? wants[i].state->runs : 0;
	}
	while (begin_indexes(l, m, wants, count)) {
		begin_blocks(l, wants, count);
		for (size_t i = 0; i < count; i++)
			resolve(l, m, &wants[i]);
	}
}
