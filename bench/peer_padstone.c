/* Padstone's stacks: the base store, with size classes, and all layers. Another one is an opener and a line
 * at the end. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include <padstone/stack.h>

#include "bench/bench.h"
#include "bench/peer.h"
#include "bench/peer_padstone.h"

enum { MANY_MOST = 64, KILLED_SECONDS = 5 };

/* What a stack is opened with: the base store's options, whatever lies above. */
static void options_of(const struct peer_options *o, struct ps_base_options *b)
{
	*b = (struct ps_base_options){.size = sizeof(*b),
	                              .memory_budget = MAX(o->cache_bytes, (uint64_t)16 << 20),
	                              .durability = o->durability == CLASS_POWER ? PS_DURABLE : PS_RELAXED};
}

static const char *path_of(const struct peer_options *o, char *path, size_t len)
{
	if (snprintf(path, len, "%s/store.pad", o->folder) >= (int)len)
		die("%s: the name is too long", o->folder);
	return path;
}

struct store {
	ps_storer *s;
	enum ps_durability durability;
};

ps_storer *padstone_storer(void *store)
{
	return ((struct store *)store)->s;
}

static struct store *wrap(ps_storer *s, const struct peer_options *o)
{
	struct store *store = xalloc(sizeof(*store));
	store->s = s;
	store->durability = o->durability == CLASS_POWER ? PS_DURABLE : PS_RELAXED;
	return store;
}

static void *open_layers(const char *layers, const struct peer_options *o)
{
	char path[4096];
	struct ps_base_options b;
	struct ps_stack_options stack = {.size = sizeof(stack), .base = &b};
	ps_storer *s = NULL;
	double end = now() + KILLED_SECONDS;
	int err;
	options_of(o, &b);
	path_of(o, path, sizeof(path));
	/* A process that was killed keeps the file until what it had in flight has landed. */
	while ((err = ps_stack_open_layers(layers, path, &stack, &s)) == PS_EBUSY && now() < end)
		sched_yield();
	must(err, path);
	return wrap(s, o);
}

static void *open_base(const struct peer_options *o)
{
	return open_layers("base", o);
}

static void *open_multi(const struct peer_options *o)
{
	return open_layers("multi(base)", o);
}

static void *open_full(const struct peer_options *o)
{
	return open_layers(PS_STACK_DEFAULT, o);
}

static void describe_layers(const char *layers, const struct peer_options *o, char *text, size_t len)
{
	snprintf(text, len, "%s, defaults, memory budget %llu MiB, %s", layers,
	         (unsigned long long)(MAX(o->cache_bytes, (uint64_t)16 << 20) >> 20),
	         o->durability == CLASS_POWER ? "durable" : "relaxed, flushed every 10 ms or 1 MiB");
}

static void describe_base(const struct peer_options *o, char *text, size_t len)
{
	describe_layers("base", o, text, len);
}

static void describe_multi(const struct peer_options *o, char *text, size_t len)
{
	describe_layers("multi(base)", o, text, len);
}

static void describe_full(const struct peer_options *o, char *text, size_t len)
{
	describe_layers(PS_STACK_DEFAULT, o, text, len);
}

/* Any thread may use the store itself. */
static void *begin(void *store)
{
	return store;
}

static void end(void *session)
{
	(void)session;
}

static void write_one(struct store *s, struct peer_write *w)
{
	ps_id id = w->handle;
	if (w->op == PEER_PUT) {
		MUST(ps_put(s->s, w->data, w->len, &id));
		w->handle = id;
	} else if (w->op == PEER_REPLACE) {
		MUST(ps_replace(s->s, id, w->data, w->len));
	} else {
		MUST(ps_delete(s->s, id));
	}
}

