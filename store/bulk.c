/* Two parts in turns: while the writes of one are on their way, the other is filled. A part's entries are set
 * when its writes have ended and those before it: so whoever reads meets whole contents only, and a
 * checkpoint, which flushes before its superblock, never makes an entry durable before what it names.
 *
 * Frames of classes with several slots, and pages that small contents share, are filled in memory of their
 * own, one for each class, and then copied to the buffer that goes out: so contents of all sizes in any order
 * fill whole frames, and what each class has open at the end is all that is written half full. */
#include <sys/param.h>

#include "store/base_internal.h"
#include "store/bulk.h"

enum {
	ITEMS_LEAST = 64,
	ITEMS_MOST = 16384,
	SET_AT_ONCE = 256,
	/* Buffers of a part on their way: they keep a disk busy, and more would only be more memory to touch
	 * for the first time, which costs more than what is copied there. */
	IN_FLIGHT = 6,
};
#define NO_SLOT UINT64_MAX

struct bulk_item {
	uint64_t slot; /* NO_SLOT: the entry's place and size are the unused end of a page */
	struct entry entry;
	uint64_t taken; /* of the file, until the entry is set */
};

struct bulk_rest {
	unsigned class;
	uint64_t from, to;
};

/* An addition brings two items at most; closing all frames one more. */
static size_t items_bytes(const struct bulk *b)
{
	return (b->room + 4) * sizeof(struct bulk_item);
}

int bulk_init(struct bulk *b, struct store *s)
{
	size_t classes = s->classes ? s->classes->table.count : 0;
	*b = (struct bulk){.s = s};
	b->room = MIN(MAX((size_t)(s->budget / 256 / sizeof(struct bulk_item)), (size_t)ITEMS_LEAST),
	              (size_t)ITEMS_MOST);
	b->frames = ps_memory_zalloc(&s->memory, (classes + 1) * sizeof(*b->frames));
	for (int i = 0; i < 2; i++) {
		b->part[i].set.most = IN_FLIGHT;
		b->part[i].items = ps_memory_alloc(&s->memory, items_bytes(b));
	}
	if (b->frames && b->part[0].items && b->part[1].items)
		return PS_OK;
	return ps_fail(PS_ENOMEM, "%s: no memory for a bulk load", s->path);
}

static size_t frames_of(const struct bulk *b)
{
	return b->s->classes ? b->s->classes->table.count + 1U : 1;
}

static uint32_t frame_bytes(const struct bulk *b, unsigned class)
{
	return class ? ps_class_geometry(b->s->classes, class)->frame_bytes : PAGE;
}

/* Of a frame that lie in its slots. */
static uint32_t usable_bytes(const struct bulk *b, unsigned class)
{
	const struct ps_class_geometry *g = class ? ps_class_geometry(b->s->classes, class) : NULL;
	return g ? g->slots_per_frame * g->slot_bytes : PAGE;
}

/* ---- entries ---- */

static bool in_open_frame(const struct bulk *b, const struct bulk_item *item)
{
	const struct entry *e = &item->entry;
	if (item->slot == NO_SLOT || (entry_kind(e) != ENTRY_DATA && entry_kind(e) != ENTRY_MAP))
		return false;
	const struct bulk_frame *f = &b->frames[entry_class(e)];
	uint64_t place = entry_place(e);
	return f->place && place >= f->place && place < f->place + frame_bytes(b, entry_class(e));
}

/* Under store.lock. */
static int set_one(struct bulk *b, const struct bulk_item *item)
{
	struct store *s = b->s;
	const struct entry *e = &item->entry;
	bool frees = entry_kind(e) == ENTRY_FREE;
	int err = space_queue_reserve(&s->space, 1);
	if (!err)
		err = table_prepare(&s->table, item->slot, frees);
	if (err)
		return err;
	if (s->cut) {
		struct change c;
		change_init(&c, CHANGE_NEW, id_make(item->slot, entry_generation(e)));
		cut_before_commit(s, &c, 1);
	}
	table_set(&s->table, item->slot, e);
	s->uncommitted_bytes -= item->taken;
	if (frees)
		space_free_later(&s->space, &(struct freed){.slot = item->slot});
	return PS_OK;
}

static void free_tail(struct bulk *b, const struct bulk_item *item)
{
	b->s->uncommitted_bytes -= item->taken;
	space_free_now(&b->s->space, (struct ps_extent){entry_place(&item->entry), item->taken});
}

