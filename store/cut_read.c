/* Contents of the objects that a cut gives (cut.h). */
#include <sys/param.h>

#include "store/cut_internal.h"

enum { WINDOW = 16, AHEAD = 32 };

/* Chunks of a large object on their way to the caller, several read together. */
struct pieces {
	struct ps_cut *cut;
	ps_cut_piece_fn fn;
	void *arg;
	struct prefetch prefetch;
	struct blob blob[WINDOW];
	uint64_t chunk[WINDOW];
	unsigned count, most;
	uint8_t padded[PS_CUT_PIECE]; /* a chunk that ends before its piece does */
};
static_assert((int)PS_CUT_PIECE == (int)CHUNK, "a piece is a chunk");

static int tell_chunk(struct pieces *p, const struct blob *b, uint64_t chunk)
{
	struct pool *pool = &p->cut->s->pool;
	const uint8_t *data;
	size_t len = (size_t)MIN((uint64_t)CHUNK, entry_size(&p->cut->entry) - chunk * CHUNK);
	int err = pool_pin(pool, b, p->cut->id, &data);
	if (err)
		return err;
	if (b->len >= len) {
		err = p->fn(p->arg, chunk * CHUNK, data, len);
	} else {
		memcpy(p->padded, data, b->len);
		memset(p->padded + b->len, 0, len - b->len);
		err = p->fn(p->arg, chunk * CHUNK, p->padded, len);
	}
	pool_unpin(pool, b->place);
	return err;
}

static int tell_window(struct pieces *p)
{
	int err = PS_OK;
	for (unsigned i = 0; i < p->count && p->count > 1; i++)
		prefetch_blob(&p->prefetch, &p->blob[i], p->cut->id);
	prefetch_wait(&p->prefetch);
	for (unsigned i = 0; i < p->count && !err; i++)
		err = tell_chunk(p, &p->blob[i], p->chunk[i]);
	p->count = 0;
	return err;
}

static int add_chunk(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	struct pieces *p = arg;
	(void)extent;
	if (chunk == MAP_NO_CHUNK)
		return PS_OK;
	p->blob[p->count] = *blob;
	p->chunk[p->count++] = chunk;
	return p->count == p->most ? tell_window(p) : PS_OK;
}

static int tell_map(struct ps_cut *cut, ps_cut_piece_fn fn, void *arg)
{
	struct store *s = cut->s;
	struct pieces *p = ps_memory_zalloc(&s->memory, sizeof(*p));
	if (!p)
		return ps_fail(PS_ENOMEM, "%s: no memory to read a large object", s->path);
	p->cut = cut;
	p->fn = fn;
	p->arg = arg;
	p->prefetch.s = s;
	p->most = (unsigned)MIN((uint64_t)WINDOW, MAX(s->budget / 4 / CHUNK, (uint64_t)1));
	int err = map_extents(s, cut->id, &cut->entry, add_chunk, p);
	if (!err)
		err = tell_window(p);
	ps_memory_free(&s->memory, p, sizeof(*p));
	return err;
}

/* Under holds, as the object itself: a place that was given up meanwhile is another's. */
static void read_slots(struct ps_cut *cut, uint64_t from, uint64_t to)
{
	struct store *s = cut->s;
	struct prefetch prefetch = {.s = s};
	for (uint64_t slot = from; slot < to; slot++)
		space_hold(&s->space, slot);
	bool stands = cut_still_stands(cut) == PS_OK;
	for (uint64_t slot = from; slot < to && stands; slot++) {
		const struct entry *e = &cut->entries[slot % FANOUT];
		ps_id id = id_make(slot, entry_generation(e));
		struct blob b = entry_blob(id, e);
		if (entry_kind(e) == ENTRY_DATA)
			prefetch_blob(&prefetch, &b, id);
	}
	prefetch_wait(&prefetch);
	for (uint64_t slot = from; slot < to; slot++)
		space_unhold(&s->space, slot);
}

/* Small objects that come next in the leaf, together. */
static void read_ahead(struct ps_cut *cut)
{
	uint64_t slot = id_slot(cut->id), most = MIN((uint64_t)AHEAD, cut->s->budget / 4 / CHUNK);
	if (slot < cut->ahead || cut->leaf != (int64_t)(slot / FANOUT))
		return;
	cut->ahead = MIN(slot + most, (slot / FANOUT + 1) * FANOUT);
	read_slots(cut, slot, cut->ahead);
}

static int tell_bytes(struct ps_cut *cut, ps_cut_piece_fn fn, void *arg)
{
	struct pool *pool = &cut->s->pool;
	struct blob b = entry_blob(cut->id, &cut->entry);
	const uint8_t *data;
	read_ahead(cut);
	int err = pool_pin(pool, &b, cut->id, &data);
	if (err)
		return err;
	err = fn(arg, 0, data, (size_t)b.len);
	pool_unpin(pool, blob_frame(pool, &b));
	return err;
}

/* Under a hold: what the cut still held when it began stays until it ends, whatever becomes of the cut
 * meanwhile. */
int ps_cut_pieces(struct ps_cut *cut, ps_cut_piece_fn fn, void *arg)
{
	if (!cut || !fn || !cut->id)
		return ps_fail(PS_EINVAL, "ps_cut_pieces: no object, or an argument is NULL");
	struct store *s = cut->s;
	space_hold(&s->space, id_slot(cut->id));
	int err = cut_still_stands(cut);
	if (!err && entry_kind(&cut->entry) == ENTRY_DATA)
		err = tell_bytes(cut, fn, arg);
	else if (!err && entry_kind(&cut->entry) == ENTRY_MAP)
		err = tell_map(cut, fn, arg);
	space_unhold(&s->space, id_slot(cut->id));
	return err ? store_end_call(s, err) : PS_OK;
}
