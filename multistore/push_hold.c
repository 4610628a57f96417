/* Who holds a line of states, and how another file takes it over: multistore/PADS.md, "One holder". */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "multistore/attached.h"
#include "multistore/fence.h"
#include "multistore/log_walk.h"
#include "multistore/push_internal.h"

enum { RACES_MOST = 100, SENTENCE = 512 };

int push_draw(uint8_t *bytes, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = getrandom(bytes + got, len - got, 0);
		if (n < 0 && errno != EINTR)
			return ps_fail_errno(errno, "no random bytes for a push");
		got += n > 0 ? (size_t)n : 0;
	}
	bytes[0] |= 1;
	return PS_OK;
}

static bool same(const uint8_t a[PS_PACK_MARK], const uint8_t b[PS_PACK_MARK])
{
	return memcmp(a, b, PS_PACK_MARK) == 0;
}

static_assert((int)PS_HOLDER == (int)PS_PACK_MARK, "both are compared alike");

/* ---- what is told ---- */

static void day_text(uint64_t time_ns, char day[32])
{
	time_t seconds = (time_t)(time_ns / 1000000000U);
	struct tm when;
	if (!gmtime_r(&seconds, &when) || strftime(day, 32, "%Y-%m-%d %H:%M:%S UTC", &when) == 0)
		snprintf(day, 32, "?");
}

static int is_fenced(const struct push *p, const struct ps_push_hold *hold, const char *day)
{
	return ps_fail(PS_EFENCED,
	               "%s has taken the store over, since %s (epoch %llu of writers; this file held epoch "
	               "%llu): what is "
	               "here is whole, and can be exported, or pushed under another store name",
	               hold->text, day, (unsigned long long)hold->epoch, (unsigned long long)p->note.epoch);
}

static int is_fork(const struct push *p, const struct ps_push_manifest_state *newest)
{
	struct ps_remote_head head = {0};
	char day[32];
	day_text(newest->time_ns, day);
	int err = ps_remote_head(p->r, &head);
	return ps_fail(
	    PS_EFORK,
	    "state %llu of %s, commit %llu, was not pushed from this file as it is here (the network's last "
	    "head is of machine %s): clone it, or push under another store name",
	    (unsigned long long)newest->info.here.interval, day, (unsigned long long)newest->info.commit,
	    err ? "?" : head.machine);
}

int push_refuse(const struct push *p, const struct ps_push_manifest *m)
{
	const struct ps_push_hold *hold = &m->hold;
	char day[32];
	day_text(hold->since_ns, day);
	if (!same(hold->line, p->note.line) || same(hold->holder, p->note.holder))
		return is_fork(p, ps_push_manifest_newest(m));
	if (p->note.epoch > 0)
		return is_fenced(p, hold, day);
	return ps_fail(PS_EHELD,
	               "the store is held by %s, since %s (epoch %llu of writers): a clone of its newest "
	               "state can take it "
	               "over",
	               hold->text, day, (unsigned long long)hold->epoch);
}

bool push_holds(const struct push *p, const struct ps_push_manifest *m)
{
	return same(m->hold.holder, p->note.holder) && same(m->hold.line, p->note.line);
}

/* ---- a hold ---- */

/* Host and process: only for people, so what is not known is left out. */
static void name_holder(char text[PS_HOLDER_TEXT])
{
	char host[PS_HOLDER_TEXT - 12] = "?";
	if (gethostname(host, sizeof(host)) != 0)
		snprintf(host, sizeof(host), "?");
	host[sizeof(host) - 1] = '\0';
	snprintf(text, PS_HOLDER_TEXT, "%s/%ld", host, (long)getpid());
	for (char *c = text; *c; c++)
		*c = *c < ' ' || *c > '~' ? '?' : *c;
}

