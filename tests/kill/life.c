#include "tests/kill/life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void life_arguments(struct lives *l, int argc, char **argv, uint64_t quick, uint64_t most)
{
	l->count = argc > 1 && strcmp(argv[1], "long") == 0 ? most : quick;
	l->seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	if (argc > 3)
		l->count = strtoull(argv[3], NULL, 10);
}

uint64_t life_draw(const struct lives *l, uint64_t below)
{
	static uint64_t state;
	state = state ? state : l->seed * 0x9e3779b97f4a7c15U | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

void life_pass(uint64_t us)
{
	const struct timespec moment = {.tv_sec = (time_t)(us / 1000000),
	                                .tv_nsec = (long)(us % 1000000 * 1000)};
	nanosleep(&moment, NULL);
}

pid_t life_start(const struct lives *l, uint64_t life)
{
	const struct load load = {.path = l->path,
	                          .journal = l->journal,
	                          .seed = l->seed * 100000 + life,
	                          .relaxed = life % 3 == 1,
	                          .disk_may_go = l->disk_may_go};
	atomic_store(&l->journal->running, false);
	atomic_store(&l->journal->stop, false);
	pid_t pid = fork();
	if (pid == 0)
		_exit(load_run(&load));
	assert_true(pid > 0);
	return pid;
}

static bool lives_on(const struct lives *l, pid_t pid)
{
	siginfo_t info = {0};
	return !atomic_load(&l->journal->failed) &&
	       waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

void life_let_work(const struct lives *l, pid_t pid, uint64_t operations)
{
	uint64_t enough = life_operations(l) + operations;
	while ((!atomic_load(&l->journal->running) || life_operations(l) < enough) && lives_on(l, pid))
		life_pass(100);
}

static int say_finding(void *arg, const struct ps_finding *finding)
{
	(void)arg;
	print_error("finding: %s\n", finding->message);
	return 0;
}

static void wrong(const struct lives *l, uint64_t life, const char *what, const char *why)
{
	fail_msg("life %llu, seed %llu: %s: %s", (unsigned long long)life, (unsigned long long)l->seed, what,
	         why);
}

void life_check_journal(const struct lives *l, uint64_t life)
{
	if (atomic_load(&l->journal->failed))
		wrong(l, life, "a thread", l->journal->error);
}

uint64_t life_check_store(const struct lives *l, uint64_t life)
{
	char why[JOURNAL_WHY] = "";
	struct ps_stats stats;
	ps_storer *s;
	enum ps_check_depth depth = life % l->full_one_in ? PS_CHECK_QUICK : PS_CHECK_FULL;
	if (load_open(l->path, false, false, &s) != PS_OK)
		wrong(l, life, "open", ps_last_error_message());
	assert_int_equal(ps_stats(s, &stats), PS_OK);
	if (!journal_settle(l->journal, s, why))
		wrong(l, life, "contents", why);
	if (ps_check(s, depth, say_finding, NULL) != PS_OK)
		wrong(l, life, "check", ps_last_error_message());
	assert_int_equal(ps_close(s), PS_OK);
	return stats.recovered_commits;
}

uint64_t life_operations(const struct lives *l)
{
	uint64_t done = 0;
	for (size_t t = 0; t < JOURNAL_THREADS; t++)
		done += atomic_load(&l->journal->thread[t].done);
	return done;
}
