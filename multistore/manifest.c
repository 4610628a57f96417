#include "multistore/manifest.h"

#include <string.h>

#include "base/fail.h"

void ps_push_manifest_init(struct ps_push_manifest *m, struct ps_memory *memory)
{
	*m = (struct ps_push_manifest){.memory = memory};
}

void ps_push_manifest_done(struct ps_push_manifest *m)
{
	if (!m->memory)
		return;
	ps_memory_free(m->memory, m->packs, m->pack_capacity * sizeof(*m->packs));
	ps_memory_free(m->memory, m->runs, m->run_capacity * sizeof(*m->runs));
	ps_memory_free(m->memory, m->states, m->state_capacity * sizeof(*m->states));
	ps_push_manifest_init(m, m->memory);
}

/* capacity: as many as there are. */
static bool copy_list(struct ps_memory *memory, const void *from, size_t count, size_t size, void **to)
{
	*to = count ? ps_memory_alloc(memory, count * size) : NULL;
	if (*to)
		memcpy(*to, from, count * size);
	return *to || count == 0;
}

int ps_push_manifest_copy(const struct ps_push_manifest *m, struct ps_push_manifest *copy)
{
	struct ps_memory *memory = copy->memory;
	void *packs = NULL, *runs = NULL, *states = NULL;
	bool all = copy_list(memory, m->packs, m->pack_count, sizeof(*m->packs), &packs) &&
	           copy_list(memory, m->runs, m->run_count, sizeof(*m->runs), &runs) &&
	           copy_list(memory, m->states, m->state_count, sizeof(*m->states), &states);
	*copy = *m;
	copy->memory = memory;
	copy->packs = packs;
	copy->runs = runs;
	copy->states = states;
	copy->pack_capacity = packs ? m->pack_count : 0;
	copy->run_capacity = runs ? m->run_count : 0;
	copy->state_capacity = states ? m->state_count : 0;
	if (all)
		return PS_OK;
	ps_push_manifest_done(copy);
	return ps_fail(PS_ENOMEM, "no memory for a manifest of %u packs", m->pack_count);
}

const struct ps_push_manifest_state *ps_push_manifest_newest(const struct ps_push_manifest *m)
{
	return m->state_count ? &m->states[0] : NULL;
}

uint32_t ps_push_manifest_find_pack(const struct ps_push_manifest_run *run,
                                    const struct ps_push_manifest_pack *packs, ps_id id)
{
	uint32_t from = 0, to = run->packs;
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		if (ps_slot_of(packs[middle].last) < ps_slot_of(id))
			from = middle + 1;
		else
			to = middle;
	}
	return from < run->packs && ps_slot_of(packs[from].first) <= ps_slot_of(id) ? from : run->packs;
}

/* ---- adding ---- */

