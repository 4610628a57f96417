#include "tests/fuzz/store_image.h"

#include <sys/param.h>
#include <xxhash.h>

#include "tests/support/sim_disk.h"

enum { PAGES_LISTED = 64, WALK_MOST = 2000, SNAPSHOT_SEED = 0x5afe };

static void need(int err)
{
	if (err)
		abort();
}

int image_open(struct ps_io *io, bool created, ps_storer **s)
{
	const struct ps_base_options options = {
	    .size = sizeof(options),
	    .background = PS_BACKGROUND_NONE,
	    .log_bytes = 16 << 10,
	    .initial_bytes = 64 << 10,
	    .memory_budget = 16 << 20,
	};
	return ps_base_open_io(io, created, &options, s);
}

/* ---- making ---- */

static const uint8_t contents[150000] = "contents";

/* Each kind of entry, a map of two levels, and free slots. */
static void fill(ps_storer *s)
{
	const size_t sizes[] = {0, 100, 700, 5000, 40000, 70000};
	ps_id id, run[3];
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		need(ps_put(s, contents, sizes[i], &id));
	need(ps_alloc(s, 20 << 20, &id));
	need(ps_write_at(s, id, 17 << 20, contents, 3000));
	need(ps_alloc_run(s, 600, 3, run));
	need(ps_replace(s, run[0], contents, 600));
	need(ps_prime(s, 64, &id));
	for (unsigned i = 0; i < 3; i++) {
		need(ps_put(s, contents, 50 + i, &id));
		need(i == 1 ? ps_delete(s, id) : PS_OK);
	}
}

static void commit_some(ps_storer *s, unsigned puts)
{
	ps_batch *b;
	ps_id id;
	need(ps_batch_begin(s, &b));
	for (unsigned i = 0; i < puts; i++)
		need(ps_batch_put(b, contents, puts > 5 ? 1500 : 300, &id));
	need(ps_batch_delete(b, id_make(2, 1)));
	need(ps_batch_commit(b, PS_DURABLE));
	if (puts <= 5)
		need(ps_put(s, contents, 40000, &id));
}

/* Entries of two intervals, and the end of an id. */
static void cut_it(ps_storer *s)
{
	const struct ps_cut_from everything = {0};
	struct ps_cut *cut;
	struct ps_cut_info info;
	ps_id id;
	need(ps_cut_begin(s, &everything, &cut, &info));
	ps_cut_end(cut);
	need(ps_put(s, contents, 400, &id));
	need(ps_replace(s, id_make(1, 1), contents, 500));
	need(ps_delete(s, id_make(3, 1)));
	need(ps_note_set(s, "note", 4));
}

struct store_image image_make(enum image_kind kind, bool cut)
{
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	ps_storer *s;
	sim_disk_set_tracing(disk, false);
	need(image_open(sim_disk_io(disk), true, &s));
	fill(s);
	if (cut)
		cut_it(s);
	need(ps_close(s));
	if (kind != IMAGE_CLOSED) {
		need(image_open(sim_disk_io(disk), false, &s));
		commit_some(s, kind == IMAGE_SPILLED ? 12 : 3);
	}
	struct store_image image = {malloc(sim_disk_size(disk)), sim_disk_size(disk)};
	if (!image.bytes)
		abort();
	sim_disk_image(disk, image.bytes);
	if (kind != IMAGE_CLOSED)
		need(ps_close(s));
	sim_disk_free(disk);
	return image;
}

/* ---- the image's structure: everything in it may be wrong ---- */

static struct disk_superblock *superblock(const struct store_image *image)
{
	return (struct disk_superblock *)(void *)image->bytes;
}

/* NULL if the bytes do not lie in the image. */
static uint8_t *bytes_at(const struct store_image *image, uint64_t place, uint64_t len)
{
	return place % 8 == 0 && place <= image->size && len <= image->size - place ? image->bytes + place
	                                                                            : NULL;
}

static struct entry load_entry(const ps_le64 *words)
{
	return (struct entry){
	    {ps_get64(words[0]), ps_get64(words[1]), ps_get64(words[2]), ps_get64(words[3])}};
}

struct pages {
	uint64_t place[PAGES_LISTED];
	size_t count;
};

static void list(struct pages *pages, const struct store_image *image, uint64_t place)
{
	place &= ~(uint64_t)(PAGE - 1);
	if (pages->count < PAGES_LISTED && bytes_at(image, place, PAGE))
		pages->place[pages->count++] = place;
}

static const struct disk_pointer *pointers(const struct store_image *image, uint64_t place)
{
	return place ? (const struct disk_pointer *)(const void *)bytes_at(image, place, PAGE) : NULL;
}

static void list_leaf(struct pages *pages, const struct store_image *image, uint64_t place)
{
	const ps_le64 *words = (const ps_le64 *)(const void *)bytes_at(image, place, PAGE);
	list(pages, image, place);
	for (unsigned i = 0; words && i < FANOUT; i++) {
		struct entry e = load_entry(words + (size_t)i * 4);
		if (entry_kind(&e) == ENTRY_MAP)
			list(pages, image, entry_place(&e));
	}
}

