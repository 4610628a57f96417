/* Cuts of a store that stands still meanwhile: what they give, over reopening, crashes and compaction; what
 * they cost; and what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include <padstone/memory_store.h>
#include <padstone/stack.h>

#include "store/base_internal.h"
#include "tests/store/cut_world.h"
#include "tests/support/disk_store.h"

#define OK(call) assert_int_equal((call), PS_OK)

struct fixture {
	struct sim_disk *disk;
	uint8_t *image;
	uint64_t pin_limit;
	ps_storer *s;
};

static void open_disk(struct fixture *f)
{
	const struct ps_base_options options = {.durability = PS_RELAXED, .pin_limit = f->pin_limit};
	OK(disk_store_open(f->disk, &options, &f->s));
}

static void reopen(struct fixture *f)
{
	OK(ps_close(f->s));
	open_disk(f);
}

static void crash(struct fixture *f)
{
	uint8_t *image = disk_store_crash(f->disk, f->s);
	free(f->image);
	f->image = image;
	open_disk(f);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(f->disk, false);
	open_disk(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	(void)!ps_close(f->s);
	sim_disk_free(f->disk);
	free(f->image);
	free(f);
	return 0;
}

static uint64_t draw(uint64_t *random, uint64_t below)
{
	*random = *random * 6364136223846793005U + 1442695040888963407U;
	return (*random >> 33) % below;
}

/* ---- what a cut gives ---- */

static void disturb(struct fixture *f, uint64_t what)
{
	switch (what) {
	case 0:
		reopen(f);
		break;
	case 1:
		OK(ps_sync(f->s));
		crash(f);
		break;
	case 2:
		OK(ps_compact(f->s, 0, NULL, NULL));
		break;
	case 3:
		OK(checkpoint_run(store_of(f->s)));
		break;
	default:
		break;
	}
}

static void a_cut_gives_what_was_changed_since_and_nothing_else(void **state)
{
	enum { CUTS = 40 };
	struct fixture *f = *state;
	struct world w;
	struct taken *taken[CUTS];
	uint64_t random = 5;
	world_init(&w, f->s, 1, 1);
	for (unsigned i = 0; i < CUTS; i++) {
		for (uint64_t steps = draw(&random, 60); steps; steps--) {
			actor_step(&w.actor[0]);
			if (draw(&random, 20) == 0)
				disturb(f, draw(&random, 8));
			w.s = f->s;
		}
		const struct taken *since =
		    i && draw(&random, 5) ? taken[i - 1 - draw(&random, MIN(i, 4U))] : NULL;
		taken[i] = world_take(&w, since);
		world_compare(&w, taken[i]);
	}
	OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
	for (unsigned i = 0; i < CUTS; i++)
		taken_free(taken[i]);
	world_done(&w);
}

static const uint8_t text[100000] = "text";

static ps_id put(ps_storer *s, size_t size)
{
	ps_id id;
	OK(ps_put(s, text, size, &id));
	return id;
}

static struct taken *take(struct fixture *f, const struct taken *since)
{
	struct world w;
	world_init(&w, f->s, 0, 0);
	return world_take(&w, since);
}

static void each_kind_is_given_as_it_reads(void **state)
{
	struct fixture *f = *state;
	ps_id run[2], sparse, zeros, prime;
	ps_id empty = put(f->s, 0), small = put(f->s, 1), full = put(f->s, PS_CUT_PIECE),
	      large = put(f->s, PS_CUT_PIECE + 1);
	OK(ps_alloc(f->s, 20 << 20, &sparse));
	OK(ps_write_at(f->s, sparse, (17 << 20) + 5, text, 10));
	OK(ps_alloc(f->s, 1 << 30, &zeros));
	OK(ps_resize(f->s, zeros, 0));
	OK(ps_alloc(f->s, 3, &zeros));
	OK(ps_alloc_run(f->s, 600, 2, run));
	OK(ps_write_at(f->s, run[1], 599, text, 1));
	OK(ps_prime(f->s, 7, &prime));
	struct taken *t = take(f, NULL);
	const struct {
		ps_id id;
		enum ps_cut_kind kind;
		uint64_t size;
	} want[] = {{prime, PS_CUT_ZERO, 7},
	            {empty, PS_CUT_ZERO, 0},
	            {small, PS_CUT_BYTES, 1},
	            {full, PS_CUT_BYTES, PS_CUT_PIECE},
	            {large, PS_CUT_CHUNKS, PS_CUT_PIECE + 1},
	            {sparse, PS_CUT_CHUNKS, 20 << 20},
	            {zeros, PS_CUT_ZERO, 3},
	            {run[0], PS_CUT_ZERO, 600},
	            {run[1], PS_CUT_BYTES, 600}};
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		const struct record *r = taken_find(t, want[i].id >> 24);
		assert_non_null(r);
		assert_int_equal(r->object.id, want[i].id);
		assert_int_equal(r->object.kind, want[i].kind);
		assert_int_equal(r->object.size, want[i].size);
		assert_int_equal(r->object.interval, 1);
	}
	assert_memory_equal(taken_find(t, sparse >> 24)->bytes + (17 << 20) + 5, text, 10);
	assert_int_equal(t->info.objects, 10);
	taken_free(t);
}

