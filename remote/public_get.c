/* Reading public values, with an address and no key. What is read is of one version: where a pad turns out to
 * be of another, the manifest is read again. */
#include <sodium.h>
#include <stdlib.h>

#include "base/fail.h"
#include "remote/get_internal.h"
#include "remote/public_view.h"

enum { MOST_TRIES = 8 };

/* ---- life ---- */

int ps_public_open(const char *url, const struct ps_remote_options *options, ps_public **p)
{
	if (!url || !p)
		return ps_fail(PS_EINVAL, "ps_public_open: an argument is NULL");
	ps_public *made = calloc(1, sizeof(*made));
	if (!made)
		return ps_fail(PS_ENOMEM, "no memory for a reader");
	int err = ps_remote_start_keyless(url, options, NULL, &made->r);
	if (err == PS_OK)
		*p = made;
	else
		free(made);
	return err;
}

int ps_public_close(ps_public *p)
{
	if (!p)
		return PS_OK;
	int err = ps_remote_close(p->r);
	if (err != PS_EBUSY)
		free(p);
	return err;
}

int ps_public_check_address(const char *address)
{
	struct ps_address parsed;
	int err = address ? ps_address_parse(address, &parsed)
	                  : ps_fail(PS_EINVAL, "ps_public_check_address: the address is NULL");
	sodium_memzero(&parsed, sizeof(parsed));
	return err;
}

/* ---- one version ---- */

struct reading {
	struct get get;
	struct ps_address address;
	struct public_view view;
	/* The value's hash, where all of it is read. */
	bool hashes;
	crypto_generichash_state hash;
	ps_remote_write_fn write;
	void *write_arg;
	bool given; /* a part went to `write`, and cannot be taken back */
	int write_error;
	struct ps_pad_identity shown; /* the version that was tried last */
};

/* Fills from and to for a value of this size. */
typedef int range_fn(struct reading *rd, uint64_t size, void *arg);

static int take_entries(struct reading *rd, uint64_t number, uint64_t end, uint32_t *count)
{
	struct get *get = &rd->get;
	struct ps_manifest_entry entry;
	uint32_t left;
	int err = public_view_entry(&get->op, &rd->view, number, &entry, &left);
	if (err != PS_OK)
		return err;
	*count = end - number < left ? (uint32_t)(end - number) : left;
	get->slots = ps_memory_alloc(&get->r->memory, *count * sizeof(*get->slots));
	get->read_keys = ps_memory_alloc(&get->r->memory, (size_t)*count * PS_KEY);
	get->slots_count = *count;
	for (uint32_t i = 0; i < *count && err == PS_OK && get->slots && get->read_keys; i++) {
		err = public_view_entry(&get->op, &rd->view, number + i, &entry, &left);
		get->slots[i] = entry.slot;
		memcpy(get->read_keys + (size_t)i * PS_KEY, entry.read_key, PS_KEY);
	}
	sodium_memzero(&entry, sizeof(entry));
	return get->slots && get->read_keys ? err : ps_fail(PS_ENOMEM, "no memory for %u pads", *count);
}

/* List after list of pads. */
static int read_pads(struct reading *rd)
{
	struct get *get = &rd->get;
	uint64_t first = get->from / get->chunk_bytes, end = (get->to - 1) / get->chunk_bytes + 1;
	int err = get_open_lanes(get, end - first);
	while (err == PS_OK && first < end) {
		uint32_t count = 0;
		err = ps_operation_fail(&get->op, take_entries(rd, first, end, &count));
		get->first = (uint32_t)first;
		if (err == PS_OK)
			err = get_slots(get);
		get_forget(get);
		first += count;
	}
	get_close_lanes(get);
	return err;
}

