/* What an address is to show: nodes and manifest of a value whose pads are confirmed, the index pad's next
 * record, and the intent with its exact bytes, durable before the first of them leaves. */
#include "base/fail.h"
#include "remote/public_manifest.h"
#include "remote/put_internal.h"

/* ---- the pads of a value, in order, wherever they are ---- */

struct pads {
	const struct ps_slots *current, *next;
	const struct put_chunk *chunk; /* NULL: all are in current */
	uint32_t count;
};

static struct pads pads_of(const struct put *put)
{
	return (struct pads){&put->record.sets[PS_SET_CURRENT], &put->record.sets[PS_SET_NEXT], put->chunk,
	                     put->chunks};
}

static const struct ps_pad_slot *pad_at(const struct pads *pads, uint32_t i)
{
	uint32_t place = pads->chunk ? pads->chunk[i].place : PUT_KEPT;
	return place == PUT_KEPT ? &pads->current->slots[i] : &pads->next->slots[place];
}

static void encode_entries(const ps_remote *r, const struct pads *pads, uint32_t from, uint32_t count,
                           uint8_t *out)
{
	uint8_t read_key[PS_KEY];
	for (uint32_t i = 0; i < count; i++) {
		const struct ps_pad_slot *slot = pad_at(pads, from + i);
		ps_keys_content_key(r->keys, &slot->serial, slot->generation, read_key);
		ps_manifest_encode_entry(slot, read_key, out + (size_t)i * PS_MANIFEST_ENTRY);
	}
	sodium_memzero(read_key, sizeof(read_key));
}

/* ---- nodes ---- */

/* A chunk of our own making, from the lane's own memory. */
static int send_node(struct put *put, unsigned level, uint32_t first, uint32_t from, uint32_t count)
{
	int err = PS_OK;
	while (err == PS_OK && !put->idle)
		err = put_go_on(put);
	if (err != PS_OK)
		return err;
	struct put_lane *lane = (struct put_lane *)(void *)put->idle;
	struct pads pads = pads_of(put);
	if (!lane->own)
		lane->own = ps_memory_alloc(&put->r->memory, put->chunk_bytes);
	if (!lane->own)
		return ps_fail(PS_ENOMEM, "no memory for a chunk of %u bytes", put->chunk_bytes);
	(void)ps_lane_take(&put->idle);
	ps_manifest_encode_node(level, first, count, lane->own);
	encode_entries(put->r, &pads, from, count, lane->own + PS_MANIFEST_NODE);
	lane->data = lane->own;
	lane->len = PS_MANIFEST_NODE + PS_MANIFEST_ENTRY * count;
	lane->hashed = false;
	lane->recycles = 0;
	return put_use_chunk(put, lane);
}

/* `count` chunks from `base` on become the entries of new ones. What is written of a chunk has to be in the
 * record. */
static int send_level(struct put *put, unsigned level, uint32_t base, uint32_t count)
{
	uint32_t fan = ps_manifest_fan(put->chunk_bytes);
	int err = put_journal_flush(put);
	for (uint32_t first = 0; first < count && err == PS_OK; first += fan)
		err = send_node(put, level, first, base + first, count - first < fan ? count - first : fan);
	while (err == PS_OK && put->on_way > 0)
		err = put_go_on(put);
	return err;
}

static uint32_t most_entries(const ps_remote *r)
{
	return (r->payloads[PS_PAD_SMALL] - PS_MANIFEST_HEAD) / PS_MANIFEST_ENTRY;
}

/* Nodes are written to new pads, or so it is said: the free ones may be taken by the value's. */
void ps_public_estimate(const struct put *put, struct ps_remote_plan *plan)
{
	bool shown = put->record.flags & PS_RECORD_PUBLIC, shows = put->class == PS_PAD_PUBLIC_DATA;
	struct ps_manifest m = {.size = put->size, .chunk = put->chunk_bytes};
	uint64_t count = shows ? ps_manifest_level(&m, 0) : 0;
	if (!shown && !shows)
		return;
	for (unsigned level = 1; count > most_entries(put->r) && level < PS_MANIFEST_LEVELS; level++) {
		count = ps_manifest_level(&m, level);
		plan->new_pads += count;
		plan->requests += 2 * count;
		plan->record_bytes += count * ps_pad_record_bytes(put->chunk_bytes);
	}
	plan->new_pads += !shown;
	plan->requests += shown ? 3 : 2; /* one that is there is looked at first */
	plan->record_bytes += ps_pad_record_bytes(shows ? PS_MANIFEST_HEAD + count * PS_MANIFEST_ENTRY : 0);
	plan->price = ps_manager_price(put->r, plan, plan->record_bytes,
	                               put->verify == PS_VERIFY_READ ? plan->record_bytes : 0);
}

