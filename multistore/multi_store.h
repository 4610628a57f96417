/* The multi store: a layer over a store that can place contents by size (PS_CAP_PLACEMENT).
 *
 * Small contents go to slabs of equal slots, one class of slots for each range of sizes; larger ones to the
 * root allocator, which takes whole pages by best fit. A replace, resize or write that changes an object's
 * class moves it. All calls go on to the inner store, whose sessions they open; the layer does no I/O and
 * adds no capability.
 *
 * Classes and limit are the file's, fixed when a multi store first opens it for writing. Without this layer a
 * file that has them is read, written, checked and compacted all the same; what is new goes to the root
 * there. */
#ifndef PS_MULTI_STORE_H
#define PS_MULTI_STORE_H

#include <padstone/storer.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ps_remote;
struct ps_remote_key;
struct ps_remote_options;
struct ps_push_options;
struct ps_push_result;
struct ps_base_options;

enum { PS_LOG_OFF = -1, PS_LOG_EACH_COMMIT = -2 };

enum ps_multi_event_kind {
	PS_MULTI_PUSHED = 1,       /* a background push has ended */
	PS_MULTI_PUSH_FAILED = 2,  /* one failed, and is tried again */
	PS_MULTI_PUSH_STOPPED = 3, /* one failed in a way that no time heals: no more of them until a ps_push
	                              by a caller succeeds */
	PS_MULTI_EVICTED = 4,      /* the file had about local_bytes, and some of it has left */
	PS_MULTI_EVICT_FAILED = 5, /* it could not leave; told once, and tried again until it can */
};
struct ps_multi_event {
	enum ps_multi_event_kind kind;
	int error;
	uint32_t failures;                 /* in a row */
	uint64_t retry_ns;                 /* until it is tried again, at the earliest */
	const char *message;               /* valid during the call */
	const struct ps_push_result *push; /* likewise; NULL after a failure, and where nothing was pushed */
	uint64_t freed;                    /* bytes of the file that an eviction gave up */
};
/* By the store's own thread, with no lock held. May call the store, but not close it. */
typedef void (*ps_multi_event_fn)(void *arg, const struct ps_multi_event *event);

/* Begins with its size; zero means the default everywhere. The classes count only for a file that has none
 * yet. */
struct ps_multi_options {
	size_t size; /* sizeof(struct ps_multi_options) */
	uint32_t
	    route_max; /* bytes: contents up to so many go to a class; by default up to the largest class */
	uint32_t
	    block_limit; /* bytes: classes stand at most 1/16 apart up to here, at most 4096; 4096; 1: none */
	uint32_t page_limit; /* bytes: classes of whole pages above that, up to here; by default none: the
	                        root's best fit on whole pages is as tight, and wants no slabs */
	uint32_t slab_bytes; /* a power of two from 4 KiB to 1 MiB; 64 KiB */
	const uint32_t
	    *slots; /* instead of both limits: these very slots, ascending, in bytes (rounded up to 16) */
	size_t slot_count;
	/* A store on a network (<padstone/push.h>): it is attached to it as long as it is open. */
	const char *network;                            /* URL; none */
	const struct ps_remote_key *key;                /* the caller wipes its own copy */
	const char *store;                              /* one key holds many stores; "main" */
	const struct ps_remote_options *remote_options; /* all else of the network; NULL: defaults */
	struct ps_remote *remote; /* instead of these four: open, and for longer than the store */
	uint32_t push_seconds; /* pushed in the background so long after the first commit that is not pushed;
	                          0: not for that. The first time as soon as the log is due, if one is
	                          shipped: it begins behind a push */
	uint64_t push_bytes;   /* or once so many bytes of contents are not pushed; 0: not for that */
	/* Behind a push, what is committed is shipped as a log, so that a lost machine loses no more than
	 * this. */
	int32_t log_ms;     /* how long a commit may stay unshipped; 1,000. PS_LOG_OFF: for ever.
	                       PS_LOG_EACH_COMMIT: see log_wait_ms */
	uint64_t log_bytes; /* of contents that the log takes at a time; 64 MiB: beyond that it stops, and the
	                       next push carries the rest */
	uint64_t log_total_bytes; /* that it takes between two pushes, compressed; 512 MiB. A clone holds them
	                             in memory */
	uint32_t
	    take_over; /* 1: a file that ps_multi_open_at makes from the network holds the store from then on
	                  (ps_take_over); else whoever held it does, and its pushes are PS_EHELD */
	const struct ps_push_options *push; /* of background pushes; their progress is not called */
	ps_multi_event_fn event;            /* hears of background pushes; none */
	void *event_arg;
	/* How much of the contents is in the file; the rest is fetched as it is touched. In the background:
	   what was used least recently leaves once there is more; what is not pushed is pushed first. About
	   an eighth more for a moment; as long as pushes fail, as much as is written. 0: all stays, but for
	   what ps_evict takes away. */
	uint64_t local_bytes;
	uint64_t cache_bytes; /* of memory, for what was fetched of packs; 16 MiB */
	/* With PS_LOG_EACH_COMMIT a durable commit (a single call's, a batch's, a writer's), and ps_sync,
	   return when the log has it, holding no lock meanwhile; all that wait go with one shipment. Relaxed
	   commits go with the next one, or after a second. Where the log waits for a push (the first one, or
	   more was changed than it takes), that is made in the background at once. The call returns
	   PS_EUNAVAILABLE if it takes longer than this, and those after it at once until something was
	   shipped again; PS_EHELD, PS_EFENCED, PS_EFORK, PS_EREADONLY where this file ships no more. In all
	   these cases the commit stands in the file, and is never undone (an id that the call gives is
	   given); it is shipped when that can be. */
	uint32_t log_wait_ms; /* 10,000 */
	uint32_t whole; /* 1: a file that ps_multi_open_at makes has all of the store before it returns; else it
	                   knows nothing, and asks for what is touched (ps_clone_options.lazy) */
};

