#include "remote/scan.h"

#include <stdio.h>

#include "base/fail.h"
#include "remote/slot_internal.h"

enum { PAGE = 1000, LOOKS = 256, SLICES = 256, MOST_TRIES = 5, HALF = PS_SERIAL };
static const uint64_t default_memory = 64 << 20;

/* ---- the newest head ---- */

const struct sync_head *ps_scan_head(const struct ps_scan *scan)
{
	return scan->newest.there ? &scan->newest : &scan->s->base;
}

int ps_scan_take_head(struct ps_scan *scan)
{
	struct sync_head newer = {0};
	int err = sync_look(scan->s, &newer);
	if (err != PS_OK)
		return err;
	sync_head_done(&scan->newest);
	scan->newest = newer;
	return PS_OK;
}

int ps_scan_look(struct ps_scan *scan, bool *moved)
{
	const struct sync_head *used = ps_scan_head(scan);
	struct sync_head now = {0};
	int err = sync_fetch_head(scan->s, &now);
	if (err != PS_OK)
		return err;
	*moved = !now.there || now.head.counter != used->head.counter ||
	         memcmp(now.hash, used->hash, sizeof(now.hash)) != 0;
	sync_head_done(&now);
	return PS_OK;
}

/* What was there a moment ago may have been replaced with the head that named it: then the newer one counts.
 */
static int with_head(struct ps_scan *scan, int (*fn)(struct ps_scan *scan, void *arg), void *arg)
{
	for (unsigned tries = 1;; tries++) {
		char sentence[PS_NET_SENTENCE * 2];
		uint64_t counter = ps_scan_head(scan)->head.counter;
		int err = fn(scan, arg);
		if (err == PS_OK || err == PS_ECANCELED || tries == MOST_TRIES)
			return err;
		(void)snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
		if (ps_scan_take_head(scan) != PS_OK || ps_scan_head(scan)->head.counter == counter)
			return ps_fail(err, "%s", sentence);
	}
}

/* ---- names ---- */

/* Half of a name: they are hashes, and nobody finds two of ours with one half. A stranger's that had the half
 * of a named one would count as named. */
static struct ps_serial half_of(const struct ps_pad_name *name)
{
	struct ps_serial half;
	memcpy(half.bytes, name->bytes, HALF);
	return half;
}

static bool in_slice(const struct ps_scan *scan, const struct ps_pad_name *name)
{
	return name->bytes[0] >= scan->first && name->bytes[0] < scan->end;
}

static int add_name(void *arg, const struct ps_pad_name *name)
{
	struct ps_scan *scan = arg;
	struct ps_serial half = half_of(name);
	return in_slice(scan, name) ? ps_serial_set_add(&scan->names, &half) : PS_OK;
}

static int collect(struct ps_scan *scan, void *arg)
{
	(void)arg;
	ps_serial_set_done(&scan->names);
	int err = ps_named_each(scan->s, ps_scan_head(scan), false, add_name, scan);
	ps_serial_set_sort(&scan->names);
	return err;
}

/* A set that grows is there twice for a moment. */
static unsigned count_slices(const struct ps_scan *scan)
{
	uint64_t memory = scan->memory > 0 ? scan->memory : default_memory;
	uint64_t need = 3 * HALF * ps_named_most(scan->s, ps_scan_head(scan));
	unsigned slices = 1;
	while (slices < SLICES && need / slices > memory)
		slices *= 2;
	return slices;
}

/* ---- headers ---- */

static void classify(const struct ps_scan *scan, const struct ps_pad_header_look *look,
                     struct ps_scan_pad *pad)
{
	const ps_remote *r = scan->s->r;
	struct ps_pad_name should;
	pad->kind = look->there ? PS_SCAN_GARBAGE : PS_SCAN_GONE;
	if (!look->there || !look->authentic)
		return;
	pad->plan = look->plan;
	pad->identity = look->identity;
	pad->payload = look->payload;
	pad->kind = PS_SCAN_FOREIGN;
	if (memcmp(look->plan.network, r->network_id, sizeof(r->network_id)) != 0)
		return;
	if (!ps_keys_can_write(r->keys))
		pad->kind = PS_SCAN_UNDECIDED;
	else if (ps_pad_name(r->keys, &look->plan.serial, &should) == PS_OK &&
	         memcmp(&should, &look->name, sizeof(should)) == 0)
		pad->kind = ps_remote_slot_is(r, &look->plan) ? PS_SCAN_SLOT : PS_SCAN_OURS;
}

static int tell_look(struct ps_scan *scan, size_t at)
{
	const struct ps_pad_header_look *look = &scan->looks[at];
	struct ps_scan_pad pad = {
	    .name = scan->wanted[at].name, .size = scan->wanted[at].size, .named = scan->wanted_named[at]};
	if (look->fetch.task.fate != PS_FATE_DONE && !look->gone)
		return ps_fail(ps_task_error(&look->fetch.task), "%s", look->fetch.task.sentence);
	classify(scan, look, &pad);
	return scan->looked(scan->arg, &pad);
}

/* What is shown as done is what was listed. */
static int look_at_wanted(struct ps_scan *scan)
{
	struct ps_operation *op = &scan->s->op;
	uint64_t done = op->shown.pads_done;
	for (size_t i = 0; i < scan->count; i++)
		scan->looks[i] = (struct ps_pad_header_look){.name = scan->wanted[i].name};
	int err = scan->count > 0 ? ps_pads_headers(op, scan->looks, scan->count) : PS_OK;
	op->shown.pads_done = done;
	for (size_t i = 0; i < scan->count && err == PS_OK; i++)
		err = tell_look(scan, i);
	scan->count = 0;
	return err;
}

