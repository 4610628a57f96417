/* Listings. librados lists by blocking calls, so a thread makes them: one a network, started when there is a
 * listing to make, ending when there is none.
 *
 * Objects come in the order of their hash's reversed bits, whatever placement groups they lie in. A page's
 * cursor is a position among these 2^32 and the last name that was listed: any client of any process can go
 * on from it, after changes of the pool's placement groups too. librados names no position, but compares
 * them, so that of the next object is found by bisection. */
#include <assert.h>
#include <errno.h>

#include "base/fail.h"
#include "base/thread.h"
#include "remote/rados_internal.h"

enum { BATCH = 256, SAME_POSITION = 16, POSITION_BITS = 32, STATS = 64 };

/* In ps_net_list.cursor; all zero at first. */
struct cursor {
	uint8_t goes_on; /* 1 */
	uint8_t position[4];
	uint8_t last[PS_PAD_NAME];
};

_Static_assert(sizeof(struct cursor) <= PS_NET_CURSOR, "a cursor fits");

struct rados_listing {
	size_t bytes;
	struct cursor cursor;
	bool more;
	size_t capacity, count;
	struct ps_net_listed listed[];
};

struct rados_listing *ps_rados_listing_new(struct rados_network *n, const struct ps_net_list *list)
{
	if (list->capacity > (SIZE_MAX / 2) / sizeof(struct ps_net_listed))
		return NULL;
	size_t bytes = sizeof(struct rados_listing) + list->capacity * sizeof(struct ps_net_listed);
	struct rados_listing *l = ps_memory_alloc(&n->base.memory, bytes);
	if (!l)
		return NULL;
	*l = (struct rados_listing){.bytes = bytes, .capacity = list->capacity};
	memcpy(&l->cursor, list->cursor, sizeof(l->cursor));
	return l;
}

void ps_rados_listing_free(struct rados_network *n, struct rados_listing *l)
{
	if (l)
		ps_memory_free(&n->base.memory, l, l->bytes);
}

void ps_rados_listing_take(const struct rados_listing *l, struct ps_net_list *list)
{
	assert(l->count <= list->capacity);
	memcpy(list->listed, l->listed, l->count * sizeof(*l->listed));
	list->count = l->count;
	list->more = l->more;
	memset(list->cursor, 0, sizeof(list->cursor));
	if (l->more)
		memcpy(list->cursor, &l->cursor, sizeof(l->cursor));
}

/* ---- positions ---- */

/* librados's places in the order: where reading is, and two to work with. */
struct place {
	struct rados_network *network;
	rados_object_list_cursor begin, end, at, scratch, beyond;
};

static void place_done(struct place *p)
{
	rados_object_list_cursor *all[] = {&p->begin, &p->end, &p->at, &p->scratch, &p->beyond};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (*all[i])
			p->network->calls->rados_object_list_cursor_free(p->network->io, *all[i]);
	}
}

/* -ENOENT: the pool is not there any more. */
static int place_init(struct place *p, struct rados_network *n)
{
	*p = (struct place){.network = n,
	                    .begin = n->calls->rados_object_list_begin(n->io),
	                    .end = n->calls->rados_object_list_end(n->io),
	                    .at = n->calls->rados_object_list_begin(n->io),
	                    .scratch = n->calls->rados_object_list_begin(n->io),
	                    .beyond = n->calls->rados_object_list_begin(n->io)};
	return p->begin && p->end && p->at && p->scratch && p->beyond ? 0 : -ENOENT;
}

/* Where `position` begins, into *to. */
static void go_to(struct place *p, uint32_t position, rados_object_list_cursor *to)
{
	p->network->calls->rados_object_list_slice(p->network->io, p->begin, p->end, position,
	                                           (size_t)1 << POSITION_BITS, to, &p->beyond);
}

