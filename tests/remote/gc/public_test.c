/* gc beside public values: whatever an address was given away for stays, also where nothing names it. */
#include "tests/remote/gc/gc_fixture.h"
#include "tests/remote/public/public_fixture.h"

/* Another machine publishes a value, gives its address away, and burns. */
static void publish_and_burn(struct blobs *first, char address[PS_PUBLIC_ADDRESS])
{
	struct blobs *burned = machine_open(first);
	put_public(burned, "burned", 2 * PAD, 5, address);
	machine_free(burned);
}

static void what_an_address_shows_stays(void **state)
{
	struct blobs *a = gc_store_new("mem");
	char stays[PS_PUBLIC_ADDRESS], changes[PS_PUBLIC_ADDRESS], ends[PS_PUBLIC_ADDRESS];
	char burned[PS_PUBLIC_ADDRESS];
	struct ps_remote_gc_result found;
	struct ps_remote_audit_result audit;
	(void)state;
	put_public(a, "stays", 3 * PAD, 1, stays);
	put_public(a, "changes", 100, 2, changes);
	put_public(a, "ends", PAD, 3, ends);
	(void)sync_machine(a);
	blobs_update(a, "changes", 2 * PAD, 4);
	assert_ok(ps_remote_unpublish(a->r, "ends", NULL));
	publish_and_burn(a, burned);
	gc_leave_behind(a, 1);
	gc_let_ripen(a);
	assert_ok(gc_try(a, true, false, &found));
	assert_int_equal(found.deleted, 2);
	assert_in_range(found.published, 3,
	                4); /* the burned one's; what unpublish left may be forgotten here */
	struct reader *reader = reader_new(a);
	reader_expect(reader, stays, 3 * PAD, 1);
	reader_expect(reader, changes, 2 * PAD, 4);
	reader_expect(reader, burned, 2 * PAD, 5);
	assert_error(reader_get(reader, ends, PAD, 3), PS_ENOTFOUND);
	reader_free(reader);
	blobs_expect(a, "ends", PAD, 3);
	assert_ok(ps_remote_audit(a->r, NULL, &audit));
	assert_true(audit.is_public >= found.published + 2);
	assert_true(audit.roles[PS_ROLE_TOMBSTONE] <= 1);
	blobs_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_an_address_shows_stays)};
	return cmocka_run_group_tests_name("gc, public values", tests, NULL, NULL);
}
