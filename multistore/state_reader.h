/* A state read: the objects of its runs in the order of slots, each as its newest run has it. */
#ifndef PS_STATE_READER_H
#define PS_STATE_READER_H

#include <padstone/remote.h>

#include "multistore/manifest.h"

typedef struct ps_state_reader ps_state_reader;

/* What comes first is asked for, and not waited for. m and state stay as they are until it is freed.
 * PS_ENOMEM. */
PS_CHECKED int ps_state_reader_new(struct ps_memory *memory, ps_remote *r, const struct ps_push_manifest *m,
                                   const struct ps_push_manifest_state *state, ps_state_reader **reader);
/* The next object; bytes: of PS_CUT_BYTES, valid until the next call. PS_ENOTFOUND: that was all, and each
 * run had what the manifest says. PS_ECORRUPT with the name of the pack, what the remote said. */
PS_CHECKED int ps_state_reader_next(ps_state_reader *reader, struct ps_cut_object *object,
                                    const uint8_t **bytes);
/* The next piece of the object that came last, which is PS_CUT_CHUNKS. PS_ENOTFOUND: there are no more. */
PS_CHECKED int ps_state_reader_piece(ps_state_reader *reader, uint64_t *offset, const uint8_t **bytes,
                                     size_t *len);
/* Before the first object: tick as ps_run_source_on_wait has it. */
void ps_state_reader_on_wait(ps_state_reader *reader, int (*tick)(void *arg), void *arg);
void ps_state_reader_free(ps_state_reader *reader); /* NULL is fine */

#endif
