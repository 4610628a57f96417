/* Which peers this build has: the list comes from CMakeLists.txt. */
#include <string.h>

#include "bench/peer.h"

#define PEER(name) extern const struct peer_ops peer_##name;
#include "peer_list.inc"
#undef PEER

const struct peer_ops *const peers[] = {
#define PEER(name) &peer_##name,
#include "peer_list.inc"
#undef PEER
    NULL};

const char *const peers_left_out = PEERS_LEFT_OUT;

const struct peer_ops *peer_find(const char *name)
{
	for (unsigned i = 0; peers[i]; i++) {
		if (!strcmp(peers[i]->name, name))
			return peers[i];
	}
	return NULL;
}

const char *class_name(enum durability class)
{
	static const char *const names[CLASSES] = {"none", "process", "system", "power"};
	return names[class];
}
