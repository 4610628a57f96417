/* Public values as their writer and their readers use them.
 * usage: public_test SCHEME */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "remote/keys_internal.h"
#include "tests/remote/public/public_fixture.h"

static const char *scheme = "mem";

static struct blobs *new_blobs(void)
{
	struct ps_remote_seams seams = {.backoff_ms = 1};
	return blobs_new_with(scheme, &seams);
}

static void what_was_put_is_read_by_its_address_alone(void **state)
{
	static const size_t sizes[] = {0, 1, 5000, PAD, PAD + 1, 3 * PAD + 70001};
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b);
	char address[PS_PUBLIC_ADDRESS], key[16];
	struct ps_remote_info info;
	struct ps_public_info seen;
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		snprintf(key, sizeof(key), "key %zu", i);
		put_public(b, key, sizes[i], i, address);
		assert_ok(ps_public_stat(&reader->p, address, &seen));
		assert_int_equal(seen.first, 1);
		assert_int_equal(seen.pads, (sizes[i] + PAD - 1) / PAD);
		reader_expect(reader, address, sizes[i], i);
		blobs_expect(b, key, sizes[i], i);
		assert_ok(ps_remote_stat(b->r, key, &info));
		assert_int_equal(info.is_public, 1);
		assert_ok(ps_public_stat(&reader->p, address, &seen));
		assert_int_equal(seen.first, 0);
	}
	blobs_check(b);
	reader_free(reader);
	blobs_free(b);
}

static void an_address_stays_while_what_it_shows_changes(void **state)
{
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b);
	char address[PS_PUBLIC_ADDRESS], again[PS_PUBLIC_ADDRESS];
	struct ps_public_info info;
	(void)state;
	put_public(b, "key", 2 * PAD, 1, address);
	reader_expect(reader, address, 2 * PAD, 1);
	blobs_update(b, "key", 5 * PAD - 3, 2);
	reader_expect(reader, address, 5 * PAD - 3, 2);
	blobs_update(b, "key", 0, 3);
	reader_expect(reader, address, 0, 3);
	put_public(b, "key", 10, 4, again);
	assert_string_equal(address, again);
	blobs_reopen(b);
	assert_ok(ps_remote_rename(b->r, "key", "moved"));
	blobs_update(b, "moved", 20, 5);
	assert_ok(ps_remote_address(b->r, "moved", again));
	assert_string_equal(address, again);
	reader_reopen(reader);
	reader_expect(reader, address, 20, 5);
	assert_ok(ps_public_stat(&reader->p, address, &info));
	assert_int_equal(info.version, 5);
	assert_int_equal(info.first, 0);
	blobs_check(b);
	reader_free(reader);
	blobs_free(b);
}

/* Of a value of many pads, only what changed is sent again, and the manifest. */
static void an_update_sends_what_changed(void **state)
{
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b);
	struct ps_record before = {0}, after = {0};
	char address[PS_PUBLIC_ADDRESS];
	size_t size = 6 * PAD, kept = 0;
	uint8_t *bytes = blobs_bytes(size, 1), *is = test_malloc(size);
	(void)state;
	put_public(b, "key", size, 1, address);
	get_record(b, "key", &before);
	bytes[4 * PAD] ^= 1;
	assert_ok(ps_remote_update(b->r, "key", bytes, size, NULL));
	get_record(b, "key", &after);
	for (unsigned i = 0; i < 6; i++)
		kept += ps_slot_same_pad(&before.sets[PS_SET_CURRENT].slots[i],
		                         &after.sets[PS_SET_CURRENT].slots[i]);
	assert_int_equal(kept, 5);
	size_t len;
	assert_ok(ps_public_get(&reader->p, address, is, size, &len));
	assert_memory_equal(bytes, is, size);
	ps_record_done(&before);
	ps_record_done(&after);
	test_free(bytes);
	test_free(is);
	blobs_check(b);
	reader_free(reader);
	blobs_free(b);
}

/* ---- classes ---- */

/* What class each pad had when it was first seen on the network. */
struct classes {
	struct seen {
		struct ps_pad_name name;
		uint8_t class;
	} all[256];
	size_t count;
};

