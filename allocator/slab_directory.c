#include "allocator/slab_directory.h"

#include <inttypes.h>
#include <string.h>

#include "base/fail.h"

void ps_slab_directory_init(struct ps_slab_directory *d, struct ps_memory *memory, uint8_t slab_shift)
{
	*d = (struct ps_slab_directory){.memory = memory, .slab_shift = slab_shift};
}

static void drop_leaf(struct ps_slab_directory *d, size_t leaf)
{
	ps_memory_free(d->memory, d->leaves[leaf], sizeof(struct ps_directory_leaf));
	d->leaves[leaf] = NULL;
	d->bytes -= sizeof(struct ps_directory_leaf);
}

void ps_slab_directory_done(struct ps_slab_directory *d)
{
	for (size_t i = 0; i < d->size; i++) {
		if (d->leaves[i])
			drop_leaf(d, i);
	}
	ps_memory_free(d->memory, d->leaves, d->size * sizeof(struct ps_directory_leaf *));
	d->leaves = NULL;
	d->size = d->bytes = 0;
}

static int grow(struct ps_slab_directory *d, uint64_t leaf)
{
	size_t size = d->size ? d->size : 8;
	while (size <= leaf)
		size *= 2;
	struct ps_directory_leaf **leaves =
	    ps_memory_resize(d->memory, d->leaves, d->size * sizeof(struct ps_directory_leaf *),
	                     size * sizeof(struct ps_directory_leaf *));
	if (!leaves)
		return ps_fail(PS_ENOMEM, "slab directory: no memory for %zu leaves", size);
	memset(leaves + d->size, 0, (size - d->size) * sizeof(struct ps_directory_leaf *));
	d->bytes += (size - d->size) * sizeof(struct ps_directory_leaf *);
	d->leaves = leaves;
	d->size = size;
	return PS_OK;
}

int ps_slab_directory_reserve(struct ps_slab_directory *d, uint64_t offset, uint64_t count)
{
	uint64_t first = offset >> d->slab_shift >> PS_DIRECTORY_LEAF_SHIFT;
	uint64_t last = ((offset >> d->slab_shift) + count - 1) >> PS_DIRECTORY_LEAF_SHIFT;
	int err = last >= d->size ? grow(d, last) : PS_OK;
	for (uint64_t i = first; i <= last && err == PS_OK; i++) {
		if (d->leaves[i])
			continue;
		d->leaves[i] = ps_memory_zalloc(d->memory, sizeof(struct ps_directory_leaf));
		if (d->leaves[i])
			d->bytes += sizeof(struct ps_directory_leaf);
		else
			err = ps_fail(PS_ENOMEM, "slab directory: no memory for slabs at %" PRIu64, offset);
	}
	return err;
}

void ps_slab_directory_set(struct ps_slab_directory *d, struct ps_slab *slab, unsigned class)
{
	uint64_t index = slab->offset >> d->slab_shift;
	struct ps_directory_leaf *leaf = d->leaves[index >> PS_DIRECTORY_LEAF_SHIFT];
	leaf->slabs[index % PS_DIRECTORY_LEAF] = slab;
	leaf->classes[index % PS_DIRECTORY_LEAF] = (uint8_t) class;
	leaf->count++;
}

void ps_slab_directory_remove(struct ps_slab_directory *d, struct ps_slab *slab)
{
	uint64_t index = slab->offset >> d->slab_shift;
	size_t at = index >> PS_DIRECTORY_LEAF_SHIFT;
	d->leaves[at]->slabs[index % PS_DIRECTORY_LEAF] = NULL;
	d->leaves[at]->classes[index % PS_DIRECTORY_LEAF] = 0;
	if (--d->leaves[at]->count == 0)
		drop_leaf(d, at);
}

struct ps_slab *ps_slab_directory_from(const struct ps_slab_directory *d, uint64_t offset)
{
	uint64_t index = offset >> d->slab_shift;
	while (index >> PS_DIRECTORY_LEAF_SHIFT < d->size) {
		const struct ps_directory_leaf *leaf = d->leaves[index >> PS_DIRECTORY_LEAF_SHIFT];
		if (!leaf) {
			index = ((index >> PS_DIRECTORY_LEAF_SHIFT) + 1) << PS_DIRECTORY_LEAF_SHIFT;
			continue;
		}
		if (leaf->slabs[index % PS_DIRECTORY_LEAF])
			return leaf->slabs[index % PS_DIRECTORY_LEAF];
		index++;
	}
	return NULL;
}

bool ps_slab_directory_overlaps(const struct ps_slab_directory *d, struct ps_extent extent)
{
	uint64_t index = extent.offset >> d->slab_shift;
	uint64_t last = extent.len > 0 ? (extent.offset + (extent.len - 1)) >> d->slab_shift : index;
	while (index <= last && index >> PS_DIRECTORY_LEAF_SHIFT < d->size) {
		const struct ps_directory_leaf *leaf = d->leaves[index >> PS_DIRECTORY_LEAF_SHIFT];
		if (leaf && leaf->slabs[index % PS_DIRECTORY_LEAF])
			return true;
		index =
		    leaf ? index + 1 : ((index >> PS_DIRECTORY_LEAF_SHIFT) + 1) << PS_DIRECTORY_LEAF_SHIFT;
	}
	return false;
}
