/* Sentences about remotes: with the network and the name in them, and nothing that steers a terminal. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fail.h"
#include "cli/remote/remote.h"
#include "remote/network.h"

/* UTF-8 without control characters, backslashes aside. */
static bool is_plain(const char *text)
{
	json_t *decoded = json_string(text);
	bool plain = decoded != NULL;

	json_decref(decoded);
	for (const unsigned char *p = (const unsigned char *)text; plain && *p != '\0'; p++)
		plain = *p >= 0x20 && *p != 0x7f && !(*p == 0xc2 && p[1] < 0xa0);
	return plain;
}

const char *remote_shown(const char *text, char out[REMOTE_SHOWN])
{
	if (!is_plain(text))
		return cli_escape(text, out, REMOTE_SHOWN);
	(void)snprintf(out, REMOTE_SHOWN, "%s", text);
	return out;
}

/* What the sentence does not have already. */
static void add_where(const char *text, const char *sentence, char *where, size_t size)
{
	size_t at = strlen(where);
	char shown[REMOTE_SHOWN];

	if (strlen(text) < 256 && strstr(sentence, text) == NULL)
		(void)snprintf(where + at, size - at, "%s%s", at > 0 ? ": " : "", remote_shown(text, shown));
}

static bool names_key(const struct cli *cli, const char *sentence)
{
	const char *path = remote_key_path(cli), *at = path != NULL ? strstr(sentence, path) : NULL;

	return at != NULL && at > sentence && at[-1] == '\'' && at[strlen(path)] == '\'';
}

/* As the library calls it, which is not always how it was given; or a copy of it. */
static bool names_network(const struct cli *cli, const char *sentence)
{
	const struct cli_remote_options *o = &cli->remote;
	const char *const urls[] = {o->network, o->copy_to, o->witness, o->fallback};
	char full[PS_NETWORK_URL];

	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++)
		if (urls[i] != NULL && ps_network_full_url(urls[i], full) == PS_OK &&
		    strstr(sentence, full) != NULL)
			return true;
	return false;
}

/* "cannot open 'FILE'": of files beside the store and its network, all sentences are like this. */
static bool is_of_local_file(const char *sentence)
{
	return strncmp(sentence, "cannot ", strlen("cannot ")) == 0;
}

/* What it was that failed: the key file, where no network was asked yet; a local file, and what was typed,
 * say themselves what they are. */
static const char *place_of(const struct cli *cli, int err, const char *sentence)
{
	if (is_of_local_file(sentence))
		return NULL;
	if (cli->remote.stage == CLI_REMOTE_KEY && err != PS_ECANCELED)
		return remote_key_path(cli);
	if (err == PS_EINVAL && (cli->remote.stage == CLI_REMOTE_NETWORK || cli->remote.copy_to != NULL))
		return NULL;
	if (cli->remote.stage == CLI_REMOTE_NETWORK && names_key(cli, sentence))
		return NULL;
	return names_network(cli, sentence) ? NULL : cli->remote.network;
}

int remote_fail(const struct cli *cli, int err, const char *name)
{
	char sentence[REMOTE_SHOWN], where[2 * REMOTE_SHOWN] = "", shown[REMOTE_SHOWN];
	const char *place;

	(void)snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	place = place_of(cli, err, sentence);
	if (place != NULL)
		add_where(place, sentence, where, sizeof(where));
	if (name != NULL)
		add_where(name, sentence, where, sizeof(where));
	(void)remote_shown(sentence[0] != '\0' ? sentence : ps_strerror(err), shown);
	(void)ps_fail(err, "%s%s%s", where, where[0] != '\0' ? ": " : "", shown);
	return cli_fail(cli, err, NULL);
}

