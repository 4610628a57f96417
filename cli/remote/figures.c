/* stats and verify: the whole store, as this machine knows it. */
#include <inttypes.h>
#include <stdio.h>

#include <padstone/push.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

static json_t *stats_json(const struct ps_remote_stats *s)
{
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
	    {"values", s->values},         {"complete", s->complete}, {"updating", s->updating},
	    {"tombstones", s->tombstones}, {"unsynced", s->unsynced}, {"public_values", s->public_values},
	    {"bytes", s->bytes},           {"pads", s->pads},         {"pad_bytes", s->pad_bytes},
	    {"confirmed", s->confirmed},   {"written", s->written},   {"pending", s->pending},
	    {"generated", s->generated},   {"invalid", s->invalid},   {"free_pads", s->free_pads}};
	json_t *object = json_object();

	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++)
		json_object_set_new(object, figures[i].name, json_integer((json_int_t)figures[i].value));
	return object;
}

static int stats_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_stats s;
	char bytes[32], pad_bytes[32];
	int err = ps_remote_stats(r, &s);

	if (err != PS_OK)
		return remote_fail(cli, err, NULL);
	if (cli->json)
		cli_json(cli, stats_json(&s));
	cli_say(cli, "values       %" PRIu64 " (%" PRIu64 " complete, %" PRIu64 " unfinished)", s.values,
	        s.complete, s.updating);
	cli_say(cli, "contents     %s", cli_size_text(s.bytes, bytes));
	cli_say(cli, "not synced   %" PRIu64, s.unsynced);
	cli_say(cli, "pads         %" PRIu64 " (%s on the network, or may be)", s.pads,
	        cli_size_text(s.pad_bytes, pad_bytes));
	cli_say(cli, "  confirmed  %" PRIu64, s.confirmed);
	cli_say(cli, "  free       %" PRIu64, s.free_pads);
	cli_say(cli,
	        "  in doubt   %" PRIu64 " (written %" PRIu64 ", pending %" PRIu64 ", generated %" PRIu64 ")",
	        s.written + s.pending + s.generated, s.written, s.pending, s.generated);
	cli_say(cli, "  invalid    %" PRIu64, s.invalid);
	return CLI_DONE;
}

int cli_run_remote_stats(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, stats_run);
}

struct verification {
	struct cli *cli;
	uint64_t findings;
};

static void found(void *arg, const char *finding)
{
	struct verification *v = arg;
	char shown[REMOTE_SHOWN];

	v->findings++;
	(void)remote_shown(finding, shown);
	cli_json(v->cli, json_pack("{s:s, s:s}", "finding", ps_error_name(PS_ECORRUPT), "message", shown));
	cli_say(v->cli, "%s", shown);
}

/* Where a store was pushed, its log is read as well. */
static void say_verified(struct cli *cli, uint64_t findings, const struct ps_push_verify_result *log)
{
	char bytes[32];
	json_t *object = json_pack("{s:b, s:I}", "ok", 1, "findings", (json_int_t)findings);

	if (log->state > 0) {
		json_object_set_new(object, "state", json_integer((json_int_t)log->state));
		json_object_set_new(object, "commit", json_integer((json_int_t)log->commit));
		json_object_set_new(object, "log_groups", json_integer((json_int_t)log->log_groups));
		json_object_set_new(object, "log_pads", json_integer((json_int_t)log->log_pads));
		json_object_set_new(object, "log_bytes", json_integer((json_int_t)log->log_bytes));
		json_object_set_new(object, "fenced", json_boolean(log->fenced));
	}
	cli_json(cli, object);
	if (log->log_pads > 0)
		cli_say(cli,
		        "The log behind state %" PRIu64 " is whole: %" PRIu64
		        " pads (%s), up to commit %" PRIu64 "%s",
		        log->state, log->log_pads, cli_size_text(log->log_bytes, bytes), log->commit,
		        log->fenced ? ", where another file has taken over" : "");
	else if (log->state > 0)
		cli_say(cli, "There is no log behind state %" PRIu64 ".", log->state);
}

static int verify_run(struct cli *cli, ps_remote *r)
{
	struct verification v = {.cli = cli};
	struct ps_push_verify_result log = {0};
	int err = ps_remote_verify(r, found, &v);

	if (err != PS_OK)
		return remote_fail(cli, err, NULL);
	cli_say(cli, "No pad is in two places, and all counts agree.");
	err = ps_push_verify(r, NULL, NULL, &log);
	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "nothing was changed");
	say_verified(cli, v.findings, &log);
	return CLI_DONE;
}

int cli_run_remote_verify(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, verify_run);
}
