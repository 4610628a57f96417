/* A layer made outside the tree: it counts what is put and forwards all else. */
#include <stdio.h>

#include <padstone/padstone.h>
#include <padstone/storer_impl.h>

struct counter {
	ps_storer base;
	unsigned puts;
};

static int counter_put(ps_storer *s, const void *data, size_t len, ps_id *id)
{
	((struct counter *)s)->puts++;
	return ps_forward_put(s, data, len, id);
}

/* Forwards, with one slot of its own: filled at run time, so that no initialiser is written over. */
static struct ps_storer_ops counter_ops = {.name = "counter", PS_FORWARD_OPS};

int main(void)
{
	static struct counter counter;
	ps_storer *inner = NULL;
	ps_id id = PS_ID_NONE;
	char back[4];
	size_t len = 0;
	counter_ops.put = counter_put;
	if (ps_memory_open(NULL, &inner) != PS_OK ||
	    ps_storer_init(&counter.base, &counter_ops, inner) != PS_OK)
		return 1;
	if (ps_put(&counter.base, "pad", 3, &id) != PS_OK ||
	    ps_get(&counter.base, id, back, sizeof(back), &len) != PS_OK)
		return 1;
	return counter.puts != 1 || len != 3 || ps_close(&counter.base) != PS_OK;
}
