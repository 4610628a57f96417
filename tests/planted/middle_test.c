/* The store stopped in the middle: other commits at each I/O of a checkpoint, and the power cut in every
 * state after that; a place used anew between a reader's two looks at it; a read while a batch is half set.
 *
 * Nothing is left to chance or to time: hooks in the disk, and in calls between the store's parts, act at the
 * very moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "tests/crash/cut.h"
#include "tests/support/one_thread.h"
#include "tests/support/sem.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* ---- commits in the middle of a checkpoint --------------------------------------------------------------
 */

enum { LONGEST = 40 }; /* more I/O calls than the checkpoint has */

struct other {
	const char *name;
	void (*commit)(struct run *run);
};

static struct {
	struct ps_io_ops ops; /* of the disk, with hooks */
	const struct ps_io_ops *real;
	struct run *run;
	const struct other *other;
	unsigned calls, first, last; /* commits are made before these calls, and after flushes */
	bool inside;
} middle;

/* Whether a commit can go through here without waiting for the checkpoint that it is in the middle of. */
static bool can_commit(struct store *s)
{
	if (pthread_mutex_trylock(&s->lock))
		return false;
	bool room = log_room(&s->log, PAGE - 100) == PS_OK;
	pthread_mutex_unlock(&s->lock);
	return room && !s->log.leading;
}

static void come_between(void)
{
	unsigned call = middle.calls++;
	if (middle.inside || call < middle.first || call > middle.last ||
	    !can_commit(store_of(middle.run->s)))
		return;
	middle.inside = true;
	middle.other->commit(middle.run);
	middle.inside = false;
}

static void hooked_submit(struct ps_io *io, struct ps_io_request *const *requests, size_t n)
{
	if (!middle.inside && requests[0]->op != PS_IO_READ)
		come_between();
	middle.real->submit(io, requests, n);
}

static int hooked_flush(struct ps_io *io)
{
	if (!middle.inside)
		come_between();
	int err = middle.real->flush(io);
	if (!middle.inside && !err)
		come_between();
	return err;
}

static void batch_of(struct run *run, struct batch_op op, enum ps_durability durability)
{
	const struct batch_op ops[] = {{BATCH_REPLACE, 0, 0, 90}, op};
	step_batch(run, ops, LENGTH(ops), durability);
}

static void relaxed_replace(struct run *run)
{
	batch_of(run, (struct batch_op){BATCH_REPLACE, 1, 0, 300}, PS_RELAXED);
}

static void durable_replace(struct run *run)
{
	batch_of(run, (struct batch_op){BATCH_REPLACE, 1, 0, 3000}, PS_DURABLE);
}

static void put_of_a_page(struct run *run)
{
	/* The first makes the batch write the second to its extent at once. */
	const struct batch_op ops[] = {{BATCH_REPLACE, 1, 0, 2500}, {BATCH_PUT, 20, 0, 4096}};
	step_batch(run, ops, LENGTH(ops), PS_DURABLE);
}

static void put_of_pages(struct run *run)
{
	batch_of(run, (struct batch_op){BATCH_PUT, 21, 0, 20000}, PS_DURABLE);
}

static void put_that_grows_the_file(struct run *run)
{
	batch_of(run, (struct batch_op){BATCH_PUT, 22, 0, 150000}, PS_RELAXED);
}

static void relaxed_delete(struct run *run)
{
	if (run->ids[2])
		batch_of(run, (struct batch_op){BATCH_DELETE, 2, 0, 0}, PS_RELAXED);
}

static const struct other others[] = {
    {"relaxed replace", relaxed_replace}, {"durable replace", durable_replace},
    {"put of a page", put_of_a_page},     {"put of pages", put_of_pages},
    {"relaxed delete", relaxed_delete},   {"put that grows the file", put_that_grows_the_file},
};

static void some_objects(struct run *run)
{
	for (unsigned i = 0; i < 4; i++)
		step_put(run, i, i == 2 ? 9000 : 200 + i);
}

static void begin_hooks(struct run *run, const struct other *other, unsigned first, unsigned last)
{
	struct store *s = store_of(run->s);
	middle.run = run;
	middle.other = other;
	middle.calls = 0;
	middle.first = first;
	middle.last = last;
	middle.real = s->io->ops;
	middle.ops = *middle.real;
	middle.ops.submit = hooked_submit;
	middle.ops.flush = hooked_flush;
	s->io->ops = &middle.ops;
	/* As with a thread of its own: no commit makes a checkpoint by itself. */
	s->has_thread = true;
}

static void end_hooks(struct store *s)
{
	s->has_thread = false;
	s->io->ops = middle.real;
}

