/* Faults of several threads, and others beside them. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "tests/store/backing_world.h"

struct caller {
	struct fixture *f;
	pthread_t thread;
	unsigned object;
	int result;
	uint8_t *got;
	size_t len;
};

static void *get_in_thread(void *arg)
{
	struct caller *c = arg;
	c->result = ps_get(c->f->s, c->f->ids[c->object], c->got, sizes[SIZES - 1], &c->len);
	return NULL;
}

static void start_get(struct fixture *f, struct caller *c, unsigned object)
{
	*c = (struct caller){.f = f, .object = object, .got = malloc(sizes[SIZES - 1])};
	assert_non_null(c->got);
	assert_int_equal(pthread_create(&c->thread, NULL, get_in_thread, c), 0);
}

static void end_get(struct caller *c, uint64_t seed, size_t len)
{
	uint8_t *want = bytes_of(seed, len);
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	OK(c->result);
	assert_int_equal(c->len, len);
	assert_memory_equal(c->got, want, len);
	free(want);
	free(c->got);
}

static void a_fetch_that_hangs_is_in_nobodys_way(void **state)
{
	struct fixture *f = *state;
	struct caller c;
	all_away(f);
	expect(f->s, f->ids[0], 0, sizes[0]);
	copies_hold(f->copies, true);
	start_get(f, &c, 5);
	copies_wait_for(f->copies, 1);
	ps_id id = put(f->s, 8, 60 * K);
	expect(f->s, f->ids[0], 0, sizes[0]);
	OK(ps_delete(f->s, id));
	OK(ps_sync(f->s));
	OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_compact(f->s, 0, NULL, NULL));
	OK(copies_push_and_evict(f->copies, f->s));
	copies_hold(f->copies, false);
	end_get(&c, 5, sizes[5]);
}

static void one_fetches_for_all_who_wait(void **state)
{
	struct fixture *f = *state;
	struct caller c[4];
	all_away(f);
	copies_hold(f->copies, true);
	for (unsigned i = 0; i < LENGTH(c); i++)
		start_get(f, &c[i], 5);
	copies_wait_for(f->copies, 1);
	copies_hold(f->copies, false);
	for (unsigned i = 0; i < LENGTH(c); i++)
		end_get(&c[i], 5, sizes[5]);
	assert_int_equal(copies_counts(f->copies).fetches, 1);
}

static void what_is_replaced_while_it_is_fetched_keeps_the_new_contents(void **state)
{
	struct fixture *f = *state;
	struct caller c[2];
	all_away(f);
	copies_hold(f->copies, true);
	start_get(f, &c[0], 4);
	start_get(f, &c[1], 6);
	copies_wait_for(f->copies, 2);
	uint8_t *bytes = bytes_of(60, 1000);
	OK(ps_replace(f->s, f->ids[4], bytes, 1000));
	OK(ps_replace(f->s, f->ids[6], bytes, 1000));
	free(bytes);
	copies_hold(f->copies, false);
	/* They began before: what they read is as it was then. */
	end_get(&c[0], 4, sizes[4]);
	end_get(&c[1], 6, sizes[6]);
	expect(f->s, f->ids[4], 60, 1000);
	expect(f->s, f->ids[6], 60, 1000);
}

static void *detach_in_thread(void *arg)
{
	struct caller *c = arg;
	c->result = copies_detach(c->f->s);
	return NULL;
}

static void detaching_waits_for_fetches(void **state)
{
	struct fixture *f = *state;
	struct caller get, detach = {.f = f};
	all_away(f);
	copies_hold(f->copies, true);
	start_get(f, &get, 3);
	copies_wait_for(f->copies, 1);
	assert_int_equal(pthread_create(&detach.thread, NULL, detach_in_thread, &detach), 0);
	/* From its beginning on nothing new is fetched; it ends when the one under way has. */
	uint8_t byte;
	size_t got;
	while (ps_backing_evict(f->s, 0, NULL, NULL, NULL) != PS_EUNAVAILABLE)
		;
	assert_int_equal(ps_read_at(f->s, f->ids[7], 0, &byte, 1, &got), PS_EUNAVAILABLE);
	copies_hold(f->copies, false);
	assert_int_equal(pthread_join(detach.thread, NULL), 0);
	OK(detach.result);
	end_get(&get, 3, sizes[3]);
	OK(copies_attach(f->copies, f->s));
	all_are_there(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST_ON_FILE(a_fetch_that_hangs_is_in_nobodys_way),
	    TEST_ON_FILE(one_fetches_for_all_who_wait),
	    TEST_ON_FILE(what_is_replaced_while_it_is_fetched_keeps_the_new_contents),
	    TEST_ON_FILE(detaching_waits_for_fetches),
	};
	return cmocka_run_group_tests_name("backing threads", tests, NULL, NULL);
}
