/* The manifest on its way: read, judged, published; and what is done where two have published.
 *
 * Two files that publish a manifest at the same moment both put one that yields, so the swap of the head
 * decides: the second sync finds the other one there, and lets its own go, before it swings a head. Packs are
 * removed only when a manifest without them is confirmed, and never by who is second: so what either has
 * pushed is whole at every moment, and nothing is lost but the second one's push, whose contents its file
 * has. */
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "multistore/push_internal.h"

enum { READS_MOST = 16 };

int push_sync(struct push *p, struct ps_remote_sync_result *result)
{
	struct ps_remote_sync_result told = {0};
	int err = ps_remote_sync(p->r, push_canceled, p, &told);
	if (!err && result)
		*result = told;
	return err;
}

/* ---- reading ---- */

/* *larger: than it was when its room was made. A push in another thread has put another one. */
static int read_manifest(ps_remote *r, const char *key, struct ps_push_manifest *m, bool *larger)
{
	struct ps_remote_info info;
	size_t got = 0;
	int err = ps_remote_stat(r, key, &info);
	*larger = false;
	if (err == PS_ENOTFOUND || (!err && !info.exists))
		return ps_fail(PS_ENOTFOUND, "nothing was pushed here");
	if (err)
		return err;
	if (info.size > PS_PUSH_MANIFEST_BYTES_MAX)
		return ps_fail(PS_ECORRUPT, "the manifest (\"%s\") has %llu bytes", key,
		               (unsigned long long)info.size);
	uint8_t *bytes = ps_memory_alloc(m->memory, (size_t)info.size + 1);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "no memory for a manifest of %llu bytes",
		               (unsigned long long)info.size);
	err = ps_remote_get(r, key, bytes, (size_t)info.size, &got, NULL);
	*larger = err == PS_ERANGE;
	if (!err)
		err = ps_push_manifest_decode(bytes, got, m);
	ps_memory_free(m->memory, bytes, (size_t)info.size + 1);
	return err;
}

int push_read_manifest(ps_remote *r, const char *key, struct ps_push_manifest *m)
{
	bool larger;
	int err = read_manifest(r, key, m, &larger);
	for (unsigned i = 1; i < READS_MOST && larger; i++)
		err = read_manifest(r, key, m, &larger);
	return err;
}

/* As the network has it: what another machine has changed since the last sync cannot be read as it was. */
static int read_now(struct push *p, struct ps_push_manifest *m)
{
	int err = push_read_manifest(p->r, PS_PUSH_MANIFEST_KEY, m);
	for (unsigned i = 0; i < READS_MOST && err == PS_ESUPERSEDED; i++) {
		err = push_sync(p, NULL);
		if (!err)
			err = push_read_manifest(p->r, PS_PUSH_MANIFEST_KEY, m);
	}
	return err;
}

/* Whose a manifest is. */
enum whose { OTHERS = 0, TRIED, OURS };

static enum whose whose(const struct push *p, const struct ps_push_manifest *m)
{
	bool there = ps_push_manifest_newest(m);
	if (there && !ps_all_zero(p->note.published, PS_PACK_MARK) &&
	    memcmp(m->hold.mark, p->note.published, PS_PACK_MARK) == 0)
		return OURS;
	return there && ps_push_note_tried(&p->note, m->hold.mark) ? TRIED : OTHERS;
}

bool push_knows(const struct push *p, const struct ps_push_manifest *m)
{
	return whose(p, m) != OTHERS;
}

/* ---- looking ---- */

static bool is_synced(struct push *p)
{
	struct ps_remote_info info;
	int err = ps_remote_stat(p->r, PS_PUSH_MANIFEST_KEY, &info);
	return err == PS_ENOTFOUND || (!err && (!info.exists || info.synced));
}

uint64_t push_manifest_time(ps_remote *r)
{
	struct ps_remote_info info;
	return ps_remote_stat(r, PS_PUSH_MANIFEST_KEY, &info) == PS_OK && info.exists && info.synced
	           ? info.time_ns
	           : 0;
}

int push_settle(struct push *p)
{
	return is_synced(p) ? PS_OK : push_sync(p, NULL);
}

int push_look(struct push *p, bool *news)
{
	struct ps_remote_sync_result sync;
	int err = push_sync(p, &sync);
	p->looked = true;
	*news = !err && sync.received + sync.removed + sync.conflicts > 0;
	if (!*news)
		return err;
	ps_push_manifest_done(&p->old);
	return push_settle(p);
}

int push_read(struct push *p)
{
	bool same = p->note.seen_ns > 0 && push_manifest_time(p->r) == p->note.seen_ns;
	if (same && push_recall(p, &p->old))
		return PS_OK;
	int err = read_now(p, &p->old);
	return err == PS_ENOTFOUND ? PS_OK : err;
}

int push_judge(struct push *p)
{
	const struct ps_push_manifest_state *newest = ps_push_manifest_newest(&p->old);
	if (!newest) { /* a new line of states */
		p->note.number = p->note.commit = 0;
		memset(p->note.last, 0, sizeof(p->note.last));
		return push_hold_begin(p);
	}
	if (whose(p, &p->old) == OTHERS || !push_holds(p, &p->old))
		return push_refuse(p, &p->old);
	int err = push_hold_finish(p, &p->old);
	if (err)
		return err;
	p->ended = ps_push_note_tried(&p->note, newest->mark);
	memcpy(p->note.last, newest->mark, PS_PACK_MARK);
	memcpy(p->note.published, p->old.hold.mark, PS_PACK_MARK);
	p->note.number = newest->info.here.interval;
	p->hold = p->old.hold;
	return PS_OK;
}

/* ---- publishing ---- */

/* Only a sync that took something can have met another manifest. */
static int check_published(struct push *p, const struct ps_remote_sync_result *sync)
{
	struct ps_push_manifest now;
	if (sync->received + sync->removed + sync->conflicts == 0)
		return PS_OK;
	ps_push_manifest_init(&now, &p->memory);
	int err = read_now(p, &now);
	const struct ps_push_manifest_state *newest = err ? NULL : ps_push_manifest_newest(&now);
	if (newest && memcmp(now.hold.mark, p->mark, PS_PACK_MARK) != 0) {
		(void)!push_remove_packs(p, &now,
		                         true); /* no manifest names them: what fails here costs space */
		err = push_refuse(p, &now);
	}
	ps_push_manifest_done(&now);
	return err;
}

int push_publish(struct push *p)
{
	const struct ps_remote_put replace = {
	    .size = sizeof(replace), .replace = 1, .yields = 1, .progress = push_canceled, .progress_arg = p};
	struct ps_remote_sync_result sync;
	uint8_t *bytes;
	size_t len;
	int err = ps_push_manifest_encode(&p->next, &bytes, &len);
	if (err)
		return err;
	err = ps_remote_put(p->r, PS_PUSH_MANIFEST_KEY, bytes, len, &replace);
	if (!err)
		err = push_sync(p, &sync);
	if (!err)
		err = check_published(p, &sync);
	if (!err)
		push_remember(p, bytes, len);
	ps_memory_free(&p->memory, bytes, len);
	return err;
}