static int show_plan(struct reading *rd)
{
	struct get *get = &rd->get;
	uint64_t bytes = get->to - get->from, chunk = get->chunk_bytes;
	struct ps_remote_plan plan = {.bytes = bytes, .exact = 1};
	plan.requests = bytes > 0 ? (get->to - 1) / chunk - get->from / chunk + 1 : 0;
	plan.record_bytes =
	    plan.requests * ps_pad_record_bytes(bytes < chunk && plan.requests == 1 ? bytes : chunk);
	plan.price = ps_manager_price(get->r, &plan, 0, plan.record_bytes);
	get->op.shown.pads_total = plan.requests;
	get->op.shown.pads_done = get->op.shown.bytes_done = get->op.shown.fetched = 0;
	return ps_operation_plan(&get->op, &plan, 0, get->r->options.max_cost);
}

/* ---- the value's hash: over those of its chunks ---- */

static void add_chunk(struct reading *rd, const void *data, size_t len)
{
	uint8_t hash[32];
	(void)crypto_generichash(hash, sizeof(hash), data, len, NULL, 0);
	(void)crypto_generichash_update(&rd->hash, hash, sizeof(hash));
}

/* Chunks come whole and in order where all of a value is read. */
static int write_on(void *arg, const void *data, size_t len)
{
	struct reading *rd = arg;
	if (rd->hashes)
		add_chunk(rd, data, len);
	rd->given = true;
	rd->write_error = rd->write(rd->write_arg, data, len);
	return rd->write_error;
}

static int check_hash(struct reading *rd)
{
	const struct ps_manifest *m = &rd->view.manifest;
	uint8_t hash[32];
	if (!rd->hashes)
		return PS_OK;
	for (uint64_t at = 0; rd->get.buf && at < m->size; at += m->chunk)
		add_chunk(rd, rd->get.buf + at, m->size - at < m->chunk ? (size_t)(m->size - at) : m->chunk);
	(void)crypto_generichash_final(&rd->hash, hash, sizeof(hash));
	return memcmp(hash, m->hash, sizeof(hash)) == 0
	           ? PS_OK
	           : ps_fail(PS_EAUTH, "a public value whose contents do not have the hash of its manifest");
}

/* ---- tries ---- */

static int read_version(struct reading *rd, range_fn *range, void *arg)
{
	struct get *get = &rd->get;
	const struct ps_manifest *m = &rd->view.manifest;
	int err = range(rd, m->size, arg);
	get->chunk_bytes = m->chunk;
	get->network = rd->view.pad.header.plan.network;
	rd->hashes = get->from == 0 && get->to == m->size && (get->buf || get->write);
	(void)crypto_generichash_init(&rd->hash, NULL, 0, 32);
	if (err == PS_OK)
		err = show_plan(rd);
	if (err == PS_OK && get->from < get->to)
		err = read_pads(rd);
	return err == PS_OK ? check_hash(rd) : err;
}

/* What may be because the pads of an old version are something else by now. */
static bool may_have_moved(int err)
{
	return err == PS_ESUPERSEDED || err == PS_ELOST || err == PS_EAUTH || err == PS_EROLLBACK;
}

/* The first failure does not count any more. */
static void begin_again(struct reading *rd)
{
	struct ps_operation *op = &rd->get.op;
	ps_group_free(op->group);
	op->group = NULL;
	op->error = PS_OK;
}

static int changed_meanwhile(void)
{
	return ps_fail(PS_EBUSY, "the public value was changed while it was read");
}

/* After a failure of what the view led to: PS_OK to try again with the one that is there now. */
static int look_again(struct reading *rd, int err)
{
	struct ps_operation *op = &rd->get.op;
	struct ps_pad_identity before = rd->shown;
	char sentence[sizeof(op->sentence)];
	memcpy(sentence, op->sentence, sizeof(sentence));
	public_view_done(op->r, &rd->view);
	begin_again(rd);
	int seen = public_view_take(op, &rd->address, &rd->view);
	if (seen != PS_OK)
		return seen;
	rd->shown = rd->view.pad.header.identity;
	if (!ps_identity_same(&before, &rd->shown))
		return rd->given ? changed_meanwhile() : PS_OK;
	/* A pad is newer and the manifest is not: it may be told late. */
	return err == PS_ESUPERSEDED && !rd->given ? PS_OK : ps_fail(err, "%s", sentence);
}

