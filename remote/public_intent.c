/* Intents: what is on its way to index pads, kept to the byte until it is known what became of it. */
#include <sodium.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "remote/public_internal.h"

#define TURN_KEY "\001what addresses are to show"

/* Then the key, the places (4 bytes each) and the record. */
struct intent_bytes {
	ps_le32 bytes; /* of all of it */
	uint8_t then, reserved;
	ps_le16 name_len;
	ps_le64 expected_counter;
	uint8_t expected_hash[32];
	ps_le64 counter;
	uint8_t hash[32];
	ps_le32 used, chunks, record_len;
	uint8_t reserved_too[4];
};
static_assert(sizeof(struct intent_bytes) == 104, "no padding");

void public_turn_take(ps_remote *r, struct ps_busy_key *turn)
{
	*turn = (struct ps_busy_key){.key = TURN_KEY};
	ps_busy_wait_brief(r, turn);
}

void public_turn_give(ps_remote *r, struct ps_busy_key *turn)
{
	ps_busy_give_back(r, turn);
}

void public_intent_done(struct public_intent *intent)
{
	if (intent->places)
		ps_memory_free(intent->memory, intent->places, intent->chunks * sizeof(*intent->places));
	ps_net_buffer_release(intent->record);
	*intent = (struct public_intent){0};
}

/* ---- the note ---- */

/* One intent at the beginning of `len` bytes. */
static int check_one(const uint8_t *at, size_t len, struct intent_bytes *head)
{
	if (len < sizeof(*head))
		return ps_fail(PS_ECORRUPT, "the index's note about addresses is cut short");
	memcpy(head, at, sizeof(*head));
	uint64_t bytes = sizeof(*head) + (uint64_t)ps_get16(head->name_len) +
	                 4 * (uint64_t)ps_get32(head->chunks) + ps_get32(head->record_len);
	if (bytes != ps_get32(head->bytes) || bytes > len || head->then < PUBLIC_THEN_SWITCH ||
	    head->then > PUBLIC_THEN_NOTHING || head->reserved != 0 || ps_get16(head->name_len) == 0 ||
	    ps_get16(head->name_len) > PS_RECORD_NAME_MAX || ps_get32(head->record_len) == 0 ||
	    ps_get64(head->counter) == 0 || ps_get32(head->used) > ps_get32(head->chunks) ||
	    !ps_all_zero(head->reserved_too, sizeof(head->reserved_too)))
		return ps_fail(PS_ECORRUPT, "the index's note about addresses has impossible contents");
	return PS_OK;
}

int public_intents_check(const uint8_t *bytes, size_t len)
{
	struct intent_bytes head = {0};
	int err = PS_OK;
	for (size_t at = 0; at < len && err == PS_OK; at += ps_get32(head.bytes))
		err = check_one(bytes + at, len - at, &head);
	return err;
}

/* *bytes NULL: there is none. */
static int load(ps_remote *r, uint8_t **bytes, size_t *len)
{
	*bytes = NULL;
	*len = 0;
	int err = ps_index_note(r->index, PS_NOTE_PUBLIC_INTENT, bytes, len);
	if (err == PS_ENOTFOUND)
		return PS_OK;
	if (err == PS_OK)
		err = public_intents_check(*bytes, *len);
	if (err != PS_OK && *bytes) {
		ps_memory_free(ps_index_memory(r->index), *bytes, *len > 0 ? *len : 1);
		*bytes = NULL;
	}
	return err;
}

static void unload(ps_remote *r, uint8_t *bytes, size_t len)
{
	if (bytes)
		ps_memory_free(ps_index_memory(r->index), bytes, len > 0 ? len : 1);
}

/* Where the key's is; len: nowhere. The note was checked. */
static size_t find(const uint8_t *bytes, size_t len, const char *key)
{
	struct intent_bytes head;
	size_t key_len = strlen(key), at = 0;
	for (; at < len; at += ps_get32(head.bytes)) {
		memcpy(&head, bytes + at, sizeof(head));
		if (ps_get16(head.name_len) == key_len &&
		    memcmp(bytes + at + sizeof(head), key, key_len) == 0)
			break;
	}
	return at;
}

