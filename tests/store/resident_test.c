/* Reads of what is in memory, without locks and with hardly a pin: copies from which the bytes go in the
 * middle, views that are pinned by a slot of their thread, and whoever wants their frames meanwhile. Nothing
 * is left to time: the middle of a copy is a fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sync.h"
#include "store/base_internal.h"
#include "store/pin_slots.h"
#include "tests/support/disk_store.h"
#include "tests/support/sem.h"

enum { M = 1 << 20, TWO_PAGES = 2 * PAGE, MANY_VIEWS = 4096 };

#define OK(call) assert_int_equal((call), PS_OK)

struct world {
	struct sim_disk *disk;
	ps_storer *s;
	struct pool *pool;
	uint8_t *bytes, *read;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct ps_base_options options = disk_store_options();
	options.memory_budget = 16 * M;
	if (!w)
		return -1;
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	w->bytes = malloc(M);
	w->read = malloc(M);
	OK(ps_base_open_io(sim_disk_io(w->disk), true, &options, &w->s));
	w->pool = &store_of(w->s)->pool;
	*state = w;
	return w->bytes && w->read ? 0 : -1;
}

static int teardown(void **state)
{
	struct world *w = *state;
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(w->s));
	sim_disk_free(w->disk);
	free(w->bytes);
	free(w->read);
	free(w);
	return 0;
}

static ps_id put(struct world *w, int byte, size_t size)
{
	ps_id id;
	size_t len;
	memset(w->bytes, byte, size);
	OK(ps_put(w->s, w->bytes, size, &id));
	OK(ps_get(w->s, id, w->bytes, size, &len));
	return id;
}

static uint64_t place_of(struct world *w, ps_id id)
{
	struct ps_info info;
	OK(ps_info(w->s, id, &info));
	return info.offset;
}

static uint64_t pinned(struct world *w)
{
	struct ps_stats stats;
	OK(ps_stats(w->s, &stats));
	return stats.pinned_bytes;
}

static bool is_there(struct world *w, uint64_t place)
{
	return atomic_load(pool_state(w->pool, place)) & PAGE_RESIDENT;
}

/* As if it had not been used for long, and memory were wanted. What is dirty does not leave. */
static void evict_all(struct world *w)
{
	OK(ps_sync(w->s));
	OK(checkpoint_run(store_of(w->s)));
	for (unsigned i = 0; i < 1000 && pool_evict_one(w->pool); i++)
		;
}

static bool all_are(const uint8_t *bytes, size_t size, uint8_t byte)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != byte)
			return false;
	}
	return true;
}

/* ---- the middle of a copy ---- */

static struct {
	void (*act)(struct world *w);
	struct world *w;
	uint8_t *page;
	bool was_met;
	struct sigaction old;
	pthread_t actor;
	sem_t met, acted;
} middle;

static void *act_when_met(void *nothing)
{
	sem_await(&middle.met);
	middle.act(middle.w);
	sem_post(&middle.acted);
	return nothing;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (middle.was_met || (uintptr_t)info->si_addr / PAGE != (uintptr_t)middle.page / PAGE) {
		sigaction(number, &middle.old, NULL);
		return;
	}
	middle.was_met = true;
	if (mprotect(middle.page, PAGE, PROT_READ | PROT_WRITE))
		_exit(1);
	sem_post(&middle.met);
	sem_await(&middle.acted);
}

/* The next who touches the object's second page waits there until act has returned. */
static void in_the_middle_of(struct world *w, ps_id id, void (*act)(struct world *w))
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
	middle.act = act;
	middle.w = w;
	middle.was_met = false;
	middle.page = pool_address(w->pool, place_of(w, id)) + PAGE;
	assert_int_equal(sem_init(&middle.met, 0, 0), 0);
	assert_int_equal(sem_init(&middle.acted, 0, 0), 0);
	assert_int_equal(pthread_create(&middle.actor, NULL, act_when_met, NULL), 0);
	assert_int_equal(sigaction(SIGSEGV, &action, &middle.old), 0);
	assert_int_equal(mprotect(middle.page, PAGE, PROT_NONE), 0);
}

static void it_was_met(void)
{
	assert_true(middle.was_met);
	assert_int_equal(pthread_join(middle.actor, NULL), 0);
	sem_destroy(&middle.met);
	sem_destroy(&middle.acted);
	assert_int_equal(sigaction(SIGSEGV, &middle.old, NULL), 0);
}

static ps_id object;

static void evict_it(struct world *w)
{
	while (pool_evict_one(w->pool))
		;
}

