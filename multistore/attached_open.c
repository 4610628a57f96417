/* An attachment's beginning: the remote, and a file that is made from what is on the network. */
#include "multistore/attached_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/options.h"
#include "multistore/push_internal.h"

enum {
	RETRY_FIRST_MS = 1000,
	RETRY_MOST_MS = 300000,
	LOG_MS = 1000,
	LOG_WAIT_MS = 10000,
	LOG_BYTES = 64 << 20,
	LOG_TOTAL_BYTES = 512 << 20
};

/* ---- options ---- */

static int take_remote_options(const struct ps_multi_options *o, struct ps_remote_options *remote)
{
	int err =
	    ps_options_take(remote, sizeof(*remote), o->remote_options, "multi options: remote_options");
	if (!err && o->store)
		remote->store = o->store;
	return err;
}

static int take_log_options(struct ps_attached *a, const struct ps_multi_options *o)
{
	if (o->log_ms < PS_LOG_EACH_COMMIT)
		return ps_fail(PS_EINVAL, "multi options: log_ms: there is no time %d", o->log_ms);
	uint64_t every_ms = o->log_ms > 0 ? (uint64_t)o->log_ms : LOG_MS;
	a->awaits_log = o->log_ms == PS_LOG_EACH_COMMIT;
	a->log_wait_ms = o->log_wait_ms ? o->log_wait_ms : LOG_WAIT_MS;
	a->shipping.every_ns = o->log_ms == PS_LOG_OFF ? 0 : every_ms * PS_MS_NS;
	a->shipping.log.group_bytes = o->log_bytes ? o->log_bytes : LOG_BYTES;
	a->shipping.log.total_bytes = o->log_total_bytes ? o->log_total_bytes : LOG_TOTAL_BYTES;
	a->shipping.log.level = 1;
	return PS_OK;
}

static int take_options(struct ps_attached *a, const struct ps_multi_options *o)
{
	int err = ps_options_take(&a->push, sizeof(a->push), o->push, "multi options: push");
	if (err)
		return err;
	a->push_ns = o->push_seconds * PS_SECOND_NS;
	a->push_bytes = o->push_bytes;
	a->local_bytes = o->local_bytes;
	a->cache_bytes = (size_t)o->cache_bytes;
	a->grown = o->local_bytes; /* how much there is shows when it is looked at, first of all */
	a->event = o->event;
	a->event_arg = o->event_arg;
	return take_log_options(a, o);
}

static int open_remote(struct ps_attached *a, const struct ps_multi_options *o)
{
	struct ps_remote_options options;
	a->r = o->remote;
	if (a->r)
		return o->network ? ps_fail(PS_EINVAL, "multi options: a network, and an open remote")
		                  : PS_OK;
	int err = take_remote_options(o, &options);
	if (!err)
		err = ps_remote_open(o->network, o->key, &options, &a->r);
	a->owns_remote = !err;
	return err;
}

/* ---- beginning and end ---- */

static uint64_t jitter_seed(const struct ps_attached_seams *seams)
{
	uint64_t seed = seams ? seams->seed : 0;
	if (seed == 0 && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)getpid(); /* it only spreads what would come at the same time */
	return seed;
}

static int init_sync(struct ps_attached *a)
{
	int err = ps_clock_cond_init(&a->changed);
	if (err)
		return err;
	if (pthread_mutex_init(&a->lock, NULL) == 0)
		return PS_OK;
	pthread_cond_destroy(&a->changed);
	return ps_fail(PS_ENOMEM, "no memory for an attachment");
}

int ps_attached_new(const struct ps_multi_options *options, const struct ps_attached_seams *seams,
                    struct ps_attached **out)
{
	/* Not counted memory: it lives as long as the handle. */
	struct ps_attached *a = calloc(1, sizeof(*a));
	if (!a)
		return ps_fail(PS_ENOMEM, "no memory for an attachment");
	ps_memory_init(&a->memory, NULL);
	ps_push_manifest_init(&a->made_of, &a->memory);
	a->clock = seams && seams->clock ? seams->clock : &ps_system_clock;
	uint64_t seed = jitter_seed(seams);
	ps_backoff_init(&a->backoff, RETRY_FIRST_MS, RETRY_MOST_MS, seed);
	a->shipping.seed = seed + 1;
	int err = init_sync(a);
	if (err) {
		ps_memory_done(&a->memory);
		free(a);
		return err;
	}
	err = take_options(a, options);
	if (!err)
		err = open_remote(a, options);
	if (err)
		return ps_attached_drop(a, err);
	*out = a;
	return PS_OK;
}

