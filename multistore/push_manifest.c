/* The manifest on its way: read, judged, published; and what is done where two have pushed.
 *
 * Two files that push one line of states at the same moment both put a manifest, and the second sync makes a
 * conflict copy of one. Who was first has been told that its push is done, so that is the one that stays,
 * whatever name it has got: the second one puts it in its place again, and gets PS_EFORK. Packs are removed
 * only when a manifest without them is confirmed, and never by who is second: so what either has pushed is
 * whole at every moment, and nothing is lost but the second one's push, whose contents its file has. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fail.h"
#include "multistore/push_internal.h"

enum { KEY = 1025, COPIES_MOST = 16 };
#define COPY_OF_MANIFEST PS_PUSH_MANIFEST_KEY " (conflict "

static int canceled(void *arg, const struct ps_remote_progress *progress)
{
	(void)progress;
	return push_show(arg) != PS_OK;
}

int push_sync(struct push *p, struct ps_remote_sync_result *result)
{
	struct ps_remote_sync_result told = {0};
	int err = ps_remote_sync(p->r, canceled, p, &told);
	if (!err && result)
		*result = told;
	return err;
}

/* ---- reading ---- */

int push_read_manifest(ps_remote *r, const char *key, struct ps_push_manifest *m)
{
	struct ps_remote_info info;
	size_t got = 0;
	int err = ps_remote_stat(r, key, &info);
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
	if (!err)
		err = ps_push_manifest_decode(bytes, got, m);
	ps_memory_free(m->memory, bytes, (size_t)info.size + 1);
	return err;
}

static bool is_zero(const uint8_t mark[PS_PACK_MARK])
{
	static const uint8_t zero[PS_PACK_MARK];
	return memcmp(mark, zero, sizeof(zero)) == 0;
}

/* Whose the newest state of a manifest is. */
enum whose { OTHERS = 0, TRIED, OURS };

static enum whose whose(const struct push *p, const struct ps_push_manifest *m)
{
	const struct ps_push_manifest_state *s = ps_push_manifest_newest(m);
	if (s && !is_zero(p->note.last) && memcmp(s->mark, p->note.last, PS_PACK_MARK) == 0)
		return OURS;
	return s && ps_push_note_tried(&p->note, s->mark) ? TRIED : OTHERS;
}

/* ---- conflict copies ---- */

struct copies {
	char key[COPIES_MOST][KEY];
	unsigned count;
};

static int see_copy(void *arg, const struct ps_remote_info *info)
{
	struct copies *c = arg;
	if (info->exists && c->count < COPIES_MOST)
		snprintf(c->key[c->count++], KEY, "%s", info->key);
	return 0;
}

/* The copy under its own name again. */
static int put_back(struct push *p, const struct ps_push_manifest *copy)
{
	const struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	uint8_t *bytes;
	size_t len;
	int err = ps_push_manifest_encode(copy, &bytes, &len);
	if (err)
		return err;
	err = ps_remote_put(p->r, PS_PUSH_MANIFEST_KEY, bytes, len, &replace);
	ps_memory_free(copy->memory, bytes, len);
	return err;
}

/* Which one stays: one that its pusher may have been told of goes before one that this file knows was not;
 * *settled: it is not between two others. */
static int settle_copy(struct push *p, const char *key, bool *settled)
{
	struct ps_push_manifest copy, now;
	ps_push_manifest_init(&copy, &p->memory);
	ps_push_manifest_init(&now, &p->memory);
	int err = push_read_manifest(p->r, key, &copy);
	if (!err)
		err = push_read_manifest(p->r, PS_PUSH_MANIFEST_KEY, &now);
	enum whose named = whose(p, &now), other = whose(p, &copy);
	*settled = !err && (named != OTHERS || other != OTHERS);
	bool back = *settled && (other == OURS || named == TRIED);
	if (back)
		err = put_back(p, &copy);
	if (*settled && !err)
		err = ps_remote_remove(p->r, key);
	if (*settled)
		p->sweep = true;
	ps_push_manifest_done(&copy);
	ps_push_manifest_done(&now);
	return err;
}

static int settle_copies(struct push *p, bool *any)
{
	struct copies *c = ps_memory_zalloc(&p->memory, sizeof(*c));
	if (!c)
		return ps_fail(PS_ENOMEM, "no memory for the names of conflict copies");
	*any = false;
	int err = ps_remote_list(p->r, COPY_OF_MANIFEST, see_copy, c);
	for (unsigned i = 0; i < c->count && !err; i++) {
		bool settled;
		err = settle_copy(p, c->key[i], &settled);
		*any |= settled;
	}
	ps_memory_free(&p->memory, c, sizeof(*c));
	return err ? err : *any ? push_sync(p, NULL) : PS_OK;
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
	bool any;
	int err = is_synced(p) ? PS_OK : push_sync(p, NULL);
	return err ? err : settle_copies(p, &any);
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
	int err = push_read_manifest(p->r, PS_PUSH_MANIFEST_KEY, &p->old);
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static int not_ours(struct push *p, const struct ps_push_manifest_state *newest)
{
	struct ps_remote_head head = {0};
	char day[32] = "?";
	time_t seconds = (time_t)(newest->time_ns / 1000000000U);
	struct tm when;
	if (gmtime_r(&seconds, &when))
		(void)strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S UTC", &when);
	int err = ps_remote_head(p->r, &head);
	return ps_fail(
	    PS_EFORK,
	    "state %llu of %s, commit %llu, was not pushed from this file as it is here (the network's last "
	    "head is of machine %s): clone it, or push under another store name",
	    (unsigned long long)newest->info.here.interval, day, (unsigned long long)newest->info.commit,
	    err ? "?" : head.machine);
}

int push_judge(struct push *p)
{
	const struct ps_push_manifest_state *newest = ps_push_manifest_newest(&p->old);
	if (!newest) { /* a new line of states */
		p->note.number = p->note.commit = 0;
		memset(p->note.last, 0, sizeof(p->note.last));
		return PS_OK;
	}
	if (whose(p, &p->old) == OTHERS)
		return not_ours(p, newest);
	p->ended = ps_push_note_tried(&p->note, newest->mark);
	memcpy(p->note.last, newest->mark, PS_PACK_MARK);
	p->note.number = newest->info.here.interval;
	return PS_OK;
}

/* ---- publishing ---- */

/* Only a sync that took something can have met another manifest. */
static int check_published(struct push *p, const struct ps_remote_sync_result *sync)
{
	struct ps_push_manifest now;
	bool any = false;
	if (sync->received + sync->removed + sync->conflicts == 0)
		return PS_OK;
	int err = settle_copies(p, &any);
	ps_push_manifest_init(&now, &p->memory);
	if (!err)
		err = push_read_manifest(p->r, PS_PUSH_MANIFEST_KEY, &now);
	const struct ps_push_manifest_state *newest = err ? NULL : ps_push_manifest_newest(&now);
	if (newest && memcmp(newest->mark, p->mark, PS_PACK_MARK) != 0) {
		(void)!push_remove_packs(p, &now,
		                         true); /* no manifest names them: what fails here costs space */
		err = not_ours(p, newest);
	}
	ps_push_manifest_done(&now);
	return err;
}

int push_publish(struct push *p)
{
	const struct ps_remote_put replace = {
	    .size = sizeof(replace), .replace = 1, .progress = canceled, .progress_arg = p};
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
