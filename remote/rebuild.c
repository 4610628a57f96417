/* A head that is lost, while the index that it listed is there: from what every pad says of itself, and from
 * what this machine knows, to a head again. Only on request: what a network does not show may be kept back.
 */
#include <stdio.h>

#include "base/fail.h"
#include "remote/serial_set.h"
#include "remote/sync_internal.h"

/* ---- the state that is there ---- */

/* Ancestors that nobody remembers. Machines that have used one of them see a fork: they have to be told. */
static void forget_ancestors(struct ps_head *head, uint64_t from, uint64_t counter)
{
	for (uint64_t c = from; c < counter; c++) {
		if (head->pairs_count == PS_HEAD_PAIRS)
			memmove(head->pairs, head->pairs + 1, --head->pairs_count * sizeof(head->pairs[0]));
		struct ps_head_pair *pair = &head->pairs[head->pairs_count++];
		pair->counter = c;
		memset(pair->hash, 0xff, sizeof(pair->hash));
	}
}

static int list_self(struct ps_sync *s, struct ps_head *head)
{
	ps_remote *r = s->r;
	struct ps_head_machine *self = NULL;
	for (uint32_t i = 0; i < head->machines_count; i++)
		if (memcmp(head->machines[i].id, r->machine.id, PS_MACHINE) == 0)
			self = &head->machines[i];
	if (!self) {
		size_t size = sizeof(*self);
		self = ps_memory_resize(head->memory, head->machines, head->machines_count * size,
		                        (head->machines_count + 1) * size);
		if (!self)
			return ps_fail(PS_ENOMEM, "no memory for a head");
		head->machines = self;
		self += head->machines_count++;
		*self = (struct ps_head_machine){0};
	}
	self->last = head->counter;
	memcpy(self->id, r->machine.id, sizeof(self->id));
	memcpy(self->name, r->machine.name, sizeof(self->name));
	memcpy(head->writer, r->machine.id, sizeof(head->writer));
	if (head->machines_count == 1)
		head->alone = head->counter;
	return PS_OK;
}

/* The head that might have been the last one: the one that was used here last, or one that nobody has seen,
 * if what was found is newer. */
static int guess_last(struct ps_sync *s, const struct ps_head *found, struct sync_head *last)
{
	struct ps_head *head = &last->head;
	uint64_t newest = found->runs_count > 0 ? found->runs[found->runs_count - 1].head : 0;
	if (s->base.there) {
		int err = ps_head_copy(head, &s->base.head);
		if (err != PS_OK)
			return err;
		memcpy(last->hash, s->base.hash, sizeof(last->hash));
	} else {
		ps_head_init(head, &s->r->memory);
		memcpy(head->network, found->network, sizeof(head->network));
		(void)snprintf(head->store, sizeof(head->store), "%s", ps_keys_store(s->r->keys));
	}
	last->there = true;
	if (s->base.there && newest <= head->counter)
		return PS_OK;
	if (s->base.there && head->pairs_count == PS_HEAD_PAIRS)
		memmove(head->pairs, head->pairs + 1, --head->pairs_count * sizeof(head->pairs[0]));
	if (s->base.there) {
		struct ps_head_pair *pair = &head->pairs[head->pairs_count++];
		pair->counter = head->counter;
		memcpy(pair->hash, s->base.hash, sizeof(pair->hash));
	}
	uint64_t from = head->counter + 1;
	if (from + PS_HEAD_PAIRS < newest) {
		from = newest - PS_HEAD_PAIRS;
		head->pairs_count = 0;
	}
	forget_ancestors(head, from, newest);
	head->counter = newest;
	memset(last->hash, 0xff, sizeof(last->hash));
	return list_self(s, head);
}

static int take_runs(const struct ps_head *found, struct ps_head *head)
{
	int err = ps_head_cut_runs(head, 0);
	for (uint32_t i = 0; i < found->runs_count && err == PS_OK; i++)
		err = ps_head_add_run(head, &found->runs[i]);
	return err;
}

/* ---- the new head ---- */

static int create_next(struct ps_sync *s)
{
	struct sync_head none = {0};
	struct sync_intent intent = {0};
	struct ps_head next = {0};
	enum sync_fate fate;
	int err = ps_head_next(&s->base.head, s->base.hash, s->r->machine.id, s->r->machine.name,
	                       ps_remote_wall_ns(s->r), &next);
	if (err != PS_OK)
		return err;
	next.epoch++;
	err = sync_seal_head(s, &none, &next, &intent);
	intent.skipped = true;
	if (err == PS_OK)
		err = sync_keep_intent(s, &intent);
	if (err == PS_OK)
		err = sync_send_head(s, &intent, &fate);
	if (err == PS_OK && fate == SYNC_CONFLICT)
		err =
		    ps_fail(PS_EEXIST, "%s: a head came while it was rebuilt", ps_network_url(s->r->network));
	if (err == PS_OK)
		err = sync_finish_own(s, &intent, false);
	sync_intent_done(&intent);
	ps_head_done(&next);
	return err;
}

