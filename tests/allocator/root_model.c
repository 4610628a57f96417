#include "tests/allocator/root_model.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator/root.h"

enum {
	GRANULE = 16,
	PAGE = 4096,
	PAGE_GRANULES = PAGE / GRANULE,
	PAGES_MOST = 40,
	GRANULES_MOST = PAGES_MOST * PAGE_GRANULES,
	TRIES = 32,          /* as the allocator documents */
	FREES_GUARANTEED = 2 /* after a call that took space, without any memory */
};

struct model {
	const uint8_t *data;
	size_t left;
	struct ps_memory memory;
	struct ps_allocator *a;
	uint8_t is_free[GRANULES_MOST];
	uint64_t space;       /* bytes */
	unsigned frees;       /* since the last call that filled the reserve */
	bool faults, forever; /* the call under way may find no memory */
	unsigned step;
	const char *call;
	bool failed;
};

static char sentence[512];

static void __attribute__((format(printf, 2, 3))) wrong(struct model *m, const char *format, ...)
{
	char text[256];
	va_list args;
	if (m->failed)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)snprintf(sentence, sizeof(sentence), "step %u, %s: %s (last message: %.150s)", m->step, m->call,
	               text, ps_last_error_message());
	m->failed = true;
}

/* ---- the input: zeros when it is used up ---- */

static uint64_t input(struct model *m, unsigned bytes)
{
	uint64_t value = 0;
	for (; bytes > 0; bytes--) {
		value = value << 8 | (m->left > 0 ? *m->data : 0);
		m->data += m->left > 0;
		m->left -= m->left > 0;
	}
	return value;
}

static uint64_t input_size(struct model *m)
{
	uint64_t value = input(m, 2);
	return value < 0xC000 ? value % 700 : value % (6 * PAGE);
}

/* ---- the model ---- */

static uint64_t granules(const struct model *m)
{
	return m->space / GRANULE;
}

/* The run of free granules at or behind *at; false if there is none. */
static bool free_run(const struct model *m, uint64_t *at, uint64_t *len)
{
	while (*at < granules(m) && !m->is_free[*at])
		++*at;
	for (*len = 0; *at + *len < granules(m) && m->is_free[*at + *len];)
		++*len;
	return *len > 0;
}

static bool all_are(const struct model *m, uint64_t offset, uint64_t len, uint8_t state)
{
	if (len == 0 || offset % GRANULE || len % GRANULE || offset > m->space || len > m->space - offset)
		return false;
	for (uint64_t i = offset / GRANULE; i < (offset + len) / GRANULE; i++) {
		if (m->is_free[i] != state)
			return false;
	}
	return true;
}

static void set(struct model *m, uint64_t offset, uint64_t len, uint8_t state)
{
	memset(m->is_free + offset / GRANULE, state, len / GRANULE);
}

static uint64_t usable(uint64_t size)
{
	uint64_t unit = size < PAGE ? GRANULE : PAGE;
	return (size + unit - 1) / unit * unit;
}

/* Whether pieces of that size may begin at the granule: no small one across a page, none of pages inside one.
 */
static bool may_begin(uint64_t at, uint64_t piece, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t in_page = (at * GRANULE + i * piece) % PAGE;
		if (piece >= PAGE ? in_page != 0 : in_page + piece > PAGE)
			return false;
	}
	return true;
}

/* A run small enough stays in one page; any whole number of pages begins on one. */
static bool place(uint64_t start, uint64_t run, uint64_t piece, size_t count, uint64_t *at)
{
	uint64_t len = piece * count / GRANULE;
	for (*at = start; *at + len <= start + run; ++*at) {
		if (piece * count <= PAGE ? may_begin(*at, piece * count, 1) : may_begin(*at, piece, count))
			return true;
	}
	return false;
}

struct candidate {
	uint64_t len, at;
};

static int candidate_compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* The length that holds the pieces wherever it begins. */
static uint64_t sure_length(uint64_t piece, size_t count)
{
	uint64_t len = piece * count;
	uint64_t align = len >= PAGE ? PAGE : len;
	if (piece < PAGE && len > PAGE)
		align = piece;
	return (len + align - GRANULE) / GRANULE;
}

