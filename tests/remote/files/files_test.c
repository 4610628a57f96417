/* Export and import: what comes out goes in again, cut anywhere; nothing is fetched or sent twice. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <padstone/remote_files.h>

#include "tests/remote/blobs/blobs_fixture.h"

enum { PAD = 128 << 10, KEYS = 9 };

static const char *const keys[KEYS] = {
    "a", "b/c", "b/d/e", "..", "/etc/passwd", "a//b/", "new\nline%", "b", "zz/.padstone-1.tmp"};
static const size_t sizes[KEYS] = {0, 1, 3 * PAD + 7, 4096, PAD, 2 * PAD + 1, 77, 5, 10};

/* ---- a store with values, and a folder beside it ---- */

struct files {
	struct blobs *b;
	char folder[160];
};

static struct files files_new(bool filled)
{
	struct files f = {.b = blobs_new("mem")};
	(void)snprintf(f.folder, sizeof(f.folder), "%s/files", f.b->folder);
	for (unsigned i = 0; filled && i < KEYS; i++)
		blobs_put(f.b, keys[i], sizes[i], i);
	return f;
}

static void expect_all(const struct files *f)
{
	struct ps_remote_stats stats;
	blobs_stats(f->b, &stats);
	assert_int_equal(stats.values, KEYS);
	for (unsigned i = 0; i < KEYS; i++)
		blobs_expect(f->b, keys[i], sizes[i], i);
	blobs_check(f->b);
}

static uint64_t requests(const struct files *f)
{
	struct ps_remote_stats stats;
	blobs_stats(f->b, &stats);
	return stats.requests;
}

static void deny_from(const struct files *f, uint64_t first, unsigned ops)
{
	struct ps_mem_rule rule = {.fault = PS_MEM_DENIED, .first = first, .ops = ops};
	unsigned number;
	assert_ok(ps_mem_rule_add(blobs_world(f->b), &rule, &number));
}

static unsigned files_found, temporary_found;

static int count_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	files_found += kind == FTW_F;
	temporary_found += kind == FTW_F && strncmp(path + at->base, ".padstone-", 10) == 0;
	return 0;
}

static void count_files(const char *folder)
{
	files_found = temporary_found = 0;
	assert_int_equal(nftw(folder, count_one, 16, FTW_PHYS), 0);
}

static void write_text(const struct files *f, const char *leaf, const char *text)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", f->folder, leaf);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* ---- what the call tells ---- */

struct told {
	unsigned plans, ends, findings;
	uint64_t bytes; /* done, when it last told */
	struct ps_remote_progress last, plan;
	bool refuse; /* the plan */
	int error;   /* of the last finding */
	char key[64];
};

static int hear(void *arg, const struct ps_remote_progress *p)
{
	struct told *told = arg;
	told->plans += p->phase == PS_REMOTE_PLAN;
	told->ends += p->phase == PS_REMOTE_END;
	if (p->phase == PS_REMOTE_PLAN) {
		told->plan = *p;
		told->bytes = 0;
	}
	assert_true(p->bytes_done >= told->bytes);
	told->bytes = p->bytes_done;
	told->last = *p;
	return p->phase == PS_REMOTE_PLAN && told->refuse;
}

static void find(void *arg, const char *key, int error, const char *sentence)
{
	struct told *told = arg;
	told->findings++;
	told->error = error;
	(void)snprintf(told->key, sizeof(told->key), "%s", key);
	assert_true(strlen(sentence) > 0);
}

static struct ps_remote_export export_options(struct told *told)
{
	return (struct ps_remote_export){.size = sizeof(struct ps_remote_export),
	                                 .finding = find,
	                                 .finding_arg = told,
	                                 .progress = hear,
	                                 .progress_arg = told};
}

static struct ps_remote_import import_options(struct told *told)
{
	return (struct ps_remote_import){
	    .size = sizeof(struct ps_remote_import), .progress = hear, .progress_arg = told};
}

/* ---- the properties ---- */

