/* Maps of large objects (map.c). A part of base_internal.h, which brings it. */
#ifndef PS_MAP_H
#define PS_MAP_H

#include "store/base_internal.h"

unsigned map_levels(uint64_t size);
uint64_t map_root_entries(uint64_t size, unsigned level);
int map_lookup(struct store *s, ps_id id, const struct entry *e, uint64_t index, struct map_chunk *chunk);
/* Is the chunk in memory, with all of the map that leads to it? No I/O; a guess, where others write
 * meanwhile. */
bool map_chunk_is_resident(struct store *s, const struct entry *e, uint64_t index);
/* Every extent that the map and its chunks take, the root blob included; chunks that are away take none. */
#define MAP_NO_CHUNK UINT64_MAX /* a node */
typedef int (*map_extent_fn)(void *arg, struct ps_extent, const struct blob *, uint64_t chunk);
int map_extents(struct store *s, ps_id id, const struct entry *e, map_extent_fn fn, void *arg);
/* All chunks in order, by what became of them after the interval `since`: SAME is certain, CHANGED may be as
 * before. Of a hole nobody knows since when it is one. Parts of the map that are the same are not read. blob:
 * of CHANGED, one chunk. */
enum map_part { MAP_SAME, MAP_CHANGED, MAP_HOLE };
typedef int (*map_part_fn)(void *arg, enum map_part part, const struct blob *blob, uint64_t first,
                           uint64_t count);
int map_since(struct store *s, ps_id id, const struct entry *e, uint32_t since, map_part_fn fn, void *arg);
/* As map_extents, without chunks that were written after that interval. */
int map_extents_until(struct store *s, ps_id id, const struct entry *e, uint32_t interval, map_extent_fn fn,
                      void *arg);
/* As map_extents, with chunks that are away: empty extents, and place 0 in the blob. */
int map_contents(struct store *s, ps_id id, const struct entry *e, map_extent_fn fn, void *arg);
static inline bool chunk_is_away(const struct map_chunk *c)
{
	return !c->place && c->len;
}

/* A map that is being written: an old one's chunks, some of them replaced. */
struct map_writer {
	struct store *s;
	struct change *change;
	ps_id id;
	struct entry old; /* of a MAP entry, or size 0 */
	uint64_t size;    /* to be */
	bool moves;       /* contents stay as they are, and keep their births; so does the entry's interval */
	bool rewrite_nodes;     /* also those that nothing changes: compaction */
	uint32_t interval;      /* that the ages in its root are counted from: not behind the commit's */
	struct map_edit *edits; /* by index, sorted */
	size_t count, room;
};
void map_writer_init(struct map_writer *m, struct store *s, struct change *c, const struct entry *old);
int map_writer_put(struct map_writer *m, uint64_t index, const struct map_chunk *chunk);
int map_writer_finish(struct map_writer *m, uint64_t size);
/* What is put lies elsewhere, and is no change: right behind the init. The change is to keep the entry's
 * interval. nodes: all of the map's own pages move as well. */
void map_writer_moves(struct map_writer *m, bool nodes);
void map_writer_done(struct map_writer *m);
/* Writes chunk after chunk of data, at best in one run of the file. */
int map_write_chunks(struct map_writer *m, uint64_t first, const uint8_t *data, uint64_t len);

#endif
