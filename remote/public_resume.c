/* Sending what an address is to show, and what follows from each outcome; also where the call that began it
 * was cut off. */
#include <stdio.h>

#include "base/fail.h"
#include "remote/merge.h"
#include "remote/put_internal.h"

/* ---- in the commit ---- */

int ps_public_close_in(const struct public_close *close, ps_index_txn *txn)
{
	int err = public_intent_set(close->r, close->key, NULL, txn);
	/* Known here for good, and never used again: the tombstone stays on the network. */
	return err == PS_OK && close->ended ? ps_txn_add_spare(txn, &close->slot, 0) : err;
}

/* The address has ended: its pad is the index's own from now on. */
static void part_from_address(struct ps_record *record, unsigned status, struct public_close *close)
{
	close->ended = true;
	close->slot = record->index_pad;
	close->slot.status = (uint8_t)status;
	record->flags &= (uint16_t)~PS_RECORD_PUBLIC;
	record->index_pad = (struct ps_pad_slot){0};
}

static int commit_record(ps_remote *r, const struct ps_record *record, const struct ps_slots *let_go,
                         const struct public_close *close)
{
	ps_index_txn *txn;
	int err = ps_index_begin(r->index, &txn);
	if (err != PS_OK)
		return err;
	(void)!ps_txn_put(txn, record); /* what fails here fails the commit */
	if (let_go)
		(void)!ps_txn_let_go(txn, let_go, 0);
	(void)!ps_public_close_in(close, txn);
	return ps_index_commit(txn);
}

/* ---- it is there ---- */

/* A version of its own, so that other machines hear of the pad's: with the same pads, which the same heads
 * name. */
static void renew(ps_remote *r, struct ps_record *record)
{
	struct ps_slots *current = &record->sets[PS_SET_CURRENT];
	for (uint32_t i = 0; i < current->count; i++)
		current->slots[i].named =
		    (uint8_t)ps_manager_named(record, PS_SET_CURRENT, &current->slots[i]);
	record->version = ps_manager_version(r, record);
	record->time_ns = ps_remote_wall_ns(r);
	record->flags |= PS_RECORD_DIRTY;
}

/* Gone instead of ended: an address without a pad shows nothing either. */
static int complete(struct put *put, const struct public_intent *intent, bool gone)
{
	struct public_close own = {.r = put->r, .key = put->record.name};
	struct public_close *close = put->close ? put->close : &own;
	struct ps_busy_key turn;
	bool ends = intent->then == PUBLIC_THEN_PRIVATE || intent->then == PUBLIC_THEN_REMOVE;
	put->record.index_pad.status = PS_SLOT_CONFIRMED;
	if (ends)
		part_from_address(&put->record, gone ? PS_SLOT_INVALID : PS_SLOT_CONFIRMED, close);
	if (intent->then == PUBLIC_THEN_REMOVE && put->close)
		return PS_OK; /* whoever removes the key commits it, under the turn */
	public_turn_take(put->r, &turn);
	int err = PS_OK;
	put->close = close;
	if (intent->then == PUBLIC_THEN_REMOVE)
		err = ps_blob_bury(put->r, &put->record, close);
	else if (intent->then == PUBLIC_THEN_NOTHING)
		renew(put->r, &put->record), err = commit_record(put->r, &put->record, NULL, close);
	else
		err = put_switch_now(put);
	put->close = NULL;
	public_turn_give(put->r, &turn);
	return err;
}

/* ---- another machine was faster ---- */

struct copying {
	struct ps_operation *op;
	const struct put *put;
	uint8_t *chunk; /* the contents of one */
	uint32_t number, len, given;
	uint64_t left;
};

static int read_chunk(struct copying *c)
{
	uint32_t place = c->put->chunk[c->number].place;
	uint8_t description[PS_CHUNK_DESCRIPTION];
	struct ps_pad_read read = {.slot = place == PUT_KEPT
	                                       ? c->put->record.sets[PS_SET_CURRENT].slots[c->number]
	                                       : c->put->record.sets[PS_SET_NEXT].slots[place],
	                           .role = PS_ROLE_DATA,
	                           .out = c->chunk,
	                           .description = description,
	                           .description_len = sizeof(description)};
	ps_chunk_description(c->number, description);
	read.to = read.slot.length;
	int err = ps_pads_read(c->op, &read, 1);
	if (err == PS_OK && read.task.fate != PS_FATE_DONE)
		err = ps_fail(ps_task_error(&read.task), "%s", read.task.sentence);
	c->len = read.slot.length;
	c->given = 0;
	c->number++;
	return err;
}

static int read_copied(void *arg, void *buf, size_t len, size_t *got)
{
	struct copying *c = arg;
	int err = c->given == c->len && c->left > 0 ? read_chunk(c) : PS_OK;
	uint64_t here = c->len - c->given < c->left ? c->len - c->given : c->left;
	if (err != PS_OK)
		return err;
	*got = len < here ? len : (size_t)here;
	if (*got > 0)
		memcpy(buf, c->chunk + c->given, *got);
	c->given += (uint32_t)*got;
	c->left -= *got;
	return PS_OK;
}

