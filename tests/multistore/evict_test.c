/* Stores of which only a part is in the file: what has left comes back as it was, or is refused; nothing
 * leaves that is not on the network. usage: evict_test SCHEME [STEPS of the model] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"
#include "tests/support/patient.h"
#include "tests/support/sem.h"

static const char *scheme = "mem";
static unsigned steps = 150;

enum { PIECE = 65536, ROUGHLY = 100000 }; /* the second: what is in the file is estimated by pages */

/* ---- an attached world ---- */

struct backed {
	struct world w;
	struct ps_multi_options options;
	sem_t told;
	_Atomic(uint64_t) freed, evictions;
	_Atomic(int) failed;
};

static void hear(void *arg, const struct ps_multi_event *event)
{
	struct backed *b = arg;
	b->freed += event->freed;
	b->evictions += event->kind == PS_MULTI_EVICTED;
	if (event->kind == PS_MULTI_PUSH_STOPPED || event->kind == PS_MULTI_EVICT_FAILED) {
		print_message("%s: %s\n", ps_error_name(event->error), event->message);
		b->failed = event->error;
	}
	assert_int_equal(sem_post(&b->told), 0);
}

static ps_storer *backed_open(struct backed *b, const char *path, int mode)
{
	const struct ps_base_options base = {.size = sizeof(base),
	                                     .mode = mode,
	                                     .durability = PS_RELAXED,
	                                     .memory_budget = 4 << 20,
	                                     .pin_limit = 1 << 30,
	                                     .io = PS_BASE_IO_BUFFERED,
	                                     .background = PS_BACKGROUND_NONE};
	ps_storer *s, *top;
	assert_ok(ps_multi_open_at(path, &base, &b->options, &s));
	if (!b->w.concurrent)
		return s;
	assert_ok(patient_locks_open(s, &top));
	return top;
}

static void backed_new(struct backed *b, uint64_t seed, uint64_t local_bytes)
{
	memset(b, 0, sizeof(*b));
	world_new(&b->w, scheme, seed);
	assert_ok(ps_close(b->w.s));
	assert_int_equal(sem_init(&b->told, 0, 0), 0);
	b->options = (struct ps_multi_options){.size = sizeof(b->options),
	                                       .remote = b->w.b->r,
	                                       .local_bytes = local_bytes,
	                                       .cache_bytes = 1 << 20,
	                                       .event = hear,
	                                       .event_arg = b};
	b->w.s = backed_open(b, b->w.path, PS_OPEN_EXISTING);
}

static void backed_free(struct backed *b)
{
	world_free(&b->w);
	assert_int_equal(sem_destroy(&b->told), 0);
}

static void backed_reopen(struct backed *b)
{
	assert_ok(ps_close(b->w.s));
	b->w.s = backed_open(b, b->w.path, PS_OPEN_EXISTING);
}

static struct ps_local_figures figures_of(struct backed *b)
{
	struct ps_local_figures f;
	assert_ok(ps_local_figures(b->w.s, &f));
	return f;
}

/* Nobody else is at it. */
static void expect_routes_add_up(struct backed *b, bool dirty)
{
	struct ps_local_route routes[PS_MULTI_CLASSES_MAX + 1], all = {0};
	struct ps_local_figures f = figures_of(b);
	size_t n;
	assert_ok(ps_local_routes(b->w.s, routes, PS_MULTI_CLASSES_MAX + 1, &n));
	for (size_t i = 0; i < n; i++) {
		all.both_bytes += routes[i].both_bytes;
		all.dirty_bytes += routes[i].dirty_bytes;
		all.away_bytes += routes[i].away_bytes;
		all.away_objects += routes[i].away_objects;
		assert_true(i == 0 || routes[i].slot_bytes > 0);
	}
	assert_int_equal(all.both_bytes + all.dirty_bytes, f.local_bytes);
	assert_int_equal(all.away_bytes, f.away_bytes);
	assert_int_equal(all.away_objects, f.away_objects);
	assert_int_equal(all.dirty_bytes > 0, dirty);
}

