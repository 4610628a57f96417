#include "cli/catalogue_format.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/fail.h"

struct header_bytes {
	uint8_t magic[8];
	ps_le32 version;
	ps_le32 reserved;
	ps_le64 root, journal;
	ps_le64 files, folders, links, bytes;
	ps_le64 root_mtime_sec;
	ps_le32 root_mtime_nsec, root_mode;
	uint8_t reserved_too[40];
	ps_le64 checksum; /* XXH3-64 of all before */
};
static_assert(sizeof(struct header_bytes) == CAT_HEADER_BYTES, "the header is 128 bytes");

struct folder_bytes {
	uint8_t magic[4];
	ps_le32 version;
	ps_le64 count;
};
static_assert(sizeof(struct folder_bytes) == CAT_FOLDER_HEAD_BYTES, "a folder begins with 16 bytes");

struct entry_bytes {
	uint8_t type;
	uint8_t reserved;
	ps_le16 name_len;
	ps_le32 mode;
	ps_le64 mtime_sec;
	ps_le32 mtime_nsec;
	ps_le32 target_len;
	ps_le64 size;
	ps_le64 id;
};
static_assert(sizeof(struct entry_bytes) == 40, "an entry is 40 bytes, its name and its target");

struct journal_bytes {
	ps_le32 kind;
	ps_le32 reserved;
	ps_le64 id;
};
static_assert(sizeof(struct journal_bytes) == 16, "a journal entry is 16 bytes");

static const uint8_t header_magic[8] = {'P', 'S', 'C', 'A', 'T', 'L', 'O', 'G'};
static const uint8_t folder_magic[4] = {'P', 'S', 'F', 'D'};
static const uint8_t journal_magic[4] = {'P', 'S', 'J', 'N'};

void cat_header_encode(const struct cat_header *header, uint8_t out[CAT_HEADER_BYTES])
{
	struct header_bytes h = {0};

	memcpy(h.magic, header_magic, sizeof(h.magic));
	h.version = ps_set32(CAT_VERSION);
	h.root = ps_set64(header->root);
	h.journal = ps_set64(header->journal);
	h.files = ps_set64(header->files);
	h.folders = ps_set64(header->folders);
	h.links = ps_set64(header->links);
	h.bytes = ps_set64(header->bytes);
	h.root_mtime_sec = ps_set64((uint64_t)header->root_mtime.sec);
	h.root_mtime_nsec = ps_set32(header->root_mtime.nsec);
	h.root_mode = ps_set32(header->root_mode);
	h.checksum = ps_set64(XXH3_64bits(&h, offsetof(struct header_bytes, checksum)));
	memcpy(out, &h, sizeof(h));
}

static int header_check(const struct header_bytes *h)
{
	ps_id root = ps_get64(h->root), journal = ps_get64(h->journal);

	if (ps_get32(h->version) != CAT_VERSION)
		return ps_fail(PS_EVERSION, "the catalogue has format %u; this program knows %d",
		               ps_get32(h->version), CAT_VERSION);
	if (ps_get64(h->checksum) != XXH3_64bits(h, offsetof(struct header_bytes, checksum)))
		return ps_fail(PS_ECORRUPT, "the catalogue's header has a wrong checksum");
	if (ps_get32(h->reserved) != 0 || !ps_all_zero(h->reserved_too, sizeof(h->reserved_too)))
		return ps_fail(PS_ECORRUPT, "the catalogue's header has reserved bytes set");
	if (root <= PS_ID_PRIME || journal <= PS_ID_PRIME || root == journal)
		return ps_fail(PS_ECORRUPT, "the catalogue's header has impossible ids");
	if (ps_get32(h->root_mtime_nsec) > 999999999 || ps_get32(h->root_mode) > 07777)
		return ps_fail(PS_ECORRUPT, "the catalogue's header has an impossible time or mode");
	return PS_OK;
}

int cat_header_decode(const void *data, size_t len, struct cat_header *header)
{
	struct header_bytes h;
	int err;

	if (len < sizeof(h.magic) || memcmp(data, header_magic, sizeof(h.magic)) != 0)
		return ps_fail(PS_EFORMAT,
		               "object 1 is not a catalogue: another program keeps its own data there");
	if (len != sizeof(h))
		return ps_fail(PS_ECORRUPT, "the catalogue's header has %zu bytes instead of %zu", len,
		               sizeof(h));
	memcpy(&h, data, sizeof(h));
	err = header_check(&h);
	if (err != PS_OK)
		return err;
	*header = (struct cat_header){
	    .root = ps_get64(h.root),
	    .journal = ps_get64(h.journal),
	    .files = ps_get64(h.files),
	    .folders = ps_get64(h.folders),
	    .links = ps_get64(h.links),
	    .bytes = ps_get64(h.bytes),
	    .root_mode = ps_get32(h.root_mode),
	    .root_mtime = {(int64_t)ps_get64(h.root_mtime_sec), ps_get32(h.root_mtime_nsec)}};
	return PS_OK;
}

