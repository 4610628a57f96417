#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/allocator/root_model.h"
#include "tests/allocator/sequences.h"

enum { SEQUENCES = 12, BYTES = 4000 };

static void run_seed(uint64_t seed)
{
	static uint8_t data[BYTES];
	/* Half of the sequences begin with the largest space: without space there is little to do. */
	fill_sequence(seed, data, BYTES);
	if (seed % 2 == 0) {
		data[0] = 10; /* grow */
		data[1] = 40;
		data[2] = 0;
	}
	const char *wrong = root_model_run(data, sizeof(data));
	if (wrong)
		fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
}

static void every_call_does_what_the_map_of_granules_says(void **state)
{
	(void)state;
	run_sequences(SEQUENCES, run_seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_call_does_what_the_map_of_granules_says)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
