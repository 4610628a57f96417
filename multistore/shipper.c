#include "multistore/shipper.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/thread.h"
#include "multistore/push_internal.h"
#include "remote/backoff.h"

enum { RETRY_FIRST_MS = 250, RETRY_MOST_MS = 30000, SENTENCE = 512 };

struct ps_shipper {
	struct ps_log *log;
	struct ps_clock *clock;
	uint64_t every_ns;
	void (*wants_push)(void *arg);
	void *wants_arg;
	struct ps_backoff backoff;
	bool has_thread;
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below; a leaf below the store's own, but for the log's */
	pthread_cond_t changed;
	bool stops, ships;
	unsigned pauses, waiters;
	uint64_t waits_until;   /* the thread does; 0: it is awake */
	uint64_t commit, bytes; /* the last one; of contents so far */
	uint64_t pushed;        /* the last one that was, when the store was opened */
	uint64_t bytes_before;  /* of them shipped */
	uint64_t dirty_since,
	    dirty_next; /* when the first commit that is not shipped was made; the first behind the beginning
	                   of the shipment that is under way. 0: there is none */
	bool away;      /* a commit was waited for in vain, and nothing was shipped since */
	uint32_t failures;
	uint64_t retry_at;
	int error;
	char sentence[SENTENCE];
};

/* ---- when ---- */

/* The last commit that is shipped, or pushed. A log that nobody has looked at has nothing to say of a store
 * that was whole on the network when it was opened. */
static uint64_t shipped_to(const struct ps_shipper *sh, struct ps_log_figures *log)
{
	ps_log_figures(sh->log, log);
	if (log->commit < sh->pushed)
		log->commit = sh->pushed;
	return log->commit;
}

/* Under lock. A log that waits for a push is woken by that. */
static uint64_t due(const struct ps_shipper *sh)
{
	struct ps_log_figures log;
	if (sh->dirty_since == 0 || sh->pauses || push_is_final(sh->error))
		return PS_NEVER;
	ps_log_figures(sh->log, &log);
	if (log.phase == PS_LOG_WAITS || log.phase == PS_LOG_ENDED)
		return PS_NEVER;
	uint64_t at = sh->waiters ? 0 : sh->dirty_since + sh->every_ns;
	return at < sh->retry_at ? sh->retry_at : at;
}

static void wake(struct ps_shipper *sh)
{
	ps_clock_wake(sh->clock, &sh->changed);
}

void ps_shipper_committed(struct ps_shipper *sh, uint64_t commit, uint64_t bytes)
{
	pthread_mutex_lock(&sh->lock);
	sh->commit = commit;
	sh->bytes += bytes;
	if (sh->dirty_since == 0)
		sh->dirty_since = ps_clock_now(sh->clock);
	if (sh->ships && sh->dirty_next == 0)
		sh->dirty_next = ps_clock_now(sh->clock);
	if (sh->waits_until > 0 && due(sh) < sh->waits_until)
		wake(sh);
	pthread_mutex_unlock(&sh->lock);
}

/* Under lock: what the log has by now is not to be shipped any more. */
static void take_figures(struct ps_shipper *sh, uint64_t bytes)
{
	struct ps_log_figures log;
	if (shipped_to(sh, &log) >= sh->commit) {
		sh->bytes_before = sh->bytes;
		sh->dirty_since = 0;
	} else if (bytes > 0) {
		sh->bytes_before = bytes;
		sh->dirty_since = sh->dirty_next ? sh->dirty_next : sh->dirty_since;
	}
}

/* Under lock: the network was there, or somebody says that it may be. */
static void forget_failures(struct ps_shipper *sh)
{
	sh->away = false;
	sh->failures = 0;
	sh->retry_at = 0;
	sh->error = PS_OK;
	sh->sentence[0] = 0;
}

void ps_shipper_pushed(struct ps_shipper *sh)
{
	pthread_mutex_lock(&sh->lock);
	take_figures(sh, 0);
	forget_failures(sh);
	wake(sh);
	pthread_mutex_unlock(&sh->lock);
}

void ps_shipper_try_again(struct ps_shipper *sh)
{
	pthread_mutex_lock(&sh->lock);
	forget_failures(sh);
	wake(sh);
	pthread_mutex_unlock(&sh->lock);
}

/* Nothing is shipped: until a push, or for ever. */
static bool stands(struct ps_shipper *sh)
{
	struct ps_log_figures log;
	ps_log_figures(sh->log, &log);
	return log.phase != PS_LOG_ON;
}

void ps_shipper_push_failed(struct ps_shipper *sh, int err)
{
	pthread_mutex_lock(&sh->lock);
	if (stands(sh)) {
		sh->error = err;
		snprintf(sh->sentence, sizeof(sh->sentence), "%s", ps_last_error_message());
		wake(sh);
	}
	pthread_mutex_unlock(&sh->lock);
}

