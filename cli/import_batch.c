#include "cli/import.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

uint64_t import_batch_changes = 1000;

int import_batch(struct import *im, ps_batch **b)
{
	if (im->batch == NULL) {
		int err = ps_batch_begin(im->s, &im->batch);

		if (err != PS_OK) {
			im->batch = NULL;
			return err;
		}
	}
	*b = im->batch;
	return PS_OK;
}

int import_new_folder(struct import *im, ps_id *id)
{
	uint8_t *data;
	size_t len;
	ps_batch *b;
	int err = import_batch(im, &b);

	if (err == PS_OK)
		err = cat_folder_encode(NULL, 0, NULL, 0, &data, &len);
	if (err != PS_OK)
		return err;
	err = ps_batch_put(b, data, len, id);
	free(data);
	return err;
}

/* Below this a folder is written whole: objects this small are written whole by the store in any case. */
enum { PATCH_BYTES = 2 << 20 };

/* Where the new bytes first and last differ from those that are written. */
static size_t first_difference(const struct import_folder *folder, const uint8_t *data, size_t from)
{
	while (from < folder->written_len && folder->written[from] == data[from])
		from++;
	return from;
}

static size_t last_difference(const struct import_folder *folder, const uint8_t *data, size_t len)
{
	if (len != folder->written_len)
		return len;
	while (len > 0 && folder->written[len - 1] == data[len - 1])
		len--;
	return len;
}

/* A folder of a million files takes a thousand batches. Entries come in order, so each batch changes the
 * count and the end: only those are written, or the folder would be written five hundred times over. */
static int write_folder_bytes(ps_batch *b, const struct import_folder *folder, const uint8_t *data,
                              size_t len)
{
	size_t first, last;
	int err;

	if (folder->written == NULL || len < folder->written_len)
		return ps_batch_replace(b, folder->id, data, len);
	first = first_difference(folder, data, CAT_FOLDER_HEAD_BYTES);
	last = last_difference(folder, data, len);
	err = ps_batch_write_at(b, folder->id, 0, data, CAT_FOLDER_HEAD_BYTES);
	if (err == PS_OK && first < last)
		err = ps_batch_write_at(b, folder->id, first, data + first, last - first);
	return err;
}

int import_folder_write(struct import *im, struct import_folder *folder)
{
	uint8_t *data;
	size_t len;
	ps_batch *b;
	int err = PS_OK;

	if (!folder->dirty)
		return PS_OK;
	err = import_batch(im, &b);
	if (err == PS_OK)
		err = cat_folder_encode(folder->next.entries, folder->next.count,
		                        folder->old.entries ? folder->old.entries + folder->at : NULL,
		                        folder->old.count - folder->at,
		                        &data, &len);
	if (err != PS_OK)
		return err;
	err = write_folder_bytes(b, folder, data, len);
	im->batch_bytes += len;
	im->header_dirty = true;
	free(folder->written);
	folder->written = NULL;
	if (err == PS_OK && len >= PATCH_BYTES) {
		folder->written = data;
		folder->written_len = len;
	} else {
		free(data);
	}
	if (err == PS_OK)
		folder->dirty = false;
	return err;
}

void import_folder_done(struct import_folder *folder)
{
	cat_folder_done(&folder->old);
	cat_folder_done(&folder->next);
	id_set_done(&folder->fresh);
	free(folder->written);
}

/* The journal as streams and trees, and those of `more`, make it. */
static int journal_bytes(const struct import *im, const struct cat_journal *streams,
                         const struct cat_journal *more, uint8_t **data, size_t *len)
{
	const struct cat_journal *parts[] = {streams, &im->trees, more};
	struct cat_journal all = {0};
	int err = PS_OK;

	for (size_t p = 0; p < 3; p++)
		for (size_t i = 0; parts[p] != NULL && i < parts[p]->count && err == PS_OK; i++)
			err = cat_journal_add(&all, parts[p]->entries[i].kind, parts[p]->entries[i].id);
	if (err == PS_OK)
		err = cat_journal_encode(&all, data, len);
	cat_journal_done(&all);
	return err;
}

int import_journal_stream(struct import *im, ps_id id)
{
	uint8_t *data;
	size_t len;
	int err = cat_journal_add(&im->streams, CAT_JOURNAL_OBJECT, id);

	if (err == PS_OK)
		err = journal_bytes(im, &im->streams, NULL, &data, &len);
	if (err != PS_OK)
		return err;
	/* Durable before the stream can be: with it in the log first, no moment has an object that nobody
	 * lists. */
	err = ps_replace(im->s, im->header.journal, data, len);
	free(data);
	return err;
}

