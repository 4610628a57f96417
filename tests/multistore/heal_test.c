/* Damage in the file of what the network has, for each kind of contents: it heals and is counted; damage
 * there as well is refused, spreads to nothing that is good here, and heals later. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"

enum { KINDS = 4, LARGEST = 200000, CHUNK = 65536 };
static const struct kind {
	const char *name;
	size_t size, from, len; /* of the object; and where it is damaged */
} kinds[KINDS] = {{"a slot of a class", 300, 100, 50},
                  {"an extent", 20000, 9000, 500},
                  {"the first chunk of a map", LARGEST, 70, 500},
                  {"a later chunk of a map", LARGEST, 2 * CHUNK + 70, 500}};

struct damaged {
	struct world w;
	ps_id id[KINDS], good;
	uint8_t bytes[KINDS][LARGEST], good_bytes[3000];
};

static void damaged_new(struct damaged *d, unsigned k)
{
	world_new(&d->w, "mem", 2);
	for (unsigned i = 0; i < KINDS; i++) {
		blobs_fill(d->bytes[i], kinds[i].size, 70 + i);
		assert_ok(ps_put(d->w.s, d->bytes[i], kinds[i].size, &d->id[i]));
	}
	blobs_fill(d->good_bytes, sizeof(d->good_bytes), 99);
	assert_ok(ps_put(d->w.s, d->good_bytes, sizeof(d->good_bytes), &d->good));
	(void)push_now(&d->w);
	assert_ok(ps_close(d->w.s));
	damage_copies(d->w.path, d->bytes[k] + kinds[k].from, kinds[k].len);
	d->w.s = open_attached(d->w.b, d->w.path, PS_OPEN_EXISTING);
}

static int read_it(struct damaged *d, unsigned k)
{
	static uint8_t got[LARGEST];
	size_t len = 0;
	memset(got, 0, sizeof(got));
	int err = ps_get(d->w.s, d->id[k], got, sizeof(got), &len);
	if (!err) {
		assert_int_equal(len, kinds[k].size);
		assert_memory_equal(got, d->bytes[k], len);
	}
	return err;
}

static uint64_t healed(struct damaged *d)
{
	struct ps_local_figures f;
	assert_ok(ps_local_figures(d->w.s, &f));
	return f.healed;
}

static void expect_good(struct damaged *d)
{
	uint8_t got[sizeof(d->good_bytes)];
	size_t len;
	assert_ok(ps_get(d->w.s, d->good, got, sizeof(got), &len));
	assert_memory_equal(got, d->good_bytes, sizeof(got));
}

/* Of the whole object, and of the damaged place alone. */
static void expect_healing(struct damaged *d, unsigned k, bool by_range)
{
	uint8_t got[600];
	size_t len;
	if (by_range) {
		assert_ok(ps_read_at(d->w.s, d->id[k], kinds[k].from, got, kinds[k].len, &len));
		assert_int_equal(len, kinds[k].len);
		assert_memory_equal(got, d->bytes[k] + kinds[k].from, len);
	}
	assert_ok(read_it(d, k));
	assert_int_equal(healed(d), 1);
	assert_ok(ps_close(d->w.s));
	d->w.s = open_attached(d->w.b, d->w.path, PS_OPEN_EXISTING);
	struct ps_mem_figures asked;
	ps_mem_figures(blobs_world(d->w.b), &asked, true);
	assert_ok(read_it(d, k)); /* by the file, as it is now */
	ps_mem_figures(blobs_world(d->w.b), &asked, false);
	assert_int_equal(asked.requests[PS_NET_GET] + asked.requests[PS_NET_GET_RANGE], 0);
	assert_ok(ps_check(d->w.s, PS_CHECK_FULL, NULL, NULL));
}

static void damage_here_heals(void **state)
{
	struct damaged *d = calloc(1, sizeof(*d));
	(void)state;
	assert_non_null(d);
	for (unsigned i = 0; i < 2 * KINDS; i++) {
		print_message("%s\n", kinds[i / 2].name);
		damaged_new(d, i / 2);
		expect_healing(d, i / 2, i % 2);
		world_free(&d->w);
		memset(d, 0, sizeof(*d));
	}
	free(d);
}

static void damage_there_does_not_spread(void **state)
{
	static const struct lie {
		enum ps_mem_fault fault;
		const char *says; /* why it does not heal */
	} lies[] = {{PS_MEM_FLIP, "not the one that was signed"},
	            {PS_MEM_ABSENT, "nothing is there"},
	            {PS_MEM_VANISH, "no answer"}};
	struct damaged *d = calloc(1, sizeof(*d));
	(void)state;
	assert_non_null(d);
	for (unsigned i = 0; i < KINDS * (sizeof(lies) / sizeof(*lies)); i++) {
		unsigned k = i % KINDS, number;
		const struct ps_mem_rule rule = {.fault = lies[i / KINDS].fault,
		                                 .ops = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE,
		                                 .amount = 4001};
		damaged_new(d, k);
		assert_ok(ps_mem_rule_add(blobs_world(d->w.b), &rule, &number));
		expect_good(d);
		assert_int_equal(ps_mem_rule_hits(blobs_world(d->w.b), number), 0);
		assert_error(read_it(d, k), PS_ECORRUPT);
		assert_non_null(strstr(ps_last_error_message(), "is damaged at offset"));
		assert_non_null(strstr(ps_last_error_message(), lies[i / KINDS].says));
		assert_int_equal(healed(d), 0);
		expect_good(d);
		ps_mem_rule_remove(blobs_world(d->w.b), 0);
		expect_healing(d, k, false);
		world_free(&d->w);
		memset(d, 0, sizeof(*d));
	}
	free(d);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(damage_here_heals),
	    cmocka_unit_test(damage_there_does_not_spread),
	};
	return cmocka_run_group_tests_name("damage that heals", tests, NULL, NULL);
}
