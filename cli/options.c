/* The command line: argp for the common options and for each command's own. */
#include "cli/cli.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include <padstone/base_store.h>

#include "base/fail.h"

enum {
	KEY_JSON = 256,
	KEY_STACK,
	KEY_NO_PROGRESS,
	KEY_MEMORY,
	KEY_IO,
	KEY_IDS,
	KEY_QUICK,
	KEY_FULL,
	KEY_FORCE,
	KEY_DELETE,
	KEY_CHECKSUM,
	KEY_AS,
	KEY_FROM,
	KEY_SETUID,
	KEY_GOAL,
	KEY_SVG,
	KEY_HEX,
	KEY_FROM_WORDS,
	KEY_FROM_HEX,
	KEY_ASK,
	KEY_PASSPHRASE_FILE,
	KEY_ASK_NEW,
	KEY_NEW_PASSPHRASE_FILE,
	KEY_REMOVE,
	KEY_STORE
};

static const struct argp_option common_options[] = {
    {NULL, 0, NULL, 0, "Common options:", 1},
    {"json", KEY_JSON, NULL, 0, "Results as JSON, one object a line", 1},
    {"quiet", 'q', NULL, 0, "No warnings, summaries or progress; errors still", 1},
    {"no-progress", KEY_NO_PROGRESS, NULL, 0, "No progress on standard error", 1},
    {0}};
static const struct argp_option store_options[] = {
    {"memory", KEY_MEMORY, "SIZE", 0, "Memory that the store may use, such as 64M (default: a quarter)", 1},
    {"io", KEY_IO, "KIND", 0, "auto, uring, posix or buffered", 1},
    {0}};

static const struct argp_option get_options[] = {
    {"output", 'o', "FILE", 0, "Write to FILE, which appears when it is complete", 0}, {0}};
static const struct argp_option ls_options[] = {
    {"ids", KEY_IDS, NULL, 0, "List the id and size of every object", 0},
    {"recursive", 'R', NULL, 0, "List what is in folders, too", 0},
    {0}};
static const struct argp_option check_options[] = {
    {"quick", KEY_QUICK, NULL, 0, "Structure, space and catalogue only", 0},
    {"full", KEY_FULL, NULL, 0, "Every byte as well (default)", 0},
    {0}};
static const struct argp_option compact_options[] = {
    {"goal", KEY_GOAL, "SIZE", 0, "Stop when the file is at most SIZE (default: as small as it gets)", 0},
    {0}};
static const struct argp_option map_options[] = {
    {"svg", KEY_SVG, "FILE", 0, "A picture into FILE, which appears when it is complete", 0}, {0}};
static const struct argp_option import_options[] = {
    {"as", KEY_AS, "NAME", 0, "Import under NAME (default: the root of the catalogue)", 0},
    {"checksum", KEY_CHECKSUM, NULL, 0, "Compare contents; do not trust size and time", 0},
    {"delete", KEY_DELETE, NULL, 0, "Remove what DIR has no longer", 0},
    {0}};
static const struct argp_option export_options[] = {
    {"from", KEY_FROM, "PATH", 0, "Export the folder PATH of the catalogue (default: all)", 0},
    {"force", KEY_FORCE, NULL, 0, "Replace files that exist", 0},
    {"setuid", KEY_SETUID, NULL, 0, "Keep set-user-id and set-group-id bits of files", 0},
    {0}};

static const struct argp_option conform_options[] = {
    {"stack", KEY_STACK, "STACK", 0, "Layers from the outermost to the file, such as \"concurrent(base)\"", 0}, {0}};

#define PASSPHRASE_FILE                                                                                      \
	{                                                                                                    \
		"passphrase-file", KEY_PASSPHRASE_FILE, "FILE|FD", 0,                                        \
		    "The passphrase is the first line of FILE, or of this descriptor", 0                     \
	}
#define NEW_PASSPHRASE_FILE                                                                                  \
	{                                                                                                    \
		"new-passphrase-file", KEY_NEW_PASSPHRASE_FILE, "FILE|FD", 0,                                \
		    "The new passphrase, as with --passphrase-file", 0                                       \
	}
static const struct argp_option key_new_options[] = {
    {"from-words", KEY_FROM_WORDS, NULL, 0, "The key's 24 words from standard input", 0},
    {"from-hex", KEY_FROM_HEX, NULL, 0, "The key's 64 hexadecimal digits from standard input", 0},
    {"passphrase", KEY_ASK, NULL, 0, "Ask for a passphrase on the terminal", 0},
    PASSPHRASE_FILE,
    {0}};
