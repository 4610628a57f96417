/* Several runs as one. */
#include <string.h>

#include "base/fail.h"
#include "remote/run.h"

struct ps_run_merge {
	struct ps_memory *memory;
	size_t count;
	uint64_t tombstones_below;
	struct source {
		ps_run_reader *reader;
		struct ps_record record;
		bool there; /* record is the next one */
		bool ended;
	} sources[];
};

int ps_run_merge_new(struct ps_memory *memory, ps_run_reader *const *readers, size_t count,
                     uint64_t tombstones_below, ps_run_merge **merge)
{
	if (count == 0 || count > PS_RUN_SOURCES_MAX)
		return ps_fail(PS_EINVAL, "a merge has 1 to %d runs", PS_RUN_SOURCES_MAX);
	ps_run_merge *m = ps_memory_zalloc(memory, sizeof(*m) + count * sizeof(m->sources[0]));
	if (!m)
		return ps_fail(PS_ENOMEM, "no memory for a merge of %zu runs", count);
	m->memory = memory;
	m->count = count;
	m->tombstones_below = tombstones_below;
	for (size_t i = 0; i < count; i++)
		m->sources[i].reader = readers[i];
	*merge = m;
	return PS_OK;
}

void ps_run_merge_free(ps_run_merge *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->count; i++)
		if (m->sources[i].there)
			ps_record_done(&m->sources[i].record);
	ps_memory_free(m->memory, m, sizeof(*m) + m->count * sizeof(m->sources[0]));
}

static int fill(struct source *s)
{
	bool found = false;
	if (s->there || s->ended)
		return PS_OK;
	int err = ps_run_reader_next(s->reader, &s->record, &found);
	s->there = err == PS_OK && found;
	s->ended = err == PS_OK && !found;
	return err;
}

static int compare(const struct source *a, const struct source *b)
{
	return ps_name_compare(a->record.name, a->record.name_len, b->record.name, b->record.name_len);
}

/* Of the smallest name the newest source's; the older ones' of that name are dropped. */
static struct source *newest(ps_run_merge *m)
{
	struct source *best = NULL;
	for (size_t i = 0; i < m->count; i++) {
		struct source *s = &m->sources[i];
		int order = !s->there ? 1 : best ? compare(s, best) : -1;
		if (!s->there || order > 0)
			continue;
		if (order == 0) {
			ps_record_done(&best->record);
			best->there = false;
		}
		best = s;
	}
	return best;
}

int ps_run_merge_next(ps_run_merge *m, struct ps_record *record, bool *found)
{
	for (;;) {
		for (size_t i = 0; i < m->count; i++) {
			int err = fill(&m->sources[i]);
			if (err != PS_OK)
				return err;
		}
		struct source *s = newest(m);
		if (!s) {
			*found = false;
			return PS_OK;
		}
		s->there = false;
		if ((s->record.flags & PS_RECORD_TOMBSTONE) && s->record.published < m->tombstones_below) {
			ps_record_done(&s->record);
			continue;
		}
		ps_record_move(record, &s->record);
		*found = true;
		return PS_OK;
	}
}
