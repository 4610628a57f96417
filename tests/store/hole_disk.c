#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/store/hole_disk.h"

static struct hole_disk *disk_of(struct ps_io *io)
{
	return (struct hole_disk *)(void *)io;
}

static struct ps_io *under_of(struct ps_io *io)
{
	return sim_disk_io(disk_of(io)->under);
}

uint64_t hole_disk_backed(const struct hole_disk *disk, uint64_t offset, uint64_t len)
{
	uint64_t count = 0;
	for (uint64_t page = offset / HOLE_PAGE; page * HOLE_PAGE < offset + len; page++)
		count += disk->backed[page];
	return count;
}

static void set_backed(struct hole_disk *disk, uint64_t from, uint64_t to, bool backed)
{
	assert_true(to <= HOLE_PAGES);
	for (uint64_t page = from; page < to; page++) {
		disk->pages += (uint64_t)backed - disk->backed[page];
		disk->backed[page] = backed;
	}
}

static void hole_submit(struct ps_io *io, struct ps_io_request *const *requests, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct ps_io_request *r = requests[i];
		uint64_t first = r->offset / HOLE_PAGE, last = (r->offset + r->len - 1) / HOLE_PAGE;
		if (r->op != PS_IO_READ)
			disk_of(io)->unbacked +=
			    last - first + 1 - hole_disk_backed(disk_of(io), r->offset, r->len);
	}
	under_of(io)->ops->submit(under_of(io), requests, n);
}

static int hole_wait(struct ps_io *io, struct ps_io_request *request)
{
	return under_of(io)->ops->wait(under_of(io), request);
}

static int hole_flush(struct ps_io *io)
{
	return under_of(io)->ops->flush(under_of(io));
}

static int hole_allocate(struct ps_io *io, uint64_t offset, uint64_t len)
{
	struct hole_disk *disk = disk_of(io);
	uint64_t to = (offset + len + HOLE_PAGE - 1) / HOLE_PAGE;
	uint64_t more = to - offset / HOLE_PAGE - hole_disk_backed(disk, offset, len);
	if (disk->most && disk->pages + more > disk->most)
		return PS_ENOSPC;
	set_backed(disk, offset / HOLE_PAGE, to, true);
	return under_of(io)->ops->allocate(under_of(io), offset, len);
}

static int hole_punch(struct ps_io *io, uint64_t offset, uint64_t len)
{
	struct hole_disk *disk = disk_of(io);
	void (*before)(void *arg) = disk->before_punch;
	if (disk->fail)
		return PS_EIO;
	disk->before_punch = NULL;
	if (before)
		before(disk->arg);
	disk->before_punch = before;
	disk->holes++;
	set_backed(disk, (offset + HOLE_PAGE - 1) / HOLE_PAGE, (offset + len) / HOLE_PAGE, false);
	return under_of(io)->ops->punch(under_of(io), offset, len);
}

static int hole_truncate(struct ps_io *io, uint64_t size)
{
	set_backed(disk_of(io), (size + HOLE_PAGE - 1) / HOLE_PAGE, HOLE_PAGES, false);
	return under_of(io)->ops->truncate(under_of(io), size);
}

static int hole_size(struct ps_io *io, uint64_t *bytes, uint64_t *disk_bytes)
{
	if (disk_bytes)
		*disk_bytes = disk_of(io)->pages * HOLE_PAGE;
	return under_of(io)->ops->size(under_of(io), bytes, NULL);
}

static void hole_stats(struct ps_io *io, struct ps_io_stats *stats)
{
	under_of(io)->ops->stats(under_of(io), stats);
}

static void hole_close(struct ps_io *io)
{
	under_of(io)->ops->close(under_of(io));
}

struct ps_io *hole_disk_io(struct hole_disk *disk)
{
	static const struct ps_io_ops ops = {.name = "holes",
	                                     .submit = hole_submit,
	                                     .wait = hole_wait,
	                                     .flush = hole_flush,
	                                     .allocate = hole_allocate,
	                                     .punch = hole_punch,
	                                     .truncate = hole_truncate,
	                                     .size = hole_size,
	                                     .stats = hole_stats,
	                                     .close = hole_close};
	disk->io = *sim_disk_io(disk->under);
	disk->io.ops = &ops;
	return &disk->io;
}

void hole_disk_init(struct hole_disk *disk)
{
	*disk = (struct hole_disk){.under = sim_disk_new(NULL, 0)};
	sim_disk_set_tracing(disk->under, false);
}

void hole_disk_copy(struct hole_disk *to, const struct hole_disk *from)
{
	uint64_t size = sim_disk_size(from->under);
	*to = *from;
	to->image = malloc(size);
	assert_non_null(to->image);
	sim_disk_image(from->under, to->image);
	to->under = sim_disk_new(to->image, size);
	sim_disk_set_tracing(to->under, false);
}

void hole_disk_done(struct hole_disk *disk)
{
	sim_disk_free(disk->under);
	free(disk->image);
}
