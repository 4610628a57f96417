/* Looking up: in the runs of a state, the newest that may have it first; in a run, the pack by slots; in a
 * pack, the block by its index; in a block, the item. A view is a manifest that does not change: calls hold
 * the one that they began with, and begin again with a newer one when a pack of theirs is gone. */
#include "multistore/state_lookup.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "multistore/pack_loader.h"
#include "multistore/push_internal.h"

enum { CACHE_BYTES = 16 << 20 };

struct view {
	struct ps_push_manifest m;
	uint32_t holders;
};

struct ps_state_lookup {
	struct ps_memory *memory;
	struct ps_state_lookup_options options;
	struct ps_pack_loader loader;
	atomic_ullong renewed;
	pthread_mutex_t lock; /* guards the view, not what is in it; a leaf */
	struct view *view;
	pthread_mutex_t renewing; /* one reads the manifest; outside of the lock above */
};

/* An object, and where it is. */
struct place {
	struct ps_cut_object object;
	const struct ps_push_manifest *m;
	const struct ps_push_manifest_state *state;
	uint32_t run_number; /* among the state's */
	const struct ps_push_manifest_run *run;
	const struct ps_push_manifest_pack *packs; /* of the run */
	uint32_t pack;                             /* in which it begins */
	struct ps_cached *index, *block;           /* held */
	const struct ps_pack_block_item *item;
};

/* ---- views ---- */

static void free_view(ps_state_lookup *l, struct view *v)
{
	ps_push_manifest_done(&v->m);
	ps_memory_free(l->memory, v, sizeof(*v));
}

static struct view *hold_view(ps_state_lookup *l)
{
	pthread_mutex_lock(&l->lock);
	struct view *v = l->view;
	v->holders++;
	pthread_mutex_unlock(&l->lock);
	return v;
}

static void release_view(ps_state_lookup *l, struct view *v)
{
	pthread_mutex_lock(&l->lock);
	bool last = --v->holders == 0;
	pthread_mutex_unlock(&l->lock);
	if (last)
		free_view(l, v);
}

static const struct ps_push_manifest_state *find_state(const struct ps_push_manifest *m, uint64_t number)
{
	for (uint32_t i = 0; i < m->state_count; i++)
		if (number == 0 || m->states[i].info.here.interval == number)
			return &m->states[i];
	return NULL;
}

static int read_view(ps_state_lookup *l, struct view **view)
{
	struct view *v = ps_memory_zalloc(l->memory, sizeof(*v));
	if (!v)
		return ps_fail(PS_ENOMEM, "no memory for a manifest");
	v->holders = 1; /* the lookup's */
	ps_push_manifest_init(&v->m, l->memory);
	int err = push_read_manifest(l->loader.r, PS_PUSH_MANIFEST_KEY, &v->m);
	if (!err && !find_state(&v->m, l->options.state))
		err = ps_fail(PS_ENOTFOUND, "state %llu is not kept here",
		              (unsigned long long)l->options.state);
	if (err)
		free_view(l, v);
	else
		*view = v;
	return err;
}

static bool same_manifest(const struct ps_push_manifest *a, const struct ps_push_manifest *b)
{
	return a->state_count == b->state_count &&
	       memcmp(a->states[0].mark, b->states[0].mark, PS_PACK_MARK) == 0;
}

static int renew(ps_state_lookup *l, bool *changed)
{
	struct view *fresh = NULL, *old = l->view; /* only who renews takes its place */
	int err = read_view(l, &fresh);
	*changed = !err && !same_manifest(&fresh->m, &old->m);
	if (err)
		return err;
	if (!*changed) {
		free_view(l, fresh);
		return PS_OK;
	}
	pthread_mutex_lock(&l->lock);
	l->view = fresh;
	pthread_mutex_unlock(&l->lock);
	atomic_fetch_add(&l->renewed, 1);
	release_view(l, old);
	return PS_OK;
}

