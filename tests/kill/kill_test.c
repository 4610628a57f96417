/* A process with four threads of mixed load is killed at a random moment, again and again, on one real file:
 * each time the store opens, every thread's objects are as one of its commits left them, no acknowledged one
 * is missing, and every tenth time a full check finds nothing.
 *
 * kill_test [quick|long] [seed] [kills] */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/kill/load.h"

enum {
	QUICK_KILLS = 30,
	LONG_KILLS = 1000,
	MOST_US = 40000,
	MOST_OPEN_US = 4000,
	CLOSE_ONE_IN = 20,
	FULL_ONE_IN = 10
};

static uint64_t kills = QUICK_KILLS, seed = 1;
static struct journal *journal;
static char path[64];

struct counts {
	uint64_t killed, in_open, closed, recovered, full_checks;
};

static uint64_t draw(uint64_t below)
{
	static uint64_t state;
	state = state ? state : seed * 0x9e3779b97f4a7c15U | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

static void pass(uint64_t us)
{
	const struct timespec moment = {.tv_sec = (time_t)(us / 1000000),
	                                .tv_nsec = (long)(us % 1000000 * 1000)};
	nanosleep(&moment, NULL);
}

static pid_t start(uint64_t life)
{
	const struct load load = {
	    .path = path, .journal = journal, .seed = seed * 100000 + life, .relaxed = life % 3 == 1};
	atomic_store(&journal->running, false);
	atomic_store(&journal->stop, false);
	pid_t pid = fork();
	if (pid == 0)
		_exit(load_run(&load));
	assert_true(pid > 0);
	return pid;
}

/* The random moment is counted from the fork, or from when the store is open; some lives are asked to end,
 * and killed while they close, or are too late for it. */
static int end(pid_t pid, uint64_t life, struct counts *c)
{
	int status;
	bool in_open = life % 4 == 0;
	while (!in_open && !atomic_load(&journal->running) && !atomic_load(&journal->failed))
		pass(100);
	pass(draw(in_open ? MOST_OPEN_US : MOST_US));
	if (life % CLOSE_ONE_IN == 7) {
		atomic_store(&journal->stop, true);
		pass(draw(MOST_US));
	}
	c->in_open += !atomic_load(&journal->running);
	kill(pid, SIGKILL);
	assert_true(waitpid(pid, &status, 0) == pid);
	return status;
}

static int say_finding(void *arg, const struct ps_finding *finding)
{
	(void)arg;
	print_error("finding: %s\n", finding->message);
	return 0;
}

static void check_store(uint64_t life, struct counts *c)
{
	char why[JOURNAL_WHY] = "";
	struct ps_stats stats;
	ps_storer *s;
	int err = load_open(path, false, false, &s);
	if (err != PS_OK)
		fail_msg("life %llu, seed %llu: open: %s", (unsigned long long)life, (unsigned long long)seed,
		         ps_last_error_message());
	assert_int_equal(ps_stats(s, &stats), PS_OK);
	c->recovered += stats.recovered_commits;
	if (!journal_settle(journal, s, why))
		fail_msg("life %llu, seed %llu: %s", (unsigned long long)life, (unsigned long long)seed, why);
	bool full = life % FULL_ONE_IN == 0;
	c->full_checks += full;
	if (ps_check(s, full ? PS_CHECK_FULL : PS_CHECK_QUICK, say_finding, NULL) != PS_OK)
		fail_msg("life %llu, seed %llu: check: %s", (unsigned long long)life,
		         (unsigned long long)seed, ps_last_error_message());
	assert_int_equal(ps_close(s), PS_OK);
}

static void every_kill_leaves_a_prefix(void **state)
{
	(void)state;
	struct counts c = {0};
	uint64_t done = 0;
	for (uint64_t life = 1; c.killed < kills; life++) {
		int status = end(start(life), life, &c);
		if (atomic_load(&journal->failed))
			fail_msg("life %llu, seed %llu: %s", (unsigned long long)life,
			         (unsigned long long)seed, journal->error);
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			c.killed++;
		else
			c.closed++;
		if (!WIFSIGNALED(status) && WEXITSTATUS(status) != 0)
			fail_msg("life %llu ended with %d", (unsigned long long)life, WEXITSTATUS(status));
		check_store(life, &c);
	}
	for (size_t t = 0; t < JOURNAL_THREADS; t++)
		done += atomic_load(&journal->thread[t].done);
	print_message("%llu kills (%llu before the store was open), %llu closed in time, %llu operations, "
	              "%llu commits recovered, %llu full checks\n",
	              (unsigned long long)c.killed, (unsigned long long)c.in_open,
	              (unsigned long long)c.closed, (unsigned long long)done, (unsigned long long)c.recovered,
	              (unsigned long long)c.full_checks);
	assert_true(done > kills && c.recovered > kills);
}

int main(int argc, char **argv)
{
	char folder[] = "/tmp/padstone-kill-XXXXXX";
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_kill_leaves_a_prefix)};
	if (argc > 1 && strcmp(argv[1], "long") == 0)
		kills = LONG_KILLS;
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	if (argc > 3)
		kills = strtoull(argv[3], NULL, 10);
	journal = journal_new();
	if (!journal || !mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/store", folder);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (failed)
		print_message("the store is kept: %s\n", path);
	else
		unlink(path);
	rmdir(folder);
	journal_free(journal);
	return failed;
}
