/* Where and with what a run was made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench/harness.h"
#include "bench_commit.inc"

enum { TEXT_MOST = 256 };

static void put(json_t *r, const char *name, const char *text)
{
	json_object_set_new(r, name, json_string(text));
}

/* What follows `key` and a colon in a file of lines; "" if it is not there. */
static const char *line_of(const char *path, const char *key, char *text)
{
	char line[TEXT_MOST];
	FILE *f = fopen(path, "r");
	text[0] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');
		if (strncmp(line, key, strlen(key)) || !colon)
			continue;
		colon += 1 + strspn(colon + 1, " \t");
		snprintf(text, TEXT_MOST, "%.*s", (int)strcspn(colon, "\n"), colon);
		break;
	}
	if (f)
		fclose(f);
	return text;
}

static const char *first_line(const char *path, char *text)
{
	FILE *f = fopen(path, "r");
	if (!f || !fgets(text, TEXT_MOST, f))
		text[0] = 0;
	if (f)
		fclose(f);
	text[strcspn(text, "\n")] = 0;
	return text;
}

/* The line of the longest mount point that holds the folder: "ext4 on /dev/vda, rw,relatime". */
static void describe_mount(const char *dir, char *text)
{
	char real[4096], device[TEXT_MOST], point[TEXT_MOST], type[64], options[TEXT_MOST], line[2048];
	size_t longest = 0;
	FILE *f = fopen("/proc/self/mounts", "r");
	snprintf(text, TEXT_MOST, "unknown");
	if (!realpath(dir, real))
		real[0] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%255s %255s %63s %255s", device, point, type, options) != 4)
			continue;
		size_t len = strlen(point);
		if (strncmp(real, point, len) || (len > 1 && real[len] && real[len] != '/') || len < longest)
			continue;
		longest = len;
		snprintf(text, TEXT_MOST, "%s on %.60s, %.120s", type, device, options);
	}
	if (f)
		fclose(f);
}

static void describe_device(const char *dir, char *text)
{
	struct stat st;
	char path[128], cache[TEXT_MOST], model[TEXT_MOST], rotational[TEXT_MOST];
	text[0] = 0;
	if (stat(dir, &st))
		return;
	unsigned major = major(st.st_dev), minor = minor(st.st_dev);
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/write_cache", major, minor);
	first_line(path, cache);
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/rotational", major, minor);
	first_line(path, rotational);
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/device/model", major, minor);
	first_line(path, model);
	snprintf(text, TEXT_MOST, "%u:%u %.64s, write cache: %.64s, %s", major, minor, model,
	         cache[0] ? cache : "unknown", !strcmp(rotational, "1") ? "rotational" : "not rotational");
}

static void put_settings(json_t *r, const struct settings *s)
{
	json_t *o =
	    json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:b}", "num", (json_int_t)s->num, "bytes_most",
	              (json_int_t)s->bytes_most, "value_size", (json_int_t)s->value_size, "cache_size",
	              (json_int_t)s->cache_bytes, "seed", (json_int_t)s->seed, "duration", s->seconds,
	              "rounds", (json_int_t)s->rounds, "quick", s->quick);
	json_object_set_new(r, "settings", o);
}

json_t *machine_record(const struct settings *s)
{
	json_t *r = json_object();
	char text[TEXT_MOST];
	struct utsname u;
	time_t t = time(NULL);
	uname(&u);
	put(r, "record", "machine");
	put(r, "commit", BENCH_COMMIT);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime(&t));
	put(r, "date", text);
	put(r, "cpu", line_of("/proc/cpuinfo", "model name", text));
	json_object_set_new(r, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	put(r, "memory", line_of("/proc/meminfo", "MemTotal", text));
	snprintf(text, sizeof(text), "%s %s", u.sysname, u.release);
	put(r, "kernel", text);
	describe_mount(s->dir, text);
	put(r, "file system", text);
	describe_device(s->dir, text);
	put(r, "device", text);
	put(r, "compiler", BENCH_COMPILER);
	put(r, "load before", first_line("/proc/loadavg", text));
	put(r, "left out", peers_left_out);
	put_settings(r, s);
	return r;
}
