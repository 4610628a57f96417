/* Free space after a crash: found in steps, while writers go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base_internal.h"
#include "tests/support/one_thread.h"
#include "tests/support/sim_disk.h"

enum { LEAVES = 200, OBJECTS = LEAVES * FANOUT, BATCH = 256, WRITERS = 4 };

/* What the store should hold: each object's bytes follow from its number and version. */
struct object {
	ps_id id; /* PS_ID_NONE: deleted */
	uint32_t number, version;
};
struct world {
	struct sim_disk *disk;
	uint8_t *image; /* of the last crash; NULL: the disk lies over what all begin with */
	uint64_t image_size;
	ps_storer *s;
	struct object *objects;
	uint64_t random;
};

static uint64_t draw(uint64_t *random, uint64_t below)
{
	*random = *random * 6364136223846793005U + 1442695040888963407U;
	return (*random >> 33) % below;
}

static size_t size_of(const struct object *o)
{
	static const size_t sizes[] = {0, 24, 500, 3000, 4096, 9000, 50000, 70000};
	uint32_t kind = o->number % 97 + o->version * 5;
	return kind < 90 ? sizes[kind % 3] : sizes[kind % 8];
}

static void fill(const struct object *o, uint8_t *bytes)
{
	for (size_t i = 0, n = size_of(o); i < n; i++)
		bytes[i] = (uint8_t)(o->number * 31 + o->version * 7 + i * 13 + (i >> 8));
}

#define OK(call) assert_int_equal((call), PS_OK)

static ps_storer *open_disk(struct sim_disk *disk)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .background = PS_BACKGROUND_NONE,
	                                        .log_bytes = 256 << 10,
	                                        .initial_bytes = 64 << 10,
	                                        .memory_budget = 64 << 20};
	bool created = sim_disk_size(disk) == 0;
	ps_storer *s = NULL;
	OK(ps_base_open_io(sim_disk_io(disk), created, &options, &s));
	return s;
}

static void load(ps_storer *s, struct object *objects)
{
	uint8_t *bytes = malloc(100000);
	assert_non_null(bytes);
	for (uint32_t i = 0; i < OBJECTS;) {
		ps_batch *b;
		OK(ps_batch_begin(s, &b));
		for (uint32_t end = i + BATCH; i < end && i < OBJECTS; i++) {
			objects[i].number = i;
			fill(&objects[i], bytes);
			OK(ps_batch_put(b, bytes, size_of(&objects[i]), &objects[i].id));
		}
		OK(ps_batch_commit(b, PS_RELAXED));
	}
	OK(ps_sync(s));
	free(bytes);
}

/* The next open finds the disk as it is now. */
static void crash(struct world *w)
{
	uint64_t size = sim_disk_size(w->disk);
	uint8_t *image = malloc(size);
	assert_non_null(image);
	sim_disk_image(w->disk, image);
	(void)!ps_close(w->s);
	sim_disk_reset(w->disk, image, size);
	free(w->image);
	w->image = image;
	w->image_size = size;
	w->s = NULL;
}

static void change_one(struct world *w, struct object *o, uint8_t *bytes)
{
	if (!o->id || draw(&w->random, 3)) {
		o->version++;
		fill(o, bytes);
		if (o->id)
			OK(ps_replace(w->s, o->id, bytes, size_of(o)));
		else
			OK(ps_put(w->s, bytes, size_of(o), &o->id));
	} else {
		OK(ps_delete(w->s, o->id));
		o->id = PS_ID_NONE;
	}
}

static void change_some(struct world *w, unsigned count)
{
	uint8_t *bytes = malloc(100000);
	assert_non_null(bytes);
	while (count--)
		change_one(w, &w->objects[draw(&w->random, OBJECTS)], bytes);
	free(bytes);
}

