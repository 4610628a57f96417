/* Kyoto Cabinet's hash database. A hard transaction flushes for every record in it, so a commit here is its
 * writes and one hard synchronize behind them: durable, but not atomic. */
#include <kclangc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "bench/bench.h"
#include "bench/peer.h"

struct store {
	KCDB *db;
	bool power;
};

static void check(struct store *s, int good, const char *what)
{
	if (!good)
		die("kyoto: %s: %s", what, kcdbemsg(s->db));
}

static void path_of(const struct peer_options *o, char *path, size_t len)
{
	snprintf(path, len, "%s/objects.kch#bnum=%llu#msiz=%llu#opts=l#dfunit=8", o->folder,
	         (unsigned long long)(o->objects * 2),
	         (unsigned long long)(o->cold ? (uint64_t)64 << 20
	                                      : MIN(o->bytes * 2 + (64 << 20), o->cache_bytes)));
}

static void describe(const struct peer_options *o, char *text, size_t len)
{
	char path[4096];
	path_of(o, path, sizeof(path));
	snprintf(text, len, "Kyoto Cabinet %s; HashDB%s, %s", KCVERSION, strchr(path, '#'),
	         o->durability == CLASS_POWER ? "hard transactions"
	                                      : "no transactions, hard sync for a sync");
}

static void *open_kyoto(const struct peer_options *o)
{
	struct store *s = xalloc(sizeof(*s));
	char path[4096];
	path_of(o, path, sizeof(path));
	s->power = o->durability == CLASS_POWER;
	s->db = kcdbnew();
	check(s, kcdbopen(s->db, path, KCOWRITER | KCOCREATE), "open");
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

static void sync_kyoto(void *store)
{
	struct store *s = store;
	check(s, kcdbsync(s->db, 1, NULL, NULL), "sync");
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	struct store *s = session;
	for (size_t i = 0; i < n; i++) {
		const char *key = (const char *)&w[i].handle;
		if (w[i].op == PEER_DELETE)
			check(s, kcdbremove(s->db, key, sizeof(w[i].handle)), "remove");
		else
			check(s, kcdbset(s->db, key, sizeof(w[i].handle), w[i].data, w[i].len), "set");
	}
	if (s->power)
		sync_kyoto(s);
}

static void read_copy(void *session, struct peer_read *r)
{
	struct store *s = session;
	int32_t n = kcdbgetbuf(s->db, (const char *)&r->handle, sizeof(r->handle), r->buf, r->cap);
	check(s, n >= 0, "get");
	r->data = r->buf;
	r->len = (size_t)n;
}

static void close_kyoto(void *store)
{
	struct store *s = store;
	check(s, kcdbclose(s->db), "close");
	kcdbdel(s->db);
	free(s);
}

const struct peer_ops peer_kyoto = {
    .name = "kyoto",
    .classes = IN_CLASS(CLASS_PROCESS) | IN_CLASS(CLASS_POWER),
    .abilities = CAN_REPLACE,
    .describe = describe,
    .open = open_kyoto,
    .begin = begin,
    .end = end,
    .write = write_some,
    .read = read_copy,
    .sync = sync_kyoto,
    .close = close_kyoto,
};
