/* Long histories of all size classes against a model, on a simulated disk: reopened after a close, a kill or
 * a power cut, by the multi store and by the base alone, checked in full now and then, compacted.
 *
 * model_test [rounds] [seed]: the seed repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <padstone/padstone.h>

#include "store/base_internal.h"
#include "tests/multistore/slab_model.h"
#include "tests/support/sim_disk.h"

#define OK(call) assert_int_equal((call), PS_OK)

static unsigned rounds = 12;
static uint64_t first_seed = 1;

struct history {
	struct slab_model m;
	struct sim_disk *disk;
	uint8_t *image; /* what the disk began with */
	uint64_t size;
	const struct ps_multi_options *options;
	ps_storer *s;
};

static void open_store(struct history *h, bool routed)
{
	const struct ps_base_options options = {
	    .size = sizeof(options),
	    .background = PS_BACKGROUND_NONE,
	    .log_bytes = 64 << 10,
	    .initial_bytes = 64 << 10,
	    .memory_budget = 64 << 20,
	};
	int err = ps_base_open_io(sim_disk_io(h->disk), sim_disk_size(h->disk) == 0, &options, &h->s);
	if (!err && routed)
		err = ps_multi_open(h->s, h->options, &h->s);
	if (err)
		fail_msg("open: %s", ps_last_error_message());
	h->m.routed = routed;
}

/* ---- what a crash leaves ---- */

static void grow(struct history *h, uint64_t size)
{
	if (size <= h->size)
		return;
	h->image = realloc(h->image, size);
	assert_non_null(h->image);
	memset(h->image + h->size, 0, size - h->size);
	h->size = size;
}

/* A write of which each sector has landed, or, after the last flush, perhaps not. */
static void land(struct history *h, const struct sim_trace *trace, const struct sim_event *e, bool surely)
{
	grow(h, e->offset + e->len);
	for (uint64_t at = 0; at < e->len; at += SIM_SECTOR) {
		uint64_t len = e->len - at < SIM_SECTOR ? e->len - at : SIM_SECTOR;
		if (surely || slab_model_random(&h->m, 2))
			memcpy(h->image + e->offset + at, trace->bytes + e->data + at, len);
	}
}

/* The image as the trace leaves it: `power` takes what no flush has covered, sector by sector. */
static void replay(struct history *h, bool power)
{
	const struct sim_trace *trace = sim_disk_trace(h->disk);
	size_t flushed = 0;
	for (size_t i = 0; i < trace->count; i++) {
		if (trace->events[i].kind == SIM_FLUSH)
			flushed = i;
	}
	for (size_t i = 0; i < trace->count; i++) {
		const struct sim_event *e = &trace->events[i];
		if (e->kind == SIM_WRITE)
			land(h, trace, e, !power || e->sync || i < flushed);
		else if (e->kind == SIM_ALLOCATE)
			grow(h, e->offset + e->len);
		else if (e->kind == SIM_PUNCH && e->offset < h->size)
			memset(h->image + e->offset, 0,
			       e->len < h->size - e->offset ? e->len : h->size - e->offset);
		else if (e->kind == SIM_TRUNCATE && e->offset < h->size)
			h->size = e->offset;
		else if (e->kind == SIM_TRUNCATE)
			grow(h, e->offset);
	}
}

static void reopen(struct history *h)
{
	uint64_t how = slab_model_random(&h->m, 3); /* 0: a close, 1: a kill, 2: a power cut */
	ps_storer *left = h->s;
	if (how == 0)
		OK(ps_close(left));
	replay(h, how == 2);
	if (how != 0)
		OK(ps_close(left)); /* its disk is looked at no more */
	sim_disk_reset(h->disk, h->image, h->size);
	open_store(h, slab_model_random(&h->m, 4) != 0);
}

/* ---- histories ---- */

static int say_finding(void *arg, const struct ps_finding *finding)
{
	(void)arg;
	print_error("object %#llx, offset %llu: %s\n", (unsigned long long)finding->id,
	            (unsigned long long)finding->offset, finding->message);
	return 0;
}

/* What lay in the root may go to its class, or, without the multi store, the other way. */
static void compact(struct history *h)
{
	OK(ps_compact(h->s, 0, NULL, NULL));
	for (size_t i = 0; i < SLAB_OBJECTS; i++) {
		if (h->m.objects[i].route == 0 || !h->m.routed)
			h->m.objects[i].route = ROUTE_ANY;
	}
}

static void history_with(const struct ps_multi_options *options, uint64_t seed)
{
	struct history *h = calloc(1, sizeof(*h));
	struct ps_multi_placement has;
	struct ps_class_table table = {0};
	assert_non_null(h);
	h->disk = sim_disk_new(NULL, 0);
	h->options = options;
	open_store(h, true);
	OK(ps_multi_placement(h->s, &has));
	table.count = (uint16_t)has.classes;
	for (unsigned i = 0; i < has.classes; i++)
		table.size[i] = (uint16_t)(has.slot_bytes[i] / PS_CLASS_GRANULE);
	while (1U << table.slab_shift < has.slab_bytes)
		table.slab_shift++;
	slab_model_init(&h->m, seed, &table, has.route_max);
	h->m.routed = true;
	for (unsigned round = 0; round < rounds; round++) {
		slab_model_run(&h->m, h->s, 400);
		if (round % 4 == 3)
			compact(h);
		slab_model_verify(&h->m, h->s);
		reopen(h);
		slab_model_verify(&h->m, h->s);
		if (round % 3 == 2)
			OK(ps_check(h->s, PS_CHECK_FULL, say_finding, NULL));
	}
	OK(ps_close(h->s));
	slab_model_done(&h->m);
	sim_disk_free(h->disk);
	free(h->image);
	free(h);
}

static void histories_with_default_classes(void **state)
{
	(void)state;
	history_with(NULL, first_seed);
}

static void histories_with_few_classes_in_small_slabs(void **state)
{
	(void)state;
	const uint32_t slots[] = {32, 112, 400, 1000, 2000, 4096};
	const struct ps_multi_options options = {
	    .size = sizeof(options), .slots = slots, .slot_count = 6, .slab_bytes = 8192, .route_max = 3000};
	history_with(&options, first_seed + 1000);
}

static void histories_with_classes_of_pages(void **state)
{
	(void)state;
	const struct ps_multi_options options = {
	    .size = sizeof(options), .page_limit = 32 << 10, .slab_bytes = 256 << 10};
	history_with(&options, first_seed + 2000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(histories_with_default_classes),
	    cmocka_unit_test(histories_with_few_classes_in_small_slabs),
	    cmocka_unit_test(histories_with_classes_of_pages),
	};
	if (argc > 1)
		rounds = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
