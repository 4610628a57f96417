/* Stores filled from cuts of others: equal to the source, ids included, and to be gone on with. And the note
 * that a layer leaves in the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include <padstone/stack.h>

#include "store/base_internal.h"
#include "tests/store/cut_world.h"
#include "tests/support/disk_store.h"

#define OK(call) assert_int_equal((call), PS_OK)

static ps_storer *open_disk(struct sim_disk *disk, enum ps_open_mode mode)
{
	const struct ps_base_options options = {.mode = (int)mode, .durability = PS_RELAXED};
	ps_storer *s = NULL;
	OK(disk_store_open(disk, &options, &s));
	return s;
}

static ps_storer *reopen(struct sim_disk *disk, ps_storer *s)
{
	OK(ps_close(s));
	return open_disk(disk, PS_OPEN_DEFAULT);
}

static ps_storer *crash(struct sim_disk *disk, ps_storer *s, uint8_t **image)
{
	*image = disk_store_crash(disk, s);
	return open_disk(disk, PS_OPEN_DEFAULT);
}

struct fixture {
	struct sim_disk *disk, *other;
	ps_storer *s, *copy;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->disk = sim_disk_new(NULL, 0);
	f->other = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(f->disk, false);
	sim_disk_set_tracing(f->other, false);
	f->s = open_disk(f->disk, PS_OPEN_DEFAULT);
	f->copy = open_disk(f->other, PS_OPEN_DEFAULT);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	OK(ps_close(f->s));
	OK(ps_close(f->copy));
	sim_disk_free(f->disk);
	sim_disk_free(f->other);
	free(f);
	return 0;
}

/* ---- a chain of cuts ---- */

static void restore_record(struct ps_restore *r, const struct record *record)
{
	const struct ps_cut_object *o = &record->object;
	OK(ps_restore_object(r, o, o->kind == PS_CUT_BYTES ? record->bytes : NULL));
	for (uint64_t at = 0; o->kind == PS_CUT_CHUNKS && at < o->size; at += PS_CUT_PIECE) {
		uint64_t len = MIN(o->size - at, (uint64_t)PS_CUT_PIECE);
		bool zeros =
		    !record->bytes[at] && !memcmp(record->bytes + at, record->bytes + at + 1, len - 1);
		if (!zeros)
			OK(ps_restore_piece(r, at, record->bytes + at, len));
	}
}

/* The chain's last cut is the newest; the first is of everything. */
static void restore_chain(ps_storer *copy, struct taken *const *chain, size_t count)
{
	const struct ps_cut_info *info = &chain[count - 1]->info;
	struct ps_restore *r;
	OK(ps_restore_begin(copy, &r));
	for (uint64_t slot = 0; slot < info->slots; slot++) {
		const struct record *record = NULL;
		for (size_t i = count; i-- > 0 && !record;)
			record = taken_find(chain[i], slot);
		if (record)
			restore_record(r, record);
	}
	OK(ps_restore_finish(r, info));
}

/* A cut of the copy since an older cut of the source gives what later ones of the source gave. */
static void must_give_what_came_later(ps_storer *copy, struct taken *const *chain, size_t count, size_t since)
{
	struct world w;
	size_t changed = 0;
	world_init(&w, copy, 0, 0);
	struct taken *t = world_take(&w, chain[since]);
	for (uint64_t slot = 0; slot < chain[count - 1]->info.slots; slot++) {
		const struct record *want = NULL, *got = taken_find(t, slot);
		for (size_t i = count; i-- > since + 1 && !want;)
			want = taken_find(chain[i], slot);
		assert_int_equal(!got, !want);
		if (!want)
			continue;
		assert_int_equal(got->object.id, want->object.id);
		assert_int_equal(got->object.kind == PS_CUT_GONE, want->object.kind == PS_CUT_GONE);
		assert_int_equal(got->object.interval, want->object.interval);
		assert_int_equal(got->hash, want->hash);
		changed++;
	}
	assert_int_equal(t->count, changed);
	taken_free(t);
}

