/* Contents that are kept elsewhere as well: they may leave the store's file, and come back when they are
 * touched. For layers, as cut.h; this store knows neither a network nor what the contents are fetched from.
 *
 * An object that leaves keeps its id, size, generation, interval and checksum: leaving and coming back is no
 * change of it, and no cut gives it for that. Every call works on what is away as on what is here; it is
 * fetched, compared with its own checksum, used, and put back into the file if there is room. What came from
 * elsewhere and does not match is PS_ECORRUPT, never data. Maps of large objects stay here; their contents
 * come and go in pieces of 64 KiB. */
#ifndef PS_BACKING_H
#define PS_BACKING_H

#include "store/cut.h"

/* Of a slot: its object as ps_cut_next would have given it (PATCH excluded), with the bytes of PS_CUT_BYTES,
 * else NULL; object NULL: it was never used. Other than PS_OK ends the telling: that is no failure of it if
 * it is above 0, and else its result. */
typedef int (*ps_backing_told_fn)(void *arg, uint64_t slot, const struct ps_cut_object *object,
                                  const void *bytes);

/* What is about to be fetched, or told (len 0, the id that of the slot with generation 0). */
struct ps_backing_want {
	ps_id id;
	uint64_t interval, offset;
	size_t len;
};

struct ps_backing {
	void *arg;
	/* Fills buf with bytes offset to offset + len of the contents that id had at the end of `interval`;
	 * within the object's size then. `interval` is that of the object's last change; where that is not
	 * confirmed yet but parts of the object are away, it is the last confirmed one: parts that are away
	 * are as they were then. `exact`: the store has no checksum of them yet, so nothing but what was there
	 * then will do; else what may be another version is compared. Any thread, several at once, called under no lock of the store; may call the
	 * store, but neither detach nor close it. May block: only the call that wants the bytes waits. Errors
	 * (PS_EUNAVAILABLE, PS_ECORRUPT, PS_ELOST, ...) reach that call, with their sentence. */
	int (*fetch)(void *arg, ps_id id, uint64_t interval, bool exact, uint64_t offset, void *buf, size_t len);
	/* May be NULL. A damaged copy in the file was replaced by one that was fetched. Likewise under no
	 * lock. */
	void (*healed)(void *arg, ps_id id);
	/* May be NULL, in a store where nothing is unknown (ps_restore_rest). Tells of this slot, and then of
	 * those behind it, one by one, below `end`, as long as that costs nothing more: what they had at the
	 * end of `interval`. Called as fetch is. */
	int (*tell)(void *arg, uint64_t slot, uint64_t end, uint64_t interval, ps_backing_told_fn fn,
	            void *fn_arg);
	/* May be NULL. These will be fetched, or told, one after another: what is far may be fetched at once,
	 * and kept until then. How many of them, from the first on, that was begun for, at least one: before
	 * those behind are asked for it is called again. No failure: that is the fetch's. Called as fetch
	 * is. */
	size_t (*want)(void *arg, const struct ps_backing_want *wants, size_t count);
};

/* s may be a stack (ps_cut_store), as in all calls below. The struct is copied. NULL detaches: waits until no
 * fetch is under way, and what is away is PS_EUNAVAILABLE from then on. Another backing in place of one waits
 * likewise. PS_ENOTSUP: no base store below. */
PS_CHECKED int ps_backing_attach(ps_storer *s, const struct ps_backing *backing);
/* What was last changed in an interval up to this one can be fetched from now on, whatever becomes of this
 * machine: so it may leave, and what is damaged in the file heals. Never back: a lower number changes
 * nothing. Not kept over a close: to be said again after each open, before the first call that fetches.
 * PS_EINVAL: the interval has not ended. */
PS_CHECKED int ps_backing_confirm(ps_storer *s, uint64_t interval);
/* Contents leave, by least recent use (of the objects whose entries share a table page), until contents and
 * maps take at most `goal` bytes of the file, or nothing more may leave: only what is confirmed may. They
 * have left for good when a later flush or sync has made that durable, and after that their space is free as
 * any other; a crash before leaves them here. fn may be NULL; non-zero from it ends the call with
 * PS_ECANCELED. *freed (may be NULL, set also on errors): bytes of the file that were given up. Others go on
 * meanwhile. PS_EBUSY: another one is under way, or a cut or a backup, which holds what would be freed;
 * PS_EUNAVAILABLE: no backing is attached; PS_EREADONLY. */
PS_CHECKED int ps_backing_evict(ps_storer *s, uint64_t goal, ps_progress_fn fn, void *arg, uint64_t *freed);

/* At whose end what is unknown here was as it is (ps_restore_rest); 0: nothing is. A cut from before that asks for all of it. */
PS_CHECKED int ps_backing_unknown(ps_storer *s, uint64_t *interval);

/* Objects count where all of their contents are: those that are away in part are in both. Bytes are the
 * objects', without what the file rounds them up to; zeros that were never written count nowhere. */
struct ps_backing_figures {
	uint64_t local_objects, local_bytes;
	uint64_t away_objects, away_bytes;
	uint64_t unknown_objects, unknown_bytes; /* that nobody has asked for yet: in none of the others */
	uint64_t dirty_objects,
	    dirty_bytes; /* last changed in an interval that is not confirmed; the whole objects' bytes */
	uint64_t fetches, fetched_bytes; /* since the open */
	uint64_t healed;                 /* damaged copies that were replaced, since the open */
};
/* Reads the whole table, and maps that have parts away. PS_ECORRUPT, PS_EIO: some of that cannot be read. */
PS_CHECKED int ps_backing_figures(ps_storer *s, struct ps_backing_figures *figures);

/* The same by route: 0 is the root, the others are the file's classes. Bytes that are in the file are in one
 * of the first two. */
struct ps_backing_route {
	uint64_t both_bytes;               /* of objects that are confirmed: they may leave */
	uint64_t dirty_bytes;              /* of the others */
	uint64_t away_objects, away_bytes; /* where they would lie */
};
/* Fills routes[0] to routes[count - 1], zeros behind the last class. */
PS_CHECKED int ps_backing_routes(ps_storer *s, struct ps_backing_route *routes, size_t count);
/* Tells of all objects that have contents away, by slot, and asks for what is unknown; what is changed meanwhile may be told or not. fn may
 * call the store; other than 0 from it is PS_ECANCELED. */
PS_CHECKED int ps_backing_each_away(ps_storer *s, ps_each_fn fn, void *arg);

#endif
