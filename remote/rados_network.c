/* rados://POOL/NAMESPACE: a Ceph cluster through librados. Opening and closing; requests are in
 * rados_client.c and rados_flight.c, listings in rados_list.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/fail.h"
#include "remote/rados_address.h"
#include "remote/rados_internal.h"

/* An OSD takes 90 MiB in one operation (osd_max_write_size), in which guard and identity count. */
enum { LARGEST = (90 << 20) - 4096, CLOSE_WAIT_S = 10 };

static struct rados_network *network_of(ps_network *n)
{
	return (struct rados_network *)n;
}

void ps_rados_object_name(const struct ps_pad_name *name, char text[RADOS_OBJECT_NAME])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < PS_PAD_NAME; i++) {
		text[2 * i] = digits[name->bytes[i] >> 4];
		text[2 * i + 1] = digits[name->bytes[i] & 15];
	}
	text[RADOS_OBJECT_NAME - 1] = '\0';
}

bool ps_rados_pad_name(const char *text, size_t len, struct ps_pad_name *name)
{
	if (len != RADOS_OBJECT_NAME - 1)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
		if (digit < 0)
			return false;
		uint8_t *byte = &name->bytes[i / 2];
		*byte = (uint8_t)(i % 2 ? *byte | digit : digit << 4);
	}
	return true;
}

/* ---- lost flights ---- */

/* Takes those that have landed, or all, off the list. */
static struct rados_flight *take_lost_locked(struct rados_network *n, bool all)
{
	struct rados_flight *taken = NULL;
	for (struct rados_flight *f = n->lost, *next; f; f = next) {
		next = f->next;
		if (!f->landed && !all)
			continue;
		*f->before = next;
		if (next)
			next->before = f->before;
		f->next = taken;
		taken = f;
	}
	return taken;
}

void ps_rados_sweep(struct rados_network *n)
{
	pthread_mutex_lock(&n->lock);
	struct rados_flight *f = take_lost_locked(n, false);
	pthread_mutex_unlock(&n->lock);
	while (f) {
		struct rados_flight *next = f->next;
		ps_rados_flight_free(f);
		f = next;
	}
}

/* Those that were given up were recalled, and land at once. */
static void wait_for_lost(struct rados_network *n)
{
	struct timespec end;
	int err = 0;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += CLOSE_WAIT_S;
	pthread_mutex_lock(&n->lock);
	for (;;) {
		struct rados_flight *f = n->lost;
		while (f && f->landed)
			f = f->next;
		if (!f || err)
			break;
		err = pthread_cond_timedwait(&n->swept, &n->lock, &end);
	}
	pthread_mutex_unlock(&n->lock);
	ps_rados_sweep(n);
}

/* After rados_shutdown nobody touches their bytes any more; librados's own part of them went with it. */
static void drop_lost(struct rados_network *n)
{
	for (struct rados_flight *f = take_lost_locked(n, true), *next; f; f = next) {
		next = f->next;
		ps_net_buffer_release(f->buffer);
		ps_rados_listing_free(n, f->listing);
		ps_memory_free(&n->base.memory, f, sizeof(*f));
	}
}

static void network_close(ps_network *network)
{
	struct rados_network *n = network_of(network);
	wait_for_lost(n);
	n->calls->rados_ioctx_destroy(n->io);
	n->calls->rados_shutdown(n->cluster);
	drop_lost(n);
	pthread_cond_destroy(&n->swept);
	pthread_mutex_destroy(&n->lock);
}

/* ---- opening ---- */

static int fail_rados(int result, const char *url, const char *what)
{
	const char *text = strerrordesc_np(-result);
	int err = result == -ENOENT                       ? PS_ENOENT
	          : result == -EACCES || result == -EPERM ? PS_EACCES
	          : result == -ENOMEM                     ? PS_ENOMEM
	          : result == -EINVAL                     ? PS_EINVAL
	                                                  : PS_EUNAVAILABLE;
	return ps_fail(err, "%s: %s: %s", url, what, text ? text : "unknown error");
}

static int set_seconds(struct rados_network *n, const char *name, uint32_t seconds)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", seconds);
	return n->calls->rados_conf_set(n->cluster, name, text);
}

/* What must hold whatever the file says. Bytes in flight are bounded by clients and their depth: at
 * librados's own bound a submit would block. A library prints nothing and opens no socket of its own. */
static int set_rules(struct rados_network *n, const struct rados_address *a)
{
	static const char *const rules[][2] = {{"objecter_inflight_op_bytes", "68719476736"},
	                                       {"objecter_inflight_ops", "1048576"},
	                                       {"objecter_tick_interval", "1"},
	                                       {"objecter_timeout", "1"},
	                                       {"log_to_stderr", "false"},
	                                       {"err_to_stderr", "false"},
	                                       {"admin_socket", ""}};
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		int result = n->calls->rados_conf_set(n->cluster, rules[i][0], rules[i][1]);
		if (result < 0)
			return fail_rados(result, n->base.url, rules[i][0]);
	}
	int result = set_seconds(n, "client_mount_timeout", a->mount_timeout_s);
	if (result >= 0)
		result = set_seconds(n, "rados_mon_op_timeout", a->mon_timeout_s);
	if (result >= 0)
		result = set_seconds(n, "rados_osd_op_timeout", a->osd_timeout_s);
	if (result >= 0 && a->keyring[0])
		result = n->calls->rados_conf_set(n->cluster, "keyring", a->keyring);
	return result < 0 ? fail_rados(result, n->base.url, "its configuration") : PS_OK;
}

