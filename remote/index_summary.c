/* The summary: what is in memory of a large index, as objects, so that an open need not look at every record.
 *
 * The prime object names it, and comes with it in one commit. What is changed later stands in its cells
 * (index_journal.c), each in the commit that makes the change; when they are used up it is written anew, in
 * one commit with the old one's end, a round later, with the same cells and some more if the index has grown.
 * So what an open finds is current, whatever crashed. What it cannot show is damage to a record: that is
 * found when the record is read. */
#include <string.h>

#include "base/fail.h"
#include "remote/local_index_internal.h"

enum {
	PIECE = 64 << 10,
	TOGETHER = 16,
	/* A cell for every 64 records: writing the summary anew costs a commit a KiB, and replaying cells an
	 * open less than reading the summary. */
	RECORDS_A_CELL = 64,
	FEWEST_CELLS = 1 << 10,
	MOST_CELLS = 15 << 10,
	CELLS_AT_ONCE = 1 << 10, /* that come with one summary: what a commit takes of memory is bounded */
};

static_assert(INDEX_SECTIONS == sizeof(((struct ps_summary_bytes *)0)->counts) / sizeof(ps_le64),
              "a count each");

static const uint8_t summary_magic[4] = {'P', 'S', 's', 'm'}, piece_magic[4] = {'P', 'S', 'p', 'c'};

bool index_is_summary(const void *bytes, size_t len)
{
	return len >= 4 && (memcmp(bytes, summary_magic, 4) == 0 || memcmp(bytes, piece_magic, 4) == 0 ||
	                    index_is_cell(bytes, len));
}

static int damaged(const char *what)
{
	return ps_fail(PS_ECORRUPT, "the summary of the local index %s", what);
}

static uint64_t le64_at(const uint8_t *bytes)
{
	ps_le64 value;
	memcpy(&value, bytes, sizeof(value));
	return ps_get64(value);
}

/* ---- the prime object ---- */

static int point_to(ps_index *index, ps_batch *batch, ps_id root)
{
	struct ps_index_bytes prime;
	size_t got;
	int err = ps_get(index->store, PS_ID_PRIME, &prime, sizeof(prime), &got);
	if (err == PS_OK && got != sizeof(prime))
		err = ps_fail(PS_ECORRUPT, "the local index's first object has %zu bytes", got);
	if (err != PS_OK)
		return err;
	prime.summary = ps_set64(root);
	prime.features = ps_set32(root != PS_ID_NONE ? PS_INDEX_HAS_SUMMARY : 0);
	return ps_batch_replace(batch, PS_ID_PRIME, &prime, sizeof(prime));
}

/* ---- writing ---- */

struct writer {
	ps_index *index;
	ps_batch *batch;
	uint8_t *piece;
	size_t used;
	uint32_t count; /* of entries in the piece */
	unsigned section;
	uint64_t counts[INDEX_SECTIONS];
	ps_id *ids; /* of pieces */
	size_t ids_count, ids_capacity;
	ps_id *cells;
	size_t cells_kept, cells_count; /* kept: of the summary before */
};

static size_t entry_bytes(unsigned section)
{
	return section == INDEX_SECTION_NAMES ? 2 * sizeof(ps_le64) : sizeof(ps_le64);
}

