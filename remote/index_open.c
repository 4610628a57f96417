/* Opening and closing of the local index: whose it is, and what is in it. */
#include "remote/local_index.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"
#include "remote/local_index_internal.h"
#include "store/base_store.h"

static_assert(crypto_shorthash_KEYBYTES == INDEX_HASH_KEY && crypto_shorthash_BYTES == 8, "SipHash-2-4");

enum {
	/* Free space between the records of a million keys takes half of it. */
	DEFAULT_BUDGET = 128 << 20,
	LIST_KEEP_BYTES = 256 << 20,
	SUMMARY_FROM = 1 << 14, /* fewer records are looked at as fast as a summary is written */
};

static const uint8_t index_magic[8] = {'P', 'S', 'L', 'I', 'N', 'D', 'E', 'X'};

int index_check(ps_index *index)
{
	return __atomic_load_n(&index->broken, __ATOMIC_ACQUIRE)
	           ? ps_fail(PS_EIO,
	                     "the local index does not know what became of its last commit: open it anew")
	           : PS_OK;
}

void index_note_failure(ps_index *index, int err)
{
	if (err == PS_EIO || err == PS_EREADONLY)
		__atomic_store_n(&index->broken, true, __ATOMIC_RELEASE);
}

uint64_t index_name_hash(const ps_index *index, unsigned kind, const char *name, size_t name_len)
{
	uint8_t text[1 + PS_RECORD_NAME_MAX];
	uint64_t hash;
	assert(name_len <= PS_RECORD_NAME_MAX);
	text[0] = (uint8_t)kind;
	memcpy(text + 1, name, name_len);
	crypto_shorthash((uint8_t *)&hash, text, 1 + name_len, index->hash_key);
	return hash;
}

/* ---- whose it is ---- */

static int encode_binding(const struct ps_index_binding *binding, struct ps_index_bytes *out)
{
	size_t len = binding->store ? strlen(binding->store) : 0;
	if (len == 0 || len > sizeof(out->store))
		return ps_fail(PS_EINVAL, "a store's name has 1 to 255 bytes");
	*out = (struct ps_index_bytes){.format = ps_set32(PS_INDEX_FORMAT), .store_len = (uint8_t)len};
	memcpy(out->magic, index_magic, sizeof(out->magic));
	memcpy(out->network, binding->network, sizeof(out->network));
	memcpy(out->key_check, binding->key_check, sizeof(out->key_check));
	memcpy(out->store, binding->store, len);
	return PS_OK;
}

static int check_binding(const struct ps_index_bytes *is, const struct ps_index_bytes *should)
{
	if (memcmp(is->magic, index_magic, sizeof(is->magic)) != 0)
		return ps_fail(PS_EFORMAT, "this store is not a local index; it is left as it is");
	if (ps_get32(is->format) != PS_INDEX_FORMAT || ps_get32(is->features) > PS_INDEX_HAS_SUMMARY)
		return ps_fail(PS_EVERSION, "the local index has format %u; this program knows %d",
		               ps_get32(is->format), PS_INDEX_FORMAT);
	if (memcmp(is->key_check, should->key_check, sizeof(is->key_check)) != 0)
		return ps_fail(PS_EAUTH, "the local index belongs to another key; it is left as it is");
	if (memcmp(is->network, should->network, sizeof(is->network)) != 0)
		return ps_fail(PS_EAUTH, "the local index belongs to another network; it is left as it is");
	if (is->store_len != should->store_len || memcmp(is->store, should->store, sizeof(is->store)) != 0)
		return ps_fail(PS_EAUTH,
		               "the local index belongs to another store name; it is left as it is");
	bool summary = ps_get32(is->features) == PS_INDEX_HAS_SUMMARY;
	return ps_all_zero(is->reserved, sizeof(is->reserved)) &&
	               summary == (ps_get64(is->summary) != PS_ID_NONE)
	           ? PS_OK
	           : ps_fail(PS_ECORRUPT, "the local index's first object has reserved bytes set");
}

static int fail_if_any(void *arg, ps_id id)
{
	(void)arg, (void)id;
	return 1;
}

static int make_binding(ps_storer *store, const struct ps_index_bytes *bytes)
{
	ps_id id;
	/* The prime object may be there: a crash came before the index had its name. */
	int err = ps_each(store, PS_ID_PRIME + 1, fail_if_any, NULL);
	if (err != PS_OK)
		return err == PS_ECANCELED
		           ? ps_fail(PS_EEXIST, "the store is not empty: no index is made in it")
		           : err;
	err = ps_prime(store, sizeof(*bytes), &id);
	if (err == PS_OK)
		err = ps_replace(store, id, bytes, sizeof(*bytes));
	return err == PS_OK ? ps_sync(store) : err;
}

