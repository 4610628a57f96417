/* Looking for runs where no head lists them: every pad of the network is looked at, and only what this key
 * has written, and is whole, is taken. */
#include <stdlib.h>

#include "base/fail.h"
#include "remote/sync_internal.h"

enum { PAGE = 256, MOST_TRIES = 5 };

struct scan {
	struct ps_sync *s;
	struct sync_found *found;
	ps_client *client;
	struct ps_net_buffer *buffer;
};

/* Reads are asked again while the network is not to be reached. */
static int ask(struct scan *scan, struct ps_net_request *request)
{
	struct ps_net_request asked = *request;
	for (unsigned tries = 1;; tries++) {
		*request = asked;
		enum ps_outcome outcome = ps_client_call(scan->client, request);
		if (outcome == PS_NET_DONE)
			return ps_operation_show(&scan->s->op);
		if (outcome != PS_NET_UNAVAILABLE || tries == MOST_TRIES)
			return ps_fail(request->error != PS_OK ? request->error : ps_outcome_error(outcome),
			               "%s", request->sentence);
	}
}

static int get(struct scan *scan, const struct ps_pad_name *name, enum ps_net_op op, size_t len)
{
	ps_net_buffer_release(scan->buffer);
	scan->buffer = ps_net_buffer_new(&scan->s->r->network->memory, len);
	if (!scan->buffer)
		return ps_fail(PS_ENOMEM, "no memory for a record of %zu bytes", len);
	struct ps_net_request request = {.op = op, .name = *name, .len = len, .buffer = scan->buffer};
	return ask(scan, &request);
}

/* ---- one pad ---- */

/* Whether the pad says that it is a part of an index, and may be of ours. */
static bool looks_like_run(const struct scan *scan, const struct ps_pad_name *name,
                           struct ps_pad_header *header)
{
	ps_remote *r = scan->s->r;
	struct ps_pad_name should;
	if (ps_pad_open_header(scan->buffer->bytes, scan->buffer->len, name, header) != PS_OK ||
	    header->plan.role != PS_ROLE_RUN || header->plan.class != PS_PAD_PRIVATE)
		return false;
	bool known = !ps_all_zero(r->network_id, sizeof(r->network_id));
	if (known && memcmp(header->plan.network, r->network_id, sizeof(r->network_id)) != 0)
		return false;
	return ps_pad_name(r->keys, &header->plan.serial, &should) == PS_OK &&
	       memcmp(&should, name, sizeof(should)) == 0;
}

