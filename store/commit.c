/* The one way into the store: a list of changes becomes one record of the log, then one step of the table.
 *
 * Order, under store.lock: everything that can fail (validity, space, table pages, room in the log); then, with nothing left
 * that can fail: frames, record, entries, and the queue of what is given back. A crash before the record's block is written
 * leaves the old state; after it, the new one. */
#include <sys/param.h>

#include "store/base_internal.h"

enum { NEEDS_PAGE = 101, NEEDS_BUFFER, NEEDS_RING, NEEDS_SPILL };
static const uint64_t NO_LEAF = UINT64_MAX;
/* What recovery reads again after a crash in a commit's last moment: so many extents, in so many stretches of the file. */
enum { FRESH_MAX = 1024, FRESH_STRETCHES = 64, FRESH_BYTES = 8 << 20 };

struct commit {
	struct store *s;
	struct change *changes;
	size_t n;
	size_t bytes;      /* of the record */
	bool direct;       /* refers to extents that were written without a flush */
	bool beside;       /* packs are in flight yet: the log waits for them */
	bool list_fresh;   /* they are named in the record, to be verified at recovery */
	bool durable;
	uint64_t number;
	const struct ps_commit_watch *watch; /* that hears when it is durable; NULL */
	uint64_t buffer;   /* whose durability it waits for */
	struct change spill; /* where the operations stand if the ring is too small for them */
	bool spilled;
	uint32_t interval; /* that the spilled operations carry */
	uint64_t prepared; /* the leaf that has all that it needs, of the last change */
	size_t which;
};

static size_t padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

static size_t operation_bytes(const struct commit *c, const struct change *change)
{
	size_t fresh = c->list_fresh ? change->fresh_count * sizeof(struct disk_fresh) : 0;
	return sizeof(struct disk_operation) + fresh + padded(change->nbytes);
}

static uint8_t *encode_operation(const struct commit *c, const struct change *change, uint8_t *at)
{
	struct disk_operation *op = (struct disk_operation *)(void *)at;
	size_t fresh = c->list_fresh ? change->fresh_count : 0;
	bool contents = c->list_fresh && change->packed;
	*op = (struct disk_operation){.slot = ps_set64(id_slot(change->id)), .bytes = ps_set32(change->nbytes),
				      .fresh = ps_set32(contents ? FRESH_CONTENTS : (uint32_t)fresh)};
	for (int i = 0; i < 4; i++)
		op->entry[i] = ps_set64(change->entry.w[i]);
	at += sizeof(*op);
	if (fresh)
		memcpy(at, change->fresh, fresh * sizeof(*change->fresh));
	at += fresh * sizeof(*change->fresh);
	if (change->nbytes) {
		memcpy(at, change->bytes, change->nbytes);
		memset(at + change->nbytes, 0, padded(change->nbytes) - change->nbytes);
	}
	return at + padded(change->nbytes);
}

/* ---- what can fail --------------------------------------------------------------------------------------------------- */

static int validate(struct commit *c, struct change *change)
{
	struct entry now;
	struct store *s = c->s;
	if ((change->kind == CHANGE_NEW && !change->has_expected) || change->kind == CHANGE_UNUSED || change->kind == CHANGE_SUMS)
		return PS_OK;
	int err = table_get(&s->table, id_slot(change->id), &now);
	if (err)
		return err;
	if (change->kind == CHANGE_NEW)
		return entry_kind(&now) == ENTRY_FREE ? PS_OK : COMMIT_CHANGED;
	if ((entry_kind(&now) == ENTRY_UNKNOWN) != (change->kind == CHANGE_LEARN))
		return COMMIT_CHANGED;
	if (change->kind == CHANGE_LEARN)
		return PS_OK;
	if (entry_kind(&now) == ENTRY_FREE || entry_generation(&now) != id_generation(change->id))
		return not_found(s, change->id);
	if ((change->has_expected || change->in_reserve) && !entry_equal(&now, &change->expected))
		return COMMIT_CHANGED;
	/* A map has to be walked before it can be given back. */
	if (!change->has_expected && entry_kind(&now) == ENTRY_MAP)
		return COMMIT_CHANGED;
	change->expected = now;
	return PS_OK;
}

static uint32_t crash_bits(const struct store *s)
{
	return (uint32_t)s->crashes;
}

