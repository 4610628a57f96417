/* Writing runs: their pads are taken, sealed and sent like a blob's, and stand in a record of the index's own
 * from before the first byte leaves until no head lists them any more. */
#include <sodium.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "remote/sync_internal.h"

enum { MEDIUM_PADS = 16 };
static const char run_prefix[] = "run ";

void sync_run_name(const uint8_t id[PS_RUN_ID], char name[4 + 2 * PS_RUN_ID + 1])
{
	memcpy(name, run_prefix, 4);
	(void)sodium_bin2hex(name + 4, 2 * PS_RUN_ID + 1, id, PS_RUN_ID);
}

void sync_run_description(const uint8_t id[PS_RUN_ID], uint32_t part, uint8_t out[SYNC_RUN_DESCRIPTION])
{
	static const uint8_t kind[8] = {'r', 'u', 'n'};
	ps_le32 number = ps_set32(part);
	memcpy(out, kind, sizeof(kind));
	memcpy(out + sizeof(kind), id, PS_RUN_ID);
	memcpy(out + sizeof(kind) + PS_RUN_ID, &number, sizeof(number));
}

/* ---- a run's record ---- */

static int init_record(struct ps_sync *s, const uint8_t id[PS_RUN_ID], struct ps_record *record)
{
	char name[4 + 2 * PS_RUN_ID + 1];
	sync_run_name(id, name);
	return ps_record_init(record, s->memory, PS_RECORD_SYSTEM, name, strlen(name));
}

int sync_run_begin(struct ps_sync *s, uint64_t bytes, uint64_t head, bool base, struct sync_run *run)
{
	*run = (struct sync_run){.run = {.head = head, .base = base}, .mode = PS_PAD_LARGE};
	if (bytes <= s->r->payloads[PS_PAD_SMALL])
		run->mode = PS_PAD_SMALL;
	else if (bytes <= (uint64_t)MEDIUM_PADS * s->r->payloads[PS_PAD_MEDIUM])
		run->mode = PS_PAD_MEDIUM;
	s->r->runs_clean = false;
	randombytes_buf(run->run.id, sizeof(run->run.id));
	int err = init_record(s, run->run.id, &run->record);
	if (err != PS_OK)
		return err;
	run->record.flags = PS_RECORD_UPDATING;
	run->record.next = (struct ps_content){.mode = (uint8_t)run->mode, .class = PS_PAD_PRIVATE};
	run->begun = true;
	return PS_OK;
}

size_t sync_run_part_bytes(const struct ps_sync *s, const struct sync_run *run)
{
	return s->r->payloads[run->mode];
}

void sync_run_done(struct ps_sync *s, struct sync_run *run)
{
	if (!run->begun)
		return;
	ps_record_done(&run->record);
	ps_slots_done(&run->run.pads, &s->r->memory);
	*run = (struct sync_run){0};
}

/* ---- one part ---- */

struct part {
	struct ps_settle settle; /* first: a task */
	struct ps_lane lane;
	struct sync_parts *parts;
	uint32_t number, tries;
	size_t len;
	uint8_t description[SYNC_RUN_DESCRIPTION];
	struct ps_pad_slot slot;
	struct ps_pad_identity expected;
	struct ps_net_buffer *record;
};

static struct part *part_of(struct ps_settle *settle)
{
	return (struct part *)(void *)settle;
}

static struct part *part_of_lane(struct ps_lane *lane)
{
	return (struct part *)(void *)((char *)lane - offsetof(struct part, lane));
}

static int take_record(struct ps_settle *settle)
{
	struct part *part = part_of(settle);
	ps_manager_request(&part->slot, &part->expected, ps_net_buffer_hold(part->record),
	                   &settle->task.request);
	return PS_OK;
}

static int read_back(struct ps_settle *settle, const struct ps_net_buffer *record)
{
	struct part *part = part_of(settle);
	return record->len == part->record->len &&
	               memcmp(record->bytes, part->record->bytes, record->len) == 0
	           ? PS_OK
	           : ps_fail(PS_EAUTH, "a part of the index reads back as other bytes than were sent");
}

