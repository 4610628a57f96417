#include "multistore/pack_streams.h"

#include <string.h>

#include "base/fail.h"

enum { RECENT = 4 * PS_PACK_STREAMS }; /* requests */

int ps_pack_streams_init(struct ps_pack_streams *s, uint32_t most)
{
	*s = (struct ps_pack_streams){.most = most};
	return pthread_mutex_init(&s->lock, NULL) == 0 ? PS_OK
	                                               : ps_fail(PS_ENOMEM, "no memory for reading ahead");
}

void ps_pack_streams_done(struct ps_pack_streams *s)
{
	(void)pthread_mutex_destroy(&s->lock);
}

static bool goes_on(const struct ps_pack_stream *t, const struct ps_pack_about *pack, uint32_t block)
{
	if (t->used == 0 || memcmp(t->mark, pack->mark, sizeof(t->mark)) != 0)
		return false;
	return t->ended ? pack->number == t->number + 1 && block == 0
	                : pack->number == t->number && block == t->next;
}

/* The one that goes on here, or the one that was used least recently, as a new one. */
static struct ps_pack_stream *find(struct ps_pack_streams *s, const struct ps_pack_about *pack,
                                   uint32_t block)
{
	struct ps_pack_stream *oldest = &s->stream[0];
	for (unsigned i = 0; i < PS_PACK_STREAMS; i++) {
		if (goes_on(&s->stream[i], pack, block))
			return &s->stream[i];
		if (s->stream[i].used < oldest->used)
			oldest = &s->stream[i];
	}
	*oldest = (struct ps_pack_stream){0};
	return oldest;
}

/* Its first request has nothing ahead, the second one block, then twice as many each. */
static void advance(struct ps_pack_stream *t, uint32_t asked)
{
	uint32_t ahead = t->used == 0 ? 0 : t->ahead == 0 ? 1 : 2 * t->ahead;
	if (t->used != 0 && ahead < asked)
		ahead = asked;
	t->ahead = ahead < PS_PACK_AHEAD_BLOCKS ? ahead : PS_PACK_AHEAD_BLOCKS;
}

static void stands_at(struct ps_pack_stream *t, const struct ps_pack_index *index, uint32_t next)
{
	memcpy(t->mark, index->tail.about.mark, sizeof(t->mark));
	t->number = index->tail.about.number;
	t->next = next;
	t->ended = next >= index->tail.blocks;
}

/* What one of those that go on at the time may have ahead: who goes through the slots of many runs goes
 * through all of them at once. */
static uint32_t share(const struct ps_pack_streams *s)
{
	uint32_t active = 0;
	for (unsigned i = 0; i < PS_PACK_STREAMS; i++)
		active += s->stream[i].ahead > 0 && s->clock - s->stream[i].used < RECENT;
	uint32_t blocks = active > 0 ? s->most / active : s->most;
	return blocks > 0 ? blocks : 1;
}

uint32_t ps_pack_streams_follow(struct ps_pack_streams *s, const struct ps_pack_index *index, uint32_t block,
                                uint32_t wanted)
{
	pthread_mutex_lock(&s->lock);
	struct ps_pack_stream *t = find(s, &index->tail.about, block);
	advance(t, wanted - block);
	t->used = ++s->clock;
	stands_at(t, index, block);
	uint32_t most = share(s), ahead = t->ahead < most ? t->ahead : most;
	pthread_mutex_unlock(&s->lock);
	uint32_t last = index->tail.blocks - 1;
	return wanted >= last ? wanted : last - wanted < ahead ? last : wanted + ahead;
}

bool ps_pack_streams_next(struct ps_pack_streams *s, const struct ps_pack_index *index, uint32_t block,
                          uint32_t *last)
{
	uint32_t count = 0;
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < PS_PACK_STREAMS && count == 0; i++) {
		struct ps_pack_stream *t = &s->stream[i];
		if (t->ahead == 0 || block >= index->tail.blocks || !goes_on(t, &index->tail.about, block))
			continue;
		advance(t, 0);
		t->used = ++s->clock;
		uint32_t most = share(s), left = index->tail.blocks - block;
		count = t->ahead < most ? t->ahead : most;
		count = count < left ? count : left;
	}
	pthread_mutex_unlock(&s->lock);
	if (count > 0)
		*last = block + count - 1;
	return count > 0;
}

void ps_pack_streams_went(struct ps_pack_streams *s, const struct ps_pack_index *index, uint32_t block,
                          uint32_t next)
{
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < PS_PACK_STREAMS; i++) {
		struct ps_pack_stream *t = &s->stream[i];
		if (goes_on(t, &index->tail.about, block))
			stands_at(t, index, next);
	}
	pthread_mutex_unlock(&s->lock);
}
