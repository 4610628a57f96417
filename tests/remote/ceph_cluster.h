/* A real Ceph cluster on loopback for one test program: tests/remote/ceph-local in a folder of its own below
 * /tmp. It is destroyed by ceph_cluster_destroy, and by a guardian process when the test ends in any other
 * way, killed too. One thread. */
#ifndef CEPH_CLUSTER_H
#define CEPH_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

struct ceph_cluster;

/* What a started gateway takes. */
struct ceph_gateway {
	char endpoint[64]; /* "http://127.0.0.1:PORT" */
	char access_key[64];
	char secret_key[64];
};

/* Exit status of a test that was skipped; ctest knows it by SKIP_RETURN_CODE. */
enum { CEPH_SKIPPED = 77 };

/* Whether PS_SKIP_NETWORKS (a list with commas: "rados,s3") names this network. Says so on stderr. */
bool network_is_skipped(const char *network);

/* A new cluster of one monitor and three OSDs, usable when this returns. `store` is "memstore" (starts in
 * two seconds; an OSD that ends comes back empty) or "bluestore" (survives); osd_bytes 0: 2 GiB each. NULL
 * and a sentence on stderr if it cannot be started: the test then fails. */
struct ceph_cluster *ceph_cluster_start(const char *store, uint64_t osd_bytes);
void ceph_cluster_destroy(struct ceph_cluster *cluster); /* NULL is fine */
/* Path of its ceph.conf. Its pool is called "pads": size 3, min_size 2. */
const char *ceph_cluster_conf(const struct ceph_cluster *cluster);

/* A command of ceph-local with one argument or none (NULL): "stop", "start", "wait", "kill-osd", "start-osd",
 * "pause-osd", "resume-osd", "kill-mon", "start-mon", "stop-rgw". Blocks until done; false and a sentence on
 * stderr if it failed. */
bool ceph_cluster_do(struct ceph_cluster *cluster, const char *command, const char *argument);
/* A command of the ceph tool, as words that end with NULL: {"osd", "pool", "set", "pads", "size", "1", NULL}.
 */
bool ceph_cluster_tell(struct ceph_cluster *cluster, const char *const *words);
/* Starts radosgw on a free port, or finds it started. */
bool ceph_cluster_gateway(struct ceph_cluster *cluster, struct ceph_gateway *gateway);
/* Ends every daemon at once with SIGKILL, as a power cut does. ceph_cluster_do(…, "start", NULL) goes on. */
bool ceph_cluster_kill_all(struct ceph_cluster *cluster);

#endif
