/* Where an s3: URL points: //BUCKET/PREFIX?endpoint=…&region=…&style=path|virtual&profile=…&ca_file=…
 *
 * The endpoint is [http://|https://]HOST[:PORT]; without a scheme it is https, and http has to be asked for
 * by name. Without an endpoint it is Amazon's of the region. */
#ifndef PS_S3_PLACE_H
#define PS_S3_PLACE_H

#include <stdbool.h>

#include "remote/network.h"

enum {
	S3_BUCKET_MAX = 63,
	S3_PREFIX_MAX = 256,
	S3_HOST_MAX = 255,
	S3_REGION_MAX = 63,
	S3_PROFILE_MAX = 127,
	S3_FILE_MAX = 1023,
	S3_KEY_MAX = S3_PREFIX_MAX + 1 + 2 * PS_PAD_NAME + 8,
};

struct s3_place {
	char bucket[S3_BUCKET_MAX + 1];
	char prefix[S3_PREFIX_MAX + 2]; /* ends with '/' unless empty */
	char host[S3_HOST_MAX + S3_BUCKET_MAX +
	          2]; /* as the Host header has it: the scheme's own port left out */
	char region[S3_REGION_MAX + 1];
	char profile[S3_PROFILE_MAX + 1]; /* empty: AWS_PROFILE, else "default" */
	char ca_file[S3_FILE_MAX + 1];    /* empty: the system's */
	bool https, virtual_style, loopback;
	bool amazon; /* no endpoint was named */
};

/* `rest` is what follows "s3:". Options win over the URL, the URL over AWS_REGION and AWS_DEFAULT_REGION.
 * PS_EINVAL: malformed, an unknown parameter, or anything that looks like a secret; the sentence repeats
 * nothing of the URL's parameters. */
int ps_s3_place_parse(const char *rest, const struct ps_network_options *options, struct s3_place *place)
    __attribute__((warn_unused_result));

#endif