int ps_state_lookup_renew(ps_state_lookup *l, bool *changed)
{
	bool any;
	pthread_mutex_lock(&l->renewing);
	int err = renew(l, &any);
	pthread_mutex_unlock(&l->renewing);
	if (!err && changed)
		*changed = any;
	return err;
}

uint64_t ps_state_lookup_state(ps_state_lookup *l)
{
	struct view *v = hold_view(l);
	uint64_t number = find_state(&v->m, l->options.state)->info.here.interval;
	release_view(l, v);
	return number;
}

/* ---- one run ---- */

/* The first pack that may have something of the slot; run->packs: none has. */
static uint32_t find_pack(const struct ps_push_manifest_run *run, const struct ps_push_manifest_pack *packs,
                          ps_id id)
{
	uint32_t from = 0, to = run->packs;
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		if (ps_slot_of(packs[middle].last) < ps_slot_of(id))
			from = middle + 1;
		else
			to = middle;
	}
	return from < run->packs && ps_slot_of(packs[from].first) <= ps_slot_of(id) ? from : run->packs;
}

static void leave_place(ps_state_lookup *l, struct place *p)
{
	ps_pack_cache_release(l->loader.cache, p->block);
	ps_pack_cache_release(l->loader.cache, p->index);
	p->block = p->index = NULL;
}

/* How far it goes to find something. */
enum reach {
	REACH_FETCH,  /* what is not there is fetched */
	REACH_AHEAD,  /* and some of what is behind it */
	REACH_CACHED, /* LOOKUP_AWAY */
};
enum { LOOKUP_AWAY = 100, AHEAD_BLOCKS = 15 };

static int hold_index(ps_state_lookup *l, enum reach reach, struct place *p)
{
	const struct ps_push_manifest_pack *pack = &p->packs[p->pack];
	if (reach != REACH_CACHED)
		return ps_pack_load_index(&l->loader, pack, &p->index);
	int err = ps_pack_peek_index(&l->loader, pack, &p->index);
	return err || p->index ? err : LOOKUP_AWAY;
}

static int hold_block(ps_state_lookup *l, enum reach reach, uint32_t block, struct place *p)
{
	const struct ps_pack_index *index = &p->index->index;
	uint32_t behind = index->tail.blocks - 1 - block;
	if (reach != REACH_CACHED)
		return ps_pack_load_block(
		    &l->loader, index, block,
		    block + (reach != REACH_AHEAD ? 0 : behind < AHEAD_BLOCKS ? behind : AHEAD_BLOCKS),
		    &p->block);
	p->block = ps_pack_peek_block(&l->loader, index, block);
	return p->block ? PS_OK : LOOKUP_AWAY;
}

/* PS_ENOTFOUND: the run has nothing of the slot. */
static int find_in_run(ps_state_lookup *l, const struct ps_push_manifest *m,
                       const struct ps_push_manifest_state *s, uint32_t run_number, ps_id id, enum reach reach,
                       struct place *p)
{
	const struct ps_push_manifest_run *run = &m->runs[s->run[run_number]];
	uint32_t block;
	*p = (struct place){.m = m,
	                    .state = s,
	                    .run_number = run_number,
	                    .run = run,
	                    .packs = ps_push_manifest_packs(m, run)};
	p->pack = find_pack(run, p->packs, id);
	if (p->pack == run->packs)
		return PS_ENOTFOUND;
	int err = hold_index(l, reach, p);
	if (err)
		return err;
	err = PS_ENOTFOUND;
	if (ps_pack_index_find(&p->index->index, id, 0, &block))
		err = hold_block(l, reach, block, p);
	if (!err)
		p->item = ps_pack_block_find(&p->block->block, id, 0);
	if (p->item)
		p->object = ps_pack_block_object(&p->block->block, p->item);
	else if (!err)
		err = PS_ENOTFOUND;
	if (err)
		leave_place(l, p);
	return err;
}

