/* The sync: the order in which things become durable, and what a cut in between leaves to the next one
 * (README.md has the table). */
#include <stdio.h>

#include "base/fail.h"
#include "remote/backoff.h"
#include "remote/sync_internal.h"
#include "remote/take.h"

enum { MOST_TRIES = 32, FIRST_WAIT_MS = 10, MOST_WAIT_MS = 1000 };

/* ---- life ---- */

static int enter(ps_remote *r)
{
	pthread_mutex_lock(&r->lock);
	bool busy = r->syncing;
	r->syncing = true;
	pthread_mutex_unlock(&r->lock);
	return busy ? ps_fail(PS_EBUSY, "another call is syncing this store") : PS_OK;
}

static void leave(ps_remote *r)
{
	pthread_mutex_lock(&r->lock);
	r->syncing = false;
	pthread_mutex_unlock(&r->lock);
}

int sync_begin(struct ps_sync *s, ps_remote *r, const char *name, ps_remote_progress_fn progress, void *arg)
{
	*s = (struct ps_sync){.r = r};
	int err = ps_operation_begin(&s->op, r, name, NULL, 0, progress, arg);
	if (err != PS_OK)
		return err;
	err = enter(r);
	if (err != PS_OK) {
		s->r = NULL; /* not ours to leave */
		(void)ps_operation_fail(&s->op, err);
		return ps_operation_end(&s->op);
	}
	s->memory = r->index ? ps_index_memory(r->index) : &r->memory;
	err = r->index ? sync_load(s) : PS_OK;
	if (err == PS_OK)
		return PS_OK;
	(void)ps_operation_fail(&s->op, err);
	return sync_end(s);
}

void sync_forget_loaded(struct ps_sync *s)
{
	ps_memory_free(&s->r->memory, s->lefts.all, s->lefts.capacity * sizeof(*s->lefts.all));
	s->lefts = (struct sync_lefts){0};
	sync_head_done(&s->base);
}

int sync_end(struct ps_sync *s)
{
	sync_forget_loaded(s);
	leave(s->r);
	return ps_operation_end(&s->op);
}

int sync_call(ps_remote *r, const char *name, int (*work)(struct ps_sync *s), ps_remote_progress_fn progress,
              void *arg)
{
	struct ps_sync s;
	int err = sync_begin(&s, r, name, progress, arg);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&s.op, work(&s));
	return sync_end(&s);
}

/* ---- what became of a head of ours ---- */

int sync_forget_intent(struct ps_sync *s)
{
	ps_index_txn *txn;
	int err = ps_index_begin(s->r->index, &txn);
	if (err != PS_OK)
		return err;
	(void)!ps_txn_set_note(txn, PS_NOTE_HEAD_INTENT, NULL, 0); /* what fails here fails the commit */
	(void)!sync_note_lefts(s, txn);
	return ps_index_commit(txn);
}

static int note_own(struct ps_sync *s, const struct sync_intent *intent)
{
	ps_index_txn *txn;
	int err = ps_index_begin(s->r->index, &txn);
	if (err != PS_OK)
		return err;
	err = sync_swap_runs(s, s->base.there ? &s->base.head : NULL, &intent->next.head, true, txn);
	if (err == PS_OK)
		err = sync_note_head(s, &intent->next, txn);
	if (err == PS_OK)
		err = ps_txn_set_note(txn, PS_NOTE_HEAD_INTENT, NULL, 0);
	if (err == PS_OK)
		err = sync_note_lefts(s, txn);
	if (err == PS_OK)
		return ps_index_commit(txn);
	ps_index_abort(txn);
	return err;
}

/* It is history: what it has is settled, and what only the heads before it had is let go. `seen`: the anchor
 * is at it, or later. */
int sync_finish_own(struct ps_sync *s, struct sync_intent *intent, bool seen)
{
	uint64_t counter = intent->next.head.counter;
	int err = seen ? PS_OK : sync_move_anchor(s, &intent->next);
	s->left = ps_head_left(&intent->next.head, s->r->machine.id);
	if (err == PS_OK)
		err = sync_settle_sent(s, counter);
	if (!intent->skipped && s->settled < counter - 1)
		s->settled = counter - 1;
	if (err == PS_OK)
		err = note_own(s, intent);
	if (err != PS_OK)
		return err;
	ps_index_settle(s->r->index, s->settled);
	s->r->runs_clean = s->wrote;
	bool forgets = intent->next.head.horizon > s->base.head.horizon;
	sync_head_done(&s->base);
	s->base = intent->next;
	intent->next = (struct sync_head){0};
	return forgets ? sync_drop_tombstones(s) : PS_OK;
}

