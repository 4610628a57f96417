/* Signatures against the examples that AWS has published (the Signature Version 4 test suite, and "Signature
 * Calculations for the Authorization Header" of the S3 manual), which sign_vectors.py works out as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "remote/s3_sign.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct s3_credentials suite = {.access_key = "AKIDEXAMPLE",
                                            .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};
static const struct s3_credentials manual = {.access_key = "AKIAIOSFODNN7EXAMPLE",
                                             .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};

struct vector {
	const char *name;
	const struct s3_credentials *credentials;
	struct s3_signed s;
	const char *names, *signature;
};

#define HEADERS(...)                                                                                         \
	.headers = (const struct s3_header[]){__VA_ARGS__},                                                  \
	.header_count = sizeof((const struct s3_header[]){__VA_ARGS__}) / sizeof(struct s3_header)

static const struct vector vectors[] = {
    {"get-vanilla",
     &suite,
     {.method = "GET",
      .path = "/",
      .query = "",
      .payload = EMPTY,
      .date = "20150830T123600Z",
      .region = "us-east-1",
      .service = "service",
      HEADERS({"host", "example.amazonaws.com"}, {"x-amz-date", "20150830T123600Z"})},
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"GET Object",
     &manual,
     {.method = "GET",
      .path = "/test.txt",
      .query = "",
      .payload = EMPTY,
      .date = "20130524T000000Z",
      .region = "us-east-1",
      .service = "s3",
      HEADERS({"host", "examplebucket.s3.amazonaws.com"}, {"range", "bytes=0-9"},
              {"x-amz-content-sha256", EMPTY}, {"x-amz-date", "20130524T000000Z"})},
     "host;range;x-amz-content-sha256;x-amz-date",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"GET Bucket Lifecycle",
     &manual,
     {.method = "GET",
      .path = "/",
      .query = "lifecycle=",
      .payload = EMPTY,
      .date = "20130524T000000Z",
      .region = "us-east-1",
      .service = "s3",
      HEADERS({"host", "examplebucket.s3.amazonaws.com"}, {"x-amz-content-sha256", EMPTY},
              {"x-amz-date", "20130524T000000Z"})},
     "host;x-amz-content-sha256;x-amz-date",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"Get Bucket (List Objects)",
     &manual,
     {.method = "GET",
      .path = "/",
      .query = "max-keys=2&prefix=J",
      .payload = EMPTY,
      .date = "20130524T000000Z",
      .region = "us-east-1",
      .service = "s3",
      HEADERS({"host", "examplebucket.s3.amazonaws.com"}, {"x-amz-content-sha256", EMPTY},
              {"x-amz-date", "20130524T000000Z"})},
     "host;x-amz-content-sha256;x-amz-date",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    {"PUT Object",
     &manual,
     {.method = "PUT",
      .path = "/test%24file.text",
      .query = "",
      .payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
      .date = "20130524T000000Z",
      .region = "us-east-1",
      .service = "s3",
      HEADERS({"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"host", "examplebucket.s3.amazonaws.com"},
              {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
              {"x-amz-date", "20130524T000000Z"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"})},
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
};

static void signatures_are_those_that_aws_published(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		const struct vector *v = &vectors[i];
		struct s3_signing_key key = {0};
		char right[S3_AUTHORIZATION_MAX], is[S3_AUTHORIZATION_MAX];
		snprintf(right, sizeof(right),
		         "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request, SignedHeaders=%s, "
		         "Signature=%s",
		         v->credentials->access_key, v->s.date, v->s.service, v->names, v->signature);
		ps_s3_sign(v->credentials, &v->s, &key, is);
		assert_string_equal(is, right);
		/* With the key of the day kept. */
		ps_s3_sign(v->credentials, &v->s, &key, is);
		assert_string_equal(is, right);
	}
}

static void a_days_key_is_the_one_that_aws_published(void **state)
{
	(void)state;
	struct s3_signing_key key = {0};
	struct s3_signed s = {.date = "20150830T000000Z", .region = "us-east-1", .service = "iam"};
	char hex[S3_SHA256_HEX];
	ps_s3_day_key(&suite, &s, &key);
	ps_s3_hex(key.key, sizeof(key.key), hex);
	assert_string_equal(hex, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
	s.date = "20150831T000000Z";
	ps_s3_day_key(&suite, &s, &key);
	ps_s3_hex(key.key, sizeof(key.key), hex);
	assert_string_not_equal(hex, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
}

static void hashes_and_dates_are_right(void **state)
{
	(void)state;
	uint8_t hash[S3_SHA256];
	char hex[S3_SHA256_HEX], date[S3_DATE];
	ps_s3_sha256("", 0, hash);
	ps_s3_hex(hash, sizeof(hash), hex);
	assert_string_equal(hex, EMPTY);
	ps_s3_sha256("abc", 3, hash);
	ps_s3_hex(hash, sizeof(hash), hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ps_s3_date(1440938160, date);
	assert_string_equal(date, "20150830T123600Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(signatures_are_those_that_aws_published),
	    cmocka_unit_test(a_days_key_is_the_one_that_aws_published),
	    cmocka_unit_test(hashes_and_dates_are_right),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
