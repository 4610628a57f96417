/* Locks that are waited for as long as a slow machine takes. With the default of five seconds whoever waits
 * behind a disk or a processor that is away for six is told PS_ETIMEDOUT: right, and not what most tests are
 * about. */
#ifndef PATIENT_H
#define PATIENT_H

#include <padstone/padstone.h>

enum { PATIENT_LOCKS_MS = 120000 };

PS_CHECKED static inline int patient_locks_open(ps_storer *inner, ps_storer **s)
{
	const struct ps_concurrent_options options = {.size = sizeof(options),
	                                              .lock_timeout_ms = PATIENT_LOCKS_MS};
	return ps_concurrent_open(inner, &options, s);
}

#endif
