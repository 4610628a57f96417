#include "tests/remote/merge_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- shelves ---- */

static struct ps_record *find(struct shelf *shelf, const char *name, size_t name_len)
{
	for (size_t i = 0; i < shelf->count; i++)
		if (ps_name_compare(shelf->records[i].name, shelf->records[i].name_len, name, name_len) == 0)
			return &shelf->records[i];
	return NULL;
}

static void shelf_clear(struct shelf *shelf)
{
	for (size_t i = 0; i < shelf->count; i++)
		ps_record_done(&shelf->records[i]);
	free(shelf->records);
	*shelf = (struct shelf){0};
}

/* In place of the one of its name; takes the record. */
static void shelf_put(struct shelf *shelf, struct ps_record *record)
{
	struct ps_record *there = find(shelf, record->name, record->name_len);
	ok(ps_record_check(record));
	if (there) {
		ps_record_done(there);
	} else {
		assert_in_range(shelf->count, 0, WORLD_RECORDS - 1);
		shelf->records = realloc(shelf->records, (shelf->count + 1) * sizeof(*there));
		assert_non_null(shelf->records);
		there = &shelf->records[shelf->count++];
	}
	ps_record_move(there, record);
}

static void shelf_drop(struct shelf *shelf, const char *name, size_t name_len)
{
	struct ps_record *there = find(shelf, name, name_len);
	assert_non_null(there);
	ps_record_done(there);
	*there = shelf->records[--shelf->count];
}

static void put_copy(struct shelf *shelf, const struct ps_record *record)
{
	struct ps_record copy;
	ok(ps_record_copy(&copy, record));
	shelf_put(shelf, &copy);
}

/* ---- pads ---- */

/* By one machine, and once: two would use it for two things. */
static void set_free(struct world *w, struct ps_slots *slots)
{
	for (uint32_t i = 0; i < slots->count; i++) {
		if (ps_serial_set_has(&w->freed, &slots->slots[i].serial))
			fail_msg("a pad was let go twice");
		ok(ps_serial_set_add(&w->freed, &slots->slots[i].serial));
	}
	ps_slots_done(slots, &w->memory);
}

/* ---- the machines' own changes ---- */

static unsigned content_of(const struct ps_record *record)
{
	return record->content.hash[0] | (unsigned)record->content.hash[1] << 8;
}

static void supersede(struct world *w, const struct ps_record *record)
{
	if (ps_record_has_contents(record))
		w->superseded[content_of(record)] = true;
}

static struct ps_version next_version(const struct ps_record *record, unsigned m)
{
	return version_of(record->version.counter + 1, (uint8_t)(m + 1));
}

static void do_write(struct world *w, unsigned m, const char *name)
{
	struct ps_record record, *there = find(&w->machines[m].shelf, name, strlen(name));
	struct ps_slots let_go = {0};
	if (w->contents + 1 >= WORLD_CONTENTS)
		return;
	unsigned content = ++w->contents;
	if (there)
		ok(ps_record_copy(&record, there));
	else
		ok(ps_record_init(&record, &w->memory, PS_RECORD_BLOB, name, strlen(name)));
	supersede(w, &record);
	w->wrote_to[content] = name[0];
	struct ps_pad_slot slot = pad_of(&w->dice, PS_SLOT_CONFIRMED);
	struct ps_version version = next_version(&record, m);
	record.flags |= PS_RECORD_UPDATING;
	record.next = (struct ps_content){.size = 9, .mode = PS_PAD_MEDIUM};
	record.next.hash[0] = (uint8_t)content;
	record.next.hash[1] = (uint8_t)(content >> 8);
	ok(ps_record_set_slots(&record, PS_SET_NEXT, &slot, 1));
	ok(ps_record_switch(&record, &version, 1, &let_go));
	set_free(w, &let_go);
	shelf_put(&w->machines[m].shelf, &record);
}

static void do_remove(struct world *w, unsigned m, const char *name)
{
	struct ps_record *there = find(&w->machines[m].shelf, name, strlen(name));
	struct ps_slots let_go = {0};
	if (!there || !ps_record_has_contents(there))
		return;
	supersede(w, there);
	struct ps_version version = next_version(there, m);
	ok(ps_record_bury(there, &version, 1, &let_go));
	set_free(w, &let_go);
}

/* ---- sync ---- */

static const char *machine_name(void *arg, const uint8_t machine[PS_MACHINE])
{
	static const char *const names[] = {"ada", "bo", "cy", "di"};
	(void)arg;
	return machine[0] >= 1 && machine[0] <= 4 ? names[machine[0] - 1] : NULL;
}

