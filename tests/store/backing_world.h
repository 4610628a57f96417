/* What the tests of contents that are away share: a store over copies in memory, with an object of each size.
 */
#ifndef BACKING_WORLD_H
#define BACKING_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/base_internal.h"
#include "tests/support/copies.h"
#include "tests/support/disk_store.h"

#define OK(call) assert_int_equal((call), PS_OK)
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { K = 1024, M = 1024 * 1024, SIZES = 8 };
extern const size_t sizes[SIZES];

struct fixture {
	struct sim_disk *disk; /* NULL: the store is in a file, and may be used by several threads */
	char folder[64], path[80];
	uint8_t *image; /* that the disk began with after a crash */
	struct copies *copies;
	ps_storer *s;
	ps_id ids[SIZES];
};

int set_up(void **state);
int set_up_on_file(void **state);
/* Checks the store that is open. */
int tear_down(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_ON_FILE(name) cmocka_unit_test_setup_teardown(name, set_up_on_file, tear_down)

void open_store(struct fixture *f, enum ps_open_mode mode);
void reopen(struct fixture *f);
/* The power fails when all that was written is on the disk. */
void crash(struct fixture *f);
/* One object of each size, and all of it away. */
void all_away(struct fixture *f);
void all_are_there(struct fixture *f);
void all_leave(struct fixture *f);
struct ps_backing_figures figures(ps_storer *s);

uint8_t byte_at(uint64_t seed, uint64_t at);
uint8_t *bytes_of(uint64_t seed, size_t len);
ps_id put(ps_storer *s, uint64_t seed, size_t len);
void expect(ps_storer *s, ps_id id, uint64_t seed, size_t len);
void expect_bytes(ps_storer *s, ps_id id, const uint8_t *bytes, size_t len);
/* bytes_of(seed, len), at off. */
void edit(uint8_t *bytes, size_t off, uint64_t seed, size_t len);

#endif
