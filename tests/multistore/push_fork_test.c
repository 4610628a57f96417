/* One line of states: whoever pushes from what is not the newest state is refused, and what was there stays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"

static void copy_file(const char *from, const char *to)
{
	char buf[65536];
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	size_t n;
	assert_true(in && out);
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		assert_int_equal(fwrite(buf, 1, n, out), n);
	assert_int_equal(fclose(in), 0);
	assert_int_equal(fclose(out), 0);
}

static void no_copies(struct blobs *b)
{
	assert_int_equal(count_keys(b, "store"), 1);
}

static void an_older_file_of_the_store_does_not_push(void **state)
{
	struct world w;
	struct picture p;
	char old[300];
	(void)state;
	world_new(&w, "mem", 1);
	change_some(&w, 50);
	(void)push_now(&w);
	assert_ok(ps_close(w.s));
	snprintf(old, sizeof(old), "%s-old", w.path);
	copy_file(w.path, old);
	w.s = open_stack(&w, w.path, PS_OPEN_EXISTING);
	change_some(&w, 5);
	(void)push_now(&w);
	picture_take(&p, w.s);
	ps_storer *s = open_stack(&w, old, PS_OPEN_EXISTING);
	ps_id id;
	assert_error(ps_push(s, w.b->r, NULL, NULL), PS_EFORK); /* also if nothing was changed */
	for (unsigned i = 0; i < 20; i++) {
		assert_ok(ps_put(s, "older", 5, &id));
		assert_error(ps_push(s, w.b->r, NULL, NULL), PS_EFORK);
	}
	assert_non_null(strstr(ps_last_error_message(), "clone"));
	assert_ok(ps_close(s));
	expect_clone(&w, w.b->r, 0, &p);
	(void)expect_packs(w.b);
	picture_free(&p);
	world_free(&w);
}

static void another_store_does_not_push(void **state)
{
	struct world w;
	char other[300];
	(void)state;
	world_new(&w, "mem", 2);
	change_some(&w, 20);
	(void)push_now(&w);
	snprintf(other, sizeof(other), "%s-other", w.path);
	ps_storer *s = open_stack(&w, other, PS_OPEN_CREATE_NEW);
	assert_error(ps_push(s, w.b->r, NULL, NULL), PS_EFORK);
	assert_ok(ps_close(s));
	(void)expect_packs(w.b);
	world_free(&w);
}

static int back_up(void *arg, const struct ps_progress *progress)
{
	struct world *w = arg;
	char copy[300];
	snprintf(copy, sizeof(copy), "%s-copy", w->path);
	(void)progress;
	assert_ok(ps_backup(w->s, copy, NULL, NULL));
	struct picture p;
	picture_take(&p, w->s);
	ps_storer *s = open_stack(w, copy, PS_OPEN_EXISTING);
	expect_picture(&p, s, "a backup");
	picture_free(&p);
	assert_ok(ps_close(s));
	assert_int_equal(unlink(copy), 0);
	w->clones++;
	return 0;
}

static void a_backup_does_not_mix_with_the_cut_of_a_push(void **state)
{
	struct world w;
	(void)state;
	world_new(&w, "mem", 3);
	change_some(&w, 20);
	w.options.progress = back_up;
	w.options.progress_arg = &w;
	(void)push_now(&w);
	assert_true(w.clones >= 20);
	w.options.progress = NULL;
	struct picture p;
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	world_free(&w);
}

/* ---- two machines ---- */

struct two {
	struct world w; /* the first machine, and its store */
	struct blobs *b;
	ps_storer *s; /* the second one's store, a clone */
	char path[256];
	bool pushed;
};

static void two_new(struct two *t, uint64_t seed)
{
	*t = (struct two){.pushed = false};
	world_new(&t->w, "mem", seed);
	change_some(&t->w, 60);
	(void)push_now(&t->w);
	(void)sync_machine(t->w.b);
	t->b = machine_open(t->w.b);
	t->s = clone_open(&t->w, t->b->r, 0, t->path);
}

