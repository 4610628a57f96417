/* Reading runs. Parts were authenticated by their pads; they are checked all the same, and so is that they
 * are the parts of one run, in order, none missing. */
#include <string.h>

#include "base/fail.h"
#include "remote/run.h"
#include "remote/run_internal.h"

struct ps_run_reader {
	struct ps_memory *memory;
	struct ps_run_about about;
	char store[256];
	uint32_t parts, next_part;
	ps_run_fetch_fn fetch;
	void *arg;
	const uint8_t *at; /* in the part's body */
	size_t left;       /* of the body */
	uint32_t count;    /* records that begin in what is left */
	uint8_t *record;   /* one that spans parts */
	size_t record_len, record_capacity;
	char last[PS_RECORD_NAME_MAX + 1]; /* the name before */
	uint16_t last_len;
	struct ps_run_part part;
	bool fresh; /* no record of the part was read yet */
};

static int damaged(const char *what)
{
	return ps_fail(PS_ECORRUPT, "a part of a run %s", what);
}

static bool name_fits(const char *name, size_t len)
{
	return len <= PS_RECORD_NAME_MAX && memchr(name, '\0', len) == NULL;
}

static int decode_names(const uint8_t *at, const struct ps_run_part_bytes *head, struct ps_run_part *part)
{
	memcpy(part->store, at, head->store_len);
	part->store[head->store_len] = '\0';
	at += head->store_len;
	part->first_len = ps_get16(head->first_len);
	part->last_len = ps_get16(head->last_len);
	const char *first = (const char *)at, *last = first + part->first_len;
	if (!name_fits(first, part->first_len) || !name_fits(last, part->last_len) ||
	    strlen(part->store) != head->store_len)
		return damaged("has impossible names");
	memcpy(part->first, first, part->first_len);
	memcpy(part->last, last, part->last_len);
	part->first[part->first_len] = part->last[part->last_len] = '\0';
	return PS_OK;
}

/* What follows from the fields for each other. */
static int check_part(const struct ps_run_part *part, bool last)
{
	bool some = part->count > 0 || part->carried > 0;
	if (some != (part->first_len > 0) || some != (part->last_len > 0) || some != (part->body_len > 0))
		return damaged("has names and no records, or records and no names");
	if (ps_name_compare(part->first, part->first_len, part->last, part->last_len) > 0)
		return damaged("ends before it begins");
	if (part->carried > part->body_len || (part->part == 0 && part->carried > 0) ||
	    (part->count == 0 && part->carried != part->body_len) || part->count > part->body_len / 4)
		return damaged("carries more than it has");
	if (part->about.head == 0 || part->part == UINT32_MAX || part->parts != (last ? part->part + 1 : 0))
		return damaged("has an impossible number");
	return PS_OK;
}

int ps_run_part_decode(const uint8_t *bytes, size_t len, struct ps_run_part *part)
{
	struct ps_run_part_bytes head;
	if (len < sizeof(head) || memcmp(bytes, run_part_magic, sizeof(run_part_magic)) != 0)
		return ps_fail(PS_ECORRUPT, "not a part of a run");
	memcpy(&head, bytes, sizeof(head));
	if (head.format != PS_INDEX_FORMAT)
		return ps_fail(PS_EVERSION, "a part of a run has format %u; this program knows %d",
		               head.format, PS_INDEX_FORMAT);
	size_t body = sizeof(head) + head.store_len + ps_get16(head.first_len) + ps_get16(head.last_len);
	if ((head.flags & ~(unsigned)RUN_PART_FLAGS) || head.reserved != 0 || head.store_len == 0 ||
	    body > len || ps_get32(head.body_len) > len - body)
		return damaged("has another length than it says, or unknown flags");
	*part =
	    (struct ps_run_part){.about = {.head = ps_get64(head.head), .base = head.flags & RUN_PART_BASE},
	                         .part = ps_get32(head.part),
	                         .parts = ps_get32(head.parts),
	                         .count = ps_get32(head.count),
	                         .carried = ps_get32(head.carried),
	                         .body = body,
	                         .body_len = ps_get32(head.body_len)};
	memcpy(part->about.id, head.id, sizeof(head.id));
	part->about.store = part->store;
	int err = decode_names(bytes + sizeof(head), &head, part);
	if (err == PS_OK)
		err = check_part(part, head.flags & RUN_PART_LAST);
	if (err == PS_OK && !ps_all_zero(bytes + body + part->body_len, len - body - part->body_len))
		err = damaged("is followed by what is not zero");
	return err;
}

int ps_run_reader_new(struct ps_memory *memory, const struct ps_run_about *about, uint32_t parts,
                      ps_run_fetch_fn fetch, void *arg, ps_run_reader **reader)
{
	size_t store_len = about->store ? strlen(about->store) : 0;
	if (store_len == 0 || store_len > 255 || parts == 0)
		return ps_fail(PS_EINVAL, "a run has a store's name and a part");
	ps_run_reader *r = ps_memory_zalloc(memory, sizeof(*r));
	if (!r)
		return ps_fail(PS_ENOMEM, "no memory for reading a run");
	*r = (struct ps_run_reader){
	    .memory = memory, .about = *about, .parts = parts, .fetch = fetch, .arg = arg};
	memcpy(r->store, about->store, store_len);
	r->about.store = r->store;
	*reader = r;
	return PS_OK;
}

