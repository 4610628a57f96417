/* Row A26 of the attack table: who stands between us and an S3 endpoint, with a certificate that is almost
 * right. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/remote/pad_fixture.h"
#include "tests/remote/s3_world.h"

enum { ROUNDS = 3, DAY = 24 * 60 * 60 };

enum trick {
	OTHER_CA,      /* signed by another, which bears the same name */
	SELF_SIGNED,   /* by nobody else */
	EXPIRED,       /* yesterday, or long ago */
	NOT_YET_VALID, /* from tomorrow on */
	OTHER_ADDRESS,
	OTHER_NAME,  /* our address stands in its subject only */
	FOR_CLIENTS, /* is not to be a server's */
	BAD_SIGNATURE,
	TRICKS,
	NONE,
};

static const char *const trick_names[TRICKS] = {
    "another CA",      "signed by itself", "expired",     "not yet valid",
    "another address", "another name",     "for clients", "a signature that is not the CA's"};

static char folder[] = "/tmp/padstone-certificates-XXXXXX";

struct authority {
	EVP_PKEY *key;
	X509 *certificate;
	char path[64];
};

static void extend(X509 *certificate, X509 *issuer, int what, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, what, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* Unsigned, for the key, from `from` to `until` seconds from now. */
static X509 *certificate_for(EVP_PKEY *key, const char *name, long from, long until, uint64_t number)
{
	X509 *certificate = X509_new();
	assert_non_null(certificate);
	assert_int_equal(X509_set_version(certificate, 2), 1);
	assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), number), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), from));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), until));
	assert_int_equal(X509_set_pubkey(certificate, key), 1);
	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
	                                            (const unsigned char *)name, -1, -1, 0),
	                 1);
	return certificate;
}

static void authority_new(struct authority *ca, const char *file)
{
	ca->key = EVP_EC_gen("P-256");
	assert_non_null(ca->key);
	ca->certificate = certificate_for(ca->key, "The only CA", -DAY, DAY, 1);
	assert_int_equal(X509_set_issuer_name(ca->certificate, X509_get_subject_name(ca->certificate)), 1);
	extend(ca->certificate, ca->certificate, NID_basic_constraints, "critical,CA:TRUE");
	extend(ca->certificate, ca->certificate, NID_subject_key_identifier, "hash");
	assert_true(X509_sign(ca->certificate, ca->key, EVP_sha256()) > 0);
	snprintf(ca->path, sizeof(ca->path), "%s/%s", folder, file);
	FILE *to = fopen(ca->path, "w");
	assert_non_null(to);
	assert_int_equal(PEM_write_X509(to, ca->certificate), 1);
	assert_int_equal(fclose(to), 0);
}

static void authority_done(struct authority *ca)
{
	X509_free(ca->certificate);
	EVP_PKEY_free(ca->key);
}

/* What the address is said to be. */
static void name_it(X509 *certificate, enum trick trick, struct dice *dice)
{
	static const char *const names[] = {"DNS:127.0.0.1.example", "DNS:*.0.0.1", "DNS:localhost"};
	char text[64];
	if (trick == OTHER_ADDRESS)
		snprintf(text, sizeof(text), "IP:127.%u.%u.2", (unsigned)dice_below(dice, 256),
		         (unsigned)dice_below(dice, 256));
	else
		snprintf(text, sizeof(text), "%s",
		         trick == OTHER_NAME ? names[dice_below(dice, 3)] : "IP:127.0.0.1");
	extend(certificate, certificate, NID_subject_alt_name, text);
}

/* A server's certificate and key in one file: right but for the trick. */
static void leaf_new(const struct authority *ours, const struct authority *theirs, enum trick trick,
                     struct dice *dice, char path[64])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	long soon = DAY + (long)dice_below(dice, 365) * DAY;
	long from = trick == NOT_YET_VALID ? soon : -2 * soon, until = trick == EXPIRED ? -soon : 2 * soon;
	const struct authority *by = trick == OTHER_CA ? theirs : ours;
	assert_non_null(key);
	X509 *leaf = certificate_for(key, "127.0.0.1", from, until, 2 + dice_below(dice, 1U << 30));
	X509_NAME *issuer = X509_get_subject_name(trick == SELF_SIGNED ? leaf : by->certificate);
	assert_int_equal(X509_set_issuer_name(leaf, issuer), 1);
	name_it(leaf, trick, dice);
	if (trick != SELF_SIGNED)
		extend(leaf, by->certificate, NID_authority_key_identifier, "keyid:always");
	extend(leaf, leaf, NID_ext_key_usage, trick == FOR_CLIENTS ? "clientAuth" : "serverAuth");
	/* Who has not got our CA's key can but name it, and sign with another. */
	EVP_PKEY *signer = trick == SELF_SIGNED ? key : trick == BAD_SIGNATURE ? theirs->key : by->key;
	assert_true(X509_sign(leaf, signer, EVP_sha256()) > 0);
	snprintf(path, 64, "%s/leaf", folder);
	FILE *to = fopen(path, "w");
	assert_non_null(to);
	assert_int_equal(PEM_write_X509(to, leaf), 1);
	assert_int_equal(PEM_write_PrivateKey(to, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(to), 0);
	X509_free(leaf);
	EVP_PKEY_free(key);
}

static void expect_open(struct s3_server *server, const struct authority *ca, bool read_only, int should,
                        const char *what)
{
	struct ps_network_options options = {
	    .size = sizeof(options), .ca_file = ca->path, .read_only = read_only};
	ps_network *network = NULL;
	char url[S3_URL];
	s3_world_url(server, "p", url);
	int err = s3_world_try_open(url, &options, &network);
	if (err != should)
		fail_msg("%s: %s instead of %s (%s)", what, ps_error_name(err), ps_error_name(should),
		         ps_last_error_message());
	ps_network_close(network);
}

static void no_request_goes_to_who_has_another_certificate(void **state)
{
	struct dice dice = dice_seeded(__func__);
	struct authority ours, theirs;
	char path[64];
	(void)state;
	authority_new(&ours, "ours");
	authority_new(&theirs, "theirs");
	for (unsigned i = 0; i < TRICKS * ROUNDS; i++) {
		enum trick trick = (enum trick)(i % TRICKS);
		leaf_new(&ours, &theirs, trick, &dice, path);
		struct s3_server *server = s3_server_start(0, path);
		assert_non_null(server);
		expect_open(server, &ours, i % 2 == 0, PS_EAUTH, trick_names[trick]);
		assert_non_null(strstr(ps_last_error_message(), "certificate"));
		assert_int_equal(s3_server_requests(server, ~0U), 0);
		s3_server_stop(server);
	}
	/* All that is refused is the trick. */
	leaf_new(&ours, &theirs, NONE, &dice, path);
	struct s3_server *server = s3_server_start(0, path);
	assert_non_null(server);
	expect_open(server, &ours, false, PS_OK, "ours");
	expect_open(server, &theirs, false, PS_EAUTH, "ours, where another is trusted");
	assert_true(s3_server_requests(server, ~0U) > 0);
	s3_server_stop(server);
	authority_done(&ours);
	authority_done(&theirs);
}

static int begin(void **state)
{
	(void)state;
	s3_server_credentials();
	return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state)
{
	static const char *const files[] = {"ours", "theirs", "leaf"};
	char path[64];
	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		(void)unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_request_goes_to_who_has_another_certificate),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
