#include "allocator/root.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "allocator/extent_tree.h"
#include "base/fail.h"

enum {
	TRIES = 32, /* extents of enough length whose place is tried before one that surely fits is taken */
	NET_INSERTS = 2, /* what one change adds to a tree at most: the two ends of a split extent */
	RESERVE_NODES =
	    6, /* spares on top of that, in each tree, after every alloc: frees go on without memory */
	SMALL = PS_ROOT_PAGE / PS_ROOT_GRANULE,
	FLOOR_PAGES = 64, /* longer ones begin where these do */
	FLOORS = SMALL + FLOOR_PAGES,
};

struct root {
	struct ps_allocator base;
	struct ps_memory *memory;
	struct ps_extent_tree by_offset; /* (offset, length) */
	struct ps_extent_tree by_size;   /* (length, offset) */
	uint64_t space, free;
	uint64_t most,
	    forgotten; /* extents that are remembered, 0: any number; bytes of those that are not */
	/* No extent that begins below has room for the length (floor_of): a compaction that asks for the
	 * lowest place again and again does not begin at the bottom each time. They ascend with the length.
	 */
	uint64_t floor[FLOORS];
};

/* What is asked for: `len` bytes at a multiple of `align`, not across a page boundary if `in_page`. `surely`
 * bytes hold it wherever they begin. */
struct request {
	uint64_t len, align, surely;
	bool in_page;
};

static const struct ps_allocator_ops root_ops;

static struct root *root_of(struct ps_allocator *a)
{
	assert(a && a->ops == &root_ops);
	return (struct root *)a;
}

static uint64_t round_up(uint64_t value, uint64_t multiple)
{
	return (value + multiple - 1) & ~(multiple - 1);
}

static uint64_t end_of(struct ps_extent extent)
{
	return extent.offset + extent.len;
}

static struct ps_extent_pair offset_pair(struct ps_extent extent)
{
	return (struct ps_extent_pair){extent.offset, extent.len};
}

static struct ps_extent_pair size_pair(struct ps_extent extent)
{
	return (struct ps_extent_pair){extent.len, extent.offset};
}

static struct ps_extent extent_at(const struct ps_extent_pair *by_offset)
{
	return (struct ps_extent){by_offset->first, by_offset->second};
}

/* ---- changing both trees ---- */

static int reserve(struct root *root)
{
	int err = ps_extent_tree_reserve(&root->by_offset, NET_INSERTS, RESERVE_NODES);
	if (err == PS_OK)
		err = ps_extent_tree_reserve(&root->by_size, NET_INSERTS, RESERVE_NODES);
	return err;
}

/* A free adds one extent at most: it lives on the reserve when there is no memory to fill it up again. */
static int reserve_for_free(struct root *root)
{
	if (ps_extent_tree_try_reserve(&root->by_offset, NET_INSERTS, RESERVE_NODES) &&
	    ps_extent_tree_try_reserve(&root->by_size, NET_INSERTS, RESERVE_NODES))
		return PS_OK;
	if (ps_extent_tree_can_insert(&root->by_offset, 1) && ps_extent_tree_can_insert(&root->by_size, 1))
		return PS_OK;
	return ps_fail(PS_ENOMEM, "root allocator: no memory to note free space, and the reserve is used up");
}

/* The memory is reserved and the trees agree, so a change cannot fail. */
static void must(int err)
{
	assert(err == PS_OK);
	(void)err;
}

static void extent_add(struct root *root, struct ps_extent extent)
{
	must(ps_extent_tree_insert(&root->by_offset, offset_pair(extent)));
	must(ps_extent_tree_insert(&root->by_size, size_pair(extent)));
}

static void extent_drop(struct root *root, struct ps_extent extent)
{
	must(ps_extent_tree_remove(&root->by_offset, offset_pair(extent)));
	must(ps_extent_tree_remove(&root->by_size, size_pair(extent)));
}

static void extent_change(struct root *root, struct ps_extent from, struct ps_extent to)
{
	must(ps_extent_tree_replace(&root->by_offset, offset_pair(from), offset_pair(to)));
	must(ps_extent_tree_replace(&root->by_size, size_pair(from), size_pair(to)));
}

/* ---- where to look for the lowest place ---- */

static unsigned floor_of(uint64_t len)
{
	uint64_t pages = len / PS_ROOT_PAGE;
	if (pages == 0)
		return (unsigned)(len / PS_ROOT_GRANULE);
	return SMALL - 1 + (unsigned)(pages < FLOOR_PAGES ? pages : FLOOR_PAGES);
}

