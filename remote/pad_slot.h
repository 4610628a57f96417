/* A pad slot: what the index knows of one pad, 128 bytes, no secret among them; and the table of what may
 * become of a pad. Only the manager changes a status; the local index refuses what is not in the table. */
#ifndef PS_PAD_SLOT_H
#define PS_PAD_SLOT_H

#include "remote/index_format.h"
#include "remote/pad.h"

/* X(name, text). Gone has no slot: it is what a pad is before it has one and after. */
#define PS_SLOT_STATUS_TABLE(X)                                                                              \
	X(PS_SLOT_GONE, "gone")                                                                              \
	X(PS_SLOT_GENERATED, "generated")                                                                    \
	X(PS_SLOT_WRITTEN, "written")                                                                        \
	X(PS_SLOT_CONFIRMED, "confirmed")                                                                    \
	X(PS_SLOT_FREE, "free")                                                                              \
	X(PS_SLOT_PENDING, "pending")                                                                        \
	X(PS_SLOT_INVALID, "invalid")

enum ps_slot_status {
#define PS_SLOT_STATUS_ENUM(name, text) name,
	PS_SLOT_STATUS_TABLE(PS_SLOT_STATUS_ENUM)
#undef PS_SLOT_STATUS_ENUM
	    PS_SLOT_STATUSES
};

/* X(from, to, cause): every legal change. What is not here never happens. */
#define PS_SLOT_CHANGE_TABLE(X)                                                                              \
	X(GONE, GENERATED, "a new serial")                                                                   \
	X(FREE, GENERATED, "taken again: generation and counter go up by one")                               \
	X(GENERATED, GENERATED, "sealed: nonce and header hash are decided")                                 \
	X(GENERATED, WRITTEN, "sent, and the network says done")                                             \
	X(GENERATED, CONFIRMED, "sent, and head() shows it already")                                         \
	X(GENERATED, PENDING, "outcome unknown, or given up after it was taken again")                       \
	X(GENERATED, INVALID, "refused, or another version is there")                                        \
	X(GENERATED, GONE, "new, and never sent: the serial is retired")                                     \
	X(WRITTEN, CONFIRMED, "head() shows our counter and header hash")                                    \
	X(WRITTEN, PENDING, "released before it was confirmed")                                              \
	X(WRITTEN, INVALID, "gone, or another version is there")                                             \
	X(CONFIRMED, FREE, "released")                                                                       \
	X(CONFIRMED, GENERATED, "written in place: a new counter")                                           \
	X(CONFIRMED, PENDING, "its absence is looked at again, or its address has ended")                                       \
	X(CONFIRMED, INVALID, "lost, refused or damaged")                                                    \
	X(FREE, PENDING, "about to be deleted")                                                              \
	X(FREE, INVALID, "lost or refused")                                                                  \
	X(PENDING, GENERATED, "looked at: what it replaces is there, the same bytes are sent again")         \
	X(PENDING, WRITTEN, "looked at: ours was taken")                                                     \
	X(PENDING, CONFIRMED, "looked at: ours is there")                                                    \
	X(PENDING, FREE, "looked at or fenced: what is there is known, nothing of ours is under way")        \
	X(PENDING, INVALID, "looked at: lost, or another's")                                                 \
	X(PENDING, GONE, "deleted, and nothing of ours is under way")                                        \
	X(INVALID, GENERATED, "written anew in place from the local copy")                                   \
	X(INVALID, PENDING, "seen again, or to be deleted")                                                  \
	X(INVALID, GONE, "not found, again and again: the serial is retired")

/* A pad of a record's current that an older version has as well: which heads name it by that. */
enum ps_slot_named { PS_NAMED_BASE = 1, PS_NAMED_SENT = 2, PS_NAMED_ALL = 3 };

struct ps_pad_slot {
	struct ps_serial serial;
	struct ps_pad_name name;
	uint32_t generation, length; /* length: payload bytes that count, before padding */
	uint64_t counter;
	uint8_t class, mode, status;
	uint8_t nonce[PS_PAD_NONCE]; /* nonce and hash are zero until the record is sealed */
	uint8_t hash[32];            /* of the signed header */
	/* The first bytes of the header hash of the version that the network held when the pad was taken
	 * again (its counter is one less): tells what a replace expects, after a crash as well. Zero for a
	 * new pad. */
	uint8_t before[8];
	uint8_t named; /* enum ps_slot_named; 0 where all of the set is, or none */
};

const char *ps_slot_status_text(unsigned status);
/* Why this may happen; NULL: never. From a status to itself is legal only where the table has it. */
const char *ps_slot_cause(unsigned from, unsigned to);

/* A new pad: serial, name, counter and generation 1, generated. */
void ps_slot_new(struct ps_pad_slot *slot, const struct ps_serial *serial, const struct ps_pad_name *name,
                 unsigned class, unsigned mode);
/* A free pad taken again. PS_ERANGE if its generation or counter is used up. */
int ps_slot_reuse(struct ps_pad_slot *slot) __attribute__((warn_unused_result));
bool ps_slot_sealed(const struct ps_pad_slot *slot);
bool ps_slot_same_pad(const struct ps_pad_slot *a, const struct ps_pad_slot *b);
/* Whether the change from `before` to `after` is one of the table's and keeps the pad's identity: the same
 * serial, name, class and mode, no counter or generation that goes back. PS_OK, or PS_EINVAL with a sentence.
 */
int ps_slot_check_change(const struct ps_pad_slot *before, const struct ps_pad_slot *after)
    __attribute__((warn_unused_result));
/* PS_OK, or PS_ECORRUPT with a sentence: an impossible slot. */
int ps_slot_check(const struct ps_pad_slot *slot) __attribute__((warn_unused_result));
uint32_t ps_pad_mode_payload(unsigned mode); /* bytes; 0 for no mode */

void ps_slot_encode(const struct ps_pad_slot *slot, struct ps_slot_bytes *out);
/* PS_ECORRUPT for every slot that ps_slot_check refuses, and for reserved bytes set. */
int ps_slot_decode(const struct ps_slot_bytes *bytes, struct ps_pad_slot *slot)
    __attribute__((warn_unused_result));
/* As it travels: without status and nonce; what comes back is confirmed. */
void ps_slot_encode_wire(const struct ps_pad_slot *slot, struct ps_slot_wire *out);
int ps_slot_decode_wire(const struct ps_slot_wire *bytes, struct ps_pad_slot *slot)
    __attribute__((warn_unused_result));

#endif
