/* What every allocator does: one suite, run over each that there is. */
#ifndef PS_ALLOCATOR_SUITE_H
#define PS_ALLOCATOR_SUITE_H

#include "allocator/allocator.h"

/* An allocator over a space of `space` bytes, all free. Returns what stands below it (NULL: nothing), to be
 * closed after it. */
struct suite_stack {
	struct ps_allocator *a, *below;
};
struct suite_kind {
	const char *name;
	int (*open)(struct ps_memory *memory, uint64_t space, struct suite_stack *stack);
};

/* Runs all tests over the kind; how many failed. */
int suite_run(const struct suite_kind *kind);

#endif