static const struct argp_option key_show_options[] = {
    {"hex", KEY_HEX, NULL, 0, "64 hexadecimal digits instead of words", 0}, PASSPHRASE_FILE, {0}};
static const struct argp_option key_options[] = {PASSPHRASE_FILE, {0}};
static const struct argp_option key_passphrase_options[] = {
    PASSPHRASE_FILE,
    NEW_PASSPHRASE_FILE,
    {"remove", KEY_REMOVE, NULL, 0, "No passphrase any more", 0},
    {0}};
static const struct argp_option key_read_only_options[] = {
    {"store", KEY_STORE, "NAME", 0, "The one store that it reads (default: main)", 0},
    PASSPHRASE_FILE,
    {"new-passphrase", KEY_ASK_NEW, NULL, 0, "Ask for NEWFILE's passphrase on the terminal", 0},
    NEW_PASSPHRASE_FILE,
    {0}};

const struct cli_command cli_key_commands[] = {
    {"key new", "FILE", "Make a new key in the new file FILE.\v"
     "The key is 32 bytes from the kernel, or what --from-words or --from-hex read. The file has mode 0600. "
     "Write the words down (`padstone key show'): who loses file and words loses what the key sealed.",
     key_new_options, 0, 0, cli_run_key_new},
    {"key show", "FILE", "Print the key as 24 words, to be written down.\v"
     "Whoever reads them can read and write everything under the key.",
     key_show_options, 0, 0, cli_run_key_show},
    {"key check", "FILE", "Open the file and say what it holds, without the key itself.\v"
     "Two files with one fingerprint hold one key.",
     key_options, 0, 0, cli_run_key_check},
    {"key passphrase", "FILE", "Set, change or remove the file's passphrase.\v"
     "The file is replaced at once and whole. Its old bytes may stay on the disk until they are written over, and "
     "copies made before open as they did: where that matters, make a new key (`padstone key rotate').",
     key_passphrase_options, 0, 0, cli_run_key_passphrase},
    {"key rotate", "FILE NEWFILE", "Make the key that is to follow FILE's, under the same passphrase.\v"
     "It is new and shares nothing with the old one. What lies on networks stays sealed with the old key, and "
     "nothing there changes by this command: copy the contents under the new key, and keep FILE until that is done.",
     key_options, 1, 1, cli_run_key_rotate},
    {"key read-only", "FILE NEWFILE", "Make a key that reads one store, and cannot write.\v"
     "Give NEWFILE to those who may read; it opens no other store, and FILE cannot be found from it.",
     key_read_only_options, 1, 1, cli_run_key_read_only},
    {0}};

const struct cli_group cli_groups[] = {
    {.name = "key",
     .doc = "Make, show and protect the key of a user.",
     .usage = "FILE [OPERAND...]",
     .members = cli_key_commands,
     .hint = cli_key_hint},
    {.name = "remote",
     .doc = "Keep values on storage that nobody has to trust.",
     .usage = "[OPERAND...]",
     .members = cli_remote_commands,
     .hint = cli_remote_hint,
     .options = cli_remote_options,
     .parse = cli_remote_parse},
    {0}};

const struct cli_command cli_commands[] = {
    {"create", "STORE", "Make a new, empty store in the file STORE.", NULL, 0, 0, cli_run_create},
    {"put", "STORE FILE|-",
     "Store a file, or standard input for -, and print the new id.\v"
     "Files of any size, and input of unknown length, pass through in small pieces.",
     NULL, 1, 1, cli_run_put},
    {"get", "STORE ID", "Write an object to standard output, or to a file with -o.", get_options, 1, 1,
     cli_run_get},
    {"rm", "STORE ID...",
     "Delete objects.\v"
     "All of them or, if one is missing, none. To remove imported files use import --delete.",
     NULL, 1, -1, cli_run_rm},
    {"ls", "STORE [PATH]",
     "List imported files (mode, size, date, name), or all objects.\v"
     "A store into which nothing was imported lists its objects, as with --ids. Control characters in names "
     "are shown as \\n, \\xNN; --json gives names exactly.",
     ls_options, 0, 1, cli_run_ls},
    {"info", "STORE ID", "Show what the store knows about one object.", NULL, 1, 1, cli_run_info},
    {"stat", "STORE", "Show figures of the whole store.", NULL, 0, 0, cli_run_stat},
    {"map", "STORE",
     "Show where in the file everything is, by route.\v"
     "As text, as a picture (--svg), or piece by piece (--json).",
     map_options, 0, 0, cli_run_map},
    {"check", "STORE",
     "Verify the store and its catalogue (exit status 5: damage).\vChanges nothing.", check_options,
     0, 0, cli_run_check},
    {"compact", "STORE", "Give free space back to the file system.", compact_options, 0, 0, cli_run_compact},
    {"backup", "STORE DEST", "Write a whole copy of the store to the new file DEST.", NULL, 1, 1,
     cli_run_backup},
    {"import", "STORE DIR",
     "Store a folder, with names, modes, times and symbolic links.\v"
     "Importing again stores only what changed. An import that was killed loses nothing that it had "
     "committed; "
     "run it again and it goes on. Hard links become separate files; sockets, devices and pipes are left "
     "out.",
     import_options, 1, 1, cli_run_import},
    {"export", "STORE DIR",
     "Write imported files into the folder DIR.\v"
     "DIR is made if need be. Files that exist are an error without --force. Nothing is ever written outside "
     "DIR.",
     export_options, 1, 1, cli_run_export},
    {"conform", "STORE",
     "Run the conformance suite against a stack of layers.\v"
     "STORE must not exist: it is made, and removed again, many times. Says of each test whether it passed.",
     conform_options, 0, 0, cli_run_conform},
    {0}};

