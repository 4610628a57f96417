/* The token pool. Tokens in use are counted in one word, so that taking one that is there is one
 * compare-and-swap. A thread that finds none sets the word's WAITING bit, which sends every release and every
 * later acquire to the queues behind the latch, until they are empty again. */
#include "concurrent/token_pool.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/tokens.h"
#include "base/sync.h"

enum { KIND_BITS = 20 };

/* The word: tokens in use by the disk, by the network, the number of the last change of limits, WAITING. */
#define KIND_MASK (((uint64_t)1 << KIND_BITS) - 1)
#define CHANGE_ONE ((uint64_t)1 << 2 * KIND_BITS)
#define WAITING ((uint64_t)1 << 63)

struct limits {
	uint32_t tokens, kind[PS_TOKEN_KINDS];
};

struct waiter {
	struct waiter *next;
	enum ps_token_kind kind;
	struct sync_place place;
};

struct queue {
	struct waiter *first, **end;
};

struct pool {
	struct ps_tokens tokens;
	_Atomic(uint64_t) word;
	_Atomic(uint32_t) limit_all, limit_kind[PS_TOKEN_KINDS];
	struct sync_latch latch; /* guards all below */
	struct queue queues[PS_TOKEN_CLASSES];
	unsigned foreground_run;      /* tokens given to the foreground while the background waited */
	enum ps_token_kind last_kind; /* of the last token given to a waiter */
	uint32_t peak, waiting;
	uint64_t waits, wait_ns;
};

static struct pool *pool_of(struct ps_tokens *tokens)
{
	return (struct pool *)(void *)tokens;
}

static inline uint64_t one_of(enum ps_token_kind kind)
{
	return (uint64_t)1 << (kind == PS_TOKEN_DISK ? 0 : KIND_BITS);
}

static inline uint32_t in_use(uint64_t word, enum ps_token_kind kind)
{
	return (uint32_t)(word >> (kind == PS_TOKEN_DISK ? 0 : KIND_BITS) & KIND_MASK);
}

static inline bool fits(struct pool *pool, uint64_t word, enum ps_token_kind kind)
{
	uint32_t all = in_use(word, PS_TOKEN_DISK) + in_use(word, PS_TOKEN_NETWORK);
	return all < atomic_load_explicit(&pool->limit_all, memory_order_relaxed) &&
	       in_use(word, kind) < atomic_load_explicit(&pool->limit_kind[kind], memory_order_relaxed);
}

/* Takes one if there is one for whoever comes. The number of the last change in the word makes the swap fail
 * where the limits have changed since they were read. */
static bool take(struct pool *pool, enum ps_token_kind kind)
{
	sync_step();
	uint64_t word = atomic_load_explicit(&pool->word, memory_order_acquire);
	while (!(word & WAITING) && fits(pool, word, kind)) {
		sync_step();
		if (atomic_compare_exchange_weak(&pool->word, &word, word + one_of(kind)))
			return true;
	}
	return false;
}

/* ---- the queues, under the latch ---- */

static void queue_append(struct queue *queue, struct waiter *waiter)
{
	waiter->next = NULL;
	*queue->end = waiter;
	queue->end = &waiter->next;
}

static void queue_remove(struct queue *queue, struct waiter **link)
{
	struct waiter *waiter = *link;
	*link = waiter->next;
	if (!waiter->next)
		queue->end = link;
}

/* The first that a token could be taken for: one whose kind is at its limit holds up nobody behind it. In a
 * pool of one the kinds take turns. */
static struct waiter **first_that_fits(struct pool *pool, struct queue *queue, uint64_t word)
{
	bool turns = atomic_load_explicit(&pool->limit_all, memory_order_relaxed) == 1;
	struct waiter **fitting = NULL;
	for (struct waiter **link = &queue->first; *link; link = &(*link)->next) {
		if (!fits(pool, word, (*link)->kind))
			continue;
		if (!turns || (*link)->kind != pool->last_kind)
			return link;
		if (!fitting)
			fitting = link;
	}
	return fitting;
}

