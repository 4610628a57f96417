/* The limit: what the machine allows. An array as table, the objects in one piece of memory, the log of
 * raw_log.c, large objects written once beside it. No cleaning, no checkpoint, no crash-safe table: nothing
 * that a store would have to pay for. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <unistd.h>
#include <xxhash.h>

#include "bench/bench.h"
#include "bench/raw_log.h"

enum { MANY_MOST = 64, BATCH_MOST = 10000, ENTRIES_A_BLOCK = 128, COPY_MOST = 5 << 20 };
static const uint64_t NOWHERE = UINT64_MAX;
static const uint64_t LOG_LEAST = (uint64_t)64 << 20;

/* What a cached read looks at. */
struct hot {
	uint64_t place; /* in the arena; NOWHERE: only on disk */
	uint32_t len, room;
};

/* Where it lies on disk; also the table's form on disk, 128 of them in a block. */
struct cold {
	uint64_t at;
	uint64_t sum;
	uint32_t len, there;
	uint64_t replayed; /* newer than the table on disk */
};
static_assert(sizeof(struct cold) * ENTRIES_A_BLOCK == RAW_BLOCK, "a block of the table is 4 KiB");

struct head {
	uint64_t objects, tail, clean;
};

struct raw {
	struct raw_log *log;
	struct hot *hot;
	struct cold *cold;
	uint8_t *loaded; /* of each block of the table */
	uint64_t objects;
	uint8_t *arena;
	uint64_t arena_bytes, log_bytes;
	_Atomic(uint64_t) next;
	int table_fd;
	bool clean; /* on disk: the first write changes that */
	uint64_t clean_tail;
};

struct session {
	struct raw *r;
	uint8_t *buf; /* of one object that is read from disk; of MANY_MOST small ones */
	struct raw_record records[BATCH_MOST];
	const void *data[BATCH_MOST];
	uint64_t places[BATCH_MOST];
	struct raw_request requests[BATCH_MOST];
};

static void describe(const struct peer_options *o, char *text, size_t len)
{
	snprintf(text, len,
	         "the limit: array, copy, prewritten log (%s), XXH3 on write, objects from 32 KiB written "
	         "once by O_DIRECT",
	         o->durability == CLASS_POWER     ? "O_DIRECT, O_DSYNC, one gathering leader"
	         : o->durability == CLASS_PROCESS ? "a write() each"
	                                          : "in memory for 10 ms or 1 MiB");
}

static void *reserve(uint64_t bytes)
{
	void *m =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED)
		die("no address space: %s", strerror(errno));
	(void)madvise(m, bytes, MADV_HUGEPAGE);
	return m;
}

static void read_table_block(struct raw *r, uint64_t block)
{
	struct cold *from = xalloc(RAW_BLOCK), *to = &r->cold[block * ENTRIES_A_BLOCK];
	if (pread(r->table_fd, from, RAW_BLOCK, (off_t)((block + 1) * RAW_BLOCK)) != RAW_BLOCK)
		die("raw table: %s", strerror(errno));
	for (unsigned i = 0; i < ENTRIES_A_BLOCK; i++) {
		if (!to[i].replayed)
			to[i] = from[i];
		r->hot[block * ENTRIES_A_BLOCK + i] = (struct hot){NOWHERE, to[i].len, 0};
	}
	r->loaded[block] = 1;
	free(from);
}

/* The table need not be read for it. */
static void replay(void *arg, const struct raw_record *record, uint64_t place)
{
	struct raw *r = arg;
	if (record->handle < r->objects && record->len < RAW_LARGE)
		r->cold[record->handle] =
		    (struct cold){place, record->sum, record->len, record->op != PEER_DELETE, 1};
}

static struct head *read_head(struct raw *r)
{
	struct head *h = xalloc(RAW_BLOCK);
	memset(h, 0, RAW_BLOCK);
	if (pread(r->table_fd, h, RAW_BLOCK, 0) != RAW_BLOCK)
		die("raw table: %s", strerror(errno));
	return h;
}

