/* Structs of options, of callers compiled against an earlier header too. */
#ifndef PS_OPTIONS_H
#define PS_OPTIONS_H

#include <stddef.h>

#include "base/export.h"

/* Fills *to (`size` bytes, of a struct whose first member is its size_t size) with what was given: all zero
 * but the size where given is NULL, and behind the end of a shorter struct. to->size is `size` afterwards.
 * PS_EINVAL, with `what` in the sentence and *to untouched: a size that no struct had. */
PS_CHECKED int ps_options_take(void *to, size_t size, const void *given, const char *what);

#endif
