/* What gc remembers from one listing to the next, in a note of the local index: pads that nothing named,
 * which version of each it was, when this machine's clock showed what, and which head was the newest. */
#ifndef PS_GC_NOTE_H
#define PS_GC_NOTE_H

#include "remote/local_index.h"

enum {
	PS_GC_HALF = 16,     /* of a name, and of a header hash: enough to know them again */
	PS_GC_MOST = 1 << 17 /* remembered at a time: 6 MiB */
};

struct ps_gc_seen {
	uint8_t name[PS_GC_HALF], hash[PS_GC_HALF];
	uint64_t head; /* the newest one's counter when this version was first seen without a name */
	uint64_t first_ns;
};

/* Zeroed memory is an empty one. */
struct ps_gc_note {
	struct ps_memory *memory;
	uint64_t latest_ns;      /* the latest that the clock has ever shown */
	struct ps_gc_seen *seen; /* by name */
	size_t count;
};

/* PS_ECORRUPT, PS_EVERSION, PS_ENOMEM: `note` is untouched. */
int ps_gc_note_decode(const void *bytes, size_t len, struct ps_memory *memory, struct ps_gc_note *note)
    __attribute__((warn_unused_result));
size_t ps_gc_note_bytes(const struct ps_gc_note *note);
void ps_gc_note_encode(const struct ps_gc_note *note, uint8_t *out);
/* Empty where the index has none. */
int ps_gc_note_load(ps_index *index, struct ps_memory *memory, struct ps_gc_note *note)
    __attribute__((warn_unused_result));
/* In a commit of its own: durable when it returns. Sorts. */
int ps_gc_note_keep(ps_index *index, struct ps_gc_note *note) __attribute__((warn_unused_result));
/* NULL: this version of this pad was not seen before. */
const struct ps_gc_seen *ps_gc_note_find(const struct ps_gc_note *note, const struct ps_pad_name *name,
                                         const struct ps_pad_identity *identity);
void ps_gc_note_done(struct ps_gc_note *note);

#endif
