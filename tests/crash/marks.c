#include "tests/crash/marks.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define NEVER ((size_t)ORACLE_NEVER)

/* What a cut gives, beside what the oracle says has changed. */
struct compare {
	struct ps_cut *cut;
	struct ps_cut_object object; /* the next one that it gives */
	bool more;
	int err;
	char *why;
	const struct oracle_content *content;
	unsigned nameless; /* objects whose ids nobody learned: any that the oracle does not know */
};

static int wrong(struct compare *c, ps_id id, const char *what)
{
	snprintf(c->why, ORACLE_WHY, "the cut: object %#llx: %s", (unsigned long long)id, what);
	return 1;
}

static int next(struct compare *c)
{
	int err = ps_cut_next(c->cut, &c->object);
	c->more = err == PS_OK;
	c->err = err == PS_ENOTFOUND ? PS_OK : err;
	return c->err ? 1 : 0;
}

static int compare_piece(void *arg, uint64_t offset, const void *data, size_t len)
{
	const struct compare *c = arg;
	bool same = offset + len <= c->content->size && !memcmp(c->content->bytes + offset, data, len);
	return same ? PS_OK : PS_ECANCELED;
}

static int compare_content(struct compare *c, const struct oracle_content *content)
{
	if (c->object.size != content->size)
		return wrong(c, c->object.id, "other size");
	c->content = content;
	c->err = ps_cut_pieces(c->cut, compare_piece, c);
	if (c->err != PS_ECANCELED)
		return c->err ? 1 : 0;
	c->err = PS_OK;
	return wrong(c, c->object.id, "other bytes");
}

/* Ids that no object of the oracle has had, or that came to an end since: no matter. */
static int pass_gone(struct compare *c, ps_id before)
{
	while (c->more && c->object.id < before) {
		if (c->object.kind != PS_CUT_GONE && !c->nameless--)
			return wrong(c, c->object.id, "was not changed");
		if (next(c))
			return 1;
	}
	return 0;
}

/* In the order of ids; `now` is NULL where the object is gone. */
static int compare_one(void *arg, ps_id id, const struct oracle_content *before,
                       const struct oracle_content *now)
{
	struct compare *c = arg;
	if (id == PS_ID_NONE) {
		c->nameless++;
		return 0;
	}
	if (pass_gone(c, id))
		return 1;
	bool given = c->more && c->object.id == id,
	     hidden = c->more && c->object.id >> 24 == id >> 24 && c->object.id > id;
	if (!now)
		return !hidden && (!given || c->object.kind != PS_CUT_GONE)
		           ? wrong(c, id, "its end is not given")
		           : 0;
	if (before == now)
		return given ? wrong(c, id, "was not changed") : 0;
	if (!given || c->object.kind == PS_CUT_GONE)
		return wrong(c, id, "was changed, and is not given");
	return compare_content(c, now) || next(c);
}

static int compare_all(struct compare *c, struct oracle *o, size_t from, size_t to)
{
	if (next(c) || oracle_changes(o, from, to, compare_one, c))
		return 1;
	return pass_gone(c, UINT64_MAX);
}

/* PS_OK, an error, or 1. */
static int cut_and_compare(struct oracle *o, ps_storer *s, const struct ps_cut_from *from, size_t since,
                           size_t commit, struct ps_cut_info *info, char *why)
{
	struct compare c = {.why = why};
	int err = ps_cut_begin(s, from, &c.cut, info);
	if (err)
		return err;
	int result = compare_all(&c, o, since, commit);
	ps_cut_end(c.cut);
	return c.err ? c.err : result;
}

int marks_cut(struct marks *m, struct oracle *o, ps_storer *s, size_t (*now)(void *arg), void *arg,
              char why[ORACLE_WHY])
{
	const struct cut_mark nothing = {0}, *last = m->cut_count ? &m->cuts[m->cut_count - 1] : &nothing;
	struct ps_cut_info info;
	if (m->cut_count == MARKS_MAX)
		return PS_OK;
	int err = cut_and_compare(o, s, &last->here, last->commit, oracle_commits(o), &info, why);
	if (!err)
		m->cuts[m->cut_count++] = (struct cut_mark){now(arg), oracle_commits(o), info.here};
	return err;
}

int marks_note(struct marks *m, ps_storer *s, size_t (*now)(void *arg), void *arg)
{
	if (m->note_count == MARKS_MAX)
		return PS_OK;
	struct note_mark *n = &m->notes[m->note_count];
	*n = (struct note_mark){now(arg), NEVER, ++m->note_count};
	int err = ps_note_set(s, &n->number, sizeof(n->number));
	if (!err)
		n->ended = now(arg);
	return err;
}

void marks_restart(struct marks *m)
{
	for (unsigned i = 0; i < m->cut_count; i++)
		m->cuts[i].when = 0;
	for (unsigned i = 0; i < m->note_count; i++) {
		m->notes[i].begun = 0;
		m->notes[i].ended = m->notes[i].ended == NEVER ? NEVER : 0;
	}
}

static bool note_holds(const struct marks *m, ps_storer *s, size_t point, char *why)
{
	unsigned least = 0, most = 0, there = 0;
	size_t len;
	for (unsigned i = 0; i < m->note_count; i++) {
		if (m->notes[i].ended <= point)
			least = i + 1;
		if (m->notes[i].begun <= point)
			most = i + 1;
	}
	int err = ps_note_get(s, &there, sizeof(there), &len);
	bool right =
	    err == PS_ENOTFOUND ? least == 0 : err == PS_OK && there >= least && there <= most && there;
	if (!right)
		snprintf(why, ORACLE_WHY, "the note is %u (%s), not one of %u to %u", there,
		         ps_error_name(err), least, most);
	return right;
}

static bool cut_holds_what_changed(const struct marks *m, struct oracle *o, ps_storer *s, size_t commit,
                                   size_t point, char *why)
{
	const struct cut_mark *last = NULL;
	struct ps_cut_info info;
	for (unsigned i = 0; i < m->cut_count && m->cuts[i].when <= point; i++)
		last = &m->cuts[i];
	if (!last)
		return true;
	int err = cut_and_compare(o, s, &last->here, last->commit, commit, &info, why);
	if (err < 0)
		snprintf(why, ORACLE_WHY, "the cut: %s", ps_last_error_message());
	else if (!err && info.here.interval <= last->here.interval)
		snprintf(why, ORACLE_WHY, "interval %llu after %llu", (unsigned long long)info.here.interval,
		         (unsigned long long)last->here.interval);
	return !err && info.here.interval > last->here.interval;
}

bool marks_hold(const struct marks *m, struct oracle *o, ps_storer *s, size_t commit, size_t point,
                char why[ORACLE_WHY])
{
	return (!m->note_count || note_holds(m, s, point, why)) &&
	       cut_holds_what_changed(m, o, s, commit, point, why);
}
