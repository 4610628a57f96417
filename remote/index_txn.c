/* Transactions of the local index: what they change is one commit, and no pad is lost in one or stands twice
 * after it. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "remote/local_index_internal.h"

/* What a transaction did to a record, in txn->records. */
enum { RECORD_WRITTEN = 1, SLOTS_WRITTEN };

int ps_index_begin(ps_index *index, ps_index_txn **txn)
{
	int err = index_check(index);
	if (err != PS_OK)
		return err;
	ps_index_txn *t = ps_memory_zalloc(&index->memory, sizeof(*t));
	if (!t)
		return ps_fail(PS_ENOMEM, "no memory for a transaction of the local index");
	err = ps_batch_begin(index->store, &t->batch);
	if (err != PS_OK) {
		ps_memory_free(&index->memory, t, sizeof(*t));
		return err;
	}
	t->index = index;
	ps_id_table_init(&t->records, &index->memory);
	ps_id_table_init(&t->claims, &index->memory);
	pthread_mutex_lock(&index->lock);
	t->number = ++index->transactions;
	index->transactions_open++;
	pthread_mutex_unlock(&index->lock);
	*txn = t;
	return PS_OK;
}

/* The batch has ended. */
void index_txn_free(ps_index_txn *txn)
{
	ps_index *index = txn->index;
	pthread_mutex_lock(&index->lock);
	for (size_t i = 0; i < txn->claims.places_count; i++)
		if (txn->claims.places[i].id != PS_ID_NONE)
			(void)ps_id_table_remove(&index->claimed, txn->claims.places[i].key, txn->number);
	index->transactions_open--;
	pthread_mutex_unlock(&index->lock);
	ps_id_table_done(&txn->records);
	ps_id_table_done(&txn->claims);
	ps_memory_free(&index->memory, txn->effects, txn->effects_capacity * sizeof(*txn->effects));
	ps_memory_free(&index->memory, txn->left.all, txn->left.capacity * sizeof(*txn->left.all));
	ps_memory_free(&index->memory, txn->came.all, txn->came.capacity * sizeof(*txn->came.all));
	ps_memory_free(&index->memory, txn, sizeof(*txn));
}

void ps_index_abort(ps_index_txn *txn)
{
	if (!txn)
		return;
	(void)ps_batch_abort(txn->batch);
	index_txn_free(txn);
}

int index_txn_spoil(ps_index_txn *txn, int err)
{
	if (err != PS_OK && txn->error == PS_OK)
		txn->error = err;
	return err;
}

/* ---- what it touches is nobody else's meanwhile ---- */

int index_txn_claim_locked(ps_index_txn *txn, uint64_t key)
{
	ps_index *index = txn->index;
	size_t step = 0;
	ps_id holder = ps_id_table_next(&index->claimed, key, &step);
	if (holder == txn->number)
		return PS_OK;
	if (holder != PS_ID_NONE)
		return ps_fail(PS_EBUSY, "another transaction of the local index is at this record or pad");
	int err = ps_id_table_reserve(&txn->claims, 1);
	if (err == PS_OK)
		err = ps_id_table_reserve(&index->claimed, 1);
	if (err != PS_OK)
		return err;
	ps_id_table_add(&index->claimed, key, txn->number);
	ps_id_table_add(&txn->claims, key, txn->number);
	return PS_OK;
}

int index_txn_claim(ps_index_txn *txn, uint64_t key)
{
	pthread_mutex_lock(&txn->index->lock);
	int err = index_txn_claim_locked(txn, key);
	pthread_mutex_unlock(&txn->index->lock);
	return err;
}

/* Once a transaction: what was written in it cannot be read back before it ends. */
static int touch_once(ps_index_txn *txn, uint64_t key)
{
	size_t step = 0;
	if (ps_id_table_next(&txn->records, key, &step) != PS_ID_NONE)
		return ps_fail(PS_EINVAL, "a transaction changes each record and slot once");
	int err = ps_id_table_reserve(&txn->records, 1);
	if (err == PS_OK)
		ps_id_table_add(&txn->records, key, RECORD_WRITTEN);
	return err;
}

/* Of a record some of whose slots are set: no put of it may follow. */
static int touch_slots(ps_index_txn *txn, uint64_t hash)
{
	if (ps_id_table_has(&txn->records, hash, SLOTS_WRITTEN))
		return PS_OK;
	int err = ps_id_table_reserve(&txn->records, 1);
	if (err == PS_OK)
		ps_id_table_add(&txn->records, hash, SLOTS_WRITTEN);
	return err;
}

/* ---- notes of what it does ---- */

