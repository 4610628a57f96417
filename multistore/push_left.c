/* What earlier pushes have left: packs of one that did not end are taken over where nothing in them was
 * changed since; packs that no manifest names any more are removed. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "multistore/push_internal.h"

/* ---- finding ---- */

struct found {
	struct push *p;
	struct name {
		char name[PS_PACK_NAME];
		uint64_t bytes;
	} * names;
	uint32_t count;
	size_t capacity;
	int err;
};

static int add_name(struct found *f, const char *name, uint64_t bytes)
{
	struct name *names = ps_memory_grow(&f->p->memory, f->names, f->count, &f->capacity, sizeof(*names));
	if (!names)
		return PS_ENOMEM;
	f->names = names;
	struct name *to = &f->names[f->count++];
	size_t len = strlen(name);
	memcpy(to->name, name, len < PS_PACK_NAME ? len + 1 : PS_PACK_NAME);
	to->bytes = bytes;
	return PS_OK;
}

static void free_names(struct found *f)
{
	ps_memory_free(&f->p->memory, f->names, f->capacity * sizeof(*f->names));
}

/* Whole packs of attempts. */
static int see_attempt(void *arg, const struct ps_remote_info *info)
{
	struct found *f = arg;
	uint8_t mark[PS_PACK_MARK];
	uint32_t number;
	if (info->exists && info->complete && ps_pack_name_parse(info->key, mark, &number) == PS_OK &&
	    ps_push_note_tried(&f->p->note, mark))
		f->err = add_name(f, info->key, info->size);
	return f->err;
}

static int list_packs(struct found *f, ps_remote_info_fn see)
{
	int err = ps_remote_list(f->p->r, "pack/", see, f);
	return f->err ? f->err : err;
}

static int add_left(struct push *p, const struct ps_pack_tail *tail, uint64_t bytes)
{
	struct left_pack *left =
	    ps_memory_grow(&p->memory, p->left, p->left_count, &p->left_capacity, sizeof(*left));
	if (!left)
		return PS_ENOMEM;
	p->left = left;
	p->left[p->left_count++] = (struct left_pack){.tail = *tail, .bytes = bytes};
	return PS_OK;
}

/* What cannot be read is not taken over: it is sent again, and the pack removed. Only that the network is
 * away ends the push. */
static int read_left(struct push *p, const struct name *name)
{
	uint8_t end[PS_PACK_TAIL], mark[PS_PACK_MARK];
	struct ps_pack_tail tail;
	uint32_t number;
	size_t got = 0;
	if (name->bytes < sizeof(end))
		return PS_OK;
	int err =
	    ps_remote_read_at(p->r, name->name, name->bytes - sizeof(end), end, sizeof(end), &got, NULL);
	if (err == PS_EUNAVAILABLE || err == PS_ETIMEDOUT || err == PS_ENOMEM || err == PS_ECANCELED)
		return err;
	if (err || got != sizeof(end) || ps_pack_tail_decode(end, name->bytes, &tail) != PS_OK)
		return PS_OK;
	if (ps_pack_name_parse(name->name, mark, &number) != PS_OK || number != tail.about.number ||
	    memcmp(mark, tail.about.mark, sizeof(mark)) != 0)
		return PS_OK;
	return add_left(p, &tail, name->bytes);
}

/* By slots; of those that begin at the same place, the newest first. */
static int compare_left(const void *a, const void *b)
{
	const struct ps_pack_tail *l = &((const struct left_pack *)a)->tail,
	                          *r = &((const struct left_pack *)b)->tail;
	if (l->first != r->first)
		return l->first < r->first ? -1 : 1;
	if (l->continues != r->continues)
		return l->continues ? 1 : -1;
	if (l->from != r->from)
		return l->from < r->from ? -1 : 1;
	return l->about.upto > r->about.upto ? -1 : l->about.upto < r->about.upto;
}

static bool ends_a_run(const struct push *p, uint64_t interval)
{
	const struct ps_push_manifest_state *s = ps_push_manifest_newest(&p->old);
	for (uint32_t i = 0; s && i < s->runs; i++)
		if (p->old.runs[s->run[i]].upto == interval)
			return true;
	return interval == 0;
}

/* All attempts behind one state have begun where that ends, or at an earlier end: the one with the most bytes
 * counts. */
