/* Whole store images for the fuzzer: made once, damaged by edits, their checksums put right again so that
 * what the edits say is believed. */
#ifndef STORE_IMAGE_H
#define STORE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "store/base_internal.h"

struct store_image {
	uint8_t *bytes;
	uint64_t size;
};

enum image_kind { IMAGE_CLOSED, IMAGE_CRASHED, IMAGE_SPILLED, IMAGE_KINDS };

int image_open(struct ps_io *io, bool created, ps_storer **s);
/* Aborts where the store does not work. `cut`: it was cut, and has a note. The caller frees bytes. */
struct store_image image_make(enum image_kind kind, bool cut);

/* An edit of eight bytes: which page of those that the store goes by, where in it, what, and with which
 * number. */
enum { EDIT_BYTES = 8 };
void image_edit(struct store_image *image, const uint8_t edit[EDIT_BYTES]);
/* All checksums, from the contents up to the superblocks, which all become as the first. */
void image_repair(struct store_image *image);

#endif
