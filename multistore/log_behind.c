#include "multistore/log_behind.h"

#include <string.h>

#include "base/fail.h"
#include "multistore/log_run.h"

#define NO_SLOT UINT64_MAX

struct ps_log_behind {
	struct ps_memory *memory;
	ps_log_run *run;
	struct ps_cut_info info;
	uint64_t interval; /* of the state */
	uint64_t groups;
	struct ps_log_end end;
	struct ps_cut_object object; /* of the state, the next one; its slot is below */
	const uint8_t *bytes;
	uint64_t slot; /* NO_SLOT: there are no more, or nobody has looked */
	bool looked;
	bool of_log; /* the object that was given last */
	/* Of the log: its size, what is known of it so far, and whether it is a patch of what the state has;
	 * then the state's next piece. */
	uint64_t size, known;
	bool over_state, piece_there;
	struct ps_log_piece piece;
	uint8_t longer[PS_CUT_PIECE]; /* a piece that goes on with zeros */
	ps_state_lookup *lookup;      /* NULL: the state is read */
	uint8_t looked_up[PS_CUT_PIECE];
};

/* ---- the log ---- */

/* What ends at the state or before it is in the state. The first group may begin before it; none begins
 * behind what is there already. */
static int add_group(void *arg, const struct ps_log_group *group)
{
	struct ps_log_behind *b = arg;
	const struct ps_log_pad *pad = group->pad;
	if (pad->info.here.interval <= b->info.here.interval)
		return PS_OK;
	if (pad->since > b->info.here.interval || pad->info.commit < b->info.commit)
		return ps_fail(PS_ECORRUPT,
		               "log pad %llu of epoch %llu: what was committed before it is missing",
		               (unsigned long long)pad->at.n, (unsigned long long)pad->at.epoch);
	int err = ps_log_run_add(b->run, group);
	if (err)
		return err;
	b->info = pad->info;
	b->groups++;
	return PS_OK;
}

int ps_log_behind_new(struct ps_memory *memory, ps_remote *r, const struct ps_push_manifest *m,
                      ps_remote_progress_fn progress, void *arg, struct ps_cut_info *info,
                      struct ps_log_behind **behind)
{
	struct ps_log_behind *b = ps_memory_zalloc(memory, sizeof(*b));
	if (!b)
		return ps_fail(PS_ENOMEM, "no memory for a log");
	*b = (struct ps_log_behind){
	    .memory = memory, .info = ps_push_manifest_newest(m)->info, .slot = NO_SLOT};
	b->interval = b->info.here.interval;
	struct ps_log_walk walk = {.memory = memory,
	                           .r = r,
	                           .place = m->log,
	                           .group = add_group,
	                           .arg = b,
	                           .progress = progress,
	                           .progress_arg = arg};
	int err = ps_log_run_new(memory, &b->run);
	if (!err && ps_log_place_there(&m->log))
		err = ps_log_walk(&walk);
	b->end = (struct ps_log_end){walk.place.at, walk.pads, walk.bytes, walk.fenced};
	if (!err)
		err = ps_log_run_sort(b->run);
	if (err) {
		ps_log_behind_free(b);
		return err;
	}
	*info = b->info;
	*behind = b;
	return PS_OK;
}

void ps_log_behind_free(struct ps_log_behind *b)
{
	if (!b)
		return;
	ps_log_run_free(b->run);
	ps_memory_free(b->memory, b, sizeof(*b));
}

uint64_t ps_log_behind_groups(const struct ps_log_behind *b)
{
	return b->groups;
}

struct ps_log_end ps_log_behind_end(const struct ps_log_behind *b)
{
	return b->end;
}

/* ---- both ---- */

/* The state's next object, looked at once. */
static int peek(struct ps_log_behind *b, ps_state_reader *state)
{
	if (b->looked)
		return PS_OK;
	int err = ps_state_reader_next(state, &b->object, &b->bytes);
	if (err && err != PS_ENOTFOUND)
		return err;
	b->slot = err ? NO_SLOT : ps_slot_of(b->object.id);
	b->looked = true;
	return PS_OK;
}

static int not_in_state(const struct ps_cut_object *object)
{
	return ps_fail(PS_ECORRUPT, "the log has a patch of object %llu, which the state does not have so",
	               (unsigned long long)object->id);
}

static int take_of_log(struct ps_log_behind *b, struct ps_cut_object *object, const uint8_t **bytes,
                       bool in_state)
{
	ps_log_run_take(b->run, object, bytes);
	b->size = object->size;
	b->known = 0;
	b->piece_there = false;
	b->over_state = object->kind == PS_CUT_PATCH;
	if (!b->over_state)
		return PS_OK;
	object->kind = PS_CUT_CHUNKS;
	if (in_state && b->object.id == object->id && b->object.kind == PS_CUT_CHUNKS)
		return PS_OK;
	return not_in_state(object);
}

