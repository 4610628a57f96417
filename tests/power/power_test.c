/* Real power cuts: a file system on a loop device is shut down, without flushing its journal, under the same
 * load that kill_test has; then it is mounted again, and the store must hold every commit that was
 * acknowledged as durable. Needs root and a loop device: without them it is skipped, and says so.
 *
 * power_test [quick|long] [seed] [cuts] */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/kill/load.h"

#define SHUTDOWN _IOR('X', 125, uint32_t) /* FS_IOC_SHUTDOWN */
enum { NO_LOG_FLUSH = 2, SKIPPED = 77, IMAGE_MIB = 96 };
enum { QUICK_CUTS = 10, LONG_CUTS = 200, MOST_US = 30000, FULL_ONE_IN = 10, END_TRIES = 100000 };

static uint64_t cuts = QUICK_CUTS, seed = 1;
static struct journal *journal;
static char folder[] = "/tmp/padstone-power-XXXXXX", image[64], mounted[64], path[80];

static uint64_t draw(uint64_t below)
{
	static uint64_t state;
	state = state ? state : seed * 0x9e3779b97f4a7c15U | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

static void pass(uint64_t us)
{
	const struct timespec moment = {.tv_nsec = (long)(us * 1000)};
	nanosleep(&moment, NULL);
}

/* ---- the file system ----------------------------------------------------------------------------------- */

static bool run_command(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool run_command(const char *format, ...)
{
	char line[300];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	return system(line) == 0;
}

/* A crashed file system is repaired by its journal; e2fsck is for what that leaves. */
static bool mount_image(void)
{
	return run_command("mount -o loop %s %s 2>%s/error", image, mounted, folder) ||
	       (run_command("e2fsck -p %s >/dev/null 2>&1; test $? -le 1", image) &&
	        run_command("mount -o loop %s %s 2>%s/error", image, mounted, folder));
}

static bool unmount_image(void)
{
	for (unsigned n = 0; umount(mounted) != 0; n++) {
		/* Writes of the dead process may still be on their way. */
		if (errno != EBUSY || n > END_TRIES)
			return false;
		pass(200);
	}
	return true;
}

/* What cannot be had, or NULL. The mount is in a namespace of this process: it goes with it, however it ends.
 */
static const char *make_file_system(void)
{
	if (geteuid() != 0)
		return "it needs root";
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return "it may not have mounts of its own";
	if (!run_command("command -v mkfs.ext4 >/dev/null && command -v mount >/dev/null"))
		return "there is no mkfs.ext4 or no mount";
	if (!run_command("truncate -s %dM %s && mkfs.ext4 -q -F %s", IMAGE_MIB, image, image))
		return "mkfs.ext4 failed";
	return mount_image() ? NULL : "a loop device cannot be mounted";
}

static bool cut_power(void)
{
	uint32_t how = NO_LOG_FLUSH;
	int fd = open(mounted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && ioctl(fd, SHUTDOWN, &how) == 0;
	if (fd >= 0)
		close(fd);
	return done;
}

/* ---- one life ------------------------------------------------------------------------------------------ */

static pid_t start(uint64_t life)
{
	const struct load load = {.path = path,
	                          .journal = journal,
	                          .seed = seed * 100000 + life,
	                          .relaxed = life % 3 == 1,
	                          .disk_may_go = true};
	atomic_store(&journal->running, false);
	atomic_store(&journal->stop, false);
	pid_t pid = fork();
	if (pid == 0)
		_exit(load_run(&load));
	assert_true(pid > 0);
	return pid;
}

/* The process meets the error and ends by itself; one that does not is helped. */
static void wait_for(pid_t pid)
{
	int status;
	atomic_store(&journal->stop, true);
	for (unsigned n = 0; waitpid(pid, &status, WNOHANG) == 0; n++) {
		if (n == END_TRIES / 10)
			kill(pid, SIGKILL);
		pass(200);
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		fail_msg("the process died of signal %d", WTERMSIG(status));
}

static void live_and_cut(uint64_t life)
{
	pid_t pid = start(life);
	while (life % 5 != 0 && !atomic_load(&journal->running) && !atomic_load(&journal->failed))
		pass(100);
	pass(draw(life % 5 ? MOST_US : MOST_US / 8));
	if (!cut_power())
		fail_msg("the shutdown of the file system: %s", strerror(errno));
	wait_for(pid);
	if (atomic_load(&journal->failed))
		fail_msg("life %llu, seed %llu: %s", (unsigned long long)life, (unsigned long long)seed,
		         journal->error);
	if (!unmount_image())
		fail_msg("umount: %s", strerror(errno));
	if (!mount_image())
		fail_msg("the file system cannot be mounted again");
}

static uint64_t check_store(uint64_t life)
{
	char why[JOURNAL_WHY] = "";
	struct ps_stats stats;
	ps_storer *s;
	enum ps_check_depth depth = life % FULL_ONE_IN ? PS_CHECK_QUICK : PS_CHECK_FULL;
	if (load_open(path, false, false, &s) != PS_OK)
		fail_msg("life %llu, seed %llu: open: %s", (unsigned long long)life, (unsigned long long)seed,
		         ps_last_error_message());
	assert_int_equal(ps_stats(s, &stats), PS_OK);
	if (!journal_settle(journal, s, why))
		fail_msg("life %llu, seed %llu: %s", (unsigned long long)life, (unsigned long long)seed, why);
	if (ps_check(s, depth, NULL, NULL) != PS_OK)
		fail_msg("life %llu, seed %llu: check: %s", (unsigned long long)life,
		         (unsigned long long)seed, ps_last_error_message());
	assert_int_equal(ps_close(s), PS_OK);
	return stats.recovered_commits;
}

static void every_power_cut_keeps_what_was_acknowledged(void **state)
{
	(void)state;
	uint64_t recovered = 0, done = 0;
	for (uint64_t life = 1; life <= cuts; life++) {
		live_and_cut(life);
		recovered += check_store(life);
	}
	for (size_t t = 0; t < JOURNAL_THREADS; t++)
		done += atomic_load(&journal->thread[t].done);
	print_message("%llu power cuts, %llu operations, %llu commits recovered\n", (unsigned long long)cuts,
	              (unsigned long long)done, (unsigned long long)recovered);
	assert_true(done > cuts && recovered > cuts);
}

static int cut_all(void)
{
	ps_storer *s;
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_power_cut_keeps_what_was_acknowledged)};
	/* The store is there before the first cut: half-made ones are not what this is about. */
	if (load_open(path, false, false, &s) != PS_OK || ps_close(s) != PS_OK) {
		print_error("%s\n", ps_last_error_message());
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "long") == 0)
		cuts = LONG_CUTS;
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	if (argc > 3)
		cuts = strtoull(argv[3], NULL, 10);
	journal = journal_new();
	if (!journal || !mkdtemp(folder))
		return 1;
	snprintf(image, sizeof(image), "%s/image", folder);
	snprintf(mounted, sizeof(mounted), "%s/mounted", folder);
	snprintf(path, sizeof(path), "%s/store", mounted);
	const char *missing = mkdir(mounted, 0700) == 0 ? make_file_system() : "no folder to mount on";
	if (missing)
		print_message("power_test: SKIPPED, no power was cut: %s\n", missing);
	int result = missing ? SKIPPED : cut_all();
	if (!missing)
		(void)umount2(mounted, MNT_DETACH);
	(void)!run_command("rm -rf --one-file-system %s", folder);
	journal_free(journal);
	return result;
}
