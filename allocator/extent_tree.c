#include "allocator/extent_tree.h"

#include <assert.h>
#include <string.h>

#include "allocator/extent_node.h"
#include "base/fail.h"

/* The way from the root to a leaf, by level: the node, and which child or pair of it. */
struct path {
	struct ps_extent_node *node[LEVELS_MOST];
	uint32_t index[LEVELS_MOST];
};

static bool pair_equal(struct ps_extent_pair a, struct ps_extent_pair b)
{
	return a.first == b.first && a.second == b.second;
}

/* How many of the ascending pairs are below `pair`. No branch depends on the pairs: they are unpredictable.
 */
static uint32_t pairs_below(const struct ps_extent_pair *pairs, uint32_t n, struct ps_extent_pair pair)
{
	const struct ps_extent_pair *base = pairs;
	if (n == 0)
		return 0;
	while (n > 1) {
		uint32_t half = n / 2;
		base += pair_less(base[half - 1], pair) ? half : 0;
		n -= half;
	}
	return (uint32_t)(base - pairs) + pair_less(*base, pair);
}

static uint32_t child_for(const struct ps_extent_node *node, struct ps_extent_pair pair)
{
	uint32_t below = pairs_below(node->keys + 1, node->count - 1, pair);
	bool equal = below + 1 < node->count && pair_equal(node->keys[below + 1], pair);
	return below + equal;
}

/* ---- nodes ---- */

void ps_extent_tree_init(struct ps_extent_tree *tree, struct ps_memory *memory)
{
	*tree = (struct ps_extent_tree){.memory = memory};
}

static void node_free(struct ps_extent_tree *tree, struct ps_extent_node *node)
{
	ps_memory_free(tree->memory, node, sizeof(*node));
}

static void spare_push(struct ps_extent_tree *tree, struct ps_extent_node *node)
{
	node->next = tree->spare;
	tree->spare = node;
	tree->spares++;
}

static struct ps_extent_node *spare_pop(struct ps_extent_tree *tree)
{
	struct ps_extent_node *node = tree->spare;
	tree->spare = node->next;
	tree->spares--;
	return node;
}

/* Only after a reserve: there is a spare. */
static struct ps_extent_node *node_take(struct ps_extent_tree *tree, uint32_t level)
{
	assert(tree->spare);
	struct ps_extent_node *node = spare_pop(tree);
	node->count = 0;
	node->level = level;
	node->next = node->previous = NULL;
	tree->nodes++;
	return node;
}

static void node_drop(struct ps_extent_tree *tree, struct ps_extent_node *node)
{
	if (tree->near == node)
		tree->near = NULL;
	tree->nodes--;
	if (tree->spares < SPARES_MOST)
		spare_push(tree, node);
	else
		node_free(tree, node);
}

static bool try_reserve_nodes(struct ps_extent_tree *tree, size_t nodes)
{
	while (tree->spares < nodes) {
		struct ps_extent_node *node = ps_memory_alloc(tree->memory, sizeof(*node));
		if (!node)
			return false;
		spare_push(tree, node);
	}
	return true;
}

static int reserve_nodes(struct ps_extent_tree *tree, size_t nodes)
{
	if (try_reserve_nodes(tree, nodes))
		return PS_OK;
	return ps_fail(PS_ENOMEM, "extent tree: no memory for a node");
}

static void subtree_free(struct ps_extent_tree *tree, struct ps_extent_node *node)
{
	for (uint32_t i = 0; node->level && i < node->count; i++)
		subtree_free(tree, node->children[i]);
	node_free(tree, node);
}

void ps_extent_tree_done(struct ps_extent_tree *tree)
{
	if (tree->root)
		subtree_free(tree, tree->root);
	while (tree->spare)
		node_free(tree, spare_pop(tree));
	ps_extent_tree_init(tree, tree->memory);
}

/* Each insert may split every level and the root, and each may have made the tree one level higher. */
static size_t nodes_for(const struct ps_extent_tree *tree, unsigned inserts)
{
	return (size_t)inserts * (tree->height + inserts);
}

bool ps_extent_tree_can_insert(const struct ps_extent_tree *tree, unsigned inserts)
{
	return tree->spares >= nodes_for(tree, inserts);
}

bool ps_extent_tree_try_reserve(struct ps_extent_tree *tree, unsigned inserts, unsigned extra)
{
	return try_reserve_nodes(tree, nodes_for(tree, inserts) + extra);
}

int ps_extent_tree_reserve(struct ps_extent_tree *tree, unsigned inserts, unsigned extra)
{
	return reserve_nodes(tree, nodes_for(tree, inserts) + extra);
}

