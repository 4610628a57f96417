/* What tests/conformance asks of cmocka, for the tool: it runs the same sources without that library. Found
 * before the system's header of this name by padstone_conform alone. */
#ifndef PS_CONFORM_CMOCKA_H
#define PS_CONFORM_CMOCKA_H

#include <stddef.h>
#include <stdint.h>

/* A program may have the other library as well. */
#define _cmocka_run_group_tests conform_run_group
#define _fail conform_fail_at
#define _skip conform_skip_at
#define print_error conform_print
#define print_message conform_print

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
	const char *name;
	CMUnitTestFunction test_func;
	CMFixtureFunction setup_func, teardown_func;
	void *initial_state;
};
#define cmocka_unit_test(function)                                                                           \
	{                                                                                                    \
#function, function, NULL, NULL, NULL                                                        \
	}

/* Runs all, tells conform_listener of each, and returns how many failed. The group's fixtures may be NULL. */
int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown);

/* These end the test. */
_Noreturn void _fail(const char *file, int line);
_Noreturn void _skip(const char *file, int line);
_Noreturn void conform_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void conform_check(int holds, const char *what, const char *file, int line);
void conform_equal(uint64_t left, uint64_t right, const char *what, const char *file, int line);
void conform_bytes(const void *left, const void *right, size_t len, const char *file, int line);

/* To standard error. */
void conform_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define skip() _skip(__FILE__, __LINE__)
#define fail_msg(...) conform_fail(__FILE__, __LINE__, __VA_ARGS__)
#define assert_true(condition) conform_check(!!(condition), #condition, __FILE__, __LINE__)
#define assert_null(pointer) conform_check((pointer) == NULL, #pointer " is NULL", __FILE__, __LINE__)
#define assert_non_null(pointer) conform_check((pointer) != NULL, #pointer " is not NULL", __FILE__, __LINE__)
#define assert_int_equal(left, right)                                                                        \
	conform_equal((uint64_t)(left), (uint64_t)(right), #left " == " #right, __FILE__, __LINE__)
#define assert_ptr_equal(left, right)                                                                        \
	conform_check((left) == (right), #left " == " #right, __FILE__, __LINE__)
#define assert_ptr_not_equal(left, right)                                                                    \
	conform_check((left) != (right), #left " != " #right, __FILE__, __LINE__)
#define assert_memory_equal(left, right, len) conform_bytes((left), (right), (len), __FILE__, __LINE__)

/* The tool's side. */
enum conform_result { CONFORM_PASSED, CONFORM_FAILED, CONFORM_SKIPPED };
/* Told of each test; a result other than 0 ends the run after it. */
extern int (*conform_listener)(void *arg, const char *test, enum conform_result result);
extern void *conform_listener_arg;

#endif
