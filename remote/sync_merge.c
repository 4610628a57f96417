/* What a newer head has: fetched, merged record by record, and then the base.
 *
 * Records are gathered first and merged in one commit, the new base with them, so that a crash leaves the
 * index before or after it. More than SYNC_ATOMIC of them are several commits: after a crash in between some
 * of another machine's changes are here already, and the next sync merges them again, which changes nothing.
 */
#include <stdlib.h>

#include "base/fail.h"
#include "remote/sync_internal.h"

enum { GATHER_SLOTS = 1 << 18 };

/* One name that is to be merged. */
struct gathered {
	bool absent; /* only the name counts: the network has nothing of it */
	bool parted; /* its address stands under another key here */
	struct ps_record record;
};

struct merging {
	struct ps_sync *s;
	struct sync_head *newer;
	struct sync_source *source;
	struct ps_merge_context context;
	uint64_t known; /* heads up to this one are merged here; 0: none */
	struct gathered *all;
	size_t count, slots;
	struct sync_keys keys;
	struct sync_addresses addresses; /* of records here, which part from them */
	/* Of the network's, in the comparison of all. */
	struct ps_record theirs;
	bool has_theirs;
};

/* ---- what a merge asks ---- */

static const char *machine_name(void *arg, const uint8_t machine[PS_MACHINE])
{
	const struct merging *m = arg;
	const struct ps_head_machine *known = ps_head_machine(&m->newer->head, machine);
	if (memcmp(machine, m->s->r->machine.id, PS_MACHINE) == 0)
		return m->s->r->machine.name;
	return known ? known->name : NULL;
}

static int by_name(const void *key, const void *element)
{
	const struct ps_record *one = key;
	const struct gathered *other = element;
	return ps_name_compare(one->name, one->name_len, other->record.name, other->record.name_len);
}

/* A name that nobody can take before the commit. */
static int exists(void *arg, const char *name, size_t name_len, bool *taken)
{
	struct merging *m = arg;
	struct ps_record record, wanted = {.name_len = (uint16_t)name_len};
	size_t keys = m->keys.count;
	*taken = true;
	memcpy(wanted.name, name, name_len);
	if (m->count > 0 && bsearch(&wanted, m->all, m->count, sizeof(*m->all), by_name))
		return PS_OK;
	if (!sync_keys_take(m->s, &m->keys, wanted.name) || m->keys.count == keys)
		return PS_OK; /* another call's, or one that was given to a copy just now */
	int err = ps_index_look(m->s->r->index, PS_RECORD_BLOB, name, name_len, &record);
	if (err == PS_ENOTFOUND) {
		*taken = false;
		return PS_OK;
	}
	return err;
}

/* ---- one commit ---- */

static void count_result(struct ps_sync *s, const struct ps_merge_result *result)
{
	s->result.conflicts += result->has_copy;
	switch (result->decision) {
	case PS_MERGE_ADOPT:
	case PS_MERGE_THEIRS_AND_COPY:
	case PS_MERGE_OURS_AND_COPY:
		s->result.received++;
		break;
	case PS_MERGE_ADOPT_REMOVAL:
	case PS_MERGE_VANISH:
		s->result.removed++;
		break;
	default:
		break;
	}
}

/* ---- addresses that come under a second key ---- */

static struct gathered *gathered_of(const struct merging *m, const struct sync_address *address)
{
	for (size_t i = 0; i < m->count; i++)
		if ((m->all[i].record.flags & PS_RECORD_PUBLIC) &&
		    memcmp(&m->all[i].record.index_pad.serial, &address->serial, PS_SERIAL) == 0)
			return &m->all[i];
	return NULL;
}