static void ended(struct ps_settle *settle)
{
	struct part *part = part_of(settle);
	ps_net_buffer_release(settle->task.request.buffer);
	settle->task.request.buffer = NULL;
	ps_lanes_back(&part->parts->tasks.lanes, &part->lane);
}

static const struct ps_settle_ops part_ops = {take_record, read_back, ended};

/* What was taken may still be read by somebody: then new ones only. Where one free pad is lost, all may be: the
 * second time it is a new one. */
static int take(struct part *part, ps_index_txn **txn)
{
	ps_remote *r = part->parts->s->r;
	bool fresh = part->tries > 1 || ps_manager_readers(r);
	for (;; fresh = true) {
		int err = ps_index_begin(r->index, txn);
		if (err != PS_OK)
			return err;
		err = ps_manager_take(r, *txn, PS_PAD_PRIVATE, part->parts->run->mode, fresh, &part->slot,
		                      &part->expected);
		if (err == PS_OK && (ps_identity_none(&part->expected) || !ps_manager_readers(r)))
			return PS_OK;
		ps_index_abort(*txn);
		if (err != PS_OK)
			return err;
	}
}

static int place(struct part *part, ps_index_txn *txn, const struct ps_pad_slot *old)
{
	struct ps_record *record = &part->parts->run->record;
	int err = PS_OK;
	if (old)
		record->sets[PS_SET_NEXT].slots[part->number] = part->slot;
	else
		err = ps_record_add_slots(record, PS_SET_NEXT, &part->slot, 1);
	if (err == PS_OK)
		err = ps_txn_put(txn, record);
	if (err == PS_OK && old)
		err =
		    ps_txn_let_go(txn, &(struct ps_slots){.slots = (struct ps_pad_slot *)old, .count = 1}, 0);
	return err;
}

/* The pad is in the index, sealed, before anything of it leaves. `old`: whose place it takes. */
static int prepare(struct part *part, const uint8_t *bytes, const struct ps_pad_slot *old)
{
	ps_remote *r = part->parts->s->r;
	ps_index_txn *txn;
	int err = take(part, &txn);
	if (err != PS_OK)
		return err;
	ps_net_buffer_release(part->record);
	part->record = NULL;
	err = ps_manager_seal(r, &part->slot, PS_ROLE_RUN, part->description, sizeof(part->description),
	                      bytes, part->len, &part->record);
	if (err == PS_OK)
		err = place(part, txn, old);
	if (err == PS_OK)
		return ps_index_commit(txn);
	ps_index_abort(txn);
	return err;
}

static int send(struct part *part)
{
	struct ps_sync *s = part->parts->s;
	enum ps_verify verify = ps_manager_verify(s->r, 0);
	part->settle.ops = &part_ops;
	part->settle.verify = verify == PS_VERIFY_NONE ? PS_VERIFY_HEAD : verify;
	ps_settle_init(&part->settle, part->record->len, &s->r->network->memory);
	s->result.run_bytes += part->record->len;
	return sync_tasks_add(&part->parts->tasks, &part->settle.task);
}

static bool another_may_do(const struct part *part)
{
	return part->slot.status == PS_SLOT_INVALID || part->settle.settled == PS_SETTLED_OLDER;
}

/* Into another pad. The record has the contents: opened in a copy, since the old one may still be on its way.
 */
static int send_elsewhere(struct part *part)
{
	ps_remote *r = part->parts->s->r;
	struct ps_pad_slot old = part->slot;
	struct ps_net_buffer *copy = ps_net_buffer_new(&r->network->memory, part->record->len);
	uint8_t *bytes = ps_memory_alloc(&r->memory, part->len);
	int err = copy && bytes ? PS_OK : ps_fail(PS_ENOMEM, "no memory for a part of %zu bytes", part->len);
	if (err == PS_OK) {
		copy->len = part->record->len;
		memcpy(copy->bytes, part->record->bytes, copy->len);
		err =
		    ps_pad_read_record(r, &old, PS_ROLE_RUN, NULL, copy, bytes, 0, (uint32_t)part->len, NULL);
	}
	if (err == PS_OK)
		err = prepare(part, bytes, &old);
	if (err == PS_OK)
		err = send(part);
	ps_net_buffer_release(copy);
	if (bytes)
		ps_memory_free(&r->memory, bytes, part->len);
	return err;
}

