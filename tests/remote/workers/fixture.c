#include "fixture.h"

void world_open(struct world *world, const struct ps_workers_options *options, script_fn script, void *arg)
{
	static const struct ps_workers_options none;
	memset(world, 0, sizeof(*world));
	world->options = options ? *options : none;
	world->options.size = sizeof(world->options);
	world->options.threads = world->options.threads ? world->options.threads : 4;
	world->options.seed = world->options.seed ? world->options.seed : 1;
	if (!world->options.clock) {
		virtual_clock_init(&world->clock, world->options.threads + 1);
		world->options.clock = &world->clock.clock;
	}
	ps_memory_init(&world->memory, NULL);
	OK(script_network_new(NULL, script, arg, world->options.clock, &world->network));
	OK(ps_workers_new(world->network, &world->options, &world->workers));
}

void world_close(struct world *world)
{
	OK(ps_workers_free(world->workers));
	ps_network_close(world->network);
	assert_int_equal(world->memory.used, 0);
	ps_memory_done(&world->memory);
	if (world->options.clock == &world->clock.clock)
		virtual_clock_done(&world->clock);
}

uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

struct ps_pad_name pad_name(unsigned number)
{
	struct ps_pad_name name = {.bytes = {1}};
	memcpy(name.bytes, &number, sizeof(number));
	return name;
}

struct ps_pad_identity pad_identity(unsigned number, uint64_t counter)
{
	struct ps_pad_identity identity = {.counter = counter, .hash = {7}};
	uint32_t mixed = number * 2654435761U;
	memcpy(identity.hash, &mixed, sizeof(mixed));
	identity.hash[8] = (uint8_t)counter;
	return identity;
}

/* Other bytes at each call, as a rule: whoever seals twice is found out. */
static int pad_seal(struct ps_settle *settle)
{
	static atomic_uint_fast64_t calls;
	struct pad *pad = (struct pad *)(void *)settle;
	struct ps_net_request *r = &settle->task.request;
	pad->sealed++;
	r->op = pad->op;
	r->name = pad_name(pad->number);
	r->expected = pad->expected;
	r->identity = pad_identity(pad->number, pad->expected.counter + 1);
	r->token = (struct ps_net_token){.len = 1, .bytes = {5}};
	if (pad->op == PS_NET_REMOVE)
		return PS_OK;
	r->buffer = ps_net_buffer_new(&pad->world->memory, pad->bytes);
	if (!r->buffer)
		return ps_fail(PS_ENOMEM, "no memory for pad %u", pad->number);
	uint64_t call = pad->world->same_bytes ? 0 : atomic_fetch_add(&calls, 1);
	memset(r->buffer->bytes, (int)pad->number, pad->bytes);
	memcpy(r->buffer->bytes, &call, sizeof(call) < pad->bytes ? sizeof(call) : pad->bytes);
	r->buffer->len = pad->bytes;
	size_t used = atomic_load(&pad->world->memory.used), most = atomic_load(&pad->world->most_used);
	while (used > most && !atomic_compare_exchange_weak(&pad->world->most_used, &most, used))
		continue;
	return PS_OK;
}

static int pad_opened(struct ps_settle *settle, const struct ps_net_buffer *record)
{
	const struct ps_net_buffer *sent = settle->task.request.buffer;
	struct pad *pad = (struct pad *)(void *)settle;
	if (pad->spoil) {
		pad->spoil--;
		return ps_fail(PS_ECORRUPT, "pad %u reads back damaged", pad->number);
	}
	if (record->len != sent->len || memcmp(record->bytes, sent->bytes, sent->len) != 0)
		return ps_fail(PS_ECORRUPT, "pad %u reads back as something else", pad->number);
	return PS_OK;
}

static void pad_ended(struct ps_settle *settle)
{
	struct pad *pad = (struct pad *)(void *)settle;
	ps_net_buffer_release(settle->task.request.buffer);
	settle->task.request.buffer = NULL;
	pad->ended++;
}

const struct ps_settle_ops pad_ops = {pad_seal, pad_opened, pad_ended};

struct pad *pads_new(struct world *world, unsigned count, size_t bytes, enum ps_verify verify)
{
	struct pad *pads = calloc(count, sizeof(*pads));
	assert_non_null(pads);
	for (unsigned i = 0; i < count; i++) {
		pads[i].settle.ops = &pad_ops;
		pads[i].settle.verify = verify;
		pads[i].settle.share = 512;
		pads[i].world = world;
		pads[i].bytes = bytes;
		pads[i].op = PS_NET_CREATE;
		pads[i].number = i;
		ps_settle_init(&pads[i].settle, bytes, &world->memory);
	}
	return pads;
}

void pads_add(struct pad *pads, unsigned count, ps_group *group)
{
	for (unsigned i = 0; i < count; i++)
		OK(ps_group_add(group, &pads[i].settle.task));
}

void pads_check_ended(struct pad *pads, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(pads[i].ended, 1);
		assert_true(pads[i].sealed <= 1);
		assert_int_not_equal(pads[i].settle.task.fate, PS_FATE_NONE);
	}
}
