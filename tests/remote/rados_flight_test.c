/* rados: over a librados of scripted answers, without any cluster: what each result of each operation means,
 * and who holds what when answers come late, or for requests that were given up. */
#include "tests/remote/networks/cm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "remote/rados_internal.h"

enum { ROOM = 1000 };

/* ---- the scripted library ---- */

/* One operation that was sent, until the test answers it. */
struct sent {
	rados_callback_t callback;
	void *arg;
	int result;
	bool recalled;
};

static struct script {
	int refuse;        /* result of sending itself */
	int flags;         /* of the last write */
	unsigned recalled; /* operations */
	bool answer_recalls;
	struct sent *last;
	/* Of a read. */
	uint64_t size;
	size_t received;
	const char *attribute; /* NULL: there is none */
	char value[RADOS_VERSION];
	size_t value_len;
	bool shown;
} script;

static int create_completion(void *arg, rados_callback_t callback, rados_completion_t *completion)
{
	struct sent *sent = calloc(1, sizeof(*sent));
	*sent = (struct sent){.callback = callback, .arg = arg};
	script.last = sent;
	*completion = sent;
	return 0;
}

static int return_value(rados_completion_t completion)
{
	return ((struct sent *)completion)->result;
}

static void release(rados_completion_t completion)
{
	free(completion);
}

static void answer(struct sent *sent, int result)
{
	sent->result = result;
	sent->callback(sent, sent->arg);
}

static int recall(rados_ioctx_t io, rados_completion_t completion)
{
	struct sent *sent = completion;
	(void)io;
	sent->recalled = true;
	script.recalled++;
	if (script.answer_recalls)
		answer(sent, -ECANCELED);
	return 0;
}

static rados_write_op_t create_write(void)
{
	return malloc(1);
}

static rados_read_op_t create_read(void)
{
	return malloc(1);
}

static void release_op(void *op)
{
	free(op);
}

static void op_create(rados_write_op_t op, int exclusive, const char *category)
{
	(void)op, (void)category;
	assert_int_equal(exclusive, LIBRADOS_CREATE_EXCLUSIVE);
}

static void op_compare(rados_write_op_t op, const char *name, uint8_t comparison, const char *value,
                       size_t len)
{
	(void)op, (void)value;
	assert_string_equal(name, RADOS_VERSION_NAME);
	assert_int_equal(comparison, LIBRADOS_CMPXATTR_OP_EQ);
	assert_int_equal(len, RADOS_VERSION);
}

static void op_write(rados_write_op_t op, const char *bytes, size_t len)
{
	(void)op, (void)bytes, (void)len;
}

static void op_set(rados_write_op_t op, const char *name, const char *value, size_t len)
{
	(void)op, (void)name, (void)value, (void)len;
}

static void op_remove(rados_write_op_t op)
{
	(void)op;
}

static int send_write(rados_write_op_t op, rados_ioctx_t io, rados_completion_t completion, const char *name,
                      time_t *mtime, int flags)
{
	(void)op, (void)io, (void)completion, (void)mtime;
	assert_int_equal(strlen(name), 2 * PS_PAD_NAME);
	script.flags = flags;
	return script.refuse;
}

static void op_stat(rados_read_op_t op, uint64_t *size, time_t *mtime, int *result)
{
	(void)op, (void)mtime;
	*size = script.size;
	*result = 0;
}

static void op_attributes(rados_read_op_t op, rados_xattrs_iter_t *iterator, int *result)
{
	(void)op;
	*iterator = malloc(1);
	*result = 0;
}

static void op_read(rados_read_op_t op, uint64_t offset, size_t len, char *to, size_t *received, int *result)
{
	(void)op, (void)offset;
	assert_true(script.received <= len);
	memset(to, 'x', script.received);
	*received = script.received;
	*result = 0;
}

static int send_read(rados_read_op_t op, rados_ioctx_t io, rados_completion_t completion, const char *name,
                     int flags)
{
	(void)op, (void)io, (void)completion, (void)name, (void)flags;
	return script.refuse;
}

static int next_attribute(rados_xattrs_iter_t iterator, const char **name, const char **value, size_t *len)
{
	(void)iterator;
	*name = script.shown ? NULL : script.attribute;
	*value = script.value;
	*len = script.value_len;
	script.shown = true;
	return 0;
}

