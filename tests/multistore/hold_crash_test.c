/* A takeover that dies at any write of its file, or of the index of its remote: one of the two holds the
 * store, the takeover can be made again, and nobody loses what was committed. usage: hold_crash_test
 * [STRIDE]: only every so-manieth write */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "multistore/log.h"
#include "store/base_internal.h"
#include "tests/multistore/push_fixture.h"
#include "tests/support/sim_disk.h"

static uint64_t stride = 1;

enum disk { STORE, INDEX, DISKS };

/* The machine that takes over: all that it keeps is on disks that fail. */
struct taker {
	struct world *w; /* whose holder is the other one */
	struct blobs *b;
	struct sim_disk *disk[DISKS];
	uint8_t *image[DISKS]; /* since the last crash */
	ps_storer *s;
};

static int open_disk(struct sim_disk *disk, bool make, ps_storer **s)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .durability = PS_DURABLE,
	                                        .background = PS_BACKGROUND_NONE,
	                                        .memory_budget = 16 << 20};
	return ps_base_open_io(sim_disk_io(disk), make && sim_disk_size(disk) == 0, &options, s);
}

static int open_index(void *arg, bool make, ps_storer **s)
{
	struct taker *t = arg;
	return open_disk(t->disk[INDEX], make, s);
}

static void open_store(struct taker *t)
{
	ps_storer *base;
	assert_ok(open_disk(t->disk[STORE], false, &base));
	assert_ok(ps_multi_open(base, NULL, &t->s));
}

