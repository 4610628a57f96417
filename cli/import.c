/* import: a folder of the file system merged into a folder of the catalogue, both sorted, both from the top
 * down: a folder's own object is complete before what is in it is begun, so that no folder is written again
 * for each child. */
#include "cli/import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <padstone/base_store.h>

#include "base/fail.h"
#include "base/files.h"

struct names {
	char **names;
	size_t count, room;
};

static void names_done(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->names[i]);
	free(n->names);
}

static int names_add(struct names *n, const char *name)
{
	if (n->count == n->room) {
		size_t room = n->room == 0 ? 64 : n->room * 2;
		char **grown = reallocarray(n->names, room, sizeof(*grown));

		if (grown == NULL)
			return ps_fail(PS_ENOMEM, "no memory for the names of a folder");
		n->names = grown;
		n->room = room;
	}
	n->names[n->count] = strdup(name);
	if (n->names[n->count] == NULL)
		return ps_fail(PS_ENOMEM, "no memory for the names of a folder");
	n->count++;
	return PS_OK;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names in the folder behind fd, sorted. */
static int read_names(int fd, const char *path, struct names *n)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = PS_OK;
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *d;

	if (dir == NULL) {
		if (own >= 0)
			close(own);
		return ps_fail_errno(errno, "cannot read the folder '%s'", path);
	}
	errno = 0;
	while (err == PS_OK && (d = readdir(dir)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			err = names_add(n, d->d_name);
	if (err == PS_OK && errno != 0)
		err = ps_fail_errno(errno, "cannot read the folder '%s'", path);
	closedir(dir);
	if (n->count > 0)
		qsort(n->names, n->count, sizeof(*n->names), compare_names);
	return err;
}

/* What a bar needs to know beforehand. Errors are left to the import itself. */
static uint64_t count_bytes(int fd, int depth)
{
	DIR *dir = fdopendir(fd);
	uint64_t sum = 0;
	struct dirent *d;
	struct stat st;

	if (dir == NULL) {
		close(fd);
		return 0;
	}
	while ((d = readdir(dir)) != NULL && !cli_interrupted()) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
		    fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
		if (S_ISDIR(st.st_mode) && depth < CAT_DEPTH_MAX) {
			int child =
			    openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			sum += child >= 0 ? count_bytes(child, depth + 1) : 0;
		}
	}
	closedir(dir);
	return sum;
}

static char *join(const char *path, const char *name)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", name) < 0)
		return NULL;
	return joined;
}

static bool same_entry(const struct cat_entry *a, const struct cat_entry *b)
{
	return a->type == b->type && a->mode == b->mode && a->mtime.sec == b->mtime.sec &&
	       a->mtime.nsec == b->mtime.nsec && a->size == b->size && a->id == b->id &&
	       (a->target == NULL) == (b->target == NULL) &&
	       (a->target == NULL || strcmp(a->target, b->target) == 0);
}

static void count_entry(struct cat_header *header, const struct cat_entry *entry)
{
	switch (entry->type) {
	case CAT_FILE:
		header->files++;
		header->bytes += entry->size;
		break;
	case CAT_FOLDER:
		header->folders++;
		break;
	case CAT_LINK:
		header->links++;
		break;
	}
}

/* The entry takes the place of old (may be NULL; of the same type) in the folder, with what that means for
 * counts. Takes the entry's name away when it succeeds. */
static int settle(struct import *im, struct import_folder *folder, const struct cat_entry *old,
                  struct cat_entry *entry, bool stored)
{
	bool changed = stored || old == NULL || !same_entry(old, entry);
	bool counted = entry->type != CAT_FOLDER;
	int err;

	if (changed && old != NULL && old->type == CAT_FILE) {
		im->header.bytes -= old->size < im->header.bytes ? old->size : im->header.bytes;
		im->header.bytes += entry->size;
	}
	if (old == NULL)
		count_entry(&im->header, entry);
	im->counts.folders += counted ? 0 : 1;
	if (counted)
		*(old == NULL ? &im->counts.added : changed ? &im->counts.changed : &im->counts.same) += 1;
	err = cat_folder_add(&folder->next, entry);
	if (err != PS_OK)
		return err;
	entry->name = NULL; /* next owns it */
	entry->target = NULL;
	if (old != NULL)
		folder->at++; /* its place in `next` is taken now */
	if (!changed)
		return PS_OK;
	folder->dirty = true;
	return import_count(im, folder, stored && entry->size <= CLI_STREAM_BYTES ? entry->size : 0);
}

