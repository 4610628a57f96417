/* mem:'s faults: each does what remote/mem_network.h says, to the requests that its rule names and to no
 * others. */
#include "tests/remote/networks/cm.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "remote/mem_network.h"
#include "tests/remote/networks/suite.h"

enum { RECORD = 500, LATENCY_MS = 200000 };

static void fresh(char *url, size_t size)
{
	static unsigned number;
	snprintf(url, size, "mem:faults-%u", number++);
}

static const struct networks_suite suite = {.name = "mem faults", .fresh = fresh};

struct world {
	struct net_side *side;
	ps_mem_world *world;
	ps_client *client;
	struct ps_pad_name name, other;
};

static struct ps_pad_identity version(uint64_t counter)
{
	return net_identity(counter, 0);
}

static void take_world(struct world *w, void **state)
{
	w->side = *state;
	w->world = ps_mem_world_of(w->side->network);
	w->client = w->side->client;
	w->name = net_name(1);
	w->other = net_name(2);
	assert_int_equal(net_create(w->client, &w->name, version(1), RECORD), PS_NET_DONE);
	assert_int_equal(net_create(w->client, &w->other, version(7), RECORD + 1), PS_NET_DONE);
}

static unsigned add_rule(struct world *w, struct ps_mem_rule rule)
{
	unsigned number = 0;
	assert_int_equal(ps_mem_rule_add(w->world, &rule, &number), PS_OK);
	assert_true(number > 0);
	return number;
}

static void no_rules(struct world *w)
{
	ps_mem_rule_remove(w->world, 0);
}

static enum ps_outcome replace(struct world *w, uint64_t from, uint64_t to)
{
	return net_replace(w->client, &w->name, version(from), version(to), RECORD);
}

static uint64_t counter_of(struct world *w)
{
	struct ps_pad_identity there = {0};
	uint64_t size;
	enum ps_outcome outcome = net_head(w->client, &w->name, &there, &size);
	assert_true(outcome == PS_NET_DONE || outcome == PS_NET_ABSENT);
	return there.counter;
}

/* As many requests as a late write may want to wait for. */
static void pass_by(struct world *w, unsigned requests)
{
	struct ps_pad_identity there;
	uint64_t size;
	while (requests-- > 0)
		net_head(w->client, &w->other, &there, &size);
}

/* ---- which requests a rule is about ---- */

static void a_rule_is_for_its_requests_only(void **state)
{
	struct world w;
	take_world(&w, state);
	struct ps_pad_identity there;
	uint64_t size;
	unsigned number = add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_DENIED,
	                                                    .ops = 1U << PS_NET_HEAD,
	                                                    .named = true,
	                                                    .name = w.name,
	                                                    .first = 2,
	                                                    .count = 2});
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(net_head(w.client, &w.other, &there, &size), PS_NET_DONE);
		assert_int_equal(net_head(w.client, &w.name, &there, &size),
		                 i == 2 || i == 3 ? PS_NET_DENIED : PS_NET_DONE);
	}
	assert_int_equal(ps_mem_rule_hits(w.world, number), 2);
	assert_int_equal(replace(&w, 1, 2), PS_NET_DONE);
	ps_mem_rule_remove(w.world, number);
	assert_int_equal(ps_mem_rule_add(w.world, &(struct ps_mem_rule){.fault = PS_MEM_FAULTS}, NULL),
	                 PS_EINVAL);
	assert_int_equal(ps_mem_rule_add(w.world, &(struct ps_mem_rule){.fault = PS_MEM_FROZEN}, NULL),
	                 PS_EINVAL);
}

static unsigned long drawn(struct world *w, uint64_t seed)
{
	unsigned long which = 0;
	struct ps_pad_identity there;
	uint64_t size;
	ps_mem_set_seed(w->world, seed);
	unsigned number = add_rule(w, (struct ps_mem_rule){.fault = PS_MEM_THROTTLED, .one_in = 3});
	for (unsigned i = 0; i < 60; i++)
		which |= (unsigned long)(net_head(w->client, &w->name, &there, &size) != PS_NET_DONE) << i;
	ps_mem_rule_remove(w->world, number);
	return which;
}

