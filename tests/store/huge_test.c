/* Huge pages for what is wholly in memory: contents stay as they are, and what leaves gives its memory back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/base_internal.h"
#include "store/huge.h"

enum { OBJECTS = 70000, SMALL_PAGES = HUGE_BLOCK / PAGE };

static uint8_t *map_block(void **mapping)
{
	*mapping = mmap(NULL, 2 * HUGE_BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(*mapping, MAP_FAILED);
	uint8_t *block = huge_align(*mapping);
	return block;
}

/* How much of the mapping that begins there, or before, the kernel holds in huge pages. */
static long huge_kib(const void *block)
{
	char line[512];
	long kib = -1;
	bool here = false;
	FILE *f = fopen("/proc/self/smaps", "re");
	assert_non_null(f);
	while (kib < 0 && fgets(line, sizeof(line), f)) {
		uintptr_t first, end;
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &first, &end) == 2)
			here = (uintptr_t)block >= first && (uintptr_t)block < end;
		if (here && !strncmp(line, "AnonHugePages:", 14))
			kib = strtol(line + 14, NULL, 10);
	}
	fclose(f);
	return kib;
}

/* The kernel may have to be asked again: a page is just being looked at, or there is no such memory for a moment. */
enum { TRIES = 100 };

static bool join(void *block)
{
	bool joined = false;
	for (int i = 0; i < TRIES && !joined; i++)
		joined = huge_join(block);
	return joined;
}

static bool kernel_can(void)
{
	void *mapping;
	uint8_t *block = map_block(&mapping);
	memset(block, 1, HUGE_BLOCK);
	bool can = join(block);
	munmap(mapping, 2 * HUGE_BLOCK);
	return can;
}

static void a_block_with_a_hole_is_not_joined(void **state)
{
	(void)state;
	void *mapping;
	uint8_t *block = map_block(&mapping);
	memset(block, 7, HUGE_BLOCK);
	assert_int_equal(madvise(block + 77 * PAGE, PAGE, MADV_DONTNEED), 0);
	assert_false(huge_join(block));
	munmap(mapping, 2 * HUGE_BLOCK);
}

static void a_joined_block_has_the_same_bytes_and_splits(void **state)
{
	(void)state;
	if (!kernel_can())
		skip();
	void *mapping;
	uint8_t *block = map_block(&mapping);
	for (size_t i = 0; i < SMALL_PAGES; i++)
		memset(block + i * PAGE, (int)i, PAGE);
	assert_true(join(block));
	assert_int_equal(huge_kib(block), HUGE_BLOCK / 1024);
	huge_split(block + 5 * PAGE, PAGE);
	assert_int_equal(huge_kib(block), 0);
	assert_int_equal(madvise(block + 5 * PAGE, PAGE, MADV_DONTNEED), 0);
	for (size_t i = 0; i < SMALL_PAGES; i++)
		assert_int_equal(block[i * PAGE + i], i == 5 ? 0 : (uint8_t)i);
	munmap(mapping, 2 * HUGE_BLOCK);
}

/* ---- in a store ---- */

static unsigned blocks_joined(struct table *t)
{
	return (unsigned)atomic_load(table_joined(t, 0)) + (unsigned)atomic_load(table_joined(t, GROUPS_PER_BLOCK));
}

static void put_all(ps_storer *s, ps_id *ids)
{
	ps_batch *b;
	assert_int_equal(ps_batch_begin(s, &b), PS_OK);
	for (uint64_t i = 0; i < OBJECTS; i++)
		assert_int_equal(ps_batch_put(b, &i, sizeof(i), &ids[i]), PS_OK);
	assert_int_equal(ps_batch_commit(b, PS_RELAXED), PS_OK);
	assert_int_equal(ps_sync(s), PS_OK);
}

static void read_all(ps_storer *s, const ps_id *ids)
{
	for (uint64_t i = 0; i < OBJECTS; i++) {
		uint64_t found;
		size_t len;
		assert_int_equal(ps_get(s, ids[i], &found, sizeof(found), &len), PS_OK);
		assert_int_equal(len, sizeof(found));
		assert_int_equal(found, i);
	}
}

static ps_storer *open_new(char *path)
{
	const struct ps_base_options options = {
	    .size = sizeof(options), .background = PS_BACKGROUND_NONE, .durability = PS_RELAXED};
	ps_storer *st;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	assert_int_equal(ps_base_open(path, &options, &st), PS_OK);
	return st;
}

static void join_once(struct store *s)
{
	store_wants_join(s);
	store_join(s);
}

static void join_all(struct store *s)
{
	for (int i = 0; i < TRIES && blocks_joined(&s->table) == 0; i++)
		join_once(s);
	assert_true(blocks_joined(&s->table) > 0 || !kernel_can());
}

static void leaves_are_joined_while_none_is_evicted_and_leave_one_by_one(void **state)
{
	(void)state;
	static ps_id ids[OBJECTS];
	char path[] = "huge_test.XXXXXX";
	ps_storer *st = open_new(path);
	struct store *s = store_of(st);
	put_all(st, ids);
	join_all(s);
	read_all(st, ids);
	assert_int_equal(checkpoint_run(s), PS_OK);
	while (table_evict_one(&s->table))
		;
	assert_int_equal(blocks_joined(&s->table), 0);
	read_all(st, ids);
	/* What left since the last call would leave again. */
	join_once(s);
	assert_int_equal(blocks_joined(&s->table), 0);
	join_all(s);
	read_all(st, ids);
	assert_int_equal(ps_close(st), PS_OK);
	unlink(path);
}

