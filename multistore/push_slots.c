/* What of a network's slots is the log behind the newest state: told to those of remote/ who copy pads, and
 * who collect what is left over. */
#include <padstone/push.h>

#include "base/fail.h"
#include "multistore/push_internal.h"
#include "remote/slot.h"

enum { COPIES_MOST = 8 };

static int read_place(ps_remote *r, struct ps_push_manifest *m, struct ps_remote_slots *slots)
{
	int err = push_read_manifest(r, PS_PUSH_MANIFEST_KEY, m);
	if (err || !ps_log_place_there(&m->log))
		return err;
	*slots = (struct ps_remote_slots){.from = m->log.at, .last = m->hold.epoch};
	if (slots->last < m->log.at.epoch)
		slots->last = m->log.at.epoch;
	return PS_OK;
}

/* As the newest manifest has it that is known to be on the network; epoch 0: there is no log. One that this
 * machine has put and not synced may never be there. */
static int find_slots(ps_remote *r, struct ps_remote_slots *slots)
{
	struct ps_remote_info info;
	struct ps_push_manifest m;
	struct ps_memory memory;
	*slots = (struct ps_remote_slots){.last = 0};
	int err = ps_remote_stat(r, PS_PUSH_MANIFEST_KEY, &info);
	if (err == PS_ENOTFOUND || (!err && (!info.exists || !info.synced)))
		return PS_OK;
	if (err)
		return err;
	ps_memory_init(&memory, NULL);
	ps_push_manifest_init(&m, &memory);
	err = read_place(r, &m, slots);
	ps_push_manifest_done(&m);
	ps_memory_done(&memory);
	return err;
}

static int find_newest(ps_remote *r, const struct ps_remote_copy *options, struct ps_remote_slots *slots)
{
	int err = ps_remote_sync(r, options ? options->progress : NULL,
	                         options ? options->progress_arg : NULL, NULL);
	return err ? err : find_slots(r, slots);
}

/* A push that comes meanwhile takes the log's beginning with it: then the copy's head, or its log, is of
 * before. */
int ps_push_copy(ps_remote *r, const char *url, const struct ps_remote_copy *options,
                 struct ps_remote_copy_result *result, uint64_t *log_pads)
{
	struct ps_remote_slots slots, now;
	uint64_t pads = 0;
	if (!r || !url)
		return ps_fail(PS_EINVAL, "ps_push_copy: no remote, or no network to copy to");
	int err = find_newest(r, options, &slots);
	for (unsigned i = 0; i < COPIES_MOST && !err; i++) {
		err = ps_remote_copy_slots(r, url, options, slots.from.epoch > 0 ? &slots : NULL, result,
		                           &pads);
		if (!err)
			err = find_newest(r, options, &now);
		if (!err && memcmp(&now, &slots, sizeof(now)) == 0) {
			if (log_pads)
				*log_pads = pads;
			return PS_OK;
		}
		slots = now;
	}
	return err ? err : ps_fail(PS_EBUSY, "copy: pushes came again and again");
}

int ps_push_gc(ps_remote *r, const struct ps_remote_gc *options, struct ps_remote_gc_result *result)
{
	struct ps_remote_slots slots;
	if (!r)
		return ps_fail(PS_EINVAL, "ps_push_gc: no remote");
	int err = find_slots(r, &slots);
	return err ? err : ps_remote_gc_slots(r, options, slots.from.epoch > 0 ? &slots : NULL, result);
}