static bool best_fit(const struct model *m, uint64_t piece, size_t count, uint64_t *at)
{
	static struct candidate list[GRANULES_MOST];
	size_t n = 0, tries = 0;
	uint64_t run;
	for (uint64_t start = 0; free_run(m, &start, &run); start += run) {
		if (run >= piece * count / GRANULE)
			list[n++] = (struct candidate){run, start};
	}
	qsort(list, n, sizeof(list[0]), candidate_compare);
	for (size_t i = 0; i < n; i++) {
		if (tries++ >= TRIES && list[i].len < sure_length(piece, count))
			continue;
		if (place(list[i].at, list[i].len, piece, count, at))
			return true;
	}
	return false;
}

/* ---- comparing ---- */

struct compare {
	struct model *m;
	uint64_t at, free, extents, largest;
};

static int compare_extent(void *arg, struct ps_extent extent)
{
	struct compare *c = arg;
	uint64_t len;
	if (!free_run(c->m, &c->at, &len) || extent.offset != c->at * GRANULE ||
	    extent.len != len * GRANULE) {
		wrong(c->m, "the allocator walks over [%llu, +%llu), the model does not",
		      (unsigned long long)extent.offset, (unsigned long long)extent.len);
		return 1;
	}
	c->at += len;
	c->extents++;
	c->free += extent.len;
	c->largest = extent.len > c->largest ? extent.len : c->largest;
	return 0;
}

static void compare(struct model *m)
{
	struct compare c = {.m = m};
	struct ps_allocator_stats stats;
	uint64_t len;
	if (m->a->ops->check(m->a) != PS_OK)
		wrong(m, "the check fails");
	if (m->a->ops->walk(m->a, compare_extent, &c) == 0 && free_run(m, &c.at, &len))
		wrong(m, "the allocator misses free space");
	m->a->ops->stats(m->a, &stats);
	if (stats.space != m->space || stats.free != c.free || stats.free_extents != c.extents ||
	    stats.largest_free != c.largest || stats.memory != m->memory.used)
		wrong(m, "the stats are wrong");
}

/* Whether the call did what it should; false also when there was no memory, which is legal while faults are
 * injected. */
static bool came_as(struct model *m, int err, int expected)
{
	(void)ps_memory_fail_nth(0, 0);
	if (err == PS_ENOMEM && m->faults)
		return false;
	if (err != expected)
		wrong(m, "%s instead of %s", ps_error_name(err), ps_error_name(expected));
	return err == expected && err == PS_OK;
}

/* ---- the calls ---- */

static void taken(struct model *m, struct ps_extent got, uint64_t at, uint64_t len)
{
	if (got.offset != at * GRANULE || got.len != len) {
		wrong(m, "[%llu, +%llu) instead of [%llu, +%llu)", (unsigned long long)got.offset,
		      (unsigned long long)got.len, (unsigned long long)at * GRANULE, (unsigned long long)len);
		return;
	}
	set(m, got.offset, got.len, 0);
	m->frees = 0;
}

static void call_alloc(struct model *m)
{
	struct ps_extent got = {1, 1};
	uint64_t size = input_size(m), at = 0;
	int expected = size == 0 ? PS_EINVAL : best_fit(m, usable(size), 1, &at) ? PS_OK : PS_ENOSPC;
	m->call = "alloc";
	if (m->a->ops->usable_size(m->a, size) != usable(size))
		wrong(m, "usable_size of %llu", (unsigned long long)size);
	if (came_as(m, m->a->ops->alloc(m->a, size, &got), expected))
		taken(m, got, at, usable(size));
	else if (got.offset != 1 || got.len != 1)
		wrong(m, "the out parameter was touched");
}

