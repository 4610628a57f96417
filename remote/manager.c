/* Pads as the manager hands them out, seals them and takes them back. */
#include <sodium.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "remote/manager_internal.h"

unsigned ps_manager_mode(const ps_remote *r, int mode)
{
	int given = mode != 0 ? mode : r->options.mode;
	return given >= PS_REMOTE_SMALL && given <= PS_REMOTE_LARGE ? (unsigned)given - PS_REMOTE_SMALL
	                                                            : PS_PAD_MEDIUM;
}

enum ps_verify ps_manager_verify(const ps_remote *r, int verify)
{
	switch (verify != 0 ? verify : r->options.verify) {
	case PS_REMOTE_VERIFY_NONE:
		return PS_VERIFY_NONE;
	case PS_REMOTE_VERIFY_SAMPLE:
		return PS_VERIFY_SAMPLE;
	case PS_REMOTE_VERIFY_READ:
		return PS_VERIFY_READ;
	default:
		return PS_VERIFY_HEAD;
	}
}

/* ---- taking ---- */

static int make_new(ps_remote *r, unsigned class, unsigned mode, struct ps_pad_slot *slot)
{
	struct ps_serial serial;
	struct ps_pad_name name;
	ps_serial_new(&serial);
	int err = ps_pad_name(r->keys, &serial, &name);
	if (err == PS_OK)
		ps_slot_new(slot, &serial, &name, class, mode);
	return err;
}

int ps_manager_take(ps_remote *r, ps_index_txn *txn, unsigned class, unsigned mode, bool fresh,
                    struct ps_pad_slot *slot, struct ps_pad_identity *expected)
{
	int err = fresh ? PS_ENOTFOUND : ps_txn_take(txn, class, mode, slot);
	if (err == PS_ENOTFOUND) {
		*expected = (struct ps_pad_identity){0};
		return make_new(r, class, mode, slot);
	}
	if (err != PS_OK)
		return err;
	*expected = ps_slot_identity(slot);
	return ps_slot_reuse(slot);
}

bool ps_manager_readers(ps_remote *r)
{
	pthread_mutex_lock(&r->lock);
	bool any = r->readers > 0;
	pthread_mutex_unlock(&r->lock);
	return any;
}

uint64_t ps_manager_free(ps_remote *r, unsigned class, unsigned mode)
{
	struct ps_index_figures figures;
	ps_index_figures(r->index, &figures);
	return figures.spare[class][mode];
}

struct ps_pad_identity ps_slot_identity(const struct ps_pad_slot *slot)
{
	struct ps_pad_identity identity = {.counter = slot->counter};
	memcpy(identity.hash, slot->hash, sizeof(identity.hash));
	return identity;
}

/* ---- sealing ---- */

void ps_chunk_description(uint64_t chunk, uint8_t out[PS_CHUNK_DESCRIPTION])
{
	static const uint8_t kind[8] = {'b', 'l', 'o', 'b'};
	ps_le64 number = ps_set64(chunk);
	memcpy(out, kind, sizeof(kind));
	memcpy(out + sizeof(kind), &number, sizeof(number));
}

void ps_manager_plan(const ps_remote *r, const struct ps_pad_slot *slot, unsigned role,
                     const void *description, size_t len, struct ps_pad_plan *plan)
{
	/* The epoch is the head's matter: were it in here, a pad could not be sealed again to the same bytes
	 * after it has changed. */
	*plan = (struct ps_pad_plan){.serial = slot->serial,
	                             .generation = slot->generation,
	                             .counter = slot->counter,
	                             .class = slot->class,
	                             .role = (uint8_t)role,
	                             .description_len = (uint16_t)len};
	memcpy(plan->network, r->network_id, sizeof(plan->network));
	memcpy(plan->nonce, slot->nonce, sizeof(plan->nonce));
	if (len > 0)
		memcpy(plan->description, description, len);
}

static int other_bytes(void)
{
	return ps_fail(PS_EAUTH, "a pad would be sealed to other bytes under the same number");
}

