/* What a log has, merged: of each slot what its newest group says, in the order of slots; the newest run of a
 * state that is read. Patches are put over what older groups have; one that is over none is given as one. All
 * of it is held in memory, what newer groups replaced included: a log is bounded by who writes it. */
#ifndef PS_LOG_RUN_H
#define PS_LOG_RUN_H

#include "multistore/log_walk.h"

typedef struct ps_log_run ps_log_run;

PS_CHECKED int ps_log_run_new(struct ps_memory *memory, ps_log_run **run);
void ps_log_run_free(ps_log_run *run); /* NULL is fine */
/* Groups come oldest first. PS_ECORRUPT, PS_EVERSION: the pack is not what its group's pad says; PS_ENOMEM.
 */
PS_CHECKED int ps_log_run_add(ps_log_run *run, const struct ps_log_group *group);
/* No more groups: from now on it is read. PS_ECORRUPT: a patch is of an object that is another one in an
 * older group; PS_ENOMEM. */
PS_CHECKED int ps_log_run_sort(ps_log_run *run);

/* The next object: its slot, UINT64_MAX if there is none. */
uint64_t ps_log_run_slot(const ps_log_run *run);
/* It is the current one; bytes: of PS_CUT_BYTES, as long as the run is. There is one. */
void ps_log_run_take(ps_log_run *run, struct ps_cut_object *object, const uint8_t **bytes);
/* Of the current one: its bytes, as long as it was then, or zeros in so many places of pieces. */
struct ps_log_piece {
	uint64_t offset, zeros;
	const uint8_t *bytes;
	size_t len;
};
static inline uint64_t ps_log_piece_end(const struct ps_log_piece *piece)
{
	return piece->offset + (piece->zeros ? piece->zeros : 1) * PS_CUT_PIECE;
}
/* Its next piece, in ascending order; NULL: there are no more. */
const struct ps_log_piece *ps_log_run_piece(const ps_log_run *run);
void ps_log_run_pass(ps_log_run *run);

#endif
