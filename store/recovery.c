/* Opening a store that was not closed: the log is read from where the superblock says, its records are applied to the table in
 * memory, and bytes that ride in it are kept for their pages (redo), which are read only when they are touched. Nothing is
 * written: a crash in here changes nothing.
 *
 * The log ends at the first block that is not there whole. A block's mark says that all below it was durable when it was
 * written: a break below the highest mark found anywhere is damage, not an end. */
#include <sys/param.h>
#include <xxhash.h>

#include "store/base_internal.h"

struct patch {
	struct blob blob;
	ps_id id;
	const uint8_t *bytes;
};

struct redo {
	struct patch *patches; /* by place */
	size_t count, size;
	uint8_t *log; /* the bytes that patches point into */
	uint64_t log_len, counted;
	struct body *bodies; /* spilled commits */
};
struct body {
	struct body *next;
	uint8_t *bytes;
	size_t len, size;
	const struct disk_spill *spills;
};

struct recovery {
	struct store *s;
	uint8_t *bytes; /* the log from `start` on, in order */
	uint64_t start, len;
	uint64_t end;   /* of the valid chain, relative to start */
	uint64_t last;  /* where its last block begins */
	uint64_t chain, last_chain, mark;
	uint64_t epoch;
	uint64_t commit;
	struct named named; /* by the last block */
	struct table_ahead ahead;
};

/* ---- reading the ring ---------------------------------------------------------------------------------------------------- */

static int read_ring(struct recovery *r, const struct ring *ring, uint64_t lsn, uint64_t len, uint8_t *to)
{
	while (len) {
		uint64_t place = ring->offset + (lsn - ring->base) % ring->len;
		uint64_t part = MIN(len, ring->offset + ring->len - place);
		int err = ps_io_read(r->s->io, place, to, part);
		if (err)
			return err;
		lsn += part;
		to += part;
		len -= part;
	}
	return PS_OK;
}

static int read_log(struct recovery *r)
{
	struct log *log = &r->s->log;
	uint64_t first = 0;
	r->start = log->start;
	if (log->ring[1].len && r->start < log->ring[1].base)
		first = log->ring[1].base - r->start;
	if (first > log->ring[0].len)
		return ps_fail(PS_ECORRUPT, "%s: the superblock's log positions do not fit its ring", r->s->path);
	const struct ring *rest = log->ring[1].len ? &log->ring[1] : &log->ring[0];
	r->len = first + rest->len;
	if (posix_memalign((void **)&r->bytes, PAGE, r->len))
		return ps_fail(PS_ENOMEM, "%s: no memory to read a log of %llu bytes", r->s->path, (unsigned long long)r->len);
	int err = first ? read_ring(r, &log->ring[0], r->start, first, r->bytes) : PS_OK;
	return err ? err : read_ring(r, rest, r->start + first, rest->len, r->bytes + first);
}

/* A block of this store that is whole. */
static bool block_at(const struct recovery *r, uint64_t at, struct disk_log_block *h)
{
	memcpy(h, r->bytes + at, sizeof(*h));
	uint32_t length = ps_get32(h->length);
	if (ps_get32(h->magic) != LOG_MAGIC || memcmp(&h->store, r->s->uuid, sizeof(h->store)) != 0)
		return false;
	if (length < sizeof(*h) || length > r->len - at)
		return false;
	struct disk_log_block zeroed = *h;
	XXH3_state_t *state = XXH3_createState();
	if (!state)
		return false;
	zeroed.checksum = ps_set64(0);
	XXH3_64bits_reset(state);
	XXH3_64bits_update(state, &zeroed, sizeof(zeroed));
	XXH3_64bits_update(state, r->bytes + at + sizeof(zeroed), length - sizeof(zeroed));
	uint64_t checksum = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	return checksum == ps_get64(h->checksum);
}

