#include "multistore/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "multistore/log_pack.h"
#include "multistore/log_walk.h"
#include "multistore/push_internal.h"

enum { MEETINGS_MOST = 4 };
/* A log that begins anew does so at the next multiple of this: no slot behind it was ever written. */
#define LOG_STEP ((uint64_t)1 << 32)

struct ps_log {
	struct ps_log *next; /* of those that were entered */
	bool entered;
	struct ps_log_setup setup;
	const ps_storer *below; /* the innermost */
	struct ps_memory memory;
	uint8_t session[PS_LOG_SESSION];
	pthread_mutex_t shipping; /* who ships, or looks where the log is; guards all up to the next lock */
	struct ps_log_place at;   /* of the next pad */
	bool not_ours;            /* what was found there is not this file's to go on from */
	ps_remote_progress_fn progress;
	void *progress_arg;
	pthread_mutex_t lock; /* guards all below; a leaf */
	enum ps_log_phase phase;
	int ended; /* ENDED: why */
	char sentence[256];
	bool anew;                 /* WAITS: the log behind `begin` is of no use */
	struct ps_log_place begin; /* of the next group */
	struct ps_cut_from from;   /* what the next group is since */
	uint64_t commit;           /* the last one that is shipped, or pushed */
	uint64_t total;            /* bytes of packs behind the newest state */
	uint64_t groups, bytes;
};

/* ---- life ---- */

int ps_log_new(const struct ps_log_setup *setup, struct ps_log **log)
{
	struct ps_log *made = calloc(1, sizeof(*made));
	if (!made)
		return ps_fail(PS_ENOMEM, "no memory for a log");
	made->setup = *setup;
	made->below = push_innermost(setup->s);
	int err = push_draw(made->session, sizeof(made->session));
	if (err) {
		free(made);
		return err;
	}
	ps_memory_init(&made->memory, NULL);
	pthread_mutex_init(&made->shipping, NULL);
	pthread_mutex_init(&made->lock, NULL);
	*log = made;
	return PS_OK;
}

/* ---- which store's ---- */

static pthread_mutex_t entered_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ps_log *entered;

void ps_log_enter(struct ps_log *log)
{
	pthread_mutex_lock(&entered_lock);
	log->next = entered;
	entered = log;
	log->entered = true;
	pthread_mutex_unlock(&entered_lock);
}

static void leave(struct ps_log *log)
{
	pthread_mutex_lock(&entered_lock);
	struct ps_log **at = &entered;
	while (*at && *at != log)
		at = &(*at)->next;
	if (*at)
		*at = log->next;
	pthread_mutex_unlock(&entered_lock);
}

struct ps_log *ps_log_of(ps_storer *s)
{
	pthread_mutex_lock(&entered_lock);
	struct ps_log *log = entered;
	while (log && log->below != push_innermost(s))
		log = log->next;
	pthread_mutex_unlock(&entered_lock);
	return log;
}

void ps_log_free(struct ps_log *log)
{
	if (!log)
		return;
	if (log->entered)
		leave(log);
	pthread_mutex_destroy(&log->shipping);
	pthread_mutex_destroy(&log->lock);
	ps_memory_done(&log->memory);
	free(log);
}

void ps_log_figures(struct ps_log *log, struct ps_log_figures *figures)
{
	pthread_mutex_lock(&log->lock);
	*figures = (struct ps_log_figures){
	    .phase = log->phase, .commit = log->commit, .groups = log->groups, .bytes = log->bytes};
	pthread_mutex_unlock(&log->lock);
}

static enum ps_log_phase phase_of(struct ps_log *log)
{
	pthread_mutex_lock(&log->lock);
	enum ps_log_phase phase = log->phase;
	pthread_mutex_unlock(&log->lock);
	return phase;
}

