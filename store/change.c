/* A change on its way into a commit: its new contents, what it takes and what it gives back. */
#include <sys/param.h>

#include "store/base_internal.h"

void change_init(struct change *c, enum change_kind kind, ps_id id)
{
	change_init_in(c, kind, id, NULL);
	c->own = (struct write_set){0};
}

void change_init_in(struct change *c, enum change_kind kind, ps_id id, struct write_set *set)
{
	memset(c, 0, offsetof(struct change, expected));
	c->kind = kind;
	c->id = id;
	c->set = set;
}

int extent_list_add(struct store *s, struct extent_list *list, struct ps_extent extent)
{
	enum { FIRST = sizeof(list->first) / sizeof(list->first[0]) };
	if (!list->more && list->count < FIRST) {
		list->first[list->count++] = extent;
		return PS_OK;
	}
	if (list->count >= list->size) {
		uint32_t size = list->count * 2;
		struct ps_extent *more = ps_memory_resize(&s->memory, list->more, list->size * sizeof(*more), size * sizeof(*more));
		if (!more)
			return ps_fail(PS_ENOMEM, "%s: no memory for a list of extents", s->path);
		if (!list->more)
			memcpy(more, list->first, sizeof(list->first));
		list->more = more;
		list->size = size;
	}
	list->more[list->count++] = extent;
	return PS_OK;
}

void extent_list_free(struct store *s, struct extent_list *list)
{
	if (list->more)
		ps_memory_free(&s->memory, list->more, list->size * sizeof(*list->more));
	list->more = NULL;
	list->count = list->size = 0;
}

void change_done(struct store *s, struct change *c)
{
	extent_list_free(s, &c->taken);
	extent_list_free(s, &c->given);
	if (c->fresh)
		ps_memory_free(&s->memory, c->fresh, c->fresh_size * sizeof(*c->fresh));
	if (c->copy)
		ps_memory_free(&s->memory, c->copy, c->copy_size);
	c->fresh = NULL;
	c->copy = NULL;
	c->fresh_count = 0;
}

/* ---- what it took ------------------------------------------------------------------------------------------------------- */

void change_set_place(struct change *c, unsigned class, uint64_t place)
{
	entry_set_place(&c->entry, class, place);
	c->placed = true;
}

struct ps_extent change_placed(const struct store *s, const struct change *c)
{
	if (entry_class(&c->entry))
		return entry_extent(s->classes, &c->entry);
	return (struct ps_extent){entry_place(&c->entry), extent_len(c->packed ? entry_size(&c->entry) : c->nbytes)};
}

unsigned change_route(const struct store *s, const struct change *c)
{
	uint32_t most = atomic_load_explicit(&s->route_max, memory_order_relaxed);
	return c->nbytes <= most && entry_kind(&c->entry) == ENTRY_DATA ? ps_class_for(s->classes, c->nbytes) : 0;
}

/* What it holds of the file that is neither free nor any object's yet. */
uint64_t change_taken_bytes(const struct store *s, const struct change *c)
{
	uint64_t bytes = c->placed && !c->in_reserve ? change_placed(s, c).len : 0;
	for (size_t i = 0; i < c->taken.count; i++)
		bytes += extent_list_items(&c->taken)[i].len;
	return bytes;
}

void change_undo(struct store *s, struct change *c)
{
	/* Space that a request is still on its way to is not given back. */
	if (!c->set)
		staging_abandon(s, &c->own);
	else if (c->taken.count || c->packed)
		(void)staging_wait(s, c->set);
	if (c->pinned)
		pool_unpin(&s->pool, entry_frame(s, &c->entry));
	c->pinned = false;
	pthread_mutex_lock(&s->lock);
	s->uncommitted_bytes -= change_taken_bytes(s, c);
	for (size_t i = 0; i < c->taken.count; i++)
		space_free_now(&s->space, extent_list_items(&c->taken)[i]);
	if (c->placed && !c->in_reserve)
		space_free_slot_now(&s->space, entry_class(&c->entry), change_placed(s, c));
	pthread_mutex_unlock(&s->lock);
	c->placed = c->in_reserve = c->packed = false;
	extent_list_free(s, &c->taken);
	extent_list_free(s, &c->given);
	c->fresh_count = 0;
}