static int configure(struct rados_network *n, const struct rados_address *a)
{
	int result = n->calls->rados_create2(&n->cluster, "ceph", a->user, 0);
	if (result < 0) {
		n->cluster = NULL;
		return fail_rados(result, n->base.url, "librados does not start");
	}
	result = n->calls->rados_conf_read_file(n->cluster, a->conf);
	if (result < 0)
		return fail_rados(result, n->base.url, a->conf);
	return set_rules(n, a);
}

/* A number that the monitor tells of the pool. */
static int ask_pool(struct rados_network *n, const struct rados_address *a, const char *what, long *number)
{
	char command[512], quoted[32], *answer = NULL, *text = NULL;
	size_t len = 0, text_len = 0;
	const char *commands[] = {command};
	snprintf(command, sizeof(command),
	         "{\"prefix\":\"osd pool get\",\"pool\":\"%s\",\"var\":\"%s\",\"format\":\"json\"}", a->pool,
	         what);
	snprintf(quoted, sizeof(quoted), "\"%s\":", what);
	int result =
	    n->calls->rados_mon_command(n->cluster, commands, 1, "", 0, &answer, &len, &text, &text_len);
	const char *found = result >= 0 && answer ? memmem(answer, len, quoted, strlen(quoted)) : NULL;
	if (result >= 0 && !found)
		result = -EBADMSG;
	/* The answer ends in "}" and a line feed at least: strtol stops before its end. */
	if (found)
		*number = strtol(found + strlen(quoted), NULL, 10);
	if (answer)
		n->calls->rados_buffer_free(answer);
	if (text)
		n->calls->rados_buffer_free(text);
	return result;
}

/* With min_size 1 a write is acknowledged when one OSD has it: if that one dies, it is gone, and an older
 * version may come back. */
static int check_pool(struct rados_network *n, const struct rados_address *a)
{
	long size = 0, min_size = 0;
	if (a->unsafe_pool)
		return PS_OK;
	int result = ask_pool(n, a, "size", &size);
	if (result >= 0)
		result = ask_pool(n, a, "min_size", &min_size);
	if (result < 0)
		return fail_rados(result, n->base.url,
		                  "whether the pool is safe could not be asked (unsafe_pool=1 does without)");
	if (size > 1 && min_size < 2)
		return ps_fail(PS_EINVAL,
		               "%s: the pool has size %ld but min_size %ld: what one OSD alone "
		               "acknowledged can be lost (unsafe_pool=1 allows it)",
		               n->base.url, size, min_size);
	return PS_OK;
}

static int connect_to(struct rados_network *n, const struct rados_address *a)
{
	int err = configure(n, a);
	if (err != PS_OK)
		return err;
	int result = n->calls->rados_connect(n->cluster);
	if (result < 0)
		return fail_rados(result, n->base.url, "no connection to the cluster");
	result = n->calls->rados_ioctx_create(n->cluster, a->pool, &n->io);
	if (result < 0) {
		n->io = NULL;
		return fail_rados(result, n->base.url, "the pool");
	}
	n->calls->rados_ioctx_set_namespace(n->io, a->space);
	return check_pool(n, a);
}

static void init_lock(struct rados_network *n)
{
	pthread_condattr_t attributes;
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&n->swept, &attributes);
	pthread_condattr_destroy(&attributes);
}

static int open_address(const char *rest, const struct ps_network_options *options,
                        const struct rados_address *a, const struct rados_calls *calls, ps_network **network)
{
	ps_network *base = NULL;
	int err = ps_network_new(&ps_rados_network, sizeof(struct rados_network), rest, options, &base);
	if (err != PS_OK)
		return err;
	struct rados_network *n = network_of(base);
	n->calls = calls;
	base->caps |= PS_NET_CAP_GUARDED_REMOVE;
	base->largest = LARGEST;
	err = connect_to(n, a);
	if (err == PS_OK) {
		init_lock(n);
		*network = base;
		return PS_OK;
	}
	if (n->io)
		calls->rados_ioctx_destroy(n->io);
	if (n->cluster)
		calls->rados_shutdown(n->cluster);
	ps_network_drop(base);
	return err;
}

static int network_open(const char *rest, const struct ps_network_options *options, ps_network **network)
{
	const struct rados_calls *calls = NULL;
	struct rados_address address;
	int err = ps_rados_address_parse(rest, options, &address);
	if (err == PS_OK)
		err = ps_rados_library(&calls);
	return err == PS_OK ? open_address(rest, options, &address, calls, network) : err;
}

const struct ps_network_ops ps_rados_network = {
    .scheme = "rados",
    .open = network_open,
    .close = network_close,
    .client = ps_rados_client_open,
};
