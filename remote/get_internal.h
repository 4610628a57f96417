/* What a get of a key and a get of an address share: chunks that are known are fetched, several at once, and
 * given in order, each opened and checked before a byte of it is given. */
#ifndef PS_GET_INTERNAL_H
#define PS_GET_INTERNAL_H

#include "remote/manager_internal.h"

struct get;

struct get_lane {
	struct ps_lane lane; /* first */
	struct get *get;
	struct get_read {
		struct ps_pad_read read; /* first: a task */
		struct get_lane *lane;
	} fetch;
	uint32_t chunk;
	bool done; /* fetched, not given yet */
	uint8_t description[PS_CHUNK_DESCRIPTION];
	uint8_t *own; /* where it goes to a callback */
};

struct get {
	struct ps_operation op;
	ps_remote *r;
	struct ps_remote_get options;
	const char *shown; /* in sentences */
	/* Where to. */
	uint8_t *buf;
	ps_remote_write_fn write;
	void *write_arg;
	uint64_t from, to; /* bytes of the value */
	/* What. */
	struct ps_record record; /* of a key's, without slots */
	struct ps_pad_slot *slots;
	uint8_t *read_keys;          /* one a slot; NULL: the store's keys open them */
	const uint8_t *network;      /* NULL: the store's */
	uint32_t slots_count, first; /* of the chunks that are wanted; the first's number */
	uint32_t chunk_bytes;
	uint32_t asked, given; /* chunks so far, from the first on */
	unsigned tries;
	/* Lanes. */
	struct ps_lanes lanes;
	struct get_lane *all;
	struct ps_lane *idle;
	uint32_t lanes_count, on_way;
};

/* Which bytes are wanted. */
struct get_range {
	uint64_t offset, len; /* as much of it as there is */
	bool whole;           /* or all, into `cap` bytes */
	size_t cap;
	/* Of the whole: what the value turned out to have, and that it is more than that. */
	size_t size;
	bool too_small;
};
/* from and to, of a value of this size. PS_ERANGE: too small. */
int get_set_range(struct get *get, uint64_t size, struct get_range *range)
    __attribute__((warn_unused_result));
/* A group, and lanes for chunks of chunk_bytes, `most` at most. */
int get_open_lanes(struct get *get, uint64_t most) __attribute__((warn_unused_result));
void get_close_lanes(struct get *get);
/* Fetches and gives the chunks that are set. After a failure nothing is on its way, and the group is
 * canceled. */
int get_slots(struct get *get) __attribute__((warn_unused_result));
void get_forget(struct get *get); /* the slots and their keys */

#endif
