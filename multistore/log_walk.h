/* A log read: group after group, from a place on, up to the first slot that is not there. Each pad is
 * verified by remote/, belongs to the one before by its hash, and is of a group that is whole; a group whose
 * writer died within it counts as not there, and what comes behind it counts. */
#ifndef PS_LOG_WALK_H
#define PS_LOG_WALK_H

#include "base/memory.h"
#include "multistore/log_pad.h"

struct ps_log_group {
	const struct ps_log_pad *pad;    /* its last one */
	const uint8_t *pack;             /* pad->pack_bytes of it, valid during the call */
	const struct ps_log_place *next; /* where the log goes on behind it */
};
/* Other than PS_OK ends the walk with that. */
typedef int (*ps_log_group_fn)(void *arg, const struct ps_log_group *group);

struct ps_log_walk {
	/* The caller's; all else zero. */
	struct ps_memory *memory;
	ps_remote *r;
	struct ps_log_place place; /* of the first; then where it ended */
	uint64_t upto;             /* groups up to this interval are passed over, and told of all the same */
	ps_log_group_fn group;
	void *arg;
	ps_remote_progress_fn progress; /* NULL: none */
	void *progress_arg;
	/* Told. */
	uint64_t groups, pads, bytes; /* read; bytes: of packs */
	bool fenced;                  /* it ended at a fence, which is at `place` */
	/* Its own. */
	struct ps_log_pad last;
	uint8_t *pack;
	uint64_t pack_room, pack_len;
	uint32_t part; /* the next one of the group that is not whole; 0: there is none */
};

/* PS_OK: nothing is at the end, or a fence. PS_EFORK: a slot does not belong to the one before it: the
 * network has shown another one there, to its writer or here. PS_ECORRUPT, PS_EVERSION; PS_EAUTH,
 * PS_EUNAVAILABLE, PS_ECANCELED, as ps_remote_slot_read; PS_ENOMEM. */
PS_CHECKED int ps_log_walk(struct ps_log_walk *walk);

#endif
