/* Reading runs: their parts, one at a time of each, fetched, verified and opened; several runs as one stream
 * of records. */
#include "base/fail.h"
#include "remote/sync_internal.h"

/* The parts of one run. */
struct run_parts {
	struct ps_sync *s;
	struct ps_head_run run; /* the head's */
	ps_run_reader *reader;
	uint8_t *bytes; /* of the part that was fetched last */
	size_t capacity;
};

struct sync_source {
	struct ps_sync *s;
	ps_run_merge *merge;
	size_t count;
	struct run_parts parts[];
};

static void ended(struct ps_pad_read *read)
{
	(void)read;
}

static int read_part(struct run_parts *parts, uint32_t part, const struct ps_pad_slot *slot)
{
	uint8_t description[SYNC_RUN_DESCRIPTION];
	sync_run_description(parts->run.id, part, description);
	struct ps_pad_read read = {.r = parts->s->r,
	                           .slot = *slot,
	                           .role = PS_ROLE_RUN,
	                           .to = slot->length,
	                           .out = parts->bytes,
	                           .description = description,
	                           .description_len = sizeof(description),
	                           .ended = ended};
	ps_pad_read_init(&read);
	int err = sync_run_task(parts->s, &read.task);
	if (err != PS_OK && ps_fallback_takes(&read)) {
		err = sync_run_task_on(parts->s, read.r->fallback.workers, &read.task);
		(void)ps_fallback_takes(&read);
		err = err == PS_OK || read.task.fate != PS_FATE_FAILED
		          ? err
		          : ps_fail(read.task.error, "%s", read.task.sentence);
	}
	if (err == PS_OK)
		parts->s->result.fetched_bytes += ps_pad_record_bytes(slot->length);
	return err;
}

static int fetch(void *arg, uint32_t part, const uint8_t **bytes, size_t *len)
{
	struct run_parts *parts = arg;
	if (part >= parts->run.pads.count)
		return ps_fail(PS_ECORRUPT, "a run has more parts than its head lists");
	const struct ps_pad_slot *slot = &parts->run.pads.slots[part];
	if (slot->length > parts->capacity) {
		uint8_t *grown = ps_memory_alloc(&parts->s->r->memory, slot->length);
		if (!grown)
			return ps_fail(PS_ENOMEM, "no memory for a part of %u bytes", slot->length);
		ps_memory_free(&parts->s->r->memory, parts->bytes, parts->capacity);
		parts->bytes = grown;
		parts->capacity = slot->length;
	}
	int err = read_part(parts, part, slot);
	if (err == PS_OK) {
		*bytes = parts->bytes;
		*len = slot->length;
	}
	return err;
}

static int open_run(struct ps_sync *s, const struct ps_head_run *run, struct run_parts *parts)
{
	struct ps_run_about about = {
	    .store = ps_keys_store(s->r->keys), .head = run->head, .base = run->base};
	memcpy(about.id, run->id, sizeof(about.id));
	*parts = (struct run_parts){.s = s, .run = *run};
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
	for (uint32_t i = 0, n = 0; i < head->runs_count && err == PS_OK; i++)
		if (use[i])
			err = open_run(s, &head->runs[i], &source->parts[n++]);
	if (err == PS_OK && count > 0)
		err = merge_all(source, tombstones_below);
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

void sync_source_free(struct sync_source *source)
{
	if (!source)
		return;
	struct ps_memory *memory = &source->s->r->memory;
	ps_run_merge_free(source->merge);
	for (size_t i = 0; i < source->count; i++) {
		ps_run_reader_free(source->parts[i].reader);
		ps_memory_free(memory, source->parts[i].bytes, source->parts[i].capacity);
	}
	ps_memory_free(memory, source, sizeof(*source) + source->count * sizeof(source->parts[0]));
}
