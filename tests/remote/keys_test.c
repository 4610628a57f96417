/* Keys: what is derived, from what, and the memory that it lies in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "needles.h"
#include "pad_fixture.h"
#include "remote/keys_internal.h"
#include "remote/pad_format.h"
#include <padstone/error.h>

static void every_key_works(void **state)
{
	struct dice dice = dice_seeded(__func__);

	(void)state;
	for (int i = 0; i < 10000; i++) {
		struct ps_pad_plan plan = plan_seeded(&dice);
		struct ps_net_buffer buffer = {0};
		struct ps_pad_identity identity;
		struct ps_pad_reader reader;
		struct ps_pad_header header;
		struct ps_pad_name name;
		uint8_t record[4500], out[4096], text[8];
		ps_keys *keys = keys_seeded(&dice, NULL);

		buffer.bytes = record;
		buffer.capacity = sizeof(record);
		dice_fill(&dice, text, sizeof(text));
		assert_int_equal(ps_pad_seal(keys, &plan, text, 8, PS_PAD_SMALL, &buffer, &identity), PS_OK);
		ps_pad_name_of(record + offsetof(struct pad_fixed, public_key), &name);
		assert_int_equal(ps_pad_open_header(record, buffer.len, &name, &header), PS_OK);
		reader = (struct ps_pad_reader){.keys = keys};
		assert_int_equal(ps_pad_open(&reader, &header, record, buffer.len, out, NULL), PS_OK);
		assert_memory_equal(out, text, 8);
		ps_keys_free(keys);
	}
}

static void all_zero_and_all_one_are_keys_like_others(void **state)
{
	uint8_t user_key[PS_KEY] = {0}, zero[PS_KEY], one[PS_KEY];
	ps_keys *keys;

	(void)state;
	assert_int_equal(ps_keys_new(user_key, NULL, &keys), PS_OK);
	ps_keys_read_root(keys, zero);
	ps_keys_free(keys);
	memset(user_key, 0xff, sizeof(user_key));
	assert_int_equal(ps_keys_new(user_key, NULL, &keys), PS_OK);
	ps_keys_read_root(keys, one);
	ps_keys_free(keys);
	assert_memory_not_equal(zero, one, PS_KEY);
}

/* Neither key, nor store, nor label, nor fields can change without changing what comes out; and moving bytes
 * from one to the next is a change. */
static void derivation_tells_everything_apart(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys[3] = {keys_seeded(&dice, "ab"), keys_seeded(&dice, "ab"), NULL};
	static const struct {
		int keys;
		const char *label, *fields;
	} cases[] = {{0, "head", ""},  {1, "head", ""}, {0, "hea", "d"},
	             {0, "head", "d"}, {0, "", "head"}, {0, "index", ""}};
	enum { CASES = sizeof(cases) / sizeof(*cases) };
	uint8_t out[CASES][PS_KEY], a[PS_KEY], b[PS_KEY];
	struct ps_serial serial = {{1}};

	(void)state;
	for (int i = 0; i < CASES; i++) {
		ps_keys_derive(keys[cases[i].keys], cases[i].label, cases[i].fields, strlen(cases[i].fields),
		               out[i]);
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(out[i], out[k], PS_KEY);
	}
	ps_key_hash(NULL, "a", "bc", NULL, 0, a);
	ps_key_hash(NULL, "ab", "c", NULL, 0, b);
	assert_memory_not_equal(a, b, PS_KEY);
	ps_key_hash(NULL, "a", "b", "c", 1, b);
	assert_memory_not_equal(a, b, PS_KEY);
	ps_keys_content_key(keys[0], &serial, 1, a);
	ps_keys_content_key(keys[0], &serial, 256, b);
	assert_memory_not_equal(a, b, PS_KEY);
	ps_keys_free(keys[0]);
	ps_keys_free(keys[1]);
}

