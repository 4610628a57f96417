/* Small contents of a large batch in frames of their own (pack.c). */
#ifndef PS_PACK_H
#define PS_PACK_H

#include <stddef.h>
#include <stdint.h>

struct change;
struct store;
struct write_set;

/* Lays small inline contents of the changes into frames of their own and starts their writes, as far as they
 * fill frames and there are free ones; all others stay as they are. The changes' bytes stay theirs until the
 * commit. Worth it from pack_least bytes on. */
void pack_changes(struct store *s, struct write_set *set, struct change *changes, size_t n);
uint64_t pack_least(const struct store *s);
/* Its contents are inline again. Waits for the set's writes; takes store.lock. */
void change_unpack(struct store *s, struct change *c);

/* Frames on their way that small contents were laid into (pack.c), pinned until then. In address order within
 * a stretch. */
enum { PACK_FRAMES = 64, PACK_STRETCHES = 16 };
struct pack {
	unsigned frames, stretches; /* frames that lie side by side are one request */
	struct pack_frame {
		uint64_t offset;
		uint32_t len, tail; /* tail: bytes of a page behind its last content, to be given back */
	} frame[PACK_FRAMES];
};

/* An empty pack, or NULL. staging_write_pack starts its writes and takes it over. */
struct pack *staging_new_pack(struct store *s);
void staging_write_pack(struct store *s, struct write_set *set, struct pack *pack);
/* Its writes have ended: unpins the frames and gives the tails back. Takes store.lock. */
void pack_written(struct store *s, struct pack *pack);

#endif