static uint64_t choose_since(const struct push *p)
{
	uint64_t best = 0, most = 0;
	for (uint32_t i = 0; i < p->left_count; i++) {
		uint64_t since = p->left[i].tail.about.since, bytes = 0;
		for (uint32_t k = 0; k < p->left_count; k++)
			bytes += p->left[k].tail.about.since == since ? p->left[k].bytes : 0;
		if (bytes > most && ends_a_run(p, since)) {
			most = bytes;
			best = since;
		}
	}
	return most ? best : UINT64_MAX;
}

int push_find_left(struct push *p, uint64_t *since, bool *found)
{
	struct found f = {.p = p};
	*found = false;
	if (p->note.attempts == 0 || p->ended)
		return PS_OK;
	int err = list_packs(&f, see_attempt);
	for (uint32_t i = 0; i < f.count && !err; i++)
		err = read_left(p, &f.names[i]);
	free_names(&f);
	if (err)
		return err;
	uint64_t best = choose_since(p);
	*found = best != UINT64_MAX;
	if (*found)
		*since = best;
	return PS_OK;
}

/* ---- choosing ---- */

/* Nothing in it was changed since it was written. */
static int is_current(struct push *p, const struct ps_pack_tail *t, bool *current)
{
	*current = false;
	if (t->about.since != p->since || t->about.upto > p->info.here.interval)
		return PS_OK;
	return ps_cut_unchanged(p->cut, t->first, t->last, t->about.upto, current);
}

/* The pack that goes on where this one ends within an object; NULL: it was not sent. */
static const struct left_pack *goes_on(const struct push *p, const struct ps_pack_tail *t)
{
	for (uint32_t i = 0; t->open && i < p->left_count; i++) {
		const struct ps_pack_tail *next = &p->left[i].tail;
		if (next->continues && next->first == t->last && next->from == t->next &&
		    next->about.since == t->about.since)
			return &p->left[i];
	}
	return NULL;
}

/* This one, and those that go on with its objects, as far as they are as the cut has it. */
static int choose_chain(struct push *p, const struct left_pack *first, struct left_pack *chosen,
                        uint32_t *count)
{
	bool current;
	int err = is_current(p, &first->tail, &current);
	for (const struct left_pack *next = first; !err && current && next && *count < p->left_count;) {
		chosen[(*count)++] = *next;
		next = goes_on(p, &next->tail);
		if (next)
			err = is_current(p, &next->tail, &current);
	}
	return err;
}

static int choose(struct push *p, struct left_pack *chosen, uint32_t *count)
{
	int err = PS_OK;
	qsort(p->left, p->left_count, sizeof(*p->left), compare_left);
	for (uint32_t i = 0; i < p->left_count && !err; i++) {
		const struct ps_pack_tail *t = &p->left[i].tail;
		bool behind = *count == 0 || ps_slot_of(chosen[*count - 1].tail.last) < ps_slot_of(t->first);
		if (!t->continues && behind)
			err = choose_chain(p, &p->left[i], chosen, count);
	}
	return err;
}

int push_choose_left(struct push *p)
{
	uint32_t count = 0;
	p->left_next = 0;
	if (p->left_count == 0)
		return PS_OK;
	struct left_pack *chosen = ps_memory_alloc(&p->memory, p->left_capacity * sizeof(*chosen));
	if (!chosen)
		return ps_fail(PS_ENOMEM, "no memory for %u packs of an earlier push", p->left_count);
	int err = choose(p, chosen, &count);
	ps_memory_free(&p->memory, p->left, p->left_capacity * sizeof(*p->left));
	p->left = chosen;
	p->left_count = count;
	return err;
}

/* ---- taking ---- */

static int take_pack(struct push *p, const struct left_pack *left)
{
	p->result.kept_packs++;
	p->done += left->tail.contents;
	p->taken += left->tail.contents;
	return push_add_pack(p, &left->tail, left->bytes);
}

bool push_left_begins(const struct push *p, ps_id id)
{
	return p->left_next < p->left_count && ps_slot_of(p->left[p->left_next].tail.first) <= ps_slot_of(id);
}

int push_take_left(struct push *p, const struct ps_pack_tail **last)
{
	int err;
	do {
		*last = &p->left[p->left_next].tail;
		err = take_pack(p, &p->left[p->left_next++]);
	} while (!err && p->left_next < p->left_count && p->left[p->left_next].tail.continues);
	return err;
}

