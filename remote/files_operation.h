/* One operation that is made of many puts or gets, as its caller sees it. */
#ifndef PS_FILES_OPERATION_H
#define PS_FILES_OPERATION_H

#include "remote/manager_internal.h"

struct ps_files_operation {
	struct ps_operation op;
	struct ps_remote_progress through; /* sums over what has ended */
	uint64_t reserved;                 /* pads that the last put has taken */
};

/* A ps_remote_progress_fn over a struct ps_files_operation, for each put and get that it is made of. */
int ps_files_progress(void *arg, const struct ps_remote_progress *progress);
/* What was there already counts as done. */
void ps_files_kept(struct ps_files_operation *f, uint64_t bytes, uint64_t pads);

/* A file as a source: polls the operation, and keeps its own failure, for which a put has another sentence.
 */
struct ps_file_source {
	struct ps_files_operation *f;
	int fd;
	const char *path; /* for sentences */
	int error;
	char sentence[512];
};
int ps_file_source_read(void *arg, void *buf, size_t len, size_t *got); /* a ps_remote_read_fn */
/* What a call that read from it ended with. */
int ps_file_source_result(const struct ps_file_source *source, int err) __attribute__((warn_unused_result));

#endif