/* Nothing comes of a cut that found nothing changed, and not much is looked at. */
static void what_was_not_changed_is_not_read(void **state)
{
	enum { OBJECTS = 60000 };
	struct fixture *f = *state;
	static ps_id ids[OBJECTS];
	struct ps_io_stats before = {0}, after = {0};
	for (int i = 0; i < OBJECTS;) {
		ps_batch *b;
		OK(ps_batch_begin(f->s, &b));
		for (int end = i + 500; i < end; i++)
			OK(ps_batch_put(b, &i, sizeof(i), &ids[i]));
		OK(ps_batch_commit(b, PS_RELAXED));
	}
	struct taken *first = take(f, NULL);
	assert_int_equal(first->count, OBJECTS);
	OK(checkpoint_run(store_of(f->s)));
	struct taken *second = take(f, first);
	reopen(f);
	OK(ps_replace(f->s, ids[33333], text, 5));
	struct ps_io *io = store_of(f->s)->io;
	io->ops->stats(io, &before);
	struct taken *third = take(f, second);
	io->ops->stats(io, &after);
	assert_int_equal(second->count, 0);
	assert_int_equal(third->count, 1);
	assert_int_equal(third->records[0].object.id, ids[33333]);
	assert_in_range(after.reads - before.reads, 0, 8);
	/* A checkpoint may have written the pages above a leaf while it became dirty: they are clean, and it
	 * is not. */
	struct table_node *group = table_group(&store_of(f->s)->table, id_slot(ids[33333]) / GROUP_SLOTS);
	OK(checkpoint_run(store_of(f->s)));
	OK(ps_replace(f->s, ids[33333], text, 6));
	group->dirty = false;
	struct taken *fourth = take(f, third);
	OK(ps_replace(f->s, ids[33333], text, 7));
	struct taken *fifth = take(f, fourth);
	assert_int_equal(fourth->count, 1);
	assert_int_equal(fifth->count, 1);
	taken_free(first);
	taken_free(second);
	taken_free(third);
	taken_free(fourth);
	taken_free(fifth);
}

/* Leaves whose objects are gone stay as long as a later cut has to say so. */
static void compaction_forgets_no_end_of_an_id(void **state)
{
	enum { OBJECTS = 3 * FANOUT };
	struct fixture *f = *state;
	ps_id ids[OBJECTS];
	for (int i = 0; i < OBJECTS; i++)
		ids[i] = put(f->s, 50);
	struct taken *first = take(f, NULL);
	for (int i = 0; i < OBJECTS; i++)
		OK(ps_delete(f->s, ids[i]));
	OK(ps_compact(f->s, 0, NULL, NULL));
	reopen(f);
	OK(ps_compact(f->s, 0, NULL, NULL));
	struct taken *second = take(f, first), *all = take(f, NULL);
	assert_int_equal(second->count, OBJECTS);
	assert_int_equal(all->count, OBJECTS);
	for (int i = 0; i < OBJECTS; i++) {
		assert_int_equal(second->records[i].object.kind, PS_CUT_GONE);
		assert_int_equal(second->records[i].object.id, ids[i]);
		assert_int_equal(second->records[i].object.interval, 2);
	}
	taken_free(first);
	taken_free(second);
	taken_free(all);
}

