/* Blocks of packs, read ahead: who goes through a pack has the next range on its way while he reads this one,
 * who jumps about has nothing, and what fails ahead is nobody's failure. */
#include <string.h>

#include "multistore/pack_loader.h"
#include "multistore/push_internal.h"
#include "tests/multistore/push_fixture.h"

enum { OBJECT = 2048, OBJECTS = 4000, BLOCKS_LEAST = 30, KEPT = 16 << 20 };

static struct ps_memory memory;

/* One pack of some thirty blocks, and its index. */
struct packed {
	struct world w;
	struct ps_push_manifest m;
	struct ps_pack_loader l;
	struct ps_cached *held;
	const struct ps_pack_index *index;
};

static void begin_loader(struct packed *p)
{
	assert_ok(ps_pack_loader_init(&p->l, &memory, p->w.b->r, KEPT));
	assert_ok(ps_pack_load_index(&p->l, &p->m.packs[0], &p->held));
	p->index = &p->held->index;
}

static void end_loader(struct packed *p)
{
	ps_pack_cache_release(p->l.cache, p->held);
	ps_pack_loader_done(&p->l);
	memset(&p->l, 0, sizeof(p->l));
}

static void packed_new(struct packed *p, uint64_t seed)
{
	uint8_t bytes[OBJECT];
	ps_id id;
	memset(p, 0, sizeof(*p));
	world_new(&p->w, "mem", seed);
	p->w.options.compression = -1;
	for (unsigned i = 0; i < OBJECTS; i++) {
		blobs_fill(bytes, sizeof(bytes), i);
		assert_ok(ps_put(p->w.s, bytes, sizeof(bytes), &id));
	}
	(void)push_now(&p->w);
	ps_push_manifest_init(&p->m, &memory);
	assert_ok(push_read_manifest(p->w.b->r, PS_PUSH_MANIFEST_KEY, &p->m));
	assert_int_equal(p->m.pack_count, 1);
	begin_loader(p);
	assert_true(p->index->tail.blocks >= BLOCKS_LEAST);
}

static void packed_free(struct packed *p)
{
	end_loader(p);
	ps_push_manifest_done(&p->m);
	world_free(&p->w);
}

static void read_block(struct packed *p, uint32_t block)
{
	struct ps_cached *held;
	assert_ok(ps_pack_load_block(&p->l, p->index, block, block, &held));
	assert_int_equal(held->key.block, block);
	ps_pack_cache_release(p->l.cache, held);
}

static struct ps_cache_key key_of(const struct packed *p, uint32_t block)
{
	struct ps_cache_key key = {.number = p->m.packs[0].about.number, .block = block};
	memcpy(key.mark, p->m.packs[0].about.mark, sizeof(key.mark));
	return key;
}

/* There, or on its way; of what is neither the test would have to make something. */
static bool is_asked_for(struct packed *p, uint32_t block)
{
	struct ps_cache_key key = key_of(p, block);
	struct ps_cached *claimed = ps_pack_cache_claim(p->l.cache, &key);
	if (claimed)
		ps_pack_cache_failed(p->l.cache, claimed, PS_ENOTFOUND);
	return !claimed;
}

/* Not as a reader comes to it: nothing is begun for that. */
static void wait_for_block(struct packed *p, uint32_t block)
{
	struct ps_cache_key key = key_of(p, block);
	struct ps_cached *held;
	bool load;
	assert_ok(ps_pack_cache_hold(p->l.cache, &key, &held, &load));
	assert_false(load);
	ps_pack_cache_release(p->l.cache, held);
}

/* Whatever was begun has ended. */
static void wait_for_fetchers(struct packed *p)
{
	ps_pack_fetchers_done(&p->l.fetchers);
	assert_ok(ps_pack_fetchers_init(&p->l.fetchers));
}

/* Block 0, then 1 and 2 together, then 3 and 4 before anybody has come there. */
static void begin_to_go_through(struct packed *p)
{
	read_block(p, 0);
	assert_false(is_asked_for(p, 1));
	read_block(p, 1);
	assert_true(is_asked_for(p, 2));
	assert_true(is_asked_for(p, 3) && is_asked_for(p, 4));
	assert_false(is_asked_for(p, 5));
	wait_for_block(p, 3);
	wait_for_block(p, 4);
	read_block(p, 2);
	assert_false(is_asked_for(p, 5));
}

