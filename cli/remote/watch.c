/* How an operation on a remote goes: its bar, its last figures, and Ctrl-C. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/remote/remote.h"

void remote_watch_end(struct remote_watch *watch)
{
	if (watch->began)
		progress_end(&watch->bar, watch->cli);
	watch->began = false;
}

static void draw(struct remote_watch *watch, const struct ps_remote_progress *p)
{
	struct cli_progress *bar = &watch->bar;
	bool bytes = p->bytes_done > 0 || (p->pads_done == 0 && p->bytes_total > 0);

	if (!watch->began)
		progress_begin(bar, watch->cli, watch->what, 0);
	watch->began = true;
	bar->total = bytes ? p->bytes_total : p->pads_total;
	bar->unit = bytes ? NULL : strcmp(p->operation, "health") == 0 ? "requests" : "pads";
	bar->found = bytes && p->pads_done > 0 ? p->bytes_done / p->pads_done * p->kept : 0;
	if (bytes && p->pads_total > 0)
		(void)snprintf(bar->note, sizeof(bar->note), ", %" PRIu64 "/%" PRIu64 " pads", p->pads_done,
		               p->pads_total);
	else if (bytes)
		(void)snprintf(bar->note, sizeof(bar->note), ", %" PRIu64 " pads", p->pads_done);
	progress_update(bar, bytes ? p->bytes_done : p->pads_done);
}

int remote_watch_progress(void *arg, const struct ps_remote_progress *progress)
{
	struct remote_watch *watch = arg;

	watch->last = *progress;
	watch->last.key = watch->last.operation = NULL;
	if (progress->phase == PS_REMOTE_PLAN) {
		watch->plan = progress->plan;
		if (watch->cli->remote.dry_run)
			return 1;
	}
	if (progress->phase == PS_REMOTE_RUNNING && !watch->hidden)
		draw(watch, progress);
	else if (progress->phase == PS_REMOTE_END)
		remote_watch_end(watch);
	return cli_interrupted() ? 1 : 0;
}