/* ---- skipping, and looking ahead ---- */

static void skipping_goes_on_behind_the_id(void **state)
{
	enum { OBJECTS = 1000 };
	struct fixture *f = *state;
	ps_id ids[OBJECTS];
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct ps_cut_object object;
	const struct ps_cut_from everything = {0};
	for (int i = 0; i < OBJECTS; i++)
		ids[i] = put(f->s, 50);
	OK(ps_cut_begin(f->s, &everything, &cut, &info));
	OK(ps_cut_next(cut, &object));
	assert_int_equal(object.id, ids[0]);
	ps_cut_skip(cut, ids[4]);
	OK(ps_cut_next(cut, &object));
	assert_int_equal(object.id, ids[5]);
	ps_cut_skip(cut, ids[2]);
	ps_cut_skip(cut, ids[700]);
	/* What is passed over need not be kept; what is to come is. */
	OK(ps_replace(f->s, ids[650], text, 5));
	OK(ps_delete(f->s, ids[701]));
	OK(ps_cut_next(cut, &object));
	assert_int_equal(object.id, ids[701]);
	assert_int_equal(object.kind, PS_CUT_BYTES);
	ps_cut_skip(cut, ids[OBJECTS - 1]);
	assert_int_equal(ps_cut_next(cut, &object), PS_ENOTFOUND);
	ps_cut_end(cut);
}

static void unchanged_is_said_of_ranges(void **state)
{
	enum { OBJECTS = 1000 };
	struct fixture *f = *state;
	ps_id ids[OBJECTS];
	struct ps_cut *cut;
	struct ps_cut_info info;
	bool same = false;
	for (int i = 0; i < OBJECTS; i++)
		ids[i] = put(f->s, 50);
	struct taken *first = take(f, NULL);
	OK(ps_replace(f->s, ids[500], text, 60));
	struct taken *second = take(f, first);
	OK(checkpoint_run(store_of(f->s)));
	reopen(f);
	OK(ps_delete(f->s, ids[900]));
	OK(ps_cut_begin(f->s, &first->info.here, &cut, &info));
	OK(ps_cut_unchanged(cut, ids[0], ids[499], 1, &same));
	assert_true(same);
	OK(ps_cut_unchanged(cut, ids[0], ids[500], 1, &same));
	assert_false(same);
	OK(ps_cut_unchanged(cut, ids[0], ids[500], second->info.here.interval, &same));
	assert_true(same);
	OK(ps_cut_unchanged(cut, ids[501], ids[OBJECTS - 1], 2, &same));
	assert_false(same);
	OK(ps_cut_unchanged(cut, ids[501], ids[OBJECTS - 1], 3, &same));
	assert_true(same);
	OK(ps_cut_unchanged(cut, ids[0], ids[0], 0, &same));
	assert_false(same);
	/* A change after the cut may show. */
	OK(ps_replace(f->s, ids[7], text, 60));
	OK(ps_cut_unchanged(cut, ids[0], ids[10], 3, &same));
	assert_false(same);
	ps_cut_end(cut);
	taken_free(first);
	taken_free(second);
}

/* ---- refusals ---- */

static void a_third_cut_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ps_cut *cut, *second, *other;
	struct ps_cut_info info;
	const struct ps_cut_from everything = {0};
	uint64_t interval;
	ps_id id = put(f->s, 50);
	OK(ps_cut_begin(f->s, &everything, &cut, &info));
	OK(ps_cut_begin(f->s, &everything, &second, &info));
	assert_int_equal(ps_cut_begin(f->s, &everything, &other, &info), PS_EBUSY);
	assert_int_equal(ps_backup(f->s, "cut_test.backup", NULL, NULL), PS_EBUSY);
	assert_int_equal(ps_close(f->s), PS_EBUSY);
	ps_cut_end(cut);
	OK(ps_cut_begin(f->s, &info.here, &cut, &info));
	/* Those that were refused ended no interval. */
	assert_int_equal(info.here.interval, 3);
	OK(ps_cut_interval(f->s, &interval));
	assert_int_equal(interval, 4);
	ps_cut_end(cut);
	ps_cut_end(second);
	OK(ps_delete(f->s, id));
}