static void no_context(rados_ioctx_t io)
{
	(void)io;
}

static void no_cluster(rados_t cluster)
{
	(void)cluster;
}

static const struct rados_calls calls = {
    .rados_aio_create_completion2 = create_completion,
    .rados_aio_get_return_value = return_value,
    .rados_aio_release = release,
    .rados_aio_cancel = recall,
    .rados_create_write_op = create_write,
    .rados_release_write_op = release_op,
    .rados_write_op_create = op_create,
    .rados_write_op_cmpxattr = op_compare,
    .rados_write_op_write_full = op_write,
    .rados_write_op_setxattr = op_set,
    .rados_write_op_remove = op_remove,
    .rados_aio_write_op_operate = send_write,
    .rados_create_read_op = create_read,
    .rados_release_read_op = release_op,
    .rados_read_op_stat = op_stat,
    .rados_read_op_getxattrs = op_attributes,
    .rados_read_op_read = op_read,
    .rados_aio_read_op_operate = send_read,
    .rados_getxattrs_next = next_attribute,
    .rados_getxattrs_end = release_op,
    .rados_ioctx_destroy = no_context,
    .rados_shutdown = no_cluster,
};

/* ---- a network on it ---- */

struct side {
	ps_network *network;
	ps_client *client;
	struct ps_net_buffer *buffer;
};

static int begin(void **state)
{
	struct side *s = calloc(1, sizeof(*s));
	struct ps_network_options options = {.depth = 4, .timeout_ms = 60000};
	assert_int_equal(ps_network_new(&ps_rados_network, sizeof(struct rados_network), "//scripted/",
	                                &options, &s->network),
	                 PS_OK);
	struct rados_network *n = (struct rados_network *)s->network;
	n->calls = &calls;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->swept, NULL);
	s->network->largest = 1 << 20;
	s->network->caps = PS_NET_CAP_GUARDED_REMOVE;
	assert_int_equal(ps_client_open(s->network, &s->client), PS_OK);
	s->buffer = ps_net_buffer_new(&s->network->memory, ROOM);
	s->buffer->len = ROOM;
	script = (struct script){0};
	*state = s;
	return 0;
}

static int end(void **state)
{
	struct side *s = *state;
	ps_net_buffer_release(s->buffer);
	ps_client_close(s->client);
	/* Every byte was given back but the URL's. */
	assert_int_equal(s->network->memory.used, strlen(s->network->url) + 1);
	ps_network_close(s->network);
	free(s);
	return 0;
}

static struct ps_net_request request(struct side *s, enum ps_net_op op)
{
	struct ps_net_request r = {.op = op, .len = ROOM, .buffer = s->buffer};
	r.expected.counter = 1;
	r.identity.counter = 2;
	return r;
}

static enum ps_outcome outcome_of(struct side *s, enum ps_net_op op, int result)
{
	struct ps_net_request r = request(s, op);
	assert_int_equal(ps_client_submit(s->client, &r), PS_OK);
	answer(script.last, result);
	assert_ptr_equal(ps_client_wait(s->client, 0), &r);
	return r.outcome;
}

/* ---- what results mean ---- */

