/* Making, opening and closing a remote. Nothing is believed to be empty: a store that this machine does not
 * know, or whose index is missing or not its own, is refused, and left as it is. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fail.h"
#include "remote/anchor.h"
#include "remote/key_file.h"
#include "remote/manager_internal.h"
#include "remote/usage.h"

enum {
	DEFAULT_DEPTH = 10,
	DEFAULT_RECYCLES = 3,
	DEFAULT_TIMES = 3,
	DEFAULT_GAP_S = 3600,
	MOST_WORKERS = 8,
};
static const uint64_t default_inflight = (uint64_t)128 << 20;

uint64_t ps_remote_wall_ns(ps_remote *r)
{
	return r->seams.wall_ns ? r->seams.wall_ns(r->seams.wall_arg) : ps_wall_ns();
}

/* ---- options ---- */

static uint32_t or32(uint32_t given, uint32_t otherwise)
{
	return given > 0 ? given : otherwise;
}

static uint32_t processors(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	return count < MOST_WORKERS ? (uint32_t)count : MOST_WORKERS;
}

static int take_options(ps_remote *r, const struct ps_remote_options *o)
{
	if (o && o->size != sizeof(*o))
		return ps_fail(PS_EINVAL, "ps_remote_open: options of %zu bytes (%zu expected)", o->size,
		               sizeof(*o));
	if (o)
		r->options = *o;
	if (r->options.mode < 0 || r->options.mode > PS_REMOTE_LARGE || r->options.verify < 0 ||
	    r->options.verify > PS_REMOTE_VERIFY_READ)
		return ps_fail(PS_EINVAL, "ps_remote_open: no such mode or way to verify");
	if (o && o->head_code && strlen(o->head_code) >= sizeof(r->head_code))
		return ps_fail(PS_EINVAL, "ps_remote_open: this is no head code");
	if (o && o->head_code)
		memcpy(r->head_code, o->head_code, strlen(o->head_code) + 1);
	/* Whatever the strings were, they are the caller's again after the call. */
	r->options.store = r->options.state = r->options.region = r->options.profile = NULL;
	r->options.head_code = r->options.witness = r->options.fallback = NULL;
	r->options.ca_file = r->options.config = r->options.user = r->options.keyring = NULL;
	r->options.workers = or32(r->options.workers, processors());
	r->options.depth = or32(r->options.depth, DEFAULT_DEPTH);
	r->options.max_recycles = or32(r->options.max_recycles, DEFAULT_RECYCLES);
	r->options.not_found_times = or32(r->options.not_found_times, DEFAULT_TIMES);
	r->options.not_found_gap_s = or32(r->options.not_found_gap_s, DEFAULT_GAP_S);
	if (r->options.max_inflight == 0)
		r->options.max_inflight = default_inflight;
	return PS_OK;
}

static struct ps_allocator_fns allocator_of(const struct ps_remote_options *o)
{
	struct ps_allocator_fns fns = {0};
	if (o && o->size == sizeof(*o))
		fns = (struct ps_allocator_fns){o->alloc, o->resize, o->release, o->alloc_arg};
	return fns;
}

/* ---- its parts ---- */

static bool caller_stops(void *arg)
{
	const ps_remote *r = arg;
	const struct ps_remote_progress waiting = {.operation = "open", .phase = PS_REMOTE_RUNNING};
	return r->options.progress(r->options.progress_arg, &waiting) != 0;
}

static struct ps_network_options network_options(ps_remote *r, const struct ps_remote_setup *setup,
                                                 const struct ps_allocator_fns *fns)
{
	const struct ps_remote_options *o = setup->options;
	struct ps_network_options options = {.size = sizeof(options), .depth = r->options.depth};
	options.timeout_ms = r->options.timeout_ms;
	options.allocator = fns;
	options.read_only = !setup->keys || !ps_keys_can_write(setup->keys);
	if (r->options.progress) {
		options.stop = caller_stops;
		options.stop_arg = r;
	}
	if (o) {
		options.create = setup->init && o->create;
		options.region = o->region;
		options.profile = o->profile;
		options.ca_file = o->ca_file;
		options.config = o->config;
		options.user = o->user;
		options.keyring = o->keyring;
	}
	return options;
}

