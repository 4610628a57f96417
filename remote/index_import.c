/* The index from a file back to a network that lost it: what is not there is created, the head as the last
 * (README.md has what a cut leaves). The file was verified, to the byte, before the first request. */
#include <stdio.h>
#include <string.h>

#include <padstone/remote_index.h>

#include "base/fail.h"
#include "remote/index_file.h"

struct in_pad;

struct in_look {
	struct ps_fetch fetch; /* first: a task */
	struct in_pad *pad;
};

struct in_send {
	struct ps_settle settle; /* first: a task */
	struct in_pad *pad;
};

struct in_pad {
	struct in_look look;
	struct in_send send;
	struct ps_lane lane;
	struct in *in;
	struct ps_index_file_pad at;
	struct ps_pad_identity there; /* what the network has; none: nothing */
	bool sending;
};

struct in {
	struct ps_sync s;
	struct ps_index_file file;
	struct sync_head theirs; /* the network's */
	struct sync_tasks tasks;
	struct in_pad *all;
	struct ps_lane *idle;
	uint64_t pads, bytes;
	uint32_t lanes, largest;
	struct ps_remote_index_result result;
};

/* ---- one pad ---- */

static struct in_pad *pad_of(struct ps_lane *lane)
{
	return (struct in_pad *)(void *)((char *)lane - offsetof(struct in_pad, lane));
}

static void rest(struct in *in, struct in_pad *pad)
{
	ps_lane_rest(&in->idle, &pad->lane);
}

static void look_ended(struct ps_fetch *fetch)
{
	struct in_pad *pad = ((struct in_look *)(void *)fetch)->pad;
	ps_lanes_back(&pad->in->tasks.lanes, &pad->lane);
}

static const struct ps_fetch_ops look_ops = {NULL, look_ended};

static int seal(struct ps_settle *settle)
{
	struct in_pad *pad = ((struct in_send *)(void *)settle)->pad;
	struct ps_net_buffer *record = NULL;
	int err = ps_index_file_read(pad->in->s.r, &pad->in->file, &pad->at, &record);
	if (err == PS_OK)
		ps_manager_request(&pad->at.slot, &pad->there, record, &settle->task.request);
	return err;
}

static void send_ended(struct ps_settle *settle)
{
	struct in_pad *pad = ((struct in_send *)(void *)settle)->pad;
	ps_net_buffer_release(settle->task.request.buffer);
	settle->task.request.buffer = NULL;
	ps_lanes_back(&pad->in->tasks.lanes, &pad->lane);
}

static const struct ps_settle_ops send_ops = {seal, NULL, send_ended};

static int begin_look(struct in_pad *pad)
{
	pad->sending = false;
	pad->look = (struct in_look){
	    .fetch = {.ops = &look_ops, .op = PS_NET_HEAD, .name = pad->at.slot.name}, .pad = pad};
	ps_fetch_init(&pad->look.fetch, &pad->in->s.r->network->memory);
	return sync_tasks_add(&pad->in->tasks, &pad->look.fetch.task);
}

static int begin_send(struct in_pad *pad)
{
	pad->sending = true;
	pad->send = (struct in_send){.settle = {.ops = &send_ops, .verify = PS_VERIFY_HEAD}, .pad = pad};
	ps_settle_init(&pad->send.settle, pad->at.bytes, &pad->in->s.r->network->memory);
	return sync_tasks_add(&pad->in->tasks, &pad->send.settle.task);
}

/* ---- what comes back ---- */

static int finished(struct in_pad *pad, uint64_t *counted)
{
	struct in *in = pad->in;
	++*counted;
	in->s.op.shown.pads_done++;
	rest(in, pad);
	return PS_OK;
}

static int failed(struct in_pad *pad, const struct ps_task *task)
{
	rest(pad->in, pad);
	return ps_fail(ps_task_error(task), "the index: %.300s", task->sentence);
}

/* Never over what came later: it is of an index that went on. */
static int went_on(struct in_pad *pad)
{
	const uint8_t *name = pad->at.slot.name.bytes;
	bool fork = pad->there.counter == pad->at.slot.counter;
	rest(pad->in, pad);
	return ps_fail(fork ? PS_EFORK : PS_ESUPERSEDED,
	               "%s: pad %02x%02x%02x%02x of the index has version %llu%s, and the file %llu: rebuild "
	               "finds what is newest",
	               ps_network_url(pad->in->s.r->network), name[0], name[1], name[2], name[3],
	               (unsigned long long)pad->there.counter, fork ? " with other contents" : "",
	               (unsigned long long)pad->at.slot.counter);
}

