/* AWS's variables and its shared credentials file. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fail.h"
#include "remote/s3_credentials.h"

enum { CREDENTIALS_FILE_MAX = 64 << 10 };

/* ---- values ---- */

/* What goes into a header must not end it. */
static bool set_value(char *to, size_t capacity, const char *text, size_t len)
{
	if (len >= capacity)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)text[i]))
			return false;
	memcpy(to, text, len);
	to[len] = '\0';
	return true;
}

static int set_known(struct s3_credentials *c, const char *name, size_t name_len, const char *value,
                     size_t len)
{
	const struct {
		const char *name;
		char *to;
		size_t capacity;
	} known[] = {
	    {"aws_access_key_id", c->access_key, sizeof(c->access_key)},
	    {"aws_secret_access_key", c->secret, sizeof(c->secret)},
	    {"aws_session_token", c->session, sizeof(c->session)},
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (strlen(known[i].name) != name_len || strncasecmp(known[i].name, name, name_len) != 0)
			continue;
		if (!set_value(known[i].to, known[i].capacity, value, len))
			return ps_fail(PS_EINVAL,
			               "s3: %s is longer than any, or has spaces or control characters",
			               known[i].name);
	}
	return PS_OK;
}

static int set_from_environment(struct s3_credentials *c, const char *variable, const char *name)
{
	const char *value = getenv(variable);
	return value ? set_known(c, name, strlen(name), value, strlen(value)) : PS_OK;
}

static int read_environment(struct s3_credentials *c)
{
	int err = set_from_environment(c, "AWS_ACCESS_KEY_ID", "aws_access_key_id");
	if (err == PS_OK)
		err = set_from_environment(c, "AWS_SECRET_ACCESS_KEY", "aws_secret_access_key");
	if (err == PS_OK)
		err = set_from_environment(c, "AWS_SESSION_TOKEN", "aws_session_token");
	return err;
}

/* ---- the file ---- */

static void trim(const char **text, size_t *len)
{
	while (*len > 0 && isspace((unsigned char)**text))
		(*text)++, (*len)--;
	while (*len > 0 && isspace((unsigned char)(*text)[*len - 1]))
		(*len)--;
}

/* Whether "[profile]" is the section's name; "[profile NAME]" is the same, as in the configuration file. */
static bool is_section(const char *line, size_t len, const char *profile)
{
	if (len < 2 || line[len - 1] != ']')
		return false;
	line++, len -= 2;
	trim(&line, &len);
	if (len > 8 && memcmp(line, "profile ", 8) == 0) {
		line += 8, len -= 8;
		trim(&line, &len);
	}
	return len == strlen(profile) && memcmp(line, profile, len) == 0;
}

static int parse_file(struct s3_credentials *c, const char *text, size_t bytes, const char *profile)
{
	bool inside = false;
	for (size_t at = 0; at < bytes;) {
		const char *line = text + at;
		const char *end = memchr(line, '\n', bytes - at);
		size_t len = end ? (size_t)(end - line) : bytes - at;
		at += len + 1;
		trim(&line, &len);
		if (len == 0 || *line == '#' || *line == ';')
			continue;
		if (*line == '[') {
			inside = is_section(line, len, profile);
			continue;
		}
		const char *equals = memchr(line, '=', len);
		if (!inside || !equals)
			continue;
		const char *name = line, *value = equals + 1;
		size_t name_len = (size_t)(equals - line), value_len = len - name_len - 1;
		trim(&name, &name_len);
		trim(&value, &value_len);
		int err = set_known(c, name, name_len, value, value_len);
		if (err != PS_OK)
			return err;
	}
	return PS_OK;
}

