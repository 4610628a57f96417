/* A sector to note_sound, as it is and with magic, store and checksum put right. What is accepted has bytes
 * within it, zeros behind them, and a number that belongs in its place. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "store/base_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t uuid[16] = "a store of notes";

static void must(int holds)
{
	if (!holds)
		abort();
}

static void try_note(const struct disk_note *note)
{
	bool first = note_sound(note, 0, uuid), second = note_sound(note, 1, uuid);
	must(!first || !second);
	if (!first && !second)
		return;
	must(ps_get32(note->length) <= sizeof(note->bytes) && ps_get64(note->number) % 2 == first);
	for (size_t i = ps_get32(note->length); i < sizeof(note->bytes); i++)
		must(!note->bytes[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct disk_note *note = calloc(1, sizeof(*note));
	if (!note)
		return 0;
	memcpy(note, data, size < sizeof(*note) ? size : sizeof(*note));
	try_note(note);
	note->magic = ps_set32(NOTE_MAGIC);
	memcpy(&note->store, uuid, sizeof(note->store));
	note->checksum = ps_set64(XXH3_64bits(note, offsetof(struct disk_note, checksum)));
	try_note(note);
	free(note);
	return 0;
}
