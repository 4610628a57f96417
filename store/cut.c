/* Cuts (cut.h): the table as it was at one commit, and what in it has changed since an earlier one, while
 * writers go on.
 *
 * A cut keeps of a leaf what it will give, before the leaf's first change after it, and keeps what is freed
 * after it from being used anew. Which leaves can have changed since an earlier cut the table's pointers say:
 * each carries the number of the checkpoint that wrote it, and a leaf that was changed after a cut is dirty,
 * or was written by a checkpoint later than the cut's. So all else is passed over unread.
 *
 * The number of the new interval is durable before any commit carries it, and is taken into use together with
 * the cut, under store.lock: what is in the cut carries at most the old one. */
#include <sys/param.h>

#include "store/cut_internal.h"

/* What was changed before there were intervals belongs to the first. */
static uint32_t interval_of(const struct entry *e)
{
	return MAX(entry_interval(e), 1U);
}

static bool gives(const struct ps_cut *cut, const struct entry *e)
{
	bool used = entry_lives(e) || (entry_kind(e) == ENTRY_FREE && entry_generation(e));
	return used && interval_of(e) > cut->from.interval;
}

/* ---- what writers call, under store.lock ---- */

static struct saved_leaf **find_saved(struct ps_cut *cut, uint64_t number)
{
	struct saved_leaf **at = &cut->saved[number % SAVED_LISTS];
	while (*at && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

static void take_off(struct store *s, const struct ps_cut *cut)
{
	struct ps_cut **at = &s->cut;
	while (*at && *at != cut)
		at = &(*at)->beside;
	if (*at)
		*at = cut->beside;
}

/* What only it held comes back at the next look. */
static void drop(struct ps_cut *cut, int why)
{
	cut->dropped = why;
	take_off(cut->s, cut);
}

void cut_drop(struct store *s)
{
	while (s->cut)
		drop(s->cut, PS_ENOSPC);
}

/* Not what was written after it, however often it is replaced, nor what it has given already: a push that takes
 * its time stands beside writers that go on. An object that was only moved keeps its interval, and is taken for
 * as old as that. The leaf before `next` is being given. */
static bool needs(const struct ps_cut *cut, const struct freed *f)
{
	return f->interval <= cut->ends && f->slot / FANOUT + 1 >= cut->next;
}

/* Given back when the last cut that stands has ended. */
bool cut_holds(struct store *s, const struct freed *f)
{
	bool held = false;
	for (struct ps_cut *cut = s->cut, *beside; cut; cut = beside) {
		beside = cut->beside;
		if (!needs(cut, f))
			continue;
		cut->held += f->extent.len;
		if (cut->held > cut->limit)
			drop(cut, PS_ENOSPC);
		else
			held = true;
	}
	return held;
}

/* The leaf's entries as they are now, FREE where they are not to be given. */
static int copy_leaf(struct ps_cut *cut, uint64_t number, struct entry entries[FANOUT], unsigned *count)
{
	int err = PS_OK;
	*count = 0;
	for (unsigned i = 0; i < FANOUT && !err; i++) {
		err = table_get(&cut->s->table, number * FANOUT + i, &entries[i]);
		if (!err && !gives(cut, &entries[i]))
			entries[i] = (struct entry){0};
		else
			++*count;
	}
	return err;
}

static size_t saved_size(unsigned count)
{
	return sizeof(struct saved_leaf) + count * sizeof(struct saved_entry);
}

static void save_leaf(struct ps_cut *cut, uint64_t number)
{
	struct entry entries[FANOUT];
	unsigned count;
	struct saved_leaf **at = find_saved(cut, number), *leaf = NULL;
	if (*at)
		return;
	int err = copy_leaf(cut, number, entries, &count);
	if (!err && !(leaf = ps_memory_zalloc(&cut->s->memory, saved_size(count))))
		err = PS_ENOMEM;
	if (err) {
		drop(cut, err);
		return;
	}
	leaf->number = number;
	for (unsigned i = 0; i < FANOUT; i++) {
		if (entries[i].w[3])
			leaf->entries[leaf->count++] = (struct saved_entry){i, entries[i]};
	}
	*at = leaf;
}

void cut_before_commit(struct store *s, const struct change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t number = id_slot(changes[i].id) / FANOUT;
		for (struct ps_cut *cut = s->cut, *beside; cut; cut = beside) {
			beside = cut->beside;
			if (number >= cut->next && number < cut->leaves)
				save_leaf(cut, number);
		}
	}
}

/* ---- beginning and end ---- */

int store_below(ps_storer *s, struct store **below)
{
	ps_storer *leaf = NULL;
	int err = ps_cut_store(s, &leaf);
	if (!err && leaf->ops != &base_ops)
		err = ps_fail(PS_ENOTSUP, "cut: a store of kind %s cannot be cut", leaf->ops->name);
	if (!err)
		*below = store_of(leaf);
	return err;
}

int base_cut_store(ps_storer *s, ps_storer **below)
{
	*below = s;
	return PS_OK;
}

static int check_from(const struct ps_cut *cut, uint64_t ends, uint64_t checkpoint)
{
	const struct ps_cut_from *from = &cut->from;
	if (from->interval < ends && from->checkpoint <= checkpoint && (from->interval || !from->checkpoint))
		return PS_OK;
	return ps_fail(
	    PS_EINVAL,
	    "%s: a cut of interval %llu and checkpoint %llu is none of this store's (now %llu and %llu)",
	    cut->s->path, (unsigned long long)from->interval, (unsigned long long)from->checkpoint,
	    (unsigned long long)ends, (unsigned long long)checkpoint);
}

/* All that can fail before anything is written. Under store.lock and checkpoint.lock: no checkpoint is at
 * work. */
static int prepare(struct ps_cut *cut, bool ends_interval, uint32_t ends)
{
	struct store *s = cut->s;
	int err = s->cut && s->cut->beside ? ps_fail(PS_EBUSY, "%s: two cuts or backups are under way", s->path)
	                                   : PS_OK;
	if (!err && ends_interval)
		err = store_not_restored(s);
	if (!err)
		err = space_ensure_read(s);
	if (err || !ends_interval)
		return err;
	if (ends + 1 >= INTERVAL_OPEN)
		return ps_fail(PS_EFULL, "%s: no intervals left", s->path);
	err = check_from(cut, ends, ps_get64(s->sb.checkpoint));
	/* Of a cut of the store that this one was restored from, but for the last: what was changed since
	 * lies in pages that were written here, whatever their numbers. */
	if (cut->from.interval < ps_get32(s->sb.restored))
		cut->from.checkpoint = 0;
	/* What is dirty shows from the root. */
	return err ? err : table_reserve_places(&s->table);
}

static void stand(struct ps_cut *cut, uint32_t ends, struct ps_cut_info *info)
{
	struct store *s = cut->s;
	uint64_t slots = atomic_load(&s->table.slots);
	cut->leaves = leaves_of(slots);
	cut->ends = ends;
	cut->limit = s->options.pin_limit ? s->options.pin_limit : MAX(s->space.end / 4, (uint64_t)1 << 20);
	*info = (struct ps_cut_info){.here = {ends, ps_get64(s->sb.checkpoint)},
	                             .commit = s->log.commit,
	                             .objects = atomic_load(&s->table.objects),
	                             .live_bytes = atomic_load(&s->table.live_bytes),
	                             .slots = slots,
	                             .crashes = s->crashes};
	cut->beside = s->cut;
	s->cut = cut;
}

static int begin_locked(struct ps_cut *cut, bool ends_interval, struct ps_cut_info *info)
{
	struct store *s = cut->s;
	uint32_t ends = MAX(atomic_load(&s->interval), 1U);
	int err = ends_interval ? store_writable(s) : PS_OK;
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	err = prepare(cut, ends_interval, ends);
	pthread_mutex_unlock(&s->lock);
	if (!err && ends_interval) {
		struct superblock_numbers numbers = superblock_get_numbers(s);
		numbers.interval = ends + 1;
		err = superblock_set_numbers(s, &numbers);
	}
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	if (ends_interval)
		atomic_store(&s->interval, ends + 1);
	stand(cut, ends, info);
	pthread_mutex_unlock(&s->lock);
	return PS_OK;
}

/* A cut from before the moment at which what is unknown was as it is would have to give it. */
static int know_since(struct store *s, uint64_t interval)
{
	pthread_mutex_lock(&s->lock);
	bool needed = atomic_load(&s->table.unknown) && interval < s->table.unknown_interval;
	pthread_mutex_unlock(&s->lock);
	return needed ? unknown_learn_all(s) : PS_OK;
}

static int begin(struct store *s, const struct ps_cut_from *from, bool ends_interval, struct ps_cut **out,
                 struct ps_cut_info *info)
{
	struct ps_cut_info here;
	int err = know_since(s, from->interval);
	if (err)
		return err;
	struct ps_cut *cut = ps_memory_zalloc(&s->memory, sizeof(*cut));
	if (!cut)
		return ps_fail(PS_ENOMEM, "%s: no memory for a cut", s->path);
	cut->s = s;
	cut->from = *from;
	cut->leaf = LEAF_NONE;
	while (rebuild_help(s))
		;
	atomic_fetch_add(&s->storer.sessions, 1);
	checkpoint_lock(s);
	err = begin_locked(cut, ends_interval, &here);
	checkpoint_unlock(s);
	if (!err && ends_interval)
		err = log_sync(&s->log);
	if (err) {
		ps_cut_end(cut);
		return err;
	}
	*info = here;
	*out = cut;
	return PS_OK;
}

int cut_whole(struct store *s, struct ps_cut **cut, struct ps_cut_info *info)
{
	const struct ps_cut_from everything = {0};
	return begin(s, &everything, false, cut, info);
}

int ps_cut_begin(ps_storer *st, const struct ps_cut_from *from, struct ps_cut **cut, struct ps_cut_info *info)
{
	struct store *s;
	if (!from || !cut || !info)
		return ps_fail(PS_EINVAL, "ps_cut_begin: an argument is NULL");
	int err = store_below(st, &s);
	if (err)
		return err;
	err = begin(s, from, true, cut, info);
	return err ? store_end_call(s, err) : PS_OK;
}

int ps_cut_interval(ps_storer *st, uint64_t *interval)
{
	struct store *s;
	if (!interval)
		return ps_fail(PS_EINVAL, "ps_cut_interval: an argument is NULL");
	int err = store_below(st, &s);
	if (!err)
		*interval = MAX(atomic_load(&s->interval), 1U);
	return err;
}

void ps_cut_end(struct ps_cut *cut)
{
	if (!cut)
		return;
	struct store *s = cut->s;
	pthread_mutex_lock(&s->lock);
	take_off(s, cut);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < SAVED_LISTS; i++) {
		while (cut->saved[i]) {
			struct saved_leaf *leaf = cut->saved[i];
			cut->saved[i] = leaf->next;
			ps_memory_free(&s->memory, leaf, saved_size(leaf->count));
		}
	}
	ps_memory_free(&s->memory, cut, sizeof(*cut));
	atomic_fetch_sub_explicit(&s->storer.sessions, 1, memory_order_release);
}