/* Another head is there: it goes back to ours, or ours never was and never will be. */
static int judge_conflict(struct ps_sync *s, struct sync_intent *intent, bool *ours)
{
	struct sync_head newer = {0};
	int err = sync_look(s, &newer);
	if (err != PS_OK)
		return err;
	if (!newer.there || newer.head.counter < intent->next.head.counter) {
		sync_head_done(&newer);
		return ps_fail(PS_EUNAVAILABLE, "%s: contradicts itself about which head is there",
		               ps_network_url(s->r->network));
	}
	const struct ps_head_machine *self = ps_head_machine(&newer.head, s->r->machine.id);
	*ours = self && self->last == intent->next.head.counter;
	sync_head_done(&newer);
	if (*ours)
		return sync_finish_own(s, intent, true);
	err = sync_settle_sent(s, 0);
	if (err == PS_OK)
		err = sync_forget_intent(s);
	return err == PS_OK ? sync_drop_orphans(s) : err;
}

static int send_intent(struct ps_sync *s, struct sync_intent *intent, bool *conflict)
{
	enum sync_fate fate;
	bool ours = true;
	*conflict = false;
	int err = sync_send_head(s, intent, &fate);
	if (err != PS_OK)
		return err;
	err = fate == SYNC_CONFLICT ? judge_conflict(s, intent, &ours) : sync_finish_own(s, intent, false);
	*conflict = !ours;
	return err;
}

/* Without a head on its way nothing was sent. */
static int take_back(struct ps_sync *s)
{
	int err = sync_settle_sent(s, 0);
	if (err == PS_OK && s->lefts.count > 0)
		err = sync_forget_intent(s);
	return err == PS_OK ? sync_drop_orphans(s) : err;
}

/* What the last sync, or the program's end, has left. `sends`: also a head that is on its way. */
static int resume(struct ps_sync *s, bool sends)
{
	struct sync_intent intent;
	bool conflict;
	int err = sync_settle_lefts(s);
	if (err == PS_OK)
		err = sync_load_intent(s, &intent);
	if (err == PS_OK) {
		err = sends ? send_intent(s, &intent, &conflict) : PS_OK;
		sync_intent_done(&intent);
		return err;
	}
	return err == PS_ENOTFOUND ? take_back(s) : err;
}

int ps_sync_drop_left(ps_remote *r)
{
	struct ps_sync s;
	int err = sync_begin(&s, r, "purge", NULL, NULL);
	if (err != PS_OK)
		return err == PS_EBUSY ? PS_OK : err; /* who is syncing sees to it */
	s.op.progress = NULL;
	(void)ps_operation_fail(&s.op, resume(&s, false));
	return sync_end(&s);
}

/* ---- sending ---- */

/* From now on whatever leaves a record may be named by the head that is being made. */
static void raise_head_may(ps_remote *r, uint64_t head)
{
	pthread_mutex_lock(&r->lock);
	if (head > r->head_may)
		r->head_may = head;
	pthread_mutex_unlock(&r->lock);
}

/* The first head that this machine writes after it has heard of another one ends what it could do alone: from
 * then on, who replaces a value frees its pads, whoever wrote them. So nothing that may have such pads, and
 * is not in that head, may be left here. */
static int wait_for_sharers(struct ps_sync *s)
{
	for (unsigned tries = 0; ps_manager_sharers(s->r) > 0; tries++) {
		if (tries == SYNC_BUSY_TRIES)
			return ps_fail(PS_EBUSY,
			               "another machine has joined, and a call that began before is "
			               "changing a value: sync again when it has ended");
		int err = sync_wait(s, SYNC_BUSY_WAIT_MS * PS_MS_NS);
		if (err != PS_OK)
			return err;
	}
	return PS_OK;
}

static bool heard_of_others(const struct ps_sync *s)
{
	return ps_head_kept(&s->base.head, s->r->machine.id) > 0;
}

