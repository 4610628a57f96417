/* SQLite: a table of integer keys and blobs, write-ahead log, prepared statements, a connection a thread. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/peer.h"

struct store {
	char path[4096];
	struct peer_options o;
	sqlite3 *db; /* for what no session does */
	/* SQLite has one writer at a time, and the others would find their turn by sleeping. */
	pthread_mutex_t writer;
};

enum statement { BEGIN, COMMIT, PUT, DELETE, GET, STATEMENTS };
struct session {
	struct store *store;
	sqlite3 *db;
	sqlite3_stmt *statement[STATEMENTS];
};

static void check(sqlite3 *db, int err, const char *what)
{
	if (err != SQLITE_OK && err != SQLITE_DONE && err != SQLITE_ROW)
		die("sqlite: %s: %s", what, db ? sqlite3_errmsg(db) : "failed");
}

static void run(sqlite3 *db, const char *words)
{
	check(db, sqlite3_exec(db, words, NULL, NULL, NULL), words);
}

static int page_size(const struct peer_options *o)
{
	return o->size >= 16384 ? 16384 : 4096;
}

static const char *sync_mode(const struct peer_options *o)
{
	return o->durability == CLASS_POWER ? "FULL" : "OFF";
}

static void describe(const struct peer_options *o, char *text, size_t len)
{
	snprintf(text, len,
	         "SQLite %s; journal_mode=WAL, synchronous=%s, page_size=%d, cache %llu MiB, mmap_size as "
	         "the data, checkpoint each "
	         "16 MiB, prepared statements, one writer at a time",
	         sqlite3_libversion(), sync_mode(o), page_size(o),
	         (unsigned long long)(o->cache_bytes >> 20));
}

static sqlite3 *connect_to(const struct store *s)
{
	sqlite3 *db;
	char words[512];
	const struct peer_options *o = &s->o;
	check(NULL, sqlite3_open(s->path, &db), "open");
	sqlite3_busy_timeout(db, 60000);
	snprintf(
	    words, sizeof(words),
	    "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA cache_size=-%llu;"
	    "PRAGMA mmap_size=%llu; PRAGMA wal_autocheckpoint=%d; PRAGMA temp_store=MEMORY;",
	    page_size(o), sync_mode(o), (unsigned long long)(o->cache_bytes / o->threads >> 10),
	    (unsigned long long)(o->cold ? 0 : o->bytes * 2 + (1 << 30)), (16 << 20) / page_size(o));
	run(db, words);
	return db;
}

static void *open_sqlite(const struct peer_options *o)
{
	struct store *s = xalloc(sizeof(*s));
	s->o = *o;
	pthread_mutex_init(&s->writer, NULL);
	snprintf(s->path, sizeof(s->path), "%s/db", o->folder);
	s->db = connect_to(s);
	if (o->create)
		run(s->db, "CREATE TABLE objects(k INTEGER PRIMARY KEY, v BLOB NOT NULL)");
	return s;
}

static void *begin(void *store)
{
	static const char *const words[STATEMENTS] = {
	    [BEGIN] = "BEGIN IMMEDIATE",
	    [COMMIT] = "COMMIT",
	    [PUT] = "INSERT OR REPLACE INTO objects(k, v) VALUES(?1, ?2)",
	    [DELETE] = "DELETE FROM objects WHERE k = ?1",
	    [GET] = "SELECT v FROM objects WHERE k = ?1",
	};
	struct session *s = xalloc(sizeof(*s));
	s->store = store;
	s->db = connect_to(store);
	for (unsigned i = 0; i < STATEMENTS; i++)
		check(s->db,
		      sqlite3_prepare_v3(s->db, words[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statement[i],
		                         NULL),
		      words[i]);
	return s;
}

static void end(void *session)
{
	struct session *s = session;
	for (unsigned i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->statement[i]);
	check(s->db, sqlite3_close(s->db), "close");
	free(s);
}

static void step(struct session *s, enum statement which)
{
	check(s->db, sqlite3_step(s->statement[which]), "step");
	check(s->db, sqlite3_reset(s->statement[which]), "reset");
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	struct session *s = session;
	pthread_mutex_lock(&s->store->writer);
	if (n > 1)
		step(s, BEGIN);
	for (size_t i = 0; i < n; i++) {
		enum statement which = w[i].op == PEER_DELETE ? DELETE : PUT;
		sqlite3_bind_int64(s->statement[which], 1, (sqlite3_int64)w[i].handle);
		if (which == PUT)
			sqlite3_bind_blob64(s->statement[PUT], 2, w[i].data, w[i].len, SQLITE_STATIC);
		step(s, which);
	}
	if (n > 1)
		step(s, COMMIT);
	pthread_mutex_unlock(&s->store->writer);
}

static void read_copy(void *session, struct peer_read *r)
{
	struct session *s = session;
	sqlite3_stmt *get = s->statement[GET];
	sqlite3_bind_int64(get, 1, (sqlite3_int64)r->handle);
	if (sqlite3_step(get) != SQLITE_ROW)
		die("sqlite: get of %llu: %s", (unsigned long long)r->handle, sqlite3_errmsg(s->db));
	const void *data = sqlite3_column_blob(get, 0);
	r->len = (size_t)sqlite3_column_bytes(get, 0);
	memcpy(r->buf, data, r->len);
	r->data = r->buf;
	check(s->db, sqlite3_reset(get), "reset");
}

static void sync_sqlite(void *store)
{
	struct store *s = store;
	/* A writer may be at a checkpoint of its own, and then this one would be refused as busy at once. */
	pthread_mutex_lock(&s->writer);
	/* With synchronous=OFF a checkpoint alone would not flush. */
	run(s->db, "PRAGMA synchronous=FULL");
	check(s->db, sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL),
	      "checkpoint");
	pthread_mutex_unlock(&s->writer);
}

static void compact(void *store)
{
	run(((struct store *)store)->db, "VACUUM");
	check(NULL,
	      sqlite3_wal_checkpoint_v2(((struct store *)store)->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
	                                NULL),
	      "checkpoint");
}

static void close_sqlite(void *store)
{
	struct store *s = store;
	check(s->db, sqlite3_close(s->db), "close");
	pthread_mutex_destroy(&s->writer);
	free(s);
}

const struct peer_ops peer_sqlite = {
    .name = "sqlite",
    .classes = IN_CLASS(CLASS_PROCESS) | IN_CLASS(CLASS_POWER),
    .abilities = CAN_REPLACE | IS_ATOMIC,
    .describe = describe,
    .open = open_sqlite,
    .begin = begin,
    .end = end,
    .write = write_some,
    .read = read_copy,
    .sync = sync_sqlite,
    .compact = compact,
    .close = close_sqlite,
};
