/* One file, other layers each time it is opened: no layer leaves anything in it that the next one needs or
 * trips over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <padstone/padstone.h>

enum { OBJECTS = 60, LARGEST = 200000 };

#define OK(call) assert_int_equal((call), PS_OK)

static const char *const stacks[] = {"base", "concurrent(base)", "multi(base)",
                                     "concurrent(concurrent(base))", "concurrent(multi(base))"};
/* Steps of 1, 2, … through the stacks, as many of each as there are stacks: every one follows every other
 * one. */
enum { STACKS = sizeof(stacks) / sizeof(stacks[0]), TURNS = STACKS * (STACKS - 1) + 1 };

struct object {
	ps_id id;
	size_t len;
	unsigned char fill;
};

static unsigned char bytes[LARGEST];

static size_t length_of(unsigned turn, unsigned i)
{
	static const size_t lengths[] = {0, 1, 300, 4096, 33000, 66000, LARGEST};
	return lengths[(turn * 5 + i) % (sizeof(lengths) / sizeof(lengths[0]))];
}

static void verify(ps_storer *s, const struct object *o)
{
	size_t len = 0;
	if (!o->id)
		return;
	OK(ps_get(s, o->id, bytes, sizeof(bytes), &len));
	assert_int_equal(len, o->len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], o->fill);
}

static void change(ps_storer *s, struct object *o, unsigned turn, unsigned i)
{
	if (o->id && (turn + i) % 7 == 0) {
		OK(ps_delete(s, o->id));
		o->id = PS_ID_NONE;
		return;
	}
	o->len = length_of(turn, i);
	o->fill = (unsigned char)(turn * 16 + i);
	memset(bytes, o->fill, o->len);
	if (o->id)
		OK(ps_replace(s, o->id, bytes, o->len));
	else
		OK(ps_put(s, bytes, o->len, &o->id));
}

/* What is in flight when the store is closed is aborted: sessions of a layer are nothing in the file. */
static void leave_a_batch_behind(ps_storer *s, const struct object *o)
{
	ps_batch *b;
	ps_id made;
	OK(ps_batch_begin(s, &b));
	OK(ps_batch_put(b, "never", 5, &made));
	if (o->id)
		OK(ps_batch_replace(b, o->id, "never", 5));
	OK(ps_batch_abort(b));
}

static void layers_are_swapped_between_runs_over_one_file(void **state)
{
	(void)state;
	char folder[] = "/tmp/swap-XXXXXX", path[64];
	static struct object objects[OBJECTS];
	unsigned at = 0;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/store", folder);
	for (unsigned turn = 0; turn < TURNS; turn++) {
		ps_storer *s = NULL;
		at = (at + (turn ? 1 + (turn - 1) / STACKS : 0)) % STACKS;
		OK(ps_stack_open_layers(stacks[at], path, NULL, &s));
		for (unsigned i = 0; i < OBJECTS; i++)
			verify(s, &objects[i]);
		for (unsigned i = turn % 3; i < OBJECTS; i += 3)
			change(s, &objects[i], turn, i);
		leave_a_batch_behind(s, &objects[turn]);
		for (unsigned i = 0; i < OBJECTS; i++)
			verify(s, &objects[i]);
		OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
		OK(ps_close(s));
	}
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(layers_are_swapped_between_runs_over_one_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
