#include "tests/support/sim_disk.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

enum { PAGE = 4096, FIRST_PAGES = 64 };

struct sim_disk {
	struct ps_io io; /* first: the interface's pointer is the disk's */
	const uint8_t *base;
	uint64_t base_end; /* behind it the base reads as zeros: its size, or the shortest that the file has
	                      been */
	uint64_t size;
	/* The disk's own pages, in place; page i is there if page_reset[i] is the current reset. */
	uint8_t *own;
	uint32_t *page_reset;
	uint64_t pages;
	uint32_t reset;
	bool tracing, closed, lying;
	struct sim_trace trace;
	size_t events_room, bytes_room;
	uint64_t calls, faults, fail_at, limit;
	int fail_errno;
	bool fail_forever, flush_failed;
	uint64_t changes_after;
	struct ps_io_stats stats;
	uint8_t *touched; /* how sectors were first, or NULL */
	uint64_t touched_count;
};

static void *grown(void *memory, size_t bytes)
{
	void *larger = realloc(memory, bytes);
	if (!larger)
		abort();
	return larger;
}

static uint64_t pages_of(uint64_t bytes)
{
	return (bytes + PAGE - 1) / PAGE;
}

static void make_room(struct sim_disk *disk, uint64_t bytes)
{
	uint64_t need = pages_of(bytes), pages = disk->pages ? disk->pages : FIRST_PAGES;
	if (need <= disk->pages)
		return;
	while (pages < need)
		pages *= 2;
	disk->own = grown(disk->own, pages * PAGE);
	disk->page_reset = grown(disk->page_reset, pages * sizeof(uint32_t));
	memset(disk->page_reset + disk->pages, 0, (pages - disk->pages) * sizeof(uint32_t));
	disk->pages = pages;
}

static bool is_own(const struct sim_disk *disk, uint64_t page)
{
	return page < disk->pages && disk->page_reset[page] == disk->reset;
}

/* From the base alone; what lies behind it is zeros. */
static void read_base(const struct sim_disk *disk, uint64_t offset, uint8_t *to, uint64_t len)
{
	uint64_t have = offset >= disk->base_end ? 0 : disk->base_end - offset;
	if (have > len)
		have = len;
	if (have > 0)
		memcpy(to, disk->base + offset, have);
	memset(to + have, 0, len - have);
}

static uint8_t *page_to_write(struct sim_disk *disk, uint64_t page, bool whole)
{
	if (!is_own(disk, page)) {
		if (!whole)
			read_base(disk, page * PAGE, disk->own + page * PAGE, PAGE);
		disk->page_reset[page] = disk->reset;
	}
	return disk->own + page * PAGE;
}

static uint64_t part_in_page(uint64_t offset, uint64_t end)
{
	uint64_t page_end = (offset / PAGE + 1) * PAGE;
	return (page_end < end ? page_end : end) - offset;
}

/* Every byte behind the file's end is zero in own pages, and base_end is never above the file's end. */
static void read_bytes(const struct sim_disk *disk, uint64_t offset, uint8_t *to, uint64_t len)
{
	uint64_t end = offset + len;
	for (uint64_t part; offset < end; offset += part, to += part) {
		part = part_in_page(offset, end);
		if (is_own(disk, offset / PAGE))
			memcpy(to, disk->own + offset, part);
		else
			read_base(disk, offset, to, part);
	}
}

static void touch(struct sim_disk *disk, uint64_t offset, uint64_t end, uint8_t how)
{
	for (uint64_t i = offset / SIM_SECTOR; i < disk->touched_count && i * SIM_SECTOR < end; i++) {
		if (disk->touched[i] == SIM_UNTOUCHED)
			disk->touched[i] = how;
	}
}

void sim_disk_watch(struct sim_disk *disk, uint8_t *touched, uint64_t count)
{
	disk->touched = touched;
	disk->touched_count = touched ? count : 0;
}

/* from NULL: zeros. */
static void write_bytes(struct sim_disk *disk, uint64_t offset, const uint8_t *from, uint64_t len)
{
	uint64_t end = offset + len;
	make_room(disk, end);
	touch(disk, offset, end, SIM_WRITTEN);
	for (uint64_t part; offset < end; offset += part) {
		part = part_in_page(offset, end);
		uint8_t *page = page_to_write(disk, offset / PAGE, part == PAGE);
		if (from) {
			memcpy(page + offset % PAGE, from, part);
			from += part;
		} else {
			memset(page + offset % PAGE, 0, part);
		}
	}
}

static void set_size(struct sim_disk *disk, uint64_t size)
{
	if (size < disk->size) {
		touch(disk, size, disk->size, SIM_WRITTEN);
		if (disk->base_end > size)
			disk->base_end = size;
		for (uint64_t offset = size, part; offset < disk->size; offset += part) {
			part = part_in_page(offset, disk->size);
			if (is_own(disk, offset / PAGE))
				memset(disk->own + offset, 0, part);
		}
	}
	disk->size = size;
}