static int count_one(void *arg, ps_id id)
{
	(void)id;
	++*(uint64_t *)arg;
	return 0;
}

static void must_be_equal(const struct actor *a, ps_storer *s)
{
	static uint8_t bytes[1 << 20];
	uint64_t live = 0, there = 0;
	size_t len;
	for (unsigned i = 0; i < ACTOR_OBJECTS; i++) {
		const struct actor_object *o = &a->object[i];
		if (!o->id)
			continue;
		OK(ps_get(s, o->id, bytes, sizeof(bytes), &len));
		assert_int_equal(len, o->size);
		assert_memory_equal(bytes, o->bytes, len);
		live++;
	}
	for (size_t i = 0; i < a->count; i++) {
		bool lives = false;
		for (unsigned k = 0; k < ACTOR_OBJECTS; k++)
			lives |= a->object[k].id == a->log[i].id;
		if (!lives)
			assert_int_equal(ps_get(s, a->log[i].id, bytes, sizeof(bytes), &len), PS_ENOTFOUND);
	}
	OK(ps_each(s, PS_ID_NONE, count_one, &there));
	assert_int_equal(there, live);
}

/* Ids go on where those of the source were: none comes back. */
static void ids_must_be_new(const struct actor *a, ps_storer *s)
{
	for (int i = 0; i < 300; i++) {
		ps_id id;
		OK(ps_put(s, "new", 3, &id));
		for (size_t k = 0; k < a->count; k++)
			assert_int_not_equal(a->log[k].id, id);
	}
}

static void a_restored_chain_is_the_source(void **state)
{
	enum { CHAIN = 12 };
	struct fixture *f = *state;
	struct world w;
	struct taken *chain[CHAIN];
	uint8_t *image = NULL, *other = NULL;
	world_init(&w, f->s, 1, 3);
	for (unsigned i = 0; i < CHAIN; i++) {
		for (unsigned step = 0; step < 40; step++)
			actor_step(&w.actor[0]);
		if (i == 5) {
			OK(ps_sync(f->s));
			f->s = w.s = crash(f->disk, f->s, &image);
		}
		chain[i] = world_take(&w, i ? chain[i - 1] : NULL);
		/* The source has had more checkpoints than the copy will. */
		for (unsigned k = 0; k < 4; k++)
			OK(checkpoint_run(store_of(f->s)));
	}
	const struct ps_cut_info *last = &chain[CHAIN - 1]->info;
	restore_chain(f->copy, chain, CHAIN);
	must_be_equal(&w.actor[0], f->copy);
	OK(ps_check(f->copy, PS_CHECK_FULL, NULL, NULL));
	f->copy = crash(f->other, f->copy, &other);
	must_be_equal(&w.actor[0], f->copy);
	assert_true(store_of(f->copy)->crashes > last->crashes);
	/* What the source's last cut is of is no change of the copy. */
	w.s = f->copy;
	struct taken *none = world_take(&w, chain[CHAIN - 1]);
	assert_int_equal(none->count, 0);
	assert_int_equal(none->info.here.interval, last->here.interval + 1);
	assert_int_equal(none->info.objects, last->objects);
	assert_int_equal(none->info.live_bytes, last->live_bytes);
	for (unsigned i = 0; i < CHAIN; i++)
		must_give_what_came_later(f->copy, chain, CHAIN, i);
	f->copy = w.s = reopen(f->other, f->copy);
	ids_must_be_new(&w.actor[0], f->copy);
	struct taken *fresh = world_take(&w, chain[CHAIN - 1]);
	assert_int_equal(fresh->count, 300);
	taken_free(none);
	taken_free(fresh);
	for (unsigned i = 0; i < CHAIN; i++)
		taken_free(chain[i]);
	world_done(&w);
	f->copy = reopen(f->other, f->copy);
	f->s = reopen(f->disk, f->s);
	OK(ps_close(f->s));
	OK(ps_close(f->copy));
	sim_disk_reset(f->disk, NULL, 0);
	sim_disk_reset(f->other, NULL, 0);
	f->s = open_disk(f->disk, PS_OPEN_DEFAULT);
	f->copy = open_disk(f->other, PS_OPEN_DEFAULT);
	free(image);
	free(other);
}