/* ---- removing ---- */

struct kept {
	uint8_t mark[PS_PACK_MARK];
	uint32_t number;
};

static int compare_kept(const void *a, const void *b)
{
	const struct kept *l = a, *r = b;
	int by_mark = memcmp(l->mark, r->mark, PS_PACK_MARK);
	return by_mark ? by_mark : l->number < r->number ? -1 : l->number > r->number;
}

static struct kept kept_of(const struct ps_pack_about *about)
{
	struct kept k = {.number = about->number};
	memcpy(k.mark, about->mark, PS_PACK_MARK);
	return k;
}

struct removal {
	struct found found; /* packs that may have to go */
	struct kept *kept;
	uint32_t count;
	bool only_ours; /* of this file's attempts */
};

static bool is_kept(const struct removal *m, const char *name)
{
	struct ps_pack_about about;
	if (ps_pack_name_parse(name, about.mark, &about.number) != PS_OK)
		return true; /* not ours */
	struct kept k = kept_of(&about);
	return m->count > 0 && bsearch(&k, m->kept, m->count, sizeof(k), compare_kept);
}

static int see_any(void *arg, const struct ps_remote_info *info)
{
	struct removal *m = arg;
	uint8_t mark[PS_PACK_MARK];
	uint32_t number;
	bool ours = ps_pack_name_parse(info->key, mark, &number) == PS_OK &&
	            ps_push_note_tried(&m->found.p->note, mark);
	if (!is_kept(m, info->key) && (ours || !m->only_ours))
		m->found.err = add_name(&m->found, info->key, info->exists ? info->size : 0);
	return m->found.err;
}

/* The packs of the manifest before; or, where there may be others, all that are there. */
static int find_garbage(struct push *p, struct removal *m)
{
	int err = PS_OK;
	if (p->sweep || m->only_ours) {
		err = ps_remote_list(p->r, "pack/", see_any, m);
		return m->found.err ? m->found.err : err;
	}
	for (uint32_t i = 0; i < p->old.pack_count && !err; i++) {
		char name[PS_PACK_NAME];
		ps_pack_name(&p->old.packs[i].about, name);
		if (!is_kept(m, name))
			err = add_name(&m->found, name, p->old.packs[i].bytes);
	}
	return err;
}

static int remove_one(ps_remote *r, const char *name)
{
	int err = ps_remote_remove(r, name);
	if (err == PS_ENOTFOUND)
		err = ps_remote_release(r, name);
	return err == PS_ENOTFOUND ? PS_OK : err;
}

/* Their pads are free with the next head. Where they are many that is worth a head of its own; else the next
 * push brings it. */
static int remove_all(struct push *p, const struct removal *m, const struct ps_push_manifest *now)
{
	uint64_t removed = 0, there = 0;
	int err = PS_OK;
	for (uint32_t i = 0; i < m->found.count && !err; i++) {
		err = remove_one(p->r, m->found.names[i].name);
		removed += m->found.names[i].bytes;
		p->result.removed_packs += !err;
	}
	for (uint32_t i = 0; i < now->pack_count; i++)
		there += now->packs[i].bytes;
	return !err && removed > there / 4 && removed > 1 << 20 ? push_sync(p, NULL) : err;
}

int push_remove_packs(struct push *p, const struct ps_push_manifest *now, bool only_ours)
{
	struct removal m = {.found = {.p = p}, .count = now->pack_count, .only_ours = only_ours};
	size_t size = (size_t)now->pack_count * sizeof(*m.kept);
	m.kept = ps_memory_alloc(&p->memory, size + 1);
	if (!m.kept)
		return ps_fail(PS_ENOMEM, "no memory for the names of %u packs", now->pack_count);
	for (uint32_t i = 0; i < now->pack_count; i++)
		m.kept[i] = kept_of(&now->packs[i].about);
	if (m.count > 0)
		qsort(m.kept, m.count, sizeof(*m.kept), compare_kept);
	int err = find_garbage(p, &m);
	if (!err)
		err = remove_all(p, &m, now);
	free_names(&m.found);
	ps_memory_free(&p->memory, m.kept, size + 1);
	return err;
}
