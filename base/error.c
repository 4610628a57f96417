#include "base/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_MAX = 512 };

static _Thread_local char last_message[MESSAGE_MAX];

const char *ps_strerror(int err)
{
	switch (err) {
#define ERROR_TEXT(name, number, text)                                                             \
	case number:                                                                               \
		return text;
		PS_ERROR_TABLE(ERROR_TEXT)
#undef ERROR_TEXT
	default:
		return "unknown error";
	}
}

const char *ps_error_name(int err)
{
	switch (err) {
#define ERROR_NAME(name, number, text)                                                             \
	case number:                                                                               \
		return #name;
		PS_ERROR_TABLE(ERROR_NAME)
#undef ERROR_NAME
	default:
		return "PS_E?";
	}
}

const char *ps_last_error_message(void)
{
	return last_message;
}

int ps_fail(int err, const char *format, ...)
{
	int saved = errno;
	va_list args;
	va_start(args, format);
	(void)vsnprintf(last_message, sizeof(last_message), format, args);
	va_end(args);
	errno = saved;
	return err;
}

int ps_error_from_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return PS_ENOSPC;
	case ENOMEM:
		return PS_ENOMEM;
	case EACCES:
	case EPERM:
		return PS_EACCES;
	case EROFS:
		return PS_EREADONLY;
	case ENOENT:
	case ENOTDIR:
		return PS_ENOENT;
	case EEXIST:
		return PS_EEXIST;
	default:
		return PS_EIO;
	}
}

int ps_fail_errno(int errnum, const char *format, ...)
{
	int saved = errno;
	char text[128];
	va_list args;
	va_start(args, format);
	int used = vsnprintf(last_message, sizeof(last_message), format, args);
	va_end(args);
	if (used >= 0 && used < MESSAGE_MAX)
		(void)snprintf(last_message + used, sizeof(last_message) - (size_t)used, ": %s",
			       strerror_r(errnum, text, sizeof(text)));
	errno = saved;
	return ps_error_from_errno(errnum);
}
