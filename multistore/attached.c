/* The thread of an attachment, and what it knows of commits and pushes. */
#include "multistore/attached_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/thread.h"
#include "multistore/push_internal.h"
#include "store/await.h"

/* ---- when ---- */

uint64_t attached_due(const struct ps_attached *a)
{
	uint64_t due = PS_NEVER;
	if (a->dirty_since == 0 || a->stopped)
		return PS_NEVER;
	if (a->push_ns)
		due = a->dirty_since + a->push_ns;
	if (a->push_bytes && a->bytes - a->bytes_before >= a->push_bytes)
		due = 0;
	if (attached_wants_room(a) || a->log_stands)
		due = 0;
	return due < a->retry_at ? a->retry_at : due;
}

/* Under lock. */
static void wake(struct ps_attached *a)
{
	ps_clock_wake(a->clock, &a->changed);
}

/* Under store.lock: a moment in which nobody else commits. */
static void committed(void *arg, uint64_t commit, uint64_t bytes)
{
	struct ps_attached *a = arg;
	pthread_mutex_lock(&a->lock);
	a->commit = commit;
	a->bytes += bytes;
	a->grown += bytes;
	if (a->dirty_since == 0)
		a->dirty_since = ps_clock_now(a->clock);
	if (a->pusher != PUSHER_NONE && a->dirty_next == 0)
		a->dirty_next = ps_clock_now(a->clock);
	if (attached_due(a) < a->waits_until)
		wake(a);
	pthread_mutex_unlock(&a->lock);
	if (a->shipper)
		ps_shipper_committed(a->shipper, commit, bytes);
}

/* By the shipper's thread. A log that has no beginning is due a push at once: until then all would be lost
 * with the machine. One that waits because more was changed than it takes is not, unless commits wait for it.
 */
static void log_stands(void *arg)
{
	struct ps_attached *a = arg;
	pthread_mutex_lock(&a->lock);
	a->log_stands = a->awaits_log || a->state == 0;
	wake(a);
	pthread_mutex_unlock(&a->lock);
}

static int await_shipped(void *arg, uint64_t commit)
{
	struct ps_attached *a = arg;
	return ps_shipper_await(a->shipper, commit, a->log_wait_ms);
}

static void durable(void *arg, uint64_t commit)
{
	struct ps_attached *a = arg;
	if (a->awaits_log && a->shipper)
		ps_await(await_shipped, a, commit);
}

/* ---- a push ---- */

int attached_unwanted(void *arg, const struct ps_progress *progress)
{
	struct ps_attached *a = arg;
	(void)progress;
	pthread_mutex_lock(&a->lock);
	bool wanted = !a->stops && a->pauses == 0;
	pthread_mutex_unlock(&a->lock);
	return !wanted;
}

/* A push of the background that nobody wants any more was given up, whatever it failed of. */
static int unless_given_up(struct ps_attached *a, int err)
{
	if (!err)
		return PS_OK;
	pthread_mutex_lock(&a->lock);
	bool given_up = a->pusher == PUSHER_THREAD && (a->stops || a->pauses > 0);
	pthread_mutex_unlock(&a->lock);
	return given_up ? PS_ECANCELED : err;
}

/* Under lock. */
static void note_success(struct ps_attached *a, const struct ps_push_result *result, uint64_t bytes)
{
	bool clean = result->commit >= a->commit;
	a->state = result->state;
	a->pushed_commit = result->commit;
	a->pushed_ns = ps_wall_ns();
	a->pushed_bytes = result->sent_bytes;
	a->bytes_before = clean ? a->bytes : bytes;
	a->dirty_since = clean ? 0 : a->dirty_next;
	a->lag_before_ns = 0;
	a->failures = 0;
	a->retry_at = 0;
	a->stopped = false;
	a->log_stands = false;
	a->error = PS_OK;
	a->sentence[0] = 0;
}

/* Under lock. Seconds, doubled up to five minutes: somebody has to see to a network that is away for longer.
 */
static void note_failure(struct ps_attached *a, int err)
{
	a->failures++;
	a->error = err;
	a->stopped = push_is_final(err);
	a->retry_at = ps_clock_now(a->clock) + ps_backoff_delay_ns(&a->backoff, a->failures);
	snprintf(a->sentence, sizeof(a->sentence), "%s", ps_last_error_message());
}

int attached_push(struct ps_attached *a, const struct ps_push_options *options, struct ps_push_result *result)
{
	struct ps_push_result told = {0};
	pthread_mutex_lock(&a->lock);
	uint64_t bytes = a->bytes;
	a->dirty_next = 0;
	pthread_mutex_unlock(&a->lock);
	int err = push_store(a->s, a->r, PUSH_CHANGES, options, &told);
	if (!err && a->backing)
		err = ps_push_backing_pushed(a->backing, told.state);
	err = unless_given_up(a, err);
	pthread_mutex_lock(&a->lock);
	if (!err)
		note_success(a, &told, bytes);
	else if (err != PS_ECANCELED)
		note_failure(a, err);
	pthread_mutex_unlock(&a->lock);
	if (!err && a->shipper)
		ps_shipper_pushed(a->shipper);
	else if (err != PS_ECANCELED && a->shipper)
		ps_shipper_push_failed(a->shipper, err);
	if (!err && result)
		*result = told;
	return err;
}

