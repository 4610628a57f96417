/* get: whole, a range, or a stream. Chunks are fetched several at once and given in order; each is opened and
 * checked before a byte of it is given. */
#include <sodium.h>
#include <stdio.h>

#include "base/fail.h"
#include "remote/get_internal.h"

/* ---- what is wanted ---- */

static int look_up(struct get *get, const char *key)
{
	int err = ps_index_look(get->r->index, PS_RECORD_BLOB, key, strlen(key), &get->record);
	if (err != PS_OK && err != PS_ENOTFOUND)
		return err;
	if (err == PS_ENOTFOUND || !ps_record_has_contents(&get->record))
		return ps_fail(PS_ENOTFOUND, "there is no value under \"%.64s\"", key);
	if (!(get->record.flags & PS_RECORD_COMPLETE) && !get->options.unverified)
		return ps_fail(
		    PS_EUNAVAILABLE,
		    "\"%.64s\" is not confirmed yet: a health check confirms it, or finds what is wrong",
		    key);
	return PS_OK;
}

/* A record is read in one piece where it is short, or where it changes too often to be read in several. */
enum { WHOLE_SLOTS = 256, MOST_TRIES = 8 };

static int read_whole(struct get *get, uint32_t first, uint32_t count, struct ps_pad_slot *slots)
{
	struct ps_record whole;
	int err = ps_index_get(get->r->index, PS_RECORD_BLOB, get->record.name, get->record.name_len, &whole);
	if (err != PS_OK)
		return err;
	const struct ps_slots *current = &whole.sets[PS_SET_CURRENT];
	if (ps_version_compare(&whole.version, &get->record.version) != 0 || first + count > current->count)
		err = ps_fail(PS_EBUSY, "\"%.64s\" was changed meanwhile", get->record.name);
	else
		memcpy(slots, current->slots + first, count * sizeof(*slots));
	ps_record_done(&whole);
	return err;
}

static int read_slots(struct get *get, uint32_t first, uint32_t count, struct ps_pad_slot *slots)
{
	uint32_t got = 0, all = get->record.sets[PS_SET_CURRENT].count + get->record.sets[PS_SET_NEXT].count;
	if (all <= WHOLE_SLOTS || get->tries == MOST_TRIES)
		return read_whole(get, first, count, slots);
	int err = ps_index_slots(get->r->index, PS_RECORD_BLOB, get->record.name, get->record.name_len,
	                         PS_SET_CURRENT, first, count, slots, &got);
	/* Between two reads the record may have been written anew, and its slots lie elsewhere: whether it is
	 * damaged shows when it is read in one piece. */
	if (err == PS_ECORRUPT || (err == PS_OK && got != count))
		err = ps_fail(PS_EBUSY, "\"%.64s\" was changed meanwhile", get->record.name);
	return err;
}

/* All chunks have the size of the first, but for the last. */
static int find_chunks(struct get *get)
{
	struct ps_pad_slot one;
	if (get->from >= get->to)
		return PS_OK;
	int err = read_slots(get, 0, 1, &one);
	if (err != PS_OK)
		return err;
	get->chunk_bytes = one.length;
	if (one.length == 0)
		return ps_fail(PS_ECORRUPT, "\"%.64s\" begins with an empty pad", get->record.name);
	get->first = (uint32_t)(get->from / one.length);
	get->slots_count = (uint32_t)((get->to - 1) / one.length) - get->first + 1;
	get->slots = ps_memory_alloc(&get->r->memory, get->slots_count * sizeof(*get->slots));
	if (!get->slots)
		return ps_fail(PS_ENOMEM, "no memory for %u pads", get->slots_count);
	return read_slots(get, get->first, get->slots_count, get->slots);
}

