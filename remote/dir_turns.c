/* Writes of the background take turns. What is written by direct writes lies in the disk's queue at once,
 * with a flush behind it: twenty pads of a push at a time are 40 MiB that a commit of the application's own
 * store, a page and a flush, would wait behind. Two at a time keep a disk as busy, nearly: one is written
 * while the other is flushed. */
#include "remote/dir_internal.h"

enum { BACKGROUND_WRITES = 2 };

void dir_turns_init(sem_t *turns)
{
	(void)sem_init(turns, 0, BACKGROUND_WRITES);
}

void dir_turn_take(sem_t *turns, enum ps_token_class class)
{
	while (class == PS_TOKEN_BACKGROUND && sem_wait(turns) != 0)
		; /* a signal */
}

void dir_turn_give(sem_t *turns, enum ps_token_class class)
{
	if (class == PS_TOKEN_BACKGROUND)
		(void)sem_post(turns);
}
