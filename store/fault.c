/* Faults: contents that are away, or damaged here, are fetched when they are read.
 *
 * Under no lock but the reader's hold on the slot: fetch, compare with the checksum that the entry or the map
 * has of them, give the reader what it wants; only then do they get a place, by a commit that changes nothing
 * else, and only where the entry still wants them: as compaction moves. So whoever reads gets the bytes of
 * the version that it looks at, whatever happens to the object meanwhile, and without any room on the disk.
 *
 * Of several readers of the same pieces one fetches, and the others look again when it has ended. */
#include <sys/param.h>

#include "store/base_internal.h"

enum {
	INSTALL_TRIES = 8,  /* others put their pieces into the same map */
	PASSING_FAULTS = 64 /* after a full disk: each try costs a checkpoint */
};

/* A fetch under way. */
struct flight {
	struct flight *next;
	ps_id id;
	uint64_t first, end; /* pieces */
};

/* Pieces one after another of one object: chunks, or a small object's contents as the only one. */
struct fault {
	struct store *s;
	ps_id id;
	const struct entry *e; /* that the reader looks at */
	uint64_t first;
	unsigned count, needed;               /* of which the reader asked for so many */
	struct map_chunk piece[FAULT_CHUNKS]; /* with the place of a damaged copy, if there is one: then it is
	                                         the only one */
	uint8_t *bytes;
	size_t room;
	struct flight flight;
};

static bool in_chunks(const struct entry *e)
{
	return entry_kind(e) == ENTRY_MAP;
}

static uint64_t pieces_of(const struct entry *e)
{
	return in_chunks(e) ? (entry_size(e) + CHUNK - 1) / CHUNK : 1;
}

/* What the entry says of a piece; len 0: it has none. */
static int look_up(struct store *s, ps_id id, const struct entry *e, uint64_t index, struct map_chunk *piece)
{
	*piece = (struct map_chunk){0};
	if (index >= pieces_of(e))
		return PS_OK;
	if (in_chunks(e))
		return map_lookup(s, id, e, index, piece);
	if (entry_kind(e) == ENTRY_DATA || entry_kind(e) == ENTRY_AWAY)
		*piece = (struct map_chunk){entry_place(e), (uint32_t)entry_size(e), e->w[2]};
	return PS_OK;
}

static uint64_t seed_of(const struct fault *f, uint64_t index)
{
	return in_chunks(f->e) ? seed_chunk(f->id, index) : seed_contents(f->id);
}

static bool same_bytes(const struct map_chunk *a, const struct map_chunk *b)
{
	return a->len == b->len && a->checksum == b->checksum;
}

/* The entry as it is now, if it is still of this object and of the same kind of pieces. */
static bool look_now(const struct fault *f, struct entry *now)
{
	return table_get(&f->s->table, id_slot(f->id), now) == PS_OK && entry_kind(now) != ENTRY_FREE &&
	       entry_generation(now) == id_generation(f->id) && in_chunks(now) == in_chunks(f->e);
}

/* ---- what has come back meanwhile ---- */

/* The hold keeps what the entry names now from being used anew, as well as what it named before. */
static bool find_here(const struct fault *f, uint64_t index, const struct map_chunk *want, struct blob *b)
{
	struct entry now;
	struct map_chunk piece;
	if (!look_now(f, &now) || look_up(f->s, f->id, &now, index, &piece))
		return false;
	if (!piece.place || !same_bytes(&piece, want) || piece.place == want->place)
		return false;
	*b = in_chunks(&now) ? (struct blob){piece.place, piece.len, seed_of(f, index), piece.checksum, 0}
	                     : entry_blob(f->id, &now);
	return true;
}

static bool read_here(const struct fault *f, const struct map_chunk *want, uint64_t within, uint8_t *buf,
                      size_t len)
{
	struct pool *pool = &f->s->pool;
	struct blob b;
	const uint8_t *data;
	if (!find_here(f, f->first, want, &b) || pool_pin(pool, &b, f->id, &data))
		return false;
	memcpy(buf, data + within, len);
	pool_unpin(pool, blob_frame(pool, &b));
	return true;
}

/* ---- which pieces ---- */

static bool may_keep(struct store *s)
{
	return !s->read_only && !atomic_load(&s->failed) && !atomic_load(&s->residency.passing);
}

static uint64_t most_pieces(const struct fault *f, enum object_use use)
{
	uint64_t budget = MAX(f->s->budget / 8 / CHUNK, (uint64_t)1);
	uint64_t want = use == USE_AHEAD && may_keep(f->s) ? FAULT_CHUNKS : f->needed;
	return MIN(MIN(want, budget), (uint64_t)FAULT_CHUNKS);
}

/* From the first one on, as long as they are away and whole: those behind a short one are no longer in one
 * run. */
static void choose_pieces(struct fault *f, enum object_use use)
{
	uint64_t most = most_pieces(f, use);
	struct blob b;
	f->count = 1;
	while (f->count < most && !f->piece[0].place && f->piece[f->count - 1].len == CHUNK) {
		struct map_chunk *next = &f->piece[f->count];
		uint64_t index = f->first + f->count;
		if (look_up(f->s, f->id, f->e, index, next) || !chunk_is_away(next) ||
		    find_here(f, index, next, &b))
			break;
		f->count++;
	}
}