/* Passes the current entry of `old` on as it is. */
static int keep_old(struct import_folder *folder)
{
	struct cat_entry *old = &folder->old.entries[folder->at];
	int err = cat_folder_add(&folder->next, old);

	if (err != PS_OK)
		return err;
	old->name = NULL; /* next owns it */
	old->target = NULL;
	folder->at++;
	return PS_OK;
}

static int drop_old(struct import *im, struct import_folder *folder)
{
	struct cat_entry *old = &folder->old.entries[folder->at];
	int err = import_drop(im, old);

	if (err != PS_OK)
		return err;
	if (old->type != CAT_FOLDER)
		im->counts.removed++;
	folder->dirty = true;
	folder->at++;
	return import_count(im, folder, 0);
}

static int import_file(struct import *im, struct import_folder *folder, const char *path,
                       const struct cat_entry *old, struct cat_entry *entry)
{
	bool stored = false;
	struct stat st;
	int fd = openat(folder->fd, entry->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC),
	    err;

	if (fd < 0) {
		err = ps_fail_errno(errno, "cannot open '%s'", path);
		return IMPORT_UNREADABLE;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		err = ps_fail(PS_EIO, "'%s' changed while it was looked at", path);
		return IMPORT_UNREADABLE;
	}
	if (st.st_nlink > 1)
		im->counts.hard_links++;
	err = import_contents(im, fd, path, old, entry, &stored);
	close(fd);
	return err == PS_OK ? settle(im, folder, old, entry, stored) : err;
}

static int import_link(struct import *im, struct import_folder *folder, const char *path,
                       const struct cat_entry *old, struct cat_entry *entry)
{
	char target[CAT_TARGET_MAX + 1];
	char *name = entry->name;
	ssize_t len = readlinkat(folder->fd, name, target, sizeof(target));
	int err;

	if (len <= 0 || len > CAT_TARGET_MAX) {
		(void)ps_fail_errno(len < 0 ? errno : EIO, "cannot read the link '%s'", path);
		return IMPORT_UNREADABLE;
	}
	err = cat_entry_name(entry, name, strlen(name), target, (size_t)len);
	if (err != PS_OK) {
		entry->name = name;
		return err;
	}
	free(name);
	entry->size = (uint64_t)len;
	return settle(im, folder, old, entry, old == NULL || strcmp(old->target, entry->target) != 0);
}

/* Only the folder's own entry; what is in it comes when this folder is complete. */
static int import_subfolder(struct import *im, struct import_folder *folder, const struct cat_entry *old,
                            struct cat_entry *entry)
{
	int err = PS_OK;

	if (old != NULL) {
		entry->id = old->id;
	} else {
		err = import_new_folder(im, &entry->id);
		if (err == PS_OK)
			err = id_set_add(&folder->fresh, entry->id);
	}
	return err == PS_OK ? settle(im, folder, old, entry, false) : err;
}

static bool is_store_itself(const struct import *im, const struct stat *st)
{
	return st->st_dev == im->store.st_dev && st->st_ino == im->store.st_ino;
}

static int import_as_its_type(struct import *im, struct import_folder *folder, const char *path,
                              const struct cat_entry *old, struct cat_entry *entry)
{
	switch (entry->type) {
	case CAT_FILE:
		return import_file(im, folder, path, old, entry);
	case CAT_LINK:
		return import_link(im, folder, path, old, entry);
	case CAT_FOLDER:
		break;
	}
	return import_subfolder(im, folder, old, entry);
}

/* Something that the source has and the catalogue may have (`old` is at folder->at then). Failures that cost
 * only this one are warnings. */
