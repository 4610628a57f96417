/* The concurrent store: a layer over any Storer in which what is done to one object excludes what else is
 * done to it.
 *
 * Shared: ps_get, ps_read_at, ps_info, ps_get_many and ps_prime while they run; views and readers until they
 * end. Exclusive: ps_replace, ps_write_at, ps_resize, ps_delete, ps_write_batched and a batch's commit while
 * they run; a writer over an object until it ends. A batch locks all ids that it names, each once, in id
 * order, at its commit. Beyond the errors of storer.h these calls return: PS_EDEADLK   at once: the thread
 * would wait for a session of its own. (It may copy what its own writer replaces.) PS_ETIMEDOUT the object
 * stayed in use for lock_timeout_ms. PS_EBUSY     the object is in use, and this thread does not wait
 * (ps_concurrent_set_wait, refuse_waits). A session is of the thread that began it, also where another one
 * ends it. An inner store without PS_CAP_THREADS gets one call at a time. The layer adds PS_CAP_LOCKS and
 * PS_CAP_THREADS to the inner's capabilities. */
#ifndef PS_CONCURRENT_STORE_H
#define PS_CONCURRENT_STORE_H

#include <padstone/storer.h>
#include <padstone/token_pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Begins with its size; zero means the default everywhere. */
struct ps_concurrent_options {
	size_t size;              /* sizeof(struct ps_concurrent_options) */
	uint32_t lock_timeout_ms; /* a call waits at most this long for all its locks together; 5000 */
	uint32_t refuse_waits;    /* 1: no call waits, PS_EBUSY instead */
	uint32_t lock_buckets;    /* of the lock table, 64 bytes each; a power of two; 4096 */
	struct ps_tokens
	    *tokens; /* a pool to share, which outlives the store; by default the layer makes one */
	struct ps_token_options own_tokens; /* of that one; its size may be 0 */
	/* The application's allocator, all three or none. Default: jemalloc's arenas where linked, malloc
	 * otherwise. */
	void *(*alloc)(void *arg, size_t size);
	void *(*resize)(void *arg, void *memory, size_t old_size, size_t new_size);
	void (*release)(void *arg, void *memory, size_t size);
	void *alloc_arg;
};

/* Owns inner from success on. opts may be NULL. PS_EINVAL, PS_ENOMEM. */
PS_CHECKED PS_API int ps_concurrent_open(ps_storer *inner, const struct ps_concurrent_options *opts,
                                         ps_storer **s);

#define PS_WAIT_DEFAULT UINT32_MAX
/* How long calls of this thread wait for locks from now on, in any concurrent store: milliseconds, 0 for not
 * at all (PS_EBUSY), PS_WAIT_DEFAULT for the store's own bound. Returns what was set before. */
PS_API uint32_t ps_concurrent_set_wait(uint32_t timeout_ms);

struct ps_concurrent_stats {
	uint64_t locks;                         /* taken since open */
	uint64_t waits, wait_ns;                /* how often one was waited for, and how long together */
	uint64_t timeouts, refusals, deadlocks; /* PS_ETIMEDOUT, PS_EBUSY, PS_EDEADLK */
	uint64_t held; /* at this moment, or waited for; of copying calls only those that a writer waits for */
	uint64_t memory_used; /* the layer's own, in bytes */
};

/* PS_EINVAL if s is no concurrent store. Any thread. */
PS_CHECKED PS_API int ps_concurrent_stats(ps_storer *s, struct ps_concurrent_stats *stats);
/* The pool that the store's I/O takes tokens from: its own, the caller's, or an outer layer's. PS_EINVAL
 * likewise. */
PS_CHECKED PS_API int ps_concurrent_tokens(ps_storer *s, struct ps_tokens **tokens);

#ifdef __cplusplus
}
#endif
#endif
