#include "remote/pad_slot.h"

#include <string.h>

#include "base/fail.h"

static const char *const status_texts[] = {
#define TEXT(name, text) text,
    PS_SLOT_STATUS_TABLE(TEXT)
#undef TEXT
};

static const char *const causes[PS_SLOT_STATUSES][PS_SLOT_STATUSES] = {
#define CAUSE(from, to, cause) [PS_SLOT_##from][PS_SLOT_##to] = cause,
    PS_SLOT_CHANGE_TABLE(CAUSE)
#undef CAUSE
};

const char *ps_slot_status_text(unsigned status)
{
	return status < PS_SLOT_STATUSES ? status_texts[status] : "no status";
}

const char *ps_slot_cause(unsigned from, unsigned to)
{
	return from < PS_SLOT_STATUSES && to < PS_SLOT_STATUSES ? causes[from][to] : NULL;
}

uint32_t ps_pad_mode_payload(unsigned mode)
{
	static const uint32_t payloads[] = {128 << 10, 2 << 20, 8 << 20};
	return mode <= PS_PAD_LARGE ? payloads[mode] : 0;
}

void ps_slot_new(struct ps_pad_slot *slot, const struct ps_serial *serial, const struct ps_pad_name *name,
                 unsigned class, unsigned mode)
{
	*slot = (struct ps_pad_slot){.serial = *serial,
	                             .name = *name,
	                             .generation = 1,
	                             .counter = 1,
	                             .class = (uint8_t) class,
	                             .mode = (uint8_t)mode,
	                             .status = PS_SLOT_GENERATED};
}

int ps_slot_reuse(struct ps_pad_slot *slot)
{
	assert(slot->status == PS_SLOT_FREE);
	/* The largest of each stays unused: a fence may still need a counter above. */
	if (slot->generation >= UINT32_MAX - 1 || slot->counter >= UINT64_MAX - 1)
		return ps_fail(PS_ERANGE, "a pad's generation or counter is used up");
	memcpy(slot->before, slot->hash, sizeof(slot->before));
	memset(slot->hash, 0, sizeof(slot->hash));
	memset(slot->nonce, 0, sizeof(slot->nonce));
	slot->generation++;
	slot->counter++;
	slot->length = 0;
	slot->named = 0;
	slot->status = PS_SLOT_GENERATED;
	return PS_OK;
}

bool ps_slot_sealed(const struct ps_pad_slot *slot)
{
	return !ps_all_zero(slot->hash, sizeof(slot->hash));
}

bool ps_slot_same_pad(const struct ps_pad_slot *a, const struct ps_pad_slot *b)
{
	return memcmp(a->serial.bytes, b->serial.bytes, PS_SERIAL) == 0;
}

int ps_slot_check_change(const struct ps_pad_slot *before, const struct ps_pad_slot *after)
{
	if (!ps_slot_cause(before->status, after->status) &&
	    (before->status != after->status || memcmp(before->hash, after->hash, sizeof(after->hash)) != 0))
		return ps_fail(PS_EINVAL, "a pad cannot go from %s to %s",
		               ps_slot_status_text(before->status), ps_slot_status_text(after->status));
	if (!ps_slot_same_pad(before, after) ||
	    memcmp(before->name.bytes, after->name.bytes, PS_PAD_NAME) != 0 ||
	    before->class != after->class || before->mode != after->mode)
		return ps_fail(PS_EINVAL, "a pad keeps its serial, name, class and mode");
	/* Two contents under one counter is what nothing here may ever cause. */
	if (ps_slot_sealed(before) && before->counter == after->counter &&
	    memcmp(before->hash, after->hash, sizeof(after->hash)) != 0)
		return ps_fail(PS_EINVAL, "a pad's counter %llu would have a second header hash",
		               (unsigned long long)after->counter);
	/* Looked at, and found as it was before we took it: then, and only then, a step back. */
	bool as_before = before->status == PS_SLOT_PENDING && after->status == PS_SLOT_FREE &&
	                 after->counter + 1 == before->counter &&
	                 after->generation + 1 == before->generation &&
	                 memcmp(after->hash, before->before, sizeof(before->before)) == 0;
	if (!as_before && (after->counter < before->counter || after->generation < before->generation))
		return ps_fail(PS_EINVAL, "a pad's counter or generation would go back");
	return PS_OK;
}