static void all_is_right(ps_storer *s, const struct object *objects)
{
	uint8_t *bytes = malloc(100000), *back = malloc(100000);
	struct ps_stats stats;
	uint64_t count = 0, live = 0;
	assert_true(bytes && back);
	for (uint32_t i = 0; i < OBJECTS; i++) {
		size_t len = 0;
		if (!objects[i].id)
			continue;
		count++;
		live += size_of(&objects[i]);
		fill(&objects[i], bytes);
		OK(ps_get(s, objects[i].id, back, 100000, &len));
		assert_int_equal(len, size_of(&objects[i]));
		assert_memory_equal(bytes, back, len);
	}
	OK(ps_stats(s, &stats));
	assert_int_equal(stats.objects, count);
	assert_int_equal(stats.live_bytes, live);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	free(bytes);
	free(back);
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	w->objects = calloc(OBJECTS, sizeof(*w->objects));
	assert_non_null(w->objects);
	w->random = 1;
	return w;
}

/* What all tests begin with: loaded, and crashed with holes all over the file. */
static struct world *loaded;

static int load_once(void **state)
{
	(void)state;
	loaded = world_new();
	loaded->s = open_disk(loaded->disk);
	load(loaded->s, loaded->objects);
	change_some(loaded, 2000);
	crash(loaded);
	return 0;
}

static int set_up(void **state)
{
	struct world *w = world_new();
	sim_disk_reset(w->disk, loaded->image, loaded->image_size);
	memcpy(w->objects, loaded->objects, OBJECTS * sizeof(*w->objects));
	w->random = loaded->random;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	if (w->s)
		(void)!ps_close(w->s);
	sim_disk_free(w->disk);
	free(w->image);
	free(w->objects);
	free(w);
	return 0;
}

static int unload(void **state)
{
	*state = loaded;
	return tear_down(state);
}

static bool walks(const struct world *w)
{
	return store_of(w->s)->space.rebuild != NULL;
}

static uint64_t reads(const struct world *w)
{
	struct ps_io_stats stats = {0};
	sim_disk_io(w->disk)->ops->stats(sim_disk_io(w->disk), &stats);
	return stats.reads;
}

static void the_first_write_after_a_crash_reads_few_pages(void **state)
{
	struct world *w = *state;
	ps_id id;
	w->s = open_disk(w->disk);
	uint64_t before = reads(w);
	OK(ps_put(w->s, "first", 5, &id));
	assert_true(walks(w));
	assert_in_range(reads(w) - before, 1, LEAVES / 3);
	OK(ps_delete(w->s, id));
	all_is_right(w->s, w->objects);
	assert_false(walks(w));
}

static void the_walk_ends_within_as_many_commits_as_it_has_steps(void **state)
{
	struct world *w = *state;
	unsigned commits = 0;
	w->s = open_disk(w->disk);
	do {
		change_some(w, 1);
		commits++;
	} while (walks(w));
	assert_in_range(commits, 5, LEAVES);
	all_is_right(w->s, w->objects);
	OK(ps_close(w->s));
	w->s = open_disk(w->disk);
	all_is_right(w->s, w->objects);
}

/* At each depth of the walk; what is on the disk then is what the next open begins with. */
static void crashes_in_the_middle_of_the_walk_lose_and_leak_nothing(void **state)
{
	struct world *w = *state;
	uint64_t largest = 0;
	for (unsigned round = 1; round <= 24; round++) {
		w->s = open_disk(w->disk);
		change_some(w, round % 12 + 1);
		if (round % 5 == 0)
			OK(ps_sync(w->s));
		if (round == 12)
			largest = sim_disk_size(w->disk);
		crash(w);
	}
	w->s = open_disk(w->disk);
	all_is_right(w->s, w->objects);
	change_some(w, 500);
	all_is_right(w->s, w->objects);
	/* Space that was free before the crashes is used before the file grows again. */
	assert_true(sim_disk_size(w->disk) <= 2 * largest);
}

static uint32_t last_live(const struct world *w)
{
	uint32_t i = OBJECTS - 1;
	while (!w->objects[i].id)
		i--;
	return i;
}

