/* What the files of a copy share: copy.c has the order, copy_pads.c one pad's way, several at once. */
#ifndef PS_COPY_INTERNAL_H
#define PS_COPY_INTERNAL_H

#include <padstone/remote_copy.h>

#include "remote/raw_pad.h"
#include "remote/slot.h"
#include "remote/sync_internal.h"

enum { COPY_KEY = 68 };

/* A pad that a head names. */
struct copy_pad {
	struct ps_pad_slot slot;
	uint8_t role;
	uint32_t part;                /* chunk of a value, part of a run; of a slot its number's low half */
	struct ps_pad_identity there; /* what the second network has; none: nothing */
	char key[COPY_KEY];           /* of the value, for sentences; cut */
};

struct copy_pads {
	struct copy_pad *all;
	size_t count, capacity;
};

struct copy_lane;

struct copy {
	struct ps_operation op; /* group: on the first network's workers; second: on the copy's */
	ps_remote *r;
	const struct ps_remote_copy *options;
	struct ps_second to;
	struct sync_head ours, theirs; /* the newest head; the one that the copy has */
	/* What is to be copied. */
	uint64_t pads;
	struct ps_remote_plan plan;
	uint32_t largest;       /* bytes of a record */
	struct copy_pads later; /* older versions are there, which the copy's head may name */
	bool defers;            /* such pads are put off */
	bool moved;             /* what failed may have failed because another head is there by now */
	const struct ps_remote_slots *which; /* that count; NULL: none is copied */
	uint64_t slots;                      /* of these that were there */
	struct ps_remote_copy_result result;
	struct ps_remote_plan spent; /* so far */
	/* Pads on their way. */
	struct ps_lanes lanes, single; /* single: for one request that is waited for */
	struct copy_lane *all;
	struct ps_lane *idle;
	uint32_t lanes_count, on_way;
};

/* PS_ELOST: some pads were missing. */
int copy_check_missing(struct copy *c) __attribute__((warn_unused_result));

/* ---- copy_slots.c ---- */

/* Behind the head, which the copy has. */
int copy_slots(struct copy *c, const struct ps_remote_slots *which) __attribute__((warn_unused_result));

/* ---- copy_pads.c ---- */

/* Lanes for c->pads records of up to c->largest bytes. */
int copy_begin(struct copy *c) __attribute__((warn_unused_result));
void copy_end(struct copy *c);
/* One more pad on its way: looked at, unless it is known what is there, and sent if that is not it. Waits for
 * a lane. */
int copy_add(struct copy *c, const struct copy_pad *pad) __attribute__((warn_unused_result));
/* None is on its way any more. Gives the error, if there is one, else the first of a pad. */
int copy_settle(struct copy *c, int err) __attribute__((warn_unused_result));
/* Reads the head of the second network; not there: there is none. Verified, of whatever network id. */
int copy_fetch_theirs(struct copy *c) __attribute__((warn_unused_result));
/* Whether the first network shows another head by now. */
bool copy_has_moved(struct copy *c);
int copy_pads_add(struct copy *c, struct copy_pads *pads, const struct copy_pad *pad)
    __attribute__((warn_unused_result));

#endif