/* ---- a state ---- */

static int is_gone(ps_id id, uint64_t state)
{
	return ps_fail(PS_ENOTFOUND, "object 0x%llx is not in state %llu", (unsigned long long)id,
	               (unsigned long long)state);
}

/* Of the slot, whatever it has. PS_ESUPERSEDED: the state has it as it was later; *p is where. PS_ENOTFOUND,
 * without a sentence: it was never used. */
static int find_slot(ps_state_lookup *l, const struct ps_push_manifest *m,
                     const struct ps_push_manifest_state *s, ps_id id, uint64_t interval, enum reach reach,
                     struct place *p)
{
	uint64_t number = s->info.here.interval;
	int err = PS_ENOTFOUND;
	for (uint32_t i = s->runs; i > 0 && err == PS_ENOTFOUND; i--)
		if (m->runs[s->run[i - 1]].since < interval)
			err = find_in_run(l, m, s, i - 1, id, reach, p);
	if (err)
		return err;
	if (p->object.interval > interval)
		return ps_fail(
		    PS_ESUPERSEDED,
		    "object 0x%llx as it was in interval %llu is not in state %llu, which has it as "
		    "of %llu",
		    (unsigned long long)id, (unsigned long long)interval, (unsigned long long)number,
		    (unsigned long long)p->object.interval);
	return PS_OK;
}

static int find_in_state(ps_state_lookup *l, const struct ps_push_manifest *m,
                         const struct ps_push_manifest_state *s, ps_id id, uint64_t interval, struct place *p)
{
	uint64_t number = s->info.here.interval;
	int err = find_slot(l, m, s, id, interval, REACH_FETCH, p);
	if (err == PS_ENOTFOUND)
		return is_gone(id, number);
	if (err)
		return err;
	if (p->object.id == id && p->object.kind != PS_CUT_GONE)
		return PS_OK;
	leave_place(l, p);
	return is_gone(id, number);
}

/* The newest state that has it as it was then. */
static int find_in_view(ps_state_lookup *l, const struct ps_push_manifest *m, ps_id id, uint64_t interval,
                        struct place *p)
{
	int err = ps_fail(PS_ESUPERSEDED, "no state that is kept is as late as interval %llu",
	                  (unsigned long long)interval);
	for (uint32_t i = 0; i < m->state_count && err == PS_ESUPERSEDED; i++) {
		const struct ps_push_manifest_state *s = &m->states[i];
		if (l->options.state && s->info.here.interval != l->options.state)
			continue;
		if (s->info.here.interval < interval && interval != UINT64_MAX)
			break;
		err = find_in_state(l, m, s, id, interval, p);
		if (err == PS_ESUPERSEDED)
			leave_place(l, p);
	}
	return err;
}

/* ---- contents ---- */

/* Pieces of an object, asked for in ascending order: the pack and the block of the last one are held. */
struct walk {
	ps_state_lookup *l;
	const struct place *p;
	uint32_t pack; /* of index */
	struct ps_cached *index, *block;
	uint32_t number; /* of block */
};

static void end_walk(struct walk *w)
{
	ps_pack_cache_release(w->l->loader.cache, w->block);
	ps_pack_cache_release(w->l->loader.cache, w->index);
}

static int to_pack(struct walk *w, uint32_t pack)
{
	struct ps_cached *index;
	if (w->index && w->pack == pack)
		return PS_OK;
	int err = ps_pack_load_index(&w->l->loader, &w->p->packs[pack], &index);
	if (err)
		return err;
	ps_pack_cache_release(w->l->loader.cache, w->block);
	ps_pack_cache_release(w->l->loader.cache, w->index);
	w->index = index;
	w->block = NULL;
	w->pack = pack;
	return PS_OK;
}

