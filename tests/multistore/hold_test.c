/* One holder: who may push, and how another file takes over; at every moment of the other's push, killed at
 * every request, and with several at once. usage: hold_test [STRIDE]: every so-manieth moment and request;
 * hold_test SCHEME RACES: seeded races, and nothing else */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "multistore/fence.h"
#include "tests/multistore/push_fixture.h"

static const char *scheme = "mem";
static unsigned races = 4, stride = 1;

/* A machine with a file of its own, which may be a clone. */
struct station {
	struct world *w; /* whose network it is */
	struct blobs *b;
	ps_storer *s;
	char path[256];
	unsigned files;
};

static int clone_to(struct station *a, uint32_t take_over, const char *name)
{
	const struct ps_base_options base = {.size = sizeof(base), .memory_budget = 16 << 20};
	const struct ps_clone_options options = {
	    .size = sizeof(options), .base = &base, .take_over = take_over};
	snprintf(a->path, sizeof(a->path), "%s/%s-%u", a->b->folder, name, ++a->files);
	int err = ps_clone(a->b->r, a->path, &options, NULL);
	if (!err)
		a->s = open_stack(a->w, a->path, PS_OPEN_EXISTING);
	return err;
}

static void station_new(struct station *a, struct world *w)
{
	*a = (struct station){.w = w, .b = machine_open(w->b)};
	assert_ok(clone_to(a, 0, "clone"));
}

static void station_free(struct station *a)
{
	assert_ok(ps_close(a->s));
	machine_free(a->b);
}

/* The process is gone, and another one begins. */
static void station_restart(struct station *a)
{
	assert_ok(ps_close(a->s));
	blobs_close(a->b);
	assert_ok(blobs_start(a->b, false));
	a->s = open_stack(a->w, a->path, PS_OPEN_EXISTING);
}

static int push(struct station *a)
{
	return ps_push(a->s, a->b->r, NULL, NULL);
}

static int take_over(struct station *a)
{
	return ps_take_over(a->s, a->b->r, NULL, NULL);
}

/* The world's own machine and file as one of them; w->s stays its owner. */
static struct station first_of(struct world *w)
{
	return (struct station){.w = w, .b = w->b, .s = w->s};
}

static void put_text(struct station *a, const char *text)
{
	ps_id id;
	assert_ok(ps_put(a->s, text, strlen(text), &id));
}

struct sought {
	ps_storer *s;
	const char *text;
	unsigned found;
};

static int look_for(void *arg, ps_id id)
{
	struct sought *t = arg;
	char buf[64];
	size_t len = 0;
	int err = ps_get(t->s, id, buf, sizeof(buf), &len);
	if (err != PS_ERANGE)
		assert_ok(err);
	t->found += err == PS_OK && len == strlen(t->text) && memcmp(buf, t->text, len) == 0;
	return 0;
}

static bool has_text(ps_storer *s, const char *text)
{
	struct sought t = {s, text, 0};
	assert_ok(ps_each(s, PS_ID_NONE, look_for, &t));
	return t.found > 0;
}

static struct ps_push_holder holder_of(struct blobs *b)
{
	struct ps_push_holder holder;
	(void)sync_machine(b);
	assert_ok(ps_push_holder(b->r, &holder));
	return holder;
}

/* ---- one after the other ---- */

static void who_pushes_first_holds(void **state)
{
	struct world w;
	struct station a;
	struct ps_push_holder holder;
	char pid[32];
	(void)state;
	world_new(&w, scheme, 1);
	assert_error(ps_push_holder(w.b->r, &holder), PS_ENOTFOUND);
	assert_error(ps_take_over(w.s, w.b->r, NULL, NULL), PS_ENOTFOUND);
	change_some(&w, 10);
	(void)push_now(&w);
	holder = holder_of(w.b);
	assert_int_equal(holder.epoch, 1);
	snprintf(pid, sizeof(pid), "/%ld", (long)getpid());
	assert_non_null(strstr(holder.text, pid));
	assert_true(holder.since_ns > 0);
	station_new(&a, &w);
	assert_error(push(&a), PS_EHELD); /* also with nothing to push */
	assert_non_null(strstr(ps_last_error_message(), holder.text));
	assert_non_null(strstr(ps_last_error_message(), "since 20"));
	put_text(&a, "its own");
	assert_error(push(&a), PS_EHELD);
	change_some(&w, 3); /* and the holder goes on */
	(void)push_now(&w);
	assert_int_equal(holder_of(w.b).epoch, 1);
	station_free(&a);
	world_free(&w);
}