const char *cat_name_fault(const char *name, size_t len)
{
	if (len == 0)
		return "is empty";
	if (len > CAT_NAME_MAX)
		return "is longer than 255 bytes";
	if (memchr(name, '\0', len) != NULL)
		return "contains a NUL";
	if (memchr(name, '/', len) != NULL)
		return "contains a '/'";
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return "means another folder";
	return NULL;
}

int cat_entry_name(struct cat_entry *entry, const char *name, size_t name_len, const char *target,
                   size_t target_len)
{
	char *memory = calloc(1, name_len + 1 + target_len + 1);

	if (memory == NULL)
		return ps_fail(PS_ENOMEM, "no memory for a catalogue entry");
	memcpy(memory, name, name_len);
	entry->name = memory;
	entry->target = NULL;
	if (target != NULL) {
		entry->target = memory + name_len + 1;
		memcpy(entry->target, target, target_len);
	}
	return PS_OK;
}

void cat_entry_done(struct cat_entry *entry)
{
	free(entry->name);
	entry->name = NULL;
	entry->target = NULL;
}

int cat_folder_add(struct cat_folder *folder, const struct cat_entry *entry)
{
	if (folder->count == folder->room) {
		size_t room = folder->room == 0 ? 16 : folder->room * 2;
		struct cat_entry *grown = reallocarray(folder->entries, room, sizeof(*grown));

		if (grown == NULL)
			return ps_fail(PS_ENOMEM, "no memory for a folder of %zu entries", room);
		folder->entries = grown;
		folder->room = room;
	}
	folder->entries[folder->count++] = *entry;
	return PS_OK;
}

struct cat_entry *cat_folder_find(const struct cat_folder *folder, const char *name)
{
	size_t low = 0, high = folder->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(folder->entries[middle].name, name);

