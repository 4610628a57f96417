/* Where a run of a state has an object: the pack, in it the block, in that the item. What a state as a whole
 * says of it is for state_lookup.c, and its contents are for state_contents.h. Any thread, several at once.
 */
#ifndef PS_STATE_PLACE_H
#define PS_STATE_PLACE_H

#include "multistore/pack_loader.h"

/* An object, and where it is. All of it stands in the manifest and in what is held: neither may go before it
 * is left. */
struct ps_state_place {
	struct ps_cut_object object;
	const struct ps_push_manifest *m;
	const struct ps_push_manifest_state *state;
	uint32_t run_number; /* among the state's */
	const struct ps_push_manifest_run *run;
	const struct ps_push_manifest_pack *packs; /* of the run */
	uint32_t pack;                             /* in which it begins */
	struct ps_cached *index, *block;           /* held */
	const struct ps_pack_block_item *item;
};

/* How far it goes to find something. */
enum ps_state_reach {
	PS_STATE_FETCH,  /* what is not there is fetched */
	PS_STATE_CACHED, /* PS_STATE_AWAY */
};
enum { PS_STATE_AWAY = 100 }; /* no error of the library's, and without a sentence */

/* What a run of m's state s has of the slot of id, whatever id it is that has it; run_number counts the
 * state's runs, the oldest first. The caller leaves the place. PS_ENOTFOUND, without a sentence: nothing;
 * PS_STATE_AWAY; or what ps_pack_load_index fails with. With an error nothing is held, and *p is of no use.
 */
PS_CHECKED int ps_state_place_find(struct ps_pack_loader *l, const struct ps_push_manifest *m,
                                   const struct ps_push_manifest_state *s, uint32_t run_number, ps_id id,
                                   enum ps_state_reach reach, struct ps_state_place *p);

/* Lets go of what is held; of a place that was left, or that holds nothing, too. */
void ps_state_place_leave(struct ps_pack_loader *l, struct ps_state_place *p);

#endif