/* The pages that say where others are. */
static struct pages list_pages(const struct store_image *image)
{
	struct pages pages = {.count = 0};
	const struct disk_superblock *sb = superblock(image);
	const struct disk_pointer *group = pointers(image, ps_get64(sb->root.place[0]));
	list(&pages, image, 0);
	for (uint64_t i = 0; i < 4; i++)
		list(&pages, image, ps_get64(sb->ring[0].offset) + i * PAGE);
	list(&pages, image, ps_get64(sb->root.place[0]));
	list(&pages, image, ps_get64(sb->snapshot_offset));
	for (unsigned i = 0; group && i < FANOUT; i++) {
		if (ps_get64(group[i].place[0]))
			list_leaf(&pages, image, ps_get64(group[i].place[0]));
	}
	return pages;
}

void image_edit(struct store_image *image, const uint8_t edit[EDIT_BYTES])
{
	static const uint64_t edges[] = {0,
	                                 1,
	                                 UINT64_MAX,
	                                 1 << 12,
	                                 1 << 16,
	                                 (uint64_t)1 << 32,
	                                 (uint64_t)1 << 36,
	                                 PLACE_MASK,
	                                 (uint64_t)1 << 62,
	                                 (uint64_t)1 << 63};
	struct pages pages = list_pages(image);
	if (!pages.count)
		return;
	uint64_t page = pages.place[edit[0] % pages.count], number, word;
	unsigned at = (edit[1] | (unsigned)edit[2] << 8) % PAGE;
	uint32_t value;
	memcpy(&value, edit + 4, sizeof(value));
	uint8_t *bytes = image->bytes + page;
	memcpy(&word, bytes + (at & ~7U), sizeof(word));
	switch (edit[3] % 6) {
	case 0:
		bytes[at] = (uint8_t)value;
		return;
	case 1:
		number = value;
		break;
	case 2:
		number = word + (uint64_t)(int64_t)(int32_t)value;
		break;
	case 3:
		number = edges[value % (sizeof(edges) / sizeof(edges[0]))];
		break;
	case 4:
		number = word ^ (uint64_t)1 << value % 64;
		break;
	default: /* as another word of the page: two pointers to one place */
		memcpy(&number, bytes + (value % PAGE & ~7U), sizeof(number));
	}
	memcpy(bytes + (at & ~7U), &number, sizeof(number));
}

/* ---- putting checksums right ---- */

struct repair {
	struct store_image *image;
	unsigned walked; /* a page may be named again and again */
};

static uint64_t repair_node(struct repair *r, ps_id id, uint64_t place, uint64_t entries, unsigned level,
                            uint64_t index);

static void repair_pointer(struct repair *r, ps_id id, ps_le64 *words, unsigned level, uint64_t index)
{
	uint64_t word = ps_get64(words[0]), place = (word & PLACE_MASK) * GRANULE,
	         len = (word >> 44 & 0xffff) + 1;
	if (!word || r->walked++ > WALK_MOST)
		return;
	if (level) {
		words[1] = ps_set64(repair_node(r, id, place, MAP_FANOUT, level - 1, index));
	} else {
		const uint8_t *bytes = bytes_at(r->image, place, len);
		if (bytes)
			words[1] = ps_set64(blob_checksum(seed_chunk(id, index), bytes, len));
	}
}

static uint64_t repair_node(struct repair *r, ps_id id, uint64_t place, uint64_t entries, unsigned level,
                            uint64_t index)
{
	uint8_t *bytes = bytes_at(r->image, place, entries * 16);
	ps_le64 *words = (ps_le64 *)(void *)bytes;
	if (!bytes)
		return 0;
	for (uint64_t i = 0; i < entries; i++)
		repair_pointer(r, id, words + i * 2, level, index * MAP_FANOUT + i);
	return blob_checksum(seed_node(id, level, index), bytes, entries * 16);
}

static void repair_entry(struct repair *r, uint64_t slot, ps_le64 *words)
{
	struct entry e = load_entry(words);
	ps_id id = id_make(slot, entry_generation(&e));
	const uint8_t *bytes = bytes_at(r->image, entry_place(&e) & ~(uint64_t)7, entry_blob_len(&e));
	if (!entry_valid(NULL, UINT32_MAX, &e, slot) || !bytes)
		return;
	if (entry_kind(&e) == ENTRY_MAP)
		words[2] = ps_set64(
		    repair_node(r, id, entry_place(&e), entry_blob_len(&e) / 16, entry_level(&e), 0));
	else if (entry_kind(&e) == ENTRY_DATA)
		words[2] = ps_set64(blob_checksum(seed_contents(id), bytes, entry_size(&e)));
}

