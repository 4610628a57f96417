/* The tool run in the test's own process, over a memory store that outlives each run: what a kill leaves
 * behind can be tried at every commit, and hostile catalogues can be made by hand. */
#ifndef PS_TEST_IN_PROCESS_H
#define PS_TEST_IN_PROCESS_H

#include <padstone/storer.h>

/* The store behind every STORE. */
extern ps_storer *test_store;
/* Commits (batches, replaces, finished streams) since the test set it to 0. */
extern long test_commits;
/* The commit after which no other succeeds, as if the process had been killed there; -1: none. */
extern long test_last_commit;

/* Runs `padstone` with these arguments, up to a NULL; returns its exit status. */
int run_tool(const char *first, ...) __attribute__((sentinel));
/* A shell command that must succeed. */
void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Fails unless the two trees agree in names, types, modes, times, targets and every byte. */
void assert_same_tree(const char *a, const char *b);
/* How many objects the store has, and how many a catalogue needs (prime, journal, folders, files). */
uint64_t objects_there(void);
uint64_t objects_named(void);
/* A new temporary folder, to be removed with shell("rm -rf"). */
void make_temp_folder(char path[64]);

#endif
