/* put and update. The order of what is written, and why nothing is lost in between, is in README.md. */
#include "base/fail.h"
#include "remote/put_internal.h"

enum { FIRST_PADS = 16, MOST_PADS = 1 << 16 };

/* ---- what came back ---- */

void put_rest_lane(struct put *put, struct put_lane *lane)
{
	ps_lane_rest(&put->idle, &lane->lane);
}

static void chunk_done(struct put *put, struct put_lane *lane)
{
	memcpy(put->chunk[lane->chunk].hash, put_lane_hash(lane), PUT_HASH);
	put->op.shown.pads_done++;
	if (put->data_chunks == 0) /* none is left of the value's own */
		put->op.shown.bytes_done += lane->len;
	put_rest_lane(put, lane);
}

/* Other than PS_OK ends the put; the lane rests then. */
static int lane_failed(struct put *put, struct put_lane *lane, int err)
{
	put_rest_lane(put, lane);
	return ps_operation_fail(&put->op, err);
}

static int confirm(struct put *put, struct put_lane *lane, unsigned status)
{
	lane->slot.status = (uint8_t)status;
	int err = put_journal_note(put, lane->place, &lane->slot);
	if (err != PS_OK)
		return lane_failed(put, lane, err);
	chunk_done(put, lane);
	return PS_OK;
}

/* Another pad takes the place of one that cannot be written. */
static int recycle(struct put *put, struct put_lane *lane, unsigned status, int error, const char *sentence)
{
	struct ps_pad_slot old = lane->slot;
	old.status = (uint8_t)status;
	if (put->op.error != PS_OK || lane->recycles >= put->r->options.max_recycles) {
		int err = put_journal_note(put, lane->place, &old);
		return lane_failed(put, lane, err != PS_OK ? err : ps_fail(error, "%s", sentence));
	}
	lane->recycles++;
	/* Where one free pad is lost, all may be: the second time it is a new one. */
	int err = put_replace_pad(put, lane->place, &old, lane->recycles > 1);
	if (err != PS_OK)
		return lane_failed(put, lane, err);
	put->op.shown.recycled++;
	lane->slot = put->record.sets[PS_SET_NEXT].slots[lane->place];
	lane->expected = put->expected[lane->place].identity;
	err = put_lane_send(lane);
	return err == PS_OK ? PS_OK : lane_failed(put, lane, err);
}

/* Not there, although it was sent again and again: lost, if the network said that it had it. */
static int fail_with(const struct ps_task *task, bool written)
{
	int err = ps_task_error(task);
	if (err == PS_ENOTFOUND)
		err = written ? PS_ELOST : PS_EUNAVAILABLE;
	return ps_fail(err, "%s", task->sentence);
}

static int take_written(struct put *put, struct put_lane *lane)
{
	const struct ps_settle *settle = &lane->write.settle;
	const struct ps_task *task = &settle->task;
	unsigned status = ps_manager_status(settle, lane->slot.status);
	if (task->fate == PS_FATE_DONE)
		return confirm(put, lane, status);
	if (status == PS_SLOT_INVALID || settle->settled == PS_SETTLED_OLDER)
		return recycle(put, lane, status, task->error, task->sentence);
	if (status != lane->slot.status) {
		lane->slot.status = (uint8_t)status;
		int err = put_journal_note(put, lane->place, &lane->slot);
		if (err != PS_OK)
			return lane_failed(put, lane, err);
	}
	return lane_failed(put, lane, fail_with(task, settle->written));
}