/* Owns inner from success on. opts may be NULL. A store that is opened read-only is only read. PS_ENOTSUP:
 * inner lacks PS_CAP_PLACEMENT. PS_EINVAL: options. PS_ENOMEM; PS_EIO, PS_ENOSPC, PS_EREADONLY: the classes
 * could not be made durable in a file that had none. With a network: errors of ps_remote_open; PS_ENOTSUP:
 * inner cannot be cut, or is for one thread. What is on the network is not looked at: ps_multi_open_at does.
 */
PS_CHECKED PS_API int ps_multi_open(ps_storer *inner, const struct ps_multi_options *opts, ps_storer **s);
/* The same over the file at path: where there is none, or an empty one, it is made from the newest state on
 * the network first (ps_clone, lazy), if one was pushed. base says how the file is opened, and may be NULL; a
 * descriptor of its own has no path to make anything at: PS_EINVAL with a network. Errors of ps_base_open,
 * ps_clone, ps_multi_open. */
PS_CHECKED PS_API int ps_multi_open_at(const char *path, const struct ps_base_options *base,
                                       const struct ps_multi_options *opts, ps_storer **s);

/* A pushed state as it was (ps_push_history), to be read: the newest for 0, without what was shipped behind
 * it. There is no file to name: what is touched is fetched, verified, and kept in one without a name in
 * `folder`, which is gone with the handle, or with the process, however that ends. opts name the network;
 * what they say of pushes and of a log is not looked at, local_bytes bounds what is kept, with `whole` all is
 * fetched first. The store is held by nobody for it. All that reads works, as on any store, backup and
 * ps_evict included; what would change it is PS_EREADONLY, ps_push as well. A state that a later push has
 * dropped meanwhile is told as long as the later ones have it unchanged, and else PS_ESUPERSEDED; never as it
 * is now. Errors of ps_clone, ps_base_open, ps_multi_open; PS_EIO, PS_EACCES, PS_ENOENT: of the folder. */
PS_CHECKED PS_API int ps_multi_open_state(const char *folder, const struct ps_base_options *base,
                                          const struct ps_multi_options *opts, uint64_t state, ps_storer **s);

