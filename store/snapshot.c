/* What a clean close leaves: free extents and free slots, so that the next open need not read the whole table. It counts only
 * together with a superblock that says "clean": any later write begins with one that does not. */
#include <sys/param.h>

#include "store/base_internal.h"

enum { SNAPSHOT_SEED = 0x5afe, SNAPSHOT_MAX = 16 << 20 };

struct image {
	struct store *s;
	uint8_t *bytes; /* page-aligned */
	size_t len, size;
	uint64_t extents, leaves, slabs;
	bool full;
};

static void add_words(struct image *m, uint64_t a, uint64_t b, size_t n)
{
	ps_le64 words[2] = {ps_set64(a), ps_set64(b)};
	if (m->len + n * 8 > m->size) {
		m->full = true;
		return;
	}
	memcpy(m->bytes + m->len, words, n * 8);
	m->len += n * 8;
}

static int add_extent(void *arg, struct ps_extent extent)
{
	struct image *m = arg;
	add_words(m, extent.offset, extent.len, 2);
	m->extents++;
	return PS_OK;
}

/* Leaf by leaf: its number, and which of its slots are free. */
static void add_slots(struct image *m)
{
	struct table *t = &m->s->table;
	for (size_t i = 0; i < t->free_count; i++) {
		struct table_leaf *l = &table_group(t, t->free_leaves[i] / FANOUT)->leaf[t->free_leaves[i] % FANOUT];
		add_words(m, t->free_leaves[i], l->free_slots[0], 2);
		add_words(m, l->free_slots[1], 0, 1);
		m->leaves++;
	}
}

static int add_slab(void *arg, const struct ps_slab_info *slab)
{
	struct image *m = arg;
	struct ps_allocator *a = m->s->space.slots;
	uint64_t words[PS_SLAB_WORDS_MAX];
	if (ps_omni_save_slab(a, slab->offset, words) != PS_OK)
		return PS_ENOTFOUND;
	add_words(m, slab->offset, slab->class, 2);
	for (size_t i = 0; i < ps_omni_slab_words(a, slab->class); i++)
		add_words(m, words[i], 0, 1);
	m->slabs++;
	return PS_OK;
}

static int measure_slab(void *arg, const struct ps_slab_info *slab)
{
	*(size_t *)arg += 16 + (slab->slots + 63) / 64 * 8;
	return PS_OK;
}

static size_t image_room(struct store *s)
{
	struct ps_allocator_stats stats;
	s->space.root->ops->stats(s->space.root, &stats);
	size_t len = sizeof(struct disk_snapshot) + (stats.free_extents + 8) * 16 + s->table.free_count * 24;
	if (s->space.slots)
		(void)ps_omni_each_slab(s->space.slots, measure_slab, &len);
	return MIN((len + PAGE - 1) & ~(size_t)(PAGE - 1), (size_t)SNAPSHOT_MAX);
}

/* The snapshot's own extent is among the free ones: it is not written to before a superblock without it stands. */
int snapshot_save(struct store *s, struct disk_superblock *sb)
{
	/* A slab that is saved has a slot in use. */
	if (s->space.slots)
		ps_omni_trim(s->space.slots);
	struct image m = {.s = s, .size = image_room(s), .len = sizeof(struct disk_snapshot)};
	struct ps_extent extent;
	sb->snapshot_offset = sb->snapshot_len = sb->snapshot_checksum = ps_set64(0);
	if (s->table.damaged || s->space.rebuild || !space_settle(&s->space) || atomic_load(&s->space.lost) || space_alloc(&s->space, m.size, &extent, NULL) != PS_OK)
		return PS_OK; /* the next open reads the table */
	space_free_now(&s->space, extent);
	if (space_forgotten(&s->space))
		return PS_OK;
	if (posix_memalign((void **)&m.bytes, PAGE, m.size))
		return PS_OK;
	memset(m.bytes, 0, m.size);
	(void)s->space.root->ops->walk(s->space.root, add_extent, &m);
	add_slots(&m);
	if (s->space.slots)
		(void)ps_omni_each_slab(s->space.slots, add_slab, &m);
	struct disk_snapshot head = {.magic = ps_set32(SNAPSHOT_MAGIC), .slabs = ps_set32((uint32_t)m.slabs), .space = ps_set64(s->space.end),
				     .extents = ps_set64(m.extents), .leaves = ps_set64(m.leaves)};
	memcpy(m.bytes, &head, sizeof(head));
	int err = m.full ? PS_OK : ps_io_write(s->io, extent.offset, m.bytes, m.size, false);
	if (!err && !m.full) {
		sb->snapshot_offset = ps_set64(extent.offset);
		sb->snapshot_len = ps_set64(m.len);
		sb->snapshot_checksum = ps_set64(blob_checksum(SNAPSHOT_SEED, m.bytes, m.len));
	}
	free(m.bytes);
	return err;
}

static uint64_t word(const uint8_t *bytes, uint64_t i)
{
	ps_le64 v;
	memcpy(&v, bytes + sizeof(struct disk_snapshot) + i * 8, sizeof(v));
	return ps_get64(v);
}

/* The counts must fill the length exactly. */
static bool counts_fit(const struct store *s, const uint8_t *bytes, const struct disk_snapshot *head, uint64_t len)
{
	uint64_t extents = ps_get64(head->extents), leaves = ps_get64(head->leaves), words = (len - sizeof(*head)) / 8;
	if (ps_get32(head->magic) != SNAPSHOT_MAGIC || extents > words / 2 || leaves > words / 3 || 2 * extents + 3 * leaves > words)
		return false;
	uint64_t end = 2 * extents + 3 * leaves;
	for (uint32_t i = 0; i < ps_get32(head->slabs); i++) {
		if (!s->classes || words - end < 2)
			return false;
		uint64_t class = word(bytes, end + 1);
		uint64_t n = class && class <= s->classes->table.count ? ps_omni_slab_words(s->space.slots, (unsigned)class) : 0;
		if (!n || words - end - 2 < n)
			return false;
		end += 2 + n;
	}
	return end == words;
}

