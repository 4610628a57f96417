/* Reading objects: get, read_at, get_many, views, info.
 *
 * The fast path takes no lock and no hold: entry, pin, look again whether the entry is still the same. The slow path (a page
 * that is not in memory, a large object) holds the slot first, so that no space of the object is used anew meanwhile. */
#include <sched.h>
#include <sys/mman.h>
#include <sys/param.h>

#include "store/resident.h"

#include "store/known_runs.h"

int not_found(struct store *s, ps_id id)
{
	return ps_fail(PS_ENOTFOUND, "%s: object 0x%llx does not exist", s->path, (unsigned long long)id);
}

struct blob entry_blob(ps_id id, const struct entry *e)
{
	bool map = entry_kind(e) == ENTRY_MAP;
	return (struct blob){entry_place(e), entry_blob_len(e), map ? seed_node(id, entry_level(e), 0) : seed_contents(id), e->w[2],
			     entry_class(e)};
}

static bool lives(const struct entry *e, ps_id id)
{
	return entry_lives(e) && entry_generation(e) == id_generation(id);
}

/* Nothing is read while a commit of several objects is half visible. */
static void wait_for_batches(struct store *s)
{
	while (atomic_load_explicit(&s->batch_sequence, memory_order_acquire) & 1)
		sched_yield();
}

/* Under no lock: makes room for the leaf. */
static int read_table(struct store *s, uint64_t slot, struct entry *e)
{
	struct budget_patience patience = {0};
	int err;
	do
		err = table_read(&s->table, slot, e);
	while (err == PS_ENOMEM && budget_relieve(s, &patience));
	return err;
}

int object_entry(struct store *s, ps_id id, struct entry *e)
{
	wait_for_batches(s);
	int err = read_table(s, id_slot(id), e);
	if (!err && entry_kind(e) == ENTRY_UNKNOWN) {
		err = unknown_get(s, id_slot(id), e);
		if (!err)
			err = read_table(s, id_slot(id), e);
	}
	return err ? err : lives(e, id) ? PS_OK : not_found(s, id);
}

/* Under a hold: the entry and all that hangs from it stay as they are. */
static int hold_entry(struct store *s, ps_id id, struct entry *e)
{
	space_hold(&s->space, id_slot(id));
	int err = object_entry(s, id, e);
	if (err)
		space_unhold(&s->space, id_slot(id));
	return err;
}

enum { CHUNK_AWAY = 100 }; /* not an error: it has to be fetched */

static int read_chunk(struct store *s, ps_id id, const struct entry *e, uint64_t off, uint8_t *buf, size_t len)
{
	struct map_chunk chunk;
	uint64_t index = off / CHUNK, within = off % CHUNK;
	const uint8_t *data;
	int err = map_lookup(s, id, e, index, &chunk);
	if (err)
		return err;
	if (chunk_is_away(&chunk))
		return CHUNK_AWAY;
	size_t there = chunk.len > within ? (size_t)MIN(chunk.len - within, (uint64_t)len) : 0;
	memset(buf + there, 0, len - there);
	if (!there)
		return PS_OK;
	struct blob b = {chunk.place, chunk.len, seed_chunk(id, index), chunk.checksum, 0};
	err = pool_pin(&s->pool, &b, id, &data);
	if (err)
		return err;
	memcpy(buf, data + within, there);
	pool_unpin(&s->pool, b.place);
	return PS_OK;
}

static int read_map(struct store *s, ps_id id, const struct entry *e, uint64_t off, uint8_t *buf, size_t len, enum object_use use)
{
	int err = PS_OK;
	while (len && !err) {
		size_t step = (size_t)MIN((uint64_t)len, CHUNK - off % CHUNK);
		err = read_chunk(s, id, e, off, buf, step);
		if (err == CHUNK_AWAY || fault_heals(s, e, err)) {
			step = len;
			err = fault_read(s, id, e, off, buf, &step, use);
		}
		off += step;
		buf += step;
		len -= step;
	}
	return err;
}

static int read_windows(struct store *s, ps_id id, const struct entry *e, uint64_t off, uint8_t *buf, size_t len, enum object_use use)
{
	enum { WINDOW = PREFETCH_CHUNKS / 2 * CHUNK };
	int err = PS_OK;
	while (len && !err) {
		size_t step = MIN(len, (size_t)WINDOW);
		prefetch_chunks(s, id, e, off, step);
		err = read_map(s, id, e, off, buf, step, use);
		off += step;
		buf += step;
		len -= step;
	}
	return err;
}

