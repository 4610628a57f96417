/* check: the store's own verification, then the catalogue against the objects that it names. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <padstone/base_store.h>

#include "base/fail.h"
#include "cli/catalogue.h"
#include "store/backing.h"

struct check {
	struct cli *cli;
	ps_storer *s;
	uint64_t findings, files, folders;
	uint64_t away;     /* objects that were not looked at, since nobody said where they are */
	int error;         /* that ended the reading of what is away */
	bool no_catalogue; /* could not be looked at for the same reason */
	uint8_t *buf;
	struct id_set seen; /* file objects: two names for one would be deleted together */
};

static void report(struct check *check, const char *error, ps_id id, const char *path, const char *message)
{
	char shown[1024];
	json_t *object;

	check->findings++;
	fprintf(stderr, "padstone: %s%s%s\n", path != NULL ? cli_escape(path, shown, sizeof(shown)) : "",
	        path != NULL ? ": " : "", message);
	if (!check->cli->json)
		return;
	object = json_pack("{s:s, s:I, s:s}", "finding", error, "id", (json_int_t)id, "message", message);
	if (path != NULL)
		cli_json_name(object, "path", path);
	cli_json(check->cli, object);
}

static int on_finding(void *arg, const struct ps_finding *finding)
{
	struct check *check = arg;

	report(check, ps_error_name(finding->error), finding->id, NULL, finding->message);
	return cli_interrupted() ? 1 : 0;
}

/* What is wrong with a file's object; an empty text if nothing is. */
static int judge_file(struct check *check, const struct cat_entry *entry, char *text, size_t size)
{
	struct ps_info info;
	int err = id_set_add(&check->seen, entry->id);

	text[0] = '\0';
	if (err == PS_ECORRUPT)
		snprintf(text, size, "its object %" PRIu64 " has another name, too", entry->id);
	if (err != PS_OK)
		return err;
	err = ps_info(check->s, entry->id, &info);
	if (err != PS_OK)
		snprintf(text, size, "its object %" PRIu64 ": %s", entry->id, ps_strerror(err));
	else if (info.size != entry->size)
		snprintf(text, size, "has %" PRIu64 " bytes in the catalogue, %" PRIu64 " in the store",
		         entry->size, info.size);
	return err;
}

static int check_entry(void *arg, const char *folder, const struct cat_entry *entry)
{
	struct check *check = arg;
	char path[4096], text[160];
	int err;

	if (cli_interrupted())
		return ps_fail(PS_ECANCELED, "interrupted");
	if (entry->type == CAT_FOLDER)
		check->folders++;
	if (entry->type != CAT_FILE)
		return PS_OK;
	check->files++;
	err = judge_file(check, entry, text, sizeof(text));
	if (err == PS_ENOMEM || text[0] == '\0')
		return err;
	snprintf(path, sizeof(path), "%s%s", folder, entry->name);
	report(check, ps_error_name(err == PS_OK || err == PS_ENOTFOUND ? PS_ECORRUPT : err), entry->id, path,
	       text);
	return PS_OK;
}

static int check_damaged(void *arg, const char *path, int err)
{
	report(arg, ps_error_name(err), PS_ID_NONE, path[0] == '\0' ? "/" : path, ps_last_error_message());
	return PS_OK;
}

static int check_catalogue(struct check *check)
{
	struct cat_walk walk = {.s = check->s, .fn = check_entry, .damaged = check_damaged, .arg = check};
	struct cat_journal journal;
	struct cat_header header;
	int err = cat_load_header(check->s, &header);

	if (err == PS_ENOTFOUND ||
	    err == PS_EFORMAT) /* no catalogue, or another program's data: nothing to check */
		return PS_OK;
	if (err == PS_ECORRUPT)
		return check_damaged(check, "catalogue", err);
	if (err != PS_OK)
		return err;
	err = cat_load_journal(check->s, header.journal, &journal);
	if (err == PS_OK)
		cat_journal_done(&journal);
	else if (err == PS_EUNAVAILABLE || err == PS_ETIMEDOUT)
		return err;
	else
		(void)check_damaged(check, "catalogue", err);
	return cat_walk_run(&walk, "", header.root);
}

