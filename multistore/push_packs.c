/* Sending: the cut is walked by the caller's thread, which cuts it into packs; each pack is put by a thread
 * of its own, through a pipe. While the last pads of one are confirmed the next one is under way, so that the
 * network does not rest between them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/thread.h"
#include "base/tokens.h"
#include "multistore/pipe.h"
#include "multistore/push_internal.h"

enum { PIPE_BYTES = 1 << 20, SENDERS = 2, SENTENCE = 512 };

struct sender {
	ps_remote *r;
	struct ps_pipe *pipe;
	enum ps_token_class class; /* the push's */
	pthread_t thread;
	char name[PS_PACK_NAME];
	uint64_t given;         /* bytes of the pack: the packer's */
	uint64_t confirmed;     /* of them: the thread's, until it is joined */
	atomic_ullong *arrived; /* the push's, of all packs */
	atomic_bool canceled;
	int err;
	char sentence[SENTENCE];
	bool runs;
};

struct packer {
	struct push *p;
	struct sender senders[SENDERS];
	unsigned turn;          /* whose is the next pack */
	struct sender *current; /* of the writer's pack */
	ps_pack_writer *writer;
	uint32_t number; /* of the next pack */
	struct ps_cut_object object;
	bool given;           /* the object was given to the writer */
	uint64_t next_offset; /* its pieces before this one are in packs */
};

/* ---- a sender ---- */

static int read_pipe(void *arg, void *buf, size_t len, size_t *got)
{
	struct sender *s = arg;
	return ps_pipe_read(s->pipe, buf, len, got);
}

static int still_wanted(void *arg, const struct ps_remote_progress *progress)
{
	struct sender *s = arg;
	if (progress->bytes_done > s->confirmed) {
		atomic_fetch_add(s->arrived, progress->bytes_done - s->confirmed);
		s->confirmed = progress->bytes_done;
	}
	return atomic_load(&s->canceled);
}

static void *send_pack(void *arg)
{
	struct sender *s = arg;
	(void)ps_tokens_set_class(s->class);
	if (s->class == PS_TOKEN_BACKGROUND)
		ps_thread_stand_back();
	const struct ps_remote_put options = {
	    .size = sizeof(options), .progress = still_wanted, .progress_arg = s};
	s->err = ps_remote_put_stream(s->r, s->name, PS_SIZE_UNKNOWN, read_pipe, s, &options);
	if (s->err)
		snprintf(s->sentence, sizeof(s->sentence), "%s", ps_last_error_message());
	ps_pipe_end(s->pipe, s->err);
	return NULL;
}

static int start_sender(struct packer *k, struct sender *s, const struct ps_pack_about *about)
{
	*s = (struct sender){.r = k->p->r, .class = ps_tokens_class(), .arrived = &k->p->arrived};
	ps_pack_name(about, s->name);
	int err = ps_pipe_new(&k->p->memory, PIPE_BYTES, &s->pipe);
	if (err)
		return err;
	if (ps_thread_start(&s->thread, send_pack, s)) {
		ps_pipe_free(s->pipe);
		return ps_fail(PS_ENOMEM, "%s: no thread to send it", s->name);
	}
	s->runs = true;
	return PS_OK;
}

static int show(void *arg)
{
	return push_show(arg);
}

/* Its pack is closed: waits until it is confirmed. */
static int finish_sender(struct packer *k, struct sender *s)
{
	if (!s->runs)
		return PS_OK;
	int err = ps_pipe_wait(s->pipe, show, k->p);
	if (err)
		atomic_store(&s->canceled, true);
	(void)pthread_join(s->thread, NULL);
	ps_pipe_free(s->pipe);
	s->runs = false;
	if (err)
		return err;
	if (s->err)
		return ps_fail(s->err, "%s: %s", s->name, s->sentence);
	if (s->given > s->confirmed)
		atomic_fetch_add(s->arrived, s->given - s->confirmed);
	return push_show(k->p);
}

/* The first failure is the one that is told, with its sentence. */
static void stop_sender(struct sender *s)
{
	if (!s->runs)
		return;
	atomic_store(&s->canceled, true);
	ps_pipe_close(s->pipe, PS_ECANCELED);
	(void)pthread_join(s->thread, NULL);
	ps_pipe_free(s->pipe);
	s->runs = false;
}

/* ---- packs ---- */

