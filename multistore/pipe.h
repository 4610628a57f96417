/* A pipe between two threads: what one writes the other reads, with a bound on what lies in between. */
#ifndef PS_PIPE_H
#define PS_PIPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "store/storer.h"

struct ps_pipe;

PS_CHECKED int ps_pipe_new(struct ps_memory *memory, size_t capacity, struct ps_pipe **pipe);
void ps_pipe_free(struct ps_pipe *pipe); /* NULL is fine */

/* Writer: waits for room; calls tick(arg), if not NULL, about every 50 ms while it does, and gives up with
 * what that says. Other than PS_OK if the reader has given up: with what it said. */
PS_CHECKED int ps_pipe_write(struct ps_pipe *pipe, const void *data, size_t len, int (*tick)(void *arg),
                             void *arg);
/* PS_OK: that was all; else the reader gets this instead of an end. */
void ps_pipe_close(struct ps_pipe *pipe, int err);

/* Reader: fills len bytes, less only at the end. */
PS_CHECKED int ps_pipe_read(struct ps_pipe *pipe, void *buf, size_t len, size_t *got);
/* No more will be read. PS_OK: all was. */
void ps_pipe_end(struct ps_pipe *pipe, int err);

/* Waits until the reader has ended; tick as above. */
PS_CHECKED int ps_pipe_wait(struct ps_pipe *pipe, int (*tick)(void *arg), void *arg);

#endif
