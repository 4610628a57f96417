/* Key files: who may read them, what is refused in them, and what a failure leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pad_fixture.h"
#include "remote/key_file_format.h"
#include "remote/keys_internal.h"
#include <padstone/error.h>

enum { ROUNDS = 24 };

static char folder[64];

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int folder_new(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/padstone-key-XXXXXX");
	return mkdtemp(folder) != NULL && ps_sodium_ready() == PS_OK ? 0 : -1;
}

static int folder_gone(void **state)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	(void)state;
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	return rmdir(folder);
}

static unsigned files_there(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
	closedir(dir);
	return count;
}

static struct ps_key *key_seeded(struct dice *dice)
{
	uint8_t bytes[PS_KEY];
	struct ps_key *key = NULL;

	dice_fill(dice, bytes, sizeof(bytes));
	assert_int_equal(ps_key_new(bytes, &key), PS_OK);
	return key;
}

static void load(const char *path, uint8_t bytes[KEY_FILE_BYTES])
{
	FILE *file = fopen(path, "rb");

	assert_non_null(file);
	assert_int_equal(fread(bytes, 1, KEY_FILE_BYTES, file), KEY_FILE_BYTES);
	assert_int_equal(fgetc(file), EOF);
	fclose(file);
}

static void store(const char *path, const uint8_t *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static void a_key_comes_back_from_its_file(void **state)
{
	struct dice dice = dice_seeded(__func__);

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct ps_key *key = key_seeded(&dice), *again = NULL;
		struct ps_key_file_info info;
		struct stat status;
		char name[32];

		snprintf(name, sizeof(name), "key%d", i);
		assert_int_equal(ps_key_file_create(path_of(name), key, NULL), PS_OK);
		assert_int_equal(stat(path_of(name), &status), 0);
		assert_int_equal(status.st_mode & 07777, 0600);
		assert_int_equal(status.st_size, KEY_FILE_BYTES);
		assert_int_equal(ps_key_file_read(path_of(name), NULL, &again), PS_OK);
		assert_int_equal(again->kind, PS_KEY_USER);
		assert_memory_equal(key->bytes, again->bytes, PS_KEY);
		assert_int_equal(ps_key_file_info(path_of(name), &info), PS_OK);
		assert_false(info.passphrase);
		ps_key_free(key);
		ps_key_free(again);
	}
	assert_int_equal(files_there(), ROUNDS); /* and nothing else */
}

static void two_new_keys_are_two(void **state)
{
	struct ps_key *a, *b;
	char first[PS_KEY_FINGERPRINT], second[PS_KEY_FINGERPRINT];

	(void)state;
	assert_int_equal(ps_key_new(NULL, &a), PS_OK);
	assert_int_equal(ps_key_new(NULL, &b), PS_OK);
	assert_memory_not_equal(a->bytes, b->bytes, PS_KEY);
	ps_key_fingerprint(a, first);
	ps_key_fingerprint(b, second);
	assert_string_not_equal(first, second);
	ps_key_free(a);
	ps_key_free(b);
}

static void nothing_is_ever_written_over(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct ps_key *key = key_seeded(&dice);
	struct stat status;

	(void)state;
	store(path_of("there"), (const uint8_t *)"mine", 4);
	assert_int_equal(symlink("/nonexistent/target", path_of("link")), 0);
	assert_int_equal(ps_key_file_create(path_of("there"), key, NULL), PS_EEXIST);
	assert_int_equal(ps_key_file_create(path_of("link"), key, NULL), PS_EEXIST);
	assert_int_equal(stat(path_of("there"), &status), 0);
	assert_int_equal(status.st_size, 4);
	assert_int_equal(ps_key_file_create(path_of("no/folder"), key, NULL), PS_ENOENT);
	assert_int_equal(ps_key_file_create(path_of(""), key, NULL), PS_EEXIST);
	assert_int_equal(ps_key_file_create("", key, NULL), PS_EINVAL);
	assert_int_equal(files_there(), 2);
	ps_key_free(key);
}

static pthread_barrier_t together;

static void *create_together(void *arg)
{
	const struct ps_key *key = arg;
	intptr_t made = 0;

	for (int round = 0; round < ROUNDS; round++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/together%d", folder, round);
		pthread_barrier_wait(&together);
		made += ps_key_file_create(path, key, NULL) == PS_OK;
	}
	return (void *)made;
}

