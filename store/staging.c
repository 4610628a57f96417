/* Contents on their way to places outside the log.
 *
 * They are copied into staging buffers, not into frames: a frame costs a page fault for each page, and what
 * was only written is not yet worth a place in memory (its first reader brings it in). Only where the old
 * version of an object was in memory are the frames of the new one filled and written, so that what is read
 * again and again stays there.
 *
 * All that one commit writes is gathered: pieces are laid one after another into a run of the file, which
 * grows as the commit does, and into a buffer, and each stretch of the file is one request. A buffer is
 * written when it is full, or waited for. Until then, and until the request has ended, nothing of it is read,
 * and no piece is given back: its space could be another's by the time the bytes arrive. */
#include <sys/param.h>

#include "store/base_internal.h"

enum { IN_FLIGHT = 16, REQUESTS = RUN_CHUNKS, IDLE_MS = 1000 };

struct staged {
	struct staged *next;
	uint8_t *bytes;    /* page-aligned, staging_bytes of them; NULL: written from frames */
	struct pack *pack; /* these frames; NULL: chunks of one extent */
	uint64_t fill;
	unsigned count;
	struct ps_io_request request[REQUESTS];
};

struct pack_write {
	struct staged staged;
	struct pack pack;
};

/* ---- buffers ---- */

/* A small part of the budget: what is written is seldom as dear as what is read. */
uint64_t staging_bytes(const struct store *s)
{
	return MIN(MAX(s->budget / 64 / CHUNK, 1U), (uint64_t)RUN_CHUNKS) * CHUNK;
}

static uint64_t bytes_max(const struct store *s)
{
	return MAX(s->budget / 16, staging_bytes(s));
}

/* The struct, and the buffer on the page boundary behind it. */
static size_t block_bytes(const struct store *s)
{
	return sizeof(struct staged) + PAGE + staging_bytes(s);
}