/* ---- one fetches ---- */

static bool is_under_way(const struct residency *r, const struct fault *f)
{
	for (const struct flight *o = r->flights; o; o = o->next) {
		if (o->id == f->id && o->first < f->first + f->count && f->first < o->end)
			return true;
	}
	return false;
}

/* True: another one fetched some of it, and has ended. Whoever waited once goes ahead: others' failures are
 * not waited for in a row. */
static bool wait_for_others(struct fault *f, bool wait)
{
	struct residency *r = &f->s->residency;
	bool waited = false;
	pthread_mutex_lock(&r->lock);
	while (wait && is_under_way(r, f)) {
		pthread_cond_wait(&r->ended, &r->lock);
		waited = true;
	}
	if (!waited) {
		f->flight = (struct flight){r->flights, f->id, f->first, f->first + f->count};
		r->flights = &f->flight;
	}
	pthread_mutex_unlock(&r->lock);
	return waited;
}

static void end_flight(struct fault *f)
{
	struct residency *r = &f->s->residency;
	pthread_mutex_lock(&r->lock);
	struct flight **at = &r->flights;
	while (*at != &f->flight)
		at = &(*at)->next;
	*at = f->flight.next;
	pthread_cond_broadcast(&r->ended);
	pthread_mutex_unlock(&r->lock);
}

/* ---- fetching ---- */

static size_t bytes_of(const struct fault *f)
{
	return (size_t)(f->count - 1) * CHUNK + f->piece[f->count - 1].len;
}

/* A chunk that never was here: who brings it has verified it, and it gets its checksum with its place. */
static bool has_no_checksum(const struct map_chunk *piece)
{
	return !piece->place && !piece->checksum;
}

/* Parts of a map that are away are as they were when the last interval that is confirmed ended: later ones
 * would be here. */
uint64_t fault_interval(const struct store *s, const struct entry *e)
{
	uint64_t confirmed = atomic_load(&s->residency.confirmed), own = change_interval(e);
	return in_chunks(e) && confirmed && (own > confirmed || !entry_interval(e)) ? confirmed : own;
}

static int mismatch(const struct fault *f, uint64_t index)
{
	int err = ps_fail(PS_ECORRUPT,
	                  "%s: object 0x%llx: what was fetched does not match its checksum (offset %llu)",
	                  f->s->path, (unsigned long long)f->id, (unsigned long long)index * CHUNK);
	store_event(f->s, PS_EVENT_CORRUPTION, err, f->id);
	return err;
}

/* What is sound, up to the first that is not; at least what was needed, or it is an error. */
static int verify(struct fault *f)
{
	for (unsigned i = 0; i < f->count; i++) {
		const struct map_chunk *p = &f->piece[i];
		if (has_no_checksum(p) || blob_checksum(seed_of(f, f->first + i),
		                                        f->bytes + (size_t)i * CHUNK, p->len) == p->checksum)
			continue;
		if (!i)
			return mismatch(f, f->first);
		f->count = i;
	}
	return PS_OK;
}

static int fetch_once(struct fault *f)
{
	bool exact = false;
	for (unsigned i = 0; i < f->count; i++)
		exact = exact || has_no_checksum(&f->piece[i]);
	int err =
	    residency_fetch(f->s, f->id, fault_interval(f->s, f->e), exact, f->first * CHUNK, f->bytes, bytes_of(f));
	return err ? err : verify(f);
}

static int allocate(struct fault *f)
{
	f->room = bytes_of(f);
	f->bytes = ps_memory_alloc(&f->s->memory, f->room);
	if (!f->bytes && f->count > 1) {
		f->count = 1;
		f->room = bytes_of(f);
		f->bytes = ps_memory_alloc(&f->s->memory, f->room);
	}
	return f->bytes ? PS_OK : ps_fail(PS_ENOMEM, "%s: no memory to fetch %zu bytes", f->s->path, f->room);
}

/* The reader's own error, where there was one before. */
static int fetch(struct fault *f)
{
	int err = allocate(f);
	if (!err)
		err = fetch_once(f);
	if (err && f->bytes && f->count > f->needed) {
		f->count = f->needed;
		err = fetch_once(f);
	}
	if (!err || !f->piece[0].place)
		return err;
	char why[256];
	(void)snprintf(why, sizeof(why), "%s", ps_last_error_message());
	return ps_fail(PS_ECORRUPT,
	               "%s: object 0x%llx is damaged at offset %llu, and could not be fetched: %s",
	               f->s->path, (unsigned long long)f->id, (unsigned long long)f->piece[0].place, why);
}

/* ---- a place for what was fetched ---- */

/* Still without these bytes: away, or with the same damaged copy. */
static bool wants(const struct fault *f, const struct entry *now, unsigned i)
{
	struct map_chunk piece;
	return look_up(f->s, f->id, now, f->first + i, &piece) == PS_OK && same_bytes(&piece, &f->piece[i]) &&
	       piece.place == f->piece[i].place;
}