/* Who has the read root reads the same, and signs nothing. */
static void the_read_root_reads_and_does_not_write(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys = keys_seeded(&dice, "store"), *reader;
	uint8_t root[PS_KEY], a[PS_KEY], b[PS_KEY], public_key[32], secret_key[PS_SECRET_KEY];
	struct ps_serial head, again;
	struct ps_pad_identity identity;
	struct sealed pad;
	struct ps_net_buffer buffer = {0};

	(void)state;
	seal_random(keys, &dice, 5000, &pad);
	ps_keys_read_root(keys, root);
	assert_int_equal(ps_keys_new_read_only(root, "store", &reader), PS_OK);
	assert_true(ps_keys_can_write(keys));
	assert_false(ps_keys_can_write(reader));
	assert_string_equal(ps_keys_store(reader), "store");
	assert_int_equal(read_back(reader, &pad, pad.record, pad.len), PS_OK);
	ps_keys_derive(keys, "index", "x", 1, a);
	ps_keys_derive(reader, "index", "x", 1, b);
	assert_memory_equal(a, b, PS_KEY);
	ps_keys_derive_writing(keys, "index", "x", 1, b);
	assert_memory_not_equal(a, b, PS_KEY);
	ps_keys_head_serial(keys, &head);
	ps_keys_head_serial(reader, &again);
	assert_memory_equal(&head, &again, sizeof(head));
	buffer.bytes = pad.record;
	buffer.capacity = pad.len;
	assert_int_equal(ps_pad_seal(reader, &pad.plan, "x", 1, PS_PAD_SMALL, &buffer, &identity),
	                 PS_EREADONLY);
	assert_int_equal(ps_keys_public_key(reader, &head, public_key), PS_EREADONLY);
	/* Nor does the read root give the signing seeds by the derivation that the write root gives them by.
	 */
	ps_key_hash(root, "pad/sign", "store", pad.plan.serial.bytes, PS_SERIAL, a);
	crypto_sign_seed_keypair(public_key, secret_key, a);
	assert_memory_not_equal(public_key, pad.header.public_key, sizeof(public_key));
	/* The user key is not the read root, nor is the write root derived from it. */
	ps_keys_free(reader);
	assert_int_equal(ps_keys_new(root, "store", &reader), PS_OK);
	assert_int_equal(read_back(reader, &pad, pad.record, pad.len), PS_EAUTH);
	ps_keys_free(reader);
	ps_keys_free(keys);
	sealed_free(&pad);
}

static void stores_have_names_of_1_to_255_bytes(void **state)
{
	uint8_t user_key[PS_KEY] = {7};
	char name[PS_STORE_MAX + 2];
	ps_keys *keys;

	(void)state;
	memset(name, 'n', sizeof(name));
	name[PS_STORE_MAX + 1] = '\0';
	assert_int_equal(ps_keys_new(user_key, name, &keys), PS_EINVAL);
	assert_int_equal(ps_keys_new(user_key, "", &keys), PS_EINVAL);
	name[PS_STORE_MAX] = '\0';
	assert_int_equal(ps_keys_new(user_key, name, &keys), PS_OK);
	assert_string_equal(ps_keys_store(keys), name);
	ps_keys_free(keys);
	assert_int_equal(ps_keys_new(user_key, NULL, &keys), PS_OK);
	assert_string_equal(ps_keys_store(keys), "main");
	ps_keys_free(keys);
	ps_keys_free(NULL);
}

/* The flags, and the locked KiB, of the mapping that an address lies in. */
static void mapping_of(const void *address, char flags[512], long *locked)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	unsigned long from, to, at = (unsigned long)(uintptr_t)address;
	bool inside = false;
	char line[512];

	flags[0] = '\0';
	*locked = -1;
	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps) != NULL) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = at >= from && at < to;
		else if (inside && strncmp(line, "Locked:", 7) == 0)
			*locked = atol(line + 7);
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			strcpy(flags, line);
	}
	fclose(smaps);
}

/* A25: what holds a key is locked (no swap), left out of core dumps, and not writable any more. */
static void keys_lie_in_locked_memory_without_dump(void **state)
{
	struct dice dice = dice_seeded(__func__);
	uint8_t *locked_bytes;
	char flags[512];
	long locked;

	(void)state;
	for (int i = 0; i < 20; i++) {
		ps_keys *keys = keys_seeded(&dice, NULL);

		mapping_of(keys, flags, &locked);
		assert_true(locked > 0 || !LOCKS);
		assert_true(strstr(flags, " lo") != NULL || !LOCKS);
		assert_non_null(strstr(flags, " dd"));
		assert_null(strstr(flags, " wr"));
		ps_keys_free(keys);
	}
	locked_bytes = ps_locked_alloc(100);
	assert_non_null(locked_bytes);
	mapping_of(locked_bytes, flags, &locked);
	assert_true(strstr(flags, " lo") != NULL || !LOCKS);
	assert_non_null(strstr(flags, " dd"));
	sodium_free(locked_bytes);
}