static int batch_header(struct import *im)
{
	uint8_t bytes[CAT_HEADER_BYTES];

	cat_header_encode(&im->header, bytes);
	return ps_batch_replace(im->batch, PS_ID_PRIME, bytes, sizeof(bytes));
}

static int batch_journal(struct import *im)
{
	uint8_t *data;
	size_t len;
	int err;

	if (im->streams.count == 0 && im->removed.count == 0)
		return PS_OK;
	err = journal_bytes(im, NULL, &im->removed, &data, &len);
	if (err != PS_OK)
		return err;
	err = ps_batch_replace(im->batch, im->header.journal, data, len);
	free(data);
	return err;
}

int import_commit(struct import *im)
{
	ps_batch *b;
	int err = PS_OK;

	if (im->batch == NULL && !im->header_dirty && im->streams.count == 0)
		return PS_OK;
	err = import_batch(im, &b);
	if (err == PS_OK)
		err = batch_header(im);
	if (err == PS_OK)
		err = batch_journal(im);
	if (err == PS_OK)
		err = ps_batch_commit(b, PS_DURABLE);
	else if (im->batch != NULL)
		(void)ps_batch_abort(im->batch);
	im->batch = NULL;
	if (err != PS_OK)
		return err;
	im->streams.count = 0;
	for (size_t i = 0; i < im->removed.count && err == PS_OK; i++)
		err = cat_journal_add(&im->trees, im->removed.entries[i].kind, im->removed.entries[i].id);
	im->removed.count = 0;
	im->header_dirty = false;
	im->batch_files = im->batch_bytes = 0;
	return err;
}

int import_count(struct import *im, struct import_folder *folder, uint64_t bytes)
{
	int err = PS_OK;

	im->batch_files++;
	im->batch_bytes += bytes;
	if (im->batch_files < import_batch_changes && im->batch_bytes < im->batch_bytes_max)
		return PS_OK;
	if (folder != NULL)
		err = import_folder_write(im, folder);
	/* Removed folders are taken apart before the journal grows long, but not out of their own removal. */
	if (err == PS_OK && folder != NULL && im->trees.count + im->removed.count >= import_batch_changes)
		return import_end(im);
	return err == PS_OK ? import_commit(im) : err;
}

int import_delete_object(struct import *im, ps_id id)
{
	struct ps_info info;
	ps_batch *b;
	int err = ps_info(im->s, id, &info);

	if (err == PS_ENOTFOUND)
		return PS_OK;
	if (err == PS_OK)
		err = import_batch(im, &b);
	return err == PS_OK ? ps_batch_delete(b, id) : err;
}

/* Counts in the header are for people: a damaged catalogue must not make them wrap around. */
static void take(uint64_t *from, uint64_t n)
{
	*from -= n < *from ? n : *from;
}

int import_drop(struct import *im, const struct cat_entry *entry)
{
	im->header_dirty = true;
	switch (entry->type) {
	case CAT_FILE:
		take(&im->header.files, 1);
		take(&im->header.bytes, entry->size);
		return import_delete_object(im, entry->id);
	case CAT_LINK:
		take(&im->header.links, 1);
		return PS_OK;
	case CAT_FOLDER:
		break;
	}
	return cat_journal_add(&im->removed, CAT_JOURNAL_TREE, entry->id);
}

static int remove_tree(struct import *im, struct id_set *seen, ps_id id, int depth);

static int remove_children(struct import *im, struct id_set *seen, const struct cat_folder *folder, int depth)
{
	int err = PS_OK;

	for (size_t i = 0; i < folder->count && err == PS_OK; i++)
		if (folder->entries[i].type == CAT_FOLDER)
			err = remove_tree(im, seen, folder->entries[i].id, depth + 1);
	for (size_t i = 0; i < folder->count && err == PS_OK; i++) {
		struct ps_info info;

		if (folder->entries[i].type != CAT_FILE)
			continue;
		/* A file that is gone was dropped and counted before this import was killed. */
		if (ps_info(im->s, folder->entries[i].id, &info) == PS_ENOTFOUND)
			continue;
		err = import_drop(im, &folder->entries[i]);
		im->counts.removed++;
		if (err == PS_OK)
			err = import_count(im, NULL, 0);
	}
	for (size_t i = 0; i < folder->count && err == PS_OK; i++) {
		if (folder->entries[i].type != CAT_LINK)
			continue;
		im->counts.removed++;
		err = import_drop(im, &folder->entries[i]);
	}
	return err;
}