/* The longest that has room in the extent. */
static uint64_t longest_in(struct ps_extent extent)
{
	uint64_t page = round_up(extent.offset, PS_ROOT_PAGE), end = end_of(extent);
	if (page >= end)
		return extent.len;
	if (end - page >= PS_ROOT_PAGE)
		return (end - page) & ~(uint64_t)(PS_ROOT_PAGE - 1);
	return page - extent.offset > end - page ? page - extent.offset : end - page;
}

/* Of a request whose length says all. */
static void raise_floor(struct root *root, const struct request *request, uint64_t to)
{
	bool plain = request->len < PS_ROOT_PAGE
	                 ? request->in_page
	                 : request->align == PS_ROOT_PAGE && request->len <= FLOOR_PAGES * PS_ROOT_PAGE;
	for (unsigned i = floor_of(request->len); plain && i < FLOORS && root->floor[i] < to; i++)
		root->floor[i] = to;
}

/* The extent is new, or longer than it was. */
static void lower_floors(struct root *root, struct ps_extent extent)
{
	for (unsigned i = floor_of(longest_in(extent)); i > 0 && root->floor[i] > extent.offset; i--)
		root->floor[i] = extent.offset;
}

/* The smallest, and the lowest of those: the end of the space can be cut off only while it is known to be
 * free. */
static void forget_most(struct root *root)
{
	while (root->most > 0 && root->by_offset.count > root->most) {
		struct ps_extent_cursor cursor;
		const struct ps_extent_pair *pair =
		    ps_extent_tree_seek(&root->by_size, (struct ps_extent_pair){0, 0}, &cursor);
		struct ps_extent extent = {pair->second, pair->first};
		extent_drop(root, extent);
		root->free -= extent.len;
		root->forgotten += extent.len;
	}
}

/* Takes part of a free extent; what is left before and behind it stays free. */
static void carve(struct root *root, struct ps_extent whole, struct ps_extent part)
{
	struct ps_extent front = {whole.offset, part.offset - whole.offset};
	struct ps_extent back = {end_of(part), end_of(whole) - end_of(part)};
	root->free -= part.len;
	if (front.len > 0 && back.len > 0) {
		extent_change(root, whole, front);
		extent_add(root, back);
	} else if (front.len > 0) {
		extent_change(root, whole, front);
	} else if (back.len > 0) {
		extent_change(root, whole, back);
	} else {
		extent_drop(root, whole);
	}
	forget_most(root);
}

/* ---- looking up ---- */

/* The free extent that begins at or before `offset`, and the first one behind it; len 0 where there is none.
 */
static void neighbours(struct root *root, uint64_t offset, struct ps_extent *before, struct ps_extent *after)
{
	struct ps_extent_cursor cursor;
	const struct ps_extent_pair *pair =
	    ps_extent_tree_seek(&root->by_offset, (struct ps_extent_pair){offset, UINT64_MAX}, &cursor);
	*after = pair ? extent_at(pair) : (struct ps_extent){0, 0};
	pair = ps_extent_cursor_previous(&cursor);
	*before = pair ? extent_at(pair) : (struct ps_extent){0, 0};
}

static bool in_space(const struct root *root, struct ps_extent extent)
{
	return extent.len > 0 && extent.offset % PS_ROOT_GRANULE == 0 && extent.len % PS_ROOT_GRANULE == 0 &&
	       extent.offset <= root->space && extent.len <= root->space - extent.offset;
}

/* Where the request lies in a free extent, or false. */
static bool place_in(const struct request *request, struct ps_extent extent, uint64_t *offset)
{
	uint64_t first = round_up(extent.offset, request->align);
	if (request->in_page && first % PS_ROOT_PAGE + request->len > PS_ROOT_PAGE)
		first = round_up(first, PS_ROOT_PAGE);
	if (first > end_of(extent) || end_of(extent) - first < request->len)
		return false;
	*offset = first;
	return true;
}

/* Best fit: the shortest extent that holds the request, the lowest of those. Misaligned ones of nearly its
 * length may be many: after some tries only one that holds it wherever it begins is looked for. */
