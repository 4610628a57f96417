/* What the parts of the padstone tool share: the parsed command line, exit codes, and how results are said.
 */
#ifndef PS_CLI_H
#define PS_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include <padstone/padstone.h>

#include "cli/remote/options.h"

enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
	CLI_BUSY = 4,
	CLI_DAMAGED = 5,
	CLI_NO_SPACE = 6,
	CLI_AWAY = 7, /* what is wanted is on a network that was not named */
};

enum { CLI_STREAM_BYTES = 1 << 20 }; /* buffer of every copy between a file and the store */

struct cli_command;
struct cli_group;
struct cli_progress;
struct cli_attachment;

/* The command line after parsing. Filled by cli_parse, read by commands. */
struct cli {
	const struct cli_command *command;
	const struct cli_group *group; /* of the command, if it is in one */
	const char *store;             /* the first operand; NULL in a group that parses its own */
	char **operands;               /* after STORE */
	int operand_count;
	bool json, quiet, no_progress;
	uint64_t memory;
	int io; /* enum ps_base_io */
	const char *output, *as, *from, *svg;
	const char *stack;
	bool ids, recursive, full, force, remove_gone, checksum, setuid;
	uint64_t goal;
	bool hex, from_words, from_hex, ask, ask_new, remove_passphrase;
	const char *passphrase_file, *new_passphrase_file, *store_name;
	struct cli_remote_options remote;
	struct cli_progress *progress;     /* the bar being drawn, if any */
	struct cli_attachment *attachment; /* of the open store; NULL */
};

struct argp_option;
struct argp_state;
struct cli_command {
	const char *name;
	const char *operands; /* as usage shows them, STORE first */
	const char *doc;      /* "one line\vmore" as argp wants it */
	const struct argp_option *options;
	int min_operands, max_operands; /* after STORE; max -1: any number */
	int (*run)(struct cli *cli);    /* returns an enum cli_exit */
};

/* Commands that belong together: `padstone GROUP MEMBER'. */
struct cli_group {
	const char *name, *doc;
	const char *usage;                 /* what stands behind COMMAND */
	const struct cli_command *members; /* named "GROUP MEMBER"; the last has a NULL name */
	const char *(*hint)(const struct cli *cli, int err); /* what may help; may give NULL */
	const struct argp_option *(*options)(void);          /* of all members; may be NULL */
	/* An option or operand of a member, an error_t as argp has it: ARGP_ERR_UNKNOWN for the usual way.
	 * May be NULL. */
	int (*parse)(int key, char *arg, struct cli *cli, struct argp_state *state);
};

/* The whole tool: returns the exit status. Exits by itself on --help, --version and usage errors. */
int cli_main(int argc, char **argv);
/* All commands, the last with a NULL name. */
extern const struct cli_command cli_commands[];
/* All groups, the last with a NULL name. */
extern const struct cli_group cli_groups[];
extern const struct cli_command cli_key_commands[];
const char *cli_key_hint(const struct cli *cli, int err);
extern const struct cli_command cli_remote_commands[];
const struct argp_option *cli_remote_options(void);
const char *cli_remote_hint(const struct cli *cli, int err);
int cli_remote_parse(int key, char *arg, struct cli *cli, struct argp_state *state);
/* Of a store and a network, without a group's name; the last has a NULL name. */
extern const struct cli_command cli_pads_commands[];
int cli_pads_parse(int key, char *arg, struct cli *cli, struct argp_state *state);
/* It works on contents of STORE, which may be on a network: it has the options that say where. */
bool cli_fetches(const struct cli_command *command);
/* And it changes nothing: so it works on a state that was pushed earlier, too. */
bool cli_only_reads(const struct cli_command *command);
/* These options; cli_remote_parse takes them. */
const struct argp_option *cli_fetch_options(bool only_reads);
/* Fills cli from argv, argv[0] being the command's name; exits with CLI_USAGE on a mistake. */
void cli_parse(const struct cli_command *command, int argc, char **argv, struct cli *cli);
void cli_help(const struct cli_group *group, const struct cli_command *command);
/* Options that stand before the command as well; their input is the struct cli. The last has no argp. */
const struct argp_child *cli_store_argps(void);
/* A decimal or 0x id; PS_EINVAL with a sentence. */
PS_CHECKED int cli_parse_id(const char *text, ps_id *id);
/* "64M", "1.5G", "4096": PS_EINVAL with a sentence. */
PS_CHECKED int cli_parse_size(const char *text, uint64_t *bytes);
/* A decimal number; PS_EINVAL with a sentence. */
PS_CHECKED int cli_parse_number(const char *text, uint64_t *number);

