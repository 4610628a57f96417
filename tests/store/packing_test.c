/* Small contents of large batches: they lie in frames of their own, go to the disk once, stay in memory, and
 * their space is nobody else's before it is theirs no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <padstone/multi_store.h>

#include "store/base_internal.h"
#include "tests/store/late_disk.h"
#include "tests/support/disk_store.h"

enum { K = 1 << 10, M = 1 << 20, MOST = 4096, N = 3000 };

struct world {
	struct sim_disk *disk;
	struct late_disk late;
	bool multi;
	ps_storer *s;
	struct store *base;
	ps_id ids[N];
};

#define OK(call) assert_int_equal((call), PS_OK)

/* Each seed has its bytes. */
static const uint8_t *contents(unsigned seed, size_t size)
{
	static uint8_t bytes[MOST];
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(seed * 37 + i * 11 + (i >> 8) * 3 + (seed >> 8));
	return bytes;
}

static void expect(struct world *w, ps_id id, unsigned seed, size_t size)
{
	uint8_t read[MOST];
	size_t len = 0;
	OK(ps_get(w->s, id, read, sizeof(read), &len));
	assert_int_equal(len, size);
	assert_memory_equal(read, contents(seed, size), size);
}

static void expect_sound(struct world *w)
{
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
	assert_int_equal(w->base->uncommitted_bytes, 0);
}

static void open_world(struct world *w)
{
	const struct ps_base_options options = disk_store_options();
	bool created = sim_disk_size(w->disk) == 0;
	ps_storer *base;
	late_disk_init(&w->late, sim_disk_io(w->disk));
	OK(ps_base_open_io(&w->late.io, created, &options, &base));
	w->base = store_of(base);
	w->s = base;
	if (w->multi)
		OK(ps_multi_open(base, NULL, &w->s));
}

static void open_again(struct world *w)
{
	OK(ps_close(w->s));
	open_world(w);
}

static struct world *new_world(bool multi)
{
	struct world *w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	w->multi = multi;
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	open_world(w);
	return w;
}

static int setup_base(void **state)
{
	*state = new_world(false);
	return 0;
}

static int setup_multi(void **state)
{
	*state = new_world(true);
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	OK(ps_close(w->s));
	sim_disk_free(w->disk);
	free(w);
	return 0;
}

static ps_batch *begin(struct world *w)
{
	ps_batch *b = NULL;
	OK(ps_batch_begin(w->s, &b));
	return b;
}

static size_t size_of(unsigned i)
{
	return 64 + i * 7919 % 449;
}

static uint64_t put_all(struct world *w, ps_batch *b)
{
	uint64_t bytes = 0;
	for (unsigned i = 0; i < N; i++) {
		OK(ps_batch_put(b, contents(i, size_of(i)), size_of(i), &w->ids[i]));
		bytes += size_of(i);
	}
	return bytes;
}

static void expect_all(struct world *w)
{
	for (unsigned i = 0; i < N; i++)
		expect(w, w->ids[i], i, size_of(i));
}

static void contents_of_a_batch_are_written_once_and_stay_in_memory(void **state)
{
	struct world *w = *state;
	ps_batch *b = begin(w);
	uint64_t bytes = put_all(w, b), log = w->base->log.end;
	uint64_t dirty = atomic_load(&w->base->pool.dirty_bytes);
	OK(ps_batch_commit(b, PS_DURABLE));
	/* The log has an operation of 48 bytes for each, and what filled no frame. */
	uint64_t logged = w->base->log.end - log;
	assert_true(logged < N * 48 + bytes / (w->multi ? 4 : 32));
	assert_true(atomic_load(&w->base->pool.dirty_bytes) - dirty < bytes / 2);
	uint64_t calls = sim_disk_calls(w->disk);
	expect_all(w);
	assert_int_equal(sim_disk_calls(w->disk), calls);
	expect_sound(w);
	open_again(w);
	expect_all(w);
	expect_sound(w);
}

