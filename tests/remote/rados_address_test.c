/* rados: URLs. */
#include "tests/remote/networks/cm.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "remote/rados_address.h"

static const struct ps_network_options none;

static void everything_can_be_said_in_the_url(void **state)
{
	struct rados_address a;
	(void)state;
	assert_int_equal(ps_rados_address_parse("//my%20pool/a/b%2Fc?conf=/x%26y/ceph.conf&user=client.me&"
	                                        "keyring=/k&mount_timeout=1&mon_timeout=2&osd_timeout=3&"
	                                        "unsafe_pool=1",
	                                        &none, &a),
	                 PS_OK);
	assert_string_equal(a.pool, "my pool");
	assert_string_equal(a.space, "a/b/c");
	assert_string_equal(a.conf, "/x&y/ceph.conf");
	assert_string_equal(a.user, "client.me");
	assert_string_equal(a.keyring, "/k");
	assert_int_equal(a.mount_timeout_s, 1);
	assert_int_equal(a.mon_timeout_s, 2);
	assert_int_equal(a.osd_timeout_s, 3);
	assert_true(a.unsafe_pool);
}

static void what_is_not_said_has_safe_defaults(void **state)
{
	struct rados_address a;
	(void)state;
	assert_int_equal(ps_rados_address_parse("//p", &none, &a), PS_OK);
	assert_string_equal(a.space, "");
	assert_string_equal(a.conf, "/etc/ceph/ceph.conf");
	assert_string_equal(a.user, "client.admin");
	assert_int_equal(a.mount_timeout_s, 15);
	assert_int_equal(a.mon_timeout_s, 15);
	assert_int_equal(a.osd_timeout_s, 60);
	assert_false(a.unsafe_pool);
}

static void options_go_before_the_url(void **state)
{
	struct rados_address a;
	struct ps_network_options options = {.config = "/c", .user = "me", .keyring = "/k"};
	(void)state;
	assert_int_equal(ps_rados_address_parse("//p/n?conf=/d&user=you&keyring=/e", &options, &a), PS_OK);
	assert_string_equal(a.conf, "/c");
	assert_string_equal(a.user, "client.me");
	assert_string_equal(a.keyring, "/k");
}

/* A namespace of the byte 1 is every namespace to librados; quotes would end a string of a command. */
static void impossible_urls_are_refused(void **state)
{
	static const char *const wrong[] = {"",
	                                    "/",
	                                    "//",
	                                    "//?conf=/x",
	                                    "pool/n",
	                                    "///n",
	                                    "//p/%01",
	                                    "//p/%00",
	                                    "//p/%7",
	                                    "//p/%",
	                                    "//p/%g0",
	                                    "//p%22q/n",
	                                    "//p%5Cq/n",
	                                    "//p/n?conf",
	                                    "//p/n?conf=",
	                                    "//p/n?osd_timeout=0",
	                                    "//p/n?osd_timeout=-1",
	                                    "//p/n?osd_timeout=3601",
	                                    "//p/n?osd_timeout=99999999999",
	                                    "//p/n?osd_timeout=1x",
	                                    "//p/n?unsafe_pool=2",
	                                    "//p/n?unsafe_pool"};
	struct rados_address a;
	char longest[2 * PATH_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		memset(&a, 7, sizeof(a));
		if (ps_rados_address_parse(wrong[i], &none, &a) != PS_EINVAL || a.pool[0] != 7)
			fail_msg("not refused: %s", wrong[i]);
	}
	snprintf(longest, sizeof(longest), "//p/n?conf=%0*d", PATH_MAX, 1);
	assert_int_equal(ps_rados_address_parse(longest, &none, &a), PS_EINVAL);
	snprintf(longest, sizeof(longest), "//%0*d/n", RADOS_NAME_MAX, 1);
	assert_int_equal(ps_rados_address_parse(longest, &none, &a), PS_EINVAL);
}

static void a_secret_in_the_url_is_refused_and_not_repeated(void **state)
{
	struct rados_address a;
	(void)state;
	assert_int_equal(ps_rados_address_parse("//p/n?key=AQBHush", &none, &a), PS_EINVAL);
	assert_null(strstr(ps_last_error_message(), "AQBHush"));
	assert_non_null(strstr(ps_last_error_message(), "key"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(everything_can_be_said_in_the_url),
	    cmocka_unit_test(what_is_not_said_has_safe_defaults),
	    cmocka_unit_test(options_go_before_the_url),
	    cmocka_unit_test(impossible_urls_are_refused),
	    cmocka_unit_test(a_secret_in_the_url_is_refused_and_not_repeated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
