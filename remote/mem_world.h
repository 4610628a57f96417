/* The world of a mem network: what all who open one NAME in this process share. Everything in it under its
 * lock. */
#ifndef PS_MEM_WORLD_H
#define PS_MEM_WORLD_H

#include <pthread.h>

#include "remote/mem_network.h"
#include "remote/mem_table.h"

struct mem_rule {
	struct ps_mem_rule rule;
	bool used;
	uint64_t seen, hits;
};

/* What is to happen after more requests. */
struct mem_late {
	struct mem_late *next;
	uint64_t due; /* answered requests */
	bool guarded; /* a write that was under way; else its effect, whatever is there */
	enum ps_net_op op;
	unsigned view;
	struct ps_pad_name name;
	struct ps_pad_identity expected;
	struct mem_record *record; /* NULL: nothing */
};

struct ps_mem_snapshot {
	struct ps_mem_world *world;
	struct mem_table table;
};

struct ps_mem_world {
	struct ps_mem_world *next;
	char *name;
	struct ps_memory memory;
	unsigned references; /* the registry's lock */
	pthread_mutex_t lock;
	pthread_cond_t applied; /* with each hit of a rule */
	struct mem_table tables[PS_MEM_VIEWS];
	unsigned table_of[PS_MEM_VIEWS];      /* which table a view shows */
	struct mem_table alone[PS_MEM_VIEWS]; /* what only this view sees, in front of its table */
	unsigned past;
	uint64_t versions; /* stored so far */
	uint64_t answered, seed;
	uint64_t largest; /* bytes of a record, for networks opened from now on; 0: as many as there may be */
	struct mem_rule *rules;
	size_t rule_room;
	struct mem_late *late; /* in no order: they are few */
	struct ps_mem_figures figures;
};

/* What the rules say about one request. */
struct mem_plan {
	bool faulty;
	struct ps_mem_rule rule; /* if faulty */
	uint64_t delay_ms;
};

/* ---- mem_world.c ---- */

int mem_world_open(const char *name, struct ps_mem_world **world) __attribute__((warn_unused_result));
void mem_world_close(struct ps_mem_world *world);
/* The record that a view shows, or NULL. */
struct mem_record *mem_world_find(const struct ps_mem_world *w, unsigned view,
                                  const struct ps_pad_name *name);
/* What the view shows from now on: a copy of `record`, or nothing. PS_ENOMEM. */
int mem_world_put(struct ps_mem_world *w, unsigned view, const struct ps_pad_name *name,
                  const struct mem_record *record) __attribute__((warn_unused_result));

/* ---- mem_apply.c ---- */

/* Carries a request out as planned, and answers it. */
void mem_apply(struct ps_mem_world *w, const ps_network *n, unsigned view, struct ps_net_request *r,
               const struct mem_plan *plan);
/* Nobody hears of it any more, and it comes after `after` more requests. */
void mem_apply_late(struct ps_mem_world *w, const ps_network *n, unsigned view,
                    const struct ps_net_request *r, uint64_t after);
/* Told as the one who asked sees it who gets no answer. */
void mem_no_answer(const ps_network *n, struct ps_net_request *r, const char *why);
size_t mem_deliver_locked(struct ps_mem_world *w, bool all);
void mem_late_free(struct ps_mem_world *w, struct mem_late *late);
void mem_later(struct ps_mem_world *w, const struct mem_late *what, uint64_t after);

/* ---- mem_faults.c ---- */

struct mem_plan mem_plan(struct ps_mem_world *w, unsigned view, const struct ps_net_request *r);
/* What a read is shown instead of `there` (which may be NULL); a reference to be released. PS_ENOMEM. */
int mem_show(struct ps_mem_world *w, const struct ps_mem_rule *rule, const struct ps_pad_name *name,
             unsigned view, struct mem_record *there, struct mem_record **shown)
    __attribute__((warn_unused_result));

#endif
