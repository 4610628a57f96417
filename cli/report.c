/* How results, warnings and failures are said: sentences for people, one JSON object a line for programs. */
#include "cli/cli.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/progress.h"

int cli_exit_code(int err)
{
	switch (err) {
	case PS_OK:
		return CLI_DONE;
	case PS_ENOTFOUND:
	case PS_ENOENT:
		return CLI_NOT_FOUND;
	case PS_EBUSY:
		return CLI_BUSY;
	case PS_ECORRUPT:
	case PS_ELOST:
	case PS_EROLLBACK:
	case PS_EFORK:
		return CLI_DAMAGED;
	case PS_ENOSPC:
	case PS_EFULL:
	case PS_EQUOTA:
		return CLI_NO_SPACE;
	default:
		return CLI_FAILED;
	}
}

static const char *hint_of(const struct cli *cli, int err)
{
	if (cli->remote.at && cli->attachment == NULL)
		return cli_remote_hint(cli, err);
	switch (err) {
	case PS_EUNAVAILABLE:
		return cli_can_fetch(cli)
		           ? "Are network, key and --store the right ones, and is the network there?"
		           : "--network URL and --key FILE (or PADSTONE_NETWORK and PADSTONE_KEY) "
		             "bring what has left the file.";
	case PS_ELOST:
		return "If another file of this store pushes now, `padstone remote sync' tells what there "
		       "is.";
	case PS_EBUSY:
		return "A store is used by one process at a time; wait for the other, or end it.";
	case PS_ECORRUPT:
		return "`padstone check --full' lists all damage; other objects can still be read.";
	case PS_EFORMAT:
		return "`padstone create' makes a new store; the file that is there was not touched.";
	case PS_EVERSION:
		return "Use the padstone that wrote it, or a newer one.";
	case PS_ENOSPC:
		return "What was stored before is safe. Free some space and run it again.";
	case PS_ENOMEM:
		return "--memory gives the store more.";
	case PS_ENOTFOUND:
		return "`padstone ls --ids' lists what there is.";
	default:
		return NULL;
	}
}

static bool is_away(const struct cli *cli)
{
	return cli->remote.elsewhere || (cli->group == NULL && !cli_can_fetch(cli));
}

/* What was refused was typed so: a URL, or layers that make no stack. */
static bool is_as_typed(const struct cli *cli)
{
	return cli->remote.stage == CLI_REMOTE_NETWORK || cli->stack != NULL ||
	       (cli->remote.stage == CLI_REMOTE_OPEN && cli->remote.copy_to != NULL);
}

/* What a network gave that is not ours is damage; a passphrase or key that is not the right one is not. */
static int exit_of(const struct cli *cli, int err)
{
	if (err == PS_EUNAVAILABLE && is_away(cli))
		return CLI_AWAY;
	if (err == PS_EINVAL && is_as_typed(cli))
		return CLI_USAGE;
	return err == PS_EAUTH && cli->remote.stage == CLI_REMOTE_OPEN ? CLI_DAMAGED : cli_exit_code(err);
}

/* Where a callback ended the library's call, or what was being fetched was given up: commands that have more
 * to say of it do so themselves. */
static bool is_interruption(int err, const char *message)
{
	return cli_interrupted() && (err == PS_ECANCELED || err == PS_EUNAVAILABLE) &&
	       strstr(message, "interrupted") == NULL;
}

int cli_fail(const struct cli *cli, int err, const char *what)
{
	const char *message = ps_last_error_message(), *hint;

	if (is_interruption(err, message)) {
		err = PS_ECANCELED;
		message = "interrupted";
	}
	hint = cli->group != NULL ? cli->group->hint(cli, err) : hint_of(cli, err);
	if (message[0] == '\0')
		message = ps_strerror(err);
	if (cli->progress != NULL)
		progress_clear(cli->progress);
	fprintf(stderr, "padstone: %s%s%s\n", what != NULL ? what : "", what != NULL ? ": " : "", message);
	if (hint != NULL && !cli->quiet)
		fprintf(stderr, "  %s\n", hint);
	if (cli->json)
		cli_json(cli, json_pack("{s:s, s:s, s:i}", "error", ps_error_name(err), "message", message,
		                        "exit", exit_of(cli, err)));
	return exit_of(cli, err);
}

int cli_finish(struct cli *cli, ps_storer *s, int result)
{
	int err;

	cli_attachment_stop(cli);
	err = cli_close_store(s);
	if (err != PS_OK && result == CLI_DONE)
		result = cli_fail(cli, err, NULL);
	err = cli_attachment_free(cli);
	return err != PS_OK && result == CLI_DONE ? cli_fail(cli, err, NULL) : result;
}

