#include "multistore/push_backing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "multistore/push_internal.h"
#include "multistore/state_lookup.h"

enum { SENTENCE = 512 };

struct ps_push_backing {
	ps_storer *s;
	ps_remote *r; /* or NULL, until it is opened */
	struct ps_memory memory;
	struct ps_push_backing_options options;
	pthread_mutex_t
	    opening; /* one opens the remote, or reads the manifest; outside of the lookup's locks */
	ps_state_lookup *_Atomic lookup; /* once it is there it stays */
	atomic_bool stopped;
	atomic_bool pushed; /* by this process: the newest state is this file's */
};

/* ---- fetching ---- */

static int stopped(void)
{
	return ps_fail(PS_EUNAVAILABLE, "the store is being closed");
}

/* Under `opening`. */
static int open_remote(struct ps_push_backing *b)
{
	return b->r ? PS_OK : b->options.open(b->options.arg, &b->r);
}

/* The first who wants something reads the manifest; a failure is that call's own, and the next one tries
 * again. */
static int open_lookup(struct ps_push_backing *b, ps_state_lookup **lookup)
{
	const struct ps_state_lookup_options options = {.cache_bytes = b->options.cache_bytes,
	                                                .unwanted = b->options.unwanted,
	                                                .manifest = b->options.manifest};
	*lookup = atomic_load(&b->lookup);
	if (*lookup)
		return PS_OK;
	pthread_mutex_lock(&b->opening);
	*lookup = atomic_load(&b->lookup);
	int err = atomic_load(&b->stopped) ? stopped() : PS_OK;
	if (!err && !*lookup)
		err = open_remote(b);
	if (!err && !*lookup) {
		err = ps_state_lookup_open(&b->memory, b->r, &options, lookup);
		if (!err)
			atomic_store(&b->lookup, *lookup);
		if (!err && b->options.manifest)
			ps_push_manifest_done(b->options.manifest);
		if (!err && atomic_load(&b->stopped)) /* it may not have been seen there */
			ps_state_lookup_stop(*lookup, true);
	}
	pthread_mutex_unlock(&b->opening);
	return err;
}

/* ---- confirming ---- */

int ps_push_backing_pushed(struct ps_push_backing *b, uint64_t state)
{
	int err = ps_backing_confirm(b->s, state);
	if (!err)
		atomic_store(&b->pushed, true);
	return err;
}

/* newest: NULL, where a manifest names no state. */
static int confirm_state(struct ps_push_backing *b, const struct ps_push_note *note,
                         const struct ps_push_manifest_state *newest, uint64_t *number)
{
	if (!newest)
		return ps_fail(PS_ENOTFOUND, "no state was pushed here");
	*number = newest->info.here.interval;
	if (ps_push_note_has(note, newest->mark))
		return ps_push_backing_pushed(b, *number);
	return ps_fail(PS_EFORK,
	               "state %llu is the newest, and was not pushed from this file as it is here: nothing "
	               "of it may leave",
	               (unsigned long long)*number);
}

/* The newest state is of this file: its last push, or an attempt of which it did not hear the end. */
static int confirm_newest(struct ps_push_backing *b, uint64_t *number)
{
	struct ps_push_manifest m;
	struct ps_push_note note;
	ps_push_manifest_init(&m, &b->memory);
	int err = ps_push_note_get(b->s, &note);
	pthread_mutex_lock(&b->opening);
	if (!err)
		err = open_remote(b);
	pthread_mutex_unlock(&b->opening);
	if (!err)
		err = push_read_manifest(b->r, PS_PUSH_MANIFEST_KEY, &m);
	if (!err)
		err = confirm_state(b, &note, ps_push_manifest_newest(&m), number);
	ps_push_manifest_done(&m);
	return err;
}

/* ---- what is away ---- */