static int put_chunks(const struct fault *f, struct map_writer *m, const struct entry *now)
{
	int err = PS_OK;
	for (unsigned i = 0, run; i < f->count && !err; i += MAX(run, 1U)) {
		for (run = 0; i + run < f->count && wants(f, now, i + run);)
			run++;
		if (run)
			err = map_write_chunks(m, f->first + i, f->bytes + (size_t)i * CHUNK,
			                       (uint64_t)(run - 1) * CHUNK + f->piece[i + run - 1].len);
	}
	return err;
}

static int put_map(const struct fault *f, struct change *c, const struct entry *now, bool *any)
{
	struct map_writer m;
	map_writer_init(&m, f->s, c, now);
	map_writer_moves(&m, false);
	int err = put_chunks(f, &m, now);
	*any = m.count > 0;
	if (!err && *any)
		err = map_writer_finish(&m, entry_size(now));
	map_writer_done(&m);
	return err;
}

static int put_contents(const struct fault *f, struct change *c, const struct entry *now, bool *any)
{
	*any = wants(f, now, 0);
	return *any ? change_contents(f->s, c, f->bytes, f->piece[0].len) : PS_OK;
}

/* COMMIT_CHANGED: the entry became another one meanwhile. */
static int install_once(const struct fault *f, bool *any)
{
	struct store *s = f->s;
	struct entry now;
	struct change c;
	*any = false;
	if (!look_now(f, &now))
		return PS_OK;
	change_init(&c, CHANGE_SET, f->id);
	c.expected = now;
	c.has_expected = c.keeps_interval = c.keep = true;
	int err = in_chunks(&now) ? put_map(f, &c, &now, any) : put_contents(f, &c, &now, any);
	entry_set_interval(&c.entry, entry_interval(&now));
	if (!err && *any)
		err = commit_changes(s, &c, 1, PS_RELAXED, NULL);
	if (!c.committed)
		change_undo(s, &c);
	change_done(s, &c);
	return err;
}

/* What fails here is no failure of the read. */
static void install(const struct fault *f)
{
	struct residency *r = &f->s->residency;
	bool any;
	int err = COMMIT_CHANGED;
	for (int tries = 0; tries < INSTALL_TRIES && err == COMMIT_CHANGED; tries++)
		err = install_once(f, &any);
	if (err == PS_ENOSPC)
		atomic_store(&r->passing, PASSING_FAULTS);
	if (!err && any && f->piece[0].place)
		residency_healed(f->s, f->id);
}

static void keep(const struct fault *f)
{
	struct residency *r = &f->s->residency;
	unsigned passing = atomic_load(&r->passing);
	if (may_keep(f->s))
		install(f);
	else if (passing)
		(void)atomic_compare_exchange_strong(&r->passing, &passing, passing - 1);
}

/* ---- the read ---- */

static int fault_in(struct fault *f, uint64_t within, uint8_t *buf, size_t *len, enum object_use use)
{
	int err = fetch(f);
	if (!err) {
		*len = MIN(*len, bytes_of(f) - (size_t)within);
		memcpy(buf, f->bytes + within, *len);
		if (use != USE_ONCE)
			keep(f);
	}
	end_flight(f);
	ps_memory_free(&f->s->memory, f->bytes, f->room);
	return err;
}

int fault_read(struct store *s, ps_id id, const struct entry *e, uint64_t off, uint8_t *buf, size_t *len,
               enum object_use use)
{
	struct fault f = {.s = s, .id = id, .e = e, .first = in_chunks(e) ? off / CHUNK : 0};
	uint64_t within = off - f.first * CHUNK;
	int err = look_up(s, id, e, f.first, &f.piece[0]);
	if (err)
		return err;
	const struct map_chunk *first = &f.piece[0];
	if (within >= first->len) {
		*len = MIN(*len, (size_t)(CHUNK - within));
		memset(buf, 0, *len);
		return PS_OK;
	}
	f.needed = (unsigned)MIN((within + *len + CHUNK - 1) / CHUNK, (uint64_t)FAULT_CHUNKS);
	for (bool wait = true;; wait = false) {
		size_t step = MIN(*len, (size_t)(first->len - within));
		if (read_here(&f, first, within, buf, step)) {
			*len = step;
			return PS_OK;
		}
		choose_pieces(&f, use);
		if (wait_for_others(&f, wait))
			continue;
		/* Others wait for what this one fetches. */
		budget_bar();
		err = fault_in(&f, within, buf, len, use);
		budget_unbar();
		return err;
	}
}

bool fault_heals(const struct store *s, const struct entry *e, int err)
{
	return err == PS_ECORRUPT && is_confirmed(s, e);
}

bool fault_outdated(struct store *s, ps_id id, const struct entry *e)
{
	struct entry now;
	bool could_be_away = entry_kind(e) == ENTRY_AWAY || entry_kind(e) == ENTRY_MAP;
	return could_be_away && table_get(&s->table, id_slot(id), &now) == PS_OK && !entry_equal(&now, e);
}