size_t ps_extent_tree_memory(const struct ps_extent_tree *tree)
{
	return (tree->nodes + tree->spares) * sizeof(struct ps_extent_node);
}

/* ---- looking up ---- */

/* A search of a node that is in no cache would wait for three or four of its lines one after another: they
 * are all on their way before it begins. */
static struct ps_extent_node *node_coming(struct ps_extent_node *node)
{
	for (size_t at = 0; at < sizeof(*node); at += 64)
		__builtin_prefetch((const char *)node + at);
	return node;
}

static struct ps_extent_node *find_leaf(const struct ps_extent_tree *tree, struct ps_extent_pair pair)
{
	struct ps_extent_node *node = tree->root;
	while (node && node->level)
		node = node_coming(node->children[child_for(node, pair)]);
	return node;
}

/* The leaf of the last seek, if the pair's place is among its pairs: behind its first and before its last
 * one. */
static struct ps_extent_node *near_leaf(const struct ps_extent_tree *tree, struct ps_extent_pair pair)
{
	struct ps_extent_node *leaf = tree->near;
	bool within =
	    leaf && pair_less(leaf->pairs[0], pair) && pair_less(pair, leaf->pairs[leaf->count - 1]);
	return within ? leaf : NULL;
}

/* The path to the pair's place; false if it is not there. The tree is not empty. */
static bool find_path(const struct ps_extent_tree *tree, struct ps_extent_pair pair, struct path *path)
{
	struct ps_extent_node *node = tree->root;
	while (node->level) {
		uint32_t child = child_for(node, pair);
		path->node[node->level] = node;
		path->index[node->level] = child;
		node = node_coming(node->children[child]);
	}
	uint32_t index = pairs_below(node->pairs, node->count, pair);
	path->node[0] = node;
	path->index[0] = index;
	return index < node->count && pair_equal(node->pairs[index], pair);
}

bool ps_extent_tree_contains(const struct ps_extent_tree *tree, struct ps_extent_pair pair)
{
	struct path path;
	return tree->root && find_path(tree, pair, &path);
}

const struct ps_extent_pair *ps_extent_tree_seek(struct ps_extent_tree *tree, struct ps_extent_pair pair,
                                                 struct ps_extent_cursor *cursor)
{
	struct ps_extent_node *leaf = near_leaf(tree, pair);
	if (!leaf)
		tree->near = leaf = find_leaf(tree, pair);
	*cursor = (struct ps_extent_cursor){leaf, 0};
	if (!leaf)
		return NULL;
	cursor->index = pairs_below(leaf->pairs, leaf->count, pair);
	if (cursor->index < leaf->count)
		return &leaf->pairs[cursor->index];
	if (!leaf->next)
		return NULL;
	*cursor = (struct ps_extent_cursor){leaf->next, 0};
	return leaf->next->pairs;
}

const struct ps_extent_pair *ps_extent_cursor_next(struct ps_extent_cursor *cursor)
{
	const struct ps_extent_node *leaf = cursor->leaf;
	if (!leaf)
		return NULL;
	if (cursor->index + 1 < leaf->count)
		return &leaf->pairs[++cursor->index];
	if (!leaf->next)
		return NULL;
	*cursor = (struct ps_extent_cursor){leaf->next, 0};
	return leaf->next->pairs;
}

const struct ps_extent_pair *ps_extent_cursor_previous(struct ps_extent_cursor *cursor)
{
	const struct ps_extent_node *leaf = cursor->leaf;
	if (!leaf)
		return NULL;
	if (cursor->index > 0)
		return &leaf->pairs[--cursor->index];
	leaf = leaf->previous;
	if (!leaf)
		return NULL;
	*cursor = (struct ps_extent_cursor){leaf, leaf->count - 1};
	return &leaf->pairs[cursor->index];
}

const struct ps_extent_pair *ps_extent_tree_last(const struct ps_extent_tree *tree)
{
	const struct ps_extent_node *node = tree->root;
	while (node && node->level)
		node = node->children[node->count - 1];
	return node ? &node->pairs[node->count - 1] : NULL;
}

int ps_extent_tree_walk(const struct ps_extent_tree *tree, ps_extent_pair_fn fn, void *arg)
{
	const struct ps_extent_node *leaf = find_leaf(tree, (struct ps_extent_pair){0, 0});
	for (; leaf; leaf = leaf->next) {
		for (uint32_t i = 0; i < leaf->count; i++) {
			int stop = fn(arg, leaf->pairs[i]);
			if (stop)
				return stop;
		}
	}
	return PS_OK;
}

/* ---- changing ---- */

