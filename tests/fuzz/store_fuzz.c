/* A store whose own words are wrong, though every checksum is right: superblock, log, table pages, map nodes,
 * snapshot. It opens or says why not; everything in it is read, checked, written to and closed, without a
 * crash, a hang, or more memory than its budget. What is read need not be sensible: here the checksums lie.
 */
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/store_image.h"
#include "tests/support/sim_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EDITS_MOST = 24, OBJECTS_MOST = 300, READ_MOST = 100000 };

static struct store_image originals[2 * IMAGE_KINDS];
static struct sim_disk *disk;

struct seen {
	ps_storer *s;
	ps_id ids[OBJECTS_MOST];
	size_t count;
};

static int note(void *arg, ps_id id)
{
	struct seen *seen = arg;
	if (seen->count == OBJECTS_MOST)
		return 1;
	seen->ids[seen->count++] = id;
	return 0;
}

static void read_one(ps_storer *s, ps_id id)
{
	static uint8_t buf[READ_MOST];
	struct ps_info info;
	struct ps_view view;
	size_t len;
	(void)!ps_get(s, id, buf, sizeof(buf), &len);
	if (ps_info(s, id, &info) == PS_OK) {
		(void)!ps_read_at(s, id, info.size / 2, buf, 5000, &len);
		(void)!ps_read_at(s, id, info.size - 1, buf, 5000, &len);
	}
	if (ps_view_at(s, id, 0, 1, &view) == PS_OK)
		(void)!ps_view_release(&view);
}

static void change_some(const struct seen *seen)
{
	static const uint8_t bytes[9000];
	ps_id id;
	(void)!ps_put(seen->s, bytes, 200, &id);
	(void)!ps_put(seen->s, bytes, sizeof(bytes), &id);
	for (size_t i = 0; i < seen->count && i < 16; i++) {
		if (i % 4 == 0)
			(void)!ps_replace(seen->s, seen->ids[i], bytes, 300);
		else if (i % 4 == 1)
			(void)!ps_delete(seen->s, seen->ids[i]);
		else if (i % 4 == 2)
			(void)!ps_write_at(seen->s, seen->ids[i], 100, bytes, 70);
		else
			(void)!ps_resize(seen->s, seen->ids[i], 150);
	}
}

static int no_piece(void *arg, uint64_t offset, const void *data, size_t len)
{
	unsigned *pieces = arg;
	(void)offset, (void)data, (void)len;
	return ++*pieces == OBJECTS_MOST;
}

static void cut_it(ps_storer *s, uint64_t since)
{
	const struct ps_cut_from from = {since, since};
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct ps_cut_object object;
	char note_bytes[PS_NOTE_MAX];
	size_t len;
	unsigned objects = 0, pieces = 0;
	(void)!ps_note_get(s, note_bytes, sizeof(note_bytes), &len);
	if (ps_cut_begin(s, &from, &cut, &info) != PS_OK)
		return;
	while (objects++ < OBJECTS_MOST && ps_cut_next(cut, &object) == PS_OK)
		(void)!ps_cut_pieces(cut, no_piece, &pieces);
	ps_cut_end(cut);
}

static void use_store(bool write, bool compact, bool cut)
{
	struct seen seen = {.count = 0};
	struct ps_stats stats;
	if (image_open(sim_disk_io(disk), false, &seen.s) != PS_OK)
		return;
	(void)!ps_each(seen.s, PS_ID_NONE, note, &seen);
	for (size_t i = 0; i < seen.count; i++)
		read_one(seen.s, seen.ids[i]);
	(void)!ps_check(seen.s, PS_CHECK_FULL, NULL, NULL);
	(void)!ps_stats(seen.s, &stats);
	if (write) {
		change_some(&seen);
		(void)!ps_check(seen.s, PS_CHECK_QUICK, NULL, NULL);
	}
	if (cut) {
		cut_it(seen.s, 0);
		cut_it(seen.s, 1);
	}
	if (compact)
		(void)!ps_compact(seen.s, 0, NULL, NULL);
	(void)!ps_close(seen.s);
}

static void begin(void)
{
	for (unsigned i = 0; i < 2 * IMAGE_KINDS; i++)
		originals[i] = image_make((enum image_kind)(i % IMAGE_KINDS), i >= IMAGE_KINDS);
	disk = sim_disk_new(NULL, 0);
}

/* The first byte: which image, and whether it is written to, compacted and cut. Edits follow. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!disk)
		begin();
	if (size < 1)
		return 0;
	unsigned which = data[0] % (unsigned)IMAGE_KINDS + (data[0] & 0x20 ? (unsigned)IMAGE_KINDS : 0);
	const struct store_image *original = &originals[which];
	struct store_image image = {malloc(original->size), original->size};
	if (!image.bytes)
		return 0;
	memcpy(image.bytes, original->bytes, image.size);
	for (size_t at = 1, edits = 0; at + EDIT_BYTES <= size && edits < EDITS_MOST;
	     at += EDIT_BYTES, edits++)
		image_edit(&image, data + at);
	image_repair(&image);
	sim_disk_reset(disk, image.bytes, image.size);
	sim_disk_set_tracing(disk, false);
	sim_disk_limit(disk, 64 << 20);
	use_store(data[0] & 0x80, data[0] & 0x40, data[0] & 0x20);
	use_store(false, false, false);
	free(image.bytes);
	return 0;
}
