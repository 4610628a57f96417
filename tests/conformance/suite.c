#include "tests/conformance/suite.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum { KIB = 1 << 10, MIB = 1 << 20 };

const size_t conformance_sizes[] = {
    0,    1,       15,           16,       17,           255,          256,      257,          4095,
    4096, 4097,    32 * KIB - 1, 32 * KIB, 32 * KIB + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB - 1,
    MIB,  MIB + 1, 3 * MIB,
};
const size_t conformance_size_count = sizeof(conformance_sizes) / sizeof(conformance_sizes[0]);

void conformance_expect(int result, int expected, const char *call, const char *file, int line)
{
	if (result == expected)
		return;
	print_error("%s is %s, expected %s (%s)\n", call, ps_error_name(result), ps_error_name(expected),
	            ps_last_error_message());
	_fail(file, line);
}

static uint64_t pattern_word(uint64_t seed, uint64_t index)
{
	uint64_t x = seed * 0x9E3779B97F4A7C15U + index + 1;
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
	return x ^ (x >> 31);
}

/* By words: the suite fills and compares hundreds of MiB. */
void pattern_fill(void *buf, size_t len, uint64_t seed, uint64_t off)
{
	unsigned char *to = buf;
	for (size_t part; len; to += part, off += part, len -= part) {
		uint64_t word = htole64(pattern_word(seed, off / 8));
		part = 8 - off % 8 < len ? 8 - off % 8 : len;
		if (part == 8)
			memcpy(to, &word, 8);
		else
			memcpy(to, (const unsigned char *)&word + off % 8, part);
	}
}

static size_t first_difference(const unsigned char *a, const unsigned char *b, size_t len)
{
	size_t i = 0;
	if (len == 0 || memcmp(a, b, len) == 0)
		return len;
	while (a[i] == b[i])
		i++;
	return i;
}

size_t pattern_mismatch(const void *buf, size_t len, uint64_t seed, uint64_t off)
{
	const unsigned char *from = buf;
	unsigned char expected[4096];
	for (size_t at = 0, part; at < len; at += part) {
		part = len - at < sizeof(expected) ? len - at : sizeof(expected);
		pattern_fill(expected, part, seed, off + at);
		size_t same = first_difference(from + at, expected, part);
		if (same < part)
			return at + same;
	}
	return len;
}

unsigned char *pattern_new(size_t len, uint64_t seed)
{
	unsigned char *buf = malloc(len ? len : 1);
	assert_non_null(buf);
	pattern_fill(buf, len, seed, 0);
	return buf;
}

ps_id put_pattern(ps_storer *s, size_t len, uint64_t seed)
{
	unsigned char *buf = pattern_new(len, seed);
	ps_id id = PS_ID_NONE;
	OK(ps_put(s, buf, len, &id));
	assert_true(id != PS_ID_NONE);
	free(buf);
	return id;
}

void expect_bytes(ps_storer *s, ps_id id, const void *bytes, size_t len)
{
	struct ps_info info;
	OK(ps_info(s, id, &info));
	assert_int_equal(info.size, len);
	assert_true(info.id == id);
	unsigned char *buf = malloc(len + 1);
	assert_non_null(buf);
	buf[len] = 0xA5;
	size_t got = SIZE_MAX;
	OK(ps_get(s, id, buf, len, &got));
	assert_int_equal(got, len);
	assert_int_equal(buf[len], 0xA5);
	size_t same = first_difference(buf, bytes, len);
	if (same < len)
		fail_msg("object %llx differs at byte %zu of %zu", (unsigned long long)id, same, len);
	free(buf);
}

void expect_pattern(ps_storer *s, ps_id id, size_t len, uint64_t seed)
{
	unsigned char *buf = pattern_new(len, seed);
	expect_bytes(s, id, buf, len);
	free(buf);
}

void expect_missing(ps_storer *s, ps_id id)
{
	unsigned char byte = 0;
	size_t n = 0;
	struct ps_view view = {0};
	struct ps_info info;
	ps_reader *r = NULL;
	ps_writer *w = NULL;
	struct ps_get_many req = {.id = id, .buf = &byte, .cap = 1, .len = 9, .status = 1};
	FAILS(PS_ENOTFOUND, ps_get(s, id, &byte, 1, &n));
	FAILS(PS_ENOTFOUND, ps_read_at(s, id, 0, &byte, 1, &n));
	OK(ps_get_many(s, 1, &req));
	assert_int_equal(req.status, PS_ENOTFOUND);
	assert_int_equal(req.len, 0);
	FAILS(PS_ENOTFOUND, ps_view(s, id, &view));
	FAILS(PS_ENOTFOUND, ps_view_at(s, id, 0, 0, &view));
	assert_null(view.owner);
	FAILS(PS_ENOTFOUND, ps_replace(s, id, "x", 1));
	FAILS(PS_ENOTFOUND, ps_write_at(s, id, 0, "x", 1));
	FAILS(PS_ENOTFOUND, ps_resize(s, id, 7));
	if (id != PS_ID_PRIME)
		FAILS(PS_ENOTFOUND, ps_delete(s, id));
	FAILS(PS_ENOTFOUND, ps_info(s, id, &info));
	FAILS(PS_ENOTFOUND, ps_open_reader(s, id, &r));
	FAILS(PS_ENOTFOUND, ps_open_writer(s, id, 1, &w));
	FAILS(PS_ENOTFOUND, ps_write_batched(s, 1, &id, "x", &(size_t){1}));
	assert_null(r);
	assert_null(w);
}

static int count_one(void *arg, ps_id id)
{
	(void)id;
	++*(uint64_t *)arg;
	return 0;
}

uint64_t count_objects(ps_storer *s)
{
	uint64_t count = 0;
	OK(ps_each(s, PS_ID_NONE, count_one, &count));
	return count;
}
