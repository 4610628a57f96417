/* ls, stat, mv, rm, release: names and what is known of them. None of these asks the network. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

static json_t *info_json(const struct ps_remote_info *info)
{
	json_t *object = json_pack(
	    "{s:I, s:f, s:s, s:b, s:b, s:b, s:b, s:b, s:I, s:I, s:I}", "size", (json_int_t)info->size, "time",
	    (double)info->time_ns / 1e9, "mode", remote_mode_text(info->mode), "exists", (int)info->exists,
	    "complete", (int)info->complete, "updating", (int)info->updating, "public", (int)info->is_public,
	    "synced", (int)info->synced, "pads", (json_int_t)info->pads, "next_pads",
	    (json_int_t)info->next_pads, "next_confirmed", (json_int_t)info->next_confirmed);

	cli_json_name(object, "name", info->key);
	return object;
}

/* What a list says behind a name; empty for a value that is as it should be. */
static const char *remark_text(const struct ps_remote_info *info, char out[96])
{
	char going[64] = "";

	if (info->updating)
		(void)snprintf(going, sizeof(going), "%s unfinished, %" PRIu64 " of %" PRIu64 " pads",
		               info->exists ? "update" : "put", info->next_confirmed, info->next_pads);
	(void)snprintf(out, 96, "%s%s%s%s%s", info->is_public ? "public" : "",
	               info->is_public && info->updating ? ", " : "", going,
	               (info->updating || info->is_public) && info->exists && !info->complete ? ", " : "",
	               info->exists && !info->complete ? "not confirmed" : "");
	return out;
}

/* ---- ls ---- */

static int list_one(void *arg, const struct ps_remote_info *info)
{
	struct cli *cli = arg;
	char size[32] = "-", time[32] = "-", shown[REMOTE_SHOWN], remark[96];

	if (cli_interrupted())
		return 1;
	if (cli->json) {
		cli_json(cli, info_json(info));
		return 0;
	}
	if (info->exists) {
		(void)snprintf(size, sizeof(size), "%" PRIu64, info->size);
		(void)remote_time_text(info->time_ns, time);
	}
	(void)remark_text(info, remark);
	printf("%15s  %-16.16s  %s%s%s%s\n", size, time, cli_escape(info->key, shown, sizeof(shown)),
	       remark[0] != '\0' ? "  (" : "", remark, remark[0] != '\0' ? ")" : "");
	return 0;
}

static int ls_run(struct cli *cli, ps_remote *r)
{
	int err = ps_remote_list(r, cli->operand_count > 0 ? cli->operands[0] : NULL, list_one, cli);

	if (err == PS_ECANCELED && cli_interrupted())
		err = ps_fail(PS_ECANCELED, "interrupted");
	return err == PS_OK ? CLI_DONE : remote_fail(cli, err, NULL);
}

int cli_run_remote_ls(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, ls_run);
}

/* ---- stat ---- */

static void say_info(struct cli *cli, const struct ps_remote_info *info, const char *address)
{
	char shown[REMOTE_SHOWN], text[32];

	cli_say(cli, "name       %s", cli_escape(info->key, shown, sizeof(shown)));
	if (info->exists) {
		cli_say(cli, "size       %" PRIu64 " bytes", info->size);
		cli_say(cli, "changed    %s", remote_time_text(info->time_ns, text));
		cli_say(cli, "pads       %" PRIu64 ", %s", info->pads, remote_mode_text(info->mode));
		cli_say(cli, "confirmed  %s", info->complete ? "yes" : "not all");
		cli_say(cli, "index      %s",
		        info->synced ? "as on the network" : "changed since the last sync");
	} else {
		cli_say(cli, "size       none: its first put is unfinished");
	}
	if (info->updating)
		cli_say(cli, "unfinished %" PRIu64 " of %" PRIu64 " pads are confirmed", info->next_confirmed,
		        info->next_pads);
	if (info->is_public)
		cli_say(cli, "public     %s", address[0] != '\0' ? address : "yes");
}

static int stat_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_info info;
	char address[PS_PUBLIC_ADDRESS] = "";
	int err = ps_remote_stat(r, cli->operands[0], &info);

	if (err != PS_OK)
		return remote_fail(cli, err, cli->operands[0]);
	if (info.is_public && ps_remote_address(r, cli->operands[0], address) != PS_OK)
		address[0] = '\0'; /* a key that only reads does not know it */
	if (cli->json) {
		json_t *object = info_json(&info);

		if (address[0] != '\0')
			json_object_set_new(object, "address", json_string(address));
		cli_json(cli, object);
	}
	say_info(cli, &info, address);
	return CLI_DONE;
}

int cli_run_remote_stat(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, stat_run);
}

/* ---- mv, rm, release ---- */

static int mv_run(struct cli *cli, ps_remote *r)
{
	json_t *object = json_object();
	int err = ps_remote_rename(r, cli->operands[0], cli->operands[1]);

	cli_json_name(object, "from", cli->operands[0]);
	cli_json_name(object, "to", cli->operands[1]);
	if (err == PS_OK)
		cli_json(cli, object);
	else
		json_decref(object);
	return err == PS_OK ? CLI_DONE : remote_fail(cli, err, NULL);
}

int cli_run_remote_mv(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, mv_run);
}

static void say_removal(struct cli *cli, const struct ps_remote_info *info)
{
	char shown[REMOTE_SHOWN], size[32], pads[32];

	cli_say(cli, "%s %s (%s, %s)", cli->remote.dry_run ? "would remove" : "removed",
	        cli_escape(info->key, shown, sizeof(shown)), cli_size_text(info->size, size),
	        remote_pads_text(info->pads + info->next_pads, pads));
}

/* Either all are there, or none goes. */
static int check_all(struct cli *cli, ps_remote *r)
{
	struct ps_remote_info info;

	for (int i = 0; i < cli->operand_count; i++) {
		int err = ps_remote_stat(r, cli->operands[i], &info);

		if (err != PS_OK)
			return remote_fail(cli, err, cli->operands[i]);
	}
	return CLI_DONE;
}

static int remove_one(struct cli *cli, ps_remote *r, const char *name)
{
	struct ps_remote_info info;
	int err = ps_remote_stat(r, name, &info);

	if (err == PS_ENOTFOUND) /* named twice */
		return CLI_DONE;
	if (err == PS_OK && !cli->remote.dry_run)
		err = ps_remote_remove(r, name);
	if (err != PS_OK)
		return remote_fail(cli, err, name);
	say_removal(cli, &info);
	return CLI_DONE;
}

static int rm_run(struct cli *cli, ps_remote *r)
{
	int result = check_all(cli, r);

	for (int i = 0; i < cli->operand_count && result == CLI_DONE; i++)
		result = remove_one(cli, r, cli->operands[i]);
	if (result == CLI_DONE)
		cli_json(cli, json_pack("{s:i, s:b}", "removed", cli->remote.dry_run ? 0 : cli->operand_count,
		                        "dry_run", (int)cli->remote.dry_run));
	return result;
}

int cli_run_remote_rm(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, rm_run);
}

static int release_run(struct cli *cli, ps_remote *r)
{
	int err = ps_remote_release(r, cli->operands[0]);
	json_t *object;

	if (err != PS_OK)
		return remote_fail(cli, err, cli->operands[0]);
	object = json_object();
	cli_json_name(object, "name", cli->operands[0]);
	cli_json(cli, object);
	return CLI_DONE;
}

int cli_run_remote_release(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, release_run);
}
