/* The token pool goes to the I/O layer; what the store's own thread does waits behind its callers
 * (background.c). */
#include "store/base_internal.h"

int base_use_tokens(ps_storer *st, struct ps_tokens *tokens)
{
	__atomic_store_n(&store_of(st)->io->tokens, tokens, __ATOMIC_RELEASE);
	return PS_OK;
}
