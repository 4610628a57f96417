/* Names of values as paths of files below a folder, and back. A name's slashes part folders; what cannot
 * stand in a path is written as %: %XX   a byte: %, control characters, the first dot of "." and "..", and of
 * names like our temporary files' %     a whole component: an empty one, as in "a//b" or behind a last slash
 *   %-    at a component's end: the name goes on in the next one (file systems hold 255 bytes in one)
 *   %=    at a component's end: nothing; for a value whose plain path a folder has, and the other way round
 * No path leads out of the folder, and no two names have one path. */
#ifndef PS_REMOTE_FILE_NAMES_H
#define PS_REMOTE_FILE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

enum {
	PS_FILE_NAMES_KEY = 1024 + 1,      /* bytes of a name, with its NUL */
	PS_FILE_NAMES_PATH = 4 * 1024 + 1, /* of a path: three for each of the name's, and what parts it */
	PS_FILE_NAMES_COMPONENT = 240,     /* of a component at most, before its mark */
};

/* `name` is 1 to 1,024 bytes. */
void ps_file_path_of_name(const char *name, char path[PS_FILE_NAMES_PATH]);
/* A path that ps_file_path_of_name can have made, with or without %= marks, gives that name; any other is a
 * name as it stands. False: it is too long for one. */
bool ps_file_name_of_path(const char *path, char name[PS_FILE_NAMES_KEY]);
/* Whether a component ends in the mark for a taken name; *len: of the component without it. */
bool ps_file_is_marked(const char *component, size_t *len);

#endif
