/* sync and head-code: this machine's index and the network's, and a way to compare two machines by eye. */
#include <inttypes.h>
#include <stdio.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

static void say_trust(const struct cli *cli, const struct ps_remote_head *head)
{
	if (head->unanchored)
		cli_warn(cli, "this machine took the store on trust: compare its head code with another's "
		              "(`head-code --expect-head CODE')");
}

static json_t *sync_json(const struct ps_remote_sync_result *s, const struct ps_remote_head *head)
{
	json_t *object = json_pack(
	    "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "head", (json_int_t)s->head, "sent",
	    (json_int_t)s->sent, "received", (json_int_t)s->received, "removed", (json_int_t)s->removed,
	    "conflicts", (json_int_t)s->conflicts, "lost_races", (json_int_t)s->lost_races, "left_pads",
	    (json_int_t)s->left_pads, "run_bytes", (json_int_t)s->run_bytes, "head_bytes",
	    (json_int_t)s->head_bytes, "fetched_bytes", (json_int_t)s->fetched_bytes);

	json_object_set_new(object, "merged_bytes", json_integer((json_int_t)s->merged_bytes));
	json_object_set_new(object, "merge_due", json_integer((json_int_t)s->merge_due));
	json_object_set_new(object, "head_code", json_string(head->code));
	json_object_set_new(object, "unanchored", json_boolean(head->unanchored));
	return object;
}

static int sync_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_sync_result s;
	struct ps_remote_head head;
	int err = (cli->remote.tidy ? ps_remote_tidy : ps_remote_sync)(r, NULL, NULL, &s);

	if (err == PS_OK)
		err = ps_remote_head(r, &head);
	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "the same command goes on where it was");
	cli_json(cli, sync_json(&s, &head));
	cli_say(cli, "%" PRIu64 " sent, %" PRIu64 " received, %" PRIu64 " removed; head %s", s.sent,
	        s.received, s.removed, head.code);
	if (s.conflicts > 0)
		cli_warn(cli,
		         "%" PRIu64 " were changed here and elsewhere: the earlier contents are under \"NAME "
		         "(conflict MACHINE N)\"",
		         s.conflicts);
	if (s.merge_forced)
		cli_warn(
		    cli,
		    "the index had too many parts, so that this sync sent %" PRIu64
		    " bytes to merge some: `sync --tidy' or `purge' now and then does it before somebody "
		    "waits",
		    s.merged_bytes);
	if (s.left_pads > 0)
		cli_say(cli,
		        "%" PRIu64 " pads of what was replaced are left to a machine that has not synced "
		        "since this one joined",
		        s.left_pads);
	say_trust(cli, &head);
	return CLI_DONE;
}

int cli_run_remote_sync(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, sync_run);
}

static int head_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_head head;
	char time[32], shown[REMOTE_SHOWN];
	int err = PS_OK;
	json_t *object;

	if (cli->remote.head_code != NULL)
		err = ps_remote_check_head(r, cli->remote.head_code);
	if (err == PS_OK)
		err = ps_remote_head(r, &head);
	if (err != PS_OK)
		return remote_fail(cli, err, NULL);
	(void)remote_time_text(head.time_ns, time);
	object = json_pack("{s:s, s:I, s:f, s:b, s:i, s:i}", "head_code", head.code, "head",
	                   (json_int_t)head.counter, "time", (double)head.time_ns / 1e9, "unanchored",
	                   (int)head.unanchored, "machines", (int)head.machines, "runs", (int)head.runs);
	cli_json_name(object, "machine", head.machine);
	cli_json(cli, object);
	cli_say(cli, "%s  (%s, by %s)", head.code, time, cli_escape(head.machine, shown, sizeof(shown)));
	say_trust(cli, &head);
	return CLI_DONE;
}

int cli_run_remote_head_code(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, head_run);
}
