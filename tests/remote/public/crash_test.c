/* A crash at every write of the local index and at every request, for every call that changes what an address
 * shows: afterwards readers see the old or the new value whole, or that it was taken back; the key has the
 * old or the new value; no pad is forgotten, none changed its class; and the call, repeated, finishes. usage:
 * crash_test [STRIDE]: only every so-manieth place */
#include <stdlib.h>
#include <string.h>

#include "tests/remote/blobs/crash_world.h"
#include "tests/remote/public/public_fixture.h"

static uint64_t stride = 1;
static char address[PS_PUBLIC_ADDRESS]; /* of "shown" */
static struct reader *reader; /* remembers what it saw, from crash to crash: only within one state */

/* One public value, one private, and free pads of both classes. */
static void make_base(struct world *w)
{
	char gone[PS_PUBLIC_ADDRESS];
	put_public(w->b, "shown", 2 * PAD, 1, address);
	blobs_put(w->b, "private", 2 * PAD - 9, 2);
	put_public(w->b, "gone", PAD, 3, gone);
	assert_ok(ps_remote_remove(w->b->r, "gone"));
	blobs_put(w->b, "gone too", PAD, 4);
	assert_ok(ps_remote_remove(w->b->r, "gone too"));
}

static bool exists(struct world *w, const char *key, bool *is_public)
{
	struct ps_remote_info info;
	int err = ps_remote_stat(w->b->r, key, &info);
	assert_true(err == PS_OK || err == PS_ENOTFOUND);
	*is_public = err == PS_OK && info.is_public;
	return err == PS_OK && info.exists;
}

/* What is seen under the address: this value, or that one, or neither where it was taken back. */
static bool shows(const char *text, size_t len, uint64_t seed)
{
	int err = reader_get(reader, text, len, seed);
	if (err != PS_OK && err != PS_ERANGE && err != PS_ENOTFOUND)
		fail_msg("reading: %s (%s)", ps_error_name(err), ps_last_error_message());
	return err == PS_OK;
}

static int act_put(struct world *w)
{
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	uint8_t *bytes = blobs_bytes(3 * PAD - 1, 7);
	int err = ps_remote_put_public(w->b->r, "new", bytes, 3 * PAD - 1, &replace);
	test_free(bytes);
	return err;
}

static void check_put(struct world *w, bool done)
{
	char text[PS_PUBLIC_ADDRESS];
	bool is_public, there = exists(w, "new", &is_public);
	assert_true(there || !done);
	assert_int_equal(there, is_public);
	if (!there)
		return;
	blobs_expect(w->b, "new", 3 * PAD - 1, 7);
	assert_ok(ps_remote_address(w->b->r, "new", text));
	assert_true(shows(text, 3 * PAD - 1, 7));
}

static int act_update(struct world *w)
{
	uint8_t *bytes = blobs_bytes(2 * PAD + 5, 8);
	blobs_fill(bytes, 1, 8);
	int err = ps_remote_update(w->b->r, "shown", bytes, 2 * PAD + 5, NULL);
	test_free(bytes);
	return err;
}

/* The address is ahead of the key where the crash came between them. */
static void check_update(struct world *w, bool done)
{
	struct ps_remote_info info;
	char text[PS_PUBLIC_ADDRESS];
	assert_ok(ps_remote_stat(w->b->r, "shown", &info));
	bool is_new = info.size == 2 * PAD + 5;
	blobs_expect(w->b, "shown", is_new ? 2 * PAD + 5 : 2 * PAD, is_new ? 8 : 1);
	bool shown = shows(address, 2 * PAD + 5, 8);
	assert_true(shown || (!is_new && !done && shows(address, 2 * PAD, 1)));
	assert_true(is_new || !done);
	assert_ok(ps_remote_address(w->b->r, "shown", text));
	assert_string_equal(text, address);
}

/* Half of it stays as it is: its pads are kept. */
static int act_part(struct world *w)
{
	uint8_t *bytes = blobs_bytes(2 * PAD, 1);
	bytes[PAD + 1] ^= 1;
	int err = ps_remote_update(w->b->r, "shown", bytes, 2 * PAD, NULL);
	test_free(bytes);
	return err;
}

static void check_part(struct world *w, bool done)
{
	uint8_t *bytes = blobs_bytes(2 * PAD, 1), *is = test_malloc(2 * PAD), *seen = test_malloc(2 * PAD);
	size_t len;
	assert_ok(ps_remote_get(w->b->r, "shown", is, 2 * PAD, &len, NULL));
	assert_ok(ps_public_get(&reader->p, address, seen, 2 * PAD, &len));
	bool changed = is[PAD + 1] != bytes[PAD + 1], shown = seen[PAD + 1] != bytes[PAD + 1];
	assert_true(shown || !changed);
	assert_true(changed || !done);
	bytes[PAD + 1] ^= changed;
	assert_memory_equal(bytes, is, 2 * PAD);
	bytes[PAD + 1] ^= changed != shown;
	assert_memory_equal(bytes, seen, 2 * PAD);
	test_free(bytes);
	test_free(is);
	test_free(seen);
}

static int act_publish(struct world *w)
{
	return ps_remote_publish(w->b->r, "private", NULL, NULL);
}

static void check_publish(struct world *w, bool done)
{
	char text[PS_PUBLIC_ADDRESS];
	bool is_public;
	assert_true(exists(w, "private", &is_public));
	assert_true(is_public || !done);
	blobs_expect(w->b, "private", 2 * PAD - 9, 2);
	if (!is_public)
		return;
	assert_ok(ps_remote_address(w->b->r, "private", text));
	assert_true(shows(text, 2 * PAD - 9, 2));
}

