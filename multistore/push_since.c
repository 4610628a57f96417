#include "multistore/push_since.h"

uint32_t ps_push_keep(const uint64_t *weight, uint32_t runs, uint64_t live, uint64_t changed)
{
	uint64_t all = changed, sends = changed + PS_RUN_COST;
	uint32_t keep = runs;
	for (uint32_t i = 0; i < runs; i++)
		all += weight[i];
	/* The slack is for small stores, where a run costs more than what is in it. */
	if (runs == 0 || all > 2 * live + (uint64_t)PS_RUN_COST * runs)
		return 0;
	while (keep > 1 && (weight[keep - 1] <= sends + sends / 4 || keep >= PS_KEEP_RUNS_MAX))
		sends += weight[--keep];
	return keep;
}
