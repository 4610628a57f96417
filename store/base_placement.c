/* Classes of small contents (placement.h). */
#include "store/base_internal.h"
#include "store/placement.h"

int base_use_placement(ps_storer *st, struct ps_placement *placement)
{
	return ps_unsupported_use_placement(st, placement);
}

int base_each_space(ps_storer *st, ps_space_fn fn, void *arg)
{
	return ps_unsupported_each_space(st, fn, arg);
}

int base_route_figures(ps_storer *st, struct ps_route_figures *figures, size_t count)
{
	return ps_unsupported_route_figures(st, figures, count);
}