static int add_part(struct scan *scan, const struct sync_found_part *part)
{
	struct sync_found *found = scan->found;
	struct sync_found_part *grown =
	    ps_memory_grow(&scan->s->r->memory, found->parts, found->count, &found->capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	found->parts = grown;
	found->parts[found->count++] = *part;
	return PS_OK;
}

static void take_slot(const struct ps_pad_header *header, const struct ps_pad_name *name, uint32_t length,
                      struct ps_pad_slot *slot)
{
	unsigned mode = PS_PAD_SMALL;
	while (mode < PS_PAD_LARGE && length > ps_pad_mode_payload(mode))
		mode++;
	ps_slot_new(slot, &header->plan.serial, name, PS_PAD_PRIVATE, mode);
	slot->generation = header->plan.generation;
	slot->counter = header->identity.counter;
	slot->length = length;
	slot->status = PS_SLOT_CONFIRMED;
	memcpy(slot->hash, header->identity.hash, sizeof(slot->hash));
}

static bool open_part(struct scan *scan, const struct ps_pad_header *header, const struct ps_pad_name *name,
                      uint8_t *plain, struct sync_found_part *part)
{
	struct ps_pad_reader reader = {.keys = scan->s->r->keys};
	struct ps_pad_contents contents;
	struct ps_run_part says;
	uint8_t description[SYNC_RUN_DESCRIPTION];
	if (ps_pad_open(&reader, header, scan->buffer->bytes, scan->buffer->len, plain, &contents) != PS_OK ||
	    ps_run_part_decode(plain, contents.length, &says) != PS_OK ||
	    strcmp(says.store, ps_keys_store(scan->s->r->keys)) != 0)
		return false;
	sync_run_description(says.about.id, says.part, description);
	if (contents.description_len != sizeof(description) ||
	    memcmp(contents.description, description, sizeof(description)) != 0)
		return false;
	*part = (struct sync_found_part){.head = says.about.head,
	                                 .base = says.about.base,
	                                 .part = says.part,
	                                 .parts = says.parts,
	                                 .bytes = contents.length,
	                                 .keys = says.count};
	memcpy(part->id, says.about.id, sizeof(part->id));
	memcpy(part->network, header->plan.network, sizeof(part->network));
	take_slot(header, name, contents.length, &part->slot);
	return true;
}

static int scan_pad(struct scan *scan, const struct ps_net_listed *listed)
{
	struct ps_pad_header header;
	struct sync_found_part part;
	uint32_t most = ps_pad_record_bytes(scan->s->r->payloads[PS_PAD_LARGE]);
	scan->found->looked++;
	if (listed->size > most)
		return PS_OK;
	int err = get(scan, &listed->name, PS_NET_GET_RANGE, PS_PAD_HEADER_MAX);
	if (err == PS_OK &&
	    ps_pad_open_header(scan->buffer->bytes, scan->buffer->len, &listed->name, &header) != PS_OK)
		scan->found->refused++;
	if (err == PS_OK && !looks_like_run(scan, &listed->name, &header))
		return PS_OK;
	if (err == PS_OK)
		err = get(scan, &listed->name, PS_NET_GET, (size_t)listed->size);
	if (err == PS_ENOTFOUND || err == PS_ERANGE) /* it went, or grew, meanwhile */
		return PS_OK;
	if (err != PS_OK)
		return err;
	if (!looks_like_run(scan, &listed->name, &header)) {
		scan->found->refused++;
		return PS_OK;
	}
	uint8_t *plain = ps_memory_alloc(&scan->s->r->memory, header.payload);
	if (!plain)
		return ps_fail(PS_ENOMEM, "no memory for a pad of %u bytes", header.payload);
	if (open_part(scan, &header, &listed->name, plain, &part))
		err = add_part(scan, &part);
	else
		scan->found->refused++;
	ps_memory_free(&scan->s->r->memory, plain, header.payload);
	return err;
}

static int scan_all(struct scan *scan)
{
	struct ps_net_listed listed[PAGE];
	struct ps_net_list list = {.listed = listed, .capacity = PAGE, .more = true};
	int err = PS_OK;
	while (err == PS_OK && list.more) {
		struct ps_net_request request = {.op = PS_NET_LIST, .list = &list};
		err = ask(scan, &request);
		for (size_t i = 0; i < list.count && err == PS_OK; i++)
			err = scan_pad(scan, &listed[i]);
	}
	return err;
}

int sync_scan(struct ps_sync *s, struct sync_found *found)
{
	struct scan scan = {.s = s, .found = found};
	int err = ps_client_open(s->r->network, &scan.client);
	if (err != PS_OK)
		return err;
	err = scan_all(&scan);
	ps_net_buffer_release(scan.buffer);
	ps_client_close(scan.client);
	return err;
}

void sync_found_done(struct ps_sync *s, struct sync_found *found)
{
	ps_memory_free(&s->r->memory, found->parts, found->capacity * sizeof(*found->parts));
	*found = (struct sync_found){0};
}

/* ---- which runs they make ---- */

static int by_run(const void *a, const void *b)
{
	const struct sync_found_part *one = a, *other = b;
	if (one->head != other->head)
		return one->head < other->head ? -1 : 1;
	int order = memcmp(one->id, other->id, PS_RUN_ID);
	if (order != 0)
		return order;
	return one->part < other->part ? -1 : one->part > other->part;
}

static bool same_run(const struct sync_found_part *a, const struct sync_found_part *b)
{
	return a->head == b->head && a->base == b->base && memcmp(a->id, b->id, PS_RUN_ID) == 0;
}

/* The parts from `at` on that are one run's: how many, and whether none is missing. A part that was sent
 * twice, in two pads, is taken once. */
static size_t measure(struct sync_found *found, size_t at, bool *whole)
{
	size_t end = at;
	uint32_t next = 0;
	*whole = false;
	while (end < found->count && same_run(&found->parts[at], &found->parts[end])) {
		struct sync_found_part *part = &found->parts[end++];
		part->taken = part->part == next;
		next += part->taken;
		*whole = part->taken ? part->parts == next : *whole;
	}
	return end - at;
}

static int add_run(struct ps_sync *s, const struct sync_found_part *parts, size_t count, struct ps_head *head)
{
	struct ps_head_run run = {.head = parts->head, .base = parts->base};
	unsigned mode = 0;
	int err = PS_OK;
	memcpy(run.id, parts->id, sizeof(run.id));
	for (size_t i = 0; i < count; i++)
		if (parts[i].slot.mode > mode)
			mode = parts[i].slot.mode;
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		struct ps_pad_slot slot = parts[i].slot;
		slot.mode = (uint8_t)mode;
		if (!parts[i].taken)
			continue;
		run.bytes += parts[i].bytes;
		run.keys += parts[i].keys;
		err = ps_slots_add(&run.pads, &s->r->memory, &slot, 1);
	}
	if (err == PS_OK)
		err = ps_head_add_run(head, &run);
	ps_slots_done(&run.pads, &s->r->memory);
	return err;
}

/* The newest base, and what came behind it. Of two runs of one head, one lost the race for it: which, nobody
 * can tell any more. */
int sync_choose_runs(struct ps_sync *s, struct sync_found *found, struct ps_head *head)
{
	int err = PS_OK;
	if (found->count > 0)
		qsort(found->parts, found->count, sizeof(*found->parts), by_run);
	for (size_t at = 0, count; at < found->count && err == PS_OK; at += count) {
		bool whole;
		count = measure(found, at, &whole);
		const struct sync_found_part *first = &found->parts[at];
		uint32_t runs = head->runs_count;
		if (!whole) {
			found->incomplete++;
		} else if (first->base) {
			err = ps_head_cut_runs(head, 0);
			if (err == PS_OK)
				err = add_run(s, first, count, head);
			memcpy(head->network, first->network, sizeof(head->network));
		} else if (runs > 0 && head->runs[runs - 1].head == first->head) {
			found->ambiguous++;
		} else if (runs > 0 && memcmp(head->network, first->network, sizeof(head->network)) == 0) {
			err = add_run(s, first, count, head);
		}
	}
	return err;
}
