/* mem: networks for tests: all that a network can do wrong, on request and repeatable.
 *
 * A world is what all who open one "mem:NAME" in this process share; it stays after they are closed, until it
 * is forgotten. Rules say what goes wrong for which requests; the rest are things that whoever runs a network
 * can do to it at any time. All calls from any thread. Nothing here sleeps: latency is virtual, and shows as
 * the order in which a client's requests end.
 *
 * "After n more requests" counts the requests that the world has answered, of all clients. */
#ifndef PS_MEM_NETWORK_H
#define PS_MEM_NETWORK_H

#include "remote/network.h"

typedef struct ps_mem_world ps_mem_world;
typedef struct ps_mem_snapshot ps_mem_snapshot;

enum { PS_MEM_VIEWS = 4, PS_MEM_OPS = PS_NET_LIST + 1 };

enum ps_mem_fault {
	/* ---- on the way ---- */
	PS_MEM_LATENCY, /* `amount` virtual ms; longer than the time-out: timed out, and a write comes late */
	PS_MEM_JITTER,  /* 0 to `amount` ms, by the seed: reorders */
	PS_MEM_LOSE_REQUEST, /* unavailable, surely not carried out */
	PS_MEM_VANISH,       /* not carried out, and nobody can tell: writes unknown, reads unavailable */
	PS_MEM_LOSE_REPLY,   /* carried out, told like vanished */
	PS_MEM_LATE,         /* told like vanished; carried out, by its guard, after `amount` more requests */
	PS_MEM_TWICE,        /* carried out twice; the second answer is told, so a write meets itself; list:
	                        each name of a page comes twice */
	PS_MEM_HANG,         /* until cancelled or timed out (in real time); not carried out */
	PS_MEM_FULL,         /* writes */
	PS_MEM_DENIED,
	PS_MEM_THROTTLED, /* unavailable, fewer requests asked for */
	PS_MEM_CONFLICT,  /* writes: not carried out, told as conflict */
	/* ---- lies about writes ---- */
	PS_MEM_LIE_DONE,   /* told done, not carried out */
	PS_MEM_LOSE_LATER, /* done; after `amount` more requests the name is as it was before */
	PS_MEM_REPLAY,   /* done; after `amount` more requests what was written is there again, whatever came
	                    between */
	PS_MEM_ONE_VIEW, /* done; only the writer's view sees it */
	/* ---- lies about what is there: get, get_range, head; absent and frozen also list ---- */
	PS_MEM_ABSENT,   /* nothing is there (list: nothing, or all but `name`) */
	PS_MEM_OLD,      /* the version `amount` before the newest (ps_mem_keep_past), or the oldest kept */
	PS_MEM_FROZEN,   /* what `snapshot` has */
	PS_MEM_CLAIM,    /* the right bytes under the identity `identity` */
	PS_MEM_FLIP,     /* bit `amount` (modulo the length) */
	PS_MEM_TRUNCATE, /* cut to `amount` bytes */
	PS_MEM_EXTEND,   /* `amount` bytes more */
	PS_MEM_OTHER,    /* the bytes and size of `other`, in `source` or here, under the right identity */
	PS_MEM_FAULTS
};

struct ps_mem_rule {
	enum ps_mem_fault fault;
	unsigned ops; /* bits 1 << enum ps_net_op; 0: all that the fault is about */
	bool named;
	struct ps_pad_name name; /* if named */
	int view;                /* only this one's requests, counted from 1; 0: all */
	uint64_t first,
	    count; /* of the requests that match: from the first-th on (0 is 1), so many (0: for ever) */
	uint64_t one_in; /* of these, one in so many by the seed; 0: all */
	uint64_t amount;
	struct ps_pad_name other;
	struct ps_pad_identity identity;
	ps_mem_world *source;            /* lives as long as the rule; may be this one */
	const ps_mem_snapshot *snapshot; /* lives as long as the rule */
};

