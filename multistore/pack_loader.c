#include "multistore/pack_loader.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "multistore/loss.h"
#include "multistore/pack_format.h"

enum {
	AHEAD_BYTES = 4 << 20, /* of blocks in one request */
	AHEAD_SHARE =
	    4, /* of what is kept: one that is read and the next one are there until they are asked for */
};

/* ---- life ---- */

int ps_pack_loader_init(struct ps_pack_loader *l, struct ps_memory *memory, ps_remote *r, size_t cache_bytes)
{
	l->memory = memory;
	l->r = r;
	l->ahead_bytes = cache_bytes / AHEAD_SHARE < AHEAD_BYTES ? cache_bytes / AHEAD_SHARE : AHEAD_BYTES;
	int err = ps_pack_streams_init(&l->streams, (uint32_t)(cache_bytes / AHEAD_SHARE / PACK_BLOCK));
	if (err)
		return err;
	err = ps_pack_fetchers_init(&l->fetchers);
	if (!err) {
		err = ps_pack_cache_new(memory, cache_bytes, &l->cache);
		if (err)
			ps_pack_fetchers_done(&l->fetchers);
	}
	if (err)
		ps_pack_streams_done(&l->streams);
	return err;
}

void ps_pack_loader_done(struct ps_pack_loader *l)
{
	if (!l->cache)
		return;
	atomic_store(&l->stopped, true);
	ps_pack_fetchers_done(&l->fetchers);
	ps_pack_cache_free(l->cache);
	ps_pack_streams_done(&l->streams);
}

bool ps_pack_loader_ends(struct ps_pack_loader *l)
{
	return atomic_load(&l->stopped) || (l->unwanted && l->unwanted());
}

/* ---- ranges ---- */

static int still_wanted(void *arg, const struct ps_remote_progress *progress)
{
	struct ps_pack_loader *l = arg;
	(void)progress;
	return ps_pack_loader_ends(l);
}

static int read_range(struct ps_pack_loader *l, const struct ps_pack_about *pack, uint64_t offset,
                      uint8_t *buf, size_t len)
{
	const struct ps_remote_get options = {
	    .size = sizeof(options), .progress = still_wanted, .progress_arg = l};
	char name[PS_PACK_NAME], sentence[PS_CACHE_SENTENCE];
	size_t got = 0;
	ps_pack_name(pack, name);
	if (atomic_load(&l->stopped))
		return ps_fail(PS_ECANCELED, "%s: nothing is fetched any more", name);
	atomic_fetch_add(&l->reads, 1);
	atomic_fetch_add(&l->read_bytes, len);
	int err = ps_remote_read_at(l->r, name, offset, buf, len, &got, &options);
	if (!err && got == len)
		return PS_OK;
	if (!err)
		return ps_fail(PS_ECORRUPT, "%s: ends before byte %llu", name,
		               (unsigned long long)(offset + len));
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	if (ps_loss_is(err))
		atomic_fetch_add(&l->losses, 1);
	return ps_fail(err == PS_ENOTFOUND ? PS_ESUPERSEDED : err, "%s: bytes %llu to %llu: %s", name,
	               (unsigned long long)offset, (unsigned long long)(offset + len), sentence);
}

static struct ps_cache_key key_of(const struct ps_pack_about *pack, uint32_t block)
{
	struct ps_cache_key key = {.number = pack->number, .block = block};
	memcpy(key.mark, pack->mark, sizeof(key.mark));
	return key;
}

/* ---- an index ---- */

static int damaged(const struct ps_pack_about *pack, int err)
{
	char name[PS_PACK_NAME], sentence[PS_CACHE_SENTENCE];
	if (err != PS_ECORRUPT && err != PS_EVERSION)
		return err;
	ps_pack_name(pack, name);
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	return ps_fail(err, "%s: %s", name, sentence);
}

static int check_tail(const struct ps_push_manifest_pack *pack, const struct ps_pack_tail *t)
{
	if (memcmp(t->about.mark, pack->about.mark, PS_PACK_MARK) == 0 &&
	    t->about.number == pack->about.number && t->about.since == pack->about.since &&
	    t->about.upto == pack->about.upto && t->first == pack->first && t->last == pack->last &&
	    t->continues == pack->continues && t->open == pack->open)
		return PS_OK;
	return ps_fail(PS_ECORRUPT, "has other objects than the manifest says");
}