/* Copies n entries within a node or between two of the same level; the ranges may overlap. */
static void entries_move(struct ps_extent_node *to, uint32_t to_index, struct ps_extent_node *from,
                         uint32_t from_index, uint32_t n)
{
	memmove(&to->pairs[to_index], &from->pairs[from_index], n * sizeof(to->pairs[0]));
	if (to->level)
		memmove(&to->children[to_index], &from->children[from_index],
		        n * sizeof(struct ps_extent_node *));
}

static void entry_insert(struct ps_extent_node *node, uint32_t index, struct ps_extent_pair pair,
                         struct ps_extent_node *child)
{
	entries_move(node, index + 1, node, index, node->count - index);
	node->pairs[index] = pair;
	if (node->level)
		node->children[index] = child;
	node->count++;
}

static void entry_remove(struct ps_extent_node *node, uint32_t index)
{
	entries_move(node, index, node, index + 1, node->count - index - 1);
	node->count--;
}

static void leaf_link_after(struct ps_extent_node *leaf, struct ps_extent_node *fresh)
{
	fresh->previous = leaf;
	fresh->next = leaf->next;
	if (leaf->next)
		leaf->next->previous = fresh;
	leaf->next = fresh;
}

static void leaf_unlink(struct ps_extent_node *leaf)
{
	if (leaf->next)
		leaf->next->previous = leaf->previous;
	if (leaf->previous)
		leaf->previous->next = leaf->next;
}

/* Puts the entry into the full node's left or right half; returns the right half, a new node. */
static struct ps_extent_node *node_split(struct ps_extent_tree *tree, struct ps_extent_node *node,
                                         uint32_t index, struct ps_extent_pair pair,
                                         struct ps_extent_node *child)
{
	struct ps_extent_node *right = node_take(tree, node->level);
	uint32_t half = node->count / 2;
	right->count = node->count - half;
	entries_move(right, 0, node, half, right->count);
	node->count = half;
	if (node->level == 0)
		leaf_link_after(node, right);
	if (index <= half)
		entry_insert(node, index, pair, child);
	else
		entry_insert(right, index - half, pair, child);
	return right;
}

static void root_raise(struct ps_extent_tree *tree, struct ps_extent_node *right)
{
	struct ps_extent_node *root = node_take(tree, tree->height);
	root->count = 2;
	root->keys[0] = (struct ps_extent_pair){0, 0};
	root->keys[1] = right->keys[0];
	root->children[0] = tree->root;
	root->children[1] = right;
	tree->root = root;
	tree->height++;
	assert(tree->height < LEVELS_MOST);
}

/* Spares that an insert at the end of this path takes: one for each full node from the leaf up, and a root.
 */
static size_t nodes_to_split(const struct ps_extent_tree *tree, const struct path *path)
{
	uint32_t level = 0;
	while (level < tree->height && path->node[level]->count == node_most(path->node[level]))
		level++;
	return level == tree->height ? level + 1 : level;
}

static void insert_at(struct ps_extent_tree *tree, struct path *path, struct ps_extent_pair pair)
{
	struct ps_extent_node *child = NULL;
	tree->count++;
	for (uint32_t level = 0; level < tree->height; level++) {
		struct ps_extent_node *node = path->node[level];
		uint32_t index = path->index[level] + (level > 0);
		if (node->count < node_most(node)) {
			entry_insert(node, index, pair, child);
			return;
		}
		child = node_split(tree, node, index, pair, child);
		pair = child->keys[0];
	}
	root_raise(tree, child);
}

static int insert_first(struct ps_extent_tree *tree, struct ps_extent_pair pair)
{
	if (reserve_nodes(tree, 1) != PS_OK)
		return PS_ENOMEM;
	tree->root = node_take(tree, 0);
	tree->height = 1;
	tree->count = 1;
	entry_insert(tree->root, 0, pair, NULL);
	return PS_OK;
}

/* In the leaf of the last seek, where that has room and the pair lies inside of it: no separator hears of it.
 */
static bool insert_near(struct ps_extent_tree *tree, struct ps_extent_pair pair)
{
	struct ps_extent_node *leaf = near_leaf(tree, pair);
	if (!leaf || leaf->count == LEAF_MOST)
		return false;
	uint32_t index = pairs_below(leaf->pairs, leaf->count, pair);
	if (pair_equal(leaf->pairs[index], pair))
		return false;
	entry_insert(leaf, index, pair, NULL);
	tree->count++;
	return true;
}