static int end_piece(struct writer *w)
{
	struct ps_piece_bytes head = {.format = PS_INDEX_FORMAT,
	                              .section = (uint8_t)w->section,
	                              .number = ps_set32((uint32_t)w->ids_count),
	                              .count = ps_set32(w->count)};
	if (w->count == 0)
		return PS_OK;
	ps_id *grown =
	    ps_memory_grow(&w->index->memory, w->ids, w->ids_count, &w->ids_capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	w->ids = grown;
	memcpy(head.magic, piece_magic, sizeof(head.magic));
	memcpy(w->piece, &head, sizeof(head));
	w->counts[w->section] += w->count;
	int err = ps_batch_put(w->batch, w->piece, w->used, &w->ids[w->ids_count]);
	w->ids_count += err == PS_OK;
	w->used = sizeof(head);
	w->count = 0;
	return err;
}

static int add_entry(struct writer *w, uint64_t hash, ps_id id)
{
	ps_le64 entry[2] = {ps_set64(hash), ps_set64(id)};
	size_t len = entry_bytes(w->section);
	int err = w->used + len > PIECE ? end_piece(w) : PS_OK;
	if (err != PS_OK)
		return err;
	memcpy(w->piece + w->used, (uint8_t *)entry + sizeof(entry) - len, len);
	w->used += len;
	w->count++;
	return PS_OK;
}

static int add_table(struct writer *w, const struct ps_id_table *table)
{
	int err = PS_OK;
	for (size_t i = 0; i < table->places_count && err == PS_OK; i++)
		if (table->places[i].id != PS_ID_NONE)
			err = add_entry(w, table->places[i].key, table->places[i].id);
	return err;
}

/* What has no name: spare pads are looked at again, since for how long one is held is not in memory. */
static int add_others(struct writer *w)
{
	ps_index *index = w->index;
	struct ps_id_table *tables[1 + INDEX_PAD_KINDS + PS_SLOT_STATUSES] = {&index->held};
	ps_id *ids;
	size_t count = 1, n;
	for (unsigned i = 0; i < INDEX_PAD_KINDS; i++)
		tables[count++] = &index->free[i];
	for (unsigned i = 0; i < PS_SLOT_STATUSES; i++)
		tables[count++] = &index->open[i];
	int err = index_snapshot(index, tables, count, &ids, &n);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < n && err == PS_OK; i++)
		err = add_entry(w, 0, ids[i]);
	ps_memory_free(&index->memory, ids, (n > 0 ? n : 1) * sizeof(*ids));
	for (unsigned i = 0; i < PS_NOTES && err == PS_OK; i++)
		if (index->notes[i] != PS_ID_NONE)
			err = add_entry(w, 0, index->notes[i]);
	return err;
}

static int add_sections(struct writer *w)
{
	const struct ps_id_table *tables[] = {&w->index->names, &w->index->dirty, &w->index->own};
	int err = PS_OK;
	for (w->section = INDEX_SECTION_NAMES; w->section < INDEX_SECTION_OTHERS && err == PS_OK;
	     w->section++) {
		err = add_table(w, tables[w->section]);
		if (err == PS_OK)
			err = end_piece(w);
	}
	if (err == PS_OK)
		err = add_others(w);
	return err == PS_OK ? end_piece(w) : err;
}

/* The root: how many of each, the figures, and the pieces. */
static int add_root(struct writer *w, ps_id *root)
{
	struct ps_index_figures figures;
	ps_index_figures(w->index, &figures);
	figures.memory = 0;
	const uint64_t *values = (const uint64_t *)&figures;
	size_t count = sizeof(figures) / sizeof(*values), at = sizeof(struct ps_summary_bytes);
	size_t all = count + w->ids_count + w->cells_count, len = at + all * sizeof(ps_le64);
	struct ps_summary_bytes head = {.format = PS_INDEX_FORMAT,
	                                .pieces = ps_set32((uint32_t)w->ids_count),
	                                .figures = ps_set32((uint32_t)count),
	                                .cells = ps_set32((uint32_t)w->cells_count),
	                                .round = ps_set32(w->index->summary_round + 1)};
	uint8_t *bytes = ps_memory_alloc(&w->index->memory, len);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "no memory for a summary of %zu bytes", len);
	memcpy(head.magic, summary_magic, sizeof(head.magic));
	memcpy(head.hash_key, w->index->hash_key, sizeof(head.hash_key));
	for (unsigned i = 0; i < INDEX_SECTIONS; i++)
		head.counts[i] = ps_set64(w->counts[i]);
	memcpy(bytes, &head, sizeof(head));
	for (size_t i = 0; i < all; i++, at += sizeof(ps_le64)) {
		size_t id = i - count;
		ps_le64 value = ps_set64(i < count           ? values[i]
		                         : id < w->ids_count ? w->ids[id]
		                                             : w->cells[id - w->ids_count]);
		memcpy(bytes + at, &value, sizeof(value));
	}
	int err = ps_batch_put(w->batch, bytes, len, root);
	ps_memory_free(&w->index->memory, bytes, len);
	return err;
}