/* The next to be served, taken out of its queue, or NULL. */
static struct waiter *next_waiter(struct pool *pool, uint64_t word)
{
	struct waiter **link[PS_TOKEN_CLASSES];
	for (int class = 0; class < PS_TOKEN_CLASSES; class ++)
		link[class] = first_that_fits(pool, &pool->queues[class], word);
	enum ps_token_class class = link[PS_TOKEN_FOREGROUND] ? PS_TOKEN_FOREGROUND : PS_TOKEN_BACKGROUND;
	if (link[PS_TOKEN_FOREGROUND] && link[PS_TOKEN_BACKGROUND] &&
	    ++pool->foreground_run >= PS_TOKEN_BACKGROUND_TURN)
		class = PS_TOKEN_BACKGROUND;
	if (!link[class])
		return NULL;
	if (class == PS_TOKEN_BACKGROUND)
		pool->foreground_run = 0;
	struct waiter *waiter = *link[class];
	queue_remove(&pool->queues[class], link[class]);
	pool->last_kind = waiter->kind;
	pool->waiting--;
	return waiter;
}

static void note_peak(struct pool *pool, uint64_t word)
{
	uint32_t all = in_use(word, PS_TOKEN_DISK) + in_use(word, PS_TOKEN_NETWORK);
	if (all > pool->peak)
		pool->peak = all;
}

/* Gives tokens to waiters as far as they go, and ends the waiting state with the last of them. The served,
 * for wake_all() after the latch. */
static struct waiter *serve(struct pool *pool)
{
	struct waiter *served = NULL, **end = &served;
	for (;;) {
		uint64_t word = atomic_load_explicit(&pool->word, memory_order_acquire);
		struct waiter *waiter = pool->waiting ? next_waiter(pool, word) : NULL;
		if (!waiter)
			break;
		/* While the bit is set only releases change the word besides this, so what fitted still fits.
		 */
		word = atomic_fetch_add(&pool->word, one_of(waiter->kind)) + one_of(waiter->kind);
		note_peak(pool, word);
		waiter->next = NULL;
		*end = waiter;
		end = &waiter->next;
	}
	sync_step();
	if (!pool->waiting)
		atomic_fetch_and(&pool->word, ~WAITING);
	return served;
}

static void wake_all(struct waiter *served)
{
	while (served) {
		struct waiter *next = served->next;
		sync_wake(&served->place);
		served = next;
	}
}

/* Queues the caller with the bit set; from then on every release looks into the queues. */
static void enqueue(struct pool *pool, struct waiter *waiter, enum ps_token_class class)
{
	uint64_t word = atomic_fetch_or(&pool->word, WAITING);
	note_peak(pool, word);
	queue_append(&pool->queues[class], waiter);
	pool->waiting++;
	pool->waits++;
}

static void pool_acquire(struct ps_tokens *tokens, enum ps_token_kind kind, enum ps_token_class class)
{
	struct pool *pool = pool_of(tokens);
	if (take(pool, kind))
		return;
	struct waiter waiter = {.kind = kind};
	sync_place_init(&waiter.place);
	uint64_t began = sync_now();
	sync_latch_take(&pool->latch);
	enqueue(pool, &waiter, class);
	/* One may have been released before the bit was seen, and nobody need be in the way of this one. */
	struct waiter *served = serve(pool);
	sync_latch_drop(&pool->latch);
	wake_all(served);
	(void)sync_sleep(&waiter.place, SYNC_NO_DEADLINE);
	uint64_t waited = sync_now() - began;
	sync_latch_take(&pool->latch);
	pool->wait_ns += waited;
	sync_latch_drop(&pool->latch);
}

static size_t pool_try_acquire(struct ps_tokens *tokens, enum ps_token_kind kind, size_t n)
{
	size_t taken = 0;
	while (taken < n && take(pool_of(tokens), kind))
		taken++;
	return taken;
}

static void pool_release(struct ps_tokens *tokens, enum ps_token_kind kind, size_t n)
{
	struct pool *pool = pool_of(tokens);
	sync_step();
	uint64_t before = atomic_fetch_sub(&pool->word, one_of(kind) * n);
	assert(in_use(before, kind) >= n);
	if (__builtin_expect(!(before & WAITING), 1))
		return;
	sync_latch_take(&pool->latch);
	struct waiter *served = serve(pool);
	sync_latch_drop(&pool->latch);
	wake_all(served);
}

static const struct ps_tokens_ops pool_ops = {pool_acquire, pool_try_acquire, pool_release};

/* ---- limits ---- */

