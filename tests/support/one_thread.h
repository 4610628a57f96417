/* For programs of which some tests have a second thread, and most have none (ps_test's SOME_THREADS). Those
 * that have none show the thread sanitizer nothing, and are not run under it; elsewhere none of them can make
 * a thread (one_thread.c). */
#ifndef PS_TESTS_SUPPORT_ONE_THREAD_H
#define PS_TESTS_SUPPORT_ONE_THREAD_H

#include <stdbool.h>

#include "base/sanitizers.h"

/* Until it is set to false a thread that is made is the program's end. */
extern bool one_thread;

/* Both run an array of tests, as cmocka_run_group_tests: how many failed. Those without threads come first.
 */
#define one_thread_run(tests, set_up, tear_down)                                                             \
	(PS_THREAD_SANITIZER ? 0 : cmocka_run_group_tests(tests, set_up, tear_down))
#define threads_run(tests, set_up, tear_down)                                                                \
	(one_thread = false, cmocka_run_group_tests(tests, set_up, tear_down))

#endif
