/* Row A25 of the attack table over a whole store's life, and what whoever takes a machine's state folder, or
 * sees the network, finds in it: no key, no contents; names in the state folder only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ftw.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote/key_file.h"
#include "remote/keys_internal.h"
#include "remote/remote.h"
#include "tests/remote/needles.h"
#include "tests/remote/pad_fixture.h"
#include <padstone/error.h>

enum { LIVES = 20, VALUES = 3, LARGEST = 20000, SPACING = 3000, SECRETS = 3 };
static const size_t lengths[VALUES] = {NEEDLE, 5000, LARGEST};

#define assert_ok(call)                                                                                      \
	do {                                                                                                 \
		int result_ = (call);                                                                        \
		if (result_ != PS_OK)                                                                        \
			fail_msg("%s: %s (%s)", #call, ps_error_name(result_), ps_last_error_message());     \
	} while (0)

/* One machine, one store on a dir: network, one key file. */
struct life {
	char folder[64], key[80], state[80], network[80], url[96];
	struct dice dice;
	struct needles *keys; /* user key, write root, read root */
	struct needles *names, *contents;
	char name[VALUES][NEEDLE + 1];
	uint8_t bytes[LARGEST];
	ps_remote *r;
};

static void make_key(struct life *l)
{
	uint8_t *bytes = ps_locked_alloc((size_t)SECRETS * PS_KEY);
	struct ps_key *key = NULL;
	assert_non_null(bytes);
	dice_fill(&l->dice, bytes, PS_KEY);
	ps_key_hash(bytes, "root/write", "main", NULL, 0, bytes + PS_KEY);
	ps_key_hash(bytes, "root/read", "main", NULL, 0, bytes + (size_t)2 * PS_KEY);
	for (size_t i = 0; i < SECRETS; i++)
		needles_add(l->keys, bytes + i * PS_KEY);
	assert_ok(ps_key_new(bytes, &key));
	assert_ok(ps_key_file_create(l->key, key, NULL));
	ps_key_free(key);
	sodium_free(bytes);
}

static void make_values(struct life *l)
{
	static const char digits[] = "0123456789abcdef";
	dice_fill(&l->dice, l->bytes, sizeof(l->bytes));
	for (size_t at = 0; at + NEEDLE <= sizeof(l->bytes); at += SPACING)
		needles_add(l->contents, l->bytes + at);
	for (unsigned i = 0; i < VALUES; i++) {
		for (unsigned at = 0; at < NEEDLE; at++)
			l->name[i][at] = digits[dice_below(&l->dice, 16)];
		needles_add(l->names, l->name[i]);
	}
}

static struct life *life_new(struct dice *dice, struct needles *keys)
{
	struct life *l = test_calloc(1, sizeof(*l));
	l->dice = *dice;
	l->keys = keys;
	l->names = needles_new(VALUES);
	l->contents = needles_new(LARGEST / SPACING + 1);
	strcpy(l->folder, "/dev/shm/padstone-secrets-XXXXXX");
	assert_non_null(mkdtemp(l->folder));
	snprintf(l->key, sizeof(l->key), "%s/key", l->folder);
	snprintf(l->state, sizeof(l->state), "%s/state", l->folder);
	snprintf(l->network, sizeof(l->network), "%s/network", l->folder);
	snprintf(l->url, sizeof(l->url), "dir:%s", l->network);
	assert_int_equal(mkdir(l->state, 0700), 0);
	make_key(l);
	make_values(l);
	*dice = l->dice;
	return l;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info, (void)type, (void)walk;
	return remove(path);
}

