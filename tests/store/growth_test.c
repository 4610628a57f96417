/* A store that grows while checkpoints run in the background. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(objects_put_while_checkpoints_run_are_there_after_a_reopen),
	    cmocka_unit_test(check_is_clean_while_a_batch_and_a_writer_are_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
