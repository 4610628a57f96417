/* Blobs on a network that nobody has to trust: values under keys, sealed and signed here, kept in pads there.
 *
 * A remote is one store on one network under one user key. What it knows of its pads lies in an index on this
 * machine, durable before every call returns, so that an interrupted call goes on where it was. All calls
 * return PS_OK or a negative ps_error and may set ps_last_error_message(); out parameters are untouched on
 * failure. Common to all: PS_EINVAL, PS_ENOMEM, PS_EIO and PS_ECORRUPT (of the index), PS_ENOSPC,
 * PS_EREADONLY (a write with a key that only reads), PS_ECANCELED (a callback refused); to those that ask the
 * network: PS_EUNAVAILABLE, PS_EACCES, PS_ETIMEDOUT.
 *
 * Nothing that the network answers is believed: PS_EAUTH (not ours, or altered), PS_EROLLBACK (older than
 * what we know), PS_EFORK (another of the same number), PS_ESUPERSEDED (newer: another machine has changed
 * it), PS_ELOST (gone). Wrong bytes are never given.
 *
 * All values as files of a folder, and back: <padstone/remote_files.h>.
 *
 * Any thread may call any function at any time. A key is changed by one call at a time: the second gets
 * PS_EBUSY. Callbacks are called by the thread that called, with no lock held; they may call other functions
 * of this remote, but for ps_remote_close. Keys are 1 to 1,024 bytes and end with a NUL. */
#ifndef PS_REMOTE_H
#define PS_REMOTE_H

#include <stddef.h>
#include <stdint.h>

#include <padstone/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ps_remote ps_remote;

/* Payload of a pad. What does not fit a network's records is made smaller. */
enum ps_remote_mode {
	PS_REMOTE_DEFAULT_MODE = 0, /* medium */
	PS_REMOTE_SMALL = 1,        /* 128 KiB */
	PS_REMOTE_MEDIUM = 2,       /* 2 MiB */
	PS_REMOTE_LARGE = 3,        /* 8 MiB */
};

/* When a pad that was sent counts as confirmed. */
enum ps_remote_verify {
	PS_REMOTE_VERIFY_DEFAULT = 0, /* head */
	PS_REMOTE_VERIFY_HEAD = 1,    /* the network shows its number and hash */
	PS_REMOTE_VERIFY_NONE = 2,    /* not now: the value can be read with `unverified` until a health check */
	PS_REMOTE_VERIFY_SAMPLE = 3,  /* as head, and a sixteenth is read back */
	PS_REMOTE_VERIFY_READ = 4,    /* as head, and each is read back and opened */
};

enum ps_remote_phase {
	PS_REMOTE_PLAN = 1,    /* before the first request: `plan` is what is going to happen */
	PS_REMOTE_RUNNING = 2, /* counts have changed */
	PS_REMOTE_END = 3,     /* the last one; its result is not looked at */
};

/* What a call is going to cost. */
struct ps_remote_plan {
	uint64_t bytes;       /* of contents */
	uint64_t new_pads;    /* to be made */
	uint64_t reused_pads; /* free ones that are written anew */
	uint64_t kept_pads;   /* that stay as they are, where that is known before */
	uint64_t record_bytes; /* that are sent or fetched: contents sealed and padded */
	uint64_t requests;     /* if none has to be repeated */
	double price;          /* by the rates in the options */
	uint32_t exact;        /* 0: the most that it can be; a stream of unknown length tells nothing before */
};

struct ps_remote_progress {
	const char *operation; /* "put", "get", … */
	const char *key;       /* NULL where it is not about one */
	enum ps_remote_phase phase;
	struct ps_remote_plan plan;
	uint64_t pads_done, pads_total;   /* total 0: not known */
	uint64_t bytes_done, bytes_total; /* of contents */
	uint64_t reserved, written, confirmed, fetched, kept, recycled, retried; /* pads; retried: requests */
	uint64_t sent_bytes, received_bytes;                                     /* of records */
	uint64_t fallback;                                                       /* pads read from the fallback */
};
/* Other than 0 ends the call with PS_ECANCELED: within a second, whatever the network does. */
typedef int (*ps_remote_progress_fn)(void *arg, const struct ps_remote_progress *progress);

