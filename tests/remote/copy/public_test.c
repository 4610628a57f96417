/* Public values on a copy: the same addresses show the same values there, and end there. */
#include <stdio.h>
#include <string.h>

#include "tests/remote/copy/copy_fixture.h"
#include "tests/remote/public/public_fixture.h"

static void an_address_shows_the_same_on_the_copy(void **state)
{
	struct pair_of p;
	char address[PS_PUBLIC_ADDRESS], again[PS_PUBLIC_ADDRESS];
	(void)state;
	pair_new(&p);
	blobs_put(p.a, "private", PAD, 9);
	put_public(p.a, "key", 2 * PAD + 5, 1, address);
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	struct reader *reader = reader_of(p.url);
	reader_expect(reader, address, 2 * PAD + 5, 1);
	/* What was put and not synced comes with the next copy after the sync. */
	put_public(p.a, "key", PAD, 2, again);
	assert_string_equal(address, again);
	assert_int_equal(copy_now(&p).missing, 0);
	reader_expect(reader, address, 2 * PAD + 5, 1);
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	reader_expect(reader, address, PAD, 2);
	expect_whole(&p);
	struct blobs *b = open_copy(&p);
	blobs_expect(b, "key", PAD, 2);
	machine_free(b);
	reader_free(reader);
	pair_free(&p);
}

static void an_address_that_ended_ends_on_the_copy(void **state)
{
	struct pair_of p;
	char removed[PS_PUBLIC_ADDRESS], taken_back[PS_PUBLIC_ADDRESS];
	(void)state;
	pair_new(&p);
	put_public(p.a, "goes", PAD, 1, removed);
	put_public(p.a, "key", PAD, 2, taken_back);
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	struct reader *reader = reader_of(p.url);
	reader_expect(reader, removed, PAD, 1);
	assert_ok(ps_remote_unpublish(p.a->r, "key", NULL));
	assert_ok(ps_remote_remove(p.a->r, "goes"));
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	assert_error(reader_get(reader, removed, PAD, 1), PS_ENOTFOUND);
	assert_error(reader_get(reader, taken_back, PAD, 2), PS_ENOTFOUND);
	expect_whole(&p);
	struct blobs *b = open_copy(&p);
	blobs_expect(b, "key", PAD, 2);
	expect_none(b, "goes");
	machine_free(b);
	reader_free(reader);
	pair_free(&p);
}

/* An end that was not synced: the head still names what the address showed, and neither is in the other's
 * way. */
static void an_end_that_was_not_synced_is_in_nobodys_way(void **state)
{
	struct ps_remote_copy all = {.size = sizeof(all), .all = 1};
	struct pair_of p;
	char address[PS_PUBLIC_ADDRESS];
	(void)state;
	pair_new(&p);
	put_public(p.a, "goes", PAD, 1, address);
	(void)sync_machine(p.a);
	assert_ok(ps_remote_remove(p.a->r, "goes"));
	(void)copy_now(&p);
	assert_ok(ps_remote_copy(p.a->r, p.url, &all, NULL));
	assert_ok(ps_remote_copy(p.a->r, p.url, &all, NULL));
	(void)sync_machine(p.a);
	(void)copy_now(&p);
	struct reader *reader = reader_of(p.url);
	assert_error(reader_get(reader, address, PAD, 1), PS_ENOTFOUND);
	reader_free(reader);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_address_shows_the_same_on_the_copy),
	    cmocka_unit_test(an_address_that_ended_ends_on_the_copy),
	    cmocka_unit_test(an_end_that_was_not_synced_is_in_nobodys_way),
	};
	return cmocka_run_group_tests_name("public values on a copy", tests, NULL, NULL);
}