static void a_seed_replays(void **state)
{
	struct world w;
	take_world(&w, state);
	unsigned long first = drawn(&w, 5);
	assert_true(__builtin_popcountl(first) > 8 && __builtin_popcountl(first) < 40);
	assert_true(drawn(&w, 5) == first);
	assert_true(drawn(&w, 6) != first);
}

/* ---- on the way ---- */

static void lost_requests_and_lost_answers_are_told_apart(void **state)
{
	struct world w;
	struct ps_pad_identity there;
	uint64_t size;
	take_world(&w, state);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_LOSE_REQUEST, .count = 1});
	assert_int_equal(replace(&w, 1, 2), PS_NET_UNAVAILABLE);
	assert_int_equal(counter_of(&w), 1);
	no_rules(&w);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_VANISH, .count = 1});
	assert_int_equal(replace(&w, 1, 2), PS_NET_UNKNOWN);
	assert_int_equal(counter_of(&w), 1);
	no_rules(&w);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_LOSE_REPLY, .count = 2});
	assert_int_equal(replace(&w, 1, 2), PS_NET_UNKNOWN);
	assert_int_equal(net_head(w.client, &w.name, &there, &size), PS_NET_UNAVAILABLE);
	assert_true(ps_identity_none(&there) && size == 0);
	assert_int_equal(counter_of(&w), 2);
}

static void a_late_write_comes_late_and_by_its_guard(void **state)
{
	struct world w;
	take_world(&w, state);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_LATE, .amount = 4, .count = 1});
	assert_int_equal(replace(&w, 1, 2), PS_NET_UNKNOWN);
	assert_int_equal(counter_of(&w), 1);
	pass_by(&w, 4);
	assert_int_equal(counter_of(&w), 2);
	net_expect(w.client, &w.name, version(2), RECORD);
	no_rules(&w);
	/* Fenced: it comes to nothing. */
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_LATE, .amount = 100, .count = 1});
	assert_int_equal(replace(&w, 2, 3), PS_NET_UNKNOWN);
	assert_int_equal(replace(&w, 2, 4), PS_NET_DONE);
	assert_int_equal(ps_mem_deliver(w.world), 0);
	assert_int_equal(counter_of(&w), 4);
	/* Sent twice over: only one passes. */
	no_rules(&w);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_LATE, .amount = 100, .count = 1});
	assert_int_equal(replace(&w, 4, 5), PS_NET_UNKNOWN);
	assert_int_equal(ps_mem_deliver(w.world), 1);
	assert_int_equal(counter_of(&w), 5);
}

static void a_write_carried_out_twice_meets_itself(void **state)
{
	struct world w;
	take_world(&w, state);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_TWICE});
	assert_int_equal(replace(&w, 1, 2), PS_NET_CONFLICT);
	assert_int_equal(counter_of(&w), 2);
	assert_int_equal(net_remove(w.client, &w.name, version(2)), PS_NET_ABSENT);
	assert_int_equal(net_create(w.client, &w.name, version(3), RECORD), PS_NET_CONFLICT);
	net_expect(w.client, &w.name, version(3), RECORD);
}

static void submit_head(struct world *w, struct ps_net_request *r, uint64_t n)
{
	*r = (struct ps_net_request){.op = PS_NET_HEAD, .name = net_name(n)};
	assert_int_equal(ps_client_submit(w->client, r), PS_OK);
}

