/* Log pads among all that lies on a network: they are copied with the state that they are behind of, every
 * pad is accounted for, and what a log has left is collected. usage: log_pads_test [STRIDE]: a copy is cut
 * off at every so-manieth request */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "multistore/log.h"
#include "multistore/push_internal.h"
#include "remote/slot_internal.h"
#include "tests/multistore/push_fixture.h"

enum { AGE_S = 1000, SEEN_MOST = 16 };

static uint64_t stride = 1;
static uint64_t now_s = 1000000;

static uint64_t wall_ns(void *arg)
{
	(void)arg;
	return now_s * PS_SECOND_NS;
}

/* A store with its log, and a second network. */
struct logged {
	struct world w;
	struct ps_log *log;
	struct picture seen[SEEN_MOST]; /* after each change */
	unsigned count;
	char url[64]; /* of the second network */
	ps_network *watch;
	ps_mem_world *second;
};

static void logged_new(struct logged *l, uint64_t seed)
{
	static unsigned number;
	memset(l, 0, sizeof(*l));
	world_new(&l->w, "mem", seed);
	l->w.b->seams.wall_ns = wall_ns;
	blobs_reopen(l->w.b);
	l->w.options.compression = -1;
	snprintf(l->url, sizeof(l->url), "mem:log-copy-%d-%u", (int)getpid(), ++number);
	assert_ok(ps_network_open(l->url, NULL, &l->watch));
	l->second = ps_mem_world_of(l->watch);
	l->log = log_begin(&l->w);
}

static void logged_free(struct logged *l)
{
	ps_log_free(l->log);
	for (unsigned i = 0; i < l->count; i++)
		picture_free(&l->seen[i]);
	world_free(&l->w);
	ps_network_close(l->watch);
	assert_ok(ps_mem_forget(l->url + strlen("mem:")));
}

static void change(struct logged *l)
{
	change_some(&l->w, 6);
	picture_take(&l->seen[l->count++], l->w.s);
}

static void ship(struct logged *l)
{
	change(l);
	assert_ok(ps_log_ship(l->log, NULL, NULL));
}

static void push(struct logged *l)
{
	change(l);
	(void)push_now(&l->w);
}

/* ---- what lies there ---- */

/* Pads of packs that the newest state has, and of those that only earlier ones have. */
struct states {
	const struct ps_push_manifest *m;
	uint64_t live, history;
};

static bool is_live(const struct ps_push_manifest *m, const uint8_t mark[PS_PACK_MARK], uint32_t number)
{
	const struct ps_push_manifest_state *newest = ps_push_manifest_newest(m);
	for (uint32_t i = 0; i < newest->runs; i++) {
		const struct ps_push_manifest_run *run = &m->runs[newest->run[i]];
		const struct ps_push_manifest_pack *packs = ps_push_manifest_packs(m, run);
		for (uint32_t k = 0; k < run->packs; k++)
			if (packs[k].about.number == number &&
			    memcmp(packs[k].about.mark, mark, PS_PACK_MARK) == 0)
				return true;
	}
	return false;
}

static int count_pack(void *arg, const struct ps_remote_info *info)
{
	struct states *states = arg;
	uint8_t mark[PS_PACK_MARK];
	uint32_t number;
	if (ps_pack_name_parse(info->key, mark, &number))
		fail_msg("\"%s\" is no pack", info->key);
	*(is_live(states->m, mark, number) ? &states->live : &states->history) += info->pads;
	return 0;
}

static void count_states(struct logged *l, struct states *states)
{
	struct ps_memory memory;
	struct ps_push_manifest m;
	ps_memory_init(&memory, NULL);
	ps_push_manifest_init(&m, &memory);
	assert_ok(push_read_manifest(l->w.b->r, PS_PUSH_MANIFEST_KEY, &m));
	*states = (struct states){.m = &m};
	assert_ok(ps_remote_list(l->w.b->r, "pack/", count_pack, states));
	states->m = NULL;
	ps_push_manifest_done(&m);
	ps_memory_done(&memory);
}

