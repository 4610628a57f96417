/* What an s3: URL may say, and where keys come from. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "remote/s3_credentials.h"
#include "remote/s3_place.h"

static char folder[] = "/tmp/padstone-keys-XXXXXX", file[128], aws_file[128];

static void clear_environment(void)
{
	static const char *const names[] = {
	    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",          "AWS_PROFILE",
	    "AWS_REGION",        "AWS_DEFAULT_REGION",    "AWS_SHARED_CREDENTIALS_FILE"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unsetenv(names[i]);
	setenv("HOME", folder, 1);
}

/* ---- URLs ---- */

static int parse(const char *rest, struct s3_place *place)
{
	const struct ps_network_options options = {.size = sizeof(options)};
	memset(place, 0, sizeof(*place));
	return ps_s3_place_parse(rest, &options, place);
}

static void a_url_says_where_its_bucket_is(void **state)
{
	(void)state;
	struct s3_place p;
	clear_environment();
	assert_int_equal(parse("//bucket", &p), PS_OK);
	assert_string_equal(p.host, "s3.us-east-1.amazonaws.com");
	assert_string_equal(p.bucket, "bucket");
	assert_string_equal(p.prefix, "");
	assert_true(p.https && p.amazon && !p.virtual_style && !p.loopback);
	assert_int_equal(parse("//bucket/a/b/?region=eu-west-1", &p), PS_OK);
	assert_string_equal(p.host, "s3.eu-west-1.amazonaws.com");
	assert_string_equal(p.prefix, "a/b/");
	assert_int_equal(parse("//bucket/p?endpoint=http://127.0.0.1:8480", &p), PS_OK);
	assert_string_equal(p.host, "127.0.0.1:8480");
	assert_true(!p.https && p.loopback && !p.amazon);
	assert_int_equal(parse("//bucket/p?endpoint=https%3A%2F%2Fs3.example%3A443/&style=virtual", &p),
	                 PS_OK);
	assert_string_equal(p.host, "bucket.s3.example");
	assert_true(p.https && p.virtual_style);
	/* Plain HTTP has to be asked for. */
	assert_int_equal(parse("//bucket/p?endpoint=localhost:80", &p), PS_OK);
	assert_true(p.https && p.loopback);
	assert_string_equal(p.host, "localhost:80");
	assert_int_equal(parse("//bucket/p?endpoint=http://[::1]:80", &p), PS_OK);
	assert_string_equal(p.host, "[::1]");
}

static void options_win_over_the_url_and_the_environment(void **state)
{
	(void)state;
	const struct ps_network_options options = {
	    .size = sizeof(options), .region = "r-1", .profile = "mine", .ca_file = "/ca.pem"};
	struct s3_place p;
	clear_environment();
	setenv("AWS_DEFAULT_REGION", "r-4", 1);
	assert_int_equal(parse("//bucket", &p), PS_OK);
	assert_string_equal(p.region, "r-4");
	setenv("AWS_REGION", "r-3", 1);
	assert_int_equal(parse("//bucket", &p), PS_OK);
	assert_string_equal(p.region, "r-3");
	assert_int_equal(parse("//bucket?region=r-2&profile=theirs&ca_file=/b%20c", &p), PS_OK);
	assert_string_equal(p.region, "r-2");
	assert_string_equal(p.profile, "theirs");
	assert_string_equal(p.ca_file, "/b c");
	assert_int_equal(ps_s3_place_parse("//bucket?region=r-2&profile=theirs", &options, &p), PS_OK);
	assert_string_equal(p.region, "r-1");
	assert_string_equal(p.profile, "mine");
	assert_string_equal(p.ca_file, "/ca.pem");
}

static void a_url_that_says_too_much_is_refused_without_an_echo(void **state)
{
	(void)state;
	static const char *const urls[] = {
	    "//KEY:sEcReT@bucket/p",
	    "//bucket/p?endpoint=http://KEY:sEcReT@host",
	    "//bucket/p?endpoint=http://KEY%3AsEcReT%40host",
	    "//bucket/p?secret_access_key=sEcReT",
	    "//bucket/p?aws_secret_access_key=sEcReT&endpoint=http://h",
	    "//bucket/p?access_key=sEcReT",
	    "//bucket/p#sEcReT",
	    "//bucket/p?sEcReT",
	    "bucket/p",
	    "//",
	    "//b",
	    "///p",
	    "//bucket/a//b",
	    "//bucket/a b",
	    "//bucket/a%2fb",
	    "//bucket/p?endpoint=",
	    "//bucket/p?endpoint=ftp://h",
	    "//bucket/p?endpoint=http://h/path",
	    "//bucket/p?endpoint=h:0",
	    "//bucket/p?endpoint=h:65536",
	    "//bucket/p?endpoint=h:12x",
	    "//bucket/p?endpoint=h%0d%0aX:1",
	    "//bucket/p?endpoint=h%0",
	    "//bucket/p?endpoint=h%zz",
	    "//bucket/p?endpoint=h&endpoint=i",
	    "//bucket/p?region=a%0ab",
	    "//bucket/p?region=a/b",
	    "//bucket/p?style=other",
	};
	clear_environment();
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		struct s3_place p;
		if (parse(urls[i], &p) != PS_EINVAL)
			fail_msg("taken: %s", urls[i]);
		assert_null(strstr(ps_last_error_message(), "sEcReT"));
	}
}

