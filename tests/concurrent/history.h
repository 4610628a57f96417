/* Recorded histories of calls from several threads, and whether one order of them explains all results. */
#ifndef CONCURRENT_HISTORY_H
#define CONCURRENT_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

enum { HISTORY_THREADS = 4, HISTORY_CALLS = 25, HISTORY_OBJECTS = 24, HISTORY_WORDS = 2, HISTORY_NAMED = 2 };

enum call_kind {
	CALL_PUT,
	CALL_GET,
	CALL_REPLACE,
	CALL_WRITE_AT,
	CALL_DELETE,
	CALL_BATCH,
	CALL_GET_MANY,
	CALL_KINDS
};
enum part_kind { PART_REPLACE, PART_WRITE_AT, PART_DELETE };

/* An object is two words. Every word that is written is written once in a history. */
struct contents_seen {
	bool found;
	uint64_t word[HISTORY_WORDS];
};

/* What a call does to, or sees of, one object. */
struct call_part {
	uint8_t object; /* number in the history, in the order in which ids came up */
	enum part_kind kind;
	uint8_t place;                /* of the word that write_at writes */
	uint64_t word[HISTORY_WORDS]; /* written */
	struct contents_seen seen;    /* by get and get_many */
};

struct call {
	enum call_kind kind;
	uint8_t parts;
	struct call_part part[HISTORY_NAMED];
	bool missing;          /* it was answered with PS_ENOTFOUND */
	uint64_t began, ended; /* by one clock */
};

struct history {
	struct call calls[HISTORY_THREADS][HISTORY_CALLS];
	uint8_t initial; /* objects 0 to initial - 1 are there at first, with words {1 + 2 * n, 2 + 2 * n} */
};

/* True if the calls can be put in an order in which each has the result that it had, and which keeps every
 * two calls in place of which one had ended before the other began. */
bool history_is_linearizable(const struct history *h);
void history_print(const struct history *h);

#endif