/* ---- the thread ---- */

static int canceled(void *arg, const struct ps_remote_progress *progress)
{
	struct ps_shipper *sh = arg;
	(void)progress;
	pthread_mutex_lock(&sh->lock);
	bool unwanted = sh->stops || sh->pauses > 0;
	pthread_mutex_unlock(&sh->lock);
	return unwanted;
}

/* Under lock. A push that the log waits for is no failure of the network's. */
static void note_failure(struct ps_shipper *sh, int err)
{
	if (err == PS_ECANCELED)
		return;
	sh->failures++;
	sh->error = err;
	sh->retry_at = ps_clock_now(sh->clock) + ps_backoff_delay_ns(&sh->backoff, sh->failures);
	snprintf(sh->sentence, sizeof(sh->sentence), "%s", ps_last_error_message());
}

/* Under lock, which is let go meanwhile. */
static void ship(struct ps_shipper *sh)
{
	uint64_t bytes = sh->bytes;
	sh->ships = true;
	sh->dirty_next = 0;
	pthread_mutex_unlock(&sh->lock);
	int err = ps_log_ship(sh->log, canceled, sh);
	pthread_mutex_lock(&sh->lock);
	if (!err) {
		take_figures(sh, bytes);
		forget_failures(sh);
	} else {
		note_failure(sh, err);
	}
	if (err && sh->wants_push && stands(sh)) {
		pthread_mutex_unlock(&sh->lock);
		sh->wants_push(sh->wants_arg);
		pthread_mutex_lock(&sh->lock);
	}
	sh->ships = false;
	wake(sh);
}

static void *work(void *arg)
{
	struct ps_shipper *sh = arg;
	pthread_mutex_lock(&sh->lock);
	while (!sh->stops) {
		uint64_t at = due(sh);
		if (at <= ps_clock_now(sh->clock)) {
			ship(sh);
			continue;
		}
		sh->waits_until = at;
		ps_clock_wait(sh->clock, &sh->changed, &sh->lock, at);
		sh->waits_until = 0;
	}
	pthread_mutex_unlock(&sh->lock);
	return NULL;
}

/* ---- life ---- */

int ps_shipper_new(const struct ps_shipper_setup *setup, struct ps_shipper **shipper)
{
	struct ps_shipper *sh = calloc(1, sizeof(*sh));
	if (!sh)
		return ps_fail(PS_ENOMEM, "no memory for shipping a log");
	sh->clock = setup->log.clock;
	sh->every_ns = setup->every_ns;
	sh->wants_push = setup->wants_push;
	sh->wants_arg = setup->arg;
	ps_backoff_init(&sh->backoff, RETRY_FIRST_MS, RETRY_MOST_MS, setup->seed);
	int err = ps_clock_cond_init(&sh->changed);
	if (!err)
		err = ps_log_new(&setup->log, &sh->log);
	if (err) {
		free(sh);
		return err;
	}
	pthread_mutex_init(&sh->lock, NULL);
	ps_log_enter(sh->log);
	*shipper = sh;
	return PS_OK;
}

int ps_shipper_start(struct ps_shipper *sh, uint64_t commit, uint64_t pushed)
{
	pthread_mutex_lock(&sh->lock);
	sh->commit = commit > sh->commit ? commit : sh->commit;
	sh->pushed = pushed;
	if (sh->dirty_since == 0 && sh->commit > pushed)
		sh->dirty_since = ps_clock_now(sh->clock);
	pthread_mutex_unlock(&sh->lock);
	int failed = ps_thread_start(&sh->thread, work, sh);
	sh->has_thread = failed == 0;
	return failed ? ps_fail_errno(failed, "the thread that ships the log cannot be started") : PS_OK;
}

void ps_shipper_pause(struct ps_shipper *sh)
{
	pthread_mutex_lock(&sh->lock);
	sh->pauses++;
	while (sh->ships)
		ps_clock_wait(sh->clock, &sh->changed, &sh->lock, PS_NEVER);
	pthread_mutex_unlock(&sh->lock);
}

void ps_shipper_resume(struct ps_shipper *sh)
{
	pthread_mutex_lock(&sh->lock);
	sh->pauses--;
	wake(sh);
	pthread_mutex_unlock(&sh->lock);
}

/* Who waits for what will not be shipped any more goes, before what it looks at does. */
static void await_leaving(struct ps_shipper *sh)
{
	pthread_mutex_lock(&sh->lock);
	while (sh->waiters > 0)
		ps_clock_wait(sh->clock, &sh->changed, &sh->lock, PS_NEVER);
	pthread_mutex_unlock(&sh->lock);
}

