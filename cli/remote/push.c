/* push, clone, history, remote-status: a whole store on a network. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <padstone/push.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

/* The operations on single values are many and small: one bar stands for all. */
static void begin_bar(struct cli *cli, struct cli_progress *bar)
{
	cli->remote.watch->hidden = true;
	progress_begin(bar, cli, cli->command->name, 0);
}

/* ---- push ---- */

static void say_push(struct cli *cli, const struct ps_push_result *p, const struct ps_remote_head *head)
{
	char bytes[32], sent[32];
	json_t *object =
	    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "state", (json_int_t)p->state,
	              "commit", (json_int_t)p->commit, "objects", (json_int_t)p->objects, "gone",
	              (json_int_t)p->gone, "bytes", (json_int_t)p->bytes, "packs", (json_int_t)p->packs,
	              "kept_packs", (json_int_t)p->kept_packs, "removed_packs", (json_int_t)p->removed_packs,
	              "sent_bytes", (json_int_t)p->sent_bytes, "requests", (json_int_t)p->requests);

	json_object_set_new(object, "head_code", json_string(head->code));
	cli_json(cli, object);
	if (p->objects == 0 && p->gone == 0) {
		cli_say(cli, "state %" PRIu64 " is there, and nothing was changed since; head %s", p->state,
		        head->code);
		return;
	}
	cli_say(cli,
	        "state %" PRIu64 " is there: %" PRIu64 " objects (%s) and %" PRIu64
	        " ids that are gone, %s sent; head %s",
	        p->state, p->objects, cli_size_text(p->bytes, bytes), p->gone,
	        cli_size_text(p->sent_bytes, sent), head->code);
}

/* What has left the file is not on this network: nothing was ever pushed here. */
static bool is_elsewhere(ps_storer *s, ps_remote *r)
{
	struct ps_push_holder holder;
	struct ps_local_figures figures;

	return ps_push_holder(r, &holder) == PS_ENOTFOUND && ps_local_figures(s, &figures) == PS_OK &&
	       figures.away_objects > 0;
}

/* As remote_ended; a network that does not answer is told from one that is the wrong one. */
static int push_failed(struct cli *cli, ps_remote *r, ps_storer *s, int err)
{
	char sentence[512];

	if (err == PS_EUNAVAILABLE) {
		(void)snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
		cli->remote.elsewhere = is_elsewhere(s, r);
		err = ps_fail(err, "%s", sentence);
	}
	return remote_ended(cli, err, NULL, "the state before is there, whole; the same command goes on");
}

static int push_store(struct cli *cli, ps_remote *r, ps_storer *s)
{
	const struct cli_remote_options *given = &cli->remote;
	struct ps_push_options options = {.size = sizeof(options)};
	struct ps_push_result result;
	struct ps_remote_head head = {0};
	struct cli_progress bar;
	int err;

	options.history = (uint32_t)given->history;
	options.compression = given->level;
	options.urgent = 1; /* nobody else uses the store in this process */
	options.progress = progress_callback;
	options.progress_arg = &bar;
	begin_bar(cli, &bar);
	err = given->take_over ? ps_take_over(s, r, progress_callback, &bar) : PS_OK;
	if (err == PS_OK)
		err = ps_push(s, r, &options, &result);
	progress_end(&bar, cli);
	if (err == PS_OK)
		err = ps_remote_head(r, &head);
	if (err != PS_OK)
		return push_failed(cli, r, s, err);
	say_push(cli, &result, &head);
	return CLI_DONE;
}

static int push_run(struct cli *cli, ps_remote *r)
{
	ps_storer *s;
	int err = cli_open_store(cli, PS_OPEN_EXISTING, &s);

	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	return cli_finish(cli, s, push_store(cli, r, s));
}

int cli_run_push(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, push_run);
}

/* ---- clone ---- */

/* What is wrong with the new file, whose name the sentence begins with, is not the network's fault. */
static bool is_of_file(const struct cli *cli)
{
	const char *sentence = ps_last_error_message();
	size_t len = strlen(cli->store);

	if (strncmp(sentence, cli->store, len) != 0)
		return false;
	return sentence[len] == ':' || strncmp(sentence + len, ".partial-", strlen(".partial-")) == 0;
}