static void evict_and_read_it(struct world *w)
{
	static uint8_t bytes[TWO_PAGES];
	size_t len;
	evict_it(w);
	OK(ps_get(w->s, object, bytes, sizeof(bytes), &len));
	evict_it(w);
	OK(ps_get(w->s, object, bytes, sizeof(bytes), &len));
}

static void a_frame_that_leaves_under_a_copy_is_read_again(void **state)
{
	static void (*const acts[])(struct world * w) = {evict_it, evict_and_read_it};
	struct world *w = *state;
	size_t len;
	object = put(w, 7, TWO_PAGES);
	OK(ps_sync(w->s));
	OK(checkpoint_run(store_of(w->s)));
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		OK(ps_get(w->s, object, w->read, TWO_PAGES, &len));
		assert_true(is_there(w, place_of(w, object)));
		memset(w->read, 0, TWO_PAGES);
		in_the_middle_of(w, object, acts[i]);
		OK(ps_get(w->s, object, w->read, TWO_PAGES, &len));
		it_was_met();
		assert_int_equal(len, TWO_PAGES);
		assert_true(all_are(w->read, TWO_PAGES, 7));
		in_the_middle_of(w, object, acts[i]);
		OK(ps_read_at(w->s, object, 10, w->read, TWO_PAGES - 20, &len));
		it_was_met();
		assert_int_equal(len, TWO_PAGES - 20);
		assert_true(all_are(w->read, TWO_PAGES - 20, 7));
	}
}

/* Puts objects until one lies at the place, and in memory. */
static void take_place(struct world *w, uint64_t place)
{
	static uint8_t foreign[TWO_PAGES];
	ps_id id = PS_ID_NONE;
	size_t len;
	memset(foreign, 9, sizeof(foreign));
	for (unsigned i = 0; i < 200 && (!id || place_of(w, id) != place); i++)
		OK(ps_put(w->s, foreign, sizeof(foreign), &id));
	OK(ps_get(w->s, id, foreign, sizeof(foreign), &len));
}

static void replace_it(struct world *w)
{
	static uint8_t bytes[TWO_PAGES];
	uint64_t place = place_of(w, object);
	memset(bytes, 8, sizeof(bytes));
	OK(ps_replace(w->s, object, bytes, sizeof(bytes)));
	take_place(w, place);
}

static void delete_it(struct world *w)
{
	uint64_t place = place_of(w, object);
	OK(ps_delete(w->s, object));
	take_place(w, place);
}

static void an_object_that_goes_under_a_copy_is_read_again(void **state)
{
	struct world *w = *state;
	size_t len = 0;
	object = put(w, 7, TWO_PAGES);
	in_the_middle_of(w, object, replace_it);
	OK(ps_get(w->s, object, w->read, TWO_PAGES, &len));
	it_was_met();
	/* With a pin it is the old object. */
	assert_true(all_are(w->read, TWO_PAGES, PS_THREAD_SANITIZER ? 7 : 8));
	OK(ps_get(w->s, object, w->read, TWO_PAGES, &len));
	in_the_middle_of(w, object, delete_it);
	assert_int_equal(ps_get(w->s, object, w->read, TWO_PAGES, &len),
	                 PS_THREAD_SANITIZER ? PS_OK : PS_ENOTFOUND);
	it_was_met();
}

/* ---- views in slots ---- */

static _Atomic(unsigned) interrupts;

void __real_sync_interrupt_threads(void);
void __wrap_sync_interrupt_threads(void);
void __wrap_sync_interrupt_threads(void)
{
	atomic_fetch_add(&interrupts, 1);
	__real_sync_interrupt_threads();
}

static void view_often(struct world *w, ps_id id)
{
	struct ps_view v;
	for (unsigned i = 0; i < MANY_VIEWS; i++) {
		OK(ps_view(w->s, id, &v));
		OK(ps_view_release(&v));
	}
}

/* Where threads cannot be interrupted all pins are counted: then only what is seen from outside can be asked
 * for. */
static void assert_counted(struct world *w, uint64_t place, uint64_t pins)
{
	if (sync_can_interrupt())
		assert_int_equal(atomic_load(pool_state(w->pool, place)) & PAGE_PINS, pins);
}

static void many_views_are_not_counted(void **state)
{
	struct world *w = *state;
	struct ps_view v;
	ps_id id = put(w, 3, TWO_PAGES);
	uint64_t place = place_of(w, id);
	OK(ps_view(w->s, id, &v));
	assert_counted(w, place, 1);
	OK(ps_view_release(&v));
	view_often(w, id);
	OK(ps_view(w->s, id, &v));
	assert_counted(w, place, 0);
	assert_int_equal(pinned(w), TWO_PAGES);
	OK(ps_view_release(&v));
	assert_int_equal(pinned(w), 0);
}

