/* What a store's file remembers of its pushes (ps_note_set): which state of the network is its own. */
#ifndef PS_PUSH_NOTE_H
#define PS_PUSH_NOTE_H

#include "multistore/manifest.h"

enum { PS_NOTE_ATTEMPTS = 8 };

struct ps_push_note {
	uint8_t
	    last[PS_PACK_MARK]; /* of the state that this file has pushed, or was cloned from; zero: none */
	uint8_t published[PS_PACK_MARK]; /* of the manifest that it was seen in last, or was published in */
	uint8_t line[PS_PACK_MARK];      /* which line of states that is; zero: none yet */
	uint8_t holder[PS_HOLDER];       /* this file as a holder; zero: it never tried to be one */
	uint64_t reached;                /* a clone's: the interval up to which it has the log; 0 */
	uint64_t epoch;                  /* the last one that this file has held; 0: none */
	uint64_t number;                 /* its interval */
	uint64_t
	    commit; /* this file's last one in it: as long as there is no later one nothing was changed */
	uint64_t pushed_ns, pushed_bytes; /* the last push from here: when it ended, what it sent */
	uint64_t seen_ns;  /* when the manifest was changed, by the index, as this file has left it */
	uint32_t attempts; /* pushes and takeovers of which it is not known whether they have ended, the
	                      newest last */
	uint8_t attempt[PS_NOTE_ATTEMPTS][PS_PACK_MARK];
};

/* All zeros where there is none. PS_EVERSION, PS_ECORRUPT. */
PS_CHECKED int ps_push_note_get(ps_storer *s, struct ps_push_note *note);
PS_CHECKED int ps_push_note_set(ps_storer *s, const struct ps_push_note *note);
/* Forgets the oldest attempt if there are too many. */
void ps_push_note_attempt(struct ps_push_note *note, const uint8_t mark[PS_PACK_MARK]);
/* The mark is that of an attempt. */
bool ps_push_note_tried(const struct ps_push_note *note, const uint8_t mark[PS_PACK_MARK]);
/* The mark is that of the state that the file was pushed as last, or of an attempt, which may be it. */
bool ps_push_note_has(const struct ps_push_note *note, const uint8_t mark[PS_PACK_MARK]);

#endif
