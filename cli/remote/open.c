/* From the command line to an open store: which network, which key, which limits. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "cli/key_secret.h"
#include "cli/remote/remote.h"
#include "remote/network.h"

const char *remote_network(const struct cli *cli)
{
	return cli->remote.network != NULL ? cli->remote.network : getenv("PADSTONE_NETWORK");
}

static void take_network(struct cli *cli)
{
	cli->remote.network = remote_network(cli);
}

const char *remote_key_path(const struct cli *cli)
{
	return cli->remote.key != NULL ? cli->remote.key : getenv("PADSTONE_KEY");
}

bool remote_urls_are_good(const struct cli *cli)
{
	const struct cli_remote_options *o = &cli->remote;
	const char *const urls[] = {o->network, o->witness, o->fallback, o->copy_to};
	char shown[REMOTE_SHOWN];

	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		if (urls[i] == NULL || *urls[i] == '\0' || ps_network_check_url(urls[i]) == PS_OK)
			continue;
		fprintf(stderr, "padstone: %s\n", remote_shown(ps_last_error_message(), shown));
		return false;
	}
	return true;
}

static bool network_given(const struct cli *cli)
{
	const char *url = cli->remote.network;

	if (url != NULL && *url != '\0')
		return remote_urls_are_good(cli);
	fprintf(stderr, "padstone: which network? --network URL or PADSTONE_NETWORK says it, such as "
	                "dir:/backup/pads\n");
	return false;
}

/* One line a mistake, as argp does it: nothing was begun. */
static bool all_given(const struct cli *cli)
{
	const char *key = remote_key_path(cli);

	if (!network_given(cli))
		return false;
	if (key == NULL || *key == '\0')
		fprintf(stderr, "padstone: which key? --key FILE or PADSTONE_KEY says it; `padstone key new "
		                "FILE' makes one\n");
	else
		return true;
	return false;
}

static struct ps_remote_options options_of(const struct cli *cli)
{
	const struct cli_remote_options *given = &cli->remote;
	struct ps_remote_options options = {.size = sizeof(options)};

	options.store = cli->store_name;
	options.mode = given->mode;
	options.verify = given->verify;
	options.max_inflight = given->inflight;
	options.max_pads = given->max_pads;
	options.max_cost = given->max_cost;
	options.rates =
	    (struct ps_remote_rates){given->rates[0], given->rates[1], given->rates[2], given->rates[3]};
	options.bytes_up = given->up;
	options.bytes_down = given->down;
	options.create = given->create;
	options.head_code = given->head_code;
	options.witness = given->witness;
	options.fallback = given->fallback;
	options.progress = remote_watch_progress;
	options.progress_arg = given->watch;
	return options;
}

static int open_when_free(const struct cli *cli, const struct ps_remote_key *key,
                          const struct ps_remote_options *options, ps_remote **r)
{
	int err, tries = 0;

	do
		err = ps_remote_open(cli->remote.network, key, options, r);
	while (cli_again_if_busy(err, &tries));
	return err;
}

static int call(const struct cli *cli, enum remote_way way, const char *state,
                const struct ps_remote_key *key, ps_remote **r)
{
	struct ps_remote_options options = options_of(cli);

	options.state = state;
	switch (way) {
	case REMOTE_INIT:
		return ps_remote_init(cli->remote.network, key, &options, r);
	case REMOTE_REBUILD:
		return ps_remote_rebuild(cli->remote.network, key, &options, r, cli->remote.rebuilt);
	case REMOTE_IMPORT_INDEX:
		return ps_remote_import_index(cli->remote.network, key, &options, cli->operands[0], r,
		                              cli->remote.put_back);
	case REMOTE_FORGET:
		return ps_remote_forget(cli->remote.network, key, &options);
	case REMOTE_OPEN:
	default:
		return open_when_free(cli, key, &options, r);
	}
}

/* A network may let us wait for long while nothing that is open could be spoiled: what is cut off here goes
 * on with the next call. */
static void leave(int number)
{
	static const char text[] =
	    "padstone: interrupted while the store was opened; the same command goes on\n";

	(void)number;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(CLI_FAILED);
}