static void each_result_of_a_write_is_in_its_class(void **state)
{
	static const struct {
		int result;
		enum ps_outcome create, replace, remove;
	} rows[] = {
	    {0, PS_NET_DONE, PS_NET_DONE, PS_NET_DONE},
	    {-ECANCELED, PS_NET_UNKNOWN, PS_NET_CONFLICT, PS_NET_CONFLICT},
	    {-EEXIST, PS_NET_CONFLICT, PS_NET_UNKNOWN, PS_NET_UNKNOWN},
	    {-ENOENT, PS_NET_UNAVAILABLE, PS_NET_ABSENT, PS_NET_ABSENT},
	    {-ENOSPC, PS_NET_FULL, PS_NET_FULL, PS_NET_FULL},
	    {-EDQUOT, PS_NET_FULL, PS_NET_FULL, PS_NET_FULL},
	    {-EMSGSIZE, PS_NET_TOO_BIG, PS_NET_TOO_BIG, PS_NET_TOO_BIG},
	    {-EPERM, PS_NET_DENIED, PS_NET_DENIED, PS_NET_DENIED},
	    {-EACCES, PS_NET_DENIED, PS_NET_DENIED, PS_NET_DENIED},
	    {-ETIMEDOUT, PS_NET_UNKNOWN, PS_NET_UNKNOWN, PS_NET_UNKNOWN},
	    {-ESHUTDOWN, PS_NET_UNKNOWN, PS_NET_UNKNOWN, PS_NET_UNKNOWN},
	    {-ENOTCONN, PS_NET_UNKNOWN, PS_NET_UNKNOWN, PS_NET_UNKNOWN},
	    {-EIO, PS_NET_UNKNOWN, PS_NET_UNKNOWN, PS_NET_UNKNOWN},
	    {-EAGAIN, PS_NET_UNKNOWN, PS_NET_UNKNOWN, PS_NET_UNKNOWN},
	    {-99999, PS_NET_UNKNOWN, PS_NET_UNKNOWN, PS_NET_UNKNOWN},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(outcome_of(*state, PS_NET_CREATE, rows[i].result), rows[i].create);
		assert_int_equal(outcome_of(*state, PS_NET_REPLACE, rows[i].result), rows[i].replace);
		assert_int_equal(outcome_of(*state, PS_NET_REMOVE, rows[i].result), rows[i].remove);
	}
}

static void a_read_is_never_unknown(void **state)
{
	static const int results[] = {-ECANCELED, -EEXIST,   -ENOSPC, -EMSGSIZE, -ETIMEDOUT,
	                              -ESHUTDOWN, -ENOTCONN, -EIO,    -99999};
	for (enum ps_net_op op = PS_NET_GET; op <= PS_NET_HEAD; op++) {
		assert_int_equal(outcome_of(*state, op, -ENOENT), PS_NET_ABSENT);
		assert_int_equal(outcome_of(*state, op, -EPERM), PS_NET_DENIED);
		for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++)
			assert_int_equal(outcome_of(*state, op, results[i]), PS_NET_UNAVAILABLE);
	}
}

static void only_a_remove_forces_its_way_into_a_full_pool(void **state)
{
	outcome_of(*state, PS_NET_CREATE, 0);
	assert_int_equal(script.flags, LIBRADOS_OPERATION_FULL_TRY);
	outcome_of(*state, PS_NET_REPLACE, 0);
	assert_int_equal(script.flags, LIBRADOS_OPERATION_FULL_TRY);
	outcome_of(*state, PS_NET_REMOVE, 0);
	assert_int_equal(script.flags, LIBRADOS_OPERATION_FULL_FORCE);
}

static void what_was_not_sent_is_surely_not_carried_out(void **state)
{
	struct side *s = *state;
	script.refuse = -EINVAL;
	for (enum ps_net_op op = PS_NET_GET; op < PS_NET_LIST; op++) {
		struct ps_net_request r = request(s, op);
		assert_int_equal(ps_client_submit(s->client, &r), PS_OK);
		assert_ptr_equal(ps_client_wait(s->client, 0), &r);
		assert_int_equal(r.outcome, PS_NET_UNAVAILABLE);
	}
}

/* ---- what a read brings ---- */

/* Size, bytes and the identity's number, as an OSD may tell them. */
static struct ps_net_request read_of(struct side *s, enum ps_net_op op, uint64_t size, size_t received,
                                     const char *attribute, size_t value_len)
{
	struct ps_net_request r = request(s, op);
	script.size = size;
	script.received = received;
	script.attribute = attribute;
	script.value_len = value_len;
	script.value[7] = 9;
	script.shown = false;
	assert_int_equal(ps_client_submit(s->client, &r), PS_OK);
	answer(script.last, 0);
	assert_ptr_equal(ps_client_wait(s->client, 0), &r);
	return r;
}

/* Stale ones, too: it is shown with its own identity, so whoever reads can tell. */
static void a_read_tells_whose_bytes_they_are(void **state)
{
	for (enum ps_net_op op = PS_NET_GET; op <= PS_NET_HEAD; op++) {
		size_t received = op == PS_NET_HEAD ? 0 : 700;
		struct ps_net_request r =
		    read_of(*state, op, 700, received, RADOS_VERSION_NAME, RADOS_VERSION);
		assert_int_equal(r.outcome, PS_NET_DONE);
		assert_int_equal(r.identity.counter, 9);
		assert_int_equal(r.size, 700);
	}
}