static void note_class(struct classes *classes, const struct ps_pad_name *name, uint8_t class)
{
	for (size_t i = 0; i < classes->count; i++) {
		if (memcmp(&classes->all[i].name, name, sizeof(*name)) != 0)
			continue;
		if (classes->all[i].class != class)
			fail_msg("a pad of class %u was of class %u", class, classes->all[i].class);
		return;
	}
	assert_true(classes->count < 256);
	classes->all[classes->count++] = (struct seen){*name, class};
}

/* Looks at every record on the network: no pad ever serves another class. */
static void check_classes(struct blobs *b, struct classes *classes)
{
	struct ps_net_listed listed[256];
	struct ps_net_list list = {.listed = listed, .capacity = 256};
	struct ps_net_request request = {.op = PS_NET_LIST, .list = &list};
	ps_client *client;
	assert_ok(ps_client_open(b->r->network, &client));
	blobs_must_answer(client, &request);
	assert_false(list.more);
	for (size_t i = 0; i < list.count; i++) {
		struct ps_net_request get = {.op = PS_NET_GET_RANGE, .name = listed[i].name};
		struct ps_pad_header header;
		get.len = PS_PAD_HEADER_MAX;
		get.buffer = ps_net_buffer_new(&b->r->network->memory, PS_PAD_HEADER_MAX);
		blobs_must_answer(client, &get);
		assert_ok(ps_pad_open_header(get.buffer->bytes, get.buffer->len, &listed[i].name, &header));
		note_class(classes, &listed[i].name, header.plan.class);
		ps_net_buffer_release(get.buffer);
	}
	ps_client_close(client);
}

static void a_pad_never_changes_its_class(void **state)
{
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b);
	struct classes classes = {.count = 0};
	char address[PS_PUBLIC_ADDRESS], other[PS_PUBLIC_ADDRESS];
	struct ps_remote_info info;
	(void)state;
	blobs_put(b, "key", 3 * PAD, 1);
	check_classes(b, &classes);
	assert_ok(ps_remote_publish(b->r, "key", NULL, address));
	check_classes(b, &classes);
	reader_expect(reader, address, 3 * PAD, 1);
	blobs_put(b, "private", 3 * PAD, 2); /* in the pads that "key" had */
	check_classes(b, &classes);
	blobs_update(b, "key", 2 * PAD, 3);
	check_classes(b, &classes);
	assert_ok(ps_remote_unpublish(b->r, "key", NULL));
	check_classes(b, &classes);
	blobs_expect(b, "key", 2 * PAD, 3);
	assert_ok(ps_remote_stat(b->r, "key", &info));
	assert_int_equal(info.is_public, 0);
	assert_error(reader_get(reader, address, 2 * PAD, 3), PS_ENOTFOUND);
	assert_error(ps_remote_address(b->r, "key", other), PS_ENOTFOUND);
	blobs_put(b, "private too", 5 * PAD, 4);
	check_classes(b, &classes);
	put_public(b, "public too", 4 * PAD, 5, other);
	check_classes(b, &classes);
	assert_string_not_equal(address, other);
	assert_ok(ps_remote_publish(b->r, "key", NULL, other));
	assert_string_not_equal(address, other);
	reader_expect(reader, other, 2 * PAD, 3);
	assert_ok(ps_remote_remove(b->r, "public too"));
	assert_ok(ps_remote_remove(b->r, "key"));
	blobs_put(b, "last", 9 * PAD, 6);
	check_classes(b, &classes);
	blobs_check(b);
	reader_free(reader);
	blobs_free(b);
}

static void what_is_ended_is_told_as_that_for_good(void **state)
{
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b), *later = reader_new(b);
	char address[PS_PUBLIC_ADDRESS], other[PS_PUBLIC_ADDRESS], third[PS_PUBLIC_ADDRESS];
	(void)state;
	put_public(b, "key", PAD, 1, address);
	reader_expect(reader, address, PAD, 1);
	assert_ok(ps_remote_remove(b->r, "key"));
	put_public(b, "key", PAD, 1, third);
	assert_ok(ps_remote_unpublish(b->r, "key", NULL));
	assert_ok(ps_remote_remove(b->r, "key"));
	assert_error(reader_get(reader, address, PAD, 1), PS_ENOTFOUND);
	assert_non_null(strstr(ps_last_error_message(), "taken back"));
	assert_error(reader_get(later, address, PAD, 1), PS_ENOTFOUND);
	assert_non_null(strstr(ps_last_error_message(), "taken back"));
	/* No purge takes the tombstone away, and no key gets the address again. */
	b->r->options.free_keep = 1;
	for (unsigned i = 0; i < 3; i++)
		assert_ok(ps_remote_purge(b->r, NULL, NULL, NULL));
	assert_error(reader_get(later, third, PAD, 1), PS_ENOTFOUND);
	assert_non_null(strstr(ps_last_error_message(), "taken back"));
	put_public(b, "key", PAD, 2, other);
	assert_string_not_equal(address, other);
	assert_error(reader_get(reader, address, PAD, 1), PS_ENOTFOUND);
	assert_non_null(strstr(ps_last_error_message(), "taken back"));
	reader_expect(reader, other, PAD, 2);
	blobs_check(b);
	reader_free(later);
	reader_free(reader);
	blobs_free(b);
}