static int count_slots(void *arg, const struct ps_record *record)
{
	uint64_t *count = arg;
	for (unsigned set = 0; set < PS_SETS; set++)
		*count += record->sets[set].count;
	return PS_OK;
}

static int count_let_go(void *arg, const struct ps_record *record)
{
	uint64_t *count = arg;
	for (unsigned set = PS_SET_NEXT; set < PS_SETS; set++)
		for (uint32_t i = 0; i < record->sets[set].count; i++)
			*count += record->sets[set].slots[i].status != PS_SLOT_PENDING &&
			          record->sets[set].slots[i].status != PS_SLOT_GENERATED;
	return PS_OK;
}

/* Of values that were removed or replaced here, as long as a head names them. */
static uint64_t let_go(struct logged *l)
{
	uint64_t count = 0;
	assert_ok(ps_index_list(l->w.b->r->index, PS_RECORD_BLOB, NULL, PS_LIST_SLOTS, count_let_go, &count));
	return count;
}

/* The network lists what the index knows, each pad once, and the log: nothing else, and nothing less. */
static void expect_accounted(struct logged *l, uint64_t log)
{
	struct states states;
	struct ps_remote_stats stats;
	struct ps_remote_info manifest;
	struct ps_remote_audit_result audit;
	uint64_t index = 0, head = 1;
	count_states(l, &states);
	assert_ok(ps_remote_stats(l->w.b->r, &stats));
	assert_ok(ps_remote_stat(l->w.b->r, PS_PUSH_MANIFEST_KEY, &manifest));
	assert_ok(
	    ps_index_list(l->w.b->r->index, PS_RECORD_SYSTEM, NULL, PS_LIST_SLOTS, count_slots, &index));
	assert_ok(ps_remote_audit(l->w.b->r, NULL, &audit));
	uint64_t live = states.live + manifest.pads + index + head, waits = let_go(l);
	uint64_t sum = live + stats.free_pads + states.history + log + stats.pending + waits;
	if (audit.listed - audit.roles[PS_ROLE_FENCE] != sum || audit.listed != audit.named ||
	    audit.roles[PS_ROLE_LOG] != log)
		fail_msg("%llu listed, %llu named, %llu vanished, %llu undecided; roles %llu %llu %llu %llu "
		         "%llu %llu; live %llu + %llu + %llu + 1, free %llu, history %llu, log %llu, pending "
		         "%llu, let go %llu, invalid %llu, generated %llu, written %llu",
		         (unsigned long long)audit.listed, (unsigned long long)audit.named,
		         (unsigned long long)audit.vanished, (unsigned long long)audit.undecided,
		         (unsigned long long)audit.roles[0], (unsigned long long)audit.roles[1],
		         (unsigned long long)audit.roles[2], (unsigned long long)audit.roles[3],
		         (unsigned long long)audit.roles[4], (unsigned long long)audit.roles[5],
		         (unsigned long long)states.live, (unsigned long long)manifest.pads,
		         (unsigned long long)index, (unsigned long long)stats.free_pads,
		         (unsigned long long)states.history, (unsigned long long)log,
		         (unsigned long long)stats.pending, (unsigned long long)waits,
		         (unsigned long long)stats.invalid, (unsigned long long)stats.generated,
		         (unsigned long long)stats.written);
	assert_int_equal(audit.unnamed + audit.foreign + audit.others + audit.no_pads, 0);
}

static void every_pad_is_accounted_for(void **state)
{
	struct logged l;
	(void)state;
	logged_new(&l, 1);
	l.w.options.history = 2;
	push(&l);
	assert_int_equal(let_go(&l), 0);
	for (unsigned round = 0; round < 3; round++) {
		expect_accounted(&l, 0);
		ship(&l);
		expect_accounted(&l, 1);
		ship(&l);
		expect_accounted(&l, 2);
		push(&l);
	}
	expect_accounted(&l, 0);
	l.w.options.history = 0;
	uint64_t waited = 0;
	for (unsigned i = 0; i < 3; i++) {
		push(&l);
		waited += let_go(&l);
		expect_accounted(&l, 0);
	}
	assert_true(waited > 0); /* packs that are in no state any more, but in the network's head */
	(void)sync_machine(l.w.b);
	assert_int_equal(let_go(&l), 0);
	expect_accounted(&l, 0);
	logged_free(&l);
}

