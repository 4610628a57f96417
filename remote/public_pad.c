/* An index pad, fetched and verified: by its address alone, so that writer and reader believe the same. */
#include "base/fail.h"
#include "remote/public_internal.h"

const uint8_t public_description[PUBLIC_DESCRIPTION] = {'p', 'u', 'b', 'l', 'i', 'c'};

struct pad_fetch {
	struct ps_pad_fetch fetch; /* first: a task */
	ps_remote *r;
	const uint8_t *read_key;
	struct public_pad *pad;
	bool gone;
};

static int check_use(const struct ps_pad_header *header)
{
	const struct ps_pad_plan *plan = &header->plan;
	bool shows = plan->role == PS_ROLE_DATA || plan->role == PS_ROLE_TOMBSTONE;
	return plan->class == PS_PAD_PUBLIC_INDEX && plan->generation == 1 && shows
	           ? PS_OK
	           : ps_fail(PS_EAUTH, "an authentic pad of another use than to show a public value");
}

static int check_contents(const struct ps_pad_contents *contents, const struct ps_pad_header *header)
{
	if (contents->description_len != PUBLIC_DESCRIPTION ||
	    memcmp(contents->description, public_description, PUBLIC_DESCRIPTION) != 0 ||
	    (header->plan.role == PS_ROLE_TOMBSTONE && contents->length > 0))
		return ps_fail(PS_EAUTH, "an authentic index pad that says something else of itself");
	return PS_OK;
}

static int open_record(struct pad_fetch *f, struct ps_net_buffer *record)
{
	struct ps_pad_reader reader = {.content_key = f->read_key};
	struct ps_pad_contents contents;
	struct public_pad *pad = f->pad;
	int err = ps_pad_open_header(record->bytes, record->len, &f->fetch.fetch.name, &pad->header);
	if (err == PS_OK)
		err = check_use(&pad->header);
	if (err != PS_OK)
		return err;
	pad->payload = ps_memory_alloc(&f->r->memory, pad->header.payload);
	if (!pad->payload)
		return ps_fail(PS_ENOMEM, "no memory for a pad of %u bytes", pad->header.payload);
	err = ps_pad_open(&reader, &pad->header, record->bytes, record->len, pad->payload, &contents);
	if (err == PS_OK)
		err = check_contents(&contents, &pad->header);
	if (err != PS_OK) {
		public_pad_done(f->r, pad);
		return err;
	}
	pad->len = contents.length;
	pad->there = true;
	return PS_OK;
}

static int opened(struct ps_fetch *fetch)
{
	struct pad_fetch *f = (struct pad_fetch *)(void *)fetch;
	return open_record(f, fetch->task.request.buffer);
}

static void ended(struct ps_fetch *fetch)
{
	struct pad_fetch *f = (struct pad_fetch *)(void *)fetch;
	f->gone = fetch->task.request.outcome == PS_NET_ABSENT;
	ps_pad_fetched(&f->fetch);
}

static const struct ps_fetch_ops ops = {opened, ended};

static int result(struct pad_fetch *f)
{
	const struct ps_task *task = &f->fetch.fetch.task;
	if (task->fate == PS_FATE_DONE || f->gone)
		return PS_OK;
	int err = ps_task_error(task);
	return ps_fail(err == PS_ERANGE ? PS_EAUTH : err, "the index pad of a public value: %.200s",
	               task->sentence);
}

int public_pad_fetch(struct ps_operation *op, const struct ps_pad_name *name, const uint8_t read_key[PS_KEY],
                     struct public_pad *pad)
{
	struct pad_fetch f = {.r = op->r, .read_key = read_key, .pad = pad};
	*pad = (struct public_pad){0};
	f.fetch.fetch = (struct ps_fetch){.ops = &ops,
	                                  .op = PS_NET_GET,
	                                  .name = *name,
	                                  .len = ps_pad_record_bytes(ps_pad_mode_payload(PS_PAD_SMALL))};
	int err = ps_pad_fetch(op, &f.fetch);
	return err == PS_OK ? result(&f) : err;
}

void public_pad_done(ps_remote *r, struct public_pad *pad)
{
	if (pad->payload)
		ps_memory_free(&r->memory, pad->payload, pad->header.payload);
	*pad = (struct public_pad){0};
}
