/* Reading: the runs that have pieces of an object are layers, the newest first, and an older one is looked
 * for only when those above it say nothing of a piece. In a run, packs and blocks are walked in ascending
 * order. */
#include "multistore/state_contents.h"

#include <string.h>

#include "base/fail.h"
#include "multistore/pack_format.h"

/* Pieces of an object, asked for in ascending order: the pack and the block of the last one are held. */
struct walk {
	struct ps_pack_loader *l;
	const struct ps_state_place *p;
	uint32_t pack; /* of index */
	struct ps_cached *index, *block;
	uint32_t number; /* of block */
};

static void end_walk(struct walk *w)
{
	ps_pack_cache_release(w->l->cache, w->block);
	ps_pack_cache_release(w->l->cache, w->index);
}

static int to_pack(struct walk *w, uint32_t pack)
{
	struct ps_cached *index;
	if (w->index && w->pack == pack)
		return PS_OK;
	int err = ps_pack_load_index(w->l, &w->p->packs[pack], &index);
	if (err)
		return err;
	ps_pack_cache_release(w->l->cache, w->block);
	ps_pack_cache_release(w->l->cache, w->index);
	w->index = index;
	w->block = NULL;
	w->pack = pack;
	return PS_OK;
}

/* Of the packs that go on within the object, the last: the manifest says which they are. */
static uint32_t last_pack(const struct ps_state_place *p)
{
	uint32_t last = p->pack;
	while (last + 1 < p->run->packs && p->packs[last].open && p->packs[last].last == p->object.id &&
	       p->packs[last + 1].continues)
		last++;
	return last;
}

/* Whether the object goes on behind the pack, with this offset. */
static bool is_behind(const struct walk *w, uint64_t offset)
{
	const struct ps_pack_tail *t = &w->index->index.tail;
	return t->open && ps_slot_of(t->last) == ps_slot_of(w->p->object.id) && offset >= t->next;
}

/* The one pack that can have the piece at this offset: the last that does not go on behind it. */
static int find_piece_pack(struct walk *w, uint64_t offset)
{
	uint32_t from = w->index ? w->pack : w->p->pack;
	int err = to_pack(w, from);
	if (err || !is_behind(w, offset))
		return err;
	for (uint32_t to = last_pack(w->p); from < to && !err;) {
		uint32_t middle = from + (to - from + 1) / 2;
		err = to_pack(w, middle);
		if (!err && w->index->index.tail.from <= offset)
			from = middle;
		else
			to = middle - 1;
	}
	return err ? err : to_pack(w, from);
}

static int to_block(struct walk *w, uint32_t number, uint32_t wanted)
{
	struct ps_cached *block;
	if (w->block && w->number == number)
		return PS_OK;
	int err = ps_pack_load_block(w->l, &w->index->index, number, wanted, &block);
	if (err)
		return err;
	ps_pack_cache_release(w->l->cache, w->block);
	w->block = block;
	w->number = number;
	return PS_OK;
}

static bool length_fits(const struct ps_cut_object *o, uint64_t offset, size_t len)
{
	return offset < o->size && len == (o->size - offset < PS_CUT_PIECE ? o->size - offset : PS_CUT_PIECE);
}

/* What the run says of a piece. */
struct said {
	bool any;             /* false: nothing */
	const uint8_t *bytes; /* NULL: zeros */
	size_t len;
};

/* The piece at this offset. Those up to `last` are going to be asked for. */
static int find_piece(struct walk *w, uint64_t offset, uint64_t last, struct said *said)
{
	const struct ps_cut_object *o = &w->p->object;
	uint32_t number, wanted = 0;
	*said = (struct said){0};
	int err = find_piece_pack(w, offset);
	if (err || !ps_pack_index_find(&w->index->index, o->id, offset / PS_CUT_PIECE + 1, &number))
		return err;
	(void)ps_pack_index_find(&w->index->index, o->id, last / PS_CUT_PIECE + 1, &wanted);
	err = to_block(w, number, wanted);
	if (err)
		return err;
	const struct ps_pack_block_item *item =
	    ps_pack_block_find(&w->block->block, o->id, offset / PS_CUT_PIECE + 1);
	if (!item)
		return PS_OK;
	bool zeros = ps_pack_block_is_zeros(item);
	if (item->id != o->id || (zeros ? o->kind != PS_CUT_PATCH : !length_fits(o, offset, item->len))) {
		char name[PS_PACK_NAME];
		ps_pack_name(&w->p->packs[w->pack].about, name);
		return ps_fail(PS_ECORRUPT, "%s: the piece at %llu of object 0x%llx does not belong to it",
		               name, (unsigned long long)offset, (unsigned long long)o->id);
	}
	*said = (struct said){true, zeros ? NULL : w->block->block.bytes + item->at, item->len};
	return PS_OK;
}