ps_remote *ps_attached_remote(const struct ps_attached *a)
{
	return a->r;
}

bool ps_attached_is_state(const struct ps_attached *a)
{
	return a->of_state != 0;
}

static void stop_thread(struct ps_attached *a)
{
	if (!a->has_thread)
		return;
	pthread_mutex_lock(&a->lock);
	a->stops = true;
	ps_clock_wake(a->clock, &a->changed);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
}

int ps_attached_free(struct ps_attached *a)
{
	int err = PS_OK;
	if (!a)
		return PS_OK;
	stop_thread(a);
	ps_shipper_free(a->shipper);
	ps_push_backing_free(a->backing, true);
	ps_push_manifest_done(&a->made_of);
	ps_memory_done(&a->memory);
	if (a->owns_remote)
		err = ps_remote_close(a->r);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	free(a);
	return err;
}

int ps_attached_drop(struct ps_attached *a, int err)
{
	char sentence[ATTACHED_SENTENCE];
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	(void)ps_attached_free(a);
	return ps_fail(err, "%s", sentence);
}

/* ---- a file ---- */

/* No file, or an empty one, which is taken away: nothing can be made over it. */
static int is_missing(const char *path, bool *missing)
{
	struct stat st;
	*missing = stat(path, &st) != 0 && errno == ENOENT;
	if (*missing || stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > 0)
		return PS_OK;
	*missing = true;
	return unlink(path) == 0 ? PS_OK
	                         : ps_fail_errno(errno, "%s: an empty file cannot be taken away", path);
}

static bool may_be_made(const struct ps_base_options *base)
{
	return !base || base->mode == PS_OPEN_DEFAULT || base->mode == PS_OPEN_CREATE_NEW;
}

