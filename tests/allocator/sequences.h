/* Random sequences of calls for a model: the same ones each time. */
#ifndef PS_TEST_SEQUENCES_H
#define PS_TEST_SEQUENCES_H

#include <stddef.h>
#include <stdint.h>

/* So many bytes, all by the seed. */
void fill_sequence(uint64_t seed, uint8_t *data, size_t len);
/* Seeds 1 to `most`; PS_SEED repeats one sequence, PS_SEEDS makes so many. */
void run_sequences(uint64_t most, void (*run)(uint64_t seed));

#endif