/* ---- contents ----------------------------------------------------------------------------------------------------------- */

int change_set_bytes(struct store *s, struct change *c, const uint8_t *bytes, uint32_t len)
{
	uint8_t *copy = ps_memory_alloc(&s->memory, len);
	if (!copy)
		return ps_fail(PS_ENOMEM, "%s: no memory for %u bytes", s->path, len);
	memcpy(copy, bytes, len);
	ps_memory_free(&s->memory, c->copy, c->copy_size);
	c->copy = copy;
	c->copy_size = len;
	c->bytes = copy;
	c->nbytes = len;
	return PS_OK;
}

void change_keep_resident(struct store *s, struct change *c, const struct entry *old, uint64_t index)
{
	bool data = entry_kind(old) == ENTRY_DATA && index == 0;
	/* What comes back is kept as its reader asked for. */
	if (entry_kind(old) == ENTRY_AWAY)
		return;
	if (data && entry_size(old) >= PAGE)
		c->keep = atomic_load_explicit(pool_state(&s->pool, entry_place(old)), memory_order_relaxed) & PAGE_RESIDENT;
	else
		c->keep = data || (entry_kind(old) == ENTRY_MAP && map_chunk_is_resident(s, old, index));
}

/* For new contents of an object that lives. What cannot be found out now the commit will meet again. */
static void keep_if_resident(struct store *s, struct change *c)
{
	struct entry old;
	if (c->kind != CHANGE_SET || c->stream)
		return;
	space_hold(&s->space, id_slot(c->id));
	if (table_read(&s->table, id_slot(c->id), &old) == PS_OK)
		change_keep_resident(s, c, &old, 0);
	space_unhold(&s->space, id_slot(c->id));
}

static int contents_blob(struct store *s, struct change *c, const void *data, uint64_t len)
{
	uint64_t seed = seed_contents(c->id);
	struct map_chunk out;
	if (len <= (c->direct_pages ? PAGE - 1 : s->inline_max)) {
		c->entry = entry_make(ENTRY_DATA, 0, len, blob_checksum(seed, data, len), 0, id_generation(c->id));
		c->bytes = data;
		c->nbytes = (uint32_t)len;
		return PS_OK;
	}
	keep_if_resident(s, c);
	int err = change_write(s, c, data, len, seed, &out);
	if (!err)
		c->entry = entry_make(ENTRY_DATA, out.place, len, out.checksum, 0, id_generation(c->id));
	return err;
}

static int contents_map(struct store *s, struct change *c, const void *data, uint64_t len)
{
	struct map_writer m;
	c->stream = len > s->budget / 8;
	keep_if_resident(s, c);
	map_writer_init(&m, s, c, NULL);
	int err = map_write_chunks(&m, 0, data, len);
	if (!err)
		err = map_writer_finish(&m, len);
	map_writer_done(&m);
	return err;
}

int change_contents(struct store *s, struct change *c, const void *data, uint64_t len)
{
	c->bytes = NULL;
	c->nbytes = 0;
	if (!len) {
		c->entry = entry_make(ENTRY_ZERO, 0, 0, 0, 0, id_generation(c->id));
		return PS_OK;
	}
	return len <= CHUNK ? contents_blob(s, c, data, len) : contents_map(s, c, data, len);
}

static int give_one(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	(void)chunk;
	struct {
		struct store *s;
		struct change *c;
	} *to = arg;
	(void)blob;
	return extent_list_add(to->s, &to->c->given, extent);
}

/* For a map the whole tree is walked, under a hold. An unreadable map does not keep its object from going: what it named is
 * found again when the free space is next derived. */
int change_expect(struct store *s, struct change *c)
{
	struct {
		struct store *s;
		struct change *c;
	} to = {s, c};
	space_hold(&s->space, id_slot(c->id));
	int err = object_entry(s, c->id, &c->expected);
	if (!err && entry_kind(&c->expected) == ENTRY_MAP) {
		c->has_expected = true;
		err = map_extents(s, c->id, &c->expected, give_one, &to);
		if (err == PS_ECORRUPT || err == PS_EIO) {
			atomic_store(&s->space.lost, true);
			err = PS_OK;
		}
	}
	space_unhold(&s->space, id_slot(c->id));
	return err;
}

