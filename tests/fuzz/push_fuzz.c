/* Any bytes to the decoders of a store on pads: the first chooses the decoder, the rest is the object. A pack
 * is taken for the one that its head says it is; what is accepted of a manifest is encoded again to the same
 * bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "multistore/fence.h"
#include "multistore/log_pad.h"
#include "multistore/manifest.h"
#include "multistore/pack_block.h"
#include "multistore/pack_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ps_memory memory;

static void must(int holds)
{
	if (!holds)
		abort();
}

struct input {
	const uint8_t *data;
	size_t size, at;
};

static int read_on(void *arg, void *buf, size_t len)
{
	struct input *in = arg;
	must(len <= in->size - in->at); /* the reader never asks for more than the value has */
	memcpy(buf, in->data + in->at, len);
	in->at += len;
	return PS_OK;
}

/* What is given is in order, within what was announced, and of the pack's interval. */
static void check_item(const struct ps_pack_about *about, const struct ps_pack_item *item, ps_id *last)
{
	must(item->object.id != PS_ID_NONE && item->len <= PS_CUT_PIECE);
	if (item->piece) {
		must(item->offset % PS_CUT_PIECE == 0 && item->object.id >= *last);
		must((item->zeros > 0) == (item->len == 0) && (item->zeros == 0 || about->since > 0));
	} else {
		must(*last == PS_ID_NONE || ps_slot_of(item->object.id) > ps_slot_of(*last));
		must(item->object.interval > about->since && item->object.interval <= about->upto);
		must(item->object.kind != PS_CUT_BYTES || item->len == item->object.size);
		must(item->object.kind != PS_CUT_PATCH || about->since > 0);
	}
	*last = item->object.id;
	static volatile uint8_t read; /* all of it can be */
	for (size_t i = 0; i < item->len; i++)
		read = item->bytes[i];
	(void)read;
}

/* What is found in a block is found again by its slot. */
static uint32_t check_block(const struct ps_pack_index *x, const struct ps_pack_block *b)
{
	for (uint32_t i = 0; i < b->count; i++) {
		uint32_t number;
		must(ps_pack_block_find(b, b->items[i].id, b->items[i].piece) == &b->items[i]);
		must(ps_pack_index_find(x, b->items[i].id, b->items[i].piece, &number));
		must((size_t)b->items[i].at + b->items[i].len <= b->len);
	}
	return b->count;
}

/* Block by block. How many items there are; none, if something is refused. */
static uint32_t try_blocks(const uint8_t *data, size_t size)
{
	struct ps_pack_tail tail;
	struct ps_pack_index x;
	uint32_t items = 0;
	int err = PS_OK;
	if (size < PS_PACK_TAIL || ps_pack_tail_decode(data + size - PS_PACK_TAIL, size, &tail) != PS_OK ||
	    ps_pack_index_decode(&memory, &tail, data + tail.index, &x) != PS_OK)
		return 0;
	for (uint32_t i = 0; i < tail.blocks && !err; i++) {
		struct ps_pack_block b;
		must(x.lines[i].offset < ps_pack_index_end(&x, i) && ps_pack_index_end(&x, i) < size);
		err = ps_pack_block_decode(&memory, &x, i, data + x.lines[i].offset, &b);
		if (err == PS_OK) {
			items += check_block(&x, &b);
			ps_pack_block_done(&b);
		}
	}
	ps_pack_index_done(&x);
	return err ? 0 : items;
}

