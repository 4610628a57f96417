#include "tests/crash/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <padstone/multi_store.h>

#include "base/fail.h"
#include "store/base_internal.h"

enum { PIECE = 37000, BATCH_OBJECTS = 64 };

static enum { OVER_BASE, OVER_MULTI, OVER_TURNS } over = OVER_BASE;
static unsigned opens;
static struct copies *copies; /* of the run at work */
static const struct script_network *network;

bool script_over(const char *stack)
{
	static const char *const names[] = {
	    [OVER_BASE] = "base", [OVER_MULTI] = "multi", [OVER_TURNS] = "turns"};
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(stack ? stack : "base", names[i]) == 0) {
			over = i;
			return true;
		}
	}
	return false;
}

void script_on_network(const struct script_network *on)
{
	network = on;
}

static int closing(ps_storer *base, int err)
{
	char sentence[512];
	if (err) {
		snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
		(void)!ps_close(base);
		ps_fail(err, "%s", sentence);
	}
	return err;
}

/* Few classes in small slabs: what a script puts shares slabs and frames, fills and empties them. */
static int multi_over(ps_storer *base, ps_storer **s)
{
	static const uint32_t slots[] = {64, 512, 1536, 4096};
	const struct ps_multi_options options = {
	    .size = sizeof(options), .slots = slots, .slot_count = 4, .slab_bytes = 8 << 10};
	return closing(base, ps_multi_open(base, &options, s));
}

int store_open(struct sim_disk *disk, bool relaxed, ps_storer **s)
{
	const struct ps_base_options options = {
	    .size = sizeof(options),
	    .background = PS_BACKGROUND_NONE,
	    .durability = relaxed ? PS_RELAXED : PS_DURABLE,
	    .log_bytes = 16 << 10,
	    .initial_bytes = 64 << 10,
	    .memory_budget = 64 << 20,
	};
	bool created = sim_disk_size(disk) == 0;
	ps_storer *base;
	int err = ps_base_open_io(sim_disk_io(disk), created, &options, &base);
	if (err)
		return err;
	if (network)
		return closing(base, network->over(network->arg, base, s));
	if (copies && copies_pushed(copies) && copies_attach(copies, base))
		abort();
	if (over == OVER_MULTI || (over == OVER_TURNS && opens++ % 2 == 1))
		return multi_over(base, s);
	*s = base;
	return PS_OK;
}

struct run *run_new(struct sim_disk *disk, uint64_t seed)
{
	struct run *run = calloc(1, sizeof(*run));
	if (!run)
		abort();
	run->disk = disk;
	run->oracle = oracle_new();
	run->seed = seed;
	run->copies = copies = copies_new();
	return run;
}

void run_free(struct run *run)
{
	if (!run)
		return;
	oracle_free(run->oracle);
	if (copies == run->copies)
		copies = NULL;
	copies_free(run->copies);
	free(run);
}

static size_t now(const struct run *run)
{
	return sim_disk_trace(run->disk)->count;
}

/* A fault explains these. PS_EREADONLY: an earlier one has ended all writing. */
static bool is_fault(int err)
{
	return err == PS_EIO || err == PS_ENOSPC || err == PS_ENOMEM || err == PS_EREADONLY;
}

static bool failed(struct run *run, int err, const char *what)
{
	if (err == PS_OK)
		return false;
	if (!run->faults || !is_fault(err))
		fail_msg("%s: %s: %s", what, ps_error_name(err), ps_last_error_message());
	run->failures++;
	if (strstr(ps_last_error_message(), "outcome unknown"))
		run->unknown = true;
	return true;
}

/* Ends the commit that oracle_begin began, as the call's result says. */
static void ended(struct run *run, int err, bool durable, const char *what)
{
	if (run->unknown && err != PS_EREADONLY)
		fail_msg("%s after a commit of unknown outcome: %s: %s", what, ps_error_name(err),
		         ps_last_error_message());
	bool was_unknown = run->unknown;
	if (!failed(run, err, what)) {
		oracle_end(run->oracle);
		if (durable)
			oracle_durable(run->oracle, now(run));
	} else if (run->unknown && !was_unknown) {
		oracle_end(run->oracle); /* it may be there */
	} else {
		oracle_cancel(run->oracle);
	}
}

