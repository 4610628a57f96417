/* Group commit in every order of its steps: three threads put durably into a base store on the simulated
 * disk. A step is what lies between two uses of mutexes, conditions and turns. usage: commit_schedule_test
 * PREEMPTIONS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sync.h"
#include "store/base_internal.h"
#include "tests/concurrent/scheduled_mutexes.h"
#include "tests/concurrent/scheduler.h"
#include "tests/support/sim_disk.h"

/* ---- the scenarios ---- */

static struct sim_disk *disk;
static ps_storer *s;
static ps_id shared;
static ps_id made[SCHEDULE_THREADS];

static struct store *store(void)
{
	return (struct store *)(void *)s;
}

static void begin(void)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .background = PS_BACKGROUND_NONE,
	                                        .log_bytes = 64 << 10,
	                                        .initial_bytes = 256 << 10,
	                                        .memory_budget = 8 << 20};
	scheduled_mutexes_reset();
	memset(made, 0, sizeof(made));
	if (!disk)
		disk = sim_disk_new(NULL, 0);
	sim_disk_reset(disk, NULL, 0);
	sim_disk_set_tracing(disk, false);
	if (ps_base_open_io(sim_disk_io(disk), true, &options, &s) || ps_put(s, "first", 5, &shared))
		abort();
}

/* The last block had two committers: leaders wait a moment for as many. */
static void begin_busy(void)
{
	begin();
	store()->log.last_group = 2;
}

/* A leader is at work, which the first thread is. The second one, a checkpoint, is to lead next. */
enum { CHECKPOINT = 1 };
static bool asked;
static uint64_t writes_then;

static void note_asked(void)
{
	if (schedule_thread() == CHECKPOINT && !asked) {
		asked = true;
		writes_then = store()->log.writes;
	}
}

static void begin_led(void)
{
	begin();
	asked = false;
	scheduled_on_turn_wait(note_asked);
	log_stop_leading(&store()->log);
}

/* What was answered is durable, though others may have made it so. */
static void check_durable(int err, uint64_t before)
{
	if (err)
		schedule_fail("a commit failed");
	else if (store()->log.durable_commit <= before)
		schedule_fail("a commit was acknowledged before it was durable");
}

static void putter(void)
{
	uint64_t before = store()->log.commit;
	check_durable(ps_put(s, "new", 3, &made[schedule_thread()]), before);
}

static void replacer(void)
{
	uint64_t before = store()->log.commit;
	check_durable(ps_replace(s, shared, "changed", 7), before);
}

static void leader_and_putter(void)
{
	log_let_lead(&store()->log);
	putter();
	putter();
}

/* One block was on its way at most when it asked. */
static void checkpoint(void)
{
	log_stop_leading(&store()->log);
	uint64_t writes = store()->log.writes;
	if (asked && writes > writes_then + 1)
		schedule_fail("others went on leading before a checkpoint that waited");
	sync_step();
	if (store()->log.writes != writes)
		schedule_fail("a block was written while nobody may");
	log_let_lead(&store()->log);
}

static void syncer(void)
{
	if (ps_sync(s))
		schedule_fail("a sync failed");
}

static bool end(void)
{
	char buf[8];
	size_t len;
	struct ps_stats stats;
	bool good = ps_stats(s, &stats) == PS_OK && stats.last_commit == stats.last_durable_commit;
	for (unsigned i = 0; i < SCHEDULE_THREADS; i++) {
		if (made[i])
			good = good && ps_get(s, made[i], buf, sizeof(buf), &len) == PS_OK && len == 3;
	}
	good = good && ps_check(s, PS_CHECK_FULL, NULL, NULL) == PS_OK;
	return ps_close(s) == PS_OK && good;
}

static const struct scenario scenarios[] = {
    {"three durable puts", begin, {putter, putter, putter}, end, false},
    {"two puts and a sync", begin, {putter, putter, syncer}, end, false},
    {"a put, two replaces of one object", begin, {putter, replacer, replacer}, end, false},
    {"leaders that wait for others", begin_busy, {putter, putter, NULL}, end, false},
    {"a checkpoint that stops leaders", begin_led, {leader_and_putter, checkpoint, NULL}, end, false},
};

int main(int argc, char **argv)
{
	bool good = schedule_explore_all(scenarios, sizeof(scenarios) / sizeof(scenarios[0]), argc, argv);
	sim_disk_free(disk);
	return good ? 0 : 1;
}