int ps_public_send_nodes(struct put *put)
{
	uint32_t base = 0, count = put->data_chunks;
	int err = PS_OK;
	for (unsigned level = 0; count > most_entries(put->r) && err == PS_OK; level++) {
		uint32_t start = put->chunks;
		if (level + 1 == PS_MANIFEST_LEVELS)
			return ps_fail(PS_ERANGE, "\"%.64s\" has too many pads for a public value",
			               put->record.name);
		err = send_level(put, level, base, count);
		base = start;
		count = put->chunks - start;
	}
	return ps_operation_fail(&put->op, err);
}

/* ---- the manifest ---- */

/* Nodes lie behind what they list, level over level: the last level is the manifest's. */
static struct ps_manifest describe(const struct ps_content *content, const struct pads *pads, uint32_t *from)
{
	struct ps_manifest m = {.size = content->size};
	memcpy(m.hash, content->hash, sizeof(m.hash));
	*from = 0;
	if (content->size == 0)
		return m;
	m.chunk = pad_at(pads, 0)->length;
	m.count = (uint32_t)ps_manifest_level(&m, 0);
	while (*from + m.count < pads->count && m.level + 1 < PS_MANIFEST_LEVELS) {
		*from += m.count;
		m.level++;
		m.count = (uint32_t)ps_manifest_level(&m, m.level);
	}
	return m;
}

static int make_manifest(const ps_remote *r, const struct ps_content *content, const struct pads *pads,
                         uint8_t *out, size_t *len)
{
	uint32_t from;
	struct ps_manifest m = describe(content, pads, &from), read;
	*len = PS_MANIFEST_HEAD + (size_t)m.count * PS_MANIFEST_ENTRY;
	if (from + m.count != pads->count || m.count > most_entries(r))
		return ps_fail(PS_ECORRUPT, "a public value with %u pads, which no manifest describes",
		               pads->count);
	ps_manifest_encode(&m, out);
	encode_entries(r, pads, from, m.count, out + PS_MANIFEST_HEAD);
	return ps_manifest_decode(out, *len, &read); /* nothing is signed that no reader would take */
}

/* ---- the index pad's next record ---- */

/* As it is about to be written: one version above `known`, of which `there` has to be there. */
static int next_slot(ps_remote *r, const struct ps_record *record, uint64_t above, struct ps_pad_slot *slot)
{
	struct ps_pad_identity none;
	if (!(record->flags & PS_RECORD_PUBLIC))
		return ps_manager_take(r, NULL, PS_PAD_PUBLIC_INDEX, PS_PAD_SMALL, true, slot, &none);
	*slot = record->index_pad;
	if (above < slot->counter)
		above = slot->counter;
	if (above >= UINT64_MAX - 1)
		return ps_fail(PS_ERANGE, "the address of \"%.64s\" has shown all that it can", record->name);
	memcpy(slot->before, slot->hash, sizeof(slot->before));
	memset(slot->nonce, 0, sizeof(slot->nonce));
	memset(slot->hash, 0, sizeof(slot->hash));
	slot->counter = above + 1;
	slot->length = 0;
	slot->status = PS_SLOT_GENERATED;
	return PS_OK;
}

