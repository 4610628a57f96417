/* Who called what: the multi store over a spy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <padstone/padstone.h>

#include "tests/multistore/spy_layer.h"

#define OK(call) assert_int_equal((call), PS_OK)

/* The library's own calls come here (--wrap). */
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
static bool no_memory;
void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory ? NULL : __real_calloc(count, size);
}

static ps_storer *new_spy(void)
{
	ps_storer *s;
	OK(ps_memory_open(NULL, &s));
	OK(spy_layer_open(s, &s));
	return s;
}

static ps_storer *multi_over(ps_storer *inner)
{
	ps_storer *s;
	OK(ps_multi_open(inner, NULL, &s));
	return s;
}

static int any_id(void *arg, ps_id id)
{
	(void)arg, (void)id;
	return 0;
}

static int any_piece(void *arg, const struct ps_space_piece *piece)
{
	(void)arg, (void)piece;
	return 0;
}

static int any_finding(void *arg, const struct ps_finding *finding)
{
	(void)arg, (void)finding;
	return 0;
}

static int any_progress(void *arg, const struct ps_progress *progress)
{
	(void)arg, (void)progress;
	return 0;
}

/* All pointers that calls are given, so that two runs give the same. */
static struct {
	ps_id id, id2, run[3];
	char bytes[64];
	size_t len, sizes[2];
	struct ps_get_many reqs[2];
	struct ps_view view;
	struct ps_info info;
	struct ps_stats stats;
	struct ps_placement placement;
	struct ps_route_figures figures[2];
	ps_storer *below;
	ps_writer *w;
	ps_reader *r;
	ps_batch *b;
	int results[64];
	size_t result_count;
} given;

static void note(int result)
{
	assert_true(given.result_count < sizeof(given.results) / sizeof(*given.results));
	given.results[given.result_count++] = result;
}

static void sessions(ps_storer *s)
{
	note(ps_open_writer(s, PS_ID_NONE, 3, &given.w));
	note(ps_writer_write(given.w, "abc", 3));
	note(ps_writer_finish(given.w));
	note(ps_open_writer(s, given.id, PS_SIZE_UNKNOWN, &given.w));
	note(ps_writer_abort(given.w));
	note(ps_open_reader(s, given.id, &given.r));
	note(ps_reader_finish(given.r));
	note(ps_batch_begin(s, &given.b));
	note(ps_batch_put(given.b, "in a batch", 10, &given.id2));
	note(ps_batch_commit(given.b, PS_RELAXED));
	note(ps_view(s, given.id, &given.view));
	note(ps_view_release(&given.view));
	note(ps_view_at(s, given.id, 1, 2, &given.view));
	note(ps_view_release(&given.view));
}

/* Each call of the contract at least once, some that fail among them. */
static void one_of_each(ps_storer *s)
{
	const size_t sizes[] = {2, 3};
	memset(&given, 0, sizeof(given));
	memcpy(given.sizes, sizes, sizeof(sizes));
	note(ps_put(s, "contents", 8, &given.id));
	note(ps_get(s, given.id, given.bytes, sizeof(given.bytes), &given.len));
	note(ps_get(s, given.id + 1000, given.bytes, sizeof(given.bytes), &given.len));
	note(ps_read_at(s, given.id, 2, given.bytes, 3, &given.len));
	given.reqs[0] = given.reqs[1] = (struct ps_get_many){.id = given.id, .buf = given.bytes, .cap = 8};
	note(ps_get_many(s, 2, given.reqs));
	note(ps_replace(s, given.id, "other contents", 14));
	note(ps_write_at(s, given.id, 5, "xyz", 3));
	note(ps_resize(s, given.id, 20));
	note(ps_alloc(s, 100, &given.id2));
	note(ps_prime(s, 10, NULL));
	note(ps_alloc_run(s, 50, 3, given.run));
	note(ps_write_batched(s, 2, given.run, "aabbb", given.sizes));
	note(ps_info(s, given.id, &given.info));
	sessions(s);
	note(ps_delete(s, given.id2));
	note(ps_delete(s, given.id2));
	note(ps_each(s, 7, any_id, given.bytes));
	note(ps_sync(s));
	note(ps_stats(s, &given.stats));
	note(ps_check(s, PS_CHECK_QUICK, any_finding, given.bytes));
	note(ps_compact(s, 12345, any_progress, given.bytes));
	note(ps_backup(s, "/nowhere/at/all", any_progress, given.bytes));
	note(ps_use_tokens(s, NULL));
	note(ps_use_placement(s, &given.placement));
	note(ps_each_space(s, any_piece, given.bytes));
	note(ps_route_figures(s, given.figures, 2));
	note(ps_cut_store(s, &given.below));
}