static void write_head(struct raw *r, uint64_t tail, bool clean)
{
	struct head *h = xalloc(RAW_BLOCK);
	memset(h, 0, RAW_BLOCK);
	*h = (struct head){r->objects, tail, clean};
	if (pwrite(r->table_fd, h, RAW_BLOCK, 0) != RAW_BLOCK || fdatasync(r->table_fd))
		die("raw table: %s", strerror(errno));
	free(h);
}

static void make_tables(struct raw *r, const struct peer_options *o)
{
	r->objects = (o->objects + ENTRIES_A_BLOCK) / ENTRIES_A_BLOCK * ENTRIES_A_BLOCK;
	r->hot = reserve(r->objects * sizeof(*r->hot));
	r->cold = reserve(r->objects * sizeof(*r->cold));
	r->loaded = reserve(r->objects / ENTRIES_A_BLOCK);
	r->arena_bytes = o->bytes * 8 + ((uint64_t)1 << 30);
	r->arena = reserve(r->arena_bytes);
	r->log_bytes = LOG_LEAST;
	if (o->size < RAW_LARGE)
		r->log_bytes += (o->objects * (o->size + 40) * 11 / 10) >> 20 << 20;
}

static const char *path_of(const struct peer_options *o, const char *name, char *path, size_t len)
{
	snprintf(path, len, "%s/%s", o->folder, name);
	return path;
}

static void open_old(struct raw *r, const struct peer_options *o, const char *path)
{
	struct head *h = read_head(r);
	r->log = raw_log_open(path, r->log_bytes, 0, false, h->tail, o->durability);
	if (!h->clean)
		raw_log_replay(r->log, h->tail, replay, r);
	r->clean_tail = h->tail;
	r->clean = h->clean != 0;
	free(h);
}

static void open_new(struct raw *r, const struct peer_options *o, const char *path)
{
	uint64_t data = o->size < RAW_LARGE ? 0 : o->bytes;
	r->log = raw_log_open(path, r->log_bytes, data, true, 0, o->durability);
	memset(r->loaded, 1, r->objects / ENTRIES_A_BLOCK);
	memset(r->hot, 0, r->objects * sizeof(*r->hot));
	memset(r->cold, 0, r->objects * sizeof(*r->cold));
	/* A pool that is there already; its page faults would be no limit of anything. */
	(void)madvise(r->arena, MIN(o->bytes + o->bytes / 16 + (1 << 20), r->arena_bytes),
	              MADV_POPULATE_WRITE);
}

