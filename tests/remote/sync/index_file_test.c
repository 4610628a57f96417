/* The index as one file: what it is for, what is refused, and what a cut of either call leaves. usage:
 * index_file_test [cuts] */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote/index_file.h"
#include "tests/remote/sync/sync_fixture.h"

enum { VALUES = 60 };

struct world {
	struct blobs *a; /* made the store */
	char path[256];  /* of the file, in a's state folder */
	struct ps_remote_index_result written;
};

static void name_of(unsigned i, char key[16])
{
	(void)snprintf(key, 16, "value %u", i);
}

static void expect_values(struct blobs *b)
{
	char key[16];
	for (unsigned i = 0; i < VALUES; i++) {
		name_of(i, key);
		blobs_expect(b, key, 100 + i, i);
	}
}

/* An index of several pads, and a delta. */
static void world_new(struct world *w)
{
	struct ps_remote_seams seams = {.backoff_ms = 1};
	char key[16];
	w->a = blobs_new_with("mem", &seams);
	w->a->r->payloads[PS_PAD_SMALL] = w->a->r->payloads[PS_PAD_MEDIUM] = 4096;
	for (unsigned i = 0; i < VALUES - 1; i++) {
		name_of(i, key);
		blobs_put(w->a, key, 100 + i, i);
	}
	(void)sync_machine(w->a);
	name_of(VALUES - 1, key);
	blobs_put(w->a, key, 100 + VALUES - 1, VALUES - 1);
	(void)sync_machine(w->a);
	(void)snprintf(w->path, sizeof(w->path), "%s/file", w->a->folder);
	assert_ok(ps_remote_export_index(w->a->r, w->path, 0, NULL, NULL, &w->written));
	assert_true(w->written.pads > 4);
	assert_int_equal(w->written.unsynced, 0);
}

static void world_free(struct world *w)
{
	blobs_free(w->a);
}

/* As blobs_start, with what the network lost of the index put back first. */
static int import(struct blobs *b, const char *path, struct ps_remote_index_result *result)
{
	struct ps_remote_setup setup = {.url = b->url,
	                                .options = &b->options,
	                                .seams = &b->seams,
	                                .index_file = path,
	                                .imported = result};
	int err = ps_keys_new(b->key, NULL, &setup.keys);
	if (err != PS_OK)
		return err;
	err = ps_remote_start(&setup, &b->r);
	if (err != PS_OK)
		ps_keys_free(setup.keys);
	return err;
}

static int lose(void *arg, const struct ps_index_file_pad *pad)
{
	blobs_lose(arg, &pad->slot.name);
	return PS_OK;
}

/* The head, and every pad of the index that the file has. */
static void lose_index(struct world *w)
{
	struct ps_index_file file;
	assert_ok(ps_index_file_open(w->a->r, w->path, &file));
	assert_ok(ps_index_file_each(&file.head.head, file.header.head, lose, w->a));
	blobs_lose(w->a, &file.head_slot.name);
	ps_index_file_close(&file);
}

static uint64_t writes(struct world *w)
{
	struct ps_mem_figures figures;
	ps_mem_figures(blobs_world(w->a), &figures, true);
	return figures.requests[PS_NET_CREATE] + figures.requests[PS_NET_REPLACE] +
	       figures.requests[PS_NET_REMOVE];
}

static uint64_t bytes_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

/* ---- what it is for ---- */