/* ---- what is refused ---- */

static const uint8_t text[PS_CUT_PIECE] = "text";

static void only_an_empty_store_is_restored(void **state)
{
	struct fixture *f = *state;
	struct ps_restore *r, *other;
	ps_id id;
	OK(ps_put(f->s, "x", 1, &id));
	assert_int_equal(ps_restore_begin(f->s, &r), PS_EEXIST);
	OK(ps_delete(f->s, id));
	assert_int_equal(ps_restore_begin(f->s, &r), PS_EEXIST);
	OK(ps_restore_begin(f->copy, &r));
	assert_int_equal(ps_restore_begin(f->copy, &other), PS_EBUSY);
	assert_int_equal(ps_close(f->copy), PS_EBUSY);
	ps_restore_abort(r);
	/* Nothing came yet: another try finds it as it was. */
	OK(ps_restore_begin(f->copy, &r));
	const struct ps_cut_info info = {.here = {1, 0}};
	OK(ps_restore_finish(r, &info));
	OK(ps_put(f->copy, "x", 1, &id));
}

#define ID(slot, generation) ((ps_id)(slot) << 24 | (generation))

static void what_no_cut_gives_is_refused_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct ps_restore *r;
	const struct ps_cut_object good = {ID(9, 2), PS_CUT_CHUNKS, 3 * PS_CUT_PIECE - 1, 4, 0},
	                           last = {ID(10, 1), PS_CUT_GONE, 0, 5, 1};
	const struct {
		struct ps_cut_object object;
		const void *bytes;
	} wrong[] = {{{ID(9, 2), PS_CUT_ZERO, 1, 4, 0}, NULL},
	             {{ID(8, 2), PS_CUT_ZERO, 1, 4, 0}, NULL},
	             {{ID(20, 0), PS_CUT_ZERO, 1, 4, 0}, NULL},
	             {{ID(1ULL << 39, 1), PS_CUT_ZERO, 1, 4, 0}, NULL},
	             {{ID(20, 1), PS_CUT_BYTES, 0, 4, 0}, text},
	             {{ID(20, 1), PS_CUT_BYTES, 9, 4, 0}, NULL},
	             {{ID(20, 1), PS_CUT_BYTES, 65537, 4, 0}, text},
	             {{ID(20, 1), PS_CUT_CHUNKS, 65536, 4, 0}, NULL},
	             {{ID(20, 1), PS_CUT_ZERO, 1, 0, 0}, NULL},
	             {{ID(20, 1), PS_CUT_ZERO, 1, UINT32_MAX, 0}, NULL},
	             {{ID(20, 1), PS_CUT_GONE, 1, 4, 0}, NULL},
	             {{ID(20, 1), PS_CUT_GONE, 0, 4, 1ULL << 32}, NULL},
	             {{ID(20, 1), (enum ps_cut_kind)0, 1, 4, 0}, NULL},
	             {{ID(20, 1), (enum ps_cut_kind)5, 1, 4, 0}, NULL}};
	OK(ps_restore_begin(f->copy, &r));
	assert_int_equal(ps_restore_piece(r, 0, text, 1), PS_EINVAL);
	OK(ps_restore_object(r, &good, NULL));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(ps_restore_object(r, &wrong[i].object, wrong[i].bytes), PS_EINVAL);
	assert_int_equal(ps_restore_piece(r, 1, text, PS_CUT_PIECE), PS_EINVAL);
	assert_int_equal(ps_restore_piece(r, 0, text, PS_CUT_PIECE - 1), PS_EINVAL);
	assert_int_equal(ps_restore_piece(r, 2 * PS_CUT_PIECE, text, PS_CUT_PIECE), PS_EINVAL);
	assert_int_equal(ps_restore_piece(r, 3 * PS_CUT_PIECE, text, 1), PS_EINVAL);
	OK(ps_restore_piece(r, PS_CUT_PIECE, text, PS_CUT_PIECE));
	assert_int_equal(ps_restore_piece(r, 0, text, PS_CUT_PIECE), PS_EINVAL);
	OK(ps_restore_object(r, &last, NULL));
	const struct ps_cut_info info = {.here = {5, 0}, .slots = 11, .crashes = 1};
	OK(ps_restore_finish(r, &info));
	static uint8_t back[3 * PS_CUT_PIECE], want[3 * PS_CUT_PIECE - 1];
	size_t len;
	memcpy(want + PS_CUT_PIECE, text, PS_CUT_PIECE);
	OK(ps_get(f->copy, good.id, back, sizeof(back), &len));
	assert_int_equal(len, sizeof(want));
	assert_memory_equal(back, want, len);
}

