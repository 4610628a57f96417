#include "tests/remote/sync/values.h"

#include <stdio.h>
#include <string.h>

struct value value_of(uint32_t count, uint64_t first_seed)
{
	struct value v = {.count = count};
	for (uint32_t i = 0; i < count; i++)
		v.seeds[i] = first_seed + i;
	return v;
}

void fill_chunk(uint8_t *bytes, uint64_t seed)
{
	blobs_fill(bytes, PAD, seed);
	memcpy(bytes, &seed, sizeof(seed));
}

void put_value(struct blobs *b, const char *key, const struct value *v)
{
	static uint8_t bytes[CHUNKS * PAD];
	struct ps_remote_put o = {.size = sizeof(o), .replace = 1};
	for (uint32_t i = 0; i < v->count; i++)
		fill_chunk(bytes + (size_t)i * PAD, v->seeds[i]);
	assert_ok(ps_remote_put(b->r, key, bytes, (size_t)v->count * PAD, &o));
}

/* Right to the last byte, or an error. */
int get_value(struct blobs *b, const char *key, struct value *v)
{
	static uint8_t bytes[CHUNKS * PAD], should[PAD];
	size_t len;
	int err = ps_remote_get(b->r, key, bytes, sizeof(bytes), &len, NULL);
	if (err != PS_OK)
		return err;
	assert_int_equal(len % PAD, 0);
	*v = (struct value){.count = (uint32_t)(len / PAD)};
	for (uint32_t i = 0; i < v->count; i++) {
		memcpy(&v->seeds[i], bytes + (size_t)i * PAD, sizeof(v->seeds[i]));
		fill_chunk(should, v->seeds[i]);
		assert_memory_equal(bytes + (size_t)i * PAD, should, PAD);
	}
	return PS_OK;
}

bool value_same(const struct value *a, const struct value *b)
{
	return a->count == b->count && memcmp(a->seeds, b->seeds, a->count * sizeof(a->seeds[0])) == 0;
}

void value_expect(struct blobs *b, const char *key, const struct value *should)
{
	struct value is;
	assert_ok(get_value(b, key, &is));
	assert_true(value_same(&is, should));
}

/* Under the key, or in a conflict copy of it. */
struct search {
	struct blobs *b;
	const struct value *wanted;
	size_t found;
};

static int see_value(void *arg, const struct ps_remote_info *info)
{
	struct search *search = arg;
	struct value is;
	if (!info->exists)
		return 0;
	assert_ok(get_value(search->b, info->key, &is));
	search->found += value_same(&is, search->wanted);
	return 0;
}

void value_expect_somewhere(struct blobs *b, const char *prefix, const struct value *should)
{
	struct search search = {.b = b, .wanted = should};
	assert_ok(ps_remote_list(b->r, prefix, see_value, &search));
	assert_int_equal(search.found, 1);
}

/* Takes every pad that is free here, and writes it anew. */
void reuse_pads(struct blobs *b, const char *prefix)
{
	for (unsigned i = 0; i < 4; i++) {
		char key[32];
		snprintf(key, sizeof(key), "%s %u", prefix, i);
		struct value v = value_of(CHUNKS, 1000 + 10 * i + (uint8_t)prefix[0] * 1000ULL);
		put_value(b, key, &v);
	}
}
