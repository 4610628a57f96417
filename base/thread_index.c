/* Indexes are bits of a few words: a thread takes the lowest free one at its first call and gives it back
 * when it ends. */
#include "base/thread_index.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { WORD_BITS = 64, WORDS = THREAD_INDEXES / WORD_BITS };

static _Atomic(uint64_t) taken[WORDS];
static _Atomic(uint64_t) numbers;
_Thread_local struct thread_self thread_own;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_made;

static unsigned take_index(void)
{
	for (unsigned word = 0; word < WORDS; word++) {
		uint64_t bits = atomic_load_explicit(&taken[word], memory_order_relaxed);
		while (~bits != 0) {
			uint64_t bit = ~bits & (bits + 1);
			if (atomic_compare_exchange_weak_explicit(&taken[word], &bits, bits | bit,
			                                          memory_order_acquire, memory_order_relaxed))
				return word * WORD_BITS + (unsigned)__builtin_ctzll(bit);
		}
	}
	return THREAD_NO_INDEX;
}

/* The thread ends. A later destructor of it that uses a store gets a new index, and this is called again. */
static void give_back(void *value)
{
	struct thread_self *ended = value;
	unsigned index = ended->index;
	ended->number = 0;
	if (index < THREAD_INDEXES)
		atomic_fetch_and_explicit(&taken[index / WORD_BITS], ~((uint64_t)1 << index % WORD_BITS),
		                          memory_order_release);
}

static void make_key(void)
{
	key_made = pthread_key_create(&key, give_back) == 0;
}

/* The library may be unloaded while threads live that have used it. */
__attribute__((destructor)) static void unmake_key(void)
{
	if (key_made)
		pthread_key_delete(key);
	key_made = false;
}

/* An index that could not be given back when the thread ends is not taken. */
void thread_introduce(void)
{
	pthread_once(&once, make_key);
	bool returns = key_made && pthread_setspecific(key, &thread_own) == 0;
	thread_own.index = returns ? take_index() : THREAD_NO_INDEX;
	thread_own.number = atomic_fetch_add_explicit(&numbers, 1, memory_order_relaxed) + 1;
}
