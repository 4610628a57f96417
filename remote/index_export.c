/* The index into a file: the newest head, and each pad of its runs, as the network has them. Several are
 * fetched at once, and each is written to its place as it comes; the file has its name when all are durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <padstone/remote_index.h>

#include "base/fail.h"
#include "base/files.h"
#include "remote/index_file.h"
#include "remote/raw_pad.h"

enum { MOST_TRIES = 8 };

struct out_pad {
	struct ps_raw_pad fetch; /* first: a task */
	struct ps_lane lane;
	struct sync_tasks *tasks;
	uint64_t offset;
};

struct out {
	struct ps_sync s;
	struct sync_head head;
	struct ps_pad_slot head_slot;
	struct ps_index_file_header header;
	struct ps_file_temp *temp;
	const char *path;
	struct sync_tasks tasks;
	struct out_pad *all;
	struct ps_lane *idle;
	uint64_t pads;
	uint32_t lanes, largest;
	bool moved; /* what failed may have failed because another head is there by now */
};

/* ---- one pad ---- */

static void pad_ended(struct ps_raw_pad *fetch)
{
	struct out_pad *pad = (struct out_pad *)(void *)fetch;
	ps_lanes_back(&pad->tasks->lanes, &pad->lane);
}

static struct out_pad *pad_of(struct ps_lane *lane)
{
	return (struct out_pad *)(void *)((char *)lane - offsetof(struct out_pad, lane));
}

static void rest(struct out *o, struct out_pad *pad)
{
	ps_net_buffer_release(pad->fetch.record);
	pad->fetch.record = NULL;
	ps_lane_rest(&o->idle, &pad->lane);
}

