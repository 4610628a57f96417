#include "remote/record.h"

#include <string.h>

#include "base/fail.h"

static const uint8_t record_magic[4] = {'P', 'S', 'r', 'c'};

int ps_version_compare(const struct ps_version *a, const struct ps_version *b)
{
	if (a->counter != b->counter)
		return a->counter < b->counter ? -1 : 1;
	return memcmp(a->machine, b->machine, PS_MACHINE);
}

bool ps_version_none(const struct ps_version *version)
{
	return version->counter == 0;
}

int ps_name_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

int ps_record_rename(struct ps_record *record, const char *name, size_t name_len)
{
	if (name_len == 0 || name_len > PS_RECORD_NAME_MAX || memchr(name, '\0', name_len))
		return ps_fail(PS_EINVAL, "a key has 1 to %d bytes and no NUL", PS_RECORD_NAME_MAX);
	memmove(record->name, name, name_len);
	memset(record->name + name_len, 0, sizeof(record->name) - name_len);
	record->name_len = (uint16_t)name_len;
	return PS_OK;
}

int ps_record_init(struct ps_record *record, struct ps_memory *memory, unsigned kind, const char *name,
                   size_t name_len)
{
	memset(record, 0, sizeof(*record));
	record->memory = memory;
	record->kind = (uint8_t)kind;
	return ps_record_rename(record, name, name_len);
}

bool ps_slots_confirmed(const struct ps_slots *slots)
{
	for (uint32_t i = 0; i < slots->count; i++)
		if (slots->slots[i].status != PS_SLOT_CONFIRMED)
			return false;
	return true;
}

void ps_slots_done(struct ps_slots *slots, struct ps_memory *memory)
{
	if (slots->slots)
		ps_memory_free(memory, slots->slots, slots->count * sizeof(*slots->slots));
	*slots = (struct ps_slots){0};
}

void ps_record_done(struct ps_record *record)
{
	for (unsigned set = 0; set < PS_SETS; set++)
		ps_slots_done(&record->sets[set], record->memory);
}

int ps_record_each_slot(const struct ps_record *record, ps_record_slot_fn fn, void *arg)
{
	int err = record->flags & PS_RECORD_PUBLIC ? fn(arg, &record->index_pad) : PS_OK;
	for (unsigned set = 0; set < PS_SETS; set++)
		for (uint32_t i = 0; i < record->sets[set].count && err == PS_OK; i++)
			err = fn(arg, &record->sets[set].slots[i]);
	return err;
}

void ps_record_move(struct ps_record *to, struct ps_record *from)
{
	*to = *from;
	memset(from->sets, 0, sizeof(from->sets));
}

int ps_slots_add(struct ps_slots *to, struct ps_memory *memory, const struct ps_pad_slot *slots, size_t count)
{
	if (count == 0)
		return PS_OK;
	if (count > PS_RECORD_SLOTS_MAX || to->count + count > PS_RECORD_SLOTS_MAX)
		return ps_fail(PS_ERANGE, "a blob has at most %d pads", PS_RECORD_SLOTS_MAX);
	struct ps_pad_slot *grown = ps_memory_resize(memory, to->slots, to->count * sizeof(*slots),
	                                             (to->count + count) * sizeof(*slots));
	if (!grown)
		return ps_fail(PS_ENOMEM, "no memory for %zu pad slots", to->count + count);
	memcpy(grown + to->count, slots, count * sizeof(*slots));
	to->slots = grown;
	to->count += (uint32_t)count;
	return PS_OK;
}

int ps_record_add_slots(struct ps_record *record, enum ps_record_set set, const struct ps_pad_slot *slots,
                        size_t count)
{
	return ps_slots_add(&record->sets[set], record->memory, slots, count);
}

int ps_record_set_slots(struct ps_record *record, enum ps_record_set set, const struct ps_pad_slot *slots,
                        size_t count)
{
	struct ps_slots fresh = {0};
	int err = ps_slots_add(&fresh, record->memory, slots, count);
	if (err != PS_OK)
		return err;
	ps_slots_done(&record->sets[set], record->memory);
	record->sets[set] = fresh;
	return PS_OK;
}

