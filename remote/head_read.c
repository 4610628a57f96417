/* The head as the network shows it: fetched, verified, and judged by what this machine remembers. */
#include <stdio.h>

#include "base/fail.h"
#include "remote/sync_internal.h"

enum { MOST_LOOKS = 4, SLACK = 64 << 10 };

int ps_head_slot(ps_remote *r, uint64_t counter, struct ps_pad_slot *slot)
{
	struct ps_serial serial;
	struct ps_pad_name name = r->head_name;
	static const struct ps_pad_name none;
	ps_keys_head_serial(r->keys, &serial);
	if (ps_keys_can_write(r->keys)) {
		int err = ps_pad_name(r->keys, &serial, &name);
		if (err != PS_OK)
			return err;
	} else if (memcmp(&name, &none, sizeof(name)) == 0) {
		return ps_fail(PS_EREADONLY, "a read root alone does not tell where the head is: take a "
		                             "read-only key file, which does");
	}
	ps_slot_new(slot, &serial, &name, PS_PAD_PRIVATE, PS_PAD_LARGE);
	slot->counter = counter;
	return PS_OK;
}

/* ---- opening ---- */

static int check_header(const struct ps_pad_slot *slot, const uint8_t *network,
                        const struct ps_pad_header *header)
{
	struct ps_pad_expected expected = {.serial = slot->serial,
	                                   .generation = 1,
	                                   .class = PS_PAD_PRIVATE,
	                                   .role = PS_ROLE_HEAD,
	                                   .newer = true};
	memcpy(expected.network, network ? network : header->plan.network, sizeof(expected.network));
	return ps_pad_check(header, &expected);
}

/* What is sealed has to agree with what is signed. */
static int check_head(ps_remote *r, const struct ps_pad_header *header, const struct ps_head *head)
{
	if (head->counter != header->identity.counter ||
	    memcmp(head->network, header->plan.network, sizeof(head->network)) != 0 ||
	    strcmp(head->store, ps_keys_store(r->keys)) != 0)
		return ps_fail(PS_EAUTH, "a head that says another counter, network or store than its pad");
	for (uint32_t i = 0; i < head->runs_count; i++) {
		const struct ps_slots *pads = &head->runs[i].pads;
		for (uint32_t p = 1; p < pads->count; p++)
			if (pads->slots[p].mode != pads->slots[0].mode)
				return ps_fail(PS_ECORRUPT, "a head lists a run with pads of several sizes");
	}
	return PS_OK;
}

static int open_contents(ps_remote *r, const struct ps_pad_header *header, struct ps_net_buffer *record,
                         struct sync_head *head)
{
	struct ps_pad_reader reader = {.keys = r->keys};
	struct ps_pad_contents contents;
	uint8_t *plain = ps_memory_alloc(&r->memory, header->payload);
	if (!plain)
		return ps_fail(PS_ENOMEM, "no memory for a head of %u bytes", header->payload);
	int err = ps_pad_open(&reader, header, record->bytes, record->len, plain, &contents);
	if (err == PS_OK)
		err = ps_head_decode(plain, contents.length, &r->memory, &head->head);
	ps_memory_free(&r->memory, plain, header->payload);
	return err;
}

int ps_head_open_record(ps_remote *r, struct ps_net_buffer *record, const uint8_t *network,
                        struct sync_head *head)
{
	struct ps_pad_header header;
	struct ps_pad_slot slot;
	struct sync_head made = {0};
	int err = ps_head_slot(r, 1, &slot);
	if (err == PS_OK)
		err = ps_pad_open_header(record->bytes, record->len, &slot.name, &header);
	if (err == PS_OK)
		err = check_header(&slot, network, &header);
	if (err == PS_OK)
		err = open_contents(r, &header, record, &made);
	if (err != PS_OK)
		return err;
	err = check_head(r, &header, &made.head);
	if (err != PS_OK) {
		sync_head_done(&made);
		return err;
	}
	memcpy(made.hash, header.identity.hash, sizeof(made.hash));
	made.there = true;
	*head = made;
	return PS_OK;
}

/* ---- fetching ---- */

struct head_fetch {
	struct ps_fetch fetch; /* first: a task */
	struct ps_sync *s;
	struct sync_head *head;
	struct ps_pad_identity identity;
	uint64_t size;
	bool gone, too_big;
};

static int opened(struct ps_fetch *fetch)
{
	struct head_fetch *f = (struct head_fetch *)(void *)fetch;
	if (fetch->op == PS_NET_HEAD) {
		f->identity = fetch->task.request.identity;
		f->size = fetch->task.request.size;
		return PS_OK;
	}
	ps_remote *r = f->s->r;
	bool known = !ps_all_zero(r->network_id, sizeof(r->network_id));
	return ps_head_open_record(r, fetch->task.request.buffer, known ? r->network_id : NULL, f->head);
}

static void fetch_ended(struct ps_fetch *fetch)
{
	struct head_fetch *f = (struct head_fetch *)(void *)fetch;
	f->gone = fetch->task.request.outcome == PS_NET_ABSENT;
	f->too_big = fetch->task.request.outcome == PS_NET_TOO_BIG;
}

