#include "tests/remote/copy/copy_fixture.h"

#include <stdio.h>
#include <unistd.h>

void pair_new(struct pair_of *p)
{
	static unsigned number;
	struct ps_remote_seams seams = {.backoff_ms = 1};
	p->a = blobs_new_with("mem", &seams);
	snprintf(p->url, sizeof(p->url), "mem:copy-%d-%u", (int)getpid(), ++number);
	assert_ok(ps_network_open(p->url, NULL, &p->watch));
	p->world = ps_mem_world_of(p->watch);
}

void pair_free(struct pair_of *p)
{
	blobs_free(p->a);
	ps_network_close(p->watch);
	assert_ok(ps_mem_forget(p->url + strlen("mem:")));
}

struct ps_remote_copy_result copy_now(struct pair_of *p)
{
	struct ps_remote_copy_result result = {0};
	assert_ok(ps_remote_copy(p->a->r, p->url, NULL, &result));
	return result;
}

void expect_whole(struct pair_of *p)
{
	struct ps_remote_copy all = {.size = sizeof(all), .all = 1};
	struct ps_remote_copy_result result = {0};
	assert_ok(ps_remote_copy(p->a->r, p->url, &all, &result));
	assert_int_equal(result.looked, result.kept);
	assert_int_equal(result.created + result.replaced + result.missing, 0);
}

struct blobs *open_copy(struct pair_of *p)
{
	struct blobs *b = machine_new(p->a);
	snprintf(b->url, sizeof(b->url), "%s", p->url);
	assert_ok(blobs_start(b, false));
	return b;
}

uint64_t requests_of(struct pair_of *p, enum ps_net_op op)
{
	struct ps_mem_figures figures;
	ps_mem_figures(p->world, &figures, true);
	return figures.requests[op];
}