/* Pads of 4 KiB: 31 entries in a manifest and in a node. */
static void narrow(struct blobs *b)
{
	for (unsigned mode = 0; mode < PS_MODES; mode++)
		b->r->payloads[mode] = 4096;
}

static int keep_plan(void *arg, const struct ps_remote_progress *progress)
{
	struct ps_remote_progress *last = arg;
	*last = *progress;
	return 0;
}

/* What is said before the first request is what is done. */
static void a_plan_has_all_that_an_address_takes(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_remote_progress last;
	struct ps_remote_put options = {
	    .size = sizeof(options), .progress = keep_plan, .progress_arg = &last};
	size_t size = 40 * 4096;
	uint8_t *bytes = blobs_bytes(size, 1);
	(void)state;
	narrow(b);
	options.max_pads = 42; /* two nodes and the index pad make 43 */
	assert_error(ps_remote_put_public(b->r, "key", bytes, size, &options), PS_EQUOTA);
	assert_int_equal(blobs_listed(b), 0);
	options.max_pads = 43;
	assert_ok(ps_remote_put_public(b->r, "key", bytes, size, &options));
	assert_int_equal(last.plan.exact, 1);
	assert_int_equal(last.plan.new_pads, 43);
	assert_int_equal(last.pads_done, 43);
	assert_int_equal(last.bytes_done, size);
	assert_int_equal(blobs_listed(b), 43);
	test_free(bytes);
	blobs_free(b);
}

static void publishing_twice_changes_nothing(void **state)
{
	struct blobs *b = new_blobs();
	char address[PS_PUBLIC_ADDRESS], again[PS_PUBLIC_ADDRESS];
	(void)state;
	assert_error(ps_remote_publish(b->r, "key", NULL, address), PS_ENOTFOUND);
	assert_error(ps_remote_unpublish(b->r, "key", NULL), PS_ENOTFOUND);
	blobs_put(b, "key", 100, 1);
	assert_error(ps_remote_unpublish(b->r, "key", NULL), PS_ENOTFOUND);
	assert_error(ps_remote_address(b->r, "key", address), PS_ENOTFOUND);
	assert_ok(ps_remote_publish(b->r, "key", NULL, address));
	assert_ok(ps_remote_publish(b->r, "key", NULL, again));
	assert_string_equal(address, again);
	uint8_t byte = 0;
	assert_error(ps_remote_put_public(b->r, "key", &byte, 1, NULL), PS_EEXIST);
	blobs_check(b);
	blobs_free(b);
}

/* ---- larger than a manifest ---- */

