/* The inside of an attachment. Locks: `lock` is a leaf below the store's own, since commits are told under
 * that; nothing is called under it. */
#ifndef PS_ATTACHED_INTERNAL_H
#define PS_ATTACHED_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "multistore/attached.h"
#include "multistore/manifest.h"
#include "multistore/push_backing.h"
#include "multistore/shipper.h"
#include "remote/backoff.h"
#include "store/cut.h"

enum { ATTACHED_SENTENCE = 512 };

enum pusher { PUSHER_NONE = 0, PUSHER_THREAD, PUSHER_CALLER };

struct ps_attached {
	ps_storer *s;
	ps_remote *r;
	bool owns_remote;
	struct ps_push_options push; /* of background pushes */
	uint64_t push_ns, push_bytes;
	ps_multi_event_fn event;
	void *event_arg;
	struct ps_clock *clock;
	struct ps_backoff backoff;
	struct ps_commit_watch watch;
	struct ps_shipper *shipper; /* of the log; NULL. Constant while commits are watched */
	struct ps_shipper_setup shipping;
	bool awaits_log; /* durable commits do, so long: */
	uint32_t log_wait_ms;
	struct ps_push_backing *backing; /* NULL: nothing of it can be away */
	struct ps_memory memory;         /* of: */
	struct ps_push_manifest made_of; /* the file, just now; the backing's to look into first */
	bool (*unwanted)(void);          /* what is fetched; NULL */
	uint64_t of_state;               /* the store is this one, to be read; 0: it is no state's */
	uint64_t local_bytes;            /* of contents that may be in the file; 0: all */
	size_t cache_bytes;              /* of packs */
	bool has_thread;
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	bool stops;
	unsigned pauses;
	enum pusher pusher;
	uint64_t waits_until; /* the thread does; 0: it is awake */
	/* What is not pushed. */
	uint64_t commit;              /* the last one */
	uint64_t bytes, bytes_before; /* committed since the store was opened; of them pushed */
	uint64_t dirty_since,
	    dirty_next; /* when the first commit that is not pushed was made; the first one behind the
	                   beginning of the push that is under way. 0: there is none */
	uint64_t
	    lag_before_ns; /* how long before dirty_since it was, where that is the opening of the store */
	/* The last push, and what failed since. */
	uint64_t state, pushed_commit, pushed_ns, pushed_bytes;
	uint32_t failures; /* in a row */
	uint64_t retry_at;
	bool stopped;    /* no background pushes until one by a caller succeeds */
	bool log_stands; /* it waits for a push, and commits for it; or there was none yet */
	int error;
	char sentence[ATTACHED_SENTENCE];
	/* Evictions, where local_bytes says. */
	uint64_t grown;          /* bytes that came into the file since the last one */
	uint64_t evict_at;       /* not before */
	uint32_t evict_failures; /* in a row */
	uint64_t look_at;        /* when what is there is counted once more; 0: not */
	bool knows_local;        /* what was in the file at first was looked at */
};

/* When the next background push is due; PS_NEVER. Under lock. */
uint64_t attached_due(const struct ps_attached *a);
/* A push with all that the attachment keeps of it; who calls is the pusher. */
int attached_push(struct ps_attached *a, const struct ps_push_options *options,
                  struct ps_push_result *result);

/* A progress function: ends what the thread does when the attachment ends, or is to rest. `a`: the
 * attachment.
 */
int attached_unwanted(void *a, const struct ps_progress *progress);

/* ---- what is in the file (attached_evict.c) ---- */

/* When the next eviction is due; PS_NEVER. Under lock. */
uint64_t attached_evict_due(const struct ps_attached *a);
/* There is more in the file than may be, and some of it has to be pushed to leave. Under lock. */
bool attached_wants_room(const struct ps_attached *a);
void attached_evict(struct ps_attached *a);
/* The attachment is what the store's contents come back through. */
PS_CHECKED int attached_back(struct ps_attached *a);

#endif
