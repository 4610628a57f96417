/* Free pages that are written with zeros ahead of loads of small contents.
 *
 * A file system notes of pages that were never written when they are: the flush behind a batch that fills
 * such pages is a commit of its journal, which takes about twice as long as one behind pages that were
 * written before. So while a store grows by small batches its thread writes zeros to a run of free pages at a
 * time, once for many batches, which then fill it. A batch waits for none of it: where no run is ready it
 * fills other pages.
 *
 * The runs lie outside of the free space, are counted as uncommitted, and no one else writes there: a run
 * is handed out when its writes have ended. A crash leaves pages that nothing names. What was not
 * used is free again at a sync or close, for a compaction, and where space is short. */
#include <sys/param.h>

#include "store/base_internal.h"

enum {
	RUN_BYTES = 2 << 20,
	PIECE_BYTES = 128 << 10,
	PIECES = RUN_BYTES / PIECE_BYTES,
	FILE_LEAST = 16 << 20, /* a smaller store does without */
};

static _Alignas(PAGE) uint8_t zeros[PIECE_BYTES];

/* The file grows, and nothing came free since it did: what is free was never written. */
static bool is_loaded(const struct space *sp)
{
	return sp->ready && !sp->rebuild && !sp->below && !sp->store->restoring && sp->grown &&
	       sp->end >= FILE_LEAST;
}

void prewrite_want(struct space *sp)
{
	struct prewritten *p = &sp->prewritten;
	if (!sp->store->has_thread || p->wanted || p->writing || p->run[1].len || !is_loaded(sp))
		return;
	p->wanted = true;
	store_wake(sp->store);
}

bool prewrite_take(struct space *sp, uint64_t bytes, struct ps_extent *extent)
{
	struct prewritten *p = &sp->prewritten;
	if (!p->run[0].len) {
		p->run[0] = p->run[1];
		p->run[1].len = 0;
	}
	if (!p->run[0].len)
		return false;
	*extent = (struct ps_extent){p->run[0].offset, MIN(bytes, p->run[0].len)};
	p->run[0].offset += extent->len;
	p->run[0].len -= extent->len;
	sp->store->uncommitted_bytes -= extent->len;
	return true;
}

static void give_run(struct space *sp, struct ps_extent run)
{
	if (!run.len)
		return;
	sp->store->uncommitted_bytes -= run.len;
	(void)sp->root->ops->free(sp->root, run, NULL);
}

void prewrite_give_back(struct space *sp)
{
	struct prewritten *p = &sp->prewritten;
	for (int i = 0; i < 2; i++) {
		give_run(sp, p->run[i]);
		p->run[i].len = 0;
	}
	p->wanted = false;
	p->given_back = p->writing;
}

/* Only what is free already: the file does not grow for it. */
static bool take_run(struct space *sp, struct ps_extent *run)
{
	struct prewritten *p = &sp->prewritten;
	bool taken = p->wanted && is_loaded(sp) && space_alloc_free(sp, RUN_BYTES, run) == PS_OK;
	p->wanted = p->given_back = false;
	p->writing = taken;
	if (taken)
		sp->store->uncommitted_bytes += run->len;
	return taken;
}

static int write_run(struct ps_io *io, struct ps_extent run)
{
	struct ps_io_request request[PIECES], *list[PIECES];
	int first = PS_OK;
	for (unsigned i = 0; i < PIECES; i++) {
		request[i] = (struct ps_io_request){.op = PS_IO_WRITE,
		                                    .offset = run.offset + (uint64_t)i * PIECE_BYTES,
		                                    .data = zeros,
		                                    .len = PIECE_BYTES};
		list[i] = &request[i];
	}
	io->ops->submit(io, list, PIECES);
	for (unsigned i = 0; i < PIECES; i++) {
		int err = io->ops->wait(io, &request[i]);
		first = first ? first : err;
	}
	return first;
}

/* What cannot be written is none of a commit's yet: it goes back, and is not asked for before the next batch.
 */
static void keep_run(struct space *sp, struct ps_extent run, int err)
{
	struct prewritten *p = &sp->prewritten;
	unsigned to = p->run[0].len ? 1 : 0;
	p->writing = false;
	if (err || p->given_back || p->run[to].len || !is_loaded(sp))
		give_run(sp, run);
	else
		p->run[to] = run;
	p->given_back = false;
}

void store_prewrite(struct store *s)
{
	struct ps_extent run;
	pthread_mutex_lock(&s->lock);
	bool taken = take_run(&s->space, &run);
	pthread_mutex_unlock(&s->lock);
	if (!taken)
		return;
	int err = write_run(s->io, run);
	pthread_mutex_lock(&s->lock);
	keep_run(&s->space, run, err);
	pthread_mutex_unlock(&s->lock);
}