struct names {
	struct world *w;
	unsigned machine;
};

static int exists(void *arg, const char *name, size_t name_len, bool *found)
{
	struct names *n = arg;
	*found = find(&n->w->machines[n->machine].shelf, name, name_len) != NULL;
	for (size_t i = 0; i < n->w->runs_count; i++)
		*found |= find(&n->w->runs[i], name, name_len) != NULL;
	return PS_OK;
}

static struct ps_merge_context context_of(struct world *w, unsigned m, struct names *names)
{
	struct ps_merge_context context = {
	    .memory = &w->memory, .arg = names, .machine_name = machine_name, .exists = exists};
	*names = (struct names){w, m};
	memset(context.machine, (int)(m + 1), PS_MACHINE);
	return context;
}

static void apply(struct world *w, struct shelf *shelf, struct ps_merge_result *result, const char *name,
                  size_t len)
{
	if (result->decision == PS_MERGE_VANISH)
		shelf_drop(shelf, name, len);
	if (result->put)
		shelf_put(shelf, &result->record);
	if (result->has_copy)
		shelf_put(shelf, &result->copy);
	set_free(w, &result->let_go);
	ps_merge_result_done(result, &w->memory);
}

/* The newest of each name. */
static void whole_index(struct world *w, struct shelf *all)
{
	for (size_t i = 0; i < w->runs_count; i++)
		for (size_t r = 0; r < w->runs[i].count; r++)
			put_copy(all, &w->runs[i].records[r]);
}

static void take_absent(struct world *w, unsigned m, struct shelf *all,
                        const struct ps_merge_context *context)
{
	struct shelf *shelf = &w->machines[m].shelf;
	for (size_t i = 0; i < shelf->count;) {
		struct ps_record mine;
		struct ps_merge_result result;
		size_t before = shelf->count;
		ok(ps_record_copy(&mine, &shelf->records[i]));
		if (!find(all, mine.name, mine.name_len)) {
			ok(ps_merge_absent(context, &mine, &result));
			apply(w, shelf, &result, mine.name, mine.name_len);
		}
		ps_record_done(&mine);
		i += shelf->count == before;
	}
}

static void settle_sent(struct world *w, unsigned m, bool applied)
{
	struct world_machine *machine = &w->machines[m];
	struct ps_slots let_go = {0};
	for (size_t i = 0; i < machine->sent.count; i++) {
		struct ps_record *sent = &machine->sent.records[i];
		struct ps_record *mine = find(&machine->shelf, sent->name, sent->name_len);
		assert_non_null(mine);
		ok(applied ? ps_record_settle(mine, machine->intent, &let_go)
		           : ps_record_unsend(mine, &let_go));
		ok(ps_record_check(mine));
		set_free(w, &let_go);
	}
	if (applied)
		machine->synced = machine->written = machine->intent;
	machine->intent = 0;
	shelf_clear(&machine->sent);
}

/* Before anything is merged: was the head whose outcome is open written? The pairs of the head there tell. */
static void resolve_intent(struct world *w, unsigned m)
{
	struct world_machine *machine = &w->machines[m];
	if (machine->intent == 0)
		return;
	settle_sent(w, m, machine->intent <= w->head && w->writer[machine->intent] == m + 1);
}

/* Copies of what the newer head no longer has under its name. */
static void drop_borrowed(struct world *w, unsigned m, struct shelf *all,
                          const struct ps_merge_context *context)
{
	struct shelf *shelf = &w->machines[m].shelf;
	for (size_t i = 0; i < shelf->count;) {
		struct ps_record mine;
		struct ps_merge_result result;
		size_t before = shelf->count;
		ok(ps_record_copy(&mine, &shelf->records[i]));
		struct ps_record *origin = mine.origin_len > 0 ? find(all, mine.name, mine.origin_len) : NULL;
		if (mine.origin_len > 0 && (!origin || origin->published > w->machines[m].synced)) {
			ok(ps_merge_borrowed(context, &mine, &result));
			apply(w, shelf, &result, mine.name, mine.name_len);
		}
		ps_record_done(&mine);
		i += shelf->count == before;
	}
}