static void evict_all(struct backed *b)
{
	assert_ok(ps_evict(b->w.s, 0, NULL, NULL, NULL));
	assert_int_equal(figures_of(b).local_bytes, 0);
}

static uint64_t requests(struct backed *b)
{
	struct ps_remote_stats stats;
	blobs_stats(b->w.b, &stats);
	return stats.requests;
}

/* ---- leaving and coming back ---- */

static void what_has_left_comes_back(void **state)
{
	struct backed b;
	struct picture p;
	(void)state;
	for (uint64_t seed = 1; seed <= 2; seed++) {
		backed_new(&b, seed, 0);
		change_some(&b.w, 60);
		(void)push_now(&b.w);
		picture_take(&p, b.w.s);
		struct ps_local_figures before = figures_of(&b);
		assert_int_equal(before.dirty_objects, 0);
		assert_int_equal(before.away_objects, 0);
		expect_routes_add_up(&b, false);
		uint64_t asked = requests(&b);
		evict_all(&b);
		expect_routes_add_up(&b, false);
		assert_int_equal(requests(&b), asked);
		struct ps_local_figures away = figures_of(&b);
		assert_int_equal(away.away_objects, before.local_objects);
		assert_int_equal(away.away_bytes, before.local_bytes);
		expect_picture(&p, b.w.s, "a store whose contents are away");
		assert_true(figures_of(&b).fetched_bytes > 0);
		assert_int_equal(figures_of(&b).away_objects, 0);
		evict_all(&b);
		backed_reopen(&b);
		assert_ok(ps_check(b.w.s, PS_CHECK_QUICK, NULL, NULL));
		expect_picture(&p, b.w.s, "the same, opened again");
		picture_free(&p);
		backed_free(&b);
	}
}

static void nothing_leaves_that_was_not_pushed(void **state)
{
	struct backed b;
	struct picture p;
	uint64_t freed = 1;
	(void)state;
	backed_new(&b, 3, 0);
	change_some(&b.w, 30);
	assert_error(ps_evict(b.w.s, 0, NULL, NULL, &freed), PS_ENOTFOUND);
	(void)push_now(&b.w);
	evict_all(&b);
	change_some(&b.w, 30);
	picture_take(&p, b.w.s);
	uint64_t dirty = figures_of(&b).dirty_bytes;
	expect_routes_add_up(&b, true);
	assert_ok(ps_evict(b.w.s, 0, NULL, NULL, &freed));
	struct ps_local_figures f = figures_of(&b);
	assert_true(dirty > 0 && f.dirty_bytes == dirty && f.local_bytes > 0 && f.local_bytes <= dirty);
	expect_picture(&p, b.w.s, "a store of which a part may leave");
	picture_free(&p);
	backed_free(&b);
}

/* Who opens the file without the network is told so; what is in the file is there. */
static void without_the_network_only_what_is_away_is_missing(void **state)
{
	struct backed b;
	char got[4];
	size_t len;
	ps_id away, here;
	(void)state;
	backed_new(&b, 4, 0);
	change_some(&b.w, 10);
	assert_ok(ps_put(b.w.s, "away", 4, &away));
	(void)push_now(&b.w);
	evict_all(&b);
	assert_ok(ps_put(b.w.s, "here", 4, &here));
	assert_ok(ps_close(b.w.s));
	b.w.s = open_stack(&b.w, b.w.path, PS_OPEN_EXISTING);
	assert_error(ps_get(b.w.s, away, got, 4, &len), PS_EUNAVAILABLE);
	assert_ok(ps_get(b.w.s, here, got, 4, &len));
	assert_memory_equal(got, "here", 4);
	assert_error(ps_evict(b.w.s, 0, NULL, NULL, NULL), PS_EINVAL);
	backed_reopen(&b);
	assert_ok(ps_get(b.w.s, away, got, 4, &len));
	assert_memory_equal(got, "away", 4);
	backed_free(&b);
}