static void record(struct sim_disk *disk, struct sim_event event, const void *data)
{
	struct sim_trace *trace = &disk->trace;
	if (!disk->tracing)
		return;
	if (trace->count == disk->events_room) {
		disk->events_room = disk->events_room ? disk->events_room * 2 : 256;
		trace->events = grown(trace->events, disk->events_room * sizeof(event));
	}
	if (data) {
		while (trace->bytes_used + event.len > disk->bytes_room) {
			disk->bytes_room = disk->bytes_room ? disk->bytes_room * 2 : 65536;
			trace->bytes = grown(trace->bytes, disk->bytes_room);
		}
		memcpy(trace->bytes + trace->bytes_used, data, event.len);
		event.data = trace->bytes_used;
		trace->bytes_used += event.len;
	}
	trace->events[trace->count++] = event;
}

/* Counts a call; errno if it is one that must fail, or if the file would pass the limit. */
static int admit(struct sim_disk *disk, uint64_t end, bool changes)
{
	disk->calls++;
	disk->changes_after += changes && disk->flush_failed;
	bool must_fail = disk->fail_at != 0 && (disk->calls == disk->fail_at ||
	                                        (disk->fail_forever && disk->calls > disk->fail_at));
	if (must_fail) {
		disk->faults++;
		return disk->fail_errno;
	}
	return disk->limit != 0 && end > disk->limit && end > disk->size ? ENOSPC : 0;
}

static int fail_call(struct sim_disk *disk, int errnum, const char *what, uint64_t offset)
{
	int err = ps_fail_errno(errnum, "%s: %s at offset %" PRIu64, disk->io.path, what, offset);
	return err == PS_ENOSPC ? err : PS_EIO;
}

static struct sim_disk *disk_of(struct ps_io *io)
{
	return (struct sim_disk *)(void *)io;
}

static void run_write(struct sim_disk *disk, const struct ps_io_request *request)
{
	uint64_t end = request->offset + request->len;
	bool sync = request->op == PS_IO_WRITE_SYNC && !disk->lying;
	disk->stats.writes++;
	disk->stats.bytes_written += request->len;
	write_bytes(disk, request->offset, request->data, request->len);
	if (end > disk->size)
		disk->size = end;
	record(disk,
	       (struct sim_event){
	           .kind = SIM_WRITE, .sync = sync, .offset = request->offset, .len = request->len},
	       request->data);
}

static void run_read(struct sim_disk *disk, const struct ps_io_request *request)
{
	disk->stats.reads++;
	disk->stats.bytes_read += request->len;
	read_bytes(disk, request->offset, request->data, request->len);
	touch(disk, request->offset, request->offset + request->len, SIM_READ);
}

static void sim_submit(struct ps_io *io, struct ps_io_request *const *requests, size_t n)
{
	struct sim_disk *disk = disk_of(io);
	for (size_t i = 0; i < n; i++) {
		struct ps_io_request *request = requests[i];
		bool is_read = request->op == PS_IO_READ;
		assert(!disk->closed);
		assert(request->offset % SIM_SECTOR == 0 && request->len % SIM_SECTOR == 0);
		assert((uintptr_t)request->data % SIM_SECTOR == 0);
		request->errnum = admit(disk, is_read ? 0 : request->offset + request->len, !is_read);
		request->status = request->errnum == 0        ? PS_OK
		                  : request->errnum == ENOSPC ? PS_ENOSPC
		                                              : PS_EIO;
		if (request->errnum == 0 && is_read)
			run_read(disk, request);
		else if (request->errnum == 0)
			run_write(disk, request);
		request->done = true;
	}
}

static int sim_wait(struct ps_io *io, struct ps_io_request *request)
{
	assert(request->done);
	if (request->status == PS_OK)
		return PS_OK;
	return fail_call(disk_of(io), request->errnum, request->op == PS_IO_READ ? "read" : "write",
	                 request->offset);
}

static int sim_flush(struct ps_io *io)
{
	struct sim_disk *disk = disk_of(io);
	int errnum = admit(disk, 0, true);
	disk->stats.flushes++;
	disk->flush_failed |= errnum != 0;
	if (errnum != 0)
		return fail_call(disk, errnum, "flush", 0);
	if (!disk->lying)
		record(disk, (struct sim_event){.kind = SIM_FLUSH}, NULL);
	return PS_OK;
}

static int sim_allocate(struct ps_io *io, uint64_t offset, uint64_t len)
{
	struct sim_disk *disk = disk_of(io);
	assert(offset % SIM_SECTOR == 0 && len % SIM_SECTOR == 0);
	int errnum = admit(disk, offset + len, true);
	if (errnum != 0)
		return fail_call(disk, errnum, "allocation", offset);
	if (offset + len > disk->size)
		set_size(disk, offset + len);
	record(disk, (struct sim_event){.kind = SIM_ALLOCATE, .offset = offset, .len = len}, NULL);
	return PS_OK;
}

