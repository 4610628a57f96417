/* Import: the files below a folder as values. A value that has the same contents is left alone, so a call
 * that was cut off goes on. The folder is walked twice: for the plan, then for the contents. Links and
 * special files are skipped. */
#include <dirent.h>
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

struct import {
	struct ps_files_operation files;
	ps_remote *r;
	struct ps_remote_import options;
	struct ps_remote_import_result result;
	unsigned mode;
	enum ps_verify verify;
	uint64_t pads; /* taken */
	double spent;
	bool planning;
	struct ps_remote_plan plan;
	char path[PS_FILE_NAMES_PATH]; /* below the folder, of what is looked at */
};

static void skip(struct import *im, const char *why)
{
	if (im->planning)
		return;
	im->result.skipped++;
	if (im->options.finding)
		im->options.finding(im->options.finding_arg, im->path, why);
}

/* ---- one file ---- */

static void plan_file(struct import *im, uint64_t size)
{
	struct ps_remote_plan one, *plan = &im->plan;
	ps_manager_estimate(im->r, size, im->mode, PS_PAD_PRIVATE, im->verify, &one);
	plan->bytes += one.bytes;
	plan->new_pads += one.new_pads + one.reused_pads;
	plan->record_bytes += one.record_bytes;
	plan->requests += one.requests;
}

static int is_same(struct import *im, const char *key, uint64_t size, struct ps_file_source *source,
                   uint32_t *same)
{
	struct ps_remote_info info;
	int err = ps_remote_stat(im->r, key, &info);
	*same = 0;
	if (err == PS_ENOTFOUND || (err == PS_OK && (!info.exists || !info.complete)))
		return PS_OK;
	if (err == PS_OK)
		err = ps_remote_compare(im->r, key, size, ps_file_source_read, source, same);
	if (err == PS_OK && *same)
		ps_files_kept(&im->files, size, info.pads);
	if (err == PS_OK && lseek(source->fd, 0, SEEK_SET) != 0)
		err = ps_fail_errno(errno, "cannot read '%s'", im->path);
	return err;
}

/* What is left of the limits, for one put; 0 would be none. */
static int take_limits(const struct import *im, uint64_t size, struct ps_remote_put *put)
{
	if (im->options.max_pads > 0 && im->pads >= im->options.max_pads && size > 0)
		return ps_fail(PS_EQUOTA, "import: %llu pads are taken, as many as are allowed",
		               (unsigned long long)im->pads);
	if (im->options.max_cost > 0 && im->spent >= im->options.max_cost && size > 0)
		return ps_fail(PS_EQUOTA, "import: it may cost more than %g", im->options.max_cost);
	if (im->options.max_pads > im->pads)
		put->max_pads = im->options.max_pads - im->pads;
	if (im->options.max_cost > im->spent)
		put->max_cost = im->options.max_cost - im->spent;
	return PS_OK;
}

static void count_costs(struct import *im)
{
	struct ps_remote_plan one = {.new_pads = 1, .requests = 2};
	uint64_t record_bytes = ps_pad_record_bytes(im->r->payloads[im->mode]);
	im->pads += im->files.reserved;
	im->spent += (double)im->files.reserved * ps_manager_price(im->r, &one, record_bytes, 0);
}

static int put_file(struct import *im, const char *key, uint64_t size, struct ps_file_source *source)
{
	struct ps_remote_put put = {.size = sizeof(put),
	                            .replace = 1,
	                            .mode = im->options.mode,
	                            .verify = im->options.verify,
	                            .progress = ps_files_progress,
	                            .progress_arg = &im->files};
	uint32_t same;
	int err = is_same(im, key, size, source, &same);
	if (err == PS_OK && same) {
		im->result.same++;
		return PS_OK;
	}
	if (err == PS_OK)
		err = take_limits(im, size, &put);
	if (err != PS_OK)
		return err;
	err = ps_remote_put_stream(im->r, key, size, ps_file_source_read, source, &put);
	count_costs(im);
	im->result.sent_bytes = im->files.through.sent_bytes;
	if (err != PS_OK)
		return err;
	im->result.values++;
	im->result.bytes += size;
	return PS_OK;
}

static int import_open(struct import *im, struct ps_file_source *source)
{
	char key[PS_FILE_NAMES_KEY];
	struct stat st;
	if (fstat(source->fd, &st) != 0)
		return ps_fail_errno(errno, "cannot look at '%s'", im->path);
	if (!S_ISREG(st.st_mode))
		skip(im, "became something else meanwhile, and was skipped");
	else if (!ps_file_name_of_path(im->path, key))
		skip(im, "is too long for a name, and was skipped");
	else
		return ps_file_source_result(source, put_file(im, key, (uint64_t)st.st_size, source));
	return PS_OK;
}

static int import_file(struct import *im, int dir, const char *leaf, uint64_t size)
{
	struct ps_file_source source = {.f = &im->files, .path = im->path};
	if (im->planning) {
		plan_file(im, size);
		return PS_OK;
	}
	source.fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (source.fd < 0)
		return ps_fail_errno(errno, "cannot open '%s'", im->path);
	int err = import_open(im, &source);
	(void)close(source.fd);
	return err;
}

