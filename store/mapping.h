/* Address space of a store that closed, for the next one that opens: where stores are opened often, making
 * and tearing down the reservations is most of what a small one's open and close cost. */
#ifndef PS_MAPPING_H
#define PS_MAPPING_H

#include <stdbool.h>
#include <stddef.h>

enum mapping_kind { MAPPING_FRAMES, MAPPING_ENTRIES, MAPPING_KINDS };

/* A range that mapping_give took, as it was given; NULL if there is none. Any thread. */
void *mapping_take(enum mapping_kind kind);
/* Zeros again, of a part of which no more than the first `used` bytes were touched. A page given to the
 * kernel and touched anew costs a fault: cheap for many, dear for the few of a small store. False: it is not
 * zeros. */
bool mapping_clear(void *part, size_t used, size_t bytes);
/* Keeps the range for the next open, or unmaps it if one is kept already. All of it that can be read must be
 * zeros, and each range of a kind alike in length and protection. */
void mapping_give(enum mapping_kind kind, void *range, size_t bytes);

#endif
