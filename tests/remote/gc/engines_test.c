/* gc over engines that are programs of their own: what is left over goes, whether a removal can be guarded or
 * not. usage: engines_test s3|rados|radosgw (s3: the scripted server) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/gc/gc_fixture.h"
#include "tests/remote/one_engine.h"
#include "tests/remote/s3_server.h"

enum { PAD = 128 << 10 };

static void fresh_url(char url[256])
{
	static unsigned number;
	char place[32];
	snprintf(place, sizeof(place), "gc-%u", number++);
	engine_url(place, url);
}

/* A store of its own on the engine; what gc_store_new makes only for networks of this process. */
static struct blobs *engine_store_new(void)
{
	struct blobs *like = gc_store_new("mem"), *a = machine_new(like);
	fresh_url(a->url);
	a->options.timeout_ms = 20000;
	blobs_free(like);
	assert_ok(blobs_start_again(a, true));
	return a;
}

static void what_is_left_over_goes(void **state)
{
	struct blobs *a = engine_store_new(), *b = machine_open(a);
	bool guarded = ps_network_caps(a->r->network) & PS_NET_CAP_GUARDED_REMOVE;
	struct ps_remote_gc_result found;
	struct ps_remote_audit_result audit;
	(void)state;
	blobs_put(a, "of a", 3 * PAD, 1);
	(void)sync_machine(a);
	blobs_put(b, "of b", PAD, 2);
	(void)sync_machine(b);
	assert_ok(ps_remote_reserve(b->r, 4, 0)); /* nobody else knows of them */
	gc_leave_behind(a, 2);
	gc_let_ripen(a);
	assert_ok(gc_try(a, true, true, &found));
	print_message("%s, removals %s: %u deleted\n", ps_network_url(a->r->network),
	              guarded ? "guarded" : "fenced", (unsigned)found.deleted);
	assert_int_equal(found.deleted, found.unnamed);
	assert_true(found.deleted >= 4 + 3);
	assert_int_equal(found.changed + found.foreign, 0);
	blobs_put(b, "more of b", 3 * PAD, 3);
	(void)sync_machine(b);
	(void)sync_machine(a);
	blobs_expect(a, "of a", 3 * PAD, 1);
	blobs_expect(a, "of b", PAD, 2);
	blobs_expect(a, "more of b", 3 * PAD, 3);
	assert_ok(ps_remote_audit(a->r, NULL, &audit));
	assert_int_equal(audit.foreign + audit.no_pads + audit.other_sizes, 0);
	assert_int_equal(audit.roles[PS_ROLE_HEAD], 1);
	machine_free(b);
	machine_free(a);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_left_over_goes)};
	return cmocka_run_group_tests_name("gc, engines", tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	const char *engine = argc > 1 ? argv[1] : "s3";
	int failed = on_one_engine(engine, 0, run);
	/* And one that takes every DELETE. */
	return strcmp(engine, "s3") == 0 ? failed + on_one_engine(engine, S3_IGNORES_DELETE_MATCH, run)
	                                 : failed;
}
