/* Any bytes as the summary that a close of the local index has left: believed or refused, and what is
 * believed can be looked at and closed. The input is objects one after another, each with a length of two
 * bytes: the root first, then its pieces, whose ids are written to the root's end as a close writes them. */
#include <stdlib.h>
#include <string.h>

#include "remote/index_format.h"
#include "remote/local_index.h"
#include "store/memory_store.h"

enum { PIECES = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ps_index_binding binding = {.network = {1}, .key_check = {2}, .store = "main"};

static void must(int holds)
{
	if (!holds)
		abort();
}

struct object {
	const uint8_t *bytes;
	size_t len;
};

static bool next_object(const uint8_t **data, size_t *size, struct object *object)
{
	if (*size < 2)
		return false;
	size_t len = (size_t)((*data)[0] | (*data)[1] << 8);
	if (len > *size - 2)
		len = *size - 2;
	*object = (struct object){*data + 2, len};
	*data += 2 + len;
	*size -= 2 + len;
	return true;
}

static void put_prime(ps_storer *store, ps_id summary)
{
	struct ps_index_bytes prime = {.format = ps_set32(PS_INDEX_FORMAT),
	                               .features = ps_set32(PS_INDEX_HAS_SUMMARY),
	                               .summary = ps_set64(summary),
	                               .store_len = (uint8_t)strlen(binding.store)};
	memcpy(prime.magic, "PSLINDEX", sizeof(prime.magic));
	memcpy(prime.network, binding.network, sizeof(prime.network));
	memcpy(prime.key_check, binding.key_check, sizeof(prime.key_check));
	memcpy(prime.store, binding.store, prime.store_len);
	must(ps_prime(store, sizeof(prime), NULL) == PS_OK);
	must(ps_replace(store, PS_ID_PRIME, &prime, sizeof(prime)) == PS_OK);
}

static ps_id put_summary(ps_storer *store, const struct object *root, const uint8_t *data, size_t size)
{
	ps_le64 ids[PIECES];
	struct object piece;
	size_t count = 0;
	ps_id id;
	while (count < PIECES && next_object(&data, &size, &piece)) {
		must(ps_put(store, piece.bytes, piece.len, &id) == PS_OK);
		ids[count++] = ps_set64(id);
	}
	uint8_t *bytes = malloc(root->len + 1);
	must(bytes != NULL);
	memcpy(bytes, root->bytes, root->len);
	if (count * sizeof(ids[0]) <= root->len)
		memcpy(bytes + root->len - count * sizeof(ids[0]), ids, count * sizeof(ids[0]));
	must(ps_put(store, bytes, root->len, &id) == PS_OK);
	free(bytes);
	return id;
}

static int look(void *arg, const struct ps_record *record)
{
	(void)arg, (void)record;
	return 0;
}

/* A first change takes the summary away. */
static void change(ps_index *index)
{
	ps_index_txn *txn;
	must(ps_index_begin(index, &txn) == PS_OK);
	(void)!ps_txn_set_note(txn, PS_NOTE_OTHER, "x", 1);
	(void)!ps_index_commit(txn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct object root;
	ps_storer *store;
	ps_index *index;
	if (!next_object(&data, &size, &root))
		return 0;
	must(ps_memory_open(NULL, &store) == PS_OK);
	put_prime(store, put_summary(store, &root, data, size));
	if (ps_index_over(store, &binding, false, NULL, &index) != PS_OK) {
		must(ps_close(store) == PS_OK);
		return 0;
	}
	(void)!ps_index_list(index, PS_RECORD_BLOB, NULL, PS_LIST_SLOTS, look, NULL);
	(void)!ps_index_verify(index, NULL, NULL);
	change(index);
	must(ps_index_close(index) == PS_OK);
	return 0;
}
