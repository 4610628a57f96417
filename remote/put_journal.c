/* The journal of a put: what is to be written into its record, gathered from all who have something to note,
 * in one commit after another. */
#include <stdio.h>

#include "base/fail.h"
#include "base/thread.h"
#include "remote/put_internal.h"

/* From this chunk on it is worth a thread: values of one or two pads are most of all. */
enum { THREAD_FROM = 2 };

int put_journal_init(struct put_journal *journal)
{
	*journal = (struct put_journal){0};
	int err = ps_clock_cond_init(&journal->changed);
	if (err == PS_OK)
		pthread_mutex_init(&journal->lock, NULL);
	return err;
}

static void end_thread(struct put_journal *journal)
{
	pthread_mutex_lock(&journal->lock);
	journal->ending = true;
	pthread_cond_broadcast(&journal->changed);
	pthread_mutex_unlock(&journal->lock);
	if (journal->has_thread)
		pthread_join(journal->thread, NULL);
}

void put_journal_done(struct put *put)
{
	struct put_journal *journal = &put->journal;
	end_thread(journal);
	ps_memory_free(&put->r->memory, journal->notes, journal->capacity * sizeof(*journal->notes));
	ps_memory_free(&put->r->memory, journal->held, journal->held_capacity * sizeof(*journal->held));
	pthread_mutex_destroy(&journal->lock);
	pthread_cond_destroy(&journal->changed);
}

