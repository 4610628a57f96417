/* ps_clone and ps_push_history. A clone is written under a temporary name beside its own, and takes its own
 * only when all of it is durable, its note included: a crash leaves a ".partial-" file, or the whole clone.
 */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/new_file.h"
#include "base/options.h"
#include "multistore/attached.h"
#include "multistore/log_behind.h"
#include "multistore/loss.h"
#include "multistore/push_internal.h"
#include "multistore/state_lookup.h"
#include "multistore/state_reader.h"

struct clone {
	ps_remote *r;
	struct ps_memory memory;
	struct ps_clone_options options;
	struct ps_push_manifest manifest;
	const struct ps_push_manifest_state *state;
	struct ps_restore *restore;
	ps_state_reader *reader;
	ps_state_lookup *lookup;    /* of a lazy clone, instead */
	struct ps_log_behind *log;  /* of the newest state; NULL */
	struct ps_cut_info reached; /* what the log brings the state to */
	uint64_t objects, bytes;    /* so far */
	uint64_t received_before, shown; /* for the progress */
	uint64_t written;           /* to the file */
	char temporary[PATH_MAX];
	struct ps_push_note note; /* of the new file: with the hold, if that was taken */
};

static int tell(struct clone *c, uint64_t done)
{
	struct ps_progress shown = {.phase = "clone", .total = c->state->info.live_bytes};
	if (c->shown < done)
		c->shown = done;
	shown.done = c->shown;
	if (!c->options.progress || c->options.progress(c->options.progress_arg, &shown) == 0)
		return PS_OK;
	return ps_fail(PS_ECANCELED, "the clone was given up by its caller");
}

static int show(struct clone *c)
{
	return tell(c, c->bytes);
}

/* What comes is packs: of the contents there is about as much as of them, and all only when it is written. */
static int show_received(void *arg)
{
	struct clone *c = arg;
	struct ps_remote_stats stats;
	uint64_t packs = 0, all = c->state->info.live_bytes;
	for (uint32_t i = 0; i < c->state->runs; i++)
		packs += c->manifest.runs[c->state->run[i]].bytes;
	if (packs == 0 || all == 0 || ps_remote_stats(c->r, &stats))
		return show(c);
	double part = (double)(stats.received_bytes - c->received_before) / (double)packs;
	uint64_t come = part < 1 ? (uint64_t)((double)all * part) : all;
	return tell(c, come < all ? come : all - 1);
}

/* ---- which state ---- */

static int find_state(struct clone *c)
{
	const struct ps_push_manifest *m = &c->manifest;
	for (uint32_t i = 0; i < m->state_count && !c->state; i++)
		if (c->options.state == 0 || m->states[i].info.here.interval == c->options.state)
			c->state = &m->states[i];
	return c->state ? PS_OK
	                : ps_fail(PS_ENOTFOUND, "state %llu is not kept here",
	                          (unsigned long long)c->options.state);
}

/* ---- contents ---- */

/* What cannot be restored is none of what a store has, whoever sealed it. */
static int not_possible(const struct clone *c, int err)
{
	char sentence[512];
	if (err != PS_EINVAL)
		return err;
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	return ps_fail(PS_ECORRUPT, "state %llu: %s", (unsigned long long)c->state->info.here.interval,
	               sentence);
}