static void write_batch(struct store *s, struct peer_write *w, size_t n)
{
	ps_batch *b;
	MUST(ps_batch_begin(s->s, &b));
	for (size_t i = 0; i < n; i++) {
		ps_id id = w[i].handle;
		if (w[i].op == PEER_PUT) {
			MUST(ps_batch_put(b, w[i].data, w[i].len, &id));
			w[i].handle = id;
		} else if (w[i].op == PEER_REPLACE) {
			MUST(ps_batch_replace(b, id, w[i].data, w[i].len));
		} else {
			MUST(ps_batch_delete(b, id));
		}
	}
	MUST(ps_batch_commit(b, s->durability));
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	if (n == 1)
		write_one(session, w);
	else
		write_batch(session, w, n);
}

static void read_copy(void *session, struct peer_read *r)
{
	struct store *s = session;
	r->data = r->buf;
	MUST(ps_get(s->s, r->handle, r->buf, r->cap, &r->len));
}

static _Thread_local struct ps_view viewed;

static void view(void *session, struct peer_read *r)
{
	struct store *s = session;
	MUST(ps_view(s->s, r->handle, &viewed));
	r->data = viewed.data;
	r->len = viewed.len;
}

static void release(void *session, struct peer_read *r)
{
	(void)session;
	(void)r;
	MUST(ps_view_release(&viewed));
}

static void read_many(void *session, struct peer_read *r, size_t n)
{
	struct store *s = session;
	struct ps_get_many reqs[MANY_MOST];
	if (n > MANY_MOST)
		die("%zu reads at once", n);
	for (size_t i = 0; i < n; i++)
		reqs[i] = (struct ps_get_many){.id = r[i].handle, .buf = r[i].buf, .cap = r[i].cap};
	MUST(ps_get_many(s->s, n, reqs));
	for (size_t i = 0; i < n; i++) {
		must(reqs[i].status, "ps_get_many");
		r[i].data = r[i].buf;
		r[i].len = reqs[i].len;
	}
}

static void warm(void *session, const uint64_t *handles, size_t n)
{
	struct store *s = session;
	struct ps_info info;
	for (size_t i = 0; i < n; i++)
		MUST(ps_info(s->s, handles[i], &info));
}

static void sync_all(void *store)
{
	MUST(ps_sync(((struct store *)store)->s));
}

static void compact(void *store)
{
	MUST(ps_compact(((struct store *)store)->s, 0, NULL, NULL));
}

static void counts(void *store, struct peer_counts *c)
{
	struct ps_stats stats = store_stats(((struct store *)store)->s);
	c->calls = stats.reads + stats.writes;
	/* A log write is one flush; where bytes lie outside the log, the fdatasync behind it is seen as
	 * another. */
	c->flushes = stats.log_writes;
}

static void close_store(void *store)
{
	struct store *s = store;
	MUST(ps_close(s->s));
	free(s);
}

#define STACK(symbol, words, opener, describer)                                                              \
	const struct peer_ops peer_##symbol = {                                                              \
	    .name = words,                                                                                   \
	    .classes = IN_CLASS(CLASS_POWER) | IN_CLASS(CLASS_NONE),                                         \
	    .abilities = CAN_VIEW | CAN_MANY | CAN_REPLACE | IS_ATOMIC | CAN_STREAM,                         \
	    .describe = describer,                                                                           \
	    .open = opener,                                                                                  \
	    .begin = begin,                                                                                  \
	    .end = end,                                                                                      \
	    .write = write_some,                                                                             \
	    .read = read_copy,                                                                               \
	    .view = view,                                                                                    \
	    .release = release,                                                                              \
	    .read_many = read_many,                                                                          \
	    .warm = warm,                                                                                    \
	    .sync = sync_all,                                                                                \
	    .compact = compact,                                                                              \
	    .counts = counts,                                                                                \
	    .close = close_store,                                                                            \
	};

STACK(padstone, "padstone", open_base, describe_base)
STACK(padstone_multi, "padstone-multi", open_multi, describe_multi)
STACK(padstone_full, "padstone-full", open_full, describe_full)
