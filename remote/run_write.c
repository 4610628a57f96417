/* Writing runs. */
#include <string.h>

#include "base/fail.h"
#include "remote/run.h"
#include "remote/run_internal.h"

struct ps_run_writer {
	struct ps_memory *memory;
	struct ps_run_about about;
	char store[256];
	ps_run_part_fn fn;
	void *arg;
	size_t part_bytes, store_len;
	uint8_t *body, *out; /* part_bytes each */
	uint8_t *record;     /* the one that is being added, with its length */
	size_t record_capacity;
	size_t body_len;
	uint32_t part, count, carried;
	char first[PS_RECORD_NAME_MAX + 1], last[PS_RECORD_NAME_MAX + 1];
	char before[PS_RECORD_NAME_MAX + 1]; /* the name of the record added last */
	uint16_t first_len, last_len, before_len;
	struct ps_run_figures figures;
};

int ps_run_writer_new(struct ps_memory *memory, const struct ps_run_about *about, size_t part_bytes,
                      ps_run_part_fn fn, void *arg, ps_run_writer **writer)
{
	size_t store_len = about->store ? strlen(about->store) : 0;
	if (store_len == 0 || store_len > 255 || part_bytes < PS_RUN_PART_MIN ||
	    part_bytes > PS_RUN_PART_MAX || about->head == 0)
		return ps_fail(PS_EINVAL, "a run has a store's name, a head, and parts of 4 KiB to 8 MiB");
	ps_run_writer *w = ps_memory_zalloc(memory, sizeof(*w));
	uint8_t *body = ps_memory_alloc(memory, part_bytes), *out = ps_memory_alloc(memory, part_bytes);
	if (!w || !body || !out) {
		ps_memory_free(memory, w, sizeof(*w));
		ps_memory_free(memory, body, part_bytes);
		ps_memory_free(memory, out, part_bytes);
		return ps_fail(PS_ENOMEM, "no memory for a run's part of %zu bytes", part_bytes);
	}
	*w = (struct ps_run_writer){.memory = memory,
	                            .about = *about,
	                            .fn = fn,
	                            .arg = arg,
	                            .part_bytes = part_bytes,
	                            .store_len = store_len,
	                            .body = body,
	                            .out = out};
	memcpy(w->store, about->store, store_len);
	*writer = w;
	return PS_OK;
}

void ps_run_writer_free(ps_run_writer *w)
{
	if (!w)
		return;
	ps_memory_free(w->memory, w->body, w->part_bytes);
	ps_memory_free(w->memory, w->out, w->part_bytes);
	ps_memory_free(w->memory, w->record, w->record_capacity);
	ps_memory_free(w->memory, w, sizeof(*w));
}

/* Bytes that the part can still take, if a record of this name is its last. */
static size_t room(const ps_run_writer *w, uint16_t name_len)
{
	size_t first = w->first_len > 0 ? w->first_len : name_len;
	return w->part_bytes - sizeof(struct ps_run_part_bytes) - w->store_len - first - name_len -
	       w->body_len;
}

static int close_part(ps_run_writer *w, bool last)
{
	struct ps_run_part_bytes head = {
	    .format = PS_INDEX_FORMAT,
	    .flags = (uint8_t)((last ? RUN_PART_LAST : 0) | (w->about.base ? RUN_PART_BASE : 0)),
	    .store_len = (uint8_t)w->store_len,
	    .head = ps_set64(w->about.head),
	    .part = ps_set32(w->part),
	    .parts = ps_set32(last ? w->part + 1 : 0),
	    .carried = ps_set32(w->carried),
	    .count = ps_set32(w->count),
	    .body_len = ps_set32((uint32_t)w->body_len),
	    .first_len = ps_set16(w->first_len),
	    .last_len = ps_set16(w->last_len)};
	memcpy(head.magic, run_part_magic, sizeof(head.magic));
	memcpy(head.id, w->about.id, sizeof(head.id));
	uint8_t *at = w->out;
	const struct piece {
		const void *bytes;
		size_t len;
	} pieces[] = {{&head, sizeof(head)},
	              {w->store, w->store_len},
	              {w->first, w->first_len},
	              {w->last, w->last_len},
	              {w->body, w->body_len}};
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		memcpy(at, pieces[i].bytes, pieces[i].len);
		at += pieces[i].len;
	}
	size_t len = (size_t)(at - w->out);
	w->figures.bytes += len;
	w->part++;
	w->body_len = 0;
	w->carried = w->count = 0;
	w->first_len = w->last_len = 0;
	return w->fn(w->arg, w->part - 1, w->out, len);
}

