/* The head: what the network's index is at one moment. One pad under a fixed name, replaced by a
 * compare-and-swap. What is called its hash here is that of its pad's signed header (struct ps_pad_identity),
 * which a head cannot contain; it has its parent's. */
#ifndef PS_HEAD_H
#define PS_HEAD_H

#include "remote/record.h"
#include "remote/run.h"

enum {
	PS_HEAD_PAIRS = 256,
	PS_HEAD_MACHINES_MAX = 1024,
	PS_HEAD_RUNS_MAX = PS_RUN_SOURCES_MAX,
	PS_HEAD_PADS_MAX = 1 << 16, /* of all runs */
	PS_HEAD_CODE = 48,          /* text of a head code, with its NUL */
};

struct ps_head_pair {
	uint64_t counter;
	uint8_t hash[32];
};

struct ps_head_machine {
	uint8_t id[PS_MACHINE];
	uint64_t last; /* counter of the last head that it wrote */
	char name[64]; /* for people; ends with a NUL */
};

struct ps_head_run {
	uint8_t id[PS_RUN_ID];
	uint64_t head; /* the first to list it */
	uint64_t bytes, keys;
	bool base;
	struct ps_slots pads; /* one a part, in order */
};

struct ps_head {
	struct ps_memory *memory;
	uint8_t network[16];
	char store[256];
	uint64_t epoch, counter; /* counter: also its pad's */
	uint64_t time_ns;
	/* Tombstones that a head before this counter was the first to carry may be missing: who last synced
	 * before it takes what is missing for removed. */
	uint64_t horizon;
	/* Counter of the newest head that listed one machine only. While that machine has written none since,
	 * it may not know of the others, and what its heads named is its own to free (README.md, whose
	 * pads). 0: not known, as if it had. */
	uint64_t alone;
	uint8_t writer[PS_MACHINE];
	struct ps_head_pair pairs[PS_HEAD_PAIRS]; /* older heads, oldest first; the last is the parent */
	uint32_t pairs_count;
	struct ps_head_machine *machines;
	uint32_t machines_count;
	struct ps_head_run *runs; /* oldest first: the base, then deltas */
	uint32_t runs_count;
};

void ps_head_init(struct ps_head *head, struct ps_memory *memory);
void ps_head_done(struct ps_head *head); /* zeroed memory is fine */
int ps_head_copy(struct ps_head *to, const struct ps_head *from) __attribute__((warn_unused_result));

/* The next head of this parent (whose hash is given): counter, pairs, writer and this machine's place in the
 * list are set; its runs are the parent's until the caller changes them. PS_ERANGE: too many machines. */
int ps_head_next(const struct ps_head *parent, const uint8_t parent_hash[32],
                 const uint8_t machine[PS_MACHINE], const char *machine_name, uint64_t time_ns,
                 struct ps_head *next) __attribute__((warn_unused_result));
/* Copied, behind the others. */
int ps_head_add_run(struct ps_head *head, const struct ps_head_run *run) __attribute__((warn_unused_result));
/* The runs from this one on leave the list. */
int ps_head_cut_runs(struct ps_head *head, uint32_t from) __attribute__((warn_unused_result));
const struct ps_head_machine *ps_head_machine(const struct ps_head *head, const uint8_t id[PS_MACHINE]);
/* The oldest "last head written" of all listed machines: tombstones of heads before it are known everywhere.
 */
uint64_t ps_head_settled(const struct ps_head *head);
/* That place of its list, not the writer's. PS_ENOMEM. */
int ps_head_drop_machine(struct ps_head *head, uint32_t place) __attribute__((warn_unused_result));
/* Whether this machine is listed, and no other. */
bool ps_head_only(const struct ps_head *head, const uint8_t machine[PS_MACHINE]);
/* Versions that a head up to this one was the first to carry: whoever replaces them leaves their pads to this
 * machine (_kept), or this machine to another (_left), since that one may not know yet that it is not alone.
 * 0: none; who replaces a version frees its pads. */
uint64_t ps_head_kept(const struct ps_head *head, const uint8_t machine[PS_MACHINE]);
uint64_t ps_head_left(const struct ps_head *head, const uint8_t machine[PS_MACHINE]);
/* PS_OK, or PS_ECORRUPT: an impossible head. */
int ps_head_check(const struct ps_head *head) __attribute__((warn_unused_result));

size_t ps_head_bytes(const struct ps_head *head);
void ps_head_encode(const struct ps_head *head, uint8_t *out);
/* Zeros may follow. PS_ECORRUPT, PS_EVERSION, PS_ENOMEM. */
int ps_head_decode(const void *data, size_t len, struct ps_memory *memory, struct ps_head *head)
    __attribute__((warn_unused_result));

/* A head as something to write down: counter, 40 bits of its hash, a check character ("1042-7ZK3M0QD-4"). */
void ps_head_code(uint64_t counter, const uint8_t hash[32], char text[PS_HEAD_CODE]);
/* Spaces, small letters, and o, i and l for 0 and 1 are understood. PS_EINVAL: a slip of the pen. hash_bits:
 * 5 bytes. */
int ps_head_code_parse(const char *text, uint64_t *counter, uint8_t hash_bits[5])
    __attribute__((warn_unused_result));
/* Whether this history contains that head: PS_OK; PS_EROLLBACK (the code is of a later head); PS_EFORK
 * (another one has this counter); PS_ESUPERSEDED (too long ago to tell). */
int ps_head_code_compare(const char *text, const struct ps_head *head, const uint8_t hash[32])
    __attribute__((warn_unused_result));

#endif
