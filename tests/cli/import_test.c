/* import and export over a memory store: what goes in comes out, and a kill at any commit costs nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <padstone/memory_store.h>

#include "cli/catalogue.h"
#include "cli/cli.h"
#include "cli/import.h"
#include "in_process.h"

static char folder[64];

static int set_up(void **state)
{
	(void)state;
	test_last_commit = -1;
	test_commits = 0;
	make_temp_folder(folder);
	assert_int_equal(chdir(folder), 0);
	return ps_memory_open(NULL, &test_store);
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(chdir("/"), 0);
	shell("chmod -R u+rwx '%s' && rm -rf '%s'", folder, folder);
	return ps_close(test_store);
}

/* Every kind of name, size and link that an import promises to keep. */
static void make_tree(void)
{
	shell("mkdir -p 'src/a b/deep/er' src/empty 'src/quo\"te'\\''s' && cd src && "
	      "printf one > 'a b/one' && : > 'a b/nothing' && printf '\\0\\n' > 'a b/deep/er/bin' && "
	      "printf x > \"$(printf 'new\\nline')\" && printf y > 'gr\xc3\xbc\xc3\x9f' && printf z > "
	      "\"$(printf '\\377raw')\" && "
	      "printf q > 'quo\"te'\\''s/-rf' && ln -s '/etc/no such' absolute && ln -s ../src/nowhere "
	      "dangling && "
	      "ln -s 'a b' tofolder && head -c 3000000 /dev/urandom > large && head -c 1048576 /dev/zero > "
	      "edge && "
	      "head -c 1048577 /dev/urandom > past && truncate -s 2M sparse && chmod 0400 'a b/one' && "
	      "chmod 0750 'a b' && chmod 1777 empty && touch -d '1969-12-31 12:00:00.123456789Z' large && "
	      "touch -h -d 2001-02-03 absolute && touch -d 2030-01-01 'a b/deep' && cd .. && touch -d "
	      "2011-11-11 src");
}

static void what_is_imported_comes_out(void **state)
{
	(void)state;
	make_tree();
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_DONE);
	assert_same_tree("src", "out");
	assert_int_equal(objects_there(), objects_named());
	assert_int_equal(run_tool("check", "-q", "s", NULL), CLI_DONE);
}

static void second_import_commits_nothing(void **state)
{
	(void)state;
	make_tree();
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_in_range(test_commits, 1, 1000);
	test_commits = 0;
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("import", "-q", "--checksum", "s", "src", NULL), CLI_DONE);
	assert_int_equal(test_commits, 0);
}

/* Changes of every kind between two imports: contents, small to large and back, types both ways, removals. */
static void change_tree(void)
{
	shell("cd src && chmod u+w 'a b/one' && printf two > 'a b/one' && cp large edge && printf tiny > "
	      "past && "
	      "rm -r 'quo\"te'\\''s' && printf 'now a file' > 'quo\"te'\\''s' && rm absolute && mkdir "
	      "absolute && "
	      "printf in > absolute/in && rm -r 'a b/deep' && ln -sfn elsewhere dangling && chmod 0600 "
	      "sparse && "
	      "mkdir -p new/folder && printf n > new/folder/n");
}

static void changes_and_removals_are_followed(void **state)
{
	(void)state;
	make_tree();
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	change_tree();
	assert_int_equal(run_tool("import", "-q", "--delete", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_DONE);
	assert_same_tree("src", "out");
	assert_int_equal(objects_there(), objects_named());
}

static void without_delete_what_is_gone_stays(void **state)
{
	(void)state;
	make_tree();
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	shell("cp -a src kept && rm -r src/large 'src/a b/deep' && touch -r kept src && touch -r 'kept/a b' "
	      "'src/a b'");
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_DONE);
	assert_same_tree("kept", "out");
}

