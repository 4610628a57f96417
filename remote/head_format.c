/* The head's bytes. */
#include <string.h>

#include "base/fail.h"
#include "remote/head.h"

static const uint8_t head_magic[8] = {'P', 'S', 'H', 'E', 'A', 'D', '0', '1'};

size_t ps_head_bytes(const struct ps_head *head)
{
	size_t len = sizeof(struct ps_head_bytes) + sizeof(struct ps_head_more_bytes) +
	             head->pairs_count * sizeof(struct ps_head_pair_bytes) +
	             head->machines_count * sizeof(struct ps_head_machine_bytes);
	for (uint32_t i = 0; i < head->runs_count; i++)
		len += sizeof(struct ps_head_run_bytes) + head->runs[i].pads.count * PS_SLOT_WIRE_BYTES;
	return len;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t len)
{
	memcpy(at, bytes, len);
	return at + len;
}

static uint8_t *encode_run(const struct ps_head_run *run, uint8_t *at)
{
	struct ps_head_run_bytes bytes = {.head = ps_set64(run->head),
	                                  .bytes = ps_set64(run->bytes),
	                                  .keys = ps_set64(run->keys),
	                                  .parts = ps_set32(run->pads.count),
	                                  .base = run->base};
	memcpy(bytes.id, run->id, sizeof(bytes.id));
	at = put(at, &bytes, sizeof(bytes));
	for (uint32_t i = 0; i < run->pads.count; i++) {
		struct ps_slot_wire slot;
		ps_slot_encode_wire(&run->pads.slots[i], &slot);
		at = put(at, &slot, sizeof(slot));
	}
	return at;
}

void ps_head_encode(const struct ps_head *head, uint8_t *out)
{
	struct ps_head_more_bytes more = {.alone = ps_set64(head->alone)};
	struct ps_head_bytes fixed = {.format = ps_set32(PS_HEAD_FORMAT),
	                              .len = ps_set32((uint32_t)ps_head_bytes(head)),
	                              .epoch = ps_set64(head->epoch),
	                              .counter = ps_set64(head->counter),
	                              .time_ns = ps_set64(head->time_ns),
	                              .horizon = ps_set64(head->horizon),
	                              .pairs = ps_set32(head->pairs_count),
	                              .machines = ps_set32(head->machines_count),
	                              .runs = ps_set32(head->runs_count),
	                              .store_len = (uint8_t)strlen(head->store)};
	assert(ps_head_check(head) == PS_OK);
	memcpy(fixed.magic, head_magic, sizeof(fixed.magic));
	memcpy(fixed.network, head->network, sizeof(fixed.network));
	memcpy(fixed.writer, head->writer, sizeof(fixed.writer));
	memcpy(fixed.store, head->store, fixed.store_len);
	uint8_t *at = put(put(out, &fixed, sizeof(fixed)), &more, sizeof(more));
	for (uint32_t i = 0; i < head->pairs_count; i++) {
		struct ps_head_pair_bytes pair = {.counter = ps_set64(head->pairs[i].counter)};
		memcpy(pair.hash, head->pairs[i].hash, sizeof(pair.hash));
		at = put(at, &pair, sizeof(pair));
	}
	for (uint32_t i = 0; i < head->machines_count; i++) {
		struct ps_head_machine_bytes machine = {.last = ps_set64(head->machines[i].last)};
		memcpy(machine.id, head->machines[i].id, sizeof(machine.id));
		memcpy(machine.name, head->machines[i].name, strnlen(head->machines[i].name, 63));
		at = put(at, &machine, sizeof(machine));
	}
	for (uint32_t i = 0; i < head->runs_count; i++)
		at = encode_run(&head->runs[i], at);
	assert((size_t)(at - out) == ps_head_bytes(head));
}

/* ---- decoding ---- */

struct input {
	const uint8_t *at;
	size_t left;
};

static bool take(struct input *in, void *out, size_t len)
{
	if (in->left < len)
		return false;
	memcpy(out, in->at, len);
	in->at += len;
	in->left -= len;
	return true;
}

static int cut_short(void)
{
	return ps_fail(PS_ECORRUPT, "a head is cut short");
}

static int decode_fixed(const struct ps_head_bytes *fixed, size_t len, struct ps_head *head)
{
	if (memcmp(fixed->magic, head_magic, sizeof(head_magic)) != 0)
		return ps_fail(PS_ECORRUPT, "not a head");
	uint32_t format = ps_get32(fixed->format);
	if (format < PS_HEAD_FORMAT_FIRST || format > PS_HEAD_FORMAT || ps_get32(fixed->features) != 0)
		return ps_fail(PS_EVERSION, "a head has format %u; this program knows %d to %d", format,
		               PS_HEAD_FORMAT_FIRST, PS_HEAD_FORMAT);
	if (ps_get32(fixed->len) < sizeof(*fixed) || ps_get32(fixed->len) > len ||
	    ps_get32(fixed->pairs) > PS_HEAD_PAIRS || ps_get32(fixed->machines) > PS_HEAD_MACHINES_MAX ||
	    ps_get32(fixed->runs) > PS_HEAD_RUNS_MAX || memchr(fixed->store, 0, fixed->store_len) ||
	    !ps_all_zero(fixed->store + fixed->store_len, sizeof(fixed->store) - fixed->store_len))
		return ps_fail(PS_ECORRUPT, "a head has an impossible length, name or number of parts");
	head->epoch = ps_get64(fixed->epoch);
	head->counter = ps_get64(fixed->counter);
	head->time_ns = ps_get64(fixed->time_ns);
	head->horizon = ps_get64(fixed->horizon);
	memcpy(head->network, fixed->network, sizeof(fixed->network));
	memcpy(head->writer, fixed->writer, sizeof(fixed->writer));
	memcpy(head->store, fixed->store, fixed->store_len);
	return PS_OK;
}

