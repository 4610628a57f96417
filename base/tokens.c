#include "base/tokens.h"

static _Thread_local enum ps_token_class own_class;

#ifdef PS_CHECK_ORDER
_Thread_local size_t ps_tokens_of_thread;
#endif

enum ps_token_class ps_tokens_set_class(enum ps_token_class class)
{
	enum ps_token_class before = own_class;
	own_class = class;
	return before;
}

enum ps_token_class ps_tokens_class(void)
{
	return own_class;
}