static int sim_punch(struct ps_io *io, uint64_t offset, uint64_t len)
{
	struct sim_disk *disk = disk_of(io);
	assert(offset % SIM_SECTOR == 0 && len % SIM_SECTOR == 0);
	int errnum = admit(disk, 0, true);
	if (errnum != 0)
		return fail_call(disk, errnum, "hole", offset);
	uint64_t end = offset + len < disk->size ? offset + len : disk->size;
	if (offset < end)
		write_bytes(disk, offset, NULL, end - offset);
	record(disk, (struct sim_event){.kind = SIM_PUNCH, .offset = offset, .len = len}, NULL);
	return PS_OK;
}

static int sim_truncate(struct ps_io *io, uint64_t size)
{
	struct sim_disk *disk = disk_of(io);
	assert(size % SIM_SECTOR == 0);
	int errnum = admit(disk, size, true);
	if (errnum != 0)
		return fail_call(disk, errnum, "truncation", size);
	set_size(disk, size);
	record(disk, (struct sim_event){.kind = SIM_TRUNCATE, .offset = size}, NULL);
	return PS_OK;
}

static int sim_size(struct ps_io *io, uint64_t *bytes, uint64_t *disk_bytes)
{
	struct sim_disk *disk = disk_of(io);
	if (bytes)
		*bytes = disk->size;
	if (disk_bytes)
		*disk_bytes = disk->size;
	return PS_OK;
}

static void sim_stats(struct ps_io *io, struct ps_io_stats *stats)
{
	*stats = disk_of(io)->stats;
}

static void sim_close(struct ps_io *io)
{
	disk_of(io)->closed = true;
}

static const struct ps_io_ops sim_ops = {
    .name = "simulated",
    .submit = sim_submit,
    .wait = sim_wait,
    .flush = sim_flush,
    .allocate = sim_allocate,
    .punch = sim_punch,
    .truncate = sim_truncate,
    .size = sim_size,
    .stats = sim_stats,
    .close = sim_close,
};

struct sim_disk *sim_disk_new(const void *image, uint64_t size)
{
	struct sim_disk *disk = calloc(1, sizeof(*disk));
	if (!disk)
		abort();
	disk->io =
	    (struct ps_io){.ops = &sim_ops, .direct = true, .alignment = SIM_SECTOR, .path = "simulated"};
	disk->tracing = true;
	sim_disk_reset(disk, image, size);
	return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
	if (!disk)
		return;
	free(disk->own);
	free(disk->page_reset);
	free(disk->trace.events);
	free(disk->trace.bytes);
	free(disk);
}

void sim_disk_reset(struct sim_disk *disk, const void *image, uint64_t size)
{
	disk->base = image;
	disk->base_end = disk->size = size;
	if (++disk->reset == 0) { /* came round: no page may seem to be of this reset */
		memset(disk->page_reset, 0, disk->pages * sizeof(uint32_t));
		disk->reset = 1;
	}
	disk->trace.count = disk->trace.bytes_used = 0;
	disk->calls = disk->faults = disk->fail_at = disk->limit = 0;
	disk->stats = (struct ps_io_stats){0};
	disk->flush_failed = disk->lying = false;
	disk->changes_after = 0;
	disk->closed = true;
}

struct ps_io *sim_disk_io(struct sim_disk *disk)
{
	disk->closed = disk->flush_failed = false;
	disk->changes_after = 0;
	return &disk->io;
}

bool sim_disk_is_closed(const struct sim_disk *disk)
{
	return disk->closed;
}

uint64_t sim_disk_size(const struct sim_disk *disk)
{
	return disk->size;
}

void sim_disk_image(const struct sim_disk *disk, void *buffer)
{
	read_bytes(disk, 0, buffer, disk->size);
}

void sim_disk_set_tracing(struct sim_disk *disk, bool on)
{
	disk->tracing = on;
}

const struct sim_trace *sim_disk_trace(const struct sim_disk *disk)
{
	return &disk->trace;
}

void sim_disk_fail(struct sim_disk *disk, uint64_t kth, int errnum, bool forever)
{
	disk->fail_at = kth ? disk->calls + kth : 0;
	disk->fail_errno = errnum;
	disk->fail_forever = forever;
}

uint64_t sim_disk_calls(const struct sim_disk *disk)
{
	return disk->calls;
}

uint64_t sim_disk_faults(const struct sim_disk *disk)
{
	return disk->faults;
}

uint64_t sim_disk_changes_after_failed_flush(const struct sim_disk *disk)
{
	return disk->changes_after;
}

void sim_disk_lie(struct sim_disk *disk, bool on)
{
	disk->lying = on;
}

void sim_disk_limit(struct sim_disk *disk, uint64_t bytes)
{
	disk->limit = bytes;
}
