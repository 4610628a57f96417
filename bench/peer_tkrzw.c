/* Tkrzw's hash database, in place. It has no transactions: a batch is not atomic, and durable only by a
 * synchronize behind it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tkrzw_langc.h>

#include "bench/bench.h"
#include "bench/peer.h"

struct store {
	TkrzwDBM *db;
	bool power;
};

struct session {
	struct store *store;
	char *value; /* the last read's own copy */
};

static void check(bool good, const char *what)
{
	if (!good)
		die("tkrzw: %s: %s", what, tkrzw_get_last_status_message());
}

static void params_of(const struct peer_options *o, char *text, size_t len)
{
	snprintf(
	    text, len,
	    "dbm=HashDBM,file=%s,num_buckets=%llu,update_mode=UPDATE_IN_PLACE,align_pow=3,offset_width=5",
	    o->cold ? "PositionalParallelFile" : "MemoryMapParallelFile",
	    (unsigned long long)(o->objects * 2));
}

static void describe(const struct peer_options *o, char *text, size_t len)
{
	char params[256];
	params_of(o, params, sizeof(params));
	snprintf(text, len, "Tkrzw %s; %s; %s", TKRZW_PACKAGE_VERSION, params,
	         o->durability == CLASS_POWER ? "a hard synchronize for each commit, not atomic"
	                                      : "a hard synchronize for a sync, not atomic");
}

static void *open_tkrzw(const struct peer_options *o)
{
	struct store *s = xalloc(sizeof(*s));
	char path[4096], params[256];
	snprintf(path, sizeof(path), "%s/objects.tkh", o->folder);
	params_of(o, params, sizeof(params));
	s->power = o->durability == CLASS_POWER;
	s->db = tkrzw_dbm_open(path, true, params);
	check(s->db != NULL, "open");
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
	free(((struct session *)session)->value);
	free(session);
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	struct store *s = ((struct session *)session)->store;
	for (size_t i = 0; i < n; i++) {
		const char *key = (const char *)&w[i].handle;
		int32_t len = (int32_t)sizeof(w[i].handle);
		if (w[i].op == PEER_DELETE)
			check(tkrzw_dbm_remove(s->db, key, len), "remove");
		else
			check(tkrzw_dbm_set(s->db, key, len, w[i].data, (int32_t)w[i].len, true), "set");
	}
	if (s->power)
		check(tkrzw_dbm_synchronize(s->db, true, NULL, NULL, ""), "synchronize");
}

/* The C interface hands out a copy of its own, which counts as the copy. */
static void read_copy(void *session, struct peer_read *r)
{
	struct session *s = session;
	int32_t len = 0;
	free(s->value);
	s->value = tkrzw_dbm_get(s->store->db, (const char *)&r->handle, sizeof(r->handle), &len);
	check(s->value != NULL, "get");
	r->data = s->value;
	r->len = (size_t)len;
}

static void sync_tkrzw(void *store)
{
	check(tkrzw_dbm_synchronize(((struct store *)store)->db, true, NULL, NULL, ""), "synchronize");
}

static void compact(void *store)
{
	check(tkrzw_dbm_rebuild(((struct store *)store)->db, ""), "rebuild");
}

static void close_tkrzw(void *store)
{
	struct store *s = store;
	check(tkrzw_dbm_close(s->db), "close");
	free(s);
}

const struct peer_ops peer_tkrzw = {
    .name = "tkrzw",
    .classes = IN_CLASS(CLASS_PROCESS) | IN_CLASS(CLASS_POWER),
    .abilities = CAN_REPLACE,
    .describe = describe,
    .open = open_tkrzw,
    .begin = begin,
    .end = end,
    .write = write_some,
    .read = read_copy,
    .sync = sync_tkrzw,
    .compact = compact,
    .close = close_tkrzw,
};
