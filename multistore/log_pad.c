#include "multistore/log_pad.h"

#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "multistore/log_format.h"

static_assert((int)PS_LOG_PAD_HEAD == (int)sizeof(struct log_pad_bytes), "a log pad's head");
static_assert((int)PS_LOG_SESSION == (int)PS_PACK_MARK, "a session marks packs");

void ps_log_pad_encode(const struct ps_log_pad *p, uint8_t head[PS_LOG_PAD_HEAD])
{
	struct log_pad_bytes b = {.version = ps_set32(LOG_PAD_VERSION),
	                          .flags = ps_set32(p->last ? LOG_PAD_LAST : 0),
	                          .part = ps_set32(p->part),
	                          .bytes = ps_set32(p->bytes),
	                          .epoch = ps_set64(p->at.epoch),
	                          .n = ps_set64(p->at.n),
	                          .since = ps_set64(p->since),
	                          .upto = ps_set64(p->info.here.interval),
	                          .checkpoint = ps_set64(p->info.here.checkpoint),
	                          .commit = ps_set64(p->info.commit),
	                          .objects = ps_set64(p->info.objects),
	                          .live_bytes = ps_set64(p->info.live_bytes),
	                          .slots = ps_set64(p->info.slots),
	                          .crashes = ps_set64(p->info.crashes),
	                          .time_ns = ps_set64(p->time_ns),
	                          .pack_bytes = ps_set64(p->pack_bytes),
	                          .offset = ps_set64(p->offset)};
	memcpy(b.magic, log_pad_magic, sizeof(b.magic));
	memcpy(b.session, p->session, sizeof(b.session));
	memcpy(b.before, p->before, sizeof(b.before));
	memcpy(b.next, p->next.bytes, sizeof(b.next));
	memcpy(head, &b, sizeof(b));
}

bool ps_log_place_there(const struct ps_log_place *place)
{
	return !ps_all_zero(place->name.bytes, sizeof(place->name.bytes));
}

static int damaged(const char *what)
{
	return ps_fail(PS_ECORRUPT, "a log pad %s", what);
}

static void take(const struct log_pad_bytes *b, struct ps_log_pad *p)
{
	*p = (struct ps_log_pad){.at = {ps_get64(b->epoch), ps_get64(b->n)},
	                         .since = ps_get64(b->since),
	                         .info = {.here = {ps_get64(b->upto), ps_get64(b->checkpoint)},
	                                  .commit = ps_get64(b->commit),
	                                  .objects = ps_get64(b->objects),
	                                  .live_bytes = ps_get64(b->live_bytes),
	                                  .slots = ps_get64(b->slots),
	                                  .crashes = ps_get64(b->crashes)},
	                         .time_ns = ps_get64(b->time_ns),
	                         .part = ps_get32(b->part),
	                         .last = ps_get32(b->flags) & LOG_PAD_LAST,
	                         .pack_bytes = ps_get64(b->pack_bytes),
	                         .offset = ps_get64(b->offset),
	                         .bytes = ps_get32(b->bytes)};
	memcpy(p->session, b->session, sizeof(p->session));
	memcpy(p->before, b->before, sizeof(p->before));
	memcpy(p->next.bytes, b->next, sizeof(p->next.bytes));
}

static int check(const struct ps_log_pad *p, size_t len)
{
	if (p->at.epoch == 0 || p->at.n == 0 || ps_all_zero(p->session, sizeof(p->session)) ||
	    ps_all_zero(p->next.bytes, sizeof(p->next.bytes)))
		return damaged("has an impossible place, session or successor");
	if (p->since >= p->info.here.interval)
		return damaged("ends before it begins");
	if (p->bytes == 0 || p->bytes != len - PS_LOG_PAD_HEAD || p->pack_bytes > PS_PACK_BYTES_MAX ||
	    p->offset > p->pack_bytes || p->bytes > p->pack_bytes - p->offset)
		return damaged("has a part that is not in its pack");
	if (p->last != (p->offset + p->bytes == p->pack_bytes) || (p->part == 0) != (p->offset == 0))
		return damaged("has a part that is not where it says");
	return PS_OK;
}

int ps_log_pad_decode(const uint8_t *contents, size_t len, struct ps_log_pad *pad)
{
	struct log_pad_bytes b;
	struct ps_log_pad p;
	if (len < sizeof(b))
		return damaged("is too short");
	memcpy(&b, contents, sizeof(b));
	if (memcmp(b.magic, log_pad_magic, sizeof(b.magic)) != 0)
		return damaged("is none");
	if (ps_get32(b.version) != LOG_PAD_VERSION)
		return ps_fail(PS_EVERSION, "a log pad is of version %u; this program knows %d",
		               ps_get32(b.version), LOG_PAD_VERSION);
	if ((ps_get32(b.flags) & ~(uint32_t)LOG_PAD_LAST) || !ps_all_zero(b.reserved, sizeof(b.reserved)))
		return damaged("has reserved bits or bytes that are not zero");
	take(&b, &p);
	int err = check(&p, len);
	if (!err)
		*pad = p;
	return err;
}

struct ps_pack_about ps_log_pad_about(const struct ps_log_pad *p)
{
	struct ps_pack_about about = {.since = p->since, .upto = p->info.here.interval};
	memcpy(about.mark, p->session, sizeof(about.mark));
	return about;
}
