/* Contents that follow from seed, key and version, so that whatever is read can be verified without keeping a
 * copy. */
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "bench/bench.h"

/* A page of noise, shifted by the key, with the key and version at the front: cheap to make, so that a timed
 * load does not measure it. */
enum { NOISE = 8192 };

static const uint8_t *noise(uint64_t seed)
{
	static uint8_t bytes[NOISE];
	static uint64_t made_from;
	static bool made;
	if (!made || made_from != seed) {
		struct chance c = chance_from(seed);
		chance_fill(&c, bytes, sizeof(bytes));
		made_from = seed;
		made = true;
	}
	return bytes;
}

static void part(uint64_t seed, uint64_t key, uint64_t version, size_t at, void *buf, size_t len)
{
	uint64_t head[2] = {key, version};
	memcpy(buf, noise(seed) + (key * 8 + version * 24 + at) % 4096, len);
	if (at == 0)
		memcpy(buf, head, MIN(len, sizeof(head)));
}

void contents_fill(uint64_t seed, uint64_t key, uint64_t version, void *buf, size_t len)
{
	for (size_t at = 0; at < len; at += 4096)
		part(seed, key, version, at, (uint8_t *)buf + at, MIN(len - at, (size_t)4096));
}

void contents_verify(uint64_t seed, uint64_t key, uint64_t version, const void *buf, size_t len)
{
	uint8_t expected[4096];
	for (size_t at = 0; at < len; at += 4096) {
		size_t n = MIN(len - at, (size_t)4096);
		part(seed, key, version, at, expected, n);
		if (memcmp(expected, (const uint8_t *)buf + at, n) != 0)
			die("object %llu, version %llu: other bytes than were written, from %zu on",
			    (unsigned long long)key, (unsigned long long)version, at);
	}
}

uint64_t batch_of(size_t size)
{
	return MAX((uint64_t)1, MIN((uint64_t)1000, ((uint64_t)64 << 20) / size));
}

void load_objects(const struct bench *b, ps_storer *s, uint64_t count, size_t size, ps_id *ids)
{
	uint8_t *buf = xalloc(size);
	for (uint64_t i = 0; i < count;) {
		ps_batch *batch;
		uint64_t end = MIN(count, i + batch_of(size));
		MUST(ps_batch_begin(s, &batch));
		for (; i < end; i++) {
			contents_fill(b->seed, i, 0, buf, size);
			MUST(ps_batch_put(batch, buf, size, &ids[i]));
		}
		MUST(ps_batch_commit(batch, PS_DURABLE));
	}
	free(buf);
}
