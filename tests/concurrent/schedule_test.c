/* The lock table and the token pool in every order of their steps. usage: schedule_test PREEMPTIONS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/tokens.h"
#include "concurrent/lock_copy.h"
#include "concurrent/token_pool.h"
#include "tests/concurrent/scheduler.h"

/* ---- locks ---- */

enum { X = 2, Y = 3, OBJECTS = 4 };
enum { UNFENCED_STATE = 0, FENCED_STATE = 2 };

static struct ps_memory memory;
static struct locks locks;
static int readers[OBJECTS], writers[OBJECTS];
static unsigned results[SCHEDULE_THREADS];

static void begin_locks(void)
{
	if (!locks.buckets && locks_init(&locks, &memory, 1))
		abort();
	memset(locks.buckets, 0, sizeof(*locks.buckets));
	memset(locks.slots, 0, (SCHEDULE_THREADS + 1) * sizeof(*locks.slots));
	memset(readers, 0, sizeof(readers));
	memset(writers, 0, sizeof(writers));
	memset(results, 0, sizeof(results));
	atomic_store(&locks.slots_used, 0);
	atomic_store(&locks.fencing, FENCED_STATE);
}

static void begin_crossed(void)
{
	begin_locks();
	schedule_let_cross();
}

static void begin_unfenced(void)
{
	begin_locks();
	atomic_store(&locks.fencing, UNFENCED_STATE);
}

/* The next copying call of each thread looks whether fences are worth while. */
static void begin_before_change(void)
{
	begin_locks();
	for (int i = 0; i < SCHEDULE_THREADS; i++)
		locks.slots[i].fenced_calls = 1023;
}

static bool end_locks(void)
{
	const struct lock_bucket *bucket = &locks.buckets[0];
	for (int i = 0; i < SCHEDULE_THREADS; i++) {
		if (atomic_load(&locks.slots[i].id) != PS_ID_NONE || locks.slots[i].hold.granted)
			return false;
	}
	return !bucket->holders.first && !bucket->waiters.first && atomic_load(&bucket->latch.word) == 0;
}

static void write_section(ps_id id)
{
	if (writers[id]++ > 0 || readers[id] > 0)
		schedule_fail("a writer is not alone");
	sync_step();
	if (--writers[id] > 0 || readers[id] > 0)
		schedule_fail("a writer is not alone");
}

static void read_section(ps_id id)
{
	readers[id]++;
	if (writers[id] > 0)
		schedule_fail("a reader beside a writer");
	sync_step();
	if (writers[id] > 0)
		schedule_fail("a reader beside a writer");
	readers[id]--;
}

/* PS_OK after a section, or why there was none. */
static int write_one(ps_id id, uint32_t timeout_ms)
{
	struct lock_hold hold;
	struct lock_wait wait = {.timeout_ms = timeout_ms};
	int err = locks_acquire(&locks, &hold, id, LOCK_EXCLUSIVE, &wait);
	if (err)
		return err;
	write_section(id);
	locks_release(&locks, &hold);
	return PS_OK;
}

static int read_one(ps_id id, uint32_t timeout_ms)
{
	struct lock_hold hold;
	struct lock_wait wait = {.timeout_ms = timeout_ms};
	int err = locks_acquire(&locks, &hold, id, LOCK_SHARED, &wait);
	if (err)
		return err;
	read_section(id);
	locks_release(&locks, &hold);
	return PS_OK;
}

static int copy_one(ps_id id, uint32_t timeout_ms)
{
	struct lock_copy copy;
	struct lock_wait wait = {.timeout_ms = timeout_ms};
	int err = locks_copy_begin(&locks, &copy, id, &wait);
	if (err)
		return err;
	read_section(id);
	locks_copy_end(&locks, &copy);
	return PS_OK;
}

/* Waits may end by their deadline, which costs a preemption; no other refusal is right here. */
static void may_time_out(int err)
{
	if (err && err != PS_ETIMEDOUT)
		schedule_fail("an error that nothing explains");
}

static void writer_x(void)
{
	may_time_out(write_one(X, 1000));
}

static void writer_y(void)
{
	may_time_out(write_one(Y, 1000));
}

static void reader_x(void)
{
	may_time_out(read_one(X, 1000));
}

static void copier_x(void)
{
	may_time_out(copy_one(X, 1000));
}

static void copier_x_twice(void)
{
	may_time_out(copy_one(X, 1000));
	may_time_out(copy_one(X, 1000));
}

static void copier_y_then_x(void)
{
	may_time_out(copy_one(Y, 1000));
	may_time_out(copy_one(X, 1000));
}

static void try_writer_x(void)
{
	int err = write_one(X, 0);
	if (err && err != PS_EBUSY)
		schedule_fail("a try that was not refused");
}

static void try_copier_x(void)
{
	int err = copy_one(X, 0);
	if (err && err != PS_EBUSY)
		schedule_fail("a try that was not refused");
}

static void batch_x_y(void)
{
	static const ps_id ids[] = {X, Y};
	struct lock_hold holds[2];
	struct lock_wait wait = {.timeout_ms = 1000};
	int err = locks_acquire_all(&locks, holds, 2, ids, LOCK_EXCLUSIVE, &wait);
	may_time_out(err);
	if (err)
		return;
	write_section(X);
	write_section(Y);
	locks_release_all(&locks, holds, 2);
}

/* A view of one object, and a replace of another. */
static void crossed(ps_id viewed, ps_id replaced)
{
	struct lock_hold view;
	struct lock_wait wait = {.timeout_ms = 1000};
	int err = locks_acquire(&locks, &view, viewed, LOCK_SHARED, &wait);
	may_time_out(err);
	if (err)
		return;
	may_time_out(write_one(replaced, 1000));
	locks_release(&locks, &view);
}

