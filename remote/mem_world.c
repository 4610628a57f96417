#include "remote/mem_world.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/fail.h"

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ps_mem_world *worlds;

/* ---- the registry ---- */

static struct ps_mem_world *world_new(const char *name)
{
	struct ps_mem_world *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	ps_memory_init(&w->memory, NULL);
	w->name = ps_memory_alloc(&w->memory, strlen(name) + 1);
	if (!w->name) {
		ps_memory_done(&w->memory);
		free(w);
		return NULL;
	}
	strcpy(w->name, name);
	pthread_mutex_init(&w->lock, NULL);
	mem_table_init(&w->table, &w->memory);
	return w;
}

int mem_world_open(const char *name, struct ps_mem_world **world)
{
	pthread_mutex_lock(&registry_lock);
	struct ps_mem_world *w = worlds;
	while (w && strcmp(w->name, name) != 0)
		w = w->next;
	if (!w) {
		w = world_new(name);
		if (w) {
			w->next = worlds;
			worlds = w;
		}
	}
	if (w)
		w->references++;
	pthread_mutex_unlock(&registry_lock);
	if (!w)
		return ps_fail(PS_ENOMEM, "mem:%s: no memory for the network", name);
	*world = w;
	return PS_OK;
}

void mem_world_close(struct ps_mem_world *world)
{
	pthread_mutex_lock(&registry_lock);
	world->references--;
	pthread_mutex_unlock(&registry_lock);
}

/* ---- operations ---- */

static void answer_with(struct ps_net_request *r, const struct mem_record *record)
{
	ps_le64 version = ps_set64(record->version);
	r->token.len = sizeof(version);
	memcpy(r->token.bytes, &version, sizeof(version));
	r->identity = record->identity;
	r->size = record->len;
}

static void apply_read(const ps_network *n, struct ps_net_request *r, const struct mem_record *record)
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
	ps_request_finish(n, r, PS_NET_DONE, "%s", "");
}

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
	else if (ps_identity_same(&there->identity, &r->expected))
		return true;
	else
		ps_request_finish(n, r, PS_NET_CONFLICT, "counter %llu is there, %llu was expected",
		                  (unsigned long long)there->identity.counter,
		                  (unsigned long long)r->expected.counter);
	return false;
}

static void apply_write(struct ps_mem_world *w, const ps_network *n, struct ps_net_request *r)
{
	struct mem_record *record = NULL;
	int err = PS_OK;
	if (!guard_passes(n, r, mem_table_find(&w->table, &r->name)))
		return;
	if (r->op != PS_NET_REMOVE) {
		record = mem_record_new(&w->memory, &r->identity, r->buffer->bytes, r->buffer->len);
		err = record ? PS_OK : PS_ENOMEM;
	}
	if (record)
		record->version = ++w->versions;
	if (err == PS_OK)
		err = mem_table_set(&w->table, &r->name, record, 0);
	if (err != PS_OK) {
		ps_request_finish(n, r, PS_NET_FULL, "no memory for the record");
	} else {
		ps_request_finish(n, r, PS_NET_DONE, "%s", "");
		r->token.len = 0;
		if (record)
			answer_with(r, record);
	}
	mem_record_release(record);
}

static void apply_list(const struct ps_mem_world *w, const ps_network *n, struct ps_net_request *r)
{
	/* The cursor is the last name of the page before; no pad has a name of zeros. */
	static const uint8_t first[PS_NET_CURSOR];
	struct ps_net_list *list = r->list;
	struct ps_pad_name after;
	memcpy(after.bytes, list->cursor, PS_PAD_NAME);
	bool begins = memcmp(list->cursor, first, sizeof(first)) == 0;
	size_t at = mem_table_above(&w->table, begins ? NULL : &after);
	for (; at < w->table.count && list->count < list->capacity; at++) {
		const struct mem_entry *entry = &w->table.entries[at];
		if (!entry->record)
			continue;
		list->listed[list->count].name = entry->name;
		list->listed[list->count++].size = entry->record->len;
		memcpy(list->cursor, entry->name.bytes, PS_PAD_NAME);
		list->cursor[PS_PAD_NAME] = 1;
	}
	list->more = at < w->table.count;
	ps_request_finish(n, r, PS_NET_DONE, "%s", "");
}

void mem_world_apply(struct ps_mem_world *w, const ps_network *n, struct ps_net_request *r)
{
	pthread_mutex_lock(&w->lock);
	if (r->op == PS_NET_LIST)
		apply_list(w, n, r);
	else if (ps_net_op_writes(r->op))
		apply_write(w, n, r);
	else
		apply_read(n, r, mem_table_find(&w->table, &r->name));
	pthread_mutex_unlock(&w->lock);
}
