/* Ranges have numbers, in the order in which they are read. Threads begin them in that order, each waits for
 * the one that it has begun, and they come back as they like; the reader takes them in order. What is ahead
 * of the reader is bounded by the places that they come back to. */
#include "multistore/run_source.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/thread.h"
#include "remote/clock.h"

enum { THREADS = PS_RUN_SOURCE_RANGES - 1, SENTENCE = 512, HUGE_FROM = 4 << 20, TICK_MS = 50 };

struct place {
	uint8_t *bytes;
	size_t len;
	bool ended; /* it came, or failed */
	int err;
	char sentence[SENTENCE];
};

/* Which bytes of which pack. */
struct range {
	const struct ps_push_manifest_pack *pack;
	uint64_t offset;
	size_t len;
	struct place *place;
};

struct ps_run_source {
	struct ps_memory *memory;
	ps_remote *r;
	const struct ps_push_manifest_pack *packs;
	uint32_t count;
	size_t range;
	uint32_t places, threads;
	pthread_t thread[THREADS];
	pthread_mutex_t
	    lock; /* guards what follows but the bytes: those of a place that ended are the reader's */
	pthread_cond_t changed;
	struct place place[PS_RUN_SOURCE_RANGES]; /* range n in place n modulo their number */
	/* Memory that nothing is in. What was used last is used first: a reader that keeps up with what comes
	 * leaves the rest untouched. */
	uint8_t *spare[PS_RUN_SOURCE_RANGES];
	uint32_t spares;
	uint64_t begun, taken; /* ranges */
	uint32_t next_pack;    /* where the next range begins */
	uint64_t next_offset;
	bool failed;  /* nothing more is begun */
	bool stopped; /* nor waited for */
	size_t at;    /* the reader's: in the range that it is at */
	int (*tick)(void *arg); /* the reader's, while it waits; NULL */
	void *tick_arg;
};

/* ---- the fetching threads ---- */

static int still_wanted(void *arg, const struct ps_remote_progress *progress)
{
	ps_run_source *s = arg;
	(void)progress;
	pthread_mutex_lock(&s->lock);
	bool stopped = s->stopped;
	pthread_mutex_unlock(&s->lock);
	return stopped;
}

/* Under the lock. */
static bool all_begun(const ps_run_source *s)
{
	return s->next_pack == s->count;
}

/* Under the lock. */
static void begin_next(ps_run_source *s, struct range *range)
{
	const struct ps_push_manifest_pack *pack = &s->packs[s->next_pack];
	uint64_t left = pack->bytes - s->next_offset;
	struct place *place = &s->place[s->begun++ % s->places];
	*range = (struct range){pack, s->next_offset, left < s->range ? (size_t)left : s->range, place};
	place->ended = false;
	place->len = range->len;
	place->bytes = s->spares > 0 ? s->spare[--s->spares] : NULL;
	s->next_offset += range->len;
	if (s->next_offset == pack->bytes) {
		s->next_pack++;
		s->next_offset = 0;
	}
}

/* False: there is none left, or nobody wants it. */
static bool wait_for_range(ps_run_source *s, struct range *range)
{
	pthread_mutex_lock(&s->lock);
	while (!s->failed && !s->stopped && !all_begun(s) && s->begun - s->taken == s->places)
		(void)pthread_cond_wait(&s->changed, &s->lock);
	bool any = !s->failed && !s->stopped && !all_begun(s);
	if (any)
		begin_next(s, range);
	pthread_mutex_unlock(&s->lock);
	return any;
}

/* What is written from one end to the other has four faults instead of two thousand with huge pages, where
 * the kernel has such. */
static uint8_t *new_bytes(ps_run_source *s, size_t len)
{
	uint8_t *bytes = ps_memory_alloc(s->memory, s->range);
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)bytes + page - 1) & ~(page - 1),
	          to = ((uintptr_t)bytes + s->range) & ~(page - 1);
	if (bytes && len >= HUGE_FROM)
		(void)madvise((void *)from, to - from, MADV_HUGEPAGE); /* advice: without it there are more */
	return bytes;
}

static int fetch_range(ps_run_source *s, const struct range *range)
{
	const struct ps_remote_get options = {
	    .size = sizeof(options), .progress = still_wanted, .progress_arg = s};
	char name[PS_PACK_NAME], sentence[SENTENCE];
	size_t got = 0;
	if (!range->place->bytes)
		range->place->bytes = new_bytes(s, range->len);
	if (!range->place->bytes)
		return ps_fail(PS_ENOMEM, "no memory for reading ahead");
	ps_pack_name(&range->pack->about, name);
	int err =
	    ps_remote_read_at(s->r, name, range->offset, range->place->bytes, range->len, &got, &options);
	if (err) {
		snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
		return ps_fail(err == PS_ENOTFOUND ? PS_ESUPERSEDED : err, "%s: %s", name, sentence);
	}
	if (got != range->len)
		return ps_fail(PS_ECORRUPT, "%s: ends before byte %llu, and should have %llu", name,
		               (unsigned long long)(range->offset + range->len),
		               (unsigned long long)range->pack->bytes);
	return PS_OK;
}

