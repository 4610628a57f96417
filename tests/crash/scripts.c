/* The scripts: each modifying call of the Storer, a few at a time, so that the states of one can be told
 * apart. */
#include "tests/crash/script.h"

enum { K = 1024, M = 1024 * 1024 };
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void nothing(struct run *run)
{
	(void)run;
}

static void a_few(struct run *run)
{
	step_put(run, 0, 100);
	step_put(run, 1, 5000);
	step_put(run, 2, 40 * K);
	step_put(run, 3, 0);
	step_alloc(run, 4, 9000);
}

static void one_in_segments(struct run *run)
{
	step_put(run, 0, 100);
	step_put(run, 1, 3 * M / 2);
}

static void adjacent_ones(struct run *run)
{
	step_alloc_run(run, 0, 4, 700);
	step_put(run, 10, 100);
}

static void put_small(struct run *run)
{
	step_put(run, 10, 1);
	step_put(run, 11, 0);
	step_put(run, 12, 600);
}

static void put_4k(struct run *run)
{
	step_put(run, 10, 4 * K);
	step_put(run, 11, 4 * K - 1);
}

static void put_40k(struct run *run)
{
	step_put(run, 10, 40 * K);
	step_put(run, 11, 70);
}

static void put_100k(struct run *run)
{
	step_put(run, 10, 100 * K);
	step_put(run, 11, 70);
}

static void put_1500k(struct run *run)
{
	step_put(run, 10, 3 * M / 2);
	step_put(run, 11, 70);
}

static void replace(struct run *run)
{
	step_replace(run, 0, 120);
	step_replace(run, 1, 20);
	step_replace(run, 0, 6000);
}

static void replace_large(struct run *run)
{
	step_replace(run, 2, 50 * K);
	step_replace(run, 2, 10);
	step_replace(run, 0, 40 * K);
}

static void write_at(struct run *run)
{
	step_write_at(run, 0, 50, 10);
	step_write_at(run, 1, 4990, 100);
	step_write_at(run, 4, 8 * K, 16);
}

static void write_at_large(struct run *run)
{
	step_write_at(run, 2, 20 * K, 3000);
	step_write_at(run, 3, 70 * K, 10);
}

static void write_at_segments(struct run *run)
{
	step_write_at(run, 1, M + 5, 300);
	step_write_at(run, 1, 3 * M / 2 + 1000, 70);
}

static void resize(struct run *run)
{
	step_resize(run, 0, 300);
	step_resize(run, 1, 10);
	step_resize(run, 2, 33 * K);
	step_resize(run, 3, 5 * M);
}

static void resize_segments(struct run *run)
{
	step_resize(run, 1, M + M / 4);
	step_resize(run, 1, 1000);
	step_resize(run, 0, 2 * M);
}

static void delete (struct run *run)
{
	step_delete(run, 0);
	step_delete(run, 2);
	step_put(run, 0, 200);
	step_delete(run, 1);
}

static void delete_segments(struct run *run)
{
	step_delete(run, 1);
	step_put(run, 2, 60 * K);
}

static void alloc(struct run *run)
{
	step_alloc(run, 10, 10);
	step_alloc(run, 11, 2 * M);
	step_write_at(run, 10, 5, 2);
	step_write_at(run, 11, M, 2);
}

static void prime(struct run *run)
{
	step_prime(run, 10, 64);
	step_write_at(run, 10, 0, 8);
	step_prime(run, 10, 100);
}

static void alloc_run(struct run *run)
{
	step_alloc_run(run, 10, 3, 500);
	step_replace(run, 10, 500);
	step_replace(run, 10, 500);
	step_write_batched(run, 10, 3, 497);
}

static void write_batched(struct run *run)
{
	step_write_batched(run, 0, 4, 690);
	step_write_batched(run, 1, 2, 5000);
}

static void batch(struct run *run)
{
	const struct batch_op ops[] = {{BATCH_PUT, 10, 0, 300},   {BATCH_REPLACE, 0, 0, 90},
	                               {BATCH_DELETE, 1, 0, 0},   {BATCH_WRITE_AT, 2, 5000, 70},
	                               {BATCH_ALLOC, 11, 0, 800}, {BATCH_WRITE_AT, 11, 4, 9},
	                               {BATCH_PUT, 12, 0, 50},    {BATCH_DELETE, 12, 0, 0}};
	step_batch(run, ops, LENGTH(ops), PS_DURABLE);
	step_batch_abort(run, ops, 2);
	step_batch(run, ops, 1, PS_DURABLE);
}

