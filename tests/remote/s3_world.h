/* What the tests of s3: over the scripted server share: an opened network, requests in one call. */
#ifndef S3_WORLD_H
#define S3_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "remote/network.h"
#include "tests/remote/s3_server.h"

enum { S3_RECORD = 200000, S3_URL = 512 };

/* "s3://bucket/PREFIX?endpoint=…" of this server. */
void s3_world_url(struct s3_server *server, const char *prefix, char url[S3_URL]);
/* ps_network_open, again where it is PS_EUNAVAILABLE: a connection that is not made in three seconds, its TLS
 * handshake included, is that, and a machine may stand still for so long. A bounded number of times. */
int s3_world_try_open(const char *url, const struct ps_network_options *options, ps_network **network);
/* Opens it for writing, or fails the test. */
ps_network *s3_world_open(struct s3_server *server, const char *prefix);
ps_client *s3_world_client(ps_network *network);
uint64_t s3_world_now_ms(void);

struct ps_pad_name s3_world_name(unsigned n);
struct ps_pad_identity s3_world_identity(uint64_t counter);
/* A request for the n-th name with a buffer of S3_RECORD bytes (contents follow from the counter of its
 * identity, which is the one behind `counter`, the expected one's). Released with s3_world_drop. */
void s3_world_request(ps_network *network, struct ps_net_request *r, enum ps_net_op op, unsigned n,
                      uint64_t counter);
void s3_world_drop(struct ps_net_request *r);
/* Creates version `counter` of the n-th name. */
void s3_world_create(ps_client *client, unsigned n, uint64_t counter);
/* Of what is there: its counter, 0 for nothing; with its token if `token` is given. */
uint64_t s3_world_counter(ps_client *client, unsigned n, struct ps_net_token *token);
void s3_world_expect(const struct ps_net_request *r, enum ps_outcome outcome);

#endif
