/* What a mem network does for a request, and what the rules make of it. */
#include "remote/mem_world.h"

#include "base/bytes.h"
#include "base/error.h"

static void answer_with(struct ps_net_request *r, const struct mem_record *record)
{
	ps_le64 version = ps_set64(record->version);
	r->token.len = sizeof(version);
	memcpy(r->token.bytes, &version, sizeof(version));
	r->identity = record->identity;
	r->size = record->len;
}

static void done(const ps_network *n, struct ps_net_request *r)
{
	ps_request_finish(n, r, PS_NET_DONE, "%s", "");
}

void mem_no_answer(const ps_network *n, struct ps_net_request *r, const char *why)
{
	bool writes = ps_net_op_writes(r->op);
	if (!writes) {
		r->identity = (struct ps_pad_identity){0};
		r->token.len = 0;
		r->size = 0;
	}
	ps_request_finish(n, r, writes ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE, "%s", why);
}

/* ---- reads ---- */

static void read_record(const ps_network *n, struct ps_net_request *r, const struct mem_record *record)
{
	if (!record) {
		ps_request_finish(n, r, PS_NET_ABSENT, "nothing is there");
		return;
	}
	answer_with(r, record);
	uint64_t from = 0, len = r->op == PS_NET_HEAD ? 0 : record->len;
	if (r->op == PS_NET_GET_RANGE) {
		from = r->offset < record->len ? r->offset : record->len;
		len = r->len < record->len - from ? r->len : record->len - from;
	}
	if (r->op == PS_NET_GET && len > r->buffer->capacity) {
		ps_request_finish(n, r, PS_NET_TOO_BIG, "a record of %zu bytes, room for %zu", record->len,
		                  r->buffer->capacity);
		return;
	}
	if (len)
		memcpy(r->buffer->bytes, record->bytes + from, len);
	if (r->op != PS_NET_HEAD)
		r->buffer->len = len;
	done(n, r);
}

static void apply_read(struct ps_mem_world *w, const ps_network *n, unsigned view, struct ps_net_request *r,
                       const struct mem_plan *plan)
{
	struct mem_record *there = mem_world_find(w, view, &r->name), *shown = NULL;
	int err = PS_OK;
	if (plan->faulty)
		err = mem_show(w, &plan->rule, &r->name, view, there, &shown);
	else
		shown = mem_record_hold(there);
	if (err == PS_OK)
		read_record(n, r, shown);
	else
		ps_request_finish(n, r, PS_NET_UNAVAILABLE, "no memory");
	if (r->op != PS_NET_HEAD)
		w->figures.bytes_out += r->buffer->len;
	mem_record_release(shown);
}

static const struct mem_table *listed_table(const struct ps_mem_world *w, unsigned view,
                                            const struct mem_plan *plan)
{
	if (plan->faulty && plan->rule.fault == PS_MEM_FROZEN)
		return &plan->rule.snapshot->table;
	return &w->tables[w->table_of[view]];
}

static bool is_hidden(const struct mem_plan *plan, const struct mem_entry *entry)
{
	if (!entry->record)
		return true;
	if (!plan->faulty || plan->rule.fault != PS_MEM_ABSENT)
		return false;
	return !plan->rule.named || memcmp(entry->name.bytes, plan->rule.name.bytes, PS_PAD_NAME) == 0;
}

/* The cursor: the last name of the page before, and a one behind it. */
static void apply_list(const struct ps_mem_world *w, const ps_network *n, unsigned view,
                       struct ps_net_request *r, const struct mem_plan *plan)
{
	const struct mem_table *table = listed_table(w, view, plan);
	struct ps_net_list *list = r->list;
	struct ps_pad_name after;
	memcpy(after.bytes, list->cursor, PS_PAD_NAME);
	size_t at = mem_table_above(table, list->cursor[PS_PAD_NAME] ? &after : NULL);
	bool twice = plan->faulty && plan->rule.fault == PS_MEM_TWICE && list->capacity > 1;
	size_t room = twice ? list->capacity / 2 : list->capacity;
	for (; at < table->count && list->count < room; at++) {
		const struct mem_entry *entry = &table->entries[at];
		if (is_hidden(plan, entry))
			continue;
		list->listed[list->count].name = entry->name;
		list->listed[list->count++].size = entry->record->len;
		memcpy(list->cursor, entry->name.bytes, PS_PAD_NAME);
		list->cursor[PS_PAD_NAME] = 1;
	}
	list->more = at < table->count;
	if (twice)
		memcpy(list->listed + list->count, list->listed, list->count * sizeof(*list->listed));
	list->count *= twice ? 2 : 1;
	done(n, r);
}

