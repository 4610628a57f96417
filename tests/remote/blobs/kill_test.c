/* A process that is killed at any moment: on dir:, or on an engine. A child does one call after
 * another and says through a pipe what it has begun and what it has done; it is killed, and what is found
 * afterwards is what was done, or what was begun.
 * usage: kill_test [ROUNDS [SEED [SCHEME]]] */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/remote/blobs/blobs_fixture.h"

enum { PAD = 128 << 10, KEYS = 4, MOST = 6 * PAD, PATIENCE_MS = 120000 };

static unsigned rounds = 40, most_ms = 120;
static uint64_t seed = 1;
static const char *scheme = "dir";

static uint64_t dice(uint64_t *state, uint64_t sides)
{
	*state = *state * 6364136223846793005U + 1442695040888963407U;
	return (*state >> 33) % sides;
}

struct step {
	uint32_t key, len;
	uint64_t seed; /* of the contents; 0: removed */
	uint32_t done;
	uint32_t reserved;
};

static void name_of(uint32_t key, char name[16])
{
	snprintf(name, 16, "key %u", key);
}

static void say(int fd, const struct step *step)
{
	if (write(fd, step, sizeof(*step)) != (ssize_t)sizeof(*step))
		_exit(2);
}

static int act(struct blobs *b, const struct step *step)
{
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	char name[16];
	name_of(step->key, name);
	if (step->seed == 0) {
		int err = ps_remote_remove(b->r, name);
		return err == PS_ENOTFOUND ? PS_OK : err;
	}
	uint8_t *bytes = malloc(MOST);
	if (!bytes)
		return PS_ENOMEM;
	blobs_fill(bytes, step->len, step->seed);
	int err = ps_remote_put(b->r, name, bytes, step->len, &replace);
	free(bytes);
	return err;
}

/* Never returns. */
static void child(struct blobs *b, uint64_t dice_state, int fd)
{
	if (blobs_start_after_kill(b) != PS_OK)
		_exit(3);
	for (uint64_t n = 0;; n++) {
		struct step step = {.key = (uint32_t)dice(&dice_state, KEYS)};
		if (dice(&dice_state, 8) > 0) {
			step.len = (uint32_t)dice(&dice_state, MOST);
			step.seed = 1 + dice(&dice_state, 1 << 30);
		}
		if (dice(&dice_state, 10) == 0 && ps_remote_purge(b->r, NULL, NULL, NULL) != PS_OK)
			_exit(4);
		say(fd, &step);
		if (act(b, &step) != PS_OK)
			_exit(5);
		step.done = 1;
		say(fd, &step);
	}
}

static bool is_there(struct blobs *b, const struct step *step)
{
	struct ps_remote_info info;
	char name[16];
	name_of(step->key, name);
	int err = ps_remote_stat(b->r, name, &info);
	assert_true(err == PS_OK || err == PS_ENOTFOUND);
	bool exists = err == PS_OK && info.exists;
	if (step->seed == 0 || !exists)
		return (step->seed == 0) == !exists;
	return info.size == step->len && blobs_is(b, name, step->len, step->seed);
}

/* What was done last under each key, and what was begun and perhaps done. */
struct story {
	struct step done[KEYS];
	struct step begun;
	bool open;
};

static void listen(int fd, struct story *story)
{
	struct step step;
	while (read(fd, &step, sizeof(step)) == (ssize_t)sizeof(step)) {
		story->open = !step.done;
		if (step.done)
			story->done[step.key] = step;
		else
			story->begun = step;
	}
}

/* Until the child is at its first step, however long it takes to open, or has ended. */
static void await_step(int fd)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&readable, 1, PATIENCE_MS), 1);
}

static void run_and_kill(struct blobs *b, struct story *story, uint64_t *dice_state, unsigned rest)
{
	int fds[2], status;
	assert_int_equal(pipe(fds), 0);
	uint64_t of_child = dice(dice_state, 1U << 30);
	struct timespec until = {.tv_nsec = (long)(1000000 + dice(dice_state, most_ms) * 1000000)};
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(fds[0]);
		child(b, of_child, fds[1]);
	}
	(void)close(fds[1]);
	if (rest % 2 == 0)
		await_step(fds[0]);
	(void)nanosleep(&until, NULL); /* the moment is the point: any will do */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("the child ended by itself: %d", WEXITSTATUS(status));
	listen(fds[0], story);
	(void)close(fds[0]);
}

static void a_killed_process_leaves_the_old_or_the_new(void **state)
{
	struct blobs *b = blobs_new(scheme);
	struct story story = {.open = false};
	uint64_t dice_state = seed;
	unsigned cut = 0;
	(void)state;
	for (uint32_t i = 0; i < KEYS; i++)
		story.done[i].key = i;
	blobs_close(b);
	for (unsigned round = 0; round < rounds; round++) {
		run_and_kill(b, &story, &dice_state, round);
		assert_ok(blobs_start_after_kill(b));
		blobs_check(b);
		for (uint32_t i = 0; i < KEYS; i++) {
			bool old = is_there(b, &story.done[i]);
			bool new = story.open &&story.begun.key == i &&is_there(b, &story.begun);
			if (!old && !new)
				fail_msg("seed %llu, round %u: key %u is neither what it was nor what it was "
				         "to be",
				         (unsigned long long)seed, round, i);
		}
		if (story.open) { /* repeated, it finishes */
			cut++;
			assert_ok(act(b, &story.begun));
			assert_true(is_there(b, &story.begun));
			story.done[story.begun.key] = story.begun;
			story.open = false;
			blobs_check(b);
		}
		blobs_close(b);
	}
	print_message("%u kills, %u of them within a call\n", rounds, cut);
	assert_true(cut > 0);
	assert_ok(blobs_start_again(b, false));
	blobs_free(b);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_killed_process_leaves_the_old_or_the_new),
	};
	if (argc > 1)
		rounds = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	if (argc > 3)
		scheme = argv[3];
	if (strcmp(scheme, BLOBS_ENGINE) == 0) /* it takes longer to open */
		most_ms = 400;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