static int read_binding(ps_storer *store, const struct ps_index_bytes *should, ps_id *summary)
{
	struct ps_index_bytes is;
	size_t got;
	int err = ps_get(store, PS_ID_PRIME, &is, sizeof(is), &got);
	if (err == PS_ENOTFOUND)
		return ps_fail(PS_ECORRUPT,
		               "the local index is empty: it was lost or never made; it is left as it is");
	if (err == PS_ERANGE || (err == PS_OK && got != sizeof(is)))
		return ps_fail(PS_EFORMAT, "this store is not a local index; it is left as it is");
	if (err == PS_OK)
		err = check_binding(&is, should);
	*summary = err == PS_OK ? ps_get64(is.summary) : PS_ID_NONE;
	return err;
}

/* ---- life ---- */

static void init_tables(ps_index *index)
{
	ps_id_table_init(&index->names, &index->memory);
	ps_id_table_init(&index->dirty, &index->memory);
	ps_id_table_init(&index->own, &index->memory);
	ps_id_table_init(&index->held, &index->memory);
	ps_id_table_init(&index->claimed, &index->memory);
	for (unsigned i = 0; i < INDEX_PAD_KINDS; i++)
		ps_id_table_init(&index->free[i], &index->memory);
	for (unsigned i = 0; i < PS_SLOT_STATUSES; i++)
		ps_id_table_init(&index->open[i], &index->memory);
}

static void done_tables(ps_index *index)
{
	ps_id_table_done(&index->names);
	ps_id_table_done(&index->dirty);
	ps_id_table_done(&index->own);
	ps_id_table_done(&index->held);
	ps_id_table_done(&index->claimed);
	for (unsigned i = 0; i < INDEX_PAD_KINDS; i++)
		ps_id_table_done(&index->free[i]);
	for (unsigned i = 0; i < PS_SLOT_STATUSES; i++)
		ps_id_table_done(&index->open[i]);
}

/* The struct holds the memory that all else comes from, so it comes from elsewhere itself. */
static void index_free(ps_index *index)
{
	done_tables(index);
	pthread_mutex_destroy(&index->lock);
	ps_memory_free(&index->memory, index->cells, index->cells_count * sizeof(*index->cells));
	pthread_rwlock_destroy(&index->summary_lock);
	ps_memory_done(&index->memory);
	free(index);
}

static ps_index *index_new(ps_storer *store, const struct ps_allocator_fns *allocator)
{
	ps_index *index = calloc(1, sizeof(*index));
	if (!index)
		return NULL;
	ps_memory_init(&index->memory, allocator);
	index->store = store;
	index->list_keep_bytes = LIST_KEEP_BYTES;
	init_tables(index);
	randombytes_buf(index->hash_key, sizeof(index->hash_key));
	index->summary_from = index->summary_next = SUMMARY_FROM;
	pthread_mutex_init(&index->lock, NULL);
	pthread_rwlock_init(&index->summary_lock, NULL);
	return index;
}

int ps_index_over(ps_storer *store, const struct ps_index_binding *binding, bool make,
                  const struct ps_allocator_fns *allocator, ps_index **index)
{
	struct ps_index_bytes bytes;
	ps_id summary = PS_ID_NONE;
	if (sodium_init() < 0)
		return ps_fail(PS_EIO, "libsodium cannot be initialised");
	int err = encode_binding(binding, &bytes);
	if (err == PS_OK)
		err = make ? make_binding(store, &bytes) : read_binding(store, &bytes, &summary);
	if (err != PS_OK)
		return err;
	ps_index *made = index_new(store, allocator);
	if (!made)
		return ps_fail(PS_ENOMEM, "no memory for a local index");
	made->summary = summary;
	err = index_load(made);
	if (err != PS_OK) {
		index_free(made);
		return err;
	}
	*index = made;
	return PS_OK;
}

int ps_index_close(ps_index *index)
{
	if (!index)
		return PS_OK;
	pthread_mutex_lock(&index->lock);
	size_t open = index->transactions_open;
	pthread_mutex_unlock(&index->lock);
	if (open > 0)
		return ps_fail(PS_EBUSY, "%zu transactions of the local index are open", open);
	/* Without one the next open looks at all records. */
	(void)!index_summary_close(index);
	int err = ps_close(index->store);
	if (err == PS_EBUSY)
		return err;
	index_free(index);
	return err;
}

