#include "store/memory_contents.h"

#include <string.h>

#include "base/fail.h"

static inline uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void chunk_release(struct contents_pool *pool, struct contents_chunk *chunk)
{
	if (atomic_fetch_sub_explicit(&chunk->references, 1, memory_order_acq_rel) != 1)
		return;
	atomic_fetch_sub_explicit(&pool->bytes, chunk->len, memory_order_relaxed);
	ps_memory_free(&pool->memory, chunk, sizeof(*chunk) + chunk->len);
}

/* A chunk of `len` bytes: the first of `old` (may be NULL), then zeros. */
static int chunk_new(struct contents_pool *pool, const struct contents_chunk *old, size_t len,
                     struct contents_chunk **out)
{
	uint64_t used = atomic_fetch_add_explicit(&pool->bytes, len, memory_order_relaxed) + len;
	if (pool->budget && used > pool->budget) {
		atomic_fetch_sub_explicit(&pool->bytes, len, memory_order_relaxed);
		return ps_fail(PS_ENOSPC, "memory store: %llu bytes are over its budget of %llu",
		               (unsigned long long)used, (unsigned long long)pool->budget);
	}
	struct contents_chunk *chunk = ps_memory_alloc(&pool->memory, sizeof(*chunk) + len);
	if (!chunk) {
		atomic_fetch_sub_explicit(&pool->bytes, len, memory_order_relaxed);
		return ps_fail(PS_ENOMEM, "memory store: no memory for %zu bytes", len);
	}
	size_t kept = !old ? 0 : old->len < len ? old->len : len;
	atomic_init(&chunk->references, 1);
	chunk->len = (uint32_t)len;
	if (kept)
		memcpy(chunk->bytes, old->bytes, kept);
	memset(chunk->bytes + kept, 0, len - kept);
	*out = chunk;
	return PS_OK;
}

static int contents_new(struct contents_pool *pool, uint64_t size, size_t capacity, struct contents **out)
{
	size_t bytes;
	struct contents *c = NULL;
	if (!__builtin_mul_overflow(capacity, sizeof(c->pieces[0]), &bytes) &&
	    !__builtin_add_overflow(bytes, sizeof(*c), &bytes))
		c = ps_memory_alloc(&pool->memory, bytes);
	if (!c)
		return ps_fail(PS_ENOMEM, "memory store: no memory for an object of %llu bytes",
		               (unsigned long long)size);
	atomic_init(&c->references, 1);
	c->size = size;
	c->capacity = capacity;
	c->count = 0;
	*out = c;
	return PS_OK;
}

struct contents *contents_hold(struct contents *c)
{
	atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
	return c;
}

void contents_release(struct contents_pool *pool, struct contents *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < c->count; i++)
		chunk_release(pool, c->pieces[i].chunk);
	ps_memory_free(&pool->memory, c, sizeof(*c) + c->capacity * sizeof(c->pieces[0]));
}

