/* An ordered set of pairs of numbers: a B+ tree with nodes of 512 bytes, its leaves linked both ways.
 *
 * Not thread-safe. Pointers and cursors that it hands out are valid until the next change. A change either
 * succeeds or leaves the set as it was; ps_extent_tree_reserve lets a caller that changes several trees get
 * all memory first. */
#ifndef PS_EXTENT_TREE_H
#define PS_EXTENT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"

struct ps_extent_pair {
	uint64_t first, second;
};

struct ps_extent_node;

struct ps_extent_tree {
	struct ps_memory *memory;
	struct ps_extent_node *root; /* NULL: the set is empty */
	struct ps_extent_node
	    *near; /* the leaf that a seek last came to: what it found is mostly changed next; NULL */
	struct ps_extent_node *spare; /* linked through `next` */
	uint64_t count;
	size_t nodes, spares; /* in the tree, in the spare list */
	uint32_t height;      /* levels, 0 for the empty set */
};

/* Between two pairs, or before the first, or behind the last. */
struct ps_extent_cursor {
	const struct ps_extent_node *leaf;
	uint32_t index;
};

void ps_extent_tree_init(struct ps_extent_tree *tree, struct ps_memory *memory);
void ps_extent_tree_done(struct ps_extent_tree *tree);

/* Whether the spares suffice for this many inserts or replaces, whatever nodes they split. */
bool ps_extent_tree_can_insert(const struct ps_extent_tree *tree, unsigned inserts);
/* Gets spares for so many inserts or replaces, and `extra` nodes. PS_ENOMEM: the tree is as it was (what
 * could be had stays in the spare list). */
PS_CHECKED int ps_extent_tree_reserve(struct ps_extent_tree *tree, unsigned inserts, unsigned extra);
/* The same for who can do without: no sentence. */
bool ps_extent_tree_try_reserve(struct ps_extent_tree *tree, unsigned inserts, unsigned extra);

/* PS_EEXIST, PS_ENOMEM. */
PS_CHECKED int ps_extent_tree_insert(struct ps_extent_tree *tree, struct ps_extent_pair pair);
/* PS_ENOTFOUND. Takes no memory; nodes that it empties become spares. */
PS_CHECKED int ps_extent_tree_remove(struct ps_extent_tree *tree, struct ps_extent_pair pair);
/* A remove and an insert. In place and without memory where no other pair lies between the two.
 * PS_ENOTFOUND, PS_EEXIST, PS_ENOMEM. */
PS_CHECKED int ps_extent_tree_replace(struct ps_extent_tree *tree, struct ps_extent_pair old_pair,
                                      struct ps_extent_pair new_pair);
/* Fills an empty tree from n pairs in ascending order, each once. PS_ENOMEM: the tree is still empty. */
PS_CHECKED int ps_extent_tree_load(struct ps_extent_tree *tree, const struct ps_extent_pair *pairs, size_t n);

bool ps_extent_tree_contains(const struct ps_extent_tree *tree, struct ps_extent_pair pair);
/* The lowest pair that is not below `pair`, and the cursor at it; NULL, and the cursor behind the last, if
 * all are. */
const struct ps_extent_pair *ps_extent_tree_seek(struct ps_extent_tree *tree, struct ps_extent_pair pair,
                                                 struct ps_extent_cursor *cursor);
/* One step up or down from the cursor's pair, and the pair there; NULL, and the cursor unmoved, at the end.
 */
const struct ps_extent_pair *ps_extent_cursor_next(struct ps_extent_cursor *cursor);
const struct ps_extent_pair *ps_extent_cursor_previous(struct ps_extent_cursor *cursor);
/* NULL if the set is empty. */
const struct ps_extent_pair *ps_extent_tree_last(const struct ps_extent_tree *tree);

/* In ascending order; fn changes nothing, and ends the walk by returning non-zero, which is then the result.
 */
typedef int (*ps_extent_pair_fn)(void *arg, struct ps_extent_pair pair);
int ps_extent_tree_walk(const struct ps_extent_tree *tree, ps_extent_pair_fn fn, void *arg);

/* Order, fill, levels, links and counts of every node. PS_ECORRUPT with a sentence. */
PS_CHECKED int ps_extent_tree_check(const struct ps_extent_tree *tree);
size_t ps_extent_tree_memory(const struct ps_extent_tree *tree);

#endif
