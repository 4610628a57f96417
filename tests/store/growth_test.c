/* A store that grows while checkpoints run in the background. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <padstone/padstone.h>

enum { OBJECTS = 120000, BATCH = 500 };

static void load(ps_storer *s, ps_id *ids)
{
	for (uint32_t i = 0; i < OBJECTS;) {
		ps_batch *b;
		assert_int_equal(ps_batch_begin(s, &b), PS_OK);
		for (uint32_t end = i + BATCH; i < end; i++)
			assert_int_equal(ps_batch_put(b, &i, sizeof(i), &ids[i]), PS_OK);
		assert_int_equal(ps_batch_commit(b, PS_RELAXED), PS_OK);
	}
}

/* A table page that became new in one checkpoint has leaves that only the next one writes: it needs places for both. */
static void objects_put_while_checkpoints_run_are_there_after_a_reopen(void **state)
{
	char path[] = "growth_test.XXXXXX";
	struct ps_base_options o = {.size = sizeof(o), .log_bytes = 256 << 10};
	ps_id *ids = calloc(OBJECTS, sizeof(*ids));
	ps_storer *s;
	int fd = mkstemp(path);
	(void)state;
	assert_non_null(ids);
	assert_true(fd >= 0);
	close(fd);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(unlink(path), 0);
		assert_int_equal(ps_base_open(path, &o, &s), PS_OK);
		load(s, ids);
		assert_int_equal(ps_close(s), PS_OK);
		assert_int_equal(ps_base_open(path, NULL, &s), PS_OK);
		for (uint32_t i = 0; i < OBJECTS; i++) {
			uint32_t value;
			size_t len;
			assert_int_equal(ps_get(s, ids[i], &value, sizeof(value), &len), PS_OK);
			assert_int_equal(value, i);
		}
		assert_int_equal(ps_close(s), PS_OK);
	}
	assert_int_equal(unlink(path), 0);
	free(ids);
}

/* The rest of a page waits while its objects are pinned: a clean close does not forget it. */
static void a_clean_close_leaves_no_space_behind(void **state)
{
	(void)state;
	enum { BATCHES = 20, EACH = 1000, LONGEST = 512 };
	char path[] = "growth_test.XXXXXX";
	uint8_t data[LONGEST] = {1};
	ps_storer *s;
	ps_batch *b;
	ps_id id;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ps_base_open(path, NULL, &s), PS_OK);
	for (size_t i = 0; i < BATCHES * EACH; i++) {
		if (i % EACH == 0)
			assert_int_equal(ps_batch_begin(s, &b), PS_OK);
		assert_int_equal(ps_batch_put(b, data, 64 + i * 37 % (LONGEST - 63), &id), PS_OK);
		if (i % EACH == EACH - 1)
			assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_OK);
	}
	assert_int_equal(ps_close(s), PS_OK);
	assert_int_equal(ps_base_open(path, NULL, &s), PS_OK);
	/* The sum is proved from the first write on. */
	assert_int_equal(ps_put(s, data, 1, &id), PS_OK);
	assert_int_equal(ps_check(s, PS_CHECK_QUICK, NULL, NULL), PS_OK);
	assert_int_equal(ps_close(s), PS_OK);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(close(fd), 0);
}

/* What open sessions have written belongs to no object yet, and is not lost either. */
static void check_is_clean_while_a_batch_and_a_writer_are_open(void **state)
{
	(void)state;
	enum { SIZE = 3 << 20 };
	char path[] = "growth_test.XXXXXX";
	struct ps_base_options options = {.size = sizeof(options)};
	uint8_t *data = calloc(1, SIZE);
	ps_storer *s;
	ps_batch *b;
	ps_writer *w;
	ps_id id;
	int fd = mkstemp(path);
	assert_true(fd >= 0 && data);
	assert_int_equal(ps_base_open(path, &options, &s), PS_OK);
	assert_int_equal(ps_batch_begin(s, &b), PS_OK);
	assert_int_equal(ps_batch_put(b, data, SIZE, &id), PS_OK);
	assert_int_equal(ps_batch_write_at(b, id, 70000, "over", 4), PS_OK);
	assert_int_equal(ps_open_writer(s, PS_ID_NONE, PS_SIZE_UNKNOWN, &w), PS_OK);
	assert_int_equal(ps_writer_write(w, data, SIZE), PS_OK);
	assert_int_equal(ps_check(s, PS_CHECK_FULL, NULL, NULL), PS_OK);
	assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_OK);
	assert_int_equal(ps_writer_abort(w), PS_OK);
	assert_int_equal(ps_check(s, PS_CHECK_FULL, NULL, NULL), PS_OK);
	assert_int_equal(ps_close(s), PS_OK);
	free(data);
	close(fd);
	unlink(path);
}

struct checker {
	ps_storer *s;
	atomic_bool stop;
	atomic_int error;
	atomic_uint checks;
};

static void *check_on(void *arg)
{
	struct checker *c = arg;
	while (!atomic_load(&c->stop)) {
		int err = ps_check(c->s, atomic_load(&c->checks) % 2 ? PS_CHECK_FULL : PS_CHECK_QUICK, NULL, NULL);
		if (err)
			atomic_store(&c->error, err);
		atomic_fetch_add(&c->checks, 1);
	}
	return NULL;
}