/* Before anything of the network is believed. */
static int ask_witness(ps_remote *r, const struct ps_remote_setup *setup, const struct ps_allocator_fns *fns)
{
	struct ps_network_options options = network_options(r, setup, fns);
	ps_network *witness;
	if (!setup->options || !setup->options->witness || r->head_code[0])
		return PS_OK;
	options.read_only = true;
	options.create = false;
	int err = ps_network_open(setup->options->witness, &options, &witness);
	if (err != PS_OK)
		return err;
	err = ps_sync_ask_witness(r, witness);
	ps_network_close(witness);
	return err;
}

static int open_network(ps_remote *r, const struct ps_remote_setup *setup, const struct ps_allocator_fns *fns)
{
	struct ps_network_options options = network_options(r, setup, fns);
	int err = ps_network_open(setup->url, &options, &r->network);
	for (unsigned mode = 0; mode < PS_MODES && err == PS_OK; mode++) {
		r->payloads[mode] = ps_pad_capacity(mode, ps_network_largest(r->network));
		if (r->payloads[mode] == 0)
			err = ps_fail(PS_ENOTSUP, "%s: its records are too small for any pad",
			              ps_network_url(r->network));
	}
	return err;
}

/* One that is named and not to be had is an error now: found out when it is needed, it would be too late. */
static int open_fallback(ps_remote *r, const struct ps_remote_setup *setup,
                         const struct ps_allocator_fns *fns)
{
	struct ps_network_options options = network_options(r, setup, fns);
	const struct ps_remote_options *o = setup->options;
	const char *url = !o ? NULL : o->fallback ? o->fallback : o->witness;
	options.read_only = true;
	options.create = false;
	return url ? ps_second_open(r, url, &options, &r->fallback) : PS_OK;
}

static void bind(const ps_remote *r, struct ps_index_binding *binding)
{
	*binding = (struct ps_index_binding){.store = ps_keys_store(r->keys)};
	memcpy(binding->network, r->network_id, sizeof(binding->network));
	ps_keys_derive(r->keys, "key check", NULL, 0, binding->key_check);
}

static int open_index(ps_remote *r, bool make, const struct ps_allocator_fns *fns)
{
	struct ps_index_options options = {.size = sizeof(options), .allocator = fns};
	struct ps_index_binding binding;
	bind(r, &binding);
	if (r->seams.open_store) {
		ps_storer *store = NULL;
		int err = r->seams.open_store(r->seams.store_arg, make, &store);
		if (err == PS_OK && make)
			err = ps_index_over(store, &binding, true, fns, &r->index);
		if (err == PS_EEXIST || (err == PS_OK && !make)) /* made by an init that was cut off */
			err = ps_index_over(store, &binding, false, fns, &r->index);
		if (err != PS_OK && store)
			(void)!ps_close(store);
		return err;
	}
	int err = make ? ps_index_make(r->folder, &binding, &options) : PS_OK;
	if (err == PS_EEXIST)
		err = PS_OK;
	return err == PS_OK ? ps_index_open(r->folder, &binding, &options, &r->index) : err;
}

/* ---- making a store ---- */

/* A store is made where none is: what the network shows under the head's name is not looked into. */
static int check_absent(ps_remote *r)
{
	struct ps_net_request request = {.op = PS_NET_HEAD};
	struct ps_serial serial;
	ps_client *client = NULL;
	ps_keys_head_serial(r->keys, &serial);
	int err = ps_pad_name(r->keys, &serial, &request.name);
	if (err == PS_OK)
		err = ps_client_open(r->network, &client);
	if (err != PS_OK)
		return err;
	(void)ps_client_call(client, &request);
	ps_client_close(client);
	if (request.outcome == PS_NET_ABSENT)
		return PS_OK;
	if (request.outcome == PS_NET_DONE)
		return ps_fail(PS_EEXIST, "%s: there is a store under this key and the name \"%s\" already",
		               ps_network_url(r->network), ps_keys_store(r->keys));
	return ps_fail(request.error != PS_OK ? request.error : ps_outcome_error(request.outcome), "%s",
	               request.sentence);
}

