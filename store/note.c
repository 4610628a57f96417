/* The note of a layer above: a few bytes in the store's file that no object holds (cut.h).
 *
 * Two sectors hold its last two values, in turns: a value is written over the older one, so that a write that
 * is cut off leaves the newer. */
#include <string.h>
#include <xxhash.h>

#include "store/base_internal.h"

static_assert(sizeof(((struct disk_note *)0)->bytes) == PS_NOTE_MAX, "a note fits its sector");

static uint64_t note_checksum(const struct disk_note *n)
{
	return XXH3_64bits(n, offsetof(struct disk_note, checksum));
}

static bool zeros(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i])
			return false;
	}
	return true;
}

static bool never_written(const struct disk_note *n)
{
	return zeros((const uint8_t *)n, sizeof(*n));
}

bool note_sound(const struct disk_note *n, int place, const uint8_t *uuid)
{
	uint32_t len = ps_get32(n->length);
	if (ps_get32(n->magic) != NOTE_MAGIC || memcmp(&n->store, uuid, sizeof(n->store)) != 0)
		return false;
	if (ps_get64(n->checksum) != note_checksum(n) || len > PS_NOTE_MAX)
		return false;
	/* Its number says where it belongs: never 0, odd in the first place. */
	if (!ps_get64(n->number) || ps_get64(n->number) % NOTES != (place == 0))
		return false;
	return zeros(n->bytes + len, PS_NOTE_MAX - len) && zeros(n->reserved, sizeof(n->reserved));
}

/* The place of the newest value, or -1. Under store.lock, or checkpoint.lock. */
static int newest(const struct store *s)
{
	int best = -1;
	for (int i = 0; i < NOTES; i++) {
		if (note_sound(&s->note[i], i, s->uuid) &&
		    (best < 0 || ps_get64(s->note[i].number) > ps_get64(s->note[best].number)))
			best = i;
	}
	return best;
}

static void make(const struct store *s, uint64_t number, const void *bytes, size_t len, struct disk_note *n)
{
	memset(n, 0, sizeof(*n));
	n->magic = ps_set32(NOTE_MAGIC);
	n->length = ps_set32((uint32_t)len);
	n->number = ps_set64(number);
	memcpy(&n->store, s->uuid, sizeof(n->store));
	if (len)
		memcpy(n->bytes, bytes, len);
	n->checksum = ps_set64(note_checksum(n));
}

/* Where both are damaged the next one goes to the first place again. Under checkpoint.lock. */
static int set_locked(struct store *s, const void *bytes, size_t len)
{
	struct disk_note n;
	int at = newest(s);
	uint64_t number = at < 0 ? 1 : ps_get64(s->note[at].number) + 1;
	int place = number % NOTES ? 0 : 1;
	make(s, number, bytes, len, &n);
	int err = superblock_write_note(s, place, &n);
	if (err) {
		store_fail(s, err, "a note could not be written");
		return err;
	}
	pthread_mutex_lock(&s->lock);
	s->note[place] = n;
	pthread_mutex_unlock(&s->lock);
	return PS_OK;
}

int ps_note_set(ps_storer *st, const void *note, size_t len)
{
	struct store *s;
	if ((!note && len) || len > PS_NOTE_MAX)
		return ps_fail(PS_EINVAL, "ps_note_set: no bytes, or %zu of them: %d is the most", len,
		               PS_NOTE_MAX);
	int err = store_below(st, &s);
	if (err)
		return err;
	checkpoint_lock(s);
	err = store_writable(s);
	if (!err) {
		/* From then on superblocks are written under checkpoint.lock only. */
		pthread_mutex_lock(&s->lock);
		err = store_begin_writing(s);
		pthread_mutex_unlock(&s->lock);
	}
	if (!err)
		err = set_locked(s, note, len);
	checkpoint_unlock(s);
	return err ? store_end_call(s, err) : PS_OK;
}

/* Why there is no value. Under store.lock. */
static int none(const struct store *s)
{
	for (int i = 0; i < NOTES; i++) {
		if (!never_written(&s->note[i]))
			return ps_fail(PS_ECORRUPT, "%s: the note is damaged (offset %llu)", s->path,
			               (unsigned long long)superblock_offset(i + 1) + SECTOR);
	}
	return ps_fail(PS_ENOTFOUND, "%s: there is no note", s->path);
}

int note_check(const struct store *s)
{
	int err = newest(s) < 0 ? none(s) : PS_OK;
	return err == PS_ENOTFOUND ? PS_OK : err;
}

int ps_note_get(ps_storer *st, void *buf, size_t cap, size_t *len)
{
	struct store *s;
	if ((!buf && cap) || !len)
		return ps_fail(PS_EINVAL, "ps_note_get: an argument is NULL");
	int err = store_below(st, &s);
	if (err)
		return err;
	struct disk_note n = {0};
	pthread_mutex_lock(&s->lock);
	int at = newest(s);
	if (at >= 0)
		n = s->note[at];
	else
		err = none(s);
	pthread_mutex_unlock(&s->lock);
	if (err)
		return err;
	size_t there = ps_get32(n.length);
	*len = there;
	if (there > cap)
		return ps_fail(PS_ERANGE, "%s: the note has %zu bytes, the buffer %zu", s->path, there, cap);
	if (there)
		memcpy(buf, n.bytes, there);
	return PS_OK;
}
