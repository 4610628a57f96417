/* What a cut says was changed of large objects: put over what an earlier cut had it is what they are now,
 * over writes, sizes that go up and down, batches that a cut falls into, compaction, reopening and crashes;
 * and it is little where little was changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "store/base_internal.h"
#include "store/cut.h"
#include "tests/support/disk_store.h"

#define OK(call) assert_int_equal((call), PS_OK)

enum { OBJECTS = 4, KEPT = 4, SIZE_MOST = 40 * CHUNK, BIG_MOST = 300 * CHUNK };

struct contents {
	uint8_t *bytes;
	uint64_t size;
};

struct fixture {
	struct sim_disk *disk;
	uint8_t *image;
	ps_storer *s;
	uint64_t random;
	ps_id id[OBJECTS];
	struct contents now[OBJECTS];
	struct {
		struct ps_cut_from from;
		struct contents had[OBJECTS];
	} kept[KEPT]; /* the newest first */
	unsigned kept_count;
};

static uint64_t draw(struct fixture *f, uint64_t below)
{
	f->random = f->random * 6364136223846793005U + 1442695040888963407U;
	return (f->random >> 33) % below;
}

static void open_disk(struct fixture *f)
{
	const struct ps_base_options options = {.durability = PS_RELAXED, .pin_limit = 1 << 30};
	OK(disk_store_open(f->disk, &options, &f->s));
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

static void forget(struct fixture *f, unsigned i)
{
	for (unsigned k = 0; k < OBJECTS; k++)
		free(f->kept[i].had[k].bytes);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	(void)!ps_close(f->s);
	sim_disk_free(f->disk);
	free(f->image);
	for (unsigned i = 0; i < f->kept_count; i++)
		forget(f, i);
	for (unsigned i = 0; i < OBJECTS; i++)
		free(f->now[i].bytes);
	free(f);
	return 0;
}

/* ---- changes, and what they make of the model ---- */

static void set_size(struct contents *c, uint64_t size)
{
	c->bytes = realloc(c->bytes, size + 1);
	assert_non_null(c->bytes);
	if (size > c->size)
		memset(c->bytes + c->size, 0, size - c->size);
	c->size = size;
}

static void fill(struct fixture *f, uint8_t *bytes, uint64_t len)
{
	uint64_t seed = draw(f, UINT32_MAX);
	for (uint64_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((seed + i * 31) >> 3);
}

/* A place and a length, often at the edges of chunks. */
static void some_range(struct fixture *f, uint64_t most, uint64_t *off, uint64_t *len)
{
	*off = draw(f, most);
	*len = 1 + draw(f, draw(f, 2) ? 200 : 3 * CHUNK);
	if (draw(f, 3) == 0)
		*off &= ~(uint64_t)(CHUNK - 1);
	if (draw(f, 4) == 0)
		*len = (1 + draw(f, 2)) * CHUNK;
	*len = MIN(*len, most - *off);
}

static void write_some(struct fixture *f, unsigned i, ps_batch *batch)
{
	struct contents *c = &f->now[i];
	uint64_t off, len;
	some_range(f, i ? SIZE_MOST : MAX(c->size, (uint64_t)SIZE_MOST), &off, &len);
	if (off + len > c->size)
		set_size(c, off + len);
	fill(f, c->bytes + off, len);
	if (batch)
		OK(ps_batch_write_at(batch, f->id[i], off, c->bytes + off, len));
	else
		OK(ps_write_at(f->s, f->id[i], off, c->bytes + off, len));
}

static void resize_one(struct fixture *f, unsigned i)
{
	uint64_t size = draw(f, i || draw(f, 3) ? SIZE_MOST : BIG_MOST);
	if (draw(f, 3) == 0)
		size &= ~(uint64_t)(CHUNK - 1);
	OK(ps_resize(f->s, f->id[i], size));
	set_size(&f->now[i], size);
}

static void replace_one(struct fixture *f, unsigned i, ps_batch *batch)
{
	struct contents *c = &f->now[i];
	set_size(c, draw(f, SIZE_MOST / 4));
	fill(f, c->bytes, c->size);
	if (batch)
		OK(ps_batch_replace(batch, f->id[i], c->bytes, c->size));
	else
		OK(ps_replace(f->s, f->id[i], c->bytes, c->size));
}

static void end_interval(struct fixture *f)
{
	const struct ps_cut_from all = {0};
	struct ps_cut_info info;
	struct ps_cut *cut;
	OK(ps_cut_begin(f->s, &all, &cut, &info));
	ps_cut_end(cut);
}

/* Intervals end while its contents are on their way. */
static void change_in_a_batch(struct fixture *f)
{
	ps_batch *batch;
	unsigned i = (unsigned)draw(f, OBJECTS);
	OK(ps_batch_begin(f->s, &batch));
	if (draw(f, 2))
		replace_one(f, i, batch);
	for (uint64_t n = 1 + draw(f, 3); n; n--) {
		if (draw(f, 2))
			end_interval(f);
		write_some(f, i, batch);
	}
	if (draw(f, 2))
		end_interval(f);
	OK(ps_batch_commit(batch, PS_RELAXED));
}

static void disturb(struct fixture *f)
{
	switch (draw(f, 5)) {
	case 0:
		OK(ps_close(f->s));
		open_disk(f);
		break;
	case 1:
		OK(ps_sync(f->s));
		uint8_t *image = disk_store_crash(f->disk, f->s);
		free(f->image);
		f->image = image;
		open_disk(f);
		break;
	case 2:
	case 3:
		OK(ps_compact(f->s, 0, NULL, NULL));
		break;
	default:
		OK(checkpoint_run(store_of(f->s)));
	}
}

static void change(struct fixture *f)
{
	unsigned i = (unsigned)draw(f, OBJECTS);
	switch (draw(f, 10)) {
	case 0:
		replace_one(f, i, NULL);
		break;
	case 1:
	case 2:
		resize_one(f, i);
		break;
	case 3:
		change_in_a_batch(f);
		break;
	case 4:
		disturb(f);
		break;
	default:
		write_some(f, i, NULL);
	}
}

/* ---- cuts ---- */

static void keep(struct fixture *f, const struct ps_cut_from *here)
{
	if (f->kept_count == KEPT)
		forget(f, --f->kept_count);
	memmove(&f->kept[1], &f->kept[0], f->kept_count++ * sizeof(f->kept[0]));
	f->kept[0].from = *here;
	for (unsigned i = 0; i < OBJECTS; i++) {
		f->kept[0].had[i] = (struct contents){malloc(f->now[i].size + 1), f->now[i].size};
		assert_non_null(f->kept[0].had[i].bytes);
		if (f->now[i].size > 0)
			memcpy(f->kept[0].had[i].bytes, f->now[i].bytes, f->now[i].size);
	}
}

struct patching {
	struct contents *to;
	uint64_t next, pieces;
};

static int put_piece(void *arg, uint64_t offset, const void *data, size_t len)
{
	struct patching *p = arg;
	assert_true(offset % CHUNK == 0 && offset >= p->next && len > 0 && len <= p->to->size - offset);
	assert_true(offset + len == p->to->size || len % CHUNK == 0);
	assert_true(!data || len <= CHUNK);
	p->next = offset + len;
	if (data)
		memcpy(p->to->bytes + offset, data, len);
	else
		memset(p->to->bytes + offset, 0, len);
	p->pieces += data ? len : 0;
	return PS_OK;
}

/* base: what the object was at the earlier cut. */
static void expect_changes(struct ps_cut *cut, const struct contents *base, const struct contents *now)
{
	struct ps_cut_change change;
	struct contents made = {malloc(now->size), 0};
	struct patching p = {.to = &made};
	assert_non_null(made.bytes);
	OK(ps_cut_changed(cut, &change));
	assert_true(!change.partial || (base && base->size > CHUNK));
	if (change.partial) {
		made.size = MIN(base->size, now->size);
		memcpy(made.bytes, base->bytes, made.size);
	}
	set_size(&made, now->size);
	OK(ps_cut_changed_pieces(cut, put_piece, &p));
	assert_int_equal(p.pieces, change.bytes);
	assert_memory_equal(made.bytes, now->bytes, now->size);
	free(made.bytes);
}

/* from: which of the kept ones; KEPT: everything. */
static void take_and_compare(struct fixture *f, unsigned from)
{
	const struct ps_cut_from all = {0};
	struct ps_cut_object object;
	struct ps_cut_info info;
	struct ps_cut *cut;
	OK(ps_cut_begin(f->s, from < f->kept_count ? &f->kept[from].from : &all, &cut, &info));
	while (ps_cut_next(cut, &object) == PS_OK) {
		for (unsigned i = 0; i < OBJECTS; i++) {
			if (object.id == f->id[i] && object.kind == PS_CUT_CHUNKS)
				expect_changes(cut, from < f->kept_count ? &f->kept[from].had[i] : NULL,
				               &f->now[i]);
		}
	}
	ps_cut_end(cut);
	keep(f, &info.here);
}

static void changes_over_an_earlier_cut_are_what_is_there_now(void **state)
{
	struct fixture *f = *state;
	f->random = 11;
	for (unsigned i = 0; i < OBJECTS; i++) {
		f->now[i].bytes = malloc(1);
		OK(ps_put(f->s, "", 0, &f->id[i]));
	}
	for (unsigned round = 0; round < 60; round++) {
		for (uint64_t n = draw(f, 8); n; n--)
			change(f);
		for (uint64_t n = draw(f, 12) ? 0 : draw(f, 60); n; n--)
			end_interval(f);
		take_and_compare(f, (unsigned)draw(f, KEPT + 1));
	}
	OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
}

/* ---- how much ---- */

/* Of the first object. */
static uint64_t changed_bytes(struct fixture *f, const struct ps_cut_from *from, struct ps_cut_from *here)
{
	struct ps_cut_object object = {0};
	struct ps_cut_change change;
	struct ps_cut_info info;
	struct ps_cut *cut;
	OK(ps_cut_begin(f->s, from, &cut, &info));
	*here = info.here;
	while (object.id != f->id[0])
		OK(ps_cut_next(cut, &object));
	OK(ps_cut_changed(cut, &change));
	ps_cut_end(cut);
	return change.bytes;
}

static void put_large(struct fixture *f, uint64_t size)
{
	set_size(&f->now[0], size);
	fill(f, f->now[0].bytes, size);
	OK(ps_put(f->s, f->now[0].bytes, size, &f->id[0]));
}

static void a_small_change_of_a_large_object_is_small(void **state)
{
	struct fixture *f = *state;
	const struct ps_cut_from all = {0};
	struct ps_cut_from first, before, here;
	put_large(f, BIG_MOST);
	assert_int_equal(changed_bytes(f, &all, &first), BIG_MOST);
	before = first;
	for (unsigned i = 0; i < 100; i++) { /* one chunk in each interval, the same or another */
		OK(ps_write_at(f->s, f->id[0], (uint64_t)(i % 3) * 100 * CHUNK + 7, "x", 1));
		assert_int_equal(changed_bytes(f, &before, &here), CHUNK);
		assert_int_equal(changed_bytes(f, &first, &here), MIN(i + 1, 3U) * CHUNK);
		before = here;
	}
	OK(ps_resize(f->s, f->id[0], BIG_MOST / 2));
	assert_int_equal(changed_bytes(f, &before, &here), 0);
}

static void what_compaction_moves_is_no_change(void **state)
{
	struct fixture *f = *state;
	const struct ps_cut_from all = {0};
	struct ps_cut_from first, here;
	struct ps_info before, after;
	ps_id below;
	set_size(&f->now[1], 2 * BIG_MOST);
	fill(f, f->now[1].bytes, f->now[1].size);
	OK(ps_put(f->s, f->now[1].bytes, f->now[1].size, &below));
	put_large(f, BIG_MOST);
	assert_int_equal(changed_bytes(f, &all, &first), BIG_MOST);
	OK(ps_write_at(f->s, f->id[0], 5, "x", 1));
	OK(ps_delete(f->s, below));
	OK(ps_info(f->s, f->id[0], &before));
	OK(ps_compact(f->s, 0, NULL, NULL));
	OK(ps_info(f->s, f->id[0], &after));
	assert_true(after.offset != before.offset);
	assert_int_equal(changed_bytes(f, &first, &here), CHUNK);
}

/* All of it is of the commit's interval, whenever it was written. */
static void what_a_batch_wrote_before_a_cut_is_changed_behind_it(void **state)
{
	struct fixture *f = *state;
	ps_batch *batch;
	put_large(f, 12 * CHUNK);
	uint8_t *had = malloc(12 * CHUNK);
	assert_non_null(had);
	memcpy(had, f->now[0].bytes, 12 * CHUNK);
	OK(ps_batch_begin(f->s, &batch));
	fill(f, f->now[0].bytes, f->now[0].size);
	OK(ps_batch_replace(batch, f->id[0], f->now[0].bytes, f->now[0].size));
	uint8_t *next = f->now[0].bytes;
	f->now[0].bytes = had; /* as the cut has it */
	take_and_compare(f, KEPT);
	f->now[0].bytes = next;
	free(had);
	fill(f, next, 3 * CHUNK);
	OK(ps_batch_write_at(batch, f->id[0], 0, next, 3 * CHUNK));
	OK(ps_batch_commit(batch, PS_RELAXED));
	take_and_compare(f, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(changes_over_an_earlier_cut_are_what_is_there_now, set_up,
	                                    tear_down),
	    cmocka_unit_test_setup_teardown(what_compaction_moves_is_no_change, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_a_batch_wrote_before_a_cut_is_changed_behind_it, set_up,
	                                    tear_down),
	    cmocka_unit_test_setup_teardown(a_small_change_of_a_large_object_is_small, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("what was changed of large objects", tests, NULL, NULL);
}