/* The first piece of chunk `index` or a later one. */
static size_t piece_from(const struct contents *c, uint64_t index)
{
	size_t low = 0, high = c->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (c->pieces[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void share_piece(struct contents *c, const struct contents_piece *piece)
{
	atomic_fetch_add_explicit(&piece->chunk->references, 1, memory_order_relaxed);
	c->pieces[c->count++] = *piece;
}

/* Appends chunk `index` with the old one's bytes under the part of [off, off + len) that lies in it. */
static int add_written_chunk(struct contents_pool *pool, struct contents *c, uint64_t index,
                             const struct contents_chunk *old, uint64_t off, const unsigned char *data,
                             size_t len)
{
	uint64_t start = index * CONTENTS_CHUNK;
	uint64_t from = off > start ? off - start : 0;
	uint64_t to = min64(off + len - start, CONTENTS_CHUNK);
	size_t chunk_len = old && old->len > to ? old->len : (size_t)to;
	struct contents_chunk *chunk;
	int err = chunk_new(pool, old, chunk_len, &chunk);
	if (err)
		return err;
	memcpy(chunk->bytes + from, data + (start + from - off), to - from);
	c->pieces[c->count++] = (struct contents_piece){index, chunk};
	return PS_OK;
}

/* Shares what lies before and after the written chunks, and makes those anew. */
static int merge_written(struct contents_pool *pool, const struct contents *old, uint64_t off,
                         const void *data, size_t len, struct contents *c)
{
	uint64_t first = off / CONTENTS_CHUNK, last = (off + len - 1) / CONTENTS_CHUNK;
	size_t next = 0;
	while (next < old->count && old->pieces[next].index < first)
		share_piece(c, &old->pieces[next++]);
	for (uint64_t index = first; index <= last; index++) {
		const struct contents_chunk *under = NULL;
		if (next < old->count && old->pieces[next].index == index)
			under = old->pieces[next++].chunk;
		int err = add_written_chunk(pool, c, index, under, off, data, len);
		if (err)
			return err;
	}
	while (next < old->count)
		share_piece(c, &old->pieces[next++]);
	return PS_OK;
}

int contents_write(struct contents_pool *pool, const struct contents *old, uint64_t off, const void *data,
                   size_t len, struct contents **out)
{
	uint64_t size = old->size;
	if (len == 0)
		return contents_resize(pool, old, size, out);
	if (off + len > size)
		size = off + len;
	struct contents *c = NULL;
	int err = contents_new(pool, size, old->count + len / CONTENTS_CHUNK + 2, &c);
	if (err)
		return err;
	err = merge_written(pool, old, off, data, len, c);
	if (err) {
		contents_release(pool, c);
		return err;
	}
	*out = c;
	return PS_OK;
}

int contents_zero(struct contents_pool *pool, uint64_t size, struct contents **out)
{
	return contents_new(pool, size, 0, out);
}

int contents_copy(struct contents_pool *pool, const void *data, size_t len, struct contents **out)
{
	static const struct contents nothing;
	return contents_write(pool, &nothing, 0, data, len, out);
}

int contents_resize(struct contents_pool *pool, const struct contents *old, uint64_t size,
                    struct contents **out)
{
	size_t whole = piece_from(old, size / CONTENTS_CHUNK);
	size_t rest = (size_t)(size % CONTENTS_CHUNK);
	struct contents *c = NULL;
	int err = contents_new(pool, size, size < old->size ? whole + 1 : old->count, &c);
	if (err)
		return err;
	if (size >= old->size)
		whole = old->count;
	for (size_t i = 0; i < whole; i++)
		share_piece(c, &old->pieces[i]);
	/* What is cut off must be zeros should the object grow again, so the last chunk is cut, too. */
	if (whole < old->count && rest && old->pieces[whole].index == size / CONTENTS_CHUNK) {
		const struct contents_chunk *under = old->pieces[whole].chunk;
		struct contents_piece piece = {size / CONTENTS_CHUNK, NULL};
		err = chunk_new(pool, under, under->len < rest ? under->len : rest, &piece.chunk);
		if (err) {
			contents_release(pool, c);
			return err;
		}
		c->pieces[c->count++] = piece;
	}
	*out = c;
	return PS_OK;
}

size_t contents_read(const struct contents *c, uint64_t off, void *buf, size_t len)
{
	if (off >= c->size || len == 0)
		return 0;
	len = (size_t)min64(len, c->size - off);
	/* Each chunk's bytes are laid over zeros only where it has none, so that nothing is written twice. */
	unsigned char *to = buf;
	size_t done = 0;
	for (size_t i = piece_from(c, off / CONTENTS_CHUNK); i < c->count; i++) {
		uint64_t start = c->pieces[i].index * CONTENTS_CHUNK;
		if (start >= off + len)
			break;
		uint64_t from = start > off + done ? start : off + done;
		uint64_t end = min64(start + c->pieces[i].chunk->len, off + len);
		if (end <= from)
			continue;
		memset(to + done, 0, from - off - done);
		memcpy(to + (from - off), c->pieces[i].chunk->bytes + (from - start), end - from);
		done = (size_t)(end - off);
	}
	memset(to + done, 0, len - done);
	return len;
}

uint64_t contents_allocated(const struct contents *c)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < c->count; i++)
		bytes += c->pieces[i].chunk->len;
	return bytes;
}