static int copy_pieces(struct clone *c)
{
	uint64_t offset;
	const uint8_t *bytes;
	size_t len;
	int err;
	while ((err = ps_log_behind_piece(c->log, c->reader, &offset, &bytes, &len)) == PS_OK) {
		err = not_possible(c, ps_restore_piece(c->restore, offset, bytes, len));
		if (!err)
			err = show(c);
		if (err)
			return err;
	}
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static int copy_object(struct clone *c, const struct ps_cut_object *object, const uint8_t *bytes)
{
	int err = not_possible(
	    c, ps_restore_object(c->restore, object, object->kind == PS_CUT_BYTES ? bytes : NULL));
	if (!err && object->kind == PS_CUT_CHUNKS)
		err = copy_pieces(c);
	c->objects += object->kind != PS_CUT_GONE;
	c->bytes += object->size;
	return err ? err : show(c);
}

static int copy_all(struct clone *c)
{
	struct ps_cut_object object;
	const uint8_t *bytes;
	int err = PS_OK;
	while (!err) {
		err = ps_log_behind_next(c->log, c->reader, &object, &bytes);
		if (!err)
			err = copy_object(c, &object, bytes);
		else if (err == PS_ENOTFOUND)
			break;
	}
	if (err != PS_ENOTFOUND)
		return err;
	const struct ps_cut_info *info = &c->reached;
	if (c->objects != info->objects || c->bytes != info->live_bytes)
		return ps_fail(
		    PS_ECORRUPT,
		    "state %llu has %llu objects of %llu bytes in its packs, and should have %llu of %llu",
		    (unsigned long long)info->here.interval, (unsigned long long)c->objects,
		    (unsigned long long)c->bytes, (unsigned long long)info->objects,
		    (unsigned long long)info->live_bytes);
	return PS_OK;
}

/* What the log has changed is here; all else is told by the state, or by a later one that has it so. */
static int copy_lazily(struct clone *c)
{
	const struct ps_state_lookup_options options = {.state = c->state->info.here.interval,
	                                                .manifest = &c->manifest};
	const struct ps_restore_rest rest = {c->state->info.here.interval, c->reached.slots};
	struct ps_cut_object object;
	const uint8_t *bytes;
	int err = rest.slots ? ps_restore_rest(c->restore, &rest) : PS_OK;
	if (!err && !(c->log && ps_log_behind_groups(c->log)))
		return PS_OK;
	if (!err)
		err = ps_state_lookup_open(&c->memory, c->r, &options, &c->lookup);
	while (!err) {
		err = ps_log_behind_alone(c->log, c->lookup, &object, &bytes);
		if (err == PS_ENOTFOUND)
			return PS_OK;
		if (!err)
			err = copy_object(c, &object, bytes);
	}
	return err;
}

/* What packs have, some of it replaced by later ones, or what objects have, some of it zeros that no pack
 * has. */
static uint64_t contents_of(const struct clone *c)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < c->state->runs; i++)
		bytes += c->manifest.runs[c->state->run[i]].contents;
	return bytes < c->reached.live_bytes ? bytes : c->reached.live_bytes;
}

static int fill(struct clone *c, ps_storer *s)
{
	/* As after a crash: ids that the lost store gave out behind the state are not given out again. */
	struct ps_cut_info info = c->reached;
	info.crashes++;
	int err = ps_restore_begin(s, &c->restore);
	if (err)
		return err;
	if (!c->options.lazy)
		ps_restore_expect(c->restore, contents_of(c));
	err = c->options.lazy ? copy_lazily(c) : copy_all(c);
	if (!err)
		err = not_possible(c, ps_restore_finish(c->restore, &info));
	else
		ps_restore_abort(c->restore);
	return err;
}

/* A clone of an earlier state has no note: what it would push is another line of states. */
static int note_state(struct clone *c, ps_storer *s)
{
	struct ps_push_note note = c->note;
	struct ps_stats stats;
	int err = ps_stats(s, &stats);
	if (err)
		return err;
	c->written = stats.bytes_written;
	if (c->state != ps_push_manifest_newest(&c->manifest))
		return PS_OK;
	memcpy(note.last, c->state->mark, sizeof(note.last));
	memcpy(note.line, c->manifest.hold.line, sizeof(note.line));
	memcpy(note.published, c->manifest.hold.mark, sizeof(note.published));
	note.number = c->state->info.here.interval;
	note.reached = c->reached.here.interval;
	note.commit = c->log && ps_log_behind_groups(c->log) > 0
	                  ? 0
	                  : stats.last_commit; /* what the log has is not pushed */
	note.seen_ns = push_manifest_time(c->r);
	return ps_push_note_set(s, &note);
}

/* ---- the file ---- */

enum { LOG_LEAST = 1 << 20, LOG_MOST = 8 << 20, LOG_SHARE = 64, BUDGET_SHARE = 8 };

/* About what the store would move its log to once all is there (store/checkpoint.c): given at once, nothing
 * is written for that at the end, and no hole is left. */
static uint64_t log_bytes(const struct clone *c, uint64_t memory_budget)
{
	uint64_t bytes = LOG_LEAST, wanted = c->reached.live_bytes / LOG_SHARE;
	uint64_t most = memory_budget ? memory_budget / BUDGET_SHARE : LOG_MOST;
	while (bytes < LOG_MOST && 2 * bytes <= wanted && 2 * bytes <= most)
		bytes *= 2;
	return bytes;
}