void ps_shipper_free(struct ps_shipper *sh)
{
	if (!sh)
		return;
	pthread_mutex_lock(&sh->lock);
	sh->stops = true;
	wake(sh);
	pthread_mutex_unlock(&sh->lock);
	if (sh->has_thread)
		pthread_join(sh->thread, NULL);
	await_leaving(sh);
	ps_log_free(sh->log);
	pthread_cond_destroy(&sh->changed);
	pthread_mutex_destroy(&sh->lock);
	free(sh);
}

/* ---- who waits ---- */

static bool has_shipped(struct ps_shipper *sh, uint64_t commit)
{
	struct ps_log_figures log;
	return shipped_to(sh, &log) >= commit;
}

/* Under lock. PS_ETIMEDOUT, without a sentence: until `until`. What no time heals ends it, and so does the
 * end of the store. */
static int wait_until(struct ps_shipper *sh, uint64_t commit, uint64_t until)
{
	int err = PS_OK;
	sh->waiters++;
	wake(sh);
	while (!err && !has_shipped(sh, commit)) {
		if (sh->stops)
			err = PS_ECLOSED;
		else if (push_is_final(sh->error) && !sh->ships)
			err = sh->error;
		else if (ps_clock_now(sh->clock) >= until)
			err = PS_ETIMEDOUT;
		else
			ps_clock_wait(sh->clock, &sh->changed, &sh->lock, until);
	}
	sh->waiters--;
	if (sh->stops && sh->waiters == 0)
		wake(sh);
	return err;
}

/* Under lock. One try at least is waited for. */
static int wait_for(struct ps_shipper *sh, uint64_t commit, uint64_t until)
{
	int err = wait_until(sh, commit, until);
	if (err == PS_ECLOSED)
		return ps_fail(PS_EUNAVAILABLE, "commit %llu is not shipped: the store was closed",
		               (unsigned long long)commit);
	if (err == PS_ETIMEDOUT)
		return ps_fail(sh->error == PS_EUNAVAILABLE ? PS_EUNAVAILABLE : PS_ETIMEDOUT,
		               "commit %llu is not shipped yet%s%s", (unsigned long long)commit,
		               sh->error ? ": " : "", sh->sentence);
	return err ? ps_fail(err, "%s", sh->sentence) : PS_OK;
}

int ps_shipper_wait(struct ps_shipper *sh, uint32_t timeout_ms)
{
	pthread_mutex_lock(&sh->lock);
	int err = wait_for(sh, sh->commit, ps_clock_now(sh->clock) + timeout_ms * PS_MS_NS);
	pthread_mutex_unlock(&sh->lock);
	return err;
}

/* Under lock. */
static int await_failed(const struct ps_shipper *sh, uint64_t commit, int err)
{
	unsigned long long number = commit;
	if (err == PS_ECLOSED)
		return ps_fail(
		    PS_EUNAVAILABLE,
		    "commit %llu stands in the file, and was not shipped before the store was closed",
		    number);
	if (push_is_final(err))
		return ps_fail(err, "commit %llu stands in the file, and is not shipped: %s", number,
		               sh->sentence);
	return ps_fail(PS_EUNAVAILABLE, "commit %llu stands in the file, and is shipped later: %s", number,
	               sh->sentence[0] ? sh->sentence : "the network has not answered in time");
}

int ps_shipper_await(struct ps_shipper *sh, uint64_t commit, uint32_t timeout_ms)
{
	pthread_mutex_lock(&sh->lock);
	/* A sync is behind commits, too, that only moved something: nobody ships those. */
	commit = commit < sh->commit ? commit : sh->commit;
	uint64_t until = sh->away ? 0 : ps_clock_now(sh->clock) + timeout_ms * PS_MS_NS;
	int err = wait_until(sh, commit, until);
	sh->away |= err == PS_ETIMEDOUT;
	if (err)
		err = await_failed(sh, commit, err);
	pthread_mutex_unlock(&sh->lock);
	return err;
}

void ps_shipper_status(struct ps_shipper *sh, struct ps_shipper_status *status)
{
	pthread_mutex_lock(&sh->lock);
	*status =
	    (struct ps_shipper_status){.failures = sh->failures, .error = sh->error, .waiters = sh->waiters};
	uint64_t now = ps_clock_now(sh->clock);
	if (sh->commit > shipped_to(sh, &status->log)) {
		status->commits = sh->commit - status->log.commit;
		status->bytes = sh->bytes - sh->bytes_before;
		status->lag_ns = sh->dirty_since && now > sh->dirty_since ? now - sh->dirty_since : 0;
	}
	memcpy(status->message, sh->sentence, sizeof(status->message));
	pthread_mutex_unlock(&sh->lock);
}
