/* list, stat, stats, estimate, verify: what the index knows, without a request. */
#include "base/fail.h"
#include "remote/manager_internal.h"
#include "remote/usage.h"

static void fill_info(const struct ps_record *record, struct ps_remote_info *info)
{
	bool valued = ps_record_has_contents(record);
	*info = (struct ps_remote_info){.key = record->name,
	                                .size = valued ? record->content.size : 0,
	                                .time_ns = record->time_ns,
	                                .mode = PS_REMOTE_SMALL + record->content.mode,
	                                .complete = valued && (record->flags & PS_RECORD_COMPLETE),
	                                .exists = valued,
	                                .updating = !!(record->flags & PS_RECORD_UPDATING),
	                                .is_public = ps_record_is_public(record),
	                                .synced = !(record->flags & PS_RECORD_DIRTY),
	                                .pads = record->sets[PS_SET_CURRENT].count,
	                                .next_pads = record->sets[PS_SET_NEXT].count};
	if (!valued)
		info->mode = PS_REMOTE_SMALL + record->next.mode;
}

static int count_confirmed(ps_remote *r, const char *key, uint64_t *confirmed)
{
	struct ps_record record;
	int err = ps_index_get(r->index, PS_RECORD_BLOB, key, strlen(key), &record);
	*confirmed = 0;
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err; /* gone meanwhile */
	for (uint32_t i = 0; i < record.sets[PS_SET_NEXT].count; i++)
		*confirmed += record.sets[PS_SET_NEXT].slots[i].status == PS_SLOT_CONFIRMED;
	ps_record_done(&record);
	return PS_OK;
}

struct listing {
	ps_remote *r;
	ps_remote_info_fn fn;
	void *arg;
};

static int list_one(void *arg, const struct ps_record *record)
{
	struct listing *list = arg;
	struct ps_remote_info info;
	fill_info(record, &info);
	if (!info.exists && !info.updating)
		return PS_OK; /* a tombstone */
	int err = info.updating ? count_confirmed(list->r, record->name, &info.next_confirmed) : PS_OK;
	if (err != PS_OK)
		return err;
	return list->fn(list->arg, &info) == 0 ? PS_OK : ps_fail(PS_ECANCELED, "the caller ended the list");
}

int ps_remote_list(ps_remote *r, const char *prefix, ps_remote_info_fn fn, void *arg)
{
	struct listing list = {r, fn, arg};
	if (!r || !fn)
		return ps_fail(PS_EINVAL, "ps_remote_list: an argument is NULL");
	return ps_index_list(r->index, PS_RECORD_BLOB, prefix, 0, list_one, &list);
}

int ps_remote_stat(ps_remote *r, const char *key, struct ps_remote_info *info)
{
	struct ps_record record;
	struct ps_remote_info found;
	if (!r || !key || !info)
		return ps_fail(PS_EINVAL, "ps_remote_stat: an argument is NULL");
	int err = ps_index_look(r->index, PS_RECORD_BLOB, key, strlen(key), &record);
	if (err == PS_OK)
		fill_info(&record, &found);
	if (err == PS_ENOTFOUND || (err == PS_OK && !found.exists && !found.updating))
		return ps_fail(PS_ENOTFOUND, "there is no value under \"%.64s\"", key);
	if (err == PS_OK && found.updating)
		err = count_confirmed(r, key, &found.next_confirmed);
	if (err != PS_OK)
		return err;
	found.key = key;
	*info = found;
	return PS_OK;
}

int ps_remote_stats(ps_remote *r, struct ps_remote_stats *stats)
{
	struct ps_index_figures f;
	struct ps_workers_figures workers;
	struct ps_limits_figures limits;
	if (!r || !stats)
		return ps_fail(PS_EINVAL, "ps_remote_stats: an argument is NULL");
	ps_index_figures(r->index, &f);
	ps_remote_workers_figures(r, &workers);
	ps_limits_figures(&r->limits, ps_clock_now(r->seams.clock), &limits);
	*stats = (struct ps_remote_stats){.values = f.blobs,
	                                  .complete = f.complete,
	                                  .updating = f.updating,
	                                  .tombstones = f.tombstones,
	                                  .unsynced = f.dirty,
	                                  .public_values = f.published_as_public,
	                                  .bytes = f.bytes,
	                                  .confirmed = f.pads[PS_SLOT_CONFIRMED],
	                                  .written = f.pads[PS_SLOT_WRITTEN],
	                                  .pending = f.pads[PS_SLOT_PENDING],
	                                  .generated = f.pads[PS_SLOT_GENERATED],
	                                  .invalid = f.pads[PS_SLOT_INVALID],
	                                  .free_pads = f.pads[PS_SLOT_FREE],
	                                  .requests = workers.requests,
	                                  .by_kind = ps_requests_by_kind(&workers),
	                                  .sent_bytes = limits.sent,
	                                  .received_bytes = limits.received,
	                                  .fallback_pads = atomic_load(&r->fallback_pads)};
	for (unsigned status = 0; status < PS_SLOT_STATUSES; status++) {
		stats->pads += f.pads[status];
		stats->pad_bytes += f.pad_bytes[status];
	}
	stats->memory = atomic_load(&r->memory.used) + atomic_load(&r->network->memory.used) + f.memory;
	return PS_OK;
}

int ps_remote_estimate(ps_remote *r, uint64_t size, int mode, struct ps_remote_plan *plan)
{
	if (!r || !plan || mode < 0 || mode > PS_REMOTE_LARGE)
		return ps_fail(PS_EINVAL, "ps_remote_estimate: an argument is NULL, or no mode");
	ps_manager_estimate(r, size, ps_manager_mode(r, mode), PS_PAD_PRIVATE, ps_manager_verify(r, 0), plan);
	return PS_OK;
}

int ps_remote_verify(ps_remote *r, void (*fn)(void *arg, const char *finding), void *arg)
{
	if (!r)
		return ps_fail(PS_EINVAL, "ps_remote_verify: the remote is NULL");
	return ps_index_verify(r->index, fn, arg);
}