static int open_base(const struct clone *c, ps_storer **base)
{
	struct ps_base_options options = {.size = sizeof(options)};
	if (c->options.base)
		memcpy(&options, c->options.base, c->options.base->size);
	options.mode = options.use_fd ? PS_OPEN_DEFAULT : PS_OPEN_CREATE_NEW;
	options.log_bytes = options.log_bytes ? options.log_bytes : log_bytes(c, options.memory_budget);
	return ps_restore_open(c->temporary, &options, base);
}

int push_close_failed(ps_storer *s, int err)
{
	char sentence[512];
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	(void)!ps_close(s);
	return ps_fail(err, "%s", sentence);
}

/* Small contents go to classes, as in a store that multi opens for the first time. */
static int fill_and_close(struct clone *c, ps_storer *base)
{
	ps_storer *s = base;
	int err = ps_multi_open_attached(base, c->options.multi, NULL, &s);
	if (!err)
		err = fill(c, s);
	if (!err)
		err = note_state(c, s);
	return err ? push_close_failed(s, err) : ps_close(s);
}

/* No path: into the descriptor that the base options have. */
static int write_file(struct clone *c, const char *path)
{
	ps_storer *base;
	int err = open_base(c, &base);
	if (err)
		return err;
	err = fill_and_close(c, base);
	return path ? ps_new_file_end(c->temporary, path, err) : err;
}

/* ---- the calls ---- */

static int take_options(struct clone *c, const char *path, const struct ps_clone_options *options)
{
	int err = ps_options_take(&c->options, sizeof(c->options), options, "clone options");
	if (err)
		return err;
	if (c->options.take_over && c->options.state)
		return ps_fail(PS_EINVAL, "clone options: only the newest state can be taken over");
	const struct ps_base_options *base = c->options.base;
	if (base && (base->size > sizeof(*base) || base->size < sizeof(base->size) || base->use_fd != !path))
		return ps_fail(PS_EINVAL,
		               "clone options: the base options are no known struct, or name a descriptor");
	return PS_OK;
}

/* What it is called until it has a name of its own. */
static int begin_file(struct clone *c, const char *path)
{
	if (path)
		return ps_new_file_begin(path, c->temporary);
	snprintf(c->temporary, sizeof(c->temporary), "state %llu", (unsigned long long)c->options.state);
	return PS_OK;
}

static int canceled(void *arg, const struct ps_remote_progress *progress)
{
	(void)progress;
	return show(arg) != PS_OK;
}

/* Only the newest state has a log behind it. */
static int read_log(struct clone *c)
{
	c->reached = c->state->info;
	if (c->state != ps_push_manifest_newest(&c->manifest) || c->options.state != 0 ||
	    c->options.without_log)
		return PS_OK;
	return ps_log_behind_new(&c->memory, c->r, &c->manifest, canceled, c, &c->reached, &c->log);
}

/* Before the contents are read: from then on nobody pushes a newer state. A crash leaves a hold that no file
 * has, and that is taken over like any other. */
static int take_hold(struct clone *c)
{
	struct push p = {.r = c->r};
	p.options.progress = c->options.progress;
	p.options.progress_arg = c->options.progress_arg;
	ps_memory_init(&p.memory, NULL);
	ps_push_manifest_init(&p.old, &p.memory);
	ps_push_manifest_init(&p.next, &p.memory);
	int err = push_take_hold(&p);
	if (!err)
		c->note = p.note;
	ps_push_manifest_done(&p.old);
	ps_push_manifest_done(&p.next);
	ps_memory_done(&p.memory);
	return err;
}

/* What has been asked for comes while the log is read and the file is made. */
static int begin_reading(struct clone *c)
{
	struct ps_remote_stats stats;
	if (c->options.lazy)
		return PS_OK;
	int err = ps_remote_stats(c->r, &stats);
	c->received_before = err ? 0 : stats.received_bytes;
	if (!err)
		err = ps_state_reader_new(&c->memory, c->r, &c->manifest, c->state, &c->reader);
	if (!err)
		ps_state_reader_on_wait(c->reader, show_received, c);
	return err;
}

static void end_reading(struct clone *c)
{
	ps_state_reader_free(c->reader);
	ps_state_lookup_free(c->lookup);
	c->reader = NULL;
	c->lookup = NULL;
}

static int look(struct clone *c)
{
	int err = c->options.take_over ? take_hold(c) : ps_remote_sync(c->r, NULL, NULL, NULL);
	if (!err)
		err = push_read_manifest(c->r, PS_PUSH_MANIFEST_KEY, &c->manifest);
	if (!err)
		err = find_state(c);
	if (!err)
		err = begin_reading(c);
	return err ? err : read_log(c);
}

