/* Reading ahead (prefetch.c). */
#ifndef PS_PREFETCH_H
#define PS_PREFETCH_H

#include "store/pool.h"

struct entry;

/* Reads into memory ahead of use, several in flight; what fails is found again by the read itself
 * (prefetch.c). */
enum { PREFETCH_MAX = 128, PREFETCH_CHUNKS = 64 /* of a large object */ };
struct prefetch {
	struct store *s;
	unsigned count;
	uint8_t order[PREFETCH_MAX]; /* by place */
	struct prefetch_load {
		struct blob blob;
		ps_id id;
		struct ps_extent frame; /* locked until it is read */
	} load[PREFETCH_MAX];
};
static inline void prefetch_begin(struct prefetch *p, struct store *s)
{
	p->s = s;
	p->count = 0;
}
/* Its frame, where it is not in memory, is locked until the wait, which reads it: nothing that may take long
 * comes between. */
void prefetch_blob(struct prefetch *p, const struct blob *b, ps_id id);
void prefetch_wait(struct prefetch *p);
void prefetch_chunks(struct store *s, ps_id id, const struct entry *e, uint64_t off, size_t len);

#endif