static uint64_t block_span(const struct disk_log_block *h)
{
	return ((uint64_t)ps_get32(h->length) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static void follow_chain(struct recovery *r)
{
	struct disk_log_block h;
	uint64_t at = 0, newest = ps_get64(r->s->sb.epoch), newest_start = ps_get64(r->s->sb.epoch_start);
	while (at < r->len && block_at(r, at, &h)) {
		uint64_t epoch = ps_get64(h.epoch);
		/* An earlier recovery ended before this block: it stays rejected, whatever its extents hold by now. */
		if (epoch < newest && r->start + at >= newest_start)
			break;
		if (ps_get64(h.lsn) != r->start + at || ps_get64(h.chain) != r->chain || epoch < r->epoch ||
		    epoch > newest)
			break;
		r->last = at;
		r->last_chain = r->chain;
		r->mark = MAX(r->mark, ps_get64(h.mark));
		r->chain = ps_get64(h.checksum);
		r->epoch = epoch;
		at += block_span(&h);
	}
	r->end = MIN(at, r->len);
}

static int lost_writes(struct store *s)
{
	return ps_fail(PS_ECORRUPT, "%s: the log is newer than the superblock (writes were lost)", s->path);
}

static int broken(const struct recovery *r)
{
	return ps_fail(PS_ECORRUPT, "%s: the log is broken at %llu, below what was durable (offset %llu)", r->s->path,
		       (unsigned long long)(r->start + r->end),
		       (unsigned long long)ring_place(&r->s->log, r->start + r->end));
}

/* What lies behind the end: left over from before, or proof that something before it is missing. */
static int check_behind(struct recovery *r)
{
	struct disk_log_block h;
	struct store *s = r->s;
	uint64_t end = r->start + r->end;
	if (end < ps_get64(s->sb.epoch_start))
		return broken(r);
	for (uint64_t at = r->end; at < r->len; at += PAGE) {
		if (!block_at(r, at, &h) || ps_get64(h.lsn) < end)
			continue;
		if (ps_get64(h.epoch) > ps_get64(s->sb.epoch) || ps_get64(h.checkpoint) > ps_get64(s->sb.checkpoint))
			return lost_writes(s);
		/* Also where it does not belong: two blocks that changed places end the chain before both. */
		if (ps_get64(h.mark) > end)
			return broken(r);
	}
	return PS_OK;
}

/* ---- spilled commits ------------------------------------------------------------------------------------------------------- */

static struct redo *redo_of(struct store *s)
{
	if (!s->redo)
		s->redo = ps_memory_zalloc(&s->memory, sizeof(*s->redo));
	return s->redo;
}

static uint64_t in_pages(uint64_t len)
{
	return (len + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static int verify_extent(struct store *s, uint64_t place, uint64_t len, uint64_t seed, uint64_t checksum, uint8_t *to)
{
	int err = named_possible(s, place, len);
	if (!err)
		err = ps_io_read(s->io, place, to, in_pages(len));
	return err ? err : named_check(s, &(struct blob){place, len, seed, checksum, 0}, to);
}

/* The operations of a spilled commit, read once. */
static int load_body(struct store *s, const struct log_record *record, const uint8_t **bytes, size_t *len)
{
	struct redo *redo = redo_of(s);
	if (!redo)
		return ps_fail(PS_ENOMEM, "%s: no memory for recovery", s->path);
	for (struct body *b = redo->bodies; b; b = b->next) {
		if (b->spills == record->spills) {
			*bytes = b->bytes;
			*len = b->len;
			return PS_OK;
		}
	}
	struct body *b = ps_memory_zalloc(&s->memory, sizeof(*b));
	size_t size = (size_t)record->spill_count * SPILL_BYTES;
	if (!b || posix_memalign((void **)&b->bytes, PAGE, size)) {
		ps_memory_free(&s->memory, b, sizeof(*b));
		return ps_fail(PS_ENOMEM, "%s: no memory for a commit of %zu bytes", s->path, size);
	}
	b->size = size;
	b->spills = record->spills;
	b->next = redo->bodies;
	redo->bodies = b;
	int err = PS_OK;
	for (uint32_t i = 0; i < record->spill_count && !err; i++) {
		const struct disk_spill *p = &record->spills[i];
		err = verify_extent(s, ps_get64(p->offset), ps_get64(p->len), SPILL_SEED, ps_get64(p->checksum), b->bytes + b->len);
		b->len += err ? 0 : ps_get64(p->len);
	}
	if (err)
		b->spills = NULL;
	*bytes = b->bytes;
	*len = b->len;
	return err;
}

/* ---- going through the records ------------------------------------------------------------------------------------------------ */

typedef int (*operation_fn)(struct recovery *r, const struct log_operation *op);

static int each_operation(struct recovery *r, const struct log_record *record, operation_fn fn)
{
	const uint8_t *body = record->body;
	size_t len = record->body_len, at = 0;
	int err = record->flags & RECORD_SPILLED ? load_body(r->s, record, &body, &len) : PS_OK;
	for (uint32_t i = 0; i < record->operations && !err; i++) {
		struct log_operation op;
		err = log_decode_operation(r->s->classes, atomic_load(&r->s->interval), body, len, &at, &op);
		if (!err)
			err = fn(r, &op);
	}
	return err;
}

static int note_spills(struct store *s, uint64_t lsn, const struct log_record *record)
{
	int err = log_spill_reserve(&s->log, record->spill_count);
	for (uint32_t i = 0; i < record->spill_count && !err; i++) {
		uint64_t len = (ps_get64(record->spills[i].len) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
		s->log.spills[s->log.spill_count++] =
		    (struct spill){lsn, {ps_get64(record->spills[i].offset), len}};
	}
	return err;
}

typedef int (*record_fn)(void *arg, uint64_t at, const struct log_record *record);

/* Of whole blocks, whose offsets in the bytes read are `at`. */
static int each_record(const struct recovery *r, uint64_t from, uint64_t to, record_fn fn, void *arg)
{
	int err = PS_OK;
	for (uint64_t at = from; at < to && !err;) {
		const struct disk_log_block *h = (const struct disk_log_block *)(const void *)(r->bytes + at);
		size_t record_at = sizeof(*h), length = ps_get32(h->length);
		while (record_at < length && !err) {
			struct log_record record;
			err = log_decode_record(r->bytes + at, length, &record_at, &record);
			if (!err)
				err = fn(arg, at, &record);
		}
		at += block_span(h);
	}
	return err;
}

struct pass {
	struct recovery *r;
	bool count;
	operation_fn fn;
};

static int pass_record(void *arg, uint64_t at, const struct log_record *record)
{
	const struct pass *pass = arg;
	struct recovery *r = pass->r;
	int err = each_operation(r, record, pass->fn);
	if (err || !pass->count)
		return err;
	r->commit = record->commit;
	r->s->recovered_commits++;
	return note_spills(r->s, r->start + at, record);
}

/* `count`: the records are the store's from now on. */
static int each_logged(struct recovery *r, uint64_t from, uint64_t to, bool count, operation_fn fn)
{
	struct pass pass = {r, count, fn};
	return each_record(r, from, to, pass_record, &pass);
}

/* Above the mark, extents that a record names may not have reached the disk. */
static int collect_named(struct recovery *r, const struct log_operation *op)
{
	return named_add(r->s, &r->named, op);
}

static int collect_leaf(struct recovery *r, const struct log_operation *op)
{
	table_ahead_add(&r->ahead, op->slot);
	return PS_OK;
}

/* What a record is damaged by, or has no memory for, is said by who applies it. */
static void read_leaves_ahead(struct recovery *r)
{
	table_ahead_init(&r->ahead, &r->s->table);
	if (r->ahead.leaves && each_logged(r, 0, r->end, false, collect_leaf) == PS_OK)
		table_ahead_read(&r->ahead);
	table_ahead_done(&r->ahead);
}

/* The file as far as the entry names it. */
static int reach_end(struct recovery *r, const struct log_operation *op)
{
	struct store *s = r->s;
	uint64_t end = entry_end(s->classes, &op->entry);
	s->space.named_end = MAX(s->space.named_end, end);
	return pool_extend(&s->pool, end);
}

static int apply_entry(struct recovery *r, const struct log_operation *op)
{
	int err = reach_end(r, op);
	return err ? err : table_recover(&r->s->table, op->slot, &op->entry);
}

static int note_entry(struct recovery *r, const struct log_operation *op)
{
	int err = reach_end(r, op);
	return err ? err : table_redo_note(&r->s->table, op);
}

static int add_operations(void *arg, uint64_t at, const struct log_record *record)
{
	(void)at;
	*(uint64_t *)arg += record->operations;
	return PS_OK;
}

/* Up to the first record that is damaged, which whoever applies it says. */
static uint64_t count_operations(const struct recovery *r)
{
	uint64_t operations = 0;
	(void)!each_record(r, 0, r->end, add_operations, &operations);
	return operations;
}

/* ---- redo ------------------------------------------------------------------------------------------------------------------------ */

static int add_patch(struct store *s, uint64_t slot, const struct entry *e, const uint8_t *bytes)
{
	struct redo *redo = redo_of(s);
	struct patch *patches = redo ? ps_memory_grow(&s->memory, redo->patches, redo->count, &redo->size, sizeof(*patches)) : NULL;
	if (!patches)
		return ps_fail(PS_ENOMEM, "%s: no memory for recovery", s->path);
	redo->patches = patches;
	ps_id id = id_make(slot, entry_generation(e));
	redo->patches[redo->count++] = (struct patch){entry_blob(id, e), id, bytes};
	pool_set_patched(&s->pool, pool_frame(&s->pool, entry_class(e), entry_place(e)));
	return PS_OK;
}

static int patch_operation(struct recovery *r, const struct log_operation *op)
{
	struct entry now;
	if (!op->nbytes)
		return PS_OK;
	int err = table_get(&r->s->table, op->slot, &now);
	/* Bytes of a version that is gone: their place may be another's by now. */
	if (err || !entry_equal(&now, &op->entry))
		return err == PS_ECORRUPT ? PS_OK : err;
	return add_patch(r->s, op->slot, &op->entry, op->bytes);
}

static int by_place(const void *a, const void *b)
{
	uint64_t x = ((const struct patch *)a)->blob.place, y = ((const struct patch *)b)->blob.place;
	return x < y ? -1 : x > y;
}

static size_t first_patch(const struct redo *redo, uint64_t place)
{
	size_t low = 0, high = redo->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (redo->patches[middle].blob.place < place)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Called while the page's frame is locked for loading. */
bool redo_apply(struct store *s, uint64_t page, uint64_t count, uint8_t *frame)
{
	uint64_t end = page + count * PAGE;
	pthread_mutex_lock(&s->redo_lock);
	const struct redo *redo = s->redo;
	for (size_t i = redo ? first_patch(redo, page) : 0; redo && i < redo->count && redo->patches[i].blob.place < end; i++) {
		const struct patch *p = &redo->patches[i];
		memcpy(frame + (p->blob.place - page), p->bytes, MIN(p->blob.len, end - p->blob.place));
	}
	pthread_mutex_unlock(&s->redo_lock);
	return redo != NULL;
}

/* Under a hold, so that the place is still the object's while its page is brought in. */
static int finish_patch(struct store *s, const struct patch *p)
{
	struct entry e;
	const uint8_t *data;
	space_hold(&s->space, id_slot(p->id));
	int err = table_get(&s->table, id_slot(p->id), &e);
	bool current = !err && entry_place(&e) == p->blob.place && e.w[2] == p->blob.checksum && entry_generation(&e) == id_generation(p->id);
	if (current)
		err = pool_pin(&s->pool, &p->blob, p->id, &data);
	/* Its leaf is damaged: nobody reaches it. */
	if (err == PS_ECORRUPT && !current)
		err = PS_OK;
	if (current && !err) {
		pthread_mutex_lock(&s->lock);
		err = pool_dirty_reserve(&s->pool, 1);
		if (!err)
			pool_list_dirty(&s->pool, blob_frame(&s->pool, &p->blob));
		pthread_mutex_unlock(&s->lock);
		pool_unpin(&s->pool, blob_frame(&s->pool, &p->blob));
	}
	space_unhold(&s->space, id_slot(p->id));
	return err;
}

/* Before the first checkpoint: all pages get their bytes, and are dirty. */
int redo_finish(struct store *s)
{
	struct redo *redo = s->redo;
	int err = PS_OK;
	for (size_t i = 0; redo && i < redo->count && !err; i++)
		err = finish_patch(s, &redo->patches[i]);
	if (!redo || err)
		return err;
	/* Pages whose patches all belong to versions that are gone: they need none. */
	pthread_mutex_lock(&s->lock);
	err = pool_dirty_reserve(&s->pool, redo->count);
	for (size_t i = 0; i < redo->count && !err; i++)
		pool_settle_patched(&s->pool, blob_frame(&s->pool, &redo->patches[i].blob));
	pthread_mutex_unlock(&s->lock);
	if (!err)
		redo_free(s);
	return err;
}

void redo_free(struct store *s)
{
	pthread_mutex_lock(&s->redo_lock);
	struct redo *redo = s->redo;
	s->redo = NULL;
	pthread_mutex_unlock(&s->redo_lock);
	if (!redo)
		return;
	while (redo->bodies) {
		struct body *b = redo->bodies;
		redo->bodies = b->next;
		free(b->bytes);
		ps_memory_free(&s->memory, b, sizeof(*b));
	}
	budget_give(s, redo->counted);
	free(redo->log);
	ps_memory_free(&s->memory, redo->patches, redo->size * sizeof(*redo->patches));
	ps_memory_free(&s->memory, redo, sizeof(*redo));
}

/* ---- all of it --------------------------------------------------------------------------------------------------------------------- */

/* The last block is not below any mark: it counts only if all that it names is there. */
static int verify_last(struct recovery *r)
{
	/* What an earlier recovery accepted was flushed before its epoch began: space that it gave back may be in use anew. */
	if (!r->end || r->start + r->last < ps_get64(r->s->sb.epoch_start))
		return PS_OK;
	int err = each_logged(r, r->last, r->end, false, collect_named);
	if (!err)
		err = named_verify(r->s, &r->named);
	named_done(r->s, &r->named);
	if (err != PS_ECORRUPT)
		return err;
	r->end = r->last;
	r->chain = r->last_chain;
	return PS_OK;
}

static int apply_at_once(struct recovery *r)
{
	read_leaves_ahead(r);
	int err = each_logged(r, 0, r->end, true, apply_entry);
	return err ? err : each_logged(r, 0, r->end, false, patch_operation);
}

/* Of each slot only the last entry counts, and so do only its bytes. */
static int apply_noted(struct recovery *r)
{
	const struct redo_note *notes;
	size_t count = 0;
	int err = each_logged(r, 0, r->end, true, note_entry);
	if (!err)
		err = table_redo_spread(&r->s->table, &notes, &count);
	for (size_t i = 0; i < count && !err; i++) {
		if (notes[i].nbytes)
			err = add_patch(r->s, notes[i].slot, &notes[i].entry, notes[i].bytes);
	}
	return err;
}

static int replay(struct recovery *r)
{
	struct store *s = r->s;
	follow_chain(r);
	int err = check_behind(r);
	if (!err)
		err = verify_last(r);
	if (err)
		return err;
	bool noted = table_redo_begin(&s->table, count_operations(r));
	err = noted ? apply_noted(r) : apply_at_once(r);
	if (err)
		return err;
	if (s->redo && s->redo->count)
		qsort(s->redo->patches, s->redo->count, sizeof(*s->redo->patches), by_place);
	return PS_OK;
}

/* After a clean close the log is empty: a block where it would begin belongs to an open whose superblock was lost. */
static int check_clean(struct recovery *r)
{
	struct disk_log_block h;
	if (block_at(r, 0, &h) && ps_get64(h.epoch) > ps_get64(r->s->sb.epoch))
		return lost_writes(r->s);
	return PS_OK;
}

int recovery_run(struct store *s)
{
	struct recovery r = {.s = s, .chain = s->log.start_chain, .commit = ps_get64(s->sb.commit)};
	bool clean = s->sb.clean;
	int err = PS_OK;
	if (clean) {
		r.start = s->log.start;
		r.len = PAGE;
		if (posix_memalign((void **)&r.bytes, PAGE, PAGE))
			return ps_fail(PS_ENOMEM, "%s: no memory for recovery", s->path);
		err = ps_io_read(s->io, ring_place(&s->log, r.start), r.bytes, PAGE);
		if (!err)
			err = check_clean(&r);
	} else {
		err = read_log(&r);
		if (!err)
			err = replay(&r);
	}
	s->log.end = s->log.start + r.end;
	s->log.chain = r.chain;
	s->log.chain_lsn = s->log.end;
	s->log.commit = s->log.closed_commit = s->log.durable_commit = r.commit;
	if (!err && s->redo) {
		s->redo->log = r.bytes;
		s->redo->log_len = r.len;
		/* A log from a time of a larger budget must not take all of a smaller one. */
	s->redo->counted = MIN(r.len, s->budget / 2);
	atomic_fetch_add(&s->budget_used, s->redo->counted);
		return PS_OK;
	}
	free(r.bytes);
	return err;
}