static void checksum_finds_what_size_and_time_hide(void **state)
{
	(void)state;
	shell("mkdir src && printf abc > src/f && touch -d 2001-01-01 src/f && touch -d 2001-01-01 src");
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	shell("printf xyz > src/f && touch -d 2001-01-01 src/f src");
	test_commits = 0;
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_int_equal(test_commits, 0);
	assert_int_equal(run_tool("import", "-q", "--checksum", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_DONE);
	assert_same_tree("src", "out");
}

static void roots_are_kept_apart(void **state)
{
	(void)state;
	make_tree();
	shell("mkdir other && printf o > other/o");
	assert_int_equal(run_tool("import", "-q", "--as", "one/two", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("import", "-q", "--as", "other", "s", "other", NULL), CLI_DONE);
	assert_int_equal(run_tool("import", "-q", "--delete", "--as", "one/two", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("import", "-q", "--as", "one/../x", "s", "src", NULL), CLI_FAILED);
	assert_int_equal(run_tool("export", "-q", "--from", "one/two", "s", "out", NULL), CLI_DONE);
	assert_same_tree("src", "out");
	assert_int_equal(run_tool("export", "-q", "--from", "other", "s", "out2", NULL), CLI_DONE);
	assert_same_tree("other", "out2");
	assert_int_equal(run_tool("export", "-q", "--from", "nothing", "s", "out3", NULL), CLI_NOT_FOUND);
	assert_int_equal(objects_there(), objects_named());
}

static void existing_files_are_refused_without_force(void **state)
{
	(void)state;
	shell("mkdir -p src/sub out && printf good > src/f && printf g > src/sub/g && printf mine > out/f");
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_FAILED);
	shell("test \"$(cat out/f)\" = mine && cmp src/sub/g out/sub/g");
	assert_int_equal(run_tool("export", "-q", "--force", "s", "out", NULL), CLI_DONE);
	assert_same_tree("src", "out");
	shell("test -z \"$(find out -name '.padstone*')\"");
}

static void links_in_the_target_are_never_followed(void **state)
{
	(void)state;
	shell("mkdir -p src/sub out away && printf new > src/sub/f && printf new > src/g && printf old > "
	      "away/f && "
	      "printf old > away/g && ln -s ../away out/sub && ln -s ../away/g out/g");
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("export", "-q", "--force", "s", "out", NULL), CLI_FAILED);
	shell("test \"$(cat away/f)\" = old && test \"$(cat away/g)\" = old && test \"$(ls away | wc -l)\" = "
	      "2");
	shell("test ! -L out/g && test \"$(cat out/g)\" = new");
}

static void special_files_are_left_out_and_hard_links_kept_apart(void **state)
{
	(void)state;
	shell("mkdir src && mkfifo src/pipe && printf f > src/f && ln src/f src/g");
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_DONE);
	shell("test ! -e out/pipe && cmp src/f out/f && cmp src/g out/g && test ! out/f -ef out/g");
}

static void objects_that_rm_took_are_stored_again(void **state)
{
	struct cat_header header;
	struct cat_entry entry;

	(void)state;
	shell("mkdir src && printf f > src/f");
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_int_equal(cat_load_header(test_store, &header), PS_OK);
	assert_int_equal(cat_lookup(test_store, &header, "f", &entry), PS_OK);
	assert_int_equal(ps_delete(test_store, entry.id), PS_OK);
	cat_entry_done(&entry);
	assert_int_equal(run_tool("check", "-q", "s", NULL), CLI_DAMAGED);
	assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_DAMAGED);
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_DONE);
	assert_same_tree("src", "out");
}

static void prime_of_another_program_is_left_alone(void **state)
{
	size_t len;
	char buf[16];

	(void)state;
	assert_int_equal(ps_prime(test_store, 5, NULL), PS_OK);
	assert_int_equal(ps_replace(test_store, PS_ID_PRIME, "mine!", 5), PS_OK);
	shell("mkdir src");
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_FAILED);
	assert_int_equal(ps_get(test_store, PS_ID_PRIME, buf, sizeof(buf), &len), PS_OK);
	assert_memory_equal(buf, "mine!", 5);
}

static void batches_end_at_a_thousand_files(void **state)
{
	(void)state;
	shell("mkdir src && cd src && seq 2500 | split -l 1 -a 4 -");
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_in_range(test_commits, 4, 5); /* catalogue, 1000, 1000, 500 and the root's time */
	assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_DONE);
	assert_same_tree("src", "out");
}