static uint64_t repair_page(struct repair *r, uint64_t place, unsigned level, uint64_t number)
{
	uint8_t *bytes = bytes_at(r->image, place, PAGE);
	if (!bytes)
		return 0;
	for (unsigned i = 0; i < FANOUT && r->walked++ < WALK_MOST; i++) {
		struct disk_pointer *p = (struct disk_pointer *)(void *)bytes + i;
		if (level && ps_get64(p->place[0]))
			p->checksum =
			    ps_set64(repair_page(r, ps_get64(p->place[0]), level - 1, number * FANOUT + i));
		else if (!level)
			repair_entry(r, number * FANOUT + i, (ps_le64 *)(void *)bytes + (size_t)i * 4);
	}
	return XXH3_64bits_withSeed(bytes, PAGE, page_seed(level, number));
}

static void repair_operations(struct repair *r, uint8_t *body, size_t len, uint32_t count)
{
	struct log_operation op;
	for (size_t at = 0; count--;) {
		uint8_t *head = body + at;
		if (log_decode_operation(NULL, UINT32_MAX, body, len, &at, &op) != PS_OK)
			return;
		ps_id id = id_make(op.slot, entry_generation(&op.entry));
		bool map = entry_kind(&op.entry) == ENTRY_MAP;
		uint64_t seed = map ? seed_node(id, entry_level(&op.entry), 0) : seed_contents(id);
		if (op.nbytes)
			((struct disk_operation *)(void *)head)->entry[2] =
			    ps_set64(blob_checksum(seed, op.bytes, op.nbytes));
		for (uint32_t i = 0; i < op.fresh_count; i++) {
			struct disk_fresh *f =
			    (struct disk_fresh *)(void *)(head + sizeof(struct disk_operation)) + i;
			const uint8_t *bytes = bytes_at(r->image, ps_get64(f->offset), ps_get64(f->len));
			if (bytes && ps_get64(f->len) <= CHUNK)
				f->checksum =
				    ps_set64(blob_checksum(ps_get64(f->seed), bytes, ps_get64(f->len)));
		}
	}
}

static void repair_spills(struct repair *r, struct log_record *record)
{
	for (uint32_t i = 0; i < record->spill_count; i++) {
		struct disk_spill *p = (struct disk_spill *)(uintptr_t)record->spills + i;
		uint8_t *bytes = bytes_at(r->image, ps_get64(p->offset), ps_get64(p->len));
		if (!bytes || ps_get64(p->len) > CHUNK)
			continue;
		repair_operations(r, bytes, ps_get64(p->len), record->operations);
		p->checksum = ps_set64(blob_checksum(SPILL_SEED, bytes, ps_get64(p->len)));
	}
}

/* Not a block that itself goes round the ring's end. */
static void repair_log(struct repair *r)
{
	const struct disk_superblock *sb = superblock(r->image);
	uint64_t len = ps_get64(sb->ring[0].len), chain = ps_get64(sb->log_chain);
	if (!len)
		return;
	uint64_t at = (ps_get64(sb->log_start) - ps_get64(sb->ring[0].base)) % len;
	for (unsigned blocks = 0; blocks < 8; blocks++) {
		uint8_t *bytes = bytes_at(r->image, ps_get64(sb->ring[0].offset) + at, PAGE);
		struct disk_log_block *h = (struct disk_log_block *)(void *)bytes;
		size_t length = bytes ? ps_get32(h->length) : 0, record_at = sizeof(*h);
		if (length < sizeof(*h) || ps_get32(h->magic) != LOG_MAGIC || length > len - at ||
		    !bytes_at(r->image, ps_get64(sb->ring[0].offset) + at, length))
			return;
		struct log_record record;
		while (record_at < length && log_decode_record(bytes, length, &record_at, &record) == PS_OK) {
			repair_spills(r, &record);
			repair_operations(r, (uint8_t *)(uintptr_t)record.body, record.body_len,
			                  record.operations);
		}
		h->chain = ps_set64(chain);
		h->checksum = ps_set64(0);
		chain = XXH3_64bits(bytes, length);
		h->checksum = ps_set64(chain);
		at = (at + ((length + PAGE - 1) & ~(size_t)(PAGE - 1))) % len;
	}
}

void image_repair(struct store_image *image)
{
	struct repair r = {.image = image};
	struct disk_superblock *sb = superblock(image);
	uint64_t root = ps_get64(sb->root.place[0]), len = ps_get64(sb->snapshot_len);
	const uint8_t *snapshot = bytes_at(image, ps_get64(sb->snapshot_offset), len);
	repair_log(&r);
	if (root && sb->height <= 6)
		sb->root.checksum = ps_set64(repair_page(&r, root, sb->height, 0));
	if (snapshot && len)
		sb->snapshot_checksum = ps_set64(blob_checksum(SNAPSHOT_SEED, snapshot, len));
	sb->checksum = ps_set64(XXH3_64bits(sb, offsetof(struct disk_superblock, checksum)));
	for (int i = 1; i < SUPERBLOCKS; i++)
		memcpy(image->bytes + superblock_offset(i), sb, SECTOR);
}