int remote_interrupted(const struct cli *cli, const char *name, const char *rest)
{
	const struct ps_remote_progress *last = &cli->remote.watch->last;
	char pads[64] = "", shown[REMOTE_SHOWN];

	if (cli->remote.watch->hidden) /* the last value's pads tell nothing of a whole store */
		pads[0] = '\0';
	else if (last->pads_total > 0)
		(void)snprintf(pads, sizeof(pads), " after %" PRIu64 " of %" PRIu64 " pads", last->pads_done,
		               last->pads_total);
	else if (last->pads_done > 0)
		(void)snprintf(pads, sizeof(pads), " after %" PRIu64 " pads", last->pads_done);
	(void)ps_fail(PS_ECANCELED, "%s%s%s was interrupted%s; %s", cli->remote.watch->what,
	              name != NULL ? " " : "", remote_shown(name != NULL ? name : "", shown), pads, rest);
	return remote_fail(cli, PS_ECANCELED, NULL);
}

int remote_ended(struct cli *cli, int err, const char *name, const char *rest)
{
	if (err == PS_ECANCELED && cli_interrupted())
		return remote_interrupted(cli, name, rest);
	if (err == PS_ECANCELED && cli->remote.dry_run) {
		remote_say_plan(cli, name, &cli->remote.watch->plan);
		return CLI_DONE;
	}
	return err == PS_OK ? CLI_DONE : remote_fail(cli, err, name);
}

static const char *count_text(uint64_t count, const char *noun, char out[32])
{
	(void)snprintf(out, 32, "%" PRIu64 " %s%s", count, noun, count == 1 ? "" : "s");
	return out;
}

const char *remote_pads_text(uint64_t pads, char out[32])
{
	return count_text(pads, "pad", out);
}

const char *remote_values_text(uint64_t values, char out[32])
{
	return count_text(values, "value", out);
}

const char *remote_time_text(uint64_t time_ns, char out[32])
{
	time_t when = (time_t)(time_ns / 1000000000);
	struct tm tm;

	(void)snprintf(out, 32, "?");
	if (localtime_r(&when, &tm) != NULL)
		(void)strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
	return out;
}

void remote_say_plan(struct cli *cli, const char *name, const struct ps_remote_plan *plan)
{
	char bytes[32], records[32];
	json_t *object =
	    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:b}", "size", (json_int_t)plan->bytes, "new_pads",
	              (json_int_t)plan->new_pads, "reused_pads", (json_int_t)plan->reused_pads, "kept_pads",
	              (json_int_t)plan->kept_pads, "record_bytes", (json_int_t)plan->record_bytes, "requests",
	              (json_int_t)plan->requests, "price", plan->price, "exact", (int)plan->exact);

	if (name != NULL)
		cli_json_name(object, "name", name);
	cli_json(cli, object);
	cli_say(cli, "contents     %s", cli_size_text(plan->bytes, bytes));
	cli_say(cli, "new pads     %" PRIu64, plan->new_pads);
	cli_say(cli, "reused pads  %" PRIu64, plan->reused_pads);
	cli_say(cli, "kept pads    %" PRIu64, plan->kept_pads);
	cli_say(cli, "to be sent   %s", cli_size_text(plan->record_bytes, records));
	cli_say(cli, "requests     %" PRIu64, plan->requests);
	cli_say(cli, "price        %g", plan->price);
	if (!plan->exact)
		cli_say(cli, "It is this at most: what is there already is not sent again.");
}

const char *remote_mode_text(int mode)
{
	static const char *const texts[] = {"?", "small", "medium", "large"};

	return texts[mode >= PS_REMOTE_SMALL && mode <= PS_REMOTE_LARGE ? mode : 0];
}

/* Of a file that holds a passphrase, or of a store that is looked at first, there is nothing to say. */
static const char *hint_of_key(int err)
{
	if (strstr(ps_last_error_message(), "key file") == NULL)
		return NULL;
	switch (err) {
	case PS_ENOENT:
	case PS_EFORMAT:
		return "`padstone key new FILE' makes a key; --key or PADSTONE_KEY says which file it is in.";
	case PS_EACCES:
		return "A key file is for its owner alone: `chmod 600 FILE'.";
	case PS_ECORRUPT:
		return "Take a copy of the file, or make it anew: `padstone key new --from-words'.";
	default:
		return NULL;
	}
}

