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

void prefetch_blob(struct prefetch *p, const struct blob *b, ps_id id)
{
	struct prefetch_load *load = &p->load[p->count];
	if (!pool_load_start(&p->s->pool, b, &load->frame))
		return;
	load->blob = *b;
	load->id = id;
	sort_in(p, p->count);
	if (++p->count == PREFETCH_MAX)
		prefetch_wait(p);
}

/* Address space goes on within a region only. */
static bool joins(const struct pool *pool, const struct ps_io_request *r, const struct ps_extent *next)
{
	return r->offset + r->len == next->offset && r->len + next->len <= JOINED_BYTES &&
	       r->offset >> pool->region_shift == next->offset >> pool->region_shift;
}

/* One read of the first of these loads, and of as many behind it as are its neighbours: how many. */
static unsigned join(const struct prefetch *p, const uint8_t *order, unsigned n, struct ps_io_request *r)
{
	struct pool *pool = &p->s->pool;
	const struct ps_extent *frame = &p->load[order[0]].frame;
	unsigned joined = 1;
	*r = (struct ps_io_request){.op = PS_IO_READ,
	                            .offset = frame->offset,
	                            .data = pool_address(pool, frame->offset),
	                            .len = frame->len};
	for (; joined < n && joins(pool, r, &p->load[order[joined]].frame); joined++)
		r->len += p->load[order[joined]].frame.len;
	return joined;
}

static void finish(struct prefetch *p, struct ps_io_request *r, const uint8_t *order, unsigned n)
{
	struct ps_io *io = p->s->io;
	int err = io->ops->wait(io, r);
	for (unsigned i = 0; i < n; i++) {
		const struct prefetch_load *load = &p->load[order[i]];
		pool_load_finish(&p->s->pool, &load->blob, load->id, &load->frame, err);
	}
}

void prefetch_wait(struct prefetch *p)
{
	struct ps_io_request requests[PREFETCH_MAX], *list[PREFETCH_MAX];
	unsigned joined[PREFETCH_MAX], n = 0;
	struct ps_io *io = p->s->io;
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