static void a_large_folder_is_patched_right(void **state)
{
	(void)state;
	/* 12,000 names of 200 bytes are 2.9 MB: beyond where folders are written in parts. */
	shell("mkdir src && cd src && n=$(printf '%%0200d' 0) && seq -f \"%%05g$n\" 12000 | cut -c1-200 | "
	      "xargs touch");
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	shell("cd src && find . -name '*7000*' -exec sh -c 'printf x > \"$1\"' _ {} \\; && find . -name "
	      "'00*' -delete && "
	      "touch ' first' zlast && find . -name '119*' -exec chmod 0600 {} +");
	assert_int_equal(run_tool("import", "-q", "--delete", "s", "src", NULL), CLI_DONE);
	shell("cd src && find . -name '05*' -exec touch -d 2001-01-01 {} +");
	assert_int_equal(run_tool("import", "-q", "--delete", "s", "src", NULL), CLI_DONE);
	assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_DONE);
	assert_same_tree("src", "out");
	assert_int_equal(objects_there(), objects_named());
}

/* Kills the import at commit k; what is there must be sound, nothing may be lost, and the next one must
 * finish. */
static int import_killed_at(long k, const char *option)
{
	int result;

	test_commits = 0;
	test_last_commit = k;
	result = option != NULL ? run_tool("import", "-q", option, "s", "src", NULL)
	                        : run_tool("import", "-q", "s", "src", NULL);
	test_last_commit = -1;
	return result;
}

static void kill_at_every_commit(const char *option, void (*prepare)(void))
{
	long k = 0;
	int result;

	import_batch_changes = 2;
	do {
		shell("chmod -R u+rwx src out 2>/dev/null; rm -rf src out");
		assert_int_equal(ps_close(test_store), PS_OK);
		assert_int_equal(ps_memory_open(NULL, &test_store), PS_OK);
		make_tree();
		if (prepare != NULL) {
			assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
			prepare();
		}
		result = import_killed_at(k, option);
		assert_int_equal(result, result == CLI_DONE ? CLI_DONE : CLI_FAILED);
		if (k > 0)
			assert_int_equal(run_tool("check", "-q", "s", NULL), CLI_DONE);
		assert_int_equal(run_tool("import", "-q", "--delete", "s", "src", NULL), CLI_DONE);
		assert_int_equal(objects_there(), objects_named());
		assert_int_equal(run_tool("export", "-q", "s", "out", NULL), CLI_DONE);
		assert_same_tree("src", "out");
		k++;
	} while (result != CLI_DONE);
	import_batch_changes = 1000;
	print_message("killed at each of %ld commits\n", k - 1);
	assert_in_range(k, 4, 1000);
}

static void what_was_committed_is_not_stored_again(void **state)
{
	(void)state;
	shell("mkdir src && cd src && seq 2500 | split -l 1 -a 4 -");
	assert_int_equal(import_killed_at(3, NULL), CLI_FAILED);
	assert_int_equal(objects_there(), 2003);
	assert_int_equal(objects_named(), 2003);
	test_commits = 0;
	assert_int_equal(run_tool("import", "-q", "s", "src", NULL), CLI_DONE);
	assert_int_equal(test_commits, 1);
	assert_int_equal(objects_there(), 2503);
}

static void first_import_survives_a_kill_at_every_commit(void **state)
{
	(void)state;
	kill_at_every_commit(NULL, NULL);
}

static void later_import_survives_a_kill_at_every_commit(void **state)
{
	(void)state;
	kill_at_every_commit("--delete", change_tree);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_imported_comes_out),
	    TEST(second_import_commits_nothing),
	    TEST(changes_and_removals_are_followed),
	    TEST(without_delete_what_is_gone_stays),
	    TEST(checksum_finds_what_size_and_time_hide),
	    TEST(roots_are_kept_apart),
	    TEST(existing_files_are_refused_without_force),
	    TEST(links_in_the_target_are_never_followed),
	    TEST(special_files_are_left_out_and_hard_links_kept_apart),
	    TEST(objects_that_rm_took_are_stored_again),
	    TEST(prime_of_another_program_is_left_alone),
	    TEST(batches_end_at_a_thousand_files),
	    TEST(a_large_folder_is_patched_right),
	    TEST(what_was_committed_is_not_stored_again),
	    TEST(first_import_survives_a_kill_at_every_commit),
	    TEST(later_import_survives_a_kill_at_every_commit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
