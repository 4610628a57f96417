/* The end of a transaction, and pads without a record: that none is forgotten, and that none stands twice. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "remote/local_index_internal.h"

static const uint8_t note_magic[4] = {'P', 'S', 'n', 't'};

/* ---- spare pads ---- */

/* Of a spare pad, so that it is not mixed up with a name's hash. */
static uint64_t spare_key(ps_id id)
{
	return ps_id_key(id) ^ 0x5a5a5a5a5a5a5a5aU;
}

static int take_out(ps_index_txn *txn, const struct ps_spare *spare)
{
	uint64_t key;
	int err = index_txn_move(txn, &txn->left, &spare->slot, false);
	if (err == PS_OK)
		err = ps_batch_delete(txn->batch, spare->id);
	if (err != PS_OK)
		return err;
	pthread_mutex_lock(&txn->index->lock);
	struct ps_id_table *table = index_spare_table_locked(txn->index, spare, &key);
	pthread_mutex_unlock(&txn->index->lock);
	index_count_spare(&txn->delta, &spare->slot, -1);
	return index_txn_effect(txn, table, key, spare->id, false);
}

/* One that no transaction has; found and claimed at once, or another could take it and commit in between. */
static int claim_any(ps_index_txn *txn, struct ps_id_table *table, ps_id *id)
{
	struct ps_index *index = txn->index;
	int err = PS_ENOTFOUND;
	pthread_mutex_lock(&index->lock);
	for (size_t i = 0, n = table->places_count; i < n && err == PS_ENOTFOUND; i++) {
		const struct ps_id_place *place = &table->places[(table->cursor + i) & table->mask];
		size_t step = 0;
		if (place->id == PS_ID_NONE ||
		    ps_id_table_next(&index->claimed, spare_key(place->id), &step) != PS_ID_NONE)
			continue;
		*id = place->id;
		err = index_txn_claim_locked(txn, spare_key(place->id));
		table->cursor = (table->cursor + i + 1) & table->mask;
	}
	pthread_mutex_unlock(&index->lock);
	return err;
}

int ps_txn_take(ps_index_txn *txn, unsigned class, unsigned mode, struct ps_pad_slot *slot)
{
	struct ps_spare spare;
	ps_id id;
	if (class > PS_PAD_PUBLIC_DATA || mode > PS_PAD_LARGE)
		return index_txn_spoil(txn, ps_fail(PS_EINVAL, "no such class or mode of pads"));
	int err = claim_any(txn, &txn->index->free[class * 3 + mode], &id);
	if (err == PS_ENOTFOUND)
		return ps_fail(PS_ENOTFOUND, "there is no free pad of class %u and mode %u", class, mode);
	if (err == PS_OK)
		err = index_read_spare(txn->index, id, &spare);
	if (err == PS_OK)
		err = take_out(txn, &spare);
	if (err == PS_OK)
		*slot = spare.slot;
	return index_txn_spoil(txn, err);
}

int ps_txn_take_spare(ps_index_txn *txn, ps_id id, struct ps_pad_slot *slot)
{
	struct ps_spare spare;
	bool mine = ps_id_table_has(&txn->claims, spare_key(id), txn->number);
	int err = mine ? ps_fail(PS_EINVAL, "a transaction takes each spare pad once")
	               : index_txn_claim(txn, spare_key(id));
	if (err == PS_OK)
		err = index_read_spare(txn->index, id, &spare);
	if (err == PS_ENOTFOUND)
		return err;
	if (err == PS_OK)
		err = take_out(txn, &spare);
	if (err == PS_OK)
		*slot = spare.slot;
	return index_txn_spoil(txn, err);
}

static int add_spare(ps_index_txn *txn, const struct ps_pad_slot *slot, uint64_t hold)
{
	struct ps_spare spare = {.slot = *slot, .hold = slot->status == PS_SLOT_FREE ? hold : 0};
	uint8_t bytes[PS_SPARE_HEAD_BYTES + PS_SLOT_BYTES];
	uint64_t key;
	int err = hold < UINT64_MAX >> 4 ? ps_slot_check(slot) : ps_fail(PS_EINVAL, "no head is so late");
	if (err != PS_OK)
		return err;
	index_spare_encode(&spare, bytes);
	err = ps_batch_put(txn->batch, bytes, sizeof(bytes), &spare.id);
	if (err == PS_OK)
		err = index_txn_move(txn, &txn->came, slot, false);
	if (err != PS_OK)
		return err;
	pthread_mutex_lock(&txn->index->lock);
	struct ps_id_table *table = index_spare_table_locked(txn->index, &spare, &key);
	pthread_mutex_unlock(&txn->index->lock);
	index_count_spare(&txn->delta, slot, 1);
	return index_txn_effect(txn, table, key, spare.id, true);
}