/* ---- the thread ---- */

static void tell(struct ps_attached *a, int err, const struct ps_push_result *result)
{
	struct ps_multi_event event = {.kind = PS_MULTI_PUSHED, .error = err, .message = "", .push = result};
	char sentence[ATTACHED_SENTENCE];
	if (!a->event || err == PS_ECANCELED)
		return;
	if (err) {
		uint64_t now = ps_clock_now(a->clock);
		pthread_mutex_lock(&a->lock);
		event.kind = a->stopped ? PS_MULTI_PUSH_STOPPED : PS_MULTI_PUSH_FAILED;
		event.failures = a->failures;
		event.retry_ns = !a->stopped && a->retry_at > now ? a->retry_at - now : 0;
		memcpy(sentence, a->sentence, sizeof(sentence));
		pthread_mutex_unlock(&a->lock);
		event.message = sentence;
		event.push = NULL;
	}
	a->event(a->event_arg, &event);
}

static void push_in_background(struct ps_attached *a)
{
	struct ps_push_options options = a->push;
	struct ps_push_result result = {0};
	options.progress = attached_unwanted;
	options.progress_arg = a;
	int err = attached_push(a, &options, &result);
	tell(a, err, &result);
}

/* True: something is due, and this thread is the pusher. *push: that is. Under lock. */
static bool wait_until_due(struct ps_attached *a, bool *push)
{
	while (!a->stops) {
		bool rests = a->pauses || a->pusher;
		uint64_t now = ps_clock_now(a->clock), due = rests ? PS_NEVER : attached_due(a);
		*push = due <= now;
		if (!rests)
			due = ps_earlier(due, attached_evict_due(a));
		if (due <= now)
			return true;
		a->waits_until = due;
		ps_clock_wait(a->clock, &a->changed, &a->lock, due);
		a->waits_until = 0;
	}
	return false;
}