static int clone_to(struct clone *c, const char *path, struct ps_clone_result *result)
{
	struct ps_remote_stats before, after;
	int err = ps_remote_stats(c->r, &before);
	if (!err)
		err = look(c);
	if (!err)
		err = write_file(c, path);
	end_reading(c);
	if (ps_loss_is(err) && c->state)
		err = ps_loss_judge_state(&c->memory, c->r, c->state->info.here.interval, err, canceled, c);
	if (!err)
		err = ps_remote_stats(c->r, &after);
	if (!err && result)
		*result = (struct ps_clone_result){
		    .state = c->state->info.here.interval,
		    .commit = c->reached.commit,
		    .log_groups = c->log ? ps_log_behind_groups(c->log) : 0,
		    .objects = c->reached.objects,
		    .bytes = c->reached.live_bytes,
		    .received_bytes = after.received_bytes - before.received_bytes,
		    .requests = after.requests - before.requests,
		    .written_bytes = c->written,
		};
	return err;
}

int push_clone(ps_remote *r, const char *path, const struct ps_clone_options *options,
               struct ps_clone_result *result, struct ps_push_manifest *manifest)
{
	struct clone c = {.r = r};
	int err = take_options(&c, path, options);
	if (!err)
		err = begin_file(&c, path);
	if (err)
		return err;
	ps_memory_init(&c.memory, NULL);
	ps_push_manifest_init(&c.manifest, &c.memory);
	err = clone_to(&c, path, result);
	if (!err && manifest) /* what fails here costs that it is read again */
		(void)!ps_push_manifest_copy(&c.manifest, manifest);
	ps_log_behind_free(c.log);
	ps_push_manifest_done(&c.manifest);
	ps_memory_done(&c.memory);
	return err;
}

int ps_clone(ps_remote *r, const char *path, const struct ps_clone_options *options,
             struct ps_clone_result *result)
{
	if (!r || !path)
		return ps_fail(PS_EINVAL, "ps_clone: no remote, or no path");
	return push_clone(r, path, options, result, NULL);
}

static struct ps_push_state told_state(const struct ps_push_manifest *m,
                                       const struct ps_push_manifest_state *s)
{
	struct ps_push_state told = {.state = s->info.here.interval,
	                             .commit = s->info.commit,
	                             .time_ns = s->time_ns,
	                             .objects = s->info.objects,
	                             .bytes = s->info.live_bytes,
	                             .runs = s->runs,
	                             .newest = s == ps_push_manifest_newest(m)};
	for (uint32_t i = 0; i < s->runs; i++) {
		told.packs += m->runs[s->run[i]].packs;
		told.pack_bytes += m->runs[s->run[i]].bytes;
	}
	return told;
}

int ps_push_history(ps_remote *r, ps_push_state_fn fn, void *arg)
{
	struct ps_memory memory;
	struct ps_push_manifest m;
	if (!r || !fn)
		return ps_fail(PS_EINVAL, "ps_push_history: no remote, or no callback");
	ps_memory_init(&memory, NULL);
	ps_push_manifest_init(&m, &memory);
	int err = push_read_manifest(r, PS_PUSH_MANIFEST_KEY, &m);
	for (uint32_t i = 0; i < m.state_count && !err; i++) {
		struct ps_push_state told = told_state(&m, &m.states[i]);
		if (fn(arg, &told) != 0)
			err = ps_fail(PS_ECANCELED, "the list of states was given up by its caller");
	}
	ps_push_manifest_done(&m);
	ps_memory_done(&memory);
	return err;
}

int ps_push_holder(ps_remote *r, struct ps_push_holder *holder)
{
	struct ps_memory memory;
	struct ps_push_manifest m;
	if (!r || !holder)
		return ps_fail(PS_EINVAL, "ps_push_holder: no remote, or no place for who it is");
	ps_memory_init(&memory, NULL);
	ps_push_manifest_init(&m, &memory);
	int err = push_read_manifest(r, PS_PUSH_MANIFEST_KEY, &m);
	if (!err) {
		*holder = (struct ps_push_holder){.since_ns = m.hold.since_ns, .epoch = m.hold.epoch};
		memcpy(holder->text, m.hold.text, sizeof(holder->text));
	}
	ps_push_manifest_done(&m);
	ps_memory_done(&memory);
	return err;
}
