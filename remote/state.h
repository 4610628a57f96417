/* The state folder: what this machine remembers beside its stores. PADSTONE_HOME, or XDG_STATE_HOME/padstone,
 * or
 * ~/.local/state/padstone:
 *
 *   machine              who this machine is: 16 random bytes, made once, and its name
 *   stores/HASH/         HASH of the network's URL and the store's name
 *     anchor             the newest head used (anchor.h)
 *     index              the local index (local_index.h)
 *     usage              how the network was used (usage.h)
 *   public/NAME          what was seen of an address (public_anchor.h)
 *
 * Folders have mode 0700, files 0600. */
#ifndef PS_STATE_H
#define PS_STATE_H

#include "remote/record.h"

struct ps_machine {
	uint8_t id[PS_MACHINE];
	char name[64]; /* the host's, as it was when the id was made */
};

/* The state folder's path. PS_EINVAL: too long, not absolute, or no home is known. */
int ps_state_home(char *path, size_t size) __attribute__((warn_unused_result));
/* The folder of a store; made, with all above it, if `make`. PS_ENOENT otherwise. */
int ps_state_store(const char *home, const char *url, const char *store, bool make, char *path, size_t size)
    __attribute__((warn_unused_result));
/* The folder of what was seen of addresses; made if it is missing. */
int ps_state_public(const char *home, char *path, size_t size) __attribute__((warn_unused_result));
/* Made once, whole or not at all, also by several at a time. PS_ECORRUPT: it is damaged, and left as it is.
 */
int ps_state_machine(const char *home, struct ps_machine *machine) __attribute__((warn_unused_result));
/* The bytes of that file; `path` is for the sentences. PS_ECORRUPT. */
int ps_machine_decode(const char *path, const void *data, size_t len, struct ps_machine *machine)
    __attribute__((warn_unused_result));

/* Durable when it returns: bytes beside, synced, renamed over `path` (or, if `fresh`, only where there is
 * none: PS_EEXIST), folder synced. For small files of the state folder. */
int ps_state_replace(const char *path, const void *bytes, size_t len, bool fresh)
    __attribute__((warn_unused_result));
/* Up to cap bytes; *len more than cap if there are more. PS_ENOENT. */
int ps_state_read(const char *path, void *bytes, size_t cap, size_t *len) __attribute__((warn_unused_result));

#endif
