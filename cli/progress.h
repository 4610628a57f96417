/* Progress on stderr: a bar on a terminal, drawn at most ten times a second; elsewhere a line every ten
 * seconds. */
#ifndef PS_CLI_PROGRESS_H
#define PS_CLI_PROGRESS_H

#include "cli/cli.h"

struct cli_progress {
	const char *what;
	uint64_t done, total; /* bytes, or units; total 0: not known */
	const char *unit;     /* NULL: bytes */
	char note[48];        /* stands behind the figures; the caller's to set */
	uint64_t found;       /* of done, what was there before and tells nothing about the rate */
	double started, drawn;
	bool bar, lines, colour, shown;
};

/* Begins, and makes cli point at it until progress_end. */
void progress_begin(struct cli_progress *p, struct cli *cli, const char *what, uint64_t total);
void progress_update(struct cli_progress *p, uint64_t done);
/* Takes the bar away, so that a line can be printed; it comes back with the next update. */
void progress_clear(struct cli_progress *p);
void progress_end(struct cli_progress *p, struct cli *cli);
/* True if somebody is looking at a bar: it is worth finding out the total first. */
bool progress_wanted(const struct cli *cli);
/* A ps_progress_fn over a struct cli_progress; cancels when interrupted. */
int progress_callback(void *arg, const struct ps_progress *progress);

#endif
