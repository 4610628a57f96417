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
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kill/life.h"

enum {
	QUICK_KILLS = 30,
	LONG_KILLS = 1000,
	MOST_US = 40000,
	MOST_OPEN_US = 4000,
	CLOSE_ONE_IN = 20,
	FULL_ONE_IN = 10,
	FEW = 4
};

static struct lives lives = {.full_one_in = FULL_ONE_IN};

struct counts {
	uint64_t killed, in_open, closed, recovered, full_checks;
};

/* The random moment is counted from the fork, or from when the store is open; some lives are asked to end,
 * and killed while they close, or are too late for it. */
static int end(pid_t pid, uint64_t life, struct counts *c)
{
	int status;
	struct journal *journal = lives.journal;
	bool in_open = life % 4 == 0;
	if (!in_open)
		life_let_work(&lives, pid, FEW);
	life_pass(life_draw(&lives, in_open ? MOST_OPEN_US : MOST_US));
	if (life % CLOSE_ONE_IN == 7) {
		atomic_store(&journal->stop, true);
		life_pass(life_draw(&lives, MOST_US));
	}
	c->in_open += !atomic_load(&journal->running);
	kill(pid, SIGKILL);
	assert_true(waitpid(pid, &status, 0) == pid);
	return status;
}

static void every_kill_leaves_a_prefix(void **state)
{
	(void)state;
	struct counts c = {0};
	for (uint64_t life = 1; c.killed < lives.count; life++) {
		int status = end(life_start(&lives, life), life, &c);
		life_check_journal(&lives, life);
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			c.killed++;
		else
			c.closed++;
		if (!WIFSIGNALED(status) && WEXITSTATUS(status) != 0)
			fail_msg("life %llu ended with %d", (unsigned long long)life, WEXITSTATUS(status));
		c.full_checks += life % FULL_ONE_IN == 0;
		c.recovered += life_check_store(&lives, life);
	}
	uint64_t done = life_operations(&lives);
	print_message("%llu kills (%llu before the store was open), %llu closed in time, %llu operations, "
	              "%llu commits recovered, %llu full checks\n",
	              (unsigned long long)c.killed, (unsigned long long)c.in_open,
	              (unsigned long long)c.closed, (unsigned long long)done, (unsigned long long)c.recovered,
	              (unsigned long long)c.full_checks);
	assert_true(done > lives.count && c.recovered > lives.count);
}

int main(int argc, char **argv)
{
	char folder[] = "/tmp/padstone-kill-XXXXXX", path[64];
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_kill_leaves_a_prefix)};
	life_arguments(&lives, argc, argv, QUICK_KILLS, LONG_KILLS);
	lives.journal = journal_new();
	if (!lives.journal || !mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/store", folder);
	lives.path = path;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (failed)
		print_message("the store is kept: %s\n", path);
	else
		unlink(path);
	rmdir(folder);
	journal_free(lives.journal);
	return failed;
}