static const char *hint_of_missing(const struct cli *cli)
{
	if (is_of_local_file(ps_last_error_message()))
		return NULL;
	if (cli->remote.create)
		return "Is the URL right? --create makes a folder or bucket, and no folder above it.";
	return cli->command->run == cli_run_remote_copy && cli->remote.stage == CLI_REMOTE_OPEN
	           ? "Is the URL right? --create makes the folder or bucket of a new copy."
	           : "Is the URL right, and what it names there (mounted, reachable)? A new and empty one is "
	             "made by "
	             "`padstone remote init --create'.";
}

static const char *hint_before_open(const struct cli *cli, int err)
{
	bool s3 = cli->remote.network != NULL && strncmp(cli->remote.network, "s3:", 3) == 0;

	switch (err) {
	case PS_EACCES:
		return s3 ? "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, say who asks." : NULL;
	case PS_ENOENT:
		return hint_of_missing(cli);
	case PS_ENOTFOUND:
		return "If it was never made, run `padstone remote init' first.";
	case PS_ELOST:
		return "`padstone remote rebuild' makes a new head from what is left of the index.";
	case PS_EEXIST:
		return "Use it as it is, or give the new one another name with --store.";
	case PS_EAUTH:
		return "Is it the right passphrase, and the right key?";
	case PS_EFORMAT:
		return "What is there was not touched.";
	case PS_EBUSY:
		return "A store is used by one process at a time; wait for the other, or end it.";
	default:
		return NULL;
	}
}

static const char *hint_after_open(int err)
{
	switch (err) {
	case PS_ENOTFOUND:
		return "`padstone remote ls' lists the names that there are.";
	case PS_EEXIST:
		return "`padstone remote update' replaces what a name has; `rm' removes it.";
	case PS_EUNAVAILABLE:
	case PS_ETIMEDOUT:
		return "Nothing is lost: run the same command again, it goes on where it was.";
	case PS_EQUOTA:
		return "--max-pads and --max-cost are the limits; `padstone remote estimate' tells before.";
	case PS_ELOST:
		return "If another machine may have changed it, `padstone remote sync' first; else `padstone "
		       "remote health --repair-from FOLDER' repairs from a folder that has it.";
	case PS_EAUTH:
	case PS_EROLLBACK:
	case PS_EFORK:
		return "The network gave something else than was put there. `padstone remote health --read' "
		       "looks at "
		       "all.";
	case PS_ESUPERSEDED:
		return "Another machine has changed it: `padstone remote sync', then the same command again.";
	default:
		return NULL;
	}
}

/* Of whole stores. */
static const char *hint_of_push(const struct cli *cli, int err)
{
	if (cli->remote.stage != CLI_REMOTE_OPEN)
		return NULL;
	if (cli->remote.elsewhere)
		return "`padstone remote copy --to URL', from the network where they are, brings all of it "
		       "here; `padstone backup', with that network and its key, makes a file that has all, "
		       "which can be pushed.";
	switch (err) {
	case PS_ENOTFOUND:
		return "`padstone push STORE' brings a store there; `padstone history' lists its states.";
	case PS_EEXIST:
		return "A clone is a new file: give it another name.";
	case PS_EFORK:
		return "`padstone clone' makes what is there again, with --take-over to push it from then "
		       "on; --store "
		       "NAME pushes as a store of its own.";
	case PS_EHELD:
		return "If the other one is gone or has to give way: --take-over.";
	case PS_EFENCED:
		return "`padstone export' takes its files out; --store NAME pushes it as a store of its own.";
	default:
		return NULL;
	}
}