/* The caller holds the slot, and off + len is within the object. */
int object_read(struct store *s, ps_id id, const struct entry *e, uint64_t off, uint8_t *buf, size_t len, enum object_use use)
{
	const uint8_t *data;
	if (!len)
		return PS_OK;
	if (entry_kind(e) == ENTRY_MAP)
		return read_windows(s, id, e, off, buf, len, use);
	if (entry_kind(e) == ENTRY_AWAY)
		return fault_read(s, id, e, off, buf, &len, use);
	if (entry_kind(e) != ENTRY_DATA) {
		memset(buf, 0, len);
		return PS_OK;
	}
	struct blob b = entry_blob(id, e);
	int err = pool_pin(&s->pool, &b, id, &data);
	if (fault_heals(s, e, err))
		return fault_read(s, id, e, off, buf, &len, use);
	if (err)
		return err;
	memcpy(buf, data + off, len);
	pool_unpin(&s->pool, blob_frame(&s->pool, &b));
	return PS_OK;
}

static int too_small(struct store *s, ps_id id, uint64_t size, size_t cap)
{
	return ps_fail(PS_ERANGE, "%s: object 0x%llx has %llu bytes, the buffer %zu", s->path, (unsigned long long)id,
		       (unsigned long long)size, cap);
}

/* Under a hold of the slot. `whole`: the buffer must hold all of the object. */
static int read_held(struct store *s, ps_id id, const struct entry *e, uint64_t off, void *buf, size_t cap, size_t *got, bool whole)
{
	uint64_t size = entry_size(e);
	size_t len = off >= size ? 0 : (size_t)MIN(size - off, (uint64_t)cap);
	if (whole && size > cap) {
		*got = size;
		return too_small(s, id, size, cap);
	}
	int err = object_read(s, id, e, off, buf, len, USE_READ);
	if (!err)
		*got = len;
	return err;
}

/* What was to be fetched may be of a version that is no longer kept where it was: then the one that took its place is read. */
enum { READ_TRIES = 4 };

/* After a read that failed: is it worth another? */
static bool read_again(struct store *s, ps_id id, const struct entry *e, int err, int *tries, struct budget_patience *patience)
{
	if (!err || err == PS_ERANGE)
		return false;
	if (err == PS_ENOMEM)
		return budget_relieve(s, patience);
	return --*tries && fault_outdated(s, id, e);
}

static __attribute__((noinline)) int read_object(struct store *s, ps_id id, uint64_t off, void *buf, size_t cap, size_t *got, bool whole)
{
	struct budget_patience patience = {0};
	struct entry e;
	int err, tries = READ_TRIES;
	do {
		err = hold_entry(s, id, &e);
		if (err)
			return err;
		budget_enter(s);
		err = read_held(s, id, &e, off, buf, cap, got, whole);
		budget_leave(s);
		space_unhold(&s->space, id_slot(id));
	} while (read_again(s, id, &e, err, &tries, &patience));
	return err ? store_end_call(s, err) : PS_OK;
}

/* Of what is wanted at `off` the object has so much. */
static inline size_t reach(uint64_t size, uint64_t off, size_t len)
{
	return off >= size ? 0 : (size_t)MIN(size - off, (uint64_t)len);
}

/* What no copy without a pin could be had of, or is long. */
static __attribute__((noinline)) int read_pinned(struct store *s, ps_id id, uint64_t off, void *buf, size_t len, size_t *got, bool whole)
{
	struct resident r;
	if (resident_pin(s, id, &r)) {
		bool fits = !whole || r.len <= len;
		size_t step = reach(r.len, off, len);
		if (fits) {
			memcpy(buf, r.data + (step ? off : 0), step);
			*got = step;
		}
		resident_unpin(&r);
		if (fits)
			return PS_OK;
	}
	return read_object(s, id, off, buf, len, got, whole);
}

int base_get(ps_storer *st, ps_id id, void *buf, size_t cap, size_t *len)
{
	struct store *s = store_of(st);
	struct resident r;
	if (resident_find(s, id, &r) && r.len <= cap && resident_copy(&s->pool, &r, 0, buf, r.len)) {
		*len = r.len;
		return PS_OK;
	}
	return read_pinned(s, id, 0, buf, cap, len, true);
}

int base_read_at(ps_storer *st, ps_id id, uint64_t off, void *buf, size_t len, size_t *got)
{
	struct store *s = store_of(st);
	struct resident r;
	if (resident_find(s, id, &r) && off < r.len) {
		size_t step = reach(r.len, off, len);
		if (resident_copy(&s->pool, &r, off, buf, step)) {
			*got = step;
			return PS_OK;
		}
	}
	return read_pinned(s, id, off, buf, len, got, false);
}

