/* What the options of commands on networks say: read into struct cli_remote_options, and checked. */
#include "cli/remote/options.h"

#include <argp.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "cli/remote/option_keys.h"
#include "cli/remote/remote.h"

enum { NAME_MOST = 1024 }; /* bytes, as the library has it */

/* ---- values ---- */

static int word_of(const char *text, const char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(text, words[i]) == 0)
			return i + 1;
	return 0;
}

static int parse_amount(const char *text, double *amount, const char **end)
{
	char *stop;

	*amount = strtod(text, &stop);
	*end = stop;
	return stop != text && isfinite(*amount) && *amount >= 0
	           ? PS_OK
	           : ps_fail(PS_EINVAL, "'%s' is not a number such as 0.25", text);
}

static int parse_single(const char *text, double *amount)
{
	const char *end;
	int err = parse_amount(text, amount, &end);

	if (err == PS_OK && *end != '\0')
		err = ps_fail(PS_EINVAL, "'%s' is not a number such as 0.25", text);
	return err;
}

static int parse_rates(const char *text, double rates[4])
{
	const char *at = text;

	for (int i = 0; i < 4; i++) {
		if (parse_amount(at, &rates[i], &at) != PS_OK || *at != (i < 3 ? ',' : '\0'))
			return ps_fail(PS_EINVAL, "--rates takes four prices, such as 0.01,0,0.05,0.09");
		at++;
	}
	return PS_OK;
}

static int parse_range(const char *text, struct cli_remote_options *o)
{
	const char *colon = strchr(text, ':');
	char from[32];
	int err;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(from))
		return ps_fail(PS_EINVAL, "'%s' is not a range such as 4096:512 or 1M:", text);
	memcpy(from, text, (size_t)(colon - text));
	from[colon - text] = '\0';
	o->part = true;
	o->len = PS_SIZE_UNKNOWN;
	err = cli_parse_size(from, &o->from);
	return err == PS_OK && colon[1] != '\0' ? cli_parse_size(colon + 1, &o->len) : err;
}

/* ---- options ---- */

static int parse_words(int key, const char *arg, struct cli_remote_options *o)
{
	static const char *const modes[] = {"small", "medium", "large"};
	static const char *const ways[] = {"head", "none", "sample", "read"};

	if (key == KEY_MODE) {
		o->mode = word_of(arg, modes, 3);
		return o->mode > 0 ? PS_OK
		                   : ps_fail(PS_EINVAL, "--mode is small, medium or large, not '%s'", arg);
	}
	o->verify = word_of(arg, ways, 4);
	return o->verify > 0 ? PS_OK
	                     : ps_fail(PS_EINVAL, "--verify is head, read, sample or none, not '%s'", arg);
}

static int parse_share(const char *text, double *share)
{
	int err = parse_single(text, share);

	if (err == PS_OK && (*share <= 0 || *share > 1))
		err = ps_fail(PS_EINVAL, "--share is a part of all, such as 0.1, not '%s'", text);
	return err;
}

static int parse_age(const char *text, double *hours)
{
	int err = parse_single(text, hours);

	if (err == PS_OK && (*hours * 3600 < 1 || *hours > 1e6))
		err = ps_fail(PS_EINVAL, "--age is in hours, a second at least, not '%s'", text);
	return err;
}

static int parse_level(const char *text, int *level)
{
	uint64_t number;
	int err = cli_parse_number(text, &number);

	if (err == PS_OK && number > 19)
		err = ps_fail(PS_EINVAL, "--level is 0 to 19, not '%s'", text);
	if (err == PS_OK)
		*level = number > 0 ? (int)number : -1;
	return err;
}

static int parse_history(const char *text, uint64_t *history)
{
	int err = cli_parse_number(text, history);

	if (err == PS_OK && *history > UINT32_MAX)
		err = ps_fail(PS_EINVAL, "--history takes a small number, not '%s'", text);
	return err;
}

/* PS_ENOTFOUND: no such option. */
static int parse_value(int key, const char *arg, struct cli_remote_options *o)
{
	switch (key) {
	case KEY_UP:
		return cli_parse_size(arg, &o->up);
	case KEY_DOWN:
		return cli_parse_size(arg, &o->down);
	case KEY_INFLIGHT:
		return cli_parse_size(arg, &o->inflight);
	case KEY_MODE:
	case KEY_VERIFY:
		return parse_words(key, arg, o);
	case KEY_MAX_PADS:
		return cli_parse_number(arg, &o->max_pads);
	case KEY_MAX_COST:
		return parse_single(arg, &o->max_cost);
	case KEY_RATES:
		return parse_rates(arg, o->rates);
	case KEY_RANGE:
		return parse_range(arg, o);
	case KEY_SHARE:
		return parse_share(arg, &o->share);
	case KEY_AGE:
		return parse_age(arg, &o->age_hours);
	case KEY_AT:
		o->at = true;
		return cli_parse_number(arg, &o->state);
	case KEY_STATE:
		return cli_parse_number(arg, &o->state);
	case KEY_HISTORY:
		return parse_history(arg, &o->history);
	case KEY_MAX_LAG:
		o->limits_lag = true;
		return cli_parse_number(arg, &o->max_lag);
	case KEY_LEVEL:
		return parse_level(arg, &o->level);
	case KEY_GOAL:
		return cli_parse_size(arg, &o->goal);
	default:
		return PS_ENOTFOUND;
	}
}

