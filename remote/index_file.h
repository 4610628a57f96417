/* An index file that is read: its head, and where in it each pad's record lies. */
#ifndef PS_INDEX_FILE_H
#define PS_INDEX_FILE_H

#include "remote/index_file_format.h"
#include "remote/sync_internal.h"

struct ps_index_file {
	const char *path; /* the caller's */
	int fd;
	struct ps_index_file_header header;
	struct sync_head head;
	struct ps_pad_slot head_slot;
};

/* A pad of the file: of a run of its head, or the head's own (run NULL). */
struct ps_index_file_pad {
	struct ps_pad_slot slot;
	const struct ps_head_run *run;
	uint64_t offset;
	uint32_t bytes;
};
typedef int (*ps_index_file_fn)(void *arg, const struct ps_index_file_pad *pad);

/* The slot of a head's pad, and of how many bytes its record is. */
int ps_index_file_head_slot(ps_remote *r, const struct sync_head *head, struct ps_pad_slot *slot)
    __attribute__((warn_unused_result));
/* How many bytes the file of this head has. */
void ps_index_file_size(const struct ps_head *head, struct ps_index_file_header *header);
/* All pads of a head's runs, in their order, with their places in the file. */
int ps_index_file_each(const struct ps_head *head, uint32_t head_bytes, ps_index_file_fn fn, void *arg)
    __attribute__((warn_unused_result));

/* Opens a file, verifies every record in it, and opens its head: PS_ENOENT, PS_EACCES, PS_EIO; PS_EFORMAT,
 * PS_EVERSION, PS_ECORRUPT; PS_EAUTH. */
int ps_index_file_open(ps_remote *r, const char *path, struct ps_index_file *file)
    __attribute__((warn_unused_result));
void ps_index_file_close(struct ps_index_file *file); /* a failed open has closed */
/* The record, in the network's memory; it is whole, and not verified again. */
int ps_index_file_read(ps_remote *r, const struct ps_index_file *file, const struct ps_index_file_pad *pad,
                       struct ps_net_buffer **record) __attribute__((warn_unused_result));

#endif