static struct oracle_content *fresh(struct run *run, uint64_t size)
{
	return oracle_bytes(run->oracle, size, run->seed * 1000003 + ++run->contents);
}

static struct oracle_content *content_of(const struct run *run, unsigned object)
{
	return run->ids[object] ? oracle_now(run->oracle, run->ids[object]) : NULL;
}

/* The object has an id now: of a call that made it, or none if the call failed. */
static void made(struct run *run, unsigned object, ps_id id, struct oracle_content *content)
{
	oracle_set(run->oracle, id, content);
	if (id)
		oracle_given(run->oracle, id, now(run));
	run->ids[object] = id;
}

/* After a commit of unknown outcome the open tells what became of it, and of the relaxed ones before it. */
static void settle_unknown(struct run *run)
{
	char why[ORACLE_WHY];
	size_t commit;
	if (!run->unknown)
		return;
	if (oracle_match(run->oracle, run->s, oracle_lowest(run->oracle, now(run)),
	                 oracle_commits(run->oracle), &commit, why)) {
		oracle_forget_after(run->oracle, commit);
		run->unknown = false;
		return;
	}
	if (sim_disk_faults(run->disk) == 0)
		fail_msg("open after a commit of unknown outcome: %s", why);
	(void)!ps_close(run->s); /* a fault kept it from being read */
	run->s = NULL;
}

void run_open(struct run *run)
{
	int err = store_open(run->disk, run->relaxed, &run->s);
	if (failed(run, err, "open")) {
		run->s = NULL;
		return;
	}
	settle_unknown(run);
}

void run_close(struct run *run)
{
	if (!run->s)
		return;
	int err = ps_close(run->s);
	run->s = NULL;
	if (!failed(run, err, "close") && !run->unknown)
		oracle_durable(run->oracle, now(run));
}

uint8_t *run_setup(struct run *run, const struct script *script, uint64_t *size)
{
	sim_disk_reset(run->disk, NULL, 0);
	run->relaxed = script->relaxed;
	if (script->setup) {
		run_open(run);
		script->setup(run);
		run_close(run);
	}
	*size = sim_disk_size(run->disk);
	uint8_t *image = malloc(*size + 1);
	if (!image)
		abort();
	sim_disk_image(run->disk, image);
	oracle_restart(run->oracle);
	marks_restart(&run->marks);
	sim_disk_reset(run->disk, image, *size);
	return image;
}

void step_put(struct run *run, unsigned object, uint64_t size)
{
	ps_id id = PS_ID_NONE;
	struct oracle_content *content = fresh(run, size);
	if (!run->s)
		return;
	oracle_begin(run->oracle, now(run));
	int err = ps_put(run->s, content->bytes, size, &id);
	made(run, object, id, content);
	ended(run, err, !run->relaxed, "put");
}

static void changed(struct run *run, unsigned object, int err, struct oracle_content *content,
                    const char *what)
{
	oracle_set(run->oracle, run->ids[object], content);
	ended(run, err, !run->relaxed, what);
}

void step_replace(struct run *run, unsigned object, uint64_t size)
{
	struct oracle_content *content = fresh(run, size);
	if (!run->s || !content_of(run, object))
		return;
	oracle_begin(run->oracle, now(run));
	int err = ps_replace(run->s, run->ids[object], content->bytes, size);
	changed(run, object, err, content, "replace");
}

static struct oracle_content *overlaid(struct run *run, const struct oracle_content *old, uint64_t off,
                                       const struct oracle_content *data)
{
	uint64_t end = data->size ? off + data->size : 0; /* no bytes: no growth */
	return oracle_edited(run->oracle, old, end > old->size ? end : old->size, off, data);
}

void step_write_at(struct run *run, unsigned object, uint64_t off, uint64_t size)
{
	struct oracle_content *old = content_of(run, object), *data = fresh(run, size);
	if (!run->s || !old)
		return;
	oracle_begin(run->oracle, now(run));
	int err = ps_write_at(run->s, run->ids[object], off, data->bytes, size);
	changed(run, object, err, overlaid(run, old, off, data), "write_at");
}