/* ---- keys ---- */

static void write_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static const char both[] = "# comment\n[default]\naws_access_key_id = DKEY\naws_secret_access_key=dsecret\n\n"
                           "[ other ]\r\n  aws_access_key_id=OKEY\r\n aws_secret_access_key = osecret\r\n"
                           "aws_session_token=osession\r\nregion=x\n[half]\naws_access_key_id=HKEY\n"
                           "[profile named]\naws_access_key_id=NKEY\naws_secret_access_key=nsecret";

static void expect_keys(const char *profile, const char *access, const char *secret, const char *session)
{
	struct ps_memory memory;
	struct s3_credentials *c = NULL;
	ps_memory_init(&memory, NULL);
	if (ps_s3_credentials_find(&memory, profile, &c) != PS_OK)
		fail_msg("%s", ps_last_error_message());
	assert_string_equal(c->access_key, access);
	assert_string_equal(c->secret, secret);
	assert_string_equal(c->session, session);
	ps_s3_credentials_free(&memory, c);
	assert_int_equal(atomic_load(&memory.used), 0);
	ps_memory_done(&memory);
}

static void expect_none(const char *profile, int error)
{
	struct ps_memory memory;
	struct s3_credentials *c = NULL;
	ps_memory_init(&memory, NULL);
	assert_int_equal(ps_s3_credentials_find(&memory, profile, &c), error);
	assert_null(c);
	assert_null(strstr(ps_last_error_message(), "secret="));
	assert_int_equal(atomic_load(&memory.used), 0);
	ps_memory_done(&memory);
}

static void keys_come_from_environment_profile_and_file(void **state)
{
	(void)state;
	clear_environment();
	write_file(file, both);
	write_file(aws_file, "[default]\naws_access_key_id=HOMEKEY\naws_secret_access_key=homesecret\n");
	expect_keys("", "HOMEKEY", "homesecret", "");
	setenv("AWS_SHARED_CREDENTIALS_FILE", file, 1);
	expect_keys("", "DKEY", "dsecret", "");
	expect_keys("other", "OKEY", "osecret", "osession");
	expect_keys("named", "NKEY", "nsecret", "");
	setenv("AWS_PROFILE", "other", 1);
	expect_keys("", "OKEY", "osecret", "osession");
	setenv("AWS_ACCESS_KEY_ID", "EKEY", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "esecret", 1);
	setenv("AWS_SESSION_TOKEN", "esession", 1);
	expect_keys("", "EKEY", "esecret", "esession");
	/* A profile that was asked for is not overruled, nor mixed with the environment. */
	expect_keys("named", "NKEY", "nsecret", "");
}

static void incomplete_or_odd_keys_are_refused(void **state)
{
	(void)state;
	clear_environment();
	setenv("AWS_SHARED_CREDENTIALS_FILE", file, 1);
	write_file(file, both);
	expect_none("half", PS_EACCES);
	expect_none("nobody", PS_EACCES);
	setenv("AWS_ACCESS_KEY_ID", "EKEY", 1);
	expect_none("", PS_EACCES);
	setenv("AWS_SECRET_ACCESS_KEY", "two\nlines", 1);
	expect_none("", PS_EINVAL);
	clear_environment();
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
	expect_none("", PS_EACCES);
	setenv("AWS_SHARED_CREDENTIALS_FILE", folder, 1);
	expect_none("", PS_EIO);
	clear_environment();
	unsetenv("HOME");
	expect_none("", PS_EACCES);
}

static int begin(void **state)
{
	char path[128];
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(file, sizeof(file), "%s/keys", folder);
	snprintf(path, sizeof(path), "%s/.aws", folder);
	snprintf(aws_file, sizeof(aws_file), "%s/.aws/credentials", folder);
	return mkdir(path, 0700);
}

static int end(void **state)
{
	char path[128];
	(void)state;
	snprintf(path, sizeof(path), "%s/.aws", folder);
	unlink(file);
	unlink(aws_file);
	rmdir(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_url_says_where_its_bucket_is),
	    cmocka_unit_test(options_win_over_the_url_and_the_environment),
	    cmocka_unit_test(a_url_that_says_too_much_is_refused_without_an_echo),
	    cmocka_unit_test(keys_come_from_environment_profile_and_file),
	    cmocka_unit_test(incomplete_or_odd_keys_are_refused),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
