/* The log behind the newest state, looked at for its own sake: read as a clone reads it, and around it what a
 * clone does not look for. */
#include <padstone/push.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "multistore/log_behind.h"
#include "multistore/push_internal.h"
#include "remote/take.h"

enum { TRIES_MOST = 8 };

struct verification {
	ps_remote *r;
	ps_remote_progress_fn progress;
	void *progress_arg;
	struct ps_memory memory;
	struct ps_push_verify_result result;
	struct ps_log_end end;
};

/* ---- as a clone reads it ---- */

static int read_log(struct verification *v, const struct ps_push_manifest *m)
{
	const struct ps_push_manifest_state *newest = ps_push_manifest_newest(m);
	struct ps_log_behind *behind;
	struct ps_cut_info info;
	int err = ps_log_behind_new(&v->memory, v->r, m, v->progress, v->progress_arg, &info, &behind);
	if (err)
		return err;
	v->end = ps_log_behind_end(behind);
	v->result = (struct ps_push_verify_result){.state = newest->info.here.interval,
	                                           .commit = info.commit,
	                                           .log_groups = ps_log_behind_groups(behind),
	                                           .log_pads = v->end.pads,
	                                           .log_bytes = v->end.bytes,
	                                           .fenced = v->end.fenced};
	ps_log_behind_free(behind);
	return PS_OK;
}

/* ---- what lies around it ---- */

static int is_lost(const struct verification *v, uint64_t behind)
{
	return ps_fail(
	    PS_ELOST,
	    "log pad %llu of epoch %llu is gone, and %llu is there: what was shipped from the first "
	    "on is not read any more",
	    (unsigned long long)v->end.at.n, (unsigned long long)v->end.at.epoch, (unsigned long long)behind);
}

/* *grown: the log's writer has gone on meanwhile, and what lies behind the end may be its own. */
static int look_behind(struct verification *v, bool *grown)
{
	uint64_t behind = 0, now = 0;
	*grown = false;
	if (v->end.fenced)
		return PS_OK;
	int err = ps_remote_slot_behind(v->r, &v->end.at, v->progress, v->progress_arg, &behind);
	if (err || behind == 0)
		return err == PS_EREADONLY ? PS_OK : err;
	if (behind != v->end.at.n)
		err = ps_remote_slot_behind(v->r, &v->end.at, v->progress, v->progress_arg, &now);
	*grown = behind == v->end.at.n || now == v->end.at.n;
	return err || *grown ? err : is_lost(v, behind);
}

static int verify_log(struct verification *v, const struct ps_push_manifest *m, bool *again)
{
	int err = read_log(v, m);
	*again = false;
	if (err || !ps_log_place_there(&m->log))
		return err;
	err = ps_remote_slot_apart(v->r, &m->log.at, v->end.at.n);
	return err ? err : look_behind(v, again);
}

/* ---- at one moment ---- */

/* Which log it is: a push takes its beginning with it. */
struct which {
	bool any;
	uint8_t mark[PS_PACK_MARK];
	struct ps_log_place place;
};

/* The newest manifest that the network has; where there is none m is empty. */
static int take_manifest(struct verification *v, struct ps_push_manifest *m, struct which *which)
{
	memset(which, 0, sizeof(*which));
	int err = ps_remote_take(v->r, v->progress, v->progress_arg);
	if (!err)
		err = push_read_manifest(v->r, PS_PUSH_MANIFEST_KEY, m);
	const struct ps_push_manifest_state *newest = err ? NULL : ps_push_manifest_newest(m);
	if (!newest)
		return err == PS_ENOTFOUND ? PS_OK : err;
	which->any = true;
	memcpy(which->mark, newest->mark, sizeof(which->mark));
	memcpy(&which->place, &m->log, sizeof(which->place));
	return PS_OK;
}

static int is_changed(struct verification *v, const struct which *before, bool *changed)
{
	struct ps_push_manifest m;
	struct which now;
	ps_push_manifest_init(&m, &v->memory);
	int err = take_manifest(v, &m, &now);
	ps_push_manifest_done(&m);
	*changed = memcmp(&now, before, sizeof(now)) != 0;
	return err;
}

/* What is found wrong counts if the log is still the one that was read. */
static int verify_once(struct verification *v, bool *again)
{
	struct ps_push_manifest m;
	struct which which;
	char sentence[512];
	*again = false;
	ps_push_manifest_init(&m, &v->memory);
	int err = take_manifest(v, &m, &which);
	int found = err || !which.any ? err : verify_log(v, &m, again);
	ps_push_manifest_done(&m);
	if (err || !found || found == PS_ECANCELED)
		return found;
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	err = is_changed(v, &which, again);
	return err || *again ? err : ps_fail(found, "%s", sentence);
}

/* Asks no network where nothing was pushed as far as this machine knows. */
static int verify(struct verification *v)
{
	struct ps_remote_info info;
	bool again = true;
	int err = ps_remote_stat(v->r, PS_PUSH_MANIFEST_KEY, &info);
	if (err)
		return err == PS_ENOTFOUND ? PS_OK : err;
	for (unsigned i = 0; i < TRIES_MOST && !err && again; i++)
		err = verify_once(v, &again);
	return err || !again
	           ? err
	           : ps_fail(PS_EBUSY, "verify: the log was changed again and again while it was read");
}

int ps_push_verify(ps_remote *r, ps_remote_progress_fn progress, void *progress_arg,
                   struct ps_push_verify_result *result)
{
	if (!r)
		return ps_fail(PS_EINVAL, "ps_push_verify: no remote");
	struct verification v = {.r = r, .progress = progress, .progress_arg = progress_arg};
	ps_memory_init(&v.memory, NULL);
	int err = verify(&v);
	ps_memory_done(&v.memory);
	if (!err && result)
		*result = v.result;
	return err;
}
