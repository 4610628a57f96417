/* All that an application needs. */
#ifndef PS_PADSTONE_H
#define PS_PADSTONE_H

#include <padstone/base_store.h>
#include <padstone/concurrent_store.h>
#include <padstone/error.h>
#include <padstone/memory_store.h>
#include <padstone/multi_store.h>
#include <padstone/public.h>
#include <padstone/push.h>
#include <padstone/remote.h>
#include <padstone/remote_copy.h>
#include <padstone/remote_files.h>
#include <padstone/remote_index.h>
#include <padstone/stack.h>
#include <padstone/storer.h>
#include <padstone/token_pool.h>

#endif
