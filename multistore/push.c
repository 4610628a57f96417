/* ps_push: the order in which things become durable, and what a crash in between leaves, is in
 * multistore/PADS.md. */
#include <pthread.h>
#include <string.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/options.h"
#include "base/tokens.h"
#include "multistore/attached.h"
#include "multistore/push_backing.h"
#include "multistore/push_internal.h"
#include "multistore/push_since.h"
#include "store/backing.h"

enum { LOOK_BYTES = 1 << 20 };
enum { PACK_BYTES = 64 << 20, PACK_BYTES_MIN = 4096, PACK_BYTES_MOST = 1 << 30 };

/* ---- one push of a store at a time ---- */

struct pushed {
	struct pushed *next;
	const ps_storer *s; /* the innermost */
};
static pthread_mutex_t pushing_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pushed *pushing;

static int enter(struct pushed *own, ps_storer *s)
{
	own->s = push_innermost(s);
	pthread_mutex_lock(&pushing_lock);
	bool busy = false;
	for (const struct pushed *other = pushing; other; other = other->next)
		busy |= other->s == own->s;
	if (!busy) {
		own->next = pushing;
		pushing = own;
	}
	pthread_mutex_unlock(&pushing_lock);
	return busy ? ps_fail(PS_EBUSY, "a push of this store is under way") : PS_OK;
}

static void leave(struct pushed *own)
{
	pthread_mutex_lock(&pushing_lock);
	struct pushed **at = &pushing;
	while (*at != own)
		at = &(*at)->next;
	*at = own->next;
	pthread_mutex_unlock(&pushing_lock);
}

/* ---- progress ---- */

/* Of contents that are in packs so much has arrived as of the packs has: what is on its way may be megabytes,
 * and over a slow network minutes. */
static uint64_t arrived(struct push *p)
{
	uint64_t there = atomic_load(&p->arrived), at = p->of_blocks;
	if (there < p->in_blocks)
		at = (uint64_t)((double)at * (double)there / (double)p->in_blocks);
	at += p->taken;
	if (p->shown < at)
		p->shown = at;
	return p->shown;
}

int push_show(struct push *p)
{
	struct ps_progress shown = {.phase = "push", .done = arrived(p), .total = p->total};
	if (!p->options.progress || p->options.progress(p->options.progress_arg, &shown) == 0)
		return PS_OK;
	return ps_fail(PS_ECANCELED, "the push was given up by its caller");
}

int push_canceled(void *p, const struct ps_remote_progress *progress)
{
	(void)progress;
	return push_show(p) != PS_OK;
}

bool push_is_final(int err)
{
	return err == PS_EFORK || err == PS_EHELD || err == PS_EFENCED || err == PS_EREADONLY ||
	       err == PS_ENOTSUP || err == PS_EINVAL;
}

/* ---- since when ---- */

static uint64_t weight_of(uint64_t contents, uint64_t items)
{
	return contents + PS_ITEM_COST * items;
}

static const struct ps_push_manifest_run *newest_run(const struct push *p, uint32_t i)
{
	return &p->old.runs[ps_push_manifest_newest(&p->old)->run[i]];
}

static struct ps_cut_from from_of(const struct push *p, uint32_t keep)
{
	struct ps_cut_from from = {0};
	if (keep == 0)
		return from;
	const struct ps_push_manifest_run *run = newest_run(p, keep - 1);
	from.interval = run->upto;
	from.checkpoint = run->checkpoint;
	return from;
}

/* A state that this file is not old enough for is one that it has not pushed as it is. */
static int begin_cut(struct push *p, uint32_t keep)
{
	struct ps_cut_from from = from_of(p, keep);
	const struct ps_push_manifest_state *newest = ps_push_manifest_newest(&p->old);
	p->since = from.interval;
	int err = ps_cut_begin(p->s, &from, &p->cut, &p->info);
	if (err == PS_EINVAL && keep > 0)
		return ps_fail(PS_EFORK,
		               "state %llu was pushed from this store, but not from this file as it is here: "
		               "it is older. Clone it, or push under another store name",
		               (unsigned long long)newest->info.here.interval);
	if (err || !newest || p->info.here.interval > newest->info.here.interval)
		return err;
	ps_cut_end(p->cut);
	p->cut = NULL;
	return ps_fail(
	    PS_EFORK,
	    "state %llu was pushed from this store, whose file is at %llu here: it is older. Clone it, "
	    "or push under another store name",
	    (unsigned long long)newest->info.here.interval, (unsigned long long)p->info.here.interval);
}

static void end_cut(struct push *p)
{
	if (p->cut)
		ps_cut_end(p->cut);
	p->cut = NULL;
}

