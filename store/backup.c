/* Hot backup: a cut of the whole store (cut.c) goes into a new one (restore.c), object by object with the
 * same ids; writers go on. The copy has no intervals and no note: it is no store that a cut was ever made of.
 */
#include <sys/param.h>

#include "base/new_file.h"
#include "store/base_internal.h"
#include "store/placement.h"

enum { TELL_OBJECTS = 256, TELL_BYTES = 4 << 20 };

struct copy {
	struct ps_restore *to;
	const struct ps_cut_object *object;
	const char *path;
	uint64_t done, total, told;
	unsigned untold; /* objects since the caller was told last */
	ps_progress_fn fn;
	void *arg;
};

static int tell(struct copy *c)
{
	struct ps_progress progress = {"backup", c->done, c->total};
	c->told = c->done;
	c->untold = 0;
	if (c->fn && c->fn(c->arg, &progress))
		return ps_fail(PS_ECANCELED, "%s: backup ended by the caller", c->path);
	return PS_OK;
}

static int copy_bytes(void *arg, uint64_t offset, const void *data, size_t len)
{
	struct copy *c = arg;
	(void)offset;
	(void)len;
	return ps_restore_object(c->to, c->object, data);
}

static int copy_piece(void *arg, uint64_t offset, const void *data, size_t len)
{
	struct copy *c = arg;
	return ps_restore_piece(c->to, offset, data, len);
}

static int copy_object(struct copy *c, struct ps_cut *cut, const struct ps_cut_object *object)
{
	c->object = object;
	if (object->kind == PS_CUT_BYTES)
		return ps_cut_pieces(cut, copy_bytes, c);
	int err = ps_restore_object(c->to, object, NULL);
	return err || object->kind != PS_CUT_CHUNKS ? err : ps_cut_pieces(cut, copy_piece, c);
}

static int copy_all(struct copy *c, struct ps_cut *cut)
{
	struct ps_cut_object object;
	int err;
	while ((err = ps_cut_next(cut, &object)) == PS_OK) {
		err = copy_object(c, cut, &object);
		c->done += object.size;
		if (!err && (++c->untold == TELL_OBJECTS || c->done - c->told >= TELL_BYTES))
			err = tell(c);
		if (err)
			return err;
	}
	return err == PS_ENOTFOUND ? PS_OK : err;
}

/* The sentence is that of what failed, not of what is cleared away. */
static int give_up(struct copy *c, int err)
{
	char why[256];
	(void)snprintf(why, sizeof(why), "%s", ps_last_error_message());
	ps_restore_abort(c->to);
	return ps_fail(err, "%s", why);
}

static int copy_store(struct copy *c, struct store *from, struct store *to)
{
	struct ps_cut *cut;
	struct ps_cut_info info;
	int err = restore_plain(to, &c->to);
	if (err)
		return err;
	err = cut_whole(from, &cut, &info);
	if (err) {
		ps_restore_abort(c->to);
		return err;
	}
	c->total = info.live_bytes;
	err = copy_all(c, cut);
	ps_cut_end(cut);
	if (err)
		return give_up(c, err);
	err = ps_restore_finish(c->to, &info);
	return err ? err : tell(c);
}

/* ---- the file ---- */

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

static int copy_to(struct store *s, ps_storer *to, ps_progress_fn fn, void *arg)
{
	struct copy c = {.path = s->path, .fn = fn, .arg = arg};
	char why[256];
	int err = take_classes(s, to);
	if (!err)
		err = copy_store(&c, s, store_of(to));
	(void)snprintf(why, sizeof(why), "%s", ps_last_error_message());
	int closed = ps_close(to);
	return err ? ps_fail(err, "%s", why) : closed;
}

int base_backup(ps_storer *st, const char *path, ps_progress_fn fn, void *arg)
{
	struct store *s = store_of(st);
	struct ps_base_options options = {.size = sizeof(options),
	                                  .mode = PS_OPEN_CREATE_NEW,
	                                  .durability = PS_RELAXED,
	                                  .background = PS_BACKGROUND_NONE};
	char temporary[PATH_MAX];
	ps_storer *to;
	options.memory_budget = MAX(s->budget / 4, (uint64_t)48 << 20);
	int err = ps_new_file_begin(path, temporary);
	if (!err)
		err = ps_restore_open(temporary, &options, &to);
	return err ? err : ps_new_file_end(temporary, path, copy_to(s, to, fn, arg));
}
