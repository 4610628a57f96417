/* The table of routes. */
#include "cli/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <padstone/push.h>

/* What is away and of no route yet: of a lazy clone, what nothing has touched. */
static void take_unknown(struct cli_routes *routes, const struct ps_local_figures *figures)
{
	const struct ps_local_route known = routes_local(routes);

	routes->unknown_objects = figures->away_objects - known.away_objects;
	routes->unknown_bytes = figures->away_bytes - known.away_bytes;
}

/* A store that cannot be pushed never was. */
static int read_local(ps_storer *s, struct cli_routes *routes)
{
	struct ps_local_figures figures;
	struct ps_remote_status status;
	size_t n;
	int err;

	if (ps_push_status(s, &status) != PS_OK || status.state == 0)
		return PS_OK;
	routes->was_pushed = true;
	err = ps_local_routes(s, routes->local, sizeof(routes->local) / sizeof(*routes->local), &n);
	if (err == PS_OK)
		err = ps_local_figures(s, &figures);
	if (err == PS_OK)
		take_unknown(routes, &figures);
	return err;
}

int routes_read(ps_storer *s, struct cli_routes *routes)
{
	size_t n = 0;
	int err;

	memset(routes, 0, sizeof(*routes));
	if ((ps_caps(s) & PS_CAP_READONLY) != 0 || ps_multi_placement(s, &routes->placement) != PS_OK)
		return PS_OK;
	err = ps_multi_routes(s, routes->route, sizeof(routes->route) / sizeof(*routes->route), &n);
	routes->count = err == PS_OK ? n : 0;
	return err == PS_OK ? read_local(s, routes) : err;
}

struct ps_local_route routes_local(const struct cli_routes *routes)
{
	struct ps_local_route all = {.away_objects = routes->unknown_objects,
	                             .away_bytes = routes->unknown_bytes};

	for (size_t i = 0; i < routes->count; i++) {
		all.both_bytes += routes->local[i].both_bytes;
		all.dirty_bytes += routes->local[i].dirty_bytes;
		all.away_objects += routes->local[i].away_objects;
		all.away_bytes += routes->local[i].away_bytes;
	}
	return all;
}

const char *cli_count_text(uint64_t n, char out[32])
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, n), at = 0;

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
	return out;
}

static bool is_used(const struct ps_multi_route *r)
{
	return r->objects > 0 || r->slabs > 0;
}

static bool has_contents(const struct ps_local_route *r)
{
	return r->both_bytes + r->dirty_bytes + r->away_bytes > 0;
}

static bool is_shown(const struct cli_routes *routes, size_t i)
{
	return i == 0 || is_used(&routes->route[i]) ||
	       (routes->was_pushed && has_contents(&routes->local[i]));
}

static char *route_name(uint32_t slot_bytes, char out[32])
{
	if (slot_bytes == 0)
		strcpy(out, "root");
	else
		snprintf(out, 32, "%" PRIu32 " B", slot_bytes);
	return out;
}

static void print_route(const struct ps_multi_route *r)
{
	char name[32], objects[32], live[32], waste[32], slabs[32] = "", full[32] = "", left[32];

	if (r->slabs > 0) {
		cli_count_text(r->slabs, slabs);
		snprintf(full, sizeof(full), "%.0f %%", 100.0 * (double)r->used / (double)r->slots);
	}
	printf("%-8s %13s %11s %11s %9s %7s %11s\n", route_name(r->slot_bytes, name),
	       cli_count_text(r->objects, objects), cli_size_text(r->live_bytes, live),
	       cli_size_text(r->waste_bytes, waste), slabs, full, cli_size_text(r->free_bytes, left));
}

static void print_local_route(const char *name, const struct ps_local_route *r)
{
	char both[32], dirty[32], away[32], objects[32];

	printf("%-9s %12s %13s %13s %13s\n", name, cli_size_text(r->both_bytes, both),
	       cli_size_text(r->dirty_bytes, dirty), cli_size_text(r->away_bytes, away),
	       cli_count_text(r->away_objects, objects));
}

static void print_local(const struct cli_routes *routes)
{
	const struct ps_local_route all = routes_local(routes);
	const struct ps_local_route unknown = {.away_objects = routes->unknown_objects,
	                                       .away_bytes = routes->unknown_bytes};
	char name[32];

	printf("\n%-9s %12s %13s %13s %13s\n", "contents", "here, pushed", "changed since", "away",
	       "objects away");
	for (size_t i = 0; i < routes->count; i++)
		if (has_contents(&routes->local[i]))
			print_local_route(route_name(routes->local[i].slot_bytes, name), &routes->local[i]);
	if (routes->unknown_objects > 0)
		print_local_route("untouched", &unknown);
	print_local_route("all", &all);
}

void routes_print(const struct cli_routes *routes)
{
	if (routes->count == 0)
		return;
	printf("%-8s %13s %11s %11s %9s %7s %11s\n", "route", "objects", "live", "waste", "slabs", "in use",
	       "free");
	for (size_t i = 0; i < routes->count; i++)
		if (i == 0 || is_used(&routes->route[i]))
			print_route(&routes->route[i]);
	if (routes->was_pushed)
		print_local(routes);
}

static json_t *route_json(const struct ps_multi_route *r)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "slot_bytes",
	                 (json_int_t)r->slot_bytes, "objects", (json_int_t)r->objects, "live_bytes",
	                 (json_int_t)r->live_bytes, "allocated", (json_int_t)r->allocated, "waste_bytes",
	                 (json_int_t)r->waste_bytes, "slabs", (json_int_t)r->slabs, "slots",
	                 (json_int_t)r->slots, "used", (json_int_t)r->used, "free_bytes",
	                 (json_int_t)r->free_bytes, "tail_bytes", (json_int_t)r->tail_bytes);
}

/* Of a route, or of all together. */
static void local_json(const struct ps_local_route *r, json_t *object)
{
	json_object_set_new(object, "local_bytes",
	                    json_integer((json_int_t)(r->both_bytes + r->dirty_bytes)));
	json_object_set_new(object, "both_bytes", json_integer((json_int_t)r->both_bytes));
	json_object_set_new(object, "dirty_bytes", json_integer((json_int_t)r->dirty_bytes));
	json_object_set_new(object, "away_bytes", json_integer((json_int_t)r->away_bytes));
	json_object_set_new(object, "away_objects", json_integer((json_int_t)r->away_objects));
}

static json_t *list_json(const struct cli_routes *routes)
{
	json_t *list = json_array(), *route;

	for (size_t i = 0; i < routes->count; i++) {
		if (!is_shown(routes, i))
			continue;
		route = route_json(&routes->route[i]);
		if (routes->was_pushed)
			local_json(&routes->local[i], route);
		json_array_append_new(list, route);
	}
	return list;
}

void routes_json(const struct cli_routes *routes, json_t *object)
{
	const struct ps_local_route all = routes_local(routes);

	if (routes->count == 0)
		return;
	if (routes->was_pushed) {
		local_json(&all, object);
		json_object_set_new(object, "unknown_bytes", json_integer((json_int_t)routes->unknown_bytes));
		json_object_set_new(object, "unknown_objects",
		                    json_integer((json_int_t)routes->unknown_objects));
	}
	json_object_set_new(object, "route_max", json_integer(routes->placement.route_max));
	json_object_set_new(object, "slab_bytes", json_integer(routes->placement.slab_bytes));
	json_object_set_new(object, "routes", list_json(routes));
}