/* The network gives no more answers: what is there is read, and what comes next is on its way. */
static void the_next_range_is_on_its_way_while_one_is_read(void **state)
{
	const struct ps_mem_rule hangs = {.fault = PS_MEM_HANG,
	                                  .ops = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE};
	struct packed p;
	unsigned number;
	(void)state;
	packed_new(&p, 101);
	begin_to_go_through(&p);
	assert_ok(ps_mem_rule_add(blobs_world(p.w.b), &hangs, &number));
	read_block(&p, 3);
	for (uint32_t block = 5; block < 9; block++)
		assert_true(is_asked_for(&p, block));
	ps_mem_rule_wait(blobs_world(p.w.b), number, 1);
	read_block(&p, 4);
	assert_false(is_asked_for(&p, 9)); /* one range, not all */
	end_loader(&p);
	ps_mem_rule_remove(blobs_world(p.w.b), 0);
	begin_loader(&p);
	packed_free(&p);
}

/* As whoever goes on from slot to slot does, of what is there already. */
static void what_is_only_looked_at_goes_on_as_well(void **state)
{
	struct packed p;
	(void)state;
	packed_new(&p, 102);
	begin_to_go_through(&p);
	struct ps_cached *seen = ps_pack_peek_block(&p.l, p.index, 3);
	assert_non_null(seen);
	ps_pack_cache_release(p.l.cache, seen);
	assert_true(is_asked_for(&p, 5));
	packed_free(&p);
}

/* Each block once: in ranges of up to 4 MiB, which is a quarter of what is kept. */
static void a_pack_is_read_in_few_requests(void **state)
{
	struct packed p;
	(void)state;
	packed_new(&p, 103);
	for (uint32_t block = 0; block < p.index->tail.blocks; block++)
		read_block(&p, block);
	print_message("%u blocks in order: %llu reads\n", p.index->tail.blocks,
	              (unsigned long long)atomic_load(&p.l.reads));
	assert_true(atomic_load(&p.l.reads) <= 8);
	assert_true(atomic_load(&p.l.read_bytes) < p.m.packs[0].bytes + (64 << 10));
	packed_free(&p);
}

static void who_jumps_about_has_nothing_ahead(void **state)
{
	enum { JUMPS = 20, STEP = 7, AMONG = 29 }; /* each once, none behind one that was read */
	struct packed p;
	(void)state;
	packed_new(&p, 104);
	for (uint32_t i = 0; i < JUMPS; i++)
		read_block(&p, i * STEP % AMONG);
	wait_for_fetchers(&p);
	assert_int_equal(atomic_load(&p.l.reads), 1 + JUMPS);
	packed_free(&p);
}

/* The network has lost it for a moment. */
static void what_fails_ahead_is_asked_for_again(void **state)
{
	const struct ps_mem_rule absent = {.fault = PS_MEM_ABSENT};
	struct packed p;
	unsigned number;
	(void)state;
	packed_new(&p, 105);
	begin_to_go_through(&p);
	assert_ok(ps_mem_rule_add(blobs_world(p.w.b), &absent, &number));
	read_block(&p, 3);
	wait_for_fetchers(&p);
	assert_true(ps_mem_rule_hits(blobs_world(p.w.b), number) > 0);
	ps_mem_rule_remove(blobs_world(p.w.b), 0);
	for (uint32_t block = 4; block < p.index->tail.blocks; block++)
		read_block(&p, block);
	packed_free(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_next_range_is_on_its_way_while_one_is_read),
	    cmocka_unit_test(what_is_only_looked_at_goes_on_as_well),
	    cmocka_unit_test(a_pack_is_read_in_few_requests),
	    cmocka_unit_test(who_jumps_about_has_nothing_ahead),
	    cmocka_unit_test(what_fails_ahead_is_asked_for_again),
	};
	ps_memory_init(&memory, NULL);
	int failed = cmocka_run_group_tests_name("packs read ahead", tests, NULL, NULL);
	ps_memory_done(&memory);
	return failed;
}
