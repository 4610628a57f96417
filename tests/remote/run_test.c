/* Runs and heads: that they say the same again however they are cut, that newest wins, and what is refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "remote/anchor.h"
#include "remote/pad.h"
#include "remote/state.h"
#include "tests/remote/group_memory.h"
#include "tests/remote/index_fixture.h"

enum { PARTS = 4096 };
struct parts {
	uint8_t *bytes[PARTS];
	size_t len[PARTS], most;
	uint32_t count;
	struct ps_run_about about;
	struct ps_run_figures figures;
};

static int keep_part(void *arg, uint32_t part, const uint8_t *bytes, size_t len)
{
	struct parts *p = arg;
	assert_int_equal(part, p->count);
	p->bytes[part] = malloc(len);
	assert_non_null(p->bytes[part]);
	memcpy(p->bytes[part], bytes, len);
	p->len[part] = len;
	p->most = len > p->most ? len : p->most;
	p->count++;
	return 0;
}

static int give_part(void *arg, uint32_t part, const uint8_t **bytes, size_t *len)
{
	struct parts *p = arg;
	*bytes = p->bytes[part];
	*len = p->len[part];
	return 0;
}

static void free_parts(struct parts *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		free(p->bytes[i]);
	*p = (struct parts){0};
}

static ps_run_writer *writer_to(struct parts *p, uint64_t head, size_t part_bytes)
{
	ps_run_writer *w;
	p->about =
	    (struct ps_run_about){.id = {1, (uint8_t)head}, .store = "main", .head = head, .base = head == 1};
	ok(ps_run_writer_new(&group_memory, &p->about, part_bytes, keep_part, p, &w));
	return w;
}

static void finish(ps_run_writer *w, struct parts *p)
{
	ok(ps_run_writer_finish(w, &p->figures));
	assert_int_equal(p->figures.parts, p->count);
	ps_run_writer_free(w);
}

static void add_blob(ps_run_writer *w, const char *name, unsigned pads, uint64_t counter, bool tombstone)
{
	struct dice dice = {counter};
	struct ps_record record;
	make_blob(&dice, &group_memory, name, pads, &record);
	record.version = version_of(counter, 1);
	if (tombstone) {
		ps_slots_done(&record.sets[PS_SET_CURRENT], &group_memory);
		record.content = (struct ps_content){0};
		record.flags = PS_RECORD_TOMBSTONE | PS_RECORD_DIRTY;
	}
	ok(ps_run_writer_add(w, &record));
	ps_record_done(&record);
}

static ps_run_reader *reader_of(struct parts *p)
{
	ps_run_reader *r;
	ok(ps_run_reader_new(&group_memory, &p->about, p->count, give_part, p, &r));
	return r;
}

/* Records of all lengths, in parts from the smallest on: also records that are longer than many parts. */
static void a_run_says_the_same_again_however_it_is_cut(void **state)
{
	(void)state;
	static struct parts p;
	for (size_t part_bytes = 4096; part_bytes <= 40000; part_bytes += 3001) {
		ps_run_writer *w = writer_to(&p, 3, part_bytes);
		char name[32];
		for (unsigned i = 0; i < 120; i++) {
			(void)snprintf(name, sizeof(name), "key %05u", i);
			add_blob(w, name, i == 60 ? 900 : i % 50, i + 1, false);
		}
		finish(w, &p);
		assert_in_range(p.most, 1, part_bytes);
		ps_run_reader *r = reader_of(&p);
		for (unsigned i = 0; i <= 120; i++) {
			struct ps_record record;
			bool found = false;
			ok(ps_run_reader_next(r, &record, &found));
			assert_int_equal(found, i < 120);
			if (!found)
				break;
			(void)snprintf(name, sizeof(name), "key %05u", i);
			assert_string_equal(record.name, name);
			assert_int_equal(record.sets[PS_SET_CURRENT].count, i == 60 ? 900 : i % 50);
			assert_int_equal(record.published, 3);
			ps_record_done(&record);
		}
		ps_run_reader_free(r);
		free_parts(&p);
	}
}

