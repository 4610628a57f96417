#include "multistore/log_walk.h"

#include <string.h>

#include "base/fail.h"

static int refuse(const struct ps_log_walk *w, int err, const char *what)
{
	return ps_fail(err, "log pad %llu of epoch %llu: %s", (unsigned long long)w->place.at.n,
	               (unsigned long long)w->place.at.epoch, what);
}

/* ---- a pad, after the one before ---- */

static int check_pad(const struct ps_log_walk *w, const struct ps_log_pad *pad)
{
	if (pad->at.epoch != w->place.at.epoch || pad->at.n != w->place.at.n)
		return refuse(w, PS_ECORRUPT, "it says that it is another one");
	if (memcmp(pad->before, w->place.before, sizeof(pad->before)) != 0)
		return refuse(
		    w, PS_EFORK,
		    "it was written behind another pad than the one that the network shows before it");
	return PS_OK;
}

/* All parts of a group say the same of it. */
static bool goes_on(const struct ps_log_walk *w, const struct ps_log_pad *pad)
{
	const struct ps_log_pad *last = &w->last;
	return w->part > 0 && pad->part == w->part && pad->offset == w->pack_len &&
	       pad->pack_bytes == last->pack_bytes && pad->since == last->since &&
	       memcmp(&pad->info, &last->info, sizeof(pad->info)) == 0 &&
	       memcmp(pad->session, last->session, sizeof(pad->session)) == 0;
}

static int make_room(struct ps_log_walk *w, uint64_t bytes)
{
	if (bytes <= w->pack_room)
		return PS_OK;
	uint8_t *room = ps_memory_resize(w->memory, w->pack, (size_t)w->pack_room, (size_t)bytes);
	if (!room)
		return ps_fail(PS_ENOMEM, "no memory for a group of log pads of %llu bytes",
		               (unsigned long long)bytes);
	w->pack = room;
	w->pack_room = bytes;
	return PS_OK;
}

static int end_group(struct ps_log_walk *w)
{
	struct ps_log_group group = {&w->last, w->pack, &w->place};
	w->part = 0;
	w->groups++;
	w->bytes += w->pack_len;
	return w->group(w->arg, &group);
}

/* A group that was begun and does not go on here is one whose writer died: another one begins. The room is
 * made as parts come, so that a pad that promises much costs nothing. */
static int take_pad(struct ps_log_walk *w, const struct ps_log_pad *pad, const uint8_t *part)
{
	if (!goes_on(w, pad)) {
		if (pad->part != 0)
			return refuse(w, PS_ECORRUPT,
			              "the group that it is part of does not begin before it");
		w->pack_len = 0;
	}
	int err = make_room(w, w->pack_len + pad->bytes);
	if (err)
		return err;
	memcpy(w->pack + w->pack_len, part, pad->bytes);
	w->pack_len += pad->bytes;
	w->part = pad->part + 1;
	w->last = *pad;
	return PS_OK;
}

static void go_behind(struct ps_log_walk *w, const struct ps_log_pad *pad, const struct ps_remote_slot *slot)
{
	w->place.at.n++;
	w->place.name = pad->next;
	memcpy(w->place.before, slot->hash, sizeof(w->place.before));
	w->pads++;
}

static int read_next(struct ps_log_walk *w, uint8_t *buf, size_t cap)
{
	struct ps_remote_slot slot;
	struct ps_log_pad pad;
	int err = ps_remote_slot_read(w->r, &w->place.at, &w->place.name, buf, cap, w->progress,
	                              w->progress_arg, &slot);
	if (err)
		return err;
	w->fenced = slot.kind == PS_SLOT_FENCE;
	if (w->fenced)
		return PS_ENOTFOUND;
	err = ps_log_pad_decode(buf, slot.len, &pad);
	if (!err)
		err = check_pad(w, &pad);
	if (!err)
		err = take_pad(w, &pad, buf + PS_LOG_PAD_HEAD);
	if (err)
		return err;
	go_behind(w, &pad, &slot);
	return pad.last ? end_group(w) : PS_OK;
}

int ps_log_walk(struct ps_log_walk *w)
{
	size_t cap = ps_remote_slot_most(w->r);
	uint8_t *buf = ps_memory_alloc(w->memory, cap);
	int err = buf ? PS_OK : ps_fail(PS_ENOMEM, "no memory for a log pad of %zu bytes", cap);
	while (!err)
		err = read_next(w, buf, cap);
	if (buf)
		ps_memory_free(w->memory, buf, cap);
	ps_memory_free(w->memory, w->pack, (size_t)w->pack_room);
	w->pack = NULL;
	w->pack_room = w->pack_len = 0;
	w->part = 0;
	return err == PS_ENOTFOUND ? PS_OK : err;
}
