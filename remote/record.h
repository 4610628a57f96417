/* A blob's record: what the index knows of one key. It holds up to four sets of pads:
 *   current  the contents as they are read,
 *   next     a put or update in progress; becomes current by one commit (ps_record_switch),
 *   base     pads of the version at the last sync that current no longer has. The head on the network still
 * names them, so they are nobody's to take until a head without them is confirmed (ps_record_settle). No pad
 * stands in two sets. The keys of a public blob are derived from its index pad's serial: no secret here. */
#ifndef PS_RECORD_H
#define PS_RECORD_H

#include "base/memory.h"
#include "remote/pad_slot.h"

enum {
	PS_RECORD_NAME_MAX = 1024,
	PS_RECORD_SLOTS_MAX = 1 << 22, /* of all sets together: 32 TiB in large pads */
	PS_MACHINE = 16,
};

enum ps_record_kind {
	PS_RECORD_BLOB,   /* a key of the user's: travels */
	PS_RECORD_SYSTEM, /* pads of the index itself, by names of the manager's ("head", "run …"): stays here
	                   */
	PS_RECORD_KINDS
};

enum ps_record_flag {
	PS_RECORD_COMPLETE = 1,  /* every pad of current was confirmed */
	PS_RECORD_PUBLIC = 2,    /* index_pad is there */
	PS_RECORD_TOMBSTONE = 4, /* removed; no current */
	PS_RECORD_DIRTY = 8,     /* changed here since base_version was synced */
	PS_RECORD_SENT = 16,     /* a head with the version `sent` is on its way, and its outcome not known */
	PS_RECORD_UPDATING = 32, /* next is there */
	PS_RECORD_BORROWED = 64, /* a conflict copy whose pads the head still names under its origin's name */
	/* Pads that a head names under one name stand under another here. One head has all of both, or none:
	 * else who takes the store from it finds a pad twice, or the value nowhere. */
	PS_RECORD_GIVEN = 128, /* a head names pads under this name that it does not have any more */
	PS_RECORD_TAKEN = 256, /* it has pads that a head names under another name, or had some */
	PS_RECORD_MOVES = PS_RECORD_GIVEN | PS_RECORD_TAKEN,
	PS_RECORD_YIELDS = 512, /* where another machine has changed it as well theirs stays, without a copy */
	PS_RECORD_ALL_FLAGS = 1023,
};

enum ps_record_set {
	PS_SET_CURRENT,
	PS_SET_NEXT,
	PS_SET_BASE,
	PS_SET_SENT,
	PS_SETS,
	PS_SET_INDEX_PAD = PS_SETS
};

/* Whose change, and which: the later one wins where two changed the same. All zero: none. */
struct ps_version {
	uint64_t counter;
	uint8_t machine[PS_MACHINE];
};

struct ps_content {
	uint64_t size;
	uint8_t hash[32]; /* content_hash.h */
	uint8_t mode, class;
};

struct ps_slots {
	struct ps_pad_slot *slots;
	uint32_t count;
};

struct ps_record {
	struct ps_memory *memory;
	uint8_t kind;
	uint16_t flags, name_len;
	char name[PS_RECORD_NAME_MAX + 1]; /* ends with a NUL that does not count */
	struct ps_content content, next;
	struct ps_version version, base, sent;
	uint64_t published; /* counter of the head that first carried `base`; 0: none did yet */
	uint64_t time_ns;   /* since 1970 */
	/* Of a conflict copy that was made of another machine's contents and that no head has yet: so much of
	 * its name is the name that they had. Their pads are theirs until a head has the copy: if they change
	 * that name first, the pads are gone (ps_merge_borrowed). 0: none. */
	uint16_t origin_len;
	struct ps_pad_slot index_pad;
	struct ps_slots sets[PS_SETS];
};

int ps_version_compare(const struct ps_version *a, const struct ps_version *b);
bool ps_version_none(const struct ps_version *version);
struct ps_version_bytes ps_version_encode(const struct ps_version *version);
struct ps_version ps_version_decode(const struct ps_version_bytes *bytes);
/* Bytewise, a prefix first: the order of lists and runs. */
int ps_name_compare(const char *a, size_t a_len, const char *b, size_t b_len);

/* PS_EINVAL: not 1 to 1,024 bytes, or a NUL among them. */
int ps_record_init(struct ps_record *record, struct ps_memory *memory, unsigned kind, const char *name,
                   size_t name_len) __attribute__((warn_unused_result));
