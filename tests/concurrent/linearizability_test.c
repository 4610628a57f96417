/* Histories of four threads on few hot objects, recorded and explained. The store below the concurrent layer
 * does everything in pieces, so that only the locks make calls look as if each took one moment.
 *
 * usage: linearizability_test STACK HISTORIES [SEED]
 * STACK: locked, locked-twice, memory, base; evicting: base, whose contents leave all the time; network: the
 * whole stack on a network, likewise; or split, which has no locks and must be caught. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <padstone/padstone.h>

#include "tests/concurrent/history.h"
#include "tests/concurrent/layers.h"
#include "tests/multistore/full_stack.h"
#include "tests/support/evicting.h"
#include "tests/support/patient.h"

enum { HOT = 3, INLINE = HISTORY_WORDS * 8 };

struct recorder {
	ps_storer *s;
	struct history history;
	_Atomic(uint64_t) clock;
	atomic_uchar hot[HOT]; /* numbers of the objects that are in use now */
	_Atomic(ps_id) ids[HISTORY_OBJECTS];
	atomic_uchar objects; /* numbers given out */
	atomic_int surprise;  /* an error that no call may have */
	pthread_barrier_t start, end;
	atomic_bool stop;
};

struct player {
	struct recorder *r;
	unsigned thread;
	uint64_t random;
	pthread_t pthread;
};

static uint64_t next_random(struct player *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return p->random >> 11;
}

/* A word that nothing else writes in this history. */
static uint64_t new_word(const struct player *p, unsigned call, unsigned part, unsigned place)
{
	return (uint64_t)(p->thread + 1) << 24 | call << 8 | part << 4 | place;
}

static void fill(struct player *p, unsigned call, unsigned part, struct call_part *to)
{
	for (unsigned w = 0; w < HISTORY_WORDS; w++)
		to->word[w] = new_word(p, call, part, w);
	to->place = (uint8_t)(next_random(p) % HISTORY_WORDS);
}

static ps_id id_of(const struct player *p, const struct call_part *part)
{
	return atomic_load(&p->r->ids[part->object]);
}

static int do_put(struct player *p, struct call *c, unsigned slot)
{
	ps_id id;
	int err = ps_put(p->r->s, c->part[0].word, INLINE, &id);
	if (!err) {
		atomic_store(&p->r->ids[c->part[0].object], id);
		atomic_store(&p->r->hot[slot], c->part[0].object);
	}
	return err;
}

