/* The base store: one file, crash-safe. */
#ifndef PS_BASE_STORE_H
#define PS_BASE_STORE_H

#include <padstone/storer.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ps_open_mode {
	PS_OPEN_DEFAULT = 0,    /* make the store if there is no file, an empty one, or one whose making a crash cut off */
	PS_OPEN_EXISTING = 1,   /* PS_ENOENT if there is none */
	PS_OPEN_CREATE_NEW = 2, /* PS_EEXIST if there is one */
	PS_OPEN_READONLY = 3,   /* existing; shares with other readers only; an unreplayed log is replayed in memory */
};

enum ps_background {
	PS_BACKGROUND_DEFAULT = 0, /* a thread */
	PS_BACKGROUND_THREAD = 1,
	PS_BACKGROUND_NONE = 2, /* the library starts no thread and does the work inside calls */
};

enum ps_base_io { PS_BASE_IO_AUTO = 0, PS_BASE_IO_URING = 1, PS_BASE_IO_POSIX = 2, PS_BASE_IO_BUFFERED = 3 };

enum ps_event_kind {
	PS_EVENT_BACKGROUND_FAILURE = 1, /* a checkpoint or flush failed; the error is that of the next call as well */
	PS_EVENT_READONLY = 2,           /* the store became read-only */
	PS_EVENT_CORRUPTION = 3,         /* a checksum did not match */
	PS_EVENT_SLOW_IO = 4,            /* a log write took longer than a second */
};
struct ps_event {
	enum ps_event_kind kind;
	int error;
	ps_id id;
	const char *message; /* valid during the call */
};

/* Begins with its size; zero means the default everywhere (so memset, then set what you need). */
struct ps_base_options {
	size_t size;             /* sizeof(struct ps_base_options) */
	int mode;                /* enum ps_open_mode */
	int durability;          /* of single calls: PS_DURABLE (default) or PS_RELAXED */
	int background;          /* enum ps_background */
	int io;                  /* enum ps_base_io */
	int use_fd;              /* 1: the store is in `fd` (kept by the caller), `path` is for messages only */
	int fd;
	uint32_t file_mode;      /* permissions of a new file; 0600 */
	uint32_t verify_reads;   /* 1: checksums on every read, not only once per residency */
	uint64_t memory_budget;  /* bytes for frames, table pages and all else; a quarter of the machine's or control group's */
	uint64_t log_bytes;      /* size of the commit log of a new store; by default sized by the store, 1 to 64 MiB; 8 KiB at least */
	uint64_t initial_bytes;  /* size of a new file; 2 MiB; 64 KiB at least */
	uint32_t flush_ms;       /* a relaxed commit waits at most this long in memory; 10 */
	uint32_t flush_bytes;    /* and at most so many bytes of log; 1 MiB */
	uint64_t pin_limit;      /* freed bytes that a backup may hold back; a quarter of the file */
	/* Never called under a lock: at the end of a call, or from the store's thread. May be NULL. */
	void (*event)(void *arg, const struct ps_event *event);
	void *event_arg;
	/* The application's allocator, all three or none. Default: jemalloc's arenas where linked, malloc otherwise. */
	void *(*alloc)(void *arg, size_t size);
	void *(*resize)(void *arg, void *memory, size_t old_size, size_t new_size);
	void (*release)(void *arg, void *memory, size_t size);
	void *alloc_arg;
};

/* Opens or makes the store in the file at path. opts may be NULL. PS_ENOENT, PS_EEXIST, PS_EACCES, PS_EBUSY (open
 * elsewhere; the sentence says by whom), PS_EFORMAT (not a store), PS_EVERSION (newer), PS_ECORRUPT (damaged or
 * truncated), PS_EINVAL (options), PS_ENOSPC, PS_ENOMEM, PS_EIO. */
PS_CHECKED PS_API int ps_base_open(const char *path, const struct ps_base_options *opts, ps_storer **s);

#ifdef __cplusplus
}
#endif
#endif
