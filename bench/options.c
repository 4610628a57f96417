/* Options: db_bench's names where it has them; the second names are older. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/options.h"

enum {
	KEY_BENCHMARKS = 256,
	KEY_CACHE,
	KEY_BYTES,
	KEY_PEERS,
	KEY_QUICK,
	KEY_HTML,
	KEY_RESULTS,
	KEY_NOTES,
	KEY_MINUTES,
	KEY_NETWORK,
	KEY_THREADS
};

static const struct argp_option options[] = {
    {"benchmarks", KEY_BENCHMARKS, "LIST", 0, "Only these workloads, with commas between (W1,W3)", 1},
    {"peers", KEY_PEERS, "LIST", 0, "Only these peers (raw,padstone,lmdb)", 1},
    {"quick", KEY_QUICK, NULL, 0, "Two minutes: fewer objects, one round, shorter slices", 1},
    {"num", 'n', "N", 0, "Objects (1000000)", 2},
    {"count", 0, NULL, OPTION_ALIAS, NULL, 2},
    {"value_size", 'b', "BYTES", 0, "This size only", 2},
    {"size", 0, NULL, OPTION_ALIAS, NULL, 2},
    {"bytes_most", KEY_BYTES, "BYTES", 0, "At most so many bytes of objects of one size (268435456)", 2},
    {"threads", KEY_THREADS, "N", 0, "Of what has several (W2: 2, W3: 8)", 2},
    {"duration", 's', "S", 0, "Length of a timed slice in seconds (1)", 2},
    {"seconds", 0, NULL, OPTION_ALIAS, NULL, 2},
    {"rounds", 'r', "N", 0, "Rounds, all peers in turns (3; the targets 5)", 2},
    {"minutes", KEY_MINUTES, "M", 0, "Rounds after the first are left out when a run would take longer (28)",
     2},
    {"seed", 'x', "N", 0, "Of all that is random (1)", 2},
    {"cache_size", KEY_CACHE, "BYTES", 0, "Memory of each peer for caching (1073741824)", 2},
    {"dir", 'd', "DIR", 0, "Make the files here, on the disk to be measured (.)", 3},
    {"network", KEY_NETWORK, "URL", 0,
     "Pads of the targets remote and push go there, and stay there (files in DIR)", 3},
    {"json", 'j', "FILE", 0, "One JSON object a line; - is standard output, instead of tables", 3},
    {"html", KEY_HTML, "FILE", 0, "A page with plots", 3},
    {"results", KEY_RESULTS, "FILE", 0, "Tables in Markdown (bench/RESULTS.md)", 3},
    {"notes", KEY_NOTES, "FILE", 0, "Text for --results to take over (bench/NOTES.md)", 3},
    {0},
};

static uint64_t number(struct argp_state *state, const char *text, uint64_t least, uint64_t most)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || *end || end == text || n < least || n > most)
		argp_error(state, "%s: not a number from %llu to %llu", text, (unsigned long long)least,
		           (unsigned long long)most);
	return n;
}

static double duration(struct argp_state *state, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);
	if (*end || end == text || !(seconds > 0 && seconds <= 3600))
		argp_error(state, "%s: not a time", text);
	return seconds;
}

static void check_words(struct argp_state *state, const char *list, bool known(const char *word))
{
	char *words = strdup(list), *rest = NULL;
	if (!words)
		argp_failure(state, 1, ENOMEM, "--%s", list);
	for (char *w = strtok_r(words, ",", &rest); w; w = strtok_r(NULL, ",", &rest)) {
		if (!known(w))
			argp_error(state, "%s: there is none of this name", w);
	}
	free(words);
}

static bool is_peer(const char *word)
{
	return peer_find(word) || word_in(peers_left_out, word);
}

static bool is_workload(const char *word)
{
	for (unsigned i = 0; workloads[i]; i++) {
		if (word_in(word, workloads[i]->name))
			return true;
	}
	return false;
}

static void make_quick(struct settings *s)
{
	s->quick = true;
	s->num = 50000;
	s->bytes_most = (uint64_t)24 << 20;
	s->seconds = 0.1;
	s->rounds = 1;
	s->load_most = 0.25;
}

static error_t parse_number(int key, char *arg, struct argp_state *state, struct settings *s)
{
	switch (key) {
	case 'n':
		s->num = number(state, arg, 8, 100000000);
		return 0;
	case 'b':
		s->value_size = number(state, arg, 1, (uint64_t)1 << 30);
		return 0;
	case 'x':
		s->seed = number(state, arg, 0, UINT64_MAX);
		return 0;
	case 'r':
		s->rounds = (unsigned)number(state, arg, 1, ROUNDS_MAX);
		return 0;
	case KEY_BYTES:
		s->bytes_most = number(state, arg, 1 << 20, UINT64_MAX);
		return 0;
	case KEY_CACHE:
		s->cache_bytes = number(state, arg, 1 << 20, UINT64_MAX);
		return 0;
	case KEY_THREADS:
		s->threads = (unsigned)number(state, arg, 1, LANES_MOST);
		return 0;
	case 's':
		s->seconds = duration(state, arg);
		return 0;
	case KEY_MINUTES:
		s->minutes = duration(state, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct command *c = state->input;
	switch (key) {
	case KEY_BENCHMARKS:
		check_words(state, arg, is_workload);
		c->s.benchmarks = arg;
		return 0;
	case KEY_PEERS:
		check_words(state, arg, is_peer);
		c->s.peers = arg;
		return 0;
	case KEY_QUICK:
		make_quick(&c->s);
		return 0;
	case 'd':
		c->s.dir = arg;
		return 0;
	case 'j':
		c->s.json = arg;
		return 0;
	case KEY_HTML:
		c->s.html = arg;
		return 0;
	case KEY_NETWORK:
		c->s.network = arg;
		return 0;
	case KEY_RESULTS:
		c->s.results = arg;
		return 0;
	case KEY_NOTES:
		c->s.notes = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (c->words == WORDS)
			argp_error(state, "%s: too much", arg);
		c->word[c->words++] = arg;
		return 0;
	default:
		return parse_number(key, arg, state, &c->s);
	}
}

void options_parse(int argc, char **argv, struct command *c)
{
	static const struct argp argp = {
	    options,
	    parse,
	    "[WORKLOAD...]\ntargets\ncompare BEFORE.json AFTER.json\nreport RESULTS.json",
	    "Measures Padstone and its peers on the same work, and beside what the machine can do.\v"
	    "Without a word all workloads run (W1, W2, ...). `targets` runs what is measured of Padstone "
	    "alone (cached, durable, "
	    "...); each is a word, too. `compare` says what changed between two results of --json. `report` "
	    "makes --html and "
	    "--results of an earlier --json.",
	    NULL,
	    NULL,
	    NULL};
	c->s = (struct settings){.dir = ".",
	                         .num = 1000000,
	                         .bytes_most = (uint64_t)256 << 20,
	                         .cache_bytes = (uint64_t)1 << 30,
	                         .seed = 1,
	                         .seconds = 1,
	                         .load_most = 3,
	                         .wait_most = 300,
	                         .rounds = 3,
	                         .minutes = 28};
	argp_parse(&argp, argc, argv, 0, NULL, c);
}
