/* What the tests of dir: have in common: its files, and requests to it. */
#ifndef TESTS_NETWORKS_DIR_SIDE_H
#define TESTS_NETWORKS_DIR_SIDE_H

#include <semaphore.h>

#include "tests/remote/networks/suite.h"

enum { DIR_SIDE_RECORD = 150001, DIR_SIDE_PATIENCE_S = 120 };

/* A folder in `where` (NULL, or one that cannot be written to: the working folder), and a suite whose
 * networks are made in it and whose calls are let go after each test; the seed is 1. False: there is none. */
bool dir_suite_begin(const char *program, const char *name, const char *where);
/* The folder goes. The status that main returns. */
int dir_suite_end(int status);
/* The URL of a network that is not there yet. */
void dir_fresh(char *url, size_t size);

const char *dir_path_of(const struct net_side *side);
/* These two: until the next call. */
char *dir_in_folder(const struct net_side *side, const char *format, const char *name);
/* The path of a record's file. */
char *dir_file_of(const struct net_side *side, const struct ps_pad_name *name);
/* Files in the folder of temporary ones. */
unsigned dir_leftovers(const struct net_side *side);
/* One operation on a name that has version 1, or none for a create. */
void dir_prepare(ps_network *n, struct ps_net_request *r, enum ps_net_op op, const struct ps_pad_name *name);
/* From now on what waits for a lock is heard of. */
void dir_listen_for_waits(sem_t *waits);
void dir_await_wait(sem_t *waits);

#endif