/* Fills up to `len` bytes; less only at the end. Other than PS_OK ends the call with that. */
typedef int (*ps_remote_read_fn)(void *arg, void *buf, size_t len, size_t *got);
/* Takes the next `len` bytes, all of them. Other than PS_OK ends the call with that. */
typedef int (*ps_remote_write_fn)(void *arg, const void *data, size_t len);

struct ps_remote_rates {
	double per_new_pad, per_request, per_gib_up, per_gib_down; /* of whatever currency */
};

/* Begins with its size; zero means the default everywhere. */
struct ps_remote_options {
	size_t size;                  /* sizeof(struct ps_remote_options) */
	const char *store;            /* one key holds many stores; "main" */
	const char *state;            /* the folder of this machine's state; PADSTONE_HOME, or padstone in
	                                 XDG_STATE_HOME or ~/.local/state */
	int mode;                     /* enum ps_remote_mode of new values */
	int verify;                   /* enum ps_remote_verify */
	uint32_t workers;             /* threads; processors, 8 at most */
	uint32_t depth;               /* requests in flight of one worker; 10 */
	uint64_t max_inflight;        /* bytes on their way; 128 MiB. What works in the background, pushes
	                                 among them, has half as much of its own */
	uint32_t timeout_ms;          /* of a request; 60,000 */
	uint32_t retries;             /* of a request; 20 */
	uint32_t max_recycles;        /* other pads tried for one that could not be written; 3 */
	uint64_t free_keep;           /* free pads that a purge leaves; 5 % of the live ones, all where making a
	                                 pad costs; UINT64_MAX: all */
	uint32_t not_found_times;     /* answers before a purge forgets a pad; 3 */
	uint32_t not_found_gap_s;     /* seconds between two of them that count; 3,600 */
	uint64_t max_pads;            /* of one call, new or reused; none */
	double max_cost;              /* of one call, by the rates; none */
	struct ps_remote_rates rates; /* for prices */
	uint64_t bytes_up, bytes_down, requests; /* limits a second; none */
	ps_remote_progress_fn progress; /* of all calls; while a store is opened it is asked, too, and can end that
	                                   (not while librados connects: that takes mount_timeout at most) */
	void *progress_arg;
	const char *head_code; /* of this store, as another machine shows it: PS_EROLLBACK, PS_EFORK unless the
	                          network's head goes back to it. Proves what is else taken on trust */
	const char *witness;   /* URL of a second network that has copies of this one's pads (ps_remote_copy): as
	                          a head code; its other options are the first one's */
	const char *fallback;  /* URL of such a network: a pad that the first one lost, refuses or gives wrong is
	                          read there, in the very version that is looked for or not at all, and repaired
	                          from there by a health check; the witness, if that is given. An error of
	                          opening it is one of opening the store */
	/* Of the network (remote/README.md has the URLs). */
	const char *region, *profile, *ca_file; /* s3: */
	const char *config, *user, *keyring;    /* rados: */
	uint32_t create;                        /* 1: ps_remote_init makes what the URL names (folder, …) */
	/* The application's allocator, all three or none. */
	void *(*alloc)(void *arg, size_t size);
	void *(*resize)(void *arg, void *memory, size_t old_size, size_t new_size);
	void (*release)(void *arg, void *memory, size_t size);
	void *alloc_arg;
};

/* One of the three; the caller wipes its own copy. */
struct ps_remote_key {
	const uint8_t *user_key;  /* 32 bytes: reads and writes */
	const uint8_t *read_root; /* 32 bytes: reads the store that it was taken for */
	const uint8_t *head_name; /* 32 bytes: with read_root, where the head is; a key file has it */
	const char *file;         /* a key file; PS_ENOENT, PS_EACCES, PS_EFORMAT, PS_EAUTH (passphrase) */
	const void *passphrase;   /* of the file, if it has one */
	size_t passphrase_len;
};

/* Makes a store on a network, and opens it. PS_EEXIST if this machine has it already, or the network shows
 * one. */
PS_CHECKED PS_API int ps_remote_init(const char *url, const struct ps_remote_key *key,
				     const struct ps_remote_options *options, ps_remote **r);
/* Opens a store; where this machine does not know it yet, takes it from the network, whole, on trust
 * (ps_remote_head). PS_ENOTFOUND: there is none (a wrong key, network or store name look alike): it has to be
 * made by ps_remote_init; nothing is ever "empty" instead. PS_ELOST: there was one when it was last used
 * here. PS_EBUSY (open elsewhere), PS_EAUTH, PS_ECORRUPT,
 * PS_EFORMAT, PS_EVERSION (the state on this machine is not this store's, or is damaged: it is left as it
 * is). */