static void a_manifest_may_be_larger_than_a_pad(void **state)
{
	static const size_t chunks[] = {31, 32, 200, 31 * 31 + 1};
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b);
	char address[PS_PUBLIC_ADDRESS];
	/* Three levels on a network that costs nothing, else two. */
	size_t count = strcmp(scheme, "mem") == 0 ? sizeof(chunks) / sizeof(*chunks) : 2;
	(void)state;
	narrow(b);
	for (size_t i = 0; i < count; i++) {
		size_t size = chunks[i] * 4096 - 5;
		put_public(b, "key", size, i, address);
		reader_expect(reader, address, size, i);
		blobs_expect(b, "key", size, i);
	}
	/* One chunk in the middle: its node, and the node of that, are all that is new. */
	struct ps_record before = {0}, after = {0};
	size_t size = chunks[count - 1] * 4096 - 5, fresh = 0;
	uint8_t *bytes = blobs_bytes(size, count - 1), *is = test_malloc(size);
	get_record(b, "key", &before);
	bytes[size / 2] ^= 1;
	assert_ok(ps_remote_update(b->r, "key", bytes, size, NULL));
	get_record(b, "key", &after);
	assert_int_equal(before.sets[PS_SET_CURRENT].count, after.sets[PS_SET_CURRENT].count);
	for (uint32_t i = 0; i < after.sets[PS_SET_CURRENT].count; i++)
		fresh += !ps_slot_same_pad(&before.sets[PS_SET_CURRENT].slots[i],
		                           &after.sets[PS_SET_CURRENT].slots[i]);
	assert_int_equal(fresh, count == 2 ? 2 : 3);
	size_t len;
	assert_ok(ps_public_get(&reader->p, address, is, size, &len));
	assert_memory_equal(bytes, is, size);
	ps_record_done(&before);
	ps_record_done(&after);
	test_free(bytes);
	test_free(is);
	/* And small again. */
	put_public(b, "key", 4096, 9, address);
	reader_expect(reader, address, 4096, 9);
	assert_ok(ps_remote_unpublish(b->r, "key", NULL));
	blobs_expect(b, "key", 4096, 9);
	blobs_check(b);
	reader_free(reader);
	blobs_free(b);
}

/* ---- what is in a manifest ---- */

static bool holds(const void *bytes, size_t len, const void *what, size_t what_len)
{
	return memmem(bytes, len, what, what_len) != NULL;
}

static void expect_no_secret(struct blobs *b, const struct ps_serial *serial, const void *bytes, size_t len)
{
	uint8_t secret[PS_SECRET_KEY], public_key[32];
	assert_ok(ps_keys_sign_pair(b->r->keys, serial, public_key, secret));
	assert_false(holds(bytes, len, secret, 32)); /* the seed */
	assert_false(holds(bytes, len, secret + 32, 0 + 16) && !holds(bytes, len, public_key, 16));
	sodium_memzero(secret, sizeof(secret));
}

static void a_manifest_opens_its_own_pads_and_nothing_else(void **state)
{
	struct blobs *b = new_blobs();
	struct ps_record secret = {0}, shown = {0};
	struct ps_operation op;
	struct public_pad pad;
	struct ps_address address;
	char text[PS_PUBLIC_ADDRESS];
	uint8_t key[PS_KEY];
	(void)state;
	blobs_put(b, "a private key", 2 * PAD, 1);
	put_public(b, "the public key", 3 * PAD, 2, text);
	get_record(b, "a private key", &secret);
	get_record(b, "the public key", &shown);
	assert_ok(ps_address_parse(text, &address));
	assert_ok(ps_operation_begin(&op, b->r, "test", NULL, 0, NULL, NULL));
	assert_ok(public_pad_fetch(&op, &shown.index_pad.name, address.read_key, &pad));
	assert_ok(ps_operation_end(&op));
	assert_true(pad.there);
	const void *bytes = pad.payload;
	assert_false(holds(bytes, pad.len, b->key, 16));
	ps_keys_read_root(b->r->keys, key);
	assert_false(holds(bytes, pad.len, key, 16));
	assert_false(holds(bytes, pad.len, "public key", 10));
	assert_false(holds(bytes, pad.len, address.read_key, 16));
	expect_no_secret(b, &shown.index_pad.serial, bytes, pad.len);
	for (unsigned i = 0; i < 3; i++)
		expect_no_secret(b, &shown.sets[PS_SET_CURRENT].slots[i].serial, bytes, pad.len);
	for (unsigned i = 0; i < 2; i++) {
		const struct ps_pad_slot *slot = &secret.sets[PS_SET_CURRENT].slots[i];
		expect_no_secret(b, &slot->serial, bytes, pad.len);
		ps_keys_content_key(b->r->keys, &slot->serial, slot->generation, key);
		assert_false(holds(bytes, pad.len, key, 16));
		assert_false(holds(bytes, pad.len, slot->serial.bytes, PS_SERIAL));
		assert_false(holds(bytes, pad.len, slot->name.bytes, PS_PAD_NAME));
	}
	/* The read keys in it are those of this generation of these pads. */
	struct ps_manifest_entry entry;
	for (unsigned i = 0; i < 3; i++) {
		const struct ps_pad_slot *slot = &shown.sets[PS_SET_CURRENT].slots[i];
		ps_manifest_entry(pad.payload, PS_MANIFEST_HEAD, i, &entry);
		ps_keys_content_key(b->r->keys, &slot->serial, slot->generation, key);
		assert_memory_equal(entry.read_key, key, PS_KEY);
		ps_keys_content_key(b->r->keys, &slot->serial, slot->generation + 1, key);
		assert_memory_not_equal(entry.read_key, key, PS_KEY);
	}
	public_pad_done(b->r, &pad);
	ps_record_done(&secret);
	ps_record_done(&shown);
	blobs_free(b);
}