/* The free extents of a snapshot, in order. */
struct free_list {
	struct ps_extent *items;
	uint64_t count;
};

static bool overlaps_free(const struct free_list *list, struct ps_extent extent)
{
	uint64_t low = 0, high = list->count;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (list->items[middle].offset + list->items[middle].len <= extent.offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < list->count && list->items[low].offset < extent.offset + extent.len;
}

static int load_slabs(struct store *s, const uint8_t *bytes, uint64_t at, uint32_t count, const struct free_list *list)
{
	uint64_t words[PS_SLAB_WORDS_MAX];
	int err = classes_reset(s);
	for (uint32_t i = 0; i < count && !err; i++) {
		struct ps_allocator *a = s->space.slots;
		unsigned class = (unsigned)word(bytes, at + 1);
		uint64_t offset = word(bytes, at);
		size_t n = ps_omni_slab_words(a, class);
		for (size_t k = 0; k < n; k++)
			words[k] = word(bytes, at + 2 + k);
		if (overlaps_free(list, (struct ps_extent){offset, ps_class_geometry(s->classes, class)->slab_bytes}))
			err = PS_ECORRUPT;
		else
			err = ps_omni_load_slab(a, class, offset, words, n);
		at += 2 + n;
	}
	return err;
}

/* The root's list comes last: until then everything can be tried again, or given up. */
static int load_allocators(struct store *s, const uint8_t *bytes, const struct disk_snapshot *head, const struct free_list *list)
{
	uint64_t space = ps_get64(head->space);
	int err = pool_extend(&s->pool, space);
	if (!err && space > s->space.file_bytes)
		err = s->io->ops->allocate(s->io, s->space.file_bytes, space - s->space.file_bytes);
	if (!err)
		err = space_forget_holes(&s->space, space);
	for (uint64_t i = 0; i < list->count && !err; i++)
		err = space_note_hole(&s->space, list->items[i]);
	if (!err)
		err = ps_root_load(s->space.root, space, NULL, 0);
	if (!err)
		err = load_slabs(s, bytes, 2 * list->count + 3 * ps_get64(head->leaves), ps_get32(head->slabs), list);
	if (!err && s->space.slots)
		err = space_note_slab_holes(&s->space, s->space.slots);
	return err ? err : ps_root_load(s->space.root, space, list->items, list->count);
}

static int load_space(struct store *s, const uint8_t *bytes, const struct disk_snapshot *head)
{
	struct free_list list = {.count = ps_get64(head->extents)};
	list.items = ps_memory_alloc(&s->memory, (list.count + 1) * sizeof(*list.items));
	if (!list.items)
		return ps_fail(PS_ENOMEM, "%s: no memory for the free list", s->path);
	for (uint64_t i = 0; i < list.count; i++)
		list.items[i] = (struct ps_extent){word(bytes, 2 * i), word(bytes, 2 * i + 1)};
	int err = load_allocators(s, bytes, head, &list);
	ps_memory_free(&s->memory, list.items, (list.count + 1) * sizeof(*list.items));
	if (err)
		return err;
	s->space.end = ps_get64(head->space);
	s->space.file_bytes = MAX(s->space.end, s->space.file_bytes);
	return PS_OK;
}

static void load_leaf_slots(struct store *s, const uint8_t *bytes, uint64_t at)
{
	uint64_t first = word(bytes, at) * FANOUT;
	for (unsigned bit = 0; bit < FANOUT; bit++) {
		if (word(bytes, at + 1 + bit / 64) >> (bit % 64) & 1 && first + bit < atomic_load(&s->table.slots))
			table_give_slot(&s->table, first + bit);
	}
}

static int load_image(struct store *s, const uint8_t *bytes, uint64_t len)
{
	struct disk_snapshot head;
	memcpy(&head, bytes, sizeof(head));
	if (blob_checksum(SNAPSHOT_SEED, bytes, len) != ps_get64(s->sb.snapshot_checksum) || !counts_fit(s, bytes, &head, len))
		return PS_ENOTFOUND;
	if (ps_get64(head.space) != ps_get64(s->sb.file_bytes))
		return PS_ENOTFOUND;
	int err = load_space(s, bytes, &head);
	for (uint64_t i = 0; !err && i < ps_get64(head.leaves); i++)
		load_leaf_slots(s, bytes, 2 * ps_get64(head.extents) + 3 * i);
	return err == PS_ECORRUPT ? PS_ENOTFOUND : err;
}

int snapshot_load(struct store *s)
{
	uint64_t len = ps_get64(s->sb.snapshot_len), rounded = (len + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	uint8_t *bytes = NULL;
	if (!s->sb.clean || len < sizeof(struct disk_snapshot) || len > SNAPSHOT_MAX)
		return PS_ENOTFOUND;
	if (posix_memalign((void **)&bytes, PAGE, rounded))
		return ps_fail(PS_ENOMEM, "%s: no memory for the free list", s->path);
	int err = ps_io_read(s->io, ps_get64(s->sb.snapshot_offset), bytes, rounded);
	if (!err)
		err = load_image(s, bytes, len);
	free(bytes);
	return err;
}
