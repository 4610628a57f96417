#include "tests/allocator/sequences.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15U;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
	return z ^ (z >> 31);
}

void fill_sequence(uint64_t seed, uint8_t *data, size_t len)
{
	uint64_t state = seed;
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)next_random(&state);
}

void run_sequences(uint64_t most, void (*run)(uint64_t seed))
{
	const char *one = getenv("PS_SEED"), *many = getenv("PS_SEEDS");
	if (one) {
		run(strtoull(one, NULL, 10));
		return;
	}
	uint64_t seeds = many ? strtoull(many, NULL, 10) : most;
	print_message("seeds 1 to %llu (PS_SEED=n repeats one)\n", (unsigned long long)seeds);
	for (uint64_t seed = 1; seed <= seeds; seed++)
		run(seed);
}
