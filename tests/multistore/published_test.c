/* Between a push's state being on the network and its store hearing of it. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "multistore/push_backing.h"
#include "multistore/push_internal.h"
#include "tests/multistore/push_fixture.h"
#include "tests/support/patient.h"
#include "tests/support/sem.h"

enum { LEN = 2 << 20, PART = 65536, ROUNDS = 12 };

/* By way of the linker's --wrap: the push stops there, and who reads does not. */
static sem_t published, go_on;
static _Thread_local bool pushes;

int __real_ps_push_backing_pushed(struct ps_push_backing *b, uint64_t state);
int __wrap_ps_push_backing_pushed(struct ps_push_backing *b, uint64_t state);
int __wrap_ps_push_backing_pushed(struct ps_push_backing *b, uint64_t state)
{
	if (pushes) {
		(void)sem_post(&published);
		sem_await(&go_on);
	}
	return __real_ps_push_backing_pushed(b, state);
}

static ps_storer *open_or_make(struct world *w)
{
	const struct ps_base_options base = stack_base();
	const struct ps_multi_options options = {
	    .size = sizeof(options), .remote = w->b->r, .log_ms = PS_LOG_OFF, .take_over = 1};
	ps_storer *s, *top;
	assert_ok(ps_multi_open_at(w->path, &base, &options, &s));
	if (!w->concurrent)
		return s;
	assert_ok(patient_locks_open(s, &top));
	return top;
}

static void *push(void *arg)
{
	pushes = true;
	int err = ps_push(arg, NULL, NULL, NULL);
	(void)sem_post(&published); /* also if it has failed before that */
	return (void *)(intptr_t)err;
}

/* Nothing of the network is in memory; a part is changed and pushed, and read where it is away before the
 * push is through. */
static void push_and_read(struct world *w, ps_id id, uint8_t *bytes, unsigned round)
{
	const size_t at = LEN - (round + 1) * PART;
	pthread_t thread;
	void *pushed;
	uint8_t got[PART];
	size_t len;
	memset(bytes + round * PART, 'x', PART);
	assert_ok(ps_write_at(w->s, id, round * PART, bytes + round * PART, PART));
	assert_ok(ps_close(w->s));
	w->s = open_or_make(w);
	assert_int_equal(pthread_create(&thread, NULL, push, w->s), 0);
	sem_await(&published);
	int err = ps_read_at(w->s, id, at, got, PART, &len);
	assert_int_equal(sem_post(&go_on), 0);
	assert_int_equal(pthread_join(thread, &pushed), 0);
	assert_ok(err);
	assert_int_equal(len, PART);
	assert_memory_equal(got, bytes + at, PART);
	assert_ok((int)(intptr_t)pushed);
	while (sem_trywait(&published) == 0)
		;
}

/* Of an object that nobody has read since its store was made from the network: what is away has no checksum
 * here, and once runs are merged no state has the object any more as the last one had it that the store has
 * heard of. */
static void what_is_away_is_read_before_a_push_is_through(void **state)
{
	struct world w;
	ps_id id;
	uint8_t *bytes = blobs_bytes(LEN, 3);
	(void)state;
	assert_int_equal(sem_init(&published, 0, 0), 0);
	assert_int_equal(sem_init(&go_on, 0, 0), 0);
	world_new(&w, "mem", 12);
	assert_ok(ps_put(w.s, bytes, LEN, &id));
	(void)push_now(&w);
	assert_ok(ps_close(w.s));
	assert_int_equal(unlink(w.path), 0);
	w.s = open_or_make(&w);
	for (unsigned round = 0; round < ROUNDS; round++)
		push_and_read(&w, id, bytes, round);
	world_free(&w);
	test_free(bytes);
	assert_int_equal(sem_destroy(&published), 0);
	assert_int_equal(sem_destroy(&go_on), 0);
}

/* ---- while the manifest is read ---- */

/* Who pushes between the look at the manifest's size and the reading of it; NULL: nobody. */
static struct world *between;

static uint64_t manifest_size(ps_remote *r)
{
	struct ps_remote_info info;
	assert_ok(ps_remote_stat(r, PS_PUSH_MANIFEST_KEY, &info));
	return info.size;
}

static void push_until_it_is_larger(struct world *w)
{
	uint64_t size = manifest_size(w->b->r);
	uint8_t *bytes = blobs_bytes(LEN, 4);
	ps_id id;
	while (manifest_size(w->b->r) == size) {
		assert_ok(ps_put(w->s, bytes, LEN, &id));
		(void)push_now(w);
	}
	test_free(bytes);
}

int __real_ps_remote_get(ps_remote *r, const char *key, void *buf, size_t cap, size_t *len,
                         const struct ps_remote_get *options);
int __wrap_ps_remote_get(ps_remote *r, const char *key, void *buf, size_t cap, size_t *len,
                         const struct ps_remote_get *options);

int __wrap_ps_remote_get(ps_remote *r, const char *key, void *buf, size_t cap, size_t *len,
                         const struct ps_remote_get *options)
{
	struct world *w = between;
	between = NULL;
	if (w)
		push_until_it_is_larger(w);
	return __real_ps_remote_get(r, key, buf, cap, len, options);
}

static void a_manifest_that_grows_while_it_is_read_is_read_again(void **state)
{
	struct world w;
	struct ps_memory memory;
	struct ps_push_manifest m;
	uint8_t *bytes = blobs_bytes(LEN, 5);
	ps_id id;
	(void)state;
	ps_memory_init(&memory, NULL);
	world_new(&w, "mem", 13);
	assert_ok(ps_put(w.s, bytes, LEN, &id));
	(void)push_now(&w);
	ps_push_manifest_init(&m, &memory);
	between = &w;
	assert_ok(push_read_manifest(w.b->r, PS_PUSH_MANIFEST_KEY, &m));
	assert_null(between);
	assert_non_null(ps_push_manifest_newest(&m));
	ps_push_manifest_done(&m);
	world_free(&w);
	test_free(bytes);
	ps_memory_done(&memory);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_away_is_read_before_a_push_is_through),
	    cmocka_unit_test(a_manifest_that_grows_while_it_is_read_is_read_again),
	};
	return cmocka_run_group_tests_name("pushed, and not yet told", tests, NULL, NULL);
}
