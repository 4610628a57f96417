/* A file that appears under its name when it is whole: it is written under a temporary one beside it. */
#ifndef PS_NEW_FILE_H
#define PS_NEW_FILE_H

#include <limits.h>

/* The temporary name. PS_EEXIST: something is at path. PS_EINVAL: the path is too long. */
int ps_new_file_begin(const char *path, char temporary[PATH_MAX]) __attribute__((warn_unused_result));
/* err: what writing it ended with. PS_OK: the file, whose contents are durable, takes its own name, durably, unless something has come
 * there meanwhile: PS_EEXIST. After any failure the temporary one is gone; but where only the folder could not be synced the
 * file is there. err is given back with its sentence. */
int ps_new_file_end(const char *temporary, const char *path, int err) __attribute__((warn_unused_result));

#endif
