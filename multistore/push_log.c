/* What a push has to do with the log of its store: its manifest says where that goes on, and behind the
 * manifest what the new state has leaves the network. */
#include "base/fail.h"
#include "multistore/push_internal.h"

/* A log that was shipped, and is not any more: what it has this file has to have. It could be gone on with
 * from where it ends. */
static int end_log(struct push *p)
{
	const struct ps_log_setup setup = {.s = p->s, .r = p->r};
	struct ps_log *log;
	int err = ps_log_new(&setup, &log);
	if (err)
		return err;
	err = ps_log_at_push(log, &p->old, push_canceled, p, &p->place);
	ps_log_free(log);
	p->place.name = (struct ps_pad_name){0};
	return err;
}

int push_place_log(struct push *p)
{
	if (p->log)
		return ps_log_at_push(p->log, &p->old, push_canceled, p, &p->place);
	p->place = p->old.log;
	return ps_log_place_there(&p->old.log) ? end_log(p) : PS_OK;
}

/* ---- what counts no more ---- */

static int remove_slots(struct push *p, uint64_t epoch, uint64_t from, uint64_t end)
{
	const struct ps_remote_slot_at at = {epoch, from};
	return from < end ? ps_remote_slot_remove(p->r, &at, end, push_canceled, p) : PS_OK;
}

static uint64_t batch_below(uint64_t n)
{
	return n > PS_SLOT_BATCH ? n - PS_SLOT_BATCH : 1;
}

/* What a push has left that did not end lies right before the log of the state before: slots go by ascending
 * batches, so only the lowest one can have holes. */
static int remove_left(struct push *p, struct ps_remote_slot_at end)
{
	uint64_t from = end.n;
	int err = PS_OK;
	while (from > 1 && !err) {
		const struct ps_remote_slot_at before = {end.epoch, from - 1};
		struct ps_remote_slot slot;
		err = ps_remote_slot_read(p->r, &before, NULL, NULL, 0, push_canceled, p, &slot);
		if (err == PS_ERANGE)
			err = PS_OK;
		if (!err)
			from = batch_below(from);
	}
	if (!err || err == PS_ENOTFOUND)
		err = remove_slots(p, end.epoch, batch_below(from), from);
	return err ? err : remove_slots(p, end.epoch, from, end.n);
}

int push_log_sweep(struct push *p)
{
	return p->sweep && p->old.log.at.epoch > 0 ? remove_left(p, p->old.log.at) : PS_OK;
}

int push_log_published(struct push *p)
{
	const struct ps_remote_slot_at *was = &p->old.log.at, *is = &p->place.at;
	bool same = was->epoch == is->epoch;
	if (p->log)
		ps_log_pushed(p->log, &p->place, &p->info);
	if (was->epoch == 0)
		return PS_OK;
	int err = remove_slots(p, was->epoch, was->n, same ? is->n : PS_SLOT_END);
	return err ? err : push_log_sweep(p);
}
