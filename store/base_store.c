/* Opening, closing and describing a base store. */
#include <errno.h>
#include <sys/param.h>
#include <unistd.h>

#include "store/base_internal.h"
#include "store/known_runs.h"

enum {
	LOG_MIN = 8 << 10,
	LOG_DEFAULT = 1 << 20,
	INITIAL_MIN = 64 << 10,
	INITIAL_DEFAULT = 1600 << 10,
	BUDGET_MIN = 1 << 20,
	INLINE_MAX = 32 << 10,
};

/* ---- failure ---------------------------------------------------------------------------------------------------------- */

int store_writable(struct store *s)
{
	if (s->read_only)
		return ps_fail(PS_EREADONLY, "%s: opened read-only", s->path);
	if (atomic_load(&s->failed))
		return ps_fail(PS_EREADONLY, "%s: read-only since %s", s->path, s->reason);
	return PS_OK;
}

/* Nothing is written any more; what was read stays readable. The first reason stands. */
void store_fail(struct store *s, int err, const char *what)
{
	pthread_mutex_lock(&s->thread_lock);
	bool first = !atomic_load(&s->failed);
	if (first) {
		(void)snprintf(s->reason, sizeof(s->reason), "%s (%.100s)", what, ps_last_error_message());
		atomic_store(&s->failed, err);
	}
	pthread_mutex_unlock(&s->thread_lock);
	if (first)
		store_event(s, PS_EVENT_READONLY, err, PS_ID_NONE);
}

/* ---- options ------------------------------------------------------------------------------------------------------------ */

static uint64_t read_number(const char *path)
{
	char text[64] = "";
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(text, sizeof(text), f))
		text[0] = 0;
	(void)fclose(f);
	return strtoull(text, NULL, 10);
}

/* A quarter of what the machine, or this process's control group, has. */
static uint64_t default_budget(void)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t group = read_number("/sys/fs/cgroup/memory.max");
	uint64_t group1 = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes");
	if (group)
		memory = MIN(memory, group);
	if (group1)
		memory = MIN(memory, group1);
	return MAX(memory / 4, (uint64_t)BUDGET_MIN);
}

static int check_options(const struct ps_base_options *o)
{
	if (o->mode < PS_OPEN_DEFAULT || o->mode > PS_OPEN_READONLY)
		return ps_fail(PS_EINVAL, "options: unknown mode %d", o->mode);
	if (o->durability < 0 || o->durability > PS_RELAXED || o->background < 0 || o->background > PS_BACKGROUND_NONE ||
	    o->io < 0 || o->io > PS_BASE_IO_BUFFERED)
		return ps_fail(PS_EINVAL, "options: unknown durability, background or io");
	if (o->use_fd && o->fd < 0)
		return ps_fail(PS_EINVAL, "options: use_fd with descriptor %d", o->fd);
	if (o->memory_budget && o->memory_budget < BUDGET_MIN)
		return ps_fail(PS_EINVAL, "options: a memory budget of %llu bytes is less than %d",
			       (unsigned long long)o->memory_budget, BUDGET_MIN);
	if (o->log_bytes && (o->log_bytes < LOG_MIN || o->log_bytes % PAGE || o->log_bytes > 1U << 30))
		return ps_fail(PS_EINVAL, "options: a log of %llu bytes: %d to 1 GiB, in 4 KiB steps", (unsigned long long)o->log_bytes,
			       LOG_MIN);
	if (o->initial_bytes && (o->initial_bytes < INITIAL_MIN || o->initial_bytes % PAGE))
		return ps_fail(PS_EINVAL, "options: a file of %llu bytes: %d at least, in 4 KiB steps",
			       (unsigned long long)o->initial_bytes, INITIAL_MIN);
	if (!o->alloc != !o->resize || !o->alloc != !o->release)
		return ps_fail(PS_EINVAL, "options: alloc, resize and release go together");
	return PS_OK;
}

