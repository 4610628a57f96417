/* A slot's serial is derived from the read root, so that its contents open for all who read; its name from
 * the write root, as every pad's is. Its counter is its number and its epoch stands in the header: what a
 * scan finds it can place without opening it.
 *
 * One counter never signs two contents here: a name is only ever created. Two processes that go on where one
 * crashed may each have sealed another record for it, but the network takes one, and who comes second is told
 * so. */
#include "remote/slot.h"

#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "remote/slot_internal.h"

struct place_fields {
	ps_le64 epoch, n;
};
static_assert(sizeof(struct place_fields) == 16, "no padding");

static int check_place(const struct ps_remote_slot_at *at)
{
	if (at->epoch > 0 && at->n > 0 && at->n <= INT64_MAX)
		return PS_OK;
	return ps_fail(PS_ERANGE, "there is no slot %llu of epoch %llu", (unsigned long long)at->n,
	               (unsigned long long)at->epoch);
}

void ps_remote_slot_serial(const ps_remote *r, const struct ps_remote_slot_at *at, struct ps_serial *serial)
{
	struct place_fields fields = {ps_set64(at->epoch), ps_set64(at->n)};
	uint8_t hash[PS_KEY];
	ps_keys_derive(r->keys, "slot", &fields, sizeof(fields), hash);
	memcpy(serial->bytes, hash, PS_SERIAL);
}

int ps_remote_slot_name(ps_remote *r, const struct ps_remote_slot_at *at, struct ps_pad_name *name)
{
	struct ps_serial serial;
	int err = check_place(at);
	if (err != PS_OK)
		return err;
	ps_remote_slot_serial(r, at, &serial);
	return ps_pad_name(r->keys, &serial, name);
}

bool ps_remote_slot_is(const ps_remote *r, const struct ps_pad_plan *plan)
{
	struct ps_remote_slot_at at = {plan->epoch, plan->counter};
	struct ps_serial serial;
	if (plan->class != PS_PAD_PRIVATE || (plan->role != PS_ROLE_LOG && plan->role != PS_ROLE_FENCE) ||
	    at.epoch == 0 || at.n == 0)
		return false;
	ps_remote_slot_serial(r, &at, &serial);
	return memcmp(&serial, &plan->serial, sizeof(serial)) == 0;
}

size_t ps_remote_slot_most(const ps_remote *r)
{
	return r->payloads[PS_PAD_MEDIUM];
}

static unsigned role_of(enum ps_remote_slot_kind kind)
{
	return kind == PS_SLOT_FENCE ? PS_ROLE_FENCE : PS_ROLE_LOG;
}

static int failed_at(const struct ps_remote_slot_at *at, int err, const char *sentence)
{
	return ps_fail(err, "slot %llu of epoch %llu: %.200s", (unsigned long long)at->n,
	               (unsigned long long)at->epoch, sentence);
}

/* ---- creating ---- */

static int seal(ps_remote *r, const struct ps_remote_slot_at *at, unsigned role, const void *contents,
                size_t len, struct ps_pad_send *send)
{
	struct ps_pad_slot *slot = &send->slot;
	struct ps_pad_plan plan;
	struct ps_pad_identity identity;
	struct ps_net_buffer *record = ps_net_buffer_new(&r->network->memory, ps_pad_record_bytes(len));
	if (!record)
		return ps_fail(PS_ENOMEM, "no memory for a record of %zu bytes", len);
	ps_manager_plan(r, slot, role, NULL, 0, &plan);
	plan.epoch = at->epoch;
	int err = ps_pad_nonce_new(r->keys, &plan, contents, len);
	if (err == PS_OK)
		err = ps_pad_seal(r->keys, &plan, contents, len, PS_PAD_MEDIUM, record, &identity);
	if (err != PS_OK) {
		ps_net_buffer_release(record);
		return err;
	}
	memcpy(slot->nonce, plan.nonce, sizeof(slot->nonce));
	memcpy(slot->hash, identity.hash, sizeof(slot->hash));
	slot->length = (uint32_t)len;
	send->sealed = record;
	return PS_OK;
}

