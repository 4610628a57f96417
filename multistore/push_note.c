#include "multistore/push_note.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"

enum { NOTE_VERSION = 1 };

struct note_bytes {
	uint8_t magic[8];
	ps_le32 version;
	ps_le32 attempts;
	uint8_t last[PS_PACK_MARK];
	uint8_t published[PS_PACK_MARK];
	uint8_t line[PS_PACK_MARK];
	uint8_t holder[PS_HOLDER];
	ps_le64 epoch;
	ps_le64 reached;
	ps_le64 number;
	ps_le64 commit;
	ps_le64 seen_ns;
	ps_le64 pushed_ns;
	ps_le64 pushed_bytes;
	uint8_t attempt[PS_NOTE_ATTEMPTS][PS_PACK_MARK];
};
static_assert(sizeof(struct note_bytes) == 264 && sizeof(struct note_bytes) <= PS_NOTE_MAX,
              "a note of pushes");

static const uint8_t note_magic[8] = {'P', 'S', 'p', 'u', 's', 'h', 'e', 'd'};

static int decode(const struct note_bytes *b, struct ps_push_note *note)
{
	if (memcmp(b->magic, note_magic, sizeof(note_magic)) != 0)
		return ps_fail(PS_ECORRUPT, "the store's note is not of pushes");
	if (ps_get32(b->version) != NOTE_VERSION)
		return ps_fail(PS_EVERSION,
		               "the store's note of pushes is of version %u; this program knows %d",
		               ps_get32(b->version), NOTE_VERSION);
	if (ps_get32(b->attempts) > PS_NOTE_ATTEMPTS)
		return ps_fail(PS_ECORRUPT, "the store's note has %u attempts of pushes",
		               ps_get32(b->attempts));
	*note = (struct ps_push_note){.epoch = ps_get64(b->epoch),
	                              .reached = ps_get64(b->reached),
	                              .number = ps_get64(b->number),
	                              .commit = ps_get64(b->commit),
	                              .seen_ns = ps_get64(b->seen_ns),
	                              .pushed_ns = ps_get64(b->pushed_ns),
	                              .pushed_bytes = ps_get64(b->pushed_bytes),
	                              .attempts = ps_get32(b->attempts)};
	memcpy(note->last, b->last, sizeof(note->last));
	memcpy(note->published, b->published, sizeof(note->published));
	memcpy(note->line, b->line, sizeof(note->line));
	memcpy(note->holder, b->holder, sizeof(note->holder));
	memcpy(note->attempt, b->attempt, sizeof(note->attempt));
	return PS_OK;
}

int ps_push_note_get(ps_storer *s, struct ps_push_note *note)
{
	uint8_t bytes[PS_NOTE_MAX];
	struct note_bytes b;
	size_t len;
	int err = ps_note_get(s, bytes, sizeof(bytes), &len);
	if (err == PS_ENOTFOUND) {
		*note = (struct ps_push_note){0};
		return PS_OK;
	}
	if (err)
		return err;
	if (len != sizeof(b))
		return ps_fail(PS_ECORRUPT, "the store's note of pushes has %zu bytes", len);
	memcpy(&b, bytes, sizeof(b));
	return decode(&b, note);
}

int ps_push_note_set(ps_storer *s, const struct ps_push_note *note)
{
	struct note_bytes b = {.version = ps_set32(NOTE_VERSION),
	                       .attempts = ps_set32(note->attempts),
	                       .epoch = ps_set64(note->epoch),
	                       .reached = ps_set64(note->reached),
	                       .number = ps_set64(note->number),
	                       .commit = ps_set64(note->commit),
	                       .seen_ns = ps_set64(note->seen_ns),
	                       .pushed_ns = ps_set64(note->pushed_ns),
	                       .pushed_bytes = ps_set64(note->pushed_bytes)};
	memcpy(b.magic, note_magic, sizeof(b.magic));
	memcpy(b.last, note->last, sizeof(b.last));
	memcpy(b.published, note->published, sizeof(b.published));
	memcpy(b.line, note->line, sizeof(b.line));
	memcpy(b.holder, note->holder, sizeof(b.holder));
	memcpy(b.attempt, note->attempt, sizeof(b.attempt));
	return ps_note_set(s, &b, sizeof(b));
}

void ps_push_note_attempt(struct ps_push_note *note, const uint8_t mark[PS_PACK_MARK])
{
	if (note->attempts == PS_NOTE_ATTEMPTS) {
		memmove(note->attempt[0], note->attempt[1], (PS_NOTE_ATTEMPTS - 1) * PS_PACK_MARK);
		note->attempts--;
	}
	memcpy(note->attempt[note->attempts++], mark, PS_PACK_MARK);
}

bool ps_push_note_tried(const struct ps_push_note *note, const uint8_t mark[PS_PACK_MARK])
{
	for (uint32_t i = 0; i < note->attempts; i++)
		if (memcmp(note->attempt[i], mark, PS_PACK_MARK) == 0)
			return true;
	return false;
}

bool ps_push_note_has(const struct ps_push_note *note, const uint8_t mark[PS_PACK_MARK])
{
	return memcmp(note->last, mark, PS_PACK_MARK) == 0 || ps_push_note_tried(note, mark);
}
