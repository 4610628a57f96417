/* LMDB: integer keys, a transaction a commit. */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/peer.h"

struct store {
	MDB_env *env;
	MDB_dbi dbi;
};

struct session {
	struct store *store;
	MDB_txn *reader; /* reset between reads */
};

static void check(int err, const char *what)
{
	if (err)
		die("lmdb: %s: %s", what, mdb_strerror(err));
}

static unsigned flags_of(const struct peer_options *o)
{
	unsigned flags = o->cold ? MDB_NORDAHEAD : 0;
	/* Without a flush the map is what the kernel keeps when the process ends. */
	return o->durability == CLASS_POWER ? flags : flags | MDB_NOSYNC | MDB_WRITEMAP;
}

static void describe(const struct peer_options *o, char *text, size_t len)
{
	snprintf(text, len, "%s; %s", MDB_VERSION_STRING,
	         o->durability == CLASS_POWER ? "default sync"
	                                      : "MDB_NOSYNC | MDB_WRITEMAP, mdb_env_sync for a sync");
	snprintf(text + strlen(text), len - strlen(text), "; MDB_INTEGERKEY, loads with MDB_APPEND%s",
	         o->cold ? ", MDB_NORDAHEAD" : "");
}

static void *open_lmdb(const struct peer_options *o)
{
	struct store *s = xalloc(sizeof(*s));
	MDB_txn *txn;
	check(mdb_env_create(&s->env), "create");
	check(mdb_env_set_mapsize(s->env, (size_t)(o->bytes * 16 + ((uint64_t)4 << 30))), "map size");
	check(mdb_env_set_maxreaders(s->env, 256), "readers");
	check(mdb_env_open(s->env, o->folder, flags_of(o), 0600), "open");
	check(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
	check(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY | MDB_CREATE, &s->dbi), "dbi");
	check(mdb_txn_commit(txn), "commit");
	return s;
}

static void *begin(void *store)
{
	struct session *s = xalloc(sizeof(*s));
	s->store = store;
	s->reader = NULL;
	return s;
}

static void end(void *session)
{
	struct session *s = session;
	if (s->reader)
		mdb_txn_abort(s->reader);
	free(s);
}

static void write_one(struct store *s, MDB_txn *txn, const struct peer_write *w)
{
	size_t key = w->handle;
	MDB_val k = {sizeof(key), &key}, v = {w->len, NULL};
	if (w->op == PEER_DELETE) {
		check(mdb_del(txn, s->dbi, &k, NULL), "delete");
		return;
	}
	/* The bytes are copied once, to where they stay. */
	int err = mdb_put(txn, s->dbi, &k, &v, MDB_RESERVE | (w->op == PEER_PUT ? MDB_APPEND : 0));
	if (err == MDB_KEYEXIST)
		err = mdb_put(txn, s->dbi, &k, &v, MDB_RESERVE);
	check(err, "put");
	memcpy(v.mv_data, w->data, w->len);
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	struct store *s = ((struct session *)session)->store;
	MDB_txn *txn;
	check(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
	for (size_t i = 0; i < n; i++)
		write_one(s, txn, &w[i]);
	check(mdb_txn_commit(txn), "commit");
}

static void view(void *session, struct peer_read *r)
{
	struct session *s = session;
	size_t key = r->handle;
	MDB_val k = {sizeof(key), &key}, v;
	if (s->reader)
		check(mdb_txn_renew(s->reader), "renew");
	else
		check(mdb_txn_begin(s->store->env, NULL, MDB_RDONLY, &s->reader), "begin");
	check(mdb_get(s->reader, s->store->dbi, &k, &v), "get");
	r->data = v.mv_data;
	r->len = v.mv_size;
}

static void release(void *session, struct peer_read *r)
{
	(void)r;
	mdb_txn_reset(((struct session *)session)->reader);
}

static void read_copy(void *session, struct peer_read *r)
{
	view(session, r);
	memcpy(r->buf, r->data, r->len);
	r->data = r->buf;
	release(session, r);
}

static void sync_lmdb(void *store)
{
	check(mdb_env_sync(((struct store *)store)->env, 1), "sync");
}

static void close_lmdb(void *store)
{
	struct store *s = store;
	sync_lmdb(s);
	mdb_env_close(s->env);
	free(s);
}

const struct peer_ops peer_lmdb = {
    .name = "lmdb",
    .classes = IN_CLASS(CLASS_PROCESS) | IN_CLASS(CLASS_POWER),
    .abilities = CAN_VIEW | CAN_REPLACE | IS_ATOMIC,
    .describe = describe,
    .open = open_lmdb,
    .begin = begin,
    .end = end,
    .write = write_some,
    .read = read_copy,
    .view = view,
    .release = release,
    .sync = sync_lmdb,
    .close = close_lmdb,
};
