/* What was changed here: written into a run and marked as sent in one pass, and settled when it is known what
 * became of the head.
 *
 * A record is marked, durably, before the head that has it can be sent; what is marked while no head is on
 * its way was never sent. */
#include "base/fail.h"
#include "remote/sync_internal.h"

/* ---- records in batches: a commit and its keys ----
 *
 * Each batch but the last is durable with what follows it: a crash between two leaves some of them in any
 * case. */

struct batch {
	struct ps_sync *s;
	struct sync_keys keys;
	ps_index_txn *txn;
	size_t count;
	bool later;    /* something is not durable yet */
	bool followed; /* by a durable commit of whoever has this: the last batch does not need its own */
};

static int batch_init(struct ps_sync *s, struct batch *batch)
{
	*batch = (struct batch){.s = s};
	return sync_keys_init(s, &batch->keys, SYNC_BATCH);
}

static int batch_commit(struct batch *batch)
{
	int err = batch->txn ? ps_index_commit_later(batch->txn) : PS_OK;
	batch->later |= batch->txn != NULL;
	batch->txn = NULL;
	batch->count = 0;
	sync_keys_give_back(batch->s, &batch->keys);
	return err;
}

static int batch_commit_last(struct batch *batch)
{
	ps_index_txn *txn = batch->txn;
	batch->txn = NULL;
	if (txn)
		return batch->followed ? ps_index_commit_later(txn) : ps_index_commit(txn);
	return batch->later && !batch->followed ? ps_index_flush(batch->s->r->index) : PS_OK;
}

static int batch_end(struct batch *batch, int err)
{
	if (err == PS_OK)
		err = batch_commit_last(batch);
	else
		ps_index_abort(batch->txn);
	sync_keys_done(batch->s, &batch->keys);
	return err;
}

/* The record as it is, its key ours until the commit; *got false: another call has it, or it is gone. */
static int batch_get(struct batch *batch, const struct ps_record *listed, struct ps_record *record, bool *got)
{
	ps_index *index = batch->s->r->index;
	*got = false;
	if (batch->count == SYNC_BATCH) {
		int err = batch_commit(batch);
		if (err != PS_OK)
			return err;
	}
	if (!sync_keys_take(batch->s, &batch->keys, listed->name))
		return PS_OK;
	int err = ps_index_get(index, PS_RECORD_BLOB, listed->name, listed->name_len, record);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err;
	*got = true;
	if (!batch->txn)
		err = ps_index_begin(index, &batch->txn);
	if (err != PS_OK)
		ps_record_done(record);
	return err;
}

static int batch_put(struct batch *batch, const struct ps_record *record, const struct ps_slots *let_go)
{
	batch->count++;
	int err = ps_txn_put(batch->txn, record);
	return err == PS_OK && let_go ? ps_txn_let_go(batch->txn, let_go, 0) : err;
}

/* The pads that the record let go are another machine's to free. */
static int batch_put_leaving(struct batch *batch, const struct ps_record *record, const struct ps_slots *left)
{
	batch->count++;
	batch->s->result.left_pads += left->count;
	return ps_txn_adopt(batch->txn, record);
}

/* ---- writing ---- */

/* Records are marked in batches, and added to the run when their keys are given back: that may send. */
struct writing {
	struct batch batch; /* first */
	struct ps_record marked[SYNC_BATCH];
	size_t count, slots;
	struct sync_source *source; /* of the runs that are merged with it */
	struct ps_record older;     /* its next one */
	bool has_older;
	ps_run_writer *writer;
};

static int next_older(struct writing *w)
{
	if (w->has_older)
		ps_record_done(&w->older);
	w->has_older = false;
	return sync_source_next(w->source, &w->older, &w->has_older);
}

/* What is older and has a name before this one goes first; what has this very name is superseded. NULL: all.
 */
static int add_older(struct writing *w, const struct ps_record *before)
{
	int err = PS_OK;
	while (w->has_older && err == PS_OK) {
		int order =
		    before ? ps_name_compare(w->older.name, w->older.name_len, before->name, before->name_len)
		           : -1;
		if (order > 0)
			break;
		if (order < 0)
			err = ps_run_writer_add(w->writer, &w->older);
		if (err == PS_OK)
			err = next_older(w);
	}
	return err;
}

