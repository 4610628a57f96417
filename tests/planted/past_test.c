/* What a log says that is not its store's: blocks of another history, blocks newer than the superblock,
 * blocks behind a break. The tail after a crash is cut off; all else is damage, and said to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "tests/crash/script.h"

enum { OBJECTS = 8 };

struct image {
	uint8_t *bytes;
	uint64_t size;
};

/* A store as it should be, the image of its file, and a damaged copy of that. */
struct past {
	struct sim_disk *disk;
	struct run *run;
	struct image whole;
	uint8_t *damaged;
};

static struct image image_of(const struct sim_disk *disk)
{
	struct image image = {malloc(sim_disk_size(disk)), sim_disk_size(disk)};
	assert_non_null(image.bytes);
	sim_disk_image(disk, image.bytes);
	return image;
}

static void put_some(struct run *run)
{
	const uint64_t sizes[OBJECTS] = {0, 1, 100, 700, 4095, 4096, 5000, 70000};
	for (unsigned i = 0; i < OBJECTS; i++)
		step_put(run, i, sizes[i]);
	step_alloc(run, OBJECTS, 9000);
	step_delete(run, OBJECTS);
}

static struct past past_whole(void)
{
	struct past r = {.disk = sim_disk_new(NULL, 0)};
	r.run = run_new(r.disk, 1);
	run_open(r.run);
	put_some(r.run);
	run_close(r.run);
	r.whole = image_of(r.disk);
	r.damaged = malloc(r.whole.size);
	assert_non_null(r.damaged);
	memcpy(r.damaged, r.whole.bytes, r.whole.size);
	return r;
}

static void past_free(struct past *r)
{
	run_free(r->run);
	sim_disk_free(r->disk);
	free(r->whole.bytes);
	free(r->damaged);
}

/* How many objects could not be read. `where` is for the sentence. */
static unsigned lost_objects(struct run *run, ps_storer *s, uint64_t where)
{
	static uint8_t buf[100000];
	unsigned lost = 0;
	for (unsigned i = 0; i < SCRIPT_OBJECTS; i++) {
		const struct oracle_content *content =
		    run->ids[i] ? oracle_now(run->oracle, run->ids[i]) : NULL;
		size_t len = 0;
		if (!content)
			continue;
		int err = ps_get(s, run->ids[i], buf, sizeof(buf), &len);
		if (err == PS_ECORRUPT)
			lost++;
		else if (err)
			fail_msg("damage at %llu: object %u: %s", (unsigned long long)where, i,
			         ps_last_error_message());
		else if (len != content->size || memcmp(buf, content->bytes, len) != 0)
			fail_msg("damage at %llu: object %u: wrong data", (unsigned long long)where, i);
	}
	return lost;
}

static void close_damaged(ps_storer *s)
{
	if (s)
		(void)!ps_close(s); /* what it finds damaged it may say */
}

/* Opens the damaged file and reads all. False: it says that it is damaged. */
static bool opens_right(struct past *r, uint64_t where, unsigned *lost)
{
	ps_storer *s;
	sim_disk_reset(r->disk, r->damaged, r->whole.size);
	sim_disk_set_tracing(r->disk, false);
	int err = store_open(r->disk, false, &s);
	if (err == PS_ECORRUPT || err == PS_EFORMAT)
		return false;
	if (err)
		fail_msg("damage at %llu: open: %s", (unsigned long long)where, ps_last_error_message());
	*lost = lost_objects(r->run, s, where);
	close_damaged(s);
	return true;
}

/* ---- old blocks -------------------------------------------------------------------------------------------
 */