/* ---- writes ---- */

/* Whether the guard of a write lets it pass; else it is answered. */
static bool guard_passes(const ps_network *n, struct ps_net_request *r, const struct mem_record *there)
{
	if (r->op == PS_NET_CREATE && there)
		ps_request_finish(n, r, PS_NET_CONFLICT, "a version with counter %llu is there",
		                  (unsigned long long)there->identity.counter);
	else if (r->op == PS_NET_CREATE)
		return true;
	else if (!there)
		ps_request_finish(n, r, PS_NET_ABSENT, "nothing is there");
	else if (ps_identity_same(&there->identity, &r->expected) ||
	         (r->op == PS_NET_REMOVE && !(n->caps & PS_NET_CAP_GUARDED_REMOVE)))
		return true;
	else
		ps_request_finish(n, r, PS_NET_CONFLICT, "counter %llu is there, %llu was expected",
		                  (unsigned long long)there->identity.counter,
		                  (unsigned long long)r->expected.counter);
	return false;
}

static struct mem_record *record_of(struct ps_mem_world *w, const struct ps_net_request *r)
{
	return mem_record_new(&w->memory, &r->identity, r->buffer->bytes, r->buffer->len);
}

/* In front of what others see; a record that was there already stays in its view's past. */
static int put_alone(struct ps_mem_world *w, unsigned view, const struct ps_net_request *r,
                     struct mem_record *record)
{
	record->version = ++w->versions;
	return mem_table_set(&w->alone[view], &r->name, record, w->past);
}

static void apply_write(struct ps_mem_world *w, const ps_network *n, unsigned view, struct ps_net_request *r,
                        bool alone)
{
	struct mem_record *record = NULL;
	if (!guard_passes(n, r, mem_world_find(w, view, &r->name)))
		return;
	if (r->op != PS_NET_REMOVE)
		record = record_of(w, r);
	int err = record || r->op == PS_NET_REMOVE ? PS_OK : PS_ENOMEM;
	if (err == PS_OK)
		err = alone && record ? put_alone(w, view, r, record)
		                      : mem_world_put(w, view, &r->name, record);
	if (err != PS_OK) {
		ps_request_finish(n, r, PS_NET_FULL, "no memory for the record");
	} else {
		done(n, r);
		const struct mem_record *there = mem_world_find(w, view, &r->name);
		r->token.len = 0;
		if (record && there)
			answer_with(r, there);
	}
	mem_record_release(record);
}

/* ---- what comes later ---- */

void mem_late_free(struct ps_mem_world *w, struct mem_late *late)
{
	mem_record_release(late->record);
	ps_memory_free(&w->memory, late, sizeof(*late));
}

/* Takes a reference of its own. Without memory it never comes, which a network may do too. */
void mem_later(struct ps_mem_world *w, const struct mem_late *what, uint64_t after)
{
	struct mem_late *late = ps_memory_alloc(&w->memory, sizeof(*late));
	if (!late)
		return;
	*late = *what;
	late->due = w->answered + (after ? after : 1);
	mem_record_hold(late->record);
	/* Oldest first where several are due at once. */
	struct mem_late **at = &w->late;
	while (*at)
		at = &(*at)->next;
	late->next = NULL;
	*at = late;
}

/* Whether it took effect. */
static bool deliver(struct ps_mem_world *w, const struct mem_late *late)
{
	const struct mem_record *there = mem_world_find(w, late->view, &late->name);
	if (late->guarded && late->op == PS_NET_CREATE && there)
		return false;
	if (late->guarded && late->op != PS_NET_CREATE &&
	    (!there || !ps_identity_same(&there->identity, &late->expected)))
		return false;
	return mem_world_put(w, late->view, &late->name, late->record) == PS_OK;
}

size_t mem_deliver_locked(struct ps_mem_world *w, bool all)
{
	size_t count = 0;
	for (struct mem_late **at = &w->late; *at;) {
		struct mem_late *late = *at;
		if (!all && late->due > w->answered) {
			at = &late->next;
			continue;
		}
		*at = late->next;
		count += deliver(w, late);
		mem_late_free(w, late);
	}
	return count;
}

void mem_apply_late(struct ps_mem_world *w, const ps_network *n, unsigned view,
                    const struct ps_net_request *r, uint64_t after)
{
	bool guarded = r->op != PS_NET_REMOVE || (n->caps & PS_NET_CAP_GUARDED_REMOVE);
	struct mem_late late = {
	    .guarded = guarded, .op = r->op, .view = view, .name = r->name, .expected = r->expected};
	if (r->op != PS_NET_REMOVE)
		late.record = record_of(w, r);
	if (late.record || r->op == PS_NET_REMOVE)
		mem_later(w, &late, after);
	mem_record_release(late.record);
}