static void batch_larger_than_the_ring(struct run *run)
{
	struct batch_op ops[20];
	for (unsigned i = 0; i < LENGTH(ops); i++)
		ops[i] = (struct batch_op){BATCH_PUT, 10 + i, 0, 1500};
	step_batch(run, ops, LENGTH(ops), PS_DURABLE);
	step_put(run, 40, 60);
}

static void batch_of_extents(struct run *run)
{
	const struct batch_op ops[] = {{BATCH_PUT, 10, 0, 40 * K},
	                               {BATCH_PUT, 11, 0, 40},
	                               {BATCH_REPLACE, 2, 0, 36 * K},
	                               {BATCH_DELETE, 0, 0, 0}};
	step_batch(run, ops, LENGTH(ops), PS_DURABLE);
	step_put(run, 12, 60);
}

/* Neighbours in one request, some of them given up before the commit, some read and written over. */
static void batch_of_neighbours(struct run *run)
{
	const struct batch_op ops[] = {
	    {BATCH_PUT, 10, 0, 4 * K},      {BATCH_PUT, 11, 0, 5000},       {BATCH_PUT, 12, 0, 40 * K},
	    {BATCH_REPLACE, 11, 0, 12 * K}, {BATCH_WRITE_AT, 10, 100, 50},  {BATCH_PUT, 13, 0, 9 * K},
	    {BATCH_PUT, 14, 0, 70 * K},     {BATCH_WRITE_AT, 2, 1000, 500}, {BATCH_DELETE, 12, 0, 0},
	    {BATCH_PUT, 15, 0, 20 * K},     {BATCH_DELETE, 0, 0, 0}};
	step_batch(run, ops, LENGTH(ops), PS_DURABLE);
	step_batch_abort(run, &ops[5], 2);
	step_batch(run, &ops[5], 1, PS_DURABLE);
	step_put(run, 16, 30 * K);
}

/* Laid into frames of their own, some with tails that others' contents take, while the record of it all, and
 * what fills no frame, is in the log. */
static void batch_of_small_contents(struct run *run)
{
	struct batch_op ops[12];
	for (unsigned i = 0; i < LENGTH(ops); i++)
		ops[i] = (struct batch_op){BATCH_PUT, 10 + i, 0, 490 + i};
	ops[10] = (struct batch_op){BATCH_REPLACE, 0, 0, 501};
	ops[11] = (struct batch_op){BATCH_DELETE, 2, 0, 0};
	step_batch(run, ops, LENGTH(ops), PS_DURABLE);
	step_put(run, 30, 90);
	step_delete(run, 11);
	step_batch_abort(run, ops, 10);
}

/* So much that the operations have extents of their own, too. */
static void batches_of_small_contents(struct run *run)
{
	struct batch_op ops[26];
	for (unsigned i = 0; i < LENGTH(ops); i++)
		ops[i] = (struct batch_op){BATCH_PUT, 10 + i, 0, i % 3 ? 480 + i : 1400 + i};
	step_batch(run, ops, LENGTH(ops), PS_DURABLE);
	step_put(run, 50, 300);
	for (unsigned i = 0; i < LENGTH(ops); i++)
		ops[i].kind = i % 5 ? BATCH_REPLACE : BATCH_DELETE;
	step_batch(run, ops, LENGTH(ops), PS_DURABLE);
	step_put(run, 51, 700);
}

static void stream(struct run *run)
{
	step_stream(run, 10, 3 * M / 2, true, true);
	step_stream(run, 0, 90 * K, false, true);
}

static void stream_unknown(struct run *run)
{
	step_stream(run, 10, 5 * M / 4, false, true);
	step_stream(run, 11, 60 * K, true, false);
	step_stream(run, 12, 10, true, true);
}

static void relaxed(struct run *run)
{
	step_put(run, 10, 100);
	step_replace(run, 0, 50);
	step_put(run, 11, 40 * K);
	step_sync(run);
	step_delete(run, 1);
	step_put(run, 12, 10);
}

static void relaxed_then_durable(struct run *run)
{
	const struct batch_op op = {BATCH_PUT, 13, 0, 20};
	step_put(run, 10, 100);
	step_delete(run, 2);
	step_batch(run, &op, 1, PS_DURABLE);
	step_put(run, 11, 100);
}

/* What a commit frees may be written to at once by the next, while neither is durable. */
static void relaxed_reuse(struct run *run)
{
	step_delete(run, 2);
	step_put(run, 10, 40 * K);
	step_replace(run, 10, 40 * K);
	step_delete(run, 1);
	step_put(run, 11, 40 * K);
	step_sync(run);
	step_put(run, 12, 40 * K);
	step_put(run, 13, 10);
}

