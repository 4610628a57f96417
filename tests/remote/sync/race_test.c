/* Machines that sync at the same time: two processes, each with a state folder of its own, over one folder or
 * on an engine.
 *
 * Every value that is written is another one, and whoever writes notes which one it replaced. At the end each
 * value is there, under its key or in a conflict copy, or somebody has replaced it knowingly: no update is
 * lost. The heads have one writer each, and a sync never sees less than one that had ended before it began.
 * usage: race_test [ROUNDS STEPS [KILLS [SCHEME]]] */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/remote/sync/sync_fixture.h"

enum { MACHINES = 2, VALUE = 40, KEYS = 5 };

static uint64_t now_ns(void)
{
	struct timespec now;
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- a machine: a process ---- */

struct machine {
	struct blobs b;
	struct dice dice;
	FILE *log;
	unsigned id, written, steps;
	char key[PS_RECORD_NAME_MAX + 1]; /* the one that was chosen */
	uint64_t seen;
};

__attribute__((format(printf, 2, 3))) static void say(struct machine *m, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	assert_true(vfprintf(m->log, format, args) > 0);
	va_end(args);
	assert_int_equal(fflush(m->log), 0);
}

/* One of all keys that begin with "key", each as likely: conflict copies as well. */
static int choose(void *arg, const struct ps_remote_info *info)
{
	struct machine *m = arg;
	if (info->exists && roll_below(&m->dice, ++m->seen) == 0)
		snprintf(m->key, sizeof(m->key), "%s", info->key);
	return 0;
}

static void replace_one(struct machine *m)
{
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	char before[VALUE + 1] = "", value[VALUE + 1];
	size_t len = 0;
	m->seen = 0;
	snprintf(m->key, sizeof(m->key), "key %u", (unsigned)roll_below(&m->dice, KEYS));
	if (roll_below(&m->dice, 3) == 0)
		assert_ok(ps_remote_list(m->b.r, "key", choose, m));
	int err = ps_remote_get(m->b.r, m->key, before, VALUE, &len, NULL);
	if (err == PS_ESUPERSEDED || err == PS_EROLLBACK || err == PS_ELOST)
		return; /* another machine has changed it: the next sync tells what it is */
	assert_true(err == PS_OK || err == PS_ENOTFOUND);
	before[len] = '\0';
	/* Said before it is done: the process may be killed in between. */
	if (err == PS_OK && roll_below(&m->dice, 8) == 0) {
		say(m, "remove %s\n", before);
		assert_ok(ps_remote_remove(m->b.r, m->key));
		return;
	}
	snprintf(value, sizeof(value), "%u.%u", m->id, ++m->written);
	say(m, "begin %s %s\n", value, len > 0 ? before : "-");
	assert_ok(ps_remote_put(m->b.r, m->key, value, strlen(value), &replace));
	say(m, "write %s\n", value);
}

static void sync_one(struct machine *m)
{
	struct ps_remote_sync_result result;
	uint64_t begun = now_ns();
	assert_ok(ps_remote_sync(m->b.r, NULL, NULL, &result));
	say(m, "sync %" PRIu64 " %" PRIu64 " %" PRIu64 " %d %" PRIu64 "\n", begun, now_ns(), result.head,
	    result.sent > 0, result.lost_races);
}

static struct machine given;

static void a_machine_changes_and_syncs(void **state)
{
	struct machine *m = &given;
	(void)state;
	/* The same state folder as the machine that was killed just before. */
	assert_ok(blobs_start_after_kill(&m->b));
	for (unsigned i = 0; i < m->steps; i++) {
		replace_one(m);
		if (roll_below(&m->dice, 2))
			sync_one(m);
	}
	sync_one(m);
	assert_ok(ps_remote_verify(m->b.r, NULL, NULL));
	assert_ok(ps_remote_close(m->b.r));
}

static int run_machine(char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_machine_changes_and_syncs)};
	struct machine *m = &given;
	snprintf(m->b.folder, sizeof(m->b.folder), "%s", argv[2]);
	snprintf(m->b.url, sizeof(m->b.url), "%s", argv[3]);
	m->id = (unsigned)atoi(argv[4]);
	m->dice.state = strtoull(argv[5], NULL, 10) * 16 + m->id;
	m->steps = (unsigned)atoi(argv[6]);
	m->log = fopen(argv[7], "a");
	if (!m->log)
		return 2;
	blobs_fill(m->b.key, sizeof(m->b.key), 4711);
	m->b.options = (struct ps_remote_options){.size = sizeof(m->b.options),
	                                          .state = m->b.folder,
	                                          .mode = PS_REMOTE_SMALL,
	                                          .workers = 2,
	                                          .depth = 4};
	m->b.seams.backoff_ms = 2;
	int failed = cmocka_run_group_tests_name("machine", tests, NULL, NULL);
	return fclose(m->log) == 0 ? failed : 2;
}

