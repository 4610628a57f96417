/* The token pool by itself, and under a store: never more I/O in flight than tokens, never a deadlock.
 *
 * The system calls that do I/O are wrapped: each counts itself in flight, and all of them together at the
 * most. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include <padstone/padstone.h>

#include "base/tokens.h"
#include "base/sync.h"

#define OK(call) assert_int_equal((call), PS_OK)
#define FAILS(code, call) assert_int_equal((call), (code))

/* ---- I/O in flight ---- */

static atomic_int in_flight, most_in_flight;
static atomic_bool watching;

ssize_t __real_preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
ssize_t __real_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
int __real_fdatasync(int fd);
int __real_fallocate(int fd, int mode, off_t offset, off_t len);
ssize_t __wrap_preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
int __wrap_fdatasync(int fd);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len);

static void begin_io(void)
{
	int now = atomic_fetch_add(&in_flight, 1) + 1, most = atomic_load(&most_in_flight);
	while (atomic_load(&watching) && now > most &&
	       !atomic_compare_exchange_weak(&most_in_flight, &most, now)) {
	}
}

static void end_io(void)
{
	atomic_fetch_sub(&in_flight, 1);
}

ssize_t __wrap_preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	begin_io();
	ssize_t n = __real_preadv2(fd, parts, count, offset, flags);
	end_io();
	return n;
}

ssize_t __wrap_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	begin_io();
	ssize_t n = __real_pwritev2(fd, parts, count, offset, flags);
	end_io();
	return n;
}

int __wrap_fdatasync(int fd)
{
	begin_io();
	int result = __real_fdatasync(fd);
	end_io();
	return result;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t len)
{
	begin_io();
	int result = __real_fallocate(fd, mode, offset, len);
	end_io();
	return result;
}

/* ---- the pool alone ---- */

static struct ps_tokens *pool_of(uint32_t tokens, uint32_t disk, uint32_t network)
{
	const struct ps_token_options options = {sizeof(options), tokens, disk, network};
	struct ps_tokens *pool = NULL;
	OK(ps_tokens_new(&options, &pool));
	return pool;
}

static struct ps_token_stats stats_of(struct ps_tokens *pool)
{
	struct ps_token_stats stats;
	OK(ps_tokens_stats(pool, &stats));
	return stats;
}

static size_t take(struct ps_tokens *pool, enum ps_token_kind kind, size_t n)
{
	return pool->ops->try_acquire(pool, kind, n);
}

static void give(struct ps_tokens *pool, enum ps_token_kind kind, size_t n)
{
	pool->ops->release(pool, kind, n);
}

static void limits_are_kept_and_the_network_never_has_the_last(void **state)
{
	(void)state;
	struct ps_tokens *pool = pool_of(8, 0, 0);
	assert_int_equal(take(pool, PS_TOKEN_NETWORK, 100), 4);
	assert_int_equal(take(pool, PS_TOKEN_DISK, 100), 4);
	assert_int_equal(stats_of(pool).disk, 4);
	FAILS(PS_EBUSY, ps_tokens_free(pool));
	give(pool, PS_TOKEN_NETWORK, 4);
	give(pool, PS_TOKEN_DISK, 4);
	assert_int_equal(take(pool, PS_TOKEN_DISK, 100), 8);
	assert_int_equal(take(pool, PS_TOKEN_NETWORK, 1), 0);
	give(pool, PS_TOKEN_DISK, 8);
	OK(ps_tokens_free(pool));
	pool = pool_of(4, 2, 100);
	assert_int_equal(take(pool, PS_TOKEN_NETWORK, 100), 3);
	assert_int_equal(take(pool, PS_TOKEN_DISK, 100), 1);
	give(pool, PS_TOKEN_NETWORK, 3);
	assert_int_equal(take(pool, PS_TOKEN_DISK, 100), 1);
	give(pool, PS_TOKEN_DISK, 2);
	OK(ps_tokens_free(pool));
	pool = pool_of(1, 0, 0);
	assert_int_equal(take(pool, PS_TOKEN_NETWORK, 2), 1);
	give(pool, PS_TOKEN_NETWORK, 1);
	OK(ps_tokens_free(pool));
	pool = pool_of(0, 0, 0);
	assert_int_equal(stats_of(pool).tokens, PS_TOKENS_DEFAULT);
	OK(ps_tokens_free(pool));
}

