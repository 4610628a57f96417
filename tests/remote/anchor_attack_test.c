/* What a network may show in place of its newest head, and what may become of this machine's memory of it,
 * over generated histories: rolled back, forked, split, foreign, lost; an anchor and a machine's file damaged
 * in every byte; a machine whose state was put back; heads, runs and records with impossible figures. */
#include "tests/remote/group_memory.h"
#include "tests/remote/index_fixture.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remote/anchor.h"
#include "remote/run.h"
#include "remote/state.h"

enum { INSTANCES = 24, MOST_HEADS = 400, MACHINES = 3, MOST_FORKS = 8 };

/* ---- histories ---- */

struct history {
	struct ps_head heads[MOST_HEADS]; /* heads[i] has counter i + 1 */
	uint8_t hashes[MOST_HEADS][32];
	size_t count;
};

static void hash_of(const struct ps_head *head, uint8_t hash[32])
{
	size_t len = ps_head_bytes(head);
	uint8_t *bytes = malloc(len);
	assert_non_null(bytes);
	ps_head_encode(head, bytes);
	(void)crypto_generichash(hash, 32, bytes, len, NULL, 0);
	free(bytes);
}

static void machine_of(unsigned number, uint8_t id[PS_MACHINE])
{
	memset(id, (int)number + 1, PS_MACHINE);
}

static void first_head(struct history *h, uint64_t time_ns, uint8_t network)
{
	struct ps_head *head = &h->heads[0];
	ps_head_init(head, &group_memory);
	memset(head->network, network, sizeof(head->network));
	(void)strcpy(head->store, "main");
	struct ps_head nothing = *head;
	uint8_t id[PS_MACHINE];
	machine_of(0, id);
	ok(ps_head_next(&nothing, (uint8_t[32]){1}, id, "ada", time_ns, head));
	head->pairs_count = 0; /* of nothing: the first */
	ok(ps_head_check(head));
	hash_of(head, h->hashes[0]);
	h->count = 1;
}

static void append(struct history *h, unsigned machine, uint64_t time_ns)
{
	uint8_t id[PS_MACHINE];
	size_t n = h->count;
	machine_of(machine, id);
	ok(ps_head_next(&h->heads[n - 1], h->hashes[n - 1], id, "ada", time_ns, &h->heads[n]));
	ok(ps_head_check(&h->heads[n]));
	hash_of(&h->heads[n], h->hashes[n]);
	h->count++;
}

static void grow(struct history *h, struct dice *dice, size_t to)
{
	while (h->count < to)
		append(h, (unsigned)roll_below(dice, MACHINES), roll(dice) >> 1);
}

/* The same up to a head of the trunk, another one from there. */
static void branch(struct history *h, const struct history *trunk, size_t at)
{
	for (h->count = 0; h->count < at; h->count++) {
		ok(ps_head_copy(&h->heads[h->count], &trunk->heads[h->count]));
		memcpy(h->hashes[h->count], trunk->hashes[h->count], 32);
	}
}

static void done(struct history *h)
{
	while (h->count > 0)
		ps_head_done(&h->heads[--h->count]);
}

static struct history *two_histories(void)
{
	struct history *both = calloc(2, sizeof(*both));
	assert_non_null(both);
	return both;
}

/* ---- A7 to A11: what is shown, against the anchor ---- */

enum { VERDICT_FAILS = 100 };

/* The freshness, or VERDICT_FAILS and the code. */
static int verdict(const struct ps_anchor *anchor, const struct ps_head *head, const uint8_t hash[32])
{
	enum ps_freshness fresh;
	int err = ps_anchor_judge(anchor, head, hash, &fresh);
	return err == PS_OK ? (int)fresh : VERDICT_FAILS - err;
}

#define FAILS(code) (VERDICT_FAILS - (code))

static void expect(int is, int should, const char *what, uint64_t anchored, uint64_t shown)
{
	if (is != should)
		fail_msg("%s: anchor %llu, shown %llu: %d instead of %d", what, (unsigned long long)anchored,
		         (unsigned long long)shown, is, should);
}

/* By position alone, as a judge with all histories would say it. `common`: heads that both have. */
static int expected(uint64_t anchored, uint64_t shown, uint64_t common)
{
	if (shown < anchored)
		return FAILS(PS_EROLLBACK);
	if (shown > anchored && shown - anchored > PS_HEAD_PAIRS)
		return PS_FRESH_UNPROVEN;
	if (anchored > common)
		return FAILS(PS_EFORK);
	return shown == anchored ? PS_FRESH_SAME : PS_FRESH_NEWER;
}

