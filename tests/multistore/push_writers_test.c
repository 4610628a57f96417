/* Pushes under writers: a clone is the store at one commit, the one that the push told, whatever was written
 * meanwhile. A run is a store of its own on a network of its own, pushed once or more often while two threads
 * write, and one clone of it. usage: push_writers_test [RUNS [SCHEME]] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"

static unsigned runs = 3;
static const char *scheme = "mem";

enum { WRITERS = 2, KEYS = 40, BURST = 200, PUSHES = 4, LOG_MOST = BURST * PUSHES };

/* What was committed, in the order of commits. One writer at a time commits, so that commit `first + i` is
 * entry i. */
struct logged {
	unsigned key; /* KEYS * writer + number */
	uint32_t len;
	uint64_t seed; /* 0: deleted */
	ps_id id;
};

struct writing {
	struct world w;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct logged *log;
	size_t count, upto; /* writers rest when so many are committed: a network may be slow */
	uint64_t first;     /* the commit of log[0] */
	bool stop;
	ps_id id[WRITERS * KEYS];
};

struct writer {
	struct writing *of;
	unsigned number;
	struct dice dice;
	pthread_t thread;
};

/* Under lock. */
static void commit_one(struct writer *me, uint8_t *bytes)
{
	struct writing *of = me->of;
	unsigned key = me->number * KEYS + (unsigned)roll_below(&me->dice, KEYS);
	struct logged l = {.key = key, .seed = roll(&me->dice) | 1};
	l.len = (uint32_t)roll_below(&me->dice, roll_below(&me->dice, 8) ? 3000 : 150000);
	blobs_fill(bytes, l.len, l.seed);
	ps_id *id = &of->id[key];
	if (*id == PS_ID_NONE) {
		assert_ok(ps_put(of->w.s, bytes, l.len, id));
		l.id = *id;
	} else if (roll_below(&me->dice, 6) == 0) {
		assert_ok(ps_delete(of->w.s, *id));
		l.seed = 0;
		l.id = *id;
		*id = PS_ID_NONE;
	} else {
		assert_ok(ps_replace(of->w.s, *id, bytes, l.len));
		l.id = *id;
	}
	of->log[of->count++] = l;
}

static void *write_on(void *arg)
{
	struct writer *me = arg;
	struct writing *of = me->of;
	uint8_t *bytes = malloc(150000);
	assert_non_null(bytes);
	pthread_mutex_lock(&of->lock);
	while (!of->stop) {
		if (of->count < of->upto)
			commit_one(me, bytes);
		else
			pthread_cond_wait(&of->more, &of->lock);
		pthread_mutex_unlock(&of->lock); /* the other one's turn, or that of who compares */
		pthread_mutex_lock(&of->lock);
	}
	pthread_mutex_unlock(&of->lock);
	free(bytes);
	return NULL;
}

/* The store as it was when so many had been committed. */
static void expect_prefix(struct writing *of, ps_storer *clone, size_t upto)
{
	const struct logged **last = calloc(WRITERS * KEYS, sizeof(*last));
	size_t there = 0, objects;
	struct ps_stats stats;
	assert_non_null(last);
	for (size_t i = 0; i < upto; i++)
		last[of->log[i].key] = &of->log[i];
	for (unsigned k = 0; k < WRITERS * KEYS; k++) {
		const struct logged *l = last[k];
		if (!l || l->seed == 0)
			continue;
		uint8_t *should = blobs_bytes(l->len, l->seed), *is = test_malloc((size_t)l->len + 1);
		size_t len = 0;
		assert_ok(ps_get(clone, l->id, is, l->len, &len));
		assert_int_equal(len, l->len);
		assert_memory_equal(is, should, len);
		test_free(should);
		test_free(is);
		there++;
	}
	assert_ok(ps_stats(clone, &stats));
	objects = stats.objects;
	assert_int_equal(objects, there);
	free(last);
}

/* While it goes on so many more are committed. */
static struct ps_push_result push_under_writers(struct writing *of)
{
	pthread_mutex_lock(&of->lock);
	of->upto = of->count + BURST;
	pthread_cond_broadcast(&of->more);
	pthread_mutex_unlock(&of->lock);
	return push_now(&of->w);
}

static void push_and_compare(struct writing *of)
{
	char path[256];
	struct ps_push_result r = push_under_writers(of);
	ps_storer *clone = clone_open(&of->w, of->w.b->r, r.state, path);
	pthread_mutex_lock(&of->lock);
	size_t upto = r.commit < of->first ? 0 : (size_t)(r.commit - of->first + 1);
	assert_in_range(upto, 0, of->count);
	expect_prefix(of, clone, upto);
	pthread_mutex_unlock(&of->lock);
	assert_ok(ps_check(clone, PS_CHECK_FULL, NULL, NULL));
	assert_ok(ps_close(clone));
	assert_int_equal(unlink(path), 0);
}

static void writers_start(struct writing *of, struct writer writers[WRITERS], uint64_t seed)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.of = of, .number = i, .dice = {seed * WRITERS + i}};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
	}
}

static void writers_end(struct writing *of, struct writer writers[WRITERS])
{
	pthread_mutex_lock(&of->lock);
	of->stop = true;
	pthread_cond_broadcast(&of->more);
	pthread_mutex_unlock(&of->lock);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
}

static void one_run(uint64_t seed)
{
	struct writing of = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
	struct writer writers[WRITERS];
	struct ps_stats stats;
	world_new(&of.w, scheme, seed);
	of.w.options.pack_bytes = seed % 2 ? 200000 : 0;
	of.w.options.history = 1;
	of.log = calloc(LOG_MOST, sizeof(*of.log));
	assert_non_null(of.log);
	assert_ok(ps_stats(of.w.s, &stats));
	of.first = stats.last_commit + 1;
	writers_start(&of, writers, seed);
	for (unsigned i = 0; i < seed % PUSHES; i++)
		(void)push_under_writers(&of);
	push_and_compare(&of);
	writers_end(&of, writers);
	(void)expect_packs(of.w.b);
	free(of.log);
	world_free(&of.w);
}

static void a_clone_is_the_prefix_that_the_push_told(void **state)
{
	uint64_t first = test_seed(1);
	unsigned done = 0;
	(void)state;
	for (; done < runs; done++)
		one_run(first + done);
	print_message("%u seeded runs on %s:, from seed %llu: each clone is the store at its cut\n", done,
	              scheme, (unsigned long long)first);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(a_clone_is_the_prefix_that_the_push_told)};
	if (argc > 1)
		runs = (unsigned)atoi(argv[1]);
	if (argc > 2)
		scheme = argv[2];
	return cmocka_run_group_tests_name("pushes under writers", tests, NULL, NULL);
}
