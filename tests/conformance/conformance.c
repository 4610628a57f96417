#include "tests/conformance/conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/conformance/suite.h"

static const struct conformance_part *const parts[] = {
    &conformance_objects, &conformance_writes,  &conformance_views,    &conformance_batches,
    &conformance_streams, &conformance_errors,  &conformance_sessions, &conformance_ids,
    &conformance_model,   &conformance_threads, &conformance_reopen,
};
enum { PART_COUNT = sizeof(parts) / sizeof(parts[0]) };

static int open_fresh(void **state)
{
	struct conformance *c = *state;
	int err = c->stack->open(c->stack->arg, true, &c->s);
	if (err)
		print_error("open: %s (%s)\n", ps_error_name(err), ps_last_error_message());
	return err;
}

/* Whatever a test did, the store must be sound after it and nothing may be left open. */
static int check_and_close(void **state)
{
	struct conformance *c = *state;
	ps_storer *s = c->s;
	c->s = NULL;
	int damage = s ? ps_check(s, PS_CHECK_FULL, NULL, NULL) : PS_OK;
	if (damage)
		print_error("after the test ps_check is %s (%s)\n", ps_error_name(damage),
		            ps_last_error_message());
	int err = ps_close(s);
	if (err)
		print_error("after the test ps_close is %s (%s)\n", ps_error_name(err),
		            ps_last_error_message());
	return damage ? damage : err;
}

int conformance_run(const struct conformance_stack *stack)
{
	struct conformance c = {.stack = stack};
	size_t count = 0;
	for (size_t i = 0; i < PART_COUNT; i++)
		count += parts[i]->count;
	struct CMUnitTest *tests = calloc(count, sizeof(*tests));
	if (!tests)
		return 1;
	size_t next = 0;
	for (size_t i = 0; i < PART_COUNT; i++) {
		for (size_t j = 0; j < parts[i]->count; j++) {
			struct CMUnitTest *test = &tests[next++];
			*test = parts[i]->tests[j];
			test->setup_func = open_fresh;
			test->teardown_func = check_and_close;
			test->initial_state = &c;
		}
	}
	int failed = _cmocka_run_group_tests(stack->name, tests, count, NULL, NULL);
	free(tests);
	return failed;
}

int conformance_run_on_file(const struct conformance_stack *stack, char path[CONFORMANCE_PATH])
{
	char folder[] = "/tmp/conformance-XXXXXX";
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, CONFORMANCE_PATH, "%s/store", folder);
	int failed = conformance_run(stack);
	unlink(path);
	rmdir(folder);
	return failed;
}