/* The first write of an object of a run goes to its reserved place. */
static bool fits_reserve(const struct store *s, const struct change *change)
{
	const struct entry *reserved = &change->expected;
	if (change->kind != CHANGE_SET || entry_kind(reserved) != ENTRY_RESERVED || entry_kind(&change->entry) != ENTRY_DATA)
		return false;
	uint64_t room = entry_extent(s->classes, reserved).len;
	return extent_len(change->nbytes) <= room && (entry_class(reserved) || (change->nbytes < PAGE) == (room < PAGE));
}

static int choose_place(struct commit *c, struct change *change)
{
	struct store *s = c->s;
	struct ps_extent extent;
	if (fits_reserve(s, change)) {
		change_set_place(change, entry_class(&change->expected), entry_place(&change->expected));
		change->in_reserve = true;
		return PS_OK;
	}
	unsigned class = change_route(s, change);
	int err = class ? space_alloc_slot(&s->space, class, &extent, &change->empty_page) : PS_ENOSPC;
	if (err == PS_ENOSPC) {
		class = 0;
		err = space_alloc(&s->space, change->nbytes, &extent, &change->empty_page);
	}
	if (!err) {
		change_set_place(change, class, extent.offset);
		s->uncommitted_bytes += extent.len;
	}
	return err;
}

/* A place for inline bytes, with its page in memory and pinned. */
static int place_inline(struct commit *c, struct change *change)
{
	struct pool *pool = &c->s->pool;
	if (!change->nbytes || change->pinned)
		return PS_OK;
	int err = change->placed ? PS_OK : choose_place(c, change);
	if (err)
		return err;
	uint64_t place = entry_place(&change->entry);
	unsigned class = entry_class(&change->entry);
	if (change->nbytes >= PAGE)
		err = pool_fresh(pool, place, extent_len(change->nbytes));
	else if (change->empty_page)
		err = pool_pin_shared(pool, class, place, true);
	else if (!pool_pin_shared_resident(pool, class, place))
		err = NEEDS_PAGE;
	change->pinned = !err;
	return err;
}

static size_t queue_items(const struct change *change)
{
	return change->given.count + 3;
}

static bool frees_space(const struct change *change)
{
	return change->kind == CHANGE_DELETE || change->kind == CHANGE_UNUSED;
}

/* On a full disk as well: what gives space back, and what only says where something is. */
static bool may_use_reserve(const struct change *change)
{
	return frees_space(change) || change->kind == CHANGE_LEARN || change->kind == CHANGE_SUMS ||
	       entry_kind(&change->entry) == ENTRY_AWAY;
}

static uint64_t leaf_of(const struct change *change)
{
	return id_slot(change->id) / FANOUT;
}

static int prepare_change(struct commit *c, struct change *change)
{
	int err = change->keeps_interval ? PS_OK : store_not_restored(c->s);
	if (!err)
		err = validate(c, change);
	/* store.lock is held all the while: the leaf is as the change before left it. */
	if (!err && leaf_of(change) != c->prepared) {
		err = table_prepare(&c->s->table, id_slot(change->id), may_use_reserve(change));
		c->prepared = leaf_of(change);
	}
	return err ? err : place_inline(c, change);
}

static int prepare_all(struct commit *c)
{
	struct store *s = c->s;
	size_t items = c->spill.taken.count;
	c->prepared = NO_LEAF;
	for (c->which = 0; c->which < c->n; c->which++) {
		int err = prepare_change(c, &c->changes[c->which]);
		if (err)
			return err;
		items += queue_items(&c->changes[c->which]);
	}
	int err = space_queue_reserve(&s->space, items);
	if (!err)
		err = pool_dirty_reserve(&s->pool, c->n);
	return err ? err : log_spill_reserve(&s->log, c->spill.taken.count);
}

static int check_room(struct commit *c)
{
	switch (log_room(&c->s->log, c->bytes)) {
	case LOG_BUFFER_FULL:
		return NEEDS_BUFFER;
	case LOG_RING_FULL:
		return NEEDS_RING;
	default:
		return PS_OK;
	}
}

/* Operations that were spilled in an earlier interval carry its number. */
static int check_interval(const struct commit *c)
{
	return c->spilled && c->interval != atomic_load_explicit(&c->s->interval, memory_order_relaxed) ? NEEDS_SPILL : PS_OK;
}

/* ---- what cannot fail --------------------------------------------------------------------------------------------------- */