/* Who wrote the first format did not know; but a head with one machine says it by that. */
static int decode_more(struct input *in, const struct ps_head_bytes *fixed, struct ps_head *head)
{
	struct ps_head_more_bytes more;
	if (ps_get32(fixed->format) == PS_HEAD_FORMAT_FIRST) {
		head->alone = ps_get32(fixed->machines) == 1 ? head->counter : 0;
		return PS_OK;
	}
	if (!take(in, &more, sizeof(more)))
		return cut_short();
	head->alone = ps_get64(more.alone);
	return PS_OK;
}

static int decode_pairs(struct input *in, uint32_t count, struct ps_head *head)
{
	for (uint32_t i = 0; i < count; i++) {
		struct ps_head_pair_bytes pair;
		if (!take(in, &pair, sizeof(pair)))
			return cut_short();
		head->pairs[i].counter = ps_get64(pair.counter);
		memcpy(head->pairs[i].hash, pair.hash, sizeof(pair.hash));
	}
	head->pairs_count = count;
	return PS_OK;
}

static int decode_machines(struct input *in, uint32_t count, struct ps_head *head)
{
	if (count == 0)
		return PS_OK;
	if (in->left / sizeof(struct ps_head_machine_bytes) < count)
		return cut_short();
	head->machines = ps_memory_zalloc(head->memory, count * sizeof(*head->machines));
	if (!head->machines)
		return ps_fail(PS_ENOMEM, "no memory for a head's %u machines", count);
	head->machines_count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct ps_head_machine_bytes machine;
		if (!take(in, &machine, sizeof(machine)))
			return cut_short();
		size_t len = strnlen((const char *)machine.name, sizeof(machine.name));
		if (len == sizeof(machine.name) ||
		    !ps_all_zero(machine.name + len, sizeof(machine.name) - len))
			return ps_fail(PS_ECORRUPT, "a head has a machine with an impossible name");
		head->machines[i].last = ps_get64(machine.last);
		memcpy(head->machines[i].id, machine.id, sizeof(machine.id));
		memcpy(head->machines[i].name, machine.name, sizeof(machine.name));
	}
	return PS_OK;
}

static int decode_pads(struct input *in, uint32_t count, struct ps_slots *pads, struct ps_memory *memory)
{
	if (in->left / PS_SLOT_WIRE_BYTES < count)
		return cut_short();
	pads->slots = ps_memory_zalloc(memory, count * sizeof(*pads->slots));
	if (!pads->slots)
		return ps_fail(PS_ENOMEM, "no memory for a run's %u pads", count);
	pads->count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct ps_slot_wire wire;
		if (!take(in, &wire, sizeof(wire)))
			return cut_short();
		int err = ps_slot_decode_wire(&wire, &pads->slots[i]);
		if (err != PS_OK)
			return err;
	}
	return PS_OK;
}

static int decode_run(struct input *in, struct ps_head *head)
{
	struct ps_head_run_bytes bytes;
	if (!take(in, &bytes, sizeof(bytes)))
		return cut_short();
	struct ps_head_run run = {.head = ps_get64(bytes.head),
	                          .bytes = ps_get64(bytes.bytes),
	                          .keys = ps_get64(bytes.keys),
	                          .base = bytes.base == 1};
	memcpy(run.id, bytes.id, sizeof(run.id));
	uint32_t parts = ps_get32(bytes.parts);
	if (parts == 0 || parts > PS_HEAD_PADS_MAX || bytes.base > 1 ||
	    !ps_all_zero(bytes.reserved, sizeof(bytes.reserved)))
		return ps_fail(PS_ECORRUPT, "a head lists an impossible run");
	int err = decode_pads(in, parts, &run.pads, head->memory);
	if (err == PS_OK)
		err = ps_head_add_run(head, &run);
	ps_slots_done(&run.pads, head->memory);
	return err;
}

static int decode_all(const uint8_t *data, size_t len, struct ps_head *head)
{
	struct ps_head_bytes fixed;
	struct input in = {data, len};
	if (!take(&in, &fixed, sizeof(fixed)))
		return cut_short();
	int err = decode_fixed(&fixed, len, head);
	if (err != PS_OK)
		return err;
	in.left = ps_get32(fixed.len) - sizeof(fixed);
	err = decode_more(&in, &fixed, head);
	if (err == PS_OK)
		err = decode_pairs(&in, ps_get32(fixed.pairs), head);
	if (err == PS_OK)
		err = decode_machines(&in, ps_get32(fixed.machines), head);
	for (uint32_t i = 0; i < ps_get32(fixed.runs) && err == PS_OK; i++)
		err = decode_run(&in, head);
	if (err != PS_OK)
		return err;
	if (in.left > 0 || !ps_all_zero(data + ps_get32(fixed.len), len - ps_get32(fixed.len)))
		return ps_fail(PS_ECORRUPT, "a head is followed by what is not zero");
	return ps_head_check(head);
}

int ps_head_decode(const void *data, size_t len, struct ps_memory *memory, struct ps_head *head)
{
	ps_head_init(head, memory);
	int err = decode_all(data, len, head);
	if (err != PS_OK)
		ps_head_done(head);
	return err;
}
