/* The simulated disk against a plain array, and the explorer against the states that the model's words allow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/crash_states.h"

enum { SECTOR = SIM_SECTOR, MAX_STATES = 4096, MAX_SECTORS = 64 };

/* A state as a short text: a letter a sector, '.' for zeros, so that sets of states can be written down. */
struct seen {
	char states[MAX_STATES][MAX_SECTORS + 1];
	size_t points[MAX_STATES];
	size_t count;
	size_t from_point; /* only states of this point on are kept */
};

static struct seen seen;

static int keep_state(void *arg, const struct crash_state *state)
{
	struct seen *s = arg;
	if (state->point < s->from_point)
		return 0;
	assert_true(s->count < MAX_STATES);
	assert_true(state->size / SECTOR <= MAX_SECTORS);
	char *text = s->states[s->count];
	memset(text, 0, MAX_SECTORS + 1);
	for (uint64_t i = 0; i < state->size / SECTOR; i++) {
		const uint8_t *sector = state->image + i * SECTOR;
		assert_memory_equal(sector, sector + 1, SECTOR - 1);
		text[i] = sector[0] ? (char)sector[0] : '.';
	}
	s->points[s->count++] = state->point;
	return 0;
}

static bool saw(const char *text)
{
	for (size_t i = 0; i < seen.count; i++) {
		if (strcmp(seen.states[i], text) == 0)
			return true;
	}
	return false;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static size_t distinct_states(void)
{
	size_t count = 0;
	qsort(seen.states, seen.count, sizeof(seen.states[0]), by_text);
	for (size_t i = 0; i < seen.count; i++)
		count += i == 0 || strcmp(seen.states[i], seen.states[i - 1]) != 0;
	return count;
}

/* Exactly these, given one after another with blanks between. */
static void assert_states(const char *list)
{
	size_t count = 0;
	char copy[1024], *rest = copy;
	assert_true(strlen(list) < sizeof(copy));
	strcpy(copy, list);
	for (char *text; (text = strsep(&rest, " ")) != NULL; count++) {
		if (!saw(text))
			fail_msg("not seen: \"%s\"", text);
	}
	assert_int_equal(distinct_states(), count);
}

static struct sim_disk *disk;
static struct ps_io *io;
static uint8_t start_image[MAX_SECTORS * SECTOR];
static uint64_t start_size;

static void begin(const char *sectors)
{
	start_size = strlen(sectors) * SECTOR;
	for (size_t i = 0; sectors[i]; i++)
		memset(start_image + i * SECTOR, sectors[i] == '.' ? 0 : sectors[i], SECTOR);
	sim_disk_reset(disk, start_image, start_size);
	io = sim_disk_io(disk);
	memset(&seen, 0, sizeof(seen));
}

static void put(uint64_t sector, const char *letters, bool sync)
{
	static _Alignas(SECTOR) uint8_t bytes[MAX_SECTORS * SECTOR];
	size_t n = strlen(letters);
	for (size_t i = 0; i < n; i++)
		memset(bytes + i * SECTOR, letters[i] == '.' ? 0 : letters[i], SECTOR);
	assert_int_equal(ps_io_write(io, sector * SECTOR, bytes, n * SECTOR, sync), PS_OK);
}

static void flush(void)
{
	assert_int_equal(io->ops->flush(io), PS_OK);
}

static uint64_t explore(const struct crash_options *options)
{
	return crash_explore(start_image, start_size, sim_disk_trace(disk), options, keep_state, &seen, NULL);
}

static int setup(void **state)
{
	(void)state;
	disk = sim_disk_new(NULL, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sim_disk_free(disk);
	return 0;
}

static void unflushed_sectors_land_independently(void **state)
{
	(void)state;
	begin("ab");
	put(0, "A", false);
	put(1, "B", false);
	assert_int_equal(explore(NULL), 4);
	assert_states("ab Ab aB AB");
	begin("ab");
	put(0, "AB", false);
	assert_int_equal(explore(NULL), 4);
	assert_states("ab Ab aB AB");
}

static void flushed_writes_are_there(void **state)
{
	(void)state;
	begin("ab");
	put(0, "A", false);
	put(1, "B", false);
	flush();
	seen.from_point = 3;
	assert_int_equal(explore(NULL), 5); /* four before the flush, one after */
	assert_states("AB");
}

static void sync_write_is_durable_alone(void **state)
{
	(void)state;
	begin("ab");
	put(0, "A", false);
	put(1, "B", true);
	seen.from_point = 2;
	explore(NULL);
	assert_states("aB AB");
	/* While it runs anything goes. */
	begin("ab");
	put(0, "A", false);
	put(1, "B", true);
	seen.from_point = 1;
	explore(NULL);
	assert_states("ab Ab aB AB");
	begin("ab");
	sim_disk_lie(disk, true);
	put(0, "A", true);
	put(1, "B", false);
	flush();
	seen.from_point = 2;
	explore(NULL);
	assert_states("ab Ab aB AB");
	/* Over an older version that no flush covered: that one cannot come back. */
	begin("a");
	put(0, "A", false);
	put(0, "B", true);
	seen.from_point = 2;
	explore(NULL);
	assert_states("B");
}

static void any_version_of_a_sector_may_be_there(void **state)
{
	(void)state;
	begin("a");
	put(0, "A", false);
	put(0, "B", false);
	put(0, "C", false);
	assert_int_equal(explore(NULL), 4);
	assert_states("a A B C");
}

static void same_bytes_are_no_choice(void **state)
{
	(void)state;
	begin("abc");
	put(0, "abX", false);
	put(0, "a", false);
	assert_int_equal(explore(NULL), 2);
	assert_states("abc abX");
}

static void length_is_ahead_of_the_data_or_behind(void **state)
{
	(void)state;
	begin("a");
	put(1, "B", false);
	explore(NULL);
	assert_states("a a. aB");
	begin("a");
	assert_int_equal(io->ops->allocate(io, 0, 3 * SECTOR), PS_OK);
	explore(NULL);
	assert_states("a a..");
	/* A sync write needs the length to be found again. */
	begin("a");
	assert_int_equal(io->ops->allocate(io, 0, 3 * SECTOR), PS_OK);
	put(1, "B", true);
	seen.from_point = 2;
	explore(NULL);
	assert_states("aB.");
	/* One inside the old length does not. */
	begin("a");
	assert_int_equal(io->ops->allocate(io, 0, 3 * SECTOR), PS_OK);
	put(0, "A", true);
	seen.from_point = 2;
	explore(NULL);
	assert_states("A A..");
}

static void holes_and_truncations_may_not_have_happened(void **state)
{
	(void)state;
	begin("abcd");
	assert_int_equal(io->ops->punch(io, SECTOR, 2 * SECTOR), PS_OK);
	assert_int_equal(explore(NULL), 2);
	assert_states("abcd a..d");
	begin("abcd");
	assert_int_equal(io->ops->punch(io, SECTOR, 2 * SECTOR), PS_OK);
	put(1, "B", false);
	explore(NULL);
	assert_states("abcd a..d aBcd aB.d");
	begin("abcd");
	put(1, "B", false);
	assert_int_equal(io->ops->punch(io, SECTOR, SECTOR), PS_OK);
	explore(NULL);
	assert_states("abcd aBcd a.cd");
	begin("a..d");
	assert_int_equal(io->ops->punch(io, SECTOR, 2 * SECTOR), PS_OK);
	assert_int_equal(explore(NULL), 1);
	begin("abcd");
	assert_int_equal(io->ops->truncate(io, 2 * SECTOR), PS_OK);
	explore(NULL);
	assert_states("abcd ab");
	begin("abcd");
	assert_int_equal(io->ops->truncate(io, 2 * SECTOR), PS_OK);
	assert_int_equal(io->ops->allocate(io, 0, 4 * SECTOR), PS_OK);
	explore(NULL);
	assert_states("abcd ab ab..");
	begin("abcd");
	assert_int_equal(io->ops->truncate(io, 2 * SECTOR), PS_OK);
	put(3, "D", true);
	seen.from_point = 2;
	explore(NULL);
	assert_states("ab.D");
	/* Nor does a version from before the truncation come back, or a hole from before the sync write take
	 * its bytes. */
	begin("abcd");
	put(3, "X", false);
	assert_int_equal(io->ops->truncate(io, 2 * SECTOR), PS_OK);
	put(2, "C", true);
	assert_int_equal(io->ops->allocate(io, 0, 4 * SECTOR), PS_OK);
	seen.from_point = 4;
	explore(NULL);
	assert_states("abC abC.");
	begin("abcd");
	assert_int_equal(io->ops->punch(io, SECTOR, 2 * SECTOR), PS_OK);
	put(1, "B", true);
	seen.from_point = 2;
	explore(NULL);
	assert_states("aBcd aB.d");
}

static void every_point_adds_nothing_new(void **state)
{
	(void)state;
	for (int every = 0; every < 2; every++) {
		begin("abcd");
		put(0, "A", false);
		put(1, "BC", false);
		flush();
		put(3, "D", false);
		put(0, "X", true);
		explore(&(struct crash_options){.every_point = every});
		assert_int_equal(distinct_states(), 11);
	}
}

static void samples_hold_all_none_and_singles(void **state)
{
	(void)state;
	begin("aaaaaaaaaaaaaaaaaaaa");
	put(0, "AAAAAAAAAAAAAAAAAAAA", false);
	uint64_t count = explore(&(struct crash_options){.exhaustive = 1000, .samples = 10, .seed = 7});
	assert_true(count > 50 && count < 100);
	char text[] = "aaaaaaaaaaaaaaaaaaaa", full[] = "AAAAAAAAAAAAAAAAAAAA";
	assert_true(saw(text) && saw(full));
	for (size_t i = 0; i < 20; i++) {
		text[i] = 'A';
		full[i] = 'a';
		assert_true(saw(text) && saw(full));
		text[i] = 'a';
		full[i] = 'A';
	}
}

static void samples_hold_each_prefix_of_the_writes(void **state)
{
	(void)state;
	begin("aaaaaaaaaaaa");
	for (uint64_t i = 0; i < 4; i++)
		put(3 * i, "AAA", false);
	explore(&(struct crash_options){.exhaustive = 1000, .samples = 1, .seed = 7});
	assert_true(saw("aaaaaaaaaaaa") && saw("AAAaaaaaaaaa") && saw("AAAAAAaaaaaa") && saw("AAAAAAAAAaaa"));
	assert_true(saw("aaaAAAAAAAAA") && saw("aaaAAAaaaaaa"));
}

/* The words of the model, followed to the letter: each effect on a sector since the last flush happened or
 * not. */
struct effect {
	unsigned sector, sectors;
	char letter; /* 0: a hole */
};
struct plain_model {
	char durable[4];
	struct effect effects[16];
	size_t count;
};

static void plain_add(struct plain_model *m, unsigned sector, unsigned sectors, char letter)
{
	m->effects[m->count++] = (struct effect){sector, sectors, letter};
}

static void plain_apply(char *text, const struct effect *effect)
{
	for (unsigned i = 0; i < effect->sectors; i++)
		text[effect->sector + i] = effect->letter ? effect->letter : '.';
}

static void plain_flush(struct plain_model *m)
{
	for (size_t i = 0; i < m->count; i++)
		plain_apply(m->durable, &m->effects[i]);
	m->count = 0;
}

/* The states that it allows, as a sorted list without doubles. */
static size_t plain_states(const struct plain_model *m, char states[][4])
{
	size_t count = 0;
	for (unsigned subset = 0; subset < 1U << m->count; subset++) {
		char text[4];
		memcpy(text, m->durable, 4);
		for (size_t i = 0; i < m->count; i++) {
			if (subset >> i & 1)
				plain_apply(text, &m->effects[i]);
		}
		size_t known = 0;
		while (known < count && memcmp(states[known], text, 4) != 0)
			known++;
		if (known == count)
			memcpy(states[count++], text, 4);
	}
	return count;
}

static void random_step(struct plain_model *m, unsigned *seed)
{
	unsigned kind = (unsigned)rand_r(seed) % 8, sector = (unsigned)rand_r(seed) % 3;
	unsigned sectors = 1 + (unsigned)rand_r(seed) % (3 - sector);
	char letters[4] = {0};
	if (kind == 0) {
		flush();
		plain_flush(m);
	} else if (kind == 1) {
		assert_int_equal(io->ops->punch(io, sector * SECTOR, sectors * SECTOR), PS_OK);
		plain_add(m, sector, sectors, 0);
	} else {
		for (unsigned i = 0; i < sectors; i++) {
			letters[i] = (char)('a' + rand_r(seed) % 4);
			plain_add(m, sector + i, 1, letters[i]);
		}
		put(sector, letters, false);
	}
}

static void random_traces_give_the_models_states(void **state)
{
	(void)state;
	static char expected[1 << 15][4];
	for (unsigned seed = 1; seed <= 300; seed++) {
		unsigned random = seed;
		struct plain_model m = {.durable = "xyz"};
		begin("xyz");
		while (m.count < 9)
			random_step(&m, &random);
		seen.from_point = sim_disk_trace(disk)->count;
		explore(&(struct crash_options){.seed = seed});
		size_t count = plain_states(&m, expected);
		for (size_t i = 0; i < count; i++) {
			if (!saw(expected[i]))
				fail_msg("seed %u: state \"%s\" was not tried", seed, expected[i]);
		}
		if (distinct_states() != count)
			fail_msg("seed %u: %zu states, not %zu", seed, distinct_states(), count);
	}
}

static void disk_holds_what_an_array_would(void **state)
{
	(void)state;
	enum { SIZE = 64 * SECTOR };
	static _Alignas(SECTOR) uint8_t plain[SIZE], bytes[SIZE], now[SIZE];
	unsigned seed = 5;
	memset(start_image, 'q', sizeof(start_image));
	for (int round = 0; round < 50; round++) {
		uint64_t size = 20 * SECTOR;
		sim_disk_reset(disk, start_image, size);
		io = sim_disk_io(disk);
		memset(plain, 0, SIZE);
		memcpy(plain, start_image, size);
		for (int step = 0; step < 60; step++) {
			uint64_t from = (uint64_t)(rand_r(&seed) % 64) * SECTOR;
			uint64_t len = (uint64_t)(rand_r(&seed) % (int)(65 - from / SECTOR)) * SECTOR;
			uint64_t end = from + len;
			switch (rand_r(&seed) % 4) {
			case 0:
				memset(bytes, 1 + rand_r(&seed) % 255, len);
				assert_int_equal(ps_io_write(io, from, bytes, len, false), PS_OK);
				memcpy(plain + from, bytes, len);
				size = end > size ? end : size;
				break;
			case 1:
				assert_int_equal(io->ops->truncate(io, from), PS_OK);
				memset(plain + from, 0, SIZE - from);
				size = from;
				break;
			case 2:
				assert_int_equal(io->ops->punch(io, from, len), PS_OK);
				memset(plain + from, 0, len);
				break;
			default:
				assert_int_equal(io->ops->allocate(io, from, len), PS_OK);
				size = end > size ? end : size;
			}
			assert_int_equal(sim_disk_size(disk), size);
			assert_int_equal(ps_io_read(io, 0, now, SIZE), PS_OK);
			assert_memory_equal(now, plain, SIZE);
		}
		for (size_t i = 0; i < sizeof(start_image); i++)
			assert_int_equal(start_image[i], 'q');
	}
}

static void chosen_call_fails(void **state)
{
	(void)state;
	static _Alignas(SECTOR) uint8_t sector[SECTOR];
	for (int forever = 0; forever < 2; forever++) {
		begin("ab");
		sim_disk_fail(disk, 2, EIO, forever);
		put(0, "A", false);
		assert_int_equal(io->ops->flush(io), PS_EIO);
		assert_int_equal(io->ops->punch(io, 0, SECTOR), forever ? PS_EIO : PS_OK);
		assert_int_equal(io->ops->allocate(io, 0, SECTOR), forever ? PS_EIO : PS_OK);
		assert_int_equal(io->ops->truncate(io, SECTOR), forever ? PS_EIO : PS_OK);
		assert_int_equal(ps_io_read(io, 0, sector, SECTOR), forever ? PS_EIO : PS_OK);
		assert_int_equal(ps_io_write(io, 0, sector, SECTOR, true), forever ? PS_EIO : PS_OK);
		assert_int_equal(sim_disk_calls(disk), 7);
		assert_int_equal(sim_disk_faults(disk), forever ? 6 : 1);
		assert_int_equal(sim_disk_trace(disk)->count, forever ? 1 : 5);
		assert_int_equal(sim_disk_changes_after_failed_flush(disk), 4); /* a read is none */
		sim_disk_fail(disk, 0, 0, false);
		flush();
	}
}

static void full_disk_refuses_growth_only(void **state)
{
	(void)state;
	begin("ab");
	sim_disk_limit(disk, 3 * SECTOR);
	assert_int_equal(io->ops->allocate(io, 0, 4 * SECTOR), PS_ENOSPC);
	assert_int_equal(sim_disk_size(disk), 2 * SECTOR);
	assert_int_equal(io->ops->allocate(io, 0, 3 * SECTOR), PS_OK);
	assert_int_equal(io->ops->truncate(io, 4 * SECTOR), PS_ENOSPC);
	put(2, "C", false);
}

static int stop_at_third(void *arg, const struct crash_state *state)
{
	(void)arg;
	return state->number == 2 ? 42 : 0;
}

static void callback_ends_the_exploration(void **state)
{
	(void)state;
	int result = 0;
	begin("ab");
	put(0, "AB", false);
	assert_int_equal(
	    crash_explore(start_image, start_size, sim_disk_trace(disk), NULL, stop_at_third, NULL, &result),
	    3);
	assert_int_equal(result, 42);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(disk_holds_what_an_array_would),
	    TEST(chosen_call_fails),
	    TEST(full_disk_refuses_growth_only),
	    TEST(unflushed_sectors_land_independently),
	    TEST(flushed_writes_are_there),
	    TEST(sync_write_is_durable_alone),
	    TEST(any_version_of_a_sector_may_be_there),
	    TEST(same_bytes_are_no_choice),
	    TEST(length_is_ahead_of_the_data_or_behind),
	    TEST(holes_and_truncations_may_not_have_happened),
	    TEST(every_point_adds_nothing_new),
	    TEST(samples_hold_all_none_and_singles),
	    TEST(samples_hold_each_prefix_of_the_writes),
	    TEST(random_traces_give_the_models_states),
	    TEST(callback_ends_the_exploration),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
