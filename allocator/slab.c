#include "allocator/slab.h"

#include <string.h>

/* The lowest free slot of [from, to), or `to`. */
static uint32_t find_free(const struct ps_slab *slab, uint32_t from, uint32_t to)
{
	uint32_t word = from / PS_SLAB_WORD;
	uint64_t free = ~slab->words[word] & (~(uint64_t)0 << from % PS_SLAB_WORD);
	while (free == 0) {
		if (++word * PS_SLAB_WORD >= to)
			return to;
		free = ~slab->words[word];
	}
	uint32_t slot = word * PS_SLAB_WORD + (uint32_t)__builtin_ctzll(free);
	return slot < to ? slot : to;
}

/* The lowest used slot of [from, to), or `to`. */
static uint32_t find_used(const struct ps_slab *slab, uint32_t from, uint32_t to)
{
	uint32_t word = from / PS_SLAB_WORD;
	uint64_t used = slab->words[word] & (~(uint64_t)0 << from % PS_SLAB_WORD);
	while (used == 0) {
		if (++word * PS_SLAB_WORD >= to)
			return to;
		used = slab->words[word];
	}
	uint32_t slot = word * PS_SLAB_WORD + (uint32_t)__builtin_ctzll(used);
	return slot < to ? slot : to;
}

static uint32_t emptiest_frame(const struct ps_class_geometry *g, struct ps_slab *slab)
{
	const uint16_t *used = ps_slab_frames(g, slab);
	uint32_t best = 0;
	for (uint32_t i = 0; i < g->frames_per_slab && used[best] > 0; i++) {
		if (used[i] < used[best])
			best = i;
	}
	return best;
}

uint32_t ps_slab_next(const struct ps_class_geometry *g, struct ps_slab *slab)
{
	/* A frame is a slot: the next free one is as good as any other. */
	if (g->slots_per_frame == 1)
		return find_free(slab, 0, g->slots_per_slab);
	if (ps_slab_frames(g, slab)[slab->frame] == g->slots_per_frame)
		slab->frame = emptiest_frame(g, slab);
	uint32_t first = slab->frame * g->slots_per_frame;
	return find_free(slab, first, first + g->slots_per_frame);
}

bool ps_slab_find_frame(const struct ps_class_geometry *g, struct ps_slab *slab, uint32_t *frame)
{
	const uint16_t *used = ps_slab_frames(g, slab);
	for (*frame = 0; *frame < g->frames_per_slab; ++*frame) {
		if (used[*frame] == 0)
			return true;
	}
	return false;
}

/* The lowest run of [at, end). */
static bool find_run(const struct ps_slab *slab, uint32_t at, uint32_t end, uint32_t count, uint32_t *first)
{
	while (at < end) {
		at = find_free(slab, at, end);
		uint32_t stop = at < end ? find_used(slab, at, end) : end;
		if (at < end && stop - at >= count) {
			*first = at;
			return true;
		}
		at = stop;
	}
	return false;
}

bool ps_slab_find_run(const struct ps_class_geometry *g, const struct ps_slab *slab, uint32_t count,
                      bool end_to_end, uint32_t *first)
{
	uint32_t all = g->slots_per_slab, step = all;
	if (all - slab->used < count)
		return false;
	if (end_to_end && !ps_slab_tailless(g))
		step = g->slots_per_frame;
	for (uint32_t at = 0; at < all; at += step) {
		if (find_run(slab, at, at + step, count, first))
			return true;
	}
	return false;
}

bool ps_slab_words_sound(const struct ps_class_geometry *g, const uint64_t *words, uint32_t *used)
{
	uint32_t tail = g->slots_per_slab % PS_SLAB_WORD, count = 0;
	size_t n = ps_slab_words(g);
	for (size_t i = 0; i < n; i++)
		count += (uint32_t)__builtin_popcountll(words[i]);
	*used = count;
	return tail == 0 || words[n - 1] >> tail == 0;
}

/* Used slots of [from, to). */
static uint32_t count_used(const uint64_t *words, uint32_t from, uint32_t to)
{
	uint32_t count = 0;
	while (from < to) {
		uint32_t in_word = PS_SLAB_WORD - from % PS_SLAB_WORD;
		uint32_t n = in_word < to - from ? in_word : to - from;
		uint64_t bits = words[from / PS_SLAB_WORD] >> from % PS_SLAB_WORD;
		if (n < PS_SLAB_WORD)
			bits &= ((uint64_t)1 << n) - 1;
		count += (uint32_t)__builtin_popcountll(bits);
		from += n;
	}
	return count;
}

void ps_slab_load(const struct ps_class_geometry *g, struct ps_slab *slab, const uint64_t *words)
{
	uint16_t *frames = ps_slab_frames(g, slab);
	memcpy(slab->words, words, ps_slab_words(g) * sizeof(*words));
	slab->used = 0;
	for (uint32_t i = 0; i < g->frames_per_slab; i++) {
		frames[i] = (uint16_t)count_used(words, i * g->slots_per_frame, (i + 1) * g->slots_per_frame);
		slab->used += frames[i];
	}
}

bool ps_slab_sound(const struct ps_class_geometry *g, struct ps_slab *slab)
{
	const uint16_t *frames = ps_slab_frames(g, slab);
	uint32_t used;
	if (!ps_slab_words_sound(g, slab->words, &used) || used != slab->used ||
	    slab->frame >= g->frames_per_slab)
		return false;
	for (uint32_t i = 0; i < g->frames_per_slab; i++) {
		if (frames[i] !=
		    count_used(slab->words, i * g->slots_per_frame, (i + 1) * g->slots_per_frame))
			return false;
	}
	return true;
}