/* Where this machine has used a head, the network has lost it: that is not for init to cover. PS_ENOENT: it
 * has not. */
static int check_unknown(ps_remote *r)
{
	struct ps_anchor anchor;
	int err = ps_anchor_read(r->folder, ps_keys_store(r->keys), &anchor);
	if (err != PS_OK)
		return err;
	return ps_fail(
	    PS_ELOST,
	    "%s: this machine has used head %llu of this store (%s/anchor): rebuild it, or forget it "
	    "first",
	    ps_network_url(r->network), (unsigned long long)anchor.counter, r->folder);
}

/* One that was cut off goes on with the network id that it had chosen. */
static int choose_identity(ps_remote *r)
{
	int err = ps_identity_read(r->folder, "network.new", r->keys, r->network_id);
	if (err != PS_ENOENT)
		return err;
	randombytes_buf(r->network_id, sizeof(r->network_id));
	return ps_identity_write(r->folder, "network.new", r->keys, r->network_id);
}

static int finish_identity(ps_remote *r)
{
	int err = ps_identity_write(r->folder, "network", r->keys, r->network_id);
	return err == PS_OK ? ps_identity_forget(r->folder, "network.new") : err;
}

/* The index and the head first, then the file by which a store is known to be here. */
static int make_store(ps_remote *r, const struct ps_allocator_fns *fns)
{
	int err = ps_identity_read(r->folder, "network", r->keys, r->network_id);
	if (err == PS_OK)
		return ps_fail(PS_EEXIST, "%s: this machine has this store already (state in %s)",
		               ps_network_url(r->network), r->folder);
	if (err != PS_ENOENT)
		return err;
	if (!ps_keys_can_write(r->keys))
		return ps_fail(PS_EREADONLY, "a key that only reads makes no store");
	/* The head of one that was cut off may be there already: its create tells whose it is. */
	err = ps_identity_read(r->folder, "network.new", r->keys, r->network_id);
	if (err == PS_ENOENT)
		err = check_unknown(r);
	if (err == PS_ENOENT)
		err = check_absent(r);
	if (err == PS_OK)
		err = choose_identity(r);
	if (err == PS_OK)
		err = open_index(r, true, fns);
	if (err == PS_OK)
		err = ps_sync_first_head(r);
	return err == PS_OK ? finish_identity(r) : err;
}

/* A store that another machine has made, or this one before its state was lost. */
static int take_store(ps_remote *r, const struct ps_allocator_fns *fns)
{
	struct sync_head *seen = NULL;
	int err = ps_sync_identify(r, &seen);
	if (err == PS_OK)
		err = ps_identity_read(r->folder, "network.new", r->keys, r->network_id);
	if (err == PS_ENOENT)
		err = ps_identity_write(r->folder, "network.new", r->keys, r->network_id);
	if (err == PS_OK)
		err = open_index(r, true, fns);
	if (err == PS_OK)
		err = ps_sync_take_all(r, seen);
	ps_sync_free_seen(r, seen);
	return err == PS_OK ? finish_identity(r) : err;
}

static int rebuild_store(ps_remote *r, const struct ps_allocator_fns *fns,
                         struct ps_remote_rebuild_result *result)
{
	int err = ps_identity_read(r->folder, "network", r->keys, r->network_id);
	bool known = err == PS_OK;
	if (!ps_keys_can_write(r->keys))
		return ps_fail(PS_EREADONLY, "a key that only reads rebuilds nothing");
	if (err == PS_ENOENT)
		err = ps_sync_find_network(r);
	if (err == PS_OK && !known)
		err = ps_identity_read(r->folder, "network.new", r->keys, r->network_id);
	if (err == PS_ENOENT)
		err = ps_identity_write(r->folder, "network.new", r->keys, r->network_id);
	if (err == PS_OK)
		err = open_index(r, !known, fns);
	if (err == PS_OK)
		err = ps_sync_rebuild(r, result);
	return err == PS_OK && !known ? finish_identity(r) : err;
}

static int find_store(ps_remote *r, const struct ps_allocator_fns *fns)
{
	int err = ps_identity_read(r->folder, "network", r->keys, r->network_id);
	if (err == PS_ENOENT)
		return take_store(r, fns);
	return err == PS_OK ? open_index(r, false, fns) : err;
}

