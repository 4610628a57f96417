/* Which runs become one. A sync that somebody waits for writes its change and little else; what else is due
 * is left to one that nobody waits for, until the list of runs would get too long. */
#include "remote/run.h"

enum {
	LIKE = 8,       /* runs of like size that become one */
	CLASSES = 17,   /* up to 512 bytes, and eight times that, again and again */
	STEP = 2 << 20, /* bytes up to which a forced step takes more than eight */
	BASE_SHARE = 4, /* deltas that are more than this part of the base are merged into it */
};

static unsigned size_class(uint64_t bytes)
{
	unsigned class = 0;
	for (uint64_t most = 512; bytes > most && class + 1 < CLASSES; most *= LIKE)
		class ++;
	return class;
}

static uint64_t sum_of(const uint64_t *bytes, size_t from, size_t to)
{
	uint64_t sum = 0;
	for (size_t i = from; i < to; i++)
		sum += bytes[i];
	return sum;
}

/* What is merged already, with what is written, counts as one. */
struct tail {
	const uint64_t *bytes;
	size_t from;
	uint64_t merged;
};

/* The newest deltas of which none is of a higher class, up to `most` of this very one and what is smaller
 * between them: where they begin. How many are of the class. */
static size_t tail_of(const struct tail *tail, unsigned class, size_t most, size_t *first)
{
	unsigned merged = size_class(tail->merged);
	size_t count = tail->merged > 0 && merged == class, at = tail->from;
	while (merged <= class && count < most && at > 1 && size_class(tail->bytes[at - 1]) <= class)
		count += size_class(tail->bytes[--at]) == class;
	*first = at;
	return count;
}

/* `most`: bytes of all older runs that are merged. */
static size_t choose_like(const uint64_t *bytes, size_t count, uint64_t delta, uint64_t most)
{
	struct tail tail = {bytes, count, delta};
	for (unsigned class = 0; class < CLASSES; class ++) {
		size_t first;
		if (tail_of(&tail, class, SIZE_MAX, &first) < LIKE || sum_of(bytes, first, count) > most)
			continue;
		tail = (struct tail){bytes, first, delta + sum_of(bytes, first, count)};
	}
	return tail.from;
}

/* The first of the eight newest of the smallest class that has so many; where none has, of the smallest ones.
 */
static size_t first_of_step(const struct tail *tail, unsigned *class)
{
	size_t first = tail->from;
	for (*class = 0; *class < CLASSES; ++*class)
		if (tail_of(tail, *class, LIKE, &first) >= LIKE)
			return first;
	for (*class = 0; *class < CLASSES; ++*class) {
		(void)tail_of(tail, *class, SIZE_MAX, &first);
		if (tail->from - first + 1 >= LIKE)
			break;
	}
	return first;
}

/* A step that shortens the list, and more of the same as long as it is small: then the next one is not due
 * soon. */
static size_t choose_step(const uint64_t *bytes, size_t count, uint64_t delta, size_t from)
{
	struct tail tail = {bytes, from, delta + sum_of(bytes, from, count)};
	unsigned class;
	size_t step = first_of_step(&tail, &class);
	while (step > 1 && size_class(bytes[step - 1]) <= class && sum_of(bytes, step - 1, count) <= STEP)
		step--;
	return delta + sum_of(bytes, step, count) > bytes[0] ? 0 : step;
}

static uint64_t little_beside(uint64_t delta)
{
	uint64_t room = delta < PS_MERGE_WAITED_BYTES ? PS_MERGE_WAITED_BYTES - delta : 0;
	return room > delta ? room : delta;
}

void ps_runs_choose(const uint64_t *bytes, size_t count, uint64_t delta, enum ps_merge_pace pace,
                    struct ps_merge_choice *choice)
{
	uint64_t most = pace == PS_MERGE_DUE ? UINT64_MAX : little_beside(delta);
	uint64_t all = sum_of(bytes, 0, count);
	size_t from = count;
	bool forced = false;
	if (count == 0 || (all - bytes[0] + delta > bytes[0] / BASE_SHARE && all <= most))
		from = 0;
	else
		from = choose_like(bytes, count, delta, most);
	if (from + (delta > 0) > PS_MERGE_WAITED_RUNS) {
		from = choose_step(bytes, count, delta, from);
		forced = pace == PS_MERGE_WAITED;
	}
	*choice = (struct ps_merge_choice){from, sum_of(bytes, from, count), forced};
}
