#include "multistore/fence.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"

enum { FENCE_VERSION = 1 };

struct fence_bytes {
	uint8_t magic[8];
	ps_le32 version;
	uint8_t reserved[4];
	ps_le64 epoch;
	ps_le64 since_ns;
	uint8_t holder[PS_HOLDER];
	uint8_t rest[16];
};
static_assert(sizeof(struct fence_bytes) == PS_FENCE_BYTES, "a fence");

static const uint8_t fence_magic[8] = {'P', 'S', 'f', 'e', 'n', 'c', 'e', '\n'};

void ps_fence_encode(const struct ps_fence *fence, uint8_t bytes[PS_FENCE_BYTES])
{
	struct fence_bytes b = {.version = ps_set32(FENCE_VERSION),
	                        .epoch = ps_set64(fence->epoch),
	                        .since_ns = ps_set64(fence->since_ns)};
	memcpy(b.magic, fence_magic, sizeof(b.magic));
	memcpy(b.holder, fence->holder, sizeof(b.holder));
	memcpy(bytes, &b, sizeof(b));
}

static int damaged(const struct ps_remote_slot_at *at, const char *what)
{
	return ps_fail(PS_ECORRUPT, "the fence at slot %llu of epoch %llu %s", (unsigned long long)at->n,
	               (unsigned long long)at->epoch, what);
}

int ps_fence_decode(const uint8_t *bytes, size_t len, const struct ps_remote_slot_at *at,
                    struct ps_fence *fence)
{
	struct fence_bytes b;
	if (len != sizeof(b))
		return damaged(at, "has another length");
	memcpy(&b, bytes, sizeof(b));
	if (memcmp(b.magic, fence_magic, sizeof(b.magic)) != 0)
		return damaged(at, "is none");
	if (ps_get32(b.version) != FENCE_VERSION)
		return ps_fail(PS_EVERSION, "a fence of version %u; this program knows %d",
		               ps_get32(b.version), FENCE_VERSION);
	if (!ps_all_zero(b.reserved, sizeof(b.reserved)) || !ps_all_zero(b.rest, sizeof(b.rest)) ||
	    ps_all_zero(b.holder, sizeof(b.holder)))
		return damaged(at, "names no holder");
	if (ps_get64(b.epoch) <= at->epoch || ps_get64(b.epoch) > PS_EPOCH_MAX)
		return damaged(at, "does not lead on");
	*fence = (struct ps_fence){.epoch = ps_get64(b.epoch), .since_ns = ps_get64(b.since_ns)};
	memcpy(fence->holder, b.holder, sizeof(fence->holder));
	return PS_OK;
}

int ps_fence_look(ps_remote *r, const struct ps_remote_slot_at *at, ps_remote_progress_fn progress, void *arg,
                  bool *log, struct ps_fence *fence)
{
	uint8_t bytes[PS_FENCE_BYTES];
	struct ps_remote_slot slot = {0};
	int err = ps_remote_slot_read(r, at, NULL, bytes, sizeof(bytes), progress, arg, &slot);
	*log = (err == PS_OK || err == PS_ERANGE) && slot.kind == PS_SLOT_LOG;
	if (*log)
		return PS_OK;
	return err ? err : ps_fence_decode(bytes, slot.len, at, fence);
}

/* ---- raising ---- */

static int not_ours(const struct ps_remote_slot_at *at, const struct ps_fence *there)
{
	return ps_fail(
	    PS_EFENCED,
	    "the log of epoch %llu ends at slot %llu in the fence of another holder, of epoch %llu",
	    (unsigned long long)at->epoch, (unsigned long long)at->n, (unsigned long long)there->epoch);
}

/* Whether what is there does as well. */
static int judge(const struct ps_remote_slot_at *at, const struct ps_fence *own, const struct ps_fence *there)
{
	bool same = there->epoch == own->epoch && memcmp(there->holder, own->holder, PS_HOLDER) == 0;
	return same || there->epoch < own->epoch ? PS_OK : not_ours(at, there);
}

static int raise_at(ps_remote *r, const struct ps_remote_slot_at *at, const struct ps_fence *fence,
                    ps_remote_progress_fn progress, void *arg, bool *raised)
{
	uint8_t bytes[PS_FENCE_BYTES];
	struct ps_remote_slot slot;
	ps_fence_encode(fence, bytes);
	int err = ps_remote_slot_create(r, at, PS_SLOT_FENCE, bytes, sizeof(bytes), progress, arg, &slot);
	*raised = err == PS_OK;
	return err == PS_EEXIST ? PS_OK
	                        : err; /* the holder was faster with a log slot: it is looked at next */
}

int ps_fence_raise(ps_remote *r, const struct ps_remote_slot_at *from, const struct ps_fence *fence,
                   ps_remote_progress_fn progress, void *arg)
{
	struct ps_remote_slot_at at = *from;
	struct ps_fence there;
	bool raised = false, log;
	int err = PS_OK;
	while (!err && !raised) {
		err = ps_fence_look(r, &at, progress, arg, &log, &there);
		if (err == PS_ENOTFOUND) {
			err = raise_at(r, &at, fence, progress, arg, &raised);
		} else if (!err && log) {
			at.n++;
		} else if (!err) {
			raised = true;
			err = judge(&at, fence, &there);
		}
	}
	return err;
}