/* ---- many reads ---------------------------------------------------------------------------------------------------- */

/* Entries of one point of the commit order: none was ordered while they were read. */
static int snapshot_entries(struct store *s, size_t n, struct ps_get_many *reqs, struct entry *entries)
{
	for (int tries = 0;; tries++) {
		bool locked = tries >= 8;
		if (locked)
			pthread_mutex_lock(&s->lock);
		uint32_t before = atomic_load(&s->commit_sequence);
		for (size_t i = 0; i < n; i++) {
			reqs[i].len = 0;
			reqs[i].status = table_read(&s->table, id_slot(reqs[i].id), &entries[i]);
			if (!reqs[i].status && entry_kind(&entries[i]) != ENTRY_UNKNOWN && !lives(&entries[i], reqs[i].id))
				reqs[i].status = not_found(s, reqs[i].id);
		}
		uint32_t after = atomic_load(&s->commit_sequence);
		if (locked)
			pthread_mutex_unlock(&s->lock);
		if (locked || (before == after && !(before & 1)))
			return PS_OK;
	}
}

/* What is unknown is asked for outside of that moment, and then all are looked at anew. */
static void know_entries(struct store *s, size_t n, struct ps_get_many *reqs, struct entry *entries)
{
	struct budget_patience patience = {0};
	bool again;
	do {
		size_t wanted = 0;
		again = false;
		(void)snapshot_entries(s, n, reqs, entries);
		for (size_t i = 0; i < n; i++) {
			if (reqs[i].status == PS_ENOMEM && !again)
				again = budget_relieve(s, &patience);
			if (reqs[i].status || entry_kind(&entries[i]) != ENTRY_UNKNOWN)
				continue;
			if (i >= wanted)
				wanted = want_reads(s, reqs, entries, i, n);
			reqs[i].status = unknown_get(s, id_slot(reqs[i].id), &entries[i]);
			again = again || !reqs[i].status;
		}
	} while (again);
}

static void read_one(struct store *s, struct ps_get_many *r, const struct entry *e)
{
	uint64_t size = entry_size(e);
	size_t len = r->offset >= size ? 0 : (size_t)MIN(size - r->offset, (uint64_t)r->cap);
	struct budget_patience patience = {0};
	do {
		budget_enter(s);
		r->status = object_read(s, r->id, e, r->offset, r->buf, len, USE_READ);
		budget_leave(s);
	} while (r->status == PS_ENOMEM && budget_relieve(s, &patience));
	r->len = r->status ? 0 : len;
}

int base_get_many(ps_storer *st, size_t n, struct ps_get_many *reqs)
{
	struct store *s = store_of(st);
	struct entry *entries = ps_memory_alloc(&s->memory, n * sizeof(*entries));
	struct prefetch prefetch;
	if (!entries)
		return ps_fail(PS_ENOMEM, "%s: no memory for %zu reads", s->path, n);
	prefetch_begin(&prefetch, s);
	for (size_t i = 0; i < n; i++)
		space_hold(&s->space, id_slot(reqs[i].id));
	know_entries(s, n, reqs, entries);
	budget_enter(s);
	for (size_t i = 0; i < n; i++) {
		if (!reqs[i].status && entry_kind(&entries[i]) == ENTRY_DATA) {
			struct blob b = entry_blob(reqs[i].id, &entries[i]);
			prefetch_blob(&prefetch, &b, reqs[i].id);
		}
	}
	prefetch_wait(&prefetch);
	budget_leave(s);
	for (size_t i = 0, wanted = 0; i < n; i++) {
		if (i >= wanted)
			wanted = want_reads(s, reqs, entries, i, n);
		if (!reqs[i].status)
			read_one(s, &reqs[i], &entries[i]);
		space_unhold(&s->space, id_slot(reqs[i].id));
	}
	ps_memory_free(&s->memory, entries, n * sizeof(*entries));
	return PS_OK;
}

/* ---- views ------------------------------------------------------------------------------------------------------------ */

enum view_kind { VIEW_EMPTY = 0, VIEW_PINNED = 1, VIEW_CHUNKS = 2, VIEW_ASSEMBLED = 3, VIEW_IN_SLOT = 4 };