/* What is there under the name of a pad of which it is not known whether it was sent. */
static int take_looked(struct put *put, struct put_lane *lane)
{
	const struct put_look *look = &lane->look;
	struct ps_pad_identity ours = ps_slot_identity(&lane->slot);
	if (look->task.fate != PS_FATE_DONE)
		return lane_failed(put, lane, fail_with(&look->task, false));
	bool is_ours = look->there && ps_slot_sealed(&lane->slot) && ps_identity_same(&look->identity, &ours);
	if (lane->slot.status == PS_SLOT_CONFIRMED && !is_ours)
		return recycle(put, lane, PS_SLOT_INVALID, PS_ELOST,
		               "a pad that was confirmed is not there any more");
	if (lane->slot.status == PS_SLOT_CONFIRMED) {
		put->op.shown.kept++;
		chunk_done(put, lane);
		return PS_OK;
	}
	if (is_ours && put->verify != PS_VERIFY_READ)
		return confirm(put, lane, PS_SLOT_CONFIRMED);
	bool before = look->there && look->identity.counter + 1 == lane->slot.counter &&
	              memcmp(look->identity.hash, lane->slot.before, sizeof(lane->slot.before)) == 0;
	if (lane->slot.counter > 1 && !before && !is_ours)
		return recycle(put, lane, look->there ? PS_SLOT_PENDING : PS_SLOT_INVALID,
		               look->there ? PS_EROLLBACK : PS_ELOST,
		               "what a pad was to replace is not there any more");
	lane->expected = (struct ps_pad_identity){0};
	if (before)
		lane->expected = look->identity;
	else if (lane->slot.counter > 1) /* it is ours already: the replace will not pass, and is looked at */
		lane->expected.counter = lane->slot.counter - 1;
	int err = put_lane_send(lane);
	return err == PS_OK ? PS_OK : lane_failed(put, lane, err);
}

static int take_back(struct put *put, struct ps_lane *back)
{
	struct put_lane *lane = (struct put_lane *)(void *)back;
	put->on_way--;
	return lane->looking ? take_looked(put, lane) : take_written(put, lane);
}

int put_go_on(struct put *put)
{
	uint64_t soon = ps_clock_now(put->r->seams.clock) + PS_SHOW_MS * PS_MS_NS;
	struct ps_lane *back = ps_lanes_next(&put->lanes, soon);
	int err = back ? take_back(put, back) : PS_OK;
	return err == PS_OK ? ps_operation_show(&put->op) : err;
}

/* ---- the source ---- */

static int read_own(struct put *put, struct put_lane *lane, size_t want, size_t *got)
{
	if (!lane->own)
		lane->own = ps_memory_alloc(&put->r->memory, put->chunk_bytes);
	if (!lane->own)
		return ps_fail(PS_ENOMEM, "no memory for a chunk of %u bytes", put->chunk_bytes);
	lane->data = lane->own;
	for (*got = 0; *got < want;) {
		size_t more = 0;
		int err = put->read(put->read_arg, lane->own + *got, want - *got, &more);
		if (err != PS_OK)
			return ps_fail(err, "\"%.64s\": the source of the contents failed", put->record.name);
		if (more > want - *got)
			return ps_fail(PS_EINVAL, "a callback gave more than it was asked for");
		if (more == 0)
			break;
		*got += more;
	}
	return PS_OK;
}

static int other_size(const struct put *put)
{
	return ps_fail(PS_ERANGE, "\"%.64s\": the source has another size than the %llu bytes it was to have",
	               put->record.name, (unsigned long long)put->size);
}

/* Whether it really ends where it was said to. */
static int check_end(struct put *put)
{
	uint8_t byte;
	size_t got = 0;
	if (put->data || !put->read || put->size == UINT64_MAX)
		return PS_OK;
	int err = put->read(put->read_arg, &byte, 1, &got);
	if (err != PS_OK)
		return ps_fail(err, "\"%.64s\": the source of the contents failed", put->record.name);
	return got == 0 ? PS_OK : other_size(put);
}

static int read_chunk(struct put *put, struct put_lane *lane)
{
	size_t want = put->chunk_bytes, got = 0;
	if (put->size - put->taken < want)
		want = (size_t)(put->size - put->taken);
	int err = PS_OK;
	if (put->read)
		err = want > 0 ? read_own(put, lane, want, &got) : PS_OK;
	else if (want > 0)
		lane->data = put->data + put->taken, got = want;
	if (err != PS_OK)
		return err;
	if (got < want && put->size != UINT64_MAX)
		return other_size(put);
	lane->len = (uint32_t)got;
	lane->hashed = false;
	lane->recycles = 0;
	put->taken += got;
	put->ended = got < want || put->taken == put->size;
	return put->ended ? check_end(put) : PS_OK;
}