static bool best_fit(struct root *root, const struct request *request, struct ps_extent *whole,
                     uint64_t *offset)
{
	struct ps_extent_cursor cursor;
	const struct ps_extent_pair *pair =
	    ps_extent_tree_seek(&root->by_size, (struct ps_extent_pair){request->len, 0}, &cursor);
	for (int tries = 0; pair && tries < TRIES; tries++) {
		*whole = (struct ps_extent){pair->second, pair->first};
		if (place_in(request, *whole, offset))
			return true;
		pair = ps_extent_cursor_next(&cursor);
	}
	if (pair)
		pair =
		    ps_extent_tree_seek(&root->by_size, (struct ps_extent_pair){request->surely, 0}, &cursor);
	if (!pair)
		return false;
	*whole = (struct ps_extent){pair->second, pair->first};
	return place_in(request, *whole, offset);
}

/* ---- the calls ---- */

static uint64_t root_usable_size(struct ps_allocator *a, uint64_t size)
{
	uint64_t multiple = size < PS_ROOT_PAGE ? PS_ROOT_GRANULE : PS_ROOT_PAGE;
	(void)a;
	if (size > UINT64_MAX - (PS_ROOT_PAGE - 1))
		return UINT64_MAX - (PS_ROOT_PAGE - 1);
	return round_up(size, multiple);
}

/* len is a usable size. */
static struct request request_for(uint64_t len)
{
	if (len >= PS_ROOT_PAGE)
		return (struct request){len, PS_ROOT_PAGE, len + PS_ROOT_PAGE - PS_ROOT_GRANULE, false};
	return (struct request){len, PS_ROOT_GRANULE, 2 * len - PS_ROOT_GRANULE, true};
}

static int take(struct root *root, const struct request *request, struct ps_extent *extent)
{
	struct ps_extent whole;
	struct ps_extent part = {0, request->len};
	if (!best_fit(root, request, &whole, &part.offset))
		return PS_ENOSPC;
	int err = reserve(root);
	if (err != PS_OK)
		return err;
	carve(root, whole, part);
	*extent = part;
	return PS_OK;
}

static int root_alloc(struct ps_allocator *a, uint64_t size, struct ps_extent *extent)
{
	struct root *root = root_of(a);
	if (size == 0)
		return ps_fail(PS_EINVAL, "root allocator: a size of 0");
	if (size > root->space)
		return PS_ENOSPC;
	struct request request = request_for(root_usable_size(a, size));
	return take(root, &request, extent);
}

/* Small pieces may not lie across a page boundary: all in one page, or laid end to end where a page is a
 * whole number of them. */
static int request_for_run(uint64_t piece, size_t count, struct request *request)
{
	uint64_t len = piece * count;
	*request = request_for(len);
	if (piece >= PS_ROOT_PAGE || len <= PS_ROOT_PAGE)
		return PS_OK;
	if (PS_ROOT_PAGE % piece != 0)
		return ps_fail(PS_EINVAL,
		               "root allocator: a run of %zu pieces of %" PRIu64
		               " bytes would straddle pages",
		               count, piece);
	*request = (struct request){len, piece, len + piece - PS_ROOT_GRANULE, false};
	return PS_OK;
}

static int root_alloc_run(struct ps_allocator *a, uint64_t size, size_t count, struct ps_extent *extent)
{
	struct root *root = root_of(a);
	uint64_t piece = root_usable_size(a, size);
	struct request request;
	if (size == 0 || count == 0)
		return ps_fail(PS_EINVAL, "root allocator: a run of %zu pieces of %" PRIu64 " bytes", count,
		               size);
	if (count > root->space / piece)
		return PS_ENOSPC;
	int err = request_for_run(piece, count, &request);
	if (err != PS_OK)
		return err;
	return take(root, &request, extent);
}

/* The lowest place of all that are below the limit. */
static int take_below(struct root *root, const struct request *request, uint64_t limit,
                      struct ps_extent *extent)
{
	struct ps_extent_cursor cursor;
	struct ps_extent part = {0, request->len};
	const struct ps_extent_pair *pair = ps_extent_tree_seek(
	    &root->by_offset, (struct ps_extent_pair){root->floor[floor_of(request->len)], 0}, &cursor);
	while (pair && pair->first < limit && !place_in(request, extent_at(pair), &part.offset))
		pair = ps_extent_cursor_next(&cursor);
	raise_floor(root, request, pair && pair->first < limit ? pair->first : limit);
	if (!pair || pair->first >= limit || part.len > limit || part.offset > limit - part.len)
		return PS_ENOSPC;
	struct ps_extent whole = extent_at(pair);
	int err = reserve(root);
	if (err != PS_OK)
		return err;
	carve(root, whole, part);
	*extent = part;
	return PS_OK;
}