static void latency_is_virtual_and_reorders(void **state)
{
	struct world w;
	struct ps_net_request r[3];
	take_world(&w, state);
	add_rule(&w, (struct ps_mem_rule){
	                 .fault = PS_MEM_LATENCY, .named = true, .name = net_name(1), .amount = LATENCY_MS});
	uint64_t start = net_now_ms();
	for (unsigned i = 0; i < 3; i++)
		submit_head(&w, &r[i], 1 + i);
	assert_ptr_equal(ps_client_wait(w.client, 0), &r[1]);
	assert_ptr_equal(ps_client_wait(w.client, 0), &r[2]);
	assert_ptr_equal(ps_client_wait(w.client, 0), &r[0]);
	net_assert_outcome(&r[0], PS_NET_DONE);
	assert_true(net_now_ms() - start < LATENCY_MS);
	no_rules(&w);
	/* A delayed write is carried out when its turn comes; a time-out in between leaves it on its way. */
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_LATENCY,
	                                  .ops = 1U << PS_NET_REPLACE,
	                                  .amount = w.side->network->timeout_ms + NET_SECOND_MS});
	assert_int_equal(replace(&w, 1, 2), PS_NET_UNKNOWN);
	assert_true(counter_of(&w) == 1 || counter_of(&w) == 2);
	pass_by(&w, 1);
	assert_int_equal(counter_of(&w), 2);
}

static void jitter_changes_the_order_by_the_seed(void **state)
{
	struct world w;
	struct ps_net_request r[NET_DEPTH];
	unsigned moved = 0;
	take_world(&w, state);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_JITTER, .amount = 1000});
	for (unsigned i = 0; i < NET_DEPTH; i++)
		submit_head(&w, &r[i], 1);
	for (unsigned i = 0; i < NET_DEPTH; i++)
		moved += ps_client_wait(w.client, 0) != &r[i];
	assert_true(moved > 2);
}

static void refusals_are_told_and_change_nothing(void **state)
{
	struct world w;
	static const struct {
		enum ps_mem_fault fault;
		enum ps_outcome outcome;
	} refusals[] = {{PS_MEM_FULL, PS_NET_FULL},
	                {PS_MEM_DENIED, PS_NET_DENIED},
	                {PS_MEM_THROTTLED, PS_NET_UNAVAILABLE},
	                {PS_MEM_CONFLICT, PS_NET_CONFLICT}};
	take_world(&w, state);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		add_rule(&w, (struct ps_mem_rule){.fault = refusals[i].fault, .ops = 1U << PS_NET_REPLACE});
		struct ps_net_request r = {.op = PS_NET_REPLACE,
		                           .name = w.name,
		                           .expected = version(1),
		                           .identity = version(2),
		                           .buffer = net_buffer(w.side->network, 10)};
		ps_client_call(w.client, &r);
		net_assert_outcome(&r, refusals[i].outcome);
		assert_int_equal(r.throttled, refusals[i].fault == PS_MEM_THROTTLED);
		ps_net_buffer_release(r.buffer);
		no_rules(&w);
		net_expect(w.client, &w.name, version(1), RECORD);
	}
}

/* ---- lies about writes ---- */

static void lies_about_writes(void **state)
{
	struct world w;
	take_world(&w, state);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_LIE_DONE, .count = 1});
	assert_int_equal(replace(&w, 1, 2), PS_NET_DONE);
	assert_int_equal(counter_of(&w), 1);
	no_rules(&w);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_LOSE_LATER, .amount = 3, .count = 2});
	assert_int_equal(replace(&w, 1, 2), PS_NET_DONE);
	assert_int_equal(counter_of(&w), 2);
	pass_by(&w, 3);
	assert_int_equal(counter_of(&w), 1);
	struct ps_pad_name new = net_name(9);
	assert_int_equal(net_create(w.client, &new, version(1), RECORD), PS_NET_DONE);
	net_expect(w.client, &new, version(1), RECORD);
	pass_by(&w, 3);
	net_expect_absent(w.client, &new);
	no_rules(&w);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_REPLAY, .amount = 5, .count = 1});
	assert_int_equal(replace(&w, 1, 3), PS_NET_DONE);
	assert_int_equal(replace(&w, 3, 4), PS_NET_DONE);
	assert_int_equal(counter_of(&w), 4);
	pass_by(&w, 5);
	net_expect(w.client, &w.name, version(3), RECORD);
}