int ps_record_copy(struct ps_record *to, const struct ps_record *from)
{
	*to = *from;
	memset(to->sets, 0, sizeof(to->sets));
	for (unsigned set = 0; set < PS_SETS; set++) {
		int err =
		    ps_slots_add(&to->sets[set], to->memory, from->sets[set].slots, from->sets[set].count);
		if (err != PS_OK) {
			ps_record_done(to);
			return err;
		}
	}
	return PS_OK;
}

bool ps_record_has_contents(const struct ps_record *record)
{
	return !(record->flags & PS_RECORD_TOMBSTONE) && !ps_version_none(&record->version);
}

bool ps_record_is_public(const struct ps_record *record)
{
	return (record->flags & PS_RECORD_PUBLIC) && ps_record_has_contents(record) &&
	       record->content.class == PS_PAD_PUBLIC_DATA;
}

bool ps_record_same_contents(const struct ps_record *a, const struct ps_record *b)
{
	return ps_record_has_contents(a) && ps_record_has_contents(b) && a->content.size == b->content.size &&
	       memcmp(a->content.hash, b->content.hash, sizeof(a->content.hash)) == 0;
}

/* ---- what a record may be ---- */

static int impossible(const struct ps_record *record, const char *what)
{
	return ps_fail(PS_ECORRUPT, "the record of \"%.64s\" %s", record->name, what);
}

static bool content_none(const struct ps_content *content)
{
	return content->size == 0 && content->mode == 0 && content->class == 0 &&
	       ps_all_zero(content->hash, sizeof(content->hash));
}

static bool version_sound(const struct ps_version *version)
{
	return ps_version_none(version) == ps_all_zero(version->machine, PS_MACHINE);
}

/* Of 0 bytes there is at most one pad, and no pad is without a byte but that one. */
static bool content_sound(const struct ps_content *content, uint32_t pads)
{
	if (content->mode > PS_PAD_LARGE || content->class == PS_PAD_PUBLIC_INDEX ||
	    content->class > PS_PAD_PUBLIC_DATA)
		return false;
	uint64_t most = (uint64_t)pads * ps_pad_mode_payload(content->mode);
	return content->size <= most && (pads <= 1 || content->size >= pads);
}

static int check_flags(const struct ps_record *record)
{
	unsigned flags = record->flags;
	bool valued = ps_record_has_contents(record);
	if (record->kind >= PS_RECORD_KINDS || (flags & ~(unsigned)PS_RECORD_ALL_FLAGS))
		return impossible(record, "is of an unknown kind");
	bool sent = flags & PS_RECORD_SENT;
	if (sent == ps_version_none(&record->sent) || !version_sound(&record->sent) ||
	    (sent && (!(flags & PS_RECORD_DIRTY) || ps_version_compare(&record->sent, &record->base) <= 0 ||
	              ps_version_compare(&record->sent, &record->version) > 0)) ||
	    (record->sets[PS_SET_SENT].count > 0 &&
	     (!sent || ps_version_compare(&record->sent, &record->version) == 0)))
		return impossible(record, "has sent what it never was");
	if ((flags & PS_RECORD_COMPLETE) && !valued)
		return impossible(record, "is complete without contents");
	if ((flags & PS_RECORD_TOMBSTONE) && ps_version_none(&record->version))
		return impossible(record, "is a tombstone without a version");
	if (!version_sound(&record->version) || !version_sound(&record->base) ||
	    ps_version_compare(&record->version, &record->base) < 0)
		return impossible(record, "has a version without a machine, or before its base");
	if (record->origin_len >= record->name_len ||
	    ((flags & PS_RECORD_BORROWED) && record->origin_len == 0) ||
	    (record->origin_len > 0 && !(flags & PS_RECORD_DIRTY)))
		return impossible(record, "is a copy of what it cannot be");
	if ((flags & PS_RECORD_MOVES) && !(flags & PS_RECORD_DIRTY))
		return impossible(record, "has moved and is not dirty");
	if (record->kind == PS_RECORD_BLOB &&
	    !(flags & PS_RECORD_DIRTY) != !ps_version_compare(&record->version, &record->base))
		return impossible(record, "is dirty and is not, by its versions");
	if (record->kind == PS_RECORD_SYSTEM &&
	    ((flags & (PS_RECORD_DIRTY | PS_RECORD_PUBLIC | PS_RECORD_TOMBSTONE)) ||
	     record->sets[PS_SET_BASE].count > 0 || !ps_version_none(&record->base)))
		return impossible(record, "is the index's own and has flags of a blob");
	return PS_OK;
}