/* One that lasts, and behind it shorter ones since any of those before; either may end first. */
static void two_cuts_give_what_each_would_alone(void **state)
{
	enum { CUTS = 30 };
	struct fixture *f = *state;
	struct world w;
	struct taken *taken[CUTS];
	struct ps_cut *cut, *within;
	uint64_t random = 9;
	f->pin_limit = 1 << 30;
	reopen(f);
	world_init(&w, f->s, 1, 2);
	for (unsigned i = 0; i < CUTS; i += 2) {
		for (uint64_t steps = draw(&random, 40); steps; steps--)
			actor_step(&w.actor[0]);
		taken[i] = world_begin(&w, i && draw(&random, 3) ? taken[draw(&random, i)] : NULL, &cut);
		for (uint64_t steps = draw(&random, 40); steps; steps--)
			actor_step(&w.actor[0]);
		taken[i + 1] = world_begin(&w, draw(&random, 2) ? taken[i] : NULL, &within);
		for (uint64_t steps = draw(&random, 40); steps; steps--)
			actor_step(&w.actor[0]);
		bool first = draw(&random, 2);
		taken_read(taken[first ? i : i + 1], first ? cut : within);
		ps_cut_end(first ? cut : within);
		for (uint64_t steps = draw(&random, 20); steps; steps--)
			actor_step(&w.actor[0]);
		taken_read(taken[first ? i + 1 : i], first ? within : cut);
		ps_cut_end(first ? within : cut);
		world_compare(&w, taken[i]);
		world_compare(&w, taken[i + 1]);
		disturb(f, draw(&random, 6));
		w.s = f->s;
	}
	OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
	for (unsigned i = 0; i < CUTS; i++)
		taken_free(taken[i]);
	world_done(&w);
}

