/* The rules of a mem network: which apply to a request, and what reads are shown by those that lie. */
#include "remote/mem_world.h"

#include "base/fail.h"

enum { BITS = 8 };

/* ---- rules ---- */

static bool possible(const struct ps_mem_rule *rule)
{
	if ((unsigned)rule->fault >= PS_MEM_FAULTS || rule->view < 0 || rule->view > PS_MEM_VIEWS)
		return false;
	return rule->fault != PS_MEM_FROZEN || rule->snapshot;
}

static struct mem_rule *free_rule(struct ps_mem_world *w)
{
	for (size_t i = 0; i < w->rule_room; i++) {
		if (!w->rules[i].used)
			return &w->rules[i];
	}
	size_t room = w->rule_room ? 2 * w->rule_room : 8;
	struct mem_rule *grown =
	    ps_memory_resize(&w->memory, w->rules, w->rule_room * sizeof(*grown), room * sizeof(*grown));
	if (!grown)
		return NULL;
	memset(grown + w->rule_room, 0, (room - w->rule_room) * sizeof(*grown));
	struct mem_rule *rule = grown + w->rule_room;
	w->rules = grown;
	w->rule_room = room;
	return rule;
}

int ps_mem_rule_add(ps_mem_world *world, const struct ps_mem_rule *rule, unsigned *number)
{
	if (!rule || !possible(rule))
		return ps_fail(PS_EINVAL, "mem:%s: an impossible rule", world->name);
	pthread_mutex_lock(&world->lock);
	struct mem_rule *place = free_rule(world);
	if (place) {
		*place = (struct mem_rule){.rule = *rule, .used = true};
		if (number)
			*number = (unsigned)(place - world->rules) + 1;
	}
	pthread_mutex_unlock(&world->lock);
	return place ? PS_OK : ps_fail(PS_ENOMEM, "mem:%s: no memory for a rule", world->name);
}

void ps_mem_rule_remove(ps_mem_world *world, unsigned number)
{
	pthread_mutex_lock(&world->lock);
	for (size_t i = 0; i < world->rule_room; i++) {
		if (number == 0 || i + 1 == number)
			world->rules[i].used = false;
	}
	pthread_mutex_unlock(&world->lock);
}

static uint64_t hits_locked(const struct ps_mem_world *w, unsigned number)
{
	return number && number <= w->rule_room ? w->rules[number - 1].hits : 0;
}

uint64_t ps_mem_rule_hits(ps_mem_world *world, unsigned number)
{
	pthread_mutex_lock(&world->lock);
	uint64_t hits = hits_locked(world, number);
	pthread_mutex_unlock(&world->lock);
	return hits;
}

void ps_mem_rule_wait(ps_mem_world *world, unsigned number, uint64_t hits)
{
	pthread_mutex_lock(&world->lock);
	while (hits_locked(world, number) < hits)
		pthread_cond_wait(&world->applied, &world->lock);
	pthread_mutex_unlock(&world->lock);
}

/* ---- which apply ---- */

