/* Pads without a record: finding out what became of them, fencing what may still be on its way, making free
 * ones ahead. Every step is written down before it is sent. */
#include <sodium.h>

#include "base/fail.h"
#include "remote/public_internal.h"
#include "remote/spares.h"

/* ---- lists of them ---- */

static int add_spare(void *arg, const struct ps_spare *spare)
{
	struct spares *spares = arg;
	struct ps_spare *grown =
	    ps_memory_grow(spares->memory, spares->all, spares->count, &spares->capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	spares->all = grown;
	spares->all[spares->count++] = *spare;
	return PS_OK;
}

int spares_list(ps_remote *r, unsigned status, struct spares *spares)
{
	*spares = (struct spares){.memory = &r->memory};
	int err = ps_index_each_spare(r->index, status, add_spare, spares);
	if (err != PS_OK)
		spares_done(spares);
	return err;
}

void spares_done(struct spares *spares)
{
	if (spares->all)
		ps_memory_free(spares->memory, spares->all, spares->capacity * sizeof(*spares->all));
	*spares = (struct spares){.memory = spares->memory};
}

/* One commit for all: each spare pad becomes its new slot, or is retired where that is gone. One that is not
 * there any more is left alone. */
int spares_change(ps_remote *r, const struct ps_spare *spares, const struct ps_pad_slot *slots, size_t count)
{
	ps_index_txn *txn;
	int err = count > 0 ? ps_index_begin(r->index, &txn) : PS_OK;
	if (err != PS_OK || count == 0)
		return err;
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		struct ps_pad_slot old;
		if (slots[i].status == spares[i].slot.status &&
		    memcmp(slots[i].hash, spares[i].slot.hash, sizeof(slots[i].hash)) == 0)
			continue;
		err = ps_txn_take_spare(txn, spares[i].id, &old);
		if (err == PS_ENOTFOUND) {
			err = PS_OK;
			continue;
		}
		if (err == PS_OK)
			err = slots[i].status == PS_SLOT_GONE ? ps_txn_retire(txn, &old)
			                                      : ps_txn_add_spare(txn, &slots[i], 0);
	}
	if (err == PS_OK)
		return ps_index_commit(txn);
	ps_index_abort(txn);
	return err;
}

/* ---- what a look tells ---- */

/* A pad whose outcome was open, and what the network shows of it. */
static unsigned judge(const struct ps_pad_slot *slot, const struct ps_pad_look *look)
{
	struct ps_pad_identity ours = ps_slot_identity(slot);
	if (!look->there)
		return PS_SLOT_INVALID; /* not there now: forgotten only after further looks */
	/* One that was an address is never free: it says from now on that it was taken back. */
	if (ps_slot_sealed(slot) && ps_identity_same(&look->identity, &ours))
		return slot->class == PS_PAD_PUBLIC_INDEX ? PS_SLOT_PENDING : PS_SLOT_FREE;
	/* Ours may still be on its way: it is fenced off. */
	return look->identity.counter < slot->counter ? PS_SLOT_PENDING : PS_SLOT_INVALID;
}

/* A fence: a record of no contents, with a number above all that may still be on its way. */
static int plan_fence(ps_remote *r, struct ps_pad_slot *slot, const struct ps_pad_identity *there,
                      struct ps_net_buffer **sealed)
{
	if (slot->generation >= UINT32_MAX - 1 || slot->counter >= UINT64_MAX - 1)
		return ps_fail(PS_ERANGE, "a pad's generation or counter is used up");
	bool address = slot->class == PS_PAD_PUBLIC_INDEX;
	slot->generation += !address; /* what an address opens stays of one generation */
	slot->counter++;
	slot->length = 0;
	slot->status = PS_SLOT_GENERATED;
	memset(slot->nonce, 0, sizeof(slot->nonce));
	memset(slot->hash, 0, sizeof(slot->hash));
	memcpy(slot->before, there->hash, sizeof(slot->before));
	if (address)
		return ps_manager_seal(r, slot, PS_ROLE_TOMBSTONE, public_description, PUBLIC_DESCRIPTION, "",
		                       0, sealed);
	return ps_manager_seal(r, slot, PS_ROLE_FENCE, NULL, 0, "", 0, sealed);
}

