/* The token pool as those see it who do I/O: a disk read, write or flush, and a network request, each hold
 * one token while they are in flight. The pool itself is made above (concurrent/token_pool.h) and handed
 * down; where there is none (NULL), nothing is asked for.
 *
 * A thread that holds a token does its I/O and nothing else: it waits for no lock and for no second token. */
#ifndef PS_TOKENS_H
#define PS_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef PS_CHECK_ORDER
#include <assert.h>
#endif

enum ps_token_kind { PS_TOKEN_DISK, PS_TOKEN_NETWORK, PS_TOKEN_KINDS };
enum ps_token_class { PS_TOKEN_FOREGROUND, PS_TOKEN_BACKGROUND, PS_TOKEN_CLASSES };
/* Wherever the classes wait for the same thing: every eighth turn is the background's. */
enum { PS_TOKEN_BACKGROUND_TURN = 8 };

struct ps_tokens;
struct ps_tokens_ops {
	/* Blocks until there is a token of this kind. */
	void (*acquire)(struct ps_tokens *tokens, enum ps_token_kind kind, enum ps_token_class class);
	/* How many of `n` there were at once, 0 to n: never blocks, passes nobody who waits. */
	size_t (*try_acquire)(struct ps_tokens *tokens, enum ps_token_kind kind, size_t n);
	void (*release)(struct ps_tokens *tokens, enum ps_token_kind kind, size_t n);
};

/* First member of a pool. */
struct ps_tokens {
	const struct ps_tokens_ops *ops;
};

/* Of the calling thread, from now on: what it does for later, or for the whole store, waits behind what a
 * caller waits for. Returns the class that it had. Foreground at first. */
enum ps_token_class ps_tokens_set_class(enum ps_token_class class);
enum ps_token_class ps_tokens_class(void);

/* The order of what a thread waits for, checked where PS_CHECK_ORDER is defined: locks first, tokens last. */
#ifdef PS_CHECK_ORDER
extern _Thread_local size_t ps_tokens_of_thread;
static inline void ps_tokens_assert_none(void)
{
	assert(ps_tokens_of_thread == 0);
}
static inline void ps_tokens_note(size_t taken, size_t given)
{
	ps_tokens_of_thread += taken - given;
}
#else
static inline void ps_tokens_assert_none(void)
{
}
static inline void ps_tokens_note(size_t taken, size_t given)
{
	(void)taken, (void)given;
}
#endif

static inline void ps_tokens_take(struct ps_tokens *tokens, enum ps_token_kind kind)
{
	if (__builtin_expect(tokens != NULL, 0)) {
		ps_tokens_assert_none();
		tokens->ops->acquire(tokens, kind, ps_tokens_class());
		ps_tokens_note(1, 0);
	}
}

static inline void ps_tokens_give(struct ps_tokens *tokens, enum ps_token_kind kind)
{
	if (__builtin_expect(tokens != NULL, 0)) {
		ps_tokens_note(0, 1);
		tokens->ops->release(tokens, kind, 1);
	}
}

#endif
