/* Full verification: the table's pages, who uses which bytes, and (full) every byte of every object as it is
 * on disk.
 *
 * The bytes come first, object by object under a hold of its slot, a leaf at a time without checkpoints:
 * writers go on, and what they free stays as it is while it is held. The table and the space are then checked
 * as one state, with commits standing still.
 *
 * Used extents are collected and sorted: an overlap, or a sum that does not make up the file together with
 * the free space, is a finding. Where the list would take more than its share of the budget it is cut to the
 * file's lower part, and the table is visited again for the part above: all under the same locks, so that it
 * is still one state. */
#include <sys/param.h>

#include "store/base_internal.h"

/* Of the budget, for the list. */
enum { LIST_SHARE = 8 };

struct used {
	struct ps_extent extent;
	ps_id id;
};

struct checker {
	struct store *s;
	ps_finding_fn fn;
	void *arg;
	struct used *used;
	size_t count, size, most;
	uint64_t from, to; /* the part of the file whose extents are listed now, by where they begin */
	uint64_t end;      /* as far as the extents of the parts below reach */
	uint64_t live;     /* bytes of them */
	ps_id id; /* whose extents are being added */
	uint64_t findings;
	char first[160];
	uint8_t *buffer;
	struct ps_extent window; /* of the file, in the buffer */
};

static int report(struct checker *c, int err, ps_id id, uint64_t offset, const char *message)
{
	struct ps_finding finding = {err, id, offset, message};
	if (!c->findings++)
		(void)snprintf(c->first, sizeof(c->first), "%s", message);
	if (c->fn && c->fn(c->arg, &finding))
		return ps_fail(PS_ECANCELED, "%s: check ended by the caller", c->s->path);
	return PS_OK;
}

static int compare_used(const void *a, const void *b)
{
	uint64_t x = ((const struct used *)a)->extent.offset, y = ((const struct used *)b)->extent.offset;
	return x < y ? -1 : x > y;
}

/* The lower half stays, and those that begin where its last one does: they are a finding. */
static void cut_list(struct checker *c)
{
	size_t keep = c->count / 2;
	qsort(c->used, c->count, sizeof(*c->used), compare_used);
	while (keep < c->count && c->used[keep].extent.offset == c->used[keep - 1].extent.offset)
		keep++;
	if (keep == c->count) {
		c->most *= 2;
		return;
	}
	c->to = c->used[keep].extent.offset;
	c->count = keep;
}

static int add_used(struct checker *c, struct ps_extent extent)
{
	if (c->count == c->most)
		cut_list(c);
	if (!extent.len || extent.offset < c->from || extent.offset >= c->to)
		return PS_OK;
	struct used *used = ps_memory_grow(&c->s->memory, c->used, c->count, &c->size, sizeof(*used));
	if (!used)
		return ps_fail(PS_ENOMEM, "%s: no memory to check the file's space", c->s->path);
	c->used = used;
	c->used[c->count++] = (struct used){extent, c->id};
	return PS_OK;
}

static int add_page(void *arg, struct ps_extent extent)
{
	struct checker *c = arg;
	c->id = PS_ID_NONE;
	return add_used(c, extent);
}

static int add_part(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	(void)blob;
	(void)chunk;
	return add_used(arg, extent);
}

static int check_map(struct checker *c, const struct entry *e)
{
	int err = map_extents(c->s, c->id, e, add_part, c);
	if (err != PS_ECORRUPT && err != PS_EIO)
		return err;
	return c->from ? PS_OK : report(c, err, c->id, entry_place(e), ps_last_error_message());
}

static int check_entry(void *arg, uint64_t slot, const struct entry *e)
{
	struct checker *c = arg;
	c->id = id_make(slot, entry_generation(e));
	if (!entry_lives(e))
		return PS_OK;
	if (entry_kind(e) == ENTRY_MAP)
		return check_map(c, e);
	return add_used(c, entry_extent(c->s->classes, e));
}

static int bad_page(void *arg, uint64_t first_slot, uint64_t slots, uint64_t place)
{
	struct checker *c = arg;
	char message[160];
	if (c->from)
		return PS_OK; /* it was reported when the first part was listed */
	(void)snprintf(message, sizeof(message), "table page at offset %llu is damaged: ids of slots %llu to %llu are lost",
		       (unsigned long long)place, (unsigned long long)first_slot, (unsigned long long)(first_slot + slots - 1));
	return report(c, PS_ECORRUPT, PS_ID_NONE, place, message);
}

