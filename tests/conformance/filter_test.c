/* A layer that changes nothing over a memory store: what a filter has to write, and the proof that forwarding
 * forwards every call. */
#include <stdlib.h>

#include <padstone/memory_store.h>
#include <padstone/storer_impl.h>

#include "tests/conformance/conformance.h"

/* The inner first: if it is busy nothing has changed. */
static int filter_close(ps_storer *s)
{
	int err = ps_close(s->inner);
	if (err != PS_EBUSY)
		free(s);
	return err;
}

static const struct ps_storer_ops filter_ops = {
    .name = "filter",
    PS_FORWARD_OPS.close = filter_close,
};

/* Owns inner from success on. */
static int filter_open(ps_storer *inner, ps_storer **s)
{
	ps_storer *filter = calloc(1, sizeof(*filter));
	int err = filter ? ps_storer_init(filter, &filter_ops, inner) : PS_ENOMEM;
	if (err)
		free(filter);
	else
		*s = filter;
	return err;
}

/* Two filters, so that one also forwards to a filter. */
static int open_filtered(void *arg, bool fresh, ps_storer **s)
{
	(void)arg, (void)fresh;
	ps_storer *stack = NULL;
	int err = ps_memory_open(NULL, &stack);
	for (int i = 0; i < 2 && !err; i++)
		err = filter_open(stack, &stack);
	if (!err)
		*s = stack;
	else if (ps_close(stack))
		abort();
	return err;
}

int main(void)
{
	const struct conformance_stack stack = {
	    .name = "filter over filter over memory",
	    .open = open_filtered,
	    .expected_caps = PS_CAP_THREADS | PS_CAP_RUNS,
	};
	return conformance_run(&stack);
}
