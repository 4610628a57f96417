#include "tests/crash/oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct object {
	ps_id id;
	struct oracle_content *content;
};
struct commit {
	struct object *objects; /* sorted by id; those of unknown id first */
	size_t count;
	size_t begun, durable; /* (size_t)ORACLE_NEVER: not durable */
};
struct given {
	ps_id id;
	size_t when;
};
struct owned {
	struct oracle_content content; /* first: the content is the owned */
	struct owned *next;
};

/* An object as the store has it. */
struct found {
	ps_id id;
	size_t size, at; /* its bytes: o->bytes + at */
	bool taken;
};

struct oracle {
	struct commit *commits; /* commits[0] is the empty store; behind the last one, the one begun */
	size_t count, room;
	bool open;
	struct given *given;
	size_t given_count, given_room;
	struct owned *owned;
	struct found *found;
	size_t found_count, found_room;
	uint8_t *bytes;
	size_t bytes_used, bytes_room;
};

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

struct oracle *oracle_new(void)
{
	struct oracle *o = need(calloc(1, sizeof(*o)));
	o->room = 64;
	o->commits = need(calloc(o->room, sizeof(*o->commits)));
	o->count = 1;
	return o;
}

void oracle_free(struct oracle *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->count + o->open; i++)
		free(o->commits[i].objects);
	for (struct owned *owned = o->owned, *next; owned; owned = next) {
		next = owned->next;
		free(owned);
	}
	free(o->commits);
	free(o->given);
	free(o->found);
	free(o->bytes);
	free(o);
}

static struct owned *owned_new(struct oracle *o, uint64_t size)
{
	struct owned *owned = need(calloc(1, sizeof(*owned) + size + 1));
	owned->next = o->owned;
	o->owned = owned;
	owned->content = (struct oracle_content){.size = size, .bytes = (uint8_t *)(owned + 1)};
	return owned;
}

struct oracle_content *oracle_bytes(struct oracle *o, uint64_t size, uint64_t seed)
{
	struct owned *owned = owned_new(o, size);
	uint8_t *bytes = (uint8_t *)(owned + 1);
	uint64_t random = (seed + 1) * 0x9e3779b97f4a7c15U;
	for (uint64_t i = 0; i < size; i++) {
		if (i % 8 == 0) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
		}
		bytes[i] = (uint8_t)(random >> (i % 8 * 8));
	}
	return &owned->content;
}

struct oracle_content *oracle_edited(struct oracle *o, const struct oracle_content *old, uint64_t size,
                                     uint64_t off, const struct oracle_content *data)
{
	struct owned *owned = owned_new(o, size);
	uint8_t *bytes = (uint8_t *)(owned + 1);
	if (old)
		memcpy(bytes, old->bytes, old->size < size ? old->size : size);
	if (data)
		memcpy(bytes + off, data->bytes, data->size);
	return &owned->content;
}

void oracle_begin(struct oracle *o, size_t now)
{
	if (o->count == o->room) {
		o->room *= 2;
		o->commits = need(realloc(o->commits, o->room * sizeof(*o->commits)));
	}
	const struct commit *last = &o->commits[o->count - 1];
	struct commit *commit = &o->commits[o->count];
	*commit = (struct commit){.count = last->count, .begun = now, .durable = (size_t)ORACLE_NEVER};
	commit->objects = need(malloc((last->count + 1) * sizeof(struct object)));
	if (last->count > 0)
		memcpy(commit->objects, last->objects, last->count * sizeof(struct object));
	o->open = true;
}

static size_t place_of(const struct commit *commit, ps_id id)
{
	size_t i = 0;
	while (i < commit->count && commit->objects[i].id < id)
		i++;
	return i;
}

void oracle_set(struct oracle *o, ps_id id, struct oracle_content *content)
{
	struct commit *commit = &o->commits[o->count];
	size_t i = place_of(commit, id);
	if (id == PS_ID_NONE || i == commit->count || commit->objects[i].id != id) {
		commit->objects = need(realloc(commit->objects, (commit->count + 1) * sizeof(struct object)));
		memmove(commit->objects + i + 1, commit->objects + i,
		        (commit->count - i) * sizeof(struct object));
		commit->count++;
	}
	commit->objects[i] = (struct object){id, content};
}

void oracle_remove(struct oracle *o, ps_id id)
{
	struct commit *commit = &o->commits[o->count];
	size_t i = place_of(commit, id);
	if (i == commit->count || commit->objects[i].id != id)
		return;
	commit->count--;
	memmove(commit->objects + i, commit->objects + i + 1, (commit->count - i) * sizeof(struct object));
}