/* ---- writing ---- */

struct batch {
	struct ps_spare *spares; /* as the index has them */
	struct ps_pad_slot *slots;
	struct ps_pad_send *sends;
	size_t count;
};

static int batch_new(ps_remote *r, size_t count, struct batch *batch)
{
	*batch = (struct batch){.spares = ps_memory_zalloc(&r->memory, count * sizeof(*batch->spares)),
	                        .slots = ps_memory_zalloc(&r->memory, count * sizeof(*batch->slots)),
	                        .sends = ps_memory_zalloc(&r->memory, count * sizeof(*batch->sends))};
	return batch->spares && batch->slots && batch->sends ? PS_OK
	                                                     : ps_fail(PS_ENOMEM, "no memory for pads");
}

static void batch_done(ps_remote *r, size_t capacity, struct batch *batch)
{
	for (size_t i = 0; batch->sends && i < capacity; i++)
		ps_net_buffer_release(batch->sends[i].sealed);
	if (batch->spares)
		ps_memory_free(&r->memory, batch->spares, capacity * sizeof(*batch->spares));
	if (batch->slots)
		ps_memory_free(&r->memory, batch->slots, capacity * sizeof(*batch->slots));
	if (batch->sends)
		ps_memory_free(&r->memory, batch->sends, capacity * sizeof(*batch->sends));
}

/* The ids that pads have after they were written anew. */
static int find_again(ps_remote *r, unsigned status, struct batch *batch)
{
	struct spares now;
	int err = spares_list(r, status, &now);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < batch->count; i++) {
		batch->spares[i].id = PS_ID_NONE;
		for (size_t n = 0; n < now.count; n++)
			if (ps_slot_same_pad(&now.all[n].slot, &batch->slots[i]))
				batch->spares[i] = now.all[n];
	}
	spares_done(&now);
	return PS_OK;
}

/* From what was written to what it is now; `from` is the status that they have in the index. */
static int change_found(ps_remote *r, unsigned from, struct batch *batch)
{
	size_t kept = 0;
	int err = find_again(r, from, batch);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->spares[i].id == PS_ID_NONE)
			continue;
		batch->spares[kept] = batch->spares[i];
		batch->slots[kept++] = batch->slots[i];
	}
	batch->count = kept;
	return spares_change(r, batch->spares, batch->slots, batch->count);
}

static unsigned status_after(const struct ps_settle *settle)
{
	unsigned status = ps_manager_status(settle, PS_SLOT_PENDING);
	return status == PS_SLOT_WRITTEN ? PS_SLOT_PENDING : status;
}

/* Sends what is written down as generated, and writes down what became of it: free if it is confirmed. */
static int send_batch(struct ps_operation *op, struct batch *batch, uint64_t *freed)
{
	ps_remote *r = op->r;
	int err = ps_pads_send(op, batch->sends, batch->count, PS_VERIFY_HEAD), noted;
	for (size_t i = 0; i < batch->count; i++)
		batch->slots[i].status = (uint8_t)status_after(&batch->sends[i].settle);
	noted = change_found(r, PS_SLOT_GENERATED, batch);
	if (noted != PS_OK)
		return err != PS_OK ? err : noted;
	size_t confirmed = 0;
	for (size_t i = 0; i < batch->count; i++)
		if (batch->slots[i].status == PS_SLOT_CONFIRMED &&
		    batch->slots[i].class != PS_PAD_PUBLIC_INDEX)
			batch->slots[confirmed++] = batch->slots[i];
	batch->count = confirmed;
	for (size_t i = 0; i < confirmed; i++)
		batch->slots[i].status = PS_SLOT_FREE;
	noted = find_again(r, PS_SLOT_CONFIRMED, batch);
	if (noted == PS_OK)
		noted = spares_change(r, batch->spares, batch->slots, batch->count);
	if (noted == PS_OK)
		*freed += confirmed;
	return err != PS_OK ? err : noted;
}