static void call_alloc_run(struct model *m)
{
	struct ps_extent got = {1, 1};
	uint64_t size = input_size(m), piece = usable(size), at = 0;
	size_t count = input(m, 1) % 80;
	int expected = PS_ENOSPC;
	m->call = "alloc_run";
	if (size == 0 || count == 0)
		expected = PS_EINVAL;
	else if (count > m->space / piece)
		expected = PS_ENOSPC;
	else if (piece < PAGE && piece * count > PAGE && PAGE % piece != 0)
		expected = PS_EINVAL;
	else if (best_fit(m, piece, count, &at))
		expected = PS_OK;
	if (came_as(m, m->a->ops->alloc_run(m->a, size, count, &got), expected))
		taken(m, got, at, piece * count);
}

/* The first place at a multiple of align in the run of free granules. */
static bool aligned_in(struct candidate run, uint64_t len, uint64_t align, uint64_t *at)
{
	uint64_t unit = align / GRANULE;
	*at = (run.at + unit - 1) / unit * unit;
	return *at + len / GRANULE <= run.at + run.len;
}

/* Best fit, or the lowest of all below a limit. */
static bool aligned_place(const struct model *m, uint64_t len, uint64_t align, uint64_t below, uint64_t *at)
{
	static struct candidate list[GRANULES_MOST];
	size_t n = 0, tries = 0;
	uint64_t run;
	for (uint64_t start = 0; free_run(m, &start, &run); start += run) {
		struct candidate one = {run, start};
		if (below > 0 && aligned_in(one, len, align, at))
			return *at * GRANULE + len <= below;
		if (run >= len / GRANULE)
			list[n++] = one;
	}
	qsort(list, n, sizeof(list[0]), candidate_compare);
	for (size_t i = 0; i < n && below == 0; i++) {
		if (tries++ >= TRIES && list[i].len < (len + align - GRANULE) / GRANULE)
			continue;
		if (aligned_in(list[i], len, align, at))
			return true;
	}
	return false;
}

static void call_alloc_aligned(struct model *m, uint64_t len, uint64_t align, uint64_t below)
{
	struct ps_extent got;
	uint64_t at = 0;
	bool good = len > 0 && len % PAGE == 0 && align % PAGE == 0;
	m->call = "alloc_aligned";
	int expected = !good ? PS_EINVAL : aligned_place(m, len, align, below, &at) ? PS_OK : PS_ENOSPC;
	if (came_as(m, m->a->ops->alloc_aligned(m->a, len, align, below, &got), expected))
		taken(m, got, at, len);
}

static void call_alloc_below(struct model *m)
{
	struct ps_extent got;
	uint64_t size = input_size(m), limit = input(m, 2) * GRANULE, run, at = 0;
	int expected = size == 0 ? PS_EINVAL : PS_ENOSPC;
	if (limit / GRANULE % 2 == 1) {
		call_alloc_aligned(m, size % 5 ? usable(size + PAGE) : size, (uint64_t)2048 << limit / 32 % 5,
		                   limit / 512 % 2 ? limit : 0);
		return;
	}
	m->call = "alloc_below";
	for (uint64_t start = 0; size > 0 && free_run(m, &start, &run); start += run) {
		if (!place(start, run, usable(size), 1, &at))
			continue;
		if (at * GRANULE + usable(size) <= limit)
			expected = PS_OK;
		break;
	}
	if (came_as(m, ps_root_alloc_below(m->a, size, limit, &got), expected))
		taken(m, got, at, usable(size));
}

/* Somewhere in the space or a little behind; mostly as much as is in that state there. */
static struct ps_extent input_extent(struct model *m, uint8_t state)
{
	uint64_t at = input(m, 2) % (granules(m) + 2), most = input(m, 1), len = 0;
	bool careless = input(m, 1) < 16;
	for (; !careless && at < granules(m) && m->is_free[at] != state;)
		at++;
	for (; len < most && (careless || (at + len < granules(m) && m->is_free[at + len] == state));)
		len++;
	uint64_t skew = careless && most % 7 == 0 ? 8 : 0;
	return (struct ps_extent){at * GRANULE + skew, len * GRANULE};
}