static int root_alloc_aligned(struct ps_allocator *a, uint64_t len, uint64_t align, uint64_t below,
                              struct ps_extent *extent)
{
	struct root *root = root_of(a);
	if (len == 0 || len % PS_ROOT_PAGE != 0 || align < PS_ROOT_PAGE || (align & (align - 1)) != 0)
		return ps_fail(PS_EINVAL, "root allocator: %" PRIu64 " bytes at multiples of %" PRIu64, len,
		               align);
	if (len > root->space)
		return PS_ENOSPC;
	struct request request = {len, align, len + align - PS_ROOT_GRANULE, false};
	return below > 0 ? take_below(root, &request, below, extent) : take(root, &request, extent);
}

static int not_allocated(struct ps_extent extent)
{
	return ps_fail(PS_ECORRUPT, "root allocator: [%" PRIu64 ", +%" PRIu64 ") is not wholly allocated",
	               extent.offset, extent.len);
}

/* Makes the used extent free, one with its free neighbours. */
static struct ps_extent coalesce(struct root *root, struct ps_extent extent, struct ps_extent before,
                                 struct ps_extent after)
{
	struct ps_extent merged = extent;
	bool joins_before = before.len > 0 && end_of(before) == extent.offset;
	bool joins_after = after.len > 0 && end_of(extent) == after.offset;
	if (joins_before)
		merged = (struct ps_extent){before.offset, merged.len + before.len};
	if (joins_after)
		merged.len += after.len;
	if (joins_before && joins_after)
		extent_drop(root, after);
	if (joins_before)
		extent_change(root, before, merged);
	else if (joins_after)
		extent_change(root, after, merged);
	else
		extent_add(root, merged);
	root->free += extent.len;
	lower_floors(root, merged);
	forget_most(root);
	return merged;
}

/* And the free extents around it, where it is. */
static bool wholly_used(struct root *root, struct ps_extent extent, struct ps_extent *before,
                        struct ps_extent *after)
{
	if (!in_space(root, extent))
		return false;
	neighbours(root, extent.offset, before, after);
	return (before->len == 0 || end_of(*before) <= extent.offset) &&
	       (after->len == 0 || after->offset >= end_of(extent));
}

static bool root_is_used(struct ps_allocator *a, struct ps_extent extent)
{
	struct ps_extent before, after;
	return wholly_used(root_of(a), extent, &before, &after);
}

static int root_free(struct ps_allocator *a, struct ps_extent extent, struct ps_extent *merged)
{
	struct root *root = root_of(a);
	struct ps_extent before, after;
	if (!wholly_used(root, extent, &before, &after))
		return not_allocated(extent);
	int err = reserve_for_free(root);
	if (err != PS_OK)
		return err;
	struct ps_extent whole = coalesce(root, extent, before, after);
	if (merged)
		*merged = whole;
	return PS_OK;
}

static int root_mark(struct ps_allocator *a, struct ps_extent extent)
{
	struct root *root = root_of(a);
	struct ps_extent before = {0, 0}, after;
	if (in_space(root, extent))
		neighbours(root, extent.offset, &before, &after);
	if (before.len == 0 || end_of(before) < end_of(extent))
		return ps_fail(PS_ECORRUPT, "root allocator: [%" PRIu64 ", +%" PRIu64 ") is not wholly free",
		               extent.offset, extent.len);
	int err = reserve(root);
	if (err != PS_OK)
		return err;
	carve(root, before, extent);
	return PS_OK;
}

struct walk {
	ps_extent_fn fn;
	void *arg;
};

static int walk_pair(void *arg, struct ps_extent_pair pair)
{
	const struct walk *walk = arg;
	return walk->fn(walk->arg, extent_at(&pair));
}

static int root_walk(struct ps_allocator *a, ps_extent_fn fn, void *arg)
{
	struct walk walk = {fn, arg};
	return ps_extent_tree_walk(&root_of(a)->by_offset, walk_pair, &walk);
}

static void root_stats(struct ps_allocator *a, struct ps_allocator_stats *stats)
{
	const struct root *root = root_of(a);
	const struct ps_extent_pair *largest = ps_extent_tree_last(&root->by_size);
	*stats = (struct ps_allocator_stats){
	    .space = root->space,
	    .free = root->free,
	    .free_extents = root->by_offset.count,
	    .forgotten = root->forgotten,
	    .largest_free = largest ? largest->first : 0,
	    .memory = sizeof(*root) + ps_extent_tree_memory(&root->by_offset) +
	              ps_extent_tree_memory(&root->by_size),
	};
}

