/* Secrets of 32 bytes each, and where they are looked for: bytes, this process's own memory, files. */
#ifndef NEEDLES_H
#define NEEDLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sanitizers.h"

enum { NEEDLE = 32 };

/* Sanitizers turn mlock into nothing: what it does cannot be seen there,
 * and they have more memory than can be searched. */
enum { LOCKS = !PS_ADDRESS_SANITIZER && !PS_THREAD_SANITIZER };

struct needles; /* in locked memory, which no core dump has */

/* Room for `capacity`; fails the test without memory. */
struct needles *needles_new(size_t capacity);
void needles_free(struct needles *needles); /* wipes */
/* Copies; fails the test where there is no room. */
void needles_add(struct needles *needles, const void *bytes);
/* The i-th: where the test's own copy is to lie. */
const uint8_t *needles_at(const struct needles *needles, size_t i);

/* How many places hold one of them. */
unsigned needles_in_bytes(const struct needles *needles, const void *bytes, size_t len);
/* In all of this process's memory that can be written to, and that a core dump has or, if `hidden`, has not.
 * Threads that work meanwhile may move what they have past it. */
unsigned needles_in_memory(const struct needles *needles, bool hidden);
/* In all regular files below the folder. One thread at a time. */
unsigned needles_in_folder(const struct needles *needles, const char *folder);

#endif
