#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/store/late_disk.h"

static struct late_disk *late_of(struct ps_io *io)
{
	return (struct late_disk *)(void *)io;
}

static struct ps_io *under_of(struct ps_io *io)
{
	return late_of(io)->under;
}

static void late_submit(struct ps_io *io, struct ps_io_request *const *requests, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		requests[i]->done = false;
		if (requests[i]->alone)
			under_of(io)->ops->submit(under_of(io), &requests[i], 1);
		else
			late_of(io)->waiting++;
	}
}

static int late_wait(struct ps_io *io, struct ps_io_request *request)
{
	struct late_disk *late = late_of(io);
	if (request->alone)
		return late->under->ops->wait(late->under, request);
	late->waiting--;
	late->requests += request->op != PS_IO_READ;
	if (late->fail && request->op != PS_IO_READ) {
		late->fail = false;
		return PS_EIO;
	}
	late->under->ops->submit(late->under, &request, 1);
	return late->under->ops->wait(late->under, request);
}

static int late_flush(struct ps_io *io)
{
	return under_of(io)->ops->flush(under_of(io));
}

static int late_allocate(struct ps_io *io, uint64_t offset, uint64_t len)
{
	return under_of(io)->ops->allocate(under_of(io), offset, len);
}

static int late_punch(struct ps_io *io, uint64_t offset, uint64_t len)
{
	return under_of(io)->ops->punch(under_of(io), offset, len);
}

static int late_truncate(struct ps_io *io, uint64_t size)
{
	return under_of(io)->ops->truncate(under_of(io), size);
}

static int late_size(struct ps_io *io, uint64_t *bytes, uint64_t *disk_bytes)
{
	return under_of(io)->ops->size(under_of(io), bytes, disk_bytes);
}

static void late_stats(struct ps_io *io, struct ps_io_stats *stats)
{
	under_of(io)->ops->stats(under_of(io), stats);
}

static void late_close(struct ps_io *io)
{
	assert_int_equal(late_of(io)->waiting, 0);
	under_of(io)->ops->close(under_of(io));
}

void late_disk_init(struct late_disk *late, struct ps_io *under)
{
	static const struct ps_io_ops ops = {.name = "late",
	                                     .submit = late_submit,
	                                     .wait = late_wait,
	                                     .flush = late_flush,
	                                     .allocate = late_allocate,
	                                     .punch = late_punch,
	                                     .truncate = late_truncate,
	                                     .size = late_size,
	                                     .stats = late_stats,
	                                     .close = late_close};
	*late = (struct late_disk){.io = *under, .under = under};
	late->io.ops = &ops;
}