static void fill_send(struct ps_pad_send *send, const struct ps_pad_slot *slot,
                      const struct ps_pad_identity *expected, struct ps_net_buffer *sealed)
{
	*send = (struct ps_pad_send){
	    .slot = *slot, .expected = *expected, .role = PS_ROLE_FENCE, .payload = "", .sealed = sealed};
}

static int fence_all(struct ps_operation *op, const struct ps_spare *spares, const struct ps_pad_look *looks,
                     size_t count, uint64_t *freed)
{
	ps_remote *r = op->r;
	struct batch batch;
	int err = batch_new(r, count, &batch);
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		const struct ps_pad_slot *slot = &spares[i].slot;
		struct ps_net_buffer *sealed;
		if (looks[i].task.fate != PS_FATE_DONE || !looks[i].there ||
		    judge(slot, &looks[i]) != PS_SLOT_PENDING)
			continue;
		batch.spares[batch.count] = spares[i];
		batch.slots[batch.count] = *slot;
		err = plan_fence(r, &batch.slots[batch.count], &looks[i].identity, &sealed);
		if (err == PS_OK)
			fill_send(&batch.sends[batch.count], &batch.slots[batch.count], &looks[i].identity,
			          sealed);
		batch.count += err == PS_OK;
	}
	if (err == PS_OK)
		err = spares_change(r, batch.spares, batch.slots, batch.count);
	if (err == PS_OK && batch.count > 0)
		err = send_batch(op, &batch, freed);
	batch_done(r, count, &batch);
	return ps_operation_fail(op, err);
}

/* ---- what is open ---- */

static int note_looks(ps_remote *r, const struct ps_spare *spares, const struct ps_pad_look *looks,
                      size_t count, uint64_t *settled)
{
	struct ps_pad_slot *slots = ps_memory_alloc(&r->memory, count * sizeof(*slots));
	if (!slots)
		return ps_fail(PS_ENOMEM, "no memory for pads");
	uint64_t known = 0;
	for (size_t i = 0; i < count; i++) {
		slots[i] = spares[i].slot;
		if (looks[i].task.fate == PS_FATE_DONE)
			slots[i].status = (uint8_t)judge(&slots[i], &looks[i]);
		known += slots[i].status != PS_SLOT_PENDING;
	}
	int err = spares_change(r, spares, slots, count);
	ps_memory_free(&r->memory, slots, count * sizeof(*slots));
	if (err == PS_OK)
		*settled += known;
	return err;
}

int spares_look(struct ps_operation *op, const struct ps_spare *spares, struct ps_pad_look *looks,
                size_t count)
{
	for (size_t i = 0; i < count; i++)
		looks[i] = (struct ps_pad_look){.slot = spares[i].slot};
	return ps_pads_look(op, looks, count);
}

static int settle_some(struct ps_operation *op, const struct ps_spare *spares, size_t count,
                       uint64_t *settled)
{
	ps_remote *r = op->r;
	struct ps_pad_look *looks = ps_memory_alloc(&r->memory, count * sizeof(*looks));
	if (!looks)
		return ps_fail(PS_ENOMEM, "no memory for pads");
	int err = spares_look(op, spares, looks, count);
	if (err == PS_OK)
		err = ps_operation_fail(op, note_looks(r, spares, looks, count, settled));
	if (err == PS_OK)
		err = fence_all(op, spares, looks, count, settled);
	ps_memory_free(&r->memory, looks, count * sizeof(*looks));
	return err;
}

/* What a crash left half done gets the status that its next step begins with. What says that an address was
 * taken back stays as it is. */
static int restart(ps_remote *r, unsigned from, unsigned to)
{
	struct spares spares;
	int err = spares_list(r, from, &spares);
	if (err != PS_OK || spares.count == 0)
		return err;
	struct ps_pad_slot *slots = ps_memory_alloc(&r->memory, spares.count * sizeof(*slots));
	if (!slots)
		err = ps_fail(PS_ENOMEM, "no memory for pads");
	for (size_t i = 0; i < spares.count && err == PS_OK; i++) {
		slots[i] = spares.all[i].slot;
		if (from != PS_SLOT_CONFIRMED || slots[i].class != PS_PAD_PUBLIC_INDEX)
			slots[i].status = (uint8_t)to;
	}
	if (err == PS_OK)
		err = spares_change(r, spares.all, slots, spares.count);
	if (slots)
		ps_memory_free(&r->memory, slots, spares.count * sizeof(*slots));
	spares_done(&spares);
	return err;
}