/* What a failed init or decode, or zeroed memory, left is fine. */
void ps_record_done(struct ps_record *record);
/* Each pad that it has, until fn gives an error, which is the result: a public one's index pad, then the sets'. */
typedef int (*ps_record_slot_fn)(void *arg, const struct ps_pad_slot *slot);
int ps_record_each_slot(const struct ps_record *record, ps_record_slot_fn fn, void *arg) __attribute__((warn_unused_result));
int ps_record_copy(struct ps_record *to, const struct ps_record *from) __attribute__((warn_unused_result));
void ps_record_move(struct ps_record *to, struct ps_record *from);
int ps_record_rename(struct ps_record *record, const char *name, size_t name_len)
    __attribute__((warn_unused_result));
/* Copies the slots in place of the set's; count 0 empties it. PS_ENOMEM, PS_ERANGE. */
int ps_record_set_slots(struct ps_record *record, enum ps_record_set set, const struct ps_pad_slot *slots,
                        size_t count) __attribute__((warn_unused_result));
int ps_record_add_slots(struct ps_record *record, enum ps_record_set set, const struct ps_pad_slot *slots,
                        size_t count) __attribute__((warn_unused_result));
int ps_slots_add(struct ps_slots *to, struct ps_memory *memory, const struct ps_pad_slot *slots, size_t count)
    __attribute__((warn_unused_result));
bool ps_slots_confirmed(const struct ps_slots *slots); /* every one of them */
/* PS_OK, or PS_ECORRUPT with a sentence. */
int ps_record_check(const struct ps_record *record) __attribute__((warn_unused_result));
bool ps_record_has_contents(const struct ps_record *record); /* may be read: complete or not */
bool ps_record_is_public(const struct ps_record *record); /* its contents are, not only those in progress */
bool ps_record_same_contents(const struct ps_record *a, const struct ps_record *b);

/* As an object of the local index. */
size_t ps_record_bytes(const struct ps_record *record);
void ps_record_encode(const struct ps_record *record, uint8_t *out);
/* PS_ECORRUPT, PS_EVERSION, PS_ENOMEM; `record` is then empty. Allocates what `len` can hold at most. */
int ps_record_decode(const void *data, size_t len, struct ps_memory *memory, struct ps_record *record)
    __attribute__((warn_unused_result));
/* Where a slot lies in that object. */
uint64_t ps_record_slot_offset(const struct ps_record *record, enum ps_record_set set, uint32_t index);
uint64_t ps_record_index_pad_offset(const struct ps_record *record);
/* All but the slots: of an object's first bytes (PS_RECORD_PREFIX of them, or all). The sets have counts and
 * no slots. */
enum { PS_RECORD_PREFIX = PS_RECORD_HEAD_BYTES + PS_RECORD_NAME_MAX + PS_SLOT_BYTES + PS_RECORD_NEXT_BYTES };
int ps_record_decode_prefix(const void *data, size_t len, uint64_t object_len, struct ps_record *record)
    __attribute__((warn_unused_result));

/* ---- as it travels: current and index pad, nothing that is only this machine's ---- */

/* Contents whose pads are all sealed, or a tombstone; a blob's. Others stay here. */
bool ps_record_may_travel(const struct ps_record *record);
size_t ps_record_wire_bytes(const struct ps_record *record);
/* `head`: the counter of the head that will be the first to carry it. */
void ps_record_encode_wire(const struct ps_record *record, uint64_t head, uint8_t *out);
/* What comes is not dirty and based on itself, its pads confirmed. Errors as of ps_record_decode. */
int ps_record_decode_wire(const void *data, size_t len, struct ps_memory *memory, struct ps_record *record)
    __attribute__((warn_unused_result));

/* ---- steps of its life; each gives the pads that the record lets go, for the caller to put elsewhere in the
 * same commit (let_go grows; its memory is the record's) ---- */

/* Next becomes current as `version`, which is later: the old pads go to base or sent where a head names them
 * or may, else are let go. An update writes other pads: none of next stands in current. */
int ps_record_switch(struct ps_record *record, const struct ps_version *version, uint64_t time_ns,
                     struct ps_slots *let_go) __attribute__((warn_unused_result));
/* Becomes a tombstone as `version`; what was in progress is let go. */
int ps_record_bury(struct ps_record *record, const struct ps_version *version, uint64_t time_ns,
                   struct ps_slots *let_go) __attribute__((warn_unused_result));
/* Durably before the head with it is sent: this version of what is dirty is on its way. PS_EINVAL: another
 * still is. */
int ps_record_mark_sent(struct ps_record *record) __attribute__((warn_unused_result));
/* That head, of this counter, is confirmed: its version is the base now, and the pads of the old base are let
 * go. No longer dirty if nothing changed since. */
int ps_record_settle(struct ps_record *record, uint64_t head, struct ps_slots *let_go)
    __attribute__((warn_unused_result));
/* That head is not there and never will be: the pads that only it named are let go. */
int ps_record_unsend(struct ps_record *record, struct ps_slots *let_go) __attribute__((warn_unused_result));
void ps_slots_done(struct ps_slots *slots, struct ps_memory *memory);

#endif
