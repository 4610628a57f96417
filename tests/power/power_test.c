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
#include <unistd.h>

#include "tests/kill/life.h"

#define SHUTDOWN _IOR('X', 125, uint32_t) /* FS_IOC_SHUTDOWN */
enum { NO_LOG_FLUSH = 2, SKIPPED = 77, IMAGE_MIB = 96 };
enum { QUICK_CUTS = 10, LONG_CUTS = 200, MOST_US = 30000, FULL_ONE_IN = 10, FEW = 4, SLOW_MOST = 10 };
/* Of 200 microseconds each: minutes. */
enum { END_TRIES = 1000000, HELP_TRIES = 10000 };

static struct lives lives = {.full_one_in = FULL_ONE_IN, .disk_may_go = true};
static char folder[] = "/tmp/padstone-power-XXXXXX", image[64], mounted[64], path[80];

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
		life_pass(200);
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

/* The process meets the error and ends by itself; one that does not is helped. */
static void wait_for(pid_t pid)
{
	int status;
	atomic_store(&lives.journal->stop, true);
	for (unsigned n = 0; waitpid(pid, &status, WNOHANG) == 0; n++) {
		if (n == HELP_TRIES)
			kill(pid, SIGKILL);
		life_pass(200);
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		fail_msg("the process died of signal %d", WTERMSIG(status));
}

static void live_and_cut(uint64_t life)
{
	pid_t pid = life_start(&lives, life);
	/* In the open, with the first operations, or when some stand in the log. */
	if (life % 5 != 0)
		life_let_work(&lives, pid, life % 5 == 1 ? 0 : FEW);
	life_pass(life_draw(&lives, life % 5 ? MOST_US : MOST_US / 8));
	if (!cut_power())
		fail_msg("the shutdown of the file system: %s", strerror(errno));
	wait_for(pid);
	life_check_journal(&lives, life);
	if (!unmount_image())
		fail_msg("umount: %s", strerror(errno));
	if (!mount_image())
		fail_msg("the file system cannot be mounted again");
}

static bool meant_something(uint64_t recovered)
{
	return life_operations(&lives) > lives.count && recovered > lives.count;
}

static void every_power_cut_keeps_what_was_acknowledged(void **state)
{
	(void)state;
	uint64_t recovered = 0, life = 0;
	/* On a machine that has little time for this, more cuts until they meant something. */
	while (life < lives.count || (life < SLOW_MOST * lives.count && !meant_something(recovered))) {
		live_and_cut(++life);
		recovered += life_check_store(&lives, life);
	}
	print_message("%llu power cuts, %llu operations, %llu commits recovered\n", (unsigned long long)life,
	              (unsigned long long)life_operations(&lives), (unsigned long long)recovered);
	assert_true(meant_something(recovered));
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
	life_arguments(&lives, argc, argv, QUICK_CUTS, LONG_CUTS);
	lives.path = path;
	lives.journal = journal_new();
	if (!lives.journal || !mkdtemp(folder))
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
	journal_free(lives.journal);
	return result;
}
