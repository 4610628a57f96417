/* Cells: what has changed since the summary was written. Each commit writes one of its own, in the same
 * batch, with what it does to the tables and figures; so summary and cells together are what is in memory,
 * whatever crashed.
 *
 * Cells are objects that come with the summary, and used in their order. Two commits that touch the same come
 * one after the other, and so do their cells; all others may be applied in any order. One whose commit
 * failed, or came too late for a crash, stays unused. The next summary has the same cells: what they have of
 * the rounds before counts no more. */
#include <string.h>

#include "base/fail.h"
#include "remote/local_index_internal.h"

enum { TOGETHER = 64, SMALL = 1024 };

static const uint8_t cell_magic[4] = {'P', 'S', 'c', 'e'};

enum { FIGURES = sizeof(struct ps_index_figures) / sizeof(uint64_t) };

bool index_is_cell(const void *bytes, size_t len)
{
	return len >= 4 && memcmp(bytes, cell_magic, 4) == 0;
}

static int damaged(const char *what)
{
	return ps_fail(PS_ECORRUPT, "a cell of the local index %s", what);
}

/* ---- writing ---- */

static enum index_section section_of(const ps_index *index, const struct ps_id_table *table)
{
	return table == &index->names   ? INDEX_SECTION_NAMES
	       : table == &index->dirty ? INDEX_SECTION_DIRTY
	       : table == &index->own   ? INDEX_SECTION_OWN
	                                : INDEX_SECTION_OTHERS;
}

static uint8_t *add_effect(uint8_t *at, enum index_section section, uint64_t key, ps_id id, bool add)
{
	struct ps_cell_effect_bytes effect = {
	    .section = (uint8_t)section, .add = add, .key = ps_set64(key), .id = ps_set64(id)};
	memcpy(at, &effect, sizeof(effect));
	return at + sizeof(effect);
}

static ps_id note_before(const ps_index_txn *txn, unsigned note)
{
	pthread_mutex_lock(&txn->index->lock);
	ps_id id = txn->index->notes[note];
	pthread_mutex_unlock(&txn->index->lock);
	return id;
}

/* A note that was made or deleted; NULL at: only counts them. */
static uint32_t note_effects(const ps_index_txn *txn, uint8_t **at)
{
	uint32_t count = 0;
	for (unsigned note = 0; note < PS_NOTES; note++) {
		if (!txn->notes_set[note])
			continue;
		ps_id before = note_before(txn, note), after = txn->notes[note];
		if (before == after)
			continue;
		count += before != PS_ID_NONE;
		count += after != PS_ID_NONE;
		if (at && before != PS_ID_NONE)
			*at = add_effect(*at, INDEX_SECTION_OTHERS, 0, before, false);
		if (at && after != PS_ID_NONE)
			*at = add_effect(*at, INDEX_SECTION_OTHERS, 0, after, true);
	}
	return count;
}

static uint32_t count_deltas(const uint64_t *delta)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < FIGURES; i++)
		count += delta[i] != 0;
	return count;
}

static void encode(const ps_index_txn *txn, const struct ps_cell_bytes *head, uint8_t *at)
{
	const uint64_t *delta = (const uint64_t *)&txn->delta;
	memcpy(at, head, sizeof(*head));
	at += sizeof(*head);
	for (unsigned i = 0; i < FIGURES; i++) {
		ps_le64 pair[2] = {ps_set64(i), ps_set64(delta[i])};
		if (delta[i] != 0) {
			memcpy(at, pair, sizeof(pair));
			at += sizeof(pair);
		}
	}
	for (size_t i = 0; i < txn->effects_count; i++) {
		const struct index_effect *e = &txn->effects[i];
		enum index_section section = section_of(txn->index, e->table);
		at = add_effect(at, section, section == INDEX_SECTION_NAMES ? e->key : 0, e->id, e->add);
	}
	(void)note_effects(txn, &at);
}

int index_cell_write(ps_index_txn *txn, ps_id cell, size_t number)
{
	struct ps_memory *memory = &txn->index->memory;
	uint32_t deltas = count_deltas((const uint64_t *)&txn->delta);
	uint32_t effects = (uint32_t)txn->effects_count + note_effects(txn, NULL);
	struct ps_cell_bytes head = {.format = PS_INDEX_FORMAT,
	                             .used = 1,
	                             .number = ps_set32((uint32_t)number),
	                             .deltas = ps_set32(deltas),
	                             .effects = ps_set32(effects),
	                             .round = ps_set32(txn->index->summary_round)};
	size_t len =
	    sizeof(head) + deltas * 2 * sizeof(ps_le64) + effects * sizeof(struct ps_cell_effect_bytes);
	uint8_t *bytes = ps_memory_alloc(memory, len);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "no memory for a cell of %zu bytes", len);
	memcpy(head.magic, cell_magic, sizeof(head.magic));
	encode(txn, &head, bytes);
	int err = ps_batch_replace(txn->batch, cell, bytes, len);
	ps_memory_free(memory, bytes, len);
	return err;
}

bool index_cell_needed(const ps_index_txn *txn)
{
	return txn->effects_count > 0 || note_effects(txn, NULL) > 0 ||
	       count_deltas((const uint64_t *)&txn->delta) > 0;
}

