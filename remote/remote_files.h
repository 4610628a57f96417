/* All values as files below a folder, and back: what a store holds in a form that needs no Padstone.
 *
 * A key's slashes part folders. What cannot stand in a path is written as %XX, an empty part as "%"; a part
 * of more than 240 bytes goes on behind "%-", and "%=" ends a part whose plain name a file or folder has
 * already. So every key has a path of its own, none leads out of the folder, no link below it is followed,
 * and an import of an export has the same keys.
 *
 * Both calls work value by value, in bounded memory, and leave alone what is the same already: one that was
 * cut off at any moment is gone on with by calling it again, without any note of it. Both show one progress
 * for all (operation "export", "import"; key: the value at work): its plan comes before the first request,
 * and refusing it costs nothing.
 *
 * Common errors and threads: <padstone/remote.h>. */
#ifndef PS_REMOTE_FILES_H
#define PS_REMOTE_FILES_H

#include <padstone/remote.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Begins with its size; zero means the default everywhere. */
struct ps_remote_export {
	size_t size;        /* sizeof(struct ps_remote_export) */
	const char *prefix; /* only keys that begin with it; NULL: all */
	uint32_t replace;   /* 1: also in place of a file that has other contents; never of what is no file */
	uint32_t unverified; /* 1: also values whose pads are not all confirmed */
	/* Hears of each value that is left out, and why. May be NULL. */
	void (*finding)(void *arg, const char *key, int error, const char *sentence);
	void *finding_arg;
	ps_remote_progress_fn progress;
	void *progress_arg;
};

struct ps_remote_export_result {
	uint64_t values, bytes; /* written */
	uint64_t same;          /* were there already, with these contents */
	uint64_t damaged;       /* cannot be read whole: no file is left of them */
	uint64_t refused;       /* something else has the name */
};

/* Writes every value that exists to a file below `folder`, which is made if it is not there (its parent has
 * to be). A file has its name when it is whole, its contents durable, and the value's time; one that is cut
 * off goes. Values that cannot be read whole (PS_ELOST, PS_EAUTH, PS_EROLLBACK, PS_EFORK, PS_ESUPERSEDED; not
 * confirmed: PS_ELOST) and names that are taken (PS_EEXIST) are told of and counted, and cost only
 * themselves: the call is PS_OK then, so look at result. What is put or removed meanwhile may be there or
 * not. Files that no key stands for stay. Any other error ends the call; result (may be NULL) is written then
 * as well. PS_ENOENT, PS_EACCES, PS_ENOSPC, PS_EIO: of the folder, with the path. PS_EQUOTA: it costs more
 * than max_cost of the remote's options. */
PS_CHECKED PS_API int ps_remote_export(ps_remote *r, const char *folder,
                                       const struct ps_remote_export *options,
                                       struct ps_remote_export_result *result);

/* Begins with its size; zero means what the remote's options say. */
struct ps_remote_import {
	size_t size;       /* sizeof(struct ps_remote_import) */
	int mode, verify;  /* as in struct ps_remote_put */
	uint64_t max_pads; /* of all values together: PS_EQUOTA before more are taken */
	double max_cost;   /* of all values together: PS_EQUOTA before more is spent */
	/* Hears of each file that is left out, and why. May be NULL. */
	void (*finding)(void *arg, const char *path, const char *sentence);
	void *finding_arg;
	ps_remote_progress_fn progress;
	void *progress_arg;
};

struct ps_remote_import_result {
	uint64_t values, bytes; /* put */
	uint64_t sent_bytes;    /* of records */
	uint64_t same;          /* values that had these contents already */
	uint64_t skipped;       /* links, devices, paths too long for a key, two files for one key */
};

/* Puts every file below `folder` as the value of its path's key, in place of what the key has. Keys that no
 * file stands for stay. Files that a cut export left under a temporary name are not looked at. Any error ends
 * the call; what was put stays, and is found to be the same by the next call. result (may be NULL) is written
 * then as well. PS_ENOENT, PS_EACCES, PS_EIO: of the folder, with the path. PS_ERANGE: a file was changed
 * while it was read. PS_EBUSY: another call has its key. PS_EQUOTA. */
PS_CHECKED PS_API int ps_remote_import(ps_remote *r, const char *folder,
                                       const struct ps_remote_import *options,
                                       struct ps_remote_import_result *result);

#ifdef __cplusplus
}
#endif
#endif