static int send_head(struct ps_sync *s, struct ps_head *next, bool *conflict)
{
	struct sync_intent intent = {0};
	int err = sync_seal_head(s, &s->base, next, &intent);
	intent.skipped = s->skipped;
	if (err == PS_OK)
		err = sync_keep_intent(s, &intent);
	if (err == PS_OK)
		err = send_intent(s, &intent, conflict);
	sync_intent_done(&intent);
	return err;
}

/* sync_write_run, and whether the run may have one of two records that go together without the other: a call
 * had that, or a rename came in between, so that one was read before it (or not at all) and one after. */
static int write_run(struct ps_sync *s, struct ps_head *next, struct sync_run *run, bool *found, bool *parted)
{
	bool moving, still_moving;
	uint64_t before = ps_manager_moves(s->r, &moving);
	int err = sync_write_run(s, next, run, found);
	bool moved = moving || ps_manager_moves(s->r, &still_moving) != before;
	*parted = s->moves_sent && (s->moves_left || moved);
	return err;
}

/* A head, if there is anything for it; *again: other calls had what has to be in it. */
static int send_once(struct ps_sync *s, bool *conflict, bool *again)
{
	struct sync_run run = {0};
	struct ps_head next = {0};
	bool found = false, parted = false;
	s->skipped = s->skipped_known = s->moves_sent = s->moves_left = false;
	uint64_t before = s->result.sent;
	int err = ps_head_next(&s->base.head, s->base.hash, s->r->machine.id, s->r->machine.name,
	                       ps_remote_wall_ns(s->r), &next);
	if (err != PS_OK)
		return err;
	raise_head_may(s->r, next.counter);
	s->wrote = true;
	if (s->drops)
		err = sync_drop_machine(s, &next);
	if (err == PS_OK)
		err = write_run(s, &next, &run, &found, &parted);
	*again = err == PS_OK && (parted || (s->skipped_known && heard_of_others(s)));
	/* The next time. One rename is hardly ever followed by another; with many, none of them goes. */
	s->moves_stay = parted && (s->moves_left || s->moves_met);
	s->moves_met = parted;
	if (err == PS_OK && (found || s->drops) && !*again)
		err = send_head(s, &next, conflict);
	else if (err == PS_OK && found)
		err = sync_settle_sent(s, 0);
	if (err == PS_OK && run.begun && (!found || *again))
		err = sync_drop_orphans(s);
	s->result.lost_races += *conflict;
	if (*conflict || *again)
		s->result.sent = before;
	sync_run_done(s, &run);
	ps_head_done(&next);
	return err;
}

static int send_changes(struct ps_sync *s, bool *conflict)
{
	bool again = true, first = heard_of_others(s);
	*conflict = false;
	if (first && s->merging == SYNC_MERGES_ONLY)
		return PS_OK; /* all that was changed goes with that head */
	int err = first ? wait_for_sharers(s) : PS_OK;
	for (unsigned tries = 0; err == PS_OK && again; tries++) {
		err = send_once(s, conflict, &again);
		if (err == PS_OK && again)
			err = tries < SYNC_BUSY_TRIES
			          ? sync_wait(s, SYNC_BUSY_WAIT_MS * PS_MS_NS)
			          : ps_fail(PS_EBUSY,
			                    "another machine has joined, and calls are changing values "
			                    "that it knows: sync again when they have ended");
	}
	return err;
}

static int take_newer(struct ps_sync *s)
{
	struct sync_head newer = {0};
	int err = sync_look(s, &newer);
	/* Before anything of others is here, and for all calls that begin from now on. */
	if (err == PS_OK && newer.there && !ps_head_only(&newer.head, s->r->machine.id))
		ps_manager_set_alone(s->r, false);
	if (err == PS_OK && newer.there)
		err = sync_merge(s, &newer);
	sync_head_done(&newer);
	return err;
}

/* Pads of a head that has just been replaced may be other ones by now. */
static bool moved_meanwhile(int err)
{
	return err == PS_ESUPERSEDED || err == PS_ELOST || err == PS_EAUTH || err == PS_EROLLBACK;
}

/* The network shows another head than a moment ago. */
static bool has_moved(struct ps_sync *s, uint64_t counter)
{
	struct sync_head now = {0};
	bool moved = sync_fetch_head(s, &now) == PS_OK && now.there && now.head.counter > counter;
	sync_head_done(&now);
	return moved;
}

