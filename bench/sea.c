/* Contents: an object's bytes are a window into one sea of noise; where it lies follows from key and version.
 */
#include <math.h>
#include <string.h>

#include "bench/harness.h"

/* 131,072 windows, 8 bytes apart: that two versions have the same bytes by chance is rarer than that. */
enum { WINDOWS = 1 << 17, STEP = 8, SEA = WINDOWS * STEP + MIXED_MOST };
static uint8_t *sea;

/* The finaliser of MurmurHash3 (Appleby): every bit of the input moves half of the output's. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdU;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53U;
	return x ^ x >> 33;
}

void sea_fill(uint64_t seed)
{
	struct chance c = chance_from(seed);
	if (!sea)
		sea = xalloc(SEA);
	chance_fill(&c, sea, SEA);
}

const uint8_t *sea_at(uint64_t key, uint64_t version)
{
	return sea + mix(key * 2654435761U + version * 40503U + 1) % WINDOWS * STEP;
}

size_t mixed_size(uint64_t key, uint64_t version)
{
	uint64_t kind = mix(key + 1) % 100, part = mix(key ^ version << 40 ^ 0x5bd1e995U);
	if (kind < 90)
		return 64 + part % 449;
	if (kind < 99)
		return 4096 + part % (65536 - 4096 + 1);
	return (1 << 20) + part % (MIXED_MOST - (1 << 20) + 1);
}

size_t even_size(uint64_t key, uint64_t version, size_t most)
{
	return 64 + mix(key ^ version << 40 ^ 0x2545f491U) % (most - 63);
}

static const double THETA = 0.99;

struct zipf zipf_over(uint64_t n)
{
	struct zipf z = {.n = n, .alpha = 1 / (1 - THETA), .half = pow(0.5, THETA)};
	for (uint64_t i = 1; i <= n; i++)
		z.zeta += 1 / pow((double)i, THETA);
	z.eta = (1 - pow(2.0 / (double)n, 1 - THETA)) / (1 - (1 + z.half) / z.zeta);
	return z;
}

uint64_t zipf_next(const struct zipf *z, struct chance *c)
{
	double u = (double)(chance_next(c) >> 11) * 0x1p-53, uz = u * z->zeta;
	uint64_t rank;
	if (uz < 1)
		rank = 0;
	else if (uz < 1 + z->half)
		rank = 1;
	else
		rank = (uint64_t)((double)z->n * pow(z->eta * u - z->eta + 1, z->alpha));
	/* The popular ones lie anywhere among the keys. */
	return mix(rank < z->n ? rank : z->n - 1) % z->n;
}