/* A view of one extent is counted by its pin alone, however that is made: close looks for pins. */
static void view_fill(struct ps_view *v, ps_storer *st, ps_id id, const void *data, size_t len, enum view_kind kind,
		      uint64_t a, uint64_t b)
{
	*v = (struct ps_view){data, len, id, st, {kind, a, b, 0}};
	if (kind != VIEW_PINNED && kind != VIEW_IN_SLOT)
		atomic_fetch_add_explicit(&st->sessions, 1, memory_order_relaxed);
}

static void unpin_chunks(struct store *s, uint64_t place, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		pool_unpin(&s->pool, place + i * CHUNK);
}

/* Pins chunks that lie one after another in the file: *count of them, 0 if the range is not in one piece. */
static int pin_chunks(struct store *s, ps_id id, const struct entry *e, uint64_t first, uint64_t last, uint64_t *place,
		      uint64_t *count)
{
	const uint8_t *data;
	*count = 0;
	for (uint64_t i = first; i <= last; i++) {
		struct map_chunk c;
		int err = map_lookup(s, id, e, i, &c);
		uint64_t full = MIN((uint64_t)CHUNK, entry_size(e) - i * CHUNK);
		if (!err && i == first)
			*place = c.place;
		bool piece = !err && c.place && c.place == *place + (i - first) * CHUNK && c.len == full;
		struct blob b = {c.place, c.len, seed_chunk(id, i), c.checksum, 0};
		if (piece)
			err = pool_pin(&s->pool, &b, id, &data);
		if (err || !piece) {
			unpin_chunks(s, *place, *count);
			*count = 0;
			return err;
		}
		++*count;
	}
	return PS_OK;
}

static int view_assembled(struct store *s, ps_id id, const struct entry *e, uint64_t off, size_t len, struct ps_view *v)
{
	size_t bytes = (len + PAGE - 1) & ~(size_t)(PAGE - 1);
	int err = budget_take(s, bytes);
	if (err)
		return err;
	void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (data == MAP_FAILED) {
		budget_give(s, bytes);
		return ps_fail(PS_ENOMEM, "%s: no memory for a view of %zu bytes", s->path, len);
	}
	err = object_read(s, id, e, off, data, len, USE_READ);
	if (err) {
		munmap(data, bytes);
		budget_give(s, bytes);
		return err;
	}
	view_fill(v, &s->storer, id, data, len, VIEW_ASSEMBLED, (uint64_t)(uintptr_t)data, bytes);
	return PS_OK;
}

static int view_held(struct store *s, ps_id id, const struct entry *e, uint64_t off, size_t len, struct ps_view *v)
{
	const uint8_t *data;
	uint64_t place = 0, count = 0;
	if (entry_kind(e) == ENTRY_DATA) {
		struct blob b = entry_blob(id, e);
		int err = pool_pin(&s->pool, &b, id, &data);
		if (!err)
			view_fill(v, &s->storer, id, data + off, len, VIEW_PINNED, blob_frame(&s->pool, &b), 0);
		if (!fault_heals(s, e, err))
			return err;
	}
	if (entry_kind(e) == ENTRY_MAP) {
		uint64_t removals = pool_removals(&s->pool);
		prefetch_chunks(s, id, e, off, len);
		int err = pin_chunks(s, id, e, off / CHUNK, (off + len - 1) / CHUNK, &place, &count);
		if (err && !fault_heals(s, e, err))
			return err;
		if (count) {
			if (count == (entry_size(e) + CHUNK - 1) / CHUNK)
				known_runs_note(s, id, e, place, removals);
			pin_slots_consider(&s->pool);
			view_fill(v, &s->storer, id, pool_address(&s->pool, place) + off % CHUNK, len, VIEW_CHUNKS, place, count);
			return PS_OK;
		}
	}
	return view_assembled(s, id, e, off, len, v);
}

/* Under a hold of the slot. */
static int view_range(struct store *s, ps_id id, const struct entry *e, uint64_t off, size_t len, bool whole, struct ps_view *v)
{
	static const uint64_t nothing[2] __attribute__((aligned(PAGE)));
	uint64_t size = entry_size(e);
	if (whole)
		len = (size_t)size;
	if (off + len > size)
		return ps_fail(PS_ERANGE, "%s: object 0x%llx has %llu bytes, not %llu", s->path, (unsigned long long)id,
			       (unsigned long long)size, (unsigned long long)(off + len));
	if (len)
		return view_held(s, id, e, off, len, v);
	view_fill(v, &s->storer, id, nothing, 0, VIEW_EMPTY, 0, 0);
	return PS_OK;
}

