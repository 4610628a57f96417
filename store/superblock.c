/* The superblock: one sector in each of four pages. An update writes slots 0 and 1, flushes, writes 2 and 3, flushes;
 * valid is the highest number found in two equal slots. So a crash at any point leaves a pair, and a single rotten slot
 * costs nothing. */
#include <string.h>
#include <sys/param.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "store/base_internal.h"

static uint64_t superblock_checksum(const void *sector)
{
	return XXH3_64bits(sector, offsetof(struct disk_superblock, checksum));
}

enum { RING_MIN = 8 << 10 }; /* in a shorter one not every commit would find room, ever */

static bool ring_sound(const struct disk_ring *ring, uint64_t file_bytes)
{
	uint64_t offset = ps_get64(ring->offset), len = ps_get64(ring->len);
	if (!len)
		return !offset && !ps_get64(ring->base);
	return offset % PAGE == 0 && len % PAGE == 0 && len >= RING_MIN && offset >= SUPERBLOCK_AREA && offset <= file_bytes &&
	       len <= file_bytes - offset && ps_get64(ring->base) % PAGE == 0;
}

static bool fields_sound(const struct disk_superblock *sb)
{
	uint64_t file_bytes = ps_get64(sb->file_bytes), start = ps_get64(sb->log_start);
	const struct disk_ring *ring = sb->ring;
	if (file_bytes % PAGE || file_bytes > (PLACE_MASK + 1) * GRANULE || start % PAGE)
		return false;
	if (!ring_sound(&ring[0], file_bytes) || !ring_sound(&ring[1], file_bytes) || !ps_get64(ring[0].len))
		return false;
	if (start < ps_get64(ring[0].base))
		return false;
	if (ps_get64(sb->crashes) > UINT32_MAX) /* entries hold as much of it */
		return false;
	if (sb->height < 1 || sb->height > 6 || sb->clean > 1 || sb->reserved || sb->reserved_too)
		return false;
	return ps_get64(sb->slots) <= (uint64_t)GROUP_SLOTS * GROUPS_PER_CHUNK * GROUP_CHUNKS &&
	       ps_get64(sb->snapshot_offset) <= file_bytes &&
	       ps_get64(sb->snapshot_len) <= file_bytes - ps_get64(sb->snapshot_offset);
}

static bool interval_sound(const struct disk_superblock *sb)
{
	bool feature = ps_get64(sb->incompatible) & INCOMPATIBLE_INTERVALS;
	uint32_t interval = ps_get32(sb->interval), restored = ps_get32(sb->restored);
	bool away = ps_get64(sb->incompatible) & INCOMPATIBLE_AWAY;
	bool unknown = ps_get64(sb->incompatible) & INCOMPATIBLE_UNKNOWN;
	return feature == (interval != 0) && (restored < interval || !restored) && (feature || !away) &&
	       (away || !unknown) && (unknown || !superblock_unknown(sb));
}

/* A version that is not ours decodes: its number counts, and the caller refuses it. */
bool superblock_decode(const uint8_t *sector, struct disk_superblock *sb)
{
	memcpy(sb, sector, sizeof(*sb));
	if (memcmp(sb->magic, SUPER_MAGIC, sizeof(sb->magic)) != 0)
		return false;
	if (ps_get64(sb->checksum) != superblock_checksum(sb))
		return false;
	if (ps_get32(sb->version) != FORMAT_VERSION)
		return true;
	if (ps_get64(sb->incompatible) & ~(uint64_t)INCOMPATIBLE_KNOWN)
		return true;
	return ps_get32(sb->length) == SECTOR && fields_sound(sb) && classes_sound(sb) && interval_sound(sb);
}

