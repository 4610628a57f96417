/* What a store must hold after a crash: the contents after each commit, in order, and which commits were
 * acknowledged as durable, which ids given out, and when. "When" is a number of events in the simulated
 * disk's trace: at a crash point, what happened at that number of events or before had happened. */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <padstone/storer.h>

enum { ORACLE_NEVER = -1 };

struct oracle;
struct oracle_content {
	uint64_t size;
	const uint8_t *bytes;
};

/* Holds no object. All here aborts without memory. */
struct oracle *oracle_new(void);
void oracle_free(struct oracle *o);

/* New bytes of this size, repeatable from the seed; in no two seeds alike from a few bytes up. The oracle's.
 */
struct oracle_content *oracle_bytes(struct oracle *o, uint64_t size, uint64_t seed);
/* A copy of the old content (NULL: none) with this size, what is new being zeros, and `data` laid over it at
 * `off`. */
struct oracle_content *oracle_edited(struct oracle *o, const struct oracle_content *old, uint64_t size,
                                     uint64_t off, const struct oracle_content *data);

/* A commit: begin, then set and remove, then end (or cancel). `now` is the number of events when its call
 * began. An id of PS_ID_NONE stands for an object whose id the application never learned. */
void oracle_begin(struct oracle *o, size_t now);
void oracle_set(struct oracle *o, ps_id id, struct oracle_content *content);
void oracle_remove(struct oracle *o, ps_id id);
void oracle_end(struct oracle *o);
void oracle_cancel(struct oracle *o);
/* All commits so far are durable, known at this time. */
void oracle_durable(struct oracle *o, size_t now);
void oracle_given(struct oracle *o, ps_id id, size_t now);
/* The commits after this one have turned out not to be there. */
void oracle_forget_after(struct oracle *o, size_t commit);
/* Times begin anew (the trace does): all that is known was known before. */
void oracle_restart(struct oracle *o);

/* Commits are numbered from 1; the store after commit 0 is empty. */
size_t oracle_commits(const struct oracle *o);
/* What the last commit (or the one begun) left; NULL if the object is not there. */
struct oracle_content *oracle_now(const struct oracle *o, ps_id id);
size_t oracle_lowest(const struct oracle *o, size_t now);  /* the last commit that must be there */
size_t oracle_highest(const struct oracle *o, size_t now); /* the last that can be */
bool oracle_was_given(const struct oracle *o, ps_id id, size_t now);

/* Each id that either of two commits has an object of, in order, with its content then and now; NULL: not
 * there. Contents that were not changed are the same pointer. Non-zero from fn ends it. */
typedef int (*oracle_change_fn)(void *arg, ps_id id, const struct oracle_content *before,
                                const struct oracle_content *now);
int oracle_changes(const struct oracle *o, size_t from, size_t to, oracle_change_fn fn, void *arg);

/* Reads the whole store and compares: true if it is what one of the commits low to high left, which goes to
 * *commit. Otherwise a sentence goes to `why`. */
enum { ORACLE_WHY = 400 };
bool oracle_match(struct oracle *o, ps_storer *s, size_t low, size_t high, size_t *commit,
                  char why[ORACLE_WHY]);

#endif