/* ---- changes on changes (batches) ----------------------------------------------------------------------------------------- */

/* Gives the map root of an uncommitted change its place, so that the object can be read before it is
 * committed. */
static int settle(struct store *s, struct change *c)
{
	struct ps_extent extent;
	bool empty = false;
	if (!c->nbytes || c->pinned)
		return PS_OK;
	pthread_mutex_lock(&s->lock);
	int err = store_begin_writing(s);
	if (!err)
		err = space_alloc(&s->space, c->nbytes, &extent, &empty);
	if (!err)
		s->uncommitted_bytes += extent.len;
	pthread_mutex_unlock(&s->lock);
	if (err)
		return err;
	/* The root's, not a class's: other changes may take this one's extents over. */
	change_set_place(c, 0, extent.offset);
	err = c->nbytes < PAGE ? pool_pin_shared(&s->pool, 0, extent.offset, empty) : pool_fresh(&s->pool, extent.offset, extent.len);
	if (err)
		return err;
	c->pinned = true;
	pthread_mutex_lock(&s->lock);
	memcpy(pool_address(&s->pool, extent.offset), c->bytes, c->nbytes);
	if (c->nbytes < PAGE)
		pool_set_verified(&s->pool, 0, extent.offset);
	pthread_mutex_unlock(&s->lock);
	return PS_OK;
}

static int merge_lists(struct store *s, struct extent_list *to, const struct extent_list *from)
{
	int err = PS_OK;
	for (size_t i = 0; i < from->count && !err; i++)
		err = extent_list_add(s, to, extent_list_items(from)[i]);
	return err;
}

/* What the old change took, the new one answers for. */
static int inherit(struct store *s, struct change *next, struct change *c)
{
	int err = merge_lists(s, &next->taken, &c->taken);
	if (!err)
		err = merge_lists(s, &next->given, &c->given);
	for (uint32_t i = 0; i < c->fresh_count && !err; i++)
		err = change_add_fresh(s, next, &c->fresh[i]);
	if (!err && c->placed && !c->in_reserve)
		err = extent_list_add(s, &next->taken, (struct ps_extent){entry_place(&c->entry), extent_len(c->nbytes)});
	/* Contents that were written but never committed: nothing else knows of them. */
	if (!err && entry_kind(&c->entry) == ENTRY_DATA && !c->nbytes)
		err = extent_list_add(s, &next->given, (struct ps_extent){entry_place(&c->entry), extent_len(entry_size(&c->entry))});
	next->expected = c->expected;
	next->has_expected = c->has_expected;
	return err;
}

/* The old change's extents live on in the new one, or are among what it gives back. */
static void replace_change(struct store *s, struct change *c, const struct change *next)
{
	if (c->pinned)
		pool_unpin(&s->pool, entry_place(&c->entry));
	change_done(s, c);
	*c = *next;
}

int change_write_over(struct store *s, struct change *c, uint64_t off, const void *data, uint64_t len)
{
	struct change next;
	uint64_t size = MAX(entry_size(&c->entry), off + len);
	change_init(&next, c->kind, c->id);
	next.set = c->set;
	next.has_births = c->has_births;
	next.births_from = c->births_from;
	int err = change_wait(s, c);
	if (!err && entry_kind(&c->entry) == ENTRY_MAP)
		err = settle(s, c);
	if (!err)
		err = change_range(s, &next, &c->entry, c->bytes, size, off, data, len);
	if (!err)
		err = change_wait(s, &next);
	uint32_t own = next.taken.count;
	if (!err)
		err = inherit(s, &next, c);
	if (err) {
		/* What was merged stays the old change's. */
		next.taken.count = own;
		change_undo(s, &next);
		change_done(s, &next);
		return err;
	}
	replace_change(s, c, &next);
	return PS_OK;
}