static int add_fixed(struct checker *c)
{
	struct store *s = c->s;
	c->id = PS_ID_NONE;
	int err = add_used(c, (struct ps_extent){0, SUPERBLOCK_AREA});
	for (int i = 0; i < 2 && !err; i++)
		err = add_used(c, (struct ps_extent){s->log.ring[i].offset, s->log.ring[i].len});
	for (size_t i = 0; i < s->log.spill_count && !err; i++)
		err = add_used(c, s->log.spills[i].extent);
	return err;
}

static int check_overlaps(struct checker *c)
{
	char message[160];
	int err = PS_OK;
	qsort(c->used, c->count, sizeof(*c->used), compare_used);
	for (size_t i = 0; i < c->count && !err; i++) {
		const struct used *u = &c->used[i];
		if (u->extent.offset < c->end) {
			(void)snprintf(message, sizeof(message), "object 0x%llx: its bytes at offset %llu belong to another as well",
				       (unsigned long long)u->id, (unsigned long long)u->extent.offset);
			err = report(c, PS_ECORRUPT, u->id, u->extent.offset, message);
		}
		c->end = MAX(c->end, u->extent.offset + u->extent.len);
		c->live += u->extent.len;
	}
	return err;
}

/* Live + free + what waits or is kept aside = the space. */
static int check_sum(struct checker *c)
{
	struct space *sp = &c->s->space;
	struct ps_allocator_stats stats;
	char message[160];
	if (!sp->ready || c->s->table.damaged || atomic_load(&sp->lost) || c->findings)
		return PS_OK;
	struct ps_allocator *all = sp->slots ? sp->slots : sp->root;
	int err = all->ops->check(all);
	if (err)
		return report(c, err, PS_ID_NONE, 0, ps_last_error_message());
	all->ops->stats(all, &stats);
	uint64_t aside = sp->pending_bytes + sp->open.len + sp->pages.len +
	                 (uint64_t)sp->reserve_count * PAGE + sp->end / (1U << 30) * PAGE;
	aside += c->s->uncommitted_bytes + classes_tail_bytes(c->s) + stats.forgotten;
	if (c->live + stats.free + aside == stats.space)
		return PS_OK;
	(void)snprintf(message, sizeof(message),
	               "space does not add up: %llu live + %llu free + %llu waiting, file has %llu",
	               (unsigned long long)c->live, (unsigned long long)stats.free, (unsigned long long)aside,
	               (unsigned long long)stats.space);
	return report(c, PS_ECORRUPT, PS_ID_NONE, 0, message);
}

static int check_note(struct checker *c)
{
	int err = note_check(c->s);
	return err ? report(c, err, PS_ID_NONE, superblock_offset(1) + SECTOR, ps_last_error_message()) : PS_OK;
}

/* From `from` on, as far as the list reaches. */
static int check_part_of_file(struct checker *c)
{
	struct table_visitor v = {add_page, check_entry, bad_page, c};
	c->to = UINT64_MAX;
	c->count = 0;
	int err = add_fixed(c);
	if (!err)
		err = table_visit(&c->s->table, &v);
	if (!err)
		err = check_overlaps(c);
	c->from = c->to;
	return err;
}

static int check_all(struct checker *c)
{
	int err = check_note(c);
	while (!err && c->from != UINT64_MAX)
		err = check_part_of_file(c);
	return err ? err : check_sum(c);
}

/* ---- every byte --------------------------------------------------------------------------------------------------------- */

static bool in_window(const struct checker *c, uint64_t from, uint64_t end)
{
	return from >= c->window.offset && end <= c->window.offset + c->window.len;
}

static bool is_sound(const struct checker *c, const struct blob *b)
{
	return blob_checksum(b->seed, c->buffer + (b->place - c->window.offset), b->len) == b->checksum;
}

static int read_window(struct checker *c, uint64_t from, uint64_t len)
{
	c->window = (struct ps_extent){from, 0};
	int err = ps_io_read(c->s->io, from, c->buffer, len);
	if (!err)
		c->window.len = len;
	return err;
}

/* What is on disk, not what is in memory: but what only the log holds yet is not on disk. Neighbours are read together; what does
 * not match in a window that was read for another object is read again, for its place may have been used anew since. */