/* Whether what failed may have failed because the head has moved since; else the failure stays this thread's.
 */
static bool may_try_again(struct ps_sync *s, int err)
{
	struct ps_anchor anchor;
	char sentence[PS_NET_SENTENCE * 2];
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	bool again = moved_meanwhile(err) &&
	             ps_anchor_read(s->r->folder, ps_keys_store(s->r->keys), &anchor) == PS_OK &&
	             has_moved(s, anchor.counter);
	if (!again)
		(void)!ps_fail(err, "%s", sentence);
	return again;
}

static int one_try(struct ps_sync *s, bool sends, bool *again)
{
	int err = take_newer(s);
	*again = false;
	if (err == PS_OK && sends)
		err = send_changes(s, again);
	if (err == PS_OK || !may_try_again(s, err))
		return err;
	*again = true;
	return PS_OK;
}

static int try_on(struct ps_sync *s, bool sends)
{
	struct ps_backoff backoff;
	ps_backoff_init(&backoff, FIRST_WAIT_MS, MOST_WAIT_MS, s->r->seams.seed + s->base.head.counter + 1);
	for (uint32_t tries = 1;; tries++) {
		bool again;
		int err = one_try(s, sends, &again);
		if (err != PS_OK || !again)
			return err;
		if (tries == MOST_TRIES)
			return ps_fail(PS_EBUSY, "other machines were faster %d times in a row", MOST_TRIES);
		err = sync_wait(s, ps_backoff_delay_ns(&backoff, tries));
		if (err != PS_OK)
			return err;
	}
}

int sync_take(struct ps_sync *s)
{
	return try_on(s, false);
}

int sync_all(struct ps_sync *s)
{
	bool sends = ps_keys_can_write(s->r->keys);
	int err = sends ? resume(s, true) : PS_OK;
	return err == PS_OK ? try_on(s, sends) : err;
}

static int call(ps_remote *r, enum sync_merging merging, const char *drops, ps_remote_progress_fn progress,
                void *progress_arg, struct ps_remote_sync_result *result)
{
	struct ps_sync s;
	int err = sync_begin(&s, r, "sync", progress, progress_arg);
	if (err != PS_OK)
		return err;
	s.merging = merging;
	s.drops = drops;
	if (drops && !ps_keys_can_write(r->keys))
		err = ps_fail(PS_EREADONLY, "a key that only reads drops no machine");
	if (err == PS_OK)
		err = sync_all(&s);
	if (err == PS_OK)
		err = sync_due(&s, &s.result.merge_due);
	(void)ps_operation_fail(&s.op, err);
	s.result.head = s.base.head.counter;
	struct ps_remote_sync_result told = s.result;
	err = sync_end(&s);
	if (err == PS_OK && result)
		*result = told;
	return err;
}

int ps_remote_sync(ps_remote *r, ps_remote_progress_fn progress, void *progress_arg,
                   struct ps_remote_sync_result *result)
{
	return call(r, SYNC_MERGES_LITTLE, NULL, progress, progress_arg, result);
}

/* A head of this machine's that is on its way is for a sync to settle: nothing is taken before. */
static int take_settled(struct ps_sync *s)
{
	struct sync_intent intent;
	int err = sync_load_intent(s, &intent);
	if (err == PS_ENOTFOUND)
		return sync_take(s);
	if (err != PS_OK)
		return err;
	sync_intent_done(&intent);
	return ps_fail(PS_EBUSY, "a head of this machine's is on its way: the next sync tells");
}

int ps_remote_take(ps_remote *r, ps_remote_progress_fn progress, void *progress_arg)
{
	return sync_call(r, "take", take_settled, progress, progress_arg);
}

int ps_remote_tidy(ps_remote *r, ps_remote_progress_fn progress, void *progress_arg,
                   struct ps_remote_sync_result *result)
{
	return call(r, SYNC_MERGES_DUE, NULL, progress, progress_arg, result);
}

int ps_remote_drop_machine(ps_remote *r, const char *machine, struct ps_remote_sync_result *result)
{
	if (!machine || !*machine)
		return ps_fail(PS_EINVAL, "ps_remote_drop_machine: no machine is named");
	return call(r, SYNC_MERGES_LITTLE, machine, NULL, NULL, result);
}
