/* Values of one pad or several, each chunk of which tells its seed: what is read is told from all that was
 * ever written, to the last byte. */
#ifndef SYNC_VALUES_H
#define SYNC_VALUES_H

#include "tests/remote/sync/sync_fixture.h"

enum { PAD = 128 << 10, CHUNKS = 4 };

struct value {
	uint32_t count;
	uint64_t seeds[CHUNKS];
};

struct value value_of(uint32_t count, uint64_t first_seed);
bool value_same(const struct value *a, const struct value *b);
void fill_chunk(uint8_t *bytes, uint64_t seed);
void put_value(struct blobs *b, const char *key, const struct value *v);
/* Right to the last byte, or an error. */
int get_value(struct blobs *b, const char *key, struct value *v);
void value_expect(struct blobs *b, const char *key, const struct value *should);
/* Once among the keys that begin so. */
void value_expect_somewhere(struct blobs *b, const char *prefix, const struct value *should);
/* Takes pads that are free here, and writes them anew. */
void reuse_pads(struct blobs *b, const char *prefix);

#endif
