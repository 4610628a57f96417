/* What is about to be looked up in a state is brought near: indexes, then blocks of packs, several at once
 * (pack_fetchers.h); blocks that lie side by side in one request. Nothing here fails: who looks up what could
 * not be fetched asks for it again. */
#ifndef PS_STATE_WANT_H
#define PS_STATE_WANT_H

#include "multistore/pack_loader.h"
#include "store/backing.h"

enum { PS_STATE_WANTS = 64 };

struct ps_state_want {
	/* The caller's. */
	const struct ps_backing_want *want;
	const struct ps_push_manifest_state *state; /* that is looked into; NULL: none */
	/* ps_state_want's. */
	bool done;
	uint32_t runs; /* of the state's that it was not looked for in; the newest of them comes next */
	const struct ps_push_manifest_pack *pack; /* of the run before these; NULL: there is none */
	struct ps_cached *index;                  /* of the pack, held; NULL */
	uint32_t head, first, last;               /* blocks: where the object begins; with its bytes */
};

/* Up to PS_STATE_WANTS. Waits for indexes, and for blocks where what they have decides what else is wanted;
 * the others are on their way when it returns. */
void ps_state_want(struct ps_pack_loader *l, const struct ps_push_manifest *m, struct ps_state_want *wants,
                   size_t count);

#endif