static int check_contents(const struct ps_record *record)
{
	uint32_t current = record->sets[PS_SET_CURRENT].count, next = record->sets[PS_SET_NEXT].count;
	bool valued = ps_record_has_contents(record), updating = record->flags & PS_RECORD_UPDATING;
	if (valued ? !content_sound(&record->content, current)
	           : !content_none(&record->content) || current > 0)
		return impossible(record, "has an impossible size, mode, class or number of pads");
	if (updating ? record->next.mode > PS_PAD_LARGE || record->next.class == PS_PAD_PUBLIC_INDEX ||
	                   record->next.class > PS_PAD_PUBLIC_DATA
	             : !content_none(&record->next) || next > 0)
		return impossible(record, "has an impossible update in progress, or pads of one and none");
	if (!valued && !updating && !(record->flags & PS_RECORD_TOMBSTONE))
		return impossible(record, "says nothing");
	if (record->sets[PS_SET_BASE].count > 0 && !(record->flags & PS_RECORD_DIRTY))
		return impossible(record, "has pads of another base than itself and is not dirty");
	if (!(record->flags & PS_RECORD_PUBLIC))
		return ps_all_zero(&record->index_pad, sizeof(record->index_pad))
		           ? PS_OK
		           : impossible(record, "has an index pad and is not public");
	if (record->index_pad.class != PS_PAD_PUBLIC_INDEX || record->index_pad.status == PS_SLOT_FREE)
		return impossible(record, "has an index pad that is none");
	return PS_OK;
}

static int check_slot_of(const struct ps_record *record, unsigned set, const struct ps_pad_slot *slot)
{
	const struct ps_content *content = set == PS_SET_NEXT ? &record->next : &record->content;
	if (slot->status == PS_SLOT_FREE || slot->class == PS_PAD_PUBLIC_INDEX)
		return impossible(record, "has a pad that is free or another's");
	if (set == PS_SET_BASE || set == PS_SET_SENT)
		return slot->status != PS_SLOT_GENERATED ? PS_OK
		                                         : impossible(record, "has a base never written");
	if (slot->class != content->class || slot->mode != content->mode)
		return impossible(record, "has a pad of another class or mode");
	return PS_OK;
}

/* All that is not in the slots themselves. */
static int check_frame(const struct ps_record *record)
{
	int err = check_flags(record);
	return err != PS_OK ? err : check_contents(record);
}

int ps_record_check(const struct ps_record *record)
{
	int err = check_frame(record);
	if (err == PS_OK && (record->flags & PS_RECORD_PUBLIC))
		err = ps_slot_check(&record->index_pad);
	for (unsigned set = 0; set < PS_SETS && err == PS_OK; set++) {
		const struct ps_slots *slots = &record->sets[set];
		for (uint32_t i = 0; i < slots->count && err == PS_OK; i++) {
			err = ps_slot_check(&slots->slots[i]);
			if (err == PS_OK)
				err = check_slot_of(record, set, &slots->slots[i]);
		}
	}
	return err;
}

/* ---- as an object of the local index ---- */

static size_t padded_name(size_t name_len)
{
	return (name_len + PS_RECORD_NAME_ALIGN - 1) / PS_RECORD_NAME_ALIGN * PS_RECORD_NAME_ALIGN;
}

uint64_t ps_record_index_pad_offset(const struct ps_record *record)
{
	return PS_RECORD_HEAD_BYTES + padded_name(record->name_len);
}

static uint64_t next_offset(const struct ps_record *record)
{
	return ps_record_index_pad_offset(record) + (record->flags & PS_RECORD_PUBLIC ? PS_SLOT_BYTES : 0);
}

