#include "tests/rot/rot_image.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/script.h"

static void open_or_fail(struct history *h, struct sim_disk *disk)
{
	int err = store_open(disk, false, &h->s);
	if (err != PS_OK)
		fail_msg("open: %s: %s", ps_error_name(err), ps_last_error_message());
}

void image_take(struct image *image, const struct sim_disk *disk, size_t commits)
{
	image->size = sim_disk_size(disk);
	image->bytes = malloc(image->size);
	if (!image->bytes)
		abort();
	sim_disk_image(disk, image->bytes);
	image->commits = commits;
}

void image_lengthen(struct image *image, uint64_t size)
{
	if (image->size >= size)
		return;
	image->bytes = realloc(image->bytes, size);
	if (!image->bytes)
		abort();
	memset(image->bytes + image->size, 0, size - image->size);
	image->size = size;
}

/* Small, of a page and more, outside the log, in a map (one chunk never written: 64 KiB of contents more
 * would show nothing that 9 do not, and be half of all bits), never written, in a reserved run, deleted. */
static void first_life(struct history *h)
{
	size_t run = history_alloc_run(h, 100, 3);
	history_write_at(h, run, 0, 100);
	history_prime(h, 64);
	history_put(h, 0);
	history_put(h, 100);
	history_put(h, 700);
	history_put(h, 5000);
	history_put(h, 9000);
	history_write_at(h, history_alloc(h, 70000), 66000, 3000);
	history_alloc(h, 1000);
	history_delete(h, history_put(h, 300));
}

static size_t of_size(const struct history *h, uint64_t size)
{
	for (size_t i = 0; i < h->objects; i++) {
		if (history_now(h, i) && history_now(h, i)->size == size)
			return i;
	}
	fail_msg("no object of %llu bytes", (unsigned long long)size);
	return 0;
}

static void second_life(struct history *h)
{
	history_replace(h, of_size(h, 700), 710);
	history_replace(h, of_size(h, 5000), 5010);
	history_write_at(h, of_size(h, 70000), 66000, 500);
	history_delete(h, history_put(h, 900));
	history_put(h, 150);
}

/* The last commit's bytes stand outside the log, so that recovery has to look at them. */
static void third_life(struct history *h)
{
	history_put(h, 120);
	history_replace(h, of_size(h, 710), 720);
	history_delete(h, of_size(h, 100));
	history_write_at(h, of_size(h, 5010), 10, 30);
	history_put(h, 9500);
}

void images_build(struct images *im)
{
	struct history *h = &im->history;
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	history_init(h);
	open_or_fail(h, disk);
	first_life(h);
	assert_int_equal(ps_close(h->s), PS_OK);
	image_take(&im->old, disk, h->commits);
	open_or_fail(h, disk);
	second_life(h);
	assert_int_equal(ps_close(h->s), PS_OK);
	image_take(&im->clean, disk, h->commits);
	open_or_fail(h, disk);
	third_life(h);
	image_take(&im->unclean, disk, h->commits);
	assert_int_equal(ps_close(h->s), PS_OK);
	sim_disk_free(disk);
	uint64_t size = im->unclean.size > im->clean.size ? im->unclean.size : im->clean.size;
	image_lengthen(&im->old, size);
}

void images_done(struct images *im)
{
	free(im->old.bytes);
	free(im->clean.bytes);
	free(im->unclean.bytes);
	history_done(&im->history);
}

/* ---- the verdict --------------------------------------------------------------------------------------- */

static bool is_refusal(int err)
{
	return err == PS_ECORRUPT || err == PS_EFORMAT || err == PS_EVERSION;
}

static bool wrong(char why[HISTORY_WHY], const char *what, int err)
{
	snprintf(why, HISTORY_WHY, "%s: %s: %s", what, ps_error_name(err), ps_last_error_message());
	return false;
}

struct written {
	int err[2];
	ps_id id[2];
};
static const size_t written_sizes[2] = {200, 6000};
static const uint8_t written_bytes[6000] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

/* Damage may keep new objects out, but only with a word. */
static bool write_some(ps_storer *s, struct written *w, char why[HISTORY_WHY])
{
	for (int i = 0; i < 2; i++) {
		w->err[i] = ps_put(s, written_bytes, written_sizes[i], &w->id[i]);
		if (w->err[i] != PS_OK && w->err[i] != PS_ECORRUPT && w->err[i] != PS_EREADONLY)
			return wrong(why, "put", w->err[i]);
	}
	return true;
}