/* ---- what becomes of a chunk ---- */

/* How many pads to take at once: all that is certain to be needed, or more each time. */
static uint32_t pads_wanted(const struct put *put)
{
	uint64_t growth = put->used / 2 > FIRST_PADS ? put->used / 2 : FIRST_PADS, left = growth;
	if (put->size != UINT64_MAX)
		left = (put->size - put->taken + put->chunk_bytes - 1) / put->chunk_bytes + 1;
	else if (put->ended)
		left = 1;
	/* Where chunks may stay as they are, nobody knows how many will. */
	if (put->record.sets[PS_SET_CURRENT].count > 0 && left > growth)
		left = growth;
	return left < MOST_PADS ? (uint32_t)left : MOST_PADS;
}

static int use_fresh(struct put *put, struct put_lane *lane)
{
	lane->slot = put->record.sets[PS_SET_NEXT].slots[lane->place];
	lane->expected = put->expected[lane->place].identity;
	return put_lane_send(lane);
}

static int take_more(struct put *put, struct put_lane *lane)
{
	bool only = lane->chunk == 0 && put->ended && put->record.sets[PS_SET_NEXT].count == 0;
	return put_take_pads(put, pads_wanted(put), only ? lane : NULL);
}

/* A pad that an interrupted call left. */
static int use_left(struct put *put, struct put_lane *lane)
{
	const struct ps_pad_slot *left = &put->record.sets[PS_SET_NEXT].slots[lane->place];
	struct ps_pad_slot slot = *left;
	bool same = false, sealed = ps_slot_sealed(&slot);
	int err =
	    sealed && slot.status != PS_SLOT_INVALID ? put_same_contents(put, &slot, lane, &same) : PS_OK;
	if (err != PS_OK)
		return err;
	if ((sealed && !same) || slot.status == PS_SLOT_INVALID) {
		err = put_replace_pad(put, lane->place, &slot, false);
		return err == PS_OK ? use_fresh(put, lane) : err;
	}
	lane->slot = slot;
	/* No head names it yet: to another machine's gc it was a leftover, if that took too long. */
	if (slot.status == PS_SLOT_CONFIRMED && !put->alone)
		return put_lane_look(lane);
	if (slot.status == PS_SLOT_CONFIRMED ||
	    (slot.status == PS_SLOT_WRITTEN && put->verify == PS_VERIFY_NONE)) {
		put->op.shown.kept++;
		chunk_done(put, lane);
		return PS_OK;
	}
	bool fresh = !sealed && slot.counter == 1;
	if (fresh)
		lane->expected = (struct ps_pad_identity){0};
	return fresh ? put_lane_send(lane) : put_lane_look(lane);
}

/* Whether the chunk is in current already, and may stay there. What a head names, another machine may take
 * apart as soon as it has written a later one, and free its pads: so where there is another, only pads that
 * this machine alone knows of are shared between two versions. */
static int stays(struct put *put, struct put_lane *lane, bool *same)
{
	const struct ps_slots *current = &put->record.sets[PS_SET_CURRENT];
	*same = false;
	if (lane->chunk >= current->count)
		return PS_OK;
	const struct ps_pad_slot *slot = &current->slots[lane->chunk];
	if (slot->status != PS_SLOT_CONFIRMED ||
	    (!put->shares && ps_manager_named(&put->record, PS_SET_CURRENT, slot) != 0))
		return PS_OK;
	return put_same_contents(put, slot, lane, same);
}

