/* The last manifests that this process has put: who pushes every few seconds does not fetch each time what it
 * has just sent. They are known by their mark, which is random, so none is taken for
 * another. */
#include <pthread.h>
#include <string.h>

#include "multistore/push_internal.h"

enum { KNOWN = 4, BYTES_MOST = 1 << 20 };

static struct known {
	uint8_t mark[PS_PACK_MARK];
	uint8_t *bytes;
	size_t len;
} known[KNOWN];
static unsigned turn;
static struct ps_memory memory;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_memory(void)
{
	ps_memory_init(&memory, NULL);
}

static void forget(struct known *k)
{
	ps_memory_free(&memory, k->bytes, k->len);
	*k = (struct known){0};
}

/* At the end of the program, or when the library is unloaded. */
__attribute__((destructor)) static void forget_all(void)
{
	for (unsigned i = 0; i < KNOWN; i++)
		if (known[i].bytes)
			forget(&known[i]);
}

static struct known *find(const uint8_t mark[PS_PACK_MARK])
{
	for (unsigned i = 0; i < KNOWN; i++)
		if (known[i].bytes && memcmp(known[i].mark, mark, PS_PACK_MARK) == 0)
			return &known[i];
	return NULL;
}

void push_remember(const struct push *p, const uint8_t *bytes, size_t len)
{
	(void)pthread_once(&once, init_memory);
	if (len > BYTES_MOST)
		return;
	pthread_mutex_lock(&lock);
	struct known *k = find(p->note.published); /* the one before it is of no use any more */
	if (!k)
		k = &known[turn++ % KNOWN];
	forget(k);
	k->bytes = ps_memory_alloc(&memory, len);
	if (k->bytes) {
		memcpy(k->bytes, bytes, len);
		k->len = len;
		memcpy(k->mark, p->mark, PS_PACK_MARK);
	}
	pthread_mutex_unlock(&lock);
}

bool push_recall(const struct push *p, struct ps_push_manifest *m)
{
	pthread_mutex_lock(&lock);
	const struct known *k = find(p->note.published);
	bool found = k && ps_push_manifest_decode(k->bytes, k->len, m) == PS_OK;
	pthread_mutex_unlock(&lock);
	return found;
}