static int after_look(struct in_pad *pad)
{
	const struct ps_task *task = &pad->look.fetch.task;
	struct ps_pad_identity ours = ps_slot_identity(&pad->at.slot);
	bool absent = task->fate == PS_FATE_FAILED && task->request.outcome == PS_NET_ABSENT;
	if (task->fate != PS_FATE_DONE && !absent)
		return failed(pad, task);
	pad->there = absent ? (struct ps_pad_identity){0} : task->request.identity;
	if (ps_identity_same(&pad->there, &ours))
		return finished(pad, &pad->in->result.kept);
	if (pad->there.counter >= ours.counter)
		return went_on(pad);
	int err = begin_send(pad);
	if (err != PS_OK)
		rest(pad->in, pad);
	return err;
}

static int after_send(struct in_pad *pad)
{
	const struct ps_settle *settle = &pad->send.settle;
	if (settle->task.fate == PS_FATE_DONE)
		return finished(pad, &pad->in->result.restored);
	if (settle->settled != PS_SETTLED_CONFLICT)
		return failed(pad, &settle->task);
	pad->there = settle->there;
	return went_on(pad);
}

static int take_back(struct in *in)
{
	struct ps_lane *lane;
	int err = sync_tasks_next(&in->tasks, &lane);
	if (err != PS_OK)
		return err;
	struct in_pad *pad = pad_of(lane);
	return pad->sending ? after_send(pad) : after_look(pad);
}

static int drain(struct in *in, int err)
{
	while (err == PS_OK && in->tasks.on_way > 0)
		err = take_back(in);
	return err;
}

/* ---- all of them ---- */

/* What the network's own head does not name any more stays away. */
static bool is_named(const struct in *in, const struct ps_head_run *run)
{
	for (uint32_t i = 0; in->theirs.there && i < in->theirs.head.runs_count; i++)
		if (memcmp(in->theirs.head.runs[i].id, run->id, PS_RUN_ID) == 0)
			return true;
	return !in->theirs.there;
}

static int put_back(struct in *in, const struct ps_index_file_pad *at)
{
	int err = PS_OK;
	while (!in->idle && err == PS_OK)
		err = take_back(in);
	if (err != PS_OK)
		return err;
	struct in_pad *pad = pad_of(ps_lane_take(&in->idle));
	*pad = (struct in_pad){.in = in, .at = *at};
	err = begin_look(pad);
	if (err != PS_OK)
		rest(in, pad);
	return err;
}

static int put_back_run(void *arg, const struct ps_index_file_pad *at)
{
	struct in *in = arg;
	return is_named(in, at->run) ? put_back(in, at) : PS_OK;
}

/* A head names what is there: it comes when all else is confirmed. */
static int put_back_head(struct in *in)
{
	const struct ps_index_file_pad at = {
	    .slot = in->file.head_slot, .offset = PS_INDEX_FILE_HEADER, .bytes = in->file.header.head};
	return in->theirs.there ? PS_OK : drain(in, put_back(in, &at));
}

static int count_pad(void *arg, const struct ps_index_file_pad *at)
{
	struct in *in = arg;
	bool named = is_named(in, at->run);
	in->pads += named;
	in->bytes += named ? at->bytes : 0;
	in->largest = named && at->bytes > in->largest ? at->bytes : in->largest;
	return PS_OK;
}

static int plan(struct in *in)
{
	struct ps_remote_plan plan = {0};
	ps_remote *r = in->s.r;
	in->pads = !in->theirs.there;
	in->bytes = in->largest = in->theirs.there ? 0 : in->file.header.head;
	(void)!ps_index_file_each(&in->file.head.head, in->file.header.head, count_pad, in);
	if (in->largest > ps_network_largest(r->network))
		return ps_fail(PS_ERANGE, "%s: its records hold %llu bytes, and one of the file's has %u",
		               ps_network_url(r->network), (unsigned long long)ps_network_largest(r->network),
		               in->largest);
	plan.new_pads = in->pads;
	plan.record_bytes = in->bytes;
	plan.requests = 3 * in->pads;
	plan.price = ps_manager_price(r, &plan, in->bytes, 0);
	in->s.op.shown.pads_total = in->pads;
	return ps_operation_plan(&in->s.op, &plan, r->options.max_pads, r->options.max_cost);
}