static int add_marked(struct writing *w)
{
	int err = batch_commit(&w->batch);
	for (size_t i = 0; i < w->count; i++) {
		if (err == PS_OK)
			err = add_older(w, &w->marked[i]);
		if (err == PS_OK)
			err = ps_run_writer_add(w->writer, &w->marked[i]);
		ps_record_done(&w->marked[i]);
	}
	w->batch.s->result.sent += err == PS_OK ? w->count : 0;
	w->count = w->slots = 0;
	return err;
}

/* It is changed, and is not in the head that is being made. */
static void skip(struct ps_sync *s, const struct ps_record *record)
{
	bool moves = record->flags & PS_RECORD_MOVES;
	s->skipped = true;
	s->skipped_known |= moves || record->published > 0 || (record->flags & PS_RECORD_SENT);
	s->moves_left |= moves;
}

/* The record is w's from then on, if it was marked. */
static int mark(struct writing *w, struct ps_record *record, bool *marked)
{
	*marked = false;
	if (!(record->flags & PS_RECORD_DIRTY))
		return PS_OK;
	if (record->flags & PS_RECORD_SENT) { /* one that is left to be settled */
		skip(w->batch.s, record);
		return PS_OK;
	}
	bool moves = record->flags & PS_RECORD_MOVES;
	if (moves && (w->batch.s->moves_stay || !ps_record_may_travel(record))) {
		skip(w->batch.s, record);
		return PS_OK;
	}
	if (!ps_record_may_travel(record))
		return PS_OK;
	int err = ps_record_mark_sent(record);
	if (err == PS_OK)
		err = batch_put(&w->batch, record, NULL);
	*marked = err == PS_OK;
	w->batch.s->moves_sent |= moves && *marked;
	return err;
}

static int write_changed(void *arg, const struct ps_record *listed)
{
	struct writing *w = arg;
	struct ps_record record;
	bool got, marked;
	int err = w->count == SYNC_BATCH || w->slots >= SYNC_SLOTS ? add_marked(w) : PS_OK;
	if (err == PS_OK)
		err = batch_get(&w->batch, listed, &record, &got);
	if (err != PS_OK)
		return err;
	if (!got) {
		skip(w->batch.s, listed);
		return PS_OK;
	}
	err = mark(w, &record, &marked);
	if (!marked) {
		ps_record_done(&record);
		return err;
	}
	w->slots += record.sets[PS_SET_CURRENT].count;
	ps_record_move(&w->marked[w->count++], &record);
	return PS_OK;
}

static int write_all(struct writing *w, struct ps_run_figures *figures)
{
	struct ps_sync *s = w->batch.s;
	int err = next_older(w);
	if (err == PS_OK && s->merging != SYNC_MERGES_ONLY)
		err = ps_index_list(s->r->index, PS_RECORD_BLOB, NULL, PS_LIST_DIRTY | PS_LIST_AHEAD,
		                    write_changed, w);
	if (err == PS_OK)
		err = add_marked(w);
	if (err == PS_OK)
		err = add_older(w, NULL);
	if (w->has_older)
		ps_record_done(&w->older);
	w->has_older = false;
	for (size_t i = 0; i < w->count; i++)
		ps_record_done(&w->marked[i]);
	w->count = 0;
	return err == PS_OK ? ps_run_writer_finish(w->writer, figures) : err;
}

/* ---- how much ---- */

struct changed {
	struct ps_sync *s;
	uint64_t count, bytes;
};

/* Nobody is changing it at this moment. */
static bool is_idle(struct ps_sync *s, const char *name)
{
	struct ps_busy_key busy = {.key = name};
	bool idle = ps_busy_take_brief(s->r, &busy) == PS_BUSY_TAKEN;
	if (idle)
		ps_busy_give_back(s->r, &busy);
	return idle;
}

