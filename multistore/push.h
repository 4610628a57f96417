/* A store on pads: ps_push makes a cut of it durable on a network that nobody has to trust, ps_clone makes it again anywhere, from the
 * network and the key. What is sent is what has changed. How it lies there, and what a crash between any two steps leaves:
 * multistore/PADS.md.
 *
 * Errors are those of <padstone/storer.h> and <padstone/remote.h>. */
#ifndef PS_PUSH_H
#define PS_PUSH_H

#include <padstone/base_store.h>
#include <padstone/multi_store.h>
#include <padstone/remote.h>
#include <padstone/remote_copy.h>
#include <padstone/storer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Begins with its size; zero means the default everywhere. */
struct ps_push_options {
	size_t size;         /* sizeof(struct ps_push_options) */
	uint32_t history;    /* earlier states that stay, and can be cloned; none */
	int compression;     /* zstd's level; 1. -1: none */
	uint64_t pack_bytes; /* contents of one value of the remote, at most; 64 MiB; from 4 KiB, where a piece of 64 KiB goes beyond, to 1 GiB */
	ps_progress_fn
	    progress; /* done: bytes of contents that arrived; total (0: not known); caller's thread */
	void *progress_arg;
	uint32_t urgent; /* 1: it does not stand back for others who want processors, disk or network */
};
struct ps_push_result {
	uint64_t state;           /* its number: later pushes have higher ones */
	uint64_t commit;          /* the last one in it */
	uint64_t objects, gone;   /* that were sent; ids that were sent as gone */
	uint64_t bytes;           /* of contents that were sent, uncompressed */
	uint64_t packs, kept_packs; /* sent; taken over from a push that did not end */
	uint64_t removed_packs;   /* that no state needs any more */
	uint64_t sent_bytes, requests; /* of everything, the index included */
};
/* Brings the network to a cut of s that is not older than the call. r NULL: the network that s is attached to (struct ps_multi_options),
 * before any push in the background. Until it returns, and after any failure, the network has the state
 * before, whole; what a failed push has sent is used by the next one. Writers go on meanwhile, and come first: unless it is urgent, a push seals and sends
 * in threads that get a tenth of a processor where others want it, and all of it where nobody does. Pads that no kept state needs are free for
 * later pushes once the new state is confirmed.
 *
 * One store has one network, one line of states, and one holder, which is the file that began it or has taken it over: PS_EHELD: it is another
 * one, and this file never was; the sentence says which, and since when. PS_EFENCED: another one has taken over from this file, which is as it was:
 * export what it has, or push it under another store name. PS_EFORK: the newest state there was not pushed from this store as it is here (another
 * store, a copy, or an older file of this one), or another file was faster; what was there stays: clone, or push under another store name.
 * PS_ECANCELED: progress said so; within a second. PS_EREADONLY: the key, or s, only reads. PS_ERANGE: too many states. PS_EBUSY: a push or a sync is under way, or two backups or cuts are.
 * PS_ENOSPC: writers freed more meanwhile than the cut may hold back (pin_limit). PS_EUNAVAILABLE: also, r is not the network that contents of s have left
 * its file for, and s is not attached to that: nothing was done. PS_ENOTSUP: s cannot be cut. options and result may be
 * NULL. Any thread. */
PS_CHECKED PS_API int ps_push(ps_storer *s, ps_remote *r, const struct ps_push_options *options, struct ps_push_result *result);

/* The file of s holds its line of states from now on: who held it before gets PS_EFENCED from its next push, whatever it has under way, and keeps
 * what it has. s has the newest state (a clone of it, or the file that pushed it), else PS_EFORK: clone it with `take_over`. One compare-and-swap of the
 * head, and a fence behind the log. No clock decides, and nothing asks the holder: that it is gone, or has to give way, is for the caller to know. PS_OK also if
 * the file holds it already. After a failure either holds it, and the call can be made again. PS_EHELD, PS_EFENCED: yet another was faster.
 * PS_ENOTFOUND: nothing was pushed here. r NULL: as in ps_push. PS_ECANCELED, PS_EBUSY, PS_EREADONLY. progress may be NULL. Any thread. */
PS_CHECKED PS_API int ps_take_over(ps_storer *s, ps_remote *r, ps_progress_fn progress, void *progress_arg);