static int import_one(struct import *im, struct import_folder *folder, const char *path, const char *name,
                      struct cat_entry *old)
{
	struct cat_entry entry = {0};
	struct stat st;
	bool gone = fstatat(folder->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0;
	int err;

	if (gone || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) ||
	    is_store_itself(im, &st)) {
		cli_warn(im->cli, "'%s' is left out: %s", path,
		         gone                       ? "it went away"
		         : is_store_itself(im, &st) ? "it is the store"
		                                    : "it is neither file, folder nor symbolic link");
		im->counts.skipped++;
		return old != NULL ? keep_old(folder) : PS_OK;
	}
	entry.type = S_ISREG(st.st_mode) ? CAT_FILE : S_ISDIR(st.st_mode) ? CAT_FOLDER : CAT_LINK;
	entry.mode = st.st_mode & 07777;
	entry.mtime = (struct cat_time){st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec};
	if (old != NULL && old->type != entry.type) {
		err = drop_old(im, folder);
		old = NULL;
		if (err != PS_OK)
			return err;
	}
	err = cat_entry_name(&entry, name, strlen(name), NULL, 0);
	if (err == PS_OK)
		err = import_as_its_type(im, folder, path, old, &entry);
	cat_entry_done(&entry);
	if (err == IMPORT_UNREADABLE) {
		cli_warn(im->cli, "%s", ps_last_error_message());
		im->counts.failed++;
		return old != NULL ? keep_old(folder) : PS_OK;
	}
	return err;
}

/* Merges the sorted names of the source with the entries of the catalogue. */
static int merge(struct import *im, struct import_folder *folder, const struct names *n)
{
	size_t i = 0;
	int err = PS_OK;

	while (err == PS_OK && (i < n->count || folder->at < folder->old.count)) {
		struct cat_entry *old =
		    folder->at < folder->old.count ? &folder->old.entries[folder->at] : NULL;
		int order = old == NULL ? -1 : i == n->count ? 1 : strcmp(n->names[i], old->name);
		char *path;

		if (cli_interrupted())
			return ps_fail(PS_ECANCELED, "interrupted; what was imported so far is kept");
		if (order > 0) {
			err = im->cli->remove_gone ? drop_old(im, folder) : keep_old(folder);
			continue;
		}
		path = join(folder->path, n->names[i]);
		if (path == NULL)
			return ps_fail(PS_ENOMEM, "no memory for a path");
		err = import_one(im, folder, path, n->names[i], order == 0 ? old : NULL);
		free(path);
		i++;
	}
	return err;
}

static int import_folder(struct import *im, int fd, const char *path, ps_id id, bool fresh, int depth);

