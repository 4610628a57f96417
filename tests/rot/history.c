#include "tests/rot/history.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 128 << 10 };

void history_init(struct history *h)
{
	memset(h, 0, sizeof(*h));
	h->seed = 1;
	h->after[0] = calloc(HISTORY_OBJECTS, sizeof(*h->after[0]));
	if (!h->after[0])
		abort();
}

void history_done(struct history *h)
{
	while (h->all) {
		struct content *next = h->all->next;
		free(h->all);
		h->all = next;
	}
	for (size_t k = 0; k <= h->commits; k++)
		free(h->after[k]);
}

const struct content *history_now(const struct history *h, size_t object)
{
	return h->after[h->commits][object];
}

static struct content *new_content(struct history *h, uint64_t size)
{
	struct content *c = calloc(1, sizeof(*c) + size);
	if (!c)
		abort();
	c->size = size;
	c->next = h->all;
	h->all = c;
	return c;
}

/* No two contents are alike anywhere: each 8 bytes hold the content's number and their own place. */
static void fill(uint8_t *bytes, uint64_t size, uint64_t number)
{
	for (uint64_t i = 0; i < size; i++) {
		uint64_t word = (number << 32 | i / 8) * 0x9e3779b97f4a7c15U;
		bytes[i] = (uint8_t)(word >> (i % 8 * 8));
	}
}

static struct content *random_content(struct history *h, uint64_t size)
{
	struct content *c = new_content(h, size);
	fill(c->bytes, size, h->seed++);
	return c;
}

static void expect(int err, const char *what)
{
	if (err != PS_OK)
		fail_msg("%s: %s: %s", what, ps_error_name(err), ps_last_error_message());
}

/* One more commit, as the last one but for what the caller sets. */
static const struct content **commit(struct history *h)
{
	size_t bytes = HISTORY_OBJECTS * sizeof(*h->after[0]);
	assert_true(h->commits + 1 < HISTORY_COMMITS);
	const struct content **now = malloc(bytes);
	if (!now)
		abort();
	memcpy(now, h->after[h->commits], bytes);
	h->after[++h->commits] = now;
	return now;
}

static size_t new_object(struct history *h, ps_id id)
{
	assert_true(h->objects < HISTORY_OBJECTS);
	h->ids[h->objects] = id;
	h->born[h->objects] = h->commits + 1;
	return h->objects++;
}

size_t history_put(struct history *h, uint64_t size)
{
	ps_id id;
	const struct content *c = random_content(h, size);
	expect(ps_put(h->s, c->bytes, size, &id), "put");
	size_t object = new_object(h, id);
	commit(h)[object] = c;
	return object;
}

size_t history_alloc(struct history *h, uint64_t size)
{
	ps_id id;
	expect(ps_alloc(h->s, size, &id), "alloc");
	size_t object = new_object(h, id);
	commit(h)[object] = new_content(h, size);
	return object;
}

size_t history_alloc_run(struct history *h, uint64_t size, size_t count)
{
	ps_id ids[16];
	assert_true(count <= sizeof(ids) / sizeof(ids[0]));
	expect(ps_alloc_run(h->s, size, count, ids), "alloc_run");
	size_t first = h->objects;
	for (size_t i = 0; i < count; i++)
		(void)new_object(h, ids[i]);
	const struct content **now = commit(h);
	for (size_t i = 0; i < count; i++)
		now[first + i] = new_content(h, size);
	return first;
}

size_t history_prime(struct history *h, uint64_t size)
{
	ps_id id;
	expect(ps_prime(h->s, size, &id), "prime");
	size_t object = new_object(h, id);
	commit(h)[object] = new_content(h, size);
	return object;
}

void history_replace(struct history *h, size_t object, uint64_t size)
{
	const struct content *c = random_content(h, size);
	expect(ps_replace(h->s, h->ids[object], c->bytes, size), "replace");
	commit(h)[object] = c;
}

void history_write_at(struct history *h, size_t object, uint64_t off, uint64_t size)
{
	const struct content *old = history_now(h, object), *data = random_content(h, size);
	struct content *c = new_content(h, off + size > old->size ? off + size : old->size);
	memcpy(c->bytes, old->bytes, old->size);
	memcpy(c->bytes + off, data->bytes, size);
	expect(ps_write_at(h->s, h->ids[object], off, data->bytes, size), "write_at");
	commit(h)[object] = c;
}

void history_delete(struct history *h, size_t object)
{
	expect(ps_delete(h->s, h->ids[object]), "delete");
	commit(h)[object] = NULL;
}

/* ---- looking ------------------------------------------------------------------------------------------- */

static bool wrong(char why[HISTORY_WHY], ps_id id, const char *what, int err)
{
	snprintf(why, HISTORY_WHY, "object %#llx: %s: %s (%s)", (unsigned long long)id, what,
	         ps_error_name(err), err == PS_OK ? "no error" : ps_last_error_message());
	return false;
}

static bool equal(const struct content *c, const uint8_t *bytes, size_t len)
{
	return c && c->size == len && memcmp(c->bytes, bytes, len) == 0;
}

/* The allowed commits shrink to those that left the object as it was found. They are a range: what they
 * exclude is at its ends, or nothing explains what was found. */