/* The log cannot go on where it is; the error stays this thread's. */
static int stop(struct ps_log *log, enum ps_log_phase phase, bool anew, int err)
{
	pthread_mutex_lock(&log->lock);
	log->phase = phase;
	log->ended = err;
	snprintf(log->sentence, sizeof(log->sentence), "%s", ps_last_error_message());
	log->anew |= anew;
	pthread_mutex_unlock(&log->lock);
	return err;
}

static int waits(void)
{
	return ps_fail(PS_EBUSY, "the log waits for a push: that says where it goes on");
}

static int ended(struct ps_log *log)
{
	char sentence[sizeof(log->sentence)];
	pthread_mutex_lock(&log->lock);
	int err = log->ended;
	memcpy(sentence, log->sentence, sizeof(sentence));
	pthread_mutex_unlock(&log->lock);
	return ps_fail(err, "%s", sentence);
}

/* ---- where the log is ---- */

/* What is there counts: this process goes on behind it. Under shipping. */
static int adopt(void *arg, const struct ps_log_group *group)
{
	struct ps_log *log = arg;
	const struct ps_cut_info *info = &group->pad->info;
	uint64_t interval;
	int err = ps_cut_interval(log->setup.s, &interval);
	log->not_ours = !err && info->here.interval >= interval;
	if (log->not_ours)
		err = ps_fail(
		    PS_EFORK,
		    "the log on the network has commits up to %llu, which are not in this file: it is "
		    "older than its own log. Clone it, or push under another store name",
		    (unsigned long long)info->commit);
	if (err)
		return err;
	pthread_mutex_lock(&log->lock);
	if (info->here.interval > log->from.interval) {
		log->from = info->here;
		log->commit = info->commit > log->commit ? info->commit : log->commit;
	}
	log->total += group->pad->pack_bytes;
	log->begin = *group->next;
	pthread_mutex_unlock(&log->lock);
	return PS_OK;
}

static int adopt_own(void *arg, const struct ps_log_group *group)
{
	struct ps_log *log = arg;
	if (memcmp(group->pad->session, log->session, sizeof(log->session)) == 0)
		return adopt(arg, group);
	log->not_ours = true;
	return ps_fail(PS_EFORK, "log pad %llu of epoch %llu: another process ships the log of this store",
	               (unsigned long long)group->pad->at.n, (unsigned long long)group->pad->at.epoch);
}

/* What cannot be read, a push makes good: it has all that was in it, and the log begins anew behind it. */
static int judge(struct ps_log *log, int err)
{
	bool unreadable = err == PS_EFORK || err == PS_ECORRUPT || err == PS_EAUTH || err == PS_EVERSION;
	if (err == PS_EFENCED || log->not_ours)
		return stop(log, PS_LOG_ENDED, true, err);
	return unreadable ? stop(log, PS_LOG_WAITS, true, err) : err;
}

/* From the beginning of the next group up to the first slot that is not there: that one is the next. Under
 * shipping, where nobody else moves the beginning. */
static int look(struct ps_log *log, ps_log_group_fn group)
{
	log->not_ours = false;
	struct ps_log_walk walk = {.memory = &log->memory,
	                           .r = log->setup.r,
	                           .place = log->begin,
	                           .group = group,
	                           .arg = log,
	                           .progress = log->progress,
	                           .progress_arg = log->progress_arg};
	int err = ps_log_walk(&walk);
	if (!err && walk.fenced)
		err = ps_fail(PS_EFENCED,
		              "the log of epoch %llu ends at a fence: another file has taken the store over",
		              (unsigned long long)walk.place.at.epoch);
	if (!err)
		log->at = walk.place;
	return err;
}

static bool is_own(const struct ps_push_note *note, const struct ps_push_manifest *m)
{
	const struct ps_push_manifest_state *newest = ps_push_manifest_newest(m);
	return newest && ps_push_note_has(note, newest->mark);
}

/* Only the holder ships, and not in the log of one before. */
static bool is_holders(const struct ps_push_note *note, const struct ps_push_manifest *m)
{
	return memcmp(note->holder, m->hold.holder, PS_HOLDER) == 0 && m->log.at.epoch == m->hold.epoch;
}