/* Options may come from a caller compiled against an older, shorter struct. */
static int take_options(struct store *s, const struct ps_base_options *opts)
{
	struct ps_base_options *o = &s->options;
	if (opts) {
		if (opts->size < offsetof(struct ps_base_options, mode) + sizeof(int) || opts->size > sizeof(*opts))
			return ps_fail(PS_EINVAL, "options: size %zu is not that of a known struct", opts->size);
		memcpy(o, opts, opts->size);
	}
	int err = check_options(o);
	if (err)
		return err;
	s->fixed_log = o->log_bytes != 0;
	o->log_bytes = o->log_bytes ? o->log_bytes : LOG_DEFAULT;
	o->initial_bytes = o->initial_bytes ? o->initial_bytes : INITIAL_DEFAULT;
	o->flush_ms = o->flush_ms ? o->flush_ms : 10;
	o->flush_bytes = o->flush_bytes ? o->flush_bytes : 1 << 20;
	s->budget = o->memory_budget ? o->memory_budget : default_budget();
	s->read_only = o->mode == PS_OPEN_READONLY;
	return PS_OK;
}

/* ---- opening -------------------------------------------------------------------------------------------------------------- */

static void release_store(struct store *s)
{
	store_stop_thread(s);
	redo_free(s);
	log_done(&s->log);
	space_done(&s->space);
	classes_done(s);
	table_done(&s->table);
	pool_done(&s->pool);
	staging_done(s);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->checkpoint.lock);
	pthread_mutex_destroy(&s->redo_lock);
	pthread_mutex_destroy(&s->events.lock);
	pthread_mutex_destroy(&s->thread_lock);
	pthread_cond_destroy(&s->thread_wake);
	residency_done(s);
	known_runs_done(s);
	budget_done(&s->calls);
	ps_memory_done(&s->memory);
	free(s);
}

static struct store *new_store(const struct ps_base_options *opts, const char *path)
{
	struct store *s = calloc(1, sizeof(*s));
	if (!s) {
		(void)ps_fail(PS_ENOMEM, "%s: no memory for a store", path);
		return NULL;
	}
	struct ps_allocator_fns fns = {0};
	bool own = opts && opts->size >= offsetof(struct ps_base_options, alloc_arg) + sizeof(void *) && opts->alloc;
	if (own)
		fns = (struct ps_allocator_fns){opts->alloc, opts->resize, opts->release, opts->alloc_arg};
	ps_memory_init(&s->memory, own ? &fns : NULL);
	(void)snprintf(s->path, sizeof(s->path), "%s", path);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->staging.lock, NULL);
	pthread_mutex_init(&s->checkpoint.lock, NULL);
	pthread_mutex_init(&s->redo_lock, NULL);
	pthread_mutex_init(&s->events.lock, NULL);
	pthread_mutex_init(&s->thread_lock, NULL);
	pthread_cond_init(&s->thread_wake, NULL);
	budget_init(&s->calls);
	residency_init(s);
	return s;
}

static int init_parts(struct store *s)
{
	int err = pool_init(&s->pool, s);
	if (!err)
		err = table_init(&s->table, s);
	if (!err)
		err = space_init(&s->space, s);
	return err ? err : log_init(&s->log, s);
}

static void ring_decode(struct ring *to, const struct disk_ring *from)
{
	*to = (struct ring){ps_get64(from->offset), ps_get64(from->len), ps_get64(from->base)};
}

static int attach_log(struct store *s)
{
	struct log *log = &s->log;
	ring_decode(&log->ring[0], &s->sb.ring[0]);
	ring_decode(&log->ring[1], &s->sb.ring[1]);
	log->start = ps_get64(s->sb.log_start);
	log->start_chain = ps_get64(s->sb.log_chain);
	atomic_store(&log->checkpoint, ps_get64(s->sb.checkpoint));
	log->epoch = ps_get64(s->sb.epoch);
	uint64_t ring = log->ring[1].len ? log->ring[1].len : log->ring[0].len;
	s->inline_max = (uint32_t)MAX((uint64_t)PAGE, MIN((uint64_t)INLINE_MAX, ring / 8));
	return PS_OK;
}

