/* The log of a store on a network: what was committed behind its newest state there, shipped as groups of log
 * pads. Where the log is, the network itself says: whoever begins reads it from the manifest's place on. The
 * order of what becomes durable, and what a crash leaves: multistore/PADS.md.
 *
 * One thread ships at a time; a push goes on beside it. */
#ifndef PS_LOG_H
#define PS_LOG_H

#include <padstone/push.h>

#include "multistore/log_pad.h"
#include "remote/clock.h"

struct ps_log;
struct ps_push_manifest;

struct ps_log_setup {
	ps_storer *s;
	ps_remote *r;
	struct ps_clock *clock;
	uint64_t group_bytes; /* of one group, at most: beyond that a push has to carry it */
	uint64_t total_bytes; /* of all groups behind a state */
	int level;            /* zstd's; 0: none */
};

/* PS_ENOMEM. */
PS_CHECKED int ps_log_new(const struct ps_log_setup *setup, struct ps_log **log);
void ps_log_free(struct ps_log *log); /* nobody ships. NULL is fine */
/* Pushes of its store, under whatever layers, heed it from now on; until ps_log_free. */
void ps_log_enter(struct ps_log *log);
/* The log of a store that was entered; NULL. Valid as long as the store is open. */
struct ps_log *ps_log_of(ps_storer *s);

/* Ships what is committed when it is called, or finds that the log cannot go on. PS_OK: it is shipped, or is
 * in a push. PS_EBUSY: the log waits for a push, which says where it goes on; or two cuts are under way.
 * PS_EFENCED: another file has taken the store over. PS_EFORK: another process ships this store's log, or
 * this file is older than its own log. PS_EUNAVAILABLE, PS_ECANCELED: it is tried again; nothing is lost. */
PS_CHECKED int ps_log_ship(struct ps_log *log, ps_remote_progress_fn progress, void *arg);

/* ---- a push ---- */

/* Before its cut: where the log goes on behind it, for its manifest. Looks at the network if nobody has yet,
 * and fails as ps_log_ship does where this file must not push. old: the manifest before. */
PS_CHECKED int ps_log_at_push(struct ps_log *log, const struct ps_push_manifest *old,
                              ps_remote_progress_fn progress, void *arg, struct ps_log_place *place);
/* Whether it waits for one, even if nothing was changed. */
bool ps_log_wants_push(struct ps_log *log);
/* Its manifest, with that place, is the newest one. */
void ps_log_pushed(struct ps_log *log, const struct ps_log_place *place, const struct ps_cut_info *info);

/* Its file holds the store from now on: where the log goes on is to be seen anew. */
void ps_log_taken(struct ps_log *log);

/* ---- figures ---- */

enum ps_log_phase {
	PS_LOG_NEW, /* nobody has looked where it is */
	PS_LOG_ON,
	PS_LOG_WAITS, /* for a push */
	PS_LOG_ENDED  /* by another's hand; a push says more */
};
struct ps_log_figures {
	enum ps_log_phase phase;
	uint64_t commit;        /* the last one that is shipped, or pushed */
	uint64_t groups, bytes; /* shipped by this process; bytes: of packs */
};
void ps_log_figures(struct ps_log *log, struct ps_log_figures *figures);

#endif
