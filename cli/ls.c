/* ls: the catalogue as ls -l shows folders, or every object by id. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <padstone/base_store.h>

#include "base/fail.h"
#include "cli/catalogue.h"

struct listing {
	struct cli *cli;
	ps_storer *s;
	uint64_t shown;
	int err;
};

static int list_id(void *arg, ps_id id)
{
	struct listing *l = arg;
	struct ps_info info;
	int err = ps_info(l->s, id, &info);

	if (cli_interrupted())
		err = ps_fail(PS_ECANCELED, "interrupted");
	if (err != PS_OK) {
		l->err = err;
		return 1;
	}
	l->shown++;
	if (l->cli->json)
		cli_json(l->cli,
		         json_pack("{s:I, s:I}", "id", (json_int_t)id, "size", (json_int_t)info.size));
	else
		printf("%20" PRIu64 " %15" PRIu64 "\n", id, info.size);
	return 0;
}

static int list_ids(struct cli *cli, ps_storer *s)
{
	struct listing l = {.cli = cli, .s = s};
	int err = ps_each(s, PS_ID_PRIME, list_id, &l);

	if (l.err != PS_OK)
		err = l.err;
	return err == PS_OK ? CLI_DONE : cli_fail(cli, err, NULL);
}

static void mode_text(const struct cat_entry *entry, char out[11])
{
	static const char letters[] = "rwxrwxrwx";

	out[0] = entry->type == CAT_FOLDER ? 'd' : entry->type == CAT_LINK ? 'l' : '-';
	for (int i = 0; i < 9; i++)
		out[i + 1] = entry->mode & (0400u >> i) ? letters[i] : '-';
	if (entry->mode & 04000)
		out[3] = entry->mode & 0100 ? 's' : 'S';
	if (entry->mode & 02000)
		out[6] = entry->mode & 010 ? 's' : 'S';
	if (entry->mode & 01000)
		out[9] = entry->mode & 01 ? 't' : 'T';
	out[10] = '\0';
}

static const char *type_name(enum cat_type type)
{
	return type == CAT_FILE ? "file" : type == CAT_FOLDER ? "folder" : "link";
}

static void entry_json(const struct cli *cli, const char *path, const struct cat_entry *entry)
{
	char mode[8];
	json_t *object;

	snprintf(mode, sizeof(mode), "%04o", entry->mode);
	object = json_pack("{s:s, s:s, s:I, s:I, s:i}", "type", type_name(entry->type), "mode", mode, "size",
	                   (json_int_t)entry->size, "mtime", (json_int_t)entry->mtime.sec, "mtime_nsec",
	                   (int)entry->mtime.nsec);
	cli_json_name(object, "path", path);
	if (entry->id != PS_ID_NONE)
		json_object_set_new(object, "id", json_integer((json_int_t)entry->id));
	if (entry->target != NULL)
		cli_json_name(object, "target", entry->target);
	cli_json(cli, object);
}

static void entry_text(const char *path, const struct cat_entry *entry)
{
	char mode[11], date[32] = "?", shown[4 * 8192 + 8];
	time_t when = (time_t)entry->mtime.sec;
	struct tm tm;

	mode_text(entry, mode);
	if (localtime_r(&when, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M", &tm);
	printf("%s %12" PRIu64 " %s %s%s", mode, entry->size, date, cli_escape(path, shown, sizeof(shown)),
	       entry->type == CAT_FOLDER ? "/" : "");
	if (entry->target != NULL)
		printf(" -> %s", cli_escape(entry->target, shown, sizeof(shown)));
	putchar('\n');
}

static int list_entry(void *arg, const char *folder, const struct cat_entry *entry)
{
	struct listing *l = arg;
	char *path;

	if (cli_interrupted())
		return ps_fail(PS_ECANCELED, "interrupted");
	if (asprintf(&path, "%s%s", folder, entry->name) < 0)
		return ps_fail(PS_ENOMEM, "no memory for a path");
	if (l->cli->json)
		entry_json(l->cli, path, entry);
	else
		entry_text(path, entry);
	free(path);
	return PS_OK;
}

static int list_damaged(void *arg, const char *path, int err)
{
	struct listing *l = arg;
	char shown[1024];

	l->err = err == PS_ENOTFOUND ? PS_ECORRUPT : err;
	cli_fail(l->cli, l->err, path[0] == '\0' ? "/" : cli_escape(path, shown, sizeof(shown)));
	return PS_OK;
}

static int list_folder(struct listing *l, const char *prefix, ps_id id)
{
	struct cat_folder folder;
	int err = cat_load_folder(l->s, id, &folder);

	if (err == PS_EUNAVAILABLE || err == PS_ETIMEDOUT)
		return err;
	if (err != PS_OK)
		return list_damaged(l, prefix, err);
	for (size_t i = 0; i < folder.count && err == PS_OK; i++)
		err = list_entry(l, prefix, &folder.entries[i]);
	cat_folder_done(&folder);
	return err;
}

static int list_under(struct listing *l, const char *path, const struct cat_entry *entry)
{
	struct cat_walk walk = {.s = l->s, .fn = list_entry, .damaged = list_damaged, .arg = l};
	size_t len = strlen(path);
	char *prefix;
	int err;

	if (entry->type != CAT_FOLDER) {
		if (l->cli->json)
			entry_json(l->cli, path, entry);
		else
			entry_text(path, entry);
		return PS_OK;
	}
	while (len > 0 && path[len - 1] == '/')
		len--;
	if (asprintf(&prefix, "%.*s%s", (int)len, path, len > 0 ? "/" : "") < 0)
		return ps_fail(PS_ENOMEM, "no memory for a path");
	err = l->cli->recursive ? cat_walk_run(&walk, prefix, entry->id) : list_folder(l, prefix, entry->id);
	free(prefix);
	return err;
}

static int ls_run(struct cli *cli, ps_storer *s)
{
	const char *path = cli->operand_count > 0 ? cli->operands[0] : "";
	struct listing l = {.cli = cli, .s = s};
	struct cat_header header;
	struct cat_entry entry;
	int err;

	if (cli->ids)
		return list_ids(cli, s);
	err = cat_load_header(s, &header);
	if ((err == PS_ENOTFOUND || err == PS_EFORMAT) && cli->operand_count == 0)
		return list_ids(cli, s);
	if (err == PS_OK)
		err = cat_lookup(s, &header, path, &entry);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	err = list_under(&l, path, &entry);
	cat_entry_done(&entry);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	return cli_exit_code(l.err);
}

int cli_run_ls(struct cli *cli)
{
	return cli_with_store(cli, PS_OPEN_READONLY, ls_run);
}