static int read_on(struct reading *rd, range_fn *range, void *arg)
{
	struct ps_operation *op = &rd->get.op;
	int err = public_view_take(op, &rd->address, &rd->view);
	if (err != PS_OK)
		return ps_operation_fail(op, err);
	rd->shown = rd->view.pad.header.identity;
	for (unsigned tries = 1; err == PS_OK; tries++) {
		err = ps_operation_fail(op, read_version(rd, range, arg));
		if (err == PS_OK || !may_have_moved(err) || rd->write_error != PS_OK)
			break;
		err = tries < MOST_TRIES ? look_again(rd, err) : err;
		if (tries == MOST_TRIES && err == PS_ESUPERSEDED) {
			begin_again(rd);
			err = changed_meanwhile();
		}
		(void)ps_operation_fail(op, err);
	}
	return err;
}

static int run(ps_public *p, const char *address, struct reading *rd, range_fn *range, void *arg)
{
	struct get *get = &rd->get;
	if (!p || !address)
		return ps_fail(PS_EINVAL, "ps_public_get: an argument is NULL");
	int err = ps_address_parse(address, &rd->address);
	if (err == PS_OK)
		err = ps_operation_begin(&get->op, p->r, "fetch", NULL, 0, NULL, NULL);
	if (err != PS_OK)
		return err;
	get->r = p->r;
	get->shown = "the public value";
	if (rd->write) {
		get->write = write_on;
		get->write_arg = rd;
	}
	(void)read_on(rd, range, arg);
	err = ps_operation_end(&get->op);
	public_view_done(p->r, &rd->view);
	sodium_memzero(&rd->address, sizeof(rd->address));
	return err;
}

/* ---- calls ---- */

static int no_range(struct reading *rd, uint64_t size, void *arg)
{
	struct ps_public_info *info = arg;
	const struct public_view *view = &rd->view;
	*info = (struct ps_public_info){.size = size,
	                                .version = view->pad.header.identity.counter,
	                                .pads = ps_manifest_level(&view->manifest, 0),
	                                .first = view->first};
	memcpy(info->hash, view->manifest.hash, sizeof(info->hash));
	return PS_OK;
}

int ps_public_stat(ps_public *p, const char *address, struct ps_public_info *info)
{
	struct reading rd = {.given = false};
	struct ps_public_info told;
	if (!info)
		return ps_fail(PS_EINVAL, "ps_public_stat: an argument is NULL");
	int err = run(p, address, &rd, no_range, &told);
	if (err == PS_OK)
		*info = told;
	return err;
}

static int set_range(struct reading *rd, uint64_t size, void *arg)
{
	return get_set_range(&rd->get, size, arg);
}

int ps_public_get(ps_public *p, const char *address, void *buf, size_t cap, size_t *len)
{
	struct reading rd = {.get.buf = buf};
	struct get_range whole = {.whole = true, .cap = cap};
	if (!len || (!buf && cap > 0))
		return ps_fail(PS_EINVAL, "ps_public_get: an argument is NULL");
	int err = run(p, address, &rd, set_range, &whole);
	if (err == PS_OK || whole.too_small)
		*len = whole.size;
	return err;
}

int ps_public_read_at(ps_public *p, const char *address, uint64_t offset, void *buf, size_t len, size_t *got)
{
	struct reading rd = {.get.buf = buf};
	struct get_range part = {.offset = offset, .len = len};
	if (!got || (!buf && len > 0))
		return ps_fail(PS_EINVAL, "ps_public_read_at: an argument is NULL");
	int err = run(p, address, &rd, set_range, &part);
	if (err == PS_OK)
		*got = (size_t)(rd.get.to - rd.get.from);
	return err;
}

int ps_public_get_stream(ps_public *p, const char *address, uint64_t offset, uint64_t len,
                         ps_remote_write_fn write, void *arg)
{
	struct reading rd = {.write = write, .write_arg = arg};
	struct get_range part = {.offset = offset, .len = len};
	if (!write)
		return ps_fail(PS_EINVAL, "ps_public_get_stream: the callback is NULL");
	return run(p, address, &rd, set_range, &part);
}