static void a_full_disk_finishes_the_walk_and_uses_what_is_free(void **state)
{
	struct world *w = *state;
	ps_id id;
	struct ps_stats stats;
	sim_disk_limit(w->disk, sim_disk_size(w->disk));
	w->s = open_disk(w->disk);
	uint32_t last = last_live(w);
	OK(ps_delete(w->s, w->objects[last].id));
	w->objects[last].id = PS_ID_NONE;
	assert_false(walks(w));
	OK(ps_put(w->s, "fits", 4, &id));
	OK(ps_delete(w->s, id));
	OK(ps_stats(w->s, &stats));
	assert_true(stats.free_bytes > 0);
	all_is_right(w->s, w->objects);
}

/* A slot that came free while the walk was elsewhere, and was then taken, is not found free by the walk. */
static void an_id_that_an_open_batch_was_given_is_given_to_nobody_else(void **state)
{
	enum { HELD = 300 };
	struct world *w = *state;
	static ps_id held[HELD], id;
	ps_batch *b;
	w->s = open_disk(w->disk);
	uint32_t last = last_live(w);
	OK(ps_delete(w->s, w->objects[last].id));
	w->objects[last].id = PS_ID_NONE;
	OK(ps_put(w->s, "a", 1, &id)); /* with two blocks behind it the delete is past */
	OK(ps_delete(w->s, id));
	assert_true(walks(w));
	OK(ps_batch_begin(w->s, &b));
	for (unsigned i = 0; i < HELD; i++)
		OK(ps_batch_put(b, "held", 4, &held[i]));
	assert_true(walks(w));
	do
		change_some(w, 1);
	while (walks(w));
	for (unsigned i = 0; i < 2000; i++) {
		OK(ps_put(w->s, "new", 3, &id));
		for (unsigned j = 0; j < HELD; j++)
			assert_true(id >> 24 != held[j] >> 24);
		OK(ps_delete(w->s, id));
	}
	OK(ps_batch_commit(b, PS_DURABLE));
	for (unsigned i = 0; i < HELD; i++)
		OK(ps_delete(w->s, held[i]));
	all_is_right(w->s, w->objects);
}

/* The walk passes slots whose delete is not durable yet. */
static void a_slot_is_not_used_anew_before_its_delete_is_durable(void **state)
{
	enum { PUTS = 300 };
	struct world *w = *state;
	static ps_id ids[PUTS];
	struct ps_stats stats;
	w->s = open_disk(w->disk);
	store_of(w->s)->options.durability = PS_RELAXED;
	uint32_t last = last_live(w);
	uint64_t slot = w->objects[last].id >> 24;
	OK(ps_put(w->s, "b", 1, &ids[0]));
	OK(ps_delete(w->s, w->objects[last].id));
	w->objects[last].id = PS_ID_NONE;
	OK(ps_stats(w->s, &stats)); /* ends the walk */
	assert_false(walks(w));
	for (unsigned i = 1; i < PUTS; i++) {
		OK(ps_put(w->s, "b", 1, &ids[i]));
		assert_true(ids[i] >> 24 != slot);
	}
	for (unsigned i = 0; i < PUTS; i++)
		OK(ps_delete(w->s, ids[i]));
	all_is_right(w->s, w->objects);
}

/* Nothing below the place where the walk began is given out. */
static void a_damaged_leaf_keeps_all_space_below_the_tail(void **state)
{
	struct world *w = *state;
	uint64_t tail = sim_disk_size(w->disk), place = 0;
	uint8_t *bytes = calloc(1, 60000);
	assert_non_null(bytes);
	w->s = open_disk(w->disk);
	struct store *s = store_of(w->s);
	struct entry e;
	OK(table_get(&s->table, 150 * FANOUT, &e));
	place = table_group(&s->table, 1)->child[150 % FANOUT].place[0];
	assert_true(place > 0);
	(void)!ps_close(w->s);
	w->image = malloc(tail);
	assert_non_null(w->image);
	memcpy(w->image, loaded->image, tail);
	memset(w->image + place, 0xa5, PAGE);
	sim_disk_reset(w->disk, w->image, tail);
	w->s = open_disk(w->disk);
	for (int i = 0; i < 50; i++) {
		struct ps_info info;
		ps_id id;
		OK(ps_put(w->s, bytes, i % 2 ? 60000 : 100, &id));
		OK(ps_info(w->s, id, &info));
		assert_true(info.offset >= tail);
	}
	assert_int_equal(ps_check(w->s, PS_CHECK_QUICK, NULL, NULL), PS_ECORRUPT);
	assert_false(walks(w));
	free(bytes);
}