static void life_free(struct life *l)
{
	assert_int_equal(nftw(l->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	needles_free(l->names);
	needles_free(l->contents);
	test_free(l);
}

static void start(struct life *l, bool init)
{
	const struct ps_remote_key key = {.file = l->key};
	const struct ps_remote_options options = {.size = sizeof(options),
	                                          .state = l->state,
	                                          .mode = PS_REMOTE_SMALL,
	                                          .workers = 2,
	                                          .depth = 4,
	                                          .create = 1};
	assert_ok(init ? ps_remote_init(l->url, &key, &options, &l->r)
	               : ps_remote_open(l->url, &key, &options, &l->r));
}

static void stop(struct life *l)
{
	assert_ok(ps_remote_close(l->r));
	l->r = NULL;
}

static void put_and_sync(struct life *l)
{
	for (unsigned i = 0; i < VALUES; i++)
		assert_ok(ps_remote_put(l->r, l->name[i], l->bytes, lengths[i], NULL));
	assert_ok(ps_remote_update(l->r, l->name[1], l->bytes, lengths[1] / 2, NULL));
	assert_ok(ps_remote_sync(l->r, NULL, NULL, NULL));
}

static void get_all(struct life *l)
{
	uint8_t *back = test_malloc(LARGEST);
	for (unsigned i = 0; i < VALUES; i++) {
		size_t len = 0, should = i == 1 ? lengths[1] / 2 : lengths[i];
		assert_ok(ps_remote_get(l->r, l->name[i], back, LARGEST, &len, NULL));
		assert_int_equal(len, should);
		assert_memory_equal(back, l->bytes, should);
	}
	test_free(back);
}

/* With the store open, and when it is closed, in memory and files. The key file has its key, and is not
 * asked. */
static void expect_no_key(struct life *l)
{
	if (LOCKS)
		assert_int_equal(needles_in_memory(l->keys, false), 0);
	assert_int_equal(needles_in_folder(l->keys, l->state), 0);
	assert_int_equal(needles_in_folder(l->keys, l->network), 0);
}

static void no_key_leaves_locked_memory_in_a_stores_whole_life(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct needles *keys = needles_new((size_t)LIVES * SECRETS);
	(void)state;
	for (unsigned i = 0; i < LIVES; i++) {
		struct life *l = life_new(&dice, keys);
		start(l, true);
		put_and_sync(l);
		get_all(l);
		expect_no_key(l);
		stop(l);
		start(l, false);
		get_all(l);
		expect_no_key(l);
		stop(l);
		expect_no_key(l);
		life_free(l);
	}
	needles_free(keys);
}

/* Else nothing above would be worth anything. */
static void a_copy_of_a_key_is_found_wherever_it_is(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct needles *keys = needles_new(SECRETS);
	struct life *l = life_new(&dice, keys);
	char path[128];
	(void)state;
	start(l, true);
	stop(l);
	for (size_t i = 0; i < SECRETS; i++) {
		const uint8_t *key = needles_at(keys, i);
		if (LOCKS) {
			assert_true(needles_in_memory(keys, true) >= SECRETS);
			uint8_t *copy = test_malloc(100);
			memcpy(copy + 7, key, PS_KEY);
			assert_int_equal(needles_in_memory(keys, false), 1);
			memset(copy, 0, 100);
			test_free(copy);
			assert_int_equal(needles_in_memory(keys, false), 0);
		}
		snprintf(path, sizeof(path), "%s/planted", i % 2 == 0 ? l->state : l->network);
		FILE *file = fopen(path, "w");
		assert_non_null(file);
		setbuf(file, NULL); /* no copy stays behind */
		assert_int_equal(fwrite(key, 1, PS_KEY, file), PS_KEY);
		assert_int_equal(fclose(file), 0);
		assert_int_equal(needles_in_folder(keys, l->folder), 2); /* and the key file's, below */
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(needles_in_folder(keys, l->folder), 1);
	life_free(l);
	needles_free(keys);
}

/* A leaked index opens nothing: it names values and pads, and has neither key nor contents. The network's
 * files do not even have the names. */
static void a_leaked_index_reads_no_value(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct needles *keys = needles_new((size_t)LIVES * SECRETS);
	(void)state;
	for (unsigned i = 0; i < LIVES; i++) {
		struct life *l = life_new(&dice, keys);
		start(l, true);
		put_and_sync(l);
		assert_ok(ps_remote_remove(l->r, l->name[2]));
		if (i % 2 == 0) /* taken while it is in use, or afterwards */
			stop(l);
		assert_int_equal(needles_in_folder(l->contents, l->state), 0);
		assert_int_equal(needles_in_folder(l->contents, l->network), 0);
		assert_int_equal(needles_in_folder(l->names, l->network), 0);
		assert_true(needles_in_folder(l->names, l->state) > 0); /* the search finds what is there */
		if (i % 2 != 0)
			stop(l);
		life_free(l);
	}
	needles_free(keys);
}

/* With all that the index has, and another key: the state is refused, and the network alone shows no store.
 */
static void a_leaked_index_opens_with_no_other_key(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct needles *keys = needles_new((size_t)LIVES * SECRETS);
	(void)state;
	for (unsigned i = 0; i < LIVES; i++) {
		struct life *l = life_new(&dice, keys);
		uint8_t guess[PS_KEY];
		start(l, true);
		put_and_sync(l);
		stop(l);
		dice_fill(&dice, guess, sizeof(guess));
		if (i % 2 == 0) { /* all but one bit of it */
			memcpy(guess, needles_at(keys, (size_t)i * SECRETS), PS_KEY);
			guess[dice_below(&dice, PS_KEY)] ^= (uint8_t)(1 << dice_below(&dice, 8));
		}
		const struct ps_remote_key key = {.user_key = guess};
		const struct ps_remote_options options = {.size = sizeof(options), .state = l->state};
		assert_int_equal(ps_remote_open(l->url, &key, &options, &l->r), PS_ENOTFOUND);
		assert_null(l->r);
		start(l, false);
		get_all(l);
		stop(l);
		life_free(l);
	}
	needles_free(keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_key_leaves_locked_memory_in_a_stores_whole_life),
	    cmocka_unit_test(a_copy_of_a_key_is_found_wherever_it_is),
	    cmocka_unit_test(a_leaked_index_reads_no_value),
	    cmocka_unit_test(a_leaked_index_opens_with_no_other_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
