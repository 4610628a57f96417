#include "cli/key_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"

static int secret_new(struct secret **secret)
{
	if (sodium_init() < 0)
		return ps_fail(PS_EIO, "libsodium does not start");
	*secret = sodium_malloc(sizeof(**secret));
	if (*secret == NULL)
		return ps_fail(PS_ENOMEM, "no memory for a secret");
	memset(*secret, 0, sizeof(**secret));
	return PS_OK;
}

void secret_free(struct secret *secret)
{
	sodium_free(secret);
}

/* Up to the end, or the first line's if `line`. Byte by byte where a descriptor is shared: what follows the
 * line is another's. */
static int read_secret(int fd, const char *name, bool line, struct secret *secret)
{
	while (secret->len < SECRET_BYTES) {
		char *at = secret->text + secret->len;
		ssize_t n = read(fd, at, line ? 1 : SECRET_BYTES - secret->len);

		if (n < 0 && errno == EINTR && cli_interrupted())
			return ps_fail(PS_ECANCELED, "interrupted");
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ps_fail_errno(errno, "cannot read '%s'", name);
		if (n == 0 || (line && *at == '\n'))
			return PS_OK;
		secret->len += (size_t)n;
	}
	return ps_fail(PS_EINVAL, "'%s' is too long for what it should hold", name);
}

/* A descriptor of ours that stands for `from`. */
static int open_source(const char *from, int *fd)
{
	bool number = *from != '\0' && strlen(from) < 9 && strspn(from, "0123456789") == strlen(from);

	*fd = number ? fcntl(atoi(from), F_DUPFD_CLOEXEC, 3) : open(from, O_RDONLY | O_CLOEXEC);
	return *fd >= 0 ? PS_OK : ps_fail_errno(errno, "cannot open '%s'", from);
}

int secret_from_file(const char *from, struct secret **secret)
{
	struct secret *made = NULL;
	int fd = -1, err = open_source(from, &fd);

	if (err == PS_OK)
		err = secret_new(&made);
	if (err == PS_OK)
		err = read_secret(fd, from, true, made);
	if (err == PS_OK && made->len > 0 && made->text[made->len - 1] == '\r')
		made->len--;
	if (err == PS_OK && made->len == 0)
		err = ps_fail(PS_EINVAL, "the first line of '%s' is empty", from);
	if (fd >= 0)
		close(fd);
	if (err == PS_OK)
		*secret = made;
	else
		secret_free(made);
	return err;
}

/* With echo off while it is typed, and put back whatever happens, but for SIGKILL. */
static int ask(int tty, const char *prompt, struct secret *secret)
{
	struct termios old, quiet;
	int err;

	if (tcgetattr(tty, &old) != 0)
		return ps_fail_errno(errno, "cannot ask on the terminal");
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
		return ps_fail_errno(errno, "cannot ask on the terminal");
	secret->len = 0;
	err = ps_file_write(tty, "the terminal", prompt, strlen(prompt));
	if (err == PS_OK)
		err = read_secret(tty, "the terminal", true, secret);
	(void)tcsetattr(tty, TCSAFLUSH, &old);
	return err == PS_OK ? ps_file_write(tty, "the terminal", "\n", 1) : err;
}

static int ask_again(int tty, const struct secret *first)
{
	struct secret *second = NULL;
	int err = secret_new(&second);

	if (err == PS_OK)
		err = ask(tty, "The same again: ", second);
	if (err == PS_OK &&
	    (first->len != second->len || sodium_memcmp(first->text, second->text, first->len) != 0))
		err = ps_fail(PS_EINVAL, "these were two different ones; nothing was changed");
	secret_free(second);
	return err;
}

int secret_from_terminal(const char *prompt, bool twice, struct secret **secret)
{
	struct secret *made = NULL;
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), err;

	if (tty < 0)
		return ps_fail(
		    PS_EINVAL,
		    "a passphrase is needed, and there is no terminal to ask on: --passphrase-file, or for "
		    "a new one --new-passphrase-file, says where it is");
	err = secret_new(&made);
	if (err == PS_OK)
		err = ask(tty, prompt, made);
	if (err == PS_OK && made->len == 0)
		err = ps_fail(PS_EINVAL, "nothing was typed");
	if (err == PS_OK && twice)
		err = ask_again(tty, made);
	close(tty);
	if (err == PS_OK)
		*secret = made;
	else
		secret_free(made);
	return err;
}

int secret_from_input(const char *prompt, struct secret **secret)
{
	struct secret *made = NULL;
	int err;

	if (isatty(STDIN_FILENO))
		return secret_from_terminal(prompt, false, secret);
	err = secret_new(&made);
	if (err == PS_OK)
		err = read_secret(STDIN_FILENO, "standard input", false, made);
	if (err == PS_OK)
		*secret = made;
	else
		secret_free(made);
	return err;
}

int secret_of_key(const struct cli *cli, const char *path, struct secret **secret)
{
	struct ps_key_file_info info;
	char prompt[300];
	int err = ps_key_file_info(path, &info);

	if (err != PS_OK)
		return err;
	if (cli->passphrase_file != NULL)
		return secret_from_file(cli->passphrase_file, secret);
	(void)snprintf(prompt, sizeof(prompt), "Passphrase of %.200s: ", path);
	return info.passphrase ? secret_from_terminal(prompt, false, secret) : PS_OK;
}

void secret_no_core(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
}