PS_CHECKED PS_API int ps_remote_open(const char *url, const struct ps_remote_key *key,
				     const struct ps_remote_options *options, ps_remote **r);
struct ps_remote_rebuild_result {
	uint64_t head;       /* the number of the new head */
	uint64_t looked;     /* pads that the network lists */
	uint64_t refused;    /* that are not authentic: left as they are */
	uint64_t runs;       /* of the index, found whole and taken */
	uint64_t incomplete; /* not whole: replaced long ago, mostly; or what came with them is lost */
	uint64_t ambiguous;  /* left out, since another of the same number was taken */
};
/* For a network whose head is lost (PS_ELOST, or PS_ENOTFOUND on a machine that never saw it) and whose index is
 * still there: looks at every pad, takes the newest whole state of the index that this key has written, with
 * what this machine knows, and makes a new head. Opens the store. Nothing that is not authentic is taken, but
 * a network that keeps something back is not found out: compare what is there with what should be. PS_EEXIST:
 * the head is there. PS_ENOTFOUND: no index is. result may be NULL. */
PS_CHECKED PS_API int ps_remote_rebuild(const char *url, const struct ps_remote_key *key,
					const struct ps_remote_options *options, ps_remote **r,
					struct ps_remote_rebuild_result *result);
/* PS_EBUSY while a call is under way: nothing changed. NULL is PS_OK. */
PS_API int ps_remote_close(ps_remote *r);
/* Takes away what this machine knows of a store: its index, and which head it has used. Nothing on the network
 * changes, and it is not asked: what was synced is there for the next ps_remote_open, on trust. Values that
 * were not synced are lost, and their pads stay behind. PS_ENOTFOUND: nothing is known here. PS_EBUSY: it is
 * open. */
PS_CHECKED PS_API int ps_remote_forget(const char *url, const struct ps_remote_key *key,
				       const struct ps_remote_options *options);

/* ---- values ---- */

/* Begins with its size; zero means what the remote's options say. */
struct ps_remote_put {
	size_t size;         /* sizeof(struct ps_remote_put) */
	uint32_t replace;    /* 1: a complete value is replaced */
	int mode, verify;    /* as in the options */
	uint64_t max_pads;   /* PS_EQUOTA before more are taken */
	double max_cost;     /* PS_EQUOTA before more is spent */
	ps_remote_progress_fn progress;
	void *progress_arg;
	uint32_t yields;     /* 1: if a sync finds that another machine has changed the key as well, its value stays and this
				one is let go, instead of a conflict copy: of several that put it, one has done it */
};

/* The whole value, all or nothing: what was there is read until every new pad is confirmed. PS_EEXIST if there
 * is a complete value, and `replace` is not set; its sentence tells whether it has these contents already, as after
 * a call that was interrupted and had completed (the source is read for that if its size is the value's). Pads
 * whose contents do not change are not sent again. What
 * an earlier call left unfinished is used: its pads with the same contents are not sent again, the others are
 * let go. After a failure the rest can be sent by calling again. options may be NULL. PS_EQUOTA. */
PS_CHECKED PS_API int ps_remote_put(ps_remote *r, const char *key, const void *data, size_t len,
				    const struct ps_remote_put *options);
/* From a callback, in order; size PS_SIZE_UNKNOWN (UINT64_MAX) if it is not known. PS_ERANGE: another size
 * came. */
PS_CHECKED PS_API int ps_remote_put_stream(ps_remote *r, const char *key, uint64_t size, ps_remote_read_fn read,
					   void *arg, const struct ps_remote_put *options);
/* As put with `replace`, but PS_ENOTFOUND if there is no value. */
PS_CHECKED PS_API int ps_remote_update(ps_remote *r, const char *key, const void *data, size_t len,
				       const struct ps_remote_put *options);
PS_CHECKED PS_API int ps_remote_update_stream(ps_remote *r, const char *key, uint64_t size,
					      ps_remote_read_fn read, void *arg,
					      const struct ps_remote_put *options);