static void a_cut_is_of_the_past_of_this_store(void **state)
{
	struct fixture *f = *state;
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct taken *first = take(f, NULL);
	const struct ps_cut_from wrong[] = {{first->info.here.interval + 1, 0},
	                                    {1, first->info.here.checkpoint + 1},
	                                    {UINT64_MAX, 0},
	                                    {0, 1}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(ps_cut_begin(f->s, &wrong[i], &cut, &info), PS_EINVAL);
	assert_int_equal(ps_cut_begin(f->s, NULL, &cut, &info), PS_EINVAL);
	taken_free(first);
}

static void the_last_interval_is_never_begun(void **state)
{
	struct fixture *f = *state;
	struct ps_cut *cut;
	struct ps_cut_info info;
	const struct ps_cut_from everything = {0};
	put(f->s, 50);
	taken_free(take(f, NULL));
	atomic_store(&store_of(f->s)->interval, INTERVAL_OPEN - 2);
	OK(ps_cut_begin(f->s, &everything, &cut, &info));
	ps_cut_end(cut);
	assert_int_equal(ps_cut_begin(f->s, &everything, &cut, &info), PS_EFULL);
	put(f->s, 50);
}

static void what_cannot_be_cut_says_so(void **state)
{
	(void)state;
	ps_storer *s;
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct ps_restore *r;
	size_t len;
	const struct ps_cut_from everything = {0};
	OK(ps_memory_open(NULL, &s));
	assert_int_equal(ps_cut_begin(s, &everything, &cut, &info), PS_ENOTSUP);
	assert_int_equal(ps_restore_begin(s, &r), PS_ENOTSUP);
	assert_int_equal(ps_note_set(s, "x", 1), PS_ENOTSUP);
	assert_int_equal(ps_note_get(s, &info, 1, &len), PS_ENOTSUP);
	OK(ps_close(s));
}

static void a_store_that_is_open_read_only_is_not_cut(void **state)
{
	struct fixture *f = *state;
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct ps_restore *r;
	const struct ps_cut_from everything = {0};
	const struct ps_base_options options = {.mode = PS_OPEN_READONLY};
	put(f->s, 50);
	OK(ps_close(f->s));
	OK(disk_store_open(f->disk, &options, &f->s));
	assert_int_equal(ps_cut_begin(f->s, &everything, &cut, &info), PS_EREADONLY);
	assert_int_equal(ps_restore_begin(f->s, &r), PS_EREADONLY);
	reopen(f);
}

/* ---- damage ---- */

static void spoil(struct fixture *f, uint64_t place, uint64_t len)
{
	OK(ps_close(f->s));
	f->s = NULL;
	uint8_t *image = disk_store_crash(f->disk, NULL);
	memset(image + place, 0x5a, len);
	free(f->image);
	f->image = image;
	open_disk(f);
}

static int any_piece(void *arg, uint64_t offset, const void *data, size_t len)
{
	(void)arg, (void)offset, (void)data, (void)len;
	return PS_OK;
}

static void damage_is_said_and_never_passed_over_unasked(void **state)
{
	enum { OBJECTS = 5 * FANOUT };
	struct fixture *f = *state;
	static ps_id ids[OBJECTS];
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct ps_cut_object object;
	struct entry e;
	bool same;
	int err;
	unsigned given = 0;
	const struct ps_cut_from everything = {0};
	for (int i = 0; i < OBJECTS; i++)
		ids[i] = put(f->s, i == 40 ? 5000 : 50);
	OK(checkpoint_run(store_of(f->s)));
	OK(table_get(&store_of(f->s)->table, id_slot(ids[40]), &e));
	uint64_t leaf = table_group(&store_of(f->s)->table, 0)->child[2].place[0];
	spoil(f, entry_place(&e), 5000);
	spoil(f, leaf, PAGE);
	OK(ps_cut_begin(f->s, &everything, &cut, &info));
	while ((err = ps_cut_next(cut, &object)) == PS_OK) {
		assert_int_equal(object.id, ids[given++]);
		assert_int_equal(ps_cut_pieces(cut, any_piece, NULL),
		                 object.id == ids[40] ? PS_ECORRUPT : PS_OK);
	}
	assert_int_equal(err, PS_ECORRUPT);
	assert_int_equal(ps_cut_next(cut, &object), PS_ECORRUPT);
	assert_int_equal(ps_cut_unchanged(cut, ids[0], ids[OBJECTS - 1], 1, &same), PS_ECORRUPT);
	ps_cut_skip(cut, id_make(3 * FANOUT - 1, 1));
	given += FANOUT;
	while ((err = ps_cut_next(cut, &object)) == PS_OK)
		assert_int_equal(object.id, ids[given++]);
	assert_int_equal(err, PS_ENOTFOUND);
	assert_int_equal(given, OBJECTS);
	ps_cut_end(cut);
}

/* ---- space ---- */

static void a_cut_that_holds_too_much_ends_and_writers_go_on(void **state)
{
	enum { OBJECTS = 200 };
	struct fixture *f = *state;
	ps_id ids[OBJECTS];
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct ps_cut_object object;
	bool same;
	const struct ps_cut_from everything = {0};
	f->pin_limit = 1 << 20;
	reopen(f);
	for (int i = 0; i < OBJECTS; i++)
		ids[i] = put(f->s, 20000);
	OK(ps_cut_begin(f->s, &everything, &cut, &info));
	OK(ps_cut_next(cut, &object));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < OBJECTS; i++)
			OK(ps_replace(f->s, ids[i], text, 20000));
		OK(ps_sync(f->s));
	}
	assert_int_equal(ps_cut_next(cut, &object), PS_ENOSPC);
	assert_int_equal(ps_cut_unchanged(cut, ids[0], ids[1], 1, &same), PS_ENOSPC);
	assert_int_equal(ps_cut_next(cut, &object), PS_ENOSPC);
	ps_cut_end(cut);
	OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
	struct taken *all = take(f, NULL);
	assert_int_equal(all->count, OBJECTS);
	taken_free(all);
}

static void fill_of(uint8_t *bytes, size_t size, int object)
{
	memset(bytes, object + 1, size);
}

/* Objects from `first` on, as they were when fill_of() gave them their contents. */
struct given_bytes {
	int object;
	size_t size;
};

static int expect_bytes(void *arg, uint64_t offset, const void *data, size_t len)
{
	const struct given_bytes *g = arg;
	const uint8_t *is = data;
	assert_int_equal(offset, 0);
	assert_int_equal(len, g->size);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(is[i], (uint8_t)(g->object + 1));
	return PS_OK;
}