/* ---- the list ---- */

struct scan_page {
	struct ps_task task; /* first */
	struct ps_net_list list;
	uint8_t cursor[PS_NET_CURSOR]; /* as it was before */
	struct ps_net_listed listed[PAGE];
};

static int page_prepare(struct ps_task *task)
{
	struct scan_page *page = (struct scan_page *)(void *)task;
	task->request = (struct ps_net_request){.op = PS_NET_LIST, .list = &page->list};
	return PS_OK;
}

static enum ps_task_answer page_finish(struct ps_task *task, struct ps_net_request *request)
{
	struct scan_page *page = (struct scan_page *)(void *)task;
	if (request->outcome == PS_NET_DONE)
		return PS_TASK_DONE;
	memcpy(page->list.cursor, page->cursor, sizeof(page->cursor));
	return request->outcome == PS_NET_UNAVAILABLE ? PS_TASK_AGAIN : PS_TASK_FAILED;
}

static void page_ended(struct ps_task *task)
{
	(void)task;
}

static const struct ps_task_ops page_ops = {page_prepare, page_finish, page_ended};

static int fetch_page(struct ps_scan *scan)
{
	struct scan_page *page = scan->page;
	memcpy(page->cursor, page->list.cursor, sizeof(page->cursor));
	page->task = (struct ps_task){.ops = &page_ops};
	int err = sync_run_task(scan->s, &page->task);
	if (err == PS_OK && page->list.more &&
	    memcmp(page->cursor, page->list.cursor, sizeof(page->cursor)) == 0)
		err = ps_fail(PS_EUNAVAILABLE, "%s: its list does not move on",
		              ps_network_url(scan->s->r->network));
	return err;
}

static int take_listed(struct ps_scan *scan, const struct ps_net_listed *listed)
{
	struct ps_serial half = half_of(&listed->name);
	if (!in_slice(scan, &listed->name))
		return PS_OK;
	bool named = ps_serial_set_has(&scan->names, &half);
	scan->s->op.shown.pads_done++;
	scan->listed(scan->arg, listed, named);
	if (named && !scan->all_headers)
		return PS_OK;
	scan->wanted_named[scan->count] = named;
	scan->wanted[scan->count++] = *listed;
	return scan->count == LOOKS ? look_at_wanted(scan) : PS_OK;
}

static int list_slice(struct ps_scan *scan)
{
	struct scan_page *page = scan->page;
	int err = PS_OK;
	page->list = (struct ps_net_list){.listed = page->listed, .capacity = PAGE, .more = true};
	while (err == PS_OK && page->list.more) {
		err = fetch_page(scan);
		for (size_t i = 0; i < page->list.count && err == PS_OK; i++)
			err = take_listed(scan, &page->listed[i]);
		if (err == PS_OK)
			err = ps_operation_show(&scan->s->op);
	}
	return err == PS_OK ? look_at_wanted(scan) : err;
}

/* ---- all ---- */

static int begin(struct ps_scan *scan)
{
	struct ps_memory *memory = &scan->s->r->memory;
	ps_serial_set_init(&scan->names, memory);
	scan->page = ps_memory_zalloc(memory, sizeof(*scan->page));
	scan->looks = ps_memory_zalloc(memory, LOOKS * sizeof(*scan->looks));
	scan->wanted = ps_memory_zalloc(memory, LOOKS * sizeof(*scan->wanted));
	scan->wanted_named = ps_memory_zalloc(memory, LOOKS * sizeof(*scan->wanted_named));
	return scan->page && scan->looks && scan->wanted && scan->wanted_named
	           ? PS_OK
	           : ps_fail(PS_ENOMEM, "no memory for a list of %d pads", PAGE);
}

int ps_scan_run(struct ps_scan *scan)
{
	int err = begin(scan);
	if (err == PS_OK)
		err = ps_scan_take_head(scan);
	unsigned slices = err == PS_OK ? count_slices(scan) : 0;
	for (unsigned i = 0; i < slices && err == PS_OK; i++) {
		scan->first = SLICES / slices * i;
		scan->end = SLICES / slices * (i + 1);
		err = with_head(scan, collect, NULL);
		if (err == PS_OK)
			err = list_slice(scan);
	}
	ps_serial_set_done(&scan->names);
	return err;
}

struct told {
	ps_named_fn fn;
	void *arg;
};

static int tell_named(struct ps_scan *scan, void *arg)
{
	const struct told *told = arg;
	return ps_named_each(scan->s, ps_scan_head(scan), true, told->fn, told->arg);
}

int ps_scan_named(struct ps_scan *scan, ps_named_fn fn, void *arg)
{
	struct told told = {fn, arg};
	return with_head(scan, tell_named, &told);
}

void ps_scan_done(struct ps_scan *scan)
{
	struct ps_memory *memory = &scan->s->r->memory;
	ps_serial_set_done(&scan->names);
	ps_memory_free(memory, scan->page, sizeof(*scan->page));
	ps_memory_free(memory, scan->looks, LOOKS * sizeof(*scan->looks));
	ps_memory_free(memory, scan->wanted, LOOKS * sizeof(*scan->wanted));
	ps_memory_free(memory, scan->wanted_named, LOOKS * sizeof(*scan->wanted_named));
	sync_head_done(&scan->newest);
}
