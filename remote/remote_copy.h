/* A second network with the same pads, byte for byte: what is lost on one is there on the other.
 *
 * A copy is made of what the newest head names: the pads of all values, of the index, and the head as the last.
 * It serves as witness (options.witness: nobody shows an old state as the newest), as fallback
 * (options.fallback: pads that the first network lost are read and repaired from it), and as a store: opened by
 * its own URL with the same key, when the first network is no more. Then the copy is the store, and nothing is
 * to be changed by the first URL any more: what both have changed is a fork. Nothing is sealed for a copy, so a
 * key that only reads makes one as well.
 *
 * Common errors and threads: <padstone/remote.h>. */
#ifndef PS_REMOTE_COPY_H
#define PS_REMOTE_COPY_H

#include <padstone/remote.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Begins with its size; zero means the default everywhere. */
struct ps_remote_copy {
	size_t size;     /* sizeof(struct ps_remote_copy) */
	uint32_t create; /* 1: makes what the URL names (folder, …) */
	uint32_t all;    /* 1: looks at every pad, also at those that the copy was given before; else only at what is
			    changed since the head that it has */
	uint32_t behind; /* 1: also over a copy so old that the newest head does not list its head any more (256
			    heads): that it is of the same history is not proven then */
	/* Of the second network. */
	const char *region, *profile, *ca_file; /* s3: */
	const char *config, *user, *keyring;    /* rados: */
	/* Hears of each pad that the first network does not give. May be NULL. */
	void (*finding)(void *arg, const char *key, uint64_t pad, int error, const char *sentence);
	void *finding_arg;
	ps_remote_progress_fn progress;
	void *progress_arg;
};

struct ps_remote_copy_result {
	uint64_t head;             /* the number of the head that both networks have now */
	char code[48];             /* its head code */
	uint64_t looked;           /* pads that the copy was asked for */
	uint64_t kept;             /* there already, in this very version */
	uint64_t created, replaced; /* sent: new there; in place of an older version */
	uint64_t missing;          /* that the first network does not give: told also when the call fails */
	uint64_t sent_bytes;       /* of records */
};

/* Brings a second network to the newest state that the first one has. What was synced is copied; what was not
 * stays behind. Each pad is verified before it is written; one that is there in the same version is not sent
 * again, so a call that was cut off goes on where it was, without any note of it. Larger than what one of the
 * second network's records holds: PS_ERANGE before anything is sent. result may be NULL; it is written also
 * where pads were missing.
 *
 * PS_ELOST: the first network does not give some pads: all others are there, but not the new head. PS_EEXIST:
 * the second network has a store of its own under this key and name. PS_EROLLBACK: the copy is newer than what
 * the first network shows; PS_EFORK: it has another history. PS_EBUSY: a sync is under way here, or other
 * machines were faster again and again. PS_EQUOTA: more pads or a higher price than the remote's options allow;
 * what was sent stays. PS_EINVAL: both are the same network. */
PS_CHECKED PS_API int ps_remote_copy(ps_remote *r, const char *url, const struct ps_remote_copy *options,
				     struct ps_remote_copy_result *result);

#ifdef __cplusplus
}
#endif
#endif