int ps_extent_tree_insert(struct ps_extent_tree *tree, struct ps_extent_pair pair)
{
	struct path path;
	if (!tree->root)
		return insert_first(tree, pair);
	if (insert_near(tree, pair))
		return PS_OK;
	if (find_path(tree, pair, &path))
		return ps_fail(PS_EEXIST, "extent tree: a pair is there already");
	if (reserve_nodes(tree, nodes_to_split(tree, &path)) != PS_OK)
		return PS_ENOMEM;
	insert_at(tree, &path, pair);
	return PS_OK;
}

/* Moves entries between two neighbours until each has half. `key` is their separator in the parent. */
static void even_out(struct ps_extent_node *left, struct ps_extent_node *right, struct ps_extent_pair *key)
{
	uint32_t half = (left->count + right->count) / 2;
	if (left->count < half) {
		uint32_t n = half - left->count;
		entries_move(left, left->count, right, 0, n);
		entries_move(right, 0, right, n, right->count - n);
		left->count += n;
		right->count -= n;
	} else {
		uint32_t n = left->count - half;
		entries_move(right, n, right, 0, right->count);
		entries_move(right, 0, left, half, n);
		left->count -= n;
		right->count += n;
	}
	*key = right->keys[0];
}

/* Gives the underfull child at `index` entries of a neighbour, or merges the two. */
static void child_fill(struct ps_extent_tree *tree, struct ps_extent_node *parent, uint32_t index)
{
	uint32_t at = index > 0 ? index - 1 : 0;
	struct ps_extent_node *left = parent->children[at], *right = parent->children[at + 1];
	if (left->level)
		right->keys[0] = parent->keys[at + 1];
	if (left->count + right->count > (left->level ? INNER_MERGED : LEAF_MERGED)) {
		even_out(left, right, &parent->keys[at + 1]);
		return;
	}
	entries_move(left, left->count, right, 0, right->count);
	left->count += right->count;
	if (left->level == 0)
		leaf_unlink(right);
	entry_remove(parent, at + 1);
	node_drop(tree, right);
}

static void root_lower(struct ps_extent_tree *tree)
{
	struct ps_extent_node *root = tree->root;
	if (root->level ? root->count > 1 : root->count > 0)
		return;
	tree->root = root->level ? root->children[0] : NULL;
	tree->height--;
	node_drop(tree, root);
}

static void remove_at(struct ps_extent_tree *tree, struct path *path)
{
	tree->count--;
	entry_remove(path->node[0], path->index[0]);
	for (uint32_t level = 0; level + 1 < tree->height; level++) {
		if (path->node[level]->count >= (level ? INNER_LEAST : LEAF_LEAST))
			return;
		child_fill(tree, path->node[level + 1], path->index[level + 1]);
	}
	root_lower(tree);
}

/* Likewise, where the leaf stays full enough. */
static bool remove_near(struct ps_extent_tree *tree, struct ps_extent_pair pair)
{
	struct ps_extent_node *leaf = near_leaf(tree, pair);
	if (!leaf || leaf->count == LEAF_LEAST)
		return false;
	uint32_t index = pairs_below(leaf->pairs, leaf->count, pair);
	if (!pair_equal(leaf->pairs[index], pair))
		return false;
	entry_remove(leaf, index);
	tree->count--;
	return true;
}

int ps_extent_tree_remove(struct ps_extent_tree *tree, struct ps_extent_pair pair)
{
	struct path path;
	if (remove_near(tree, pair))
		return PS_OK;
	if (!tree->root || !find_path(tree, pair, &path))
		return ps_fail(PS_ENOTFOUND, "extent tree: no such pair");
	remove_at(tree, &path);
	return PS_OK;
}

/* The separator left of the leaf of the path, or right of it; NULL at the tree's edge. */
static struct ps_extent_pair *separator(const struct ps_extent_tree *tree, const struct path *path,
                                        bool right)
{
	for (uint32_t level = 1; level < tree->height; level++) {
		uint32_t index = path->index[level] + right;
		if (index > 0 && index < path->node[level]->count)
			return &path->node[level]->keys[index];
	}
	return NULL;
}

/* Overwrites the path's pair if the new one belongs to the same place of the order. Separators follow. */
static bool replace_in_place(struct ps_extent_tree *tree, struct path *path, struct ps_extent_pair pair)
{
	struct ps_extent_node *leaf = path->node[0];
	uint32_t index = path->index[0];
	struct ps_extent_cursor cursor = {leaf, index};
	const struct ps_extent_pair *before = ps_extent_cursor_previous(&cursor);
	if (before && !pair_less(*before, pair))
		return false;
	cursor = (struct ps_extent_cursor){leaf, index};
	const struct ps_extent_pair *after = ps_extent_cursor_next(&cursor);
	if (after && !pair_less(pair, *after))
		return false;
	struct ps_extent_pair *key;
	if (index == 0 && (key = separator(tree, path, false)) && pair_less(pair, *key))
		*key = pair;
	if (index + 1 == leaf->count && after && (key = separator(tree, path, true)) &&
	    !pair_less(pair, *key))
		*key = *after;
	leaf->pairs[index] = pair;
	return true;
}

