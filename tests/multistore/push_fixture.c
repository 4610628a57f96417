#include "tests/multistore/push_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "multistore/log.h"
#include "multistore/push_internal.h"
#include "tests/support/patient.h"

enum { CHUNK = 65536, LARGE = 20 * CHUNK };

/* ---- stores ---- */

struct ps_base_options stack_base(void)
{
	return (struct ps_base_options){.size = sizeof(struct ps_base_options),
	                                .durability = PS_RELAXED,
	                                .memory_budget = 16 << 20,
	                                .pin_limit = 1 << 30,
	                                .io = PS_BASE_IO_BUFFERED,
	                                .background = PS_BACKGROUND_NONE};
}

ps_storer *open_stack(const struct world *w, const char *path, int mode)
{
	struct ps_base_options options = stack_base();
	options.mode = mode;
	ps_storer *base, *multi, *top;
	assert_ok(ps_base_open(path, &options, &base));
	assert_ok(ps_multi_open(base, NULL, &multi));
	if (!w->concurrent)
		return multi;
	assert_ok(patient_locks_open(multi, &top));
	return top;
}

ps_storer *open_attached(struct blobs *b, const char *path, int mode)
{
	const struct ps_multi_options options = {
	    .size = sizeof(options), .remote = b->r, .log_ms = PS_LOG_OFF};
	struct ps_base_options base = stack_base();
	ps_storer *s;
	base.mode = mode;
	assert_ok(ps_multi_open_at(path, &base, &options, &s));
	return s;
}

