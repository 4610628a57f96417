/* Whether a value is what somebody has: by size and hash, as the index knows them; by its bytes where the
 * hash cannot be had. */
#include <sodium.h>
#include <string.h>
#include <sys/param.h>

#include "base/fail.h"
#include "remote/content_hash.h"
#include "remote/manager_internal.h"

/* What a put hashes: the hashes of the chunks, one after another. */
static int hash_stream(ps_remote *r, unsigned class, uint64_t size, uint32_t chunk_bytes,
                       ps_remote_read_fn read, void *arg, uint8_t hash[PS_CONTENT_HASH], uint32_t *whole)
{
	crypto_generichash_state state;
	uint8_t of_chunk[PS_CONTENT_HASH], *chunk = ps_memory_alloc(&r->memory, chunk_bytes);
	int err = chunk ? PS_OK : ps_fail(PS_ENOMEM, "no memory for a chunk of %u bytes", chunk_bytes);
	*whole = 1;
	(void)crypto_generichash_init(&state, NULL, 0, PS_CONTENT_HASH);
	for (uint64_t at = 0; at < size && err == PS_OK && *whole; at += chunk_bytes) {
		size_t want = size - at < chunk_bytes ? (size_t)(size - at) : chunk_bytes, got = 0;
		err = read(arg, chunk, want, &got);
		if (err != PS_OK)
			(void)ps_fail(err, "the callback that gives the contents failed");
		*whole = got == want;
		ps_chunk_hash(r->keys, class, chunk, want, of_chunk);
		(void)crypto_generichash_update(&state, of_chunk, sizeof(of_chunk));
	}
	(void)crypto_generichash_final(&state, hash, PS_CONTENT_HASH);
	if (chunk)
		ps_memory_free(&r->memory, chunk, chunk_bytes);
	return err;
}

/* ---- by reading it ---- */

struct reading {
	ps_remote_read_fn read;
	void *arg;
	uint8_t *buf;
	int err; /* of read */
	bool differs;
};

enum { READING_BYTES = 64 << 10 };

static int compare_next(void *arg, const void *data, size_t len)
{
	struct reading *g = arg;
	for (size_t at = 0; at < len && g->err == PS_OK && !g->differs;) {
		size_t want = MIN(len - at, (size_t)READING_BYTES), got = 0;
		g->err = g->read(g->arg, g->buf, want, &got);
		g->differs = got != want || memcmp(g->buf, (const uint8_t *)data + at, want) != 0;
		at += want;
	}
	return g->err != PS_OK || g->differs ? PS_ECANCELED : PS_OK;
}

static int compare_by_reading(ps_remote *r, const char *key, uint64_t size, ps_remote_read_fn read, void *arg,
                              uint32_t *same)
{
	struct reading g = {.read = read, .arg = arg, .buf = ps_memory_alloc(&r->memory, READING_BYTES)};
	if (!g.buf)
		return ps_fail(PS_ENOMEM, "no memory for comparing \"%.64s\"", key);
	int err = ps_remote_get_stream(r, key, 0, size, compare_next, &g, NULL);
	ps_memory_free(&r->memory, g.buf, READING_BYTES);
	if (g.err != PS_OK)
		return ps_fail(g.err, "the callback that gives the contents failed");
	*same = !g.differs;
	return g.differs ? PS_OK : err;
}

/* ---- by the index ---- */

static int compare(ps_remote *r, const struct ps_record *record, uint64_t size, ps_remote_read_fn read,
                   void *arg, uint32_t *same)
{
	uint8_t hash[PS_CONTENT_HASH];
	struct ps_pad_slot first;
	uint32_t got;
	*same = record->content.size == size;
	if (size == 0 || !*same)
		return PS_OK;
	int err = ps_index_slots(r->index, PS_RECORD_BLOB, record->name, record->name_len, PS_SET_CURRENT, 0,
	                         1, &first, &got);
	if (err == PS_OK && (got == 0 || first.length == 0))
		err = ps_fail(PS_ECORRUPT, "\"%.64s\" begins with an empty pad", record->name);
	if (err == PS_OK)
		err = hash_stream(r, record->content.class, size, first.length, read, arg, hash, same);
	if (err == PS_OK && *same)
		*same = memcmp(hash, record->content.hash, sizeof(hash)) == 0;
	return err;
}

int ps_remote_compare(ps_remote *r, const char *key, uint64_t size, ps_remote_read_fn read, void *arg,
                      uint32_t *same)
{
	struct ps_record record;
	uint32_t found = 0;
	if (!r || !key || !read || !same)
		return ps_fail(PS_EINVAL, "ps_remote_compare: an argument is NULL");
	int err = ps_index_look(r->index, PS_RECORD_BLOB, key, strlen(key), &record);
	if (err != PS_OK && err != PS_ENOTFOUND)
		return err;
	if (err == PS_ENOTFOUND || !ps_record_has_contents(&record))
		return ps_fail(PS_ENOTFOUND, "there is no value under \"%.64s\"", key);
	if (size > 0 && size == record.content.size && !ps_chunk_hash_known(r->keys, record.content.class))
		err = compare_by_reading(r, key, size, read, arg, &found);
	else
		err = compare(r, &record, size, read, arg, &found);
	if (err == PS_OK)
		*same = found;
	return err;
}
