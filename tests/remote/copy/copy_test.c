/* A copy on a second network: the same bytes, the same state, only what is missing is sent, and nothing that
 * is newer there, or another's, is written over. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/remote/copy/copy_fixture.h"

enum { PAD = 128 << 10, FOR_EVER_MS = 3600 * 1000 };

/* ---- what is there ---- */

static void fill_store(struct blobs *b)
{
	blobs_put(b, "empty", 0, 1);
	blobs_put(b, "byte", 1, 2);
	blobs_put(b, "pads", 2 * PAD, 3);
	blobs_put(b, "pads and a byte", 3 * PAD + 1, 4);
}

static void expect_store(struct blobs *b)
{
	blobs_expect(b, "empty", 0, 1);
	blobs_expect(b, "byte", 1, 2);
	blobs_expect(b, "pads", 2 * PAD, 3);
	blobs_expect(b, "pads and a byte", 3 * PAD + 1, 4);
}

static void same_record(struct pair_of *p, const struct ps_pad_name *name)
{
	static uint8_t one[1 << 20], other[1 << 20];
	struct ps_pad_identity of_one, of_other;
	size_t len, other_len;
	assert_ok(ps_mem_look(p->world, 0, name, &of_one, one, sizeof(one), &len));
	assert_ok(ps_mem_look(blobs_world(p->a), 0, name, &of_other, other, sizeof(other), &other_len));
	assert_true(ps_identity_same(&of_one, &of_other));
	assert_int_equal(len, other_len);
	assert_true(len <= sizeof(one));
	assert_memory_equal(one, other, len);
}

static void a_copy_has_the_same_bytes_and_is_a_store(void **state)
{
	struct ps_pad_name names[64];
	struct ps_remote_head head;
	struct pair_of p;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	struct ps_remote_copy_result result = copy_now(&p);
	assert_ok(ps_remote_head(p.a->r, &head));
	assert_int_equal(result.head, head.counter);
	assert_string_equal(result.code, head.code);
	/* 7 pads of values, those of the index, the head. */
	assert_int_equal(result.created, 7 + head.runs + 1);
	assert_int_equal(result.looked, result.created);
	size_t count = ps_mem_names(p.world, 0, names, 64);
	assert_int_equal(count, result.created);
	for (size_t i = 0; i < count; i++)
		same_record(&p, &names[i]);
	/* The first network is no more. */
	const struct ps_mem_rule gone = {.fault = PS_MEM_DENIED};
	unsigned number;
	assert_ok(ps_mem_rule_add(blobs_world(p.a), &gone, &number));
	struct blobs *b = open_copy(&p);
	expect_store(b);
	assert_ok(ps_remote_verify(b->r, NULL, NULL));
	machine_free(b);
	ps_mem_rule_remove(blobs_world(p.a), 0);
	pair_free(&p);
}

static void what_is_there_is_not_sent_again(void **state)
{
	struct pair_of p;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	uint64_t pads = copy_now(&p).created;
	(void)requests_of(&p, PS_NET_HEAD);
	assert_int_equal(copy_now(&p).looked, 0); /* the head says it all */
	struct ps_remote_copy all = {.size = sizeof(all), .all = 1};
	struct ps_remote_copy_result result;
	assert_ok(ps_remote_copy(p.a->r, p.url, &all, &result));
	assert_int_equal(result.looked, pads);
	assert_int_equal(result.kept, pads);
	assert_int_equal(requests_of(&p, PS_NET_CREATE), 0);
	/* One that was lost there is found by looking at all. */
	struct ps_pad_name names[64];
	assert_int_equal(ps_mem_names(p.world, 0, names, 64), pads);
	assert_ok(ps_mem_set(p.world, 0, &names[2], NULL, NULL, 0));
	assert_ok(ps_remote_copy(p.a->r, p.url, &all, &result));
	assert_int_equal(result.created, 1);
	same_record(&p, &names[2]);
	pair_free(&p);
}

