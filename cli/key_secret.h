/* Secrets on their way in: lines read into locked memory, from a file, a descriptor or the terminal. */
#ifndef PS_CLI_KEY_SECRET_H
#define PS_CLI_KEY_SECRET_H

#include "cli/cli.h"
#include "remote/key_file.h"

enum { SECRET_BYTES = 4096 };

/* In memory from sodium_malloc; secret_free wipes it. */
struct secret {
	size_t len;
	char text[SECRET_BYTES];
};

void secret_free(struct secret *secret);
/* The first line of a file, or of a descriptor if `from` is a number. PS_EINVAL: empty, or too long. */
PS_CHECKED int secret_from_file(const char *from, struct secret **secret);
/* All of standard input; on a terminal a line, unseen. */
PS_CHECKED int secret_from_input(const char *prompt, struct secret **secret);
/* A line from the terminal, unseen; `twice`: asked for again, and the two must be the same. PS_EINVAL without
 * a terminal, PS_ECANCELED by Ctrl-C. */
PS_CHECKED int secret_from_terminal(const char *prompt, bool twice, struct secret **secret);
/* The passphrase of a key file, from --passphrase-file or the terminal; *secret stays NULL if it has none. */
PS_CHECKED int secret_of_key(const struct cli *cli, const char *path, struct secret **secret);
/* No core dump of a process that has keys in it. */
void secret_no_core(void);

#endif