int index_cells_make(ps_batch *batch, ps_id *cells, size_t from, size_t to)
{
	struct ps_cell_bytes head = {.format = PS_INDEX_FORMAT};
	int err = PS_OK;
	memcpy(head.magic, cell_magic, sizeof(head.magic));
	for (size_t i = from; i < to && err == PS_OK; i++) {
		head.number = ps_set32((uint32_t)i);
		err = ps_batch_put(batch, &head, sizeof(head), &cells[i]);
	}
	return err;
}

/* ---- reading ---- */

struct replay {
	ps_index *index;
	struct ps_id_table *others;
	size_t used;
};

static int apply_effect(struct replay *r, const struct ps_cell_effect_bytes *effect)
{
	struct ps_id_table *tables[] = {&r->index->names, &r->index->dirty, &r->index->own, r->others};
	ps_id id = ps_get64(effect->id);
	if (effect->section > INDEX_SECTION_OTHERS || effect->add > 1 || id == PS_ID_NONE ||
	    id == PS_ID_PRIME || !ps_all_zero(effect->reserved, sizeof(effect->reserved)) ||
	    (effect->section != INDEX_SECTION_NAMES && ps_get64(effect->key) != 0))
		return damaged("has an impossible effect");
	struct ps_id_table *table = tables[effect->section];
	uint64_t key = effect->section == INDEX_SECTION_NAMES ? ps_get64(effect->key) : ps_id_key(id);
	if (!effect->add)
		return ps_id_table_remove(table, key, id) ? PS_OK : damaged("takes away what is not there");
	if (ps_id_table_has(table, key, id))
		return damaged("adds what is there");
	int err = ps_id_table_reserve(table, 1);
	if (err == PS_OK)
		ps_id_table_add(table, key, id);
	return err;
}

static int apply_cell(struct replay *r, size_t number, const uint8_t *bytes, size_t len)
{
	uint64_t *figures = (uint64_t *)&r->index->figures;
	struct ps_cell_bytes head;
	if (len < sizeof(head))
		return damaged("is too short");
	memcpy(&head, bytes, sizeof(head));
	uint64_t deltas = ps_get32(head.deltas), effects = ps_get32(head.effects);
	uint32_t round = ps_get32(head.round);
	if (memcmp(head.magic, cell_magic, sizeof(head.magic)) != 0 || head.format != PS_INDEX_FORMAT ||
	    head.used > 1 || !ps_all_zero(head.reserved, sizeof(head.reserved)) ||
	    round > r->index->summary_round || ps_get32(head.number) != number || deltas > FIGURES ||
	    (!head.used && deltas + effects > 0) ||
	    len !=
	        sizeof(head) + deltas * 2 * sizeof(ps_le64) + effects * sizeof(struct ps_cell_effect_bytes))
		return damaged("is not what a commit has written");
	if (round < r->index->summary_round)
		return PS_OK;
	bytes += sizeof(head);
	for (; deltas > 0; deltas--, bytes += 2 * sizeof(ps_le64)) {
		ps_le64 pair[2];
		memcpy(pair, bytes, sizeof(pair));
		if (ps_get64(pair[0]) >= FIGURES)
			return damaged("changes a figure that there is not");
		figures[ps_get64(pair[0])] += ps_get64(pair[1]);
	}
	if (head.used)
		r->used = number + 1;
	int err = PS_OK;
	for (; effects > 0 && err == PS_OK; effects--, bytes += sizeof(struct ps_cell_effect_bytes)) {
		struct ps_cell_effect_bytes effect;
		memcpy(&effect, bytes, sizeof(effect));
		err = apply_effect(r, &effect);
	}
	return err;
}

static int replay_one(struct replay *r, size_t number, const struct ps_get_many *req)
{
	uint8_t *large = NULL;
	size_t len = req->len;
	int err = req->status;
	if (err == PS_OK && len == SMALL)
		err = index_read(r->index, req->id, &large, &len);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? damaged("is not there") : err;
	err = apply_cell(r, number, large ? large : req->buf, len);
	if (large)
		ps_memory_free(&r->index->memory, large, len);
	return err;
}

int index_cells_replay(ps_index *index, struct ps_id_table *others)
{
	struct replay r = {.index = index, .others = others};
	uint8_t *buffers = ps_memory_alloc(&index->memory, (size_t)TOGETHER * SMALL);
	int err = buffers ? PS_OK : ps_fail(PS_ENOMEM, "no memory for reading the local index");
	for (size_t at = 0; at < index->cells_count && err == PS_OK; at += TOGETHER) {
		struct ps_get_many reqs[TOGETHER];
		size_t n = index->cells_count - at < TOGETHER ? index->cells_count - at : TOGETHER;
		for (size_t i = 0; i < n; i++)
			reqs[i] = (struct ps_get_many){
			    .id = index->cells[at + i], .buf = buffers + i * SMALL, .cap = SMALL};
		err = ps_get_many(index->store, n, reqs);
		for (size_t i = 0; i < n && err == PS_OK; i++)
			err = replay_one(&r, at + i, &reqs[i]);
	}
	if (buffers)
		ps_memory_free(&index->memory, buffers, (size_t)TOGETHER * SMALL);
	index->cells_used = r.used;
	return err;
}
