/* Many pads at once, for those who have them all at hand: looked at, read, written, removed. The caller's
 * thread waits, shows how far it is, and ends all of it when the caller refuses to go on. */
#include "base/fail.h"
#include "remote/manager_internal.h"

struct pads_work {
	struct ps_operation *op;
	struct ps_lanes lanes;
	size_t on_way;
};

/* One at a time comes back; a failure of one is that one's, and does not end the others. */
static int wait_for_all(struct pads_work *work, size_t most)
{
	struct ps_clock *clock = work->op->r->seams.clock;
	int err = PS_OK;
	while (err == PS_OK && work->on_way > most) {
		if (ps_lanes_next(&work->lanes, ps_clock_now(clock) + PS_SHOW_MS * PS_MS_NS)) {
			work->on_way--;
			work->op->shown.pads_done++;
		}
		err = ps_operation_show(work->op);
	}
	return err;
}

static int begin_work(struct pads_work *work, struct ps_operation *op)
{
	*work = (struct pads_work){.op = op};
	int err = op->group ? PS_OK : ps_operation_group(op);
	return err == PS_OK ? ps_operation_fail(op, ps_lanes_init(&work->lanes, op->r->seams.clock)) : err;
}

/* However it ended, nothing is on its way any more. */
static int end_work(struct pads_work *work, int err)
{
	if (err == PS_OK)
		err = wait_for_all(work, 0);
	ps_operation_settle(work->op, err != PS_OK); /* each task has its own result */
	while (work->on_way > 0)
		work->on_way -= ps_lanes_next(&work->lanes, PS_NEVER) != NULL;
	ps_lanes_done(&work->lanes);
	return ps_operation_fail(work->op, err);
}

/* ---- looking ---- */

static int look_prepare(struct ps_task *task)
{
	struct ps_pad_look *look = (struct ps_pad_look *)(void *)task;
	task->request = (struct ps_net_request){.op = PS_NET_HEAD, .name = look->slot.name};
	return PS_OK;
}

enum ps_task_answer ps_pad_seen(const struct ps_net_request *head, bool *there,
                                struct ps_pad_identity *identity)
{
	if (head->outcome == PS_NET_DENIED)
		return PS_TASK_FAILED;
	if (head->outcome != PS_NET_DONE && head->outcome != PS_NET_ABSENT)
		return PS_TASK_AGAIN;
	*there = head->outcome == PS_NET_DONE;
	*identity = head->identity;
	return PS_TASK_DONE;
}

static enum ps_task_answer look_finish(struct ps_task *task, struct ps_net_request *request)
{
	struct ps_pad_look *look = (struct ps_pad_look *)(void *)task;
	return ps_pad_seen(request, &look->there, &look->identity);
}

static void look_ended(struct ps_task *task)
{
	struct ps_pad_look *look = (struct ps_pad_look *)(void *)task;
	ps_lanes_back(look->lanes, &look->lane);
}

static const struct ps_task_ops look_ops = {look_prepare, look_finish, look_ended};

int ps_pads_look(struct ps_operation *op, struct ps_pad_look *looks, size_t count)
{
	struct pads_work work;
	int err = begin_work(&work, op);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		looks[i].task = (struct ps_task){.ops = &look_ops};
		looks[i].lanes = &work.lanes;
		err = ps_group_add(op->group, &looks[i].task);
		work.on_way += err == PS_OK;
	}
	return end_work(&work, err);
}

/* ---- headers ---- */

/* What is no pad is told, and not fetched again: a network may have as much of it as it likes. */
static int header_opened(struct ps_fetch *fetch)
{
	struct ps_pad_header_look *look = (struct ps_pad_header_look *)(void *)fetch;
	const struct ps_net_buffer *buffer = fetch->task.request.buffer;
	struct ps_pad_header header;
	look->there = true;
	look->authentic = ps_pad_open_header(buffer->bytes, buffer->len, &look->name, &header) == PS_OK;
	if (!look->authentic)
		return PS_OK;
	look->plan = header.plan;
	look->identity = header.identity;
	look->payload = header.payload;
	return PS_OK;
}

static void header_ended(struct ps_fetch *fetch)
{
	struct ps_pad_header_look *look = (struct ps_pad_header_look *)(void *)fetch;
	look->gone = fetch->task.fate != PS_FATE_DONE && fetch->task.request.outcome == PS_NET_ABSENT;
	ps_lanes_back(look->lanes, &look->lane);
}

