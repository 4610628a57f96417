#include "in_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fail.h"
#include "cli/catalogue.h"
#include "cli/cli.h"

ps_storer *test_store;
long test_commits;
long test_last_commit = -1;

int cli_open_store(const struct cli *cli, int mode, ps_storer **s)
{
	(void)cli;
	(void)mode;
	*s = test_store;
	return PS_OK;
}

int cli_open_store_on(const struct cli *cli, ps_remote *r, ps_storer **s)
{
	(void)r;
	return cli_open_store(cli, PS_OPEN_EXISTING, s);
}

int cli_open_state_on(const struct cli *cli, ps_remote *r, ps_storer **s)
{
	return cli_open_store_on(cli, r, s);
}

int cli_close_store(ps_storer *s)
{
	(void)s;
	return PS_OK;
}

/* The linker sends the tool's own calls here (--wrap). */
int __real_ps_batch_commit(ps_batch *b, enum ps_durability durability);
int __wrap_ps_batch_commit(ps_batch *b, enum ps_durability durability);
int __real_ps_replace(ps_storer *s, ps_id id, const void *data, size_t len);
int __wrap_ps_replace(ps_storer *s, ps_id id, const void *data, size_t len);
int __real_ps_writer_finish(ps_writer *w);
int __wrap_ps_writer_finish(ps_writer *w);

static int killed(void)
{
	if (test_last_commit >= 0 && test_commits >= test_last_commit)
		return 1;
	test_commits++;
	return 0;
}

int __wrap_ps_batch_commit(ps_batch *b, enum ps_durability durability)
{
	if (!killed())
		return __real_ps_batch_commit(b, durability);
	(void)ps_batch_abort(b);
	return ps_fail(PS_EIO, "killed by the test");
}

int __wrap_ps_replace(ps_storer *s, ps_id id, const void *data, size_t len)
{
	return killed() ? ps_fail(PS_EIO, "killed by the test") : __real_ps_replace(s, id, data, len);
}

int __wrap_ps_writer_finish(ps_writer *w)
{
	if (!killed())
		return __real_ps_writer_finish(w);
	(void)ps_writer_abort(w);
	return ps_fail(PS_EIO, "killed by the test");
}

int run_tool(const char *first, ...)
{
	char *argv[16] = {(char *)(uintptr_t) "padstone", (char *)(uintptr_t)first};
	int argc = 2;
	va_list list;

	va_start(list, first);
	while (argc < 15 && (argv[argc] = va_arg(list, char *)) != NULL)
		argc++;
	va_end(list);
	return cli_main(argc, argv);
}

void shell(const char *format, ...)
{
	char command[2048];
	va_list list;
	int len;

	va_start(list, format);
	len = vsnprintf(command, sizeof(command), format, list);
	va_end(list);
	assert_in_range(len, 1, sizeof(command) - 1);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

void assert_same_tree(const char *a, const char *b)
{
	const char *list = "find . -printf '%P\\0%y%m%T@%l\\0' | sort -z";

	shell("diff -r --no-dereference '%s' '%s'", a, b);
	shell("(cd '%s' && %s) > list.a && (cd '%s' && %s) > list.b && cmp list.a list.b", a, list, b, list);
}

static int count_id(void *arg, ps_id id)
{
	(void)id;
	(*(uint64_t *)arg)++;
	return 0;
}

uint64_t objects_there(void)
{
	uint64_t n = 0;

	assert_int_equal(ps_each(test_store, PS_ID_PRIME, count_id, &n), PS_OK);
	return n;
}

static int count_named(void *arg, const char *path, const struct cat_entry *entry)
{
	struct ps_info info;

	(void)path;
	if (entry->type == CAT_LINK)
		return PS_OK;
	assert_int_equal(ps_info(test_store, entry->id, &info), PS_OK);
	(*(uint64_t *)arg)++;
	return PS_OK;
}

static int no_damage(void *arg, const char *path, int err)
{
	(void)arg;
	fail_msg("damaged at '%s': %s (%s)", path, ps_error_name(err), ps_last_error_message());
	return err;
}

uint64_t objects_named(void)
{
	uint64_t n = 3; /* prime, root, journal */
	struct cat_walk walk = {.s = test_store, .fn = count_named, .damaged = no_damage, .arg = &n};
	struct cat_header header;

	assert_int_equal(cat_load_header(test_store, &header), PS_OK);
	assert_int_equal(cat_walk_run(&walk, "", header.root), PS_OK);
	return n;
}

void make_temp_folder(char path[64])
{
	strcpy(path, "/tmp/padstone-test-XXXXXX");
	assert_non_null(mkdtemp(path));
}