static __attribute__((noinline)) int view_object(struct store *s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *v)
{
	struct budget_patience patience = {0};
	struct entry e;
	int err, tries = READ_TRIES;
	do {
		err = hold_entry(s, id, &e);
		if (err)
			return err;
		budget_enter(s);
		err = view_range(s, id, &e, off, len, whole, v);
		budget_leave(s);
		space_unhold(&s->space, id_slot(id));
	} while (read_again(s, id, &e, err, &tries, &patience));
	return err ? store_end_call(s, err) : PS_OK;
}

/* A large object that is in memory, in one piece. */
static bool view_run(struct store *s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *v)
{
	struct run run;
	if (!known_run_pin(s, id, &run))
		return false;
	if (whole || (len && off + len <= run.size)) {
		view_fill(v, &s->storer, id, run.data + off, whole ? (size_t)run.size : len, VIEW_IN_SLOT,
			  (uint64_t)(uintptr_t)run.slot, 0);
		return true;
	}
	pin_slot_release(run.slot);
	return false;
}

static __attribute__((noinline)) int view_pinned(struct store *s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *v)
{
	struct resident r;
	if (resident_pin(s, id, &r)) {
		if (whole || (len && off + len <= r.len)) {
			view_fill(v, &s->storer, id, r.data + off, whole ? (size_t)r.len : len, VIEW_PINNED, r.frame, 0);
			pin_slots_consider(&s->pool);
			return PS_OK;
		}
		resident_unpin(&r);
	}
	if (view_run(s, id, off, len, whole, v))
		return PS_OK;
	return view_object(s, id, off, len, whole, v);
}

int base_view_at(ps_storer *st, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *v)
{
	struct store *s = store_of(st);
	struct resident r;
	_Atomic(uint64_t) *slot = resident_find(s, id, &r) ? resident_name(&s->pool, &r) : NULL;
	if (slot && (whole || (len && off + len <= r.len))) {
		view_fill(v, st, id, r.data + off, whole ? (size_t)r.len : len, VIEW_IN_SLOT, (uint64_t)(uintptr_t)slot, 0);
		return PS_OK;
	}
	if (slot)
		pin_slot_release(slot);
	return view_pinned(s, id, off, len, whole, v);
}

static __attribute__((noinline)) void release_others(struct store *s, const struct ps_view *v)
{
	switch ((enum view_kind)v->hidden[0]) {
	case VIEW_EMPTY:
	case VIEW_PINNED:
	case VIEW_IN_SLOT:
		break;
	case VIEW_CHUNKS:
		unpin_chunks(s, v->hidden[1], v->hidden[2]);
		break;
	case VIEW_ASSEMBLED:
		munmap((void *)(uintptr_t)v->hidden[1], v->hidden[2]);
		budget_give(s, v->hidden[2]);
		break;
	}
	atomic_fetch_sub_explicit(&s->storer.sessions, 1, memory_order_release);
}

int base_view_release(ps_storer *st, struct ps_view *v)
{
	if (v->hidden[0] == VIEW_IN_SLOT)
		pin_slot_release((_Atomic(uint64_t) *)(uintptr_t)v->hidden[1]);
	else if (v->hidden[0] == VIEW_PINNED)
		pool_unpin(&store_of(st)->pool, v->hidden[1]);
	else
		release_others(store_of(st), v);
	v->owner = NULL;
	v->data = NULL;
	v->len = 0;
	return PS_OK;
}

/* ---- info ---------------------------------------------------------------------------------------------------------------- */

static int add_extent(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	(void)chunk;
	(void)blob;
	*(uint64_t *)arg += extent.len;
	return PS_OK;
}

int base_info(ps_storer *st, ps_id id, struct ps_info *info)
{
	struct store *s = store_of(st);
	struct entry e;
	int err = hold_entry(s, id, &e);
	if (err)
		return err;
	struct ps_info out = {.id = id,
			      .size = entry_size(&e),
			      .offset = entry_place(&e),
			      .checksum = e.w[2],
			      .generation = entry_generation(&e),
			      .allocated = entry_extent(s->classes, &e).len,
			      .allocator = entry_class(&e)};
	if (entry_kind(&e) == ENTRY_MAP) {
		struct map_chunk first;
		out.allocated = 0;
		err = map_extents(s, id, &e, add_extent, &out.allocated);
		if (!err)
			err = map_lookup(s, id, &e, 0, &first);
		if (!err)
			out.offset = first.place;
	}
	space_unhold(&s->space, id_slot(id));
	if (!err)
		*info = out;
	return err;
}