/* The last position that does not lie behind p->at. */
static uint32_t position_of(struct place *p)
{
	uint32_t position = 0;
	for (unsigned bit = POSITION_BITS; bit-- > 0;) {
		uint32_t tried = position | (uint32_t)1 << bit;
		go_to(p, tried, &p->scratch);
		if (p->network->calls->rados_object_list_cursor_cmp(p->network->io, p->scratch, p->at) <= 0)
			position = tried;
	}
	return position;
}

/* ---- reading ---- */

/* Up to `most` objects from p->at on; p->at is then behind them if `move`. How many, or a negative errno. */
static int read_objects(struct place *p, size_t most, rados_object_list_item *items, bool move)
{
	const struct rados_calls *calls = p->network->calls;
	int count =
	    calls->rados_object_list(p->network->io, p->at, p->end, most, NULL, 0, items, &p->scratch);
	if (count >= 0 && move) {
		rados_object_list_cursor was = p->at;
		p->at = p->scratch;
		p->scratch = was;
	}
	return count;
}

static bool is_name(const rados_object_list_item *item, struct ps_pad_name *name)
{
	return item->locator_length == 0 && ps_rados_pad_name(item->oid, item->oid_length, name);
}

/* Objects of one position come in a fixed order: those up to the last listed one were listed before. Were
 * they not passed by, a page of one could show the first of two for ever. */
static int pass_by_listed(struct place *p, const struct cursor *cursor)
{
	rados_object_list_item items[SAME_POSITION];
	struct ps_pad_name name;
	size_t listed = 0;
	int count = read_objects(p, SAME_POSITION, items, false);
	for (int i = 0; i < count; i++) {
		if (is_name(&items[i], &name) && memcmp(name.bytes, cursor->last, sizeof(name.bytes)) == 0)
			listed = (size_t)i + 1;
	}
	if (count > 0)
		p->network->calls->rados_object_list_free((size_t)count, items);
	if (count < 0 || listed == 0)
		return count < 0 ? count : 0;
	count = read_objects(p, listed, items, true);
	if (count > 0)
		p->network->calls->rados_object_list_free((size_t)count, items);
	return count < 0 ? count : 0;
}

static int read_names(struct place *p, struct rados_listing *l)
{
	rados_object_list_item items[BATCH];
	const struct rados_calls *calls = p->network->calls;
	while (l->count < l->capacity && !calls->rados_object_list_is_end(p->network->io, p->at)) {
		size_t room = l->capacity - l->count;
		int count = read_objects(p, room < BATCH ? room : BATCH, items, true);
		if (count < 0)
			return count;
		for (int i = 0; i < count; i++) {
			struct ps_net_listed *listed = &l->listed[l->count];
			l->count += is_name(&items[i], &listed->name);
		}
		if (count > 0)
			calls->rados_object_list_free((size_t)count, items);
	}
	return 0;
}

/* ---- sizes ---- */

struct stat_call {
	rados_completion_t completion;
	uint64_t size;
	time_t mtime;
};

static int start_stat(struct rados_network *n, const struct ps_pad_name *name, struct stat_call *s)
{
	char text[RADOS_OBJECT_NAME];
	ps_rados_object_name(name, text);
	int result = n->calls->rados_aio_create_completion2(NULL, NULL, &s->completion);
	if (result < 0) {
		s->completion = NULL;
		return result;
	}
	result = n->calls->rados_aio_stat(n->io, text, s->completion, &s->size, &s->mtime);
	if (result < 0) {
		n->calls->rados_aio_release(s->completion);
		s->completion = NULL;
	}
	return result;
}

static int end_stat(struct rados_network *n, struct stat_call *s)
{
	n->calls->rados_aio_wait_for_complete(s->completion);
	int result = n->calls->rados_aio_get_return_value(s->completion);
	n->calls->rados_aio_release(s->completion);
	return result;
}

/* Sizes of the names [from, from + count), which are moved down to `to`; what is gone meanwhile is left out.
 * How many stayed, or a negative errno. */