static int find_file(char *path, size_t capacity)
{
	const char *named = getenv("AWS_SHARED_CREDENTIALS_FILE");
	const char *home = getenv("HOME");
	int len;
	if (named && named[0])
		len = snprintf(path, capacity, "%s", named);
	else if (home && home[0])
		len = snprintf(path, capacity, "%s/.aws/credentials", home);
	else
		return ps_fail(PS_EACCES,
		               "s3: no credentials: AWS_ACCESS_KEY_ID, AWS_SHARED_CREDENTIALS_FILE and "
		               "HOME are not set");
	return (size_t)len < capacity ? PS_OK
	                              : ps_fail(PS_EINVAL, "s3: the credentials file's path is too long");
}

static int read_whole(const char *path, char *text, size_t capacity, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return ps_fail(PS_EACCES, "s3: no credentials: neither AWS_ACCESS_KEY_ID nor the file %s",
		               path);
	if (fd < 0)
		return ps_fail_errno(errno, "s3: the credentials file %s", path);
	ssize_t got = 1;
	*len = 0;
	while (*len < capacity && (got = read(fd, text + *len, capacity - *len)) != 0) {
		if (got < 0 && errno != EINTR)
			break;
		*len += got > 0 ? (size_t)got : 0;
	}
	int err = got < 0 ? ps_fail_errno(errno, "s3: the credentials file %s", path) : PS_OK;
	if (err == PS_OK && *len == capacity)
		err = ps_fail(PS_EINVAL, "s3: the credentials file %s is larger than %d bytes", path,
		              CREDENTIALS_FILE_MAX);
	close(fd);
	return err;
}

static int read_profile(struct ps_memory *memory, struct s3_credentials *c, const char *profile)
{
	char path[PATH_MAX];
	size_t len = 0;
	int err = find_file(path, sizeof(path));
	if (err != PS_OK)
		return err;
	char *text = ps_memory_alloc(memory, CREDENTIALS_FILE_MAX);
	if (!text)
		return ps_fail(PS_ENOMEM, "s3: no memory for the credentials file");
	err = read_whole(path, text, CREDENTIALS_FILE_MAX, &len);
	if (err == PS_OK)
		err = parse_file(c, text, len, profile);
	explicit_bzero(text, CREDENTIALS_FILE_MAX);
	ps_memory_free(memory, text, CREDENTIALS_FILE_MAX);
	if (err == PS_OK && (!c->access_key[0] || !c->secret[0]))
		err = ps_fail(PS_EACCES,
		              "s3: the credentials file %s has no key, or no secret, for the profile %s",
		              path, profile);
	return err;
}

/* ---- both ---- */

static int find(struct ps_memory *memory, const char *profile, struct s3_credentials *c)
{
	const char *variable = getenv("AWS_PROFILE");
	if (profile && profile[0])
		return read_profile(memory, c, profile);
	int err = read_environment(c);
	if (err != PS_OK || (c->access_key[0] && c->secret[0]))
		return err;
	if (c->access_key[0] || c->secret[0])
		return ps_fail(PS_EACCES,
		               "s3: of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set");
	c->session[0] = '\0';
	return read_profile(memory, c, variable && variable[0] ? variable : "default");
}

int ps_s3_credentials_find(struct ps_memory *memory, const char *profile, struct s3_credentials **credentials)
{
	struct s3_credentials *c = ps_memory_zalloc(memory, sizeof(*c));
	if (!c)
		return ps_fail(PS_ENOMEM, "s3: no memory for the credentials");
	/* A limit on locked memory is no reason to fail: it is wiped all the same. */
	(void)mlock(c, sizeof(*c));
	int err = find(memory, profile, c);
	if (err != PS_OK) {
		ps_s3_credentials_free(memory, c);
		return err;
	}
	*credentials = c;
	return PS_OK;
}

void ps_s3_credentials_free(struct ps_memory *memory, struct s3_credentials *credentials)
{
	if (!credentials)
		return;
	explicit_bzero(credentials, sizeof(*credentials));
	(void)munlock(credentials, sizeof(*credentials));
	ps_memory_free(memory, credentials, sizeof(*credentials));
}