/* The interval in which the commit is ordered: a cut stands between two of them, and store.lock is held for both. */
static void tag_entries(struct commit *c)
{
	c->interval = atomic_load_explicit(&c->s->interval, memory_order_relaxed);
	for (size_t i = 0; i < c->n; i++) {
		struct change *change = &c->changes[i];
		if (change->kind == CHANGE_SUMS)
			change->entry = unknown_sums_after(c->s, c->changes, i);
		if (!change->keeps_interval)
			entry_set_interval(&change->entry, c->interval);
		/* Ages in a map are never counted from behind its entry's interval. */
		assert(!change->has_births || entry_kind(&change->entry) != ENTRY_MAP ||
		       change->births_from <= entry_interval(&change->entry));
	}
}

static void append_record(struct commit *c)
{
	struct log *log = &c->s->log;
	uint8_t *at = log_reserve(log, c->bytes);
	struct disk_record *record = (struct disk_record *)(void *)at;
	*record = (struct disk_record){.length = ps_set32((uint32_t)c->bytes), .commit = ps_set64(++log->commit),
				       .flags = ps_set32(c->spilled ? RECORD_SPILLED : 0), .operations = ps_set32((uint32_t)c->n)};
	at += sizeof(*record);
	if (c->spilled) {
		record->extents = ps_set32(c->spill.fresh_count);
		for (uint32_t i = 0; i < c->spill.fresh_count; i++, at += sizeof(struct disk_spill)) {
			const struct disk_fresh *f = &c->spill.fresh[i];
			*(struct disk_spill *)(void *)at = (struct disk_spill){f->offset, f->len, f->checksum};
		}
		for (size_t i = 0; i < c->spill.taken.count; i++)
			log_spill_add(log, extent_list_items(&c->spill.taken)[i]);
	} else {
		for (size_t i = 0; i < c->n; i++)
			at = encode_operation(c, &c->changes[i], at);
	}
	log->open->commit = log->commit;
	log->open->direct = log->open->direct || c->direct;
	if (c->beside)
		staging_hand_over(change_writes(&c->changes[0]), &log->open->packs);
	if (c->durable)
		atomic_fetch_add_explicit(&log->arrived, 1, memory_order_relaxed);
	c->buffer = log->open->number;
}

static void fill_frame(struct store *s, struct change *change)
{
	if (!change->nbytes)
		return;
	uint64_t place = entry_place(&change->entry), rounded = extent_len(change->nbytes);
	uint8_t *frame = pool_address(&s->pool, place);
	memcpy(frame, change->bytes, change->nbytes);
	memset(frame + change->nbytes, 0, rounded - change->nbytes);
	pool_dirty(&s->pool, entry_frame(s, &change->entry));
	if (change->nbytes < PAGE)
		pool_set_verified(&s->pool, entry_class(&change->entry), place);
}

static void give_back_old(struct commit *c, const struct change *change)
{
	struct space *sp = &c->s->space;
	uint64_t slot = id_slot(change->id);
	const struct entry *old = &change->expected;
	for (size_t i = 0; i < change->given.count; i++)
		space_free_later(sp, &(struct freed){c->buffer, slot, extent_list_items(&change->given)[i], 0, 0});
	bool has_old = change->kind == CHANGE_SET || change->kind == CHANGE_DELETE;
	if (has_old && entry_kind(old) != ENTRY_MAP && entry_blob_len(old)) {
		struct ps_extent gone = entry_extent(c->s->classes, old);
		uint64_t keep = change->in_reserve ? change_placed(c->s, change).len : 0;
		if (keep < gone.len)
			space_free_later(sp, &(struct freed){c->buffer, slot, {gone.offset + keep, gone.len - keep}, entry_class(old), entry_interval(old)});
	}
	if (frees_space(change))
		space_free_later(sp, &(struct freed){.buffer = c->buffer, .slot = slot});
}

/* What moves, leaves or comes back is not used for that. */
static void note_use(struct store *s, const struct change *changes, size_t i)
{
	bool moves = changes[i].keeps_interval;
	bool noted = i && !changes[i - 1].keeps_interval && leaf_of(&changes[i - 1]) == leaf_of(&changes[i]);
	if (!moves && !noted)
		table_touch(&s->table, id_slot(changes[i].id));
}

/* Those that come one after another: of a load up to as many as a leaf has. Returns the first of another
 * leaf. */
static size_t set_of_leaf(struct commit *c, size_t i)
{
	struct table_hold hold;
	table_hold(&c->s->table, id_slot(c->changes[i].id), &hold);
	do
		table_put(&hold, id_slot(c->changes[i].id), &c->changes[i].entry);
	while (++i < c->n && leaf_of(&c->changes[i]) == hold.leaf);
	table_release(&hold);
	return i;
}

