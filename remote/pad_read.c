/* Reading one pad, whole or a range of its segments, and believing nothing of what comes: a task that ends
 * with the right bytes or with an error of its own. What may have been damaged on its way is fetched again,
 * a few times. */
#include <stdio.h>

#include "base/fail.h"
#include "remote/manager_internal.h"
#include "remote/pad_format.h"

enum { MOST_ATTEMPTS = 3 };

static struct ps_pad_read *read_of(struct ps_task *task)
{
	return (struct ps_pad_read *)(void *)task;
}

static void expect(const uint8_t *network, const struct ps_pad_slot *slot, unsigned role,
                   struct ps_pad_expected *expected)
{
	*expected = (struct ps_pad_expected){.serial = slot->serial,
	                                     .generation = slot->generation,
	                                     .class = slot->class,
	                                     .role = (uint8_t)role,
	                                     .identity = ps_slot_identity(slot)};
	memcpy(expected->network, network, sizeof(expected->network));
}

int ps_pad_check_slot(const uint8_t *network, const struct ps_pad_slot *slot, unsigned role,
                      const struct ps_pad_header *header)
{
	struct ps_pad_expected expected;
	expect(network, slot, role, &expected);
	int err = ps_pad_check(header, &expected);
	if (err == PS_OK && header->payload != ps_pad_padded(slot->length))
		err = ps_fail(PS_EAUTH, "a pad of another length than is known");
	return err;
}

static int open_header(const uint8_t *network, const struct ps_pad_slot *slot, unsigned role,
                       const void *bytes, size_t len, struct ps_pad_header *header)
{
	int err = ps_pad_open_header(bytes, len, &slot->name, header);
	return err == PS_OK ? ps_pad_check_slot(network, slot, role, header) : err;
}

/* Opens segments [first, end) of `sealed`, which holds these and nothing else, and copies what is wanted. */
static int open_segments(const struct ps_pad_reader *reader, const struct ps_pad_header *header,
                         uint32_t first, uint32_t end, uint8_t *sealed, struct ps_pad_read *read,
                         uint8_t *plain)
{
	for (uint32_t i = first; i < end; i++) {
		uint32_t bytes = ps_pad_segment_bytes(header, i), begin = i * (uint32_t)PS_PAD_SEGMENT;
		int err = ps_pad_open_segment(reader, header, i, sealed, bytes, plain, &read->contents);
		if (err != PS_OK)
			return err;
		uint32_t from = read->from > begin ? read->from - begin : 0, to = read->to - begin;
		uint32_t size = ps_pad_segment_payload(header, i);
		to = to < size ? to : size;
		if (from < to)
			memcpy(read->out + (begin + from - read->from), plain + from, to - from);
		sealed += bytes;
	}
	return PS_OK;
}

static struct ps_pad_reader reader_of(const ps_remote *r, const uint8_t *content_key)
{
	return (struct ps_pad_reader){content_key ? NULL : r->keys, content_key};
}

/* Straight into the caller's memory where that has room for all of it, padding included. */
static int read_record(ps_remote *r, const uint8_t *network, const struct ps_pad_slot *slot, unsigned role,
                       const uint8_t *content_key, const struct ps_net_buffer *record, uint8_t *out,
                       uint32_t from, uint32_t to, struct ps_pad_contents *contents)
{
	struct ps_pad_header header;
	struct ps_pad_contents opened;
	struct ps_pad_reader reader = reader_of(r, content_key);
	int err = open_header(network, slot, role, record->bytes, record->len, &header);
	if (err != PS_OK)
		return err;
	bool direct = out && from == 0 && to == header.payload;
	uint8_t *plain = direct ? out : ps_memory_alloc(&r->memory, header.payload);
	if (!plain)
		return ps_fail(PS_ENOMEM, "no memory for a pad of %u bytes", header.payload);
	err = ps_pad_open(&reader, &header, record->bytes, record->len, plain, &opened);
	if (err == PS_OK && opened.length != slot->length)
		err = ps_fail(PS_EAUTH, "a pad with another length than is known");
	if (err == PS_OK && out && !direct)
		memcpy(out, plain + from, to - from);
	if (err == PS_OK && contents)
		*contents = opened;
	if (!direct)
		ps_memory_free(&r->memory, plain, header.payload);
	return err;
}

