#include "tests/rot/standing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "tests/crash/script.h"

enum { PART_ONE_IN = 5 };

static struct look look;

static void forget_frames(struct standing *st)
{
	while (pool_evict_one(&store_of(st->s)->pool)) {
	}
}

bool standing_is_sound(struct standing *st, char why[HISTORY_WHY])
{
	forget_frames(st);
	look.brief = false;
	if (!history_look(st->history, st->s, st->commits, st->commits, &look, why))
		return false;
	if (look.damaged || look.check != PS_OK)
		snprintf(why, HISTORY_WHY, "damage where nothing is damaged any more: %s",
		         ps_last_error_message());
	return !look.damaged && look.check == PS_OK;
}

void standing_open(struct standing *st, const struct history *h, const struct image *image,
                   const uint8_t *bytes)
{
	*st = (struct standing){.history = h, .commits = image->commits, .sectors = image->size / SECTOR};
	st->disk = sim_disk_new(bytes, image->size);
	st->touched = calloc(st->sectors, sizeof(*st->touched));
	assert_non_null(st->touched);
	sim_disk_set_tracing(st->disk, false);
	sim_disk_watch(st->disk, st->touched, st->sectors);
	int err = store_open(st->disk, false, &st->s);
	if (err != PS_OK)
		fail_msg("open: %s: %s", ps_error_name(err), ps_last_error_message());
	/* What is read once for all, like the table, is in memory after this. */
	char why[HISTORY_WHY] = "";
	if (!standing_is_sound(st, why))
		fail_msg("%s", why);
}

void standing_close(struct standing *st)
{
	assert_int_equal(ps_close(st->s), PS_OK);
	sim_disk_free(st->disk);
	free(st->touched);
}

/* What the damage can reach. */
static bool look_again(struct standing *st, uint64_t objects, char why[HISTORY_WHY])
{
	forget_frames(st);
	look.brief = st->looks++ % PART_ONE_IN != 0;
	if (!history_look_at(st->history, st->s, objects, st->commits, st->commits, &look, why))
		return false;
	return objects || history_check(st->s, &look, why);
}

const uint8_t *standing_reads(struct standing *st, uint64_t objects)
{
	char why[HISTORY_WHY] = "";
	memset(st->touched, SIM_UNTOUCHED, st->sectors);
	if (!look_again(st, objects, why))
		fail_msg("%s", why);
	return st->touched;
}

bool standing_judge(struct standing *st, const struct rot_limits *limits, uint64_t sector,
                    struct rot_verdict *verdict, char why[HISTORY_WHY])
{
	st->touched[sector] = SIM_UNTOUCHED;
	if (!look_again(st, limits->reach, why))
		return false;
	bool damaged = look.damaged > 0 || look.check != PS_OK;
	*verdict = (struct rot_verdict){.open = PS_OK, .damaged = damaged, .harmless = !damaged};
	if (st->touched[sector] != SIM_READ)
		snprintf(why, HISTORY_WHY, "nobody read the sector");
	return st->touched[sector] == SIM_READ;
}
