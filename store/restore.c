/* A store filled from cuts (cut.h): objects with the ids, and the ends of ids, of another store, as a bulk
 * load (bulk.h): nothing has to be durable before the end, so nothing goes by way of the log.
 *
 * Until its end the store's interval is INTERVAL_OPEN, the highest that there is: so entries may carry any,
 * and whoever finds the store after a crash sees that it is not whole. Nothing else changes it meanwhile, or
 * ever: generations are only right with the count of crashes that comes at the end. The last superblock,
 * written when all is durable, says the source's next interval, its count of crashes, and at least its number
 * of checkpoints, so that a cut of the source serves as the beginning of a later cut of the copy. */
#include <sys/param.h>

#include "store/base_internal.h"
#include "store/bulk.h"

static const uint64_t SLOTS_MAX = (uint64_t)GROUP_SLOTS * GROUPS_PER_CHUNK * GROUP_CHUNKS;

struct ps_restore {
	struct store *s;
	bool plain; /* without intervals */
	struct bulk bulk;
	bool in_chunks; /* the last object is large, and takes pieces */
	struct ps_cut_object object;
	struct change large; /* it */
	uint64_t taken;      /* by its pieces so far */
	struct map_writer map;
	uint64_t next_piece;
	uint64_t next_slot;          /* the least that may come */
	uint64_t intervals, crashes; /* the highest that came */
	struct ps_restore_rest rest; /* slots 0: there is none */
	uint64_t objects, live_bytes;
	int failed; /* nothing more is taken */
	bool whole; /* it has come to its end */
};

int store_is_restored(const struct store *s)
{
	return ps_fail(PS_EREADONLY,
	               "%s: the store is being restored, or its restore did not come to its end", s->path);
}

/* ---- the beginning ---- */

/* Under checkpoint.lock. */
static int check_empty(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	int err = s->restoring ? ps_fail(PS_EBUSY, "%s: another restore is under way", s->path)
	                       : store_begin_writing(s);
	if (!err)
		err = rebuild_finish(&s->space);
	if (!err && atomic_load(&s->table.slots))
		err =
		    ps_fail(PS_EEXIST, "%s: only a store that never had an object can be restored", s->path);
	pthread_mutex_unlock(&s->lock);
	return err;
}

static int claim(struct ps_restore *r)
{
	struct store *s = r->s;
	int err = store_writable(s);
	if (!err)
		err = check_empty(s);
	if (!err && !r->plain) {
		struct superblock_numbers numbers = superblock_get_numbers(s);
		numbers.interval = INTERVAL_OPEN;
		numbers.restored = 0;
		err = superblock_set_numbers(s, &numbers);
	}
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	s->restoring = true;
	if (!r->plain)
		atomic_store(&s->interval, INTERVAL_OPEN);
	pthread_mutex_unlock(&s->lock);
	return PS_OK;
}

static void release(struct ps_restore *r)
{
	bulk_done(&r->bulk);
	ps_memory_free(&r->s->memory, r, sizeof(*r));
}

static int begin(struct store *s, bool plain, struct ps_restore **out)
{
	struct ps_restore *r = ps_memory_zalloc(&s->memory, sizeof(*r));
	if (!r)
		return ps_fail(PS_ENOMEM, "%s: no memory to restore", s->path);
	r->s = s;
	r->plain = plain;
	int err = bulk_init(&r->bulk, s);
	if (!err) {
		checkpoint_lock(s);
		err = claim(r);
		checkpoint_unlock(s);
	}
	if (err) {
		release(r);
		return err;
	}
	atomic_fetch_add(&s->storer.sessions, 1);
	*out = r;
	return PS_OK;
}

int restore_plain(struct store *s, struct ps_restore **r)
{
	return begin(s, true, r);
}

int ps_restore_begin(ps_storer *st, struct ps_restore **r)
{
	struct store *s;
	if (!r)
		return ps_fail(PS_EINVAL, "ps_restore_begin: an argument is NULL");
	int err = store_below(st, &s);
	if (err)
		return err;
	err = begin(s, false, r);
	return err ? store_end_call(s, err) : PS_OK;
}

