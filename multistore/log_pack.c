#include "multistore/log_pack.h"

#include <string.h>

#include "base/fail.h"
#include "multistore/push_since.h"

struct packing {
	struct ps_log_pack *pack;
	struct ps_cut *cut;
	ps_pack_writer *writer;
	struct ps_cut_object object;
	uint64_t most;
	bool given; /* the object was given to the writer */
};

static int write_on(void *arg, const void *data, size_t len)
{
	struct ps_log_pack *p = arg;
	if (p->room - p->len < len) {
		size_t room = p->room ? p->room : 4096;
		while (room - p->len < len)
			room *= 2;
		uint8_t *grown = ps_memory_resize(p->memory, p->bytes, p->room, room);
		if (!grown)
			return ps_fail(PS_ENOMEM, "no memory for a log pack of %zu bytes", room);
		p->bytes = grown;
		p->room = room;
	}
	memcpy(p->bytes + p->len, data, len);
	p->len += len;
	return PS_OK;
}

static int count(struct packing *k, size_t len)
{
	k->pack->contents += len;
	if (k->pack->contents + PS_ITEM_COST * k->pack->objects <= k->most)
		return PS_OK;
	return ps_fail(PS_EFULL, "more than %llu bytes were changed: that is more than the log takes",
	               (unsigned long long)k->most);
}

static int add_bytes(void *arg, uint64_t offset, const void *data, size_t len)
{
	struct packing *k = arg;
	if (offset != 0 || len != k->object.size || k->given)
		return ps_fail(PS_ECORRUPT, "object %llu: the cut gives %zu bytes at %llu of %llu",
		               (unsigned long long)k->object.id, len, (unsigned long long)offset,
		               (unsigned long long)k->object.size);
	int err = count(k, len);
	k->given = true;
	return err ? err : ps_pack_writer_object(k->writer, &k->object, data);
}

static int add_piece(void *arg, uint64_t offset, const void *data, size_t len)
{
	struct packing *k = arg;
	if (!data)
		return ps_pack_writer_zeros(k->writer, offset, len);
	int err = count(k, len);
	return err ? err : ps_pack_writer_piece(k->writer, offset, data, len);
}

/* Whole, or what of it was changed since the group before. */
static int pack_large(struct packing *k)
{
	struct ps_cut_change change;
	int err = ps_cut_changed(k->cut, &change);
	if (err)
		return err;
	if (change.partial)
		k->object.kind = PS_CUT_PATCH;
	err = count(k, 0);
	if (!err)
		err = ps_pack_writer_object(k->writer, &k->object, "");
	if (err)
		return err;
	return change.partial ? ps_cut_changed_pieces(k->cut, add_piece, k)
	                      : ps_cut_pieces(k->cut, add_piece, k);
}

static int pack_object(struct packing *k)
{
	int err = PS_OK;
	k->given = false;
	k->pack->objects++;
	if (k->object.kind == PS_CUT_CHUNKS)
		return pack_large(k);
	if (k->object.kind == PS_CUT_BYTES && k->object.size > 0)
		err = ps_cut_pieces(k->cut, add_bytes, k);
	if (!err && !k->given)
		err = count(k, 0);
	if (!err && !k->given)
		err = ps_pack_writer_object(k->writer, &k->object, "");
	return err;
}

static int pack_all(struct packing *k)
{
	int err = PS_OK;
	while (!err) {
		err = ps_cut_next(k->cut, &k->object);
		if (!err)
			err = pack_object(k);
		else if (err == PS_ENOTFOUND)
			return k->pack->objects ? PS_OK : err;
	}
	return err;
}

int ps_log_pack_cut(struct ps_log_pack *pack, struct ps_cut *cut, const struct ps_pack_about *about,
                    int level, uint64_t most)
{
	struct packing k = {.pack = pack, .cut = cut, .most = most};
	struct ps_pack_tail tail;
	uint64_t bytes;
	int err = ps_pack_writer_new(pack->memory, about, level, NULL, 0, write_on, pack, &k.writer);
	if (err)
		return err;
	err = pack_all(&k);
	if (!err)
		err = ps_pack_writer_finish(k.writer, false, &tail, &bytes);
	ps_pack_writer_free(k.writer);
	return err;
}

void ps_log_pack_done(struct ps_log_pack *pack)
{
	ps_memory_free(pack->memory, pack->bytes, pack->room);
	*pack = (struct ps_log_pack){.memory = pack->memory};
}