static const struct ps_fetch_ops fetch_ops = {opened, fetch_ended};

static int ask(struct head_fetch *f, enum ps_net_op op, size_t len)
{
	struct ps_pad_slot slot;
	int err = ps_head_slot(f->s->r, 1, &slot);
	if (err != PS_OK)
		return err;
	f->fetch = (struct ps_fetch){.ops = &fetch_ops, .op = op, .name = slot.name, .len = len};
	ps_fetch_init(&f->fetch, &f->s->r->network->memory);
	f->gone = f->too_big = false;
	return sync_run_task(f->s, &f->fetch.task);
}

/* As large as the network says, within what a head may be. */
static size_t room(const struct ps_sync *s, uint64_t size)
{
	uint64_t most = ps_pad_record_bytes(s->r->payloads[PS_PAD_LARGE]);
	return (size_t)(size + SLACK < most ? size + SLACK : most);
}

static bool is_it(const struct sync_head *known, const struct ps_pad_identity *identity)
{
	return known && known->there && identity->counter == known->head.counter &&
	       memcmp(identity->hash, known->hash, sizeof(identity->hash)) == 0;
}

int sync_fetch_head(struct ps_sync *s, struct sync_head *head)
{
	struct head_fetch f = {.s = s, .head = head};
	for (unsigned looks = 0;; looks++) {
		int err = ask(&f, PS_NET_HEAD, 0);
		const struct sync_head *same = err != PS_OK                   ? NULL
		                               : is_it(&s->base, &f.identity) ? &s->base
		                               : is_it(s->seen, &f.identity)  ? s->seen
		                                                              : NULL;
		if (same) { /* it could as well show that very head again */
			err = ps_head_copy(&head->head, &same->head);
			memcpy(head->hash, same->hash, sizeof(head->hash));
			head->there = err == PS_OK;
			return err;
		}
		if (err == PS_OK)
			err = ask(&f, PS_NET_GET, room(s, f.size));
		if (err == PS_OK)
			return PS_OK;
		if (f.gone) {
			*head = (struct sync_head){0};
			return PS_OK;
		}
		if (!f.too_big || looks >= MOST_LOOKS)
			return f.too_big ? ps_fail(PS_EAUTH, "the network's head is larger than it says")
			                 : err;
	}
}

/* ---- judging ---- */

int sync_move_anchor(struct ps_sync *s, const struct sync_head *head)
{
	struct ps_anchor anchor;
	ps_anchor_of(&head->head, head->hash, 0, &anchor);
	return ps_anchor_write(s->r->folder, &anchor);
}

/* What was on its way may be in it: that is the last of ours that we know of. */
static uint64_t own_last(struct ps_sync *s)
{
	struct sync_intent intent;
	uint64_t last = sync_own_last(s);
	if (sync_load_intent(s, &intent) != PS_OK)
		return last;
	if (intent.next.head.counter > last)
		last = intent.next.head.counter;
	sync_intent_done(&intent);
	return last;
}

static int judge(struct ps_sync *s, const struct sync_head *head)
{
	struct ps_anchor anchor, *known = &anchor;
	enum ps_freshness freshness = PS_FRESH_SAME;
	int err = ps_anchor_read(s->r->folder, ps_keys_store(s->r->keys), &anchor);
	if (err == PS_ENOENT) {
		known = NULL;
		err = PS_OK;
	}
	if (err == PS_OK)
		err = ps_anchor_judge(known, head->there ? &head->head : NULL, head->hash, &freshness);
	if (err == PS_OK && s->r->head_code[0])
		err = ps_head_code_compare(s->r->head_code, &head->head, head->hash);
	else if (err == PS_OK && freshness == PS_FRESH_UNPROVEN)
		err =
		    ps_fail(PS_EFORK,
		            "the network's head is more than %d ahead of the one used here, so that it goes "
		            "back to that one is not proven: a head code of another machine proves it",
		            PS_HEAD_PAIRS);
	/* Whoever takes a store anew knows of nothing that this machine ever wrote. */
	if (err == PS_OK && s->base.there)
		err = ps_anchor_judge_self(&head->head, s->r->machine.id, own_last(s));
	if (err == PS_OK && sync_own_last(s) > 0 && !ps_head_machine(&head->head, s->r->machine.id))
		err = ps_fail(PS_EFORK,
		              "this machine was taken off the store's list: what it has not sent can be read "
		              "here; forget the store on this machine, open it anew and put that again");
	return err;
}

int sync_look(struct ps_sync *s, struct sync_head *head)
{
	struct sync_head found = {0};
	int err = sync_fetch_head(s, &found);
	if (err == PS_OK)
		err = judge(s, &found);
	if (err == PS_OK)
		err = sync_move_anchor(s, &found);
	if (err == PS_OK)
		s->r->head_code[0] = '\0'; /* the anchor stands for it from now on */
	if (err != PS_OK || (s->base.there && found.head.counter == s->base.head.counter)) {
		sync_head_done(&found);
		return err;
	}
	*head = found;
	return PS_OK;
}
