/* check: the store's own verification, then the catalogue against the objects that it names. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>

#include <padstone/base_store.h>

#include "base/fail.h"
#include "cli/catalogue.h"

struct check {
	struct cli *cli;
	ps_storer *s;
	uint64_t findings, files, folders;
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
	else
		(void)check_damaged(check, "catalogue", err);
	return cat_walk_run(&walk, "", header.root);
}

static int check_run(struct cli *cli, ps_storer *s)
{
	struct check check = {.cli = cli, .s = s};
	int err = ps_check(s, cli->full ? PS_CHECK_FULL : PS_CHECK_QUICK, on_finding, &check);

	if (err == PS_ECORRUPT && check.findings == 0)
		report(&check, ps_error_name(err), PS_ID_NONE, NULL, ps_last_error_message());
	if (err == PS_OK || err == PS_ECORRUPT)
		err = check_catalogue(&check);
	id_set_done(&check.seen);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	cli_json(cli, json_pack("{s:b, s:b, s:I, s:I, s:I}", "ok", check.findings == 0, "full", cli->full,
	                        "findings", (json_int_t)check.findings, "files", (json_int_t)check.files,
	                        "folders", (json_int_t)check.folders));
	if (check.findings > 0) {
		cli_warn(cli, "damage found in %" PRIu64 " places; all else is sound", check.findings);
		return CLI_DAMAGED;
	}
	cli_say(cli, "%s: no damage; %s, and %" PRIu64 " files and %" PRIu64 " folders of the catalogue",
	        cli->store, cli->full ? "every byte was read" : "structure and space were verified",
	        check.files, check.folders);
	return CLI_DONE;
}

int cli_run_check(struct cli *cli)
{
	return cli_with_store(cli, PS_OPEN_READONLY, check_run);
}
