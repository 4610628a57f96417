/* A node of the extent tree: for the tree and its check only. */
#ifndef PS_EXTENT_NODE_H
#define PS_EXTENT_NODE_H

#include <assert.h>

#include "allocator/extent_tree.h"

/* Nodes but the root are at least a third full. Two neighbours are merged only up to three quarters, so that
 * the next insert does not split again what a remove has just merged; otherwise they are evened out. */
enum {
	LEAF_MOST = 30, /* 30 pairs of 16 bytes are 480 bytes, as are 20 pairs and 20 children */
	LEAF_LEAST = 10,
	LEAF_MERGED = 22,
	LEAF_LOADED = 24,
	INNER_MOST = 20,
	INNER_LEAST = 6,
	INNER_MERGED = 15,
	INNER_LOADED = 16,
	LEVELS_MOST = 24, /* 10 * 6^23 pairs at least: more than there are */
	SPARES_MOST = 40, /* what lies unused beyond this goes back */
};

/* keys[i] of an inner node is at most every pair below children[i], and above every pair below children[i -
 * 1]. keys[0] is written only while nodes are split, merged or evened out; a search never looks at it. */
struct ps_extent_node {
	uint32_t count;
	uint32_t level;                         /* 0: a leaf */
	struct ps_extent_node *next, *previous; /* of leaves; `next` of spares */
	union {
		struct ps_extent_pair pairs[LEAF_MOST];
		struct {
			struct ps_extent_pair keys[INNER_MOST];
			struct ps_extent_node *children[INNER_MOST];
		};
	};
};
static_assert(sizeof(struct ps_extent_node) <= 512, "a node is at most 512 bytes");

static inline bool pair_less(struct ps_extent_pair a, struct ps_extent_pair b)
{
	__extension__ typedef unsigned __int128 wide;
	return (((wide)a.first << 64) | a.second) < (((wide)b.first << 64) | b.second);
}

static inline uint32_t node_most(const struct ps_extent_node *node)
{
	return node->level ? INNER_MOST : LEAF_MOST;
}

#endif
