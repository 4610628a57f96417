/* Index files: header, places, and what is verified before anything of one is used. */
#include "remote/index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/fail.h"

static const uint8_t magic[8] = {'P', 'S', 'I', 'N', 'D', 'E', 'X', 'F'};

/* ---- the header ---- */

static uint64_t checksum_of(const struct ps_index_file_bytes *bytes)
{
	return XXH3_64bits(bytes, offsetof(struct ps_index_file_bytes, checksum));
}

void ps_index_file_encode(const struct ps_index_file_header *header, struct ps_index_file_bytes *bytes)
{
	*bytes = (struct ps_index_file_bytes){.format = ps_set32(PS_INDEX_FILE_FORMAT),
	                                      .head = ps_set32(header->head),
	                                      .bytes = ps_set64(header->bytes)};
	memcpy(bytes->magic, magic, sizeof(magic));
	bytes->checksum = ps_set64(checksum_of(bytes));
}

static bool is_record_size(uint32_t bytes)
{
	for (uint64_t payload = 4096; payload <= 8 << 20; payload *= 2)
		if (ps_pad_record_bytes(payload) == bytes)
			return true;
	return false;
}

int ps_index_file_decode(const char *path, const void *data, size_t len, struct ps_index_file_header *header)
{
	struct ps_index_file_bytes bytes;
	if (len < sizeof(bytes))
		return ps_fail(PS_EFORMAT, "%s: %zu bytes are no index file", path, len);
	memcpy(&bytes, data, sizeof(bytes));
	if (memcmp(bytes.magic, magic, sizeof(magic)) != 0)
		return ps_fail(PS_EFORMAT, "%s is no index file", path);
	if (ps_get64(bytes.checksum) != checksum_of(&bytes))
		return ps_fail(PS_ECORRUPT, "%s: its header is damaged", path);
	if (ps_get32(bytes.format) != PS_INDEX_FILE_FORMAT)
		return ps_fail(PS_EVERSION, "%s has format %u, and %u is known here", path,
		               ps_get32(bytes.format), PS_INDEX_FILE_FORMAT);
	struct ps_index_file_header made = {ps_get32(bytes.head), ps_get64(bytes.bytes)};
	if (!is_record_size(made.head) || made.bytes < sizeof(bytes) + (uint64_t)made.head ||
	    !ps_all_zero(bytes.zero, sizeof(bytes.zero)))
		return ps_fail(PS_ECORRUPT, "%s: its header has impossible sizes", path);
	*header = made;
	return PS_OK;
}

/* ---- places ---- */

int ps_index_file_head_slot(ps_remote *r, const struct sync_head *head, struct ps_pad_slot *slot)
{
	int err = ps_head_slot(r, head->head.counter, slot);
	slot->length = (uint32_t)ps_head_bytes(&head->head);
	memcpy(slot->hash, head->hash, sizeof(slot->hash));
	return err;
}

int ps_index_file_each(const struct ps_head *head, uint32_t head_bytes, ps_index_file_fn fn, void *arg)
{
	uint64_t offset = PS_INDEX_FILE_HEADER + (uint64_t)head_bytes;
	int err = PS_OK;
	for (uint32_t i = 0; i < head->runs_count && err == PS_OK; i++) {
		const struct ps_head_run *run = &head->runs[i];
		for (uint32_t p = 0; p < run->pads.count && err == PS_OK; p++) {
			struct ps_index_file_pad pad = {.slot = run->pads.slots[p],
			                                .run = run,
			                                .offset = offset,
			                                .bytes =
			                                    ps_pad_record_bytes(run->pads.slots[p].length)};
			offset += pad.bytes;
			err = fn(arg, &pad);
		}
	}
	return err;
}

static int add_bytes(void *arg, const struct ps_index_file_pad *pad)
{
	*(uint64_t *)arg = pad->offset + pad->bytes;
	return PS_OK;
}

void ps_index_file_size(const struct ps_head *head, struct ps_index_file_header *header)
{
	header->head = ps_pad_record_bytes(ps_head_bytes(head));
	header->bytes = PS_INDEX_FILE_HEADER + (uint64_t)header->head;
	(void)!ps_index_file_each(head, header->head, add_bytes, &header->bytes);
}

/* ---- reading ---- */

static int read_at(const struct ps_index_file *file, void *buf, size_t len, uint64_t offset)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = pread(file->fd, (uint8_t *)buf + got, len - got, (off_t)(offset + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ps_fail_errno(errno, "%s cannot be read", file->path);
		if (n == 0)
			return ps_fail(PS_ECORRUPT, "%s ends at %llu", file->path,
			               (unsigned long long)(offset + got));
		got += (size_t)n;
	}
	return PS_OK;
}