/* The value may be changed between two looks at it: what was seen has to be of one version. */
static int check_unchanged(struct get *get)
{
	struct ps_record now;
	uint64_t size = get->record.content.size, whole = 0;
	int err = ps_index_look(get->r->index, PS_RECORD_BLOB, get->record.name, get->record.name_len, &now);
	bool same = err == PS_OK && ps_version_compare(&now.version, &get->record.version) == 0 &&
	            ((now.flags ^ get->record.flags) & (PS_RECORD_UPDATING | PS_RECORD_PUBLIC)) == 0;
	if (!same && get->tries < MOST_TRIES)
		return ps_fail(PS_EBUSY, "\"%.64s\" was changed meanwhile", get->record.name);
	for (uint32_t i = 0; i < get->slots_count; i++) {
		uint64_t begin = (uint64_t)(get->first + i) * get->chunk_bytes;
		uint64_t rest = size > begin ? size - begin : 0;
		whole = rest < get->chunk_bytes ? rest : get->chunk_bytes;
		if (get->slots[i].length != whole)
			return ps_fail(PS_ECORRUPT, "\"%.64s\": chunk %u has %u bytes, not %llu",
			               get->record.name, get->first + i, get->slots[i].length,
			               (unsigned long long)whole);
	}
	return PS_OK;
}

void get_forget(struct get *get)
{
	if (get->slots)
		ps_memory_free(&get->r->memory, get->slots, get->slots_count * sizeof(*get->slots));
	if (get->read_keys) {
		sodium_memzero(get->read_keys, (size_t)get->slots_count * PS_KEY);
		ps_memory_free(&get->r->memory, get->read_keys, (size_t)get->slots_count * PS_KEY);
	}
	get->slots = NULL;
	get->read_keys = NULL;
	get->slots_count = 0;
}

/* ---- giving ---- */

static int lane_error(struct get *get, const struct get_lane *lane)
{
	const struct ps_task *task = &lane->fetch.read.task;
	const uint8_t *name = lane->fetch.read.slot.name.bytes;
	int err = ps_task_error(task);
	return ps_fail(err, "\"%.64s\": chunk %u (pad %02x%02x%02x%02x): %.200s", get->shown, lane->chunk,
	               name[0], name[1], name[2], name[3], task->sentence);
}

static void rest_lane(struct get *get, struct get_lane *lane)
{
	lane->done = false;
	ps_lane_rest(&get->idle, &lane->lane);
}

static int give_lane(struct get *get, struct get_lane *lane)
{
	uint32_t len = lane->fetch.read.to - lane->fetch.read.from;
	int err = PS_OK;
	if (get->write)
		err = get->write(get->write_arg, lane->own, len);
	if (err != PS_OK)
		return ps_fail(err, "\"%.64s\": the callback that takes the contents failed", get->shown);
	get->op.shown.pads_done++;
	get->op.shown.fetched++;
	get->op.shown.fallback += lane->fetch.read.elsewhere;
	get->op.shown.bytes_done += len;
	rest_lane(get, lane);
	return PS_OK;
}

static struct get_lane *lane_of_chunk(struct get *get, uint32_t chunk)
{
	for (uint32_t i = 0; i < get->lanes_count; i++)
		if (get->all[i].done && get->all[i].chunk == chunk)
			return &get->all[i];
	return NULL;
}

/* In order; where it goes to memory, the order does not matter. */
static int give(struct get *get)
{
	int err = PS_OK;
	while (err == PS_OK && get->given < get->slots_count) {
		struct get_lane *lane = lane_of_chunk(get, get->first + get->given);
		if (!lane)
			break;
		err = give_lane(get, lane);
		get->given++;
	}
	return err;
}

static int take_back(struct get *get, struct ps_lane *back)
{
	struct get_lane *lane = (struct get_lane *)(void *)back;
	if (ps_fallback_asked(&get->op, &lane->fetch.read))
		return PS_OK;
	get->on_way--;
	if (lane->fetch.read.task.fate != PS_FATE_DONE) {
		int err = lane_error(get, lane);
		rest_lane(get, lane);
		return ps_operation_fail(&get->op, err);
	}
	lane->done = true;
	if (get->write)
		return ps_operation_fail(&get->op, give(get));
	get->given++;
	return ps_operation_fail(&get->op, give_lane(get, lane));
}

static int go_on(struct get *get)
{
	uint64_t soon = ps_clock_now(get->r->seams.clock) + PS_SHOW_MS * PS_MS_NS;
	struct ps_lane *back = ps_lanes_next(&get->lanes, soon);
	int err = back ? take_back(get, back) : PS_OK;
	return err == PS_OK ? ps_operation_show(&get->op) : err;
}

/* ---- asking ---- */

static void read_ended(struct ps_pad_read *read)
{
	struct get_lane *lane = ((struct get_read *)(void *)read)->lane;
	ps_lanes_back(&lane->get->lanes, &lane->lane);
}