/* A file's bytes, as the disk that the store lies on. */
static void load(struct taker *t, const char *path)
{
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	size_t len = (size_t)ftell(file);
	rewind(file);
	t->image[STORE] = malloc(len);
	assert_non_null(t->image[STORE]);
	assert_int_equal(fread(t->image[STORE], 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	sim_disk_reset(t->disk[STORE], t->image[STORE], len);
}

/* A clone of the newest state, with its log. */
static void taker_new(struct taker *t, struct world *w)
{
	const struct ps_clone_options options = {.size = sizeof(options)};
	char path[300];
	*t = (struct taker){.w = w, .b = machine_new(w->b)};
	for (unsigned i = 0; i < DISKS; i++) {
		t->disk[i] = sim_disk_new(NULL, 0);
		sim_disk_set_tracing(t->disk[i], false);
	}
	t->b->seams.open_store = open_index;
	t->b->seams.store_arg = t;
	assert_ok(blobs_start(t->b, false));
	snprintf(path, sizeof(path), "%s/clone", t->b->folder);
	assert_ok(ps_clone(t->b->r, path, &options, NULL));
	load(t, path);
	assert_int_equal(unlink(path), 0);
	open_store(t);
}

static void taker_free(struct taker *t)
{
	assert_ok(ps_close(t->s));
	machine_free(t->b);
	for (unsigned i = 0; i < DISKS; i++) {
		sim_disk_free(t->disk[i]);
		free(t->image[i]);
	}
}

/* What was written is there, and the process begins anew. */
static void crash(struct taker *t)
{
	uint8_t *now[DISKS];
	uint64_t size[DISKS];
	for (unsigned i = 0; i < DISKS; i++) {
		size[i] = sim_disk_size(t->disk[i]);
		now[i] = malloc(size[i] + 1);
		assert_non_null(now[i]);
		sim_disk_image(t->disk[i], now[i]);
	}
	(void)!ps_close(t->s);
	(void)!ps_remote_close(t->b->r); /* its index may be on the disk that failed */
	for (unsigned i = 0; i < DISKS; i++) {
		sim_disk_reset(t->disk[i], now[i], size[i]);
		free(t->image[i]);
		t->image[i] = now[i];
	}
	assert_ok(blobs_start(t->b, false));
	open_store(t);
}

/* ---- who holds it ---- */

static int push_changes(ps_storer *s, struct blobs *b)
{
	ps_id id;
	assert_ok(ps_put(s, "a change", 8, &id));
	return ps_push(s, b->r, NULL, NULL);
}

static void expect_newest(struct world *w, ps_storer *s)
{
	struct picture p;
	picture_take(&p, s);
	expect_clone(w, w->b->r, 0, &p);
	picture_free(&p);
}

static void expect_taken(struct taker *t)
{
	struct picture whole;
	assert_ok(ps_take_over(t->s, t->b->r, NULL, NULL));
	assert_ok(push_changes(t->s, t->b));
	picture_take(&whole, t->w->s);
	assert_error(ps_push(t->w->s, t->w->b->r, NULL, NULL), PS_EFENCED);
	expect_picture(&whole, t->w->s, "the file that was fenced");
	picture_free(&whole);
	(void)sync_machine(t->w->b);
	expect_newest(t->w, t->s);
}

/* The holder goes on first: either it still is, or it is told. */
static void expect_either(struct taker *t, int taken)
{
	int err = push_changes(t->w->s, t->w->b);
	if (err == PS_EFENCED) {
		expect_taken(t);
		return;
	}
	assert_ok(err);
	assert_int_not_equal(taken, PS_OK);
	err = push_changes(t->s, t->b);
	assert_true(err == PS_EHELD || err == PS_EFENCED || err == PS_EFORK);
	expect_newest(t->w, t->w->s);
}

/* Nobody takes over again: the one that died goes on as if it had, and is right, or is told who holds the
 * store. */
static void expect_one_that_pushes(struct taker *t, int taken)
{
	int err = push_changes(t->s, t->b);
	if (err == PS_OK) {
		assert_error(push_changes(t->w->s, t->w->b), PS_EFENCED);
		expect_newest(t->w, t->s);
		return;
	}
	assert_error(err, PS_EHELD);
	assert_int_not_equal(taken, PS_OK);
	assert_ok(push_changes(t->w->s, t->w->b));
	expect_newest(t->w, t->w->s);
}

/* ---- at every write ---- */

enum then { TAKES_AGAIN, HOLDER_PUSHES, TAKER_PUSHES };

static bool die_at(enum disk which, uint64_t write, enum then then)
{
	struct world w;
	struct taker t;
	struct ps_log *log;
	world_new(&w, "mem", 2);
	const struct ps_log_setup setup = {
	    .s = w.s, .r = w.b->r, .clock = &ps_system_clock, .group_bytes = 1 << 20, .total_bytes = 1 << 24};
	assert_ok(ps_log_new(&setup, &log));
	ps_log_enter(log);
	change_some(&w, 10);
	(void)push_now(&w);
	change_some(&w, 3);
	assert_ok(ps_log_ship(log, NULL, NULL));
	taker_new(&t, &w);
	sim_disk_fail(t.disk[which], write, EIO, true);
	int err = ps_take_over(t.s, t.b->r, NULL, NULL);
	bool hit = sim_disk_faults(t.disk[which]) > 0;
	assert_true(hit || err == PS_OK);
	crash(&t);
	if (then == TAKES_AGAIN)
		expect_taken(&t);
	else if (then == HOLDER_PUSHES)
		expect_either(&t, err);
	else
		expect_one_that_pushes(&t, err);
	taker_free(&t);
	ps_log_free(log);
	world_free(&w);
	return hit;
}

static void die_at_every_write(enum then then)
{
	unsigned states = 0;
	for (enum disk which = STORE; which < DISKS; which++)
		for (uint64_t write = 1; die_at(which, write, then); write += stride)
			states++;
	print_message("%u crashes at writes\n", states);
	assert_true(states > 8 / stride);
}

static void a_takeover_that_died_can_be_made_again(void **state)
{
	(void)state;
	die_at_every_write(TAKES_AGAIN);
}

static void a_takeover_that_died_leaves_one_holder(void **state)
{
	(void)state;
	die_at_every_write(HOLDER_PUSHES);
}

static void a_takeover_that_died_is_gone_on_with_by_a_push(void **state)
{
	(void)state;
	die_at_every_write(TAKER_PUSHES);
}

/* ---- what the other one has ---- */

/* Commits that nobody else has heard of go to a network of their own. */
static void who_was_fenced_brings_all_it_has_elsewhere(void **state)
{
	struct world w;
	struct taker t;
	struct picture mine;
	(void)state;
	world_new(&w, "mem", 4);
	change_some(&w, 20);
	(void)push_now(&w);
	taker_new(&t, &w);
	change_some(&w, 10);
	picture_take(&mine, w.s);
	expect_taken(&t);
	struct blobs *elsewhere = blobs_new("mem");
	assert_ok(ps_push(w.s, elsewhere->r, NULL, NULL));
	expect_clone(&w, elsewhere->r, 0, &mine);
	assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	picture_free(&mine);
	blobs_free(elsewhere);
	taker_free(&t);
	world_free(&w);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_takeover_that_died_can_be_made_again),
	    cmocka_unit_test(a_takeover_that_died_leaves_one_holder),
	    cmocka_unit_test(a_takeover_that_died_is_gone_on_with_by_a_push),
	    cmocka_unit_test(who_was_fenced_brings_all_it_has_elsewhere),
	};
	if (argc > 1)
		stride = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("crashes of takeovers", tests, NULL, NULL);
}