static void fetch_and_merge(struct world *w, unsigned m)
{
	static struct shelf all;
	struct world_machine *machine = &w->machines[m];
	struct names names;
	struct ps_merge_context context = context_of(w, m, &names);
	resolve_intent(w, m);
	whole_index(w, &all);
	drop_borrowed(w, m, &all, &context);
	for (size_t i = 0; i < all.count; i++) {
		struct ps_record *theirs = &all.records[i];
		struct ps_record *mine = find(&machine->shelf, theirs->name, theirs->name_len);
		struct ps_merge_result result;
		if (theirs->published <= machine->synced)
			continue;
		ok(ps_merge_record(&context, mine, theirs, &result));
		apply(w, &machine->shelf, &result, theirs->name, theirs->name_len);
	}
	if (machine->synced < w->horizon)
		take_absent(w, m, &all, &context);
	machine->synced = w->head;
	shelf_clear(&all);
}

/* As it comes back from the bytes that travel. */
static void travel(struct world *w, const struct ps_record *record, uint64_t head, struct shelf *run)
{
	struct ps_record wire;
	size_t len = ps_record_wire_bytes(record);
	uint8_t *bytes = malloc(len);
	assert_non_null(bytes);
	ps_record_encode_wire(record, head, bytes);
	ok(ps_record_decode_wire(bytes, len, &w->memory, &wire));
	free(bytes);
	shelf_put(run, &wire);
}

static uint64_t settled(const struct world *w)
{
	uint64_t least = w->head;
	for (unsigned m = 0; m < w->machines_count; m++)
		if (w->last[m] > 0 && w->last[m] < least)
			least = w->last[m];
	return least;
}

/* All runs become the base; what all listed machines have seen removed is dropped. */
static void merge_runs(struct world *w)
{
	static struct shelf all;
	uint64_t below = settled(w);
	whole_index(w, &all);
	for (size_t i = 0; i < w->runs_count; i++)
		shelf_clear(&w->runs[i]);
	for (size_t i = 0; i < all.count; i++)
		if (!(all.records[i].flags & PS_RECORD_TOMBSTONE) || all.records[i].published >= below)
			put_copy(&w->runs[0], &all.records[i]);
	w->runs_count = 1;
	w->run_heads[0] = w->head;
	w->horizon = below;
	shelf_clear(&all);
}

/* CAS: false if the head is another than the one merged. `learns`: the answer comes back. */
static bool push(struct world *w, unsigned m, bool arrives, bool learns)
{
	struct world_machine *machine = &w->machines[m];
	resolve_intent(w, m);
	if (w->head != machine->synced || w->runs_count >= WORLD_RUNS - 1)
		return false;
	uint64_t head = machine->synced + 1;
	for (size_t i = 0; i < machine->shelf.count; i++) {
		struct ps_record *record = &machine->shelf.records[i];
		if (!(record->flags & PS_RECORD_DIRTY))
			continue;
		ok(ps_record_mark_sent(record));
		travel(w, record, head, &machine->sent);
	}
	machine->intent = head;
	if (!arrives)
		return true;
	for (size_t i = 0; i < machine->sent.count; i++)
		put_copy(&w->runs[w->runs_count], &machine->sent.records[i]);
	w->run_heads[w->runs_count++] = head;
	w->head = head;
	w->writer[head] = (uint8_t)(m + 1);
	w->last[m] = head;
	if (roll_below(&w->dice, 4) == 0)
		merge_runs(w);
	if (learns)
		settle_sent(w, m, true);
	return true;
}

static void drop_old_tombstones(struct world *w, unsigned m)
{
	struct shelf *shelf = &w->machines[m].shelf;
	for (size_t i = 0; i < shelf->count;) {
		struct ps_record *r = &shelf->records[i];
		if ((r->flags & PS_RECORD_TOMBSTONE) && !(r->flags & PS_RECORD_DIRTY) &&
		    r->published < w->horizon)
			shelf_drop(shelf, r->name, r->name_len);
		else
			i++;
	}
}

/* ---- histories ---- */

void world_step(struct world *w)
{
	unsigned m = (unsigned)roll_below(&w->dice, w->machines_count);
	char name[PS_RECORD_NAME_MAX + 1] = {(char)('a' + roll_below(&w->dice, WORLD_KEYS)), '\0'};
	struct shelf *shelf = &w->machines[m].shelf;
	/* Conflict copies are written to and removed as well. */
	if (shelf->count > 0 && roll_below(&w->dice, 4) == 0)
		(void)strcpy(name, shelf->records[roll_below(&w->dice, shelf->count)].name);
	switch (roll_below(&w->dice, 10)) {
	case 0:
	case 1:
	case 2:
	case 3:
		do_write(w, m, name);
		break;
	case 4:
	case 5:
		do_remove(w, m, name);
		break;
	case 6:
		fetch_and_merge(w, m); /* and dies before it writes */
		break;
	case 7:
		(void)push(w, m, roll_below(&w->dice, 2), false); /* and never hears of it */
		break;
	default:
		fetch_and_merge(w, m);
		(void)push(w, m, true, roll_below(&w->dice, 5) > 0);
		if (w->head == w->machines[m].synced)
			drop_old_tombstones(w, m);
		break;
	}
}

