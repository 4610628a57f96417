/* Several reads of what is away, or unknown: the backing hears of them before the first one is fetched, so that
 * it can fetch them together (struct ps_backing, want). */
#include <sys/param.h>

#include "store/base_internal.h"

enum { WANTS = 64, MAP_LOOKS = 64 };

/* The first part of the range that is away, as far as one fetch goes. */
static bool want_of_map(struct store *s, const struct ps_get_many *r, const struct entry *e,
			struct ps_backing_want *want)
{
	uint64_t size = entry_size(e), end = MIN(size, r->offset + r->cap);
	for (uint64_t i = r->offset / CHUNK, looks = 0; i * CHUNK < end && looks < MAP_LOOKS; i++, looks++) {
		struct map_chunk c;
		if (map_lookup(s, r->id, e, i, &c))
			return false;
		uint64_t from = MAX(i * CHUNK, r->offset);
		if (!chunk_is_away(&c))
			continue;
		*want = (struct ps_backing_want){r->id, fault_interval(s, e), from, (size_t)MIN(end - from, FAULT_BYTES)};
		return true;
	}
	return false;
}

static bool want_of(struct store *s, const struct ps_get_many *r, const struct entry *e, struct ps_backing_want *want)
{
	switch (entry_kind(e)) {
	case ENTRY_UNKNOWN:
		*want = (struct ps_backing_want){id_make(id_slot(r->id), 0), s->table.unknown_interval, 0, 0};
		return true;
	case ENTRY_AWAY:
		*want = (struct ps_backing_want){r->id, fault_interval(s, e), 0, (size_t)entry_size(e)};
		return r->offset < entry_size(e) && r->cap > 0;
	case ENTRY_MAP:
		return want_of_map(s, r, e, want);
	default:
		return false;
	}
}

size_t want_reads(struct store *s, const struct ps_get_many *reqs, const struct entry *entries, size_t from, size_t n)
{
	struct ps_backing_want wants[WANTS];
	size_t which[WANTS], count = 0, i = from;
	bool all_here = !atomic_load(&s->residency.confirmed) && !atomic_load(&s->table.unknown);
	if (all_here)
		return n;
	for (; i < n && count < WANTS; i++) {
		which[count] = i;
		count += !reqs[i].status && want_of(s, &reqs[i], &entries[i], &wants[count]);
	}
	size_t taken = count > 1 ? residency_want(s, wants, count) : count;
	return taken < count ? which[taken] : i;
}