/* Without pads: a tombstone. */
static int seal(ps_remote *r, struct ps_pad_slot *slot, const struct ps_content *content,
                const struct pads *pads, struct public_intent *intent)
{
	size_t room = r->payloads[PS_PAD_SMALL], len = 0;
	uint8_t *payload = ps_memory_alloc(&r->memory, room);
	if (!payload)
		return ps_fail(PS_ENOMEM, "no memory for a manifest of %zu bytes", room);
	int err = pads ? make_manifest(r, content, pads, payload, &len) : PS_OK;
	if (err == PS_OK)
		err = ps_manager_seal(r, slot, pads ? PS_ROLE_DATA : PS_ROLE_TOMBSTONE, public_description,
		                      PUBLIC_DESCRIPTION, payload, len, &intent->record);
	sodium_memzero(payload, room);
	ps_memory_free(&r->memory, payload, room);
	intent->identity = ps_slot_identity(slot);
	return err;
}

static int commit_intent(ps_remote *r, const struct ps_record *record, const struct public_intent *intent)
{
	struct ps_busy_key turn;
	ps_index_txn *txn;
	public_turn_take(r, &turn);
	int err = ps_index_begin(r->index, &txn);
	if (err == PS_OK) {
		(void)!ps_txn_put(txn, record); /* what fails here fails the commit */
		(void)!public_intent_set(r, record->name, intent, txn);
		err = ps_index_commit(txn);
	}
	public_turn_give(r, &turn);
	return err;
}

/* Durable: what is to be sent, in place of which version, and what follows. */
static int plan(ps_remote *r, struct ps_record *record, uint64_t above, const struct ps_content *content,
                const struct pads *pads, struct public_intent *intent)
{
	struct ps_pad_slot slot;
	int err = next_slot(r, record, above, &slot);
	if (err == PS_OK)
		err = seal(r, &slot, content, pads, intent);
	if (err != PS_OK)
		return err;
	record->flags |= PS_RECORD_PUBLIC;
	record->index_pad = slot;
	return commit_intent(r, record, intent);
}

static int remember_places(const struct put *put, struct public_intent *intent)
{
	intent->memory = &put->r->memory;
	intent->used = put->used;
	if (put->chunks == 0)
		return PS_OK;
	intent->places = ps_memory_alloc(intent->memory, put->chunks * sizeof(*intent->places));
	if (!intent->places)
		return ps_fail(PS_ENOMEM, "no memory for the places of %u pads", put->chunks);
	intent->chunks = put->chunks;
	for (uint32_t i = 0; i < put->chunks; i++)
		intent->places[i] = put->chunk[i].place;
	return PS_OK;
}

static struct ps_pad_identity shown_now(const struct ps_record *record)
{
	return record->flags & PS_RECORD_PUBLIC ? ps_slot_identity(&record->index_pad)
	                                        : (struct ps_pad_identity){0};
}

int ps_public_finish(struct put *put)
{
	bool ends = put->class != PS_PAD_PUBLIC_DATA;
	struct public_intent intent = {.then = ends ? PUBLIC_THEN_PRIVATE : PUBLIC_THEN_SWITCH,
	                               .expected = put->address_ended.counter > 0 ? put->address_ended
	                                                                          : shown_now(&put->record)};
	struct pads pads;
	int err = remember_places(put, &intent);
	if (err == PS_OK)
		err = put_journal_begin(put);
	if (err == PS_OK) {
		put_describe(put);
		pads = pads_of(put);
		err = put_journal_end(put, plan(put->r, &put->record, put->address_ended.counter,
		                                &put->record.next, ends ? NULL : &pads, &intent));
	}
	if (err == PS_OK)
		err = public_carry_out(&put->op, put, &intent);
	public_intent_done(&intent);
	return err;
}

int ps_public_end(struct ps_operation *op, struct ps_record *record, struct public_close *close)
{
	struct public_intent intent = {.then = PUBLIC_THEN_REMOVE, .expected = shown_now(record)};
	struct ps_pad_identity ended = {0};
	struct put put = {.r = op->r, .close = close};
	int err = op->group ? PS_OK : ps_operation_group(op);
	if (err == PS_OK)
		err = ps_public_look(op, record, &ended);
	if (ended.counter > 0) /* a tombstone above the one that is there is the same to its readers */
		intent.expected = ended;
	if (err == PS_OK)
		err = plan(op->r, record, ended.counter, NULL, NULL, &intent);
	ps_record_move(&put.record, record);
	if (err == PS_OK)
		err = public_carry_out(op, &put, &intent);
	ps_record_move(record, &put.record);
	public_intent_done(&intent);
	return err;
}

/* ---- as the network has it ---- */