static void expect_given(struct ps_cut *cut, const ps_id *ids, int first, int end, size_t size)
{
	struct ps_cut_object object;
	for (int i = first; i < end; i++) {
		struct given_bytes g = {i, size};
		OK(ps_cut_next(cut, &object));
		assert_int_equal(object.id, ids[i]);
		OK(ps_cut_pieces(cut, expect_bytes, &g));
	}
}

static void put_filled(struct fixture *f, ps_id *ids, int count, size_t size)
{
	uint8_t bytes[20000];
	for (int i = 0; i < count; i++) {
		fill_of(bytes, size, i);
		OK(ps_put(f->s, bytes, size, &ids[i]));
	}
	OK(ps_sync(f->s));
}

static void replace_all(struct fixture *f, const ps_id *ids, int count, size_t size)
{
	for (int i = 0; i < count; i++)
		OK(ps_replace(f->s, ids[i], text, size));
	OK(ps_sync(f->s));
}

/* Contents that lie side by side come together, others lie between them; and a read of many that fails keeps
 * nothing of them back. */
static void neighbours_are_read_together(void **state)
{
	enum { OBJECTS = 4 * FANOUT, SIZE = PAGE, APART = 16 };
	struct fixture *f = *state;
	const struct ps_cut_from everything = {0};
	static ps_id ids[OBJECTS];
	uint8_t bytes[SIZE];
	struct ps_io_stats before = {0}, after = {0};
	struct ps_cut *cut;
	struct ps_cut_info info;
	struct ps_cut_object object;
	struct given_bytes first = {0, SIZE};
	put_filled(f, ids, OBJECTS, SIZE);
	for (int i = 0; i < OBJECTS; i += APART) {
		fill_of(bytes, SIZE, i);
		OK(ps_replace(f->s, ids[i], bytes, SIZE));
	}
	reopen(f);
	struct ps_io *io = store_of(f->s)->io;
	io->ops->stats(io, &before);
	OK(ps_cut_begin(f->s, &everything, &cut, &info));
	OK(ps_cut_next(cut, &object));
	uint64_t faults = sim_disk_faults(f->disk);
	sim_disk_fail(f->disk, 1, EIO, false);
	OK(ps_cut_pieces(cut, expect_bytes, &first));
	assert_int_equal(sim_disk_faults(f->disk), faults + 1);
	expect_given(cut, ids, 1, OBJECTS, SIZE);
	assert_int_equal(ps_cut_next(cut, &object), PS_ENOTFOUND);
	io->ops->stats(io, &after);
	assert_in_range(after.reads - before.reads, 1, OBJECTS / 4);
	ps_cut_end(cut);
}

/* Many times what it may hold, but only once of what it is of. */
static void what_is_replaced_again_and_again_is_held_once(void **state)
{
	enum { OBJECTS = 200, SIZE = 4000, ROUNDS = 20 };
	struct fixture *f = *state;
	ps_id ids[OBJECTS];
	struct ps_cut *cut;
	struct ps_cut_info info;
	const struct ps_cut_from everything = {0};
	f->pin_limit = 1 << 20;
	reopen(f);
	put_filled(f, ids, OBJECTS, SIZE);
	OK(ps_cut_begin(f->s, &everything, &cut, &info));
	for (int round = 0; round < ROUNDS; round++)
		replace_all(f, ids, OBJECTS, SIZE);
	expect_given(cut, ids, 0, OBJECTS, SIZE);
	ps_cut_end(cut);
	OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
}

/* More than it may hold, of leaves that it has given; of the one that it is giving it needs what is left. */
static void what_a_cut_has_given_it_does_not_hold(void **state)
{
	enum { OBJECTS = 3 * FANOUT, GIVEN = 2 * FANOUT + 10, SIZE = 20000 };
	struct fixture *f = *state;
	ps_id ids[OBJECTS];
	struct ps_cut *cut;
	struct ps_cut_info info;
	const struct ps_cut_from everything = {0};
	f->pin_limit = 3 << 20;
	reopen(f);
	put_filled(f, ids, OBJECTS, SIZE);
	OK(ps_cut_begin(f->s, &everything, &cut, &info));
	expect_given(cut, ids, 0, GIVEN, SIZE);
	for (int round = 0; round < 3; round++)
		replace_all(f, ids, OBJECTS, SIZE);
	expect_given(cut, ids, GIVEN, OBJECTS, SIZE);
	ps_cut_end(cut);
	OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
}