static int made(const struct ps_remote_slot_at *at, const struct ps_pad_send *send)
{
	const struct ps_task *task = &send->settle.task;
	if (task->fate == PS_FATE_DONE)
		return PS_OK;
	if (send->settle.settled == PS_SETTLED_CONFLICT || send->settle.settled == PS_SETTLED_OLDER)
		return failed_at(at, PS_EEXIST, "another one is there");
	return failed_at(at, ps_task_error(task), task->sentence);
}

static int create(struct ps_operation *op, const struct ps_remote_slot_at *at, enum ps_remote_slot_kind kind,
                  const void *contents, size_t len, struct ps_remote_slot *slot)
{
	ps_remote *r = op->r;
	struct ps_serial serial;
	struct ps_pad_name name;
	struct ps_pad_send send = {.role = role_of(kind), .len = len};
	bool reads_back = ps_manager_verify(r, 0) == PS_VERIFY_READ;
	ps_remote_slot_serial(r, at, &serial);
	int err = ps_remote_slot_name(r, at, &name);
	if (err != PS_OK)
		return err;
	ps_slot_new(&send.slot, &serial, &name, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
	send.slot.counter = at->n;
	err = seal(r, at, send.role, contents, len, &send);
	if (err == PS_OK)
		err = ps_pads_send(op, &send, 1, reads_back ? PS_VERIFY_READ : PS_VERIFY_NONE);
	if (err == PS_OK)
		err = made(at, &send);
	if (err != PS_OK)
		return err;
	*slot = (struct ps_remote_slot){.kind = kind, .len = (uint32_t)len};
	memcpy(slot->hash, send.slot.hash, sizeof(slot->hash));
	return PS_OK;
}

int ps_remote_slot_create(ps_remote *r, const struct ps_remote_slot_at *at, enum ps_remote_slot_kind kind,
                          const void *contents, size_t len, ps_remote_progress_fn progress, void *arg,
                          struct ps_remote_slot *slot)
{
	struct ps_operation op;
	if (len > ps_remote_slot_most(r))
		return ps_fail(PS_ERANGE, "a slot of %zu bytes: %zu are possible", len,
		               ps_remote_slot_most(r));
	int err = ps_operation_begin(&op, r, "log", NULL, 0, progress, arg);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&op, create(&op, at, kind, contents, len, slot));
	return ps_operation_end(&op);
}

/* ---- reading ---- */

struct slot_fetch {
	struct ps_pad_fetch fetch; /* first: a task */
	ps_remote *r;
	const struct ps_remote_slot_at *at;
	struct ps_remote_slot slot;
	uint8_t *plain;
	uint32_t plain_bytes;
	bool gone, too_big;
};

/* What is signed has to be of this place. */
static int check_header(const struct slot_fetch *f, const struct ps_pad_header *header)
{
	struct ps_pad_expected expected = {.generation = 1,
	                                   .class = PS_PAD_PRIVATE,
	                                   .role = header->plan.role,
	                                   .newer = true,
	                                   .identity.counter = 0};
	ps_remote_slot_serial(f->r, f->at, &expected.serial);
	memcpy(expected.network, f->r->network_id, sizeof(expected.network));
	int err = ps_pad_check(header, &expected);
	bool fits = header->plan.epoch == f->at->epoch && header->plan.counter == f->at->n &&
	            (header->plan.role == PS_ROLE_LOG || header->plan.role == PS_ROLE_FENCE);
	if (err == PS_OK && !fits)
		err = ps_fail(PS_EAUTH, "an authentic pad of another use, or of another slot");
	return err;
}