uint64_t ps_record_slot_offset(const struct ps_record *record, enum ps_record_set set, uint32_t index)
{
	uint64_t offset =
	    next_offset(record) + (record->flags & PS_RECORD_UPDATING ? PS_RECORD_NEXT_BYTES : 0);
	for (unsigned before = 0; before < (unsigned)set; before++)
		offset += (uint64_t)record->sets[before].count * PS_SLOT_BYTES;
	return offset + (uint64_t)index * PS_SLOT_BYTES;
}

size_t ps_record_bytes(const struct ps_record *record)
{
	return (size_t)ps_record_slot_offset(record, PS_SETS, 0);
}

struct ps_version_bytes ps_version_encode(const struct ps_version *version)
{
	struct ps_version_bytes bytes = {.counter = ps_set64(version->counter)};
	memcpy(bytes.machine, version->machine, PS_MACHINE);
	return bytes;
}

struct ps_version ps_version_decode(const struct ps_version_bytes *bytes)
{
	struct ps_version version = {.counter = ps_get64(bytes->counter)};
	memcpy(version.machine, bytes->machine, PS_MACHINE);
	return version;
}

static void encode_head(const struct ps_record *record, struct ps_record_bytes *out)
{
	*out = (struct ps_record_bytes){.format = PS_INDEX_FORMAT,
	                                .kind = record->kind,
	                                .flags = ps_set16(record->flags),
	                                .name_len = ps_set16(record->name_len),
	                                .mode = record->content.mode,
	                                .class = record->content.class,
	                                .size = ps_set64(record->content.size),
	                                .version = ps_version_encode(&record->version),
	                                .base = ps_version_encode(&record->base),
	                                .sent = ps_version_encode(&record->sent),
	                                .origin_len = ps_set16(record->origin_len),
	                                .published = ps_set64(record->published),
	                                .time_ns = ps_set64(record->time_ns)};
	memcpy(out->magic, record_magic, sizeof(out->magic));
	memcpy(out->hash, record->content.hash, sizeof(out->hash));
	for (unsigned set = 0; set < PS_SETS; set++)
		out->counts[set] = ps_set32(record->sets[set].count);
}

static void encode_slot(const struct ps_pad_slot *slot, uint8_t *out)
{
	struct ps_slot_bytes bytes;
	ps_slot_encode(slot, &bytes);
	memcpy(out, &bytes, sizeof(bytes));
}

void ps_record_encode(const struct ps_record *record, uint8_t *out)
{
	struct ps_record_bytes head;
	assert(ps_record_check(record) == PS_OK);
	encode_head(record, &head);
	memset(out, 0, (size_t)ps_record_slot_offset(record, PS_SET_CURRENT, 0));
	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), record->name, record->name_len);
	if (record->flags & PS_RECORD_PUBLIC)
		encode_slot(&record->index_pad, out + ps_record_index_pad_offset(record));
	if (record->flags & PS_RECORD_UPDATING) {
		struct ps_next_bytes next = {.size = ps_set64(record->next.size),
		                             .mode = record->next.mode,
		                             .class = record->next.class};
		memcpy(next.hash, record->next.hash, sizeof(next.hash));
		memcpy(out + next_offset(record), &next, sizeof(next));
	}
	uint8_t *at = out + ps_record_slot_offset(record, PS_SET_CURRENT, 0);
	for (unsigned set = 0; set < PS_SETS; set++)
		for (uint32_t i = 0; i < record->sets[set].count; i++, at += PS_SLOT_BYTES)
			encode_slot(&record->sets[set].slots[i], at);
}

