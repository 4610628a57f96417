/* An engine of its own for one test program: the scripted S3 server, or a Ceph cluster, through its gateway
 * or not. One thread. */
#ifndef ONE_ENGINE_H
#define ONE_ENGINE_H

/* Runs the tests with the engine started, and ends it: "s3" is the scripted server, with these flaws
 * (s3_server.h), "rados" and "radosgw" are a cluster. An exit status, CEPH_SKIPPED too. */
int on_one_engine(const char *engine, unsigned flaws, int (*run)(void));
/* The URL of a place on the engine that is started. */
void engine_url(const char *place, char url[256]);

#endif
