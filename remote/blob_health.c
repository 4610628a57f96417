/* The health check: looks at pads, or reads them; confirms what was only written; marks what is lost or
 * wrong; and writes it anew, in place and byte for byte, where somebody has the contents. */
#include <sodium.h>
#include <stdio.h>

#include "base/fail.h"
#include "remote/public_internal.h"

enum { BATCH = 256, ROUNDS = 3, SHARE_ALL = 1 << 20 };

struct health {
	struct ps_operation op;
	ps_remote *r;
	const struct ps_remote_health *options;
	struct ps_remote_health_result result;
};

/* One pad of a value. */
struct examined {
	uint32_t chunk;
	int error; /* PS_OK: as it should be */
	bool looked, there;
	struct ps_pad_identity identity;
	char sentence[PS_NET_SENTENCE];
};

struct patient {
	struct health *h;
	struct ps_operation key; /* the value is nobody else's meanwhile */
	struct ps_record record;
	uint32_t chunk_bytes;
	bool changed;
};

/* ---- writing down ---- */

static int write_record(struct patient *p)
{
	ps_index_txn *txn;
	int err = ps_index_begin(p->h->r->index, &txn);
	if (err != PS_OK)
		return err;
	(void)!ps_txn_put(txn, &p->record);
	err = ps_index_commit(txn);
	p->changed = false;
	return err;
}

static struct ps_pad_slot *slot_of(struct patient *p, const struct examined *e)
{
	return &p->record.sets[PS_SET_CURRENT].slots[e->chunk];
}

static void set_status(struct patient *p, const struct examined *e, unsigned status)
{
	struct ps_pad_slot *slot = slot_of(p, e);
	p->changed |= slot->status != status;
	slot->status = (uint8_t)status;
}

/* What was marked is there after all: by way of "to be looked at", as all that comes back. */
static int recall_invalid(struct patient *p, const struct examined *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (all[i].looked && all[i].error == PS_OK && slot_of(p, &all[i])->status == PS_SLOT_INVALID)
			set_status(p, &all[i], PS_SLOT_PENDING);
	return p->changed ? write_record(p) : PS_OK;
}

static void tell(struct patient *p, const struct examined *e)
{
	const struct ps_remote_health *o = p->h->options;
	if (o->finding)
		o->finding(o->finding_arg, p->record.name, e->chunk, e->error, e->sentence);
}

/* ---- examining ---- */

static int differs(struct examined *e, const struct ps_pad_slot *slot)
{
	struct ps_pad_identity ours = ps_slot_identity(slot);
	unsigned long long there = e->identity.counter, known = slot->counter;
	if (!e->there)
		return ps_fail(PS_ELOST, "chunk %u: its pad is not there", e->chunk);
	if (ps_identity_same(&e->identity, &ours))
		return PS_OK;
	if (there < known)
		return ps_fail(PS_EROLLBACK, "chunk %u: version %llu of its pad, but %llu is known", e->chunk,
		               there, known);
	if (there == known)
		return ps_fail(PS_EFORK, "chunk %u: another record of version %llu of its pad", e->chunk,
		               there);
	return ps_fail(PS_ESUPERSEDED, "chunk %u: version %llu of its pad, but %llu is looked for", e->chunk,
	               there, known);
}

static void keep_error(struct examined *e, int err)
{
	e->error = err;
	snprintf(e->sentence, sizeof(e->sentence), "%s", err == PS_OK ? "" : ps_last_error_message());
}

/* What is not as it should be is looked at again: a network may find late what it has. */
static int look_round(struct patient *p, struct examined *all, size_t count, struct ps_pad_look *looks)
{
	size_t n = 0, at = 0;
	for (size_t i = 0; i < count; i++)
		if (!all[i].looked || all[i].error != PS_OK)
			looks[n++] = (struct ps_pad_look){.slot = *slot_of(p, &all[i])};
	int err = n > 0 ? ps_pads_look(&p->h->op, looks, n) : PS_OK;
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		struct examined *e = &all[i];
		if (e->looked && e->error == PS_OK)
			continue;
		const struct ps_pad_look *look = &looks[at++];
		e->looked = look->task.fate == PS_FATE_DONE;
		if (!e->looked) {
			keep_error(e, ps_fail(ps_task_error(&look->task), "%s", look->task.sentence));
			continue;
		}
		e->there = look->there;
		e->identity = look->identity;
		keep_error(e, differs(e, slot_of(p, e)));
	}
	return err;
}

static int look_all(struct patient *p, struct examined *all, size_t count)
{
	struct ps_memory *memory = &p->h->r->memory;
	struct ps_pad_look *looks = ps_memory_alloc(memory, count * sizeof(*looks));
	if (!looks)
		return ps_operation_fail(&p->h->op, ps_fail(PS_ENOMEM, "no memory for pads"));
	int err = PS_OK;
	for (unsigned round = 0; round < ROUNDS && err == PS_OK; round++)
		err = look_round(p, all, count, looks);
	ps_memory_free(memory, looks, count * sizeof(*looks));
	return err;
}

