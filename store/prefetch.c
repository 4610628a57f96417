/* Cold reads in flight together. Frames lie in memory as they lie in the file, so those that are neighbours
 * there come in one read. */
#include <sys/param.h>

#include "store/base_internal.h"

/* Of one read: what comes behind it on a busy disk waits for all of it. */
enum { JOINED_BYTES = 256 << 10 };
static_assert(PREFETCH_MAX - 1 <= UINT8_MAX, "the number of a load");

static void sort_in(struct prefetch *p, unsigned i)
{
	unsigned at = i;
	for (; at > 0 && p->load[p->order[at - 1]].frame.offset > p->load[i].frame.offset; at--)
		p->order[at] = p->order[at - 1];
	p->order[at] = (uint8_t)i;
}

static int add(struct prefetch *p, const struct blob *b, ps_id id, const struct ps_extent *frame)
{
	unsigned i = p->count++;
	p->load[i] = (struct prefetch_load){.blob = *b, .id = id, .frame = *frame};
	sort_in(p, i);
	return (int)i;
}

void prefetch_blob(struct prefetch *p, const struct blob *b, ps_id id)
{
	struct ps_extent frame;
	if (!pool_load_start(&p->s->pool, b, &frame))
		return;
	(void)add(p, b, id, &frame);
	if (p->count == PREFETCH_MAX)
		prefetch_wait(p);
}

/* Objects that share a frame mostly come one after another. */
static int find_frame(const struct prefetch *p, uint64_t place)
{
	for (unsigned i = p->count; i-- > 0;) {
		if (p->load[i].frame.offset == place)
			return (int)i;
	}
	return PREFETCH_NONE;
}

int prefetch_aside(struct prefetch *p, const struct blob *b, ps_id id)
{
	struct pool *pool = &p->s->pool;
	struct ps_extent frame;
	int shared = b->len < PAGE ? find_frame(p, blob_frame(pool, b)) : PREFETCH_NONE;
	if (shared >= 0)
		return shared;
	if (p->count == PREFETCH_MAX)
		return PREFETCH_FULL;
	if (!pool_lock_cold(pool, b, &frame))
		return PREFETCH_NONE;
	if (frame.len > p->size - p->used) {
		pool_unlock_cold(pool, &frame);
		return PREFETCH_FULL;
	}
	p->used += frame.len;
	return add(p, b, id, &frame);
}

/* Address space goes on within a region only. */
static bool joins(const struct pool *pool, const struct ps_io_request *r, const struct ps_extent *next)
{
	return r->offset + r->len == next->offset && r->len + next->len <= JOINED_BYTES &&
	       r->offset >> pool->region_shift == next->offset >> pool->region_shift;
}

static uint8_t *bytes_of(const struct prefetch *p, const struct prefetch_load *load)
{
	return p->buffer ? load->bytes : pool_address(&p->s->pool, load->frame.offset);
}

/* Neighbours in the file are neighbours in the buffer. */
static void place_in_buffer(struct prefetch *p)
{
	uint8_t *to = p->buffer;
	for (unsigned i = 0; i < p->count; i++) {
		struct prefetch_load *load = &p->load[p->order[i]];
		load->bytes = to;
		to += load->frame.len;
	}
}

/* One read of the first of these loads, and of as many behind it as are its neighbours: how many. */
static unsigned join(const struct prefetch *p, const uint8_t *order, unsigned n, struct ps_io_request *r)
{
	const struct prefetch_load *first = &p->load[order[0]];
	unsigned joined = 1;
	*r = (struct ps_io_request){.op = PS_IO_READ,
	                            .offset = first->frame.offset,
	                            .data = bytes_of(p, first),
	                            .len = first->frame.len};
	for (; joined < n && joins(&p->s->pool, r, &p->load[order[joined]].frame); joined++)
		r->len += p->load[order[joined]].frame.len;
	return joined;
}

static void finish_load(struct prefetch *p, struct prefetch_load *load, int err)
{
	if (!p->buffer) {
		pool_load_finish(&p->s->pool, &load->blob, load->id, &load->frame, err);
		return;
	}
	pool_unlock_cold(&p->s->pool, &load->frame);
	if (err)
		load->bytes = NULL;
}

static void finish(struct prefetch *p, struct ps_io_request *r, const uint8_t *order, unsigned n)
{
	struct ps_io *io = p->s->io;
	int err = io->ops->wait(io, r);
	for (unsigned i = 0; i < n; i++)
		finish_load(p, &p->load[order[i]], err);
}

void prefetch_wait(struct prefetch *p)
{
	struct ps_io_request requests[PREFETCH_MAX], *list[PREFETCH_MAX];
	unsigned joined[PREFETCH_MAX], n = 0;
	struct ps_io *io = p->s->io;
	if (p->buffer)
		place_in_buffer(p);
	for (unsigned at = 0; at < p->count; at += joined[n++]) {
		joined[n] = join(p, p->order + at, p->count - at, &requests[n]);
		list[n] = &requests[n];
	}
	if (n > 0)
		io->ops->submit(io, list, n);
	for (unsigned i = 0, at = 0; i < n; at += joined[i++])
		finish(p, &requests[i], p->order + at, joined[i]);
	p->count = 0;
}

/* All of them before the first is begun: the map may need memory, and what it has to wait for must not wait
 * for a load of ours. */
static size_t find_chunks(struct store *s, ps_id id, const struct entry *e, uint64_t first, uint64_t last,
                          struct blob *chunks)
{
	size_t n = 0;
	for (uint64_t i = first; i <= last; i++) {
		struct map_chunk c;
		if (map_lookup(s, id, e, i, &c) != PS_OK)
			break;
		if (c.place)
			chunks[n++] = (struct blob){c.place, c.len, seed_chunk(id, i), c.checksum, 0};
	}
	return n;
}

/* The chunks of a range, as far as a quarter of the budget goes: more would push out what was just read. */
void prefetch_chunks(struct store *s, ps_id id, const struct entry *e, uint64_t off, size_t len)
{
	struct prefetch p;
	struct blob chunks[PREFETCH_CHUNKS + 1];
	uint64_t first = off / CHUNK, last = (off + len - 1) / CHUNK;
	last = MIN(last, first + MIN((uint64_t)PREFETCH_CHUNKS, s->budget / 4 / CHUNK));
	if (first == last)
		return;
	prefetch_begin(&p, s);
	size_t n = find_chunks(s, id, e, first, last, chunks);
	for (size_t i = 0; i < n; i++)
		prefetch_blob(&p, &chunks[i], id);
	prefetch_wait(&p);
}