static void expect(struct store *s, uint64_t bytes)
{
	pthread_mutex_lock(&s->lock);
	s->space.expected = bytes ? s->space.end + MIN(bytes, UINT64_MAX / 2) : 0;
	pthread_mutex_unlock(&s->lock);
}

void ps_restore_expect(struct ps_restore *r, uint64_t bytes)
{
	if (r)
		expect(r->s, bytes);
}

/* ---- what is not restored ---- */

/* Before any leaf is in memory: from here on those that are nowhere are unknown. */
int ps_restore_rest(struct ps_restore *r, const struct ps_restore_rest *rest)
{
	if (!r || !rest)
		return ps_fail(PS_EINVAL, "ps_restore_rest: an argument is NULL");
	struct store *s = r->s;
	uint64_t leaves = leaves_of(rest->slots);
	if (r->plain || r->next_slot || !rest->slots || rest->slots >= SLOTS_MAX || leaves > UINT32_MAX ||
	    !rest->interval || rest->interval >= INTERVAL_OPEN)
		return ps_fail(PS_EINVAL,
		               "%s: a rest of %llu slots, as of interval %llu, is none, or comes late",
		               s->path, (unsigned long long)rest->slots, (unsigned long long)rest->interval);
	checkpoint_lock(s);
	struct superblock_numbers numbers = superblock_get_numbers(s);
	numbers.unknown = (uint32_t)leaves;
	numbers.away = true;
	int err = superblock_set_numbers(s, &numbers);
	checkpoint_unlock(s);
	if (err) {
		r->failed = err;
		return store_end_call(s, err);
	}
	atomic_store(&s->table.unknown, leaves * FANOUT);
	r->rest = *rest;
	return PS_OK;
}

/* The sums of what is unknown stand behind it. */
static int finish_rest(struct ps_restore *r, const struct ps_cut_info *info)
{
	struct store *s = r->s;
	struct change c;
	if (!r->rest.slots)
		return PS_OK;
	pthread_mutex_lock(&s->lock);
	s->table.unknown_objects = info->objects - r->objects;
	s->table.unknown_bytes = info->live_bytes - r->live_bytes;
	s->table.unknown_interval = (uint32_t)r->rest.interval;
	atomic_store(&s->table.objects, info->objects);
	atomic_store(&s->table.live_bytes, info->live_bytes);
	pthread_mutex_unlock(&s->lock);
	change_init(&c, CHANGE_SUMS, id_make(atomic_load(&s->table.unknown), 0));
	c.keeps_interval = true;
	int err = commit_changes(s, &c, 1, PS_RELAXED, NULL);
	change_done(s, &c);
	return err;
}

/* ---- objects ---- */

static int refuse(const struct ps_restore *r, ps_id id, const char *why)
{
	return ps_fail(PS_EINVAL, "%s: object 0x%llx cannot be restored: %s", r->s->path,
	               (unsigned long long)id, why);
}

static bool id_possible(const struct ps_cut_object *o)
{
	uint64_t slot = id_slot(o->id);
	uint32_t generation = id_generation(o->id);
	if (!generation || slot >= SLOTS_MAX)
		return false;
	return slot || (generation == 1 && o->kind != PS_CUT_GONE);
}

static bool size_possible(const struct ps_cut_object *o, const void *bytes)
{
	switch (o->kind) {
	case PS_CUT_GONE:
		return !o->size && o->crashes <= UINT32_MAX;
	case PS_CUT_ZERO:
		return o->size <= PS_SIZE_MAX;
	case PS_CUT_BYTES:
		return bytes && o->size && o->size <= CHUNK;
	case PS_CUT_CHUNKS:
		return o->size > CHUNK && o->size <= PS_SIZE_MAX;
	default:
		return false;
	}
}

static int check_object(const struct ps_restore *r, const struct ps_cut_object *o, const void *bytes)
{
	if (!id_possible(o))
		return refuse(r, o->id, "no such id was ever given");
	if (id_slot(o->id) < r->next_slot)
		return refuse(r, o->id, "not in the order of slots");
	if (!size_possible(o, bytes))
		return refuse(r, o->id, "impossible kind, size or bytes");
	if (!r->plain && (!o->interval || o->interval >= INTERVAL_OPEN))
		return refuse(r, o->id, "impossible interval");
	return PS_OK;
}

