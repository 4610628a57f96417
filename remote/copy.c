/* A copy of the store on a second network: the order in which it is made (README.md says what a cut leaves).
 * Nothing is written down here: what there is to do follows from what the second network has. */
#include <stdio.h>

#include "base/fail.h"
#include "remote/copy_internal.h"
#include "remote/serial_set.h"

enum { MOST_TRIES = 8 };

/* ---- heads ---- */

/* The newest head that the first network has, verified and anchored as for a sync; taken by none. */
static int look(struct copy *c)
{
	struct ps_sync s;
	sync_head_done(&c->ours);
	int err = sync_begin(&s, c->r, "copy", NULL, NULL);
	if (err != PS_OK)
		return err;
	s.op.progress = NULL;
	err = sync_look(&s, &c->ours);
	if (err == PS_OK && !c->ours.there && !s.base.there)
		err = ps_fail(PS_ENOTFOUND, "no head was used here yet");
	if (err == PS_OK && !c->ours.there) {
		err = ps_head_copy(&c->ours.head, &s.base.head);
		memcpy(c->ours.hash, s.base.hash, sizeof(c->ours.hash));
		c->ours.there = err == PS_OK;
	}
	(void)ps_operation_fail(&s.op, err);
	return sync_end(&s);
}

static int newer_copy(struct copy *c, const struct ps_anchor *ours)
{
	enum ps_freshness freshness;
	unsigned long long counter = c->theirs.head.counter, here = c->ours.head.counter;
	if (ps_anchor_judge(ours, &c->theirs.head, c->theirs.hash, &freshness) != PS_OK)
		return ps_fail(PS_EFORK, "%s: its head %llu has another history than head %llu here",
		               ps_network_url(c->to.network), counter, here);
	return ps_fail(
	    PS_EROLLBACK,
	    "%s: its head %llu is newer than %llu, the newest that %s shows: the copy is left as it is",
	    ps_network_url(c->to.network), counter, here, ps_network_url(c->r->network));
}

/* Whether ours may take the place of theirs. */
static int judge(struct copy *c)
{
	struct ps_anchor ours, theirs;
	enum ps_freshness freshness;
	const char *url = ps_network_url(c->to.network);
	if (!c->theirs.there)
		return PS_OK;
	if (memcmp(c->theirs.head.network, c->ours.head.network, PS_NETWORK_ID) != 0)
		return ps_fail(PS_EEXIST,
		               "%s: there is a store of its own under this key and the name \"%s\"", url,
		               c->theirs.head.store);
	ps_anchor_of(&c->ours.head, c->ours.hash, 0, &ours);
	ps_anchor_of(&c->theirs.head, c->theirs.hash, 0, &theirs);
	if (c->theirs.head.counter > c->ours.head.counter)
		return newer_copy(c, &ours);
	if (ps_anchor_judge(&theirs, &c->ours.head, c->ours.hash, &freshness) != PS_OK)
		return ps_fail(PS_EFORK, "%s: its head %llu is not one that head %llu here goes back to", url,
		               (unsigned long long)theirs.counter, (unsigned long long)ours.counter);
	if (freshness == PS_FRESH_UNPROVEN && !c->options->behind)
		return ps_fail(
		    PS_EFORK,
		    "%s: its head %llu is more than %d behind %llu, so that it is of the same history is "
		    "not proven; `behind' takes it for that",
		    url, (unsigned long long)theirs.counter, PS_HEAD_PAIRS, (unsigned long long)ours.counter);
	return PS_OK;
}

static bool is_same(const struct copy *c)
{
	return c->theirs.there && c->theirs.head.counter == c->ours.head.counter; /* by judge() */
}

/* ---- what the newest head names ---- */

typedef int copy_pad_fn(struct copy *c, const struct copy_pad *pad);

static int one_slot(struct copy *c, const struct ps_pad_slot *slot, unsigned role, uint32_t part,
                    const char *key, copy_pad_fn *fn)
{
	struct copy_pad pad = {.slot = *slot, .role = (uint8_t)role, .part = part};
	(void)snprintf(pad.key, sizeof(pad.key), "%.64s", key);
	return fn(c, &pad);
}

static int each_slot(struct copy *c, const struct ps_slots *slots, unsigned role, const char *key,
                     copy_pad_fn *fn)
{
	int err = PS_OK;
	for (uint32_t i = 0; i < slots->count && err == PS_OK; i++)
		err = one_slot(c, &slots->slots[i], role, i, key, fn);
	return err;
}

