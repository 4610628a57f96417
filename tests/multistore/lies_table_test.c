/* What a network can do wrong, by the moment at which it is met: each has its error and its sentence, no read
 * gives other bytes, few requests are made, and once the network is well all is as it was.
 * usage: lies_table_test [STRIDE]: only every so-manieth cell */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "multistore/log.h"
#include "multistore/run_source.h"
#include "tests/multistore/push_fixture.h"

/* A pack of its own each, as small as packs may be: in slots of a class, in one extent, in chunks below a
 * map. */
enum { FIRST, SMALL, MIDDLE, LARGE, OBJECTS };
static const size_t size_of[OBJECTS] = {4000, 3000, 20000, 200000};

enum {
	LARGEST = 200000,
	PACK = 4096,
	READS = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE | 1U << PS_NET_HEAD,
	BEHIND_MANIFEST = 6, /* the first request of a clone that is for a pack, or a later one */
	REQUESTS_OF_READ = 12,
	REQUESTS_OF_CLONE = 40
};

/* The machine that pushes; one that has seen the newest head; one to which another history was shown; what
 * the network had at the first state, and what it has in that other history. */
struct scene {
	struct world w;
	struct blobs *knows, *elsewhere;
	ps_mem_snapshot *past, *forked;
	struct ps_pad_name other; /* a pad that stands for all others */
	struct ps_pad_name log;   /* the first pad of the log */
	ps_id id[OBJECTS];
	uint64_t first_state;
	struct ps_log *shipper;
	char path[256];
};

static unsigned stride = 1, cells;

/* ---- objects ---- */

static void fill(uint8_t *bytes, unsigned i, uint64_t version)
{
	blobs_fill(bytes, size_of[i], 10 * version + i + 1);
}

static void write_all(struct scene *c, ps_storer *s, uint64_t version)
{
	static uint8_t bytes[LARGEST];
	for (unsigned i = 0; i < OBJECTS; i++) {
		fill(bytes, i, version);
		if (c->id[i] == PS_ID_NONE)
			assert_ok(ps_put(s, bytes, size_of[i], &c->id[i]));
		else
			assert_ok(ps_replace(s, c->id[i], bytes, size_of[i]));
	}
}

/* Never other bytes: what is told to be read is compared. */
static int read_one(struct scene *c, ps_storer *s, unsigned i, uint64_t version)
{
	static uint8_t should[LARGEST], got[LARGEST];
	size_t len = 0;
	memset(got, 0, sizeof(got));
	int err = ps_get(s, c->id[i], got, sizeof(got), &len);
	fill(should, i, version);
	if (!err) {
		assert_int_equal(len, size_of[i]);
		assert_memory_equal(got, should, size_of[i]);
	}
	return err;
}

static void expect_all(struct scene *c, ps_storer *s, uint64_t version)
{
	for (unsigned i = 0; i < OBJECTS; i++)
		assert_ok(read_one(c, s, i, version));
}

/* ---- the scene ---- */

/* From the first state on another machine goes on, in a view of its own, by more heads than the others. */
static void go_elsewhere(struct scene *c)
{
	ps_mem_world *world = blobs_world(c->w.b);
	const struct ps_clone_options options = {.size = sizeof(options), .take_over = 1};
	char path[256];
	assert_ok(ps_mem_fork(world, 0, 1));
	c->elsewhere = machine_open(c->w.b);
	ps_mem_set_view(c->elsewhere->r->network, 1);
	snprintf(path, sizeof(path), "%s/elsewhere", c->w.b->folder);
	assert_ok(ps_clone(c->elsewhere->r, path, &options, NULL));
	ps_storer *s = open_attached(c->elsewhere, path, PS_OPEN_EXISTING);
	for (uint64_t version = 50; version < 53; version++) {
		write_all(c, s, version);
		assert_ok(ps_push(s, NULL, NULL, NULL));
	}
	assert_ok(ps_close(s));
	assert_ok(ps_mem_snapshot_take(world, 1, &c->forked));
}

static void begin_log(struct scene *c)
{
	const struct ps_log_setup setup = {.s = c->w.s,
	                                   .r = c->w.b->r,
	                                   .clock = &ps_system_clock,
	                                   .group_bytes = 64 << 20,
	                                   .total_bytes = 512 << 20};
	assert_ok(ps_log_new(&setup, &c->shipper));
	ps_log_enter(c->shipper);
}

