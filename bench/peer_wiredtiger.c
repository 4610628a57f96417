/* WiredTiger: a B-tree of integer keys, logged; a session and a cursor a thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wiredtiger.h>

#include "bench/bench.h"
#include "bench/peer.h"

struct store {
	WT_CONNECTION *connection;
	WT_SESSION *session; /* for what no thread's session does */
	bool power;
};

struct session {
	struct store *store;
	WT_SESSION *session;
	WT_CURSOR *cursor;
};

static void check(int err, const char *what)
{
	if (err)
		die("wiredtiger: %s: %s", what, wiredtiger_strerror(err));
}

static void describe(const struct peer_options *o, char *text, size_t len)
{
	snprintf(text, len,
	         "%s; B-tree, log with %s, prealloc, cache %llu MiB, leaf pages of 32 KiB, checkpoint each "
	         "64 MiB of log, no "
	         "compression",
	         wiredtiger_version(NULL, NULL, NULL),
	         o->durability == CLASS_POWER ? "transaction_sync=(enabled,method=fsync)"
	                                      : "transaction_sync=(enabled=false)",
	         (unsigned long long)(o->cache_bytes >> 20));
}

static void *open_wiredtiger(const struct peer_options *o)
{
	struct store *s = xalloc(sizeof(*s));
	char config[512];
	s->power = o->durability == CLASS_POWER;
	snprintf(config, sizeof(config),
	         "create,cache_size=%lluM,log=(enabled=true,file_max=64MB,prealloc=true),transaction_sync=("
	         "enabled=%s,method="
	         "fsync),checkpoint=(log_size=64MB,wait=0),eviction=(threads_max=2),session_max=256",
	         (unsigned long long)(o->cache_bytes >> 20), s->power ? "true" : "false");
	check(wiredtiger_open(o->folder, NULL, config, &s->connection), "open");
	check(s->connection->open_session(s->connection, NULL, NULL, &s->session), "session");
	/* A page holds a mebibyte object as an overflow item. */
	check(s->session->create(s->session, "table:objects",
	                         "key_format=q,value_format=u,leaf_page_max=32KB,memory_page_max=10MB"),
	      "create");
	return s;
}

static void *begin(void *store)
{
	struct session *s = xalloc(sizeof(*s));
	s->store = store;
	check(
	    s->store->connection->open_session(s->store->connection, NULL, "isolation=snapshot", &s->session),
	    "session");
	check(s->session->open_cursor(s->session, "table:objects", NULL, "overwrite=true", &s->cursor),
	      "cursor");
	return s;
}

static void end(void *session)
{
	struct session *s = session;
	check(s->session->close(s->session, NULL), "session");
	free(s);
}

static int write_one(WT_CURSOR *c, const struct peer_write *w)
{
	WT_ITEM item = {.data = w->data, .size = w->len};
	c->set_key(c, (int64_t)w->handle);
	if (w->op == PEER_DELETE)
		return c->remove(c);
	c->set_value(c, &item);
	return w->op == PEER_PUT ? c->insert(c) : c->update(c);
}

static bool try_commit(struct session *s, const struct peer_write *w, size_t n)
{
	check(s->session->begin_transaction(s->session, NULL), "begin");
	for (size_t i = 0; i < n; i++) {
		int err = write_one(s->cursor, &w[i]);
		if (err == WT_ROLLBACK) {
			check(s->session->rollback_transaction(s->session, NULL), "rollback");
			return false;
		}
		check(err, "write");
	}
	check(s->session->commit_transaction(s->session, NULL), "commit");
	return true;
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	while (!try_commit(session, w, n))
		;
}

static void view(void *session, struct peer_read *r)
{
	WT_CURSOR *c = ((struct session *)session)->cursor;
	WT_ITEM item;
	c->set_key(c, (int64_t)r->handle);
	check(c->search(c), "get");
	check(c->get_value(c, &item), "value");
	r->data = item.data;
	r->len = item.size;
}

static void release(void *session, struct peer_read *r)
{
	WT_CURSOR *c = ((struct session *)session)->cursor;
	(void)r;
	check(c->reset(c), "reset");
}

static void read_copy(void *session, struct peer_read *r)
{
	view(session, r);
	memcpy(r->buf, r->data, r->len);
	r->data = r->buf;
	release(session, r);
}

static void sync_wiredtiger(void *store)
{
	struct store *s = store;
	check(s->session->log_flush(s->session, "sync=on"), "sync");
}

static void compact(void *store)
{
	struct store *s = store;
	check(s->session->checkpoint(s->session, NULL), "checkpoint");
	check(s->session->compact(s->session, "table:objects", NULL), "compact");
	check(s->session->checkpoint(s->session, NULL), "checkpoint");
}

static void close_wiredtiger(void *store)
{
	struct store *s = store;
	check(s->connection->close(s->connection, NULL), "close");
	free(s);
}

const struct peer_ops peer_wiredtiger = {
    .name = "wiredtiger",
    .classes = IN_CLASS(CLASS_NONE) | IN_CLASS(CLASS_POWER),
    .abilities = CAN_VIEW | CAN_REPLACE | IS_ATOMIC,
    .describe = describe,
    .open = open_wiredtiger,
    .begin = begin,
    .end = end,
    .write = write_some,
    .read = read_copy,
    .view = view,
    .release = release,
    .sync = sync_wiredtiger,
    .compact = compact,
    .close = close_wiredtiger,
};
