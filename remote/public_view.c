#include "remote/public_view.h"

#include <sodium.h>

#include "base/fail.h"
#include "remote/public_anchor.h"

void public_view_done(ps_remote *r, struct public_view *view)
{
	for (unsigned level = 0; level < PS_MANIFEST_LEVELS; level++) {
		struct public_node *node = &view->nodes[level];
		if (!node->bytes)
			continue;
		sodium_memzero(node->bytes, node->len);
		ps_memory_free(&r->memory, node->bytes, node->len);
	}
	if (view->pad.payload)
		sodium_memzero(view->pad.payload, view->pad.header.payload);
	public_pad_done(r, &view->pad);
	*view = (struct public_view){0};
}

static int nothing_there(ps_remote *r, const struct ps_pad_name *name)
{
	bool known;
	int err = public_anchor_known(r->folder, name, &known);
	if (err != PS_OK)
		return err;
	return known ? ps_fail(PS_ELOST, "%s: nothing is at this address any more; it was seen before",
	                       ps_network_url(r->network))
	             : ps_fail(PS_ENOTFOUND, "%s: nothing is at this address: another network?",
	                       ps_network_url(r->network));
}

static int open_view(struct ps_operation *op, const struct ps_pad_name *name, struct public_view *view)
{
	int err = public_pad_fetch(op, name, view->address->read_key, &view->pad);
	if (err != PS_OK)
		return err;
	if (!view->pad.there)
		return nothing_there(op->r, name);
	err = public_anchor_use(op->r->folder, name, &view->pad.header, &view->first);
	if (err != PS_OK)
		return err;
	if (view->pad.header.plan.role == PS_ROLE_TOMBSTONE)
		return ps_fail(PS_ENOTFOUND,
		               "%s: what was at this address was taken back by who published it",
		               ps_network_url(op->r->network));
	return ps_manifest_decode(view->pad.payload, view->pad.len, &view->manifest);
}

int public_view_take(struct ps_operation *op, const struct ps_address *address, struct public_view *view)
{
	struct ps_pad_name name;
	*view = (struct public_view){.address = address};
	ps_address_name(address, &name);
	int err = open_view(op, &name, view);
	if (err != PS_OK)
		public_view_done(op->r, view);
	view->there = err == PS_OK;
	return err;
}

/* ---- the tree ---- */

/* Nodes are described as the chunks behind the value's, level over level. */
static uint64_t chunk_of(const struct ps_manifest *manifest, unsigned level, uint64_t number)
{
	for (unsigned below = 0; below <= level; below++)
		number += ps_manifest_level(manifest, below);
	return number;
}

static int read_node(struct ps_operation *op, const struct public_view *view, unsigned level, uint64_t number,
                     const struct ps_manifest_entry *entry, uint8_t *bytes)
{
	uint8_t description[PS_CHUNK_DESCRIPTION];
	struct ps_pad_read read = {.slot = entry->slot,
	                           .role = PS_ROLE_DATA,
	                           .content_key = entry->read_key,
	                           .network = view->pad.header.plan.network,
	                           .to = entry->slot.length,
	                           .out = bytes,
	                           .description = description,
	                           .description_len = sizeof(description)};
	ps_chunk_description(chunk_of(&view->manifest, level, number), description);
	int err = ps_pads_read(op, &read, 1);
	if (err == PS_OK && read.task.fate != PS_FATE_DONE)
		err = ps_fail(ps_task_error(&read.task), "a list of a public value's pads: %.200s",
		              read.task.sentence);
	return err;
}

/* The node of a level that has the entry `first`; the entry of the level above names it. */
static int take_node(struct ps_operation *op, struct public_view *view, unsigned level, uint64_t first,
                     const struct ps_manifest_entry *entry)
{
	struct public_node *node = &view->nodes[level];
	uint32_t len = entry->slot.length;
	uint8_t *bytes = ps_memory_alloc(&op->r->memory, len);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "no memory for a list of pads of %u bytes", len);
	int err = read_node(op, view, level, first / ps_manifest_fan(view->manifest.chunk), entry, bytes);
	if (err == PS_OK)
		err = ps_manifest_check_node(&view->manifest, level, first, bytes, len);
	if (err != PS_OK) {
		ps_memory_free(&op->r->memory, bytes, len);
		return err;
	}
	if (node->bytes)
		ps_memory_free(&op->r->memory, node->bytes, node->len);
	*node = (struct public_node){first, len, bytes};
	return PS_OK;
}

/* The entry `number` of a level, and how many follow it in the same list. */
static int entry_of(struct ps_operation *op, struct public_view *view, unsigned level, uint64_t number,
                    struct ps_manifest_entry *entry, uint32_t *left)
{
	const struct ps_manifest *m = &view->manifest;
	if (level == m->level) {
		ps_manifest_entry(view->pad.payload, PS_MANIFEST_HEAD, (uint32_t)number, entry);
		*left = m->count - (uint32_t)number;
		return PS_OK;
	}
	struct public_node *node = &view->nodes[level];
	uint32_t fan = ps_manifest_fan(m->chunk);
	uint64_t first = number - number % fan;
	if (!node->bytes || node->first != first) {
		struct ps_manifest_entry above;
		int err = entry_of(op, view, level + 1, number / fan, &above, left);
		if (err == PS_OK)
			err = take_node(op, view, level, first, &above);
		sodium_memzero(&above, sizeof(above));
		if (err != PS_OK)
			return err;
	}
	ps_manifest_entry(node->bytes, PS_MANIFEST_NODE, (uint32_t)(number - first), entry);
	*left = (node->len - PS_MANIFEST_NODE) / PS_MANIFEST_ENTRY - (uint32_t)(number - first);
	return PS_OK;
}

int public_view_entry(struct ps_operation *op, struct public_view *view, uint64_t number,
                      struct ps_manifest_entry *entry, uint32_t *left)
{
	return entry_of(op, view, 0, number, entry, left);
}
