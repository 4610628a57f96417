/* The header of an index file, as it is and with its checksum put right. What is accepted says sizes that can
 * be, and is encoded to the same bytes again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/error.h"
#include "remote/index_file_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

static void try_header(const uint8_t *bytes, size_t size)
{
	struct ps_index_file_header header = {0};
	struct ps_index_file_bytes again;
	if (ps_index_file_decode("file", bytes, size, &header) != PS_OK) {
		must(header.head == 0 && header.bytes == 0);
		return;
	}
	must(header.head > 4096 && header.head < 9 << 20 && header.bytes >= sizeof(again) + header.head);
	ps_index_file_encode(&header, &again);
	must(memcmp(&again, bytes, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ps_index_file_bytes bytes;
	try_header(data, size);
	if (size < sizeof(bytes))
		return 0;
	memcpy(&bytes, data, sizeof(bytes));
	bytes.checksum = ps_set64(XXH3_64bits(&bytes, offsetof(struct ps_index_file_bytes, checksum)));
	try_header((const uint8_t *)&bytes, sizeof(bytes));
	return 0;
}