/* Either parts: what was gathered, or the record here. What has the same name stays as it is. */
static void part_one(struct merging *m, size_t at)
{
	const struct sync_address *ours = &m->addresses.all[at];
	struct gathered *theirs = gathered_of(m, ours);
	bool same = !theirs || strcmp(theirs->record.name, ours->name) == 0;
	bool newer = !same && ours->counter > theirs->record.index_pad.counter;
	if (newer) {
		theirs->parted = true;
		sync_part_from_address(&theirs->record);
	}
	if (same || newer)
		m->addresses.all[at] = m->addresses.all[--m->addresses.count];
}

static int part_addresses(struct merging *m)
{
	struct ps_serial_set brought;
	int err = PS_OK;
	ps_serial_set_init(&brought, m->s->memory);
	for (size_t i = 0; i < m->count && err == PS_OK; i++)
		if (m->all[i].record.flags & PS_RECORD_PUBLIC)
			err = ps_serial_set_add(&brought, &m->all[i].record.index_pad.serial);
	if (err == PS_OK)
		err = sync_addresses_find(m->s, &brought, &m->addresses);
	ps_serial_set_done(&brought);
	for (size_t i = m->addresses.count; err == PS_OK && i > 0; i--)
		part_one(m, i - 1);
	return err;
}

static bool parts(const struct merging *m, const char *name)
{
	for (size_t i = 0; i < m->addresses.count; i++)
		if (strcmp(m->addresses.all[i].name, name) == 0)
			return true;
	return false;
}

/* Others hear that it has no address: a version of our own, of pads that their head names. */
static void change_parted(struct merging *m, struct ps_record *record)
{
	struct ps_slots *current = &record->sets[PS_SET_CURRENT];
	if (record->flags & PS_RECORD_DIRTY)
		return;
	record->version = ps_manager_version(m->s->r, record);
	record->flags |= PS_RECORD_DIRTY;
	for (uint32_t i = 0; i < current->count; i++)
		current->slots[i].named = PS_NAMED_BASE;
}

/* Of a name that is not merged itself. */
static int part_record(struct merging *m, const char *name, ps_index_txn *txn)
{
	struct ps_record record, wanted = {.name_len = (uint16_t)strlen(name)};
	memcpy(wanted.name, name, wanted.name_len);
	if (bsearch(&wanted, m->all, m->count, sizeof(*m->all), by_name))
		return PS_OK;
	if (!sync_keys_take(m->s, &m->keys, name))
		return ps_fail(
		    PS_EBUSY,
		    "the address of \"%.64s\" was written under another key by another machine, and "
		    "a call is changing it",
		    name);
	int err = ps_index_get(m->s->r->index, PS_RECORD_BLOB, name, strlen(name), &record);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err;
	sync_part_from_address(&record);
	err = ps_txn_put(txn, &record);
	ps_record_done(&record);
	return err;
}

/* ---- one record ---- */

static int merge_one(struct merging *m, const struct gathered *g, ps_index_txn *txn)
{
	const struct ps_record *theirs = &g->record;
	struct ps_merge_result result = {0};
	struct ps_record mine = {0};
	if (!sync_keys_take(m->s, &m->keys, theirs->name))
		return ps_fail(PS_EBUSY,
		               "\"%.64s\" was changed by another machine, and a call is changing it",
		               theirs->name);
	int err = ps_index_get(m->s->r->index, PS_RECORD_BLOB, theirs->name, theirs->name_len, &mine);
	bool has_mine = err == PS_OK;
	if (err == PS_ENOTFOUND)
		err = PS_OK;
	if (has_mine && parts(m, mine.name))
		sync_part_from_address(&mine);
	if (err == PS_OK && g->absent)
		err = has_mine ? ps_merge_absent(&m->context, &mine, &result) : PS_OK;
	else if (err == PS_OK)
		err = ps_merge_record(&m->context, has_mine ? &mine : NULL, theirs, &result);
	if (err == PS_OK && g->parted && result.put)
		change_parted(m, &result.record);
	if (err == PS_OK && (has_mine || !g->absent))
		err = ps_merge_apply(&result, theirs->name, theirs->name_len, txn);
	if (err == PS_OK)
		count_result(m->s, &result);
	ps_merge_result_done(&result, m->s->memory);
	if (has_mine)
		ps_record_done(&mine);
	return err;
}