static int add_locked(struct put *put, uint32_t place, const struct ps_pad_slot *slot)
{
	struct put_journal *journal = &put->journal;
	struct put_note *grown = ps_memory_grow(&put->r->memory, journal->notes, journal->count,
	                                        &journal->capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	journal->notes = grown;
	journal->notes[journal->count++] = (struct put_note){place, *slot};
	journal->noted++;
	return PS_OK;
}

/* What was noted is held by whoever has the record now, and is in it. */
static void hold_locked(struct put *put)
{
	struct put_journal *journal = &put->journal;
	struct put_note *notes = journal->held;
	size_t capacity = journal->held_capacity;
	journal->held = journal->notes;
	journal->held_count = journal->count;
	journal->held_capacity = journal->capacity;
	journal->notes = notes;
	journal->capacity = capacity;
	journal->count = 0;
	journal->held_to = journal->noted;
	for (size_t i = 0; i < journal->held_count; i++) {
		const struct put_note *note = &journal->held[i];
		put->record.sets[PS_SET_NEXT].slots[note->place] = note->slot;
	}
}

/* What a lane waits for is there, or will never be. */
static bool is_settled(const struct put_journal *journal, const struct put_lane *lane)
{
	return journal->error != PS_OK || lane->noted <= journal->written;
}

static void release_locked(struct put_journal *journal)
{
	struct put_lane **at = &journal->waiting;
	while (*at) {
		struct put_lane *lane = *at;
		if (!is_settled(journal, lane)) {
			at = &lane->behind;
			continue;
		}
		*at = lane->behind;
		ps_task_ready(&lane->write.settle.task);
	}
}

static void end_locked(struct put *put, int err)
{
	struct put_journal *journal = &put->journal;
	if (err == PS_OK) {
		journal->written = journal->held_to;
	} else if (journal->error == PS_OK) {
		journal->error = err;
		snprintf(journal->sentence, sizeof(journal->sentence), "%s", ps_last_error_message());
	}
	journal->held_count = 0;
	journal->busy = false;
	release_locked(journal);
	pthread_cond_broadcast(&journal->changed);
}

int put_journal_put_held(struct put *put, ps_index_txn *txn)
{
	struct put_journal *journal = &put->journal;
	int err = PS_OK;
	for (size_t i = 0; i < journal->held_count && err == PS_OK; i++)
		err = ps_txn_set_slot(txn, PS_RECORD_BLOB, put->record.name, put->record.name_len,
		                      PS_SET_NEXT, journal->held[i].place, &journal->held[i].slot);
	return err;
}

static int commit_held(struct put *put)
{
	ps_index_txn *txn;
	if (put->journal.held_count == 0)
		return PS_OK;
	int err = ps_index_begin(put->r->index, &txn);
	if (err != PS_OK)
		return err;
	err = put_journal_put_held(put, txn);
	if (err == PS_OK)
		return ps_index_commit(txn);
	ps_index_abort(txn);
	return err;
}

/* The lock is held, and is again at the end. */
static void write_one_locked(struct put *put)
{
	struct put_journal *journal = &put->journal;
	journal->busy = true;
	hold_locked(put);
	pthread_mutex_unlock(&journal->lock);
	int err = commit_held(put);
	pthread_mutex_lock(&journal->lock);
	end_locked(put, err);
}

/* ---- its thread ---- */

/* Who wants the record for something else gets it before the next lanes do: a caller may wait for that. */
static bool may_write(const struct put_journal *journal)
{
	return journal->waiting && !journal->busy && journal->wanted == 0;
}

static void *write_for_lanes(void *arg)
{
	struct put *put = arg;
	struct put_journal *journal = &put->journal;
	pthread_mutex_lock(&journal->lock);
	(void)ps_tokens_set_class(journal->class);
	while (!journal->ending) {
		if (may_write(journal))
			write_one_locked(put);
		else
			pthread_cond_wait(&journal->changed, &journal->lock);
	}
	pthread_mutex_unlock(&journal->lock);
	return NULL;
}

/* Without one the workers wait as they do for the first chunks. */
static bool has_thread_locked(struct put *put, const struct put_lane *lane)
{
	struct put_journal *journal = &put->journal;
	if (!journal->has_thread && lane->chunk >= THREAD_FROM) {
		journal->class = ps_tokens_class();
		journal->has_thread = ps_thread_start(&journal->thread, write_for_lanes, put) == 0;
	}
	return journal->has_thread;
}

/* ---- what is noted ---- */

static int error_locked(const struct put_journal *journal)
{
	return journal->error == PS_OK ? PS_OK : ps_fail(journal->error, "%s", journal->sentence);
}

/* Somebody else may write ours meanwhile. */
static int wait_for_locked(struct put *put, uint64_t noted)
{
	struct put_journal *journal = &put->journal;
	while (journal->error == PS_OK && journal->written < noted) {
		if (journal->busy)
			pthread_cond_wait(&journal->changed, &journal->lock);
		else
			write_one_locked(put);
	}
	return journal->written < noted ? error_locked(journal) : PS_OK;
}

static int begin_waiting_locked(struct put_lane *lane)
{
	struct put *put = lane->put;
	struct put_journal *journal = &put->journal;
	int err = error_locked(journal);
	if (err == PS_OK)
		err = add_locked(put, lane->place, &lane->slot);
	if (err != PS_OK)
		return err;
	lane->noted = journal->noted;
	if (!has_thread_locked(put, lane))
		return wait_for_locked(put, lane->noted);
	lane->behind = journal->waiting;
	journal->waiting = lane;
	pthread_cond_broadcast(&journal->changed);
	return PS_TASK_LATER;
}

int put_journal_write(struct put_lane *lane)
{
	struct put_journal *journal = &lane->put->journal;
	pthread_mutex_lock(&journal->lock);
	bool asked = lane->noted > 0;
	int err = asked ? PS_OK : begin_waiting_locked(lane);
	if (asked && journal->written < lane->noted)
		err = error_locked(journal);
	pthread_mutex_unlock(&journal->lock);
	return err;
}

int put_journal_note(struct put *put, uint32_t place, const struct ps_pad_slot *slot)
{
	pthread_mutex_lock(&put->journal.lock);
	int err = add_locked(put, place, slot);
	pthread_mutex_unlock(&put->journal.lock);
	return err;
}

int put_journal_begin(struct put *put)
{
	struct put_journal *journal = &put->journal;
	pthread_mutex_lock(&journal->lock);
	journal->wanted++;
	while (journal->busy)
		pthread_cond_wait(&journal->changed, &journal->lock);
	journal->wanted--;
	int err = error_locked(journal);
	if (err == PS_OK) {
		journal->busy = true;
		hold_locked(put);
	}
	pthread_mutex_unlock(&journal->lock);
	return err;
}

int put_journal_end(struct put *put, int err)
{
	pthread_mutex_lock(&put->journal.lock);
	end_locked(put, err);
	pthread_mutex_unlock(&put->journal.lock);
	return err;
}

int put_journal_flush(struct put *put)
{
	int err = put_journal_begin(put);
	return err == PS_OK ? put_journal_end(put, commit_held(put)) : err;
}
