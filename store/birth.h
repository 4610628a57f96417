/* When a part of a large object was last changed, as its map's pointers say it in eight bits: the age,
 * counted from the interval in which the node that holds the pointer was written.
 *
 * A birth that is read is never before the true one, and at most an eighth of the age behind it; up to an age
 * of 15 it is exact. So "not changed after an interval" is certain, and "changed" may be due to the rounding.
 * Ages are written as k x 16 + q: the birth is q steps of 2^k before the last multiple of 2^k. What was
 * rounded lies on such a multiple and is rounded again only when its age has doubled: a node that is
 * rewritten all the time does not make its other pointers younger. */
#ifndef PS_BIRTH_H
#define PS_BIRTH_H

#include <stdint.h>

enum { BIRTH_AGE_MAX = 255 };

/* 0 for what was written with the node. */
uint8_t birth_age(uint32_t interval, uint32_t birth);
/* interval: that of the node, or one behind it: then the birth is later, too. */
uint32_t birth_of(uint32_t interval, uint8_t age);

#endif