static void the_end_must_fit_what_came(void **state)
{
	struct fixture *f = *state;
	struct ps_restore *r;
	ps_id id;
	const struct ps_cut_object gone = {ID(10, 3), PS_CUT_GONE, 0, 5, 2};
	const struct ps_cut_info wrong[] = {{.here = {4, 0}, .slots = 11, .crashes = 2},
	                                    {.here = {5, 0}, .slots = 10, .crashes = 2},
	                                    {.here = {5, 0}, .slots = 11, .crashes = 1},
	                                    {.here = {UINT32_MAX, 0}, .slots = 11, .crashes = 2}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		OK(ps_restore_begin(f->copy, &r));
		OK(ps_restore_object(r, &gone, NULL));
		assert_int_equal(ps_restore_finish(r, &wrong[i]), PS_EINVAL);
		assert_int_equal(ps_put(f->copy, "x", 1, &id), PS_EREADONLY);
		OK(ps_close(f->copy));
		sim_disk_reset(f->other, NULL, 0);
		f->copy = open_disk(f->other, PS_OPEN_DEFAULT);
	}
}

/* A restore that a crash cut off: to be looked at, not to be gone on with. */
static void half_a_restore_can_only_be_read(void **state)
{
	struct fixture *f = *state;
	struct ps_restore *r;
	struct ps_cut *cut;
	struct ps_cut_info info;
	ps_batch *b;
	ps_id id;
	uint8_t *image;
	char byte;
	size_t len;
	const struct ps_cut_from everything = {0};
	OK(ps_restore_begin(f->copy, &r));
	/* More than may wait for their writes: the first ones are there, and durable by a checkpoint. */
	for (uint64_t i = 1; i <= 40000; i++) {
		const struct ps_cut_object o = {ID(i, 1), PS_CUT_BYTES, 1, 3, 0};
		OK(ps_restore_object(r, &o, "x"));
	}
	OK(checkpoint_run(store_of(f->copy)));
	assert_int_equal(ps_put(f->copy, "x", 1, &id), PS_EREADONLY);
	ps_restore_abort(r);
	f->copy = crash(f->other, f->copy, &image);
	OK(ps_get(f->copy, ID(1, 1), &byte, 1, &len));
	assert_int_equal(byte, 'x');
	assert_int_equal(ps_put(f->copy, "x", 1, &id), PS_EREADONLY);
	assert_int_equal(ps_replace(f->copy, ID(1, 1), "y", 1), PS_EREADONLY);
	assert_int_equal(ps_delete(f->copy, ID(1, 1)), PS_EREADONLY);
	OK(ps_batch_begin(f->copy, &b));
	OK(ps_batch_put(b, "y", 1, &id));
	assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_EREADONLY);
	assert_int_equal(ps_restore_begin(f->copy, &r), PS_EEXIST);
	assert_int_equal(ps_cut_begin(f->copy, &everything, &cut, &info), PS_EREADONLY);
	OK(ps_compact(f->copy, 0, NULL, NULL));
	OK(ps_check(f->copy, PS_CHECK_FULL, NULL, NULL));
	f->copy = reopen(f->other, f->copy);
	assert_int_equal(ps_put(f->copy, "x", 1, &id), PS_EREADONLY);
	OK(ps_close(f->copy));
	sim_disk_reset(f->other, NULL, 0);
	f->copy = open_disk(f->other, PS_OPEN_DEFAULT);
	free(image);
}