static bool any_dirty(struct world *w)
{
	for (unsigned m = 0; m < w->machines_count; m++)
		for (size_t i = 0; i < w->machines[m].shelf.count; i++)
			if (w->machines[m].shelf.records[i].flags & PS_RECORD_DIRTY)
				return true;
	return false;
}

/* What is live on this machine is on the other, the same version of it. */
static void same_blobs(struct shelf *one, struct shelf *other)
{
	for (size_t i = 0; i < one->count; i++) {
		struct ps_record *r = &one->records[i], *o = find(other, r->name, r->name_len);
		bool live = ps_record_has_contents(r), live_there = o && ps_record_has_contents(o);
		if (live != live_there || (live && ps_version_compare(&r->version, &o->version) != 0))
			fail_msg("\"%s\" is not the same on two machines", r->name);
		if (live)
			assert_int_equal(content_of(r), content_of(o));
	}
}

/* Under its name, or, unless that alone is asked for, as a conflict copy. */
static bool survives(struct shelf *shelf, unsigned content, char key, bool only_there)
{
	for (size_t i = 0; i < shelf->count; i++) {
		const struct ps_record *r = &shelf->records[i];
		if (ps_record_has_contents(r) && content_of(r) == content && r->name[0] == key &&
		    (!only_there || r->name_len == 1))
			return true;
	}
	return false;
}

/* Each pad is in use, once, or was let go, once. */
static void check_pads(struct world *w)
{
	struct shelf *shelf = &w->machines[0].shelf;
	size_t live = 0;
	for (size_t i = 0; i < shelf->count; i++) {
		struct ps_record *r = &shelf->records[i];
		assert_int_equal(r->sets[PS_SET_BASE].count, 0);
		for (uint32_t p = 0; p < r->sets[PS_SET_CURRENT].count; p++, live++)
			if (ps_serial_set_has(&w->freed, &r->sets[PS_SET_CURRENT].slots[p].serial))
				fail_msg("a pad of \"%s\" was let go", r->name);
	}
	if (live + w->freed.count != w->contents)
		fail_msg("of %u pads %zu are in use and %zu let go", w->contents, live, w->freed.count);
}

void world_settle_and_check(struct world *w)
{
	for (unsigned round = 0; round < 20 && (round < 3 || any_dirty(w)); round++) {
		for (unsigned m = 0; m < w->machines_count; m++) {
			fetch_and_merge(w, m);
			assert_true(push(w, m, true, true));
		}
	}
	assert_false(any_dirty(w));
	for (unsigned m = 0; m < w->machines_count; m++)
		fetch_and_merge(w, m);
	for (unsigned m = 1; m < w->machines_count; m++) {
		same_blobs(&w->machines[0].shelf, &w->machines[m].shelf);
		same_blobs(&w->machines[m].shelf, &w->machines[0].shelf);
	}
	for (unsigned content = 1; content <= w->contents; content++) {
		struct shelf *shelf = &w->machines[0].shelf;
		char key = w->wrote_to[content];
		if (!w->superseded[content] && !survives(shelf, content, key, false))
			fail_msg("content %u, written to \"%c\", was lost", content, key);
		/* As a copy it may be there still, if it was one before somebody replaced it elsewhere. */
		if (w->superseded[content] && survives(shelf, content, key, true))
			fail_msg("content %u came to life again under \"%c\"", content, key);
	}
	check_pads(w);
}

struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	ps_memory_init(&w->memory, NULL);
	w->dice.state = seed;
	ps_serial_set_init(&w->freed, &w->memory);
	w->machines_count = 2 + (unsigned)roll_below(&w->dice, WORLD_MACHINES - 1);
	return w;
}

void world_free(struct world *w)
{
	for (unsigned m = 0; m < WORLD_MACHINES; m++) {
		shelf_clear(&w->machines[m].shelf);
		shelf_clear(&w->machines[m].sent);
	}
	for (size_t i = 0; i < WORLD_RUNS; i++)
		shelf_clear(&w->runs[i]);
	ps_serial_set_done(&w->freed);
	assert_int_equal(atomic_load(&w->memory.used), 0);
	ps_memory_done(&w->memory);
	free(w);
}
