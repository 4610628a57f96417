/* What a push has to do with the log of its store: its manifest says where that goes on, and behind the
 * manifest what the new state has leaves the network. */
#include "base/fail.h"
#include "multistore/push_internal.h"

static int canceled(void *arg, const struct ps_remote_progress *progress)
{
	(void)progress;
	return push_show(arg) != PS_OK;
}

/* A log that was shipped, and is not any more: what it has this file has to have. It could be gone on with
 * from where it ends. */
static int end_log(struct push *p)
{
	const struct ps_log_setup setup = {.s = p->s, .r = p->r};
	struct ps_log *log;
	int err = ps_log_new(&setup, &log);
	if (err)
		return err;
	err = ps_log_at_push(log, &p->old, canceled, p, &p->place);
	ps_log_free(log);
	p->place.name = (struct ps_pad_name){0};
	return err;
}

int push_place_log(struct push *p)
{
	if (p->log)
		return ps_log_at_push(p->log, &p->old, canceled, p, &p->place);
	p->place = p->old.log;
	return ps_log_place_there(&p->old.log) ? end_log(p) : PS_OK;
}

/* What cannot be removed now lies below the floor that the head has, and is gc's. */
void push_log_published(struct push *p)
{
	const struct ps_log_place *was = &p->old.log, *is = &p->place;
	if (p->log)
		ps_log_pushed(p->log, is, &p->info);
	if (was->at.epoch == 0 || (was->at.epoch == is->at.epoch && was->at.n == is->at.n))
		return;
	uint64_t end = was->at.epoch == is->at.epoch ? is->at.n : UINT64_MAX;
	(void)!ps_remote_slot_remove(p->r, &was->at, end, canceled, p);
}