void step_resize(struct run *run, unsigned object, uint64_t size)
{
	struct oracle_content *old = content_of(run, object);
	if (!run->s || !old)
		return;
	oracle_begin(run->oracle, now(run));
	int err = ps_resize(run->s, run->ids[object], size);
	changed(run, object, err, oracle_edited(run->oracle, old, size, 0, NULL), "resize");
}

void step_delete(struct run *run, unsigned object)
{
	if (!run->s || !content_of(run, object))
		return;
	oracle_begin(run->oracle, now(run));
	int err = ps_delete(run->s, run->ids[object]);
	oracle_remove(run->oracle, run->ids[object]);
	ended(run, err, !run->relaxed, "delete");
	if (err == PS_OK)
		run->ids[object] = PS_ID_NONE;
}

void step_alloc(struct run *run, unsigned object, uint64_t size)
{
	ps_id id = PS_ID_NONE;
	if (!run->s)
		return;
	oracle_begin(run->oracle, now(run));
	int err = ps_alloc(run->s, size, &id);
	made(run, object, id, oracle_edited(run->oracle, NULL, size, 0, NULL));
	ended(run, err, !run->relaxed, "alloc");
}

void step_prime(struct run *run, unsigned object, uint64_t size)
{
	ps_id id = PS_ID_PRIME;
	if (!run->s)
		return;
	if (oracle_now(run->oracle, PS_ID_PRIME)) { /* left as it is: no commit */
		if (!failed(run, ps_prime(run->s, size, &id), "prime"))
			run->ids[object] = PS_ID_PRIME;
		return;
	}
	oracle_begin(run->oracle, now(run));
	int err = ps_prime(run->s, size, &id);
	oracle_set(run->oracle, PS_ID_PRIME, oracle_edited(run->oracle, NULL, size, 0, NULL));
	ended(run, err, !run->relaxed, "prime");
	run->ids[object] = err == PS_OK ? PS_ID_PRIME : PS_ID_NONE;
}

void step_alloc_run(struct run *run, unsigned first, unsigned count, uint64_t size)
{
	ps_id ids[SCRIPT_OBJECTS] = {0};
	if (!run->s)
		return;
	oracle_begin(run->oracle, now(run));
	int err = ps_alloc_run(run->s, size, count, ids);
	for (unsigned i = 0; i < count; i++)
		made(run, first + i, ids[i], oracle_edited(run->oracle, NULL, size, 0, NULL));
	ended(run, err, !run->relaxed, "alloc_run");
}

void step_write_batched(struct run *run, unsigned first, unsigned count, uint64_t size)
{
	struct oracle_content *contents[SCRIPT_OBJECTS];
	size_t sizes[SCRIPT_OBJECTS];
	for (unsigned i = 0; i < count; i++) {
		contents[i] = fresh(run, size + i);
		sizes[i] = size + i;
		if (!run->s || !content_of(run, first + i))
			return;
	}
	uint8_t *data = malloc((size + count) * count + 1), *end = data;
	if (!data)
		abort();
	for (unsigned i = 0; i < count; end += sizes[i], i++)
		memcpy(end, contents[i]->bytes, sizes[i]);
	oracle_begin(run->oracle, now(run));
	int err = ps_write_batched(run->s, count, run->ids + first, data, sizes);
	for (unsigned i = 0; i < count; i++)
		oracle_set(run->oracle, run->ids[first + i], contents[i]);
	ended(run, err, !run->relaxed, "write_batched");
	free(data);
}

static int stream_out(ps_writer *w, const struct oracle_content *content)
{
	int err = PS_OK;
	for (uint64_t at = 0; at < content->size && err == PS_OK; at += PIECE)
		err = ps_writer_write(w, content->bytes + at,
		                      content->size - at < PIECE ? content->size - at : PIECE);
	return err;
}

void step_stream(struct run *run, unsigned object, uint64_t size, bool size_known, bool finish)
{
	ps_writer *w;
	struct oracle_content *content = fresh(run, size);
	if (!run->s || (run->ids[object] && !content_of(run, object)))
		return;
	if (failed(run, ps_open_writer(run->s, run->ids[object], size_known ? size : PS_SIZE_UNKNOWN, &w),
	           "writer"))
		return;
	ps_id id = ps_writer_id(w);
	oracle_given(run->oracle, id, now(run));
	oracle_begin(run->oracle, now(run));
	int err = stream_out(w, content);
	if (err != PS_OK || !finish) {
		(void)ps_writer_abort(w);
		oracle_cancel(run->oracle);
		(void)failed(run, err, "writer_write");
		return;
	}
	err = ps_writer_finish(w);
	oracle_set(run->oracle, id, content);
	ended(run, err, !run->relaxed, "writer_finish");
	run->ids[object] = err == PS_OK || run->ids[object] ? id : PS_ID_NONE;
}