int spares_settle(struct ps_operation *op, uint64_t *settled)
{
	ps_remote *r = op->r;
	struct spares spares;
	int err = restart(r, PS_SLOT_GENERATED, PS_SLOT_PENDING);
	if (err == PS_OK)
		err = restart(r, PS_SLOT_CONFIRMED, PS_SLOT_FREE);
	if (err == PS_OK)
		err = spares_list(r, PS_SLOT_PENDING, &spares);
	if (err != PS_OK)
		return ps_operation_fail(op, err);
	for (size_t at = 0; at < spares.count && err == PS_OK; at += SPARES_BATCH) {
		size_t n = spares.count - at < SPARES_BATCH ? spares.count - at : SPARES_BATCH;
		err = settle_some(op, spares.all + at, n, settled);
	}
	spares_done(&spares);
	return ps_operation_fail(op, err);
}

/* ---- made ahead ---- */

static int make_some(struct ps_operation *op, unsigned mode, size_t count, uint64_t *made)
{
	ps_remote *r = op->r;
	struct batch batch;
	ps_index_txn *txn;
	int err = batch_new(r, count, &batch), begun = PS_EINVAL;
	if (err == PS_OK)
		err = begun = ps_index_begin(r->index, &txn);
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		struct ps_pad_slot *slot = &batch.slots[i];
		struct ps_pad_identity none;
		struct ps_net_buffer *sealed;
		err = ps_manager_take(r, txn, PS_PAD_PRIVATE, mode, true, slot, &none);
		if (err == PS_OK)
			err = ps_manager_seal(r, slot, PS_ROLE_FENCE, NULL, 0, "", 0, &sealed);
		if (err == PS_OK) {
			fill_send(&batch.sends[i], slot, &none, sealed);
			err = ps_txn_add_spare(txn, slot, 0);
		}
		batch.count += err == PS_OK;
	}
	if (err == PS_OK)
		err = ps_index_commit(txn);
	else if (begun == PS_OK)
		ps_index_abort(txn);
	if (err == PS_OK)
		err = send_batch(op, &batch, made);
	batch_done(r, count, &batch);
	return ps_operation_fail(op, err);
}

static int plan_reserve(struct ps_operation *op, uint64_t count)
{
	ps_remote *r = op->r;
	struct ps_remote_plan plan = {.new_pads = count, .requests = 2 * count, .exact = 1};
	plan.record_bytes = count * ps_pad_record_bytes(0);
	plan.price = ps_manager_price(r, &plan, plan.record_bytes, 0);
	op->shown.pads_total = count;
	return ps_operation_plan(op, &plan, r->options.max_pads, r->options.max_cost);
}

int ps_remote_reserve(ps_remote *r, uint64_t pads, int mode)
{
	struct ps_operation op;
	int err = ps_operation_begin(&op, r, "reserve", SPARES_KEY, PS_OP_LOCKS, NULL, NULL);
	if (err != PS_OK)
		return err;
	op.shown.key = NULL;
	unsigned pad_mode = ps_manager_mode(r, mode);
	uint64_t have = ps_manager_free(r, PS_PAD_PRIVATE, pad_mode), want = pads > have ? pads - have : 0;
	if (!ps_keys_can_write(r->keys))
		err = ps_operation_fail(&op, ps_fail(PS_EREADONLY, "a key that only reads makes no pads"));
	if (err == PS_OK)
		err = plan_reserve(&op, want);
	for (uint64_t made = 0; err == PS_OK && want > 0; want -= made) {
		made = 0;
		err = make_some(&op, pad_mode, want < SPARES_BATCH ? (size_t)want : SPARES_BATCH, &made);
		if (err == PS_OK && made == 0)
			err = ps_operation_fail(
			    &op, ps_fail(PS_EUNAVAILABLE, "the network took none of the pads"));
	}
	return ps_operation_end(&op);
}