/* ---- addresses ---- */

static void a_slip_in_an_address_is_found(void **state)
{
	static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";
	struct ps_address address, parsed;
	char text[PS_ADDRESS_TEXT], wrong[PS_ADDRESS_TEXT + 8];
	(void)state;
	for (uint64_t seed = 1; seed < 20; seed++) {
		blobs_fill(&address, sizeof(address), seed);
		ps_address_print(&address, text);
		assert_int_equal(strlen(text), PS_PUBLIC_ADDRESS - 1);
		assert_ok(ps_address_parse(text, &parsed));
		assert_memory_equal(&address, &parsed, sizeof(address));
		for (size_t i = 0; i < strlen(text); i++) {
			memcpy(wrong, text, sizeof(text));
			wrong[i] = letters[(strchr(letters, text[i]) - letters + 1 + (int)seed) % 32];
			if (wrong[i] != text[i])
				assert_error(ps_address_parse(wrong, &parsed), PS_EINVAL);
			memcpy(wrong, text, sizeof(text));
			wrong[i] = text[(i + 1) % 112];
			wrong[(i + 1) % 112] = text[i];
			if (text[i] != wrong[i])
				assert_error(ps_address_parse(wrong, &parsed), PS_EINVAL);
		}
	}
	snprintf(wrong, sizeof(wrong), "%.111s", text);
	assert_error(ps_public_check_address(wrong), PS_EINVAL);
	snprintf(wrong, sizeof(wrong), "%s0", text);
	assert_error(ps_public_check_address(wrong), PS_EINVAL);
	snprintf(wrong, sizeof(wrong), "%.111s_", text);
	assert_error(ps_public_check_address(wrong), PS_EINVAL);
	assert_error(ps_public_check_address(""), PS_EINVAL);
	assert_error(ps_public_check_address(NULL), PS_EINVAL);
	assert_null(strstr(ps_last_error_message(), text));
	/* As people copy it. */
	snprintf(wrong, sizeof(wrong), " %.56s-%s\n", text, text + 56);
	for (char *c = wrong; *c; c++)
		*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c == '0' ? 'O' : *c == '1' ? 'l' : *c);
	assert_ok(ps_address_parse(wrong, &parsed));
	assert_memory_equal(&address, &parsed, sizeof(address));
}

static void a_wrong_address_reads_nothing(void **state)
{
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b);
	char text[PS_PUBLIC_ADDRESS], wrong[PS_PUBLIC_ADDRESS];
	struct ps_address address, other;
	struct ps_record record = {0};
	(void)state;
	put_public(b, "key", PAD, 1, text);
	get_record(b, "key", &record);
	assert_ok(ps_address_parse(text, &address));
	other = address;
	other.read_key[5] ^= 1;
	ps_address_print(&other, wrong);
	assert_error(reader_get(reader, wrong, PAD, 1), PS_EAUTH);
	other = address;
	other.public_key[5] ^= 1;
	ps_address_print(&other, wrong);
	assert_error(reader_get(reader, wrong, PAD, 1), PS_ENOTFOUND);
	/* A pad of the value, with its own right key, is no index pad. */
	const struct ps_pad_slot *slot = &record.sets[PS_SET_CURRENT].slots[0];
	assert_ok(ps_keys_public_key(b->r->keys, &slot->serial, other.public_key));
	ps_keys_content_key(b->r->keys, &slot->serial, slot->generation, other.read_key);
	ps_address_print(&other, wrong);
	assert_error(reader_get(reader, wrong, PAD, 1), PS_EAUTH);
	reader_expect(reader, text, PAD, 1);
	ps_record_done(&record);
	reader_free(reader);
	blobs_free(b);
}