static void *open_raw(const struct peer_options *o)
{
	char path[4096], table[4096];
	struct raw *r = xalloc(sizeof(*r));
	memset(r, 0, sizeof(*r));
	make_tables(r, o);
	path_of(o, "raw", path, sizeof(path));
	r->table_fd =
	    open(path_of(o, "table", table, sizeof(table)), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (r->table_fd < 0)
		die("%s: %s", table, strerror(errno));
	if (o->create)
		open_new(r, o, path);
	else
		open_old(r, o, path);
	return r;
}

static void *begin(void *store)
{
	struct session *s = xalloc(sizeof(*s));
	s->r = store;
	s->buf = xalloc(COPY_MOST);
	return s;
}

static void end(void *session)
{
	free(((struct session *)session)->buf);
	free(session);
}

/* ---- writing ---- */

/* In place where there is room; nothing is ever given back. */
static struct hot placed(struct raw *r, struct hot h, size_t len)
{
	if (h.place == NOWHERE || h.room < len) {
		uint64_t grain = len >= RAW_LARGE ? RAW_BLOCK : 16, room = (len + grain - 1) / grain * grain;
		h.place = atomic_fetch_add(&r->next, room + (grain == RAW_BLOCK ? RAW_BLOCK : 0));
		h.place = (h.place + grain - 1) / grain * grain;
		h.room = (uint32_t)room;
		if (h.place + room > r->arena_bytes)
			die("raw: the arena is full");
	}
	h.len = (uint32_t)len;
	return h;
}

/* Large bytes are copied to their place and written from there. */
static size_t prepare(struct session *s, const struct peer_write *w, size_t n)
{
	struct raw *r = s->r;
	size_t requests = 0;
	for (size_t i = 0; i < n; i++) {
		bool gone = w[i].op == PEER_DELETE, large = !gone && w[i].len >= RAW_LARGE;
		s->records[i] = (struct raw_record){w[i].handle, gone ? 0 : XXH3_64bits(w[i].data, w[i].len),
		                                    gone ? 0 : (uint32_t)w[i].len, (uint32_t)w[i].op};
		s->data[i] = w[i].data;
		if (!large)
			continue;
		struct hot *h = &r->hot[w[i].handle];
		*h = placed(r, *h, w[i].len);
		memcpy(r->arena + h->place, w[i].data, w[i].len);
		s->places[i] = r->log_bytes + h->place;
		s->requests[requests++] = (struct raw_request){r->arena + h->place, h->room, s->places[i]};
	}
	return requests;
}

static void apply(struct session *s, const struct peer_write *w, size_t i)
{
	struct raw *r = s->r;
	struct hot *h = &r->hot[w[i].handle];
	bool gone = w[i].op == PEER_DELETE;
	if (gone) {
		h->len = 0;
	} else if (w[i].len < RAW_LARGE) {
		*h = placed(r, *h, w[i].len);
		memcpy(r->arena + h->place, w[i].data, w[i].len);
	}
	r->cold[w[i].handle] = (struct cold){s->places[i], s->records[i].sum, s->records[i].len, !gone, 0};
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	struct session *s = session;
	if (n > BATCH_MOST)
		die("raw: a batch of %zu", n);
	if (s->r->clean) {
		s->r->clean = false;
		write_head(s->r, s->r->clean_tail, false);
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t block = w[i].handle / ENTRIES_A_BLOCK;
		if (!s->r->loaded[block])
			read_table_block(s->r, block);
	}
	size_t requests = prepare(s, w, n);
	if (requests)
		raw_log_write_many(s->r->log, s->requests, requests);
	raw_log_commit(s->r->log, s->records, s->data, s->places, n, requests != 0);
	for (size_t i = 0; i < n; i++)
		apply(s, w, i);
}

/* ---- reading ---- */

static struct raw_request request_of(const struct raw *r, uint64_t handle, uint8_t *buf)
{
	const struct cold *c = &r->cold[handle];
	uint64_t from = c->at / RAW_BLOCK * RAW_BLOCK,
	         to = (c->at + c->len + RAW_BLOCK - 1) / RAW_BLOCK * RAW_BLOCK;
	return (struct raw_request){buf, (uint32_t)(to - from), from};
}

static void take(const struct raw *r, struct peer_read *read, const struct raw_request *q)
{
	const struct cold *c = &r->cold[read->handle];
	read->data = (uint8_t *)q->data + (c->at - q->at);
	read->len = c->len;
	if (XXH3_64bits(read->data, c->len) != c->sum)
		die("raw: object %llu is damaged", (unsigned long long)read->handle);
}

static void read_cold(struct session *s, struct peer_read *read)
{
	struct raw *r = s->r;
	uint64_t block = read->handle / ENTRIES_A_BLOCK;
	if (!r->loaded[block] && !r->cold[read->handle].replayed)
		read_table_block(r, block);
	struct raw_request q = request_of(r, read->handle, s->buf);
	raw_log_read_many(r->log, &q, 1);
	take(r, read, &q);
}

static void read_copy(void *session, struct peer_read *read)
{
	struct session *s = session;
	struct hot h = s->r->hot[read->handle];
	if (h.room == 0) {
		read_cold(s, read);
		return;
	}
	memcpy(read->buf, s->r->arena + h.place, h.len);
	read->data = read->buf;
	read->len = h.len;
}

static void view(void *session, struct peer_read *read)
{
	struct session *s = session;
	struct hot h = s->r->hot[read->handle];
	if (h.room == 0) {
		read_cold(s, read);
		return;
	}
	read->data = s->r->arena + h.place;
	read->len = h.len;
}

static void release(void *session, struct peer_read *read)
{
	(void)session;
	(void)read;
}

static void read_many(void *session, struct peer_read *read, size_t n)
{
	struct session *s = session;
	struct raw *r = s->r;
	size_t each = COPY_MOST / MANY_MOST / RAW_BLOCK * RAW_BLOCK, cold = 0;
	size_t whose[MANY_MOST];
	if (n > MANY_MOST)
		die("%zu reads at once", n);
	for (size_t i = 0; i < n; i++) {
		uint64_t block = read[i].handle / ENTRIES_A_BLOCK;
		if (!r->loaded[block])
			read_table_block(r, block);
		if (r->hot[read[i].handle].room) {
			read_copy(session, &read[i]);
			continue;
		}
		whose[cold] = i;
		s->requests[cold] = request_of(r, read[i].handle, s->buf + cold * each);
		if (s->requests[cold++].len > each)
			die("raw: many reads of large objects");
	}
	if (cold)
		raw_log_read_many(r->log, s->requests, cold);
	for (size_t i = 0; i < cold; i++)
		take(r, &read[whose[i]], &s->requests[i]);
}

/* ---- the rest ---- */

static void sync_raw(void *store)
{
	raw_log_sync(((struct raw *)store)->log);
}

static void counts(void *store, struct peer_counts *c)
{
	raw_log_counts(((struct raw *)store)->log, c);
}

static void warm(void *session, const uint64_t *handles, size_t n)
{
	struct raw *r = ((struct session *)session)->r;
	for (size_t i = 0; i < n; i++) {
		if (!r->loaded[handles[i] / ENTRIES_A_BLOCK])
			read_table_block(r, handles[i] / ENTRIES_A_BLOCK);
	}
}

static void write_table(struct raw *r)
{
	for (uint64_t block = 0; block < r->objects / ENTRIES_A_BLOCK; block++) {
		if (!r->loaded[block])
			read_table_block(r, block);
	}
	for (uint64_t i = 0; i < r->objects; i++)
		r->cold[i].replayed = 0;
	size_t len = r->objects * sizeof(*r->cold);
	for (size_t at = 0; at < len;) {
		ssize_t n = pwrite(r->table_fd, (char *)r->cold + at, MIN(len - at, (size_t)8 << 20),
		                   (off_t)(at + RAW_BLOCK));
		if (n <= 0)
			die("raw table: %s", strerror(errno));
		at += (size_t)n;
	}
}

static void close_raw(void *store)
{
	struct raw *r = store;
	raw_log_sync(r->log);
	write_table(r);
	write_head(r, raw_log_tail(r->log), true);
	raw_log_close(r->log);
	close(r->table_fd);
	munmap(r->hot, r->objects * sizeof(*r->hot));
	munmap(r->cold, r->objects * sizeof(*r->cold));
	munmap(r->loaded, r->objects / ENTRIES_A_BLOCK);
	munmap(r->arena, r->arena_bytes);
	free(r);
}

const struct peer_ops peer_raw = {
    .name = "raw",
    .classes = IN_CLASS(CLASS_NONE) | IN_CLASS(CLASS_PROCESS) | IN_CLASS(CLASS_POWER),
    .abilities = CAN_VIEW | CAN_MANY | CAN_REPLACE | IS_ATOMIC | IS_LIMIT,
    .describe = describe,
    .open = open_raw,
    .begin = begin,
    .end = end,
    .write = write_some,
    .read = read_copy,
    .view = view,
    .release = release,
    .read_many = read_many,
    .warm = warm,
    .sync = sync_raw,
    .counts = counts,
    .close = close_raw,
};
