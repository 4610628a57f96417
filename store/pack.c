/* Small contents of large batches: laid into whole frames that nothing else lies in, and written once,
 * straight to their places, beside the log's block that names them, instead of to the log first.
 *
 * A frame is filled in memory, where it stays, and goes out once it is full: no byte of it was anybody's
 * before. What does not fill a frame rides in the log as ever. The record names the contents as fresh
 * (FORMAT.md): a crash before it leaves frames that no entry names, which are free; at recovery those of the
 * newest block are verified one by one, by their entries' checksums, so that what lies behind the last
 * content of a page may be another commit's by then. That part, the tail, is given back when the frame's
 * write has ended: earlier, a later write of the same page could be overtaken by this one. */
#include <sys/param.h>

#include "store/base_internal.h"

enum {
	ROOT_PAGES = 64, /* that one request to the root asks for at most */
	ROOMY = 128,     /* bytes behind the last content: with fewer a page is full */
	LEAST_BYTES = 32 << 10
};

struct packing {
	struct store *s;
	struct write_set *set;
	struct change *changes;
	uint32_t *order; /* of what is to be packed, class by class */
	size_t first[PS_CLASSES_MAX + 3];
	struct ps_extent room; /* pages of the root that are not used yet */
	struct pack *pack;     /* being filled */
};

uint64_t pack_least(const struct store *s)
{
	return MIN((uint64_t)LEAST_BYTES, (uint64_t)log_commit_max(&s->log));
}

/* ---- frames ---- */

static void send_pack(struct packing *p)
{
	if (p->pack)
		staging_write_pack(p->s, p->set, p->pack);
	p->pack = NULL;
}

static bool has_room(const struct packing *p, uint64_t offset)
{
	const struct pack *pack = p->pack;
	if (!pack->frames)
		return true;
	const struct pack_frame *last = &pack->frame[pack->frames - 1];
	bool next = last->offset + last->len == offset;
	return pack->frames < PACK_FRAMES && (next || pack->stretches < PACK_STRETCHES);
}

/* The frame is in memory, pinned and in the pack after this. */
static bool add_frame(struct packing *p, uint64_t offset, uint64_t len)
{
	if (p->pack && !has_room(p, offset))
		send_pack(p);
	if (!p->pack)
		p->pack = staging_new_pack(p->s);
	if (!p->pack || pool_fresh(&p->s->pool, offset, len) != PS_OK)
		return false;
	struct pack *pack = p->pack;
	const struct pack_frame *last = pack->frames ? &pack->frame[pack->frames - 1] : NULL;
	pack->stretches += !last || last->offset + last->len != offset;
	pack->frame[pack->frames++] = (struct pack_frame){offset, (uint32_t)len, 0};
	return true;
}

static void lay(struct packing *p, struct change *c, unsigned class, uint64_t place)
{
	change_set_place(c, class, place);
	copy_padded(pool_address(&p->s->pool, place), c->bytes, c->nbytes, change_placed(p->s, c).len);
	c->nbytes = 0;
	c->packed = true;
}

static struct change *change_at(const struct packing *p, size_t i)
{
	return &p->changes[p->order[i]];
}

/* ---- pages of the root ---- */

/* How many of the next contents a page takes, and the bytes of it that they use. */
static size_t fit_page(const struct packing *p, size_t at, size_t end, uint64_t *used)
{
	size_t count = 0;
	uint64_t len;
	for (*used = 0; at + count < end; count++, *used += len) {
		len = extent_len(change_at(p, at + count)->nbytes);
		if (*used + len > PAGE)
			break;
	}
	return count;
}

static void give_room(struct packing *p)
{
	struct store *s = p->s;
	if (!p->room.len)
		return;
	pool_unpopulate(&s->pool, p->room);
	pthread_mutex_lock(&s->lock);
	s->uncommitted_bytes -= p->room.len;
	space_free_now(&s->space, p->room);
	pthread_mutex_unlock(&s->lock);
	p->room.len = 0;
}