void damage_copies(const char *path, const uint8_t *bytes, size_t len)
{
	FILE *file = fopen(path, "r+b");
	unsigned copies = 0;
	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	size_t size = (size_t)ftell(file);
	uint8_t *all = malloc(size), *at = all;
	assert_non_null(all);
	rewind(file);
	assert_int_equal(fread(all, 1, size, file), size);
	for (; (at = memmem(at, size - (size_t)(at - all), bytes, len)); at += len, copies++)
		at[len / 2] ^= 4;
	assert_true(copies > 0);
	rewind(file);
	assert_int_equal(fwrite(all, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	free(all);
}

struct ps_log *log_begin(const struct world *w)
{
	const struct ps_log_setup setup = {.s = w->s,
	                                   .r = w->b->r,
	                                   .clock = &ps_system_clock,
	                                   .group_bytes = 64 << 20,
	                                   .total_bytes = 512 << 20};
	struct ps_log *log;
	assert_ok(ps_log_new(&setup, &log));
	ps_log_enter(log);
	return log;
}

void world_new(struct world *w, const char *scheme, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	const struct ps_remote_seams seams = {.backoff_ms = 1};
	w->b = blobs_new_with(scheme, &seams);
	w->dice.state = seed;
	w->options = (struct ps_push_options){.size = sizeof(w->options)};
	snprintf(w->path, sizeof(w->path), "%s/store", w->b->folder);
	w->concurrent = seed % 2;
	w->s = open_stack(w, w->path, PS_OPEN_CREATE_NEW);
}

void world_free(struct world *w)
{
	assert_ok(ps_close(w->s));
	blobs_free(w->b);
	free(w->ids);
}

void world_reopen(struct world *w)
{
	assert_ok(ps_close(w->s));
	w->s = open_stack(w, w->path, PS_OPEN_EXISTING);
}

/* ---- changes ---- */

static void remember(struct world *w, ps_id id)
{
	if (w->id_count == w->id_capacity) {
		w->id_capacity = w->id_capacity ? w->id_capacity * 2 : 256;
		w->ids = realloc(w->ids, w->id_capacity * sizeof(*w->ids));
		assert_non_null(w->ids);
	}
	w->ids[w->id_count++] = id;
}

static size_t some_size(struct dice *dice)
{
	switch (roll_below(dice, 12)) {
	case 0:
		return 0;
	case 1:
		return (size_t)roll_below(dice, LARGE);
	case 2:
		return (size_t)(CHUNK - 2 + roll_below(dice, 5));
	case 3:
	case 4:
		return (size_t)roll_below(dice, 20000);
	default:
		return (size_t)roll_below(dice, 400);
	}
}

static uint8_t *some_bytes(struct dice *dice, size_t len)
{
	uint8_t *bytes = test_malloc(len + 1);
	uint64_t seed = roll(dice);
	if (seed % 3 == 0)
		memset(bytes, (int)(seed >> 8 & 0xff), len);
	else
		blobs_fill(bytes, len, seed);
	return bytes;
}

static void put_one(struct world *w)
{
	size_t len = some_size(&w->dice);
	uint8_t *bytes = some_bytes(&w->dice, len);
	ps_id id;
	assert_ok(ps_put(w->s, bytes, len, &id));
	remember(w, id);
	test_free(bytes);
}

static void alloc_one(struct world *w)
{
	ps_id id;
	assert_ok(ps_alloc(w->s, roll_below(&w->dice, LARGE), &id));
	remember(w, id);
}

static void change_one(struct world *w, ps_id id)
{
	size_t len = some_size(&w->dice);
	uint8_t *bytes = some_bytes(&w->dice, len);
	int err;
	switch (roll_below(&w->dice, 5)) {
	case 0:
		err = ps_delete(w->s, id);
		break;
	case 1:
		err = ps_write_at(w->s, id, roll_below(&w->dice, LARGE), bytes, len / 4);
		break;
	case 2:
		err = ps_resize(w->s, id, roll_below(&w->dice, LARGE));
		break;
	default:
		err = ps_replace(w->s, id, bytes, len);
	}
	if (err != PS_ENOTFOUND)
		assert_ok(err);
	test_free(bytes);
}

void change_some(struct world *w, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t what = roll_below(&w->dice, 10);
		if (what < 4 || w->id_count == 0)
			put_one(w);
		else if (what == 4)
			alloc_one(w);
		else
			change_one(w, w->ids[roll_below(&w->dice, w->id_count)]);
	}
}

/* ---- pictures ---- */

struct taking {
	struct picture *p;
	ps_storer *s;
};

static int see_object(void *arg, ps_id id)
{
	struct taking *t = arg;
	struct picture *p = t->p;
	struct ps_info info;
	assert_ok(ps_info(t->s, id, &info));
	uint8_t *bytes = test_malloc((size_t)info.size + 1);
	size_t len = 0;
	assert_ok(ps_get(t->s, id, bytes, (size_t)info.size, &len));
	assert_int_equal(len, info.size);
	if (p->count == p->capacity) {
		p->capacity = p->capacity ? p->capacity * 2 : 256;
		p->all = realloc(p->all, p->capacity * sizeof(*p->all));
		assert_non_null(p->all);
	}
	p->all[p->count++] = (struct seen){id, len, XXH3_64bits(bytes, len)};
	test_free(bytes);
	return 0;
}

void picture_take(struct picture *p, ps_storer *s)
{
	struct taking t = {p, s};
	*p = (struct picture){0};
	assert_ok(ps_each(s, PS_ID_NONE, see_object, &t));
}

void picture_free(struct picture *p)
{
	free(p->all);
	*p = (struct picture){0};
}

void expect_picture(const struct picture *p, ps_storer *s, const char *what)
{
	struct picture now;
	picture_take(&now, s);
	for (size_t i = 0; i < p->count && i < now.count; i++) {
		if (memcmp(&p->all[i], &now.all[i], sizeof(p->all[i])) != 0)
			fail_msg("%s: object %llx of %llu bytes should be %llx of %llu", what,
			         (unsigned long long)now.all[i].id, (unsigned long long)now.all[i].size,
			         (unsigned long long)p->all[i].id, (unsigned long long)p->all[i].size);
	}
	if (p->count != now.count)
		fail_msg("%s: %zu objects instead of %zu", what, now.count, p->count);
	picture_free(&now);
}

/* ---- pushes and clones ---- */

bool is_refusal_of_push(int err)
{
	return err == PS_EAUTH || err == PS_EROLLBACK || err == PS_EFORK || err == PS_ELOST ||
	       err == PS_ESUPERSEDED || err == PS_EUNAVAILABLE || err == PS_ETIMEDOUT || err == PS_ECORRUPT;
}

/* Bytes that come are the picture's at once; what was refused is compared when the rule is gone. */
static bool read_one_under(ps_storer *s, const struct seen *seen, const struct ps_mem_rule *rule)
{
	uint8_t *bytes = test_malloc((size_t)seen->size + 1);
	size_t len = 0;
	int err = ps_get(s, seen->id, bytes, (size_t)seen->size, &len);
	if (err && !is_refusal_of_push(err))
		fail_msg("fault %d: %s (%s)", (int)rule->fault, ps_error_name(err), ps_last_error_message());
	if (!err)
		assert_true(len == seen->size && XXH3_64bits(bytes, len) == seen->hash);
	test_free(bytes);
	return err != PS_OK;
}

unsigned read_under_rule(struct world *w, ps_storer *s, const struct picture *p, size_t step,
                         const struct ps_mem_rule *rule)
{
	unsigned number, refused = 0;
	assert_ok(ps_mem_rule_add(blobs_world(w->b), rule, &number));
	for (size_t i = 0; i < p->count; i += step)
		refused += read_one_under(s, &p->all[i], rule);
	ps_mem_rule_remove(blobs_world(w->b), 0);
	expect_picture(p, s, "after a network that lies");
	return refused;
}

void lie_to_reads(struct world *w, lied_to_fn fn, void *arg)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_ABSENT,   PS_MEM_OLD,    PS_MEM_FROZEN, PS_MEM_FLIP,
	                                           PS_MEM_TRUNCATE, PS_MEM_EXTEND, PS_MEM_OTHER};
	struct picture p;
	struct ps_pad_name names[256];
	ps_mem_snapshot *past;
	unsigned refused = 0;
	w->options.pack_bytes = 200000;
	ps_mem_keep_past(blobs_world(w->b), 3);
	change_some(w, 40);
	(void)push_now(w);
	assert_ok(ps_mem_snapshot_take(blobs_world(w->b), 0, &past));
	change_some(w, 20);
	(void)push_now(w);
	picture_take(&p, w->s);
	size_t count = blobs_names(w->b, names, 256);
	for (unsigned i = 0; i < 2 * sizeof(faults) / sizeof(*faults); i++) {
		struct ps_mem_rule rule = {.fault = faults[i / 2],
		                           .ops = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE,
		                           .one_in = i % 2 ? 3 : 0,
		                           .amount = 1 + i,
		                           .snapshot = past};
		rule.other = names[roll_below(&w->dice, count)];
		refused += fn(arg, &p, &rule);
	}
	print_message("%u reads were refused\n", refused);
	assert_true(refused > 20);
	ps_mem_snapshot_free(past);
	picture_free(&p);
}