/* Runs that are merged are read from the store, and that from the runs before: the next push reads what has
 * left. */
static void a_push_sends_again_what_has_left(void **state)
{
	struct backed b;
	struct picture p;
	uint64_t fetched = 0;
	(void)state;
	backed_new(&b, test_seed(5), 0);
	b.w.options.pack_bytes = 200000;
	for (unsigned i = 0; i < 14; i++) {
		change_some(&b.w, i % 3 == 0 ? 40 : 4);
		uint64_t before = figures_of(&b).fetched_bytes;
		(void)push_now(&b.w);
		fetched += figures_of(&b).fetched_bytes - before;
		picture_take(&p, b.w.s);
		evict_all(&b);
		expect_clone(&b.w, b.w.b->r, 0, &p);
		if (i % 4 == 3)
			expect_picture(&p, b.w.s, "a store that was pushed and left");
		picture_free(&p);
	}
	assert_true(fetched > 0);
	(void)expect_packs(b.w.b);
	backed_free(&b);
}

/* The same by a process that opens the file without its network, and pushes it there. */
static void a_push_of_a_store_without_a_network_reads_what_has_left(void **state)
{
	struct backed b;
	struct picture p;
	(void)state;
	backed_new(&b, 7, 0);
	b.w.options.pack_bytes = 200000;
	for (unsigned i = 0; i < 8; i++) {
		change_some(&b.w, i % 3 == 0 ? 40 : 4);
		picture_take(&p, b.w.s);
		if (i > 0)
			assert_ok(ps_evict(b.w.s, 0, NULL, NULL, NULL));
		assert_ok(ps_close(b.w.s));
		b.w.s = open_stack(&b.w, b.w.path, PS_OPEN_EXISTING);
		(void)push_now(&b.w);
		expect_clone(&b.w, b.w.b->r, 0, &p);
		backed_reopen(&b);
		picture_free(&p);
	}
	backed_free(&b);
}

/* ---- refused ---- */

/* A file of before its last push: it does not know what is on the network, so nothing of it may leave. */
static void nothing_leaves_from_an_older_file(void **state)
{
	struct backed b;
	char older[300], line[800];
	(void)state;
	backed_new(&b, 6, 0);
	change_some(&b.w, 20);
	(void)push_now(&b.w);
	assert_ok(ps_close(b.w.s));
	snprintf(older, sizeof(older), "%s.older", b.w.path);
	snprintf(line, sizeof(line), "cp %s %s", b.w.path, older);
	assert_int_equal(system(line), 0);
	b.w.s = backed_open(&b, b.w.path, PS_OPEN_EXISTING);
	change_some(&b.w, 5);
	(void)push_now(&b.w);
	assert_ok(ps_close(b.w.s));
	b.w.s = backed_open(&b, older, PS_OPEN_EXISTING);
	assert_error(ps_evict(b.w.s, 0, NULL, NULL, NULL), PS_EFORK);
	assert_int_equal(figures_of(&b).away_objects, 0);
	assert_int_equal(unlink(older), 0);
	backed_free(&b);
}

static unsigned read_under(void *arg, const struct picture *p, const struct ps_mem_rule *rule)
{
	struct backed *b = arg;
	evict_all(b);
	backed_reopen(b); /* nothing of packs is in memory */
	return read_under_rule(&b->w, b->w.s, p, 7, rule);
}

static void no_lie_makes_other_contents(void **state)
{
	struct backed b;
	(void)state;
	if (strcmp(scheme, "mem") != 0)
		skip();
	backed_new(&b, 7, 0);
	lie_to_reads(&b.w, read_under, &b);
	backed_free(&b);
}

/* ---- damage ---- */

/* What is damaged here is made good from the network, and counted; what is damaged there as well is an error,
 * and nothing there is asked for what is whole here. */
