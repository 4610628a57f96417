/* What our client costs over librados itself: compare-and-swap writes and reads of whole records, in turns
 * with a bare loop that sends the same operations, on one cluster in one run. Not a test; prints a table.
 *
 * rados_bench [memstore|bluestore] [milliseconds a slice] [rounds] */
#include "tests/remote/networks/cm.h"

#include <endian.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "remote/rados_library.h"
#include "tests/remote/ceph_cluster.h"
#include "tests/remote/networks/suite.h"

enum { MOST_DEPTH = 10, MOST_ROUNDS = 31, VERSION = 40 };

/* A record that one of the requests in flight replaces, version after version, or reads. */
struct lane {
	struct ps_pad_name name;
	char text[2 * PS_PAD_NAME + 1];
	uint64_t counter; /* of the version that is there */
	/* ours */
	struct ps_net_request request;
	struct ps_net_buffer *buffer;
	/* the bare loop's */
	rados_completion_t completion;
	rados_write_op_t write;
	rados_read_op_t read;
	rados_xattrs_iter_t attributes;
	uint64_t size;
	size_t received;
	int stat_result, attributes_result, read_result;
	struct lane *next;
};

static struct {
	const struct rados_calls *calls;
	rados_t cluster;
	rados_ioctx_t io;
	ps_network *network;
	ps_client *client;
	struct lane lanes[MOST_DEPTH];
	size_t record;
	bool writes;
	pthread_mutex_t lock;
	pthread_cond_t landed;
	struct lane *finished; /* lock */
} bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .landed = PTHREAD_COND_INITIALIZER};

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "rados_bench: %s: %s\n", what, ps_last_error_message());
	exit(EXIT_FAILURE);
}

/* ---- ours ---- */

static void submit(struct lane *lane)
{
	lane->request = (struct ps_net_request){.op = bench.writes ? PS_NET_REPLACE : PS_NET_GET,
	                                        .name = lane->name,
	                                        .expected = net_identity(lane->counter, 0),
	                                        .identity = net_identity(lane->counter + 1, 0),
	                                        .buffer = lane->buffer,
	                                        .arg = lane};
	lane->buffer->len = bench.record;
	check(ps_client_submit(bench.client, &lane->request) == PS_OK, "submit");
}

static struct lane *wait_ours(void)
{
	struct ps_net_request *r = ps_client_wait(bench.client, UINT32_MAX);
	check(r && r->outcome == PS_NET_DONE && (bench.writes || r->buffer->len == bench.record),
	      r ? r->sentence : "no answer");
	return r->arg;
}

/* ---- the bare loop ---- */

static void version_of(uint64_t counter, char version[VERSION])
{
	struct ps_pad_identity identity = net_identity(counter, 0);
	uint64_t big = htobe64(identity.counter);
	memcpy(version, &big, sizeof(big));
	memcpy(version + sizeof(big), identity.hash, sizeof(identity.hash));
}

static void on_landed(rados_completion_t completion, void *arg)
{
	struct lane *lane = arg;
	(void)completion;
	pthread_mutex_lock(&bench.lock);
	lane->next = bench.finished;
	bench.finished = lane;
	pthread_cond_signal(&bench.landed);
	pthread_mutex_unlock(&bench.lock);
}

static int send_bare_write(struct lane *lane)
{
	const struct rados_calls *c = bench.calls;
	char old[VERSION], new[VERSION];
	version_of(lane->counter, old);
	version_of(lane->counter + 1, new);
	lane->write = c->rados_create_write_op();
	c->rados_write_op_cmpxattr(lane->write, "v", LIBRADOS_CMPXATTR_OP_EQ, old, VERSION);
	c->rados_write_op_write_full(lane->write, (char *)lane->buffer->bytes, bench.record);
	c->rados_write_op_setxattr(lane->write, "v", new, VERSION);
	return c->rados_aio_write_op_operate(lane->write, bench.io, lane->completion, lane->text, NULL,
	                                     LIBRADOS_OPERATION_FULL_TRY);
}

static int send_bare_read(struct lane *lane)
{
	const struct rados_calls *c = bench.calls;
	lane->read = c->rados_create_read_op();
	c->rados_read_op_stat(lane->read, &lane->size, NULL, &lane->stat_result);
	c->rados_read_op_getxattrs(lane->read, &lane->attributes, &lane->attributes_result);
	c->rados_read_op_read(lane->read, 0, bench.record, (char *)lane->buffer->bytes, &lane->received,
	                      &lane->read_result);
	return c->rados_aio_read_op_operate(lane->read, bench.io, lane->completion, lane->text, 0);
}

static void submit_bare(struct lane *lane)
{
	check(bench.calls->rados_aio_create_completion2(lane, on_landed, &lane->completion) == 0,
	      "a completion");
	check((bench.writes ? send_bare_write(lane) : send_bare_read(lane)) == 0, "a bare operation");
}

static struct lane *wait_bare(void)
{
	const struct rados_calls *c = bench.calls;
	pthread_mutex_lock(&bench.lock);
	while (!bench.finished)
		pthread_cond_wait(&bench.landed, &bench.lock);
	struct lane *lane = bench.finished;
	bench.finished = lane->next;
	pthread_mutex_unlock(&bench.lock);
	check(c->rados_aio_get_return_value(lane->completion) >= 0, "a bare answer");
	c->rados_aio_release(lane->completion);
	if (bench.writes) {
		c->rados_release_write_op(lane->write);
	} else {
		c->rados_getxattrs_end(lane->attributes);
		c->rados_release_read_op(lane->read);
	}
	return lane;
}

