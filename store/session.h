/* What the gate needs of session.c in its fast path. */
#ifndef PS_SESSION_H
#define PS_SESSION_H

#include <stdatomic.h>
#include <stdint.h>

/* ps_fork_count() as a variable: the gate reads it on every call. Changed only in a child that has one
 * thread. */
extern _Atomic(uint64_t) ps_session_forks;

/* Registers the fork handlers, once a process. PS_ENOMEM. */
int ps_session_watch_forks(void);

#endif
