/* What one push is while it runs. Its order of writes: multistore/PADS.md. */
#ifndef PS_PUSH_INTERNAL_H
#define PS_PUSH_INTERNAL_H

#include <stdatomic.h>

#include <padstone/push.h>

#include "multistore/log.h"
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
	struct ps_push_hold hold; /* of what it publishes; the mark is its own */
	bool looked;              /* the network's head was asked for, before anything is sent */
	bool ended; /* the note has attempts, but the last one has ended: it is the newest state */
	bool sweep; /* there may be packs that no manifest ever named */

	struct ps_log *log;        /* the store's; NULL */
	struct ps_log_place place; /* where it goes on behind the cut */

	struct ps_cut *cut;
	struct ps_cut_info info;
	uint8_t mark[PS_PACK_MARK];
	uint64_t since;
	uint64_t changed; /* what was changed behind the newest state weighs, where that was counted */
	uint32_t keep;    /* runs of the newest state that stay */
	struct ps_push_manifest_run run;
	struct ps_push_manifest_pack *packs; /* the run's */
	size_t pack_capacity;

	struct left_pack *left; /* that may be taken over, by slots; those that go on within an object behind
	                           those that it is in before */
	uint32_t left_count, left_next;
	size_t left_capacity;

	uint64_t sent_before; /* by the remote, since it was opened */
	/* For the progress: contents that are in packs, of them in packs that were taken over; all that there
	 * are; bytes of packs that senders were given, as many of them as are whole blocks, and the contents
	 * of those; bytes that the network has confirmed. */
	uint64_t done, taken, total, given, in_blocks, of_blocks;
	atomic_ullong arrived;
	uint64_t shown; /* never less than was told before */
};

/* Shows how far it is: PS_ECANCELED. */
PS_CHECKED int push_show(struct push *p);
/* The same as a progress function of remote, for p. */
int push_canceled(void *p, const struct ps_remote_progress *progress);
/* An error that time does not heal: nothing is tried again until a caller has seen to it. */
bool push_is_final(int err);

/* What all layers of a stack stand on: one store, whichever of them it is asked through. */
static inline const ps_storer *push_innermost(const ps_storer *s)
{
	while (s->inner)
		s = s->inner;
	return s;
}

/* Closes a store that something failed with: err, and its sentence stays (clone.c). */
PS_CHECKED int push_close_failed(ps_storer *s, int err);

/* ps_clone, and the manifest that it read: into an empty one, or NULL; it stays empty where there is no
 * memory for it (clone.c). path NULL: into an empty file that the options' base has a descriptor of. */
PS_CHECKED int push_clone(ps_remote *r, const char *path, const struct ps_clone_options *options,
                          struct ps_clone_result *result, struct ps_push_manifest *manifest);

/* ---- the manifest (push_manifest.c) ---- */

/* The value as it is in the remote's index. PS_ENOTFOUND: there is none. */
PS_CHECKED int push_read_manifest(ps_remote *r, const char *key, struct ps_push_manifest *m);
/* A manifest that an earlier push has put, and that is not on the network, goes there. No request
 * otherwise. */
PS_CHECKED int push_settle(struct push *p);
/* Takes what others have changed: *news: something, so the manifest is to be read again. */
PS_CHECKED int push_look(struct push *p, bool *news);
/* The manifest into p->old. */
PS_CHECKED int push_read(struct push *p);
/* When the manifest that the network has was changed; 0: there is none. Which of two manifests it is decides
 * nothing but whether to read it. */
uint64_t push_manifest_time(ps_remote *r);
/* PS_EFORK: the newest state is not this file's. */
PS_CHECKED int push_judge(struct push *p);
/* The bytes of the manifest that this push has put (push_known.c). */
void push_remember(const struct push *p, const uint8_t *bytes, size_t len);
/* What was remembered of the push before this one. */
bool push_recall(const struct push *p, struct ps_push_manifest *m);
/* Puts p->next in its place and brings it to the network. PS_EFORK: another was there first, and stays. */
PS_CHECKED int push_publish(struct push *p);
PS_CHECKED int push_sync(struct push *p, struct ps_remote_sync_result *result);

/* ---- the log (push_log.c) ---- */

/* Before the cut: where the log goes on, into p->place. PS_EFORK: this file is older than its own log; and as
 * ps_log_at_push. */
PS_CHECKED int push_place_log(struct push *p);
/* p->next is confirmed: the log behind the state before it counts no more, and leaves the network. Where that
 * fails the next push has to sweep. */
PS_CHECKED int push_log_published(struct push *p);
/* What an earlier push has left of the log before p->old's. */
PS_CHECKED int push_log_sweep(struct push *p);
/* ---- who may push (push_hold.c) ---- */

/* Why this file may not push, where m is there: PS_EHELD, PS_EFENCED, PS_EFORK. */
PS_CHECKED int push_refuse(const struct push *p, const struct ps_push_manifest *m);
/* It is the last that this file has seen, or one of its attempts. */
bool push_knows(const struct push *p, const struct ps_push_manifest *m);
/* The manifest names this file as its holder. */
bool push_holds(const struct push *p, const struct ps_push_manifest *m);
/* A new line of states begins, with p->hold. */
PS_CHECKED int push_hold_begin(struct push *p);
/* What a takeover has still to do behind its swap, if it was cut off there: from then on the file is the
 * holder. PS_EFENCED: another one has taken over meanwhile. PS_EFORK: the log has what the file has not. */
PS_CHECKED int push_hold_finish(struct push *p, const struct ps_push_manifest *m);
/* The hold for p's file; or for one that is still to be made (p->s NULL), of what p->next has then. PS_EHELD,
 * PS_EFENCED: another was faster. PS_EFORK: the file is not at the newest state. */
PS_CHECKED int push_take_over(struct push *p);
PS_CHECKED int push_take_hold(struct push *p);
/* At random, and never all zeros. */
PS_CHECKED int push_draw(uint8_t *bytes, size_t len);

/* ---- packs (push_packs.c) ---- */

/* Sends what was changed, as packs, which are all confirmed when it returns. */
PS_CHECKED int push_send(struct push *p);
PS_CHECKED int push_add_pack(struct push *p, const struct ps_pack_tail *tail, uint64_t bytes);

/* ---- what is left over (push_left.c) ---- */

/* Finds packs of earlier attempts that are whole, and since when they are: *since is untouched if there are
 * none. */
PS_CHECKED int push_find_left(struct push *p, uint64_t *since, bool *found);
/* Leaves of them those that are as the cut has it. */
PS_CHECKED int push_choose_left(struct push *p);
/* The next of them begin at this object or before it. */
bool push_left_begins(const struct push *p, ps_id id);
/* The next of them, with those that go on with the same objects, go into the run. *last: the last of them. */
PS_CHECKED int push_take_left(struct push *p, const struct ps_pack_tail **last);
/* Removes the packs that the manifest `now` does not name; only_ours: of this file's attempts. */
PS_CHECKED int push_remove_packs(struct push *p, const struct ps_push_manifest *now, bool only_ours);

#endif
