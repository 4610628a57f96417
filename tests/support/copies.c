#include "tests/support/copies.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "store/base_internal.h"

enum { LISTS = 1024, MARKS = 4096 };

/* Of an object, as an interval left it; what no piece has is zeros. */
struct copy {
	struct copy *next;
	ps_id id;
	uint64_t interval, size, crashes;
	enum ps_cut_kind kind;
	struct piece {
		uint64_t offset;
		size_t len;
		uint8_t *bytes;
	} * pieces;
	size_t count, room;
};

struct copies {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct copy *lists[LISTS]; /* newest first */
	struct ps_cut_from last;
	uint64_t pushed[MARKS]; /* intervals, rising */
	unsigned pushes;
	struct ps_cut_info info; /* of the last one */
	int failing;
	bool lying, holding;
	unsigned waiting;
	struct copies_counts counts;
};

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

struct copies *copies_new(void)
{
	struct copies *c = need(calloc(1, sizeof(*c)));
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	return c;
}

static void free_copy(struct copy *copy)
{
	for (size_t i = 0; i < copy->count; i++)
		free(copy->pieces[i].bytes);
	free(copy->pieces);
	free(copy);
}

void copies_free(struct copies *c)
{
	for (size_t i = 0; c && i < LISTS; i++) {
		while (c->lists[i]) {
			struct copy *copy = c->lists[i];
			c->lists[i] = copy->next;
			free_copy(copy);
		}
	}
	free(c);
}

/* ---- what the store asks ---- */

static struct copy **list_of(struct copies *c, ps_id id)
{
	return &c->lists[(id >> 24) % LISTS];
}

static const struct copy *find(struct copies *c, ps_id id, uint64_t interval)
{
	const struct copy *copy = *list_of(c, id);
	while (copy && (copy->id != id || copy->interval > interval))
		copy = copy->next;
	return copy;
}

static void copy_out(const struct copy *copy, uint64_t offset, uint8_t *buf, size_t len)
{
	memset(buf, 0, len);
	for (size_t i = 0; i < copy->count; i++) {
		const struct piece *p = &copy->pieces[i];
		uint64_t from = p->offset > offset ? p->offset : offset;
		uint64_t to = p->offset + p->len < offset + len ? p->offset + p->len : offset + len;
		if (from < to)
			memcpy(buf + (from - offset), p->bytes + (from - p->offset), to - from);
	}
}

/* Under the lock, which others take meanwhile: as long as copies_hold says, and then as copies_fail says. */
static int wait_while_held(struct copies *c)
{
	c->waiting++;
	pthread_cond_broadcast(&c->changed);
	while (c->holding)
		pthread_cond_wait(&c->changed, &c->lock);
	c->waiting--;
	return c->failing ? ps_fail(c->failing, "the copies were told to fail") : PS_OK;
}

static int fetch_locked(struct copies *c, ps_id id, uint64_t interval, uint64_t offset, uint8_t *buf,
                        size_t len)
{
	c->counts.fetches++;
	c->counts.bytes += len;
	c->counts.interval = interval;
	if (len > c->counts.longest)
		c->counts.longest = len;
	int err = wait_while_held(c);
	if (err)
		return err;
	const struct copy *copy = find(c, id, interval);
	if (!copy || offset + len > copy->size)
		return ps_fail(PS_ELOST, "object 0x%llx: no copy of interval %llu with bytes %llu to %llu",
		               (unsigned long long)id, (unsigned long long)interval,
		               (unsigned long long)offset, (unsigned long long)(offset + len));
	copy_out(copy, offset, buf, len);
	if (c->lying)
		buf[len / 2] ^= 0x10;
	return PS_OK;
}

static int fetch(void *arg, ps_id id, uint64_t interval, bool exact, uint64_t offset, void *buf, size_t len)
{
	(void)exact; /* every version is kept */
	struct copies *c = arg;
	pthread_mutex_lock(&c->lock);
	int err = fetch_locked(c, id, interval, offset, buf, len);
	pthread_mutex_unlock(&c->lock);
	return err;
}

static const struct copy *find_slot(struct copies *c, uint64_t slot, uint64_t interval)
{
	const struct copy *copy = *list_of(c, slot << 24);
	while (copy && (copy->id >> 24 != slot || copy->interval > interval))
		copy = copy->next;
	return copy;
}

/* Bytes that were told may be used by nobody afterwards: they are a copy that is spoiled. */
static int tell_one(struct copies *c, uint64_t slot, uint64_t interval, ps_backing_told_fn fn, void *fn_arg)
{
	const struct copy *copy = find_slot(c, slot, interval);
	uint8_t bytes[PS_CUT_PIECE];
	c->counts.told++;
	if (!copy)
		return fn(fn_arg, slot, NULL, NULL);
	struct ps_cut_object o = {copy->id, copy->kind, copy->size, copy->interval, copy->crashes};
	if (o.kind == PS_CUT_BYTES)
		copy_out(copy, 0, bytes, o.size);
	if (c->lying)
		o.interval = interval + 1;
	return fn(fn_arg, slot, &o, o.kind == PS_CUT_BYTES ? bytes : NULL);
}

/* The slot and up to eleven behind it: not always a whole leaf. */
static int tell(void *arg, uint64_t slot, uint64_t end, uint64_t interval, ps_backing_told_fn fn,
                void *fn_arg)
{
	struct copies *c = arg;
	pthread_mutex_lock(&c->lock);
	c->counts.asked++;
	int err = wait_while_held(c);
	uint64_t last = slot + 12 < end ? slot + 12 : end;
	while (!err && slot < last)
		err = tell_one(c, slot++, interval, fn, fn_arg);
	pthread_mutex_unlock(&c->lock);
	return err > 0 ? PS_OK : err;
}