static void leave_on_signals(void)
{
	struct sigaction action = {.sa_handler = leave};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* The passphrase is asked for once, and kept until forget_secret. */
static int open_key(struct cli *cli, struct ps_remote_key *key)
{
	int err = PS_OK;

	*key = (struct ps_remote_key){.file = remote_key_path(cli)};
	if (cli->remote.secret == NULL)
		err = secret_of_key(cli, key->file, &cli->remote.secret);
	if (err == PS_OK && cli->remote.secret != NULL) {
		key->passphrase = cli->remote.secret->text;
		key->passphrase_len = cli->remote.secret->len;
	}
	return err;
}

static void forget_secret(struct cli *cli)
{
	secret_free(cli->remote.secret);
	cli->remote.secret = NULL;
}

/* *r is not touched where something is forgotten. */
static int open_remote(struct cli *cli, enum remote_way way, ps_remote **r)
{
	struct ps_remote_key key;
	int err = open_key(cli, &key);

	if (err != PS_OK)
		return err;
	cli->remote.stage = CLI_REMOTE_NETWORK;
	if (way != REMOTE_REBUILD)
		leave_on_signals();
	err = cli_interrupted() ? ps_fail(PS_ECANCELED, "interrupted; nothing was begun")
	                        : call(cli, way, NULL, &key, r);
	cli_catch_signals();
	return err;
}

int remote_open_scratch(struct cli *cli, const char *state, ps_remote **r)
{
	struct ps_remote_key key;
	int err = open_key(cli, &key);

	return err == PS_OK ? call(cli, REMOTE_OPEN, state, &key, r) : err;
}

static int goes_on(void *arg, const struct ps_remote_progress *progress)
{
	(void)arg;
	(void)progress;
	return cli_interrupted();
}

int remote_open_beside(struct cli *cli, ps_remote **r)
{
	struct ps_remote_options options;
	struct ps_remote_key key;
	int err;

	secret_no_core();
	err = open_key(cli, &key);
	if (err == PS_OK) {
		cli->remote.stage = CLI_REMOTE_NETWORK;
		take_network(cli);
		options = options_of(cli);
		options.progress = goes_on;
		err = open_when_free(cli, &key, &options, r);
	}
	forget_secret(cli);
	return err;
}

static int open_and_run(struct cli *cli, enum remote_way way, int (*run)(struct cli *cli, ps_remote *r))
{
	ps_remote *r;
	int err = open_remote(cli, way, &r), result;

	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "the same command begins again");
	cli->remote.stage = CLI_REMOTE_OPEN;
	result = run(cli, r);
	err = ps_remote_close(r);
	return err != PS_OK && result == CLI_DONE ? remote_fail(cli, err, NULL) : result;
}

int remote_with(struct cli *cli, enum remote_way way, int (*run)(struct cli *cli, ps_remote *r))
{
	const char *space = strchr(cli->command->name, ' ');
	struct remote_watch watch = {.cli = cli, .what = space != NULL ? space + 1 : cli->command->name};
	int result;

	cli->remote.watch = &watch;
	take_network(cli);
	if (!all_given(cli))
		return CLI_USAGE;
	secret_no_core();
	result = open_and_run(cli, way, run);
	forget_secret(cli);
	return result;
}

static int open_public(struct cli *cli, int (*run)(struct cli *cli, ps_public *p))
{
	struct ps_remote_options options = options_of(cli);
	ps_public *p;
	int err, result;

	cli->remote.stage = CLI_REMOTE_NETWORK;
	err = cli_interrupted() ? ps_fail(PS_ECANCELED, "interrupted; nothing was begun")
	                        : ps_public_open(cli->remote.network, &options, &p);
	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "the same command begins again");
	cli->remote.stage = CLI_REMOTE_OPEN;
	result = run(cli, p);
	err = ps_public_close(p);
	return err != PS_OK && result == CLI_DONE ? remote_fail(cli, err, NULL) : result;
}

