/* What a store tells its owner, and where its memory comes from: events on corruption and on the switch to
 * read-only, called where the owner may call the store again; the owner's allocator, to the last byte. */
#include "tests/badinput/bad.h"

#include <pthread.h>
#include <stdatomic.h>

#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { DEADLOCK_SECONDS = 240 };

struct heard {
	ps_storer *s; /* asked for its figures by the callback */
	unsigned count[8];
	ps_id id;
	int error;
	unsigned without_words;
	char message[300]; /* of the last */
};

static void hear(void *arg, const struct ps_event *event)
{
	struct heard *h = arg;
	struct ps_stats stats;
	if ((unsigned)event->kind < sizeof(h->count) / sizeof(h->count[0]))
		h->count[event->kind]++;
	h->id = event->id;
	h->error = event->error;
	snprintf(h->message, sizeof(h->message), "%s", event->message ? event->message : "");
	h->without_words += !event->message || !event->message[0];
	if (h->s)
		OK(ps_stats(h->s, &stats));
}

static struct ps_base_options with_events(struct heard *h)
{
	struct ps_base_options o = bad_options(PS_OPEN_DEFAULT);
	o.event = hear;
	o.event_arg = h;
	return o;
}

static void corruption_is_told_with_the_id(void **state)
{
	(void)state;
	ps_id ids[BAD_OBJECTS];
	struct ps_info info;
	size_t size, len;
	char bytes[6000];
	struct heard h = {0};
	ps_storer *s = bad_open(bad_path, PS_OPEN_CREATE_NEW);
	bad_fill(s, ids);
	OK(ps_info(s, ids[2], &info));
	OK(ps_close(s));
	uint8_t *file = bad_read_file(bad_path, &size);
	file[info.offset + 1000] ^= 8;
	bad_write_file(bad_path, file, size);
	free(file);
	struct ps_base_options o = with_events(&h);
	OK(ps_base_open(bad_path, &o, &h.s));
	SAYS(PS_ECORRUPT, "offset", ps_get(h.s, ids[2], bytes, sizeof(bytes), &len));
	assert_int_equal(h.count[PS_EVENT_CORRUPTION], 1);
	assert_int_equal(h.error, PS_ECORRUPT);
	assert_true(h.id == ids[2]);
	char name[40];
	snprintf(name, sizeof(name), "object 0x%llx", (unsigned long long)ids[2]);
	assert_non_null(strstr(h.message, name));
	assert_int_equal(h.without_words, 0);
	OK(ps_close(h.s));
}

static ps_storer *open_simulated(struct sim_disk *disk, struct heard *h)
{
	ps_storer *s = NULL;
	struct ps_base_options o = with_events(h);
	bool created = sim_disk_size(disk) == 0;
	OK(ps_base_open_io(sim_disk_io(disk), created, &o, &s));
	return s;
}

/* At the first write, in a commit, and in whatever follows: the k-th call of the disk fails for ever. */
static void the_switch_to_read_only_is_told_once(void **state)
{
	(void)state;
	unsigned switched = 0;
	for (uint64_t k = 1; k < 40; k++) {
		struct heard h = {0};
		struct ps_stats stats;
		ps_id id, other = PS_ID_NONE;
		struct sim_disk *disk = sim_disk_new(NULL, 0);
		h.s = open_simulated(disk, &h);
		OK(ps_put(h.s, "kept", 4, &id));
		OK(ps_close(h.s));
		h.s = NULL;
		h.s = open_simulated(disk, &h);
		sim_disk_fail(disk, k, 5 /* EIO */, true);
		int err = PS_OK;
		for (int i = 0; i < 30 && err == PS_OK; i++)
			err = ps_put(h.s, "more", 4, &other);
		sim_disk_fail(disk, 0, 0, false);
		(void)!ps_sync(h.s); /* what a call noted is told at the end of one, at the latest here */
		OK(ps_stats(h.s, &stats));
		assert_true(err == PS_OK || err == PS_EIO || err == PS_EREADONLY);
		assert_int_equal(stats.readonly, h.count[PS_EVENT_READONLY]);
		assert_true(!stats.readonly || (stats.reason[0] && h.count[PS_EVENT_READONLY] == 1));
		if (stats.readonly)
			FAILS(PS_EREADONLY, ps_put(h.s, "no", 2, &other));
		switched += stats.readonly;
		assert_int_equal(h.without_words, 0);
		size_t len;
		char bytes[4];
		OK(ps_get(h.s, id, bytes, 4, &len));
		err = ps_close(h.s);
		assert_true(err == PS_OK || err == PS_EREADONLY);
		sim_disk_free(disk);
	}
	assert_true(switched > 5);
}