static int check_file_size(struct store *s)
{
	uint64_t disk, needed = ps_get64(s->sb.file_bytes);
	int err = s->io->ops->size(s->io, &s->space.file_bytes, &disk);
	s->space.sparse = !err && disk < s->space.file_bytes;
	if (!err && s->space.file_bytes < needed)
		err = ps_fail(PS_ECORRUPT, "%s: truncated: %llu bytes of %llu", s->path, (unsigned long long)s->space.file_bytes,
			      (unsigned long long)needed);
	return err;
}

/* Where a store may be made, one whose making a crash cut off is made anew. */
static int find_superblock(struct store *s)
{
	bool unfinished = false;
	int err = superblock_read(s, &s->sb);
	if ((err != PS_EFORMAT && err != PS_ECORRUPT) || s->options.mode != PS_OPEN_DEFAULT)
		return err;
	int look = store_is_unfinished(s, &unfinished);
	if (look)
		return look;
	if (unfinished && (err = store_format(s)) == PS_OK)
		err = superblock_read(s, &s->sb);
	return err;
}

static int load_store(struct store *s)
{
	int err = find_superblock(s);
	if (!err)
		err = check_file_size(s);
	if (err)
		return err;
	memcpy(s->uuid, s->sb.uuid, sizeof(s->uuid));
	s->unclean = !s->sb.clean;
	s->crashes = ps_get64(s->sb.crashes) + (s->unclean ? 1 : 0);
	atomic_store(&s->interval, ps_get32(s->sb.interval));
	err = attach_log(s);
	if (!err)
		err = classes_attach(s);
	if (!err)
		err = pool_extend(&s->pool, s->space.file_bytes);
	if (!err)
		err = table_attach(&s->table, &s->sb);
	if (!err)
		err = recovery_run(s);
	if (!err)
		err = unknown_attach(s);
	return err ? err : log_set_buffers(&s->log);
}

static int open_parts(struct store *s, bool created)
{
	int err = init_parts(s);
	if (!err && created)
		err = store_format(s);
	if (!err)
		err = load_store(s);
	if (!err && !s->read_only && s->options.background != PS_BACKGROUND_NONE)
		err = store_start_thread(s);
	return err ? err : ps_storer_init(&s->storer, &base_ops, NULL);
}

int ps_base_open_io(struct ps_io *io, bool created, const struct ps_base_options *opts, ps_storer **out)
{
	struct store *s = new_store(opts, io->path);
	if (!s)
		return PS_ENOMEM;
	s->io = io;
	int err = take_options(s, opts);
	if (!err)
		err = open_parts(s, created && !s->read_only);
	if (err) {
		release_store(s);
		return err;
	}
	*out = &s->storer;
	return PS_OK;
}

/* An empty file is a store that was not made yet, or whose making a crash cut off before it held anything. */
static int is_empty(struct ps_io *io, bool *empty)
{
	uint64_t bytes, disk;
	int err = io->ops->size(io, &bytes, &disk);
	if (!err)
		*empty = bytes == 0;
	return err;
}

static int busy(const char *path)
{
	char owner[2 * SECTOR] = "";
	FILE *f = fopen(path, "re");
	if (f) {
		if (fread(owner, 1, sizeof(owner), f) != sizeof(owner))
			owner[SECTOR] = 0;
		(void)fclose(f);
	}
	owner[sizeof(owner) - 1] = 0;
	return ps_fail(PS_EBUSY, "%s: store is open elsewhere (last writer: %s)", path, owner[SECTOR] ? owner + SECTOR : "unknown");
}