static void what_has_no_identity_of_ours_shows_none(void **state)
{
	static const struct {
		const char *name;
		size_t len;
	} rows[] = {{NULL, 0},
	            {"w", RADOS_VERSION},
	            {RADOS_VERSION_NAME, 0},
	            {RADOS_VERSION_NAME, RADOS_VERSION - 1},
	            {RADOS_VERSION_NAME, RADOS_VERSION + 1}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ps_net_request r = read_of(*state, PS_NET_GET, 10, 10, rows[i].name, rows[i].len);
		assert_int_equal(r.outcome, PS_NET_DONE);
		assert_true(ps_identity_none(&r.identity));
	}
}

static void bytes_of_another_length_than_the_object_s_are_refused(void **state)
{
	struct side *s = *state;
	static const struct {
		enum ps_net_op op;
		uint64_t size;
		size_t received;
		enum ps_outcome outcome;
	} rows[] = {
	    {PS_NET_GET, 700, 699, PS_NET_UNAVAILABLE},
	    {PS_NET_GET, 700, 701, PS_NET_UNAVAILABLE},
	    {PS_NET_GET, 700, 0, PS_NET_UNAVAILABLE},
	    {PS_NET_GET, 0, 1, PS_NET_UNAVAILABLE},
	    {PS_NET_GET, 0, 0, PS_NET_DONE},
	    {PS_NET_GET, ROOM + 1, ROOM, PS_NET_TOO_BIG},
	    {PS_NET_GET, UINT64_MAX, 0, PS_NET_TOO_BIG},
	    {PS_NET_GET_RANGE, ROOM + 1, ROOM, PS_NET_DONE},
	    {PS_NET_GET_RANGE, ROOM - 1, ROOM - 1, PS_NET_DONE},
	    {PS_NET_GET_RANGE, ROOM - 1, ROOM, PS_NET_UNAVAILABLE},
	    {PS_NET_GET_RANGE, UINT64_MAX, ROOM - 1, PS_NET_UNAVAILABLE},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ps_net_request r =
		    read_of(s, rows[i].op, rows[i].size, rows[i].received, RADOS_VERSION_NAME, RADOS_VERSION);
		assert_int_equal(r.outcome, rows[i].outcome);
		if (r.outcome == PS_NET_UNAVAILABLE)
			assert_int_equal(r.error, PS_EIO);
		if (r.outcome == PS_NET_DONE)
			assert_int_equal(s->buffer->len, rows[i].received);
	}
}

/* ---- late answers ---- */

static void a_late_answer_finds_its_buffer(void **state)
{
	struct side *s = *state;
	struct ps_net_request r = request(s, PS_NET_REPLACE);
	r.timeout_ms = 1;
	assert_int_equal(ps_client_submit(s->client, &r), PS_OK);
	assert_ptr_equal(ps_client_wait(s->client, 1000), &r);
	assert_int_equal(r.outcome, PS_NET_UNKNOWN);
	assert_int_equal(r.error, PS_ETIMEDOUT);
	assert_int_equal(script.recalled, 1);
	assert_int_equal(s->buffer->references, 2);
	answer(script.last, 0);
	assert_int_equal(s->buffer->references, 1);
	assert_int_equal(r.outcome, PS_NET_UNKNOWN);
}

static void a_recalled_write_is_not_a_conflict(void **state)
{
	struct side *s = *state;
	struct ps_net_request r = request(s, PS_NET_REPLACE);
	assert_int_equal(ps_client_submit(s->client, &r), PS_OK);
	ps_client_cancel(s->client, &r);
	assert_ptr_equal(ps_client_wait(s->client, 0), &r);
	assert_int_equal(r.outcome, PS_NET_UNKNOWN);
	assert_int_equal(r.error, PS_ECANCELED);
	answer(script.last, -ECANCELED);
}