/* Whatever was under way: what the journal has is accounted for at once, and what is listed is named. */
static void so_it_is_when_a_push_was_cut_off(void **state)
{
	(void)state;
	for (uint64_t request = 3;; request += 2 * stride) {
		const struct ps_mem_rule gone = {.fault = PS_MEM_VANISH, .first = request};
		struct ps_remote_audit_result audit;
		struct logged l;
		unsigned number;
		logged_new(&l, 1);
		push(&l);
		ship(&l);
		change(&l);
		assert_ok(ps_mem_rule_add(blobs_world(l.w.b), &gone, &number));
		int err = ps_push(l.w.s, l.w.b->r, &l.w.options, NULL);
		ps_mem_rule_remove(blobs_world(l.w.b), 0);
		(void)ps_mem_deliver(blobs_world(l.w.b));
		ps_log_free(l.log);
		blobs_reopen(l.w.b);
		l.log = log_begin(&l.w);
		assert_ok(ps_remote_audit(l.w.b->r, NULL, &audit));
		assert_int_equal(audit.listed, audit.named);
		push(&l);
		(void)sync_machine(l.w.b); /* packs that the push has removed go with it */
		assert_ok(ps_remote_purge(l.w.b->r, NULL, NULL, NULL));
		expect_accounted(&l, 0);
		logged_free(&l);
		if (err == PS_OK)
			break;
	}
}

/* ---- what is left over ---- */

static struct ps_remote_gc_result collect(struct logged *l, bool apply)
{
	const struct ps_remote_gc options = {
	    .size = sizeof(options), .apply = apply, .age_s = AGE_S, .ignore_silent = 1};
	struct ps_remote_gc_result result;
	assert_ok(ps_push_gc(l->w.b->r, &options, &result));
	return result;
}

/* The machine is gone in the middle of a push, with all that it remembered. */
static void so_it_is_after_gc_when_the_machine_burned(void **state)
{
	const struct ps_mem_rule gone = {.fault = PS_MEM_VANISH, .first = 4};
	struct logged l;
	unsigned number;
	(void)state;
	logged_new(&l, 3);
	push(&l);
	ship(&l);
	change(&l);
	assert_ok(ps_mem_rule_add(blobs_world(l.w.b), &gone, &number));
	assert_int_not_equal(ps_push(l.w.s, l.w.b->r, &l.w.options, NULL), PS_OK);
	ps_mem_rule_remove(blobs_world(l.w.b), 0);
	struct blobs *burned = l.w.b, *other = machine_new(burned);
	assert_ok(blobs_start(other, false));
	ps_log_free(l.log);
	l.w.b = other;
	l.log = log_begin(&l.w);
	assert_true(collect(&l, true).unnamed > 0);
	now_s += AGE_S;
	struct ps_remote_gc_result went = collect(&l, true);
	assert_int_equal(went.deleted, went.unnamed);
	expect_accounted(&l, 1);
	l.w.b = burned;
	machine_free(other);
	logged_free(&l);
}

static void leave_slot(struct logged *l, enum ps_remote_slot_kind kind, uint64_t n)
{
	const struct ps_remote_slot_at at = {1, n};
	struct ps_remote_slot slot;
	assert_ok(ps_remote_slot_create(l->w.b->r, &at, kind, "left", 4, NULL, NULL, &slot));
}