static void each_call_goes_on_once_as_it_came(void **state)
{
	(void)state;
	struct spy_call direct[SPY_CALLS];
	int results[64];
	size_t count, through;
	ps_storer *spy = new_spy();
	one_of_each(spy);
	memcpy(direct, spy_calls(spy, &count), sizeof(direct));
	memcpy(results, given.results, sizeof(results));
	OK(ps_close(spy));
	spy = new_spy();
	ps_storer *s = multi_over(spy);
	spy_forget(spy);
	one_of_each(s);
	const struct spy_call *calls = spy_calls(spy, &through);
	assert_int_equal(through, count);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(calls[i].slot, direct[i].slot);
		assert_memory_equal(calls[i].args, direct[i].args, sizeof(direct[i].args));
		assert_int_equal(calls[i].result, direct[i].result);
	}
	assert_memory_equal(given.results, results, sizeof(results));
	OK(ps_close(s));
}

/* What belongs to sessions never comes by: they are the inner store's. */
static bool is_of_a_session(const char *slot)
{
	static const char *const begins[] = {"writer_",      "reader_",        "batch_put",   "batch_replace",
	                                     "batch_delete", "batch_write_at", "batch_alloc", "batch_commit",
	                                     "batch_abort",  "view_release"};
	for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++)
		if (strncmp(slot, begins[i], strlen(begins[i])) == 0)
			return true;
	return false;
}

static void no_call_of_the_contract_is_left_out(void **state)
{
	(void)state;
#define SLOT_NAME(name, params) #name,
	static const char *const slots[] = {PS_STORER_SLOTS(SLOT_NAME)};
	ps_storer *spy = new_spy();
	ps_storer *s = multi_over(spy);
	size_t count;
	one_of_each(s);
	const struct spy_call *calls = spy_calls(spy, &count);
	assert_in_range(count, 1, SPY_CALLS);
	for (size_t i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
		size_t times = 0;
		for (size_t j = 0; j < count; j++)
			times += strcmp(calls[j].slot, slots[i]) == 0;
		if (is_of_a_session(slots[i]) || strcmp(slots[i], "close") == 0)
			assert_int_equal(times, 0);
		else if (times == 0)
			fail_msg("%s never reached the inner store", slots[i]);
	}
	unsigned closes = spy_closes();
	OK(ps_close(s));
	assert_int_equal(spy_closes(), closes + 1);
}

static void sessions_are_the_inner_stores(void **state)
{
	(void)state;
	ps_storer *s = multi_over(new_spy()), *memory = s->inner->inner;
	ps_writer *w;
	ps_batch *b;
	struct ps_view view;
	ps_id id;
	OK(ps_put(s, "x", 1, &id));
	OK(ps_open_writer(s, PS_ID_NONE, 1, &w));
	OK(ps_batch_begin(s, &b));
	OK(ps_view(s, id, &view));
	assert_ptr_equal(w->session.s, memory);
	assert_ptr_equal(b->session.s, memory);
	assert_ptr_equal(view.owner, memory);
	assert_int_equal(ps_close(s), PS_EBUSY);
	OK(ps_writer_abort(w));
	assert_int_equal(ps_close(s), PS_EBUSY);
	OK(ps_batch_abort(b));
	assert_int_equal(ps_close(s), PS_EBUSY);
	OK(ps_view_release(&view));
	OK(ps_put(s, "y", 1, &id));
	OK(ps_close(s));
}

static void placement_is_asked_for_once(void **state)
{
	(void)state;
	ps_storer *spy = new_spy();
	size_t count;
	ps_storer *s = multi_over(spy);
	const struct spy_call *calls = spy_calls(spy, &count);
	assert_int_equal(count, 1);
	assert_string_equal(calls[0].slot, "use_placement");
	struct ps_multi_placement has;
	struct ps_multi_route routes[2];
	size_t n;
	OK(ps_multi_placement(s, &has));
	spy_calls(spy, &count);
	assert_int_equal(count, 1);
	OK(ps_multi_routes(s, routes, 2, &n));
	calls = spy_calls(spy, &count);
	assert_int_equal(count, 2);
	assert_string_equal(calls[1].slot, "route_figures");
	OK(ps_close(s));
}