struct ps_remote_get {
	size_t size;         /* sizeof(struct ps_remote_get) */
	uint32_t unverified; /* 1: a value whose pads are not all confirmed is read, too */
	ps_remote_progress_fn progress;
	void *progress_arg;
};

/* The whole value. PS_ENOTFOUND; PS_ERANGE if cap is too small, with the size in *len; PS_EUNAVAILABLE also
 * for a value that is not confirmed yet; PS_EBUSY: it was changed again and again meanwhile. After a failure
 * the buffer holds nothing to be used. */
PS_CHECKED PS_API int ps_remote_get(ps_remote *r, const char *key, void *buf, size_t cap, size_t *len,
				    const struct ps_remote_get *options);
/* A range; *got < len only at the end. Only what it needs is fetched: segments of 64 KiB. */
PS_CHECKED PS_API int ps_remote_read_at(ps_remote *r, const char *key, uint64_t offset, void *buf, size_t len,
					size_t *got, const struct ps_remote_get *options);
/* From `offset` on, `len` bytes or up to the end, in order; fetched ahead of `write`, within max_inflight. */
PS_CHECKED PS_API int ps_remote_get_stream(ps_remote *r, const char *key, uint64_t offset, uint64_t len,
					   ps_remote_write_fn write, void *arg,
					   const struct ps_remote_get *options);

/* The value is gone, here at once, for other machines with the next sync; what was unfinished as well. Its
 * pads become free. PS_ENOTFOUND. Asks no network. */
PS_CHECKED PS_API int ps_remote_remove(ps_remote *r, const char *key);
/* Gives up what an interrupted put or update left; the value is as before. PS_ENOTFOUND: nothing is
 * unfinished. */
PS_CHECKED PS_API int ps_remote_release(ps_remote *r, const char *key);
/* PS_ENOTFOUND, PS_EEXIST; PS_EBUSY also for a conflict copy that no sync has sent yet. Asks no network, except
 * where other machines share the store and know the value: then it is first written anew under the old key, to
 * pads of its own, since who changes the old key meanwhile frees the old ones; PS_EBUSY there if a put of it was
 * interrupted. A call that was cut leaves the value under the old key or the new one, and goes on when it is
 * repeated. A public value takes its address along; who has not heard of the new key changes nothing
 * (PS_ESUPERSEDED, there or here, as with every change of a public key): a change of the address that was on its
 * way is carried out first, and pads of an unfinished put with other contents are let go. */
PS_CHECKED PS_API int ps_remote_rename(ps_remote *r, const char *from, const char *to);

struct ps_remote_info {
	const char *key;        /* valid during the callback; the caller's own with ps_remote_stat */
	uint64_t size, time_ns; /* time of the last change, since 1970 */
	int mode;               /* enum ps_remote_mode */
	uint32_t complete;      /* 1: every pad was confirmed */
	uint32_t exists;        /* 0: only a put in progress */
	uint32_t updating;      /* 1: a put or update was interrupted, or is under way */
	uint32_t is_public;     /* 1: has a public address */
	uint32_t synced;        /* 1: the index on the network has this version */
	uint64_t pads, next_pads, next_confirmed; /* next: of what was interrupted */
};
typedef int (*ps_remote_info_fn)(void *arg, const struct ps_remote_info *info);
/* Keys that begin with `prefix` (NULL: all), in bytewise order. Other than 0 from fn ends the list with
 * PS_ECANCELED. */
PS_CHECKED PS_API int ps_remote_list(ps_remote *r, const char *prefix, ps_remote_info_fn fn, void *arg);
PS_CHECKED PS_API int ps_remote_stat(ps_remote *r, const char *key, struct ps_remote_info *info);
/* Whether the value has exactly the `size` bytes that `read` gives: by the size and the hash in the index, asks no
 * network; with a key that only reads, which cannot hash what is private, by reading the value. `read` is called
 * only where the sizes agree. *same: 1 or 0. PS_ENOTFOUND; those of ps_remote_get where it is read. */
PS_CHECKED PS_API int ps_remote_compare(ps_remote *r, const char *key, uint64_t size, ps_remote_read_fn read,
					void *arg, uint32_t *same);

/* By what the network is asked for. */
struct ps_remote_requests {
	uint64_t get, range, head; /* whole pads, parts of them, only whether they are there */
	uint64_t create, replace, remove, list;
};