/* ---- notes ---- */

static void must_have_note(ps_storer *s, const char *note)
{
	char back[PS_NOTE_MAX];
	size_t len = 1000;
	OK(ps_note_get(s, back, sizeof(back), &len));
	assert_int_equal(len, strlen(note));
	assert_memory_equal(back, note, len);
}

static void a_note_stays(void **state)
{
	struct fixture *f = *state;
	static char most[PS_NOTE_MAX + 2];
	char small[4];
	size_t len = 77;
	uint8_t *image;
	ps_id id;
	assert_int_equal(ps_note_get(f->s, small, sizeof(small), &len), PS_ENOTFOUND);
	OK(ps_note_set(f->s, "first", 5));
	must_have_note(f->s, "first");
	assert_int_equal(ps_note_get(f->s, small, sizeof(small), &len), PS_ERANGE);
	assert_int_equal(len, 5);
	OK(ps_put(f->s, "x", 1, &id));
	OK(ps_note_set(f->s, "second", 6));
	f->s = crash(f->disk, f->s, &image);
	must_have_note(f->s, "second");
	OK(checkpoint_run(store_of(f->s)));
	OK(ps_compact(f->s, 0, NULL, NULL));
	f->s = reopen(f->disk, f->s);
	must_have_note(f->s, "second");
	memset(most, 'n', PS_NOTE_MAX + 1);
	assert_int_equal(ps_note_set(f->s, most, PS_NOTE_MAX + 1), PS_EINVAL);
	most[PS_NOTE_MAX] = 0;
	OK(ps_note_set(f->s, most, PS_NOTE_MAX));
	must_have_note(f->s, most);
	OK(ps_note_set(f->s, "", 0));
	must_have_note(f->s, "");
	OK(ps_close(f->s));
	f->s = open_disk(f->disk, PS_OPEN_READONLY);
	must_have_note(f->s, "");
	assert_int_equal(ps_note_set(f->s, "x", 1), PS_EREADONLY);
	f->s = reopen(f->disk, f->s);
	OK(ps_close(f->s));
	sim_disk_reset(f->disk, NULL, 0);
	f->s = open_disk(f->disk, PS_OPEN_DEFAULT);
	free(image);
}

/* Each single byte of a copy is looked at; the other copy stands in for it. */
static void a_damaged_note_falls_back_and_is_written_over(void **state)
{
	struct fixture *f = *state;
	char back[PS_NOTE_MAX];
	size_t len;
	OK(ps_note_set(f->s, "older", 5));
	OK(ps_note_set(f->s, "newer", 5));
	OK(ps_close(f->s));
	uint64_t size = sim_disk_size(f->disk);
	uint8_t *image = malloc(size);
	assert_non_null(image);
	sim_disk_image(f->disk, image);
	for (int at = 0; at < SECTOR; at += 7) {
		uint8_t *byte = image + superblock_offset(2) + SECTOR + at;
		*byte ^= 16;
		sim_disk_reset(f->disk, image, size);
		f->s = open_disk(f->disk, PS_OPEN_DEFAULT);
		must_have_note(f->s, "older");
		OK(ps_note_set(f->s, "again", 5));
		f->s = reopen(f->disk, f->s);
		must_have_note(f->s, "again");
		OK(ps_close(f->s));
		*byte ^= 16;
	}
	image[superblock_offset(1) + SECTOR + 24] ^= 1;
	image[superblock_offset(2) + SECTOR + 24] ^= 1;
	sim_disk_reset(f->disk, image, size);
	f->s = open_disk(f->disk, PS_OPEN_DEFAULT);
	assert_int_equal(ps_note_get(f->s, back, sizeof(back), &len), PS_ECORRUPT);
	assert_int_equal(ps_check(f->s, PS_CHECK_QUICK, NULL, NULL), PS_ECORRUPT);
	OK(ps_note_set(f->s, "anew", 4));
	f->s = reopen(f->disk, f->s);
	must_have_note(f->s, "anew");
	OK(ps_close(f->s));
	sim_disk_reset(f->disk, NULL, 0);
	f->s = open_disk(f->disk, PS_OPEN_DEFAULT);
	free(image);
}

