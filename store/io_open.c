/* Opens a store's file: the descriptor, its lock, O_DIRECT and alignment, and which method moves the bytes.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "store/io_file.h"

enum { SECTOR = 512, PAGE = 4096, DEFAULT_MODE = 0600, CREATE_RACES = 8 };

/* Every open store file of this process. A child after fork shares the open file description and with it the
 * lock: the atfork handler closes the child's descriptors. Held from open to registration, so that no fork
 * falls between. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct io_file *registry;

static void before_fork(void)
{
	pthread_mutex_lock(&registry_lock);
}

static void after_fork_in_parent(void)
{
	pthread_mutex_unlock(&registry_lock);
}

static void after_fork_in_child(void)
{
	for (struct io_file *file = registry; file; file = file->next_open) {
		close(file->fd);
		if (file->ring_fd >= 0)
			close(file->ring_fd);
		file->fd = file->ring_fd = -1;
	}
	registry = NULL;
	pthread_mutex_unlock(&registry_lock);
}

static void watch_forks(void)
{
	(void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* One open file description has one lock, however many descriptors lead to it: the lock alone would let the
 * same descriptor be opened twice. */
static bool conflicts_locked(const struct io_file *file)
{
	for (const struct io_file *other = registry; other; other = other->next_open) {
		if (other->device == file->device && other->inode == file->inode &&
		    !(other->read_only && file->read_only))
			return true;
	}
	return false;
}

static void unregister(struct io_file *file)
{
	pthread_mutex_lock(&registry_lock);
	for (struct io_file **link = &registry; *link; link = &(*link)->next_open) {
		if (*link == file) {
			*link = file->next_open;
			break;
		}
	}
	pthread_mutex_unlock(&registry_lock);
}

static int set_lock(struct io_file *file, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
	return fcntl(file->fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

static void file_free(struct io_file *file, size_t bytes)
{
	struct ps_memory *memory = file->memory;
	pthread_mutex_destroy(&file->size_lock);
	ps_memory_free(memory, file->path, file->path_bytes);
	ps_memory_free(memory, file, bytes);
}

void io_file_close(struct io_file *file, size_t bytes)
{
	unregister(file);
	if (file->fd >= 0) {
		/* The caller's own descriptor of the same description would keep the lock. */
		(void)set_lock(file, F_UNLCK);
		close(file->fd);
	}
	file_free(file, bytes);
}

static struct io_file *file_new(struct ps_memory *memory, const struct ps_io_open *how, size_t bytes)
{
	const char *path = how->path ? how->path : "(descriptor)";
	struct io_file *file = ps_memory_zalloc(memory, bytes);
	if (!file)
		return NULL;
	file->memory = memory;
	file->fd = file->ring_fd = -1;
	file->read_only = how->read_only;
	file->path_bytes = strlen(path) + 1;
	pthread_mutex_init(&file->size_lock, NULL);
	file->path = ps_memory_alloc(memory, file->path_bytes);
	if (!file->path) {
		file_free(file, bytes);
		return NULL;
	}
	memcpy(file->path, path, file->path_bytes);
	file->io = (struct ps_io){.ops = &io_posix_ops, .alignment = SECTOR, .path = file->path};
	return file;
}

/* The descriptor, above 2 and closed on exec; -1 with errno. Takes fd over. */
static int move_above_standard(int fd)
{
	if (fd < 0 || fd >= IO_FIRST_FD)
		return fd;
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, IO_FIRST_FD);
	int saved = errno;
	close(fd);
	errno = saved;
	return moved;
}

/* O_NONBLOCK: a FIFO must not hold up the open (it is refused later); regular files do not know it. */
static int open_path(const struct ps_io_open *how, bool *made)
{
	int access = how->read_only ? O_RDONLY : O_RDWR;
	int flags = access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	mode_t mode = how->mode ? (mode_t)how->mode : DEFAULT_MODE;
	*made = false;
	for (int race = 0;; race++) {
		int fd = how->create && how->exclusive ? -1 : open(how->path, flags);
		if (fd >= 0 || !how->create || (!how->exclusive && errno != ENOENT))
			return fd;
		fd = open(how->path, flags | O_CREAT | O_EXCL, mode);
		*made = fd >= 0;
		/* Another process made it in between: there is a file to open now. */
		if (fd >= 0 || errno != EEXIST || how->exclusive || race == CREATE_RACES)
			return fd;
	}
}

static int open_descriptor(const struct ps_io_open *how, bool *made)
{
	*made = false;
	if (how->fd >= 0)
		return fcntl(how->fd, F_DUPFD_CLOEXEC, IO_FIRST_FD);
	return move_above_standard(open_path(how, made));
}

static int fail_open(struct io_file *file, int errnum)
{
	if (errnum == EISDIR || errnum == ENXIO || errnum == ELOOP)
		return ps_fail(PS_EINVAL, "%s: not a regular file", file->path);
	if (errnum == EBADF)
		return ps_fail(PS_EINVAL, "%s: the descriptor is not open", file->path);
	return ps_fail_errno(errnum, "%s: open", file->path);
}

static int check_kind(struct io_file *file)
{
	struct stat now;
	if (fstat(file->fd, &now) != 0)
		return fail_open(file, errno);
	if (!S_ISREG(now.st_mode))
		return ps_fail(PS_EINVAL, "%s: not a regular file", file->path);
	int flags = fcntl(file->fd, F_GETFL);
	int access = flags & O_ACCMODE;
	if (flags < 0 || access == O_WRONLY || (flags & O_APPEND) || (!file->read_only && access == O_RDONLY))
		return ps_fail(PS_EINVAL, "%s: descriptor is not open for reading%s", file->path,
		               file->read_only ? "" : " and writing at any place");
	file->device = now.st_dev;
	file->inode = now.st_ino;
	return PS_OK;
}

static int take_lock(struct io_file *file)
{
	int errnum = conflicts_locked(file) ? EAGAIN : set_lock(file, file->read_only ? F_RDLCK : F_WRLCK);
	if (errnum == EAGAIN || errnum == EACCES)
		return ps_fail(PS_EBUSY, "%s: the store is open already", file->path);
	return errnum == 0 ? PS_OK : ps_fail_errno(errnum, "%s: lock", file->path);
}

/* Descriptor, kind and lock; registered on success. *made: there is a new file, whatever the result. */
static int open_locked(struct io_file *file, const struct ps_io_open *how, bool *made)
{
	file->fd = open_descriptor(how, made);
	if (file->fd < 0)
		return fail_open(file, errno);
	int err = check_kind(file);
	if (err == PS_OK)
		err = take_lock(file);
	if (err == PS_OK) {
		file->next_open = registry;
		registry = file;
		return PS_OK;
	}
	close(file->fd);
	file->fd = -1;
	return err;
}

/* The new name is durable only when its directory is. */
static int sync_directory(struct io_file *file)
{
	const char *slash = strrchr(file->path, '/');
	size_t len = slash ? (size_t)(slash - file->path) : 0;
	size_t bytes = len + 2;
	char *folder = ps_memory_alloc(file->memory, bytes);
	if (!folder)
		return ps_fail(PS_ENOMEM, "%s: no memory", file->path);
	memcpy(folder, file->path, len);
	memcpy(folder + len, slash ? "/" : ".", 2);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int errnum = fd < 0 || fsync(fd) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	ps_memory_free(file->memory, folder, bytes);
	/* EINVAL: a file system that knows no sync of directories keeps them otherwise. */
	return errnum == 0 || errnum == EINVAL
	           ? PS_OK
	           : ps_fail_errno(errnum, "%s: sync of its directory", file->path);
}

/* What a direct read of one sector tells where the kernel does not (before 6.1). An empty file tells nothing.
 */
static uint32_t probe_alignment(struct io_file *file)
{
	_Alignas(PAGE) char page[PAGE];
	return pread(file->fd, page + SECTOR, SECTOR, 0) == SECTOR ? SECTOR : PAGE;
}

/* 512 or 4096; 0 where direct I/O needs more than a page, or is not to be had at all. */
static uint32_t direct_alignment(struct io_file *file)
{
	struct statx now = {0};
	if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &now) != 0 || !(now.stx_mask & STATX_DIOALIGN))
		return probe_alignment(file);
	if (now.stx_dio_offset_align == 0)
		return 0;
	uint32_t need = now.stx_dio_offset_align > now.stx_dio_mem_align ? now.stx_dio_offset_align
	                                                                 : now.stx_dio_mem_align;
	if (need > PAGE)
		return 0;
	return need <= SECTOR ? SECTOR : PAGE;
}

