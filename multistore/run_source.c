#include "multistore/run_source.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/thread.h"

enum { HELD = 2, SENTENCE = 512 };

struct held {
	uint8_t *bytes;
	size_t len;
};

struct ps_run_source {
	struct ps_memory *memory;
	ps_remote *r;
	const struct ps_push_manifest_pack *packs;
	uint32_t count;
	size_t chunk;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows but the bytes: those of a held chunk are the reader's */
	pthread_cond_t changed;
	struct held held[HELD];
	uint64_t fetched, taken; /* chunks */
	bool stopped, ended;
	int err;
	char sentence[SENTENCE];
	size_t at; /* the reader's: in the chunk that it is at */
};

/* ---- the fetching thread ---- */

static int still_wanted(void *arg, const struct ps_remote_progress *progress)
{
	ps_run_source *s = arg;
	(void)progress;
	pthread_mutex_lock(&s->lock);
	bool stopped = s->stopped;
	pthread_mutex_unlock(&s->lock);
	return stopped;
}

/* A free place; NULL: nobody wants more. */
static struct held *wait_for_place(ps_run_source *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->stopped && s->fetched - s->taken == HELD)
		(void)pthread_cond_wait(&s->changed, &s->lock);
	struct held *place = s->stopped ? NULL : &s->held[s->fetched % HELD];
	pthread_mutex_unlock(&s->lock);
	return place;
}

static void chunk_is_there(ps_run_source *s)
{
	pthread_mutex_lock(&s->lock);
	s->fetched++;
	(void)pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static int fetch_chunk(ps_run_source *s, const struct ps_push_manifest_pack *pack, uint64_t offset)
{
	const struct ps_remote_get options = {
	    .size = sizeof(options), .progress = still_wanted, .progress_arg = s};
	char name[PS_PACK_NAME];
	struct held *place = wait_for_place(s);
	if (!place)
		return PS_ECANCELED;
	size_t want = pack->bytes - offset < s->chunk ? (size_t)(pack->bytes - offset) : s->chunk;
	if (!place->bytes)
		place->bytes = ps_memory_alloc(s->memory, s->chunk);
	if (!place->bytes)
		return ps_fail(PS_ENOMEM, "no memory for reading ahead");
	ps_pack_name(&pack->about, name);
	int err = ps_remote_read_at(s->r, name, offset, place->bytes, want, &place->len, &options);
	if (err) {
		char sentence[SENTENCE];
		snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
		return ps_fail(err == PS_ENOTFOUND ? PS_ESUPERSEDED : err, "%s: %s", name, sentence);
	}
	if (place->len != want)
		return ps_fail(PS_ECORRUPT, "%s: ends before byte %llu, and should have %llu", name,
		               (unsigned long long)(offset + want), (unsigned long long)pack->bytes);
	chunk_is_there(s);
	return PS_OK;
}

static void *fetch_all(void *arg)
{
	ps_run_source *s = arg;
	int err = PS_OK;
	for (uint32_t i = 0; i < s->count && !err; i++)
		for (uint64_t offset = 0; offset < s->packs[i].bytes && !err; offset += s->chunk)
			err = fetch_chunk(s, &s->packs[i], offset);
	pthread_mutex_lock(&s->lock);
	s->ended = true;
	s->err = err;
	if (err)
		snprintf(s->sentence, sizeof(s->sentence), "%s", ps_last_error_message());
	(void)pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- the reader ---- */

static int wait_for_chunk(ps_run_source *s, const struct held **held)
{
	int err = PS_OK;
	pthread_mutex_lock(&s->lock);
	while (s->fetched == s->taken && !s->ended)
		(void)pthread_cond_wait(&s->changed, &s->lock);
	if (s->fetched > s->taken)
		*held = &s->held[s->taken % HELD];
	else
		err = s->err ? ps_fail(s->err, "%s", s->sentence)
		             : ps_fail(PS_ECORRUPT, "a run's packs end before its objects");
	pthread_mutex_unlock(&s->lock);
	return err;
}

static void chunk_is_taken(ps_run_source *s)
{
	pthread_mutex_lock(&s->lock);
	s->taken++;
	s->at = 0;
	(void)pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

int ps_run_source_read(ps_run_source *s, void *buf, size_t len)
{
	uint8_t *to = buf;
	while (len > 0) {
		const struct held *held = NULL;
		int err = wait_for_chunk(s, &held);
		if (err)
			return err;
		size_t step = held->len - s->at < len ? held->len - s->at : len;
		memcpy(to, held->bytes + s->at, step);
		s->at += step;
		to += step;
		len -= step;
		if (s->at == held->len)
			chunk_is_taken(s);
	}
	return PS_OK;
}

/* ---- life ---- */

static int start(ps_run_source *s)
{
	if (pthread_mutex_init(&s->lock, NULL))
		return ps_fail(PS_ENOMEM, "no memory for reading ahead");
	if (pthread_cond_init(&s->changed, NULL)) {
		(void)pthread_mutex_destroy(&s->lock);
		return ps_fail(PS_ENOMEM, "no memory for reading ahead");
	}
	if (ps_thread_start(&s->thread, fetch_all, s) == 0)
		return PS_OK;
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->lock);
	return ps_fail(PS_ENOMEM, "no thread for reading ahead");
}

int ps_run_source_new(struct ps_memory *memory, ps_remote *r, const struct ps_push_manifest_pack *packs,
                      uint32_t count, size_t chunk, ps_run_source **source)
{
	ps_run_source *s = ps_memory_zalloc(memory, sizeof(*s));
	if (!s)
		return ps_fail(PS_ENOMEM, "no memory for reading a run");
	*s = (ps_run_source){.memory = memory, .r = r, .packs = packs, .count = count, .chunk = chunk};
	int err = start(s);
	if (err)
		ps_memory_free(memory, s, sizeof(*s));
	else
		*source = s;
	return err;
}

void ps_run_source_free(ps_run_source *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopped = true;
	(void)pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	(void)pthread_join(s->thread, NULL);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->lock);
	for (unsigned i = 0; i < HELD; i++)
		ps_memory_free(s->memory, s->held[i].bytes, s->chunk);
	ps_memory_free(s->memory, s, sizeof(*s));
}
