/* From the words of the command line to the command that runs, or to help. */
#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "cli/cli.h"

/* A store and a network: top-level commands with the options of `padstone remote'. */
static const struct cli_group cli_pads_group = {.name = "",
                                                .members = cli_pads_commands,
                                                .hint = cli_remote_hint,
                                                .options = cli_remote_options,
                                                .parse = cli_pads_parse};

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
		fprintf(out, "  %-13s %.*s\n", c->name, (int)strcspn(c->doc, "\v"), c->doc);
	for (const struct cli_command *c = cli_pads_commands; c->name != NULL; c++)
		fprintf(out, "  %-13s %.*s\n", c->name, (int)strcspn(c->doc, "\v"), c->doc);
	for (const struct cli_group *g = cli_groups; g->name != NULL; g++)
		fprintf(out, "  %-13s %s\n", g->name, g->doc);
	fputs("\n`padstone help COMMAND' or `padstone COMMAND --help' says more about one.\n"
	      "Exit status: 0 done, 1 failed, 2 usage, 3 not found, 4 store in use,\n"
	      "5 damaged data found, 6 no space left, 7 needs --network and --key.",
	      out);
	if (fclose(out) != 0) {
		free(doc);
		return (char *)(uintptr_t)text;
	}
	return doc;
}

static const struct argp *main_argp(void)
{
	static struct argp argp = {.parser = parse_main,
	                           .args_doc = "COMMAND STORE [OPERAND...]",
	                           .doc = "Keep objects and folders in one crash-safe file.\v",
	                           .help_filter = main_doc};

	argp.children = cli_store_argps();
	return &argp;
}

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
		fprintf(stderr, "padstone: %s what? `padstone help %s' lists its commands\n", argv[0],
		        argv[0]);
	else if (command == NULL)
		fprintf(stderr, "padstone: there is no command '%s %s'; `padstone help %s' lists them\n",
		        argv[0], argv[1], argv[0]);
	return command;
}

static void no_command(const char *name)
{
	fprintf(stderr, "padstone: there is no command '%s'; `padstone --help' lists them\n", name);
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
		no_command(argv[1]);
		return CLI_USAGE;
	}
	if (command != NULL)
		cli_help(group, command);
	else
		argp_help(main_argp(), stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, program);
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
	if (argp_parse(main_argp(), argc, argv, ARGP_IN_ORDER, NULL, input) != 0 || at == 0)
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
		no_command(argv[at]);
		return CLI_USAGE;
	}
	return run_command(command, argc - at, argv + at, &cli);
}
