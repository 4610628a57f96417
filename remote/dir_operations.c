/* What a dir network does for a request. Crash-safe by its order (remote/FORMAT.md, "dir"):
 *
 *	temporary file written, fdatasync     nobody sees it; a leftover is removed later
 *	lock of the folder                    of two writers one compares after the other has changed
 *	compare, then mark                    from here readers make durable what they see before they tell it
 *	rename, or unlink                     the one step
 *	fsync of the folder, mark off, unlock
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "remote/dir_internal.h"

static enum ps_outcome outcome_of(int errnum, bool writes)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
		return writes ? PS_NET_FULL : PS_NET_UNAVAILABLE;
	case EFBIG:
		return writes ? PS_NET_TOO_BIG : PS_NET_UNAVAILABLE;
	case EACCES:
	case EPERM:
	case EROFS:
		return PS_NET_DENIED;
	default:
		return PS_NET_UNAVAILABLE;
	}
}

void dir_fail(struct dir_network *n, struct ps_net_request *r, int errnum, const char *what)
{
	char text[96];
	const char *why =
	    errnum == EBADMSG ? "what is there is no record" : strerror_r(errnum, text, sizeof(text));
	r->error = errnum == EBADMSG ? PS_ECORRUPT : PS_OK;
	ps_request_finish(&n->base, r, outcome_of(errnum, ps_net_op_writes(r->op)), "%s: %s", what, why);
}

static void finish_done(struct dir_network *n, struct ps_net_request *r)
{
	ps_request_finish(&n->base, r, PS_NET_DONE, "%s", "");
}

static void finish_unwanted(struct dir_network *n, struct ps_net_request *r)
{
	ps_request_finish(&n->base, r, PS_NET_UNAVAILABLE, "cancelled");
}

/* ---- reads ---- */

static int read_contents(const struct dir_file *file, struct ps_blocking_job *job)
{
	struct ps_net_request *r = &job->request;
	uint64_t from = 0, len = file->len;
	if (r->op == PS_NET_GET_RANGE) {
		from = r->offset < file->len ? r->offset : file->len;
		len = r->len < file->len - from ? r->len : file->len - from;
	}
	if (len > r->buffer->capacity)
		return EMSGSIZE;
	int err = dir_file_read(file, from, r->buffer->bytes, (size_t)len);
	if (!err)
		job->received = (size_t)len;
	return err;
}

static int read_record(struct ps_blocking_job *job, struct dir_folder *folder)
{
	struct ps_net_request *r = &job->request;
	char name[DIR_FILE_NAME];
	struct dir_file file;
	dir_file_name(&r->name, name);
	int err = dir_file_open(folder, name, &file);
	if (err)
		return err;
	r->identity = file.identity;
	r->size = file.len;
	if (r->op != PS_NET_HEAD)
		err = read_contents(&file, job);
	dir_file_close(&file);
	return err;
}

static void run_read(struct dir_network *n, struct ps_blocking_job *job)
{
	struct ps_net_request *r = &job->request;
	struct dir_folder folder;
	int err = dir_folder_open(n, r->name.bytes[0], &folder);
	if (!err)
		err = read_record(job, &folder);
	int seen = err;
	if (seen == 0 || seen == ENOENT || seen == EMSGSIZE)
		err = dir_folder_settle(&folder);
	if (err)
		dir_fail(n, r, err, "read");
	else if (seen == EMSGSIZE)
		ps_request_finish(&n->base, r, PS_NET_TOO_BIG, "a record of %llu bytes, room for %zu",
		                  (unsigned long long)r->size, r->buffer->capacity);
	else if (seen == ENOENT)
		ps_request_finish(&n->base, r, PS_NET_ABSENT, "nothing is there");
	else
		finish_done(n, r);
	dir_folder_close(&folder);
}

/* ---- writes ---- */

/* What was found instead of what the request expects; `err` as dir_file_open says. */
static void tell_mismatch(struct dir_network *n, struct ps_net_request *r, int err,
                          const struct dir_file *file)
{
	if (err == ENOENT) {
		ps_request_finish(&n->base, r, PS_NET_ABSENT, "nothing is there");
	} else if (err == EBADMSG) {
		/* Not ours to overwrite: somebody may want to look at it. */
		r->error = PS_ECORRUPT;
		ps_request_finish(&n->base, r, PS_NET_CONFLICT, "what is there is no record");
	} else if (err) {
		dir_fail(n, r, err, "compare");
	} else {
		ps_request_finish(&n->base, r, PS_NET_CONFLICT, "counter %llu is there, %llu was expected",
		                  (unsigned long long)file->identity.counter,
		                  (unsigned long long)(r->op == PS_NET_CREATE ? 0 : r->expected.counter));
	}
}

