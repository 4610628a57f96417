/* A table by hash, and a list by last use of what nobody holds: it alone may go. Values are written before
 * they are published under the lock, and read by who holds them, so what a holder sees does not change. */
#include "multistore/pack_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/fail.h"

enum { BUCKETS = 4096 };

struct ps_pack_cache {
	struct ps_memory *memory;
	size_t budget;
	atomic_uint marks;    /* that are set: mostly none, and then nobody looks for one */
	pthread_mutex_t lock; /* guards what follows, and of entries all but a value that is there */
	pthread_cond_t changed;
	size_t weight; /* of what nobody holds */
	struct ps_cached *newest, *oldest;
	struct ps_cached *bucket[BUCKETS];
};

/* ---- one entry ---- */

static struct ps_cached **bucket_of(struct ps_pack_cache *c, const struct ps_cache_key *key)
{
	return &c->bucket[XXH3_64bits(key, sizeof(*key)) % BUCKETS];
}

static struct ps_cached *find(struct ps_pack_cache *c, const struct ps_cache_key *key)
{
	struct ps_cached *e = *bucket_of(c, key);
	while (e && memcmp(&e->key, key, sizeof(*key)) != 0)
		e = e->same_hash;
	return e;
}

static struct ps_cached *add(struct ps_pack_cache *c, const struct ps_cache_key *key)
{
	struct ps_cached *e = ps_memory_zalloc(c->memory, sizeof(*e)), **bucket = bucket_of(c, key);
	if (!e)
		return NULL;
	e->key = *key;
	e->state = PS_CACHED_LOADING;
	e->holders = 1;
	e->same_hash = *bucket;
	*bucket = e;
	return e;
}

static void remove_from_bucket(struct ps_pack_cache *c, struct ps_cached *e)
{
	struct ps_cached **at = bucket_of(c, &e->key);
	while (*at != e)
		at = &(*at)->same_hash;
	*at = e->same_hash;
}

static void free_entry(struct ps_pack_cache *c, struct ps_cached *e)
{
	if (e->mark)
		atomic_fetch_sub(&c->marks, 1);
	if (e->state == PS_CACHED_THERE && e->key.block == PS_CACHE_INDEX)
		ps_pack_index_done(&e->index);
	else if (e->state == PS_CACHED_THERE)
		ps_pack_block_done(&e->block);
	ps_memory_free(c->memory, e, sizeof(*e));
}

/* ---- by last use ---- */