static int drop_old(ps_index *index, ps_batch *batch, bool cells);

static int write_all(struct writer *w, ps_id *root)
{
	int err = drop_old(w->index, w->batch, false);
	if (err == PS_OK)
		err = add_sections(w);
	if (err == PS_OK)
		err = index_cells_make(w->batch, w->cells, w->cells_kept, w->cells_count);
	if (err == PS_OK)
		err = add_root(w, root);
	if (err == PS_OK)
		err = point_to(w->index, w->batch, *root);
	if (err != PS_OK) {
		(void)ps_batch_abort(w->batch);
		return err;
	}
	err = ps_batch_commit(w->batch, PS_DURABLE);
	if (err != PS_OK)
		index_note_failure(w->index, err);
	return err;
}

static size_t cells_wanted(const ps_index *index)
{
	size_t n = index->names.count / RECORDS_A_CELL, most = index->cells_count + CELLS_AT_ONCE;
	if (index->summary_cells > 0)
		n = index->summary_cells;
	else
		n = n < FEWEST_CELLS ? FEWEST_CELLS : n > MOST_CELLS ? MOST_CELLS : n;
	n = n < most ? n : most;
	return n > index->cells_count ? n : index->cells_count;
}

/* Cells in memory are those of the summary from then on. */
static void take_cells(ps_index *index, ps_id *cells, size_t count)
{
	ps_memory_free(&index->memory, index->cells, index->cells_count * sizeof(*cells));
	pthread_mutex_lock(&index->lock);
	index->cells = cells;
	index->cells_count = count;
	index->cells_used = 0;
	pthread_mutex_unlock(&index->lock);
}

/* In place of the one that is there. Nobody commits meanwhile. */
static int write_anew(ps_index *index)
{
	struct writer w = {.index = index,
	                   .used = sizeof(struct ps_piece_bytes),
	                   .cells_kept = index->cells_count,
	                   .cells_count = cells_wanted(index)};
	struct ps_memory *memory = &index->memory;
	ps_id root;
	int err = index_check(index);
	if (err != PS_OK)
		return err;
	w.piece = ps_memory_alloc(memory, PIECE);
	w.cells = ps_memory_alloc(memory, w.cells_count * sizeof(*w.cells));
	err = w.piece && w.cells ? ps_batch_begin(index->store, &w.batch)
	                         : ps_fail(PS_ENOMEM, "no memory for a summary");
	if (err == PS_OK && w.cells_kept > 0)
		memcpy(w.cells, index->cells, w.cells_kept * sizeof(*w.cells));
	if (err == PS_OK)
		err = write_all(&w, &root);
	if (err == PS_OK) {
		take_cells(index, w.cells, w.cells_count);
		index->summary_round++;
		index->summary = root;
	} else if (w.cells) {
		ps_memory_free(memory, w.cells, w.cells_count * sizeof(*w.cells));
	}
	ps_memory_free(memory, w.ids, w.ids_capacity * sizeof(*w.ids));
	if (w.piece)
		ps_memory_free(memory, w.piece, PIECE);
	return err;
}

/* ---- reading ---- */

struct reader {
	ps_index *index;
	uint8_t *root, *buffers;
	size_t root_len, pieces, cells, others_count;
	uint32_t round;
	const uint8_t *figures, *ids; /* in the root */
	uint8_t hash_key[INDEX_HASH_KEY];
	uint64_t counts[INDEX_SECTIONS], seen[INDEX_SECTIONS];
	unsigned section; /* that comes next */
	struct ps_id_table others;
};

