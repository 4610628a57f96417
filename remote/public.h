/* Public values: what anybody reads who has the address, with no key.
 *
 * An address is a capability of 112 letters and digits: who has it reads the value as it is now and as it
 * will be, and nothing else; it never changes while the value is public. What it shows is written by who has
 * the key: a value is public from ps_remote_put_public or ps_remote_publish on, ps_remote_put and
 * ps_remote_update keep it so, and ps_remote_unpublish and ps_remote_remove end the address for good. Pads
 * that were public never hold private bytes, nor the other way round: each such change writes the value anew.
 *
 * Readers hold a ps_public, which has no key and writes nothing to the network. What they have seen of an
 * address is remembered in the state folder, durable before it is used, so that nothing older passes later.
 *
 * As remote.h has it: PS_OK or a negative ps_error, out parameters untouched on failure, any thread, any
 * time; and its common errors. */
#ifndef PS_PUBLIC_H
#define PS_PUBLIC_H

#include <padstone/remote.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An address as text, with its NUL. Case, blanks and dashes do not count when it is read, and O, I and L are
 * taken for the digits they look like. */
#define PS_PUBLIC_ADDRESS 113

/* ---- with the key ---- */

/* As ps_remote_put and ps_remote_put_stream, for a value that is public from then on. What is private under
 * the key is replaced where `replace` is set. Before the call returns the address shows the whole value;
 * until then it shows what it showed. Common to all calls here and to put, update and remove of a public key:
 * PS_ESUPERSEDED: another machine has written what the address shows, and this one has not taken it yet:
 * sync, then again. If that is found only at the end, the contents are kept as the private key "KEY (conflict
 * MACHINE N)", as the sentence says. PS_EROLLBACK, PS_ELOST, PS_EAUTH: the network does not show what was
 * written (ps_remote_publish with take_over writes it anew). After any other failure the same call goes on;
 * until then PS_EBUSY from release, and rename carries it out first. */
PS_CHECKED PS_API int ps_remote_put_public(ps_remote *r, const char *key, const void *data, size_t len,
                                           const struct ps_remote_put *options);
PS_CHECKED PS_API int ps_remote_put_public_stream(ps_remote *r, const char *key, uint64_t size,
                                                  ps_remote_read_fn read, void *arg,
                                                  const struct ps_remote_put *options);

/* Begins with its size. */
struct ps_remote_publish {
	size_t size;        /* sizeof(struct ps_remote_publish) */
	uint32_t take_over; /* 1: of a public key: its address shows this machine's value again, whatever is
	                       there: another machine's that was never synced, or nothing. What it showed is
	                       lost. PS_ENOTFOUND: it was ended: unpublish it first */
	int mode, verify;   /* of the new pads, as in struct ps_remote_put */
	uint64_t max_pads;
	double max_cost;
	ps_remote_progress_fn progress;
	void *progress_arg;
};

/* A private value becomes public: fetched, and written to new pads. One that is public stays as it is.
 * address (may be NULL) has room for PS_PUBLIC_ADDRESS. options may be NULL. PS_ENOTFOUND: there is no value.
 */
PS_CHECKED PS_API int ps_remote_publish(ps_remote *r, const char *key,
                                        const struct ps_remote_publish *options, char *address);
/* A public value becomes private: written to new pads; then its address ends, and tells so. take_over is not
 * looked at. PS_ENOTFOUND: there is no public value. */
PS_CHECKED PS_API int ps_remote_unpublish(ps_remote *r, const char *key,
                                          const struct ps_remote_publish *options);
/* The address of a public value, into PS_PUBLIC_ADDRESS bytes. PS_ENOTFOUND: there is no public value;
 * PS_EREADONLY: a key that only reads does not know it. Asks no network. */
PS_CHECKED PS_API int ps_remote_address(ps_remote *r, const char *key, char *address);

/* ---- with an address ---- */

/* A network as a reader without a key sees it. */
typedef struct ps_public ps_public;

/* Of the options: state, workers, depth, max_inflight, timeout_ms, retries, max_cost, rates, bytes_down,
 * requests, progress, what is the network's, and the allocator; the rest is not looked at. options may be
 * NULL. */
PS_CHECKED PS_API int ps_public_open(const char *url, const struct ps_remote_options *options, ps_public **p);
/* PS_EBUSY while a call is under way: nothing changed. NULL is PS_OK. */
PS_API int ps_public_close(ps_public *p);
/* Whether a text is an address: its form and its check. PS_EINVAL with a sentence. Asks nobody. */
PS_CHECKED PS_API int ps_public_check_address(const char *address);

struct ps_public_info {
	uint64_t size;
	uint64_t version; /* counts what the address has shown */
	uint64_t pads;    /* that hold it */
	uint8_t hash[32]; /* BLAKE2b-256 over the BLAKE2b-256 hashes of its pads' contents */
	uint32_t first;   /* 1: this machine had not seen the address before: that it is the newest version is
	                     taken on   trust */
};
/* What the address shows now. Common to the calls below: PS_EINVAL (no address: a slip of the pen),
 * PS_ENOTFOUND (it was taken back, as the sentence says; or nothing was ever there: another network?),
 * PS_EROLLBACK (older than what was seen here), PS_EFORK (another value of a version seen here), PS_ELOST
 * (gone, or a pad of it), PS_EAUTH (not what was written, or of another network), PS_EBUSY (changed again and
 * again meanwhile), PS_ECORRUPT, PS_EVERSION (written by a newer program). */
PS_CHECKED PS_API int ps_public_stat(ps_public *p, const char *address, struct ps_public_info *info);
/* The whole value, of one version, verified against its hash. PS_ERANGE if cap is too small, with the size in
 * *len. */
PS_CHECKED PS_API int ps_public_get(ps_public *p, const char *address, void *buf, size_t cap, size_t *len);
/* A range of one version; *got < len only at the end. */
PS_CHECKED PS_API int ps_public_read_at(ps_public *p, const char *address, uint64_t offset, void *buf,
                                        size_t len, size_t *got);
/* From `offset` on, `len` bytes or up to the end, in order, all of one version. PS_EBUSY also where the value
 * is changed after `write` was given a part of it; whoever can take that back calls again. */
PS_CHECKED PS_API int ps_public_get_stream(ps_public *p, const char *address, uint64_t offset, uint64_t len,
                                           ps_remote_write_fn write, void *arg);

#ifdef __cplusplus
}
#endif
#endif