static int limits_from(const struct ps_token_options *opts, struct limits *limits)
{
	static const struct ps_token_options defaults = {.size = sizeof(defaults)};
	const struct ps_token_options *o = opts ? opts : &defaults;
	if (o->size != sizeof(*o))
		return ps_fail(PS_EINVAL, "token options: size %zu is not that of a known struct", o->size);
	if (o->tokens > PS_TOKENS_MAX)
		return ps_fail(PS_EINVAL, "token options: %u tokens, %d at most", o->tokens, PS_TOKENS_MAX);
	uint32_t all = o->tokens ? o->tokens : PS_TOKENS_DEFAULT;
	uint32_t network_most = all > 1 ? all - 1 : 1;
	uint32_t half = all > 1 ? all / 2 : 1;
	uint32_t network = o->network ? o->network : half;
	limits->tokens = all;
	limits->kind[PS_TOKEN_DISK] = o->disk && o->disk < all ? o->disk : all;
	limits->kind[PS_TOKEN_NETWORK] = network < network_most ? network : network_most;
	return PS_OK;
}

static void set_limits(struct pool *pool, const struct limits *limits)
{
	atomic_store_explicit(&pool->limit_all, limits->tokens, memory_order_relaxed);
	for (int kind = 0; kind < PS_TOKEN_KINDS; kind++)
		atomic_store_explicit(&pool->limit_kind[kind], limits->kind[kind], memory_order_relaxed);
}

int ps_tokens_resize(struct ps_tokens *tokens, const struct ps_token_options *opts)
{
	struct limits limits;
	if (!tokens)
		return ps_fail(PS_EINVAL, "ps_tokens_resize: the pool is NULL");
	int err = limits_from(opts, &limits);
	if (err)
		return err;
	struct pool *pool = pool_of(tokens);
	sync_latch_take(&pool->latch);
	set_limits(pool, &limits);
	/* The number wraps round within its bits: the bit above them is kept out of it. */
	uint64_t word = atomic_load(&pool->word), changed;
	do {
		changed = (word & WAITING) | ((word + CHANGE_ONE) & ~WAITING);
	} while (!atomic_compare_exchange_weak(&pool->word, &word, changed));
	struct waiter *served = serve(pool);
	sync_latch_drop(&pool->latch);
	wake_all(served);
	return PS_OK;
}

/* ---- the pool ---- */

int ps_tokens_new(const struct ps_token_options *opts, struct ps_tokens **tokens)
{
	struct limits limits;
	if (!tokens)
		return ps_fail(PS_EINVAL, "ps_tokens_new: no place for the pool");
	int err = limits_from(opts, &limits);
	if (err)
		return err;
	struct pool *pool = calloc(1, sizeof(*pool));
	if (!pool)
		return ps_fail(PS_ENOMEM, "no memory for a token pool");
	pool->tokens.ops = &pool_ops;
	for (int class = 0; class < PS_TOKEN_CLASSES; class ++)
		pool->queues[class].end = &pool->queues[class].first;
	set_limits(pool, &limits);
	*tokens = &pool->tokens;
	return PS_OK;
}

int ps_tokens_free(struct ps_tokens *tokens)
{
	if (!tokens)
		return PS_OK;
	struct pool *pool = pool_of(tokens);
	/* The last release may still hold the latch. */
	sync_latch_take(&pool->latch);
	uint64_t word = atomic_load(&pool->word);
	sync_latch_drop(&pool->latch);
	if (in_use(word, PS_TOKEN_DISK) || in_use(word, PS_TOKEN_NETWORK) || word & WAITING)
		return ps_fail(PS_EBUSY, "token pool: %u tokens of the disk and %u of the network are in use",
		               in_use(word, PS_TOKEN_DISK), in_use(word, PS_TOKEN_NETWORK));
	free(pool);
	return PS_OK;
}

int ps_tokens_stats(struct ps_tokens *tokens, struct ps_token_stats *stats)
{
	if (!tokens || !stats)
		return ps_fail(PS_EINVAL, "ps_tokens_stats: the pool or the place for its figures is NULL");
	struct pool *pool = pool_of(tokens);
	sync_latch_take(&pool->latch);
	uint64_t word = atomic_load(&pool->word);
	note_peak(pool, word);
	*stats = (struct ps_token_stats){
	    .tokens = atomic_load_explicit(&pool->limit_all, memory_order_relaxed),
	    .disk_limit = atomic_load_explicit(&pool->limit_kind[PS_TOKEN_DISK], memory_order_relaxed),
	    .network_limit = atomic_load_explicit(&pool->limit_kind[PS_TOKEN_NETWORK], memory_order_relaxed),
	    .disk = in_use(word, PS_TOKEN_DISK),
	    .network = in_use(word, PS_TOKEN_NETWORK),
	    .peak = pool->peak,
	    .waiting = pool->waiting,
	    .waits = pool->waits,
	    .wait_ns = pool->wait_ns,
	};
	sync_latch_drop(&pool->latch);
	return PS_OK;
}
