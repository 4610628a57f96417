/* The three-way merge: what becomes of a record here when the network's head brings another one of the same
 * name. Ours has its base (the version at the last sync) and says if it was changed since (dirty); theirs
 * says its version.
 *
 * | ours changed | theirs changed | then |
 * |---|---|---|
 * | no | yes | theirs |
 * | yes | no | ours |
 * | yes, and it yields | yes | theirs |
 * | yes | yes, both with contents | the later (counter, machine) keeps the name, the other becomes a conflict
 * copy | | yes | yes, with the same contents | theirs | | removed | changed | the change stays | | removed |
 * removed | removed |
 *
 * What was sent and not heard of is settled or unsent before (ps_record_settle, ps_record_unsend): whether
 * the head with it became history is told by the pairs of the head that is there. PS_EBUSY otherwise.
 *
 * All records are of the context's memory.
 *
 * Who changed a blob frees the pads of the version before: so what theirs replaced is not freed here, and
 * what ours replaced is let go only by ps_record_settle. Only what the heads of a machine that was alone had
 * is let go by that machine when it hears of the change: until then it may have them in what it has not sent
 * (`kept`). An update in progress goes on, upon what the merge leaves. */
#ifndef PS_MERGE_H
#define PS_MERGE_H

#include "remote/local_index.h"
#include "remote/record.h"

enum ps_merge_decision {
	PS_MERGE_NOTHING,          /* theirs is not new */
	PS_MERGE_ADOPT,            /* theirs */
	PS_MERGE_ADOPT_REMOVAL,    /* theirs, a tombstone */
	PS_MERGE_SETTLED,          /* theirs is what was sent from here */
	PS_MERGE_KEEP_OVER_REMOVE, /* ours, in spite of their tombstone */
	PS_MERGE_THEIRS_AND_COPY,  /* theirs keeps the name, ours becomes the copy */
	PS_MERGE_OURS_AND_COPY,    /* ours keeps the name, theirs becomes the copy */
	PS_MERGE_VANISH,           /* no record at all any more */
};

struct ps_merge_context {
	struct ps_memory *memory;
	uint8_t machine[PS_MACHINE]; /* who merges */
	uint64_t time_ns;
	uint64_t kept, left; /* ps_head_kept, ps_head_left of the head that is merged */
	void *arg;
	/* A machine's name for people; NULL: unknown. */
	const char *(*machine_name)(void *arg, const uint8_t machine[PS_MACHINE]);
	/* Whether there is anything under this name: here, or in what is being merged. */
	int (*exists)(void *arg, const char *name, size_t name_len, bool *exists);
};

/* What is to be written in one transaction. */
struct ps_merge_result {
	enum ps_merge_decision decision;
	bool put, has_copy;
	struct ps_record record; /* under the name; if put */
	struct ps_record copy;   /* if has_copy: dirty, to be sent with the next sync */
	struct ps_slots let_go;  /* pads of ours that nothing names any more */
};

/* mine NULL: there is none. Neither is changed. */
int ps_merge_record(const struct ps_merge_context *context, const struct ps_record *mine,
                    const struct ps_record *theirs, struct ps_merge_result *result)
    __attribute__((warn_unused_result));
/* What becomes of a record here that the whole of the network's index does not have, when its last sync was
 * before the head's horizon: a tombstone for it may have been there and gone. */
int ps_merge_absent(const struct ps_merge_context *context, const struct ps_record *mine,
                    struct ps_merge_result *result) __attribute__((warn_unused_result));
/* Before anything else of a newer head is merged: what becomes of a record with an origin_len (a copy of
 * another machine's contents that no head has yet), if the newer head has another record of its origin's
 * name, or none any more. Whoever changed that had seen the contents and freed their pads: the copy vanishes,
 * or loses what it still held of them. */
int ps_merge_borrowed(const struct ps_merge_context *context, const struct ps_record *copy,
                      struct ps_merge_result *result) __attribute__((warn_unused_result));
/* As steps of a transaction. `name`: of the record that was merged. */
int ps_merge_apply(const struct ps_merge_result *result, const char *name, size_t name_len, ps_index_txn *txn)
    __attribute__((warn_unused_result));
void ps_merge_result_done(struct ps_merge_result *result, struct ps_memory *memory);

/* "NAME (conflict MACHINE N)", cut within NAME where it would be too long, with " 2", " 3" and so on behind
 * it while there is one. */
int ps_conflict_name(const struct ps_merge_context *context, const struct ps_record *loser,
                     char name[PS_RECORD_NAME_MAX + 1], size_t *name_len) __attribute__((warn_unused_result));

#endif