static void make_visible(struct commit *c)
{
	struct store *s = c->s;
	atomic_fetch_add(&s->commit_sequence, 1);
	if (c->n > 1)
		atomic_fetch_add(&s->batch_sequence, 1);
	for (size_t i = 0; i < c->n;)
		i = set_of_leaf(c, i);
	if (c->n > 1)
		atomic_fetch_add(&s->batch_sequence, 1);
	atomic_fetch_add(&s->commit_sequence, 1);
}

struct fresh {
	uint64_t count; /* that the record has to name one by one: not what packs hold */
	uint64_t stretches, bytes;
	uint64_t end; /* of the last one */
};

static void count_fresh(const struct change *change, struct fresh *all)
{
	for (uint32_t i = 0; i < change->fresh_count; i++) {
		uint64_t offset = ps_get64(change->fresh[i].offset), len = extent_len(ps_get64(change->fresh[i].len));
		all->stretches += offset != all->end;
		all->bytes += len;
		all->end = offset + len;
	}
	all->count += change->fresh_count;
}

/* Bytes of what the commit brings: what was written outside the log counts in whole pages. False: it only moves something. */
static bool size_contents(const struct commit *c, uint64_t *bytes)
{
	bool brings = false;
	*bytes = 0;
	for (size_t i = 0; i < c->n; i++) {
		struct fresh fresh = {0};
		if (c->changes[i].keeps_interval)
			continue;
		count_fresh(&c->changes[i], &fresh);
		*bytes += fresh.bytes + c->changes[i].nbytes;
		brings = true;
	}
	return brings;
}

/* Where nobody hears of commits nothing is counted for it. */
static void tell_watch(struct commit *c)
{
	const struct ps_commit_watch *watch = c->s->watch;
	uint64_t bytes;
	if (!watch || !size_contents(c, &bytes))
		return;
	c->watch = watch;
	watch->committed(watch->arg, c->number, bytes);
}

/* store.lock held. */
static int try_commit(struct commit *c)
{
	struct store *s = c->s;
	int err = store_begin_writing(s);
	if (!err)
		err = prepare_all(c);
	if (!err)
		err = check_interval(c);
	if (!err)
		err = check_room(c);
	if (err)
		return err;
	tag_entries(c);
	if (s->cut)
		cut_before_commit(s, c->changes, c->n);
	for (size_t i = 0; i < c->n; i++)
		fill_frame(s, &c->changes[i]);
	append_record(c);
	make_visible(c);
	c->number = s->log.commit;
	tell_watch(c);
	s->uncommitted_bytes -= change_taken_bytes(s, &c->spill);
	for (size_t i = 0; i < c->n; i++) {
		s->uncommitted_bytes -= change_taken_bytes(s, &c->changes[i]);
		give_back_old(c, &c->changes[i]);
		note_use(s, c->changes, i);
	}
	atomic_store_explicit(&s->wants_checkpoint, checkpoint_wanted(s), memory_order_relaxed);
	return PS_OK;
}

/* ---- around it ------------------------------------------------------------------------------------------------------------ */

/* Few enough for recovery to look at them, and for the record: what does not fit the ring would have to be written elsewhere. */
static bool can_list(const struct store *s, const struct fresh *f)
{
	return f->count <= FRESH_MAX && f->count * sizeof(struct disk_fresh) <= log_commit_max(&s->log) / 2 &&
	       f->stretches <= FRESH_STRETCHES && (f->bytes <= FRESH_BYTES || f->count <= FRESH_STRETCHES);
}

static int wait_for_writes(struct commit *c)
{
	const struct write_set *last = NULL;
	int first = PS_OK;
	c->beside = false;
	for (size_t i = 0; i < c->n; i++) {
		const struct write_set *set = change_writes(&c->changes[i]);
		int err = set == last ? PS_OK : change_wait(c->s, &c->changes[i]);
		first = first ? first : err;
		last = set;
	}
	return first;
}