static void an_export_imported_elsewhere_is_the_same_store(void **state)
{
	struct files from = files_new(true), to = files_new(false);
	struct told told = {0};
	struct ps_remote_export out = export_options(&told);
	struct ps_remote_import in = import_options(&told);
	struct ps_remote_export_result exported;
	struct ps_remote_import_result imported;
	(void)state;
	assert_ok(ps_remote_export(from.b->r, from.folder, &out, &exported));
	assert_int_equal(exported.values, KEYS);
	assert_int_equal(exported.damaged + exported.refused + exported.same, 0);
	assert_int_equal(told.plans, 1);
	assert_int_equal(told.ends, 1);
	assert_string_equal(told.last.operation, "export");
	assert_int_equal(told.last.bytes_done, exported.bytes);
	assert_int_equal(told.plan.bytes_total, exported.bytes);
	assert_int_equal(told.last.pads_done, told.last.pads_total);
	count_files(from.folder);
	assert_int_equal(files_found, KEYS);
	told = (struct told){0};
	assert_ok(ps_remote_import(to.b->r, from.folder, &in, &imported));
	assert_int_equal(imported.values, KEYS);
	assert_int_equal(imported.bytes, exported.bytes);
	assert_int_equal(told.plans, 1);
	assert_int_equal(told.last.bytes_done, told.plan.bytes_total);
	assert_int_equal(told.last.reserved, told.plan.plan.new_pads);
	expect_all(&to);
	blobs_free(to.b);
	blobs_free(from.b);
}

