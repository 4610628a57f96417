/* Sessions in memory that is never unmapped and never becomes anything else.
 *
 * A batch, reader or writer used after its end must be answered with PS_ECLOSED. That needs memory whose
 * `kind` can be read at any time: places are cut from slabs that the process keeps, and an ended place goes
 * to the end of a queue. It is used again only once SESSION_QUARANTINE others have ended after it. One mutex
 * guards the queue; it is held across fork(), so that a child can open stores of its own. */
#include "store/session.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "store/storer_impl.h"

enum {
	SESSION_QUARANTINE = 4 * 256, /* a session of the outermost of four layers ends three more below it */
	PLACES_PER_SLAB = 60, /* 60 * 1,088 bytes: a slab just under 64 KiB */
	CACHE_LINE = 64,
};

struct place {
	_Alignas(CACHE_LINE) unsigned char session[PS_SESSION_SIZE];
	struct place *next;
};

struct slab {
	struct slab *next;
	struct place places[PLACES_PER_SLAB];
};

static_assert(sizeof(struct ps_session) <= PS_SESSION_SIZE, "a session fits its place");

_Atomic(uint64_t) ps_session_forks;

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
/* All below is guarded by queue_lock. */
static struct place *ended_first, *ended_last; /* oldest first */
static size_t ended_count;
static struct place *fresh; /* never used */
static struct slab *slabs;  /* keeps them reachable for leak checkers */
static struct ps_memory slab_memory;

static pthread_once_t watch_once = PTHREAD_ONCE_INIT;
static int watch_result;

static void *slab_alloc(void *arg, size_t size)
{
	(void)arg;
	return aligned_alloc(CACHE_LINE, size);
}

/* Slabs are neither resized nor released. */
static void *slab_resize(void *arg, void *memory, size_t old_size, size_t new_size)
{
	(void)arg, (void)memory, (void)old_size, (void)new_size;
	return NULL;
}

static void slab_release(void *arg, void *memory, size_t size)
{
	(void)arg, (void)size;
	free(memory);
}

static void fork_prepare(void)
{
	pthread_mutex_lock(&queue_lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&queue_lock);
}

static void fork_child(void)
{
	atomic_fetch_add_explicit(&ps_session_forks, 1, memory_order_relaxed);
	pthread_mutex_unlock(&queue_lock);
}

static void watch_forks(void)
{
	/* Not a jemalloc arena of their own: slabs outlive every store. */
	const struct ps_allocator_fns fns = {slab_alloc, slab_resize, slab_release, NULL};
	ps_memory_init(&slab_memory, &fns);
	watch_result = pthread_atfork(fork_prepare, fork_parent, fork_child);
}

int ps_session_watch_forks(void)
{
	pthread_once(&watch_once, watch_forks);
	if (watch_result)
		return ps_fail_errno(watch_result, "cannot register fork handlers");
	return PS_OK;
}

uint64_t ps_fork_count(void)
{
	return atomic_load_explicit(&ps_session_forks, memory_order_relaxed);
}

static struct place *take_fresh_locked(void)
{
	if (!fresh) {
		struct slab *slab = ps_memory_zalloc(&slab_memory, sizeof(*slab));
		if (!slab)
			return NULL;
		slab->next = slabs;
		slabs = slab;
		for (size_t i = PLACES_PER_SLAB; i-- > 0;) {
			slab->places[i].next = fresh;
			fresh = &slab->places[i];
		}
	}
	struct place *place = fresh;
	fresh = place->next;
	return place;
}

static struct place *take_locked(void)
{
	if (ended_count <= SESSION_QUARANTINE)
		return take_fresh_locked();
	struct place *place = ended_first;
	ended_first = place->next;
	ended_count--;
	return place;
}

void *ps_session_new(ps_storer *s, enum ps_session_kind kind)
{
	pthread_mutex_lock(&queue_lock);
	struct place *place = take_locked();
	pthread_mutex_unlock(&queue_lock);
	if (!place) {
		ps_fail(PS_ENOMEM, "no memory for a session");
		return NULL;
	}
	/* The session's own fields are not cleared: a late user of the old handle may be reading `kind` now.
	 */
	struct ps_session *session = (struct ps_session *)place->session;
	memset(place->session + sizeof(*session), 0, PS_SESSION_SIZE - sizeof(*session));
	session->s = s;
	atomic_fetch_add_explicit(&s->sessions, 1, memory_order_relaxed);
	atomic_store_explicit(&session->kind, (uint32_t)kind, memory_order_release);
	return session;
}

void ps_session_free(void *session)
{
	struct ps_session *ended = session;
	if (!ended)
		return;
	ps_storer *s = ended->s;
	struct place *place = (struct place *)session; /* its first member */
	atomic_store_explicit(&ended->kind, PS_SESSION_NONE, memory_order_release);
	pthread_mutex_lock(&queue_lock);
	place->next = NULL;
	if (ended_count++)
		ended_last->next = place;
	else
		ended_first = place;
	ended_last = place;
	pthread_mutex_unlock(&queue_lock);
	/* Last: from here on another thread may find the store idle and close it. */
	atomic_fetch_sub_explicit(&s->sessions, 1, memory_order_release);
}
