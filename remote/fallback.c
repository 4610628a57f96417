/* Where a read goes that the first network failed: to a copy of the pads, for the very version that the index
 * has. Nothing of the copy is believed that would not be believed of the first network. */
#include <stdio.h>

#include "base/fail.h"
#include "remote/raw_pad.h"

/* What another network may do better. Not: no memory, a caller's refusal, a slip of our own. */
static bool may_help(int error)
{
	switch (error) {
	case PS_ELOST:
	case PS_EAUTH:
	case PS_EROLLBACK:
	case PS_EFORK:
	case PS_ESUPERSEDED:
	case PS_EACCES:
	case PS_EUNAVAILABLE:
	case PS_ETIMEDOUT:
	case PS_ECLOCK:
		return true;
	default:
		return false;
	}
}

/* Of two failures the first network's is what the caller has to act on. */
static void tell_both(struct ps_pad_read *read)
{
	char sentence[PS_NET_SENTENCE];
	snprintf(sentence, sizeof(sentence), "%.120s; the fallback: %.110s", read->first_sentence,
	         read->task.sentence);
	memcpy(read->task.sentence, sentence, sizeof(sentence));
	read->task.error = read->first_error;
}

bool ps_fallback_takes(struct ps_pad_read *read)
{
	struct ps_task *task = &read->task;
	ps_remote *r = read->r;
	if (read->elsewhere) {
		if (task->fate == PS_FATE_DONE)
			atomic_fetch_add(&r->fallback_pads, 1);
		else if (task->fate == PS_FATE_FAILED)
			tell_both(read);
		return false;
	}
	if (!r->fallback.network || task->fate != PS_FATE_FAILED || !may_help(task->error))
		return false;
	read->first_error = task->error;
	memcpy(read->first_sentence, task->sentence, sizeof(read->first_sentence));
	read->elsewhere = true;
	ps_pad_read_init(read);
	return true;
}

bool ps_fallback_asked(struct ps_operation *op, struct ps_pad_read *read)
{
	if (!ps_fallback_takes(read))
		return false;
	int err = ps_operation_second(op, &op->r->fallback);
	if (err == PS_OK)
		err = ps_group_add(op->second, &read->task);
	if (err == PS_OK)
		return true;
	read->task.fate = PS_FATE_FAILED;
	snprintf(read->task.sentence, sizeof(read->task.sentence), "%.200s", ps_last_error_message());
	tell_both(read);
	return false;
}

/* ---- a record ---- */

struct wanted {
	struct ps_raw_pad fetch; /* first: a task */
	struct ps_lanes lanes;
	struct ps_lane lane;
};

static void ended(struct ps_raw_pad *fetch)
{
	struct wanted *wanted = (struct wanted *)(void *)fetch;
	ps_lanes_back(&wanted->lanes, &wanted->lane);
}

/* It is back when this returns. */
static int fetch(struct ps_operation *op, struct wanted *wanted)
{
	struct ps_lane *back = NULL;
	int err = ps_operation_second(op, &op->r->fallback);
	if (err == PS_OK)
		err = ps_lanes_init(&wanted->lanes, op->r->seams.clock);
	if (err != PS_OK)
		return err;
	err = ps_group_add(op->second, &wanted->fetch.fetch.task);
	bool added = err == PS_OK;
	if (added)
		err = ps_operation_await(op, &wanted->lanes, &back);
	if (added)
		ps_operation_settle(op, !back);
	if (added && !back)
		(void)ps_lanes_next(&wanted->lanes, PS_NEVER);
	ps_lanes_done(&wanted->lanes);
	return err;
}

int ps_fallback_record(struct ps_operation *op, const struct ps_pad_slot *slot, unsigned role,
                       struct ps_net_buffer **record)
{
	ps_remote *r = op->r;
	struct wanted wanted = {.fetch = {.r = r, .slot = *slot, .role = role, .ended = ended}};
	const struct ps_task *task = &wanted.fetch.fetch.task;
	if (!r->fallback.network)
		return ps_fail(PS_ENOTFOUND, "there is no fallback");
	wanted.fetch.network = r->fallback.network;
	ps_raw_pad_init(&wanted.fetch);
	int err = fetch(op, &wanted);
	if (err == PS_OK && task->fate != PS_FATE_DONE)
		err = ps_fail(ps_task_error(task), "the fallback: %.200s", task->sentence);
	if (err == PS_OK) {
		*record = ps_pad_record_for(r->network, wanted.fetch.record);
		err = *record ? PS_OK : ps_fail(PS_ENOMEM, "no memory for a record");
		atomic_fetch_add(&r->fallback_pads, 1);
	}
	ps_net_buffer_release(wanted.fetch.record);
	return err;
}