/* To a reader of the store an object that is away is there: that it cannot be found is a loss. */
static int told(ps_id id, uint64_t interval, int err)
{
	char sentence[SENTENCE];
	int code = err == PS_ENOTFOUND   ? PS_ELOST
	           : err == PS_ERANGE    ? PS_ECORRUPT
	           : err == PS_ECANCELED ? PS_EUNAVAILABLE
	                                 : err;
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	return ps_fail(code, "object 0x%llx of interval %llu is away: %s", (unsigned long long)id,
	               (unsigned long long)interval, sentence);
}

/* Where nothing but what was there then will do, and no state has it any more: a push of this very store may
 * have replaced that, and not be through here. What is not in the file is in its state as it was. */
static int read_pushed(struct ps_push_backing *b, ps_state_lookup *l, ps_id id, uint64_t offset, void *buf,
                       size_t len)
{
	char sentence[SENTENCE];
	uint64_t number;
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	if (confirm_newest(b, &number) != PS_OK)
		return ps_fail(PS_ESUPERSEDED, "%s", sentence);
	return ps_state_lookup_read(l, id, number, offset, buf, len);
}

/* Of a kept state nothing else will do than what it had. */
static int of_state(const struct ps_push_backing *b, int err)
{
	char sentence[SENTENCE];
	if (err != PS_ESUPERSEDED || !b->options.state)
		return err;
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	return ps_fail(err, "state %llu is not kept any more, and this was changed after it: %s",
	               (unsigned long long)b->options.state, sentence);
}

/* Where no state has it as it was then, a later push has it with what was changed since: the part that is
 * wanted is mostly the same, and if not, the store finds out by its checksum, where it has one. */
static int fetch_later(struct ps_push_backing *b, ps_state_lookup *l, ps_id id, bool exact, uint64_t offset,
                       void *buf, size_t len)
{
	if (b->options.state)
		return of_state(b, PS_ESUPERSEDED);
	return exact ? read_pushed(b, l, id, offset, buf, len)
	             : ps_state_lookup_read(l, id, UINT64_MAX, offset, buf, len);
}

static int fetch(void *arg, ps_id id, uint64_t interval, bool exact, uint64_t offset, void *buf, size_t len)
{
	struct ps_push_backing *b = arg;
	ps_state_lookup *l;
	int err = atomic_load(&b->stopped) ? stopped() : open_lookup(b, &l);
	if (!err) {
		err = ps_state_lookup_read(l, id, interval, offset, buf, len);
		if (err == PS_ESUPERSEDED)
			err = fetch_later(b, l, id, exact, offset, buf, len);
	}
	if (err)
		return told(id, interval, err);
	if (b->options.fetched)
		b->options.fetched(b->options.arg, len);
	return PS_OK;
}

/* What a slot has that is unknown in the file. */
static int tell(void *arg, uint64_t slot, uint64_t end, uint64_t interval, ps_backing_told_fn fn,
                void *fn_arg)
{
	struct ps_push_backing *b = arg;
	ps_state_lookup *l;
	int err = atomic_load(&b->stopped) ? stopped() : open_lookup(b, &l);
	if (!err)
		err = ps_state_lookup_tell(l, slot, end, interval, fn, fn_arg);
	return err == PS_ECANCELED ? stopped() : of_state(b, err);
}

/* Where that is not possible, the reads say why. */
static size_t want(void *arg, const struct ps_backing_want *wants, size_t count)
{
	struct ps_push_backing *b = arg;
	ps_state_lookup *l;
	if (atomic_load(&b->stopped) || open_lookup(b, &l) != PS_OK)
		return count;
	return ps_state_lookup_want(l, wants, count);
}

/* ---- leaving ---- */