/* A pad in the middle is lost, so the log begins anew: far behind all that there ever was. */
static void begin_anew(struct logged *l, uint64_t first)
{
	const struct ps_remote_slot_at second = {1, first + 1};
	struct ps_pad_name name;
	for (unsigned i = 0; i < 3; i++)
		ship(l);
	assert_ok(ps_remote_slot_name(l->w.b->r, &second, &name));
	blobs_lose(l->w.b, &name);
	ps_log_free(l->log);
	l->log = log_begin(&l->w);
	ship(l); /* in its place; what is behind it belongs to another one */
	change(l);
	assert_error(ps_log_ship(l->log, NULL, NULL), PS_EFORK);
	push(l);
}

static void collect_what_is_left(bool guarded)
{
	const struct ps_remote_gc plain = {.size = sizeof(plain), .apply = 1, .age_s = 1};
	struct ps_remote_gc_result result;
	struct logged l;
	logged_new(&l, 5);
	if (!guarded)
		l.w.b->r->network->caps &= ~(uint32_t)PS_NET_CAP_GUARDED_REMOVE;
	push(&l);
	begin_anew(&l, 1);
	leave_slot(&l, PS_SLOT_LOG, 500);
	leave_slot(&l, PS_SLOT_LOG, 700);
	leave_slot(&l, PS_SLOT_FENCE, 600);
	ship(&l);
	expect_accounted(&l, 3);
	for (unsigned i = 0; i < 3; i++, now_s += AGE_S) { /* who does not know the log leaves it alone */
		assert_ok(ps_remote_gc(l.w.b->r, &plain, &result));
		assert_int_equal(result.unnamed, 0);
	}
	result = collect(&l, true);
	assert_int_equal(result.unnamed, 2);
	assert_int_equal(result.deleted, 0);
	now_s += AGE_S - 1;
	assert_int_equal(collect(&l, true).deleted, 0);
	now_s += 1;
	assert_int_equal(collect(&l, false).ripe, 2);
	assert_int_equal(collect(&l, true).deleted, 2);
	expect_accounted(&l, 1);
	expect_clone(&l.w, l.w.b->r, 0, &l.seen[l.count - 1]);
	struct ps_remote_audit_result audit;
	assert_ok(ps_remote_audit(l.w.b->r, NULL, &audit));
	assert_int_equal(audit.roles[PS_ROLE_FENCE], 1); /* it stands for ever */
	logged_free(&l);
}

static void what_a_log_has_left_is_collected(void **state)
{
	(void)state;
	collect_what_is_left(true);
	collect_what_is_left(false);
}

/* ---- a log is verified ---- */

static struct ps_push_verify_result verify(const struct logged *l)
{
	struct ps_push_verify_result result = {0};
	assert_ok(ps_push_verify(l->w.b->r, NULL, NULL, &result));
	return result;
}

static struct ps_pad_name name_of(const struct logged *l, uint64_t n)
{
	const struct ps_remote_slot_at at = {1, n};
	struct ps_pad_name name;
	assert_ok(ps_remote_slot_name(l->w.b->r, &at, &name));
	return name;
}

/* More than one pad takes. */
static void ship_much(struct logged *l)
{
	size_t len = 3 * ps_remote_slot_most(l->w.b->r);
	uint8_t *bytes = blobs_bytes(len, 1);
	ps_id id;
	assert_ok(ps_put(l->w.s, bytes, len, &id));
	test_free(bytes);
	ship(l);
}

static void a_log_is_verified(void **state)
{
	struct logged l;
	(void)state;
	logged_new(&l, 13);
	struct ps_push_verify_result found = verify(&l);
	assert_int_equal(found.state + found.log_pads, 0);
	push(&l);
	found = verify(&l);
	assert_true(found.state > 0 && found.commit > 0 && found.log_pads == 0);
	ship(&l);
	ship_much(&l);
	struct ps_push_verify_result more = verify(&l);
	assert_int_equal(more.state, found.state);
	assert_int_equal(more.log_groups, 2);
	assert_in_range(more.log_pads, 5, 8);
	assert_true(more.commit > found.commit && more.log_bytes > 0 && !more.fenced);
	push(&l);
	found = verify(&l);
	assert_int_equal(found.log_pads + found.log_groups, 0);
	assert_true(found.state > more.state);
	logged_free(&l);
}

