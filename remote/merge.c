#include "remote/merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "remote/serial_set.h"

enum { TAIL_MAX = 128 }; /* bytes of " (conflict MACHINE N) n" */

void ps_merge_result_done(struct ps_merge_result *result, struct ps_memory *memory)
{
	if (result->put)
		ps_record_done(&result->record);
	if (result->has_copy)
		ps_record_done(&result->copy);
	ps_slots_done(&result->let_go, memory);
	*result = (struct ps_merge_result){0};
}

/* ---- names of copies ---- */

/* Back to the beginning of a character, if the text is UTF-8. */
static size_t cut(const char *name, size_t len, size_t most)
{
	if (len <= most)
		return len;
	while (most > 1 && ((uint8_t)name[most] & 0xc0) == 0x80)
		most--;
	return most;
}

int ps_conflict_name(const struct ps_merge_context *context, const struct ps_record *loser,
                     char name[PS_RECORD_NAME_MAX + 1], size_t *name_len)
{
	char who[40], tail[TAIL_MAX];
	const char *known = context->machine_name(context->arg, loser->version.machine);
	(void)snprintf(who, sizeof(who), "%s", known && *known ? known : "unknown");
	for (unsigned n = 1; n < 100000; n++) {
		int tail_len =
		    snprintf(tail, sizeof(tail), " (conflict %s %" PRIu64 ")", who, loser->version.counter);
		if (n > 1)
			tail_len += snprintf(tail + tail_len, sizeof(tail) - (size_t)tail_len, " %u", n);
		size_t len = cut(loser->name, loser->name_len, PS_RECORD_NAME_MAX - (size_t)tail_len);
		bool taken = true;
		memcpy(name, loser->name, len);
		memcpy(name + len, tail, (size_t)tail_len + 1);
		*name_len = len + (size_t)tail_len;
		int err = context->exists(context->arg, name, *name_len, &taken);
		if (err != PS_OK || !taken)
			return err;
	}
	return ps_fail(PS_EEXIST, "there are too many conflict copies of \"%.64s\"", loser->name);
}

/* ---- parts of decisions ---- */

static void drop_sets(struct ps_record *record, bool current, bool next, bool base)
{
	const bool drop[PS_SETS] = {[PS_SET_CURRENT] = current, [PS_SET_NEXT] = next, [PS_SET_BASE] = base};
	for (unsigned set = 0; set < PS_SETS; set++)
		if (drop[set])
			ps_slots_done(&record->sets[set], record->memory);
	if (next) {
		record->next = (struct ps_content){0};
		record->flags &= (uint16_t)~PS_RECORD_UPDATING;
	}
}

/* Theirs under the name; an update in progress here goes on upon it. */
static int adopt(const struct ps_record *mine, const struct ps_record *theirs, struct ps_merge_result *result)
{
	int err = ps_record_copy(&result->record, theirs);
	if (err != PS_OK)
		return err;
	result->put = true;
	if (!mine || !(mine->flags & PS_RECORD_UPDATING))
		return PS_OK;
	result->record.flags |= PS_RECORD_UPDATING;
	result->record.next = mine->next;
	return ps_record_set_slots(&result->record, PS_SET_NEXT, mine->sets[PS_SET_NEXT].slots,
	                           mine->sets[PS_SET_NEXT].count);
}

/* Ours under the name, based on theirs now. The pads of the old base were theirs to free. */
static int keep(const struct ps_record *mine, const struct ps_version *base, uint64_t published,
                struct ps_merge_result *result)
{
	int err = ps_record_copy(&result->record, mine);
	if (err != PS_OK)
		return err;
	result->put = true;
	drop_sets(&result->record, false, false, true);
	result->record.base = *base;
	result->record.published = published;
	return PS_OK;
}

/* A later version of the same contents, so that who took the removal sees a change. */
static void renew(const struct ps_merge_context *context, struct ps_record *record, uint64_t above)
{
	uint64_t counter = record->version.counter > above ? record->version.counter : above;
	record->version.counter = counter + 1;
	memcpy(record->version.machine, context->machine, PS_MACHINE);
	record->time_ns = context->time_ns;
}