/* From what the newest manifest says. Under shipping. */
static int find_behind(struct ps_log *log, const struct ps_push_manifest *m)
{
	const struct ps_push_manifest_state *newest = ps_push_manifest_newest(m);
	struct ps_push_note note;
	int err = ps_push_note_get(log->setup.s, &note);
	if (err)
		return err;
	if (!is_own(&note, m) || !is_holders(&note, m) || !ps_log_place_there(&m->log))
		return stop(log, PS_LOG_WAITS, false, PS_OK);
	pthread_mutex_lock(&log->lock);
	log->at = log->begin = m->log;
	log->from = newest->info.here;
	log->commit = newest->info.commit;
	log->total = 0;
	pthread_mutex_unlock(&log->lock);
	err = judge(log, look(log, adopt));
	return err ? err : stop(log, PS_LOG_ON, false, PS_OK);
}

/* One that a push has put, and that is not on the network, is nobody's beginning yet: the next push brings it
 * there. */
static int check_synced(struct ps_log *log)
{
	struct ps_remote_info info;
	int err = ps_remote_stat(log->setup.r, PS_PUSH_MANIFEST_KEY, &info);
	if (err == PS_OK && info.exists && !info.synced)
		return waits();
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static int find(struct ps_log *log)
{
	struct ps_push_manifest m;
	int err = check_synced(log);
	if (err)
		return err;
	ps_push_manifest_init(&m, &log->memory);
	err = push_read_manifest(log->setup.r, PS_PUSH_MANIFEST_KEY, &m);
	if (err == PS_ENOTFOUND)
		err = stop(log, PS_LOG_WAITS, false, PS_OK);
	else if (!err)
		err = find_behind(log, &m);
	ps_push_manifest_done(&m);
	return err;
}

/* ---- a group ---- */

struct shipment {
	struct ps_log *log;
	struct ps_cut_info info;
	uint64_t since, time_ns;
	struct ps_log_pack pack;
	uint8_t *pad;
	size_t pad_room;
};

/* The cut stands for as long as it takes to read it, and not while it is sent. */
static int pack_cut(struct shipment *sh)
{
	struct ps_log *log = sh->log;
	struct ps_cut *cut;
	pthread_mutex_lock(&log->lock);
	struct ps_cut_from from = log->from;
	uint64_t left = log->setup.total_bytes > log->total ? log->setup.total_bytes - log->total : 0;
	pthread_mutex_unlock(&log->lock);
	int err = ps_cut_begin(log->setup.s, &from, &cut, &sh->info);
	if (err)
		return err;
	struct ps_pack_about about = {.since = from.interval, .upto = sh->info.here.interval};
	memcpy(about.mark, log->session, sizeof(about.mark));
	sh->since = from.interval;
	sh->time_ns = ps_wall_ns();
	err = ps_log_pack_cut(&sh->pack, cut, &about, log->setup.level,
	                      left < log->setup.group_bytes ? left : log->setup.group_bytes);
	ps_cut_end(cut);
	return err;
}

static int encode_part(struct shipment *sh, uint32_t part, uint64_t offset, size_t *len)
{
	struct ps_log *log = sh->log;
	uint64_t left = sh->pack.len - offset, room = sh->pad_room - PS_LOG_PAD_HEAD;
	struct ps_log_pad pad = {.at = log->at.at,
	                         .since = sh->since,
	                         .info = sh->info,
	                         .time_ns = sh->time_ns,
	                         .part = part,
	                         .last = left <= room,
	                         .pack_bytes = sh->pack.len,
	                         .offset = offset,
	                         .bytes = (uint32_t)(left < room ? left : room)};
	struct ps_remote_slot_at next = {log->at.at.epoch, log->at.at.n + 1};
	memcpy(pad.session, log->session, sizeof(pad.session));
	memcpy(pad.before, log->at.before, sizeof(pad.before));
	int err = ps_remote_slot_name(log->setup.r, &next, &pad.next);
	if (err)
		return err;
	ps_log_pad_encode(&pad, sh->pad);
	memcpy(sh->pad + PS_LOG_PAD_HEAD, sh->pack.bytes + offset, pad.bytes);
	*len = PS_LOG_PAD_HEAD + pad.bytes;
	return PS_OK;
}

/* Under shipping. */
static int send_part(struct shipment *sh, uint32_t part, uint64_t *offset)
{
	struct ps_log *log = sh->log;
	struct ps_remote_slot slot;
	size_t len;
	int err = encode_part(sh, part, *offset, &len);
	if (!err)
		err = ps_remote_slot_create(log->setup.r, &log->at.at, PS_SLOT_LOG, sh->pad, len,
		                            log->progress, log->progress_arg, &slot);
	if (err)
		return err;
	*offset += len - PS_LOG_PAD_HEAD;
	log->at.at.n++;
	memcpy(log->at.before, slot.hash, sizeof(log->at.before));
	return ps_remote_slot_name(log->setup.r, &log->at.at, &log->at.name);
}

static int send_group(struct shipment *sh)
{
	struct ps_log *log = sh->log;
	uint64_t offset = 0;
	int err = PS_OK;
	sh->pad_room = ps_remote_slot_most(log->setup.r);
	if (sh->pad_room > PS_LOG_PAD_HEAD + sh->pack.len)
		sh->pad_room = PS_LOG_PAD_HEAD + sh->pack.len;
	sh->pad = ps_memory_alloc(&log->memory, sh->pad_room);
	if (!sh->pad)
		return ps_fail(PS_ENOMEM, "no memory for a log pad of %zu bytes", sh->pad_room);
	for (uint32_t part = 0; offset < sh->pack.len && !err; part++)
		err = send_part(sh, part, &offset);
	ps_memory_free(&log->memory, sh->pad, sh->pad_room);
	return err;
}

static void shipped(struct shipment *sh, bool sent)
{
	struct ps_log *log = sh->log;
	pthread_mutex_lock(&log->lock);
	log->commit = sh->info.commit > log->commit ? sh->info.commit : log->commit;
	if (sent) {
		log->begin = log->at;
		if (sh->info.here.interval > log->from.interval)
			log->from = sh->info.here;
		log->total += sh->pack.len;
		log->bytes += sh->pack.len;
		log->groups++;
	}
	pthread_mutex_unlock(&log->lock);
}

/* A cut that gives nothing is as what was shipped before. */
static int ship_group(struct ps_log *log)
{
	struct shipment sh = {.log = log, .pack.memory = &log->memory};
	int err = pack_cut(&sh);
	bool nothing = err == PS_ENOTFOUND;
	if (!err)
		err = send_group(&sh);
	if (!err || nothing)
		shipped(&sh, !nothing);
	ps_log_pack_done(&sh.pack);
	if (err == PS_EFULL)
		return stop(log, PS_LOG_WAITS, false, err);
	return nothing ? PS_OK : err;
}

/* Where a slot is there already: one of this process, whose outcome was not known; or another's. Under
 * shipping. */
static int ship_on(struct ps_log *log)
{
	int err = PS_EEXIST;
	for (unsigned meetings = 0; err == PS_EEXIST && meetings < MEETINGS_MOST; meetings++) {
		uint64_t n = log->at.at.n;
		err = ship_group(log);
		if (err != PS_EEXIST)
			break;
		int looked = judge(log, look(log, adopt_own));
		if (looked)
			return looked;
		if (log->at.at.n == n)
			return ps_fail(PS_EUNAVAILABLE,
			               "slot %llu is there when it is written, and not when it is read",
			               (unsigned long long)n);
	}
	return err == PS_EEXIST ? ps_fail(PS_EUNAVAILABLE, "slots appear where the log is about to go on")
	                        : err;
}

int ps_log_ship(struct ps_log *log, ps_remote_progress_fn progress, void *arg)
{
	pthread_mutex_lock(&log->shipping);
	log->progress = progress;
	log->progress_arg = arg;
	int err = phase_of(log) == PS_LOG_NEW ? find(log) : PS_OK;
	if (!err && phase_of(log) != PS_LOG_ON)
		err = phase_of(log) == PS_LOG_ENDED ? ended(log) : waits();
	if (!err)
		err = ship_on(log);
	pthread_mutex_unlock(&log->shipping);
	return err;
}

/* ---- a push ---- */

/* A log that never was, or that is of no use any more, begins where no slot was ever written; its first pad
 * knows it by a number of its own.
 */
static int begin_anew(struct ps_log *log, const struct ps_push_manifest *m, struct ps_log_place *place)
{
	const struct ps_log_place *old = &m->log;
	struct ps_log_place made = {.at = {m->hold.epoch > 0 ? m->hold.epoch : 1, 1}};
	if (old->at.epoch == made.at.epoch)
		made.at.n = (old->at.n | (LOG_STEP - 1)) + 1;
	int err = push_draw(made.before, sizeof(made.before));
	if (!err)
		err = ps_remote_slot_name(log->setup.r, &made.at, &made.name);
	if (!err)
		*place = made;
	return err;
}

int ps_log_at_push(struct ps_log *log, const struct ps_push_manifest *old, ps_remote_progress_fn progress,
                   void *arg, struct ps_log_place *place)
{
	int err = PS_OK;
	if (phase_of(log) == PS_LOG_NEW) {
		pthread_mutex_lock(&log->shipping);
		log->progress = progress;
		log->progress_arg = arg;
		if (phase_of(log) == PS_LOG_NEW)
			err = find(log);
		pthread_mutex_unlock(&log->shipping);
	}
	pthread_mutex_lock(&log->lock);
	bool goes_on = !log->anew && ps_log_place_there(&log->begin);
	if (goes_on)
		*place = log->begin;
	pthread_mutex_unlock(&log->lock);
	if (phase_of(log) == PS_LOG_ENDED)
		return ended(log);
	/* A log that cannot be read is no reason to keep what it had from being pushed; one that says that
	 * another file is the one that goes on is. */
	if (err && phase_of(log) != PS_LOG_WAITS)
		return err;
	return goes_on ? PS_OK : begin_anew(log, old, place);
}

bool ps_log_wants_push(struct ps_log *log)
{
	return log && phase_of(log) == PS_LOG_WAITS;
}

/* Where it was stopped, it goes on from there. */
static void go_on(struct ps_log *log, const struct ps_log_place *place)
{
	pthread_mutex_lock(&log->shipping);
	log->at = *place;
	pthread_mutex_lock(&log->lock);
	log->begin = *place;
	log->phase = PS_LOG_ON;
	log->anew = false;
	pthread_mutex_unlock(&log->lock);
	pthread_mutex_unlock(&log->shipping);
}

void ps_log_pushed(struct ps_log *log, const struct ps_log_place *place, const struct ps_cut_info *info)
{
	pthread_mutex_lock(&log->lock);
	bool stands = log->phase != PS_LOG_ON;
	log->commit = info->commit > log->commit ? info->commit : log->commit;
	if (info->here.interval > log->from.interval)
		log->from = info->here;
	log->total = 0;
	pthread_mutex_unlock(&log->lock);
	if (stands)
		go_on(log, place);
}

void ps_log_taken(struct ps_log *log)
{
	pthread_mutex_lock(&log->shipping);
	pthread_mutex_lock(&log->lock);
	log->phase = PS_LOG_NEW;
	log->ended = PS_OK;
	log->anew = false;
	log->begin = (struct ps_log_place){.at = {0, 0}};
	pthread_mutex_unlock(&log->lock);
	pthread_mutex_unlock(&log->shipping);
}