static void names_out_of_order_are_refused(void **state)
{
	(void)state;
	static struct parts p;
	struct dice dice = {1};
	struct ps_record record;
	ps_run_writer *w = writer_to(&p, 3, 4096);
	add_blob(w, "b", 100, 1, false);
	make_blob(&dice, &group_memory, "a", 1, &record);
	refused(ps_run_writer_add(w, &record), PS_EINVAL);
	ok(ps_record_rename(&record, "b", 1));
	refused(ps_run_writer_add(w, &record), PS_EINVAL);
	ps_record_done(&record);
	finish(w, &p);
	free_parts(&p);
}

static int read_all(struct parts *p)
{
	ps_run_reader *r = reader_of(p);
	bool found = true;
	int err = PS_OK;
	while (err == PS_OK && found) {
		struct ps_record record;
		err = ps_run_reader_next(r, &record, &found);
		if (err == PS_OK && found)
			ps_record_done(&record);
	}
	ps_run_reader_free(r);
	return err;
}

static void swap_parts(struct parts *p, uint32_t a, uint32_t b)
{
	uint8_t *bytes = p->bytes[a];
	size_t len = p->len[a];
	p->bytes[a] = p->bytes[b];
	p->len[a] = p->len[b];
	p->bytes[b] = bytes;
	p->len[b] = len;
}

static void parts_of_another_order_run_or_number_are_refused(void **state)
{
	(void)state;
	static struct parts p, other;
	ps_run_writer *w = writer_to(&p, 3, 4096);
	for (char c = 'a'; c <= 'z'; c++)
		add_blob(w, (char[]){c, 0}, 30, 1, false);
	finish(w, &p);
	w = writer_to(&other, 4, 4096);
	for (char c = 'a'; c <= 'z'; c++)
		add_blob(w, (char[]){c, 0}, 30, 1, false);
	finish(w, &other);
	ok(read_all(&p));
	swap_parts(&p, 3, 4);
	refused(read_all(&p), PS_ECORRUPT);
	swap_parts(&p, 3, 4);
	p.count--; /* the last is missing */
	refused(read_all(&p), PS_ECORRUPT);
	p.count++;
	uint8_t *mine = p.bytes[2];
	p.bytes[2] = other.bytes[2];
	refused(read_all(&p), PS_ECORRUPT);
	p.bytes[2] = mine;
	for (size_t cut = 0; cut < p.len[0]; cut += 7) {
		struct ps_run_part part;
		refused(ps_run_part_decode(p.bytes[0], cut, &part), PS_ECORRUPT);
	}
	free_parts(&p);
	free_parts(&other);
}

/* Base a b c d; deltas change b, remove c, add e, then change b again. */
static void newest_wins_and_old_tombstones_go(void **state)
{
	(void)state;
	static struct parts p[3];
	ps_run_reader *readers[3];
	for (uint64_t below = 0; below < 4; below += 3) {
		ps_run_writer *w = writer_to(&p[0], 1, 4096);
		for (char c = 'a'; c <= 'd'; c++)
			add_blob(w, (char[]){c, 0}, 1, 1, false);
		finish(w, &p[0]);
		w = writer_to(&p[1], 2, 4096);
		add_blob(w, "b", 1, 2, false);
		add_blob(w, "c", 0, 2, true);
		add_blob(w, "e", 1, 1, false);
		finish(w, &p[1]);
		w = writer_to(&p[2], 3, 4096);
		add_blob(w, "b", 1, 3, false);
		finish(w, &p[2]);
		for (size_t i = 0; i < 3; i++)
			readers[i] = reader_of(&p[i]);
		ps_run_merge *merge;
		char seen[64] = "";
		bool found = true;
		ok(ps_run_merge_new(&group_memory, readers, 3, below, &merge));
		while (found) {
			struct ps_record record;
			ok(ps_run_merge_next(merge, &record, &found));
			if (!found)
				break;
			size_t used = strlen(seen);
			(void)snprintf(seen + used, sizeof(seen) - used, "%.4s%llu ", record.name,
			               (unsigned long long)record.version.counter);
			ps_record_done(&record);
		}
		assert_string_equal(seen, below ? "a1 b3 d1 e1 " : "a1 b3 c2 d1 e1 ");
		ps_run_merge_free(merge);
		for (size_t i = 0; i < 3; i++) {
			ps_run_reader_free(readers[i]);
			free_parts(&p[i]);
		}
	}
}