/* ---- the check ---- */

struct value {
	char text[VALUE + 1];
	bool there, replaced;
};

struct sync_seen {
	uint64_t begun, ended, head;
};

struct history {
	struct value *values;
	size_t count;
	struct sync_seen *syncs;
	size_t syncs_count;
	uint64_t heads, lost_races, kills;
	struct blobs *reader;
};

static struct value *value_of(struct history *h, const char *text)
{
	for (size_t i = 0; i < h->count; i++)
		if (strcmp(h->values[i].text, text) == 0)
			return &h->values[i];
	h->values = realloc(h->values, (h->count + 1) * sizeof(*h->values));
	assert_non_null(h->values);
	struct value *value = &h->values[h->count++];
	*value = (struct value){0};
	snprintf(value->text, sizeof(value->text), "%s", text);
	return value;
}

static void read_line(struct history *h, const char *line)
{
	char one[VALUE + 1], other[VALUE + 1];
	struct sync_seen seen;
	uint64_t lost;
	int sent;
	if (sscanf(line, "begin %40s %40s", one, other) == 2) {
		if (strcmp(other, "-") != 0)
			value_of(h, other)->replaced = true;
	} else if (sscanf(line, "write %40s", one) == 1) {
		(void)value_of(h, one);
	} else if (sscanf(line, "remove %40s", one) == 1) {
		value_of(h, one)->replaced = true;
	} else {
		assert_int_equal(sscanf(line, "sync %" SCNu64 " %" SCNu64 " %" SCNu64 " %d %" SCNu64,
		                        &seen.begun, &seen.ended, &seen.head, &sent, &lost),
		                 5);
		h->syncs = realloc(h->syncs, (h->syncs_count + 1) * sizeof(*h->syncs));
		assert_non_null(h->syncs);
		h->syncs[h->syncs_count++] = seen;
		h->heads += sent != 0;
		h->lost_races += lost;
	}
}

static int see_value(void *arg, const struct ps_remote_info *info)
{
	struct history *h = arg;
	char text[VALUE + 1];
	size_t len;
	if (!info->exists)
		return 0;
	assert_ok(ps_remote_get(h->reader->r, info->key, text, VALUE, &len, NULL));
	text[len] = '\0';
	value_of(h, text)->there = true;
	return 0;
}

static void check_history(struct history *h)
{
	struct ps_remote_head head;
	assert_ok(ps_remote_list(h->reader->r, "key", see_value, h));
	for (size_t i = 0; i < h->count; i++)
		if (!h->values[i].there && !h->values[i].replaced)
			fail_msg("the value %s was lost", h->values[i].text);
	for (size_t i = 0; i < h->syncs_count; i++)
		for (size_t j = 0; j < h->syncs_count; j++)
			if (h->syncs[i].ended < h->syncs[j].begun)
				assert_true(h->syncs[i].head <= h->syncs[j].head);
	assert_ok(ps_remote_head(h->reader->r, &head));
	/* What a killed process wrote last it did not live to tell. */
	assert_in_range(head.counter, 1 + h->heads, 1 + h->heads + h->kills);
	print_message("%zu values, %zu syncs, %" PRIu64 " heads, %" PRIu64 " lost races\n", h->count,
	              h->syncs_count, h->heads, h->lost_races);
}

/* ---- the race ---- */

static unsigned rounds = 1, steps = 15, kills = 2;
static const char *scheme = "dir";