static void range_ended(ps_run_source *s, struct place *place, int err)
{
	pthread_mutex_lock(&s->lock);
	place->err = err;
	if (err)
		snprintf(place->sentence, sizeof(place->sentence), "%s", ps_last_error_message());
	place->ended = true;
	s->failed = s->failed || err;
	(void)pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void *fetch_ranges(void *arg)
{
	ps_run_source *s = arg;
	struct range range;
	while (wait_for_range(s, &range))
		range_ended(s, range.place, fetch_range(s, &range));
	return NULL;
}

/* ---- the reader ---- */

/* Under the lock. */
static void leave_place(ps_run_source *s, struct place *place)
{
	s->spare[s->spares++] = place->bytes;
	place->bytes = NULL;
	s->taken++;
	s->at = 0;
	(void)pthread_cond_broadcast(&s->changed);
}

/* Under the lock, which tick does without. */
static int wait_for_change(ps_run_source *s)
{
	if (!s->tick) {
		(void)pthread_cond_wait(&s->changed, &s->lock);
		return PS_OK;
	}
	uint64_t until = ps_clock_now(&ps_system_clock) + TICK_MS * PS_MS_NS;
	ps_clock_wait(&ps_system_clock, &s->changed, &s->lock, until);
	pthread_mutex_unlock(&s->lock);
	int err = s->tick(s->tick_arg);
	pthread_mutex_lock(&s->lock);
	return err;
}

/* The range that the reader is at; the one before is left only now, since it may have lent of it. */
static int find_place(ps_run_source *s, struct place **found)
{
	int err = PS_OK;
	pthread_mutex_lock(&s->lock);
	struct place *place = &s->place[s->taken % s->places];
	if (s->at > 0 && s->at == place->len) {
		leave_place(s, place);
		place = &s->place[s->taken % s->places];
	}
	while (!err && (s->begun == s->taken ? !all_begun(s) : !place->ended))
		err = wait_for_change(s);
	if (!err && s->begun == s->taken)
		err = ps_fail(PS_ECORRUPT, "a run's packs end before its objects");
	else if (!err && place->err)
		err = ps_fail(place->err, "%s", place->sentence);
	pthread_mutex_unlock(&s->lock);
	if (!err)
		*found = place;
	return err;
}

int ps_run_source_read(ps_run_source *s, void *buf, size_t len)
{
	uint8_t *to = buf;
	while (len > 0) {
		struct place *place = NULL;
		int err = find_place(s, &place);
		if (err)
			return err;
		size_t step = place->len - s->at < len ? place->len - s->at : len;
		memcpy(to, place->bytes + s->at, step);
		s->at += step;
		to += step;
		len -= step;
	}
	return PS_OK;
}

const uint8_t *ps_run_source_lend(ps_run_source *s, size_t len)
{
	struct place *place = NULL;
	if (len == 0 || find_place(s, &place) != PS_OK || place->len - s->at < len)
		return NULL;
	s->at += len;
	return place->bytes + s->at - len;
}

/* ---- life ---- */

static int init_sync(ps_run_source *s)
{
	if (pthread_mutex_init(&s->lock, NULL))
		return ps_fail(PS_ENOMEM, "no memory for reading ahead");
	if (ps_clock_cond_init(&s->changed) == PS_OK)
		return PS_OK;
	(void)pthread_mutex_destroy(&s->lock);
	return ps_fail(PS_ENOMEM, "no memory for reading ahead");
}

/* One for each range that can be on its way, where there are so many. */
static uint32_t threads_of(const ps_run_source *s)
{
	uint64_t ranges = 0;
	for (uint32_t i = 0; i < s->count && ranges < s->places - 1; i++)
		ranges += s->packs[i].bytes / s->range + 1;
	return ranges < s->places - 1 ? (uint32_t)ranges : s->places - 1;
}

/* One thread will do. */
static int start(ps_run_source *s)
{
	uint32_t wanted = threads_of(s);
	int err = init_sync(s);
	if (err)
		return err;
	while (s->threads < wanted && ps_thread_start(&s->thread[s->threads], fetch_ranges, s) == 0)
		s->threads++;
	if (s->threads > 0 || wanted == 0)
		return PS_OK;
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->lock);
	return ps_fail(PS_ENOMEM, "no thread for reading ahead");
}

int ps_run_source_new(struct ps_memory *memory, ps_remote *r, const struct ps_push_manifest_pack *packs,
                      uint32_t count, size_t range, uint32_t ranges, ps_run_source **source)
{
	ps_run_source *s = ps_memory_zalloc(memory, sizeof(*s));
	if (!s)
		return ps_fail(PS_ENOMEM, "no memory for reading a run");
	*s = (ps_run_source){
	    .memory = memory, .r = r, .packs = packs, .count = count, .range = range, .places = ranges};
	int err = start(s);
	if (err)
		ps_memory_free(memory, s, sizeof(*s));
	else
		*source = s;
	return err;
}

void ps_run_source_on_wait(ps_run_source *s, int (*tick)(void *arg), void *arg)
{
	s->tick = tick;
	s->tick_arg = arg;
}

void ps_run_source_free(ps_run_source *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopped = true;
	(void)pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < s->threads; i++)
		(void)pthread_join(s->thread[i], NULL);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_mutex_destroy(&s->lock);
	for (uint32_t i = 0; i < s->places; i++)
		ps_memory_free(s->memory, s->place[i].bytes, s->range);
	for (uint32_t i = 0; i < s->spares; i++)
		ps_memory_free(s->memory, s->spare[i], s->range);
	ps_memory_free(s->memory, s, sizeof(*s));
}