static void a_view_keeps_its_frame(void **state)
{
	struct world *w = *state;
	struct ps_view v;
	ps_id id = put(w, 3, TWO_PAGES);
	uint64_t place = place_of(w, id);
	view_often(w, id);
	OK(ps_view(w->s, id, &v));
	evict_all(w);
	assert_true(is_there(w, place));
	assert_true(all_are(v.data, TWO_PAGES, 3));
	OK(ps_delete(w->s, id));
	for (int i = 0; i < 3; i++) {
		OK(ps_delete(w->s, put(w, 4, TWO_PAGES)));
		OK(ps_sync(w->s));
	}
	evict_all(w);
	assert_true(all_are(v.data, TWO_PAGES, 3));
	OK(ps_view_release(&v));
	for (int i = 0; i < 3; i++) {
		OK(ps_delete(w->s, put(w, 4, TWO_PAGES)));
		OK(ps_sync(w->s));
	}
	evict_all(w);
	assert_false(is_there(w, place));
}

static void views_are_counted_where_frames_are_wanted(void **state)
{
	struct world *w = *state;
	struct ps_view v;
	ps_id id = put(w, 3, TWO_PAGES);
	uint64_t place = place_of(w, id);
	view_often(w, id);
	interrupts = 0;
	evict_all(w);
	if (sync_can_interrupt())
		assert_int_equal(interrupts, 1);
	OK(ps_view(w->s, id, &v));
	assert_counted(w, place, 1);
	OK(ps_view_release(&v));
	view_often(w, id);
	OK(ps_view(w->s, id, &v));
	assert_counted(w, place, 0);
	OK(ps_view_release(&v));
}

static void more_views_than_slots(void **state)
{
	enum { VIEWS = 3 * PIN_SLOTS };
	struct world *w = *state;
	struct ps_view v[VIEWS];
	ps_id id = put(w, 3, TWO_PAGES);
	uint64_t place = place_of(w, id);
	view_often(w, id);
	for (unsigned i = 0; i < VIEWS; i++)
		OK(ps_view(w->s, id, &v[i]));
	assert_counted(w, place, VIEWS - PIN_SLOTS);
	for (unsigned i = 0; i < VIEWS - 1; i++) {
		OK(ps_view_release(&v[i]));
		assert_int_equal(ps_view_release(&v[i]), PS_ECLOSED);
	}
	evict_all(w);
	assert_true(is_there(w, place));
	OK(ps_view_release(&v[VIEWS - 1]));
	evict_all(w);
	assert_false(is_there(w, place));
}

static void *release_it(void *view)
{
	return ps_view_release(view) ? NULL : view;
}

static void another_thread_releases_a_view(void **state)
{
	struct world *w = *state;
	struct ps_view v;
	pthread_t thread;
	void *released;
	ps_id id = put(w, 3, TWO_PAGES);
	view_often(w, id);
	OK(ps_view(w->s, id, &v));
	assert_int_equal(ps_close(w->s), PS_EBUSY);
	assert_int_equal(pthread_create(&thread, NULL, release_it, &v), 0);
	assert_int_equal(pthread_join(thread, &released), 0);
	assert_ptr_equal(released, &v);
	assert_int_equal(pinned(w), 0);
}

static void *view_and_end(void *arg)
{
	struct world *w = arg;
	struct ps_view *v = malloc(sizeof(*v));
	view_often(w, object);
	return v && ps_view(w->s, object, v) == PS_OK ? v : NULL;
}

/* Its slots are the next thread's, but for that one. */
static void a_view_outlives_its_thread(void **state)
{
	struct world *w = *state;
	struct ps_view *v[2];
	pthread_t thread;
	object = put(w, 3, TWO_PAGES);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&thread, NULL, view_and_end, w), 0);
		assert_int_equal(pthread_join(thread, (void **)&v[i]), 0);
		assert_non_null(v[i]);
	}
	for (int i = 0; i < 2; i++) {
		evict_all(w);
		assert_true(is_there(w, place_of(w, object)));
		assert_true(all_are(v[i]->data, TWO_PAGES, 3));
		OK(ps_view_release(v[i]));
		free(v[i]);
	}
	evict_all(w);
	assert_false(is_there(w, place_of(w, object)));
}

/* ---- large objects ---- */