static void count_object(struct ps_restore *r, const struct ps_cut_object *o)
{
	r->objects += o->kind != PS_CUT_GONE;
	r->live_bytes += o->size;
	r->intervals = MAX(r->intervals, o->interval);
	r->crashes = MAX(r->crashes, o->crashes);
}

/* The entry keeps its number, which is another store's. */
static int add(struct ps_restore *r, const struct ps_cut_object *o, struct entry e, const uint8_t *bytes,
               uint32_t len)
{
	entry_set_interval(&e, r->plain ? atomic_load(&r->s->interval) : (uint32_t)o->interval);
	int err = bulk_add(&r->bulk, id_slot(o->id), &e, bytes, len, r->taken);
	r->taken = 0;
	if (!err)
		count_object(r, o);
	return err;
}

/* What pieces take is counted only: a restore that fails leaves a file to be deleted. */
static void count_taken(struct ps_restore *r)
{
	r->taken += change_taken_bytes(r->s, &r->large);
	extent_list_free(r->s, &r->large.taken);
	r->large.fresh_count = 0;
}

/* The large object that takes pieces has them all. */
static int end_chunks(struct ps_restore *r)
{
	if (!r->in_chunks)
		return PS_OK;
	int err = map_writer_finish(&r->map, r->object.size);
	count_taken(r);
	if (!err)
		err = add(r, &r->object, r->large.entry, r->large.bytes, r->large.nbytes);
	map_writer_done(&r->map);
	change_done(r->s, &r->large);
	r->in_chunks = false;
	return err;
}

static void begin_chunks(struct ps_restore *r, const struct ps_cut_object *o)
{
	change_init(&r->large, CHANGE_NEW, o->id);
	r->large.set = bulk_writes(&r->bulk);
	r->large.stream = true;
	map_writer_init(&r->map, r->s, &r->large, NULL);
	r->object = *o;
	r->in_chunks = true;
	r->next_piece = 0;
}

static int add_object(struct ps_restore *r, const struct ps_cut_object *o, const void *bytes)
{
	uint32_t generation = id_generation(o->id);
	switch (o->kind) {
	case PS_CUT_CHUNKS:
		begin_chunks(r, o);
		return PS_OK;
	case PS_CUT_GONE:
		return add(r, o, (struct entry){{0, 0, 0, generation | o->crashes << 32}}, NULL, 0);
	case PS_CUT_ZERO:
		return add(r, o, entry_make(ENTRY_ZERO, 0, o->size, 0, 0, generation), NULL, 0);
	default:
		return add(r, o,
		           entry_make(ENTRY_DATA, 0, o->size,
		                      blob_checksum(seed_contents(o->id), bytes, o->size), 0, generation),
		           bytes, (uint32_t)o->size);
	}
}

static int failed_before(const struct ps_restore *r)
{
	return ps_fail(r->failed, "%s: an earlier step of the restore failed", r->s->path);
}

int ps_restore_object(struct ps_restore *r, const struct ps_cut_object *object, const void *bytes)
{
	if (!r || !object)
		return ps_fail(PS_EINVAL, "ps_restore_object: an argument is NULL");
	if (r->failed)
		return failed_before(r);
	int err = check_object(r, object, bytes);
	if (err)
		return err;
	err = end_chunks(r);
	if (!err)
		err = add_object(r, object, bytes);
	r->next_slot = id_slot(object->id) + 1;
	r->failed = err;
	return err ? store_end_call(r->s, err) : PS_OK;
}

int ps_restore_piece(struct ps_restore *r, uint64_t offset, const void *data, size_t len)
{
	if (!r || !data)
		return ps_fail(PS_EINVAL, "ps_restore_piece: an argument is NULL");
	if (r->failed)
		return failed_before(r);
	if (!r->in_chunks)
		return ps_fail(PS_EINVAL, "%s: no object that takes pieces", r->s->path);
	uint64_t size = r->object.size;
	bool fits = offset % CHUNK == 0 && offset >= r->next_piece && offset < size &&
	            len == MIN((uint64_t)CHUNK, size - offset);
	if (!fits)
		return refuse(r, r->object.id, "a piece in the wrong place, or of the wrong length");
	r->failed = map_write_chunks(&r->map, offset / CHUNK, data, len);
	count_taken(r);
	r->next_piece = offset + CHUNK;
	return r->failed ? store_end_call(r->s, r->failed) : PS_OK;
}

