/* Copies to, from and beside engines that are programs of their own.
 * usage: engines_test s3|rados|radosgw (s3: the scripted server) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/copy/copy_fixture.h"
#include "tests/remote/one_engine.h"

enum { PAD = 128 << 10 };

static void change_and_copy(struct pair_of *p, const char *url, uint64_t seed)
{
	struct ps_remote_copy_result result;
	blobs_update(p->a, "changes", 2 * PAD, seed);
	(void)sync_machine(p->a);
	assert_ok(ps_remote_copy(p->a->r, url, NULL, &result));
	assert_int_equal(result.missing, 0);
	assert_true(result.replaced >= 1);
}

static void lose_all_values(struct pair_of *p)
{
	struct ps_record record;
	assert_ok(ps_index_get(p->a->r->index, PS_RECORD_BLOB, "stays", 5, &record));
	for (uint32_t i = 0; i < record.sets[PS_SET_CURRENT].count; i++)
		assert_ok(ps_mem_set(blobs_world(p->a), 0, &record.sets[PS_SET_CURRENT].slots[i].name, NULL,
		                     NULL, 0));
	ps_record_done(&record);
}

static void a_copy_goes_to_an_engine_and_comes_back(void **state)
{
	struct ps_remote_copy first = {.size = sizeof(first), .create = 1},
	                      all = {.size = sizeof(all), .all = 1};
	struct ps_remote_copy_result result;
	struct ps_remote_health options = {.size = sizeof(options), .read = 1};
	struct ps_remote_health_result health;
	struct pair_of p;
	char url[256];
	(void)state;
	pair_new(&p);
	engine_url("copy", url);
	p.a->options.timeout_ms = 20000;
	blobs_reopen(p.a);
	blobs_put(p.a, "stays", 3 * PAD + 7, 1);
	blobs_put(p.a, "changes", 2 * PAD, 2);
	(void)sync_machine(p.a);
	assert_ok(ps_remote_copy(p.a->r, url, &first, &result));
	assert_true(result.created >= 7);
	for (unsigned round = 0; round < 4; round++)
		change_and_copy(&p, url, 10 + round);
	assert_ok(ps_remote_copy(p.a->r, url, &all, &result));
	assert_int_equal(result.kept, result.looked);
	/* As a fallback, and what repairs. */
	p.a->options.fallback = url;
	blobs_reopen(p.a);
	lose_all_values(&p);
	blobs_expect(p.a, "stays", 3 * PAD + 7, 1);
	assert_ok(ps_remote_health_check(p.a->r, &options, &health));
	assert_int_equal(health.repaired, 4);
	/* As a store, and from there to a network again. */
	struct blobs *b = machine_new(p.a);
	snprintf(b->url, sizeof(b->url), "%s", url);
	b->options.fallback = NULL;
	assert_ok(blobs_start_again(b, false));
	blobs_expect(b, "stays", 3 * PAD + 7, 1);
	blobs_expect(b, "changes", 2 * PAD, 13);
	assert_ok(ps_remote_copy(b->r, p.url, NULL, &result));
	machine_free(b);
	b = open_copy(&p);
	blobs_expect(b, "stays", 3 * PAD + 7, 1);
	blobs_expect(b, "changes", 2 * PAD, 13);
	machine_free(b);
	pair_free(&p);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_copy_goes_to_an_engine_and_comes_back)};
	return cmocka_run_group_tests_name("copies, engines", tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	return on_one_engine(argc > 1 ? argv[1] : "s3", 0, run);
}