static void what_one_view_stores_no_other_sees(void **state)
{
	struct world w;
	struct net_side second;
	take_world(&w, state);
	net_open_at(&second, w.side->url, false);
	ps_mem_set_view(second.network, 1);
	net_expect(second.client, &w.name, version(1), RECORD);
	struct ps_pad_name new = net_name(9);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_ONE_VIEW, .view = 1});
	assert_int_equal(net_create(w.client, &new, version(1), RECORD), PS_NET_DONE);
	assert_int_equal(replace(&w, 1, 2), PS_NET_DONE);
	net_expect(w.client, &new, version(1), RECORD);
	net_expect(w.client, &w.name, version(2), RECORD);
	net_expect_absent(second.client, &new);
	net_expect(second.client, &w.name, version(1), RECORD);
	net_close(&second);
}

/* ---- lies about what is there ---- */

static void get(struct world *w, struct ps_net_request *r, uint8_t bytes[2 * RECORD])
{
	*r = (struct ps_net_request){
	    .op = PS_NET_GET, .name = w->name, .buffer = net_buffer(w->side->network, 2 * RECORD)};
	ps_client_call(w->client, r);
	net_assert_outcome(r, PS_NET_DONE);
	memcpy(bytes, r->buffer->bytes, r->buffer->len);
	r->len = r->buffer->len;
	ps_net_buffer_release(r->buffer);
}

static unsigned bits_changed(const uint8_t *a, const uint8_t *b, size_t len)
{
	unsigned bits = 0;
	for (size_t i = 0; i < len; i++)
		bits += (unsigned)__builtin_popcount(a[i] ^ b[i]);
	return bits;
}

static void bytes_are_flipped_cut_and_added(void **state)
{
	struct world w;
	struct ps_net_request r;
	uint8_t right[2 * RECORD], wrong[2 * RECORD];
	take_world(&w, state);
	get(&w, &r, right);
	for (uint64_t bit = 0; bit < RECORD * 8; bit += 397) {
		add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_FLIP, .amount = bit});
		get(&w, &r, wrong);
		assert_true(r.len == RECORD &&
		            ps_identity_same(&r.identity, &(struct ps_pad_identity){0}) == false);
		assert_int_equal(bits_changed(right, wrong, RECORD), 1);
		assert_int_equal((right[bit / 8] ^ wrong[bit / 8]), 1 << bit % 8);
		no_rules(&w);
	}
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_TRUNCATE, .amount = 100});
	get(&w, &r, wrong);
	assert_true(r.len == 100 && r.size == 100 && memcmp(right, wrong, 100) == 0);
	no_rules(&w);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_EXTEND, .amount = 3});
	get(&w, &r, wrong);
	assert_true(r.len == RECORD + 3 && r.size == RECORD + 3 && memcmp(right, wrong, RECORD) == 0);
	no_rules(&w);
	net_expect(w.client, &w.name, version(1), RECORD);
}

static void the_bytes_of_others_are_shown(void **state)
{
	struct world w;
	struct net_side foreign;
	struct ps_net_request r;
	uint8_t here[2 * RECORD], shown[2 * RECORD];
	char url[NET_URL];
	take_world(&w, state);
	add_rule(
	    &w, (struct ps_mem_rule){.fault = PS_MEM_OTHER, .named = true, .name = w.name, .other = w.other});
	get(&w, &r, shown);
	struct ps_pad_identity one = version(1), two = version(2);
	assert_true(r.len == RECORD + 1 && ps_identity_same(&r.identity, &one));
	no_rules(&w);
	fresh(url, sizeof(url));
	net_open_at(&foreign, url, false);
	assert_int_equal(net_create(foreign.client, &w.name, two, RECORD - 3), PS_NET_DONE);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_OTHER,
	                                  .named = true,
	                                  .name = w.name,
	                                  .other = w.name,
	                                  .source = ps_mem_world_of(foreign.network)});
	get(&w, &r, shown);
	assert_true(r.len == RECORD - 3 && ps_identity_same(&r.identity, &one));
	no_rules(&w);
	get(&w, &r, here);
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_CLAIM, .identity = two});
	get(&w, &r, shown);
	assert_true(ps_identity_same(&r.identity, &two) && memcmp(here, shown, RECORD) == 0);
	net_close(&foreign);
}