/* The loser's contents under a name of their own: a new blob of this machine's. */
static int make_copy(const struct ps_merge_context *context, const struct ps_record *loser,
                     const struct ps_record *winner, bool borrowed, struct ps_merge_result *result)
{
	char name[PS_RECORD_NAME_MAX + 1];
	size_t name_len;
	int err = ps_conflict_name(context, loser, name, &name_len);
	if (err == PS_OK)
		err = ps_record_copy(&result->copy, loser);
	if (err != PS_OK)
		return err;
	struct ps_record *copy = &result->copy;
	result->has_copy = true;
	drop_sets(copy, false, true, true);
	copy->base = (struct ps_version){0};
	copy->published = 0;
	copy->flags &= (uint16_t)~PS_RECORD_YIELDS;
	copy->flags |= (uint16_t)(PS_RECORD_DIRTY | (borrowed ? PS_RECORD_BORROWED : 0));
	copy->origin_len = borrowed ? loser->name_len : loser->origin_len; /* the name still begins with it */
	memcpy(copy->version.machine, context->machine, PS_MACHINE);
	/* The public address stays with the name. */
	if ((copy->flags & PS_RECORD_PUBLIC) && (winner->flags & PS_RECORD_PUBLIC) &&
	    ps_slot_same_pad(&copy->index_pad, &winner->index_pad)) {
		copy->flags &= (uint16_t)~PS_RECORD_PUBLIC;
		copy->index_pad = (struct ps_pad_slot){0};
	}
	return ps_record_rename(copy, name, name_len);
}

/* What ours has of the version before is ours to free, although theirs replaced it. */
static bool is_kept(const struct ps_merge_context *context, const struct ps_record *mine)
{
	return mine->published > 0 && mine->published <= context->kept;
}

/* Pads that were ours alone (current of what is dirty, next always) or that are ours to free, and stand
 * nowhere any more. */
static int let_go_rest(const struct ps_merge_context *context, const struct ps_record *mine,
                       struct ps_merge_result *result)
{
	struct ps_serial_set named;
	struct ps_memory *memory = context->memory;
	ps_serial_set_init(&named, memory);
	bool kept = is_kept(context, mine);
	bool own = (mine->flags & PS_RECORD_DIRTY) && !(mine->flags & PS_RECORD_BORROWED);
	const bool goes[PS_SETS] = {
	    [PS_SET_CURRENT] = own || kept, [PS_SET_NEXT] = true, [PS_SET_BASE] = kept};
	int err = result->put ? ps_record_each_slot(&result->record, ps_serial_set_add_slot, &named) : PS_OK;
	if (err == PS_OK && result->has_copy)
		err = ps_record_each_slot(&result->copy, ps_serial_set_add_slot, &named);
	for (unsigned set = 0; set < PS_SETS && err == PS_OK; set++) {
		const struct ps_slots *slots = &mine->sets[set];
		for (uint32_t i = 0; i < slots->count && err == PS_OK && goes[set]; i++)
			if (!ps_serial_set_has(&named, &slots->slots[i].serial))
				err = ps_slots_add(&result->let_go, memory, &slots->slots[i], 1);
	}
	if (err == PS_OK && own && (mine->flags & PS_RECORD_PUBLIC) &&
	    !ps_serial_set_has(&named, &mine->index_pad.serial))
		err = ps_slots_add(&result->let_go, memory, &mine->index_pad, 1);
	ps_serial_set_done(&named);
	return err;
}

/* ---- decisions ---- */

static bool says_the_same(const struct ps_record *mine, const struct ps_record *theirs)
{
	return ps_record_same_contents(mine, theirs) && mine->content.class == theirs->content.class &&
	       (mine->flags & PS_RECORD_PUBLIC) == (theirs->flags & PS_RECORD_PUBLIC) &&
	       (!(mine->flags & PS_RECORD_PUBLIC) || ps_slot_same_pad(&mine->index_pad, &theirs->index_pad));
}

