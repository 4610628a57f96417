/* All that an application needs. */
#ifndef PS_PADSTONE_H
#define PS_PADSTONE_H

#include <padstone/base_store.h>
#include <padstone/error.h>
#include <padstone/memory_store.h>
#include <padstone/storer.h>

#endif