static void crossed_x_y(void)
{
	crossed(X, Y);
}

static void crossed_y_x(void)
{
	crossed(Y, X);
}

/* A session, and what its thread may and may not do under it. */
static void own_session(void)
{
	struct lock_hold view, again;
	struct lock_wait wait = {.timeout_ms = 1000};
	int err = locks_acquire(&locks, &view, X, LOCK_SHARED, &wait);
	may_time_out(err);
	if (err)
		return;
	if (write_one(X, 1000) != PS_EDEADLK)
		schedule_fail("a thread may wait for itself");
	if (locks_acquire(&locks, &again, X, LOCK_SHARED, &wait) || copy_one(X, 0))
		schedule_fail("a thread is kept from what it has");
	else
		locks_release(&locks, &again);
	locks_release(&locks, &view);
}

static void unlocked_writer(void)
{
	write_section(X);
}

/* ---- tokens ---- */

static struct ps_tokens *pool;
static unsigned disk_in_use, network_in_use, most;

static void new_pool(uint32_t tokens, uint32_t network)
{
	const struct ps_token_options options = {
	    .size = sizeof(options), .tokens = tokens, .network = network};
	/* After a wrong order the old one is what it was left as. */
	if (pool)
		(void)!ps_tokens_free(pool);
	pool = NULL;
	disk_in_use = network_in_use = 0;
	most = tokens;
	if (ps_tokens_new(&options, &pool))
		abort();
}

static void begin_one_token(void)
{
	new_pool(1, 0);
}

static void begin_two_tokens(void)
{
	new_pool(2, 0);
}

static bool end_tokens(void)
{
	struct ps_token_stats stats;
	if (ps_tokens_stats(pool, &stats))
		return false;
	return stats.disk + stats.network + stats.waiting == 0 && disk_in_use + network_in_use == 0;
}

static void use_token(enum ps_token_kind kind, enum ps_token_class class)
{
	unsigned *mine = kind == PS_TOKEN_DISK ? &disk_in_use : &network_in_use;
	pool->ops->acquire(pool, kind, class);
	++*mine;
	if (disk_in_use + network_in_use > most || (network_in_use > 1 && most == 2))
		schedule_fail("more in use than there are");
	sync_step();
	--*mine;
	pool->ops->release(pool, kind, 1);
}

static void disk_user(void)
{
	use_token(PS_TOKEN_DISK, PS_TOKEN_FOREGROUND);
	use_token(PS_TOKEN_DISK, PS_TOKEN_FOREGROUND);
}

static void background_user(void)
{
	use_token(PS_TOKEN_DISK, PS_TOKEN_BACKGROUND);
}

static void network_user(void)
{
	use_token(PS_TOKEN_NETWORK, PS_TOKEN_FOREGROUND);
	use_token(PS_TOKEN_NETWORK, PS_TOKEN_FOREGROUND);
}

static void try_user(void)
{
	size_t taken = pool->ops->try_acquire(pool, PS_TOKEN_DISK, 2);
	disk_in_use += (unsigned)taken;
	if (disk_in_use + network_in_use > most)
		schedule_fail("more in use than there are");
	sync_step();
	disk_in_use -= (unsigned)taken;
	if (taken > 0)
		pool->ops->release(pool, PS_TOKEN_DISK, taken);
}

/* From one to two and back: who finds none before must be let in by the change. */
static void resizer(void)
{
	const struct ps_token_options two = {.size = sizeof(two), .tokens = 2};
	most = 2;
	if (ps_tokens_resize(pool, &two))
		schedule_fail("no change of size");
}

/* ---- all ---- */

static const struct scenario scenarios[] = {
    {"two writers and a copier", begin_locks, {writer_x, writer_x, copier_x}, end_locks, false},
    {"unfenced: writer, copiers", begin_unfenced, {writer_x, copier_x, copier_x}, end_locks, false},
    {"unfenced: writer, reader, two copies",
     begin_unfenced,
     {writer_x, reader_x, copier_x_twice},
     end_locks,
     false},
    {"losing fences: writers, two copies",
     begin_before_change,
     {writer_x, writer_x, copier_x_twice},
     end_locks,
     false},
    {"losing fences: another object first",
     begin_before_change,
     {writer_x, writer_y, copier_y_then_x},
     end_locks,
     false},
    {"tries", begin_locks, {try_writer_x, try_copier_x, writer_x}, end_locks, false},
    {"readers and a writer", begin_locks, {reader_x, writer_x, reader_x}, end_locks, false},
    {"a batch and its objects", begin_locks, {batch_x_y, writer_y, copier_x}, end_locks, false},
    {"two batches", begin_locks, {batch_x_y, batch_x_y, NULL}, end_locks, false},
    {"crossed sessions", begin_crossed, {crossed_x_y, crossed_y_x, NULL}, end_locks, false},
    {"a session of one's own", begin_locks, {own_session, writer_x, NULL}, end_locks, false},
    {"no lock at all", begin_locks, {unlocked_writer, writer_x, NULL}, end_locks, true},
    {"one token", begin_one_token, {disk_user, background_user, network_user}, end_tokens, false},
    {"two tokens", begin_two_tokens, {disk_user, network_user, network_user}, end_tokens, false},
    {"one token, tries", begin_one_token, {disk_user, try_user, background_user}, end_tokens, false},
    {"a pool that grows", begin_one_token, {disk_user, resizer, background_user}, end_tokens, false},
};

int main(int argc, char **argv)
{
	ps_memory_init(&memory, NULL);
	return schedule_explore_all(scenarios, sizeof(scenarios) / sizeof(scenarios[0]), argc, argv) ? 0 : 1;
}