static int open_record(struct slot_fetch *f, const struct ps_net_buffer *record)
{
	struct ps_pad_reader reader = {.keys = f->r->keys};
	struct ps_pad_contents contents;
	struct ps_pad_header header;
	int err = ps_pad_open_header(record->bytes, record->len, &f->fetch.fetch.name, &header);
	if (err == PS_OK)
		err = check_header(f, &header);
	if (err != PS_OK)
		return err;
	uint8_t *plain = ps_memory_alloc(&f->r->memory, header.payload);
	if (!plain)
		return ps_fail(PS_ENOMEM, "no memory for a slot of %u bytes", header.payload);
	err = ps_pad_open(&reader, &header, record->bytes, record->len, plain, &contents);
	if (err == PS_OK && contents.description_len > 0)
		err = ps_fail(PS_EAUTH, "an authentic pad that says of itself that it is no slot");
	if (err != PS_OK) {
		ps_memory_free(&f->r->memory, plain, header.payload);
		return err;
	}
	f->plain = plain;
	f->plain_bytes = header.payload;
	f->slot = (struct ps_remote_slot){
	    .kind = header.plan.role == PS_ROLE_FENCE ? PS_SLOT_FENCE : PS_SLOT_LOG, .len = contents.length};
	memcpy(f->slot.hash, header.identity.hash, sizeof(f->slot.hash));
	return PS_OK;
}

static int opened(struct ps_fetch *fetch)
{
	return open_record((struct slot_fetch *)(void *)fetch, fetch->task.request.buffer);
}

static void ended(struct ps_fetch *fetch)
{
	struct slot_fetch *f = (struct slot_fetch *)(void *)fetch;
	bool failed = fetch->task.fate != PS_FATE_DONE;
	f->gone = failed && fetch->task.request.outcome == PS_NET_ABSENT;
	f->too_big = failed && fetch->task.request.outcome == PS_NET_TOO_BIG;
	ps_pad_fetched(&f->fetch);
}

static const struct ps_fetch_ops fetch_ops = {opened, ended};

static int fetched(const struct slot_fetch *f)
{
	const struct ps_task *task = &f->fetch.fetch.task;
	if (task->fate == PS_FATE_DONE)
		return PS_OK;
	if (f->gone)
		return failed_at(f->at, PS_ENOTFOUND, "nothing is there");
	if (f->too_big)
		return failed_at(f->at, PS_EAUTH, "what is there is larger than a slot");
	return failed_at(f->at, ps_task_error(task), task->sentence);
}

static int fetch(struct slot_fetch *f, struct ps_operation *op, const struct ps_pad_name *name)
{
	struct ps_pad_name own;
	int err = check_place(f->at);
	if (err == PS_OK && !name)
		err = ps_remote_slot_name(f->r, f->at, &own);
	if (err != PS_OK)
		return err;
	f->fetch.fetch = (struct ps_fetch){.ops = &fetch_ops,
	                                   .op = PS_NET_GET,
	                                   .name = name ? *name : own,
	                                   .len = ps_pad_record_bytes(ps_remote_slot_most(f->r))};
	err = ps_pad_fetch(op, &f->fetch);
	return err == PS_OK ? fetched(f) : err;
}

int ps_remote_slot_read(ps_remote *r, const struct ps_remote_slot_at *at, const struct ps_pad_name *name,
                        void *buf, size_t cap, ps_remote_progress_fn progress, void *arg,
                        struct ps_remote_slot *slot)
{
	struct slot_fetch f = {.r = r, .at = at};
	struct ps_operation op;
	int err = ps_operation_begin(&op, r, "log", NULL, 0, progress, arg);
	if (err != PS_OK)
		return err;
	err = fetch(&f, &op, name);
	if (err == PS_OK)
		*slot = f.slot;
	if (err == PS_OK && f.slot.len > cap)
		err = ps_fail(PS_ERANGE, "slot %llu of epoch %llu has %u bytes, and there is room for %zu",
		              (unsigned long long)at->n, (unsigned long long)at->epoch, f.slot.len, cap);
	else if (err == PS_OK && f.slot.len > 0)
		memcpy(buf, f.plain, f.slot.len);
	(void)ps_operation_fail(&op, err);
	if (f.plain)
		ps_memory_free(&r->memory, f.plain, f.plain_bytes);
	return ps_operation_end(&op);
}

