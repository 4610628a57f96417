/* The half of a sync that sends nothing: for reads that find something gone, and want to know why. For
 * layers, not for applications. */
#ifndef PS_REMOTE_TAKE_H
#define PS_REMOTE_TAKE_H

#include <padstone/remote.h>

/* Takes what other machines have changed, as ps_remote_sync does; what was changed here stays here. One
 * request, if there is nothing new. PS_EROLLBACK, PS_EFORK, PS_ELOST: what the network shows is not what was
 * used here, or nothing; nothing is taken. PS_EBUSY: another call is syncing, or an earlier one has left a
 * head of which it is not known what became. Any thread. Other errors are those of a sync. */
PS_CHECKED int ps_remote_take(ps_remote *r, ps_remote_progress_fn progress, void *progress_arg);

#endif