int index_txn_effect(ps_index_txn *txn, struct ps_id_table *table, uint64_t key, ps_id id, bool add)
{
	struct index_effect *list = ps_memory_grow(&txn->index->memory, txn->effects, txn->effects_count,
	                                           &txn->effects_capacity, sizeof(*list));
	if (!list)
		return PS_ENOMEM;
	txn->effects = list;
	list[txn->effects_count++] = (struct index_effect){table, key, id, add};
	return PS_OK;
}

int index_txn_move(ps_index_txn *txn, struct index_moves *moves, const struct ps_pad_slot *slot,
                   bool free_of_proof)
{
	struct index_moved *list =
	    ps_memory_grow(&txn->index->memory, moves->all, moves->count, &moves->capacity, sizeof(*list));
	if (!list)
		return PS_ENOMEM;
	moves->all = list;
	list[moves->count++] = (struct index_moved){*slot, free_of_proof};
	return PS_OK;
}

/* ---- records ---- */

/* Of a record that leaves its place: which of its pads need a new one. */
static int leave(ps_index_txn *txn, const struct ps_record *record, bool adopt)
{
	bool theirs = adopt && (!(record->flags & PS_RECORD_DIRTY) || (record->flags & PS_RECORD_BORROWED));
	int err = PS_OK;
	if (record->flags & PS_RECORD_PUBLIC)
		err = index_txn_move(txn, &txn->left, &record->index_pad, theirs);
	for (unsigned set = 0; set < PS_SETS; set++) {
		bool free_of_proof = (set == PS_SET_BASE && adopt) || (set == PS_SET_CURRENT && theirs);
		const struct ps_slots *slots = &record->sets[set];
		for (uint32_t i = 0; i < slots->count && err == PS_OK; i++)
			err = index_txn_move(txn, &txn->left, &slots->slots[i], free_of_proof);
	}
	index_count_record(&txn->delta, record, -1);
	return err;
}

static int come(ps_index_txn *txn, const struct ps_record *record, bool adopt)
{
	int err = PS_OK;
	if (record->flags & PS_RECORD_PUBLIC)
		err = index_txn_move(txn, &txn->came, &record->index_pad, adopt);
	for (unsigned set = 0; set < PS_SETS; set++) {
		const struct ps_slots *slots = &record->sets[set];
		for (uint32_t i = 0; i < slots->count && err == PS_OK; i++)
			err = index_txn_move(txn, &txn->came, &slots->slots[i], adopt);
	}
	index_count_record(&txn->delta, record, 1);
	return err;
}

/* Claims the name, and finds what is under it: PS_ENOTFOUND is no failure of the transaction's. */
static int look_under(ps_index_txn *txn, unsigned kind, const char *name, size_t name_len, uint64_t *hash,
                      ps_id *id, struct ps_record *record)
{
	if (name_len == 0 || name_len > PS_RECORD_NAME_MAX || kind >= PS_RECORD_KINDS)
		return ps_fail(PS_EINVAL, "a key has 1 to %d bytes", PS_RECORD_NAME_MAX);
	*hash = index_name_hash(txn->index, kind, name, name_len);
	int err = index_txn_claim(txn, *hash);
	return err == PS_OK ? index_find(txn->index, kind, name, name_len, id, record) : err;
}

static int write_record(ps_index_txn *txn, const struct ps_record *record, ps_id *id)
{
	struct ps_memory *memory = &txn->index->memory;
	size_t len = ps_record_bytes(record);
	uint8_t *bytes = ps_memory_alloc(memory, len);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "no memory for an index record of %zu bytes", len);
	ps_record_encode(record, bytes);
	int err = *id == PS_ID_NONE ? ps_batch_put(txn->batch, bytes, len, id)
	                            : ps_batch_replace(txn->batch, *id, bytes, len);
	ps_memory_free(memory, bytes, len);
	return err;
}

static int leave_old(ps_index_txn *txn, ps_id id, bool adopt, bool *was_dirty)
{
	struct ps_record old;
	int err = index_read_record(txn->index, id, &old);
	if (err != PS_OK)
		return err;
	*was_dirty = old.flags & PS_RECORD_DIRTY;
	err = leave(txn, &old, adopt);
	ps_record_done(&old);
	return err;
}

static int put_record(ps_index_txn *txn, const struct ps_record *record, bool adopt)
{
	struct ps_record old;
	uint64_t hash = 0;
	ps_id id = PS_ID_NONE;
	bool was_dirty = false, dirty = record->flags & PS_RECORD_DIRTY;
	int err = ps_record_check(record);
	if (err != PS_OK)
		return err;
	err = look_under(txn, record->kind, record->name, record->name_len, &hash, &id, &old);
	bool fresh = err == PS_ENOTFOUND;
	if (err != PS_OK && !fresh)
		return err;
	err = touch_once(txn, hash);
	if (err == PS_OK && !fresh)
		err = leave_old(txn, id, adopt, &was_dirty);
	if (err == PS_OK)
		err = come(txn, record, adopt);
	if (err == PS_OK)
		err = write_record(txn, record, &id);
	if (err == PS_OK && fresh)
		err = index_txn_effect(txn, &txn->index->names, hash, id, true);
	if (err == PS_OK && fresh && record->kind == PS_RECORD_SYSTEM)
		err = index_txn_effect(txn, &txn->index->own, ps_id_key(id), id, true);
	if (err == PS_OK && was_dirty != dirty)
		err = index_txn_effect(txn, &txn->index->dirty, ps_id_key(id), id, dirty);
	return err;
}

