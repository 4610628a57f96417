/* What one push is while it runs. Its order of writes: multistore/PADS.md. */
#ifndef PS_PUSH_INTERNAL_H
#define PS_PUSH_INTERNAL_H

#include <padstone/push.h>

#include "multistore/manifest.h"
#include "multistore/push_note.h"

/* A pack that a push has left which did not end. */
struct left_pack {
	struct ps_pack_tail tail;
	uint64_t bytes;
};

struct push {
	ps_storer *s;
	ps_remote *r;
	struct ps_memory memory;
	struct ps_push_options options; /* with defaults filled in */
	struct ps_push_result result;
	struct ps_push_note note;
	struct ps_push_manifest old, next;
	bool looked; /* the network's head was asked for */
	bool sweep;  /* there may be packs that no manifest ever named */

	struct ps_cut *cut;
	struct ps_cut_info info;
	uint8_t mark[PS_PACK_MARK];
	uint64_t since;
	uint32_t keep; /* runs of the newest state that stay */
	struct ps_push_manifest_run run;
	struct ps_push_manifest_pack *packs; /* the run's */
	uint32_t pack_capacity;

	struct left_pack *left; /* that may be taken over, by slots; none overlaps another */
	uint32_t left_count, left_capacity, left_next;

	uint64_t done, total; /* for the progress */
};

/* Shows how far it is: PS_ECANCELED. */
PS_CHECKED int push_show(struct push *p);

/* ---- the manifest (push_manifest.c) ---- */

/* The value as it is in the remote's index. PS_ENOTFOUND: there is none. */
PS_CHECKED int push_read_manifest(ps_remote *r, const char *key, struct ps_push_manifest *m);
/* Takes what the network has, and sends what an earlier push has left. */
PS_CHECKED int push_look(struct push *p);
/* The manifest into p->old. */
PS_CHECKED int push_read(struct push *p);
/* When the manifest that the network has was changed; 0: there is none. Which of two manifests it is decides
 * nothing but whether to read it. */
uint64_t push_manifest_time(ps_remote *r);
/* PS_EFORK: the newest state is not this file's. */
PS_CHECKED int push_judge(struct push *p);
/* Puts p->next in its place and brings it to the network. PS_EFORK: another was there first, and stays. */
PS_CHECKED int push_publish(struct push *p);
PS_CHECKED int push_sync(struct push *p, struct ps_remote_sync_result *result);

/* ---- packs (push_packs.c) ---- */

/* Sends what was changed, as packs, which are all confirmed when it returns. */
PS_CHECKED int push_send(struct push *p);
PS_CHECKED int push_add_pack(struct push *p, const struct ps_push_manifest_pack *pack);

/* ---- what is left over (push_left.c) ---- */

/* Finds packs of earlier attempts that are whole, and since when they are: *since is untouched if there are
 * none. */
PS_CHECKED int push_find_left(struct push *p, uint64_t *since, bool *found);
/* Leaves of them those that are as the cut has it. */
PS_CHECKED int push_choose_left(struct push *p);
/* Those that begin at this object or before it, if any: they go into the run, and the cut goes on behind
 * them. */
PS_CHECKED int push_take_left(struct push *p, ps_id id, bool *taken);
/* Removes the packs that the manifest `now` does not name; only_ours: of this file's attempts. */
PS_CHECKED int push_remove_packs(struct push *p, const struct ps_push_manifest *now, bool only_ours);

#endif
