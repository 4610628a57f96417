#include "remote/gc_note.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/fail.h"

enum { FORMAT = 1 };

/* Then the pads, in strictly rising order of their names. */
struct note_head {
	uint8_t format;
	uint8_t reserved[3];
	ps_le32 count;
	ps_le64 latest_ns;
};
static_assert(sizeof(struct note_head) == 16, "no padding");

struct seen_bytes {
	uint8_t name[PS_GC_HALF], hash[PS_GC_HALF];
	ps_le64 head, first_ns;
};
static_assert(sizeof(struct seen_bytes) == 48, "no padding");

static int damaged(void)
{
	return ps_fail(PS_ECORRUPT, "the local index: its note of pads that nothing names is damaged");
}

void ps_gc_note_done(struct ps_gc_note *note)
{
	if (note->seen)
		ps_memory_free(note->memory, note->seen, note->count * sizeof(*note->seen));
	*note = (struct ps_gc_note){0};
}

static int compare_names(const void *a, const void *b)
{
	return memcmp(a, b, PS_GC_HALF);
}
static_assert(offsetof(struct ps_gc_seen, name) == 0, "a pad is compared by its name");

/* ---- reading ---- */

static int check_head(const void *bytes, size_t len, struct note_head *head)
{
	if (len < sizeof(*head))
		return damaged();
	memcpy(head, bytes, sizeof(*head));
	if (head->format != FORMAT)
		return ps_fail(PS_EVERSION,
		               "the local index: its note of pads that nothing names has format %u",
		               head->format);
	uint32_t count = ps_get32(head->count);
	if (!ps_all_zero(head->reserved, sizeof(head->reserved)) || count > PS_GC_MOST ||
	    len - sizeof(*head) != count * sizeof(struct seen_bytes))
		return damaged();
	return PS_OK;
}

static int take_seen(const uint8_t *bytes, const struct ps_gc_note *note)
{
	for (size_t i = 0; i < note->count; i++) {
		struct seen_bytes from;
		struct ps_gc_seen *seen = &note->seen[i];
		memcpy(&from, bytes + i * sizeof(from), sizeof(from));
		memcpy(seen->name, from.name, sizeof(seen->name));
		memcpy(seen->hash, from.hash, sizeof(seen->hash));
		seen->head = ps_get64(from.head);
		seen->first_ns = ps_get64(from.first_ns);
		if (seen->first_ns > note->latest_ns || (i > 0 && compare_names(seen - 1, seen) >= 0))
			return damaged();
	}
	return PS_OK;
}

int ps_gc_note_decode(const void *bytes, size_t len, struct ps_memory *memory, struct ps_gc_note *note)
{
	struct note_head head;
	int err = check_head(bytes, len, &head);
	if (err != PS_OK)
		return err;
	struct ps_gc_note made = {.memory = memory, .latest_ns = ps_get64(head.latest_ns)};
	size_t count = ps_get32(head.count);
	if (count > 0)
		made.seen = ps_memory_alloc(memory, count * sizeof(*made.seen));
	if (count > 0 && !made.seen)
		return ps_fail(PS_ENOMEM, "no memory for a note of %zu pads", count);
	made.count = count;
	err = take_seen((const uint8_t *)bytes + sizeof(head), &made);
	if (err == PS_OK)
		*note = made;
	else
		ps_gc_note_done(&made);
	return err;
}

int ps_gc_note_load(ps_index *index, struct ps_memory *memory, struct ps_gc_note *note)
{
	uint8_t *bytes;
	size_t len;
	int err = ps_index_note(index, PS_NOTE_GC, &bytes, &len);
	if (err == PS_ENOTFOUND) {
		*note = (struct ps_gc_note){.memory = memory};
		return PS_OK;
	}
	if (err != PS_OK)
		return err;
	err = ps_gc_note_decode(bytes, len, memory, note);
	ps_memory_free(ps_index_memory(index), bytes, len > 0 ? len : 1);
	return err;
}

/* ---- writing ---- */

size_t ps_gc_note_bytes(const struct ps_gc_note *note)
{
	return sizeof(struct note_head) + note->count * sizeof(struct seen_bytes);
}

void ps_gc_note_encode(const struct ps_gc_note *note, uint8_t *out)
{
	struct note_head head = {.format = FORMAT,
	                         .count = ps_set32((uint32_t)note->count),
	                         .latest_ns = ps_set64(note->latest_ns)};
	memcpy(out, &head, sizeof(head));
	for (size_t i = 0; i < note->count; i++) {
		const struct ps_gc_seen *seen = &note->seen[i];
		struct seen_bytes to = {.head = ps_set64(seen->head), .first_ns = ps_set64(seen->first_ns)};
		memcpy(to.name, seen->name, sizeof(to.name));
		memcpy(to.hash, seen->hash, sizeof(to.hash));
		memcpy(out + sizeof(head) + i * sizeof(to), &to, sizeof(to));
	}
}

static int commit(ps_index *index, const uint8_t *bytes, size_t len)
{
	ps_index_txn *txn;
	int err = ps_index_begin(index, &txn);
	if (err != PS_OK)
		return err;
	(void)!ps_txn_set_note(txn, PS_NOTE_GC, bytes, len); /* what fails here fails the commit */
	return ps_index_commit(txn);
}

int ps_gc_note_keep(ps_index *index, struct ps_gc_note *note)
{
	size_t len = ps_gc_note_bytes(note);
	uint8_t *bytes = ps_memory_alloc(ps_index_memory(index), len);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "no memory for a note of %zu pads", note->count);
	if (note->count > 0)
		qsort(note->seen, note->count, sizeof(*note->seen), compare_names);
	ps_gc_note_encode(note, bytes);
	int err = commit(index, bytes, len);
	ps_memory_free(ps_index_memory(index), bytes, len);
	return err;
}

const struct ps_gc_seen *ps_gc_note_find(const struct ps_gc_note *note, const struct ps_pad_name *name,
                                         const struct ps_pad_identity *identity)
{
	if (note->count == 0)
		return NULL;
	const struct ps_gc_seen *seen =
	    bsearch(name->bytes, note->seen, note->count, sizeof(*note->seen), compare_names);
	return seen && memcmp(seen->hash, identity->hash, PS_GC_HALF) == 0 ? seen : NULL;
}