static void a_takeover_ends_the_pushes_of_the_holder_and_loses_nothing(void **state)
{
	struct world w;
	struct station a;
	struct picture mine;
	(void)state;
	world_new(&w, scheme, 2);
	change_some(&w, 20);
	(void)push_now(&w);
	station_new(&a, &w);
	change_some(&w, 5); /* of these nobody else hears */
	picture_take(&mine, w.s);
	put_text(&a, "the new holder's");
	assert_ok(take_over(&a));
	assert_ok(take_over(&a)); /* it holds it already */
	assert_int_equal(holder_of(a.b).epoch, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	assert_non_null(strstr(ps_last_error_message(), "export"));
	expect_picture(&mine, w.s, "the file that was fenced");
	assert_ok(push(&a));
	assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	assert_error(ps_take_over(w.s, w.b->r, NULL, NULL), PS_EFORK); /* there is a state that it has not */
	picture_free(&mine);
	picture_take(&mine, a.s);
	expect_clone(&w, w.b->r, 0, &mine);
	picture_free(&mine);
	station_free(&a);
	world_free(&w);
}

/* As long as nothing newer was pushed, with all that it has not pushed. */
static void who_was_fenced_can_take_it_back(void **state)
{
	struct world w;
	struct station a;
	struct picture p;
	(void)state;
	world_new(&w, scheme, 3);
	change_some(&w, 20);
	(void)push_now(&w);
	station_new(&a, &w);
	change_some(&w, 5);
	assert_ok(take_over(&a));
	assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	assert_ok(ps_take_over(w.s, w.b->r, NULL, NULL));
	(void)push_now(&w);
	assert_error(push(&a), PS_EFENCED);
	assert_int_equal(holder_of(w.b).epoch, 3);
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	station_free(&a);
	world_free(&w);
}

static void who_has_not_the_newest_state_clones_it_with_the_hold(void **state)
{
	struct world w;
	struct station a;
	struct picture p;
	(void)state;
	world_new(&w, scheme, 4);
	change_some(&w, 20);
	(void)push_now(&w);
	station_new(&a, &w);
	change_some(&w, 5);
	(void)push_now(&w);
	picture_take(&p, w.s);
	assert_error(take_over(&a), PS_EFORK);
	assert_int_equal(holder_of(a.b).epoch, 1);
	assert_ok(ps_close(a.s));
	assert_ok(clone_to(&a, 1, "taken"));
	expect_picture(&p, a.s, "a clone that takes over");
	assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	put_text(&a, "more");
	assert_ok(push(&a));
	assert_int_equal(holder_of(a.b).epoch, 2);
	picture_free(&p);
	station_free(&a);
	world_free(&w);
}

static void a_clone_that_was_cut_off_leaves_a_hold_that_can_be_taken_over(void **state)
{
	struct world w;
	struct station a;
	(void)state;
	world_new(&w, scheme, 5);
	change_some(&w, 20);
	(void)push_now(&w);
	station_new(&a, &w);
	char elsewhere[300];
	snprintf(elsewhere, sizeof(elsewhere), "%s/there/clone", a.b->folder);
	const struct ps_base_options base = {.size = sizeof(base), .memory_budget = 1};
	const struct ps_clone_options options = {.size = sizeof(options), .base = &base, .take_over = 1};
	snprintf(elsewhere, sizeof(elsewhere), "%s/never", a.b->folder);
	assert_int_not_equal(ps_clone(a.b->r, elsewhere, &options, NULL), PS_OK);
	assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	assert_int_equal(holder_of(a.b).epoch, 2);
	assert_ok(take_over(&a));
	assert_ok(push(&a));
	assert_int_equal(holder_of(a.b).epoch, 3);
	station_free(&a);
	world_free(&w);
}

/* ---- the fence ---- */

static int create_log(struct blobs *b, uint64_t epoch, uint64_t n)
{
	const struct ps_remote_slot_at at = {epoch, n};
	struct ps_remote_slot slot;
	return ps_remote_slot_create(b->r, &at, PS_SLOT_LOG, "log", 3, NULL, NULL, &slot);
}

static void expect_fence(struct blobs *b, uint64_t epoch, uint64_t n, uint64_t next)
{
	const struct ps_remote_slot_at at = {epoch, n};
	struct ps_fence fence;
	bool log;
	assert_ok(ps_fence_look(b->r, &at, NULL, NULL, &log, &fence));
	assert_false(log);
	assert_int_equal(fence.epoch, next);
}

static void a_fence_stands_behind_the_log_and_nothing_behind_it(void **state)
{
	struct world w;
	struct station a;
	const struct ps_fence first = {.epoch = 2, .holder = {7}}, other = {.epoch = 2, .holder = {8}},
	                      later = {.epoch = 4, .holder = {9}};
	const struct ps_remote_slot_at from = {1, 1};
	(void)state;
	world_new(&w, scheme, 6);
	change_some(&w, 20);
	(void)push_now(&w);
	station_new(&a, &w);
	for (uint64_t n = 1; n <= 3; n++)
		assert_ok(create_log(w.b, 1, n));
	assert_ok(ps_fence_raise(a.b->r, &from, &first, NULL, NULL));
	expect_fence(a.b, 1, 4, 2);
	assert_error(create_log(w.b, 1, 4), PS_EEXIST);
	assert_ok(ps_fence_raise(a.b->r, &from, &first, NULL, NULL)); /* again */
	assert_error(ps_fence_raise(a.b->r, &from, &other, NULL, NULL), PS_EFENCED);
	assert_ok(ps_fence_raise(a.b->r, &from, &later, NULL, NULL)); /* one is enough */
	expect_fence(a.b, 1, 4, 2);
	station_free(&a);
	world_free(&w);
}

/* A store that ships its log, and a text in it that no push has. */
static ps_storer *open_shipping(struct world *w)
{
	const struct ps_base_options base = {.size = sizeof(base), .memory_budget = 16 << 20};
	const struct ps_multi_options options = {.size = sizeof(options), .remote = w->b->r, .log_ms = 1};
	ps_storer *s;
	assert_ok(ps_close(w->s));
	assert_ok(ps_multi_open_at(w->path, &base, &options, &s));
	w->s = s;
	return s;
}

static void ship_text(struct world *w, const char *text)
{
	struct station first = first_of(w);
	put_text(&first, text);
	assert_ok(ps_remote_wait(w->s, 60000));
}

static void who_takes_over_has_all_that_was_shipped(void **state)
{
	struct world w;
	struct station a;
	(void)state;
	world_new(&w, scheme, 8);
	change_some(&w, 20);
	(void)open_shipping(&w);
	assert_ok(ps_push(w.s, NULL, NULL, NULL));
	ship_text(&w, "shipped");
	station_new(&a, &w);
	assert_true(has_text(a.s, "shipped"));
	ship_text(&w, "shipped later");
	assert_error(take_over(&a), PS_EFORK); /* it was cloned before that */
	assert_int_equal(holder_of(a.b).epoch, 1);
	assert_ok(ps_close(a.s));
	assert_ok(clone_to(&a, 1, "taken"));
	assert_true(has_text(a.s, "shipped") && has_text(a.s, "shipped later"));
	struct station first = first_of(&w);
	put_text(&first, "behind the fence");
	assert_error(ps_remote_wait(w.s, 60000), PS_EFENCED);
	assert_error(ps_push(w.s, NULL, NULL, NULL), PS_EFENCED);
	put_text(&a, "goes on");
	assert_ok(push(&a));
	(void)sync_machine(w.b);
	char path[256];
	ps_storer *s = clone_open(&w, w.b->r, 0, path);
	assert_true(has_text(s, "shipped later") && has_text(s, "goes on"));
	assert_false(has_text(s, "behind the fence"));
	assert_ok(ps_close(s));
	station_free(&a);
	world_free(&w);
}

/* A clone that has the log takes over; and who held it takes it back, and ships again. */
static void a_clone_with_the_log_takes_over_and_gives_back(void **state)
{
	struct world w;
	struct station a;
	(void)state;
	world_new(&w, scheme, 10);
	change_some(&w, 20);
	(void)open_shipping(&w);
	assert_ok(ps_push(w.s, NULL, NULL, NULL));
	ship_text(&w, "shipped");
	station_new(&a, &w);
	assert_ok(take_over(&a));
	struct station first = first_of(&w);
	put_text(&first, "behind the fence");
	assert_error(ps_remote_wait(w.s, 60000), PS_EFENCED);
	assert_ok(ps_take_over(w.s, NULL, NULL, NULL));
	assert_ok(ps_push(w.s, NULL, NULL, NULL));
	ship_text(&w, "shipped again");
	assert_error(push(&a), PS_EFENCED);
	assert_ok(ps_close(a.s));
	assert_ok(clone_to(&a, 0, "again"));
	assert_true(has_text(a.s, "behind the fence") && has_text(a.s, "shipped again"));
	station_free(&a);
	world_free(&w);
}

static void a_fence_of_other_bytes_is_none(void **state)
{
	const struct ps_remote_slot_at at = {3, 9};
	const struct ps_fence fence = {.epoch = 5, .holder = {1}, .since_ns = 77};
	struct ps_fence read;
	uint8_t bytes[PS_FENCE_BYTES];
	(void)state;
	ps_fence_encode(&fence, bytes);
	assert_ok(ps_fence_decode(bytes, sizeof(bytes), &at, &read));
	assert_memory_equal(&read, &fence, sizeof(fence));
	assert_error(ps_fence_decode(bytes, sizeof(bytes) - 1, &at, &read), PS_ECORRUPT);
	assert_error(ps_fence_decode(bytes, sizeof(bytes), &(struct ps_remote_slot_at){5, 1}, &read),
	             PS_ECORRUPT);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bool free =
		    (i >= 16 && i < 18) || (i >= 24 && i < 48); /* other numbers, holders and times can be */
		bytes[i] ^= 0x80;
		int err = ps_fence_decode(bytes, sizeof(bytes), &at, &read);
		assert_true(free ? err == PS_OK
		                 : err == PS_ECORRUPT || err == PS_EVERSION || (i < 24 && !err));
		bytes[i] ^= 0x80;
	}
}

