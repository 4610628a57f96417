/* An omni allocator on a root beside a map of granules that says what each may do: any bytes are a sequence
 * of calls, each of which is judged by brute force, and the whole state compared. Used by omni_model_test and
 * by the fuzzer. */
#ifndef PS_OMNI_MODEL_H
#define PS_OMNI_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* NULL if the allocator did what the model says, else a sentence that names step and call. Static storage. */
const char *omni_model_run(const uint8_t *data, size_t size);

#endif