/* In the middle of the batch, after some were packed: replaced, deleted, written over, grown. */
static void contents_change_after_they_were_packed(void **state)
{
	struct world *w = *state;
	for (int commit = 0; commit < 2; commit++) {
		ps_batch *b = begin(w);
		(void)put_all(w, b);
		OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
		for (unsigned i = 0; i < 60; i += 4) {
			OK(ps_batch_replace(b, w->ids[i], contents(i + 5000, 300), 300));
			OK(ps_batch_delete(b, w->ids[i + 1]));
			OK(ps_batch_write_at(b, w->ids[i + 2], 0, contents(i + 6000, 600), 600));
			OK(ps_batch_write_at(b, w->ids[i + 3], size_of(i + 3), "", 1));
		}
		OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
		if (commit)
			OK(ps_batch_commit(b, PS_DURABLE));
		else
			OK(ps_batch_abort(b));
		expect_sound(w);
	}
	for (int opened = 0; opened < 2; opened++) {
		for (unsigned i = 0; i < 60; i += 4) {
			uint8_t read[MOST];
			size_t len;
			expect(w, w->ids[i], i + 5000, 300);
			assert_int_equal(ps_get(w->s, w->ids[i + 1], read, sizeof(read), &len), PS_ENOTFOUND);
			expect(w, w->ids[i + 2], i + 6000, 600);
			OK(ps_get(w->s, w->ids[i + 3], read, sizeof(read), &len));
			assert_int_equal(len, size_of(i + 3) + 1);
			assert_int_equal(read[len - 1], 0);
			assert_memory_equal(read, contents(i + 3, len - 1), len - 1);
		}
		for (unsigned i = 60; i < N; i++)
			expect(w, w->ids[i], i, size_of(i));
		open_again(w);
	}
	expect_sound(w);
}

static uint64_t page_of(struct world *w, ps_id id)
{
	struct entry e;
	OK(object_entry(w->base, id, &e));
	return entry_place(&e) / PAGE;
}

/* Two of a page leave a tail that others fit in, with no other space: their writes would overtake each other.
 */
static void tail_is_given_out_only_when_the_write_of_its_page_has_ended(void **state)
{
	enum { SIZE = 1400, BATCH = 400, OTHERS = 300, OTHER = 1200 };
	struct world *w = *state;
	ps_id others[OTHERS];
	ps_batch *b = begin(w);
	for (unsigned i = 0; i < BATCH; i++)
		OK(ps_batch_put(b, contents(i, SIZE), SIZE, &w->ids[i]));
	assert_int_not_equal(w->late.waiting, 0);
	for (unsigned i = 0; i < OTHERS; i++)
		OK(ps_put(w->s, contents(i + 1000, OTHER), OTHER, &others[i]));
	OK(ps_batch_commit(b, PS_DURABLE));
	for (unsigned i = 0; i < BATCH; i++) {
		for (unsigned k = 0; k < OTHERS; k++)
			assert_int_not_equal(page_of(w, w->ids[i]), page_of(w, others[k]));
	}
	/* What was left behind the pages' last contents is there to be used. */
	uint64_t end = w->base->space.end;
	for (unsigned i = 0; i < BATCH / 8; i++)
		OK(ps_put(w->s, contents(i + 3000, OTHER), OTHER, &w->ids[BATCH + i]));
	assert_int_equal(w->base->space.end, end);
	expect_sound(w);
	for (int opened = 0; opened < 2; opened++) {
		for (unsigned i = 0; i < BATCH; i++)
			expect(w, w->ids[i], i, SIZE);
		for (unsigned i = 0; i < OTHERS; i++)
			expect(w, others[i], i + 1000, OTHER);
		for (unsigned i = 0; i < BATCH / 8; i++)
			expect(w, w->ids[BATCH + i], i + 3000, OTHER);
		open_again(w);
	}
}

/* Where its contents lie; 0 if they are in the log. */
static uint64_t packed_place(struct world *w, ps_id id)
{
	struct entry e;
	OK(object_entry(w->base, id, &e));
	uint64_t state = atomic_load(pool_state(&w->base->pool, entry_frame(w->base, &e)));
	return state & PAGE_DIRTY ? 0 : entry_place(&e);
}

