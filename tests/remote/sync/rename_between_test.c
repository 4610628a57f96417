/* A rename at every moment of a sync at which it can get its keys, and renames before and after it: the head
 * that is written has both names as they were before the rename, or as they are after it. Whoever takes the
 * store from that head alone finds each value under one name. Alone, and with another machine that knows all
 * of it. usage: rename_between_test [all] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <padstone/storer_impl.h>

#include "remote/anchor.h"
#include "tests/remote/blobs/crash_world.h"
#include "tests/remote/sync/sync_fixture.h"
#include "tests/support/disk_store.h"

/* FILLERS: more than a batch of a sync, so that it gives keys back in between. */
enum { PAD = 128 << 10, LEN = 2 * PAD, FILLERS = 140 };

static const struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
static bool all;

/* ---- the index's store, and what comes between two of its calls ---- */

struct between {
	ps_storer storer;
};

static struct {
	struct world *w;
	pthread_t thread;      /* the one that syncs */
	const char *from, *to; /* NULL: nothing happens */
	uint64_t places, at;   /* those that there were; the one where it happens */
	bool renamed, inside;
} now;

static bool is_busy(ps_remote *r, const char *key)
{
	bool busy = false;
	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < PS_BUSY_CHAINS; i++)
		for (const struct ps_busy_key *b = r->busy[i]; b && !busy; b = b->next)
			busy = strcmp(b->key, key) == 0;
	pthread_mutex_unlock(&r->lock);
	return busy;
}

static void rename_between(void)
{
	if (!now.from || now.inside || !pthread_equal(pthread_self(), now.thread) ||
	    is_busy(now.w->b->r, now.from) || is_busy(now.w->b->r, now.to) || ++now.places != now.at)
		return;
	now.inside = true;
	assert_ok(ps_remote_rename(now.w->b->r, now.from, now.to));
	now.renamed = true;
	now.inside = false;
}

#define BETWEEN(name, params, args)                                                                          \
	static int between_##name params                                                                     \
	{                                                                                                    \
		rename_between();                                                                            \
		return ps_forward_##name args;                                                               \
	}
BETWEEN(get, (ps_storer * s, ps_id id, void *buf, size_t cap, size_t *len), (s, id, buf, cap, len))
BETWEEN(get_many, (ps_storer * s, size_t n, struct ps_get_many *reqs), (s, n, reqs))

static int between_close(ps_storer *s)
{
	int err = ps_close(s->inner);
	if (err != PS_EBUSY)
		free(s);
	return err;
}

static struct ps_storer_ops between_ops = {.name = "between", PS_FORWARD_OPS};

static int open_store(void *arg, bool make, ps_storer **store)
{
	struct world *w = arg;
	struct between *b = calloc(1, sizeof(*b));
	ps_storer *inner;
	assert_non_null(b);
	int err = disk_store_open_durable(w->disk, make, &inner);
	if (err != PS_OK) {
		free(b);
		return err;
	}
	assert_ok(ps_storer_init(&b->storer, &between_ops, inner));
	*store = &b->storer;
	return PS_OK;
}

/* ---- the base state ---- */

/* The first pad tells which value it is, also after an update; the second one the version. */
enum family { A = 1, B, C, FIRST, LAST, FAMILIES };

static struct ps_anchor anchor;
static char folder[256]; /* where it is */
static bool shared;      /* another machine knows the store */

static void put_version(struct blobs *b, const char *key, enum family family, uint64_t version)
{
	uint8_t *bytes = test_malloc(LEN);
	blobs_fill(bytes, PAD, family);
	blobs_fill(bytes + PAD, PAD, 100 * family + version);
	assert_ok(ps_remote_put(b->r, key, bytes, LEN, &replace));
	test_free(bytes);
}

static void meet_another(struct blobs *b)
{
	struct blobs *other = machine_new(b);
	other->seams.open_store = NULL;
	assert_ok(blobs_start(other, false));
	blobs_put(other, "of the other", 100, 3);
	(void)sync_machine(other);
	(void)sync_machine(b);
	machine_free(other);
}

/* "a" is as the network has it, "b" was changed since, "c" is "m" here; "0" and "z" were removed. */
static void make_base(struct world *w)
{
	struct blobs *b = w->b;
	put_version(b, "a", A, 1);
	put_version(b, "b", B, 1);
	put_version(b, "c", C, 1);
	put_version(b, "0", FIRST, 1);
	put_version(b, "z", LAST, 1);
	(void)sync_machine(b);
	if (shared)
		meet_another(b);
	put_version(b, "b", B, 2);
	assert_ok(ps_remote_rename(b->r, "c", "m"));
	assert_ok(ps_remote_remove(b->r, "0"));
	assert_ok(ps_remote_remove(b->r, "z"));
	for (unsigned i = 0; i < FILLERS; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "f %u", i);
		blobs_put(b, key, 1, i);
	}
	(void)snprintf(folder, sizeof(folder), "%s", b->r->folder);
	assert_ok(ps_anchor_read(folder, "main", &anchor));
}

