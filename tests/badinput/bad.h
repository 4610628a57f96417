/* What the tests of bad input share: a folder, stores in it, and assertions over error and sentence. */
#ifndef BAD_H
#define BAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <padstone/base_store.h>

#define OK(call) bad_expect(PS_OK, call, #call, NULL, __FILE__, __LINE__)
#define FAILS(error, call) bad_expect(error, call, #call, NULL, __FILE__, __LINE__)
/* And the sentence has these words. */
#define SAYS(error, words, call) bad_expect(error, call, #call, words, __FILE__, __LINE__)

void bad_expect(int expected, int err, const char *call, const char *words, const char *file, int line);

/* A new empty folder for each test; "store" in it is `bad_path`. */
extern char bad_folder[64], bad_path[80];
int bad_setup(void **state);
int bad_teardown(void **state);
/* Another name in the folder; the same buffer each time. */
const char *bad_name(const char *name);

/* The smallest store, without a thread, in this mode. */
struct ps_base_options bad_options(int mode);
ps_storer *bad_open(const char *path, int mode);
/* Objects of these sizes, filled from their place in the list; and that they are all there. */
enum { BAD_OBJECTS = 5 };
void bad_fill(ps_storer *s, ps_id ids[BAD_OBJECTS]);
void bad_verify(ps_storer *s, const ps_id ids[BAD_OBJECTS]);

uint8_t *bad_read_file(const char *path, size_t *size);
void bad_write_file(const char *path, const void *bytes, size_t size);
size_t bad_count(ps_storer *s);
/* Runs fn in a child; its result is the child's exit status, a signal is 128 and more. */
int bad_in_child(int (*fn)(void *arg), void *arg);

#endif
