/* The workers over networks that are not scripted, in real time: mem: and dir:. */
#include <ftw.h>
#include <unistd.h>

#include "fixture.h"

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
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