static void what_a_reader_remembers_opens_nothing(void **state)
{
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b);
	char text[PS_PUBLIC_ADDRESS], path[300], hex[2 * PS_PAD_NAME + 1];
	struct ps_address address;
	struct ps_pad_name name;
	uint8_t bytes[256];
	size_t len;
	(void)state;
	put_public(b, "key", PAD, 1, text);
	reader_expect(reader, text, PAD, 1);
	assert_ok(ps_address_parse(text, &address));
	name = name_of_address(text);
	sodium_bin2hex(hex, sizeof(hex), name.bytes, PS_PAD_NAME);
	snprintf(path, sizeof(path), "%s/public/%s", reader->folder, hex);
	assert_ok(ps_state_read(path, bytes, sizeof(bytes), &len));
	assert_int_equal(len, 128);
	assert_false(holds(bytes, len, address.read_key, 16));
	/* Damaged, it is refused and kept. */
	bytes[70] ^= 1;
	assert_ok(ps_state_replace(path, bytes, len, false));
	assert_error(reader_get(reader, text, PAD, 1), PS_ECORRUPT);
	assert_error(reader_get(reader, text, PAD, 1), PS_ECORRUPT);
	reader_free(reader);
	blobs_free(b);
}

/* ---- a change in the middle of a read ---- */

struct meddler {
	struct blobs *b;
	unsigned left; /* changes to be made */
	uint64_t seed;
	size_t len;
};

static int change_at_plan(void *arg, const struct ps_remote_progress *progress)
{
	struct meddler *m = arg;
	if (progress->phase != PS_REMOTE_PLAN || m->left == 0)
		return 0;
	m->left--;
	m->seed++;
	/* Twice: the pads of what the reader has in hand are written anew. */
	blobs_update(m->b, "key", m->len, m->seed + 1000);
	blobs_update(m->b, "key", m->len, m->seed);
	return 0;
}

static void a_read_gives_one_version_whole(void **state)
{
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b);
	struct meddler m = {.b = b, .len = 3 * PAD, .seed = 1};
	char address[PS_PUBLIC_ADDRESS];
	(void)state;
	put_public(b, "key", m.len, m.seed, address);
	reader->p.r->options.progress = change_at_plan;
	reader->p.r->options.progress_arg = &m;
	for (unsigned changes = 0; changes < 5; changes++) {
		m.left = changes;
		uint8_t *is = test_malloc(m.len), *should;
		size_t len;
		assert_ok(ps_public_get(&reader->p, address, is, m.len, &len));
		should = blobs_bytes(m.len, m.seed);
		assert_memory_equal(should, is, m.len);
		test_free(should);
		test_free(is);
	}
	m.left = 100;
	assert_error(reader_get(reader, address, m.len, 1), PS_EBUSY);
	m.left = 0;
	reader_expect(reader, address, m.len, m.seed);
	blobs_check(b);
	reader_free(reader);
	blobs_free(b);
}

struct late_meddler {
	struct meddler m;
	uint8_t *got;
	size_t at;
};

static int change_at_first(void *arg, const void *data, size_t len)
{
	struct late_meddler *l = arg;
	memcpy(l->got + l->at, data, len);
	l->at += len;
	if (l->m.left > 0) {
		l->m.left--;
		blobs_update(l->m.b, "key", l->m.len, 77);
		blobs_update(l->m.b, "key", l->m.len, 78);
	}
	return PS_OK;
}

static void a_stream_is_of_one_version_or_says_that_it_is_not(void **state)
{
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b);
	struct late_meddler l = {.m = {.b = b, .len = 40 * PAD, .left = 1}};
	char address[PS_PUBLIC_ADDRESS];
	(void)state;
	put_public(b, "key", l.m.len, 1, address);
	l.got = test_malloc(l.m.len);
	int err = ps_public_get_stream(&reader->p, address, 0, UINT64_MAX, change_at_first, &l);
	uint8_t *should = blobs_bytes(l.m.len, 1);
	assert_memory_equal(should, l.got, l.at);
	assert_true(err == PS_EBUSY || (err == PS_OK && l.at == l.m.len));
	assert_int_equal(err, PS_EBUSY);
	test_free(should);
	test_free(l.got);
	reader_expect(reader, address, l.m.len, 78);
	reader_free(reader);
	blobs_free(b);
}

