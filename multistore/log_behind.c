#include "multistore/log_behind.h"

#include "base/fail.h"
#include "multistore/log_run.h"

#define NO_SLOT UINT64_MAX

struct ps_log_behind {
	struct ps_memory *memory;
	ps_log_run *run;
	struct ps_cut_info info;
	uint64_t groups;
	struct ps_cut_object object; /* of the state, the next one; its slot is below */
	const uint8_t *bytes;
	uint64_t slot; /* NO_SLOT: there are no more, or nobody has looked */
	bool looked;
	bool of_log; /* the object that was given last */
};

/* ---- the log ---- */

/* What ends at the state or before it is in the state. The first group may begin before it; none begins
 * behind what is there already. */
static int add_group(void *arg, const struct ps_log_group *group)
{
	struct ps_log_behind *b = arg;
	const struct ps_log_pad *pad = group->pad;
	if (pad->info.here.interval <= b->info.here.interval)
		return PS_OK;
	if (pad->since > b->info.here.interval || pad->info.commit < b->info.commit)
		return ps_fail(PS_ECORRUPT,
		               "log pad %llu of epoch %llu: what was committed before it is missing",
		               (unsigned long long)pad->at.n, (unsigned long long)pad->at.epoch);
	int err = ps_log_run_add(b->run, group);
	if (err)
		return err;
	b->info = pad->info;
	b->groups++;
	return PS_OK;
}

int ps_log_behind_new(struct ps_memory *memory, ps_remote *r, const struct ps_push_manifest *m,
                      ps_remote_progress_fn progress, void *arg, struct ps_cut_info *info,
                      struct ps_log_behind **behind)
{
	struct ps_log_behind *b = ps_memory_zalloc(memory, sizeof(*b));
	if (!b)
		return ps_fail(PS_ENOMEM, "no memory for a log");
	*b = (struct ps_log_behind){
	    .memory = memory, .info = ps_push_manifest_newest(m)->info, .slot = NO_SLOT};
	struct ps_log_walk walk = {.memory = memory,
	                           .r = r,
	                           .place = m->log,
	                           .group = add_group,
	                           .arg = b,
	                           .progress = progress,
	                           .progress_arg = arg};
	int err = ps_log_run_new(memory, &b->run);
	if (!err && ps_log_place_there(&m->log))
		err = ps_log_walk(&walk);
	if (err) {
		ps_log_behind_free(b);
		return err;
	}
	ps_log_run_sort(b->run);
	*info = b->info;
	*behind = b;
	return PS_OK;
}

void ps_log_behind_free(struct ps_log_behind *b)
{
	if (!b)
		return;
	ps_log_run_free(b->run);
	ps_memory_free(b->memory, b, sizeof(*b));
}

uint64_t ps_log_behind_groups(const struct ps_log_behind *b)
{
	return b->groups;
}

/* ---- both ---- */

/* The state's next object, looked at once. */
static int peek(struct ps_log_behind *b, ps_state_reader *state)
{
	if (b->looked)
		return PS_OK;
	int err = ps_state_reader_next(state, &b->object, &b->bytes);
	if (err && err != PS_ENOTFOUND)
		return err;
	b->slot = err ? NO_SLOT : ps_slot_of(b->object.id);
	b->looked = true;
	return PS_OK;
}

/* Of two with one slot the log's counts: the state's is passed over, its pieces unread. */
int ps_log_behind_next(struct ps_log_behind *b, ps_state_reader *state, struct ps_cut_object *object,
                       const uint8_t **bytes)
{
	if (!b)
		return ps_state_reader_next(state, object, bytes);
	int err = peek(b, state);
	if (err)
		return err;
	uint64_t slot = ps_log_run_slot(b->run);
	if (slot == NO_SLOT && b->slot == NO_SLOT)
		return PS_ENOTFOUND;
	b->of_log = slot <= b->slot;
	b->looked = slot < b->slot;
	if (b->of_log) {
		ps_log_run_take(b->run, object, bytes);
		return PS_OK;
	}
	*object = b->object;
	*bytes = b->bytes;
	return PS_OK;
}

int ps_log_behind_piece(struct ps_log_behind *b, ps_state_reader *state, uint64_t *offset,
                        const uint8_t **bytes, size_t *len)
{
	if (!b || !b->of_log)
		return ps_state_reader_piece(state, offset, bytes, len);
	return ps_log_run_piece(b->run, offset, bytes, len) ? PS_OK : PS_ENOTFOUND;
}
