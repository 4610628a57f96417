/* LevelDB through its C interface. */
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/peer.h"

enum { BLOOM_BITS = 10, WRITE_BUFFER = 64 << 20, FILE_BYTES = 16 << 20 };

struct store {
	leveldb_t *db;
	leveldb_cache_t *cache;
	leveldb_filterpolicy_t *filter;
	leveldb_options_t *options;
	leveldb_writeoptions_t *write, *sync;
	leveldb_readoptions_t *read;
};

struct session {
	struct store *store;
	char *value; /* the last read's own copy */
};

static void check(char *err, const char *what)
{
	if (err)
		die("leveldb: %s: %s", what, err);
}

static void describe(const struct peer_options *o, char *text, size_t len)
{
	snprintf(text, len,
	         "LevelDB %d.%d; sync=%s, cache %llu MiB, write buffer %d MiB, files of %d MiB, bloom "
	         "filter, no compression",
	         leveldb_major_version(), leveldb_minor_version(),
	         o->durability == CLASS_POWER ? "true" : "false", (unsigned long long)(o->cache_bytes >> 20),
	         WRITE_BUFFER >> 20, FILE_BYTES >> 20);
}

static void *open_leveldb(const struct peer_options *o)
{
	struct store *s = xalloc(sizeof(*s));
	char *err = NULL;
	s->options = leveldb_options_create();
	s->cache = leveldb_cache_create_lru(o->cache_bytes);
	s->filter = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
	leveldb_options_set_create_if_missing(s->options, 1);
	leveldb_options_set_cache(s->options, s->cache);
	leveldb_options_set_filter_policy(s->options, s->filter);
	leveldb_options_set_write_buffer_size(s->options, WRITE_BUFFER);
	leveldb_options_set_max_file_size(s->options, FILE_BYTES);
	leveldb_options_set_max_open_files(s->options, 4000);
	leveldb_options_set_compression(s->options, leveldb_no_compression);
	s->write = leveldb_writeoptions_create();
	s->sync = leveldb_writeoptions_create();
	s->read = leveldb_readoptions_create();
	leveldb_writeoptions_set_sync(s->write, o->durability == CLASS_POWER);
	leveldb_writeoptions_set_sync(s->sync, 1);
	s->db = leveldb_open(s->options, o->folder, &err);
	check(err, "open");
	return s;
}

static void *begin(void *store)
{
	struct session *s = xalloc(sizeof(*s));
	s->store = store;
	s->value = NULL;
	return s;
}

static void end(void *session)
{
	leveldb_free(((struct session *)session)->value);
	free(session);
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	struct store *s = ((struct session *)session)->store;
	leveldb_writebatch_t *batch = leveldb_writebatch_create();
	char *err = NULL;
	for (size_t i = 0; i < n; i++) {
		/* Big-endian, so that keys of one batch lie side by side. */
		uint64_t key = __builtin_bswap64(w[i].handle);
		if (w[i].op == PEER_DELETE)
			leveldb_writebatch_delete(batch, (const char *)&key, sizeof(key));
		else
			leveldb_writebatch_put(batch, (const char *)&key, sizeof(key), w[i].data, w[i].len);
	}
	leveldb_write(s->db, s->write, batch, &err);
	check(err, "write");
	leveldb_writebatch_destroy(batch);
}

/* The C interface hands out a copy of its own, which counts as the copy. */
static void read_copy(void *session, struct peer_read *r)
{
	struct session *s = session;
	uint64_t key = __builtin_bswap64(r->handle);
	char *err = NULL;
	leveldb_free(s->value);
	s->value = leveldb_get(s->store->db, s->store->read, (const char *)&key, sizeof(key), &r->len, &err);
	check(err, "get");
	if (!s->value)
		die("leveldb: object %llu is gone", (unsigned long long)r->handle);
	r->data = s->value;
}

/* An empty batch with sync has all before it on the disk. */
static void sync_leveldb(void *store)
{
	struct store *s = store;
	leveldb_writebatch_t *batch = leveldb_writebatch_create();
	char *err = NULL;
	leveldb_write(s->db, s->sync, batch, &err);
	check(err, "sync");
	leveldb_writebatch_destroy(batch);
}

static void compact(void *store)
{
	leveldb_compact_range(((struct store *)store)->db, NULL, 0, NULL, 0);
}

static void close_leveldb(void *store)
{
	struct store *s = store;
	sync_leveldb(s);
	leveldb_close(s->db);
	leveldb_options_destroy(s->options);
	leveldb_cache_destroy(s->cache);
	leveldb_filterpolicy_destroy(s->filter);
	leveldb_writeoptions_destroy(s->write);
	leveldb_writeoptions_destroy(s->sync);
	leveldb_readoptions_destroy(s->read);
	free(s);
}

const struct peer_ops peer_leveldb = {
    .name = "leveldb",
    .classes = IN_CLASS(CLASS_PROCESS) | IN_CLASS(CLASS_POWER),
    .abilities = CAN_REPLACE | IS_ATOMIC,
    .describe = describe,
    .open = open_leveldb,
    .begin = begin,
    .end = end,
    .write = write_some,
    .read = read_copy,
    .sync = sync_leveldb,
    .compact = compact,
    .close = close_leveldb,
};