/* ---- the file ---- */

static void a_store_that_is_never_cut_stays_as_it_was(void **state)
{
	struct fixture *f = *state;
	ps_id ids[20];
	for (int i = 0; i < 20; i++)
		ids[i] = put(f->s, 50);
	OK(ps_delete(f->s, ids[3]));
	OK(ps_sync(f->s));
	crash(f);
	OK(ps_replace(f->s, ids[4], text, 70));
	OK(ps_compact(f->s, 0, NULL, NULL));
	OK(ps_close(f->s));
	f->s = NULL;
	uint8_t *image = disk_store_crash(f->disk, NULL);
	for (int i = 0; i < SUPERBLOCKS; i++) {
		struct disk_superblock sb;
		assert_true(superblock_decode(image + superblock_offset(i), &sb));
		assert_int_equal(ps_get64(sb.incompatible), 0);
		assert_int_equal(ps_get32(sb.interval) | ps_get32(sb.restored), 0);
		for (int at = i ? SECTOR : 2 * SECTOR; at < PAGE; at++)
			assert_int_equal(image[superblock_offset(i) + (uint64_t)at], 0);
	}
	free(f->image);
	f->image = image;
	open_disk(f);
	for (uint64_t slot = 0; slot < 24; slot++) {
		struct entry e;
		OK(table_get(&store_of(f->s)->table, slot, &e));
		assert_int_equal(entry_interval(&e), 0);
	}
}

/* What an older library makes of a file that has intervals: it knows only classes. */
static void a_store_that_was_cut_is_refused_by_older_readers(void **state)
{
	struct fixture *f = *state;
	put(f->s, 50);
	taken_free(take(f, NULL));
	assert_int_equal(ps_get64(store_of(f->s)->sb.incompatible) & ~(uint64_t)INCOMPATIBLE_CLASSES,
	                 INCOMPATIBLE_INTERVALS);
}

static void intervals_that_have_not_begun_are_damage(void **state)
{
	(void)state;
	struct entry live = entry_make(ENTRY_ZERO, 0, 5, 0, 0, 1), gone = {{0, 0, 0, 1}},
	             unused = {{0, 1, 0, 0}};
	entry_set_interval(&live, 7);
	entry_set_interval(&gone, 7);
	assert_int_equal(entry_interval(&live), 7);
	assert_int_equal(entry_generation(&live), 1);
	assert_int_equal(entry_interval(&gone), 7);
	for (uint32_t interval = 0; interval < 10; interval++) {
		assert_int_equal(entry_valid(NULL, interval, &live, 9), interval >= 7);
		assert_int_equal(entry_valid(NULL, interval, &gone, 9), interval >= 7);
		assert_false(entry_valid(NULL, interval, &unused, 9));
	}
}

int main(void)
{
#define CUT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    CUT(a_cut_gives_what_was_changed_since_and_nothing_else),
	    CUT(each_kind_is_given_as_it_reads),
	    CUT(what_was_not_changed_is_not_read),
	    CUT(compaction_forgets_no_end_of_an_id),
	    CUT(skipping_goes_on_behind_the_id),
	    CUT(unchanged_is_said_of_ranges),
	    CUT(a_third_cut_is_refused),
	    CUT(two_cuts_give_what_each_would_alone),
	    CUT(a_cut_is_of_the_past_of_this_store),
	    CUT(the_last_interval_is_never_begun),
	    cmocka_unit_test(what_cannot_be_cut_says_so),
	    CUT(a_store_that_is_open_read_only_is_not_cut),
	    CUT(damage_is_said_and_never_passed_over_unasked),
	    CUT(a_cut_that_holds_too_much_ends_and_writers_go_on),
	    CUT(neighbours_are_read_together),
	    CUT(what_is_replaced_again_and_again_is_held_once),
	    CUT(what_a_cut_has_given_it_does_not_hold),
	    CUT(a_store_that_is_never_cut_stays_as_it_was),
	    CUT(a_store_that_was_cut_is_refused_by_older_readers),
	    cmocka_unit_test(intervals_that_have_not_begun_are_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
