/* The catalogue in a store: finding it, loading its objects, walking it. Readers only; import.c changes it.
 */
#ifndef PS_CLI_CATALOGUE_H
#define PS_CLI_CATALOGUE_H

#include <stdbool.h>

#include "cli/catalogue_format.h"

/* A set of ids: a walk that meets a folder twice has found a cycle or a hostile shortcut. */
struct id_set {
	ps_id *slots;
	size_t count, room;
};
/* PS_ECORRUPT if it is in already, PS_ENOMEM. */
PS_CHECKED int id_set_add(struct id_set *set, ps_id id);
bool id_set_has(const struct id_set *set, ps_id id);
void id_set_done(struct id_set *set);

/* PS_ENOTFOUND if the store has no catalogue; PS_EFORMAT if its prime object is another program's. */
PS_CHECKED int cat_load_header(ps_storer *s, struct cat_header *header);
/* A missing object is PS_ENOTFOUND, for the caller to judge. */
PS_CHECKED int cat_load_folder(ps_storer *s, ps_id id, struct cat_folder *folder);
PS_CHECKED int cat_load_journal(ps_storer *s, ps_id id, struct cat_journal *journal);
/* The entry at a path of names and slashes; the root for "" and "/" (its name is ""). cat_entry_done when
 * finished. PS_ENOTFOUND. */
PS_CHECKED int cat_lookup(ps_storer *s, const struct cat_header *header, const char *path,
                          struct cat_entry *entry);

/* Calls fn with every entry of the folder at id, before what is in it, `path` being its folder's path ending
 * in '/' or empty. A damaged folder is given to `damaged`, which says whether to go on (PS_OK). PS_ECORRUPT
 * on cycles. */
struct cat_walk {
	ps_storer *s;
	int (*fn)(void *arg, const char *path, const struct cat_entry *entry);
	int (*damaged)(void *arg, const char *path, int err);
	void *arg;
	struct id_set seen; /* zero; released by cat_walk_run */
};
PS_CHECKED int cat_walk_run(struct cat_walk *walk, const char *path, ps_id id);

#endif