static int do_get(struct player *p, struct call *c)
{
	struct contents_seen *seen = &c->part[0].seen;
	size_t len = 0;
	int err = ps_get(p->r->s, id_of(p, &c->part[0]), seen->word, INLINE, &len);
	seen->found = !err;
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static int do_get_many(struct player *p, struct call *c)
{
	struct ps_get_many reqs[HISTORY_NAMED];
	for (unsigned i = 0; i < c->parts; i++)
		reqs[i] = (struct ps_get_many){
		    .id = id_of(p, &c->part[i]), .buf = c->part[i].seen.word, .cap = INLINE};
	int err = ps_get_many(p->r->s, c->parts, reqs);
	for (unsigned i = 0; i < c->parts; i++) {
		c->part[i].seen.found = reqs[i].status == PS_OK;
		if (!err && reqs[i].status && reqs[i].status != PS_ENOTFOUND)
			err = reqs[i].status;
	}
	return err;
}

static int do_batch(struct player *p, struct call *c)
{
	ps_batch *b;
	int err = ps_batch_begin(p->r->s, &b);
	if (err)
		return err;
	for (unsigned i = 0; i < c->parts && !err; i++) {
		const struct call_part *part = &c->part[i];
		if (part->kind == PART_REPLACE)
			err = ps_batch_replace(b, id_of(p, part), part->word, INLINE);
		else if (part->kind == PART_WRITE_AT)
			err = ps_batch_write_at(b, id_of(p, part), part->place * 8U, &part->word[part->place],
			                        8);
		else
			err = ps_batch_delete(b, id_of(p, part));
	}
	return err ? err : ps_batch_commit(b, PS_RELAXED);
}

static int do_one(struct player *p, struct call *c)
{
	const struct call_part *part = &c->part[0];
	ps_storer *s = p->r->s;
	if (c->kind == CALL_REPLACE)
		return ps_replace(s, id_of(p, part), part->word, INLINE);
	if (c->kind == CALL_WRITE_AT)
		return ps_write_at(s, id_of(p, part), part->place * 8U, &part->word[part->place], 8);
	return ps_delete(s, id_of(p, part));
}

/* Which call, on which objects. Objects are put to use as long as there are numbers for them. */
static unsigned choose(struct player *p, unsigned number, struct call *c)
{
	static const enum call_kind mostly[] = {CALL_GET,      CALL_GET,      CALL_GET,   CALL_REPLACE,
	                                        CALL_WRITE_AT, CALL_WRITE_AT, CALL_BATCH, CALL_BATCH,
	                                        CALL_GET_MANY, CALL_DELETE};
	struct recorder *r = p->r;
	unsigned slot = (unsigned)(next_random(p) % HOT),
	         other = (slot + 1 + (unsigned)(next_random(p) % (HOT - 1))) % HOT;
	uint64_t dice = next_random(p);
	memset(c, 0, sizeof(*c));
	c->kind = mostly[dice % (sizeof(mostly) / sizeof(mostly[0]))];
	/* Deletes are rare, or nothing would be left to race for. */
	if (c->kind == CALL_DELETE && dice / 64 % 2)
		c->kind = CALL_PUT;
	c->parts = c->kind == CALL_BATCH || c->kind == CALL_GET_MANY ? 2 : 1;
	c->part[0].object = atomic_load(&r->hot[slot]);
	c->part[1].object = atomic_load(&r->hot[other]);
	if (c->part[0].object == c->part[1].object)
		c->parts = 1;
	c->part[0].kind = c->kind == CALL_WRITE_AT ? PART_WRITE_AT
	                  : c->kind == CALL_DELETE ? PART_DELETE
	                                           : PART_REPLACE;
	if (c->kind == CALL_BATCH) {
		c->part[0].kind = dice / 128 % 16 == 0 ? PART_DELETE : PART_REPLACE;
		c->part[1].kind = PART_WRITE_AT;
	}
	for (unsigned i = 0; i < c->parts; i++)
		fill(p, number, i, &c->part[i]);
	if (c->kind == CALL_PUT) {
		unsigned object = atomic_load(&r->objects);
		while (object < HISTORY_OBJECTS &&
		       !atomic_compare_exchange_weak(&r->objects, &(unsigned char){(unsigned char)object},
		                                     (unsigned char)(object + 1)))
			object = atomic_load(&r->objects);
		if (object < HISTORY_OBJECTS)
			c->part[0].object = (uint8_t)object;
		else
			c->kind = CALL_REPLACE;
	}
	return slot;
}

static void play(struct player *p)
{
	struct recorder *r = p->r;
	for (unsigned i = 0; i < HISTORY_CALLS; i++) {
		struct call *c = &r->history.calls[p->thread][i];
		unsigned slot = choose(p, i, c);
		c->began = atomic_fetch_add(&r->clock, 1);
		int err = c->kind == CALL_PUT        ? do_put(p, c, slot)
		          : c->kind == CALL_GET      ? do_get(p, c)
		          : c->kind == CALL_GET_MANY ? do_get_many(p, c)
		          : c->kind == CALL_BATCH    ? do_batch(p, c)
		                                     : do_one(p, c);
		c->ended = atomic_fetch_add(&r->clock, 1);
		c->missing = err == PS_ENOTFOUND;
		if (err && err != PS_ENOTFOUND)
			atomic_store(&r->surprise, err);
	}
}

static void *player_main(void *arg)
{
	struct player *p = arg;
	(void)ps_concurrent_set_wait(PATIENT_LOCKS_MS);
	for (;;) {
		pthread_barrier_wait(&p->r->start);
		if (atomic_load(&p->r->stop))
			return NULL;
		play(p);
		pthread_barrier_wait(&p->r->end);
	}
}

static bool prepare(struct recorder *r)
{
	r->history.initial = HOT;
	atomic_store(&r->objects, HOT);
	atomic_store(&r->clock, 1);
	for (unsigned i = 0; i < HOT; i++) {
		const uint64_t words[HISTORY_WORDS] = {1 + 2 * i, 2 + 2 * i};
		ps_id id;
		if (ps_put(r->s, words, sizeof(words), &id))
			return false;
		atomic_store(&r->ids[i], id);
		atomic_store(&r->hot[i], (unsigned char)i);
	}
	return true;
}

static bool clear(struct recorder *r)
{
	for (unsigned i = 0; i < atomic_load(&r->objects); i++) {
		int err = ps_delete(r->s, atomic_load(&r->ids[i]));
		if (err && err != PS_ENOTFOUND)
			return false;
	}
	return true;
}

/* ---- stacks ---- */

static char store_path[64];
/* What leaves a store that is called evicting; it is in a file in memory, for a push flushes four times. */
static struct copies *copies;
enum { PUSH_ONE_IN = 8, LEAVE_ONE_IN = 6 };
static struct full_stack full; /* of the one that is called network */

static int open_stack(const char *name, ps_storer **s)
{
	if (strcmp(name, "network") == 0)
		return full_stack_open(&full, true, s);
	const struct ps_base_options base = {.size = sizeof(base), .durability = PS_RELAXED};
	ps_storer *inner = NULL;
	bool split = strcmp(name, "split") == 0 || strncmp(name, "locked", 6) == 0;
	bool evicts = strcmp(name, "evicting") == 0, on_file = evicts || strcmp(name, "base") == 0;
	int err = on_file ? ps_base_open(store_path, &base, &inner) : ps_memory_open(NULL, &inner);
	if (!err && evicts)
		err = evicting_open(inner, copies, PUSH_ONE_IN, &inner);
	if (!err && split)
		err = split_layer_open(inner, &inner);
	if (!err && strcmp(name, "locked-twice") == 0)
		err = ps_concurrent_open(inner, NULL, &inner);
	if (!err && strcmp(name, "split") != 0)
		err = ps_concurrent_open(inner, NULL, &inner);
	*s = inner;
	return err;
}

/* How many histories could not be explained; -1 if they could not be played. */
static long run(struct recorder *r, uint64_t histories, uint64_t seed, bool expect_bad)
{
	struct player players[HISTORY_THREADS];
	long bad = 0;
	pthread_barrier_init(&r->start, NULL, HISTORY_THREADS + 1);
	pthread_barrier_init(&r->end, NULL, HISTORY_THREADS + 1);
	for (unsigned i = 0; i < HISTORY_THREADS; i++) {
		players[i] =
		    (struct player){.r = r, .thread = i, .random = (seed * 8 + i + 1) * 0x9E3779B97F4A7C15U};
		if (pthread_create(&players[i].pthread, NULL, player_main, &players[i]))
			return -1;
	}
	uint64_t done = 0;
	for (; done < histories && !(expect_bad && bad) && bad < 3; done++) {
		if (!prepare(r))
			return -1;
		pthread_barrier_wait(&r->start);
		pthread_barrier_wait(&r->end);
		if (atomic_load(&r->surprise))
			break;
		if (!history_is_linearizable(&r->history)) {
			fprintf(stderr, "history %" PRIu64 " of seed %" PRIu64 " cannot be explained\n", done,
			        seed);
			if (!expect_bad)
				history_print(&r->history);
			bad++;
		}
		if (!clear(r))
			return -1;
	}
	atomic_store(&r->stop, true);
	pthread_barrier_wait(&r->start);
	for (unsigned i = 0; i < HISTORY_THREADS; i++)
		pthread_join(players[i].pthread, NULL);
	if (atomic_load(&r->surprise))
		fprintf(stderr, "a call was answered with %s\n", ps_error_name(atomic_load(&r->surprise)));
	printf("%" PRIu64 " histories of %d calls, %ld without an order that explains them\n", done,
	       HISTORY_THREADS * HISTORY_CALLS, bad);
	return atomic_load(&r->surprise) ? -1 : bad;
}

/* ---- what stacks stand on ---- */

static int file = -1;

static void ground_new(const char *name, const char *folder)
{
	snprintf(store_path, sizeof(store_path), "%s/store", folder);
	if (strcmp(name, "network") == 0)
		full_stack_new(&full, LEAVE_ONE_IN);
	if (strcmp(name, "evicting") != 0)
		return;
	copies = copies_new();
	file = memfd_create("store", MFD_CLOEXEC);
	snprintf(store_path, sizeof(store_path), "/proc/self/fd/%d", file);
}

/* False: hardly anything has left, or something failed in the background. */
static bool ground_free(uint64_t histories)
{
	bool right = true;
	if (copies) {
		unsigned fetches = copies_counts(copies).fetches;
		printf("%u fetches\n", fetches);
		right = fetches > histories;
		copies_free(copies);
		close(file);
	}
	if (full.b) {
		uint64_t reads = full_stack_reads(&full);
		printf("%" PRIu64 " pushes and %" PRIu64 " evictions in the background, %" PRIu64
		       " requests that read\n",
		       atomic_load(&full.pushes), atomic_load(&full.evictions), reads);
		right = reads > histories && full.pushes > 0 && full.evictions > 0 && full.failed == PS_OK;
		full_stack_free(&full);
	}
	return right;
}

int main(int argc, char **argv)
{
	static struct recorder recorder;
	char folder[] = "/tmp/linearizability-XXXXXX";
	if (argc < 3) {
		fprintf(stderr, "usage: %s STACK HISTORIES [SEED]\n", argv[0]);
		return 2;
	}
	uint64_t histories = strtoull(argv[2], NULL, 0);
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	bool expect_bad = strcmp(argv[1], "split") == 0;
	printf("stack %s, seed %" PRIu64 "\n", argv[1], seed);
	if (!mkdtemp(folder))
		return 1;
	ground_new(argv[1], folder);
	long bad = open_stack(argv[1], &recorder.s) ? -1 : run(&recorder, histories, seed, expect_bad);
	int closed = recorder.s ? ps_close(recorder.s) : PS_OK;
	if (!ground_free(histories))
		bad = -1;
	unlink(store_path);
	rmdir(folder);
	if (expect_bad)
		return bad > 0 && closed == PS_OK ? 0 : 1;
	return bad == 0 && closed == PS_OK ? 0 : 1;
}
