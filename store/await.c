#include "store/await.h"

#include <stddef.h>

#include <padstone/error.h>

static _Thread_local struct {
	unsigned depth; /* calls of layers within each other */
	ps_await_fn fn; /* NULL: nothing is waited for */
	void *arg;
	uint64_t commit;
} awaited;

void ps_await(ps_await_fn fn, void *arg, uint64_t commit)
{
	awaited.fn = fn;
	awaited.arg = arg;
	awaited.commit = commit;
}

/* What was committed outside of any call is nobody's to wait for. */
void ps_await_begin(void)
{
	if (awaited.depth++ == 0)
		awaited.fn = NULL;
}

int ps_await_end(int result)
{
	ps_await_fn fn = awaited.fn;
	if (--awaited.depth > 0 || !fn)
		return result;
	awaited.fn = NULL;
	return result == PS_OK ? fn(awaited.arg, awaited.commit) : result;
}
