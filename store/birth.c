#include "store/birth.h"

#include <assert.h>

enum { STEPS = 15, STEP_LOG_MAX = 15 };

uint8_t birth_age(uint32_t interval, uint32_t birth)
{
	if (birth >= interval)
		return 0;
	for (unsigned k = 0; k <= STEP_LOG_MAX; k++) {
		uint64_t last = interval >> k, born = ((uint64_t)birth + (1U << k) - 1) >> k;
		/* The step before had 16 or more: here it is 7 at least. */
		assert(last > born);
		if (last - born <= STEPS)
			return (uint8_t)(k << 4 | (last - born));
	}
	return BIRTH_AGE_MAX; /* older than can be said */
}

uint32_t birth_of(uint32_t interval, uint8_t age)
{
	uint32_t last = interval >> (age >> 4), steps = age & 15;
	return steps < last ? (last - steps) << (age >> 4) : 0;
}