int ps_txn_put(ps_index_txn *txn, const struct ps_record *record)
{
	return index_txn_spoil(txn, put_record(txn, record, false));
}

int ps_txn_adopt(ps_index_txn *txn, const struct ps_record *record)
{
	return index_txn_spoil(txn, put_record(txn, record, true));
}

static int remove_record(ps_index_txn *txn, unsigned kind, uint64_t hash, ps_id id, bool adopt)
{
	bool was_dirty = false;
	int err = touch_once(txn, hash);
	if (err == PS_OK)
		err = leave_old(txn, id, adopt, &was_dirty);
	if (err == PS_OK)
		err = ps_batch_delete(txn->batch, id);
	if (err == PS_OK)
		err = index_txn_effect(txn, &txn->index->names, hash, id, false);
	if (err == PS_OK && kind == PS_RECORD_SYSTEM)
		err = index_txn_effect(txn, &txn->index->own, ps_id_key(id), id, false);
	if (err == PS_OK && was_dirty)
		err = index_txn_effect(txn, &txn->index->dirty, ps_id_key(id), id, false);
	return err;
}

int ps_txn_remove(ps_index_txn *txn, unsigned kind, const char *name, size_t name_len, bool adopt)
{
	struct ps_record old;
	uint64_t hash = 0;
	ps_id id;
	int err = look_under(txn, kind, name, name_len, &hash, &id, &old);
	if (err == PS_ENOTFOUND)
		return err; /* nothing was done: the transaction goes on */
	return index_txn_spoil(txn, err == PS_OK ? remove_record(txn, kind, hash, id, adopt) : err);
}

static int set_slot(ps_index_txn *txn, ps_id id, uint64_t offset, const struct ps_pad_slot *slot)
{
	struct ps_pad_slot old;
	struct ps_slot_bytes bytes;
	int err = touch_once(txn, ps_id_key(id) ^ ps_id_key(offset + 1));
	if (err == PS_OK)
		err = ps_slot_check(slot);
	if (err == PS_OK)
		err = index_read_slot(txn->index, id, offset, &old);
	if (err == PS_OK &&
	    (slot->status == PS_SLOT_FREE || slot->class != old.class || slot->mode != old.mode))
		err = ps_fail(PS_EINVAL, "a record's pad is of its class and mode, and not free");
	if (err == PS_OK)
		err = index_txn_move(txn, &txn->left, &old, false);
	if (err == PS_OK)
		err = index_txn_move(txn, &txn->came, slot, false);
	if (err != PS_OK)
		return err;
	index_count_slot(&txn->delta, &old, -1);
	index_count_slot(&txn->delta, slot, 1);
	ps_slot_encode(slot, &bytes);
	return ps_batch_write_at(txn->batch, id, offset, &bytes, sizeof(bytes));
}

int ps_txn_set_slot(ps_index_txn *txn, unsigned kind, const char *name, size_t name_len,
                    enum ps_record_set set, uint32_t index, const struct ps_pad_slot *slot)
{
	struct ps_record record;
	uint64_t hash = 0, offset;
	ps_id id;
	int err = look_under(txn, kind, name, name_len, &hash, &id, &record);
	if (err != PS_OK)
		return index_txn_spoil(txn, err);
	if (ps_id_table_has(&txn->records, hash, RECORD_WRITTEN))
		return index_txn_spoil(txn, ps_fail(PS_EINVAL, "the record was put in this transaction"));
	if ((unsigned)set > PS_SET_INDEX_PAD ||
	    (set == PS_SET_INDEX_PAD && !(record.flags & PS_RECORD_PUBLIC)) ||
	    (set != PS_SET_INDEX_PAD && index >= record.sets[set].count))
		return index_txn_spoil(
		    txn, ps_fail(PS_ERANGE, "\"%.64s\" has no pad %u there", record.name, index));
	offset = set == PS_SET_INDEX_PAD ? ps_record_index_pad_offset(&record)
	                                 : ps_record_slot_offset(&record, set, index);
	err = touch_slots(txn, hash);
	return index_txn_spoil(txn, err == PS_OK ? set_slot(txn, id, offset, slot) : err);
}