struct ps_remote_stats {
	uint64_t values, complete, updating, tombstones, unsynced, public_values;
	uint64_t bytes;                                       /* of all values */
	uint64_t pads, pad_bytes;                             /* all that is on the network, or may be */
	uint64_t confirmed, written, pending, generated, invalid; /* pads by status */
	uint64_t free_pads;
	uint64_t requests, sent_bytes, received_bytes; /* since open */
	uint64_t fallback_pads;                        /* read from the fallback since open */
	uint64_t memory;                               /* bytes allocated now */
	struct ps_remote_requests by_kind;             /* of the requests */
};
PS_CHECKED PS_API int ps_remote_stats(ps_remote *r, struct ps_remote_stats *stats);

/* What this machine's state has summed over all processes that had the store open, this one included. Kept when
 * it is closed, with no sync: a process that is killed is not counted, and a loss of power may take it back. */
struct ps_remote_usage {
	struct ps_remote_requests requests;
	uint64_t since_ns; /* the first of them, since 1970; 0: there were none */
	uint64_t drill_ns; /* the end of the last drill (ps_remote_note_drill); 0: there was none */
	uint64_t drill_values, drill_bytes, drill_wrong;
};
/* Asks no network. */
PS_CHECKED PS_API int ps_remote_usage(ps_remote *r, struct ps_remote_usage *usage);
/* All was restored from the network alone, as a trial: so many values and bytes, of which so many were not as they
 * should be. PS_EIO, PS_ENOSPC; PS_ENOTSUP: nothing is remembered here. */
PS_CHECKED PS_API int ps_remote_note_drill(ps_remote *r, uint64_t values, uint64_t bytes, uint64_t wrong);

/* ---- pads ---- */

/* What a put of so many bytes would cost now. mode 0: the options'. */
PS_CHECKED PS_API int ps_remote_estimate(ps_remote *r, uint64_t size, int mode, struct ps_remote_plan *plan);
/* Makes pads until `pads` of this mode are free, so that later puts make none. PS_EQUOTA. */
PS_CHECKED PS_API int ps_remote_reserve(ps_remote *r, uint64_t pads, int mode);

/* Begins with its size. */
struct ps_remote_health {
	size_t size;       /* sizeof(struct ps_remote_health) */
	const char *key;   /* only this one; NULL: all */
	double share;      /* of the pads that are looked at, at random; 0: all */
	uint32_t read;     /* 1: each is fetched and opened, not only looked at */
	/* Contents of a value from a local copy, to repair what was lost: fills the bytes from `offset` on, or
	 * says other than PS_OK if there are none. NULL: only what the fallback has is repaired, which is asked
	 * before. */
	int (*contents)(void *arg, const char *key, uint64_t offset, void *buf, size_t len);
	void *contents_arg;
	/* Hears of every pad that is not as it should be. May be NULL. */
	void (*finding)(void *arg, const char *key, uint64_t pad, int error, const char *sentence);
	void *finding_arg;
	ps_remote_progress_fn progress;
	void *progress_arg;
};
struct ps_remote_health_result {
	uint64_t looked, sound, confirmed; /* confirmed: those that were not before */
	uint64_t lost, wrong, repaired, unknown;
};
/* Looks at pads, confirms what was only written, marks what is lost, repairs it where it can. PS_OK if all
 * could be looked at: result tells what was found. */
PS_CHECKED PS_API int ps_remote_health_check(ps_remote *r, const struct ps_remote_health *options,
					     struct ps_remote_health_result *result);

struct ps_remote_purge_result {
	uint64_t settled;   /* pads whose outcome was open, and is known now */
	uint64_t deleted;   /* deleted from the network */
	uint64_t forgotten; /* not found again and again: their serials never come back */
	uint64_t waiting;   /* still to be looked at later */
};
/* Finds out about pads whose outcome is open, deletes free ones beyond free_keep and invalid ones, and merges
 * what syncs have left (as ps_remote_tidy, and sends no change). A pad is forgotten only after
 * `not_found_times` answers at least `not_found_gap_s` apart: call it again, later. */
PS_CHECKED PS_API int ps_remote_purge(ps_remote *r, ps_remote_progress_fn progress, void *progress_arg,
				      struct ps_remote_purge_result *result);

