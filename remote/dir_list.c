/* Listings: folder by folder, in each by name, so that a page begins where the one before ended whatever
 * changed between. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote/dir_internal.h"

/* The cursor: byte 0 is 1, then the last name of the page before, then 1 if its whole folder was listed. */
enum { CURSOR_SET = 0, CURSOR_NAME = 1, CURSOR_FOLDER_DONE = CURSOR_NAME + PS_PAD_NAME };

struct names {
	struct ps_memory *memory;
	struct ps_pad_name *names;
	size_t count, room;
};

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False for what is no record's file in this folder. */
static bool parse_name(const char *file, unsigned number, struct ps_pad_name *name)
{
	for (size_t i = 0; i < PS_PAD_NAME; i++) {
		int high = digit(file[2 * i]), low = high < 0 ? -1 : digit(file[2 * i + 1]);
		if (low < 0)
			return false;
		name->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return file[DIR_FILE_NAME - 1] == '\0' && name->bytes[0] == number;
}

static bool append(struct names *names, const struct ps_pad_name *name)
{
	struct ps_pad_name *grown =
	    ps_memory_grow(names->memory, names->names, names->count, &names->room, sizeof(*grown));
	if (!grown)
		return false;
	names->names = grown;
	names->names[names->count++] = *name;
	return true;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, PS_PAD_NAME);
}

/* The names of a folder above `after` (NULL: all), sorted. */
static int read_names(const struct dir_folder *folder, unsigned number, const uint8_t *after,
                      struct names *names)
{
	int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *files = fd < 0 ? NULL : fdopendir(fd);
	int err = files ? 0 : errno;
	if (!files && fd >= 0)
		close(fd);
	while (!err && files) {
		struct ps_pad_name name;
		errno = 0;
		const struct dirent *entry = readdir(files);
		if (!entry) {
			err = errno;
			break;
		}
		if (parse_name(entry->d_name, number, &name) &&
		    (!after || memcmp(name.bytes, after, PS_PAD_NAME) > 0) && !append(names, &name))
			err = ENOMEM;
	}
	if (files)
		closedir(files);
	if (!err && names->count)
		qsort(names->names, names->count, sizeof(*names->names), by_bytes);
	return err;
}

/* As many of the names as the page has room for; those that are gone by now are left out, and no others: what
 * cannot be looked at may be a record. */
static int list_names(const struct dir_folder *folder, const struct names *names, struct ps_net_list *list)
{
	size_t i = 0;
	for (; i < names->count && list->count < list->capacity; i++) {
		char file[DIR_FILE_NAME];
		struct stat status;
		dir_file_name(&names->names[i], file);
		list->cursor[CURSOR_SET] = 1;
		list->cursor[CURSOR_FOLDER_DONE] = 0;
		memcpy(list->cursor + CURSOR_NAME, names->names[i].bytes, PS_PAD_NAME);
		bool there = fstatat(folder->fd, file, &status, AT_SYMLINK_NOFOLLOW) == 0;
		if (!there && errno != ENOENT)
			return errno;
		if (!there || !S_ISREG(status.st_mode) || status.st_size < DIR_RECORD_AT)
			continue;
		list->listed[list->count].name = names->names[i];
		list->listed[list->count++].size = (uint64_t)status.st_size - DIR_RECORD_AT;
	}
	list->more = i < names->count;
	return 0;
}

static int list_folder(struct dir_network *n, unsigned number, const uint8_t *after, struct ps_net_list *list)
{
	struct names names = {.memory = &n->base.memory};
	struct dir_folder folder;
	int err = dir_folder_open(n, number, &folder);
	if (!err)
		err = read_names(&folder, number, after, &names);
	if (!err && names.count)
		err = dir_folder_settle(&folder);
	if (!err)
		err = list_names(&folder, &names, list);
	ps_memory_free(names.memory, names.names, names.room * sizeof(*names.names));
	dir_folder_close(&folder);
	return err;
}

/* A full page that ends with its folder goes on with the next one. */
static void end_folder(struct ps_net_list *list, unsigned number)
{
	list->cursor[CURSOR_SET] = 1;
	memset(list->cursor + CURSOR_NAME, 0xff, PS_PAD_NAME);
	list->cursor[CURSOR_NAME] = (uint8_t)number;
	list->cursor[CURSOR_FOLDER_DONE] = 1;
}

void dir_run_list(struct dir_network *n, struct ps_blocking_job *job)
{
	struct ps_net_list *list = job->request.list;
	unsigned number = 0;
	uint8_t after[PS_PAD_NAME];
	bool within = list->cursor[CURSOR_SET] && !list->cursor[CURSOR_FOLDER_DONE];
	if (list->cursor[CURSOR_SET])
		number = list->cursor[CURSOR_NAME] + !within;
	memcpy(after, list->cursor + CURSOR_NAME, PS_PAD_NAME);
	for (; number < DIR_FOLDERS && list->count < list->capacity; number++, within = false) {
		if (!ps_blocking_wanted(job))
			break;
		int err = list_folder(n, number, within ? after : NULL, list);
		if (err) {
			dir_fail(n, &job->request, err, "list");
			return;
		}
		if (list->more)
			break;
		end_folder(list, number);
	}
	list->more = number < DIR_FOLDERS;
	ps_request_finish(&n->base, &job->request, PS_NET_DONE, "%s", "");
}
