#include "store/base_internal.h"
int cut_reserve(struct store *s, const struct change *changes, size_t n)
{
	(void)s; (void)changes; (void)n;
	return PS_OK;
}
void cut_before_change(struct store *s, uint64_t slot)
{
	(void)s; (void)slot;
}
int base_backup(ps_storer *st, const char *path, ps_progress_fn fn, void *arg)
{
	return ps_unsupported_backup(st, path, fn, arg);
}
int base_compact(ps_storer *st, uint64_t goal, ps_progress_fn fn, void *arg)
{
	return ps_unsupported_compact(st, goal, fn, arg);
}
