/* The steps of a record's life: what becomes current, what the network's head still names, what is let go. */
#include <string.h>

#include "base/fail.h"
#include "remote/record.h"
#include "remote/serial_set.h"

/* Contents that the head on the network names, or that one on its way there may. */
static bool head_may_name(const struct ps_record *record)
{
	if (record->kind != PS_RECORD_BLOB)
		return false;
	return (record->flags & PS_RECORD_SENT) || !(record->flags & PS_RECORD_DIRTY);
}

/* Current's pads leave it: to base or out. */
static int leave_current(struct ps_record *record, struct ps_slots *let_go)
{
	struct ps_slots *current = &record->sets[PS_SET_CURRENT];
	struct ps_slots *to = head_may_name(record) ? &record->sets[PS_SET_BASE] : let_go;
	int err = ps_slots_add(to, record->memory, current->slots, current->count);
	if (err == PS_OK)
		ps_slots_done(current, record->memory);
	return err;
}

static bool all_confirmed(const struct ps_slots *slots)
{
	for (uint32_t i = 0; i < slots->count; i++)
		if (slots->slots[i].status != PS_SLOT_CONFIRMED)
			return false;
	return true;
}

static void stamp(struct ps_record *record, const struct ps_version *version, uint64_t time_ns)
{
	assert(ps_version_compare(version, &record->version) > 0);
	record->version = *version;
	record->time_ns = time_ns;
	record->published = 0;
	record->flags &=
	    (uint16_t) ~(PS_RECORD_SENT | PS_RECORD_COMPLETE | PS_RECORD_TOMBSTONE | PS_RECORD_UPDATING);
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
	if (all_confirmed(&record->sets[PS_SET_CURRENT]))
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

/* Base pads that the confirmed head does not name are let go; the others stay. */
static int split_base(struct ps_record *record, struct ps_serial_set *named, struct ps_slots *let_go)
{
	struct ps_slots *base = &record->sets[PS_SET_BASE], stay = {0};
	uint32_t kept = 0;
	for (uint32_t i = 0; i < base->count; i++) {
		struct ps_pad_slot slot = base->slots[i];
		if (!ps_serial_set_has(named, &slot.serial))
			continue;
		base->slots[i] = base->slots[kept];
		base->slots[kept++] = slot;
	}
	int err = ps_slots_add(&stay, record->memory, base->slots, kept);
	if (err == PS_OK && base->count > kept)
		err = ps_slots_add(let_go, record->memory, base->slots + kept, base->count - kept);
	if (err != PS_OK) {
		ps_slots_done(&stay, record->memory);
		return err;
	}
	ps_slots_done(base, record->memory);
	*base = stay;
	return PS_OK;
}

int ps_record_settle(struct ps_record *record, const struct ps_record *synced, struct ps_slots *let_go)
{
	struct ps_serial_set named;
	int err = PS_OK, order = ps_version_compare(&record->version, &synced->version);
	if (order < 0 || ps_version_compare(&synced->version, &record->base) < 0)
		return ps_fail(PS_EINVAL, "what was synced of \"%.64s\" is not between its base and now",
		               record->name);
	ps_serial_set_init(&named, record->memory);
	for (uint32_t i = 0; i < synced->sets[PS_SET_CURRENT].count && err == PS_OK; i++)
		err = ps_serial_set_add(&named, &synced->sets[PS_SET_CURRENT].slots[i].serial);
	if (err == PS_OK)
		err = split_base(record, &named, let_go);
	ps_serial_set_done(&named);
	if (err != PS_OK)
		return err;
	record->base = synced->version;
	if (order == 0) {
		record->flags &= (uint16_t) ~(PS_RECORD_DIRTY | PS_RECORD_SENT);
		record->published = synced->published;
	}
	return PS_OK;
}
