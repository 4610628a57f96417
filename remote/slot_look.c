/* Slots looked at from outside: whether there is one where none should be, and whether one of them is taken
 * for another pad. */
#include "base/fail.h"
#include "remote/serial_set.h"
#include "remote/slot_internal.h"

/* ---- behind an end ---- */

struct look_behind {
	struct ps_remote_slot_at at;
	struct ps_pad_look looks[PS_SLOT_BATCH];
};

static int look_at_all(struct ps_operation *op, struct look_behind *lb)
{
	int err = PS_OK;
	for (size_t i = 0; i < PS_SLOT_BATCH && err == PS_OK; i++) {
		const struct ps_remote_slot_at at = {lb->at.epoch, lb->at.n + i};
		lb->looks[i] = (struct ps_pad_look){.there = false};
		err = ps_remote_slot_name(op->r, &at, &lb->looks[i].slot.name);
	}
	return err == PS_OK ? ps_pads_look(op, lb->looks, PS_SLOT_BATCH) : err;
}

static int find_first(struct look_behind *lb, uint64_t *n)
{
	*n = 0;
	for (size_t i = 0; i < PS_SLOT_BATCH && *n == 0; i++) {
		const struct ps_task *task = &lb->looks[i].task;
		if (task->fate != PS_FATE_DONE)
			return ps_fail(ps_task_error(task), "slot %llu of epoch %llu: %.200s",
			               (unsigned long long)(lb->at.n + i), (unsigned long long)lb->at.epoch,
			               task->sentence);
		if (lb->looks[i].there)
			*n = lb->at.n + i;
	}
	return PS_OK;
}

static int look_behind(struct ps_operation *op, const struct ps_remote_slot_at *at, uint64_t *n)
{
	struct look_behind *lb = ps_memory_zalloc(&op->r->memory, sizeof(*lb));
	if (!lb)
		return ps_fail(PS_ENOMEM, "no memory for looking at slots");
	lb->at = *at;
	int err = look_at_all(op, lb);
	if (err == PS_OK)
		err = find_first(lb, n);
	ps_memory_free(&op->r->memory, lb, sizeof(*lb));
	return err;
}

int ps_remote_slot_behind(ps_remote *r, const struct ps_remote_slot_at *at, ps_remote_progress_fn progress,
                          void *arg, uint64_t *n)
{
	struct ps_operation op;
	int err = ps_operation_begin(&op, r, "log", NULL, 0, progress, arg);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&op, look_behind(&op, at, n));
	return ps_operation_end(&op);
}

/* ---- apart from all others ---- */

struct apart {
	struct ps_serial_set slots;
	bool shared;
};

static int compare(void *arg, const struct ps_pad_slot *slot)
{
	struct apart *a = arg;
	a->shared = a->shared || ps_serial_set_has(&a->slots, &slot->serial);
	return PS_OK;
}

int ps_remote_slot_apart(ps_remote *r, const struct ps_remote_slot_at *from, uint64_t end)
{
	struct apart a = {.shared = false};
	int err = PS_OK;
	ps_serial_set_init(&a.slots, &r->memory);
	for (uint64_t n = from->n; n < end && err == PS_OK; n++) {
		const struct ps_remote_slot_at at = {from->epoch, n};
		struct ps_serial serial;
		ps_remote_slot_serial(r, &at, &serial);
		err = ps_serial_set_add(&a.slots, &serial);
	}
	if (err == PS_OK)
		err = ps_index_each_pad(r->index, compare, &a);
	ps_serial_set_done(&a.slots);
	if (err == PS_OK && a.shared)
		err = ps_fail(PS_ECORRUPT,
		              "a pad of the log, of epoch %llu, is a value's or a free one in the index, too",
		              (unsigned long long)from->epoch);
	return err;
}