static void healed(void *arg, ps_id id)
{
	struct copies *c = arg;
	(void)id;
	pthread_mutex_lock(&c->lock);
	c->counts.healed++;
	pthread_mutex_unlock(&c->lock);
}

int copies_attach(struct copies *c, ps_storer *s)
{
	const struct ps_backing backing = {.arg = c, .fetch = fetch, .healed = healed, .tell = tell};
	ps_storer *below;
	int err = ps_cut_store(s, &below);
	if (err)
		return err;
	uint64_t now = atomic_load(&store_of(below)->interval), last = 0;
	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < c->pushes && c->pushed[i] < now; i++)
		last = c->pushed[i];
	/* A crash took the rest back. */
	if (c->last.interval > last)
		c->last = (struct ps_cut_from){last, 0};
	pthread_mutex_unlock(&c->lock);
	err = ps_backing_confirm(s, last);
	return err ? err : ps_backing_attach(s, &backing);
}

int copies_detach(ps_storer *s)
{
	return ps_backing_attach(s, NULL);
}

/* ---- what it is told ---- */

static int add_piece(void *arg, uint64_t offset, const void *data, size_t len)
{
	struct copy *copy = arg;
	if (copy->count == copy->room) {
		copy->room = copy->room ? copy->room * 2 : 4;
		copy->pieces = need(realloc(copy->pieces, copy->room * sizeof(*copy->pieces)));
	}
	uint8_t *bytes = need(malloc(len));
	memcpy(bytes, data, len);
	copy->pieces[copy->count++] = (struct piece){offset, len, bytes};
	return PS_OK;
}

static int take(struct copies *c, struct ps_cut *cut, const struct ps_cut_object *object)
{
	struct copy *copy = need(calloc(1, sizeof(*copy)));
	*copy = (struct copy){.id = object->id,
	                      .interval = object->interval,
	                      .size = object->size,
	                      .crashes = object->crashes,
	                      .kind = object->kind};
	bool has_bytes = object->kind == PS_CUT_BYTES || object->kind == PS_CUT_CHUNKS;
	int err = has_bytes ? ps_cut_pieces(cut, add_piece, copy) : PS_OK;
	if (err) {
		free_copy(copy);
		return err;
	}
	pthread_mutex_lock(&c->lock);
	copy->next = *list_of(c, copy->id);
	*list_of(c, copy->id) = copy;
	pthread_mutex_unlock(&c->lock);
	return PS_OK;
}

static int take_all(struct copies *c, struct ps_cut *cut)
{
	struct ps_cut_object object;
	int err;
	while ((err = ps_cut_next(cut, &object)) == PS_OK) {
		if ((err = take(c, cut, &object)) != PS_OK)
			return err;
	}
	return err == PS_ENOTFOUND ? PS_OK : err;
}

int copies_push(struct copies *c, ps_storer *s)
{
	struct ps_cut *cut;
	struct ps_cut_info info;
	int err = ps_cut_begin(s, &c->last, &cut, &info);
	if (err)
		return err;
	err = take_all(c, cut);
	ps_cut_end(cut);
	if (err)
		return err;
	pthread_mutex_lock(&c->lock);
	c->last = info.here;
	c->info = info;
	if (c->pushes == MARKS)
		memmove(c->pushed, c->pushed + 1, --c->pushes * sizeof(c->pushed[0]));
	c->pushed[c->pushes++] = info.here.interval;
	pthread_mutex_unlock(&c->lock);
	return ps_backing_confirm(s, info.here.interval);
}

int copies_restore_rest(struct copies *c, ps_storer *s)
{
	struct ps_restore *r;
	struct ps_cut_info info = c->info;
	info.crashes++; /* as after the loss of the store that they are of */
	const struct ps_restore_rest rest = {info.here.interval, info.slots};
	int err = ps_restore_begin(s, &r);
	if (err)
		return err;
	err = ps_restore_rest(r, &rest);
	if (!err)
		return ps_restore_finish(r, &info);
	ps_restore_abort(r);
	return err;
}

int copies_push_and_evict(struct copies *c, ps_storer *s)
{
	int err = copies_push(c, s);
	return err ? err : ps_backing_evict(s, 0, NULL, NULL, NULL);
}

void copies_fail(struct copies *c, int err)
{
	pthread_mutex_lock(&c->lock);
	c->failing = err;
	pthread_mutex_unlock(&c->lock);
}

void copies_lie(struct copies *c, bool on)
{
	pthread_mutex_lock(&c->lock);
	c->lying = on;
	pthread_mutex_unlock(&c->lock);
}

void copies_hold(struct copies *c, bool on)
{
	pthread_mutex_lock(&c->lock);
	c->holding = on;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void copies_wait_for(struct copies *c, unsigned waiting)
{
	pthread_mutex_lock(&c->lock);
	while (c->waiting < waiting)
		pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

struct copies_counts copies_counts(struct copies *c)
{
	pthread_mutex_lock(&c->lock);
	struct copies_counts counts = c->counts;
	pthread_mutex_unlock(&c->lock);
	return counts;
}

uint64_t copies_pushed(struct copies *c)
{
	return c->pushes ? c->pushed[c->pushes - 1] : 0;
}
