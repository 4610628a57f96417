#include "tests/remote/public/public_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void open_reader(struct reader *reader)
{
	const struct ps_remote_seams seams = {.backoff_ms = 1};
	struct ps_remote_options options = {.size = sizeof(options),
	                                    .state = reader->folder,
	                                    .workers = 2,
	                                    .depth = 4,
	                                    .timeout_ms = 2000,
	                                    .retries = 4};
	assert_ok(ps_remote_start_keyless(reader->url, &options, &seams, &reader->p.r));
}

struct reader *reader_of(const char *url)
{
	struct reader *reader = test_calloc(1, sizeof(*reader));
	snprintf(reader->folder, sizeof(reader->folder), "/dev/shm/padstone-blobs-XXXXXX");
	assert_non_null(mkdtemp(reader->folder));
	snprintf(reader->url, sizeof(reader->url), "%s", url);
	open_reader(reader);
	return reader;
}

struct reader *reader_new(struct blobs *b)
{
	return reader_of(b->url);
}

void reader_reopen(struct reader *reader)
{
	assert_ok(ps_remote_close(reader->p.r));
	open_reader(reader);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info, (void)type, (void)walk;
	return remove(path);
}

void reader_free(struct reader *reader)
{
	assert_ok(ps_remote_close(reader->p.r));
	assert_int_equal(nftw(reader->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	test_free(reader);
}

int reader_get(struct reader *reader, const char *address, size_t len, uint64_t seed)
{
	uint8_t *should = blobs_bytes(len, seed), *is = test_malloc(len + 1);
	size_t got = 0;
	int err = ps_public_get(&reader->p, address, is, len, &got);
	if (err == PS_OK && (got != len || memcmp(should, is, len) != 0))
		err = PS_ERANGE;
	test_free(should);
	test_free(is);
	return err;
}

struct stream {
	const uint8_t *should;
	size_t at, len;
};

static int compare(void *arg, const void *data, size_t len)
{
	struct stream *stream = arg;
	assert_true(len <= stream->len - stream->at);
	assert_memory_equal(stream->should + stream->at, data, len);
	stream->at += len;
	return PS_OK;
}

static void expect_range(struct reader *reader, const char *address, const uint8_t *should, size_t size,
                         size_t from, size_t len)
{
	uint8_t *is = test_malloc(len + 1);
	size_t got = 0, here = from < size ? size - from : 0;
	here = here < len ? here : len;
	assert_ok(ps_public_read_at(&reader->p, address, from, is, len, &got));
	assert_int_equal(got, here);
	assert_memory_equal(should + (here > 0 ? from : 0), is, here);
	test_free(is);
}

void reader_expect(struct reader *reader, const char *address, size_t len, uint64_t seed)
{
	uint8_t *should = blobs_bytes(len, seed);
	struct stream stream = {.should = should, .len = len};
	struct ps_public_info info;
	assert_ok(ps_public_stat(&reader->p, address, &info));
	assert_int_equal(info.size, len);
	int err = reader_get(reader, address, len, seed);
	if (err != PS_OK)
		fail_msg("the address does not show the %zu bytes of seed %llu: %s (%s)", len,
		         (unsigned long long)seed, ps_error_name(err), ps_last_error_message());
	assert_ok(ps_public_get_stream(&reader->p, address, 0, UINT64_MAX, compare, &stream));
	assert_int_equal(stream.at, len);
	expect_range(reader, address, should, len, 0, 1);
	expect_range(reader, address, should, len, len / 2, 70000);
	expect_range(reader, address, should, len, len, 10);
	if (len > 0)
		expect_range(reader, address, should, len, len - 1, 10);
	test_free(should);
}

void put_public(struct blobs *b, const char *key, size_t len, uint64_t seed, char address[PS_PUBLIC_ADDRESS])
{
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	uint8_t *bytes = blobs_bytes(len, seed);
	assert_ok(ps_remote_put_public(b->r, key, bytes, len, &replace));
	test_free(bytes);
	assert_ok(ps_remote_address(b->r, key, address));
}

struct ps_pad_name name_of_address(const char *address)
{
	struct ps_address parsed;
	struct ps_pad_name name;
	assert_ok(ps_address_parse(address, &parsed));
	ps_address_name(&parsed, &name);
	return name;
}

void get_record(struct blobs *b, const char *key, struct ps_record *record)
{
	assert_ok(ps_index_get(b->r->index, PS_RECORD_BLOB, key, strlen(key), record));
}