int ps_index_file_read(ps_remote *r, const struct ps_index_file *file, const struct ps_index_file_pad *pad,
                       struct ps_net_buffer **record)
{
	struct ps_net_buffer *made = ps_net_buffer_new(&r->network->memory, pad->bytes);
	if (!made)
		return ps_fail(PS_ENOMEM, "no memory for a record of %u bytes", pad->bytes);
	made->len = pad->bytes;
	int err = read_at(file, made->bytes, pad->bytes, pad->offset);
	if (err == PS_OK)
		*record = made;
	else
		ps_net_buffer_release(made);
	return err;
}

/* ---- verifying ---- */

static int read_header(struct ps_index_file *file)
{
	struct ps_index_file_bytes bytes;
	struct stat st;
	if (fstat(file->fd, &st) != 0)
		return ps_fail_errno(errno, "cannot look at '%s'", file->path);
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(bytes))
		return ps_fail(PS_EFORMAT, "%s is no index file", file->path);
	int err = read_at(file, &bytes, sizeof(bytes), 0);
	if (err == PS_OK)
		err = ps_index_file_decode(file->path, &bytes, sizeof(bytes), &file->header);
	if (err == PS_OK && file->header.bytes != (uint64_t)st.st_size)
		err = ps_fail(PS_ECORRUPT, "%s has %llu bytes, and says %llu", file->path,
		              (unsigned long long)st.st_size, (unsigned long long)file->header.bytes);
	return err;
}

static int bad_head(const struct ps_index_file *file, int err)
{
	char sentence[PS_NET_SENTENCE];
	(void)snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	return ps_fail(err, "%s: its head: %.250s", file->path, sentence);
}

/* A store that is known here has this network's id; else it is the head's that tells it. */
static int read_head(ps_remote *r, struct ps_index_file *file)
{
	const struct ps_index_file_pad pad = {.offset = PS_INDEX_FILE_HEADER, .bytes = file->header.head};
	bool known = !ps_all_zero(r->network_id, sizeof(r->network_id));
	struct ps_index_file_header is = {0};
	struct ps_net_buffer *record = NULL;
	int err = ps_index_file_read(r, file, &pad, &record);
	if (err == PS_OK)
		err = ps_head_open_record(r, record, known ? r->network_id : NULL, &file->head);
	ps_net_buffer_release(record);
	if (err != PS_OK)
		return bad_head(file, err);
	err = ps_index_file_head_slot(r, &file->head, &file->head_slot);
	ps_index_file_size(&file->head.head, &is);
	if (err == PS_OK && (is.head != file->header.head || is.bytes != file->header.bytes))
		err = ps_fail(PS_ECORRUPT, "%s has %llu bytes, and its head lists pads of %llu", file->path,
		              (unsigned long long)file->header.bytes, (unsigned long long)is.bytes);
	return err;
}

struct verifying {
	ps_remote *r;
	const struct ps_index_file *file;
};

static int verify_pad(void *arg, const struct ps_index_file_pad *pad)
{
	const struct verifying *v = arg;
	struct ps_net_buffer *record = NULL;
	struct ps_pad_header header;
	int err = ps_index_file_read(v->r, v->file, pad, &record);
	if (err != PS_OK)
		return err;
	err = ps_pad_verify(record->bytes, record->len, &pad->slot.name, &header);
	if (err == PS_OK)
		err = ps_pad_check_slot(v->file->head.head.network, &pad->slot, PS_ROLE_RUN, &header);
	ps_net_buffer_release(record);
	if (err != PS_OK)
		return ps_fail(PS_EAUTH, "%s: the pad at %llu is not the one that its head lists",
		               v->file->path, (unsigned long long)pad->offset);
	return PS_OK;
}

int ps_index_file_open(ps_remote *r, const char *path, struct ps_index_file *file)
{
	struct verifying v = {r, file};
	*file = (struct ps_index_file){.path = path, .fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
	if (file->fd < 0)
		return ps_fail_errno(errno, "cannot open '%s'", path);
	int err = read_header(file);
	if (err == PS_OK)
		err = read_head(r, file);
	if (err == PS_OK)
		err = ps_index_file_each(&file->head.head, file->header.head, verify_pad, &v);
	if (err != PS_OK)
		ps_index_file_close(file);
	return err;
}

void ps_index_file_close(struct ps_index_file *file)
{
	sync_head_done(&file->head);
	if (file->fd >= 0)
		(void)close(file->fd);
	file->fd = -1;
}