static void only_what_changed_is_looked_at(void **state)
{
	struct pair_of p;
	char key[16];
	(void)state;
	pair_new(&p);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "key %02u", i);
		blobs_put(p.a, key, 1000, i);
	}
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	blobs_put(p.a, "one more", 1000, 41);
	(void)sync_machine(p.a);
	struct ps_remote_copy_result result = copy_now(&p);
	assert_true(result.looked <= 4); /* its pad, two runs, the head */
	assert_true(result.created >= 2);
	assert_int_equal(result.replaced, 1);
	expect_whole(&p);
	pair_free(&p);
}

static void pads_that_were_written_anew_are_replaced(void **state)
{
	struct pair_of p;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	uint64_t replaced = 0;
	for (unsigned round = 0; round < 6; round++) {
		blobs_update(p.a, "pads", 2 * PAD, 10 + round);
		(void)sync_machine(p.a);
		replaced += copy_now(&p).replaced;
		struct blobs *b = open_copy(&p);
		blobs_expect(b, "pads", 2 * PAD, 10 + round);
		blobs_expect(b, "pads and a byte", 3 * PAD + 1, 4);
		machine_free(b);
	}
	assert_true(replaced > 6 + 4); /* heads, and more */
	expect_whole(&p);
	pair_free(&p);
}

static void what_was_not_synced_stays_behind(void **state)
{
	struct pair_of p;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	blobs_update(p.a, "pads", 2 * PAD, 9);
	blobs_put(p.a, "later", 1000, 8);
	assert_ok(ps_remote_remove(p.a->r, "byte"));
	(void)copy_now(&p);
	struct blobs *b = open_copy(&p);
	expect_store(b);
	expect_none(b, "later");
	machine_free(b);
	pair_free(&p);
}

/* A head that another machine wrote is copied, though this one has not merged it. */
static void the_newest_head_is_copied_whoever_wrote_it(void **state)
{
	struct pair_of p;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	struct blobs *other = machine_open(p.a);
	blobs_update(other, "byte", 500, 77);
	(void)sync_machine(other);
	(void)copy_now(&p);
	blobs_expect(p.a, "byte", 1, 2);
	struct blobs *b = open_copy(&p);
	blobs_expect(b, "byte", 500, 77);
	machine_free(b);
	(void)sync_machine(p.a);
	blobs_expect(p.a, "byte", 500, 77);
	machine_free(other);
	pair_free(&p);
}

static void networks_may_be_of_different_kinds(void **state)
{
	struct blobs *a = blobs_new("dir");
	struct ps_remote_copy make = {.size = sizeof(make), .create = 1};
	struct ps_remote_copy_result result;
	char url[300];
	(void)state;
	fill_store(a);
	(void)sync_machine(a);
	assert_error(ps_remote_copy(a->r, a->url, NULL, NULL), PS_EINVAL);
	snprintf(url, sizeof(url), "dir:%s/copy", a->folder);
	assert_true(ps_remote_copy(a->r, url, NULL, NULL) != PS_OK); /* not without being told */
	assert_ok(ps_remote_copy(a->r, url, &make, &result));
	assert_true(result.created > 7);
	ps_network *watch;
	assert_ok(ps_network_open("mem:from-dir", NULL, &watch));
	assert_ok(ps_remote_copy(a->r, "mem:from-dir", NULL, &result));
	struct blobs *b = machine_new(a);
	snprintf(b->url, sizeof(b->url), "mem:from-dir");
	assert_ok(blobs_start(b, false));
	expect_store(b);
	/* And from there to a folder again. */
	snprintf(url, sizeof(url), "dir:%s/third", b->folder);
	assert_ok(ps_remote_copy(b->r, url, &make, &result));
	machine_free(b);
	ps_network_close(watch);
	assert_ok(ps_mem_forget("from-dir"));
	blobs_free(a);
}

static void larger_records_than_fit_are_refused_before_anything_is_sent(void **state)
{
	struct pair_of p;
	(void)state;
	pair_new(&p);
	ps_mem_set_largest(p.world, 100000);
	blobs_put(p.a, "small", 1000, 1);
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	blobs_put(p.a, "pad", PAD, 2);
	(void)sync_machine(p.a);
	(void)requests_of(&p, PS_NET_CREATE);
	assert_error(ps_remote_copy(p.a->r, p.url, NULL, NULL), PS_ERANGE);
	assert_int_equal(requests_of(&p, PS_NET_CREATE), 0);
	struct blobs *b = open_copy(&p);
	blobs_expect(b, "small", 1000, 1);
	machine_free(b);
	pair_free(&p);
}

