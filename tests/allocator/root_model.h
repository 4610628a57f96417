/* A root allocator beside a map of granules that says what it must do: any bytes are a sequence of calls,
 * each of which is worked out by brute force, made, and compared, with the whole state. Used by
 * root_model_test and by the fuzzer. */
#ifndef PS_ROOT_MODEL_H
#define PS_ROOT_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* NULL if the allocator did what the model says, else a sentence that names step and call. Static storage. */
const char *root_model_run(const uint8_t *data, size_t size);

#endif