static void refusal_changes_nothing_below(void **state)
{
	(void)state;
	const struct ps_placement nothing = {0};
	ps_storer *memory, *s = NULL;
	ps_id id;
	size_t count;
	OK(ps_memory_open(NULL, &memory));
	assert_int_equal(ps_multi_open(memory, NULL, &s), PS_ENOTSUP);
	assert_non_null(strstr(ps_last_error_message(), "memory store cannot place"));
	assert_null(s);
	OK(ps_put(memory, "mine still", 10, &id));
	OK(ps_close(memory));
	ps_storer *spy = new_spy();
	no_memory = true;
	int err = ps_multi_open(spy, NULL, &s);
	no_memory = false;
	assert_int_equal(err, PS_ENOMEM);
	spy_calls(spy, &count);
	assert_int_equal(count, 0);
	spy_set_placement(spy, &nothing, false, PS_EIO);
	assert_int_equal(ps_multi_open(spy, NULL, &s), PS_EIO);
	assert_null(s);
	OK(ps_put(spy, "mine still", 10, &id));
	spy_set_placement(spy, &nothing, false, PS_OK);
	s = multi_over(spy);
	OK(ps_close(s));
}

static void a_stack_by_name_says_what_cannot_place(void **state)
{
	(void)state;
	static const char *const stacks[] = {"multi(memory)", "multi(concurrent(memory))",
	                                     "concurrent(multi(memory))"};
	for (size_t i = 0; i < sizeof(stacks) / sizeof(*stacks); i++) {
		ps_storer *s = NULL;
		assert_int_equal(ps_stack_open_layers(stacks[i], NULL, NULL, &s), PS_ENOTSUP);
		assert_non_null(strstr(ps_last_error_message(), "store cannot place contents by size"));
		assert_null(s);
	}
}

static void impossible_options_are_refused_before_asking(void **state)
{
	(void)state;
	const uint32_t falling[] = {64, 48};
	const struct ps_multi_options impossible[] = {
	    {.size = 3},
	    {.size = sizeof(impossible[0]) + 8},
	    {.size = sizeof(impossible[0]), .slab_bytes = 5000},
	    {.size = sizeof(impossible[0]), .route_max = 5000},
	    {.size = sizeof(impossible[0]), .slots = falling, .slot_count = 2},
	    {.size = sizeof(impossible[0]), .slot_count = 2},
	    {.size = sizeof(impossible[0]), .slots = falling},
	    {.size = sizeof(impossible[0]), .block_limit = 64, .route_max = 65},
	};
	ps_storer *spy = new_spy(), *s = NULL;
	size_t count;
	for (size_t i = 0; i < sizeof(impossible) / sizeof(*impossible); i++) {
		assert_int_equal(ps_multi_open(spy, &impossible[i], &s), PS_EINVAL);
	}
	assert_int_equal(ps_multi_open(NULL, NULL, &s), PS_EINVAL);
	assert_int_equal(ps_multi_open(spy, NULL, NULL), PS_EINVAL);
	spy_calls(spy, &count);
	assert_int_equal(count, 0);
	assert_null(s);
	OK(ps_close(spy));
}

/* ---- what the file has ---- */

static struct ps_multi_placement placement_with(ps_storer *spy, const struct ps_multi_options *opts)
{
	struct ps_multi_placement has;
	ps_storer *s;
	OK(ps_multi_open(spy, opts, &s));
	OK(ps_multi_placement(s, &has));
	free(s); /* the next one is over the same spy: only the layer's own memory goes */
	return has;
}