static int note_base(struct merging *m, ps_index_txn *txn)
{
	const struct ps_head *from = m->s->base.there ? &m->s->base.head : NULL;
	int err = sync_swap_runs(m->s, from, &m->newer->head, false, txn);
	return err == PS_OK ? sync_note_head(m->s, m->newer, txn) : err;
}

static void forget_gathered(struct merging *m)
{
	for (size_t i = 0; i < m->count; i++)
		ps_record_done(&m->all[i].record);
	m->count = m->slots = 0;
}

static int commit_gathered(struct merging *m, bool last)
{
	ps_index_txn *txn;
	int err = part_addresses(m);
	if (err == PS_OK)
		err = ps_index_begin(m->s->r->index, &txn);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < m->count && err == PS_OK; i++)
		err = merge_one(m, &m->all[i], txn);
	for (size_t i = 0; i < m->addresses.count && err == PS_OK; i++)
		err = part_record(m, m->addresses.all[i].name, txn);
	if (err == PS_OK && last)
		err = note_base(m, txn);
	if (err == PS_OK)
		err = ps_index_commit(txn);
	else
		ps_index_abort(txn);
	sync_keys_give_back(m->s, &m->keys);
	return err;
}

/* Most calls that have a key have it for a moment. */
static int merge_gathered(struct merging *m, bool last)
{
	const struct ps_remote_sync_result before = m->s->result;
	int err = commit_gathered(m, last);
	for (unsigned tries = 0; err == PS_EBUSY && tries < SYNC_BUSY_TRIES; tries++) {
		m->s->result = before;
		err = sync_wait(m->s, SYNC_BUSY_WAIT_MS * PS_MS_NS);
		if (err == PS_OK)
			err = commit_gathered(m, last);
	}
	forget_gathered(m);
	return err;
}

/* ---- gathering ---- */

static int make_room(struct merging *m)
{
	return m->count == SYNC_ATOMIC || m->slots >= GATHER_SLOTS ? merge_gathered(m, false) : PS_OK;
}

/* The record is m's from then on. */
static int gather(struct merging *m, struct ps_record *theirs)
{
	if (theirs->published <= m->known) {
		ps_record_done(theirs);
		return PS_OK;
	}
	int err = make_room(m);
	if (err != PS_OK) {
		ps_record_done(theirs);
		return err;
	}
	struct gathered *g = &m->all[m->count++];
	g->absent = g->parted = false;
	m->slots += theirs->sets[PS_SET_CURRENT].count;
	ps_record_move(&g->record, theirs);
	return PS_OK;
}

static int gather_absent(struct merging *m, const struct ps_record *mine)
{
	int err = make_room(m);
	if (err != PS_OK)
		return err;
	struct gathered *g = &m->all[m->count++];
	*g = (struct gathered){.absent = true};
	return ps_record_init(&g->record, m->s->memory, PS_RECORD_BLOB, mine->name, mine->name_len);
}

static int gather_all(struct merging *m)
{
	for (;;) {
		struct ps_record theirs;
		bool found;
		int err = sync_source_next(m->source, &theirs, &found);
		if (err != PS_OK || !found)
			return err;
		err = gather(m, &theirs);
		if (err != PS_OK)
			return err;
	}
}

/* ---- for one who was away for so long that removals may be forgotten ---- */

static int next_theirs(struct merging *m)
{
	m->has_theirs = false;
	return sync_source_next(m->source, &m->theirs, &m->has_theirs);
}

