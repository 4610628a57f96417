/* What S3 answers in XML: error documents and pages of a listing. Bounded in depth and length, without
 * document types and entities of its own. */
#ifndef PS_S3_XML_H
#define PS_S3_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { S3_XML_DEPTH = 8, S3_XML_TEXT = 1100, S3_XML_MAX = 4 << 20, S3_CODE_MAX = 64, S3_MESSAGE_MAX = 96 };

struct s3_error_document {
	char code[S3_CODE_MAX];       /* "NoSuchKey"; empty if there is none */
	char message[S3_MESSAGE_MAX]; /* printable ASCII, cut */
	char server_time[32];         /* of RequestTimeTooSkewed */
};

/* Reads what it can of a document that may be cut; all empty where it is no error document. */
void ps_s3_xml_error(const char *text, size_t len, struct s3_error_document *error);

struct s3_listing {
	/* One object, in the order of the document; false ends the reading (that is no failure). */
	bool (*object)(void *arg, const char *key, uint64_t size);
	void *arg;
	bool truncated; /* out: IsTruncated */
};

/* A ListBucketResult, whole and sound. PS_ECORRUPT with a sentence; what was told by then stays told. */
int ps_s3_xml_listing(const char *text, size_t len, struct s3_listing *listing)
    __attribute__((warn_unused_result));

#endif