static bool has_written(ps_storer *s, const struct written *w, char why[HISTORY_WHY])
{
	static uint8_t back[sizeof(written_bytes)];
	for (int i = 0; i < 2; i++) {
		size_t len = 0;
		if (w->err[i] != PS_OK)
			continue;
		int err = ps_get(s, w->id[i], back, sizeof(back), &len);
		if (err != PS_OK || len != written_sizes[i] || memcmp(back, written_bytes, len) != 0)
			return wrong(why, "get of what was put after the damage", err);
		err = ps_delete(s, w->id[i]);
		if (err != PS_OK)
			return wrong(why, "delete of what was put after the damage", err);
	}
	return true;
}

static bool was_kept(const struct history *h, const struct look *before, const struct look *after,
                     char why[HISTORY_WHY])
{
	for (size_t i = 0; i < h->objects; i++) {
		const struct found *b = &before->found[i], *a = &after->found[i];
		/* An id that was not given out yet may turn out to be one of a damaged page's. */
		if (h->born[i] > before->high)
			continue;
		if (b->err == PS_ECORRUPT || (a->err == b->err && a->content == b->content))
			continue;
		snprintf(why, HISTORY_WHY, "object %#llx: was %s before new writes, %s after",
		         (unsigned long long)h->ids[i], ps_error_name(b->err), ps_error_name(a->err));
		return false;
	}
	return true;
}

static bool close_store(ps_storer *s, bool *closed, char why[HISTORY_WHY])
{
	int err = ps_close(s);
	*closed = err == PS_OK;
	return err == PS_OK || err == PS_ECORRUPT || err == PS_EREADONLY || wrong(why, "close", err);
}

/* New objects, a close, an open: what could be read still can. */
static bool go_on(struct sim_disk *disk, const struct history *h, ps_storer *s, const struct look *before,
                  char why[HISTORY_WHY])
{
	static struct look after;
	struct written w = {{0}, {0}};
	bool closed;
	bool right = write_some(s, &w, why);
	if (!close_store(s, &closed, why) || !right)
		return false;
	int err = store_open(disk, false, &s);
	if (err != PS_OK)
		return (!closed && is_refusal(err)) || wrong(why, "open after new writes", err);
	right = has_written(s, &w, why) && history_look(h, s, before->low, before->high, &after, why) &&
	        was_kept(h, before, &after, why);
	return close_store(s, &closed, why) && right;
}

static bool stays_in_reach(const struct history *h, const struct look *look, uint64_t reach,
                           char why[HISTORY_WHY])
{
	for (size_t i = 0; i < h->objects && reach != 0; i++) {
		if (look->found[i].err == PS_ECORRUPT && (i >= 64 || !(reach >> i & 1)))
			return wrong(why, "damage of an object that does not read the damaged place",
			             PS_ECORRUPT);
	}
	return true;
}

static bool look_within(const struct history *h, ps_storer *s, const struct rot_limits *limits,
                        struct look *look, char why[HISTORY_WHY])
{
	if (limits->reach_only)
		return history_look_at(h, s, limits->reach, limits->low, limits->high, look, why);
	return history_look(h, s, limits->low, limits->high, look, why) &&
	       stays_in_reach(h, look, limits->reach, why);
}

bool rot_judge(struct sim_disk *disk, const struct history *h, const uint8_t *bytes, uint64_t size,
               const struct rot_limits *limits, struct rot_verdict *verdict, char why[HISTORY_WHY])
{
	static struct look look;
	ps_storer *s = NULL;
	bool closed;
	sim_disk_reset(disk, bytes, size);
	sim_disk_set_tracing(disk, false);
	*verdict = (struct rot_verdict){.open = store_open(disk, false, &s)};
	if (verdict->open != PS_OK) {
		if (limits->must_open || !is_refusal(verdict->open) || !ps_last_error_message()[0])
			return wrong(why, "open", verdict->open);
		return true;
	}
	bool right = look_within(h, s, limits, &look, why);
	verdict->damaged = look.damaged > 0 || look.check != PS_OK;
	verdict->harmless = !verdict->damaged;
	if (right && limits->write)
		return go_on(disk, h, s, &look, why);
	return close_store(s, &closed, why) && right;
}