/* ---- at every moment ---- */

struct moment {
	struct station *other;
	int (*act)(struct station *a);
	unsigned at, now; /* calls of the progress */
	int result;
};

static int act_then(void *arg, const struct ps_progress *progress)
{
	struct moment *m = arg;
	(void)progress;
	if (++m->now == m->at)
		m->result = m->act(m->other);
	return 0;
}

/* False: it was over before. */
static bool meet_at(struct world *w, struct station *a, unsigned at, bool pushes)
{
	struct station first = first_of(w);
	struct moment m = {
	    .other = pushes ? a : &first, .act = pushes ? take_over : push, .at = at, .result = 1};
	const struct ps_push_options options = {
	    .size = sizeof(options), .progress = act_then, .progress_arg = &m};
	int err = pushes ? ps_push(w->s, w->b->r, &options, NULL) : ps_take_over(a->s, a->b->r, act_then, &m);
	int pushed = pushes ? err : m.result, taken = pushes ? m.result : err;
	if (m.result == 1) {
		assert_ok(err);
	} else if (taken == PS_OK) {
		assert_int_equal(pushed, PS_EFENCED);
		put_text(a, "after");
		assert_ok(push(a));
		assert_error(ps_push(w->s, w->b->r, NULL, NULL), PS_EFENCED);
	} else { /* the push was there first, with a state that the clone has not */
		assert_true(taken == PS_EHELD || taken == PS_EFORK);
		assert_ok(pushed);
		assert_error(push(a), PS_EHELD);
		assert_ok(ps_push(w->s, w->b->r, NULL, NULL));
	}
	return m.result != 1;
}