/* What counts is the rename that never replaces: a look before it sees nothing yet. */
static void of_many_made_at_once_one_stays(void **state)
{
	enum { AT_ONCE = 4 };
	struct dice dice = dice_seeded(__func__);
	struct ps_key *keys[AT_ONCE];
	pthread_t threads[AT_ONCE];
	intptr_t all = 0;

	(void)state;
	assert_int_equal(pthread_barrier_init(&together, NULL, AT_ONCE), 0);
	for (int i = 0; i < AT_ONCE; i++) {
		keys[i] = key_seeded(&dice);
		assert_int_equal(pthread_create(&threads[i], NULL, create_together, keys[i]), 0);
	}
	for (int i = 0; i < AT_ONCE; i++) {
		void *made;

		assert_int_equal(pthread_join(threads[i], &made), 0);
		all += (intptr_t)made;
		ps_key_free(keys[i]);
	}
	pthread_barrier_destroy(&together);
	assert_int_equal(all, ROUNDS);
	assert_int_equal(files_there(), ROUNDS);
}

static void only_a_file_of_our_own_is_read(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct ps_key *key = key_seeded(&dice), *again = NULL;
	const char *path = path_of("key");

	(void)state;
	assert_int_equal(ps_key_file_create(path, key, NULL), PS_OK);
	for (mode_t bit = 1; bit <= 040; bit <<= 1) {
		assert_int_equal(chmod(path, 0600 | bit), 0);
		assert_int_equal(ps_key_file_read(path, NULL, &again), PS_EACCES);
	}
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(ps_key_file_read(path, NULL, &again), PS_OK);
	ps_key_free(again);
	assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
	assert_int_equal(ps_key_file_read(path_of("pipe"), NULL, &again), PS_EACCES);
	assert_int_equal(ps_key_file_read("/dev/null", NULL, &again), PS_EACCES);
	assert_int_equal(ps_key_file_read(folder, NULL, &again), PS_EACCES);
	assert_int_equal(ps_key_file_read(path_of("none"), NULL, &again), PS_ENOENT);
	if (geteuid() == 0) {
		assert_int_equal(chown(path_of("key"), 65534, 65534), 0);
		assert_int_equal(ps_key_file_read(path_of("key"), NULL, &again), PS_EACCES);
	}
	ps_key_free(key);
}

/* Every bit of the file counts. */
static void no_bit_of_a_key_file_can_be_flipped(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct ps_key *key = key_seeded(&dice), *again = NULL;
	uint8_t bytes[KEY_FILE_BYTES];
	struct key_file file;

	(void)state;
	assert_int_equal(ps_key_file_create(path_of("key"), key, NULL), PS_OK);
	load(path_of("key"), bytes);
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		int err;

		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		err = key_file_decode(bytes, sizeof(bytes), &file);
		assert_int_equal(err, bit < 64 ? PS_EFORMAT : PS_ECORRUPT);
		if (bit % 173 == 0) {
			store(path_of("bad"), bytes, sizeof(bytes));
			assert_int_equal(ps_key_file_read(path_of("bad"), NULL, &again), err);
		}
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < sizeof(bytes); len += 37) {
		store(path_of("bad"), bytes, len);
		assert_int_equal(ps_key_file_read(path_of("bad"), NULL, &again),
		                 len < 8 ? PS_EFORMAT : PS_ECORRUPT);
	}
	store(path_of("bad"), bytes, sizeof(bytes));
	assert_int_equal(truncate(path_of("bad"), KEY_FILE_BYTES + 1), 0);
	assert_int_equal(ps_key_file_read(path_of("bad"), NULL, &again), PS_ECORRUPT);
	ps_key_free(key);
}

static void checksum_again(struct key_file *file)
{
	ps_key_hash(NULL, "key file/checksum", NULL, file, offsetof(struct key_file, checksum),
	            file->checksum);
}

/* A file under the passphrase that gives `kek`. */
static struct key_file sealed_file(struct dice *dice, const struct ps_key *key, const uint8_t kek[PS_KEY])
{
	struct key_file_fixed fixed = {.opslimit = ps_set32(KEY_OPS_MIN), .memlimit = ps_set64(KEY_MEM_MIN)};
	struct key_file file;

	dice_fill(dice, fixed.salt, sizeof(fixed.salt));
	dice_fill(dice, fixed.nonce, sizeof(fixed.nonce));
	key_file_seal(key, &fixed, kek, &file);
	return file;
}