/* All pads of a value: those of its contents, and of a public one that which its address shows. */
static int each_pad(struct copy *c, const struct ps_record *record, copy_pad_fn *fn)
{
	int err = each_slot(c, &record->sets[PS_SET_CURRENT], PS_ROLE_DATA, record->name, fn);
	if (err == PS_OK && (record->flags & PS_RECORD_PUBLIC))
		err = one_slot(c, &record->index_pad, PS_ROLE_DATA, 0, record->name, fn);
	return err;
}

static bool has_run(const struct ps_head *head, const uint8_t id[PS_RUN_ID])
{
	for (uint32_t i = 0; i < head->runs_count; i++)
		if (memcmp(head->runs[i].id, id, PS_RUN_ID) == 0)
			return true;
	return false;
}

/* What the copy's head names was there before that head: only what came since is looked at. */
static void choose_runs(const struct copy *c, bool *use)
{
	for (uint32_t i = 0; i < c->ours.head.runs_count; i++)
		use[i] =
		    c->options->all || !c->theirs.there || !has_run(&c->theirs.head, c->ours.head.runs[i].id);
}

static int show_walk(void *arg, const struct ps_remote_progress *progress)
{
	struct copy *c = arg;
	return progress->phase == PS_REMOTE_RUNNING && ps_operation_show(&c->op) != PS_OK;
}

static int walk_source(struct copy *c, struct sync_source *source, copy_pad_fn *fn)
{
	for (;;) {
		struct ps_record record;
		bool found;
		int err = sync_source_next(source, &record, &found);
		if (err != PS_OK || !found)
			return err;
		err = each_pad(c, &record, fn);
		ps_record_done(&record);
		if (err != PS_OK)
			return err;
	}
}

static int walk_runs(struct copy *c, const bool *use, copy_pad_fn *fn)
{
	struct ps_sync s = {.r = c->r, .memory = ps_index_memory(c->r->index)};
	struct sync_source *source = NULL;
	int err = ps_operation_begin(&s.op, c->r, "copy", NULL, 0, show_walk, c);
	if (err != PS_OK)
		return err;
	err = sync_source_new(&s, &c->ours.head, use, 0, &source);
	if (err == PS_OK)
		err = walk_source(c, source, fn);
	(void)ps_operation_fail(&s.op, err);
	sync_source_free(source);
	return ps_operation_end(&s.op);
}

static int walk_values(struct copy *c, copy_pad_fn *fn)
{
	size_t bytes = c->ours.head.runs_count + 1;
	bool *use = ps_memory_zalloc(&c->r->memory, bytes);
	if (!use)
		return ps_fail(PS_ENOMEM, "no memory for a list of runs");
	choose_runs(c, use);
	int err = walk_runs(c, use, fn);
	ps_memory_free(&c->r->memory, use, bytes);
	return err;
}

static int walk_index(struct copy *c, copy_pad_fn *fn)
{
	int err = PS_OK;
	for (uint32_t i = 0; i < c->ours.head.runs_count && err == PS_OK; i++)
		err = each_slot(c, &c->ours.head.runs[i].pads, PS_ROLE_RUN, "", fn);
	return err;
}

struct walk {
	struct copy *c;
	copy_pad_fn *fn;
};

static int each_ended(void *arg, const struct ps_spare *spare)
{
	const struct walk *walk = arg;
	if (spare->slot.class != PS_PAD_PUBLIC_INDEX)
		return PS_OK;
	return one_slot(walk->c, &spare->slot, PS_ROLE_TOMBSTONE, 0, "", walk->fn);
}

/* No head names an address that has ended; who knows of it is who ended it. */
static int walk_ended(struct copy *c, copy_pad_fn *fn)
{
	struct walk walk = {c, fn};
	return ps_index_each_spare(c->r->index, PS_SLOT_CONFIRMED, each_ended, &walk);
}

static int head_pad(struct copy *c, struct copy_pad *pad)
{
	*pad = (struct copy_pad){.role = PS_ROLE_HEAD};
	int err = ps_head_slot(c->r, c->ours.head.counter, &pad->slot);
	pad->slot.length = (uint32_t)ps_head_bytes(&c->ours.head);
	memcpy(pad->slot.hash, c->ours.hash, sizeof(pad->slot.hash));
	return err;
}