/* What is there, or was sent, comes again over whatever is there then. */
static void comes_again(struct ps_mem_world *w, unsigned view, const struct ps_net_request *r,
                        struct mem_record *record, uint64_t after)
{
	struct mem_late late = {.view = view, .name = r->name, .record = record};
	mem_later(w, &late, after);
}

/* ---- one request ---- */

static void apply_lie(struct ps_mem_world *w, const ps_network *n, unsigned view, struct ps_net_request *r,
                      const struct ps_mem_rule *rule)
{
	struct mem_record *before = mem_record_hold(mem_world_find(w, view, &r->name));
	apply_write(w, n, view, r, rule->fault == PS_MEM_ONE_VIEW);
	if (r->outcome == PS_NET_DONE && rule->fault == PS_MEM_LOSE_LATER)
		comes_again(w, view, r, before, rule->amount);
	else if (r->outcome == PS_NET_DONE && rule->fault == PS_MEM_REPLAY)
		comes_again(w, view, r, mem_world_find(w, view, &r->name), rule->amount);
	mem_record_release(before);
}

static void apply_right(struct ps_mem_world *w, const ps_network *n, unsigned view, struct ps_net_request *r)
{
	const struct mem_plan none = {0};
	if (r->op == PS_NET_LIST)
		apply_list(w, n, view, r, &none);
	else if (ps_net_op_writes(r->op))
		apply_write(w, n, view, r, false);
	else
		apply_read(w, n, view, r, &none);
}

/* Nothing of a list that was not answered is seen. */
static void lose_answer(const ps_network *n, struct ps_net_request *r)
{
	if (r->op == PS_NET_LIST)
		r->list->count = 0;
	else if (r->buffer && !ps_net_op_writes(r->op))
		r->buffer->len = 0;
	mem_no_answer(n, r, "no answer");
}

/* What a rule says that a write is not carried out, or not answered; false for all others. */
static bool apply_refusal(struct ps_mem_world *w, const ps_network *n, unsigned view,
                          struct ps_net_request *r, const struct ps_mem_rule *rule)
{
	switch (rule->fault) {
	case PS_MEM_LOSE_REQUEST:
		ps_request_finish(n, r, PS_NET_UNAVAILABLE, "not sent");
		return true;
	case PS_MEM_VANISH:
		lose_answer(n, r);
		return true;
	case PS_MEM_LATE:
		mem_apply_late(w, n, view, r, rule->amount);
		lose_answer(n, r);
		return true;
	case PS_MEM_FULL:
		ps_request_finish(n, r, PS_NET_FULL, "the network is full");
		return true;
	case PS_MEM_DENIED:
		ps_request_finish(n, r, PS_NET_DENIED, "the network refuses");
		return true;
	case PS_MEM_THROTTLED:
		r->throttled = true;
		ps_request_finish(n, r, PS_NET_UNAVAILABLE, "too many requests");
		return true;
	case PS_MEM_CONFLICT:
		ps_request_finish(n, r, PS_NET_CONFLICT, "another version is there");
		return true;
	case PS_MEM_LIE_DONE:
		done(n, r);
		return true;
	default:
		return false;
	}
}

static void apply_fault(struct ps_mem_world *w, const ps_network *n, unsigned view, struct ps_net_request *r,
                        const struct mem_plan *plan)
{
	if (apply_refusal(w, n, view, r, &plan->rule))
		return;
	bool twice = plan->rule.fault == PS_MEM_TWICE && r->op != PS_NET_LIST;
	if (plan->rule.fault == PS_MEM_LOSE_REPLY || twice)
		apply_right(w, n, view, r);
	if (plan->rule.fault == PS_MEM_LOSE_REPLY)
		lose_answer(n, r);
	else if (r->op == PS_NET_LIST)
		apply_list(w, n, view, r, plan);
	else if (ps_net_op_writes(r->op))
		apply_lie(w, n, view, r, &plan->rule);
	else
		apply_read(w, n, view, r, plan);
}

void mem_apply(struct ps_mem_world *w, const ps_network *n, unsigned view, struct ps_net_request *r,
               const struct mem_plan *plan)
{
	if (plan->faulty)
		apply_fault(w, n, view, r, plan);
	else
		apply_right(w, n, view, r);
	w->answered++;
	mem_deliver_locked(w, false);
}