static int decode_root(struct reader *r)
{
	struct ps_summary_bytes head;
	uint64_t entries = 0;
	if (r->root_len < sizeof(head))
		return damaged("is too short");
	memcpy(&head, r->root, sizeof(head));
	size_t figures = ps_get32(head.figures);
	r->pieces = ps_get32(head.pieces);
	r->cells = ps_get32(head.cells);
	r->round = ps_get32(head.round);
	if (memcmp(head.magic, summary_magic, sizeof(head.magic)) != 0 || head.format != PS_INDEX_FORMAT ||
	    !ps_all_zero(head.reserved, sizeof(head.reserved)) ||
	    figures != sizeof(struct ps_index_figures) / sizeof(uint64_t) || r->round == 0 || r->cells == 0 ||
	    r->root_len != sizeof(head) + (figures + r->pieces + r->cells) * sizeof(ps_le64))
		return damaged("is not one that was written");
	for (unsigned i = 0; i < INDEX_SECTIONS; i++) {
		r->counts[i] = ps_get64(head.counts[i]);
		if (r->counts[i] > r->pieces * (uint64_t)PIECE)
			return damaged("counts more than it has");
		entries += r->counts[i] * entry_bytes(i);
	}
	if (entries > r->pieces * (uint64_t)PIECE)
		return damaged("counts more than it has");
	memcpy(r->hash_key, head.hash_key, sizeof(head.hash_key));
	r->figures = r->root + sizeof(head);
	r->ids = r->figures + figures * sizeof(ps_le64);
	return PS_OK;
}

static int make_room(struct reader *r)
{
	struct ps_memory *memory = &r->index->memory;
	memcpy(r->index->hash_key, r->hash_key, sizeof(r->hash_key));
	int err = ps_id_table_reserve(&r->index->names, r->counts[INDEX_SECTION_NAMES]);
	if (err == PS_OK)
		err = ps_id_table_reserve(&r->index->dirty, r->counts[INDEX_SECTION_DIRTY]);
	if (err == PS_OK)
		err = ps_id_table_reserve(&r->index->own, r->counts[INDEX_SECTION_OWN]);
	if (err != PS_OK)
		return err;
	err = ps_id_table_reserve(&r->others, r->counts[INDEX_SECTION_OTHERS]);
	if (err != PS_OK)
		return err;
	r->buffers = ps_memory_alloc(memory, (size_t)TOGETHER * PIECE);
	r->index->cells = ps_memory_alloc(memory, r->cells * sizeof(ps_id));
	if (r->index->cells)
		r->index->cells_count = r->cells;
	r->index->summary_round = r->round;
	if (!r->buffers || !r->index->cells)
		return ps_fail(PS_ENOMEM, "no memory for the local index");
	for (size_t i = 0; i < r->cells; i++)
		r->index->cells[i] = le64_at(r->ids + (r->pieces + i) * sizeof(ps_le64));
	return PS_OK;
}

static int take_entry(struct reader *r, unsigned section, const uint8_t *at)
{
	struct ps_id_table *tables[] = {&r->index->names, &r->index->dirty, &r->index->own};
	ps_id id = le64_at(at + entry_bytes(section) - sizeof(ps_le64));
	if (id == PS_ID_NONE || id == PS_ID_PRIME || r->seen[section] == r->counts[section])
		return damaged("has an impossible entry");
	r->seen[section]++;
	if (section == INDEX_SECTION_OTHERS)
		ps_id_table_add(&r->others, ps_id_key(id), id);
	else
		ps_id_table_add(tables[section], section == INDEX_SECTION_NAMES ? le64_at(at) : ps_id_key(id),
		                id);
	return PS_OK;
}

