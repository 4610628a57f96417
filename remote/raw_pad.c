#include "remote/raw_pad.h"

#include "base/fail.h"

static struct ps_raw_pad *pad_of(struct ps_fetch *fetch)
{
	return (struct ps_raw_pad *)(void *)fetch;
}

static int opened(struct ps_fetch *fetch)
{
	struct ps_raw_pad *pad = pad_of(fetch);
	struct ps_net_buffer *record = fetch->task.request.buffer;
	struct ps_pad_header header;
	int err = ps_pad_verify(record->bytes, record->len, &pad->slot.name, &header);
	if (err == PS_OK)
		err = ps_pad_check_slot(pad->r->network_id, &pad->slot, pad->role, &header);
	if (err == PS_OK)
		pad->record = ps_net_buffer_hold(record);
	return err;
}

static void ended(struct ps_fetch *fetch)
{
	struct ps_task *task = &fetch->task;
	if (task->fate != PS_FATE_DONE && task->request.outcome == PS_NET_ABSENT)
		task->error = PS_ELOST; /* it is known to have been there */
	else if (task->fate != PS_FATE_DONE && task->request.outcome == PS_NET_TOO_BIG)
		task->error = PS_EAUTH;
	pad_of(fetch)->ended(pad_of(fetch));
}

static const struct ps_fetch_ops ops = {opened, ended};

void ps_raw_pad_init(struct ps_raw_pad *pad)
{
	pad->fetch = (struct ps_fetch){.ops = &ops,
	                               .op = PS_NET_GET,
	                               .name = pad->slot.name,
	                               .len = ps_pad_record_bytes(pad->slot.length)};
	ps_fetch_init(&pad->fetch, &pad->network->memory);
	pad->record = NULL;
}

struct ps_net_buffer *ps_pad_record_for(ps_network *network, const struct ps_net_buffer *record)
{
	struct ps_net_buffer *copy = ps_net_buffer_new(&network->memory, record->len);
	if (!copy)
		return NULL;
	memcpy(copy->bytes, record->bytes, record->len);
	copy->len = record->len;
	return copy;
}
