/* What a put and a get of a remote store consist of, each half alone: for the benchmark, and for the test of
 * its figures. */
#ifndef PS_BENCH_REMOTE_WORK_H
#define PS_BENCH_REMOTE_WORK_H

#include "remote/pad.h"

/* A value in medium pads; all but the last are full. */
struct remote_halves {
	const ps_keys *keys;
	const uint8_t *value;
	size_t bytes;
	const char *folder; /* where the raw files are made: remote_halves_done removes them */
	uint32_t threads;   /* that seal and open */
	uint32_t depth;     /* files written or read at a time */
};
enum remote_half {
	REMOTE_SEAL,  /* every pad, as a put seals it */
	REMOTE_OPEN,  /* a sealed pad, as many times as there are */
	REMOTE_WRITE, /* files as long as the sealed pads, each flushed, over those that are there */
	REMOTE_READ,  /* the same files */
};
/* How long it takes. PS_ENOMEM, PS_EIO, and what sealing and opening say. */
int remote_half_time(const struct remote_halves *halves, enum remote_half half, double *seconds)
    __attribute__((warn_unused_result));
void remote_halves_done(const struct remote_halves *halves);

/* The process's, now. */
size_t remote_resident_bytes(void);

#endif