static void old_versions_and_absences_are_shown(void **state)
{
	struct world w;
	take_world(&w, state);
	ps_mem_keep_past(w.world, 3);
	for (uint64_t counter = 1; counter < 6; counter++)
		assert_int_equal(replace(&w, counter, counter + 1), PS_NET_DONE);
	for (uint64_t back = 0; back < 6; back++) {
		add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_OLD, .amount = back});
		net_expect(w.client, &w.name, version(back < 3 ? 6 - back : 3), RECORD);
		no_rules(&w);
	}
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_ABSENT, .named = true, .name = w.name});
	net_expect_absent(w.client, &w.name);
	net_expect(w.client, &w.other, version(7), RECORD + 1);
	struct ps_net_listed listed[4];
	struct ps_net_list list = {.listed = listed, .capacity = 4};
	struct ps_net_request r = {.op = PS_NET_LIST, .list = &list};
	ps_client_call(w.client, &r);
	assert_int_equal(list.count, 1);
	assert_memory_equal(&listed[0].name, &w.other, sizeof(w.other));
	no_rules(&w);
	assert_int_equal(ps_mem_roll_back(w.world, 0, &w.name, 2), PS_OK);
	net_expect(w.client, &w.name, version(4), RECORD);
	assert_int_equal(net_remove(w.client, &w.name, version(4)), PS_NET_DONE);
	net_expect_absent(w.client, &w.name);
	assert_int_equal(ps_mem_roll_back(w.world, 0, &w.name, 0), PS_OK);
	net_expect(w.client, &w.name, version(4), RECORD);
}

static void snapshots_freeze_and_bring_back(void **state)
{
	struct world w;
	struct ps_pad_name new = net_name(9);
	ps_mem_snapshot *then;
	take_world(&w, state);
	assert_int_equal(ps_mem_snapshot_take(w.world, 0, &then), PS_OK);
	assert_int_equal(replace(&w, 1, 2), PS_NET_DONE);
	assert_int_equal(net_create(w.client, &new, version(1), RECORD), PS_NET_DONE);
	assert_int_equal(net_remove(w.client, &w.other, version(7)), PS_NET_DONE);
	/* Frozen: writes go on and are acknowledged, nobody sees them. */
	add_rule(&w, (struct ps_mem_rule){.fault = PS_MEM_FROZEN, .snapshot = then});
	net_expect(w.client, &w.name, version(1), RECORD);
	net_expect(w.client, &w.other, version(7), RECORD + 1);
	net_expect_absent(w.client, &new);
	assert_int_equal(replace(&w, 2, 3), PS_NET_DONE);
	net_expect(w.client, &w.name, version(1), RECORD);
	no_rules(&w);
	net_expect(w.client, &w.name, version(3), RECORD);
	assert_int_equal(ps_mem_restore_name(w.world, 0, &w.other, then), PS_OK);
	net_expect(w.client, &w.other, version(7), RECORD + 1);
	net_expect(w.client, &w.name, version(3), RECORD);
	assert_int_equal(ps_mem_restore(w.world, 0, then), PS_OK);
	net_expect(w.client, &w.name, version(1), RECORD);
	net_expect_absent(w.client, &new);
	ps_mem_snapshot_free(then);
	ps_mem_snapshot_free(NULL);
}

