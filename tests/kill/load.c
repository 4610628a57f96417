#include "tests/kill/load.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <padstone/base_store.h>

enum { COMPACT_ONE_IN = 150, BUSY_SECONDS = 120 };

struct worker {
	const struct load *load;
	struct thread_journal *t;
	ps_storer *s;
	uint64_t random, seeds;
	uint8_t *bytes;
	bool gone; /* the disk */
	pthread_t thread;
};

static uint64_t draw(struct worker *w, uint64_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (w->random >> 11) % below;
}

static uint64_t draw_size(struct worker *w)
{
	static const uint64_t most[] = {16, 300, 3000, 3000, 9000, 30000, 60000, 200000};
	return draw(w, most[draw(w, sizeof(most) / sizeof(most[0]))] + 1);
}

/* A seed that no content had before. */
static uint64_t new_seed(struct worker *w)
{
	return w->load->seed << 24 ^ w->seeds++ << 2 ^ (uint64_t)(w->t - w->load->journal->thread);
}

static void say(struct worker *w, const char *what, int err)
{
	struct journal *j = w->load->journal;
	if (!atomic_exchange(&j->failed, true))
		snprintf(j->error, sizeof(j->error), "%s: %s: %s", what, ps_error_name(err),
		         ps_last_error_message());
}

/* Ends an op. A disk that goes away leaves it open what became of it. */
static bool ended(struct worker *w, const char *what, int err, bool durable)
{
	if (err == PS_OK) {
		journal_end(w->t, durable);
		return true;
	}
	if (w->load->disk_may_go && (err == PS_EIO || err == PS_EREADONLY))
		w->gone = true;
	else
		say(w, what, err);
	return false;
}

static struct version fresh(struct worker *w, ps_id id)
{
	return (struct version){.id = id, .exists = true, .seed = new_seed(w), .base = draw_size(w)};
}

/* The version with one more write in it; false if it has too many. */
static bool patched(struct worker *w, struct version *v)
{
	if (v->patches == JOURNAL_PATCHES)
		return false;
	uint64_t size = version_size(v), len = 1 + draw(w, draw(w, 3) ? 500 : 70000);
	uint64_t off = draw(w, size + (draw(w, 4) ? 1 : 5000));
	if (off + len > JOURNAL_LARGEST)
		return false;
	v->patch[v->patches++] = (struct patch){new_seed(w), off, len};
	return true;
}

static const struct patch *last_patch(const struct version *v)
{
	return &v->patch[v->patches - 1];
}

static bool do_put(struct worker *w, uint32_t object)
{
	struct op op = {.count = 1, .object = {object}, .version = {fresh(w, PS_ID_NONE)}};
	ps_id id;
	version_bytes(&op.version[0], w->bytes);
	journal_begin(w->t, &op);
	int err = ps_put(w->s, w->bytes, version_size(&op.version[0]), &id);
	if (err == PS_OK)
		journal_learn(w->t, 0, id);
	return ended(w, "put", err, !w->load->relaxed);
}

static bool do_replace(struct worker *w, uint32_t object, const struct version *now)
{
	struct op op = {.count = 1, .object = {object}, .version = {fresh(w, now->id)}};
	version_bytes(&op.version[0], w->bytes);
	journal_begin(w->t, &op);
	int err = ps_replace(w->s, now->id, w->bytes, version_size(&op.version[0]));
	return ended(w, "replace", err, !w->load->relaxed);
}

static bool do_write_at(struct worker *w, uint32_t object, const struct version *now)
{
	struct op op = {.count = 1, .object = {object}, .version = {*now}};
	if (!patched(w, &op.version[0]))
		return do_replace(w, object, now);
	const struct patch *p = last_patch(&op.version[0]);
	seed_bytes(p->seed, w->bytes, p->len);
	journal_begin(w->t, &op);
	int err = ps_write_at(w->s, now->id, p->off, w->bytes, p->len);
	return ended(w, "write_at", err, !w->load->relaxed);
}

static bool do_delete(struct worker *w, uint32_t object, const struct version *now)
{
	struct op op = {.count = 1, .object = {object}, .version = {{.id = now->id}}};
	journal_begin(w->t, &op);
	return ended(w, "delete", ps_delete(w->s, now->id), !w->load->relaxed);
}

/* In pieces, into a new object or over the old one. */
static bool do_stream(struct worker *w, uint32_t object, const struct version *now)
{
	struct op op = {.count = 1, .object = {object}};
	ps_writer *writer;
	op.version[0] = fresh(w, PS_ID_NONE);
	op.version[0].base = 30000 + draw(w, 300000);
	uint64_t size = op.version[0].base, at = 0;
	int err = ps_open_writer(w->s, now->exists ? now->id : PS_ID_NONE,
	                         draw(w, 2) ? size : PS_SIZE_UNKNOWN, &writer);
	version_bytes(&op.version[0], w->bytes);
	if (err == PS_OK)
		op.version[0].id = ps_writer_id(writer);
	journal_begin(w->t, &op);
	while (err == PS_OK && at < size) {
		uint64_t piece = 1 + draw(w, 90000);
		piece = piece < size - at ? piece : size - at;
		err = ps_writer_write(writer, w->bytes + at, piece);
		at += piece;
	}
	if (err == PS_OK)
		err = ps_writer_finish(writer);
	else if (op.version[0].id)
		(void)ps_writer_abort(writer);
	return ended(w, "stream", err, !w->load->relaxed);
}