int ps_txn_add_spare(ps_index_txn *txn, const struct ps_pad_slot *slot, uint64_t hold)
{
	return index_txn_spoil(txn, add_spare(txn, slot, hold));
}

int ps_txn_retire(ps_index_txn *txn, const struct ps_pad_slot *slot)
{
	struct ps_pad_slot gone = *slot;
	gone.status = PS_SLOT_GONE;
	return index_txn_spoil(txn, index_txn_move(txn, &txn->came, &gone, false));
}

static int let_go(ps_index_txn *txn, struct ps_pad_slot slot, uint64_t hold)
{
	slot.named = 0;
	if (slot.status == PS_SLOT_GENERATED && slot.generation == 1 && !ps_slot_sealed(&slot))
		return ps_txn_retire(txn, &slot);
	/* An index pad's serial was a public address: it never serves anything else. */
	if (slot.status == PS_SLOT_CONFIRMED)
		slot.status = slot.class == PS_PAD_PUBLIC_INDEX ? PS_SLOT_PENDING : PS_SLOT_FREE;
	else if (slot.status == PS_SLOT_GENERATED || slot.status == PS_SLOT_WRITTEN)
		slot.status = PS_SLOT_PENDING;
	return ps_txn_add_spare(txn, &slot, hold);
}

int ps_txn_let_go(ps_index_txn *txn, const struct ps_slots *slots, uint64_t hold)
{
	int err = PS_OK;
	for (uint32_t i = 0; i < slots->count && err == PS_OK; i++)
		err = let_go(txn, slots->slots[i], hold);
	return err;
}

void ps_index_settle(ps_index *index, uint64_t head)
{
	pthread_mutex_lock(&index->lock);
	if (head > index->settled)
		index->settled = head;
	for (size_t i = 0; i < index->held.places_count;) {
		struct ps_id_place place = index->held.places[i];
		struct ps_id_table *to = &index->free[place.key & 15];
		if (place.id == PS_ID_NONE || place.key >> 4 > index->settled ||
		    ps_id_table_reserve(to, 1 + index->promised) != PS_OK) {
			i++; /* without memory it stays held: the next call finds it */
			continue;
		}
		(void)ps_id_table_remove(&index->held, place.key, place.id);
		ps_id_table_add(to, ps_id_key(place.id), place.id);
	}
	pthread_mutex_unlock(&index->lock);
}

/* ---- notes ---- */

static int set_note(ps_index_txn *txn, enum ps_index_note note, const void *bytes, size_t len)
{
	struct ps_memory *memory = &txn->index->memory;
	struct ps_note_bytes head = {
	    .format = PS_INDEX_FORMAT, .number = (uint8_t)note, .len = ps_set64(len)};
	if ((unsigned)note >= PS_NOTES || (txn->notes_set[note]))
		return ps_fail(PS_EINVAL, "no such note, or it was set in this transaction");
	int err = index_txn_claim(txn, (uint64_t)note + 1);
	if (err != PS_OK)
		return err;
	ps_id id = txn->index->notes[note];
	txn->notes_set[note] = true;
	if (len == 0)
		return id == PS_ID_NONE ? PS_OK : ps_batch_delete(txn->batch, id);
	uint8_t *copy = ps_memory_alloc(memory, sizeof(head) + len);
	if (!copy)
		return ps_fail(PS_ENOMEM, "no memory for a note of %zu bytes", len);
	memcpy(head.magic, note_magic, sizeof(head.magic));
	memcpy(copy, &head, sizeof(head));
	memcpy(copy + sizeof(head), bytes, len);
	err = id == PS_ID_NONE ? ps_batch_put(txn->batch, copy, sizeof(head) + len, &id)
	                       : ps_batch_replace(txn->batch, id, copy, sizeof(head) + len);
	ps_memory_free(memory, copy, sizeof(head) + len);
	txn->notes[note] = id;
	return err;
}

int ps_txn_set_note(ps_index_txn *txn, enum ps_index_note note, const void *bytes, size_t len)
{
	return index_txn_spoil(txn, set_note(txn, note, bytes, len));
}

/* ---- no pad forgotten, none twice ---- */

static int compare(const void *a, const void *b)
{
	const struct index_moved *one = a, *other = b;
	return memcmp(one->slot.serial.bytes, other->slot.serial.bytes, PS_SERIAL);
}

static int say(const char *what, const struct ps_pad_slot *slot)
{
	const uint8_t *n = slot->name.bytes;
	return ps_fail(PS_EINVAL, "the pad %02x%02x%02x%02x… %s: refused", n[0], n[1], n[2], n[3], what);
}

/* A pad that came from nowhere: new here, or known from the network. */
static int check_fresh(const struct index_moved *came)
{
	const struct ps_pad_slot *slot = &came->slot;
	if (came->free_of_proof || (slot->status == PS_SLOT_GENERATED && slot->generation == 1))
		return PS_OK;
	return say(slot->status == PS_SLOT_GONE ? "is in no place that it could leave" : "comes from nowhere",
	           slot);
}