static void root_close(struct ps_allocator *a)
{
	if (!a)
		return;
	struct root *root = root_of(a);
	ps_extent_tree_done(&root->by_offset);
	ps_extent_tree_done(&root->by_size);
	ps_memory_free(root->memory, root, sizeof(*root));
}

/* ---- checking ---- */

struct check {
	const struct root *root;
	uint64_t end, free; /* of the extents seen so far */
};

static int check_extent(void *arg, struct ps_extent_pair pair)
{
	struct check *check = arg;
	struct ps_extent extent = extent_at(&pair);
	const char *what = NULL;
	if (!in_space(check->root, extent))
		what = "is misaligned or outside the space";
	else if (check->free > 0 && extent.offset <= check->end)
		what = "overlaps or touches the one before";
	else if (!ps_extent_tree_contains(&check->root->by_size, size_pair(extent)))
		what = "is not in the tree by size";
	else if (check->root->floor[floor_of(longest_in(extent))] > extent.offset)
		what = "lies below where one of its length is looked for";
	if (what)
		return ps_fail(PS_ECORRUPT, "root allocator: free extent [%" PRIu64 ", +%" PRIu64 ") %s",
		               extent.offset, extent.len, what);
	check->end = end_of(extent);
	check->free += extent.len;
	return PS_OK;
}

static int root_check(struct ps_allocator *a)
{
	const struct root *root = root_of(a);
	struct check check = {root, 0, 0};
	int err = ps_extent_tree_check(&root->by_offset);
	if (err == PS_OK)
		err = ps_extent_tree_check(&root->by_size);
	if (err == PS_OK)
		err = ps_extent_tree_walk(&root->by_offset, check_extent, &check);
	if (err != PS_OK)
		return err;
	if (root->by_offset.count != root->by_size.count)
		return ps_fail(PS_ECORRUPT,
		               "root allocator: %" PRIu64 " extents by offset, %" PRIu64 " by size",
		               root->by_offset.count, root->by_size.count);
	if (root->most > 0 && root->by_offset.count > root->most)
		return ps_fail(PS_ECORRUPT,
		               "root allocator: %" PRIu64 " extents, %" PRIu64 " were to be remembered",
		               root->by_offset.count, root->most);
	if (check.free != root->free)
		return ps_fail(PS_ECORRUPT, "root allocator: %" PRIu64 " bytes free, %" PRIu64 " counted",
		               check.free, root->free);
	return PS_OK;
}

static const struct ps_allocator_ops root_ops = {
    .name = "root",
    .alloc = root_alloc,
    .alloc_run = root_alloc_run,
    .alloc_aligned = root_alloc_aligned,
    .free = root_free,
    .mark = root_mark,
    .is_used = root_is_used,
    .usable_size = root_usable_size,
    .walk = root_walk,
    .check = root_check,
    .stats = root_stats,
    .close = root_close,
};

/* ---- what only the root can do ---- */

int ps_root_open(struct ps_memory *memory, struct ps_allocator **a)
{
	struct root *root = ps_memory_zalloc(memory, sizeof(*root));
	if (!root)
		return ps_fail(PS_ENOMEM, "root allocator: no memory");
	root->base.ops = &root_ops;
	root->memory = memory;
	ps_extent_tree_init(&root->by_offset, memory);
	ps_extent_tree_init(&root->by_size, memory);
	*a = &root->base;
	return PS_OK;
}

void ps_root_set_most(struct ps_allocator *a, uint64_t extents)
{
	struct root *root = root_of(a);
	root->most = extents;
	forget_most(root);
}

int ps_root_grow(struct ps_allocator *a, uint64_t new_space)
{
	struct root *root = root_of(a);
	struct ps_extent added = {root->space, new_space - root->space};
	struct ps_extent before, after;
	if (new_space < root->space || new_space % PS_ROOT_PAGE != 0)
		return ps_fail(PS_EINVAL,
		               "root allocator: the space cannot grow from %" PRIu64 " to %" PRIu64,
		               root->space, new_space);
	if (added.len == 0)
		return PS_OK;
	int err = reserve(root);
	if (err != PS_OK)
		return err;
	neighbours(root, added.offset, &before, &after);
	root->space = new_space;
	coalesce(root, added, before, after);
	return PS_OK;
}

