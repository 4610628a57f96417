/* The manifest: which packs there are, and which states can be made of them. It is the value "store" of the
 * remote; its bytes are in multistore/FORMAT.md. */
#ifndef PS_PUSH_MANIFEST_H
#define PS_PUSH_MANIFEST_H

#include "multistore/log_pad.h"

#define PS_PUSH_MANIFEST_KEY "store"
enum {
	PS_PUSH_MANIFEST_BYTES_MAX = 256 << 20,
	PS_PUSH_MANIFEST_RUNS_MAX = 4096,
	PS_PUSH_MANIFEST_STATES_MAX = 1024,
	PS_STATE_RUNS_MAX = 64, /* of one state */
};

struct ps_push_manifest_pack {
	struct ps_pack_about about;
	ps_id first, last;
	bool continues, open;
	uint64_t bytes; /* of the value */
};

/* All that was changed after `since`, up to `upto`, as packs in the order of slots. */
struct ps_push_manifest_run {
	uint64_t since, upto;
	uint64_t checkpoint; /* of the file that was pushed, at upto (struct ps_cut_from) */
	uint32_t first_pack, packs;
	uint64_t objects, gone;
	uint64_t contents, bytes; /* of objects; of its packs */
};

struct ps_push_manifest_state {
	uint8_t mark[PS_PACK_MARK]; /* of the push */
	struct ps_cut_info info;    /* info.here.interval is its number */
	uint64_t time_ns;
	uint32_t runs;
	uint32_t run[PS_STATE_RUNS_MAX]; /* the first is since 0, each of the others since the one before;
	                                    numbers of runs */
};

enum { PS_HOLDER = 16, PS_HOLDER_TEXT = 64 };
#define PS_EPOCH_MAX ((uint64_t)1 << 62)

/* Who may push, and write log slots. */
struct ps_push_hold {
	uint8_t line[PS_PACK_MARK]; /* which line of states this is: drawn by the first push */
	uint8_t mark[PS_PACK_MARK]; /* of this manifest: a push's is that of its state, a takeover has one of
	                               its own */
	uint64_t epoch;             /* of writers, from 1: each takeover begins one */
	uint8_t holder[PS_HOLDER];  /* the file's, by its note */
	uint64_t since_ns;          /* by the holder's clock: for people, it decides nothing */
	char text[PS_HOLDER_TEXT];  /* who that is, for people */
};

/* Runs by (upto, since); packs by run; states the newest first. */
struct ps_push_manifest {
	struct ps_memory *memory;
	struct ps_log_place log; /* behind the newest state */
	struct ps_push_hold hold;
	struct ps_push_manifest_pack *packs;
	struct ps_push_manifest_run *runs;
	struct ps_push_manifest_state *states;
	uint32_t pack_count, run_count, state_count;
	size_t pack_capacity, run_capacity, state_capacity;
};

void ps_push_manifest_init(struct ps_push_manifest *m, struct ps_memory *memory);
void ps_push_manifest_done(struct ps_push_manifest *m);
/* Into an empty one, with its own memory. PS_ENOMEM: it stays empty. */
PS_CHECKED int ps_push_manifest_copy(const struct ps_push_manifest *m, struct ps_push_manifest *copy);

/* The newest state; NULL if there is none. */
const struct ps_push_manifest_state *ps_push_manifest_newest(const struct ps_push_manifest *m);

/* PS_ENOMEM; PS_ERANGE: too many. */
PS_CHECKED int ps_push_manifest_add_pack(struct ps_push_manifest *m,
                                         const struct ps_push_manifest_pack *pack);
PS_CHECKED int ps_push_manifest_add_run(struct ps_push_manifest *m, const struct ps_push_manifest_run *run);
PS_CHECKED int ps_push_manifest_add_state(struct ps_push_manifest *m,
                                          const struct ps_push_manifest_state *state);

/* What is to be published: the newest state of `old` (its first `keep` runs) with a run behind it, before it
 * as many states of old as `history` says, and what these need. run->first_pack is not looked at; packs are
 * the run's. PS_ENOMEM, PS_ERANGE. */
struct ps_push_manifest_next {
	uint32_t keep;
	struct ps_push_manifest_run run;
	const struct ps_push_manifest_pack *packs;
	struct ps_push_manifest_state state; /* runs and run[] are filled in */
	uint32_t history;
	struct ps_log_place log;
	struct ps_push_hold hold;
};
PS_CHECKED int ps_push_manifest_make(const struct ps_push_manifest *old,
                                     const struct ps_push_manifest_next *next, struct ps_push_manifest *m);

/* Bytes of the value, ps_memory_free'd by the caller. PS_ENOMEM, PS_ERANGE. */
PS_CHECKED int ps_push_manifest_encode(const struct ps_push_manifest *m, uint8_t **bytes, size_t *len);
/* Into an empty one. PS_ECORRUPT, PS_EVERSION, PS_ENOMEM. */
PS_CHECKED int ps_push_manifest_decode(const uint8_t *bytes, size_t len, struct ps_push_manifest *m);

/* A run's packs; NULL if it has none. */
static inline const struct ps_push_manifest_pack *
ps_push_manifest_packs(const struct ps_push_manifest *m, const struct ps_push_manifest_run *run)
{
	return run->packs ? m->packs + run->first_pack : NULL;
}
/* The first of them that may have something of the id's slot; run->packs: none has. */
uint32_t ps_push_manifest_find_pack(const struct ps_push_manifest_run *run,
                                    const struct ps_push_manifest_pack *packs, ps_id id);

#endif
