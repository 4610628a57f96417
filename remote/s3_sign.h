/* Signature Version 4 (AWS, "Signing AWS API requests"), for requests whose headers we choose ourselves. */
#ifndef PS_S3_SIGN_H
#define PS_S3_SIGN_H

#include "remote/s3_credentials.h"

enum {
	S3_SHA256 = 32,
	S3_SHA256_HEX = 2 * S3_SHA256 + 1,
	S3_DATE = 17,        /* "20260131T235959Z" */
	S3_HEADERS_MAX = 16, /* that are signed */
	S3_AUTHORIZATION_MAX = 640,
};

/* One that is signed: its name in lower case, its value without space at either end. */
struct s3_header {
	const char *name, *value;
};

struct s3_signed {
	const char *method;
	const char *path;                /* as it is sent, escaped */
	const char *query;               /* as it is sent: escaped, sorted by name; "" for none */
	const struct s3_header *headers; /* sorted by name */
	size_t header_count;
	const char *payload; /* hash of the body, in hex */
	const char *date;    /* as in the header x-amz-date */
	const char *region, *service;
};

/* The key that signs a day's requests: worth keeping, wiped by its owner. All zero: none yet. */
struct s3_signing_key {
	char day[9];
	uint8_t key[S3_SHA256];
};

void ps_s3_sha256(const void *data, size_t len, uint8_t hash[S3_SHA256]);
void ps_s3_hex(const uint8_t *bytes, size_t n, char *hex); /* 2n + 1 characters */
/* A time as the signature wants it. */
void ps_s3_date(int64_t seconds, char date[S3_DATE]);
/* Makes the key anew where it is not of this date's day. */
void ps_s3_day_key(const struct s3_credentials *credentials, const struct s3_signed *s,
                   struct s3_signing_key *key);
/* The value of the header Authorization. */
void ps_s3_sign(const struct s3_credentials *credentials, const struct s3_signed *s,
                struct s3_signing_key *key, char authorization[S3_AUTHORIZATION_MAX]);

#endif