static int import_children(struct import *im, const struct import_folder *folder, int depth)
{
	int err = PS_OK;

	for (size_t i = 0; i < folder->next.count && err == PS_OK; i++) {
		const struct cat_entry *entry = &folder->next.entries[i];
		char *path;
		int fd;

		if (entry->type != CAT_FOLDER)
			continue;
		fd = openat(folder->fd, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue; /* kept in the catalogue, gone from the source */
		path = join(folder->path, entry->name);
		if (path == NULL)
			err = ps_fail(PS_ENOMEM, "no memory for a path");
		if (fd < 0 && path != NULL) {
			cli_warn(im->cli, "cannot open the folder '%s': %s", path, strerror(errno));
			im->counts.failed++;
		} else if (path != NULL) {
			err = import_folder(im, fd, path, entry->id, id_set_has(&folder->fresh, entry->id),
			                    depth + 1);
		}
		free(path);
		if (fd >= 0)
			close(fd);
	}
	return err;
}

static int load_old(struct import *im, struct import_folder *folder, bool fresh, int depth)
{
	int err = id_set_add(&im->seen, folder->id);

	if (err == PS_OK && depth > CAT_DEPTH_MAX)
		err = ps_fail(PS_ERANGE, "'%s' is nested more than %d deep", folder->path, CAT_DEPTH_MAX);
	if (err != PS_OK || fresh)
		return err;
	err = cat_load_folder(im->s, folder->id, &folder->old);
	if (err == PS_ENOTFOUND)
		err = ps_fail(PS_ECORRUPT, "the catalogue's object of '%s' is gone", folder->path);
	return err;
}

static int import_folder(struct import *im, int fd, const char *path, ps_id id, bool fresh, int depth)
{
	struct import_folder folder = {.id = id, .path = path, .fd = fd};
	struct names n = {0};
	int err = load_old(im, &folder, fresh, depth);

	if (err == PS_OK && read_names(fd, path, &n) != PS_OK) {
		/* Kept as it was, since nobody knows what is gone. */
		cli_warn(im->cli, "%s", ps_last_error_message());
		im->counts.failed++;
	} else if (err == PS_OK) {
		err = merge(im, &folder, &n);
		if (err == PS_OK)
			err = import_folder_write(im, &folder);
		free(folder.written); /* not to be held while its children come */
		folder.written = NULL;
		if (err == PS_OK)
			err = import_children(im, &folder, depth);
	}
	/* An interrupted import keeps what it has: the folder so far is a valid one. */
	if (err == PS_ECANCELED && import_folder_write(im, &folder) != PS_OK)
		err = PS_EIO;
	names_done(&n);
	import_folder_done(&folder);
	return err;
}

/* The folder `name` of the folder at id, made if need be; with the mode and time of st, where given. */
static int descend(struct import *im, ps_id id, const char *name, const struct stat *st, ps_id *child)
{
	struct import_folder folder = {.id = id, .path = name, .fd = -1};
	struct cat_entry entry = {.type = CAT_FOLDER, .mode = 0755, .mtime = {time(NULL), 0}}, *old = NULL;
	int err = cat_load_folder(im->s, id, &folder.old);

	while (err == PS_OK && folder.at < folder.old.count &&
	       strcmp(folder.old.entries[folder.at].name, name) < 0)
		err = keep_old(&folder);
	if (err == PS_OK && folder.at < folder.old.count &&
	    strcmp(folder.old.entries[folder.at].name, name) == 0)
		old = &folder.old.entries[folder.at];
	if (old != NULL && old->type != CAT_FOLDER)
		err = ps_fail(PS_EEXIST, "'%s' in the catalogue is not a folder", name);
	if (err == PS_OK && old != NULL)
		entry = *old;
	if (st != NULL) {
		entry.mode = st->st_mode & 07777;
		entry.mtime = (struct cat_time){st->st_mtim.tv_sec, (uint32_t)st->st_mtim.tv_nsec};
	}
	entry.name = NULL;
	if (err == PS_OK)
		err = cat_entry_name(&entry, name, strlen(name), NULL, 0);
	if (err == PS_OK)
		err = import_subfolder(im, &folder, old, &entry);
	if (err == PS_OK)
		err = import_folder_write(im, &folder);
	if (err == PS_OK)
		err = import_commit(im);
	*child = entry.id;
	cat_entry_done(&entry);
	import_folder_done(&folder);
	return err;
}

static int set_root(struct import *im, const struct stat *st)
{
	struct cat_time mtime = {st->st_mtim.tv_sec, (uint32_t)st->st_mtim.tv_nsec};
	struct cat_header *h = &im->header;

	if (h->root_mode == (st->st_mode & 07777) && h->root_mtime.sec == mtime.sec &&
	    h->root_mtime.nsec == mtime.nsec)
		return PS_OK;
	h->root_mode = st->st_mode & 07777;
	h->root_mtime = mtime;
	im->header_dirty = true;
	return PS_OK;
}

/* The catalogue's folder that --as names. */
static int find_target(struct import *im, const struct stat *st, ps_id *id)
{
	char *copy = strdup(im->cli->as != NULL ? im->cli->as : ""), *rest = copy, *name, *next;
	const char *fault;
	int err = copy == NULL ? ps_fail(PS_ENOMEM, "no memory for a path") : PS_OK;

	*id = im->header.root;
	do
		name = strsep(&rest, "/");
	while (name != NULL && name[0] == '\0');
	if (err == PS_OK && name == NULL)
		err = set_root(im, st);
	for (; err == PS_OK && name != NULL; name = next) {
		do
			next = strsep(&rest, "/");
		while (next != NULL && next[0] == '\0');
		fault = cat_name_fault(name, strlen(name));
		if (fault != NULL)
			err = ps_fail(PS_EINVAL, "--as: the name '%s' %s", name, fault);
		else
			err = descend(im, *id, name, next == NULL ? st : NULL, id);
	}
	free(copy);
	return err;
}

static void say_import(struct import *im)
{
	const struct import_counts *c = &im->counts;
	struct cli *cli = im->cli;
	char seen[32], stored[32];

	cli_json(cli, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "new",
	                        (json_int_t)c->added, "changed", (json_int_t)c->changed, "same",
	                        (json_int_t)c->same, "removed", (json_int_t)c->removed, "folders",
	                        (json_int_t)c->folders, "bytes", (json_int_t)c->bytes_seen, "bytes_stored",
	                        (json_int_t)c->bytes_stored, "skipped", (json_int_t)c->skipped, "failed",
	                        (json_int_t)c->failed, "hard_links", (json_int_t)c->hard_links,
	                        "orphans_removed", (json_int_t)c->orphans));
	cli_say(cli,
	        "%" PRIu64 " new, %" PRIu64 " changed, %" PRIu64 " the same, %" PRIu64 " removed, in %" PRIu64
	        " folders; %s seen, %s stored",
	        c->added, c->changed, c->same, c->removed, c->folders, cli_size_text(c->bytes_seen, seen),
	        cli_size_text(c->bytes_stored, stored));
	if (c->orphans > 0)
		cli_say(cli, "removed %" PRIu64 " half-stored files of an import that was cut off",
		        c->orphans);
	if (c->hard_links > 0)
		cli_warn(cli, "%" PRIu64 " hard-linked files were stored as separate files", c->hard_links);
	if (c->skipped > 0)
		cli_warn(cli, "%" PRIu64 " names were left out", c->skipped);
	if (c->failed > 0)
		cli_warn(cli, "%" PRIu64 " files or folders could not be read", c->failed);
}

