/* Single calls that change the store. Each is one commit. */
#include <sys/param.h>

#include "store/base_internal.h"

/* Contents do not depend on the old object: only what is given back has to be found again. */
int commit_one(struct store *s, struct change *c)
{
	int err;
	while ((err = commit_changes(s, c, 1, PS_DURABILITY_DEFAULT, NULL)) == COMMIT_CHANGED) {
		extent_list_free(s, &c->given);
		err = change_expect(s, c);
		if (err)
			break;
	}
	return err;
}

static int end_change(struct store *s, struct change *c, int err)
{
	if (err && !c->committed)
		change_undo(s, c);
	change_done(s, c);
	return err ? store_end_call(s, err) : PS_OK;
}

static int new_object(struct store *s, struct change *c, ps_id *id)
{
	int err = store_writable(s);
	if (!err)
		err = store_take_id(s, id);
	if (!err)
		change_init(c, CHANGE_NEW, *id);
	return err ? store_end_call(s, err) : PS_OK;
}

static int end_new(struct store *s, struct change *c, int err, ps_id made, ps_id *id)
{
	bool committed = c->committed;
	err = end_change(s, c, err);
	if (err && !committed)
		store_return_ids(s, &made, 1);
	if (!err)
		*id = made;
	return err;
}

typedef int (*write_once_fn)(struct store *s, const void *data, size_t len, ps_id *id, bool *committed);

/* From the beginning each time: what it had taken is given back while others make room. */
static int write_whole(struct store *s, write_once_fn once, const void *data, size_t len, ps_id *id)
{
	struct budget_patience patience = {0};
	bool committed = false;
	int err;
	do {
		budget_enter(s);
		err = once(s, data, len, id, &committed);
		budget_leave(s);
	} while (err == PS_ENOMEM && !committed && budget_relieve(s, &patience));
	return err;
}

static int put_once(struct store *s, const void *data, size_t len, ps_id *id, bool *committed)
{
	struct change c;
	ps_id made;
	int err = new_object(s, &c, &made);
	if (err)
		return err;
	err = change_contents(s, &c, data, len);
	if (!err)
		err = commit_one(s, &c);
	*committed = c.committed;
	return end_new(s, &c, err, made, id);
}

int base_put(ps_storer *st, const void *data, size_t len, ps_id *id)
{
	return write_whole(store_of(st), put_once, data, len, id);
}

int base_alloc(ps_storer *st, uint64_t size, ps_id *id)
{
	struct store *s = store_of(st);
	struct change c;
	ps_id made;
	int err = new_object(s, &c, &made);
	if (err)
		return err;
	c.entry = entry_make(ENTRY_ZERO, 0, size, 0, 0, id_generation(made));
	return end_new(s, &c, commit_one(s, &c), made, id);
}

/* Two threads may both find it missing: the second commit would overwrite the first, hence expected. */
int base_prime(ps_storer *st, uint64_t size, ps_id *id)
{
	struct store *s = store_of(st);
	struct change c;
	struct entry e;
	int err = object_entry(s, PS_ID_PRIME, &e);
	if (err == PS_ENOTFOUND) {
		change_init(&c, CHANGE_NEW, PS_ID_PRIME);
		c.has_expected = true;
		c.entry = entry_make(ENTRY_ZERO, 0, size, 0, 0, 1);
		err = store_writable(s);
		if (!err)
			err = commit_changes(s, &c, 1, PS_DURABILITY_DEFAULT, NULL);
		err = end_change(s, &c, err == COMMIT_CHANGED ? PS_OK : err);
	}
	if (!err && id)
		*id = PS_ID_PRIME;
	return err;
}

static int replace_once(struct store *s, const void *data, size_t len, ps_id *id, bool *committed)
{
	struct change c;
	struct entry e;
	int err = store_writable(s);
	if (!err)
		err = object_entry(s, *id, &e);
	if (err)
		return err;
	change_init(&c, CHANGE_SET, *id);
	err = change_contents(s, &c, data, len);
	if (!err)
		err = commit_one(s, &c);
	*committed = c.committed;
	return end_change(s, &c, err);
}

int base_replace(ps_storer *st, ps_id id, const void *data, size_t len)
{
	return write_whole(store_of(st), replace_once, data, len, &id);
}

int base_delete_object(ps_storer *st, ps_id id)
{
	struct store *s = store_of(st);
	struct change c;
	if (id == PS_ID_PRIME)
		return ps_fail(PS_EINVAL, "%s: the prime object cannot be deleted", s->path);
	int err = store_writable(s);
	if (err)
		return err;
	change_init(&c, CHANGE_DELETE, id);
	change_make_free(s, &c);
	return end_change(s, &c, commit_one(s, &c));
}

/* ---- parts ------------------------------------------------------------------------------------------------------------ */

