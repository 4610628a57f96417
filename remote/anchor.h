/* The anchor: the newest head that this machine has used, in a small file of its own beside the local index,
 * so that no network can show an older state as the newest. It is moved, durably, before a head is used. */
#ifndef PS_ANCHOR_H
#define PS_ANCHOR_H

#include "remote/head.h"

struct ps_anchor {
	char store[256];
	uint8_t network[16];
	uint64_t counter;
	uint8_t hash[32];
	uint64_t log_position;
};

/* As the file has it. PS_EINVAL: no store's name, or counter 0. */
int ps_anchor_encode(const struct ps_anchor *anchor, struct ps_anchor_bytes *bytes)
    __attribute__((warn_unused_result));
/* `path` is for the sentences. PS_EFORMAT, PS_EVERSION, PS_ECORRUPT. */
int ps_anchor_decode(const char *path, const void *bytes, size_t len, struct ps_anchor *anchor)
    __attribute__((warn_unused_result));

/* PS_ENOENT: there is none. PS_EFORMAT, PS_EVERSION, PS_ECORRUPT (damaged, or of another store: it is left as
 * it is), PS_EACCES, PS_EIO. `folder` is the store's state folder (state.h). */
int ps_anchor_read(const char *folder, const char *store, struct ps_anchor *anchor)
    __attribute__((warn_unused_result));
/* Durable when it returns: written beside, synced, renamed, folder synced. A failure leaves the old one.
 * PS_EROLLBACK: the one there has a later counter, or the same with another hash: it never goes back.
 * PS_EFORK: it is of another network. */
int ps_anchor_write(const char *folder, const struct ps_anchor *anchor) __attribute__((warn_unused_result));
/* Only for one who was told to forget this store. */
int ps_anchor_forget(const char *folder) __attribute__((warn_unused_result));

enum ps_freshness {
	PS_FRESH_SAME,       /* the anchor's */
	PS_FRESH_NEWER,      /* later, and lists the anchor among its ancestors */
	PS_FRESH_UNANCHORED, /* there is no anchor: a consistent old state cannot be told from the newest */
	PS_FRESH_UNPROVEN,   /* later by so much that it does not list the anchor any more */
};

/* What a head that the network shows is worth. anchor NULL: none; head NULL: the network has none (hash is
 * then not used). Failures: PS_EROLLBACK (older), PS_EFORK (another history, or of another network), PS_ELOST
 * (none, and anchored), PS_ENOTFOUND (none, and not anchored: wrong key, network, store name, or never made).
 */
int ps_anchor_judge(const struct ps_anchor *anchor, const struct ps_head *head, const uint8_t hash[32],
                    enum ps_freshness *freshness) __attribute__((warn_unused_result));
/* Whether this machine's own memory is as late as the head knows: PS_EFORK if the head lists a later head of
 * this machine than `own_last` (its state was put back: it must not push). */
int ps_anchor_judge_self(const struct ps_head *head, const uint8_t machine[PS_MACHINE], uint64_t own_last)
    __attribute__((warn_unused_result));
/* The anchor that stands for this head. */
void ps_anchor_of(const struct ps_head *head, const uint8_t hash[32], uint64_t log_position,
                  struct ps_anchor *anchor);

#endif
