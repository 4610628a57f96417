/* Extents that the newest log block names, written outside the log by its commits: they may not have reached
 * the disk. Collected, then read and verified in the order of their places, those side by side in one read.
 */
#include <sys/param.h>

#include "store/base_internal.h"

enum { WINDOW = 1 << 20 };

struct window {
	uint8_t *bytes;
	uint64_t at, len;
	uint64_t end, stretch; /* where the last extent ended; bytes side by side up to there */
};

void named_done(struct store *s, struct named *n)
{
	ps_memory_free(&s->memory, n->blobs, n->size * sizeof(*n->blobs));
	*n = (struct named){0};
}

static int add(struct store *s, struct named *n, const struct blob *b)
{
	struct blob *more = ps_memory_grow(&s->memory, n->blobs, n->count, &n->size, sizeof(*more));
	if (!more)
		return ps_fail(PS_ENOMEM, "%s: no memory for recovery", s->path);
	n->blobs = more;
	n->blobs[n->count++] = *b;
	return PS_OK;
}

int named_possible(const struct store *s, uint64_t place, uint64_t len)
{
	if (place % PAGE || !len || len > CHUNK || place > (PLACE_MASK + 1) * GRANULE - CHUNK)
		return ps_fail(PS_ECORRUPT, "%s: the log names an impossible extent", s->path);
	return PS_OK;
}

int named_check(const struct store *s, const struct blob *b, const uint8_t *bytes)
{
	if (blob_checksum(b->seed, bytes, b->len) == b->checksum)
		return PS_OK;
	return ps_fail(PS_ECORRUPT, "%s: an extent that the log names is damaged (offset %llu)", s->path,
	               (unsigned long long)b->place);
}

int named_add(struct store *s, struct named *n, const struct log_operation *op)
{
	int err = PS_OK;
	for (uint32_t i = 0; i < op->fresh_count && !err; i++) {
		struct disk_fresh f;
		memcpy(&f, &op->fresh[i], sizeof(f));
		struct blob b = {ps_get64(f.offset), ps_get64(f.len), ps_get64(f.seed), ps_get64(f.checksum),
		                 0};
		err = named_possible(s, b.place, b.len);
		if (!err)
			err = add(s, n, &b);
	}
	if (!err && op->fresh_contents) {
		/* The decoder has seen that the entry is one that can be. */
		struct blob b = entry_blob(id_make(op->slot, entry_generation(&op->entry)), &op->entry);
		err = add(s, n, &b);
	}
	return err;
}

/* The pages that the blob lies in. One that begins where the last one ended is likely to be followed by more.
 */
static int look_at(struct store *s, struct window *w, const struct blob *b, const uint8_t **bytes)
{
	uint64_t first = b->place & ~(uint64_t)(PAGE - 1);
	uint64_t len = ((b->place + b->len + PAGE - 1) & ~(uint64_t)(PAGE - 1)) - first;
	bool within = first >= w->at && first + len <= w->at + w->len,
	     next = first <= w->end && first + len > w->end;
	if (!within) {
		uint64_t more = next ? w->stretch * 4 : 0, want = MAX(len, MIN(more, (uint64_t)WINDOW));
		w->len = 0;
		int err = ps_io_read(s->io, first, w->bytes, want);
		if (err)
			return err;
		w->at = first;
		w->len = want;
	}
	uint64_t end = MAX(first + len, w->end);
	w->stretch = first <= w->end ? w->stretch + (end - w->end) : len;
	w->end = end;
	*bytes = w->bytes + (b->place - w->at);
	return PS_OK;
}

static int by_place(const void *a, const void *b)
{
	uint64_t x = ((const struct blob *)a)->place, y = ((const struct blob *)b)->place;
	return x < y ? -1 : x > y;
}

int named_verify(struct store *s, struct named *n)
{
	struct window w = {0};
	int err = PS_OK;
	if (!n->count)
		return PS_OK;
	if (posix_memalign((void **)&w.bytes, PAGE, WINDOW))
		return ps_fail(PS_ENOMEM, "%s: no memory for recovery", s->path);
	qsort(n->blobs, n->count, sizeof(*n->blobs), by_place);
	for (size_t i = 0; i < n->count && !err; i++) {
		const uint8_t *bytes;
		err = look_at(s, &w, &n->blobs[i], &bytes);
		if (!err)
			err = named_check(s, &n->blobs[i], bytes);
	}
	free(w.bytes);
	return err;
}