/* The only four functions that know which Storer is behind STORE; unit tests bring their own. */
PS_CHECKED int cli_open_store(const struct cli *cli, int mode, ps_storer **s);
/* For writing, and attached to r, to which nothing is pushed in the background; r stays open for longer. */
PS_CHECKED int cli_open_store_on(const struct cli *cli, ps_remote *r, ps_storer **s);
/* The state of --at, which r has; what is fetched of it lies in STORE's folder, without a name. */
PS_CHECKED int cli_open_state_on(const struct cli *cli, ps_remote *r, ps_storer **s);
PS_CHECKED int cli_close_store(ps_storer *s);

/* ---- contents that have left the file (remote/attach.c) ---- */

/* False, and said why: of --network and --key one was given, and the other one is not known; or a URL is
 * none. */
bool cli_network_is_named(const struct cli *cli);
/* Network and key are known, by options or from the environment. */
bool cli_can_fetch(const struct cli *cli);
/* What of s is away comes back through them when it is touched; nothing is opened before. A store without
 * pushes stays as it is. */
PS_CHECKED int cli_attach(struct cli *cli, ps_storer *s);
/* Instead of cli_open_store and that: the state of --at. Says what fails, and gives the exit code. */
PS_CHECKED int cli_open_state(struct cli *cli, ps_storer **s);
/* Before the store is closed, and after it. */
void cli_attachment_stop(const struct cli *cli);
PS_CHECKED int cli_attachment_free(struct cli *cli);

/* The exit code that fits a ps_error. */
int cli_exit_code(int err);
/* Says the thread's last failure on stderr, with a hint where one helps, and as JSON if asked for; returns
 * its exit code. `what` (may be NULL) stands before the sentence. */
int cli_fail(const struct cli *cli, int err, const char *what);
/* Closes the store; the first of result and the close's own failure. */
int cli_finish(struct cli *cli, ps_storer *s, int result);
/* One line on stderr: "padstone: …"; kept back by --quiet. */
void cli_warn(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One line on stdout; kept back by --quiet and --json. */
void cli_say(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One JSON object on a line of its own, if --json; "command" is put in. Owns the object. */
void cli_json(const struct cli *cli, json_t *object);
/* {"KEY": name}, or {"KEY_hex": …} for bytes that are not UTF-8. */
void cli_json_name(json_t *object, const char *key, const char *name);
/* name with control characters, backslashes and bytes that are not UTF-8 written as \n, \\, \xNN; a buffer of
 * 4 * length + 1 always suffices; what does not fit is cut. Returns out. */
char *cli_escape(const char *name, char *out, size_t size);
/* "1.2 MiB" */
const char *cli_size_text(uint64_t bytes, char out[32]);

/* Set by SIGINT and SIGTERM: a command ends at its next consistent point. */
bool cli_interrupted(void);
void cli_catch_signals(void);
/* After an open that gave err: waits a moment, and tells whether it is to be tried again. *tries begins at 0.
 */
bool cli_again_if_busy(int err, int *tries);

/* The store in the way that most commands want it: attached. Says what fails, and gives the exit code. */
PS_CHECKED int cli_open(struct cli *cli, int mode, ps_storer **s);
/* The open store of a command and its run: what most commands look like. */
int cli_with_store(struct cli *cli, int mode, int (*run)(struct cli *cli, ps_storer *s));

int cli_run_create(struct cli *cli);
int cli_run_put(struct cli *cli);
int cli_run_get(struct cli *cli);
int cli_run_rm(struct cli *cli);
int cli_run_ls(struct cli *cli);
int cli_run_info(struct cli *cli);
int cli_run_stat(struct cli *cli);
int cli_run_map(struct cli *cli);
int cli_run_check(struct cli *cli);
int cli_run_compact(struct cli *cli);
int cli_run_backup(struct cli *cli);
int cli_run_import(struct cli *cli);
int cli_run_export(struct cli *cli);
int cli_run_conform(struct cli *cli);
int cli_run_key_new(struct cli *cli);
int cli_run_key_show(struct cli *cli);
int cli_run_key_check(struct cli *cli);
int cli_run_key_passphrase(struct cli *cli);
int cli_run_key_rotate(struct cli *cli);
int cli_run_key_read_only(struct cli *cli);

#endif