static int import_from(struct import *im, int fd, const struct stat *st)
{
	uint64_t total = 0;
	ps_id id = PS_ID_NONE;
	int err, ended;

	im->buf = malloc(CLI_STREAM_BYTES + 1);
	im->other = malloc(CLI_STREAM_BYTES + 1);
	err = im->buf == NULL || im->other == NULL ? ps_fail(PS_ENOMEM, "no memory for buffers")
	                                           : import_begin(im);
	if (err == PS_OK)
		err = find_target(im, st, &id);
	if (err != PS_OK)
		return err;
	if (progress_wanted(im->cli))
		total = count_bytes(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0);
	progress_begin(&im->progress, im->cli, "import", total);
	err = import_folder(im, fd, im->cli->operands[0], id, false, 0);
	if (err == PS_OK || err == PS_ECANCELED) {
		ended = err == PS_OK ? import_end(im) : import_commit(im);
		if (ended == PS_OK && err == PS_ECANCELED)
			ended = ps_fail(
			    err, "interrupted; what was imported so far is kept, run it again to go on");
		err = ended;
	}
	progress_end(&im->progress, im->cli);
	return err;
}

static int import_run(struct cli *cli, ps_storer *s)
{
	struct import im = {.cli = cli, .s = s};
	const char *path = cli->operands[0];
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
	struct stat st;

	if (fd < 0)
		return cli_fail(cli, ps_fail_errno(errno, "cannot open the folder '%s'", path), NULL);
	(void)stat(cli->store, &im.store);
	if (fstat(fd, &st) != 0)
		err = ps_fail_errno(errno, "cannot read the folder '%s'", path);
	else
		err = import_from(&im, fd, &st);
	close(fd);
	import_done(&im);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	say_import(&im);
	return im.counts.failed > 0 ? CLI_FAILED : CLI_DONE;
}

int cli_run_import(struct cli *cli)
{
	if (cli->operands[0][0] == '\0') {
		fprintf(stderr, "padstone: DIR is empty\n");
		return CLI_USAGE;
	}
	return cli_with_store(cli, PS_OPEN_EXISTING, import_run);
}