static int write_pack(void *arg, const void *data, size_t len)
{
	struct packer *k = arg;
	k->current->given += len;
	k->p->given += len;
	int err = ps_pipe_write(k->current->pipe, data, len, show, k->p);
	/* What the reader gave up with has its sentence in its own thread. */
	return err && err != PS_ECANCELED ? finish_sender(k, k->current) : err;
}

/* Before an object, or a piece, counts as done: a block that was given for want of room has none of it. */
static void note_blocks(struct push *p)
{
	if (p->in_blocks == p->given)
		return;
	p->in_blocks = p->given;
	p->of_blocks = p->done - p->taken;
}

static int begin_pack(struct packer *k, bool continues)
{
	struct push *p = k->p;
	struct ps_pack_about about = {.number = k->number, .since = p->since, .upto = p->info.here.interval};
	memcpy(about.mark, p->mark, sizeof(about.mark));
	struct sender *s = &k->senders[k->turn];
	int err = finish_sender(k, s);
	if (!err)
		err = start_sender(k, s, &about);
	if (err)
		return err;
	k->turn = (k->turn + 1) % SENDERS;
	k->number++;
	k->current = s;
	return ps_pack_writer_new(&p->memory, &about, p->options.compression, continues ? &k->object : NULL,
	                          k->next_offset, write_pack, k, &k->writer);
}

static int end_pack(struct packer *k, bool open)
{
	struct ps_pack_tail tail;
	uint64_t bytes;
	if (!k->writer)
		return PS_OK;
	int err = ps_pack_writer_finish(k->writer, open, &tail, &bytes);
	if (err)
		return err;
	ps_pipe_close(k->current->pipe, PS_OK);
	ps_pack_writer_free(k->writer);
	k->writer = NULL;
	note_blocks(k->p);
	k->p->result.packs++;
	return push_add_pack(k->p, &tail, bytes);
}

/* Room for an item of so many bytes, in this pack or a new one. A pack has an item at least. */
static int make_room(struct packer *k, size_t len, bool piece)
{
	int err = PS_OK;
	if (k->writer && (ps_pack_writer_is_full(k->writer) ||
	                  ps_pack_writer_bytes(k->writer, len) > k->p->options.pack_bytes))
		err = end_pack(k, piece);
	if (!err && !k->writer)
		err = begin_pack(k, piece);
	return err;
}

/* ---- objects ---- */

static int add_object(struct packer *k, const void *bytes, size_t len)
{
	int err = make_room(k, len, false);
	if (!err)
		err = ps_pack_writer_object(k->writer, &k->object, bytes);
	k->given = true;
	return err;
}

static int sent_bytes(struct push *p, size_t len)
{
	note_blocks(p);
	p->result.bytes += len;
	p->done += len;
	return push_show(p);
}

static int add_bytes(void *arg, uint64_t offset, const void *data, size_t len)
{
	struct packer *k = arg;
	if (offset != 0 || len != k->object.size || k->given)
		return ps_fail(PS_ECORRUPT, "object %llu: the cut gives %zu bytes at %llu of %llu",
		               (unsigned long long)k->object.id, len, (unsigned long long)offset,
		               (unsigned long long)k->object.size);
	int err = add_object(k, data, len);
	return err ? err : sent_bytes(k->p, len);
}

static int add_zeros(struct packer *k, uint64_t offset, uint64_t len)
{
	uint64_t begins = offset > k->next_offset ? offset : k->next_offset, end = offset + len;
	int err = make_room(k, 0, true);
	if (!err)
		err = ps_pack_writer_zeros(k->writer, begins, end - begins);
	k->next_offset = (end + PS_CUT_PIECE - 1) / PS_CUT_PIECE * PS_CUT_PIECE;
	return err;
}

static int add_piece(void *arg, uint64_t offset, const void *data, size_t len)
{
	struct packer *k = arg;
	if (offset + len <= k->next_offset)
		return PS_OK; /* a pack that was taken over has it */
	if (!data)
		return add_zeros(k, offset, len);
	int err = make_room(k, len, true);
	if (!err)
		err = ps_pack_writer_piece(k->writer, offset, data, len);
	k->next_offset = offset + PS_CUT_PIECE;
	return err ? err : sent_bytes(k->p, len);
}

static int send_pieces(struct packer *k)
{
	return k->object.kind == PS_CUT_PATCH ? ps_cut_changed_pieces(k->p->cut, add_piece, k)
	                                      : ps_cut_pieces(k->p->cut, add_piece, k);
}

