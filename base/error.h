/* Error codes, their names, and the sentence of this thread's last failure. */
#ifndef PS_ERROR_H
#define PS_ERROR_H

#include <padstone/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every call returns PS_OK or one of these. Numbers are part of the ABI and are never reused.
 * X(name, number, text) */
#define PS_ERROR_TABLE(X)                                                                          \
	X(PS_OK, 0, "done")                                                                        \
	X(PS_EINVAL, -1, "invalid argument")                                                       \
	X(PS_ENOTFOUND, -2, "no such object")                                                      \
	X(PS_ERANGE, -3, "size out of range")                                                      \
	X(PS_ENOMEM, -4, "not enough memory or memory budget")                                     \
	X(PS_ENOSPC, -5, "no space left")                                                          \
	X(PS_EIO, -6, "input/output error")                                                        \
	X(PS_ECORRUPT, -7, "damaged data")                                                         \
	X(PS_EBUSY, -8, "in use")                                                                  \
	X(PS_EREADONLY, -9, "store is read-only")                                                  \
	X(PS_ENOTSUP, -10, "not supported by this store")                                          \
	X(PS_ECANCELED, -11, "canceled by the caller")                                             \
	X(PS_EPROCESS, -12, "store was opened by another process (fork)")                          \
	X(PS_EFORMAT, -13, "not a Padstone store")                                                 \
	X(PS_EVERSION, -14, "store has a newer or unknown format")                                 \
	X(PS_EEXIST, -15, "already exists")                                                        \
	X(PS_EACCES, -16, "permission denied")                                                     \
	X(PS_ENOENT, -17, "no such file")                                                          \
	X(PS_ECLOSED, -18, "session already ended")                                                \
	X(PS_EFULL, -19, "no ids left")                                                            \
	X(PS_EDEADLK, -20, "would wait for itself")                                                \
	X(PS_ETIMEDOUT, -21, "timed out")                                                          \
	X(PS_EUNAVAILABLE, -22, "network unavailable")                                             \
	X(PS_EROLLBACK, -23, "network shows an older state")                                       \
	X(PS_EFORK, -24, "network shows another history")                                          \
	X(PS_ELOST, -25, "network lost data")                                                      \
	X(PS_EFENCED, -26, "another machine has taken over")                                       \
	X(PS_EQUOTA, -27, "limit set by the user reached")                                         \
	X(PS_ESUPERSEDED, -28, "state no longer kept")                                             \
	X(PS_EAUTH, -29, "authentication failed")                                                  \
	X(PS_ECLOCK, -30, "clocks disagree")                                                       \
	X(PS_EHELD, -31, "held by another machine")

enum ps_error {
#define PS_ERROR_ENUM(name, number, text) name = number,
	PS_ERROR_TABLE(PS_ERROR_ENUM)
#undef PS_ERROR_ENUM
};

/* The table's text of a code; "unknown error" for any other number. Static storage, any thread. */
PS_API const char *ps_strerror(int err);

/* The name of a code as it is written in C ("PS_ENOSPC"), or "PS_E?". Static storage, any thread. */
PS_API const char *ps_error_name(int err);

/* This thread's last failure as a sentence with path, id and offset where they apply. Never NULL;
 * empty before the first failure. Valid until the thread's next failing call. */
PS_API const char *ps_last_error_message(void);

#ifdef __cplusplus
}
#endif
#endif
