/* A state with the log behind it: what ps_state_reader gives, and over it what was committed since. */
#ifndef PS_LOG_BEHIND_H
#define PS_LOG_BEHIND_H

#include "multistore/log_walk.h"
#include "multistore/state_lookup.h"
#include "multistore/state_reader.h"

struct ps_log_behind;

/* Reads the log behind the newest state of m, all of it; *info becomes what it brings the store to, or stays,
 * and *reached how far that is. PS_EFORK, PS_ECORRUPT, …: as ps_log_walk; groups that do not join. */
PS_CHECKED int ps_log_behind_new(struct ps_memory *memory, ps_remote *r, const struct ps_push_manifest *m,
                                 ps_remote_progress_fn progress, void *arg, struct ps_cut_info *info,
                                 struct ps_log_behind **behind);
void ps_log_behind_free(struct ps_log_behind *behind); /* NULL is fine */
/* Groups that count. */
uint64_t ps_log_behind_groups(const struct ps_log_behind *behind);
/* Where it ended, and what was read until there, what does not count included. */
struct ps_log_end {
	struct ps_remote_slot_at at; /* the first slot that is not of the log */
	uint64_t pads, bytes;        /* bytes: of packs */
	bool fenced;
};
struct ps_log_end ps_log_behind_end(const struct ps_log_behind *behind);

/* As ps_state_reader_next and _piece, of the state under it. behind NULL: nothing else. */
PS_CHECKED int ps_log_behind_next(struct ps_log_behind *behind, ps_state_reader *state,
                                  struct ps_cut_object *object, const uint8_t **bytes);
/* The log's objects alone, instead; what they are patches of is looked up in the state. */
PS_CHECKED int ps_log_behind_alone(struct ps_log_behind *behind, ps_state_lookup *state,
                                   struct ps_cut_object *object, const uint8_t **bytes);
PS_CHECKED int ps_log_behind_piece(struct ps_log_behind *behind, ps_state_reader *state, uint64_t *offset,
                                   const uint8_t **bytes, size_t *len);

#endif
