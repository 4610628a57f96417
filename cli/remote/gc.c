/* gc: pads that nothing names any more. audit: what the network sees. */
#include <inttypes.h>
#include <stdio.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

/* ---- gc ---- */

static json_t *gc_json(const struct ps_remote_gc_result *g, bool applied)
{
	json_t *object = json_pack(
	    "{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "applied", (int)applied,
	    "listed", (json_int_t)g->listed, "named", (json_int_t)g->named, "foreign", (json_int_t)g->foreign,
	    "published", (json_int_t)g->published, "unnamed", (json_int_t)g->unnamed, "unnamed_bytes",
	    (json_int_t)g->unnamed_bytes, "left", (json_int_t)g->left, "ripe", (json_int_t)g->ripe, "deleted",
	    (json_int_t)g->deleted, "deleted_bytes", (json_int_t)g->deleted_bytes, "changed",
	    (json_int_t)g->changed, "silent", (json_int_t)g->silent);

	if (g->silent > 0)
		cli_json_name(object, "silent_machines", g->silent_machines);
	if (g->next_ns > 0)
		json_object_set_new(object, "next", json_real((double)g->next_ns / 1e9));
	return object;
}

static void say_rest(struct cli *cli, const struct ps_remote_gc_result *g)
{
	char time[32], shown[REMOTE_SHOWN];
	uint64_t may_go = g->ripe - g->deleted - g->changed;

	if (!cli->remote.apply && may_go > 0)
		cli_say(cli, "%" PRIu64 " of them may go now: run it with --apply", may_go);
	if (g->next_ns > 0)
		cli_say(cli, "Others are not old enough before %s: run it again then",
		        remote_time_text(g->next_ns, time));
	if (g->left > 0)
		cli_say(cli, "%" PRIu64 " more wait until these are gone", g->left);
	if (g->silent > 0)
		cli_warn(cli,
		         "not heard of since these pads were first found, so that some may be theirs: %s",
		         cli_escape(g->silent_machines, shown, sizeof(shown)));
}

static int gc_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_gc options = {.size = sizeof(options), .apply = cli->remote.apply};
	struct ps_remote_gc_result g;
	char bytes[32];
	int err;

	options.ignore_silent = cli->remote.ignore_silent;
	options.age_s = (uint64_t)(cli->remote.age_hours * 3600);
	err = ps_push_gc(r, &options, &g);
	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "the same command goes on where it was");
	cli_json(cli, gc_json(&g, cli->remote.apply));
	cli_say(cli, "%" PRIu64 " pads listed: %" PRIu64 " named, %" PRIu64 " of others", g.listed, g.named,
	        g.foreign);
	cli_say(cli, "%" PRIu64 " of this key are named by nothing (%s)", g.unnamed,
	        cli_size_text(g.unnamed_bytes, bytes));
	if (g.published > 0)
		cli_say(cli, "%" PRIu64 " were public once, and stay", g.published);
	if (cli->remote.apply)
		cli_say(cli, "%" PRIu64 " deleted (%s), %" PRIu64 " have changed meanwhile", g.deleted,
		        cli_size_text(g.deleted_bytes, bytes), g.changed);
	say_rest(cli, &g);
	return CLI_DONE;
}

int cli_run_remote_gc(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, gc_run);
}

/* ---- audit ---- */

static const char *const role_names[PS_REMOTE_ROLES] = {"data", "head", "index", "log", "fence", "tombstone"};

static json_t *audit_json(const struct ps_remote_audit_result *a)
{
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
	    {"listed", a->listed},       {"bytes", a->bytes},          {"other_sizes", a->other_sizes},
	    {"named", a->named},         {"unnamed", a->unnamed},      {"foreign", a->foreign},
	    {"undecided", a->undecided}, {"looked", a->looked},        {"vanished", a->vanished},
	    {"no_pads", a->no_pads},     {"others", a->others},        {"ours", a->ours},
	    {"public", a->is_public},    {"reused", a->reused},        {"writes", a->writes},
	    {"head", a->head},           {"head_bytes", a->head_bytes}};
	json_t *object = json_object(), *sizes = json_object(), *roles = json_object();
	char size[24];

	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++)
		json_object_set_new(object, figures[i].name, json_integer((json_int_t)figures[i].value));
	for (int i = 0; i < PS_REMOTE_SIZES; i++) {
		(void)snprintf(size, sizeof(size), "%" PRIu64, a->sizes[i].record_bytes);
		json_object_set_new(sizes, size, json_integer((json_int_t)a->sizes[i].count));
	}
	for (int i = 0; i < PS_REMOTE_ROLES; i++)
		json_object_set_new(roles, role_names[i], json_integer((json_int_t)a->roles[i]));
	json_object_set_new(object, "sizes", sizes);
	json_object_set_new(object, "roles", roles);
	return object;
}

static void say_sizes(struct cli *cli, const struct ps_remote_audit_result *a)
{
	char text[32];

	cli_say(cli, "The network sees");
	cli_say(cli, "  records      %" PRIu64 " (%s)", a->listed, cli_size_text(a->bytes, text));
	for (int i = 0; i < PS_REMOTE_SIZES; i++)
		if (a->sizes[i].count > 0)
			cli_say(cli, "    of %-9s %" PRIu64, cli_size_text(a->sizes[i].record_bytes, text),
			        a->sizes[i].count);
	if (a->other_sizes > 0)
		cli_say(cli, "    others       %" PRIu64, a->other_sizes);
}

static void say_headers(struct cli *cli, const struct ps_remote_audit_result *a)
{
	cli_say(cli, "What headers say without a key, of %" PRIu64 " that were looked at", a->looked);
	cli_say(cli, "  this store's %" PRIu64 " (they carry one network id)", a->ours);
	for (int i = 0; i < PS_REMOTE_ROLES; i++)
		if (a->roles[i] > 0)
			cli_say(cli, "    %-10s %" PRIu64, role_names[i], a->roles[i]);
	cli_say(cli, "  others'      %" PRIu64 ", no pads %" PRIu64, a->others, a->no_pads);
	cli_say(cli, "  public       %" PRIu64, a->is_public);
	cli_say(cli, "  used again   %" PRIu64, a->reused);
	cli_say(cli, "  writes       %" PRIu64 " (the sum of all counters)", a->writes);
	cli_say(cli, "  the head     number %" PRIu64 ": that many times the store was synced", a->head);
}

static void say_rest_of_audit(struct cli *cli, const struct ps_remote_audit_result *a)
{
	cli_say(cli, "It also sees when each record is written and read, and from where; which are written");
	cli_say(cli, "together; and that the head grows with machines and runs. It does not see names, what");
	cli_say(cli, "belongs to what, or sizes but for these classes.");
	cli_say(cli, "What only the key tells");
	cli_say(cli, "  named        %" PRIu64 " (by the head, or by this machine)", a->named);
	cli_say(cli, "  by nothing   %" PRIu64 " (`padstone remote gc' is for these)", a->unnamed);
	cli_say(cli, "  of others    %" PRIu64, a->foreign);
	if (a->undecided > 0)
		cli_say(cli, "  not known    %" PRIu64 " (a key that only reads cannot tell)", a->undecided);
}

static int audit_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_audit options = {.size = sizeof(options), .listing_only = cli->remote.quick};
	struct ps_remote_audit_result a;
	int err = ps_remote_audit(r, &options, &a);

	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "nothing was changed");
	cli_json(cli, audit_json(&a));
	say_sizes(cli, &a);
	say_headers(cli, &a);
	say_rest_of_audit(cli, &a);
	return CLI_DONE;
}

int cli_run_remote_audit(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, audit_run);
}