static void choose_direct(struct io_file *file, bool buffered)
{
	int flags = fcntl(file->fd, F_GETFL) & ~(O_NONBLOCK | O_DIRECT);
	uint32_t alignment = 0;
	if (!buffered && fcntl(file->fd, F_SETFL, flags | O_DIRECT) == 0)
		alignment = direct_alignment(file);
	if (alignment == 0)
		(void)fcntl(file->fd, F_SETFL, flags);
	file->io.direct = alignment != 0;
	file->io.alignment = alignment ? alignment : SECTOR;
}

static int choose_method(struct io_file *file, enum ps_io_kind kind)
{
	if (kind == PS_IO_POSIX)
		return PS_OK;
	int err = io_uring_start(file);
	return err == PS_OK || kind == PS_IO_URING ? err : PS_OK;
}

int ps_io_open(struct ps_memory *memory, const struct ps_io_open *how, struct ps_io **io, bool *created)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	assert(how->fd >= 0 || how->path);
	pthread_once(&once, watch_forks);
	bool made = false;
	/* Room for either method: which one it is shows only when the file is open. */
	size_t bytes = io_uring_file_bytes();
	struct io_file *file = file_new(memory, how, bytes);
	if (!file)
		return ps_fail(PS_ENOMEM, "%s: no memory", how->path ? how->path : "(descriptor)");

	pthread_mutex_lock(&registry_lock);
	int err = open_locked(file, how, &made);
	pthread_mutex_unlock(&registry_lock);
	if (err != PS_OK) {
		file_free(file, bytes);
		return err;
	}
	choose_direct(file, how->buffered);
	file->io.draft = made && how->draft;
	if (made && !how->draft)
		err = sync_directory(file);
	if (err == PS_OK)
		err = choose_method(file, how->kind);
	if (err != PS_OK) {
		/* Under our lock: nobody else has begun to use the file that this call made. */
		if (made)
			(void)unlink(file->path);
		io_file_close(file, bytes);
		return err;
	}
	*created = made;
	*io = &file->io;
	return PS_OK;
}
