/* A multi store's tie to a network: the remote, what of the store is not there yet, and the thread that
 * pushes in the background.
 *
 * One thread, and only where pushes are asked for; it sleeps until something is committed, then until a push
 * is due: no request, and no wake, while nothing is. A push by a caller goes first: one that the thread has
 * under way is given up within a second, and what it has sent is taken over by the caller's. */
#ifndef PS_ATTACHED_H
#define PS_ATTACHED_H

#include <stdbool.h>

#include <padstone/multi_store.h>
#include <padstone/push.h>

#include "remote/clock.h"

struct ps_attached;

/* What tests put in place of the world; NULL: nothing. */
struct ps_attached_seams {
	struct ps_clock *clock;
	uint64_t seed; /* of the jitter; 0: from the kernel */
};

/* Opens the remote that the options name, or takes theirs. Asks no store. PS_EINVAL, PS_ENOMEM, errors of
 * ps_remote_open. */
PS_CHECKED int ps_attached_new(const struct ps_multi_options *options, const struct ps_attached_seams *seams,
                               struct ps_attached **a);
ps_remote *ps_attached_remote(const struct ps_attached *a);
/* The store is a kept state, open to be read (ps_multi_open_state). */
bool ps_attached_is_state(const struct ps_attached *a);
/* From now on s is watched, and pushed when it is due. s is the multi store itself, not a layer above.
 * PS_ENOTSUP: s cannot be cut, or not be called by several threads. PS_ENOMEM. */
PS_CHECKED int ps_attached_start(struct ps_attached *a, ps_storer *s);
/* No background push is under way when it returns, and none begins until ps_attached_resume. */
void ps_attached_pause(struct ps_attached *a);
void ps_attached_resume(struct ps_attached *a);
/* The same for the log, which goes on while others push. */
void ps_attached_pause_log(struct ps_attached *a);
void ps_attached_resume_log(struct ps_attached *a);
/* The same, and nothing is fetched any more: the store is about to be closed. Or it was busy. */
void ps_attached_begin_close(struct ps_attached *a);
void ps_attached_stay_open(struct ps_attached *a);
/* Ends the threads; the store may be closed already. Closes the remote, if it is its own. NULL is PS_OK. */
int ps_attached_free(struct ps_attached *a);

/* The same where what used it failed: gives that error, with its sentence. */
int ps_attached_drop(struct ps_attached *a, int err);

/* As ps_push, by a caller. PS_EBUSY: another caller is at it. */
PS_CHECKED int ps_attached_push(struct ps_attached *a, const struct ps_push_options *options,
                                struct ps_push_result *result);

/* The attachment of the outermost multi store of a stack; NULL if it has none (multi_store.c). */
struct ps_attached *ps_multi_attached(ps_storer *s);
/* As ps_multi_open, with an attachment that was not started yet; NULL: none, whatever the options say. a and
 * inner are owned from success on. */
PS_CHECKED int ps_multi_open_attached(ps_storer *inner, const struct ps_multi_options *options,
                                      struct ps_attached *a, ps_storer **s);
/* The same for a file, which is made from the network where there is none. a is freed if it fails. */
PS_CHECKED int ps_multi_open_file(const char *path, const struct ps_base_options *base,
                                  const struct ps_multi_options *options, struct ps_attached *a,
                                  ps_storer **s);

/* As ps_take_over, by a caller. PS_EBUSY. */
PS_CHECKED int ps_attached_take_over(struct ps_attached *a, const struct ps_push_options *options);

enum push_what { PUSH_CHANGES, PUSH_TAKE_OVER };
/* What ps_push and ps_take_over do, with no look at an attachment (push.c). */
PS_CHECKED int push_store(ps_storer *s, ps_remote *r, enum push_what what,
                          const struct ps_push_options *options, struct ps_push_result *result);

#endif