static void ship(struct scene *c)
{
	const struct ps_remote_slot_at at = {1, 1};
	write_all(c, c->w.s, 3);
	assert_ok(ps_log_ship(c->shipper, NULL, NULL));
	assert_ok(ps_remote_slot_name(c->w.b->r, &at, &c->log));
}

/* Version 1 is in the first state, which is kept, 2 in the second one, and 3 in the log behind that. */
static void scene_new(struct scene *c, bool logs)
{
	*c = (struct scene){0};
	world_new(&c->w, "mem", 2);
	c->w.options.history = 1;
	c->w.options.pack_bytes = PACK;
	c->w.options.compression = -1;
	write_all(c, c->w.s, 1);
	c->first_state = push_now(&c->w).state;
	assert_ok(ps_mem_snapshot_take(blobs_world(c->w.b), 0, &c->past));
	go_elsewhere(c);
	if (logs)
		begin_log(c);
	write_all(c, c->w.s, 2);
	assert_true(push_now(&c->w).packs >= OBJECTS);
	c->other = head_name_of(c->w.b); /* right where it is asked for */
	if (logs)
		ship(c);
	c->knows = machine_open(c->w.b);
	snprintf(c->path, sizeof(c->path), "%s/file", c->w.b->folder);
}

static void scene_free(struct scene *c)
{
	ps_log_free(c->shipper);
	machine_free(c->knows);
	machine_free(c->elsewhere);
	ps_mem_snapshot_free(c->past);
	ps_mem_snapshot_free(c->forked);
	world_free(&c->w);
}

/* ---- what goes wrong ---- */

enum fault { ROLLED_BACK, FORKED, LOST, SWAPPED, TURNED, CUT_SHORT, AWAY, FAULTS };
static const char *const fault_names[FAULTS] = {"rolled back", "forked",    "lost", "swapped",
                                                "turned bits", "cut short", "away"};

static struct ps_mem_rule rule_of(const struct scene *c, enum fault fault)
{
	static const enum ps_mem_fault kinds[FAULTS] = {PS_MEM_FROZEN, PS_MEM_FROZEN, PS_MEM_ABSENT,
	                                                PS_MEM_OTHER,  PS_MEM_FLIP,   PS_MEM_TRUNCATE,
	                                                PS_MEM_VANISH};
	return (struct ps_mem_rule){.fault = kinds[fault],
	                            .ops = READS,
	                            .snapshot = fault == ROLLED_BACK ? c->past : c->forked,
	                            .other = c->other,
	                            .amount = fault == CUT_SHORT ? 100 : 4001};
}

struct expected {
	int err;
	const char *says;
};

static void expect_told(const struct expected *e, int err, uint64_t requests, uint64_t most)
{
	if (err != e->err || (err && !strstr(ps_last_error_message(), e->says)))
		fail_msg("%s instead of %s, \"%s\": %s", ps_error_name(err), ps_error_name(e->err), e->says,
		         ps_last_error_message());
	if (requests > most)
		fail_msg("%llu requests: %s", (unsigned long long)requests, ps_error_name(err));
}

/* ---- reads ---- */

static uint64_t requests_of(struct blobs *b)
{
	struct ps_remote_stats stats;
	blobs_stats(b, &stats);
	return stats.requests;
}

/* From the first object on, or behind it: then the manifest is known, and what fails is a pack. s is closed.
 */
