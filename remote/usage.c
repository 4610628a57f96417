#include "remote/usage.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/files.h"
#include "remote/manager_internal.h"

enum { KINDS = 7 };

struct usage_bytes {
	uint8_t magic[8];
	ps_le64 since_ns;
	ps_le64 requests[KINDS];
	ps_le64 drill_ns, drill_values, drill_bytes, drill_wrong;
	ps_le64 checksum; /* XXH3 of what stands before it */
};
static_assert(sizeof(struct usage_bytes) == PS_USAGE_BYTES, "no padding");
static const uint8_t magic[8] = {'P', 'S', 'U', 'S', 'A', 'G', 'E', 1};

static uint64_t checksum_of(const struct usage_bytes *b)
{
	return XXH3_64bits(b, offsetof(struct usage_bytes, checksum));
}

/* ---- bytes ---- */

int ps_usage_decode(const void *bytes, size_t len, struct ps_remote_usage *usage)
{
	struct usage_bytes b;
	if (len != sizeof(b))
		return ps_fail(PS_ECORRUPT, "the figures of a network's use have %zu bytes", len);
	memcpy(&b, bytes, sizeof(b));
	if (memcmp(b.magic, magic, sizeof(magic)) != 0 || ps_get64(b.checksum) != checksum_of(&b))
		return ps_fail(PS_ECORRUPT, "the figures of a network's use are damaged");
	const ps_le64 *n = b.requests;
	*usage = (struct ps_remote_usage){.requests = {ps_get64(n[0]), ps_get64(n[1]), ps_get64(n[2]),
	                                               ps_get64(n[3]), ps_get64(n[4]), ps_get64(n[5]),
	                                               ps_get64(n[6])},
	                                  .since_ns = ps_get64(b.since_ns),
	                                  .drill_ns = ps_get64(b.drill_ns),
	                                  .drill_values = ps_get64(b.drill_values),
	                                  .drill_bytes = ps_get64(b.drill_bytes),
	                                  .drill_wrong = ps_get64(b.drill_wrong)};
	return PS_OK;
}

void ps_usage_encode(const struct ps_remote_usage *usage, uint8_t out[PS_USAGE_BYTES])
{
	const struct ps_remote_requests *r = &usage->requests;
	struct usage_bytes b = {.since_ns = ps_set64(usage->since_ns),
	                        .requests = {ps_set64(r->get), ps_set64(r->range), ps_set64(r->head),
	                                     ps_set64(r->create), ps_set64(r->replace), ps_set64(r->remove),
	                                     ps_set64(r->list)},
	                        .drill_ns = ps_set64(usage->drill_ns),
	                        .drill_values = ps_set64(usage->drill_values),
	                        .drill_bytes = ps_set64(usage->drill_bytes),
	                        .drill_wrong = ps_set64(usage->drill_wrong)};
	memcpy(b.magic, magic, sizeof(magic));
	b.checksum = ps_set64(checksum_of(&b));
	memcpy(out, &b, sizeof(b));
}

/* ---- the file ---- */

static bool path_of(const ps_remote *r, char path[PATH_MAX])
{
	return r->folder && snprintf(path, PATH_MAX, "%s/usage", r->folder) < PATH_MAX;
}

/* Zeros where there is none, or it is damaged: they begin anew. */
static void load(const char *path, struct ps_remote_usage *usage)
{
	uint8_t bytes[PS_USAGE_BYTES];
	size_t len;
	*usage = (struct ps_remote_usage){0};
	if (ps_state_read(path, bytes, sizeof(bytes), &len) == PS_OK)
		(void)!ps_usage_decode(bytes, len, usage);
}

static int keep(const char *path, const struct ps_remote_usage *usage)
{
	uint8_t bytes[PS_USAGE_BYTES];
	struct ps_file_temp temp;
	ps_usage_encode(usage, bytes);
	int err = ps_file_temp_open(AT_FDCWD, path, 0600, &temp);
	if (err != PS_OK)
		return err;
	err = ps_file_write(temp.fd, path, bytes, sizeof(bytes));
	if (err == PS_OK)
		return ps_file_temp_keep(&temp, path, true);
	ps_file_temp_drop(&temp);
	return err;
}

/* ---- together with what is open ---- */

static uint64_t sum(const struct ps_remote_requests *r)
{
	return r->get + r->range + r->head + r->create + r->replace + r->remove + r->list;
}

static void add_requests(ps_remote *r, struct ps_remote_usage *usage)
{
	struct ps_workers_figures f;
	ps_remote_workers_figures(r, &f);
	struct ps_remote_requests now = ps_requests_by_kind(&f), *all = &usage->requests;
	if (usage->since_ns == 0 && sum(&now) > 0)
		usage->since_ns = ps_remote_wall_ns(r);
	all->get += now.get;
	all->range += now.range;
	all->head += now.head;
	all->create += now.create;
	all->replace += now.replace;
	all->remove += now.remove;
	all->list += now.list;
}

struct ps_remote_requests ps_requests_by_kind(const struct ps_workers_figures *f)
{
	return (struct ps_remote_requests){.get = f->by_op[PS_NET_GET],
	                                   .range = f->by_op[PS_NET_GET_RANGE],
	                                   .head = f->by_op[PS_NET_HEAD],
	                                   .create = f->by_op[PS_NET_CREATE],
	                                   .replace = f->by_op[PS_NET_REPLACE],
	                                   .remove = f->by_op[PS_NET_REMOVE],
	                                   .list = f->by_op[PS_NET_LIST]};
}

int ps_remote_usage(ps_remote *r, struct ps_remote_usage *usage)
{
	char path[PATH_MAX];
	if (!r || !usage)
		return ps_fail(PS_EINVAL, "ps_remote_usage: an argument is NULL");
	*usage = (struct ps_remote_usage){0};
	if (path_of(r, path))
		load(path, usage);
	add_requests(r, usage);
	return PS_OK;
}

int ps_remote_note_drill(ps_remote *r, uint64_t values, uint64_t bytes, uint64_t wrong)
{
	struct ps_remote_usage usage;
	char path[PATH_MAX];
	if (!r)
		return ps_fail(PS_EINVAL, "ps_remote_note_drill: an argument is NULL");
	if (!path_of(r, path))
		return ps_fail(PS_ENOTSUP, "a drill cannot be noted: the store has no state folder");
	load(path, &usage);
	usage.drill_ns = ps_remote_wall_ns(r);
	usage.drill_values = values;
	usage.drill_bytes = bytes;
	usage.drill_wrong = wrong;
	return keep(path, &usage);
}

void ps_usage_close(ps_remote *r)
{
	struct ps_remote_usage usage;
	struct ps_workers_figures f;
	char path[PATH_MAX];
	ps_remote_workers_figures(r, &f);
	if (f.requests == 0 || !path_of(r, path))
		return;
	load(path, &usage);
	add_requests(r, &usage);
	(void)!keep(path, &usage);
}
