/* cmocka, with what it wants before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A test of the suite: on a network of its own. */
#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_begin, net_end)

extern const struct CMUnitTest net_record_tests[], net_race_tests[], net_list_tests[], net_request_tests[];
extern const size_t net_record_count, net_race_count, net_list_count, net_request_count;
