/* What tests of the index share: pads and records made up from a seed, and an index over the simulated disk.
 */
#ifndef INDEX_FIXTURE_H
#define INDEX_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "remote/local_index.h"
#include "tests/support/sim_disk.h"

#define ok(call)                                                                                             \
	do {                                                                                                 \
		int err_ = (call);                                                                           \
		if (err_ != PS_OK)                                                                           \
			fail_msg("%s: %s: %s", #call, ps_error_name(err_), ps_last_error_message());         \
	} while (0)
/* The code, and that a sentence came with it. */
#define refused(call, code)                                                                                  \
	do {                                                                                                 \
		int err_ = (call);                                                                           \
		if (err_ != (code) || !*ps_last_error_message())                                             \
			fail_msg("%s: %s instead of %s: %s", #call, ps_error_name(err_), #code,              \
			         ps_last_error_message());                                                   \
	} while (0)

struct dice {
	uint64_t state;
};
uint64_t roll(struct dice *dice);
uint64_t roll_below(struct dice *dice, uint64_t n);
void roll_bytes(struct dice *dice, void *out, size_t len);
/* The seed from PS_SEED or the default; printed. */
uint64_t test_seed(uint64_t standard);
/* Of a long row of the same with other numbers: each (1), or what PS_ONE_IN says. */
uint64_t test_one_in(void);

struct ps_version version_of(uint64_t counter, uint8_t machine);
/* A new pad, generated. */
struct ps_pad_slot new_pad(struct dice *dice, unsigned class, unsigned mode);
/* Sealed and of this status. */
struct ps_pad_slot pad_of(struct dice *dice, unsigned status);
void seal(struct dice *dice, struct ps_pad_slot *slot);
/* A complete private blob of so many confirmed pads, dirty, never synced. */
void make_blob(struct dice *dice, struct ps_memory *memory, const char *name, unsigned pads,
               struct ps_record *record);

extern const struct ps_index_binding test_binding;
/* Records that an index has at least for a summary, and the cells that come with one; 0: as many as without a
 * test. */
extern size_t test_summary_from, test_summary_cells;
/* These, for an index that was opened without index_on. */
void index_take_seams(ps_index *index);
/* make: on an empty disk. */
ps_index *index_on(struct sim_disk *disk, bool make);
int index_try(struct sim_disk *disk, bool make, const struct ps_index_binding *binding, ps_index **index);
/* Of all records and spare pads: equal states have equal sums. */
uint64_t index_sum(ps_index *index);
/* The same, or the failure of the first one that cannot be read. */
int index_try_sum(ps_index *index, uint64_t *sum);
void verify_index(ps_index *index);

#endif
