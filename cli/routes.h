/* What each route of a store holds, as `stat` and `map` show it. */
#ifndef PS_CLI_ROUTES_H
#define PS_CLI_ROUTES_H

#include "cli/cli.h"

struct cli_routes {
	struct ps_multi_placement placement;
	struct ps_multi_route route[PS_MULTI_CLASSES_MAX + 1]; /* the root's first */
	size_t count;                                          /* 0: the store has no routes */
	bool was_pushed; /* to a network: then contents may be there as well, or only there */
	struct ps_local_route local[PS_MULTI_CLASSES_MAX + 1];
	uint64_t unknown_objects, unknown_bytes; /* away, and nobody has looked yet what they are */
};

/* A store without routes has none, and one opened read-only does not know them; that is no failure. */
PS_CHECKED int routes_read(ps_storer *s, struct cli_routes *routes);
/* Tables on standard output: the root and all classes that have slabs; of a store that was pushed, where
 * contents are. */
void routes_print(const struct cli_routes *routes);
/* The sum of all routes and of what is unknown; zeros for a store that was never pushed. */
struct ps_local_route routes_local(const struct cli_routes *routes);
/* "route_max", "slab_bytes" and "routes" into object, if there are any. */
void routes_json(const struct cli_routes *routes, json_t *object);
/* "12,345" */
const char *cli_count_text(uint64_t n, char out[32]);

#endif