static int seal(ps_remote *r, struct ps_pad_slot *slot, struct ps_pad_plan *plan, const void *payload,
                size_t len, struct ps_net_buffer *buffer)
{
	struct ps_pad_identity identity;
	bool again = ps_slot_sealed(slot);
	int err = again ? PS_OK : ps_pad_nonce_new(r->keys, plan, payload, len);
	if (err == PS_OK)
		err = ps_pad_seal(r->keys, plan, payload, len, slot->mode, buffer, &identity);
	if (err != PS_OK)
		return err;
	if (again && memcmp(identity.hash, slot->hash, sizeof(slot->hash)) != 0)
		return other_bytes();
	memcpy(slot->nonce, plan->nonce, sizeof(slot->nonce));
	memcpy(slot->hash, identity.hash, sizeof(slot->hash));
	slot->length = (uint32_t)len;
	return PS_OK;
}

int ps_manager_seal(ps_remote *r, struct ps_pad_slot *slot, unsigned role, const void *description,
                    size_t description_len, const void *payload, size_t len, struct ps_net_buffer **buffer)
{
	struct ps_pad_plan plan;
	uint32_t bytes = ps_pad_record_bytes(len);
	if (bytes == 0)
		return ps_fail(PS_ERANGE, "no pad holds %zu bytes", len);
	ps_manager_plan(r, slot, role, description, description_len, &plan);
	if (ps_slot_sealed(slot) && !ps_pad_nonce_fits(r->keys, &plan, payload, len))
		return other_bytes();
	struct ps_net_buffer *made = ps_net_buffer_new(&r->network->memory, bytes);
	if (!made)
		return ps_fail(PS_ENOMEM, "no memory for a record of %u bytes", bytes);
	int err = seal(r, slot, &plan, payload, len, made);
	if (err == PS_OK)
		*buffer = made;
	else
		ps_net_buffer_release(made);
	return err;
}

void ps_manager_request(const struct ps_pad_slot *slot, const struct ps_pad_identity *expected,
                        struct ps_net_buffer *buffer, struct ps_net_request *request)
{
	bool creates = ps_identity_none(expected);
	*request = (struct ps_net_request){.op = creates ? PS_NET_CREATE : PS_NET_REPLACE,
	                                   .name = slot->name,
	                                   .expected = *expected,
	                                   .identity = ps_slot_identity(slot),
	                                   .buffer = buffer};
}

/* ---- afterwards ---- */

unsigned ps_manager_status(const struct ps_settle *settle, unsigned before)
{
	switch (settle->settled) {
	case PS_SETTLED_WRITTEN:
		return PS_SLOT_WRITTEN;
	case PS_SETTLED_CONFIRMED:
		/* It was not read back yet, where that was asked for. */
		return settle->task.fate == PS_FATE_DONE ? PS_SLOT_CONFIRMED : PS_SLOT_PENDING;
	case PS_SETTLED_CONFLICT:
	case PS_SETTLED_GONE:
	case PS_SETTLED_DAMAGED:
		return PS_SLOT_INVALID;
	case PS_SETTLED_OLDER:
		return PS_SLOT_PENDING;
	case PS_SETTLED_REFUSED:
		return before;
	case PS_SETTLED_NOT:
		break;
	}
	return settle->task.fate == PS_FATE_UNKNOWN ? PS_SLOT_PENDING : before;
}

/* Which heads name a pad of a set: that which the base is of, and the one on its way. */
unsigned ps_manager_named(const struct ps_record *record, enum ps_record_set set,
                          const struct ps_pad_slot *slot)
{
	unsigned named = slot->named;
	if (set != PS_SET_CURRENT || record->kind != PS_RECORD_BLOB)
		return 0;
	if (!(record->flags & PS_RECORD_DIRTY) || (record->flags & PS_RECORD_BORROWED))
		named |= PS_NAMED_BASE;
	if ((record->flags & PS_RECORD_SENT) && ps_version_compare(&record->sent, &record->version) == 0)
		named |= PS_NAMED_SENT;
	return named;
}

/* One on its way keeps what it names with what was sent, the base's with the base. A pad that a head names by
 * another key (after a rename) has no base to stay with: it is held until that head is history. */
static struct ps_slots *place_of(struct ps_record *record, unsigned named, struct ps_slots *let_go,
                                 uint64_t head_may, uint64_t *hold)
{
	bool based = !ps_version_none(&record->base) || (record->flags & PS_RECORD_BORROWED);
	if ((named & PS_NAMED_SENT) && (record->flags & PS_RECORD_SENT))
		return &record->sets[PS_SET_SENT];
	if ((named & PS_NAMED_BASE) && based)
		return &record->sets[PS_SET_BASE];
	if (named != 0)
		*hold = head_may;
	return let_go;
}

