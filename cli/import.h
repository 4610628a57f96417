/* The writing side of the catalogue: one batch at a time, each of which leaves a consistent catalogue behind.
 *
 * A batch holds file objects, the folder objects that name them, the header and the journal. A stream (a file
 * over CLI_STREAM_BYTES) commits by itself: its id is in the durable journal before it can be in the store,
 * and leaves the journal in the batch that names it. A folder that is removed moves into the journal in the
 * batch that takes its name away, and is taken apart afterwards. So whatever the journal lists belongs to
 * nobody. */
#ifndef PS_CLI_IMPORT_H
#define PS_CLI_IMPORT_H

#include <sys/stat.h>

#include "cli/catalogue.h"
#include "cli/cli.h"
#include "cli/progress.h"

enum { IMPORT_BATCH_BYTES = 64 << 20 };
/* Changes in a batch at most: 1000; tests set it lower to have more commits to die at. */
extern uint64_t import_batch_changes;
/* Beside the negative ps_error: this file cannot be read, the import goes on without it. */
enum { IMPORT_UNREADABLE = 1 };

struct import_counts {
	uint64_t added, changed, same, removed; /* files and links */
	uint64_t folders;                       /* seen */
	uint64_t skipped, failed, hard_links; /* special files; not readable; stored as files of their own */
	uint64_t bytes_seen, bytes_stored, orphans;
};

struct import {
	struct cli *cli;
	ps_storer *s;
	struct cat_header header; /* as the open batch will leave it */
	bool header_dirty;
	struct cat_journal streams; /* in the durable journal now, named by the next batch at the latest */
	struct cat_journal trees;   /* in the durable journal now */
	struct cat_journal removed; /* trees that the open batch puts there */
	ps_batch *batch;            /* NULL: none open */
	uint64_t batch_files, batch_bytes, batch_bytes_max;
	struct id_set seen; /* folders met, to find cycles */
	struct stat store;  /* the store's own file, not to be stored in itself */
	struct import_counts counts;
	struct cli_progress progress;
	char *buf, *other; /* CLI_STREAM_BYTES + 1 each */
};

/* One folder while it is imported: what the catalogue has (`old`, from `at` on not yet passed) and what is
 * final
 * (`next`). At every moment next and the rest of old together are a valid folder. */
struct import_folder {
	ps_id id;
	const char *path; /* of the source, for messages */
	int fd;
	struct cat_folder old, next;
	size_t at;
	bool dirty;       /* differs from the object in the store and the open batch */
	uint8_t *written; /* the object as the open batch leaves it, of large folders; NULL: not known */
	size_t written_len;
	struct id_set fresh; /* folders that this run made: they need not be loaded */
};

/* Finds or makes the catalogue; clears what an earlier import left in the journal. */
PS_CHECKED int import_begin(struct import *im);
/* Commits what is open and takes removed folders apart. */
PS_CHECKED int import_end(struct import *im);
void import_done(struct import *im);

/* The open batch; begins one if there is none. */
PS_CHECKED int import_batch(struct import *im, ps_batch **b);
/* Puts the folder object into the batch if it is dirty. */
PS_CHECKED int import_folder_write(struct import *im, struct import_folder *folder);
/* Frees what the folder holds. */
void import_folder_done(struct import_folder *folder);
/* Counts a change of so many bytes; commits, with `folder`, if the batch is full. */
PS_CHECKED int import_count(struct import *im, struct import_folder *folder, uint64_t bytes);
/* Commits the open batch. All folders that have changed must be in it. */
PS_CHECKED int import_commit(struct import *im);
/* Takes what an entry names out of the store and the header's counts, within the batch. */
PS_CHECKED int import_drop(struct import *im, const struct cat_entry *entry);
/* Deletes an object if it is there. */
PS_CHECKED int import_delete_object(struct import *im, ps_id id);
/* Makes the id of a stream durable in the journal. */
PS_CHECKED int import_journal_stream(struct import *im, ps_id id);
/* A new, empty folder object. */
PS_CHECKED int import_new_folder(struct import *im, ps_id *id);

/* The contents of the file behind fd: compared with old (may be NULL) as the options say, stored if they
 * differ. entry's size, id, mode and time are set. *stored says whether contents were. IMPORT_UNREADABLE with
 * a sentence. */
PS_CHECKED int import_contents(struct import *im, int fd, const char *path, const struct cat_entry *old,
                               struct cat_entry *entry, bool *stored);

#endif