static int compare_one(void *arg, const struct ps_record *mine)
{
	struct merging *m = arg;
	int order = 1, err = PS_OK;
	while (m->has_theirs && err == PS_OK) {
		order = ps_name_compare(m->theirs.name, m->theirs.name_len, mine->name, mine->name_len);
		if (order > 0)
			return gather_absent(m, mine);
		err = gather(m, &m->theirs);
		m->has_theirs = false;
		if (err == PS_OK)
			err = next_theirs(m);
		if (order == 0)
			return err;
	}
	return err == PS_OK ? gather_absent(m, mine) : err;
}

static int compare_all(struct merging *m)
{
	int err = next_theirs(m);
	if (err == PS_OK)
		err = ps_index_list(m->s->r->index, PS_RECORD_BLOB, NULL, 0, compare_one, m);
	while (err == PS_OK && m->has_theirs) {
		err = gather(m, &m->theirs);
		m->has_theirs = false;
		if (err == PS_OK)
			err = next_theirs(m);
	}
	if (m->has_theirs)
		ps_record_done(&m->theirs);
	m->has_theirs = false;
	return err;
}

/* ---- copies of what is another machine's ---- */

struct borrowed {
	struct merging *m;
	struct borrowed_copy {
		struct ps_record copy;
		bool lost;
	} * all;
	size_t count, capacity;
};

