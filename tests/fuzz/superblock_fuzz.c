/* A sector to superblock_decode, as it is and with magic and checksum put right. What is accepted must be
 * safe to follow: the rings and the snapshot lie within the file. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "store/base_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

static void must_lie_within(uint64_t offset, uint64_t len, uint64_t end)
{
	must(offset <= end && len <= end - offset);
}

static void try_sector(const uint8_t *sector)
{
	struct disk_superblock sb;
	if (!superblock_decode(sector, &sb))
		return;
	must(memcmp(&sb, sector, SECTOR) == 0);
	if (ps_get32(sb.version) != FORMAT_VERSION)
		return;
	uint64_t end = ps_get64(sb.file_bytes);
	for (int i = 0; i < 2; i++) {
		must_lie_within(ps_get64(sb.ring[i].offset), ps_get64(sb.ring[i].len), end);
		must(ps_get64(sb.ring[i].len) % PAGE == 0);
	}
	must(ps_get64(sb.ring[0].len) > 0 && ps_get64(sb.log_start) >= ps_get64(sb.ring[0].base));
	must_lie_within(ps_get64(sb.snapshot_offset), ps_get64(sb.snapshot_len), end);
	must(!ps_get32(sb.interval) == !(ps_get64(sb.incompatible) & INCOMPATIBLE_INTERVALS));
	must(ps_get32(sb.interval) || !(ps_get64(sb.incompatible) & INCOMPATIBLE_AWAY));
	must(!ps_get32(sb.restored) || ps_get32(sb.restored) < ps_get32(sb.interval));
	must(sb.height >= 1 && sb.height <= 6 && sb.clean <= 1);
	must(!superblock_unknown(&sb) || ps_get64(sb.incompatible) & INCOMPATIBLE_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *sector = calloc(1, SECTOR);
	if (!sector)
		return 0;
	memcpy(sector, data, size < SECTOR ? size : SECTOR);
	try_sector(sector);
	struct disk_superblock *sb = (struct disk_superblock *)(void *)sector;
	memcpy(sb->magic, SUPER_MAGIC, sizeof(sb->magic));
	sb->checksum = ps_set64(XXH3_64bits(sector, offsetof(struct disk_superblock, checksum)));
	try_sector(sector);
	free(sector);
	return 0;
}
