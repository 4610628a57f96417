#include "bench/remote_stage.h"

#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

uint32_t processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : (uint32_t)MIN(n, 8);
}

/* What is left of an earlier process of this number goes. */
static void make_folder(struct stage *s, const char *name)
{
	const char *parent = bench_path(s->b, "remote");
	(void)mkdir(parent, 0700);
	(void)snprintf(s->folder, sizeof(s->folder), "%s/%s", parent, name);
	remove_folder(s->folder);
	if (mkdir(s->folder, 0700))
		die("%s cannot be made", s->folder);
	(void)snprintf(s->state, sizeof(s->state), "%s/state", s->folder);
}

static void make_options(struct stage *s, uint64_t inflight, uint32_t create)
{
	s->options = (struct ps_remote_options){.size = sizeof(s->options),
	                                        .state = s->state,
	                                        .store = s->store,
	                                        .workers = processors(),
	                                        .depth = STAGE_DEPTH,
	                                        .max_inflight = inflight,
	                                        .create = create};
}

void stage_open(struct stage *s, const struct bench *b, const char *name, const char *network,
                uint64_t inflight)
{
	struct ps_remote_key key = {.user_key = s->key};
	/* Whatever else is on --network's: no two stages share a key. */
	struct chance c = chance_from((uint64_t)getpid() << 32 ^ (uint64_t)(now() * 1e9));
	*s = (struct stage){.b = b};
	chance_fill(&c, s->key, sizeof(s->key) - 8);
	(void)snprintf(s->store, sizeof(s->store), "%s", name);
	make_folder(s, name);
	if (network || b->network)
		(void)snprintf(s->url, sizeof(s->url), "%s", network ? network : b->network);
	else
		(void)snprintf(s->url, sizeof(s->url), "dir:%s/pads", s->folder);
	make_options(s, inflight, 1);
	MUST(ps_remote_init(s->url, &key, &s->options, &s->r));
}

void stage_join(struct stage *s, const struct stage *first, const char *name)
{
	*s = *first;
	make_folder(s, name);
	make_options(s, first->options.max_inflight, 0);
	stage_reopen(s);
}

void stage_reopen(struct stage *s)
{
	struct ps_remote_key key = {.user_key = s->key};
	MUST(ps_remote_open(s->url, &key, &s->options, &s->r));
}

void stage_close(struct stage *s)
{
	MUST(ps_remote_close(s->r));
	remove_folder(s->folder);
	(void)rmdir(bench_path(s->b, "remote")); /* the last one's */
}

struct ps_remote_stats stage_stats(const struct stage *s)
{
	struct ps_remote_stats stats;
	MUST(ps_remote_stats(s->r, &stats));
	return stats;
}