void ps_run_reader_free(ps_run_reader *r)
{
	if (!r)
		return;
	ps_memory_free(r->memory, r->record, r->record_capacity);
	ps_memory_free(r->memory, r, sizeof(*r));
}

static int check_belongs(const ps_run_reader *r, const struct ps_run_part *part)
{
	if (memcmp(part->about.id, r->about.id, PS_RUN_ID) != 0 || strcmp(part->store, r->store) != 0 ||
	    part->about.head != r->about.head || part->about.base != r->about.base)
		return damaged("belongs to another run");
	if (part->part != r->next_part || (part->parts == 0) != (part->part + 1 < r->parts))
		return damaged("is not the one that was to come");
	return PS_OK;
}

static int open_part(ps_run_reader *r)
{
	const uint8_t *bytes;
	size_t len;
	int err = r->fetch(r->arg, r->next_part, &bytes, &len);
	if (err == PS_OK)
		err = ps_run_part_decode(bytes, len, &r->part);
	if (err == PS_OK)
		err = check_belongs(r, &r->part);
	if (err != PS_OK)
		return err;
	r->next_part++;
	r->at = bytes + r->part.body;
	r->left = r->part.body_len;
	r->count = r->part.count;
	r->fresh = true;
	return PS_OK;
}

/* Memory follows what is there, not what a length claims. */
static int collect(ps_run_reader *r, size_t n)
{
	if (r->record_len + n > r->record_capacity) {
		size_t capacity = r->record_len + n;
		uint8_t *grown = ps_memory_resize(r->memory, r->record, r->record_capacity, capacity);
		if (!grown)
			return ps_fail(PS_ENOMEM, "no memory for a record of %zu bytes", capacity);
		r->record = grown;
		r->record_capacity = capacity;
	}
	memcpy(r->record + r->record_len, r->at, n);
	r->record_len += n;
	r->at += n;
	r->left -= n;
	return PS_OK;
}

/* A record of `len` bytes that begins at r->at and does not end in this part. */
static int read_spanning(ps_run_reader *r, size_t len)
{
	r->record_len = 0;
	int err = collect(r, r->left);
	while (err == PS_OK && r->record_len < len) {
		if (r->count > 0 || r->next_part == r->parts)
			return damaged("ends in a record");
		err = open_part(r);
		if (err != PS_OK)
			return err;
		size_t missing = len - r->record_len;
		if (r->part.carried != (missing < r->left ? missing : r->left) || r->part.carried == 0)
			return damaged("does not carry what it should");
		err = collect(r, r->part.carried);
	}
	return err;
}

static int check_order(ps_run_reader *r, const struct ps_record *record)
{
	if (r->last_len > 0 && ps_name_compare(r->last, r->last_len, record->name, record->name_len) >= 0)
		return damaged("has names out of order");
	if (ps_name_compare(record->name, record->name_len, r->part.last, r->part.last_len) > 0 ||
	    (r->count == 0 && r->left == 0 &&
	     ps_name_compare(record->name, record->name_len, r->part.last, r->part.last_len) != 0))
		return damaged("has another last name than it says");
	if (r->fresh &&
	    ps_name_compare(record->name, record->name_len, r->part.first, r->part.first_len) != 0)
		return damaged("has another first name than it says");
	r->fresh = false;
	if (record->published > r->about.head)
		return damaged("has a record from a later head");
	memcpy(r->last, record->name, record->name_len);
	r->last_len = record->name_len;
	return PS_OK;
}

static int read_record(ps_run_reader *r, struct ps_record *record)
{
	ps_le32 prefix;
	if (r->left < sizeof(prefix))
		return damaged("ends in a record's length");
	memcpy(&prefix, r->at, sizeof(prefix));
	r->at += sizeof(prefix);
	r->left -= sizeof(prefix);
	r->count--;
	size_t len = ps_get32(prefix);
	int err;
	if (len <= r->left) {
		err = ps_record_decode_wire(r->at, len, r->memory, record);
		r->at += len;
		r->left -= len;
	} else {
		err = read_spanning(r, len);
		if (err == PS_OK)
			err = ps_record_decode_wire(r->record, len, r->memory, record);
	}
	if (err != PS_OK)
		return err;
	err = check_order(r, record);
	if (err != PS_OK)
		ps_record_done(record);
	return err;
}

int ps_run_reader_next(ps_run_reader *r, struct ps_record *record, bool *found)
{
	while (r->count == 0) {
		if (r->left > 0)
			return damaged("has bytes behind its last record");
		if (r->next_part == r->parts) {
			*found = false;
			return PS_OK;
		}
		int err = open_part(r);
		if (err != PS_OK)
			return err;
		if (r->part.carried > 0)
			return damaged("carries what did not begin");
	}
	int err = read_record(r, record);
	if (err == PS_OK)
		*found = true;
	return err;
}