static int read_slots(struct store *s, struct disk_superblock slots[SUPERBLOCKS], bool valid[SUPERBLOCKS])
{
	uint8_t *buffer = NULL;
	if (posix_memalign((void **)&buffer, PAGE, SUPERBLOCK_AREA))
		return ps_fail(PS_ENOMEM, "%s: no memory for the superblock", s->path);
	int err = ps_io_read(s->io, 0, buffer, SUPERBLOCK_AREA);
	for (int i = 0; i < SUPERBLOCKS && !err; i++)
		valid[i] = superblock_decode(buffer + superblock_offset(i), &slots[i]);
	bool any = false;
	for (int i = 0; i < SUPERBLOCKS && !err; i++)
		any = any || !memcmp(buffer + superblock_offset(i), SUPER_MAGIC, 8);
	for (int i = 0; i < NOTES && !err; i++)
		memcpy(&s->note[i], buffer + superblock_offset(i + 1) + SECTOR, SECTOR);
	free(buffer);
	if (!err && !any)
		return ps_fail(PS_EFORMAT, "%s: not a Padstone store (no superblock at offset 0)", s->path);
	return err;
}

static int check_version(struct store *s, const struct disk_superblock *sb)
{
	if (ps_get32(sb->version) != FORMAT_VERSION || ps_get64(sb->incompatible) & ~(uint64_t)INCOMPATIBLE_KNOWN)
		return ps_fail(PS_EVERSION, "%s: store has format %u with features %llx, this library reads format %d", s->path,
			       ps_get32(sb->version), (unsigned long long)ps_get64(sb->incompatible), FORMAT_VERSION);
	if (ps_get64(sb->readonly_compatible) && !s->read_only)
		return ps_fail(PS_EVERSION, "%s: store has features %llx that this library can only read", s->path,
			       (unsigned long long)ps_get64(sb->readonly_compatible));
	return PS_OK;
}

/* The highest number in two equal slots. What stands higher in a single slot is an update that a crash cut off. */
int superblock_read(struct store *s, struct disk_superblock *sb)
{
	struct disk_superblock slots[SUPERBLOCKS];
	bool valid[SUPERBLOCKS] = {false};
	int best = -1;
	int err = read_slots(s, slots, valid);
	if (err)
		return err;
	uint64_t highest = 0;
	for (int i = 0; i < SUPERBLOCKS; i++) {
		if (valid[i] && ps_get64(slots[i].number) > highest)
			highest = ps_get64(slots[i].number);
		for (int j = i + 1; j < SUPERBLOCKS; j++) {
			if (valid[i] && valid[j] && !memcmp(&slots[i], &slots[j], SECTOR) &&
			    (best < 0 || ps_get64(slots[i].number) > ps_get64(slots[best].number)))
				best = i;
		}
	}
	if (best < 0)
		return ps_fail(PS_ECORRUPT, "%s: no two superblocks agree (offset 0)", s->path);
	*sb = slots[best];
	s->highest_superblock = highest;
	for (int i = 0; i < SUPERBLOCKS; i++)
		s->superblock_differs[i] = !valid[i] || memcmp(&slots[i], sb, SECTOR) != 0;
	return check_version(s, sb);
}

/* With 4 KiB sectors the page is written whole; the owner's sector then shares slot 0's page, and the notes those behind it. */
static int write_slot(struct store *s, uint8_t *page, int slot)
{
	size_t len = s->io->alignment > SECTOR ? PAGE : SECTOR;
	memset(page + SECTOR, 0, SECTOR);
	if (slot == 0)
		memcpy(page + SECTOR, s->owner, sizeof(s->owner));
	else if (slot <= NOTES)
		memcpy(page + SECTOR, &s->note[slot - 1], SECTOR);
	return ps_io_write(s->io, superblock_offset(slot), page, slot == 0 ? (len < 2 * SECTOR ? 2 * SECTOR : len) : len, false);
}

static int write_pair(struct store *s, uint8_t *page, int first)
{
	int err = write_slot(s, page, first);
	if (!err)
		err = write_slot(s, page, first + 1);
	return err ? err : s->io->ops->flush(s->io);
}

/* Before the first update of an open: slots that differ from the valid pair get its contents. Else an update would begin
 * with overwriting that pair while only an older one is left, whose log may be gone. */
static int repair_slots(struct store *s, uint8_t *page)
{
	bool written = false;
	int err = PS_OK;
	memcpy(page, &s->sb, sizeof(s->sb));
	for (int i = 0; i < SUPERBLOCKS && !err; i++) {
		if (!s->superblock_differs[i])
			continue;
		err = write_slot(s, page, i);
		written = true;
	}
	if (!err && written)
		err = s->io->ops->flush(s->io);
	if (!err)
		memset(s->superblock_differs, 0, sizeof(s->superblock_differs));
	return err;
}

