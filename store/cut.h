/* Cuts: the store as it was at one commit, while others go on, and what has changed since an earlier one; and the way back: a store
 * filled from cuts. For layers, not for applications.
 *
 * Every change carries the number of the interval that it was made in. A cut ends an interval: what was changed before carries at most
 * its number, what comes after carries more, also over crashes. So "changed since an earlier cut" is "carries more than that cut's
 * number", and needs no list of its own. Moving contents (compaction) is no change. */
#ifndef PS_CUT_H
#define PS_CUT_H

#include "store/storer_impl.h"

struct ps_base_options;
struct ps_cut;
struct ps_restore;

/* An earlier cut of the same store, or of the one that it was restored from, as ps_cut_info told it; all zeros: before everything. With
 * checkpoint 0 what has changed is the same, but all of the table is read to find it. */
struct ps_cut_from {
	uint64_t interval, checkpoint;
};

struct ps_cut_info {
	struct ps_cut_from here;      /* for a later cut */
	uint64_t commit;              /* the last one in it */
	uint64_t objects, live_bytes; /* of the whole store */
	uint64_t slots, crashes;      /* what ids of the future depend on */
};

enum ps_cut_kind {
	PS_CUT_GONE = 1,  /* the id's slot has no object; `id` has the last generation that it gave out */
	PS_CUT_ZERO = 2,  /* `size` zero bytes that were never written */
	PS_CUT_BYTES = 3, /* up to 64 KiB: one piece */
	PS_CUT_CHUNKS = 4, /* pieces of 64 KiB at multiples of it, the last one shorter; those left out are zeros */
	PS_CUT_PATCH = 6  /* what a layer makes of CHUNKS: only what ps_cut_changed_pieces gives of it, over what the earlier cut had */
};
static inline bool ps_cut_has_pieces(enum ps_cut_kind kind)
{
	return kind == PS_CUT_CHUNKS || kind == PS_CUT_PATCH;
}
enum { PS_CUT_PIECE = 65536 };

struct ps_cut_object {
	ps_id id;
	enum ps_cut_kind kind;
	uint64_t size;
	uint64_t interval; /* of the change */
	uint64_t crashes;  /* GONE: what the store's count was then */
};

/* A cut of s, which may be a stack. All that was committed before is in it, and durable. Two at a time, backups included: a third is
 * PS_EBUSY. They do not touch each other.
 * Holds back what is freed after it, as far as it is still to give it, up to the store's pin_limit: beyond that every later call on the cut is PS_ENOSPC.
 * PS_ENOTSUP: a store that cannot be cut. PS_EINVAL: `from` is of the future. PS_EREADONLY; PS_EFULL: 2^32 - 3 intervals have ended.
 * A cut is for one thread at a time, and keeps its store from being closed (PS_EBUSY). */
PS_CHECKED int ps_cut_begin(ps_storer *s, const struct ps_cut_from *from, struct ps_cut **cut, struct ps_cut_info *info);
/* The interval that changes are made in now: those of all cuts so far are less. */
PS_CHECKED int ps_cut_interval(ps_storer *s, uint64_t *interval);
/* The next object, in the order of slots, that was changed after `from`. PS_ENOTFOUND: there are no more. PS_ECORRUPT, PS_EIO: part of the
 * table cannot be read; it is tried again by the next call, and passed over only by ps_cut_skip. */
PS_CHECKED int ps_cut_next(struct ps_cut *cut, struct ps_cut_object *object);
/* Pieces of the object that ps_cut_next gave last, in order, none of GONE and ZERO; data is valid during the call. Other than PS_OK from fn ends
 * it with that. PS_ECORRUPT, PS_EIO: some of it cannot be read; what fn got before is right. fn may call the store. */
typedef int (*ps_cut_piece_fn)(void *arg, uint64_t offset, const void *data, size_t len);
PS_CHECKED int ps_cut_pieces(struct ps_cut *cut, ps_cut_piece_fn fn, void *arg);
/* Of the object that ps_cut_next gave last, which is CHUNKS: what of it was changed after `from`, without reading contents. partial: some of it
 * was not; then the object was in the earlier cut, of the same kind. */
struct ps_cut_change {
	bool partial;
	uint64_t bytes; /* of pieces that were changed */
};
PS_CHECKED int ps_cut_changed(struct ps_cut *cut, struct ps_cut_change *change);
/* As ps_cut_pieces, but only what was changed. data NULL: len bytes of zeros, of one piece or more, whatever was there. The rest is as it was
 * at `from`, up to the new size; where a piece was shorter there, it goes on with zeros. */