/* Of two with one slot the log's counts: the state's is passed over, its pieces unread, or what a patch is
 * over. */
int ps_log_behind_next(struct ps_log_behind *b, ps_state_reader *state, struct ps_cut_object *object,
                       const uint8_t **bytes)
{
	if (!b)
		return ps_state_reader_next(state, object, bytes);
	int err = peek(b, state);
	if (err)
		return err;
	uint64_t slot = ps_log_run_slot(b->run);
	if (slot == NO_SLOT && b->slot == NO_SLOT)
		return PS_ENOTFOUND;
	b->of_log = slot <= b->slot;
	b->looked = slot < b->slot;
	if (b->of_log)
		return take_of_log(b, object, bytes, slot == b->slot);
	*object = b->object;
	*bytes = b->bytes;
	return PS_OK;
}

int ps_log_behind_alone(struct ps_log_behind *b, ps_state_lookup *state, struct ps_cut_object *object,
                        const uint8_t **bytes)
{
	if (!b || ps_log_run_slot(b->run) == NO_SLOT)
		return PS_ENOTFOUND;
	ps_log_run_take(b->run, object, bytes);
	b->size = object->size;
	b->known = 0;
	b->lookup = state;
	b->of_log = true;
	b->piece_there = false;
	b->over_state = object->kind == PS_CUT_PATCH;
	if (!b->over_state)
		return PS_OK;
	object->kind = PS_CUT_CHUNKS;
	int err = ps_state_lookup_find(state, object->id, b->interval, &b->object);
	if (err == PS_ENOTFOUND || (!err && b->object.kind != PS_CUT_CHUNKS))
		return not_in_state(object);
	return err;
}

/* Of the object below a patch, which is b->object: where the log says nothing. */
static int look_up_piece(struct ps_log_behind *b, const struct ps_log_piece *of_log)
{
	const struct ps_cut_object *o = &b->object;
	uint64_t end = o->size < b->size ? o->size : b->size, left = end > b->known ? end - b->known : 0;
	b->piece_there = left && !(of_log && of_log->offset <= b->known);
	if (!b->piece_there)
		return PS_OK;
	size_t len = left < PS_CUT_PIECE ? (size_t)left : PS_CUT_PIECE;
	b->piece = (struct ps_log_piece){.offset = b->known, .bytes = b->looked_up, .len = len};
	return ps_state_lookup_read(b->lookup, o->id, b->interval, b->known, b->looked_up, len);
}

static int peek_piece(struct ps_log_behind *b, ps_state_reader *state, const struct ps_log_piece *of_log)
{
	if (b->lookup)
		return b->over_state ? look_up_piece(b, of_log) : PS_OK;
	while (b->over_state && (!b->piece_there || b->piece.offset < b->known)) {
		int err = ps_state_reader_piece(state, &b->piece.offset, &b->piece.bytes, &b->piece.len);
		if (err && err != PS_ENOTFOUND)
			return err;
		b->piece_there = b->over_state = !err;
	}
	return PS_OK;
}

/* To the new size: less of it, or zeros behind it. */
static int give_piece(struct ps_log_behind *b, const struct ps_log_piece *piece, const uint8_t **bytes,
                      size_t *len)
{
	uint64_t left = b->size - piece->offset;
	*len = left < PS_CUT_PIECE ? (size_t)left : PS_CUT_PIECE;
	*bytes = piece->bytes;
	if (piece->len >= *len)
		return PS_OK;
	memcpy(b->longer, piece->bytes, piece->len);
	memset(b->longer + piece->len, 0, *len - piece->len);
	*bytes = b->longer;
	return PS_OK;
}

/* The log's pieces and zeros, and between them what the state has. */
static int next_piece(struct ps_log_behind *b, ps_state_reader *state, uint64_t *offset,
                      const uint8_t **bytes, size_t *len)
{
	for (;;) {
		const struct ps_log_piece *of_log = ps_log_run_piece(b->run), *next = of_log;
		int err = peek_piece(b, state, of_log);
		if (err)
			return err;
		if (b->piece_there && (!of_log || b->piece.offset < of_log->offset))
			next = &b->piece;
		else if (of_log)
			ps_log_run_pass(b->run);
		if (!next || next->offset >= b->size)
			return PS_ENOTFOUND;
		b->known = ps_log_piece_end(next);
		*offset = next->offset;
		if (!next->zeros)
			return give_piece(b, next, bytes, len);
	}
}

int ps_log_behind_piece(struct ps_log_behind *b, ps_state_reader *state, uint64_t *offset,
                        const uint8_t **bytes, size_t *len)
{
	if (!b || !b->of_log)
		return ps_state_reader_piece(state, offset, bytes, len);
	return next_piece(b, state, offset, bytes, len);
}
