#include "bench/remote_work.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fail.h"

enum { MOST_THREADS = 256, PAD = 2 << 20 };

static double now_s(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- one half ---- */

/* A pad as a put seals it. */
struct sealed {
	struct ps_pad_plan plan;
	struct ps_pad_name name;
	struct ps_pad_identity identity;
	struct ps_net_buffer *record;
};

struct work {
	const struct remote_halves *halves;
	enum remote_half half;
	struct ps_memory memory;
	atomic_uint next;
	atomic_int error;
	struct sealed sealed; /* REMOTE_OPEN: a record that was sealed before */
};

static int seal(struct work *w, const uint8_t *bytes, size_t len, struct sealed *s)
{
	const ps_keys *keys = w->halves->keys;
	*s = (struct sealed){.plan = {.network = {1}, .generation = 1, .counter = 1, .role = PS_ROLE_DATA}};
	ps_serial_new(&s->plan.serial);
	s->record = ps_net_buffer_new(&w->memory, ps_pad_record_bytes(len));
	if (!s->record)
		return ps_fail(PS_ENOMEM, "no memory for a pad of %zu bytes", len);
	int err = ps_pad_name(keys, &s->plan.serial, &s->name);
	if (err == PS_OK)
		err = ps_pad_nonce_new(keys, &s->plan, bytes, len);
	return err == PS_OK ? ps_pad_seal(keys, &s->plan, bytes, len, PS_PAD_MEDIUM, s->record, &s->identity)
	                    : err;
}

static int open_record(const struct work *w, struct ps_net_buffer *record, uint8_t *plain)
{
	const struct sealed *s = &w->sealed;
	struct ps_pad_reader reader = {.keys = w->halves->keys};
	struct ps_pad_expected expected = {
	    .serial = s->plan.serial, .generation = 1, .role = PS_ROLE_DATA, .identity = s->identity};
	struct ps_pad_header header;
	memcpy(expected.network, s->plan.network, sizeof(expected.network));
	int err = ps_pad_open_header(record->bytes, record->len, &s->name, &header);
	if (err == PS_OK)
		err = ps_pad_check(&header, &expected);
	return err == PS_OK ? ps_pad_open(&reader, &header, record->bytes, record->len, plain, NULL) : err;
}

/* Opening spoils what it opens. */
static int open_copy(struct work *w)
{
	const struct ps_net_buffer *sealed = w->sealed.record;
	struct ps_net_buffer *copy = ps_net_buffer_new(&w->memory, sealed->len);
	uint8_t *plain = malloc(PAD);
	int err = copy && plain ? PS_OK : ps_fail(PS_ENOMEM, "no memory for a pad");
	if (err == PS_OK) {
		memcpy(copy->bytes, sealed->bytes, sealed->len);
		copy->len = sealed->len;
		err = open_record(w, copy, plain);
	}
	ps_net_buffer_release(copy);
	free(plain);
	return err;
}

static void raw_path(const struct remote_halves *h, unsigned number, char path[512])
{
	(void)snprintf(path, 512, "%s/raw-%u", h->folder, number);
}

static int raw_io(const char *path, uint8_t *block, size_t size, bool writes)
{
	int fd = open(path, (writes ? O_CREAT | O_TRUNC | O_WRONLY : O_RDONLY) | O_CLOEXEC, 0600);
	ssize_t n = fd < 0 ? -1 : writes ? write(fd, block, size) : read(fd, block, size);
	bool good = n == (ssize_t)size && (!writes || fsync(fd) == 0);
	int err = good ? PS_OK : ps_fail_errno(fd < 0 || n < 0 ? errno : EIO, "%s", path);
	if (fd >= 0)
		(void)close(fd);
	return err;
}

/* Replaced as a pad is, under another name first: a file system that discards what it frees does so in the
 * commit that a flush waits for, and a put that replaces has as much of that. */
static int raw_replace(const char *path, uint8_t *block, size_t size)
{
	char new_path[520];
	(void)snprintf(new_path, sizeof(new_path), "%s.new", path);
	int err = raw_io(new_path, block, size, true);
	if (err == PS_OK && rename(new_path, path) != 0)
		err = ps_fail_errno(errno, "%s", path);
	return err;
}

static int raw_file(const struct work *w, unsigned number, size_t len, bool writes)
{
	char path[512];
	size_t size = ps_pad_record_bytes(len);
	uint8_t *block = malloc(size);
	if (!block)
		return ps_fail(PS_ENOMEM, "no memory for a file of %zu bytes", size);
	raw_path(w->halves, number, path);
	memset(block, (int)number, size);
	int err = writes ? raw_replace(path, block, size) : raw_io(path, block, size, false);
	free(block);
	return err;
}

static int seal_and_forget(struct work *w, const uint8_t *bytes, size_t len)
{
	struct sealed sealed;
	int err = seal(w, bytes, len, &sealed);
	ps_net_buffer_release(sealed.record);
	return err;
}

static int do_one(struct work *w, unsigned number)
{
	const struct remote_halves *h = w->halves;
	size_t at = (size_t)number * PAD, len = h->bytes - at < PAD ? h->bytes - at : PAD;
	switch (w->half) {
	case REMOTE_SEAL:
		return seal_and_forget(w, h->value + at, len);
	case REMOTE_OPEN:
		return open_copy(w);
	default:
		return raw_file(w, number, len, w->half == REMOTE_WRITE);
	}
}

static void *run_work(void *arg)
{
	struct work *w = arg;
	while (atomic_load(&w->error) == PS_OK) {
		unsigned number = atomic_fetch_add(&w->next, 1);
		if ((size_t)number * PAD >= w->halves->bytes)
			break;
		int err = do_one(w, number);
		if (err != PS_OK)
			atomic_store(&w->error, err);
	}
	return NULL;
}

static int run_threads(struct work *w, unsigned threads)
{
	pthread_t all[MOST_THREADS];
	unsigned begun = 0;
	while (begun < threads && begun < MOST_THREADS && pthread_create(&all[begun], NULL, run_work, w) == 0)
		begun++;
	for (unsigned i = 0; i < begun; i++)
		(void)pthread_join(all[i], NULL);
	return begun == threads ? atomic_load(&w->error) : ps_fail(PS_EIO, "no thread");
}

int remote_half_time(const struct remote_halves *halves, enum remote_half half, double *seconds)
{
	struct work w = {.halves = halves, .half = half};
	bool files = half == REMOTE_WRITE || half == REMOTE_READ;
	int err = PS_OK;
	ps_memory_init(&w.memory, NULL);
	if (half == REMOTE_OPEN)
		err = seal(&w, halves->value, halves->bytes < PAD ? halves->bytes : PAD, &w.sealed);
	double from = now_s();
	if (err == PS_OK)
		err = run_threads(&w, files ? halves->depth : halves->threads);
	if (err == PS_OK)
		*seconds = now_s() - from;
	ps_net_buffer_release(w.sealed.record);
	ps_memory_done(&w.memory);
	return err;
}

void remote_halves_done(const struct remote_halves *halves)
{
	char path[512];
	for (unsigned number = 0; (size_t)number * PAD < halves->bytes; number++) {
		raw_path(halves, number, path);
		(void)unlink(path);
	}
}

/* ---- memory ---- */

size_t remote_resident_bytes(void)
{
	char text[256];
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f)
		return 0;
	if (fgets(text, sizeof(text), f))
		(void)sscanf(text, "%*u %zu", &pages);
	(void)fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}