/* A run that has pieces of the object. What a patch does not say the next older one does. */
struct layer {
	struct ps_state_place p;
	struct walk w;
	struct layer *older;
};

static int no_base(const struct ps_state_place *p)
{
	char name[PS_PACK_NAME];
	ps_pack_name(&p->packs[p->pack].about, name);
	return ps_fail(PS_ECORRUPT,
	               "%s: has a patch of object 0x%llx, which no older run of state %llu has so", name,
	               (unsigned long long)p->object.id, (unsigned long long)p->state->info.here.interval);
}

static int find_older(struct ps_pack_loader *l, const struct ps_state_place *p, struct ps_state_place *older)
{
	int err = PS_ENOTFOUND;
	for (uint32_t i = p->run_number; i-- > 0 && err == PS_ENOTFOUND;)
		err = ps_state_place_find(l, p->m, p->state, i, p->object.id, PS_STATE_FETCH, older);
	if (err == PS_ENOTFOUND)
		return no_base(p);
	if (err || (older->object.id == p->object.id && ps_cut_has_pieces(older->object.kind)))
		return err;
	ps_state_place_leave(l, older);
	return no_base(p);
}

static int add_older(struct ps_pack_loader *l, struct layer *y)
{
	struct layer *older = ps_memory_zalloc(l->memory, sizeof(*older));
	if (!older)
		return ps_fail(PS_ENOMEM, "no memory for an object in several runs");
	int err = find_older(l, &y->p, &older->p);
	if (err) {
		ps_memory_free(l->memory, older, sizeof(*older));
		return err;
	}
	older->w = (struct walk){.l = l, .p = &older->p};
	y->older = older;
	return PS_OK;
}

static void free_older(struct ps_pack_loader *l, struct layer *y)
{
	for (struct layer *older = y->older; older; older = y->older) {
		y->older = older->older;
		end_walk(&older->w);
		ps_state_place_leave(l, &older->p);
		ps_memory_free(l->memory, older, sizeof(*older));
	}
}

/* The newest run that says something of the piece; what none says is zeros. */
static int find_newest(struct ps_pack_loader *l, struct layer *y, uint64_t offset, uint64_t last,
                       struct said *said)
{
	for (;; y = y->older) {
		int err = find_piece(&y->w, offset, last, said);
		if (err || said->any || y->p.object.kind != PS_CUT_PATCH)
			return err;
		err = y->older ? PS_OK : add_older(l, y);
		if (err)
			return err;
	}
}

/* A piece that was shorter then goes on with zeros. */
static void copy_said(const struct said *said, size_t from, uint8_t *to, size_t len)
{
	size_t there = from < said->len ? said->len - from : 0;
	there = there < len ? there : len;
	if (there > 0)
		memcpy(to, said->bytes + from, there);
	memset(to + there, 0, len - there);
}

static int read_pieces(struct ps_pack_loader *l, const struct ps_state_place *p, uint64_t offset, uint8_t *to,
                       size_t len)
{
	struct layer newest = {.p = *p, .w = {.l = l, .p = p}};
	uint64_t end = offset + len;
	int err = PS_OK;
	while (offset < end && !err) {
		struct said said;
		uint64_t begin = offset - offset % PS_CUT_PIECE, next = begin + PS_CUT_PIECE;
		size_t step = (size_t)((next < end ? next : end) - offset);
		err = find_newest(l, &newest, begin, end - 1, &said);
		if (!err)
			copy_said(&said, (size_t)(offset - begin), to, step);
		to += step;
		offset += step;
	}
	free_older(l, &newest);
	end_walk(&newest.w);
	return err;
}

int ps_state_contents_read(struct ps_pack_loader *l, const struct ps_state_place *p, uint64_t offset,
                           void *buf, size_t len)
{
	const struct ps_cut_object *o = &p->object;
	if (offset > o->size || len > o->size - offset)
		return ps_fail(
		    PS_ERANGE, "object 0x%llx had %llu bytes in interval %llu: %llu to %llu are none",
		    (unsigned long long)o->id, (unsigned long long)o->size, (unsigned long long)o->interval,
		    (unsigned long long)offset, (unsigned long long)(offset + len));
	if (len == 0)
		return PS_OK;
	if (ps_cut_has_pieces(o->kind))
		return read_pieces(l, p, offset, buf, len);
	if (o->kind == PS_CUT_BYTES)
		memcpy(buf, p->block->block.bytes + p->item->at + offset, len);
	else
		memset(buf, 0, len);
	return PS_OK;
}
