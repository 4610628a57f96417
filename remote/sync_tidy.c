/* How much of the index's runs is written anew: little while somebody waits, all that is due when nobody
 * does, and whatever it takes where the head would not have room for one more. */
#include "base/fail.h"
#include "remote/sync_internal.h"

static bool is_crowded(const struct ps_sync *s)
{
	const struct ps_head *head = &s->base.head;
	size_t most = s->r->payloads[PS_PAD_LARGE];
	uint64_t pads = 0;
	for (uint32_t i = 0; i < head->runs_count; i++)
		pads += head->runs[i].pads.count;
	return head->runs_count + 1 >= PS_HEAD_RUNS_MAX || pads > PS_HEAD_PADS_MAX / 8 * 7 ||
	       ps_head_bytes(head) + most / 8 > most;
}

static int choose(struct ps_sync *s, uint64_t delta, enum ps_merge_pace pace, struct ps_merge_choice *choice)
{
	const struct ps_head *head = &s->base.head;
	size_t count = head->runs_count;
	uint64_t *sizes = ps_memory_alloc(&s->r->memory, (count + 1) * sizeof(*sizes)), all = 0;
	if (!sizes)
		return ps_fail(PS_ENOMEM, "no memory for %zu runs", count);
	for (size_t i = 0; i < count; i++)
		all += sizes[i] = head->runs[i].bytes;
	ps_runs_choose(sizes, count, delta, pace, choice);
	/* One run alone gets no shorter by being written anew. */
	if (is_crowded(s) && count + (delta > 0) > 1)
		*choice = (struct ps_merge_choice){0, all, pace == PS_MERGE_WAITED};
	ps_memory_free(&s->r->memory, sizes, (count + 1) * sizeof(*sizes));
	return PS_OK;
}

/* Of several machines only the one that has changed something last: who only looks writes nothing, and not
 * all of them do the same work. */
static bool is_idle(const struct ps_sync *s, uint64_t delta)
{
	return delta == 0 && memcmp(s->base.head.writer, s->r->machine.id, PS_MACHINE) == 0;
}

int sync_choose_merge(struct ps_sync *s, uint64_t delta, struct ps_merge_choice *choice)
{
	if (s->merging != SYNC_MERGES_LITTLE || is_idle(s, delta))
		return choose(s, delta, PS_MERGE_DUE, choice);
	if (delta > 0)
		return choose(s, delta, PS_MERGE_WAITED, choice);
	*choice = (struct ps_merge_choice){.from = s->base.head.runs_count};
	return PS_OK;
}

int sync_due(struct ps_sync *s, uint64_t *bytes)
{
	struct ps_merge_choice choice;
	int err = choose(s, 0, PS_MERGE_DUE, &choice);
	if (err == PS_OK)
		*bytes = choice.bytes;
	return err;
}

static int tidy(struct ps_sync *s)
{
	uint64_t due;
	int err = sync_due(s, &due);
	return err == PS_OK && due > 0 ? sync_all(s) : err;
}

int ps_sync_tidy(ps_remote *r, ps_remote_progress_fn progress, void *arg)
{
	struct ps_sync s;
	int err = sync_begin(&s, r, "tidy", progress, arg);
	if (err != PS_OK)
		return err == PS_EBUSY ? PS_OK : err; /* who is syncing has the runs, and sees to them */
	s.merging = SYNC_MERGES_ONLY;
	(void)ps_operation_fail(&s.op, tidy(&s));
	return sync_end(&s);
}
