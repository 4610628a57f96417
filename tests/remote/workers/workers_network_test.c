/* The workers over networks that are not scripted, in real time: mem: and dir:. */
#include <ftw.h>
#include <sched.h>
#include <unistd.h>

#include "fixture.h"
#include "remote/mem_network.h"

enum { PADS = 300 };

static char folder[64];

static void open_real(struct world *world, const char *url)
{
	struct ps_network_options net = {.size = sizeof(net), .create = true};
	memset(world, 0, sizeof(*world));
	world->same_bytes = true;
	world->options = (struct ps_workers_options){
	    .size = sizeof(world->options), .threads = 4, .max_inflight = 1 << 20, .seed = 4};
	ps_memory_init(&world->memory, NULL);
	OK(ps_network_open(url, &net, &world->network));
	OK(ps_workers_new(world->network, &world->options, &world->workers));
}

static int run(struct world *world, struct pad *pads)
{
	struct ps_group_options options = {.size = sizeof(options)};
	ps_group *group;
	OK(ps_group_new(world->workers, &options, &group));
	pads_add(pads, PADS, group);
	int err = ps_group_wait(group);
	ps_group_free(group);
	pads_check_ended(pads, PADS);
	return err;
}

static struct pad *changes(struct world *world, enum ps_net_op op, uint64_t expected_counter)
{
	struct pad *pads = pads_new(world, PADS, 20000, PS_VERIFY_READ);
	for (unsigned i = 0; i < PADS; i++) {
		pads[i].op = op;
		if (expected_counter)
			pads[i].expected = pad_identity(i, expected_counter);
	}
	return pads;
}

static void run_life(const char *url)
{
	struct world world;
	struct ps_workers_figures figures;
	open_real(&world, url);
	/* An identity names the attempt: whoever finds its own has written it before. */
	static const struct {
		enum ps_net_op op;
		uint64_t expected;
		int err;
	} steps[] = {
	    {PS_NET_CREATE, 0, PS_OK},     {PS_NET_CREATE, 0, PS_OK},  {PS_NET_REPLACE, 1, PS_OK},
	    {PS_NET_CREATE, 0, PS_EBUSY},  {PS_NET_REPLACE, 1, PS_OK}, {PS_NET_REPLACE, 4, PS_EROLLBACK},
	    {PS_NET_REMOVE, 1, PS_EBUSY},  {PS_NET_REMOVE, 2, PS_OK},  {PS_NET_REMOVE, 2, PS_OK},
	    {PS_NET_REPLACE, 2, PS_ELOST},
	};
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct pad *pads = changes(&world, steps[i].op, steps[i].expected);
		FAILS(steps[i].err, run(&world, pads));
		free(pads);
	}
	ps_workers_figures(world.workers, &figures);
	assert_int_equal(figures.bytes, 0);
	assert_int_equal(figures.replaced, 0);
	OK(ps_workers_free(world.workers));
	ps_network_close(world.network);
	assert_int_equal(world.memory.used, 0);
	ps_memory_done(&world.memory);
}

static void a_pad_s_life_on_mem(void **state)
{
	(void)state;
	run_life("mem:workers");
}

static void a_pad_s_life_on_dir(void **state)
{
	(void)state;
	char url[96];
	snprintf(url, sizeof(url), "dir:%s/pads", folder);
	run_life(url);
}

/* ---- mem: with everything that it can do wrong on a write's way ---- */

static void add_rule(ps_mem_world *world, enum ps_mem_fault fault, uint64_t one_in, uint64_t amount)
{
	struct ps_mem_rule rule = {.fault = fault, .one_in = one_in, .amount = amount};
	/* A look that shows nothing where something is to be replaced is the end of that write. */
	rule.ops = fault == PS_MEM_ABSENT ? 1U << PS_NET_GET : 0;
	unsigned number;
	OK(ps_mem_rule_add(world, &rule, &number));
}

static void add_faults(ps_mem_world *world, uint64_t seed)
{
	ps_mem_set_seed(world, seed);
	add_rule(world, PS_MEM_LOSE_REQUEST, 12, 0);
	add_rule(world, PS_MEM_VANISH, 12, 0);
	add_rule(world, PS_MEM_LOSE_REPLY, 12, 0);
	add_rule(world, PS_MEM_LATE, 12, 20);
	add_rule(world, PS_MEM_LATE, 40, 2000);
	add_rule(world, PS_MEM_TWICE, 20, 0);
	add_rule(world, PS_MEM_CONFLICT, 30, 0);
	add_rule(world, PS_MEM_THROTTLED, 40, 0);
	add_rule(world, PS_MEM_LIE_DONE, 15, 0);
	/* Three of these in a row, for one write, are its end: rare enough that none of the many meets that. */
	add_rule(world, PS_MEM_ABSENT, 2000, 0);
	add_rule(world, PS_MEM_FLIP, 2000, 77);
	add_rule(world, PS_MEM_JITTER, 2, 30);
}