/* A14: before any work is done, so this takes no time. */
static void weak_and_huge_limits_are_refused(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct ps_passphrase passphrase = {"word", 4};
	static const uint64_t memory[] = {0,
	                                  8192,
	                                  64 << 20,
	                                  (256 << 20) - 1024,
	                                  (256 << 20) + 1,
	                                  ((uint64_t)1 << 30) + 1024,
	                                  (uint64_t)1 << 40,
	                                  UINT64_MAX};
	static const uint32_t passes[] = {0, 1, 2, 17, 1000, UINT32_MAX};
	struct ps_key *key = key_seeded(&dice), *again = NULL;
	uint8_t kek[PS_KEY];

	(void)state;
	dice_fill(&dice, kek, sizeof(kek));
	for (int i = 0; i < 8 + 6 + 10; i++) {
		struct key_file file = sealed_file(&dice, key, kek);

		if (i < 8)
			file.fixed.memlimit = ps_set64(memory[i]);
		else if (i < 14)
			file.fixed.opslimit = ps_set32(passes[i - 8]);
		else if (i % 2 == 0)
			file.fixed.opslimit = ps_set32(17 + (uint32_t)dice_roll(&dice) / 2);
		else
			file.fixed.memlimit = ps_set64(((uint64_t)1 << 30) + 1 + dice_roll(&dice) / 2);
		checksum_again(&file);
		store(path_of("key"), (const uint8_t *)&file, sizeof(file));
		assert_int_equal(ps_key_file_read(path_of("key"), &passphrase, &again), PS_ECORRUPT);
	}
	ps_key_free(key);
}

/* A15: parts of an attacker's file in ours, checksum and all. */
static void a_swapped_wrapped_key_is_refused(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct ps_key *mine = key_seeded(&dice), *theirs = key_seeded(&dice), *again = key_seeded(&dice);

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t kek[PS_KEY], other_kek[PS_KEY];
		struct key_file file, other, mixed;

		dice_fill(&dice, kek, sizeof(kek));
		dice_fill(&dice, other_kek, sizeof(other_kek));
		file = sealed_file(&dice, mine, kek);
		other = sealed_file(&dice, theirs, other_kek);
		assert_int_equal(key_file_unseal(&file, kek, again), PS_OK);
		assert_memory_equal(again->bytes, mine->bytes, PS_KEY);
		assert_int_equal(key_file_unseal(&file, other_kek, again), PS_EAUTH);
		assert_int_equal(key_file_unseal(&other, kek, again), PS_EAUTH);
		mixed = file;
		memcpy(mixed.sealed, other.sealed, sizeof(mixed.sealed));
		assert_int_equal(key_file_unseal(&mixed, kek, again), PS_ECORRUPT);
		mixed = file;
		memcpy(mixed.commitment, other.commitment, sizeof(mixed.commitment));
		assert_int_equal(key_file_unseal(&mixed, kek, again), PS_EAUTH);
		assert_int_equal(key_file_unseal(&mixed, other_kek, again), PS_EAUTH);
		mixed = other; /* the attacker's, but for what names our file */
		memcpy(mixed.fixed.salt, file.fixed.salt, sizeof(mixed.fixed.salt));
		assert_int_equal(key_file_unseal(&mixed, kek, again), PS_EAUTH);
		assert_int_equal(key_file_unseal(&mixed, other_kek, again), PS_EAUTH);
		/* In clear, where a passphrase is expected. */
		key_file_seal(theirs, NULL, NULL, &mixed);
		assert_int_equal(key_file_unseal(&mixed, kek, again), PS_EAUTH);
		assert_int_equal(key_file_unseal(&file, NULL, again), PS_EAUTH);
	}
	ps_key_free(mine);
	ps_key_free(theirs);
	ps_key_free(again);
}

static void every_field_of_a_sealed_file_is_bound(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct ps_key *key = key_seeded(&dice), *again = key_seeded(&dice);
	uint8_t kek[PS_KEY];
	struct key_file file;

	(void)state;
	dice_fill(&dice, kek, sizeof(kek));
	file = sealed_file(&dice, key, kek);
	for (size_t bit = 0; bit < 8 * offsetof(struct key_file, checksum); bit++) {
		uint8_t *byte = (uint8_t *)&file + bit / 8;

		*byte ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(key_file_unseal(&file, kek, again), PS_OK);
		*byte ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(key_file_unseal(&file, kek, again), PS_OK);
	ps_key_free(key);
	ps_key_free(again);
}

static void a_read_only_file_holds_the_read_root_only(void **state)
{
	struct dice dice = dice_seeded(__func__);

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct ps_key *user = key_seeded(&dice), *read_only = NULL, *again = NULL;
		struct ps_pad_name head_name;
		struct ps_serial head;
		uint8_t bytes[KEY_FILE_BYTES];
		ps_keys *writer, *reader;
		struct sealed pad;

		assert_int_equal(ps_key_new_read_only(user, "photos", &read_only), PS_OK);
		unlink(path_of("reader"));
		assert_int_equal(ps_key_file_create(path_of("reader"), read_only, NULL), PS_OK);
		load(path_of("reader"), bytes);
		assert_null(memmem(bytes, sizeof(bytes), user->bytes, 8));
		assert_int_equal(ps_key_file_read(path_of("reader"), NULL, &again), PS_OK);
		assert_int_equal(again->kind, PS_KEY_READ_ONLY);
		assert_string_equal(again->store, "photos");
		assert_int_equal(ps_key_open(again, "other", &reader), PS_EINVAL);
		assert_int_equal(ps_key_open(again, NULL, &reader), PS_OK);
		assert_false(ps_keys_can_write(reader));
		assert_int_equal(ps_key_open(user, "photos", &writer), PS_OK);
		seal_random(writer, &dice, 500, &pad);
		assert_int_equal(read_back(reader, &pad, pad.record, pad.len), PS_OK);
		ps_keys_head_serial(reader, &head);
		assert_int_equal(ps_pad_name(writer, &head, &head_name), PS_OK);
		assert_memory_equal(head_name.bytes, again->head, sizeof(again->head));
		ps_key_free(again);
		assert_int_equal(ps_key_new_read_only(read_only, NULL, &again), PS_EREADONLY);
		sealed_free(&pad);
		ps_keys_free(reader);
		ps_keys_free(writer);
		ps_key_free(user);
		ps_key_free(read_only);
	}
}