/* ---- keys that only read; nonsense ---- */

static void a_key_that_only_reads_publishes_nothing(void **state)
{
	struct blobs *b = new_blobs();
	char address[PS_PUBLIC_ADDRESS];
	struct ps_remote_options options = b->options;
	struct ps_remote_key key = {0};
	uint8_t root[PS_KEY];
	char folder[256];
	ps_remote *r;
	(void)state;
	put_public(b, "key", 100, 1, address);
	(void)sync_machine(b);
	ps_keys_read_root(b->r->keys, root);
	struct ps_pad_name head = head_name_of(b);
	snprintf(folder, sizeof(folder), "%s/reader", b->folder);
	options.state = folder;
	key.read_root = root;
	key.head_name = head.bytes;
	assert_ok(ps_remote_open(b->url, &key, &options, &r));
	uint8_t byte = 0, value[100];
	size_t len;
	assert_error(ps_remote_put_public(r, "new", &byte, 1, NULL), PS_EREADONLY);
	assert_error(ps_remote_publish(r, "key", NULL, address), PS_EREADONLY);
	assert_error(ps_remote_unpublish(r, "key", NULL), PS_EREADONLY);
	assert_error(ps_remote_address(r, "key", address), PS_EREADONLY);
	assert_ok(ps_remote_get(r, "key", value, sizeof(value), &len, NULL));
	assert_ok(ps_remote_close(r));
	blobs_free(b);
}

static void nonsense_is_refused(void **state)
{
	struct blobs *b = new_blobs();
	struct reader *reader = reader_new(b);
	char address[PS_PUBLIC_ADDRESS];
	uint8_t byte;
	size_t len;
	struct ps_public_info info;
	struct ps_remote_publish wrong = {.size = 3};
	ps_public *p;
	(void)state;
	put_public(b, "key", 100, 1, address);
	assert_error(ps_public_open(NULL, NULL, &p), PS_EINVAL);
	assert_error(ps_public_open("nothing:", NULL, &p), PS_EINVAL);
	assert_error(ps_public_get(&reader->p, "no address", &byte, 1, &len), PS_EINVAL);
	assert_error(ps_public_get(&reader->p, address, NULL, 1, &len), PS_EINVAL);
	assert_error(ps_public_get(&reader->p, address, &byte, 1, &len), PS_ERANGE);
	assert_int_equal(len, 100);
	assert_error(ps_public_stat(&reader->p, address, NULL), PS_EINVAL);
	assert_error(ps_public_stat(NULL, address, &info), PS_EINVAL);
	assert_error(ps_public_get_stream(&reader->p, address, 0, 1, NULL, NULL), PS_EINVAL);
	assert_error(ps_remote_publish(b->r, "key", &wrong, NULL), PS_EINVAL);
	assert_error(ps_remote_publish(b->r, NULL, NULL, NULL), PS_EINVAL);
	assert_ok(ps_public_close(NULL));
	reader_free(reader);
	blobs_free(b);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_put_is_read_by_its_address_alone),
	    cmocka_unit_test(an_address_stays_while_what_it_shows_changes),
	    cmocka_unit_test(an_update_sends_what_changed),
	    cmocka_unit_test(a_pad_never_changes_its_class),
	    cmocka_unit_test(what_is_ended_is_told_as_that_for_good),
	    cmocka_unit_test(a_plan_has_all_that_an_address_takes),
	    cmocka_unit_test(publishing_twice_changes_nothing),
	    cmocka_unit_test(a_manifest_may_be_larger_than_a_pad),
	    cmocka_unit_test(a_manifest_opens_its_own_pads_and_nothing_else),
	    cmocka_unit_test(a_slip_in_an_address_is_found),
	    cmocka_unit_test(a_wrong_address_reads_nothing),
	    cmocka_unit_test(what_a_reader_remembers_opens_nothing),
	    cmocka_unit_test(a_read_gives_one_version_whole),
	    cmocka_unit_test(a_stream_is_of_one_version_or_says_that_it_is_not),
	    cmocka_unit_test(a_key_that_only_reads_publishes_nothing),
	    cmocka_unit_test(nonsense_is_refused),
	};
	if (argc > 1)
		scheme = argv[1];
	return cmocka_run_group_tests_name("public values", tests, NULL, NULL);
}