int put_use_chunk(struct put *put, struct put_lane *lane)
{
	bool same;
	lane->chunk = put->chunks;
	int err = put_chunk(put, lane->chunk);
	if (err == PS_OK)
		err = stays(put, lane, &same);
	if (err != PS_OK)
		return err;
	put->chunks++;
	if (same) {
		put->chunk[lane->chunk].place = PUT_KEPT;
		put->op.shown.kept++;
		chunk_done(put, lane);
		return PS_OK;
	}
	lane->place = put->chunk[lane->chunk].place = put->used++;
	bool left = lane->place < put->record.sets[PS_SET_NEXT].count;
	if (!left)
		err = take_more(put, lane);
	if (err != PS_OK)
		return err;
	bool known = lane->place < put->expected_capacity && put->expected[lane->place].known;
	if (!left && lane->sealed) { /* sealed before its pad was written down */
		lane->expected = put->expected[lane->place].identity;
		return put_lane_send(lane);
	}
	return known ? use_fresh(put, lane) : use_left(put, lane);
}

/* ---- all of it ---- */

static int send_all(struct put *put)
{
	int err = PS_OK;
	while (err == PS_OK && !put->ended) {
		while (err == PS_OK && !put->idle)
			err = put_go_on(put);
		if (err != PS_OK)
			break;
		struct put_lane *lane = (struct put_lane *)(void *)ps_lane_take(&put->idle);
		err = read_chunk(put, lane);
		if (err == PS_OK && (lane->len > 0))
			err = put_use_chunk(put, lane);
		else
			put_rest_lane(put, lane);
		(void)ps_operation_fail(&put->op, err);
	}
	while (err == PS_OK && put->on_way > 0)
		err = put_go_on(put);
	return err;
}

/* Whatever is still on its way comes back within a second; what is known of it is kept for the next call. */
static void give_up(struct put *put)
{
	ps_group_cancel(put->op.group);
	(void)!ps_group_wait(put->op.group);
	while (put->on_way > 0) {
		struct ps_lane *back = ps_lanes_next(&put->lanes, PS_NEVER);
		if (back)
			(void)take_back(put, back);
	}
	(void)!put_journal_flush(put);
}

/* What the address shows is switched before the record is. */
static int finish(struct put *put)
{
	bool shown = put->record.flags & PS_RECORD_PUBLIC;
	return put->class == PS_PAD_PUBLIC_DATA || shown ? ps_public_finish(put) : put_switch(put);
}

static int run(struct put *put)
{
	int err = send_all(put);
	put->data_chunks = put->chunks;
	if (err == PS_OK && put->class == PS_PAD_PUBLIC_DATA)
		err = ps_public_send_nodes(put);
	if (err != PS_OK) {
		(void)ps_operation_fail(&put->op, err);
		give_up(put);
		return err;
	}
	(void)!ps_group_wait(put->op.group); /* what failed on the way was seen to */
	return ps_operation_fail(&put->op, finish(put));
}

static int show_plan(struct put *put)
{
	const struct ps_slots *next = &put->record.sets[PS_SET_NEXT];
	struct ps_remote_plan plan = {0};
	uint32_t kept = 0;
	if (put->size != UINT64_MAX) {
		ps_manager_estimate(put->r, put->size, put->mode, put->class, put->verify, &plan);
		ps_public_estimate(put, &plan);
		for (uint32_t i = 0; i < next->count; i++)
			kept += next->slots[i].status == PS_SLOT_CONFIRMED;
		plan.exact = next->count == 0 && put->record.sets[PS_SET_CURRENT].count == 0;
		put->op.shown.pads_total = plan.new_pads + plan.reused_pads;
		plan.kept_pads = kept;
	}
	return ps_operation_plan(&put->op, &plan, put->options.max_pads, put->options.max_cost);
}

static int begin(struct put *put)
{
	int err = put_begin(put);
	put->chunk_bytes = put->r->payloads[put->mode];
	if (err == PS_OK)
		err = show_plan(put);
	if (err == PS_OK && !put->op.group)
		err = ps_operation_group(&put->op);
	if (err == PS_OK && (put->record.flags & PS_RECORD_PUBLIC))
		err = ps_public_look(&put->op, &put->record,
		                     put->become == PUT_PRIVATE ? &put->address_ended : NULL);
	put->op.shown.pads_done = 0; /* what was looked at is no part of the plan */
	return ps_operation_fail(&put->op, err);
}

