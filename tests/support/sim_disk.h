/* The simulated disk: a struct ps_io over memory, with a trace of all that changes it, and faults on demand.
 *
 * One thread. A disk begins as a start image, which it never writes to (copy on write, 4 KiB at a time), so
 * that a disk over another image costs no copy of it. sim_disk_reset takes a new image at once: one disk
 * serves millions of states. Which of the recorded changes survive a power cut is not decided here but by
 * crash_states.h. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/io.h"

enum { SIM_SECTOR = 512 };

enum sim_event_kind {
	SIM_WRITE, /* bytes at offset; durable on return if sync; the file grows where it ends behind its end
	            */
	SIM_FLUSH, /* all before is durable */
	SIM_ALLOCATE, /* the file is offset + len long at least */
	SIM_TRUNCATE, /* the file is `offset` long */
	SIM_PUNCH,    /* the range reads as zeros */
};

struct sim_event {
	enum sim_event_kind kind;
	bool sync;
	uint64_t offset, len;
	size_t data; /* of a write: where in sim_trace.bytes */
};

/* In the order in which the calls ended. Only what succeeded: a failed call changes nothing. */
struct sim_trace {
	struct sim_event *events;
	size_t count;
	uint8_t *bytes;
	size_t bytes_used;
};

struct sim_disk;

/* A disk that begins with these bytes, which stay unchanged while it uses them. NULL and 0: an empty file.
 * Aborts without memory, as all here does. */
struct sim_disk *sim_disk_new(const void *image, uint64_t size);
void sim_disk_free(struct sim_disk *disk);
/* As a new disk: other image, no faults, no limit, empty trace, calls counted from zero, tracing as it was.
 */
void sim_disk_reset(struct sim_disk *disk, const void *image, uint64_t size);

/* The interface; closing it leaves the disk as it is. Always the same pointer. */
struct ps_io *sim_disk_io(struct sim_disk *disk);
bool sim_disk_is_closed(const struct sim_disk *disk); /* closed since it was last asked for by sim_disk_io */

uint64_t sim_disk_size(const struct sim_disk *disk);
/* The whole file as it is now, into a buffer of sim_disk_size() bytes. */
void sim_disk_image(const struct sim_disk *disk, void *buffer);

/* On at first. Valid until the next call that changes the disk. */
void sim_disk_set_tracing(struct sim_disk *disk, bool on);
const struct sim_trace *sim_disk_trace(const struct sim_disk *disk);

/* The kth call from now (1: the next) fails, and all after it if `forever`; 0: none. Calls are requests,
 * flush, allocate, punch and truncate. `errnum` is EIO or ENOSPC. */
void sim_disk_fail(struct sim_disk *disk, uint64_t kth, int errnum, bool forever);
uint64_t sim_disk_calls(const struct sim_disk *disk);  /* since new or reset */
uint64_t sim_disk_faults(const struct sim_disk *disk); /* how many were made to fail */

/* Calls that would have changed the file after a flush had failed, since sim_disk_io was last called: a store
 * that means it when it says read-only makes none. */
uint64_t sim_disk_changes_after_failed_flush(const struct sim_disk *disk);

/* From now on notes in touched[sector] how the first `count` sectors, those that are still untouched, are
 * touched first; NULL ends it. What is written before it is read does not depend on what the image has there.
 */
enum { SIM_UNTOUCHED, SIM_READ, SIM_WRITTEN };
void sim_disk_watch(struct sim_disk *disk, uint8_t *touched, uint64_t count);

/* Flushes and the sync of writes succeed and make nothing durable: they are missing in the trace. */
void sim_disk_lie(struct sim_disk *disk, bool on);

/* The disk is full where the file would become longer than this; 0: no limit. */
void sim_disk_limit(struct sim_disk *disk, uint64_t bytes);

#endif