static void *work(void *arg)
{
	struct ps_attached *a = arg;
	bool push;
	pthread_mutex_lock(&a->lock);
	while (wait_until_due(a, &push)) {
		a->pusher = PUSHER_THREAD;
		pthread_mutex_unlock(&a->lock);
		if (push)
			push_in_background(a);
		pthread_mutex_lock(&a->lock);
		bool evict = attached_evict_due(a) <= ps_clock_now(a->clock);
		pthread_mutex_unlock(&a->lock);
		if (evict)
			attached_evict(a);
		pthread_mutex_lock(&a->lock);
		a->pusher = PUSHER_NONE;
		wake(a);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static int start_thread(struct ps_attached *a)
{
	int failed = ps_thread_start(&a->thread, work, a);
	a->has_thread = failed == 0;
	return failed ? ps_fail_errno(failed, "the thread of background pushes cannot be started") : PS_OK;
}

/* ---- beginning and end ---- */

static uint64_t not_below(uint64_t value, uint64_t least)
{
	return value > least ? value : least;
}

/* What the file knows of pushes before this process. */
static int take_note(struct ps_attached *a)
{
	struct ps_push_note note;
	struct ps_stats stats;
	int err = ps_push_note_get(a->s, &note);
	if (!err)
		err = ps_stats(a->s, &stats);
	if (err)
		return err;
	pthread_mutex_lock(&a->lock);
	a->state = note.number;
	a->pushed_commit = note.commit;
	a->pushed_ns = note.pushed_ns;
	a->pushed_bytes = note.pushed_bytes;
	a->commit = not_below(a->commit, stats.last_commit);
	if (a->dirty_since == 0 && a->commit > note.commit) {
		uint64_t now = ps_wall_ns();
		a->dirty_since = ps_clock_now(a->clock);
		a->lag_before_ns = note.pushed_ns && now > note.pushed_ns ? now - note.pushed_ns : 0;
	}
	pthread_mutex_unlock(&a->lock);
	return PS_OK;
}

/* What cannot be cut beside its callers ships no log. */
static int make_shipper(struct ps_attached *a, ps_storer *s)
{
	if (a->shipping.every_ns == 0 || (ps_caps(s) & PS_CAP_READONLY) || !(ps_caps(s) & PS_CAP_THREADS))
		return PS_OK;
	a->shipping.log.s = s;
	a->shipping.log.r = a->r;
	a->shipping.log.clock = a->clock;
	if (a->awaits_log || a->push_ns || a->push_bytes) {
		a->shipping.wants_push = log_stands;
		a->shipping.arg = a;
	}
	return ps_shipper_new(&a->shipping, &a->shipper);
}

static int start_shipper(struct ps_attached *a)
{
	pthread_mutex_lock(&a->lock);
	uint64_t commit = a->commit, pushed = a->pushed_commit;
	pthread_mutex_unlock(&a->lock);
	return ps_shipper_start(a->shipper, commit, pushed);
}

/* No commit is told, and no thread is left that uses the store, which its caller frees. The sentence stays
 * that of err.
 */
static int give_up(struct ps_attached *a, int err)
{
	char sentence[ATTACHED_SENTENCE];
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	(void)!ps_watch_commits(a->s, NULL);
	ps_shipper_free(a->shipper);
	a->shipper = NULL;
	ps_push_backing_free(a->backing, false);
	a->backing = NULL;
	return ps_fail(err, "%s", sentence);
}

/* Of a store that is a kept state nothing is pushed, so nobody has to hear of what it writes down. */
static int start_reading(struct ps_attached *a)
{
	a->state = a->of_state;
	int err = attached_back(a);
	if (!err && a->local_bytes)
		err = start_thread(a);
	return err ? give_up(a, err) : PS_OK;
}

int ps_attached_start(struct ps_attached *a, ps_storer *s)
{
	bool pushes = (a->push_ns || a->push_bytes || a->local_bytes || a->awaits_log) &&
	              !(ps_caps(s) & PS_CAP_READONLY);
	a->s = s;
	if (a->of_state)
		return start_reading(a);
	if (pushes && !(ps_caps(s) & PS_CAP_THREADS))
		return ps_fail(PS_ENOTSUP, "background pushes: the store below is for one thread");
	a->watch = (struct ps_commit_watch){.committed = committed, .durable = durable, .arg = a};
	int err = make_shipper(a, s);
	if (!err)
		err = ps_watch_commits(s, &a->watch);
	if (err)
		return err;
	err = take_note(a);
	if (!err)
		err = attached_back(a);
	if (!err && a->shipper)
		err = start_shipper(a);
	if (!err && pushes)
		err = start_thread(a);
	return err ? give_up(a, err) : PS_OK;
}

static void want_pause(struct ps_attached *a)
{
	pthread_mutex_lock(&a->lock);
	a->pauses++;
	pthread_mutex_unlock(&a->lock);
}

static void wait_for_pusher(struct ps_attached *a)
{
	pthread_mutex_lock(&a->lock);
	while (a->pusher == PUSHER_THREAD)
		ps_clock_wait(a->clock, &a->changed, &a->lock, PS_NEVER);
	pthread_mutex_unlock(&a->lock);
}

void ps_attached_pause(struct ps_attached *a)
{
	want_pause(a);
	wait_for_pusher(a);
}

/* A push that fetches what is away fails as fetching stops: by then it knows that it is not wanted. */
void ps_attached_pause_log(struct ps_attached *a)
{
	if (a->shipper)
		ps_shipper_pause(a->shipper);
}

void ps_attached_resume_log(struct ps_attached *a)
{
	if (a->shipper)
		ps_shipper_resume(a->shipper);
}

void ps_attached_begin_close(struct ps_attached *a)
{
	want_pause(a);
	if (a->backing)
		ps_push_backing_stop(a->backing);
	wait_for_pusher(a);
	ps_attached_pause_log(a);
}

void ps_attached_stay_open(struct ps_attached *a)
{
	ps_attached_resume_log(a);
	ps_attached_resume(a);
	if (a->backing)
		ps_push_backing_go_on(a->backing);
}

void ps_attached_resume(struct ps_attached *a)
{
	pthread_mutex_lock(&a->lock);
	a->pauses--;
	wake(a);
	pthread_mutex_unlock(&a->lock);
}

static bool become_pusher(struct ps_attached *a)
{
	pthread_mutex_lock(&a->lock);
	bool free = a->pusher == PUSHER_NONE;
	if (free)
		a->pusher = PUSHER_CALLER;
	pthread_mutex_unlock(&a->lock);
	return free;
}

/* Until the end: no push in the background, none by another caller. */
static int begin_call(struct ps_attached *a)
{
	ps_attached_pause(a);
	if (become_pusher(a))
		return PS_OK;
	ps_attached_resume(a);
	return ps_fail(PS_EBUSY, "a push of this store is under way");
}

static void end_call(struct ps_attached *a)
{
	pthread_mutex_lock(&a->lock);
	a->pusher = PUSHER_NONE;
	pthread_mutex_unlock(&a->lock);
	ps_attached_resume(a);
}

int ps_attached_push(struct ps_attached *a, const struct ps_push_options *options,
                     struct ps_push_result *result)
{
	int err = begin_call(a);
	if (err)
		return err;
	err = attached_push(a, options, result);
	end_call(a);
	return err;
}

/* What stopped background pushes may be over with it. */
int ps_attached_take_over(struct ps_attached *a, const struct ps_push_options *options)
{
	int err = begin_call(a);
	if (err)
		return err;
	err = push_store(a->s, a->r, PUSH_TAKE_OVER, options, NULL);
	pthread_mutex_lock(&a->lock);
	a->stopped = a->stopped && err;
	pthread_mutex_unlock(&a->lock);
	if (!err && a->shipper)
		ps_shipper_try_again(a->shipper);
	end_call(a);
	return err;
}