static bool parse_text(int key, char *arg, struct cli *cli)
{
	struct cli_remote_options *o = &cli->remote;
	const char **texts[] = {&o->network, &o->key, &cli->passphrase_file, &cli->store_name};
	const struct {
		int key;
		bool *flag;
	} flags[] = {
	    {KEY_CREATE, &o->create},
	    {KEY_REPLACE, &o->replace},
	    {KEY_DRY_RUN, &o->dry_run},
	    {KEY_UNVERIFIED, &o->unverified},
	    {KEY_READ, &o->read},
	    {KEY_YES, &o->yes},
	    {KEY_APPLY, &o->apply},
	    {KEY_QUICK, &o->quick},
	    {KEY_IGNORE_SILENT, &o->ignore_silent},
	    {KEY_TIDY, &o->tidy},
	    {KEY_ALL, &o->all},
	    {KEY_BEHIND, &o->behind},
	    {KEY_PUBLIC, &o->is_public},
	    {KEY_TAKE_OVER, &o->take_over},
	    {KEY_LAZY, &o->lazy},
	    {KEY_FULL, &o->full},
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (key == flags[i].key) {
			*flags[i].flag = true;
			return true;
		}
	if (key >= KEY_NETWORK && key <= KEY_STORE)
		*texts[key - KEY_NETWORK] = arg;
	else if (key == KEY_REPAIR_FROM)
		o->repair_from = arg;
	else if (key == KEY_EXPECT_HEAD)
		o->head_code = arg;
	else if (key == KEY_COMPARE_WITH)
		o->compare_with = arg;
	else if (key == KEY_WITNESS)
		o->witness = arg;
	else if (key == KEY_FALLBACK)
		o->fallback = arg;
	else if (key == KEY_TO)
		o->copy_to = arg;
	return (key >= KEY_NETWORK && key <= KEY_STORE) || key == KEY_REPAIR_FROM || key == KEY_EXPECT_HEAD ||
	       (key >= KEY_COMPARE_WITH && key <= KEY_TO);
}

/* What stands at this place in the usage, or last. */
static const char *operand_at(const char *usage, int place)
{
	const char *next;

	while (place-- > 0 && (next = strchr(usage, ' ')) != NULL)
		usage = next + 1;
	return usage;
}

static void check_names(const struct cli *cli, struct argp_state *state)
{
	static const char *const names[] = {"NAME", "[NAME]", "OLD", "NEW"};

	for (int i = 0; i < cli->operand_count; i++) {
		const char *usage = operand_at(cli->command->operands, i);
		size_t len = strlen(cli->operands[i]);

		for (size_t n = 0; n < sizeof(names) / sizeof(*names); n++)
			if (strncmp(usage, names[n], strlen(names[n])) == 0 && (len == 0 || len > NAME_MOST))
				argp_error(state, "a name has 1 to %d bytes, not %zu", NAME_MOST, len);
	}
}

static void end_of_operands(const struct cli *cli, struct argp_state *state)
{
	const struct cli_command *command = cli->command;

	if (cli->operand_count < command->min_operands)
		argp_error(state, "too few operands; expected %s", command->operands);
	if (command->max_operands >= 0 && cli->operand_count > command->max_operands)
		argp_error(state, "too many operands; expected %s",
		           *command->operands != '\0' ? command->operands : "none");
	check_names(cli, state);
	bool gives = command->run == cli_run_remote_get || command->run == cli_run_remote_fetch;
	if (cli->json && gives && cli->output == NULL)
		argp_error(state, "--json needs -o FILE: without it standard output carries the value");
	if (cli->remote.lazy && cli->remote.full)
		argp_error(state, "--lazy and --full: it is one or the other");
}

int cli_remote_parse(int key, char *arg, struct cli *cli, struct argp_state *state)
{
	int err;

	if (key == ARGP_KEY_ARG)
		cli->operands[cli->operand_count++] = arg;
	else if (key == ARGP_KEY_END)
		end_of_operands(cli, state);
	if (key == ARGP_KEY_ARG || key == ARGP_KEY_END)
		return 0;
	if (parse_text(key, arg, cli))
		return 0;
	err = parse_value(key, arg, &cli->remote);
	if (err == PS_ENOTFOUND)
		return ARGP_ERR_UNKNOWN;
	if (err != PS_OK)
		argp_error(state, "%s", ps_last_error_message());
	return 0;
}

/* STORE, where the command has one, then options as the group's. */
int cli_pads_parse(int key, char *arg, struct cli *cli, struct argp_state *state)
{
	bool takes_store = *cli->command->operands != '\0';

	if (key == ARGP_KEY_ARG && takes_store && cli->store == NULL) {
		cli->store = arg;
		return 0;
	}
	if (key == ARGP_KEY_END && takes_store && cli->store == NULL)
		argp_error(state, "which store? The first operand is its file");
	return cli_remote_parse(key, arg, cli, state);
}
