/* What the conformance suite cannot ask of every stack: the budget, failing memory, used-up generations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "store/memory_internal.h"
#include "store/memory_store.h"

static ps_storer *open_store(uint64_t budget)
{
	const struct ps_memory_options options = {.size = sizeof(options), .memory_budget = budget};
	ps_storer *s = NULL;
	assert_int_equal(ps_memory_open(&options, &s), PS_OK);
	return s;
}

static void expect_text(ps_storer *s, ps_id id, const char *text)
{
	char buf[100];
	size_t len;
	assert_int_equal(ps_get(s, id, buf, sizeof(buf), &len), PS_OK);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(buf, text, len);
}

static void options_are_checked(void **state)
{
	(void)state;
	const struct ps_memory_options wrong = {.size = 3};
	ps_storer *s = NULL;
	assert_int_equal(ps_memory_open(&wrong, &s), PS_EINVAL);
	assert_int_equal(ps_memory_open(NULL, NULL), PS_EINVAL);
	assert_null(s);
}

static void over_the_budget_nothing_is_changed(void **state)
{
	(void)state;
	enum { BUDGET = 100000, BIG = 60000 };
	static const char bytes[BUDGET + 1];
	ps_storer *s = open_store(BUDGET);
	ps_id small, big, other = PS_ID_NONE;
	ps_batch *b;
	assert_int_equal(ps_put(s, "small", 5, &small), PS_OK);
	assert_int_equal(ps_put(s, bytes, BUDGET, &other), PS_ENOSPC);
	assert_int_equal(ps_put(s, bytes, BIG, &big), PS_OK);
	assert_int_equal(ps_replace(s, small, bytes, BIG), PS_ENOSPC);
	assert_int_equal(ps_write_at(s, small, 1, bytes, BIG), PS_ENOSPC);
	assert_int_equal(ps_batch_begin(s, &b), PS_OK);
	assert_int_equal(ps_batch_put(b, bytes, BIG, &other), PS_ENOSPC);
	assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_OK);
	assert_int_equal(other, PS_ID_NONE);
	expect_text(s, small, "small");
	/* Zeros take none of it, and what is deleted comes back. */
	assert_int_equal(ps_alloc(s, (uint64_t)1 << 40, &other), PS_OK);
	assert_int_equal(ps_delete(s, big), PS_OK);
	assert_int_equal(ps_put(s, bytes, BIG, &big), PS_OK);
	struct ps_stats stats;
	assert_int_equal(ps_stats(s, &stats), PS_OK);
	assert_int_equal(stats.memory_budget, BUDGET);
	assert_int_equal(stats.objects, 3);
	assert_int_equal(ps_close(s), PS_OK);
}

/* The last generation of a slot is used, then the slot never again. */
static void a_slot_whose_generations_are_used_up_is_retired(void **state)
{
	(void)state;
	ps_storer *s = open_store(0);
	struct memory_store *m = (struct memory_store *)s;
	ps_id first, last, next;
	assert_int_equal(ps_put(s, "a", 1, &first), PS_OK);
	assert_int_equal(first, (ps_id)1 << MEMORY_SLOT_SHIFT | 1);
	assert_int_equal(ps_delete(s, first), PS_OK);
	m->slots[1].generation = MEMORY_GENERATION_MAX - 1;
	assert_int_equal(ps_put(s, "b", 1, &last), PS_OK);
	assert_int_equal(last, (ps_id)1 << MEMORY_SLOT_SHIFT | MEMORY_GENERATION_MAX);
	expect_text(s, last, "b");
	assert_int_equal(ps_delete(s, last), PS_OK);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(ps_put(s, "c", 1, &next), PS_OK);
		assert_int_equal(next >> MEMORY_SLOT_SHIFT, 2 + i);
	}
	char byte;
	size_t got;
	assert_int_equal(ps_get(s, last, &byte, 1, &got), PS_ENOTFOUND);
	assert_int_equal(ps_close(s), PS_OK);
}

