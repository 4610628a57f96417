/* `map` and the routes of `stat`, over a store whose space the test makes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <padstone/padstone.h>

#include "base/fail.h"
#include "in_process.h"
#include "store/placement.h"

enum { K = 1024, SLAB = 64 * K };

/* Class 2 has slots of 64 bytes, class 3 of 1 KiB. */
static const uint32_t slots[] = {16, 64, 1024};
static const struct ps_space_piece pieces[] = {
    {.offset = 0, .len = 8 * K, .use = PS_SPACE_FIXED},
    {.offset = 8 * K, .len = 56 * K, .use = PS_SPACE_LOG},
    {.offset = 64 * K, .len = SLAB, .use = PS_SPACE_SLAB, .class = 2, .used = 1024, .slots = 1024},
    {.offset = 128 * K, .len = SLAB, .use = PS_SPACE_SLAB, .class = 3, .used = 16, .slots = 64},
    {.offset = 192 * K, .len = 20 * K, .use = PS_SPACE_TABLE},
    {.offset = 212 * K, .len = 300 * K, .use = PS_SPACE_OBJECTS},
    {.offset = 512 * K, .len = 512 * K, .use = PS_SPACE_FREE},
};
enum { PIECES = sizeof(pieces) / sizeof(*pieces) };
static const struct ps_route_figures figures[] = {
    {.objects = 3, .live_bytes = 300 * K, .allocated = 300 * K, .free_bytes = 512 * K},
    {0},
    {.objects = 1024, .live_bytes = 60000, .allocated = SLAB, .slabs = 1, .slots = 1024, .used = 1024},
    {.objects = 16,
     .live_bytes = 16000,
     .allocated = 16 * K,
     .slabs = 1,
     .slots = 64,
     .used = 16,
     .free_bytes = 48 * K},
};

/* ---- the store ---- */

static uint32_t made_up_caps(ps_storer *s)
{
	return ps_caps(s->inner) | PS_CAP_PLACEMENT;
}

static int made_up_stats(ps_storer *s, struct ps_stats *stats)
{
	(void)s;
	*stats = (struct ps_stats){.objects = 1043, .live_bytes = 383200, .file_bytes = 1024 * K};
	return PS_OK;
}

static int made_up_use_placement(ps_storer *s, struct ps_placement *placement)
{
	(void)s, (void)placement;
	return PS_OK;
}

static bool interrupts; /* Ctrl-C, half way through */

static int made_up_each_space(ps_storer *s, ps_space_fn fn, void *arg)
{
	(void)s;
	for (size_t i = 0; i < PIECES; i++) {
		if (interrupts && i == PIECES / 2)
			assert_int_equal(raise(SIGINT), 0);
		if (fn(arg, &pieces[i]))
			return ps_fail(PS_ECANCELED, "ended by the caller");
	}
	return PS_OK;
}

static int made_up_route_figures(ps_storer *s, struct ps_route_figures *out, size_t count)
{
	(void)s;
	assert_int_equal(count, 4);
	memcpy(out, figures, sizeof(figures));
	return PS_OK;
}

static int made_up_close(ps_storer *s)
{
	int err = ps_close(s->inner);
	free(s);
	return err;
}

static const struct ps_storer_ops made_up_ops = {
    PS_FORWARD_OPS.name = "made up",  .caps = made_up_caps,
    .stats = made_up_stats,           .use_placement = made_up_use_placement,
    .each_space = made_up_each_space, .route_figures = made_up_route_figures,
    .close = made_up_close,
};

static char folder[64];

static int set_up(void **state)
{
	const struct ps_multi_options options = {.size = sizeof(options), .slots = slots, .slot_count = 3};
	ps_storer *memory, *made_up = calloc(1, sizeof(*made_up));
	(void)state;
	make_temp_folder(folder);
	assert_int_equal(chdir(folder), 0);
	setenv("COLUMNS", "80", 1);
	assert_non_null(made_up);
	assert_int_equal(ps_memory_open(NULL, &memory), PS_OK);
	assert_int_equal(ps_storer_init(made_up, &made_up_ops, memory), PS_OK);
	return ps_multi_open(made_up, &options, &test_store);
}

static int tear_down(void **state)
{
	(void)state;
	shell("rm -rf %s", folder);
	return ps_close(test_store);
}

/* What the tool says on standard output goes to the file "out". */
static int captured(const char *command, const char *option, const char *value)
{
	int kept = dup(STDOUT_FILENO), out = open("out", O_CREAT | O_TRUNC | O_WRONLY, 0600);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	int status = option ? run_tool(command, "a <store>", option, value, NULL)
	                    : run_tool(command, "a <store>", NULL);
	fflush(stdout);
	dup2(kept, STDOUT_FILENO);
	close(kept);
	close(out);
	return status;
}

/* ---- tests ---- */

static void text_shows_each_piece_where_it_is(void **state)
{
	(void)state;
	assert_int_equal(captured("map", NULL, NULL), 0);
	/* 4 KiB a character, 64 a line: fixed, log, a full slab, a slab a quarter full, table, objects. */
	shell("grep -qxF '%10s |**==============AAAAAAAAAAAAAAAAeeeeeeeeeeeeeeee:::::###########|' out",
	      "0 bytes");
	shell("grep -qxF '%10s |................................................................|' out",
	      "768.0 KiB");
	shell("test $(grep -c '|.*|$' out) = 4");
	shell("grep -q 'a <store>: 1.0 MiB, 45.3 %% in use; 374.2 KiB in 1,043 objects' out");
	shell("grep -q 'a character is 4.0 KiB, a line 256.0 KiB' out");
	shell("grep -q '^  \\.  *free  *512.0 KiB  *50.0 %%$' out");
	shell("grep -q '^  A a  *slabs of slots up to 64 bytes  *64.0 KiB  *6.2 %%$' out");
	shell("grep -q '^64 B  *1,024  *58.6 KiB  *5.4 KiB  *1  *100 %%  *0 bytes$' out");
	shell("! grep -q '^16 B' out");
}