		if (order == 0)
			return &folder->entries[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void cat_folder_done(struct cat_folder *folder)
{
	for (size_t i = 0; i < folder->count; i++)
		cat_entry_done(&folder->entries[i]);
	free(folder->entries);
	*folder = (struct cat_folder){0};
}

static size_t entry_length(const struct cat_entry *entry)
{
	return sizeof(struct entry_bytes) + strlen(entry->name) +
	       (entry->target != NULL ? strlen(entry->target) : 0);
}

static uint8_t *entry_encode(const struct cat_entry *entry, uint8_t *at)
{
	size_t name_len = strlen(entry->name);
	size_t target_len = entry->target != NULL ? strlen(entry->target) : 0;
	struct entry_bytes e = {.type = (uint8_t)entry->type};

	e.name_len = ps_set16((uint16_t)name_len);
	e.mode = ps_set32(entry->mode);
	e.mtime_sec = ps_set64((uint64_t)entry->mtime.sec);
	e.mtime_nsec = ps_set32(entry->mtime.nsec);
	e.target_len = ps_set32((uint32_t)target_len);
	e.size = ps_set64(entry->size);
	e.id = ps_set64(entry->id);
	memcpy(at, &e, sizeof(e));
	memcpy(at + sizeof(e), entry->name, name_len);
	if (target_len > 0)
		memcpy(at + sizeof(e) + name_len, entry->target, target_len);
	return at + sizeof(e) + name_len + target_len;
}

int cat_folder_encode(const struct cat_entry *a, size_t a_count, const struct cat_entry *b, size_t b_count,
                      uint8_t **data, size_t *len)
{
	struct folder_bytes head = {.version = ps_set32(CAT_VERSION), .count = ps_set64(a_count + b_count)};
	size_t size = sizeof(head);
	uint8_t *bytes, *at;

	for (size_t i = 0; i < a_count; i++)
		size += entry_length(&a[i]);
	for (size_t i = 0; i < b_count; i++)
		size += entry_length(&b[i]);
	if (size > CAT_FOLDER_BYTES_MAX)
		return ps_fail(PS_ERANGE, "a folder with %zu entries is too large for the catalogue",
		               a_count + b_count);
	bytes = malloc(size);
	if (bytes == NULL)
		return ps_fail(PS_ENOMEM, "no memory for a folder of %zu entries", a_count + b_count);
	memcpy(head.magic, folder_magic, sizeof(head.magic));
	memcpy(bytes, &head, sizeof(head));
	at = bytes + sizeof(head);
	for (size_t i = 0; i < a_count; i++)
		at = entry_encode(&a[i], at);
	for (size_t i = 0; i < b_count; i++)
		at = entry_encode(&b[i], at);
	*data = bytes;
	*len = size;
	return PS_OK;
}

/* What the fixed part of an entry may say, apart from the bytes behind it. */
static const char *entry_fault(const struct entry_bytes *e)
{
	uint32_t target_len = ps_get32(e->target_len);
	uint64_t size = ps_get64(e->size), id = ps_get64(e->id);

	if (e->reserved != 0)
		return "has reserved bytes set";
	if (ps_get32(e->mode) > 07777 || ps_get32(e->mtime_nsec) > 999999999)
		return "has an impossible mode or time";
	switch (e->type) {
	case CAT_FILE:
		return target_len != 0 || size > PS_SIZE_MAX || id <= PS_ID_PRIME ? "is no possible file"
		                                                                  : NULL;
	case CAT_FOLDER:
		return target_len != 0 || size != 0 || id <= PS_ID_PRIME ? "is no possible folder" : NULL;
	case CAT_LINK:
		return target_len == 0 || target_len > CAT_TARGET_MAX || size != target_len ||
		               id != PS_ID_NONE
		           ? "is no possible symbolic link"
		           : NULL;
	default:
		return "is of an unknown type";
	}
}

/* One entry at *at; moves *at behind it. */
static int entry_decode(const uint8_t **at, const uint8_t *end, struct cat_entry *entry)
{
	struct entry_bytes e;
	const char *name, *fault;
	size_t name_len, target_len;

	if ((size_t)(end - *at) < sizeof(e))
		return ps_fail(PS_ECORRUPT, "a catalogue folder ends inside an entry");
	memcpy(&e, *at, sizeof(e));
	name_len = ps_get16(e.name_len);
	target_len = ps_get32(e.target_len);
	fault = entry_fault(&e);
	if (fault != NULL)
		return ps_fail(PS_ECORRUPT, "a catalogue entry %s", fault);
	if ((size_t)(end - *at) - sizeof(e) < name_len + target_len)
		return ps_fail(PS_ECORRUPT, "a catalogue folder ends inside a name");
	name = (const char *)*at + sizeof(e);
	fault = cat_name_fault(name, name_len);
	if (fault != NULL)
		return ps_fail(PS_ECORRUPT, "a name in the catalogue %s", fault);
	if (memchr(name + name_len, '\0', target_len) != NULL)
		return ps_fail(PS_ECORRUPT, "a link's target in the catalogue contains a NUL");
	*entry = (struct cat_entry){.type = (enum cat_type)e.type,
	                            .mode = ps_get32(e.mode),
	                            .mtime = {(int64_t)ps_get64(e.mtime_sec), ps_get32(e.mtime_nsec)},
	                            .size = ps_get64(e.size),
	                            .id = ps_get64(e.id)};
	*at += sizeof(e) + name_len + target_len;
	return cat_entry_name(entry, name, name_len, e.type == CAT_LINK ? name + name_len : NULL, target_len);
}

static int entries_decode(const uint8_t *at, const uint8_t *end, uint64_t count, struct cat_folder *folder)
{
	struct cat_entry entry;
	int err;

	for (uint64_t i = 0; i < count; i++) {
		err = entry_decode(&at, end, &entry);
		if (err != PS_OK)
			return err;
		if (i > 0 && strcmp(folder->entries[i - 1].name, entry.name) >= 0)
			err = ps_fail(PS_ECORRUPT, "names in a catalogue folder are doubled or out of order");
		else
			err = cat_folder_add(folder, &entry);
		if (err != PS_OK) {
			cat_entry_done(&entry);
			return err;
		}
	}
	if (at != end)
		return ps_fail(PS_ECORRUPT, "a catalogue folder has bytes behind its last entry");
	return PS_OK;
}

int cat_folder_decode(const void *data, size_t len, struct cat_folder *folder)
{
	struct cat_folder decoded = {0};
	struct folder_bytes head;
	int err;

	if (len < sizeof(head) || len > CAT_FOLDER_BYTES_MAX)
		return ps_fail(PS_ECORRUPT, "a catalogue folder cannot have %zu bytes", len);
	memcpy(&head, data, sizeof(head));
	if (memcmp(head.magic, folder_magic, sizeof(head.magic)) != 0)
		return ps_fail(PS_ECORRUPT, "what the catalogue names as a folder is none");
	if (ps_get32(head.version) != CAT_VERSION)
		return ps_fail(PS_EVERSION, "a catalogue folder has format %u; this program knows %d",
		               ps_get32(head.version), CAT_VERSION);
	err = entries_decode((const uint8_t *)data + sizeof(head), (const uint8_t *)data + len,
	                     ps_get64(head.count), &decoded);
	if (err != PS_OK) {
		cat_folder_done(&decoded);
		return err;
	}
	*folder = decoded;
	return PS_OK;
}

int cat_journal_add(struct cat_journal *journal, enum cat_journal_kind kind, ps_id id)
{
	if (journal->count == CAT_JOURNAL_MAX)
		return ps_fail(PS_ERANGE, "the catalogue's journal is full");
	if (journal->count == journal->room) {
		size_t room = journal->room == 0 ? 16 : journal->room * 2;
		struct cat_journal_entry *grown = reallocarray(journal->entries, room, sizeof(*grown));

		if (grown == NULL)
			return ps_fail(PS_ENOMEM, "no memory for the catalogue's journal");
		journal->entries = grown;
		journal->room = room;
	}
	journal->entries[journal->count++] = (struct cat_journal_entry){kind, id};
	return PS_OK;
}

void cat_journal_done(struct cat_journal *journal)
{
	free(journal->entries);
	*journal = (struct cat_journal){0};
}

int cat_journal_encode(const struct cat_journal *journal, uint8_t **data, size_t *len)
{
	struct folder_bytes head = {.version = ps_set32(CAT_VERSION), .count = ps_set64(journal->count)};
	size_t size = sizeof(head) + journal->count * sizeof(struct journal_bytes);
	uint8_t *bytes = malloc(size);

	if (bytes == NULL)
		return ps_fail(PS_ENOMEM, "no memory for the catalogue's journal");
	memcpy(head.magic, journal_magic, sizeof(head.magic));
	memcpy(bytes, &head, sizeof(head));
	for (size_t i = 0; i < journal->count; i++) {
		struct journal_bytes e = {.kind = ps_set32(journal->entries[i].kind),
		                          .id = ps_set64(journal->entries[i].id)};

		memcpy(bytes + sizeof(head) + i * sizeof(e), &e, sizeof(e));
	}
	*data = bytes;
	*len = size;
	return PS_OK;
}

static int journal_entry_decode(const uint8_t *at, struct cat_journal *journal)
{
	struct journal_bytes e;
	uint32_t kind;

	memcpy(&e, at, sizeof(e));
	kind = ps_get32(e.kind);
	if ((kind != CAT_JOURNAL_OBJECT && kind != CAT_JOURNAL_TREE) || ps_get32(e.reserved) != 0 ||
	    ps_get64(e.id) <= PS_ID_PRIME)
		return ps_fail(PS_ECORRUPT, "the catalogue's journal has an impossible entry");
	return cat_journal_add(journal, (enum cat_journal_kind)kind, ps_get64(e.id));
}

int cat_journal_decode(const void *data, size_t len, struct cat_journal *journal)
{
	struct cat_journal decoded = {0};
	struct folder_bytes head;
	const uint8_t *at = data;
	uint64_t count;
	int err = PS_OK;

	if (len < sizeof(head) || memcmp(at, journal_magic, sizeof(journal_magic)) != 0)
		return ps_fail(PS_ECORRUPT, "what the catalogue names as its journal is none");
	memcpy(&head, at, sizeof(head));
	count = ps_get64(head.count);
	if (ps_get32(head.version) != CAT_VERSION)
		return ps_fail(PS_EVERSION, "the catalogue's journal has format %u; this program knows %d",
		               ps_get32(head.version), CAT_VERSION);
	if (count > CAT_JOURNAL_MAX || len != sizeof(head) + count * sizeof(struct journal_bytes))
		return ps_fail(PS_ECORRUPT, "the catalogue's journal has a wrong length");
	for (uint64_t i = 0; i < count && err == PS_OK; i++)
		err = journal_entry_decode(at + sizeof(head) + i * sizeof(struct journal_bytes), &decoded);
	if (err != PS_OK) {
		cat_journal_done(&decoded);
		return err;
	}
	*journal = decoded;
	return PS_OK;
}