static void what_is_the_same_costs_no_request(void **state)
{
	struct files f = files_new(true);
	struct ps_remote_export_result exported;
	struct ps_remote_import_result imported;
	struct told told = {0};
	struct ps_remote_export out = export_options(&told);
	(void)state;
	assert_ok(ps_remote_export(f.b->r, f.folder, NULL, NULL));
	uint64_t before = requests(&f);
	assert_ok(ps_remote_export(f.b->r, f.folder, &out, &exported));
	assert_int_equal(exported.same, KEYS);
	assert_int_equal(exported.values + exported.bytes, 0);
	assert_int_equal(told.last.bytes_done, told.last.bytes_total);
	assert_int_equal(told.last.pads_done, told.last.pads_total);
	assert_ok(ps_remote_import(f.b->r, f.folder, NULL, &imported));
	assert_int_equal(imported.same, KEYS);
	assert_int_equal(imported.values + imported.sent_bytes, 0);
	assert_int_equal(requests(&f), before);
	blobs_free(f.b);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static void an_export_cut_at_any_request_goes_on(void **state)
{
	struct files f = files_new(true);
	unsigned cuts = 0;
	(void)state;
	for (uint64_t k = 1, whole = false; !whole; k++) {
		struct ps_remote_export_result first, second;
		deny_from(&f, k, 0);
		int err = ps_remote_export(f.b->r, f.folder, NULL, &first);
		ps_mem_rule_remove(blobs_world(f.b), 0);
		whole = err == PS_OK;
		assert_true(whole || err == PS_EACCES);
		count_files(f.folder);
		assert_int_equal(files_found, first.values);
		assert_int_equal(temporary_found, 0);
		assert_ok(ps_remote_export(f.b->r, f.folder, NULL, &second));
		assert_int_equal(second.same, first.values);
		assert_int_equal(second.values + second.same, KEYS);
		cuts += !whole;
		assert_int_equal(nftw(f.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	}
	assert_true(cuts >= KEYS);
	blobs_free(f.b);
}

static void an_import_cut_at_any_request_sends_only_the_rest(void **state)
{
	struct files from = files_new(true);
	uint64_t pads = 0;
	unsigned cuts = 0;
	(void)state;
	assert_ok(ps_remote_export(from.b->r, from.folder, NULL, NULL));
	for (uint64_t k = 1, whole = false; !whole; k += 7) {
		struct files to = files_new(false);
		struct ps_remote_import_result first, second;
		struct ps_remote_stats stats;
		deny_from(&to, k, 0);
		int err = ps_remote_import(to.b->r, from.folder, NULL, &first);
		ps_mem_rule_remove(blobs_world(to.b), 0);
		whole = err == PS_OK;
		assert_true(whole || err == PS_EACCES);
		assert_ok(ps_remote_import(to.b->r, from.folder, NULL, &second));
		assert_int_equal(second.same, first.values);
		assert_int_equal(second.values + second.same, KEYS);
		expect_all(&to);
		blobs_stats(to.b, &stats);
		pads = pads == 0 ? stats.confirmed : pads;
		assert_int_equal(stats.confirmed, pads);
		cuts += !whole;
		blobs_free(to.b);
	}
	assert_true(cuts >= 3);
	blobs_free(from.b);
}

static void a_refused_plan_costs_nothing(void **state)
{
	struct files f = files_new(true);
	struct told told = {.refuse = true};
	struct ps_remote_export out = export_options(&told);
	struct ps_remote_import in = import_options(&told);
	struct stat st;
	uint64_t before = requests(&f);
	(void)state;
	assert_error(ps_remote_export(f.b->r, f.folder, &out, NULL), PS_ECANCELED);
	assert_int_not_equal(stat(f.folder, &st), 0);
	assert_int_equal(mkdir(f.folder, 0700), 0);
	write_text(&f, "new", "contents");
	assert_error(ps_remote_import(f.b->r, f.folder, &in, NULL), PS_ECANCELED);
	assert_int_equal(told.plan.plan.new_pads + told.plan.plan.reused_pads, 1);
	assert_int_equal(requests(&f), before);
	blobs_free(f.b);
}

static void limits_hold_for_all_files_together(void **state)
{
	struct files from = files_new(true), to = files_new(false);
	struct ps_remote_import in = {.size = sizeof(in), .max_pads = 4};
	struct ps_remote_import_result result;
	struct ps_remote_stats stats;
	(void)state;
	assert_int_equal(mkdir(to.folder, 0700), 0);
	for (unsigned i = 0; i < 6; i++)
		write_text(&to, keys[6] + i, "a pad each");
	assert_error(ps_remote_import(to.b->r, to.folder, &in, &result), PS_EQUOTA);
	assert_int_equal(result.values, 4);
	blobs_stats(to.b, &stats);
	assert_int_equal(stats.pads, 4);
	for (unsigned i = 0; i < 6; i++)
		(void)!ps_remote_remove(to.b->r, keys[6] + i);
	assert_ok(ps_remote_export(from.b->r, from.folder, NULL, NULL));
	in = (struct ps_remote_import){.size = sizeof(in), .max_cost = 4};
	to.b->options.rates = (struct ps_remote_rates){.per_new_pad = 1};
	blobs_reopen(to.b);
	assert_error(ps_remote_import(to.b->r, from.folder, &in, &result), PS_EQUOTA);
	blobs_stats(to.b, &stats);
	assert_true(stats.pads <= 4 + 4);
	assert_ok(ps_remote_import(to.b->r, from.folder, NULL, &result));
	expect_all(&to);
	from.b->options.rates = (struct ps_remote_rates){.per_request = 1};
	from.b->options.max_cost = 3;
	blobs_reopen(from.b);
	assert_ok(ps_remote_export(from.b->r, from.folder, NULL, NULL)); /* nothing is fetched */
	assert_int_equal(nftw(from.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	assert_error(ps_remote_export(from.b->r, from.folder, NULL, NULL), PS_EQUOTA);
	blobs_free(to.b);
	blobs_free(from.b);
}

static void a_damaged_value_costs_only_itself(void **state)
{
	struct files f = files_new(true);
	struct told told = {0};
	struct ps_remote_export out = export_options(&told);
	struct ps_remote_export_result result;
	struct ps_record record;
	(void)state;
	assert_ok(ps_index_get(f.b->r->index, PS_RECORD_BLOB, "b/d/e", 5, &record));
	blobs_lose(f.b, &record.sets[PS_SET_CURRENT].slots[2].name);
	ps_record_done(&record);
	assert_ok(ps_remote_export(f.b->r, f.folder, &out, &result));
	assert_int_equal(result.damaged, 1);
	assert_int_equal(result.values, KEYS - 1);
	assert_int_equal(told.findings, 1);
	assert_int_equal(told.error, PS_ELOST);
	assert_string_equal(told.key, "b/d/e");
	count_files(f.folder);
	assert_int_equal(files_found, KEYS - 1);
	blobs_free(f.b);
}

static void what_is_in_the_way_is_replaced_only_when_told(void **state)
{
	struct files f = files_new(true);
	struct told told = {0};
	struct ps_remote_export out = export_options(&told);
	struct ps_remote_export_result result;
	(void)state;
	out.prefix = "new";
	assert_ok(ps_remote_export(f.b->r, f.folder, &out, &result));
	assert_int_equal(result.values, 1);
	write_text(&f, "new%0Aline%25", "something else");
	assert_ok(ps_remote_export(f.b->r, f.folder, &out, &result));
	assert_int_equal(result.refused, 1);
	assert_int_equal(told.error, PS_EEXIST);
	out.replace = 1;
	assert_ok(ps_remote_export(f.b->r, f.folder, &out, &result));
	assert_int_equal(result.values, 1);
	assert_ok(ps_remote_export(f.b->r, f.folder, &out, &result));
	assert_int_equal(result.same, 1);
	blobs_free(f.b);
}

struct changing {
	const struct files *f;
	bool changed;
};

static int change_it(void *arg, const struct ps_remote_progress *p)
{
	struct changing *c = arg;
	if (p->phase == PS_REMOTE_PLAN)
		write_text(c->f, "grows", "");
	c->changed |= p->phase == PS_REMOTE_PLAN;
	return 0;
}

static void errors_are_told_with_their_path(void **state)
{
	struct files f = files_new(false);
	struct changing c = {.f = &f};
	struct ps_remote_import in = {.size = sizeof(in), .progress = change_it, .progress_arg = &c};
	struct ps_remote_import_result result;
	(void)state;
	assert_error(ps_remote_import(f.b->r, f.folder, NULL, NULL), PS_ENOENT);
	assert_non_null(strstr(ps_last_error_message(), f.folder));
	assert_error(ps_remote_export(f.b->r, "/nowhere/at/all", NULL, NULL), PS_ENOENT);
	assert_non_null(strstr(ps_last_error_message(), "/nowhere/at/all"));
	assert_error(ps_remote_export(f.b->r, NULL, NULL, NULL), PS_EINVAL);
	in.size--;
	assert_error(ps_remote_import(f.b->r, f.folder, &in, NULL), PS_EINVAL);
	in.size++;
	/* A file that was planned with other contents is taken as it is when its turn comes. */
	assert_int_equal(mkdir(f.folder, 0700), 0);
	write_text(&f, "grows", "a few bytes");
	assert_ok(ps_remote_import(f.b->r, f.folder, &in, &result));
	assert_true(c.changed);
	assert_int_equal(result.bytes, 0);
	assert_int_equal(result.values, 1);
	blobs_free(f.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_export_imported_elsewhere_is_the_same_store),
	    cmocka_unit_test(what_is_the_same_costs_no_request),
	    cmocka_unit_test(an_export_cut_at_any_request_goes_on),
	    cmocka_unit_test(an_import_cut_at_any_request_sends_only_the_rest),
	    cmocka_unit_test(a_refused_plan_costs_nothing),
	    cmocka_unit_test(limits_hold_for_all_files_together),
	    cmocka_unit_test(a_damaged_value_costs_only_itself),
	    cmocka_unit_test(what_is_in_the_way_is_replaced_only_when_told),
	    cmocka_unit_test(errors_are_told_with_their_path),
	};
	return cmocka_run_group_tests_name("export and import", tests, NULL, NULL);
}