/* As many as can be; they are a commit that has no record. */
static int set_some(struct bulk *b, const struct bulk_item *items, size_t count, size_t *done)
{
	struct store *s = b->s;
	int err = PS_OK;
	pthread_mutex_lock(&s->lock);
	atomic_fetch_add(&s->commit_sequence, 1);
	for (*done = 0; *done < count && !err; *done += !err) {
		if (items[*done].slot == NO_SLOT)
			free_tail(b, &items[*done]);
		else
			err = set_one(b, &items[*done]);
	}
	log_skip_commit(&s->log);
	atomic_fetch_add(&s->commit_sequence, 1);
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* Dirty leaves cannot leave memory, and are counted by nobody else. */
static int write_leaves(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	bool many = s->table.dirty_count * PAGE > s->budget / 4;
	pthread_mutex_unlock(&s->lock);
	return many ? checkpoint_run(s) : PS_OK;
}

/* What was not done stays, in order. */
static void keep_rest(struct bulk_part *p, size_t kept, size_t at)
{
	memmove(&p->items[kept], &p->items[at], (p->count - at) * sizeof(*p->items));
	p->count -= at - kept;
}

static size_t ready_from(const struct bulk *b, const struct bulk_part *p, size_t at)
{
	size_t count = 0;
	while (count < SET_AT_ONCE && at + count < p->count && !in_open_frame(b, &p->items[at + count]))
		count++;
	return count;
}

/* All but those of open frames. A checkpoint makes leaves clean, which gives memory back: once without an
 * entry set in between. */
static int set_entries(struct bulk *b, struct bulk_part *p)
{
	size_t at = 0, kept = 0, done = 0;
	bool relieved = false;
	int err = staging_wait(b->s, &p->set);
	while (at < p->count && !err) {
		size_t ready = ready_from(b, p, at);
		if (!ready) {
			p->items[kept++] = p->items[at++];
			continue;
		}
		err = set_some(b, &p->items[at], ready, &done);
		at += done;
		relieved = relieved && !done;
		if ((err == PS_ENOMEM || err == PS_ENOSPC) && !relieved) {
			relieved = true;
			err = checkpoint_run(b->s);
		}
	}
	keep_rest(p, kept, at);
	return err ? err : write_leaves(b->s);
}

/* ---- frames ---- */

static void append(struct bulk *b, const struct bulk_item *item)
{
	struct bulk_part *p = &b->part[b->current];
	p->items[p->count++] = *item;
}

/* Slots of a class are given back at the end: until then a frame that is partly used would be filled first.
 */
static int note_rest(struct bulk *b, unsigned class, const struct bulk_frame *f)
{
	struct bulk_rest *rests =
	    ps_memory_grow(&b->s->memory, b->rests, b->rest_count, &b->rest_size, sizeof(*rests));
	if (!rests)
		return ps_fail(PS_ENOMEM, "%s: no memory for a bulk load", b->s->path);
	b->rests = rests;
	rests[b->rest_count] =
	    (struct bulk_rest){class, f->place + f->used, f->place + usable_bytes(b, class)};
	return PS_OK;
}

static void append_tail(struct bulk *b, const struct bulk_frame *f)
{
	struct bulk_item tail = {.slot = NO_SLOT, .taken = PAGE - f->used};
	entry_set_place(&tail.entry, 0, f->place + f->used);
	if (tail.taken)
		append(b, &tail);
}

/* On its way, with zeros behind what it has. On failure it stays open. */
static int close_frame(struct bulk *b, unsigned class)
{
	struct bulk_frame *f = &b->frames[class];
	uint32_t bytes = frame_bytes(b, class);
	bool rest = class && f->used < usable_bytes(b, class);
	uint8_t *to;
	int err = rest ? note_rest(b, class, f) : PS_OK;
	if (!err)
		err = staging_lay(b->s, bulk_writes(b), (struct ps_extent){f->place, bytes}, &to);
	if (err)
		return err;
	copy_padded(to, f->bytes, f->used, bytes);
	b->rest_count += rest;
	if (!class)
		append_tail(b, f);
	f->place = 0;
	f->used = 0;
	return PS_OK;
}

static int close_frames(struct bulk *b)
{
	int err = PS_OK;
	for (size_t i = 0; i < frames_of(b) && !err; i++)
		err = b->frames[i].place ? close_frame(b, (unsigned)i) : PS_OK;
	return err;
}

static size_t waiting_for_frames(const struct bulk *b)
{
	size_t count = 0;
	for (int i = 0; i < 2; i++)
		for (size_t k = 0; k < b->part[i].count; k++)
			count += in_open_frame(b, &b->part[i].items[k]);
	return count;
}

/* The part before the current one ends; it is the next to be filled, beginning with what has to wait. */
static int turn(struct bulk *b)
{
	struct bulk_part *filled = &b->part[b->current], *before = &b->part[!b->current];
	int err = waiting_for_frames(b) > b->room / 2 ? close_frames(b) : PS_OK;
	staging_start(b->s, &filled->set);
	if (!err)
		err = set_entries(b, before);
	if (err)
		return err;
	size_t kept = 0;
	for (size_t i = 0; i < filled->count; i++) {
		bool waits = in_open_frame(b, &filled->items[i]);
		*(waits ? &before->items[before->count++] : &filled->items[kept++]) = filled->items[i];
	}
	filled->count = kept;
	b->current = !b->current;
	return PS_OK;
}

static void drop_frame_memory(struct bulk *b, unsigned class)
{
	struct bulk_frame *f = &b->frames[class];
	b->frame_memory -= f->bytes ? frame_bytes(b, class) : 0;
	ps_memory_free(&b->s->memory, f->bytes, frame_bytes(b, class));
	f->bytes = NULL;
}

static void drop_memory(struct bulk *b)
{
	for (size_t i = 0; b->frames && i < frames_of(b); i++)
		drop_frame_memory(b, (unsigned)i);
}

static int settle(struct bulk *b)
{
	int err = close_frames(b);
	for (int i = 0; i < 2 && !err; i++)
		err = turn(b);
	return err;
}

/* All memory that can be had, and all space that waits for a checkpoint. */
static int relieve(struct bulk *b)
{
	int err = settle(b);
	if (err)
		return err;
	drop_memory(b);
	return checkpoint_run(b->s);
}

/* ---- places ---- */

/* PS_ENOTSUP: the root is to have it. */
static int take_frame(struct bulk *b, unsigned class, uint64_t *place)
{
	struct store *s = b->s;
	pthread_mutex_lock(&s->lock);
	int err = store_begin_writing(s);
	if (!err)
		err = space_alloc_frame(&s->space, class, place);
	if (!err)
		s->uncommitted_bytes += usable_bytes(b, class);
	pthread_mutex_unlock(&s->lock);
	return err == PS_ENOSPC ? PS_ENOTSUP : err;
}

static void give_slot(struct store *s, unsigned class, uint64_t place)
{
	struct ps_extent slot = {place, ps_class_geometry(s->classes, class)->slot_bytes};
	s->uncommitted_bytes -= slot.len;
	space_free_slot_now(&s->space, class, slot);
}

/* One that is a frame by itself goes to the buffer at once. */
static int lay_alone(struct bulk *b, unsigned class, struct bulk_item *item, const uint8_t *bytes,
                     uint32_t len)
{
	uint64_t place;
	uint8_t *to;
	int err = take_frame(b, class, &place);
	if (err)
		return err;
	err = staging_lay(b->s, bulk_writes(b), (struct ps_extent){place, frame_bytes(b, class)}, &to);
	if (err) {
		pthread_mutex_lock(&b->s->lock);
		give_slot(b->s, class, place);
		pthread_mutex_unlock(&b->s->lock);
		return err;
	}
	copy_padded(to, bytes, len, frame_bytes(b, class));
	entry_set_place(&item->entry, class, place);
	item->taken += usable_bytes(b, class);
	return PS_OK;
}

/* PS_ENOTSUP: frames of classes have as much as they may; a page of the root does with less. */
static int get_frame_memory(struct bulk *b, unsigned class)
{
	uint32_t bytes = frame_bytes(b, class);
	if (class && b->frame_memory + bytes > b->s->budget / 4)
		return PS_ENOTSUP;
	b->frames[class].bytes = ps_memory_alloc(&b->s->memory, bytes);
	if (!b->frames[class].bytes)
		return ps_fail(PS_ENOMEM, "%s: no memory for a bulk load", b->s->path);
	b->frame_memory += bytes;
	return PS_OK;
}

static int open_frame(struct bulk *b, unsigned class)
{
	struct bulk_frame *f = &b->frames[class];
	struct ps_extent page = {0, PAGE};
	int err = f->bytes ? PS_OK : get_frame_memory(b, class);
	if (err)
		return err;
	err = class ? take_frame(b, class, &page.offset) : staging_take(b->s, bulk_writes(b), PAGE, &page);
	f->place = err ? 0 : page.offset;
	return err;
}

/* Among others of its class, or in a page of the root; `bytes` of it are taken. */
static int lay_among(struct bulk *b, unsigned class, struct bulk_item *item, const uint8_t *contents,
                     uint32_t len)
{
	struct bulk_frame *f = &b->frames[class];
	uint32_t bytes =
	    class ? ps_class_geometry(b->s->classes, class)->slot_bytes : (uint32_t)extent_len(len);
	int err = PS_OK;
	if (f->place && f->used + bytes > usable_bytes(b, class))
		err = close_frame(b, class);
	if (!err && !f->place)
		err = open_frame(b, class);
	if (err)
		return err;
	copy_padded(f->bytes + f->used, contents, len, bytes);
	entry_set_place(&item->entry, class, f->place + f->used);
	f->used += bytes;
	item->taken += bytes;
	return PS_OK;
}

/* Whole pages of the root. */
static int lay_pages(struct bulk *b, struct bulk_item *item, const uint8_t *bytes, uint32_t len)
{
	struct ps_extent extent;
	uint8_t *to;
	int err = staging_take(b->s, bulk_writes(b), extent_len(len), &extent);
	if (err)
		return err;
	err = staging_lay(b->s, bulk_writes(b), extent, &to);
	if (err) {
		pthread_mutex_lock(&b->s->lock);
		b->s->uncommitted_bytes -= extent.len;
		space_free_now(&b->s->space, extent);
		pthread_mutex_unlock(&b->s->lock);
		return err;
	}
	copy_padded(to, bytes, len, extent.len);
	entry_set_place(&item->entry, 0, extent.offset);
	item->taken += extent.len;
	return PS_OK;
}

static unsigned route(const struct store *s, const struct entry *e, uint32_t len)
{
	uint32_t most = atomic_load_explicit(&s->route_max, memory_order_relaxed);
	return len <= most && entry_kind(e) == ENTRY_DATA ? ps_class_for(s->classes, len) : 0;
}

static int lay(struct bulk *b, struct bulk_item *item, const uint8_t *bytes, uint32_t len)
{
	unsigned class = route(b->s, &item->entry, len);
	int err = PS_ENOTSUP;
	if (class && ps_class_geometry(b->s->classes, class)->slots_per_frame == 1)
		err = lay_alone(b, class, item, bytes, len);
	else if (class)
		err = lay_among(b, class, item, bytes, len);
	if (err != PS_ENOTSUP)
		return err;
	return len >= PAGE ? lay_pages(b, item, bytes, len) : lay_among(b, 0, item, bytes, len);
}

int bulk_add(struct bulk *b, uint64_t slot, const struct entry *e, const uint8_t *bytes, uint32_t len,
             uint64_t taken)
{
	struct bulk_item item = {slot, *e, taken};
	int err = b->part[b->current].count >= b->room ? turn(b) : PS_OK;
	if (!err && len)
		err = lay(b, &item, bytes, len);
	if (err == PS_ENOMEM || err == PS_ENOSPC) {
		err = relieve(b);
		if (!err && len)
			err = lay(b, &item, bytes, len);
	}
	if (!err)
		append(b, &item);
	return err;
}

/* ---- the end ---- */

int bulk_settle(struct bulk *b)
{
	struct store *s = b->s;
	int err = settle(b);
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < b->rest_count; i++) {
		const struct bulk_rest *r = &b->rests[i];
		uint32_t step = ps_class_geometry(s->classes, r->class)->slot_bytes;
		for (uint64_t at = r->from; at < r->to; at += step)
			give_slot(s, r->class, at);
	}
	pthread_mutex_unlock(&s->lock);
	b->rest_count = 0;
	return PS_OK;
}

void bulk_done(struct bulk *b)
{
	struct ps_memory *m = &b->s->memory;
	for (int i = 0; i < 2; i++) {
		staging_abandon(b->s, &b->part[i].set);
		ps_memory_free(m, b->part[i].items, items_bytes(b));
	}
	drop_memory(b);
	ps_memory_free(m, b->frames, frames_of(b) * sizeof(*b->frames));
	ps_memory_free(m, b->rests, b->rest_size * sizeof(*b->rests));
}
