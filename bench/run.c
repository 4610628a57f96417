/* The parent: a process for each peer, and the slices of a round in turns. A peer that has not got its turn
 * stands still (SIGSTOP): its background work slows nobody else's slice, and it has to do it in its own. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/harness.h"

enum { PEERS_MOST = 32, ORDER_SET_UP = -1, ORDER_FINISH = -2 };

struct order {
	int row;
	unsigned round;
};

struct runner {
	const struct peer_ops *peer;
	pid_t pid; /* 0: not running */
	int channel;
	FILE *errors; /* its standard error, for the reason why it died */
	char folder[4096];
	struct slice *slices; /* [row * rounds + round] */
	bool failed;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

bool word_in(const char *words, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = words; at && *at; at += *at == ',') {
		size_t n = strcspn(at, ",");
		if (n == len && strncasecmp(at, word, len) == 0)
			return true;
		at += n;
	}
	return false;
}

/* ---- the child ---- */

static void must_send(int channel, const struct slice *s)
{
	if (send(channel, s, sizeof(*s), MSG_NOSIGNAL) != (ssize_t)sizeof(*s))
		_exit(1);
}

static void obey(struct job *j, struct order o, struct slice *out)
{
	const struct workload *w = j->group->workload;
	slice_clear(out);
	if (o.row == ORDER_SET_UP) {
		if (w->set_up)
			w->set_up(j);
	} else if (o.row == ORDER_FINISH) {
		if (w->finish)
			w->finish(j);
		job_remove(j);
	} else {
		w->round(j, &j->group->row[o.row], o.round, out);
	}
	out->objects = j->count;
	if (j->options.folder)
		j->peer->describe(&j->options, out->settings, sizeof(out->settings));
}

_Noreturn static void child(const struct settings *s, const struct group *g, const struct runner *r,
                            int channel)
{
	static struct job j;
	static struct slice out;
	struct order o;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN);
	dup2(fileno(r->errors), STDERR_FILENO);
	setvbuf(stderr, NULL, _IOLBF, 0);
	job_begin(&j, s, g, r->peer, r->folder);
	/* Brothers hold copies of the channel's other end, so its closing would not be seen. */
	do {
		if (recv(channel, &o, sizeof(o), 0) != (ssize_t)sizeof(o))
			break;
		obey(&j, o, &out);
		must_send(channel, &out);
	} while (o.row != ORDER_FINISH);
	/* The libraries' own threads and exit handlers have nothing left to do that matters. */
	fflush(NULL);
	_exit(0);
}

/* ---- the parent ---- */

