/* Events for the application: noted where they happen, which may be under a lock, and told where none is held: at the end of a
 * call, or by the thread after its own work. */
#include "store/base_internal.h"

static bool is_waiting(const struct event_queue *q, enum ps_event_kind kind, int err, ps_id id)
{
	for (unsigned i = 0; i < q->count; i++) {
		if (q->items[i].kind == kind && q->items[i].error == err && q->items[i].id == id)
			return true;
	}
	return false;
}

void store_event(struct store *s, enum ps_event_kind kind, int err, ps_id id)
{
	struct event_queue *q = &s->events;
	if (!s->options.event)
		return;
	pthread_mutex_lock(&q->lock);
	/* A page that is tried again and again is one event. When many come at once, the first are the ones that explain the
	 * rest. */
	if (!is_waiting(q, kind, err, id) && q->count < EVENTS_MAX) {
		struct noted_event *e = &q->items[q->count++];
		*e = (struct noted_event){kind, err, id, ""};
		(void)snprintf(e->message, sizeof(e->message), "%.*s", (int)sizeof(e->message) - 1, ps_last_error_message());
	}
	pthread_mutex_unlock(&q->lock);
	atomic_store(&q->waiting, true);
}

static bool take_event(struct event_queue *q, struct noted_event *e)
{
	pthread_mutex_lock(&q->lock);
	bool found = q->count > 0;
	if (found) {
		*e = q->items[0];
		memmove(q->items, q->items + 1, --q->count * sizeof(*q->items));
	}
	pthread_mutex_unlock(&q->lock);
	return found;
}

void store_tell_events(struct store *s)
{
	struct noted_event noted;
	if (!atomic_load_explicit(&s->events.waiting, memory_order_relaxed) || !atomic_exchange(&s->events.waiting, false))
		return;
	while (take_event(&s->events, &noted)) {
		struct ps_event event = {noted.kind, noted.error, noted.id, noted.message};
		s->options.event(s->options.event_arg, &event);
	}
}

/* At the end of a call. */
int store_end_call(struct store *s, int err)
{
	store_tell_events(s);
	return err;
}
