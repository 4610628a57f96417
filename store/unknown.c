/* What is unknown: slots of a store that was restored without all of its objects (ps_restore_rest). What they
 * have the backing says when they are first touched.
 *
 * A leaf below table.unknown that is nowhere reads as entries of kind UNKNOWN. Each of these is learned once,
 * by a relaxed commit that changes nothing else, as what comes back gets its place: so a crash leaves it
 * known or unknown, and what was changed afterwards has its knowledge in the log before it. Learned contents
 * are away: they are fetched when they are read, and compared with a checksum that was made of what was told.
 * A large object gets a map of chunks that are away and have none yet (0): it is made when they come, and
 * until then they are as good as whoever brings them.
 *
 * Behind the last of these slots stands an entry that is no object, SUMS: how many objects and bytes are
 * unknown. Every commit that learns something writes it, too, so a crash cannot part them. */
#include <sys/param.h>

#include "store/base_internal.h"

struct learning {
	struct store *s;
	uint64_t next, end;     /* slots: the next one, and where they end */
	struct change *changes; /* FANOUT, and one for the sums */
	size_t count, most;
};

int unknown_attach(struct store *s)
{
	struct table *t = &s->table;
	struct entry e = {0};
	uint64_t slot = atomic_load(&t->unknown);
	int err = slot ? table_get(t, slot, &e) : PS_OK;
	if (!err && entry_kind(&e) == ENTRY_SUMS) {
		t->unknown_objects = e.w[1];
		t->unknown_bytes = e.w[2];
		t->unknown_interval = entry_interval(&e);
	}
	/* Without them what is known goes on to be of use. */
	return err == PS_ECORRUPT || err == PS_EIO ? PS_OK : err;
}

struct entry unknown_sums_after(const struct store *s, const struct change *changes, size_t n)
{
	const struct table *t = &s->table;
	uint64_t objects = t->unknown_objects, bytes = t->unknown_bytes;
	for (size_t i = 0; i < n; i++) {
		const struct entry *e = &changes[i].entry;
		if (!entry_lives(e))
			continue;
		objects -= MIN(objects, (uint64_t)1);
		bytes -= MIN(bytes, entry_size(e));
	}
	struct entry sums = entry_make(ENTRY_SUMS, 0, objects, bytes, 0, 0);
	entry_set_interval(&sums, t->unknown_interval);
	return sums;
}

/* ---- what is told ---- */

static int refuse(const struct learning *l, uint64_t slot)
{
	return ps_fail(PS_ECORRUPT, "%s: what was told of slot %llu no store has", l->s->path,
	               (unsigned long long)slot);
}

static bool object_possible(const struct learning *l, uint64_t slot, const struct ps_cut_object *o,
                            const void *bytes)
{
	bool named = id_slot(o->id) == slot && id_generation(o->id) && o->interval &&
	             o->interval <= l->s->table.unknown_interval;
	switch (o->kind) {
	case PS_CUT_GONE:
		return named && slot && o->crashes <= UINT32_MAX;
	case PS_CUT_ZERO:
		return named && o->size <= PS_SIZE_MAX;
	case PS_CUT_BYTES:
		return named && bytes && o->size && o->size <= CHUNK;
	case PS_CUT_CHUNKS:
		return named && o->size > CHUNK && o->size <= PS_SIZE_MAX;
	default:
		return false;
	}
}

/* All chunks are away. Their births are the object's interval: not before the true ones. */
static int make_map(struct store *s, struct change *c, const struct ps_cut_object *o)
{
	struct map_writer m;
	c->stream = true;
	map_writer_init(&m, s, c, NULL);
	m.interval = (uint32_t)o->interval;
	int err = PS_OK;
	for (uint64_t at = 0; at < o->size && !err; at += CHUNK) {
		uint32_t len = (uint32_t)MIN(o->size - at, (uint64_t)CHUNK);
		err = map_writer_put(&m, at / CHUNK, &(struct map_chunk){0, len, 0});
	}
	if (!err)
		err = map_writer_finish(&m, o->size);
	map_writer_done(&m);
	return err;
}

static int make_entry(struct store *s, struct change *c, const struct ps_cut_object *o, const void *bytes)
{
	uint32_t generation = id_generation(o->id);
	int err = PS_OK;
	switch (o->kind) {
	case PS_CUT_GONE:
		c->entry = (struct entry){{0, 0, 0, generation | o->crashes << 32}};
		break;
	case PS_CUT_ZERO:
		c->entry = entry_make(ENTRY_ZERO, 0, o->size, 0, 0, generation);
		break;
	case PS_CUT_BYTES:
		c->entry = entry_make(ENTRY_AWAY, 0, o->size,
		                      blob_checksum(seed_contents(o->id), bytes, o->size), 0, generation);
		break;
	default:
		err = make_map(s, c, o);
	}
	entry_set_interval(&c->entry, (uint32_t)o->interval);
	return err;
}

/* Ends the telling with more than can be used: a large object that nobody asked for keeps its map unwritten.
 */
enum { ENOUGH = 1 };