/* Whole, and opened as a reader would: of those that look right. */
static int read_all(struct patient *p, struct examined *all, size_t count)
{
	struct ps_memory *memory = &p->h->r->memory;
	struct ps_pad_read *reads = ps_memory_zalloc(memory, count * sizeof(*reads));
	uint8_t(*descriptions)[PS_CHUNK_DESCRIPTION] = ps_memory_alloc(memory, count * sizeof(*descriptions));
	size_t n = 0, at = 0;
	int err = reads && descriptions
	              ? PS_OK
	              : ps_operation_fail(&p->h->op, ps_fail(PS_ENOMEM, "no memory for pads"));
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		if (!all[i].looked || all[i].error != PS_OK)
			continue;
		ps_chunk_description(all[i].chunk, descriptions[n]);
		reads[n] = (struct ps_pad_read){.slot = *slot_of(p, &all[i]),
		                                .role = PS_ROLE_DATA,
		                                .description = descriptions[n],
		                                .description_len = PS_CHUNK_DESCRIPTION};
		reads[n].to = reads[n].slot.length;
		n++;
	}
	if (err == PS_OK && n > 0)
		err = ps_pads_read(&p->h->op, reads, n);
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		if (!all[i].looked || all[i].error != PS_OK)
			continue;
		const struct ps_task *task = &reads[at++].task;
		if (task->fate != PS_FATE_DONE)
			keep_error(&all[i], ps_fail(ps_task_error(task), "chunk %u: %.200s", all[i].chunk,
			                            task->sentence));
	}
	if (reads)
		ps_memory_free(memory, reads, count * sizeof(*reads));
	if (descriptions)
		ps_memory_free(memory, descriptions, count * sizeof(*descriptions));
	return err;
}

/* ---- repairing ---- */

/* The same bytes under the same number: only where the contents are those that were there. */
static int seal_again(struct patient *p, const struct examined *e, struct ps_pad_send *send, uint8_t *payload)
{
	const struct ps_remote_health *o = p->h->options;
	struct ps_pad_slot *slot = slot_of(p, e);
	uint8_t description[PS_CHUNK_DESCRIPTION];
	if (o->contents(o->contents_arg, p->record.name, (uint64_t)e->chunk * p->chunk_bytes, payload,
	                slot->length) != 0)
		return ps_fail(PS_ENOTFOUND, "nobody has its contents");
	if (sodium_is_zero(slot->nonce, sizeof(slot->nonce)))
		return ps_fail(PS_ENOTSUP, "another machine wrote it, and can repair it");
	ps_chunk_description(e->chunk, description);
	return ps_manager_seal(p->h->r, &send->slot, PS_ROLE_DATA, description, sizeof(description), payload,
	                       slot->length, &send->sealed);
}

/* From the fallback as it lies there; else from a local copy of the contents. */
static int find_record(struct patient *p, const struct examined *e, struct ps_pad_send *send)
{
	uint32_t bytes = slot_of(p, e)->length > 0 ? slot_of(p, e)->length : 1;
	*send =
	    (struct ps_pad_send){.slot = *slot_of(p, e), .role = PS_ROLE_DATA, .len = slot_of(p, e)->length};
	if (e->there)
		send->expected = e->identity;
	int err = ps_fallback_record(&p->h->op, &send->slot, PS_ROLE_DATA, &send->sealed);
	if (err == PS_OK || p->h->op.canceled || !p->h->options->contents)
		return err;
	uint8_t *payload = ps_memory_alloc(&p->h->r->memory, bytes);
	if (!payload)
		return ps_fail(PS_ENOMEM, "no memory for a chunk");
	err = seal_again(p, e, send, payload);
	ps_memory_free(&p->h->r->memory, payload, bytes);
	return err;
}

/* The right version is there, and does not read as that: networks replace a version only by another one. */
static bool is_damaged(struct patient *p, const struct examined *e)
{
	struct ps_pad_identity ours = ps_slot_identity(slot_of(p, e));
	return e->there && ps_identity_same(&e->identity, &ours) &&
	       (e->error == PS_EAUTH || e->error == PS_ECORRUPT || e->error == PS_ELOST);
}