static void damage_here_heals_and_damage_there_does_not_spread(void **state)
{
	const struct ps_mem_rule flip = {
	    .fault = PS_MEM_FLIP, .ops = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE, .amount = 4000};
	enum { LEN = 20000 };
	struct backed b;
	unsigned number;
	ps_id id[2];
	uint8_t *bytes[2], got[LEN];
	size_t len;
	(void)state;
	if (strcmp(scheme, "mem") != 0)
		skip();
	backed_new(&b, 12, 0);
	for (unsigned i = 0; i < 2; i++) {
		bytes[i] = blobs_bytes(LEN, 77 + i);
		assert_ok(ps_put(b.w.s, bytes[i], LEN, &id[i]));
	}
	(void)push_now(&b.w);
	assert_ok(ps_close(b.w.s));
	damage_copies(b.w.path, bytes[0], LEN);
	b.w.s = backed_open(&b, b.w.path, PS_OPEN_EXISTING);
	assert_ok(ps_mem_rule_add(blobs_world(b.w.b), &flip, &number));
	assert_ok(ps_get(b.w.s, id[1], got, LEN, &len));
	assert_memory_equal(got, bytes[1], LEN);
	assert_int_equal(ps_mem_rule_hits(blobs_world(b.w.b), number), 0);
	int err = ps_get(b.w.s, id[0], got, LEN, &len);
	assert_true(is_refusal_of_push(err));
	assert_int_equal(figures_of(&b).healed, 0);
	ps_mem_rule_remove(blobs_world(b.w.b), 0);
	assert_ok(ps_get(b.w.s, id[0], got, LEN, &len));
	assert_memory_equal(got, bytes[0], LEN);
	assert_int_equal(figures_of(&b).healed, 1);
	backed_reopen(&b);
	assert_ok(ps_check(b.w.s, PS_CHECK_FULL, NULL, NULL));
	for (unsigned i = 0; i < 2; i++)
		test_free(bytes[i]);
	backed_free(&b);
}

/* ---- more than there is room for ---- */

struct object {
	ps_id id;
	uint8_t *bytes;
	size_t len;
};

enum { OBJECTS = 60, LARGEST = 8 * PIECE };

struct model {
	struct backed b;
	struct object all[OBJECTS];
	uint64_t bytes, most; /* of contents; the most that there was */
};

static size_t model_size(struct model *m)
{
	return (size_t)roll_below(&m->b.w.dice, roll_below(&m->b.w.dice, 3) ? 9000 : LARGEST);
}

static void set_bytes(struct model *m, struct object *o, uint8_t *bytes, size_t len)
{
	m->bytes += len - o->len;
	m->most = m->bytes > m->most ? m->bytes : m->most;
	free(o->bytes);
	o->bytes = bytes;
	o->len = len;
}

static uint8_t *new_bytes(struct model *m, size_t len)
{
	uint8_t *bytes = malloc(len + 1);
	assert_non_null(bytes);
	blobs_fill(bytes, len, roll(&m->b.w.dice));
	return bytes;
}

static void write_new(struct model *m, struct object *o)
{
	size_t len = model_size(m);
	uint8_t *bytes = new_bytes(m, len);
	ps_writer *w;
	if (o->id != PS_ID_NONE) {
		assert_ok(ps_replace(m->b.w.s, o->id, bytes, len));
	} else if (roll_below(&m->b.w.dice, 2)) {
		assert_ok(ps_put(m->b.w.s, bytes, len, &o->id));
	} else {
		assert_ok(ps_open_writer(m->b.w.s, PS_ID_NONE, PS_SIZE_UNKNOWN, &w));
		assert_ok(ps_writer_write(w, bytes, len));
		o->id = ps_writer_id(w);
		assert_ok(ps_writer_finish(w));
	}
	set_bytes(m, o, bytes, len);
}

