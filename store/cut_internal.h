/* A cut's inside: cut.c begins it and goes through the table, cut_read.c reads contents. */
#ifndef PS_CUT_INTERNAL_H
#define PS_CUT_INTERNAL_H

#include "store/base_internal.h"

enum { SAVED_LISTS = 4096, LEAF_NONE = -1 };

struct saved_leaf {
	struct saved_leaf *next;
	uint64_t number;
	unsigned count;
	struct saved_entry {
		unsigned index;
		struct entry entry;
	} entries[];
};

struct ps_cut {
	struct store *s;
	struct ps_cut *beside; /* the other one that stands (store.lock) */
	struct ps_cut_from from;
	uint64_t leaves; /* that there were */
	uint64_t next;   /* leaves below are done with: they may change as they like (store.lock) */
	uint32_t ends;   /* later intervals are not in it */
	uint64_t held, limit;
	int dropped;  /* why it can give nothing any more (store.lock) */
	uint64_t at;  /* the next slot to look at */
	int64_t leaf; /* whose entries these are, only those to give; LEAF_NONE */
	struct entry entries[FANOUT];
	ps_id id; /* given last, and its entry */
	struct entry entry;
	uint64_t ahead; /* contents of slots below were read ahead */
	struct saved_leaf *saved[SAVED_LISTS];
};

/* PS_OK, or why the cut can give nothing any more. Takes store.lock. */
int cut_still_stands(struct ps_cut *cut);

#endif