/* The store goes on after `old` was taken, so far that all its superblocks and its whole log are others. */
static struct past past_new(struct image *old, bool closed, unsigned replaces)
{
	struct past r = past_whole();
	sim_disk_reset(r.disk, r.whole.bytes, r.whole.size);
	run_open(r.run);
	step_replace(r.run, 1, 90);
	if (closed)
		run_close(r.run);
	*old = image_of(r.disk);
	if (closed)
		run_open(r.run);
	for (unsigned i = 0; i < replaces; i++)
		step_replace(r.run, 1 + i % 6, 50 + 300 * i);
	if (closed)
		run_close(r.run);
	struct image now = image_of(r.disk);
	if (!closed)
		run_close(r.run);
	free(r.whole.bytes);
	free(r.damaged);
	r.whole = now;
	r.damaged = malloc(now.size);
	assert_non_null(r.damaged);
	memcpy(r.damaged, now.bytes, now.size);
	return r;
}

static void put_back(struct past *r, const struct image *old, uint64_t at)
{
	if (at < old->size)
		memcpy(r->damaged + at, old->bytes + at, PAGE);
}

/* All four superblocks as they were: the log knows better. */
static void lost_superblocks_are_noticed(void **state)
{
	struct image old;
	unsigned lost;
	(void)state;
	for (unsigned closed = 0; closed < 2; closed++) {
		struct past r = past_new(&old, closed, closed ? 1 : 12);
		for (int i = 0; i < SUPERBLOCKS; i++)
			put_back(&r, &old, superblock_offset(i));
		assert_false(opens_right(&r, 0, &lost));
		free(old.bytes);
		past_free(&r);
	}
}

/* ---- the log ---- */

/* A crash with so many blocks in the log. *first is the first one's place. With `base` the history begins
 * there. */
static struct past past_with_log(const struct image *base, unsigned blocks, uint64_t seed, uint64_t *first)
{
	struct past r = past_whole();
	r.run->seed = seed;
	if (base)
		sim_disk_reset(r.disk, base->bytes, base->size);
	else
		sim_disk_reset(r.disk, r.whole.bytes, r.whole.size);
	run_open(r.run);
	struct store *s = store_of(r.run->s);
	s->has_thread = true; /* no checkpoint */
	*first = ring_place(&s->log, s->log.end);
	for (unsigned i = 0; i < blocks; i++)
		step_replace(r.run, 1 + i, 60);
	assert_int_equal(ring_place(&s->log, s->log.end - blocks * PAGE), *first);
	struct image now = image_of(r.disk);
	s->has_thread = false;
	run_close(r.run);
	free(r.whole.bytes);
	free(r.damaged);
	r.whole = now;
	r.damaged = malloc(now.size);
	assert_non_null(r.damaged);
	memcpy(r.damaged, now.bytes, now.size);
	return r;
}

/* What a later block says was durable before it is not there: no crash does that. */
static void a_break_below_what_was_durable_is_damage(void **state)
{
	uint64_t first;
	unsigned lost;
	(void)state;
	struct past r = past_with_log(NULL, 3, 1, &first);
	assert_true(opens_right(&r, 0, &lost));
	assert_int_equal(lost, 0);
	for (unsigned byte = 0; byte < 120; byte += 7) {
		r.damaged[first + byte] ^= 4;
		assert_false(opens_right(&r, first + byte, &lost));
		r.damaged[first + byte] ^= 4;
	}
	past_free(&r);
}

/* A copy of the store went its own way from the same state: same store, epoch and place in the log. */
static void a_block_of_another_history_does_not_revive(void **state)
{
	uint64_t first, other_first;
	unsigned lost;
	(void)state;
	struct past base = past_whole();
	struct past r = past_with_log(&base.whole, 1, 1, &first),
	            other = past_with_log(&base.whole, 2, 2, &other_first);
	assert_int_equal(first, other_first);
	memcpy(r.damaged + first + PAGE, other.whole.bytes + first + PAGE, PAGE);
	assert_true(memcmp(r.damaged, r.whole.bytes, r.whole.size) != 0);
	assert_true(opens_right(&r, first + PAGE, &lost));
	assert_int_equal(lost, 0);
	past_free(&base);
	past_free(&r);
	past_free(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lost_superblocks_are_noticed),
	    cmocka_unit_test(a_break_below_what_was_durable_is_damage),
	    cmocka_unit_test(a_block_of_another_history_does_not_revive),
	};
	return cmocka_run_group_tests_name("past", tests, NULL, NULL);
}