/* Begins with its size; zero means the default. */
struct ps_remote_gc {
	size_t size;            /* sizeof(struct ps_remote_gc) */
	uint32_t apply;         /* 1: what may go is deleted; 0: it is only told, and remembered here */
	uint32_t ignore_silent; /* 1: also while machines have not been heard of: they have synced all they have (one
	                           that is gone is better taken off the list: ps_remote_drop_machine) */
	uint64_t age_s;         /* seconds between two calls that both find a pad; 86,400. More than any machine
	                           takes from a pad's upload, interruptions included, to the sync that names it */
	uint64_t memory;        /* for names of pads; more passes where that is too little; 64 MiB */
	ps_remote_progress_fn progress;
	void *progress_arg;
};
struct ps_remote_gc_result {
	uint64_t listed;    /* pads that the network lists */
	uint64_t named;     /* of these: by the newest head, its runs and their records, or this machine's index */
	uint64_t foreign;   /* that this key does not derive, or that are no pads: never touched */
	uint64_t published; /* once made public: their addresses may have been given away; never touched */
	uint64_t unnamed, unnamed_bytes; /* this key's, and nothing names them */
	uint64_t left;      /* more of these than are remembered at a time (131,072): found again later */
	uint64_t ripe;      /* of the unnamed: found by an earlier call, long enough ago */
	uint64_t deleted, deleted_bytes;
	uint64_t changed;   /* were written, or went, since they were listed: let be */
	uint64_t next_ns;   /* when more may be ripe, in nanoseconds since 1970; 0: there is nothing to wait for */
	uint32_t silent;    /* machines that have written no head since ripe ones were found first */
	char silent_machines[256]; /* their names, "a, b" */
};
/* Finds pads that this key has made and nothing names any more: what a machine left that is no more, or a write
 * that came late. Deletes them, with `apply`, if an earlier call has found the same version of them at least
 * `age_s` ago by this machine's clock; call it again, later. PS_EBUSY: machines are silent (see above), another
 * call is syncing, or the local index is being changed all the time; PS_EREADONLY. After a cut the next call
 * goes on. options and result may be NULL. */
PS_CHECKED PS_API int ps_remote_gc(ps_remote *r, const struct ps_remote_gc *options,
				   struct ps_remote_gc_result *result);

enum { PS_REMOTE_SIZES = 12, PS_REMOTE_ROLES = 6 };
/* Begins with its size; zero means the default. */
struct ps_remote_audit {
	size_t size;           /* sizeof(struct ps_remote_audit) */
	uint32_t listing_only; /* 1: headers only of what nothing names; 0: of every pad, a request each */
	uint64_t memory;       /* as of gc */
	ps_remote_progress_fn progress;
	void *progress_arg;
};
/* What whoever runs the network sees without any key. */
struct ps_remote_audit_result {
	uint64_t listed, bytes;
	struct {
		uint64_t record_bytes; /* of a record of this class: payloads of 4 KiB times a power of two */
		uint64_t count;
	} sizes[PS_REMOTE_SIZES];
	uint64_t other_sizes; /* records of no such size */
	/* What it cannot tell: which is whose. */
	uint64_t named, unnamed, foreign, undecided; /* undecided: for a key that only reads */
	/* What headers say in clear, of the pads of this network's id that were looked at. */
	uint64_t looked, vanished; /* vanished: listed and not there */
	uint64_t no_pads;          /* not authentic */
	uint64_t others;           /* of another network's id: so told apart from this store's */
	uint64_t ours;             /* of this network's id */
	uint64_t roles[PS_REMOTE_ROLES]; /* data, head, part of the index, log, fence, tombstone */
	uint64_t is_public;        /* of a public class */
	uint64_t reused;           /* of a generation above 1 */
	uint64_t writes;           /* sum of their counters: how often they were written */
	uint64_t head;             /* the head's counter: how often this store was synced */
	uint64_t head_bytes;       /* its record's: grows with machines and runs */
};
/* Counts what the network sees, and whose it is. Changes nothing there. */
PS_CHECKED PS_API int ps_remote_audit(ps_remote *r, const struct ps_remote_audit *options,
				      struct ps_remote_audit_result *result);

/* ---- the index on the network ---- */

