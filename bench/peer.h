/* The driver interface: what the harness asks of every store that it measures. One file a peer.
 *
 * A driver that cannot go on calls die(): it runs in a process of its own, so that only its own result is
 * lost. A handle is what an application would keep to find its object again: the peer's key, or the id that a
 * put gave. */
#ifndef PS_BENCH_PEER_H
#define PS_BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an acknowledged commit survives. Results of two classes never stand in one table. */
enum durability {
	CLASS_NONE,    /* nothing is promised: a killed process may lose it */
	CLASS_PROCESS, /* the process's end: the kernel has it */
	CLASS_SYSTEM,  /* the kernel's end: the disk has it, perhaps in a volatile cache */
	CLASS_POWER,   /* a power cut */
	CLASSES,
};
#define IN_CLASS(c) (1U << (c))

enum ability {
	CAN_VIEW = 1 << 0,    /* bytes in place: view and release */
	CAN_MANY = 1 << 1,    /* read_many has them in flight together */
	CAN_REPLACE = 1 << 2, /* also other sizes */
	IS_ATOMIC = 1 << 3,   /* a write of several is there whole or not at all */
	IS_LIMIT = 1 << 4,    /* no store: what the machine allows */
	CAN_STREAM = 1 << 5,  /* Padstone's own calls: peer_padstone.h */
};

struct peer_options {
	const char *folder; /* the peer's own; empty when `create` */
	bool create;
	bool cold; /* reads will go to the disk, at random */
	enum durability durability;
	uint64_t objects, bytes; /* that are to be expected, overwrites not counted */
	size_t size;             /* of a typical object */
	uint64_t cache_bytes;
	unsigned threads; /* sessions at a time */
};

enum peer_op { PEER_PUT, PEER_REPLACE, PEER_DELETE };

struct peer_write {
	enum peer_op op;
	uint64_t handle; /* PEER_PUT: in, the key that a peer with keys takes; out, the handle */
	const void *data;
	size_t len;
};

struct peer_read {
	uint64_t handle;
	void *buf; /* where a copy may go; `cap` suffices for every object */
	size_t cap;
	const void
	    *data;  /* out: the bytes, in buf or in the peer's own copy; until the session's next call */
	size_t len; /* out */
};

/* What a peer counts itself, because it cannot be seen from outside (io_uring). */
struct peer_counts {
	uint64_t calls, flushes;
};

struct peer_ops {
	const char *name;
	unsigned classes;      /* of IN_CLASS() */
	unsigned abilities;    /* of enum ability */
	uint64_t objects_most; /* more would take hours; 0: any number */
	/* Version and settings, as one line. */
	void (*describe)(const struct peer_options *o, char *text, size_t len);
	void *(*open)(const struct peer_options *o);
	/* A session belongs to one thread. */
	void *(*begin)(void *store);
	void (*end)(void *session);
	/* One commit of n writes, acknowledged in the class that the store was opened with. */
	void (*write)(void *session, struct peer_write *writes, size_t n);
	/* A copy. */
	void (*read)(void *session, struct peer_read *r);
	/* With CAN_VIEW: the bytes where they are, until release. */
	void (*view)(void *session, struct peer_read *r);
	void (*release)(void *session, struct peer_read *r);
	/* With CAN_MANY. */
	void (*read_many)(void *session, struct peer_read *r, size_t n);
	/* What finds these objects is in memory afterwards, the objects are not. NULL: it is where the
	 * objects are. */
	void (*warm)(void *session, const uint64_t *handles, size_t n);
	/* What was committed before is on the disk; its writes are done. */
	void (*sync)(void *store);
	/* Gives space back, as the peer's manual says; NULL where it has no such call. */
	void (*compact)(void *store);
	/* NULL: all that it does is seen from outside. */
	void (*counts)(void *store, struct peer_counts *c);
	void (*close)(void *store);
};

/* All that were compiled in, the limit first; NULL ends it. */
extern const struct peer_ops *const peers[];
const struct peer_ops *peer_find(const char *name);
/* Peers that this build leaves out, with commas between; "" if none. */
extern const char *const peers_left_out;
const char *class_name(enum durability class);

#endif
