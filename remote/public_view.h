/* An address as its reader sees it: the manifest that it shows now, and what lies behind that. */
#ifndef PS_PUBLIC_VIEW_H
#define PS_PUBLIC_VIEW_H

#include <padstone/public.h>

#include "remote/public_address.h"
#include "remote/public_internal.h"
#include "remote/public_manifest.h"

/* A network without keys: what operations need of a remote, and nothing more. Its folder is that of the
 * anchors. */
struct ps_public {
	ps_remote *r;
};

/* One node, as bytes that were checked; bytes NULL: none yet. */
struct public_node {
	uint64_t first; /* which of its level its first entry is */
	uint32_t len;
	uint8_t *bytes;
};

struct public_view {
	const struct ps_address *address;
	bool there;
	struct public_pad pad;
	struct ps_manifest manifest;
	bool first;                                   /* nothing was seen of the address before */
	struct public_node nodes[PS_MANIFEST_LEVELS]; /* of each level, the one that was used last */
};

/* Fetched, verified, and not older than what was seen: the anchor stands at it. PS_ENOTFOUND (taken back, or
 * nothing there), PS_ELOST, PS_EROLLBACK, PS_EFORK, PS_EAUTH, PS_ECORRUPT, PS_EVERSION. */
int public_view_take(struct ps_operation *op, const struct ps_address *address, struct public_view *view)
    __attribute__((warn_unused_result));
void public_view_done(ps_remote *r, struct public_view *view);
/* A pad of the value; *left: how many follow, itself included, that are known without another request. */
int public_view_entry(struct ps_operation *op, struct public_view *view, uint64_t number,
                      struct ps_manifest_entry *entry, uint32_t *left) __attribute__((warn_unused_result));

#endif