static int take_told(void *arg, uint64_t slot, const struct ps_cut_object *object, const void *bytes)
{
	struct learning *l = arg;
	if (l->count == l->most || slot >= l->end)
		return ENOUGH;
	if (slot != l->next || (object && !object_possible(l, slot, object, bytes)))
		return refuse(l, slot);
	if (object && object->kind == PS_CUT_CHUNKS && l->count > 0)
		return ENOUGH;
	struct change *c = &l->changes[l->count++];
	change_init(c, CHANGE_LEARN, object ? object->id : id_make(slot, 0));
	c->keeps_interval = true;
	l->next++;
	return object ? make_entry(l->s, c, object, bytes) : PS_OK;
}

/* ---- what was told becomes known ---- */

static void drop_change(struct learning *l, size_t which)
{
	change_undo(l->s, &l->changes[which]);
	change_done(l->s, &l->changes[which]);
	memmove(&l->changes[which], &l->changes[which + 1], (l->count - which - 1) * sizeof(*l->changes));
	l->count--;
}

/* What others have learned meanwhile stays as it is. */
static int commit_told(struct learning *l)
{
	size_t which = 0;
	int err = COMMIT_CHANGED;
	while (err == COMMIT_CHANGED && l->count) {
		struct change *sums = &l->changes[l->count];
		change_init(sums, CHANGE_SUMS, id_make(atomic_load(&l->s->table.unknown), 0));
		sums->keeps_interval = true;
		err = commit_changes(l->s, l->changes, l->count + 1, PS_RELAXED, &which);
		if (err == COMMIT_CHANGED)
			drop_change(l, which);
	}
	return err == COMMIT_CHANGED ? PS_OK : err;
}

/* Slots without an object may be given out, unless the walk of the table still comes to them. */
static void give_slots(struct learning *l)
{
	struct store *s = l->s;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < l->count; i++) {
		uint64_t slot = id_slot(l->changes[i].id);
		if (entry_kind(&l->changes[i].entry) == ENTRY_FREE && !rebuild_gives_slot(&s->space, slot))
			table_give_slot(&s->table, slot);
	}
	pthread_mutex_unlock(&s->lock);
}

static int ask(struct learning *l)
{
	struct store *s = l->s;
	uint64_t slot = l->next;
	if (!s->table.unknown_interval)
		return ps_fail(PS_ECORRUPT,
		               "%s: slot %llu is unknown, and the entry that says as of when is damaged",
		               s->path, (unsigned long long)slot);
	int err = residency_tell(s, slot, l->end, take_told, l);
	if (!err && !l->count)
		err = refuse(l, slot);
	if (!err)
		err = commit_told(l);
	if (!err)
		give_slots(l);
	return err;
}

/* Of the slot, and of others of its leaf as far as the backing likes. */
static int learn(struct store *s, uint64_t slot)
{
	struct learning l = {.s = s, .next = slot, .end = (slot / FANOUT + 1) * FANOUT};
	const size_t bytes = (FANOUT + 1) * sizeof(*l.changes);
	if (s->read_only)
		return ps_fail(PS_EREADONLY,
		               "%s: nobody has looked yet what slot %llu has, and a store that is open read-only "
		               "learns nothing: open it for writing once, or clone all of it",
		               s->path, (unsigned long long)slot);
	int err = store_writable(s);
	if (err)
		return err;
	l.most = (log_commit_max(&s->log) - sizeof(struct disk_record)) / sizeof(struct disk_operation) - 1;
	l.most = MAX(MIN(l.most, (size_t)FANOUT), (size_t)1);
	l.changes = ps_memory_alloc(&s->memory, bytes);
	if (!l.changes)
		return ps_fail(PS_ENOMEM, "%s: no memory to learn what slot %llu has", s->path,
		               (unsigned long long)slot);
	err = ask(&l);
	for (size_t i = 0; i < l.count; i++) {
		if (!l.changes[i].committed)
			change_undo(s, &l.changes[i]);
		change_done(s, &l.changes[i]);
	}
	ps_memory_free(&s->memory, l.changes, bytes);
	return err;
}

int unknown_get(struct store *s, uint64_t slot, struct entry *e)
{
	int err = table_get(&s->table, slot, e);
	while (!err && entry_kind(e) == ENTRY_UNKNOWN) {
		err = learn(s, slot);
		if (!err)
			err = table_get(&s->table, slot, e);
	}
	return err;
}

/* All that was learned is durable before a leaf that is nowhere is empty again. */
static int say_known(struct store *s)
{
	int err = log_sync(&s->log);
	if (err)
		return err;
	checkpoint_lock(s);
	struct superblock_numbers numbers = superblock_get_numbers(s);
	numbers.unknown = 0;
	err = superblock_set_numbers(s, &numbers);
	checkpoint_unlock(s);
	if (!err)
		atomic_store(&s->table.unknown, 0);
	return err;
}

int unknown_learn_all(struct store *s)
{
	uint64_t end = atomic_load(&s->table.unknown);
	int err = PS_OK;
	for (uint64_t slot = 0; slot < end && !err; slot++) {
		struct entry e;
		err = unknown_get(s, slot, &e);
	}
	return err ? err : say_known(s);
}
