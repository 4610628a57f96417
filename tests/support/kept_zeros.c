/* Linked in with --wrap=mapping_give: what one store leaves to the next is zeros wherever the next one may
 * look (store/mapping.h). */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "store/huge.h"
#include "store/mapping.h"

enum { SMALL_PAGE = 4096, STEP = 64 << 20, STEP_PAGES = STEP / SMALL_PAGE, PIECE_PAGES = 512 };

void __real_mapping_give(enum mapping_kind kind, void *range, size_t bytes);
void __wrap_mapping_give(enum mapping_kind kind, void *range, size_t bytes);

static void check_page(const char *what, const uint8_t *page, size_t number)
{
	if (ps_all_zero(page, SMALL_PAGE))
		return;
	fprintf(stderr, "page %zu of %s is left to the next store, and is not zeros\n", number, what);
	abort();
}

/* Only pages that are in memory: to look at the others would bring them there. */
static void check_range(const char *what, const uint8_t *range, size_t bytes)
{
	unsigned char there[PIECE_PAGES];
	size_t pages = (bytes + SMALL_PAGE - 1) / SMALL_PAGE;
	for (size_t at = 0; at < pages; at += PIECE_PAGES) {
		size_t count = pages - at < PIECE_PAGES ? pages - at : PIECE_PAGES;
		if (mincore((void *)(uintptr_t)(range + at * SMALL_PAGE), count * SMALL_PAGE, there))
			abort();
		for (size_t i = 0; i < count; i++)
			if (there[i] & 1)
				check_page(what, range + (at + i) * SMALL_PAGE, at + i);
	}
}

/* As set_region has them (store/pool_regions.c), of 64 GiB. */
static void check_frames(const uint8_t *frames)
{
	const size_t pages = ((size_t)64 << 30) / SMALL_PAGE;
	check_range("the frames", frames, STEP);
	check_range("the states", frames + pages * SMALL_PAGE, (size_t)STEP_PAGES * 8);
	check_range("the verified bits", frames + pages * (SMALL_PAGE + 8), (size_t)STEP_PAGES * 32);
	check_range("what is counted and joined", frames + pages * (SMALL_PAGE + 40), SMALL_PAGE);
	check_range("what is joined", frames + pages * (SMALL_PAGE + 40) + pages / 128 / 8, SMALL_PAGE);
}

void __wrap_mapping_give(enum mapping_kind kind, void *range, size_t bytes)
{
	if (kind == MAPPING_FRAMES)
		check_frames(huge_align(range));
	else
		check_range("the entries", huge_align(range), STEP);
	__real_mapping_give(kind, range, bytes);
}