static void a_view_of_a_large_object_is_one_pin(void **state)
{
	enum { LARGE = 5 * CHUNK + 100 };
	struct world *w = *state;
	struct ps_view v, part;
	ps_id id = put(w, 3, LARGE);
	view_often(w, id);
	uint64_t place = place_of(w, id);
	OK(ps_view(w->s, id, &v));
	assert_counted(w, place, 0);
	OK(ps_view_at(w->s, id, CHUNK - 5, 2 * CHUNK, &part));
	assert_true((const uint8_t *)part.data == (const uint8_t *)v.data + CHUNK - 5);
	struct ps_view beyond;
	assert_int_equal(ps_view_at(w->s, id, CHUNK, LARGE, &beyond), PS_ERANGE);
	OK(ps_view_release(&part));
	evict_all(w);
	for (uint64_t at = 0; at < LARGE; at += CHUNK)
		assert_true(is_there(w, place + at));
	assert_true(all_are(v.data, LARGE, 3));
	OK(ps_write_at(w->s, id, CHUNK, "changed", 7));
	OK(ps_view(w->s, id, &part));
	assert_memory_equal((const uint8_t *)part.data + CHUNK, "changed", 7);
	assert_true(all_are(v.data, LARGE, 3));
	OK(ps_view_release(&part));
	OK(ps_view_release(&v));
	evict_all(w);
	for (uint64_t at = 0; at < LARGE; at += CHUNK)
		assert_false(is_there(w, place + at));
}

/* Of a run that was known, and of which a chunk has left since. */
static void a_run_is_known_only_while_it_is_there(void **state)
{
	enum { LARGE = 4 * CHUNK };
	struct world *w = *state;
	struct ps_view v;
	ps_id id = put(w, 3, LARGE);
	OK(ps_sync(w->s));
	OK(checkpoint_run(store_of(w->s)));
	view_often(w, id);
	uint64_t last = place_of(w, id) + 3 * CHUNK;
	for (unsigned i = 0; i < 1000 && is_there(w, last); i++)
		assert_true(pool_evict_one(w->pool));
	OK(ps_view(w->s, id, &v));
	assert_true(all_are(v.data, LARGE, 3));
	OK(ps_view_release(&v));
}

/* ---- all at once ---- */

enum { OBJECTS = 8, SIZE = 600, ROUNDS = PS_THREAD_SANITIZER ? 5000 : 50000, ASKED_EVERY = 1500 };

static struct {
	struct world *w;
	ps_id ids[OBJECTS];
	_Atomic(unsigned) wrong;
} crowd;

static bool is_whole(const uint8_t *bytes, size_t len)
{
	return len == SIZE && all_are(bytes, len, bytes[0]);
}

static void *read_in_a_crowd(void *arg)
{
	uint8_t bytes[SIZE];
	struct ps_view v;
	size_t len;
	for (unsigned i = 0; i < ROUNDS; i++) {
		ps_id id = crowd.ids[i % OBJECTS];
		bool right = ps_get(crowd.w->s, id, bytes, sizeof(bytes), &len) == PS_OK &&
		             is_whole(bytes, len) && ps_view(crowd.w->s, id, &v) == PS_OK &&
		             is_whole(v.data, v.len);
		if (!right || ps_view_release(&v))
			atomic_fetch_add(&crowd.wrong, 1);
	}
	return arg;
}

/* Now and then frames go, and objects change: often enough to close the slots, seldom enough to let them be
 * opened again. */
static void disturb(struct world *w, unsigned i)
{
	uint8_t bytes[SIZE];
	memset(bytes, (int)(i & 255), sizeof(bytes));
	OK(ps_replace(w->s, crowd.ids[i % OBJECTS], bytes, sizeof(bytes)));
	if (i % 4 == 0)
		evict_all(w);
}

static void readers_see_whole_objects_whatever_goes(void **state)
{
	struct world *w = *state;
	pthread_t threads[2];
	struct ps_view v;
	crowd.w = w;
	crowd.wrong = 0;
	for (unsigned i = 0; i < OBJECTS; i++)
		crowd.ids[i] = put(w, (int)i, SIZE);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_in_a_crowd, NULL), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		OK(ps_view(w->s, crowd.ids[i % OBJECTS], &v));
		if (i % ASKED_EVERY == 0)
			disturb(w, i / ASKED_EVERY);
		assert_true(is_whole(v.data, v.len));
		OK(ps_view_release(&v));
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(crowd.wrong, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_frame_that_leaves_under_a_copy_is_read_again),
	    TEST(an_object_that_goes_under_a_copy_is_read_again),
	    TEST(many_views_are_not_counted),
	    TEST(a_view_keeps_its_frame),
	    TEST(views_are_counted_where_frames_are_wanted),
	    TEST(more_views_than_slots),
	    TEST(another_thread_releases_a_view),
	    TEST(a_view_outlives_its_thread),
	    TEST(a_view_of_a_large_object_is_one_pin),
	    TEST(a_run_is_known_only_while_it_is_there),
	    TEST(readers_see_whole_objects_whatever_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