/* One call of each kind that allocates; the first failure ends it. */
static int scenario(ps_storer *s, ps_id kept, ps_id *made)
{
	enum { RUN = 100 };
	static const char bytes[200000];
	ps_id run[RUN], ids[2] = {kept, PS_ID_NONE};
	const size_t sizes[2] = {9, 70000};
	struct ps_view view;
	ps_writer *w = NULL;
	ps_batch *b = NULL;
	int err = ps_put(s, bytes, sizeof(bytes), made);
	if (!err)
		err = ps_alloc_run(s, 10, RUN, run);
	if (!err)
		err = ps_view(s, *made, &view);
	if (!err)
		err = ps_view_release(&view);
	if (!err)
		err = ps_write_at(s, *made, 100000, bytes, 100);
	if (!err)
		err = ps_resize(s, *made, 1000);
	if (!err)
		err = ps_open_writer(s, *made, 70000, &w);
	if (!err && (err = ps_writer_write(w, bytes, 70000)) == PS_OK)
		err = ps_writer_finish(w);
	if (err) {
		if (w && ps_writer_id(w) != PS_ID_NONE)
			(void)ps_writer_abort(w);
		return err;
	}
	err = ps_batch_begin(s, &b);
	if (err)
		return err;
	if (!err)
		err = ps_batch_replace(b, kept, "changed", 7);
	if (!err)
		err = ps_batch_write_at(b, *made, 5, bytes, 70000);
	for (unsigned i = 0; i < 10 && !err; i++)
		err = ps_batch_put(b, "x", 1, &run[i]);
	int end = err ? ps_batch_abort(b) : ps_batch_commit(b, PS_DURABLE);
	if (err || end)
		return err ? err : end;
	ids[1] = *made;
	return ps_write_batched(s, 2, ids, bytes, sizes);
}

static void each_failing_allocation_fails_its_call_whole(void **state)
{
	(void)state;
	unsigned failures = 0;
	for (uint64_t nth = 1; nth < 1000; nth++) {
		ps_storer *s = open_store(0);
		struct memory_store *m = (struct memory_store *)s;
		ps_id kept, made = PS_ID_NONE;
		char buf[20];
		size_t len;
		assert_int_equal(ps_put(s, "kept", 4, &kept), PS_OK);
		ps_memory_fail_nth(nth, 0);
		int err = scenario(s, kept, &made);
		ps_memory_fail_nth(0, 0);
		assert_true(err == PS_OK || err == PS_ENOMEM);
		assert_int_equal(ps_get(s, kept, buf, sizeof(buf), &len), PS_OK);
		if (err) {
			/* As it was, or as the batch that did commit left it. */
			assert_true(memcmp(buf, "kept", 4) == 0 || memcmp(buf, "changed", 7) == 0);
			failures++;
		}
		/* No chunk was lost on the way: deleting all leaves nothing. */
		for (size_t i = 1; i < m->slot_count; i++) {
			ps_id id = i << MEMORY_SLOT_SHIFT | m->slots[i].generation;
			assert_true(m->slots[i].state != MEMORY_RESERVED);
			if (m->slots[i].state == MEMORY_LIVE)
				assert_int_equal(ps_delete(s, id), PS_OK);
		}
		assert_int_equal(atomic_load(&m->pool.bytes), 0);
		assert_int_equal(atomic_load(&m->pool.memory.used), m->slot_capacity * sizeof(*m->slots));
		assert_int_equal(ps_close(s), PS_OK);
		if (!err)
			break;
	}
	assert_true(failures > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options_are_checked),
	    cmocka_unit_test(over_the_budget_nothing_is_changed),
	    cmocka_unit_test(a_slot_whose_generations_are_used_up_is_retired),
	    cmocka_unit_test(each_failing_allocation_fails_its_call_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
