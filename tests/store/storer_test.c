/* The gate, the base struct, sessions and the error table, seen by one who writes a layer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/cut.h"
#include "store/placement.h"
#include "store/storer_impl.h"

static uint32_t no_caps(ps_storer *s)
{
	(void)s;
	return 0;
}

static ps_id no_writer(ps_writer *w)
{
	(void)w;
	return PS_ID_NONE;
}

static int open_any_batch(ps_storer *s, ps_batch **b)
{
	*b = ps_session_new(s, PS_SESSION_BATCH);
	return *b ? PS_OK : PS_ENOMEM;
}

static int open_any_writer(ps_storer *s, ps_id id, uint64_t size, ps_writer **w)
{
	(void)id, (void)size;
	*w = ps_session_new(s, PS_SESSION_WRITER);
	return *w ? PS_OK : PS_ENOMEM;
}

static int open_any_reader(ps_storer *s, ps_id id, ps_reader **r)
{
	(void)id;
	*r = ps_session_new(s, PS_SESSION_READER);
	return *r ? PS_OK : PS_ENOMEM;
}

/* A leaf that can do nothing, and the same with sessions. */
#define UNSUPPORTED(slot, params) .slot = ps_unsupported_##slot,
static const struct ps_storer_ops nothing_ops = {
    .name = "nothing", .caps = no_caps, .writer_id = no_writer, PS_STORER_SLOTS(UNSUPPORTED)};
static const struct ps_storer_ops sessions_ops = {
    .name = "sessions",
    .caps = no_caps,
    .writer_id = no_writer,
    PS_STORER_SLOTS(UNSUPPORTED).batch_begin = open_any_batch,
    .open_writer = open_any_writer,
    .open_reader = open_any_reader,
};
static const struct ps_storer_ops forward_ops = {
    .name = "forward",
    PS_FORWARD_OPS.batch_begin = open_any_batch,
    .open_writer = open_any_writer,
    .open_reader = open_any_reader,
};

static void a_layer_with_an_empty_slot_is_not_made(void **state)
{
	(void)state;
	const size_t first = offsetof(struct ps_storer_ops, caps);
	const size_t count = (sizeof(struct ps_storer_ops) - first) / sizeof(void (*)(void));
	assert_int_equal(count, 45);
	for (size_t i = 0; i < count; i++) {
		struct ps_storer_ops ops = nothing_ops;
		ps_storer s = {0};
		memset((char *)&ops + first + i * sizeof(void (*)(void)), 0, sizeof(void (*)(void)));
		assert_int_equal(ps_storer_init(&s, &ops, NULL), PS_EINVAL);
		assert_null(s.ops);
	}
	struct ps_storer_ops nameless = nothing_ops;
	ps_storer s = {0};
	nameless.name = NULL;
	assert_int_equal(ps_storer_init(&s, &nameless, NULL), PS_EINVAL);
	assert_int_equal(ps_storer_init(&s, NULL, NULL), PS_EINVAL);
	assert_int_equal(ps_storer_init(NULL, &nothing_ops, NULL), PS_EINVAL);
	assert_int_equal(ps_storer_init(&s, &nothing_ops, NULL), PS_OK);
	assert_ptr_equal(s.ops, &nothing_ops);
	assert_int_equal(s.fork_count, ps_fork_count());
}

static void an_empty_slot_is_named(void **state)
{
	(void)state;
	struct ps_storer_ops ops = nothing_ops;
	ps_storer s = {0};
	ops.write_batched = NULL;
	assert_int_equal(ps_storer_init(&s, &ops, NULL), PS_EINVAL);
	assert_non_null(strstr(ps_last_error_message(), "write_batched"));
}

static int ignore_id(void *arg, ps_id id)
{
	(void)arg, (void)id;
	return 0;
}

static int ignore_piece(void *arg, const struct ps_space_piece *piece)
{
	(void)arg, (void)piece;
	return 0;
}

