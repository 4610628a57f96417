#include "tests/support/disk_store.h"

#include <stdlib.h>

#include "store/base_internal.h"

int disk_store_open(struct sim_disk *disk, const struct ps_base_options *more, ps_storer **s)
{
	struct ps_base_options options = {.size = sizeof(options),
	                                  .background = PS_BACKGROUND_NONE,
	                                  .log_bytes = 256 << 10,
	                                  .initial_bytes = 64 << 10,
	                                  .memory_budget = 64 << 20};
	bool created = sim_disk_size(disk) == 0;
	if (more) {
		options.durability = more->durability;
		options.mode = more->mode;
		options.pin_limit = more->pin_limit;
		options.log_bytes = more->log_bytes ? more->log_bytes : options.log_bytes;
	}
	return ps_base_open_io(sim_disk_io(disk), created, &options, s);
}

uint8_t *disk_store_crash(struct sim_disk *disk, ps_storer *s)
{
	uint64_t size = sim_disk_size(disk);
	uint8_t *image = malloc(size);
	if (!image)
		abort();
	sim_disk_image(disk, image);
	(void)!ps_close(s);
	sim_disk_reset(disk, image, size);
	return image;
}
