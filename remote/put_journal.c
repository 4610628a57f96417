/* The journal of a put: what is to be written into its record, gathered from all who have something to note,
 * in one commit after another. */
#include <stdio.h>

#include "base/fail.h"
#include "remote/put_internal.h"

int put_journal_init(struct put_journal *journal)
{
	*journal = (struct put_journal){0};
	int err = ps_clock_cond_init(&journal->changed);
	if (err == PS_OK)
		pthread_mutex_init(&journal->lock, NULL);
	return err;
}

void put_journal_done(struct put *put)
{
	struct put_journal *journal = &put->journal;
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

/* The lock is held, and is again at the end; somebody else may have written ours meanwhile. */
static void write_or_wait(struct put *put)
{
	struct put_journal *journal = &put->journal;
	if (journal->busy) {
		pthread_cond_wait(&journal->changed, &journal->lock);
		return;
	}
	journal->busy = true;
	hold_locked(put);
	pthread_mutex_unlock(&journal->lock);
	int err = commit_held(put);
	pthread_mutex_lock(&journal->lock);
	end_locked(put, err);
}

int put_journal_write(struct put *put, uint32_t place, const struct ps_pad_slot *slot)
{
	struct put_journal *journal = &put->journal;
	pthread_mutex_lock(&journal->lock);
	int err = add_locked(put, place, slot);
	uint64_t mine = journal->noted;
	while (err == PS_OK && journal->written < mine) {
		if (journal->error != PS_OK)
			err = ps_fail(journal->error, "%s", journal->sentence);
		else
			write_or_wait(put);
	}
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
	int err = PS_OK;
	pthread_mutex_lock(&journal->lock);
	while (journal->busy)
		pthread_cond_wait(&journal->changed, &journal->lock);
	if (journal->error != PS_OK) {
		err = ps_fail(journal->error, "%s", journal->sentence);
	} else {
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