static void expect_store_calls(ps_storer *s, int expected)
{
	ps_id id = 77;
	size_t n, one = 1;
	char byte = 0;
	struct ps_get_many req = {.id = id, .buf = &byte, .cap = 1};
	struct ps_view view = {.owner = s};
	struct ps_info info;
	struct ps_stats stats;
	struct ps_placement placement = {0};
	struct ps_route_figures figures;
	ps_storer *below;
	assert_int_equal(ps_put(s, "x", 1, &id), expected);
	assert_int_equal(ps_get(s, id, &byte, 1, &n), expected);
	assert_int_equal(ps_read_at(s, id, 0, &byte, 1, &n), expected);
	assert_int_equal(ps_get_many(s, 1, &req), expected);
	assert_int_equal(ps_view(s, id, &view), expected);
	assert_int_equal(ps_view_at(s, id, 0, 1, &view), expected);
	assert_int_equal(ps_view_release(&view), expected);
	assert_ptr_equal(view.owner, s);
	assert_int_equal(ps_replace(s, id, "x", 1), expected);
	assert_int_equal(ps_write_at(s, id, 0, "x", 1), expected);
	assert_int_equal(ps_resize(s, id, 1), expected);
	assert_int_equal(ps_delete(s, id), expected);
	assert_int_equal(ps_alloc(s, 1, &id), expected);
	assert_int_equal(ps_prime(s, 1, &id), expected);
	assert_int_equal(ps_alloc_run(s, 1, 1, &id), expected);
	assert_int_equal(ps_info(s, id, &info), expected);
	assert_int_equal(ps_write_batched(s, 1, &id, "x", &one), expected);
	assert_int_equal(ps_each(s, 0, ignore_id, NULL), expected);
	assert_int_equal(ps_sync(s), expected);
	assert_int_equal(ps_stats(s, &stats), expected);
	assert_int_equal(ps_check(s, PS_CHECK_FULL, NULL, NULL), expected);
	assert_int_equal(ps_compact(s, 0, NULL, NULL), expected);
	assert_int_equal(ps_backup(s, "x", NULL, NULL), expected);
	assert_int_equal(ps_use_tokens(s, NULL), expected);
	assert_int_equal(ps_use_placement(s, &placement), expected);
	assert_int_equal(ps_each_space(s, ignore_piece, NULL), expected);
	assert_int_equal(ps_route_figures(s, &figures, 1), expected);
	assert_int_equal(ps_cut_store(s, &below), expected);
	assert_int_equal(ps_close(s), expected);
	assert_int_equal(id, 77);
}

static void a_leaf_refuses_what_it_lacks_with_a_sentence(void **state)
{
	(void)state;
	ps_storer s;
	ps_batch *b = NULL;
	ps_reader *r = NULL;
	ps_writer *w = NULL;
	assert_int_equal(ps_storer_init(&s, &nothing_ops, NULL), PS_OK);
	expect_store_calls(&s, PS_ENOTSUP);
	assert_int_equal(ps_batch_begin(&s, &b), PS_ENOTSUP);
	assert_int_equal(ps_open_reader(&s, 5, &r), PS_ENOTSUP);
	assert_int_equal(ps_open_writer(&s, 5, 1, &w), PS_ENOTSUP);
	assert_non_null(strstr(ps_last_error_message(), "open_writer"));
	assert_non_null(strstr(ps_last_error_message(), "nothing"));
}

