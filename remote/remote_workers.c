/* A remote's workers: one set for callers, and, once there is work for it, one for the background, whose
 * threads leave processors to others. Sealing is most of what a push costs, and is done in a worker's thread:
 * at equal rank two of those and the application would share two processors.
 *
 * Two sets, and not two kinds of threads in one: a thread that has stood back cannot come forward again. They
 * share limits and network; what is in flight each counts for itself. */
#include "remote/manager_internal.h"

static struct ps_workers_options options_of(ps_remote *r, struct ps_limits *limits)
{
	return (struct ps_workers_options){.size = sizeof(struct ps_workers_options),
	                                   .threads = r->options.workers,
	                                   .depth = r->options.depth,
	                                   .max_inflight = r->options.max_inflight,
	                                   .timeout_ms = r->options.timeout_ms,
	                                   .retries = r->options.retries,
	                                   .seed = r->seams.seed,
	                                   .backoff_ms = r->seams.backoff_ms,
	                                   .backoff_most_ms = r->seams.backoff_ms,
	                                   .limits = limits,
	                                   .clock = r->seams.clock};
}

int ps_remote_start_workers(ps_remote *r, ps_network *network, struct ps_limits *limits_of,
                            bool *limits_ready, ps_workers **workers)
{
	struct ps_limits_options limits = {r->options.bytes_up, r->options.bytes_down, r->options.requests};
	struct ps_workers_options options = options_of(r, limits_of);
	ps_limits_init(limits_of, &limits, ps_clock_now(r->seams.clock));
	*limits_ready = true;
	return ps_workers_new(network, &options, workers);
}

/* Of two threads that come first at once, one keeps what it has made. */
static ps_workers *start_background(ps_remote *r)
{
	struct ps_workers_options options = options_of(r, &r->limits);
	ps_workers *made, *there = NULL;
	options.background = true;
	options.max_inflight = r->options.max_inflight / 2;
	if (ps_workers_new(r->network, &options, &made) != PS_OK)
		return r->workers; /* they know the classes, too */
	if (atomic_compare_exchange_strong(&r->background, &there, made))
		return made;
	(void)!ps_workers_free(made); /* it has no group */
	return there;
}

ps_workers *ps_remote_workers(ps_remote *r)
{
	if (ps_tokens_class() == PS_TOKEN_FOREGROUND)
		return r->workers;
	ps_workers *there = atomic_load(&r->background);
	return there ? there : start_background(r);
}

static void add_figures(struct ps_workers_figures *to, const struct ps_workers_figures *more)
{
	to->requests += more->requests;
	for (size_t op = 0; op < sizeof(to->by_op) / sizeof(to->by_op[0]); op++)
		to->by_op[op] += more->by_op[op];
	to->recycled += more->recycled;
	to->stolen += more->stolen;
	to->sleeps += more->sleeps;
	to->replaced += more->replaced;
	to->in_flight += more->in_flight;
	to->asleep += more->asleep;
	to->bytes += more->bytes;
	to->most_bytes += more->most_bytes; /* at most: not at the same moment */
}

void ps_remote_workers_figures(ps_remote *r, struct ps_workers_figures *figures)
{
	struct ps_workers_figures more;
	ps_workers *background = atomic_load(&r->background);
	ps_workers_figures(r->workers, figures);
	if (!background)
		return;
	ps_workers_figures(background, &more);
	add_figures(figures, &more);
}

int ps_remote_workers_free(ps_remote *r)
{
	int err = ps_workers_free(atomic_load(&r->background));
	if (err == PS_OK) {
		atomic_store(&r->background, NULL);
		err = ps_workers_free(r->workers);
	}
	return err;
}