static bool take_room(struct packing *p, size_t at, size_t end)
{
	struct store *s = p->s;
	uint64_t bytes = 0, most = MIN((uint64_t)ROOT_PAGES * PAGE, s->budget / 64);
	for (; at < end && bytes < most; at++)
		bytes += extent_len(change_at(p, at)->nbytes);
	bytes = MAX(bytes & ~(uint64_t)(PAGE - 1), (uint64_t)PAGE);
	pthread_mutex_lock(&s->lock);
	int err = store_begin_writing(s);
	if (!err)
		err = space_alloc_pages(&s->space, bytes, &p->room);
	if (err)
		p->room.len = 0;
	s->uncommitted_bytes += p->room.len;
	pthread_mutex_unlock(&s->lock);
	return !err;
}

/* A page, full, and its contents in place. */
static bool pack_page(struct packing *p, size_t at, size_t count, uint64_t used)
{
	uint64_t place = p->room.offset;
	if (!add_frame(p, place, PAGE))
		return false;
	p->room.offset += PAGE;
	p->room.len -= PAGE;
	for (size_t i = at; i < at + count; i++) {
		uint64_t len = extent_len(change_at(p, i)->nbytes);
		lay(p, change_at(p, i), 0, place);
		place += len;
	}
	p->pack->frame[p->pack->frames - 1].tail = (uint32_t)(PAGE - used);
	memset(pool_address(&p->s->pool, place), 0, PAGE - used);
	return true;
}

static void pack_pages(struct packing *p)
{
	uint64_t used;
	for (size_t at = p->first[0], end = p->first[1], count; at < end; at += count) {
		count = fit_page(p, at, end, &used);
		bool full = at + count < end || PAGE - used < ROOMY;
		if (!full || (!p->room.len && !take_room(p, at, end)) || !pack_page(p, at, count, used))
			break;
	}
	give_room(p);
}

/* ---- frames of a class ---- */