static int stat_some(struct rados_network *n, struct rados_listing *l, size_t from, size_t count, size_t to)
{
	struct stat_call calls[STATS];
	int failure = 0, stayed = 0;
	size_t started = 0;
	while (started < count && failure == 0) {
		failure = start_stat(n, &l->listed[from + started].name, &calls[started]);
		started += failure == 0;
	}
	for (size_t i = 0; i < started; i++) {
		int result = end_stat(n, &calls[i]);
		if (result < 0 && result != -ENOENT)
			failure = failure ? failure : result;
		if (result < 0)
			continue;
		l->listed[to] = l->listed[from + i];
		l->listed[to++].size = calls[i].size;
		stayed++;
	}
	return failure ? failure : stayed;
}

static int read_sizes(struct rados_network *n, struct rados_listing *l)
{
	size_t stayed = 0;
	for (size_t from = 0; from < l->count; from += STATS) {
		size_t count = l->count - from < STATS ? l->count - from : STATS;
		int result = stat_some(n, l, from, count, stayed);
		if (result < 0)
			return result;
		stayed += (size_t)result;
	}
	l->count = stayed;
	return 0;
}

/* ---- a page ---- */

static uint32_t get_position(const struct cursor *cursor)
{
	const uint8_t *p = cursor->position;
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void leave_cursor(struct place *p, struct rados_listing *l)
{
	l->more = !p->network->calls->rados_object_list_is_end(p->network->io, p->at);
	if (!l->more)
		return;
	uint32_t position = position_of(p);
	l->cursor.goes_on = 1;
	for (unsigned i = 0; i < sizeof(l->cursor.position); i++)
		l->cursor.position[i] = (uint8_t)(position >> (24 - 8 * i));
	memcpy(l->cursor.last, l->listed[l->count - 1].name.bytes, PS_PAD_NAME);
}

static int read_page(struct place *p, struct rados_listing *l)
{
	int result = 0;
	if (l->cursor.goes_on) {
		go_to(p, get_position(&l->cursor), &p->at);
		result = pass_by_listed(p, &l->cursor);
	}
	if (result == 0)
		result = read_names(p, l);
	if (result != 0)
		return result;
	/* Before names are left out: full means that there is a last one. */
	leave_cursor(p, l);
	return read_sizes(p->network, l);
}

static int make_listing(struct rados_network *n, struct rados_listing *l)
{
	struct place place;
	int result = place_init(&place, n);
	if (result == 0)
		result = read_page(&place, l);
	place_done(&place);
	return result;
}

/* ---- the lister ---- */

static struct rados_flight *next_listing(struct rados_network *n)
{
	pthread_mutex_lock(&n->lock);
	struct rados_flight *f = n->listings;
	if (f)
		n->listings = f->next_posted;
	else
		n->lister_runs = false;
	pthread_mutex_unlock(&n->lock);
	return f;
}

static void *lister(void *arg)
{
	struct rados_network *n = arg;
	struct rados_flight *f;
	while ((f = next_listing(n)))
		ps_rados_flight_landed(f, make_listing(n, f->listing));
	ps_network_release(&n->base);
	return NULL;
}

/* Nobody joins it: a listing that hangs must not hold up who closes the network, which lives until then. */
static int start_lister(struct rados_network *n)
{
	ps_network_hold(&n->base);
	int err = ps_thread_start(NULL, lister, n);
	if (err)
		ps_network_release(&n->base);
	return -err;
}

int ps_rados_listing_start(struct rados_flight *f)
{
	struct rados_network *n = f->network;
	pthread_mutex_lock(&n->lock);
	bool start = !n->lister_runs;
	n->lister_runs = true;
	struct rados_flight **end = &n->listings;
	while (*end)
		end = &(*end)->next_posted;
	f->next_posted = NULL;
	*end = f;
	pthread_mutex_unlock(&n->lock);
	if (!start)
		return 0;
	int result = start_lister(n);
	if (result == 0)
		return 0;
	pthread_mutex_lock(&n->lock);
	n->lister_runs = false;
	for (end = &n->listings; *end != f; end = &(*end)->next_posted)
		;
	*end = f->next_posted;
	pthread_mutex_unlock(&n->lock);
	return result;
}
