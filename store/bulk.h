/* Bulk load: contents laid side by side into whole frames and pages that nothing else lies in, written once
 * and in large requests; the table says where they are only when their writes have ended. No byte of them,
 * and no record, is in the log: durable, all at once, by the next checkpoint (bulk.c).
 *
 * For a store that nobody else writes to, and one thread. */
#ifndef PS_BULK_H
#define PS_BULK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/staging.h"

struct store;
struct entry;
struct bulk_item;

/* Entries that wait for the writes before them; those of a frame that is still being filled move on. */
struct bulk_part {
	struct write_set set;
	struct bulk_item *items;
	size_t count;
};

/* Of a class, or a page of the root, that is being filled. */
struct bulk_frame {
	uint64_t place; /* 0: none */
	uint32_t used;  /* bytes of it */
	uint8_t *bytes;
};

struct bulk {
	struct store *s;
	size_t room; /* items of a part */
	struct bulk_part part[2];
	unsigned current;
	struct bulk_frame *frames; /* by class */
	uint64_t frame_memory;
	struct bulk_rest *rests; /* slots of frames that were closed early: free at the end */
	size_t rest_count, rest_size;
};

/* PS_ENOMEM. Zeroed before; bulk_done in any case. */
int bulk_init(struct bulk *b, struct store *s);
/* The slot's entry is to be `e`, with `len` bytes of contents at a place that is found here (a slot of a
 * class for small data, else the root's); 0: it has none, or knows where they are. `taken`: bytes of the file
 * that the entry brings besides, counted as uncommitted. The bytes are the caller's again. PS_ENOMEM,
 * PS_ENOSPC, PS_EIO: of this write, or of an earlier one. */
int bulk_add(struct bulk *b, uint64_t slot, const struct entry *e, const uint8_t *bytes, uint32_t len,
             uint64_t taken);
/* For contents that the caller writes himself: an entry that is added later waits for them, too. */
static inline struct write_set *bulk_writes(struct bulk *b)
{
	return &b->part[b->current].set;
}
/* All that was added is in the table, and its contents written, not flushed. */
int bulk_settle(struct bulk *b);
/* What was not settled never comes; its space is found again by the next open. */
void bulk_done(struct bulk *b);

#endif
