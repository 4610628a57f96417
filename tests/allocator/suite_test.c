/* The suite over every allocator: a new one joins with one line. */
#include "allocator/omni.h"
#include "allocator/root.h"
#include "tests/allocator/suite.h"

static int open_root(struct ps_memory *memory, uint64_t space, struct suite_stack *stack)
{
	int err = ps_root_open(memory, &stack->a);
	return err == PS_OK ? ps_root_grow(stack->a, space) : err;
}

static int open_omni(struct ps_memory *memory, uint64_t space, const struct ps_class_options *options,
                     struct suite_stack *stack)
{
	struct ps_class_table table;
	int err = ps_class_table_make(options, &table);
	if (err == PS_OK)
		err = ps_root_open(memory, &stack->below);
	if (err == PS_OK)
		err = ps_root_grow(stack->below, space);
	return err == PS_OK ? ps_omni_open(memory, stack->below, &table, &stack->a) : err;
}

/* One class: all else is the root's. */
static int open_block(struct ps_memory *memory, uint64_t space, struct suite_stack *stack)
{
	static const uint32_t sizes[] = {160};
	return open_omni(memory, space,
	                 &(struct ps_class_options){.slab_bytes = 16384, .sizes = sizes, .count = 1}, stack);
}

static int open_default(struct ps_memory *memory, uint64_t space, struct suite_stack *stack)
{
	return open_omni(memory, space, &(struct ps_class_options){.slab_bytes = 8192}, stack);
}

static int open_tiny(struct ps_memory *memory, uint64_t space, struct suite_stack *stack)
{
	return open_omni(memory, space, &(struct ps_class_options){.slab_bytes = 4096}, stack);
}

static int open_custom(struct ps_memory *memory, uint64_t space, struct suite_stack *stack)
{
	static const uint32_t sizes[] = {16, 112, 480, 2000, 5008, 8192, 12288};
	return open_omni(memory, space,
	                 &(struct ps_class_options){.slab_bytes = 32768, .sizes = sizes, .count = 7}, stack);
}

static int open_none(struct ps_memory *memory, uint64_t space, struct suite_stack *stack)
{
	return open_omni(memory, space, &(struct ps_class_options){.block_limit = 1, .page_limit = 1}, stack);
}

int main(void)
{
	static const struct suite_kind kinds[] = {
	    {"root", open_root},
	    {"block: one class", open_block},
	    {"omni: slabs of two pages", open_default},
	    {"omni: slabs of a page", open_tiny},
	    {"omni: a list of classes", open_custom},
	    {"omni: no classes", open_none},
	};
	int failed = 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		failed += suite_run(&kinds[i]);
	return failed;
}