static void write_part(struct model *m, struct object *o)
{
	size_t off = (size_t)roll_below(&m->b.w.dice, o->len + 1), len = model_size(m) / 4;
	size_t size = off + len > o->len ? off + len : o->len;
	uint8_t *part = new_bytes(m, len), *bytes = calloc(1, size + 1);
	memcpy(bytes, o->bytes, o->len);
	memcpy(bytes + off, part, len);
	assert_ok(ps_write_at(m->b.w.s, o->id, off, part, len));
	free(part);
	set_bytes(m, o, bytes, size);
}

static void resize(struct model *m, struct object *o)
{
	size_t size = model_size(m);
	uint8_t *bytes = calloc(1, size + 1);
	memcpy(bytes, o->bytes, size < o->len ? size : o->len);
	assert_ok(ps_resize(m->b.w.s, o->id, size));
	set_bytes(m, o, bytes, size);
}

static void delete_one(struct model *m, struct object *o)
{
	assert_ok(ps_delete(m->b.w.s, o->id));
	set_bytes(m, o, NULL, 0);
	o->id = PS_ID_NONE;
}

static void write_batch(struct model *m, struct object *a, struct object *b)
{
	size_t len = model_size(m);
	uint8_t *bytes = new_bytes(m, len);
	ps_batch *batch;
	assert_ok(ps_batch_begin(m->b.w.s, &batch));
	assert_ok(ps_batch_replace(batch, a->id, bytes, len));
	if (b != a && b->id != PS_ID_NONE && b->len >= 3)
		assert_ok(ps_batch_write_at(batch, b->id, b->len / 2, "xy", 1));
	assert_ok(ps_batch_commit(batch, PS_RELAXED));
	set_bytes(m, a, bytes, len);
	if (b != a && b->id != PS_ID_NONE && b->len >= 3)
		b->bytes[b->len / 2] = 'x';
}

static void read_view(struct model *m, const struct object *o)
{
	struct ps_view v;
	assert_ok(ps_view(m->b.w.s, o->id, &v));
	assert_int_equal(v.len, o->len);
	assert_memory_equal(v.data, o->bytes, o->len);
	ps_view_release(&v);
}

static void read_stream(struct model *m, const struct object *o)
{
	uint8_t *got = malloc(o->len + 1);
	size_t at = 0, n = 1;
	ps_reader *r;
	assert_ok(ps_open_reader(m->b.w.s, o->id, &r));
	while (n > 0) {
		assert_ok(ps_reader_read(r, got + at, o->len + 1 - at < 30000 ? o->len + 1 - at : 30000, &n));
		at += n;
	}
	assert_ok(ps_reader_finish(r));
	assert_int_equal(at, o->len);
	assert_memory_equal(got, o->bytes, at);
	free(got);
}

static void read_part(struct model *m, const struct object *o)
{
	size_t off = (size_t)roll_below(&m->b.w.dice, o->len + 1), len = model_size(m), got;
	uint8_t *bytes = malloc(len + 1);
	assert_ok(ps_read_at(m->b.w.s, o->id, off, bytes, len, &got));
	assert_int_equal(got, len < o->len - off ? len : o->len - off);
	assert_memory_equal(bytes, o->bytes + off, got);
	free(bytes);
}

static void step(struct model *m)
{
	struct dice *dice = &m->b.w.dice;
	struct object *o = &m->all[roll_below(dice, OBJECTS)];
	uint64_t what = roll_below(dice, 16);
	if (o->id == PS_ID_NONE || what < 2)
		write_new(m, o);
	else if (what < 4)
		write_part(m, o);
	else if (what == 4)
		resize(m, o);
	else if (what == 5)
		delete_one(m, o);
	else if (what == 6)
		write_batch(m, o, &m->all[roll_below(dice, OBJECTS)]);
	else if (what < 10)
		read_part(m, o);
	else if (what < 13)
		read_view(m, o);
	else
		read_stream(m, o);
}

static void expect_model(struct model *m)
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (m->all[i].id != PS_ID_NONE)
			read_view(m, &m->all[i]);
	}
}