static int note_borrowed(void *arg, const struct ps_record *record)
{
	struct borrowed *b = arg;
	struct ps_memory *memory = &b->m->s->r->memory;
	if (record->origin_len == 0)
		return PS_OK;
	struct borrowed_copy *grown = ps_memory_grow(memory, b->all, b->count, &b->capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	b->all = grown;
	struct borrowed_copy *copy = &b->all[b->count];
	*copy = (struct borrowed_copy){0};
	int err = ps_record_copy(&copy->copy, record);
	b->count += err == PS_OK;
	return err;
}

static bool is_origin(const struct ps_record *copy, const struct ps_record *theirs)
{
	return copy->origin_len == theirs->name_len &&
	       memcmp(copy->name, theirs->name, theirs->name_len) == 0;
}

/* `all`: the whole of the network's index is in the source, and what it does not have is no more. */
static int find_lost(struct borrowed *b, bool all)
{
	for (size_t i = 0; i < b->count; i++)
		b->all[i].lost = all;
	for (;;) {
		struct ps_record theirs;
		bool found;
		int err = sync_source_next(b->m->source, &theirs, &found);
		if (err != PS_OK || !found)
			return err;
		for (size_t i = 0; i < b->count; i++)
			if (is_origin(&b->all[i].copy, &theirs))
				b->all[i].lost = theirs.published > b->m->s->base.head.counter;
		ps_record_done(&theirs);
	}
}

static int give_up_copy(struct merging *m, const struct ps_record *listed)
{
	struct ps_merge_result result = {0};
	struct ps_record copy;
	ps_index_txn *txn;
	if (!sync_keys_take(m->s, &m->keys, listed->name))
		return ps_fail(PS_EBUSY,
		               "\"%.64s\" is a copy of what another machine changed, and a call is "
		               "changing it",
		               listed->name);
	int err = ps_index_get(m->s->r->index, PS_RECORD_BLOB, listed->name, listed->name_len, &copy);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err;
	err = copy.origin_len > 0 ? ps_merge_borrowed(&m->context, &copy, &result) : PS_OK;
	if (err == PS_OK)
		err = ps_index_begin(m->s->r->index, &txn);
	if (err == PS_OK) {
		(void)!ps_merge_apply(&result, copy.name, copy.name_len,
		                      txn); /* fails the commit if it fails */
		err = ps_index_commit(txn);
	}
	ps_merge_result_done(&result, m->s->memory);
	ps_record_done(&copy);
	return err;
}

/* Before anything else: whoever changed the origin has freed the pads. */
static int merge_borrowed(struct merging *m, const bool *use, bool all)
{
	struct borrowed b = {.m = m};
	ps_index *index = m->s->r->index;
	int err =
	    ps_index_list(index, PS_RECORD_BLOB, NULL, PS_LIST_DIRTY | PS_LIST_SLOTS, note_borrowed, &b);
	if (err == PS_OK && b.count > 0)
		err = sync_source_new(m->s, &m->newer->head, use, 0, &m->source);
	if (err == PS_OK && b.count > 0)
		err = find_lost(&b, all);
	for (size_t i = 0; i < b.count; i++) {
		if (err == PS_OK && b.all[i].lost)
			err = give_up_copy(m, &b.all[i].copy);
		sync_keys_give_back(m->s, &m->keys);
		ps_record_done(&b.all[i].copy);
	}
	sync_source_free(m->source);
	m->source = NULL;
	ps_memory_free(&m->s->r->memory, b.all, b.capacity * sizeof(*b.all));
	return err;
}

/* ---- all ---- */

static bool in_base(const struct ps_sync *s, const struct ps_head_run *run)
{
	for (uint32_t i = 0; i < s->base.head.runs_count; i++)
		if (memcmp(s->base.head.runs[i].id, run->id, PS_RUN_ID) == 0)
			return true;
	return false;
}

static int merge_with(struct merging *m, const bool *use, bool all)
{
	int err = m->s->base.there ? merge_borrowed(m, use, all) : PS_OK;
	if (err == PS_OK)
		err = sync_source_new(m->s, &m->newer->head, use, 0, &m->source);
	if (err == PS_OK)
		err = all && m->s->base.there ? compare_all(m) : gather_all(m);
	if (err == PS_OK)
		err = merge_gathered(m, true);
	forget_gathered(m);
	sync_addresses_done(m->s, &m->addresses);
	sync_source_free(m->source);
	return err;
}

static int merge_runs(struct ps_sync *s, struct sync_head *newer, const bool *use, bool all)
{
	struct merging m = {.s = s,
	                    .newer = newer,
	                    .known = all ? 0 : s->base.head.counter,
	                    .context = {.memory = s->memory,
	                                .time_ns = ps_remote_wall_ns(s->r),
	                                .kept = ps_head_kept(&newer->head, s->r->machine.id),
	                                .left = ps_head_left(&newer->head, s->r->machine.id),
	                                .machine_name = machine_name,
	                                .exists = exists}};
	m.context.arg = &m;
	memcpy(m.context.machine, s->r->machine.id, PS_MACHINE);
	m.all = ps_memory_alloc(&s->r->memory, SYNC_ATOMIC * sizeof(*m.all));
	int err = m.all ? sync_keys_init(s, &m.keys, 2 * SYNC_ATOMIC)
	                : ps_fail(PS_ENOMEM, "no memory for %d records", SYNC_ATOMIC);
	if (err == PS_OK) {
		err = merge_with(&m, use, all);
		sync_keys_done(s, &m.keys);
	}
	ps_memory_free(&s->r->memory, m.all, SYNC_ATOMIC * sizeof(*m.all));
	return err;
}

int sync_merge(struct ps_sync *s, struct sync_head *newer)
{
	uint32_t count = newer->head.runs_count;
	bool all = !s->base.there || s->base.head.counter < newer->head.horizon;
	bool *use = ps_memory_zalloc(&s->r->memory, count + 1);
	if (!use)
		return ps_fail(PS_ENOMEM, "no memory for %u runs", count);
	for (uint32_t i = 0; i < count; i++)
		use[i] = all || !in_base(s, &newer->head.runs[i]);
	int err = merge_runs(s, newer, use, all);
	ps_memory_free(&s->r->memory, use, count + 1);
	if (err != PS_OK)
		return err;
	bool forgets = s->base.there && newer->head.horizon > s->base.head.horizon;
	sync_head_done(&s->base);
	s->base = *newer;
	*newer = (struct sync_head){0};
	return forgets ? sync_drop_tombstones(s) : PS_OK;
}
