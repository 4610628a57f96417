/* Reading a state. Each run is a stream of its own; of those that have something of a slot the newest counts,
 * the others are passed over. At most PS_STATE_RUNS_MAX streams: looking at the slots of all is a few cache
 * lines. */
/* Objects come from the newest run that has their slot. One that is a patch there is put together from that
 * run and older ones, down to the one that has it whole: all of them stand at that slot at the same time, and
 * their pieces ascend, so this is a merge within a merge. */
#include "multistore/state_reader.h"

#include <string.h>

#include "base/fail.h"
#include "multistore/run_source.h"

enum {
	AHEAD_BYTES = 64 << 20, /* of all runs together */
	RANGE_MIN = 256 << 10,
	RANGE_MOST = 8 << 20, /* the largest pad: a smaller part of one takes two requests */
};
#define NO_SLOT UINT64_MAX

struct run_reader {
	struct ps_memory *memory;
	const struct ps_push_manifest_run *run;
	const struct ps_push_manifest_pack *packs;
	uint32_t next_pack;
	ps_run_source *source;
	ps_pack_reader *pack;
	struct ps_pack_item item; /* the next one, if there */
	bool there;
	bool taken;                  /* it stands within the object of its slot, not before it */
	struct ps_cut_object object; /* that the pieces belong to */
	uint64_t next_offset;
	uint64_t objects, gone, contents;
};

struct ps_state_reader {
	struct ps_memory *memory;
	bool begun;                       /* every run stands at an object */
	uint32_t runs, current;           /* current: whose the last object was */
	uint64_t slot[PS_STATE_RUNS_MAX]; /* of the next object of each; NO_SLOT: there are no more */
	struct run_reader run[PS_STATE_RUNS_MAX];
	/* The object that was given last: which runs its pieces come from, the newest first, and what is
	 * known of it so far. */
	uint32_t layer[PS_STATE_RUNS_MAX], layers;
	uint64_t size, known;
	uint8_t longer[PS_CUT_PIECE]; /* a piece that goes on with zeros */
};

/* ---- one run ---- */

static int read_source(void *arg, void *buf, size_t len)
{
	return ps_run_source_read(arg, buf, len);
}

static const uint8_t *lend_source(void *arg, size_t len)
{
	return ps_run_source_lend(arg, len);
}

static int damaged(const struct run_reader *r, const char *what)
{
	char name[PS_PACK_NAME] = "a run without packs";
	if (r->next_pack > 0)
		ps_pack_name(&r->packs[r->next_pack - 1].about, name);
	return ps_fail(PS_ECORRUPT, "%s: %s", name, what);
}

static int end_pack(struct run_reader *r)
{
	const struct ps_pack_tail *tail = ps_pack_reader_tail(r->pack);
	const struct ps_push_manifest_pack *should = &r->packs[r->next_pack - 1];
	bool same = tail->first == should->first && tail->last == should->last &&
	            tail->continues == should->continues && tail->open == should->open;
	r->objects += tail->objects;
	r->gone += tail->gone;
	r->contents += tail->contents;
	ps_pack_reader_free(r->pack);
	r->pack = NULL;
	return same ? PS_OK : damaged(r, "has other objects than the manifest says");
}

static int end_run(const struct run_reader *r)
{
	if (r->objects != r->run->objects || r->gone != r->run->gone || r->contents != r->run->contents)
		return damaged(r, "the run that it ends has other objects than the manifest says");
	return PS_ENOTFOUND;
}

/* The next item into r->item. PS_ENOTFOUND: the run has ended. */
static int read_item(struct run_reader *r)
{
	for (;;) {
		if (!r->pack && r->next_pack == r->run->packs)
			return end_run(r);
		int err = PS_OK;
		if (!r->pack) {
			const struct ps_push_manifest_pack *p = &r->packs[r->next_pack++];
			err = ps_pack_reader_new(r->memory, &p->about, p->bytes, read_source, r->source,
			                         &r->pack);
			if (!err)
				ps_pack_reader_lent(r->pack, lend_source);
		}
		if (!err)
			err = ps_pack_reader_next(r->pack, &r->item);
		if (err != PS_ENOTFOUND)
			return err;
		err = end_pack(r);
		if (err)
			return err;
	}
}

/* Behind the last piece of it. */
static uint64_t item_end(const struct ps_pack_item *i)
{
	return i->offset + (i->zeros ? i->zeros : 1) * PS_CUT_PIECE;
}