/* ---- which runs become one ---- */

enum { ONE_CHANGE = 400, SYNCS = 20000, BASE_BYTES = 270 << 20 };

/* The runs of an index of a million keys, and what syncs have sent. */
struct model {
	uint64_t bytes[1000];
	size_t count, longest;
	uint64_t syncs, sum;                /* of syncs that somebody waited for */
	uint64_t most, forced, forced_most; /* most: of those that were not forced */
	uint64_t idle, idle_sum;
};

/* As a pad, or several, what sealing and padding add with it. */
static uint64_t sent_for(uint64_t bytes)
{
	return bytes <= 8 << 20 ? ps_pad_record_bytes(bytes) : bytes;
}

/* What is sent for it. */
static uint64_t apply(struct model *m, const struct ps_merge_choice *choice, uint64_t delta)
{
	uint64_t written = delta;
	assert_in_range(choice->from, 0, m->count);
	for (size_t i = choice->from; i < m->count; i++)
		written += m->bytes[i];
	assert_int_equal(written, delta + choice->bytes);
	if (written == 0)
		return 0;
	m->bytes[choice->from] = written;
	m->count = choice->from + 1;
	m->longest = m->count > m->longest ? m->count : m->longest;
	return sent_for(written);
}

static void sync_model(struct model *m, uint64_t delta)
{
	struct ps_merge_choice choice;
	ps_runs_choose(m->bytes, m->count, delta, PS_MERGE_WAITED, &choice);
	uint64_t written = apply(m, &choice, delta);
	uint64_t *most = choice.forced ? &m->forced_most : &m->most;
	*most = written > *most ? written : *most;
	m->forced += choice.forced;
	m->sum += written;
	m->syncs++;
}

static void rest_model(struct model *m)
{
	struct ps_merge_choice choice;
	ps_runs_choose(m->bytes, m->count, 0, PS_MERGE_DUE, &choice);
	m->idle_sum += apply(m, &choice, 0);
	m->idle++;
	ps_runs_choose(m->bytes, m->count, 0, PS_MERGE_DUE, &choice);
	assert_int_equal(choice.bytes, 0); /* nothing is left to do */
}

static void say_model(const char *what, const struct model *m)
{
	print_message(
	    "%s: %llu bytes a sync on average, %llu at most, %llu forced of at most %llu; idle: %llu "
	    "times, %llu KiB; at most %zu runs\n",
	    what, (unsigned long long)(m->sum / m->syncs), (unsigned long long)m->most,
	    (unsigned long long)m->forced, (unsigned long long)m->forced_most, (unsigned long long)m->idle,
	    (unsigned long long)(m->idle_sum >> 10), m->longest);
}

/* With an idle moment now and then every sync of one change sends little, not only most of them. */
static void no_sync_of_one_change_sends_more_than_64_kib(void **state)
{
	static struct model m;
	(void)state;
	for (unsigned every = 10; every <= 2500; every *= 5) {
		m = (struct model){.bytes = {BASE_BYTES}, .count = 1};
		for (unsigned i = 1; i <= SYNCS; i++) {
			sync_model(&m, ONE_CHANGE);
			if (i % every == 0)
				rest_model(&m);
		}
		say_model("with idle moments", &m);
		assert_in_range(m.most, ONE_CHANGE, 64 << 10);
		assert_int_equal(m.forced, 0);
		assert_in_range(m.longest, 2, PS_MERGE_WAITED_RUNS);
		assert_in_range(m.sum / m.syncs, ONE_CHANGE, 8192);
	}
}

