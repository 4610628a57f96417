/* Any bytes to the index's decoders: the first chooses the decoder, the rest is the object. What is accepted
 * is encoded again to the same bytes, so that no two readers can see it differently. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/error.h"
#include "remote/anchor.h"
#include "remote/gc_note.h"
#include "remote/run.h"
#include "remote/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ps_memory memory;

static void must(int holds)
{
	if (!holds)
		abort();
}

static void same(const uint8_t *data, const uint8_t *again, size_t len)
{
	must(memcmp(data, again, len) == 0);
}

static void try_record(const uint8_t *data, size_t size)
{
	struct ps_record record, prefix = {.memory = &memory};
	size_t some = size < PS_RECORD_PREFIX ? size : PS_RECORD_PREFIX;
	(void)!ps_record_decode_prefix(data, some, size, &prefix);
	if (ps_record_decode(data, size, &memory, &record) != PS_OK)
		return;
	must(ps_record_bytes(&record) == size);
	uint8_t *again = malloc(size);
	must(again != NULL);
	ps_record_encode(&record, again);
	same(data, again, size);
	free(again);
	ps_record_done(&record);
}

static void try_wire(const uint8_t *data, size_t size)
{
	struct ps_record record;
	if (ps_record_decode_wire(data, size, &memory, &record) != PS_OK)
		return;
	must(ps_record_wire_bytes(&record) == size && ps_record_may_travel(&record));
	uint8_t *again = malloc(size);
	must(again != NULL);
	ps_record_encode_wire(&record, 1, again);
	same(data, again, size);
	free(again);
	ps_record_done(&record);
}

struct input {
	const uint8_t *data;
	size_t size;
};

static int give(void *arg, uint32_t part, const uint8_t **bytes, size_t *len)
{
	const struct input *in = arg;
	(void)part;
	*bytes = in->data;
	*len = in->size;
	return PS_OK;
}

static void try_run(const uint8_t *data, size_t size)
{
	struct ps_run_part part;
	struct input in = {data, size};
	ps_run_reader *reader;
	if (ps_run_part_decode(data, size, &part) != PS_OK)
		return;
	must(part.body + part.body_len <= size);
	if (ps_run_reader_new(&memory, &part.about, part.part + 1, give, &in, &reader) != PS_OK)
		return;
	for (bool found = true; found;) {
		struct ps_record record;
		if (ps_run_reader_next(reader, &record, &found) != PS_OK)
			break;
		if (found)
			ps_record_done(&record);
	}
	ps_run_reader_free(reader);
}

static void try_head(const uint8_t *data, size_t size)
{
	struct ps_head head;
	if (ps_head_decode(data, size, &memory, &head) != PS_OK)
		return;
	if (data[8] == PS_HEAD_FORMAT_FIRST) { /* is read, and written as the later one */
		ps_head_done(&head);
		return;
	}
	size_t len = ps_head_bytes(&head);
	uint8_t *again = malloc(len);
	must(again != NULL && len <= size);
	ps_head_encode(&head, again);
	same(data, again, len);
	free(again);
	ps_head_done(&head);
}

static void try_code(const uint8_t *data, size_t size)
{
	char text[64] = {0};
	uint64_t counter;
	uint8_t bits[5];
	memcpy(text, data, size < sizeof(text) - 1 ? size : sizeof(text) - 1);
	(void)!ps_head_code_parse(text, &counter, bits);
}

/* No mutation finds the right checksum, which is the last of small files: it is put right. */
static uint8_t *with_checksum(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size);
	must(copy != NULL);
	memcpy(copy, data, size);
	if (size >= sizeof(ps_le64)) {
		ps_le64 sum = ps_set64(XXH3_64bits(data, size - sizeof(sum)));
		memcpy(copy + size - sizeof(sum), &sum, sizeof(sum));
	}
	return copy;
}

static void try_anchor(const uint8_t *data, size_t size)
{
	struct ps_anchor anchor;
	struct ps_anchor_bytes again;
	uint8_t *copy = with_checksum(data, size);
	(void)!ps_anchor_decode("input", data, size, &anchor);
	if (ps_anchor_decode("input", copy, size, &anchor) == PS_OK) {
		must(size == sizeof(again) && ps_anchor_encode(&anchor, &again) == PS_OK);
		same(copy, (const uint8_t *)&again, size);
	}
	free(copy);
}

static void try_machine(const uint8_t *data, size_t size)
{
	struct ps_machine machine;
	uint8_t *copy = with_checksum(data, size);
	(void)!ps_machine_decode("input", data, size, &machine);
	if (ps_machine_decode("input", copy, size, &machine) == PS_OK)
		must(strnlen(machine.name, sizeof(machine.name)) < sizeof(machine.name));
	free(copy);
}

static void try_gc_note(const uint8_t *data, size_t size)
{
	struct ps_gc_note note;
	if (ps_gc_note_decode(data, size, &memory, &note) != PS_OK)
		return;
	must(ps_gc_note_bytes(&note) == size);
	uint8_t *again = malloc(size);
	must(again != NULL);
	ps_gc_note_encode(&note, again);
	same(data, again, size);
	free(again);
	ps_gc_note_done(&note);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const decoders[])(const uint8_t *, size_t) = {
	    try_record, try_wire, try_run, try_head, try_code, try_anchor, try_machine, try_gc_note};
	if (size < 2)
		return 0;
	ps_memory_init(&memory, NULL);
	uint8_t *object = malloc(size - 1); /* of its own length: a sanitizer sees every step too far */
	must(object != NULL);
	memcpy(object, data + 1, size - 1);
	decoders[data[0] % (sizeof(decoders) / sizeof(decoders[0]))](object, size - 1);
	must(atomic_load(&memory.used) == 0);
	free(object);
	ps_memory_done(&memory);
	return 0;
}