static void forked_views_go_their_own_ways(void **state)
{
	struct world w;
	struct net_side second;
	struct ps_pad_name names[3];
	take_world(&w, state);
	net_open_at(&second, w.side->url, false);
	ps_mem_set_view(second.network, 1);
	assert_int_equal(ps_mem_fork(w.world, 0, 1), PS_OK);
	assert_int_equal(replace(&w, 1, 2), PS_NET_DONE);
	net_expect(second.client, &w.name, version(1), RECORD);
	assert_int_equal(net_replace(second.client, &w.name, version(1), net_identity(2, 5), RECORD),
	                 PS_NET_DONE);
	assert_int_equal(net_remove(second.client, &w.other, version(7)), PS_NET_DONE);
	net_expect(w.client, &w.name, version(2), RECORD);
	net_expect(w.client, &w.other, version(7), RECORD + 1);
	assert_int_equal(ps_mem_names(w.world, 0, names, 3), 2);
	assert_int_equal(ps_mem_names(w.world, 1, names, 3), 1);
	/* And over the other again, either way, and on from there. */
	for (unsigned to = 0; to < PS_MEM_VIEWS; to++) {
		if (to != 1)
			assert_int_equal(ps_mem_fork(w.world, 1, to), PS_OK);
	}
	net_expect(w.client, &w.name, net_identity(2, 5), RECORD);
	assert_int_equal(net_replace(w.client, &w.name, net_identity(2, 5), version(3), RECORD), PS_NET_DONE);
	net_expect(second.client, &w.name, net_identity(2, 5), RECORD);
	net_close(&second);
}

static void hands_on_the_records(void **state)
{
	struct world w;
	struct ps_pad_identity there, nine = version(9);
	struct ps_mem_figures figures;
	uint8_t bytes[4];
	size_t len;
	take_world(&w, state);
	assert_int_equal(ps_mem_set(w.world, 0, &w.name, &nine, "abc", 3), PS_OK);
	assert_int_equal(counter_of(&w), 9);
	assert_int_equal(ps_mem_look(w.world, 0, &w.name, &there, bytes, sizeof(bytes), &len), PS_OK);
	assert_true(len == 3 && memcmp(bytes, "abc", 3) == 0 && ps_identity_same(&there, &nine));
	assert_int_equal(ps_mem_set(w.world, 0, &w.name, NULL, NULL, 0), PS_OK);
	net_expect_absent(w.client, &w.name);
	assert_int_equal(ps_mem_look(w.world, 0, &w.name, &there, NULL, 0, &len), PS_ENOTFOUND);
	ps_mem_figures(w.world, &figures, true);
	assert_int_equal(figures.requests[PS_NET_CREATE], 2);
	assert_int_equal(figures.bytes_in, 2 * RECORD + 1);
	ps_mem_figures(w.world, &figures, false);
	assert_int_equal(figures.requests[PS_NET_CREATE], 0);
}

static void a_world_stays_until_it_is_forgotten(void **state)
{
	struct world w;
	take_world(&w, state);
	char name[NET_URL];
	snprintf(name, sizeof(name), "%s", w.side->url + strlen("mem:"));
	assert_int_equal(ps_mem_forget(name), PS_EBUSY);
	net_close(w.side);
	add_rule(&(struct world){.world = w.world}, (struct ps_mem_rule){.fault = PS_MEM_DENIED});
	assert_int_equal(ps_mem_forget(name), PS_OK);
	assert_int_equal(ps_mem_forget(name), PS_ENOTFOUND);
	char url[NET_URL + 8];
	snprintf(url, sizeof(url), "mem:%s", name);
	net_open_at(w.side, url, false);
	net_expect_absent(w.side->client, &w.name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    NET_TEST(a_rule_is_for_its_requests_only),
	    NET_TEST(a_seed_replays),
	    NET_TEST(lost_requests_and_lost_answers_are_told_apart),
	    NET_TEST(a_late_write_comes_late_and_by_its_guard),
	    NET_TEST(a_write_carried_out_twice_meets_itself),
	    NET_TEST(latency_is_virtual_and_reorders),
	    NET_TEST(jitter_changes_the_order_by_the_seed),
	    NET_TEST(refusals_are_told_and_change_nothing),
	    NET_TEST(lies_about_writes),
	    NET_TEST(what_one_view_stores_no_other_sees),
	    NET_TEST(bytes_are_flipped_cut_and_added),
	    NET_TEST(the_bytes_of_others_are_shown),
	    NET_TEST(old_versions_and_absences_are_shown),
	    NET_TEST(snapshots_freeze_and_bring_back),
	    NET_TEST(forked_views_go_their_own_ways),
	    NET_TEST(hands_on_the_records),
	    NET_TEST(a_world_stays_until_it_is_forgotten),
	};
	net_suite = &suite;
	net_seed = 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