/* ---- what is in it ---- */

/* Under store.lock. */
static int check_stands(const struct ps_cut *cut)
{
	switch (cut->dropped) {
	case PS_OK:
		return PS_OK;
	case PS_ENOSPC:
		return ps_fail(PS_ENOSPC, "%s: writers freed more than the cut may hold back", cut->s->path);
	case PS_ENOMEM:
		return ps_fail(PS_ENOMEM, "%s: no memory to keep what the cut is of", cut->s->path);
	default:
		return ps_fail(cut->dropped, "%s: what the cut is of could not be kept", cut->s->path);
	}
}

int cut_still_stands(struct ps_cut *cut)
{
	pthread_mutex_lock(&cut->s->lock);
	int err = check_stands(cut);
	pthread_mutex_unlock(&cut->s->lock);
	return err;
}

static void forget_saved(struct ps_cut *cut, struct saved_leaf **at)
{
	struct saved_leaf *leaf = *at;
	*at = leaf->next;
	ps_memory_free(&cut->s->memory, leaf, saved_size(leaf->count));
}

/* The leaf as it was at the cut. Under store.lock. */
static int take_leaf(struct ps_cut *cut, uint64_t number)
{
	unsigned count;
	struct saved_leaf **at = find_saved(cut, number);
	int err = PS_OK;
	if (*at) {
		memset(cut->entries, 0, sizeof(cut->entries));
		for (unsigned i = 0; i < (*at)->count; i++)
			cut->entries[(*at)->entries[i].index] = (*at)->entries[i].entry;
		forget_saved(cut, at);
	} else {
		err = copy_leaf(cut, number, cut->entries, &count);
	}
	if (err)
		return err;
	cut->next = number + 1;
	cut->leaf = (int64_t)number;
	return PS_OK;
}

