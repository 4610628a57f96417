/* A storer that does nothing: over it a layer costs what the layer costs. */
#include <stdlib.h>

#include <padstone/storer_impl.h>

#include "bench/bench.h"

static uint32_t nothing_caps(ps_storer *s)
{
	(void)s;
	return PS_CAP_THREADS | PS_CAP_PLACEMENT;
}

static int nothing_get(ps_storer *s, ps_id id, void *buf, size_t cap, size_t *len)
{
	(void)s, (void)id, (void)buf, (void)cap, (void)len;
	return PS_OK;
}

static int nothing_info(ps_storer *s, ps_id id, struct ps_info *info)
{
	(void)s, (void)id, (void)info;
	return PS_OK;
}

static int nothing_resize(ps_storer *s, ps_id id, uint64_t size)
{
	(void)s, (void)id, (void)size;
	return PS_OK;
}

static int nothing_use_placement(ps_storer *s, struct ps_placement *placement)
{
	(void)s, (void)placement;
	return PS_OK;
}

static int nothing_use_tokens(ps_storer *s, struct ps_tokens *tokens)
{
	(void)s, (void)tokens;
	return PS_OK;
}

static int nothing_close(ps_storer *s)
{
	free(s);
	return PS_OK;
}

#define REFUSED(slot, params) .slot = ps_unsupported_##slot,
static const struct ps_storer_ops nothing_ops = {
    .name = "nothing",
    .caps = nothing_caps,
    .writer_id = ps_forward_writer_id,
    PS_STORER_SLOTS(REFUSED).get = nothing_get,
    .info = nothing_info,
    .resize = nothing_resize,
    .use_placement = nothing_use_placement,
    .use_tokens = nothing_use_tokens,
    .close = nothing_close,
};

ps_storer *nothing_open(void)
{
	ps_storer *s = xalloc(sizeof(*s));
	MUST(ps_storer_init(s, &nothing_ops, NULL));
	return s;
}