static void take_options(struct put *put, const struct ps_remote_put *options)
{
	if (options)
		put->options = *options;
	if (put->options.max_pads == 0)
		put->options.max_pads = put->r->options.max_pads;
	if (put->options.max_cost <= 0)
		put->options.max_cost = put->r->options.max_cost;
	put->mode = ps_manager_mode(put->r, put->options.mode);
	put->verify = ps_manager_verify(put->r, put->options.verify);
	put->class = PS_PAD_PRIVATE;
}

void put_free_arrays(struct put *put)
{
	struct ps_memory *memory = &put->r->memory;
	ps_memory_free(memory, put->chunk, put->chunk_capacity * sizeof(*put->chunk));
	ps_memory_free(memory, put->expected, put->expected_capacity * sizeof(*put->expected));
	ps_record_done(&put->record);
	if (put->shares)
		ps_manager_shared(put->r);
}

static int put_all(struct put *put)
{
	int err = begin(put);
	if (err != PS_OK)
		return ps_operation_end(&put->op);
	err = ps_operation_fail(&put->op, put_journal_init(&put->journal));
	if (err != PS_OK)
		return ps_operation_end(&put->op);
	err = ps_operation_fail(&put->op, put_lanes_init(put));
	if (err == PS_OK)
		(void)run(put);
	int result = ps_operation_end(&put->op); /* no worker touches a lane after this */
	if (err == PS_OK)
		put_lanes_done(put);
	put_journal_done(put);
	return result;
}

int put_run(ps_remote *r, const char *key, const char *name, struct put *put,
            const struct ps_remote_put *options)
{
	if (!key || (options && options->size != sizeof(*options)))
		return ps_fail(PS_EINVAL, "ps_remote_%s: the key is NULL, or the options have another size",
		               name);
	int err = ps_operation_begin(&put->op, r, name, key, PS_OP_LOCKS, options ? options->progress : NULL,
	                             options ? options->progress_arg : NULL);
	if (err != PS_OK)
		return err;
	put->r = r;
	take_options(put, options);
	if (!ps_keys_can_write(r->keys))
		(void)ps_operation_fail(&put->op,
		                        ps_fail(PS_EREADONLY, "a key that only reads writes nothing"));
	if (put->op.error == PS_OK)
		(void)ps_operation_fail(&put->op, ps_public_resume(&put->op, &put->resumed));
	err = put->op.error != PS_OK ? ps_operation_end(&put->op) : put_all(put);
	put_free_arrays(put);
	return err;
}

static int put_any(ps_remote *r, const char *key, struct put *put, const struct ps_remote_put *options)
{
	return put_run(r, key, put->update ? "update" : "put", put, options);
}

int ps_remote_put(ps_remote *r, const char *key, const void *data, size_t len,
                  const struct ps_remote_put *options)
{
	struct put put = {.data = data, .size = len};
	if (!data && len > 0)
		return ps_fail(PS_EINVAL, "ps_remote_put: the data are NULL");
	return put_any(r, key, &put, options);
}

int ps_remote_put_stream(ps_remote *r, const char *key, uint64_t size, ps_remote_read_fn read, void *arg,
                         const struct ps_remote_put *options)
{
	struct put put = {.read = read, .read_arg = arg, .size = size};
	if (!read)
		return ps_fail(PS_EINVAL, "ps_remote_put_stream: the callback is NULL");
	return put_any(r, key, &put, options);
}

int ps_remote_update(ps_remote *r, const char *key, const void *data, size_t len,
                     const struct ps_remote_put *options)
{
	struct put put = {.data = data, .size = len, .update = true};
	if (!data && len > 0)
		return ps_fail(PS_EINVAL, "ps_remote_update: the data are NULL");
	return put_any(r, key, &put, options);
}

int ps_remote_update_stream(ps_remote *r, const char *key, uint64_t size, ps_remote_read_fn read, void *arg,
                            const struct ps_remote_put *options)
{
	struct put put = {.read = read, .read_arg = arg, .size = size, .update = true};
	if (!read)
		return ps_fail(PS_EINVAL, "ps_remote_update_stream: the callback is NULL");
	return put_any(r, key, &put, options);
}