int ps_pad_read_record(ps_remote *r, const struct ps_pad_slot *slot, unsigned role,
                       const uint8_t *content_key, const struct ps_net_buffer *record, uint8_t *out,
                       uint32_t from, uint32_t to, struct ps_pad_contents *contents)
{
	return read_record(r, r->network_id, slot, role, content_key, record, out, from, to, contents);
}

/* ---- the task ---- */

static const uint8_t *network_of(const struct ps_pad_read *read)
{
	return read->network ? read->network : read->r->network_id;
}

/* Whole, unless a range leaves out more than half. */
static bool reads_whole(const struct ps_pad_read *read)
{
	return read->to - read->from >= ps_pad_padded(read->slot.length) / 2 ||
	       ps_pad_padded(read->slot.length) <= PS_PAD_SEGMENT;
}

static int new_buffer(struct ps_pad_read *read, struct ps_net_request *request, size_t bytes)
{
	ps_net_buffer_release(request->buffer);
	ps_network *network = read->elsewhere ? read->r->fallback.network : read->r->network;
	request->buffer = ps_net_buffer_new(&network->memory, bytes);
	return request->buffer ? PS_OK : ps_fail(PS_ENOMEM, "no memory for a record of %zu bytes", bytes);
}

static int ask_whole(struct ps_pad_read *read)
{
	struct ps_net_request *request = &read->task.request;
	request->op = PS_NET_GET;
	request->name = read->slot.name;
	return new_buffer(read, request, ps_pad_record_bytes(read->slot.length));
}

static int ask_header(struct ps_pad_read *read)
{
	struct ps_net_request *request = &read->task.request;
	request->op = PS_NET_GET_RANGE;
	request->name = read->slot.name;
	request->offset = 0;
	request->len = ps_pad_header_bytes(read->slot.length);
	return new_buffer(read, request, request->len);
}

static int prepare(struct ps_task *task)
{
	struct ps_pad_read *read = read_of(task);
	return reads_whole(read) ? ask_whole(read) : ask_header(read);
}

static enum ps_task_answer fail(struct ps_pad_read *read, int err, const char *sentence)
{
	read->task.error = err;
	snprintf(read->task.sentence, sizeof(read->task.sentence), "%s", sentence);
	return PS_TASK_FAILED;
}

/* Once more, into new memory: the old may still be filled. */
static enum ps_task_answer again(struct ps_pad_read *read, struct ps_net_request *request)
{
	int err = new_buffer(read, request, request->buffer->capacity);
	return err == PS_OK ? PS_TASK_AGAIN : fail(read, err, ps_last_error_message());
}

static enum ps_task_answer doubt(struct ps_pad_read *read, struct ps_net_request *request, int err)
{
	if (err == PS_ENOMEM || ++read->attempts >= MOST_ATTEMPTS)
		return fail(read, err, ps_last_error_message());
	return again(read, request);
}

static enum ps_task_answer ask_span(struct ps_pad_read *read)
{
	struct ps_net_request *other = &read->task.other;
	struct ps_pad_span span;
	int err = ps_pad_span(&read->header, read->from, read->to, &span);
	if (err == PS_OK) {
		struct ps_net_buffer *old = other->buffer;
		*other = (struct ps_net_request){.op = PS_NET_GET_RANGE,
		                                 .name = read->slot.name,
		                                 .offset = span.offset,
		                                 .len = span.bytes,
		                                 .buffer = old};
		err = new_buffer(read, other, span.bytes);
	}
	return err == PS_OK ? PS_TASK_OTHER : fail(read, err, ps_last_error_message());
}

/* What is there is longer than what is looked for. A newer version may be: that shows when it is read as it
 * is, and else it is a lie. Not every network says how long. */