/* ---- all ---- */

static int check_lost(struct ps_sync *s)
{
	struct sync_head head = {0};
	int err = sync_fetch_head(s, &head);
	bool there = head.there;
	sync_head_done(&head);
	/* One of another network, or of nobody, is in the way as well: it is not for us to take away. */
	if (err == PS_OK && there)
		err = ps_fail(PS_EEXIST, "%s: the head is there: nothing is to be rebuilt",
		              ps_network_url(s->r->network));
	return err;
}

static int add_spare(void *arg, const struct ps_spare *spare)
{
	return ps_serial_set_add(arg, &spare->slot.serial);
}

/* What lies in pads that are free here was replaced by this machine, which knows what became of it. */
static int leave_out_own(struct ps_sync *s, struct sync_found *found)
{
	struct ps_serial_set spares;
	size_t kept = 0;
	int err = PS_OK;
	ps_serial_set_init(&spares, &s->r->memory);
	for (unsigned status = PS_SLOT_GENERATED; status < PS_SLOT_STATUSES && err == PS_OK; status++)
		err = ps_index_each_spare(s->r->index, status, add_spare, &spares);
	for (size_t i = 0; i < found->count && err == PS_OK; i++)
		if (!ps_serial_set_has(&spares, &found->parts[i].slot.serial))
			found->parts[kept++] = found->parts[i];
	if (err == PS_OK)
		found->count = kept;
	ps_serial_set_done(&spares);
	return err;
}

static int find_state(struct ps_sync *s, struct ps_head *head, struct ps_remote_rebuild_result *result)
{
	struct sync_found found = {0};
	ps_head_init(head, &s->r->memory);
	int err = sync_scan(s, &found);
	if (err == PS_OK && s->r->index)
		err = leave_out_own(s, &found);
	if (err == PS_OK)
		err = sync_choose_runs(s, &found, head);
	*result = (struct ps_remote_rebuild_result){.looked = found.looked,
	                                            .refused = found.refused,
	                                            .runs = head->runs_count,
	                                            .incomplete = found.incomplete,
	                                            .ambiguous = found.ambiguous};
	sync_found_done(s, &found);
	if (err == PS_OK && head->runs_count == 0 && !s->base.there)
		err = ps_fail(PS_ENOTFOUND,
		              "%s: there is no index of a store \"%s\" under this key, nor a whole "
		              "part of one",
		              ps_network_url(s->r->network), ps_keys_store(s->r->keys));
	return err;
}

/* What was on its way to a head that is gone goes nowhere: its guard refuses it. */
static int drop_intent(struct ps_sync *s)
{
	int err = sync_settle_lefts(s);
	if (err == PS_OK)
		err = sync_settle_sent(s, 0);
	return err == PS_OK ? sync_forget_intent(s) : err;
}

static int rebuild(struct ps_sync *s, struct ps_remote_rebuild_result *result)
{
	struct ps_head found = {0};
	struct sync_head last = {0};
	int err = check_lost(s);
	if (err == PS_OK)
		err = drop_intent(s);
	if (err == PS_OK)
		err = sync_drop_orphans(s);
	if (err == PS_OK)
		err = find_state(s, &found, result);
	if (err == PS_OK)
		err = guess_last(s, &found, &last);
	if (err == PS_OK)
		err = take_runs(&found, &last.head);
	bool known = s->base.there;
	s->rebuilds = true;
	if (err == PS_OK)
		err = sync_merge(s, &last);
	/* What this machine knows and no run has is sent with the next sync. */
	if (err == PS_OK && known)
		err = sync_renew_missing(s);
	if (err == PS_OK)
		err = create_next(s);
	if (err == PS_OK)
		err = sync_drop_orphans(s);
	result->head = s->base.head.counter;
	sync_head_done(&last);
	ps_head_done(&found);
	return err;
}

int ps_sync_rebuild(ps_remote *r, struct ps_remote_rebuild_result *result)
{
	struct ps_sync s;
	int err = sync_begin(&s, r, "rebuild", NULL, NULL);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&s.op, rebuild(&s, result));
	return sync_end(&s);
}

static int find_network(struct ps_sync *s)
{
	struct ps_remote_rebuild_result result;
	struct ps_head found = {0};
	int err = check_lost(s);
	if (err == PS_OK)
		err = find_state(s, &found, &result);
	if (err == PS_OK)
		memcpy(s->r->network_id, found.network, sizeof(found.network));
	ps_head_done(&found);
	return err;
}

int ps_sync_find_network(ps_remote *r)
{
	return sync_call(r, "rebuild", find_network, NULL, NULL);
}