static void append(ps_run_writer *w, const struct ps_record *record, const uint8_t *bytes, size_t len)
{
	memcpy(w->body + w->body_len, bytes, len);
	w->body_len += len;
	memcpy(w->last, record->name, record->name_len);
	w->last_len = record->name_len;
	if (w->first_len == 0) {
		memcpy(w->first, record->name, record->name_len);
		w->first_len = record->name_len;
	}
}

/* The length and the record, in w->record. */
static int encode(ps_run_writer *w, const struct ps_record *record, size_t *len)
{
	size_t wire = ps_record_wire_bytes(record);
	ps_le32 prefix = ps_set32((uint32_t)wire);
	*len = sizeof(prefix) + wire;
	if (wire > UINT32_MAX)
		return ps_fail(PS_ERANGE, "the record of \"%.64s\" is too long to travel", record->name);
	if (*len > w->record_capacity) {
		uint8_t *grown = ps_memory_resize(w->memory, w->record, w->record_capacity, *len);
		if (!grown)
			return ps_fail(PS_ENOMEM, "no memory for a record of %zu bytes", *len);
		w->record = grown;
		w->record_capacity = *len;
	}
	memcpy(w->record, &prefix, sizeof(prefix));
	ps_record_encode_wire(record, w->about.head, w->record + sizeof(prefix));
	return PS_OK;
}

/* Behind what is there if it fits, in a part of its own if it fits there; else over as many parts as it
 * takes. */
static int place(ps_run_writer *w, const struct ps_record *record, size_t len)
{
	size_t fresh =
	    w->part_bytes - sizeof(struct ps_run_part_bytes) - w->store_len - 2U * record->name_len;
	size_t here = room(w, record->name_len);
	int err = PS_OK;
	if (here < len && (len <= fresh || here < RUN_SPLIT_LEAST) && w->body_len > 0)
		err = close_part(w, false);
	w->count++;
	for (size_t done = 0; done < len && err == PS_OK;) {
		size_t n = room(w, record->name_len);
		if (n > len - done)
			n = len - done;
		append(w, record, w->record + done, n);
		if (done > 0)
			w->carried = (uint32_t)n;
		done += n;
		if (done < len)
			err = close_part(w, false);
	}
	return err;
}

int ps_run_writer_add(ps_run_writer *w, const struct ps_record *record)
{
	size_t len;
	if (!ps_record_may_travel(record))
		return ps_fail(PS_EINVAL, "the record of \"%.64s\" does not travel", record->name);
	if (w->figures.keys > 0 && ps_name_compare(w->figures.keys > 0 ? w->last : "", w->last_len,
	                                           record->name, record->name_len) >= 0)
		return ps_fail(PS_EINVAL, "\"%.64s\" is not behind the name before it", record->name);
	int err = encode(w, record, &len);
	if (err == PS_OK)
		err = place(w, record, len);
	if (err != PS_OK)
		return err;
	w->figures.keys++;
	memcpy(w->before, record->name, record->name_len);
	w->before_len = record->name_len;
	return PS_OK;
}

int ps_run_writer_finish(ps_run_writer *w, struct ps_run_figures *figures)
{
	int err = close_part(w, true);
	if (err != PS_OK)
		return err;
	w->figures.parts = w->part;
	*figures = w->figures;
	return PS_OK;
}
