#include "remote/anchor.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/fail.h"
#include "remote/state.h"

static const uint8_t anchor_magic[8] = {'P', 'S', 'A', 'N', 'C', 'H', 'O', 'R'};

static int anchor_path(const char *folder, char path[PATH_MAX])
{
	int len = snprintf(path, PATH_MAX, "%s/anchor", folder);
	return len >= 0 && len < PATH_MAX ? PS_OK
	                                  : ps_fail(PS_EINVAL, "%.200s…: the path is too long", folder);
}

/* ---- the file ---- */

int ps_anchor_decode(const char *path, const void *bytes, size_t len, struct ps_anchor *anchor)
{
	struct ps_anchor_bytes copy = {0};
	const struct ps_anchor_bytes *b = &copy;
	memcpy(&copy, bytes, len < sizeof(copy) ? len : sizeof(copy));
	if (len < sizeof(b->magic) || memcmp(b->magic, anchor_magic, sizeof(anchor_magic)) != 0)
		return ps_fail(PS_EFORMAT, "%s is no anchor; it is left as it is", path);
	if (len != sizeof(*b) ||
	    ps_get64(b->checksum) != XXH3_64bits(b, offsetof(struct ps_anchor_bytes, checksum)))
		return ps_fail(PS_ECORRUPT, "%s is damaged; it is left as it is", path);
	if (ps_get32(b->format) != PS_INDEX_FORMAT)
		return ps_fail(PS_EVERSION, "%s has format %u; this program knows %d", path,
		               ps_get32(b->format), PS_INDEX_FORMAT);
	if (!ps_all_zero(b->reserved, sizeof(b->reserved)) || b->store_len == 0 ||
	    memchr(b->store, 0, b->store_len) ||
	    !ps_all_zero(b->store + b->store_len, sizeof(b->store) - b->store_len) ||
	    ps_get64(b->counter) == 0)
		return ps_fail(PS_ECORRUPT, "%s has impossible contents; it is left as it is", path);
	*anchor =
	    (struct ps_anchor){.counter = ps_get64(b->counter), .log_position = ps_get64(b->log_position)};
	memcpy(anchor->store, b->store, b->store_len);
	memcpy(anchor->network, b->network, sizeof(anchor->network));
	memcpy(anchor->hash, b->hash, sizeof(anchor->hash));
	return PS_OK;
}

int ps_anchor_read(const char *folder, const char *store, struct ps_anchor *anchor)
{
	char path[PATH_MAX];
	struct ps_anchor_bytes bytes;
	struct ps_anchor found;
	size_t len;
	int err = anchor_path(folder, path);
	if (err == PS_OK)
		err = ps_state_read(path, &bytes, sizeof(bytes), &len);
	if (err == PS_OK)
		err = ps_anchor_decode(path, &bytes, len, &found);
	if (err != PS_OK)
		return err;
	if (strcmp(found.store, store) != 0)
		return ps_fail(PS_ECORRUPT, "%s is of another store; it is left as it is", path);
	*anchor = found;
	return PS_OK;
}

int ps_anchor_encode(const struct ps_anchor *anchor, struct ps_anchor_bytes *bytes)
{
	size_t store_len = strnlen(anchor->store, sizeof(anchor->store));
	if (anchor->counter == 0 || store_len == 0 || store_len > 255)
		return ps_fail(PS_EINVAL, "an anchor has a store's name and a counter");
	*bytes = (struct ps_anchor_bytes){.format = ps_set32(PS_INDEX_FORMAT),
	                                  .store_len = (uint8_t)store_len,
	                                  .counter = ps_set64(anchor->counter),
	                                  .log_position = ps_set64(anchor->log_position)};
	memcpy(bytes->magic, anchor_magic, sizeof(bytes->magic));
	memcpy(bytes->store, anchor->store, store_len);
	memcpy(bytes->network, anchor->network, sizeof(bytes->network));
	memcpy(bytes->hash, anchor->hash, sizeof(bytes->hash));
	bytes->checksum = ps_set64(XXH3_64bits(bytes, offsetof(struct ps_anchor_bytes, checksum)));
	return PS_OK;
}

