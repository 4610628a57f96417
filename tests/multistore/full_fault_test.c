/* Calls of the contract on a store whose contents are away, while the network fails, hangs, is late or lies
 * at the k-th request, once or from there on: the right answer or an error that says what is wrong, never
 * other bytes; a call that failed has changed nothing; and all is there once the network is well.
 *
 * usage: full_fault_test [STRIDE]: only every so-manieth combination */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"

static unsigned stride = 1;

enum { OBJECTS = 4, LARGEST = 300000, HANG_MS = 25, MOST_REQUESTS = 12 };
static const size_t sizes[OBJECTS] = {100, 20000, 70000, LARGEST};

struct faulty {
	struct world w;
	struct ps_multi_options options;
	ps_id id[OBJECTS];
	uint8_t *bytes[OBJECTS]; /* as they should be */
	uint8_t *got;
	ps_mem_snapshot *past;
	struct ps_pad_name other;
	bool changed; /* an object, since the last push */
	unsigned right, refused;
};

/* ---- calls: PS_OK, with an answer that was compared, or the call's error ---- */

static void compare(const struct faulty *f, unsigned o, size_t off, const void *got, size_t len,
                    const char *what)
{
	if (memcmp(got, f->bytes[o] + off, len) != 0)
		fail_msg("%s of object %u: other bytes than were written", what, o);
}

static int call_get(struct faulty *f, unsigned o)
{
	size_t len = 0;
	int err = ps_get(f->w.s, f->id[o], f->got, LARGEST, &len);
	if (!err) {
		assert_int_equal(len, sizes[o]);
		compare(f, o, 0, f->got, len, "get");
	}
	return err;
}

static int call_read_at(struct faulty *f, unsigned o)
{
	size_t off = sizes[o] / 2, len = 0;
	int err = ps_read_at(f->w.s, f->id[o], off, f->got, 40, &len);
	if (!err) {
		assert_int_equal(len, 40);
		compare(f, o, off, f->got, len, "read_at");
	}
	return err;
}

static int call_get_many(struct faulty *f, unsigned o)
{
	struct ps_get_many one = {.id = f->id[o], .buf = f->got, .cap = LARGEST};
	int err = ps_get_many(f->w.s, 1, &one);
	if (!err)
		err = one.status;
	if (!err) {
		assert_int_equal(one.len, sizes[o]);
		compare(f, o, 0, f->got, one.len, "get_many");
	}
	return err;
}

static int call_view(struct faulty *f, unsigned o)
{
	struct ps_view v;
	int err = ps_view(f->w.s, f->id[o], &v);
	if (!err) {
		assert_int_equal(v.len, sizes[o]);
		compare(f, o, 0, v.data, v.len, "view");
		assert_ok(ps_view_release(&v));
	}
	return err;
}

static int call_reader(struct faulty *f, unsigned o)
{
	ps_reader *r;
	size_t at = 0, n = 1;
	int err = ps_open_reader(f->w.s, f->id[o], &r);
	if (err)
		return err;
	while (!err && n > 0) {
		err = ps_reader_read(r, f->got + at, LARGEST - at < 50000 ? LARGEST - at : 50000, &n);
		at += err ? 0 : n;
		n = at == LARGEST ? 0 : n;
	}
	compare(f, o, 0, f->got, at, "reader");
	assert_true(err || at == sizes[o]);
	assert_ok(ps_reader_finish(r));
	return err;
}

static int call_write_at(struct faulty *f, unsigned o)
{
	size_t off = sizes[o] / 3;
	int err = ps_write_at(f->w.s, f->id[o], off, "written", 7);
	if (!err)
		memcpy(f->bytes[o] + off, "written", 7);
	f->changed |= !err;
	return err;
}

/* Shorter, and as long again: the end is zeros. */
static int call_resize(struct faulty *f, unsigned o)
{
	size_t less = sizes[o] - sizes[o] / 4;
	int err = ps_resize(f->w.s, f->id[o], less);
	if (err)
		return err;
	f->changed = true;
	memset(f->bytes[o] + less, 0, sizes[o] - less);
	err = ps_resize(f->w.s, f->id[o], sizes[o]);
	if (!err)
		return PS_OK;
	ps_mem_rule_remove(blobs_world(f->w.b), 0); /* so that there is one length again */
	assert_ok(ps_resize(f->w.s, f->id[o], sizes[o]));
	return err;
}