static void read_under(struct scene *c, struct blobs *b, ps_storer *s, const struct ps_mem_rule *rule,
                       bool late, uint64_t version, const struct expected *e)
{
	unsigned number;
	if (late)
		assert_ok(read_one(c, s, FIRST, version));
	for (unsigned i = late ? SMALL : FIRST; i < OBJECTS; i++) {
		assert_ok(ps_mem_rule_add(blobs_world(c->w.b), rule, &number));
		uint64_t before = requests_of(b);
		int err = read_one(c, s, i, version);
		expect_told(e, err, requests_of(b) - before, REQUESTS_OF_READ);
		assert_true(ps_mem_rule_hits(blobs_world(c->w.b), number) > 0);
		ps_mem_rule_remove(blobs_world(c->w.b), 0);
	}
	expect_all(c, s, version);
	assert_ok(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	assert_ok(ps_close(s));
}

static void meet_in_a_lazy_clone(struct scene *c, const struct ps_mem_rule *rule, bool late,
                                 const struct expected *e)
{
	read_under(c, c->knows, open_attached(c->knows, c->path, PS_OPEN_DEFAULT), rule, late, 2, e);
}

static void meet_in_a_kept_state(struct scene *c, const struct ps_mem_rule *rule, bool late,
                                 const struct expected *e)
{
	const struct ps_clone_options options = {.size = sizeof(options), .state = c->first_state, .lazy = 1};
	assert_ok(ps_clone(c->knows->r, c->path, &options, NULL));
	read_under(c, c->knows, open_attached(c->knows, c->path, PS_OPEN_EXISTING), rule, late, 1, e);
}

static void read_evicted(struct scene *c, const struct ps_mem_rule *rule, bool late, const struct expected *e,
                         int mode)
{
	assert_ok(ps_close(c->w.s));
	ps_storer *s = open_attached(c->w.b, c->w.path, PS_OPEN_EXISTING);
	assert_ok(ps_evict(s, 0, NULL, NULL, NULL));
	assert_ok(ps_close(s)); /* and nothing of packs is in memory */
	read_under(c, c->w.b, open_attached(c->w.b, c->w.path, mode), rule, late, 2, e);
	c->w.s = open_stack(&c->w, c->w.path, PS_OPEN_EXISTING);
}

static void meet_what_was_evicted(struct scene *c, const struct ps_mem_rule *rule, bool late,
                                  const struct expected *e)
{
	read_evicted(c, rule, late, e, PS_OPEN_EXISTING);
}

static void meet_it_read_only(struct scene *c, const struct ps_mem_rule *rule, bool late,
                              const struct expected *e)
{
	read_evicted(c, rule, late, e, PS_OPEN_READONLY);
}

/* ---- clones ---- */

/* No file, or the right one: `under` is the version that is cloned if the lie shows nothing wrong. */
static void clone_under(struct scene *c, const struct ps_mem_rule *rule, const struct expected *e,
                        uint64_t under, uint64_t version)
{
	unsigned number;
	uint64_t before = requests_of(c->knows);
	assert_ok(ps_mem_rule_add(blobs_world(c->w.b), rule, &number));
	int err = ps_clone(c->knows->r, c->path, NULL, NULL);
	expect_told(e, err, requests_of(c->knows) - before, REQUESTS_OF_CLONE);
	assert_true(ps_mem_rule_hits(blobs_world(c->w.b), number) > 0);
	ps_mem_rule_remove(blobs_world(c->w.b), 0);
	if (err) {
		assert_int_equal(access(c->path, F_OK), -1);
		assert_ok(ps_clone(c->knows->r, c->path, NULL, NULL));
	}
	ps_storer *s = open_stack(&c->w, c->path, PS_OPEN_EXISTING);
	expect_all(c, s, err ? version : under);
	assert_ok(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	assert_ok(ps_close(s));
}

static void meet_in_a_clone(struct scene *c, const struct ps_mem_rule *rule, bool late,
                            const struct expected *e)
{
	struct ps_mem_rule of_packs = *rule;
	of_packs.first = late ? BEHIND_MANIFEST : 0;
	clone_under(c, &of_packs, e, 2, 2);
}

/* All else is well. */
static void meet_in_the_log(struct scene *c, const struct ps_mem_rule *rule, bool late,
                            const struct expected *e)
{
	struct ps_mem_rule of_log = *rule;
	(void)late;
	of_log.named = true;
	of_log.name = c->log;
	clone_under(c, &of_log, e, 2, 3);
}

/* ---- the table ---- */

#define NO_PAD                                                                                               \
	{                                                                                                    \
		PS_ELOST, "nothing is there"                                                                 \
	}
#define OLDER                                                                                                \
	{                                                                                                    \
		PS_EROLLBACK, "the network shows head"                                                       \
	}
#define OTHER_HISTORY                                                                                        \
	{                                                                                                    \
		PS_EFORK, "the network shows another history"                                                \
	}
#define NOT_SIGNED                                                                                           \
	{PS_EAUTH, "pad"}, {PS_EAUTH, "not the one that was signed"},                                        \
	{                                                                                                    \
		PS_EAUTH, "no pad record"                                                                    \
	}
#define NO_ANSWER                                                                                            \
	{                                                                                                    \
		PS_EUNAVAILABLE, "no answer"                                                                 \
	}
#define SHORTER                                                                                              \
	{                                                                                                    \
		PS_OK, ""                                                                                    \
	}

static const struct moment {
	const char *name;
	void (*meet)(struct scene *c, const struct ps_mem_rule *rule, bool late, const struct expected *e);
	bool late;
	struct expected by[FAULTS];
} moments[] = {
    {"a clone",
     meet_in_a_clone,
     false,
     {OLDER, OTHER_HISTORY, {PS_ELOST, "has no head"}, NOT_SIGNED, NO_ANSWER}},
    {"a clone's packs", meet_in_a_clone, true, {OLDER, OTHER_HISTORY, NO_PAD, NOT_SIGNED, NO_ANSWER}},
    {"a lazy clone", meet_in_a_lazy_clone, false, {OLDER, OTHER_HISTORY, NO_PAD, NOT_SIGNED, NO_ANSWER}},
    {"a lazy clone's packs",
     meet_in_a_lazy_clone,
     true,
     {OLDER, OTHER_HISTORY, NO_PAD, NOT_SIGNED, NO_ANSWER}},
    {"contents that were evicted",
     meet_what_was_evicted,
     false,
     {OLDER, OTHER_HISTORY, NO_PAD, NOT_SIGNED, NO_ANSWER}},
    {"their packs", meet_what_was_evicted, true, {OLDER, OTHER_HISTORY, NO_PAD, NOT_SIGNED, NO_ANSWER}},
    {"the same, read only", meet_it_read_only, true, {OLDER, OTHER_HISTORY, NO_PAD, NOT_SIGNED, NO_ANSWER}},
    {"a kept state", meet_in_a_kept_state, false, {OLDER, OTHER_HISTORY, NO_PAD, NOT_SIGNED, NO_ANSWER}}};

static void go_through(const struct moment *moment, struct scene *c)
{
	for (unsigned f = 0; f < FAULTS; f++) {
		struct ps_mem_rule rule = rule_of(c, f);
		if (cells++ % stride != 0)
			continue;
		print_message("%s: %s\n", moment->name, fault_names[f]);
		moment->meet(c, &rule, moment->late, &moment->by[f]);
		(void)unlink(c->path);
	}
}

static void each_lie_has_its_error_at_each_moment(void **state)
{
	struct scene c;
	(void)state;
	scene_new(&c, false);
	for (unsigned m = 0; m < sizeof(moments) / sizeof(*moments); m++)
		go_through(&moments[m], &c);
	scene_free(&c);
}

/* Nobody can tell a log that ends earlier from one that was not shipped further. */
static void lies_about_the_log_make_it_shorter_or_are_refused(void **state)
{
	static const struct moment log = {
	    "the log", meet_in_the_log, false, {SHORTER, SHORTER, SHORTER, NOT_SIGNED, NO_ANSWER}};
	struct scene c;
	(void)state;
	scene_new(&c, true);
	go_through(&log, &c);
	scene_free(&c);
}

/* ---- what others push ---- */

/* What becomes of the pads of packs that nobody names any more. */
enum then { REUSED, PURGED };

/* The machine that pushes sends all anew, but for one object that it leaves alone. */
static void push_anew(struct scene *c, enum then then)
{
	static uint8_t bytes[LARGEST];
	uint64_t removed = 0;
	c->w.options.history = 0;
	for (uint64_t version = 7; version < 10; version++) {
		for (unsigned i = SMALL; i < OBJECTS; i++) {
			fill(bytes, i, version);
			assert_ok(ps_replace(c->w.s, c->id[i], bytes, size_of[i]));
		}
		removed += push_now(&c->w).removed_packs;
	}
	assert_true(removed > 0);
	if (then == PURGED)
		assert_ok(ps_remote_purge(c->w.b->r, NULL, NULL, NULL));
}

/* Nobody syncs for it: that packs are gone is why it asks. */
static void a_lazy_clone_hears_of_what_another_machine_pushes(void **state)
{
	static const struct expected gone = {PS_ESUPERSEDED, "interval"};
	(void)state;
	for (enum then then = REUSED; then <= PURGED; then++) {
		struct scene c;
		scene_new(&c, false);
		ps_storer *s = open_attached(c.knows, c.path, PS_OPEN_DEFAULT);
		push_anew(&c, then);
		for (unsigned i = FIRST; i < OBJECTS; i++) {
			uint64_t before = requests_of(c.knows);
			int err = read_one(&c, s, i, 2);
			if (err || (i != FIRST && then == PURGED)) /* pads that were not used yet are there */
				expect_told(&gone, err, requests_of(c.knows) - before, REQUESTS_OF_READ);
			assert_true(i != FIRST || !err);
		}
		assert_ok(ps_close(s));
		scene_free(&c);
	}
}

struct meanwhile {
	struct scene *c;
	enum then then;
	bool done;
};

static int push_meanwhile(void *arg, const struct ps_progress *progress)
{
	struct meanwhile *m = arg;
	(void)progress;
	if (!m->done)
		push_anew(m->c, m->then);
	m->done = true;
	return 0;
}

/* More packs than a clone asks for before it has shown any of them. */
static uint64_t push_many_packs(struct scene *c)
{
	enum { MANY = 2 * PS_RUN_SOURCE_RANGES };
	static uint8_t bytes[4000];
	ps_id id;
	for (unsigned i = 0; i < MANY; i++) {
		blobs_fill(bytes, sizeof(bytes), 1000 + i);
		assert_ok(ps_put(c->w.s, bytes, sizeof(bytes), &id));
	}
	return push_now(&c->w).state;
}

static void a_state_that_is_dropped_while_it_is_cloned_is_said_to_be(void **state)
{
	static const struct expected dropped = {PS_ESUPERSEDED, "was dropped by a later push"};
	(void)state;
	for (enum then then = REUSED; then <= PURGED; then++) {
		struct scene c;
		scene_new(&c, false);
		uint64_t many = push_many_packs(&c);
		struct meanwhile m = {&c, then, false};
		const struct ps_clone_options options = {
		    .size = sizeof(options), .state = many, .progress = push_meanwhile, .progress_arg = &m};
		int err = ps_clone(c.knows->r, c.path, &options, NULL);
		if (err || then == PURGED) {
			expect_told(&dropped, err, 0, 0);
			assert_int_equal(access(c.path, F_OK), -1);
		} else {
			ps_storer *s = open_stack(&c.w, c.path, PS_OPEN_EXISTING);
			expect_all(&c, s, 2);
			assert_ok(ps_close(s));
		}
		scene_free(&c);
	}
}

static void what_is_unknown_is_not_learned_by_a_store_that_is_read_only(void **state)
{
	static const struct expected refused = {PS_EREADONLY, "open it for writing once"};
	struct scene c;
	(void)state;
	scene_new(&c, false);
	assert_ok(ps_close(open_attached(c.knows, c.path, PS_OPEN_DEFAULT)));
	ps_storer *s = open_attached(c.knows, c.path, PS_OPEN_READONLY);
	expect_told(&refused, read_one(&c, s, SMALL, 2), 0, 0);
	assert_ok(ps_close(s));
	s = open_attached(c.knows, c.path, PS_OPEN_EXISTING);
	expect_all(&c, s, 2);
	assert_ok(ps_close(s));
	s = open_attached(c.knows, c.path, PS_OPEN_READONLY);
	expect_all(&c, s, 2);
	assert_ok(ps_close(s));
	scene_free(&c);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_lie_has_its_error_at_each_moment),
	    cmocka_unit_test(lies_about_the_log_make_it_shorter_or_are_refused),
	    cmocka_unit_test(a_lazy_clone_hears_of_what_another_machine_pushes),
	    cmocka_unit_test(a_state_that_is_dropped_while_it_is_cloned_is_said_to_be),
	    cmocka_unit_test(what_is_unknown_is_not_learned_by_a_store_that_is_read_only),
	};
	if (argc > 1)
		stride = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests_name("lies by moment", tests, NULL, NULL);
}
