/* Impossible arguments, sizes out of range, and a store in a forked child. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conformance/suite.h"

static int ignore_id(void *arg, ps_id id)
{
	(void)arg, (void)id;
	return 0;
}

static void no_store_is_an_invalid_argument(void **state)
{
	(void)state;
	ps_id id = PS_ID_NONE;
	size_t n = 0;
	char byte = 0;
	struct ps_view view;
	struct ps_info info;
	struct ps_stats stats;
	struct ps_get_many req = {.id = 5, .buf = &byte, .cap = 1};
	ps_writer *w = NULL;
	ps_reader *r = NULL;
	ps_batch *b = NULL;
	assert_int_equal(ps_caps(NULL), 0);
	FAILS(PS_EINVAL, ps_put(NULL, "x", 1, &id));
	FAILS(PS_EINVAL, ps_get(NULL, 5, &byte, 1, &n));
	FAILS(PS_EINVAL, ps_read_at(NULL, 5, 0, &byte, 1, &n));
	FAILS(PS_EINVAL, ps_get_many(NULL, 1, &req));
	FAILS(PS_EINVAL, ps_view(NULL, 5, &view));
	FAILS(PS_EINVAL, ps_view_at(NULL, 5, 0, 1, &view));
	FAILS(PS_EINVAL, ps_replace(NULL, 5, "x", 1));
	FAILS(PS_EINVAL, ps_write_at(NULL, 5, 0, "x", 1));
	FAILS(PS_EINVAL, ps_resize(NULL, 5, 1));
	FAILS(PS_EINVAL, ps_delete(NULL, 5));
	FAILS(PS_EINVAL, ps_alloc(NULL, 1, &id));
	FAILS(PS_EINVAL, ps_prime(NULL, 1, &id));
	FAILS(PS_EINVAL, ps_alloc_run(NULL, 1, 1, &id));
	FAILS(PS_EINVAL, ps_info(NULL, 5, &info));
	FAILS(PS_EINVAL, ps_open_writer(NULL, PS_ID_NONE, 1, &w));
	FAILS(PS_EINVAL, ps_open_reader(NULL, 5, &r));
	FAILS(PS_EINVAL, ps_batch_begin(NULL, &b));
	FAILS(PS_EINVAL, ps_write_batched(NULL, 0, NULL, NULL, NULL));
	FAILS(PS_EINVAL, ps_each(NULL, 0, ignore_id, NULL));
	FAILS(PS_EINVAL, ps_sync(NULL));
	FAILS(PS_EINVAL, ps_stats(NULL, &stats));
	FAILS(PS_EINVAL, ps_check(NULL, PS_CHECK_QUICK, NULL, NULL));
	FAILS(PS_EINVAL, ps_compact(NULL, 0, NULL, NULL));
	FAILS(PS_EINVAL, ps_backup(NULL, "x", NULL, NULL));
	OK(ps_close(NULL));
}

static void null_arguments_are_refused(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 100, 1), other = PS_ID_NONE;
	size_t n = 77;
	char byte = 0;
	struct ps_view view;
	struct ps_get_many req = {.id = id, .buf = NULL, .cap = 1};
	FAILS(PS_EINVAL, ps_put(s, NULL, 1, &other));
	FAILS(PS_EINVAL, ps_put(s, "x", 1, NULL));
	FAILS(PS_EINVAL, ps_get(s, id, NULL, 1, &n));
	FAILS(PS_EINVAL, ps_get(s, id, &byte, 1, NULL));
	FAILS(PS_EINVAL, ps_read_at(s, id, 0, NULL, 1, &n));
	FAILS(PS_EINVAL, ps_read_at(s, id, 0, &byte, 1, NULL));
	FAILS(PS_EINVAL, ps_get_many(s, 1, NULL));
	FAILS(PS_EINVAL, ps_get_many(s, 1, &req));
	FAILS(PS_EINVAL, ps_view(s, id, NULL));
	FAILS(PS_EINVAL, ps_view_at(s, id, 0, 1, NULL));
	FAILS(PS_EINVAL, ps_replace(s, id, NULL, 1));
	FAILS(PS_EINVAL, ps_write_at(s, id, 0, NULL, 1));
	FAILS(PS_EINVAL, ps_alloc(s, 1, NULL));
	FAILS(PS_EINVAL, ps_alloc_run(s, 1, 1, NULL));
	FAILS(PS_EINVAL, ps_info(s, id, NULL));
	FAILS(PS_EINVAL, ps_open_writer(s, id, 1, NULL));
	FAILS(PS_EINVAL, ps_open_reader(s, id, NULL));
	FAILS(PS_EINVAL, ps_batch_begin(s, NULL));
	FAILS(PS_EINVAL, ps_write_batched(s, 1, NULL, "x", &(size_t){1}));
	FAILS(PS_EINVAL, ps_write_batched(s, 1, &id, NULL, &(size_t){1}));
	FAILS(PS_EINVAL, ps_write_batched(s, 1, &id, "x", NULL));
	FAILS(PS_EINVAL, ps_each(s, 0, NULL, NULL));
	FAILS(PS_EINVAL, ps_stats(s, NULL));
	FAILS(PS_EINVAL, ps_backup(s, NULL, NULL, NULL));
	FAILS(PS_EINVAL, ps_check(s, (enum ps_check_depth)0, NULL, NULL));
	FAILS(PS_EINVAL, ps_check(s, (enum ps_check_depth)3, NULL, NULL));
	(void)view;
	assert_int_equal(n, 77);
	assert_true(other == PS_ID_NONE);
	expect_pattern(s, id, 100, 1);
	assert_int_equal(count_objects(s), 1);
}

static void the_id_none_is_refused(void **state)
{
	ps_storer *s = store_of(state);
	size_t n = 0;
	char byte = 0;
	struct ps_view view;
	struct ps_info info;
	ps_reader *r = NULL;
	const ps_id none = PS_ID_NONE;
	struct ps_get_many req = {.id = none, .buf = &byte, .cap = 1};
	FAILS(PS_EINVAL, ps_get(s, none, &byte, 1, &n));
	FAILS(PS_EINVAL, ps_read_at(s, none, 0, &byte, 1, &n));
	FAILS(PS_EINVAL, ps_get_many(s, 1, &req));
	FAILS(PS_EINVAL, ps_view(s, none, &view));
	FAILS(PS_EINVAL, ps_view_at(s, none, 0, 1, &view));
	FAILS(PS_EINVAL, ps_replace(s, none, "x", 1));
	FAILS(PS_EINVAL, ps_write_at(s, none, 0, "x", 1));
	FAILS(PS_EINVAL, ps_resize(s, none, 1));
	FAILS(PS_EINVAL, ps_delete(s, none));
	FAILS(PS_EINVAL, ps_info(s, none, &info));
	FAILS(PS_EINVAL, ps_open_reader(s, none, &r));
	FAILS(PS_EINVAL, ps_write_batched(s, 1, &none, "x", &(size_t){1}));
}

static void ids_that_never_were_are_not_found(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 10, 1);
	const ps_id wrong[] = {
	    2,          id + 1,         id ^ (1U << 23), id + (1U << 24), id & ~(ps_id)0xFFFFFF,
	    UINT64_MAX, UINT64_MAX - 1, (ps_id)1 << 63,  0xFFFFFF};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (wrong[i] != PS_ID_NONE)
			expect_missing(s, wrong[i]);
	expect_pattern(s, id, 10, 1);
}

static void sizes_over_the_largest_are_out_of_range(void **state)
{
	ps_storer *s = store_of(state);
	const uint64_t over = PS_SIZE_MAX + 1;
	const uint64_t offs[] = {PS_SIZE_MAX, PS_SIZE_MAX + 1, UINT64_MAX - 1, UINT64_MAX};
	ps_id id = put_pattern(s, 100, 1), other = PS_ID_NONE;
	ps_writer *w = NULL;
	size_t n;
	char byte;
	struct ps_view view;
	FAILS(PS_ERANGE, ps_put(s, "x", over, &other));
	FAILS(PS_ERANGE, ps_replace(s, id, "x", over));
	FAILS(PS_ERANGE, ps_resize(s, id, over));
	FAILS(PS_ERANGE, ps_resize(s, id, UINT64_MAX));
	FAILS(PS_ERANGE, ps_alloc(s, over, &other));
	FAILS(PS_ERANGE, ps_prime(s, over, &other));
	if (ps_caps(s) & PS_CAP_RUNS)
		FAILS(PS_ERANGE, ps_alloc_run(s, over, 1, &other));
	FAILS(PS_ERANGE, ps_open_writer(s, PS_ID_NONE, over, &w));
	FAILS(PS_ERANGE, ps_open_writer(s, PS_ID_NONE, UINT64_MAX - 1, &w));
	FAILS(PS_ERANGE, ps_write_batched(s, 1, &id, "x", &(size_t){over}));
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
		FAILS(PS_ERANGE, ps_write_at(s, id, offs[i], "x", 1));
		FAILS(PS_ERANGE, ps_view_at(s, id, offs[i], 1, &view));
		FAILS(PS_ERANGE, ps_read_at(s, id, offs[i], &byte, 1, &n));
	}
	expect_missing(s, PS_ID_PRIME);
	expect_pattern(s, id, 100, 1);
	assert_int_equal(count_objects(s), 1);
}

static void a_failure_leaves_a_sentence(void **state)
{
	ps_storer *s = store_of(state);
	char byte;
	size_t n;
	FAILS(PS_ENOTFOUND, ps_get(s, 0x1234567890, &byte, 1, &n));
	assert_true(strlen(ps_last_error_message()) > 10);
	assert_non_null(strstr(ps_last_error_message(), "1234567890"));
}

static int calls_in_child(ps_storer *s, ps_id id, ps_batch *b, ps_writer *w, ps_reader *r,
                          struct ps_view *view)
{
	char buf[200];
	size_t n;
	ps_id other;
	bool refused = ps_get(s, id, buf, sizeof(buf), &n) == PS_EPROCESS &&
	               ps_put(s, "x", 1, &other) == PS_EPROCESS && ps_batch_delete(b, id) == PS_EPROCESS &&
	               ps_batch_commit(b, PS_DURABLE) == PS_EPROCESS && ps_writer_finish(w) == PS_EPROCESS &&
	               ps_reader_finish(r) == PS_EPROCESS && ps_view_release(view) == PS_EPROCESS &&
	               ps_sync(s) == PS_EPROCESS && ps_close(s) == PS_EPROCESS;
	return refused ? 0 : 1;
}

static void a_forked_child_is_refused_and_the_parent_goes_on(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 100, 1);
	ps_batch *b;
	ps_writer *w;
	ps_reader *r;
	struct ps_view view;
	OK(ps_batch_begin(s, &b));
	OK(ps_open_writer(s, PS_ID_NONE, 0, &w));
	OK(ps_open_reader(s, id, &r));
	OK(ps_view(s, id, &view));
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(calls_in_child(s, id, b, w, r, &view));
	int status = -1;
	assert_true(waitpid(child, &status, 0) == child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	expect_pattern(s, id, 100, 1);
	OK(ps_batch_abort(b));
	OK(ps_writer_finish(w));
	OK(ps_reader_finish(r));
	OK(ps_view_release(&view));
}

static void backup_needs_the_capability_and_a_new_path(void **state)
{
	ps_storer *s = store_of(state);
	char path[] = "/tmp/conformance-backup-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	put_pattern(s, 100000, 1);
	if (ps_caps(s) & PS_CAP_BACKUP) {
		FAILS(PS_EEXIST, ps_backup(s, path, NULL, NULL));
		unlink(path);
		OK(ps_backup(s, path, NULL, NULL));
		assert_int_equal(access(path, R_OK), 0);
	} else {
		FAILS(PS_ENOTSUP, ps_backup(s, path, NULL, NULL));
	}
	unlink(path);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(no_store_is_an_invalid_argument),
    cmocka_unit_test(null_arguments_are_refused),
    cmocka_unit_test(the_id_none_is_refused),
    cmocka_unit_test(ids_that_never_were_are_not_found),
    cmocka_unit_test(sizes_over_the_largest_are_out_of_range),
    cmocka_unit_test(a_failure_leaves_a_sentence),
    cmocka_unit_test(a_forked_child_is_refused_and_the_parent_goes_on),
    cmocka_unit_test(backup_needs_the_capability_and_a_new_path),
};
CONFORMANCE_PART(errors, tests);
