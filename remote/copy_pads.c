/* One pad's way to the second network: looked at there, fetched here and verified, written there by a
 * compare-and-swap. Several are on their way at once; their steps follow one another in the caller's thread.
 */
#include <stdio.h>

#include "base/fail.h"
#include "remote/copy_internal.h"

enum { MOST_TRIES = 4, HEAD_SLACK = 64 << 10 };
enum step { STEP_LOOK, STEP_FETCH, STEP_SEND };

struct copy_look {
	struct ps_fetch fetch; /* first: a task */
	struct copy_lane *lane;
};

struct copy_get {
	struct ps_raw_pad fetch; /* first: a task */
	struct copy_lane *lane;
};

struct copy_send {
	struct ps_settle settle; /* first: a task */
	struct copy_lane *lane;
	struct ps_net_buffer *record; /* the first network's, until it is sealed into the request */
};

struct copy_lane {
	struct ps_lane lane; /* first */
	struct copy *c;
	struct copy_pad pad;
	enum step step;
	unsigned tries;
	struct copy_look look;
	struct copy_get get;
	struct copy_send send;
};

static const char *text_of(const struct copy_pad *pad, char out[160])
{
	const uint8_t *name = pad->slot.name.bytes;
	if (pad->role == PS_ROLE_HEAD)
		(void)snprintf(out, 160, "the head");
	else if (pad->role == PS_ROLE_RUN)
		(void)snprintf(out, 160, "the index: part %u (pad %02x%02x%02x%02x)", pad->part, name[0],
		               name[1], name[2], name[3]);
	else if (pad->role == PS_ROLE_LOG || pad->role == PS_ROLE_FENCE)
		(void)snprintf(out, 160, "slot %llu (pad %02x%02x%02x%02x)",
		               (unsigned long long)pad->slot.counter, name[0], name[1], name[2], name[3]);
	else if (pad->slot.class == PS_PAD_PUBLIC_INDEX)
		(void)snprintf(out, 160, "\"%s\": its address (pad %02x%02x%02x%02x)", pad->key, name[0],
		               name[1], name[2], name[3]);
	else
		(void)snprintf(out, 160, "\"%s\": chunk %u (pad %02x%02x%02x%02x)", pad->key, pad->part,
		               name[0], name[1], name[2], name[3]);
	return out;
}

/* ---- lists ---- */