/* The record names no extents: recovery goes by its entries. */
static void batch_counts_after_a_crash_only_if_all_contents_are_there(void **state)
{
	struct world *w = *state;
	ps_id older;
	OK(ps_put(w->s, contents(1, 100), 100, &older));
	ps_batch *b = begin(w);
	enum { SOME = 1000 };
	for (unsigned i = 0; i < SOME; i++)
		OK(ps_batch_put(b, contents(i, size_of(i)), size_of(i), &w->ids[i]));
	OK(ps_batch_commit(b, PS_DURABLE));
	uint64_t size = sim_disk_size(w->disk), place[3];
	uint8_t *image = malloc(size);
	assert_non_null(image);
	sim_disk_image(w->disk, image);
	for (unsigned i = 0, found = 0; found < 3; i += 90) {
		assert_in_range(i, 0, SOME - 1);
		place[found] = packed_place(w, w->ids[i]) + 17;
		found += place[found] > 17;
	}
	for (unsigned lost = 0; lost <= 3; lost++) {
		uint8_t read[MOST];
		size_t len;
		if (lost < 3)
			image[place[lost]] ^= 1;
		(void)!ps_close(w->s);
		sim_disk_reset(w->disk, image, size);
		open_world(w);
		expect(w, older, 1, 100);
		for (unsigned i = 0; i < SOME && lost == 3; i++)
			expect(w, w->ids[i], i, size_of(i));
		if (lost < 3) {
			assert_int_equal(ps_get(w->s, w->ids[7], read, sizeof(read), &len), PS_ENOTFOUND);
			image[place[lost]] ^= 1;
		}
		expect_sound(w);
	}
	/* The disk's image goes with this test. */
	OK(ps_close(w->s));
	sim_disk_reset(w->disk, NULL, 0);
	open_world(w);
	free(image);
}

static void failed_write_fails_the_commit_and_nothing_else(void **state)
{
	struct world *w = *state;
	uint8_t read[MOST];
	size_t len;
	ps_batch *b = begin(w);
	w->late.fail = true;
	(void)put_all(w, b);
	assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_EIO);
	assert_false(w->late.fail);
	for (unsigned i = 0; i < N; i += 100)
		assert_int_equal(ps_get(w->s, w->ids[i], read, sizeof(read), &len), PS_ENOTFOUND);
	expect_sound(w);
	b = begin(w);
	(void)put_all(w, b);
	OK(ps_batch_commit(b, PS_DURABLE));
	expect_all(w);
	expect_sound(w);
}

/* ---- beside the log's block ---- */

enum { FEW = 300, FEW_SIZE = 200 }; /* whose record fits the ring */

static ps_batch *begin_few(struct world *w)
{
	ps_batch *b = begin(w);
	for (unsigned i = 0; i < FEW; i++)
		OK(ps_batch_put(b, contents(i, FEW_SIZE), FEW_SIZE, &w->ids[i]));
	return b;
}

static void one_flush_covers_the_block_and_the_frames_that_it_names(void **state)
{
	struct world *w = *state;
	struct ps_io_stats before, after;
	ps_id first;
	OK(ps_put(w->s, "", 1, &first));
	ps_batch *b = begin_few(w);
	w->late.io.ops->stats(&w->late.io, &before);
	OK(ps_batch_commit(b, PS_DURABLE));
	w->late.io.ops->stats(&w->late.io, &after);
	assert_int_equal(after.flushes - before.flushes, 1);
	assert_int_not_equal(w->late.beside, 0);
	assert_int_equal(w->late.unended, 0);
	expect_sound(w);
}

static void failed_write_beside_its_block_leaves_the_store_read_only(void **state)
{
	struct world *w = *state;
	uint8_t read[MOST];
	size_t len;
	ps_id older, none;
	OK(ps_put(w->s, contents(1, 100), 100, &older));
	ps_batch *b = begin_few(w);
	w->late.fail = true;
	assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_EIO);
	assert_non_null(strstr(ps_last_error_message(), "outcome unknown"));
	assert_int_equal(ps_put(w->s, "", 1, &none), PS_EREADONLY);
	expect(w, older, 1, 100);
	assert_int_equal(w->late.waiting, 0);
	(void)!ps_close(w->s);
	open_world(w);
	expect(w, older, 1, 100);
	for (unsigned i = 0; i < FEW; i += 50)
		assert_int_equal(ps_get(w->s, w->ids[i], read, sizeof(read), &len), PS_ENOTFOUND);
	expect_sound(w);
	OK(ps_batch_commit(begin_few(w), PS_DURABLE));
	expect_sound(w);
}