void oracle_end(struct oracle *o)
{
	o->open = false;
	o->count++;
}

void oracle_cancel(struct oracle *o)
{
	free(o->commits[o->count].objects);
	o->open = false;
}

void oracle_durable(struct oracle *o, size_t now)
{
	for (size_t i = o->count; i-- > 0 && o->commits[i].durable == (size_t)ORACLE_NEVER;)
		o->commits[i].durable = now;
}

void oracle_given(struct oracle *o, ps_id id, size_t now)
{
	if (o->given_count == o->given_room) {
		o->given_room = o->given_room ? o->given_room * 2 : 64;
		o->given = need(realloc(o->given, o->given_room * sizeof(*o->given)));
	}
	o->given[o->given_count++] = (struct given){id, now};
}

void oracle_forget_after(struct oracle *o, size_t commit)
{
	while (o->count > commit + 1)
		free(o->commits[--o->count].objects);
}

void oracle_restart(struct oracle *o)
{
	for (size_t i = 0; i < o->count; i++) {
		o->commits[i].begun = 0;
		if (o->commits[i].durable != (size_t)ORACLE_NEVER)
			o->commits[i].durable = 0;
	}
	for (size_t i = 0; i < o->given_count; i++)
		o->given[i].when = 0;
}

size_t oracle_commits(const struct oracle *o)
{
	return o->count - 1;
}

struct oracle_content *oracle_now(const struct oracle *o, ps_id id)
{
	const struct commit *commit = &o->commits[o->open ? o->count : o->count - 1];
	size_t i = place_of(commit, id);
	return i < commit->count && commit->objects[i].id == id ? commit->objects[i].content : NULL;
}

size_t oracle_lowest(const struct oracle *o, size_t now)
{
	size_t i = o->count - 1;
	while (i > 0 && o->commits[i].durable > now)
		i--;
	return i;
}

size_t oracle_highest(const struct oracle *o, size_t now)
{
	size_t i = o->count - 1;
	while (i > 0 && o->commits[i].begun > now)
		i--;
	return i;
}

bool oracle_was_given(const struct oracle *o, ps_id id, size_t now)
{
	for (size_t i = 0; i < o->given_count; i++) {
		if (o->given[i].id == id && o->given[i].when <= now)
			return true;
	}
	return false;
}

int oracle_changes(const struct oracle *o, size_t from, size_t to, oracle_change_fn fn, void *arg)
{
	const struct commit *a = &o->commits[from], *b = &o->commits[to];
	size_t i = 0, k = 0;
	int result = 0;
	while (!result && (i < a->count || k < b->count)) {
		ps_id before = i < a->count ? a->objects[i].id : UINT64_MAX,
		      now = k < b->count ? b->objects[k].id : UINT64_MAX;
		ps_id id = before < now ? before : now;
		result = fn(arg, id, before == id ? a->objects[i].content : NULL,
		            now == id ? b->objects[k].content : NULL);
		i += before == id;
		k += now == id;
	}
	return result;
}

static int note_object(void *arg, ps_id id)
{
	struct oracle *o = arg;
	if (o->found_count == o->found_room) {
		o->found_room = o->found_room ? o->found_room * 2 : 64;
		o->found = need(realloc(o->found, o->found_room * sizeof(*o->found)));
	}
	o->found[o->found_count++] = (struct found){.id = id};
	return 0;
}

static int read_object(struct oracle *o, ps_storer *s, struct found *found)
{
	for (;;) {
		size_t len = 0, free_bytes = o->bytes_room - o->bytes_used;
		int err = ps_get(s, found->id, o->bytes + o->bytes_used, free_bytes, &len);
		if (err == PS_OK) {
			found->at = o->bytes_used;
			found->size = len;
			o->bytes_used += len;
			return PS_OK;
		}
		if (err != PS_ERANGE || len <= free_bytes)
			return err;
		o->bytes_room = (o->bytes_used + len) * 2;
		o->bytes = need(realloc(o->bytes, o->bytes_room));
	}
}