/* librados may answer the recall before it returns: the reason is still the time, or the caller. */
static void a_recall_that_is_answered_at_once_tells_why(void **state)
{
	struct side *s = *state;
	script.answer_recalls = true;
	for (enum ps_net_op op = PS_NET_GET; op < PS_NET_LIST; op++)
		for (int cancels = 0; cancels < 2; cancels++) {
			struct ps_net_request r = request(s, op);
			r.timeout_ms = cancels ? 1000 : 1;
			assert_int_equal(ps_client_submit(s->client, &r), PS_OK);
			if (cancels)
				ps_client_cancel(s->client, &r);
			assert_ptr_equal(ps_client_wait(s->client, 1000), &r);
			assert_int_equal(r.outcome,
			                 ps_net_op_writes(op) ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE);
			assert_int_equal(r.error, cancels ? PS_ECANCELED : PS_ETIMEDOUT);
			assert_non_null(strstr(r.sentence, cancels ? "canceled by" : "no answer in time"));
		}
}

static void what_has_landed_is_not_cancelled_any_more(void **state)
{
	struct side *s = *state;
	struct ps_net_request r = request(s, PS_NET_REPLACE);
	assert_int_equal(ps_client_submit(s->client, &r), PS_OK);
	answer(script.last, -ECANCELED);
	ps_client_cancel(s->client, &r);
	assert_int_equal(script.recalled, 0);
	assert_ptr_equal(ps_client_wait(s->client, 0), &r);
	assert_int_equal(r.outcome, PS_NET_CONFLICT);
}

static void answers_come_after_their_client_too(void **state)
{
	struct side *s = *state;
	ps_client *client = NULL;
	struct ps_net_request reads = request(s, PS_NET_GET), writes = request(s, PS_NET_CREATE);
	assert_int_equal(ps_client_open(s->network, &client), PS_OK);
	assert_int_equal(ps_client_submit(client, &reads), PS_OK);
	struct sent *read = script.last;
	assert_int_equal(ps_client_submit(client, &writes), PS_OK);
	struct sent *write = script.last;
	ps_client_close(client);
	assert_true(read->recalled && write->recalled);
	assert_int_equal(s->buffer->references, 3);
	answer(write, -ECANCELED);
	answer(read, 0);
	assert_int_equal(s->buffer->references, 1);
}

/* The answer that comes while the client closes is posted behind one that has come before. */
static void answers_come_while_their_client_closes(void **state)
{
	struct side *s = *state;
	ps_client *client = NULL;
	struct ps_net_request first = request(s, PS_NET_REPLACE), second = request(s, PS_NET_REPLACE);
	assert_int_equal(ps_client_open(s->network, &client), PS_OK);
	assert_int_equal(ps_client_submit(client, &first), PS_OK);
	assert_int_equal(ps_client_submit(client, &second), PS_OK);
	answer(script.last, 0);
	script.answer_recalls = true;
	ps_client_close(client);
	assert_int_equal(script.recalled, 1);
	assert_int_equal(s->buffer->references, 1);
}

static void names_are_64_hexadecimal_digits(void **state)
{
	char text[RADOS_OBJECT_NAME];
	struct ps_pad_name name, back;
	(void)state;
	for (unsigned i = 0; i < PS_PAD_NAME; i++)
		name.bytes[i] = (uint8_t)(i * 37 + 11);
	ps_rados_object_name(&name, text);
	assert_int_equal(strspn(text, "0123456789abcdef"), 2 * PS_PAD_NAME);
	assert_true(ps_rados_pad_name(text, strlen(text), &back));
	assert_memory_equal(name.bytes, back.bytes, PS_PAD_NAME);
	assert_false(ps_rados_pad_name(text, strlen(text) - 1, &back));
	text[5] = 'A';
	assert_false(ps_rados_pad_name(text, strlen(text), &back));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(each_result_of_a_write_is_in_its_class),
	    TEST(a_read_is_never_unknown),
	    TEST(only_a_remove_forces_its_way_into_a_full_pool),
	    TEST(what_was_not_sent_is_surely_not_carried_out),
	    TEST(a_read_tells_whose_bytes_they_are),
	    TEST(what_has_no_identity_of_ours_shows_none),
	    TEST(bytes_of_another_length_than_the_object_s_are_refused),
	    TEST(a_late_answer_finds_its_buffer),
	    TEST(a_recalled_write_is_not_a_conflict),
	    TEST(a_recall_that_is_answered_at_once_tells_why),
	    TEST(what_has_landed_is_not_cancelled_any_more),
	    TEST(answers_come_after_their_client_too),
	    TEST(answers_come_while_their_client_closes),
	    cmocka_unit_test(names_are_64_hexadecimal_digits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