static int act_unpublish(struct world *w)
{
	int err = ps_remote_unpublish(w->b->r, "shown", NULL);
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static void check_unpublish(struct world *w, bool done)
{
	bool is_public;
	assert_true(exists(w, "shown", &is_public));
	blobs_expect(w->b, "shown", 2 * PAD, 1);
	assert_true(!is_public || !done);
	if (!is_public)
		assert_false(shows(address, 2 * PAD, 1));
}

static int act_remove(struct world *w)
{
	int err = ps_remote_remove(w->b->r, "shown");
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static void check_remove(struct world *w, bool done)
{
	bool is_public, there = exists(w, "shown", &is_public);
	assert_true(!there || !done);
	if (there)
		blobs_expect(w->b, "shown", 2 * PAD, 1);
	else
		assert_false(shows(address, 2 * PAD, 1));
}

static int act_again(struct world *w)
{
	struct ps_remote_publish over = {.size = sizeof(over), .take_over = 1};
	return ps_remote_publish(w->b->r, "shown", &over, NULL);
}

static void check_again(struct world *w, bool done)
{
	(void)done;
	blobs_expect(w->b, "shown", 2 * PAD, 1);
	assert_true(shows(address, 2 * PAD, 1));
}

static const struct step steps[] = {
    {"put", act_put, check_put},
    {"update", act_update, check_update},
    {"update of a part", act_part, check_part},
    {"publish", act_publish, check_publish},
    {"unpublish", act_unpublish, check_unpublish},
    {"remove", act_remove, check_remove},
    {"show again", act_again, check_again},
};
enum { STEPS = sizeof(steps) / sizeof(*steps) };

/* ---- the loops ---- */

static void begin(struct world *w)
{
	reader = reader_new(w->b);
	assert_true(shows(address, 2 * PAD, 1));
}

static void end(struct world *w)
{
	(void)w;
	reader_free(reader);
}

static void make_world(struct world *w)
{
	world_new(w, make_base);
	w->begun = begin;
	w->ended = end;
}

static void a_crash_at_every_local_write(void **state)
{
	struct world w;
	(void)state;
	make_world(&w);
	world_walk_local_writes(&w, steps, STEPS, stride);
	world_free(&w);
}

static void a_crash_at_every_request(void **state)
{
	struct world w;
	(void)state;
	make_world(&w);
	world_walk_requests(&w, steps, STEPS, stride);
	world_free(&w);
}

/* What was on its way when the process ended comes when the next one has begun. */
static void what_comes_late_changes_nothing(void **state)
{
	struct world w;
	unsigned states = 0;
	(void)state;
	make_world(&w);
	for (size_t i = 0; i < STEPS; i++) {
		bool hit = true;
		for (uint64_t k = 1; hit; k += stride, states++) {
			struct ps_mem_rule at = {
			    .fault = PS_MEM_LATE, .first = k, .count = 1, .amount = 1U << 20};
			struct ps_mem_rule then = {.fault = PS_MEM_VANISH, .first = k};
			unsigned first, second;
			world_restore(&w);
			assert_ok(ps_mem_rule_add(blobs_world(w.b), &at, &first));
			assert_ok(ps_mem_rule_add(blobs_world(w.b), &then, &second));
			int err = steps[i].act(&w);
			hit = ps_mem_rule_hits(blobs_world(w.b), first) +
			          ps_mem_rule_hits(blobs_world(w.b), second) >
			      0;
			world_crash(&w);
			assert_true(steps[i].act(&w) == PS_OK || err == PS_OK);
			(void)ps_mem_deliver(blobs_world(w.b));
			world_see_after(&w, &steps[i], PS_OK);
		}
	}
	print_message("%u writes that came late\n", states);
	world_free(&w);
}

/* ---- the caller gives up ---- */

struct patience {
	unsigned calls, most;
};

static int lose_patience(void *arg, const struct ps_remote_progress *progress)
{
	struct patience *p = arg;
	return progress->phase != PS_REMOTE_END && p->calls++ >= p->most;
}

static void a_call_can_be_canceled_at_any_event(void **state)
{
	struct world w;
	unsigned canceled = 0;
	(void)state;
	make_world(&w);
	for (size_t i = 0; i < STEPS; i++) {
		bool ended = false;
		for (unsigned most = 0; !ended; most++) {
			struct patience patience = {.most = most};
			world_restore(&w);
			w.b->r->options.progress = lose_patience;
			w.b->r->options.progress_arg = &patience;
			int err = steps[i].act(&w);
			ended = err == PS_OK;
			assert_true(ended || err == PS_ECANCELED);
			canceled += !ended;
			world_see_after(&w, &steps[i], err);
		}
	}
	print_message("%u calls canceled\n", canceled);
	assert_true(canceled > 3);
	world_free(&w);
}

/* Memory that runs out anywhere: nothing is lost, and the call can be repeated. */
static void no_memory_at_any_place(void **state)
{
	struct world w;
	(void)state;
	make_world(&w);
	world_walk_memory(&w, steps, STEPS, stride);
	world_free(&w);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_crash_at_every_local_write),
	    cmocka_unit_test(a_crash_at_every_request),
	    cmocka_unit_test(what_comes_late_changes_nothing),
	    cmocka_unit_test(a_call_can_be_canceled_at_any_event),
	    cmocka_unit_test(no_memory_at_any_place),
	};
	if (argc > 1)
		stride = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("public values, crashes", tests, NULL, NULL);
}