/* ---- the plan ---- */

static int count_pad(struct copy *c, const struct copy_pad *pad)
{
	uint32_t bytes = ps_pad_record_bytes(pad->slot.length);
	c->pads++;
	c->plan.bytes += pad->role == PS_ROLE_DATA ? pad->slot.length : 0;
	c->plan.record_bytes += bytes;
	c->largest = bytes > c->largest ? bytes : c->largest;
	return PS_OK;
}

/* The most that it can be: what the copy has already is seen when it is looked at. */
static int make_plan(struct copy *c)
{
	struct copy_pad head;
	c->plan = (struct ps_remote_plan){0};
	c->pads = c->largest = 0;
	int err = head_pad(c, &head);
	if (err == PS_OK)
		err = count_pad(c, &head);
	if (err == PS_OK)
		err = walk_values(c, count_pad);
	if (err == PS_OK)
		err = walk_ended(c, count_pad);
	if (err == PS_OK)
		err = walk_index(c, count_pad);
	if (err == PS_OK && c->largest > ps_network_largest(c->to.network))
		err = ps_fail(
		    PS_ERANGE,
		    "%s: its records hold %llu bytes, and one of those to be copied has %u: nothing was sent",
		    ps_network_url(c->to.network), (unsigned long long)ps_network_largest(c->to.network),
		    c->largest);
	c->plan.new_pads = c->pads;
	c->plan.requests = 4 * c->pads;
	c->plan.price = ps_manager_price(c->r, &c->plan, c->plan.record_bytes, c->plan.record_bytes);
	c->op.shown.pads_total = c->pads;
	c->op.shown.pads_done = c->op.shown.bytes_done = 0;
	return err == PS_OK ? ps_operation_plan(&c->op, &c->plan, 0, 0) : err;
}

/* ---- the order ---- */

int copy_check_missing(struct copy *c)
{
	if (c->result.missing == 0)
		return PS_OK;
	return ps_fail(PS_ELOST,
	               "%s: %llu pad%s lost or wrong; the copy has all others, and not what refers to them",
	               ps_network_url(c->r->network), (unsigned long long)c->result.missing,
	               c->result.missing == 1 ? " is" : "s are");
}

/* First all that takes nothing from the copy's head: names that are not there yet. */
static int send_new(struct copy *c)
{
	c->defers = true;
	int err = walk_values(c, copy_add);
	if (err == PS_OK)
		err = walk_ended(c, copy_add);
	if (err == PS_OK)
		err = walk_index(c, copy_add);
	err = copy_settle(c, err);
	c->defers = false;
	return err == PS_OK ? copy_check_missing(c) : err;
}

static int send_later(struct copy *c, struct ps_serial_set *index, bool indexed)
{
	int err = PS_OK;
	for (size_t i = 0; i < c->later.count && err == PS_OK; i++)
		if (ps_serial_set_has(index, &c->later.all[i].slot.serial) == indexed)
			err = copy_add(c, &c->later.all[i]);
	err = copy_settle(c, err);
	return err == PS_OK ? copy_check_missing(c) : err;
}

/* Then pads that were written anew since. One that the copy's own index lies in comes last, and right before
 * the head: until then the copy opens, and all that is unchanged since can be read from it. */
static int send_replaced(struct copy *c)
{
	struct ps_serial_set index;
	int err = PS_OK;
	ps_serial_set_init(&index, &c->r->memory);
	for (uint32_t i = 0; i < c->theirs.head.runs_count; i++)
		for (uint32_t p = 0; p < c->theirs.head.runs[i].pads.count && err == PS_OK; p++)
			err = ps_serial_set_add(&index, &c->theirs.head.runs[i].pads.slots[p].serial);
	if (err == PS_OK)
		err = send_later(c, &index, false);
	if (err == PS_OK)
		err = send_later(c, &index, true);
	ps_serial_set_done(&index);
	return err;
}

static int send_head(struct copy *c)
{
	struct copy_pad head;
	int err = head_pad(c, &head);
	if (err == PS_OK)
		err = copy_add(c, &head);
	err = copy_settle(c, err);
	return err == PS_OK ? copy_check_missing(c) : err;
}

