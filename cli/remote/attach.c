/* Contents that have left a store's file, for the commands that work on STORE: they are fetched as they are
 * touched, from the network that
 * --network and --key, or the environment, name. That is opened, and a passphrase asked for, when something
 * is first fetched: a command that touches nothing of it asks nobody.
 *
 * The library's threads may fetch, but one of them opens (multistore/push_backing.h); all else is the
 * command's thread. */
#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "cli/remote/remote.h"
#include "multistore/push_backing.h"

struct cli_attachment {
	struct cli *cli;
	ps_remote *r; /* NULL until it is needed */
	struct ps_push_backing *backing; /* NULL: of a state that is open by itself */
};

static bool is_given(const char *text)
{
	return text != NULL && *text != '\0';
}

bool cli_can_fetch(const struct cli *cli)
{
	return is_given(remote_network(cli)) && is_given(remote_key_path(cli));
}

bool cli_network_is_named(const struct cli *cli)
{
	if ((cli->remote.network == NULL && cli->remote.key == NULL && !cli->remote.at) || cli_can_fetch(cli))
		return remote_urls_are_good(cli);
	fprintf(stderr, "padstone: %s\n",
	        is_given(remote_network(cli)) ? "which key? --key FILE or PADSTONE_KEY says it"
	                                      : "which network? --network URL or PADSTONE_NETWORK says it");
	return false;
}

/* A store that is not there, or a wrong key, says nothing of the object that is looked for: it is not lost,
 * nor damaged. */
static int not_opened(int err)
{
	char why[512];

	if (err == PS_EBUSY || err == PS_ENOMEM)
		return err;
	(void)snprintf(why, sizeof(why), "%s", ps_last_error_message());
	return ps_fail(PS_EUNAVAILABLE, "%s", why);
}

static int open_network(void *arg, ps_remote **r)
{
	struct cli_attachment *a = arg;
	int err;

	if (!cli_can_fetch(a->cli))
		return ps_fail(PS_EUNAVAILABLE, "it is on a network, and none was named");
	err = remote_open_beside(a->cli, &a->r);
	if (err != PS_OK)
		return not_opened(err);
	a->cli->remote.stage = CLI_REMOTE_OPEN;
	*r = a->r;
	return PS_OK;
}

int cli_attach(struct cli *cli, ps_storer *s)
{
	/* However slow the network is: Ctrl-C ends what is being fetched. */
	struct ps_push_backing_options options = {.open = open_network, .unwanted = cli_interrupted};
	struct cli_attachment *a = calloc(1, sizeof(*a));
	int err;

	if (a == NULL)
		return ps_fail(PS_ENOMEM, "no memory for an attachment");
	a->cli = cli;
	options.arg = a;
	err = ps_push_backing_open(s, NULL, &options, &a->backing);
	if (err == PS_OK) {
		cli->attachment = a;
		return PS_OK;
	}
	free(a);
	/* A store that has no pushes, or a note of them that cannot be read, has nothing away that could be
	 * found: all else of it works. */
	return err == PS_ENOMEM ? err : PS_OK;
}

/* a->r is open on success. */
static int open_state(struct cli *cli, struct cli_attachment *a, ps_storer **s)
{
	int err = remote_open_beside(cli, &a->r);

	if (err != PS_OK)
		return remote_fail(cli, err, NULL);
	cli->remote.stage = CLI_REMOTE_OPEN;
	err = cli_open_state_on(cli, a->r, s);
	return err == PS_OK ? CLI_DONE : remote_fail(cli, err, NULL);
}

int cli_open_state(struct cli *cli, ps_storer **s)
{
	struct cli_attachment *a = calloc(1, sizeof(*a));
	int result;

	if (a == NULL)
		return cli_fail(cli, ps_fail(PS_ENOMEM, "no memory for an attachment"), NULL);
	result = open_state(cli, a, s);
	cli->attachment = a;
	return result == CLI_DONE || cli_attachment_free(cli) == PS_OK ? result : CLI_FAILED;
}

void cli_attachment_stop(const struct cli *cli)
{
	if (cli->attachment != NULL && cli->attachment->backing != NULL)
		ps_push_backing_stop(cli->attachment->backing);
}

int cli_attachment_free(struct cli *cli)
{
	struct cli_attachment *a = cli->attachment;
	int err;

	if (a == NULL)
		return PS_OK;
	cli->attachment = NULL;
	ps_push_backing_free(a->backing, true);
	err = a->r != NULL ? ps_remote_close(a->r) : PS_OK;
	free(a);
	return err;
}
