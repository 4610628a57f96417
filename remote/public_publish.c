/* From private to public and back, and addresses. Either way the value is written to pads of the other class.
 */
#include <padstone/public.h>

#include "base/fail.h"
#include "remote/public_address.h"
#include "remote/put_internal.h"

static_assert(PS_PUBLIC_ADDRESS == PS_ADDRESS_TEXT, "as public.h says");

/* ---- addresses ---- */

static int tell_address(ps_remote *r, const struct ps_record *record, char *text)
{
	struct ps_address address;
	if (!text)
		return PS_OK;
	int err = ps_keys_public_key(r->keys, &record->index_pad.serial, address.public_key);
	if (err != PS_OK)
		return err;
	ps_keys_content_key(r->keys, &record->index_pad.serial, 1, address.read_key);
	ps_address_print(&address, text);
	sodium_memzero(&address, sizeof(address));
	return PS_OK;
}

static int look_up(ps_remote *r, const char *key, struct ps_record *record)
{
	int err = ps_index_look(r->index, PS_RECORD_BLOB, key, strlen(key), record);
	if (err == PS_ENOTFOUND || (err == PS_OK && !ps_record_has_contents(record)))
		return ps_fail(PS_ENOTFOUND, "there is no value under \"%.64s\"", key);
	return err;
}

static int look_up_public(ps_remote *r, const char *key, struct ps_record *record)
{
	int err = look_up(r, key, record);
	if (err == PS_OK && !ps_record_is_public(record))
		err = ps_fail(PS_ENOTFOUND, "\"%.64s\" is not public", key);
	return err;
}

int ps_remote_address(ps_remote *r, const char *key, char *address)
{
	struct ps_operation op;
	struct ps_record record;
	if (!key || !address)
		return ps_fail(PS_EINVAL, "ps_remote_address: an argument is NULL");
	int err = ps_operation_begin(&op, r, "address", key, 0, NULL, NULL);
	if (err != PS_OK)
		return err;
	op.progress = NULL;
	err = look_up_public(r, key, &record);
	if (err == PS_OK)
		err = tell_address(r, &record, address);
	(void)ps_operation_fail(&op, err);
	return ps_operation_end(&op);
}

/* ---- public from the beginning ---- */

int ps_remote_put_public(ps_remote *r, const char *key, const void *data, size_t len,
                         const struct ps_remote_put *options)
{
	struct put put = {.data = data, .size = len, .become = PUT_PUBLIC};
	if (!data && len > 0)
		return ps_fail(PS_EINVAL, "ps_remote_put_public: the data are NULL");
	return put_run(r, key, "put", &put, options);
}

int ps_remote_put_public_stream(ps_remote *r, const char *key, uint64_t size, ps_remote_read_fn read,
                                void *arg, const struct ps_remote_put *options)
{
	struct put put = {.read = read, .read_arg = arg, .size = size, .become = PUT_PUBLIC};
	if (!read)
		return ps_fail(PS_EINVAL, "ps_remote_put_public_stream: the callback is NULL");
	return put_run(r, key, "put", &put, options);
}

/* ---- from one to the other ---- */

int ps_own_value_read(void *arg, void *buf, size_t len, size_t *got)
{
	struct ps_own_value *own = arg;
	struct ps_remote_info info;
	int err = own->offset == 0 ? ps_remote_stat(own->r, own->key, &info) : PS_OK;
	if (err == PS_OK && own->offset == 0 && info.size != own->size)
		err = ps_fail(PS_EBUSY, "\"%.64s\" was changed meanwhile", own->key);
	if (err == PS_OK)
		err = ps_remote_read_at(own->r, own->key, own->offset, buf, len, got, NULL);
	if (err == PS_OK)
		own->offset += *got;
	return err;
}

