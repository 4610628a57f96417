#include "tests/kill/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct journal *journal_new(void)
{
	void *memory =
	    mmap(NULL, sizeof(struct journal), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

void journal_free(struct journal *j)
{
	if (j)
		munmap(j, sizeof(*j));
}

static uint32_t begun(const struct thread_journal *t)
{
	return (uint32_t)(atomic_load(&t->progress) >> 32);
}

static uint32_t durable(const struct thread_journal *t)
{
	return (uint32_t)atomic_load(&t->progress);
}

static void set_progress(struct thread_journal *t, uint32_t ops_begun, uint32_t ops_durable)
{
	atomic_store(&t->progress, (uint64_t)ops_begun << 32 | ops_durable);
}

static void apply(struct version settled[JOURNAL_OBJECTS], const struct op *op)
{
	for (uint32_t i = 0; i < op->count; i++)
		settled[op->object[i]] = op->version[i];
}

/* A kill in here does no harm: applying an op twice is applying it once. */
static void fold(struct thread_journal *t)
{
	for (uint32_t n = 0; n < begun(t); n++)
		apply(t->settled, &t->op[n]);
	set_progress(t, 0, 0);
}

void journal_begin(struct thread_journal *t, const struct op *op)
{
	if (begun(t) == durable(t))
		fold(t);
	t->op[begun(t)] = *op;
	set_progress(t, begun(t) + 1, durable(t));
}

void journal_end(struct thread_journal *t, bool is_durable)
{
	atomic_fetch_add(&t->done, 1);
	if (is_durable)
		set_progress(t, begun(t), begun(t));
}

void journal_cancel(struct thread_journal *t)
{
	set_progress(t, begun(t) - 1, durable(t));
}

void journal_learn(struct thread_journal *t, uint32_t i, ps_id id)
{
	t->op[begun(t) - 1].version[i].id = id;
}

unsigned journal_undurable(const struct thread_journal *t)
{
	return begun(t) - durable(t);
}

struct version journal_now(const struct thread_journal *t, uint32_t object)
{
	struct version now = t->settled[object];
	for (uint32_t n = 0; n < begun(t); n++) {
		for (uint32_t i = 0; i < t->op[n].count; i++) {
			if (t->op[n].object[i] == object)
				now = t->op[n].version[i];
		}
	}
	return now;
}

/* ---- contents ------------------------------------------------------------------------------------------ */

void seed_bytes(uint64_t seed, uint8_t *bytes, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(((seed << 20 | i / 8) * 0x9e3779b97f4a7c15U) >> (i % 8 * 8));
}

uint64_t version_size(const struct version *v)
{
	uint64_t size = v->base;
	for (uint32_t i = 0; i < v->patches; i++) {
		uint64_t end = v->patch[i].off + v->patch[i].len;
		size = end > size ? end : size;
	}
	return size;
}

void version_bytes(const struct version *v, uint8_t *bytes)
{
	memset(bytes, 0, version_size(v));
	seed_bytes(v->seed, bytes, v->base);
	for (uint32_t i = 0; i < v->patches; i++)
		seed_bytes(v->patch[i].seed, bytes + v->patch[i].off, v->patch[i].len);
}

/* ---- settling ------------------------------------------------------------------------------------------ */

struct settler {
	struct journal *j;
	ps_storer *s;
	ps_id *orphans; /* ids that no thread was told */
	size_t orphan_count, orphan_room, known_count;
	uint8_t *expected, *found;
	char *why;
};

static bool is_known(const struct journal *j, ps_id id)
{
	for (size_t t = 0; t < JOURNAL_THREADS; t++) {
		const struct thread_journal *thread = &j->thread[t];
		for (size_t i = 0; i < JOURNAL_OBJECTS; i++) {
			if (thread->settled[i].id == id)
				return true;
		}
		for (uint32_t n = 0; n < begun(thread); n++) {
			for (uint32_t i = 0; i < thread->op[n].count; i++) {
				if (thread->op[n].version[i].id == id)
					return true;
			}
		}
	}
	return false;
}

static int note_id(void *arg, ps_id id)
{
	struct settler *m = arg;
	if (is_known(m->j, id)) {
		m->known_count++;
		return 0;
	}
	if (m->orphan_count == m->orphan_room) {
		m->orphan_room = m->orphan_room ? m->orphan_room * 2 : 16;
		m->orphans = realloc(m->orphans, m->orphan_room * sizeof(*m->orphans));
		if (!m->orphans)
			abort();
	}
	m->orphans[m->orphan_count++] = id;
	return 0;
}

static bool has_contents(struct settler *m, ps_id id, const struct version *v)
{
	size_t len = 0;
	int err = ps_get(m->s, id, m->found, JOURNAL_LARGEST, &len);
	if (err != PS_OK) {
		snprintf(m->why, JOURNAL_WHY, "object %#llx: %s: %s", (unsigned long long)id,
		         ps_error_name(err), ps_last_error_message());
		return false;
	}
	version_bytes(v, m->expected);
	if (len == version_size(v) && memcmp(m->found, m->expected, len) == 0)
		return true;
	snprintf(m->why, JOURNAL_WHY, "object %#llx: %zu bytes of other contents than expected (%llu bytes)",
	         (unsigned long long)id, len, (unsigned long long)version_size(v));
	return false;
}

/* The one orphan that has a put's contents. */
static bool find_orphan(struct settler *m, struct version *v)
{
	for (size_t i = 0; i < m->orphan_count; i++) {
		if (!m->orphans[i] || !has_contents(m, m->orphans[i], v))
			continue;
		v->id = m->orphans[i];
		return true;
	}
	snprintf(m->why, JOURNAL_WHY, "the object of an unanswered put is not there");
	return false;
}

static void take_orphan(struct settler *m, ps_id id)
{
	for (size_t i = 0; i < m->orphan_count; i++) {
		if (m->orphans[i] == id)
			m->orphans[i] = PS_ID_NONE;
	}
}

static bool fits(struct settler *m, struct version *v)
{
	size_t len;
	if (v->exists)
		return v->id ? has_contents(m, v->id, v) : find_orphan(m, v);
	if (!v->id)
		return true;
	int err = ps_get(m->s, v->id, m->found, JOURNAL_LARGEST, &len);
	if (err != PS_ENOTFOUND)
		snprintf(m->why, JOURNAL_WHY, "object %#llx: not gone: %s", (unsigned long long)v->id,
		         ps_error_name(err));
	return err == PS_ENOTFOUND;
}

/* A put that is not in this state has left nothing: its id is that of no object. */
static bool later_puts_are_absent(struct settler *m, const struct thread_journal *t, uint32_t from)
{
	size_t len;
	for (uint32_t n = from; n < begun(t); n++) {
		for (uint32_t i = 0; i < t->op[n].count; i++) {
			const struct version *v = &t->op[n].version[i];
			bool is_new = v->exists && v->id && v->id != t->settled[t->op[n].object[i]].id;
			for (uint32_t k = 0; k < from && is_new; k++) {
				for (uint32_t l = 0; l < t->op[k].count; l++)
					is_new = is_new && t->op[k].version[l].id != v->id;
			}
			if (is_new && ps_get(m->s, v->id, m->found, JOURNAL_LARGEST, &len) != PS_ENOTFOUND) {
				snprintf(m->why, JOURNAL_WHY, "object %#llx of a later commit is there",
				         (unsigned long long)v->id);
				return false;
			}
		}
	}
	return true;
}

/* The state after the first `count` ops, in `state`. */
static bool fits_after(struct settler *m, const struct thread_journal *t, uint32_t count,
                       struct version state[JOURNAL_OBJECTS])
{
	memcpy(state, t->settled, sizeof(t->settled));
	for (uint32_t n = 0; n < count; n++)
		apply(state, &t->op[n]);
	for (size_t i = 0; i < JOURNAL_OBJECTS; i++) {
		if (!fits(m, &state[i]))
			return false;
	}
	return later_puts_are_absent(m, t, count);
}

static bool settle_thread(struct settler *m, size_t number, size_t *live)
{
	struct thread_journal *t = &m->j->thread[number];
	struct version state[JOURNAL_OBJECTS];
	char first[JOURNAL_WHY - 100] = "";
	/* The last first: an unanswered put that is there counts. */
	for (uint32_t back = 0; back <= begun(t) - durable(t); back++) {
		if (!fits_after(m, t, begun(t) - back, state)) {
			if (!first[0])
				snprintf(first, sizeof(first), "%.250s", m->why);
			continue;
		}
		memcpy(t->settled, state, sizeof(state));
		set_progress(t, 0, 0);
		for (size_t i = 0; i < JOURNAL_OBJECTS; i++) {
			*live += state[i].exists;
			take_orphan(m, state[i].id);
		}
		return true;
	}
	snprintf(m->why, JOURNAL_WHY, "thread %zu: no state from op %u (durable) to %u (begun): %s", number,
	         durable(t), begun(t), first);
	return false;
}

bool journal_settle(struct journal *j, ps_storer *s, char why[JOURNAL_WHY])
{
	struct settler m = {.j = j, .s = s, .why = why};
	size_t live = 0;
	m.expected = malloc(JOURNAL_LARGEST);
	m.found = malloc(JOURNAL_LARGEST);
	if (!m.expected || !m.found)
		abort();
	bool right = ps_each(s, PS_ID_NONE, note_id, &m) == PS_OK;
	if (!right)
		snprintf(why, JOURNAL_WHY, "each: %s", ps_last_error_message());
	for (size_t t = 0; t < JOURNAL_THREADS && right; t++)
		right = settle_thread(&m, t, &live);
	if (right && live != m.known_count + m.orphan_count) {
		snprintf(why, JOURNAL_WHY, "%zu objects, and only %zu are anybody's",
		         m.known_count + m.orphan_count, live);
		right = false;
	}
	free(m.orphans);
	free(m.expected);
	free(m.found);
	return right;
}