static void write_of_every_kind(ps_storer *s, const uint8_t *data, unsigned round)
{
	enum { RUN = 9 };
	ps_id ids[RUN], id;
	ps_writer *w;
	assert_int_equal(ps_alloc_run(s, 700 + round % 9000, RUN, ids), PS_OK);
	for (int i = 0; i < RUN; i++)
		assert_int_equal(ps_replace(s, ids[i], data, 200 + round % 7000), PS_OK);
	assert_int_equal(ps_put(s, data, round % 300000, &id), PS_OK);
	assert_int_equal(ps_write_at(s, id, 100, data, 70000), PS_OK);
	for (int i = 0; i < RUN; i++)
		assert_int_equal(ps_delete(s, ids[i]), PS_OK);
	assert_int_equal(ps_delete(s, id), PS_OK);
	assert_int_equal(ps_open_writer(s, PS_ID_NONE, PS_SIZE_UNKNOWN, &w), PS_OK);
	assert_int_equal(ps_writer_write(w, data, 150000), PS_OK);
	assert_int_equal(ps_writer_abort(w), PS_OK);
}

/* A check sees space between being taken and being an object's, at every moment. */
static void checks_beside_writers_raise_no_alarm(void **state)
{
	(void)state;
	char path[] = "growth_test.XXXXXX";
	struct ps_base_options options = {.size = sizeof(options), .durability = PS_RELAXED};
	uint8_t *data = calloc(1, 300000);
	struct checker c = {0};
	pthread_t thread;
	int fd = mkstemp(path);
	assert_true(fd >= 0 && data);
	assert_int_equal(ps_base_open(path, &options, &c.s), PS_OK);
	assert_int_equal(pthread_create(&thread, NULL, check_on, &c), 0);
	for (unsigned round = 0; round < 400 || atomic_load(&c.checks) < 50; round++)
		write_of_every_kind(c.s, data, round * 977);
	atomic_store(&c.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&c.error), PS_OK);
	assert_int_equal(ps_close(c.s), PS_OK);
	free(data);
	close(fd);
	unlink(path);
}

/* Sizes as they come in life: many small ones, most bytes in few large ones. */
static size_t mixed_size(uint64_t *random)
{
	static const size_t sizes[] = {300, 300, 300, 3000, 3000, 20000, 60000, 200000, 1000000, 2000000};
	*random = *random * 6364136223846793005U + 1442695040888963407U;
	return sizes[(*random >> 33) % 10] + (*random >> 40) % 200;
}

/* What is freed is used again before the file grows: a load's unused tail leaves the space at a sync, growth begins small where space
 * comes free, and what waits for a flush is bounded. */
static void overwriting_all_of_a_store_three_times_does_not_make_it_grow(void **state)
{
	(void)state;
	enum { COUNT = 200, TIMES = 3, LONGEST = 2001000 };
	char path[] = "growth_test.XXXXXX";
	uint8_t *data = calloc(1, LONGEST);
	ps_id ids[COUNT];
	uint64_t random = 7;
	struct ps_stats stats;
	ps_storer *s;
	int fd = mkstemp(path);
	assert_true(fd >= 0 && data);
	struct ps_base_options o = {.size = sizeof(o), .durability = PS_RELAXED};
	assert_int_equal(ps_base_open(path, &o, &s), PS_OK);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(ps_put(s, data, mixed_size(&random), &ids[i]), PS_OK);
	assert_int_equal(ps_sync(s), PS_OK);
	for (unsigned i = 0; i < TIMES * COUNT; i++)
		assert_int_equal(ps_replace(s, ids[random % COUNT], data, mixed_size(&random)), PS_OK);
	assert_int_equal(ps_sync(s), PS_OK);
	assert_int_equal(ps_stats(s, &stats), PS_OK);
	printf("%.3f of the live bytes on disk\n", (double)stats.disk_bytes / (double)stats.live_bytes);
	assert_in_range(stats.disk_bytes, stats.live_bytes, stats.live_bytes * 5 / 4);
	assert_int_equal(ps_check(s, PS_CHECK_FULL, NULL, NULL), PS_OK);
	assert_int_equal(ps_close(s), PS_OK);
	/* The figures are no others in a store that was only opened. */
	assert_int_equal(ps_base_open(path, &o, &s), PS_OK);
	assert_int_equal(ps_stats(s, &stats), PS_OK);
	assert_true(stats.used_bytes >= stats.live_bytes);
	assert_int_equal(stats.used_bytes + stats.free_bytes, stats.file_bytes);
	assert_int_equal(ps_close(s), PS_OK);
	assert_int_equal(unlink(path), 0);
	close(fd);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(objects_put_while_checkpoints_run_are_there_after_a_reopen),
	    cmocka_unit_test(a_clean_close_leaves_no_space_behind),
	    cmocka_unit_test(check_is_clean_while_a_batch_and_a_writer_are_open),
	    cmocka_unit_test(checks_beside_writers_raise_no_alarm),
	    cmocka_unit_test(overwriting_all_of_a_store_three_times_does_not_make_it_grow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
