/* Views: bytes in place, unchanged until released. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"

/* A store with little memory may refuse a view that it would have to assemble. */
static bool may_refuse(ps_storer *s, size_t size)
{
	struct ps_stats stats;
	OK(ps_stats(s, &stats));
	return stats.memory_budget && stats.memory_budget / 4 < size;
}

static bool view_whole(ps_storer *s, ps_id id, size_t size, struct ps_view *view)
{
	int err = ps_view(s, id, view);
	if (err == PS_ENOMEM && may_refuse(s, size))
		return false;
	OK(err);
	return true;
}

static void views_of_every_size_are_exact_and_aligned(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 0; i < conformance_size_count; i++) {
		size_t size = conformance_sizes[i];
		ps_id id = put_pattern(s, size, i);
		struct ps_view view;
		if (!view_whole(s, id, size, &view))
			continue;
		assert_true(view.id == id);
		assert_non_null(view.owner);
		assert_int_equal(view.len, size);
		assert_int_equal(pattern_mismatch(view.data, size, i, 0), size);
		assert_int_equal((uintptr_t)view.data % (size >= 4096 ? 4096 : 16), 0);
		OK(ps_view_release(&view));
		assert_null(view.owner);
	}
}

static void views_of_parts_are_exact(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 0; i < conformance_size_count; i++) {
		size_t size = conformance_sizes[i], half = size / 2;
		ps_id id = put_pattern(s, size, i);
		const struct {
			uint64_t off;
			size_t len;
		} parts[] = {{0, 0}, {half, 0}, {size, 0}, {0, half}, {half, size - half}, {half, size / 7}};
		for (size_t j = 0; j < sizeof(parts) / sizeof(parts[0]); j++) {
			struct ps_view view;
			int err = ps_view_at(s, id, parts[j].off, parts[j].len, &view);
			if (err == PS_ENOMEM && may_refuse(s, size))
				continue;
			OK(err);
			assert_int_equal(view.len, parts[j].len);
			assert_int_equal(pattern_mismatch(view.data, view.len, i, parts[j].off), view.len);
			OK(ps_view_release(&view));
		}
		struct ps_view view = {0};
		FAILS(PS_ERANGE, ps_view_at(s, id, size, 1, &view));
		FAILS(PS_ERANGE, ps_view_at(s, id, size + 1, 0, &view));
		FAILS(PS_ERANGE, ps_view_at(s, id, 0, size + 1, &view));
		assert_null(view.owner);
	}
}

static void a_view_is_unchanged_by_what_is_done_to_its_object(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 0; i < conformance_size_count; i++) {
		size_t size = conformance_sizes[i];
		ps_id id = put_pattern(s, size, i);
		struct ps_view whole, again;
		if (!view_whole(s, id, size, &whole))
			continue;
		UNDER_SESSION(s, ps_write_at(s, id, size / 2, "changed", 7));
		assert_int_equal(pattern_mismatch(whole.data, size, i, 0), size);
		UNDER_SESSION(s, ps_replace(s, id, "replaced", 8));
		UNDER_SESSION(s, ps_resize(s, id, 8));
		assert_int_equal(pattern_mismatch(whole.data, size, i, 0), size);
		if (sessions_lock(s)) {
			FAILS(PS_EDEADLK, ps_delete(s, id));
			OK(ps_view_release(&whole));
			OK(ps_delete(s, id));
			continue;
		}
		OK(ps_view(s, id, &again));
		assert_memory_equal(again.data, "replaced", 8);
		OK(ps_delete(s, id));
		/* New objects must not be written over what the view shows. */
		ps_id other = put_pattern(s, size, i + 50);
		OK(ps_sync(s));
		ps_id third = put_pattern(s, size, i + 60);
		assert_int_equal(pattern_mismatch(whole.data, size, i, 0), size);
		assert_memory_equal(again.data, "replaced", 8);
		OK(ps_view_release(&whole));
		OK(ps_view_release(&again));
		OK(ps_delete(s, other));
		OK(ps_delete(s, third));
	}
}

static void a_view_is_unchanged_by_a_resize(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 50000, 1);
	struct ps_view view;
	OK(ps_view(s, id, &view));
	UNDER_SESSION(s, ps_resize(s, id, 10));
	UNDER_SESSION(s, ps_resize(s, id, 50000));
	assert_int_equal(pattern_mismatch(view.data, view.len, 1, 0), 50000);
	OK(ps_view_release(&view));
}

static void a_view_is_released_once(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 100, 1);
	struct ps_view view, other;
	OK(ps_view(s, id, &view));
	OK(ps_view(s, id, &other));
	OK(ps_view_release(&view));
	FAILS(PS_ECLOSED, ps_view_release(&view));
	assert_int_equal(pattern_mismatch(other.data, 100, 1, 0), 100);
	OK(ps_view_release(&other));
	FAILS(PS_EINVAL, ps_view_release(NULL));
}

static void *release_view(void *arg)
{
	return ps_view_release(arg) == PS_OK ? arg : NULL;
}

static void a_view_is_released_from_another_thread(void **state)
{
	ps_storer *s = store_of(state);
	if (!(ps_caps(s) & PS_CAP_THREADS))
		skip();
	ps_id id = put_pattern(s, 100000, 1);
	struct ps_view view;
	pthread_t thread;
	void *result = NULL;
	OK(ps_view(s, id, &view));
	assert_int_equal(pthread_create(&thread, NULL, release_view, &view), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, &view);
}

static void an_open_view_keeps_the_store_open(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 3000, 1);
	struct ps_view view;
	OK(ps_view(s, id, &view));
	FAILS(PS_EBUSY, ps_close(s));
	expect_pattern(s, id, 3000, 1);
	ps_id other = put_pattern(s, 10, 2);
	expect_pattern(s, other, 10, 2);
	assert_int_equal(pattern_mismatch(view.data, 3000, 1, 0), 3000);
	OK(ps_view_release(&view));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(views_of_every_size_are_exact_and_aligned),
    cmocka_unit_test(views_of_parts_are_exact),
    cmocka_unit_test(a_view_is_unchanged_by_what_is_done_to_its_object),
    cmocka_unit_test(a_view_is_unchanged_by_a_resize),
    cmocka_unit_test(a_view_is_released_once),
    cmocka_unit_test(a_view_is_released_from_another_thread),
    cmocka_unit_test(an_open_view_keeps_the_store_open),
};
CONFORMANCE_PART(views, tests);
