#include "tests/multistore/station.h"

#include <stdio.h>
#include <string.h>

int station_clone(struct station *a, uint32_t take_over, const char *name)
{
	const struct ps_base_options base = {.size = sizeof(base), .memory_budget = 16 << 20};
	const struct ps_clone_options options = {
	    .size = sizeof(options), .base = &base, .take_over = take_over};
	snprintf(a->path, sizeof(a->path), "%s/%s-%u", a->b->folder, name, ++a->files);
	int err = ps_clone(a->b->r, a->path, &options, NULL);
	if (!err)
		a->s = open_stack(a->w, a->path, PS_OPEN_EXISTING);
	return err;
}

void station_new(struct station *a, struct world *w)
{
	*a = (struct station){.w = w, .b = machine_open(w->b)};
	assert_ok(station_clone(a, 0, "clone"));
}

void station_free(struct station *a)
{
	assert_ok(ps_close(a->s));
	machine_free(a->b);
}

void station_restart(struct station *a)
{
	assert_ok(ps_close(a->s));
	blobs_close(a->b);
	assert_ok(blobs_start(a->b, false));
	a->s = open_stack(a->w, a->path, PS_OPEN_EXISTING);
}

int station_push(struct station *a)
{
	return ps_push(a->s, a->b->r, NULL, NULL);
}

int station_take_over(struct station *a)
{
	return ps_take_over(a->s, a->b->r, NULL, NULL);
}

struct station station_first(struct world *w)
{
	return (struct station){.w = w, .b = w->b, .s = w->s};
}

void station_put_text(struct station *a, const char *text)
{
	ps_id id;
	assert_ok(ps_put(a->s, text, strlen(text), &id));
}

struct sought {
	ps_storer *s;
	const char *text;
	unsigned found;
};

static int look_for(void *arg, ps_id id)
{
	struct sought *t = arg;
	char buf[64];
	size_t len = 0;
	int err = ps_get(t->s, id, buf, sizeof(buf), &len);
	if (err != PS_ERANGE)
		assert_ok(err);
	t->found += err == PS_OK && len == strlen(t->text) && memcmp(buf, t->text, len) == 0;
	return 0;
}

bool has_text(ps_storer *s, const char *text)
{
	struct sought t = {s, text, 0};
	assert_ok(ps_each(s, PS_ID_NONE, look_for, &t));
	return t.found > 0;
}

struct ps_push_holder holder_of(struct blobs *b)
{
	struct ps_push_holder holder;
	(void)sync_machine(b);
	assert_ok(ps_push_holder(b->r, &holder));
	return holder;
}