/* With sectors of 4 KiB a note and a superblock are written together: each with the other as it is. */
static void a_note_and_a_superblock_share_a_large_sector(void **state)
{
	struct fixture *f = *state;
	ps_id id;
	sim_disk_io(f->disk)->alignment = PAGE;
	f->s = reopen(f->disk, f->s);
	for (int i = 0; i < 3; i++) {
		char note[2] = {(char)('a' + i)};
		OK(ps_note_set(f->s, note, 1));
		OK(ps_put(f->s, note, 1, &id));
		OK(checkpoint_run(store_of(f->s)));
		must_have_note(f->s, note);
		f->s = reopen(f->disk, f->s);
		must_have_note(f->s, note);
		for (int place = 0; place < NOTES; place++)
			assert_int_equal(
			    note_sound(&store_of(f->s)->note[place], place, store_of(f->s)->uuid),
			    place == 0 || i > 0);
	}
}

/* ---- with others ---- */

static void backups_have_neither_intervals_nor_notes(void **state)
{
	struct fixture *f = *state;
	struct world w;
	ps_storer *s;
	char path[] = "restore_test.XXXXXX", byte;
	size_t len;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	world_init(&w, f->s, 1, 9);
	for (int i = 0; i < 100; i++)
		actor_step(&w.actor[0]);
	taken_free(world_take(&w, NULL));
	for (int i = 0; i < 100; i++)
		actor_step(&w.actor[0]);
	OK(ps_note_set(f->s, "note", 4));
	OK(ps_backup(f->s, path, NULL, NULL));
	OK(ps_base_open(path, NULL, &s));
	must_be_equal(&w.actor[0], s);
	assert_int_equal(ps_get64(store_of(s)->sb.incompatible), 0);
	assert_int_equal(atomic_load(&store_of(s)->interval), 0);
	assert_int_equal(ps_note_get(s, &byte, 1, &len), PS_ENOTFOUND);
	ids_must_be_new(&w.actor[0], s);
	OK(ps_close(s));
	unlink(path);
	world_done(&w);
}

static void a_stack_is_cut_and_restored_through_its_layers(void **state)
{
	struct fixture *f = *state;
	struct world w;
	char path[] = "restore_test.XXXXXX", other[] = "restore_test.XXXXXX";
	ps_storer *s, *copy;
	int fds[2] = {mkstemp(path), mkstemp(other)};
	assert_true(fds[0] >= 0 && fds[1] >= 0);
	(void)f;
	OK(ps_stack_open(path, NULL, &s));
	OK(ps_stack_open(other, NULL, &copy));
	world_init(&w, s, 1, 11);
	for (int i = 0; i < 150; i++)
		actor_step(&w.actor[0]);
	struct taken *t = world_take(&w, NULL);
	world_compare(&w, t);
	restore_chain(copy, &t, 1);
	must_be_equal(&w.actor[0], copy);
	OK(ps_note_set(copy, "note", 4));
	must_have_note(copy, "note");
	ids_must_be_new(&w.actor[0], copy);
	taken_free(t);
	world_done(&w);
	OK(ps_close(s));
	OK(ps_close(copy));
	close(fds[0]);
	close(fds[1]);
	unlink(path);
	unlink(other);
}

int main(void)
{
#define RESTORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    RESTORE(a_restored_chain_is_the_source),
	    RESTORE(only_an_empty_store_is_restored),
	    RESTORE(what_no_cut_gives_is_refused_and_changes_nothing),
	    RESTORE(the_end_must_fit_what_came),
	    RESTORE(half_a_restore_can_only_be_read),
	    RESTORE(a_note_stays),
	    RESTORE(a_damaged_note_falls_back_and_is_written_over),
	    RESTORE(a_note_and_a_superblock_share_a_large_sector),
	    RESTORE(backups_have_neither_intervals_nor_notes),
	    RESTORE(a_stack_is_cut_and_restored_through_its_layers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