static int decode(ps_remote *r, const uint8_t *at, struct public_intent *intent)
{
	struct intent_bytes head;
	memcpy(&head, at, sizeof(head));
	*intent = (struct public_intent){.then = head.then,
	                                 .expected.counter = ps_get64(head.expected_counter),
	                                 .identity.counter = ps_get64(head.counter),
	                                 .memory = &r->memory,
	                                 .used = ps_get32(head.used)};
	memcpy(intent->expected.hash, head.expected_hash, sizeof(head.expected_hash));
	memcpy(intent->identity.hash, head.hash, sizeof(head.hash));
	uint32_t chunks = ps_get32(head.chunks), record_len = ps_get32(head.record_len);
	at += sizeof(head) + ps_get16(head.name_len);
	intent->record = ps_net_buffer_new(&r->network->memory, record_len);
	if (chunks > 0)
		intent->places = ps_memory_alloc(&r->memory, chunks * sizeof(*intent->places));
	intent->chunks = intent->places ? chunks : 0;
	if (!intent->record || intent->chunks != chunks) {
		public_intent_done(intent);
		return ps_fail(PS_ENOMEM, "no memory for what an address is to show");
	}
	for (uint32_t i = 0; i < chunks; i++, at += sizeof(ps_le32)) {
		ps_le32 place;
		memcpy(&place, at, sizeof(place));
		intent->places[i] = ps_get32(place);
	}
	memcpy(intent->record->bytes, at, record_len);
	intent->record->len = record_len;
	return PS_OK;
}

int public_intent_find(ps_remote *r, const char *key, struct public_intent *intent)
{
	uint8_t *bytes;
	size_t len;
	int err = load(r, &bytes, &len);
	if (err != PS_OK)
		return err;
	size_t at = find(bytes, len, key);
	err = at < len ? decode(r, bytes + at, intent) : PS_ENOTFOUND;
	unload(r, bytes, len);
	return err;
}

static size_t bytes_of(const char *key, const struct public_intent *intent)
{
	return sizeof(struct intent_bytes) + strlen(key) + 4 * (size_t)intent->chunks + intent->record->len;
}

static void encode(const char *key, const struct public_intent *intent, uint8_t *at)
{
	struct intent_bytes head = {.bytes = ps_set32((uint32_t)bytes_of(key, intent)),
	                            .then = (uint8_t)intent->then,
	                            .name_len = ps_set16((uint16_t)strlen(key)),
	                            .expected_counter = ps_set64(intent->expected.counter),
	                            .counter = ps_set64(intent->identity.counter),
	                            .used = ps_set32(intent->used),
	                            .chunks = ps_set32(intent->chunks),
	                            .record_len = ps_set32((uint32_t)intent->record->len)};
	memcpy(head.expected_hash, intent->expected.hash, sizeof(head.expected_hash));
	memcpy(head.hash, intent->identity.hash, sizeof(head.hash));
	memcpy(at, &head, sizeof(head));
	at += sizeof(head);
	memcpy(at, key, strlen(key));
	at += strlen(key);
	for (uint32_t i = 0; i < intent->chunks; i++, at += sizeof(ps_le32)) {
		ps_le32 place = ps_set32(intent->places[i]);
		memcpy(at, &place, sizeof(place));
	}
	memcpy(at, intent->record->bytes, intent->record->len);
}

int public_intent_set(ps_remote *r, const char *key, const struct public_intent *intent, ps_index_txn *txn)
{
	uint8_t *bytes;
	size_t len;
	int err = load(r, &bytes, &len);
	if (err != PS_OK)
		return err;
	struct intent_bytes old = {0};
	size_t at = find(bytes, len, key), gone = 0, more = intent ? bytes_of(key, intent) : 0;
	if (at < len) {
		memcpy(&old, bytes + at, sizeof(old));
		gone = ps_get32(old.bytes);
	}
	size_t left = len - gone, room = left + more;
	uint8_t *fresh = ps_memory_alloc(&r->memory, room > 0 ? room : 1);
	if (!fresh) {
		err = ps_fail(PS_ENOMEM, "no memory for a note of %zu bytes", room);
	} else {
		if (at > 0)
			memcpy(fresh, bytes, at);
		if (left > at)
			memcpy(fresh + at, bytes + at + gone, left - at);
		if (intent)
			encode(key, intent, fresh + left);
		err = ps_txn_set_note(txn, PS_NOTE_PUBLIC_INTENT, fresh, room);
		ps_memory_free(&r->memory, fresh, room > 0 ? room : 1);
	}
	unload(r, bytes, len);
	return err;
}
