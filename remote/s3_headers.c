/* What an answer's headers say. They come from whoever answers: all is bounded, and what is not understood is
 * as if it were not there. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "remote/s3_impl.h"

/* The number at the front of [*text, end); false if there is none or it is too large. */
static bool take_number(const char **text, const char *end, uint64_t *value)
{
	const char *p = *text;
	uint64_t n = 0;
	for (; p < end && isdigit((unsigned char)*p); p++) {
		uint64_t digit = (uint64_t)(*p - '0');
		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (p == *text)
		return false;
	*text = p;
	*value = n;
	return true;
}

static bool whole_number(const char *text, const char *end, uint64_t *value)
{
	return take_number(&text, end, value) && text == end;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_hash(const char *text, const char *end, uint8_t hash[32])
{
	if (end - text != 64)
		return false;
	for (size_t i = 0; i < 32; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		hash[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* It goes back as it came, so it may not hold what would end a header. */
static void take_etag(const char *text, const char *end, struct ps_net_token *etag)
{
	size_t len = (size_t)(end - text);
	etag->len = 0;
	if (len > PS_NET_TOKEN)
		return;
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)text[i]))
			return;
	memcpy(etag->bytes, text, len);
	etag->len = (uint8_t)len;
}

/* "bytes 10-19/100", "bytes 10-19/" with a star for the total. */
static void take_range(const char *text, const char *end, struct s3_answer *a)
{
	uint64_t last;
	if (end - text < 6 || strncasecmp(text, "bytes ", 6) != 0)
		return;
	text += 6;
	if (!take_number(&text, end, &a->first) || text == end || *text++ != '-' ||
	    !take_number(&text, end, &last) || text == end || *text++ != '/' || last < a->first)
		return;
	if (!whole_number(text, end, &a->total))
		a->total = UINT64_MAX;
	a->has_range = true;
}

static void take_date(const char *text, const char *end, struct s3_answer *a)
{
	char date[64];
	size_t len = (size_t)(end - text);
	if (len >= sizeof(date))
		return;
	memcpy(date, text, len);
	date[len] = '\0';
	a->date = curl_getdate(date, NULL);
}

static void take_region(const char *text, const char *end, struct s3_answer *a)
{
	size_t len = (size_t)(end - text);
	if (len > S3_REGION_MAX)
		return;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '-')
			return;
	memcpy(a->region, text, len);
	a->region[len] = '\0';
}

static void take_header(struct s3_answer *a, const char *name, size_t name_len, const char *text,
                        const char *end)
{
#define IS(known) (name_len == sizeof(known) - 1 && strncasecmp(name, known, name_len) == 0)
	if (IS("etag"))
		take_etag(text, end, &a->etag);
	else if (IS("content-length") && !whole_number(text, end, &a->length))
		a->length = UINT64_MAX;
	else if (IS("content-range"))
		take_range(text, end, a);
	else if (IS("x-amz-meta-counter"))
		a->has_counter = whole_number(text, end, &a->identity.counter);
	else if (IS("x-amz-meta-hash"))
		a->has_hash = take_hash(text, end, a->identity.hash);
	else if (IS("date"))
		take_date(text, end, a);
	else if (IS("x-amz-bucket-region"))
		take_region(text, end, a);
#undef IS
}

/* A status line begins a new answer: the one before was "100 Continue", or of a connection that died. */
static void take_status(struct s3_answer *a, const char *line, const char *end)
{
	const char *space = memchr(line, ' ', (size_t)(end - line));
	uint64_t status = 0;
	*a = (struct s3_answer){.length = UINT64_MAX, .total = UINT64_MAX, .date = -1};
	if (space && end - space > 3) {
		const char *text = space + 1;
		if (take_number(&text, space + 4, &status))
			a->status = (long)status;
	}
}

size_t ps_s3_on_header(char *line, size_t size, size_t count, void *arg)
{
	struct s3_answer *a = arg;
	const char *end = line + size * count;
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	if (end - line > 5 && strncasecmp(line, "HTTP/", 5) == 0) {
		take_status(a, line, end);
		return size * count;
	}
	const char *colon = memchr(line, ':', (size_t)(end - line));
	if (!colon)
		return size * count;
	const char *text = colon + 1;
	while (text < end && isspace((unsigned char)*text))
		text++;
	take_header(a, line, (size_t)(colon - line), text, end);
	return size * count;
}