static int clone_run(struct cli *cli, ps_remote *r)
{
	struct ps_base_options base = {.size = sizeof(base), .memory_budget = cli->memory, .io = cli->io};
	struct ps_clone_options options = {.size = sizeof(options),
	                                   .state = cli->remote.state,
	                                   .base = &base,
	                                   .take_over = cli->remote.take_over,
	                                   .lazy = cli->remote.lazy};
	struct ps_clone_result result;
	struct cli_progress bar;
	char bytes[32];
	json_t *object;
	int err;

	options.progress = progress_callback;
	options.progress_arg = &bar;
	begin_bar(cli, &bar);
	err = ps_clone(r, cli->store, &options, &result);
	progress_end(&bar, cli);
	if (err != PS_OK && is_of_file(cli))
		return cli_fail(cli, err, NULL);
	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "no file was made; the same command begins again");
	object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "state", (json_int_t)result.state, "commit",
	                   (json_int_t)result.commit, "objects", (json_int_t)result.objects, "bytes",
	                   (json_int_t)result.bytes, "received_bytes", (json_int_t)result.received_bytes,
	                   "requests", (json_int_t)result.requests);
	cli_json_name(object, "store", cli->store);
	cli_json(cli, object);
	cli_say(cli, "%s is state %" PRIu64 ": %" PRIu64 " objects, %s%s", cli->store, result.state,
	        result.objects, cli_size_text(result.bytes, bytes),
	        cli->remote.lazy ? ", fetched as they are touched" : "");
	return CLI_DONE;
}

int cli_run_clone(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, clone_run);
}

/* ---- history ---- */

static int say_state(void *arg, const struct ps_push_state *state)
{
	struct cli *cli = arg;
	char time[32], bytes[32];

	(void)remote_time_text(state->time_ns, time);
	cli_json(cli,
	         json_pack("{s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:b}", "state", (json_int_t)state->state,
	                   "commit", (json_int_t)state->commit, "time", (double)state->time_ns / 1e9,
	                   "objects", (json_int_t)state->objects, "bytes", (json_int_t)state->bytes, "runs",
	                   (json_int_t)state->runs, "packs", (json_int_t)state->packs, "pack_bytes",
	                   (json_int_t)state->pack_bytes, "newest", (int)state->newest));
	if (!cli->json)
		printf("%8" PRIu64 "  %s  %10" PRIu64 " objects  %10s%s\n", state->state, time,
		       state->objects, cli_size_text(state->bytes, bytes), state->newest ? "  (newest)" : "");
	return 0;
}

static int history_run(struct cli *cli, ps_remote *r)
{
	int err = ps_push_history(r, say_state, cli);

	return err == PS_OK ? CLI_DONE : remote_fail(cli, err, NULL);
}

int cli_run_history(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, history_run);
}

/* ---- remote-status ---- */

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

static json_t *time_or_null(uint64_t ns)
{
	return ns == 0 || ns == UINT64_MAX ? json_null() : json_real(seconds(ns));
}

static void say_lag(const struct cli *cli, const struct ps_remote_status *st)
{
	char time[32], bytes[32];

	if (st->pushed_ns == 0)
		cli_say(cli, "never pushed from this file");
	else
		cli_say(cli, "last push %s: state %" PRIu64 ", %s sent",
		        remote_time_text(st->pushed_ns, time), st->state,
		        cli_size_text(st->pushed_bytes, bytes));
	if (st->commits == 0)
		cli_say(cli,
		        st->pushed_ns == 0 ? "nothing was ever changed in it" : "nothing was changed since");
	else if (st->lag_ns != UINT64_MAX)
		cli_say(cli, "%" PRIu64 " commit%s since, behind by %.0f s", st->commits,
		        st->commits == 1 ? "" : "s", seconds(st->lag_ns));
	else
		cli_say(cli, "%" PRIu64 " commit%s not on the network", st->commits,
		        st->commits == 1 ? " is" : "s are");
}

static json_t *requests_json(const struct ps_remote_requests *r)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "get", (json_int_t)r->get, "range",
	                 (json_int_t)r->range, "head", (json_int_t)r->head, "create", (json_int_t)r->create,
	                 "replace", (json_int_t)r->replace, "remove", (json_int_t)r->remove, "list",
	                 (json_int_t)r->list);
}