/* How many I/O calls the checkpoint had; 0 if a state after it was wrong. */
static unsigned cut_after(const struct other *other, unsigned first, unsigned last)
{
	const struct script script = {.name = other->name, .setup = some_objects};
	const struct cut_options options = {
	    .first = {.exhaustive = 64, .samples = 8, .singles = 8, .seed = 1},
	    .nested = {.exhaustive = 16, .samples = 2, .singles = 4},
	    .nest_one_in = 97,
	    .write_one_in = 11,
	    .seed = 1};
	char why[CUT_WHY];
	struct cut_counts counts = {0};
	uint64_t size;
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	struct run *run = run_new(disk, 1);
	uint8_t *image = run_setup(run, &script, &size);
	run_open(run);
	struct store *s = store_of(run->s);
	/* Blocks that only the present superblock needs fill most of the ring. */
	s->has_thread = true;
	for (unsigned i = 0; i < 3; i++)
		step_replace(run, i == 1 ? 3 : 0, 150 + i);
	begin_hooks(run, other, first, last);
	assert_int_equal(checkpoint_run(s), PS_OK);
	end_hooks(s);
	unsigned calls = middle.calls;
	if (!cut_everywhere(other->name, run, image, size, &options, &counts, why)) {
		print_error("calls %u to %u: %s\n", first, last, why);
		calls = 0;
	}
	run_close(run);
	run_free(run);
	sim_disk_free(disk);
	free(image);
	return calls;
}

static void commits_in_a_checkpoint_survive_a_power_cut(void **state)
{
	const struct other *other = *state;
	unsigned calls = LONGEST;
	for (unsigned at = 0; at < calls; at++) {
		calls = cut_after(other, at, at);
		assert_in_range(calls, 6, LONGEST); /* frames, leaf, page twice, flush, superblocks */
		assert_true(cut_after(other, at, LONGEST) > 0);
	}
}

/* ---- between a reader's two looks ---- */

enum { BYTES = 5000 };
static ps_storer *store;
static ps_id object;
static uint8_t first_bytes[BYTES], second_bytes[BYTES], foreign_bytes[BYTES], read_bytes[BYTES];

/* The reader looks at the entry, then at the state of the page, then at the entry again. The page's state is taken away, so
 * that the fault is the moment between the two looks; the handler gives it back and waits for a thread that acts. */
static struct {
	void (*act)(void);
	bool was_met;
	void *state;
	struct sigaction old;
	pthread_t actor;
	sem_t met, acted;
} between;

static void *act_when_met(void *nothing)
{
	sem_await(&between.met);
	between.act();
	sem_post(&between.acted);
	return nothing;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (between.was_met || (uintptr_t)info->si_addr / PAGE != (uintptr_t)between.state / PAGE) {
		sigaction(number, &between.old, NULL);
		return;
	}
	between.was_met = true;
	if (mprotect(between.state, PAGE, PROT_READ | PROT_WRITE))
		_exit(1);
	sem_post(&between.met);
	sem_await(&between.acted);
}

static void at_the_state_of(uint64_t place, void (*act)(void))
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
	uintptr_t state = (uintptr_t)pool_state(&store_of(store)->pool, place);
	between.act = act;
	between.was_met = false;
	assert_int_equal(sem_init(&between.met, 0, 0), 0);
	assert_int_equal(sem_init(&between.acted, 0, 0), 0);
	assert_int_equal(pthread_create(&between.actor, NULL, act_when_met, NULL), 0);
	between.state = (void *)(state & ~(uintptr_t)(PAGE - 1));
	assert_int_equal(sigaction(SIGSEGV, &action, &between.old), 0);
	assert_int_equal(mprotect(between.state, PAGE, PROT_NONE), 0);
}

static void no_fault_any_more(void)
{
	assert_true(between.was_met);
	assert_int_equal(pthread_join(between.actor, NULL), 0);
	sem_destroy(&between.met);
	sem_destroy(&between.acted);
	assert_int_equal(sigaction(SIGSEGV, &between.old, NULL), 0);
}

static uint64_t place_of(ps_id id)
{
	struct ps_info info;
	assert_int_equal(ps_info(store, id, &info), PS_OK);
	return info.offset;
}

/* Puts objects until one lies at the place, and brings it into memory. */
static void take_place(uint64_t place)
{
	ps_id id = PS_ID_NONE;
	for (unsigned i = 0; i < 200 && (!id || place_of(id) != place); i++)
		assert_int_equal(ps_put(store, foreign_bytes, BYTES, &id), PS_OK);
	assert_int_equal(place_of(id), place);
	size_t len;
	assert_int_equal(ps_get(store, id, read_bytes, BYTES, &len), PS_OK);
}

static void replace_and_take_place(void)
{
	uint64_t place = place_of(object);
	assert_int_equal(ps_replace(store, object, second_bytes, BYTES), PS_OK);
	take_place(place);
}

static void delete_and_take_place(void)
{
	uint64_t place = place_of(object);
	assert_int_equal(ps_delete(store, object), PS_OK);
	take_place(place);
}