/* Whether what is there is what the request expects; else it is answered, by what is durable. */
static bool guard_passes(struct dir_network *n, struct ps_net_request *r, struct dir_folder *folder,
                         const char *name)
{
	struct dir_file file;
	int err = dir_file_open(folder, name, &file);
	dir_file_close(&file);
	if (r->op == PS_NET_CREATE ? err == ENOENT
	                           : err == 0 && ps_identity_same(&file.identity, &r->expected))
		return true;
	int unsettled = dir_folder_settle(folder);
	if (unsettled)
		dir_fail(n, r, unsettled, "compare");
	else
		tell_mismatch(n, r, err, &file);
	return false;
}

/* The errors of rename and unlink that leave all as it was, for certain. */
static bool surely_unchanged(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
	case EACCES:
	case EPERM:
	case EROFS:
	case ENOENT:
		return true;
	default:
		return false;
	}
}

/* The one step. Small files, the head's among them, are not worth an exchange. */
static int change_name(struct dir_network *n, const struct ps_net_request *r, const struct dir_folder *folder,
                       const char *name, struct dir_temp *temp, bool *exchanged)
{
	if (!temp)
		return unlinkat(folder->fd, name, 0) ? errno : 0;
	if (r->op == PS_NET_REPLACE && r->buffer->len >= DIR_DIRECT_FROM)
		return dir_replace(n, temp, folder, name, exchanged);
	return renameat(n->temps, temp->name, folder->fd, name) ? errno : 0;
}

/* While it may not last that the old file is the old one nobody writes to it. */
static void leave_old(struct dir_network *n, struct dir_temp *temp, bool lasts)
{
	if (lasts)
		dir_spare_keep(n, temp);
	else
		dir_temp_remove(n, temp);
}

/* The lock is held, the guard has passed. */
static void change_folder(struct dir_network *n, struct ps_blocking_job *job, const struct dir_folder *folder,
                          const char *name, struct dir_temp *temp)
{
	struct ps_net_request *r = &job->request;
	int err = dir_folder_mark(folder);
	if (err) {
		dir_fail(n, r, err, "lock file");
		return;
	}
	bool exchanged = false;
	err = change_name(n, r, folder, name, temp, &exchanged);
	if (err && surely_unchanged(err)) {
		dir_fail(n, r, err, temp ? "rename" : "unlink");
		return;
	}
	if (!err) {
		if (temp)
			dir_temp_close(n, temp, true);
		err = dir_folder_sync(folder);
		if (exchanged)
			leave_old(n, temp, err == 0);
	}
	if (err) {
		char text[96];
		ps_request_finish(&n->base, r, PS_NET_UNKNOWN, "may not last: %s",
		                  strerror_r(err, text, sizeof(text)));
		return;
	}
	r->token.len = 0;
	finish_done(n, r);
}

static void swap(struct dir_network *n, struct ps_blocking_job *job, struct dir_folder *folder,
                 const char *name, struct dir_temp *temp)
{
	int err = dir_folder_lock(folder);
	if (err)
		dir_fail(n, &job->request, err, "lock");
	else if (!guard_passes(n, &job->request, folder, name))
		return;
	else if (!ps_blocking_commit(job))
		finish_unwanted(n, &job->request);
	else
		change_folder(n, job, folder, name, temp);
}

static void store(struct dir_network *n, struct ps_blocking_job *job, struct dir_folder *folder,
                  const char *name)
{
	struct dir_temp temp = {.fd = -1};
	/* Without the lock this proves nothing, but a guard that fails now saves the write. */
	if (!guard_passes(n, &job->request, folder, name))
		return;
	int err = dir_temp_write(n, &temp, job);
	if ((err == ENOSPC || err == EDQUOT) && dir_spares_drop(n)) {
		dir_temp_close(n, &temp, false);
		err = dir_temp_write(n, &temp, job);
	}
	if (err == ECANCELED)
		finish_unwanted(n, &job->request);
	else if (err)
		dir_fail(n, &job->request, err, "write");
	else
		swap(n, job, folder, name, &temp);
	dir_temp_close(n, &temp, false);
}

static void run_write(struct dir_network *n, struct ps_blocking_job *job)
{
	struct ps_net_request *r = &job->request;
	struct dir_folder folder;
	char name[DIR_FILE_NAME];
	dir_file_name(&r->name, name);
	int err = dir_folder_open(n, r->name.bytes[0], &folder);
	if (err)
		dir_fail(n, r, err, "folder");
	else if (r->op == PS_NET_REMOVE)
		swap(n, job, &folder, name, NULL);
	else
		store(n, job, &folder, name);
	dir_folder_close(&folder);
}

/* Who is not waited for any more when its turn comes leaves before it writes. */
static void run_in_turn(struct dir_network *n, struct ps_blocking_job *job)
{
	enum ps_token_class class = job->request.class;
	dir_turn_take(&n->turns, class);
	if (ps_blocking_wanted(job))
		run_write(n, job);
	else
		finish_unwanted(n, &job->request);
	dir_turn_give(&n->turns, class);
}

void dir_run(ps_network *network, struct ps_blocking_job *job)
{
	struct dir_network *n = dir_of(network);
	if (job->request.op == PS_NET_LIST)
		dir_run_list(n, job);
	else if (ps_net_op_writes(job->request.op))
		run_in_turn(n, job);
	else
		run_read(n, job);
}
