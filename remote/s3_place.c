/* The s3: URL. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/fail.h"
#include "remote/s3_place.h"

static bool all_of(const char *text, const char *allowed)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(allowed, *text))
			return false;
	return true;
}

/* Copies [text, text + len); false if it does not fit. */
static bool copy_part(char *to, size_t capacity, const char *text, size_t len)
{
	if (len >= capacity)
		return false;
	memcpy(to, text, len);
	to[len] = '\0';
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A parameter's value without its %XX; false for a bad escape, a control character or too long a value. */
static bool decode(char *to, size_t capacity, const char *text, size_t len)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];
		if (c == '%') {
			if (len - i < 3)
				return false;
			int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
			if (high < 0 || low < 0)
				return false;
			c = high << 4 | low;
			i += 2;
		}
		if (c < 0x20 || c == 0x7f || n + 1 >= capacity)
			return false;
		to[n++] = (char)c;
	}
	to[n] = '\0';
	return true;
}

/* ---- bucket and prefix ---- */

static int parse_path(const char *path, size_t len, struct s3_place *place)
{
	const char *slash = memchr(path, '/', len);
	size_t bucket = slash ? (size_t)(slash - path) : len;
	if (!copy_part(place->bucket, sizeof(place->bucket), path, bucket) || bucket < 3 ||
	    !all_of(place->bucket, "-._") || place->bucket[0] == '.')
		return ps_fail(PS_EINVAL, "s3: a bucket's name has 3 to 63 letters, digits, '-', '.' or '_'");
	const char *prefix = slash ? slash + 1 : path + len;
	size_t prefix_len = len - (size_t)(prefix - path);
	while (prefix_len > 0 && prefix[prefix_len - 1] == '/')
		prefix_len--;
	if (!copy_part(place->prefix, S3_PREFIX_MAX + 1, prefix, prefix_len) ||
	    !all_of(place->prefix, "-._~/") || place->prefix[0] == '/' || strstr(place->prefix, "//"))
		return ps_fail(
		    PS_EINVAL,
		    "s3: a prefix has up to 256 letters, digits, '-', '.', '_', '~' and single '/'");
	if (prefix_len > 0)
		memcpy(place->prefix + prefix_len, "/", 2);
	return PS_OK;
}

/* ---- parameters ---- */

struct parameters {
	char endpoint[S3_HOST_MAX + 16];
	char style[16];
};

static int set_parameter(struct s3_place *place, struct parameters *found, const char *name, size_t name_len,
                         const char *value, size_t len)
{
	const struct {
		const char *name;
		char *to;
		size_t capacity;
	} known[] = {
	    {"endpoint", found->endpoint, sizeof(found->endpoint)},
	    {"style", found->style, sizeof(found->style)},
	    {"region", place->region, sizeof(place->region)},
	    {"profile", place->profile, sizeof(place->profile)},
	    {"ca_file", place->ca_file, sizeof(place->ca_file)},
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (strlen(known[i].name) != name_len || memcmp(known[i].name, name, name_len) != 0)
			continue;
		if (known[i].to[0])
			return ps_fail(PS_EINVAL, "s3: the URL has %s twice", known[i].name);
		if (!decode(known[i].to, known[i].capacity, value, len) || !known[i].to[0])
			return ps_fail(PS_EINVAL, "s3: the URL's %s is empty, too long or badly escaped",
			               known[i].name);
		return PS_OK;
	}
	/* Not repeated: it may be a key that somebody put there. */
	return ps_fail(PS_EINVAL,
	               "s3: the URL has a parameter other than endpoint, region, style, profile and "
	               "ca_file (keys come from the environment or the credentials file)");
}

static int parse_parameters(const char *query, struct s3_place *place, struct parameters *found)
{
	while (*query) {
		size_t len = strcspn(query, "&");
		const char *equals = memchr(query, '=', len);
		if (!equals)
			return ps_fail(PS_EINVAL, "s3: a parameter of the URL has no value");
		int err = set_parameter(place, found, query, (size_t)(equals - query), equals + 1,
		                        len - (size_t)(equals + 1 - query));
		if (err != PS_OK)
			return err;
		query += len + (query[len] == '&');
	}
	return PS_OK;
}

/* ---- endpoint ---- */

static bool is_loopback(const char *host)
{
	size_t len = strcspn(host, ":");
	return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
	       (len == 9 && strncasecmp(host, "localhost", 9) == 0);
}

