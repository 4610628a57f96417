#include "remote/public_manifest.h"

#include <string.h>

#include "base/fail.h"
#include "remote/pad_format.h"
#include "remote/record.h"

static const uint8_t manifest_magic[8] = {'P', 'S', 'P', 'U', 'B', 'L', 'I', 'C'};
static const uint8_t node_magic[8] = {'P', 'S', 'P', 'U', 'B', 'N', 'O', 'D'};

/* ---- the shape of the tree: it follows from size and chunk alone ---- */

static uint64_t divide_up(uint64_t n, uint64_t by)
{
	return n / by + (n % by > 0);
}

uint64_t ps_manifest_pads(uint64_t size, uint32_t chunk)
{
	return size == 0 ? 0 : divide_up(size, chunk);
}

uint32_t ps_manifest_fan(uint32_t chunk)
{
	return chunk > PS_MANIFEST_NODE ? (chunk - PS_MANIFEST_NODE) / PS_MANIFEST_ENTRY : 0;
}

uint64_t ps_manifest_level(const struct ps_manifest *manifest, unsigned level)
{
	uint64_t count = ps_manifest_pads(manifest->size, manifest->chunk);
	for (unsigned i = 0; i < level; i++)
		count = divide_up(count, ps_manifest_fan(manifest->chunk));
	return count;
}

/* Of the node of `level` that begins with entry `first`. */
static uint32_t node_count(const struct ps_manifest *manifest, unsigned level, uint64_t first)
{
	uint64_t left = ps_manifest_level(manifest, level) - first;
	uint32_t fan = ps_manifest_fan(manifest->chunk);
	return left < fan ? (uint32_t)left : fan;
}

uint32_t ps_manifest_length(const struct ps_manifest *manifest, unsigned level, uint64_t entry)
{
	uint64_t left = manifest->size - entry * (level == 0 ? manifest->chunk : 0);
	if (level == 0)
		return left < manifest->chunk ? (uint32_t)left : manifest->chunk;
	return PS_MANIFEST_NODE +
	       PS_MANIFEST_ENTRY * node_count(manifest, level - 1, entry * ps_manifest_fan(manifest->chunk));
}

/* ---- writing ---- */

void ps_manifest_encode(const struct ps_manifest *manifest, uint8_t *out)
{
	struct ps_manifest_bytes bytes = {.format = ps_set32(PS_MANIFEST_FORMAT),
	                                  .level = manifest->level,
	                                  .size = ps_set64(manifest->size),
	                                  .chunk = ps_set32(manifest->chunk),
	                                  .count = ps_set32(manifest->count)};
	memcpy(bytes.magic, manifest_magic, sizeof(bytes.magic));
	memcpy(bytes.hash, manifest->hash, sizeof(bytes.hash));
	memcpy(out, &bytes, sizeof(bytes));
}

void ps_manifest_encode_node(unsigned level, uint64_t first, uint32_t count, uint8_t *out)
{
	struct ps_manifest_node_bytes bytes = {.format = ps_set32(PS_MANIFEST_FORMAT),
	                                       .level = (uint8_t)level,
	                                       .first = ps_set64(first),
	                                       .count = ps_set32(count)};
	memcpy(bytes.magic, node_magic, sizeof(bytes.magic));
	memcpy(out, &bytes, sizeof(bytes));
}

void ps_manifest_encode_entry(const struct ps_pad_slot *slot, const uint8_t read_key[PS_KEY], uint8_t *out)
{
	struct ps_manifest_entry_bytes bytes = {.counter = ps_set64(slot->counter),
	                                        .generation = ps_set32(slot->generation),
	                                        .length = ps_set32(slot->length)};
	memcpy(bytes.serial, slot->serial.bytes, sizeof(bytes.serial));
	memcpy(bytes.name, slot->name.bytes, sizeof(bytes.name));
	memcpy(bytes.read_key, read_key, sizeof(bytes.read_key));
	memcpy(bytes.hash, slot->hash, sizeof(bytes.hash));
	memcpy(out, &bytes, sizeof(bytes));
}

/* ---- reading ---- */

static int check_entry(const struct ps_manifest *manifest, unsigned level, uint64_t number, const uint8_t *at)
{
	struct ps_manifest_entry_bytes entry;
	memcpy(&entry, at, sizeof(entry));
	if (ps_get32(entry.length) != ps_manifest_length(manifest, level, number) ||
	    ps_get64(entry.counter) == 0 || ps_get32(entry.generation) == 0 ||
	    ps_all_zero(entry.hash, sizeof(entry.hash)) || ps_all_zero(entry.name, sizeof(entry.name)))
		return ps_fail(PS_ECORRUPT, "a public manifest has an impossible entry %llu of level %u",
		               (unsigned long long)number, level);
	return PS_OK;
}

static int check_entries(const struct ps_manifest *manifest, unsigned level, uint64_t first, uint32_t count,
                         const uint8_t *at)
{
	int err = PS_OK;
	for (uint32_t i = 0; i < count && err == PS_OK; i++, at += PS_MANIFEST_ENTRY)
		err = check_entry(manifest, level, first + i, at);
	return err;
}