int ps_anchor_write(const char *folder, const struct ps_anchor *anchor)
{
	char path[PATH_MAX];
	struct ps_anchor there;
	struct ps_anchor_bytes b;
	int err = ps_anchor_encode(anchor, &b);
	if (err == PS_OK)
		err = anchor_path(folder, path);
	if (err == PS_OK)
		err = ps_anchor_read(folder, anchor->store, &there);
	if (err != PS_OK && err != PS_ENOENT)
		return err; /* a damaged anchor is not written over: it may be the only proof of what was */
	if (err == PS_OK && memcmp(there.network, anchor->network, sizeof(there.network)) != 0)
		return ps_fail(PS_EFORK, "%s: the anchor is of another network", path);
	if (err == PS_OK &&
	    (there.counter > anchor->counter ||
	     (there.counter == anchor->counter && memcmp(there.hash, anchor->hash, sizeof(there.hash)) != 0)))
		return ps_fail(PS_EROLLBACK, "%s: the anchor stands at head %" PRIu64 " and does not go back",
		               path, there.counter);
	return ps_state_replace(path, &b, sizeof(b), false);
}

int ps_anchor_forget(const char *folder)
{
	char path[PATH_MAX];
	int err = anchor_path(folder, path);
	if (err != PS_OK)
		return err;
	return unlink(path) == 0 || errno == ENOENT ? PS_OK : ps_fail_errno(errno, "%s", path);
}

/* ---- what a head is worth ---- */

static int fork_seen(uint64_t counter)
{
	return ps_fail(PS_EFORK,
	               "the network shows another history: its head %" PRIu64 " is not the one used here",
	               counter);
}

static int judge_later(const struct ps_anchor *anchor, const struct ps_head *head,
                       enum ps_freshness *freshness)
{
	uint64_t back = head->counter - anchor->counter;
	if (back > head->pairs_count) {
		*freshness = PS_FRESH_UNPROVEN;
		return PS_OK;
	}
	const struct ps_head_pair *pair = &head->pairs[head->pairs_count - back];
	if (pair->counter != anchor->counter || memcmp(pair->hash, anchor->hash, sizeof(pair->hash)) != 0)
		return fork_seen(anchor->counter);
	*freshness = PS_FRESH_NEWER;
	return PS_OK;
}

int ps_anchor_judge(const struct ps_anchor *anchor, const struct ps_head *head, const uint8_t hash[32],
                    enum ps_freshness *freshness)
{
	if (!head)
		return anchor ? ps_fail(PS_ELOST, "the network has no head; head %" PRIu64 " was used here",
		                        anchor->counter)
		              : ps_fail(PS_ENOTFOUND,
		                        "no such store on this network: wrong key, network or store "
		                        "name, or never made");
	if (!anchor) {
		*freshness = PS_FRESH_UNANCHORED;
		return PS_OK;
	}
	if (memcmp(anchor->network, head->network, sizeof(head->network)) != 0 ||
	    strcmp(anchor->store, head->store) != 0)
		return ps_fail(PS_EFORK, "the network shows the head of another network or store");
	if (head->counter < anchor->counter)
		return ps_fail(PS_EROLLBACK,
		               "the network shows head %" PRIu64 "; head %" PRIu64 " was used here",
		               head->counter, anchor->counter);
	if (head->counter > anchor->counter)
		return judge_later(anchor, head, freshness);
	if (memcmp(anchor->hash, hash, sizeof(anchor->hash)) != 0)
		return fork_seen(head->counter);
	*freshness = PS_FRESH_SAME;
	return PS_OK;
}

int ps_anchor_judge_self(const struct ps_head *head, const uint8_t machine[PS_MACHINE], uint64_t own_last)
{
	const struct ps_head_machine *self = ps_head_machine(head, machine);
	if (self && self->last > own_last)
		return ps_fail(PS_EFORK,
		               "this machine wrote head %" PRIu64 " and knows of its own only up to %" PRIu64
		               ": its state was put back; clone again, or take a new store name",
		               self->last, own_last);
	return PS_OK;
}

void ps_anchor_of(const struct ps_head *head, const uint8_t hash[32], uint64_t log_position,
                  struct ps_anchor *anchor)
{
	*anchor = (struct ps_anchor){.counter = head->counter, .log_position = log_position};
	memcpy(anchor->store, head->store, sizeof(anchor->store));
	memcpy(anchor->network, head->network, sizeof(anchor->network));
	memcpy(anchor->hash, hash, sizeof(anchor->hash));
}
