/* Hot backup: a cut keeps the table as it was at one commit, by saving a leaf before its first change, and keeps what is freed
 * after it from being used anew. The copy is a new store, object by object with the same ids; writers go on. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/param.h>
#include <unistd.h>

#include "store/base_internal.h"
#include "store/placement.h"

enum { COPY_OBJECTS = 256, COPY_BYTES = 4 << 20 };

struct saved_leaf {
	struct saved_leaf *next;
	uint64_t number;
	struct entry entries[FANOUT];
};

struct cut {
	struct store *s;
	uint64_t leaves; /* that there were */
	uint64_t next;   /* leaves below were copied: they may change as they like */
	struct saved_leaf *saved[256];
	uint64_t held, limit;
	bool dropped;
};

static struct saved_leaf **find_saved(struct cut *cut, uint64_t number)
{
	struct saved_leaf **at = &cut->saved[number % 256];
	while (*at && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

/* From here on its owner gets PS_ENOSPC. What it held comes back at the next look. Under store.lock. */
void cut_drop(struct store *s)
{
	s->cut->dropped = true;
	s->cut = NULL;
}

bool cut_holds(struct store *s, uint64_t bytes)
{
	s->cut->held += bytes;
	if (s->cut->held <= s->cut->limit)
		return true;
	cut_drop(s);
	return false;
}

static int copy_leaf(struct store *s, uint64_t number, struct entry *entries)
{
	int err = PS_OK;
	for (uint64_t i = 0; i < FANOUT && !err; i++)
		err = table_get(&s->table, number * FANOUT + i, &entries[i]);
	return err;
}

static void save_leaf(struct store *s, uint64_t number)
{
	struct saved_leaf **at = find_saved(s->cut, number);
	if (*at)
		return;
	struct saved_leaf *leaf = ps_memory_zalloc(&s->memory, sizeof(*leaf));
	if (!leaf || copy_leaf(s, number, leaf->entries) != PS_OK) {
		ps_memory_free(&s->memory, leaf, sizeof(*leaf));
		cut_drop(s);
		return;
	}
	leaf->number = number;
	*at = leaf;
}

void cut_before_commit(struct store *s, const struct change *changes, size_t n)
{
	for (size_t i = 0; i < n && s->cut; i++) {
		uint64_t number = id_slot(changes[i].id) / FANOUT;
		if (number >= s->cut->next && number < s->cut->leaves)
			save_leaf(s, number);
	}
}

static int cut_begin(struct store *s, struct cut *cut)
{
	while (rebuild_help(s))
		;
	pthread_mutex_lock(&s->lock);
	int err = s->cut ? ps_fail(PS_EBUSY, "%s: another backup is under way", s->path) : space_ensure_read(s);
	if (!err) {
		*cut = (struct cut){.s = s, .leaves = (atomic_load(&s->table.slots) + FANOUT - 1) / FANOUT};
		cut->limit = s->options.pin_limit ? s->options.pin_limit : MAX(s->space.end / 4, (uint64_t)1 << 20);
		s->cut = cut;
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

static void cut_end(struct cut *cut)
{
	struct store *s = cut->s;
	pthread_mutex_lock(&s->lock);
	if (s->cut == cut)
		s->cut = NULL;
	pthread_mutex_unlock(&s->lock);
	for (int i = 0; i < 256; i++) {
		while (cut->saved[i]) {
			struct saved_leaf *leaf = cut->saved[i];
			cut->saved[i] = leaf->next;
			ps_memory_free(&s->memory, leaf, sizeof(*leaf));
		}
	}
}

/* The leaf as it was at the cut. */
static int cut_leaf(struct cut *cut, uint64_t number, struct entry entries[FANOUT])
{
	struct store *s = cut->s;
	pthread_mutex_lock(&s->lock);
	struct saved_leaf **at = find_saved(cut, number), *leaf = *at;
	int err = PS_OK;
	if (cut->dropped) {
		err = ps_fail(PS_ENOSPC, "%s: writers freed more than the backup may hold back", s->path);
	} else if (leaf) {
		memcpy(entries, leaf->entries, sizeof(leaf->entries));
		*at = leaf->next;
		ps_memory_free(&s->memory, leaf, sizeof(*leaf));
	} else {
		err = copy_leaf(s, number, entries);
	}
	cut->next = number + 1;
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* ---- copying ------------------------------------------------------------------------------------------------------------ */

struct copy {
	struct cut cut;
	struct store *from, *to;
	struct change *changes;
	uint8_t *buffers; /* one CHUNK for each change at most: contents until the commit */
	size_t count;
	struct write_set writes; /* of all changes */
	uint64_t bytes, done, total;
	struct map_writer *map;
	ps_progress_fn fn;
	void *arg;
};

static int copy_commit(struct copy *c)
{
	int err = c->count ? commit_changes(c->to, c->changes, c->count, PS_RELAXED, NULL) : PS_OK;
	for (size_t i = 0; i < c->count; i++) {
		if (err && !c->changes[i].committed)
			change_undo(c->to, &c->changes[i]);
		change_done(c->to, &c->changes[i]);
	}
	c->count = 0;
	c->bytes = 0;
	struct ps_progress progress = {"backup", c->done, c->total};
	if (!err && c->fn && c->fn(c->arg, &progress))
		err = ps_fail(PS_ECANCELED, "%s: backup ended by the caller", c->from->path);
	return err;
}

static int copy_chunk(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	struct copy *c = arg;
	const uint8_t *data;
	(void)extent;
	if (chunk == MAP_NO_CHUNK)
		return PS_OK;
	int err = pool_pin(&c->from->pool, blob, c->map->id, &data);
	if (err)
		return err;
	err = map_write_chunks(c->map, chunk, data, blob->len);
	pool_unpin(&c->from->pool, blob->place);
	return err;
}

static int copy_map(struct copy *c, struct change *change, const struct entry *e)
{
	struct map_writer m;
	change->stream = true;
	map_writer_init(&m, c->to, change, NULL);
	c->map = &m;
	int err = map_extents(c->from, change->id, e, copy_chunk, c);
	if (!err)
		err = map_writer_finish(&m, entry_size(e));
	map_writer_done(&m);
	return err;
}

static int copy_contents(struct copy *c, struct change *change, const struct entry *e)
{
	uint8_t *buffer = c->buffers + c->count * CHUNK;
	if (entry_kind(e) == ENTRY_MAP)
		return copy_map(c, change, e);
	if (entry_kind(e) != ENTRY_DATA) {
		change->entry = entry_make(ENTRY_ZERO, 0, entry_size(e), 0, 0, entry_generation(e));
		return PS_OK;
	}
	int err = object_read(c->from, change->id, e, 0, buffer, entry_size(e));
	return err ? err : change_contents(c->to, change, buffer, entry_size(e));
}

static int copy_entry(struct copy *c, uint64_t slot, const struct entry *e)
{
	struct change *change = &c->changes[c->count];
	bool lives = entry_kind(e) != ENTRY_FREE;
	if (!lives && !e->w[3])
		return PS_OK;
	/* An id that is used up keeps its generation. */
	change_init(change, lives ? CHANGE_NEW : CHANGE_UNUSED, id_make(slot, entry_generation(e)));
	change->set = &c->writes;
	change->entry = *e;
	int err = lives ? copy_contents(c, change, e) : PS_OK;
	c->count++;
	c->bytes += entry_size(e);
	c->done += entry_size(e);
	if (err)
		return err;
	return c->count == COPY_OBJECTS || c->bytes >= COPY_BYTES ? copy_commit(c) : PS_OK;
}

static int copy_all(struct copy *c)
{
	struct entry entries[FANOUT];
	int err = PS_OK;
	/* A leaf that is nowhere by now had no entries at the cut either: one that a commit changed is in memory or on disk. */
	for (uint64_t number = 0; !err; number++) {
		number = table_next(&c->from->table, number * FANOUT) / FANOUT;
		if (number >= c->cut.leaves)
			break;
		err = cut_leaf(&c->cut, number, entries);
		for (uint64_t i = 0; i < FANOUT && !err; i++)
			err = copy_entry(c, number * FANOUT + i, &entries[i]);
	}
	return err ? err : copy_commit(c);
}

static int copy_store(struct copy *c)
{
	struct ps_memory *m = &c->to->memory;
	c->changes = ps_memory_alloc(m, COPY_OBJECTS * sizeof(*c->changes));
	c->buffers = ps_memory_alloc(m, (size_t)COPY_OBJECTS * CHUNK);
	c->total = atomic_load(&c->from->table.live_bytes);
	c->to->crashes = c->from->crashes;
	int err = c->changes && c->buffers ? PS_OK : ps_fail(PS_ENOMEM, "%s: no memory for a backup", c->from->path);
	if (!err)
		err = cut_begin(c->from, &c->cut);
	if (!err) {
		err = copy_all(c);
		staging_abandon(c->to, &c->writes);
		for (size_t i = 0; i < c->count; i++) {
			change_undo(c->to, &c->changes[i]);
			change_done(c->to, &c->changes[i]);
		}
		cut_end(&c->cut);
	}
	ps_memory_free(m, c->changes, COPY_OBJECTS * sizeof(*c->changes));
	ps_memory_free(m, c->buffers, (size_t)COPY_OBJECTS * CHUNK);
	return err;
}

/* ---- the file --------------------------------------------------------------------------------------------------------------- */

static int sync_folder(const char *path)
{
	char copy[4096];
	if (strlen(path) >= sizeof(copy))
		return ps_fail(PS_EINVAL, "backup: path is too long");
	strcpy(copy, path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) ? ps_fail_errno(errno, "%s: cannot sync its folder", path) : PS_OK;
	if (fd >= 0)
		(void)close(fd);
	return err;
}

/* The copy has the classes of the store, and small contents in slots where the store routes them there. */
static int take_classes(struct store *s, ps_storer *to)
{
	struct ps_placement placement;
	if (!s->classes)
		return PS_OK;
	placement.classes = s->classes->table;
	placement.route_max = ps_get32(s->sb.classes.route_max);
	int err = base_use_placement(to, &placement);
	atomic_store(&store_of(to)->route_max, atomic_load(&s->route_max));
	return err;
}

static int copy_to(struct store *s, const char *temporary, ps_progress_fn fn, void *arg)
{
	struct ps_base_options options = {.size = sizeof(options), .mode = PS_OPEN_CREATE_NEW, .durability = PS_RELAXED,
					  .background = PS_BACKGROUND_NONE};
	struct copy *c = calloc(1, sizeof(*c));
	ps_storer *to;
	if (!c)
		return ps_fail(PS_ENOMEM, "%s: no memory for a backup", s->path);
	options.memory_budget = MAX(s->budget / 4, (uint64_t)48 << 20);
	int err = ps_base_open(temporary, &options, &to);
	if (!err) {
		c->from = s;
		c->to = store_of(to);
		c->fn = fn;
		c->arg = arg;
		err = take_classes(s, to);
		if (!err)
			err = copy_store(c);
		int closed = ps_close(to);
		err = err ? err : closed;
	}
	free(c);
	return err;
}

int base_backup(ps_storer *st, const char *path, ps_progress_fn fn, void *arg)
{
	struct store *s = store_of(st);
	char temporary[4096];
	if (access(path, F_OK) == 0)
		return ps_fail(PS_EEXIST, "%s: exists already", path);
	if (snprintf(temporary, sizeof(temporary), "%s.partial-%ld", path, (long)getpid()) >= (int)sizeof(temporary))
		return ps_fail(PS_EINVAL, "backup: path is too long");
	int err = copy_to(s, temporary, fn, arg);
	if (!err && renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE))
		err = errno == EEXIST ? ps_fail(PS_EEXIST, "%s: exists already", path)
				      : ps_fail_errno(errno, "%s: cannot be renamed to %s", temporary, path);
	if (err)
		(void)unlink(temporary);
	return err ? err : sync_folder(path);
}