/* The last `len` bytes of the pack are there. */
static int decode_end(struct ps_pack_loader *l, const struct ps_push_manifest_pack *pack, uint8_t *end,
                      size_t len, struct ps_pack_index *index)
{
	struct ps_pack_tail tail;
	uint8_t *lines = NULL;
	int err = ps_pack_tail_decode(end + len - PS_PACK_TAIL, pack->bytes, &tail);
	if (!err)
		err = check_tail(pack, &tail);
	if (err)
		return damaged(&pack->about, err);
	size_t bytes = ps_pack_index_bytes(&tail);
	if (bytes + PS_PACK_TAIL <= len)
		return damaged(&pack->about, ps_pack_index_decode(l->memory, &tail,
		                                                  end + len - PS_PACK_TAIL - bytes, index));
	lines = ps_memory_alloc(l->memory, bytes);
	if (!lines)
		return ps_fail(PS_ENOMEM, "no memory for a pack's index of %zu bytes", bytes);
	err = read_range(l, &pack->about, tail.index, lines, bytes);
	if (!err)
		err = damaged(&pack->about, ps_pack_index_decode(l->memory, &tail, lines, index));
	ps_memory_free(l->memory, lines, bytes);
	return err;
}

static int read_end(struct ps_pack_loader *l, const struct ps_push_manifest_pack *pack,
                    struct ps_pack_index *index)
{
	size_t len = pack->bytes < PACK_END ? (size_t)pack->bytes : PACK_END;
	uint8_t *end = ps_memory_alloc(l->memory, len + 1);
	if (!end)
		return ps_fail(PS_ENOMEM, "no memory for the end of a pack");
	int err = len < PS_PACK_TAIL ? damaged(&pack->about, ps_fail(PS_ECORRUPT, "is too short for a pack"))
	                             : read_range(l, &pack->about, pack->bytes - len, end, len);
	if (!err)
		err = decode_end(l, pack, end, len, index);
	ps_memory_free(l->memory, end, len + 1);
	return err;
}

/* Who was here before may have had it for another manifest, of which nothing is believed, too. */
static int check_cached(struct ps_pack_loader *l, const struct ps_push_manifest_pack *pack,
                        struct ps_cached *e)
{
	int err = damaged(&pack->about, check_tail(pack, &e->index.tail));
	if (err)
		ps_pack_cache_release(l->cache, e);
	return err;
}

int ps_pack_peek_index(struct ps_pack_loader *l, const struct ps_push_manifest_pack *pack,
                       struct ps_cached **held)
{
	struct ps_cache_key key = key_of(&pack->about, PS_CACHE_INDEX);
	struct ps_cached *e = ps_pack_cache_peek(l->cache, &key);
	int err = e ? check_cached(l, pack, e) : PS_OK;
	if (!err)
		*held = e;
	return err;
}

/* e is held for loading; on errors it is not held any more. */
static int fill_index(struct ps_pack_loader *l, const struct ps_push_manifest_pack *pack, struct ps_cached *e)
{
	struct ps_pack_index index;
	int err = read_end(l, pack, &index);
	if (err) {
		ps_pack_cache_failed(l->cache, e, err);
		return err;
	}
	e->index = index;
	ps_pack_cache_loaded(l->cache, e, index.tail.blocks * sizeof(*index.lines));
	return PS_OK;
}

struct index_fetch {
	struct ps_pack_fetch fetch; /* first */
	struct ps_pack_loader *l;
	struct ps_push_manifest_pack pack;
	struct ps_cached *held;
};

static void fetch_index(struct ps_pack_fetch *fetch)
{
	struct index_fetch *f = (struct index_fetch *)(void *)fetch;
	struct ps_pack_loader *l = f->l;
	if (fill_index(l, &f->pack, f->held) == PS_OK)
		ps_pack_cache_release(l->cache, f->held);
	ps_memory_free(l->memory, f, sizeof(*f));
}

void ps_pack_begin_index(struct ps_pack_loader *l, const struct ps_push_manifest_pack *pack)
{
	struct ps_cache_key key = key_of(&pack->about, PS_CACHE_INDEX);
	struct index_fetch *f = ps_memory_alloc(l->memory, sizeof(*f));
	struct ps_cached *held = f ? ps_pack_cache_claim(l->cache, &key) : NULL;
	if (held) {
		*f = (struct index_fetch){{.run = fetch_index}, l, *pack, held};
		ps_pack_fetchers_add(&l->fetchers, &f->fetch);
	} else {
		ps_memory_free(l->memory, f, sizeof(*f));
	}
}