/* The log holds bytes for places in a page that is another object's by the log's end. */
static void reuse_in_the_log(struct run *run)
{
	const struct batch_op ops[] = {{BATCH_PUT, 13, 0, 2500}, {BATCH_PUT, 14, 0, 4 * K}};
	step_put(run, 10, 60);
	step_put(run, 11, 1500);
	step_delete(run, 11);
	step_delete(run, 10);
	step_sync(run);
	step_put(run, 12, 3000);
	step_sync(run);
	/* The second is larger than what the log takes: it goes to its page at once. */
	step_batch(run, ops, LENGTH(ops), PS_DURABLE);
}

static void compact(struct run *run)
{
	step_delete(run, 2);
	step_put(run, 10, 300);
	step_compact(run);
	step_put(run, 11, 300);
}

static void holes_to_compact(struct run *run)
{
	for (unsigned i = 0; i < 6; i++)
		step_put(run, i, 40 * K);
	for (unsigned i = 0; i < 5; i += 2)
		step_delete(run, i);
}

static void compact_holes(struct run *run)
{
	step_compact(run);
	step_put(run, 10, 30 * K);
}

static void reopen(struct run *run)
{
	step_put(run, 10, 100);
	step_reopen(run);
	step_put(run, 11, 100);
	step_delete(run, 0);
	step_reopen(run);
}

static void reads(struct run *run)
{
	for (unsigned i = 0; i < 6; i++)
		step_read(run, i);
	step_write_at(run, 2, 10 * K, 10);
	for (unsigned i = 0; i < 3; i++)
		step_read(run, i);
}

static void reads_of_segments(struct run *run)
{
	step_read(run, 1);
	step_write_at(run, 1, M, 10);
	step_read(run, 1);
}

static void round_the_ring(struct run *run)
{
	for (unsigned i = 0; i < 14; i++)
		step_replace(run, i % 2, 3000 + i);
}

/* ---- what a store with size classes keeps in slabs ---- */

/* Four of them fill a slab of script_over("multi"). */
enum { QUARTER = 1500 };

static void slabs_of_quarters(struct run *run)
{
	for (unsigned i = 0; i < 10; i++)
		step_put(run, i, QUARTER);
}

static void fill_slabs(struct run *run)
{
	for (unsigned i = 10; i < 16; i++)
		step_put(run, i, QUARTER);
}

static void empty_a_slab(struct run *run)
{
	for (unsigned i = 0; i < 4; i++)
		step_delete(run, i);
	step_put(run, 20, 3 * K);
	step_put(run, 21, 40 * K);
	step_put(run, 22, QUARTER);
}

/* The space of a slab that has gone is given to other slabs and to large objects while nothing is durable. */
static void reuse_a_slab(struct run *run)
{
	for (unsigned i = 0; i < 8; i++)
		step_delete(run, i);
	step_put(run, 20, 300);
	step_put(run, 21, 8 * K);
	step_put(run, 22, 8 * K);
	step_sync(run);
	step_put(run, 23, 8 * K);
	step_put(run, 24, 30);
}

static void change_routes(struct run *run)
{
	step_replace(run, 0, 30);
	step_replace(run, 0, 400);
	step_replace(run, 0, 4 * K);
	step_replace(run, 0, 5 * K);
	step_replace(run, 0, 4 * K);
	step_write_at(run, 1, QUARTER, 3 * K);
	step_resize(run, 1, 60);
	step_resize(run, 2, 0);
	step_write_at(run, 2, 0, 1);
}

static void run_over_slabs(struct run *run)
{
	step_alloc_run(run, 20, 6, QUARTER);
	step_write_batched(run, 20, 6, QUARTER - 20);
	step_delete(run, 22);
	step_replace(run, 23, QUARTER);
}

static void sparse_slabs(struct run *run)
{
	for (unsigned i = 0; i < 16; i++)
		step_put(run, i, QUARTER);
	for (unsigned i = 16; i < 40; i++)
		step_put(run, i, 400);
	for (unsigned i = 0; i < 40; i++) {
		if (i % 4)
			step_delete(run, i);
	}
}

static void compact_slabs(struct run *run)
{
	step_compact(run);
	step_put(run, 41, QUARTER);
	step_put(run, 42, 400);
}

static void batch_of_slabs(struct run *run)
{
	struct batch_op ops[14];
	for (unsigned i = 0; i < LENGTH(ops); i++)
		ops[i] = (struct batch_op){i % 3 ? BATCH_PUT : BATCH_REPLACE, i % 3 ? 20 + i : i / 3, 0,
		                           i % 2 ? QUARTER : 50};
	step_batch(run, ops, LENGTH(ops), PS_DURABLE);
	step_delete(run, 21);
}

