/* What the index keeps of heads: the last one used, the one on its way, and keys left to be settled. */
#include "base/bytes.h"
#include "base/fail.h"
#include "remote/sync_internal.h"

enum { NOTE_FORMAT = 1, NOTE_UNANCHORED = 1, LEFT_HEAD = 10 };

/* Then the head, as ps_head_encode has it. */
struct head_note {
	uint8_t format, flags;
	uint8_t reserved[6];
	ps_le64 settled;
	uint8_t hash[32];
};
static_assert(sizeof(struct head_note) == 48, "no padding");

/* Then the record. */
struct intent_note {
	uint8_t format, skipped;
	uint8_t reserved[6];
	ps_le64 expected_counter;
	uint8_t expected_hash[32];
};
static_assert(sizeof(struct intent_note) == 48, "no padding");

static int damaged(const char *what)
{
	return ps_fail(PS_ECORRUPT, "the local index: its note of %s is damaged", what);
}

void sync_head_done(struct sync_head *head)
{
	ps_head_done(&head->head);
	*head = (struct sync_head){0};
}

/* ---- the last head used ---- */

static int decode_head(struct ps_sync *s, const uint8_t *bytes, size_t len)
{
	struct head_note note;
	if (len < sizeof(note))
		return damaged("the last head");
	memcpy(&note, bytes, sizeof(note));
	if (note.format != NOTE_FORMAT || (note.flags & ~NOTE_UNANCHORED) ||
	    !ps_all_zero(note.reserved, sizeof(note.reserved)))
		return damaged("the last head");
	int err = ps_head_decode(bytes + sizeof(note), len - sizeof(note), &s->r->memory, &s->base.head);
	if (err != PS_OK)
		return err;
	memcpy(s->base.hash, note.hash, sizeof(note.hash));
	s->base.there = true;
	s->unanchored = note.flags & NOTE_UNANCHORED;
	s->settled = ps_get64(note.settled);
	return PS_OK;
}

static int load_head(struct ps_sync *s)
{
	uint8_t *bytes;
	size_t len;
	int err = ps_index_note(s->r->index, PS_NOTE_HEAD, &bytes, &len);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err;
	err = decode_head(s, bytes, len);
	ps_memory_free(s->memory, bytes, len > 0 ? len : 1);
	return err;
}

int sync_note_head(const struct ps_sync *s, const struct sync_head *head, ps_index_txn *txn)
{
	struct head_note note = {.format = NOTE_FORMAT,
	                         .flags = s->unanchored ? NOTE_UNANCHORED : 0,
	                         .settled = ps_set64(s->settled)};
	size_t len = sizeof(note) + ps_head_bytes(&head->head);
	uint8_t *bytes = ps_memory_alloc(s->memory, len);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "no memory for a head of %zu bytes", len);
	memcpy(note.hash, head->hash, sizeof(note.hash));
	memcpy(bytes, &note, sizeof(note));
	ps_head_encode(&head->head, bytes + sizeof(note));
	int err = ps_txn_set_note(txn, PS_NOTE_HEAD, bytes, len);
	ps_memory_free(s->memory, bytes, len);
	return err;
}

/* ---- the head on its way ---- */

void sync_intent_done(struct sync_intent *intent)
{
	ps_net_buffer_release(intent->record);
	sync_head_done(&intent->next);
	*intent = (struct sync_intent){0};
}

int sync_note_intent(const struct ps_sync *s, const struct sync_intent *intent, ps_index_txn *txn)
{
	struct intent_note note = {.format = NOTE_FORMAT,
	                           .skipped = intent->skipped,
	                           .expected_counter = ps_set64(intent->expected.counter)};
	size_t len = sizeof(note) + intent->record->len;
	uint8_t *bytes = ps_memory_alloc(s->memory, len);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "no memory for a head of %zu bytes", len);
	memcpy(note.expected_hash, intent->expected.hash, sizeof(note.expected_hash));
	memcpy(bytes, &note, sizeof(note));
	memcpy(bytes + sizeof(note), intent->record->bytes, intent->record->len);
	int err = ps_txn_set_note(txn, PS_NOTE_HEAD_INTENT, bytes, len);
	ps_memory_free(s->memory, bytes, len);
	return err;
}

int sync_keep_intent(const struct ps_sync *s, const struct sync_intent *intent)
{
	ps_index_txn *txn;
	int err = ps_index_begin(s->r->index, &txn);
	if (err != PS_OK)
		return err;
	(void)!sync_note_intent(s, intent, txn); /* what fails here fails the commit */
	return ps_index_commit(txn);
}

