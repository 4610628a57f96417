/* Counted buffers on page boundaries. */
#include "remote/network.h"

enum { BUFFER_ALIGNMENT = 4096 };

/* The struct lies in the page before the bytes: any allocator will do, and one block is one buffer. */
struct block {
	struct ps_net_buffer buffer;
	void *start;
	size_t bytes;
};

_Static_assert(sizeof(struct block) <= BUFFER_ALIGNMENT, "it fits in front of the bytes");

struct ps_net_buffer *ps_net_buffer_new(struct ps_memory *memory, size_t capacity)
{
	if (capacity > SIZE_MAX - 2 * BUFFER_ALIGNMENT)
		return NULL;
	size_t bytes = sizeof(struct block) + BUFFER_ALIGNMENT - 1 + capacity;
	uint8_t *start = ps_memory_alloc(memory, bytes);
	if (!start)
		return NULL;
	uintptr_t first = (uintptr_t)start + sizeof(struct block) + BUFFER_ALIGNMENT - 1;
	uint8_t *contents = start + ((first & ~(uintptr_t)(BUFFER_ALIGNMENT - 1)) - (uintptr_t)start);
	struct block *block = (struct block *)(void *)(contents - sizeof(struct block));
	*block = (struct block){.buffer = {.memory = memory, .capacity = capacity, .bytes = contents},
	                        .start = start,
	                        .bytes = bytes};
	atomic_init(&block->buffer.references, 1);
	return &block->buffer;
}

struct ps_net_buffer *ps_net_buffer_hold(struct ps_net_buffer *buffer)
{
	if (buffer)
		atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
	return buffer;
}

void ps_net_buffer_release(struct ps_net_buffer *buffer)
{
	if (!buffer || atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) != 1)
		return;
	struct block *block = (struct block *)(void *)buffer;
	ps_memory_free(buffer->memory, block->start, block->bytes);
}