static void cuts(struct run *run)
{
	step_cut(run);
	step_replace(run, 1, 300);
	step_put(run, 10, 50);
	step_cut(run);
	step_delete(run, 10);
	step_write_at(run, 2, 100, 200);
	step_reopen(run);
	step_cut(run);
}

/* Commits that nobody waits for are durable with the cut that they are in. */
static void cuts_of_relaxed(struct run *run)
{
	step_put(run, 10, 50);
	step_cut(run);
	step_replace(run, 10, 60);
	step_delete(run, 0);
	step_cut(run);
	step_put(run, 11, 5 * K);
}

static void cuts_of_spilled(struct run *run)
{
	step_cut(run);
	batch_larger_than_the_ring(run);
	step_cut(run);
	step_replace(run, 1, 80);
}

static void ends_of_ids(struct run *run)
{
	for (unsigned i = 0; i < 5; i++)
		step_delete(run, i);
	step_cut(run);
	step_put(run, 10, 70);
	step_delete(run, 10);
	step_compact(run);
	step_cut(run);
}

static void cut_and_compact(struct run *run)
{
	step_cut(run);
	step_delete(run, 1);
	step_compact(run);
	step_cut(run);
}

static void notes(struct run *run)
{
	step_note(run);
	step_put(run, 10, 50);
	step_note(run);
	step_note(run);
	step_reopen(run);
	step_note(run);
	step_cut(run);
	step_note(run);
}

static void first_note(struct run *run)
{
	step_note(run);
}

/* ---- contents that leave and come back ---- */

/* What they took is taken anew at once. */
static void evict(struct run *run)
{
	step_evict(run);
	step_put(run, 10, 700);
	step_put(run, 11, 40 * K);
	step_sync(run);
	step_put(run, 12, 5000);
	step_evict(run);
	step_reopen(run);
}

static void one_in_pieces(struct run *run)
{
	step_put(run, 0, 100);
	step_put(run, 1, 150 * K);
}

static void evict_pieces(struct run *run)
{
	step_evict(run);
	step_put(run, 10, 100 * K);
	step_sync(run);
	step_put(run, 11, 60 * K);
	step_sync(run);
}

static void fault(struct run *run)
{
	step_evict(run);
	step_sync(run);
	for (unsigned i = 0; i < 5; i++)
		step_read(run, i);
	step_put(run, 10, 50);
	step_replace(run, 1, 300);
	step_evict(run);
	step_read(run, 2);
}

static void fault_pieces(struct run *run)
{
	step_evict(run);
	step_read(run, 1);
	step_put(run, 10, 50);
	step_sync(run);
	step_evict(run);
}

static void change_away(struct run *run)
{
	step_evict(run);
	step_write_at(run, 0, 50, 100);
	step_resize(run, 1, 9000);
	step_delete(run, 2);
	step_evict(run);
	step_replace(run, 1, 10);
	step_put(run, 10, 40 * K);
}