static int count_changed(void *arg, const struct ps_record *record)
{
	struct changed *changed = arg;
	/* Seen before anything is sent, it costs nothing; a call that begins later is seen when its turn
	 * comes. */
	if ((record->flags & PS_RECORD_MOVES) &&
	    ((record->flags & PS_RECORD_SENT) || !is_idle(changed->s, record->name)))
		changed->s->moves_stay = true;
	if (ps_version_none(&record->version) || (record->flags & PS_RECORD_SENT))
		return PS_OK;
	changed->count++;
	changed->bytes += sizeof(ps_le32) + ps_record_wire_bytes(record);
	return PS_OK;
}

static int count_all(struct ps_sync *s, struct changed *changed)
{
	struct ps_index_figures figures;
	if (s->merging != SYNC_MERGES_ONLY)
		return ps_index_list(s->r->index, PS_RECORD_BLOB, NULL, PS_LIST_DIRTY | PS_LIST_ANY,
		                     count_changed, changed);
	ps_index_figures(s->r->index, &figures);
	s->skipped = figures.dirty > 0;
	return PS_OK;
}

static int open_older(struct ps_sync *s, uint32_t from, uint64_t tombstones_below,
                      struct sync_source **source)
{
	uint32_t count = s->base.head.runs_count;
	bool *use = ps_memory_zalloc(&s->r->memory, count + 1);
	if (!use)
		return ps_fail(PS_ENOMEM, "no memory for %u runs", count);
	for (uint32_t i = from; i < count; i++)
		use[i] = true;
	int err = sync_source_new(s, &s->base.head, use, tombstones_below, source);
	ps_memory_free(&s->r->memory, use, count + 1);
	return err;
}

/* ---- a run ---- */

static int write_with(struct writing *w, struct sync_run *run, struct ps_run_figures *figures)
{
	struct ps_sync *s = w->batch.s;
	struct sync_parts parts;
	struct ps_run_about about = {
	    .store = ps_keys_store(s->r->keys), .head = run->run.head, .base = run->run.base};
	memcpy(about.id, run->run.id, sizeof(about.id));
	int err = sync_parts_begin(s, run, &parts);
	if (err != PS_OK)
		return err;
	err = ps_run_writer_new(&s->r->memory, &about, sync_run_part_bytes(s, run), sync_part, &parts,
	                        &w->writer);
	if (err == PS_OK)
		err = write_all(w, figures);
	ps_run_writer_free(w->writer);
	return sync_parts_end(&parts, err);
}

/* A batch of records is too much for a stack. */
static int write_from(struct ps_sync *s, struct sync_source *source, struct sync_run *run,
                      struct ps_run_figures *figures)
{
	struct writing *w = ps_memory_zalloc(&s->r->memory, sizeof(*w));
	if (!w)
		return ps_fail(PS_ENOMEM, "no memory for %d records", SYNC_BATCH);
	int err = batch_init(s, &w->batch);
	w->batch.followed = true; /* by that of sync_run_finish; a head is sent after it */
	w->source = source;
	if (err == PS_OK)
		err = batch_end(&w->batch, write_with(w, run, figures));
	ps_memory_free(&s->r->memory, w, sizeof(*w));
	return err;
}

static int write_run(struct ps_sync *s, uint64_t bytes, uint32_t from, struct ps_head *next,
                     struct sync_run *run)
{
	struct sync_source *source = NULL;
	struct ps_run_figures figures = {0};
	uint64_t below = from == 0 ? ps_head_settled(next) : 0;
	int err = sync_run_begin(s, bytes, next->counter, from == 0, run);
	if (err == PS_OK)
		err = open_older(s, from, below, &source);
	if (err == PS_OK)
		err = write_from(s, source, run, &figures);
	sync_source_free(source);
	if (err == PS_OK)
		err = sync_run_finish(s, run, &figures);
	if (err == PS_OK)
		err = ps_head_cut_runs(next, from);
	if (err == PS_OK)
		err = ps_head_add_run(next, &run->run);
	if (err == PS_OK && below > next->horizon)
		next->horizon = below;
	return err;
}