static void usage_json(const struct ps_remote_usage *u, json_t *object)
{
	json_object_set_new(object, "requests", requests_json(&u->requests));
	json_object_set_new(object, "requests_since", time_or_null(u->since_ns));
	json_object_set_new(object, "drill", time_or_null(u->drill_ns));
	json_object_set_new(object, "drill_values", json_integer((json_int_t)u->drill_values));
	json_object_set_new(object, "drill_wrong", json_integer((json_int_t)u->drill_wrong));
}

static void say_usage(const struct cli *cli, const struct ps_remote_usage *u)
{
	const struct ps_remote_requests *r = &u->requests;
	char time[32], bytes[32], values[32];

	if (u->drill_ns == 0)
		cli_say(cli, "no drill from this machine (`padstone remote drill')");
	else
		cli_say(cli, "last drill %s: %s, %s; findings: %" PRIu64, remote_time_text(u->drill_ns, time),
		        remote_values_text(u->drill_values, values), cli_size_text(u->drill_bytes, bytes),
		        u->drill_wrong);
	cli_say(cli,
	        "requests from this machine since %s: %" PRIu64 " get, %" PRIu64 " range, %" PRIu64
	        " head, %" PRIu64 " create, %" PRIu64 " replace, %" PRIu64 " remove, %" PRIu64 " list",
	        remote_time_text(u->since_ns, time), r->get, r->range, r->head, r->create, r->replace,
	        r->remove, r->list);
}

static json_t *lag_json(const struct ps_remote_status *st)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "state", (json_int_t)st->state, "commit",
	                 (json_int_t)st->commit, "commits", (json_int_t)st->commits, "pushed_bytes",
	                 (json_int_t)st->pushed_bytes, "pushed", time_or_null(st->pushed_ns), "lag",
	                 st->commits ? time_or_null(st->lag_ns) : json_real(0));
}

static void say_status(struct cli *cli, const struct ps_remote_status *st, const struct ps_push_holder *h,
                       const struct ps_remote_usage *u)
{
	char time[32];
	json_t *object = lag_json(st);

	json_object_set_new(object, "reached", json_true());
	if (h->epoch > 0) {
		json_object_set_new(object, "holder", json_string(h->text));
		json_object_set_new(object, "held_since", json_real(seconds(h->since_ns)));
		json_object_set_new(object, "epoch", json_integer((json_int_t)h->epoch));
	}
	usage_json(u, object);
	cli_json(cli, object);
	say_lag(cli, st);
	if (h->epoch > 0)
		cli_say(cli, "held by %s since %s (epoch %" PRIu64 ")", h->text,
		        remote_time_text(h->since_ns, time), h->epoch);
	say_usage(cli, u);
}

static int look_at_store(const struct cli *cli, struct ps_remote_status *st)
{
	ps_storer *s;
	int err = cli_open_store(cli, PS_OPEN_READONLY, &s);

	if (err == PS_OK) {
		err = ps_push_status(s, st);
		err = cli_close_store(s) == PS_OK ? err : PS_EIO;
	}
	return err;
}

static int status_run(struct cli *cli, ps_remote *r)
{
	struct ps_push_holder holder = {.epoch = 0};
	struct ps_remote_usage usage;
	int err = ps_remote_sync(r, NULL, NULL, NULL);

	if (err == PS_OK)
		err = ps_push_holder(r, &holder);
	if (err == PS_OK || err == PS_ENOTFOUND)
		err = ps_remote_usage(r, &usage);
	if (err != PS_OK)
		return remote_fail(cli, err, NULL);
	say_status(cli, cli->remote.standing, &holder, &usage);
	cli->remote.told = true;
	return CLI_DONE;
}

/* Whoever watches a store wants to know how far it is behind above all when the network cannot be asked. */
static void say_alone(struct cli *cli, const struct ps_remote_status *st)
{
	json_t *object = lag_json(st);

	json_object_set_new(object, "reached", json_false());
	cli_json(cli, object);
	say_lag(cli, st);
}

/* What the file knows is looked at first: no network is asked for that. */
int cli_run_remote_status(struct cli *cli)
{
	struct ps_remote_status st = {0};
	int err = look_at_store(cli, &st), result;

	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	cli->remote.standing = &st;
	result = remote_with(cli, REMOTE_OPEN, status_run);
	if (result == CLI_USAGE)
		return result;
	if (!cli->remote.told)
		say_alone(cli, &st);
	return cli->remote.limits_lag && seconds(st.lag_ns) > (double)cli->remote.max_lag ? CLI_FAILED
	                                                                                  : result;
}