/* What the network lost is back before the store is looked for there. */
static int import_store(ps_remote *r, const struct ps_allocator_fns *fns, const struct ps_remote_setup *setup)
{
	if (!ps_keys_can_write(r->keys))
		return ps_fail(PS_EREADONLY, "a key that only reads puts nothing back");
	int err = ps_identity_read(r->folder, "network", r->keys, r->network_id);
	if (err == PS_OK || err == PS_ENOENT)
		err = ps_sync_import_index(r, setup->index_file, setup->imported);
	return err == PS_OK ? find_store(r, fns) : err;
}

/* ---- life ---- */

static int drop(ps_remote *r)
{
	int err = ps_remote_workers_free(r);
	(void)!ps_second_close(&r->fallback); /* no group is left */
	if (r->limits_ready)
		ps_limits_done(&r->limits);
	int closed = ps_index_close(r->index);
	ps_network_close(r->network);
	if (r->folder)
		ps_memory_free(&r->memory, r->folder, strlen(r->folder) + 1);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->brief_ended);
	ps_memory_done(&r->memory);
	free(r);
	return err != PS_OK ? err : closed;
}

/* What could not be opened: the failure stays this thread's. */
static int abandon(ps_remote *r, int err)
{
	char sentence[512];
	(void)snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	(void)drop(r);
	return ps_fail(err, "%s", sentence);
}

static ps_remote *new_remote(const struct ps_remote_setup *setup, const struct ps_allocator_fns *fns)
{
	ps_remote *r = calloc(1, sizeof(*r)); /* it holds the memory that counts all else */
	if (!r)
		return NULL;
	ps_memory_init(&r->memory, fns);
	r->keys = setup->keys;
	if (setup->seams)
		r->seams = *setup->seams;
	if (!r->seams.clock)
		r->seams.clock = &ps_system_clock;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->brief_ended, NULL);
	if (setup->head_name)
		memcpy(r->head_name.bytes, setup->head_name, sizeof(r->head_name.bytes));
	return r;
}

int ps_remote_start(const struct ps_remote_setup *setup, ps_remote **out)
{
	struct ps_allocator_fns given = allocator_of(setup->options);
	const struct ps_allocator_fns *fns = given.alloc ? &given : NULL;
	ps_remote *r = new_remote(setup, fns);
	if (!r)
		return ps_fail(PS_ENOMEM, "no memory for a remote");
	int err = take_options(r, setup->options);
	if (err == PS_OK)
		err = open_network(r, setup, fns);
	if (err == PS_OK)
		err = ps_remote_find_state(r, setup->options ? setup->options->state : NULL, true);
	if (err == PS_OK)
		err = ask_witness(r, setup, fns);
	if (err == PS_OK)
		err = ps_remote_start_workers(r, r->network, &r->limits, &r->limits_ready, &r->workers);
	if (err == PS_OK)
		err = open_fallback(r, setup, fns);
	if (err == PS_OK && setup->rebuild)
		err = rebuild_store(r, fns, setup->rebuild);
	else if (err == PS_OK && setup->index_file)
		err = import_store(r, fns, setup);
	else if (err == PS_OK)
		err = setup->init ? make_store(r, fns) : find_store(r, fns);
	if (err == PS_OK)
		err = ps_sync_remember(r);
	if (err == PS_OK)
		ps_network_ask_nobody(r->network);
	if (err != PS_OK) {
		if (r->folder)
			(void)rmdir(r->folder); /* if nothing is in it */
		return abandon(r, err);
	}
	*out = r;
	return PS_OK;
}

int ps_remote_start_keyless(const char *url, const struct ps_remote_options *options,
                            const struct ps_remote_seams *seams, ps_remote **out)
{
	struct ps_remote_setup setup = {.url = url, .options = options, .seams = seams};
	struct ps_allocator_fns given = allocator_of(options);
	const struct ps_allocator_fns *fns = given.alloc ? &given : NULL;
	ps_remote *r = new_remote(&setup, fns);
	if (!r)
		return ps_fail(PS_ENOMEM, "no memory for a reader");
	int err = take_options(r, options);
	if (err == PS_OK)
		err = open_network(r, &setup, fns);
	if (err == PS_OK)
		err = ps_remote_find_anchors(r, options ? options->state : NULL);
	if (err == PS_OK)
		err = ps_remote_start_workers(r, r->network, &r->limits, &r->limits_ready, &r->workers);
	if (err != PS_OK)
		return abandon(r, err);
	ps_network_ask_nobody(r->network);
	*out = r;
	return PS_OK;
}

