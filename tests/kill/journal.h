/* The oracle outside the killed process: what each of its threads meant to do and what it was told is
 * durable, in memory that the parent shares and the kill leaves as it is.
 *
 * A thread has objects of its own and one commit at a time in flight, so what a crash leaves of them is the
 * state after one of its commits: not before the last one acknowledged as durable, not after the last one
 * begun. Contents are not kept but made again from their seeds. */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <padstone/storer.h>

enum {
	JOURNAL_THREADS = 4,
	JOURNAL_OBJECTS = 12, /* of each thread */
	JOURNAL_PATCHES = 6,
	JOURNAL_OPS = 64,
	JOURNAL_UNDURABLE = 24, /* ops after which a thread makes sure */
	JOURNAL_WHY = 400,
	JOURNAL_LARGEST = 400 << 10,
};

struct patch {
	uint64_t seed, off, len;
};
/* Contents: `base` bytes made from seed, then what was written over or behind them. */
struct version {
	ps_id id; /* PS_ID_NONE with `exists`: a put whose id the thread was never told */
	bool exists;
	uint32_t patches;
	uint64_t seed, base;
	struct patch patch[JOURNAL_PATCHES];
};

struct op {
	uint32_t count; /* objects that it changes */
	uint32_t object[2];
	struct version version[2]; /* that they have after it */
};

struct thread_journal {
	struct version settled[JOURNAL_OBJECTS]; /* before op[0] */
	struct op op[JOURNAL_OPS];
	/* Ops begun (high half) and, from op[0] on, known to be durable (low half): one word, so that no kill
	 * falls between the two. */
	_Atomic(uint64_t) progress;
	_Atomic(uint64_t) done; /* ops over all lives */
};

struct journal {
	struct thread_journal thread[JOURNAL_THREADS];
	_Atomic(bool) running; /* the child has opened the store */
	_Atomic(bool) stop;    /* asked for by the parent: end the life with a close */
	_Atomic(bool) failed;
	char error[JOURNAL_WHY]; /* the first thing that went wrong in the child */
};

/* In shared memory, for the parent and all its children. NULL without memory. */
struct journal *journal_new(void);
void journal_free(struct journal *j);

/* By the thread itself: before the call that commits, and after it. `durable`: all its ops so far are. */
void journal_begin(struct thread_journal *t, const struct op *op);
void journal_end(struct thread_journal *t, bool durable);
/* The last op has not happened: the store refused it. */
void journal_cancel(struct thread_journal *t);
/* A put's id, once known. */
void journal_learn(struct thread_journal *t, uint32_t i, ps_id id);
unsigned journal_undurable(const struct thread_journal *t);
struct version journal_now(const struct thread_journal *t, uint32_t object);

uint64_t version_size(const struct version *v);
/* All of the contents, into a buffer of JOURNAL_LARGEST bytes. */
void version_bytes(const struct version *v, uint8_t *bytes);
/* `len` bytes made from a seed. */
void seed_bytes(uint64_t seed, uint8_t *bytes, uint64_t len);

/* By the parent, when the child is dead: compares all of the store with what may be there, and takes what is
 * there as the state that the next life begins with. False, and a sentence, if it may not. */
bool journal_settle(struct journal *j, ps_storer *s, char why[JOURNAL_WHY]);

#endif
