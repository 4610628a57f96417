/* What a store says of itself. */
#include "store/base_internal.h"

/* Counts that only the whole table knows, where no write has asked for it yet. */
struct count {
	uint64_t objects, live_bytes, last_slot;
};

static int count_entry(void *arg, uint64_t slot, const struct entry *e)
{
	struct count *c = arg;
	(void)slot;
	if (entry_lives(e)) {
		c->objects++;
		c->live_bytes += entry_size(e);
	}
	return PS_OK;
}

static int count_objects(struct store *s, struct ps_stats *out)
{
	struct count c = {.objects = s->table.unknown_objects, .live_bytes = s->table.unknown_bytes};
	struct table_visitor v = {NULL, count_entry, table_pass_damage, &c};
	out->objects = atomic_load(&s->table.objects);
	out->live_bytes = atomic_load(&s->table.live_bytes);
	if (s->space.ready ? !s->space.rebuild : s->sb.clean != 0)
		return PS_OK;
	int err = table_visit(&s->table, &v);
	out->objects = c.objects;
	out->live_bytes = c.live_bytes;
	return err;
}

static void space_figures(struct store *s, struct ps_stats *out)
{
	struct ps_allocator_stats space;
	uint64_t file;
	s->space.root->ops->stats(s->space.root, &space);
	out->free_bytes = space.free + space.forgotten;
	out->pending_bytes = s->space.pending_bytes;
	out->log_bytes = s->log.ring[0].len + s->log.ring[1].len;
	out->table_bytes = leaves_of(atomic_load(&s->table.slots)) * PAGE;
	out->last_commit = s->log.commit;
	out->commits = s->log.commit;
	if (s->io->ops->size(s->io, &file, &out->disk_bytes) == PS_OK)
		out->file_bytes = file;
	/* What was cut off the space and is not yet off the file; nothing is known to be free before the first write. */
	if (s->space.ready && out->file_bytes > s->space.end)
		out->free_bytes += out->file_bytes - s->space.end;
	out->used_bytes = out->file_bytes - (out->file_bytes > out->free_bytes ? out->free_bytes : 0);
}

static void memory_figures(struct store *s, struct ps_stats *out)
{
	out->memory_budget = s->budget;
	out->memory_used = atomic_load(&s->budget_used) + atomic_load(&s->memory.used);
	out->frame_bytes = atomic_load(&s->pool.frame_bytes);
	out->dirty_bytes = atomic_load(&s->pool.dirty_bytes);
	out->pinned_bytes = pool_pinned_bytes(&s->pool);
}

static void io_figures(struct store *s, struct ps_stats *out)
{
	struct ps_io_stats io = {0};
	s->io->ops->stats(s->io, &io);
	out->flushes = io.flushes;
	out->bytes_read = io.bytes_read;
	out->bytes_written = io.bytes_written;
	out->reads = io.reads;
	out->writes = io.writes;
	out->log_writes = atomic_load(&s->log.writes);
	out->direct_io = s->io->direct;
	(void)snprintf(out->io, sizeof(out->io), "%s", s->io->ops->name);
}

int base_stats(ps_storer *st, struct ps_stats *stats)
{
	struct store *s = store_of(st);
	struct ps_stats out = {0};
	while (rebuild_help(s))
		;
	pthread_mutex_lock(&s->lock);
	int err = count_objects(s, &out);
	space_figures(s, &out);
	out.checkpoints = s->checkpoint.count;
	out.recovered_commits = s->recovered_commits;
	pthread_mutex_unlock(&s->lock);
	if (err)
		return err;
	memory_figures(s, &out);
	io_figures(s, &out);
	pthread_mutex_lock(&s->log.lock);
	out.last_durable_commit = s->log.durable_commit;
	pthread_mutex_unlock(&s->log.lock);
	out.readonly = s->read_only || atomic_load(&s->failed);
	if (atomic_load(&s->failed))
		(void)snprintf(out.reason, sizeof(out.reason), "%s", s->reason);
	*stats = out;
	return PS_OK;
}
