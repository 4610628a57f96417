/* The checker: depth-first over the orders, one next call of some thread at a time. What has been seen to
 * lead nowhere (how far each thread is, and what the objects contain) is not tried again. */
#include "tests/concurrent/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct object_state {
	bool there;
	uint64_t word[HISTORY_WORDS];
};

struct state {
	uint8_t done[HISTORY_THREADS]; /* calls that are in the order */
	struct object_state objects[HISTORY_OBJECTS];
};

/* An open hash set of 128-bit digests: two states of one digest are taken for the same. */
enum { SEEN_FIRST = 1 << 10 };
struct seen {
	struct digest {
		uint64_t low, high;
	} * slots;
	size_t size, count;
};

static uint64_t mix(uint64_t x, uint64_t word)
{
	x ^= word * 0x9E3779B97F4A7C15U;
	x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93U;
	return x ^ (x >> 29);
}

static struct digest digest_of(const struct state *s)
{
	struct digest d = {1, 2};
	for (unsigned t = 0; t < HISTORY_THREADS; t++) {
		d.low = mix(d.low, s->done[t]);
		d.high = mix(d.high, s->done[t] + 77U);
	}
	for (unsigned i = 0; i < HISTORY_OBJECTS; i++) {
		for (unsigned w = 0; s->objects[i].there && w < HISTORY_WORDS; w++) {
			d.low = mix(d.low, s->objects[i].word[w] + i);
			d.high = mix(d.high, s->objects[i].word[w] * 31 + i);
		}
	}
	d.low |= d.low == 0; /* 0, 0 is an empty place */
	return d;
}

static bool seen_insert(struct seen *seen, struct digest d)
{
	size_t at = d.low & (seen->size - 1);
	while (seen->slots[at].low) {
		if (seen->slots[at].low == d.low && seen->slots[at].high == d.high)
			return false;
		at = (at + 1) & (seen->size - 1);
	}
	seen->slots[at] = d;
	seen->count++;
	return true;
}

static void seen_grow(struct seen *seen)
{
	struct seen larger = {calloc(2 * seen->size, sizeof(*larger.slots)), 2 * seen->size, 0};
	if (!larger.slots)
		abort();
	for (size_t i = 0; i < seen->size; i++) {
		if (seen->slots[i].low)
			(void)seen_insert(&larger, seen->slots[i]);
	}
	free(seen->slots);
	*seen = larger;
}

/* Whether it is new; it is not any more. */
static bool is_new(struct seen *seen, const struct state *s)
{
	if (2 * seen->count >= seen->size)
		seen_grow(seen);
	return seen_insert(seen, digest_of(s));
}

static bool all_there(const struct state *s, const struct call *c)
{
	for (unsigned i = 0; i < c->parts; i++) {
		if (!s->objects[c->part[i].object].there)
			return false;
	}
	return true;
}

static void write_part(struct state *s, const struct call_part *p)
{
	struct object_state *o = &s->objects[p->object];
	if (p->kind == PART_REPLACE)
		memcpy(o->word, p->word, sizeof(o->word));
	else if (p->kind == PART_WRITE_AT)
		o->word[p->place] = p->word[p->place];
	else
		o->there = false;
}

static bool saw(const struct state *s, const struct call_part *p)
{
	const struct object_state *o = &s->objects[p->object];
	return o->there == p->seen.found &&
	       (!o->there || memcmp(o->word, p->seen.word, sizeof(o->word)) == 0);
}

/* Does the call; false if it would have had another result. */
static bool apply(struct state *s, const struct call *c)
{
	if (c->kind == CALL_PUT) {
		s->objects[c->part[0].object].there = true;
		memcpy(s->objects[c->part[0].object].word, c->part[0].word, sizeof(c->part[0].word));
		return true;
	}
	if (c->kind == CALL_GET || c->kind == CALL_GET_MANY) {
		for (unsigned i = 0; i < c->parts; i++) {
			if (!saw(s, &c->part[i]))
				return false;
		}
		return true;
	}
	if (all_there(s, c) == c->missing)
		return false;
	for (unsigned i = 0; i < c->parts && !c->missing; i++)
		write_part(s, &c->part[i]);
	return true;
}

/* No call may come before one that had ended when it began. */
static uint64_t first_end(const struct history *h, const struct state *s)
{
	uint64_t first = UINT64_MAX;
	for (unsigned t = 0; t < HISTORY_THREADS; t++) {
		if (s->done[t] < HISTORY_CALLS && h->calls[t][s->done[t]].ended < first)
			first = h->calls[t][s->done[t]].ended;
	}
	return first;
}

static bool search(const struct history *h, const struct state *s, struct seen *seen)
{
	uint64_t limit = first_end(h, s);
	if (limit == UINT64_MAX)
		return true;
	for (unsigned t = 0; t < HISTORY_THREADS; t++) {
		if (s->done[t] == HISTORY_CALLS || h->calls[t][s->done[t]].began > limit)
			continue;
		struct state next = *s;
		next.done[t]++;
		if (apply(&next, &h->calls[t][s->done[t]]) && is_new(seen, &next) && search(h, &next, seen))
			return true;
	}
	return false;
}

bool history_is_linearizable(const struct history *h)
{
	struct seen seen = {calloc(SEEN_FIRST, sizeof(*seen.slots)), SEEN_FIRST, 0};
	struct state first = {0};
	if (!seen.slots)
		abort();
	for (unsigned i = 0; i < h->initial; i++)
		first.objects[i] = (struct object_state){true, {1 + 2 * i, 2 + 2 * i}};
	bool good = search(h, &first, &seen);
	free(seen.slots);
	return good;
}

static void print_part(const struct call *c, const struct call_part *p)
{
	static const char *const kinds[] = {"replace", "write_at", "delete"};
	if (c->kind == CALL_GET || c->kind == CALL_GET_MANY) {
		fprintf(stderr, " object %u: ", p->object);
		if (p->seen.found)
			fprintf(stderr, "%" PRIx64 " %" PRIx64, p->seen.word[0], p->seen.word[1]);
		else
			fprintf(stderr, "missing");
		return;
	}
	fprintf(stderr, " %s object %u", c->kind == CALL_PUT ? "put" : kinds[p->kind], p->object);
	if (p->kind == PART_REPLACE)
		fprintf(stderr, " %" PRIx64 " %" PRIx64, p->word[0], p->word[1]);
	else if (p->kind == PART_WRITE_AT)
		fprintf(stderr, " word %u %" PRIx64, p->place, p->word[p->place]);
}

void history_print(const struct history *h)
{
	static const char *const names[CALL_KINDS] = {"put",    "get",   "replace", "write_at",
	                                              "delete", "batch", "get_many"};
	for (unsigned t = 0; t < HISTORY_THREADS; t++) {
		for (unsigned i = 0; i < HISTORY_CALLS; i++) {
			const struct call *c = &h->calls[t][i];
			fprintf(stderr, "thread %u [%" PRIu64 ", %" PRIu64 "] %s:", t, c->began, c->ended,
			        names[c->kind]);
			for (unsigned p = 0; p < c->parts; p++)
				print_part(c, &c->part[p]);
			fprintf(stderr, "%s\n", c->missing ? ", answered: no such object" : "");
		}
	}
}
