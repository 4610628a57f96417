#include "base/turn.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Counted before the kernel looks at the number: who changes the number afterwards sees the sleeper, and who
 * changed it before is seen by the kernel. */
void ps_turn_wait(struct ps_turn *turn, uint32_t seen)
{
	atomic_fetch_add(&turn->sleepers, 1);
	(void)syscall(SYS_futex, &turn->number, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	atomic_fetch_sub(&turn->sleepers, 1);
}

void ps_turn_next(struct ps_turn *turn, bool all)
{
	atomic_fetch_add(&turn->number, 1);
	if (atomic_load(&turn->sleepers))
		(void)syscall(SYS_futex, &turn->number, FUTEX_WAKE_PRIVATE, all ? INT_MAX : 1, NULL, NULL, 0);
}
