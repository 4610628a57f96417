/* The commands of `padstone remote': what they share. */
#ifndef PS_CLI_REMOTE_H
#define PS_CLI_REMOTE_H

#include <padstone/public.h>

#include "cli/cli.h"
#include "cli/progress.h"

/* How an operation goes, seen from here: a bar, and Ctrl-C. */
struct remote_watch {
	struct cli *cli;
	const char *what; /* the command's word; stands before the bar */
	struct cli_progress bar;
	bool began, hidden; /* hidden: the command has a bar of its own */
	struct ps_remote_plan plan;
	struct ps_remote_progress last; /* counts only: its texts are not kept */
};

/* ---- open.c ---- */

enum remote_way { REMOTE_OPEN, REMOTE_INIT, REMOTE_REBUILD, REMOTE_IMPORT_INDEX, REMOTE_FORGET };
/* Opens the store in one of the first three ways, runs the command on it, closes it. All its operations are
 * seen by cli->remote.watch. */
int remote_with(struct cli *cli, enum remote_way way, int (*run)(struct cli *cli, ps_remote *r));
/* The same store once more, as a machine sees it that has nothing but the key: with its state in the folder
 * `state`. The caller closes it. */
PS_CHECKED int remote_open_scratch(struct cli *cli, const char *state, ps_remote **r);
/* The network and key that are known, or NULL. */
const char *remote_network(const struct cli *cli);
const char *remote_key_path(const struct cli *cli);
/* False, and said why: one of the URLs that were given is none. */
bool remote_urls_are_good(const struct cli *cli);
/* For a command that has its store open already: no bar; Ctrl-C ends what it does. The caller closes it. */
PS_CHECKED int remote_open_beside(struct cli *cli, ps_remote **r);

/* The same for a network that is read without a key: which store is there does not matter. */
int remote_with_public(struct cli *cli, int (*run)(struct cli *cli, ps_public *p));

/* ---- get.c ---- */

/* Where a value is written to. */
struct remote_sink {
	int fd;
	const char *name;
	uint64_t bytes;
	int error; /* of writing, with its sentence: the library has another for it */
	char sentence[512];
};
int remote_sink_write(void *arg, const void *data, size_t len); /* a ps_remote_write_fn */
/* What a call that wrote to it ended with. */
PS_CHECKED int remote_sink_result(const struct remote_sink *sink, int err);
typedef int remote_fill_fn(struct cli *cli, void *arg, struct remote_sink *sink);
/* To the file of -o, which is whole or as it was; or to standard output. */
PS_CHECKED int remote_fill_output(struct cli *cli, struct remote_sink *sink, remote_fill_fn *fill, void *arg);

/* ---- pads.c ---- */

/* A file of that name in a folder that no name leads out of; a descriptor, or -1 and errno. */
int remote_open_copy(int folder, const char *name);

/* ---- public.c ---- */

/* Where a public value is read: one line, or a JSON object with `name`. */
PS_CHECKED int remote_say_address(struct cli *cli, ps_remote *r, const char *name);

/* ---- say.c ---- */

/* As cli_fail, with network and name (may be NULL) where the sentence does not have them. */
int remote_fail(const struct cli *cli, int err, const char *name);
/* The command was interrupted; `rest` says what there is now. */
int remote_interrupted(const struct cli *cli, const char *name, const char *rest);
/* What an operation ended with: a plan if it was a dry run, a failure, or that it was interrupted. */
int remote_ended(struct cli *cli, int err, const char *name, const char *rest);
enum { REMOTE_SHOWN = 4 * 1024 + 8 }; /* of any name */
/* As it may be shown on a terminal: cli_escape, but backslashes stay where nothing has to be escaped. */
const char *remote_shown(const char *text, char out[REMOTE_SHOWN]);
/* "2026-11-21 17:55:02", of nanoseconds since 1970, here. */
const char *remote_time_text(uint64_t time_ns, char out[32]);
/* "1 pad", "120 pads" */
const char *remote_pads_text(uint64_t pads, char out[32]);
const char *remote_values_text(uint64_t values, char out[32]);
void remote_say_plan(struct cli *cli, const char *name, const struct ps_remote_plan *plan);
const char *remote_mode_text(int mode);

/* ---- watch.c ---- */

/* Takes the bar away. */
void remote_watch_end(struct remote_watch *watch);
/* A ps_remote_progress_fn over a struct remote_watch; cancels when interrupted, and a dry run at its plan. */
int remote_watch_progress(void *arg, const struct ps_remote_progress *progress);

/* ---- the commands ---- */

int cli_run_remote_init(struct cli *cli);
int cli_run_remote_put(struct cli *cli);
int cli_run_remote_update(struct cli *cli);
int cli_run_remote_get(struct cli *cli);
int cli_run_remote_publish(struct cli *cli);
int cli_run_remote_unpublish(struct cli *cli);
int cli_run_remote_fetch(struct cli *cli);
int cli_run_remote_rm(struct cli *cli);
int cli_run_remote_release(struct cli *cli);
int cli_run_remote_mv(struct cli *cli);
int cli_run_remote_ls(struct cli *cli);
int cli_run_remote_stat(struct cli *cli);
int cli_run_remote_stats(struct cli *cli);
int cli_run_remote_estimate(struct cli *cli);
int cli_run_remote_reserve(struct cli *cli);
int cli_run_remote_health(struct cli *cli);
int cli_run_remote_purge(struct cli *cli);
int cli_run_remote_verify(struct cli *cli);
int cli_run_remote_sync(struct cli *cli);
int cli_run_remote_head_code(struct cli *cli);
int cli_run_remote_machines(struct cli *cli);
int cli_run_remote_drop_machine(struct cli *cli);
int cli_run_remote_rebuild(struct cli *cli);
int cli_run_remote_forget(struct cli *cli);
int cli_run_remote_drill(struct cli *cli);
int cli_run_remote_gc(struct cli *cli);
int cli_run_remote_audit(struct cli *cli);
int cli_run_remote_copy(struct cli *cli);
int cli_run_remote_export(struct cli *cli);
int cli_run_remote_import(struct cli *cli);
int cli_run_remote_export_index(struct cli *cli);
int cli_run_remote_import_index(struct cli *cli);
int cli_run_push(struct cli *cli);
int cli_run_evict(struct cli *cli);
int cli_run_clone(struct cli *cli);
int cli_run_history(struct cli *cli);
int cli_run_remote_status(struct cli *cli);

#endif
