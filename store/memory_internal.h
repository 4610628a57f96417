/* What memory_store.c and memory_sessions.c share: the table of slots, and how a set of changes is applied.
 */
#ifndef PS_MEMORY_INTERNAL_H
#define PS_MEMORY_INTERNAL_H

#include <pthread.h>

#include "store/memory_contents.h"
#include "store/storer_impl.h"

/* An id is slot << MEMORY_SLOT_SHIFT | generation. */
enum { MEMORY_SLOT_SHIFT = 24, MEMORY_GENERATION_MAX = 0xFFFFFF };

enum memory_slot_state {
	MEMORY_FREE = 0,
	MEMORY_RESERVED, /* its id was given to a batch or writer that has not committed */
	MEMORY_LIVE,
	MEMORY_RETIRED, /* all generations used */
};

struct memory_slot {
	enum memory_slot_state state;
	uint32_t generation;       /* the last one given out, 0 if none */
	uint64_t next_free;        /* of a free slot: the next one, 0 at the end */
	struct contents *contents; /* of a live slot */
};

struct memory_store {
	ps_storer base;
	struct contents_pool pool;
	pthread_mutex_t lock; /* guards all below; contents are immutable and need none */
	struct memory_slot *slots;
	size_t slot_count, slot_capacity;
	uint64_t first_free; /* 0: none; slot 0 is the prime object's and never in this list */
	uint64_t objects, live_bytes, commits;
	atomic_uint_fast64_t reads, writes;
};

enum memory_change_kind { MEMORY_CREATE, MEMORY_REPLACE, MEMORY_WRITE, MEMORY_DELETE };

/* One operation of a commit. */
struct memory_change {
	enum memory_change_kind kind;
	ps_id id;
	uint64_t off;              /* MEMORY_WRITE */
	struct contents *contents; /* owned; of MEMORY_WRITE the bytes to be written */
	size_t order;              /* of the call in its commit */
	struct contents *result;   /* of an id's last change: its new contents, NULL if deleted */
};

static inline struct memory_store *memory_of(ps_storer *s)
{
	return (struct memory_store *)s;
}

/* A slot for a new object, reserved. PS_ENOMEM, PS_EFULL. */
PS_CHECKED int memory_reserve_locked(struct memory_store *m, ps_id *id);
/* Gives up a reserved id: its generation is used up. */
void memory_unreserve_locked(struct memory_store *m, ps_id id);
/* NULL if id names no live object. */
struct memory_slot *memory_find_locked(struct memory_store *m, ps_id id);
/* The contents of an object, held. PS_ENOTFOUND. */
PS_CHECKED int memory_hold(struct memory_store *m, ps_id id, struct contents **out);
/* Does all changes or none. Sorts them; takes nothing: the caller releases the changes' contents and gives up
 * ids that were reserved for creations, if it failed. */
PS_CHECKED int memory_apply(struct memory_store *m, struct memory_change *changes, size_t n);
PS_CHECKED int memory_missing(ps_id id);

int memory_open_writer(ps_storer *s, ps_id id, uint64_t size, ps_writer **w);
ps_id memory_writer_id(ps_writer *w);
int memory_writer_write(ps_writer *w, const void *data, size_t len);
int memory_writer_finish(ps_writer *w);
int memory_writer_abort(ps_writer *w);
int memory_open_reader(ps_storer *s, ps_id id, ps_reader **r);
int memory_reader_read(ps_reader *r, void *buf, size_t len, size_t *got);
int memory_reader_seek(ps_reader *r, uint64_t off);
int memory_reader_finish(ps_reader *r);
int memory_batch_begin(ps_storer *s, ps_batch **b);
int memory_batch_put(ps_batch *b, const void *data, size_t len, ps_id *id);
int memory_batch_replace(ps_batch *b, ps_id id, const void *data, size_t len);
int memory_batch_delete(ps_batch *b, ps_id id);
int memory_batch_write_at(ps_batch *b, ps_id id, uint64_t off, const void *data, size_t len);
int memory_batch_alloc(ps_batch *b, uint64_t size, ps_id *id);
int memory_batch_commit(ps_batch *b, enum ps_durability durability);
int memory_batch_abort(ps_batch *b);

#endif
