/* Berkeley DB: a transactional B-tree. */
#include <db.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/peer.h"

enum { LOG_FILE = 32 << 20, LOG_BUFFER = 8 << 20, CHECKPOINT_KIB = 16 << 10, COMMITS_A_LOOK = 64 };

struct store {
	DB_ENV *env;
	DB *db;
	_Atomic(uint64_t) commits;
};

static void check(int err, const char *what)
{
	if (err)
		die("berkeley: %s: %s", what, db_strerror(err));
}

static int page_size(const struct peer_options *o)
{
	return o->size >= 16384 ? 65536 : o->size >= 1024 ? 16384 : 4096;
}

static void describe(const struct peer_options *o, char *text, size_t len)
{
	snprintf(text, len,
	         "%s; B-tree, pages of %d B, cache %llu MiB, %s, prewritten log files of %d MiB, checkpoint "
	         "each %d MiB of log",
	         db_version(NULL, NULL, NULL), page_size(o), (unsigned long long)(o->cache_bytes >> 20),
	         o->durability == CLASS_POWER     ? "DB_TXN_SYNC"
	         : o->durability == CLASS_PROCESS ? "DB_TXN_WRITE_NOSYNC"
	                                          : "DB_TXN_NOSYNC",
	         LOG_FILE >> 20, CHECKPOINT_KIB >> 10);
}

/* Big-endian keys sort by their bytes, which is the default order. */
static DBT key_of(uint64_t *key)
{
	DBT k;
	memset(&k, 0, sizeof(k));
	*key = __builtin_bswap64(*key);
	k.data = key;
	k.size = k.ulen = sizeof(*key);
	k.flags = DB_DBT_USERMEM;
	return k;
}

static void set_environment(DB_ENV *env, const struct peer_options *o)
{
	check(env->set_cachesize(env, (u_int32_t)(o->cache_bytes >> 30),
	                         (u_int32_t)(o->cache_bytes & ((1 << 30) - 1)), 1),
	      "cache");
	check(env->set_lg_max(env, LOG_FILE), "log");
	check(env->set_lg_bsize(env, LOG_BUFFER), "log");
	check(env->set_lk_detect(env, DB_LOCK_DEFAULT), "locks");
	check(env->set_lk_max_locks(env, 200000), "locks");
	check(env->set_lk_max_objects(env, 200000), "locks");
	check(env->log_set_config(env, DB_LOG_AUTO_REMOVE, 1), "log");
	check(env->log_set_config(env, DB_LOG_ZERO, 1), "log");
	if (o->durability == CLASS_PROCESS)
		check(env->set_flags(env, DB_TXN_WRITE_NOSYNC, 1), "durability");
	if (o->durability == CLASS_NONE)
		check(env->set_flags(env, DB_TXN_NOSYNC, 1), "durability");
}

static void *open_berkeley(const struct peer_options *o)
{
	struct store *s = xalloc(sizeof(*s));
	memset(s, 0, sizeof(*s));
	check(db_env_create(&s->env, 0), "create");
	set_environment(s->env, o);
	check(s->env->open(s->env, o->folder,
	                   DB_CREATE | DB_RECOVER | DB_INIT_TXN | DB_INIT_LOG | DB_INIT_LOCK | DB_INIT_MPOOL |
	                       DB_THREAD | DB_PRIVATE,
	                   0600),
	      "open");
	check(db_create(&s->db, s->env, 0), "create");
	check(s->db->set_pagesize(s->db, (u_int32_t)page_size(o)), "page size");
	check(
	    s->db->open(s->db, NULL, "objects", NULL, DB_BTREE, DB_CREATE | DB_AUTO_COMMIT | DB_THREAD, 0600),
	    "open");
	return s;
}

static void *begin(void *store)
{
	return store;
}

static void end(void *session)
{
	(void)session;
}

static int write_one(struct store *s, DB_TXN *txn, const struct peer_write *w)
{
	uint64_t key = w->handle;
	DBT k = key_of(&key), v;
	memset(&v, 0, sizeof(v));
	memcpy(&v.data, &w->data, sizeof(v.data)); /* its interface has no const */
	v.size = (u_int32_t)w->len;
	return w->op == PEER_DELETE ? s->db->del(s->db, txn, &k, 0) : s->db->put(s->db, txn, &k, &v, 0);
}

static bool try_commit(struct store *s, const struct peer_write *w, size_t n)
{
	DB_TXN *txn;
	check(s->env->txn_begin(s->env, NULL, &txn, 0), "begin");
	for (size_t i = 0; i < n; i++) {
		int err = write_one(s, txn, &w[i]);
		if (err == DB_LOCK_DEADLOCK) {
			check(txn->abort(txn), "abort");
			return false;
		}
		check(err, "write");
	}
	check(txn->commit(txn, 0), "commit");
	return true;
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	struct store *s = session;
	while (!try_commit(s, w, n))
		;
	if (n > 1 || atomic_fetch_add(&s->commits, 1) % COMMITS_A_LOOK == 0)
		check(s->env->txn_checkpoint(s->env, CHECKPOINT_KIB, 0, 0), "checkpoint");
}

static void read_copy(void *session, struct peer_read *r)
{
	struct store *s = session;
	uint64_t key = r->handle;
	DBT k = key_of(&key), v;
	int err;
	do {
		memset(&v, 0, sizeof(v));
		v.data = r->buf;
		v.ulen = (u_int32_t)r->cap;
		v.flags = DB_DBT_USERMEM;
		err = s->db->get(s->db, NULL, &k, &v, 0);
	} while (err == DB_LOCK_DEADLOCK);
	check(err, "get");
	r->data = r->buf;
	r->len = v.size;
}

static void sync_berkeley(void *store)
{
	struct store *s = store;
	check(s->env->log_flush(s->env, NULL), "sync");
}

static void compact(void *store)
{
	struct store *s = store;
	DB_COMPACT c;
	memset(&c, 0, sizeof(c));
	check(s->db->compact(s->db, NULL, NULL, NULL, &c, DB_FREE_SPACE, NULL), "compact");
	check(s->env->txn_checkpoint(s->env, 0, 0, DB_FORCE), "checkpoint");
}

static void close_berkeley(void *store)
{
	struct store *s = store;
	check(s->env->txn_checkpoint(s->env, 0, 0, DB_FORCE), "checkpoint");
	check(s->db->close(s->db, 0), "close");
	check(s->env->close(s->env, 0), "close");
	free(s);
}

const struct peer_ops peer_berkeley = {
    .name = "berkeley",
    .classes = IN_CLASS(CLASS_NONE) | IN_CLASS(CLASS_PROCESS) | IN_CLASS(CLASS_POWER),
    .abilities = CAN_REPLACE | IS_ATOMIC,
    .describe = describe,
    .open = open_berkeley,
    .begin = begin,
    .end = end,
    .write = write_some,
    .read = read_copy,
    .sync = sync_berkeley,
    .compact = compact,
    .close = close_berkeley,
};