static void call_free(struct model *m)
{
	struct ps_extent extent = input_extent(m, 0), merged = {1, 1};
	uint64_t start, end;
	m->call = "free";
	int expected = all_are(m, extent.offset, extent.len, 0) ? PS_OK : PS_ECORRUPT;
	if (m->a->ops->is_used(m->a, extent) != (expected == PS_OK))
		wrong(m, "is_used says another thing");
	int err = m->a->ops->free(m->a, extent, &merged);
	if (err == PS_ENOMEM && m->frees < FREES_GUARANTEED)
		wrong(m, "a free that the reserve is kept for found no memory");
	if (!came_as(m, err, expected))
		return;
	m->frees++;
	set(m, extent.offset, extent.len, 1);
	for (start = extent.offset / GRANULE; start > 0 && m->is_free[start - 1];)
		start--;
	for (end = start; end < granules(m) && m->is_free[end];)
		end++;
	if (merged.offset != start * GRANULE || merged.len != (end - start) * GRANULE)
		wrong(m, "the merged extent is wrong");
}

static void call_mark(struct model *m)
{
	struct ps_extent extent = input_extent(m, 1);
	m->call = "mark";
	int expected = all_are(m, extent.offset, extent.len, 1) ? PS_OK : PS_ECORRUPT;
	if (came_as(m, m->a->ops->mark(m->a, extent), expected)) {
		set(m, extent.offset, extent.len, 0);
		m->frees = 0;
	}
}

/* Turns every few granules, so that there are many short extents and the trees have several levels. */
static void call_comb(struct model *m)
{
	uint64_t at = input(m, 2) % (granules(m) + 1), count = input(m, 2) % 2048;
	uint64_t stride = 2 + input(m, 1) % 90, len = 1 + input(m, 1) % stride;
	m->call = "comb";
	len = len == stride ? 1 : len;
	for (; count > 0 && at + len <= granules(m) && !m->failed; count--, at += stride) {
		struct ps_extent extent = {at * GRANULE, len * GRANULE};
		uint8_t state = m->is_free[at];
		if (!all_are(m, extent.offset, extent.len, state))
			continue;
		int err = state ? m->a->ops->mark(m->a, extent) : m->a->ops->free(m->a, extent, NULL);
		if (err == PS_ENOMEM && m->faults)
			continue;
		if (err != PS_OK)
			wrong(m, "%s", ps_error_name(err));
		set(m, extent.offset, extent.len, !state);
		m->frees = state ? 0 : m->frees + 1;
	}
}

static void call_grow(struct model *m)
{
	uint64_t space = input(m, 1) % (PAGES_MOST + 1) * PAGE + (input(m, 1) == 1 ? GRANULE : 0);
	m->call = "grow";
	if (space > (uint64_t)PAGES_MOST * PAGE)
		space = (uint64_t)PAGES_MOST * PAGE;
	int expected = space < m->space || space % PAGE ? PS_EINVAL : PS_OK;
	if (!came_as(m, ps_root_grow(m->a, space), expected) || space == m->space)
		return;
	memset(m->is_free + granules(m), 1, (space - m->space) / GRANULE);
	m->space = space;
	m->frees = 0;
}

static void call_shrink(struct model *m)
{
	uint64_t least = input(m, 2) * GRANULE, space = 1, end = granules(m);
	m->call = "shrink";
	while (end > 0 && m->is_free[end - 1] && end * GRANULE > least)
		end--;
	uint64_t expected = (end * GRANULE + PAGE - 1) / PAGE * PAGE;
	if (expected > m->space)
		expected = m->space;
	if (!came_as(m, ps_root_shrink(m->a, least, &space), PS_OK))
		return;
	if (space != expected)
		wrong(m, "the space is %llu instead of %llu", (unsigned long long)space,
		      (unsigned long long)expected);
	m->space = expected;
	m->frees++;
}

static void call_find(struct model *m)
{
	struct ps_extent got;
	uint64_t offset = input(m, 3) % (m->space + 100), start = 0, run;
	m->call = "find";
	while (free_run(m, &start, &run) && (start + run) * GRANULE <= offset)
		start += run;
	bool found = ps_root_find(m->a, offset, &got);
	(void)ps_memory_fail_nth(0, 0);
	if (found != (run > 0))
		wrong(m, "found: %d", found);
	else if (found && (got.offset != start * GRANULE || got.len != run * GRANULE))
		wrong(m, "another extent");
}

