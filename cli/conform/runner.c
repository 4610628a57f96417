/* Runs tests one after another in this process; what fails leaves its test by longjmp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/conform/cmocka.h"

int (*conform_listener)(void *arg, const char *test, enum conform_result result);
void *conform_listener_arg;

static jmp_buf test_end;

void conform_print(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
}

void _fail(const char *file, int line)
{
	fprintf(stderr, "  %s:%d\n", file, line);
	longjmp(test_end, CONFORM_FAILED);
}

void _skip(const char *file, int line)
{
	(void)file, (void)line;
	longjmp(test_end, CONFORM_SKIPPED);
}

void conform_fail(const char *file, int line, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	_fail(file, line);
}

void conform_check(int holds, const char *what, const char *file, int line)
{
	if (!holds)
		conform_fail(file, line, "not so: %s", what);
}

void conform_equal(uint64_t left, uint64_t right, const char *what, const char *file, int line)
{
	if (left != right)
		conform_fail(file, line, "not so: %s (%#llx, %#llx)", what, (unsigned long long)left,
		             (unsigned long long)right);
}

void conform_bytes(const void *left, const void *right, size_t len, const char *file, int line)
{
	if (memcmp(left, right, len) != 0)
		conform_fail(file, line, "%zu bytes differ from what they should be", len);
}

static enum conform_result run_body(const struct CMUnitTest *test, void **state)
{
	int end = setjmp(test_end);
	if (end != 0)
		return (enum conform_result)end;
	test->test_func(state);
	return CONFORM_PASSED;
}

static enum conform_result run_one(const struct CMUnitTest *test)
{
	void *state = test->initial_state;
	if (test->setup_func && test->setup_func(&state))
		return CONFORM_FAILED;
	enum conform_result result = run_body(test, &state);
	if (test->teardown_func && test->teardown_func(&state))
		return CONFORM_FAILED;
	return result;
}

int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown)
{
	int failed = 0;
	void *state = NULL;
	(void)group;
	if (setup && setup(&state))
		return (int)count;
	for (size_t i = 0; i < count; i++) {
		enum conform_result result = run_one(&tests[i]);
		failed += result == CONFORM_FAILED;
		if (conform_listener && conform_listener(conform_listener_arg, tests[i].name, result))
			break;
	}
	if (teardown && teardown(&state))
		failed++;
	return failed;
}
