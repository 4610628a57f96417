#include "multistore/push_since.h"

#include <stdbool.h>

/* Whether the last of so many runs is sent again, behind what is sent so far. */
static bool stands_for(uint64_t weight, uint64_t sends, uint64_t changed, uint32_t runs)
{
	if (runs >= PS_KEEP_RUNS_MAX)
		return true;
	if (changed <= PS_SMALL_PUSH && runs < PS_SMALL_RUNS && sends + weight > PS_SMALL_SENDS)
		return false;
	return weight <= sends + sends / 4;
}

uint32_t ps_push_keep(const uint64_t *weight, uint32_t runs, uint64_t live, uint64_t changed)
{
	uint64_t all = changed, sends = changed + PS_RUN_COST;
	uint32_t keep = runs;
	for (uint32_t i = 0; i < runs; i++)
		all += weight[i];
	/* The slack is for small stores, where a run costs more than what is in it. */
	if (runs == 0 || all > 2 * live + (uint64_t)PS_RUN_COST * runs)
		return 0;
	/* Nearly all was changed: all of it costs hardly more, and no run stays that clones read in vain. Of
	 * a small store they may. */
	if (changed > PS_SMALL_PUSH && live <= changed + changed / 4)
		return 0;
	while (keep > 1 && stands_for(weight[keep - 1], sends, changed, keep))
		sends += weight[--keep];
	return keep;
}