static void a_key_that_only_reads_makes_a_copy(void **state)
{
	struct pair_of p;
	struct ps_pad_name head;
	uint8_t read_root[PS_KEY];
	ps_keys *keys;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	struct blobs *reader = machine_new(p.a);
	assert_ok(ps_keys_new(p.a->key, NULL, &keys));
	ps_keys_read_root(keys, read_root);
	ps_keys_free(keys);
	head = head_name_of(p.a);
	struct ps_remote_key key = {.read_root = read_root, .head_name = head.bytes};
	assert_ok(ps_remote_open(reader->url, &key, &reader->options, &reader->r));
	struct ps_remote_copy_result result;
	assert_ok(ps_remote_copy(reader->r, p.url, NULL, &result));
	assert_true(result.created > 7);
	machine_free(reader);
	expect_whole(&p);
	struct blobs *b = open_copy(&p);
	expect_store(b);
	machine_free(b);
	pair_free(&p);
}

/* ---- what is not written over ---- */

static void a_copy_that_is_newer_is_left_as_it_is(void **state)
{
	struct pair_of p;
	ps_mem_snapshot *old;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	struct blobs *b = machine_open(p.a);
	assert_ok(ps_mem_snapshot_take(blobs_world(p.a), 0, &old));
	blobs_update(p.a, "byte", 500, 77);
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	/* Another machine is shown the past, and would bring it to the copy. */
	assert_ok(ps_mem_restore(blobs_world(p.a), 0, old));
	(void)requests_of(&p, PS_NET_CREATE);
	assert_error(ps_remote_copy(b->r, p.url, NULL, NULL), PS_EROLLBACK);
	assert_error(ps_remote_copy(p.a->r, p.url, NULL, NULL), PS_EROLLBACK); /* its own anchor */
	/* And changes that past: another history. */
	blobs_update(b, "byte", 600, 78);
	(void)sync_machine(b);
	assert_error(ps_remote_copy(b->r, p.url, NULL, NULL), PS_EFORK);
	blobs_update(b, "byte", 601, 79);
	(void)sync_machine(b);
	assert_error(ps_remote_copy(b->r, p.url, NULL, NULL), PS_EFORK);
	struct ps_mem_figures figures;
	ps_mem_figures(p.world, &figures, false);
	assert_int_equal(figures.requests[PS_NET_CREATE] + figures.requests[PS_NET_REPLACE], 0);
	machine_free(b);
	b = open_copy(&p);
	blobs_expect(b, "byte", 500, 77);
	machine_free(b);
	ps_mem_snapshot_free(old);
	pair_free(&p);
}

/* The copy was used as the store, and has gone its own way. */
static void a_copy_that_was_written_to_is_a_fork(void **state)
{
	struct pair_of p;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	struct blobs *b = open_copy(&p);
	blobs_put(b, "there", 1000, 5);
	(void)sync_machine(b);
	assert_error(ps_remote_copy(p.a->r, p.url, NULL, NULL), PS_EROLLBACK); /* it goes back to ours */
	blobs_put(p.a, "here", 1000, 6);
	(void)sync_machine(p.a);
	assert_error(ps_remote_copy(p.a->r, p.url, NULL, NULL), PS_EFORK);
	blobs_expect(b, "there", 1000, 5);
	machine_free(b);
	pair_free(&p);
}

static void another_store_under_the_same_key_is_refused(void **state)
{
	struct pair_of p;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	struct blobs *b = machine_new(p.a);
	snprintf(b->url, sizeof(b->url), "%s", p.url);
	assert_ok(blobs_start(b, true));
	assert_error(ps_remote_copy(p.a->r, p.url, NULL, NULL), PS_EEXIST);
	machine_free(b);
	pair_free(&p);
}