/* Every head of both histories is shown to one who has used a head of the first. */
static void judge_all(const struct history *own, const struct history *other, uint64_t common,
                      uint64_t anchored)
{
	struct ps_anchor anchor;
	ps_anchor_of(&own->heads[anchored - 1], own->hashes[anchored - 1], 0, &anchor);
	for (size_t i = 0; i < own->count; i++)
		expect(verdict(&anchor, &own->heads[i], own->hashes[i]), expected(anchored, i + 1, anchored),
		       "own", anchored, i + 1);
	for (size_t i = 0; i < other->count; i++)
		expect(verdict(&anchor, &other->heads[i], other->hashes[i]),
		       expected(anchored, i + 1, common), "fork", anchored, i + 1);
	expect(verdict(&anchor, NULL, NULL), FAILS(PS_ELOST), "lost", anchored, 0);
}

static void rolled_back_forked_and_lost_heads_are_told(void **state)
{
	(void)state;
	struct dice dice = {test_seed(31)};
	struct history *both = two_histories();
	for (unsigned i = 0; i < INSTANCES; i++) {
		uint64_t common = 1 + roll_below(&dice, 60);
		first_head(&both[0], i, 3);
		grow(&both[0], &dice, common);
		branch(&both[1], &both[0], common);
		grow(&both[0], &dice,
		     common + 1 + roll_below(&dice, i % 4 == 0 ? MOST_HEADS - common - 1 : 40));
		grow(&both[1], &dice,
		     common + 1 + roll_below(&dice, i % 4 == 1 ? MOST_HEADS - common - 1 : 40));
		for (unsigned k = 0; k < MOST_FORKS;
		     k++) { /* each side of a split view refuses the other's */
			judge_all(&both[0], &both[1], common, 1 + roll_below(&dice, both[0].count));
			judge_all(&both[1], &both[0], common, 1 + roll_below(&dice, both[1].count));
		}
		done(&both[0]);
		done(&both[1]);
	}
	free(both);
}

/* Of another network or store, even where counter and hash are the anchor's. */
static void foreign_heads_are_refused(void **state)
{
	(void)state;
	struct dice dice = {test_seed(32)};
	struct history *both = two_histories();
	for (unsigned i = 0; i < INSTANCES; i++) {
		struct ps_anchor anchor;
		first_head(&both[0], i, 3);
		grow(&both[0], &dice, 1 + roll_below(&dice, 30));
		first_head(&both[1], i, i % 2 ? 4 : 3);
		if (i % 2 == 0)
			(void)strcpy(both[1].heads[0].store, "mains");
		grow(&both[1], &dice, 1 + roll_below(&dice, 60));
		size_t at = roll_below(&dice, both[0].count);
		ps_anchor_of(&both[0].heads[at], both[0].hashes[at], 0, &anchor);
		for (size_t k = 0; k < both[1].count; k++) {
			expect(verdict(&anchor, &both[1].heads[k], both[1].hashes[k]), FAILS(PS_EFORK),
			       "foreign", at + 1, k + 1);
			expect(verdict(&anchor, &both[1].heads[k], anchor.hash), FAILS(PS_EFORK), "foreign",
			       at + 1, k + 1);
		}
		done(&both[0]);
		done(&both[1]);
	}
	free(both);
}

/* One who has no anchor, and a head's code on paper. */
static void a_code_on_paper_tells_the_same(void **state)
{
	(void)state;
	struct dice dice = {test_seed(33)};
	struct history *both = two_histories();
	for (unsigned i = 0; i < INSTANCES; i++) {
		char text[PS_HEAD_CODE];
		uint64_t common = 1 + roll_below(&dice, 30);
		first_head(&both[0], i, 3);
		grow(&both[0], &dice, common);
		branch(&both[1], &both[0], common);
		grow(&both[0], &dice, common + 1 + roll_below(&dice, 30));
		grow(&both[1], &dice, common + 1 + roll_below(&dice, i % 3 ? 30 : MOST_HEADS - common - 1));
		uint64_t noted = 1 + roll_below(&dice, both[0].count);
		ps_head_code(noted, both[0].hashes[noted - 1], text);
		for (size_t k = 0; k < both[1].count; k++) {
			int should = expected(noted, k + 1, common), is;
			is = ps_head_code_compare(text, &both[1].heads[k], both[1].hashes[k]);
			should = should == PS_FRESH_UNPROVEN ? PS_ESUPERSEDED
			         : should < VERDICT_FAILS    ? PS_OK
			                                     : VERDICT_FAILS - should;
			expect(is, should, "code", noted, k + 1);
		}
		done(&both[0]);
		done(&both[1]);
	}
	free(both);
}

