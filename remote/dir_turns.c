/* Writes of the background take turns. What is written by direct writes lies in the disk's queue at once,
 * with a flush behind it: twenty pads of a push at a time are 40 MiB that a commit of the application's own
 * store, a page and a flush, would wait behind. Two at a time keep a disk as busy, nearly: one is written
 * while the other is flushed. */
#include "remote/dir_internal.h"

enum { BACKGROUND_WRITES = 2 };

void dir_turns_init(struct dir_turns *turns)
{
	turns->taken = 0;
	pthread_mutex_init(&turns->lock, NULL);
	pthread_cond_init(&turns->given, NULL);
}

void dir_turns_done(struct dir_turns *turns)
{
	pthread_cond_destroy(&turns->given);
	pthread_mutex_destroy(&turns->lock);
}

void dir_turn_take(struct dir_turns *turns, enum ps_token_class class)
{
	if (class != PS_TOKEN_BACKGROUND)
		return;
	pthread_mutex_lock(&turns->lock);
	while (turns->taken == BACKGROUND_WRITES)
		pthread_cond_wait(&turns->given, &turns->lock);
	turns->taken++;
	pthread_mutex_unlock(&turns->lock);
}

void dir_turn_give(struct dir_turns *turns, enum ps_token_class class)
{
	if (class != PS_TOKEN_BACKGROUND)
		return;
	pthread_mutex_lock(&turns->lock);
	turns->taken--;
	pthread_cond_signal(&turns->given);
	pthread_mutex_unlock(&turns->lock);
}