/* Where nobody ever leaves it alone the list stays short all the same: some syncs merge more, a step at a
 * time. */
static void without_idle_moments_the_list_stays_short_by_bounded_steps(void **state)
{
	static struct model m;
	(void)state;
	m = (struct model){.bytes = {BASE_BYTES}, .count = 1};
	for (unsigned i = 1; i <= SYNCS; i++) {
		sync_model(&m, ONE_CHANGE);
		if (i == 3000)
			assert_int_equal(m.forced, 0);
	}
	say_model("never idle", &m);
	assert_in_range(m.most, ONE_CHANGE, 64 << 10);
	assert_in_range(m.forced, 1, SYNCS / 400);
	assert_in_range(m.forced_most, 1, 4 << 20);
	assert_in_range(m.longest, 2, PS_MERGE_WAITED_RUNS);
	assert_in_range(m.sum / m.syncs, ONE_CHANGE, 8192);
	rest_model(&m);
	assert_in_range(m.count, 1, 8);
}

/* Changes of any size, idle moments or none: what is waited for is bounded by what is sent anyway, but for
 * forced steps, and these come down from a list that is too long. */
static void whatever_is_synced_the_choice_keeps_its_bounds(void **state)
{
	static struct model m;
	struct dice dice = {test_seed(11)};
	(void)state;
	for (unsigned round = 0; round < 16; round++) {
		m = (struct model){.count = 0};
		unsigned most_bits = 8 + (unsigned)roll_below(&dice, 20),
		         every = 1 + (unsigned)roll_below(&dice, 400);
		for (unsigned i = 0; i < 1500; i++) {
			struct ps_merge_choice choice;
			uint64_t delta = 60 + roll_below(&dice, 1ULL << (1 + roll_below(&dice, most_bits)));
			size_t before = m.count;
			ps_runs_choose(m.bytes, m.count, delta, PS_MERGE_WAITED, &choice);
			assert_true(choice.forced || choice.bytes <= delta ||
			            choice.bytes + delta <= PS_MERGE_WAITED_BYTES);
			assert_true(!choice.forced || before >= PS_MERGE_WAITED_RUNS);
			(void)apply(&m, &choice, delta);
			assert_in_range(m.count, 1, PS_MERGE_WAITED_RUNS);
			if (round % 2 && i % every == 0)
				rest_model(&m);
		}
	}
}

static void one_change_in_a_million_is_one_small_delta(void **state)
{
	(void)state;
	static struct parts p;
	ps_run_writer *w = writer_to(&p, 2, 1 << 20);
	add_blob(w, "photos/2024/holiday/img_0001.jpeg", 1, 9, false);
	finish(w, &p);
	print_message("a delta of one key of one pad: %llu bytes\n", (unsigned long long)p.figures.bytes);
	assert_in_range(p.figures.bytes, 1, 4096);
	free_parts(&p);
}

/* ---- heads ---- */

static void make_history(struct ps_head *head, unsigned length)
{
	struct dice dice = {8};
	uint8_t machine[PS_MACHINE] = {5}, hash[32];
	ps_head_init(head, &group_memory);
	memset(head->network, 3, sizeof(head->network));
	(void)strcpy(head->store, "main");
	struct ps_head first;
	ok(ps_head_copy(&first, head));
	ok(ps_head_next(&first, (uint8_t[32]){1}, machine, "ada", 1, head)); /* of nothing: the first */
	head->pairs_count = 0;
	ps_head_done(&first);
	for (unsigned i = 1; i < length; i++) {
		struct ps_head next;
		memset(hash, 0, sizeof(hash));
		hash[0] = 1;
		hash[1] = (uint8_t)head->counter;
		hash[2] = (uint8_t)(head->counter >> 8);
		machine[0] = (uint8_t)(5 + i % 3);
		ok(ps_head_next(head, hash, machine, "ada", i, &next));
		ps_head_done(head);
		*head = next;
	}
	struct ps_head_run run = {.id = {1}, .head = 1, .bytes = 100, .keys = 3, .base = true};
	struct ps_pad_slot pads[3];
	for (unsigned i = 0; i < 3; i++)
		pads[i] = pad_of(&dice, PS_SLOT_CONFIRMED);
	ok(ps_slots_add(&run.pads, &group_memory, pads, 3));
	ok(ps_head_add_run(head, &run));
	ps_slots_done(&run.pads, &group_memory);
}