/* What the record has to name. Too much: it is made durable before it, which then is as one that is all in the log. */
static int list_fresh(struct commit *c)
{
	const struct write_set *set = change_writes(&c->changes[0]);
	struct fresh fresh = {.stretches = set->packed_stretches, .bytes = set->packed_bytes};
	for (size_t i = 0; i < c->n; i++)
		count_fresh(&c->changes[i], &fresh);
	c->list_fresh = can_list(c->s, &fresh);
	c->direct = fresh.bytes > 0 && c->list_fresh;
	c->beside = c->durable && c->direct && c->changes[0].set && staging_is_packs(set);
	int err = c->beside ? PS_OK : wait_for_writes(c);
	return err || c->list_fresh ? err : c->s->io->ops->flush(c->s->io);
}

static void size_record(struct commit *c)
{
	c->bytes = sizeof(struct disk_record);
	for (size_t i = 0; i < c->n; i++)
		c->bytes += operation_bytes(c, &c->changes[i]);
}

/* The page of a scattered slot is read without the lock. */
static int bring_page(struct commit *c)
{
	struct change *change = &c->changes[c->which];
	int err = pool_pin_shared(&c->s->pool, entry_class(&change->entry), entry_place(&change->entry), false);
	change->pinned = !err;
	return err;
}

/* A commit too large for the ring: its operations go to extents first. All places must be known by then. */
static int place_all(struct commit *c)
{
	struct budget_patience patience = {0};
	int err;
	do {
		pthread_mutex_lock(&c->s->lock);
		err = store_begin_writing(c->s);
		if (!err)
			err = prepare_all(c);
		if (!err)
			tag_entries(c);
		pthread_mutex_unlock(&c->s->lock);
		if (err == NEEDS_PAGE && (err = bring_page(c)) == PS_OK)
			err = NEEDS_BUFFER;
	} while (err == NEEDS_BUFFER || (err == PS_ENOMEM && budget_relieve(c->s, &patience)));
	return err;
}

/* The thread that does checkpoints lags behind: it has to be waited for. */
static int brake(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	bool behind = checkpoint_spill_load(s) > 1;
	pthread_mutex_unlock(&s->lock);
	return behind ? checkpoint_run(s) : PS_OK;
}

static int spill(struct commit *c)
{
	size_t len = c->bytes - sizeof(struct disk_record), size = (len + PAGE - 1) & ~(size_t)(PAGE - 1);
	int err = place_all(c);
	if (err)
		return err;
	uint8_t *body = ps_memory_zalloc(&c->s->memory, size);
	if (!body)
		return ps_fail(PS_ENOMEM, "%s: no memory for a commit of %zu bytes", c->s->path, len);
	uint8_t *at = body;
	for (size_t i = 0; i < c->n; i++)
		at = encode_operation(c, &c->changes[i], at);
	c->spill.stream = true;
	for (size_t done = 0; done < size && !err; done += SPILL_BYTES) {
		struct map_chunk out;
		size_t part = MIN(size - done, (size_t)SPILL_BYTES);
		err = change_write(c->s, &c->spill, body + done, part, SPILL_SEED, &out);
	}
	int waited = change_wait(c->s, &c->spill);
	ps_memory_free(&c->s->memory, body, size);
	c->spilled = c->direct = true;
	c->bytes = sizeof(struct disk_record) + c->spill.fresh_count * sizeof(struct disk_spill);
	return err ? err : waited;
}

/* An interval ended since the operations were spilled. */
static int spill_again(struct commit *c)
{
	change_undo(c->s, &c->spill);
	change_done(c->s, &c->spill);
	memset(&c->spill, 0, sizeof(c->spill));
	c->spilled = false;
	size_record(c);
	return spill(c);
}

static int make_room(struct commit *c, int need)
{
	struct log *log = &c->s->log;
	switch (need) {
	case NEEDS_PAGE:
		return bring_page(c);
	case NEEDS_BUFFER:
		return log_sync(log);
	case NEEDS_SPILL:
		return spill_again(c);
	default:
		return checkpoint_run(c->s);
	}
}

static int after_commit(struct commit *c)
{
	struct store *s = c->s;
	for (size_t i = 0; i < c->n; i++) {
		if (c->changes[i].pinned)
			pool_unpin(&s->pool, entry_frame(s, &c->changes[i].entry));
		c->changes[i].pinned = c->changes[i].placed = false;
		c->changes[i].committed = true;
		extent_list_free(s, &c->changes[i].taken);
	}
	extent_list_free(s, &c->spill.taken);
	int err = PS_OK;
	if (c->durable)
		err = log_wait(&s->log, c->buffer);
	else
		err = store_after_relaxed(s);
	if (err)
		return err;
	if (c->durable && c->watch && c->watch->durable)
		c->watch->durable(c->watch->arg, c->number);
	/* A checkpoint that fails makes the store read-only: the next call says so. This commit is as good as it was. */
	(void)store_pace(s);
	return PS_OK;
}

