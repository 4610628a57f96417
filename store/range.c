/* Parts of objects: write_at and resize build the whole new object from the old one, copying only what must be. */
#include <sys/param.h>

#include "store/base_internal.h"

struct range {
	struct store *s;
	struct change *c;
	const struct entry *base;
	const uint8_t *bytes; /* of a base without a place, or NULL */
	uint64_t new_size, off, len;
	const uint8_t *data;
};

static int read_base(const struct range *r, uint64_t off, uint8_t *buf, uint64_t len)
{
	uint64_t size = entry_size(r->base), there = off < size ? MIN(len, size - off) : 0;
	memset(buf + there, 0, len - there);
	if (!there)
		return PS_OK;
	if (r->bytes && entry_kind(r->base) == ENTRY_DATA) {
		memcpy(buf, r->bytes + off, there);
		return PS_OK;
	}
	return object_read(r->s, r->c->id, r->base, off, buf, there, USE_ONCE);
}

static int give_one(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	(void)chunk;
	const struct range *r = arg;
	(void)blob;
	return extent_list_add(r->s, &r->c->given, extent);
}

static int small_result(struct range *r)
{
	struct change *c = r->c;
	uint8_t *buffer = ps_memory_alloc(&r->s->memory, r->new_size);
	if (!buffer)
		return ps_fail(PS_ENOMEM, "%s: no memory for %llu bytes", r->s->path, (unsigned long long)r->new_size);
	int err = r->len == r->new_size ? PS_OK : read_base(r, 0, buffer, r->new_size);
	if (!err && r->len)
		memcpy(buffer + r->off, r->data, r->len);
	if (!err && entry_kind(r->base) == ENTRY_MAP)
		err = map_extents(r->s, c->id, r->base, give_one, r);
	if (err) {
		ps_memory_free(&r->s->memory, buffer, r->new_size);
		return err;
	}
	ps_memory_free(&r->s->memory, c->copy, c->copy_size);
	c->copy = buffer;
	c->copy_size = (uint32_t)r->new_size;
	return change_contents(r->s, c, buffer, r->new_size);
}

/* One chunk, from what it was and what is written over it. */
static int patch_chunk(struct range *r, struct map_writer *m, uint64_t index)
{
	uint64_t from = index * CHUNK, end = MIN(from + CHUNK, r->new_size);
	uint64_t write_from = MAX(r->off, from), write_to = MIN(r->off + r->len, end);
	uint8_t *chunk = ps_memory_alloc(&r->s->memory, CHUNK);
	if (!chunk)
		return ps_fail(PS_ENOMEM, "%s: no memory for a chunk", r->s->path);
	int err = read_base(r, from, chunk, end - from);
	if (!err && write_from < write_to)
		memcpy(chunk + (write_from - from), r->data + (write_from - r->off), write_to - write_from);
	/* What it was has just been brought in: the next part of it finds it there. */
	bool keep = r->c->keep;
	r->c->keep = true;
	if (!err)
		err = map_write_chunks(m, index, chunk, end - from);
	r->c->keep = keep;
	ps_memory_free(&r->s->memory, chunk, CHUNK);
	return err;
}

/* Whole chunks go from the caller's memory to disk as they are. */
static int write_range(struct range *r, struct map_writer *m)
{
	uint64_t at = r->off, end = r->off + r->len;
	int err = PS_OK;
	while (at < end && !err) {
		uint64_t index = at / CHUNK, whole = (end - at) & ~(uint64_t)(CHUNK - 1);
		if (at % CHUNK == 0 && whole) {
			err = map_write_chunks(m, index, r->data + (at - r->off), whole);
			at += whole;
		} else {
			err = patch_chunk(r, m, index);
			at = (index + 1) * CHUNK;
		}
	}
	return err;
}

static bool touches(const struct range *r, uint64_t index)
{
	return r->len && r->off / CHUNK <= index && index <= (r->off + r->len - 1) / CHUNK;
}

/* The last chunk of a shorter object, where it holds bytes past the new end. */
static int cut_last_chunk(struct range *r, struct map_writer *m)
{
	struct map_chunk chunk;
	uint64_t last = (r->new_size - 1) / CHUNK;
	if (entry_kind(r->base) != ENTRY_MAP || r->new_size >= entry_size(r->base))
		return PS_OK;
	int err = map_lookup(r->s, r->c->id, r->base, last, &chunk);
	if (err || chunk.len <= r->new_size - last * CHUNK)
		return err;
	return patch_chunk(r, m, last);
}

static int large_result(struct range *r)
{
	struct map_writer m;
	bool has_bytes = entry_kind(r->base) == ENTRY_DATA || entry_kind(r->base) == ENTRY_AWAY;
	r->c->stream = r->len > r->s->budget / 8;
	change_keep_resident(r->s, r->c, r->base, r->off / CHUNK);
	map_writer_init(&m, r->s, r->c, r->base);
	int err = has_bytes && !touches(r, 0) ? patch_chunk(r, &m, 0) : PS_OK;
	if (!err)
		err = r->len ? write_range(r, &m) : cut_last_chunk(r, &m);
	if (!err)
		err = map_writer_finish(&m, r->new_size);
	map_writer_done(&m);
	return err;
}

int change_range(struct store *s, struct change *c, const struct entry *base, const uint8_t *bytes, uint64_t new_size,
		 uint64_t off, const uint8_t *data, uint64_t len)
{
	struct range r = {s, c, base, bytes, new_size, off, len, data};
	bool zeros = entry_kind(base) == ENTRY_ZERO && !len;
	c->bytes = NULL;
	c->nbytes = 0;
	if (!new_size || zeros) {
		c->entry = entry_make(ENTRY_ZERO, 0, new_size, 0, 0, id_generation(c->id));
		return entry_kind(base) == ENTRY_MAP ? map_extents(s, c->id, base, give_one, &r) : PS_OK;
	}
	return new_size <= CHUNK ? small_result(&r) : large_result(&r);
}
