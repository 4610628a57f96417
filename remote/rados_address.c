#include "remote/rados_address.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"

/* The OSD's one must exceed the heartbeat's grace (20 s), its interval, the read lease and peering: otherwise
 * a host that dies makes every write an unknown one. */
enum { MOUNT_TIMEOUT_S = 15, MON_TIMEOUT_S = 15, OSD_TIMEOUT_S = 60, MOST_TIMEOUT_S = 3600 };

enum kind { TEXT, SECONDS, FLAG };

struct parameter {
	const char *name;
	enum kind kind;
	size_t offset, size;
};

#define PARAMETER(name, kind, member)                                                                        \
	{                                                                                                    \
		name, kind, offsetof(struct rados_address, member),                                          \
		    sizeof(((struct rados_address *)NULL)->member)                                           \
	}
static const struct parameter parameters[] = {
    PARAMETER("conf", TEXT, conf),
    PARAMETER("user", TEXT, user),
    PARAMETER("keyring", TEXT, keyring),
    PARAMETER("mount_timeout", SECONDS, mount_timeout_s),
    PARAMETER("mon_timeout", SECONDS, mon_timeout_s),
    PARAMETER("osd_timeout", SECONDS, osd_timeout_s),
    PARAMETER("unsafe_pool", FLAG, unsafe_pool),
};

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX. False: too long, a broken escape, or a control character (a namespace of the one byte 1 means
 * "all namespaces" to librados). */
static bool decode(const char *from, size_t len, char *to, size_t size)
{
	size_t out = 0;
	for (size_t i = 0; i < len; i++) {
		int byte = (unsigned char)from[i];
		if (byte == '%') {
			int high = len - i > 2 ? digit_of(from[i + 1]) : -1;
			int low = len - i > 2 ? digit_of(from[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			byte = high << 4 | low;
			i += 2;
		}
		if (byte < 0x20 || byte == 0x7f || out + 1 >= size)
			return false;
		to[out++] = (char)byte;
	}
	to[out] = '\0';
	return true;
}

static bool set_parameter(const struct parameter *p, const char *value, size_t len, struct rados_address *a)
{
	char *member = (char *)a + p->offset, number[8] = "", *end = NULL;
	if (p->kind == TEXT)
		return len > 0 && decode(value, len, member, p->size);
	if (len == 0 || len >= sizeof(number))
		return false;
	memcpy(number, value, len);
	long n = strtol(number, &end, 10);
	if (*end != '\0' || number[0] < '0' || number[0] > '9')
		return false;
	if (p->kind == FLAG) {
		*(bool *)(void *)member = n == 1;
		return n == 0 || n == 1;
	}
	*(uint32_t *)(void *)member = (uint32_t)n;
	return n >= 1 && n <= MOST_TIMEOUT_S;
}

static int parse_parameter(const char *text, size_t len, struct rados_address *a)
{
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;
	for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++) {
		const struct parameter *p = &parameters[i];
		if (strlen(p->name) != name_len || strncmp(p->name, text, name_len) != 0)
			continue;
		if (equals && set_parameter(p, equals + 1, len - name_len - 1, a))
			return PS_OK;
		return ps_fail(PS_EINVAL, "rados: the URL's parameter %s has an impossible value", p->name);
	}
	return ps_fail(PS_EINVAL, "rados: the URL has an unknown parameter %.*s",
	               (int)(name_len < 32 ? name_len : 32), text);
}

static int parse_query(const char *query, struct rados_address *a)
{
	while (*query) {
		size_t len = strcspn(query, "&");
		int err = parse_parameter(query, len, a);
		if (err != PS_OK)
			return err;
		query += len + (query[len] == '&');
	}
	return PS_OK;
}

static int take_option(const char *name, const char *value, char *member, size_t size)
{
	if (!value || !value[0])
		return PS_OK;
	if ((size_t)snprintf(member, size, "%s", value) >= size)
		return ps_fail(PS_EINVAL, "rados: the option %s is longer than %zu bytes", name, size - 1);
	return PS_OK;
}

static int take_options(const struct ps_network_options *o, struct rados_address *a)
{
	int err = take_option("config", o->config, a->conf, sizeof(a->conf));
	if (err == PS_OK)
		err = take_option("user", o->user, a->user, sizeof(a->user));
	if (err == PS_OK)
		err = take_option("keyring", o->keyring, a->keyring, sizeof(a->keyring));
	return err;
}

/* "NAME" means "client.NAME", as with Ceph's own tools. */
static int complete_user(struct rados_address *a)
{
	char short_name[RADOS_NAME_MAX];
	if (strchr(a->user, '.'))
		return PS_OK;
	memcpy(short_name, a->user, sizeof(short_name));
	if (snprintf(a->user, sizeof(a->user), "client.%s", short_name) >= (int)sizeof(a->user))
		return ps_fail(PS_EINVAL, "rados: the user's name is too long");
	return PS_OK;
}

int ps_rados_address_parse(const char *rest, const struct ps_network_options *options,
                           struct rados_address *address)
{
	struct rados_address a = {.conf = "/etc/ceph/ceph.conf",
	                          .user = "client.admin",
	                          .mount_timeout_s = MOUNT_TIMEOUT_S,
	                          .mon_timeout_s = MON_TIMEOUT_S,
	                          .osd_timeout_s = OSD_TIMEOUT_S};
	if (strncmp(rest, "//", 2) != 0)
		return ps_fail(PS_EINVAL, "rados: the URL is not of the form rados://POOL/NAMESPACE");
	const char *pool = rest + 2;
	size_t pool_len = strcspn(pool, "/?");
	const char *space = pool + pool_len + (pool[pool_len] == '/');
	size_t space_len = strcspn(space, "?");
	if (pool_len == 0 || !decode(pool, pool_len, a.pool, sizeof(a.pool)) || strpbrk(a.pool, "\"\\"))
		return ps_fail(PS_EINVAL, "rados: the URL names no pool, or an impossible one");
	if (!decode(space, space_len, a.space, sizeof(a.space)))
		return ps_fail(PS_EINVAL, "rados: the URL names an impossible namespace");
	int err = space[space_len] == '?' ? parse_query(space + space_len + 1, &a) : PS_OK;
	if (err == PS_OK)
		err = take_options(options, &a);
	if (err == PS_OK)
		err = complete_user(&a);
	if (err == PS_OK)
		*address = a;
	return err;
}
