/* A write and what becomes of it: the ready-made task for create, replace and remove.
 *
 * An outcome that is not known is settled by looking, never by assuming: head() shows what is there, and only
 * the identical bytes under the identical guard are ever sent again, so that at most one copy can pass. An
 * answer of "done" is believed once head() shows it. What cannot be settled in time is told as unknown: the
 * journal entry of the pad is to be kept then, and nothing else to be written to it. */
#ifndef PS_SETTLE_H
#define PS_SETTLE_H

#include "remote/task.h"

/* After the network has said that it is done. */
enum ps_verify {
	PS_VERIFY_HEAD,   /* head() has to show our counter and hash */
	PS_VERIFY_NONE,   /* believed: written, not confirmed */
	PS_VERIFY_SAMPLE, /* as HEAD, and a share is read back */
	PS_VERIFY_READ,   /* as HEAD, and each is read back */
};

enum ps_settled {
	PS_SETTLED_NOT,       /* still open: see the task's fate */
	PS_SETTLED_WRITTEN,   /* by the network's word */
	PS_SETTLED_CONFIRMED, /* by head(), and read back where that was asked for */
	PS_SETTLED_CONFLICT,  /* another version is there, as new as ours or newer: PS_EBUSY */
	PS_SETTLED_OLDER,     /* a version older than what we know was there: PS_EROLLBACK, and still open */
	PS_SETTLED_GONE,      /* what was to be replaced is not there: PS_ELOST */
	PS_SETTLED_REFUSED,   /* full, too big, denied: not carried out */
	PS_SETTLED_DAMAGED,   /* ours is there, and reads back as something else: the error of opened() */
};

struct ps_settle;

/* As the functions of a task (remote/task.h). */
struct ps_settle_ops {
	/* Fills settle->task.request. Called once: its bytes are kept and sent as often as it takes. */
	int (*seal)(struct ps_settle *settle);
	/* Opens what was read back, as a reader would. May be NULL where nothing is read back. */
	int (*opened)(struct ps_settle *settle, const struct ps_net_buffer *record);
	/* The end, with settle->settled, task.fate and task.error. */
	void (*ended)(struct ps_settle *settle);
};

struct ps_settle {
	struct ps_task task;
	/* The caller's, before ps_settle_init. */
	const struct ps_settle_ops *ops;
	enum ps_verify verify;
	uint32_t share; /* of 1,024, read back with PS_VERIFY_SAMPLE */
	/* Told. */
	enum ps_settled settled;
	bool written;                 /* the network said so, or head() shows it */
	struct ps_pad_identity there; /* what head() showed last; zero: nothing */
	/* Its own. */
	bool reads_back;
	uint32_t reads;
	struct ps_memory *memory;
};

/* `bytes` is the record's size; what is read back needs as much again. All but the caller's fields is made
 * zero. */
void ps_settle_init(struct ps_settle *settle, size_t bytes, struct ps_memory *memory);

/* ---- the rules by themselves ---- */

struct ps_settle_step {
	enum ps_task_answer answer;
	enum ps_settled settled; /* with PS_TASK_DONE, PS_TASK_FAILED */
};

/* What follows from the outcome of a write. `open`: this write, or an earlier copy, may be carried out. */
struct ps_settle_step ps_settle_after_write(enum ps_net_op op, enum ps_outcome outcome, bool open,
                                            enum ps_verify verify);
/* What follows from a look: of the write, its op, expected and identity; of the look, outcome and identity.
 */
struct ps_settle_step ps_settle_after_look(const struct ps_net_request *write,
                                           const struct ps_net_request *look);

#endif
