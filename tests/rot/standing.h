/* A store that stays open while bits of its file change: what it keeps of objects in memory is thrown away
 * before each look, so that they come from the disk, through all that verifies them. For bytes that only
 * reads of objects come by that shows what opening the store for each bit would, at a small part of the
 * price. */
#ifndef STANDING_H
#define STANDING_H

#include "tests/rot/rot_image.h"

struct standing {
	struct sim_disk *disk;
	const struct history *history;
	size_t commits; /* that it holds */
	ps_storer *s;
	uint8_t *touched; /* sectors that were read (sim_disk_watch) */
	uint64_t sectors, looks;
};

/* Over bytes of the image's size, undamaged now, which the caller then changes and changes back. A failure
 * fails the test. */
void standing_open(struct standing *st, const struct history *h, const struct image *image,
                   const uint8_t *bytes);
void standing_close(struct standing *st);

/* touched[sector] == SIM_READ where these objects, or a full check if there are none, read once more: change
 * nothing else under an open store. */
const uint8_t *standing_reads(struct standing *st, uint64_t objects);

/* Reads the objects of limits->reach, or checks if there are none, and nothing else. False with a sentence
 * for what must never be; also if that did not read the sector that the damage lies in. */
bool standing_judge(struct standing *st, const struct rot_limits *limits, uint64_t sector,
                    struct rot_verdict *verdict, char why[HISTORY_WHY]);

/* With nothing changed: all is as it was, whatever was found in between. */
bool standing_is_sound(struct standing *st, char why[HISTORY_WHY]);

#endif
