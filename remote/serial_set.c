#include "remote/serial_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void ps_serial_set_done(struct ps_serial_set *set)
{
	if (set->serials)
		ps_memory_free(set->memory, set->serials, set->capacity * sizeof(*set->serials));
	ps_serial_set_init(set, set->memory);
}

int ps_serial_set_add(struct ps_serial_set *set, const struct ps_serial *serial)
{
	struct ps_serial *grown =
	    ps_memory_grow(set->memory, set->serials, set->count, &set->capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	set->serials = grown;
	set->serials[set->count++] = *serial;
	set->sorted = false;
	return PS_OK;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, PS_SERIAL);
}

void ps_serial_set_sort(struct ps_serial_set *set)
{
	if (!set->sorted && set->count > 0)
		qsort(set->serials, set->count, sizeof(*set->serials), compare);
	set->sorted = true;
}

bool ps_serial_set_has(struct ps_serial_set *set, const struct ps_serial *serial)
{
	ps_serial_set_sort(set);
	return set->count > 0 &&
	       bsearch(serial, set->serials, set->count, sizeof(*set->serials), compare) != NULL;
}

const struct ps_serial *ps_serial_set_twice(struct ps_serial_set *set)
{
	ps_serial_set_sort(set);
	for (size_t i = 1; i < set->count; i++)
		if (compare(&set->serials[i - 1], &set->serials[i]) == 0)
			return &set->serials[i];
	return NULL;
}
