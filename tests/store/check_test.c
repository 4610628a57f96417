/* A check in the least budget: the file is looked at in parts, and what is wrong is found in each of them,
 * once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { BUDGET = 1 << 20, OBJECTS = 20000, AT_ONCE = 500, PAIRS = 16 };

#define OK(call) assert_int_equal((call), PS_OK)

struct world {
	struct sim_disk *disk;
	ps_storer *s;
	ps_id id[OBJECTS];
	unsigned findings;
	struct ps_finding last;
	char message[200];
};

static void open_world(struct world *w, bool create)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .background = PS_BACKGROUND_NONE,
	                                        .durability = PS_RELAXED,
	                                        .log_bytes = 256 << 10,
	                                        .initial_bytes = 64 << 10,
	                                        .memory_budget = BUDGET};
	OK(ps_base_open_io(sim_disk_io(w->disk), create, &options, &w->s));
}

/* Their lists alone would be all of the budget. */
static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	open_world(w, true);
	for (size_t at = 0; at < OBJECTS; at += AT_ONCE) {
		ps_batch *b;
		OK(ps_batch_begin(w->s, &b));
		for (size_t i = at; i < at + AT_ONCE; i++)
			OK(ps_batch_put(b, &i, sizeof(i), &w->id[i]));
		OK(ps_batch_commit(b, PS_RELAXED));
	}
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	OK(ps_close(w->s));
	sim_disk_free(w->disk);
	free(w);
	return 0;
}

static int hear(void *arg, const struct ps_finding *finding)
{
	struct world *w = arg;
	w->findings++;
	w->last = *finding;
	(void)snprintf(w->message, sizeof(w->message), "%s", finding->message);
	return 0;
}

static int check(struct world *w, enum ps_check_depth depth)
{
	w->findings = 0;
	return ps_check(w->s, depth, hear, w);
}

static void what_is_whole_is_found_so(void **state)
{
	struct world *w = *state;
	OK(check(w, PS_CHECK_QUICK));
	OK(check(w, PS_CHECK_FULL));
	assert_int_equal(w->findings, 0);
}

/* The entry of one object with the place of another. */
static void share(struct world *w, size_t with, size_t which)
{
	struct store *s = store_of(w->s);
	struct entry of, e;
	pthread_mutex_lock(&s->lock);
	OK(table_get(&s->table, id_slot(w->id[with]), &of));
	OK(table_get(&s->table, id_slot(w->id[which]), &e));
	OK(table_prepare(&s->table, id_slot(w->id[which]), false));
	entry_set_place(&e, 0, entry_place(&of));
	table_set(&s->table, id_slot(w->id[which]), &e);
	pthread_mutex_unlock(&s->lock);
}

static void two_that_share_bytes_are_found_wherever_they_lie(void **state)
{
	struct world *w = *state;
	for (size_t i = 0; i < PAIRS; i++)
		share(w, i * (OBJECTS / PAIRS), OBJECTS - 1 - i * 7);
	assert_int_equal(check(w, PS_CHECK_QUICK), PS_ECORRUPT);
	assert_int_equal(w->findings, PAIRS);
	assert_non_null(strstr(w->message, "belong to another as well"));
}

/* More in one place than the list has room for. */
static void many_that_share_a_place_are_found(void **state)
{
	struct world *w = *state;
	enum { MANY = 6000 };
	for (size_t i = 1; i <= MANY; i++)
		share(w, OBJECTS / 2, OBJECTS / 2 + i);
	assert_int_equal(check(w, PS_CHECK_QUICK), PS_ECORRUPT);
	assert_int_equal(w->findings, MANY);
}

static void space_that_nobody_has_is_found(void **state)
{
	struct world *w = *state;
	struct store *s = store_of(w->s);
	struct ps_extent lost;
	pthread_mutex_lock(&s->lock);
	OK(s->space.root->ops->alloc(s->space.root, 16, &lost));
	pthread_mutex_unlock(&s->lock);
	assert_int_equal(check(w, PS_CHECK_QUICK), PS_ECORRUPT);
	assert_int_equal(w->findings, 1);
	assert_non_null(strstr(w->message, "does not add up"));
	pthread_mutex_lock(&s->lock);
	OK(s->space.root->ops->free(s->space.root, lost, NULL));
	pthread_mutex_unlock(&s->lock);
	OK(check(w, PS_CHECK_QUICK));
}

/* Each part of the file visits the whole table. */
static void a_damaged_page_is_reported_once(void **state)
{
	struct world *w = *state;
	static _Alignas(PAGE) uint8_t zeros[PAGE];
	uint64_t slot = id_slot(w->id[OBJECTS / 3]);
	struct table_node *g;
	struct table_leaf *l;
	OK(checkpoint_run(store_of(w->s)));
	OK(table_find_leaf(&store_of(w->s)->table, slot, &g, &l));
	uint64_t place = g->child[slot / FANOUT % FANOUT].place[0];
	assert_int_not_equal(place, 0);
	OK(ps_close(w->s));
	OK(ps_io_write(sim_disk_io(w->disk), place, zeros, PAGE, true));
	open_world(w, false);
	assert_int_equal(check(w, PS_CHECK_QUICK), PS_ECORRUPT);
	assert_int_equal(w->findings, 1);
	assert_int_equal(w->last.offset, place);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(what_is_whole_is_found_so),         TEST(two_that_share_bytes_are_found_wherever_they_lie),
	    TEST(many_that_share_a_place_are_found), TEST(space_that_nobody_has_is_found),
	    TEST(a_damaged_page_is_reported_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
