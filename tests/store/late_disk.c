#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/param.h>

#include "tests/store/late_disk.h"

static struct late_disk *late_of(struct ps_io *io)
{
	return (struct late_disk *)(void *)io;
}

static struct ps_io *under_of(struct ps_io *io)
{
	return late_of(io)->under;
}

/* Called with the lock, which others may have meanwhile. */
static void note_write(struct late_disk *late)
{
	late->beside = MAX(late->beside, late->waiting);
	if (!late->meanwhile)
		return;
	pthread_mutex_unlock(&late->lock);
	late->meanwhile(late->arg);
	pthread_mutex_lock(&late->lock);
}

static void late_submit(struct ps_io *io, struct ps_io_request *const *requests, size_t n)
{
	struct late_disk *late = late_of(io);
	pthread_mutex_lock(&late->lock);
	for (size_t i = 0; i < n; i++) {
		requests[i]->done = false;
		if (!requests[i]->alone) {
			late->waiting++;
			continue;
		}
		if (requests[i]->op != PS_IO_READ && late->waiting)
			note_write(late);
		late->under->ops->submit(late->under, &requests[i], 1);
	}
	pthread_mutex_unlock(&late->lock);
}

/* With the lock. */
static int carry_out(struct late_disk *late, struct ps_io_request *request)
{
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

static int late_wait(struct ps_io *io, struct ps_io_request *request)
{
	struct late_disk *late = late_of(io);
	pthread_mutex_lock(&late->lock);
	int err = carry_out(late, request);
	pthread_mutex_unlock(&late->lock);
	return err;
}

static int late_flush(struct ps_io *io)
{
	struct late_disk *late = late_of(io);
	pthread_mutex_lock(&late->lock);
	late->unended = MAX(late->unended, late->waiting);
	int err = late->under->ops->flush(late->under);
	pthread_mutex_unlock(&late->lock);
	return err;
}

static int late_allocate(struct ps_io *io, uint64_t offset, uint64_t len)
{
	pthread_mutex_lock(&late_of(io)->lock);
	int err = under_of(io)->ops->allocate(under_of(io), offset, len);
	pthread_mutex_unlock(&late_of(io)->lock);
	return err;
}

static int late_punch(struct ps_io *io, uint64_t offset, uint64_t len)
{
	pthread_mutex_lock(&late_of(io)->lock);
	int err = under_of(io)->ops->punch(under_of(io), offset, len);
	pthread_mutex_unlock(&late_of(io)->lock);
	return err;
}

static int late_truncate(struct ps_io *io, uint64_t size)
{
	pthread_mutex_lock(&late_of(io)->lock);
	int err = under_of(io)->ops->truncate(under_of(io), size);
	pthread_mutex_unlock(&late_of(io)->lock);
	return err;
}

static int late_size(struct ps_io *io, uint64_t *bytes, uint64_t *disk_bytes)
{
	pthread_mutex_lock(&late_of(io)->lock);
	int err = under_of(io)->ops->size(under_of(io), bytes, disk_bytes);
	pthread_mutex_unlock(&late_of(io)->lock);
	return err;
}

static void late_stats(struct ps_io *io, struct ps_io_stats *stats)
{
	pthread_mutex_lock(&late_of(io)->lock);
	under_of(io)->ops->stats(under_of(io), stats);
	pthread_mutex_unlock(&late_of(io)->lock);
}

static void late_close(struct ps_io *io)
{
	assert_int_equal(late_of(io)->waiting, 0);
	pthread_mutex_destroy(&late_of(io)->lock);
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
	pthread_mutex_init(&late->lock, NULL);
}