static void a_head_says_the_same_again_and_nothing_cut(void **state)
{
	(void)state;
	struct ps_head head, again;
	make_history(&head, 300);
	assert_int_equal(head.pairs_count, PS_HEAD_PAIRS);
	ok(ps_head_check(&head));
	size_t len = ps_head_bytes(&head);
	uint8_t *bytes = calloc(1, len + 100), *more = malloc(len);
	ps_head_encode(&head, bytes);
	ok(ps_head_decode(bytes, len + 100, &group_memory, &again));
	ps_head_encode(&again, more);
	assert_memory_equal(bytes, more, len);
	assert_int_equal(ps_head_settled(&again), 298);
	ps_head_done(&again);
	for (size_t cut = 0; cut < len; cut += 3)
		refused(ps_head_decode(bytes, cut, &group_memory, &again), PS_ECORRUPT);
	bytes[len + 50] = 1;
	refused(ps_head_decode(bytes, len + 100, &group_memory, &again), PS_ECORRUPT);
	free(bytes);
	free(more);
	ps_head_done(&head);
}

static void a_head_code_finds_each_slip(void **state)
{
	(void)state;
	char text[PS_HEAD_CODE], wrong[PS_HEAD_CODE];
	uint8_t hash[32] = {0xde, 0xad, 0xbe, 0xef, 0x42}, bits[5];
	uint64_t counter;
	ps_head_code(1042, hash, text);
	ok(ps_head_code_parse(text, &counter, bits));
	assert_int_equal(counter, 1042);
	assert_memory_equal(bits, hash, 5);
	for (size_t i = 0; text[i]; i++) {
		for (char c = '0'; c <= 'Z'; c++) {
			(void)strcpy(wrong, text);
			wrong[i] = c;
			if (c == text[i] || text[i] == '-' || strchr("OIL:;<=>?@", c))
				continue;
			refused(ps_head_code_parse(wrong, &counter, bits), PS_EINVAL);
		}
		if (text[i + 1] && text[i] != text[i + 1]) {
			(void)strcpy(wrong, text);
			wrong[i] = text[i + 1];
			wrong[i + 1] = text[i];
			refused(ps_head_code_parse(wrong, &counter, bits), PS_EINVAL);
		}
	}
	ps_head_code(UINT64_MAX, hash, text);
	ok(ps_head_code_parse(text, &counter, bits));
	assert_true(counter == UINT64_MAX);
}

