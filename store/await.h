/* What a durable call has still to wait for when it holds no lock any more: another layer's promise on top of
 * the file's own durability. Whoever hears of a durable commit says so in the committing thread; the gate
 * (storer.c) meets it at the end of the outermost call, when all layers have given back what they locked. */
#ifndef PS_AWAIT_H
#define PS_AWAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns when `commit` is what was promised, or the error that the call ends with: it stands all the same.
 */
typedef int (*ps_await_fn)(void *arg, uint64_t commit);

/* The call that this thread is in waits so before it returns, if it succeeds. The last one counts. */
void ps_await(ps_await_fn fn, void *arg, uint64_t commit);

/* ---- the gate's ---- */

/* Of this thread. What was committed outside of any call is nobody's to wait for. */
struct ps_awaited {
	unsigned depth; /* calls of layers within each other */
	ps_await_fn fn; /* NULL: nothing is waited for */
	void *arg;
	uint64_t commit;
};
extern __attribute__((visibility("hidden"))) _Thread_local struct ps_awaited ps_awaited;

/* await.c: at the end of the outermost call. */
int ps_await_now(int result);

static inline void ps_await_begin(void)
{
	if (ps_awaited.depth++ == 0)
		ps_awaited.fn = NULL;
}

/* result: the call's own; gives what it ends with. */
static inline int ps_await_end(int result)
{
	bool outermost = --ps_awaited.depth == 0;
	return __builtin_expect(outermost && ps_awaited.fn, 0) ? ps_await_now(result) : result;
}

/* One call that may commit: its result, once all that it has to wait for has come. */
#define PS_AWAITED(call)                                                                                     \
	({                                                                                                   \
		ps_await_begin();                                                                            \
		ps_await_end(call);                                                                          \
	})

#endif