/* ---- what a head has ---- */

struct seen {
	struct blobs *b;
	unsigned count[FAMILIES];
};

static int see_value(void *arg, const struct ps_remote_info *info)
{
	static uint8_t is[LEN], should[PAD];
	struct seen *seen = arg;
	size_t len;
	if (!info->exists || info->size != LEN)
		return 0;
	assert_ok(ps_remote_get(seen->b->r, info->key, is, LEN, &len, NULL));
	for (unsigned family = A; family < FAMILIES; family++) {
		blobs_fill(should, PAD, family);
		seen->count[family] += memcmp(is, should, PAD) == 0;
	}
	return 0;
}

/* Whoever has only the key. */
static void check_head(struct world *w, const char *when)
{
	struct blobs *fresh = machine_new(w->b);
	struct seen seen = {.b = fresh};
	fresh->seams.open_store = NULL;
	assert_ok(blobs_start(fresh, false));
	assert_ok(ps_remote_verify(fresh->r, NULL, NULL));
	assert_ok(ps_remote_list(fresh->r, NULL, see_value, &seen));
	for (unsigned family = A; family < FAMILIES; family++)
		if (seen.count[family] > 1 || (family < FIRST && seen.count[family] == 0))
			fail_msg("%s, place %llu (%s to %s): value %u is there %u times", when,
			         (unsigned long long)now.at, now.from, now.to, family, seen.count[family]);
	machine_free(fresh);
}

struct way {
	const char *from, *to;
};

/* This machine's: the value has the new name, and that alone. */
static void check_here(struct world *w, const struct way *way)
{
	if (now.renamed) {
		struct ps_remote_info info;
		assert_ok(ps_remote_stat(w->b->r, way->to, &info));
		assert_true(info.exists);
		expect_none(w->b, way->from);
	}
	assert_ok(ps_remote_verify(w->b->r, NULL, NULL));
	blobs_check(w->b);
}

/* ---- every place ----
 *
 * What differs most lies at the beginning, before the first key is taken: places are closer there. */

static const struct way ways[] = {
    {"a", "z"}, {"a", "0"}, /* what was sent long ago, to a name whose removal is being sent */
    {"b", "z"}, {"b", "0"}, /* what is being sent */
    {"b", "x"}, {"a", "x"}, /* to a name that is new */
    {"m", "x"}, {"m", "c"}, /* what had another name before; back to that */
};

static void sync_with(struct world *w, const struct way *way, uint64_t at)
{
	world_restore(w);
	now.w = w;
	now.thread = pthread_self();
	now.from = way->from;
	now.to = way->to;
	now.places = 0;
	now.at = at;
	now.renamed = false;
	(void)sync_machine(w->b);
	check_head(w, "a rename within a sync");
	now.from = now.to = NULL;
	(void)sync_machine(w->b);
	check_head(w, "the sync after it");
	check_here(w, way);
	blobs_close(w->b);
	assert_ok(ps_anchor_forget(folder));
	assert_ok(ps_anchor_write(folder, &anchor));
}

static void rename_at_every_moment(bool with_another)
{
	struct world w;
	unsigned places = 0;
	shared = with_another;
	world_new(&w, make_base);
	w.b->seams.open_store = open_store;
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i += all ? 1 : 2) {
		now.renamed = true;
		for (uint64_t at = all ? 1 : 3; now.renamed; at += all ? 1 + at / 4 : 1 + at * 2, places++)
			sync_with(&w, &ways[i], at);
	}
	print_message("%u places\n", places);
	world_free(&w);
}

static void a_rename_at_every_moment_of_a_sync(void **state)
{
	(void)state;
	rename_at_every_moment(false);
}

static void the_same_of_values_that_another_machine_knows(void **state)
{
	(void)state;
	if (all)
		rename_at_every_moment(true);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_rename_at_every_moment_of_a_sync),
	    cmocka_unit_test(the_same_of_values_that_another_machine_knows),
	};
	all = argc > 1 && strcmp(argv[1], "all") == 0;
	between_ops.get = between_get;
	between_ops.get_many = between_get_many;
	between_ops.close = between_close;
	return cmocka_run_group_tests_name("renames within a sync", tests, NULL, NULL);
}
