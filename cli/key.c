/* key: the files that users' keys lie in. A key's bytes are in locked memory all the way; what is shown goes
 * to standard output without passing through a stream's buffer. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"
#include "cli/key_secret.h"
#include "remote/words.h"

const char *cli_key_hint(const struct cli *cli, int err)
{
	(void)cli;
	switch (err) {
	case PS_EEXIST:
		return "Choose another name; a key is never written over a file.";
	case PS_ECORRUPT:
		return "Take a copy of the file, or make it anew: `padstone key new --from-words'.";
	case PS_ENOMEM:
		return "`ulimit -l' says how much memory may be locked.";
	default:
		return NULL;
	}
}

static struct ps_passphrase passphrase_of(const struct secret *secret)
{
	return (struct ps_passphrase){secret->text, secret->len};
}

/* Opens a key file; *secret is its passphrase (NULL if it has none), for the caller to free. */
static int open_key(const struct cli *cli, const char *path, struct ps_key **key, struct secret **secret)
{
	struct ps_passphrase passphrase;
	int err;

	*secret = NULL;
	err = secret_of_key(cli, path, secret);
	if (err != PS_OK)
		return err;
	if (*secret == NULL)
		return ps_key_file_read(path, NULL, key);
	passphrase = passphrase_of(*secret);
	err = ps_key_file_read(path, &passphrase, key);
	if (err != PS_OK) {
		secret_free(*secret);
		*secret = NULL;
	}
	return err;
}

static int create(const char *path, const struct ps_key *key, const struct secret *secret)
{
	struct ps_passphrase passphrase;

	if (secret == NULL)
		return ps_key_file_create(path, key, NULL);
	passphrase = passphrase_of(secret);
	return ps_key_file_create(path, key, &passphrase);
}

/* From a file, or asked for, or NULL: none. */
static int new_secret(const char *file, bool ask, struct secret **secret)
{
	*secret = NULL;
	if (file != NULL)
		return secret_from_file(file, secret);
	return ask ? secret_from_terminal("New passphrase: ", true, secret) : PS_OK;
}

static const char *kind_text(const struct ps_key *key)
{
	return key->kind == PS_KEY_USER ? "user" : "read-only";
}

/* What a command made. */
static void say_made(const struct cli *cli, const char *path, const struct ps_key *key)
{
	char fingerprint[PS_KEY_FINGERPRINT];

	ps_key_fingerprint(key, fingerprint);
	cli_json(cli, json_pack("{s:s, s:s, s:s}", "file", path, "kind", kind_text(key), "fingerprint",
	                        fingerprint));
	cli_say(cli, "%s: key %s", path, fingerprint);
}

static int imported_key(const struct cli *cli, struct ps_key **key)
{
	struct secret *typed = NULL;
	uint8_t *bytes = sodium_malloc(PS_KEY);
	int err = bytes != NULL ? PS_OK : ps_fail(PS_ENOMEM, "no memory for a key");

	if (err == PS_OK)
		err = secret_from_input(cli->from_words ? "The 24 words: " : "The 64 digits: ", &typed);
	if (err == PS_OK)
		err = cli->from_words ? ps_words_to_key(typed->text, typed->len, bytes)
		                      : ps_hex_to_key(typed->text, typed->len, bytes);
	if (err == PS_OK)
		err = ps_key_new(bytes, key);
	secret_free(typed);
	sodium_free(bytes);
	return err;
}

int cli_run_key_new(struct cli *cli)
{
	struct secret *secret = NULL;
	struct ps_key *key = NULL;
	int err = PS_OK;

	secret_no_core();
	if (sodium_init() < 0)
		err = ps_fail(PS_EIO, "libsodium does not start");
	if (err == PS_OK)
		err = cli->from_words || cli->from_hex ? imported_key(cli, &key) : ps_key_new(NULL, &key);
	if (err == PS_OK)
		err = new_secret(cli->passphrase_file, cli->ask, &secret);
	if (err == PS_OK)
		err = create(cli->store, key, secret);
	if (err == PS_OK)
		say_made(cli, cli->store, key);
	secret_free(secret);
	ps_key_free(key);
	return err == PS_OK ? CLI_DONE : cli_fail(cli, err, NULL);
}

/* Only letters, digits and spaces: nothing in them that JSON would write otherwise. */
static int print_key(const struct cli *cli, const struct ps_key *key)
{
	enum { TEXT = PS_WORDS_TEXT > PS_HEX_TEXT ? PS_WORDS_TEXT : PS_HEX_TEXT, LINE = TEXT + 64 };
	char *text = sodium_malloc(TEXT), *line = sodium_malloc(LINE);
	int err = PS_OK, len;

	if (text == NULL || line == NULL) {
		err = ps_fail(PS_ENOMEM, "no memory for a key");
	} else {
		if (cli->hex)
			ps_hex_from_key(key->bytes, text);
		else
			ps_words_from_key(key->bytes, text);
		len = cli->json ? snprintf(line, LINE, "{\"command\":\"key show\",\"%s\":\"%s\"}\n",
		                           cli->hex ? "hex" : "words", text)
		                : snprintf(line, LINE, "%s\n", text);
		err = ps_file_write(STDOUT_FILENO, "standard output", line, (size_t)len);
	}
	sodium_free(text);
	sodium_free(line);
	return err;
}