/* A layer that opens sessions of its own and forgets their slots gets an error, no endless recursion. */
static void sessions_without_slots_are_refused(void **state)
{
	(void)state;
	const struct ps_storer_ops *const tables[] = {&sessions_ops, &forward_ops};
	for (size_t i = 0; i < 2; i++) {
		ps_storer s;
		ps_batch *b;
		ps_reader *r;
		ps_writer *w;
		ps_id id;
		char byte;
		size_t got;
		assert_int_equal(ps_storer_init(&s, tables[i], NULL), PS_OK);
		assert_int_equal(ps_batch_begin(&s, &b), PS_OK);
		assert_int_equal(ps_open_reader(&s, 5, &r), PS_OK);
		assert_int_equal(ps_open_writer(&s, 5, 1, &w), PS_OK);
		assert_int_equal(ps_batch_put(b, "x", 1, &id), PS_ENOTSUP);
		assert_int_equal(ps_batch_replace(b, 5, "x", 1), PS_ENOTSUP);
		assert_int_equal(ps_batch_delete(b, 5), PS_ENOTSUP);
		assert_int_equal(ps_batch_write_at(b, 5, 0, "x", 1), PS_ENOTSUP);
		assert_int_equal(ps_batch_alloc(b, 1, &id), PS_ENOTSUP);
		assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_ENOTSUP);
		assert_int_equal(ps_batch_abort(b), PS_ENOTSUP);
		assert_int_equal(ps_reader_read(r, &byte, 1, &got), PS_ENOTSUP);
		assert_int_equal(ps_reader_seek(r, 1), PS_ENOTSUP);
		assert_int_equal(ps_reader_finish(r), PS_ENOTSUP);
		assert_int_equal(ps_writer_write(w, "x", 1), PS_ENOTSUP);
		assert_int_equal(ps_writer_finish(w), PS_ENOTSUP);
		assert_int_equal(ps_writer_abort(w), PS_ENOTSUP);
		assert_int_equal(ps_writer_id(w), PS_ID_NONE);
		assert_int_equal(atomic_load(&s.sessions), 3);
		assert_int_equal(ps_close(&s), PS_EBUSY);
		ps_session_free(b);
		ps_session_free(r);
		ps_session_free(w);
		assert_int_equal(atomic_load(&s.sessions), 0);
	}
}

static void a_session_of_another_kind_is_closed(void **state)
{
	(void)state;
	ps_storer s;
	ps_batch *b;
	size_t got;
	assert_int_equal(ps_storer_init(&s, &sessions_ops, NULL), PS_OK);
	assert_int_equal(ps_batch_begin(&s, &b), PS_OK);
	assert_int_equal(ps_reader_read((ps_reader *)b, NULL, 0, &got), PS_ECLOSED);
	assert_int_equal(ps_writer_finish((ps_writer *)b), PS_ECLOSED);
	ps_session_free(b);
	assert_int_equal(ps_batch_abort(b), PS_ECLOSED);
}

static void a_session_is_zeroed_and_its_place_rests_for_256_others(void **state)
{
	(void)state;
	ps_storer s;
	assert_int_equal(ps_storer_init(&s, &sessions_ops, NULL), PS_OK);
	unsigned char *first = ps_session_new(&s, PS_SESSION_READER);
	assert_non_null(first);
	memset(first + sizeof(struct ps_session), 0xA5, PS_SESSION_SIZE - sizeof(struct ps_session));
	ps_session_free(first);
	bool used_again = false;
	for (unsigned i = 0; i < 4000 && !used_again; i++) {
		unsigned char *other = ps_session_new(&s, PS_SESSION_READER);
		assert_non_null(other);
		used_again = other == first;
		assert_true(!used_again || i >= 256);
		for (size_t j = sizeof(struct ps_session); j < PS_SESSION_SIZE; j++)
			assert_int_equal(other[j], 0);
		ps_session_free(other);
	}
	/* Memory does not grow for ever either. */
	assert_true(used_again);
	ps_session_free(NULL);
}

/* Ours alone: two threads with one place would overwrite each other's mark. */
static bool sessions_keep_their_mark(ps_storer *s, uint64_t mark)
{
	enum { HELD = 4 };
	unsigned char *held[HELD];
	bool kept = true;
	for (unsigned i = 0; i < HELD; i++, mark++) {
		held[i] = ps_session_new(s, PS_SESSION_BATCH);
		if (!held[i])
			return false;
		memcpy(held[i] + sizeof(struct ps_session), &mark, sizeof(mark));
	}
	for (unsigned i = HELD; i-- > 0;) {
		mark--;
		kept = kept && memcmp(held[i] + sizeof(struct ps_session), &mark, sizeof(mark)) == 0;
		ps_session_free(held[i]);
	}
	return kept;
}

static void *many_sessions(void *arg)
{
	uint64_t mark = (uint64_t)(uintptr_t)&mark; /* another in every thread */
	for (unsigned i = 0; i < 2000; i++)
		if (!sessions_keep_their_mark(arg, mark))
			return arg;
	return NULL;
}

static void threads_never_share_a_session(void **state)
{
	(void)state;
	ps_storer s;
	pthread_t threads[4];
	assert_int_equal(ps_storer_init(&s, &sessions_ops, NULL), PS_OK);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, many_sessions, &s), 0);
	for (unsigned i = 0; i < 4; i++) {
		void *failed = NULL;
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(atomic_load(&s.sessions), 0);
}