/* Of the packs that go on within the object, the last: the manifest says which they are. */
static uint32_t last_pack(const struct place *p)
{
	uint32_t last = p->pack;
	while (last + 1 < p->run->packs && p->packs[last].open && p->packs[last].last == p->object.id &&
	       p->packs[last + 1].continues)
		last++;
	return last;
}

/* Whether the object goes on behind the pack, with this offset. */
static bool is_behind(const struct walk *w, uint64_t offset)
{
	const struct ps_pack_tail *t = &w->index->index.tail;
	return t->open && ps_slot_of(t->last) == ps_slot_of(w->p->object.id) && offset >= t->next;
}

/* The one pack that can have the piece at this offset: the last that does not go on behind it. */
static int find_piece_pack(struct walk *w, uint64_t offset)
{
	uint32_t from = w->index ? w->pack : w->p->pack;
	int err = to_pack(w, from);
	if (err || !is_behind(w, offset))
		return err;
	for (uint32_t to = last_pack(w->p); from < to && !err;) {
		uint32_t middle = from + (to - from + 1) / 2;
		err = to_pack(w, middle);
		if (!err && w->index->index.tail.from <= offset)
			from = middle;
		else
			to = middle - 1;
	}
	return err ? err : to_pack(w, from);
}

static int to_block(struct walk *w, uint32_t number, uint32_t wanted)
{
	struct ps_cached *block;
	if (w->block && w->number == number)
		return PS_OK;
	int err = ps_pack_load_block(&w->l->loader, &w->index->index, number, wanted, &block);
	if (err)
		return err;
	ps_pack_cache_release(w->l->loader.cache, w->block);
	w->block = block;
	w->number = number;
	return PS_OK;
}

static bool length_fits(const struct ps_cut_object *o, uint64_t offset, size_t len)
{
	return offset < o->size && len == (o->size - offset < PS_CUT_PIECE ? o->size - offset : PS_CUT_PIECE);
}

/* What the run says of a piece. */
struct said {
	bool any;             /* false: nothing */
	const uint8_t *bytes; /* NULL: zeros */
	size_t len;
};

/* The piece at this offset. Those up to `last` are going to be asked for. */
static int find_piece(struct walk *w, uint64_t offset, uint64_t last, struct said *said)
{
	const struct ps_cut_object *o = &w->p->object;
	uint32_t number, wanted = 0;
	*said = (struct said){0};
	int err = find_piece_pack(w, offset);
	if (err || !ps_pack_index_find(&w->index->index, o->id, offset / PS_CUT_PIECE + 1, &number))
		return err;
	(void)ps_pack_index_find(&w->index->index, o->id, last / PS_CUT_PIECE + 1, &wanted);
	err = to_block(w, number, wanted);
	if (err)
		return err;
	const struct ps_pack_block_item *item =
	    ps_pack_block_find(&w->block->block, o->id, offset / PS_CUT_PIECE + 1);
	if (!item)
		return PS_OK;
	bool zeros = ps_pack_block_is_zeros(item);
	if (item->id != o->id || (zeros ? o->kind != PS_CUT_PATCH : !length_fits(o, offset, item->len))) {
		char name[PS_PACK_NAME];
		ps_pack_name(&w->p->packs[w->pack].about, name);
		return ps_fail(PS_ECORRUPT, "%s: the piece at %llu of object 0x%llx does not belong to it",
		               name, (unsigned long long)offset, (unsigned long long)o->id);
	}
	*said = (struct said){true, zeros ? NULL : w->block->block.bytes + item->at, item->len};
	return PS_OK;
}

/* A run that has pieces of the object. What a patch does not say the next older one does. */
struct layer {
	struct place p;
	struct walk w;
	struct layer *older;
};

static int no_base(const struct place *p)
{
	char name[PS_PACK_NAME];
	ps_pack_name(&p->packs[p->pack].about, name);
	return ps_fail(PS_ECORRUPT,
	               "%s: has a patch of object 0x%llx, which no older run of state %llu has so", name,
	               (unsigned long long)p->object.id, (unsigned long long)p->state->info.here.interval);
}