static void impossible_pools_are_refused(void **state)
{
	(void)state;
	struct ps_tokens *pool = NULL;
	struct ps_token_options options = {.size = sizeof(options), .tokens = PS_TOKENS_MAX + 1};
	FAILS(PS_EINVAL, ps_tokens_new(&options, &pool));
	options.tokens = 1;
	options.size++;
	FAILS(PS_EINVAL, ps_tokens_new(&options, &pool));
	FAILS(PS_EINVAL, ps_tokens_new(NULL, NULL));
	FAILS(PS_EINVAL, ps_tokens_resize(NULL, NULL));
	FAILS(PS_EINVAL, ps_tokens_stats(NULL, NULL));
	OK(ps_tokens_free(NULL));
	assert_null(pool);
}

struct waiter {
	struct ps_tokens *pool;
	enum ps_token_kind kind;
	enum ps_token_class class;
	unsigned place; /* in the order of being served, from 1 */
	atomic_uint *served;
	bool keep; /* the token, for the main thread to give back */
	pthread_t thread;
};

static void *wait_for_token(void *arg)
{
	struct waiter *w = arg;
	w->pool->ops->acquire(w->pool, w->kind, w->class);
	w->place = atomic_fetch_add(w->served, 1) + 1;
	if (!w->keep)
		give(w->pool, w->kind, 1);
	return NULL;
}

/* Each is in the queue before the next one comes. */
static void queue_up(struct waiter *waiters, unsigned n, struct ps_tokens *pool, atomic_uint *served)
{
	for (unsigned i = 0; i < n; i++) {
		waiters[i].pool = pool;
		waiters[i].served = served;
		assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_token, &waiters[i]), 0);
		while (stats_of(pool).waiting < i + 1)
			sched_yield();
	}
}

static void join(struct waiter *waiters, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
}

static void tokens_are_first_come_within_a_class_and_callers_go_first(void **state)
{
	(void)state;
	struct ps_tokens *pool = pool_of(1, 0, 0);
	atomic_uint served = 0;
	struct waiter w[6] = {{.class = PS_TOKEN_BACKGROUND}, {.class = PS_TOKEN_FOREGROUND},
	                      {.class = PS_TOKEN_BACKGROUND}, {.class = PS_TOKEN_FOREGROUND},
	                      {.class = PS_TOKEN_FOREGROUND}, {.class = PS_TOKEN_BACKGROUND}};
	static const unsigned expected[6] = {4, 1, 5, 2, 3, 6};
	assert_int_equal(take(pool, PS_TOKEN_DISK, 1), 1);
	queue_up(w, 6, pool, &served);
	/* Nobody passes who waits. */
	assert_int_equal(take(pool, PS_TOKEN_DISK, 1), 0);
	give(pool, PS_TOKEN_DISK, 1);
	join(w, 6);
	for (int i = 0; i < 6; i++)
		assert_int_equal(w[i].place, expected[i]);
	struct ps_token_stats stats = stats_of(pool);
	assert_int_equal(stats.waits, 6);
	assert_true(stats.wait_ns > 0);
	assert_int_equal(stats.peak, 1);
	assert_int_equal(stats.waiting + stats.disk + stats.network, 0);
	OK(ps_tokens_free(pool));
}

static void background_work_gets_every_eighth_token(void **state)
{
	(void)state;
	enum { CALLERS = 20 };
	struct ps_tokens *pool = pool_of(1, 0, 0);
	atomic_uint served = 0;
	struct waiter w[CALLERS + 1] = {{.class = PS_TOKEN_BACKGROUND}};
	assert_int_equal(take(pool, PS_TOKEN_DISK, 1), 1);
	queue_up(w, CALLERS + 1, pool, &served);
	give(pool, PS_TOKEN_DISK, 1);
	join(w, CALLERS + 1);
	assert_int_equal(w[0].place, 8);
	OK(ps_tokens_free(pool));
}

