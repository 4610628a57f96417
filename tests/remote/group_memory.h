/* One counted memory for a group of tests, of which nothing may be left at its end. */
#ifndef GROUP_MEMORY_H
#define GROUP_MEMORY_H

#include "base/memory.h"

extern struct ps_memory group_memory;
/* Set-up and end of a cmocka group. */
int memory_begin(void **state);
int memory_is_given_back(void **state);

#endif
