/* The table of routes. */
#include "cli/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int routes_read(ps_storer *s, struct cli_routes *routes)
{
	size_t n = 0;
	int err;

	memset(routes, 0, sizeof(*routes));
	if ((ps_caps(s) & PS_CAP_READONLY) != 0 || ps_multi_placement(s, &routes->placement) != PS_OK)
		return PS_OK;
	err = ps_multi_routes(s, routes->route, sizeof(routes->route) / sizeof(*routes->route), &n);
	routes->count = err == PS_OK ? n : 0;
	return err;
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

static void print_route(const struct ps_multi_route *r)
{
	char name[32], objects[32], live[32], waste[32], slabs[32] = "", full[32] = "", left[32];

	if (r->slot_bytes == 0)
		strcpy(name, "root");
	else
		snprintf(name, sizeof(name), "%" PRIu32 " B", r->slot_bytes);
	if (r->slabs > 0) {
		cli_count_text(r->slabs, slabs);
		snprintf(full, sizeof(full), "%.0f %%", 100.0 * (double)r->used / (double)r->slots);
	}
	printf("%-8s %13s %11s %11s %9s %7s %11s\n", name, cli_count_text(r->objects, objects),
	       cli_size_text(r->live_bytes, live), cli_size_text(r->waste_bytes, waste), slabs, full,
	       cli_size_text(r->free_bytes, left));
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

void routes_json(const struct cli_routes *routes, json_t *object)
{
	json_t *list = json_array();

	for (size_t i = 0; i < routes->count; i++)
		if (i == 0 || is_used(&routes->route[i]))
			json_array_append_new(list, route_json(&routes->route[i]));
	if (routes->count > 0) {
		json_object_set_new(object, "route_max", json_integer(routes->placement.route_max));
		json_object_set_new(object, "slab_bytes", json_integer(routes->placement.slab_bytes));
		json_object_set(object, "routes", list);
	}
	json_decref(list);
}