static int take_piece(struct reader *r, size_t number, const uint8_t *bytes, size_t len)
{
	struct ps_piece_bytes head;
	if (len < sizeof(head))
		return damaged("has a piece that is too short");
	memcpy(&head, bytes, sizeof(head));
	uint64_t count = ps_get32(head.count);
	if (memcmp(head.magic, piece_magic, sizeof(head.magic)) != 0 || head.format != PS_INDEX_FORMAT ||
	    head.section < r->section || head.section >= INDEX_SECTIONS ||
	    !ps_all_zero(head.reserved, sizeof(head.reserved)) || ps_get32(head.number) != number ||
	    len != sizeof(head) + count * entry_bytes(head.section))
		return damaged("has a piece that is not what was to come");
	r->section = head.section;
	int err = PS_OK;
	for (uint64_t i = 0; i < count && err == PS_OK; i++)
		err = take_entry(r, head.section, bytes + sizeof(head) + i * entry_bytes(head.section));
	return err;
}

static int take_together(struct reader *r, size_t from, size_t n)
{
	struct ps_get_many reqs[TOGETHER];
	for (size_t i = 0; i < n; i++)
		reqs[i] = (struct ps_get_many){.id = le64_at(r->ids + (from + i) * sizeof(ps_le64)),
		                               .buf = r->buffers + i * PIECE,
		                               .cap = PIECE};
	int err = ps_get_many(r->index->store, n, reqs);
	for (size_t i = 0; i < n && err == PS_OK; i++) {
		err = reqs[i].status;
		if (err == PS_ENOTFOUND)
			err = damaged("misses a piece");
		if (err == PS_OK)
			err = take_piece(r, from + i, reqs[i].buf, reqs[i].len);
	}
	return err;
}

static int load_other(void *arg, struct index_object *object)
{
	struct reader *r = arg;
	if (object->kind != INDEX_OBJECT_SPARE && object->kind != INDEX_OBJECT_NOTE)
		return damaged("has a record among what has no name");
	r->others_count--;
	return index_load_object(r->index, object);
}

/* Spare pads and notes, each looked at; what they count for is in the figures. */
static int load_others(struct reader *r)
{
	struct ps_memory *memory = &r->index->memory;
	struct ps_index_figures figures = r->index->figures;
	size_t count = r->others.count, n = 0;
	ps_id *ids = ps_memory_alloc(memory, (count + 1) * sizeof(*ids));
	if (!ids)
		return ps_fail(PS_ENOMEM, "no memory for the local index");
	for (size_t i = 0; i < r->others.places_count; i++)
		if (r->others.places[i].id != PS_ID_NONE)
			ids[n++] = r->others.places[i].id;
	r->others_count = count;
	int err = index_scan_ids(r->index, ids, count, load_other, r);
	ps_memory_free(memory, ids, (count + 1) * sizeof(*ids));
	r->index->figures = figures;
	return err == PS_OK && r->others_count > 0 ? damaged("names what is not there") : err;
}

static int load_rest(struct reader *r)
{
	uint64_t *values = (uint64_t *)&r->index->figures;
	if (memcmp(r->seen, r->counts, sizeof(r->seen)) != 0)
		return damaged("has fewer entries than it counts");
	for (size_t i = 0; i < sizeof(r->index->figures) / sizeof(*values); i++)
		values[i] = le64_at(r->figures + i * sizeof(ps_le64));
	int err = index_cells_replay(r->index, &r->others);
	if (err == PS_OK)
		err = load_others(r);
	if (err != PS_OK)
		return err;
	return r->index->figures.records == r->index->names.count &&
	               r->index->figures.dirty == r->index->dirty.count
	           ? PS_OK
	           : damaged("has other figures than entries");
}

int index_summary_load(ps_index *index)
{
	struct reader r = {.index = index};
	struct ps_memory *memory = &index->memory;
	int err = index_read(index, index->summary, &r.root, &r.root_len);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? damaged("is not there") : err;
	ps_id_table_init(&r.others, memory);
	err = decode_root(&r);
	if (err == PS_OK)
		err = make_room(&r);
	for (size_t at = 0; at < r.pieces && err == PS_OK; at += TOGETHER)
		err = take_together(&r, at, r.pieces - at < TOGETHER ? r.pieces - at : TOGETHER);
	if (err == PS_OK)
		err = load_rest(&r);
	ps_memory_free(memory, r.root, r.root_len);
	if (r.buffers)
		ps_memory_free(memory, r.buffers, (size_t)TOGETHER * PIECE);
	ps_id_table_done(&r.others);
	return err;
}