static int make_hold(struct push *p, uint64_t epoch, struct ps_push_hold *hold)
{
	int err = ps_all_zero(p->note.holder, PS_PACK_MARK) ? push_draw(p->note.holder, PS_PACK_MARK) : PS_OK;
	if (err)
		return err;
	memcpy(hold->holder, p->note.holder, sizeof(hold->holder));
	hold->epoch = epoch;
	hold->since_ns = ps_wall_ns();
	memset(hold->text, 0, sizeof(hold->text));
	name_holder(hold->text);
	return PS_OK;
}

int push_hold_begin(struct push *p)
{
	struct ps_push_hold hold = {.epoch = 0};
	int err = make_hold(p, p->note.epoch + 1, &hold);
	/* That of an attempt whose end is not known stays. */
	if (!err && (p->note.attempts == 0 || ps_all_zero(p->note.line, PS_PACK_MARK)))
		err = push_draw(p->note.line, PS_PACK_MARK);
	if (err)
		return err;
	memcpy(hold.line, p->note.line, sizeof(hold.line));
	p->hold = hold;
	return PS_OK;
}

/* The log that counts behind the newest state; where none was shipped, the one that could have been. */
static struct ps_remote_slot_at log_of(const struct ps_push_manifest *m, uint64_t before)
{
	struct ps_remote_slot_at at = {before, 1};
	return m->log.at.epoch > 0 && m->log.at.epoch <= before ? m->log.at : at;
}

static int see_group(void *arg, const struct ps_log_group *group)
{
	uint64_t *upto = arg;
	*upto = group->pad->info.here.interval;
	return PS_OK;
}

/* Whether this file has what the log behind the newest state has: it has shipped it, or was cloned with it.
 */
static int check_log(struct push *p, const struct ps_push_manifest *m)
{
	uint64_t upto = 0;
	struct ps_log_walk walk = {.memory = &p->memory,
	                           .r = p->r,
	                           .place = m->log,
	                           .group = see_group,
	                           .arg = &upto,
	                           .progress = push_canceled,
	                           .progress_arg = p};
	if (!ps_log_place_there(&m->log) || p->note.epoch >= m->log.at.epoch)
		return PS_OK;
	int err = ps_log_walk(&walk);
	if (err || upto <= p->note.reached || upto <= ps_push_manifest_newest(m)->info.here.interval)
		return err;
	return ps_fail(PS_EFORK,
	               "the log behind state %llu has what this file has not: clone it, with the hold",
	               (unsigned long long)ps_push_manifest_newest(m)->info.here.interval);
}

/* The log of the epochs before ends in a fence. */
static int fence_log(struct push *p, const struct ps_push_manifest *m)
{
	const struct ps_push_hold *hold = &m->hold;
	if (hold->epoch == 1)
		return PS_OK;
	const struct ps_remote_slot_at from = log_of(m, hold->epoch - 1);
	struct ps_fence fence = {.epoch = hold->epoch, .since_ns = hold->since_ns};
	memcpy(fence.holder, hold->holder, sizeof(fence.holder));
	int err = ps_fence_raise(p->r, &from, &fence, push_canceled, p);
	return err || !p->s ? err : check_log(p, m);
}

int push_hold_finish(struct push *p, const struct ps_push_manifest *m)
{
	int err = p->note.epoch == m->hold.epoch ? PS_OK : fence_log(p, m);
	if (!err)
		p->note.epoch = m->hold.epoch;
	return err;
}

/* ---- taking over ---- */

/* A file that has the newest state. */
static int check_newest(struct push *p)
{
	const struct ps_push_manifest_state *newest = ps_push_manifest_newest(&p->old);
	if (!newest)
		return ps_fail(PS_ENOTFOUND, "nothing was pushed here: there is nothing to take over");
	if (!same(p->old.hold.line, p->note.line))
		return is_fork(p, newest);
	if (ps_push_note_has(&p->note, newest->mark))
		return PS_OK;
	return ps_fail(PS_EFORK,
	               "state %llu, which %s has pushed, is not in this file: clone it, with the hold",
	               (unsigned long long)newest->info.here.interval, p->old.hold.text);
}