static void a_pad_that_is_another_there_is_named(void **state)
{
	static uint8_t bytes[1 << 20];
	struct ps_pad_name names[64], head;
	struct ps_pad_identity identity;
	struct ps_remote_copy all = {.size = sizeof(all), .all = 1};
	struct pair_of p;
	size_t len;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	head = head_name_of(p.a);
	(void)ps_mem_names(p.world, 0, names, 64);
	size_t at = memcmp(&names[0], &head, sizeof(head)) == 0;
	assert_ok(ps_mem_look(p.world, 0, &names[at], &identity, bytes, sizeof(bytes), &len));
	identity.hash[0] ^= 1;
	assert_ok(ps_mem_set(p.world, 0, &names[at], &identity, bytes, len));
	assert_error(ps_remote_copy(p.a->r, p.url, &all, NULL), PS_EFORK);
	identity.hash[0] ^= 1;
	identity.counter += 5;
	assert_ok(ps_mem_set(p.world, 0, &names[at], &identity, bytes, len));
	assert_error(ps_remote_copy(p.a->r, p.url, &all, NULL), PS_EROLLBACK);
	pair_free(&p);
}

static void a_copy_far_behind_is_taken_over_when_told(void **state)
{
	struct pair_of p;
	struct ps_remote_copy behind = {.size = sizeof(behind), .behind = 1};
	struct ps_remote_copy_result result;
	(void)state;
	pair_new(&p);
	blobs_put(p.a, "key", 10, 0);
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	for (unsigned i = 1; i < 260; i++) {
		blobs_update(p.a, "key", 10, i);
		(void)sync_machine(p.a);
	}
	assert_error(ps_remote_copy(p.a->r, p.url, NULL, NULL), PS_EFORK);
	assert_ok(ps_remote_copy(p.a->r, p.url, &behind, &result));
	expect_whole(&p);
	struct blobs *b = open_copy(&p);
	blobs_expect(b, "key", 10, 259);
	machine_free(b);
	pair_free(&p);
}

/* ---- what the first network does not give ---- */

struct found {
	unsigned count;
	int error;
	char key[64];
	uint64_t pad;
};

static void find(void *arg, const char *key, uint64_t pad, int error, const char *sentence)
{
	struct found *found = arg;
	found->count++;
	found->error = error;
	found->pad = pad;
	snprintf(found->key, sizeof(found->key), "%s", key);
	assert_non_null(strstr(sentence, key));
}

static struct ps_pad_name pad_of(struct blobs *b, const char *key, uint32_t chunk)
{
	struct ps_record record;
	assert_ok(ps_index_get(b->r->index, PS_RECORD_BLOB, key, strlen(key), &record));
	assert_true(chunk < record.sets[PS_SET_CURRENT].count);
	struct ps_pad_name name = record.sets[PS_SET_CURRENT].slots[chunk].name;
	ps_record_done(&record);
	return name;
}

static void all_but_what_is_lost_is_copied_and_the_old_head_stays(void **state)
{
	struct found found = {0};
	struct ps_remote_copy options = {.size = sizeof(options), .finding = find, .finding_arg = &found};
	struct ps_remote_copy_result result = {0};
	struct pair_of p;
	(void)state;
	pair_new(&p);
	blobs_put(p.a, "first", 1000, 1);
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	blobs_put(p.a, "second", 3 * PAD, 2);
	(void)sync_machine(p.a);
	static uint8_t bytes[1 << 20];
	struct ps_pad_identity identity;
	struct ps_pad_name name = pad_of(p.a, "second", 1);
	size_t len;
	assert_ok(ps_mem_look(blobs_world(p.a), 0, &name, &identity, bytes, sizeof(bytes), &len));
	bytes[70000] ^= 1;
	assert_ok(ps_mem_set(blobs_world(p.a), 0, &name, &identity, bytes, len));
	assert_error(ps_remote_copy(p.a->r, p.url, &options, &result), PS_ELOST);
	assert_int_equal(found.count, 1);
	assert_int_equal(found.error, PS_EAUTH);
	assert_string_equal(found.key, "second");
	assert_int_equal(found.pad, 1);
	assert_int_equal(result.missing, 1);
	struct blobs *b = open_copy(&p);
	blobs_expect(b, "first", 1000, 1);
	expect_none(b, "second");
	machine_free(b);
	/* Once it is right again, only that and the head are sent. */
	bytes[70000] ^= 1;
	assert_ok(ps_mem_set(blobs_world(p.a), 0, &name, &identity, bytes, len));
	assert_ok(ps_remote_copy(p.a->r, p.url, &options, &result));
	assert_int_equal(result.created, 1);
	assert_int_equal(result.replaced, 1);
	assert_int_equal(found.count, 1);
	expect_whole(&p);
	pair_free(&p);
}