static int count_object(struct push *p, const struct ps_cut_object *object, uint64_t *contents)
{
	struct ps_cut_change change = {.bytes = object->kind == PS_CUT_BYTES ? object->size : 0};
	int err = object->kind == PS_CUT_CHUNKS ? ps_cut_changed(p->cut, &change) : PS_OK;
	*contents += change.bytes;
	return err ? err : push_show(p);
}

/* What was changed behind the last run: without reading any contents. */
static int count_changes(struct push *p, uint64_t *contents, uint64_t *items)
{
	struct ps_cut_object object;
	*contents = *items = 0;
	int err = begin_cut(p, ps_push_manifest_newest(&p->old)->runs);
	while (!err) {
		err = ps_cut_next(p->cut, &object);
		if (!err)
			err = count_object(p, &object, contents);
		*items += !err;
	}
	end_cut(p);
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static uint32_t keep_up_to(const struct push *p, uint64_t since)
{
	uint32_t keep = 0;
	while (since > 0 && newest_run(p, keep++)->upto != since)
		;
	return keep;
}

/* What is unknown in the file would have to be fetched, all of it, to stand for a run before it: only where
 * all is sent anew. */
static int keep_unknown(struct push *p)
{
	uint64_t unknown;
	uint32_t runs = ps_push_manifest_newest(&p->old)->runs, keep = p->keep;
	int err = ps_backing_unknown(p->s, &unknown);
	while (!err && keep > 0 && keep < runs && newest_run(p, keep - 1)->upto < unknown)
		keep++;
	p->keep = keep;
	return err;
}

static int choose_since(struct push *p, bool *changed)
{
	const struct ps_push_manifest_state *newest = ps_push_manifest_newest(&p->old);
	uint64_t weight[PS_STATE_RUNS_MAX], contents, items, since = 0;
	bool found;
	*changed = true;
	int err = push_find_left(p, &since, &found);
	if (err)
		return err;
	p->keep = found ? keep_up_to(p, since) : 0;
	if (!newest || found)
		return PS_OK;
	err = count_changes(p, &contents, &items);
	*changed = items > 0 || ps_log_wants_push(p->log);
	if (err || !*changed)
		return err;
	for (uint32_t i = 0; i < newest->runs; i++)
		weight[i] =
		    weight_of(newest_run(p, i)->contents, newest_run(p, i)->objects + newest_run(p, i)->gone);
	p->keep = ps_push_keep(weight, newest->runs, weight_of(p->info.live_bytes, p->info.objects),
	                       weight_of(contents, items));
	err = keep_unknown(p);
	p->changed = weight_of(contents, items);
	p->total = p->keep == newest->runs ? contents : p->keep == 0 ? p->info.live_bytes : 0;
	return err;
}

/* ---- steps ---- */

/* The note comes behind the cut: whoever has a file with this mark in it has all that the cut has. */
static int note_attempt(struct push *p)
{
	int err = push_draw(p->mark, PS_PACK_MARK);
	p->sweep |= p->note.attempts > 0;
	if (err)
		return err;
	ps_push_note_attempt(&p->note, p->mark);
	return ps_push_note_set(p->s, &p->note);
}

static int send_cut(struct push *p)
{
	int err = begin_cut(p, p->keep);
	if (err)
		return err;
	if (p->total == 0 && p->keep == 0)
		p->total = p->info.live_bytes;
	err = note_attempt(p);
	if (!err)
		err = push_choose_left(p);
	if (!err)
		err = push_send(p);
	end_cut(p);
	return err;
}

static int make_manifest(struct push *p)
{
	struct ps_push_manifest_next next = {.keep = p->keep,
	                                     .run = p->run,
	                                     .packs = p->packs,
	                                     .history = p->options.history,
	                                     .log = p->place,
	                                     .hold = p->hold};
	memcpy(next.hold.mark, p->mark, sizeof(next.hold.mark));
	next.run.since = p->since;
	next.run.upto = p->info.here.interval;
	next.run.checkpoint = p->info.here.checkpoint;
	next.state.info = p->info;
	next.state.time_ns = ps_wall_ns();
	memcpy(next.state.mark, p->mark, sizeof(next.state.mark));
	return ps_push_manifest_make(&p->old, &next, &p->next);
}

static uint64_t sent_so_far(const struct push *p)
{
	struct ps_remote_stats now;
	return ps_remote_stats(p->r, &now) == PS_OK ? now.sent_bytes - p->sent_before : 0;
}

static void tell_state(struct push *p)
{
	p->result.state = p->note.number;
	p->result.commit = p->note.commit;
}

/* What cannot be removed now the next push removes: as long as the note has attempts it looks for what is
 * left over. */
static int clean_up(struct push *p, const struct ps_push_manifest *now)
{
	int err = now == &p->next ? push_log_published(p) : push_log_sweep(p);
	if (push_remove_packs(p, now, false) == PS_OK && !err)
		p->note.attempts = 0;
	p->note.commit = p->info.commit;
	p->note.seen_ns = push_manifest_time(p->r);
	p->note.pushed_ns = ps_wall_ns();
	p->note.pushed_bytes = sent_so_far(p);
	tell_state(p);
	return ps_push_note_set(p->s, &p->note);
}

/* What has left the file comes back from the states that are here; or, of an attached store, from those of
 * its own network. */
static bool can_fetch_all(struct push *p)
{
	struct ps_attached *a = ps_multi_attached(p->s);
	return ps_push_manifest_newest(&p->old) || (a && ps_attached_remote(a) != p->r);
}

/* The first push to a network takes all of the store. Of a file that has not all of it nothing is sent, and
 * nothing noted: its line of states goes on where it is. */
static int check_all_here(struct push *p)
{
	struct ps_backing_figures f;
	bool was_pushed = p->note.attempts > 0 || !ps_all_zero(p->note.published, PS_PACK_MARK);
	if (!was_pushed || can_fetch_all(p))
		return PS_OK;
	int err = ps_backing_figures(p->s, &f);
	uint64_t objects = f.away_objects + f.unknown_objects;
	if (err || objects == 0)
		return err;
	return ps_fail(
	    PS_EUNAVAILABLE,
	    "%llu objects have left this file for the network and store name that it was pushed to, "
	    "and nothing was pushed here: there is nowhere to fetch them from",
	    (unsigned long long)objects);
}

static int push_since_last(struct push *p);

static int push_changes(struct push *p)
{
	int err = check_all_here(p);
	if (!err)
		err = send_cut(p);
	if (!err)
		err = make_manifest(p);
	if (!err)
		err = push_publish(p);
	if (err)
		return err;
	memcpy(p->note.last, p->mark, PS_PACK_MARK);
	memcpy(p->note.published, p->mark, PS_PACK_MARK);
	p->note.epoch = p->hold.epoch;
	p->note.number = p->info.here.interval;
	return clean_up(p, &p->next);
}

/* The state is there already. One look tells whether it still is, and this file its holder. */
static int look_again(struct push *p)
{
	if (p->looked)
		return PS_OK;
	p->looked = true;
	int err = push_sync(p, NULL);
	if (err || push_manifest_time(p->r) == p->note.seen_ns)
		return err;
	ps_push_manifest_done(&p->old);
	err = push_settle(p);
	return err ? err : push_since_last(p);
}

static int push_nothing(struct push *p)
{
	p->sweep = p->note.attempts > 0;
	int err = clean_up(p, &p->old);
	return err ? err : look_again(p);
}

/* Commits are numbered, so the same number means that nothing was changed. */
static int is_at(struct push *p, bool *same)
{
	struct ps_stats stats;
	int err = ps_stats(p->s, &stats);
	*same = !err && !ps_log_wants_push(p->log) && p->note.epoch > 0 && p->note.commit > 0 &&
	        stats.last_commit == p->note.commit && p->note.attempts == 0 &&
	        push_manifest_time(p->r) == p->note.seen_ns;
	return err;
}

static int find_changes(struct push *p, bool *changed)
{
	p->left_count = 0;
	p->changed = UINT64_MAX;
	*changed = true;
	int err = push_read(p);
	if (!err)
		err = push_judge(p);
	if (!err)
		err = push_place_log(p); /* before any cut: it looks whether this file is the newest one */
	return err ? err : choose_since(p, changed);
}

/* One request more tells whether another machine has pushed, so that nothing is sent in vain. For a few
 * changes it is not worth it: push_publish finds out all the same. Where the log's beginning is looked for in
 * a manifest that is not there any more, another has. */
static int push_since_last(struct push *p)
{
	bool changed, news = true;
	int err = PS_OK;
	while (news && !err) {
		err = find_changes(p, &changed);
		news = false;
		bool worth = err ? err == PS_ESUPERSEDED : changed && p->changed >= LOOK_BYTES;
		int looked = worth && !p->looked ? push_look(p, &news) : PS_OK;
		err = looked ? looked : news ? PS_OK : err;
	}
	if (err)
		return err;
	return changed ? push_changes(p) : push_nothing(p);
}

static int push_all(struct push *p)
{
	bool same = false;
	int err = ps_push_note_get(p->s, &p->note);
	if (!err)
		err = push_settle(p);
	if (!err)
		err = is_at(p, &same);
	if (err || !same)
		return err ? err : push_since_last(p);
	tell_state(p);
	return look_again(p);
}

/* ---- the call ---- */

static int take_options(struct push *p, const struct ps_push_options *options)
{
	int err = ps_options_take(&p->options, sizeof(p->options), options, "push options");
	if (err)
		return err;
	struct ps_push_options *o = &p->options;
	if (o->compression < -1 || o->compression > ZSTD_maxCLevel())
		return ps_fail(PS_EINVAL, "push options: zstd has no level %d", o->compression);
	o->compression = o->compression == 0 ? 1 : o->compression < 0 ? 0 : o->compression;
	o->pack_bytes = o->pack_bytes ? o->pack_bytes : PACK_BYTES;
	if (o->pack_bytes < PACK_BYTES_MIN || o->pack_bytes > PACK_BYTES_MOST)
		return ps_fail(PS_EINVAL, "push options: packs of %llu bytes: %d to %d are possible",
		               (unsigned long long)o->pack_bytes, PACK_BYTES_MIN, PACK_BYTES_MOST);
	return PS_OK;
}

static int run(struct push *p, enum push_what what)
{
	struct ps_remote_stats before, after;
	int err = ps_remote_stats(p->r, &before);
	p->sent_before = err ? 0 : before.sent_bytes;
	if (!err)
		err = what == PUSH_TAKE_OVER ? push_take_over(p) : push_all(p);
	if (err)
		return err;
	err = ps_remote_stats(p->r, &after);
	p->result.sent_bytes = after.sent_bytes - before.sent_bytes;
	p->result.requests = after.requests - before.requests;
	return err;
}

/* What has left the file is wanted where runs are merged. An attachment has a backing already. */
static int run_backed(struct push *p, enum push_what what)
{
	struct ps_push_backing *backing = NULL;
	int err = ps_multi_attached(p->s) ? PS_OK : ps_push_backing_open(p->s, p->r, NULL, &backing);
	if (!err)
		err = run(p, what);
	ps_push_backing_free(backing, false);
	return err;
}

/* For the whole store, as a backup is: what callers do meanwhile comes first, at disk, network and
 * processors, also where somebody waits for the push, unless he says that he does. A takeover is short. */
static int run_in_class(struct push *p, enum push_what what)
{
	enum ps_token_class before = ps_tokens_class();
	if (what == PUSH_CHANGES && !p->options.urgent)
		(void)ps_tokens_set_class(PS_TOKEN_BACKGROUND);
	int err = run_backed(p, what);
	(void)ps_tokens_set_class(before);
	return err;
}

static void done(struct push *p)
{
	end_cut(p);
	ps_memory_free(&p->memory, p->packs, p->pack_capacity * sizeof(*p->packs));
	ps_memory_free(&p->memory, p->left, p->left_capacity * sizeof(*p->left));
	ps_push_manifest_done(&p->old);
	ps_push_manifest_done(&p->next);
	ps_memory_done(&p->memory);
}

int push_store(ps_storer *s, ps_remote *r, enum push_what what, const struct ps_push_options *options,
               struct ps_push_result *result)
{
	struct push p = {.s = s, .r = r, .log = ps_log_of(s)};
	struct pushed own = {0};
	int err = take_options(&p, options);
	if (!err)
		err = enter(&own, s);
	if (err)
		return err;
	ps_memory_init(&p.memory, NULL);
	ps_push_manifest_init(&p.old, &p.memory);
	ps_push_manifest_init(&p.next, &p.memory);
	err = run_in_class(&p, what);
	done(&p);
	leave(&own);
	if (!err && result)
		*result = p.result;
	return err;
}

static int refuse_state(void)
{
	return ps_fail(PS_EREADONLY,
	               "the store is a pushed state that is open to be read: a clone of it can be pushed");
}

int ps_push(ps_storer *s, ps_remote *r, const struct ps_push_options *options, struct ps_push_result *result)
{
	struct ps_attached *a = s ? ps_multi_attached(s) : NULL;
	if (a && ps_attached_is_state(a))
		return refuse_state();
	if (a && (!r || r == ps_attached_remote(a)))
		return ps_attached_push(a, options, result);
	if (!s || !r)
		return ps_fail(PS_EINVAL, "ps_push: no store, or no remote");
	return push_store(s, r, PUSH_CHANGES, options, result);
}

int ps_take_over(ps_storer *s, ps_remote *r, ps_progress_fn progress, void *arg)
{
	const struct ps_push_options options = {
	    .size = sizeof(options), .progress = progress, .progress_arg = arg};
	struct ps_attached *a = s ? ps_multi_attached(s) : NULL;
	if (a && ps_attached_is_state(a))
		return refuse_state();
	if (a && (!r || r == ps_attached_remote(a)))
		return ps_attached_take_over(a, &options);
	if (!s || !r)
		return ps_fail(PS_EINVAL, "ps_take_over: no store, or no remote");
	return push_store(s, r, PUSH_TAKE_OVER, &options, NULL);
}