struct reader {
	struct world *w;
	pthread_t checker;
	bool called;
};

static void *check_all(void *arg)
{
	struct world *w = arg;
	return (void *)(intptr_t)ps_check(w->s, PS_CHECK_FULL, NULL, NULL);
}

/* Seen, though no byte of the frames has reached the disk: from memory. */
static void read_meanwhile(void *arg)
{
	struct reader *r = arg;
	struct ps_io_stats before, now;
	if (r->called)
		return;
	r->called = true;
	for (unsigned i = 0; i < FEW; i++)
		expect(r->w, r->w->ids[i], i, FEW_SIZE);
	r->w->late.io.ops->stats(&r->w->late.io, &before);
	assert_int_equal(pthread_create(&r->checker, NULL, check_all, r->w), 0);
	/* Until the check has looked at the disk, where the frames are not yet. */
	do {
		(void)sched_yield();
		r->w->late.io.ops->stats(&r->w->late.io, &now);
	} while (now.reads == before.reads);
}

static void contents_are_read_and_checked_before_their_frames_are_written(void **state)
{
	struct world *w = *state;
	struct reader r = {.w = w};
	void *checked;
	ps_id first;
	OK(ps_put(w->s, "", 1, &first));
	ps_batch *b = begin_few(w);
	w->late.meanwhile = read_meanwhile;
	w->late.arg = &r;
	OK(ps_batch_commit(b, PS_DURABLE));
	w->late.meanwhile = NULL;
	assert_true(r.called);
	assert_int_equal(pthread_join(r.checker, &checked), 0);
	assert_ptr_equal(checked, (void *)PS_OK);
	expect_sound(w);
}

struct follower {
	struct world *w;
	pthread_t thread;
	bool called;
};

static void *commit_few(void *arg)
{
	return (void *)(intptr_t)ps_batch_commit(begin_few(arg), PS_DURABLE);
}

/* Another commit is ordered behind the block on its way, whose frames then fail. */
static void follow_meanwhile(void *arg)
{
	struct follower *f = arg;
	struct store *s = f->w->base;
	bool ordered = false;
	if (f->called)
		return;
	f->called = true;
	assert_int_equal(pthread_create(&f->thread, NULL, commit_few, f->w), 0);
	while (!ordered) {
		(void)sched_yield();
		pthread_mutex_lock(&s->lock);
		ordered = s->log.open->packs != NULL;
		pthread_mutex_unlock(&s->lock);
	}
	f->w->late.fail = true;
}

static void failed_block_waits_for_the_frames_of_those_behind_it(void **state)
{
	struct world *w = *state;
	struct follower f = {.w = w};
	void *followed;
	ps_id first;
	OK(ps_put(w->s, "", 1, &first));
	ps_batch *b = begin_few(w);
	w->late.meanwhile = follow_meanwhile;
	w->late.arg = &f;
	assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_EIO);
	w->late.meanwhile = NULL;
	assert_true(f.called);
	assert_int_equal(pthread_join(f.thread, &followed), 0);
	assert_ptr_equal(followed, (void *)PS_EIO);
	assert_int_equal(w->late.waiting, 0);
	(void)!ps_close(w->s);
	open_world(w);
	expect_sound(w);
}

static void full_disk_leaves_nothing_behind(void **state)
{
	struct world *w = *state;
	sim_disk_limit(w->disk, 600 * K);
	ps_batch *b = begin(w);
	(void)put_all(w, b);
	assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_ENOSPC);
	sim_disk_limit(w->disk, 0);
	expect_sound(w);
	b = begin(w);
	(void)put_all(w, b);
	OK(ps_batch_commit(b, PS_DURABLE));
	expect_all(w);
	expect_sound(w);
}

/* ---- several threads, little memory, a real file ---- */

