/* Reading runs: their parts fetched, verified and opened, several in flight ahead of who reads; several runs
 * as one stream of records. */
#include "base/fail.h"
#include "remote/sync_internal.h"

struct run_parts;

/* A part on its way, or back. */
struct part_read {
	struct ps_pad_read read; /* first: a task */
	struct part_read *next;  /* of its run, in order */
	struct run_parts *parts;
	uint8_t description[SYNC_RUN_DESCRIPTION];
	bool back;
};

/* The parts of one run. */
struct run_parts {
	struct sync_source *source;
	struct ps_head_run run; /* the head's */
	ps_run_reader *reader;
	struct part_read *current;      /* what the reader reads from */
	struct part_read *first, *last; /* that were asked for and come next */
	uint32_t asked;                 /* how many so far */
};

struct sync_source {
	struct ps_sync *s;
	ps_run_merge *merge;
	struct sync_tasks tasks;
	uint64_t ahead, ahead_most; /* bytes of parts that were asked for before somebody needs them */
	size_t count, turn;
	struct run_parts parts[];
};

/* ---- one part ---- */

static struct part_read *part_of(struct ps_lane *lane)
{
	return (struct part_read *)(void *)((char *)lane - offsetof(struct part_read, read.lane));
}

static uint64_t part_bytes(const struct part_read *part)
{
	return (uint64_t)part->read.slot.length + ps_pad_record_bytes(part->read.slot.length);
}

static void part_free(struct part_read *part)
{
	if (!part)
		return;
	struct ps_memory *memory = &part->parts->source->s->r->memory;
	if (part->read.out)
		ps_memory_free(memory, part->read.out, part->read.slot.length);
	ps_memory_free(memory, part, sizeof(*part));
}

static void ended(struct ps_pad_read *read)
{
	if (!read->elsewhere) /* that is waited for by itself */
		ps_lanes_back(read->lanes, &read->lane);
}

/* The next one of a run. */
static int ask(struct run_parts *parts)
{
	struct sync_source *source = parts->source;
	struct ps_memory *memory = &source->s->r->memory;
	const struct ps_pad_slot *slot = &parts->run.pads.slots[parts->asked];
	struct part_read *part = ps_memory_zalloc(memory, sizeof(*part));
	uint8_t *bytes = ps_memory_alloc(memory, slot->length);
	if (!part || !bytes) {
		ps_memory_free(memory, part, sizeof(*part));
		ps_memory_free(memory, bytes, slot->length);
		return ps_fail(PS_ENOMEM, "no memory for a part of %u bytes", slot->length);
	}
	sync_run_description(parts->run.id, parts->asked, part->description);
	part->parts = parts;
	part->read = (struct ps_pad_read){.r = source->s->r,
	                                  .slot = *slot,
	                                  .role = PS_ROLE_RUN,
	                                  .to = slot->length,
	                                  .out = bytes,
	                                  .description = part->description,
	                                  .description_len = sizeof(part->description),
	                                  .ended = ended,
	                                  .lanes = &source->tasks.lanes};
	ps_pad_read_init(&part->read);
	int err = sync_tasks_add(&source->tasks, &part->read.task);
	if (err != PS_OK) {
		part_free(part);
		return err;
	}
	*(parts->last ? &parts->last->next : &parts->first) = part;
	parts->last = part;
	parts->asked++;
	source->ahead += part_bytes(part);
	return PS_OK;
}

/* As many as there is room for, a part of each run in turn: which one is needed first nobody knows. */
static int ask_ahead(struct sync_source *source)
{
	int err = PS_OK;
	for (size_t idle = 0; idle < source->count && err == PS_OK; source->turn++) {
		struct run_parts *parts = &source->parts[source->turn % source->count];
		bool more = parts->asked < parts->run.pads.count && source->ahead < source->ahead_most;
		idle = more ? 0 : idle + 1;
		if (more)
			err = ask(parts);
	}
	return err;
}

/* What came of it is the read's to tell, but for a cancel. */
static int ask_fallback(struct ps_sync *s, struct ps_pad_read *read)
{
	int err = sync_run_task_on(s, read->r->fallback.workers, &read->task);
	(void)ps_fallback_takes(read);
	return read->task.fate == PS_FATE_DONE || read->task.fate == PS_FATE_FAILED ? PS_OK : err;
}

static int wait_for(struct sync_source *source, struct part_read *part)
{
	while (!part->back) {
		struct ps_lane *lane;
		int err = sync_tasks_next(&source->tasks, &lane);
		if (err != PS_OK)
			return err;
		part_of(lane)->back = true;
	}
	int err = ps_fallback_takes(&part->read) ? ask_fallback(source->s, &part->read) : PS_OK;
	if (err != PS_OK)
		return err;
	const struct ps_task *task = &part->read.task;
	if (task->fate != PS_FATE_DONE)
		return ps_fail(ps_task_error(task), "%s", task->sentence);
	source->s->result.fetched_bytes += ps_pad_record_bytes(part->read.slot.length);
	return PS_OK;
}