static void fill_io_options(struct ps_io_open *how, const char *path, const struct ps_base_options *o)
{
	*how = (struct ps_io_open){.path = path ? path : "(descriptor)",
				   .fd = o->use_fd ? o->fd : -1,
				   .kind = o->io == PS_BASE_IO_URING ? PS_IO_URING : o->io == PS_BASE_IO_POSIX ? PS_IO_POSIX : PS_IO_AUTO,
				   .buffered = o->io == PS_BASE_IO_BUFFERED,
				   .read_only = o->mode == PS_OPEN_READONLY,
				   .create = o->mode == PS_OPEN_DEFAULT || o->mode == PS_OPEN_CREATE_NEW,
				   .exclusive = o->mode == PS_OPEN_CREATE_NEW,
				   .mode = o->file_mode};
}

/* The I/O layer's memory is not the store's: it is there before it, and goes after it. */
static struct ps_memory io_memory;

static void init_io_memory(void)
{
	ps_memory_init(&io_memory, NULL);
}

static int open_file(const char *path, const struct ps_base_options *opts, bool draft, ps_storer **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct ps_base_options known = {0};
	struct ps_io_open how;
	struct ps_io *io;
	bool created, empty = false;
	if (!out || (!path && !(opts && opts->use_fd)))
		return ps_fail(PS_EINVAL, "ps_base_open: no path or no place for the store");
	if (opts && (opts->size > sizeof(known) || opts->size < sizeof(size_t) + sizeof(int)))
		return ps_fail(PS_EINVAL, "options: size %zu is not that of a known struct", opts->size);
	if (opts)
		memcpy(&known, opts, opts->size);
	int err = check_options(&known);
	if (err)
		return err;
	pthread_once(&once, init_io_memory);
	fill_io_options(&how, path, &known);
	how.draft = draft;
	err = ps_io_open(&io_memory, &how, &io, &created);
	if (err == PS_EBUSY && path)
		return busy(path);
	if (err)
		return err;
	err = is_empty(io, &empty);
	if (!err && empty && (known.mode == PS_OPEN_EXISTING || known.mode == PS_OPEN_READONLY))
		err = ps_fail(PS_EFORMAT, "%s: not a Padstone store (the file is empty)", how.path);
	if (!err)
		err = ps_base_open_io(io, created || empty, opts, out);
	if (err)
		io->ops->close(io);
	/* What this call made and could not fill is not left behind. */
	if (err && created && !known.use_fd)
		(void)unlink(path);
	return err;
}

int ps_base_open(const char *path, const struct ps_base_options *opts, ps_storer **out)
{
	return open_file(path, opts, false, out);
}

int ps_restore_open(const char *temporary, const struct ps_base_options *opts, ps_storer **out)
{
	return open_file(temporary, opts, true, out);
}

/* ---- closing --------------------------------------------------------------------------------------------------------------- */

/* All that is only there for going on: given back, so that the snapshot names it as free. */
static void give_back_spares(struct store *s, struct table_node *n)
{
	for (int i = 0; i < 2; i++) {
		if (n->spare[i])
			space_free_now(&s->space, (struct ps_extent){n->spare[i], PAGE});
		n->spare[i] = 0;
	}
	for (int i = 0; n->level > 1 && i < FANOUT; i++) {
		if (n->node[i])
			give_back_spares(s, n->node[i]);
	}
}

/* Everything is in the table and durable: one more superblock says so. */
static int write_clean(struct store *s)
{
	struct disk_superblock sb = s->sb;
	pthread_mutex_lock(&s->lock);
	space_reclaim(&s->space);
	give_back_spares(s, s->table.root);
	space_give_reserve(&s->space);
	int err = snapshot_save(s, &sb);
	sb.file_bytes = ps_set64(s->space.end);
	pthread_mutex_unlock(&s->lock);
	if (!err)
		err = s->io->ops->flush(s->io);
	sb.clean = 1;
	sb.objects = ps_set64(atomic_load(&s->table.objects));
	sb.live_bytes = ps_set64(atomic_load(&s->table.live_bytes));
	return err ? err : superblock_write(s, &sb);
}

