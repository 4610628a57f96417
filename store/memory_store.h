/* A plain in-memory Storer, for tests and composition. Nothing survives ps_close. */
#ifndef PS_MEMORY_STORE_H
#define PS_MEMORY_STORE_H

#include <padstone/storer.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ps_memory_options {
	size_t size;            /* sizeof(struct ps_memory_options) */
	uint64_t memory_budget; /* bytes of contents at most, then PS_ENOSPC; 0: no bound */
};

/* opts may be NULL. PS_EINVAL (unknown option size), PS_ENOMEM. */
PS_CHECKED PS_API int ps_memory_open(const struct ps_memory_options *opts, ps_storer **s);

#ifdef __cplusplus
}
#endif
#endif