int sync_write_run(struct ps_sync *s, struct ps_head *next, struct sync_run *run, bool *found)
{
	struct changed changed = {.s = s};
	struct ps_merge_choice choice;
	uint64_t before = s->result.sent;
	int err = count_all(s, &changed);
	if (err == PS_OK)
		err = sync_choose_merge(s, changed.bytes, &choice);
	bool merges = err == PS_OK && choice.bytes > 0;
	*found = merges || changed.count > 0;
	if (err != PS_OK || !*found)
		return err;
	err = write_run(s, changed.bytes + choice.bytes, (uint32_t)choice.from, next, run);
	s->result.merged_bytes += choice.bytes;
	s->result.merge_forced |= choice.forced;
	/* Other calls had all of it. */
	*found = merges || s->result.sent > before;
	return err;
}

/* ---- settling ---- */

static bool leaves(const struct ps_sync *s, const struct ps_record *record)
{
	return record->published > 0 && record->published <= s->left;
}

/* `leaving`: the pads that it let go by that are not ours to free. */
static int settle_record(struct batch *batch, struct ps_record *record, uint64_t head, bool leaving)
{
	struct ps_slots let_go = {0};
	if (!(record->flags & PS_RECORD_SENT))
		return PS_OK;
	int err = head > 0 ? ps_record_settle(record, head, &let_go) : ps_record_unsend(record, &let_go);
	if (err == PS_OK)
		err = head > 0 && leaving ? batch_put_leaving(batch, record, &let_go)
		                          : batch_put(batch, record, &let_go);
	ps_slots_done(&let_go, record->memory);
	return err;
}

struct settling {
	struct batch batch; /* first */
	uint64_t head;
};

static bool is_left(const struct ps_sync *s, const struct ps_record *record)
{
	for (size_t i = 0; i < s->lefts.count; i++)
		if (strcmp(s->lefts.all[i].name, record->name) == 0)
			return true;
	return false;
}

static int settle_listed(void *arg, const struct ps_record *listed)
{
	struct settling *settling = arg;
	struct ps_sync *s = settling->batch.s;
	struct ps_record record;
	bool got;
	if (!(listed->flags & PS_RECORD_SENT) || is_left(s, listed))
		return PS_OK;
	int err = batch_get(&settling->batch, listed, &record, &got);
	if (err != PS_OK)
		return err;
	if (!got)
		return sync_left_add(s, listed, settling->head, leaves(s, listed));
	err = settle_record(&settling->batch, &record, settling->head, leaves(s, &record));
	ps_record_done(&record);
	return err;
}

int sync_settle_sent(struct ps_sync *s, uint64_t head)
{
	struct settling settling = {.head = head};
	int err = batch_init(s, &settling.batch);
	if (err != PS_OK)
		return err;
	settling.batch.followed = head > 0; /* by that of the head as our base */
	err = ps_index_list(s->r->index, PS_RECORD_BLOB, NULL, PS_LIST_DIRTY | PS_LIST_ANY, settle_listed,
	                    &settling);
	return batch_end(&settling.batch, err);
}

/* ---- tombstones ---- */

static bool is_over(const struct ps_sync *s, const struct ps_record *record)
{
	return (record->flags & PS_RECORD_TOMBSTONE) &&
	       !(record->flags & (PS_RECORD_DIRTY | PS_RECORD_UPDATING)) &&
	       record->published < s->base.head.horizon;
}

static int drop_tombstone(void *arg, const struct ps_record *listed)
{
	struct batch *batch = arg;
	struct ps_record record;
	bool got;
	if (!is_over(batch->s, listed))
		return PS_OK;
	int err = batch_get(batch, listed, &record, &got);
	if (err != PS_OK || !got)
		return err;
	if (is_over(batch->s, &record)) {
		batch->count++;
		err = ps_txn_remove(batch->txn, record.kind, record.name, record.name_len, false);
	}
	ps_record_done(&record);
	return err;
}

