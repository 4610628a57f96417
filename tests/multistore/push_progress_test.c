/* What a push, a clone and an eviction tell while they are at it: bytes that only grow, up to what there is,
 * and all of it at the end. */
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"

enum { OBJECTS = 300, SIZE = 5000, ALL = OBJECTS * SIZE };

struct told {
	const char *phase;
	uint64_t calls, done, total;
	uint64_t give_up_at; /* so many bytes; 0: never */
	struct blobs *b;     /* that they are sent by; NULL: they are not */
	uint64_t sent_before;
};

/* Contents that are told have left: what is on its way to a slow network may be all there is. */
static void expect_sent(const struct told *t)
{
	struct ps_remote_stats stats;
	blobs_stats(t->b, &stats);
	assert_true(t->done <= stats.sent_bytes - t->sent_before);
}

static int hear(void *arg, const struct ps_progress *progress)
{
	struct told *t = arg;
	if (strcmp(progress->phase, "done") != 0)
		assert_string_equal(progress->phase, t->phase);
	assert_true(progress->done >= t->done);
	assert_true(progress->total == 0 || progress->done <= progress->total);
	t->done = progress->done;
	t->total = progress->total;
	t->calls++;
	if (t->b)
		expect_sent(t);
	return t->give_up_at && t->done >= t->give_up_at;
}

static void put_all(struct world *w)
{
	uint8_t bytes[SIZE];
	ps_id id;
	for (unsigned i = 0; i < OBJECTS; i++) {
		memset(bytes, (int)i, sizeof(bytes));
		assert_ok(ps_put(w->s, bytes, sizeof(bytes), &id));
	}
}

static struct ps_push_result push_told(struct world *w, struct told *t)
{
	struct ps_push_options options = {
	    .size = sizeof(options), .compression = -1, .progress = hear, .progress_arg = t};
	struct ps_push_result result;
	struct ps_remote_stats stats;
	blobs_stats(w->b, &stats);
	*t = (struct told){.phase = "push", .b = w->b, .sent_before = stats.sent_bytes};
	assert_ok(ps_push(w->s, w->b->r, &options, &result));
	return result;
}

static void a_push_tells_how_far_it_is(void **state)
{
	struct world w;
	struct told t;
	(void)state;
	world_new(&w, "mem", 1);
	put_all(&w);
	assert_int_equal(push_told(&w, &t).bytes, ALL);
	assert_true(t.calls > 1);
	assert_int_equal(t.done, ALL);
	assert_int_equal(t.total, ALL);
	change_some(&w, 5);
	struct ps_push_result result = push_told(&w, &t);
	assert_true(result.bytes > 0 && result.bytes < ALL);
	assert_int_equal(t.done, result.bytes);
	world_free(&w);
}

static void a_clone_tells_how_far_it_is(void **state)
{
	struct world w;
	struct told t = {.phase = "clone"};
	struct ps_clone_options options = {.size = sizeof(options), .progress = hear, .progress_arg = &t};
	struct ps_clone_result result;
	char path[300];
	(void)state;
	world_new(&w, "mem", 2);
	put_all(&w);
	(void)push_now(&w);
	snprintf(path, sizeof(path), "%s-clone", w.path);
	assert_ok(ps_clone(w.b->r, path, &options, &result));
	assert_int_equal(result.bytes, ALL);
	assert_true(t.calls > 1);
	assert_int_equal(t.done, ALL);
	assert_int_equal(t.total, ALL);
	assert_int_equal(unlink(path), 0);
	/* Given up in its middle, it leaves nothing. */
	t = (struct told){.phase = "clone", .give_up_at = ALL / 2};
	assert_error(ps_clone(w.b->r, path, &options, &result), PS_ECANCELED);
	assert_true(t.done >= ALL / 2 && t.done < ALL && access(path, F_OK) != 0);
	world_free(&w);
}

static void an_eviction_tells_how_far_it_is(void **state)
{
	struct world w;
	struct told t = {.phase = "evicting"};
	uint64_t freed = 0;
	(void)state;
	world_new(&w, "mem", 3);
	put_all(&w);
	assert_ok(ps_close(w.s));
	w.s = open_attached(w.b, w.path, PS_OPEN_EXISTING);
	assert_ok(ps_push(w.s, NULL, NULL, NULL));
	assert_ok(ps_evict(w.s, 0, hear, &t, &freed));
	assert_true(t.calls > 1 && freed >= ALL);
	assert_true(t.total > 0 && t.done >= MIN(t.total, (uint64_t)ALL));
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_push_tells_how_far_it_is),
	    cmocka_unit_test(a_clone_tells_how_far_it_is),
	    cmocka_unit_test(an_eviction_tells_how_far_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