static int call_replace(struct faulty *f, unsigned o)
{
	blobs_fill(f->got, sizes[o], roll(&f->w.dice));
	int err = ps_replace(f->w.s, f->id[o], f->got, sizes[o]);
	if (!err)
		memcpy(f->bytes[o], f->got, sizes[o]);
	f->changed |= !err;
	return err;
}

static int call_batch(struct faulty *f, unsigned o)
{
	ps_batch *b;
	unsigned other = (o + 1) % OBJECTS;
	assert_ok(ps_batch_begin(f->w.s, &b));
	int err = ps_batch_write_at(b, f->id[o], 9, "batched", 7);
	if (!err)
		err = ps_batch_write_at(b, f->id[other], 30, "batched", 7);
	if (err) {
		assert_ok(ps_batch_abort(b));
		return err;
	}
	err = ps_batch_commit(b, PS_RELAXED);
	if (!err) {
		memcpy(f->bytes[o] + 9, "batched", 7);
		memcpy(f->bytes[other] + 30, "batched", 7);
	}
	f->changed |= !err;
	return err;
}

static int call_check(struct faulty *f, unsigned o)
{
	(void)o;
	return ps_check(f->w.s, PS_CHECK_FULL, NULL, NULL);
}

static int call_compact(struct faulty *f, unsigned o)
{
	(void)o;
	return ps_compact(f->w.s, 0, NULL, NULL);
}

static int call_push(struct faulty *f, unsigned o)
{
	assert_ok(ps_replace(f->w.s, f->id[o], f->bytes[o], sizes[o]));
	f->changed = true;
	return ps_push(f->w.s, NULL, &f->w.options, NULL);
}

static int call_evict(struct faulty *f, unsigned o)
{
	(void)o;
	return ps_evict(f->w.s, 0, NULL, NULL, NULL);
}

static const struct call {
	const char *name;
	int (*make)(struct faulty *f, unsigned o);
} calls[] = {
    {"get", call_get},       {"read_at", call_read_at}, {"get_many", call_get_many},
    {"view", call_view},     {"reader", call_reader},   {"write_at", call_write_at},
    {"resize", call_resize}, {"replace", call_replace}, {"batch", call_batch},
    {"check", call_check},   {"compact", call_compact}, {"push", call_push},
    {"evict", call_evict},
};

/* ---- the store ---- */

static void open_it(struct faulty *f, uint32_t timeout_ms)
{
	const struct ps_base_options base = {.size = sizeof(base),
	                                     .durability = PS_RELAXED,
	                                     .memory_budget = 4 << 20,
	                                     .pin_limit = 1 << 30,
	                                     .io = PS_BASE_IO_BUFFERED,
	                                     .background = PS_BACKGROUND_NONE};
	f->w.b->options.timeout_ms = timeout_ms;
	blobs_reopen(f->w.b);
	f->options =
	    (struct ps_multi_options){.size = sizeof(f->options), .remote = f->w.b->r, .log_ms = PS_LOG_OFF};
	assert_ok(ps_multi_open_at(f->w.path, &base, &f->options, &f->w.s));
}

static void push_and_evict(struct faulty *f)
{
	if (f->changed)
		assert_ok(ps_push(f->w.s, NULL, &f->w.options, NULL));
	f->changed = false;
	assert_ok(ps_evict(f->w.s, 0, NULL, NULL, NULL));
}

static void faulty_new(struct faulty *f)
{
	struct ps_pad_name names[64];
	memset(f, 0, sizeof(*f));
	world_new(&f->w, "mem", 2);
	f->w.options.pack_bytes = 100000;
	ps_mem_keep_past(blobs_world(f->w.b), 2);
	assert_ok(ps_close(f->w.s));
	open_it(f, 2000);
	f->got = malloc(LARGEST);
	assert_non_null(f->got);
	for (unsigned o = 0; o < OBJECTS; o++) {
		f->bytes[o] = malloc(sizes[o]);
		assert_non_null(f->bytes[o]);
		blobs_fill(f->bytes[o], sizes[o], o + 1);
		assert_ok(ps_put(f->w.s, f->bytes[o], sizes[o], &f->id[o]));
		f->changed = true;
		push_and_evict(f);
		if (o == 1)
			assert_ok(ps_mem_snapshot_take(blobs_world(f->w.b), 0, &f->past));
	}
	assert_true(blobs_names(f->w.b, names, 64) > 2);
	f->other = names[1];
}

