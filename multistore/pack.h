/* Packs: changed objects in the order of their slots, as one value of a remote (multistore/FORMAT.md).
 * Writing streams them out, reading streams them in; both hold one block of 256 KiB, and believe nothing of
 * what they are given. One thread at a time. */
#ifndef PS_PACK_H
#define PS_PACK_H

#include "base/memory.h"
#include "store/cut.h"

enum {
	PS_PACK_MARK = 16,
	PS_PACK_NAME = 56,  /* bytes of a name, its NUL included */
	PS_PACK_TAIL = 128, /* bytes at the end of a pack that say what it is */
	PS_SLOT_SHIFT = 24, /* an id is slot << 24 | generation (store/FORMAT.md) */
};
#define PS_PACK_BYTES_MAX ((uint64_t)1 << 32)

struct ps_pack_about {
	uint8_t mark[PS_PACK_MARK]; /* of the push that wrote it; not zero */
	uint32_t number;            /* among its packs */
	uint64_t since, upto;       /* intervals: what was changed after the one, up to the other */
};

/* What stands at the end of a pack. */
struct ps_pack_tail {
	struct ps_pack_about about;
	ps_id first, last; /* of the objects that it has something of */
	bool continues;    /* begins within `first`, with its pieces from `from` on */
	bool open;         /* `last` goes on in the next one, with its pieces from `next` on */
	bool patch;        /* open: it is one */
	uint64_t from, next;
	uint32_t blocks;
	uint64_t index;         /* where the lines of the blocks lie */
	uint64_t objects, gone; /* that begin here */
	uint64_t contents;      /* bytes of objects */
};

static inline uint64_t ps_slot_of(ps_id id)
{
	return id >> PS_SLOT_SHIFT;
}
/* Some id of the slot, for who looks only for that. */
static inline ps_id ps_id_of_slot(uint64_t slot)
{
	return slot << 24 | 1;
}

/* "pack/MARK/NUMBER" */
void ps_pack_name(const struct ps_pack_about *about, char name[PS_PACK_NAME]);
/* PS_EINVAL: no such name. */
PS_CHECKED int ps_pack_name_parse(const char *name, uint8_t mark[PS_PACK_MARK], uint32_t *number);

/* ---- writing ---- */

typedef struct ps_pack_writer ps_pack_writer;
/* Takes the next bytes. Other than PS_OK ends the writing with that. */
typedef int (*ps_pack_write_fn)(void *arg, const void *data, size_t len);

/* level: zstd's; 0: nothing is compressed. continues: NULL, or the object, of pieces, whose next one, at
 * `from` or later, comes first. PS_ENOMEM. */
PS_CHECKED int ps_pack_writer_new(struct ps_memory *memory, const struct ps_pack_about *about, int level,
                                  const struct ps_cut_object *continues, uint64_t from,
                                  ps_pack_write_fn write, void *arg, ps_pack_writer **writer);
/* In the order of slots; bytes: of PS_CUT_BYTES. PS_EINVAL: not in order, or what no cut gives. */
PS_CHECKED int ps_pack_writer_object(ps_pack_writer *w, const struct ps_cut_object *object,
                                     const void *bytes);
/* Of the last object. */
PS_CHECKED int ps_pack_writer_piece(ps_pack_writer *w, uint64_t offset, const void *data, size_t len);
/* Of the last object, which is a patch: len bytes of zeros, whole pieces but for the object's end. */
PS_CHECKED int ps_pack_writer_zeros(ps_pack_writer *w, uint64_t offset, uint64_t len);
/* How long the pack is at most if it ends behind another item with so many bytes. */
uint64_t ps_pack_writer_bytes(const ps_pack_writer *w, size_t more);
/* Another item may bring more blocks than tail and index have room for in what readers ask for first. */
bool ps_pack_writer_is_full(const ps_pack_writer *w);
/* Index and tail. `open`: more pieces of the last object follow elsewhere. PS_EINVAL: nothing was added. */
PS_CHECKED int ps_pack_writer_finish(ps_pack_writer *w, bool open, struct ps_pack_tail *tail,
                                     uint64_t *bytes);
void ps_pack_writer_free(ps_pack_writer *w); /* NULL is fine */

/* ---- reading ---- */

typedef struct ps_pack_reader ps_pack_reader;
/* Fills exactly len bytes, the next ones. Other than PS_OK ends the reading with that. */
typedef int (*ps_pack_read_fn)(void *arg, void *buf, size_t len);

struct ps_pack_item {
	bool piece; /* of the object that came before; else `object` is a new one */
	struct ps_cut_object object;
	uint64_t offset;      /* piece */
	size_t len;           /* piece: its bytes; PS_CUT_BYTES: all of them */
	const uint8_t *bytes; /* valid until the next item */
	uint64_t zeros;       /* piece, of a patch: no bytes, but zeros from offset on, in so many pieces */
};

/* A value of `bytes` bytes that is this pack. PS_ENOMEM. */
PS_CHECKED int ps_pack_reader_new(struct ps_memory *memory, const struct ps_pack_about *about, uint64_t bytes,
                                  ps_pack_read_fn read, void *arg, ps_pack_reader **reader);
/* The next len bytes where they are, valid until the next call of this or of the function that reads; NULL:
 * they are to be read. */
typedef const uint8_t *(*ps_pack_lend_fn)(void *arg, size_t len);
/* Before the first item: blocks are taken from there, without a copy, where they lie in one piece. */
void ps_pack_reader_lent(ps_pack_reader *r, ps_pack_lend_fn lend);
/* Before the first item: only the block from offset to end is read, and `read` gives these bytes. */
void ps_pack_reader_one_block(ps_pack_reader *r, uint64_t offset, uint64_t end);
/* PS_ENOTFOUND: that was all, and index and tail fit it. PS_ECORRUPT, PS_EVERSION, what `read` returned. */
PS_CHECKED int ps_pack_reader_next(ps_pack_reader *r, struct ps_pack_item *item);
/* Behind the end. */
const struct ps_pack_tail *ps_pack_reader_tail(const ps_pack_reader *r);
void ps_pack_reader_free(ps_pack_reader *r); /* NULL is fine */

/* The last PS_PACK_TAIL bytes of a value of `bytes` bytes. PS_ECORRUPT, PS_EVERSION. */
PS_CHECKED int ps_pack_tail_decode(const uint8_t end[PS_PACK_TAIL], uint64_t bytes,
                                   struct ps_pack_tail *tail);

#endif
