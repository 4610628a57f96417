/* Any bytes to what readers of public values decode, and what their writers keep: the first chooses. What is
 * accepted is encoded again to the same bytes, and every entry of it can be used. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "remote/public_address.h"
#include "remote/public_anchor.h"
#include "remote/public_internal.h"
#include "remote/public_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

/* The level's length is what every entry says, and nothing overflows. */
static void use_entries(const struct ps_manifest *m, unsigned level, uint64_t first, uint32_t count,
                        const uint8_t *bytes, size_t head)
{
	for (uint32_t i = 0; i < count; i++) {
		struct ps_manifest_entry entry;
		uint8_t again[PS_MANIFEST_ENTRY];
		ps_manifest_entry(bytes, head, i, &entry);
		must(entry.slot.length == ps_manifest_length(m, level, first + i) && entry.slot.length > 0);
		must(entry.slot.length <= m->chunk);
		ps_manifest_encode_entry(&entry.slot, entry.read_key, again);
		must(memcmp(bytes + head + (size_t)i * PS_MANIFEST_ENTRY, again, sizeof(again)) == 0);
	}
}

static void try_manifest(const uint8_t *data, size_t size)
{
	struct ps_manifest m;
	uint8_t again[PS_MANIFEST_HEAD];
	if (ps_manifest_decode(data, size, &m) != PS_OK)
		return;
	ps_manifest_encode(&m, again);
	must(memcmp(data, again, sizeof(again)) == 0);
	must(size == PS_MANIFEST_HEAD + (size_t)m.count * PS_MANIFEST_ENTRY);
	use_entries(&m, m.level, 0, m.count, data, PS_MANIFEST_HEAD);
}

/* A manifest's level, size and chunk, and where the node is to stand; then the node. */
static void try_node(const uint8_t *data, size_t size)
{
	struct {
		uint8_t level;
		uint8_t size[4], chunk[2], first[2];
	} at;
	uint8_t again[PS_MANIFEST_NODE];
	if (size < sizeof(at))
		return;
	memcpy(&at, data, sizeof(at));
	struct ps_manifest m = {.level = (uint8_t)(1 + at.level % (PS_MANIFEST_LEVELS - 1)),
	                        .size = 1U + at.size[0] + 256U * at.size[1] + 65536U * at.size[2],
	                        .chunk = 288U + at.chunk[0] + 256U * at.chunk[1]};
	if (m.size < m.chunk)
		return;
	uint64_t first = at.first[0] + 256U * at.first[1];
	unsigned level = m.level - 1U;
	const uint8_t *node = data + sizeof(at);
	size_t len = size - sizeof(at);
	if (ps_manifest_check_node(&m, level, first, node, len) != PS_OK)
		return;
	uint32_t count = (uint32_t)((len - PS_MANIFEST_NODE) / PS_MANIFEST_ENTRY);
	ps_manifest_encode_node(level, first, count, again);
	must(memcmp(node, again, sizeof(again)) == 0);
	use_entries(&m, level, first, count, node, PS_MANIFEST_NODE);
}

static void try_address(const uint8_t *data, size_t size)
{
	char text[512], again[PS_ADDRESS_TEXT];
	struct ps_address address, same;
	size_t len = size < sizeof(text) - 1 ? size : sizeof(text) - 1;
	memcpy(text, data, len);
	text[len] = '\0';
	if (ps_address_parse(text, &address) != PS_OK)
		return;
	ps_address_print(&address, again);
	must(ps_address_parse(again, &same) == PS_OK && memcmp(&address, &same, sizeof(same)) == 0);
}

static void try_anchor(const uint8_t *data, size_t size)
{
	struct public_anchor anchor;
	struct public_anchor_bytes again;
	if (public_anchor_decode("anchor", data, size, &anchor) != PS_OK)
		return;
	public_anchor_encode(&anchor, &again);
	must(size == sizeof(again) && memcmp(data, &again, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 5) {
	case 0:
		try_manifest(data + 1, size - 1);
		break;
	case 1:
		try_node(data + 1, size - 1);
		break;
	case 2:
		try_address(data + 1, size - 1);
		break;
	case 3:
		try_anchor(data + 1, size - 1);
		break;
	default:
		(void)!public_intents_check(data + 1, size - 1);
		break;
	}
	return 0;
}
