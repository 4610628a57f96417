/* The index as one file: the newest head and the pads that the index lies in, byte for byte as they are on the
 * network. For a network that keeps the values and loses the index.
 *
 * The file is as sealed as the network is: it names no value and holds no key, whoever has it learns how large
 * the index is and how often it was written, and it reads nothing without the store's key. Every byte of it is
 * verified by that key before anything is sent.
 *
 * Common errors and threads: <padstone/remote.h>. */
#ifndef PS_REMOTE_INDEX_H
#define PS_REMOTE_INDEX_H

#include <padstone/remote.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ps_remote_index_result {
	uint64_t head;     /* the number of the file's head */
	char code[48];     /* its head code */
	uint64_t pads;     /* in the file, the head among them */
	uint64_t bytes;    /* of the file */
	uint64_t unsynced; /* export: values whose last change no head has, and so not the file either: sync first */
	uint64_t restored; /* import: pads that were not there, or in an older version, and are now */
	uint64_t kept;     /* import: that were there in this very version */
};

/* Writes the newest head that the network shows and its index to `path`, mode 0600: the whole file is durable
 * under its name, or what had the name before is there as it was. A key that only reads can do it. PS_EEXIST:
 * the file is there, and `replace` is 0. PS_ELOST, PS_EAUTH: the network does not give all of the index. PS_EBUSY:
 * another call is syncing here, or other machines were faster again and again. progress and result may be NULL. */
PS_CHECKED PS_API int ps_remote_export_index(ps_remote *r, const char *path, uint32_t replace,
					     ps_remote_progress_fn progress, void *progress_arg,
					     struct ps_remote_index_result *result);

/* Puts back what the network lost of the index, the head as the last, and opens the store, as ps_remote_open
 * does. Where a head is there that goes back to the file's, only what that head still names is put back; a pad
 * that is there in this version is not sent. After a cut the same call goes on. What came after the file's head
 * is not in it: values that were written anew since are PS_ESUPERSEDED, and machines that have used a later
 * head see a rollback. So where the index went on, and pads of it are left, ps_remote_rebuild is to be asked.
 *
 * Nothing is sent after: PS_ECORRUPT, PS_EFORMAT, PS_EVERSION (it is no such file, or not whole), PS_EAUTH (of
 * another key or store, or altered), PS_EROLLBACK (this machine has used a later head, and the network shows
 * none; or the network shows an older one), PS_EFORK (another history), PS_EEXIST (another store is there under
 * this key and name). PS_ESUPERSEDED: the index went on in one of the file's pads; no head was written. result
 * may be NULL. */
PS_CHECKED PS_API int ps_remote_import_index(const char *url, const struct ps_remote_key *key,
					     const struct ps_remote_options *options, const char *path,
					     ps_remote **r, struct ps_remote_index_result *result);

#ifdef __cplusplus
}
#endif
#endif