static struct staged *new_buffer(struct store *s)
{
	size_t size = block_bytes(s);
	/* Room is made in the budget first; then the allocation counts itself. */
	if (budget_take(s, size) != PS_OK)
		return NULL;
	struct staged *w = ps_memory_alloc(&s->memory, size);
	budget_give(s, size);
	if (w)
		w->bytes = (uint8_t *)(((uintptr_t)(w + 1) + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
	else
		(void)ps_fail(PS_ENOMEM, "%s: no memory for a buffer to write from", s->path);
	return w;
}

static struct staged *pop_spare(struct store *s)
{
	struct staging *st = &s->staging;
	pthread_mutex_lock(&st->lock);
	struct staged *w = st->spare;
	if (w) {
		st->spare = w->next;
		st->spares--;
	}
	st->used = true;
	pthread_mutex_unlock(&st->lock);
	return w;
}

static void keep_buffer(struct store *s, struct staged *w)
{
	struct staging *st = &s->staging;
	pthread_mutex_lock(&st->lock);
	bool keep = st->spares < MIN((uint64_t)IN_FLIGHT, bytes_max(s) / staging_bytes(s)),
	     first = keep && !st->spares;
	if (keep) {
		w->next = st->spare;
		st->spare = w;
		st->spares++;
	}
	first = first && !st->watched;
	st->watched = st->watched || first;
	pthread_mutex_unlock(&st->lock);
	if (!keep)
		ps_memory_free(&s->memory, w, block_bytes(s));
	/* The store's thread sees to it that an idle store has none. */
	if (first)
		store_wake(s);
}

bool staging_give_back(struct store *s)
{
	struct staged *w = pop_spare(s);
	ps_memory_free(&s->memory, w, block_bytes(s));
	return w != NULL;
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

unsigned staging_watch(struct store *s)
{
	struct staging *st = &s->staging;
	struct spare_frames *frames = &s->pool.spare;
	uint64_t now = now_ms();
	bool frames_used = atomic_exchange_explicit(&frames->used, false, memory_order_relaxed);
	pthread_mutex_lock(&st->lock);
	if (st->used || frames_used)
		st->used_ms = now;
	bool idle = now - st->used_ms >= IDLE_MS;
	st->used = false;
	st->watched = (st->spares || atomic_load_explicit(&frames->bytes, memory_order_relaxed)) && !idle;
	bool watched = st->watched;
	pthread_mutex_unlock(&st->lock);
	while (idle && (staging_give_back(s) || spare_frames_give_up(&s->pool)))
		;
	return watched ? IDLE_MS : 0;
}

void staging_done(struct store *s)
{
	while (staging_give_back(s))
		;
	pthread_mutex_destroy(&s->staging.lock);
}

/* ---- requests ---- */

static void free_staged(struct store *s, struct staged *w)
{
	if (w->bytes) {
		keep_buffer(s, w);
		return;
	}
	if (w->pack) {
		pack_written(s, w->pack);
		ps_memory_free(&s->memory, w, sizeof(struct pack_write));
		return;
	}
	for (uint64_t at = 0; at < w->fill; at += CHUNK)
		pool_unpin(&s->pool, w->request[0].offset + at);
	ps_memory_free(&s->memory, w, sizeof(*w));
}

static int wait_for(struct store *s, struct staged *w)
{
	int first = PS_OK;
	for (unsigned i = 0; i < w->count; i++) {
		int err = s->io->ops->wait(s->io, &w->request[i]);
		first = first ? first : err;
	}
	return first;
}

static void wait_for_first(struct store *s, struct write_set *set)
{
	struct staged *w = set->first;
	budget_enter(s);
	int err = wait_for(s, w);
	set->error = set->error ? set->error : err;
	set->first = w->next;
	set->last = set->first ? set->last : NULL;
	set->count--;
	set->bytes -= w->bytes ? staging_bytes(s) : 0;
	free_staged(s, w);
	budget_leave(s);
}

bool staging_is_packs(const struct write_set *set)
{
	for (const struct staged *w = set->first; w; w = w->next) {
		if (!w->pack)
			return false;
	}
	return set->first && !set->open && !set->run.len && !set->error;
}

void staging_hand_over(struct write_set *set, struct staged **list)
{
	set->last->next = *list;
	*list = set->first;
	set->first = set->last = NULL;
	set->count = 0;
}

int staging_end(struct store *s, struct staged *list)
{
	int first = PS_OK;
	if (!list)
		return PS_OK;
	budget_enter(s);
	while (list) {
		struct staged *w = list;
		list = w->next;
		int err = wait_for(s, w);
		first = first ? first : err;
		free_staged(s, w);
	}
	budget_leave(s);
	return first;
}

static void start(struct store *s, struct write_set *set, struct staged *w)
{
	struct ps_io_request *list[REQUESTS];
	for (unsigned i = 0; i < w->count; i++)
		list[i] = &w->request[i];
	w->next = NULL;
	if (set->last)
		set->last->next = w;
	else
		set->first = w;
	set->last = w;
	set->count++;
	s->io->ops->submit(s->io, list, w->count);
}

static void start_open(struct store *s, struct write_set *set)
{
	struct staged *w = set->open;
	set->open = NULL;
	if (w->count) {
		start(s, set, w);
		return;
	}
	set->bytes -= staging_bytes(s);
	free_staged(s, w);
}

static int earlier_failure(const struct store *s, const struct write_set *set)
{
	return ps_fail(set->error, "%s: an earlier write of this commit failed", s->path);
}

/* store.lock held. */
static void give_rest(struct store *s, struct write_set *set)
{
	s->uncommitted_bytes -= set->run.len;
	if (set->run.len)
		space_free_now(&s->space, set->run);
	set->run.len = 0;
}

void staging_start(struct store *s, struct write_set *set)
{
	if (set->open)
		start_open(s, set);
}

int staging_wait(struct store *s, struct write_set *set)
{
	int before = set->error;
	staging_start(s, set);
	while (set->first)
		wait_for_first(s, set);
	if (set->run.len) {
		pthread_mutex_lock(&s->lock);
		give_rest(s, set);
		pthread_mutex_unlock(&s->lock);
	}
	set->gathered = 0;
	return before ? earlier_failure(s, set) : set->error;
}

void staging_abandon(struct store *s, struct write_set *set)
{
	if (set->open)
		set->open->count = 0;
	(void)staging_wait(s, set);
}

int change_wait(struct store *s, struct change *c)
{
	return staging_wait(s, change_writes(c));
}

static unsigned most_in_flight(const struct write_set *set)
{
	return set->most ? set->most : IN_FLIGHT;
}

/* An open buffer with room for so many bytes. What is in flight gives its buffers back when the budget is
 * short. */
static int open_buffer(struct store *s, struct write_set *set, uint64_t bytes)
{
	uint64_t size = staging_bytes(s);
	struct budget_patience patience = {0};
	struct staged *w = set->open;
	if (w && (w->fill + bytes > size || w->count == REQUESTS))
		start_open(s, set);
	if (set->open)
		return PS_OK;
	while (set->first && (set->count >= most_in_flight(set) || set->bytes + size > bytes_max(s)))
		wait_for_first(s, set);
	if (set->error)
		return earlier_failure(s, set);
	while (!(w = pop_spare(s)) && !(w = new_buffer(s))) {
		if (set->first)
			wait_for_first(s, set);
		else if (!budget_relieve(s, &patience))
			return PS_ENOMEM;
	}
	w->fill = w->count = 0;
	set->bytes += size;
	set->open = w;
	return PS_OK;
}

/* ---- places ---- */

static int take_run(struct store *s, struct write_set *set, uint64_t bytes)
{
	struct ps_extent run;
	pthread_mutex_lock(&s->lock);
	give_rest(s, set);
	int err = store_begin_writing(s);
	/* As long as what came before it. Compaction fills gaps: to it a run that is longer than its piece
	 * means a gap missed. */
	uint64_t want = s->space.below ? bytes : MAX(bytes, MIN(set->gathered, staging_bytes(s)));
	if (!err)
		err = space_alloc_run(&s->space, want, &run);
	if (!err) {
		set->run = run;
		s->uncommitted_bytes += run.len;
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* Noted chunk by chunk, as it may have to be given back. */
static int note_taken(struct store *s, struct change *c, struct ps_extent extent)
{
	uint32_t before = c->taken.count;
	int err = PS_OK;
	for (uint64_t at = 0; !err && at < extent.len; at += CHUNK)
		err = extent_list_add(
		    s, &c->taken,
		    (struct ps_extent){extent.offset + at, MIN(extent.len - at, (uint64_t)CHUNK)});
	if (err)
		c->taken.count = before;
	return err;
}

static void pass_piece(struct write_set *set, uint64_t bytes)
{
	set->run.offset += bytes;
	set->run.len -= bytes;
	set->gathered += bytes;
}

/* A piece of the run. PS_ENOTSUP: there is no space in one run of that length. */
static int take_piece(struct store *s, struct change *c, uint64_t bytes, struct ps_extent *extent)
{
	struct write_set *set = change_writes(c);
	int err = bytes <= set->run.len ? PS_OK : take_run(s, set, bytes);
	*extent = (struct ps_extent){set->run.offset, bytes};
	if (!err)
		err = note_taken(s, c, *extent);
	if (!err)
		pass_piece(set, bytes);
	return err;
}

int staging_take(struct store *s, struct write_set *set, uint64_t bytes, struct ps_extent *extent)
{
	int err = bytes <= set->run.len ? PS_OK : take_run(s, set, bytes);
	*extent = (struct ps_extent){set->run.offset, bytes};
	if (!err)
		pass_piece(set, bytes);
	if (err != PS_ENOTSUP)
		return err;
	pthread_mutex_lock(&s->lock);
	err = space_alloc(&s->space, bytes, extent, NULL);
	s->uncommitted_bytes += err ? 0 : bytes;
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* A place of its own, at most CHUNK. */
static int take_extent(struct store *s, struct change *c, uint64_t len, struct ps_extent *extent)
{
	pthread_mutex_lock(&s->lock);
	int err = store_begin_writing(s);
	if (!err)
		err = space_alloc(&s->space, len, extent, NULL);
	if (err == PS_ENOSPC && s->space.pending_bytes) {
		/* What was freed may be all that is left: after a checkpoint it can be used. */
		pthread_mutex_unlock(&s->lock);
		err = checkpoint_run(s);
		pthread_mutex_lock(&s->lock);
		err = err ? err : space_alloc(&s->space, len, extent, NULL);
	}
	if (!err) {
		err = note_taken(s, c, *extent);
		if (err)
			space_free_now(&s->space, *extent);
		else
			s->uncommitted_bytes += extent->len;
	}
	pthread_mutex_unlock(&s->lock);
	if (!err)
		change_writes(c)->gathered += extent->len;
	return err;
}

/* ---- contents ---- */

/* What is written, where it goes, and what its checksums begin with: `seed`, or the numbers of chunks from
 * `index` on. */
struct piece {
	const uint8_t *data;
	uint64_t len;
	struct ps_extent extent;
	const uint64_t *seed;
	uint64_t index;
};

int change_add_fresh(struct store *s, struct change *c, const struct disk_fresh *fresh)
{
	size_t size = c->fresh ? c->fresh_size : 0;
	struct disk_fresh *more = ps_memory_grow(&s->memory, c->fresh, c->fresh_count, &size, sizeof(*more));
	if (!more)
		return ps_fail(PS_ENOMEM, "%s: no memory for a list of extents", s->path);
	c->fresh = more;
	c->fresh_size = (uint32_t)size;
	c->fresh[c->fresh_count++] = *fresh;
	return PS_OK;
}

/* Chunk by chunk, while it is in the processor's caches. The checksum is that of the copy: the caller's bytes
 * may change. */
static int copy_piece(struct store *s, struct change *c, const struct piece *p, uint8_t *to,
                      struct map_chunk *out)
{
	int err = PS_OK;
	for (uint64_t at = 0, i = 0; at < p->len && !err; at += CHUNK, i++) {
		uint64_t part = MIN(p->len - at, (uint64_t)CHUNK),
		         seed = p->seed ? *p->seed : seed_chunk(c->id, p->index + i);
		/* Not memcpy: in compaction data is another extent's frames, and a map that was forged may
		 * name what is free. */
		memmove(to + at, p->data + at, part);
		out[i] = (struct map_chunk){p->extent.offset + at, (uint32_t)part,
		                            blob_checksum(seed, to + at, part)};
		struct disk_fresh fresh = {ps_set64(out[i].place), ps_set64(part), ps_set64(seed),
		                           ps_set64(out[i].checksum)};
		err = change_add_fresh(s, c, &fresh);
	}
	memset(to + p->len, 0, p->extent.len - p->len);
	return err;
}

/* A frame of a free extent would be taken for what is about to be written there. There is none, unless a
 * forged map named it. */
static int check_absent(struct store *s, struct ps_extent extent)
{
	for (uint64_t at = extent.offset; at < extent.offset + extent.len; at += PAGE) {
		uint64_t state = atomic_load_explicit(pool_state(&s->pool, at), memory_order_relaxed);
		if (state & (PAGE_RESIDENT | PAGE_LOCKED))
			return ps_fail(PS_ECORRUPT, "%s: extent at offset %llu is in use", s->path,
			               (unsigned long long)at);
		if (state & PAGE_PATCHED)
			atomic_fetch_and(pool_state(&s->pool, at), ~PAGE_PATCHED);
	}
	return PS_OK;
}

static void note_request(struct staged *w, struct ps_extent extent)
{
	struct ps_io_request *last = w->count ? &w->request[w->count - 1] : NULL;
	if (last && last->offset + last->len == extent.offset)
		last->len += extent.len;
	else
		w->request[w->count++] = (struct ps_io_request){.op = PS_IO_WRITE,
		                                                .offset = extent.offset,
		                                                .data = w->bytes + w->fill,
		                                                .len = extent.len};
	w->fill += extent.len;
}

static int write_staged(struct store *s, struct change *c, const struct piece *p, struct map_chunk *out)
{
	struct write_set *set = change_writes(c);
	int err = check_absent(s, p->extent);
	if (!err)
		err = open_buffer(s, set, p->extent.len);
	if (!err)
		err = copy_piece(s, c, p, set->open->bytes + set->open->fill, out);
	if (err)
		return err;
	note_request(set->open, p->extent);
	if (set->open->fill == staging_bytes(s))
		start_open(s, set);
	return PS_OK;
}

int staging_lay(struct store *s, struct write_set *set, struct ps_extent extent, uint8_t **to)
{
	int err = check_absent(s, extent);
	if (!err)
		err = open_buffer(s, set, extent.len);
	if (err)
		return err;
	*to = set->open->bytes + set->open->fill;
	note_request(set->open, extent);
	return PS_OK;
}

static void discard_frames(struct store *s, struct ps_extent extent, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += CHUNK)
		pool_discard(&s->pool, extent.offset + at);
}

/* Pinned frames for each chunk of the extent. */
static int fresh_frames(struct store *s, struct ps_extent extent)
{
	int err = PS_OK;
	for (uint64_t at = 0; at < extent.len && !err; at += CHUNK) {
		err = pool_fresh(&s->pool, extent.offset + at, MIN(extent.len - at, (uint64_t)CHUNK));
		if (err)
			discard_frames(s, extent, at);
	}
	return err;
}

/* Nothing has been done if this fails without PS_ECORRUPT: staging needs less memory. */
static int write_frames(struct store *s, struct change *c, const struct piece *p, struct map_chunk *out)
{
	struct write_set *set = change_writes(c);
	uint32_t fresh = c->fresh_count;
	struct staged *w = ps_memory_zalloc(&s->memory, sizeof(*w));
	if (!w)
		return ps_fail(PS_ENOMEM, "%s: no memory for a write", s->path);
	int err = fresh_frames(s, p->extent);
	if (!err) {
		err = copy_piece(s, c, p, pool_address(&s->pool, p->extent.offset), out);
		if (err)
			discard_frames(s, p->extent, p->extent.len);
	}
	if (err) {
		c->fresh_count = fresh;
		ps_memory_free(&s->memory, w, sizeof(*w));
		return err;
	}
	w->count = 1;
	w->fill = p->extent.len;
	w->request[0] = (struct ps_io_request){.op = PS_IO_WRITE,
	                                       .offset = p->extent.offset,
	                                       .len = p->extent.len,
	                                       .data = pool_address(&s->pool, p->extent.offset)};
	while (set->count >= IN_FLIGHT)
		wait_for_first(s, set);
	start(s, set, w);
	return PS_OK;
}

static void note_frame(struct store *s, struct staged *w, const struct pack_frame *f)
{
	struct ps_io_request *last = w->count ? &w->request[w->count - 1] : NULL;
	if (last && last->offset + last->len == f->offset)
		last->len += f->len;
	else
		w->request[w->count++] = (struct ps_io_request){.op = PS_IO_WRITE,
		                                                .offset = f->offset,
		                                                .data = pool_address(&s->pool, f->offset),
		                                                .len = f->len};
}

struct pack *staging_new_pack(struct store *s)
{
	struct pack_write *w = ps_memory_zalloc(&s->memory, sizeof(*w));
	return w ? &w->pack : NULL;
}

void staging_write_pack(struct store *s, struct write_set *set, struct pack *pack)
{
	static_assert(PACK_STRETCHES <= (int)REQUESTS, "a stretch is a request");
	struct pack_write *w =
	    (struct pack_write *)(void *)((uint8_t *)pack - offsetof(struct pack_write, pack));
	w->staged.pack = pack;
	if (!pack->frames) {
		free_staged(s, &w->staged);
		return;
	}
	while (set->count >= IN_FLIGHT)
		wait_for_first(s, set);
	for (unsigned i = 0; i < pack->frames; i++) {
		note_frame(s, &w->staged, &pack->frame[i]);
		set->packed_bytes += pack->frame[i].len;
	}
	set->packed_stretches += w->staged.count;
	start(s, set, &w->staged);
}

static int write_piece(struct store *s, struct change *c, const struct piece *p, struct map_chunk *out)
{
	int err = c->keep && !c->stream ? write_frames(s, c, p, out) : PS_ENOMEM;
	return err == PS_ENOMEM ? write_staged(s, c, p, out) : err;
}

int change_write(struct store *s, struct change *c, const uint8_t *data, uint64_t len, uint64_t seed,
                 struct map_chunk *out)
{
	struct piece p = {.data = data, .len = len, .seed = &seed};
	int err = change_writes(c)->gathered ? take_piece(s, c, extent_len(len), &p.extent) : PS_ENOTSUP;
	if (err == PS_ENOTSUP)
		err = take_extent(s, c, len, &p.extent);
	return err ? err : write_piece(s, c, &p, out);
}

int change_write_run(struct store *s, struct change *c, const uint8_t *data, uint64_t len, uint64_t index,
                     struct map_chunk out[RUN_CHUNKS])
{
	struct piece p = {.data = data, .len = len, .index = index};
	int err = take_piece(s, c, (len + PAGE - 1) & ~(uint64_t)(PAGE - 1), &p.extent);
	if (err != PS_ENOTSUP)
		return err ? err : write_piece(s, c, &p, out);
	for (uint64_t at = 0; at < len; at += CHUNK) {
		p = (struct piece){
		    .data = data + at, .len = MIN(len - at, (uint64_t)CHUNK), .index = index + at / CHUNK};
		err = take_extent(s, c, (p.len + PAGE - 1) & ~(uint64_t)(PAGE - 1), &p.extent);
		if (!err)
			err = write_piece(s, c, &p, &out[at / CHUNK]);
		if (err)
			return err;
	}
	return PS_OK;
}