static pid_t start_machine(const struct blobs *b, unsigned id, uint64_t seed, unsigned count, const char *log)
{
	char number[16], seed_text[24], steps_text[16];
	snprintf(number, sizeof(number), "%u", id);
	snprintf(seed_text, sizeof(seed_text), "%" PRIu64, seed);
	snprintf(steps_text, sizeof(steps_text), "%u", count);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/proc/self/exe", "race_test", "machine", b->folder, b->url, number, seed_text,
		      steps_text, log, (char *)NULL);
		_exit(3);
	}
	return child;
}

static void read_log(struct history *h, const char *path)
{
	char line[256];
	FILE *log = fopen(path, "r");
	assert_non_null(log);
	while (fgets(line, sizeof(line), log))
		read_line(h, line);
	assert_int_equal(fclose(log), 0);
}

/* Again and again, each time as another writer of values with the same state folder. */
static void kill_machine(const struct blobs *b, struct dice *dice, struct history *h, const char *log)
{
	for (unsigned i = 0; i < kills; i++) {
		/* An engine takes longer to open. */
		uint64_t most_ms = strcmp(scheme, BLOBS_ENGINE) == 0 ? 500 : 60;
		struct timespec while_it_runs = {.tv_nsec = (long)(1 + roll_below(dice, most_ms)) * 1000000};
		pid_t child = start_machine(b, 100 + i, roll(dice), 1000, log);
		int status;
		(void)nanosleep(&while_it_runs, NULL); /* killed wherever it is by then */
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		h->kills++;
	}
}

static void race(uint64_t seed)
{
	struct blobs *first = blobs_new(scheme), *others[MACHINES];
	struct history h = {0};
	char log[MACHINES][200];
	pid_t child[MACHINES];
	for (unsigned i = 0; i < MACHINES; i++) {
		others[i] = machine_new(first);
		snprintf(log[i], sizeof(log[i]), "%s/log", others[i]->folder);
		child[i] = start_machine(others[i], i, seed, steps, log[i]);
	}
	struct dice dice = {seed};
	struct blobs *killed = machine_new(first);
	char killed_log[200];
	snprintf(killed_log, sizeof(killed_log), "%s/log", killed->folder);
	FILE *empty = fopen(killed_log, "a"); /* it may be killed before it makes one */
	assert_non_null(empty);
	assert_int_equal(fclose(empty), 0);
	kill_machine(killed, &dice, &h, killed_log);
	for (unsigned i = 0; i < MACHINES; i++) {
		int status;
		assert_int_equal(waitpid(child[i], &status, 0), child[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	/* All see the same in the end. */
	for (unsigned i = 0; i < MACHINES; i++) {
		assert_ok(blobs_start_again(others[i], false));
		(void)sync_machine(others[i]);
		read_log(&h, log[i]);
	}
	assert_ok(blobs_start_after_kill(killed));
	(void)sync_machine(killed);
	h.kills *= 2; /* what each had left, and the head of the sync after it */
	if (kills > 0)
		read_log(&h, killed_log);
	for (unsigned i = 0; i < MACHINES; i++)
		(void)sync_machine(others[i]);
	(void)sync_machine(first);
	h.reader = first;
	check_history(&h);
	expect_same(first, killed);
	for (unsigned i = 0; i < MACHINES; i++)
		expect_same(first, others[i]);
	check_machines((struct blobs *[]){first, others[0], others[1], killed}, 4);
	machine_free(killed);
	for (unsigned i = 0; i < MACHINES; i++)
		machine_free(others[i]);
	blobs_free(first);
	free(h.values);
	free(h.syncs);
}

static void no_update_is_lost_between_processes(void **state)
{
	(void)state;
	uint64_t seed = test_seed(1);
	for (unsigned i = 0; i < rounds; i++)
		race(seed + i);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(no_update_is_lost_between_processes)};
	if (argc > 7 && strcmp(argv[1], "machine") == 0)
		return run_machine(argv);
	if (argc > 2) {
		rounds = (unsigned)atoi(argv[1]);
		steps = (unsigned)atoi(argv[2]);
		kills = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	}
	if (argc > 4)
		scheme = argv[4];
	return cmocka_run_group_tests_name("sync, races", tests, NULL, NULL);
}
