#include "remote/head.h"

#include <string.h>

#include "base/fail.h"

void ps_head_init(struct ps_head *head, struct ps_memory *memory)
{
	memset(head, 0, sizeof(*head));
	head->memory = memory;
}

static void drop_runs(struct ps_head *head, uint32_t from)
{
	for (uint32_t i = from; i < head->runs_count; i++)
		ps_slots_done(&head->runs[i].pads, head->memory);
	ps_memory_free(head->memory, head->runs, head->runs_count * sizeof(*head->runs));
	head->runs = NULL;
	head->runs_count = 0;
}

int ps_head_cut_runs(struct ps_head *head, uint32_t from)
{
	if (from >= head->runs_count)
		return PS_OK;
	struct ps_head_run *kept = NULL;
	if (from > 0) {
		kept = ps_memory_alloc(head->memory, from * sizeof(*kept));
		if (!kept)
			return ps_fail(PS_ENOMEM, "no memory for a head's runs");
		memcpy(kept, head->runs, from * sizeof(*kept));
	}
	drop_runs(head, from);
	head->runs = kept;
	head->runs_count = from;
	return PS_OK;
}

void ps_head_done(struct ps_head *head)
{
	if (!head->memory)
		return;
	drop_runs(head, 0);
	ps_memory_free(head->memory, head->machines, head->machines_count * sizeof(*head->machines));
	ps_head_init(head, head->memory);
}

static int too_many(const char *what)
{
	return ps_fail(PS_ERANGE, "a head has no room for one more %s", what);
}

int ps_head_add_run(struct ps_head *head, const struct ps_head_run *run)
{
	if (head->runs_count >= PS_HEAD_RUNS_MAX)
		return too_many("run");
	struct ps_slots pads = {0};
	int err = ps_slots_add(&pads, head->memory, run->pads.slots, run->pads.count);
	if (err != PS_OK)
		return err;
	struct ps_head_run *grown =
	    ps_memory_resize(head->memory, head->runs, head->runs_count * sizeof(*grown),
	                     (head->runs_count + 1) * sizeof(*grown));
	if (!grown) {
		ps_slots_done(&pads, head->memory);
		return ps_fail(PS_ENOMEM, "no memory for a head's runs");
	}
	head->runs = grown;
	grown[head->runs_count] = *run;
	grown[head->runs_count].pads = pads;
	head->runs_count++;
	return PS_OK;
}

static int add_machine(struct ps_head *head, const struct ps_head_machine *machine)
{
	if (head->machines_count >= PS_HEAD_MACHINES_MAX)
		return too_many("machine");
	struct ps_head_machine *grown =
	    ps_memory_resize(head->memory, head->machines, head->machines_count * sizeof(*grown),
	                     (head->machines_count + 1) * sizeof(*grown));
	if (!grown)
		return ps_fail(PS_ENOMEM, "no memory for a head's machines");
	head->machines = grown;
	grown[head->machines_count++] = *machine;
	return PS_OK;
}

int ps_head_copy(struct ps_head *to, const struct ps_head *from)
{
	*to = *from;
	to->machines = NULL;
	to->runs = NULL;
	to->machines_count = to->runs_count = 0;
	int err = PS_OK;
	for (uint32_t i = 0; i < from->machines_count && err == PS_OK; i++)
		err = add_machine(to, &from->machines[i]);
	for (uint32_t i = 0; i < from->runs_count && err == PS_OK; i++)
		err = ps_head_add_run(to, &from->runs[i]);
	if (err != PS_OK)
		ps_head_done(to);
	return err;
}

static struct ps_head_machine *find_machine(const struct ps_head *head, const uint8_t id[PS_MACHINE])
{
	for (uint32_t i = 0; i < head->machines_count; i++)
		if (memcmp(head->machines[i].id, id, PS_MACHINE) == 0)
			return &head->machines[i];
	return NULL;
}

const struct ps_head_machine *ps_head_machine(const struct ps_head *head, const uint8_t id[PS_MACHINE])
{
	return find_machine(head, id);
}

uint64_t ps_head_settled(const struct ps_head *head)
{
	uint64_t settled = head->counter;
	for (uint32_t i = 0; i < head->machines_count; i++)
		if (head->machines[i].last < settled)
			settled = head->machines[i].last;
	return settled;
}

int ps_head_drop_machine(struct ps_head *head, uint32_t place)
{
	uint32_t count = head->machines_count;
	struct ps_head_machine *kept = ps_memory_alloc(head->memory, (count - 1) * sizeof(*kept));
	assert(place < count && count > 1);
	if (!kept)
		return ps_fail(PS_ENOMEM, "no memory for a head's machines");
	memcpy(kept, head->machines, place * sizeof(*kept));
	memcpy(kept + place, head->machines + place + 1, (count - 1 - place) * sizeof(*kept));
	ps_memory_free(head->memory, head->machines, count * sizeof(*kept));
	head->machines = kept;
	head->machines_count = count - 1;
	if (head->machines_count == 1)
		head->alone = head->counter;
	return PS_OK;
}

bool ps_head_only(const struct ps_head *head, const uint8_t machine[PS_MACHINE])
{
	return head->machines_count == 1 && find_machine(head, machine);
}