static void try_pack(const uint8_t *data, size_t size)
{
	struct pack_head_bytes head = {.version = ps_set32(0)};
	struct input in = {data, size, 0};
	struct ps_pack_item item;
	ps_pack_reader *r;
	ps_id last = PS_ID_NONE;
	memcpy(&head, data, size < sizeof(head) ? size : sizeof(head));
	struct ps_pack_about about = {
	    .number = ps_get32(head.number), .since = ps_get64(head.since), .upto = ps_get64(head.upto)};
	memcpy(about.mark, head.mark, sizeof(about.mark));
	must(ps_pack_reader_new(&memory, &about, size, read_on, &in, &r) == PS_OK);
	int err;
	uint32_t items = 0;
	for (; (err = ps_pack_reader_next(r, &item)) == PS_OK; items++)
		check_item(&about, &item, &last);
	if (err == PS_ENOTFOUND) {
		struct ps_pack_tail tail;
		must(in.at == size && last != PS_ID_NONE);
		must(ps_pack_tail_decode(data + size - PS_PACK_TAIL, size, &tail) == PS_OK &&
		     tail.last == last);
	}
	ps_pack_reader_free(r);
	uint32_t again = try_blocks(data, size);
	must(err != PS_ENOTFOUND || again == items); /* what is right as a whole is right in parts */
	must(atomic_load(&memory.used) == 0);
}

static void try_manifest(const uint8_t *data, size_t size)
{
	struct ps_push_manifest m;
	uint8_t *again;
	size_t len;
	ps_push_manifest_init(&m, &memory);
	if (ps_push_manifest_decode(data, size, &m) == PS_OK) {
		must(ps_push_manifest_encode(&m, &again, &len) == PS_OK);
		must(len == size && memcmp(data, again, len) == 0);
		ps_memory_free(&memory, again, len);
		ps_push_manifest_done(&m);
	}
	must(atomic_load(&memory.used) == 0);
}

static void try_tail(const uint8_t *data, size_t size)
{
	struct ps_pack_tail tail;
	if (size < PS_PACK_TAIL + sizeof(ps_le64))
		return;
	ps_le64 bytes;
	memcpy(&bytes, data + PS_PACK_TAIL, sizeof(bytes));
	if (ps_pack_tail_decode(data, ps_get64(bytes), &tail) == PS_OK)
		must(tail.index < ps_get64(bytes) && tail.first <= tail.last &&
		     tail.about.since < tail.about.upto);
}

static void try_name(const uint8_t *data, size_t size)
{
	char name[128], again[PS_PACK_NAME];
	struct ps_pack_about about = {.number = 0};
	size_t len = size < sizeof(name) - 1 ? size : sizeof(name) - 1;
	memcpy(name, data, len);
	name[len] = '\0';
	if (ps_pack_name_parse(name, about.mark, &about.number) != PS_OK)
		return;
	ps_pack_name(&about, again);
	must(strcmp(name, again) == 0);
}

static void try_fence(const uint8_t *data, size_t size)
{
	const struct ps_remote_slot_at at = {3, 9};
	struct ps_fence fence;
	uint8_t again[PS_FENCE_BYTES];
	if (ps_fence_decode(data, size, &at, &fence) != PS_OK)
		return;
	ps_fence_encode(&fence, again);
	must(size == sizeof(again) && memcmp(data, again, sizeof(again)) == 0 && fence.epoch > at.epoch);
}

/* What is accepted is written again as the same bytes, and its part lies within its pack. */
static void try_log_pad(const uint8_t *data, size_t size)
{
	struct ps_log_pad pad;
	uint8_t again[PS_LOG_PAD_HEAD];
	if (ps_log_pad_decode(data, size, &pad) != PS_OK)
		return;
	must(pad.bytes == size - PS_LOG_PAD_HEAD && pad.offset + pad.bytes <= pad.pack_bytes);
	must(pad.since < pad.info.here.interval && pad.last == (pad.offset + pad.bytes == pad.pack_bytes));
	ps_log_pad_encode(&pad, again);
	must(memcmp(data, again, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int ready;
	if (!ready++)
		ps_memory_init(&memory, NULL);
	if (size == 0)
		return 0;
	switch (data[0] % 6) {
	case 0:
		try_pack(data + 1, size - 1);
		break;
	case 1:
		try_manifest(data + 1, size - 1);
		break;
	case 2:
		try_tail(data + 1, size - 1);
		break;
	case 3:
		try_name(data + 1, size - 1);
		break;
	case 4:
		try_fence(data + 1, size - 1);
		break;
	default:
		try_log_pad(data + 1, size - 1);
	}
	return 0;
}