struct ps_memory *ps_index_memory(ps_index *index)
{
	return &index->memory;
}

/* ---- the file ---- */

struct index_paths {
	char file[PATH_MAX], fresh[PATH_MAX];
};

static int make_paths(const char *folder, struct index_paths *paths)
{
	int len = snprintf(paths->fresh, sizeof(paths->fresh), "%s/index.new", folder);
	if (len < 0 || (size_t)len >= sizeof(paths->fresh))
		return ps_fail(PS_EINVAL, "%.200s…: the path is too long", folder);
	(void)snprintf(paths->file, sizeof(paths->file), "%s/index", folder);
	return PS_OK;
}

static int sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ps_fail_errno(errno, "%s", folder);
	int err = fsync(fd) == 0 ? PS_OK : ps_fail_errno(errno, "%s: the folder cannot be synced", folder);
	(void)close(fd);
	return err;
}

static int open_store(const char *path, const struct ps_index_options *options, int mode, ps_storer **store)
{
	struct ps_base_options base = {.size = sizeof(base), .mode = mode, .durability = PS_DURABLE};
	base.memory_budget = options && options->memory_budget > 0 ? options->memory_budget : DEFAULT_BUDGET;
	if (options && options->allocator) {
		base.alloc = options->allocator->alloc;
		base.resize = options->allocator->resize;
		base.release = options->allocator->release;
		base.alloc_arg = options->allocator->arg;
	}
	return ps_base_open(path, &base, store);
}

/* Under another name first: a file called "index" is whole from the first moment on. */
static int make_fresh(const struct index_paths *paths, const struct ps_index_binding *binding,
                      const struct ps_index_options *options)
{
	ps_storer *store = NULL;
	ps_index *index = NULL;
	int err = open_store(paths->fresh, options, PS_OPEN_DEFAULT, &store);
	if (err == PS_ECORRUPT ||
	    err == PS_EFORMAT) { /* a crash left its beginnings: nothing was ever in it */
		(void)unlink(paths->fresh);
		err = open_store(paths->fresh, options, PS_OPEN_CREATE_NEW, &store);
	}
	if (err != PS_OK)
		return err;
	err = ps_index_over(store, binding, true, NULL, &index);
	int closed = err == PS_OK ? ps_index_close(index) : ps_close(store);
	return err != PS_OK ? err : closed;
}

/* The folder is locked: of several who make it one after the other begins, and finds what the first has made.
 */
static int make_alone(const char *folder, const struct index_paths *paths,
                      const struct ps_index_binding *binding, const struct ps_index_options *options)
{
	if (access(paths->file, F_OK) == 0)
		return ps_fail(PS_EEXIST, "%s: there is a local index already", paths->file);
	int err = make_fresh(paths, binding, options);
	if (err != PS_OK)
		return err;
	if (renameat2(AT_FDCWD, paths->fresh, AT_FDCWD, paths->file, RENAME_NOREPLACE) != 0)
		return ps_fail_errno(errno, "%s cannot be given its name", paths->fresh);
	return sync_folder(folder);
}

int ps_index_make(const char *folder, const struct ps_index_binding *binding,
                  const struct ps_index_options *options)
{
	struct index_paths paths;
	int err = make_paths(folder, &paths);
	if (err != PS_OK)
		return err;
	if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		return ps_fail_errno(errno, "%s", folder);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed = fd < 0 ? errno : ps_file_lock(fd, LOCK_EX);
	err = failed ? ps_fail_errno(failed, "%s: the folder cannot be locked", folder)
	             : make_alone(folder, &paths, binding, options);
	if (fd >= 0)
		(void)close(fd);
	return err;
}

int ps_index_open(const char *folder, const struct ps_index_binding *binding,
                  const struct ps_index_options *options, ps_index **index)
{
	struct index_paths paths;
	ps_storer *store = NULL;
	int err = make_paths(folder, &paths);
	struct stat info;
	if (err != PS_OK)
		return err;
	/* A base store would be made anew in an empty file. */
	if (stat(paths.file, &info) == 0 && info.st_size == 0)
		return ps_fail(PS_ECORRUPT,
		               "%s: the local index was truncated to nothing; it is left as it is",
		               paths.file);
	err = open_store(paths.file, options, PS_OPEN_EXISTING, &store);
	if (err != PS_OK)
		return err;
	err = ps_index_over(store, binding, false, options ? options->allocator : NULL, index);
	if (err != PS_OK)
		(void)!ps_close(store);
	return err;
}
