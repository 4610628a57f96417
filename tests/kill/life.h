/* One life of a process under the mixed load, and what the store must be after its end, however it ended:
 * what tests that kill processes and cut power share. */
#ifndef LIFE_H
#define LIFE_H

#include <sys/types.h>

#include "tests/kill/load.h"

struct lives {
	const char *path;
	struct journal *journal;
	uint64_t seed;
	uint64_t count; /* of kills, or cuts */
	bool disk_may_go;
	unsigned full_one_in; /* so many checks are full ones */
};

/* argv: quick|long, seed, count; `quick` and `most` are the counts of the two modes. */
void life_arguments(struct lives *l, int argc, char **argv, uint64_t quick, uint64_t most);
/* From the seed, below `below`. */
uint64_t life_draw(const struct lives *l, uint64_t below);
void life_pass(uint64_t us);
pid_t life_start(const struct lives *l, uint64_t life);
/* Until its store is open and so many operations more are done, however slow the disk is, or it has ended. */
void life_let_work(const struct lives *l, pid_t pid, uint64_t operations);
/* The store opens, holds what was acknowledged and checks clean: commits that its recovery found. */
uint64_t life_check_store(const struct lives *l, uint64_t life);
/* Fails the test if a thread of the life saw what it must not see. */
void life_check_journal(const struct lives *l, uint64_t life);
/* Operations of all lives so far. */
uint64_t life_operations(const struct lives *l);

#endif