static int batch_add(struct run *run, ps_batch *b, const struct batch_op *op, ps_id *id)
{
	struct oracle *o = run->oracle;
	struct oracle_content *data = fresh(run, op->kind == BATCH_ALLOC ? 0 : op->size),
	                      *old = oracle_now(o, *id);
	int err = PS_OK;
	switch (op->kind) {
	case BATCH_PUT:
		err = ps_batch_put(b, data->bytes, op->size, id);
		break;
	case BATCH_ALLOC:
		err = ps_batch_alloc(b, op->size, id);
		data = oracle_edited(o, NULL, op->size, 0, NULL);
		break;
	case BATCH_REPLACE:
		err = ps_batch_replace(b, *id, data->bytes, op->size);
		break;
	case BATCH_WRITE_AT:
		err = ps_batch_write_at(b, *id, op->off, data->bytes, op->size);
		data = overlaid(run, old, op->off, data);
		break;
	case BATCH_DELETE:
		err = ps_batch_delete(b, *id);
		break;
	}
	if (err != PS_OK)
		return err;
	if (op->kind == BATCH_DELETE)
		oracle_remove(o, *id);
	else
		oracle_set(o, *id, data);
	if (op->kind == BATCH_PUT || op->kind == BATCH_ALLOC)
		oracle_given(o, *id, now(run));
	if (op->kind == BATCH_DELETE)
		*id = PS_ID_NONE;
	return PS_OK;
}

/* The batch with all that it takes of the operations, the oracle's commit begun; NULL after a failure. */
static ps_batch *batch_fill(struct run *run, const struct batch_op *ops, size_t count,
                            ps_id ids[SCRIPT_OBJECTS])
{
	ps_batch *b = NULL;
	if (!run->s || failed(run, ps_batch_begin(run->s, &b), "batch_begin"))
		return NULL;
	memcpy(ids, run->ids, sizeof(run->ids));
	oracle_begin(run->oracle, now(run));
	for (size_t i = 0; i < count; i++) {
		bool makes = ops[i].kind == BATCH_PUT || ops[i].kind == BATCH_ALLOC;
		ps_id *id = &ids[ops[i].object];
		if (!makes && (!*id || !oracle_now(run->oracle, *id)))
			continue;
		if (!failed(run, batch_add(run, b, &ops[i], id), "batch operation"))
			continue;
		(void)ps_batch_abort(b);
		oracle_cancel(run->oracle);
		return NULL;
	}
	return b;
}

void step_batch(struct run *run, const struct batch_op *ops, size_t count, enum ps_durability durability)
{
	ps_id ids[SCRIPT_OBJECTS];
	ps_batch *b = batch_fill(run, ops, count, ids);
	if (!b)
		return;
	int err = ps_batch_commit(b, durability);
	bool durable = durability == PS_DURABLE || (durability == PS_DURABILITY_DEFAULT && !run->relaxed);
	ended(run, err, durable, "batch_commit");
	if (err == PS_OK)
		memcpy(run->ids, ids, sizeof(run->ids));
}

void step_batch_abort(struct run *run, const struct batch_op *ops, size_t count)
{
	ps_id ids[SCRIPT_OBJECTS];
	ps_batch *b = batch_fill(run, ops, count, ids);
	if (!b)
		return;
	(void)failed(run, ps_batch_abort(b), "batch_abort");
	oracle_cancel(run->oracle);
}

static void same_bytes(const struct oracle_content *content, uint64_t off, const void *data, size_t len,
                       const char *what)
{
	uint64_t left = off < content->size ? content->size - off : 0;
	if (len > left || memcmp(data, content->bytes + off, len) != 0)
		fail_msg("%s: other bytes than were written", what);
}

