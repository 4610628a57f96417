/* What a run leaves beside objects: cuts that it took, and notes. After a crash a cut since the last one that
 * was taken gives what has changed since, and the note is one that was set. */
#ifndef MARKS_H
#define MARKS_H

#include "store/cut.h"
#include "tests/crash/oracle.h"

enum { MARKS_MAX = 16 };

struct marks {
	struct cut_mark {
		size_t when;   /* it had been taken */
		size_t commit; /* of the oracle */
		struct ps_cut_from here;
	} cuts[MARKS_MAX];
	struct note_mark {
		size_t begun, ended; /* (size_t)ORACLE_NEVER: it failed */
		unsigned number;
	} notes[MARKS_MAX];
	unsigned cut_count, note_count;
};

/* A cut since the last one; what it gives is compared. PS_OK, the call's error, or 1 with a sentence in
 * `why`. */
int marks_cut(struct marks *m, struct oracle *o, ps_storer *s, size_t (*now)(void *arg), void *arg,
              char why[ORACLE_WHY]);
int marks_note(struct marks *m, ps_storer *s, size_t (*now)(void *arg), void *arg);
/* Times begin anew: all that is known was known before. */
void marks_restart(struct marks *m);
/* The store holds the oracle's commit `commit`; so much had happened. False with a sentence. Takes a cut,
 * where one was taken. */
bool marks_hold(const struct marks *m, struct oracle *o, ps_storer *s, size_t commit, size_t point,
                char why[ORACLE_WHY]);

#endif