/* ---- A22: the machine's own memory was put back ---- */

static void a_machine_put_back_is_told(void **state)
{
	(void)state;
	struct dice dice = {test_seed(34)};
	struct history *both = two_histories();
	for (unsigned i = 0; i < INSTANCES; i++) {
		uint64_t last[MACHINES] = {0}, backup[MACHINES] = {0};
		size_t saved = 1 + roll_below(&dice, 20), length = saved + roll_below(&dice, 60);
		first_head(&both[0], i, 3);
		last[0] = backup[0] = 1;
		while (both[0].count < length) {
			unsigned machine = (unsigned)roll_below(&dice, MACHINES);
			append(&both[0], machine, i);
			last[machine] = both[0].count;
			if (both[0].count <= saved)
				backup[machine] = both[0].count;
		}
		const struct ps_head *head = &both[0].heads[length - 1];
		for (unsigned machine = 0; machine < MACHINES; machine++) {
			uint8_t id[PS_MACHINE];
			machine_of(machine, id);
			ok(ps_anchor_judge_self(head, id, last[machine]));
			if (backup[machine] < last[machine])
				refused(ps_anchor_judge_self(head, id, backup[machine]), PS_EFORK);
			else
				ok(ps_anchor_judge_self(head, id, backup[machine]));
		}
		done(&both[0]);
	}
	free(both);
}

/* ---- the files ---- */

struct file {
	char path[300];
	uint8_t whole[512];
	size_t len;
};

static void slurp(struct file *file)
{
	FILE *f = fopen(file->path, "rb");
	assert_non_null(f);
	file->len = fread(file->whole, 1, sizeof(file->whole), f);
	assert_int_equal(fclose(f), 0);
}