/* The key is this call's from the put's beginning on: what is read is what was there then. */
static int write_anew(ps_remote *r, const char *key, const struct ps_remote_publish *options,
                      enum put_public become)
{
	static const char *const names[] = {
	    [PUT_AS_IT_IS] = "rename", [PUT_PUBLIC] = "publish", [PUT_PRIVATE] = "unpublish"};
	struct ps_remote_put how = {.size = sizeof(how), .replace = 1};
	struct ps_own_value own = {.r = r, .key = key};
	struct put put = {.read = ps_own_value_read,
	                  .read_arg = &own,
	                  .become = become,
	                  .rewrites = become == PUT_AS_IT_IS};
	struct ps_record record;
	int err = look_up(r, key, &record);
	if (err != PS_OK)
		return err;
	put.size = own.size = record.content.size;
	if (options) {
		how.mode = options->mode;
		how.verify = options->verify;
		how.max_pads = options->max_pads;
		how.max_cost = options->max_cost;
		how.progress = options->progress;
		how.progress_arg = options->progress_arg;
	}
	if (how.mode == 0)
		how.mode = PS_REMOTE_SMALL + record.content.mode;
	return put_run(r, key, names[become], &put, &how);
}

int ps_blob_write_anew(ps_remote *r, const char *key)
{
	return write_anew(r, key, NULL, PUT_AS_IT_IS);
}

static int show_again(struct ps_operation *op)
{
	struct ps_record record = {0};
	const char *key = op->shown.key;
	int err = ps_index_get(op->r->index, PS_RECORD_BLOB, key, strlen(key), &record);
	if (err == PS_OK)
		err = op->group ? PS_OK : ps_operation_group(op);
	if (err == PS_OK)
		err = ps_public_show_again(op, &record);
	ps_record_done(&record);
	return err;
}

/* What an interrupted call left is carried out first: that may be all there is to do. */
static int settle_first(struct ps_operation *op, bool take_over)
{
	struct ps_record record;
	bool resumed;
	int err = look_up(op->r, op->shown.key, &record);
	if (err == PS_OK && take_over && ps_record_is_public(&record))
		return show_again(op);
	return ps_public_resume(op, &resumed);
}

static int begin(ps_remote *r, const char *key, const char *name, const struct ps_remote_publish *options,
                 bool *is_public)
{
	struct ps_operation op;
	struct ps_record record;
	if (!key || (options && options->size != sizeof(*options)))
		return ps_fail(PS_EINVAL, "ps_remote_%s: the key is NULL, or the options have another size",
		               name);
	int err = ps_operation_begin(&op, r, name, key, PS_OP_LOCKS, NULL, NULL);
	if (err != PS_OK)
		return err;
	op.progress = NULL;
	if (!ps_keys_can_write(r->keys))
		err = ps_fail(PS_EREADONLY, "a key that only reads publishes nothing");
	if (err == PS_OK)
		err = settle_first(&op, options && options->take_over);
	if (err == PS_OK)
		err = look_up(r, key, &record);
	*is_public = err == PS_OK && ps_record_is_public(&record);
	(void)ps_operation_fail(&op, err);
	return ps_operation_end(&op);
}

int ps_remote_publish(ps_remote *r, const char *key, const struct ps_remote_publish *options, char *address)
{
	struct ps_record record;
	bool is_public = false;
	int err = begin(r, key, "publish", options, &is_public);
	/* What was taken over shows pads that the other machine may free, if it comes back. */
	bool taken_over = is_public && options && options->take_over && !ps_manager_alone(r);
	if (err == PS_OK && (!is_public || taken_over))
		err = write_anew(r, key, options, PUT_PUBLIC);
	if (err == PS_OK)
		err = look_up_public(r, key, &record);
	return err == PS_OK ? tell_address(r, &record, address) : err;
}

int ps_remote_unpublish(ps_remote *r, const char *key, const struct ps_remote_publish *options)
{
	struct ps_remote_publish without =
	    options ? *options : (struct ps_remote_publish){.size = sizeof(without)};
	struct ps_record record;
	bool is_public = false, resumed = false;
	if (key && r && look_up_public(r, key, &record) == PS_OK)
		resumed = true; /* it was public when the call began */
	without.take_over = 0;
	int err = begin(r, key, "unpublish", &without, &is_public);
	if (err == PS_OK && is_public)
		return write_anew(r, key, &without, PUT_PRIVATE);
	if (err == PS_OK && !resumed)
		err = ps_fail(PS_ENOTFOUND, "\"%.64s\" is not public", key);
	return err;
}