/* Likewise, where both lie between the same neighbours. */
static bool replace_near(struct ps_extent_tree *tree, struct ps_extent_pair old_pair,
                         struct ps_extent_pair new_pair)
{
	struct ps_extent_node *leaf = near_leaf(tree, old_pair);
	if (!leaf)
		return false;
	uint32_t index = pairs_below(leaf->pairs, leaf->count, old_pair);
	if (!pair_equal(leaf->pairs[index], old_pair) || !pair_less(leaf->pairs[index - 1], new_pair) ||
	    !pair_less(new_pair, leaf->pairs[index + 1]))
		return false;
	leaf->pairs[index] = new_pair;
	return true;
}

int ps_extent_tree_replace(struct ps_extent_tree *tree, struct ps_extent_pair old_pair,
                           struct ps_extent_pair new_pair)
{
	struct path path;
	if (replace_near(tree, old_pair, new_pair))
		return PS_OK;
	if (!tree->root || !find_path(tree, old_pair, &path))
		return ps_fail(PS_ENOTFOUND, "extent tree: no such pair");
	if (replace_in_place(tree, &path, new_pair))
		return PS_OK;
	if (ps_extent_tree_contains(tree, new_pair))
		return ps_fail(PS_EEXIST, "extent tree: a pair is there already");
	if (ps_extent_tree_reserve(tree, 1, 0) != PS_OK)
		return PS_ENOMEM;
	remove_at(tree, &path);
	return ps_extent_tree_insert(tree, new_pair);
}

/* ---- loading ---- */

static size_t groups(size_t n, size_t each)
{
	return (n + each - 1) / each;
}

static size_t nodes_to_load(size_t n)
{
	size_t nodes = groups(n, LEAF_LOADED), total = nodes;
	while (nodes > 1) {
		nodes = groups(nodes, INNER_LOADED);
		total += nodes;
	}
	return total;
}

/* Spreads the pairs evenly over leaves; returns the first leaf. */
static struct ps_extent_node *load_leaves(struct ps_extent_tree *tree, const struct ps_extent_pair *pairs,
                                          size_t n)
{
	struct ps_extent_node *first = NULL, *last = NULL;
	for (size_t left = groups(n, LEAF_LOADED); left > 0; left--) {
		struct ps_extent_node *leaf = node_take(tree, 0);
		leaf->count = (uint32_t)(n / left);
		memcpy(leaf->pairs, pairs, leaf->count * sizeof(*pairs));
		pairs += leaf->count;
		n -= leaf->count;
		if (last)
			leaf_link_after(last, leaf);
		else
			first = leaf;
		last = leaf;
	}
	return first;
}

/* A level above a chain of n nodes (linked through `next`), itself so linked; returns its first node. */
static struct ps_extent_node *load_level(struct ps_extent_tree *tree, struct ps_extent_node *child, size_t n)
{
	struct ps_extent_node *first = NULL, *last = NULL;
	for (size_t left = groups(n, INNER_LOADED); left > 0; left--) {
		struct ps_extent_node *node = node_take(tree, child->level + 1);
		node->count = (uint32_t)(n / left);
		n -= node->count;
		for (uint32_t i = 0; i < node->count; i++) {
			struct ps_extent_node *next = child->next;
			node->children[i] = child;
			node->keys[i] = child->keys[0];
			if (child->level)
				child->next = NULL;
			child = next;
		}
		if (last)
			last->next = node;
		else
			first = node;
		last = node;
	}
	return first;
}

int ps_extent_tree_load(struct ps_extent_tree *tree, const struct ps_extent_pair *pairs, size_t n)
{
	assert(!tree->root);
	if (n == 0)
		return PS_OK;
	if (reserve_nodes(tree, nodes_to_load(n)) != PS_OK) {
		while (tree->spares > SPARES_MOST)
			node_free(tree, spare_pop(tree));
		return PS_ENOMEM;
	}
	size_t nodes = groups(n, LEAF_LOADED);
	tree->root = load_leaves(tree, pairs, n);
	tree->height = 1;
	for (; nodes > 1; nodes = groups(nodes, INNER_LOADED)) {
		tree->root = load_level(tree, tree->root, nodes);
		tree->height++;
	}
	tree->count = n;
	return PS_OK;
}