int remote_with_public(struct cli *cli, int (*run)(struct cli *cli, ps_public *p))
{
	struct remote_watch watch = {.cli = cli, .what = strchr(cli->command->name, ' ') + 1};

	cli->remote.watch = &watch;
	take_network(cli);
	if (!network_given(cli))
		return CLI_USAGE;
	secret_no_core();
	return open_public(cli, run);
}

static int init_run(struct cli *cli, ps_remote *r)
{
	const char *store = cli->store_name != NULL ? cli->store_name : "main";
	struct ps_remote_head head = {0};
	json_t *object = json_object();

	(void)!ps_remote_head(r, &head);
	cli_json_name(object, "network", cli->remote.network);
	cli_json_name(object, "store", store);
	json_object_set_new(object, "head_code", json_string(head.code));
	cli_json(cli, object);
	cli_say(cli, "The store \"%s\" is there, and empty; head %s", store, head.code);
	return CLI_DONE;
}

int cli_run_remote_init(struct cli *cli)
{
	return remote_with(cli, REMOTE_INIT, init_run);
}

/* ---- rebuild ---- */

static int rebuild_run(struct cli *cli, ps_remote *r)
{
	const struct ps_remote_rebuild_result *b = cli->remote.rebuilt;
	struct ps_remote_head head = {0};

	(void)!ps_remote_head(r, &head);
	cli_json(cli, json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I}", "head", (json_int_t)b->head,
	                        "head_code", head.code, "looked", (json_int_t)b->looked, "refused",
	                        (json_int_t)b->refused, "runs", (json_int_t)b->runs, "incomplete",
	                        (json_int_t)b->incomplete, "ambiguous", (json_int_t)b->ambiguous));
	cli_say(cli,
	        "Head %s, from %" PRIu64 " runs of the index among %" PRIu64 " pads (%" PRIu64
	        " refused, %" PRIu64 " runs not whole, %" PRIu64 " ambiguous)",
	        head.code, b->runs, b->looked, b->refused, b->incomplete, b->ambiguous);
	return CLI_DONE;
}

int cli_run_remote_rebuild(struct cli *cli)
{
	struct ps_remote_rebuild_result result = {0};

	cli->remote.rebuilt = &result;
	return remote_with(cli, REMOTE_REBUILD, rebuild_run);
}

/* ---- forget ---- */

static bool is_agreed(FILE *tty, const struct cli *cli)
{
	char answer[16] = "", shown[REMOTE_SHOWN];

	fprintf(tty,
	        "Forget what this machine knows of the store \"%s\"\non %s?\nNames that were not synced are "
	        "lost. Type yes to go on: ",
	        cli->store_name != NULL ? cli->store_name : "main", remote_shown(cli->remote.network, shown));
	fflush(tty);
	return fgets(answer, sizeof(answer), tty) != NULL && strcmp(answer, "yes\n") == 0;
}

/* An enum cli_exit: CLI_DONE if it may be done. */
static int ask(const struct cli *cli)
{
	FILE *tty;
	bool agreed;

	if (cli->remote.yes)
		return CLI_DONE;
	tty = fopen("/dev/tty", "r+e");
	if (tty == NULL) {
		fprintf(stderr, "padstone: there is no terminal to ask on: --yes says that it is meant\n");
		return CLI_USAGE;
	}
	agreed = is_agreed(tty, cli);
	(void)fclose(tty);
	if (!agreed)
		cli_warn(cli, "nothing was forgotten");
	return agreed ? CLI_DONE : CLI_FAILED;
}

int cli_run_remote_forget(struct cli *cli)
{
	json_t *object;
	int result, err;

	take_network(cli);
	if (!all_given(cli))
		return CLI_USAGE;
	result = ask(cli);
	if (result != CLI_DONE)
		return result;
	secret_no_core();
	err = open_remote(cli, REMOTE_FORGET, NULL);
	forget_secret(cli);
	if (err != PS_OK)
		return remote_fail(cli, err, NULL);
	object = json_object();
	cli_json_name(object, "network", cli->remote.network);
	cli_json(cli, object);
	return CLI_DONE;
}