/* How many moments there are is found by going on until there are no more. */
static void at_every_moment(bool pushes)
{
	unsigned taken = 0, refused = 0;
	bool met = true;
	for (unsigned at = 1; met; at += stride) {
		struct world w;
		struct station a;
		struct picture p;
		world_new(&w, scheme, 20 + at);
		change_some(&w, 12);
		(void)push_now(&w);
		station_new(&a, &w);
		change_some(&w, 2);
		met = meet_at(&w, &a, at, pushes);
		bool first_holds = holder_of(w.b).epoch == 1;
		taken += met && !first_holds;
		refused += met && first_holds;
		(void)sync_machine(a.b);
		picture_take(&p, first_holds ? w.s : a.s);
		expect_clone(&w, w.b->r, 0, &p);
		assert_int_equal(count_keys(w.b, "store"), 1);
		picture_free(&p);
		station_free(&a);
		world_free(&w);
	}
	assert_true(taken > 0 && (refused > 0 || pushes)); /* a push asks no more once its state is there */
}

static void a_takeover_at_every_moment_of_a_push(void **state)
{
	(void)state;
	at_every_moment(true);
}

static void a_push_at_every_moment_of_a_takeover(void **state)
{
	(void)state;
	at_every_moment(false);
}

/* ---- killed at every request ---- */

