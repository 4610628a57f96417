/* Single objects, and ranges of them, of pushed states: only the ranges of packs that they lie in are read,
 * and what was read last is kept decoded. For what is not read as a whole (that is state_reader.h's).
 *
 * Any thread, several at once; what several want is fetched once. Errors are with the name of the pack, the
 * id and the offset: PS_EUNAVAILABLE, PS_ELOST, PS_EAUTH, ... as the remote has it; PS_ECORRUPT: a pack is
 * not what it should be; PS_ESUPERSEDED: no state that is kept has the object as it was then; PS_ENOTFOUND:
 * there was none; PS_ECANCELED: ps_state_lookup_stop. */
#ifndef PS_STATE_LOOKUP_H
#define PS_STATE_LOOKUP_H

#include <padstone/remote.h>

#include "multistore/manifest.h"
#include "store/backing.h"

typedef struct ps_state_lookup ps_state_lookup;

struct ps_state_lookup_options {
	uint64_t state; /* only this one, by its number; 0: all that are kept, the newest before the others */
	size_t cache_bytes; /* indexes and blocks that are kept decoded; 16 MiB */
	bool (*unwanted)(void); /* pack_loader.h; NULL */
	/* As it was just read: copied; NULL, or one without a state: it is read. */
	const struct ps_push_manifest *manifest;
};

/* r stays open until it is freed. PS_ENOTFOUND: nothing was pushed there, or no such state is kept;
 * PS_ENOMEM. One request, where the manifest is not given. */
PS_CHECKED int ps_state_lookup_open(struct ps_memory *memory, ps_remote *r,
                                    const struct ps_state_lookup_options *options, ps_state_lookup **lookup);
/* Takes the manifest as the remote's index has it by now; `changed` (may be NULL) tells whether there was
 * another one. Calls under way go on with the one before, and come here themselves when a pack of theirs is
 * gone. */
PS_CHECKED int ps_state_lookup_renew(ps_state_lookup *l, bool *changed);
/* The number of the newest state that it looks at. */
uint64_t ps_state_lookup_state(ps_state_lookup *l);

/* The object as it was at the end of `interval` (UINT64_MAX: as the newest state has it). */
PS_CHECKED int ps_state_lookup_find(ps_state_lookup *l, ps_id id, uint64_t interval,
                                    struct ps_cut_object *object);
/* Fills buf with its bytes from offset to offset + len. PS_ERANGE: it was shorter. */
PS_CHECKED int ps_state_lookup_read(ps_state_lookup *l, ps_id id, uint64_t interval, uint64_t offset,
                                    void *buf, size_t len);

/* What the slot had at the end of `interval`, and those behind it below `end` as far as that is decoded
 * already, as struct ps_backing has it; who goes on from slot to slot is read ahead of (pack_streams.h).
 * PS_ESUPERSEDED: no state that is kept says what it was then; what fn said. */
PS_CHECKED int ps_state_lookup_tell(ps_state_lookup *l, uint64_t slot, uint64_t end, uint64_t interval,
                                    ps_backing_told_fn fn, void *arg);

/* These are going to be read, or told: several are fetched at once. How many of them, from the first on, were
 * begun: those behind have to be said again. */
size_t ps_state_lookup_want(ps_state_lookup *l, const struct ps_backing_want *wants, size_t count);

struct ps_state_lookup_figures {
	uint64_t reads, read_bytes; /* ranges of packs that were fetched */
	uint64_t renewed;           /* manifests that were taken in the place of another */
};
void ps_state_lookup_figures(ps_state_lookup *l, struct ps_state_lookup_figures *figures);

/* What is under way ends within a second, and nothing is fetched any more; or it goes on. */
void ps_state_lookup_stop(ps_state_lookup *l, bool stop);
void ps_state_lookup_free(ps_state_lookup *l); /* no call is under way; NULL is fine */

#endif
