/* The command line: argp for the common options and for each command's own. */
#include "cli/cli.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* A store and a network: top-level commands with the options of `padstone remote'. */
static const struct cli_group cli_pads_group = {.name = "",
                                                .members = cli_pads_commands,
                                                .hint = cli_remote_hint,
                                                .options = cli_remote_options,
                                                .parse = cli_pads_parse};

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
     "Verify the store and its catalogue; exit with 5 if damage is found.\vChanges nothing.", check_options,
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

bool cli_fetches(const struct cli_command *command)
{
	static int (*const runs[])(struct cli *cli) = {cli_run_get,    cli_run_ls,     cli_run_info,   cli_run_rm,
	                                               cli_run_check,  cli_run_compact, cli_run_backup,
	                                               cli_run_import, cli_run_export};

	for (size_t i = 0; i < sizeof(runs) / sizeof(*runs); i++)
		if (command->run == runs[i])
			return true;
	return false;
}

int cli_parse_id(const char *text, ps_id *id)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	char *end;
	unsigned long long value;

	if (*digits == '\0' ||
	    strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
		return ps_fail(PS_EINVAL, "'%s' is not an id: ids are decimal, or hexadecimal after 0x",
		               text);
	errno = 0;
	value = strtoull(digits, &end, hex ? 16 : 10);
	if (errno != 0 || value == PS_ID_NONE)
		return ps_fail(PS_EINVAL, "'%s' cannot be an id", text);
	*id = value;
	return PS_OK;
}

int cli_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	char *end;
	double value, scale = 1;

	if (text[0] < '0' || text[0] > '9')
		return ps_fail(PS_EINVAL, "'%s' is not a size such as 4096, 64M or 1.5G", text);
	value = strtod(text, &end);
	for (size_t i = 0; *end != '\0' && units[i] != '\0'; i++) {
		if ((*end & ~0x20) != units[i])
			continue;
		scale = ldexp(1, (int)(10 * (i + 1)));
		end++;
		if (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0)
			end += strlen(end);
		break;
	}
	if (*end != '\0' || !isfinite(value) || value * scale > (double)PS_SIZE_MAX)
		return ps_fail(PS_EINVAL, "'%s' is not a size such as 4096, 64M or 1.5G", text);
	*bytes = (uint64_t)(value * scale);
	return PS_OK;
}

int cli_parse_number(const char *text, uint64_t *number)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0)
		return ps_fail(PS_EINVAL, "'%s' is not a number", text);
	*number = value;
	return PS_OK;
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
static const struct argp_child store_children[] = {
    {&common_argp, 0, NULL, 0}, {&store_argp, 0, NULL, 0}, {0}};

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
		whole->network = (struct argp){.options = cli_fetch_options(), .parser = parse_fetch};
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

static error_t parse_main(int key, char *arg, struct argp_state *state)
{
	int *command_at = ((void **)state->input)[0];

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = state->child_inputs[1] = ((void **)state->input)[1];
		return 0;
	case ARGP_KEY_ARG:
		*command_at = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static char *main_doc(int key, const char *text, void *input)
{
	char *doc = NULL;
	size_t size;
	FILE *out;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)(uintptr_t)text;
	out = open_memstream(&doc, &size);
	if (out == NULL)
		return (char *)(uintptr_t)text;
	fputs("Commands:\n", out);
	for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
		fprintf(out, "  %-8s %.*s\n", c->name, (int)strcspn(c->doc, "\v"), c->doc);
	for (const struct cli_command *c = cli_pads_commands; c->name != NULL; c++)
		fprintf(out, "  %-8s %.*s\n", c->name, (int)strcspn(c->doc, "\v"), c->doc);
	for (const struct cli_group *g = cli_groups; g->name != NULL; g++)
		fprintf(out, "  %-8s %s\n", g->name, g->doc);
	fputs("\n`padstone help COMMAND' or `padstone COMMAND --help' says more about one.\n"
	      "Exit status: 0 done, 1 failed, 2 usage, 3 not found, 4 store in use,\n"
	      "5 damaged data found, 6 no space left, 7 it is on a network: --network and --key.",
	      out);
	if (fclose(out) != 0) {
		free(doc);
		return (char *)(uintptr_t)text;
	}
	return doc;
}

static const struct argp main_argp = {.parser = parse_main,
                                      .args_doc = "COMMAND STORE [OPERAND...]",
                                      .doc = "Keep objects and folders in one crash-safe file.\v",
                                      .children = store_children,
                                      .help_filter = main_doc};