int cli_open(struct cli *cli, int mode, ps_storer **s)
{
	int err;

	if (cli_fetches(cli->command) && !cli_network_is_named(cli))
		return CLI_USAGE;
	if (cli->remote.at)
		return cli_open_state(cli, s);
	err = cli_open_store(cli, mode, s);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	err = cli_attach(cli, *s);
	return err != PS_OK ? cli_finish(cli, *s, cli_fail(cli, err, NULL)) : CLI_DONE;
}

int cli_with_store(struct cli *cli, int mode, int (*run)(struct cli *cli, ps_storer *s))
{
	ps_storer *s;
	int result = cli_open(cli, mode, &s);

	return result == CLI_DONE ? cli_finish(cli, s, run(cli, s)) : result;
}

void cli_warn(const struct cli *cli, const char *format, ...)
{
	va_list list;

	if (cli->quiet)
		return;
	if (cli->progress != NULL)
		progress_clear(cli->progress);
	fputs("padstone: ", stderr);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
}

void cli_say(const struct cli *cli, const char *format, ...)
{
	va_list list;

	if (cli->quiet || cli->json)
		return;
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
}

void cli_json(const struct cli *cli, json_t *object)
{
	json_t *whole;
	char *line = NULL;

	if (cli->json && object != NULL) {
		whole = json_pack("{s:s}", "command", cli->command != NULL ? cli->command->name : "");
		if (whole != NULL && json_object_update(whole, object) == 0)
			line = json_dumps(whole, JSON_COMPACT);
		if (line != NULL)
			puts(line);
		free(line);
		json_decref(whole);
	}
	json_decref(object);
}

void cli_json_name(json_t *object, const char *key, const char *name)
{
	json_t *text = json_string(name);
	char *hex, hex_key[64];
	size_t len = strlen(name);

	if (text != NULL) {
		json_object_set_new(object, key, text);
		return;
	}
	hex = malloc(2 * len + 1);
	if (hex == NULL)
		return;
	hex[0] = '\0';
	for (size_t i = 0; i < len; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)name[i]);
	snprintf(hex_key, sizeof(hex_key), "%s_hex", key);
	json_object_set_new(object, hex_key, json_string(hex));
	free(hex);
}

/* Bytes of the UTF-8 character at p that may be shown as they are, 0 for control characters and stray bytes.
 */
static size_t printable_bytes(const unsigned char *p)
{
	size_t len = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : 4;

	if (*p < 0x20 || *p == 0x7f || *p == '\\' || (*p >= 0x80 && *p < 0xc2) || *p > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (*p == 0xc2 && p[1] < 0xa0) /* C1 controls steer terminals, too */
		return 0;
	return len;
}

char *cli_escape(const char *name, char *out, size_t size)
{
	const unsigned char *p = (const unsigned char *)name;
	size_t at = 0;

	while (*p != '\0' && at + 5 < size) {
		size_t len = printable_bytes(p);

		if (len > 0) {
			memcpy(out + at, p, len);
			at += len;
			p += len;
			continue;
		}
		if (*p == '\n' || *p == '\t' || *p == '\\')
			at += (size_t)sprintf(out + at, "\\%c", *p == '\n' ? 'n' : *p == '\t' ? 't' : '\\');
		else
			at += (size_t)sprintf(out + at, "\\x%02x", *p);
		p++;
	}
	out[at] = '\0';
	return out;
}

const char *cli_size_text(uint64_t bytes, char out[32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return out;
}

static atomic_int interrupted; /* lock-free: a handler may set it, and any thread asks */

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

bool cli_interrupted(void)
{
	return interrupted != 0;
}

enum { BUSY_TRIES = 100, BUSY_WAIT_NS = 10 * 1000 * 1000 };

/* The kernel takes down a killed process's io_uring, and with it the lock, a moment after the process is
 * gone: whoever kills and starts again must not be told that the store is in use. */
bool cli_again_if_busy(int err, int *tries)
{
	static const struct timespec wait = {.tv_nsec = BUSY_WAIT_NS};
	if (err != PS_EBUSY || ++*tries > BUSY_TRIES || cli_interrupted())
		return false;
	(void)nanosleep(&wait, NULL);
	return true;
}

void cli_catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	/* Once: a second Ctrl-C ends the process at once, which the store survives. */
	action.sa_flags = (int)SA_RESETHAND;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* A closed pipe is an error to report after the store is closed, not a death in the middle. */
	signal(SIGPIPE, SIG_IGN);
}