static void in_a_pool_of_one_disk_and_network_take_turns(void **state)
{
	(void)state;
	struct ps_tokens *pool = pool_of(1, 0, 0);
	atomic_uint served = 0;
	struct waiter w[6] = {{.kind = PS_TOKEN_NETWORK}, {.kind = PS_TOKEN_NETWORK},
	                      {.kind = PS_TOKEN_NETWORK}, {.kind = PS_TOKEN_DISK},
	                      {.kind = PS_TOKEN_DISK},    {.kind = PS_TOKEN_DISK}};
	static const unsigned expected[6] = {1, 3, 5, 2, 4, 6};
	assert_int_equal(take(pool, PS_TOKEN_DISK, 1), 1);
	queue_up(w, 6, pool, &served);
	give(pool, PS_TOKEN_DISK, 1);
	join(w, 6);
	for (int i = 0; i < 6; i++)
		assert_int_equal(w[i].place, expected[i]);
	OK(ps_tokens_free(pool));
}

static void a_kind_at_its_limit_holds_up_nobody(void **state)
{
	(void)state;
	struct ps_tokens *pool = pool_of(4, 0, 1);
	atomic_uint served = 0;
	struct waiter w[1] = {{.kind = PS_TOKEN_NETWORK}};
	struct waiter disk = {.kind = PS_TOKEN_DISK, .pool = pool, .served = &served};
	assert_int_equal(take(pool, PS_TOKEN_NETWORK, 1), 1);
	queue_up(w, 1, pool, &served);
	assert_int_equal(pthread_create(&disk.thread, NULL, wait_for_token, &disk), 0);
	join(&disk, 1);
	assert_int_equal(disk.place, 1);
	give(pool, PS_TOKEN_NETWORK, 1);
	join(w, 1);
	OK(ps_tokens_free(pool));
}

static void a_pool_changes_its_size_while_it_runs(void **state)
{
	(void)state;
	struct ps_tokens *pool = pool_of(2, 0, 0);
	struct ps_token_options more = {.size = sizeof(more), .tokens = 5},
	                        less = {.size = sizeof(less), .tokens = 1};
	atomic_uint served = 0;
	struct waiter w[3] = {{.keep = true}, {.keep = true}, {.keep = true}};
	assert_int_equal(take(pool, PS_TOKEN_DISK, 5), 2);
	queue_up(w, 3, pool, &served);
	OK(ps_tokens_resize(pool, &more));
	join(w, 3);
	assert_int_equal(stats_of(pool).disk, 5);
	OK(ps_tokens_resize(pool, &less));
	give(pool, PS_TOKEN_DISK, 4);
	assert_int_equal(take(pool, PS_TOKEN_DISK, 1), 0);
	give(pool, PS_TOKEN_DISK, 1);
	assert_int_equal(take(pool, PS_TOKEN_DISK, 2), 1);
	give(pool, PS_TOKEN_DISK, 1);
	OK(ps_tokens_free(pool));
}

/* ---- under a store ---- */

enum { THREADS = 100, OBJECTS = 60, ROUNDS = 12, LARGE = 150000 };
/* Who waits for an object waits for owners that wait for the only token, each behind a hundred others. */
enum { LOCKS_MS = 600000 };

struct load {
	ps_storer *s;
	ps_id ids[OBJECTS];
	atomic_uint failures;
	char failure[600];
};

struct loader {
	struct load *load;
	unsigned number;
	pthread_t thread;
};

/* A hundred threads may want more memory at once than the store may take. */
static void note(struct load *load, int err, const char *what)
{
	if (err != PS_OK && err != PS_ENOMEM && atomic_fetch_add(&load->failures, 1) == 0)
		snprintf(load->failure, sizeof(load->failure), "%s: %s (%s)", what, ps_error_name(err),
		         ps_last_error_message());
}
#define NOTE(call) note(load, (call), #call)

