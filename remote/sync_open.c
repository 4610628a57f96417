/* Making a store's first head, and taking a store from the network on a machine that does not know it yet. */
#include <stdio.h>

#include "base/fail.h"
#include "remote/sync_internal.h"

/* ---- the first head ---- */

static int make_first(struct ps_sync *s, struct ps_head *head)
{
	ps_remote *r = s->r;
	struct ps_head_machine *self = ps_memory_zalloc(&r->memory, sizeof(*self));
	if (!self)
		return ps_fail(PS_ENOMEM, "no memory for a head");
	ps_head_init(head, &r->memory);
	head->epoch = head->counter = head->alone = 1;
	head->time_ns = ps_remote_wall_ns(r);
	head->machines = self;
	head->machines_count = 1;
	self->last = 1;
	memcpy(self->id, r->machine.id, sizeof(self->id));
	memcpy(self->name, r->machine.name, sizeof(self->name));
	memcpy(head->writer, r->machine.id, sizeof(head->writer));
	memcpy(head->network, r->network_id, sizeof(head->network));
	(void)snprintf(head->store, sizeof(head->store), "%s", ps_keys_store(r->keys));
	return PS_OK;
}

/* The first head is there: it is the last one used, and nothing of it is on its way. */
static int note_used(struct ps_sync *s, const struct sync_head *head)
{
	ps_index_txn *txn;
	int err = ps_index_begin(s->r->index, &txn);
	if (err != PS_OK)
		return err;
	/* What fails here fails the commit. */
	(void)!sync_note_head(s, head, txn);
	(void)!ps_txn_set_note(txn, PS_NOTE_HEAD_INTENT, NULL, 0);
	return ps_index_commit(txn);
}

static int seal_first(struct ps_sync *s, struct sync_intent *intent)
{
	struct sync_head none = {0};
	struct ps_head head;
	int err = make_first(s, &head);
	if (err != PS_OK)
		return err;
	err = sync_seal_head(s, &none, &head, intent);
	ps_head_done(&head);
	return err == PS_OK ? sync_keep_intent(s, intent) : err;
}

static int write_first(struct ps_sync *s)
{
	struct sync_intent intent = {0};
	enum sync_fate fate;
	if (s->base.there)
		return PS_OK; /* an init that was cut off behind this */
	int err = sync_load_intent(s, &intent);
	if (err == PS_ENOTFOUND)
		err = seal_first(s, &intent);
	if (err == PS_OK)
		err = sync_send_head(s, &intent, &fate);
	if (err == PS_OK && fate == SYNC_CONFLICT)
		err = ps_fail(PS_EEXIST, "%s: there is a store under this key and the name \"%s\" already",
		              ps_network_url(s->r->network), ps_keys_store(s->r->keys));
	if (err == PS_OK)
		err = sync_move_anchor(s, &intent.next);
	if (err == PS_OK)
		err = note_used(s, &intent.next);
	sync_intent_done(&intent);
	return err;
}

int ps_sync_first_head(ps_remote *r)
{
	return sync_call(r, "init", write_first, NULL, NULL);
}

/* ---- what is remembered ---- */

static int remember(struct ps_sync *s)
{
	struct sync_intent intent;
	uint64_t may = s->base.head.counter;
	int err = sync_load_intent(s, &intent);
	if (err == PS_OK) {
		may = intent.next.head.counter > may ? intent.next.head.counter : may;
		sync_intent_done(&intent);
	} else if (err != PS_ENOTFOUND) {
		return err;
	}
	s->r->head_may = may;
	ps_manager_set_alone(s->r, s->base.there && ps_head_only(&s->base.head, s->r->machine.id));
	ps_index_settle(s->r->index, s->settled);
	return PS_OK;
}

int ps_sync_remember(ps_remote *r)
{
	struct ps_sync s;
	int err = sync_begin(&s, r, "open", NULL, NULL);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&s.op, remember(&s));
	return sync_end(&s);
}

/* ---- a store that this machine does not know ---- */

static int identify(struct ps_sync *s, struct sync_head *head)
{
	struct ps_anchor anchor, *known = &anchor;
	enum ps_freshness freshness;
	ps_remote *r = s->r;
	int err = ps_anchor_read(r->folder, ps_keys_store(r->keys), &anchor);
	if (err == PS_ENOENT) {
		known = NULL;
		err = PS_OK;
	}
	if (err == PS_OK)
		err = sync_fetch_head(s, head);
	if (err == PS_OK)
		err = ps_anchor_judge(known, head->there ? &head->head : NULL, head->hash, &freshness);
	if (err == PS_OK && r->head_code[0])
		err = ps_head_code_compare(r->head_code, &head->head, head->hash);
	if (err == PS_OK)
		memcpy(r->network_id, head->head.network, sizeof(r->network_id));
	return err;
}

int ps_sync_identify(ps_remote *r, struct sync_head **seen)
{
	struct ps_sync s;
	struct sync_head *head = ps_memory_zalloc(&r->memory, sizeof(*head));
	if (!head)
		return ps_fail(PS_ENOMEM, "no memory for a head");
	*seen = head; /* the caller's, also on errors */
	int err = sync_begin(&s, r, "open", NULL, NULL);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&s.op, identify(&s, head));
	return sync_end(&s);
}