static int ask(struct get *get, struct get_lane *lane)
{
	struct ps_pad_read *read = &lane->fetch.read;
	uint64_t begin = (uint64_t)(get->first + get->asked) * get->chunk_bytes;
	lane->chunk = get->first + get->asked;
	lane->fetch = (struct get_read){.lane = lane};
	read->r = get->r;
	read->slot = get->slots[get->asked];
	read->role = PS_ROLE_DATA;
	read->network = get->network;
	read->content_key = get->read_keys ? get->read_keys + (size_t)get->asked * PS_KEY : NULL;
	read->from = get->from > begin ? (uint32_t)(get->from - begin) : 0;
	read->to = get->to - begin < read->slot.length ? (uint32_t)(get->to - begin) : read->slot.length;
	read->ended = read_ended;
	ps_chunk_description(lane->chunk, lane->description);
	read->description = lane->description;
	read->description_len = sizeof(lane->description);
	if (get->write && !lane->own)
		lane->own = ps_memory_alloc(&get->r->memory, get->chunk_bytes);
	if (get->write && !lane->own)
		return ps_fail(PS_ENOMEM, "no memory for a chunk of %u bytes", get->chunk_bytes);
	read->out = get->write ? lane->own : get->buf + (begin + read->from - get->from);
	ps_pad_read_init(read);
	int err = ps_group_add(get->op.group, &read->task);
	get->on_way += err == PS_OK;
	get->asked += err == PS_OK;
	return err;
}

static int fetch_all(struct get *get)
{
	int err = PS_OK;
	while (err == PS_OK && get->given < get->slots_count) {
		if (!get->idle || get->asked == get->slots_count) {
			err = go_on(get);
			continue;
		}
		struct get_lane *lane = (struct get_lane *)(void *)ps_lane_take(&get->idle);
		err = ps_operation_fail(&get->op, ask(get, lane));
	}
	return err;
}

static void give_up(struct get *get)
{
	ps_operation_settle(&get->op, true);
	while (get->on_way > 0) {
		get->on_way -= ps_lanes_next(&get->lanes, PS_NEVER) != NULL;
	}
}

/* ---- lanes ---- */

static int init_lanes(struct get *get, uint64_t most)
{
	uint64_t bytes = ps_pad_record_bytes(get->chunk_bytes) + ps_pad_padded(get->chunk_bytes);
	int err = ps_lanes_init(&get->lanes, get->r->seams.clock);
	if (err != PS_OK)
		return err;
	if (get->write)
		bytes += get->chunk_bytes;
	get->lanes_count = ps_lanes_count(get->r, bytes, most);
	get->all = ps_memory_zalloc(&get->r->memory, get->lanes_count * sizeof(*get->all));
	if (!get->all) {
		ps_lanes_done(&get->lanes);
		return ps_fail(PS_ENOMEM, "no memory for %u chunks on their way", get->lanes_count);
	}
	for (uint32_t i = 0; i < get->lanes_count; i++) {
		get->all[i].get = get;
		rest_lane(get, &get->all[i]);
	}
	return PS_OK;
}

void get_close_lanes(struct get *get)
{
	if (!get->all)
		return;
	for (uint32_t i = 0; i < get->lanes_count; i++)
		if (get->all[i].own)
			ps_memory_free(&get->r->memory, get->all[i].own, get->chunk_bytes);
	ps_memory_free(&get->r->memory, get->all, get->lanes_count * sizeof(*get->all));
	get->all = NULL;
	get->idle = NULL;
	ps_lanes_done(&get->lanes);
}

/* ---- all of it ---- */

static int show_plan(struct get *get)
{
	struct ps_remote_plan plan = {.bytes = get->to - get->from, .exact = 1};
	for (uint32_t i = 0; i < get->slots_count; i++)
		plan.record_bytes += ps_pad_record_bytes(get->slots[i].length);
	plan.requests = get->slots_count;
	plan.price = ps_manager_price(get->r, &plan, 0, plan.record_bytes);
	get->op.shown.pads_total = get->slots_count;
	return ps_operation_plan(&get->op, &plan, 0, get->r->options.max_cost);
}

