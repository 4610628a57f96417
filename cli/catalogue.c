#include "cli/catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

static size_t id_set_place(const struct id_set *set, ps_id id)
{
	size_t at = (size_t)(id * 0x9e3779b97f4a7c15u >> 20) & (set->room - 1);

	while (set->slots[at] != PS_ID_NONE && set->slots[at] != id)
		at = (at + 1) & (set->room - 1);
	return at;
}

static int id_set_grow(struct id_set *set)
{
	struct id_set grown = {.room = set->room == 0 ? 64 : set->room * 2, .count = set->count};

	grown.slots = calloc(grown.room, sizeof(*grown.slots));
	if (grown.slots == NULL)
		return ps_fail(PS_ENOMEM, "no memory to remember %zu folders", grown.room);
	for (size_t i = 0; i < set->room; i++)
		if (set->slots[i] != PS_ID_NONE)
			grown.slots[id_set_place(&grown, set->slots[i])] = set->slots[i];
	free(set->slots);
	*set = grown;
	return PS_OK;
}

int id_set_add(struct id_set *set, ps_id id)
{
	size_t at;
	int err;

	if (set->count * 2 >= set->room) {
		err = id_set_grow(set);
		if (err != PS_OK)
			return err;
	}
	at = id_set_place(set, id);
	if (set->slots[at] == id)
		return ps_fail(PS_ECORRUPT, "the catalogue reaches object %llu twice",
		               (unsigned long long)id);
	set->slots[at] = id;
	set->count++;
	return PS_OK;
}

bool id_set_has(const struct id_set *set, ps_id id)
{
	return set->count > 0 && set->slots[id_set_place(set, id)] == id;
}

void id_set_done(struct id_set *set)
{
	free(set->slots);
	*set = (struct id_set){0};
}

int cat_load_header(ps_storer *s, struct cat_header *header)
{
	uint8_t bytes[CAT_HEADER_BYTES];
	size_t len = 0;
	int err = ps_get(s, PS_ID_PRIME, bytes, sizeof(bytes), &len);

	if (err == PS_ERANGE)
		return ps_fail(PS_EFORMAT,
		               "object 1 is not a catalogue: another program keeps its own data there");
	if (err != PS_OK && err != PS_ENOTFOUND)
		return err;
	if (err == PS_ENOTFOUND ||
	    len == 0) /* made by ps_prime, the first import killed before its first commit */
		return ps_fail(PS_ENOTFOUND, "nothing was imported into this store");
	return cat_header_decode(bytes, len, header);
}

/* The whole object in memory to free(). */
static int load_object(ps_storer *s, ps_id id, uint64_t limit, uint8_t **data, size_t *len)
{
	struct ps_info info;
	uint8_t *bytes;
	int err = ps_info(s, id, &info);

	if (err != PS_OK)
		return err;
	if (info.size > limit)
		return ps_fail(PS_ECORRUPT, "object %llu of the catalogue is too large",
		               (unsigned long long)id);
	bytes = malloc(info.size + 1);
	if (bytes == NULL)
		return ps_fail(PS_ENOMEM, "no memory for a catalogue object of %llu bytes",
		               (unsigned long long)info.size);
	err = ps_get(s, id, bytes, info.size, len);
	if (err != PS_OK) {
		free(bytes);
		return err;
	}
	*data = bytes;
	return PS_OK;
}

int cat_load_folder(ps_storer *s, ps_id id, struct cat_folder *folder)
{
	uint8_t *data = NULL;
	size_t len = 0;
	int err = load_object(s, id, CAT_FOLDER_BYTES_MAX, &data, &len);

	if (err != PS_OK)
		return err;
	err = cat_folder_decode(data, len, folder);
	free(data);
	return err;
}

int cat_load_journal(ps_storer *s, ps_id id, struct cat_journal *journal)
{
	uint8_t *data = NULL;
	size_t len = 0;
	int err = load_object(s, id, 32u * CAT_JOURNAL_MAX, &data, &len);

	if (err != PS_OK)
		return err;
	err = cat_journal_decode(data, len, journal);
	free(data);
	return err;
}

/* entry becomes its own child of that name. */
static int lookup_child(ps_storer *s, const char *path, const char *name, struct cat_entry *entry)
{
	struct cat_folder folder;
	struct cat_entry *found;
	int err;

	if (entry->type != CAT_FOLDER)
		return ps_fail(PS_ENOTFOUND, "'%s' is not in the catalogue: '%s' is not a folder", path,
		               entry->name);
	err = cat_load_folder(s, entry->id, &folder);
	if (err == PS_ENOTFOUND)
		err = ps_fail(PS_ECORRUPT, "the folder '%s' of the catalogue is gone", entry->name);
	if (err != PS_OK)
		return err;
	found = cat_folder_find(&folder, name);
	if (found == NULL) {
		err = ps_fail(PS_ENOTFOUND, "'%s' is not in the catalogue", path);
	} else {
		cat_entry_done(entry);
		*entry = *found;
		found->name = NULL;
		found->target = NULL;
	}
	cat_folder_done(&folder);
	return err;
}

int cat_lookup(ps_storer *s, const struct cat_header *header, const char *path, struct cat_entry *entry)
{
	struct cat_entry at = {
	    .type = CAT_FOLDER, .mode = header->root_mode, .mtime = header->root_mtime, .id = header->root};
	char *copy = strdup(path), *rest = copy, *name;
	int err;

	if (copy == NULL)
		return ps_fail(PS_ENOMEM, "no memory for a path");
	err = cat_entry_name(&at, "", 0, NULL, 0);
	while (err == PS_OK && (name = strsep(&rest, "/")) != NULL)
		if (name[0] != '\0')
			err = lookup_child(s, path, name, &at);
	free(copy);
	if (err != PS_OK) {
		cat_entry_done(&at);
		return err;
	}
	*entry = at;
	return PS_OK;
}

static int walk_folder(struct cat_walk *walk, const char *path, ps_id id, int depth);

static int walk_into(struct cat_walk *walk, const char *path, const struct cat_entry *entry, int depth)
{
	char *inner;
	int err;

	if (asprintf(&inner, "%s%s/", path, entry->name) < 0)
		return ps_fail(PS_ENOMEM, "no memory for a path");
	err = walk_folder(walk, inner, entry->id, depth + 1);
	free(inner);
	return err;
}

/* Of the folder's object, not of the machine or a network. */
static bool is_damage(int err)
{
	return err != PS_ENOMEM && err != PS_EUNAVAILABLE && err != PS_ETIMEDOUT;
}

static int walk_folder(struct cat_walk *walk, const char *path, ps_id id, int depth)
{
	struct cat_folder folder;
	int err = id_set_add(&walk->seen, id);

	if (err == PS_OK && depth > CAT_DEPTH_MAX)
		err = ps_fail(PS_ECORRUPT, "the catalogue is nested more than %d deep", CAT_DEPTH_MAX);
	if (err == PS_OK)
		err = cat_load_folder(walk->s, id, &folder);
	if (err != PS_OK)
		return is_damage(err) ? walk->damaged(walk->arg, path, err) : err;
	for (size_t i = 0; i < folder.count && err == PS_OK; i++) {
		err = walk->fn(walk->arg, path, &folder.entries[i]);
		if (err == PS_OK && folder.entries[i].type == CAT_FOLDER)
			err = walk_into(walk, path, &folder.entries[i], depth);
	}
	cat_folder_done(&folder);
	return err;
}

int cat_walk_run(struct cat_walk *walk, const char *path, ps_id id)
{
	int err = walk_folder(walk, path, id, 0);

	id_set_done(&walk->seen);
	return err;
}
