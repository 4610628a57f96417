#include "tests/badinput/bad.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

char bad_folder[64], bad_path[80];

void bad_expect(int expected, int err, const char *call, const char *words, const char *file, int line)
{
	const char *sentence = err == PS_OK ? "" : ps_last_error_message();
	bool right = err == expected && (err == PS_OK || sentence[0]) && (!words || strstr(sentence, words));
	if (right)
		return;
	print_error("%s: %s (%s), expected %s%s%s\n", call, ps_error_name(err), sentence,
	            ps_error_name(expected), words ? " and the words: " : "", words ? words : "");
	_fail(file, line);
}

int bad_setup(void **state)
{
	(void)state;
	snprintf(bad_folder, sizeof(bad_folder), "/tmp/padstone-bad-XXXXXX");
	if (!mkdtemp(bad_folder) || chmod(bad_folder, 0755))
		return -1;
	snprintf(bad_path, sizeof(bad_path), "%s/store", bad_folder);
	return 0;
}

int bad_teardown(void **state)
{
	(void)state;
	DIR *folder = opendir(bad_folder);
	for (struct dirent *e; folder && (e = readdir(folder)) != NULL;) {
		char name[400];
		snprintf(name, sizeof(name), "%s/%s", bad_folder, e->d_name);
		if (e->d_name[0] != '.')
			(void)remove(name);
	}
	if (folder)
		closedir(folder);
	return rmdir(bad_folder);
}

const char *bad_name(const char *name)
{
	static char path[200];
	snprintf(path, sizeof(path), "%s/%s", bad_folder, name);
	return path;
}

struct ps_base_options bad_options(int mode)
{
	return (struct ps_base_options){
	    .size = sizeof(struct ps_base_options),
	    .mode = mode,
	    .background = PS_BACKGROUND_NONE,
	    .initial_bytes = 64 << 10,
	    .log_bytes = 32 << 10,
	    .memory_budget = 8 << 20,
	};
}

ps_storer *bad_open(const char *path, int mode)
{
	ps_storer *s = NULL;
	struct ps_base_options options = bad_options(mode);
	OK(ps_base_open(path, &options, &s));
	return s;
}

static const size_t sizes[BAD_OBJECTS] = {0, 100, 5000, 40000, 200000};

static uint8_t byte_of(int object, size_t at)
{
	return (uint8_t)((at * 31 + at / 251 + (size_t)object * 7) & 0xff);
}

void bad_fill(ps_storer *s, ps_id ids[BAD_OBJECTS])
{
	static uint8_t bytes[200000];
	for (int i = 0; i < BAD_OBJECTS; i++) {
		for (size_t at = 0; at < sizes[i]; at++)
			bytes[at] = byte_of(i, at);
		OK(ps_put(s, bytes, sizes[i], &ids[i]));
	}
}

void bad_verify(ps_storer *s, const ps_id ids[BAD_OBJECTS])
{
	static uint8_t bytes[200000];
	for (int i = 0; i < BAD_OBJECTS; i++) {
		size_t len = 0;
		OK(ps_get(s, ids[i], bytes, sizeof(bytes), &len));
		assert_int_equal(len, sizes[i]);
		for (size_t at = 0; at < len; at++) {
			if (bytes[at] != byte_of(i, at))
				fail_msg("object %d: byte %zu is another", i, at);
		}
	}
}

uint8_t *bad_read_file(const char *path, size_t *size)
{
	struct stat now;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &now) == 0);
	*size = (size_t)now.st_size;
	uint8_t *bytes = malloc(*size + 1);
	if (!bytes)
		abort();
	assert_int_equal(pread(fd, bytes, *size, 0), *size);
	close(fd);
	return bytes;
}

void bad_write_file(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static int count_one(void *arg, ps_id id)
{
	(void)id;
	(*(size_t *)arg)++;
	return 0;
}

size_t bad_count(ps_storer *s)
{
	size_t count = 0;
	OK(ps_each(s, PS_ID_NONE, count_one, &count));
	return count;
}

int bad_in_child(int (*fn)(void *arg), void *arg)
{
	int status = 0;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn(arg));
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