int ps_push_manifest_add_pack(struct ps_push_manifest *m, const struct ps_push_manifest_pack *pack)
{
	if (m->pack_count == UINT32_MAX)
		return ps_fail(PS_ERANGE, "a manifest has %u packs already", m->pack_count);
	struct ps_push_manifest_pack *grown =
	    ps_memory_grow(m->memory, m->packs, m->pack_count, &m->pack_capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	m->packs = grown;
	m->packs[m->pack_count++] = *pack;
	return PS_OK;
}

int ps_push_manifest_add_run(struct ps_push_manifest *m, const struct ps_push_manifest_run *run)
{
	if (m->run_count == PS_PUSH_MANIFEST_RUNS_MAX)
		return ps_fail(PS_ERANGE, "a manifest has %d runs already: keep fewer states",
		               PS_PUSH_MANIFEST_RUNS_MAX);
	struct ps_push_manifest_run *grown =
	    ps_memory_grow(m->memory, m->runs, m->run_count, &m->run_capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	m->runs = grown;
	m->runs[m->run_count++] = *run;
	return PS_OK;
}

int ps_push_manifest_add_state(struct ps_push_manifest *m, const struct ps_push_manifest_state *state)
{
	if (m->state_count == PS_PUSH_MANIFEST_STATES_MAX)
		return ps_fail(PS_ERANGE, "a manifest has %d states already", PS_PUSH_MANIFEST_STATES_MAX);
	struct ps_push_manifest_state *grown =
	    ps_memory_grow(m->memory, m->states, m->state_count, &m->state_capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	m->states = grown;
	m->states[m->state_count++] = *state;
	return PS_OK;
}

/* ---- the next one ---- */

/* The run with its packs. */
static int add_whole_run(struct ps_push_manifest *m, const struct ps_push_manifest_run *run,
                         const struct ps_push_manifest_pack *packs)
{
	struct ps_push_manifest_run added = *run;
	added.first_pack = m->pack_count;
	int err = PS_OK;
	for (uint32_t i = 0; i < run->packs && !err; i++)
		err = ps_push_manifest_add_pack(m, &packs[i]);
	return err ? err : ps_push_manifest_add_run(m, &added);
}

static uint32_t kept_states(const struct ps_push_manifest *old, uint32_t history)
{
	uint32_t most = history < PS_PUSH_MANIFEST_STATES_MAX - 1 ? history : PS_PUSH_MANIFEST_STATES_MAX - 1;
	return old->state_count < most ? old->state_count : most;
}

static void mark_needed(const struct ps_push_manifest *old, const struct ps_push_manifest_next *next,
                        bool *needed)
{
	for (uint32_t i = 0; i < next->keep; i++)
		needed[old->states[0].run[i]] = true;
	for (uint32_t s = 0; s < kept_states(old, next->history); s++)
		for (uint32_t i = 0; i < old->states[s].runs; i++)
			needed[old->states[s].run[i]] = true;
}

/* Runs keep their order, so that what does not change of a long manifest does not move in it. */
static int copy_runs(const struct ps_push_manifest *old, const struct ps_push_manifest_next *next,
                     uint32_t *number, struct ps_push_manifest *m)
{
	bool needed[PS_PUSH_MANIFEST_RUNS_MAX] = {false};
	int err = PS_OK;
	mark_needed(old, next, needed);
	for (uint32_t i = 0; i < old->run_count && !err; i++) {
		const struct ps_push_manifest_run *run = &old->runs[i];
		number[i] = m->run_count;
		if (needed[i])
			err = add_whole_run(m, run, ps_push_manifest_packs(old, run));
	}
	return err ? err : add_whole_run(m, &next->run, next->packs);
}

static int add_states(const struct ps_push_manifest *old, const struct ps_push_manifest_next *next,
                      const uint32_t *number, struct ps_push_manifest *m)
{
	struct ps_push_manifest_state state = next->state;
	for (uint32_t i = 0; i < next->keep; i++)
		state.run[i] = number[old->states[0].run[i]];
	state.run[next->keep] = m->run_count - 1;
	state.runs = next->keep + 1;
	int err = ps_push_manifest_add_state(m, &state);
	for (uint32_t s = 0; s < kept_states(old, next->history) && !err; s++) {
		state = old->states[s];
		for (uint32_t i = 0; i < state.runs; i++)
			state.run[i] = number[state.run[i]];
		err = ps_push_manifest_add_state(m, &state);
	}
	return err;
}

int ps_push_manifest_make(const struct ps_push_manifest *old, const struct ps_push_manifest_next *next,
                          struct ps_push_manifest *m)
{
	uint32_t number[PS_PUSH_MANIFEST_RUNS_MAX];
	if (next->keep >= PS_STATE_RUNS_MAX)
		return ps_fail(PS_ERANGE, "a state of more than %d runs", PS_STATE_RUNS_MAX);
	m->log = next->log;
	m->hold = next->hold;
	int err = copy_runs(old, next, number, m);
	return err ? err : add_states(old, next, number, m);
}