int ps_root_shrink(struct ps_allocator *a, uint64_t least, uint64_t *space)
{
	struct root *root = root_of(a);
	struct ps_extent tail, after;
	neighbours(root, root->space, &tail, &after);
	uint64_t start = least > tail.offset ? least : tail.offset;
	if (tail.len > 0 && end_of(tail) == root->space && start < root->space &&
	    round_up(start, PS_ROOT_PAGE) < root->space) {
		int err = reserve_for_free(root);
		if (err != PS_OK)
			return err;
		start = round_up(start, PS_ROOT_PAGE);
		carve(root, tail, (struct ps_extent){start, root->space - start});
		root->space = start;
	}
	*space = root->space;
	return PS_OK;
}

int ps_root_alloc_below(struct ps_allocator *a, uint64_t size, uint64_t limit, struct ps_extent *extent)
{
	struct root *root = root_of(a);
	if (size == 0)
		return ps_fail(PS_EINVAL, "root allocator: a size of 0");
	if (size > root->space)
		return PS_ENOSPC;
	struct request request = request_for(root_usable_size(a, size));
	return take_below(root, &request, limit, extent);
}

bool ps_root_find(struct ps_allocator *a, uint64_t offset, struct ps_extent *extent)
{
	struct ps_extent before, after;
	neighbours(root_of(a), offset, &before, &after);
	if (before.len > 0 && end_of(before) > offset)
		after = before;
	if (after.len > 0)
		*extent = after;
	return after.len > 0;
}

/* ---- loading ---- */

static int pair_compare(const void *a, const void *b)
{
	const struct ps_extent_pair *x = a, *y = b;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x->second < y->second ? -1 : x->second > y->second;
}

/* Copies the list, with what touches made one, to pairs by offset; how many in *used. */
static int list_take(const struct root *root, const struct ps_extent *list, size_t n,
                     struct ps_extent_pair *pairs, size_t *used)
{
	size_t count = 0;
	uint64_t end = 0;
	for (size_t i = 0; i < n; i++) {
		if (!in_space(root, list[i]) || (i > 0 && list[i].offset < end))
			return ps_fail(PS_ECORRUPT,
			               "root allocator: entry %zu of the free list, [%" PRIu64 ", +%" PRIu64
			               "), is out of order, overlaps or leaves the space",
			               i, list[i].offset, list[i].len);
		if (i > 0 && list[i].offset == end)
			pairs[count - 1].second += list[i].len;
		else
			pairs[count++] = offset_pair(list[i]);
		end = end_of(list[i]);
	}
	*used = count;
	return PS_OK;
}

static int load_trees(struct root *root, struct ps_extent_pair *pairs, size_t n)
{
	uint64_t free = 0;
	int err = ps_extent_tree_load(&root->by_offset, pairs, n);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < n; i++) {
		free += pairs[i].second;
		pairs[i] = (struct ps_extent_pair){pairs[i].second, pairs[i].first};
	}
	if (n > 1)
		qsort(pairs, n, sizeof(*pairs), pair_compare);
	err = ps_extent_tree_load(&root->by_size, pairs, n);
	if (err == PS_OK)
		err = reserve(root);
	root->free = free;
	return err;
}

int ps_root_load(struct ps_allocator *a, uint64_t space, const struct ps_extent *free_list, size_t n)
{
	struct root *root = root_of(a);
	struct root fresh = {.base = root->base, .memory = root->memory, .space = space, .most = root->most};
	struct ps_extent_pair *pairs = NULL;
	size_t used = 0;
	if (root->free > 0 || space % PS_ROOT_PAGE != 0 || (n > 0 && !free_list))
		return ps_fail(PS_EINVAL,
		               "root allocator: a free list is loaded only into a space wholly in use");
	if (n > space / PS_ROOT_GRANULE)
		return ps_fail(PS_ECORRUPT, "root allocator: a free list of %zu extents in %" PRIu64 " bytes",
		               n, space);
	if (n > 0 && !(pairs = ps_memory_alloc(root->memory, n * sizeof(*pairs))))
		return ps_fail(PS_ENOMEM, "root allocator: no memory for a free list of %zu extents", n);
	ps_extent_tree_init(&fresh.by_offset, root->memory);
	ps_extent_tree_init(&fresh.by_size, root->memory);
	int err = list_take(&fresh, free_list, n, pairs, &used);
	if (err == PS_OK)
		err = load_trees(&fresh, pairs, used);
	struct root *loser = err == PS_OK ? root : &fresh;
	ps_extent_tree_done(&loser->by_offset);
	ps_extent_tree_done(&loser->by_size);
	if (err == PS_OK) {
		*root = fresh;
		forget_most(root);
	}
	ps_memory_free(root->memory, pairs, n * sizeof(*pairs));
	return err;
}
