#include "store/await.h"

#include <padstone/error.h>

_Thread_local struct ps_awaited ps_awaited;

void ps_await(ps_await_fn fn, void *arg, uint64_t commit)
{
	ps_awaited.fn = fn;
	ps_awaited.arg = arg;
	ps_awaited.commit = commit;
}

int ps_await_now(int result)
{
	ps_await_fn fn = ps_awaited.fn;
	ps_awaited.fn = NULL;
	return result == PS_OK ? fn(ps_awaited.arg, ps_awaited.commit) : result;
}
