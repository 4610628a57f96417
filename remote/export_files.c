/* Export: values as files. What is there and the same is left alone, so a call that was cut off goes on;
 * every file is whole or not there. Nothing is written outside the folder: keys become paths that do not lead
 * out of it (file_names.h), and links in it are not followed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <padstone/remote_files.h>

#include "base/fail.h"
#include "base/files.h"
#include "remote/file_names.h"
#include "remote/files_operation.h"

struct export
{
	struct ps_files_operation files;
	ps_remote *r;
	struct ps_remote_export options;
	struct ps_remote_export_result result;
	int folder;
	double spent;
};

struct target {
	int dir; /* the folder that it lies in */
	char leaf[NAME_MAX + 1];
	char path[PS_FILE_NAMES_PATH]; /* for sentences */
};

/* ---- where to ---- */

/* The folder of a component, made if it is not there; under the mark where a file has its name. */
static int enter(int dir, const char *component, const char *path, int *inner)
{
	char marked[NAME_MAX + 1];
	struct stat st;
	(void)snprintf(marked, sizeof(marked), "%.253s", component);
	if (fstatat(dir, component, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		(void)snprintf(marked, sizeof(marked), "%.253s%%=", component);
	if (mkdirat(dir, marked, 0777) != 0 && errno != EEXIST)
		return ps_fail_errno(errno, "cannot make the folder '%s'", path);
	return ps_file_open_folder(dir, marked, path, inner);
}

static void find_leaf(struct target *target, const char *component)
{
	struct stat st;
	bool taken = fstatat(target->dir, component, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
	(void)snprintf(target->leaf, sizeof(target->leaf), "%.253s%s", component, taken ? "%=" : "");
}

static int find_target(const struct export *ex, const char *key, struct target *target)
{
	char path[PS_FILE_NAMES_PATH], *at = path, *slash;
	int err = PS_OK;
	ps_file_path_of_name(key, path);
	memcpy(target->path, path, sizeof(path));
	target->dir = fcntl(ex->folder, F_DUPFD_CLOEXEC, 0);
	if (target->dir < 0)
		return ps_fail_errno(errno, "cannot open the folder of '%s'", path);
	for (; err == PS_OK && (slash = strchr(at, '/')) != NULL; at = slash + 1) {
		int inner = -1;
		*slash = '\0';
		err = enter(target->dir, at, target->path, &inner);
		if (err == PS_OK) {
			(void)close(target->dir);
			target->dir = inner;
		}
	}
	if (err == PS_OK)
		find_leaf(target, at);
	else
		(void)close(target->dir);
	return err;
}

/* ---- what is there ---- */

/* *same: the file has this value. PS_EEXIST: something else is there, and not to be replaced. */
static int look_at_file(struct export *ex, const struct target *target, const char *key, bool *same)
{
	struct ps_file_source source = {.f = &ex->files, .path = target->path};
	struct stat st;
	uint32_t equal = 0;
	int err = PS_OK;
	*same = false;
	source.fd = openat(target->dir, target->leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (source.fd < 0 && errno == ENOENT)
		return PS_OK;
	if (source.fd >= 0 && fstat(source.fd, &st) == 0 && S_ISREG(st.st_mode)) {
		err =
		    ps_remote_compare(ex->r, key, (uint64_t)st.st_size, ps_file_source_read, &source, &equal);
		err = ps_file_source_result(&source, err);
	} else {
		err = ps_fail(PS_EEXIST, "'%s' is there already and is no file", target->path);
	}
	if (source.fd >= 0)
		(void)close(source.fd);
	*same = err == PS_OK && equal;
	if (err == PS_OK && !equal && !ex->options.replace)
		err = ps_fail(PS_EEXIST, "'%s' is there already, with other contents", target->path);
	return err;
}

/* ---- writing ---- */

struct sink {
	int fd;
	const char *path;
	uint64_t bytes;
	int error; /* of writing, with its sentence: a get has another for it */
	char sentence[512];
};

static int write_sink(void *arg, const void *data, size_t len)
{
	struct sink *sink = arg;
	int err = ps_file_write(sink->fd, sink->path, data, len);
	sink->bytes += len;
	if (err != PS_OK) {
		sink->error = err;
		(void)snprintf(sink->sentence, sizeof(sink->sentence), "%s", ps_last_error_message());
	}
	return err;
}

/* On disk before it has its name. */
static int finish_file(const struct ps_file_temp *temp, const char *path, uint64_t time_ns)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
	                            {(time_t)(time_ns / 1000000000), (long)(time_ns % 1000000000)}};
	if (futimens(temp->fd, times) != 0)
		return ps_fail_errno(errno, "cannot set the time of '%s'", path);
	if (fsync(temp->fd) != 0)
		return ps_fail_errno(errno, "cannot write '%s'", path);
	return PS_OK;
}

static int fetch_to(struct export *ex, const struct ps_remote_info *info, struct sink *sink)
{
	struct ps_remote_get get = {.size = sizeof(get),
	                            .unverified = ex->options.unverified,
	                            .progress = ps_files_progress,
	                            .progress_arg = &ex->files};
	int err = ps_remote_get_stream(ex->r, info->key, 0, PS_SIZE_UNKNOWN, write_sink, sink, &get);
	return err != PS_OK && sink->error != PS_OK ? ps_fail(sink->error, "%s", sink->sentence) : err;
}

static int write_file(struct export *ex, const struct target *target, const struct ps_remote_info *info)
{
	struct sink sink = {.path = target->path};
	struct ps_file_temp temp;
	int err = ps_file_temp_open(target->dir, target->leaf, 0666, &temp);
	if (err != PS_OK)
		return err;
	sink.fd = temp.fd;
	err = fetch_to(ex, info, &sink);
	if (err == PS_OK)
		err = finish_file(&temp, target->path, info->time_ns);
	if (err != PS_OK) {
		ps_file_temp_drop(&temp);
		return err;
	}
	err = ps_file_temp_keep(&temp, target->leaf, ex->options.replace);
	if (err != PS_OK)
		return err;
	ex->result.values++;
	ex->result.bytes += sink.bytes;
	return PS_OK;
}

/* ---- a value ---- */

static void price_of(const ps_remote *r, const struct ps_remote_info *info, struct ps_remote_plan *plan)
{
	uint32_t chunk = r->payloads[ps_manager_mode(r, info->mode)];
	uint64_t rest = info->size % chunk;
	*plan = (struct ps_remote_plan){.bytes = info->size, .requests = info->pads};
	plan->record_bytes = info->size / chunk * ps_pad_record_bytes(chunk);
	plan->record_bytes += rest > 0 ? ps_pad_record_bytes(rest) : 0;
	plan->price = ps_manager_price(r, plan, 0, plan->record_bytes);
}

static int spend(struct export *ex, const struct ps_remote_info *info)
{
	struct ps_remote_plan plan;
	double limit = ex->r->options.max_cost;
	price_of(ex->r, info, &plan);
	if (limit > 0 && ex->spent + plan.price > limit)
		return ps_fail(PS_EQUOTA, "export: it costs more than %g, which is allowed", limit);
	ex->spent += plan.price;
	return PS_OK;
}

/* Damage and names that are taken cost only themselves: the rest is still wanted. */
static int forgive(struct export *ex, int err, const char *key)
{
	char sentence[512];
	switch (err) {
	case PS_EEXIST:
		ex->result.refused++;
		break;
	case PS_ELOST:
	case PS_EAUTH:
	case PS_EROLLBACK:
	case PS_EFORK:
	case PS_ESUPERSEDED:
		ex->result.damaged++;
		break;
	case PS_ENOTFOUND: /* removed since it was listed */
		return PS_OK;
	default:
		return err;
	}
	(void)snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	if (ex->options.finding)
		ex->options.finding(ex->options.finding_arg, key, err, sentence);
	return PS_OK;
}

static int export_value(struct export *ex, const struct ps_remote_info *info)
{
	struct target target;
	bool same;
	if (!info->complete && !ex->options.unverified)
		return ps_fail(
		    PS_ELOST,
		    "\"%.64s\" is not confirmed: a health check confirms it, or finds what is wrong",
		    info->key);
	int err = find_target(ex, info->key, &target);
	if (err != PS_OK)
		return err;
	err = look_at_file(ex, &target, info->key, &same);
	if (err == PS_OK && same) {
		ex->result.same++;
		ps_files_kept(&ex->files, info->size, info->pads);
	} else if (err == PS_OK) {
		err = spend(ex, info);
		if (err == PS_OK)
			err = write_file(ex, &target, info);
	}
	(void)close(target.dir);
	return err;
}

static int export_one(void *arg, const struct ps_remote_info *info)
{
	struct export *ex = arg;
	struct ps_operation *op = &ex->files.op;
	if (!info->exists)
		return 0;
	int err = ps_operation_show(op);
	if (err == PS_OK)
		err = forgive(ex, export_value(ex, info), info->key);
	return ps_operation_fail(op, err) != PS_OK || op->error != PS_OK;
}

/* ---- all ---- */

static int plan_one(void *arg, const struct ps_remote_info *info)
{
	struct export *ex = arg;
	struct ps_remote_plan one, *plan = &ex->files.op.shown.plan;
	if (!info->exists)
		return 0;
	price_of(ex->r, info, &one);
	plan->bytes += one.bytes;
	plan->requests += one.requests;
	plan->record_bytes += one.record_bytes;
	plan->price += one.price;
	return 0;
}

/* The most that it can be: what is there already is not fetched. */
static int show_plan(struct export *ex)
{
	struct ps_operation *op = &ex->files.op;
	int err = ps_remote_list(ex->r, ex->options.prefix, plan_one, ex);
	if (err != PS_OK)
		return ps_operation_fail(op, err);
	struct ps_remote_plan plan = op->shown.plan;
	op->shown.pads_total = plan.requests;
	return ps_operation_plan(op, &plan, 0, 0);
}

static int open_folder(const char *folder, int *fd)
{
	if (mkdir(folder, 0777) != 0 && errno != EEXIST)
		return ps_fail_errno(errno, "cannot make the folder '%s'", folder);
	*fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd >= 0 ? PS_OK : ps_fail_errno(errno, "cannot open the folder '%s'", folder);
}

static void export_all(struct export *ex, const char *folder)
{
	struct ps_operation *op = &ex->files.op;
	if (show_plan(ex) != PS_OK || ps_operation_fail(op, open_folder(folder, &ex->folder)) != PS_OK)
		return;
	(void)ps_operation_fail(op, ps_remote_list(ex->r, ex->options.prefix, export_one, ex));
	(void)close(ex->folder);
}

int ps_remote_export(ps_remote *r, const char *folder, const struct ps_remote_export *options,
                     struct ps_remote_export_result *result)
{
	struct export ex = {.r = r, .folder = -1};
	if (!folder || (options && options->size != sizeof(*options)))
		return ps_fail(PS_EINVAL,
		               "ps_remote_export: the folder is NULL, or the options have another size");
	if (options)
		ex.options = *options;
	int err = ps_operation_begin(&ex.files.op, r, "export", NULL, 0, ex.options.progress,
	                             ex.options.progress_arg);
	if (err != PS_OK)
		return err;
	export_all(&ex, folder);
	err = ps_operation_end(&ex.files.op);
	if (result)
		*result = ex.result;
	return err;
}