/* From the request `first` on nothing comes through; of that one, with `lost`, only the answer does not come.
 */
static void die_at(struct world *w, uint64_t first, bool lost)
{
	const struct ps_mem_rule reply = {.fault = PS_MEM_LOSE_REPLY, .first = first, .count = 1};
	const struct ps_mem_rule all = {.fault = PS_MEM_LOSE_REQUEST, .first = first + lost};
	unsigned rule;
	if (lost)
		assert_ok(ps_mem_rule_add(blobs_world(w->b), &reply, &rule));
	assert_ok(ps_mem_rule_add(blobs_world(w->b), &all, &rule));
}

static void live_again(struct world *w)
{
	ps_mem_rule_remove(blobs_world(w->b), 0);
	(void)ps_mem_deliver(blobs_world(w->b));
}

/* Either of them holds the store whole, and the takeover can be made again. */
static void expect_either(struct world *w, struct station *a, bool holder_first)
{
	int err = holder_first ? ps_push(w->s, w->b->r, NULL, NULL) : PS_EFENCED;
	if (err == PS_OK) {
		assert_error(take_over(a), PS_EFORK);
		assert_ok(ps_close(a->s));
		assert_ok(clone_to(a, 1, "again"));
	} else {
		assert_int_equal(err, PS_EFENCED);
		assert_ok(take_over(a));
	}
	put_text(a, "goes on");
	assert_ok(push(a));
	assert_error(ps_push(w->s, w->b->r, NULL, NULL), PS_EFENCED);
	expect_fence(a->b, 1, 1, 2);
}

/* False: it was over before. */
static bool die_once(uint64_t at, bool lost, bool holder_first)
{
	struct world w;
	struct station a;
	struct picture mine, p;
	world_new(&w, "mem", 50 + at);
	change_some(&w, 12);
	(void)push_now(&w);
	station_new(&a, &w);
	struct station first = first_of(&w);
	put_text(&first, "not pushed");
	picture_take(&mine, w.s);
	die_at(&w, at, lost);
	int err = take_over(&a);
	live_again(&w);
	station_restart(&a);
	if (err)
		expect_either(&w, &a, holder_first);
	expect_picture(&mine, w.s, "the first holder's file");
	(void)sync_machine(w.b);
	picture_take(&p, a.s);
	expect_clone(&w, w.b->r, 0, &p);
	assert_int_equal(count_keys(w.b, "store"), 1);
	picture_free(&p);
	picture_free(&mine);
	station_free(&a);
	world_free(&w);
	return err != PS_OK;
}

static void a_takeover_that_dies_at_any_request(void **state)
{
	unsigned died = 0;
	(void)state;
	for (unsigned way = 0; way < 4; way++)
		for (uint64_t at = 1 + way % stride; die_once(at, way & 1, way & 2); at += stride)
			died++;
	assert_true(died > 16 / stride);
}

/* ---- all at once ---- */

enum { RACERS = 3, TURNS = 8 };

struct racer {
	struct station a;
	struct dice dice;
	unsigned number, tokens, confirmed_count;
	unsigned confirmed[TURNS];
};

static void token_text(unsigned racer, unsigned token, char text[32])
{
	snprintf(text, 32, "token %u of %u", token, racer);
}

/* A new file, in place of one that is not of the line any more. */
static void clone_anew(struct racer *r)
{
	int err;
	assert_ok(ps_close(r->a.s));
	do {
		err = clone_to(&r->a, roll(&r->dice) % 2, "raced");
		if (err != PS_OK && err != PS_ESUPERSEDED)
			fail_msg("clone: %s (%s)", ps_error_name(err), ps_last_error_message());
	} while (err);
}

static bool is_refusal(int err)
{
	return err == PS_EHELD || err == PS_EFENCED || err == PS_EFORK;
}

