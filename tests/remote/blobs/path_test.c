/* A folder has one URL on this machine, wherever and however it is said: a store in it has one state. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/remote/blobs/blobs_fixture.h"

static void go_to(const char *folder)
{
	assert_int_equal(chdir(folder), 0);
}

static void full_is(const char *url, const char *should)
{
	char full[PS_NETWORK_URL];
	assert_ok(ps_network_full_url(url, full));
	assert_string_equal(full, should);
}

/* What no sync has sent is in this state only. */
static void expect_state(struct blobs *b, const char *url)
{
	snprintf(b->url, sizeof(b->url), "%s", url);
	assert_ok(blobs_start(b, false));
	blobs_expect(b, "here", 100, 1);
	blobs_close(b);
}

static void however_a_folder_is_said_it_is_one_store(void **state)
{
	char absolute[256], linked[256], link[160];
	struct blobs *b = blobs_new("dir");
	struct ps_remote_key key = {.user_key = b->key};
	(void)state;
	snprintf(absolute, sizeof(absolute), "%s", b->url);
	blobs_put(b, "here", 100, 1);
	blobs_close(b);
	snprintf(link, sizeof(link), "%s/link", b->folder);
	assert_int_equal(symlink(b->folder, link), 0);
	snprintf(linked, sizeof(linked), "dir:%s/network", link);
	go_to(b->folder);
	expect_state(b, "dir:network");
	expect_state(b, "dir:./network/");
	expect_state(b, "dir:network/../network");
	expect_state(b, linked);
	go_to("network");
	expect_state(b, "dir:.");
	go_to("/");
	expect_state(b, absolute);
	go_to(b->folder);
	assert_ok(ps_remote_forget("dir:network", &key, &b->options));
	assert_error(ps_remote_forget(absolute, &key, &b->options), PS_ENOTFOUND);
	assert_ok(blobs_start(b, false)); /* blobs_free closes it */
	go_to("/");
	assert_int_equal(unlink(link), 0);
	blobs_free(b);
}

static void what_is_not_there_yet_has_its_url_already(void **state)
{
	char here[PATH_MAX], should[PATH_MAX + 32], url[PS_NETWORK_URL + PATH_MAX];
	struct blobs *b = blobs_new("dir");
	(void)state;
	go_to(b->folder);
	assert_non_null(getcwd(here, sizeof(here)));
	snprintf(should, sizeof(should), "dir:%s/new", here);
	full_is("dir:new", should);
	full_is("dir:./new", should);
	full_is(should, should);
	snprintf(should, sizeof(should), "dir:%s/none/new", here);
	full_is("dir:none/new", should);
	full_is("dir:/new", "dir:/new");
	full_is("dir:/none/new", "dir:/none/new");
	full_is("mem:name", "mem:name");
	full_is("s3://bucket/../x", "s3://bucket/../x");
	memset(url, 'x', sizeof(url) - 1);
	memcpy(url, "dir:", 4);
	url[sizeof(url) - 1] = '\0';
	assert_error(ps_network_full_url(url, (char[PS_NETWORK_URL]){0}), PS_EINVAL);
	assert_error(ps_network_open(url, NULL, &(ps_network *){NULL}), PS_EINVAL);
	go_to("/");
	blobs_free(b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(however_a_folder_is_said_it_is_one_store),
	    cmocka_unit_test(what_is_not_there_yet_has_its_url_already),
	};
	return cmocka_run_group_tests_name("blobs, paths", tests, NULL, NULL);
}