static bool read_store(struct oracle *o, ps_storer *s, char why[ORACLE_WHY])
{
	o->found_count = o->bytes_used = 0;
	if (!o->bytes) {
		o->bytes_room = 1 << 16;
		o->bytes = need(malloc(o->bytes_room));
	}
	int err = ps_each(s, PS_ID_NONE, note_object, o);
	if (err != PS_OK) {
		snprintf(why, ORACLE_WHY, "ps_each: %s: %s", ps_error_name(err), ps_last_error_message());
		return false;
	}
	for (size_t i = 0; i < o->found_count; i++) {
		err = read_object(o, s, &o->found[i]);
		if (err != PS_OK) {
			snprintf(why, ORACLE_WHY, "ps_get(%#llx): %s: %s", (unsigned long long)o->found[i].id,
			         ps_error_name(err), ps_last_error_message());
			return false;
		}
	}
	return true;
}

static bool same(const struct oracle *o, const struct found *found, const struct oracle_content *content)
{
	return found->size == content->size &&
	       memcmp(o->bytes + found->at, content->bytes, content->size) == 0;
}

/* Objects of known id first; then each one of unknown id takes any of the rest that is like it. */
static bool matches(struct oracle *o, const struct commit *commit)
{
	if (commit->count != o->found_count)
		return false;
	size_t f = 0;
	for (size_t i = 0; i < o->found_count; i++)
		o->found[i].taken = false;
	for (size_t i = 0; i < commit->count; i++) {
		const struct object *object = &commit->objects[i];
		if (object->id == PS_ID_NONE)
			continue;
		while (f < o->found_count && o->found[f].id < object->id)
			f++;
		if (f == o->found_count || o->found[f].id != object->id ||
		    !same(o, &o->found[f], object->content))
			return false;
		o->found[f].taken = true;
	}
	for (size_t i = 0; i < commit->count && commit->objects[i].id == PS_ID_NONE; i++) {
		size_t k = 0;
		while (k < o->found_count &&
		       (o->found[k].taken || !same(o, &o->found[k], commit->objects[i].content)))
			k++;
		if (k == o->found_count)
			return false;
		o->found[k].taken = true;
	}
	return true;
}

/* The first object that the store has not as the commit left it. */
static int explain_difference(const struct oracle *o, size_t number, char *why, size_t room)
{
	const struct commit *commit = &o->commits[number];
	size_t f = 0;
	for (size_t i = 0; i < commit->count; i++) {
		const struct object *object = &commit->objects[i];
		while (f < o->found_count && o->found[f].id < object->id)
			f++;
		if (f == o->found_count || o->found[f].id != object->id)
			return snprintf(why, room, "; %#llx (%llu bytes) is missing",
			                (unsigned long long)object->id,
			                (unsigned long long)object->content->size);
		const struct found *found = &o->found[f];
		uint64_t same_bytes = 0,
		         least = found->size < object->content->size ? found->size : object->content->size;
		while (same_bytes < least &&
		       o->bytes[found->at + same_bytes] == object->content->bytes[same_bytes])
			same_bytes++;
		if (same_bytes < least || found->size != object->content->size)
			return snprintf(
			    why, room, "; %#llx has %zu bytes, not %llu, and differs from byte %llu on",
			    (unsigned long long)object->id, found->size,
			    (unsigned long long)object->content->size, (unsigned long long)same_bytes);
	}
	return 0;
}

static void explain(struct oracle *o, size_t low, size_t high, char why[ORACLE_WHY])
{
	int used = snprintf(why, ORACLE_WHY, "not as after any commit of %zu to %zu (of %zu)", low, high,
	                    oracle_commits(o));
	for (size_t n = o->count; n-- > 0;) {
		if (matches(o, &o->commits[n])) {
			snprintf(why + used, ORACLE_WHY - (size_t)used, "; as after commit %zu", n);
			return;
		}
	}
	used += explain_difference(o, high, why + used, ORACLE_WHY - (size_t)used);
	used += snprintf(why + used, ORACLE_WHY - (size_t)used, "; there are %zu objects:", o->found_count);
	for (size_t i = 0; i < o->found_count && used < ORACLE_WHY - 40; i++)
		used += snprintf(why + used, ORACLE_WHY - (size_t)used, " %#llx (%zu bytes)",
		                 (unsigned long long)o->found[i].id, o->found[i].size);
}

bool oracle_match(struct oracle *o, ps_storer *s, size_t low, size_t high, size_t *commit,
                  char why[ORACLE_WHY])
{
	if (!read_store(o, s, why))
		return false;
	for (size_t n = high + 1; n-- > low;) {
		if (matches(o, &o->commits[n])) {
			*commit = n;
			return true;
		}
	}
	explain(o, low, high, why);
	return false;
}
