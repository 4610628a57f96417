/* Files of records that were replaced, kept for the next ones of the same length. Where a rename over the old
 * file would free it, and a disk mounted with `discard` would discard that in the commit which the next flush
 * waits for, the two change names instead, and the next record is written over the old one's blocks: nothing
 * is freed, nothing has to be found. (Files of 2 MiB replaced beside other work: 56 to 96 MiB/s by rename,
 * 150 to 1,000 in this way.)
 *
 * A spare lies in the folder of temporary files, under the name that the new file had there, with a lock as
 * any of those: whatever becomes of this process, the next opening removes it, and nobody takes it for a
 * record. It is one only once the exchange is durable; a power cut before that may give the record its old
 * file back. Who still reads it has a shared lock on it (dir_file_open), and then it goes at once, as it used
 * to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote/dir_internal.h"

static const uint64_t most_bytes = (uint64_t)64 << 20;
#define ANY_LENGTH UINT64_MAX

void dir_spares_init(struct dir_spares *spares)
{
	memset(spares, 0, sizeof(*spares));
	pthread_mutex_init(&spares->lock, NULL);
	atomic_init(&spares->exchanges, true);
}

int dir_replace(struct dir_network *n, const struct dir_temp *temp, const struct dir_folder *folder,
                const char *name, bool *exchanged)
{
	*exchanged = false;
	if (atomic_load(&n->spares.exchanges)) {
		if (renameat2(n->temps, temp->name, folder->fd, name, RENAME_EXCHANGE) == 0) {
			*exchanged = true;
			return 0;
		}
		if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP && errno != EPERM)
			return errno;
		atomic_store(&n->spares.exchanges, false);
	}
	return renameat(n->temps, temp->name, folder->fd, name) ? errno : 0;
}

static bool add(struct dir_spares *spares, const struct dir_temp *temp, uint64_t bytes)
{
	pthread_mutex_lock(&spares->lock);
	bool room = spares->count < DIR_SPARES && bytes <= most_bytes - spares->bytes;
	if (room) {
		spares->kept[spares->count++] = (struct dir_spare){*temp, bytes};
		spares->bytes += bytes;
	}
	pthread_mutex_unlock(&spares->lock);
	return room;
}

/* Ours alone: nobody reads it, and it has no other name. */
static bool is_spare(const struct dir_network *n, int fd, uint64_t *bytes)
{
	struct stat status;
	if (!dir_temp_lock(fd) || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		return false;
	*bytes = (uint64_t)status.st_size;
	return *bytes >= DIR_RECORD_AT + DIR_DIRECT_FROM && *bytes <= n->base.largest + DIR_RECORD_AT;
}

void dir_spare_keep(struct dir_network *n, struct dir_temp *temp)
{
	uint64_t bytes;
	int direct = atomic_load(&n->direct) ? O_DIRECT : 0;
	temp->fd = openat(n->temps, temp->name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | direct);
	if (temp->fd >= 0 && is_spare(n, temp->fd, &bytes) && add(&n->spares, temp, bytes)) {
		temp->fd = -1;
		return;
	}
	dir_temp_remove(n, temp);
}

/* Of that length, or of any: ANY_LENGTH. */
static bool take(struct dir_spares *spares, uint64_t bytes, struct dir_temp *temp)
{
	unsigned i = 0;
	pthread_mutex_lock(&spares->lock);
	while (i < spares->count && bytes != ANY_LENGTH && spares->kept[i].bytes != bytes)
		i++;
	bool found = i < spares->count;
	if (found) {
		*temp = spares->kept[i].file;
		spares->bytes -= spares->kept[i].bytes;
		spares->kept[i] = spares->kept[--spares->count];
	}
	pthread_mutex_unlock(&spares->lock);
	return found;
}

bool dir_spare_take(struct dir_network *n, uint64_t bytes, struct dir_temp *temp)
{
	return take(&n->spares, bytes, temp);
}

bool dir_spares_drop(struct dir_network *n)
{
	struct dir_temp temp;
	bool any = false;
	for (; take(&n->spares, ANY_LENGTH, &temp); any = true)
		dir_temp_remove(n, &temp);
	return any;
}

void dir_spares_done(struct dir_network *n)
{
	(void)dir_spares_drop(n);
	pthread_mutex_destroy(&n->spares.lock);
}