bool cli_only_reads(const struct cli_command *command)
{
	static int (*const runs[])(struct cli * cli) = {cli_run_get,   cli_run_ls,     cli_run_info,
	                                                cli_run_check, cli_run_backup, cli_run_export};

	for (size_t i = 0; i < sizeof(runs) / sizeof(*runs); i++)
		if (command->run == runs[i])
			return true;
	return false;
}

bool cli_fetches(const struct cli_command *command)
{
	return cli_only_reads(command) || command->run == cli_run_rm || command->run == cli_run_compact ||
	       command->run == cli_run_import;
}

static int parse_io(const char *text)
{
	static const char *const kinds[] = {"auto", "uring", "posix", "buffered"};

	for (int i = 0; i < 4; i++)
		if (strcmp(text, kinds[i]) == 0)
			return i;
	return -1;
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct cli *cli = state->input;

	switch (key) {
	case KEY_JSON:
		cli->json = true;
		return 0;
	case 'q':
		cli->quiet = true;
		return 0;
	case KEY_NO_PROGRESS:
		cli->no_progress = true;
		return 0;
	case KEY_MEMORY:
		if (cli_parse_size(arg, &cli->memory) != PS_OK)
			argp_error(state, "%s", ps_last_error_message());
		return 0;
	case KEY_IO:
		cli->io = parse_io(arg);
		if (cli->io < 0)
			argp_error(state, "--io is auto, uring, posix or buffered, not '%s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp common_argp = {.options = common_options, .parser = parse_common};
static const struct argp store_argp = {.options = store_options, .parser = parse_common};

const struct argp_child *cli_store_argps(void)
{
	static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {&store_argp, 0, NULL, 0}, {0}};

	return children;
}

/* Options of a network, for a command that works on a file. */
static error_t parse_fetch(int key, char *arg, struct argp_state *state)
{
	if (key <= 0 || key >= ARGP_KEY_END)
		return ARGP_ERR_UNKNOWN;
	return cli_remote_parse(key, arg, state->input, state);
}

/* Options only: operands go to the command's own parser. */
static error_t parse_group(int key, char *arg, struct argp_state *state)
{
	struct cli *cli = state->input;

	if (key <= 0 || key >= ARGP_KEY_END)
		return ARGP_ERR_UNKNOWN;
	return cli->group->parse(key, arg, cli, state);
}

static void end_of_operands(struct cli *cli, struct argp_state *state)
{
	const struct cli_command *command = cli->command;

	if (cli->store == NULL && cli->group != NULL)
		argp_error(state, "which file? Expected %s", command->operands);
	if (cli->store == NULL)
		argp_error(state, "which store? The first operand is its file");
	if (cli->operand_count < command->min_operands)
		argp_error(state, "too few operands; expected %s", command->operands);
	if (command->max_operands >= 0 && cli->operand_count > command->max_operands)
		argp_error(state, "too many operands; expected %s", command->operands);
	if (cli->json && command->run == cli_run_get && cli->output == NULL)
		argp_error(state, "get --json needs -o FILE: without it standard output carries the object");
	if (cli->from_words && cli->from_hex)
		argp_error(state, "--from-words and --from-hex are two ways; take one");
	if (cli->remove_passphrase && cli->new_passphrase_file != NULL)
		argp_error(state, "--remove and --new-passphrase-file do not go together");
}

static error_t parse_key_option(int key, char *arg, struct cli *cli)
{
	switch (key) {
	case KEY_HEX:
		cli->hex = true;
		return 0;
	case KEY_FROM_WORDS:
		cli->from_words = true;
		return 0;
	case KEY_FROM_HEX:
		cli->from_hex = true;
		return 0;
	case KEY_ASK:
		cli->ask = true;
		return 0;
	case KEY_ASK_NEW:
		cli->ask_new = true;
		return 0;
	case KEY_REMOVE:
		cli->remove_passphrase = true;
		return 0;
	case KEY_PASSPHRASE_FILE:
		cli->passphrase_file = arg;
		return 0;
	case KEY_NEW_PASSPHRASE_FILE:
		cli->new_passphrase_file = arg;
		return 0;
	case KEY_STORE:
		cli->store_name = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_switch(int key, char *arg, struct cli *cli)
{
	switch (key) {
	case 'R':
		cli->recursive = true;
		return 0;
	case KEY_IDS:
		cli->ids = true;
		return 0;
	case KEY_QUICK:
		cli->full = false;
		return 0;
	case KEY_FULL:
		cli->full = true;
		return 0;
	case KEY_FORCE:
		cli->force = true;
		return 0;
	case KEY_DELETE:
		cli->remove_gone = true;
		return 0;
	case KEY_CHECKSUM:
		cli->checksum = true;
		return 0;
	case KEY_SETUID:
		cli->setuid = true;
		return 0;
	default:
		return parse_key_option(key, arg, cli);
	}
}

static error_t parse_command(int key, char *arg, struct argp_state *state)
{
	struct cli *cli = state->input;
	error_t err;

	if (cli->group != NULL && cli->group->parse != NULL) {
		err = cli->group->parse(key, arg, cli, state);
		if (err != ARGP_ERR_UNKNOWN)
			return err;
	}
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = state->child_inputs[1] = state->child_inputs[2] = cli;
		return 0;
	case ARGP_KEY_ARG:
		if (cli->store == NULL)
			cli->store = arg;
		else
			cli->operands[cli->operand_count++] = arg;
		return 0;
	case ARGP_KEY_END:
		end_of_operands(cli, state);
		return 0;
	case 'o':
		cli->output = arg;
		return 0;
	case KEY_STACK:
		cli->stack = arg;
		return 0;
	case KEY_AS:
		cli->as = arg;
		return 0;
	case KEY_SVG:
		cli->svg = arg;
		return 0;
	case KEY_FROM:
		cli->from = arg;
		return 0;
	case KEY_GOAL:
		if (cli_parse_size(arg, &cli->goal) != PS_OK)
			argp_error(state, "%s", ps_last_error_message());
		return 0;
	default:
		return parse_switch(key, arg, cli);
	}
}

/* argp shows argv[0] in usage and errors. */
static char *full_name(const struct cli_command *command, char out[64])
{
	snprintf(out, 64, "padstone %s", command->name);
	return out;
}

/* A command's argp, and what it points at. */
struct whole_argp {
	struct argp argp, network;
	struct argp_child children[4];
};

static void add_child(struct whole_argp *whole, const struct argp *argp)
{
	size_t n = 0;

	while (whole->children[n].argp != NULL)
		n++;
	whole->children[n].argp = argp;
}

static void make_argp(const struct cli_group *group, const struct cli_command *command, struct whole_argp *whole)
{
	*whole = (struct whole_argp){.argp = {.options = command->options,
	                                      .parser = parse_command,
	                                      .args_doc = command->operands,
	                                      .doc = command->doc,
	                                      .children = whole->children}};
	add_child(whole, &common_argp);
	if (group == NULL || (group->options != NULL && strncmp(command->operands, "STORE", 5) == 0))
		add_child(whole, &store_argp);
	if (group != NULL && group->options != NULL)
		whole->network = (struct argp){.options = group->options(), .parser = parse_group};
	else if (group == NULL && cli_fetches(command))
		whole->network = (struct argp){.options = cli_fetch_options(cli_only_reads(command)),
		                               .parser = parse_fetch};
	if (whole->network.parser != NULL)
		add_child(whole, &whole->network);
}

void cli_parse(const struct cli_command *command, int argc, char **argv, struct cli *cli)
{
	struct whole_argp whole;
	char name[64];

	make_argp(cli->group, command, &whole);
	cli->command = command;
	cli->full = true;
	argv[0] = full_name(command, name);
	if (argp_parse(&whole.argp, argc, argv, 0, NULL, cli) != 0)
		exit(CLI_USAGE);
}

void cli_help(const struct cli_group *group, const struct cli_command *command)
{
	struct whole_argp whole;
	char name[64];

	make_argp(group, command, &whole);
	argp_help(&whole.argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, full_name(command, name));
}