/* Who holds the line of states, as the last sync of r had it: one request. */
struct ps_push_holder {
	char text[64];     /* host/process, as it was when it began to hold */
	uint64_t since_ns; /* by its clock: for people */
	uint64_t epoch;    /* of writers: 1, and one more with each takeover */
};
/* PS_ENOTFOUND: nothing was pushed here. */
PS_CHECKED PS_API int ps_push_holder(ps_remote *r, struct ps_push_holder *holder);

struct ps_clone_options {
	size_t size;    /* sizeof(struct ps_clone_options) */
	uint64_t state; /* which one; the newest */
	const struct ps_base_options *base; /* of the new store while it is filled; NULL: defaults */
	const struct ps_multi_options *multi; /* its classes; NULL: defaults. A network in them is not looked at */
	ps_progress_fn progress;
	void *progress_arg;
	uint32_t without_log; /* exactly the newest state, and not what was shipped behind it: where the log cannot be read */
	uint32_t take_over; /* 1: the new file holds the store from now on, as after ps_take_over; of the newest state */
	/* 1: nothing of the state is fetched: what it has is asked of the network when it is touched, by a store that is attached to it
	   (ps_multi_open_at). What the log behind it has changed is in the file. The state must be kept for as long as another file
	   pushes there: what it pushes over is PS_ESUPERSEDED here. */
	uint32_t lazy;
};
struct ps_clone_result {
	uint64_t state, commit, objects, bytes; /* commit: the last one that is in it */
	uint64_t received_bytes, requests;
	uint64_t log_groups; /* that were shipped behind the state, and are in it */
	uint64_t written_bytes; /* to the file, before it was closed */
};
/* The store of a state, the newest with the commits that were shipped behind it, as a new file at path, r synced before (a state of another machine's is seen): it appears when it is whole, until then
 * it is "path.partial-PROCESS". Small contents lie in classes. Its next push goes on where the state was, if it was the newest.
 * PS_ECORRUPT: a pack is not what it should be; the sentence names it. PS_ESUPERSEDED: another push has dropped the state meanwhile.
 * PS_ECANCELED. PS_EEXIST: something is at path. PS_ENOTFOUND: nothing was pushed here, or no such state is kept. PS_EAUTH, PS_ELOST, PS_EROLLBACK, PS_EFORK:
 * as ps_remote_get. */
PS_CHECKED PS_API int ps_clone(ps_remote *r, const char *path, const struct ps_clone_options *options, struct ps_clone_result *result);

struct ps_push_state {
	uint64_t state, commit, time_ns; /* time: by the clock of who pushed */
	uint64_t objects, bytes;         /* of the whole store */
	uint64_t runs, packs, pack_bytes; /* what a clone of it reads */
	uint32_t newest;
};
typedef int (*ps_push_state_fn)(void *arg, const struct ps_push_state *state);
/* The states that can be cloned, the newest first, as the last sync of r had them: one request. Other than 0 from fn ends it with PS_ECANCELED.
 * PS_ENOTFOUND: nothing was pushed here. */
PS_CHECKED PS_API int ps_push_history(ps_remote *r, ps_push_state_fn fn, void *arg);

/* As ps_remote_copy, with r synced before and after, and with the log behind the newest state: a clone of the copy is the state and the log as it
 * was when it was copied. A copy that was cut off is a state, or a state with a part of its log. log_pads: of the log, that the copy has now (may be
 * NULL). A key that only reads copies no log. Where nothing was pushed it is ps_remote_copy. PS_EBUSY: also, pushes came again and again. */
PS_CHECKED PS_API int ps_push_copy(ps_remote *r, const char *url, const struct ps_remote_copy *options, struct ps_remote_copy_result *result, uint64_t *log_pads);
/* As ps_remote_gc, which leaves logs alone; with it pads go that lie before the log of the newest state: a log that began anew has left them, or a
 * push that was cut off. By the same rule. */
PS_CHECKED PS_API int ps_push_gc(ps_remote *r, const struct ps_remote_gc *options, struct ps_remote_gc_result *result);