/* All slots of a frame. */
static int take_frame(struct store *s, unsigned class, uint64_t *frame)
{
	const struct ps_class_geometry *g = ps_class_geometry(s->classes, class);
	pthread_mutex_lock(&s->lock);
	int err = store_begin_writing(s);
	if (!err)
		err = space_alloc_frame(&s->space, class, frame);
	if (!err)
		s->uncommitted_bytes += (uint64_t)g->slots_per_frame * g->slot_bytes;
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* A slot among others' for what rides in the log all the same, so that the slab is full before the next one.
 */
static bool take_slot(struct store *s, unsigned class, struct change *c)
{
	struct ps_extent slot;
	pthread_mutex_lock(&s->lock);
	int err = space_alloc_slot(&s->space, class, &slot, &c->empty_page);
	if (!err) {
		change_set_place(c, class, slot.offset);
		s->uncommitted_bytes += slot.len;
	}
	pthread_mutex_unlock(&s->lock);
	return !err;
}

static void give_frame(struct store *s, unsigned class, uint64_t frame)
{
	const struct ps_class_geometry *g = ps_class_geometry(s->classes, class);
	pthread_mutex_lock(&s->lock);
	s->uncommitted_bytes -= (uint64_t)g->slots_per_frame * g->slot_bytes;
	for (uint32_t i = 0; i < g->slots_per_frame; i++)
		space_free_slot_now(&s->space, class,
		                    (struct ps_extent){frame + (uint64_t)i * g->slot_bytes, g->slot_bytes});
	pthread_mutex_unlock(&s->lock);
}

static bool pack_frame(struct packing *p, unsigned class, uint64_t frame, size_t at)
{
	const struct ps_class_geometry *g = ps_class_geometry(p->s->classes, class);
	uint64_t len = (uint64_t)g->slots_per_frame * g->slot_bytes;
	if (!add_frame(p, frame, g->frame_bytes)) {
		give_frame(p->s, class, frame);
		return false;
	}
	for (uint32_t i = 0; i < g->slots_per_frame; i++)
		lay(p, change_at(p, at + i), class, frame + (uint64_t)i * g->slot_bytes);
	memset(pool_address(&p->s->pool, frame) + len, 0, g->frame_bytes - len);
	return true;
}

static void pack_class(struct packing *p, unsigned class)
{
	size_t at = p->first[class], end = p->first[class + 1];
	uint32_t slots = ps_class_geometry(p->s->classes, class)->slots_per_frame;
	bool goes_on = true;
	while (goes_on && end - at >= slots) {
		uint64_t frame;
		int err = take_frame(p->s, class, &frame);
		if (!err) {
			goes_on = pack_frame(p, class, frame, at);
			at += slots;
		} else {
			goes_on = err == PS_ENOTSUP && take_slot(p->s, class, change_at(p, at++));
		}
	}
}

/* ---- which contents ---- */

/* Not what goes to the place that its object has reserved. */
static bool can_pack(struct store *s, const struct change *c)
{
	struct entry now;
	if (!c->nbytes || c->nbytes >= PAGE || c->placed || entry_kind(&c->entry) != ENTRY_DATA)
		return false;
	if (c->kind == CHANGE_NEW)
		return true;
	return c->kind == CHANGE_SET && table_read(&s->table, id_slot(c->id), &now) == PS_OK &&
	       entry_kind(&now) != ENTRY_RESERVED;
}

/* Class by class, in the order in which they came. */
static void sort_changes(struct packing *p, uint8_t *class, size_t n)
{
	enum { NONE = PS_CLASSES_MAX + 1 };
	size_t count[NONE + 1] = {0};
	for (size_t i = 0; i < n; i++) {
		class[i] =
		    can_pack(p->s, &p->changes[i]) ? (uint8_t)change_route(p->s, &p->changes[i]) : NONE;
		count[class[i]]++;
	}
	for (size_t i = 0; i <= NONE; i++) {
		p->first[i + 1] = p->first[i] + count[i];
		count[i] = p->first[i];
	}
	for (size_t i = 0; i < n; i++)
		p->order[count[class[i]]++] = (uint32_t)i;
}

void pack_changes(struct store *s, struct write_set *set, struct change *changes, size_t n)
{
	struct packing p = {.s = s, .set = set, .changes = changes};
	uint8_t *class = n ? ps_memory_alloc(&s->memory, n) : NULL;
	p.order = class ? ps_memory_alloc(&s->memory, n * sizeof(*p.order)) : NULL;
	if (p.order) {
		sort_changes(&p, class, n);
		pack_pages(&p);
		for (unsigned i = 1; s->classes && i <= s->classes->table.count; i++)
			pack_class(&p, i);
		send_pack(&p);
	}
	ps_memory_free(&s->memory, p.order, n * sizeof(*p.order));
	ps_memory_free(&s->memory, class, n);
}

/* The copy of it in memory is all that there is of it then: the batch still has the bytes. */
void change_unpack(struct store *s, struct change *c)
{
	const uint8_t *bytes = c->bytes;
	if (!c->packed)
		return;
	change_undo(s, c);
	c->bytes = bytes;
	c->nbytes = (uint32_t)entry_size(&c->entry);
	change_set_place(c, 0, 0);
	c->placed = false;
}

void pack_written(struct store *s, struct pack *pack)
{
	bool tails = false;
	for (unsigned i = 0; i < pack->frames; i++) {
		pool_unpin(&s->pool, pack->frame[i].offset);
		tails = tails || pack->frame[i].tail;
	}
	if (tails)
		pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; tails && i < pack->frames; i++) {
		const struct pack_frame *f = &pack->frame[i];
		s->uncommitted_bytes -= f->tail;
		if (f->tail)
			space_free_now(&s->space, (struct ps_extent){f->offset + f->len - f->tail, f->tail});
	}
	if (tails)
		pthread_mutex_unlock(&s->lock);
}
