/* A superblock that claims more slots than there are, and table leaves that cannot be read: no call goes
 * through what does not exist, or tries the same page again and again. Time is bounded by an alarm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { OBJECTS = 1000, SECONDS = 240 };

struct fixture {
	struct sim_disk *disk;
	uint8_t *image;
	uint64_t size;
	ps_id ids[OBJECTS];
};

#define OK(call) assert_int_equal((call), PS_OK)

static ps_storer *open_disk(struct sim_disk *disk)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .background = PS_BACKGROUND_NONE,
	                                        .log_bytes = 64 << 10,
	                                        .initial_bytes = 64 << 10};
	bool created = sim_disk_size(disk) == 0;
	ps_storer *s = NULL;
	OK(ps_base_open_io(sim_disk_io(disk), created, &options, &s));
	return s;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(f->disk, false);
	ps_storer *s = open_disk(f->disk);
	for (int i = 0; i < OBJECTS; i++)
		OK(ps_put(s, &i, sizeof(i), &f->ids[i]));
	OK(ps_close(s));
	f->size = sim_disk_size(f->disk);
	f->image = malloc(f->size);
	assert_non_null(f->image);
	sim_disk_image(f->disk, f->image);
	sim_disk_reset(f->disk, f->image, f->size);
	alarm(SECONDS);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	alarm(0);
	sim_disk_free(f->disk);
	free(f->image);
	free(f);
	return 0;
}

static void forge(struct fixture *f, uint64_t slots, bool clean)
{
	for (int i = 0; i < SUPERBLOCKS; i++) {
		struct disk_superblock *sb =
		    (struct disk_superblock *)(void *)(f->image + superblock_offset(i));
		sb->slots = ps_set64(slots);
		sb->clean = (uint8_t)clean;
		sb->snapshot_len = ps_set64(0);
		sb->checksum = ps_set64(XXH3_64bits(sb, offsetof(struct disk_superblock, checksum)));
	}
}

static int count_one(void *arg, ps_id id)
{
	(void)id;
	++*(unsigned *)arg;
	return 0;
}

static void forged_slots(struct fixture *f, bool clean)
{
	char path[] = "forged_test.XXXXXX";
	unsigned count = 0;
	struct ps_stats stats;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	forge(f, (uint64_t)GROUP_SLOTS * GROUPS_PER_CHUNK * GROUP_CHUNKS, clean);
	ps_storer *s = open_disk(f->disk);
	OK(ps_delete(s, f->ids[0]));
	OK(ps_each(s, PS_ID_NONE, count_one, &count));
	assert_int_equal(count, OBJECTS - 1);
	OK(ps_stats(s, &stats));
	assert_int_equal(stats.objects, OBJECTS - 1);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_backup(s, path, NULL, NULL));
	OK(ps_compact(s, 0, NULL, NULL));
	OK(ps_close(s));
	unlink(path);
}

static void a_forged_number_of_slots_costs_no_time(void **state)
{
	forged_slots(*state, true);
}

static void nor_does_it_after_a_crash(void **state)
{
	forged_slots(*state, false);
}

/* The slots of the last leaf, half of them free, can be read no more: its page is tried a few times, not once
 * a slot. */
static void an_unreadable_leaf_is_not_tried_for_each_of_its_slots(void **state)
{
	struct fixture *f = *state;
	struct ps_io_stats before = {0}, after = {0};
	struct ps_io *io = sim_disk_io(f->disk);
	ps_id id;
	ps_storer *s = open_disk(f->disk);
	for (int i = 512; i < OBJECTS; i++)
		OK(ps_delete(s, f->ids[i]));
	OK(ps_close(s));
	s = open_disk(f->disk);
	uint64_t last = atomic_load(&store_of(s)->table.slots) / FANOUT;
	uint64_t place = 0;
	struct entry e;
	OK(table_get(&store_of(s)->table, 0, &e));
	place = table_group(&store_of(s)->table, 0)->child[last].place[0];
	assert_true(place > 0);
	OK(ps_close(s));
	uint64_t size = sim_disk_size(f->disk);
	uint8_t *image = malloc(size);
	assert_non_null(image);
	sim_disk_image(f->disk, image);
	memset(image + place, 0x5a, PAGE);
	sim_disk_reset(f->disk, image, size);
	s = open_disk(f->disk);
	io->ops->stats(io, &before);
	for (int i = 0; i < 400; i++)
		OK(ps_put(s, "new", 3, &id));
	io->ops->stats(io, &after);
	assert_in_range(after.reads - before.reads, 1, 64);
	(void)!ps_close(s);
	sim_disk_reset(f->disk, f->image, f->size);
	free(image);
}

int main(void)
{
#define FORGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    FORGED(a_forged_number_of_slots_costs_no_time),
	    FORGED(nor_does_it_after_a_crash),
	    FORGED(an_unreadable_leaf_is_not_tried_for_each_of_its_slots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