/* The leaf that a look at the table is about to find, without the lock; pages that lead there first. *known:
 * its group is in memory, so that the next look passes over what has not changed in it. */
static int bring_leaf(struct ps_cut *cut, uint64_t slot, bool *known)
{
	struct table *t = &cut->s->table;
	struct table_node *g;
	struct table_leaf *l;
	struct entry e;
	*known = table_known_group(t, slot / GROUP_SLOTS) != NULL;
	return *known ? table_get(t, slot, &e) : table_find_leaf(t, slot, &g, &l);
}

/* The first slot from cut->at on in a leaf that may have changed; at the cut's end if there is none. */
static int find_leaf(struct ps_cut *cut, uint64_t *slot)
{
	struct store *s = cut->s;
	pthread_mutex_lock(&s->lock);
	int err = check_stands(cut);
	*slot = cut->leaves * FANOUT;
	if (!err && cut->at < *slot)
		*slot = MIN(*slot, table_next_since(&s->table, cut->at, cut->from.checkpoint));
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* PS_ENOTFOUND: there is no further leaf. A leaf that is nowhere by now had no entries at the cut either: one
 * that a commit changed is in memory or on disk. */
static int next_leaf(struct ps_cut *cut)
{
	struct store *s = cut->s;
	uint64_t slot;
	bool known = false;
	int err = PS_OK;
	do {
		err = find_leaf(cut, &slot);
		if (!err && slot >= cut->leaves * FANOUT)
			return PS_ENOTFOUND;
		if (!err)
			err = bring_leaf(cut, slot, &known);
	} while (!err && !known);
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	err = check_stands(cut);
	if (!err)
		err = take_leaf(cut, slot / FANOUT);
	pthread_mutex_unlock(&s->lock);
	if (!err)
		cut->at = MAX(cut->at, slot);
	return err;
}

static void describe(const struct ps_cut *cut, struct ps_cut_object *object)
{
	static const enum ps_cut_kind kinds[] = {[ENTRY_FREE] = PS_CUT_GONE,
	                                         [ENTRY_DATA] = PS_CUT_BYTES,
	                                         [ENTRY_MAP] = PS_CUT_CHUNKS,
	                                         [ENTRY_ZERO] = PS_CUT_ZERO,
	                                         [ENTRY_RESERVED] = PS_CUT_ZERO,
	                                         [ENTRY_AWAY] = PS_CUT_BYTES};
	const struct entry *e = &cut->entry;
	*object =
	    (struct ps_cut_object){.id = cut->id, .kind = kinds[entry_kind(e)], .interval = interval_of(e)};
	if (object->kind == PS_CUT_GONE)
		object->crashes = e->w[3] >> 32;
	else
		object->size = entry_size(e);
}

static int next_object(struct ps_cut *cut, struct ps_cut_object *object)
{
	int err = PS_OK;
	while (!err) {
		for (; cut->leaf == (int64_t)(cut->at / FANOUT); cut->at++) {
			const struct entry *e = &cut->entries[cut->at % FANOUT];
			if (!e->w[3])
				continue;
			cut->entry = *e;
			cut->id = id_make(cut->at, entry_generation(e));
			describe(cut, object);
			cut->at++;
			return PS_OK;
		}
		err = next_leaf(cut);
	}
	return err;
}

int ps_cut_next(struct ps_cut *cut, struct ps_cut_object *object)
{
	if (!cut || !object)
		return ps_fail(PS_EINVAL, "ps_cut_next: an argument is NULL");
	int err = cut_still_stands(cut);
	if (!err)
		err = next_object(cut, object);
	if (err == PS_ENOTFOUND)
		return ps_fail(PS_ENOTFOUND, "%s: the cut has no further object", cut->s->path);
	return err ? store_end_call(cut->s, err) : PS_OK;
}

void ps_cut_skip(struct ps_cut *cut, ps_id last)
{
	struct store *s = cut->s;
	cut->at = MAX(cut->at, id_slot(last) + 1);
	pthread_mutex_lock(&s->lock);
	cut->next = MAX(cut->next, cut->at / FANOUT);
	pthread_mutex_unlock(&s->lock);
}

/* ---- the store as it is now ---- */

static uint64_t next_possible(struct ps_cut *cut, uint64_t slot, uint64_t since)
{
	struct store *s = cut->s;
	pthread_mutex_lock(&s->lock);
	slot = table_next_since(&s->table, slot, since);
	pthread_mutex_unlock(&s->lock);
	return slot;
}

static int leaf_unchanged(struct ps_cut *cut, uint64_t slot, uint64_t last, uint64_t interval,
                          bool *unchanged)
{
	int err = PS_OK;
	uint64_t end = MIN((slot / FANOUT + 1) * FANOUT, last + 1);
	for (; slot < end && *unchanged && !err; slot++) {
		struct entry e;
		err = table_get(&cut->s->table, slot, &e);
		if (!err && entry_kind(&e) != ENTRY_UNKNOWN && (entry_lives(&e) || entry_generation(&e)))
			*unchanged = interval_of(&e) <= interval;
	}
	return err;
}

int ps_cut_unchanged(struct ps_cut *cut, ps_id first, ps_id last, uint64_t interval, bool *unchanged)
{
	if (!cut || !unchanged)
		return ps_fail(PS_EINVAL, "ps_cut_unchanged: an argument is NULL");
	/* Pages that are as they were at `from` have nothing later than that. */
	uint64_t since = interval >= cut->from.interval ? cut->from.checkpoint : 0;
	uint64_t end = MIN(id_slot(last), cut->leaves * FANOUT - 1), slot = id_slot(first);
	const struct table *t = &cut->s->table;
	/* What is unknown has not changed since then, and before it may have. */
	bool same = interval >= t->unknown_interval || slot >= atomic_load(&t->unknown), known;
	int err = cut_still_stands(cut);
	while (!err && same && cut->leaves && (slot = next_possible(cut, slot, since)) <= end) {
		err = bring_leaf(cut, slot, &known);
		if (err || !known)
			continue;
		err = leaf_unchanged(cut, slot, end, interval, &same);
		slot = (slot / FANOUT + 1) * FANOUT;
	}
	if (!err)
		*unchanged = same;
	return err ? store_end_call(cut->s, err) : PS_OK;
}