struct ps_push_verify_result {
	uint64_t state, commit; /* the newest state; the last commit that a clone has, the log's included */
	uint64_t log_groups;    /* that count behind the state */
	uint64_t log_pads, log_bytes; /* all that were read */
	uint32_t fenced;        /* 1: the log ends at a fence: another file has taken over */
};
/* Reads the log behind the newest state as a clone does, and keeps nothing: all its pads are there, authentic, each behind the one before, and what
 * they hold joins the state. Beyond what a clone sees: none is missing before others that are there, and none is a pad of something else in this
 * machine's index. (Packs are values: ps_remote_health looks at their pads.) What others pushed is taken before. PS_OK also where nothing was pushed, as far
 * as this machine's index knows, or no log is shipped; result (may be NULL) is zero where nothing was pushed. A log that has lost its last pads is a
 * shorter one, to everybody but its writer.
 * PS_ELOST: a pad in the middle is gone, what is behind it counts no more; PS_EFORK, PS_EAUTH, PS_ECORRUPT: one is not what it should be; the next
 * push of the holder carries what it had. PS_EBUSY: pushes came again and again. A key that only reads cannot tell what lies behind the end. */
PS_CHECKED PS_API int ps_push_verify(ps_remote *r, ps_remote_progress_fn progress, void *progress_arg, struct ps_push_verify_result *result);

/* How far the network of an attached store (struct ps_multi_options) is behind it. */
struct ps_remote_status {
	uint64_t state, commit; /* of the last push: its number, the last commit in it; 0: there was none */
	uint64_t pushed_ns;     /* when it ended, since 1970; 0: not known */
	uint64_t pushed_bytes;  /* that it sent */
	uint64_t commits;       /* that are not pushed; moving contents about counts, where it came after the last push */
	uint64_t bytes;         /* of contents, committed since the store was opened and not pushed */
	uint64_t lag_ns;        /* since the first commit that is not pushed; where that was before the store was opened, since the last
	                           push. 0: all is there */
	uint32_t pushing;       /* 1: a push is under way */
	uint32_t stopped;       /* 1: no background pushes until one by a caller succeeds */
	uint32_t failures;      /* in a row */
	int error;              /* of the last one; PS_OK */
	uint64_t retry_ns;      /* until the next background push may begin */
	char message[512];      /* the last failure's sentence, or empty */
	uint64_t requests, sent_bytes, received_bytes; /* of the remote, since it was opened */
	uint32_t log;           /* enum ps_log_state */
	uint64_t log_commit;    /* the last one that is shipped, or pushed */
	uint64_t log_commits;   /* that are neither */
	uint64_t log_bytes;     /* of contents, in these */
	uint64_t log_lag_ns;    /* since the first of them; 0: there are none */
	uint64_t log_groups;    /* shipped since the store was opened */
	uint32_t log_failures;  /* in a row */
	int log_error;          /* of the last one; PS_OK */
	char log_message[512];  /* and its sentence */
};
enum ps_log_state {
	PS_LOG_NONE = 0,   /* none is shipped */
	PS_LOG_SHIPS = 1,
	PS_LOG_STANDS = 2, /* it goes on behind the next push: there was none yet, or more was changed than it takes */
};
/* Asks no network. PS_EINVAL: s is not attached. Any thread. */
PS_CHECKED PS_API int ps_remote_status(ps_storer *s, struct ps_remote_status *status);
/* Until all that was committed before the call is shipped, or pushed: what is lost with the machine afterwards came later. Does not wait
 * for log_ms. PS_ETIMEDOUT; PS_EUNAVAILABLE: and the network was not to be reached. The commits stay, and are shipped when that can be.
 * PS_EFENCED, PS_EFORK: they never will be (ps_push tells more). PS_ENOTSUP: no log is shipped (struct ps_multi_options). PS_EINVAL: s is
 * not attached. Any thread. */
PS_CHECKED PS_API int ps_remote_wait(ps_storer *s, uint32_t timeout_ms);
/* The same of any store that can be pushed, by what its file knows: figures of a running process are zero. lag_ns is UINT64_MAX if nothing was ever
 * pushed from it; a clone counts as pushed when its own first push has ended. PS_ENOTSUP: s cannot be cut. */
PS_CHECKED PS_API int ps_push_status(ps_storer *s, struct ps_remote_status *status);

#ifdef __cplusplus
}
#endif
#endif
