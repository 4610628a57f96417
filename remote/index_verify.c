/* A check of all of the local index against itself. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "remote/local_index_internal.h"

struct verification {
	ps_index *index;
	ps_index_finding_fn fn;
	void *arg;
	uint64_t begun; /* transactions before it: one more, and what it sees is of no one moment */
	size_t findings, records, spares;
	struct ps_serial_set serials;
	struct ps_index_figures figures;
};

static void find_locked(struct verification *v, const char *what, const char *name)
{
	char text[256];
	if (v->index->transactions != v->begun)
		return;
	(void)snprintf(text, sizeof(text), "%.100s%s%s", name, *name ? ": " : "", what);
	v->findings++;
	if (v->fn)
		v->fn(v->arg, text);
}

static int see_record(struct verification *v, ps_id id, const struct ps_record *record)
{
	struct ps_index *index = v->index;
	uint64_t hash = index_name_hash(index, record->kind, record->name, record->name_len);
	v->records++;
	pthread_mutex_lock(&index->lock);
	if (!ps_id_table_has(&index->names, hash, id))
		find_locked(v, "is not in the table of names", record->name);
	if (ps_id_table_has(&index->dirty, ps_id_key(id), id) != !!(record->flags & PS_RECORD_DIRTY))
		find_locked(v, "is dirty and not known to be, or known to be and not", record->name);
	if (ps_id_table_has(&index->own, ps_id_key(id), id) != (record->kind == PS_RECORD_SYSTEM))
		find_locked(v, "is the index's own and not known to be, or known to be and not",
		            record->name);
	pthread_mutex_unlock(&index->lock);
	index_count_record(&v->figures, record, 1);
	return ps_record_each_slot(record, ps_serial_set_add_slot, &v->serials);
}

static void see_note_locked(struct verification *v, const struct index_object *object)
{
	if (v->index->notes[object->note] != object->id)
		find_locked(v, "a note that nobody knows", "");
}

static void see_spare_locked(struct verification *v, const struct index_object *object)
{
	uint64_t key, held = object->spare.hold << 4 | index_pad_kind(&object->spare.slot);
	struct ps_id_table *table = index_spare_table_locked(v->index, &object->spare, &key);
	if (!ps_id_table_has(table, key, object->id) && !ps_id_table_has(&v->index->held, held, object->id))
		find_locked(v, "a spare pad that nobody knows", "");
}

static int see(void *arg, struct index_object *object)
{
	struct verification *v = arg;
	if (object->kind == INDEX_OBJECT_RECORD)
		return see_record(v, object->id, &object->record);
	pthread_mutex_lock(&v->index->lock);
	if (object->kind == INDEX_OBJECT_NOTE)
		see_note_locked(v, object);
	else if (object->kind == INDEX_OBJECT_SPARE)
		see_spare_locked(v, object);
	else if (v->index->summary == PS_ID_NONE)
		find_locked(v, "a summary that nobody names", "");
	pthread_mutex_unlock(&v->index->lock);
	if (object->kind != INDEX_OBJECT_SPARE)
		return PS_OK;
	v->spares++;
	index_count_spare(&v->figures, &object->spare.slot, 1);
	return ps_serial_set_add(&v->serials, &object->spare.slot.serial);
}

static void compare_all_locked(struct verification *v)
{
	ps_index *index = v->index;
	size_t spares = index->held.count;
	for (unsigned i = 0; i < INDEX_PAD_KINDS; i++)
		spares += index->free[i].count;
	for (unsigned i = 0; i < PS_SLOT_STATUSES; i++)
		spares += index->open[i].count;
	if (ps_serial_set_twice(&v->serials))
		find_locked(v, "a pad stands in two places", "");
	if (v->records != index->names.count || v->spares != spares)
		find_locked(v, "the tables in memory name records or pads that are not there", "");
	if (memcmp(&v->figures, &index->figures, sizeof(v->figures)) != 0)
		find_locked(v, "the figures are not the sums of what is there", "");
}

bool ps_index_is_still(ps_index *index, uint64_t *begun)
{
	pthread_mutex_lock(&index->lock);
	bool still = index->transactions_open == 0;
	*begun = index->transactions;
	pthread_mutex_unlock(&index->lock);
	return still;
}

int ps_index_verify(ps_index *index, ps_index_finding_fn fn, void *arg)
{
	struct verification v = {.index = index, .fn = fn, .arg = arg};
	int err = index_check(index);
	if (err != PS_OK)
		return err;
	if (!ps_index_is_still(index, &v.begun))
		return ps_fail(PS_EBUSY, "transactions of the local index are open");
	ps_serial_set_init(&v.serials, &index->memory);
	err = index_scan(index, see, &v);
	ps_serial_set_sort(&v.serials);
	pthread_mutex_lock(&index->lock);
	if (err == PS_OK)
		compare_all_locked(&v);
	bool busy = index->transactions != v.begun;
	pthread_mutex_unlock(&index->lock);
	if (busy && (err == PS_OK || err == PS_ECORRUPT))
		err = ps_fail(PS_EBUSY, "the local index was changed while it was verified");
	ps_serial_set_done(&v.serials);
	if (err != PS_OK)
		return err;
	return v.findings == 0
	           ? PS_OK
	           : ps_fail(PS_ECORRUPT, "the local index has %zu faults; see the findings", v.findings);
}