static void text_fits_the_terminal(void **state)
{
	(void)state;
	static const unsigned widths[] = {40, 79, 80, 200, 400};
	for (size_t i = 0; i < sizeof(widths) / sizeof(*widths); i++) {
		char text[16];
		snprintf(text, sizeof(text), "%u", widths[i]);
		setenv("COLUMNS", text, 1);
		assert_int_equal(captured("map", NULL, NULL), 0);
		shell("test $(grep '|' out | wc -L) -le %s", text);
	}
	setenv("COLUMNS", "80", 1);
}

static void json_gives_every_piece_and_the_totals(void **state)
{
	(void)state;
	assert_int_equal(captured("map", "--json", NULL), 0);
	shell("python3 -c '\n"
	      "import json\n"
	      "lines = [json.loads(line) for line in open(\"out\")]\n"
	      "assert len(lines) == %d and all(l[\"command\"] == \"map\" for l in lines), lines\n"
	      "at = 0\n"
	      "for piece in lines[:-1]:\n"
	      "    assert piece[\"offset\"] == at\n"
	      "    at += piece[\"bytes\"]\n"
	      "slab, last = lines[3], lines[-1]\n"
	      "assert (slab[\"use\"], slab[\"slot_bytes\"], slab[\"slots\"], slab[\"used\"]) == (\"slab\", "
	      "1024, 64, 16)\n"
	      "assert last[\"file_bytes\"] == at and last[\"slab_bytes\"] == 65536 and "
	      "last[\"space\"][\"slab\"] == 131072\n"
	      "assert last[\"in_use_bytes\"] == (8 + 56 + 64 + 16 + 20 + 300) * 1024\n"
	      "assert [r[\"slot_bytes\"] for r in last[\"routes\"]] == [0, 64, 1024]'",
	      PIECES + 1);
}

static void picture_is_whole_and_says_what_it_shows(void **state)
{
	(void)state;
	assert_int_equal(captured("map", "--svg", "map.svg"), 0);
	shell("grep -q 'wrote map.svg' out");
	shell("python3 -c '\n"
	      "import xml.etree.ElementTree as tree\n"
	      "root = tree.parse(\"map.svg\").getroot()\n"
	      "name = \"{http://www.w3.org/2000/svg}\"\n"
	      "texts = [t.text for t in root.iter(name + \"text\")]\n"
	      "titles = [t.text for t in root.iter(name + \"title\")]\n"
	      "assert texts[0] == \"a <store>\" and texts[1] == \"45.3 %% of 1.0 MiB in use\", texts[:2]\n"
	      "assert any(t.startswith(\"free: 512.0 KiB, 50.0\") for t in texts), texts\n"
	      "assert \"64.0 KiB to 128.0 KiB: slabs of slots up to 64 bytes, 100 %% in use\" in titles, "
	      "titles\n"
	      "assert \"128.0 KiB to 192.0 KiB: slabs of slots up to 1.0 KiB, 25 %% in use\" in titles, "
	      "titles\n"
	      "bottom = float(root.get(\"height\"))\n"
	      "assert all(float(r.get(\"y\", 0)) < bottom for r in root.iter(name + \"rect\"))'");
	assert_int_equal(captured("map", "--svg", "no/such/folder/map.svg"), 3);
	shell("test ! -e no");
}

static void stat_has_the_table(void **state)
{
	(void)state;
	assert_int_equal(captured("stat", NULL, NULL), 0);
	shell("grep -q '^route  *objects  *live  *waste  *slabs  *in use  *free$' out");
	shell("grep -q '^root  *3  *300.0 KiB  *0 bytes  *512.0 KiB$' out");
	shell("grep -q '^1024 B  *16  *15.6 KiB  *384 bytes  *1  *25 %%  *48.0 KiB$' out");
	assert_int_equal(captured("stat", "--json", NULL), 0);
	shell("python3 -c '\n"
	      "import json\n"
	      "stat = json.load(open(\"out\"))\n"
	      "assert stat[\"route_max\"] == 1024 and stat[\"routes\"][1][\"objects\"] == 1024, stat'");
}

static void a_store_without_routes_says_so(void **state)
{
	(void)state;
	ps_storer *multi = test_store;
	assert_int_equal(ps_memory_open(NULL, &test_store), PS_OK);
	assert_int_equal(captured("map", NULL, NULL), 1);
	assert_int_equal(captured("stat", NULL, NULL), 0);
	shell("! grep -q '^route' out");
	assert_int_equal(ps_close(test_store), PS_OK);
	test_store = multi;
}

/* The last one: a process that was interrupted stays so. */
static void ctrl_c_is_told_as_such(void **state)
{
	(void)state;
	interrupts = true;
	assert_int_equal(captured("map", "--json", NULL), 1);
	shell("grep -q '\"error\":\"PS_ECANCELED\",\"message\":\"interrupted\",\"exit\":1' out");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_shows_each_piece_where_it_is),
	    cmocka_unit_test(text_fits_the_terminal),
	    cmocka_unit_test(json_gives_every_piece_and_the_totals),
	    cmocka_unit_test(picture_is_whole_and_says_what_it_shows),
	    cmocka_unit_test(stat_has_the_table),
	    cmocka_unit_test(a_store_without_routes_says_so),
	    cmocka_unit_test(ctrl_c_is_told_as_such),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