int ps_pack_load_index(struct ps_pack_loader *l, const struct ps_push_manifest_pack *pack,
                       struct ps_cached **held)
{
	struct ps_cache_key key = key_of(&pack->about, PS_CACHE_INDEX);
	struct ps_cached *e = NULL;
	bool load = false;
	int err = ps_pack_cache_hold(l->cache, &key, &e, &load);
	if (!err && load)
		err = fill_index(l, pack, e);
	if (!err && !load)
		err = check_cached(l, pack, e);
	if (!err)
		*held = e;
	return err;
}

/* ---- blocks ---- */

/* Blocks from `first` on, each held for loading. */
struct claimed {
	const struct ps_pack_index *index;
	uint32_t first, count;
	struct ps_cached *held[PS_PACK_AHEAD_BLOCKS];
};

/* Up to `last`, of at most so many bytes. */
static void claim_more(struct ps_pack_loader *l, struct claimed *c, uint32_t last, uint64_t bytes)
{
	uint64_t begin = c->index->lines[c->first].offset;
	while (c->count < PS_PACK_AHEAD_BLOCKS && c->first + c->count <= last) {
		uint32_t next = c->first + c->count;
		struct ps_cache_key key = key_of(&c->index->tail.about, next);
		if (ps_pack_index_end(c->index, next) - begin > bytes)
			return;
		struct ps_cached *e = ps_pack_cache_claim(l->cache, &key);
		if (!e)
			return;
		c->held[c->count++] = e;
	}
}

static int decode_one(struct ps_pack_loader *l, struct claimed *c, uint32_t i, const uint8_t *bytes)
{
	uint64_t begin = c->index->lines[c->first].offset;
	struct ps_pack_block block;
	int err = ps_pack_block_decode(l->memory, c->index, c->first + i,
	                               bytes + (c->index->lines[c->first + i].offset - begin), &block);
	if (err)
		return err;
	c->held[i]->block = block;
	ps_pack_cache_loaded(l->cache, c->held[i], ps_pack_block_weight(&block));
	return PS_OK;
}

/* The first one stays held; what is wrong with another one is for who asks for that. */
static int decode_claimed(struct ps_pack_loader *l, struct claimed *c, const uint8_t *bytes)
{
	int first = decode_one(l, c, 0, bytes);
	if (first)
		ps_pack_cache_failed(l->cache, c->held[0], first);
	for (uint32_t i = 1; i < c->count; i++) {
		int err = first ? first : decode_one(l, c, i, bytes);
		if (err)
			ps_pack_cache_failed(l->cache, c->held[i], err);
		else
			ps_pack_cache_release(l->cache, c->held[i]);
	}
	return first;
}

static int load_claimed(struct ps_pack_loader *l, struct claimed *c)
{
	uint64_t begin = c->index->lines[c->first].offset;
	size_t len = (size_t)(ps_pack_index_end(c->index, c->first + c->count - 1) - begin);
	uint8_t *bytes = ps_memory_alloc(l->memory, len);
	int err = bytes ? read_range(l, &c->index->tail.about, begin, bytes, len)
	                : ps_fail(PS_ENOMEM, "no memory for %zu bytes of a pack", len);
	if (!err) {
		err = decode_claimed(l, c, bytes);
	} else {
		for (uint32_t i = 0; i < c->count; i++)
			ps_pack_cache_failed(l->cache, c->held[i], err);
	}
	if (bytes)
		ps_memory_free(l->memory, bytes, len);
	return err;
}

struct blocks_fetch {
	struct ps_pack_fetch fetch; /* first */
	struct ps_pack_loader *l;
	struct ps_cached *index; /* held */
	struct claimed c;
};

static void fetch_blocks(struct ps_pack_fetch *fetch)
{
	struct blocks_fetch *f = (struct blocks_fetch *)(void *)fetch;
	struct ps_pack_loader *l = f->l;
	if (load_claimed(l, &f->c) == PS_OK)
		ps_pack_cache_release(l->cache, f->c.held[0]);
	ps_pack_cache_release(l->cache, f->index);
	ps_memory_free(l->memory, f, sizeof(*f));
}

/* From *first on, in one request; *first is then behind what it asks for. False: that block is there, or
 * being fetched, and was passed over; or there is no memory, and all were. `ahead`: nobody has asked for them
 * yet. */