void ps_sync_free_seen(ps_remote *r, struct sync_head *seen)
{
	if (!seen)
		return;
	sync_head_done(seen);
	ps_memory_free(&r->memory, seen, sizeof(*seen));
}

static int take_all(struct ps_sync *s)
{
	s->unanchored = !s->base.there && !s->r->head_code[0];
	return sync_take(s);
}

int ps_sync_take_all(ps_remote *r, const struct sync_head *seen)
{
	struct ps_sync s;
	int err = sync_begin(&s, r, "open", NULL, NULL);
	if (err != PS_OK)
		return err;
	s.seen = seen;
	(void)ps_operation_fail(&s.op, take_all(&s));
	return sync_end(&s);
}

/* ---- a second network ---- */

static int get_head(ps_remote *r, ps_client *client, struct sync_head *head)
{
	struct ps_pad_slot slot;
	int err = ps_head_slot(r, 1, &slot);
	struct ps_net_request request = {.op = PS_NET_HEAD, .name = slot.name};
	if (err == PS_OK && ps_client_call(client, &request) == PS_NET_DONE) {
		uint32_t most = ps_pad_record_bytes(r->payloads[PS_PAD_LARGE]);
		struct ps_net_buffer *buffer = ps_net_buffer_new(
		    &client->network->memory, request.size < most ? (size_t)request.size : most);
		if (!buffer)
			return ps_fail(PS_ENOMEM, "no memory for a head");
		request = (struct ps_net_request){.op = PS_NET_GET, .name = slot.name, .buffer = buffer};
		if (ps_client_call(client, &request) == PS_NET_DONE)
			err = ps_head_open_record(r, buffer, NULL, head);
		ps_net_buffer_release(buffer);
	}
	if (err == PS_OK && request.outcome != PS_NET_DONE)
		err = ps_fail(request.error != PS_OK ? request.error : ps_outcome_error(request.outcome),
		              "the witness: %s", request.sentence);
	return err;
}

/* Its head is as good as a head code that somebody has written down. */
int ps_sync_ask_witness(ps_remote *r, ps_network *witness)
{
	struct sync_head head = {0};
	ps_client *client;
	int err = ps_client_open(witness, &client);
	if (err != PS_OK)
		return err;
	err = get_head(r, client, &head);
	if (err == PS_OK)
		ps_head_code(head.head.counter, head.hash, r->head_code);
	sync_head_done(&head);
	ps_client_close(client);
	return err;
}

/* ---- what is known of the head ---- */

static void tell_head(const struct ps_sync *s, struct ps_remote_head *told)
{
	const struct ps_head *head = &s->base.head;
	const struct ps_head_machine *writer = ps_head_machine(head, head->writer);
	*told = (struct ps_remote_head){.counter = head->counter,
	                                .time_ns = head->time_ns,
	                                .machines = head->machines_count,
	                                .runs = head->runs_count,
	                                .unanchored = s->unanchored};
	if (writer)
		(void)snprintf(told->machine, sizeof(told->machine), "%s", writer->name);
	ps_head_code(head->counter, s->base.hash, told->code);
	static_assert(sizeof(told->code) == PS_HEAD_CODE, "a head code fits");
}

int ps_remote_head(ps_remote *r, struct ps_remote_head *head)
{
	struct ps_sync s = {.r = r};
	if (!head)
		return ps_fail(PS_EINVAL, "ps_remote_head: an argument is NULL");
	int err = ps_operation_begin(&s.op, r, "head", NULL, 0, NULL, NULL);
	if (err != PS_OK)
		return err;
	s.op.progress = NULL;
	s.memory = ps_index_memory(r->index);
	err = sync_load(&s); /* also while a sync is under way: whole, before or after */
	if (err == PS_OK && !s.base.there)
		err = ps_fail(PS_ENOTFOUND, "no head was used here yet");
	if (err == PS_OK)
		tell_head(&s, head);
	(void)ps_operation_fail(&s.op, err);
	sync_forget_loaded(&s);
	return ps_operation_end(&s.op);
}

/* What the code proves is not taken on trust any more. */
static int check_head(struct ps_sync *s, const char *code)
{
	ps_index_txn *txn;
	if (!s->base.there)
		return ps_fail(PS_ENOTFOUND, "no head was used here yet");
	int err = ps_head_code_compare(code, &s->base.head, s->base.hash);
	if (err != PS_OK || !s->unanchored)
		return err;
	s->unanchored = false;
	err = ps_index_begin(s->r->index, &txn);
	if (err != PS_OK)
		return err;
	(void)!sync_note_head(s, &s->base, txn); /* what fails here fails the commit */
	return ps_index_commit(txn);
}

int ps_remote_check_head(ps_remote *r, const char *code)
{
	struct ps_sync s;
	if (!code)
		return ps_fail(PS_EINVAL, "ps_remote_check_head: an argument is NULL");
	int err = sync_begin(&s, r, "check", NULL, NULL);
	if (err != PS_OK)
		return err;
	s.op.progress = NULL;
	(void)ps_operation_fail(&s.op, check_head(&s, code));
	return sync_end(&s);
}
