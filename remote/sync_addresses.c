/* An address stands under one key. A rename here that others have not heard of, or a take-over, can bring it
 * under a second one by a merge: the key whose index pad is the newer keeps it, since that is what the
 * address shows; the other's value is private from then on. */
#include "remote/sync_internal.h"

struct finding {
	struct ps_sync *s;
	struct ps_serial_set *brought;
	struct sync_addresses *found;
};

static int find_one(void *arg, const struct ps_record *record)
{
	struct finding *f = arg;
	struct sync_addresses *found = f->found;
	if (!(record->flags & PS_RECORD_PUBLIC) || !ps_serial_set_has(f->brought, &record->index_pad.serial))
		return PS_OK;
	struct sync_address *grown =
	    ps_memory_grow(&f->s->r->memory, found->all, found->count, &found->capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	found->all = grown;
	struct sync_address *address = &found->all[found->count++];
	*address =
	    (struct sync_address){.serial = record->index_pad.serial, .counter = record->index_pad.counter};
	memcpy(address->name, record->name, (size_t)record->name_len + 1);
	return PS_OK;
}

int sync_addresses_find(struct ps_sync *s, struct ps_serial_set *brought, struct sync_addresses *found)
{
	struct finding f = {s, brought, found};
	found->count = 0;
	return brought->count > 0
	           ? ps_index_list(s->r->index, PS_RECORD_BLOB, NULL, PS_LIST_DIRTY, find_one, &f)
	           : PS_OK;
}

void sync_addresses_done(struct ps_sync *s, struct sync_addresses *found)
{
	ps_memory_free(&s->r->memory, found->all, found->capacity * sizeof(*found->all));
	*found = (struct sync_addresses){0};
}

void sync_part_from_address(struct ps_record *record)
{
	record->flags &= (uint16_t)~PS_RECORD_PUBLIC;
	record->index_pad = (struct ps_pad_slot){0};
}