/* Of heads: the whole store's state, not one value's. */
static const char *hint_of_head(int err)
{
	switch (err) {
	case PS_EROLLBACK:
		return "What is seen here is older: `padstone remote sync' here, then compare again.";
	case PS_EFORK:
		return "The network shows two histories: compare `padstone remote head-code' of all "
		       "machines.";
	case PS_ELOST:
		return "`padstone remote rebuild' makes a new head from what is left of the index.";
	case PS_ESUPERSEDED:
		return "Take a newer code from the other machine.";
	default:
		return NULL;
	}
}

/* Of a reader without a key. */
static const char *hint_of_address(int err)
{
	switch (err) {
	case PS_ENOTFOUND:
	case PS_ELOST:
		return "Who published it can tell whether the address is still good, and for which network.";
	case PS_EROLLBACK:
		return "This network shows an older version than was fetched here before: try again later.";
	case PS_EFORK:
	case PS_EAUTH:
		return "The network gave something else than was put there, or the address is another "
		       "value's.";
	case PS_EBUSY:
		return "It is being changed: try again; with -o it begins again by itself.";
	default:
		return NULL;
	}
}

static const char *hint_of_copy(const struct cli *cli, int err)
{
	switch (err) {
	case PS_ENOENT:
		return hint_of_missing(cli);
	case PS_EEXIST:
		return "Take another folder or bucket for the copy: this one is in use.";
	case PS_EROLLBACK:
		return "The copy knows more than this network shows: `padstone remote sync' first; else this "
		       "network went "
		       "back.";
	case PS_EFORK:
		return "The copy has gone its own way, or is so old that nothing proves that it has not: "
		       "--behind then.";
	case PS_ELOST:
		return "`padstone remote health --read' says what is lost, and with --fallback URL repairs "
		       "it from "
		       "another copy.";
	default:
		return NULL;
	}
}

const char *cli_remote_hint(const struct cli *cli, int err)
{
	bool head = cli->command->run == cli_run_remote_head_code || cli->command->run == cli_run_remote_sync;
	const char *hint = cli->remote.stage == CLI_REMOTE_KEY       ? hint_of_key(err)
	                   : cli->remote.stage == CLI_REMOTE_NETWORK ? hint_before_open(cli, err)
	                                                             : hint_after_open(err);

	if (cli->command->run == cli_run_remote_fetch && cli->remote.stage == CLI_REMOTE_OPEN)
		hint = hint_of_address(err);
	if (head && hint_of_head(err) != NULL)
		return hint_of_head(err);
	if (cli->command->run == cli_run_remote_copy && cli->remote.stage == CLI_REMOTE_OPEN &&
	    hint_of_copy(cli, err) != NULL)
		return hint_of_copy(cli, err);
	if (err == PS_EBUSY && cli->command->run == cli_run_remote_gc)
		return "Let each of them sync, then run it again. One that never comes back: `padstone "
		       "remote "
		       "drop-machine'; one that has nothing to tell: --ignore-silent.";
	if (err == PS_EEXIST && cli->command->run == cli_run_remote_export_index)
		return "--replace writes over it.";
	if (err == PS_ENOTFOUND && cli->command->run == cli_run_remote_drop_machine)
		return "`padstone remote machines' lists those that there are.";
	if (strchr(cli->command->name, ' ') == NULL && hint_of_push(cli, err) != NULL)
		return hint_of_push(cli, err);
	if (hint != NULL)
		return hint;
	switch (err) {
	case PS_EUNAVAILABLE:
	case PS_ETIMEDOUT:
		return "Is the network there? Try again when it is.";
	case PS_ENOSPC:
		return "What was stored before is safe. Free some space, and run the same command again.";
	case PS_ECORRUPT:
		return "Take what is left of it to a safe place before anything else.";
	case PS_ENOMEM:
		return "--inflight takes less; `ulimit -l' says how much memory may be locked for keys.";
	case PS_ECLOCK:
		return "Set this machine's clock, or the other's.";
	case PS_EVERSION:
		return "Use the padstone that wrote it, or a newer one.";
	default:
		return NULL;
	}
}
