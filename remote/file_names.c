#include "remote/file_names.h"

#include <stdio.h>
#include <string.h>

static const char own_prefix[] = ".padstone-";

/* ---- to a path ---- */

/* A dot that would make the component mean something else. */
static bool starts_badly(const char *component, size_t len)
{
	return (len == 1 && component[0] == '.') || (len == 2 && memcmp(component, "..", 2) == 0) ||
	       (len >= sizeof(own_prefix) - 1 && memcmp(component, own_prefix, sizeof(own_prefix) - 1) == 0);
}

static size_t put_byte(unsigned char byte, bool plain, char *out)
{
	if (plain && byte >= 0x20 && byte != 0x7f && byte != '%') {
		*out = (char)byte;
		return 1;
	}
	return (size_t)snprintf(out, 4, "%%%02X", byte);
}

static size_t put_component(const char *component, size_t len, char *out)
{
	size_t at = 0, begin = 0;
	if (len == 0)
		out[at++] = '%';
	for (size_t i = 0; i < len; i++) {
		char byte[4];
		size_t bytes =
		    put_byte((unsigned char)component[i], i > 0 || !starts_badly(component, len), byte);
		if (at - begin + bytes > PS_FILE_NAMES_COMPONENT) {
			memcpy(out + at, "%-/", 3);
			at += 3;
			begin = at;
			bytes = put_byte((unsigned char)component[i], component[i] != '.', byte);
		}
		memcpy(out + at, byte, bytes);
		at += bytes;
	}
	return at;
}

void ps_file_path_of_name(const char *name, char path[PS_FILE_NAMES_PATH])
{
	size_t at = 0;
	for (const char *begin = name;; begin++) {
		size_t len = strcspn(begin, "/");
		at += put_component(begin, len, path + at);
		begin += len;
		if (*begin == '\0')
			break;
		path[at++] = '/';
	}
	path[at] = '\0';
}

/* ---- back ---- */

static int hex_digit(char c)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *found = c != '\0' ? strchr(digits, c) : NULL;
	return found != NULL ? (int)(found - digits) : -1;
}

bool ps_file_is_marked(const char *component, size_t *len)
{
	size_t all = strcspn(component, "/");
	bool marked = all > 2 && memcmp(component + all - 2, "%=", 2) == 0;
	*len = marked ? all - 2 : all;
	return marked;
}

/* Of one component, without its marks. False: it is nothing that we have written. */
static bool take_bytes(const char *component, size_t len, char *name, size_t *at)
{
	for (size_t i = 0; i < len; i++) {
		int byte = (unsigned char)component[i];
		if (byte == '%') {
			int high = len - i > 2 ? hex_digit(component[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(component[i + 2]) : -1;
			if (low < 0)
				return false;
			byte = high * 16 + low;
			i += 2;
		}
		if (byte == 0 || *at == PS_FILE_NAMES_KEY - 1)
			return false;
		name[(*at)++] = (char)byte;
	}
	return true;
}

static bool decode(const char *path, char name[PS_FILE_NAMES_KEY])
{
	size_t at = 0, len;
	for (const char *begin = path;; begin++) {
		(void)ps_file_is_marked(begin, &len);
		bool empty = len == 1 && *begin == '%';
		bool goes_on = len > 2 && memcmp(begin + len - 2, "%-", 2) == 0;
		if (!empty && !take_bytes(begin, goes_on ? len - 2 : len, name, &at))
			return false;
		begin += strcspn(begin, "/");
		if (*begin == '\0')
			break;
		if (!goes_on && at == PS_FILE_NAMES_KEY - 1)
			return false;
		if (!goes_on)
			name[at++] = '/';
	}
	name[at] = '\0';
	return at > 0;
}

static void strip_marks(const char *path, char *out)
{
	for (size_t len;; path++) {
		(void)ps_file_is_marked(path, &len);
		memcpy(out, path, len);
		out += len;
		path += strcspn(path, "/");
		*out++ = *path;
		if (*path == '\0')
			return;
	}
}

bool ps_file_name_of_path(const char *path, char name[PS_FILE_NAMES_KEY])
{
	char plain[PS_FILE_NAMES_PATH], again[PS_FILE_NAMES_PATH];
	size_t len = strlen(path);
	if (len < sizeof(plain) && decode(path, name)) {
		strip_marks(path, plain);
		ps_file_path_of_name(name, again);
		if (strcmp(plain, again) == 0)
			return true;
	}
	if (len >= PS_FILE_NAMES_KEY || len == 0)
		return false;
	memcpy(name, path, len + 1);
	return true;
}
