/* create, stat, compact, backup: the store as a whole. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <padstone/base_store.h>

#include "cli/progress.h"
#include "cli/routes.h"

static int create_run(struct cli *cli, ps_storer *s)
{
	struct ps_stats stats;
	int err = ps_stats(s, &stats);

	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	cli_json(cli,
	         json_pack("{s:s, s:I}", "store", cli->store, "file_bytes", (json_int_t)stats.file_bytes));
	cli_say(cli, "created %s", cli->store);
	return CLI_DONE;
}

int cli_run_create(struct cli *cli)
{
	return cli_with_store(cli, PS_OPEN_CREATE_NEW, create_run);
}

/* SPACE: bytes that a store which is open read-only does not find out. */
struct figure {
	const char *key, *label;
	size_t offset;
	enum { COUNT, BYTES, SPACE } kind;
};
#define FIGURE(member, label, kind)                                                                          \
	{                                                                                                    \
#member, label, offsetof(struct ps_stats, member), kind                                      \
	}
static const struct figure figures[] = {
    FIGURE(objects, "objects", COUNT),
    FIGURE(live_bytes, "live bytes", BYTES),
    FIGURE(file_bytes, "file", BYTES),
    FIGURE(disk_bytes, "on disk", BYTES),
    FIGURE(used_bytes, "used", SPACE),
    FIGURE(free_bytes, "free", SPACE),
    FIGURE(table_bytes, "object table", BYTES),
    FIGURE(log_bytes, "commit log", BYTES),
    FIGURE(pending_bytes, "freed, not yet durable", BYTES),
    FIGURE(memory_budget, "memory budget", BYTES),
    FIGURE(memory_used, "memory used", BYTES),
    FIGURE(last_commit, "last commit", COUNT),
    FIGURE(last_durable_commit, "last durable commit", COUNT),
    FIGURE(recovered_commits, "recovered at open", COUNT),
};

static uint64_t figure_value(const struct ps_stats *stats, const struct figure *f)
{
	uint64_t value;

	memcpy(&value, (const char *)stats + f->offset, sizeof(value));
	return value;
}

struct store_figures {
	struct ps_stats stats;
	struct cli_routes routes;
	bool space_known;
};

/* Routes first: with them the store finds out what is free. */
static int read_figures(ps_storer *s, struct store_figures *f)
{
	int err = routes_read(s, &f->routes);

	f->space_known = (ps_caps(s) & PS_CAP_READONLY) == 0;
	return err == PS_OK ? ps_stats(s, &f->stats) : err;
}

static void stat_json(const struct cli *cli, const struct store_figures *f)
{
	const struct ps_stats *stats = &f->stats;
	json_t *object = json_object();

	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++)
		json_object_set_new(object, figures[i].key,
		                    figures[i].kind == SPACE && !f->space_known
		                        ? json_null()
		                        : json_integer((json_int_t)figure_value(stats, &figures[i])));
	json_object_set_new(object, "io", json_string(stats->io));
	json_object_set_new(object, "direct_io", json_boolean(stats->direct_io != 0));
	json_object_set_new(object, "readonly", json_boolean(stats->readonly != 0));
	json_object_set_new(object, "reason", json_string(stats->reason));
	routes_json(&f->routes, object);
	cli_json(cli, object);
}

static void stat_print(const struct store_figures *f)
{
	char text[32];

	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++) {
		uint64_t value = figure_value(&f->stats, &figures[i]);

		printf("%-24s ", figures[i].label);
		if (figures[i].kind == SPACE && !f->space_known)
			puts("not known: the store cannot be written");
		else if (figures[i].kind == COUNT)
			printf("%" PRIu64 "\n", value);
		else
			puts(cli_size_text(value, text));
	}
	printf("%-24s %s, %s\n", "input and output", f->stats.io, f->stats.direct_io ? "direct" : "buffered");
	if (f->routes.count > 0) {
		putchar('\n');
		routes_print(&f->routes);
	}
}

static int stat_run(struct cli *cli, ps_storer *s)
{
	struct store_figures f;
	int err = read_figures(s, &f);

	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	if (cli->json)
		stat_json(cli, &f);
	else
		stat_print(&f);
	return CLI_DONE;
}

/* For writing where that is allowed: a store that is read only does not find out what its slabs hold. */
int cli_run_stat(struct cli *cli)
{
	ps_storer *s;
	int err = cli_open_store(cli, PS_OPEN_EXISTING, &s);

	if (err == PS_EACCES || err == PS_EREADONLY || err == PS_EBUSY)
		err = cli_open_store(cli, PS_OPEN_READONLY, &s);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	err = cli_attach(cli, s);
	if (err != PS_OK)
		return cli_finish(cli, s, cli_fail(cli, err, NULL));
	return cli_finish(cli, s, stat_run(cli, s));
}

static int compact_run(struct cli *cli, ps_storer *s)
{
	struct cli_progress progress;
	struct ps_stats before, after;
	char from[32], to[32];
	int err = ps_stats(s, &before);

	if (err == PS_OK) {
		progress_begin(&progress, cli, "compact", 0);
		err = ps_compact(s, cli->goal, progress_callback, &progress);
		progress_end(&progress, cli);
	}
	if (err == PS_OK)
		err = ps_stats(s, &after);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	cli_json(cli, json_pack("{s:I, s:I, s:I, s:I}", "disk_bytes_before", (json_int_t)before.disk_bytes,
	                        "disk_bytes", (json_int_t)after.disk_bytes, "file_bytes_before",
	                        (json_int_t)before.file_bytes, "file_bytes", (json_int_t)after.file_bytes));
	cli_say(cli, "the store took %s of disk and takes %s now", cli_size_text(before.disk_bytes, from),
	        cli_size_text(after.disk_bytes, to));
	return CLI_DONE;
}

int cli_run_compact(struct cli *cli)
{
	return cli_with_store(cli, PS_OPEN_EXISTING, compact_run);
}

static int backup_run(struct cli *cli, ps_storer *s)
{
	struct cli_progress progress;
	int err;

	progress_begin(&progress, cli, "backup", 0);
	err = ps_backup(s, cli->operands[0], progress_callback, &progress);
	progress_end(&progress, cli);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	cli_json(cli, json_pack("{s:s}", "backup", cli->operands[0]));
	cli_say(cli, "copied %s to %s", cli->store, cli->operands[0]);
	return CLI_DONE;
}

int cli_run_backup(struct cli *cli)
{
	return cli_with_store(cli, PS_OPEN_EXISTING, backup_run);
}