/* All that sb points at must be durable. The next number is above any ever seen, so that a slot which a crash left behind
 * never wins. On success s->sb is sb. */
int superblock_write(struct store *s, struct disk_superblock *sb)
{
	uint8_t *page = NULL;
	if (posix_memalign((void **)&page, PAGE, PAGE))
		return ps_fail(PS_ENOMEM, "%s: no memory for the superblock", s->path);
	memset(page, 0, PAGE);
	int err = repair_slots(s, page);
	sb->number = ps_set64(++s->highest_superblock);
	sb->checksum = ps_set64(superblock_checksum(sb));
	memcpy(page, sb, sizeof(*sb));
	if (!err)
		err = write_pair(s, page, 0);
	if (!err)
		err = write_pair(s, page, 2);
	free(page);
	if (!err)
		s->sb = *sb;
	return err;
}

int superblock_write_note(struct store *s, int place, const struct disk_note *note)
{
	uint8_t *page = NULL;
	uint64_t at = superblock_offset(place + 1);
	if (posix_memalign((void **)&page, PAGE, PAGE))
		return ps_fail(PS_ENOMEM, "%s: no memory for a note", s->path);
	memset(page, 0, PAGE);
	memcpy(page, &s->sb, SECTOR);
	memcpy(page + SECTOR, note, SECTOR);
	int err = s->io->alignment > SECTOR ? ps_io_write(s->io, at, page, PAGE, false)
	                                    : ps_io_write(s->io, at + SECTOR, page + SECTOR, SECTOR, false);
	if (!err)
		err = s->io->ops->flush(s->io);
	free(page);
	return err;
}

struct superblock_numbers superblock_get_numbers(const struct store *s)
{
	return (struct superblock_numbers){ps_get32(s->sb.interval), ps_get32(s->sb.restored), s->crashes, ps_get64(s->sb.checkpoint),
					   ps_get64(s->sb.incompatible) & INCOMPATIBLE_AWAY, superblock_unknown(&s->sb)};
}

int superblock_set_numbers(struct store *s, const struct superblock_numbers *to)
{
	struct disk_superblock sb = s->sb;
	int err = store_writable(s);
	if (err)
		return err;
	if (to->interval)
		sb.incompatible = ps_set64(ps_get64(sb.incompatible) | INCOMPATIBLE_INTERVALS);
	if (to->away)
		sb.incompatible = ps_set64(ps_get64(sb.incompatible) | INCOMPATIBLE_AWAY);
	if (to->unknown)
		sb.incompatible = ps_set64(ps_get64(sb.incompatible) | INCOMPATIBLE_UNKNOWN);
	sb.unknown_low = ps_set16((uint16_t)to->unknown);
	sb.unknown_high = ps_set16((uint16_t)(to->unknown >> 16));
	sb.interval = ps_set32(to->interval);
	sb.restored = ps_set32(to->restored);
	sb.crashes = ps_set64(to->crashes);
	sb.checkpoint = ps_set64(to->checkpoint);
	if ((err = superblock_write(s, &sb)) != PS_OK)
		store_fail(s, err, "the superblock could not be written");
	return err;
}

static void ring_encode(struct disk_ring *to, const struct ring *from)
{
	to->offset = ps_set64(from->offset);
	to->len = ps_set64(from->len);
	to->base = ps_set64(from->base);
}

void superblock_log(struct store *s, struct disk_superblock *sb)
{
	ring_encode(&sb->ring[0], &s->log.ring[0]);
	ring_encode(&sb->ring[1], &s->log.ring[1]);
}

static void owner_text(struct store *s)
{
	char host[64] = "?";
	(void)gethostname(host, sizeof(host) - 1);
	(void)snprintf(s->owner, sizeof(s->owner), "pid %ld on %s since %lld", (long)getpid(), host, (long long)time(NULL));
}

