#include "remote/rados_library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"

#define LIBRARY "librados.so.2"

static struct rados_calls loaded;
static char missing[256]; /* why it could not be loaded; empty if it was */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct {
	const char *name;
	size_t offset;
} call_names[] = {
#define RADOS_CALL_NAME(name) {#name, offsetof(struct rados_calls, name)},
    RADOS_CALL_TABLE(RADOS_CALL_NAME)
#undef RADOS_CALL_NAME
};

static void load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		snprintf(missing, sizeof(missing), "%s", dlerror());
		return;
	}
	for (size_t i = 0; i < sizeof(call_names) / sizeof(*call_names); i++) {
		void *call = dlsym(library, call_names[i].name);
		if (!call) {
			snprintf(missing, sizeof(missing), "%s has no %s", LIBRARY, call_names[i].name);
			return;
		}
		/* A function's address in a data pointer, as POSIX has it for dlsym. */
		memcpy((char *)&loaded + call_names[i].offset, &call, sizeof(call));
	}
}

int ps_rados_library(const struct rados_calls **calls)
{
	pthread_once(&once, load);
	if (missing[0])
		return ps_fail(PS_ENOTSUP, "rados: Ceph's client library cannot be used: %s", missing);
	*calls = &loaded;
	return PS_OK;
}