static void start(struct runner *r, const struct settings *s, const struct group *g)
{
	int ends[2];
	int bytes = 2 * (int)sizeof(struct slice);
	r->errors = tmpfile();
	if (!r->errors || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		die("no channel: %s", strerror(errno));
	(void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	fflush(NULL);
	r->pid = fork();
	if (r->pid < 0)
		die("fork: %s", strerror(errno));
	if (r->pid == 0) {
		close(ends[0]);
		child(s, g, r, ends[1]);
	}
	close(ends[1]);
	r->channel = ends[0];
}

static const char *last_line(FILE *f, char *line, size_t len)
{
	line[0] = 0;
	rewind(f);
	for (char next[512]; fgets(next, sizeof(next), f);)
		snprintf(line, len, "%.*s", (int)strcspn(next, "\n"), next);
	const char *own = "padstone-bench: ";
	if (!strncmp(line, own, strlen(own)))
		return line + strlen(own);
	return line[0] ? line : "it ended without a word";
}

static void fail(struct runner *r, const char *why)
{
	r->failed = true;
	fprintf(stderr, "padstone-bench: %s: %s\n", r->peer->name, why);
}

static void end(struct runner *r)
{
	if (!r->pid)
		return;
	kill(r->pid, SIGCONT);
	close(r->channel);
	if (r->failed || interrupted)
		kill(r->pid, SIGKILL);
	while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
		;
	r->pid = 0;
	fclose(r->errors);
}

/* One order, and its answer; the peer stands still before and after. */
static bool turn(struct runner *r, const struct settings *s, int row, unsigned round, struct slice *out)
{
	struct order o = {row, round};
	struct pollfd p = {.fd = r->channel, .events = POLLIN};
	char line[512];
	if (r->failed || interrupted)
		return false;
	kill(r->pid, SIGCONT);
	if (send(r->channel, &o, sizeof(o), MSG_NOSIGNAL) == (ssize_t)sizeof(o)) {
		int ready = poll(&p, 1, (int)(s->wait_most * 1000));
		if (ready == 0) {
			fail(r, "no answer in time");
			return false;
		}
		if (ready > 0 && recv(r->channel, out, sizeof(*out), 0) == (ssize_t)sizeof(*out)) {
			if (row != ORDER_FINISH)
				kill(r->pid, SIGSTOP);
			return true;
		}
	}
	if (!interrupted) {
		(void)waitpid(r->pid, NULL, WNOHANG | WNOWAIT);
		fail(r, last_line(r->errors, line, sizeof(line)));
	}
	return false;
}

/* All rounds, or as many as there is time for, but at least one. */
static void rounds(struct runner *r, unsigned n, const struct settings *s, const struct group *g,
                   unsigned all, double end_at)
{
	double before = now(), took = 0;
	for (unsigned round = 0; round < all && (round == 0 || now() + took <= end_at); round++) {
		for (unsigned row = 0; row < g->rows; row++) {
			for (unsigned i = 0; i < n; i++) {
				/* Who comes first changes with the round. */
				struct runner *mine = &r[(i + round) % n];
				struct slice *out = &mine->slices[row * all + round];
				if ((mine->peer->abilities & g->row[row].needs) == g->row[row].needs)
					turn(mine, s, (int)row, round, out);
			}
		}
		took = now() - before;
		before = now();
	}
}

static bool takes_part(const struct peer_ops *p, const struct group *g, const struct settings *s)
{
	if (s->peers && !word_in(s->peers, p->name))
		return false;
	if (g->workload->only_padstone && !(p->abilities & (CAN_STREAM | IS_LIMIT)))
		return false;
	unsigned needs = g->row[0].needs;
	for (unsigned i = 1; i < g->rows; i++)
		needs &= g->row[i].needs;
	return (p->classes & IN_CLASS(g->durability)) && (p->abilities & needs) == needs;
}

static unsigned choose(struct runner *r, const struct group *g, const struct settings *s, const char *folder)
{
	unsigned n = 0;
	for (unsigned i = 0; peers[i] && n < PEERS_MOST; i++) {
		if (!takes_part(peers[i], g, s))
			continue;
		memset(&r[n], 0, sizeof(r[n]));
		r[n].peer = peers[i];
		if (snprintf(r[n].folder, sizeof(r[n].folder), "%s/%s", folder, peers[i]->name) >=
		    (int)sizeof(r[n].folder))
			die("%s: the name is too long", folder);
		n++;
	}
	return n;
}

static bool group_run(const struct group *g, const struct settings *s, const char *folder, double end_at,
                      json_t *records)
{
	static struct runner r[PEERS_MOST];
	static struct slice answer;
	unsigned n = choose(r, g, s, folder), all = g->rounds ? MIN(g->rounds, s->rounds) : s->rounds;
	bool good = true;
	for (unsigned i = 0; i < n; i++) {
		r[i].slices = xalloc(g->rows * all * sizeof(struct slice));
		for (unsigned k = 0; k < g->rows * all; k++)
			slice_clear(&r[i].slices[k]);
		start(&r[i], s, g);
		turn(&r[i], s, ORDER_SET_UP, 0, &answer);
	}
	rounds(r, n, s, g, all, end_at);
	for (unsigned i = 0; i < n; i++) {
		turn(&r[i], s, ORDER_FINISH, 0, &answer);
		char line[512];
		if (r[i].failed)
			record_failure(records, g, r[i].peer, last_line(r[i].errors, line, sizeof(line)));
		end(&r[i]);
		for (unsigned row = 0; row < g->rows && !r[i].failed; row++)
			record_row(records, g, &g->row[row], r[i].peer, &r[i].slices[row * all], all);
		good = good && !r[i].failed;
		free(r[i].slices);
	}
	return good;
}

unsigned workload_groups(const struct workload *w, const struct settings *s)
{
	static struct group g[GROUPS_MOST];
	return w->groups(s, g);
}

bool workload_run(const struct workload *w, const struct settings *s, struct pace *pace, json_t *records)
{
	static struct group g[GROUPS_MOST];
	struct sigaction act = {.sa_handler = interrupt}, old[2];
	char folder[4096];
	bool good = true;
	memset(g, 0, sizeof(g));
	unsigned n = w->groups(s, g);
	double began = now();
	if (snprintf(folder, sizeof(folder), "%s/padstone-bench.%d", s->dir, (int)getpid()) >=
	        (int)sizeof(folder) ||
	    (mkdir(folder, 0700) && errno != EEXIST))
		die("%s: %s", s->dir, strerror(errno));
	sigaction(SIGINT, &act, &old[0]);
	sigaction(SIGTERM, &act, &old[1]);
	for (unsigned i = 0; i < n && !interrupted; i++) {
		size_t from = json_array_size(records);
		g[i].workload = w;
		double share = (pace->end - now()) / MAX(pace->groups, 1U);
		pace->groups -= pace->groups > 0;
		good = group_run(&g[i], s, folder, now() + share, records) && good;
		if (!s->json || strcmp(s->json, "-"))
			table_print(records, from);
		remove_folder(folder);
		if (i + 1 < n && mkdir(folder, 0700))
			die("%s: %s", folder, strerror(errno));
	}
	remove_folder(folder);
	sigaction(SIGINT, &old[0], NULL);
	sigaction(SIGTERM, &old[1], NULL);
	if (interrupted)
		die("interrupted");
	json_array_append_new(records, json_pack("{s:s, s:s, s:f}", "record", "time", "workload", w->name,
	                                         "seconds", now() - began));
	if (!s->json || strcmp(s->json, "-"))
		printf("\n%s took %.0f s\n", w->name, now() - began);
	return good;
}
