/* Changes: what a commit makes of entries, from its first reservation to its last word. */
#ifndef PS_STORE_CHANGE_H
#define PS_STORE_CHANGE_H

#include <stddef.h>

#include "allocator/allocator.h"
#include "store/entry.h"
#include "store/staging.h"

struct map_chunk {
	uint64_t place; /* 0: a hole, or away */
	uint32_t len;   /* 0: a hole */
	uint64_t checksum;
};

struct extent_list {
	struct ps_extent *more; /* all of them, once `first` is full */
	uint32_t count, size;
	struct ps_extent first[2]; /* most commits need no more */
};
static inline const struct ps_extent *extent_list_items(const struct extent_list *list)
{
	return list->more ? list->more : list->first;
}

enum change_kind {
	CHANGE_NEW,     /* an id that this commit's owner took */
	CHANGE_SET,     /* new contents of a live object */
	CHANGE_DELETE,
	CHANGE_UNUSED,  /* an id that is used up without ever living */
	CHANGE_LEARN,   /* of a slot that was unknown: what it has */
	CHANGE_SUMS,    /* behind those: what is unknown without them */
};

/* One operation on its way into a commit. A load has a thousand of them at once, and each commit goes through
 * them several times: what a small put needs stands in the first three lines of 64 bytes, and nobody writes
 * or reads the others for it. */
struct change {
	ps_id id;
	enum change_kind kind;
	uint32_t nbytes;
	const uint8_t *bytes;     /* inline contents, or NULL */
	struct write_set *set;    /* of all changes of the commit; NULL: `own` */
	struct entry entry;       /* to be; the place of inline bytes is filled in at commit */

	bool has_expected;
	bool placed, pinned;      /* inline bytes have a place; its page is pinned */
	bool empty_page;          /* nothing else lies in it */
	bool in_reserve;          /* the place was the object's own reserved one */
	bool direct_pages;        /* contents of a page and more are written outside the log */
	bool keep;                /* contents are written from frames, where they stay: the old ones were in memory */
	bool stream;              /* never kept */
	bool packed;              /* contents lie at their place already, in a frame with others (pack.c); `bytes` are kept */
	bool keeps_interval;      /* the entry has its interval: it changes no contents */
	bool committed;           /* ordered: nothing is given back any more */
	/* The entry, if a map's, has its ages counted from births_from: also what a later operation of the
	 * same batch makes of it, so that what either has written is of age 0. */
	bool has_births;
	uint32_t fresh_count;
	struct extent_list taken; /* new extents: given back if the commit fails */
	struct extent_list given; /* of a map that goes: given back when it is durable */
	struct disk_fresh *fresh; /* extents written outside the log */
	uint8_t *copy;            /* of inline contents that the caller does not keep */

	/* Of these each counts only where its sign stands above. has_expected: the commit is prepared again if the
	 * entry is another by then; the first given_own of `given` are of its own earlier contents. */
	struct entry expected;
	uint32_t given_own;
	uint32_t births_from;           /* has_births */
	uint32_t fresh_size, copy_size; /* of `fresh` and `copy` */
	struct write_set own;
};
static_assert(offsetof(struct change, expected) == 3 * 64 && sizeof(struct change) % 64 == 0,
              "a small put has three lines");

void change_init(struct change *c, enum change_kind kind, ps_id id);
/* One of many, which write as one: `own` stays as it is. */
void change_init_in(struct change *c, enum change_kind kind, ps_id id, struct write_set *set);
void change_done(struct store *s, struct change *c);
/* Gives back what a change took that was not committed. Takes store.lock. */
void change_undo(struct store *s, struct change *c);
uint64_t change_taken_bytes(const struct store *s, const struct change *c);
/* The place of its inline bytes, as the allocator gave it. */
struct ps_extent change_placed(const struct store *s, const struct change *c);
void change_set_place(struct change *c, unsigned class, uint64_t place);
/* Makes the change's new contents from bytes: inline, or written to extents at once. */
int change_contents(struct store *s, struct change *c, const void *data, uint64_t len);
/* Notes what the object has now, so that it can be given back; PS_ENOTFOUND. */
int change_expect(struct store *s, struct change *c);
/* Writes bytes (at least a page) to a new extent, outside the log. Nobody reads there before change_wait has returned; the
 * commit waits, too. */
int change_write(struct store *s, struct change *c, const uint8_t *data, uint64_t len, uint64_t seed, struct map_chunk *out);
/* Chunks of a large object from `index` on, in one extent if there is one. */
enum { RUN_CHUNKS = 16 };
int change_write_run(struct store *s, struct change *c, const uint8_t *data, uint64_t len, uint64_t index,
		     struct map_chunk out[RUN_CHUNKS]);
/* Inline contents that the change keeps a copy of. */
int change_set_bytes(struct store *s, struct change *c, const uint8_t *bytes, uint32_t len);
/* Until all that the change, or the commit it belongs to, writes outside the log has ended. */
int change_wait(struct store *s, struct change *c);
/* The class of the slot that its inline contents go to. 0: the root. Maps' roots and what the layer above did not ask for are the root's. */
unsigned change_route(const struct store *s, const struct change *c);
/* Names an extent that was written outside the log, for the record. */
int change_add_fresh(struct store *s, struct change *c, const struct disk_fresh *fresh);
static inline struct write_set *change_writes(struct change *c)
{
	return c->set ? c->set : &c->own;
}
/* Was the part of the object that begins with chunk `index` in memory so far? Then what replaces it stays there. No I/O. */
void change_keep_resident(struct store *s, struct change *c, const struct entry *old, uint64_t index);
int extent_list_add(struct store *s, struct extent_list *list, struct ps_extent extent);
void extent_list_free(struct store *s, struct extent_list *list);

#endif