/* In a child whose files may have 100 bytes: the write fails in its middle. */
static void a_failed_write_leaves_the_old_file_alone(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct ps_key *key = key_seeded(&dice), *other = key_seeded(&dice), *again = NULL;
	pid_t child;
	int status;

	(void)state;
	assert_int_equal(ps_key_file_create(path_of("key"), key, NULL), PS_OK);
	child = fork();
	if (child == 0) {
		struct rlimit small = {100, 100};

		signal(SIGXFSZ, SIG_IGN);
		if (setrlimit(RLIMIT_FSIZE, &small) != 0)
			_exit(9);
		if (ps_key_file_replace(path_of("key"), other, NULL) != PS_ENOSPC)
			_exit(1);
		_exit(ps_key_file_create(path_of("new"), other, NULL) == PS_ENOSPC ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(files_there(), 1);
	assert_int_equal(ps_key_file_read(path_of("key"), NULL, &again), PS_OK);
	assert_memory_equal(again->bytes, key->bytes, PS_KEY);
	ps_key_free(again);
	ps_key_free(key);
	ps_key_free(other);
}

/* Killed at any moment of many replacements: one of the two keys is there, whole. */
static void a_killed_replacement_leaves_one_whole_file(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct ps_key *keys[2] = {key_seeded(&dice), key_seeded(&dice)}, *again = NULL;

	(void)state;
	assert_int_equal(ps_key_file_create(path_of("key"), keys[0], NULL), PS_OK);
	for (int round = 0; round < ROUNDS; round++) {
		int ready[2];
		char byte;
		pid_t child;

		assert_int_equal(pipe(ready), 0);
		child = fork();
		if (child == 0) {
			for (int i = 0;; i++) {
				if (ps_key_file_replace(path_of("key"), keys[i % 2], NULL) != PS_OK)
					_exit(1);
				if (write(ready[1], "x", 1) != 1)
					_exit(2);
			}
		}
		close(ready[1]);
		for (int i = 0; i <= round % 5; i++)
			assert_int_equal(read(ready[0], &byte, 1), 1);
		for (uint64_t spin = dice_below(&dice, 100000); spin > 0; spin--)
			__asm__ volatile("");
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		close(ready[0]);
		assert_int_equal(ps_key_file_read(path_of("key"), NULL, &again), PS_OK);
		assert_true(memcmp(again->bytes, keys[0]->bytes, PS_KEY) == 0 ||
		            memcmp(again->bytes, keys[1]->bytes, PS_KEY) == 0);
		ps_key_free(again);
	}
	ps_key_free(keys[0]);
	ps_key_free(keys[1]);
}

int main(void)
{
#define KEY_TEST(test) cmocka_unit_test_setup_teardown(test, folder_new, folder_gone)
	const struct CMUnitTest tests[] = {
	    KEY_TEST(a_key_comes_back_from_its_file),
	    KEY_TEST(two_new_keys_are_two),
	    KEY_TEST(nothing_is_ever_written_over),
	    KEY_TEST(of_many_made_at_once_one_stays),
	    KEY_TEST(only_a_file_of_our_own_is_read),
	    KEY_TEST(no_bit_of_a_key_file_can_be_flipped),
	    KEY_TEST(weak_and_huge_limits_are_refused),
	    KEY_TEST(a_swapped_wrapped_key_is_refused),
	    KEY_TEST(every_field_of_a_sealed_file_is_bound),
	    KEY_TEST(a_read_only_file_holds_the_read_root_only),
	    KEY_TEST(a_failed_write_leaves_the_old_file_alone),
	    KEY_TEST(a_killed_replacement_leaves_one_whole_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