/* ---- the allocator ------------------------------------------------------------------------------------- */

struct ledger {
	pthread_mutex_t lock;
	size_t calls, bytes, blocks;
	unsigned wrong; /* sizes given back that were not those asked for */
};
struct header {
	size_t size, guard;
};

static void *count_alloc(void *arg, size_t size)
{
	struct ledger *l = arg;
	struct header *h = malloc(sizeof(*h) + size);
	if (!h)
		return NULL;
	*h = (struct header){size, ~size};
	pthread_mutex_lock(&l->lock);
	l->calls++;
	l->blocks++;
	l->bytes += size;
	pthread_mutex_unlock(&l->lock);
	return h + 1;
}

static void count_release(void *arg, void *memory, size_t size)
{
	struct ledger *l = arg;
	struct header *h = (struct header *)memory - 1;
	pthread_mutex_lock(&l->lock);
	l->wrong += h->size != size || h->guard != ~size;
	l->blocks--;
	l->bytes -= h->size;
	pthread_mutex_unlock(&l->lock);
	free(h);
}

static void *count_resize(void *arg, void *memory, size_t old_size, size_t new_size)
{
	void *larger = count_alloc(arg, new_size);
	if (!larger)
		return NULL;
	if (memory) {
		memcpy(larger, memory, old_size < new_size ? old_size : new_size);
		count_release(arg, memory, old_size);
	}
	return larger;
}

static void the_owners_allocator_is_used_and_gets_all_back(void **state)
{
	(void)state;
	struct ledger l = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct ps_base_options o = bad_options(PS_OPEN_DEFAULT);
	o.alloc = count_alloc;
	o.resize = count_resize;
	o.release = count_release;
	o.alloc_arg = &l;
	o.background = PS_BACKGROUND_THREAD;
	for (int round = 0; round < 2; round++) {
		ps_storer *s;
		ps_id ids[BAD_OBJECTS], run[20];
		ps_writer *w;
		struct ps_view view;
		OK(ps_base_open(bad_path, &o, &s));
		bad_fill(s, ids);
		bad_verify(s, ids);
		OK(ps_alloc_run(s, 100, 20, run));
		OK(ps_open_writer(s, PS_ID_NONE, PS_SIZE_UNKNOWN, &w));
		OK(ps_writer_write(w, bad_path, sizeof(bad_path)));
		OK(ps_writer_finish(w));
		OK(ps_view(s, ids[4], &view));
		OK(ps_view_release(&view));
		OK(ps_compact(s, 0, NULL, NULL));
		OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
		assert_true(l.bytes > 0);
		OK(ps_close(s));
		assert_true(l.calls > 10);
		assert_int_equal(l.blocks, 0);
		assert_int_equal(l.bytes, 0);
		assert_int_equal(l.wrong, 0);
	}
	/* An open that fails gives all back, too. */
	bad_write_file(bad_path, "no store", 8);
	ps_storer *none = NULL;
	FAILS(PS_EFORMAT, ps_base_open(bad_path, &o, &none));
	assert_int_equal(l.blocks, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bad_setup, bad_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(corruption_is_told_with_the_id),
	    TEST(the_switch_to_read_only_is_told_once),
	    TEST(the_owners_allocator_is_used_and_gets_all_back),
	};
	alarm(DEADLOCK_SECONDS); /* a callback under a lock would wait for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