static void an_index_that_was_lost_comes_back(void **state)
{
	struct world w;
	struct ps_remote_index_result put_back = {0};
	struct stat st;
	(void)state;
	world_new(&w);
	assert_int_equal(bytes_of(w.path), w.written.bytes);
	assert_int_equal(stat(w.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	lose_index(&w);
	sync_fails(w.a, PS_ELOST);
	struct blobs *fresh = machine_new(w.a);
	assert_error(blobs_start(fresh, false), PS_ENOTFOUND);
	assert_ok(import(fresh, w.path, &put_back));
	assert_int_equal(put_back.restored, w.written.pads);
	assert_int_equal(put_back.kept, 0);
	assert_int_equal(put_back.head, w.written.head);
	assert_string_equal(put_back.code, w.written.code);
	expect_values(fresh);
	(void)sync_machine(w.a); /* it is the head that it knows */
	blobs_update(fresh, "value 3", 50, 1000);
	(void)sync_machine(fresh);
	(void)sync_machine(w.a);
	blobs_expect(w.a, "value 3", 50, 1000);
	struct blobs *machines[] = {w.a, fresh};
	check_machines(machines, 2);
	machine_free(fresh);
	world_free(&w);
}

static void a_machine_that_knows_the_store_puts_it_back(void **state)
{
	struct world w;
	struct ps_remote_index_result put_back = {0};
	(void)state;
	world_new(&w);
	blobs_put(w.a, "not synced", 10, 500);
	lose_index(&w);
	blobs_close(w.a);
	assert_ok(import(w.a, w.path, &put_back));
	assert_int_equal(put_back.restored, w.written.pads);
	expect_values(w.a);
	blobs_expect(w.a, "not synced", 10, 500);
	(void)sync_machine(w.a);
	check_machines(&w.a, 1);
	world_free(&w);
}

static void what_is_there_is_not_sent(void **state)
{
	struct world w;
	struct ps_remote_index_result put_back = {0};
	(void)state;
	world_new(&w);
	blobs_close(w.a);
	(void)writes(&w);
	assert_ok(import(w.a, w.path, &put_back));
	assert_int_equal(writes(&w), 0);
	assert_int_equal(put_back.restored, 0);
	world_free(&w);
}

struct one {
	struct blobs *b;
	unsigned left; /* pads before it */
	bool gone;
};

static int lose_one(void *arg, const struct ps_index_file_pad *pad)
{
	struct one *one = arg;
	if (one->left-- == 0) {
		blobs_lose(one->b, &pad->slot.name);
		one->gone = true;
	}
	return PS_OK;
}

static void only_what_a_newer_head_still_names_is_put_back(void **state)
{
	struct world w;
	struct ps_remote_index_result put_back = {0};
	struct ps_index_file file;
	(void)state;
	world_new(&w);
	blobs_update(w.a, "value 7", 120, 700);
	(void)sync_machine(w.a);
	assert_ok(ps_index_file_open(w.a->r, w.path, &file));
	struct one one = {.b = w.a, .left = 1}; /* of the base */
	assert_ok(ps_index_file_each(&file.head.head, file.header.head, lose_one, &one));
	assert_true(one.gone);
	ps_index_file_close(&file);
	struct blobs *fresh = machine_new(w.a);
	assert_error(blobs_start(fresh, false), PS_ELOST);
	assert_ok(import(fresh, w.path, &put_back));
	assert_int_equal(put_back.restored, 1);
	blobs_expect(fresh, "value 7", 120, 700);
	(void)sync_machine(w.a);
	struct blobs *machines[] = {w.a, fresh};
	check_machines(machines, 2);
	machine_free(fresh);
	world_free(&w);
}

static void what_was_not_synced_is_told(void **state)
{
	struct world w;
	struct ps_remote_index_result again = {0};
	(void)state;
	world_new(&w);
	blobs_put(w.a, "not synced", 10, 500);
	assert_error(ps_remote_export_index(w.a->r, w.path, 0, NULL, NULL, &again), PS_EEXIST);
	assert_ok(ps_remote_export_index(w.a->r, w.path, 1, NULL, NULL, &again));
	assert_int_equal(again.unsynced, 1);
	assert_int_equal(again.head, w.written.head);
	world_free(&w);
}

static void the_file_names_no_value(void **state)
{
	struct world w;
	(void)state;
	world_new(&w);
	uint8_t *bytes = test_malloc(w.written.bytes);
	int fd = open(w.path, O_RDONLY);
	assert_int_equal(read(fd, bytes, w.written.bytes), (ssize_t)w.written.bytes);
	close(fd);
	assert_null(memmem(bytes, w.written.bytes, "value ", 6));
	assert_null(memmem(bytes, w.written.bytes, "main", 4));
	assert_null(memmem(bytes, w.written.bytes, w.a->key, 8));
	test_free(bytes);
	world_free(&w);
}

/* ---- what is refused ---- */

static void refuse(struct world *w, struct blobs *b, const char *path, int error)
{
	struct ps_remote_index_result put_back = {0};
	(void)writes(w);
	assert_error(import(b, path, &put_back), error);
	assert_int_equal(writes(w), 0);
}

static void a_file_older_than_what_was_used_is_refused(void **state)
{
	struct world w;
	(void)state;
	world_new(&w);
	blobs_update(w.a, "value 7", 120, 700);
	(void)sync_machine(w.a);
	lose_index(&w);
	blobs_close(w.a);
	refuse(&w, w.a, w.path, PS_EROLLBACK);
	assert_non_null(strstr(ps_last_error_message(), "rebuild"));
	assert_ok(blobs_start(w.a, false));
	world_free(&w);
}

/* A machine that knows nothing finds out by the pads: the index went on in one of them. */
static void an_index_that_went_on_is_not_written_over(void **state)
{
	struct world w;
	struct ps_remote_sync_result tidied;
	struct ps_remote_index_result put_back = {0};
	(void)state;
	world_new(&w);
	struct ps_pad_name head = head_name_of(w.a);
	for (unsigned i = 0; i < 3; i++) { /* pads of the runs that the file has are written anew */
		blobs_update(w.a, "value 7", 120, 700 + i);
		assert_ok(ps_remote_tidy(w.a->r, NULL, NULL, &tidied));
		for (unsigned k = 0; k < VALUES / 2; k++) {
			char key[16];
			name_of(k, key);
			blobs_update(w.a, key, 100 + k, k);
		}
		assert_ok(ps_remote_tidy(w.a->r, NULL, NULL, &tidied));
	}
	blobs_lose(w.a, &head);
	struct blobs *fresh = machine_new(w.a);
	assert_error(import(fresh, w.path, &put_back), PS_ESUPERSEDED);
	assert_error(blobs_start(fresh, false), PS_ENOTFOUND); /* no head was written */
	machine_free(fresh);
	world_free(&w);
}

static void a_network_that_shows_an_older_head_is_left_alone(void **state)
{
	struct world w;
	ps_mem_snapshot *old;
	struct ps_pad_name head;
	(void)state;
	world_new(&w);
	head = head_name_of(w.a);
	assert_ok(ps_mem_snapshot_take(blobs_world(w.a), 0, &old));
	blobs_update(w.a, "value 7", 120, 700);
	(void)sync_machine(w.a);
	assert_ok(ps_remote_export_index(w.a->r, w.path, 1, NULL, NULL, &w.written));
	assert_ok(ps_mem_restore_name(blobs_world(w.a), 0, &head, old));
	struct blobs *fresh = machine_new(w.a);
	refuse(&w, fresh, w.path, PS_EROLLBACK);
	machine_free(fresh);
	ps_mem_snapshot_free(old);
	world_free(&w);
}

static void files_of_others_are_refused(void **state)
{
	struct world w, other;
	(void)state;
	world_new(&w);
	world_new(&other);
	struct blobs *fresh = machine_new(w.a);
	refuse(&w, fresh, other.path, PS_EEXIST); /* the same key, a store of its own on each network */
	refuse(&w, fresh, "/dev/null", PS_EFORMAT);
	refuse(&w, fresh, "/nowhere/at all", PS_ENOENT);
	fresh->key[7] ^= 1;
	refuse(&w, fresh, w.path, PS_EAUTH);
	machine_free(fresh);
	world_free(&other);
	world_free(&w);
}

static bool is_refusal(int err)
{
	return err == PS_ECORRUPT || err == PS_EFORMAT || err == PS_EVERSION || err == PS_EAUTH;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static void expect_refused(struct world *w, const char *path)
{
	struct ps_index_file file;
	int err = ps_index_file_open(w->a->r, path, &file);
	if (!is_refusal(err))
		fail_msg("%s (%s)", ps_error_name(err), ps_last_error_message());
}

static void every_byte_of_a_file_counts(void **state)
{
	struct world w;
	char path[sizeof(w.path) + 8];
	(void)state;
	world_new(&w);
	size_t len = w.written.bytes;
	uint8_t *bytes = test_malloc(len + 1);
	int fd = open(w.path, O_RDONLY);
	assert_int_equal(read(fd, bytes, len), (ssize_t)len);
	close(fd);
	(void)snprintf(path, sizeof(path), "%s.bad", w.path);
	for (size_t at = 0; at < len; at += at < 96 ? 1 : 613) {
		bytes[at] ^= (uint8_t)(1 << at % 8);
		write_file(path, bytes, len);
		expect_refused(&w, path);
		bytes[at] ^= (uint8_t)(1 << at % 8);
	}
	for (size_t cut = 0; cut < len; cut += cut < 128 ? 9 : 4099) {
		write_file(path, bytes, cut);
		expect_refused(&w, path);
	}
	bytes[len] = 0;
	write_file(path, bytes, len + 1);
	expect_refused(&w, path);
	test_free(bytes);
	world_free(&w);
}

static int refuse_plan(void *arg, const struct ps_remote_progress *progress)
{
	struct ps_remote_plan *plan = arg;
	if (progress->phase == PS_REMOTE_PLAN)
		*plan = progress->plan;
	return progress->phase == PS_REMOTE_PLAN;
}

static void a_plan_comes_first_and_may_be_refused(void **state)
{
	struct world w;
	struct ps_remote_plan plan = {0};
	(void)state;
	world_new(&w);
	assert_int_equal(unlink(w.path), 0);
	assert_error(ps_remote_export_index(w.a->r, w.path, 0, refuse_plan, &plan, NULL), PS_ECANCELED);
	assert_int_equal(plan.requests, w.written.pads);
	assert_int_equal(plan.record_bytes, w.written.bytes - PS_INDEX_FILE_HEADER);
	assert_int_equal(access(w.path, F_OK), -1);
	assert_ok(ps_remote_export_index(w.a->r, w.path, 0, NULL, NULL, NULL));
	lose_index(&w);
	struct blobs *fresh = machine_new(w.a);
	fresh->options.progress = refuse_plan;
	fresh->options.progress_arg = &plan;
	refuse(&w, fresh, w.path, PS_ECANCELED);
	assert_int_equal(plan.new_pads, w.written.pads);
	machine_free(fresh);
	world_free(&w);
}

/* ---- cuts ---- */

static bool is_whole(struct world *w)
{
	struct ps_index_file file;
	int err = ps_index_file_open(w->a->r, w->path, &file);
	if (err == PS_OK)
		ps_index_file_close(&file);
	return err == PS_OK;
}

/* Whatever request fails for good: the file that was there is there, and it is whole. */
static void an_export_cut_at_any_request_leaves_the_file_as_it_was(void **state)
{
	struct world w;
	unsigned number;
	(void)state;
	world_new(&w);
	blobs_update(w.a, "value 7", 120, 700);
	(void)sync_machine(w.a);
	uint64_t before = bytes_of(w.path);
	w.a->r->options.retries = 1;
	int err = PS_EIO;
	for (uint64_t k = 1; err != PS_OK; k++) {
		struct ps_mem_rule rule = {.fault = PS_MEM_VANISH, .first = k};
		ps_mem_rule_remove(blobs_world(w.a), 0);
		blobs_reopen(w.a);
		assert_ok(ps_mem_rule_add(blobs_world(w.a), &rule, &number));
		err = ps_remote_export_index(w.a->r, w.path, 1, NULL, NULL, NULL);
		ps_mem_rule_remove(blobs_world(w.a), 0);
		assert_true(is_whole(&w));
		assert_true(err == PS_OK || bytes_of(w.path) == before);
		assert_true(k < 100);
	}
	assert_true(bytes_of(w.path) > before);
	world_free(&w);
}

/* Who comes in between finds no store, or one that is whole. */
static void expect_nothing_or_all(struct world *w)
{
	struct blobs *other = machine_new(w->a);
	int err = blobs_start(other, false);
	if (err != PS_ENOTFOUND)
		assert_ok(err);
	if (err == PS_OK)
		expect_values(other);
	machine_free(other);
}

static void an_import_cut_at_any_request_goes_on(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_VANISH, PS_MEM_LOSE_REPLY, PS_MEM_LATE};
	struct world w;
	ps_mem_snapshot *lost;
	unsigned cuts = 0;
	(void)state;
	world_new(&w);
	lose_index(&w);
	assert_ok(ps_mem_snapshot_take(blobs_world(w.a), 0, &lost));
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++) {
		bool hit = true;
		for (uint64_t k = 1; hit; k++, cuts++) {
			struct ps_remote_index_result put_back = {0};
			struct ps_mem_rule at = {.fault = faults[f], .first = k, .count = 1, .amount = 3};
			struct ps_mem_rule then = {.fault = PS_MEM_VANISH, .first = k};
			unsigned first, second;
			struct blobs *fresh = machine_new(w.a);
			assert_ok(ps_mem_restore(blobs_world(w.a), 0, lost));
			assert_ok(ps_mem_rule_add(blobs_world(w.a), &at, &first));
			assert_ok(ps_mem_rule_add(blobs_world(w.a), &then, &second));
			int err = import(fresh, w.path, &put_back);
			hit = ps_mem_rule_hits(blobs_world(w.a), first) +
			          ps_mem_rule_hits(blobs_world(w.a), second) >
			      0;
			if (err == PS_OK)
				blobs_close(fresh);
			ps_mem_rule_remove(blobs_world(w.a), 0);
			(void)ps_mem_deliver(blobs_world(w.a));
			expect_nothing_or_all(&w);
			assert_ok(import(fresh, w.path, &put_back));
			expect_values(fresh);
			machine_free(fresh);
			(void)sync_machine(w.a);
		}
	}
	print_message("%u cuts\n", cuts);
	ps_mem_snapshot_free(lost);
	world_free(&w);
}

static void no_memory_at_any_place(void **state)
{
	struct world w;
	ps_mem_snapshot *lost;
	bool hit = true;
	(void)state;
	world_new(&w);
	for (uint64_t k = 1; hit; k += 1 + k / 8) {
		(void)ps_memory_fail_nth(k, 0);
		int err = ps_remote_export_index(w.a->r, w.path, 1, NULL, NULL, NULL);
		hit = ps_memory_fail_nth(0, 0) >= k;
		assert_true(err == PS_OK || err == PS_ENOMEM);
		assert_true(is_whole(&w));
	}
	lose_index(&w);
	assert_ok(ps_mem_snapshot_take(blobs_world(w.a), 0, &lost));
	hit = true;
	for (uint64_t k = 1; hit; k += 1 + k / 8) {
		struct ps_remote_index_result put_back = {0};
		struct blobs *fresh = machine_new(w.a);
		assert_ok(ps_mem_restore(blobs_world(w.a), 0, lost));
		(void)ps_memory_fail_nth(k, 0);
		int err = import(fresh, w.path, &put_back);
		hit = ps_memory_fail_nth(0, 0) >= k;
		if (err == PS_OK)
			blobs_close(fresh);
		assert_ok(import(fresh, w.path, &put_back));
		machine_free(fresh);
	}
	ps_mem_snapshot_free(lost);
	world_free(&w);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_index_that_was_lost_comes_back),
	    cmocka_unit_test(a_machine_that_knows_the_store_puts_it_back),
	    cmocka_unit_test(what_is_there_is_not_sent),
	    cmocka_unit_test(only_what_a_newer_head_still_names_is_put_back),
	    cmocka_unit_test(what_was_not_synced_is_told),
	    cmocka_unit_test(the_file_names_no_value),
	    cmocka_unit_test(a_file_older_than_what_was_used_is_refused),
	    cmocka_unit_test(an_index_that_went_on_is_not_written_over),
	    cmocka_unit_test(a_network_that_shows_an_older_head_is_left_alone),
	    cmocka_unit_test(files_of_others_are_refused),
	    cmocka_unit_test(every_byte_of_a_file_counts),
	    cmocka_unit_test(a_plan_comes_first_and_may_be_refused),
	};
	static const struct CMUnitTest cuts[] = {
	    cmocka_unit_test(an_export_cut_at_any_request_leaves_the_file_as_it_was),
	    cmocka_unit_test(an_import_cut_at_any_request_goes_on),
	    cmocka_unit_test(no_memory_at_any_place),
	};
	if (argc > 1 && strcmp(argv[1], "cuts") == 0)
		return cmocka_run_group_tests_name("the index as a file, cut", cuts, NULL, NULL);
	return cmocka_run_group_tests_name("the index as a file", tests, NULL, NULL);
}
