/* What each route of a store holds, as `stat` and `map` show it. */
#ifndef PS_CLI_ROUTES_H
#define PS_CLI_ROUTES_H

#include "cli/cli.h"

struct cli_routes {
	struct ps_multi_placement placement;
	struct ps_multi_route route[PS_MULTI_CLASSES_MAX + 1]; /* the root's first */
	size_t count;                                          /* 0: the store has no routes */
};

/* A store without routes has none, and one opened read-only does not know them; that is no failure. */
PS_CHECKED int routes_read(ps_storer *s, struct cli_routes *routes);
/* A table on standard output: the root and all classes that have slabs. */
void routes_print(const struct cli_routes *routes);
/* "route_max", "slab_bytes" and "routes" into object, if there are any. */
void routes_json(const struct cli_routes *routes, json_t *object);
/* "12,345" */
const char *cli_count_text(uint64_t n, char out[32]);

#endif
