/* Proves an extent tree: order, fill, levels, links and counts of every node. */
#include "allocator/extent_node.h"
#include "base/fail.h"

struct check {
	const struct ps_extent_tree *tree;
	const struct ps_extent_node *leaf; /* the last one seen */
	struct ps_extent_pair last;        /* the last pair seen, if count > 0 */
	uint64_t count;
	size_t nodes;
};

static int damaged(const char *what)
{
	return ps_fail(PS_ECORRUPT, "extent tree: %s", what);
}

static int check_leaf(struct check *check, const struct ps_extent_node *leaf)
{
	if (leaf->previous != check->leaf || (check->leaf && check->leaf->next != leaf))
		return damaged("a leaf is not linked to its neighbour");
	check->leaf = leaf;
	for (uint32_t i = 0; i < leaf->count; i++) {
		if (check->count > 0 && !pair_less(check->last, leaf->pairs[i]))
			return damaged("pairs are not in order");
		check->last = leaf->pairs[i];
		check->count++;
	}
	return PS_OK;
}

static int check_fill(const struct check *check, const struct ps_extent_node *node)
{
	uint32_t least = node->level ? INNER_LEAST : LEAF_LEAST;
	if (node == check->tree->root)
		least = node->level ? 2 : 1;
	if (node->count < least || node->count > node_most(node))
		return damaged("a node has too few or too many entries");
	return PS_OK;
}

/* `last` is above every key to the left when a separator is met, and the leaf's first pair is not below it.
 */
static int check_node(struct check *check, const struct ps_extent_node *node, uint32_t level)
{
	int err = check_fill(check, node);
	if (err != PS_OK)
		return err;
	check->nodes++;
	if (node->level != level)
		return damaged("a node stands at the wrong level");
	if (level == 0)
		return check_leaf(check, node);
	for (uint32_t i = 0; i < node->count && err == PS_OK; i++) {
		if (i > 0 && !pair_less(check->last, node->keys[i]))
			return damaged("a separator is not above the pairs to its left");
		if (i > 0) {
			const struct ps_extent_node *first = node->children[i];
			while (first->level)
				first = first->children[0];
			if (pair_less(first->pairs[0], node->keys[i]))
				return damaged("a separator is above a pair to its right");
		}
		err = check_node(check, node->children[i], level - 1);
	}
	return err;
}

int ps_extent_tree_check(const struct ps_extent_tree *tree)
{
	struct check check = {.tree = tree};
	size_t spares = 0;
	for (const struct ps_extent_node *node = tree->spare; node; node = node->next)
		spares++;
	if (spares != tree->spares)
		return damaged("spare nodes are miscounted");
	if (!tree->root != (tree->height == 0))
		return damaged("the height is wrong");
	int err = tree->root ? check_node(&check, tree->root, tree->height - 1) : PS_OK;
	if (err != PS_OK)
		return err;
	if (check.count != tree->count || check.nodes != tree->nodes)
		return damaged("pairs or nodes are miscounted");
	if (check.leaf && check.leaf->next)
		return damaged("the last leaf has a neighbour");
	return PS_OK;
}
