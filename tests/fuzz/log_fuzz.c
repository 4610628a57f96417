/* Bytes of a log block to the decoders of records and operations, one after another as recovery reads them.
 * What they give lies within the input, and they always come further. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned touched; /* so that reading is not optimised away */

static void must(int holds)
{
	if (!holds)
		abort();
}

static void must_lie_within(const void *part, size_t len, const uint8_t *bytes, size_t size)
{
	const uint8_t *from = part;
	must(from >= bytes && from <= bytes + size && len <= (size_t)(bytes + size - from));
}

/* Reads each byte, so that a sanitizer sees one too many. */
static unsigned touch(const void *part, size_t len)
{
	const uint8_t *bytes = part;
	unsigned sum = 0;
	for (size_t i = 0; i < len; i++)
		sum += bytes[i];
	return sum;
}

static unsigned try_operations(const uint8_t *body, size_t len, uint32_t count)
{
	unsigned sum = 0;
	size_t at = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct log_operation op;
		size_t before = at;
		if (log_decode_operation(NULL, UINT32_MAX, body, len, &at, &op) != PS_OK)
			break;
		must(at > before && at <= len);
		must_lie_within(op.fresh, op.fresh_count * sizeof(struct disk_fresh), body, len);
		must_lie_within(op.bytes, op.nbytes, body, len);
		must(entry_valid(NULL, UINT32_MAX, &op.entry, op.slot));
		must(entry_blob_len(&op.entry) <= CHUNK && entry_level(&op.entry) <= 6);
		sum +=
		    touch(op.fresh, op.fresh_count * sizeof(struct disk_fresh)) + touch(op.bytes, op.nbytes);
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* As long as the input and no longer, and aligned as a block is. */
	uint8_t *bytes = NULL;
	if (posix_memalign((void **)&bytes, 8, size + 1))
		return 0;
	memcpy(bytes, data, size);
	for (size_t at = 0; at < size;) {
		struct log_record record;
		size_t before = at;
		if (log_decode_record(bytes, size, &at, &record) != PS_OK)
			break;
		must(at > before && at <= size);
		must_lie_within(record.body, record.body_len, bytes, size);
		must_lie_within(record.spills, record.spill_count * sizeof(struct disk_spill), bytes, size);
		touched += touch(record.spills, record.spill_count * sizeof(struct disk_spill));
		touched += try_operations(record.body, record.body_len, record.operations);
	}
	touched += try_operations(bytes, size, UINT32_MAX);
	free(bytes);
	return 0;
}