/* ---- plan, limits, cancellation ---- */

struct seen {
	struct pair_of *p;
	unsigned plans, ends, calls, refuse_at;
	bool early;
	struct ps_remote_plan plan;
	struct ps_remote_progress last;
};

static int see(void *arg, const struct ps_remote_progress *progress)
{
	struct seen *seen = arg;
	struct ps_mem_figures figures;
	assert_string_equal(progress->operation, "copy");
	seen->calls++;
	if (progress->phase == PS_REMOTE_PLAN) {
		ps_mem_figures(seen->p->world, &figures, false);
		seen->plan = progress->plan;
		seen->plans++;
		seen->early = figures.requests[PS_NET_CREATE] + figures.requests[PS_NET_REPLACE] == 0;
	}
	seen->ends += progress->phase == PS_REMOTE_END;
	seen->last = *progress;
	return seen->refuse_at > 0 && seen->calls >= seen->refuse_at;
}

static void a_plan_comes_first_and_may_be_refused(void **state)
{
	struct pair_of p;
	struct seen seen = {.p = &p, .refuse_at = 1};
	struct ps_remote_copy options = {.size = sizeof(options), .progress = see, .progress_arg = &seen};
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	assert_error(ps_remote_copy(p.a->r, p.url, &options, NULL), PS_ECANCELED);
	assert_int_equal(ps_mem_names(p.world, 0, NULL, 0), 0);
	seen = (struct seen){.p = &p};
	struct ps_remote_copy_result result;
	assert_ok(ps_remote_copy(p.a->r, p.url, &options, &result));
	assert_int_equal(seen.plans, 1);
	assert_int_equal(seen.ends, 1);
	assert_true(seen.early);
	assert_int_equal(seen.plan.new_pads, result.created);
	assert_int_equal(seen.plan.bytes, 1 + 2 * PAD + 3 * PAD + 1);
	assert_int_equal(seen.last.pads_done, seen.last.pads_total);
	assert_int_equal(seen.last.bytes_done, seen.plan.bytes);
	assert_int_equal(seen.last.confirmed, result.created);
	assert_int_equal(result.sent_bytes, seen.plan.record_bytes);
	assert_true(seen.last.sent_bytes >= result.sent_bytes);
	pair_free(&p);
}

static void a_copy_stops_at_the_limits_and_goes_on(void **state)
{
	struct pair_of p;
	struct ps_remote_copy_result result;
	(void)state;
	pair_new(&p);
	blobs_put(p.a, "value", 12 * PAD, 1);
	(void)sync_machine(p.a);
	blobs_close(p.a);
	p.a->options.max_pads = 5;
	assert_ok(blobs_start(p.a, false));
	assert_error(ps_remote_copy(p.a->r, p.url, NULL, NULL), PS_EQUOTA);
	size_t there = ps_mem_names(p.world, 0, NULL, 0);
	assert_true(there <= 5);
	blobs_close(p.a);
	p.a->options.max_pads = 0;
	assert_ok(blobs_start(p.a, false));
	assert_ok(ps_remote_copy(p.a->r, p.url, NULL, &result));
	assert_int_equal(result.kept, there);
	expect_whole(&p);
	pair_free(&p);
}

static int refuse_later(void *arg, const struct ps_remote_progress *progress)
{
	bool *refused = arg;
	*refused |= progress->phase == PS_REMOTE_RUNNING;
	return *refused;
}