int ps_remote_open_key(const struct ps_remote_key *key, const char *store, ps_keys **keys,
                       uint8_t head_name[PS_PAD_NAME])
{
	struct ps_passphrase passphrase = {key->passphrase, key->passphrase_len};
	struct ps_key *from_file = NULL;
	if (key->user_key)
		return ps_keys_new(key->user_key, store, keys);
	if (key->read_root)
		return ps_keys_new_read_only(key->read_root, store, keys);
	if (!key->file)
		return ps_fail(PS_EINVAL, "ps_remote_open: no key is given");
	int err = ps_key_file_read(key->file, key->passphrase ? &passphrase : NULL, &from_file);
	if (err == PS_OK)
		err = ps_key_open(from_file, store, keys);
	if (err == PS_OK)
		memcpy(head_name, from_file->head, PS_PAD_NAME);
	ps_key_free(from_file);
	return err;
}

/* `setup` has what is special about this way of opening. */
static int start_as(struct ps_remote_setup *setup, const char *url, const struct ps_remote_key *key,
                    const struct ps_remote_options *options, ps_remote **r)
{
	uint8_t head_name[PS_PAD_NAME] = {0};
	if (!url || !key || !r)
		return ps_fail(PS_EINVAL, "ps_remote_%s: an argument is NULL", setup->init ? "init" : "open");
	setup->url = url;
	setup->options = options;
	setup->head_name = head_name;
	if (key->head_name)
		memcpy(head_name, key->head_name, sizeof(head_name));
	int err =
	    ps_remote_open_key(key, options && options->size == sizeof(*options) ? options->store : NULL,
	                       &setup->keys, head_name);
	if (err != PS_OK)
		return err;
	err = ps_remote_start(setup, r);
	if (err != PS_OK)
		ps_keys_free(setup->keys);
	return err;
}

int ps_remote_init(const char *url, const struct ps_remote_key *key, const struct ps_remote_options *options,
                   ps_remote **r)
{
	struct ps_remote_setup setup = {.init = true};
	return start_as(&setup, url, key, options, r);
}

int ps_remote_open(const char *url, const struct ps_remote_key *key, const struct ps_remote_options *options,
                   ps_remote **r)
{
	struct ps_remote_setup setup = {0};
	return start_as(&setup, url, key, options, r);
}

int ps_remote_rebuild(const char *url, const struct ps_remote_key *key,
                      const struct ps_remote_options *options, ps_remote **r,
                      struct ps_remote_rebuild_result *result)
{
	struct ps_remote_rebuild_result told = {0};
	struct ps_remote_setup setup = {.rebuild = &told};
	int err = start_as(&setup, url, key, options, r);
	if (err == PS_OK && result)
		*result = told;
	return err;
}

int ps_remote_import_index(const char *url, const struct ps_remote_key *key,
                           const struct ps_remote_options *options, const char *path, ps_remote **r,
                           struct ps_remote_index_result *result)
{
	struct ps_remote_index_result told = {0};
	struct ps_remote_setup setup = {.index_file = path, .imported = &told};
	if (!path)
		return ps_fail(PS_EINVAL, "ps_remote_import_index: the path is NULL");
	int err = start_as(&setup, url, key, options, r);
	if (err == PS_OK && result)
		*result = told;
	return err;
}

int ps_remote_close(ps_remote *r)
{
	if (!r)
		return PS_OK;
	pthread_mutex_lock(&r->lock);
	uint64_t operations = r->operations;
	pthread_mutex_unlock(&r->lock);
	if (operations > 0)
		return ps_fail(PS_EBUSY, "%llu calls are under way", (unsigned long long)operations);
	ps_keys *keys = r->keys;
	ps_usage_close(r);
	int err = drop(r);
	ps_keys_free(keys);
	return err;
}