/* off + len past the end grows the object; len 0 with `resize` sets its size. */
static int range_once(struct store *s, struct change *c, uint64_t off, const void *data, size_t len, bool resize)
{
	space_hold(&s->space, id_slot(c->id));
	int err = object_entry(s, c->id, &c->expected);
	c->has_expected = true;
	struct entry base = c->expected;
	uint64_t size = resize ? off : MAX(entry_size(&base), off + len);
	if (!err)
		err = change_range(s, c, &base, NULL, size, resize ? 0 : off, data, len);
	space_unhold(&s->space, id_slot(c->id));
	return err ? err : commit_changes(s, c, 1, PS_DURABILITY_DEFAULT, NULL);
}

static int change_part(struct store *s, ps_id id, uint64_t off, const void *data, size_t len, bool resize)
{
	struct budget_patience patience = {0};
	struct change c;
	int err = store_writable(s);
	if (err)
		return err;
	do {
		change_init(&c, CHANGE_SET, id);
		budget_enter(s);
		err = end_change(s, &c, range_once(s, &c, off, data, len, resize));
		budget_leave(s);
	} while (err == COMMIT_CHANGED || (err == PS_ENOMEM && !c.committed && budget_relieve(s, &patience)));
	return err;
}

int base_write_at(ps_storer *st, ps_id id, uint64_t off, const void *data, size_t len)
{
	struct entry e;
	if (!len)
		return object_entry(store_of(st), id, &e);
	return change_part(store_of(st), id, off, data, len, false);
}

int base_resize(ps_storer *st, ps_id id, uint64_t size)
{
	return change_part(store_of(st), id, size, NULL, 0, true);
}

/* ---- many objects ----------------------------------------------------------------------------------------------------- */

static int commit_many(struct store *s, struct change *changes, size_t n)
{
	size_t which;
	int err;
	while ((err = commit_changes(s, changes, n, PS_DURABILITY_DEFAULT, &which)) == COMMIT_CHANGED) {
		extent_list_free(s, &changes[which].given);
		err = change_expect(s, &changes[which]);
		if (err)
			break;
	}
	return err;
}

static int end_many(struct store *s, struct change *changes, size_t n, int err)
{
	for (size_t i = 0; i < n; i++)
		(void)end_change(s, &changes[i], err);
	ps_memory_free(&s->memory, changes, n * sizeof(*changes));
	return err;
}

static int compare_ids(const void *a, const void *b)
{
	ps_id x = *(const ps_id *)a, y = *(const ps_id *)b;
	return x < y ? -1 : x > y;
}

static int refuse_twice(struct store *s, size_t n, const ps_id *ids)
{
	ps_id *sorted = ps_memory_alloc(&s->memory, n * sizeof(*sorted));
	int err = PS_OK;
	if (!sorted)
		return ps_fail(PS_ENOMEM, "%s: no memory for %zu ids", s->path, n);
	memcpy(sorted, ids, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_ids);
	for (size_t i = 1; i < n && !err; i++) {
		if (sorted[i] == sorted[i - 1])
			err = ps_fail(PS_EINVAL, "%s: object 0x%llx is named twice", s->path, (unsigned long long)sorted[i]);
	}
	ps_memory_free(&s->memory, sorted, n * sizeof(*sorted));
	return err;
}

int base_write_batched(ps_storer *st, size_t n, const ps_id *ids, const void *data, const size_t *sizes)
{
	struct store *s = store_of(st);
	const uint8_t *at = data;
	struct write_set writes = {0};
	int err = store_writable(s);
	if (!n || err || (err = refuse_twice(s, n, ids)) != PS_OK)
		return err;
	struct change *changes = ps_memory_zalloc(&s->memory, n * sizeof(*changes));
	if (!changes)
		return ps_fail(PS_ENOMEM, "%s: no memory for %zu changes", s->path, n);
	budget_enter(s);
	for (size_t i = 0; i < n && !err; i++) {
		change_init(&changes[i], CHANGE_SET, ids[i]);
		changes[i].set = &writes;
		err = change_contents(s, &changes[i], at, sizes[i]);
		at = at ? at + sizes[i] : NULL;
	}
	if (!err)
		err = commit_many(s, changes, n);
	staging_abandon(s, &writes);
	err = end_many(s, changes, n, err);
	budget_leave(s);
	return err;
}

/* ---- runs --------------------------------------------------------------------------------------------------------------- */

/* Small objects must not straddle a page: their slots are rounded up until a page holds a whole number of them. */
static uint64_t run_slot(uint64_t size)
{
	uint64_t slot = extent_len(size);
	while (slot < PAGE && PAGE % slot)
		slot += GRANULE;
	return slot;
}