static void without_memory_there_is_no_session(void **state)
{
	(void)state;
	enum { MOST = 1000 };
	ps_storer s;
	void *sessions[MOST];
	size_t count = 0;
	assert_int_equal(ps_storer_init(&s, &sessions_ops, NULL), PS_OK);
	ps_memory_fail_nth(1, 1);
	while (count < MOST && (sessions[count] = ps_session_new(&s, PS_SESSION_READER)))
		count++;
	ps_memory_fail_nth(0, 0);
	assert_true(count < MOST);
	assert_int_equal(atomic_load(&s.sessions), count);
	while (count > 0)
		ps_session_free(sessions[--count]);
	assert_int_equal(atomic_load(&s.sessions), 0);
}

static int child_of_fork(ps_storer *s, uint64_t forks)
{
	ps_storer own;
	ps_batch *b;
	if (ps_fork_count() != forks + 1 || ps_sync(s) != PS_EPROCESS || ps_close(s) != PS_EPROCESS)
		return 1;
	/* A store of its own works in the child, sessions included. */
	if (ps_storer_init(&own, &sessions_ops, NULL) || ps_batch_begin(&own, &b))
		return 2;
	ps_session_free(b);
	return ps_sync(&own) == PS_ENOTSUP ? 0 : 3;
}

static void a_store_belongs_to_the_process_that_opened_it(void **state)
{
	(void)state;
	ps_storer s;
	assert_int_equal(ps_storer_init(&s, &sessions_ops, NULL), PS_OK);
	uint64_t forks = ps_fork_count();
	pid_t child = fork();
	if (child == 0)
		_exit(child_of_fork(&s, forks));
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(ps_fork_count(), forks);
	assert_int_equal(ps_sync(&s), PS_ENOTSUP);
}

static void every_error_has_a_name_and_a_text(void **state)
{
	(void)state;
	int next = 0;
#define CHECK_ERROR(name, number, text)                                                                      \
	assert_int_equal(name, next--);                                                                      \
	assert_string_equal(ps_error_name(name), #name);                                                     \
	assert_string_equal(ps_strerror(name), text);
	PS_ERROR_TABLE(CHECK_ERROR)
#undef CHECK_ERROR
	assert_string_equal(ps_error_name(next), "PS_E?");
	assert_string_equal(ps_strerror(next), "unknown error");
	assert_string_equal(ps_error_name(1), "PS_E?");
	assert_string_equal(ps_strerror(INT32_MIN), "unknown error");
}

static void *message_of_new_thread(void *arg)
{
	(void)arg;
	return (void *)(uintptr_t)ps_last_error_message()[0];
}

static void the_last_message_is_this_threads_and_names_the_call(void **state)
{
	(void)state;
	pthread_t thread;
	void *first_byte = &thread;
	assert_int_equal(ps_sync(NULL), PS_EINVAL);
	assert_non_null(strstr(ps_last_error_message(), "ps_sync"));
	assert_int_equal(pthread_create(&thread, NULL, message_of_new_thread, NULL), 0);
	pthread_join(thread, &first_byte);
	assert_null(first_byte);
	assert_int_equal(ps_batch_abort(NULL), PS_EINVAL);
	assert_non_null(strstr(ps_last_error_message(), "ps_batch_abort"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_layer_with_an_empty_slot_is_not_made),
	    cmocka_unit_test(an_empty_slot_is_named),
	    cmocka_unit_test(a_leaf_refuses_what_it_lacks_with_a_sentence),
	    cmocka_unit_test(sessions_without_slots_are_refused),
	    cmocka_unit_test(a_session_of_another_kind_is_closed),
	    cmocka_unit_test(a_session_is_zeroed_and_its_place_rests_for_256_others),
	    cmocka_unit_test(threads_never_share_a_session),
	    cmocka_unit_test(without_memory_there_is_no_session),
	    cmocka_unit_test(a_store_belongs_to_the_process_that_opened_it),
	    cmocka_unit_test(every_error_has_a_name_and_a_text),
	    cmocka_unit_test(the_last_message_is_this_threads_and_names_the_call),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
