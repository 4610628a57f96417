/* Images of the smallest store with objects of all kinds, and the verdict over a damaged one. */
#ifndef ROT_IMAGE_H
#define ROT_IMAGE_H

#include "tests/rot/history.h"
#include "tests/support/sim_disk.h"

struct image {
	uint8_t *bytes;
	uint64_t size;
	size_t commits; /* of the history that it reflects */
};

/* Three moments of one store: `old` closed, `clean` a life later and closed, `unclean` another life later
 * with its last commits only in the log. Each is `size` bytes long: what a file lacks at its end reads as
 * zeros. */
struct images {
	struct history history;
	struct image old, clean, unclean;
};
void images_build(struct images *im);
void images_done(struct images *im);

void image_take(struct image *image, const struct sim_disk *disk, size_t commits);
/* As long as the other: with zeros behind its end. */
void image_lengthen(struct image *image, uint64_t size);

struct rot_limits {
	size_t low, high; /* commits that may be found */
	bool must_open;   /* this damage is never a reason to refuse the store */
	bool write;       /* also write to the store, close it and open it again */
	uint64_t reach;   /* which of the first 64 objects the damage can reach; 0: any */
	bool reach_only;  /* look at these, and at nothing else */
};

struct rot_verdict {
	int open; /* PS_OK or how it was refused */
	bool damaged, harmless;
};

/* Opens, reads everything (or what the limits say), checks, closes, and, if asked, writes and opens again:
 * what could be read before still can. False with a sentence for what must never be. */
bool rot_judge(struct sim_disk *disk, const struct history *h, const uint8_t *bytes, uint64_t size,
               const struct rot_limits *limits, struct rot_verdict *verdict, char why[HISTORY_WHY]);

#endif