static int write_at(const struct out *o, const void *data, size_t len, uint64_t offset)
{
	for (size_t done = 0; done < len;) {
		ssize_t n =
		    pwrite(o->temp->fd, (const uint8_t *)data + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ps_fail_errno(n < 0 ? errno : EIO, "cannot write '%s'", o->path);
		done += (size_t)n;
	}
	return PS_OK;
}

/* What is lost may only have been replaced: then it is read from the newer head's. */
static int pad_failed(struct out *o, const struct ps_task *task)
{
	int err = ps_task_error(task);
	o->moved = err == PS_ELOST || err == PS_EROLLBACK || err == PS_EFORK || err == PS_ESUPERSEDED ||
	           err == PS_EAUTH;
	return ps_fail(err, "the index on the network: %.300s", task->sentence);
}

static int take_back(struct out *o)
{
	struct ps_lane *lane;
	int err = sync_tasks_next(&o->tasks, &lane);
	if (err != PS_OK)
		return err;
	struct out_pad *pad = pad_of(lane);
	const struct ps_task *task = &pad->fetch.fetch.task;
	if (task->fate != PS_FATE_DONE)
		err = pad_failed(o, task);
	else
		err = write_at(o, pad->fetch.record->bytes, pad->fetch.record->len, pad->offset);
	o->s.op.shown.pads_done += err == PS_OK;
	o->s.op.shown.fetched += err == PS_OK;
	rest(o, pad);
	return err;
}

static int fetch_pad(struct out *o, const struct ps_pad_slot *slot, unsigned role, uint64_t offset)
{
	int err = PS_OK;
	while (!o->idle && err == PS_OK)
		err = take_back(o);
	if (err != PS_OK)
		return err;
	struct out_pad *pad = pad_of(ps_lane_take(&o->idle));
	*pad = (struct out_pad){.fetch = {.r = o->s.r,
	                                  .network = o->s.r->network,
	                                  .slot = *slot,
	                                  .role = role,
	                                  .ended = pad_ended},
	                        .tasks = &o->tasks,
	                        .offset = offset};
	ps_raw_pad_init(&pad->fetch);
	err = sync_tasks_add(&o->tasks, &pad->fetch.fetch.task);
	if (err != PS_OK)
		rest(o, pad);
	return err;
}

static int fetch_run_pad(void *arg, const struct ps_index_file_pad *pad)
{
	return fetch_pad(arg, &pad->slot, PS_ROLE_RUN, pad->offset);
}

/* ---- all of them ---- */

static int count_pad(void *arg, const struct ps_index_file_pad *pad)
{
	struct out *o = arg;
	o->pads++;
	o->largest = pad->bytes > o->largest ? pad->bytes : o->largest;
	return PS_OK;
}

static int plan(struct out *o)
{
	struct ps_remote_plan plan = {.exact = 1};
	ps_index_file_size(&o->head.head, &o->header);
	o->pads = 1;
	o->largest = o->header.head;
	(void)!ps_index_file_each(&o->head.head, o->header.head, count_pad, o);
	plan.record_bytes = o->header.bytes - PS_INDEX_FILE_HEADER;
	plan.requests = o->pads;
	plan.price = ps_manager_price(o->s.r, &plan, 0, plan.record_bytes);
	o->s.op.shown.pads_total = o->pads;
	o->s.op.shown.pads_done = 0;
	return ps_operation_plan(&o->s.op, &plan, 0, o->s.r->options.max_cost);
}

static int begin_lanes(struct out *o)
{
	struct ps_memory *memory = &o->s.r->memory;
	o->idle = NULL;
	o->lanes = ps_lanes_count(o->s.r, 2 * (uint64_t)o->largest, o->pads);
	o->all = ps_memory_zalloc(memory, o->lanes * sizeof(*o->all));
	if (!o->all)
		return ps_fail(PS_ENOMEM, "no memory for %u pads on their way", o->lanes);
	for (uint32_t i = 0; i < o->lanes; i++)
		rest(o, &o->all[i]);
	return sync_tasks_begin(&o->s, &o->tasks);
}

static void drop_pad(void *arg, struct ps_lane *lane)
{
	rest(arg, pad_of(lane));
}

static void end_lanes(struct out *o)
{
	sync_tasks_end(&o->tasks, drop_pad, o);
	ps_memory_free(&o->s.r->memory, o->all, o->lanes * sizeof(*o->all));
	o->all = NULL;
	o->idle = NULL;
}

static int write_header(struct out *o)
{
	struct ps_index_file_bytes bytes;
	ps_index_file_encode(&o->header, &bytes);
	return write_at(o, &bytes, sizeof(bytes), 0);
}

static int fetch_all(struct out *o)
{
	int err = begin_lanes(o);
	if (err == PS_OK)
		err = fetch_pad(o, &o->head_slot, PS_ROLE_HEAD, PS_INDEX_FILE_HEADER);
	if (err == PS_OK)
		err = ps_index_file_each(&o->head.head, o->header.head, fetch_run_pad, o);
	while (err == PS_OK && o->tasks.on_way > 0)
		err = take_back(o);
	end_lanes(o);
	return err;
}

/* ---- the head ---- */

/* As a sync would take it: the anchor is at it. */
static int look(struct out *o)
{
	struct ps_sync *s = &o->s;
	sync_head_done(&o->head);
	int err = sync_look(s, &o->head);
	if (err == PS_OK && !o->head.there && !s->base.there)
		err = ps_fail(PS_ENOTFOUND, "no head was used here yet");
	if (err == PS_OK && !o->head.there) {
		err = ps_head_copy(&o->head.head, &s->base.head);
		memcpy(o->head.hash, s->base.hash, sizeof(o->head.hash));
		o->head.there = err == PS_OK;
	}
	return err == PS_OK ? ps_index_file_head_slot(s->r, &o->head, &o->head_slot) : err;
}

static bool shows_another(struct out *o)
{
	struct sync_head now = {0};
	int err = sync_fetch_head(&o->s, &now);
	bool another = err == PS_OK && now.there && now.head.counter > o->head.head.counter;
	sync_head_done(&now);
	return another;
}

/* Of one head whole: begun again where another came, and a pad of the one before was written anew. */
static int one_try(struct out *o)
{
	char sentence[PS_NET_SENTENCE * 2];
	o->moved = false;
	int err = look(o);
	if (err == PS_OK)
		err = plan(o);
	if (err == PS_OK && ftruncate(o->temp->fd, 0) != 0)
		err = ps_fail_errno(errno, "cannot write '%s'", o->path);
	if (err == PS_OK)
		err = fetch_all(o);
	if (err == PS_OK)
		return write_header(o);
	(void)snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	o->moved = o->moved && shows_another(o);
	return ps_fail(err, "%s", sentence);
}

static int fill(struct out *o)
{
	for (unsigned tries = 1;; tries++) {
		int err = one_try(o);
		if (err == PS_OK || !o->moved)
			return err;
		if (tries == MOST_TRIES)
			return ps_fail(PS_EBUSY, "other machines were faster %u times", tries);
	}
}

/* ---- the file ---- */

static int split(const char *path, char folder[PATH_MAX], const char **leaf)
{
	const char *slash = strrchr(path, '/');
	size_t len = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
	if (len >= PATH_MAX)
		return ps_fail(PS_EINVAL, "%.200s…: the path is too long", path);
	*leaf = slash ? slash + 1 : path;
	memcpy(folder, slash ? path : ".", slash ? len : 1);
	folder[slash ? len : 1] = '\0';
	return **leaf ? PS_OK : ps_fail(PS_EINVAL, "'%s' names no file", path);
}

static int keep(struct out *o, int folder, const char *leaf, bool replace)
{
	if (fsync(o->temp->fd) != 0) {
		int err = ps_fail_errno(errno, "cannot write '%s'", o->path);
		ps_file_temp_drop(o->temp);
		return err;
	}
	int err = ps_file_temp_keep(o->temp, leaf, replace);
	if (err == PS_OK && fsync(folder) != 0)
		err = ps_fail_errno(errno, "the folder of '%s' cannot be synced", o->path);
	return err;
}

/* Told before the network is asked; what counts is the rename that never replaces. */
static int check_free(int folder, const char *leaf, const char *path, bool replace)
{
	if (replace)
		return ps_file_check_target(path);
	return faccessat(folder, leaf, F_OK, AT_SYMLINK_NOFOLLOW) != 0
	           ? PS_OK
	           : ps_fail(PS_EEXIST, "'%s' is there already", path);
}

static int write_file(struct out *o, bool replace)
{
	char folder[PATH_MAX];
	struct ps_file_temp temp;
	const char *leaf = NULL;
	int err = split(o->path, folder, &leaf);
	if (err != PS_OK)
		return err;
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return ps_fail_errno(errno, "cannot open the folder of '%s'", o->path);
	err = check_free(dir, leaf, o->path, replace);
	if (err == PS_OK)
		err = ps_file_temp_open(dir, leaf, 0600, &temp);
	if (err == PS_OK) {
		o->temp = &temp;
		err = fill(o);
		if (err == PS_OK)
			err = keep(o, dir, leaf, replace);
		else
			ps_file_temp_drop(&temp);
	}
	(void)close(dir);
	return err;
}

static int export(struct out *o, bool replace, struct ps_remote_index_result *result)
{
	struct ps_remote_stats stats;
	int err = ps_remote_stats(o->s.r, &stats);
	if (err == PS_OK)
		err = write_file(o, replace);
	if (err != PS_OK)
		return err;
	*result = (struct ps_remote_index_result){.head = o->head.head.counter,
	                                          .pads = o->pads,
	                                          .bytes = o->header.bytes,
	                                          .unsynced = stats.unsynced};
	ps_head_code(o->head.head.counter, o->head.hash, result->code);
	return PS_OK;
}

int ps_remote_export_index(ps_remote *r, const char *path, uint32_t replace, ps_remote_progress_fn progress,
                           void *progress_arg, struct ps_remote_index_result *result)
{
	struct out o = {.path = path};
	struct ps_remote_index_result told;
	static_assert(sizeof(told.code) == PS_HEAD_CODE, "a head code fits");
	if (!path)
		return ps_fail(PS_EINVAL, "ps_remote_export_index: the path is NULL");
	int err = sync_begin(&o.s, r, "export index", progress, progress_arg);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&o.s.op, export(&o, replace != 0, &told));
	sync_head_done(&o.head);
	err = sync_end(&o.s);
	if (err == PS_OK && result)
		*result = told;
	return err;
}