/* So it goes first, and the same bytes are created anew. A cut in between leaves a pad that is lost. */
static int take_away(struct patient *p, const struct examined *e, struct ps_pad_send *send)
{
	struct ps_pad_send removal = {.slot = send->slot, .removes = true, .expected = e->identity};
	if (!(ps_network_caps(p->h->r->network) & PS_NET_CAP_GUARDED_REMOVE))
		return ps_fail(PS_ENOTSUP, "this network deletes without comparing what it deletes");
	int err = ps_pads_send(&p->h->op, &removal, 1, PS_VERIFY_HEAD);
	if (err == PS_OK && removal.settle.task.fate != PS_FATE_DONE)
		err = ps_fail(ps_task_error(&removal.settle.task),
		              "the damaged record is still there: %.180s", removal.settle.task.sentence);
	send->expected = (struct ps_pad_identity){0};
	return err;
}

static bool may_repair(struct patient *p, const struct examined *e)
{
	return (p->h->options->contents || p->h->r->fallback.network) && e->looked && e->error != PS_OK &&
	       (!e->there || e->error == PS_EROLLBACK || is_damaged(p, e));
}

static int repair(struct patient *p, struct examined *e)
{
	struct ps_pad_send send = {0};
	bool damaged = is_damaged(p, e);
	int sealed = find_record(p, e, &send);
	if (sealed == PS_OK && damaged)
		sealed = take_away(p, e, &send);
	if (p->h->op.error != PS_OK) {
		ps_net_buffer_release(send.sealed);
		return p->h->op.error;
	}
	if (sealed != PS_OK) {
		ps_net_buffer_release(send.sealed);
		char why[PS_NET_SENTENCE]; /* the finding stands, and why it was not repaired */
		snprintf(why, sizeof(why), "%s", ps_last_error_message());
		keep_error(e, ps_fail(e->error, "chunk %u was not repaired: %.200s", e->chunk, why));
		tell(p, e);
		return PS_OK;
	}
	set_status(p, e, PS_SLOT_GENERATED);
	int err = ps_operation_fail(&p->h->op, write_record(p));
	if (err == PS_OK)
		err = ps_pads_send(&p->h->op, &send, 1, damaged ? PS_VERIFY_READ : PS_VERIFY_HEAD);
	ps_net_buffer_release(send.sealed);
	unsigned status = ps_manager_status(&send.settle, PS_SLOT_PENDING);
	set_status(p, e, status);
	p->h->result.repaired += status == PS_SLOT_CONFIRMED;
	int noted = ps_operation_fail(&p->h->op, write_record(p));
	return err != PS_OK ? err : noted;
}

/* ---- one value ---- */

static void count_one(struct health *h, const struct examined *e, unsigned status)
{
	h->result.looked++;
	h->result.sound += e->error == PS_OK;
	h->result.confirmed += e->error == PS_OK && status != PS_SLOT_CONFIRMED;
	h->result.unknown += e->error != PS_OK && !e->looked;
	h->result.lost += e->looked && e->error == PS_ELOST;
	h->result.wrong += e->looked && e->error != PS_OK && e->error != PS_ELOST;
}

static int conclude(struct patient *p, struct examined *all, size_t count)
{
	int err = ps_operation_fail(&p->h->op, recall_invalid(p, all, count));
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		struct examined *e = &all[i];
		count_one(p->h, e, slot_of(p, e)->status);
		if (e->error != PS_OK)
			tell(p, e);
		if (e->looked)
			set_status(p, e, e->error == PS_OK ? PS_SLOT_CONFIRMED : PS_SLOT_INVALID);
	}
	if (err == PS_OK && p->changed)
		err = ps_operation_fail(&p->h->op, write_record(p));
	for (size_t i = 0; i < count && err == PS_OK; i++)
		if (may_repair(p, &all[i]))
			err = repair(p, &all[i]);
	return err;
}

static bool is_chosen(const struct health *h)
{
	double share = h->options->share;
	return share <= 0 || share >= 1 || randombytes_uniform(SHARE_ALL) < (uint32_t)(share * SHARE_ALL);
}

static int examine_some(struct patient *p, uint32_t *from)
{
	const struct ps_slots *current = &p->record.sets[PS_SET_CURRENT];
	struct examined *all = ps_memory_zalloc(&p->h->r->memory, BATCH * sizeof(*all));
	size_t count = 0;
	if (!all)
		return ps_operation_fail(&p->h->op, ps_fail(PS_ENOMEM, "no memory for pads"));
	for (; *from < current->count && count < BATCH; (*from)++)
		if (is_chosen(p->h))
			all[count++].chunk = *from;
	int err = count > 0 ? look_all(p, all, count) : PS_OK;
	if (err == PS_OK && count > 0 && p->h->options->read)
		err = read_all(p, all, count);
	if (err == PS_OK && count > 0)
		err = conclude(p, all, count);
	ps_memory_free(&p->h->r->memory, all, BATCH * sizeof(*all));
	return err;
}

/* What a public value's address shows. It is made of what is known here, so that nobody's contents are needed
 * to write it anew; but only where repairs are asked for. What an interrupted call left open is that call's.
 */