static const struct ps_fetch_ops header_ops = {header_opened, header_ended};

int ps_pads_headers(struct ps_operation *op, struct ps_pad_header_look *looks, size_t count)
{
	struct pads_work work;
	int err = begin_work(&work, op);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		looks[i].fetch = (struct ps_fetch){.ops = &header_ops,
		                                   .op = PS_NET_GET_RANGE,
		                                   .name = looks[i].name,
		                                   .len = PS_PAD_HEADER_MAX};
		looks[i].lanes = &work.lanes;
		ps_fetch_init(&looks[i].fetch, &op->r->network->memory);
		err = ps_group_add(op->group, &looks[i].fetch.task);
		work.on_way += err == PS_OK;
	}
	return end_work(&work, err);
}

/* ---- reading ---- */

static void read_ended(struct ps_pad_read *read)
{
	ps_lanes_back(read->lanes, &read->lane);
}

int ps_pads_read(struct ps_operation *op, struct ps_pad_read *reads, size_t count)
{
	struct pads_work work;
	int err = begin_work(&work, op);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		reads[i].r = op->r;
		reads[i].ended = read_ended;
		reads[i].lanes = &work.lanes;
		ps_pad_read_init(&reads[i]);
		err = ps_group_add(op->group, &reads[i].task);
		work.on_way += err == PS_OK;
	}
	return end_work(&work, err);
}

void ps_pad_fetched(struct ps_pad_fetch *fetch)
{
	ps_lanes_back(fetch->lanes, &fetch->lane);
}

int ps_pad_fetch(struct ps_operation *op, struct ps_pad_fetch *fetch)
{
	struct pads_work work;
	int err = begin_work(&work, op);
	if (err != PS_OK)
		return err;
	fetch->lanes = &work.lanes;
	ps_fetch_init(&fetch->fetch, &op->r->network->memory);
	err = ps_group_add(op->group, &fetch->fetch.task);
	work.on_way += err == PS_OK;
	return end_work(&work, err);
}

/* ---- writing and removing ---- */

static struct ps_pad_send *send_of(struct ps_settle *settle)
{
	return (struct ps_pad_send *)(void *)settle;
}

static int send_seal(struct ps_settle *settle)
{
	struct ps_pad_send *send = send_of(settle);
	struct ps_net_request *request = &settle->task.request;
	int err = PS_OK;
	if (send->removes) {
		*request = (struct ps_net_request){
		    .op = PS_NET_REMOVE, .name = send->slot.name, .expected = send->expected};
		return PS_OK;
	}
	if (!send->sealed)
		err = ps_manager_seal(send->r, &send->slot, send->role, send->description,
		                      send->description_len, send->payload, send->len, &send->sealed);
	if (err != PS_OK)
		return err;
	ps_manager_request(&send->slot, &send->expected, send->sealed, request);
	send->sealed = NULL;
	return PS_OK;
}

static int send_opened(struct ps_settle *settle, const struct ps_net_buffer *record)
{
	struct ps_pad_send *send = send_of(settle);
	return ps_pad_read_record(send->r, &send->slot, send->role, send->content_key, record, NULL, 0, 0,
	                          NULL);
}

static void send_ended(struct ps_settle *settle)
{
	struct ps_pad_send *send = send_of(settle);
	ps_net_buffer_release(settle->task.request.buffer);
	settle->task.request.buffer = NULL;
	ps_net_buffer_release(send->sealed);
	send->sealed = NULL;
	ps_lanes_back(send->lanes, &send->lane);
}

static const struct ps_settle_ops send_ops = {send_seal, send_opened, send_ended};

int ps_pads_send(struct ps_operation *op, struct ps_pad_send *sends, size_t count, enum ps_verify verify)
{
	struct pads_work work;
	int err = begin_work(&work, op);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		struct ps_pad_send *send = &sends[i];
		send->r = op->r;
		send->lanes = &work.lanes;
		send->settle = (struct ps_settle){.ops = &send_ops, .verify = verify};
		ps_settle_init(&send->settle, send->removes ? 0 : ps_pad_record_bytes(send->len),
		               &op->r->network->memory);
		err = ps_group_add(op->group, &send->settle.task);
		work.on_way += err == PS_OK;
	}
	return end_work(&work, err);
}