static enum ps_merge_decision decide(const struct ps_merge_context *context, const struct ps_record *mine,
                                     const struct ps_record *theirs)
{
	bool removed = theirs->flags & PS_RECORD_TOMBSTONE;
	enum ps_merge_decision adopting = removed ? PS_MERGE_ADOPT_REMOVAL : PS_MERGE_ADOPT;
	if (!mine)
		return adopting;
	/* By the order of heads, not of versions: a key that was forgotten and made anew begins at version 1.
	 */
	if (theirs->published <= mine->published)
		return PS_MERGE_NOTHING;
	if (!(mine->flags & PS_RECORD_DIRTY))
		return adopting;
	if (mine->flags & PS_RECORD_SENT)
		return PS_MERGE_SETTLED;
	if ((mine->flags & (PS_RECORD_TOMBSTONE | PS_RECORD_YIELDS)) || says_the_same(mine, theirs))
		return adopting;
	if (removed)
		return PS_MERGE_KEEP_OVER_REMOVE;
	/* A copy of theirs must tell its origin by its name: where that would be cut, ours becomes the copy.
	 * So it does where their pads are one's who may have them under another name by now, or in part. */
	bool theirs_wins = ps_version_compare(&theirs->version, &mine->version) > 0 ||
	                   theirs->name_len > PS_RECORD_NAME_MAX - TAIL_MAX ||
	                   theirs->published <= context->left;
	return theirs_wins ? PS_MERGE_THEIRS_AND_COPY : PS_MERGE_OURS_AND_COPY;
}

/* What was sent from here and comes back. Anything else may not be merged before the outcome is known: what
 * is there could be based on it. */
static int settle(const struct ps_record *mine, const struct ps_record *theirs,
                  struct ps_merge_result *result)
{
	if (ps_version_compare(&mine->sent, &theirs->version) != 0)
		return ps_fail(PS_EBUSY, "what was sent of \"%.64s\" has to be settled or unsent first",
		               mine->name);
	int err = ps_record_copy(&result->record, mine);
	if (err != PS_OK)
		return err;
	result->put = true;
	return ps_record_settle(&result->record, theirs->published, &result->let_go);
}

/* No head names what ours still has of the version before. */
static void forget_named(struct ps_merge_result *result)
{
	struct ps_slots *ours[] = {result->put ? &result->record.sets[PS_SET_CURRENT] : NULL,
	                           result->has_copy ? &result->copy.sets[PS_SET_CURRENT] : NULL};
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		for (uint32_t n = 0; ours[i] && n < ours[i]->count; n++)
			ours[i]->slots[n].named = 0;
}

static int carry_out(const struct ps_merge_context *context, const struct ps_record *mine,
                     const struct ps_record *theirs, struct ps_merge_result *result)
{
	int err = PS_OK;
	switch (result->decision) {
	case PS_MERGE_NOTHING:
	case PS_MERGE_VANISH:
		return PS_OK;
	case PS_MERGE_SETTLED:
		return settle(mine, theirs, result);
	case PS_MERGE_ADOPT:
	case PS_MERGE_ADOPT_REMOVAL:
		err = adopt(mine, theirs, result);
		break;
	case PS_MERGE_KEEP_OVER_REMOVE:
		err = keep(mine, &theirs->version, theirs->published, result);
		if (err == PS_OK)
			renew(context, &result->record, theirs->version.counter);
		break;
	case PS_MERGE_THEIRS_AND_COPY:
		err = adopt(mine, theirs, result);
		if (err == PS_OK)
			err = make_copy(context, mine, theirs, false, result);
		break;
	case PS_MERGE_OURS_AND_COPY:
		err = keep(mine, &theirs->version, theirs->published, result);
		if (err == PS_OK)
			err = make_copy(context, theirs, mine, true, result);
		if (err == PS_OK) {
			result->record.flags |= PS_RECORD_GIVEN;
			result->copy.flags |= PS_RECORD_TAKEN;
		}
		break;
	}
	if (err == PS_OK && mine && is_kept(context, mine))
		forget_named(result);
	return err == PS_OK && mine ? let_go_rest(context, mine, result) : err;
}