/* ---- several in flight ---- */

static void part_free(struct part *part)
{
	ps_net_buffer_release(part->record);
	ps_memory_free(&part->parts->s->r->memory, part, sizeof(*part));
}

static void note_status(struct part *part)
{
	part->slot.status = (uint8_t)ps_manager_status(&part->settle, part->slot.status);
	part->parts->run->record.sets[PS_SET_NEXT].slots[part->number] = part->slot;
}

/* One that is back: it is there, goes to another pad, or has failed. */
static int take_one_back(struct sync_parts *parts)
{
	struct ps_lane *lane;
	int err = sync_tasks_next(&parts->tasks, &lane);
	if (err != PS_OK)
		return err;
	struct part *part = part_of_lane(lane);
	const struct ps_task *task = &part->settle.task;
	note_status(part);
	if (task->fate != PS_FATE_DONE)
		err = ps_fail(ps_task_error(task), "%s", task->sentence);
	if (err != PS_OK && another_may_do(part) && part->tries++ < parts->s->r->options.max_recycles) {
		err = send_elsewhere(part);
		if (err == PS_OK)
			return PS_OK;
	}
	part_free(part);
	return err;
}

static void give_up(void *arg, struct ps_lane *lane)
{
	struct part *part = part_of_lane(lane);
	(void)arg;
	note_status(part);
	part_free(part);
}

int sync_parts_begin(struct ps_sync *s, struct sync_run *run, struct sync_parts *parts)
{
	/* Each is there twice while it is sealed, or read back. */
	uint64_t bytes = 2ULL * ps_pad_record_bytes(s->r->payloads[run->mode]);
	*parts = (struct sync_parts){.s = s, .run = run, .most = ps_lanes_count(s->r, bytes, UINT32_MAX)};
	return sync_tasks_begin(s, &parts->tasks);
}

int sync_part(void *arg, uint32_t number, const uint8_t *bytes, size_t len)
{
	struct sync_parts *parts = arg;
	int err = PS_OK;
	while (err == PS_OK && parts->tasks.on_way >= parts->most)
		err = take_one_back(parts);
	if (err != PS_OK)
		return err;
	struct part *part = ps_memory_zalloc(&parts->s->r->memory, sizeof(*part));
	if (!part)
		return ps_fail(PS_ENOMEM, "no memory for a part of a run");
	part->parts = parts;
	part->number = number;
	part->len = len;
	sync_run_description(parts->run->run.id, number, part->description);
	err = prepare(part, bytes, NULL);
	if (err == PS_OK)
		err = send(part);
	if (err != PS_OK)
		part_free(part);
	return err;
}

int sync_parts_end(struct sync_parts *parts, int err)
{
	while (err == PS_OK && parts->tasks.on_way > 0)
		err = take_one_back(parts);
	sync_tasks_end(&parts->tasks, give_up, NULL);
	return err;
}

/* ---- the whole ---- */

int sync_run_finish(struct ps_sync *s, struct sync_run *run, const struct ps_run_figures *figures)
{
	struct ps_version version = {.counter = 1};
	struct ps_slots none = {0};
	ps_index_txn *txn;
	memcpy(version.machine, s->r->machine.id, sizeof(version.machine));
	run->record.next.size = figures->bytes;
	int err = ps_record_switch(&run->record, &version, ps_remote_wall_ns(s->r), &none);
	if (err == PS_OK)
		err = ps_index_begin(s->r->index, &txn);
	if (err != PS_OK)
		return err;
	(void)!ps_txn_put(txn, &run->record); /* what fails here fails the commit */
	err = ps_index_commit(txn);
	const struct ps_slots *pads = &run->record.sets[PS_SET_CURRENT];
	run->run.bytes = figures->bytes;
	run->run.keys = figures->keys;
	return err == PS_OK ? ps_slots_add(&run->run.pads, &s->r->memory, pads->slots, pads->count) : err;
}