/* Of a store that is attached to a network: what was pushed leaves the file, least recently used first, until
 * at most `goal` bytes of the file are taken by contents, or nothing more may leave; freed: bytes of the file
 * that were given up (may be NULL). It is fetched again as it is touched: calls on it then have errors of the
 * network, too. Other than 0 from fn ends it with PS_ECANCELED; fn may be NULL. PS_EINVAL: it is not
 * attached. PS_EFORK: the newest state was not pushed from this file as it is here; PS_ENOTFOUND: nothing was
 * pushed. PS_EBUSY: another eviction, a backup or a cut is under way. PS_EREADONLY. Any thread. */
PS_CHECKED PS_API int ps_evict(ps_storer *s, uint64_t goal, ps_progress_fn fn, void *arg, uint64_t *freed);

/* Where the contents of a store are. Objects count where any of their contents are; zeros that were never
 * written count nowhere. */
struct ps_local_figures {
	uint64_t local_objects, local_bytes; /* in the file */
	uint64_t away_objects, away_bytes;   /* on the network only */
	uint64_t dirty_objects, dirty_bytes; /* changed since the last push: in the file, and nowhere else */
	uint64_t fetches, fetched_bytes;     /* since the store was opened */
	uint64_t healed; /* damaged copies in the file that were replaced by the network's */
};
/* Walks the whole object table. s need not be attached: then all is dirty that ever was. PS_ENOTSUP: no base
 * store below. PS_EIO, PS_ECORRUPT. */
PS_CHECKED PS_API int ps_local_figures(ps_storer *s, struct ps_local_figures *figures);

enum { PS_MULTI_CLASSES_MAX = 112 };

/* What the file has. */
struct ps_multi_placement {
	uint32_t
	    route_max; /* contents up to so many bytes go to the smallest class that holds them; 0: none do */
	uint32_t slab_bytes; /* 0 where there are no classes */
	uint32_t classes;    /* 0: a read-only file that no multi store ever opened for writing */
	uint32_t differs;    /* 1: the options asked for something else, and the file's holds */
	uint32_t slot_bytes[PS_MULTI_CLASSES_MAX]; /* of class i + 1, as struct ps_info numbers them in
	                                              `allocator` */
};

/* s is a multi store, or a layer over one. PS_EINVAL: it is neither. Any thread. */
PS_CHECKED PS_API int ps_multi_placement(ps_storer *s, struct ps_multi_placement *placement);

/* One route: the root allocator, or a class. Bytes of slabs are allocated + free_bytes + tail_bytes + what
 * waits to be free. */
struct ps_multi_route {
	uint32_t slot_bytes;          /* 0: the root */
	uint64_t objects, live_bytes; /* exact sizes; not of small objects whose contents are away (ps_local_routes) */
	uint64_t allocated;   /* bytes of the slots or extents, maps included, that these objects take */
	uint64_t waste_bytes; /* of them, beyond the exact sizes. Objects with holes take less: 0 then */
	uint64_t slabs, slots, used; /* used slots: those that wait to be free, too. 0 for the root */
	uint64_t free_bytes;         /* of free slots; of the root's free extents */
	uint64_t tail_bytes;         /* of slabs, in no slot */
};

/* Fills routes[0], the root's, and routes[1] to routes[classes] as far as `count` goes; *n is how many there
 * are, classes + 1. Walks the whole object table; what is written meanwhile may count or not. s as above.
 * PS_EIO, PS_ECORRUPT, PS_ENOMEM. */
PS_CHECKED PS_API int ps_multi_routes(ps_storer *s, struct ps_multi_route *routes, size_t count, size_t *n);

/* Where the contents of a route are; those that are away where they would lie. */
struct ps_local_route {
	uint32_t slot_bytes;  /* 0: the root */
	uint64_t both_bytes;  /* in the file and on the network */
	uint64_t dirty_bytes; /* in the file, and nowhere else: of objects changed since the last push */
	uint64_t away_objects, away_bytes; /* on the network only */
};

/* As ps_multi_routes, and as ps_local_figures for what is dirty. */
PS_CHECKED PS_API int ps_local_routes(ps_storer *s, struct ps_local_route *routes, size_t count, size_t *n);

#ifdef __cplusplus
}
#endif
#endif