/* Slots are made equal again before the first update: a crash in it then still finds a pair. */
int store_begin_writing(struct store *s)
{
	if (s->writing)
		return PS_OK;
	int err = store_writable(s);
	if (err)
		return err;
	if (s->unclean && (err = s->io->ops->flush(s->io)) != PS_OK)
		return err;
	owner_text(s);
	struct disk_superblock sb = s->sb;
	sb.epoch = ps_set64(ps_get64(sb.epoch) + 1);
	sb.epoch_start = ps_set64(s->log.end);
	sb.crashes = ps_set64(s->crashes);
	sb.clean = 0;
	sb.snapshot_len = sb.snapshot_offset = sb.snapshot_checksum = ps_set64(0);
	sb.objects = sb.live_bytes = ps_set64(0);
	if ((err = space_ensure(&s->space)) != PS_OK || (err = table_reserve_places(&s->table)) != PS_OK)
		return err;
	if ((err = superblock_write(s, &sb)) != PS_OK) {
		store_fail(s, err, "the superblock could not be written");
		return err;
	}
	s->log.epoch = ps_get64(sb.epoch);
	s->writing = true;
	if (s->space.rebuild)
		store_wake(s);
	return PS_OK;
}

static uint64_t new_file_bytes(const struct store *s)
{
	return MAX(s->options.initial_bytes, SUPERBLOCK_AREA + s->options.log_bytes);
}

/* A new store: an empty table, a prewritten log, and a superblock, in this order. */
int store_format(struct store *s)
{
	struct disk_superblock sb;
	memset(&sb, 0, sizeof(sb));
	memcpy(sb.magic, SUPER_MAGIC, sizeof(sb.magic));
	uint64_t log_bytes = s->options.log_bytes, file = new_file_bytes(s);
	s->log.ring[0] = (struct ring){.offset = SUPERBLOCK_AREA, .len = log_bytes, .base = 0};
	int err = s->io->ops->allocate(s->io, 0, file);
	if (!err)
		err = log_write_ring(&s->log, &s->log.ring[0]);
	if (err)
		return err;
	if (getrandom(sb.uuid, sizeof(sb.uuid), 0) != (ssize_t)sizeof(sb.uuid))
		return ps_fail(PS_EIO, "%s: no random bytes from the kernel", s->path);
	sb.version = ps_set32(FORMAT_VERSION);
	sb.length = ps_set32(SECTOR);
	sb.height = 1;
	sb.clean = 1;
	sb.file_bytes = ps_set64(file);
	superblock_log(s, &sb);
	err = s->io->ops->flush(s->io);
	return err ? err : superblock_write(s, &sb);
}

/* The very first superblock: nothing was ever written to its store. */
static bool is_first(const uint8_t *sector)
{
	struct disk_superblock sb;
	return superblock_decode(sector, &sb) && ps_get32(sb.version) == FORMAT_VERSION && ps_get64(sb.number) == 1;
}

/* The first pair of slots may hold the first superblock, of this making or one before, in one of them or differently in each;
 * the second is written only when the first is whole. */
static bool first_pages_unfinished(uint8_t *area, uint64_t len)
{
	for (int i = 0; i < 2; i++) {
		if (superblock_offset(i) + SECTOR <= len && is_first(area + superblock_offset(i)))
			memset(area + superblock_offset(i), 0, SECTOR);
	}
	return ps_all_zero(area, len);
}

/* Whether the file, which has no superblock, is what a crash leaves of store_format: not longer than that would make it, and
 * nothing in it but the first superblock and zeros. Anything else is somebody's. */
int store_is_unfinished(struct store *s, bool *unfinished)
{
	enum { STEP = 64 << 10 };
	uint64_t bytes, disk;
	uint8_t *part = NULL;
	*unfinished = false;
	int err = s->io->ops->size(s->io, &bytes, &disk);
	if (err || bytes % PAGE || bytes > new_file_bytes(s))
		return err;
	if (posix_memalign((void **)&part, PAGE, STEP))
		return ps_fail(PS_ENOMEM, "%s: no memory to look at the file", s->path);
	bool blank = true;
	for (uint64_t at = 0; at < bytes && blank && !err; at += STEP) {
		uint64_t len = MIN(bytes - at, (uint64_t)STEP);
		err = ps_io_read(s->io, at, part, len);
		blank = !err && (at ? ps_all_zero(part, len) : first_pages_unfinished(part, len));
	}
	free(part);
	*unfinished = blank && !err;
	return err;
}