enum { LOADERS = 4, BATCHES = 8, PUTS = 300 };
struct loader {
	ps_storer *s;
	unsigned number;
	ps_id ids[BATCHES][PUTS];
};

static unsigned char *made(unsigned seed, size_t size, unsigned char *bytes)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)(seed * 31 + i * 7);
	return bytes;
}

static void expect_loaded(const struct loader *l, unsigned batch)
{
	unsigned char bytes[MOST], read[MOST];
	for (unsigned k = 0; k < PUTS; k++) {
		unsigned seed = l->number * 10000 + batch * PUTS + k;
		size_t len = 0;
		OK(ps_get(l->s, l->ids[batch][k], read, sizeof(read), &len));
		assert_int_equal(len, size_of(seed));
		assert_memory_equal(read, made(seed, len, bytes), len);
	}
}

static void *load(void *arg)
{
	struct loader *l = arg;
	unsigned char bytes[MOST];
	for (unsigned i = 0; i < BATCHES; i++) {
		ps_batch *b = NULL;
		OK(ps_batch_begin(l->s, &b));
		for (unsigned k = 0; k < PUTS; k++) {
			unsigned seed = l->number * 10000 + i * PUTS + k;
			OK(ps_batch_put(b, made(seed, size_of(seed), bytes), size_of(seed), &l->ids[i][k]));
		}
		OK(ps_batch_commit(b, i % 3 ? PS_RELAXED : PS_DURABLE));
		expect_loaded(l, i);
		/* What frees slots and tails while others look for some. */
		for (unsigned k = 0; i && k < PUTS; k += 3) {
			unsigned seed = l->number * 10000 + (i - 1) * PUTS + k;
			OK(ps_replace(l->s, l->ids[i - 1][k], made(seed, size_of(seed), bytes),
			              size_of(seed)));
		}
	}
	return NULL;
}

static void threads_pack_side_by_side(void **state)
{
	static struct loader loaders[LOADERS];
	pthread_t threads[LOADERS];
	char path[] = "packing_test_XXXXXX";
	const struct ps_base_options options = {
	    .size = sizeof(options), .memory_budget = 6 * M, .durability = PS_RELAXED};
	ps_storer *s = NULL, *base;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	OK(ps_base_open(path, &options, &base));
	s = base;
	if (*state)
		OK(ps_multi_open(base, NULL, &s));
	for (unsigned i = 0; i < LOADERS; i++) {
		loaders[i].s = s;
		loaders[i].number = i;
		assert_int_equal(pthread_create(&threads[i], NULL, load, &loaders[i]), 0);
	}
	for (unsigned i = 0; i < LOADERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	for (unsigned i = 0; i < LOADERS; i++) {
		for (unsigned k = 0; k < BATCHES; k++)
			expect_loaded(&loaders[i], k);
	}
	OK(ps_close(s));
	unlink(path);
}

#define BOTH(test)                                                                                           \
	cmocka_unit_test_setup_teardown(test, setup_base, teardown),                                         \
	    cmocka_unit_test_setup_teardown(test, setup_multi, teardown)

int main(void)
{
	static bool multi = true;
	const struct CMUnitTest tests[] = {
	    BOTH(contents_of_a_batch_are_written_once_and_stay_in_memory),
	    BOTH(contents_change_after_they_were_packed),
	    cmocka_unit_test_setup_teardown(tail_is_given_out_only_when_the_write_of_its_page_has_ended,
	                                    setup_base, teardown),
	    BOTH(batch_counts_after_a_crash_only_if_all_contents_are_there),
	    BOTH(failed_write_fails_the_commit_and_nothing_else),
	    BOTH(one_flush_covers_the_block_and_the_frames_that_it_names),
	    BOTH(failed_write_beside_its_block_leaves_the_store_read_only),
	    BOTH(contents_are_read_and_checked_before_their_frames_are_written),
	    BOTH(failed_block_waits_for_the_frames_of_those_behind_it),
	    BOTH(full_disk_leaves_nothing_behind),
	    cmocka_unit_test_prestate(threads_pack_side_by_side, NULL),
	    cmocka_unit_test_prestate(threads_pack_side_by_side, &multi),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