static void link_newest(struct ps_pack_cache *c, struct ps_cached *e)
{
	e->older = c->newest;
	e->newer = NULL;
	*(c->newest ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
	c->weight += e->weight;
}

static void unlink_entry(struct ps_pack_cache *c, struct ps_cached *e)
{
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
	e->newer = e->older = NULL;
	c->weight -= e->weight;
}

/* The newest stays, however much it is. */
static void shrink(struct ps_pack_cache *c)
{
	while (c->weight > c->budget && c->oldest != c->newest) {
		struct ps_cached *e = c->oldest;
		unlink_entry(c, e);
		remove_from_bucket(c, e);
		free_entry(c, e);
	}
}

/* ---- holding ---- */

static void let_go(struct ps_pack_cache *c, struct ps_cached *e)
{
	if (--e->holders > 0)
		return;
	if (e->state == PS_CACHED_FAILED) {
		free_entry(c, e);
		return;
	}
	link_newest(c, e);
	shrink(c);
}

/* Waits for who loads it. */
static int wait_for(struct ps_pack_cache *c, struct ps_cached *e)
{
	if (e->holders++ == 0)
		unlink_entry(c, e);
	while (e->state == PS_CACHED_LOADING)
		(void)pthread_cond_wait(&c->changed, &c->lock);
	if (e->state == PS_CACHED_THERE)
		return PS_OK;
	int err = ps_fail(e->err, "%s", e->sentence);
	let_go(c, e);
	return err;
}

int ps_pack_cache_hold(struct ps_pack_cache *c, const struct ps_cache_key *key, struct ps_cached **held,
                       bool *load)
{
	int err = PS_OK;
	pthread_mutex_lock(&c->lock);
	struct ps_cached *e = find(c, key);
	*load = !e;
	if (e)
		err = wait_for(c, e);
	else if (!(e = add(c, key)))
		err = ps_fail(PS_ENOMEM, "no memory for a block of a pack");
	pthread_mutex_unlock(&c->lock);
	if (!err)
		*held = e;
	return err;
}

struct ps_cached *ps_pack_cache_claim(struct ps_pack_cache *c, const struct ps_cache_key *key)
{
	pthread_mutex_lock(&c->lock);
	struct ps_cached *e = find(c, key) ? NULL : add(c, key);
	pthread_mutex_unlock(&c->lock);
	return e;
}

struct ps_cached *ps_pack_cache_peek(struct ps_pack_cache *c, const struct ps_cache_key *key)
{
	pthread_mutex_lock(&c->lock);
	struct ps_cached *e = find(c, key);
	if (e && e->state != PS_CACHED_THERE)
		e = NULL;
	if (e && e->holders++ == 0)
		unlink_entry(c, e);
	pthread_mutex_unlock(&c->lock);
	return e;
}

void ps_pack_cache_loaded(struct ps_pack_cache *c, struct ps_cached *e, size_t weight)
{
	pthread_mutex_lock(&c->lock);
	e->weight = weight + sizeof(*e);
	e->state = PS_CACHED_THERE;
	(void)pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void ps_pack_cache_failed(struct ps_pack_cache *c, struct ps_cached *e, int err)
{
	pthread_mutex_lock(&c->lock);
	snprintf(e->sentence, sizeof(e->sentence), "%s", ps_last_error_message());
	e->err = err;
	e->state = PS_CACHED_FAILED;
	remove_from_bucket(c, e);
	(void)pthread_cond_broadcast(&c->changed);
	let_go(c, e);
	pthread_mutex_unlock(&c->lock);
}

void ps_pack_cache_release(struct ps_pack_cache *c, struct ps_cached *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&c->lock);
	let_go(c, e);
	pthread_mutex_unlock(&c->lock);
}

/* ---- marks ---- */

void ps_pack_cache_mark(struct ps_pack_cache *c, struct ps_cached *e, uint32_t mark)
{
	pthread_mutex_lock(&c->lock);
	e->mark = mark;
	atomic_fetch_add(&c->marks, 1);
	pthread_mutex_unlock(&c->lock);
}

uint32_t ps_pack_cache_take_mark(struct ps_pack_cache *c, const struct ps_cache_key *key)
{
	if (atomic_load_explicit(&c->marks, memory_order_relaxed) == 0)
		return 0;
	pthread_mutex_lock(&c->lock);
	struct ps_cached *e = find(c, key);
	uint32_t mark = e ? e->mark : 0;
	if (mark) {
		e->mark = 0;
		atomic_fetch_sub(&c->marks, 1);
	}
	pthread_mutex_unlock(&c->lock);
	return mark;
}

/* ---- life ---- */

int ps_pack_cache_new(struct ps_memory *memory, size_t budget, struct ps_pack_cache **cache)
{
	struct ps_pack_cache *c = ps_memory_zalloc(memory, sizeof(*c));
	if (!c)
		return ps_fail(PS_ENOMEM, "no memory for a cache of packs");
	c->memory = memory;
	c->budget = budget;
	if (pthread_mutex_init(&c->lock, NULL) == 0) {
		if (pthread_cond_init(&c->changed, NULL) == 0) {
			*cache = c;
			return PS_OK;
		}
		(void)pthread_mutex_destroy(&c->lock);
	}
	ps_memory_free(memory, c, sizeof(*c));
	return ps_fail(PS_ENOMEM, "no memory for a cache of packs");
}

void ps_pack_cache_free(struct ps_pack_cache *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (c->bucket[i]) {
			struct ps_cached *e = c->bucket[i];
			c->bucket[i] = e->same_hash;
			free_entry(c, e);
		}
	}
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->lock);
	ps_memory_free(c->memory, c, sizeof(*c));
}