/* Of each store: user key, write root, read root, signing seed, content key. */
enum { STORES = 20, SECRETS = 5 };

static void work_with(struct dice *dice, uint8_t secrets[SECRETS][PS_KEY])
{
	struct sealed pad;
	ps_keys *keys;

	dice_fill(dice, secrets[0], PS_KEY);
	assert_int_equal(ps_keys_new(secrets[0], "store", &keys), PS_OK);
	seal_random(keys, dice, 70000, &pad);
	assert_int_equal(read_back(keys, &pad, pad.record, pad.len), PS_OK);
	ps_key_hash(secrets[0], "root/write", "store", NULL, 0, secrets[1]);
	ps_key_hash(secrets[0], "root/read", "store", NULL, 0, secrets[2]);
	ps_key_hash(secrets[1], "pad/sign", "store", pad.plan.serial.bytes, PS_SERIAL, secrets[3]);
	ps_keys_content_key(keys, &pad.plan.serial, pad.plan.generation, secrets[4]);
	sealed_free(&pad);
	ps_keys_free(keys);
}

/* A25: after keys were made, used and freed, nothing of them is left where a core dump or swap would find it.
 */
static void no_key_is_left_outside_of_locked_memory(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct needles *needles;
	uint8_t(*secrets)[PS_KEY];

	(void)state;
	if (!LOCKS) /* the sanitizers' own memory is too large to be searched */
		skip();
	needles = needles_new((size_t)STORES * SECRETS);
	secrets = ps_locked_alloc((size_t)SECRETS * PS_KEY);
	assert_non_null(secrets);
	for (int i = 0; i < STORES; i++) {
		work_with(&dice, secrets);
		for (int n = 0; n < SECRETS; n++)
			needles_add(needles, secrets[n]);
	}
	sodium_free(secrets);
	assert_int_equal(needles_in_memory(needles, true), STORES * SECRETS); /* the search does find them */
	assert_int_equal(needles_in_memory(needles, false), 0);
	needles_free(needles);
}

/* In a child, so that the limit ends with it; root is above limits unless it gives that right away. */
static void no_keys_without_locked_memory(void **state)
{
	pid_t child;
	int status;

	(void)state;
	if (!LOCKS)
		skip();
	child = fork();
	if (child == 0) {
		struct rlimit none = {0, 0};
		uint8_t user_key[PS_KEY] = {1};
		ps_keys *keys;

		if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0))
			_exit(9);
		_exit(ps_keys_new(user_key, NULL, &keys) == PS_ENOMEM ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void *make_and_free(void *arg)
{
	struct dice dice = {*(const uint64_t *)arg};
	struct sealed pad;
	ps_keys *keys = keys_seeded(&dice, NULL);

	for (int i = 0; i < 5; i++) {
		seal_random(keys, &dice, 70000, &pad);
		if (read_back(keys, &pad, pad.record, pad.len) != PS_OK)
			abort();
		sealed_free(&pad);
	}
	ps_keys_free(keys);
	return NULL;
}

static void threads_make_and_use_keys_at_once(void **state)
{
	pthread_t threads[4];
	uint64_t seeds[4] = {1, 2, 3, 4};

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_and_free, &seeds[i]), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
	        threads_make_and_use_keys_at_once), /* first: they also start libsodium at once */
	    cmocka_unit_test(every_key_works),
	    cmocka_unit_test(all_zero_and_all_one_are_keys_like_others),
	    cmocka_unit_test(derivation_tells_everything_apart),
	    cmocka_unit_test(the_read_root_reads_and_does_not_write),
	    cmocka_unit_test(stores_have_names_of_1_to_255_bytes),
	    cmocka_unit_test(keys_lie_in_locked_memory_without_dump),
	    cmocka_unit_test(no_key_is_left_outside_of_locked_memory),
	    cmocka_unit_test(no_keys_without_locked_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