/* ---- the end ---- */

/* What came can be of a store that is at `info`. */
static int check_info(const struct ps_restore *r, const struct ps_cut_info *info)
{
	bool possible = info->crashes >= r->crashes && info->crashes <= UINT32_MAX &&
	                info->slots >= r->next_slot && info->slots <= SLOTS_MAX;
	if (!r->plain)
		possible = possible &&
		           info->here.interval >= MAX(r->intervals, MAX(r->rest.interval, (uint64_t)1)) &&
		           info->here.interval + 1 < INTERVAL_OPEN;
	if (r->rest.slots)
		possible = possible && info->slots <= r->rest.slots && info->objects >= r->objects &&
		           info->live_bytes >= r->live_bytes;
	if (possible)
		return PS_OK;
	return ps_fail(
	    PS_EINVAL,
	    "%s: objects were restored that cannot be of interval %llu, %llu crashes and %llu slots",
	    r->s->path, (unsigned long long)info->here.interval, (unsigned long long)info->crashes,
	    (unsigned long long)info->slots);
}

/* All is durable: the store is whole with this superblock. Under checkpoint.lock. */
static int say_whole(struct ps_restore *r, const struct ps_cut_info *info)
{
	struct store *s = r->s;
	struct superblock_numbers numbers = superblock_get_numbers(s);
	numbers.crashes = MAX(numbers.crashes, info->crashes);
	if (!r->plain) {
		numbers.interval = (uint32_t)info->here.interval + 1;
		numbers.restored = (uint32_t)info->here.interval;
		numbers.checkpoint = MAX(numbers.checkpoint, info->here.checkpoint);
	}
	int err = superblock_set_numbers(s, &numbers);
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	atomic_store(&s->interval, numbers.interval);
	s->crashes = numbers.crashes;
	atomic_store(&s->log.checkpoint, numbers.checkpoint);
	if (!r->plain && atomic_load(&s->table.slots) < info->slots)
		atomic_store(&s->table.slots, info->slots);
	pthread_mutex_unlock(&s->lock);
	return PS_OK;
}

static int finish(struct ps_restore *r, const struct ps_cut_info *info)
{
	struct store *s = r->s;
	int err = r->failed ? failed_before(r) : check_info(r, info);
	if (!err)
		err = end_chunks(r);
	if (!err)
		err = bulk_settle(&r->bulk);
	if (!err)
		err = finish_rest(r, info);
	if (!err)
		err = log_sync(&s->log);
	/* Contents and table are durable by a checkpoint before the source's next one. */
	if (!err)
		err = checkpoint_run(s);
	if (err)
		return err;
	log_skipped_are_durable(&s->log);
	checkpoint_lock(s);
	err = say_whole(r, info);
	checkpoint_unlock(s);
	r->whole = !err;
	return err;
}

int ps_restore_finish(struct ps_restore *r, const struct ps_cut_info *info)
{
	if (!r)
		return ps_fail(PS_EINVAL, "ps_restore_finish: an argument is NULL");
	struct store *s = r->s;
	int err = info ? finish(r, info) : ps_fail(PS_EINVAL, "ps_restore_finish: an argument is NULL");
	ps_restore_abort(r);
	return err ? store_end_call(s, err) : PS_OK;
}

void ps_restore_abort(struct ps_restore *r)
{
	if (!r)
		return;
	struct store *s = r->s;
	expect(s, 0);
	if (r->in_chunks) {
		map_writer_done(&r->map);
		change_done(s, &r->large);
	}
	/* What came and was not settled has taken space that no entry names. */
	if (!r->whole)
		atomic_store(&s->space.lost, true);
	release(r);
	pthread_mutex_lock(&s->lock);
	s->restoring = false;
	pthread_mutex_unlock(&s->lock);
	atomic_fetch_sub_explicit(&s->storer.sessions, 1, memory_order_release);
}