static int run_space(struct store *s, uint64_t bytes, struct ps_extent *extent)
{
	pthread_mutex_lock(&s->lock);
	int err = store_begin_writing(s);
	if (!err)
		err = space_alloc(&s->space, MAX(bytes, (uint64_t)PAGE), extent, NULL);
	if (!err)
		s->uncommitted_bytes += extent->len;
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* What no commit made an object's. */
static void run_give(struct store *s, struct ps_extent extent)
{
	if (!extent.len)
		return;
	pthread_mutex_lock(&s->lock);
	s->uncommitted_bytes -= extent.len;
	space_free_now(&s->space, extent);
	pthread_mutex_unlock(&s->lock);
}

/* The slack behind each object, and behind the last, goes back. */
static void run_trim(struct store *s, struct ps_extent extent, uint64_t slot, uint64_t size, size_t count)
{
	uint64_t used = extent_len(size);
	for (size_t i = 0; i < count && used < slot; i++)
		run_give(s, (struct ps_extent){extent.offset + i * slot + used, slot - used});
	uint64_t end = extent.offset + count * slot, page = (end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	uint64_t stop = extent.offset + extent.len;
	run_give(s, (struct ps_extent){end, MIN(page, stop) - end});
	run_give(s, (struct ps_extent){MIN(page, stop), stop - MIN(page, stop)});
}

/* ---- runs in slots of a class ---- */

static int take_slots(struct store *s, unsigned class, size_t count, struct ps_run *run)
{
	pthread_mutex_lock(&s->lock);
	int err = store_begin_writing(s);
	if (!err)
		err = space_alloc_slots(&s->space, class, count, run);
	if (!err)
		s->uncommitted_bytes += count * ps_class_geometry(s->classes, class)->slot_bytes;
	pthread_mutex_unlock(&s->lock);
	return err;
}

static void give_slots(struct store *s, unsigned class, const struct ps_run *run)
{
	const struct ps_class_geometry *g = ps_class_geometry(s->classes, class);
	pthread_mutex_lock(&s->lock);
	s->uncommitted_bytes -= run->count * g->slot_bytes;
	for (uint64_t i = 0; i < run->count; i++)
		space_free_slot_now(&s->space, class, (struct ps_extent){ps_run_place(g, run->first, i), g->slot_bytes});
	pthread_mutex_unlock(&s->lock);
}

/* PS_ENOSPC: the root may have room for the run. */
static int run_in_slots(struct store *s, struct change *changes, unsigned class, uint64_t size, size_t count, ps_id *ids)
{
	const struct ps_class_geometry *g = ps_class_geometry(s->classes, class);
	struct ps_run run;
	size_t made = 0;
	int err = take_slots(s, class, count, &run);
	if (err)
		return err;
	for (; made < count && (err = new_object(s, &changes[made], &ids[made])) == PS_OK; made++) {
		changes[made].entry = entry_make(ENTRY_RESERVED, 0, size, 0, 0, id_generation(ids[made]));
		change_set_place(&changes[made], class, ps_run_place(g, run.first, made));
	}
	if (!err)
		err = commit_many(s, changes, count);
	if (changes[0].committed)
		return err;
	store_return_ids(s, ids, made);
	give_slots(s, class, &run);
	return err;
}

/* ---- runs of the root ---- */

static int run_of_root(struct store *s, struct change *changes, uint64_t size, size_t count, ps_id *ids)
{
	struct ps_extent extent = {0};
	uint64_t slot = run_slot(size);
	size_t made = 0;
	int err = run_space(s, slot * count, &extent);
	for (; made < count && !err; made++) {
		err = new_object(s, &changes[made], &ids[made]);
		if (err)
			break;
		uint64_t place = extent.offset + made * slot;
		changes[made].entry = entry_make(ENTRY_RESERVED, place, size, 0, 0, id_generation(ids[made]));
		/* The first extent of a list needs no memory. */
		err = extent_list_add(s, &changes[made].taken, (struct ps_extent){place, extent_len(size)});
	}
	if (!err)
		err = commit_many(s, changes, count);
	bool committed = changes[0].committed;
	store_return_ids(s, ids, committed ? 0 : made);
	if (committed)
		run_trim(s, extent, slot, size, count);
	else
		run_give(s, extent);
	return err;
}

int base_alloc_run(ps_storer *st, uint64_t size, size_t count, ps_id *ids)
{
	struct store *s = store_of(st);
	int err = store_writable(s);
	if (err)
		return err;
	if (size > CHUNK)
		return ps_fail(PS_ERANGE, "%s: objects of a run have at most %d bytes", s->path, CHUNK);
	struct change *changes = ps_memory_zalloc(&s->memory, count * sizeof(*changes));
	if (!changes)
		return ps_fail(PS_ENOMEM, "%s: no memory for a run of %zu objects", s->path, count);
	unsigned class = size && size <= atomic_load(&s->route_max) ? ps_class_for(s->classes, size) : 0;
	err = class ? run_in_slots(s, changes, class, size, count, ids) : PS_ENOSPC;
	if (err == PS_ENOSPC && !changes[0].committed) {
		memset(changes, 0, count * sizeof(*changes));
		err = run_of_root(s, changes, size, count, ids);
	}
	ps_memory_free(&s->memory, changes, count * sizeof(*changes));
	return err;
}