struct ps_remote_sync_result {
	uint64_t head;                      /* the number of the head that is there now */
	uint64_t sent;                      /* keys that were changed here, and are there now */
	uint64_t received, removed;         /* keys that other machines have changed, and removed */
	uint64_t conflicts;                 /* keys that both have changed: "KEY (conflict MACHINE N)" is the other one */
	uint64_t lost_races;                /* heads that others were faster with; what they had was sent again */
	uint64_t left_pads;                 /* of values that were replaced here: another machine, which may not
	                                       know yet that it is not alone, frees them when it syncs */
	uint64_t run_bytes, head_bytes;     /* sent: of the index, of heads */
	uint64_t fetched_bytes;             /* of the index */
	uint64_t merged_bytes; /* of run_bytes: parts of the index that were there before, and are fewer now */
	uint64_t merge_due;    /* bytes that are still to be merged: by ps_remote_tidy, ps_remote_purge, or the next
	                          sync that has nothing to send */
	uint32_t merge_forced; /* 1: more was merged than a sync does while somebody waits, since nobody ever did */
};
/* Brings this machine's index and the network's together: takes what other machines changed, then sends what
 * was changed here. Values stay where they are. A key that only reads takes and does not send. result may be
 * NULL. PS_EBUSY: another call is syncing, or has a key that another machine has changed, or, the first time
 * that another machine is heard of, has had a value in hand for longer than a second. PS_EROLLBACK, PS_EFORK
 * (also: this machine was dropped), PS_ELOST: nothing is taken; after a cut or PS_EUNAVAILABLE the next call
 * goes on. */
PS_CHECKED PS_API int ps_remote_sync(ps_remote *r, ps_remote_progress_fn progress, void *progress_arg,
				     struct ps_remote_sync_result *result);

/* The same for when nobody waits: it also merges what the syncs before have left, each of which sends little
 * beside what was changed. What the index takes on the network stays in proportion to what it holds, and a new
 * machine has it sooner. */
PS_CHECKED PS_API int ps_remote_tidy(ps_remote *r, ps_remote_progress_fn progress, void *progress_arg,
				     struct ps_remote_sync_result *result);

struct ps_remote_head {
	uint64_t counter;
	uint64_t time_ns;    /* by the clock of who wrote it: for people, it proves nothing */
	char machine[64];    /* who wrote it */
	char code[48];       /* "1042-7ZK3M0QD-4": to be compared on another machine */
	uint32_t unanchored; /* 1: taken on trust when this machine first saw the store; a consistent old state
	                        cannot be told from the newest without a head code */
	uint32_t machines, runs;
};
/* The last head that was used here. Asks no network. */
PS_CHECKED PS_API int ps_remote_head(ps_remote *r, struct ps_remote_head *head);
/* Whether the last head used here goes back to this one: PS_EROLLBACK (the code is of a later one: sync),
 * PS_EFORK (of another history), PS_ESUPERSEDED (too long ago to tell), PS_EINVAL (a slip of the pen). Then it
 * is not unanchored any more. */
PS_CHECKED PS_API int ps_remote_check_head(ps_remote *r, const char *code);

struct ps_remote_machine {
	char name[64], id[33]; /* id: 32 hex digits */
	uint64_t last;         /* the number of the last head that it wrote */
	uint32_t self;         /* 1: this one */
	uint32_t unaware;      /* 1: it has written none since others joined: what of its values others replace is
	                          its own to free, when it syncs */
};
typedef int (*ps_remote_machine_fn)(void *arg, const struct ps_remote_machine *machine);
/* The machines that the last head used here lists: those that have written one. Asks no network. Other than 0
 * from fn ends it with PS_ECANCELED. */
PS_CHECKED PS_API int ps_remote_machines(ps_remote *r, ps_remote_machine_fn fn, void *arg);
/* Syncs, and takes a machine that never comes back off the list (its name, or its id): nothing is left to it any
 * more, and removals need not wait for it. If it does come back, its sync is refused (PS_EFORK): what it had not
 * sent can be read there, and has to be put again after ps_remote_forget. PS_ENOTFOUND: not listed; PS_EINVAL:
 * this one, or one of several of that name. result may be NULL. */
PS_CHECKED PS_API int ps_remote_drop_machine(ps_remote *r, const char *machine,
					     struct ps_remote_sync_result *result);

/* Compares the index with itself: no pad in two places, counts agree. fn hears of each finding. */
PS_CHECKED PS_API int ps_remote_verify(ps_remote *r, void (*fn)(void *arg, const char *finding), void *arg);

#ifdef __cplusplus
}
#endif
#endif
