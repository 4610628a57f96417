/* Who we are to an S3 endpoint. From AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or from
 * a profile of the shared credentials file; never from a URL or a command line. */
#ifndef PS_S3_CREDENTIALS_H
#define PS_S3_CREDENTIALS_H

#include <stdbool.h>

#include "base/memory.h"

enum { S3_ACCESS_KEY_MAX = 128, S3_SECRET_MAX = 256, S3_SESSION_MAX = 4096 };

struct s3_credentials {
	char access_key[S3_ACCESS_KEY_MAX + 1];
	char secret[S3_SECRET_MAX + 1];
	char session[S3_SESSION_MAX + 1]; /* empty: none */
};

/* `profile` empty: the environment's keys if they are there, else the profile AWS_PROFILE, else "default". A
 * profile that is named wins over keys in the environment. The file is AWS_SHARED_CREDENTIALS_FILE or
 * ~/.aws/credentials. In locked memory where the system lets us. PS_EACCES (there are none, or they are not
 * complete; the sentence says where they were looked for), PS_ENOMEM, PS_EINVAL. */
int ps_s3_credentials_find(struct ps_memory *memory, const char *profile, struct s3_credentials **credentials)
    __attribute__((warn_unused_result));
/* Wiped, then freed. NULL is fine. */
void ps_s3_credentials_free(struct ps_memory *memory, struct s3_credentials *credentials);

#endif
