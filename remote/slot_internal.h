/* Slots as the rest of this folder sees them. */
#ifndef PS_SLOT_INTERNAL_H
#define PS_SLOT_INTERNAL_H

#include "remote/manager_internal.h"
#include "remote/slot.h"

/* Of its pad: derived, not drawn. */
void ps_remote_slot_serial(const ps_remote *r, const struct ps_remote_slot_at *at, struct ps_serial *serial);
/* Whether the plan of a pad of ours, verified, is that of the slot which its header says it is. */
bool ps_remote_slot_is(const ps_remote *r, const struct ps_pad_plan *plan);

#endif