/* ---- runs that come and go ---- */

static bool lists(const struct ps_head *head, const char *run_name)
{
	char name[4 + 2 * PS_RUN_ID + 1];
	for (uint32_t i = 0; head && i < head->runs_count; i++) {
		sync_run_name(head->runs[i].id, name);
		if (strcmp(name, run_name) == 0)
			return true;
	}
	return false;
}

static int let_go_all(const struct ps_record *record, ps_index_txn *txn)
{
	int err = ps_txn_remove(txn, PS_RECORD_SYSTEM, record->name, record->name_len, false);
	for (unsigned set = 0; set < PS_SETS && err == PS_OK; set++)
		err = ps_txn_let_go(txn, &record->sets[set], 0);
	return err;
}

static int drop_orphan(void *arg, const struct ps_record *record)
{
	struct ps_sync *s = arg;
	ps_index_txn *txn;
	if (s->base.there && lists(&s->base.head, record->name))
		return PS_OK;
	int err = ps_index_begin(s->r->index, &txn);
	if (err != PS_OK)
		return err;
	(void)!let_go_all(record, txn); /* what fails here fails the commit */
	return ps_index_commit(txn);
}

/* A list of the index's own records looks at all records: only where there may be such a run. */
int sync_drop_orphans(struct ps_sync *s)
{
	if (s->r->runs_clean)
		return PS_OK;
	int err = ps_index_list(s->r->index, PS_RECORD_SYSTEM, run_prefix, PS_LIST_SLOTS, drop_orphan, s);
	s->r->runs_clean = err == PS_OK;
	return err;
}

static int forget_run(struct ps_sync *s, const struct ps_head_run *run, bool own, ps_index_txn *txn)
{
	char name[4 + 2 * PS_RUN_ID + 1];
	struct ps_record record;
	sync_run_name(run->id, name);
	int err = ps_index_get(s->r->index, PS_RECORD_SYSTEM, name, strlen(name), &record);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err;
	if (own)
		err = let_go_all(&record, txn);
	else
		err = ps_txn_remove(txn, PS_RECORD_SYSTEM, name, strlen(name), true);
	ps_record_done(&record);
	return err;
}

/* What the head says of its size is another machine's word. */
static uint64_t sound_size(const struct ps_head_run *run)
{
	uint64_t most = (uint64_t)run->pads.count * ps_pad_mode_payload(run->pads.slots[0].mode);
	uint64_t size = run->bytes < run->pads.count ? run->pads.count : run->bytes;
	return size < most ? size : most;
}

static int adopt_run(struct ps_sync *s, const struct ps_head_run *run, ps_index_txn *txn)
{
	struct ps_record record;
	int err = init_record(s, run->id, &record);
	if (err != PS_OK)
		return err;
	record.flags = PS_RECORD_COMPLETE;
	record.version = (struct ps_version){.counter = 1};
	memcpy(record.version.machine, s->r->machine.id, sizeof(record.version.machine));
	record.content = (struct ps_content){
	    .size = sound_size(run), .mode = run->pads.slots[0].mode, .class = PS_PAD_PRIVATE};
	err = ps_record_set_slots(&record, PS_SET_CURRENT, run->pads.slots, run->pads.count);
	if (err == PS_OK)
		err = ps_txn_adopt(txn, &record);
	ps_record_done(&record);
	return err;
}

int sync_swap_runs(struct ps_sync *s, const struct ps_head *from, const struct ps_head *to, bool own,
                   ps_index_txn *txn)
{
	char name[4 + 2 * PS_RUN_ID + 1];
	int err = PS_OK;
	for (uint32_t i = 0; from && i < from->runs_count && err == PS_OK; i++) {
		sync_run_name(from->runs[i].id, name);
		if (!lists(to, name))
			err = forget_run(s, &from->runs[i], own || s->rebuilds, txn);
	}
	for (uint32_t i = 0; !own && i < to->runs_count && err == PS_OK; i++) {
		sync_run_name(to->runs[i].id, name);
		if (!from || !lists(from, name))
			err = adopt_run(s, &to->runs[i], txn);
	}
	return err;
}