/* HOST[:PORT] or [V6][:PORT]; the port in *port, 0 if there is none. */
static bool check_host(const char *host, unsigned long *port, size_t *host_len)
{
	size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	*port = 0;
	*host_len = len;
	if (len == 0 || len > strlen(host))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr(host[0] == '[' ? "[]:." : "-._", host[i]))
			return false;
	if (!host[len])
		return true;
	if (host[len] != ':' || !host[len + 1] || strlen(host + len + 1) > 5)
		return false;
	for (const char *p = host + len + 1; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return false;
		*port = *port * 10 + (unsigned long)(*p - '0');
	}
	return *port > 0 && *port < 65536;
}

static int set_host(struct s3_place *place, const char *endpoint)
{
	char host[S3_HOST_MAX + 1];
	unsigned long port;
	size_t len;
	place->https = strncasecmp(endpoint, "http://", 7) != 0;
	if (strncasecmp(endpoint, "http", 4) == 0 && strstr(endpoint, "://"))
		endpoint = strstr(endpoint, "://") + 3;
	size_t whole = strlen(endpoint);
	while (whole > 0 && endpoint[whole - 1] == '/')
		whole--;
	if (!copy_part(host, sizeof(host), endpoint, whole) || !check_host(host, &port, &len))
		return ps_fail(PS_EINVAL,
		               "s3: the endpoint is [http://|https://]HOST[:PORT] and nothing else");
	if (port == (place->https ? 443 : 80))
		host[len] = '\0';
	place->loopback = is_loopback(host);
	snprintf(place->host, sizeof(place->host), "%s%s%s", place->virtual_style ? place->bucket : "",
	         place->virtual_style ? "." : "", host);
	return PS_OK;
}

static int set_endpoint(struct s3_place *place, const struct parameters *found)
{
	char amazon[S3_REGION_MAX + 32];
	place->virtual_style = strcmp(found->style, "virtual") == 0;
	if (found->style[0] && !place->virtual_style && strcmp(found->style, "path") != 0)
		return ps_fail(PS_EINVAL, "s3: the style is path or virtual");
	place->amazon = !found->endpoint[0];
	snprintf(amazon, sizeof(amazon), "https://s3.%s.amazonaws.com", place->region);
	return set_host(place, place->amazon ? amazon : found->endpoint);
}

/* ---- all of it ---- */

static int set_option(char *to, size_t capacity, const char *option, const char *what)
{
	if (!option || !option[0])
		return PS_OK;
	if (!copy_part(to, capacity, option, strlen(option)))
		return ps_fail(PS_EINVAL, "s3: the option %s is longer than %zu bytes", what, capacity - 1);
	return PS_OK;
}

static int set_options(struct s3_place *place, const struct ps_network_options *options)
{
	int err = set_option(place->region, sizeof(place->region), options->region, "region");
	if (err == PS_OK)
		err = set_option(place->profile, sizeof(place->profile), options->profile, "profile");
	if (err == PS_OK)
		err = set_option(place->ca_file, sizeof(place->ca_file), options->ca_file, "ca_file");
	if (err != PS_OK)
		return err;
	const char *names[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
	for (size_t i = 0; i < 2 && !place->region[0] && err == PS_OK; i++)
		err = set_option(place->region, sizeof(place->region), getenv(names[i]), names[i]);
	if (err == PS_OK && !place->region[0])
		snprintf(place->region, sizeof(place->region), "us-east-1");
	if (err == PS_OK && !all_of(place->region, "-_"))
		err = ps_fail(PS_EINVAL, "s3: a region has letters, digits, '-' and '_'");
	return err;
}

int ps_s3_place_parse(const char *rest, const struct ps_network_options *options, struct s3_place *place)
{
	struct s3_place parsed = {0};
	struct parameters found = {0};
	if (strncmp(rest, "//", 2) != 0)
		return ps_fail(PS_EINVAL, "s3: the URL is s3://BUCKET/PREFIX?endpoint=…&region=…");
	rest += 2;
	if (strpbrk(rest, "@#"))
		return ps_fail(PS_EINVAL, "s3: the URL has no user, secret or fragment");
	size_t path = strcspn(rest, "?");
	int err = parse_path(rest, path, &parsed);
	if (err == PS_OK && rest[path])
		err = parse_parameters(rest + path + 1, &parsed, &found);
	if (err == PS_OK)
		err = set_options(&parsed, options);
	if (err == PS_OK)
		err = set_endpoint(&parsed, &found);
	if (err == PS_OK)
		*place = parsed;
	return err;
}