static int examine_address(struct patient *p)
{
	struct health *h = p->h;
	struct examined e = {.chunk = p->record.sets[PS_SET_CURRENT].count};
	if (!ps_record_is_public(&p->record) || p->record.index_pad.status == PS_SLOT_GENERATED ||
	    !is_chosen(h))
		return PS_OK;
	int err = ps_public_look(&h->op, &p->record, NULL);
	if (h->op.canceled || err == PS_ENOMEM)
		return ps_operation_fail(&h->op, err);
	e.looked = err != PS_EUNAVAILABLE && err != PS_EACCES && err != PS_ETIMEDOUT;
	keep_error(&e, err);
	count_one(h, &e, PS_SLOT_CONFIRMED);
	if (err == PS_OK)
		return PS_OK;
	tell(p, &e);
	if (!h->options->contents || (err != PS_ELOST && err != PS_EROLLBACK))
		return PS_OK;
	err = ps_operation_fail(&h->op, ps_public_show_again(&h->op, &p->record));
	h->result.repaired += err == PS_OK;
	return err;
}

static int examine_record(struct patient *p)
{
	const struct ps_slots *current = &p->record.sets[PS_SET_CURRENT];
	int err = PS_OK;
	p->chunk_bytes = current->count > 0 ? current->slots[0].length : 0;
	for (uint32_t from = 0; from < current->count && err == PS_OK;)
		err = examine_some(p, &from);
	if (err == PS_OK)
		err = examine_address(p);
	if (err != PS_OK || !ps_record_has_contents(&p->record) || (p->record.flags & PS_RECORD_COMPLETE) ||
	    !ps_slots_confirmed(current))
		return err;
	p->record.flags |= PS_RECORD_COMPLETE;
	return ps_operation_fail(&p->h->op, write_record(p));
}

static int examine_key(struct health *h, const char *key)
{
	struct patient p = {.h = h};
	int err = ps_operation_begin(&p.key, h->r, "health", key, PS_OP_LOCKS, NULL, NULL);
	if (err == PS_EBUSY && !h->options->key)
		return PS_OK; /* whoever changes it looks at it himself */
	if (err != PS_OK)
		return ps_operation_fail(&h->op, err);
	p.key.progress = NULL;
	h->op.shown.key = key;
	err = ps_index_get(h->r->index, PS_RECORD_BLOB, key, strlen(key), &p.record);
	if (err == PS_OK) {
		err = examine_record(&p);
		ps_record_done(&p.record);
	} else if (err == PS_ENOTFOUND && !h->options->key) {
		err = PS_OK;
	}
	(void)!ps_operation_end(&p.key);
	return ps_operation_fail(&h->op, err);
}

static int examine_listed(void *arg, const struct ps_record *record)
{
	return ps_record_has_contents(record) ? examine_key(arg, record->name) : PS_OK;
}

static int show_plan(struct health *h)
{
	struct ps_index_figures f;
	ps_index_figures(h->r->index, &f);
	double share = h->options->share > 0 && h->options->share < 1 ? h->options->share : 1;
	struct ps_remote_plan plan = {.bytes = f.bytes};
	plan.requests = (uint64_t)((double)f.pads[PS_SLOT_CONFIRMED] * share) * (h->options->read ? 2 : 1);
	plan.record_bytes = h->options->read ? (uint64_t)((double)f.bytes * share) : 0;
	plan.price = ps_manager_price(h->r, &plan, 0, plan.record_bytes);
	h->op.shown.pads_total = plan.requests;
	return ps_operation_plan(&h->op, &plan, 0, 0);
}

int ps_remote_health_check(ps_remote *r, const struct ps_remote_health *options,
                           struct ps_remote_health_result *result)
{
	static const struct ps_remote_health all = {.size = sizeof(all)};
	struct health h = {.r = r, .options = options ? options : &all};
	if (h.options->size != sizeof(*options))
		return ps_fail(PS_EINVAL, "ps_remote_health_check: the options have another size");
	int err =
	    ps_operation_begin(&h.op, r, "health", NULL, 0, h.options->progress, h.options->progress_arg);
	if (err != PS_OK)
		return err;
	if (!ps_keys_can_write(r->keys))
		err = ps_operation_fail(&h.op, ps_fail(PS_EREADONLY, "a key that only reads marks nothing"));
	if (err == PS_OK)
		err = show_plan(&h);
	if (err == PS_OK && h.options->key)
		err = examine_key(&h, h.options->key);
	else if (err == PS_OK)
		err = ps_operation_fail(&h.op,
		                        ps_index_list(r->index, PS_RECORD_BLOB, NULL, 0, examine_listed, &h));
	h.op.shown.key = h.options->key;
	err = ps_operation_end(&h.op);
	if (err == PS_OK && result)
		*result = h.result;
	return err;
}