/* ---- frames ---- */

enum { LARGE = 8 << 20, LARGER = 34 << 20 };

static ps_id put_large(ps_storer *s, uint64_t *words, size_t len)
{
	ps_id id;
	for (size_t i = 0; i < len / sizeof(*words); i++)
		words[i] = i * 0x9e3779b97f4a7c15U;
	assert_int_equal(ps_put(s, words, len, &id), PS_OK);
	assert_int_equal(ps_sync(s), PS_OK);
	return id;
}

/* After it all of it is in frames. */
static void read_large(ps_storer *s, ps_id id, const uint64_t *expected)
{
	uint8_t *found = malloc(LARGE);
	size_t len;
	assert_non_null(found);
	assert_int_equal(ps_get(s, id, found, LARGE, &len), PS_OK);
	assert_int_equal(len, LARGE);
	assert_memory_equal(found, expected, LARGE);
	free(found);
}

static unsigned frames_joined(struct pool *pool)
{
	unsigned joined = 0;
	for (uint64_t block = 0; block < pool->mapped; block += HUGE_BLOCK)
		joined += atomic_load(pool_joined(pool, block)) > 0;
	return joined;
}

static void join_all_frames(struct store *s)
{
	for (int i = 0; i < TRIES && frames_joined(&s->pool) == 0; i++)
		join_once(s);
	assert_true(frames_joined(&s->pool) > 0 || !kernel_can());
}

static void frames_are_joined_while_none_leaves_and_leave_one_by_one(void **state)
{
	(void)state;
	char path[] = "huge_test.XXXXXX";
	uint64_t *words = malloc(LARGE);
	assert_non_null(words);
	ps_storer *st = open_new(path);
	struct store *s = store_of(st);
	ps_id id = put_large(st, words, LARGE);
	read_large(st, id, words);
	join_all_frames(s);
	read_large(st, id, words);
	assert_int_equal(checkpoint_run(s), PS_OK);
	while (pool_evict_one(&s->pool))
		;
	assert_int_equal(frames_joined(&s->pool), 0);
	read_large(st, id, words);
	/* What left since the last call would leave again. */
	join_once(s);
	assert_int_equal(frames_joined(&s->pool), 0);
	join_all_frames(s);
	read_large(st, id, words);
	assert_int_equal(ps_close(st), PS_OK);
	unlink(path);
	free(words);
}

/* Blocks of the file in which leaves of the table lie. */
static unsigned blocks_with_leaves(struct table *t)
{
	static uint8_t has[2 * LARGER / HUGE_BLOCK];
	unsigned count = 0;
	memset(has, 0, sizeof(has));
	for (uint64_t leaf = 1; leaf < leaves_of(OBJECTS); leaf++) {
		const struct table_node *g = table_known_group(t, leaf / FANOUT);
		uint64_t block = g->child[leaf % FANOUT].place[0] / HUGE_BLOCK;
		assert_in_range(block, 1, sizeof(has) - 1);
		count += !has[block];
		has[block] = 1;
	}
	return count;
}

/* Batch after batch, so that there are contents to lie among. */
static void put_batches(ps_storer *s)
{
	enum { BATCH = 1000, SIZE = 256 };
	static const uint8_t bytes[SIZE] = {1};
	for (unsigned i = 0; i < OBJECTS / BATCH; i++) {
		ps_batch *b;
		ps_id id;
		assert_int_equal(ps_batch_begin(s, &b), PS_OK);
		for (unsigned k = 0; k < BATCH; k++)
			assert_int_equal(ps_batch_put(b, bytes, sizeof(bytes), &id), PS_OK);
		assert_int_equal(ps_batch_commit(b, PS_RELAXED), PS_OK);
	}
}

static void leaves_lie_together_in_the_file(void **state)
{
	(void)state;
	char path[] = "huge_test.XXXXXX";
	uint64_t *words = malloc(LARGER);
	assert_non_null(words);
	ps_storer *st = open_new(path);
	(void)put_large(st, words, LARGER);
	put_batches(st);
	assert_int_equal(checkpoint_run(store_of(st)), PS_OK);
	assert_in_range(blocks_with_leaves(&store_of(st)->table), 1, 3);
	assert_int_equal(ps_check(st, PS_CHECK_QUICK, NULL, NULL), PS_OK);
	assert_int_equal(ps_close(st), PS_OK);
	unlink(path);
	free(words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_block_with_a_hole_is_not_joined),
	    cmocka_unit_test(a_joined_block_has_the_same_bytes_and_splits),
	    cmocka_unit_test(leaves_are_joined_while_none_is_evicted_and_leave_one_by_one),
	    cmocka_unit_test(frames_are_joined_while_none_leaves_and_leave_one_by_one),
	    cmocka_unit_test(leaves_lie_together_in_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