static void two_free(struct two *t)
{
	assert_ok(ps_close(t->s));
	machine_free(t->b);
	world_free(&t->w);
}

/* Both indexes, and the network, have the one state and nothing else. */
static void expect_only(struct two *t, const struct picture *p)
{
	struct blobs *both[] = {t->w.b, t->b};
	sync_all_machines(both, 2);
	for (unsigned i = 0; i < 2; i++) {
		no_copies(both[i]);
		expect_clone(&t->w, both[i]->r, 0, p);
	}
	check_machines(both, 2);
}

static void the_second_machine_to_push_is_told(void **state)
{
	struct two t;
	struct picture p;
	(void)state;
	two_new(&t, 4);
	change_some(&t.w, 10);
	(void)push_now(&t.w);
	picture_take(&p, t.w.s);
	ps_id id;
	uint8_t *bytes = blobs_bytes(2 << 20, 1);
	assert_ok(ps_put(t.s, bytes, 2 << 20, &id));
	test_free(bytes);
	struct ps_remote_stats before, after;
	blobs_stats(t.b, &before);
	assert_error(ps_push(t.s, t.b->r, NULL, NULL), PS_EHELD);
	blobs_stats(t.b, &after);
	assert_int_equal(after.sent_bytes, before.sent_bytes); /* nothing large is sent in vain */
	expect_only(&t, &p);
	change_some(&t.w, 4);
	(void)push_now(&t.w);
	(void)expect_packs(t.w.b);
	picture_free(&p);
	two_free(&t);
}

static void the_second_machine_to_push_a_little_is_told(void **state)
{
	struct two t;
	struct picture p;
	ps_id id;
	(void)state;
	two_new(&t, 7);
	change_some(&t.w, 3);
	(void)push_now(&t.w);
	picture_take(&p, t.w.s);
	assert_ok(ps_put(t.s, "second", 6, &id));
	assert_error(ps_push(t.s, t.b->r, NULL, NULL), PS_EHELD);
	expect_only(&t, &p);
	(void)expect_packs(t.b);
	change_some(&t.w, 3);
	(void)push_now(&t.w);
	(void)expect_packs(t.w.b);
	picture_free(&p);
	two_free(&t);
}

/* The second one takes over while the first one's push is under way, behind its look at the head. */
static int take_over_meanwhile(void *arg, const struct ps_progress *progress)
{
	struct two *t = arg;
	if (!t->pushed && progress->done > 0) {
		t->pushed = true;
		assert_ok(ps_take_over(t->s, t->b->r, NULL, NULL));
	}
	return 0;
}

static void who_is_second_by_a_moment_gives_way(void **state)
{
	(void)state;
	for (uint64_t seed = 10; seed < 16; seed++) {
		struct two t;
		struct picture p;
		ps_id id;
		two_new(&t, seed);
		for (unsigned i = 0; i < 5; i++)
			assert_ok(ps_put(t.w.s, "second", 6, &id));
		for (unsigned i = 0; seed % 2 && i < 3;
		     i++) { /* so that each name wins the merge in its turn */
			blobs_put(t.w.b, "other", 10 + i, i);
			(void)sync_machine(t.w.b);
			assert_ok(ps_remote_remove(t.w.b->r, "other"));
		}
		const struct ps_push_options options = {
		    .size = sizeof(options), .progress = take_over_meanwhile, .progress_arg = &t};
		assert_error(ps_push(t.w.s, t.w.b->r, &options, NULL), PS_EFENCED);
		assert_true(t.pushed);
		picture_take(&p, t.s);
		expect_only(&t, &p);
		assert_error(ps_push(t.w.s, t.w.b->r, NULL, NULL), PS_EFENCED);
		assert_ok(ps_put(t.s, "more", 4, &id));
		assert_ok(ps_push(t.s, t.b->r, NULL, NULL));
		(void)expect_packs(t.b);
		picture_free(&p);
		two_free(&t);
	}
}

static int push_again(void *arg, const struct ps_progress *progress)
{
	struct world *w = arg;
	(void)progress;
	assert_error(ps_push(w->s, w->b->r, NULL, NULL), PS_EBUSY);
	return 0;
}