/* Before the requests' own time is over, which is longer than this test may take. */
static void a_copy_that_hangs_can_be_ended(void **state)
{
	bool refused = false;
	struct ps_remote_copy options = {
	    .size = sizeof(options), .progress = refuse_later, .progress_arg = &refused};
	struct pair_of p;
	unsigned number;
	(void)state;
	pair_new(&p);
	p.a->options.timeout_ms = FOR_EVER_MS;
	blobs_reopen(p.a);
	fill_store(p.a);
	(void)sync_machine(p.a);
	/* The second network answers nothing; then the first one does not give what is to be copied. */
	const struct ps_mem_rule hang = {.fault = PS_MEM_HANG};
	assert_ok(ps_mem_rule_add(p.world, &hang, &number));
	assert_error(ps_remote_copy(p.a->r, p.url, &options, NULL), PS_ECANCELED);
	assert_true(refused);
	ps_mem_rule_remove(p.world, 0);
	const struct ps_mem_rule hang_pad = {
	    .fault = PS_MEM_HANG, .named = true, .name = pad_of(p.a, "pads", 1)};
	assert_ok(ps_mem_rule_add(blobs_world(p.a), &hang_pad, &number));
	refused = false;
	assert_error(ps_remote_copy(p.a->r, p.url, &options, NULL), PS_ECANCELED);
	assert_true(refused);
	ps_mem_rule_remove(blobs_world(p.a), 0);
	/* Nor what tells what is to be copied. */
	const struct ps_mem_rule hang_all = {.fault = PS_MEM_HANG, .ops = 1 << PS_NET_GET};
	assert_ok(ps_mem_rule_add(blobs_world(p.a), &hang_all, &number));
	refused = false;
	assert_error(ps_remote_copy(p.a->r, p.url, &options, NULL), PS_ECANCELED);
	assert_true(refused);
	ps_mem_rule_remove(blobs_world(p.a), 0);
	(void)copy_now(&p);
	expect_whole(&p);
	pair_free(&p);
}

/* ---- memory ---- */

struct peak {
	atomic_size_t now, most;
};

static void grow(struct peak *peak, size_t size)
{
	size_t now = atomic_fetch_add(&peak->now, size) + size, most = atomic_load(&peak->most);
	while (now > most && !atomic_compare_exchange_weak(&peak->most, &most, now))
		continue;
}

static void *counted_alloc(void *arg, size_t size)
{
	grow(arg, size);
	return malloc(size);
}

static void *counted_resize(void *arg, void *memory, size_t old_size, size_t new_size)
{
	struct peak *peak = arg;
	grow(peak, new_size);
	atomic_fetch_sub(&peak->now, old_size);
	return realloc(memory, new_size);
}

static void counted_release(void *arg, void *memory, size_t size)
{
	struct peak *peak = arg;
	atomic_fetch_sub(&peak->now, size);
	free(memory);
}

static void a_copy_keeps_to_the_memory_that_it_is_given(void **state)
{
	struct peak peak = {0};
	struct pair_of p;
	(void)state;
	pair_new(&p);
	blobs_put(p.a, "value", 60 * PAD, 1);
	(void)sync_machine(p.a);
	blobs_close(p.a);
	p.a->options.max_inflight = 3 << 20;
	p.a->options.alloc = counted_alloc;
	p.a->options.resize = counted_resize;
	p.a->options.release = counted_release;
	p.a->options.alloc_arg = &peak;
	assert_ok(blobs_start(p.a, false));
	size_t before = atomic_load(&peak.now);
	atomic_store(&peak.most, before);
	assert_int_equal(copy_now(&p).missing, 0);
	assert_true(atomic_load(&peak.most) > before + 2 * PAD); /* it counts */
	assert_true(atomic_load(&peak.most) - before <= 5 * (size_t)(3 << 20) / 2);
	expect_whole(&p);
	pair_free(&p);
	assert_int_equal(atomic_load(&peak.now), 0);
}

/* What is read stays where it is, whatever is put, removed, synced and purged meanwhile. */
struct meanwhile {
	struct blobs *b;
	unsigned n;
};

static int change_meanwhile(void *arg, const struct ps_remote_progress *progress)
{
	struct meanwhile *m = arg;
	if (progress->phase == PS_REMOTE_END || m->n > 3)
		return 0;
	m->n++;
	blobs_update(m->b, "pads", 2 * PAD, 100 + m->n);
	(void)sync_machine(m->b);
	assert_ok(ps_remote_purge(m->b->r, NULL, NULL, NULL));
	return 0;
}

