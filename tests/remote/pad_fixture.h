/* Pads for tests: seeded keys, plans and payloads, sealed records, and their damage. */
#ifndef PAD_FIXTURE_H
#define PAD_FIXTURE_H

#include "remote/pad.h"

/* A stream of numbers that a seed repeats. */
struct dice {
	uint64_t state;
};
uint64_t dice_roll(struct dice *dice);
uint64_t dice_below(struct dice *dice, uint64_t limit);
void dice_fill(struct dice *dice, void *bytes, size_t len);
/* From PS_SEED, else a fixed one; printed. */
struct dice dice_seeded(const char *test);

/* A sealed record and what it was made of. */
struct sealed {
	struct ps_pad_plan plan;
	struct ps_pad_name name;
	struct ps_pad_identity identity;
	struct ps_pad_header header; /* as opened again */
	uint8_t *payload;
	size_t payload_len;
	uint8_t *record;
	size_t len;
};

ps_keys *keys_seeded(struct dice *dice, const char *store);
struct ps_pad_plan plan_seeded(struct dice *dice);
/* Seals; every step must succeed. Taken away by sealed_free. */
void seal_plan(const ps_keys *keys, const struct ps_pad_plan *plan, const void *payload, size_t len,
               struct sealed *sealed);
void seal_random(const ps_keys *keys, struct dice *dice, size_t len, struct sealed *sealed);
void sealed_free(struct sealed *sealed);
struct ps_pad_expected expected_of(const struct sealed *sealed);

/* Everything that a reader does with bytes that came back for `expected`'s pad: the first error, and the
 * payload where there is none. */
int read_back(const ps_keys *keys, const struct sealed *expected, const uint8_t *bytes, size_t len);

#endif