static void defaults_are_classes_up_to_a_page(void **state)
{
	(void)state;
	ps_storer *spy = new_spy();
	struct ps_multi_placement has = placement_with(spy, NULL);
	assert_int_equal(has.route_max, 4096);
	assert_int_equal(has.slab_bytes, 65536);
	assert_in_range(has.classes, 40, PS_MULTI_CLASSES_MAX);
	assert_int_equal(has.differs, 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(has.slot_bytes[i], 16 * (i + 1));
	assert_int_equal(has.slot_bytes[has.classes - 1], 4096);
	OK(ps_close(spy));
}

static void options_of_a_new_file_are_kept(void **state)
{
	(void)state;
	const uint32_t slots[] = {32, 100, 5000};
	const struct ps_multi_options opts = {
	    .size = sizeof(opts), .slots = slots, .slot_count = 3, .slab_bytes = 16384, .route_max = 90};
	ps_storer *spy = new_spy();
	struct ps_multi_placement has = placement_with(spy, &opts);
	assert_int_equal(has.classes, 3);
	assert_int_equal(has.slot_bytes[1], 112);
	assert_int_equal(has.slot_bytes[2], 5008);
	assert_int_equal(has.route_max, 90);
	assert_int_equal(has.slab_bytes, 16384);
	OK(ps_close(spy));
}

static void what_the_file_has_holds_and_is_said(void **state)
{
	(void)state;
	const struct ps_multi_options first = {.size = sizeof(first), .block_limit = 512, .route_max = 300},
	                              limit = {.size = sizeof(limit), .route_max = 400},
	                              slabs = {.size = sizeof(slabs), .slab_bytes = 8192},
	                              none = {.size = sizeof(none)};
	ps_storer *spy = new_spy();
	struct ps_multi_placement made = placement_with(spy, &first);
	assert_int_equal(made.differs, 0);
	const struct ps_multi_options *const others[] = {&limit, &slabs, &none, &first, NULL};
	const unsigned differs[] = {1, 1, 0, 0, 0};
	for (size_t i = 0; i < sizeof(differs) / sizeof(*differs); i++) {
		struct ps_multi_placement has = placement_with(spy, others[i]);
		assert_int_equal(has.differs, differs[i]);
		has.differs = 0;
		assert_memory_equal(&has, &made, sizeof(has));
	}
	OK(ps_close(spy));
}

static void a_read_only_file_without_classes_routes_nothing(void **state)
{
	(void)state;
	const struct ps_placement nothing = {0};
	ps_storer *spy = new_spy();
	spy_set_placement(spy, &nothing, true, PS_OK);
	struct ps_multi_placement has = placement_with(spy, NULL);
	assert_int_equal(has.classes, 0);
	assert_int_equal(has.route_max, 0);
	assert_int_equal(has.slab_bytes, 0);
	OK(ps_close(spy));
}

/* ---- figures ---- */

static void routes_are_the_stores_figures(void **state)
{
	(void)state;
	static const struct ps_route_figures figures[] = {
	    {.objects = 3, .live_bytes = 9000, .allocated = 12288, .free_bytes = 77},
	    {.objects = 2,
	     .live_bytes = 20,
	     .allocated = 32,
	     .slabs = 1,
	     .slots = 4096,
	     .used = 2,
	     .free_bytes = 65504},
	    {.objects = 1,
	     .live_bytes = 500,
	     .allocated = 32,
	     .slabs = 1,
	     .slots = 2048,
	     .used = 1,
	     .tail_bytes = 5},
	};
	struct ps_multi_route routes[4] = {0};
	struct ps_multi_placement has;
	ps_storer *spy = new_spy(), *s = multi_over(spy);
	size_t n;
	spy_set_figures(spy, figures, 3);
	/* Also from above. */
	OK(ps_concurrent_open(s, NULL, &s));
	OK(ps_multi_placement(s, &has));
	OK(ps_multi_routes(s, routes, 3, &n));
	assert_int_equal(n, has.classes + 1);
	assert_int_equal(routes[0].slot_bytes, 0);
	assert_int_equal(routes[0].waste_bytes, 3288);
	assert_int_equal(routes[0].free_bytes, 77);
	assert_int_equal(routes[1].slot_bytes, 16);
	assert_int_equal(routes[1].used, 2);
	assert_int_equal(routes[1].waste_bytes, 12);
	assert_int_equal(routes[2].waste_bytes, 0);
	assert_int_equal(routes[2].tail_bytes, 5);
	assert_int_equal(routes[3].slot_bytes, 0);
	OK(ps_multi_routes(s, NULL, 0, &n));
	assert_int_equal(ps_multi_routes(s, NULL, 1, &n), PS_EINVAL);
	assert_int_equal(ps_multi_routes(spy, routes, 1, &n), PS_EINVAL);
	assert_int_equal(ps_multi_placement(spy, &has), PS_EINVAL);
	assert_int_equal(ps_multi_placement(NULL, &has), PS_EINVAL);
	OK(ps_close(s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_call_goes_on_once_as_it_came),
	    cmocka_unit_test(no_call_of_the_contract_is_left_out),
	    cmocka_unit_test(sessions_are_the_inner_stores),
	    cmocka_unit_test(placement_is_asked_for_once),
	    cmocka_unit_test(refusal_changes_nothing_below),
	    cmocka_unit_test(a_stack_by_name_says_what_cannot_place),
	    cmocka_unit_test(impossible_options_are_refused_before_asking),
	    cmocka_unit_test(defaults_are_classes_up_to_a_page),
	    cmocka_unit_test(options_of_a_new_file_are_kept),
	    cmocka_unit_test(what_the_file_has_holds_and_is_said),
	    cmocka_unit_test(a_read_only_file_without_classes_routes_nothing),
	    cmocka_unit_test(routes_are_the_stores_figures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
