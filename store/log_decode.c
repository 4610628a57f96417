/* Log records, as they come from the disk: everything is validated before it is used. */
#include "store/base_internal.h"

static int bad(const char *what)
{
	return ps_fail(PS_ECORRUPT, "log record: %s", what);
}

int log_decode_record(const uint8_t *bytes, size_t len, size_t *at, struct log_record *record)
{
	struct disk_record d;
	if (len - *at < sizeof(d))
		return bad("cut off");
	memcpy(&d, bytes + *at, sizeof(d));
	size_t length = ps_get32(d.length);
	if (length < sizeof(d) || length > len - *at || length % 8)
		return bad("impossible length");
	size_t spills = ps_get32(d.extents) * sizeof(struct disk_spill);
	uint32_t flags = ps_get32(d.flags);
	if (flags & ~(uint32_t)RECORD_SPILLED || spills > length - sizeof(d))
		return bad("unknown flags or too many extents");
	if (!(flags & RECORD_SPILLED) != !spills)
		return bad("extents without need");
	*record = (struct log_record){
		.commit = ps_get64(d.commit),
		.flags = flags,
		.operations = ps_get32(d.operations),
		.body = bytes + *at + sizeof(d) + spills,
		.body_len = length - sizeof(d) - spills,
		.spills = (const struct disk_spill *)(const void *)(bytes + *at + sizeof(d)),
		.spill_count = ps_get32(d.extents),
	};
	if (spills && record->body_len)
		return bad("a spilled commit with operations in the ring");
	*at += length;
	return PS_OK;
}

static int check_operation(const struct ps_class_map *classes, uint32_t interval, const struct log_operation *op)
{
	if (!entry_valid(classes, interval, &op->entry, op->slot))
		return bad("impossible entry");
	if (op->fresh_contents && (entry_kind(&op->entry) != ENTRY_DATA || op->nbytes))
		return bad("fresh contents of an entry that has none, or twice");
	if (!op->nbytes)
		return PS_OK;
	if (op->nbytes != entry_blob_len(&op->entry))
		return bad("contents of another length than the entry's");
	return PS_OK;
}

int log_decode_operation(const struct ps_class_map *classes, uint32_t interval, const uint8_t *body, size_t len, size_t *at,
			 struct log_operation *op)
{
	struct disk_operation d;
	if (len - *at < sizeof(d))
		return bad("operation cut off");
	memcpy(&d, body + *at, sizeof(d));
	bool contents = ps_get32(d.fresh) == FRESH_CONTENTS;
	uint32_t count = contents ? 0 : ps_get32(d.fresh);
	uint64_t fresh = (uint64_t)count * sizeof(struct disk_fresh);
	uint64_t bytes = ((uint64_t)ps_get32(d.bytes) + 7) & ~(uint64_t)7;
	if (fresh + bytes > len - *at - sizeof(d))
		return bad("operation longer than its record");
	*op = (struct log_operation){
		.slot = ps_get64(d.slot),
		.fresh = (const struct disk_fresh *)(const void *)(body + *at + sizeof(d)),
		.fresh_count = count,
		.fresh_contents = contents,
		.bytes = body + *at + sizeof(d) + fresh,
		.nbytes = ps_get32(d.bytes),
	};
	for (int i = 0; i < 4; i++)
		op->entry.w[i] = ps_get64(d.entry[i]);
	*at += sizeof(d) + (size_t)fresh + (size_t)bytes;
	return check_operation(classes, interval, op);
}
