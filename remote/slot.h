/* Slots: pads whose place follows from the store, an epoch and a number, so that whoever has the key finds
 * them without an index, and of two that write one only one does. A slot is created where there is none and
 * never written again: what is read there once is what everybody reads there for ever, until it is removed,
 * and removed only when it counts no more.
 *
 * For layers, not for applications. Any thread; several calls at the same time. progress may be NULL; other
 * than 0 from it ends the call with PS_ECANCELED within a second. Errors without a line of their own:
 * PS_ENOMEM, and what the network does: PS_EUNAVAILABLE, PS_EACCES, PS_ENOSPC. */
#ifndef PS_REMOTE_SLOT_H
#define PS_REMOTE_SLOT_H

#include <padstone/remote.h>

#include "remote/network.h"

/* Anybody who can list the network sees what kind a slot is, its epoch and its number. */
enum ps_remote_slot_kind {
	PS_SLOT_LOG = 1, /* contents that are read as long as they are at or above the floor */
	PS_SLOT_FENCE    /* stands for ever: behind it nobody writes slots of this epoch */
};

enum { PS_SLOT_HASH = 32, PS_SLOT_BATCH = 64 };

/* Both from 1; a number is below 2^63. */
struct ps_remote_slot_at {
	uint64_t epoch, n;
};

struct ps_remote_slot {
	enum ps_remote_slot_kind kind;
	uint32_t len; /* of its contents */
	uint8_t
	    hash[PS_SLOT_HASH]; /* of its signed header: names these contents at this place, and no others */
};

/* Contents of one slot, at most. */
size_t ps_remote_slot_most(const ps_remote *r);

/* The name of a slot's pad, for those who only read: they cannot derive it. PS_EREADONLY: nor can this key.
 */
PS_CHECKED int ps_remote_slot_name(ps_remote *r, const struct ps_remote_slot_at *at,
                                   struct ps_pad_name *name);

/* One request, if nothing goes wrong; an outcome that is not known is settled by looking, and the same bytes
 * are sent again if nothing is there. PS_OK: these contents are there; *slot tells of them. PS_EEXIST:
 * another slot is there, to be read; nothing was written. PS_EUNAVAILABLE, PS_ECANCELED: they may be there,
 * now or later. PS_ERANGE: more than ps_remote_slot_most, or no such place. PS_EREADONLY. */
PS_CHECKED int ps_remote_slot_create(ps_remote *r, const struct ps_remote_slot_at *at,
                                     enum ps_remote_slot_kind kind, const void *contents, size_t len,
                                     ps_remote_progress_fn progress, void *arg, struct ps_remote_slot *slot);

/* name: where the key only reads; else NULL. PS_ENOTFOUND: nothing is there. PS_ERANGE: more than cap bytes;
 * slot->len tells how many. PS_EAUTH: what is there is no slot of this store, or of another place. */
PS_CHECKED int ps_remote_slot_read(ps_remote *r, const struct ps_remote_slot_at *at,
                                   const struct ps_pad_name *name, void *buf, size_t cap,
                                   ps_remote_progress_fn progress, void *arg, struct ps_remote_slot *slot);

/* Slots of an epoch from `from` up to before `end` are gone; it does not matter which of them there were, but
 * where none of 64 in a row is there it ends. Nobody may be writing there, nor write there ever again.
 * PS_SLOT_END: all that there are, but for fences; before a smaller end there are none. They go by ascending
 * batches of PS_SLOT_BATCH: where this is cut off, what is left has holes in the lowest batch only. */
#define PS_SLOT_END UINT64_MAX
PS_CHECKED int ps_remote_slot_remove(ps_remote *r, const struct ps_remote_slot_at *from, uint64_t end,
                                     ps_remote_progress_fn progress, void *arg);

/* For checks. The first one that is there of PS_SLOT_BATCH slots from `at` on; *n 0: none is. All are looked
 * at at the same time. PS_EREADONLY: a key that only reads cannot tell their names. */
PS_CHECKED int ps_remote_slot_behind(ps_remote *r, const struct ps_remote_slot_at *at,
                                     ps_remote_progress_fn progress, void *arg, uint64_t *n);
/* PS_ECORRUPT: the local index has the pad of a slot from from->n to before `end` as a pad of something else.
 * Asks no network. */
PS_CHECKED int ps_remote_slot_apart(ps_remote *r, const struct ps_remote_slot_at *from, uint64_t end);

/* ---- which of them count: what the layer that writes them knows, and this one does not ---- */

/* Of epoch from.epoch those from number from.n on, of later epochs up to `last` all; and fences always. */
struct ps_remote_slots {
	struct ps_remote_slot_at from;
	uint64_t last;
};

struct ps_remote_copy;
struct ps_remote_copy_result;
/* As ps_remote_copy, and behind the head the slots that count, up to the first of each epoch that is not
 * there. slots: how many these were (may be NULL). A key that only reads copies none. PS_EAUTH: one is no
 * slot of this store. After a failure the copy has those before. */
PS_CHECKED int ps_remote_copy_slots(ps_remote *r, const char *url, const struct ps_remote_copy *options,
                                    const struct ps_remote_slots *which, struct ps_remote_copy_result *result,
                                    uint64_t *slots);
/* As ps_remote_gc; slots of role log below those that count are leftovers, too. That they are below has to
 * hold for ever: a later head may have more of them there, never fewer. NULL: no slot is one. */
PS_CHECKED int ps_remote_gc_slots(ps_remote *r, const struct ps_remote_gc *options,
                                  const struct ps_remote_slots *which, struct ps_remote_gc_result *result);

#endif