static struct part_read *take_first(struct run_parts *parts)
{
	struct part_read *part = parts->first;
	parts->first = part->next;
	if (!parts->first)
		parts->last = NULL;
	parts->source->ahead -= part_bytes(part);
	return part;
}

/* What the reader had is not read any more. One that it needs is asked for, room or none. */
static int fetch(void *arg, uint32_t number, const uint8_t **bytes, size_t *len)
{
	struct run_parts *parts = arg;
	struct sync_source *source = parts->source;
	if (number >= parts->run.pads.count)
		return ps_fail(PS_ECORRUPT, "a run has more parts than its head lists");
	part_free(parts->current);
	parts->current = NULL;
	int err = parts->first ? PS_OK : ask(parts);
	if (err == PS_OK)
		err = wait_for(source, parts->first);
	if (err != PS_OK)
		return err;
	parts->current = take_first(parts);
	*bytes = parts->current->read.out;
	*len = parts->current->read.slot.length;
	source->turn = (size_t)(parts - source->parts); /* who reads fastest needs most */
	return ask_ahead(source);
}

/* ---- several runs ---- */

static int open_run(struct sync_source *source, const struct ps_head_run *run, struct run_parts *parts)
{
	struct ps_sync *s = source->s;
	struct ps_run_about about = {
	    .store = ps_keys_store(s->r->keys), .head = run->head, .base = run->base};
	memcpy(about.id, run->id, sizeof(about.id));
	*parts = (struct run_parts){.source = source, .run = *run};
	return ps_run_reader_new(s->memory, &about, run->pads.count, fetch, parts, &parts->reader);
}

static int merge_all(struct sync_source *source, uint64_t tombstones_below)
{
	struct ps_memory *memory = &source->s->r->memory;
	ps_run_reader **readers = ps_memory_alloc(memory, source->count * sizeof(*readers));
	if (!readers)
		return ps_fail(PS_ENOMEM, "no memory for %zu runs", source->count);
	for (size_t i = 0; i < source->count; i++)
		readers[i] = source->parts[i].reader;
	int err =
	    ps_run_merge_new(source->s->memory, readers, source->count, tombstones_below, &source->merge);
	ps_memory_free(memory, readers, source->count * sizeof(*readers));
	return err;
}

int sync_source_new(struct ps_sync *s, const struct ps_head *head, const bool *use, uint64_t tombstones_below,
                    struct sync_source **out)
{
	size_t count = 0;
	int err = PS_OK;
	for (uint32_t i = 0; i < head->runs_count; i++)
		count += use[i];
	struct sync_source *source =
	    ps_memory_zalloc(&s->r->memory, sizeof(*source) + count * sizeof(source->parts[0]));
	if (!source)
		return ps_fail(PS_ENOMEM, "no memory for %zu runs", count);
	source->s = s;
	source->count = count;
	source->ahead_most = s->r->options.max_inflight / 2;
	err = count > 0 ? sync_tasks_begin(s, &source->tasks) : PS_OK;
	for (uint32_t i = 0, n = 0; i < head->runs_count && err == PS_OK; i++)
		if (use[i])
			err = open_run(source, &head->runs[i], &source->parts[n++]);
	if (err == PS_OK && count > 0)
		err = merge_all(source, tombstones_below);
	if (err == PS_OK)
		err = ask_ahead(source);
	if (err == PS_OK)
		*out = source;
	else
		sync_source_free(source);
	return err;
}

int sync_source_next(struct sync_source *source, struct ps_record *record, bool *found)
{
	*found = false;
	return source->merge ? ps_run_merge_next(source->merge, record, found) : PS_OK;
}

static void forget(void *arg, struct ps_lane *lane)
{
	(void)arg, (void)lane; /* it stands in its run's list */
}

static void free_parts(struct run_parts *parts)
{
	part_free(parts->current);
	while (parts->first)
		part_free(take_first(parts));
	ps_run_reader_free(parts->reader);
}

void sync_source_free(struct sync_source *source)
{
	if (!source)
		return;
	struct ps_memory *memory = &source->s->r->memory;
	ps_run_merge_free(source->merge);
	sync_tasks_end(&source->tasks, forget, NULL);
	for (size_t i = 0; i < source->count; i++)
		free_parts(&source->parts[i]);
	ps_memory_free(memory, source, sizeof(*source) + source->count * sizeof(source->parts[0]));
}