static void a_second_push_of_a_store_is_busy(void **state)
{
	struct world w;
	(void)state;
	world_new(&w, "mem", 5);
	change_some(&w, 5);
	w.options.progress = push_again;
	w.options.progress_arg = &w;
	(void)push_now(&w);
	world_free(&w);
}

/* Another store name under the same key is another network to it. */
static void a_fork_can_be_pushed_elsewhere(void **state)
{
	struct two t;
	struct picture p;
	ps_id id;
	(void)state;
	two_new(&t, 6);
	struct blobs *other = blobs_new("mem");
	assert_ok(ps_put(t.s, "second", 6, &id));
	assert_ok(ps_push(t.s, other->r, NULL, NULL));
	picture_take(&p, t.s);
	expect_clone(&t.w, other->r, 0, &p);
	assert_ok(ps_put(t.s, "more", 4, &id));
	assert_error(ps_push(t.s, t.b->r, NULL, NULL), PS_EFORK); /* one store has one network */
	picture_free(&p);
	blobs_free(other);
	two_free(&t);
}

/* A world whose store has pushed all it had, some of it twice, and let it leave its file. */
static void evicted_new(struct world *w, uint64_t seed, struct picture *p)
{
	world_new(w, "mem", seed);
	change_some(w, 20);
	(void)push_now(w);
	change_some(w, 10);
	(void)push_now(w);
	assert_ok(ps_close(w->s));
	w->s = open_attached(w->b, w->path, PS_OPEN_EXISTING);
	picture_take(p, w->s);
	assert_ok(ps_evict(w->s, 0, NULL, NULL, NULL));
}

static void what_is_away_is_fetched_to_be_pushed_elsewhere(void **state)
{
	struct world w;
	struct picture p;
	(void)state;
	evicted_new(&w, 7, &p);
	struct blobs *other = blobs_new("mem");
	assert_ok(ps_push(w.s, other->r, NULL, NULL));
	expect_clone(&w, other->r, 0, &p);
	picture_free(&p);
	blobs_free(other);
	world_free(&w);
}

/* Where nobody says from where: neither network nor file has anything of that push, and the next one goes
 * where the last one went. */
static void what_is_away_cannot_be_pushed_elsewhere_without_its_network(void **state)
{
	struct world w;
	struct picture p;
	ps_id id;
	(void)state;
	evicted_new(&w, 8, &p);
	picture_free(&p);
	assert_ok(ps_close(w.s));
	w.s = open_stack(&w, w.path, PS_OPEN_EXISTING);
	assert_ok(ps_put(w.s, "here", 4, &id));
	struct blobs *other = blobs_new("mem");
	size_t pads = blobs_listed(other);
	assert_error(ps_push(w.s, other->r, NULL, NULL), PS_EUNAVAILABLE);
	assert_int_equal(blobs_listed(other), pads);
	(void)push_now(&w);
	assert_ok(ps_close(w.s));
	w.s = open_attached(w.b, w.path, PS_OPEN_EXISTING);
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	blobs_free(other);
	world_free(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_older_file_of_the_store_does_not_push),
	    cmocka_unit_test(another_store_does_not_push),
	    cmocka_unit_test(a_backup_does_not_mix_with_the_cut_of_a_push),
	    cmocka_unit_test(the_second_machine_to_push_is_told),
	    cmocka_unit_test(the_second_machine_to_push_a_little_is_told),
	    cmocka_unit_test(who_is_second_by_a_moment_gives_way),
	    cmocka_unit_test(a_second_push_of_a_store_is_busy),
	    cmocka_unit_test(a_fork_can_be_pushed_elsewhere),
	    cmocka_unit_test(what_is_away_is_fetched_to_be_pushed_elsewhere),
	    cmocka_unit_test(what_is_away_cannot_be_pushed_elsewhere_without_its_network),
	};
	return cmocka_run_group_tests_name("forks of pushes", tests, NULL, NULL);
}
