#include "tests/support/disk_store.h"

#include <stdlib.h>

#include "store/base_internal.h"

struct ps_base_options disk_store_options(void)
{
	return (struct ps_base_options){.size = sizeof(struct ps_base_options),
	                                .background = PS_BACKGROUND_NONE,
	                                .log_bytes = 256 << 10,
	                                .initial_bytes = 64 << 10,
	                                .memory_budget = 64 << 20};
}

int disk_store_open(struct sim_disk *disk, const struct ps_base_options *more, ps_storer **s)
{
	struct ps_base_options options = disk_store_options();
	bool created = sim_disk_size(disk) == 0;
	if (more) {
		options.durability = more->durability;
		options.mode = more->mode;
		options.pin_limit = more->pin_limit;
		options.log_bytes = more->log_bytes ? more->log_bytes : options.log_bytes;
	}
	return ps_base_open_io(sim_disk_io(disk), created, &options, s);
}

int disk_store_open_durable(struct sim_disk *disk, bool make, ps_storer **s)
{
	struct ps_base_options options = disk_store_options();
	options.durability = PS_DURABLE;
	options.memory_budget = 4 << 20;
	options.initial_bytes = 512 << 10;
	return ps_base_open_io(sim_disk_io(disk), make && sim_disk_size(disk) == 0, &options, s);
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