static bool narrow(const struct history *h, size_t object, struct look *look, const uint8_t *bytes,
                   size_t len, char why[HISTORY_WHY])
{
	struct found *f = &look->found[object];
	size_t low = look->high + 1, high = 0;
	for (size_t k = look->low; k <= look->high; k++) {
		const struct content *c = h->after[k][object];
		if (f->err == PS_ENOTFOUND ? c != NULL : !equal(c, bytes, len))
			continue;
		f->content = c;
		low = k < low ? k : low;
		high = k;
	}
	if (low > look->high) {
		snprintf(why, HISTORY_WHY, "object %#llx: %s of no commit from %zu to %zu",
		         (unsigned long long)h->ids[object],
		         f->err == PS_ENOTFOUND ? "an absence" : "contents", look->low, look->high);
		return false;
	}
	look->low = low;
	look->high = high;
	return true;
}

/* A range and the size agree with the whole, or say that they are damaged. */
static bool look_otherwise(ps_storer *s, ps_id id, const struct found *f, char why[HISTORY_WHY])
{
	uint8_t part[64];
	size_t got;
	struct ps_info info;
	uint64_t size = f->content ? f->content->size : 0, off = size / 2;
	int err = ps_read_at(s, id, off, part, sizeof(part), &got);
	if (err != PS_OK && err != PS_ECORRUPT)
		return wrong(why, id, "read_at", err);
	if (err == PS_OK && f->err == PS_OK &&
	    (got != (size - off < sizeof(part) ? size - off : sizeof(part)) ||
	     memcmp(f->content->bytes + off, part, got) != 0))
		return wrong(why, id, "read_at gave other bytes", err);
	err = ps_info(s, id, &info);
	if (err != PS_OK && err != PS_ECORRUPT)
		return wrong(why, id, "info", err);
	if (err == PS_OK && f->err == PS_OK && info.size != size)
		return wrong(why, id, "info gave another size", err);
	return true;
}

static bool look_at(const struct history *h, ps_storer *s, size_t object, struct look *look,
                    char why[HISTORY_WHY])
{
	static uint8_t bytes[LARGEST];
	struct found *f = &look->found[object];
	ps_id id = h->ids[object];
	size_t len = 0;
	f->content = NULL;
	f->err = ps_get(s, id, bytes, sizeof(bytes), &len);
	if (f->err == PS_ECORRUPT) {
		look->damaged++;
		if (!ps_last_error_message()[0])
			return wrong(why, id, "damage without a sentence", f->err);
		return look->brief || look_otherwise(s, id, f, why);
	}
	if (f->err != PS_OK && f->err != PS_ENOTFOUND)
		return wrong(why, id, "get", f->err);
	if (!narrow(h, object, look, bytes, len, why))
		return false;
	return f->err == PS_ENOTFOUND || look->brief || look_otherwise(s, id, f, why);
}

struct listing {
	const struct history *h;
	const struct look *look;
	size_t count;
	ps_id foreign;
};

static int list_one(void *arg, ps_id id)
{
	struct listing *l = arg;
	for (size_t i = 0; i < l->h->objects; i++) {
		if (l->h->ids[i] == id && l->look->found[i].err != PS_ENOTFOUND) {
			l->count++;
			return 0;
		}
	}
	l->foreign = id;
	return 0;
}

static bool look_at_list(const struct history *h, ps_storer *s, const struct look *look,
                         char why[HISTORY_WHY])
{
	struct listing l = {.h = h, .look = look};
	int err = ps_each(s, PS_ID_NONE, list_one, &l);
	if (l.foreign)
		return wrong(why, l.foreign, "each gave an id that is not there", err);
	if (err != PS_OK && err != PS_ECORRUPT)
		return wrong(why, PS_ID_NONE, "each", err);
	size_t there = 0;
	for (size_t i = 0; i < h->objects; i++)
		there += look->found[i].err == PS_OK;
	return err == PS_ECORRUPT || l.count >= there || wrong(why, PS_ID_NONE, "each left objects out", err);
}

bool history_look_at(const struct history *h, ps_storer *s, uint64_t objects, size_t low, size_t high,
                     struct look *look, char why[HISTORY_WHY])
{
	look->low = low;
	look->high = high;
	look->damaged = 0;
	look->check = PS_OK;
	for (size_t i = 0; i < h->objects && i < 64; i++) {
		if ((objects >> i & 1) && !look_at(h, s, i, look, why))
			return false;
	}
	return true;
}

bool history_check(ps_storer *s, struct look *look, char why[HISTORY_WHY])
{
	look->check = ps_check(s, PS_CHECK_FULL, NULL, NULL);
	if (look->check != PS_OK && look->check != PS_ECORRUPT)
		return wrong(why, PS_ID_NONE, "check", look->check);
	return look->check == PS_ECORRUPT || !look->damaged ||
	       wrong(why, PS_ID_NONE, "check found no damage where reads did", look->check);
}

bool history_look(const struct history *h, ps_storer *s, size_t low, size_t high, struct look *look,
                  char why[HISTORY_WHY])
{
	look->low = low;
	look->high = high;
	look->damaged = 0;
	for (size_t i = 0; i < h->objects; i++) {
		if (!look_at(h, s, i, look, why))
			return false;
	}
	return look_at_list(h, s, look, why) && history_check(s, look, why);
}