/* Children first and the folder last: killed anywhere, what is left hangs from the journal still. */
static int remove_tree(struct import *im, struct id_set *seen, ps_id id, int depth)
{
	struct cat_folder folder;
	int err = id_set_add(seen, id);

	if (err == PS_OK && (depth > CAT_DEPTH_MAX || id == im->header.root || id == im->header.journal))
		err = ps_fail(PS_ECORRUPT, "the catalogue's journal names what it cannot name");
	if (err == PS_OK)
		err = cat_load_folder(im->s, id, &folder);
	if (err == PS_ENOTFOUND)
		return PS_OK;
	if (err != PS_OK)
		return err;
	err = remove_children(im, seen, &folder, depth);
	cat_folder_done(&folder);
	if (err == PS_OK)
		err = import_delete_object(im, id);
	take(&im->header.folders, 1);
	im->header_dirty = true;
	return err == PS_OK ? import_count(im, NULL, 0) : err;
}

static int remove_trees(struct import *im)
{
	struct id_set seen = {0};
	int err = PS_OK;

	for (size_t i = 0; i < im->trees.count && err == PS_OK; i++)
		err = remove_tree(im, &seen, im->trees.entries[i].id, 0);
	id_set_done(&seen);
	return err;
}

/* Empties the durable journal: trees are gone or in the open batch's deletes, whose commit empties it. */
static int clear_journal(struct import *im)
{
	struct cat_journal empty = {0};
	uint8_t *data;
	size_t len;
	ps_batch *b;
	int err = import_batch(im, &b);

	if (err == PS_OK)
		err = cat_journal_encode(&empty, &data, &len);
	if (err != PS_OK)
		return err;
	err = ps_batch_replace(b, im->header.journal, data, len);
	free(data);
	if (err == PS_OK)
		err = import_commit(im);
	if (err == PS_OK)
		im->trees.count = 0;
	return err;
}

/* What an import that was killed left behind. */
static int sweep(struct import *im)
{
	struct cat_journal journal;
	struct ps_info info;
	int err = cat_load_journal(im->s, im->header.journal, &journal);

	if (err == PS_ENOTFOUND)
		err = ps_fail(PS_ECORRUPT, "the catalogue's journal is gone");
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < journal.count && err == PS_OK; i++) {
		if (journal.entries[i].kind == CAT_JOURNAL_TREE) {
			err = cat_journal_add(&im->trees, CAT_JOURNAL_TREE, journal.entries[i].id);
			continue;
		}
		if (journal.entries[i].id == im->header.root || journal.entries[i].id == im->header.journal)
			err = ps_fail(PS_ECORRUPT, "the catalogue's journal names what it cannot name");
		else if (ps_info(im->s, journal.entries[i].id, &info) == PS_OK)
			im->counts.orphans++;
		if (err == PS_OK)
			err = import_delete_object(im, journal.entries[i].id);
	}
	if (err == PS_OK)
		err = remove_trees(im);
	if (err == PS_OK && journal.count > 0)
		err = clear_journal(im);
	cat_journal_done(&journal);
	return err;
}

/* A catalogue with an empty root in a store that has none. */
static int create_catalogue(struct import *im)
{
	struct cat_journal empty = {0};
	uint8_t *data;
	size_t len;
	ps_batch *b;
	int err = ps_prime(im->s, 0, NULL); /* a batch replaces only what exists */

	im->header = (struct cat_header){.root_mode = 0755};
	if (err == PS_OK)
		err = import_batch(im, &b);
	if (err == PS_OK)
		err = import_new_folder(im, &im->header.root);
	if (err == PS_OK)
		err = cat_journal_encode(&empty, &data, &len);
	if (err != PS_OK)
		return err;
	err = ps_batch_put(b, data, len, &im->header.journal);
	free(data);
	return err == PS_OK ? import_commit(im) : err;
}

int import_begin(struct import *im)
{
	struct ps_stats stats;
	int err = ps_stats(im->s, &stats);

	if (err != PS_OK)
		return err;
	im->batch_bytes_max = IMPORT_BATCH_BYTES;
	if (stats.memory_budget > 0 && stats.memory_budget / 4 < IMPORT_BATCH_BYTES)
		im->batch_bytes_max = stats.memory_budget / 4;
	err = cat_load_header(im->s, &im->header);
	if (err == PS_ENOTFOUND)
		return create_catalogue(im);
	return err == PS_OK ? sweep(im) : err;
}

int import_end(struct import *im)
{
	int err = import_commit(im);

	if (err != PS_OK || im->trees.count == 0)
		return err;
	err = remove_trees(im);
	return err == PS_OK ? clear_journal(im) : err;
}

void import_done(struct import *im)
{
	if (im->batch != NULL)
		(void)ps_batch_abort(im->batch);
	im->batch = NULL;
	cat_journal_done(&im->streams);
	cat_journal_done(&im->trees);
	cat_journal_done(&im->removed);
	id_set_done(&im->seen);
	free(im->buf);
	free(im->other);
}
