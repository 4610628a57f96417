/* Table leaves that recovery is about to change, read side by side instead of one after another.
 *
 * Only a cache is filled: each page is checked as ever, and what cannot be read here, is damaged or finds no
 * room is read again, alone, by who needs it, with the error that belongs to it. */
#include <sys/param.h>

#include "store/base_internal.h"

/* Fewer leaves than a handful cost less than what it takes to begin. A gap of four pages is read faster than
 * a request is made. */
enum { HANDFUL = 32, GAP_BYTES = 4 * PAGE, RANGE_BYTES = 128 << 10, WAVE = 16, WAVES = 2 };
/* Of the budget: what is in flight, and what is read ahead at all, which must not push out what was just
 * read. */
enum { FLIGHT_SHARE = 8, AHEAD_SHARE = 2 };

struct ahead_leaf {
	uint64_t place, number;
};

/* Leaves of one request: [first, end) of the list. */
struct range {
	size_t first, end;
	struct ps_io_request request;
};
struct wave {
	struct range range[WAVE];
	unsigned count;
};

struct reading {
	struct table *t;
	struct ahead_leaf *leaves; /* by place */
	size_t count, size;
	size_t next;     /* that no range has yet */
	uint8_t *buffer; /* WAVES * WAVE parts of `part` bytes */
	size_t part;
	struct wave wave[WAVES];
};

/* ---- which leaves ---- */

static size_t bitmap_bytes(uint64_t leaves)
{
	return (size_t)((leaves + 63) / 64 * sizeof(uint64_t));
}

void table_ahead_init(struct table_ahead *a, struct table *t)
{
	struct store *s = t->store;
	uint64_t leaves = leaves_of(atomic_load(&t->slots));
	*a = (struct table_ahead){.table = t};
	if (leaves <= HANDFUL || bitmap_bytes(leaves) > s->budget / FLIGHT_SHARE)
		return;
	a->bits = ps_memory_zalloc(&s->memory, bitmap_bytes(leaves));
	a->leaves = a->bits ? leaves : 0;
}

void table_ahead_add(struct table_ahead *a, uint64_t slot)
{
	uint64_t number = slot / FANOUT, bit = (uint64_t)1 << number % 64;
	if (number >= a->leaves || a->bits[number / 64] & bit)
		return;
	a->bits[number / 64] |= bit;
	a->count++;
}

void table_ahead_done(struct table_ahead *a)
{
	if (a->bits)
		ps_memory_free(&a->table->store->memory, a->bits, bitmap_bytes(a->leaves));
	*a = (struct table_ahead){0};
}

/* Its place, where it has one and is not in memory. */
static void add_leaf(struct reading *r, uint64_t number)
{
	struct table *t = r->t;
	struct table_node *g;
	struct table_leaf *l;
	if (table_find_leaf(t, number * FANOUT, &g, &l) != PS_OK)
		return;
	uint64_t place = g->child[number % FANOUT].place[0];
	if (place && !(atomic_load(&l->state) & LEAF_RESIDENT))
		r->leaves[r->count++] = (struct ahead_leaf){place, number};
}

static int by_place(const void *a, const void *b)
{
	uint64_t x = ((const struct ahead_leaf *)a)->place, y = ((const struct ahead_leaf *)b)->place;
	return x < y ? -1 : x > y;
}

static void list_leaves(struct reading *r, const struct table_ahead *a)
{
	for (uint64_t w = 0; w < bitmap_bytes(a->leaves) / sizeof(uint64_t); w++) {
		for (uint64_t bits = a->bits[w]; bits && r->count < r->size; bits &= bits - 1)
			add_leaf(r, w * 64 + (uint64_t)__builtin_ctzll(bits));
	}
	qsort(r->leaves, r->count, sizeof(*r->leaves), by_place);
}

/* ---- reading ---- */

/* The next leaves by place, as long as they lie close to each other. */
static void next_range(struct reading *r, struct range *range, uint8_t *buffer)
{
	uint64_t start = r->leaves[r->next].place, end = start + PAGE;
	range->first = r->next++;
	for (; r->next < r->count; r->next++) {
		uint64_t place = r->leaves[r->next].place;
		if (place > end + GAP_BYTES || place + PAGE - start > r->part)
			break;
		end = place + PAGE;
	}
	range->end = r->next;
	range->request = (struct ps_io_request){
	    .op = PS_IO_READ, .offset = start, .data = buffer, .len = (size_t)(end - start)};
}

static void start_wave(struct reading *r, unsigned number)
{
	struct ps_io *io = r->t->store->io;
	struct ps_io_request *list[WAVE];
	struct wave *w = &r->wave[number];
	for (w->count = 0; w->count < WAVE && r->next < r->count; w->count++) {
		next_range(r, &w->range[w->count], r->buffer + (number * (size_t)WAVE + w->count) * r->part);
		list[w->count] = &w->range[w->count].request;
	}
	if (w->count)
		io->ops->submit(io, list, w->count);
}

static void end_wave(struct reading *r, struct wave *w)
{
	struct ps_io *io = r->t->store->io;
	for (unsigned i = 0; i < w->count; i++) {
		struct range *range = &w->range[i];
		const uint8_t *bytes = range->request.data;
		if (io->ops->wait(io, &range->request) != PS_OK)
			continue;
		for (size_t n = range->first; n < range->end; n++)
			table_take_leaf(r->t, r->leaves[n].number,
			                bytes + (r->leaves[n].place - range->request.offset));
	}
}

/* One wave is on its way while the other is taken in. */
static void read_all(struct reading *r)
{
	unsigned now = 0;
	start_wave(r, now);
	while (r->wave[now].count) {
		start_wave(r, !now);
		end_wave(r, &r->wave[now]);
		now = !now;
	}
}

static void read_in_buffer(struct reading *r)
{
	struct store *s = r->t->store;
	size_t bytes = r->part * WAVE * WAVES;
	if (budget_take(s, bytes) != PS_OK)
		return;
	if (!posix_memalign((void **)&r->buffer, PAGE, bytes))
		read_all(r);
	free(r->buffer);
	budget_give(s, bytes);
}

void table_ahead_read(const struct table_ahead *a)
{
	if (a->count <= HANDFUL)
		return;
	struct store *s = a->table->store;
	struct reading r = {.t = a->table, .size = (size_t)MIN(a->count, s->budget / AHEAD_SHARE / PAGE)};
	r.part = (size_t)MIN(s->budget / FLIGHT_SHARE / (WAVE * WAVES) & ~(uint64_t)(PAGE - 1),
	                     (uint64_t)RANGE_BYTES);
	r.leaves = r.part ? ps_memory_alloc(&s->memory, r.size * sizeof(*r.leaves)) : NULL;
	if (!r.leaves)
		return;
	list_leaves(&r, a);
	if (r.count > HANDFUL)
		read_in_buffer(&r);
	ps_memory_free(&s->memory, r.leaves, r.size * sizeof(*r.leaves));
}