static bool begin_range(struct ps_pack_loader *l, const struct ps_pack_index *index, uint32_t *first,
                        uint32_t last, bool ahead)
{
	struct ps_cache_key block = key_of(&index->tail.about, *first),
	                    end = key_of(&index->tail.about, PS_CACHE_INDEX);
	struct blocks_fetch *f = ps_memory_alloc(l->memory, sizeof(*f));
	struct ps_cached *held = f ? ps_pack_cache_claim(l->cache, &block) : NULL;
	if (!held) {
		ps_memory_free(l->memory, f, sizeof(*f));
		*first = f ? *first + 1 : last + 1;
		return false;
	}
	*f = (struct blocks_fetch){
	    {.run = fetch_blocks}, l, NULL, {.index = index, .first = *first, .count = 1}};
	f->c.held[0] = held;
	f->index = ps_pack_cache_peek(l->cache, &end); /* the caller's: it is there */
	claim_more(l, &f->c, last, ahead ? l->ahead_bytes : AHEAD_BYTES);
	*first += f->c.count;
	if (ahead)
		ps_pack_cache_mark(l->cache, held, *first);
	ps_pack_fetchers_add(&l->fetchers, &f->fetch);
	return true;
}

void ps_pack_begin_blocks(struct ps_pack_loader *l, const struct ps_pack_index *index, uint32_t first,
                          uint32_t last)
{
	while (first <= last)
		(void)begin_range(l, index, &first, last, false);
}

/* ---- ahead ----
 *
 * Who goes through a pack finds a mark at the first block of the range that was begun for him: from there on
 * the one behind that is on its way, while he reads this one. */

static void begin_next(struct ps_pack_loader *l, const struct ps_pack_index *index, uint32_t first)
{
	uint32_t last, from = first;
	bool begun = false;
	if (first >= index->tail.blocks || atomic_load(&l->stopped) ||
	    ps_pack_index_end(index, first) - index->lines[first].offset > l->ahead_bytes ||
	    !ps_pack_streams_next(&l->streams, index, first, &last))
		return;
	while (first <= last && !begun)
		begun = begin_range(l, index, &first, last, true);
	ps_pack_streams_went(&l->streams, index, from, first);
}

static void come_to(struct ps_pack_loader *l, const struct ps_pack_index *index,
                    const struct ps_cache_key *key)
{
	uint32_t next = ps_pack_cache_take_mark(l->cache, key);
	if (next > 0)
		begin_next(l, index, next);
}

/* What failed ahead of everybody may be there for who asks for it: once more, where the network answers at
 * once. */
static int hold(struct ps_pack_loader *l, const struct ps_cache_key *key, struct ps_cached **held, bool *load)
{
	int err = ps_pack_cache_hold(l->cache, key, held, load);
	return ps_loss_is(err) ? ps_pack_cache_hold(l->cache, key, held, load) : err;
}

static int load_range(struct ps_pack_loader *l, const struct ps_pack_index *index, uint32_t wanted,
                      struct claimed *c)
{
	uint32_t last = ps_pack_streams_follow(&l->streams, index, c->first, wanted);
	c->count = 1;
	claim_more(l, c, wanted, AHEAD_BYTES);
	claim_more(l, c, last, l->ahead_bytes);
	ps_pack_streams_went(&l->streams, index, c->first, c->first + c->count);
	int err = load_claimed(l, c);
	if (!err) /* what is waited for comes first */
		begin_next(l, index, c->first + c->count);
	return err;
}

int ps_pack_load_block(struct ps_pack_loader *l, const struct ps_pack_index *index, uint32_t block,
                       uint32_t wanted, struct ps_cached **held)
{
	struct claimed c = {.index = index, .first = block};
	struct ps_cache_key key = key_of(&index->tail.about, block);
	bool load = false;
	come_to(l, index, &key);
	int err = hold(l, &key, &c.held[0], &load);
	if (!err && load)
		err = load_range(l, index, wanted, &c);
	if (!err)
		*held = c.held[0];
	return err;
}

struct ps_cached *ps_pack_peek_block(struct ps_pack_loader *l, const struct ps_pack_index *index,
                                     uint32_t block)
{
	struct ps_cache_key key = key_of(&index->tail.about, block);
	come_to(l, index, &key);
	return ps_pack_cache_peek(l->cache, &key);
}
