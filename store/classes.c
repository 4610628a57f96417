/* The classes of a file: the slots that small contents lie in. They stand in the superblock, are given once, and hold for good. */
#include "store/base_internal.h"
#include "store/placement.h"

static void decode(const struct disk_classes *from, struct ps_class_table *to)
{
	*to = (struct ps_class_table){.count = ps_get16(from->count), .slab_shift = from->slab_shift};
	for (size_t i = 0; i < PS_CLASSES_MAX; i++)
		to->size[i] = ps_get16(from->size[i]);
}

static void encode(const struct ps_class_table *from, uint32_t route_max, struct disk_classes *to)
{
	*to = (struct disk_classes){.count = ps_set16(from->count), .slab_shift = from->slab_shift, .route_max = ps_set32(route_max)};
	for (size_t i = 0; i < PS_CLASSES_MAX; i++)
		to->size[i] = ps_set16(from->size[i]);
}

/* Contents of a page and more begin on a page, and are frames of their own. */
static bool whole_pages_above_one(const struct ps_class_table *t)
{
	for (size_t i = 0; i < t->count; i++) {
		uint32_t bytes = (uint32_t)t->size[i] * GRANULE;
		if (bytes > PAGE && bytes % PAGE)
			return false;
	}
	return true;
}

static uint32_t largest(const struct ps_class_table *t)
{
	return (uint32_t)t->size[t->count - 1] * GRANULE;
}

bool classes_sound(const struct disk_superblock *sb)
{
	static const struct disk_classes none;
	struct ps_class_table t;
	bool feature = ps_get64(sb->incompatible) & INCOMPATIBLE_CLASSES;
	decode(&sb->classes, &t);
	if (!t.count || !feature)
		return !feature && !memcmp(&sb->classes, &none, sizeof(none));
	return !sb->classes.reserved && ps_class_table_check(&t) == PS_OK && whole_pages_above_one(&t) &&
	       ps_get32(sb->classes.route_max) <= largest(&t);
}

/* Slots below a page share frames of 1, 2, 4 or 8 pages: all places of a frame have the same higher bits. */
static void set_frame_masks(struct pool *pool, const struct ps_class_map *map)
{
	for (unsigned class = 1; class <= map->table.count; class++) {
		const struct ps_class_geometry *g = ps_class_geometry(map, class);
		if (g->slot_bytes % PAGE)
			pool->frame_mask[class] = ~(uint64_t)(g->frame_bytes - 1);
	}
}

/* An allocator of slots without slabs. The file grows where no slab has room that is worth filling (space.c). */
static int open_slots(struct store *s, const struct ps_class_table *t, struct ps_allocator **slots)
{
	int err = ps_omni_open(&s->memory, s->space.root, t, slots);
	if (!err)
		ps_omni_set_growing(*slots, true);
	return err;
}

int classes_attach(struct store *s)
{
	struct ps_class_table t;
	decode(&s->sb.classes, &t);
	if (!t.count || s->classes)
		return PS_OK;
	struct ps_class_map *map = ps_memory_alloc(&s->memory, sizeof(*map));
	if (!map)
		return ps_fail(PS_ENOMEM, "%s: no memory for %u classes", s->path, t.count);
	ps_class_map_init(map, &t);
	int err = open_slots(s, &t, &s->space.slots);
	if (err) {
		ps_memory_free(&s->memory, map, sizeof(*map));
		return err;
	}
	set_frame_masks(&s->pool, map);
	s->classes = map;
	return PS_OK;
}

int classes_reset(struct store *s)
{
	struct ps_allocator *empty;
	if (!s->classes)
		return PS_OK;
	int err = open_slots(s, &s->classes->table, &empty);
	if (err)
		return err;
	s->space.slots->ops->close(s->space.slots);
	s->space.slots = empty;
	return PS_OK;
}

void classes_done(struct store *s)
{
	ps_memory_free(&s->memory, s->classes, sizeof(*s->classes));
	s->classes = NULL;
}

uint64_t classes_tail_bytes(const struct store *s)
{
	uint64_t bytes = 0;
	for (unsigned class = 1; s->classes && class <= s->classes->table.count; class++) {
		struct ps_class_stats stats;
		ps_omni_class_stats(s->space.slots, class, &stats);
		bytes += stats.tail_bytes;
	}
	return bytes;
}

/* ---- from the layer above ---- */

static int check_wanted(const struct store *s, const struct ps_placement *p)
{
	int err = ps_class_table_check(&p->classes);
	if (err)
		return ps_fail(PS_EINVAL, "%s: impossible classes", s->path);
	if (!whole_pages_above_one(&p->classes))
		return ps_fail(PS_EINVAL, "%s: classes above %d bytes must be whole pages", s->path, PAGE);
	if (p->route_max > largest(&p->classes))
		return ps_fail(PS_EINVAL, "%s: no class holds %u bytes", s->path, p->route_max);
	return PS_OK;
}

/* The table is durable before any entry names a class. Under checkpoint.lock: nobody else writes superblocks. */
static int give_classes(struct store *s, const struct ps_placement *p)
{
	int err = check_wanted(s, p);
	if (!err)
		err = store_writable(s);
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	err = store_begin_writing(s);
	pthread_mutex_unlock(&s->lock);
	if (err)
		return err;
	struct disk_superblock sb = s->sb;
	sb.incompatible = ps_set64(ps_get64(sb.incompatible) | INCOMPATIBLE_CLASSES);
	encode(&p->classes, p->route_max, &sb.classes);
	if ((err = superblock_write(s, &sb)) != PS_OK) {
		store_fail(s, err, "the superblock could not be written");
		return err;
	}
	pthread_mutex_lock(&s->lock);
	err = classes_attach(s);
	pthread_mutex_unlock(&s->lock);
	return err;
}

int base_use_placement(ps_storer *st, struct ps_placement *placement)
{
	struct store *s = store_of(st);
	int err = PS_OK;
	checkpoint_lock(s);
	if (!s->classes && placement->classes.count && !s->read_only)
		err = give_classes(s, placement);
	if (!err) {
		decode(&s->sb.classes, &placement->classes);
		placement->route_max = ps_get32(s->sb.classes.route_max);
		atomic_store(&s->route_max, placement->route_max);
	}
	checkpoint_unlock(s);
	return err ? store_end_call(s, err) : PS_OK;
}