int commit_changes(struct store *s, struct change *changes, size_t n, enum ps_durability durability, size_t *which)
{
	struct commit c = {.s = s, .changes = changes, .n = n};
	if (durability == PS_DURABILITY_DEFAULT)
		durability = s->options.durability == PS_RELAXED ? PS_RELAXED : PS_DURABLE;
	bool relieved = false;
	struct budget_patience patience = {0};
	c.durable = durability == PS_DURABLE;
	int err = list_fresh(&c);
	if (err)
		return err;
	size_record(&c);
	if (c.beside && c.bytes > log_commit_max(&s->log))
		err = wait_for_writes(&c);
	if (!err && c.bytes > log_commit_max(&s->log))
		err = brake(s);
	if (!err && c.bytes > log_commit_max(&s->log))
		err = spill(&c);
	if (!err && c.bytes > log_commit_max(&s->log))
		err = ps_fail(PS_ENOSPC, "%s: a commit of %zu operations is too large for the log", s->path, n);
	while (!err) {
		pthread_mutex_lock(&s->lock);
		err = try_commit(&c);
		pthread_mutex_unlock(&s->lock);
		if (!err)
			break;
		/* Their frames stand in the way of more memory, and a commit that fails must not leave them behind. */
		int written = c.beside ? wait_for_writes(&c) : PS_OK;
		if (written) {
			err = written;
			break;
		}
		/* A checkpoint frees what waits: once. */
		if (err == PS_ENOSPC && !relieved) {
			relieved = true;
			err = NEEDS_RING;
		}
		if (err >= NEEDS_PAGE)
			err = make_room(&c, err);
		if (err == PS_ENOMEM && budget_relieve(s, &patience))
			err = PS_OK;
	}
	if (which)
		*which = c.which;
	if (err)
		change_undo(s, &c.spill);
	else
		err = after_commit(&c);
	change_done(s, &c.spill);
	return store_end_call(s, err);
}

/* For deletes on a given id, and ids used up: the FREE entry. */
void change_make_free(struct store *s, struct change *c)
{
	c->entry = (struct entry){{0, 0, 0, id_generation(c->id) | (uint64_t)crash_bits(s) << 32}};
}

static int take_ids_locked(struct store *s, ps_id *ids, size_t n, size_t *taken)
{
	uint64_t slot;
	uint32_t generation;
	int err = store_begin_writing(s);
	if (!err)
		space_reclaim(&s->space);
	for (*taken = 0; *taken < n && !err;) {
		err = table_take_slot(&s->table, &slot, &generation);
		if (!err)
			ids[(*taken)++] = id_make(slot, generation);
	}
	return *taken ? PS_OK : err;
}

int store_take_ids(struct store *s, ps_id *ids, size_t n, size_t *taken)
{
	struct budget_patience patience = {0};
	int err;
	do {
		pthread_mutex_lock(&s->lock);
		err = take_ids_locked(s, ids, n, taken);
		pthread_mutex_unlock(&s->lock);
	} while (err == PS_ENOMEM && budget_relieve(s, &patience));
	return err;
}

int store_take_id(struct store *s, ps_id *id)
{
	size_t taken;
	return store_take_ids(s, id, 1, &taken);
}

/* An id that nobody was told of may be given again as it is. */
void store_return_ids(struct store *s, const ps_id *ids, size_t n)
{
	if (!n)
		return;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		table_give_slot(&s->table, id_slot(ids[i]));
	pthread_mutex_unlock(&s->lock);
}

int store_use_up_ids(struct store *s, const ps_id *ids, size_t n)
{
	struct change *changes = n ? ps_memory_zalloc(&s->memory, n * sizeof(*changes)) : NULL;
	if (!n)
		return PS_OK;
	if (!changes)
		return ps_fail(PS_ENOMEM, "%s: no memory to end a session", s->path);
	for (size_t i = 0; i < n; i++) {
		change_init(&changes[i], CHANGE_UNUSED, ids[i]);
		change_make_free(s, &changes[i]);
	}
	int err = store_writable(s);
	if (!err)
		err = commit_changes(s, changes, n, PS_RELAXED, NULL);
	ps_memory_free(&s->memory, changes, n * sizeof(*changes));
	return err;
}