static void use_sessions(struct load *load, ps_id id, unsigned char *buf)
{
	struct ps_view view;
	ps_reader *r = NULL;
	size_t got;
	int err = ps_view(load->s, id, &view);
	NOTE(err);
	if (ps_open_reader(load->s, id, &r) == PS_OK) {
		NOTE(ps_reader_read(r, buf, 5000, &got));
		NOTE(ps_reader_finish(r));
	}
	if (!err)
		NOTE(ps_view_release(&view));
}

static void use_batch(struct load *load, unsigned seed, const unsigned char *buf)
{
	ps_batch *b = NULL;
	ps_id made = PS_ID_NONE;
	int err = ps_batch_begin(load->s, &b);
	NOTE(err);
	if (err)
		return;
	NOTE(ps_batch_put(b, buf, 100 + seed % 5000, &made));
	NOTE(ps_batch_replace(b, load->ids[seed % OBJECTS], buf, 70000));
	NOTE(ps_batch_write_at(b, load->ids[seed * 7 % OBJECTS], 10, buf, 1000));
	err = ps_batch_commit(b, seed % 2 ? PS_DURABLE : PS_RELAXED);
	NOTE(err);
	if (!err && made)
		NOTE(ps_delete(load->s, made));
}

static void use_writer(struct load *load, ps_id id, const unsigned char *buf)
{
	ps_writer *w = NULL;
	int err = ps_open_writer(load->s, id, PS_SIZE_UNKNOWN, &w);
	NOTE(err);
	for (int i = 0; !err && i < 3; i++) {
		err = ps_writer_write(w, buf, 40000);
		NOTE(err);
	}
	if (w)
		NOTE(err ? ps_writer_abort(w) : ps_writer_finish(w));
}

static void *put_load(void *arg)
{
	struct loader *l = arg;
	struct load *load = l->load;
	unsigned char *buf = calloc(1, LARGE);
	size_t len;
	for (unsigned round = 0; buf && round < ROUNDS; round++) {
		unsigned seed = l->number * 31 + round * 17;
		ps_id id = load->ids[seed % OBJECTS];
		NOTE(ps_replace(load->s, id, buf, seed % 3 ? 200 : LARGE));
		NOTE(ps_get(load->s, load->ids[seed * 3 % OBJECTS], buf, LARGE, &len));
		if (seed % 3 == 0)
			use_sessions(load, id, buf);
		else if (seed % 3 == 1)
			use_batch(load, seed, buf);
		else if (round % 3 == 0)
			use_writer(load, id, buf);
	}
	free(buf);
	return NULL;
}

static void *sweep(void *arg)
{
	struct loader *l = arg;
	struct load *load = l->load;
	for (int i = 0; i < 3; i++) {
		NOTE(ps_sync(load->s));
		NOTE(ps_compact(load->s, 0, NULL, NULL));
		NOTE(ps_check(load->s, PS_CHECK_FULL, NULL, NULL));
	}
	return NULL;
}

static void run_threads(struct load *load, unsigned threads)
{
	static struct loader loaders[THREADS + 1];
	for (unsigned i = 0; i <= threads; i++) {
		loaders[i] = (struct loader){.load = load, .number = i};
		assert_int_equal(
		    pthread_create(&loaders[i].thread, NULL, i < threads ? put_load : sweep, &loaders[i]), 0);
	}
	for (unsigned i = 0; i <= threads; i++)
		assert_int_equal(pthread_join(loaders[i].thread, NULL), 0);
	if (atomic_load(&load->failures) > 0)
		fail_msg("%u failures, the first: %s", atomic_load(&load->failures), load->failure);
}

/* A small budget and a small log: reads go to the disk, checkpoints come often. */
static ps_storer *open_store(const char *path, int io, struct ps_tokens *pool)
{
	const struct ps_base_options base = {
	    .size = sizeof(base), .io = io, .memory_budget = 16 << 20, .log_bytes = 256 << 10, .flush_ms = 1};
	const struct ps_concurrent_options concurrent = {
	    .size = sizeof(concurrent), .tokens = pool, .lock_timeout_ms = LOCKS_MS};
	const struct ps_stack_options options = {
	    .size = sizeof(options), .base = &base, .concurrent = &concurrent};
	ps_storer *s = NULL;
	OK(ps_stack_open(path, &options, &s));
	return s;
}

