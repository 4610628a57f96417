#include "tests/fault/fault_loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/cut.h"

enum { CUT_ONE_IN = 5 };

static int say_finding(void *arg, const struct ps_finding *finding)
{
	snprintf(arg, ORACLE_WHY, "%s, id %#llx, offset %llu: %s", ps_error_name(finding->error),
	         (unsigned long long)finding->id, (unsigned long long)finding->offset, finding->message);
	return 0;
}

/* Without faults again: what was acknowledged is there, what failed is not, and the store can be written to.
 */
static void check_afterwards(struct run *run, const char *name, const char *fault, uint64_t kth)
{
	char why[ORACLE_WHY] = "";
	size_t commit;
	ps_id id;
	ps_storer *s = NULL;
	int err = store_open(run->disk, run->relaxed, &s);
	if (err != PS_OK)
		fail_msg("%s, %s, k = %llu: open afterwards: %s: %s", name, fault, (unsigned long long)kth,
		         ps_error_name(err), ps_last_error_message());
	if (!oracle_match(run->oracle, s, oracle_lowest(run->oracle, SIZE_MAX - 1),
	                  oracle_commits(run->oracle), &commit, why))
		fail_msg("%s, %s, k = %llu: contents: %s", name, fault, (unsigned long long)kth, why);
	if (!marks_hold(&run->marks, run->oracle, s, commit, SIZE_MAX - 1, why))
		fail_msg("%s, %s, k = %llu: marks: %s", name, fault, (unsigned long long)kth, why);
	if (ps_check(s, PS_CHECK_FULL, say_finding, why) != PS_OK)
		fail_msg("%s, %s, k = %llu: check: %s", name, fault, (unsigned long long)kth, why);
	if (ps_put(s, "after", 5, &id) != PS_OK || oracle_was_given(run->oracle, id, SIZE_MAX) ||
	    ps_close(s) != PS_OK)
		fail_msg("%s, %s, k = %llu: put afterwards: %s", name, fault, (unsigned long long)kth,
		         ps_last_error_message());
}

/* The power goes as well: a failed flush has made nothing durable. */
static void cut_afterwards(struct run *run, const struct script *script, const struct fault *fault,
                           uint64_t kth, const uint8_t *image, uint64_t size)
{
	const struct cut_options options = {.first = {.exhaustive = 8, .samples = 2, .singles = 2},
	                                    .seed = kth};
	struct cut_counts counts = {0};
	char name[100], why[CUT_WHY];
	snprintf(name, sizeof(name), "%s, %s, k = %llu", script->name, fault->name, (unsigned long long)kth);
	if (!cut_everywhere(name, run, image, size, &options, &counts, why))
		fail_msg("%s", why);
}

/* False when the script ends before the kth. */
static bool fault_once(const struct script *script, const struct fault *fault, uint64_t kth)
{
	uint64_t size;
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	struct run *run = run_new(disk, 1);
	uint8_t *image = run_setup(run, script, &size);
	run->faults = true;
	fault->arm(disk, fault, kth);
	run_open(run);
	script->body(run);
	run_close(run);
	if (sim_disk_changes_after_failed_flush(disk) > 0)
		fail_msg("%s, %s, k = %llu: the store went on after a failed flush", script->name,
		         fault->name, (unsigned long long)kth);
	bool fired = fault->disarm(disk, kth);
	if (!fired && run->failures > 0)
		fail_msg("%s: a step failed without a fault: %s", script->name, ps_last_error_message());
	if (kth % CUT_ONE_IN == 0)
		cut_afterwards(run, script, fault, kth, image, size);
	check_afterwards(run, script->name, fault->name, kth);
	run_free(run);
	sim_disk_free(disk);
	free(image);
	return fired;
}

static uint64_t stride = 1;

/* How many faults there were. */
static uint64_t fault_loop(const struct script *script, const struct fault *fault, uint64_t first)
{
	uint64_t count = 0;
	for (uint64_t kth = first; fault_once(script, fault, kth); kth += stride)
		count++;
	return count;
}

static const struct fault *all_faults;
static size_t fault_count;
static const char *only;

static void a_fault_loses_nothing_acknowledged(void **state)
{
	const struct script *script = *state;
	uint64_t count = 0, which = (uint64_t)(script - scripts);
	/* Where only one in so many fails each script and fault takes others. */
	for (size_t i = 0; i < fault_count && (!only || strcmp(only, script->name) == 0); i++)
		count += fault_loop(script, &all_faults[i], 1 + (which + i) % stride);
	print_message("%-28s %6llu faults\n", script->name, (unsigned long long)count);
}

int fault_main(const char *group, const struct fault *faults, size_t faults_count, int argc, char **argv)
{
	enum { MOST = 64 };
	struct CMUnitTest tests[MOST];
	size_t count = 0;
	all_faults = faults;
	fault_count = faults_count;
	only = argc > 1 && argv[1][0] ? argv[1] : NULL;
	stride = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	stride = getenv("PS_FAULTS") || stride == 0 ? 1 : stride;
	if (!script_over(argc > 2 ? argv[2] : NULL))
		return 2;
	for (; count < script_count && count < MOST; count++)
		tests[count] = (struct CMUnitTest)cmocka_unit_test_prestate(
		    a_fault_loses_nothing_acknowledged, (void *)(uintptr_t)&scripts[count]);
	return _cmocka_run_group_tests(group, tests, count, NULL, NULL);
}
