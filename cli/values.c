/* Values of options and operands: ids, sizes, numbers. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "cli/cli.h"

int cli_parse_id(const char *text, ps_id *id)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	char *end;
	unsigned long long value;

	if (*digits == '\0' ||
	    strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
		return ps_fail(PS_EINVAL, "'%s' is not an id: ids are decimal, or hexadecimal after 0x",
		               text);
	errno = 0;
	value = strtoull(digits, &end, hex ? 16 : 10);
	if (errno != 0 || value == PS_ID_NONE)
		return ps_fail(PS_EINVAL, "'%s' cannot be an id", text);
	*id = value;
	return PS_OK;
}

int cli_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	char *end;
	double value, scale = 1;

	if (text[0] < '0' || text[0] > '9')
		return ps_fail(PS_EINVAL, "'%s' is not a size such as 4096, 64M or 1.5G", text);
	value = strtod(text, &end);
	for (size_t i = 0; *end != '\0' && units[i] != '\0'; i++) {
		if ((*end & ~0x20) != units[i])
			continue;
		scale = ldexp(1, (int)(10 * (i + 1)));
		end++;
		if (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0)
			end += strlen(end);
		break;
	}
	if (*end != '\0' || !isfinite(value) || value * scale > (double)PS_SIZE_MAX)
		return ps_fail(PS_EINVAL, "'%s' is not a size such as 4096, 64M or 1.5G", text);
	*bytes = (uint64_t)(value * scale);
	return PS_OK;
}

int cli_parse_number(const char *text, uint64_t *number)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0)
		return ps_fail(PS_EINVAL, "'%s' is not a number", text);
	*number = value;
	return PS_OK;
}