static void load_with_tokens(int io, uint32_t tokens, unsigned threads)
{
	char folder[] = "/tmp/tokens-XXXXXX", path[64];
	static struct load load;
	struct ps_tokens *pool = pool_of(tokens, 0, 0), *used = NULL;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/store", folder);
	memset(&load, 0, sizeof(load));
	load.s = open_store(path, io, pool);
	OK(ps_concurrent_tokens(load.s, &used));
	assert_ptr_equal(used, pool);
	for (int i = 0; i < OBJECTS; i++)
		OK(ps_put(load.s, "start", 5, &load.ids[i]));
	atomic_store(&most_in_flight, 0);
	atomic_store(&watching, true);
	run_threads(&load, threads);
	OK(ps_check(load.s, PS_CHECK_FULL, NULL, NULL));
	atomic_store(&watching, false);
	struct ps_token_stats stats = stats_of(pool);
	assert_int_equal(stats.disk + stats.waiting, 0);
	assert_in_range(stats.peak, 0, tokens);
	assert_in_range(atomic_load(&most_in_flight), 1, tokens);
	OK(ps_close(load.s));
	OK(ps_tokens_free(pool));
	unlink(path);
	rmdir(folder);
}

static void one_token_a_hundred_threads_system_calls(void **state)
{
	(void)state;
	load_with_tokens(PS_BASE_IO_POSIX, 1, THREADS);
}

static void one_token_a_hundred_threads_io_uring(void **state)
{
	(void)state;
	load_with_tokens(PS_BASE_IO_AUTO, 1, THREADS);
}

static void three_tokens_system_calls(void **state)
{
	(void)state;
	load_with_tokens(PS_BASE_IO_POSIX, 3, 20);
}

/* Two stores, one pool. */
static void a_pool_is_shared_between_stores(void **state)
{
	(void)state;
	char folder[] = "/tmp/tokens-XXXXXX", path[2][64];
	static struct load loads[2];
	struct ps_tokens *pool = pool_of(1, 0, 0);
	pthread_t threads[2];
	assert_non_null(mkdtemp(folder));
	for (int i = 0; i < 2; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/store%d", folder, i);
		memset(&loads[i], 0, sizeof(loads[i]));
		loads[i].s = open_store(path[i], PS_BASE_IO_POSIX, pool);
		for (int j = 0; j < OBJECTS; j++)
			OK(ps_put(loads[i].s, "start", 5, &loads[i].ids[j]));
	}
	atomic_store(&most_in_flight, 0);
	atomic_store(&watching, true);
	struct loader loaders[2] = {{.load = &loads[0]}, {.load = &loads[1]}};
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_load, &loaders[i]), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	atomic_store(&watching, false);
	assert_int_equal(atomic_load(&most_in_flight), 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(atomic_load(&loads[i].failures), 0);
		OK(ps_close(loads[i].s));
		unlink(path[i]);
	}
	OK(ps_tokens_free(pool));
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(limits_are_kept_and_the_network_never_has_the_last),
	    cmocka_unit_test(impossible_pools_are_refused),
	    cmocka_unit_test(tokens_are_first_come_within_a_class_and_callers_go_first),
	    cmocka_unit_test(background_work_gets_every_eighth_token),
	    cmocka_unit_test(in_a_pool_of_one_disk_and_network_take_turns),
	    cmocka_unit_test(a_kind_at_its_limit_holds_up_nobody),
	    cmocka_unit_test(a_pool_changes_its_size_while_it_runs),
	    cmocka_unit_test(one_token_a_hundred_threads_system_calls),
	    cmocka_unit_test(one_token_a_hundred_threads_io_uring),
	    cmocka_unit_test(three_tokens_system_calls),
	    cmocka_unit_test(a_pool_is_shared_between_stores),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