int ps_slot_check(const struct ps_pad_slot *slot)
{
	if (slot->status == PS_SLOT_GONE || slot->status >= PS_SLOT_STATUSES ||
	    slot->class > PS_PAD_PUBLIC_DATA || slot->mode > PS_PAD_LARGE)
		return ps_fail(PS_ECORRUPT, "a pad slot has impossible status %u, class %u or mode %u",
		               slot->status, slot->class, slot->mode);
	if (slot->generation == 0 || slot->counter < slot->generation ||
	    slot->length > ps_pad_mode_payload(slot->mode))
		return ps_fail(PS_ECORRUPT,
		               "a pad slot has impossible generation %u, counter %llu or length %u",
		               slot->generation, (unsigned long long)slot->counter, slot->length);
	if (ps_all_zero(slot->serial.bytes, PS_SERIAL) || ps_all_zero(slot->name.bytes, PS_PAD_NAME))
		return ps_fail(PS_ECORRUPT, "a pad slot has no serial or no name");
	bool may_be_open = slot->status == PS_SLOT_GENERATED || slot->status == PS_SLOT_PENDING ||
	                   slot->status == PS_SLOT_INVALID;
	if (!ps_slot_sealed(slot) && (!may_be_open || !ps_all_zero(slot->nonce, sizeof(slot->nonce))))
		return ps_fail(PS_ECORRUPT, "a pad slot is %s and has no header hash",
		               ps_slot_status_text(slot->status));
	return PS_OK;
}

void ps_slot_encode(const struct ps_pad_slot *slot, struct ps_slot_bytes *out)
{
	*out = (struct ps_slot_bytes){.generation = ps_set32(slot->generation),
	                              .counter = ps_set64(slot->counter),
	                              .length = ps_set32(slot->length),
	                              .class = slot->class,
	                              .mode = slot->mode,
	                              .status = slot->status};
	memcpy(out->serial, slot->serial.bytes, sizeof(out->serial));
	memcpy(out->name, slot->name.bytes, sizeof(out->name));
	memcpy(out->nonce, slot->nonce, sizeof(out->nonce));
	memcpy(out->hash, slot->hash, sizeof(out->hash));
	memcpy(out->before, slot->before, sizeof(out->before));
	out->named = slot->named;
}

int ps_slot_decode(const struct ps_slot_bytes *bytes, struct ps_pad_slot *slot)
{
	struct ps_pad_slot s = {.generation = ps_get32(bytes->generation),
	                        .counter = ps_get64(bytes->counter),
	                        .length = ps_get32(bytes->length),
	                        .class = bytes->class,
	                        .mode = bytes->mode,
	                        .status = bytes->status};
	memcpy(s.serial.bytes, bytes->serial, sizeof(bytes->serial));
	memcpy(s.name.bytes, bytes->name, sizeof(bytes->name));
	memcpy(s.nonce, bytes->nonce, sizeof(bytes->nonce));
	memcpy(s.hash, bytes->hash, sizeof(bytes->hash));
	memcpy(s.before, bytes->before, sizeof(bytes->before));
	if (bytes->named > PS_NAMED_ALL)
		return ps_fail(PS_ECORRUPT, "a pad slot has reserved bits set");
	s.named = bytes->named;
	int err = ps_slot_check(&s);
	if (err == PS_OK)
		*slot = s;
	return err;
}

void ps_slot_encode_wire(const struct ps_pad_slot *slot, struct ps_slot_wire *out)
{
	*out = (struct ps_slot_wire){.generation = ps_set32(slot->generation),
	                             .counter = ps_set64(slot->counter),
	                             .length = ps_set32(slot->length),
	                             .class = slot->class,
	                             .mode = slot->mode};
	memcpy(out->serial, slot->serial.bytes, sizeof(out->serial));
	memcpy(out->name, slot->name.bytes, sizeof(out->name));
	memcpy(out->hash, slot->hash, sizeof(out->hash));
}

int ps_slot_decode_wire(const struct ps_slot_wire *bytes, struct ps_pad_slot *slot)
{
	struct ps_pad_slot s = {.generation = ps_get32(bytes->generation),
	                        .counter = ps_get64(bytes->counter),
	                        .length = ps_get32(bytes->length),
	                        .class = bytes->class,
	                        .mode = bytes->mode,
	                        .status = PS_SLOT_CONFIRMED};
	memcpy(s.serial.bytes, bytes->serial, sizeof(bytes->serial));
	memcpy(s.name.bytes, bytes->name, sizeof(bytes->name));
	memcpy(s.hash, bytes->hash, sizeof(bytes->hash));
	int err = ps_slot_check(&s);
	if (err == PS_OK)
		*slot = s;
	return err;
}