/* The manifest as it is, under the next epoch. */
static int make_next(struct push *p)
{
	struct ps_push_hold hold = p->old.hold;
	if (hold.epoch >= PS_EPOCH_MAX)
		return ps_fail(PS_EFULL, "the store has no more epochs of writers");
	int err = make_hold(p, hold.epoch + 1, &hold);
	if (!err)
		err = push_draw(p->mark, PS_PACK_MARK);
	if (err)
		return err;
	memcpy(hold.mark, p->mark, sizeof(hold.mark));
	p->next = p->old;
	p->next.hold = hold;
	ps_push_manifest_init(&p->old, &p->memory);
	return PS_OK;
}

/* The attempt is noted before the swap: whoever finds this mark on the network knows whether it was this
 * file. */
static int swap_head(struct push *p)
{
	int err = make_next(p);
	if (err)
		return err;
	ps_push_note_attempt(&p->note, p->mark);
	err = p->s ? ps_push_note_set(p->s, &p->note) : PS_OK;
	return err ? err : push_publish(p);
}

static int note_hold(struct push *p, const struct ps_push_manifest *m)
{
	memcpy(p->note.last, ps_push_manifest_newest(m)->mark, PS_PACK_MARK);
	memcpy(p->note.published, m->hold.mark, PS_PACK_MARK);
	p->note.number = ps_push_manifest_newest(m)->info.here.interval;
	p->note.seen_ns = push_manifest_time(p->r);
	return ps_push_note_set(p->s, &p->note);
}

static int look(struct push *p)
{
	bool news;
	int err = push_settle(p);
	if (!err)
		err = push_look(p, &news);
	return err ? err : push_read(p);
}

/* A takeover of this file's that was cut off behind its swap is brought to its end. */
int push_take_over(struct push *p)
{
	int err = ps_push_note_get(p->s, &p->note);
	if (!err)
		err = look(p);
	if (!err)
		err = check_newest(p);
	if (err)
		return err;
	bool held = push_holds(p, &p->old) && push_knows(p, &p->old);
	if (!held && push_holds(p, &p->old))
		memset(p->note.holder, 0, sizeof(p->note.holder)); /* a copy of this file holds it */
	if (!held)
		err = check_log(p, &p->old); /* what cannot be taken over without its log is not taken */
	if (!err && !held)
		err = swap_head(p);
	const struct ps_push_manifest *now = held ? &p->old : &p->next;
	if (!err)
		err = push_hold_finish(p, now);
	if (!err)
		err = note_hold(p, now);
	if (!err && p->log)
		ps_log_taken(p->log);
	return err;
}

/* Whoever has no file yet is at the newest state, whichever that is: it comes in again as long as others are
 * faster. */
static int take_newest(struct push *p)
{
	int err = look(p);
	const struct ps_push_manifest_state *newest = err ? NULL : ps_push_manifest_newest(&p->old);
	if (err || !newest)
		return err ? err : ps_fail(PS_ENOTFOUND, "nothing was pushed here");
	memcpy(p->note.last, newest->mark, PS_PACK_MARK);
	memcpy(p->note.line, p->old.hold.line, PS_PACK_MARK);
	return swap_head(p);
}

int push_take_hold(struct push *p)
{
	int err = PS_EHELD;
	for (unsigned i = 0; i < RACES_MOST && (err == PS_EHELD || err == PS_EFENCED); i++) {
		ps_push_manifest_done(&p->old);
		ps_push_manifest_done(&p->next);
		err = take_newest(p);
		if (!err)
			err = push_hold_finish(p, &p->next);
	}
	if (err)
		return err;
	p->note.attempts = 0;
	memcpy(p->note.published, p->mark, PS_PACK_MARK);
	return PS_OK;
}