const struct script scripts[] = {
    {"format", NULL, nothing, false},
    {"first put", NULL, put_small, false},
    {"put small", a_few, put_small, false},
    {"put 4 KiB", a_few, put_4k, false},
    {"put 40 KiB", a_few, put_40k, false},
    {"put 100 KiB", a_few, put_100k, false},
    {"put 1.5 MiB", a_few, put_1500k, false},
    {"replace", a_few, replace, false},
    {"replace large", a_few, replace_large, false},
    {"write_at", a_few, write_at, false},
    {"write_at large", a_few, write_at_large, false},
    {"write_at in segments", one_in_segments, write_at_segments, false},
    {"resize", a_few, resize, false},
    {"resize in segments", one_in_segments, resize_segments, false},
    {"delete", a_few, delete, false},
    {"delete in segments", one_in_segments, delete_segments, false},
    {"alloc", a_few, alloc, false},
    {"prime", a_few, prime, false},
    {"alloc_run", a_few, alloc_run, false},
    {"write_batched", adjacent_ones, write_batched, false},
    {"batch", a_few, batch, false},
    {"batch larger than the ring", a_few, batch_larger_than_the_ring, false},
    {"batch of extents", a_few, batch_of_extents, false},
    {"batch of neighbours", a_few, batch_of_neighbours, false},
    {"batch of small contents", a_few, batch_of_small_contents, false},
    {"batches of small contents", a_few, batches_of_small_contents, false},
    {"stream", a_few, stream, false},
    {"stream of unknown size", a_few, stream_unknown, false},
    {"relaxed", a_few, relaxed, true},
    {"relaxed, then durable", a_few, relaxed_then_durable, true},
    {"relaxed reuse", a_few, relaxed_reuse, true},
    {"reuse in the log", a_few, reuse_in_the_log, true},
    {"compact", a_few, compact, false},
    {"compact holes", holes_to_compact, compact_holes, false},
    {"reopen", a_few, reopen, false},
    {"reads", a_few, reads, false},
    {"reads of segments", one_in_segments, reads_of_segments, false},
    {"round the ring", a_few, round_the_ring, false},
    {"fill slabs", slabs_of_quarters, fill_slabs, false},
    {"empty a slab", slabs_of_quarters, empty_a_slab, false},
    {"reuse a slab", slabs_of_quarters, reuse_a_slab, true},
    {"change routes", slabs_of_quarters, change_routes, false},
    {"run over slabs", slabs_of_quarters, run_over_slabs, false},
    {"compact slabs", sparse_slabs, compact_slabs, false},
    {"batch of slabs", slabs_of_quarters, batch_of_slabs, false},
    {"cuts", a_few, cuts, false},
    {"cuts of relaxed", a_few, cuts_of_relaxed, true},
    {"cuts of spilled", a_few, cuts_of_spilled, false},
    {"ends of ids", a_few, ends_of_ids, false},
    {"cut and compact", a_few, cut_and_compact, false},
    {"first note", NULL, first_note, false},
    {"notes", a_few, notes, false},
    {"evict", a_few, evict, false},
    {"evict pieces", one_in_pieces, evict_pieces, true},
    {"fault", a_few, fault, false},
    {"fault in pieces", one_in_pieces, fault_pieces, true},
    {"change what is away", a_few, change_away, false},
};
const size_t script_count = LENGTH(scripts);

static uint64_t draw(struct run *run)
{
	run->seed = run->seed * 6364136223846793005U + 1442695040888963407U;
	return run->seed >> 33;
}

static uint64_t draw_size(struct run *run, bool large)
{
	const uint64_t most[] = {1, 64, 600, 5000, 20 * K, 50 * K, 90 * K, 5 * M / 4};
	return draw(run) % (most[draw(run) % (large ? 8 : 6)] + 1);
}

static void random_batch(struct run *run, bool large)
{
	struct batch_op ops[12];
	size_t count = 1 + draw(run) % LENGTH(ops);
	for (size_t i = 0; i < count; i++)
		ops[i] = (struct batch_op){BATCH_PUT + (unsigned)(draw(run) % 5), (unsigned)(draw(run) % 16),
		                           draw(run) % 5000, draw_size(run, large)};
	/* The last put into an object's place would hide the one before it. */
	for (size_t i = 0; i < count; i++) {
		if (ops[i].kind == BATCH_PUT || ops[i].kind == BATCH_ALLOC)
			ops[i].object = 20 + (unsigned)i;
	}
	if (draw(run) % 5 == 0)
		step_batch_abort(run, ops, count);
	else
		step_batch(run, ops, count, (enum ps_durability)(draw(run) % 3));
}

static void random_step(struct run *run, bool large)
{
	unsigned object = (unsigned)(draw(run) % 16);
	uint64_t size = draw_size(run, large);
	switch (draw(run) % 16) {
	case 0:
	case 1:
		step_delete(run, object);
		break;
	case 2:
	case 3:
		step_replace(run, object, size);
		break;
	case 4:
		step_write_at(run, object, draw(run) % 9000, size);
		break;
	case 5:
		step_resize(run, object, size);
		break;
	case 6:
		if (!run->ids[object])
			step_alloc(run, object, size);
		break;
	case 7:
		random_batch(run, large);
		break;
	case 8:
		step_stream(run, object, size, draw(run) % 2, draw(run) % 4 != 0);
		break;
	case 9:
		step_write_batched(run, object, 2, size);
		break;
	case 10:
		step_sync(run);
		break;
	case 11:
		if (draw(run) % 4 == 0)
			step_compact(run);
		else if (draw(run) % 4 == 0)
			step_reopen(run);
		else
			step_prime(run, 19, size % 1000);
		break;
	case 12:
		if (draw(run) % 3)
			step_cut(run);
		else
			step_note(run);
		break;
	default:
		if (!run->ids[object])
			step_put(run, object, size);
	}
}

void script_random(struct run *run, unsigned steps, bool large)
{
	for (unsigned i = 0; i < steps; i++)
		random_step(run, large);
}