int sync_drop_tombstones(struct ps_sync *s)
{
	struct batch batch;
	int err = batch_init(s, &batch);
	if (err != PS_OK)
		return err;
	err = ps_index_list(s->r->index, PS_RECORD_BLOB, NULL, PS_LIST_ANY, drop_tombstone, &batch);
	return batch_end(&batch, err);
}

/* ---- what the network has lost ---- */

struct renewing {
	struct batch batch; /* first */
	struct sync_source *source;
	struct ps_record theirs;
	bool has_theirs;
};

static int next_theirs(struct renewing *n)
{
	if (n->has_theirs)
		ps_record_done(&n->theirs);
	n->has_theirs = false;
	return sync_source_next(n->source, &n->theirs, &n->has_theirs);
}

static int renew(struct renewing *n, const struct ps_record *listed)
{
	struct ps_record record;
	bool got;
	int err = batch_get(&n->batch, listed, &record, &got);
	if (err != PS_OK || !got)
		return err;
	if (!(record.flags & PS_RECORD_DIRTY) && !ps_version_none(&record.version)) {
		record.flags |= PS_RECORD_DIRTY;
		record.base = (struct ps_version){0};
		record.published = 0;
		err = batch_put(&n->batch, &record, NULL);
	}
	ps_record_done(&record);
	return err;
}

static int renew_if_missing(void *arg, const struct ps_record *mine)
{
	struct renewing *n = arg;
	int order = 1, err = PS_OK;
	while (err == PS_OK && n->has_theirs &&
	       (order = ps_name_compare(n->theirs.name, n->theirs.name_len, mine->name, mine->name_len)) < 0)
		err = next_theirs(n);
	if (err != PS_OK || (mine->flags & PS_RECORD_DIRTY))
		return err;
	bool same =
	    n->has_theirs && order == 0 && ps_version_compare(&n->theirs.version, &mine->version) == 0;
	return same ? PS_OK : renew(n, mine);
}

static int renew_all(struct renewing *n)
{
	int err = next_theirs(n);
	if (err == PS_OK)
		err = ps_index_list(n->batch.s->r->index, PS_RECORD_BLOB, NULL, PS_LIST_AHEAD,
		                    renew_if_missing, n);
	if (n->has_theirs)
		ps_record_done(&n->theirs);
	return err;
}

int sync_renew_missing(struct ps_sync *s)
{
	struct renewing n = {0};
	int err = open_older(s, 0, 0, &n.source);
	if (err == PS_OK)
		err = batch_init(s, &n.batch);
	if (err == PS_OK)
		err = batch_end(&n.batch, renew_all(&n));
	sync_source_free(n.source);
	return err;
}

/* ---- what was left ---- */

/* Together with the list without it. */
static int settle_left(struct ps_sync *s, size_t at, bool *done)
{
	struct sync_left left = s->lefts.all[at];
	struct ps_record listed = {.name_len = left.name_len}, record;
	struct batch batch;
	int err = batch_init(s, &batch);
	if (err != PS_OK)
		return err;
	memcpy(listed.name, left.name, sizeof(left.name));
	bool mine = sync_keys_take(s, &batch.keys, left.name);
	*done = mine;
	err = mine ? batch_get(&batch, &listed, &record, &mine) : PS_OK;
	if (err == PS_OK && mine) {
		err = settle_record(&batch, &record, left.head, left.leaves);
		ps_record_done(&record);
	}
	if (err == PS_OK && *done && !batch.txn)
		err = ps_index_begin(s->r->index, &batch.txn);
	if (err == PS_OK && *done) {
		s->lefts.all[at] = s->lefts.all[s->lefts.count - 1];
		s->lefts.count--;
		err = sync_note_lefts(s, batch.txn);
		s->lefts.count++;
	}
	return batch_end(&batch, err);
}

int sync_settle_lefts(struct ps_sync *s)
{
	int err = PS_OK;
	for (size_t i = 0; i < s->lefts.count && err == PS_OK;) {
		bool done = false;
		err = settle_left(s, i, &done);
		if (done && err == PS_OK)
			s->lefts.count--;
		else
			i++;
	}
	return err;
}