static int read_it(bool view, size_t *len)
{
	struct ps_view v;
	if (!view)
		return ps_get(store, object, read_bytes, BYTES, len);
	int err = ps_view(store, object, &v);
	if (err)
		return err;
	*len = v.len;
	memcpy(read_bytes, v.data, v.len < BYTES ? v.len : BYTES);
	return ps_view_release(&v);
}

static struct sim_disk *open_store(void)
{
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	memset(first_bytes, 1, BYTES);
	memset(second_bytes, 2, BYTES);
	memset(foreign_bytes, 3, BYTES);
	assert_int_equal(store_open(disk, false, &store), PS_OK);
	assert_int_equal(ps_put(store, first_bytes, BYTES, &object), PS_OK);
	return disk;
}

static void close_store(struct sim_disk *disk)
{
	assert_int_equal(ps_check(store, PS_CHECK_FULL, NULL, NULL), PS_OK);
	assert_int_equal(ps_close(store), PS_OK);
	sim_disk_free(disk);
}

static void no_reader_sees_what_took_the_place_of_an_object(void **state)
{
	(void)state;
	for (unsigned view = 0; view < 2; view++) {
		size_t len = 0;
		struct sim_disk *disk = open_store();
		at_the_state_of(place_of(object), replace_and_take_place);
		assert_int_equal(read_it(view, &len), PS_OK);
		no_fault_any_more();
		assert_int_equal(len, BYTES);
		assert_memory_equal(read_bytes, second_bytes, BYTES);
		at_the_state_of(place_of(object), delete_and_take_place);
		assert_int_equal(read_it(view, &len), PS_ENOTFOUND);
		no_fault_any_more();
		close_store(disk);
	}
}

/* ---- in the middle of a batch ---- */

static struct {
	pthread_t reader;
	bool armed;
	sem_t half_set, seen; /* seen: the reader waits, or has read both */
	ps_id ids[2];
	uint64_t values[2];
	int err;
} half;
static _Thread_local bool is_reader;

int __wrap_sched_yield(void);
int __real_sched_yield(void);
int __wrap_sched_yield(void)
{
	if (is_reader)
		sem_post(&half.seen);
	return __real_sched_yield();
}

void __wrap_table_release(struct table_hold *h);
void __real_table_release(struct table_hold *h);
void __wrap_table_release(struct table_hold *h)
{
	__real_table_release(h);
	if (!half.armed)
		return;
	half.armed = false;
	sem_post(&half.half_set);
	sem_await(&half.seen);
}

static void *read_both(void *arg)
{
	size_t len;
	(void)arg;
	is_reader = true;
	sem_await(&half.half_set);
	for (unsigned i = 0; i < 2 && !half.err; i++)
		half.err = ps_get(store, half.ids[i], &half.values[i], sizeof(half.values[i]), &len);
	sem_post(&half.seen);
	return NULL;
}

static void a_batch_is_never_seen_in_part(void **state)
{
	const uint64_t old = 1, new = 2;
	ps_batch *b;
	(void)state;
	struct sim_disk *disk = open_store();
	sem_init(&half.half_set, 0, 0);
	sem_init(&half.seen, 0, 0);
	/* Those of one leaf would be set under one hold. */
	for (unsigned i = 0; i <= FANOUT; i++)
		assert_int_equal(ps_put(store, &old, sizeof(old), &half.ids[i > 0]), PS_OK);
	assert_int_not_equal(id_slot(half.ids[0]) / FANOUT, id_slot(half.ids[1]) / FANOUT);
	assert_int_equal(pthread_create(&half.reader, NULL, read_both, NULL), 0);
	assert_int_equal(ps_batch_begin(store, &b), PS_OK);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(ps_batch_replace(b, half.ids[i], &new, sizeof(new)), PS_OK);
	half.armed = true;
	assert_int_equal(ps_batch_commit(b, PS_RELAXED), PS_OK);
	assert_int_equal(pthread_join(half.reader, NULL), 0);
	assert_int_equal(half.err, PS_OK);
	assert_int_equal(half.values[0], new); /* it was set before the reader began */
	assert_int_equal(half.values[1], new);
	sem_destroy(&half.half_set);
	sem_destroy(&half.seen);
	close_store(disk);
}

int main(void)
{
	struct CMUnitTest alone[LENGTH(others)];
	for (size_t i = 0; i < LENGTH(others); i++)
		alone[i] = (struct CMUnitTest)cmocka_unit_test_prestate(
		    commits_in_a_checkpoint_survive_a_power_cut, (void *)(uintptr_t)&others[i]);
	const struct CMUnitTest threads[] = {
	    cmocka_unit_test(no_reader_sees_what_took_the_place_of_an_object),
	    cmocka_unit_test(a_batch_is_never_seen_in_part),
	};
	int failed = one_thread_run(alone, NULL, NULL);
	return failed + threads_run(threads, NULL, NULL);
}
