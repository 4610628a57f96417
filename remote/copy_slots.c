/* Slots on a second network: those that count, in their order, behind the head, so that at any moment the
 * copy has a state and what follows it without a gap, or a part of that.
 *
 * Nothing names them: their headers are asked for until none is there. What is there is copied as every pad
 * is. */
#include "base/fail.h"
#include "remote/copy_internal.h"
#include "remote/slot_internal.h"

struct copy_slots {
	struct copy *c;
	struct ps_remote_slot_at at;
	bool ended; /* of this epoch */
	struct ps_pad_header_look looks[PS_SLOT_BATCH];
};

static int look_at_some(struct copy_slots *cs)
{
	int err = PS_OK;
	for (size_t i = 0; i < PS_SLOT_BATCH && err == PS_OK; i++) {
		const struct ps_remote_slot_at at = {cs->at.epoch, cs->at.n + i};
		cs->looks[i] = (struct ps_pad_header_look){.there = false};
		err = ps_remote_slot_name(cs->c->r, &at, &cs->looks[i].name);
	}
	return err == PS_OK ? ps_pads_headers(&cs->c->op, cs->looks, PS_SLOT_BATCH) : err;
}

static int bad_slot(const struct copy_slots *cs, int err, const char *sentence)
{
	return ps_fail(err, "slot %llu of epoch %llu: %.250s", (unsigned long long)cs->at.n,
	               (unsigned long long)cs->at.epoch, sentence);
}

/* What says of itself that it is this very slot; that it is whole is seen when it is fetched. */
static bool is_this(const struct copy_slots *cs, const struct ps_pad_header_look *look)
{
	const ps_remote *r = cs->c->r;
	return look->authentic && ps_remote_slot_is(r, &look->plan) && look->plan.epoch == cs->at.epoch &&
	       look->plan.counter == cs->at.n &&
	       memcmp(look->plan.network, r->network_id, sizeof(r->network_id)) == 0;
}

static int copy_one(struct copy_slots *cs, const struct ps_pad_header_look *look)
{
	struct copy_pad pad = {.role = (uint8_t)look->plan.role, .part = (uint32_t)cs->at.n};
	if (look->fetch.task.fate != PS_FATE_DONE)
		return bad_slot(cs, ps_task_error(&look->fetch.task), look->fetch.task.sentence);
	if (!is_this(cs, look))
		return bad_slot(cs, PS_EAUTH, "what is there is no slot of this store, or of another place");
	ps_slot_new(&pad.slot, &look->plan.serial, &look->name, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
	pad.slot.generation = look->plan.generation;
	pad.slot.counter = look->identity.counter;
	pad.slot.length = look->payload;
	memcpy(pad.slot.hash, look->identity.hash, sizeof(pad.slot.hash));
	cs->c->slots++;
	return copy_add(cs->c, &pad);
}

static int copy_some(struct copy_slots *cs)
{
	int err = look_at_some(cs);
	for (size_t i = 0; i < PS_SLOT_BATCH && err == PS_OK && !cs->ended; i++) {
		cs->ended = cs->looks[i].gone;
		if (!cs->ended)
			err = copy_one(cs, &cs->looks[i]);
		cs->at.n += !cs->ended;
	}
	return copy_settle(cs->c, err);
}

static int copy_epochs(struct copy_slots *cs, const struct ps_remote_slots *which)
{
	int err = PS_OK;
	cs->at = which->from;
	while (cs->at.epoch <= which->last && err == PS_OK) {
		cs->ended = false;
		while (!cs->ended && err == PS_OK)
			err = copy_some(cs);
		cs->at = (struct ps_remote_slot_at){cs->at.epoch + 1, 1};
	}
	return err;
}

int copy_slots(struct copy *c, const struct ps_remote_slots *which)
{
	if (!ps_keys_can_write(c->r->keys))
		return PS_OK; /* it cannot tell their names */
	struct copy_slots *cs = ps_memory_zalloc(&c->r->memory, sizeof(*cs));
	if (!cs)
		return ps_fail(PS_ENOMEM, "no memory for a list of slots");
	cs->c = c;
	c->slots = 0;
	c->pads = PS_SLOT_BATCH;
	c->largest = ps_pad_record_bytes((uint32_t)ps_remote_slot_most(c->r));
	int err = copy_begin(c);
	if (err == PS_OK)
		err = copy_epochs(cs, which);
	copy_end(c);
	ps_memory_free(&c->r->memory, cs, sizeof(*cs));
	return err == PS_OK ? copy_check_missing(c) : err;
}