static int find_older(ps_state_lookup *l, const struct place *p, struct place *older)
{
	int err = PS_ENOTFOUND;
	for (uint32_t i = p->run_number; i-- > 0 && err == PS_ENOTFOUND;)
		err = find_in_run(l, p->m, p->state, i, p->object.id, REACH_FETCH, older);
	if (err == PS_ENOTFOUND)
		return no_base(p);
	if (err || (older->object.id == p->object.id && ps_cut_has_pieces(older->object.kind)))
		return err;
	leave_place(l, older);
	return no_base(p);
}

static int add_older(ps_state_lookup *l, struct layer *y)
{
	struct layer *older = ps_memory_zalloc(l->memory, sizeof(*older));
	if (!older)
		return ps_fail(PS_ENOMEM, "no memory for an object in several runs");
	int err = find_older(l, &y->p, &older->p);
	if (err) {
		ps_memory_free(l->memory, older, sizeof(*older));
		return err;
	}
	older->w = (struct walk){.l = l, .p = &older->p};
	y->older = older;
	return PS_OK;
}

static void free_older(ps_state_lookup *l, struct layer *y)
{
	for (struct layer *older = y->older; older; older = y->older) {
		y->older = older->older;
		end_walk(&older->w);
		leave_place(l, &older->p);
		ps_memory_free(l->memory, older, sizeof(*older));
	}
}

/* The newest run that says something of the piece; what none says is zeros. */
static int find_newest(ps_state_lookup *l, struct layer *y, uint64_t offset, uint64_t last, struct said *said)
{
	for (;; y = y->older) {
		int err = find_piece(&y->w, offset, last, said);
		if (err || said->any || y->p.object.kind != PS_CUT_PATCH)
			return err;
		err = y->older ? PS_OK : add_older(l, y);
		if (err)
			return err;
	}
}

/* A piece that was shorter then goes on with zeros. */
static void copy_said(const struct said *said, size_t from, uint8_t *to, size_t len)
{
	size_t there = from < said->len ? said->len - from : 0;
	there = there < len ? there : len;
	if (there > 0)
		memcpy(to, said->bytes + from, there);
	memset(to + there, 0, len - there);
}

static int read_pieces(ps_state_lookup *l, const struct place *p, uint64_t offset, uint8_t *to, size_t len)
{
	struct layer newest = {.p = *p, .w = {.l = l, .p = p}};
	uint64_t end = offset + len;
	int err = PS_OK;
	while (offset < end && !err) {
		struct said said;
		uint64_t begin = offset - offset % PS_CUT_PIECE, next = begin + PS_CUT_PIECE;
		size_t step = (size_t)((next < end ? next : end) - offset);
		err = find_newest(l, &newest, begin, end - 1, &said);
		if (!err)
			copy_said(&said, (size_t)(offset - begin), to, step);
		to += step;
		offset += step;
	}
	free_older(l, &newest);
	end_walk(&newest.w);
	return err;
}

static int read_place(ps_state_lookup *l, const struct place *p, uint64_t offset, void *buf, size_t len)
{
	const struct ps_cut_object *o = &p->object;
	if (offset > o->size || len > o->size - offset)
		return ps_fail(
		    PS_ERANGE, "object 0x%llx had %llu bytes in interval %llu: %llu to %llu are none",
		    (unsigned long long)o->id, (unsigned long long)o->size, (unsigned long long)o->interval,
		    (unsigned long long)offset, (unsigned long long)(offset + len));
	if (len == 0)
		return PS_OK;
	if (ps_cut_has_pieces(o->kind))
		return read_pieces(l, p, offset, buf, len);
	if (o->kind == PS_CUT_BYTES)
		memcpy(buf, p->block->block.bytes + p->item->at + offset, len);
	else
		memset(buf, 0, len);
	return PS_OK;
}

