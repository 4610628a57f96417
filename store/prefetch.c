/* Cold reads in flight together. */
#include <sys/param.h>

#include "store/base_internal.h"

void prefetch_blob(struct prefetch *p, const struct blob *b, ps_id id)
{
	struct ps_io *io = p->s->io;
	struct ps_io_request *request = &p->request[p->count];
	if (!pool_load_start(&p->s->pool, b, request))
		return;
	p->blob[p->count] = *b;
	p->id[p->count++] = id;
	io->ops->submit(io, &request, 1);
	if (p->count == PREFETCH_MAX)
		prefetch_wait(p);
}

void prefetch_wait(struct prefetch *p)
{
	for (unsigned i = 0; i < p->count; i++)
		pool_load_finish(&p->s->pool, &p->blob[i], p->id[i], &p->request[i]);
	p->count = 0;
}

/* All of them before the first is begun: the map may need memory, and what it has to wait for must not wait for a load of ours. */
static size_t find_chunks(struct store *s, ps_id id, const struct entry *e, uint64_t first, uint64_t last, struct blob *chunks)
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
	struct blob chunks[PREFETCH_MAX + 1];
	uint64_t first = off / CHUNK, last = (off + len - 1) / CHUNK;
	last = MIN(last, first + MIN((uint64_t)PREFETCH_MAX, s->budget / 4 / CHUNK));
	if (first == last)
		return;
	p.s = s;
	p.count = 0;
	size_t n = find_chunks(s, id, e, first, last, chunks);
	for (size_t i = 0; i < n; i++)
		prefetch_blob(&p, &chunks[i], id);
	prefetch_wait(&p);
}