static int fetch_shown(struct ps_operation *op, const struct ps_record *record, struct public_pad *pad)
{
	uint8_t read_key[PS_KEY];
	ps_keys_content_key(op->r->keys, &record->index_pad.serial, 1, read_key);
	int err = public_pad_fetch(op, &record->index_pad.name, read_key, pad);
	sodium_memzero(read_key, sizeof(read_key));
	if (err != PS_OK || !pad->there)
		return err;
	struct ps_pad_expected expected = {.serial = record->index_pad.serial,
	                                   .generation = 1,
	                                   .class = PS_PAD_PUBLIC_INDEX,
	                                   .role = pad->header.plan.role,
	                                   .newer = true};
	memcpy(expected.network, op->r->network_id, sizeof(expected.network));
	err = ps_pad_check(&pad->header, &expected);
	if (err != PS_OK)
		public_pad_done(op->r, pad);
	return err;
}

static int superseded(const struct ps_record *record, bool over)
{
	return ps_fail(PS_ESUPERSEDED, "another machine has %s the address of \"%.64s\"%s: sync first",
	               over ? "ended" : "written what", record->name, over ? "" : " shows");
}

/* A network that only says so is told apart. */
static int judge_newer(struct ps_operation *op, const struct ps_record *record, struct ps_pad_identity *ended)
{
	struct public_pad pad;
	int err = fetch_shown(op, record, &pad);
	if (err != PS_OK)
		return err;
	bool newer = pad.there && pad.header.identity.counter >= record->index_pad.counter;
	bool there = pad.there, over = newer && pad.header.plan.role == PS_ROLE_TOMBSTONE;
	if (over && ended)
		*ended = pad.header.identity;
	public_pad_done(op->r, &pad);
	if (over && ended)
		return PS_OK;
	if (newer)
		return superseded(record, over);
	return there ? ps_fail(PS_EROLLBACK, "the address of \"%.64s\" shows an older version than is known",
	                       record->name)
	             : ps_fail(PS_ELOST, "the index pad of \"%.64s\" is not there", record->name);
}

int ps_public_look(struct ps_operation *op, const struct ps_record *record, struct ps_pad_identity *ended)
{
	struct ps_pad_look look = {.slot = record->index_pad};
	struct ps_pad_identity ours = ps_slot_identity(&record->index_pad);
	if (record->index_pad.status == PS_SLOT_INVALID)
		return judge_newer(op, record, ended);
	int err = ps_pads_look(op, &look, 1);
	if (err != PS_OK)
		return err;
	if (look.task.fate != PS_FATE_DONE)
		return ps_fail(ps_task_error(&look.task), "%s", look.task.sentence);
	if (look.there && ps_identity_same(&look.identity, &ours))
		return PS_OK;
	if (look.there && look.identity.counter == ours.counter)
		return ps_fail(PS_EFORK, "the address of \"%.64s\" shows another version %llu than is known",
		               record->name, (unsigned long long)ours.counter);
	return judge_newer(op, record, ended);
}

int ps_public_show_again(struct ps_operation *op, struct ps_record *record)
{
	struct public_pad pad;
	struct public_intent intent = {.then = PUBLIC_THEN_NOTHING};
	struct pads pads = {.current = &record->sets[PS_SET_CURRENT],
	                    .count = record->sets[PS_SET_CURRENT].count};
	struct put put = {.r = op->r};
	int err = fetch_shown(op, record, &pad);
	if (err != PS_OK)
		return err;
	uint64_t above = pad.there ? pad.header.identity.counter : 0;
	bool over = pad.there && pad.header.plan.role == PS_ROLE_TOMBSTONE;
	if (pad.there)
		intent.expected = pad.header.identity;
	public_pad_done(op->r, &pad);
	if (over)
		return ps_fail(PS_ENOTFOUND,
		               "the address of \"%.64s\" has ended: unpublish it, then publish it anew",
		               record->name);
	err = plan(op->r, record, above, &record->content, &pads, &intent);
	ps_record_move(&put.record, record);
	if (err == PS_OK)
		err = public_carry_out(op, &put, &intent);
	ps_record_move(record, &put.record);
	public_intent_done(&intent);
	return err;
}