/* ---- slots ---- */

struct asked {
	uint64_t slot, end, interval;
	enum reach reach; /* of the first one; the others cost nothing */
	bool told;
	ps_backing_told_fn fn;
	void *arg;
};

/* The newest state that has it as it was then: what is in none of that state's runs was never used. */
static int find_slot_in_view(ps_state_lookup *l, const struct ps_push_manifest *m, const struct asked *a,
                             uint64_t slot, enum reach reach, struct place *p)
{
	int err = ps_fail(PS_ESUPERSEDED, "no state that is kept is as late as interval %llu",
	                  (unsigned long long)a->interval);
	for (uint32_t i = 0; i < m->state_count && err == PS_ESUPERSEDED; i++) {
		const struct ps_push_manifest_state *s = &m->states[i];
		if (l->options.state && s->info.here.interval != l->options.state)
			continue;
		if (s->info.here.interval < a->interval)
			break;
		err = find_slot(l, m, s, ps_id_of_slot(slot), a->interval, reach, p);
		if (err == PS_ESUPERSEDED)
			leave_place(l, p);
	}
	return err;
}

static int tell_place(const struct asked *a, uint64_t slot, const struct place *p)
{
	struct ps_cut_object o = p->object;
	if (o.kind == PS_CUT_PATCH)
		o.kind = PS_CUT_CHUNKS;
	return a->fn(a->arg, slot, &o,
	             o.kind == PS_CUT_BYTES ? p->block->block.bytes + p->item->at : NULL);
}

/* Where it is not told, another manifest may help. */
static int tell_in(ps_state_lookup *l, const struct view *v, struct asked *a)
{
	int err = PS_OK;
	for (uint64_t slot = a->slot; slot < a->end && !err; slot++) {
		struct place p;
		err = find_slot_in_view(l, &v->m, a, slot, slot == a->slot ? a->reach : REACH_CACHED, &p);
		if (err && err != PS_ENOTFOUND)
			return slot == a->slot ? err : PS_OK;
		a->told = true;
		if (err) {
			err = a->fn(a->arg, slot, NULL, NULL);
			continue;
		}
		err = tell_place(a, slot, &p);
		leave_place(l, &p);
	}
	return err > 0 ? PS_OK : err;
}

/* ---- calls ---- */

struct wanted {
	ps_id id;
	uint64_t interval, offset;
	void *buf; /* NULL: only the object is */
	size_t len;
	struct ps_cut_object object;
};

static int look_in(ps_state_lookup *l, const struct view *v, struct wanted *w)
{
	struct place p;
	int err = find_in_view(l, &v->m, w->id, w->interval, &p);
	if (err)
		return err;
	w->object = p.object;
	if (p.object.kind == PS_CUT_PATCH)
		w->object.kind = PS_CUT_CHUNKS;
	if (w->buf)
		err = read_place(l, &p, w->offset, w->buf, w->len);
	leave_place(l, &p);
	return err;
}

/* What a pack is blamed for says for which object. */
static int name_object(const struct wanted *w, int err)
{
	char sentence[PS_CACHE_SENTENCE];
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	return ps_fail(err, "object 0x%llx, bytes %llu to %llu: %s", (unsigned long long)w->id,
	               (unsigned long long)w->offset, (unsigned long long)(w->offset + w->len), sentence);
}

/* Whether it may be otherwise with a newer manifest. */
static bool may_be_old(int err)
{
	return err == PS_ESUPERSEDED || err == PS_ELOST;
}

/* What was wrong comes back with its sentence, if there is no newer manifest. */
static int try_newer(ps_state_lookup *l, const struct view *before, int err, bool *newer)
{
	char sentence[PS_CACHE_SENTENCE];
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	struct view *now = hold_view(l);
	*newer = now != before;
	release_view(l, now);
	int renewed = *newer ? PS_OK : ps_state_lookup_renew(l, newer);
	return renewed || !*newer ? ps_fail(err, "%s", sentence) : err;
}