static const char *machine_name(void *arg, const uint8_t machine[PS_MACHINE])
{
	const ps_remote *r = arg;
	(void)machine;
	return r->machine.name;
}

static int exists(void *arg, const char *name, size_t name_len, bool *taken)
{
	const ps_remote *r = arg;
	struct ps_record record;
	int err = ps_index_look(r->index, PS_RECORD_BLOB, name, name_len, &record);
	*taken = err != PS_ENOTFOUND;
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static int name_copy(const struct put *put, char name[PS_RECORD_NAME_MAX + 1])
{
	struct ps_merge_context context = {
	    .memory = put->record.memory, .machine_name = machine_name, .exists = exists, .arg = put->r};
	struct ps_record loser = {.name_len = put->record.name_len,
	                          .version = ps_manager_version(put->r, &put->record)};
	size_t len;
	memcpy(loser.name, put->record.name, sizeof(loser.name));
	return ps_conflict_name(&context, &loser, name, &len);
}

int public_keep_copy(struct ps_operation *op, struct put *put, char name[PS_RECORD_NAME_MAX + 1])
{
	static const struct ps_remote_put options = {.size = sizeof(options)};
	struct ps_memory *memory = &op->r->memory;
	uint32_t chunk = ps_pad_mode_payload(PS_PAD_LARGE);
	struct copying c = {.op = op, .put = put, .left = put->record.next.size};
	int err = name_copy(put, name);
	if (err != PS_OK)
		return err;
	c.chunk = ps_memory_alloc(memory, chunk);
	if (!c.chunk)
		return ps_fail(PS_ENOMEM, "no memory for a chunk of %u bytes", chunk);
	err = ps_remote_put_stream(op->r, name, put->record.next.size, read_copied, &c, &options);
	ps_memory_free(memory, c.chunk, chunk);
	return err;
}

/* Our version never was, and never will be: what next has goes, and what the address shows is learnt by a
 * sync. */
static int give_way(struct put *put)
{
	struct ps_record *record = &put->record;
	struct public_close close = {.r = put->r, .key = record->name};
	struct ps_slots let_go = {0};
	struct ps_busy_key turn;
	uint64_t hold;
	int err = ps_manager_leave(put->r, record, PS_SET_NEXT, &let_go, &hold);
	if (err != PS_OK)
		return err;
	record->flags &= (uint16_t)~PS_RECORD_UPDATING;
	record->next = (struct ps_content){0};
	record->index_pad.status = PS_SLOT_INVALID;
	public_turn_take(put->r, &turn);
	err = commit_record(put->r, record, &let_go, &close);
	public_turn_give(put->r, &turn);
	ps_slots_done(&let_go, record->memory);
	return err;
}

/* Where it really is another version of ours, and not only said to be. */
static int check_conflict(struct ps_operation *op, const struct put *put, const struct public_intent *intent)
{
	struct ps_record asked = {.index_pad = put->record.index_pad};
	memcpy(asked.name, put->record.name, sizeof(asked.name));
	asked.index_pad.status = PS_SLOT_INVALID; /* what is there has to be looked into */
	asked.index_pad.counter = intent->identity.counter;
	return ps_public_look(op, &asked, NULL);
}

static int lose(struct ps_operation *op, struct put *put, const struct public_intent *intent)
{
	char copy[PS_RECORD_NAME_MAX + 1] = "";
	int err = check_conflict(op, put, intent);
	if (err != PS_ESUPERSEDED)
		return err != PS_OK ? err : ps_fail(PS_EUNAVAILABLE, "the network contradicts itself");
	err = intent->then == PUBLIC_THEN_SWITCH ? public_keep_copy(op, put, copy) : PS_OK;
	if (err == PS_OK)
		err = give_way(put);
	if (err != PS_OK)
		return err;
	return ps_fail(PS_ESUPERSEDED,
	               "another machine was faster to write what the address of \"%.64s\" shows%s%.200s%s",
	               put->record.name, copy[0] ? "; these contents are kept as \"" : "", copy,
	               copy[0] ? "\"" : "");
}

/* ---- sending ---- */

static int send(struct ps_operation *op, const struct put *put, const struct public_intent *intent,
                struct ps_pad_send *send)
{
	bool ends = intent->then == PUBLIC_THEN_PRIVATE || intent->then == PUBLIC_THEN_REMOVE;
	*send = (struct ps_pad_send){.slot = put->record.index_pad,
	                             .expected = intent->expected,
	                             .role = ends ? PS_ROLE_TOMBSTONE : PS_ROLE_DATA,
	                             .len = put->record.index_pad.length,
	                             .sealed = ps_net_buffer_hold(intent->record)};
	int err = ps_pads_send(op, send, 1, PS_VERIFY_HEAD);
	ps_net_buffer_release(send->sealed); /* if nobody has taken it */
	send->sealed = NULL;
	return err;
}

int public_carry_out(struct ps_operation *op, struct put *put, struct public_intent *intent)
{
	struct ps_pad_send sent;
	int err = send(op, put, intent, &sent);
	bool gone = sent.settle.settled == PS_SETTLED_GONE &&
	            (intent->then == PUBLIC_THEN_PRIVATE || intent->then == PUBLIC_THEN_REMOVE);
	if (sent.settle.settled == PS_SETTLED_CONFIRMED || gone)
		return complete(put, intent, gone);
	if (err != PS_OK)
		return err;
	if (sent.settle.settled == PS_SETTLED_CONFLICT)
		return lose(op, put, intent);
	return ps_fail(ps_task_error(&sent.settle.task), "the address of \"%.64s\": %.200s", put->record.name,
	               sent.settle.task.sentence);
}

/* ---- where it was cut off ---- */

/* One that a merge has made pointless: another machine's record is there now. */
static int forget(ps_remote *r, const char *key)
{
	struct public_close close = {.r = r, .key = key};
	struct ps_busy_key turn;
	ps_index_txn *txn;
	public_turn_take(r, &turn);
	int err = ps_index_begin(r->index, &txn);
	if (err == PS_OK) {
		(void)!ps_public_close_in(&close, txn);
		err = ps_index_commit(txn);
	}
	public_turn_give(r, &turn);
	return err;
}

static int places_of(struct put *put, const struct public_intent *intent)
{
	const struct ps_record *record = &put->record;
	for (uint32_t i = 0; i < intent->chunks; i++) {
		uint32_t place = intent->places[i];
		int err = put_chunk(put, i);
		if (err != PS_OK)
			return err;
		if (place == PUT_KEPT ? i >= record->sets[PS_SET_CURRENT].count
		                      : place >= record->sets[PS_SET_NEXT].count)
			return ps_fail(PS_ECORRUPT, "\"%.64s\": what its address is to show is not there",
			               record->name);
		put->chunk[i].place = place;
	}
	put->chunks = intent->chunks;
	put->used = intent->used;
	return PS_OK;
}

static bool is_of(const struct ps_record *record, const struct public_intent *intent)
{
	struct ps_pad_identity identity = ps_slot_identity(&record->index_pad);
	bool needs_next = intent->then == PUBLIC_THEN_SWITCH || intent->then == PUBLIC_THEN_PRIVATE;
	return (record->flags & PS_RECORD_PUBLIC) && record->index_pad.status == PS_SLOT_GENERATED &&
	       ps_identity_same(&identity, &intent->identity) &&
	       (!needs_next || (record->flags & PS_RECORD_UPDATING));
}

static int go_on(struct ps_operation *op, const char *key, struct public_intent *intent, bool *done)
{
	struct put put = {.r = op->r};
	int err = ps_index_get(op->r->index, PS_RECORD_BLOB, key, strlen(key), &put.record);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? forget(op->r, key) : err;
	*done = is_of(&put.record, intent);
	err = *done ? places_of(&put, intent) : forget(op->r, key);
	if (err == PS_OK && *done)
		err = public_carry_out(op, &put, intent);
	put_free_arrays(&put);
	return err;
}

int ps_public_resume(struct ps_operation *op, bool *resumed)
{
	struct public_intent intent;
	const char *key = op->shown.key;
	*resumed = false;
	int err = public_intent_find(op->r, key, &intent);
	if (err == PS_ENOTFOUND)
		return PS_OK;
	if (err != PS_OK)
		return err;
	err = op->group ? PS_OK : ps_operation_group(op);
	if (err == PS_OK)
		err = go_on(op, key, &intent, resumed);
	public_intent_done(&intent);
	return err;
}

/* ---- before other changes of the key ---- */

int ps_public_release(struct ps_record *record, struct ps_slots *let_go)
{
	if (!(record->flags & PS_RECORD_PUBLIC) || record->index_pad.status != PS_SLOT_GENERATED)
		return PS_OK;
	if (record->index_pad.counter > 1)
		return ps_fail(PS_EBUSY,
		               "what the address of \"%.64s\" shows may be changing: put, update or publish "
		               "it once more, which goes on",
		               record->name);
	/* Nobody was told this address. */
	int err = ps_slots_add(let_go, record->memory, &record->index_pad, 1);
	if (err != PS_OK)
		return err;
	record->flags &= (uint16_t)~PS_RECORD_PUBLIC;
	record->index_pad = (struct ps_pad_slot){0};
	return PS_OK;
}

int ps_public_check_rename(ps_remote *r, const char *key)
{
	struct ps_record record;
	int err = ps_index_look(r->index, PS_RECORD_BLOB, key, strlen(key), &record);
	if (err != PS_OK || !(record.flags & PS_RECORD_PUBLIC))
		return err == PS_ENOTFOUND ? PS_OK : err;
	return record.index_pad.status == PS_SLOT_GENERATED
	           ? ps_fail(PS_EBUSY,
	                     "what the address of \"%.64s\" shows may be changing: update or publish it "
	                     "once more first",
	                     key)
	           : PS_OK;
}