PS_CHECKED int ps_cut_changed_pieces(struct ps_cut *cut, ps_cut_piece_fn fn, void *arg);
/* Whether nothing from slot to slot, both included, was changed after `interval`. Looks at the store as it is now: true is certain of the
 * cut, false may be due to later changes. */
PS_CHECKED int ps_cut_unchanged(struct ps_cut *cut, ps_id first, ps_id last, uint64_t interval, bool *unchanged);
/* Goes on behind this id's slot. Never back. */
void ps_cut_skip(struct ps_cut *cut, ps_id last);
void ps_cut_end(struct ps_cut *cut);

/* Makes a store for a restore in a new file, whose name is not its own yet: nothing that happens to it is durable, whatever a call says, before
 * ps_close returns PS_OK; then all of it is, by one flush. What a crash leaves under that name is to be deleted. As ps_base_open with
 * PS_OPEN_CREATE_NEW. */
PS_CHECKED int ps_restore_open(const char *temporary, const struct ps_base_options *options, ps_storer **s);
/* Fills a store that has no object and never had one: objects in the order of slots, each id once. What readers see before the end is a
 * part of it; nobody else can write (PS_EREADONLY), and a restore that was aborted, failed or cut off leaves it so for ever: a file to be
 * deleted. PS_EEXIST: there are objects. PS_EBUSY: another restore. Ids that the store gives later continue those of the source. */
PS_CHECKED int ps_restore_begin(ps_storer *s, struct ps_restore **r);
/* About so many bytes of contents will come: the file grows to that in few steps, for at each of them it waits for what is being written.
 * What is too much is cut off at the end; where there is no room for so much it is of no meaning. */
void ps_restore_expect(struct ps_restore *r, uint64_t bytes);
/* bytes: of PS_CUT_BYTES, else NULL. PS_EINVAL: not in order, or what no cut gives. */
PS_CHECKED int ps_restore_object(struct ps_restore *r, const struct ps_cut_object *object, const void *bytes);
/* Of the last object, which is PS_CUT_CHUNKS; in order. */
PS_CHECKED int ps_restore_piece(struct ps_restore *r, uint64_t offset, const void *data, size_t len);
/* Right behind the beginning: what is not restored is unknown here, and asked of the backing (backing.h) when it
 * is first touched; an open without a backing knows what was restored, and what was touched before. */
struct ps_restore_rest {
	uint64_t interval; /* at whose end the backing is to say what slots had; not behind that of the info */
	uint64_t slots;    /* of the info, at least */
};
PS_CHECKED int ps_restore_rest(struct ps_restore *r, const struct ps_restore_rest *rest);
/* All of it is durable, and the store is at `info`: `info->here` can be what a later cut of it is from. PS_EINVAL: what came cannot be of such a
 * store. Ends the session, whatever the result. */
PS_CHECKED int ps_restore_finish(struct ps_restore *r, const struct ps_cut_info *info);
void ps_restore_abort(struct ps_restore *r);

/* A few bytes of the layer's own in the store's file, which no object holds: durable when ps_note_set returns, whole or as they were after
 * a crash. Not copied by a backup. ps_note_get: PS_ENOTFOUND if there is none; PS_ERANGE. PS_ECORRUPT: both copies are damaged. */
enum { PS_NOTE_MAX = 448 };
PS_CHECKED int ps_note_set(ps_storer *s, const void *note, size_t len);
PS_CHECKED int ps_note_get(ps_storer *s, void *buf, size_t cap, size_t *len);

/* Hears of every commit that changes something, when it is ordered and in that order: its number, and the bytes of contents that it brought.
 * Called under the store's lock: does next to nothing, and calls no store. */
struct ps_commit_watch {
	void (*committed)(void *arg, uint64_t commit, uint64_t bytes);
	/* A commit, or with a sync all up to it, is durable in the file as its caller asked for: in that thread, under no lock of this
	 * store's. What the call has to wait for besides it says with ps_await (await.h). NULL: nothing. */
	void (*durable)(void *arg, uint64_t commit);
	void *arg;
};
/* watch outlives the store, or is taken away with NULL: from then on it is not called. PS_EBUSY: there is another. */
PS_CHECKED int ps_watch_commits(ps_storer *s, const struct ps_commit_watch *watch);

/* The store below all layers of s that the calls above work on: s itself, where it is one. PS_ENOTSUP: there is none. */
PS_CHECKED int ps_cut_store(ps_storer *s, ps_storer **below);

#endif