/* A network that nothing was pushed to is that of a store that begins here. */
static int make_file(const char *path, const struct ps_base_options *base,
                     const struct ps_multi_options *options, struct ps_attached *a, bool *made)
{
	const struct ps_clone_options clone = {
	    .size = sizeof(clone), .base = base, .multi = options, .take_over = options->take_over, .lazy = !options->whole};
	bool missing;
	if (!a || !may_be_made(base))
		return PS_OK;
	if (base && base->use_fd)
		return ps_fail(PS_EINVAL,
		               "ps_multi_open_at: a descriptor, and a network to make the file from");
	int err = is_missing(path, &missing);
	if (err || !missing)
		return err;
	err = push_clone(a->r, path, &clone, NULL, &a->made_of);
	*made = err == PS_OK;
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static int open_base(const char *path, const struct ps_base_options *base, bool made, ps_storer **s)
{
	struct ps_base_options options = {.size = sizeof(options)};
	if (!made)
		return ps_base_open(path, base, s);
	if (base)
		memcpy(&options, base, base->size);
	options.mode = PS_OPEN_EXISTING;
	return ps_base_open(path, &options, s);
}

static int open_file(const char *path, const struct ps_base_options *base,
                     const struct ps_multi_options *options, struct ps_attached *a, ps_storer **s)
{
	ps_storer *inner;
	bool made = false;
	int err = make_file(path, base, options, a, &made);
	if (!err)
		err = open_base(path, base, made, &inner);
	if (err)
		return err;
	err = ps_multi_open_attached(inner, options, a, s);
	return err ? push_close_failed(inner, err) : PS_OK;
}

int ps_multi_open_file(const char *path, const struct ps_base_options *base,
                       const struct ps_multi_options *options, struct ps_attached *a, ps_storer **s)
{
	int err = open_file(path, base, options, a, s);
	return err ? ps_attached_drop(a, err) : PS_OK;
}

int ps_multi_open_at(const char *path, const struct ps_base_options *base,
                     const struct ps_multi_options *opts, ps_storer **s)
{
	struct ps_multi_options known;
	struct ps_attached *a = NULL;
	if (!path || !s)
		return ps_fail(PS_EINVAL, "ps_multi_open_at: no path, or no place for the store");
	int err = ps_options_take(&known, sizeof(known), opts, "multi options");
	if (!err && (known.network || known.remote))
		err = ps_attached_new(&known, NULL, &a);
	return err ? err : ps_multi_open_file(path, base, &known, a, s);
}

/* ---- status ---- */

static void tell_log(struct ps_shipper *shipper, struct ps_remote_status *status)
{
	struct ps_shipper_status log;
	ps_shipper_status(shipper, &log);
	status->log =
	    log.log.phase == PS_LOG_ENDED || log.log.phase == PS_LOG_WAITS ? PS_LOG_STANDS : PS_LOG_SHIPS;
	status->log_commit = log.log.commit;
	status->log_commits = log.commits;
	status->log_bytes = log.bytes;
	status->log_lag_ns = log.lag_ns;
	status->log_groups = log.log.groups;
	status->log_failures = log.failures;
	status->log_error = log.error;
	memcpy(status->log_message, log.message, sizeof(status->log_message));
}

int ps_remote_status(ps_storer *s, struct ps_remote_status *status)
{
	struct ps_attached *a = s && status ? ps_multi_attached(s) : NULL;
	struct ps_remote_stats stats;
	if (!a)
		return ps_fail(PS_EINVAL, "ps_remote_status: the store is not attached to a network");
	int err = ps_remote_stats(a->r, &stats);
	if (err)
		return err;
	uint64_t now = ps_clock_now(a->clock);
	pthread_mutex_lock(&a->lock);
	*status = (struct ps_remote_status){
	    .state = a->state,
	    .commit = a->pushed_commit,
	    .pushed_ns = a->pushed_ns,
	    .pushed_bytes = a->pushed_bytes,
	    .commits = a->dirty_since ? a->commit - a->pushed_commit : 0,
	    .bytes = a->bytes - a->bytes_before,
	    .lag_ns = a->dirty_since ? now - a->dirty_since + a->lag_before_ns : 0,
	    .pushing = a->pusher != PUSHER_NONE,
	    .stopped = a->stopped,
	    .failures = a->failures,
	    .error = a->error,
	    .retry_ns = a->retry_at > now ? a->retry_at - now : 0,
	    .requests = stats.requests,
	    .sent_bytes = stats.sent_bytes,
	    .received_bytes = stats.received_bytes,
	};
	snprintf(status->message, sizeof(status->message), "%s", a->sentence);
	pthread_mutex_unlock(&a->lock);
	if (a->shipper)
		tell_log(a->shipper, status);
	return PS_OK;
}

int ps_remote_wait(ps_storer *s, uint32_t timeout_ms)
{
	struct ps_attached *a = s ? ps_multi_attached(s) : NULL;
	if (!a)
		return ps_fail(PS_EINVAL, "ps_remote_wait: the store is not attached to a network");
	if (!a->shipper)
		return ps_fail(PS_ENOTSUP, "ps_remote_wait: the store ships no log");
	return ps_shipper_wait(a->shipper, timeout_ms);
}

int ps_push_status(ps_storer *s, struct ps_remote_status *status)
{
	struct ps_push_note note;
	struct ps_stats stats;
	if (!s || !status)
		return ps_fail(PS_EINVAL, "ps_push_status: no store, or no place for its status");
	int err = ps_push_note_get(s, &note);
	if (!err)
		err = ps_stats(s, &stats);
	if (err)
		return err;
	uint64_t now = ps_wall_ns(),
	         behind = stats.last_commit > note.commit ? stats.last_commit - note.commit : 0;
	uint64_t lag = note.pushed_ns == 0 ? UINT64_MAX : now > note.pushed_ns ? now - note.pushed_ns : 0;
	*status = (struct ps_remote_status){
	    .state = note.number,
	    .commit = note.commit,
	    .pushed_ns = note.pushed_ns,
	    .pushed_bytes = note.pushed_bytes,
	    .commits = behind,
	    .lag_ns = behind ? lag : 0,
	};
	return PS_OK;
}