/* One object's part of a batch: put, delete, replace or write_at. */
static int batch_part(struct worker *w, ps_batch *b, struct version *v, const struct version *now)
{
	if (!now->exists) {
		*v = fresh(w, PS_ID_NONE);
		version_bytes(v, w->bytes);
		return ps_batch_put(b, w->bytes, version_size(v), &v->id);
	}
	if (draw(w, 4) == 0) {
		*v = (struct version){.id = now->id};
		return ps_batch_delete(b, now->id);
	}
	*v = *now;
	if (draw(w, 2) && patched(w, v)) {
		seed_bytes(last_patch(v)->seed, w->bytes, last_patch(v)->len);
		return ps_batch_write_at(b, v->id, last_patch(v)->off, w->bytes, last_patch(v)->len);
	}
	*v = fresh(w, now->id);
	version_bytes(v, w->bytes);
	return ps_batch_replace(b, v->id, w->bytes, version_size(v));
}

static bool do_batch(struct worker *w, uint32_t object)
{
	struct op op = {.count = 2, .object = {object, (object + 5) % JOURNAL_OBJECTS}};
	ps_batch *b = NULL;
	enum ps_durability durability = draw(w, 3) ? PS_RELAXED : PS_DURABLE;
	int err = ps_batch_begin(w->s, &b);
	for (int i = 0; i < 2 && err == PS_OK; i++) {
		struct version now = journal_now(w->t, op.object[i]);
		err = batch_part(w, b, &op.version[i], &now);
	}
	if (err != PS_OK) {
		if (b)
			(void)ps_batch_abort(b);
		op.count = 0;
		journal_begin(w->t, &op);
		return ended(w, "batch", err, false);
	}
	journal_begin(w->t, &op);
	return ended(w, "batch", ps_batch_commit(b, durability), durability == PS_DURABLE);
}

static bool do_sync(struct worker *w)
{
	struct op nothing = {.count = 0};
	journal_begin(w->t, &nothing);
	return ended(w, "sync", ps_sync(w->s), true);
}

static bool do_compact(struct worker *w)
{
	struct op nothing = {.count = 0};
	journal_begin(w->t, &nothing);
	return ended(w, "compact", ps_compact(w->s, 0, NULL, NULL), false);
}

static bool step(struct worker *w)
{
	uint32_t object = (uint32_t)draw(w, JOURNAL_OBJECTS);
	struct version now = journal_now(w->t, object);
	uint64_t kind = draw(w, 20);
	if (journal_undurable(w->t) >= JOURNAL_UNDURABLE || kind == 0)
		return do_sync(w);
	if (w->t == &w->load->journal->thread[0] && draw(w, COMPACT_ONE_IN) == 0)
		return do_compact(w);
	if (kind == 1)
		return do_stream(w, object, &now);
	if (kind < 7)
		return do_batch(w, object);
	if (!now.exists)
		return do_put(w, object);
	if (kind < 10)
		return do_delete(w, object, &now);
	return kind < 15 ? do_replace(w, object, &now) : do_write_at(w, object, &now);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct journal *j = w->load->journal;
	while (!atomic_load(&j->stop) && !atomic_load(&j->failed) && !w->gone && step(w))
		;
	return NULL;
}

int load_open(const char *path, bool relaxed, bool thread, ps_storer **s)
{
	const struct timespec moment = {.tv_nsec = 500000};
	const struct ps_base_options options = {
	    .size = sizeof(options),
	    .durability = relaxed ? PS_RELAXED : PS_DURABLE,
	    .background = thread ? PS_BACKGROUND_THREAD : PS_BACKGROUND_NONE,
	    .initial_bytes = 256 << 10,
	    .log_bytes = 128 << 10,
	    .memory_budget = 16 << 20,
	};
	int err = ps_base_open(path, &options, s);
	/* No event tells that the kernel has finished a dead process's writes. */
	for (unsigned n = 0; err == PS_EBUSY && n < BUSY_SECONDS * 2000; n++) {
		nanosleep(&moment, NULL);
		err = ps_base_open(path, &options, s);
	}
	return err;
}

static bool workers_run(const struct load *load, ps_storer *s)
{
	struct worker workers[JOURNAL_THREADS] = {0};
	bool gone = false;
	for (size_t i = 0; i < JOURNAL_THREADS; i++) {
		struct worker *w = &workers[i];
		*w = (struct worker){.load = load,
		                     .t = &load->journal->thread[i],
		                     .s = s,
		                     .random = (load->seed * JOURNAL_THREADS + i + 1) * 0x9e3779b97f4a7c15U,
		                     .bytes = malloc(JOURNAL_LARGEST)};
		if (!w->bytes || pthread_create(&w->thread, NULL, work, w))
			abort();
	}
	for (size_t i = 0; i < JOURNAL_THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		free(workers[i].bytes);
		gone = gone || workers[i].gone;
	}
	return !gone && !atomic_load(&load->journal->failed);
}

int load_run(const struct load *load)
{
	struct journal *j = load->journal;
	struct worker nobody = {.load = load};
	ps_storer *s;
	int err = load_open(load->path, load->relaxed, load->seed % 4 != 0, &s);
	if (err != PS_OK) {
		if (!load->disk_may_go)
			say(&nobody, "open", err);
		return 1;
	}
	atomic_store(&j->running, true);
	bool right = workers_run(load, s);
	err = ps_close(s);
	if (!right || err != PS_OK) {
		if (right && !load->disk_may_go)
			say(&nobody, "close", err);
		return 1;
	}
	/* All is durable now, the relaxed too. */
	for (size_t i = 0; i < JOURNAL_THREADS; i++)
		atomic_store(&j->thread[i].progress,
		             (atomic_load(&j->thread[i].progress) >> 32) * 0x100000001U);
	return 0;
}
