/* Records as they travel. */
#include <string.h>

#include "base/fail.h"
#include "remote/record.h"

enum { WIRE_FLAGS = PS_RECORD_COMPLETE | PS_RECORD_PUBLIC | PS_RECORD_TOMBSTONE };

bool ps_record_may_travel(const struct ps_record *record)
{
	if (record->kind != PS_RECORD_BLOB || ps_version_none(&record->version))
		return false;
	for (uint32_t i = 0; i < record->sets[PS_SET_CURRENT].count; i++)
		if (!ps_slot_sealed(&record->sets[PS_SET_CURRENT].slots[i]))
			return false;
	/* What an address shows travels once it is known to be there. */
	return !(record->flags & PS_RECORD_PUBLIC) || record->index_pad.status == PS_SLOT_CONFIRMED;
}

size_t ps_record_wire_bytes(const struct ps_record *record)
{
	size_t slots = record->sets[PS_SET_CURRENT].count + (record->flags & PS_RECORD_PUBLIC ? 1U : 0U);
	return sizeof(struct ps_record_wire) + record->name_len + slots * PS_SLOT_WIRE_BYTES;
}

void ps_record_encode_wire(const struct ps_record *record, uint64_t head, uint8_t *out)
{
	const struct ps_slots *current = &record->sets[PS_SET_CURRENT];
	struct ps_record_wire wire = {
	    .flags = (uint8_t)(record->flags & WIRE_FLAGS),
	    .mode = record->content.mode,
	    .class = record->content.class,
	    .name_len = ps_set16(record->name_len),
	    .count = ps_set32(current->count),
	    .size = ps_set64(record->content.size),
	    .version = ps_version_encode(&record->version),
	    .published = ps_set64(record->flags & PS_RECORD_DIRTY ? head : record->published),
	    .time_ns = ps_set64(record->time_ns)};
	struct ps_slot_wire slot;
	assert(ps_record_may_travel(record));
	memcpy(wire.hash, record->content.hash, sizeof(wire.hash));
	memcpy(out, &wire, sizeof(wire));
	memcpy(out + sizeof(wire), record->name, record->name_len);
	uint8_t *at = out + sizeof(wire) + record->name_len;
	if (record->flags & PS_RECORD_PUBLIC) {
		ps_slot_encode_wire(&record->index_pad, &slot);
		memcpy(at, &slot, sizeof(slot));
		at += sizeof(slot);
	}
	for (uint32_t i = 0; i < current->count; i++, at += sizeof(slot)) {
		ps_slot_encode_wire(&current->slots[i], &slot);
		memcpy(at, &slot, sizeof(slot));
	}
}

static int decode_head(const struct ps_record_wire *wire, size_t len, struct ps_record *record)
{
	uint32_t count = ps_get32(wire->count);
	if ((wire->flags & ~(unsigned)WIRE_FLAGS) || wire->reserved != 0)
		return ps_fail(PS_ECORRUPT, "a travelled record has unknown flags");
	if (count > PS_RECORD_SLOTS_MAX ||
	    len != sizeof(*wire) + ps_get16(wire->name_len) +
	               ((uint64_t)count + (wire->flags & PS_RECORD_PUBLIC ? 1 : 0)) * PS_SLOT_WIRE_BYTES)
		return ps_fail(PS_ECORRUPT, "a travelled record has another length than it says");
	if (ps_record_init(record, record->memory, PS_RECORD_BLOB, (const char *)wire + sizeof(*wire),
	                   ps_get16(wire->name_len)) != PS_OK)
		return ps_fail(PS_ECORRUPT, "a travelled record has an impossible key");
	record->flags = wire->flags;
	record->content = (struct ps_content){ps_get64(wire->size), {0}, wire->mode, wire->class};
	memcpy(record->content.hash, wire->hash, sizeof(wire->hash));
	record->version = record->base = ps_version_decode(&wire->version);
	record->published = ps_get64(wire->published);
	record->time_ns = ps_get64(wire->time_ns);
	if (record->published == 0 || ps_version_none(&record->version))
		return ps_fail(PS_ECORRUPT, "a travelled record has no version or no head");
	return PS_OK;
}

static int decode_slot(const uint8_t *at, struct ps_pad_slot *slot)
{
	struct ps_slot_wire wire;
	memcpy(&wire, at, sizeof(wire));
	return ps_slot_decode_wire(&wire, slot);
}

static int decode_slots(const uint8_t *at, uint32_t count, struct ps_record *record)
{
	int err = PS_OK;
	if (record->flags & PS_RECORD_PUBLIC) {
		err = decode_slot(at, &record->index_pad);
		at += PS_SLOT_WIRE_BYTES;
	}
	if (count == 0 || err != PS_OK)
		return err;
	struct ps_slots *slots = &record->sets[PS_SET_CURRENT];
	slots->slots = ps_memory_zalloc(record->memory, count * sizeof(*slots->slots));
	if (!slots->slots)
		return ps_fail(PS_ENOMEM, "no memory for %u pad slots", count);
	slots->count = count;
	for (uint32_t i = 0; i < count && err == PS_OK; i++, at += PS_SLOT_WIRE_BYTES)
		err = decode_slot(at, &slots->slots[i]);
	return err;
}

int ps_record_decode_wire(const void *data, size_t len, struct ps_memory *memory, struct ps_record *record)
{
	struct ps_record decoded = {.memory = memory};
	struct ps_record_wire wire;
	*record = decoded;
	if (len < sizeof(wire))
		return ps_fail(PS_ECORRUPT, "a travelled record is cut short");
	memcpy(&wire, data, sizeof(wire));
	int err = decode_head(data, len, &decoded);
	if (err == PS_OK)
		err = decode_slots((const uint8_t *)data + sizeof(wire) + decoded.name_len,
		                   ps_get32(wire.count), &decoded);
	if (err == PS_OK)
		err = ps_record_check(&decoded);
	if (err == PS_OK)
		*record = decoded;
	else
		ps_record_done(&decoded);
	return err;
}