/* ---- taking it away ---- */

static int drop_old(ps_index *index, ps_batch *batch, bool cells)
{
	struct reader r = {.index = index};
	if (index->summary == PS_ID_NONE)
		return PS_OK;
	int err = index_read(index, index->summary, &r.root, &r.root_len);
	if (err != PS_OK)
		return err;
	err = decode_root(&r);
	size_t objects = err == PS_OK ? r.pieces + (cells ? r.cells : 0) : 0;
	for (size_t i = 0; i < objects && err == PS_OK; i++)
		err = ps_batch_delete(batch, le64_at(r.ids + i * sizeof(ps_le64)));
	ps_memory_free(&index->memory, r.root, r.root_len);
	return err == PS_OK ? ps_batch_delete(batch, index->summary) : err;
}

static int drop(ps_index *index)
{
	ps_batch *batch;
	int err = ps_batch_begin(index->store, &batch);
	if (err != PS_OK)
		return err;
	err = drop_old(index, batch, true);
	if (err == PS_OK)
		err = point_to(index, batch, PS_ID_NONE);
	if (err != PS_OK) {
		(void)ps_batch_abort(batch);
		return err;
	}
	err = ps_batch_commit(batch, PS_DURABLE);
	if (err != PS_OK) {
		index_note_failure(index, err);
		return err;
	}
	index->summary = PS_ID_NONE;
	take_cells(index, NULL, 0);
	return PS_OK;
}

/* ---- commits ---- */

static bool is_due_locked(const ps_index *index)
{
	return index->summary != PS_ID_NONE ? index->cells_used == index->cells_count
	                                    : index->names.count >= index->summary_next;
}

/* Where there is no room for another one there may be for none: then an open looks at all records. */
static int renew(ps_index *index)
{
	int err = PS_OK;
	pthread_rwlock_wrlock(&index->summary_lock);
	pthread_mutex_lock(&index->lock);
	bool due = is_due_locked(index);
	pthread_mutex_unlock(&index->lock);
	if (due && write_anew(index) != PS_OK) {
		index->summary_next = 2 * index->names.count + 1;
		err = index_check(index);
		if (err == PS_OK && index->summary != PS_ID_NONE)
			err = drop(index);
	}
	pthread_rwlock_unlock(&index->summary_lock);
	return err;
}

/* With summary_lock held. *due: there is no cell left, or a summary is to be written. */
static int use_cell(ps_index_txn *txn, bool *due)
{
	ps_index *index = txn->index;
	size_t number = 0;
	pthread_mutex_lock(&index->lock);
	*due = is_due_locked(index);
	bool uses = !*due && index->summary != PS_ID_NONE;
	if (uses)
		number = index->cells_used++;
	pthread_mutex_unlock(&index->lock);
	return uses ? index_cell_write(txn, index->cells[number], number) : PS_OK;
}

int index_summary_enter(ps_index_txn *txn)
{
	ps_index *index = txn->index;
	bool needed = index_cell_needed(txn), due = false;
	int err = PS_OK;
	do {
		pthread_rwlock_rdlock(&index->summary_lock);
		err = needed ? use_cell(txn, &due) : PS_OK;
		if (err == PS_OK && !due)
			return PS_OK;
		pthread_rwlock_unlock(&index->summary_lock);
		if (err == PS_OK)
			err = renew(index);
	} while (err == PS_OK);
	return err;
}

void index_summary_leave(ps_index *index)
{
	pthread_rwlock_unlock(&index->summary_lock);
}

int index_summary_close(ps_index *index)
{
	bool worth = index->summary != PS_ID_NONE ? index->cells_used > index->cells_count / 2
	                                          : index->names.count >= index->summary_from;
	return worth ? write_anew(index) : PS_OK;
}
