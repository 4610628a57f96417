/* padstone-bench: every peer on the same work, in one run, in turns; and Padstone's own targets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/options.h"

static const struct target {
	const char *name;
	void (*run)(const struct bench *b);
} targets[] = {
    {"allocators", bench_allocators}, {"cached", bench_cached}, {"durable", bench_durable},
    {"large", bench_large},           {"load", bench_load},     {"memory", bench_memory},
    {"reopen", bench_reopen},         {"space", bench_space},   {"locks", bench_locks},
    {"routes", bench_routes},         {"remote", bench_remote}, {"push", bench_push},
    {"beside", bench_beside},
};
enum { TARGETS = sizeof(targets) / sizeof(targets[0]) };

/* A target removes its files itself, unless it died. */
static void remove_left(const char *dir, pid_t pid)
{
	static const char *const names[] = {"store", "raw"};
	char path[4096];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (snprintf(path, sizeof(path), BENCH_FILE, dir, (int)pid, names[i]) < (int)sizeof(path))
			(void)unlink(path);
	}
	if (snprintf(path, sizeof(path), BENCH_FILE, dir, (int)pid, "remote") < (int)sizeof(path))
		remove_folder(path);
}

/* In a process of its own: what one leaves in memory is not the next one's. */
static bool target_run(const struct bench *b, const struct target *t)
{
	struct bench mine = *b;
	int status;
	mine.workload = t->name;
	fflush(NULL);
	pid_t child = fork();
	if (child < 0)
		die("fork: %s", strerror(errno));
	if (child == 0) {
		t->run(&mine);
		exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		die("waitpid: %s", strerror(errno));
	remove_left(b->dir, child);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool targets_run(const struct command *c)
{
	const struct settings *s = &c->s;
	struct bench b = {s->dir,        s->num,          s->seconds, s->seed,   MAX(s->rounds, 1U),
	                  s->value_size, s->json != NULL, NULL,       s->network};
	bool good = true;
	if (s->json && strcmp(s->json, "-") && !freopen(s->json, "w", stdout))
		die("%s: %s", s->json, strerror(errno));
	for (size_t i = 0; i < TARGETS; i++) {
		bool wanted = false;
		for (unsigned k = 0; k < c->words; k++)
			wanted =
			    wanted || !strcmp(c->word[k], targets[i].name) || !strcmp(c->word[k], "targets");
		if (wanted)
			good = target_run(&b, &targets[i]) && good;
	}
	return good;
}

static bool is_target(const char *word)
{
	bool found = !strcmp(word, "targets");
	for (size_t i = 0; i < TARGETS; i++)
		found = found || !strcmp(word, targets[i].name);
	return found;
}

static bool is_wanted(const struct command *c, const struct workload *w)
{
	bool wanted = c->words == 0;
	for (unsigned i = 0; i < c->words; i++)
		wanted = wanted || word_in(c->word[i], w->name);
	return wanted && (!c->s.benchmarks || word_in(c->s.benchmarks, w->name));
}

static bool write_one(bool written, const char *path)
{
	if (!written)
		fprintf(stderr, "padstone-bench: %s cannot be written\n", path);
	return written;
}

static bool write_reports(const json_t *records, const struct settings *s)
{
	bool good = true;
	if (s->json)
		good = write_one(records_save(records, s->json), s->json);
	if (s->html)
		good = write_one(page_write(records, s->html), s->html) && good;
	if (s->results)
		good = write_one(results_write(records, s->results, s->notes), s->results) && good;
	return good;
}

static bool harness_run(const struct command *c)
{
	json_t *records = json_array();
	struct pace pace = {now() + c->s.minutes * 60, 0};
	bool good = true;
	for (unsigned i = 0; workloads[i]; i++)
		pace.groups += is_wanted(c, workloads[i]) ? workload_groups(workloads[i], &c->s) : 0;
	json_array_append_new(records, machine_record(&c->s));
	if (peers_left_out[0])
		fprintf(stderr, "padstone-bench: left out, because not installed: %s\n", peers_left_out);
	for (unsigned i = 0; workloads[i]; i++) {
		if (is_wanted(c, workloads[i]))
			good = workload_run(workloads[i], &c->s, &pace, records) && good;
	}
	good = write_reports(records, &c->s) && good;
	json_decref(records);
	return good;
}

static void check_words(const struct command *c)
{
	bool target = c->words && is_target(c->word[0]);
	for (unsigned i = 0; i < c->words; i++) {
		bool known = target ? is_target(c->word[i]) : false;
		for (unsigned k = 0; workloads[k] && !target; k++)
			known = known || word_in(c->word[i], workloads[k]->name);
		if (!known)
			die("%s: no such workload, or targets and workloads together", c->word[i]);
	}
}

static bool report_again(const struct command *c)
{
	json_t *records = records_load(c->word[1]);
	struct settings s = c->s;
	bool plain = !s.html && !s.results;
	s.json = NULL;
	if (plain)
		table_print(records, 0);
	bool good = write_reports(records, &s);
	json_decref(records);
	return good;
}

int main(int argc, char **argv)
{
	struct command c = {0};
	options_parse(argc, argv, &c);
	if (c.words == 3 && !strcmp(c.word[0], "compare"))
		return compare_files(c.word[1], c.word[2]);
	if (c.words == 2 && !strcmp(c.word[0], "report"))
		return report_again(&c) ? 0 : 1;
	check_words(&c);
	bool good = c.words && is_target(c.word[0]) ? targets_run(&c) : harness_run(&c);
	return good ? 0 : 1;
}
