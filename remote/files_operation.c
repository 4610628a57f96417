#include "remote/files_operation.h"

#include <stdio.h>

#include "base/fail.h"
#include "base/files.h"

/* Counts of one put or get on top of those that have ended. Its totals are its own: those of all come from
 * the plan. */
static void add(struct ps_remote_progress *sum, const struct ps_remote_progress *one)
{
	sum->pads_done += one->pads_done;
	sum->bytes_done += one->bytes_done;
	sum->reserved += one->reserved;
	sum->written += one->written;
	sum->confirmed += one->confirmed;
	sum->fetched += one->fetched;
	sum->kept += one->kept;
	sum->recycled += one->recycled;
	sum->retried += one->retried;
	sum->sent_bytes += one->sent_bytes;
	sum->received_bytes += one->received_bytes;
	sum->fallback += one->fallback;
}

static void show_sum(struct ps_files_operation *f, const struct ps_remote_progress *sum, const char *key)
{
	struct ps_remote_progress shown = *sum;
	shown.operation = f->op.shown.operation;
	shown.key = key;
	shown.plan = f->op.shown.plan;
	shown.pads_total = f->op.shown.pads_total;
	shown.bytes_total = f->op.shown.bytes_total;
	f->op.shown = shown;
}

int ps_files_progress(void *arg, const struct ps_remote_progress *progress)
{
	struct ps_files_operation *f = arg;
	struct ps_remote_progress sum = f->through;
	add(&sum, progress);
	if (progress->phase == PS_REMOTE_END) {
		f->through = sum;
		f->reserved = progress->reserved;
		show_sum(f, &sum, NULL); /* the key is the put's, and may go */
		return 0;
	}
	show_sum(f, &sum, progress->key);
	return ps_operation_show(&f->op) != PS_OK;
}

void ps_files_kept(struct ps_files_operation *f, uint64_t bytes, uint64_t pads)
{
	f->through.bytes_done += bytes;
	f->through.pads_done += pads;
	f->through.kept += pads;
	show_sum(f, &f->through, NULL);
}

int ps_file_source_read(void *arg, void *buf, size_t len, size_t *got)
{
	struct ps_file_source *source = arg;
	int err = ps_operation_show(&source->f->op);
	if (err == PS_OK)
		err = ps_file_read(source->fd, source->path, buf, len, got);
	if (err != PS_OK) {
		source->error = err;
		(void)snprintf(source->sentence, sizeof(source->sentence), "%s", ps_last_error_message());
	}
	return err;
}

int ps_file_source_result(const struct ps_file_source *source, int err)
{
	return err != PS_OK && source->error != PS_OK ? ps_fail(source->error, "%s", source->sentence) : err;
}