static int look(ps_state_lookup *l, struct wanted *w)
{
	int err;
	bool newer;
	do {
		struct view *v = hold_view(l);
		newer = false;
		err = look_in(l, v, w);
		if (may_be_old(err))
			err = try_newer(l, v, err, &newer);
		release_view(l, v);
	} while (newer);
	return err && err != PS_ENOTFOUND && err != PS_ERANGE ? name_object(w, err) : err;
}

int ps_state_lookup_tell(ps_state_lookup *l, uint64_t slot, uint64_t end, uint64_t interval, bool ahead,
                         ps_backing_told_fn fn, void *arg)
{
	struct asked a = {slot, end, interval, ahead ? REACH_AHEAD : REACH_FETCH, false, fn, arg};
	int err;
	bool newer;
	do {
		struct view *v = hold_view(l);
		newer = false;
		err = tell_in(l, v, &a);
		if (!a.told && may_be_old(err))
			err = try_newer(l, v, err, &newer);
		release_view(l, v);
	} while (newer);
	return err;
}

int ps_state_lookup_find(ps_state_lookup *l, ps_id id, uint64_t interval, struct ps_cut_object *object)
{
	struct wanted w = {.id = id, .interval = interval};
	int err = look(l, &w);
	if (!err)
		*object = w.object;
	return err;
}

int ps_state_lookup_read(ps_state_lookup *l, ps_id id, uint64_t interval, uint64_t offset, void *buf,
                         size_t len)
{
	struct wanted w = {.id = id, .interval = interval, .offset = offset, .buf = buf, .len = len};
	return look(l, &w);
}

void ps_state_lookup_figures(ps_state_lookup *l, struct ps_state_lookup_figures *figures)
{
	*figures = (struct ps_state_lookup_figures){.reads = atomic_load(&l->loader.reads),
	                                            .read_bytes = atomic_load(&l->loader.read_bytes),
	                                            .renewed = atomic_load(&l->renewed)};
}

void ps_state_lookup_stop(ps_state_lookup *l, bool stop)
{
	atomic_store(&l->loader.stopped, stop);
}

/* ---- life ---- */

static int init_locks(ps_state_lookup *l)
{
	if (pthread_mutex_init(&l->lock, NULL) == 0) {
		if (pthread_mutex_init(&l->renewing, NULL) == 0)
			return PS_OK;
		(void)pthread_mutex_destroy(&l->lock);
	}
	return ps_fail(PS_ENOMEM, "no memory for looking into a state");
}

int ps_state_lookup_open(struct ps_memory *memory, ps_remote *r,
                         const struct ps_state_lookup_options *options, ps_state_lookup **lookup)
{
	ps_state_lookup *l = ps_memory_zalloc(memory, sizeof(*l));
	if (!l)
		return ps_fail(PS_ENOMEM, "no memory for looking into a state");
	l->memory = memory;
	if (options)
		l->options = *options;
	int err = init_locks(l);
	if (err) {
		ps_memory_free(memory, l, sizeof(*l));
		return err;
	}
	err = ps_pack_loader_init(&l->loader, memory, r,
	                          l->options.cache_bytes ? l->options.cache_bytes : CACHE_BYTES);
	if (!err)
		err = read_view(l, &l->view);
	if (err)
		ps_state_lookup_free(l);
	else
		*lookup = l;
	return err;
}

void ps_state_lookup_free(ps_state_lookup *l)
{
	if (!l)
		return;
	ps_pack_loader_done(&l->loader);
	if (l->view)
		free_view(l, l->view);
	(void)pthread_mutex_destroy(&l->renewing);
	(void)pthread_mutex_destroy(&l->lock);
	ps_memory_free(l->memory, l, sizeof(*l));
}
