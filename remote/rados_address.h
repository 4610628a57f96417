/* What a rados: URL and the options say: rados://POOL/NAMESPACE?conf=PATH&user=client.NAME&keyring=PATH
 * and, for tests and for those who know, mount_timeout=S, mon_timeout=S, osd_timeout=S, unsafe_pool=1.
 * Bytes are written %XX where they would not pass; what is in the options goes before the URL. */
#ifndef PS_RADOS_ADDRESS_H
#define PS_RADOS_ADDRESS_H

#include <limits.h>

#include "remote/network.h"

enum { RADOS_NAME_MAX = 256 };

struct rados_address {
	char pool[RADOS_NAME_MAX], space[RADOS_NAME_MAX], user[RADOS_NAME_MAX];
	char conf[PATH_MAX], keyring[PATH_MAX]; /* keyring empty: as the configuration has it */
	uint32_t mount_timeout_s, mon_timeout_s, osd_timeout_s;
	bool unsafe_pool;
};

/* `rest` is the URL behind "rados:". PS_EINVAL: malformed, or an unknown parameter; a parameter's value is
 * never repeated in the sentence. */
int ps_rados_address_parse(const char *rest, const struct ps_network_options *options,
                           struct rados_address *address) __attribute__((warn_unused_result));

#endif
