/* Any bytes to what reads an S3 endpoint's answers, and to what reads its URL: the first byte chooses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "remote/s3_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

static bool is_text(const char *text, size_t capacity)
{
	return strnlen(text, capacity) < capacity;
}

struct seen {
	size_t count, limit;
};

static bool see(void *arg, const char *key, uint64_t size)
{
	struct seen *seen = arg;
	(void)size;
	must(is_text(key, S3_XML_TEXT + 1) && key[0]);
	must(seen->count < seen->limit);
	return ++seen->count < seen->limit;
}

static void try_listing(const char *text, size_t size)
{
	struct seen seen = {.limit = 1 + size % 7};
	struct s3_listing listing = {.object = see, .arg = &seen};
	int err = ps_s3_xml_listing(text, size, &listing);
	must(err == PS_OK || err == PS_ECORRUPT);
}

static void try_error(const char *text, size_t size)
{
	struct s3_error_document error;
	ps_s3_xml_error(text, size, &error);
	must(is_text(error.code, sizeof(error.code)) && is_text(error.message, sizeof(error.message)) &&
	     is_text(error.server_time, sizeof(error.server_time)));
}

/* As libcurl hands them over: a line at a time, without an end of its own. */
static void try_headers(char *text, size_t size)
{
	struct s3_answer answer = {.length = UINT64_MAX, .total = UINT64_MAX, .date = -1};
	for (size_t at = 0; at < size;) {
		char *end = memchr(text + at, '\n', size - at);
		size_t len = end ? (size_t)(end - text) + 1 - at : size - at;
		char *line = malloc(len);
		must(line != NULL);
		memcpy(line, text + at, len);
		must(ps_s3_on_header(line, 1, len, &answer) == len);
		free(line);
		at += len;
	}
	must(answer.etag.len <= PS_NET_TOKEN && is_text(answer.region, sizeof(answer.region)));
	must(answer.status >= 0 && answer.status <= 999);
}

static void try_url(const char *text, size_t size)
{
	struct ps_network_options options = {.size = sizeof(options)};
	struct s3_place place;
	char *url = malloc(size + 1);
	must(url != NULL);
	memcpy(url, text, size);
	url[size] = '\0';
	int err = ps_s3_place_parse(url, &options, &place);
	must(err == PS_OK || err == PS_EINVAL);
	if (err == PS_OK)
		must(is_text(place.host, sizeof(place.host)) && place.host[0] && place.bucket[0] &&
		     !strpbrk(place.host, "@/?#\r\n") && !strpbrk(place.prefix, "@?#%\r\n"));
	free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	char *text = malloc(size); /* exactly as long as it is and one: a sanitizer sees every step too far */
	if (!text)
		return 0;
	memcpy(text + 1, data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		try_listing(text + 1, size - 1);
		break;
	case 1:
		try_error(text + 1, size - 1);
		break;
	case 2:
		try_headers(text + 1, size - 1);
		break;
	default:
		try_url(text + 1, size - 1);
	}
	free(text);
	return 0;
}