/* ---- threads ---- */

struct writer {
	pthread_t thread;
	struct world world;
	uint32_t first;
	unsigned count;
};

static void *write_on(void *arg)
{
	struct writer *writer = arg;
	uint8_t *bytes = malloc(100000);
	assert_non_null(bytes);
	for (unsigned i = 0; i < writer->count; i++) {
		uint64_t n = draw(&writer->world.random, OBJECTS / WRITERS);
		change_one(&writer->world, &writer->world.objects[writer->first + n], bytes);
	}
	free(bytes);
	return NULL;
}

/* What a crash would leave: the file of a store that is still open, and rests. */
static void copy_file(const char *from, const char *to)
{
	static char part[1 << 20];
	FILE *in = fopen(from, "re"), *out = fopen(to, "we");
	assert_true(in && out);
	for (size_t n; (n = fread(part, 1, sizeof(part), in)) > 0;)
		assert_int_equal(fwrite(part, 1, n, out), n);
	(void)fclose(in);
	assert_int_equal(fclose(out), 0);
}

static void load_and_crash(const char *path, struct object *objects)
{
	const struct ps_base_options options = {.size = sizeof(options), .background = PS_BACKGROUND_NONE};
	char other[] = "rebuild_test.XXXXXX";
	int fd = mkstemp(other);
	ps_storer *s;
	assert_true(fd >= 0);
	OK(ps_base_open(other, &options, &s));
	load(s, objects);
	copy_file(other, path);
	OK(ps_close(s));
	close(fd);
	unlink(other);
}

static void racing_writers_and_the_walk_share_the_space(void **state)
{
	struct object *objects = calloc(OBJECTS, sizeof(*objects));
	const struct ps_base_options options = {.size = sizeof(options), .durability = PS_RELAXED};
	struct writer writers[WRITERS] = {0};
	char path[] = "rebuild_test.XXXXXX";
	int fd = mkstemp(path);
	ps_storer *s;
	(void)state;
	assert_true(objects && fd >= 0);
	load_and_crash(path, objects);
	OK(ps_base_open(path, &options, &s));
	for (uint32_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.world = {.s = s, .objects = objects, .random = i + 1},
		                             .first = i * (OBJECTS / WRITERS),
		                             .count = 700};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	all_is_right(s, objects);
	OK(ps_close(s));
	OK(ps_base_open(path, &options, &s));
	all_is_right(s, objects);
	OK(ps_close(s));
	close(fd);
	unlink(path);
	free(objects);
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest alone[] = {
	    WORLD(the_first_write_after_a_crash_reads_few_pages),
	    WORLD(the_walk_ends_within_as_many_commits_as_it_has_steps),
	    WORLD(crashes_in_the_middle_of_the_walk_lose_and_leak_nothing),
	    WORLD(a_full_disk_finishes_the_walk_and_uses_what_is_free),
	    WORLD(an_id_that_an_open_batch_was_given_is_given_to_nobody_else),
	    WORLD(a_slot_is_not_used_anew_before_its_delete_is_durable),
	    WORLD(a_damaged_leaf_keeps_all_space_below_the_tail),
	};
	const struct CMUnitTest threads[] = {
	    cmocka_unit_test(racing_writers_and_the_walk_share_the_space),
	};
	int failed = one_thread_run(alone, load_once, unload);
	return failed + threads_run(threads, NULL, NULL);
}