/* Each damage alone: what it is found as. A last pad that is lost only its writer knows of. */
static void what_is_wrong_with_a_log_is_found(void **state)
{
	struct logged l;
	ps_mem_snapshot *whole;
	struct ps_pad_identity identity;
	size_t len;
	(void)state;
	logged_new(&l, 17);
	push(&l);
	for (unsigned i = 0; i < 4; i++)
		ship(&l);
	ps_mem_world *world = blobs_world(l.w.b);
	const struct ps_pad_name second = name_of(&l, 2), third = name_of(&l, 3), last = name_of(&l, 4);
	size_t cap = 2 * ps_remote_slot_most(l.w.b->r);
	uint8_t *bytes = test_malloc(cap);
	assert_int_equal(verify(&l).log_pads, 4);
	assert_ok(ps_mem_snapshot_take(world, 0, &whole));

	blobs_lose(l.w.b, &second);
	assert_error(ps_push_verify(l.w.b->r, NULL, NULL, NULL), PS_ELOST);
	assert_non_null(strstr(ps_last_error_message(), "log pad 2 of epoch 1"));
	assert_ok(ps_mem_restore(world, 0, whole));

	blobs_lose(l.w.b, &last);
	assert_int_equal(verify(&l).log_pads, 3);
	assert_ok(ps_mem_restore(world, 0, whole));

	assert_ok(ps_mem_look(world, 0, &third, &identity, bytes, cap, &len));
	assert_true(len <= cap);
	assert_ok(ps_mem_set(world, 0, &second, &identity, bytes, len));
	assert_error(ps_push_verify(l.w.b->r, NULL, NULL, NULL), PS_EAUTH);
	bytes[len / 2] ^= 1;
	assert_ok(ps_mem_set(world, 0, &third, &identity, bytes, len));
	assert_error(ps_push_verify(l.w.b->r, NULL, NULL, NULL), PS_EAUTH);
	assert_ok(ps_mem_restore(world, 0, whole));
	assert_int_equal(verify(&l).log_pads, 4);
	test_free(bytes);
	ps_mem_snapshot_free(whole);
	logged_free(&l);
}