struct ps_push_result push_now(struct world *w)
{
	struct ps_push_result result = {0};
	assert_ok(ps_push(w->s, w->b->r, &w->options, &result));
	return result;
}

ps_storer *clone_open(struct world *w, ps_remote *r, uint64_t state, char path[256])
{
	const struct ps_base_options base = {.size = sizeof(base),
	                                     .memory_budget = 16 << 20,
	                                     .durability = PS_RELAXED,
	                                     .io = PS_BASE_IO_BUFFERED,
	                                     .background = PS_BACKGROUND_NONE};
	const struct ps_clone_options options = {.size = sizeof(options), .state = state, .base = &base};
	snprintf(path, 256, "%s/clone-%u", w->b->folder, ++w->clones);
	assert_ok(ps_clone(r, path, &options, NULL));
	return open_stack(w, path, PS_OPEN_EXISTING);
}

void expect_clone(struct world *w, ps_remote *r, uint64_t state, const struct picture *p)
{
	char path[256];
	ps_storer *s = clone_open(w, r, state, path);
	expect_picture(p, s, "a clone");
	assert_ok(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	assert_ok(ps_close(s));
	assert_int_equal(unlink(path), 0);
}

/* ---- packs ---- */

struct counting {
	const struct ps_push_manifest *m;
	size_t count;
};

static int see_pack(void *arg, const struct ps_remote_info *info)
{
	struct counting *c = arg;
	char name[PS_PACK_NAME];
	bool named = false;
	for (uint32_t i = 0; i < c->m->pack_count && !named; i++) {
		ps_pack_name(&c->m->packs[i].about, name);
		named = strcmp(name, info->key) == 0 && info->size == c->m->packs[i].bytes;
	}
	if (!named || !info->complete || !info->exists)
		fail_msg("%s: %s", info->key, named ? "is not whole" : "no manifest names it");
	c->count++;
	return 0;
}

size_t expect_packs(struct blobs *b)
{
	struct ps_memory memory;
	struct ps_push_manifest m;
	ps_memory_init(&memory, NULL);
	ps_push_manifest_init(&m, &memory);
	assert_ok(push_read_manifest(b->r, PS_PUSH_MANIFEST_KEY, &m));
	struct counting c = {&m, 0};
	assert_ok(ps_remote_list(b->r, "pack/", see_pack, &c));
	assert_int_equal(c.count, m.pack_count);
	ps_push_manifest_done(&m);
	ps_memory_done(&memory);
	assert_ok(ps_remote_verify(b->r, NULL, NULL));
	return c.count;
}
