/* Reading ahead (prefetch.c). */
#ifndef PS_PREFETCH_H
#define PS_PREFETCH_H

#include "store/pool.h"

struct entry;

/* Reads into memory ahead of use, several in flight; what fails is found again by the read itself (prefetch.c). */
enum { PREFETCH_MAX = 64 };
struct prefetch {
	struct store *s;
	unsigned count;
	struct blob blob[PREFETCH_MAX];
	ps_id id[PREFETCH_MAX];
	struct ps_io_request request[PREFETCH_MAX];
};
void prefetch_blob(struct prefetch *p, const struct blob *b, ps_id id);
void prefetch_wait(struct prefetch *p);
void prefetch_chunks(struct store *s, ps_id id, const struct entry *e, uint64_t off, size_t len);

#endif
