/* A set of serials, filled first and asked then. */
#ifndef PS_SERIAL_SET_H
#define PS_SERIAL_SET_H

#include <stdbool.h>

#include "base/memory.h"
#include "remote/pad_slot.h"

struct ps_serial_set {
	struct ps_memory *memory;
	struct ps_serial *serials;
	size_t count, capacity;
	bool sorted;
};

static inline void ps_serial_set_init(struct ps_serial_set *set, struct ps_memory *memory)
{
	*set = (struct ps_serial_set){.memory = memory, .sorted = true};
}
void ps_serial_set_done(struct ps_serial_set *set);
/* PS_ENOMEM. */
int ps_serial_set_add(struct ps_serial_set *set, const struct ps_serial *serial)
    __attribute__((warn_unused_result));
/* As a ps_record_slot_fn: that of the slot, to the set that arg is. */
static inline int ps_serial_set_add_slot(void *arg, const struct ps_pad_slot *slot)
{
	return ps_serial_set_add(arg, &slot->serial);
}
/* In order of bytes from now on; a serial that was added twice stands there twice. */
void ps_serial_set_sort(struct ps_serial_set *set);
/* Sorts first where that is needed. */
bool ps_serial_set_has(struct ps_serial_set *set, const struct ps_serial *serial);
/* One that was added twice, or NULL. */
const struct ps_serial *ps_serial_set_twice(struct ps_serial_set *set);

#endif
