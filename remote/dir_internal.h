/* What the files of the dir network share. */
#ifndef PS_DIR_INTERNAL_H
#define PS_DIR_INTERNAL_H

#include <limits.h>
#include <pthread.h>
#include <semaphore.h>

#include "remote/blocking_client.h"
#include "remote/dir_format.h"

enum { DIR_FOLDERS = 256, DIR_FOLDER_NAME = 3, DIR_FILE_NAME = 2 * PS_PAD_NAME + 1, DIR_TEMP_NAME = 40 };
enum { DIR_DIRECT_FROM = 64 << 10, DIR_SPARES = 16 };
#define DIR_LOCK "lock"
#define DIR_TEMPS "tmp"
#define DIR_MARKER_NAME "padstone-dir"

/* A file of one's own in the folder of temporary files, locked for as long as it is open. */
struct dir_temp {
	int fd; /* -1: none */
	char name[DIR_TEMP_NAME];
};

struct dir_spares {
	pthread_mutex_t lock; /* guards all below; a leaf */
	struct dir_spare {
		struct dir_temp file;
		uint64_t bytes;
	} kept[DIR_SPARES];
	unsigned count;
	uint64_t bytes;        /* of all of them */
	atomic_bool exchanges; /* the file system lets two files change names, as far as we know */
};

struct dir_network {
	ps_network base;
	int root, temps; /* -1: none */
	uint64_t id;     /* of this opening, in the names of its temporary files */
	atomic_uint_fast64_t made;
	atomic_bool direct; /* the file system takes direct writes, as far as we know */
	sem_t turns;        /* of the writes of the background, of all clients */
	struct dir_spares spares;
};

static inline struct dir_network *dir_of(ps_network *n)
{
	return (struct dir_network *)n;
}

/* One of the 256 folders, while an operation uses it. */
struct dir_folder {
	int fd, lock; /* -1: none */
	bool locked;
	char name[DIR_FOLDER_NAME];
};

/* ---- dir_folder.c ---- */

/* From the root, without links and dots, as far as it is there. PS_EINVAL: too long. */
int ps_dir_full_path(const char *path, char full[PATH_MAX]) __attribute__((warn_unused_result));
void dir_folder_name(unsigned number, char name[DIR_FOLDER_NAME]);
/* The file of a record, in its folder. */
void dir_file_name(const struct ps_pad_name *name, char file[DIR_FILE_NAME]);
/* All of these: 0 or an errno. `close` takes any state, and gives the lock back. */
int dir_folder_open(const struct dir_network *n, unsigned number, struct dir_folder *folder);
void dir_folder_close(struct dir_folder *folder);
int dir_folder_lock(struct dir_folder *folder);
/* Between these two lies the one step that changes the folder: whoever finds the mark knows that what is seen
 * there may not be durable. The lock is held. */
int dir_folder_mark(const struct dir_folder *folder);
int dir_folder_sync(const struct dir_folder *folder);
/* What was seen in the folder before this call is durable after it. */
int dir_folder_settle(struct dir_folder *folder);

/* ---- dir_file.c ---- */

struct dir_file {
	int fd;
	struct ps_pad_identity identity;
	uint64_t len;
};

/* 0, ENOENT, or an errno; EBADMSG: something is there that is no record. Until it is closed nobody writes
 * over it: it has a shared lock. */
int dir_file_open(const struct dir_folder *folder, const char *name, struct dir_file *file);
/* Fills exactly len bytes from the record's byte `offset` on. */
int dir_file_read(const struct dir_file *file, uint64_t offset, void *bytes, size_t len);
void dir_file_close(struct dir_file *file);

int dir_temp_new(struct dir_network *n, bool direct, struct dir_temp *temp);
/* Header and record, durable. `job`: left with ECANCELED once nobody waits. */
int dir_temp_write(struct dir_network *n, struct dir_temp *temp, struct ps_blocking_job *job);
/* `keep`: it has another name now. */
void dir_temp_close(const struct dir_network *n, struct dir_temp *temp, bool keep);
void dir_temp_remove(const struct dir_network *n, struct dir_temp *temp);
/* False: somebody has it, or it has no name any more, or another one as well. */
bool dir_temp_lock(int fd);
/* Those that processes left behind which are gone. */
void dir_temps_clean(const struct dir_network *n);

/* ---- dir_spares.c ---- */

void dir_spares_init(struct dir_spares *spares);
/* Gives the record the temporary file. 0 or an errno; *exchanged: its old file has the temporary name now. */
int dir_replace(struct dir_network *n, const struct dir_temp *temp, const struct dir_folder *folder,
                const char *name, bool *exchanged);
/* What has this name is kept, or removed. After the exchange is durable, not before. */
void dir_spare_keep(struct dir_network *n, struct dir_temp *temp);
/* One of that length, as a temporary file of the caller's. False: there is none. */
bool dir_spare_take(struct dir_network *n, uint64_t bytes, struct dir_temp *temp);
/* Gives their space back. False: there were none. */
bool dir_spares_drop(struct dir_network *n);
void dir_spares_done(struct dir_network *n);

/* ---- dir_turns.c ---- */

void dir_turns_init(sem_t *turns);
/* Around a write. Waits only for others of the background, and only in that. */
void dir_turn_take(sem_t *turns, enum ps_token_class class);
void dir_turn_give(sem_t *turns, enum ps_token_class class);

/* ---- dir_operations.c, dir_list.c ---- */

ps_blocking_run dir_run;
void dir_run_list(struct dir_network *n, struct ps_blocking_job *job);
/* Ends a request that failed with this errno where nothing was changed. */
void dir_fail(struct dir_network *n, struct ps_net_request *r, int errnum, const char *what);

#endif
