/* The pads of a put: taken before they are sent, replaced where they fail, and switched to at the end. Each
 * step is one commit of the index. */
#include "base/fail.h"
#include "remote/content_hash.h"
#include "remote/put_internal.h"

static void *array_grow(struct ps_memory *memory, void *array, uint32_t *capacity, uint32_t count,
                        size_t size)
{
	if (count <= *capacity)
		return array;
	uint32_t more = count < 16 ? 16 : count + count / 2;
	void *grown = ps_memory_resize(memory, array, *capacity * size, more * size);
	if (!grown) {
		(void)ps_fail(PS_ENOMEM, "no memory for %u pads", more);
		return NULL;
	}
	memset((uint8_t *)grown + *capacity * size, 0, (more - *capacity) * size);
	*capacity = more;
	return grown;
}

int put_expect(struct put *put, uint32_t place, const struct ps_pad_identity *expected)
{
	struct put_expected *grown =
	    array_grow(&put->r->memory, put->expected, &put->expected_capacity, place + 1, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	put->expected = grown;
	grown[place] = (struct put_expected){*expected, true};
	return PS_OK;
}

int put_chunk(struct put *put, uint32_t chunk)
{
	struct put_chunk *grown =
	    array_grow(&put->r->memory, put->chunk, &put->chunk_capacity, chunk + 1, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	put->chunk = grown;
	return PS_OK;
}

/* ---- the beginning ---- */

static int read_all(struct put *put, uint8_t *buf, size_t len)
{
	for (size_t at = 0, got = 0; at < len; at += got) {
		int err = put->read(put->read_arg, buf + at, len - at, &got);
		if (err != PS_OK)
			return ps_fail(err, "\"%.64s\": the source of the contents failed",
			               put->op.shown.key);
		if (got == 0 || got > len - at)
			return PS_ENOTFOUND; /* it has another size than it was said to have */
	}
	return ps_operation_show(&put->op);
}

/* The hash of the source's contents, as a record has it: of each chunk's. PS_ENOTFOUND: they are fewer. */
static int hash_source(struct put *put, unsigned class, uint32_t chunk_bytes, uint8_t hash[32])
{
	crypto_generichash_state state;
	uint8_t chunk_hash[PUT_HASH];
	uint8_t *own = put->read ? ps_memory_alloc(&put->r->memory, chunk_bytes) : NULL;
	int err =
	    put->read && !own ? ps_fail(PS_ENOMEM, "no memory for a chunk of %u bytes", chunk_bytes) : PS_OK;
	(void)crypto_generichash_init(&state, NULL, 0, 32);
	for (uint64_t at = 0; at < put->size && err == PS_OK; at += chunk_bytes) {
		size_t len = put->size - at < chunk_bytes ? (size_t)(put->size - at) : chunk_bytes;
		err = own ? read_all(put, own, len) : PS_OK;
		ps_chunk_hash(put->r->keys, class, own ? own : put->data + at, len, chunk_hash);
		(void)crypto_generichash_update(&state, chunk_hash, sizeof(chunk_hash));
	}
	(void)crypto_generichash_final(&state, hash, 32);
	if (own)
		ps_memory_free(&put->r->memory, own, chunk_bytes);
	return err;
}

/* A call that was interrupted may have completed before: who repeats it is told that this very value is
 * there. The source is read for that if it has the value's size. */
static int already_there(struct put *put, const struct ps_record *record)
{
	uint8_t hash[32];
	int err = PS_ENOTFOUND;
	if (put->size == record->content.size)
		err = hash_source(put, record->content.class, put->r->payloads[record->content.mode], hash);
	if (err != PS_OK && err != PS_ENOTFOUND)
		return err;
	bool same = err == PS_OK && memcmp(hash, record->content.hash, sizeof(hash)) == 0;
	return ps_fail(PS_EEXIST, same ? "\"%.64s\" has these contents already" : "\"%.64s\" has a value",
	               record->name);
}

/* A rename of a private value writes it anew first. What it left when it was cut has the hash of the contents
 * from the beginning on; what anybody else puts gets it with the switch. */
static bool left_by_rename(const struct ps_record *record)
{
	return (record->flags & PS_RECORD_UPDATING) && !(record->flags & PS_RECORD_PUBLIC) &&
	       record->next.class == PS_PAD_PRIVATE &&
	       !ps_all_zero(record->next.hash, sizeof(record->next.hash));
}

static int check_allowed(struct put *put, const struct ps_record *record)
{
	bool valued = ps_record_has_contents(record), complete = record->flags & PS_RECORD_COMPLETE;
	if (put->rewrites && !(record->flags & PS_RECORD_PUBLIC) && (record->flags & PS_RECORD_UPDATING) &&
	    !left_by_rename(record))
		return ps_fail(PS_EBUSY, "a put of \"%.64s\" is unfinished: finish or release it first",
		               record->name);
	if (put->update && !valued)
		return ps_fail(PS_ENOTFOUND, "\"%.64s\" has no value that could be updated", record->name);
	if (!put->update && valued && complete && !put->options.replace && !put->resumed)
		return already_there(put, record);
	return PS_OK;
}

/* What another mode or class, or a rename, left is of no use to this one. */
static int drop_other_next(struct put *put)
{
	struct ps_record *record = &put->record;
	struct ps_slots let_go = {0};
	ps_index_txn *txn;
	uint64_t hold;
	int err = ps_manager_leave(put->r, record, PS_SET_NEXT, &let_go, &hold);
	if (err != PS_OK)
		return err;
	record->next = (struct ps_content){.mode = (uint8_t)put->mode, .class = (uint8_t)put->class};
	err = ps_index_begin(put->r->index, &txn);
	if (err == PS_OK) {
		(void)!ps_txn_put(txn, record);
		(void)!ps_txn_let_go(txn, &let_go, 0);
		err = ps_index_commit(txn);
	}
	ps_slots_done(&let_go, record->memory);
	return err;
}

/* Whose value stays where two machines changed it. To write anew what was not changed here is no change. */
static void set_yields(struct put *put)
{
	struct ps_record *record = &put->record;
	bool yields = put->options.yields;
	if (put->rewrites)
		yields = (record->flags & PS_RECORD_YIELDS) ||
		         !(record->flags & (PS_RECORD_DIRTY | PS_RECORD_PUBLIC));
	record->flags =
	    (uint16_t)((record->flags & ~(unsigned)PS_RECORD_YIELDS) | (yields ? PS_RECORD_YIELDS : 0U));
}

/* Next, as it is from the beginning on. */
static int begin_next(struct put *put)
{
	struct ps_record *record = &put->record;
	bool left = record->flags & PS_RECORD_UPDATING;
	int err = PS_OK;
	if (left && (record->next.mode != put->mode || record->next.class != put->class ||
	             left_by_rename(record) != (put->rewrites && put->class == PS_PAD_PRIVATE)))
		err = drop_other_next(put);
	else if (!left)
		record->next = (struct ps_content){.mode = (uint8_t)put->mode, .class = (uint8_t)put->class};
	record->flags |= PS_RECORD_UPDATING;
	if (put->rewrites && put->class == PS_PAD_PRIVATE)
		memcpy(record->next.hash, record->content.hash, sizeof(record->next.hash));
	return err;
}

int put_begin(struct put *put)
{
	struct ps_record *record = &put->record;
	const char *key = put->op.shown.key;
	struct ps_memory *memory = ps_index_memory(put->r->index);
	int err = ps_index_get(put->r->index, PS_RECORD_BLOB, key, strlen(key), record);
	if (err == PS_ENOTFOUND)
		err = ps_record_init(record, memory, PS_RECORD_BLOB, key, strlen(key));
	if (err == PS_OK)
		err = check_allowed(put, record);
	if (err != PS_OK)
		return err;
	if (put->become == PUT_PUBLIC || (put->become == PUT_AS_IT_IS && (record->flags & PS_RECORD_PUBLIC)))
		put->class = PS_PAD_PUBLIC_DATA;
	/* An address shows only what is confirmed, and ends only once its successor is. */
	if (put->verify == PS_VERIFY_NONE &&
	    (put->class == PS_PAD_PUBLIC_DATA || (record->flags & PS_RECORD_PUBLIC)))
		put->verify = PS_VERIFY_HEAD;
	put->alone = ps_manager_alone(put->r);
	set_yields(put);
	put->shares = ps_record_has_contents(record) && ps_manager_may_share(put->r);
	return begin_next(put);
}

/* ---- taking ---- */

struct taking {
	struct ps_pad_slot *slots;
	struct ps_pad_identity *expected;
	uint32_t count;
	bool reused;
};

static int take_all(struct put *put, ps_index_txn *txn, bool fresh, struct taking *t)
{
	int err = PS_OK;
	t->reused = false;
	for (uint32_t i = 0; i < t->count && err == PS_OK; i++) {
		err =
		    ps_manager_take(put->r, txn, put->class, put->mode, fresh, &t->slots[i], &t->expected[i]);
		t->reused |= err == PS_OK && !ps_identity_none(&t->expected[i]);
	}
	return err;
}

/* Free pads that a reader may still read are left alone: new ones then. */
static int begin_taking(struct put *put, struct taking *t, bool fresh, ps_index_txn **txn)
{
	for (;;) {
		int err = ps_index_begin(put->r->index, txn);
		if (err != PS_OK)
			return err;
		err = take_all(put, *txn, fresh, t);
		if (err == PS_OK && (!t->reused || !ps_manager_readers(put->r)))
			return PS_OK;
		ps_index_abort(*txn);
		if (err != PS_OK)
			return err;
		fresh = true;
	}
}

static int place_all(struct put *put, ps_index_txn *txn, const struct taking *t)
{
	uint32_t at = put->record.sets[PS_SET_NEXT].count;
	int err = ps_record_add_slots(&put->record, PS_SET_NEXT, t->slots, t->count);
	for (uint32_t i = 0; i < t->count && err == PS_OK; i++)
		err = put_expect(put, at + i, &t->expected[i]);
	return err == PS_OK ? ps_txn_put(txn, &put->record) : err;
}

static int seal_first(struct put_lane *first, struct taking *t)
{
	first->slot = t->slots[0];
	int err = put_seal_lane(first);
	t->slots[0] = first->slot;
	return err;
}

static int take_and_commit(struct put *put, struct put_lane *first, struct taking *t)
{
	ps_index_txn *txn;
	int err = begin_taking(put, t, false, &txn);
	if (err != PS_OK)
		return err;
	if (first)
		err = seal_first(first, t);
	if (err == PS_OK)
		err = place_all(put, txn, t);
	if (err == PS_OK)
		return ps_index_commit(txn);
	ps_index_abort(txn);
	return err;
}

static int check_quota(const struct put *put, uint32_t *count)
{
	uint64_t most = put->options.max_pads;
	if (most > 0 && put->pads + *count > most)
		*count = put->pads < most ? (uint32_t)(most - put->pads) : 0;
	if (*count == 0)
		return ps_fail(PS_EQUOTA, "\"%.64s\": %llu pads are taken, as many as are allowed",
		               put->record.name, (unsigned long long)put->pads);
	struct ps_remote_plan one = {.new_pads = 1, .requests = 2};
	double each = ps_manager_price(put->r, &one, ps_pad_record_bytes(put->chunk_bytes), 0);
	double limit = put->options.max_cost;
	if (limit > 0 && put->spent + each * *count > limit)
		return ps_fail(PS_EQUOTA, "\"%.64s\": it may cost more than %g", put->record.name, limit);
	return PS_OK;
}

int put_take_pads(struct put *put, uint32_t count, struct put_lane *first)
{
	struct ps_memory *memory = &put->r->memory;
	int err = check_quota(put, &count);
	if (err != PS_OK)
		return err;
	struct taking t = {.slots = ps_memory_alloc(memory, count * sizeof(*t.slots)),
	                   .expected = ps_memory_alloc(memory, count * sizeof(*t.expected)),
	                   .count = count};
	err = t.slots && t.expected ? put_journal_begin(put) : ps_fail(PS_ENOMEM, "no memory for pads");
	if (err == PS_OK)
		err = put_journal_end(put, take_and_commit(put, first, &t));
	if (err == PS_OK) {
		struct ps_remote_plan one = {.new_pads = 1, .requests = 2};
		put->pads += count;
		put->spent +=
		    count * ps_manager_price(put->r, &one, ps_pad_record_bytes(put->chunk_bytes), 0);
		put->op.shown.reserved += count;
	}
	if (t.slots)
		ps_memory_free(memory, t.slots, count * sizeof(*t.slots));
	if (t.expected)
		ps_memory_free(memory, t.expected, count * sizeof(*t.expected));
	return err;
}

/* ---- replacing ---- */

static int replace_and_commit(struct put *put, uint32_t place, struct ps_pad_slot old, bool fresh_only)
{
	struct ps_pad_slot fresh;
	struct taking t = {.slots = &fresh, .expected = &(struct ps_pad_identity){0}, .count = 1};
	struct ps_slots let_go = {&old, 1};
	ps_index_txn *txn;
	int err = begin_taking(put, &t, fresh_only, &txn);
	if (err != PS_OK)
		return err;
	err = put_journal_put_held(put, txn);
	if (err == PS_OK)
		err = ps_txn_set_slot(txn, PS_RECORD_BLOB, put->record.name, put->record.name_len,
		                      PS_SET_NEXT, place, &fresh);
	if (err == PS_OK)
		err = ps_txn_let_go(txn, &let_go, 0);
	if (err == PS_OK)
		err = put_expect(put, place, t.expected);
	if (err != PS_OK) {
		ps_index_abort(txn);
		return err;
	}
	err = ps_index_commit(txn);
	if (err == PS_OK)
		put->record.sets[PS_SET_NEXT].slots[place] = fresh;
	return err;
}

int put_replace_pad(struct put *put, uint32_t place, const struct ps_pad_slot *old, bool fresh_only)
{
	uint32_t one = 1;
	int err = check_quota(put, &one);
	if (err == PS_OK)
		err = put_journal_begin(put);
	if (err == PS_OK)
		err = put_journal_end(put, replace_and_commit(put, place, *old, fresh_only));
	put->pads += err == PS_OK;
	return err;
}

/* ---- the end ---- */

/* The pads of the new value in order; those of current that it keeps leave current, so that what is left
 * there is what it no longer has. */
static int arrange(struct put *put, struct ps_slots *final, struct ps_slots *unused)
{
	struct ps_record *record = &put->record;
	struct ps_slots *current = &record->sets[PS_SET_CURRENT], *next = &record->sets[PS_SET_NEXT];
	struct ps_slots rest = {0};
	int err = PS_OK;
	for (uint32_t i = 0; i < put->chunks && err == PS_OK; i++) {
		uint32_t place = put->chunk[i].place;
		if (place == PUT_KEPT)
			current->slots[i].named =
			    (uint8_t)ps_manager_named(record, PS_SET_CURRENT, &current->slots[i]);
		err = ps_slots_add(final, record->memory,
		                   place == PUT_KEPT ? &current->slots[i] : &next->slots[place], 1);
	}
	for (uint32_t i = 0; i < current->count && err == PS_OK; i++)
		if (i >= put->chunks || put->chunk[i].place != PUT_KEPT)
			err = ps_slots_add(&rest, record->memory, &current->slots[i], 1);
	if (err == PS_OK && next->count > put->used)
		err = ps_slots_add(unused, record->memory, next->slots + put->used, next->count - put->used);
	if (err != PS_OK) {
		ps_slots_done(&rest, record->memory);
		return err;
	}
	ps_slots_done(current, record->memory);
	ps_slots_done(next, record->memory);
	*current = rest;
	*next = *final;
	*final = (struct ps_slots){0};
	return PS_OK;
}

static void hash_contents(const struct put *put, uint8_t hash[32])
{
	crypto_generichash_state state;
	(void)crypto_generichash_init(&state, NULL, 0, 32);
	for (uint32_t i = 0; i < put->data_chunks; i++)
		(void)crypto_generichash_update(&state, put->chunk[i].hash, sizeof(put->chunk[i].hash));
	(void)crypto_generichash_final(&state, hash, 32);
}

static int commit_switch(struct put *put, const struct ps_slots *old, uint64_t hold,
                         const struct ps_slots *unused)
{
	ps_index_txn *txn;
	int err = ps_index_begin(put->r->index, &txn);
	if (err != PS_OK)
		return err;
	/* What fails here fails the commit. */
	(void)!ps_txn_put(txn, &put->record);
	(void)!ps_txn_let_go(txn, old, hold);
	(void)!ps_txn_let_go(txn, unused, 0);
	if (put->close)
		(void)!ps_public_close_in(put->close, txn);
	return ps_index_commit(txn);
}

void put_describe(struct put *put)
{
	put->record.next.size = put->taken;
	hash_contents(put, put->record.next.hash);
}

int put_switch_now(struct put *put)
{
	struct ps_record *record = &put->record;
	struct ps_slots final = {0}, unused = {0}, old = {0};
	struct ps_version version = ps_manager_version(put->r, record);
	uint64_t hold = 0;
	int err = arrange(put, &final, &unused);
	if (err == PS_OK)
		err = ps_manager_leave(put->r, record, PS_SET_CURRENT, &old, &hold);
	if (err == PS_OK)
		err = ps_record_switch(record, &version, ps_remote_wall_ns(put->r), &old);
	if (err == PS_OK)
		err = commit_switch(put, &old, hold, &unused);
	ps_slots_done(&final, record->memory);
	ps_slots_done(&unused, record->memory);
	ps_slots_done(&old, record->memory);
	return err;
}

int put_switch(struct put *put)
{
	int err = put_journal_begin(put);
	if (err != PS_OK)
		return err;
	put_describe(put);
	return put_journal_end(put, put_switch_now(put));
}