/* SplitMix64's last step: the same seed draws the same, in whatever order requests of other rules come. */
static uint64_t draw(const struct ps_mem_world *w, size_t rule, uint64_t nth)
{
	uint64_t z = (w->seed + rule * 0x9e3779b97f4a7c15) ^ (nth * 0xd1342543de82ef95);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static unsigned ops_of(enum ps_mem_fault fault)
{
	const unsigned writes = 1U << PS_NET_CREATE | 1U << PS_NET_REPLACE | 1U << PS_NET_REMOVE;
	const unsigned stores = 1U << PS_NET_CREATE | 1U << PS_NET_REPLACE;
	const unsigned reads = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE | 1U << PS_NET_HEAD;
	switch (fault) {
	case PS_MEM_FULL:
	case PS_MEM_REPLAY:
	case PS_MEM_ONE_VIEW:
		return stores;
	case PS_MEM_CONFLICT:
	case PS_MEM_LIE_DONE:
	case PS_MEM_LOSE_LATER:
	case PS_MEM_LATE:
		return writes;
	case PS_MEM_TWICE:
		return writes | 1U << PS_NET_LIST;
	case PS_MEM_ABSENT:
	case PS_MEM_FROZEN:
		return reads | 1U << PS_NET_LIST;
	default:
		return fault > PS_MEM_FROZEN || fault == PS_MEM_OLD ? reads : ~0U;
	}
}

static bool matches(const struct ps_mem_rule *rule, unsigned view, const struct ps_net_request *r)
{
	unsigned ops = ops_of(rule->fault) & (rule->ops ? rule->ops : ~0U);
	if (!(ops >> r->op & 1) || (rule->view && (unsigned)rule->view != view + 1))
		return false;
	return !rule->named || r->op == PS_NET_LIST ||
	       memcmp(rule->name.bytes, r->name.bytes, PS_PAD_NAME) == 0;
}

static bool applies(const struct ps_mem_world *w, size_t i, uint64_t nth)
{
	const struct ps_mem_rule *rule = &w->rules[i].rule;
	uint64_t first = rule->first ? rule->first : 1;
	if (nth < first || (rule->count && nth >= first + rule->count))
		return false;
	return rule->one_in <= 1 || draw(w, i, nth) % rule->one_in == 0;
}

struct mem_plan mem_plan(struct ps_mem_world *w, unsigned view, const struct ps_net_request *r)
{
	struct mem_plan plan = {0};
	w->figures.requests[r->op]++;
	if (r->op == PS_NET_CREATE || r->op == PS_NET_REPLACE)
		w->figures.bytes_in += r->buffer->len;
	for (size_t i = 0; i < w->rule_room; i++) {
		struct mem_rule *rule = &w->rules[i];
		if (!rule->used || !matches(&rule->rule, view, r) || !applies(w, i, ++rule->seen))
			continue;
		bool delays = rule->rule.fault == PS_MEM_LATENCY || rule->rule.fault == PS_MEM_JITTER;
		if (!delays && plan.faulty)
			continue;
		rule->hits++;
		pthread_cond_broadcast(&w->applied);
		if (rule->rule.fault == PS_MEM_LATENCY)
			plan.delay_ms += rule->rule.amount;
		else if (rule->rule.fault == PS_MEM_JITTER)
			plan.delay_ms += draw(w, i + w->rule_room, rule->seen) % (rule->rule.amount + 1);
		else
			plan.rule = rule->rule;
		plan.faulty = plan.faulty || !delays;
	}
	return plan;
}

/* ---- what liars show ---- */

/* A copy of `len` bytes under this identity; all zero where the record ends before. */
static struct mem_record *alter(struct ps_mem_world *w, const struct mem_record *from,
                                const struct ps_pad_identity *identity, size_t len)
{
	uint8_t *bytes = ps_memory_zalloc(&w->memory, len + 1);
	if (!bytes)
		return NULL;
	memcpy(bytes, from->bytes, from->len < len ? from->len : len);
	struct mem_record *copy = mem_record_new(&w->memory, identity, bytes, len);
	ps_memory_free(&w->memory, bytes, len + 1);
	if (copy)
		copy->version = from->version;
	return copy;
}

static struct mem_record *flip(struct ps_mem_world *w, const struct mem_record *there, uint64_t bit)
{
	struct mem_record *copy = alter(w, there, &there->identity, there->len);
	if (copy && copy->len) {
		bit %= copy->len * BITS;
		copy->bytes[bit / BITS] ^= (uint8_t)(1U << bit % BITS);
	}
	return copy;
}

/* Another pad's bytes. Another world's lock is not taken under ours: its record is fetched by a call that
 * takes and gives back. */
static struct mem_record *other(struct ps_mem_world *w, const struct ps_mem_rule *rule, unsigned view,
                                const struct mem_record *there)
{
	struct ps_pad_identity identity;
	struct mem_record *found = NULL;
	size_t len = 0;
	if (!rule->source || rule->source == w) {
		const struct mem_record *here = mem_world_find(w, view, &rule->other);
		return here ? alter(w, here, there ? &there->identity : &here->identity, here->len) : NULL;
	}
	if (ps_mem_look(rule->source, 0, &rule->other, &identity, NULL, 0, &len) != PS_OK)
		return NULL;
	uint8_t *bytes = ps_memory_zalloc(&w->memory, len + 1);
	if (bytes && ps_mem_look(rule->source, 0, &rule->other, &identity, bytes, len, &len) == PS_OK)
		found = mem_record_new(&w->memory, there ? &there->identity : &identity, bytes, len);
	ps_memory_free(&w->memory, bytes, len + 1);
	return found;
}

static struct mem_record *altered(struct ps_mem_world *w, const struct ps_mem_rule *rule,
                                  const struct mem_record *there)
{
	switch (rule->fault) {
	case PS_MEM_CLAIM:
		return alter(w, there, &rule->identity, there->len);
	case PS_MEM_FLIP:
		return flip(w, there, rule->amount);
	case PS_MEM_TRUNCATE:
		return alter(w, there, &there->identity,
		             rule->amount < there->len ? (size_t)rule->amount : there->len);
	default:
		return alter(w, there, &there->identity, there->len + (size_t)rule->amount);
	}
}

int mem_show(struct ps_mem_world *w, const struct ps_mem_rule *rule, const struct ps_pad_name *name,
             unsigned view, struct mem_record *there, struct mem_record **shown)
{
	*shown = NULL;
	switch (rule->fault) {
	case PS_MEM_ABSENT:
		return PS_OK;
	case PS_MEM_OLD:
		*shown = mem_record_hold(mem_table_past(&w->tables[w->table_of[view]], name, rule->amount));
		return PS_OK;
	case PS_MEM_FROZEN:
		*shown = mem_record_hold(mem_table_find(&rule->snapshot->table, name));
		return PS_OK;
	case PS_MEM_OTHER:
		*shown = other(w, rule, view, there);
		return PS_OK;
	case PS_MEM_CLAIM:
	case PS_MEM_FLIP:
	case PS_MEM_TRUNCATE:
	case PS_MEM_EXTEND:
		*shown = there ? altered(w, rule, there) : NULL;
		return there && !*shown ? PS_ENOMEM : PS_OK;
	default:
		*shown = mem_record_hold(there);
		return PS_OK;
	}
}
