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

/* Begins with its size; zero means the default everywhere. Counts only for a file that has no classes yet. */
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
};

/* Owns inner from success on. opts may be NULL. A store that is opened read-only is only read. PS_ENOTSUP:
 * inner lacks PS_CAP_PLACEMENT. PS_EINVAL: options. PS_ENOMEM; PS_EIO, PS_ENOSPC, PS_EREADONLY: the classes
 * could not be made durable in a file that had none. */
PS_CHECKED PS_API int ps_multi_open(ps_storer *inner, const struct ps_multi_options *opts, ps_storer **s);

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
	uint64_t objects, live_bytes; /* exact sizes */
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

#ifdef __cplusplus
}
#endif
#endif
