/* Bytes of the catalogue that names imported files: header (the prime object), folders, journal. CATALOGUE.md
 * says what they mean. Decoders take any bytes: all lengths, names and orders are validated, and what fails
 * is PS_ECORRUPT with a sentence. */
#ifndef PS_CLI_CATALOGUE_FORMAT_H
#define PS_CLI_CATALOGUE_FORMAT_H

#include <padstone/storer.h>

enum {
	CAT_VERSION = 1,
	CAT_HEADER_BYTES = 128,
	CAT_FOLDER_HEAD_BYTES = 16, /* what stands before the entries */
	CAT_NAME_MAX = 255,
	CAT_TARGET_MAX = 4095,
	CAT_DEPTH_MAX = 512,
	CAT_FOLDER_BYTES_MAX = 256 << 20,
	CAT_JOURNAL_MAX = 65536, /* entries */
};

enum cat_type { CAT_FILE = 1, CAT_FOLDER = 2, CAT_LINK = 3 };

struct cat_time {
	int64_t sec;
	uint32_t nsec;
};

struct cat_header {
	ps_id root, journal;
	uint64_t files, folders, links, bytes; /* of the whole catalogue; the root folder is not counted */
	uint32_t root_mode;
	struct cat_time root_mtime;
};

struct cat_entry {
	enum cat_type type;
	uint32_t mode; /* permission bits, 07777 at most */
	struct cat_time mtime;
	uint64_t size; /* of a file's contents; a link's target; 0 for folders */
	ps_id id;      /* PS_ID_NONE for links */
	char *name;    /* owned; the target lies in the same memory */
	char *target;  /* NULL unless a link */
};

/* Entries in the order of strcmp on their names, each name once. */
struct cat_folder {
	struct cat_entry *entries;
	size_t count, room;
};

enum cat_journal_kind { CAT_JOURNAL_OBJECT = 1, CAT_JOURNAL_TREE = 2 };
struct cat_journal_entry {
	enum cat_journal_kind kind;
	ps_id id;
};
struct cat_journal {
	struct cat_journal_entry *entries;
	size_t count, room;
};

void cat_header_encode(const struct cat_header *header, uint8_t out[CAT_HEADER_BYTES]);
/* PS_EFORMAT if the bytes belong to something else, PS_EVERSION, PS_ECORRUPT. */
PS_CHECKED int cat_header_decode(const void *data, size_t len, struct cat_header *header);

/* A folder of the entries of a and then those of b: bytes to free(). PS_ERANGE if too many, PS_ENOMEM. */
PS_CHECKED int cat_folder_encode(const struct cat_entry *a, size_t a_count, const struct cat_entry *b,
                                 size_t b_count, uint8_t **data, size_t *len);
PS_CHECKED int cat_folder_decode(const void *data, size_t len, struct cat_folder *folder);
/* Takes over the entry's name. PS_ENOMEM: the entry is still the caller's. */
PS_CHECKED int cat_folder_add(struct cat_folder *folder, const struct cat_entry *entry);
/* NULL if there is none. */
struct cat_entry *cat_folder_find(const struct cat_folder *folder, const char *name);
void cat_folder_done(struct cat_folder *folder);

/* A name in memory of its own, the target (may be NULL) behind it. PS_ENOMEM. */
PS_CHECKED int cat_entry_name(struct cat_entry *entry, const char *name, size_t name_len, const char *target,
                              size_t target_len);
void cat_entry_done(struct cat_entry *entry);
/* NULL, or why this cannot be one component of a path. */
const char *cat_name_fault(const char *name, size_t len);

PS_CHECKED int cat_journal_encode(const struct cat_journal *journal, uint8_t **data, size_t *len);
PS_CHECKED int cat_journal_decode(const void *data, size_t len, struct cat_journal *journal);
PS_CHECKED int cat_journal_add(struct cat_journal *journal, enum cat_journal_kind kind, ps_id id);
void cat_journal_done(struct cat_journal *journal);

#endif