static int decode_intent(struct ps_sync *s, const uint8_t *bytes, size_t len, struct sync_intent *intent)
{
	struct intent_note note;
	if (len <= sizeof(note))
		return damaged("the next head");
	memcpy(&note, bytes, sizeof(note));
	if (note.format != NOTE_FORMAT || note.skipped > 1 ||
	    !ps_all_zero(note.reserved, sizeof(note.reserved)))
		return damaged("the next head");
	struct sync_intent made = {.expected = {.counter = ps_get64(note.expected_counter)},
	                           .skipped = note.skipped};
	memcpy(made.expected.hash, note.expected_hash, sizeof(note.expected_hash));
	/* Opening spoils the first segment of what it opens. */
	struct ps_net_buffer *copy = ps_net_buffer_new(&s->r->network->memory, len - sizeof(note));
	made.record = ps_net_buffer_new(&s->r->network->memory, len - sizeof(note));
	int err = copy && made.record ? PS_OK : ps_fail(PS_ENOMEM, "no memory for a head of %zu bytes", len);
	if (err == PS_OK) {
		copy->len = made.record->len = len - sizeof(note);
		memcpy(copy->bytes, bytes + sizeof(note), copy->len);
		memcpy(made.record->bytes, bytes + sizeof(note), copy->len);
		err = ps_head_open_record(s->r, copy, s->r->network_id, &made.next);
	}
	ps_net_buffer_release(copy);
	if (err == PS_OK)
		*intent = made;
	else
		sync_intent_done(&made);
	return err;
}

int sync_load_intent(struct ps_sync *s, struct sync_intent *intent)
{
	uint8_t *bytes;
	size_t len;
	int err = ps_index_note(s->r->index, PS_NOTE_HEAD_INTENT, &bytes, &len);
	if (err != PS_OK)
		return err;
	err = decode_intent(s, bytes, len, intent);
	ps_memory_free(s->memory, bytes, len > 0 ? len : 1);
	return err;
}

uint64_t sync_own_last(const struct ps_sync *s)
{
	if (!s->base.there)
		return 0;
	const struct ps_head_machine *self = ps_head_machine(&s->base.head, s->r->machine.id);
	return self ? self->last : 0;
}

/* ---- keys left to be settled ---- */

/* No head has such a number. */
static const uint64_t LEFT_LEAVES = (uint64_t)1 << 63;

static void put_left(const struct sync_left *left, uint8_t *at)
{
	ps_le64 head = ps_set64(left->head | (left->leaves ? LEFT_LEAVES : 0));
	ps_le16 name_len = ps_set16(left->name_len);
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), &name_len, sizeof(name_len));
	memcpy(at + LEFT_HEAD, left->name, left->name_len);
}

int sync_note_lefts(const struct ps_sync *s, ps_index_txn *txn)
{
	size_t len = 0, at = 0;
	for (size_t i = 0; i < s->lefts.count; i++)
		len += LEFT_HEAD + s->lefts.all[i].name_len;
	uint8_t *bytes = ps_memory_alloc(s->memory, len > 0 ? len : 1);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "no memory for %zu keys", s->lefts.count);
	for (size_t i = 0; i < s->lefts.count; i++) {
		put_left(&s->lefts.all[i], bytes + at);
		at += LEFT_HEAD + s->lefts.all[i].name_len;
	}
	int err = ps_txn_set_note(txn, PS_NOTE_SYNC, bytes, len);
	ps_memory_free(s->memory, bytes, len > 0 ? len : 1);
	return err;
}

static int add_left(struct ps_sync *s, uint64_t head, bool leaves, const char *name, size_t name_len)
{
	struct sync_lefts *lefts = &s->lefts;
	struct sync_left *grown =
	    ps_memory_grow(&s->r->memory, lefts->all, lefts->count, &lefts->capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	lefts->all = grown;
	struct sync_left *left = &lefts->all[lefts->count++];
	*left = (struct sync_left){.head = head, .leaves = leaves, .name_len = (uint16_t)name_len};
	memcpy(left->name, name, name_len);
	return PS_OK;
}

int sync_left_add(struct ps_sync *s, const struct ps_record *record, uint64_t head, bool leaves)
{
	for (size_t i = 0; i < s->lefts.count; i++)
		if (strcmp(s->lefts.all[i].name, record->name) == 0)
			return PS_OK;
	return add_left(s, head, leaves, record->name, record->name_len);
}

static int decode_lefts(struct ps_sync *s, const uint8_t *bytes, size_t len)
{
	int err = PS_OK;
	for (size_t at = 0; at < len && err == PS_OK;) {
		ps_le64 head;
		ps_le16 name_len;
		if (len - at < LEFT_HEAD)
			return damaged("the last sync");
		memcpy(&head, bytes + at, sizeof(head));
		memcpy(&name_len, bytes + at + sizeof(head), sizeof(name_len));
		at += LEFT_HEAD;
		size_t name = ps_get16(name_len);
		if (name == 0 || name > PS_RECORD_NAME_MAX || name > len - at)
			return damaged("the last sync");
		uint64_t counter = ps_get64(head) & ~LEFT_LEAVES;
		err = add_left(s, counter, ps_get64(head) & LEFT_LEAVES, (const char *)bytes + at, name);
		at += name;
	}
	return err;
}

int sync_load(struct ps_sync *s)
{
	uint8_t *bytes;
	size_t len;
	int err = load_head(s);
	if (err != PS_OK)
		return err;
	err = ps_index_note(s->r->index, PS_NOTE_SYNC, &bytes, &len);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err;
	err = decode_lefts(s, bytes, len);
	ps_memory_free(s->memory, bytes, len > 0 ? len : 1);
	return err;
}