/* The free extents as a list, long ones in two parts that touch: the allocator makes them one again. */
static size_t list_make(struct model *m, struct ps_extent *list)
{
	size_t n = 0;
	uint64_t run;
	for (uint64_t start = 0; free_run(m, &start, &run); start += run) {
		uint64_t half = run > 100 ? run / 2 : 0;
		if (half > 0)
			list[n++] = (struct ps_extent){start * GRANULE, half * GRANULE};
		list[n++] = (struct ps_extent){(start + half) * GRANULE, (run - half) * GRANULE};
	}
	return n;
}

static void list_spoil(struct model *m, struct ps_extent *list, size_t n, unsigned how)
{
	if (how == 1)
		list[0].len += 8;
	else if (how == 2)
		list[n - 1].len = m->space + GRANULE - list[n - 1].offset;
	else if (how == 3 && n > 1)
		list[n - 1].offset = list[n - 2].offset;
	else
		list[n - 1].len = 0;
}

/* The state moves to a new allocator, which some other call of this one may not do: the old has free space.
 */
static void call_load(struct model *m)
{
	static struct ps_extent list[GRANULES_MOST];
	struct ps_allocator *fresh = NULL;
	size_t n = list_make(m, list);
	unsigned spoil = (unsigned)input(m, 1) % 16;
	m->call = "load";
	if (n > 0 && !came_as(m, ps_root_load(m->a, m->space, list, n), PS_EINVAL) && m->failed)
		return;
	if (!came_as(m, ps_root_open(&m->memory, &fresh), PS_OK))
		return;
	(void)ps_memory_fail_nth(m->faults ? spoil % 4 + 1 : 0, m->forever);
	bool spoilt = n > 0 && spoil >= 1 && spoil <= 4;
	if (spoilt)
		list_spoil(m, list, n, spoil);
	int err = ps_root_load(fresh, m->space, list, n);
	if (came_as(m, err, spoilt ? PS_ECORRUPT : PS_OK)) {
		struct ps_allocator *old = m->a;
		m->a = fresh;
		m->frees = 0;
		fresh = old;
	} else if (fresh->ops->check(fresh) != PS_OK || fresh->ops->alloc(fresh, 1, &list[0]) != PS_ENOSPC) {
		wrong(m, "a refused list left something");
	}
	fresh->ops->close(fresh);
}

static void (*const calls[])(struct model *) = {
    call_alloc, call_alloc, call_alloc, call_alloc_run, call_alloc_below, call_free, call_free, call_free,
    call_free,  call_mark,  call_grow,  call_shrink,    call_find,        call_load, call_comb,
};

/* Space that is new is seldom lost again, so that sequences reach states with many extents. */
static void step(struct model *m)
{
	unsigned op = (unsigned)input(m, 1);
	unsigned call = op % (sizeof(calls) / sizeof(calls[0]));
	m->step++;
	m->faults = op >= 224;
	m->forever = op >= 240;
	(void)ps_memory_fail_nth(m->faults ? op % 4 + 1 : 0, m->forever);
	calls[call](m);
	(void)ps_memory_fail_nth(0, 0);
	compare(m);
}

const char *root_model_run(const uint8_t *data, size_t size)
{
	static struct model model;
	memset(&model, 0, sizeof(model));
	struct model *m = &model;
	m->data = data;
	m->left = size;
	m->call = "open";
	ps_memory_init(&m->memory, NULL);
	if (ps_root_open(&m->memory, &m->a) != PS_OK)
		return "no allocator";
	while (m->left > 0 && !m->failed)
		step(m);
	m->a->ops->close(m->a);
	if (m->memory.used != 0)
		wrong(m, "memory was not given back");
	ps_memory_done(&m->memory);
	return m->failed ? sentence : NULL;
}