static int read_blob(struct checker *c, const struct blob *b)
{
	uint64_t from = b->place & ~(uint64_t)(PAGE - 1), end = (b->place + b->len + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	uint64_t file = ps_get64(c->s->sb.file_bytes), ahead = MIN((uint64_t)CHUNK, file > from ? file - from : 0);
	if (in_window(c, from, end) && is_sound(c, b))
		return PS_OK;
	int err = b->len < PAGE && ahead > end - from ? read_window(c, from, ahead) : PS_EIO;
	if (err)
		err = read_window(c, from, end - from);
	if (err)
		return err;
	return is_sound(c, b) ? PS_OK : PS_ECORRUPT;
}

static int check_blob(struct checker *c, const struct blob *b)
{
	char message[160];
	if (pool_is_newer(&c->s->pool, blob_frame(&c->s->pool, b)))
		return PS_OK;
	int err = read_blob(c, b);
	/* A commit is seen before it is durable, while packs that it names are on their way (commit.c). The hold keeps the place. */
	if (err == PS_ECORRUPT && log_sync(&c->s->log) == PS_OK) {
		c->window.len = 0;
		err = read_blob(c, b);
	}
	if (!err)
		return PS_OK;
	(void)snprintf(message, sizeof(message), "object 0x%llx: %llu bytes at offset %llu: %s", (unsigned long long)c->id,
		       (unsigned long long)b->len, (unsigned long long)b->place,
		       err == PS_ECORRUPT ? "checksum mismatch" : ps_strerror(err));
	return report(c, err, c->id, b->place, message);
}

static int check_part(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	(void)extent;
	(void)chunk;
	return check_blob(arg, blob);
}

/* What cannot be read of the table or of a map is reported when these are checked. */
static int check_contents(struct checker *c, uint64_t slot)
{
	struct store *s = c->s;
	struct entry e;
	space_hold(&s->space, slot);
	int err = table_get(&s->table, slot, &e);
	c->id = id_make(slot, entry_generation(&e));
	if (!err && entry_kind(&e) == ENTRY_MAP)
		err = map_extents(s, c->id, &e, check_part, c);
	else if (!err && entry_kind(&e) == ENTRY_DATA) {
		struct blob b = entry_blob(c->id, &e);
		err = check_blob(c, &b);
	}
	space_unhold(&s->space, slot);
	return err == PS_ECORRUPT || err == PS_EIO ? PS_OK : err;
}

/* Without checkpoints: a frame that one writes is clean in memory before the disk has it. */
static int check_leaf_contents(struct checker *c, uint64_t first)
{
	int err = PS_OK;
	checkpoint_lock(c->s);
	c->window.len = 0;
	for (uint64_t slot = first; slot < first + FANOUT && !err; slot++)
		err = check_contents(c, slot);
	checkpoint_unlock(c->s);
	return err;
}

/* Without memory the part begins anew, if it has reported nothing: what is dirty, or another call has, makes
 * room. */
static bool check_again(struct checker *c, int err, uint64_t findings, struct budget_patience *patience)
{
	return err == PS_ENOMEM && c->findings == findings && budget_relieve(c->s, patience);
}

static int check_all_contents(struct checker *c)
{
	struct table *t = &c->s->table;
	int err = PS_OK;
	for (uint64_t slot = table_next(t, 0); slot < atomic_load(&t->slots) && !err;
	     slot = table_next(t, slot + FANOUT)) {
		struct budget_patience patience = {0};
		uint64_t findings = c->findings;
		do
			err = check_leaf_contents(c, slot);
		while (check_again(c, err, findings, &patience));
	}
	return err;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------- */

/* Checkpoints stand still meanwhile, and so do commits: the table and the space are checked as one state. */
static int try_state(struct checker *c)
{
	struct store *s = c->s;
	c->from = c->end = c->live = 0;
	checkpoint_lock(s);
	pthread_mutex_lock(&s->lock);
	int err = rebuild_finish(&s->space);
	if (!err)
		err = check_all(c);
	pthread_mutex_unlock(&s->lock);
	checkpoint_unlock(s);
	return err;
}

static int check_state(struct checker *c)
{
	struct budget_patience patience = {0};
	uint64_t findings = c->findings;
	int err;
	do
		err = try_state(c);
	while (check_again(c, err, findings, &patience));
	return err;
}

/* Of a list that doubles as it grows. */
static size_t list_most(const struct store *s)
{
	uint64_t items = MAX(s->budget / LIST_SHARE / sizeof(struct used), (uint64_t)64);
	return (size_t)1 << (63 - __builtin_clzll(items));
}

int base_check(ps_storer *st, enum ps_check_depth depth, ps_finding_fn fn, void *arg)
{
	struct store *s = store_of(st);
	struct checker c = {.s = s, .fn = fn, .arg = arg, .most = list_most(s)};
	if (posix_memalign((void **)&c.buffer, PAGE, CHUNK + PAGE))
		return ps_fail(PS_ENOMEM, "%s: no memory to check", s->path);
	while (rebuild_help(s))
		;
	int err = depth == PS_CHECK_FULL ? check_all_contents(&c) : PS_OK;
	if (!err)
		err = check_state(&c);
	free(c.buffer);
	ps_memory_free(&s->memory, c.used, c.size * sizeof(*c.used));
	if (!err && c.findings)
		err = ps_fail(PS_ECORRUPT, "%s: check found %llu damages, first: %s", s->path, (unsigned long long)c.findings, c.first);
	return err;
}