static void changes_go_on_while_a_copy_is_made(void **state)
{
	struct pair_of p;
	struct meanwhile m = {0};
	struct ps_remote_copy options = {
	    .size = sizeof(options), .progress = change_meanwhile, .progress_arg = &m};
	(void)state;
	pair_new(&p);
	m.b = p.a;
	fill_store(p.a);
	(void)sync_machine(p.a);
	assert_ok(ps_remote_copy(p.a->r, p.url, &options, NULL));
	assert_true(m.n > 0);
	struct blobs *b = open_copy(&p);
	blobs_expect(b, "pads and a byte", 3 * PAD + 1, 4);
	machine_free(b);
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	expect_whole(&p);
	b = open_copy(&p);
	blobs_expect(b, "pads", 2 * PAD, 100 + m.n);
	machine_free(b);
	pair_free(&p);
}

/* Another machine replaces what is about to be copied, and deletes it. */
struct other {
	struct blobs *b;
	unsigned plans;
};

static int change_elsewhere(void *arg, const struct ps_remote_progress *progress)
{
	struct other *other = arg;
	if (progress->phase != PS_REMOTE_PLAN || ++other->plans > 1)
		return 0;
	blobs_update(other->b, "pads", 2 * PAD, 50);
	(void)sync_machine(other->b);
	other->b->r->options.free_keep = 1;
	assert_ok(ps_remote_purge(other->b->r, NULL, NULL, NULL));
	return 0;
}

static void a_head_that_moves_meanwhile_is_followed(void **state)
{
	struct found found = {0};
	struct other other = {0};
	struct ps_remote_copy options = {.size = sizeof(options),
	                                 .progress = change_elsewhere,
	                                 .progress_arg = &other,
	                                 .finding = find,
	                                 .finding_arg = &found};
	struct ps_remote_copy_result result;
	struct pair_of p;
	(void)state;
	pair_new(&p);
	fill_store(p.a);
	(void)sync_machine(p.a);
	other.b = machine_open(p.a);
	assert_ok(ps_remote_copy(p.a->r, p.url, &options, &result));
	assert_int_equal(other.plans, 2);
	assert_int_equal(found.count + result.missing, 0);
	struct blobs *b = open_copy(&p);
	blobs_expect(b, "pads", 2 * PAD, 50);
	machine_free(b);
	machine_free(other.b);
	expect_whole(&p);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_copy_has_the_same_bytes_and_is_a_store),
	    cmocka_unit_test(what_is_there_is_not_sent_again),
	    cmocka_unit_test(only_what_changed_is_looked_at),
	    cmocka_unit_test(pads_that_were_written_anew_are_replaced),
	    cmocka_unit_test(what_was_not_synced_stays_behind),
	    cmocka_unit_test(the_newest_head_is_copied_whoever_wrote_it),
	    cmocka_unit_test(networks_may_be_of_different_kinds),
	    cmocka_unit_test(larger_records_than_fit_are_refused_before_anything_is_sent),
	    cmocka_unit_test(a_key_that_only_reads_makes_a_copy),
	    cmocka_unit_test(a_copy_that_is_newer_is_left_as_it_is),
	    cmocka_unit_test(a_copy_that_was_written_to_is_a_fork),
	    cmocka_unit_test(another_store_under_the_same_key_is_refused),
	    cmocka_unit_test(a_pad_that_is_another_there_is_named),
	    cmocka_unit_test(a_copy_far_behind_is_taken_over_when_told),
	    cmocka_unit_test(all_but_what_is_lost_is_copied_and_the_old_head_stays),
	    cmocka_unit_test(a_plan_comes_first_and_may_be_refused),
	    cmocka_unit_test(a_copy_stops_at_the_limits_and_goes_on),
	    cmocka_unit_test(a_copy_that_hangs_can_be_ended),
	    cmocka_unit_test(a_copy_keeps_to_the_memory_that_it_is_given),
	    cmocka_unit_test(changes_go_on_while_a_copy_is_made),
	    cmocka_unit_test(a_head_that_moves_meanwhile_is_followed),
	};
	return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