static int send_all(struct copy *c)
{
	int err = copy_begin(c);
	if (err == PS_OK)
		err = send_new(c);
	if (err == PS_OK)
		err = send_replaced(c);
	if (err == PS_OK)
		err = send_head(c);
	copy_end(c);
	return err;
}

static void end_groups(struct copy *c)
{
	ps_group_free(c->op.group);
	ps_group_free(c->op.second);
	c->op.group = c->op.second = NULL;
}

static int one_try(struct copy *c)
{
	int err = look(c);
	c->moved = false;
	c->result.missing = 0;
	sync_head_done(&c->theirs);
	if (err == PS_OK)
		err = ps_operation_group(&c->op);
	if (err == PS_OK)
		err = ps_operation_second(&c->op, &c->to);
	if (err == PS_OK)
		err = copy_fetch_theirs(c);
	if (err == PS_OK)
		err = judge(c);
	if (err != PS_OK)
		return err;
	if (!is_same(c) || c->options->all) {
		err = make_plan(c);
		if (err == PS_OK)
			err = send_all(c);
	}
	return err == PS_OK && c->which ? copy_slots(c, c->which) : err;
}

static int run(struct copy *c)
{
	for (unsigned tries = 1;; tries++) {
		int err = one_try(c);
		if (err == PS_OK || !c->moved || tries == MOST_TRIES)
			return err;
		end_groups(c);
	}
}

/* ---- the call ---- */

static int open_second(struct copy *c, const char *url)
{
	const struct ps_remote_copy *o = c->options;
	struct ps_network_options options = {.size = sizeof(options),
	                                     .timeout_ms = c->r->options.timeout_ms,
	                                     .depth = c->r->options.depth,
	                                     .create = o->create,
	                                     .region = o->region,
	                                     .profile = o->profile,
	                                     .ca_file = o->ca_file,
	                                     .config = o->config,
	                                     .user = o->user,
	                                     .keyring = o->keyring};
	int err = ps_second_open(c->r, url, &options, &c->to);
	if (err == PS_OK && strcmp(ps_network_url(c->to.network), ps_network_url(c->r->network)) == 0)
		err = ps_fail(PS_EINVAL, "%s is the store's own network", url);
	return err;
}

static int copy_to(struct copy *c, const char *url)
{
	int err = ps_lanes_init(&c->lanes, c->r->seams.clock);
	if (err != PS_OK)
		return err;
	err = ps_lanes_init(&c->single, c->r->seams.clock);
	if (err == PS_OK)
		err = open_second(c, url);
	if (err == PS_OK)
		err = run(c);
	c->result.head = c->ours.head.counter;
	if (c->ours.there)
		ps_head_code(c->ours.head.counter, c->ours.hash, c->result.code);
	return err;
}

static int end(struct copy *c)
{
	int err = ps_operation_end(&c->op);
	(void)!ps_second_close(&c->to); /* its groups are gone */
	ps_lanes_done(&c->lanes);
	ps_lanes_done(&c->single);
	sync_head_done(&c->ours);
	sync_head_done(&c->theirs);
	return err;
}

int ps_remote_copy(ps_remote *r, const char *url, const struct ps_remote_copy *options,
                   struct ps_remote_copy_result *result)
{
	return ps_remote_copy_slots(r, url, options, NULL, result, NULL);
}

int ps_remote_copy_slots(ps_remote *r, const char *url, const struct ps_remote_copy *options,
                         const struct ps_remote_slots *which, struct ps_remote_copy_result *result,
                         uint64_t *slots)
{
	static const struct ps_remote_copy none = {.size = sizeof(none)};
	struct copy c = {.r = r, .options = options ? options : &none, .which = which};
	static_assert(sizeof(c.result.code) == PS_HEAD_CODE, "a head code fits");
	if (!url || c.options->size != sizeof(none))
		return ps_fail(PS_EINVAL,
		               "ps_remote_copy: the URL is NULL, or the options have another size");
	/* What this head names stays where it is while it is read, whatever a sync frees meanwhile. */
	int err = ps_operation_begin(&c.op, r, "copy", NULL, PS_OP_READS, c.options->progress,
	                             c.options->progress_arg);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&c.op, copy_to(&c, url));
	struct ps_remote_copy_result told = c.result;
	err = end(&c);
	if (slots && err == PS_OK)
		*slots = c.slots;
	if (result && (err == PS_OK || told.missing > 0))
		*result = told;
	return err;
}
