/* Runs: the records of an index as they lie on the network, in the order of their names, cut into parts that
 * fit pads (remote/FORMAT.md). One run is the base; the others, newer ones behind older ones, hold what
 * changed since. A part says by itself what it belongs to. Parts are byte strings here: sealing, sending and
 * fetching them is the caller's. */
#ifndef PS_REMOTE_RUN_H
#define PS_REMOTE_RUN_H

#include "remote/record.h"

enum {
	PS_RUN_ID = 16,
	PS_RUN_PART_MIN = 4096,
	PS_RUN_PART_MAX = 8 << 20,
	PS_RUN_SOURCES_MAX = 4096, /* runs of one merge */
};

struct ps_run_about {
	uint8_t id[PS_RUN_ID];
	const char *store; /* 1 to 255 bytes */
	uint64_t head;     /* counter of the head that is the first to list it */
	bool base;
};

struct ps_run_figures {
	uint64_t keys, bytes; /* bytes of all parts, before padding */
	uint32_t parts;
};

/* A part is complete. The bytes are valid during the call. Non-zero ends the writing with that result. */
typedef int (*ps_run_part_fn)(void *arg, uint32_t part, const uint8_t *bytes, size_t len);
typedef struct ps_run_writer ps_run_writer;

/* part_bytes: of a part at most. Memory: a part, and the largest record. PS_EINVAL, PS_ENOMEM. */
int ps_run_writer_new(struct ps_memory *memory, const struct ps_run_about *about, size_t part_bytes,
                      ps_run_part_fn fn, void *arg, ps_run_writer **writer)
    __attribute__((warn_unused_result));
/* In the order of names, each once, and only what may travel: PS_EINVAL otherwise. */
int ps_run_writer_add(ps_run_writer *writer, const struct ps_record *record)
    __attribute__((warn_unused_result));
/* The last part; a run has at least one. */
int ps_run_writer_finish(ps_run_writer *writer, struct ps_run_figures *figures)
    __attribute__((warn_unused_result));
void ps_run_writer_free(ps_run_writer *writer); /* NULL is fine */

/* The bytes of a part, valid until the next fetch of this reader or its end. Longer than the part is fine if
 * zeros follow. */
typedef int (*ps_run_fetch_fn)(void *arg, uint32_t part, const uint8_t **bytes, size_t *len);
typedef struct ps_run_reader ps_run_reader;

/* `about` and `parts` as the head lists the run; copied. */
int ps_run_reader_new(struct ps_memory *memory, const struct ps_run_about *about, uint32_t parts,
                      ps_run_fetch_fn fetch, void *arg, ps_run_reader **reader)
    __attribute__((warn_unused_result));
/* The next record, the caller's; *found false behind the last. PS_ECORRUPT, PS_EVERSION, what fetch returned.
 */
int ps_run_reader_next(ps_run_reader *reader, struct ps_record *record, bool *found)
    __attribute__((warn_unused_result));
void ps_run_reader_free(ps_run_reader *reader); /* NULL is fine */

/* What a part says of itself: for those who find it by listing. */
struct ps_run_part {
	struct ps_run_about about; /* store points to `store` */
	char store[256];
	uint32_t part, parts; /* parts: known in the last one, else 0 */
	uint32_t count, carried;
	char first[PS_RECORD_NAME_MAX + 1], last[PS_RECORD_NAME_MAX + 1];
	uint16_t first_len, last_len;
	size_t body, body_len; /* where in the bytes */
};
int ps_run_part_decode(const uint8_t *bytes, size_t len, struct ps_run_part *part)
    __attribute__((warn_unused_result));

/* Newest wins: the records of several runs as one. The readers stay the caller's; older ones first.
 * tombstones_below: tombstones that a head before this one was the first to carry are left out (0: none).
 * Only right when the oldest source is the base: otherwise a key would come to life again. */
typedef struct ps_run_merge ps_run_merge;
int ps_run_merge_new(struct ps_memory *memory, ps_run_reader *const *readers, size_t count,
                     uint64_t tombstones_below, ps_run_merge **merge) __attribute__((warn_unused_result));
int ps_run_merge_next(ps_run_merge *merge, struct ps_record *record, bool *found)
    __attribute__((warn_unused_result));
void ps_run_merge_free(ps_run_merge *merge);

/* ---- which runs become one (run_choice.c) ---- */

enum ps_merge_pace {
	PS_MERGE_WAITED, /* somebody waits for it: little, and the rest is left */
	PS_MERGE_DUE,    /* nobody does: all that is due */
};
enum {
	/* Bytes of a run that is written while somebody waits, with what is merged into it: one pad of 32
	 * KiB, padding and all. Where more is to be sent anyway, as much again is merged. */
	PS_MERGE_WAITED_BYTES = 30 << 10,
	/* Runs that a head may list before such a sync merges more than that: one of each costs 146 bytes of
	 * every head. */
	PS_MERGE_WAITED_RUNS = 64,
};
struct ps_merge_choice {
	size_t from;    /* the runs from this one on become one with what is written; their count: none do */
	uint64_t bytes; /* of them */
	bool forced;    /* more than PS_MERGE_WAITED allows: the list was too long */
};
/* Of the runs, oldest (the base) first, with `delta` bytes that are about to be written behind them (0:
 * nothing is). Due is: all of them once the deltas pass a quarter of the base; else eight of like size,
 * newest first, and eight of what these make. Where too many were left undone, a step of it is made however
 * long somebody waits: eight of the smallest class that has so many, with what is smaller behind them; up to
 * 2 MiB more of that class; and the base only if it is smaller than these. */
void ps_runs_choose(const uint64_t *bytes, size_t count, uint64_t delta, enum ps_merge_pace pace,
                    struct ps_merge_choice *choice);

#endif