static int decode_head(const uint8_t *data, size_t len, struct ps_record *record)
{
	struct ps_record_bytes head;
	if (len < sizeof(head) || memcmp(data, record_magic, sizeof(record_magic)) != 0)
		return ps_fail(PS_ECORRUPT, "not a record of the index");
	memcpy(&head, data, sizeof(head));
	if (head.format != PS_INDEX_FORMAT)
		return ps_fail(PS_EVERSION, "a record has format %u; this program knows %d", head.format,
		               PS_INDEX_FORMAT);
	int err = ps_get16(head.name_len) <= len - sizeof(head)
	              ? ps_record_init(record, record->memory, head.kind, (const char *)data + sizeof(head),
	                               ps_get16(head.name_len))
	              : PS_EINVAL;
	if (err != PS_OK)
		return ps_fail(PS_ECORRUPT, "a record has an impossible key");
	record->flags = ps_get16(head.flags);
	record->content = (struct ps_content){ps_get64(head.size), {0}, head.mode, head.class};
	memcpy(record->content.hash, head.hash, sizeof(head.hash));
	record->version = ps_version_decode(&head.version);
	record->base = ps_version_decode(&head.base);
	record->sent = ps_version_decode(&head.sent);
	record->origin_len = ps_get16(head.origin_len);
	record->published = ps_get64(head.published);
	record->time_ns = ps_get64(head.time_ns);
	if (!ps_all_zero(head.reserved, sizeof(head.reserved)))
		return impossible(record, "has reserved bytes set");
	uint64_t total = 0;
	for (unsigned set = 0; set < PS_SETS; set++)
		total += record->sets[set].count = ps_get32(head.counts[set]);
	return total <= PS_RECORD_SLOTS_MAX ? PS_OK : impossible(record, "has too many pads");
}

static int decode_slot(const uint8_t *data, struct ps_pad_slot *slot)
{
	struct ps_slot_bytes bytes;
	memcpy(&bytes, data, sizeof(bytes));
	return ps_slot_decode(&bytes, slot);
}

int ps_record_decode_prefix(const void *data, size_t len, uint64_t object_len, struct ps_record *record)
{
	const uint8_t *bytes = data;
	int err = decode_head(bytes, len, record);
	if (err != PS_OK)
		return err;
	uint64_t name_end = PS_RECORD_HEAD_BYTES + record->name_len,
	         slots = ps_record_slot_offset(record, 0, 0);
	if (slots > len || object_len != ps_record_bytes(record))
		return impossible(record, "has another length than it says");
	if (!ps_all_zero(bytes + name_end, (size_t)(ps_record_index_pad_offset(record) - name_end)))
		return impossible(record, "has reserved bytes set");
	if (record->flags & PS_RECORD_PUBLIC)
		err = decode_slot(bytes + ps_record_index_pad_offset(record), &record->index_pad);
	if (err == PS_OK && (record->flags & PS_RECORD_UPDATING)) {
		struct ps_next_bytes next;
		memcpy(&next, bytes + next_offset(record), sizeof(next));
		record->next = (struct ps_content){ps_get64(next.size), {0}, next.mode, next.class};
		memcpy(record->next.hash, next.hash, sizeof(next.hash));
		if (!ps_all_zero(next.reserved, sizeof(next.reserved)))
			err = impossible(record, "has reserved bytes set");
	}
	return err == PS_OK ? check_frame(record) : err;
}

static int decode_slots(const uint8_t *bytes, struct ps_record *record)
{
	uint32_t counts[PS_SETS];
	for (unsigned set = 0; set < PS_SETS; set++) {
		counts[set] = record->sets[set].count;
		record->sets[set].count = 0;
	}
	const uint8_t *at = bytes;
	for (unsigned set = 0; set < PS_SETS; set++) {
		struct ps_slots *slots = &record->sets[set];
		if (counts[set] == 0)
			continue;
		slots->slots = ps_memory_zalloc(record->memory, counts[set] * sizeof(*slots->slots));
		if (!slots->slots)
			return ps_fail(PS_ENOMEM, "no memory for %u pad slots", counts[set]);
		slots->count = counts[set];
		for (uint32_t i = 0; i < slots->count; i++, at += PS_SLOT_BYTES) {
			int err = decode_slot(at, &slots->slots[i]);
			if (err != PS_OK)
				return err;
		}
	}
	return ps_record_check(record);
}

int ps_record_decode(const void *data, size_t len, struct ps_memory *memory, struct ps_record *record)
{
	struct ps_record decoded = {.memory = memory};
	int err = ps_record_decode_prefix(data, len, len, &decoded);
	if (err == PS_OK) {
		err = decode_slots((const uint8_t *)data + ps_record_slot_offset(&decoded, 0, 0), &decoded);
		if (err != PS_OK)
			ps_record_done(&decoded);
	}
	if (err == PS_OK)
		*record = decoded;
	else
		*record = (struct ps_record){.memory = memory};
	return err;
}