static void a_head_is_judged_by_the_anchor(void **state)
{
	(void)state;
	struct ps_head head;
	struct ps_anchor anchor;
	enum ps_freshness fresh;
	uint8_t hash[32] = {7};
	char text[PS_HEAD_CODE];
	make_history(&head, 400);
	refused(ps_anchor_judge(NULL, NULL, NULL, &fresh), PS_ENOTFOUND);
	ok(ps_anchor_judge(NULL, &head, hash, &fresh));
	assert_int_equal(fresh, PS_FRESH_UNANCHORED);
	ps_anchor_of(&head, hash, 0, &anchor);
	refused(ps_anchor_judge(&anchor, NULL, NULL, &fresh), PS_ELOST);
	ok(ps_anchor_judge(&anchor, &head, hash, &fresh));
	assert_int_equal(fresh, PS_FRESH_SAME);
	hash[9] = 1;
	refused(ps_anchor_judge(&anchor, &head, hash, &fresh), PS_EFORK);
	anchor.counter = 401;
	refused(ps_anchor_judge(&anchor, &head, hash, &fresh), PS_EROLLBACK);
	anchor.counter = 200;
	memcpy(anchor.hash, head.pairs[200 - head.pairs[0].counter].hash, 32);
	ok(ps_anchor_judge(&anchor, &head, hash, &fresh));
	assert_int_equal(fresh, PS_FRESH_NEWER);
	ps_head_code(200, anchor.hash, text);
	ok(ps_head_code_compare(text, &head, hash));
	anchor.hash[3] ^= 1;
	refused(ps_anchor_judge(&anchor, &head, hash, &fresh), PS_EFORK);
	ps_head_code(200, anchor.hash, text);
	refused(ps_head_code_compare(text, &head, hash), PS_EFORK);
	anchor.counter = 100;
	ok(ps_anchor_judge(&anchor, &head, hash, &fresh));
	assert_int_equal(fresh, PS_FRESH_UNPROVEN);
	anchor.network[0] ^= 1;
	refused(ps_anchor_judge(&anchor, &head, hash, &fresh), PS_EFORK);
	refused(ps_anchor_judge_self(&head, (uint8_t[PS_MACHINE]){5}, 10), PS_EFORK);
	ok(ps_anchor_judge_self(&head, (uint8_t[PS_MACHINE]){5}, 400));
	ps_head_done(&head);
}

static void the_anchor_never_goes_back_and_damage_is_kept(void **state)
{
	(void)state;
	char home[] = "/tmp/padstone-state-XXXXXX", folder[256], path[300], command[400];
	struct ps_anchor anchor = {.store = "main", .counter = 7, .hash = {1}}, again;
	struct ps_machine one, two;
	assert_non_null(mkdtemp(home));
	refused(ps_state_store(home, "mem:x", "main", false, folder, sizeof(folder)), PS_ENOENT);
	ok(ps_state_store(home, "mem:x", "main", true, folder, sizeof(folder)));
	ok(ps_state_machine(home, &one));
	ok(ps_state_machine(home, &two));
	assert_memory_equal(&one, &two, sizeof(one));
	refused(ps_anchor_read(folder, "main", &again), PS_ENOENT);
	ok(ps_anchor_write(folder, &anchor));
	ok(ps_anchor_read(folder, "main", &again));
	assert_memory_equal(&anchor, &again, sizeof(anchor));
	refused(ps_anchor_read(folder, "other", &again), PS_ECORRUPT);
	anchor.counter = 6;
	refused(ps_anchor_write(folder, &anchor), PS_EROLLBACK);
	anchor.counter = 8;
	ok(ps_anchor_write(folder, &anchor));
	(void)snprintf(path, sizeof(path), "%s/anchor", folder);
	assert_int_equal(truncate(path, 100), 0);
	refused(ps_anchor_read(folder, "main", &again), PS_ECORRUPT);
	refused(ps_anchor_write(folder, &anchor), PS_ECORRUPT);
	(void)snprintf(command, sizeof(command), "rm -r %s", home);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_run_says_the_same_again_however_it_is_cut),
	    cmocka_unit_test(names_out_of_order_are_refused),
	    cmocka_unit_test(parts_of_another_order_run_or_number_are_refused),
	    cmocka_unit_test(newest_wins_and_old_tombstones_go),
	    cmocka_unit_test(no_sync_of_one_change_sends_more_than_64_kib),
	    cmocka_unit_test(without_idle_moments_the_list_stays_short_by_bounded_steps),
	    cmocka_unit_test(whatever_is_synced_the_choice_keeps_its_bounds),
	    cmocka_unit_test(one_change_in_a_million_is_one_small_delta),
	    cmocka_unit_test(a_head_says_the_same_again_and_nothing_cut),
	    cmocka_unit_test(a_head_code_finds_each_slip),
	    cmocka_unit_test(a_head_is_judged_by_the_anchor),
	    cmocka_unit_test(the_anchor_never_goes_back_and_damage_is_kept),
	};
	return cmocka_run_group_tests_name("runs and heads", tests, memory_begin, memory_is_given_back);
}
