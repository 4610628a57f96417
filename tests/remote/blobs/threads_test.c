/* Several threads at one remote: every value that is read is one that was put, whole; the second who changes
 * a key is told so; and at the end the index agrees with itself and with the network. usage: threads_test
 * [CALLS [SEED]] */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/blobs/blobs_fixture.h"

enum { PAD = 128 << 10, KEYS = 6, THREADS = 4, MOST = 3 * PAD };

static unsigned calls = 60;
static uint64_t seed = 1;

struct actor {
	struct blobs *b;
	uint64_t dice;
	unsigned done, busy;
	char failure[256];
	uint8_t value[MOST], is[MOST];
};

static uint64_t roll(struct actor *a, uint64_t sides)
{
	a->dice = a->dice * 6364136223846793005U + 1442695040888963407U;
	return (a->dice >> 33) % sides;
}

static void complain(struct actor *a, const char *what, int err)
{
	if (a->failure[0] == '\0')
		snprintf(a->failure, sizeof(a->failure), "%s: %s (%.150s)", what, ps_error_name(err),
		         ps_last_error_message());
}

/* A value says by its first bytes what the others are. */
static size_t make(struct actor *a, uint64_t of)
{
	size_t len = 8 + of % (MOST - 8);
	blobs_fill(a->value, len, of);
	memcpy(a->value, &of, sizeof(of));
	return len;
}

static void put(struct actor *a, const char *key)
{
	struct ps_remote_put o = {.size = sizeof(o), .replace = 1};
	size_t len = make(a, 1 + roll(a, 1 << 30));
	int err = ps_remote_put(a->b->r, key, a->value, len, &o);
	a->busy += err == PS_EBUSY;
	if (err != PS_OK && err != PS_EBUSY)
		complain(a, "put", err);
}

static void get(struct actor *a, const char *key)
{
	size_t len = 0;
	uint64_t of;
	int err = ps_remote_get(a->b->r, key, a->is, sizeof(a->is), &len, NULL);
	if (err == PS_ENOTFOUND)
		return;
	if (err != PS_OK) {
		complain(a, "get", err);
		return;
	}
	memcpy(&of, a->is, sizeof(of));
	if (make(a, of) != len || memcmp(a->value, a->is, len) != 0)
		complain(a, "a value that nobody put", PS_OK);
}

static void remove_or_rename(struct actor *a, const char *key)
{
	char other[16];
	snprintf(other, sizeof(other), "key %u", (unsigned)roll(a, KEYS));
	int err = roll(a, 2) ? ps_remote_remove(a->b->r, key) : ps_remote_rename(a->b->r, key, other);
	a->busy += err == PS_EBUSY;
	if (err != PS_OK && err != PS_EBUSY && err != PS_ENOTFOUND && err != PS_EEXIST)
		complain(a, "remove or rename", err);
}

static void look_after(struct actor *a)
{
	int err = PS_OK;
	switch (roll(a, 3)) {
	case 0:
		err = ps_remote_purge(a->b->r, NULL, NULL, NULL);
		break;
	case 1:
		err = ps_remote_health_check(a->b->r, NULL, NULL);
		break;
	default:
		err = ps_remote_sync(a->b->r, NULL, NULL, NULL);
	}
	a->busy += err == PS_EBUSY;
	if (err != PS_OK && err != PS_EBUSY)
		complain(a, "purge, health check or sync", err);
}

static void *act(void *arg)
{
	struct actor *a = arg;
	char key[16];
	for (unsigned i = 0; i < calls && a->failure[0] == '\0'; i++) {
		uint64_t what = roll(a, 20);
		snprintf(key, sizeof(key), "key %u", (unsigned)roll(a, KEYS));
		if (what < 8)
			put(a, key);
		else if (what < 16)
			get(a, key);
		else if (what < 18)
			remove_or_rename(a, key);
		else
			look_after(a);
		a->done++;
	}
	return NULL;
}

static void threads_share_a_remote(void **state)
{
	struct ps_remote_seams seams = {.backoff_ms = 1};
	struct blobs *b = blobs_new_with("mem", &seams);
	struct actor *all = test_calloc(THREADS, sizeof(*all));
	pthread_t threads[THREADS];
	unsigned busy = 0;
	(void)state;
	for (unsigned i = 0; i < THREADS; i++) {
		all[i].b = b;
		all[i].dice = seed * THREADS + i;
		assert_int_equal(pthread_create(&threads[i], NULL, act, &all[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		busy += all[i].busy;
	}
	for (unsigned i = 0; i < THREADS; i++)
		if (all[i].failure[0] != '\0')
			fail_msg("seed %llu, thread %u: %s", (unsigned long long)seed, i, all[i].failure);
	print_message("%u calls, %u of them found a key busy\n", THREADS * calls, busy);
	blobs_check(b);
	blobs_reopen(b);
	for (unsigned i = 0; i < KEYS; i++) {
		char key[16];
		snprintf(key, sizeof(key), "key %u", i);
		get(&all[0], key);
	}
	if (all[0].failure[0] != '\0')
		fail_msg("seed %llu: %s", (unsigned long long)seed, all[0].failure);
	blobs_check(b);
	test_free(all);
	blobs_free(b);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(threads_share_a_remote),
	};
	if (argc > 1)
		calls = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
