/* What a store held after each of its commits, and a look at a damaged one: every read must give what one of
 * the allowed commits left, or say that it is damaged. */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <padstone/storer.h>

enum { HISTORY_OBJECTS = 512, HISTORY_COMMITS = 700, HISTORY_WHY = 400 };

struct content {
	struct content *next;
	uint64_t size;
	uint8_t bytes[];
};

struct history {
	ps_storer *s; /* the steps work on it */
	struct content *all;
	uint64_t seed; /* of the next content */
	size_t objects, commits;
	ps_id ids[HISTORY_OBJECTS];
	size_t born[HISTORY_OBJECTS];                  /* the commit that made it */
	const struct content **after[HISTORY_COMMITS]; /* after[k][object]; NULL: it is not there */
};

/* After commit 0 there is nothing. All here aborts without memory; a step that fails fails the test. */
void history_init(struct history *h);
void history_done(struct history *h);
const struct content *history_now(const struct history *h, size_t object);

/* Each step is one commit. What makes an object returns its number. */
size_t history_put(struct history *h, uint64_t size);
size_t history_alloc(struct history *h, uint64_t size);
size_t history_alloc_run(struct history *h, uint64_t size, size_t count);
size_t history_prime(struct history *h, uint64_t size);
void history_replace(struct history *h, size_t object, uint64_t size);
void history_write_at(struct history *h, size_t object, uint64_t off, uint64_t size);
void history_delete(struct history *h, size_t object);

/* What was found of one object. */
struct found {
	int err; /* PS_OK, PS_ENOTFOUND or PS_ECORRUPT */
	const struct content *content;
};
struct look {
	size_t low, high; /* the commits that explain all that was found */
	int check;        /* what ps_check (full) said */
	size_t damaged;   /* objects that cannot be read */
	bool brief;       /* set by the caller: each object is only got, not also read in part */
	struct found found[HISTORY_OBJECTS];
};

/* Reads all there is in s, in several ways, with commits low to high allowed. False, and a sentence in `why`,
 * if anything is wrong: other bytes, an error that rot does not explain, objects of no commit or of several,
 * or damage that a full check does not find. */
bool history_look(const struct history *h, ps_storer *s, size_t low, size_t high, struct look *look,
                  char why[HISTORY_WHY]);

/* The same of some of the first 64 objects, by the bits of `objects`, and of nothing else: no list of ids, no
 * check. What look has of other objects is left as it is. */
bool history_look_at(const struct history *h, ps_storer *s, uint64_t objects, size_t low, size_t high,
                     struct look *look, char why[HISTORY_WHY]);

/* What a full check says, in look->check; false if it contradicts what was read. */
bool history_check(ps_storer *s, struct look *look, char why[HISTORY_WHY]);

#endif
