/* Random operations, with contents leaving all the time, against plain memory: by one thread with crashes and
 * compactions between, and by several beside one that pushes and evicts without end.
 *
 * backing_model_test [SEED] repeats a run. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "tests/store/backing_world.h"

enum { OBJECTS = 30, STEPS = 1500, ACTORS = 3, ACTOR_STEPS = 400 };

static uint64_t first_seed = 1;

struct model {
	struct fixture *f;
	uint64_t random;
	ps_id id[OBJECTS]; /* PS_ID_NONE: not there */
	uint8_t *bytes[OBJECTS];
	size_t size[OBJECTS];
};

static uint64_t draw(struct model *m, uint64_t below)
{
	m->random = m->random * 6364136223846793005U + 1442695040888963407U;
	return (m->random >> 33) % below;
}

/* Around each of the ways in which contents lie in the file. */
static size_t draw_size(struct model *m)
{
	static const size_t most[] = {40, 3000, 9000, 65 * K, 65 * K, 300 * K, 1200 * K};
	return draw(m, most[draw(m, LENGTH(most))]);
}

static void set_size(struct model *m, unsigned i, size_t size)
{
	m->bytes[i] = realloc(m->bytes[i], size + 1);
	assert_non_null(m->bytes[i]);
	if (size > m->size[i])
		memset(m->bytes[i] + m->size[i], 0, size - m->size[i]);
	m->size[i] = size;
}

static void check_range(struct model *m, unsigned i)
{
	size_t size = m->size[i], off = draw(m, size + 1),
	       len = draw(m, MIN(size - off, (size_t)200 * K) + 1), got = 0;
	struct ps_view v;
	uint8_t *buf = malloc(len + 1);
	assert_non_null(buf);
	OK(ps_read_at(m->f->s, m->id[i], off, buf, len, &got));
	assert_int_equal(got, len);
	assert_memory_equal(buf, m->bytes[i] + off, len);
	free(buf);
	OK(ps_view_at(m->f->s, m->id[i], off, len, &v));
	assert_memory_equal(v.data, m->bytes[i] + off, len);
	OK(ps_view_release(&v));
}

static void check_all_of(struct model *m, unsigned i)
{
	if (m->id[i])
		expect_bytes(m->f->s, m->id[i], m->bytes[i], m->size[i]);
}

static void check_stream(struct model *m, unsigned i)
{
	ps_reader *r;
	size_t got, at = 0, part = 1 + draw(m, 100 * K);
	uint8_t *buf = malloc(part);
	assert_non_null(buf);
	OK(ps_open_reader(m->f->s, m->id[i], &r));
	do {
		OK(ps_reader_read(r, buf, part, &got));
		assert_true(at + got <= m->size[i]);
		assert_memory_equal(buf, m->bytes[i] + at, got);
		at += got;
	} while (got);
	assert_int_equal(at, m->size[i]);
	OK(ps_reader_finish(r));
	free(buf);
}

static void make(struct model *m, unsigned i)
{
	size_t size = draw_size(m);
	m->size[i] = 0;
	set_size(m, i, size);
	edit(m->bytes[i], 0, m->random, size);
	OK(ps_put(m->f->s, m->bytes[i], size, &m->id[i]));
}

static void write_part(struct model *m, unsigned i)
{
	size_t off = draw(m, m->size[i] + 1000), len = 1 + draw_size(m) / 4;
	set_size(m, i, MAX(m->size[i], off + len));
	edit(m->bytes[i], off, m->random, len);
	OK(ps_write_at(m->f->s, m->id[i], off, m->bytes[i] + off, len));
}

static void write_batch(struct model *m, unsigned i)
{
	ps_batch *b;
	unsigned other = (i + 1) % OBJECTS;
	OK(ps_batch_begin(m->f->s, &b));
	for (unsigned part = 0; part < 2; part++) {
		size_t off = draw(m, m->size[i] + 1), len = 1 + draw(m, 5000);
		set_size(m, i, MAX(m->size[i], off + len));
		edit(m->bytes[i], off, m->random, len);
		OK(ps_batch_write_at(b, m->id[i], off, m->bytes[i] + off, len));
	}
	if (m->id[other]) {
		OK(ps_batch_delete(b, m->id[other]));
		m->id[other] = PS_ID_NONE;
	}
	OK(ps_batch_commit(b, PS_DURABLE));
}