static void read_by_view(struct run *run, ps_id id, const struct oracle_content *content)
{
	struct ps_view view;
	uint64_t off = content->size / 3, len = content->size / 2;
	if (!failed(run, ps_view(run->s, id, &view), "view")) {
		same_bytes(content, 0, view.data, view.len, "view");
		assert_int_equal(view.len, content->size);
		assert_int_equal(ps_view_release(&view), PS_OK);
	}
	if (!failed(run, ps_view_at(run->s, id, off, len, &view), "view_at")) {
		same_bytes(content, off, view.data, view.len, "view_at");
		assert_int_equal(ps_view_release(&view), PS_OK);
	}
}

static void read_by_stream(struct run *run, ps_id id, const struct oracle_content *content, uint8_t *buffer)
{
	ps_reader *r;
	size_t got = 0;
	if (failed(run, ps_open_reader(run->s, id, &r), "open_reader"))
		return;
	if (!failed(run, ps_reader_seek(r, content->size / 2), "reader_seek") &&
	    !failed(run, ps_reader_read(r, buffer, PIECE, &got), "reader_read"))
		same_bytes(content, content->size / 2, buffer, got, "reader_read");
	assert_int_equal(ps_reader_finish(r), PS_OK);
}

void step_read(struct run *run, unsigned object)
{
	const struct oracle_content *content = content_of(run, object);
	if (!run->s || !content || run->unknown)
		return;
	ps_id id = run->ids[object];
	size_t len = 0, room = content->size + PIECE;
	struct ps_info info;
	uint8_t *buffer = malloc(room);
	if (!buffer)
		abort();
	struct ps_get_many one = {.id = id, .offset = content->size / 4, .buf = buffer, .cap = room};
	read_by_view(run, id, content);
	read_by_stream(run, id, content, buffer);
	if (!failed(run, ps_read_at(run->s, id, content->size / 2, buffer, 100, &len), "read_at"))
		same_bytes(content, content->size / 2, buffer, len, "read_at");
	if (!failed(run, ps_get_many(run->s, 1, &one), "get_many") &&
	    !failed(run, one.status, "one of get_many"))
		same_bytes(content, one.offset, buffer, one.len, "get_many");
	if (!failed(run, ps_get(run->s, id, buffer, room, &len), "get")) {
		assert_int_equal(len, content->size);
		same_bytes(content, 0, buffer, len, "get");
	}
	if (!failed(run, ps_info(run->s, id, &info), "info"))
		assert_int_equal(info.size, content->size);
	free(buffer);
}

void step_sync(struct run *run)
{
	if (run->s && !failed(run, ps_sync(run->s), "sync") && !run->unknown)
		oracle_durable(run->oracle, now(run));
}

void step_compact(struct run *run)
{
	int err = run->s ? ps_compact(run->s, 0, NULL, NULL) : PS_OK;
	if (err != PS_ENOTSUP)
		(void)failed(run, err, "compact");
}

static size_t now_of(void *arg)
{
	return now(arg);
}

void step_cut(struct run *run)
{
	char why[ORACLE_WHY] = "";
	if (!run->s || run->unknown)
		return;
	int err = marks_cut(&run->marks, run->oracle, run->s, now_of, run, why);
	if (err > 0)
		fail_msg("%s", why);
	if (!failed(run, err, "cut"))
		oracle_durable(run->oracle, now(run));
}

void step_note(struct run *run)
{
	if (run->s && !network)
		(void)failed(run, marks_note(&run->marks, run->s, now_of, run), "note");
}

static int evict_to_copies(struct run *run)
{
	int err = copies_attach(run->copies, run->s);
	return err ? err : ps_backing_evict(run->s, 0, NULL, NULL, NULL);
}

/* A failed push leaves some versions more than it says. */
void step_evict(struct run *run)
{
	if (!run->s || run->unknown)
		return;
	int err = network ? network->push(network->arg, run->s) : copies_push(run->copies, run->s);
	if (failed(run, err, "push"))
		return;
	oracle_durable(run->oracle, now(run));
	if (network)
		err = network->evict(network->arg, run->s);
	else
		err = evict_to_copies(run);
	(void)failed(run, err, "evict");
}

void step_reopen(struct run *run)
{
	run_close(run);
	run_open(run);
}
