/* The steps of a record's life: what becomes current, what the network's head still names, what is let go. */
#include <string.h>

#include "base/fail.h"
#include "remote/record.h"

/* Where current's pads go when they leave it. What the head on the network names, or one on its way there
 * may, stays; what never left this machine is let go. */
static struct ps_slots *place_after(struct ps_record *record, struct ps_slots *let_go)
{
	if (record->kind != PS_RECORD_BLOB)
		return let_go;
	if (!(record->flags & PS_RECORD_DIRTY))
		return &record->sets[PS_SET_BASE];
	if ((record->flags & PS_RECORD_SENT) && ps_version_compare(&record->sent, &record->version) == 0)
		return &record->sets[PS_SET_SENT];
	/* The head names them as its origin's; the one that we write next does not. */
	return record->flags & PS_RECORD_BORROWED ? &record->sets[PS_SET_BASE] : let_go;
}

static int leave_current(struct ps_record *record, struct ps_slots *let_go)
{
	struct ps_slots *current = &record->sets[PS_SET_CURRENT];
	int err = ps_slots_add(place_after(record, let_go), record->memory, current->slots, current->count);
	if (err == PS_OK)
		ps_slots_done(current, record->memory);
	return err;
}

static void stamp(struct ps_record *record, const struct ps_version *version, uint64_t time_ns)
{
	assert(ps_version_compare(version, &record->version) > 0);
	record->version = *version;
	record->time_ns = time_ns;
	record->flags &=
	    (uint16_t) ~(PS_RECORD_BORROWED | PS_RECORD_COMPLETE | PS_RECORD_TOMBSTONE | PS_RECORD_UPDATING);
	if (record->kind == PS_RECORD_BLOB)
		record->flags |= PS_RECORD_DIRTY;
	record->next = (struct ps_content){0};
}

int ps_record_switch(struct ps_record *record, const struct ps_version *version, uint64_t time_ns,
                     struct ps_slots *let_go)
{
	if (!(record->flags & PS_RECORD_UPDATING))
		return ps_fail(PS_EINVAL, "\"%.64s\" has no update in progress", record->name);
	if (ps_version_compare(version, &record->version) <= 0)
		return ps_fail(PS_EINVAL, "a new version of \"%.64s\" is not later than the old",
		               record->name);
	int err = leave_current(record, let_go);
	if (err != PS_OK)
		return err;
	record->content = record->next;
	record->sets[PS_SET_CURRENT] = record->sets[PS_SET_NEXT];
	record->sets[PS_SET_NEXT] = (struct ps_slots){0};
	stamp(record, version, time_ns);
	if (ps_slots_confirmed(&record->sets[PS_SET_CURRENT]))
		record->flags |= PS_RECORD_COMPLETE;
	return PS_OK;
}

int ps_record_bury(struct ps_record *record, const struct ps_version *version, uint64_t time_ns,
                   struct ps_slots *let_go)
{
	struct ps_slots *next = &record->sets[PS_SET_NEXT];
	if (record->kind != PS_RECORD_BLOB || ps_version_compare(version, &record->version) <= 0)
		return ps_fail(PS_EINVAL, "\"%.64s\" is not a blob's, or the version is not later",
		               record->name);
	int err = ps_slots_add(let_go, record->memory, next->slots, next->count);
	if (err != PS_OK)
		return err;
	ps_slots_done(next, record->memory);
	err = leave_current(record, let_go);
	if (err != PS_OK)
		return err;
	record->content = (struct ps_content){0};
	stamp(record, version, time_ns);
	record->flags |= PS_RECORD_TOMBSTONE;
	return PS_OK;
}

int ps_record_mark_sent(struct ps_record *record)
{
	if (!(record->flags & PS_RECORD_DIRTY) || (record->flags & PS_RECORD_SENT))
		return ps_fail(PS_EINVAL, "\"%.64s\" has nothing to send, or is on its way", record->name);
	record->flags |= PS_RECORD_SENT;
	record->sent = record->version;
	return PS_OK;
}

static int let_go_set(struct ps_record *record, enum ps_record_set set, struct ps_slots *let_go)
{
	int err = ps_slots_add(let_go, record->memory, record->sets[set].slots, record->sets[set].count);
	if (err == PS_OK)
		ps_slots_done(&record->sets[set], record->memory);
	return err;
}

static void no_longer_sent(struct ps_record *record)
{
	record->sent = (struct ps_version){0};
	record->flags &= (uint16_t)~PS_RECORD_SENT;
}

/* Pads that had `mask` have `bits` now, the others none. */
static void name_anew(struct ps_slots *slots, uint8_t mask, uint8_t bits)
{
	for (uint32_t i = 0; i < slots->count; i++)
		slots->slots[i].named = slots->slots[i].named & mask ? bits : 0;
}

/* What was sent and is not history: pads that the base has as well go back to it. */
static int back_to_base(struct ps_record *record)
{
	struct ps_slots *sent = &record->sets[PS_SET_SENT], others = {0};
	int err = PS_OK;
	for (uint32_t i = 0; i < sent->count && err == PS_OK; i++)
		err =
		    ps_slots_add(sent->slots[i].named & PS_NAMED_BASE ? &record->sets[PS_SET_BASE] : &others,
		                 record->memory, &sent->slots[i], 1);
	if (err != PS_OK) {
		ps_slots_done(&others, record->memory);
		return err;
	}
	ps_slots_done(sent, record->memory);
	*sent = others;
	name_anew(&record->sets[PS_SET_BASE], 0, 0);
	name_anew(&record->sets[PS_SET_CURRENT], PS_NAMED_BASE, PS_NAMED_BASE);
	return PS_OK;
}

int ps_record_settle(struct ps_record *record, uint64_t head, struct ps_slots *let_go)
{
	if (!(record->flags & PS_RECORD_SENT) || head == 0)
		return ps_fail(PS_EINVAL, "\"%.64s\" was not on its way", record->name);
	int err = let_go_set(record, PS_SET_BASE, let_go);
	if (err != PS_OK)
		return err;
	record->sets[PS_SET_BASE] = record->sets[PS_SET_SENT];
	record->sets[PS_SET_SENT] = (struct ps_slots){0};
	name_anew(&record->sets[PS_SET_BASE], 0, 0);
	name_anew(&record->sets[PS_SET_CURRENT], PS_NAMED_SENT, PS_NAMED_BASE);
	record->base = record->sent;
	record->origin_len = 0;
	record->flags &= (uint16_t)~PS_RECORD_BORROWED;
	record->published = head;
	if (ps_version_compare(&record->version, &record->sent) == 0)
		record->flags &= (uint16_t) ~(PS_RECORD_DIRTY | PS_RECORD_MOVES);
	no_longer_sent(record);
	return PS_OK;
}

int ps_record_unsend(struct ps_record *record, struct ps_slots *let_go)
{
	if (!(record->flags & PS_RECORD_SENT))
		return ps_fail(PS_EINVAL, "\"%.64s\" was not on its way", record->name);
	/* What was sent was borrowed, and has been written over since: its pads are still the origin's. */
	if (record->origin_len > 0 && record->sets[PS_SET_BASE].count == 0) {
		record->sets[PS_SET_BASE] = record->sets[PS_SET_SENT];
		record->sets[PS_SET_SENT] = (struct ps_slots){0};
	}
	int err = back_to_base(record);
	if (err == PS_OK)
		err = let_go_set(record, PS_SET_SENT, let_go);
	if (err == PS_OK)
		no_longer_sent(record);
	return err;
}
