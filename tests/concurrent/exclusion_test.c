/* Locks exclude: threads take and leave locks of few objects as fast as they can, and every hold checks that
 * it is where it may be. usage: exclusion_test [OPERATIONS] [SEED] */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "concurrent/lock_copy.h"

enum { THREADS = 4, OBJECTS = 12, BUCKETS = 8 };

/* Plain memory on purpose: two that meet here are seen by the thread sanitizer as well as by the numbers. */
static struct object {
	_Alignas(CACHE_LINE) uint64_t written, copy;
	atomic_uint readers, writers;
} objects[OBJECTS];

static struct locks locks;
static atomic_uint broken;

struct worker {
	uint64_t operations, random, writes, reads;
	unsigned number;
	pthread_t thread;
};

static uint64_t next_random(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static void check(bool good, const char *what)
{
	if (!good && atomic_fetch_add(&broken, 1) < 10)
		fprintf(stderr, "not excluded: %s\n", what);
}

static void write_object(struct object *o)
{
	check(atomic_fetch_add_explicit(&o->writers, 1, memory_order_relaxed) == 0, "writer by writer");
	check(atomic_load_explicit(&o->readers, memory_order_relaxed) == 0, "writer by reader");
	o->written++;
	o->copy++;
	check(o->written == o->copy, "a write lost");
	check(atomic_fetch_sub_explicit(&o->writers, 1, memory_order_relaxed) == 1,
	      "writer by writer at the end");
}

static void read_object(struct object *o)
{
	atomic_fetch_add_explicit(&o->readers, 1, memory_order_relaxed);
	check(atomic_load_explicit(&o->writers, memory_order_relaxed) == 0, "reader by writer");
	check(o->written == o->copy, "a read torn");
	atomic_fetch_sub_explicit(&o->readers, 1, memory_order_relaxed);
}

static ps_id id_of(unsigned object)
{
	return (ps_id)(object + 1) << 24 | 1;
}

static void step(struct worker *w)
{
	uint64_t dice = next_random(w);
	unsigned object = (unsigned)(dice >> 32) % OBJECTS;
	struct lock_wait wait = {.timeout_ms = 30000};
	struct lock_hold hold, second;
	struct lock_copy copy;
	/* Long spells in which hardly anything is written: copying calls lose their fences, and get them
	 * back. */
	bool quiet = (w->operations >> 14) % 2;
	unsigned kind = (unsigned)(dice % (quiet ? 4096 : 8));
	if (kind == 0) {
		check(locks_acquire(&locks, &hold, id_of(object), LOCK_EXCLUSIVE, &wait) == PS_OK, "acquire");
		write_object(&objects[object]);
		w->writes++;
		locks_release(&locks, &hold);
	} else if (kind == 1 && dice >> 62 == 0) {
		/* Who may not wait leaves without having had it. */
		wait.timeout_ms = 0;
		int err = locks_acquire(&locks, &hold, id_of(object), LOCK_EXCLUSIVE, &wait);
		check(err == PS_OK || err == PS_EBUSY, "try");
		if (!err) {
			write_object(&objects[object]);
			w->writes++;
			locks_release(&locks, &hold);
		}
	} else if (kind == 1) {
		check(locks_acquire(&locks, &hold, id_of(object), LOCK_SHARED, &wait) == PS_OK, "acquire");
		check(locks_acquire(&locks, &second, id_of(object), LOCK_SHARED, &wait) == PS_OK,
		      "own second");
		read_object(&objects[object]);
		locks_release(&locks, &hold);
		read_object(&objects[object]);
		locks_release(&locks, &second);
	} else {
		check(locks_copy_begin(&locks, &copy, id_of(object), &wait) == PS_OK, "copy");
		read_object(&objects[object]);
		locks_copy_end(&locks, &copy);
	}
	w->reads += kind != 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	/* A lock that somebody has for ever makes every step wait out its time. */
	for (; w->operations > 0 && atomic_load(&broken) == 0; w->operations--)
		step(w);
	return NULL;
}

/* ---- who is refused while another thread copies ---- */

static void *try_and_leave(void *arg)
{
	struct lock_wait wait = {.timeout_ms = 0};
	struct lock_hold hold;
	*(int *)arg = locks_acquire(&locks, &hold, id_of(0), LOCK_EXCLUSIVE, &wait);
	if (*(int *)arg == PS_OK)
		locks_release(&locks, &hold);
	return NULL;
}

static int try_in_another_thread(void)
{
	pthread_t thread;
	int err = PS_OK;
	if (pthread_create(&thread, NULL, try_and_leave, &err))
		return PS_ENOMEM;
	pthread_join(thread, NULL);
	return err;
}

/* The writer makes a hold of the call that it meets, and is gone when that call ends: nothing may be left of
 * either. */
static void refuse_a_writer(void)
{
	struct lock_wait wait = {.timeout_ms = 0};
	struct lock_copy copy;
	check(locks_copy_begin(&locks, &copy, id_of(0), &wait) == PS_OK, "copy");
	check(try_in_another_thread() == PS_EBUSY, "a writer beside a copy");
	locks_copy_end(&locks, &copy);
	check(locks_held(&locks) == 0, "a hold left behind by a refused writer");
	check(try_in_another_thread() == PS_OK, "a writer behind a copy");
}

int main(int argc, char **argv)
{
	uint64_t operations = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	struct worker workers[THREADS] = {0};
	struct ps_memory memory;
	struct lock_figures figures;
	uint64_t writes = 0, reads = 0, written = 0;
	printf("%" PRIu64 " operations, seed %" PRIu64 "\n", operations, seed);
	ps_memory_init(&memory, NULL);
	if (locks_init(&locks, &memory, BUCKETS))
		return 1;
	refuse_a_writer();
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.operations = operations / THREADS,
		                             .random = (seed + i + 1) * 0x9E3779B97F4A7C15U,
		                             .number = i};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			return 1;
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		writes += workers[i].writes;
		reads += workers[i].reads;
	}
	for (unsigned i = 0; i < OBJECTS; i++)
		written += objects[i].written;
	check(writes == written, "writes lost");
	check(locks_held(&locks) == 0, "a lock left behind");
	locks_figures(&locks, &figures);
	check(figures.timeouts + figures.deadlocks == 0, "a wait that did not end");
	printf("%" PRIu64 " writes, %" PRIu64 " reads, %" PRIu64 " waits, %" PRIu64 " refused tries, %" PRIu64
	       " changes of fencing\n",
	       writes, reads, figures.waits, figures.refusals, atomic_load(&locks.fencing) >> 2);
	locks_done(&locks);
	ps_memory_done(&memory);
	return atomic_load(&broken) ? 1 : 0;
}
