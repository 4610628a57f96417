/* What the tests of pushes share: a store, a network, and pictures of stores to compare clones with. */
#ifndef PUSH_FIXTURE_H
#define PUSH_FIXTURE_H

#include "tests/remote/sync/sync_fixture.h"

#include <padstone/padstone.h>

/* A store with the network that it is pushed to. */
struct world {
	struct blobs *b;
	ps_storer *s;
	struct dice dice;
	bool concurrent; /* concurrent(multi(base)), else multi(base) */
	ps_id *ids;      /* that there were, gone ones included */
	size_t id_count, id_capacity;
	struct ps_push_options options;
	unsigned clones;
	char path[256];
};

/* A new store on a new network. scheme: "mem", "dir". */
void world_new(struct world *w, const char *scheme, uint64_t seed);
void world_free(struct world *w);
/* The stack on a file, as the world has it. */
ps_storer *open_stack(const struct world *w, const char *path, int mode);
void world_reopen(struct world *w);
/* The base of such a stack: nothing works in the background but what is attached. */
struct ps_base_options stack_base(void);
/* A stack on a file with a machine's network behind it; nothing is pushed but by the test. */
ps_storer *open_attached(struct blobs *b, const char *path, int mode);
/* In each copy of these bytes that a file has (the log may have one, too) a bit is another. */
void damage_copies(const char *path, const uint8_t *bytes, size_t len);

/* A log of the world's store on its network, entered; groups as large as they come. Shipments are the
 * test's. */
struct ps_log *log_begin(const struct world *w);

/* A number of changes of all kinds. */
void change_some(struct world *w, unsigned count);

/* What is in a store: objects with a hash of their contents, in the order of ids. */
struct picture {
	struct seen {
		ps_id id;
		uint64_t size, hash;
	} * all;
	size_t count, capacity;
	struct ps_push_result push; /* that it was taken at */
};
void picture_take(struct picture *p, ps_storer *s);
void picture_free(struct picture *p);
void expect_picture(const struct picture *p, ps_storer *s, const char *what);

/* What a network that lies may be answered with. */
bool is_refusal_of_push(int err);
/* Every step-th object of s, read while the rule holds on the world's network: as it was, or refused; then
 * all are as the picture has them without it. How many were refused. */
unsigned read_under_rule(struct world *w, ps_storer *s, const struct picture *p, size_t step,
                         const struct ps_mem_rule *rule);

/* Pushes two states of the world's store, and has `fn` read under each of a network's lies, always told and
 * to one request in three; it gives how many reads were refused, and some are. */
typedef unsigned (*lied_to_fn)(void *arg, const struct picture *p, const struct ps_mem_rule *rule);
void lie_to_reads(struct world *w, lied_to_fn fn, void *arg);

struct ps_push_result push_now(struct world *w);
/* The state (0: the newest) as `r` shows it, cloned, checked, compared with the picture, and removed. */
void expect_clone(struct world *w, ps_remote *r, uint64_t state, const struct picture *p);
/* A clone's path, and the clone, open. */
ps_storer *clone_open(struct world *w, ps_remote *r, uint64_t state, char path[256]);

/* The packs that the remote's index has are those that the manifest names, and all are whole; the index
 * agrees with itself and with the network. Gives how many there are. */
size_t expect_packs(struct blobs *b);

#endif
