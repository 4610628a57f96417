/* How code inside the library reports a failure: a code and a sentence. */
#ifndef PS_FAIL_H
#define PS_FAIL_H

#include "base/error.h"

/* Sets this thread's sentence and returns err, so that `return ps_fail(PS_EIO, …)` reads as one step.
 * Does not allocate; a sentence over 511 bytes is cut. errno is kept. */
int ps_fail(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As ps_fail with the code that fits an errno value, and ": <strerror>" behind the sentence. */
int ps_fail_errno(int errnum, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The code that fits an errno value (ENOSPC, EDQUOT, EFBIG: PS_ENOSPC; ENOMEM: PS_ENOMEM; EACCES, EPERM: PS_EACCES;
 * EROFS: PS_EREADONLY; ENOENT: PS_ENOENT; EEXIST: PS_EEXIST; all else: PS_EIO). */
int ps_error_from_errno(int errnum);

#endif
