/* A process that is killed while it pushes, or while it commits: what the next push sends is what is still
 * missing, and never the whole store. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"

enum {
	EACH = 60000, /* of one object */
	ALL = 100,
	CHANGED = 40,
	PACK = 4 * EACH,
	SENDERS = 2,          /* of packs: each may be within one */
	OVERHEAD = 256 << 10, /* the index, the manifest, the pads' own */
};

static ps_id ids[ALL];

static void write_some(ps_storer *s, unsigned count, uint64_t version)
{
	uint8_t *bytes = test_malloc(EACH);
	for (unsigned i = 0; i < count; i++) {
		blobs_fill(bytes, EACH, version * ALL + i);
		if (ids[i] == PS_ID_NONE)
			assert_ok(ps_put(s, bytes, EACH, &ids[i]));
		else
			assert_ok(ps_replace(s, ids[i], bytes, EACH));
	}
	assert_ok(ps_sync(s));
	test_free(bytes);
}

static void killed_world_new(struct world *w)
{
	memset(ids, 0, sizeof(ids));
	world_new(w, "dir", 2);
	w->options.pack_bytes = PACK;
	w->options.compression = -1;
	write_some(w->s, ALL, 1);
	assert_true(push_now(w).bytes == (uint64_t)ALL * EACH);
	write_some(w->s, CHANGED, 2);
	assert_ok(ps_close(w->s));
	blobs_close(w->b);
}

static void go_on(struct world *w)
{
	struct ps_base_options options = stack_base();
	ps_storer *base;
	int err;
	assert_ok(blobs_start_after_kill(w->b));
	options.mode = PS_OPEN_EXISTING;
	do
		err = ps_base_open(w->path, &options, &base);
	while (err == PS_EBUSY);
	assert_ok(err);
	assert_ok(ps_close(base));
	w->s = open_stack(w, w->path, PS_OPEN_EXISTING);
}

struct fate {
	uint64_t at; /* bytes of contents that were sent when it dies */
};

static int die_there(void *arg, const struct ps_progress *progress)
{
	const struct fate *fate = arg;
	if (progress->done >= fate->at)
		(void)raise(SIGKILL);
	return 0;
}

static void wait_for_death(pid_t child)
{
	int status;
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void push_and_be_killed(struct world *w, uint64_t at)
{
	struct fate fate = {at};
	pid_t child = fork();
	if (child == 0) {
		if (blobs_start(w->b, false) != PS_OK)
			_exit(1);
		w->s = open_stack(w, w->path, PS_OPEN_EXISTING);
		w->options.progress = die_there;
		w->options.progress_arg = &fate;
		_exit(ps_push(w->s, w->b->r, &w->options, NULL) == PS_OK ? 2 : 3);
	}
	wait_for_death(child);
}

static void expect_all(struct world *w)
{
	struct picture p;
	picture_take(&p, w->s);
	assert_int_equal(p.count, ALL);
	expect_clone(w, w->b->r, 0, &p);
	picture_free(&p);
	(void)expect_packs(w->b);
}

static void a_push_behind_a_kill_sends_what_is_missing(void **state)
{
	const uint64_t changed = (uint64_t)CHANGED * EACH;
	(void)state;
	for (uint64_t eighths = 0; eighths < 8; eighths++) {
		struct world w;
		uint64_t at = changed * eighths / 8, left = changed - at + (SENDERS + 1) * PACK;
		killed_world_new(&w);
		push_and_be_killed(&w, at);
		go_on(&w);
		struct ps_push_result r = push_now(&w);
		print_message("killed at %llu of %llu bytes: %llu sent, %llu packs kept\n",
		              (unsigned long long)at, (unsigned long long)changed,
		              (unsigned long long)r.sent_bytes, (unsigned long long)r.kept_packs);
		assert_in_range(r.sent_bytes, 0, (left < changed ? left : changed) * 11 / 10 + OVERHEAD);
		assert_true(eighths < 6 || r.kept_packs > 0);
		expect_all(&w);
		world_free(&w);
	}
}

/* What is to be pushed is no memory of the process: it stands in the store. */
static void a_push_behind_a_killed_writer_sends_what_it_changed(void **state)
{
	const uint64_t changed = (uint64_t)CHANGED * EACH;
	struct world w;
	(void)state;
	killed_world_new(&w);
	pid_t child = fork();
	if (child == 0) {
		w.s = open_stack(&w, w.path, PS_OPEN_EXISTING);
		write_some(w.s, CHANGED / 2, 3);
		(void)raise(SIGKILL);
	}
	wait_for_death(child);
	go_on(&w);
	struct ps_push_result r = push_now(&w);
	print_message("a writer was killed: %llu of %llu bytes sent\n", (unsigned long long)r.sent_bytes,
	              (unsigned long long)changed);
	assert_int_equal(r.bytes, changed);
	assert_in_range(r.sent_bytes, changed, changed * 11 / 10 + OVERHEAD);
	expect_all(&w);
	world_free(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_push_behind_a_kill_sends_what_is_missing),
	    cmocka_unit_test(a_push_behind_a_killed_writer_sends_what_it_changed),
	};
	return cmocka_run_group_tests_name("kills of pushes", tests, NULL, NULL);
}