int get_open_lanes(struct get *get, uint64_t most)
{
	int err = get->op.group ? PS_OK : ps_operation_group(&get->op);
	return err == PS_OK ? ps_operation_fail(&get->op, init_lanes(get, most)) : err;
}

int get_slots(struct get *get)
{
	get->asked = get->given = 0;
	int err = fetch_all(get);
	if (err != PS_OK)
		give_up(get);
	else
		ps_operation_settle(&get->op, false);
	return err;
}

static int fetch(struct get *get)
{
	int err = show_plan(get);
	if (err != PS_OK || get->slots_count == 0)
		return err;
	err = get_open_lanes(get, get->slots_count);
	return err == PS_OK ? get_slots(get) : err;
}

int get_set_range(struct get *get, uint64_t size, struct get_range *range)
{
	get->from = range->offset < size ? range->offset : size;
	get->to = range->len < size - get->from ? get->from + range->len : size;
	if (!range->whole)
		return PS_OK;
	get->from = 0;
	get->to = size;
	range->size = (size_t)size;
	range->too_small = size > range->cap;
	return range->too_small ? ps_fail(PS_ERANGE, "\"%.64s\" has %llu bytes, and there is room for %zu",
	                                  get->shown, (unsigned long long)size, range->cap)
	                        : PS_OK;
}

static int find(struct get *get, const char *key, struct get_range *range)
{
	int err = PS_EBUSY;
	/* Changed between two looks: once more, from the beginning. Read in one piece it is what it was at
	 * one moment, which is all that is promised. */
	for (get->tries = 0; get->tries <= MOST_TRIES && (err == PS_EBUSY || err == PS_ENOTFOUND);
	     get->tries++) {
		get_forget(get);
		err = look_up(get, key);
		if (err == PS_OK)
			err = get_set_range(get, get->record.content.size, range);
		if (err != PS_OK)
			return err;
		err = find_chunks(get);
		if (err == PS_OK)
			err = check_unchanged(get);
	}
	return err;
}

static int run(ps_remote *r, const char *key, struct get *get, const struct ps_remote_get *options,
               struct get_range *range)
{
	if (!key || (options && options->size != sizeof(*options)))
		return ps_fail(PS_EINVAL, "ps_remote_get: the key is NULL, or the options have another size");
	int err = ps_operation_begin(&get->op, r, "get", key, PS_OP_READS, options ? options->progress : NULL,
	                             options ? options->progress_arg : NULL);
	if (err != PS_OK)
		return err;
	get->r = r;
	get->shown = key;
	if (options)
		get->options = *options;
	err = ps_operation_fail(&get->op, find(get, key, range));
	if (err == PS_OK)
		(void)fetch(get);
	err = ps_operation_end(&get->op);
	get_close_lanes(get);
	get_forget(get);
	return err;
}

/* ---- calls ---- */

int ps_remote_get(ps_remote *r, const char *key, void *buf, size_t cap, size_t *len,
                  const struct ps_remote_get *options)
{
	struct get get = {.buf = buf};
	struct get_range whole = {.whole = true, .cap = cap};
	if (!len || (!buf && cap > 0))
		return ps_fail(PS_EINVAL, "ps_remote_get: an argument is NULL");
	int err = run(r, key, &get, options, &whole);
	if (err == PS_OK || whole.too_small)
		*len = whole.size;
	return err;
}

int ps_remote_read_at(ps_remote *r, const char *key, uint64_t offset, void *buf, size_t len, size_t *got,
                      const struct ps_remote_get *options)
{
	struct get get = {.buf = buf};
	struct get_range part = {.offset = offset, .len = len};
	if (!got || (!buf && len > 0))
		return ps_fail(PS_EINVAL, "ps_remote_read_at: an argument is NULL");
	int err = run(r, key, &get, options, &part);
	if (err == PS_OK)
		*got = (size_t)(get.to - get.from);
	return err;
}

int ps_remote_get_stream(ps_remote *r, const char *key, uint64_t offset, uint64_t len,
                         ps_remote_write_fn write, void *arg, const struct ps_remote_get *options)
{
	struct get get = {.write = write, .write_arg = arg};
	struct get_range part = {.offset = offset, .len = len};
	if (!write)
		return ps_fail(PS_EINVAL, "ps_remote_get_stream: the callback is NULL");
	return run(r, key, &get, options, &part);
}
