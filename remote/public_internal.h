/* Public values inside: what a put of a public key does beyond a put, and what an address has shown here.
 *
 * An index pad is written in place, by compare-and-swap, so what is sent is kept to the byte before (the
 * intent), with what is to follow once it is there. An intent is carried out by the call that made it, or by
 * the next one on its key. It stands in a note of the index; who changes the note has the turn meanwhile, for
 * the moment of a commit. */
#ifndef PS_PUBLIC_INTERNAL_H
#define PS_PUBLIC_INTERNAL_H

#include "remote/fetch.h"
#include "remote/manager_internal.h"

struct put;

enum public_then {
	PUBLIC_THEN_SWITCH = 1,  /* next becomes current */
	PUBLIC_THEN_PRIVATE = 2, /* the same; the address has ended */
	PUBLIC_THEN_REMOVE = 3,  /* the key goes; the address has ended */
	PUBLIC_THEN_NOTHING = 4, /* what is current is shown again */
};

struct public_intent {
	enum public_then then;
	struct ps_pad_identity expected, identity; /* none: a create; of what is sent */
	/* Where the chunks of the new value are: a place in next, or that of the chunk in current. */
	struct ps_memory *memory;
	uint32_t *places, chunks, used;
	struct ps_net_buffer *record; /* the exact bytes */
};
void public_intent_done(struct public_intent *intent);

/* ---- public_intent.c ---- */

/* The key's; the caller's. PS_ENOTFOUND. */
int public_intent_find(ps_remote *r, const char *key, struct public_intent *intent)
    __attribute__((warn_unused_result));
/* In place of what the key had; NULL: none any more. Whoever calls this has the turn. */
int public_intent_set(ps_remote *r, const char *key, const struct public_intent *intent, ps_index_txn *txn)
    __attribute__((warn_unused_result));
/* The bytes of the note are as this writes them: PS_ECORRUPT. */
int public_intents_check(const uint8_t *bytes, size_t len) __attribute__((warn_unused_result));
void public_turn_take(ps_remote *r, struct ps_busy_key *turn);
void public_turn_give(ps_remote *r, struct ps_busy_key *turn);

/* ---- public_pad.c: an index pad, as it is on the network ---- */

enum { PUBLIC_DESCRIPTION = 8 };
extern const uint8_t public_description[PUBLIC_DESCRIPTION];
struct public_pad {
	bool there;
	struct ps_pad_header header; /* verified: an index pad, with a manifest or a tombstone */
	uint8_t *payload;            /* of header.payload bytes, `len` of which count */
	uint32_t len;
};
/* Fetches and opens. PS_OK also where nothing is there. PS_EAUTH. */
int public_pad_fetch(struct ps_operation *op, const struct ps_pad_name *name, const uint8_t read_key[PS_KEY],
                     struct public_pad *pad) __attribute__((warn_unused_result));
void public_pad_done(ps_remote *r, struct public_pad *pad);

/* ---- public_write.c ---- */

/* What a commit does beside: the intent of the key goes, and where the address has ended, its pad is kept, so
 * that its serial never serves anything else. */
struct public_close {
	ps_remote *r;
	const char *key;
	bool ended;
	struct ps_pad_slot slot;
};
int ps_public_close_in(const struct public_close *close, ps_index_txn *txn)
    __attribute__((warn_unused_result));

/* What the put takes beside the value's pads, if the key is public or becomes so or was: nodes, and the index
 * pad. */
void ps_public_estimate(const struct put *put, struct ps_remote_plan *plan);
/* Of a put whose chunks are all confirmed: nodes of the manifest, where one pad does not hold it, as chunks
 * behind the value's. */
int ps_public_send_nodes(struct put *put) __attribute__((warn_unused_result));
/* Then: what the address shows, and the switch. */
int ps_public_finish(struct put *put) __attribute__((warn_unused_result));
/* Whether the network shows what this machine knows of the address. PS_ESUPERSEDED, PS_EROLLBACK, PS_EFORK,
 * PS_ELOST, PS_EAUTH. `ended` is for those who end the address: where another machine has, its tombstone, and
 * PS_OK. Or NULL. */
int ps_public_look(struct ps_operation *op, const struct ps_record *record, struct ps_pad_identity *ended)
    __attribute__((warn_unused_result));
/* The tombstone of a key that is to be removed; its record has no address any more, and `close` is for the
 * commit that removes it, under the turn. */
int ps_public_end(struct ps_operation *op, struct ps_record *record, struct public_close *close)
    __attribute__((warn_unused_result));
/* The address shows what the record has as current, whatever is there; but for a tombstone: PS_ENOTFOUND. */
int ps_public_show_again(struct ps_operation *op, struct ps_record *record)
    __attribute__((warn_unused_result));

/* ---- public_resume.c ---- */

/* What an interrupted call on the operation's key left: carried out. *resumed: there was something. */
int ps_public_resume(struct ps_operation *op, bool *resumed) __attribute__((warn_unused_result));
/* The intent is sent; what follows from its outcome is durable afterwards. */
int public_carry_out(struct ps_operation *op, struct put *put, struct public_intent *intent)
    __attribute__((warn_unused_result));
/* Before a release: what was never public is not any more. PS_EBUSY: what the address shows is open. */
int ps_public_release(struct ps_record *record, struct ps_slots *let_go) __attribute__((warn_unused_result));
/* A value as the source of a put that has its key to itself: PS_EBUSY if it has another size by then. */
struct ps_own_value {
	ps_remote *r;
	const char *key;
	uint64_t offset, size;
};
int ps_own_value_read(void *arg, void *buf, size_t len, size_t *got); /* a ps_remote_read_fn */
/* For a rename: an update with what the value has, to other pads wherever a head names the old ones; of a
 * public one by compare-and-swap of what the address shows. What such an update left when it was cut goes on;
 * PS_EBUSY: another put of a private value did. */
int ps_blob_write_anew(ps_remote *r, const char *key) __attribute__((warn_unused_result));
/* Before a rename. PS_EBUSY. */
int ps_public_check_rename(ps_remote *r, const char *key) __attribute__((warn_unused_result));
/* The contents of a put that another machine was faster than, under a key of their own. */
int public_keep_copy(struct ps_operation *op, struct put *put, char name[PS_RECORD_NAME_MAX + 1])
    __attribute__((warn_unused_result));

/* ---- blob_remove.c ---- */

/* A tombstone in place of a value whose address has ended, in one commit with `close`. */
int ps_blob_bury(ps_remote *r, struct ps_record *record, const struct public_close *close)
    __attribute__((warn_unused_result));

#endif