int ps_manager_leave(ps_remote *r, struct ps_record *record, enum ps_record_set set, struct ps_slots *let_go,
                     uint64_t *hold)
{
	struct ps_slots leaving = record->sets[set];
	pthread_mutex_lock(&r->lock);
	uint64_t head_may = r->head_may;
	pthread_mutex_unlock(&r->lock);
	int err = PS_OK;
	*hold = 0;
	for (uint32_t i = 0; i < leaving.count && err == PS_OK; i++) {
		unsigned named = ps_manager_named(record, set, &leaving.slots[i]);
		struct ps_slots *to = place_of(record, named, let_go, head_may, hold);
		leaving.slots[i].named = to == &record->sets[PS_SET_SENT] ? named & PS_NAMED_BASE : 0;
		err = ps_slots_add(to, record->memory, &leaving.slots[i], 1);
	}
	if (err == PS_OK)
		ps_slots_done(&record->sets[set], record->memory);
	return err;
}

bool ps_manager_may_share(ps_remote *r)
{
	pthread_mutex_lock(&r->lock);
	bool may = r->alone;
	r->sharers += may;
	pthread_mutex_unlock(&r->lock);
	return may;
}

bool ps_manager_alone(ps_remote *r)
{
	pthread_mutex_lock(&r->lock);
	bool alone = r->alone;
	pthread_mutex_unlock(&r->lock);
	return alone;
}

void ps_manager_shared(ps_remote *r)
{
	pthread_mutex_lock(&r->lock);
	r->sharers--;
	pthread_mutex_unlock(&r->lock);
}

uint64_t ps_manager_sharers(ps_remote *r)
{
	pthread_mutex_lock(&r->lock);
	uint64_t sharers = r->sharers;
	pthread_mutex_unlock(&r->lock);
	return sharers;
}

void ps_manager_set_alone(ps_remote *r, bool alone)
{
	pthread_mutex_lock(&r->lock);
	r->alone = alone;
	pthread_mutex_unlock(&r->lock);
}

void ps_manager_move(ps_remote *r)
{
	pthread_mutex_lock(&r->lock);
	r->moving++;
	r->moves++;
	pthread_mutex_unlock(&r->lock);
}

void ps_manager_moved(ps_remote *r)
{
	pthread_mutex_lock(&r->lock);
	r->moving--;
	pthread_mutex_unlock(&r->lock);
}

uint64_t ps_manager_moves(ps_remote *r, bool *under_way)
{
	pthread_mutex_lock(&r->lock);
	uint64_t moves = r->moves;
	*under_way = r->moving > 0;
	pthread_mutex_unlock(&r->lock);
	return moves;
}

struct ps_version ps_manager_version(const ps_remote *r, const struct ps_record *record)
{
	struct ps_version version = {.counter = record->version.counter + 1};
	memcpy(version.machine, r->machine.id, sizeof(version.machine));
	return version;
}

double ps_manager_price(const ps_remote *r, const struct ps_remote_plan *plan, uint64_t up, uint64_t down)
{
	static const double gib = 1024.0 * 1024 * 1024;
	const struct ps_remote_rates *rates = &r->options.rates;
	return rates->per_new_pad * (double)plan->new_pads + rates->per_request * (double)plan->requests +
	       rates->per_gib_up * (double)up / gib + rates->per_gib_down * (double)down / gib;
}

void ps_manager_estimate(ps_remote *r, uint64_t size, unsigned mode, unsigned class, enum ps_verify verify,
                         struct ps_remote_plan *plan)
{
	uint32_t chunk = r->payloads[mode];
	uint64_t whole = size / chunk, rest = size % chunk, pads = whole + (rest > 0), free = 0;
	if (!ps_manager_readers(r))
		free = ps_manager_free(r, class, mode);
	*plan = (struct ps_remote_plan){.bytes = size, .reused_pads = free < pads ? free : pads, .exact = 1};
	plan->new_pads = pads - plan->reused_pads;
	plan->record_bytes = whole * ps_pad_record_bytes(chunk) + (rest > 0 ? ps_pad_record_bytes(rest) : 0);
	plan->requests = pads * (verify == PS_VERIFY_NONE ? 1 : verify == PS_VERIFY_READ ? 3 : 2);
	plan->price =
	    ps_manager_price(r, plan, plan->record_bytes, verify == PS_VERIFY_READ ? plan->record_bytes : 0);
}