static void faulty_free(struct faulty *f)
{
	for (unsigned o = 0; o < OBJECTS; o++)
		free(f->bytes[o]);
	free(f->got);
	ps_mem_snapshot_free(f->past);
	world_free(&f->w);
}

/* ---- the loop ---- */

static bool is_refusal(int err)
{
	return err == PS_EAUTH || err == PS_EROLLBACK || err == PS_EFORK || err == PS_ELOST ||
	       err == PS_ESUPERSEDED || err == PS_EUNAVAILABLE || err == PS_ETIMEDOUT || err == PS_ECORRUPT ||
	       err == PS_EACCES || err == PS_ENOSPC;
}

static void expect_all(struct faulty *f, const char *name, const struct ps_mem_rule *rule)
{
	for (unsigned o = 0; o < OBJECTS; o++) {
		int err = call_get(f, o);
		if (err)
			fail_msg("after %s under fault %d from request %llu on: get: %s (%s)", name,
			         (int)rule->fault, (unsigned long long)rule->first, ps_error_name(err),
			         ps_last_error_message());
	}
	assert_ok(ps_check(f->w.s, PS_CHECK_QUICK, NULL, NULL));
}

/* True: the rule was applied. */
static bool call_under(struct faulty *f, const struct call *call, const struct ps_mem_rule *rule)
{
	bool hangs = rule->fault == PS_MEM_HANG;
	unsigned number;
	assert_ok(ps_close(f->w.s));
	open_it(f, hangs ? HANG_MS : 2000); /* nothing of packs is in memory */
	assert_ok(ps_mem_rule_add(blobs_world(f->w.b), rule, &number));
	int err = call->make(f, (unsigned)rule->first % OBJECTS);
	bool hit = ps_mem_rule_hits(blobs_world(f->w.b), number) > 0;
	ps_mem_rule_remove(blobs_world(f->w.b), 0);
	(void)ps_mem_deliver(blobs_world(f->w.b));
	if (err && (!is_refusal(err) || (!hit && !hangs)))
		fail_msg("%s under fault %d from request %llu on: %s (%s)", call->name, (int)rule->fault,
		         (unsigned long long)rule->first, ps_error_name(err), ps_last_error_message());
	if (err)
		assert_true(strlen(ps_last_error_message()) > 10);
	f->refused += err != PS_OK;
	f->right += err == PS_OK && hit;
	if (hangs) {
		assert_ok(ps_close(f->w.s));
		open_it(f, 2000);
	}
	expect_all(f, call->name, rule);
	push_and_evict(f);
	return hit;
}

static void every_call_is_right_or_refused(void **state)
{
	static const enum ps_mem_fault faults[] = {
	    PS_MEM_LOSE_REQUEST, PS_MEM_VANISH,   PS_MEM_LOSE_REPLY, PS_MEM_LATE, PS_MEM_TWICE,
	    PS_MEM_HANG,         PS_MEM_DENIED,   PS_MEM_ABSENT,     PS_MEM_OLD,  PS_MEM_FROZEN,
	    PS_MEM_FLIP,         PS_MEM_TRUNCATE, PS_MEM_EXTEND,     PS_MEM_OTHER};
	const size_t fault_count = sizeof(faults) / sizeof(*faults),
	             call_count = sizeof(calls) / sizeof(*calls);
	struct faulty f;
	(void)state;
	faulty_new(&f);
	for (size_t n = 0; n < call_count * fault_count * 2; n += stride) {
		struct ps_mem_rule rule = {.fault = faults[n / 2 % fault_count],
		                           .count = n % 2,
		                           .amount = 1,
		                           .snapshot = f.past,
		                           .other = f.other};
		for (rule.first = 1; rule.first <= MOST_REQUESTS; rule.first++)
			if (!call_under(&f, &calls[n / 2 / fault_count], &rule))
				break;
	}
	print_message("%u calls were refused, %u right in spite of the fault\n", f.refused, f.right);
	assert_true(f.refused > 0 && f.right > 0);
	faulty_free(&f);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(every_call_is_right_or_refused)};
	if (argc > 1)
		stride = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests_name("calls on a network that fails", tests, NULL, NULL);
}