int copy_pads_add(struct copy *c, struct copy_pads *pads, const struct copy_pad *pad)
{
	struct copy_pad *grown =
	    ps_memory_grow(&c->r->memory, pads->all, pads->count, &pads->capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	pads->all = grown;
	pads->all[pads->count++] = *pad;
	return PS_OK;
}

/* ---- what a pad's end means ---- */

static void rest(struct copy_lane *lane)
{
	struct copy *c = lane->c;
	ps_net_buffer_release(lane->get.fetch.record);
	ps_net_buffer_release(lane->send.record);
	lane->get.fetch.record = lane->send.record = NULL;
	ps_lane_rest(&c->idle, &lane->lane);
	c->on_way--;
}

static int finished(struct copy_lane *lane)
{
	lane->c->op.shown.pads_done++;
	lane->c->op.shown.bytes_done += lane->pad.role == PS_ROLE_DATA ? lane->pad.slot.length : 0;
	rest(lane);
	return PS_OK;
}

static int failed(struct copy_lane *lane, int err, const char *sentence)
{
	char text[160];
	(void)text_of(&lane->pad, text);
	rest(lane);
	return ps_fail(err, "%s: %.300s", text, sentence);
}

static int task_failed(struct copy_lane *lane, const struct ps_task *task)
{
	return failed(lane, ps_task_error(task), task->sentence);
}

/* What the first network does not give: the others are copied all the same. */
static int missing(struct copy_lane *lane, const struct ps_task *task)
{
	struct copy *c = lane->c;
	const struct ps_remote_copy *o = c->options;
	char text[160], sentence[PS_NET_SENTENCE + 160];
	if (copy_has_moved(c))
		return task_failed(lane, task);
	(void)snprintf(sentence, sizeof(sentence), "%s: %.250s", text_of(&lane->pad, text), task->sentence);
	if (o->finding)
		o->finding(o->finding_arg, lane->pad.key, lane->pad.part, task->error, sentence);
	c->result.missing++;
	return finished(lane);
}

/* An address shows what was put before a sync tells of it, and its end: the copy's follows, once it is
 * synced. */
static bool is_ahead(const struct copy_lane *lane, int error)
{
	return lane->pad.slot.class == PS_PAD_PUBLIC_INDEX &&
	       (error == PS_ESUPERSEDED || lane->pad.role == PS_ROLE_TOMBSTONE);
}

static bool is_missing(int error)
{
	return error == PS_ELOST || error == PS_EAUTH || error == PS_EROLLBACK || error == PS_EFORK ||
	       error == PS_ESUPERSEDED;
}

static int newer(struct copy_lane *lane)
{
	const struct ps_pad_identity *there = &lane->pad.there;
	unsigned long long counter = there->counter, ours = lane->pad.slot.counter;
	char sentence[200];
	if (counter == ours) {
		(void)snprintf(sentence, sizeof(sentence),
		               "the copy has another record of version %llu: it was changed by itself",
		               counter);
		return failed(lane, PS_EFORK, sentence);
	}
	(void)snprintf(sentence, sizeof(sentence),
	               "the copy has version %llu, and the newest head here names %llu: the copy is newer",
	               counter, ours);
	return failed(lane, PS_EROLLBACK, sentence);
}

/* ---- the steps ---- */

static int begin_send(struct copy_lane *lane);

static void look_ended(struct ps_fetch *fetch)
{
	struct copy_lane *lane = ((struct copy_look *)(void *)fetch)->lane;
	ps_lanes_back(&lane->c->lanes, &lane->lane);
}

static const struct ps_fetch_ops look_ops = {NULL, look_ended};

static int begin_look(struct copy_lane *lane)
{
	struct copy *c = lane->c;
	lane->step = STEP_LOOK;
	c->result.looked += lane->tries == 0;
	lane->look = (struct copy_look){
	    .fetch = {.ops = &look_ops, .op = PS_NET_HEAD, .name = lane->pad.slot.name}, .lane = lane};
	ps_fetch_init(&lane->look.fetch, &c->to.network->memory);
	c->spent.requests++;
	return ps_group_add(c->op.second, &lane->look.fetch.task);
}

static void get_ended(struct ps_raw_pad *fetch)
{
	struct copy_lane *lane = ((struct copy_get *)(void *)fetch)->lane;
	ps_lanes_back(&lane->c->lanes, &lane->lane);
}

static int begin_get(struct copy_lane *lane)
{
	struct copy *c = lane->c;
	lane->step = STEP_FETCH;
	lane->get = (struct copy_get){.fetch = {.r = c->r,
	                                        .network = c->r->network,
	                                        .slot = lane->pad.slot,
	                                        .role = lane->pad.role,
	                                        .ended = get_ended},
	                              .lane = lane};
	ps_raw_pad_init(&lane->get.fetch);
	c->spent.requests++;
	return ps_group_add(c->op.group, &lane->get.fetch.fetch.task);
}

static int seal(struct ps_settle *settle)
{
	struct copy_send *send = (struct copy_send *)(void *)settle;
	const struct copy_pad *pad = &send->lane->pad;
	struct ps_net_buffer *record = ps_pad_record_for(send->lane->c->to.network, send->record);
	ps_net_buffer_release(send->record);
	send->record = NULL;
	if (!record)
		return ps_fail(PS_ENOMEM, "no memory for a record");
	ps_manager_request(&pad->slot, &pad->there, record, &settle->task.request);
	return PS_OK;
}

static void send_ended(struct ps_settle *settle)
{
	struct copy_lane *lane = ((struct copy_send *)(void *)settle)->lane;
	ps_net_buffer_release(settle->task.request.buffer);
	settle->task.request.buffer = NULL;
	ps_lanes_back(&lane->c->lanes, &lane->lane);
}

static const struct ps_settle_ops send_ops = {seal, NULL, send_ended};

/* The head is no pad of a value's price, and without it all others were for nothing. */
static int check_limits(struct copy_lane *lane)
{
	struct copy *c = lane->c;
	const struct ps_remote_options *o = &c->r->options;
	uint64_t pads = c->spent.new_pads + c->spent.reused_pads;
	if (lane->pad.role == PS_ROLE_HEAD)
		return PS_OK;
	if (o->max_pads > 0 && pads > o->max_pads)
		return ps_fail(PS_EQUOTA, "copy: %llu pads were sent, and no more are allowed",
		               (unsigned long long)o->max_pads);
	double price = ps_manager_price(c->r, &c->spent, c->spent.record_bytes, c->spent.record_bytes);
	return o->max_cost > 0 && price > o->max_cost
	           ? ps_fail(PS_EQUOTA, "copy: it would cost %g by now, and %g is allowed", price,
	                     o->max_cost)
	           : PS_OK;
}

static int begin_send(struct copy_lane *lane)
{
	struct copy *c = lane->c;
	struct ps_net_buffer *record = lane->get.fetch.record;
	lane->step = STEP_SEND;
	lane->get.fetch.record = NULL;
	lane->send = (struct copy_send){
	    .settle = {.ops = &send_ops, .verify = PS_VERIFY_HEAD}, .lane = lane, .record = record};
	ps_settle_init(&lane->send.settle, record->len, &c->to.network->memory);
	return ps_group_add(c->op.second, &lane->send.settle.task);
}

/* ---- between two steps ---- */

static int started(struct copy_lane *lane, int err)
{
	if (err != PS_OK)
		rest(lane);
	return err;
}

static int start_get(struct copy_lane *lane)
{
	struct copy *c = lane->c;
	bool creates = ps_identity_none(&lane->pad.there);
	c->spent.new_pads += creates;
	c->spent.reused_pads += !creates;
	c->spent.requests += 2;
	c->spent.record_bytes += ps_pad_record_bytes(lane->pad.slot.length);
	int err = check_limits(lane);
	return started(lane, err == PS_OK ? begin_get(lane) : err);
}

static int after_look(struct copy_lane *lane)
{
	struct copy *c = lane->c;
	struct ps_pad_identity ours = ps_slot_identity(&lane->pad.slot);
	const struct ps_task *task = &lane->look.fetch.task;
	bool absent = task->fate == PS_FATE_FAILED && task->request.outcome == PS_NET_ABSENT;
	if (task->fate != PS_FATE_DONE && !absent)
		return task_failed(lane, task);
	lane->pad.there = absent ? (struct ps_pad_identity){0} : task->request.identity;
	if (absent)
		return start_get(lane);
	if (ps_identity_same(&lane->pad.there, &ours)) {
		c->result.kept++;
		c->op.shown.kept++;
		return finished(lane);
	}
	if (lane->pad.there.counter > ours.counter && lane->pad.slot.class == PS_PAD_PUBLIC_INDEX)
		return finished(lane); /* of a synced address the head tells whether the copy is newer */
	if (lane->pad.there.counter >= ours.counter)
		return newer(lane);
	if (!c->defers)
		return start_get(lane);
	int err = copy_pads_add(c, &c->later, &lane->pad);
	rest(lane);
	return err;
}

static int after_get(struct copy_lane *lane)
{
	const struct ps_task *task = &lane->get.fetch.fetch.task;
	if (task->fate == PS_FATE_DONE) {
		lane->c->op.shown.fetched++;
		return started(lane, begin_send(lane));
	}
	if (task->fate != PS_FATE_FAILED || !is_missing(task->error))
		return task_failed(lane, task);
	return is_ahead(lane, task->error) ? finished(lane) : missing(lane, task);
}

/* Another version came, or the one to be replaced went: what is there now decides. */
static bool is_overtaken(const struct ps_settle *settle)
{
	return settle->settled == PS_SETTLED_CONFLICT || settle->settled == PS_SETTLED_GONE ||
	       settle->settled == PS_SETTLED_OLDER;
}

static int after_send(struct copy_lane *lane)
{
	struct copy *c = lane->c;
	const struct ps_settle *settle = &lane->send.settle;
	if (settle->task.fate == PS_FATE_DONE) {
		c->result.created += ps_identity_none(&lane->pad.there);
		c->result.replaced += !ps_identity_none(&lane->pad.there);
		c->result.sent_bytes += ps_pad_record_bytes(lane->pad.slot.length);
		return finished(lane);
	}
	if (is_overtaken(settle) && ++lane->tries < MOST_TRIES)
		return started(lane, begin_look(lane));
	return task_failed(lane, &settle->task);
}

static int go_on(struct copy_lane *lane)
{
	switch (lane->step) {
	case STEP_LOOK:
		return after_look(lane);
	case STEP_FETCH:
		return after_get(lane);
	case STEP_SEND:
	default:
		return after_send(lane);
	}
}

static int take_one(struct copy *c)
{
	struct ps_lane *back;
	int err = ps_operation_await(&c->op, &c->lanes, &back);
	if (back && err == PS_OK)
		return go_on((struct copy_lane *)(void *)back);
	if (back)
		rest((struct copy_lane *)(void *)back);
	return err;
}

int copy_add(struct copy *c, const struct copy_pad *pad)
{
	int err = PS_OK;
	while (err == PS_OK && !c->idle)
		err = take_one(c);
	if (err != PS_OK)
		return err;
	struct copy_lane *lane = (struct copy_lane *)(void *)ps_lane_take(&c->idle);
	c->on_way++;
	lane->pad = *pad;
	lane->tries = 0;
	return ps_identity_none(&pad->there) ? started(lane, begin_look(lane)) : start_get(lane);
}

/* After an error nothing new is begun, and what is in flight is recalled. */
static void drain(struct copy *c)
{
	ps_operation_settle(&c->op, true);
	while (c->on_way > 0)
		rest((struct copy_lane *)(void *)ps_lanes_next(&c->lanes, PS_NEVER));
}

int copy_settle(struct copy *c, int err)
{
	char sentence[sizeof(c->op.sentence)];
	while (err == PS_OK && c->on_way > 0)
		err = take_one(c);
	if (err == PS_OK)
		return PS_OK;
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	if (is_missing(err) || err == PS_EBUSY)
		c->moved = copy_has_moved(c);
	drain(c);
	return ps_fail(err, "%s", sentence);
}

/* ---- heads ---- */

struct single {
	struct ps_fetch fetch; /* first: a task */
	struct copy *c;
	struct ps_lane lane;
	struct sync_head *head;
};

static void single_ended(struct ps_fetch *fetch)
{
	struct single *single = (struct single *)(void *)fetch;
	ps_lanes_back(&single->c->single, &single->lane);
}

static int single_opened(struct ps_fetch *fetch)
{
	struct single *single = (struct single *)(void *)fetch;
	return fetch->op == PS_NET_HEAD
	           ? PS_OK
	           : ps_head_open_record(single->c->r, fetch->task.request.buffer, NULL, single->head);
}

static const struct ps_fetch_ops single_ops = {single_opened, single_ended};

/* PS_OK: it has ended, which its fate tells more of. */
static int ask(struct single *single, ps_group *group, ps_network *network, enum ps_net_op op, size_t len)
{
	struct copy *c = single->c;
	struct ps_pad_slot slot;
	struct ps_lane *back = NULL;
	int err = ps_head_slot(c->r, 1, &slot);
	if (err != PS_OK)
		return err;
	single->fetch = (struct ps_fetch){.ops = &single_ops, .op = op, .name = slot.name, .len = len};
	ps_fetch_init(&single->fetch, &network->memory);
	err = ps_group_add(group, &single->fetch.task);
	if (err != PS_OK)
		return err;
	err = ps_operation_await(&c->op, &c->single, &back);
	if (!back) {
		ps_operation_settle(&c->op, true);
		(void)ps_lanes_next(&c->single, PS_NEVER);
	}
	return err;
}

static int head_failed(const struct single *single)
{
	const struct ps_task *task = &single->fetch.task;
	return ps_fail(ps_task_error(task), "the copy's head: %.220s", task->sentence);
}

int copy_fetch_theirs(struct copy *c)
{
	struct sync_head head = {0};
	struct single single = {.c = c, .head = &head};
	uint64_t most = ps_pad_record_bytes(ps_pad_capacity(PS_PAD_LARGE, ps_network_largest(c->to.network)));
	int err = ask(&single, c->op.second, c->to.network, PS_NET_HEAD, 0);
	if (err == PS_OK && single.fetch.task.request.outcome == PS_NET_ABSENT)
		return PS_OK;
	if (err == PS_OK && single.fetch.task.fate != PS_FATE_DONE)
		err = head_failed(&single);
	if (err != PS_OK)
		return err;
	uint64_t room = single.fetch.task.request.size + HEAD_SLACK;
	err = ask(&single, c->op.second, c->to.network, PS_NET_GET, (size_t)(room < most ? room : most));
	if (err == PS_OK && single.fetch.task.fate != PS_FATE_DONE)
		err = head_failed(&single);
	if (err == PS_OK)
		c->theirs = head;
	else
		sync_head_done(&head);
	return err;
}

bool copy_has_moved(struct copy *c)
{
	struct single single = {.c = c};
	int err = ask(&single, c->op.group, c->r->network, PS_NET_HEAD, 0);
	const struct ps_pad_identity *there = &single.fetch.task.request.identity;
	return err == PS_OK && single.fetch.task.fate == PS_FATE_DONE &&
	       (there->counter != c->ours.head.counter ||
	        memcmp(there->hash, c->ours.hash, sizeof(there->hash)) != 0);
}

/* ---- life ---- */

int copy_begin(struct copy *c)
{
	/* A record is there twice for a moment, when it goes from one network's memory to the other's. */
	uint64_t bytes = 2 * (uint64_t)c->largest;
	c->lanes_count = ps_lanes_count(c->r, bytes, c->pads);
	c->all = ps_memory_zalloc(&c->r->memory, c->lanes_count * sizeof(*c->all));
	if (!c->all)
		return ps_fail(PS_ENOMEM, "no memory for %u pads on their way", c->lanes_count);
	c->idle = NULL;
	for (uint32_t i = 0; i < c->lanes_count; i++) {
		c->all[i].c = c;
		ps_lane_rest(&c->idle, &c->all[i].lane);
	}
	return PS_OK;
}

void copy_end(struct copy *c)
{
	if (c->all)
		ps_memory_free(&c->r->memory, c->all, c->lanes_count * sizeof(*c->all));
	ps_memory_free(&c->r->memory, c->later.all, c->later.capacity * sizeof(*c->later.all));
	c->all = NULL;
	c->idle = NULL;
	c->later = (struct copy_pads){0};
}
