/* gc: pads on the network that this key has made and nothing names. A machine that burned left them, or a
 * write that came after its pad was given up.
 *
 * Another machine's upload is not named either, until its next head; so only that is deleted what two
 * listings of this machine show, the same version of it, at least `age` apart, and what the newest head does
 * not name after the second one either. What else that rests on, and what it does not, is in README.md. */
#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "remote/gc_internal.h"

enum { DEFAULT_AGE_S = 86400 };

/* ---- what the scan tells ---- */

static void see_listed(void *arg, const struct ps_net_listed *listed, bool named)
{
	struct gc *gc = arg;
	(void)listed;
	gc->result.listed++;
	gc->result.named += named;
}

static void sort_found(struct gc *gc);

/* Each stands there once, but a network may list them as often as it likes. */
static int add_found(struct gc *gc, const struct gc_found *found)
{
	if (gc->count == 2 * PS_GC_MOST)
		sort_found(gc);
	struct gc_found *grown =
	    ps_memory_grow(&gc->s.r->memory, gc->found, gc->count, &gc->capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	gc->found = grown;
	gc->found[gc->count++] = *found;
	return PS_OK;
}

/* Those that are known have their place in any case: else they could be crowded out for ever. */
static int find_ours(struct gc *gc, const struct ps_scan_pad *pad)
{
	const struct ps_gc_seen *seen = ps_gc_note_find(&gc->note, &pad->name, &pad->identity);
	struct gc_found found = {.name = pad->name,
	                         .identity = pad->identity,
	                         .serial = pad->plan.serial,
	                         .size = pad->size,
	                         .head = seen ? seen->head : ps_scan_head(&gc->scan)->head.counter,
	                         .first_ns = seen ? seen->first_ns : gc->latest_ns,
	                         .generation = pad->plan.generation,
	                         .class = pad->plan.class,
	                         .known = seen,
	                         .slot = pad->kind == PS_SCAN_SLOT};
	if (!seen && gc->fresh >= PS_GC_MOST - gc->note.count) {
		gc->result.left++;
		return PS_OK;
	}
	gc->fresh += !seen;
	return add_found(gc, &found);
}

/* A slot counts by its place. */
static bool counts(const struct gc *gc, const struct ps_pad_plan *plan)
{
	const struct ps_remote_slot_at *from = gc->which ? &gc->which->from : NULL;
	if (!from || plan->role != PS_ROLE_LOG)
		return true;
	return plan->epoch > from->epoch || (plan->epoch == from->epoch && plan->counter >= from->n);
}

static int see_looked(void *arg, const struct ps_scan_pad *pad)
{
	struct gc *gc = arg;
	switch (pad->kind) {
	case PS_SCAN_GONE:
		return PS_OK;
	case PS_SCAN_SLOT:
		if (!counts(gc, &pad->plan))
			return find_ours(gc, pad);
		gc->result.named++;
		return PS_OK;
	case PS_SCAN_OURS:
		break;
	case PS_SCAN_GARBAGE:
	case PS_SCAN_FOREIGN:
	case PS_SCAN_UNDECIDED:
		gc->result.foreign++;
		return PS_OK;
	}
	/* Its address may have been given away. */
	if (pad->plan.class != PS_PAD_PRIVATE) {
		gc->result.published++;
		return PS_OK;
	}
	return find_ours(gc, pad);
}

/* ---- what was found ---- */

static int compare_found(const void *a, const void *b)
{
	const struct gc_found *one = a, *other = b;
	int order = memcmp(&one->name, &other->name, sizeof(one->name));
	return order != 0 ? order : one->known - other->known;
}

/* A network may list a pad twice, and show two versions of it: then it was not still. */
static void sort_found(struct gc *gc)
{
	size_t kept = 0;
	if (gc->count > 0)
		qsort(gc->found, gc->count, sizeof(*gc->found), compare_found);
	for (size_t i = 0; i < gc->count; i++)
		if (kept == 0 || memcmp(&gc->found[kept - 1].name, &gc->found[i].name, PS_PAD_NAME) != 0)
			gc->found[kept++] = gc->found[i];
	gc->count = kept;
}

/* A clock that was set back shows less than the first time, and has to come by it again. */
static bool is_ripe(const struct gc *gc, const struct gc_found *found)
{
	return found->known && gc->now_ns >= found->first_ns &&
	       gc->now_ns - found->first_ns >= gc->options.age_s * PS_SECOND_NS;
}

static void judge_found(struct gc *gc)
{
	uint64_t next_ns = UINT64_MAX;
	for (size_t i = 0; i < gc->count; i++) {
		struct gc_found *found = &gc->found[i];
		if (found->spared)
			continue;
		found->ripe = is_ripe(gc, found);
		gc->result.unnamed++;
		gc->result.unnamed_bytes += found->size;
		gc->result.ripe += found->ripe;
		if (!found->ripe && found->first_ns < next_ns)
			next_ns = found->first_ns;
	}
	if (next_ns != UINT64_MAX)
		gc->result.next_ns = next_ns + gc->options.age_s * PS_SECOND_NS;
}

static void note_found(const struct gc *gc, struct ps_gc_note *note)
{
	for (size_t i = 0; i < gc->count; i++) {
		const struct gc_found *found = &gc->found[i];
		struct ps_gc_seen *seen = &note->seen[note->count];
		if (found->spared)
			continue;
		*seen = (struct ps_gc_seen){.head = found->head, .first_ns = found->first_ns};
		memcpy(seen->name, found->name.bytes, PS_GC_HALF);
		memcpy(seen->hash, found->identity.hash, PS_GC_HALF);
		note->count++;
	}
}

/* What was not found any more, or is named by now, is forgotten. */
static int keep_note(struct gc *gc)
{
	struct ps_gc_note note = {.latest_ns = gc->latest_ns};
	size_t bytes = gc->count * sizeof(*note.seen);
	if (bytes > 0)
		note.seen = ps_memory_alloc(&gc->s.r->memory, bytes);
	if (bytes > 0 && !note.seen)
		return ps_fail(PS_ENOMEM, "no memory for a note of %zu pads", gc->count);
	note_found(gc, &note);
	int err = ps_gc_note_keep(gc->s.r->index, &note);
	ps_memory_free(&gc->s.r->memory, note.seen, bytes);
	return err;
}

/* ---- machines that have not been heard of ---- */

/* A head of theirs since would name what they had uploaded by then. */
static bool is_silent(const struct gc *gc, const struct ps_head_machine *machine)
{
	if (memcmp(machine->id, gc->s.r->machine.id, sizeof(machine->id)) == 0)
		return false;
	for (size_t i = 0; i < gc->count; i++)
		if (gc->found[i].ripe && !gc->found[i].spared && machine->last <= gc->found[i].head)
			return true;
	return false;
}

static void find_silent(struct gc *gc)
{
	const struct ps_head *head = &ps_scan_head(&gc->scan)->head;
	char *names = gc->result.silent_machines;
	size_t used = 0, room = sizeof(gc->result.silent_machines);
	for (uint32_t i = 0; i < head->machines_count; i++) {
		if (!is_silent(gc, &head->machines[i]))
			continue;
		int len =
		    snprintf(names + used, room - used, "%s%s", used > 0 ? ", " : "", head->machines[i].name);
		used = len > 0 && (size_t)len < room - used ? used + (size_t)len : room - 1;
		gc->result.silent++;
	}
}

static int check_silent(const struct gc *gc)
{
	if (gc->result.silent == 0 || gc->options.ignore_silent)
		return PS_OK;
	return ps_fail(
	    PS_EBUSY,
	    "%u machines have written no head since these pads were first found, which may be theirs: "
	    "%s",
	    gc->result.silent, gc->result.silent_machines);
}

/* ---- the call ---- */

static int show_plan(struct gc *gc)
{
	struct ps_index_figures f;
	struct ps_remote_plan plan = {0};
	ps_index_figures(gc->s.r->index, &f);
	for (unsigned status = 0; status < PS_SLOT_STATUSES; status++)
		plan.kept_pads += f.pads[status];
	plan.requests = 2 + plan.kept_pads / 1000;
	plan.price = ps_manager_price(gc->s.r, &plan, 0, 0);
	return ps_operation_plan(&gc->s.op, &plan, 0, 0);
}

static void begin_time(struct gc *gc)
{
	const struct sync_head *base = &gc->s.base;
	gc->now_ns = ps_remote_wall_ns(gc->s.r);
	gc->latest_ns = gc->now_ns > gc->note.latest_ns ? gc->now_ns : gc->note.latest_ns;
	/* Our own clock has shown this as well. */
	if (memcmp(base->head.writer, gc->s.r->machine.id, PS_MACHINE) == 0 &&
	    base->head.time_ns > gc->latest_ns)
		gc->latest_ns = base->head.time_ns;
}

static int find_all(struct gc *gc)
{
	gc->scan = (struct ps_scan){
	    .s = &gc->s, .memory = gc->options.memory, .arg = gc, .listed = see_listed, .looked = see_looked};
	int err = ps_gc_note_load(gc->s.r->index, &gc->s.r->memory, &gc->note);
	if (err != PS_OK)
		return err;
	begin_time(gc);
	err = ps_scan_run(&gc->scan);
	if (err != PS_OK)
		return err;
	sort_found(gc);
	err = gc_spare_named(gc);
	if (err != PS_OK)
		return err;
	judge_found(gc);
	find_silent(gc);
	return keep_note(gc);
}

static int run(struct gc *gc)
{
	if (!ps_keys_can_write(gc->s.r->keys))
		return ps_fail(PS_EREADONLY, "a key that only reads cannot tell whose a pad is");
	int err = show_plan(gc);
	if (err == PS_OK)
		err = find_all(gc);
	if (err != PS_OK || !gc->options.apply || gc->result.ripe == 0)
		return err;
	err = check_silent(gc);
	return err == PS_OK ? gc_delete(gc) : err;
}

int ps_remote_gc(ps_remote *r, const struct ps_remote_gc *options, struct ps_remote_gc_result *result)
{
	return ps_remote_gc_slots(r, options, NULL, result);
}

int ps_remote_gc_slots(ps_remote *r, const struct ps_remote_gc *options, const struct ps_remote_slots *which,
                       struct ps_remote_gc_result *result)
{
	if (options && options->size != sizeof(*options))
		return ps_fail(PS_EINVAL, "ps_remote_gc: options of %zu bytes (%zu expected)", options->size,
		               sizeof(*options));
	struct gc gc = {.which = which};
	int err = sync_begin(&gc.s, r, "gc", options ? options->progress : NULL,
	                     options ? options->progress_arg : NULL);
	if (err != PS_OK)
		return err;
	if (options)
		gc.options = *options;
	if (gc.options.age_s == 0)
		gc.options.age_s = DEFAULT_AGE_S;
	if (gc.options.age_s > UINT64_MAX / 2 / PS_SECOND_NS)
		err = ps_fail(PS_EINVAL, "ps_remote_gc: an age of %llu seconds",
		              (unsigned long long)gc.options.age_s);
	(void)ps_operation_fail(&gc.s.op, err == PS_OK ? run(&gc) : err);
	if (gc.scan.s)
		ps_scan_done(&gc.scan);
	ps_gc_note_done(&gc.note);
	ps_memory_free(&r->memory, gc.found, gc.capacity * sizeof(*gc.found));
	err = sync_end(&gc.s);
	if (err == PS_OK && result)
		*result = gc.result;
	return err;
}