static bool length_fits(const struct run_reader *r)
{
	const struct ps_pack_item *i = &r->item;
	uint64_t left = r->object.size - i->offset;
	if (i->zeros)
		return r->object.kind == PS_CUT_PATCH && item_end(i) < r->object.size + PS_CUT_PIECE;
	return i->len == (left < PS_CUT_PIECE ? left : PS_CUT_PIECE);
}

/* Pieces in another pack than their object are known by their number only. */
static int check_piece(struct run_reader *r)
{
	const struct ps_pack_item *i = &r->item;
	if (i->object.id != r->object.id || !ps_cut_has_pieces(r->object.kind) ||
	    i->offset < r->next_offset || i->offset >= r->object.size || !length_fits(r))
		return damaged(r, "a piece does not belong to the object before it");
	r->next_offset = item_end(i);
	return PS_OK;
}

/* Its next item, read once. */
static int peek(struct run_reader *r)
{
	if (r->there)
		return PS_OK;
	int err = read_item(r);
	if (!err && r->item.piece)
		err = check_piece(r);
	r->there = !err;
	return err;
}

/* To the next object, over what is left of this one. */
static int next_object(struct run_reader *r, uint64_t *slot)
{
	int err = peek(r);
	while (!err && r->item.piece) {
		r->there = false;
		err = peek(r);
	}
	r->taken = false;
	*slot = err ? NO_SLOT : ps_slot_of(r->item.object.id);
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static void take_object(struct run_reader *r)
{
	r->object = r->item.object;
	r->next_offset = 0;
	r->there = false;
	r->taken = true;
}

/* ---- all of them ---- */

/* Powers of two: what is asked for begins where pads do. */
static size_t range_of(uint64_t share)
{
	uint64_t range = RANGE_MIN;
	while (range < RANGE_MOST && range * 4 <= share)
		range *= 2;
	return (size_t)range;
}

static uint32_t ranges_of(uint64_t share, size_t range)
{
	uint64_t ranges = share / range;
	return ranges < 2 ? 2 : ranges < PS_RUN_SOURCE_RANGES ? (uint32_t)ranges : PS_RUN_SOURCE_RANGES;
}

static int open_run(ps_state_reader *s, ps_remote *r, const struct ps_push_manifest *m, uint32_t number,
                    uint64_t all)
{
	struct run_reader *run = &s->run[s->runs];
	const struct ps_push_manifest_run *of = &m->runs[number];
	uint64_t share = all ? (uint64_t)((double)of->bytes / (double)all * AHEAD_BYTES) : 0;
	size_t range = range_of(share);
	*run = (struct run_reader){.memory = s->memory, .run = of, .packs = ps_push_manifest_packs(m, of)};
	int err = ps_run_source_new(s->memory, r, run->packs, of->packs, range, ranges_of(share, range),
	                            &run->source);
	if (!err)
		s->runs++;
	return err;
}

int ps_state_reader_new(struct ps_memory *memory, ps_remote *r, const struct ps_push_manifest *m,
                        const struct ps_push_manifest_state *state, ps_state_reader **reader)
{
	uint64_t all = 0;
	ps_state_reader *s = ps_memory_zalloc(memory, sizeof(*s));
	if (!s)
		return ps_fail(PS_ENOMEM, "no memory for reading a state");
	s->memory = memory;
	for (uint32_t i = 0; i < state->runs; i++)
		all += m->runs[state->run[i]].bytes;
	int err = PS_OK;
	for (uint32_t i = 0; i < state->runs && !err; i++)
		err = open_run(s, r, m, state->run[i], all);
	if (err)
		ps_state_reader_free(s);
	else
		*reader = s;
	return err;
}

void ps_state_reader_on_wait(ps_state_reader *s, int (*tick)(void *arg), void *arg)
{
	for (uint32_t i = 0; i < s->runs; i++)
		ps_run_source_on_wait(s->run[i].source, tick, arg);
}

/* To the first object of each: the first bytes are waited for here, so that the caller of _new has something
 * else to do until they come. */
static int begin_runs(ps_state_reader *s)
{
	int err = PS_OK;
	for (uint32_t i = 0; i < s->runs && !err; i++)
		err = next_object(&s->run[i], &s->slot[i]);
	s->begun = !err;
	return err;
}

/* All that have this slot go on behind it. */
static int pass_over(ps_state_reader *s, uint64_t slot)
{
	int err = PS_OK;
	for (uint32_t i = 0; i < s->runs && !err; i++) {
		if (s->slot[i] != slot)
			continue;
		if (!s->run[i].taken)
			take_object(&s->run[i]);
		err = next_object(&s->run[i], &s->slot[i]);
	}
	return err;
}

/* An older run has what a patch is over. */
static int add_layer(ps_state_reader *s, uint32_t i, ps_id id)
{
	struct run_reader *r = &s->run[i];
	if (r->item.object.id != id || !ps_cut_has_pieces(r->item.object.kind))
		return damaged(r, "a newer run has a patch of an object that is another one here");
	take_object(r);
	s->layer[s->layers++] = i;
	return PS_OK;
}

static int find_layers(ps_state_reader *s)
{
	const struct run_reader *newest = &s->run[s->current], *last = newest;
	uint64_t slot = ps_slot_of(newest->object.id);
	int err = PS_OK;
	s->size = newest->object.size;
	s->known = 0;
	s->layers = 0;
	s->layer[s->layers++] = s->current;
	for (uint32_t i = s->current; i-- > 0 && last->object.kind == PS_CUT_PATCH && !err;) {
		if (s->slot[i] != slot)
			continue;
		err = add_layer(s, i, newest->object.id);
		last = &s->run[i];
	}
	if (!err && last->object.kind == PS_CUT_PATCH)
		err = damaged(last, "has a patch of an object that no older run has");
	return err;
}

int ps_state_reader_next(ps_state_reader *s, struct ps_cut_object *object, const uint8_t **bytes)
{
	struct run_reader *last = &s->run[s->current];
	int err = s->begun ? PS_OK : begin_runs(s);
	if (!err && last->object.id != PS_ID_NONE && s->runs > 0) /* was given before */
		err = pass_over(s, ps_slot_of(last->object.id));
	if (err)
		return err;
	uint32_t newest = 0;
	for (uint32_t i = 1; i < s->runs; i++)
		if (s->slot[i] <= s->slot[newest])
			newest = i;
	if (s->runs == 0 || s->slot[newest] == NO_SLOT)
		return PS_ENOTFOUND;
	s->current = newest;
	*object = s->run[newest].item.object;
	*bytes = s->run[newest].item.bytes;
	take_object(&s->run[newest]);
	if (object->kind == PS_CUT_PATCH)
		object->kind = PS_CUT_CHUNKS;
	return find_layers(s);
}

/* ---- pieces ---- */

/* Where the first of what this layer says, of what is not known yet, begins; NO_PLACE: it says no more. */
#define NO_PLACE UINT64_MAX
static int next_place(const ps_state_reader *s, struct run_reader *r, uint64_t *at)
{
	int err = peek(r);
	while (!err && r->item.piece && item_end(&r->item) <= s->known) {
		r->there = false;
		err = peek(r);
	}
	bool any = !err && r->item.piece;
	*at = !any ? NO_PLACE : r->item.offset > s->known ? r->item.offset : s->known;
	return err == PS_ENOTFOUND ? PS_OK : err;
}

/* The newest layer that says what comes next, and from where on; `until`: where a newer one says more. */
static int next_layer(ps_state_reader *s, struct run_reader **r, uint64_t *at, uint64_t *until)
{
	int err = PS_OK;
	*at = *until = NO_PLACE;
	for (uint32_t i = 0; i < s->layers && !err; i++) {
		uint64_t place;
		err = next_place(s, &s->run[s->layer[i]], &place);
		if (err || place >= *at)
			continue;
		*until = *at;
		*at = place;
		*r = &s->run[s->layer[i]];
	}
	return err;
}

int ps_state_reader_piece(ps_state_reader *s, uint64_t *offset, const uint8_t **bytes, size_t *len)
{
	struct run_reader *r = NULL;
	uint64_t at, until;
	int err = next_layer(s, &r, &at, &until);
	while (!err && at < s->size && r->item.zeros) {
		s->known = item_end(&r->item) < until ? item_end(&r->item) : until;
		err = next_layer(s, &r, &at, &until);
	}
	if (err || at >= s->size)
		return err ? err : PS_ENOTFOUND;
	*offset = at;
	*bytes = r->item.bytes;
	*len = s->size - at < PS_CUT_PIECE ? (size_t)(s->size - at) : PS_CUT_PIECE;
	s->known = at + PS_CUT_PIECE;
	if (r->item.len >= *len)
		return PS_OK;
	memcpy(s->longer, r->item.bytes, r->item.len);
	memset(s->longer + r->item.len, 0, *len - r->item.len);
	*bytes = s->longer;
	return PS_OK;
}

void ps_state_reader_free(ps_state_reader *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->runs; i++) {
		ps_pack_reader_free(s->run[i].pack);
		ps_run_source_free(s->run[i].source);
	}
	ps_memory_free(s->memory, s, sizeof(*s));
}