/* ---- what is on a network ---- */

static int read_whole(struct check *check, ps_id id)
{
	ps_reader *r;
	size_t got = 1;
	int err = ps_open_reader(check->s, id, &r);

	if (err == PS_ENOTFOUND) /* it was removed since */
		return PS_OK;
	if (err != PS_OK)
		return err;
	while (err == PS_OK && got > 0 && !cli_interrupted())
		err = ps_reader_read(r, check->buf, CLI_STREAM_BYTES, &got);
	(void)ps_reader_finish(r);
	return err;
}

/* The network's answers are findings as the file's are; that it cannot be asked ends the check. */
static int check_away(void *arg, ps_id id)
{
	struct check *check = arg;
	int err;

	if (!cli_can_fetch(check->cli)) {
		check->away++;
		return cli_interrupted();
	}
	err = read_whole(check, id);
	if (err == PS_ECORRUPT || err == PS_ELOST || err == PS_EAUTH)
		report(check, ps_error_name(err), id, NULL, ps_last_error_message());
	else
		check->error = err;
	return check->error != PS_OK || cli_interrupted();
}

static int check_contents_away(struct check *check)
{
	int err;

	check->buf = malloc(CLI_STREAM_BYTES);
	if (check->buf == NULL)
		return ps_fail(PS_ENOMEM, "no memory for a buffer");
	err = ps_backing_each_away(check->s, check_away, check);
	free(check->buf);
	if (err == PS_ENOTSUP) /* nothing can be away there */
		return PS_OK;
	return check->error != PS_OK ? check->error : err;
}

/* ---- all of it ---- */

static int check_all(struct check *check)
{
	int err = ps_check(check->s, check->cli->full ? PS_CHECK_FULL : PS_CHECK_QUICK, on_finding, check);

	if (err == PS_ECORRUPT && check->findings == 0)
		report(check, ps_error_name(err), PS_ID_NONE, NULL, ps_last_error_message());
	if ((err == PS_OK || err == PS_ECORRUPT) && check->cli->full)
		err = check_contents_away(check);
	if (err == PS_OK || err == PS_ECORRUPT)
		err = check_catalogue(check);
	if (err != PS_EUNAVAILABLE || cli_can_fetch(check->cli))
		return err;
	check->no_catalogue = true;
	return PS_OK;
}

static int say_incomplete(const struct check *check)
{
	const struct cli *cli = check->cli;

	if (check->away > 0)
		cli_warn(cli, "%s: no damage, but %" PRIu64 " objects are on a network, and were not read",
		         cli->store, check->away);
	if (check->no_catalogue)
		cli_warn(cli,
		         "%s: of the catalogue only %" PRIu64
		         " files could be looked at: the rest of it is on a network",
		         cli->store, check->files);
	cli_warn(cli, "--network URL and --key FILE look at these, too");
	return CLI_AWAY;
}

static int say_check(const struct check *check)
{
	const struct cli *cli = check->cli;

	cli_json(cli,
	         json_pack("{s:b, s:b, s:I, s:I, s:I, s:I}", "ok", check->findings == 0, "full", cli->full,
	                   "findings", (json_int_t)check->findings, "files", (json_int_t)check->files,
	                   "folders", (json_int_t)check->folders, "away", (json_int_t)check->away));
	if (check->findings > 0) {
		cli_warn(cli, "damage found in %" PRIu64 " places; all else is sound", check->findings);
		return CLI_DAMAGED;
	}
	if (check->away > 0 || check->no_catalogue)
		return say_incomplete(check);
	cli_say(cli, "%s: no damage; %s, and %" PRIu64 " files and %" PRIu64 " folders of the catalogue",
	        cli->store, cli->full ? "every byte was read" : "structure and space were verified",
	        check->files, check->folders);
	return CLI_DONE;
}

static int check_run(struct cli *cli, ps_storer *s)
{
	struct check check = {.cli = cli, .s = s};
	int err = check_all(&check);

	id_set_done(&check.seen);
	return err != PS_OK ? cli_fail(cli, err, NULL) : say_check(&check);
}

int cli_run_check(struct cli *cli)
{
	return cli_with_store(cli, PS_OPEN_READONLY, check_run);
}
