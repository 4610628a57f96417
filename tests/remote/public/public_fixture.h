/* What the tests of public values share: a reader without a key, with a state folder of its own. */
#ifndef PUBLIC_FIXTURE_H
#define PUBLIC_FIXTURE_H

#include "remote/public_view.h"
#include "tests/remote/sync/sync_fixture.h"

enum { PAD = 128 << 10 };

struct reader {
	char folder[128];
	struct ps_public p;
	char url[256];
};

/* Of this store's network. */
struct reader *reader_new(struct blobs *b);
struct reader *reader_of(const char *url);
void reader_free(struct reader *reader);
/* Without its workers and network: what it has seen stays. */
void reader_reopen(struct reader *reader);
/* The address shows exactly this, whole and in parts. */
void reader_expect(struct reader *reader, const char *address, size_t len, uint64_t seed);
/* PS_OK only if it is exactly this. */
int reader_get(struct reader *reader, const char *address, size_t len, uint64_t seed);

void put_public(struct blobs *b, const char *key, size_t len, uint64_t seed, char address[PS_PUBLIC_ADDRESS]);
struct ps_pad_name name_of_address(const char *address);
/* The slots of a key, and of its index pad. */
void get_record(struct blobs *b, const char *key, struct ps_record *record);

#endif