/* The world of a mem: network, until it is forgotten. */
ps_mem_world *ps_mem_world_of(ps_network *network);
/* The world of that name is gone; PS_EBUSY while a network is open in it. PS_ENOTFOUND. */
int ps_mem_forget(const char *name) __attribute__((warn_unused_result));

/* The number of the rule, from 1. Latencies add up; of all others that apply to a request the first one does.
 * PS_EINVAL, PS_ENOMEM. */
int ps_mem_rule_add(ps_mem_world *world, const struct ps_mem_rule *rule, unsigned *number)
    __attribute__((warn_unused_result));
void ps_mem_rule_remove(ps_mem_world *world, unsigned number); /* 0: all of them */
/* How often it was applied. */
uint64_t ps_mem_rule_hits(ps_mem_world *world, unsigned number);
/* Returns when it was applied so often. */
void ps_mem_rule_wait(ps_mem_world *world, unsigned number, uint64_t hits);
/* Of all that is drawn from now on; 1 at first. */
void ps_mem_set_seed(ps_mem_world *world, uint64_t seed);
/* Bytes of a record, on networks that are opened from now on; 0: as at first. */
void ps_mem_set_largest(ps_mem_world *world, uint64_t bytes);
/* Versions of a name that are kept beside the newest, from now on; 0 at first. */
void ps_mem_keep_past(ps_mem_world *world, unsigned versions);
/* All that was to come after more requests comes now. How many took effect: a write's guard may refuse it. */
size_t ps_mem_deliver(ps_mem_world *world);

/* ---- views: 0 to PS_MEM_VIEWS - 1; all show the same until forked ---- */

/* What the clients of this opening see; 0 at first. */
void ps_mem_set_view(ps_network *network, unsigned view);
/* View `to` shows what `from` shows now, and goes its own way. PS_ENOMEM. */
int ps_mem_fork(ps_mem_world *world, unsigned from, unsigned to) __attribute__((warn_unused_result));

/* ---- the past ---- */

int ps_mem_snapshot_take(ps_mem_world *world, unsigned view, ps_mem_snapshot **snapshot)
    __attribute__((warn_unused_result));
void ps_mem_snapshot_free(ps_mem_snapshot *snapshot); /* NULL is fine */
/* The whole view is as it was; or one name. PS_ENOMEM. */
int ps_mem_restore(ps_mem_world *world, unsigned view, const ps_mem_snapshot *snapshot)
    __attribute__((warn_unused_result));
int ps_mem_restore_name(ps_mem_world *world, unsigned view, const struct ps_pad_name *name,
                        const ps_mem_snapshot *snapshot) __attribute__((warn_unused_result));
/* The name shows the version `versions` before the newest. PS_ENOTFOUND if none is kept. PS_ENOMEM. */
int ps_mem_roll_back(ps_mem_world *world, unsigned view, const struct ps_pad_name *name, uint64_t versions)
    __attribute__((warn_unused_result));

/* ---- hands on the records ---- */

/* Whatever is there. bytes NULL: the name has nothing any more. PS_ENOMEM. */
int ps_mem_set(ps_mem_world *world, unsigned view, const struct ps_pad_name *name,
               const struct ps_pad_identity *identity, const void *bytes, size_t len)
    __attribute__((warn_unused_result));
/* Up to `capacity` bytes of what is there, and its whole length. PS_ENOTFOUND. */
int ps_mem_look(ps_mem_world *world, unsigned view, const struct ps_pad_name *name,
                struct ps_pad_identity *identity, void *bytes, size_t capacity, size_t *len)
    __attribute__((warn_unused_result));
/* The names that are there, up to `capacity`, in order; how many there are. */
size_t ps_mem_names(ps_mem_world *world, unsigned view, struct ps_pad_name *names, size_t capacity);

/* What was asked since the world was made or the figures were cleared. */
struct ps_mem_figures {
	uint64_t requests[PS_MEM_OPS]; /* by enum ps_net_op; each, whatever became of it */
	uint64_t bytes_in, bytes_out;  /* stored or to be stored; read */
};
void ps_mem_figures(ps_mem_world *world, struct ps_mem_figures *figures, bool clear);

#endif