/* Evicts, and counts what is there then; *missed: by so much the goal was, beyond what cannot leave. */
static int evict_and_count(struct ps_push_backing *b, uint64_t asked, uint64_t goal, ps_progress_fn fn,
                           void *arg, struct ps_push_evicted *evicted, uint64_t *missed)
{
	struct ps_backing_figures f;
	uint64_t freed = 0;
	int err = ps_backing_evict(b->s, asked, fn, arg, &freed);
	evicted->freed += freed;
	if (!err)
		err = ps_backing_figures(b->s, &f);
	if (err)
		return err;
	evicted->dirty = f.local_bytes > goal && f.dirty_bytes > 0;
	*missed = f.local_bytes > goal + f.dirty_bytes ? f.local_bytes - goal : 0;
	return PS_OK;
}

/* The store estimates what is in its file. What that is wrong by is the same at the second time, which is
 * asked for as much less; what comes into the file meanwhile is for the next eviction. */
static int evict_to(struct ps_push_backing *b, uint64_t goal, ps_progress_fn fn, void *arg,
                    struct ps_push_evicted *evicted)
{
	uint64_t missed;
	int err = evict_and_count(b, goal, goal, fn, arg, evicted, &missed);
	if (err || missed == 0 || goal == 0)
		return err;
	return evict_and_count(b, goal > missed ? goal - missed : 0, goal, fn, arg, evicted, &missed);
}

int ps_push_backing_evict(struct ps_push_backing *b, uint64_t goal, ps_progress_fn fn, void *arg,
                          struct ps_push_evicted *evicted)
{
	*evicted = (struct ps_push_evicted){0};
	uint64_t number;
	int err = atomic_load(&b->pushed) || b->options.state ? PS_OK : confirm_newest(b, &number);
	return err ? err : evict_to(b, goal, fn, arg, evicted);
}

/* ---- life ---- */

/* What the file has noted is on the network whether it can be asked now or not. A note of a state that is
 * ahead of the file is an older file's: what it says is not confirmed, and the next push tells. */
static int confirm_noted(struct ps_push_backing *b)
{
	struct ps_push_note note;
	if (b->options.state)
		return ps_backing_confirm(b->s, b->options.state);
	int err = ps_push_note_get(b->s, &note);
	if (!err && note.number > 0)
		err = ps_backing_confirm(b->s, note.number);
	return err == PS_EINVAL ? PS_OK : err;
}

int ps_push_backing_open(ps_storer *s, ps_remote *r, const struct ps_push_backing_options *options,
                         struct ps_push_backing **backing)
{
	/* Not counted memory: it lives as long as the handle. */
	struct ps_push_backing *b = calloc(1, sizeof(*b));
	if (!b || pthread_mutex_init(&b->opening, NULL)) {
		free(b);
		return ps_fail(PS_ENOMEM, "no memory for what a store is backed by");
	}
	ps_memory_init(&b->memory, NULL);
	b->s = s;
	b->r = r;
	if (options)
		b->options = *options;
	const struct ps_backing calls = {.arg = b, .fetch = fetch, .tell = tell, .want = want};
	int err = confirm_noted(b);
	if (!err)
		err = ps_backing_attach(s, &calls);
	if (err)
		ps_push_backing_free(b, true);
	else
		*backing = b;
	return err;
}

void ps_push_backing_stop(struct ps_push_backing *b)
{
	atomic_store(&b->stopped, true);
	ps_state_lookup *l = atomic_load(&b->lookup);
	if (l)
		ps_state_lookup_stop(l, true);
}

void ps_push_backing_go_on(struct ps_push_backing *b)
{
	ps_state_lookup *l = atomic_load(&b->lookup);
	if (l)
		ps_state_lookup_stop(l, false);
	atomic_store(&b->stopped, false);
}

void ps_push_backing_free(struct ps_push_backing *b, bool closed)
{
	if (!b)
		return;
	ps_push_backing_stop(b);
	if (!closed && ps_backing_attach(b->s, NULL) != PS_OK)
		return; /* it may still be called: rather lost than freed under its user */
	ps_state_lookup_free(atomic_load(&b->lookup));
	(void)pthread_mutex_destroy(&b->opening);
	ps_memory_done(&b->memory);
	free(b);
}