/* ---- removing ---- */

struct removal {
	struct ps_operation *op;
	struct ps_remote_slot_at at; /* of the next batch */
	bool fences;                 /* there may be some, which stay */
	struct ps_pad_look looks[PS_SLOT_BATCH];
	struct ps_pad_header_look headers[PS_SLOT_BATCH];
	struct ps_pad_send sends[PS_SLOT_BATCH];
	size_t there, going;
};

static int task_failed(const struct ps_task *task)
{
	if (task->fate == PS_FATE_DONE)
		return PS_OK;
	return ps_fail(ps_task_error(task), "a slot's removal: %.200s", task->sentence);
}

static void send_away(struct removal *rm, const struct ps_pad_name *name,
                      const struct ps_pad_identity *identity)
{
	rm->sends[rm->going++] =
	    (struct ps_pad_send){.slot.name = *name, .expected = *identity, .removes = true};
}

static int find_any(struct removal *rm, size_t count)
{
	int err = ps_pads_look(rm->op, rm->looks, count);
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		const struct ps_pad_look *look = &rm->looks[i];
		err = task_failed(&look->task);
		if (err == PS_OK && look->there)
			send_away(rm, &look->slot.name, &look->identity);
	}
	rm->there = rm->going;
	return err;
}

/* What kind a slot is its header says. */
static int find_but_fences(struct removal *rm, size_t count)
{
	int err = ps_pads_headers(rm->op, rm->headers, count);
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		const struct ps_pad_header_look *look = &rm->headers[i];
		err = look->gone ? PS_OK : task_failed(&look->fetch.task);
		rm->there += look->there;
		if (err == PS_OK && look->authentic && look->plan.role == PS_ROLE_LOG)
			send_away(rm, &look->name, &look->identity);
	}
	return err;
}

static int find_some(struct removal *rm, size_t count)
{
	int err = PS_OK;
	rm->there = rm->going = 0;
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		struct ps_remote_slot_at at = {rm->at.epoch, rm->at.n + i};
		struct ps_pad_name name;
		err = ps_remote_slot_name(rm->op->r, &at, &name);
		rm->looks[i] = (struct ps_pad_look){.slot.name = name};
		rm->headers[i] = (struct ps_pad_header_look){.name = name};
	}
	if (err != PS_OK)
		return err;
	return rm->fences ? find_but_fences(rm, count) : find_any(rm, count);
}

static int remove_some(struct removal *rm, size_t count)
{
	int err = find_some(rm, count);
	if (err == PS_OK && rm->going > 0)
		err = ps_pads_send(rm->op, rm->sends, rm->going, PS_VERIFY_NONE);
	for (size_t i = 0; i < rm->going && err == PS_OK; i++)
		err = task_failed(&rm->sends[i].settle.task);
	return err;
}

static int remove_all(struct ps_operation *op, const struct ps_remote_slot_at *from, uint64_t end)
{
	struct removal *rm = ps_memory_zalloc(&op->r->memory, sizeof(*rm));
	if (!rm)
		return ps_fail(PS_ENOMEM, "no memory for removing slots");
	*rm = (struct removal){.op = op, .at = *from, .fences = end == PS_SLOT_END, .there = 1};
	int err = PS_OK;
	while (rm->there > 0 && rm->at.n < end && err == PS_OK) {
		size_t count = end - rm->at.n < PS_SLOT_BATCH ? (size_t)(end - rm->at.n) : PS_SLOT_BATCH;
		err = remove_some(rm, count);
		rm->at.n += count;
	}
	ps_memory_free(&op->r->memory, rm, sizeof(*rm));
	return err;
}

int ps_remote_slot_remove(ps_remote *r, const struct ps_remote_slot_at *from, uint64_t end,
                          ps_remote_progress_fn progress, void *arg)
{
	struct ps_operation op;
	int err = ps_operation_begin(&op, r, "log", NULL, 0, progress, arg);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&op, remove_all(&op, from, end));
	return ps_operation_end(&op);
}
