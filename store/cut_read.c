/* Contents of the objects that a cut gives (cut.h). */
#include <sys/param.h>

#include "store/cut_internal.h"

enum { WINDOW = 16, AHEAD_BYTES = 32 * CHUNK };

/* Chunks of a large object on their way to the caller, several read together. */
struct pieces {
	struct ps_cut *cut;
	ps_cut_piece_fn fn;
	void *arg;
	struct prefetch prefetch;
	struct part {
		struct blob blob;
		uint64_t chunk, zeros; /* zeros: so many chunks without a blob */
	} part[WINDOW];
	unsigned count, most;
	uint8_t padded[PS_CUT_PIECE]; /* a chunk that ends before its piece does, or a damaged one as it was fetched */
	uint8_t *fetched; /* chunks that are away; most * CHUNK */
};
static_assert((int)PS_CUT_PIECE == (int)CHUNK, "a piece is a chunk");

/* What is damaged here, as it was fetched. */
static int tell_healed(struct pieces *p, uint64_t chunk, size_t len)
{
	struct ps_cut *cut = p->cut;
	int err = object_read(cut->s, cut->id, &cut->entry, chunk * CHUNK, p->padded, len, USE_READ);
	return err ? err : p->fn(p->arg, chunk * CHUNK, p->padded, len);
}

static bool part_is_away(const struct part *part)
{
	return !part->zeros && !part->blob.place;
}

/* Those of the window that follow one another and are away, fetched together: *count of them. They are not put into the file: who reads
 * all of a store once has no further use for them. */
static int tell_away(struct pieces *p, unsigned first, unsigned *count)
{
	struct ps_cut *cut = p->cut;
	const struct part *part = &p->part[first];
	uint64_t from = part->chunk * CHUNK;
	*count = 1;
	while (first + *count < p->count && part_is_away(part + *count) && part[*count].chunk == part->chunk + *count)
		++*count;
	size_t len = (size_t)MIN((uint64_t)*count * CHUNK, entry_size(&cut->entry) - from);
	if (!p->fetched && !(p->fetched = ps_memory_alloc(&cut->s->memory, (size_t)p->most * CHUNK)))
		return ps_fail(PS_ENOMEM, "%s: no memory to fetch a large object", cut->s->path);
	int err = object_read(cut->s, cut->id, &cut->entry, from, p->fetched, len, USE_ONCE);
	for (size_t at = 0; at < len && !err; at += CHUNK)
		err = p->fn(p->arg, from + at, p->fetched + at, MIN((size_t)CHUNK, len - at));
	return err;
}

