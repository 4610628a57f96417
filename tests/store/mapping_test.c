/* Address space that one store leaves to the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <padstone/padstone.h>

enum { OBJECTS = 300, SIZE = 4000 };

static const struct ps_base_options options = {
    .size = sizeof(options), .initial_bytes = 64 << 10, .log_bytes = 64 << 10};

/* A store of its own, its objects filled with one byte; 0 if all went well. */
static int fill_and_read(const char *path, int byte, size_t size)
{
	uint8_t data[SIZE], back[SIZE];
	ps_id ids[OBJECTS];
	ps_storer *s;
	size_t len;
	int err = ps_base_open(path, &options, &s);
	memset(data, byte, sizeof(data));
	for (int i = 0; i < OBJECTS && !err; i++)
		err = ps_put(s, data, size, &ids[i]);
	for (int i = 0; i < OBJECTS && !err; i++) {
		err = ps_get(s, ids[i], back, sizeof(back), &len);
		if (!err && (len != size || memcmp(data, back, len) != 0))
			err = PS_ECORRUPT;
	}
	return err ? err : ps_close(s);
}

static void make_path(char *path)
{
	strcpy(path, "mapping_test.XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
}

static void a_store_sees_nothing_of_the_one_before(void **state)
{
	char first[32], second[32];
	static uint8_t file[1 << 20];
	size_t found = 0;
	(void)state;
	make_path(first);
	make_path(second);
	assert_int_equal(fill_and_read(first, 0xa7, SIZE), PS_OK);
	assert_int_equal(fill_and_read(second, 0x31, 30), PS_OK);
	FILE *f = fopen(second, "re");
	assert_non_null(f);
	for (size_t n; (n = fread(file, 1, sizeof(file), f)) > 0;) {
		for (size_t i = 0; i + 8 <= n; i++)
			found += memcmp(file + i, "\xa7\xa7\xa7\xa7\xa7\xa7\xa7\xa7", 8) == 0;
	}
	assert_int_equal(found, 0);
	(void)fclose(f);
	unlink(first);
	unlink(second);
}

/* The child has none of its parent's address space for stores. */
static void a_forked_child_opens_stores_of_its_own(void **state)
{
	char first[32], second[32];
	int status;
	(void)state;
	make_path(first);
	make_path(second);
	assert_int_equal(fill_and_read(first, 1, SIZE), PS_OK);
	pid_t child = fork();
	if (child == 0)
		_exit(fill_and_read(second, 2, SIZE) == PS_OK ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(fill_and_read(second, 3, SIZE), PS_OK);
	unlink(first);
	unlink(second);
}

/* Objects far from each other bring more memory with them than their frames: 40 bytes for each page of the
 * file between. */
static void states_of_pages_count_in_the_budget(void **state)
{
	enum { LARGE = 2 << 20, MANY = 8, FILE_PAGES = MANY * LARGE / 4096 };
	struct ps_base_options o = options;
	struct ps_stats before, after;
	char path[32];
	ps_id ids[MANY], small;
	ps_storer *s;
	(void)state;
	make_path(path);
	o.memory_budget = 256 << 20;
	o.durability = PS_RELAXED;
	uint8_t *data = calloc(1, LARGE);
	assert_non_null(data);
	assert_int_equal(ps_base_open(path, &o, &s), PS_OK);
	assert_int_equal(ps_put(s, data, 100, &small), PS_OK);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(ps_put(s, data, LARGE, &ids[i]), PS_OK);
	assert_int_equal(ps_close(s), PS_OK);
	assert_int_equal(ps_base_open(path, &o, &s), PS_OK);
	assert_int_equal(ps_stats(s, &before), PS_OK);
	for (int i = 0; i < MANY; i++) {
		size_t len;
		assert_int_equal(ps_get(s, ids[i], data, LARGE, &len), PS_OK);
	}
	assert_int_equal(ps_stats(s, &after), PS_OK);
	uint64_t states = FILE_PAGES * 40, grown = after.memory_used - before.memory_used;
	assert_in_range(grown, MANY * LARGE + states, MANY * LARGE + 2 * states);
	assert_int_equal(ps_close(s), PS_OK);
	unlink(path);
	free(data);
}

/* Objects of any size come, are replaced and go; with little memory, so that frames leave it as well. */
static int change_one(ps_storer *s, ps_id *id, uint32_t *random)
{
	static const size_t sizes[] = {1, 60, 700, 4000, 4096, 30000, 65536, 200000};
	static uint8_t data[200000];
	size_t size = sizes[(*random = *random * 1664525 + 1013904223) >> 29], len;
	memset(data, 0x5a, sizeof(data));
	if (*id == PS_ID_NONE)
		return ps_put(s, data, size, id);
	switch (*random >> 16 & 3) {
	case 0: {
		int err = ps_delete(s, *id);
		*id = PS_ID_NONE;
		return err;
	}
	case 1:
		return ps_get(s, *id, data, sizeof(data), &len);
	default:
		return ps_replace(s, *id, data, size);
	}
}

/* kept_zeros.c looks at what each close leaves: after stores that grow to a few megabytes, and past what is
 * kept in memory. */
static void what_a_store_leaves_to_the_next_is_zeros(void **state)
{
	enum { STORES = 4, OPENS = 3, CHANGES = 60, IDS = 24 };
	struct ps_base_options o = options;
	uint32_t random = 1;
	(void)state;
	o.durability = PS_RELAXED;
	for (int store = 0; store < STORES; store++) {
		ps_id ids[IDS] = {PS_ID_NONE};
		char path[32];
		make_path(path);
		o.memory_budget = store % 2 ? 0 : 2 << 20;
		for (int open = 0; open < OPENS; open++) {
			ps_storer *s;
			assert_int_equal(ps_base_open(path, &o, &s), PS_OK);
			for (int i = 0; i < CHANGES; i++)
				assert_int_equal(
				    change_one(s, &ids[(random >> 8) % (store < 2 ? 4 : IDS)], &random),
				    PS_OK);
			assert_int_equal(ps_close(s), PS_OK);
		}
		unlink(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_store_sees_nothing_of_the_one_before),
	    cmocka_unit_test(what_a_store_leaves_to_the_next_is_zeros),
	    cmocka_unit_test(a_forked_child_opens_stores_of_its_own),
	    cmocka_unit_test(states_of_pages_count_in_the_budget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