static int check_came(const struct index_moved *left, const struct index_moved *came)
{
	if (came->slot.status == PS_SLOT_GONE)
		return ps_slot_cause(left->slot.status, PS_SLOT_GONE)
		           ? PS_OK
		           : say("cannot be retired yet", &came->slot);
	/* What another machine wrote in the meantime is not ours to judge by our own steps. */
	return came->free_of_proof ? PS_OK : ps_slot_check_change(&left->slot, &came->slot);
}

static int check_moves(struct index_moves *left, struct index_moves *came)
{
	size_t l = 0;
	if (left->count > 0)
		qsort(left->all, left->count, sizeof(*left->all), compare);
	if (came->count > 0)
		qsort(came->all, came->count, sizeof(*came->all), compare);
	for (size_t c = 0; c < came->count; c++) {
		if (c > 0 && compare(&came->all[c - 1], &came->all[c]) == 0)
			return say("would stand in two places", &came->all[c].slot);
		for (; l < left->count && compare(&left->all[l], &came->all[c]) < 0; l++)
			if (!left->all[l].free_of_proof)
				return say("would be forgotten", &left->all[l].slot);
		bool from_here = l < left->count && compare(&left->all[l], &came->all[c]) == 0;
		int err = from_here ? check_came(&left->all[l++], &came->all[c]) : check_fresh(&came->all[c]);
		if (err != PS_OK)
			return err;
	}
	for (; l < left->count; l++)
		if (!left->all[l].free_of_proof)
			return say("would be forgotten", &left->all[l].slot);
	return PS_OK;
}

/* ---- the commit ---- */

/* Nothing can fail after the commit: room for all that it will add to the tables is made before. */
static int promise(ps_index_txn *txn)
{
	struct ps_index *index = txn->index;
	int err = PS_OK;
	pthread_mutex_lock(&index->lock);
	size_t more = index->promised + txn->effects_count;
	for (size_t i = 0; i < txn->effects_count && err == PS_OK; i++)
		if (txn->effects[i].add)
			err = ps_id_table_reserve(txn->effects[i].table, more);
	if (err == PS_OK)
		index->promised = more;
	pthread_mutex_unlock(&index->lock);
	return err;
}

static void apply_locked(ps_index_txn *txn)
{
	struct ps_index *index = txn->index;
	for (size_t i = 0; i < txn->effects_count; i++) {
		struct index_effect *e = &txn->effects[i];
		if (e->add)
			ps_id_table_add(e->table, e->key, e->id);
		else if (!ps_id_table_remove(e->table, e->key, e->id) && e->table == &index->held)
			/* settled since it was looked at */
			(void)ps_id_table_remove(&index->free[e->key & 15], ps_id_key(e->id), e->id);
	}
	for (unsigned note = 0; note < PS_NOTES; note++)
		if (txn->notes_set[note])
			index->notes[note] = txn->notes[note];
	index_figures_add(&index->figures, &txn->delta);
}

/* The batch ends, whatever comes of it. */
static int commit(ps_index_txn *txn, enum ps_durability durability)
{
	struct ps_index *index = txn->index;
	int err = promise(txn);
	if (err != PS_OK) {
		(void)ps_batch_abort(txn->batch);
		return err;
	}
	err = ps_batch_commit(txn->batch, durability);
	pthread_mutex_lock(&index->lock);
	if (err == PS_OK)
		apply_locked(txn);
	else
		index_note_failure(index, err);
	index->promised -= txn->effects_count;
	pthread_mutex_unlock(&index->lock);
	return err;
}

static int check_and_commit(ps_index_txn *txn, enum ps_durability durability)
{
	int err = txn->error != PS_OK
	              ? ps_fail(txn->error, "a step of this transaction of the local index failed")
	              : index_check(txn->index);
	if (err == PS_OK)
		err = check_moves(&txn->left, &txn->came);
	if (err == PS_OK)
		err = index_summary_enter(txn);
	if (err != PS_OK) {
		ps_index_abort(txn);
		return err;
	}
	err = commit(txn, durability);
	index_summary_leave(txn->index);
	index_txn_free(txn);
	return err;
}

int ps_index_commit(ps_index_txn *txn)
{
	return check_and_commit(txn, PS_DURABLE);
}

int ps_index_commit_later(ps_index_txn *txn)
{
	return check_and_commit(txn, PS_RELAXED);
}

int ps_index_flush(ps_index *index)
{
	int err = index_check(index);
	if (err != PS_OK)
		return err;
	err = ps_sync(index->store);
	if (err != PS_OK)
		index_note_failure(index, err);
	return err;
}