/* ---- a folder ---- */

/* A marked name beside a file that has the plain one: two files for one value. */
static bool is_second(int dir, const char *leaf)
{
	char plain[NAME_MAX + 1];
	struct stat st;
	size_t len;
	if (!ps_file_is_marked(leaf, &len) || len >= sizeof(plain))
		return false;
	memcpy(plain, leaf, len);
	plain[len] = '\0';
	return fstatat(dir, plain, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static int import_folder(struct import *im, int fd);

static int import_entry(struct import *im, int dir, const char *leaf)
{
	struct stat st;
	int fd, err;
	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? PS_OK : ps_fail_errno(errno, "cannot look at '%s'", im->path);
	if (S_ISREG(st.st_mode) && is_second(dir, leaf))
		skip(im, "stands for the same name as the file beside it, and was skipped");
	else if (S_ISREG(st.st_mode))
		return import_file(im, dir, leaf, (uint64_t)st.st_size);
	else if (!S_ISDIR(st.st_mode))
		skip(im, "is neither file nor folder, and was skipped");
	if (!S_ISDIR(st.st_mode))
		return PS_OK;
	err = ps_file_open_folder(dir, leaf, im->path, &fd);
	return err == PS_OK ? import_folder(im, fd) : err;
}

static int import_named(struct import *im, int dir, const char *leaf)
{
	size_t before = strlen(im->path);
	if (strcmp(leaf, ".") == 0 || strcmp(leaf, "..") == 0 || ps_file_is_temp(leaf))
		return PS_OK;
	if (before + strlen(leaf) + 2 > sizeof(im->path)) {
		skip(im, "has a path that is too long for a name, and was skipped");
		return PS_OK;
	}
	(void)snprintf(im->path + before, sizeof(im->path) - before, "%s%s", before > 0 ? "/" : "", leaf);
	int err = ps_operation_show(&im->files.op);
	if (err == PS_OK)
		err = import_entry(im, dir, leaf);
	im->path[before] = '\0';
	return err;
}

/* Takes the descriptor. */
static int import_folder(struct import *im, int fd)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *entry;
	int err = PS_OK;
	if (dir == NULL) {
		err = ps_fail_errno(errno, "cannot read the folder '%s'", im->path);
		(void)close(fd);
		return err;
	}
	for (errno = 0; err == PS_OK && (entry = readdir(dir)) != NULL; errno = 0)
		err = import_named(im, dirfd(dir), entry->d_name);
	if (err == PS_OK && errno != 0)
		err = ps_fail_errno(errno, "cannot read the folder '%s'", im->path);
	(void)closedir(dir);
	return err;
}

/* ---- all ---- */

static int walk(struct import *im, const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err =
	    fd >= 0 ? import_folder(im, fd) : ps_fail_errno(errno, "cannot open the folder '%s'", folder);
	return ps_operation_fail(&im->files.op, err);
}

/* The most that it can be: what is there already is not sent. */
static int show_plan(struct import *im, const char *folder)
{
	im->planning = true;
	int err = walk(im, folder);
	im->planning = false;
	if (err != PS_OK)
		return err;
	/* Each file was estimated as if it were the first: free pads are used up once. */
	struct ps_remote_plan *plan = &im->plan;
	uint64_t free = ps_manager_readers(im->r) ? 0 : ps_manager_free(im->r, PS_PAD_PRIVATE, im->mode);
	plan->reused_pads = free < plan->new_pads ? free : plan->new_pads;
	plan->new_pads -= plan->reused_pads;
	plan->price = ps_manager_price(im->r, plan, plan->record_bytes,
	                               im->verify == PS_VERIFY_READ ? plan->record_bytes : 0);
	im->files.op.shown.pads_total = plan->new_pads + plan->reused_pads;
	return ps_operation_plan(&im->files.op, plan, 0, 0);
}

static void take_options(struct import *im, const struct ps_remote_import *options)
{
	if (options)
		im->options = *options;
	if (im->options.max_pads == 0)
		im->options.max_pads = im->r->options.max_pads;
	if (im->options.max_cost <= 0)
		im->options.max_cost = im->r->options.max_cost;
	im->mode = ps_manager_mode(im->r, im->options.mode);
	im->verify = ps_manager_verify(im->r, im->options.verify);
}

int ps_remote_import(ps_remote *r, const char *folder, const struct ps_remote_import *options,
                     struct ps_remote_import_result *result)
{
	struct import im = {.r = r};
	if (!folder || (options && options->size != sizeof(*options)))
		return ps_fail(PS_EINVAL,
		               "ps_remote_import: the folder is NULL, or the options have another size");
	int err = ps_operation_begin(&im.files.op, r, "import", NULL, 0, options ? options->progress : NULL,
	                             options ? options->progress_arg : NULL);
	if (err != PS_OK)
		return err;
	take_options(&im, options);
	if (show_plan(&im, folder) == PS_OK)
		(void)walk(&im, folder);
	err = ps_operation_end(&im.files.op);
	if (result)
		*result = im.result;
	return err;
}
