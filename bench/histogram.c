#include "bench/histogram.h"

enum { STEP_BITS = 5 };

static unsigned cell_of(uint64_t ns)
{
	if (ns < HISTOGRAM_STEPS)
		return (unsigned)ns;
	unsigned power = 63U - (unsigned)__builtin_clzll(ns);
	unsigned shift = power - STEP_BITS;
	unsigned cell = (shift + 1) * HISTOGRAM_STEPS + (unsigned)(ns >> shift) - HISTOGRAM_STEPS;
	return cell < HISTOGRAM_CELLS ? cell : HISTOGRAM_CELLS - 1;
}

/* The middle of a cell. */
static uint64_t value_of(unsigned cell)
{
	if (cell < HISTOGRAM_STEPS)
		return cell;
	unsigned shift = cell / HISTOGRAM_STEPS - 1;
	uint64_t low = ((uint64_t)(cell % HISTOGRAM_STEPS) + HISTOGRAM_STEPS) << shift;
	return low + (((uint64_t)1 << shift) >> 1);
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	h->total++;
	h->cell[cell_of(ns)]++;
	if (ns > h->most)
		h->most = ns;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	to->total += from->total;
	if (from->most > to->most)
		to->most = from->most;
	for (unsigned i = 0; i < HISTOGRAM_CELLS; i++)
		to->cell[i] += from->cell[i];
}

uint64_t histogram_at(const struct histogram *h, double share)
{
	uint64_t seen = 0, wanted = (uint64_t)(share * (double)h->total);
	if (wanted >= h->total)
		return h->most;
	for (unsigned i = 0; i < HISTOGRAM_CELLS; i++) {
		seen += h->cell[i];
		if (seen > wanted)
			return value_of(i) < h->most ? value_of(i) : h->most;
	}
	return h->most;
}