/* *group: NULL, or the one without a name. */
static const struct cli_command *find_command(const char *name, const struct cli_group **group)
{
	*group = NULL;
	for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	*group = &cli_pads_group;
	for (const struct cli_command *c = cli_pads_commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static const struct cli_group *find_group(const char *name)
{
	for (const struct cli_group *g = cli_groups; g->name != NULL; g++)
		if (strcmp(g->name, name) == 0)
			return g;
	return NULL;
}

static const struct cli_command *find_member(const struct cli_group *group, const char *name)
{
	for (const struct cli_command *c = group->members; c->name != NULL; c++)
		if (strcmp(c->name + strlen(group->name) + 1, name) == 0)
			return c;
	return NULL;
}

static void print_group(const struct cli_group *group)
{
	printf("Usage: padstone %s COMMAND %s\n%s\n\nCommands:\n", group->name, group->usage, group->doc);
	for (const struct cli_command *c = group->members; c->name != NULL; c++)
		printf("  %-17s %.*s\n", c->name, (int)strcspn(c->doc, "\v"), c->doc);
	printf("\n`padstone help %s COMMAND' says more about one.\n", group->name);
}

/* argv[0] is the group's name. NULL, and said why, without a member of it. */
static const struct cli_command *member_or_help(const struct cli_group *group, int argc, char **argv)
{
	const struct cli_command *command = argc > 1 ? find_member(group, argv[1]) : NULL;

	if (argc < 2)
		fprintf(stderr, "padstone: %s what? `padstone help %s' lists its commands\n", argv[0], argv[0]);
	else if (command == NULL)
		fprintf(stderr, "padstone: there is no command '%s %s'; `padstone help %s' lists them\n", argv[0],
		        argv[1], argv[0]);
	return command;
}

static int run_help(int argc, char **argv)
{
	static char program[] = "padstone";
	const struct cli_command *command = NULL;
	const struct cli_group *group = argc > 1 ? find_group(argv[1]) : NULL;

	if (group != NULL && argc == 2) {
		print_group(group);
		return CLI_DONE;
	}
	if (group != NULL) {
		command = member_or_help(group, argc - 1, argv + 1);
		if (command == NULL)
			return CLI_USAGE;
	} else if (argc > 1) {
		command = find_command(argv[1], &group);
	}

	if (argc > 1 && command == NULL) {
		fprintf(stderr, "padstone: there is no command '%s'\n", argv[1]);
		return CLI_USAGE;
	}
	if (command != NULL)
		cli_help(group, command);
	else
		argp_help(&main_argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, program);
	return CLI_DONE;
}

static int flush_stdout(const struct cli *cli, int result)
{
	struct pollfd out = {.fd = STDOUT_FILENO};
	int err;

	if (fflush(stdout) == 0 && !ferror(stdout))
		return result;
	if (poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0)
		return CLI_FAILED; /* whoever read it has seen enough: no message, as with `| head` everywhere
		                    */
	err = ps_fail_errno(errno, "cannot write to standard output");
	clearerr(stdout);
	return result != CLI_DONE ? result : cli_fail(cli, err, NULL);
}

static int run_command(const struct cli_command *command, int argc, char **argv, struct cli *cli)
{
	int result;

	cli->operands = calloc((size_t)argc + 1, sizeof(*cli->operands));
	if (cli->operands == NULL)
		return cli_fail(cli, ps_fail(PS_ENOMEM, "no memory for the command line"), NULL);
	cli_parse(command, argc, argv, cli);
	cli_catch_signals();
	result = flush_stdout(cli, command->run(cli));
	free(cli->operands);
	return result;
}

int cli_main(int argc, char **argv)
{
	static char program[] = "padstone";
	const struct cli_command *command;
	struct cli cli = {0};
	int at = 0;
	void *input[2] = {&at, &cli};

	argp_program_version = "padstone " PADSTONE_VERSION;
	argp_err_exit_status = CLI_USAGE;
	if (argc > 0)
		argv[0] = program;
	if (argp_parse(&main_argp, argc, argv, ARGP_IN_ORDER, NULL, input) != 0 || at == 0)
		return CLI_USAGE;
	if (strcmp(argv[at], "help") == 0)
		return run_help(argc - at, argv + at);
	cli.group = find_group(argv[at]);
	if (cli.group != NULL) {
		if (argc - at > 1 && strcmp(argv[at + 1], "--help") == 0)
			return run_help(2, argv + at - 1);
		command = member_or_help(cli.group, argc - at, argv + at);
		return command != NULL ? run_command(command, argc - at - 1, argv + at + 1, &cli) : CLI_USAGE;
	}
	command = find_command(argv[at], &cli.group);
	if (command == NULL) {
		fprintf(stderr, "padstone: there is no command '%s'; `padstone --help' lists them\n",
		        argv[at]);
		return CLI_USAGE;
	}
	return run_command(command, argc - at, argv + at, &cli);
}