/* The one that was alone when it wrote last; NULL: it has written since it heard of the others, or is not
 * listed. */
static const struct ps_head_machine *unaware(const struct ps_head *head)
{
	for (uint32_t i = 0; i < head->machines_count; i++)
		if (head->machines[i].last == head->alone)
			return &head->machines[i];
	return NULL;
}

uint64_t ps_head_kept(const struct ps_head *head, const uint8_t machine[PS_MACHINE])
{
	const struct ps_head_machine *one = unaware(head);
	bool others = head->machines_count > 1;
	return one && others && memcmp(one->id, machine, PS_MACHINE) == 0 ? head->alone : 0;
}

uint64_t ps_head_left(const struct ps_head *head, const uint8_t machine[PS_MACHINE])
{
	const struct ps_head_machine *one = unaware(head);
	return one && memcmp(one->id, machine, PS_MACHINE) != 0 ? head->alone : 0;
}

int ps_head_next(const struct ps_head *parent, const uint8_t parent_hash[32],
                 const uint8_t machine[PS_MACHINE], const char *machine_name, uint64_t time_ns,
                 struct ps_head *next)
{
	struct ps_head made;
	if (parent->counter >= UINT64_MAX - 1)
		return ps_fail(PS_ERANGE, "the head's counter is used up");
	int err = ps_head_copy(&made, parent);
	if (err != PS_OK)
		return err;
	made.counter++;
	made.time_ns = time_ns;
	memcpy(made.writer, machine, PS_MACHINE);
	if (made.pairs_count == PS_HEAD_PAIRS)
		memmove(made.pairs, made.pairs + 1, --made.pairs_count * sizeof(made.pairs[0]));
	struct ps_head_pair *pair = &made.pairs[made.pairs_count++];
	pair->counter = parent->counter;
	memcpy(pair->hash, parent_hash, sizeof(pair->hash));
	struct ps_head_machine self = {.last = made.counter}, *known = find_machine(&made, machine);
	memcpy(self.id, machine, PS_MACHINE);
	memcpy(self.name, machine_name, strnlen(machine_name, sizeof(self.name) - 1));
	if (known)
		*known = self;
	else
		err = add_machine(&made, &self);
	if (made.machines_count == 1)
		made.alone = made.counter;
	if (err == PS_OK)
		*next = made;
	else
		ps_head_done(&made);
	return err;
}

/* ---- what a head may be ---- */

static int impossible(const char *what)
{
	return ps_fail(PS_ECORRUPT, "a head %s", what);
}

static int check_machines(const struct ps_head *head)
{
	bool writer = false;
	for (uint32_t i = 0; i < head->machines_count; i++) {
		const struct ps_head_machine *m = &head->machines[i];
		if (m->last == 0 || m->last > head->counter || ps_all_zero(m->id, PS_MACHINE) ||
		    m->name[sizeof(m->name) - 1] != '\0' || find_machine(head, m->id) != m)
			return impossible("lists an impossible machine");
		writer |= memcmp(m->id, head->writer, PS_MACHINE) == 0 && m->last == head->counter;
	}
	return writer ? PS_OK : impossible("does not list the machine that wrote it");
}

static int check_runs(const struct ps_head *head)
{
	uint64_t pads = 0, before = 0;
	for (uint32_t i = 0; i < head->runs_count; i++) {
		const struct ps_head_run *run = &head->runs[i];
		pads += run->pads.count;
		if (run->pads.count == 0 || pads > PS_HEAD_PADS_MAX || run->head > head->counter ||
		    run->head <= before || ps_all_zero(run->id, PS_RUN_ID) || (run->base && i > 0))
			return impossible("lists an impossible run");
		before = run->head;
		for (uint32_t p = 0; p < run->pads.count; p++)
			if (run->pads.slots[p].class != PS_PAD_PRIVATE ||
			    !ps_slot_sealed(&run->pads.slots[p]) ||
			    ps_slot_check(&run->pads.slots[p]) != PS_OK)
				return impossible("lists an impossible pad");
	}
	return PS_OK;
}

int ps_head_check(const struct ps_head *head)
{
	size_t store_len = strnlen(head->store, sizeof(head->store));
	if (head->counter == 0 || head->counter == UINT64_MAX || store_len == 0 || store_len > 255 ||
	    head->horizon > head->counter || ps_all_zero(head->network, sizeof(head->network)) ||
	    head->alone > head->counter || (head->machines_count == 1) != (head->alone == head->counter))
		return impossible("has an impossible counter, horizon, network, store or machine");
	/* All counters from the oldest listed to its own, none missing: what is not listed in between is
	 * another history. */
	uint64_t first = head->counter - head->pairs_count;
	if (head->pairs_count > PS_HEAD_PAIRS || head->pairs_count >= head->counter ||
	    (head->pairs_count < PS_HEAD_PAIRS && first != 1))
		return impossible("has more or fewer ancestors than it can");
	for (uint32_t i = 0; i < head->pairs_count; i++)
		if (head->pairs[i].counter != first + i || ps_all_zero(head->pairs[i].hash, 32))
			return impossible("has ancestors out of order");
	int err = check_machines(head);
	return err != PS_OK ? err : check_runs(head);
}
