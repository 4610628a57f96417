/* Extents outside the log that recovery has to look at (named.c). */
#ifndef PS_NAMED_H
#define PS_NAMED_H

#include "store/pool.h"

struct store;
struct log_operation;

/* What the newest block names outside the log (named.c). Zeroed at first. */
struct named {
	struct blob *blobs;
	size_t count, size;
};
/* PS_ECORRUPT: an extent that no writer makes. PS_ENOMEM. */
int named_add(struct store *s, struct named *n, const struct log_operation *op);
/* PS_ECORRUPT: not all of it is there. */
int named_verify(struct store *s, struct named *n);
void named_done(struct store *s, struct named *n);
int named_possible(const struct store *s, uint64_t place, uint64_t len);
int named_check(const struct store *s, const struct blob *b, const uint8_t *bytes);

#endif