/* Whole, or what of it was changed since the runs that stay. */
static int send_large(struct packer *k)
{
	struct ps_cut_change change;
	int err = ps_cut_changed(k->p->cut, &change);
	if (err)
		return err;
	if (change.partial)
		k->object.kind = PS_CUT_PATCH;
	err = add_object(k, "", 0);
	return err ? err : send_pieces(k);
}

static int send_object(struct packer *k)
{
	struct push *p = k->p;
	k->given = false;
	k->next_offset = 0;
	int err = PS_OK;
	if (k->object.kind == PS_CUT_CHUNKS)
		err = send_large(k);
	else if (k->object.kind == PS_CUT_BYTES && k->object.size > 0)
		err = ps_cut_pieces(p->cut, add_bytes, k);
	if (!err && !k->given)
		err = add_object(k, "", 0);
	p->result.objects += k->object.kind != PS_CUT_GONE;
	p->result.gone += k->object.kind == PS_CUT_GONE;
	return err;
}

/* The last of the packs that were taken over ends within an object: what is missing of it follows in a new
 * one. */
static int send_rest(struct packer *k, const struct ps_pack_tail *last)
{
	uint64_t slot = ps_slot_of(last->last);
	int err = PS_OK;
	if (ps_slot_of(k->object.id) != slot) {
		ps_cut_skip(k->p->cut, (slot << PS_SLOT_SHIFT) - 1);
		err = ps_cut_next(k->p->cut, &k->object);
	}
	if (err && err != PS_ENOTFOUND)
		return err;
	if (err || k->object.id != last->last || k->object.kind != PS_CUT_CHUNKS)
		return ps_fail(PS_ECORRUPT,
		               "object %llu is in a pack of an earlier push, unchanged, and not in the cut",
		               (unsigned long long)last->last);
	k->next_offset = last->next;
	if (last->patch)
		k->object.kind = PS_CUT_PATCH;
	return send_pieces(k);
}

/* Packs of an earlier push that begin here go into the run as they are. */
static int take_left(struct packer *k, bool *taken)
{
	const struct ps_pack_tail *last;
	*taken = push_left_begins(k->p, k->object.id);
	if (!*taken)
		return PS_OK;
	int err = end_pack(k, false);
	if (!err)
		err = push_take_left(k->p, &last);
	if (err)
		return err;
	if (last->open)
		return send_rest(k, last);
	ps_cut_skip(k->p->cut, last->last);
	return PS_OK;
}

static int send_next(struct packer *k, bool *more)
{
	bool taken;
	int err = ps_cut_next(k->p->cut, &k->object);
	*more = err != PS_ENOTFOUND;
	if (!*more)
		return end_pack(k, false);
	if (!err)
		err = push_show(k->p);
	if (!err)
		err = take_left(k, &taken);
	return err || taken ? err : send_object(k);
}

int push_send(struct push *p)
{
	struct packer *k = ps_memory_zalloc(&p->memory, sizeof(*k));
	if (!k)
		return ps_fail(PS_ENOMEM, "no memory for a push");
	k->p = p;
	int err = PS_OK;
	for (bool more = true; more && !err;)
		err = send_next(k, &more);
	for (unsigned i = 0; i < SENDERS && !err; i++)
		err = finish_sender(k, &k->senders[(k->turn + i) % SENDERS]);
	char sentence[SENTENCE];
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	ps_pack_writer_free(k->writer);
	for (unsigned i = 0; i < SENDERS; i++)
		stop_sender(&k->senders[i]);
	ps_memory_free(&p->memory, k, sizeof(*k));
	return err ? ps_fail(err, "%s", sentence) : PS_OK;
}

int push_add_pack(struct push *p, const struct ps_pack_tail *t, uint64_t bytes)
{
	struct ps_push_manifest_pack *packs =
	    ps_memory_grow(&p->memory, p->packs, p->run.packs, &p->pack_capacity, sizeof(*packs));
	if (!packs)
		return PS_ENOMEM;
	p->packs = packs;
	p->packs[p->run.packs++] = (struct ps_push_manifest_pack){.about = t->about,
	                                                          .first = t->first,
	                                                          .last = t->last,
	                                                          .continues = t->continues,
	                                                          .open = t->open,
	                                                          .bytes = bytes};
	p->run.objects += t->objects;
	p->run.gone += t->gone;
	p->run.contents += t->contents;
	p->run.bytes += bytes;
	return PS_OK;
}
