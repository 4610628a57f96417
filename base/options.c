#include "base/options.h"

#include <string.h>

#include "base/fail.h"

int ps_options_take(void *to, size_t size, const void *given, const char *what)
{
	size_t known = sizeof(size);
	if (given)
		memcpy(&known, given, sizeof(known));
	if (known > size || known < sizeof(size))
		return ps_fail(PS_EINVAL, "%s: size %zu is not that of a known struct", what, known);
	memset(to, 0, size);
	if (given)
		memcpy(to, given, known);
	memcpy(to, &size, sizeof(size));
	return PS_OK;
}