static void spill(const struct file *file, const uint8_t *bytes, size_t len)
{
	FILE *f = fopen(file->path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void is_still(const struct file *file, const uint8_t *bytes, size_t len)
{
	struct file now;
	memcpy(now.path, file->path, sizeof(now.path));
	slurp(&now);
	assert_int_equal(now.len, len);
	assert_memory_equal(now.whole, bytes, len);
}

/* Each byte changed in three ways, each length less, and more. check() must refuse it. */
static void damage_all(const struct file *file, void (*check)(void *arg), void *arg)
{
	uint8_t bytes[sizeof(file->whole) + 8] = {0};
	for (size_t i = 0; i < file->len * 3; i++) {
		memcpy(bytes, file->whole, file->len);
		bytes[i / 3] ^= (uint8_t[]){1, 0x80, 0xff}[i % 3];
		spill(file, bytes, file->len);
		check(arg);
		is_still(file, bytes, file->len);
	}
	memcpy(bytes, file->whole, file->len);
	for (size_t len = 0; len < file->len + 8; len++) {
		if (len == file->len)
			continue;
		spill(file, bytes, len);
		check(arg);
		is_still(file, bytes, len);
	}
	spill(file, file->whole, file->len);
}

static void anchor_is_refused(void *arg)
{
	struct ps_anchor anchor, later = {.store = "main", .counter = 1000, .hash = {2}};
	int err = ps_anchor_read(arg, "main", &anchor);
	if (err != PS_ECORRUPT && err != PS_EFORMAT)
		fail_msg("a damaged anchor: %s", ps_error_name(err));
	err = ps_anchor_write(arg, &later);
	if (err != PS_ECORRUPT && err != PS_EFORMAT)
		fail_msg("a damaged anchor was written over: %s", ps_error_name(err));
}

static void machine_is_refused(void *arg)
{
	struct ps_machine machine;
	refused(ps_state_machine(arg, &machine), PS_ECORRUPT);
}

static void damaged_files_are_refused_and_kept(void **state)
{
	(void)state;
	char home[] = "/tmp/padstone-state-XXXXXX", folder[256], command[400];
	struct ps_anchor anchor = {.store = "main", .counter = 7, .hash = {1}}, again;
	struct ps_machine machine, same;
	struct file file;
	assert_non_null(mkdtemp(home));
	ok(ps_state_store(home, "mem:x", "main", true, folder, sizeof(folder)));
	ok(ps_anchor_write(folder, &anchor));
	(void)snprintf(file.path, sizeof(file.path), "%s/anchor", folder);
	slurp(&file);
	damage_all(&file, anchor_is_refused, folder);
	ok(ps_anchor_read(folder, "main", &again));
	assert_memory_equal(&anchor, &again, sizeof(anchor));
	ok(ps_state_machine(home, &machine));
	(void)snprintf(file.path, sizeof(file.path), "%s/machine", home);
	slurp(&file);
	damage_all(&file, machine_is_refused, home);
	ok(ps_state_machine(home, &same));
	assert_memory_equal(&machine, &same, sizeof(same));
	(void)snprintf(command, sizeof(command), "rm -r %s", home);
	assert_int_equal(system(command), 0);
}

/* Random orders of writes: it stands at the latest of those that it took, and never took an older one. */
static void the_anchor_only_moves_on(void **state)
{
	(void)state;
	struct dice dice = {test_seed(35)};
	for (unsigned i = 0; i < INSTANCES; i++) {
		char home[] = "/tmp/padstone-state-XXXXXX", path[64];
		struct ps_anchor at = {.store = "main", .network = {1}}, is;
		assert_non_null(mkdtemp(home));
		for (unsigned step = 0; step < 30; step++) {
			struct ps_anchor next = {.store = "main",
			                         .network = {(uint8_t)(1 + (step % 7 == 6))}};
			next.counter = 1 + roll_below(&dice, 20);
			next.hash[0] = (uint8_t)roll_below(&dice, 2);
			int should = at.counter == 0 || (next.counter > at.counter) ||
			                     (next.counter == at.counter && next.hash[0] == at.hash[0])
			                 ? PS_OK
			                 : PS_EROLLBACK;
			if (at.counter > 0 && next.network[0] != at.network[0])
				should = PS_EFORK;
			int err = ps_anchor_write(home, &next);
			expect(err, should, "anchor written", at.counter, next.counter);
			if (err == PS_OK)
				at = next;
			ok(ps_anchor_read(home, "main", &is));
			assert_memory_equal(&is, &at, sizeof(is));
		}
		(void)snprintf(path, sizeof(path), "%s/anchor", home);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(rmdir(home), 0);
	}
}

/* ---- A20: figures that cannot be ---- */

static size_t peak, held;

static void *peak_alloc(void *arg, size_t size)
{
	(void)arg;
	held += size;
	peak = held > peak ? held : peak;
	return malloc(size);
}

static void *peak_resize(void *arg, void *old, size_t old_size, size_t new_size)
{
	(void)arg;
	held += new_size - old_size;
	peak = held > peak ? held : peak;
	return realloc(old, new_size);
}

static void peak_release(void *arg, void *old, size_t size)
{
	(void)arg;
	held -= size;
	free(old);
}

struct sample {
	const char *name;
	uint8_t *bytes;
	size_t len;
	/* Decodes and gives back: the code. */
	int (*decode)(struct ps_memory *m, const uint8_t *bytes, size_t len);
};

static int decode_record(struct ps_memory *m, const uint8_t *bytes, size_t len)
{
	struct ps_record record;
	int err = ps_record_decode(bytes, len, m, &record);
	ps_record_done(&record);
	return err;
}

static int decode_wire(struct ps_memory *m, const uint8_t *bytes, size_t len)
{
	struct ps_record record;
	int err = ps_record_decode_wire(bytes, len, m, &record);
	if (err == PS_OK)
		ps_record_done(&record);
	return err;
}

static int decode_head(struct ps_memory *m, const uint8_t *bytes, size_t len)
{
	struct ps_head head;
	int err = ps_head_decode(bytes, len, m, &head);
	if (err == PS_OK)
		ps_head_done(&head);
	return err;
}

static int decode_part(struct ps_memory *m, const uint8_t *bytes, size_t len)
{
	struct ps_run_part part;
	(void)m;
	return ps_run_part_decode(bytes, len, &part);
}

static int keep_part(void *arg, uint32_t part, const uint8_t *bytes, size_t len)
{
	struct sample *sample = arg;
	(void)part;
	sample->bytes = malloc(len);
	assert_non_null(sample->bytes);
	memcpy(sample->bytes, bytes, len);
	sample->len = len;
	return 0;
}

static void make_samples(struct dice *dice, struct sample samples[4])
{
	struct ps_record record;
	struct history *h = two_histories();
	make_blob(dice, &group_memory, "a name", 20, &record);
	samples[0] = (struct sample){"record", NULL, ps_record_bytes(&record), decode_record};
	samples[0].bytes = malloc(samples[0].len);
	ps_record_encode(&record, samples[0].bytes);
	samples[1] = (struct sample){"wire", NULL, ps_record_wire_bytes(&record), decode_wire};
	samples[1].bytes = malloc(samples[1].len);
	ps_record_encode_wire(&record, 7, samples[1].bytes);
	first_head(h, 1, 3);
	grow(h, dice, 30);
	struct ps_head_run run = {.id = {1}, .head = 1, .bytes = 100, .keys = 3, .base = true};
	ok(ps_slots_add(&run.pads, &group_memory, record.sets[PS_SET_CURRENT].slots, 20));
	ok(ps_head_add_run(&h->heads[29], &run));
	ps_slots_done(&run.pads, &group_memory);
	samples[2] = (struct sample){"head", NULL, ps_head_bytes(&h->heads[29]), decode_head};
	samples[2].bytes = malloc(samples[2].len);
	ps_head_encode(&h->heads[29], samples[2].bytes);
	done(h);
	free(h);
	samples[3] = (struct sample){.name = "part of a run", .decode = decode_part};
	const struct ps_run_about about = {.id = {1}, .store = "main", .head = 3};
	struct ps_run_figures figures;
	ps_run_writer *writer;
	ok(ps_run_writer_new(&group_memory, &about, 1 << 16, keep_part, &samples[3], &writer));
	ok(ps_run_writer_add(writer, &record));
	ok(ps_run_writer_finish(writer, &figures));
	ps_run_writer_free(writer);
	ps_record_done(&record);
}

/* Every place in turn gets an impossible figure: an answer in bounded memory, and the same one each time. */
static void impossible_figures_cost_no_memory(void **state)
{
	(void)state;
	static const uint64_t figures[] = {UINT64_MAX, INT64_MAX,      1ULL << 40, UINT32_MAX, INT32_MAX,
	                                   1U << 22,   (1U << 22) + 1, 65536,      65535,      4097,
	                                   1};
	const struct ps_allocator_fns fns = {peak_alloc, peak_resize, peak_release, NULL};
	struct dice dice = {test_seed(36)};
	struct sample samples[4];
	struct ps_memory counted;
	uint64_t refusals = 0;
	make_samples(&dice, samples);
	ps_memory_init(&counted, &fns);
	for (size_t s = 0; s < 4; s++) {
		struct sample *sample = &samples[s];
		ok(sample->decode(&counted, sample->bytes, sample->len));
		size_t first = sample->len < 400 ? sample->len - 8 : 400;
		for (size_t at = 0; at < first; at++) {
			for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++) {
				uint8_t *hostile = malloc(sample->len);
				memcpy(hostile, sample->bytes, sample->len);
				ps_le64 figure = ps_set64(figures[f]);
				memcpy(hostile + at, &figure,
				       figures[f] > UINT32_MAX ? 8
				       : figures[f] > 65535    ? 4
				                               : 2);
				peak = held;
				int err = sample->decode(&counted, hostile, sample->len);
				if (peak > 16 * sample->len + 65536)
					fail_msg("%s: %zu bytes of memory for %zu", sample->name, peak,
					         sample->len);
				assert_int_equal(held, 0);
				assert_true(err == PS_OK || *ps_last_error_message());
				refusals += err != PS_OK;
				free(hostile);
			}
		}
		free(sample->bytes);
	}
	print_message("%llu refused\n", (unsigned long long)refusals);
	assert_true(refusals > 1000);
	ps_memory_done(&counted);
}

static int setup(void **state)
{
	return sodium_init() < 0 || memory_begin(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rolled_back_forked_and_lost_heads_are_told),
	    cmocka_unit_test(foreign_heads_are_refused),
	    cmocka_unit_test(a_code_on_paper_tells_the_same),
	    cmocka_unit_test(a_machine_put_back_is_told),
	    cmocka_unit_test(damaged_files_are_refused_and_kept),
	    cmocka_unit_test(the_anchor_only_moves_on),
	    cmocka_unit_test(impossible_figures_cost_no_memory),
	};
	return cmocka_run_group_tests_name("anchors and hostile histories", tests, setup,
	                                   memory_is_given_back);
}
