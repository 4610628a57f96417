/* A crash at every write of the local index and at every request of a rename of a value that other machines
 * know: afterwards it stands under the old key or under the new one, a public one with its address, whoever
 * asks; no pad is forgotten; and the rename, repeated, finishes. The same where nobody repeats it, and a sync
 * tells the others what was left. usage: rename_crash_test [STRIDE [private]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/anchor.h"
#include "tests/remote/blobs/crash_world.h"
#include "tests/remote/public/public_fixture.h"

enum { LEN = 2 * PAD - 7, SEED = 1, MANY = 16 };

static uint64_t stride = 1;
static bool private; /* values instead of public ones */
static char address[PS_PUBLIC_ADDRESS];
static struct ps_anchor anchor; /* of the base state */
static struct reader *reader;
static bool renamed; /* since the base state: the first call of two */
static char folder[256];
static unsigned heard; /* how often somebody else was asked */

static void put_value(struct blobs *b, const char *key, size_t len, uint64_t seed, char at[PS_PUBLIC_ADDRESS])
{
	if (private)
		blobs_put(b, key, len, seed);
	else
		put_public(b, key, len, seed, at);
}

/* This machine and another know the value; pads of its class and others are free. So much else is there that
 * the other's head has a run of its own, and replaces none: every pad stands in this machine's index. */
static void make_base(struct world *w)
{
	char gone[PS_PUBLIC_ADDRESS];
	put_value(w->b, "key", LEN, SEED, address);
	put_value(w->b, "gone", PAD, 2, gone);
	assert_ok(ps_remote_remove(w->b->r, "gone"));
	for (unsigned i = 0; i < MANY; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "many %u", i);
		blobs_put(w->b, key, 10, i);
	}
	(void)sync_machine(w->b);
	struct blobs *other = machine_new(w->b);
	other->seams.open_store = NULL;
	assert_ok(blobs_start(other, false));
	blobs_put(other, "of the other", 100, 3);
	(void)sync_machine(other);
	(void)sync_machine(w->b);
	machine_free(other);
	(void)snprintf(folder, sizeof(folder), "%s", w->b->r->folder);
	assert_ok(ps_anchor_read(folder, "main", &anchor));
}

static bool stands(struct blobs *b, const char *key)
{
	char text[PS_PUBLIC_ADDRESS];
	struct ps_remote_info info;
	int err = ps_remote_stat(b->r, key, &info);
	if (err == PS_ENOTFOUND || (err == PS_OK && !info.exists))
		return false;
	assert_ok(err);
	assert_int_equal(info.is_public, !private);
	blobs_expect(b, key, LEN, SEED);
	if (private)
		return true;
	assert_ok(ps_remote_address(b->r, key, text));
	assert_string_equal(text, address);
	return true;
}

/* Under one of its keys, and its address shows it. */
static void look(struct blobs *b, bool done)
{
	bool moved = stands(b, "moved"), stayed = stands(b, "key");
	assert_true(moved != stayed);
	assert_true(moved || !done);
	if (!private)
		reader_expect(reader, address, LEN, SEED);
}

static void check_rename(struct world *w, bool done)
{
	look(w->b, done);
}

static int act_rename(struct world *w)
{
	struct ps_remote_info info;
	int err = ps_remote_rename(w->b->r, "key", "moved");
	return err == PS_ENOTFOUND && ps_remote_stat(w->b->r, "moved", &info) == PS_OK ? PS_OK : err;
}

/* Nobody repeats it: what the others hear of is whichever name it has by then. */
static int act_and_sync(struct world *w)
{
	bool first = !renamed;
	renamed = true;
	return first ? ps_remote_rename(w->b->r, "key", "moved") : ps_remote_sync(w->b->r, NULL, NULL, NULL);
}

static void check_elsewhere(struct world *w, bool done)
{
	struct ps_remote_stats stats;
	(void)done;
	look(w->b, false);
	blobs_stats(w->b, &stats);
	if (stats.unsynced > 0)
		return;
	struct blobs *fresh = machine_new(w->b);
	fresh->seams.open_store = NULL;
	assert_ok(blobs_start(fresh, false));
	look(fresh, stands(w->b, "moved"));
	assert_int_equal(count_keys(fresh, NULL), MANY + 2);
	heard++;
	machine_free(fresh);
}

static const struct step steps[] = {
    {"rename", act_rename, check_rename},
    {"rename, then a sync", act_and_sync, check_elsewhere},
};
enum { STEPS = sizeof(steps) / sizeof(*steps) };

/* ---- the loops ---- */

static void begin(struct world *w)
{
	renamed = false;
	reader = reader_new(w->b);
}

/* A sync has moved the anchor on; the base state's head is to be believed again. */
static void end(struct world *w)
{
	(void)w;
	assert_ok(ps_anchor_forget(folder));
	assert_ok(ps_anchor_write(folder, &anchor));
	reader_free(reader);
}

static void make_world(struct world *w)
{
	world_new(w, make_base);
	w->begun = begin;
	w->ended = end;
}

static void a_crash_at_every_local_write(void **state)
{
	struct world w;
	(void)state;
	make_world(&w);
	world_walk_local_writes(&w, steps, STEPS, stride);
	world_free(&w);
}

static void a_crash_at_every_request(void **state)
{
	struct world w;
	(void)state;
	make_world(&w);
	world_walk_requests(&w, steps, STEPS, stride);
	print_message("another machine was asked %u times\n", heard);
	assert_true(heard > 0);
	world_free(&w);
}

static void no_memory_at_any_place(void **state)
{
	struct world w;
	(void)state;
	make_world(&w);
	world_walk_memory(&w, steps, STEPS, stride);
	world_free(&w);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_crash_at_every_local_write),
	    cmocka_unit_test(a_crash_at_every_request),
	    cmocka_unit_test(no_memory_at_any_place),
	};
	if (argc > 1)
		stride = strtoull(argv[1], NULL, 10);
	private = argc > 2 && strcmp(argv[2], "private") == 0;
	return cmocka_run_group_tests_name(private ? "renames of shared values, crashes"
	                                           : "renames of shared public values, crashes",
	                                   tests, NULL, NULL);
}
