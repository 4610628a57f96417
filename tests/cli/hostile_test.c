/* Catalogues that nobody's import made: each must end in a clear error, with nothing outside the target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <padstone/memory_store.h>

#include "cli/catalogue.h"
#include "cli/cli.h"
#include "in_process.h"

static char folder[64];
static struct cat_header header;

/* A catalogue with an empty root, whose objects a test then replaces. */
static int set_up(void **state)
{
	(void)state;
	make_temp_folder(folder);
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(ps_memory_open(NULL, &test_store), PS_OK);
	shell("mkdir -p nothing inner && printf safe > canary");
	assert_int_equal(run_tool("import", "-q", "s", "nothing", NULL), CLI_DONE);
	assert_int_equal(cat_load_header(test_store, &header), PS_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(chdir("/"), 0);
	shell("rm -rf '%s'", folder);
	return ps_close(test_store);
}

static ps_id put(const void *data, size_t len)
{
	ps_id id = PS_ID_NONE;

	assert_int_equal(ps_put(test_store, data, len, &id), PS_OK);
	return id;
}

static void replace(ps_id id, const void *data, size_t len)
{
	assert_int_equal(ps_replace(test_store, id, data, len), PS_OK);
}

/* A folder object written by the encoder, which does not look at names. */
static void write_folder(ps_id id, const struct cat_entry *entries, size_t count)
{
	uint8_t *data;
	size_t len;

	assert_int_equal(cat_folder_encode(entries, count, NULL, 0, &data, &len), PS_OK);
	replace(id, data, len);
	free(data);
}

static struct cat_entry file_named(const char *name)
{
	struct cat_entry entry = {.type = CAT_FILE, .mode = 0644, .size = 4, .id = put("evil", 4)};

	assert_int_equal(cat_entry_name(&entry, name, strlen(name), NULL, 0), PS_OK);
	return entry;
}

static struct cat_entry folder_named(const char *name, ps_id id)
{
	struct cat_entry entry = {.type = CAT_FOLDER, .mode = 0755, .id = id};

	assert_int_equal(cat_entry_name(&entry, name, strlen(name), NULL, 0), PS_OK);
	return entry;
}

/* The store as it is now is damaged to every command that reads names, and harms nothing. */
static void assert_refused(int status)
{
	assert_int_equal(run_tool("export", "-q", "s", "inner/out", NULL), status);
	assert_int_equal(run_tool("check", "-q", "s", NULL), CLI_DAMAGED);
	shell(
	    "test \"$(cat canary)\" = safe && test \"$(ls -A | tr '\\n' ' ')\" = 'canary inner nothing ' && "
	    "test -z \"$(find inner -type f -o -type l)\"");
	assert_int_not_equal(run_tool("import", "-q", "s", "nothing", NULL), CLI_DONE);
}

static void names_that_lead_out_are_refused(void **state)
{
	static const char *const names[] = {"../canary", "..", ".", "/etc/x", "a/b", "", "x/"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct cat_entry entry = file_named(names[i]);

		write_folder(header.root, &entry, 1);
		cat_entry_done(&entry);
		assert_refused(CLI_DAMAGED);
	}
}

/* A21: whatever the parts that a name is made of, as long as one leads out of its folder. */
static void random_name(unsigned *seed, char name[128])
{
	static const char *const parts[] = {"..",  ".",      "",    "a",    "...",
	                                    "..a", "canary", "etc", "\xff", "a\nb"};
	size_t count = 2 + (size_t)rand_r(seed) % 5, used = 0;

	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(name + used, 128 - used, "%s%s", i > 0 ? "/" : "",
		                         parts[(size_t)rand_r(seed) % (sizeof(parts) / sizeof(*parts))]);
}

static void names_of_any_parts_that_lead_out_are_refused(void **state)
{
	unsigned seed = 21;

	(void)state;
	for (int i = 0; i < 25; i++) {
		char name[128];
		random_name(&seed, name);
		struct cat_entry entry = file_named(name);
		ps_id inside = put("", 0);
		struct cat_entry deeper = folder_named("folder", inside);

		write_folder(i % 2 == 0 ? header.root : inside, &entry, 1);
		if (i % 2 == 1)
			write_folder(header.root, &deeper, 1);
		cat_entry_done(&entry);
		cat_entry_done(&deeper);
		if (i % 2 == 0)
			assert_refused(CLI_DAMAGED);
		else
			assert_int_equal(run_tool("export", "-q", "s", "inner/out", NULL), CLI_DAMAGED);
		shell("test \"$(cat canary)\" = safe && test ! -e a && test ! -e ../canary && rm -rf "
		      "inner/out");
	}
}

static void names_doubled_or_unsorted_are_refused(void **state)
{
	struct cat_entry twice[2] = {file_named("a"), file_named("a")};
	struct cat_entry unsorted[2] = {file_named("b"), file_named("a")};

	(void)state;
	write_folder(header.root, twice, 2);
	assert_refused(CLI_DAMAGED);
	write_folder(header.root, unsorted, 2);
	assert_refused(CLI_DAMAGED);
	for (int i = 0; i < 2; i++) {
		cat_entry_done(&twice[i]);
		cat_entry_done(&unsorted[i]);
	}
}

/* Every byte of a good folder set to every kind of value: never a crash, never a file that leads out. */
static void bytes_of_a_folder_may_be_anything(void **state)
{
	struct cat_entry entries[2] = {file_named("first"), folder_named("second", put("x", 1))};
	static const uint8_t values[] = {0, 1, 0x2f, 0x7f, 0x80, 0xff};
	struct cat_folder decoded;
	uint8_t *data;
	size_t len, refused = 0;

	(void)state;
	assert_int_equal(cat_folder_encode(entries, 2, NULL, 0, &data, &len), PS_OK);
	for (size_t at = 0; at < len; at++)
		for (size_t v = 0; v < sizeof(values); v++) {
			uint8_t *copy =
			    malloc(len); /* exactly as long, so that a sanitizer sees every step too far */

			assert_non_null(copy);
			memcpy(copy, data, len);
			copy[at] = values[v];
			if (cat_folder_decode(copy, len, &decoded) == PS_OK)
				cat_folder_done(&decoded);
			else
				refused++;
			free(copy);
		}
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(cat_folder_decode(data, cut, &decoded), PS_ECORRUPT);
	assert_true(refused > len);
	free(data);
	cat_entry_done(&entries[0]);
	cat_entry_done(&entries[1]);
}

static void cycles_and_shortcuts_are_refused(void **state)
{
	ps_id a = put("", 0), b = put("", 0);
	struct cat_entry root[1] = {folder_named("a", a)}, in_a[1] = {folder_named("b", b)};
	struct cat_entry in_b[1] = {folder_named("c", a)},
	                 twice[2] = {folder_named("x", b), folder_named("y", b)};

	(void)state;
	write_folder(header.root, root, 1);
	write_folder(a, in_a, 1);
	write_folder(b, in_b, 1);
	assert_int_equal(run_tool("export", "-q", "s", "inner/out", NULL), CLI_DAMAGED);
	assert_int_equal(run_tool("check", "-q", "s", NULL), CLI_DAMAGED);
	write_folder(b, NULL, 0);
	write_folder(a, twice, 2);
	assert_int_equal(run_tool("export", "-q", "s", "inner/out2", NULL), CLI_DAMAGED);
	assert_int_equal(run_tool("ls", "-q", "-R", "s", NULL), CLI_DAMAGED);
	cat_entry_done(&root[0]);
	cat_entry_done(&in_a[0]);
	cat_entry_done(&in_b[0]);
	cat_entry_done(&twice[0]);
	cat_entry_done(&twice[1]);
}

static void folders_nested_without_end_are_refused(void **state)
{
	ps_id id = header.root;

	(void)state;
	for (int depth = 0; depth < CAT_DEPTH_MAX + 2; depth++) {
		ps_id below = put("", 0);
		struct cat_entry entry = folder_named("d", below);

		write_folder(id, &entry, 1);
		cat_entry_done(&entry);
		id = below;
	}
	write_folder(id, NULL, 0);
	assert_int_equal(run_tool("export", "-q", "s", "inner/out", NULL), CLI_DAMAGED);
	assert_int_equal(run_tool("check", "-q", "s", NULL), CLI_DAMAGED);
}

static void sizes_that_disagree_are_damage(void **state)
{
	struct cat_entry entry = file_named("f");

	(void)state;
	entry.size = 5;
	write_folder(header.root, &entry, 1);
	assert_int_equal(run_tool("export", "-q", "s", "inner/out", NULL), CLI_DAMAGED);
	assert_int_equal(run_tool("check", "-q", "s", NULL), CLI_DAMAGED);
	shell("test ! -e inner/out/f && test -z \"$(find inner -name '.padstone*')\"");
	cat_entry_done(&entry);
}

static void every_bit_of_the_header_counts(void **state)
{
	uint8_t good[CAT_HEADER_BYTES], bad[CAT_HEADER_BYTES];
	struct cat_header decoded;

	(void)state;
	cat_header_encode(&header, good);
	assert_int_equal(cat_header_decode(good, sizeof(good), &decoded), PS_OK);
	for (size_t bit = 0; bit < sizeof(good) * 8; bit++) {
		memcpy(bad, good, sizeof(bad));
		bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(cat_header_decode(bad, sizeof(bad), &decoded), PS_OK);
	}
	bad[0] = good[0];
	memcpy(bad, good, sizeof(bad));
	bad[16] ^= 1;
	replace(PS_ID_PRIME, bad, sizeof(bad));
	assert_int_equal(run_tool("ls", "-q", "s", NULL), CLI_DAMAGED);
	assert_refused(CLI_DAMAGED);
}

static void a_journal_that_lies_is_refused(void **state)
{
	struct cat_journal journal = {0};
	uint8_t *data;
	size_t len;

	(void)state;
	assert_int_equal(cat_journal_add(&journal, CAT_JOURNAL_TREE, header.root), PS_OK);
	assert_int_equal(cat_journal_encode(&journal, &data, &len), PS_OK);
	replace(header.journal, data, len);
	assert_int_equal(run_tool("import", "-q", "s", "nothing", NULL), CLI_DAMAGED);
	data[8] = 2; /* more entries than bytes */
	replace(header.journal, data, len);
	assert_int_equal(run_tool("import", "-q", "s", "nothing", NULL), CLI_DAMAGED);
	assert_int_equal(run_tool("check", "-q", "s", NULL), CLI_DAMAGED);
	free(data);
	cat_journal_done(&journal);
	replace(header.journal, "PSJN", 4);
	assert_int_equal(run_tool("import", "-q", "s", "nothing", NULL), CLI_DAMAGED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(names_that_lead_out_are_refused),
	    TEST(names_doubled_or_unsorted_are_refused),
	    TEST(names_of_any_parts_that_lead_out_are_refused),
	    TEST(bytes_of_a_folder_may_be_anything),
	    TEST(cycles_and_shortcuts_are_refused),
	    TEST(folders_nested_without_end_are_refused),
	    TEST(sizes_that_disagree_are_damage),
	    TEST(every_bit_of_the_header_counts),
	    TEST(a_journal_that_lies_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