/* A log that grew for a busy time is no use to a closed store. */
static int give_ring_back(struct store *s)
{
	uint64_t want = checkpoint_wanted_ring(s);
	if (s->fixed_log || s->log.ring[1].len || s->log.ring[0].len < 2 * want)
		return PS_OK;
	int err = checkpoint_move_ring(s, want);
	return err ? err : checkpoint_run(s);
}

/* Nothing was written, and nobody crashed: nothing to do. */
static int know_all(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	int err = s->writing || s->unclean ? store_begin_writing(s) : PS_OK;
	if (!err)
		err = rebuild_finish(&s->space);
	pthread_mutex_unlock(&s->lock);
	return err;
}

static int finish_writing(struct store *s)
{
	int err = store_writable(s);
	if (err)
		return atomic_load(&s->failed) ? err : PS_OK;
	err = know_all(s);
	if (err || !s->writing)
		return err;
	err = log_sync(&s->log);
	if (!err)
		err = checkpoint_run(s);
	if (!err)
		err = give_ring_back(s);
	if (!err)
		space_trim(s);
	return err ? err : write_clean(s);
}

/* The one flush of a draft, behind its last write. Nobody else has the file any more. */
static int finish_draft(struct store *s)
{
	if (!s->io->draft)
		return PS_OK;
	s->io->draft = false;
	return s->io->ops->flush(s->io);
}

/* Views of one extent are not counted among the sessions: their pins show. A checkpoint has pins of its own while it writes. */
static bool has_pinned_views(struct store *s)
{
	checkpoint_lock(s);
	bool pinned = pool_pinned_bytes(&s->pool) != 0;
	checkpoint_unlock(s);
	return pinned;
}

int base_close(ps_storer *st)
{
	struct store *s = store_of(st);
	if (has_pinned_views(s))
		return ps_fail(PS_EBUSY, "ps_close: views of %s are open", s->path);
	store_stop_thread(s);
	int err = s->read_only ? PS_OK : finish_writing(s);
	if (!err)
		err = finish_draft(s);
	store_tell_events(s);
	struct ps_io *io = s->io;
	release_store(s);
	io->ops->close(io);
	return err;
}

/* ---- the rest -------------------------------------------------------------------------------------------------------------- */

static uint32_t base_caps(ps_storer *st)
{
	uint32_t caps = PS_CAP_DURABLE | PS_CAP_THREADS | PS_CAP_BACKUP | PS_CAP_COMPACT | PS_CAP_RUNS | PS_CAP_PLACEMENT;
	return store_of(st)->read_only ? caps | PS_CAP_READONLY : caps;
}

int base_sync(ps_storer *st)
{
	struct store *s = store_of(st);
	if (s->read_only)
		return PS_OK;
	int err = atomic_load(&s->failed) ? store_writable(s) : log_sync(&s->log);
	/* All is durable by now: what fails from here on is no failure of the sync, and the next call tells
	 * of it. */
	if (!err && checkpoint_after_sync(s) == PS_OK)
		space_trim(s);
	if (!err)
		store_tell_durable(s);
	return store_end_call(s, err);
}

int base_each(ps_storer *st, ps_id from, ps_each_fn fn, void *arg)
{
	struct store *s = store_of(st);
	for (uint64_t slot = id_slot(from); slot < atomic_load(&s->table.slots); slot++) {
		struct entry e;
		if (slot % FANOUT == 0)
			slot = table_next_possible(&s->table, slot);
		int err = unknown_get(s, slot, &e);
		if (err)
			return err;
		ps_id id = id_make(slot, entry_generation(&e));
		if (!entry_lives(&e) || id < from)
			continue;
		if (fn(arg, id))
			return ps_fail(PS_ECANCELED, "%s: ended by the caller at object 0x%llx", s->path, (unsigned long long)id);
	}
	return PS_OK;
}

#define BASE_MEMBER(name, params) .name = base_##name,
const struct ps_storer_ops base_ops = {.name = "base", .caps = base_caps, .writer_id = base_writer_id,
				       PS_STORER_SLOTS(BASE_MEMBER)};