/* The index has a pad of the log as one that is free. */
static void no_pad_of_a_log_is_another_ones(void **state)
{
	const struct ps_remote_slot_at at = {1, 1};
	struct ps_pad_slot slot;
	struct ps_serial serial;
	struct logged l;
	ps_index_txn *txn;
	(void)state;
	logged_new(&l, 19);
	push(&l);
	ship(&l);
	const struct ps_pad_name name = name_of(&l, 1);
	ps_remote_slot_serial(l.w.b->r, &at, &serial);
	ps_slot_new(&slot, &serial, &name, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
	assert_ok(ps_index_begin(l.w.b->r->index, &txn));
	assert_ok(ps_txn_add_spare(txn, &slot, 0));
	assert_ok(ps_index_commit(txn));
	assert_error(ps_push_verify(l.w.b->r, NULL, NULL, NULL), PS_ECORRUPT);
	logged_free(&l);
}

/* ---- copies ---- */

static bool is_seen(const struct picture *now, const struct picture *p)
{
	return now->count == p->count && memcmp(now->all, p->all, p->count * sizeof(*p->all)) == 0;
}

/* The second network is all that there is: after which change its store is. */
static unsigned seen_on_copy(struct logged *l)
{
	struct blobs *other = machine_new(l->w.b);
	struct picture now;
	char path[256];
	snprintf(other->url, sizeof(other->url), "%s", l->url);
	assert_ok(blobs_start(other, false));
	ps_storer *clone = clone_open(&l->w, other->r, 0, path);
	picture_take(&now, clone);
	assert_ok(ps_close(clone));
	assert_int_equal(unlink(path), 0);
	unsigned at = l->count;
	while (at > 0 && !is_seen(&now, &l->seen[at - 1]))
		at--;
	if (at == 0)
		fail_msg("a clone of the copy with %zu objects is no prefix", now.count);
	picture_free(&now);
	machine_free(other);
	return at - 1;
}

static void copy_whole(struct logged *l, uint64_t log)
{
	uint64_t pads = 0;
	assert_ok(ps_push_copy(l->w.b->r, l->url, NULL, NULL, &pads));
	assert_int_equal(pads, log);
	assert_int_equal(seen_on_copy(l), l->count - 1);
}

static void a_copy_has_the_log(void **state)
{
	struct logged l;
	(void)state;
	logged_new(&l, 7);
	push(&l);
	copy_whole(&l, 0);
	ship(&l);
	ship(&l);
	copy_whole(&l, 2);
	ship(&l);
	copy_whole(&l, 3); /* the head is the same */
	push(&l);
	copy_whole(&l, 0);
	begin_anew(&l, 4);
	ship(&l);
	copy_whole(&l, 1);
	logged_free(&l);
}

/* With the fence at its end, which the copy has as well; and then in the next epoch. */
static void a_copy_has_the_log_of_a_taken_store(void **state)
{
	struct logged l;
	struct ps_remote_audit_result audit;
	(void)state;
	logged_new(&l, 9);
	push(&l);
	ship(&l);
	const struct ps_clone_options take = {.size = sizeof(take), .take_over = 1};
	struct blobs *other = machine_new(l.w.b);
	char path[300];
	assert_ok(blobs_start(other, false));
	snprintf(path, sizeof(path), "%s.other", l.w.path);
	assert_ok(ps_clone(other->r, path, &take, NULL));
	assert_true(verify(&l).fenced);
	copy_whole(&l, 2);
	assert_int_equal(unlink(path), 0);
	snprintf(other->url, sizeof(other->url), "%s", l.url);
	blobs_close(other);
	assert_ok(blobs_start(other, false));
	assert_ok(ps_remote_audit(other->r, NULL, &audit));
	assert_int_equal(audit.roles[PS_ROLE_LOG], 1);
	assert_int_equal(audit.roles[PS_ROLE_FENCE], 1);
	assert_int_equal(audit.listed, audit.named);
	machine_free(other);
	logged_free(&l);
}

static void a_copy_that_was_cut_off_is_a_prefix(void **state)
{
	struct logged l;
	ps_mem_snapshot *before;
	(void)state;
	logged_new(&l, 11);
	push(&l);
	ship(&l);
	copy_whole(&l, 1);
	push(&l);
	ship(&l);
	ship(&l);
	assert_ok(ps_mem_snapshot_take(l.second, 0, &before));
	int err = PS_EUNAVAILABLE;
	for (uint64_t request = 1; err != PS_OK; request += stride) {
		const struct ps_mem_rule gone = {.fault = PS_MEM_VANISH, .first = request};
		unsigned number;
		assert_ok(ps_mem_rule_add(l.second, &gone, &number));
		err = ps_push_copy(l.w.b->r, l.url, NULL, NULL, NULL);
		ps_mem_rule_remove(l.second, 0);
		(void)ps_mem_deliver(l.second);
		assert_true(seen_on_copy(&l) >= 1);
		copy_whole(&l, 2);
		assert_ok(ps_mem_restore(l.second, 0, before));
	}
	ps_mem_snapshot_free(before);
	logged_free(&l);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_pad_is_accounted_for),
	    cmocka_unit_test(so_it_is_when_a_push_was_cut_off),
	    cmocka_unit_test(so_it_is_after_gc_when_the_machine_burned),
	    cmocka_unit_test(what_a_log_has_left_is_collected),
	    cmocka_unit_test(a_log_is_verified),
	    cmocka_unit_test(what_is_wrong_with_a_log_is_found),
	    cmocka_unit_test(no_pad_of_a_log_is_another_ones),
	    cmocka_unit_test(a_copy_has_the_log),
	    cmocka_unit_test(a_copy_has_the_log_of_a_taken_store),
	    cmocka_unit_test(a_copy_that_was_cut_off_is_a_prefix),
	};
	if (argc > 1)
		stride = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("log pads on networks", tests, NULL, NULL);
}
