/* A remote store of a workload's own: its network, its state, its key. */
#ifndef PS_BENCH_REMOTE_STAGE_H
#define PS_BENCH_REMOTE_STAGE_H

#include "bench/bench.h"
#include "remote/keys.h"
#include "remote/remote.h"

enum { STAGE_DEPTH = 10, STAGE_INFLIGHT = 128 << 20 };

struct stage {
	const struct bench *b;
	char folder[1024], state[1100], url[1100], store[64];
	uint8_t key[PS_KEY];
	struct ps_remote_options options;
	ps_remote *r;
};

/* At most 8. */
uint32_t processors(void);
/* A new store: in "NAME" of the process's folder, which stage_close removes. `network`: its URL; NULL: files
 * in that folder, or what --network says. inflight: bytes of requests at a time. */
void stage_open(struct stage *s, const struct bench *b, const char *name, const char *network,
                uint64_t inflight);
/* Another machine, which has the key of `first` and nothing else. */
void stage_join(struct stage *s, const struct stage *first, const char *name);
/* Opens what was closed by hand. */
void stage_reopen(struct stage *s);
void stage_close(struct stage *s);
struct ps_remote_stats stage_stats(const struct stage *s);

#endif
