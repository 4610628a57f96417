/* The next head: sealed once, kept here to the byte, and sent until it is known what became of it. */
#include <stdio.h>

#include "base/fail.h"
#include "remote/sync_internal.h"

static int too_large(const struct ps_sync *s, size_t bytes)
{
	return ps_fail(
	    PS_ERANGE,
	    "%s: the head has %zu bytes, and this network's records hold %u: its index has too many "
	    "parts or machines",
	    ps_network_url(s->r->network), bytes, s->r->payloads[PS_PAD_LARGE]);
}

/* Its pad's hash is not in it, so it is decoded from what was sealed: what is believed is what is sent. */
static int open_again(struct ps_sync *s, struct sync_intent *intent)
{
	struct ps_net_buffer *copy = ps_net_buffer_new(&s->r->network->memory, intent->record->len);
	if (!copy)
		return ps_fail(PS_ENOMEM, "no memory for a head");
	copy->len = intent->record->len;
	memcpy(copy->bytes, intent->record->bytes, copy->len);
	int err = ps_head_open_record(s->r, copy, s->r->network_id, &intent->next);
	ps_net_buffer_release(copy);
	return err;
}

int sync_seal_head(struct ps_sync *s, const struct sync_head *parent, struct ps_head *next,
                   struct sync_intent *intent)
{
	struct sync_intent made = {0};
	struct ps_pad_slot slot;
	size_t len = ps_head_bytes(next);
	if (len > s->r->payloads[PS_PAD_LARGE])
		return too_large(s, len);
	int err = ps_head_slot(s->r, next->counter, &slot);
	if (err != PS_OK)
		return err;
	uint8_t *bytes = ps_memory_alloc(&s->r->memory, len);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "no memory for a head of %zu bytes", len);
	ps_head_encode(next, bytes);
	err = ps_manager_seal(s->r, &slot, PS_ROLE_HEAD, NULL, 0, bytes, len, &made.record);
	ps_memory_free(&s->r->memory, bytes, len);
	if (err == PS_OK && parent->there) {
		made.expected.counter = parent->head.counter;
		memcpy(made.expected.hash, parent->hash, sizeof(parent->hash));
	}
	if (err == PS_OK)
		err = open_again(s, &made);
	if (err == PS_OK)
		*intent = made;
	else
		sync_intent_done(&made);
	return err;
}

/* ---- sending ---- */

struct head_send {
	struct ps_settle settle; /* first: a task */
	struct ps_sync *s;
	const struct sync_intent *intent;
};

static struct ps_pad_identity identity_of(const struct sync_intent *intent)
{
	struct ps_pad_identity identity = {.counter = intent->next.head.counter};
	memcpy(identity.hash, intent->next.hash, sizeof(identity.hash));
	return identity;
}

static int take_record(struct ps_settle *settle)
{
	struct head_send *send = (struct head_send *)(void *)settle;
	struct ps_net_request *request = &settle->task.request;
	struct ps_pad_slot slot;
	int err = ps_head_slot(send->s->r, send->intent->next.head.counter, &slot);
	if (err != PS_OK)
		return err;
	ps_manager_request(&slot, &send->intent->expected, ps_net_buffer_hold(send->intent->record), request);
	request->identity = identity_of(send->intent);
	return PS_OK;
}

/* As any machine would read it. */
static int read_back(struct ps_settle *settle, const struct ps_net_buffer *record)
{
	struct head_send *send = (struct head_send *)(void *)settle;
	const struct ps_net_buffer *sent = send->intent->record;
	return record->len == sent->len && memcmp(record->bytes, sent->bytes, sent->len) == 0
	           ? PS_OK
	           : ps_fail(PS_EAUTH, "the head reads back as other bytes than were sent");
}

static void ended(struct ps_settle *settle)
{
	ps_net_buffer_release(settle->task.request.buffer);
	settle->task.request.buffer = NULL;
}

static const struct ps_settle_ops send_ops = {take_record, read_back, ended};

int sync_send_head(struct ps_sync *s, const struct sync_intent *intent, enum sync_fate *fate)
{
	struct head_send send = {
	    .settle = {.ops = &send_ops, .verify = PS_VERIFY_READ}, .s = s, .intent = intent};
	ps_settle_init(&send.settle, intent->record->len, &s->r->network->memory);
	int err = sync_run_task(s, &send.settle.task);
	*fate = SYNC_OPEN;
	if (err == PS_OK)
		*fate = SYNC_CONFIRMED;
	else if (send.settle.settled == PS_SETTLED_CONFLICT)
		*fate = SYNC_CONFLICT;
	s->result.head_bytes += intent->record->len;
	return *fate == SYNC_OPEN ? err : PS_OK;
}