static void take_turn(struct racer *r)
{
	char text[32];
	unsigned token = r->tokens++;
	token_text(r->number, token, text);
	put_text(&r->a, text);
	int err = push(&r->a);
	if (is_refusal(err) && roll(&r->dice) % 2) {
		err = take_over(&r->a);
		err = err ? err : push(&r->a);
	}
	if (err && !is_refusal(err))
		fail_msg("a race: %s (%s)", ps_error_name(err), ps_last_error_message());
	if (err == PS_OK)
		r->confirmed[r->confirmed_count++] = token;
	else if (err == PS_EFORK || roll(&r->dice) % 4 == 0)
		clone_anew(r);
}

static void *run_racer(void *arg)
{
	struct racer *r = arg;
	while (r->tokens < TURNS)
		take_turn(r);
	return NULL;
}

/* At most one pushes, and what was confirmed to any of them is in the newest state. */
static void check_race(struct world *w, struct racer *racers, uint64_t seed)
{
	unsigned holders = 0;
	for (unsigned i = 0; i < RACERS; i++) {
		int err = push(&racers[i].a);
		if (err && !is_refusal(err))
			fail_msg("behind a race: %s (%s)", ps_error_name(err), ps_last_error_message());
		holders += err == PS_OK;
	}
	assert_true(holders <= 1);
	char path[256], text[32];
	(void)sync_machine(w->b);
	ps_storer *s = clone_open(w, w->b->r, 0, path);
	for (unsigned i = 0; i < RACERS; i++) {
		for (unsigned k = 0; k < racers[i].confirmed_count; k++) {
			token_text(i, racers[i].confirmed[k], text);
			if (!has_text(s, text))
				fail_msg("seed %llu: \"%s\" was confirmed, and is lost",
				         (unsigned long long)seed, text);
		}
	}
	assert_ok(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	assert_ok(ps_close(s));
	assert_int_equal(unlink(path), 0);
}

static void race(uint64_t seed)
{
	struct world w;
	struct racer racers[RACERS];
	pthread_t threads[RACERS];
	world_new(&w, scheme, seed);
	change_some(&w, 10);
	(void)push_now(&w);
	for (unsigned i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){.number = i, .dice = {seed * RACERS + i + 1}};
		station_new(&racers[i].a, &w);
	}
	assert_ok(take_over(&racers[seed % RACERS].a));
	for (unsigned i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_racer, &racers[i]), 0);
	for (unsigned i = 0; i < RACERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	check_race(&w, racers, seed);
	for (unsigned i = 0; i < RACERS; i++)
		station_free(&racers[i].a);
	world_free(&w);
}

static void of_those_that_race_one_holds_and_nothing_confirmed_is_lost(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < races; seed++)
		race(test_seed(1) + seed);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_pushes_first_holds),
	    cmocka_unit_test(a_takeover_ends_the_pushes_of_the_holder_and_loses_nothing),
	    cmocka_unit_test(who_was_fenced_can_take_it_back),
	    cmocka_unit_test(who_has_not_the_newest_state_clones_it_with_the_hold),
	    cmocka_unit_test(a_clone_that_was_cut_off_leaves_a_hold_that_can_be_taken_over),
	    cmocka_unit_test(a_fence_stands_behind_the_log_and_nothing_behind_it),
	    cmocka_unit_test(who_takes_over_has_all_that_was_shipped),
	    cmocka_unit_test(a_clone_with_the_log_takes_over_and_gives_back),
	    cmocka_unit_test(a_fence_of_other_bytes_is_none),
	    cmocka_unit_test(a_takeover_at_every_moment_of_a_push),
	    cmocka_unit_test(a_push_at_every_moment_of_a_takeover),
	    cmocka_unit_test(a_takeover_that_dies_at_any_request),
	    cmocka_unit_test(of_those_that_race_one_holds_and_nothing_confirmed_is_lost),
	};
	static const struct CMUnitTest only_races[] = {
	    cmocka_unit_test(of_those_that_race_one_holds_and_nothing_confirmed_is_lost),
	};
	if (argc == 2)
		stride = (unsigned)atoi(argv[1]);
	if (argc < 3)
		return cmocka_run_group_tests_name("one holder", tests, NULL, NULL);
	scheme = argv[1];
	races = (unsigned)atoi(argv[2]);
	return cmocka_run_group_tests_name("races for the hold", only_races, NULL, NULL);
}
