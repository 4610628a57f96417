/* evict: what the network has leaves the file. */
#include <inttypes.h>

#include <padstone/push.h>

#include "cli/remote/remote.h"

enum { WORTH_COMPACTING = 1 << 20 }; /* what is free in small pieces stays with the file */

struct eviction {
	uint64_t freed;
	struct ps_stats before, after;
	struct ps_local_figures left;
};

/* What has left may still wait to be free when this is asked. */
static bool is_worth_compacting(const struct ps_stats *after)
{
	return after->disk_bytes + after->pending_bytes > after->used_bytes + WORTH_COMPACTING;
}

static void say_eviction(struct cli *cli, const struct eviction *e)
{
	char freed[32], away[32], here[32], dirty[32], before[32], after[32];
	const struct ps_local_figures *f = &e->left;
	json_t *object = json_pack(
	    "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "goal", (json_int_t)cli->remote.goal,
	    "freed", (json_int_t)e->freed, "local_objects", (json_int_t)f->local_objects, "local_bytes",
	    (json_int_t)f->local_bytes, "away_objects", (json_int_t)f->away_objects, "away_bytes",
	    (json_int_t)f->away_bytes, "dirty_objects", (json_int_t)f->dirty_objects, "dirty_bytes",
	    (json_int_t)f->dirty_bytes, "disk_bytes_before", (json_int_t)e->before.disk_bytes, "disk_bytes",
	    (json_int_t)e->after.disk_bytes);

	cli_json(cli, object);
	cli_say(cli, "%s of the file given up; %s of %" PRIu64 " objects away, %s of %" PRIu64 " here",
	        cli_size_text(e->freed, freed), cli_size_text(f->away_bytes, away), f->away_objects,
	        cli_size_text(f->local_bytes, here), f->local_objects);
	if (f->dirty_objects > 0 && f->local_bytes > cli->remote.goal)
		cli_say(cli,
		        "%" PRIu64 " objects (%s) had to stay: changed since the last push (`padstone push')",
		        f->dirty_objects, cli_size_text(f->dirty_bytes, dirty));
	cli_say(cli, "the store took %s of disk and takes %s now%s",
	        cli_size_text(e->before.disk_bytes, before), cli_size_text(e->after.disk_bytes, after),
	        is_worth_compacting(&e->after) ? "; `padstone compact' gives more of it back" : "");
}

/* The sync makes what has left free: its space goes back to the file system. */
static int settle(ps_storer *s, struct eviction *e)
{
	int err = ps_sync(s);

	if (err == PS_OK)
		err = ps_stats(s, &e->after);
	return err == PS_OK ? ps_local_figures(s, &e->left) : err;
}

static int evict_from(struct cli *cli, ps_storer *s)
{
	struct eviction e = {0};
	struct cli_progress bar;
	int err = ps_stats(s, &e.before);

	progress_begin(&bar, cli, "evict", 0);
	if (err == PS_OK)
		err = ps_evict(s, cli->remote.goal, progress_callback, &bar, &e.freed);
	progress_end(&bar, cli);
	if (err == PS_OK)
		err = settle(s, &e);
	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "what has left is away; the same command goes on");
	say_eviction(cli, &e);
	return CLI_DONE;
}

/* What others pushed meanwhile is looked at first: nothing leaves from a file that is no longer the one whose
 * push is the newest. */
static int evict_run(struct cli *cli, ps_remote *r)
{
	ps_storer *s;
	int err;

	cli->remote.watch->hidden = true;
	err = ps_remote_sync(r, NULL, NULL, NULL);
	if (err != PS_OK)
		return remote_fail(cli, err, NULL);
	err = cli_open_store_on(cli, r, &s);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	return cli_finish(cli, s, evict_from(cli, s));
}

int cli_run_evict(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, evict_run);
}