/* All that may leave has left when no more than the budget is there; the background gets there by itself. */
static void wait_for_room(struct model *m)
{
	while (figures_of(&m->b).local_bytes > m->b.options.local_bytes + ROUGHLY && !m->b.failed)
		sem_await(&m->b.told);
	assert_int_equal(m->b.failed, PS_OK);
}

/* Every call of the contract, in a store of which a tenth has room in its file. */
static void a_store_ten_times_its_room_works(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	(void)state;
	backed_new(&m->b, test_seed(8), 300000);
	for (unsigned i = 0; i < steps; i++) {
		step(m);
		if (i % 100 == 99)
			wait_for_room(m);
	}
	expect_model(m);
	wait_for_room(m);
	print_message("%llu bytes at most, %llu in %llu evictions, %llu fetches\n",
	              (unsigned long long)m->most, (unsigned long long)m->b.freed,
	              (unsigned long long)m->b.evictions, (unsigned long long)figures_of(&m->b).fetches);
	assert_true(m->most > 10 * m->b.options.local_bytes);
	backed_reopen(&m->b);
	expect_model(m);
	assert_ok(ps_check(m->b.w.s, PS_CHECK_FULL, NULL, NULL));
	(void)push_now(&m->b.w);
	struct picture p;
	picture_take(&p, m->b.w.s);
	expect_clone(&m->b.w, m->b.w.b->r, 0, &p);
	picture_free(&p);
	for (unsigned i = 0; i < OBJECTS; i++)
		free(m->all[i].bytes);
	backed_free(&m->b);
	free(m);
}

/* Pushed, or shipped as a log; then there is nothing but the network, and the store goes on from what it
 * says. */
static void lose_file(struct model *m)
{
	struct backed *b = &m->b;
	if (roll_below(&b->w.dice, 2))
		(void)push_now(&b->w);
	else
		assert_ok(ps_remote_wait(b->w.s, 120000));
	assert_ok(ps_close(b->w.s));
	assert_int_equal(unlink(b->w.path), 0);
	b->w.s = backed_open(b, b->w.path, PS_OPEN_DEFAULT);
}

static void a_store_that_is_lost_again_and_again_goes_on(void **state)
{
	enum { LOSING_STEPS = 300 }; /* with each loss there is one run more to look into */
	struct model *m = calloc(1, sizeof(*m));
	(void)state;
	backed_new(&m->b, test_seed(34), 300000);
	m->b.options.take_over = 1;
	(void)push_now(&m->b.w);
	for (unsigned i = 0; i < MIN(steps, (unsigned)LOSING_STEPS); i++) {
		step(m);
		if (i % 25 == 12)
			lose_file(m);
		if (i % 90 == 89)
			backed_reopen(&m->b);
		if (i % 150 == 120)
			expect_model(m);
	}
	expect_model(m);
	assert_ok(ps_check(m->b.w.s, PS_CHECK_FULL, NULL, NULL));
	for (unsigned i = 0; i < OBJECTS; i++)
		free(m->all[i].bytes);
	backed_free(&m->b);
	free(m);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_has_left_comes_back),
	    cmocka_unit_test(nothing_leaves_that_was_not_pushed),
	    cmocka_unit_test(without_the_network_only_what_is_away_is_missing),
	    cmocka_unit_test(a_push_sends_again_what_has_left),
	    cmocka_unit_test(a_push_of_a_store_without_a_network_reads_what_has_left),
	    cmocka_unit_test(nothing_leaves_from_an_older_file),
	    cmocka_unit_test(no_lie_makes_other_contents),
	    cmocka_unit_test(damage_here_heals_and_damage_there_does_not_spread),
	    cmocka_unit_test(a_store_ten_times_its_room_works),
	    cmocka_unit_test(a_store_that_is_lost_again_and_again_goes_on),
	};
	if (argc > 1)
		scheme = argv[1];
	if (argc > 2)
		steps = (unsigned)atoi(argv[2]);
	return cmocka_run_group_tests_name("stores of which a part is away", tests, NULL, NULL);
}