static int impossible(void)
{
	return ps_fail(PS_ECORRUPT, "a public manifest has impossible sizes or counts");
}

/* So that no count below overflows, and the tree gets narrower with each level. */
static int check_shape(const struct ps_manifest *m, size_t len)
{
	if (m->size == 0)
		return m->chunk == 0 && m->count == 0 && m->level == 0 && len == PS_MANIFEST_HEAD
		           ? PS_OK
		           : impossible();
	if (m->chunk == 0 || m->chunk > PAD_PAYLOAD_MAX ||
	    ps_manifest_pads(m->size, m->chunk) > PS_RECORD_SLOTS_MAX || m->level >= PS_MANIFEST_LEVELS ||
	    (m->level > 0 && ps_manifest_fan(m->chunk) < 2) || m->count != ps_manifest_level(m, m->level) ||
	    len != PS_MANIFEST_HEAD + (uint64_t)m->count * PS_MANIFEST_ENTRY)
		return impossible();
	/* Of one pad, there are no more bytes than it has. */
	return m->size < m->chunk ? impossible() : PS_OK;
}

int ps_manifest_decode(const void *data, size_t len, struct ps_manifest *manifest)
{
	struct ps_manifest_bytes bytes;
	if (len < sizeof(bytes) || memcmp(data, manifest_magic, sizeof(manifest_magic)) != 0)
		return ps_fail(PS_ECORRUPT, "no public manifest");
	memcpy(&bytes, data, sizeof(bytes));
	if (ps_get32(bytes.format) != PS_MANIFEST_FORMAT)
		return ps_fail(PS_EVERSION, "a public manifest of format %u; this program knows %d",
		               ps_get32(bytes.format), PS_MANIFEST_FORMAT);
	if (!ps_all_zero(bytes.reserved, sizeof(bytes.reserved)))
		return ps_fail(PS_ECORRUPT, "a public manifest has reserved bytes set");
	struct ps_manifest m = {.level = bytes.level,
	                        .size = ps_get64(bytes.size),
	                        .chunk = ps_get32(bytes.chunk),
	                        .count = ps_get32(bytes.count)};
	memcpy(m.hash, bytes.hash, sizeof(m.hash));
	int err = check_shape(&m, len);
	if (err == PS_OK)
		err = check_entries(&m, m.level, 0, m.count, (const uint8_t *)data + sizeof(bytes));
	if (err == PS_OK)
		*manifest = m;
	return err;
}

int ps_manifest_check_node(const struct ps_manifest *manifest, unsigned level, uint64_t first,
                           const void *data, size_t len)
{
	struct ps_manifest_node_bytes bytes;
	if (len < sizeof(bytes) || memcmp(data, node_magic, sizeof(node_magic)) != 0)
		return ps_fail(PS_ECORRUPT, "no node of a public manifest");
	memcpy(&bytes, data, sizeof(bytes));
	if (ps_get32(bytes.format) != PS_MANIFEST_FORMAT)
		return ps_fail(PS_EVERSION, "a public manifest's node of format %u; this program knows %d",
		               ps_get32(bytes.format), PS_MANIFEST_FORMAT);
	if (!ps_all_zero(bytes.reserved, sizeof(bytes.reserved)) ||
	    !ps_all_zero(bytes.reserved_too, sizeof(bytes.reserved_too)) || level >= manifest->level ||
	    bytes.level != level || ps_get64(bytes.first) != first ||
	    first >= ps_manifest_level(manifest, level) || first % ps_manifest_fan(manifest->chunk) != 0 ||
	    ps_get32(bytes.count) != node_count(manifest, level, first) ||
	    len != PS_MANIFEST_NODE + (uint64_t)ps_get32(bytes.count) * PS_MANIFEST_ENTRY)
		return ps_fail(PS_ECORRUPT, "a node of a public manifest that is none of this place");
	return check_entries(manifest, level, first, ps_get32(bytes.count),
	                     (const uint8_t *)data + sizeof(bytes));
}

void ps_manifest_entry(const uint8_t *data, size_t head, uint32_t at, struct ps_manifest_entry *entry)
{
	struct ps_manifest_entry_bytes bytes;
	memcpy(&bytes, data + head + (size_t)at * PS_MANIFEST_ENTRY, sizeof(bytes));
	*entry = (struct ps_manifest_entry){.slot = {.generation = ps_get32(bytes.generation),
	                                             .length = ps_get32(bytes.length),
	                                             .counter = ps_get64(bytes.counter),
	                                             .class = PS_PAD_PUBLIC_DATA,
	                                             .mode = PS_PAD_LARGE,
	                                             .status = PS_SLOT_CONFIRMED}};
	memcpy(entry->slot.serial.bytes, bytes.serial, sizeof(bytes.serial));
	memcpy(entry->slot.name.bytes, bytes.name, sizeof(bytes.name));
	memcpy(entry->slot.hash, bytes.hash, sizeof(bytes.hash));
	memcpy(entry->read_key, bytes.read_key, sizeof(entry->read_key));
}
