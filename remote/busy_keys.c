/* Keys in use: of calls that change one each, and of a sync that has some thousand for the moment of a
 * commit. A table of chains, since each of those thousand is looked for among the others. */
#include <xxhash.h>

#include "remote/manager_internal.h"

static struct ps_busy_key **chain_of(ps_remote *r, uint64_t hash)
{
	return &r->busy[hash % PS_BUSY_CHAINS];
}

static uint64_t hash_of(const char *key)
{
	return XXH3_64bits(key, strlen(key));
}

static const struct ps_busy_key *find_locked(ps_remote *r, const char *key, uint64_t hash)
{
	const struct ps_busy_key *busy = *chain_of(r, hash);
	while (busy && (busy->hash != hash || strcmp(busy->key, key) != 0))
		busy = busy->next;
	return busy;
}

static void add_locked(ps_remote *r, struct ps_busy_key *busy, uint64_t hash)
{
	struct ps_busy_key **chain = chain_of(r, hash);
	busy->hash = hash;
	busy->next = *chain;
	*chain = busy;
}

bool busy_await_locked(ps_remote *r, const char *key)
{
	const struct ps_busy_key *busy;
	uint64_t hash = hash_of(key);
	while ((busy = find_locked(r, key, hash)) && busy->brief)
		pthread_cond_wait(&r->brief_ended, &r->lock);
	return busy;
}

void busy_add_locked(ps_remote *r, struct ps_busy_key *busy)
{
	add_locked(r, busy, hash_of(busy->key));
}

void busy_remove_locked(ps_remote *r, const struct ps_busy_key *busy)
{
	struct ps_busy_key **at = chain_of(r, busy->hash);
	while (*at && *at != busy)
		at = &(*at)->next;
	if (*at)
		*at = busy->next;
}

enum ps_busy_taken ps_busy_take_brief(ps_remote *r, struct ps_busy_key *busy)
{
	uint64_t hash = hash_of(busy->key);
	pthread_mutex_lock(&r->lock);
	const struct ps_busy_key *had = find_locked(r, busy->key, hash);
	enum ps_busy_taken taken = !had                                      ? PS_BUSY_TAKEN
	                           : had->owner && had->owner == busy->owner ? PS_BUSY_HAD
	                                                                     : PS_BUSY_REFUSED;
	if (!had) {
		busy->brief = true;
		add_locked(r, busy, hash);
	}
	pthread_mutex_unlock(&r->lock);
	return taken;
}

void ps_busy_wait_brief(ps_remote *r, struct ps_busy_key *busy)
{
	pthread_mutex_lock(&r->lock);
	(void)!busy_await_locked(r, busy->key);
	busy->brief = true;
	busy_add_locked(r, busy);
	pthread_mutex_unlock(&r->lock);
}

void ps_busy_give_back(ps_remote *r, struct ps_busy_key *busy)
{
	pthread_mutex_lock(&r->lock);
	busy_remove_locked(r, busy);
	pthread_cond_broadcast(&r->brief_ended);
	pthread_mutex_unlock(&r->lock);
}
