/* Any bytes are calls of the omni allocator; the model beside it says what each must do. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/allocator/omni_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *wrong = omni_model_run(data, size);
	if (wrong) {
		fprintf(stderr, "omni allocator: %s\n", wrong);
		abort();
	}
	return 0;
}