static int begin_lanes(struct in *in)
{
	in->lanes = ps_lanes_count(in->s.r, in->largest, in->pads);
	in->all = ps_memory_zalloc(&in->s.r->memory, in->lanes * sizeof(*in->all));
	if (!in->all)
		return ps_fail(PS_ENOMEM, "no memory for %u pads on their way", in->lanes);
	for (uint32_t i = 0; i < in->lanes; i++)
		rest(in, &in->all[i]);
	return sync_tasks_begin(&in->s, &in->tasks);
}

static void drop_pad(void *arg, struct ps_lane *lane)
{
	rest(arg, pad_of(lane));
}

static int send_all(struct in *in)
{
	int err = plan(in);
	if (err == PS_OK)
		err = begin_lanes(in);
	if (err == PS_OK)
		err = drain(in,
		            ps_index_file_each(&in->file.head.head, in->file.header.head, put_back_run, in));
	if (err == PS_OK)
		err = put_back_head(in);
	sync_tasks_end(&in->tasks, drop_pad, in);
	ps_memory_free(&in->s.r->memory, in->all, in->lanes * sizeof(*in->all));
	return err;
}

/* ---- whether it may ---- */

/* The network's head is the file's, or one that goes back to it. */
static int judge_theirs(const struct in *in)
{
	const struct ps_head *file = &in->file.head.head, *theirs = &in->theirs.head;
	const char *url = ps_network_url(in->s.r->network);
	struct ps_anchor at_file;
	enum ps_freshness freshness;
	if (memcmp(theirs->network, file->network, sizeof(file->network)) != 0)
		return ps_fail(PS_EEXIST, "%s: another store is there under this key and the name \"%s\"",
		               url, file->store);
	ps_anchor_of(file, in->file.head.hash, 0, &at_file);
	int err = ps_anchor_judge(&at_file, theirs, in->theirs.hash, &freshness);
	if (err == PS_OK)
		return PS_OK;
	return ps_fail(err, "%s shows head %llu, and %s has head %llu%s", url,
	               (unsigned long long)theirs->counter, in->file.path, (unsigned long long)file->counter,
	               err == PS_EROLLBACK ? ": the network shows an older one" : " of another history");
}

/* None is there: the file's is not to take back what this machine has used. */
static int judge_file(const struct in *in)
{
	ps_remote *r = in->s.r;
	const struct ps_head *file = &in->file.head.head;
	struct ps_anchor anchor;
	enum ps_freshness freshness;
	int err = ps_anchor_read(r->folder, ps_keys_store(r->keys), &anchor);
	if (err == PS_ENOENT)
		return PS_OK;
	if (err == PS_OK)
		err = ps_anchor_judge(&anchor, file, in->file.head.hash, &freshness);
	if (err != PS_EROLLBACK && err != PS_EFORK)
		return err;
	return ps_fail(err, "%s has head %llu, and this machine has used head %llu%s", in->file.path,
	               (unsigned long long)file->counter, (unsigned long long)anchor.counter,
	               err == PS_EROLLBACK ? ": rebuild finds what is newest" : " of another history");
}

static int import(struct in *in, const char *path)
{
	ps_remote *r = in->s.r;
	int err = ps_index_file_open(r, path, &in->file);
	if (err != PS_OK)
		return err;
	const struct ps_head *file = &in->file.head.head;
	in->result = (struct ps_remote_index_result){.head = file->counter, .bytes = in->file.header.bytes};
	for (uint32_t i = 0; i < file->runs_count; i++)
		in->result.pads += file->runs[i].pads.count;
	in->result.pads++;
	ps_head_code(file->counter, in->file.head.hash, in->result.code);
	err = sync_fetch_head(&in->s, &in->theirs);
	if (err == PS_OK)
		err = in->theirs.there ? judge_theirs(in) : judge_file(in);
	if (err == PS_OK)
		err = send_all(in);
	sync_head_done(&in->theirs);
	ps_index_file_close(&in->file);
	return err;
}

int ps_sync_import_index(ps_remote *r, const char *path, struct ps_remote_index_result *result)
{
	struct in in = {.file.fd = -1};
	int err = sync_begin(&in.s, r, "import index", NULL, NULL);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&in.s.op, import(&in, path));
	*result = in.result;
	return sync_end(&in.s);
}
