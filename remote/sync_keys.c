/* Keys that a sync has for the moment of a commit. Who wants one of them waits that long. */
#include "base/fail.h"
#include "remote/sync_internal.h"

int sync_keys_init(struct ps_sync *s, struct sync_keys *keys, size_t capacity)
{
	*keys = (struct sync_keys){.capacity = capacity};
	keys->all = ps_memory_alloc(&s->r->memory, capacity * sizeof(*keys->all));
	return keys->all ? PS_OK : ps_fail(PS_ENOMEM, "no memory for %zu keys", capacity);
}

bool sync_keys_take(struct ps_sync *s, struct sync_keys *keys, const char *name)
{
	if (keys->count == keys->capacity)
		return false;
	struct sync_key *key = &keys->all[keys->count];
	memcpy(key->name, name, strlen(name) + 1);
	key->busy = (struct ps_busy_key){.key = key->name, .owner = keys};
	enum ps_busy_taken taken = ps_busy_take_brief(s->r, &key->busy);
	keys->count += taken == PS_BUSY_TAKEN;
	return taken != PS_BUSY_REFUSED;
}

void sync_keys_give_back(struct ps_sync *s, struct sync_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		ps_busy_give_back(s->r, &keys->all[i].busy);
	keys->count = 0;
}

void sync_keys_done(struct ps_sync *s, struct sync_keys *keys)
{
	sync_keys_give_back(s, keys);
	ps_memory_free(&s->r->memory, keys->all, keys->capacity * sizeof(*keys->all));
	*keys = (struct sync_keys){0};
}
