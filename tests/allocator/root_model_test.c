#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/allocator/root_model.h"

enum { SEQUENCES = 12, BYTES = 4000 };

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15U;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
	return z ^ (z >> 31);
}

static void run_seed(uint64_t seed)
{
	static uint8_t data[BYTES];
	uint64_t state = seed;
	/* Half of the sequences begin with the largest space: without space there is little to do. */
	for (size_t i = 0; i < BYTES; i++)
		data[i] = (uint8_t)next_random(&state);
	if (seed % 2 == 0) {
		data[0] = 10; /* grow */
		data[1] = 40;
		data[2] = 0;
	}
	const char *wrong = root_model_run(data, sizeof(data));
	if (wrong)
		fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
}

/* PS_SEED repeats one sequence; PS_SEEDS makes so many. */
static void every_call_does_what_the_map_of_granules_says(void **state)
{
	const char *one = getenv("PS_SEED"), *many = getenv("PS_SEEDS");
	(void)state;
	if (one) {
		run_seed(strtoull(one, NULL, 10));
		return;
	}
	uint64_t seeds = many ? strtoull(many, NULL, 10) : SEQUENCES;
	print_message("seeds 1 to %llu (PS_SEED=n repeats one)\n", (unsigned long long)seeds);
	for (uint64_t seed = 1; seed <= seeds; seed++)
		run_seed(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_call_does_what_the_map_of_granules_says)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