/* What is there at the end, once all that was late has come: what was sent, under its identity. */
static void check_pads(ps_mem_world *world, struct pad *pads, unsigned count, uint64_t counter)
{
	(void)ps_mem_deliver(world);
	for (unsigned i = 0; i < count; i++) {
		struct ps_pad_name name = pad_name(i);
		struct ps_pad_identity there, ours = pad_identity(i, counter);
		uint8_t bytes[64];
		size_t len;
		assert_int_equal(pads[i].settle.task.fate, PS_FATE_DONE);
		assert_int_equal(pads[i].settle.settled, PS_SETTLED_CONFIRMED);
		assert_int_equal(pads[i].sealed, 1);
		OK(ps_mem_look(world, 0, &name, &there, bytes, sizeof(bytes), &len));
		assert_int_equal(len, sizeof(bytes));
		assert_true(ps_identity_same(&there, &ours));
		for (size_t b = 0; b < sizeof(bytes); b++)
			assert_int_equal(bytes[b], b < sizeof(uint64_t) ? 0 : (uint8_t)i);
	}
}

static void ten_thousand_writes_settle_over_a_mem_network_that_lies(void **state)
{
	(void)state;
	enum { MANY = 10000 };
	struct world world;
	struct ps_mem_figures figures;
	uint64_t seed = 0x11e5;
	open_real(&world, "mem:lies");
	OK(ps_workers_free(world.workers));
	world.options.backoff_ms = 1;
	world.options.backoff_most_ms = 8;
	world.options.retries = 1000;
	OK(ps_workers_new(world.network, &world.options, &world.workers));
	ps_mem_world *mem = ps_mem_world_of(world.network);
	add_faults(mem, seed);
	/* Made, and replaced: each time by exactly what was sent. */
	for (uint64_t counter = 1; counter <= 2; counter++) {
		struct pad *pads = pads_new(&world, MANY, 64, PS_VERIFY_READ);
		for (unsigned i = 0; i < MANY; i++) {
			pads[i].op = counter == 1 ? PS_NET_CREATE : PS_NET_REPLACE;
			if (counter > 1)
				pads[i].expected = pad_identity(i, counter - 1);
		}
		struct ps_group_options options = {.size = sizeof(options)};
		ps_group *group;
		OK(ps_group_new(world.workers, &options, &group));
		pads_add(pads, MANY, group);
		int err = ps_group_wait(group);
		if (err)
			print_message("seed %#llx: %s\n", (unsigned long long)seed, ps_last_error_message());
		OK(err);
		ps_group_free(group);
		pads_check_ended(pads, MANY);
		check_pads(mem, pads, MANY, counter);
		free(pads);
	}
	ps_mem_figures(mem, &figures, false);
	assert_true(figures.requests[PS_NET_CREATE] > MANY * 5 / 4);
	OK(ps_workers_free(world.workers));
	ps_network_close(world.network);
	OK(ps_mem_forget("lies"));
	assert_int_equal(world.memory.used, 0);
	ps_memory_done(&world.memory);
}

static void a_mem_network_that_hangs_is_left_at_once(void **state)
{
	(void)state;
	struct world world;
	open_real(&world, "mem:hangs");
	add_rule(ps_mem_world_of(world.network), PS_MEM_HANG, 2, 0);
	struct ps_group_options options = {.size = sizeof(options)};
	struct pad *pads = changes(&world, PS_NET_CREATE, 0);
	struct ps_workers_figures figures;
	ps_group *group;
	OK(ps_group_new(world.workers, &options, &group));
	pads_add(pads, PADS, group);
	/* Until as much as there is memory for is in flight, and in the end hangs. */
	do {
		sched_yield();
		ps_workers_figures(world.workers, &figures);
	} while (figures.in_flight < (1 << 20) / 40000);
	uint64_t began_ns = ps_clock_now(&ps_system_clock);
	ps_group_cancel(group);
	FAILS(PS_ECANCELED, ps_group_wait(group));
	assert_true(ps_clock_now(&ps_system_clock) - began_ns < 30 * PS_SECOND_NS); /* half of the time-out */
	ps_group_free(group);
	pads_check_ended(pads, PADS);
	free(pads);
	OK(ps_workers_free(world.workers));
	ps_network_close(world.network);
	OK(ps_mem_forget("hangs"));
	assert_int_equal(world.memory.used, 0);
	ps_memory_done(&world.memory);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/padstone-workers-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_pad_s_life_on_mem),
	    cmocka_unit_test(a_pad_s_life_on_dir),
	    cmocka_unit_test(ten_thousand_writes_settle_over_a_mem_network_that_lies),
	    cmocka_unit_test(a_mem_network_that_hangs_is_left_at_once),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
