/* One chunk on its way: sealed and sent by workers, or looked for where it may be there already. */
#include "base/fail.h"
#include "remote/content_hash.h"
#include "remote/put_internal.h"

enum { SAMPLE_SHARE = 64 }; /* of 1,024: a sixteenth */

/* ---- sealing ---- */

static void hash_lane(struct put_lane *lane)
{
	ps_chunk_hash(lane->put->r->keys, lane->put->class, lane->data, lane->len, lane->hash);
	lane->hashed = true;
}

const uint8_t *put_lane_hash(struct put_lane *lane)
{
	if (!lane->hashed)
		hash_lane(lane);
	return lane->hash;
}

int put_seal_lane(struct put_lane *lane)
{
	uint8_t description[PS_CHUNK_DESCRIPTION];
	ps_chunk_description(lane->chunk, description);
	(void)put_lane_hash(lane);
	return ps_manager_seal(lane->put->r, &lane->slot, PS_ROLE_DATA, description, sizeof(description),
	                       lane->data, lane->len, &lane->sealed);
}

int put_same_contents(struct put *put, const struct ps_pad_slot *slot, const struct put_lane *lane,
                      bool *same)
{
	struct ps_pad_slot copy = *slot;
	struct ps_net_buffer *buffer = NULL;
	uint8_t description[PS_CHUNK_DESCRIPTION];
	*same = false;
	/* A slot that came from another machine has no nonce: what it holds cannot be compared. */
	if (!ps_slot_sealed(slot) || sodium_is_zero(slot->nonce, sizeof(slot->nonce)) ||
	    slot->length != lane->len || slot->class != put->class || slot->mode != put->mode)
		return PS_OK;
	ps_chunk_description(lane->chunk, description);
	int err = ps_manager_seal(put->r, &copy, PS_ROLE_DATA, description, sizeof(description), lane->data,
	                          lane->len, &buffer);
	*same = err == PS_OK;
	ps_net_buffer_release(buffer);
	return err == PS_EAUTH ? PS_OK : err;
}

/* ---- the write ---- */

static struct put_lane *lane_of(struct ps_settle *settle)
{
	return ((struct put_write *)(void *)settle)->lane;
}

/* What decides the record is durable before the first byte of it leaves. */
static int write_seal(struct ps_settle *settle)
{
	struct put_lane *lane = lane_of(settle);
	bool known = ps_slot_sealed(&lane->slot) && lane->noted == 0;
	int err = lane->sealed ? PS_OK : put_seal_lane(lane);
	if (err == PS_OK && !known)
		err = put_journal_write(lane);
	if (err != PS_OK)
		return err;
	ps_manager_request(&lane->slot, &lane->expected, lane->sealed, &settle->task.request);
	lane->sealed = NULL;
	return PS_OK;
}

static int write_opened(struct ps_settle *settle, const struct ps_net_buffer *record)
{
	struct put_lane *lane = lane_of(settle);
	return ps_pad_read_record(lane->put->r, &lane->slot, PS_ROLE_DATA, NULL, record, NULL, 0, 0, NULL);
}

static void write_ended(struct ps_settle *settle)
{
	struct put_lane *lane = lane_of(settle);
	ps_net_buffer_release(settle->task.request.buffer);
	settle->task.request.buffer = NULL;
	ps_net_buffer_release(lane->sealed);
	lane->sealed = NULL;
	ps_lanes_back(&lane->put->lanes, &lane->lane);
}

static const struct ps_settle_ops write_ops = {write_seal, write_opened, write_ended};

static int send_lane(struct put_lane *lane, struct ps_task *task)
{
	int err = ps_group_add(lane->put->op.group, task);
	lane->put->on_way += err == PS_OK;
	return err;
}

int put_lane_send(struct put_lane *lane)
{
	struct put *put = lane->put;
	lane->looking = false;
	lane->noted = 0;
	lane->write.lane = lane;
	lane->write.settle =
	    (struct ps_settle){.ops = &write_ops, .verify = put->verify, .share = SAMPLE_SHARE};
	ps_settle_init(&lane->write.settle, ps_pad_record_bytes(lane->len), &put->r->network->memory);
	int err = send_lane(lane, &lane->write.settle.task);
	if (err != PS_OK) {
		ps_net_buffer_release(lane->sealed);
		lane->sealed = NULL;
	}
	return err;
}

/* ---- the look ---- */

static int look_prepare(struct ps_task *task)
{
	struct put_lane *lane = ((struct put_look *)(void *)task)->lane;
	task->request = (struct ps_net_request){.op = PS_NET_HEAD, .name = lane->slot.name};
	return PS_OK;
}

static enum ps_task_answer look_finish(struct ps_task *task, struct ps_net_request *request)
{
	struct put_look *look = (struct put_look *)(void *)task;
	return ps_pad_seen(request, &look->there, &look->identity);
}

static void look_ended(struct ps_task *task)
{
	struct put_lane *lane = ((struct put_look *)(void *)task)->lane;
	ps_lanes_back(&lane->put->lanes, &lane->lane);
}

static const struct ps_task_ops look_ops = {look_prepare, look_finish, look_ended};

int put_lane_look(struct put_lane *lane)
{
	lane->looking = true;
	lane->look = (struct put_look){.task = {.ops = &look_ops}, .lane = lane};
	return send_lane(lane, &lane->look.task);
}

/* ---- lanes ---- */

int put_lanes_init(struct put *put)
{
	uint64_t record = ps_pad_record_bytes(put->chunk_bytes);
	uint64_t bytes = record * (put->verify > PS_VERIFY_NONE ? 2 : 1) + (put->data ? 0 : put->chunk_bytes);
	uint64_t most = put->size == UINT64_MAX ? UINT64_MAX : put->size / put->chunk_bytes + 1;
	int err = ps_lanes_init(&put->lanes, put->r->seams.clock);
	if (err != PS_OK)
		return err;
	if (put->verify == PS_VERIFY_HEAD || put->verify == PS_VERIFY_NONE)
		bytes = record + (put->data ? 0 : put->chunk_bytes);
	put->lanes_count = ps_lanes_count(put->r, bytes, most);
	put->all = ps_memory_zalloc(&put->r->memory, put->lanes_count * sizeof(*put->all));
	if (!put->all) {
		ps_lanes_done(&put->lanes);
		return ps_fail(PS_ENOMEM, "no memory for %u chunks on their way", put->lanes_count);
	}
	for (uint32_t i = 0; i < put->lanes_count; i++) {
		put->all[i].put = put;
		ps_lane_rest(&put->idle, &put->all[i].lane);
	}
	return PS_OK;
}

void put_lanes_done(struct put *put)
{
	struct ps_memory *memory = &put->r->memory;
	for (uint32_t i = 0; i < put->lanes_count; i++) {
		ps_net_buffer_release(put->all[i].sealed);
		if (put->all[i].own)
			ps_memory_free(memory, put->all[i].own, put->chunk_bytes);
	}
	ps_memory_free(memory, put->all, put->lanes_count * sizeof(*put->all));
	ps_lanes_done(&put->lanes);
}