static int tell_chunk(struct pieces *p, const struct blob *b, uint64_t chunk)
{
	struct pool *pool = &p->cut->s->pool;
	const uint8_t *data;
	size_t len = (size_t)MIN((uint64_t)CHUNK, entry_size(&p->cut->entry) - chunk * CHUNK);
	int err = pool_pin(pool, b, p->cut->id, &data);
	if (fault_heals(p->cut->s, &p->cut->entry, err))
		return tell_healed(p, chunk, len);
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

static int tell_zeros(struct pieces *p, const struct part *part)
{
	uint64_t from = part->chunk * CHUNK, size = entry_size(&p->cut->entry);
	return p->fn(p->arg, from, NULL, (size_t)MIN(part->zeros * CHUNK, size - from));
}

static int tell_part(struct pieces *p, unsigned i, unsigned *told)
{
	const struct part *part = &p->part[i];
	*told = 1;
	if (part->zeros)
		return tell_zeros(p, part);
	return part_is_away(part) ? tell_away(p, i, told) : tell_chunk(p, &part->blob, part->chunk);
}

static int tell_window(struct pieces *p)
{
	int err = PS_OK;
	for (unsigned i = 0; i < p->count && p->count > 1; i++) {
		if (!p->part[i].zeros && !part_is_away(&p->part[i]))
			prefetch_blob(&p->prefetch, &p->part[i].blob, p->cut->id);
	}
	prefetch_wait(&p->prefetch);
	for (unsigned i = 0, told; i < p->count && !err; i += told)
		err = tell_part(p, i, &told);
	p->count = 0;
	return err;
}

static int add_part(struct pieces *p, const struct part *part)
{
	p->part[p->count++] = *part;
	return p->count == p->most ? tell_window(p) : PS_OK;
}

static int add_chunk(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	(void)extent;
	return chunk == MAP_NO_CHUNK ? PS_OK : add_part(arg, &(struct part){.blob = *blob, .chunk = chunk});
}

static int add_changed(void *arg, enum map_part what, const struct blob *blob, uint64_t first, uint64_t count)
{
	struct pieces *p = arg;
	struct part *last = p->count ? &p->part[p->count - 1] : NULL;
	if (what == MAP_SAME)
		return PS_OK;
	if (what == MAP_CHANGED)
		return add_part(p, &(struct part){.blob = *blob, .chunk = first});
	if (last && last->zeros && last->chunk + last->zeros == first) {
		last->zeros += count;
		return PS_OK;
	}
	return add_part(p, &(struct part){.chunk = first, .zeros = count});
}

static int tell_map(struct ps_cut *cut, bool changed, ps_cut_piece_fn fn, void *arg)
{
	struct store *s = cut->s;
	struct pieces *p = ps_memory_zalloc(&s->memory, sizeof(*p));
	if (!p)
		return ps_fail(PS_ENOMEM, "%s: no memory to read a large object", s->path);
	p->cut = cut;
	p->fn = fn;
	p->arg = arg;
	prefetch_begin(&p->prefetch, s);
	p->most = (unsigned)MIN((uint64_t)WINDOW, MAX(s->budget / 4 / CHUNK, (uint64_t)1));
	int err = changed ? map_since(s, cut->id, &cut->entry, (uint32_t)cut->from.interval, add_changed, p)
	                  : map_contents(s, cut->id, &cut->entry, add_chunk, p);
	if (!err)
		err = tell_window(p);
	ps_memory_free(&s->memory, p->fetched, (size_t)p->most * CHUNK);
	ps_memory_free(&s->memory, p, sizeof(*p));
	return err;
}

/* Under holds, as the object itself: a place that was given up meanwhile is another's. */
static void read_slots(struct ps_cut *cut, uint64_t from, uint64_t to)
{
	struct store *s = cut->s;
	struct prefetch prefetch;
	prefetch_begin(&prefetch, s);
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

/* As far as so many bytes go, in the leaf. */
static uint64_t ahead_end(const struct ps_cut *cut, uint64_t slot, uint64_t bytes)
{
	uint64_t end = (slot / FANOUT + 1) * FANOUT, sum = 0;
	for (; slot < end && sum < bytes; slot++) {
		const struct entry *e = &cut->entries[slot % FANOUT];
		if (entry_kind(e) == ENTRY_DATA)
			sum += MAX(entry_size(e), (uint64_t)PAGE);
	}
	return slot;
}

/* Small objects that come next in the leaf, together. */
static void read_ahead(struct ps_cut *cut)
{
	uint64_t slot = id_slot(cut->id);
	if (slot < cut->ahead || cut->leaf != (int64_t)(slot / FANOUT))
		return;
	cut->ahead = ahead_end(cut, slot, MIN((uint64_t)AHEAD_BYTES, cut->s->budget / 4));
	read_slots(cut, slot, cut->ahead);
}

static int tell_fetched(struct ps_cut *cut, ps_cut_piece_fn fn, void *arg, enum object_use use)
{
	struct ps_memory *m = &cut->s->memory;
	size_t len = (size_t)entry_size(&cut->entry);
	uint8_t *bytes = ps_memory_alloc(m, len);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "%s: no memory to fetch %zu bytes", cut->s->path, len);
	int err = object_read(cut->s, cut->id, &cut->entry, 0, bytes, len, use);
	if (!err)
		err = fn(arg, 0, bytes, len);
	ps_memory_free(m, bytes, len);
	return err;
}

static int tell_bytes(struct ps_cut *cut, ps_cut_piece_fn fn, void *arg)
{
	struct pool *pool = &cut->s->pool;
	struct blob b = entry_blob(cut->id, &cut->entry);
	const uint8_t *data;
	read_ahead(cut);
	int err = pool_pin(pool, &b, cut->id, &data);
	if (fault_heals(cut->s, &cut->entry, err))
		return tell_fetched(cut, fn, arg, USE_READ);
	if (err)
		return err;
	err = fn(arg, 0, data, (size_t)b.len);
	pool_unpin(pool, blob_frame(pool, &b));
	return err;
}

/* Under a hold: what the cut still held when it began stays until it ends, whatever becomes of the cut
 * meanwhile. */
static int begin_reading(struct ps_cut *cut)
{
	space_hold(&cut->s->space, id_slot(cut->id));
	return cut_still_stands(cut);
}

static int end_reading(struct ps_cut *cut, int err)
{
	space_unhold(&cut->s->space, id_slot(cut->id));
	return err ? store_end_call(cut->s, err) : PS_OK;
}

int ps_cut_pieces(struct ps_cut *cut, ps_cut_piece_fn fn, void *arg)
{
	if (!cut || !fn || !cut->id)
		return ps_fail(PS_EINVAL, "ps_cut_pieces: no object, or an argument is NULL");
	int err = begin_reading(cut);
	if (!err && entry_kind(&cut->entry) == ENTRY_DATA)
		err = tell_bytes(cut, fn, arg);
	else if (!err && entry_kind(&cut->entry) == ENTRY_MAP)
		err = tell_map(cut, false, fn, arg);
	else if (!err && entry_kind(&cut->entry) == ENTRY_AWAY)
		err = tell_fetched(cut, fn, arg, USE_ONCE);
	return end_reading(cut, err);
}

int ps_cut_changed_pieces(struct ps_cut *cut, ps_cut_piece_fn fn, void *arg)
{
	if (!cut || !fn || !cut->id || entry_kind(&cut->entry) != ENTRY_MAP)
		return ps_fail(PS_EINVAL,
		               "ps_cut_changed_pieces: no object with pieces, or an argument is NULL");
	int err = begin_reading(cut);
	if (!err)
		err = tell_map(cut, true, fn, arg);
	return end_reading(cut, err);
}

struct weighing {
	struct ps_cut_change change;
	uint64_t size;
};

static int weigh_part(void *arg, enum map_part what, const struct blob *blob, uint64_t first, uint64_t count)
{
	struct weighing *w = arg;
	(void)blob;
	w->change.partial |= what == MAP_SAME;
	if (what == MAP_CHANGED)
		w->change.bytes += MIN(count * CHUNK, w->size - first * CHUNK);
	return PS_OK;
}

int ps_cut_changed(struct ps_cut *cut, struct ps_cut_change *change)
{
	if (!cut || !change || !cut->id || entry_kind(&cut->entry) != ENTRY_MAP)
		return ps_fail(PS_EINVAL, "ps_cut_changed: no object with pieces, or an argument is NULL");
	struct weighing w = {.size = entry_size(&cut->entry)};
	int err = begin_reading(cut);
	if (!err)
		err = map_since(cut->s, cut->id, &cut->entry, (uint32_t)cut->from.interval, weigh_part, &w);
	err = end_reading(cut, err);
	if (!err)
		*change = w.change;
	return err;
}