int ps_merge_record(const struct ps_merge_context *context, const struct ps_record *mine,
                    const struct ps_record *theirs, struct ps_merge_result *result)
{
	struct ps_merge_result made = {.decision = decide(context, mine, theirs)};
	made.record.memory = made.copy.memory = context->memory;
	int err = carry_out(context, mine, theirs, &made);
	if (err == PS_OK)
		*result = made;
	else
		ps_merge_result_done(&made, context->memory);
	return err;
}

/* ---- what is no more ---- */

/* Only the update in progress is left of it. */
static int keep_next(const struct ps_record *mine, struct ps_merge_result *result)
{
	int err = ps_record_copy(&result->record, mine);
	if (err != PS_OK)
		return err;
	struct ps_record *record = &result->record;
	result->put = true;
	drop_sets(record, true, false, true);
	record->flags = PS_RECORD_UPDATING;
	record->origin_len = 0;
	record->content = (struct ps_content){0};
	record->version = record->base = (struct ps_version){0};
	record->published = 0;
	record->index_pad = (struct ps_pad_slot){0};
	return PS_OK;
}

int ps_merge_absent(const struct ps_merge_context *context, const struct ps_record *mine,
                    struct ps_merge_result *result)
{
	struct ps_merge_result made = {0};
	const struct ps_version none = {0};
	int err = PS_OK;
	made.record.memory = context->memory;
	bool was_known = !ps_version_none(&mine->base);
	if (mine->flags & PS_RECORD_SENT)
		return ps_fail(PS_EBUSY, "what was sent of \"%.64s\" has to be settled or unsent first",
		               mine->name);
	if (!was_known) {
		made.decision = PS_MERGE_NOTHING; /* new here, or only begun */
	} else if ((mine->flags & PS_RECORD_DIRTY) && ps_record_has_contents(mine)) {
		made.decision = PS_MERGE_KEEP_OVER_REMOVE;
		err = keep(mine, &none, 0, &made);
		if (err == PS_OK)
			renew(context, &made.record, 0);
	} else if (mine->flags & PS_RECORD_UPDATING) {
		made.decision = PS_MERGE_ADOPT_REMOVAL;
		err = keep_next(mine, &made);
	} else {
		made.decision = PS_MERGE_VANISH;
	}
	if (err == PS_OK && made.decision != PS_MERGE_NOTHING)
		err = let_go_rest(context, mine, &made);
	if (err == PS_OK)
		*result = made;
	else
		ps_merge_result_done(&made, context->memory);
	return err;
}

int ps_merge_borrowed(const struct ps_merge_context *context, const struct ps_record *copy,
                      struct ps_merge_result *result)
{
	struct ps_merge_result made = {.decision = PS_MERGE_VANISH};
	if (copy->origin_len == 0 || (copy->flags & PS_RECORD_SENT))
		return ps_fail(PS_EINVAL, "\"%.64s\" is no copy that waits for its first head", copy->name);
	made.record.memory = context->memory;
	int err = PS_OK;
	if (!(copy->flags & PS_RECORD_BORROWED)) {
		made.decision = PS_MERGE_KEEP_OVER_REMOVE;
		err = keep(copy, &copy->base, 0, &made);
	} else if (copy->flags & PS_RECORD_UPDATING) {
		made.decision = PS_MERGE_ADOPT_REMOVAL;
		err = keep_next(copy, &made);
	}
	if (made.put)
		made.record.origin_len = 0;
	if (err == PS_OK)
		*result = made;
	else
		ps_merge_result_done(&made, context->memory);
	return err;
}

int ps_merge_apply(const struct ps_merge_result *result, const char *name, size_t name_len, ps_index_txn *txn)
{
	int err = PS_OK;
	if (result->decision == PS_MERGE_VANISH)
		err = ps_txn_remove(txn, PS_RECORD_BLOB, name, name_len, true);
	if (err == PS_OK && result->put)
		err = ps_txn_adopt(txn, &result->record);
	if (err == PS_OK && result->has_copy)
		err = ps_txn_adopt(txn, &result->copy);
	return err == PS_OK ? ps_txn_let_go(txn, &result->let_go, 0) : err;
}
