/* Who hears of commits (cut.h). */
#include "store/base_internal.h"

int ps_watch_commits(ps_storer *s, const struct ps_commit_watch *watch)
{
	struct store *below = NULL;
	int err = store_below(s, &below);
	if (err)
		return err;
	pthread_mutex_lock(&below->lock);
	bool taken = watch && below->watch;
	if (!taken)
		below->watch = watch;
	pthread_mutex_unlock(&below->lock);
	return taken ? ps_fail(PS_EBUSY, "%s: somebody hears of its commits already", below->path) : PS_OK;
}

void store_tell_durable(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	const struct ps_commit_watch *watch = s->watch;
	uint64_t commit = s->log.commit;
	pthread_mutex_unlock(&s->lock);
	if (watch && watch->durable)
		watch->durable(watch->arg, commit);
}
