/* Steps on a base store over a simulated disk, with the oracle told of each: what crash and fault tests are
 * made of.
 *
 * A step does nothing if its object is not there (an earlier step failed). In a run that expects no faults a
 * failing step fails the test; otherwise its error is looked at (it must be one that a fault explains) and
 * the run goes on. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "tests/crash/marks.h"
#include "tests/crash/oracle.h"
#include "tests/support/copies.h"
#include "tests/support/sim_disk.h"

enum { SCRIPT_OBJECTS = 64 };

struct run {
	struct sim_disk *disk;
	struct oracle *oracle;
	ps_storer *s; /* NULL while closed */
	uint64_t seed;
	bool relaxed;              /* single calls are */
	bool faults;               /* are expected */
	bool unknown;              /* a commit's outcome was unknown: the store must refuse all later ones */
	unsigned failures;         /* steps that failed */
	uint64_t contents;         /* made so far: each from a seed of its own */
	ps_id ids[SCRIPT_OBJECTS]; /* PS_ID_NONE: not made, or deleted */
	struct marks marks;
	struct copies *copies; /* that contents are fetched from: of this run, in all states of its store */
};

enum batch_op_kind { BATCH_PUT = 1, BATCH_REPLACE, BATCH_DELETE, BATCH_WRITE_AT, BATCH_ALLOC };
struct batch_op {
	enum batch_op_kind kind;
	unsigned object;
	uint64_t off, size;
};

typedef void (*script_fn)(struct run *run);
struct script {
	const char *name;
	script_fn setup; /* may be NULL; ends in a clean close, and is not what is examined */
	script_fn body;
	bool relaxed;
};

/* What stores are opened as from now on: "base" (at first), "multi" (over base), or "turns": the one and the
 * other, call by call. NULL is "base". False: there is no such stack. */
bool script_over(const char *stack);
/* From now on stores are attached to a network, over the base store, and step_evict pushes to that. Notes are
 * its own: step_note does nothing. NULL: as at first. The struct stays where it is. */
struct script_network {
	int (*over)(void *arg, ps_storer *base, ps_storer **s); /* owns base from success on */
	int (*push)(void *arg, ps_storer *s);
	int (*evict)(void *arg, ps_storer *s);
	void *arg;
};
void script_on_network(const struct script_network *network);
/* The smallest store that there is, without a thread, over the copies of the run that was made last. PS_OK or
 * the open's error. */
int store_open(struct sim_disk *disk, bool relaxed, ps_storer **s);

/* A run with an empty store, closed; `disk` may be of any state. */
struct run *run_new(struct sim_disk *disk, uint64_t seed);
void run_free(struct run *run);
/* The store's file after the script's setup, as a new buffer for free(). */
uint8_t *run_setup(struct run *run, const struct script *script, uint64_t *size);
void run_open(struct run *run);
/* Closes, however often it takes. */
void run_close(struct run *run);

void step_put(struct run *run, unsigned object, uint64_t size);
void step_replace(struct run *run, unsigned object, uint64_t size);
void step_write_at(struct run *run, unsigned object, uint64_t off, uint64_t size);
void step_resize(struct run *run, unsigned object, uint64_t size);
void step_delete(struct run *run, unsigned object);
void step_alloc(struct run *run, unsigned object, uint64_t size);
void step_prime(struct run *run, unsigned object, uint64_t size);
void step_alloc_run(struct run *run, unsigned first, unsigned count, uint64_t size);
void step_write_batched(struct run *run, unsigned first, unsigned count, uint64_t size);
/* A stream of `size` bytes in pieces, into a new object or over an old one; finish or abort. */
void step_stream(struct run *run, unsigned object, uint64_t size, bool size_known, bool finish);
void step_batch(struct run *run, const struct batch_op *ops, size_t count, enum ps_durability durability);
void step_batch_abort(struct run *run, const struct batch_op *ops, size_t count);
/* Reads the object in every way that there is, and compares. */
void step_read(struct run *run, unsigned object);
void step_sync(struct run *run);
void step_compact(struct run *run);
void step_reopen(struct run *run);
/* A cut since the last one, compared with what the oracle knows; all in it is durable. */
void step_cut(struct run *run);
void step_note(struct run *run);
/* All is pushed to the run's copies, and leaves the file. */
void step_evict(struct run *run);

/* Each modifying call, a few at a time. */
extern const struct script scripts[];
extern const size_t script_count;
/* `steps` steps drawn from the run's seed. */
void script_random(struct run *run, unsigned steps, bool large);

#endif