static enum ps_task_answer ask_longer(struct ps_pad_read *read, struct ps_net_request *request)
{
	const uint64_t most = ps_pad_record_bytes(PAD_PAYLOAD_MAX);
	bool known = request->size > request->buffer->capacity && request->size <= most;
	if (++read->attempts >= MOST_ATTEMPTS)
		return fail(read, ps_fail(PS_EAUTH, "%s", request->sentence), request->sentence);
	request->op = PS_NET_GET;
	int err = new_buffer(read, request, (size_t)(known ? request->size : most));
	return err == PS_OK ? PS_TASK_AGAIN : fail(read, err, ps_last_error_message());
}

static enum ps_task_answer take_header(struct ps_pad_read *read, struct ps_net_request *request)
{
	int err = open_header(network_of(read), &read->slot, read->role, request->buffer->bytes,
	                      request->buffer->len, &read->header);
	if (err == PS_EAUTH && request->size > ps_pad_record_bytes(read->slot.length))
		return ask_longer(read, request);
	return err == PS_OK ? ask_span(read) : doubt(read, request, err);
}

static enum ps_task_answer take_span(struct ps_pad_read *read, struct ps_net_request *request)
{
	struct ps_pad_reader reader = reader_of(read->r, read->content_key);
	struct ps_pad_span span;
	uint8_t *plain = ps_memory_alloc(&read->r->memory, PS_PAD_SEGMENT);
	int err = plain ? ps_pad_span(&read->header, read->from, read->to, &span)
	                : ps_fail(PS_ENOMEM, "no memory for a segment");
	if (err == PS_OK && request->buffer->len != span.bytes)
		err = ps_fail(PS_EAUTH, "a pad that ends in the middle");
	if (err == PS_OK)
		err = open_segments(&reader, &read->header, span.first, span.end, request->buffer->bytes,
		                    read, plain);
	if (plain)
		ps_memory_free(&read->r->memory, plain, PS_PAD_SEGMENT);
	return err == PS_OK ? PS_TASK_DONE : doubt(read, request, err);
}

static int check_description(const struct ps_pad_read *read)
{
	if (!read->description ||
	    (read->contents.description_len == read->description_len &&
	     memcmp(read->contents.description, read->description, read->description_len) == 0))
		return PS_OK;
	return ps_fail(PS_EAUTH, "an authentic pad that is part of something else");
}

static enum ps_task_answer take_whole(struct ps_pad_read *read, struct ps_net_request *request)
{
	int err = read_record(read->r, network_of(read), &read->slot, read->role, read->content_key,
	                      request->buffer, read->out, read->from, read->to, &read->contents);
	if (err == PS_OK)
		err = check_description(read);
	return err == PS_OK ? PS_TASK_DONE : doubt(read, request, err);
}

static enum ps_task_answer finish(struct ps_task *task, struct ps_net_request *request)
{
	struct ps_pad_read *read = read_of(task);
	switch (request->outcome) {
	case PS_NET_DONE:
		break;
	case PS_NET_ABSENT:
		/* Who has changed the value may have deleted its old pads since. */
		(void)ps_fail(PS_ELOST, "%s; if another machine has changed the value, a sync brings it",
		              request->sentence);
		return doubt(read, request, PS_ELOST);
	case PS_NET_TOO_BIG:
		return ask_longer(read, request);
	case PS_NET_DENIED:
		return fail(read, request->error != PS_OK ? request->error : PS_EACCES, request->sentence);
	default:
		return again(read, request);
	}
	if (request->op == PS_NET_GET)
		return take_whole(read, request);
	return request == &task->request ? take_header(read, request) : take_span(read, request);
}

static void ended(struct ps_task *task)
{
	struct ps_pad_read *read = read_of(task);
	ps_net_buffer_release(task->request.buffer);
	ps_net_buffer_release(task->other.buffer);
	task->request.buffer = task->other.buffer = NULL;
	read->ended(read);
}

static const struct ps_task_ops read_ops = {prepare, finish, ended};

void ps_pad_read_init(struct ps_pad_read *read)
{
	/* The record, and what it opens to where that is not the caller's memory. */
	size_t bytes = (size_t)ps_pad_record_bytes(read->slot.length) + ps_pad_padded(read->slot.length);
	read->task = (struct ps_task){.ops = &read_ops, .bytes = bytes};
	read->attempts = 0;
}