/* ---- slices ---- */

/* Operations a second, `depth` in flight all the time. */
static double slice(bool ours, unsigned depth, uint64_t ms)
{
	uint64_t start = net_now_ms(), done = 0;
	unsigned in_flight = 0;
	for (; in_flight < depth; in_flight++)
		(ours ? submit : submit_bare)(&bench.lanes[in_flight]);
	while (in_flight > 0) {
		struct lane *lane = (ours ? wait_ours : wait_bare)();
		lane->counter += bench.writes;
		done++;
		if (net_now_ms() - start < ms)
			(ours ? submit : submit_bare)(lane);
		else
			in_flight--;
	}
	return (double)done * 1000 / (double)(net_now_ms() - start);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
	return values[count / 2];
}

/* In turns, and who begins changes. */
static void measure(const char *what, unsigned depth, uint64_t ms, unsigned rounds)
{
	double ours[MOST_ROUNDS], bare[MOST_ROUNDS], ratios[MOST_ROUNDS];
	for (unsigned i = 0; i < rounds; i++) {
		bool first = i % 2 == 0;
		double a = slice(first, depth, ms), b = slice(!first, depth, ms);
		ours[i] = first ? a : b;
		bare[i] = first ? b : a;
		ratios[i] = ours[i] / bare[i];
	}
	double mib = (double)bench.record / (1 << 20), rate = median(ours, rounds);
	double bare_rate = median(bare, rounds), ratio = median(ratios, rounds);
	printf("%5zu KiB %-5s depth %2u   %8.1f MiB/s   bare %8.1f MiB/s   ratio %.3f (%.3f to %.3f)\n",
	       bench.record >> 10, what, depth, rate * mib, bare_rate * mib, ratio, ratios[0],
	       ratios[rounds - 1]);
	fflush(stdout);
}

static void make_lanes(size_t record)
{
	bench.record = record;
	for (unsigned i = 0; i < MOST_DEPTH; i++) {
		struct lane *lane = &bench.lanes[i];
		lane->name = net_name(record + i);
		for (unsigned j = 0; j < PS_PAD_NAME; j++)
			snprintf(lane->text + 2 * j, 3, "%02x", lane->name.bytes[j]);
		lane->counter = 1;
		ps_net_buffer_release(lane->buffer);
		lane->buffer = net_buffer(bench.network, record);
		struct ps_pad_identity identity = net_identity(1, 0);
		net_fill(lane->buffer, &lane->name, &identity, record);
		check(net_create(bench.client, &lane->name, net_identity(1, 0), record) == PS_NET_DONE,
		      "create");
	}
}

static void open_both(const char *conf)
{
	char url[NET_URL];
	const struct rados_calls *c = NULL;
	snprintf(url, sizeof(url), "rados://pads/bench?conf=%s", conf);
	check(ps_network_open(url, NULL, &bench.network) == PS_OK, "open");
	check(ps_client_open(bench.network, &bench.client) == PS_OK, "a client");
	check(ps_rados_library(&c) == PS_OK, "librados");
	bench.calls = c;
	check(c->rados_create2(&bench.cluster, "ceph", "client.admin", 0) == 0 &&
	          c->rados_conf_read_file(bench.cluster, conf) == 0 && c->rados_connect(bench.cluster) == 0 &&
	          c->rados_ioctx_create(bench.cluster, "pads", &bench.io) == 0,
	      "a bare connection");
	c->rados_ioctx_set_namespace(bench.io, "bench");
}

static void close_both(void)
{
	for (unsigned i = 0; i < MOST_DEPTH; i++)
		ps_net_buffer_release(bench.lanes[i].buffer);
	ps_client_close(bench.client);
	ps_network_close(bench.network);
	bench.calls->rados_ioctx_destroy(bench.io);
	bench.calls->rados_shutdown(bench.cluster);
}

int main(int argc, char **argv)
{
	static const size_t records[] = {128 << 10, 2 << 20};
	static const unsigned depths[] = {1, MOST_DEPTH};
	const char *store = argc > 1 ? argv[1] : "memstore";
	uint64_t ms = argc > 2 ? strtoull(argv[2], NULL, 10) : 500;
	unsigned rounds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 5;
	struct ceph_cluster *cluster = ceph_cluster_start(store, 0);
	check(cluster && rounds >= 1 && rounds <= MOST_ROUNDS, "a cluster and 1 to 31 rounds are needed");
	net_seed = 1;
	open_both(ceph_cluster_conf(cluster));
	printf("%s, three OSDs, size 3; medians of %u rounds of %llu ms, in turns\n", store, rounds,
	       (unsigned long long)ms);
	for (unsigned i = 0; i < 2; i++) {
		make_lanes(records[i]);
		for (unsigned j = 0; j < 4; j++) {
			bench.writes = j < 2;
			measure(bench.writes ? "CAS" : "read", depths[j % 2], ms, rounds);
		}
	}
	close_both();
	ceph_cluster_destroy(cluster);
	return EXIT_SUCCESS;
}
