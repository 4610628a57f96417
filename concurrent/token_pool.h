/* The token pool: how much I/O a stack, or several that share the pool, have in flight at once.
 *
 * A disk read, write or flush and a network request each hold one token while in flight. Whoever finds none
 * waits: first-come within a class, callers (foreground) before background work, which still gets every
 * eighth token that both want. The network never holds the last token of a pool; in a pool of one it takes
 * turns with the disk. */
#ifndef PS_TOKEN_POOL_H
#define PS_TOKEN_POOL_H

#include <stddef.h>
#include <stdint.h>

#include <padstone/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ps_tokens;

enum { PS_TOKENS_DEFAULT = 64, PS_TOKENS_MAX = 65535 };

/* Begins with its size; zero means the default everywhere. */
struct ps_token_options {
	size_t size;      /* sizeof(struct ps_token_options) */
	uint32_t tokens;  /* PS_TOKENS_DEFAULT; PS_TOKENS_MAX at most */
	uint32_t disk;    /* the disk's share at most; all of them */
	uint32_t network; /* the network's share at most; half of them. Of more than one, one is never the
	                     network's. */
};

struct ps_token_stats {
	uint32_t tokens, disk_limit, network_limit;
	uint32_t disk, network;  /* in use now */
	uint32_t peak;           /* most that were in use at once, as far as waiters and these calls saw */
	uint32_t waiting;        /* threads that wait now */
	uint64_t waits, wait_ns; /* since the pool was made: how often, and how long together */
};

/* opts may be NULL. PS_EINVAL (option size, more than PS_TOKENS_MAX), PS_ENOMEM. */
PS_CHECKED PS_API int ps_tokens_new(const struct ps_token_options *opts, struct ps_tokens **tokens);
/* PS_EBUSY, and nothing changed, while tokens are in use or waited for. Stores that use the pool must be
 * closed first. NULL is PS_OK. */
PS_CHECKED PS_API int ps_tokens_free(struct ps_tokens *tokens);
/* New limits, at once, from any thread. What is in flight beyond them ends in its own time. PS_EINVAL. */
PS_CHECKED PS_API int ps_tokens_resize(struct ps_tokens *tokens, const struct ps_token_options *opts);
/* PS_EINVAL for NULL. Any thread. */
PS_CHECKED PS_API int ps_tokens_stats(struct ps_tokens *tokens, struct ps_token_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
