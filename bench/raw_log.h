/* The limit's log: a prewritten file, blocks of records, one leader that writes for all who have gathered. */
#ifndef PS_BENCH_RAW_LOG_H
#define PS_BENCH_RAW_LOG_H

#include "bench/peer.h"

/* Bytes of this length and more go to the file once, outside the log. */
enum { RAW_LARGE = 32768, RAW_BLOCK = 4096 };

struct raw_log;

struct raw_record {
	uint64_t handle;
	uint64_t sum; /* XXH3 of the bytes */
	uint32_t len;
	uint32_t op;
};

/* The file at path, the log its first `bytes`, `data` more behind it; written once with zeros where `create`.
 * `from` is where the first block goes, as raw_log_tail() said it at the last clean close. */
struct raw_log *raw_log_open(const char *path, uint64_t bytes, uint64_t data, bool create, uint64_t from,
                             enum durability durability);
void raw_log_close(struct raw_log *log);
/* Appends records, and the bytes of those that are not large; each one's place in the file in places[].
 * Returns when they have the durability that the log was opened with. `outside`: bytes outside the log have
 * to be durable as well. */
void raw_log_commit(struct raw_log *log, const struct raw_record *records, const void *const *data,
                    uint64_t *places, size_t n, bool outside);
/* All is on the disk. */
void raw_log_sync(struct raw_log *log);
uint64_t raw_log_tail(struct raw_log *log);
/* Reads and checks blocks from `from` on; fn gets each record, and its place if it rides in the log. */
void raw_log_replay(struct raw_log *log, uint64_t from,
                    void (*fn)(void *arg, const struct raw_record *r, uint64_t place), void *arg);

/* Requests of O_DIRECT I/O on the same file, all in flight together; waits for all. */
struct raw_request {
	void *data;
	uint32_t len;
	uint64_t at;
};
void raw_log_write_many(struct raw_log *log, const struct raw_request *r, size_t n);
void raw_log_read_many(struct raw_log *log, const struct raw_request *r, size_t n);
void raw_log_counts(struct raw_log *log, struct peer_counts *c);

#endif