static void change(struct model *m, unsigned i)
{
	size_t size = draw_size(m);
	switch (draw(m, 5)) {
	case 0:
		set_size(m, i, size);
		edit(m->bytes[i], 0, m->random, size);
		OK(ps_replace(m->f->s, m->id[i], m->bytes[i], size));
		break;
	case 1:
		OK(ps_delete(m->f->s, m->id[i]));
		m->id[i] = PS_ID_NONE;
		break;
	case 2:
		set_size(m, i, size);
		OK(ps_resize(m->f->s, m->id[i], size));
		break;
	case 3:
		write_batch(m, i);
		break;
	default:
		write_part(m, i);
	}
}

static void step(struct model *m)
{
	unsigned i = (unsigned)draw(m, OBJECTS);
	if (!m->id[i])
		make(m, i);
	else if (draw(m, 2))
		change(m, i);
	else if (draw(m, 4))
		check_range(m, i);
	else
		check_stream(m, i);
}

static void model_done(struct model *m)
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		check_all_of(m, i);
		if (m->id[i])
			OK(ps_delete(m->f->s, m->id[i]));
		free(m->bytes[i]);
	}
}

/* ---- by one ---- */

static uint64_t all_bytes(const struct model *m)
{
	uint64_t bytes = 0;
	for (unsigned i = 0; i < OBJECTS; i++)
		bytes += m->id[i] ? m->size[i] : 0;
	return bytes;
}

static void all_reads_right_while_contents_leave(void **state)
{
	struct fixture *f = *state;
	struct model m = {.f = f, .random = first_seed};
	for (unsigned i = 0; i < STEPS; i++) {
		step(&m);
		switch (draw(&m, 40)) {
		case 0:
			OK(ps_sync(f->s));
			crash(f);
			break;
		case 1:
			OK(ps_compact(f->s, 0, NULL, NULL));
			break;
		case 2:
			OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
			break;
		case 3:
			for (unsigned o = 0; o < OBJECTS; o++)
				check_all_of(&m, o);
			break;
		case 4:
		case 5:
		case 6:
		case 7:
			OK(copies_push(f->copies, f->s));
			break;
		default:
			OK(ps_backing_evict(f->s, draw(&m, 2) * draw(&m, all_bytes(&m) + 1), NULL, NULL,
			                    NULL));
		}
	}
	assert_true(copies_counts(f->copies).fetches > STEPS / 10);
	model_done(&m);
}

/* ---- by several ---- */

struct actor {
	struct model model;
	pthread_t thread;
	atomic_bool *ended;
};

static void *act(void *arg)
{
	struct actor *a = arg;
	for (unsigned i = 0; i < ACTOR_STEPS; i++)
		step(&a->model);
	atomic_store(a->ended, true);
	return NULL;
}

static void threads_read_right_while_contents_leave(void **state)
{
	struct fixture *f = *state;
	struct actor actors[ACTORS];
	atomic_bool ended[ACTORS] = {false};
	for (unsigned i = 0; i < ACTORS; i++) {
		actors[i] =
		    (struct actor){.model = {.f = f, .random = first_seed * 100 + i}, .ended = &ended[i]};
		assert_int_equal(pthread_create(&actors[i].thread, NULL, act, &actors[i]), 0);
	}
	while (!atomic_load(&ended[0]) || !atomic_load(&ended[1]) || !atomic_load(&ended[2])) {
		OK(copies_push(f->copies, f->s));
		OK(ps_backing_evict(f->s, 0, NULL, NULL, NULL));
	}
	for (unsigned i = 0; i < ACTORS; i++) {
		assert_int_equal(pthread_join(actors[i].thread, NULL), 0);
		model_done(&actors[i].model);
	}
	assert_true(copies_counts(f->copies).fetches > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(all_reads_right_while_contents_leave),
	    TEST_ON_FILE(threads_read_right_while_contents_leave),
	};
	if (argc > 1)
		first_seed = strtoull(argv[1], NULL, 10);
	print_message("seed %llu\n", (unsigned long long)first_seed);
	return cmocka_run_group_tests_name("backing model", tests, NULL, NULL);
}