int cli_run_key_show(struct cli *cli)
{
	struct secret *secret = NULL;
	struct ps_key *key = NULL;
	int err;

	secret_no_core();
	err = open_key(cli, cli->store, &key, &secret);
	if (err == PS_OK && key->kind != PS_KEY_USER)
		err = ps_fail(PS_ENOTSUP, "'%s' is a read-only key: it has no words; give the file itself",
		              cli->store);
	if (err == PS_OK)
		err = print_key(cli, key);
	secret_free(secret);
	ps_key_free(key);
	return err == PS_OK ? CLI_DONE : cli_fail(cli, err, NULL);
}

static void say_checked(const struct cli *cli, const struct ps_key *key, const struct ps_key_file_info *info)
{
	char fingerprint[PS_KEY_FINGERPRINT], size[32];
	json_t *object = json_pack("{s:s, s:s, s:b}", "file", cli->store, "kind", kind_text(key),
	                           "passphrase", info->passphrase);

	ps_key_fingerprint(key, fingerprint);
	json_object_set_new(object, "fingerprint", json_string(fingerprint));
	if (info->passphrase) {
		json_object_set_new(object, "argon2id_passes", json_integer(info->opslimit));
		json_object_set_new(object, "argon2id_bytes", json_integer((json_int_t)info->memlimit));
	}
	if (key->kind == PS_KEY_READ_ONLY)
		cli_json_name(object, "store", key->store);
	cli_json(cli, object);
	cli_say(cli, "key          %s", fingerprint);
	cli_say(cli, "kind         %s", kind_text(key));
	if (key->kind == PS_KEY_READ_ONLY)
		cli_say(cli, "store        %s", key->store);
	if (info->passphrase)
		cli_say(cli, "passphrase   yes (Argon2id: %" PRIu32 " passes over %s)", info->opslimit,
		        cli_size_text(info->memlimit, size));
	else
		cli_say(cli, "passphrase   no");
}

int cli_run_key_check(struct cli *cli)
{
	struct ps_key_file_info info;
	struct secret *secret = NULL;
	struct ps_key *key = NULL;
	int err;

	secret_no_core();
	err = open_key(cli, cli->store, &key, &secret);
	if (err == PS_OK)
		err = ps_key_file_info(cli->store, &info);
	if (err == PS_OK)
		say_checked(cli, key, &info);
	secret_free(secret);
	ps_key_free(key);
	return err == PS_OK ? CLI_DONE : cli_fail(cli, err, NULL);
}

static int replace(const char *path, const struct ps_key *key, const struct secret *secret)
{
	struct ps_passphrase passphrase;

	if (secret == NULL)
		return ps_key_file_replace(path, key, NULL);
	passphrase = passphrase_of(secret);
	return ps_key_file_replace(path, key, &passphrase);
}

int cli_run_key_passphrase(struct cli *cli)
{
	struct secret *old = NULL, *fresh = NULL;
	struct ps_key *key = NULL;
	int err;

	secret_no_core();
	err = open_key(cli, cli->store, &key, &old);
	if (err == PS_OK && !cli->remove_passphrase)
		err = new_secret(cli->new_passphrase_file, true, &fresh);
	if (err == PS_OK)
		err = replace(cli->store, key, fresh);
	if (err == PS_OK) {
		cli_json(cli, json_pack("{s:s, s:b}", "file", cli->store, "passphrase", fresh != NULL));
		cli_say(cli, "%s: %s", cli->store,
		        fresh == NULL ? "no passphrase any more"
		        : old == NULL ? "under a passphrase now"
		                      : "the passphrase is another one now");
	}
	secret_free(old);
	secret_free(fresh);
	ps_key_free(key);
	return err == PS_OK ? CLI_DONE : cli_fail(cli, err, NULL);
}

int cli_run_key_rotate(struct cli *cli)
{
	struct secret *secret = NULL;
	struct ps_key *key = NULL, *next = NULL;
	int err;

	secret_no_core();
	err = open_key(cli, cli->store, &key, &secret);
	if (err == PS_OK && key->kind != PS_KEY_USER)
		err = ps_fail(PS_EREADONLY, "'%s' is a read-only key; rotate the one that it comes from",
		              cli->store);
	if (err == PS_OK)
		err = ps_key_new(NULL, &next);
	if (err == PS_OK)
		err = create(cli->operands[0], next, secret);
	if (err == PS_OK) {
		say_made(cli, cli->operands[0], next);
		cli_warn(cli,
		         "what networks hold stays sealed with the old key; keep '%s' until it is copied",
		         cli->store);
	}
	secret_free(secret);
	ps_key_free(key);
	ps_key_free(next);
	return err == PS_OK ? CLI_DONE : cli_fail(cli, err, NULL);
}

int cli_run_key_read_only(struct cli *cli)
{
	struct secret *secret = NULL, *fresh = NULL;
	struct ps_key *key = NULL, *reader = NULL;
	int err;

	secret_no_core();
	err = open_key(cli, cli->store, &key, &secret);
	if (err == PS_OK)
		err = ps_key_new_read_only(key, cli->store_name, &reader);
	if (err == PS_OK)
		err = new_secret(cli->new_passphrase_file, cli->ask_new, &fresh);
	if (err == PS_OK)
		err = create(cli->operands[0], reader, fresh);
	if (err == PS_OK)
		say_made(cli, cli->operands[0], reader);
	secret_free(secret);
	secret_free(fresh);
	ps_key_free(key);
	ps_key_free(reader);
	return err == PS_OK ? CLI_DONE : cli_fail(cli, err, NULL);
}
