/* RocksDB with BlobDB, through its C interface. */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/peer.h"

enum {
	BLOOM_BITS = 10,
	WRITE_BUFFER = 64 << 20,
	BLOB_LEAST = 1024,
	BLOB_FILE = 64 << 20,
	LOG_MOST = 256 << 20
};

struct store {
	rocksdb_t *db;
	rocksdb_options_t *options;
	rocksdb_block_based_table_options_t *table;
	rocksdb_cache_t *cache;
	rocksdb_writeoptions_t *write;
	rocksdb_readoptions_t *read;
};

struct session {
	struct store *store;
	rocksdb_pinnableslice_t *pinned;
};

static void check(char *err, const char *what)
{
	if (err)
		die("rocksdb: %s: %s", what, err);
}

static void describe(const struct peer_options *o, char *text, size_t len)
{
	snprintf(text, len,
	         "RocksDB 7.8 with BlobDB from %d B, its collection on; sync=%s, one cache of %llu MiB for "
	         "blocks and blobs, write "
	         "buffer %d MiB, two background jobs, bloom filter, no compression, log files recycled%s",
	         BLOB_LEAST, o->durability == CLASS_POWER ? "true" : "false",
	         (unsigned long long)(o->cache_bytes >> 20), WRITE_BUFFER >> 20,
	         o->cold ? ", direct reads" : "");
}

static void set_table(struct store *s, const struct peer_options *o)
{
	s->cache = rocksdb_cache_create_lru(o->cache_bytes);
	s->table = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_block_cache(s->table, s->cache);
	rocksdb_block_based_options_set_filter_policy(s->table,
	                                              rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
	rocksdb_block_based_options_set_data_block_index_type(s->table, 1); /* hash within a block */
	rocksdb_options_set_block_based_table_factory(s->options, s->table);
}

static void set_blobs(struct store *s)
{
	rocksdb_options_set_enable_blob_files(s->options, 1);
	rocksdb_options_set_min_blob_size(s->options, BLOB_LEAST);
	rocksdb_options_set_blob_file_size(s->options, BLOB_FILE);
	rocksdb_options_set_blob_compression_type(s->options, rocksdb_no_compression);
	rocksdb_options_set_enable_blob_gc(s->options, 1);
	rocksdb_options_set_blob_cache(s->options, s->cache);
}

static void *open_rocksdb(const struct peer_options *o)
{
	struct store *s = xalloc(sizeof(*s));
	char *err = NULL;
	s->options = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(s->options, 1);
	set_table(s, o);
	set_blobs(s);
	rocksdb_options_set_write_buffer_size(s->options, WRITE_BUFFER);
	rocksdb_options_set_max_write_buffer_number(s->options, 4);
	rocksdb_options_set_max_background_jobs(s->options, 2);
	rocksdb_options_set_compression(s->options, rocksdb_no_compression);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(s->options, 1);
	rocksdb_options_set_recycle_log_file_num(s->options, 2);
	rocksdb_options_set_max_total_wal_size(s->options, LOG_MOST);
	rocksdb_options_set_max_open_files(s->options, -1);
	rocksdb_options_set_use_direct_reads(s->options, o->cold);
	s->write = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(s->write, o->durability == CLASS_POWER);
	s->read = rocksdb_readoptions_create();
	s->db = rocksdb_open(s->options, o->folder, &err);
	check(err, "open");
	return s;
}

static void *begin(void *store)
{
	struct session *s = xalloc(sizeof(*s));
	s->store = store;
	s->pinned = NULL;
	return s;
}

static void end(void *session)
{
	free(session);
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	struct store *s = ((struct session *)session)->store;
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	char *err = NULL;
	for (size_t i = 0; i < n; i++) {
		/* Big-endian, so that keys of one batch lie side by side. */
		uint64_t key = __builtin_bswap64(w[i].handle);
		if (w[i].op == PEER_DELETE)
			rocksdb_writebatch_delete(batch, (const char *)&key, sizeof(key));
		else
			rocksdb_writebatch_put(batch, (const char *)&key, sizeof(key), w[i].data, w[i].len);
	}
	rocksdb_write(s->db, s->write, batch, &err);
	check(err, "write");
	rocksdb_writebatch_destroy(batch);
}

static void view(void *session, struct peer_read *r)
{
	struct session *s = session;
	uint64_t key = __builtin_bswap64(r->handle);
	char *err = NULL;
	s->pinned = rocksdb_get_pinned(s->store->db, s->store->read, (const char *)&key, sizeof(key), &err);
	check(err, "get");
	r->data = s->pinned ? rocksdb_pinnableslice_value(s->pinned, &r->len) : NULL;
	if (!r->data)
		die("rocksdb: object %llu is gone", (unsigned long long)r->handle);
}

static void release(void *session, struct peer_read *r)
{
	(void)r;
	rocksdb_pinnableslice_destroy(((struct session *)session)->pinned);
}

static void read_copy(void *session, struct peer_read *r)
{
	view(session, r);
	memcpy(r->buf, r->data, r->len);
	r->data = r->buf;
	release(session, r);
}

static void sync_rocksdb(void *store)
{
	char *err = NULL;
	rocksdb_flush_wal(((struct store *)store)->db, 1, &err);
	check(err, "sync");
}

static void compact(void *store)
{
	rocksdb_compact_range(((struct store *)store)->db, NULL, 0, NULL, 0);
}

static void close_rocksdb(void *store)
{
	struct store *s = store;
	sync_rocksdb(s);
	rocksdb_close(s->db);
	rocksdb_options_destroy(s->options);
	rocksdb_block_based_options_destroy(s->table);
	rocksdb_cache_destroy(s->cache);
	rocksdb_writeoptions_destroy(s->write);
	rocksdb_readoptions_destroy(s->read);
	free(s);
}

const struct peer_ops peer_rocksdb = {
    .name = "rocksdb",
    .classes = IN_CLASS(CLASS_PROCESS) | IN_CLASS(CLASS_POWER),
    .abilities = CAN_VIEW | CAN_REPLACE | IS_ATOMIC,
    .describe = describe,
    .open = open_rocksdb,
    .begin = begin,
    .end = end,
    .write = write_some,
    .read = read_copy,
    .view = view,
    .release = release,
    .sync = sync_rocksdb,
    .compact = compact,
    .close = close_rocksdb,
};
