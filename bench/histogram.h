/* A log-linear histogram of nanoseconds: 32 steps to each power of two, so no value is off by more than a
 * 32nd. */
#ifndef PS_BENCH_HISTOGRAM_H
#define PS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_STEPS = 32, HISTOGRAM_POWERS = 40, HISTOGRAM_CELLS = HISTOGRAM_STEPS * HISTOGRAM_POWERS };

struct histogram {
	uint64_t total, most;
	uint32_t cell[HISTOGRAM_CELLS];
};

void histogram_add(struct histogram *h, uint64_t ns);
void histogram_merge(struct histogram *to, const struct histogram *from);
/* The value that a share of all does not exceed; 0 if there is none. */
uint64_t histogram_at(const struct histogram *h, double share);

#endif
